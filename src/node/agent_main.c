/* SPDX-License-Identifier: EUPL-1.2 */
/* See agent_main.h. */
#include "node/agent_main.h"
#include "node/drivers/fake/fake.h"
#include "node/metadata.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* The kernel driver answers metadata requests from its first moment on; the agent comes a little
 * later. */
struct metadata_source {
    _Atomic(struct agent *) agent;
};

static struct err *metadata(struct ctx *cx, void *arg, const char *network_id,
                            const char *source_ip, const char *path, struct buf *ret_body,
                            const char **ret_content_type, bool *ret_found)
{
    struct metadata_source *m = arg;
    struct agent *a = atomic_load(&m->agent);
    *ret_found = false;
    if (!a)
        return fail(cx, ERR_UNAVAILABLE, "the agent is starting");
    return metadata_answer(cx, a, network_id, source_ip, path, ret_body, ret_content_type,
                           ret_found);
}

static struct err *open_guests(struct ctx *cx, const struct agent_config *cfg,
                               struct guest_backend *ret)
{
    if (str_eq(cfg->guest_driver, "fake")) {
        fake_guests_new(ret);
        return fake_guests_set_file(cx, ret,
                                    arena_printf(cx->arena, "%s/fake-guests", cfg->loop.data_dir));
    }
    if (!str_eq(cfg->guest_driver, "qemu"))
        return fail(cx, ERR_INVALID, "guest driver '%s': it is qemu or fake", cfg->guest_driver);
    struct qemu_config qemu = cfg->qemu;
    if (!qemu.data_dir)
        qemu.data_dir = cfg->loop.data_dir;
    return qemu_driver_new(cx, &qemu, ret);
}

static struct err *open_net(struct ctx *cx, const struct agent_config *cfg,
                            struct metadata_source *m, struct net_backend *ret)
{
    if (str_eq(cfg->net_driver, "fake")) {
        fake_net_new(ret);
        return NULL;
    }
    if (!str_eq(cfg->net_driver, "kernel"))
        return fail(cx, ERR_INVALID, "network driver '%s': it is kernel or fake", cfg->net_driver);
    struct kernel_net_config net = {.netns = cfg->netns,
                                    .data_dir = cfg->loop.data_dir,
                                    .external_cidr = cfg->external_cidr,
                                    .metadata = metadata,
                                    .metadata_arg = m};
    return kernel_net_new(cx, &net, ret);
}

static void close_backends(const struct guest_backend *guests, const struct net_backend *net)
{
    if (guests->ops)
        guests->ops->free(guests->drv);
    if (net->ops)
        net->ops->free(net->drv);
}

static struct err *open_backends(struct ctx *cx, const struct agent_config *cfg,
                                 struct metadata_source *m, struct guest_backend *ret_guests,
                                 struct net_backend *ret_net)
{
    if (mkdir(cfg->loop.data_dir, 0711) != 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot make the folder '%s': %m", cfg->loop.data_dir);
    struct err *e = open_guests(cx, cfg, ret_guests);
    if (!e)
        e = open_net(cx, cfg, m, ret_net);
    if (e)
        close_backends(ret_guests, ret_net);
    return e;
}

struct err *agent_main(struct ctx *cx, const struct agent_config *cfg)
{
    struct guest_backend guests = {0};
    struct net_backend net = {0};
    struct metadata_source source = {NULL};
    struct loop *loop = NULL;
    sigset_t signals;
    int got = 0;
    /* Before any thread: only the wait below takes them. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    TRY(open_backends(cx, cfg, &source, &guests, &net));
    struct err *e = loop_start(cx, &cfg->loop, &guests, &net, &loop);
    if (!e) {
        atomic_store(&source.agent, loop_agent(loop));
        log_event(cx, LOG_INFO, "agent is up", "api", cfg->loop.api_url, "host", cfg->loop.host,
                  "guests", guests.ops->name, "net", net.ops->name, NULL);
        sigwait(&signals, &got);
        log_event(cx, LOG_INFO, "agent stops; guests run on", "signal", strsignal(got), NULL);
        loop_stop(loop);
    }
    close_backends(&guests, &net);
    loop_free(loop);
    return e;
}

/* One by one, on through errors; the last one is told. */
struct purge {
    struct err *error;
    size_t n;
};

static void count(struct purge *p, struct err *e)
{
    if (e)
        p->error = e;
    else
        p->n++;
}

static struct err *purge_all(struct ctx *cx, const struct guest_backend *guests,
                             const struct net_backend *net)
{
    struct purge p = {0};
    const char **ids, **networks, **routers;
    size_t n, n_networks, n_routers;
    TRY(guests->ops->list(cx, guests->drv, &ids, &n));
    for (size_t i = 0; i < n; i++) {
        struct err *e = guests->ops->stop(cx, guests->drv, ids[i]);
        count(&p, e ? e : guests->ops->destroy(cx, guests->drv, ids[i]));
    }
    TRY(net->ops->list(cx, net->drv, &networks, &n_networks, &routers, &n_routers));
    for (size_t i = 0; i < n_routers; i++)
        count(&p, net->ops->router_remove(cx, net->drv, routers[i]));
    for (size_t i = 0; i < n_networks; i++)
        count(&p, net->ops->network_remove(cx, net->drv, networks[i]));
    log_event(cx, LOG_INFO, "purged", "removed", log_i64(cx, (int64_t)p.n), NULL);
    return p.error;
}

struct err *agent_purge(struct ctx *cx, const struct agent_config *cfg)
{
    struct guest_backend guests = {0};
    struct net_backend net = {0};
    struct metadata_source source = {NULL};
    TRY(open_backends(cx, cfg, &source, &guests, &net));
    struct err *e = purge_all(cx, &guests, &net);
    close_backends(&guests, &net);
    return e;
}
