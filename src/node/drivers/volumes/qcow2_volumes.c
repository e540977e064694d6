/* SPDX-License-Identifier: EUPL-1.2 */
/* The volume driver "qcow2": README.md. */
#include "node/drivers/driver.h"
#include "node/drivers/tools/files.h"
#include "node/drivers/tools/qcow2.h"
#include <sys/stat.h>
#include <sys/statvfs.h>

#define DISK_NAME "disk.qcow2"
#define NEW_PREFIX ".new-"
#define GONE_PREFIX ".gone-"
#define MAX_SIZE_GIB ((int64_t)1 << 20) /* a PiB */

struct busy {
    struct busy *next;
    const char *id;
};

struct volumes {
    char *data_dir, *program;
    char *owner; /* of shared storage; NULL: it is all ours */
    struct qemu_img img;
    int dir_fd, lock_fd;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t freed;
    struct busy *busy; /* volumes with a call under way; on the callers' stacks */
};

/* ---- one call at a time for a volume ---- */

struct hold {
    struct volumes *v;
    struct busy busy;
};

static bool is_busy(const struct volumes *v, const char *id)
{
    for (const struct busy *b = v->busy; b; b = b->next)
        if (str_eq(b->id, id))
            return true;
    return false;
}

static void hold_begin(struct volumes *v, struct hold *h)
{
    AUTO_LOCK(&v->lock);
    while (is_busy(v, h->busy.id))
        pthread_cond_wait(&v->freed, &v->lock);
    h->v = v;
    h->busy.next = v->busy;
    v->busy = &h->busy;
}

static void hold_end(struct hold *h)
{
    struct volumes *v = h->v;
    if (!v)
        return;
    AUTO_LOCK(&v->lock);
    for (struct busy **p = &v->busy; *p; p = &(*p)->next) {
        if (*p == &h->busy) {
            *p = h->busy.next;
            break;
        }
    }
    pthread_cond_broadcast(&v->freed);
}
#define AUTO_HOLD __attribute__((cleanup(hold_end)))

/* ---- files ---- */

static struct err *check_id(struct ctx *cx, const char *id)
{
    if (!id || strlen(id) != 36 || !uuid_valid(id))
        return fail(cx, ERR_INVALID, "'%s' is not a volume's id", id ? id : "");
    return NULL;
}

static struct err *check_size(struct ctx *cx, int64_t size_gib)
{
    if (size_gib < 1 || size_gib > MAX_SIZE_GIB)
        return fail(cx, ERR_INVALID, "a volume of %" PRId64 " GiB cannot be", size_gib);
    return NULL;
}

/* ERR_NOT_FOUND where there is no such volume. */
static struct err *open_disk(struct ctx *cx, struct volumes *v, const char *id, int flags,
                             int *ret_fd)
{
    const char *name = arena_printf(cx->arena, "%s/" DISK_NAME, id);
    *ret_fd = openat(v->dir_fd, name, flags | O_NOFOLLOW | O_CLOEXEC);
    if (*ret_fd < 0)
        return fail(cx, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
                    "cannot open the disk of volume %s: %m", id);
    return NULL;
}

/* Unfinished work, by volume and by host. */
static const char *beside(struct ctx *cx, const struct volumes *v, const char *prefix,
                          const char *id)
{
    return arena_printf(cx->arena, "%s%s%s%s", prefix, id, v->owner ? "." : "",
                        v->owner ? v->owner : "");
}

/* … of any host: the volume is this one's now. */
static struct err *drop_unfinished(struct ctx *cx, struct volumes *v, const char *id)
{
    const char **names, *made = arena_printf(cx->arena, NEW_PREFIX "%s", id),
                        *gone = arena_printf(cx->arena, GONE_PREFIX "%s", id);
    size_t n;
    TRY(dir_names(cx, v->dir_fd, &names, &n));
    for (size_t i = 0; i < n; i++)
        if (str_starts(names[i], made) || str_starts(names[i], gone))
            TRY(dir_remove(cx, v->dir_fd, names[i]));
    return NULL;
}

static bool is_present(struct volumes *v, struct ctx *cx, const char *id)
{
    return faccessat(v->dir_fd, arena_printf(cx->arena, "%s/" DISK_NAME, id), F_OK, 0) == 0;
}

/* ---- make ---- */

struct source {
    struct disk_source disk;
    int64_t now_bytes;  /* of the disk as it is */
    int64_t then_bytes; /* of what is copied */
};

static void source_fini(struct source *s)
{
    close_fd_p(&s->disk.fd);
}
#define AUTO_SOURCE __attribute__((cleanup(source_fini)))

static struct err *open_image(struct ctx *cx, const struct spec_image *image, const char *path,
                              struct source *s)
{
    struct stat st;
    struct qcow2 q;
    s->disk.format = image->disk_format;
    s->disk.fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (s->disk.fd < 0 || fstat(s->disk.fd, &st) != 0)
        return fail(cx, ERR_NOT_FOUND, "the file of image %s is not at '%s': %m", image->id,
                    path ? path : "");
    s->now_bytes = s->then_bytes = (st.st_size + 511) / 512 * 512;
    if (str_eq(image->disk_format, "qcow2")) {
        TRY(qcow2_read(cx, s->disk.fd, &q));
        s->now_bytes = s->then_bytes = q.size_bytes;
    }
    return NULL;
}

static struct err *open_volume(struct ctx *cx, struct volumes *v, const char *id,
                               const char *snapshot_id, struct source *s)
{
    struct qcow2 q;
    TRY(check_id(cx, id));
    TRY(open_disk(cx, v, id, O_RDONLY, &s->disk.fd));
    TRY(qcow2_read(cx, s->disk.fd, &q));
    s->disk.format = "qcow2";
    s->disk.snapshot = snapshot_id;
    s->now_bytes = s->then_bytes = q.size_bytes;
    const struct qcow2_snapshot *at = snapshot_id ? qcow2_snapshot(&q, snapshot_id) : NULL;
    if (snapshot_id && !at)
        return fail(cx, ERR_NOT_FOUND, "volume %s has no snapshot %s", id, snapshot_id);
    if (at)
        s->then_bytes = at->size_bytes;
    return NULL;
}

/* A snapshot's disk is read at the size that it has today; what it has grown by is cut off again.
 */
static struct err *fill(struct ctx *cx, struct volumes *v, const struct spec_volume *spec, int fd,
                        const struct source *from)
{
    int64_t size = spec->size_gib * GIB, first = max_i64(size, from->now_bytes);
    struct qcow2 q;
    if (from->then_bytes > size)
        return fail(cx, ERR_INVALID,
                    "its source has %" PRId64 " bytes, more than its %" PRId64 " GiB",
                    from->then_bytes, spec->size_gib);
    TRY(disk_create(cx, &v->img, fd, first));
    TRY(disk_fill(cx, &v->img, fd, &from->disk, first));
    if (first > size)
        TRY(disk_resize(cx, &v->img, fd, size, true));
    if (!from->disk.snapshot)
        return NULL;
    /* Deleted while we copied it: what we have is no snapshot of anything. */
    TRY(qcow2_read(cx, from->disk.fd, &q));
    if (!qcow2_snapshot(&q, from->disk.snapshot))
        return fail(cx, ERR_CONFLICT, "snapshot %s went while it was copied", from->disk.snapshot);
    return NULL;
}

static struct err *make_filled(struct ctx *cx, struct volumes *v, const struct spec_volume *spec,
                               int dir_fd, const char *image_path)
{
    const struct spec_source *from = &spec->source;
    AUTO_FD int fd = -1;
    AUTO_SOURCE struct source s = {.disk = {.fd = -1, .base_fd = -1}};
    TRY(file_create(cx, dir_fd, DISK_NAME, &fd));
    if (from->image.id)
        TRY(open_image(cx, &from->image, image_path, &s));
    else if (from->volume_id)
        TRY(open_volume(cx, v, from->volume_id, from->snapshot_id, &s));
    else
        return disk_create(cx, &v->img, fd, spec->size_gib * GIB);
    /* As it is: nothing of ours may change it meanwhile. No volume is its own source's source. */
    AUTO_HOLD struct hold h = {.busy.id = from->volume_id};
    if (from->volume_id && !from->snapshot_id)
        hold_begin(v, &h);
    return fill(cx, v, spec, fd, &s);
}

/* From another file system. */
static struct err *copy_over(struct ctx *cx, struct volumes *v, const struct spec_volume *spec,
                             int dir_fd, const char *from_path)
{
    AUTO_FD int fd = -1;
    AUTO_SOURCE struct source s = {.disk = {.fd = -1, .base_fd = -1, .format = "qcow2"}};
    struct qcow2 q;
    s.disk.fd = open(from_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (s.disk.fd < 0)
        return fail(cx, ERR_NOT_FOUND, "the copy '%s' cannot be opened: %m", from_path);
    TRY(qcow2_read(cx, s.disk.fd, &q));
    if (q.backing)
        return fail(cx, ERR_INVALID, "the copy '%s' is no whole disk", from_path);
    s.now_bytes = s.then_bytes = q.size_bytes;
    TRY(file_create(cx, dir_fd, DISK_NAME, &fd));
    return fill(cx, v, spec, fd, &s);
}

/* A second name of the copy: the first goes when the volume is whole. */
static struct err *take_over(struct ctx *cx, struct volumes *v, const struct spec_volume *spec,
                             int dir_fd, const char *from_path)
{
    int64_t size = spec->size_gib * GIB;
    struct qcow2 q;
    if (linkat(AT_FDCWD, from_path, dir_fd, DISK_NAME, 0) != 0 && errno == EXDEV)
        return copy_over(cx, v, spec, dir_fd, from_path);
    if (faccessat(dir_fd, DISK_NAME, F_OK, 0) != 0)
        return fail(cx, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
                    "the copy '%s' cannot be taken over: %m", from_path);
    AUTO_FD int fd = openat(dir_fd, DISK_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0600) != 0)
        return fail(cx, ERR_UNAVAILABLE, "the copy '%s' cannot be taken over: %m", from_path);
    TRY(qcow2_read(cx, fd, &q));
    if (q.backing || q.size_bytes > size)
        return fail(cx, ERR_INVALID, "the copy '%s' is no whole disk of at most %" PRId64 " GiB",
                    from_path, spec->size_gib);
    return q.size_bytes < size ? disk_resize(cx, &v->img, fd, size, false) : NULL;
}

static struct err *make_new(struct ctx *cx, struct volumes *v, const struct spec_volume *spec,
                            const char *name, const char *image_path, const char *from_path)
{
    AUTO_FD int dir = -1;
    TRY(dir_make(cx, v->dir_fd, name, 0700, geteuid(), getegid(), &dir));
    TRY(from_path ? take_over(cx, v, spec, dir, from_path)
                  : make_filled(cx, v, spec, dir, image_path));
    TRY(file_settle(cx, dir, DISK_NAME, DISK_NAME));
    if (renameat(v->dir_fd, name, v->dir_fd, spec->id) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot put volume %s in its place: %m", spec->id);
    return dir_sync(cx, v->dir_fd);
}

static struct err *op_make(struct ctx *cx, void *drv, const struct spec_volume *spec,
                           const char *image_path, const char *from_path)
{
    struct volumes *v = drv;
    TRY(check_id(cx, spec->id));
    TRY(check_size(cx, spec->size_gib));
    AUTO_HOLD struct hold h = {.busy.id = spec->id};
    hold_begin(v, &h);
    if (!is_present(v, cx, spec->id)) {
        const char *name = beside(cx, v, NEW_PREFIX, spec->id);
        TRY(dir_remove(cx, v->dir_fd, name));
        struct err *e = make_new(cx, v, spec, name, image_path, from_path);
        if (e) {
            struct err *left UNUSED = dir_remove(cx, v->dir_fd, name);
            return wrap(cx, e, e->kind, "volume %s cannot be made: %s", spec->id, e->message);
        }
    }
    if (from_path && unlink(from_path) != 0 && errno != ENOENT)
        return fail(cx, ERR_UNAVAILABLE, "cannot remove '%s': %m", from_path);
    return NULL;
}

/* ---- the rest of its life ---- */

static struct err *op_grow(struct ctx *cx, void *drv, const char *id, int64_t size_gib)
{
    struct volumes *v = drv;
    AUTO_FD int fd = -1;
    struct qcow2 q;
    TRY(check_id(cx, id));
    TRY(check_size(cx, size_gib));
    AUTO_HOLD struct hold h = {.busy.id = id};
    hold_begin(v, &h);
    TRY(open_disk(cx, v, id, O_RDWR, &fd));
    TRY(qcow2_read(cx, fd, &q));
    return q.size_bytes >= size_gib * GIB ? NULL
                                          : disk_resize(cx, &v->img, fd, size_gib * GIB, false);
}

static struct err *op_snapshot(struct ctx *cx, void *drv, const char *id, const char *snapshot_id,
                               bool exists)
{
    struct volumes *v = drv;
    AUTO_FD int fd = -1;
    TRY(check_id(cx, id));
    if (!uuid_valid(snapshot_id))
        return fail(cx, ERR_INVALID, "'%s' is not a snapshot's id", snapshot_id);
    AUTO_HOLD struct hold h = {.busy.id = id};
    hold_begin(v, &h);
    TRY(open_disk(cx, v, id, O_RDWR, &fd));
    return disk_snapshot(cx, &v->img, fd, exists ? DISK_SNAPSHOT_MAKE : DISK_SNAPSHOT_DROP,
                         snapshot_id);
}

static struct err *op_copy(struct ctx *cx, void *drv, const char *id, const char *to_path)
{
    struct volumes *v = drv;
    struct new_file to;
    TRY(check_id(cx, id));
    AUTO_HOLD struct hold h = {.busy.id = id};
    hold_begin(v, &h);
    AUTO_SOURCE struct source from = {.disk = {.fd = -1, .base_fd = -1}};
    TRY(open_volume(cx, v, id, NULL, &from));
    TRY(new_file_begin(cx, to_path, &to));
    struct err *e = disk_create(cx, &v->img, to.fd, from.now_bytes);
    if (!e)
        e = disk_fill(cx, &v->img, to.fd, &from.disk, from.now_bytes);
    return new_file_end(cx, &to, e);
}

static struct err *op_remove(struct ctx *cx, void *drv, const char *id)
{
    struct volumes *v = drv;
    TRY(check_id(cx, id));
    AUTO_HOLD struct hold h = {.busy.id = id};
    hold_begin(v, &h);
    const char *gone = beside(cx, v, GONE_PREFIX, id);
    TRY(drop_unfinished(cx, v, id));
    if (renameat(v->dir_fd, id, v->dir_fd, gone) != 0 && errno != ENOENT)
        return fail(cx, ERR_UNAVAILABLE, "cannot remove volume %s: %m", id);
    TRY(dir_sync(cx, v->dir_fd));
    return dir_remove(cx, v->dir_fd, gone);
}

/* Waits for nobody: a header may be read at any time. */
static struct err *op_state(struct ctx *cx, void *drv, const char *id, struct volume_seen *ret)
{
    struct volumes *v = drv;
    AUTO_FD int fd = -1;
    struct qcow2 q;
    TRY(check_id(cx, id));
    *ret = (struct volume_seen){0};
    struct err *e = open_disk(cx, v, id, O_RDONLY, &fd);
    if (e)
        return e->kind == ERR_NOT_FOUND ? NULL : e;
    TRY(qcow2_read(cx, fd, &q));
    ret->present = true;
    ret->size_gib = q.size_bytes / GIB;
    ret->snapshots = arena_new_array(cx->arena, const char *, q.n_snapshots + 1);
    for (size_t i = 0; i < q.n_snapshots; i++)
        if (uuid_valid(q.snapshots[i].name))
            ret->snapshots[ret->n_snapshots++] = q.snapshots[i].name;
    return NULL;
}

static struct err *op_access(struct ctx *cx, void *drv, const char *id, struct volume_access *ret)
{
    struct volumes *v = drv;
    TRY(check_id(cx, id));
    if (!is_present(v, cx, id))
        return fail(cx, ERR_NOT_FOUND, "volume %s is not on this host", id);
    *ret = (struct volume_access){
        .path = arena_printf(cx->arena, "%s/volumes/%s/" DISK_NAME, v->data_dir, id),
        .format = "qcow2"};
    return NULL;
}

static struct err *op_list(struct ctx *cx, void *drv, const char ***ret_ids, size_t *ret_n)
{
    struct volumes *v = drv;
    const char **names;
    size_t n, n_ids = 0;
    TRY(dir_names(cx, v->dir_fd, &names, &n));
    for (size_t i = 0; i < n; i++)
        if (strlen(names[i]) == 36 && uuid_valid(names[i]))
            names[n_ids++] = names[i];
    *ret_ids = names;
    *ret_n = n_ids;
    return NULL;
}

static struct err *op_size(struct ctx *cx, void *drv, int64_t *ret_gib)
{
    struct volumes *v = drv;
    struct statvfs s;
    if (fstatvfs(v->dir_fd, &s) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot ask for the size of '%s': %m", v->data_dir);
    *ret_gib = (int64_t)((uint64_t)s.f_blocks * s.f_frsize >> 30);
    return NULL;
}

static void op_free(void *drv)
{
    struct volumes *v = drv;
    close_fd_p(&v->dir_fd);
    close_fd_p(&v->lock_fd);
    pthread_cond_destroy(&v->freed);
    pthread_mutex_destroy(&v->lock);
    free(v->data_dir);
    free(v->owner);
    free(v->program);
    free(v);
}

/* ---- making one ---- */

static struct err *open_data(struct ctx *cx, struct volumes *v, const char *data_dir)
{
    if (mkdir(data_dir, 0711) != 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot create the data folder '%s': %m", data_dir);
    AUTO_FD int data = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    v->data_dir = realpath(data_dir, NULL);
    if (data < 0 || !v->data_dir)
        return fail(cx, ERR_UNAVAILABLE, "cannot open the data folder '%s': %m", data_dir);
    TRY(dir_make(cx, data, "volumes", 0700, geteuid(), getegid(), &v->dir_fd));
    if (v->owner) /* each host has its volumes' names to itself */
        return NULL;
    return dir_lock(cx, v->dir_fd, v->data_dir, &v->lock_fd);
}

static struct err *remove_leftovers(struct ctx *cx, struct volumes *v)
{
    const char **names;
    size_t n;
    TRY(dir_names(cx, v->dir_fd, &names, &n));
    for (size_t i = 0; i < n; i++)
        if ((str_starts(names[i], NEW_PREFIX) || str_starts(names[i], GONE_PREFIX)) &&
            (!v->owner || str_ends(names[i], arena_printf(cx->arena, ".%s", v->owner))))
            TRY(dir_remove(cx, v->dir_fd, names[i]));
    return NULL;
}

static const struct volume_driver ops = {
    .name = "qcow2",
    .make = op_make,
    .grow = op_grow,
    .snapshot = op_snapshot,
    .copy = op_copy,
    .remove = op_remove,
    .state = op_state,
    .access = op_access,
    .list = op_list,
    .size = op_size,
    .free = op_free,
};

struct err *qcow2_volumes_new(struct ctx *cx, const struct qcow2_volumes_config *cfg,
                              struct volume_backend *ret)
{
    struct volumes *v = calloc(1, sizeof(*v));
    must(v);
    v->dir_fd = v->lock_fd = -1;
    v->owner = cfg->owner ? strdup(cfg->owner) : NULL;
    v->program = strdup(cfg->qemu_img_path ? cfg->qemu_img_path : "qemu-img");
    must(v->program);
    v->img = (struct qemu_img){.program = v->program, .uid = cfg->uid};
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->freed, NULL);
    struct err *e = open_data(cx, v, cfg->data_dir);
    if (!e)
        e = remove_leftovers(cx, v);
    if (e) {
        op_free(v);
        return e;
    }
    *ret = (struct volume_backend){.ops = &ops, .drv = v};
    return NULL;
}
