/* SPDX-License-Identifier: EUPL-1.2 */
/* The guest driver "qemu": the calls of node/drivers/driver.h, most of them in files by topic
 * (ops.h), and making one. State and watching are in guests.h. */
#include "node/drivers/qemu/monitor.h"
#include "node/drivers/qemu/ops.h"
#include "node/drivers/tools/files.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

struct err *check_server_id(struct ctx *cx, const char *id)
{
    if (!id || strlen(id) != 36 || !uuid_valid(id))
        return fail(cx, ERR_INVALID, "'%s' is not a server's id", id ? id : "");
    return NULL;
}

/* ---- its end ---- */

/* Renamed first: what is left after a crash can't be taken for a guest. */
static struct err *remove_home(struct ctx *cx, struct qemu *d, const char *id)
{
    const char *gone = arena_printf(cx->arena, GONE_PREFIX "%s", id);
    TRY(dir_remove(cx, d->servers_fd, gone));
    if (renameat(d->servers_fd, id, d->servers_fd, gone) != 0 && errno != ENOENT)
        return fail(cx, ERR_UNAVAILABLE, "cannot remove the files of server %s: %m", id);
    TRY(dir_sync(cx, d->servers_fd));
    return dir_remove(cx, d->servers_fd, gone);
}

static struct err *op_destroy(struct ctx *cx, void *drv, const char *id)
{
    struct qemu *d = drv;
    TRY(check_server_id(cx, id));
    AUTO_CALL struct guest *g = guest_call(d, id, false);
    if (g && guest_alive(g))
        TRY(guest_end(cx, g, false));
    TRY(cgroup_kill(cx, &d->cgroups, id));
    TRY(cgroup_remove(cx, &d->cgroups, id));
    TRY(remove_home(cx, d, id));
    if (g)
        guest_forget(g);
    pthread_mutex_lock(&d->lock);
    bool last = d->n_guests == 0;
    pthread_mutex_unlock(&d->lock);
    if (last)
        cgroups_tidy(&d->cgroups);
    return NULL;
}

/* ---- what there is ---- */

/* What it has open, or (suspended) goes on with. */
static const char **ids_in(struct ctx *cx, const struct layout *l, enum slot_kind kind,
                           size_t *ret_n)
{
    const char **ids = arena_new_array(cx->arena, const char *, l->n_ports + 1);
    *ret_n = 0;
    for (size_t i = 0; i < l->n_ports; i++)
        if (l->slots[i].kind == kind)
            ids[(*ret_n)++] = arena_strdup(cx->arena, l->slots[i].id);
    return ids;
}

static void fill_state(struct ctx *cx, const struct guest *g, struct guest_state *ret)
{
    const struct record *r = &g->rec;
    bool on = g->pidfd >= 0 && (r->power == RECORD_ON || r->power == RECORD_STOPPING);
    bool crashed = !on && r->power == RECORD_CRASHED;
    *ret = (struct guest_state){.power = on        ? GUEST_ON
                                         : crashed ? GUEST_CRASHED
                                                   : GUEST_OFF,
                                .boot_seq = r->boot_seq,
                                .reset_seq = r->reset_seq,
                                .build_seq = r->build_seq,
                                .guest_shutdown = !on && r->guest_shutdown,
                                .started_at_us = r->started_at_us,
                                .paused = on && g->vcpus == VCPUS_STAND,
                                .suspended = !on && r->suspended,
                                .rescue_seq = r->rescue_seq,
                                .checkpoint = r->checkpoint,
                                .restore_seq = r->restore_seq,
                                .sent_seq = r->sent_seq};
    if (on || r->suspended) {
        ret->volumes = ids_in(cx, &r->layout, SLOT_VOLUME, &ret->n_volumes);
        ret->ports = ids_in(cx, &r->layout, SLOT_NIC, &ret->n_ports);
    }
}

/* What the record can't know: whether the vCPUs of one that was found again run, and how plugging
 * that was cut off ended. Where its monitor doesn't answer, the record must do. */
static void look_inside(struct ctx *cx, struct guest *g)
{
    AUTO_QMP struct qmp *q = NULL;
    const char *status;
    pthread_mutex_lock(&g->lock);
    bool on = g->pidfd >= 0 && g->rec.power == RECORD_ON;
    bool known = g->vcpus != VCPUS_UNKNOWN;
    pthread_mutex_unlock(&g->lock);
    if (!on || devices_settle(cx, g) || known)
        return;
    if (guest_monitor(cx, g, &q) || mon_status(cx, q, &status))
        return;
    AUTO_LOCK(&g->lock);
    if (g->vcpus == VCPUS_UNKNOWN)
        g->vcpus = str_eq(status, "running")    ? VCPUS_RUN
                   : str_eq(status, "io-error") ? VCPUS_STUCK
                                                : VCPUS_STAND;
}

static struct err *op_state(struct ctx *cx, void *drv, const char *id, struct guest_state *ret)
{
    TRY(check_server_id(cx, id));
    *ret = (struct guest_state){.power = GUEST_ABSENT};
    AUTO_GUEST struct guest *g = guest_find(drv, id);
    if (!g)
        return NULL;
    TRY(guest_check(cx, g));
    /* A call may be under way, and take long: then it does the looking. */
    if (pthread_mutex_trylock(&g->call) == 0) {
        look_inside(cx, g);
        pthread_mutex_unlock(&g->call);
    }
    AUTO_LOCK(&g->lock);
    fill_state(cx, g, ret);
    return NULL;
}

static struct err *op_list(struct ctx *cx, void *drv, const char ***ret_ids, size_t *ret_n)
{
    struct qemu *d = drv;
    const char **grouped;
    size_t n_grouped, n = 0;
    TRY(cgroup_list(cx, &d->cgroups, &grouped, &n_grouped));
    AUTO_LOCK(&d->lock);
    const char **ids = arena_new_array(cx->arena, const char *, d->n_guests + n_grouped + 1);
    for (size_t i = 0; i < d->n_guests; i++)
        ids[n++] = arena_strdup(cx->arena, d->guests[i]->id);
    for (size_t i = 0; i < n_grouped; i++) {
        bool known = false;
        for (size_t k = 0; k < n && !known; k++)
            known = str_eq(ids[k], grouped[i]);
        if (!known)
            ids[n++] = grouped[i];
    }
    *ret_ids = ids;
    *ret_n = n;
    return NULL;
}

static void op_on_change(void *drv, void (*fn)(void *arg, const char *id), void *arg)
{
    struct qemu *d = drv;
    AUTO_LOCK(&d->lock);
    d->change_fn = fn;
    d->change_arg = arg;
}

static struct err *op_inventory(struct ctx *cx, void *drv, struct jw *w)
{
    struct qemu *d = drv;
    return host_inventory(cx, &d->host, d->data_dir, w);
}

static void op_free(void *drv)
{
    struct qemu *d = drv;
    guests_free(d);
    cgroups_tidy(&d->cgroups); /* stays where guests are in it */
    close_fd_p(&d->servers_fd);
    close_fd_p(&d->lock_fd);
    close_fd_p(&d->epoll_fd);
    close_fd_p(&d->wake_fd);
    pthread_mutex_destroy(&d->lock);
    free(d->data_dir);
    free(d->qemu_path);
    free(d->qemu_img_path);
    free(d);
}

/* ---- making one ---- */

static struct err *open_data(struct ctx *cx, struct qemu *d)
{
    if (mkdir(d->data_dir, 0711) != 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot create the data folder '%s': %m", d->data_dir);
    AUTO_FD int data = open(d->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_FREE char *path = realpath(d->data_dir, NULL);
    if (path)
        record_set(&d->data_dir, path);
    if (data < 0 || !path)
        return fail(cx, ERR_UNAVAILABLE, "cannot open the data folder '%s': %m", d->data_dir);
    TRY(dir_make(cx, data, "servers", 0700, 0, 0, &d->servers_fd));
    return dir_lock(cx, d->servers_fd, d->data_dir, &d->lock_fd);
}

static struct err *check_config(struct ctx *cx, const struct qemu_config *cfg)
{
    if (!cfg->data_dir || !cfg->data_dir[0])
        return fail(cx, ERR_INVALID, "guests need a data folder");
    size_t len = cfg->instance ? strlen(cfg->instance) : 0;
    if (len == 0 || len > 48 ||
        strspn(cfg->instance, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") !=
            len)
        return fail(cx, ERR_INVALID, "the instance name has 1 to 48 letters, digits and '-'");
    if (cfg->uid_first < 1000 || cfg->uid_count < 1 ||
        cfg->uid_count > UINT32_MAX - 1 - cfg->uid_first)
        return fail(cx, ERR_INVALID, "guests need uids of 1000 and above; got %u from %u",
                    cfg->uid_count, cfg->uid_first);
    return NULL;
}

static struct err *open_driver(struct ctx *cx, struct qemu *d, const struct qemu_config *cfg)
{
    TRY(open_data(cx, d));
    TRY(cgroups_open(cx, cfg->instance, &d->cgroups));
    TRY(host_probe(cx, cfg->accel ? cfg->accel : "auto", d->qemu_path, &d->host));
    d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->epoll_fd < 0 || d->wake_fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot watch guests: %m");
    TRY(guests_recover(cx, d));
    return guests_watch_begin(cx, d);
}

static const struct guest_driver ops = {
    .name = "qemu",
    .prepare = op_prepare,
    .prepare_rescue = op_prepare_rescue,
    .start = op_start,
    .pause = op_pause,
    .suspend = op_suspend,
    .plug_nic = op_plug_nic,
    .unplug_nic = op_unplug_nic,
    .plug_volume = op_plug_volume,
    .unplug_volume = op_unplug_volume,
    .checkpoint = op_checkpoint,
    .restore = op_restore,
    .copy_root = op_copy_root,
    .volume_grow = op_volume_grow,
    .volume_snapshot = op_volume_snapshot,
    .volume_copy = op_volume_copy,
    .send = op_send,
    .receive = op_receive,
    .receive_end = op_receive_end,
    .diagnostics = op_diagnostics,
    .connect = op_connect,
    .shutdown = op_shutdown,
    .stop = op_stop,
    .reset = op_reset,
    .destroy = op_destroy,
    .state = op_state,
    .list = op_list,
    .console = op_console,
    .on_change = op_on_change,
    .free = op_free,
    .inventory = op_inventory,
};

struct err *qemu_driver_new(struct ctx *cx, const struct qemu_config *cfg,
                            struct guest_backend *ret)
{
    TRY(check_config(cx, cfg));
    struct qemu *d = calloc(1, sizeof(*d));
    must(d);
    d->servers_fd = d->lock_fd = d->epoll_fd = d->wake_fd = -1;
    pthread_mutex_init(&d->lock, NULL);
    record_set(&d->data_dir, cfg->data_dir);
    record_set(&d->qemu_path, cfg->qemu_path ? cfg->qemu_path : "qemu-system-x86_64");
    record_set(&d->qemu_img_path, cfg->qemu_img_path ? cfg->qemu_img_path : "qemu-img");
    d->uid_first = cfg->uid_first;
    d->uid_count = cfg->uid_count;
    d->img = (struct qemu_img){.program = d->qemu_img_path, .uid = cfg->uid_first + cfg->uid_count};
    struct err *e = open_driver(cx, d, cfg);
    if (e) {
        op_free(d);
        return e;
    }
    *ret = (struct guest_backend){.ops = &ops, .drv = d};
    return NULL;
}
