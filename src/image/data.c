/* SPDX-License-Identifier: EUPL-1.2 */
/* Image data in files: downloads, and removing what nobody names any longer. */
#include "image/resources.h"
#include <dirent.h>
#include <sys/file.h>
#include <sys/stat.h>

const struct stmt stmt_locations = {
    "image_locations", "SELECT location FROM images WHERE location IS NOT NULL "
                       "UNION ALL SELECT staged_location FROM images WHERE staged_location IS NOT "
                       "NULL"};
const struct stmt stmt_location_named = {
    "image_location_named", "SELECT 1 FROM images WHERE location = $1 OR staged_location = $1"};

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
