/* SPDX-License-Identifier: EUPL-1.2 */
/* The agent's process: settings become the agent's configuration. */
#include "cmd/wiring.h"
#include "node/agent_main.h"
#include <sys/stat.h>

static struct err *check_urls(struct ctx *cx, const char *text)
{
    char **list;
    size_t n = str_split(cx, text, ',', &list);
    for (size_t i = 0; i < n; i++) {
        bool is_url = str_starts(list[i], "http://") || str_starts(list[i], "https://");
        if (!is_url || strchr(list[i], ' ') || str_ends(list[i], "/"))
            return fail(cx, ERR_INVALID,
                        "api_urls must be like http://10.0.0.1:5000,http://10.0.0.2:5000, not '%s'",
                        text);
    }
    return NULL;
}

/* As the setting has them, or where the control plane of this machine answers. */
struct err *agent_api_urls(struct ctx *cx, const struct settings *s, const char **ret)
{
    const char *host;
    uint16_t port;
    if (*s->api_urls) {
        *ret = s->api_urls;
        return check_urls(cx, s->api_urls);
    }
    TRY(parse_listen(cx, s->listen, &host, &port));
    if (str_eq(host, "0.0.0.0") || str_eq(host, "::") || !*host)
        host = "127.0.0.1";
    *ret = arena_printf(cx->arena, strchr(host, ':') ? "http%s://[%s]:%u" : "http%s://%s:%u",
                        *s->tls_cert ? "s" : "", host, port);
    return NULL;
}

struct err *agent_secret(struct ctx *cx, const char *dir, const char **ret)
{
    char text[256];
    const char *path = arena_printf(cx->arena, "%s/secret", dir);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return fail(cx, ERR_INVALID,
                    "cannot read the agent's secret %s: %m ('colvert up' makes it)", path);
    text[n] = 0;
    text[strcspn(text, "\n")] = 0;
    *ret = arena_strdup(cx->arena, text);
    secret_wipe(text, sizeof(text));
    return NULL;
}

/* One short name for this data folder: agents of one machine must not meet in cgroup names. */
static const char *instance_name(struct ctx *cx, const struct settings *s)
{
    uint64_t h = 1469598103934665603u; /* FNV-1a */
    for (const char *p = s->data; *p; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211u;
    return arena_printf(cx->arena, "i%08x", (unsigned)(h ^ (h >> 32)));
}

/* A host that has joined is who its certificate says; otherwise it is the control plane's machine.
 */
static struct err *introduce(struct ctx *cx, const struct settings *s, struct loop_config *ret)
{
    TRY(enrolment_open(cx, node_dir(cx, s), s->api, s->join, &ret->enrolment));
    if (ret->enrolment) {
        ret->host = enrolment_host_id(ret->enrolment);
        ret->api_urls = *s->api_urls ? s->api_urls : enrolment_api_url(ret->enrolment);
        return check_urls(cx, ret->api_urls);
    }
    if (!is_loopback(ret->listen_address))
        return fail(cx, ERR_INVALID,
                    "refusing to listen on %s without certificates: agent_listen beyond loopback "
                    "is for hosts that have joined ('colvert admin host add')",
                    s->agent_listen);
    TRY(agent_api_urls(cx, s, &ret->api_urls));
    return agent_secret(cx, node_dir(cx, s), &ret->secret);
}

static struct err *configure(struct ctx *cx, const struct settings *s, bool purge,
                             struct agent_config *ret)
{
    bool fake = str_eq(s->driver, "fake");
    bool fresh = *s->join && !purge; /* `colvert up` makes the folders of its own machine */
    char full[4096];
    if (fake && *s->shared_dir)
        return fail(cx, ERR_INVALID, "the driver fake has no shared_dir");
    if (!fake && !str_eq(s->driver, "qemu"))
        return fail(cx, ERR_INVALID, "driver must be qemu or fake, not '%s'", s->driver);
    if (fresh && ((mkdir(s->data, 0755) < 0 && errno != EEXIST) ||
                  (mkdir(node_dir(cx, s), 0711) < 0 && errno != EEXIST)))
        return fail(cx, ERR_UNAVAILABLE, "cannot make the folder %s: %m", node_dir(cx, s));
    if (!realpath(s->data, full))
        return fail(cx, ERR_INVALID, "the data folder %s: %m", s->data);
    const char *dir = arena_printf(cx->arena, "%s/node", full);
    *ret = (struct agent_config){
        .guest_driver = fake ? "fake" : "qemu",
        .net_driver = fake ? "fake" : s->network_driver,
        .ovs_db = s->ovs_db,
        .netns = *s->netns ? s->netns : NULL,
        .shared_dir = *s->shared_dir ? s->shared_dir : NULL,
        .qemu = {.data_dir = dir,
                 .instance = instance_name(cx, s),
                 .accel = s->accel,
                 .uid_first = (uid_t)s->guest_uid_first,
                 .uid_count = (unsigned)s->guest_uid_count},
        .loop = {.host = node_name(cx, s),
                 .data_dir = dir,
                 .image_cache_bytes = s->image_cache_gib << 30,
                 .shutdown_timeout_s = s->shutdown_timeout_s},
    };
    if (*s->external_cidr) {
        const char *address;
        TRY(first_address_of(cx, s->external_cidr, &address));
        ret->external_cidr =
            arena_printf(cx->arena, "%s%s", address, strchr(s->external_cidr, '/'));
    }
    TRY(parse_listen(cx, s->agent_listen, &ret->loop.listen_address, &ret->loop.listen_port));
    return purge ? NULL : introduce(cx, s, &ret->loop);
}

static int run(const struct settings *s, bool purge)
{
    AUTO_CTX struct ctx cx;
    struct agent_config cfg = {0};
    ctx_init(&cx);
    log_set_role("node");
    struct err *e = configure(&cx, s, purge, &cfg);
    if (!e)
        e = purge ? agent_purge(&cx, &cfg) : agent_main(&cx, &cfg);
    enrolment_free(cfg.loop.enrolment);
    return e ? complain(&cx, e) : 0;
}

int node_main(const struct settings *s)
{
    return run(s, false);
}

int node_purge(const struct settings *s)
{
    return run(s, true);
}
