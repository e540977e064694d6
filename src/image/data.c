/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Image data in files: an upload streams into a file of its own, digests taken on the way; the row
 * turns active in one compare-and-swap after the file is on disk. No state in between is ever
 * stored, so none can be stuck.
 */
#include "image/resources.h"
#include <dirent.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>

const struct stmt stmt_locations = {"image_locations",
                                    "SELECT location FROM images WHERE location IS NOT NULL"};
const struct stmt stmt_location_named = {"image_location_named",
                                         "SELECT 1 FROM images WHERE location = $1"};

struct upload {
    struct http_sink sink;
    struct call *call;
    struct image *image;
    const char *name, *path;
    int fd;
    EVP_MD_CTX *md5, *sha512;
    int64_t size;
    uint8_t head[IMAGE_HEAD_BYTES];
    size_t head_size;
    const char *md5_hex, *sha512_hex, *unbootable;
    int64_t virtual_size;
    image_find_fn *find;
};

static void upload_release(void *arg)
{
    struct upload *u = arg;
    close_fd_p(&u->fd);
    EVP_MD_CTX_free(u->md5);
    EVP_MD_CTX_free(u->sha512);
    u->md5 = u->sha512 = NULL;
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
    EVP_DigestUpdate(u->md5, data, size);
    EVP_DigestUpdate(u->sha512, data, size);
    for (size_t done = 0; done < size;) {
        ssize_t w = write(u->fd, data + done, size - done);
        if (w < 0 && errno != EINTR)
            return fail(cx, ERR_UNAVAILABLE, "The image's data can't be written: %m");
        done += w > 0 ? (size_t)w : 0;
    }
    return NULL;
}

static struct err *open_file(struct ctx *cx, struct upload *u)
{
    u->name = arena_printf(cx->arena, "%s-%s", u->image->id, uuid_new_hex(cx));
    u->path = arena_printf(cx->arena, "%s/%s", image_settings()->dir, u->name);
    u->fd = open(u->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (u->fd < 0) {
        u->path = NULL;
        return fail(cx, ERR_UNAVAILABLE, "The image store can't be written: %m");
    }
    struct stat st;
    /* The lock says to image_clean that somebody is at it; it may have come first. */
    if (flock(u->fd, LOCK_EX | LOCK_NB) < 0 || fstat(u->fd, &st) < 0 || !st.st_nlink) {
        close_fd_p(&u->fd);
        u->path = NULL;
        return fail(cx, ERR_UNAVAILABLE, "The image store is being cleaned: try again");
    }
    return NULL;
}

static struct err *check_queued(struct ctx *cx, const struct image *i)
{
    if (!str_eq(i->status, "queued"))
        return fail(cx, ERR_CONFLICT, "Image status transition from %s to saving is not allowed",
                    i->status);
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
    struct upload *u = arena_new_of(c->cx->arena, struct upload);
    const char *type = http_header(c->rq, "Content-Type");
    *u = (struct upload){
        .sink = {.write = upload_write, .abort = upload_abort}, .call = c, .fd = -1, .find = find};
    if (type && !str_starts(type, "application/octet-stream"))
        return fail(c->cx, ERR_MEDIA_TYPE, "Image data is sent as application/octet-stream, not %s",
                    type);
    TRY(load_for_upload(c, find, &u->image));
    TRY(check_queued(c->cx, u->image));
    TRY(open_file(c->cx, u));
    u->md5 = EVP_MD_CTX_new();
    u->sha512 = EVP_MD_CTX_new();
    arena_defer(c->cx->arena, upload_release, u);
    must(u->md5 && u->sha512 && EVP_DigestInit_ex(u->md5, EVP_md5(), NULL) == 1 &&
         EVP_DigestInit_ex(u->sha512, EVP_sha512(), NULL) == 1);
    c->state = u;
    *ret_sink = &u->sink;
    return NULL;
}

static const char *digest_hex(struct ctx *cx, EVP_MD_CTX *md)
{
    uint8_t raw[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    must(EVP_DigestFinal_ex(md, raw, &size) == 1);
    char *hex = arena_alloc(cx->arena, 2 * (size_t)size + 1);
    hex_encode(raw, size, hex);
    return hex;
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
    u->unbootable = f.recognised ? NULL
                                 : arena_printf(c->cx->arena, "the data is not a %s disk",
                                                u->image->disk_format);
    u->md5_hex = digest_hex(c->cx, u->md5);
    u->sha512_hex = digest_hex(c->cx, u->sha512);
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

static struct err *activate(struct call *c, struct upload *u)
{
    struct image *i = NULL;
    TRY(u->find(c, &i));
    TRY(check_queued(c->cx, i));
    if (!str_eq(i->disk_format, u->image->disk_format)) /* the data was looked at as another one */
        return fail(c->cx, ERR_CONFLICT,
                    "The image's disk_format was changed during the upload: upload it again");
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
    struct err *e = activate(c, u);
    if (e && e->kind != ERR_STALE)
        upload_discard(u); /* an outcome that is unknown is left to image_clean */
    TRY(e);
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- download */

/* "bytes=a-b", "bytes=a-", "bytes=-n" */
static struct err *apply_range(struct call *c, int64_t size)
{
    const char *range = http_header(c->rq, "Range"), *dash;
    int64_t from = 0, to = size - 1;
    if (!str_starts(range, "bytes=") || strchr(range, ',') || !(dash = strchr(range, '-')))
        return NULL;
    const char *a = arena_strndup(c->cx->arena, range + 6, (size_t)(dash - range - 6)),
               *b = dash + 1;
    bool ok = *a ? str_to_i64(a, 0, INT64_MAX, &from) && (!*b || str_to_i64(b, 0, INT64_MAX, &to))
                 : str_to_i64(b, 1, INT64_MAX, &to);
    if (!*a && ok) {
        from = max_i64(0, size - to);
        to = size - 1;
    }
    if (!ok || from > to || from >= size)
        return fail(c->cx, ERR_RANGE,
                    "The image has %" PRId64 " bytes: the range %s is outside of it", size, range);
    to = min_i64(to, size - 1);
    c->rp->file_offset = from;
    c->rp->file_size = to - from + 1;
    c->rp->status = 206;
    http_reply_header(
        c->rp, c->cx, "Content-Range",
        arena_printf(c->cx->arena, "bytes %" PRId64 "-%" PRId64 "/%" PRId64, from, to, size));
    return NULL;
}

static struct err *open_data(struct ctx *cx, const struct image *i, int *ret_fd, int64_t *ret_size)
{
    AUTO_FD int fd = open(arena_printf(cx->arena, "%s/%s", image_settings()->dir, i->location),
                          O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return fail(cx, ERR_INTERNAL, "the data of image %s is missing: %m", i->id);
    *ret_size = st.st_size;
    *ret_fd = TAKE_FD(fd);
    return NULL;
}

static struct err *send_file(struct call *c, const struct image *i)
{
    AUTO_FD int fd = -1;
    int64_t size = 0;
    if (!i->location) {
        call_reply_empty(c, 204);
        return NULL;
    }
    TRY(open_data(c->cx, i, &fd, &size));
    c->rp->status = 200;
    c->rp->content_type = "application/octet-stream";
    c->rp->file_offset = 0;
    c->rp->file_size = size;
    http_reply_header(c->rp, c->cx, "Content-MD5", i->checksum);
    TRY(apply_range(c, size));
    c->rp->file_fd = TAKE_FD(fd);
    return NULL;
}

struct err *image_download(struct call *c)
{
    struct image *i = c->target;
    if (str_eq(i->status, "deactivated") && !c->actor->admin)
        return fail(c->cx, ERR_FORBIDDEN,
                    "The requested image has been deactivated. Image data download is forbidden.");
    return send_file(c, i);
}

struct err *image_open(struct ctx *cx, struct tx *tx, const char *image_id, int *ret_fd,
                       int64_t *ret_size)
{
    struct image *i = NULL;
    TRY(res_find(cx, tx, &image_resource, image_id, (void **)&i));
    if (!i->location)
        return fail(cx, ERR_NOT_FOUND, "Image %s has no data yet", image_id);
    return open_data(cx, i, ret_fd, ret_size);
}

/* ---------------------------------------------------------------- removal */

static void unlink_now(void *arg)
{
    unlink(arg);
}

void image_data_forget(struct ctx *cx, struct tx *tx, const char *location)
{
    if (location)
        tx_on_commit(tx, unlink_now,
                     arena_printf(cx->arena, "%s/%s", image_settings()->dir, location));
}

static bool named_in(const struct db_rows *rows, const char *name)
{
    for (size_t i = 0; i < rows->n_rows; i++)
        if (str_eq(db_text(rows, i, 0), name))
            return true;
    return false;
}

static struct err *still_unnamed(struct ctx *cx, struct store *s, const char *name, bool *ret)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_value param = V_TEXT(name);
    struct db_rows rows;
    TRY(tx_read(cx, s, &tx));
    TRY(db_query(cx, tx, &stmt_location_named, &param, 1, &rows));
    *ret = rows.n_rows == 0;
    return NULL;
}

/*
 * An upload holds the lock of its file until its row is committed: who gets the lock sees whether
 * there is one. So the rows are asked again, one by one, after that.
 */
static struct err *clean_file(struct ctx *cx, struct store *s, const char *name)
{
    const char *path = arena_printf(cx->arena, "%s/%s", image_settings()->dir, name);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool unnamed = false;
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return NULL;
    TRY(still_unnamed(cx, s, name, &unnamed));
    if (unnamed)
        unlink(path);
    return NULL;
}

static struct err *known_locations(struct ctx *cx, struct store *s, struct db_rows *ret)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_read(cx, s, &tx));
    return db_query(cx, tx, &stmt_locations, NULL, 0, ret);
}

struct err *image_clean(struct ctx *cx, struct store *s)
{
    struct db_rows rows;
    TRY(known_locations(cx, s, &rows));
    DIR *dir = opendir(image_settings()->dir);
    if (!dir)
        return fail(cx, ERR_UNAVAILABLE, "cannot open the image store %s: %m",
                    image_settings()->dir);
    struct err *e = NULL;
    for (struct dirent *d; !e && (d = readdir(dir));)
        if (d->d_name[0] != '.' && !named_in(&rows, d->d_name))
            e = clean_file(cx, s, d->d_name);
    closedir(dir);
    return e;
}
