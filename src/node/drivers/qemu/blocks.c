/* SPDX-License-Identifier: EUPL-1.2 */
/* What is done to disks, also while the guest has them open: then QEMU does it. */
#include "node/drivers/qemu/argv.h"
#include "node/drivers/qemu/disk.h"
#include "node/drivers/qemu/monitor.h"
#include "node/drivers/qemu/ops.h"
#include "node/drivers/tools/files.h"

#define COPY_NAME "copy" /* of the job, and of its target's node */
#define COPY_TIMEOUT_MS (2 * 60 * 1000)
#define COPY_BYTES_A_MS ((int64_t)4 << 10) /* at least: 4 MiB a second */
#define POLL_US 100000

/* ---- copying a disk that is in use ---- */

/* Whatever there is of a copy, whoever began it. */
static struct err *copy_drop(struct ctx *cx, struct qmp *q)
{
    TRY(mon_drop_job(cx, q, COPY_NAME));
    TRY(mon_drop_node(cx, q, COPY_NAME));
    return mon_drop_file(cx, q, FD_COPY);
}

static struct err *copy_await(struct ctx *cx, struct qmp *q, int64_t size_bytes,
                              const atomic_bool *given_up)
{
    struct clock *c = clock_system();
    int64_t until_us = c->mono_us(c) + (COPY_TIMEOUT_MS + size_bytes / COPY_BYTES_A_MS) * 1000;
    for (;;) {
        json_t *job;
        if (given_up && atomic_load(given_up))
            return fail(cx, ERR_TIMEOUT, "the disk's copy is not wanted any more");
        TRY(mon_job(cx, q, COPY_NAME, &job));
        const char *why = json_get_str(job, "error");
        if (!job || why)
            return fail(cx, ERR_UNAVAILABLE, "the disk cannot be copied: %s",
                        why ? why : "the job is gone");
        if (str_eq(json_get_str(job, "status"), "concluded"))
            return NULL;
        if (c->mono_us(c) > until_us || deadline_passed(cx))
            return fail(cx, ERR_TIMEOUT, "copying the disk takes too long");
        usleep(POLL_US);
    }
}

static struct err *copy_run(struct ctx *cx, struct qmp *q, const char *node, int fd,
                            int64_t size_bytes, const atomic_bool *given_up)
{
    json_t *target = json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "driver", "qcow2", "node-name",
                               COPY_NAME, "discard", "unmap", "file", "driver", "file", "filename",
                               arena_printf(cx->arena, "/dev/fdset/%d", FD_COPY));
    TRY(mon_pass_file(cx, q, fd, FD_COPY));
    TRY(mon(cx, q, "blockdev-add", target, NULL));
    TRY(mon(cx, q, "blockdev-backup",
            json_pack("{s:s, s:s, s:s, s:s, s:b}", "job-id", COPY_NAME, "device", node, "target",
                      COPY_NAME, "sync", "full", "auto-dismiss", 0),
            NULL));
    return copy_await(cx, q, size_bytes, given_up);
}

/* All of the node's bytes at one instant, also those of what it stands on, into a new blank disk.
 */
static struct err *copy_live(struct ctx *cx, struct guest *g, const char *node, int fd,
                             const atomic_bool *given_up)
{
    AUTO_QMP struct qmp *q = NULL;
    json_t *image;
    TRY(guest_monitor(cx, g, &q));
    TRY(mon_image(cx, q, node, &image));
    int64_t size_bytes = json_get_int(image, "virtual-size", -1);
    if (size_bytes < 0)
        return fail(cx, ERR_CONFLICT, "server %s has no such disk open", g->id);
    TRY(copy_drop(cx, q));
    TRY(disk_create(cx, &g->drv->img, fd, size_bytes));
    struct err *e = copy_run(cx, q, node, fd, size_bytes, given_up);
    struct err *left = copy_drop(cx, q);
    return e ? e : left;
}

/* ---- the root disk ---- */

static struct err *copy_off(struct ctx *cx, struct guest *g, int fd)
{
    AUTO_FD int dir = -1;
    struct qcow2 is;
    TRY(guest_dir(cx, g, &dir));
    pthread_mutex_lock(&g->lock);
    const char *name = root_disk_name(cx, g->rec.build_seq);
    const char *base_format = arena_strdup(cx->arena, g->rec.image_format);
    AUTO_FD int base = open(g->rec.image_path, O_RDONLY | O_CLOEXEC);
    pthread_mutex_unlock(&g->lock);
    AUTO_FD int root = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (base < 0 || root < 0)
        return fail(cx, ERR_UNAVAILABLE, "the root disk of server %s cannot be opened: %m", g->id);
    TRY(qcow2_read(cx, root, &is));
    TRY(disk_create(cx, &g->drv->img, fd, is.size_bytes));
    const struct disk_source from = {
        .fd = root, .format = "qcow2", .base_fd = base, .base_format = base_format};
    return disk_fill(cx, &g->drv->img, fd, &from, is.size_bytes);
}

struct err *op_copy_root(struct ctx *cx, void *drv, const char *id, const char *to_path,
                         const atomic_bool *given_up)
{
    struct new_file to;
    TRY(check_server_id(cx, id));
    AUTO_CALL struct guest *g = guest_call(drv, id, false);
    if (!g)
        return fail(cx, ERR_NOT_FOUND, "server %s is not on this host", id);
    TRY(guest_check(cx, g));
    pthread_mutex_lock(&g->lock);
    bool has_root = g->rec.image_path != NULL;
    pthread_mutex_unlock(&g->lock);
    if (!has_root)
        return fail(cx, ERR_CONFLICT, "server %s has no root disk of its own", id);
    TRY(new_file_begin(cx, to_path, &to));
    struct err *e =
        guest_alive(g) ? copy_live(cx, g, "root", to.fd, given_up) : copy_off(cx, g, to.fd);
    return new_file_end(cx, &to, e);
}

/* ---- volumes ---- */

/* The node of a volume that the running guest has open; for one call (AUTO_CALL). */
static struct err *call_volume(struct ctx *cx, void *drv, const char *id, const char *volume_id,
                               struct guest **ret, struct qmp **ret_q, const char **ret_node)
{
    size_t i;
    TRY(call_running(cx, drv, id, ret));
    if (!slot_of(*ret, SLOT_VOLUME, volume_id, &i))
        return fail(cx, ERR_CONFLICT, "server %s has no volume %s open", id, volume_id);
    *ret_node = slot_backend(cx, i, SLOT_VOLUME);
    return guest_monitor(cx, *ret, ret_q);
}

struct err *op_volume_grow(struct ctx *cx, void *drv, const char *id, const char *volume_id,
                           int64_t size_gib)
{
    AUTO_CALL struct guest *g = NULL;
    AUTO_QMP struct qmp *q = NULL;
    const char *node;
    json_t *image;
    if (size_gib < 1 || size_gib > INT64_MAX / GIB)
        return fail(cx, ERR_INVALID, "a volume of %" PRId64 " GiB cannot be", size_gib);
    TRY(call_volume(cx, drv, id, volume_id, &g, &q, &node));
    TRY(mon_image(cx, q, node, &image));
    if (json_get_int(image, "virtual-size", 0) >= size_gib * GIB)
        return NULL;
    return mon(cx, q, "block_resize",
               json_pack("{s:s, s:I}", "node-name", node, "size", (json_int_t)(size_gib * GIB)),
               NULL);
}

static bool has_snapshot(const json_t *image, const char *name)
{
    json_t *one;
    size_t i;
    json_array_foreach(json_get(image, "snapshots"), i, one)
    {
        if (str_eq(json_get_str(one, "name"), name))
            return true;
    }
    return false;
}

struct err *op_volume_snapshot(struct ctx *cx, void *drv, const char *id, const char *volume_id,
                               const char *snapshot_id, bool exists)
{
    AUTO_CALL struct guest *g = NULL;
    AUTO_QMP struct qmp *q = NULL;
    const char *node;
    json_t *image;
    if (!uuid_valid(snapshot_id))
        return fail(cx, ERR_INVALID, "'%s' is not a snapshot's id", snapshot_id);
    TRY(call_volume(cx, drv, id, volume_id, &g, &q, &node));
    TRY(mon_image(cx, q, node, &image));
    if (has_snapshot(image, snapshot_id) == exists)
        return NULL;
    return mon(cx, q,
               exists ? "blockdev-snapshot-internal-sync"
                      : "blockdev-snapshot-delete-internal-sync",
               json_pack("{s:s, s:s}", "device", node, "name", snapshot_id), NULL);
}

struct err *op_volume_copy(struct ctx *cx, void *drv, const char *id, const char *volume_id,
                           const char *to_path, const atomic_bool *given_up)
{
    AUTO_CALL struct guest *g = NULL;
    AUTO_QMP struct qmp *q = NULL;
    struct new_file to;
    const char *node;
    TRY(call_volume(cx, drv, id, volume_id, &g, &q, &node));
    TRY(new_file_begin(cx, to_path, &to));
    struct err *e = copy_live(cx, g, node, to.fd, given_up);
    return new_file_end(cx, &to, e);
}
