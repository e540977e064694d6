/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Uploads: data streams into a file of its own, digests taken on the way (intake.c); the row turns
 * active in one compare-and-swap after the file is on disk. Staged data is kept beside the row,
 * which an import, a deadline or the image's deletion takes it away from.
 */
#include "image/intake.h"
#include "image/resources.h"
#include <sys/file.h>
#include <sys/stat.h>

#define OPEN_TRIES 5

static struct err *open_upload(struct call *c, image_find_fn *find, bool stages,
                               struct http_sink **ret_sink);

struct upload {
    struct http_sink sink;
    struct call *call;
    struct image *image;
    const char *name, *path;
    int fd;
    struct intake *intake;
    int64_t size;
    uint8_t head[IMAGE_HEAD_BYTES];
    size_t head_size;
    const char *md5_hex, *sha512_hex, *unbootable;
    int64_t virtual_size;
    image_find_fn *find;
    bool stages; /* the image stays without its data until it is imported */
};

static void upload_release(void *arg)
{
    struct upload *u = arg;
    intake_free(TAKE_PTR(u->intake));
    close_fd_p(&u->fd);
}

static void upload_discard(struct upload *u)
{
    if (u->path)
        unlink(u->path);
    u->path = NULL;
}

static void upload_abort(struct http_sink *sink)
{
    struct upload *u = (struct upload *)(void *)sink;
    upload_discard(u);
}

static struct err *upload_write(struct http_sink *sink, struct ctx *cx, const char *data,
                                size_t size)
{
    struct upload *u = (struct upload *)(void *)sink;
    size_t n = min_i64((int64_t)(IMAGE_HEAD_BYTES - u->head_size), (int64_t)size) > 0
                   ? (size_t)min_i64((int64_t)(IMAGE_HEAD_BYTES - u->head_size), (int64_t)size)
                   : 0;
    memcpy(u->head + u->head_size, data, n);
    u->head_size += n;
    u->size += (int64_t)size;
    if (u->size > image_settings()->size_max_bytes)
        return fail(cx, ERR_TOO_LARGE, "The image is larger than the limit of %" PRId64 " bytes",
                    image_settings()->size_max_bytes);
    return intake_write(u->intake, cx, data, size);
}

static struct err *create_file(struct ctx *cx, struct upload *u)
{
    u->name = arena_printf(cx->arena, "%s-%s", u->image->id, uuid_new_hex(cx));
    u->path = arena_printf(cx->arena, "%s/%s", image_settings()->dir, u->name);
    u->fd = open(u->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (u->fd >= 0)
        return NULL;
    u->path = NULL;
    return fail(cx, ERR_UNAVAILABLE, "The image store can't be written: %m");
}

/* The lock says to image_clean that somebody is at it. It may have come first, and removes the
 * file: then another one is made. */
static struct err *open_file(struct ctx *cx, struct upload *u)
{
    struct stat st;
    for (int i = 0; i < OPEN_TRIES; i++) {
        TRY(create_file(cx, u));
        if (flock(u->fd, LOCK_EX | LOCK_NB) == 0 && fstat(u->fd, &st) == 0 && st.st_nlink)
            return NULL;
        close_fd_p(&u->fd);
        u->path = NULL;
    }
    return fail(cx, ERR_UNAVAILABLE, "The image store is being cleaned: try again");
}

static struct err *check_queued(struct ctx *cx, const struct upload *u, const struct image *i)
{
    if (!str_eq(i->status, "queued"))
        return fail(cx, ERR_CONFLICT, "Image status transition from %s to %s is not allowed",
                    i->status, u->stages ? "uploading" : "saving");
    if (!i->disk_format || !i->container_format)
        return fail(cx, ERR_INVALID,
                    "The image needs a disk_format and a container_format before its data");
    return NULL;
}

static struct err *load_for_upload(struct call *c, image_find_fn *find, struct image **ret)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_read(c->cx, c->store, &tx));
    c->tx = tx;
    struct err *e = find(c, ret);
    c->tx = NULL;
    return e;
}

struct err *image_upload_begin(struct call *c, struct http_sink **ret_sink)
{
    return image_upload_open(c, image_own, ret_sink);
}

struct err *image_upload_open(struct call *c, image_find_fn *find, struct http_sink **ret_sink)
{
    return open_upload(c, find, false, ret_sink);
}

struct err *image_stage_begin(struct call *c, struct http_sink **ret_sink)
{
    return open_upload(c, image_own, true, ret_sink);
}

static struct err *open_upload(struct call *c, image_find_fn *find, bool stages,
                               struct http_sink **ret_sink)
{
    struct upload *u = arena_new_of(c->cx->arena, struct upload);
    const char *type = http_header(c->rq, "Content-Type");
    *u = (struct upload){.sink = {.write = upload_write, .abort = upload_abort},
                         .call = c,
                         .fd = -1,
                         .find = find,
                         .stages = stages};
    if (type && !str_starts(type, "application/octet-stream"))
        return fail(c->cx, ERR_MEDIA_TYPE, "Image data is sent as application/octet-stream, not %s",
                    type);
    TRY(load_for_upload(c, find, &u->image));
    TRY(check_queued(c->cx, u, u->image));
    TRY(open_file(c->cx, u));
    u->intake = intake_new(u->fd);
    arena_defer(c->cx->arena, upload_release, u);
    c->state = u;
    *ret_sink = &u->sink;
    return NULL;
}

static struct err *sync_dir(struct ctx *cx)
{
    AUTO_FD int fd = open(image_settings()->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return fail(cx, ERR_UNAVAILABLE, "The image store can't be synced: %m");
    return NULL;
}

static struct err *settle(struct call *c, struct upload *u)
{
    struct image_format f;
    const char *length = http_header(c->rq, "Content-Length");
    int64_t announced;
    if (length && str_to_i64(length, 0, INT64_MAX, &announced) && announced != u->size)
        return fail(c->cx, ERR_INVALID,
                    "The upload was cut off: %" PRId64 " of %" PRId64 " bytes came", u->size,
                    announced);
    TRY(image_format_check(c->cx, u->image->disk_format, u->head, u->head_size, u->size, &f));
    u->virtual_size = f.virtual_size;
    u->unbootable = f.unbootable;
    TRY(intake_end(u->intake, c->cx, &u->md5_hex, &u->sha512_hex));
    if (fsync(u->fd) < 0)
        return fail(c->cx, ERR_UNAVAILABLE, "The image's data can't be synced: %m");
    return sync_dir(c->cx);
}

/* Before the transaction: everything slow. */
struct err *image_upload_settle(struct call *c)
{
    struct upload *u = c->state;
    struct err *e = settle(c, u);
    if (e)
        upload_discard(u);
    return e;
}

/* Kept beside the image's own: import_staged takes it over. */
static struct err *stage(struct call *c, const struct upload *u, struct image *i)
{
    i->status = "uploading";
    i->staged_location = u->name;
    i->staged_size = u->size;
    i->staged_virtual_size = u->virtual_size;
    i->staged_md5 = u->md5_hex;
    i->staged_sha512 = u->sha512_hex;
    i->staged_unbootable = u->unbootable;
    i->staged_at = now_us(c->cx);
    return res_update(c->cx, c->tx, &image_resource, i);
}

static struct err *finish(struct call *c, struct upload *u)
{
    struct image *i = NULL;
    TRY(u->find(c, &i));
    TRY(check_queued(c->cx, u, i));
    if (!str_eq(i->disk_format, u->image->disk_format)) /* the data was looked at as another one */
        return fail(c->cx, ERR_CONFLICT,
                    "The image's disk_format was changed during the upload: upload it again");
    int64_t mib = (u->size + (1 << 20) - 1) >> 20;
    if (u->stages) {
        TRY(quota_check(c->cx, c->tx, &image_service, "image_stage_total", i->owner, mib));
        TRY(quota_check(c->cx, c->tx, &image_service, "image_count_uploading", i->owner, 1));
        return stage(c, u, i);
    }
    TRY(quota_check(c->cx, c->tx, &image_service, "image_size_total", i->owner, mib));
    i->status = "active";
    i->size = u->size;
    i->virtual_size = u->virtual_size;
    i->checksum = u->md5_hex;
    i->os_hash_algo = "sha512";
    i->os_hash_value = u->sha512_hex;
    i->location = u->name;
    i->unbootable = u->unbootable;
    return res_update(c->cx, c->tx, &image_resource, i);
}

struct err *image_upload(struct call *c)
{
    struct upload *u = c->state;
    struct err *e = finish(c, u);
    if (e && e->kind != ERR_STALE)
        upload_discard(u); /* an outcome that is unknown is left to image_clean */
    TRY(e);
    call_reply_empty(c, 204);
    return NULL;
}
