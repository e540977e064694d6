/* SPDX-License-Identifier: EUPL-1.2 */
/* The guest driver "qemu": the calls of node/drivers/driver.h. State and watching are in guests.h,
 * power-on in start.h. */
#include "node/drivers/qemu/disk.h"
#include "node/drivers/qemu/argv.h"
#include "node/drivers/tools/files.h"
#include "node/drivers/qemu/guests.h"
#include "node/drivers/qemu/start.h"
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#define MONITOR_TIMEOUT_MS 15000
#define QUIT_TIMEOUT_MS 5000
#define KILL_TIMEOUT_MS 20000
#define MAX_VCPUS 255
#define MAX_MEMORY_MIB ((int64_t)1 << 24)

static struct err *check_id(struct ctx *cx, const char *id)
{
    if (!id || strlen(id) != 36 || !uuid_valid(id))
        return fail(cx, ERR_INVALID, "'%s' is not a server's id", id ? id : "");
    return NULL;
}

static const char *guest_path(struct ctx *cx, const struct qemu *d, const char *id)
{
    return arena_printf(cx->arena, "%s/servers/%s", d->data_dir, id);
}

/* ---- prepare ---- */

/* The folder and the first record, which holds the uid. */
static struct err *make_home(struct ctx *cx, struct guest *g, int *ret_fd)
{
    TRY(guest_give_uid(cx, g));
    TRY(dir_make(cx, g->drv->servers_fd, g->id, 0710, 0, g->uid, ret_fd));
    AUTO_LOCK(&g->lock);
    if (g->recorded)
        return NULL;
    record_init(&g->rec, g->id, g->uid);
    return guest_save(cx, g);
}

/* The disk of this build; ret_image: the image's own path where it was made now. */
static struct err *make_root_disk(struct ctx *cx, struct guest *g, int dir,
                                  const struct spec_server *spec, const char *image_path,
                                  int64_t built, const char **ret_image)
{
    if (built == spec->build_seq) {
        if (faccessat(dir, root_disk_name(cx, built), F_OK, 0) != 0)
            return fail(cx, ERR_CONFLICT, "the root disk of server %s is gone; rebuild the server",
                        g->id);
        return NULL;
    }
    AUTO_FREE char *image = realpath(image_path, NULL); /* it is opened again at each start */
    if (!image)
        return fail(cx, ERR_NOT_FOUND, "the file of image %s is not at '%s': %m", spec->image.id,
                    image_path);
    *ret_image = arena_strdup(cx->arena, image);
    return root_disk_make(cx, g->drv->qemu_img_path, dir, guest_path(cx, g->drv, g->id), spec,
                          *ret_image);
}

static struct err *record_disks(struct ctx *cx, struct guest *g, const struct spec_server *spec,
                                const char *new_image)
{
    AUTO_LOCK(&g->lock);
    if (new_image) {
        record_set(&g->rec.image_path, new_image);
        record_set(&g->rec.image_format, spec->image.disk_format);
        g->rec.build_seq = spec->build_seq;
        if (g->rec.power == RECORD_CRASHED)
            g->rec.power = RECORD_OFF; /* what crashed is no more */
    }
    g->rec.config_drive = spec->config_drive;
    return guest_save(cx, g);
}

static struct err *op_prepare(struct ctx *cx, void *drv, const struct spec_server *spec,
                              const char *image_path)
{
    struct qemu *d = drv;
    TRY(check_id(cx, spec->id));
    if (spec->build_seq < 1)
        return fail(cx, ERR_INVALID, "server %s has no build number", spec->id);
    AUTO_GUEST struct guest *g = guest_obtain(d, spec->id);
    TRY(guest_check(cx, g));
    pthread_mutex_lock(&g->lock);
    bool alive = g->pidfd >= 0;
    int64_t built = g->rec.build_seq;
    pthread_mutex_unlock(&g->lock);
    if (alive && built == spec->build_seq)
        return NULL;
    if (alive)
        return fail(cx, ERR_CONFLICT, "server %s is running: its disk cannot be made now",
                    spec->id);
    AUTO_FD int dir = -1;
    TRY(make_home(cx, g, &dir));
    const char *new_image = NULL;
    TRY(make_root_disk(cx, g, dir, spec, image_path, built, &new_image));
    if (spec->config_drive)
        TRY(config_drive_make(cx, dir, guest_path(cx, d, g->id), spec));
    else
        TRY(config_drive_remove(cx, dir));
    TRY(record_disks(cx, g, spec, new_image));
    return root_disk_tidy(cx, dir, spec->build_seq);
}

/* ---- power ---- */

/* Ends the process if there is one. gently: QEMU may close its images first. */
static struct err *end_process(struct ctx *cx, struct guest *g, bool gently)
{
    pthread_mutex_lock(&g->lock);
    struct err *e = NULL;
    bool alive = g->pidfd >= 0;
    if (alive || g->rec.power == RECORD_CRASHED) {
        g->rec.power = alive ? RECORD_STOPPING : RECORD_OFF;
        e = guest_save(cx, g);
    }
    pthread_mutex_unlock(&g->lock);
    TRY(e);
    if (alive && gently) {
        guest_signal(g, SIGTERM);
        if (!guest_await_end(cx, g, QUIT_TIMEOUT_MS))
            return NULL;
    }
    guest_signal(g, SIGKILL);
    return guest_await_end(cx, g, KILL_TIMEOUT_MS);
}

static struct err *check_start(struct ctx *cx, const struct spec_server *spec)
{
    TRY(check_id(cx, spec->id));
    if (spec->n_nics > MACHINE_MAX_NICS)
        return fail(cx, ERR_INVALID, "a server can have at most %d ports", MACHINE_MAX_NICS);
    if (spec->vcpus < 1 || spec->vcpus > MAX_VCPUS)
        return fail(cx, ERR_INVALID, "a server cannot have %" PRId64 " vCPUs", spec->vcpus);
    if (spec->memory_mib < 1 || spec->memory_mib > MAX_MEMORY_MIB)
        return fail(cx, ERR_INVALID, "a server cannot have %" PRId64 " MiB of memory",
                    spec->memory_mib);
    return NULL;
}

static struct err *op_start(struct ctx *cx, void *drv, const struct spec_server *spec,
                            const int *taps, const struct volume_access *volumes UNUSED)
{
    struct qemu *d = drv;
    TRY(check_start(cx, spec));
    AUTO_GUEST struct guest *g = guest_find(d, spec->id);
    if (!g)
        return fail(cx, ERR_CONFLICT, "server %s has no disk yet", spec->id);
    TRY(guest_check(cx, g));
    pthread_mutex_lock(&g->lock);
    bool alive = g->pidfd >= 0;
    bool same = alive && g->rec.power == RECORD_ON && g->rec.boot_seq == spec->boot_seq;
    bool built = g->recorded && g->rec.build_seq == spec->build_seq;
    pthread_mutex_unlock(&g->lock);
    if (same)
        return NULL;
    if (!built)
        return fail(cx, ERR_CONFLICT, "server %s has no disk of this build yet", spec->id);
    if (alive)
        TRY(end_process(cx, g, true));
    TRY(cgroup_kill(cx, &d->cgroups, g->id));
    return guest_start(cx, g, spec, taps);
}

static struct err *tell_guest(struct ctx *cx, struct guest *g, const char *command)
{
    struct qmp *q;
    TRY(guest_monitor(cx, g, &q));
    struct err *e = qmp_call(cx, q, command, NULL, -1, MONITOR_TIMEOUT_MS, NULL);
    qmp_unref(q);
    return e;
}

static struct err *op_shutdown(struct ctx *cx, void *drv, const char *id)
{
    AUTO_GUEST struct guest *g = guest_find(drv, id);
    return g && guest_alive(g) ? tell_guest(cx, g, "system_powerdown") : NULL;
}

static struct err *op_stop(struct ctx *cx, void *drv, const char *id)
{
    AUTO_GUEST struct guest *g = guest_find(drv, id);
    return g ? end_process(cx, g, true) : NULL;
}

static struct err *op_reset(struct ctx *cx, void *drv, const char *id, int64_t reset_seq)
{
    AUTO_GUEST struct guest *g = guest_find(drv, id);
    if (!g || !guest_alive(g))
        return fail(cx, ERR_CONFLICT, "server %s is not running", id);
    pthread_mutex_lock(&g->lock);
    bool done = g->rec.reset_seq >= reset_seq;
    pthread_mutex_unlock(&g->lock);
    if (done)
        return NULL;
    TRY(tell_guest(cx, g, "system_reset"));
    AUTO_LOCK(&g->lock);
    g->rec.reset_seq = reset_seq;
    return guest_save(cx, g);
}

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
    TRY(check_id(cx, id));
    AUTO_GUEST struct guest *g = guest_find(d, id);
    if (g && guest_alive(g))
        TRY(end_process(cx, g, false));
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

static struct err *op_state(struct ctx *cx, void *drv, const char *id, struct guest_state *ret)
{
    TRY(check_id(cx, id));
    *ret = (struct guest_state){.power = GUEST_ABSENT};
    AUTO_GUEST struct guest *g = guest_find(drv, id);
    if (!g)
        return NULL;
    TRY(guest_check(cx, g));
    AUTO_LOCK(&g->lock);
    bool on = g->pidfd >= 0 && (g->rec.power == RECORD_ON || g->rec.power == RECORD_STOPPING);
    *ret = (struct guest_state){.power = on                               ? GUEST_ON
                                         : g->rec.power == RECORD_CRASHED ? GUEST_CRASHED
                                                                          : GUEST_OFF,
                                .boot_seq = g->rec.boot_seq,
                                .reset_seq = g->rec.reset_seq,
                                .build_seq = g->rec.build_seq,
                                .guest_shutdown = !on && g->rec.guest_shutdown,
                                .started_at_us = g->rec.started_at_us};
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

static struct err *op_console(struct ctx *cx, void *drv, const char *id, size_t max_bytes,
                              struct buf *ret)
{
    TRY(check_id(cx, id));
    AUTO_GUEST struct guest *g = guest_find(drv, id);
    if (!g)
        return fail(cx, ERR_NOT_FOUND, "server %s is not on this host", id);
    AUTO_FD int dir = -1;
    TRY(guest_dir(cx, g, &dir));
    AUTO_LOCK(&g->lock); /* not while it is being trimmed */
    return console_read(cx, dir, max_bytes, ret);
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
    .start = op_start,
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
    struct err *e = open_driver(cx, d, cfg);
    if (e) {
        op_free(d);
        return e;
    }
    *ret = (struct guest_backend){.ops = &ops, .drv = d};
    return NULL;
}
