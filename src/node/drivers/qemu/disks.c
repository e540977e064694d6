/* SPDX-License-Identifier: EUPL-1.2 */
/* What is made and changed while the guest is off: its disks, its config drive, ways back. */
#include "node/drivers/qemu/disk.h"
#include "node/drivers/qemu/monitor.h"
#include "node/drivers/qemu/ops.h"
#include "node/drivers/tools/files.h"

#define CHECKPOINT_PREFIX "checkpoint-" /* internal snapshots of the root disk */

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

/* An overlay on the image; ret_image: its real path, where it is opened at each start. */
static struct err *make_overlay(struct ctx *cx, int dir, struct overlay_wish *w,
                                const char **ret_image)
{
    AUTO_FREE char *image = w->image_path ? realpath(w->image_path, NULL) : NULL;
    if (!image)
        return fail(cx, ERR_NOT_FOUND, "the file of image %s is not at '%s': %m", w->image->id,
                    w->image_path ? w->image_path : "");
    w->image_path = *ret_image = arena_strdup(cx->arena, image);
    return overlay_make(cx, dir, w);
}

/* The disk of this build, where the server doesn't boot from a volume. */
static struct err *make_root_disk(struct ctx *cx, int dir, const struct spec_server *spec,
                                  const char *image_path, const char **ret_image)
{
    struct overlay_wish w = {.name = root_disk_name(cx, spec->build_seq),
                             .image = &spec->image,
                             .image_path = image_path,
                             .size_gib = spec->root_gib};
    return spec->image.id ? make_overlay(cx, dir, &w, ret_image) : NULL;
}

static struct err *has_root_disk(struct ctx *cx, struct guest *g, int dir, int64_t built)
{
    AUTO_LOCK(&g->lock);
    if (g->rec.image_path && faccessat(dir, root_disk_name(cx, built), F_OK, 0) != 0)
        return fail(cx, ERR_CONFLICT, "the root disk of server %s is gone; rebuild the server",
                    g->id);
    return NULL;
}

static struct err *record_build(struct ctx *cx, struct guest *g, const struct spec_server *spec,
                                const char *image)
{
    AUTO_LOCK(&g->lock);
    g->rec.config_drive = spec->config_drive;
    if (g->rec.build_seq == spec->build_seq)
        return guest_save(cx, g);
    record_set(&g->rec.image_path, image);
    record_set(&g->rec.image_format, image ? spec->image.disk_format : NULL);
    g->rec.build_seq = spec->build_seq;
    g->rec.checkpoint = 0;
    if (g->rec.power == RECORD_CRASHED)
        g->rec.power = RECORD_OFF; /* what crashed is no more */
    return guest_save(cx, g);
}

static struct err *tidy(struct ctx *cx, struct guest *g, int dir)
{
    pthread_mutex_lock(&g->lock);
    const char *root = root_disk_name(cx, g->rec.build_seq);
    const char *rescue = g->rec.rescue_disk ? rescue_disk_name(cx, g->rec.rescue_disk) : NULL;
    pthread_mutex_unlock(&g->lock);
    return overlays_tidy(cx, dir, root, rescue);
}

struct err *op_prepare(struct ctx *cx, void *drv, const struct spec_server *spec,
                       const char *image_path)
{
    struct qemu *d = drv;
    TRY(check_server_id(cx, spec->id));
    if (spec->build_seq < 1)
        return fail(cx, ERR_INVALID, "server %s has no build number", spec->id);
    AUTO_CALL struct guest *g = guest_call(d, spec->id, true);
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
    const char *image = NULL;
    TRY(make_home(cx, g, &dir));
    if (built == spec->build_seq) {
        TRY(has_root_disk(cx, g, dir, built));
    } else {
        TRY(make_root_disk(cx, dir, spec, image_path, &image));
        TRY(memory_forget(cx, g)); /* of another disk */
    }
    TRY(spec->config_drive ? config_drive_make(cx, dir, guest_path(cx, g), spec)
                           : config_drive_remove(cx, dir));
    TRY(record_build(cx, g, spec, image));
    return tidy(cx, g, dir);
}

/* ---- rescue ---- */

/* Off, for one call (AUTO_CALL, also after an error). */
static struct err *call_off(struct ctx *cx, void *drv, const char *id, struct guest **ret,
                            int *ret_dir)
{
    TRY(check_server_id(cx, id));
    struct guest *g = *ret = guest_call(drv, id, false);
    if (!g || !g->recorded)
        return fail(cx, ERR_CONFLICT, "server %s has no disk yet", id);
    TRY(guest_check(cx, g));
    if (guest_alive(g))
        return fail(cx, ERR_CONFLICT, "server %s is running", id);
    return guest_dir(cx, g, ret_dir);
}

static struct err *record_rescue(struct ctx *cx, struct guest *g, const struct spec_rescue *rescue,
                                 const char *image)
{
    AUTO_LOCK(&g->lock);
    record_set(&g->rec.rescue_path, image);
    record_set(&g->rec.rescue_format, rescue->image.disk_format);
    g->rec.rescue_disk = rescue->seq;
    return guest_save(cx, g);
}

struct err *op_prepare_rescue(struct ctx *cx, void *drv, const struct spec_server *spec,
                              const char *image_path)
{
    const struct spec_rescue *rescue = &spec->rescue;
    AUTO_CALL struct guest *g = NULL;
    AUTO_FD int dir = -1;
    const char *image = NULL;
    if (rescue->seq < 1)
        return fail(cx, ERR_INVALID, "server %s is not to be rescued", spec->id);
    TRY(call_off(cx, drv, spec->id, &g, &dir));
    struct overlay_wish w = {.name = rescue_disk_name(cx, rescue->seq),
                             .image = &rescue->image,
                             .image_path = image_path,
                             .size_gib = spec->root_gib};
    pthread_mutex_lock(&g->lock);
    bool made = g->rec.rescue_disk == rescue->seq && faccessat(dir, w.name, F_OK, 0) == 0;
    pthread_mutex_unlock(&g->lock);
    if (made)
        return NULL;
    TRY(make_overlay(cx, dir, &w, &image));
    TRY(record_rescue(cx, g, rescue, image));
    return tidy(cx, g, dir);
}

/* ---- ways back ---- */

static struct err *open_root(struct ctx *cx, struct guest *g, int *ret_fd)
{
    AUTO_FD int dir = -1;
    TRY(guest_dir(cx, g, &dir));
    pthread_mutex_lock(&g->lock);
    const char *name = g->rec.image_path ? root_disk_name(cx, g->rec.build_seq) : NULL;
    pthread_mutex_unlock(&g->lock);
    *ret_fd = name ? openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (name && *ret_fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot open the root disk of server %s: %m", g->id);
    return NULL;
}

static struct err *drop_live(struct ctx *cx, struct guest *g, const char *name)
{
    AUTO_QMP struct qmp *q = NULL;
    TRY(guest_monitor(cx, g, &q));
    return mon(cx, q, "blockdev-snapshot-delete-internal-sync",
               json_pack("{s:s, s:s}", "device", "root", "name", name), NULL);
}

/* All of them but keep (NULL: none). */
static struct err *drop_checkpoints(struct ctx *cx, struct guest *g, int root, const char *keep)
{
    struct qcow2 is;
    bool alive = guest_alive(g);
    TRY(qcow2_read(cx, root, &is));
    for (size_t i = 0; i < is.n_snapshots; i++) {
        const char *name = is.snapshots[i].name;
        if (!str_starts(name, CHECKPOINT_PREFIX) || str_eq(name, keep))
            continue;
        TRY(alive ? drop_live(cx, g, name)
                  : disk_snapshot(cx, &g->drv->img, root, DISK_SNAPSHOT_DROP, name));
    }
    return NULL;
}

struct err *op_checkpoint(struct ctx *cx, void *drv, const char *id, int64_t number)
{
    AUTO_FD int root = -1;
    TRY(check_server_id(cx, id));
    AUTO_CALL struct guest *g = guest_call(drv, id, false);
    if (!g || !g->recorded)
        return fail(cx, ERR_CONFLICT, "server %s has no disk yet", id);
    TRY(guest_check(cx, g));
    pthread_mutex_lock(&g->lock);
    bool done = g->rec.checkpoint == number;
    pthread_mutex_unlock(&g->lock);
    if (done)
        return NULL;
    if (number && guest_alive(g))
        return fail(cx, ERR_CONFLICT, "server %s is running", id);
    const char *name =
        number ? arena_printf(cx->arena, CHECKPOINT_PREFIX "%" PRId64, number) : NULL;
    TRY(open_root(cx, g, &root));
    if (root >= 0 && number)
        TRY(disk_snapshot(cx, &g->drv->img, root, DISK_SNAPSHOT_MAKE, name));
    if (root >= 0)
        TRY(drop_checkpoints(cx, g, root, name));
    AUTO_LOCK(&g->lock);
    g->rec.checkpoint = number;
    return guest_save(cx, g);
}

struct err *op_restore(struct ctx *cx, void *drv, const char *id, int64_t restore_seq)
{
    AUTO_CALL struct guest *g = NULL;
    AUTO_FD int dir = -1, root = -1;
    TRY(call_off(cx, drv, id, &g, &dir));
    pthread_mutex_lock(&g->lock);
    bool done = g->rec.restore_seq >= restore_seq;
    int64_t number = g->rec.checkpoint;
    pthread_mutex_unlock(&g->lock);
    if (done)
        return NULL;
    TRY(open_root(cx, g, &root));
    if (number && root >= 0) {
        const char *name = arena_printf(cx->arena, CHECKPOINT_PREFIX "%" PRId64, number);
        TRY(memory_forget(cx, g)); /* of another disk */
        TRY(disk_snapshot(cx, &g->drv->img, root, DISK_SNAPSHOT_GO_BACK, name));
    }
    AUTO_LOCK(&g->lock);
    g->rec.restore_seq = restore_seq;
    return guest_save(cx, g);
}
