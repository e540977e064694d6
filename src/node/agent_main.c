/* SPDX-License-Identifier: EUPL-1.2 */
/* See agent_main.h. */
#include "node/agent_main.h"
#include "node/drivers/fake/fake.h"
#include "node/drivers/tools/qcow2.h"
#include "node/metadata.h"
#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* The kernel driver answers metadata requests from its first moment on; the agent comes a little
 * later. */
struct metadata_source {
    _Atomic(struct agent *) agent;
};

static struct err *metadata(struct ctx *cx, void *arg, const struct metadata_ask *ask,
                            struct buf *ret_body, const char **ret_content_type, int *ret_status)
{
    struct metadata_source *m = arg;
    struct agent *a = atomic_load(&m->agent);
    if (!a)
        return fail(cx, ERR_UNAVAILABLE, "the agent is starting");
    return metadata_answer(cx, a, ask, ret_body, ret_content_type, ret_status);
}

static bool is_fake(const struct agent_config *cfg)
{
    return str_eq(cfg->guest_driver, "fake");
}

static struct err *open_guests(struct ctx *cx, const struct agent_config *cfg,
                               struct guest_backend *ret)
{
    if (is_fake(cfg)) {
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
    struct kernel_net_config net = {.netns = cfg->netns,
                                    .data_dir = cfg->loop.data_dir,
                                    .external_cidr = cfg->external_cidr,
                                    .metadata = metadata,
                                    .metadata_arg = m};
    if (str_eq(cfg->net_driver, "ovn")) {
        net.external_cidr = NULL; /* what leads outside is Open vSwitch's */
        return ovn_host_new(cx, &(struct ovn_host_config){.host = net, .ovs_db = cfg->ovs_db}, ret);
    }
    if (!str_eq(cfg->net_driver, "kernel"))
        return fail(cx, ERR_INVALID, "network driver '%s': it is kernel, ovn or fake",
                    cfg->net_driver);
    return kernel_net_new(cx, &net, ret);
}

/* What handles disks that nobody has open: beyond the guests' users. */
static uid_t disks_uid(const struct agent_config *cfg)
{
    return cfg->qemu.uid_first + cfg->qemu.uid_count;
}

static const char *qemu_img_path(const struct agent_config *cfg)
{
    return cfg->qemu.qemu_img_path ? cfg->qemu.qemu_img_path : "qemu-img";
}

static struct err *open_shared(struct ctx *cx, const struct agent_config *cfg, struct backends *ret)
{
    const struct qcow2_volumes_config shared = {.data_dir = cfg->shared_dir,
                                                .owner = cfg->loop.host,
                                                .qemu_img_path = qemu_img_path(cfg),
                                                .uid = disks_uid(cfg)};
    TRY(qcow2_pool_read(cx, cfg->shared_dir, &ret->pool_id));
    return qcow2_volumes_new(cx, &shared, &ret->shared);
}

/* Of the guests' kind: they open them. */
static struct err *open_volumes(struct ctx *cx, const struct agent_config *cfg,
                                struct backends *ret)
{
    if (!is_fake(cfg)) {
        const struct qcow2_volumes_config volumes = {.data_dir = cfg->loop.data_dir,
                                                     .qemu_img_path = qemu_img_path(cfg),
                                                     .uid = disks_uid(cfg)};
        TRY(qcow2_volumes_new(cx, &volumes, &ret->volumes));
        return cfg->shared_dir ? open_shared(cx, cfg, ret) : NULL;
    }
    fake_volumes_new(&ret->volumes);
    TRY(fake_volumes_set_file(cx, &ret->volumes,
                              arena_printf(cx->arena, "%s/fake-volumes", cfg->loop.data_dir)));
    fake_guests_set_volumes(&ret->guests, &ret->volumes);
    return NULL;
}

static void close_backends(const struct backends *b)
{
    if (b->guests.ops)
        b->guests.ops->free(b->guests.drv);
    if (b->net.ops)
        b->net.ops->free(b->net.drv);
    if (b->volumes.ops)
        b->volumes.ops->free(b->volumes.drv);
    if (b->shared.ops)
        b->shared.ops->free(b->shared.drv);
}

static struct err *open_backends(struct ctx *cx, const struct agent_config *cfg,
                                 struct metadata_source *m, struct backends *ret)
{
    if (mkdir(cfg->loop.data_dir, 0711) != 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot make the folder '%s': %m", cfg->loop.data_dir);
    struct err *e = open_guests(cx, cfg, &ret->guests);
    if (!e)
        e = open_volumes(cx, cfg, ret);
    if (!e)
        e = open_net(cx, cfg, m, &ret->net);
    if (e)
        close_backends(ret);
    return e;
}

static struct err *fake_to_raw(struct ctx *cx, void *arg UNUSED, const char *from, const char *to)
{
    const char *origin;
    int64_t size_gib;
    TRY(fake_disk_read(cx, from, &origin, &size_gib));
    return fake_disk_write_raw(cx, to, origin, size_gib);
}

static struct err *to_raw(struct ctx *cx, void *arg, const char *from, const char *to)
{
    AUTO_FD int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    AUTO_FD int out = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (in < 0 || out < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot make '%s' from '%s': %m", to, from);
    return disk_to_raw(cx, arg, out, in);
}

struct err *agent_main(struct ctx *cx, const struct agent_config *cfg)
{
    struct backends backends = {0};
    struct metadata_source source = {NULL};
    struct qemu_img img = {.program = qemu_img_path(cfg), .uid = disks_uid(cfg)};
    struct loop_config config = cfg->loop;
    config.raw = (struct raw_maker){is_fake(cfg) ? fake_to_raw : to_raw, &img};
    struct loop *loop = NULL;
    struct guard *guard = NULL;
    sigset_t signals;
    int got = 0;
    /* Before any thread: only the wait below takes them. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    TRY(open_backends(cx, cfg, &source, &backends));
    struct err *e = guard_open(cx, cfg->loop.data_dir, !is_fake(cfg), &guard);
    config.guard = guard;
    if (!e)
        e = loop_start(cx, &config, &backends, &loop);
    if (!e) {
        atomic_store(&source.agent, loop_agent(loop));
        log_event(cx, LOG_INFO, "agent is up", "api", cfg->loop.api_urls, "host", cfg->loop.host,
                  "guests", backends.guests.ops->name, "net", backends.net.ops->name, "volumes",
                  backends.volumes.ops ? backends.volumes.ops->name : "none", NULL);
        sigwait(&signals, &got);
        log_event(cx, LOG_INFO, "agent stops; guests run on", "signal", strsignal(got), NULL);
        loop_stop(loop);
    }
    close_backends(&backends);
    loop_free(loop);
    guard_close(guard);
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

static struct err *purge_guests(struct ctx *cx, const struct guest_backend *b, struct purge *p)
{
    const char **ids;
    size_t n;
    TRY(b->ops->list(cx, b->drv, &ids, &n));
    for (size_t i = 0; i < n; i++) {
        struct err *e = b->ops->stop(cx, b->drv, ids[i]);
        count(p, e ? e : b->ops->destroy(cx, b->drv, ids[i]));
    }
    return NULL;
}

static struct err *purge_net(struct ctx *cx, const struct net_backend *b, struct purge *p)
{
    const char **networks, **routers;
    size_t n_networks, n_routers;
    TRY(b->ops->list(cx, b->drv, &networks, &n_networks, &routers, &n_routers));
    for (size_t i = 0; i < n_routers; i++)
        count(p, b->ops->router_remove(cx, b->drv, routers[i]));
    for (size_t i = 0; i < n_networks; i++)
        count(p, b->ops->network_remove(cx, b->drv, networks[i]));
    return NULL;
}

static struct err *purge_volumes(struct ctx *cx, const struct volume_backend *b, struct purge *p)
{
    const char **ids;
    size_t n;
    if (!b->ops)
        return NULL;
    TRY(b->ops->list(cx, b->drv, &ids, &n));
    for (size_t i = 0; i < n; i++)
        count(p, b->ops->remove(cx, b->drv, ids[i]));
    return NULL;
}

/* What the agent itself keeps for guests. */
static void purge_files(struct ctx *cx, const char *data_dir, const char *name, struct purge *p)
{
    const char *path = arena_printf(cx->arena, "%s/%s", data_dir, name);
    DIR *d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d));)
        p->n += unlinkat(dirfd(d), e->d_name, 0) == 0;
    if (d)
        closedir(d);
    rmdir(path);
}

static struct err *purge_all(struct ctx *cx, const struct backends *b, const char *data_dir)
{
    struct purge p = {0};
    TRY(purge_guests(cx, &b->guests, &p));
    if (p.error)
        return p.error; /* what guests stand on stays under them */
    TRY(purge_net(cx, &b->net, &p));
    TRY(purge_volumes(cx, &b->volumes, &p));
    purge_files(cx, data_dir, "exports", &p);
    purge_files(cx, data_dir, "passwords", &p);
    purge_files(cx, data_dir, "ha", &p);
    log_event(cx, LOG_INFO, "purged", "removed", log_i64(cx, (int64_t)p.n), NULL);
    return p.error;
}

struct err *agent_purge(struct ctx *cx, const struct agent_config *cfg)
{
    struct backends backends = {0};
    struct metadata_source source = {NULL};
    TRY(open_backends(cx, cfg, &source, &backends));
    struct err *e = purge_all(cx, &backends, cfg->loop.data_dir);
    close_backends(&backends);
    return e;
}
