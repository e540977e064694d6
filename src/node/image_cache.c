/* SPDX-License-Identifier: EUPL-1.2 */
/* See image_cache.h. */
#include "node/image_cache.h"
#include <dirent.h>
#include <openssl/evp.h>
#include <sys/stat.h>

enum fetch_state { FETCH_QUEUED, FETCH_BUSY, FETCH_FAILED };

struct fetch {
    struct fetch *next;
    enum fetch_state state;
    char sha512[129], image_id[40];
    int64_t size_bytes;
    char *message; /* why it failed */
};

struct image_cache {
    struct image_cache_config cfg;
    char *dir;
    pthread_mutex_t lock;
    pthread_cond_t more;
    pthread_t thread;
    bool stop;
    struct fetch *fetches;
};

static const char *path_of(struct ctx *cx, const struct image_cache *c, const char *name)
{
    return arena_printf(cx->arena, "%s/%s", c->dir, name);
}

static struct err *make_dir(struct ctx *cx, const char *path)
{
    /* Guests' own users may open an image whose name they are given, but not look around. */
    if (mkdir(path, 0711) != 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot make the folder '%s': %m", path);
    return NULL;
}

/* ---- fetching ---- */

struct download {
    int fd;
    EVP_MD_CTX *digest;
    int64_t size_bytes, max_bytes;
};

static struct err *write_piece(struct ctx *cx, void *to, const char *data, size_t size)
{
    struct download *d = to;
    d->size_bytes += (int64_t)size;
    if (d->size_bytes > d->max_bytes)
        return fail(cx, ERR_TOO_LARGE, "the image is larger than it should be");
    must(EVP_DigestUpdate(d->digest, data, size) == 1);
    while (size) {
        ssize_t n = write(d->fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(cx, ERR_UNAVAILABLE, "cannot write the image: %m");
        data += n;
        size -= (size_t)n;
    }
    return NULL;
}

static struct err *check_download(struct ctx *cx, const struct fetch *f, struct download *d)
{
    uint8_t raw[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    must(EVP_DigestFinal_ex(d->digest, raw, &n) == 1);
    hex_encode(raw, n, hex);
    if (d->size_bytes != f->size_bytes || !str_eq(hex, f->sha512))
        return fail(cx, ERR_BAD_GATEWAY,
                    "image %s did not arrive as it should: %" PRId64 " of %" PRId64
                    " bytes, sha512 %.16s…, expected %.16s…",
                    f->image_id, d->size_bytes, f->size_bytes, hex, f->sha512);
    if (fsync(d->fd) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot write the image: %m");
    return NULL;
}

static struct err *download_to(struct ctx *cx, struct image_cache *c, const struct fetch *f, int fd)
{
    struct download d = {.fd = fd, .digest = EVP_MD_CTX_new(), .max_bytes = f->size_bytes};
    must(d.digest && EVP_DigestInit_ex(d.digest, EVP_sha512(), NULL) == 1);
    struct err *e = c->cfg.fetch(cx, c->cfg.fetch_arg, f->image_id, write_piece, &d);
    if (!e)
        e = check_download(cx, f, &d);
    EVP_MD_CTX_free(d.digest);
    return e;
}

static struct err *download(struct ctx *cx, struct image_cache *c, const struct fetch *f)
{
    const char *part = arena_printf(cx->arena, "%s/.part-%s", c->dir, f->sha512);
    AUTO_FD int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot make '%s': %m", part);
    struct err *e = download_to(cx, c, f, fd);
    if (!e && rename(part, path_of(cx, c, f->sha512)) != 0)
        e = fail(cx, ERR_UNAVAILABLE, "cannot rename '%s': %m", part);
    if (e) {
        unlink(part);
        return e;
    }
    AUTO_FD int dir = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || fsync(dir) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot sync '%s': %m", c->dir);
    return NULL;
}

/* ---- evicting ---- */

struct cached {
    struct cached *next;
    char sha512[129];
    int64_t size_bytes, mtime_s;
};

/* The names somebody's symlink in used/ points to: tested one by one, there are few. */
static bool in_use(struct ctx *cx, const struct image_cache *c, const char *sha512)
{
    const char *used = path_of(cx, c, "used");
    DIR *d = opendir(used);
    bool found = !d; /* not readable: rather keep all */
    char target[256];
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        ssize_t n =
            readlink(arena_printf(cx->arena, "%s/%s", used, e->d_name), target, sizeof(target) - 1);
        if (n > 0) {
            target[n] = 0;
            found = str_ends(target, sha512);
        }
    }
    if (d)
        closedir(d);
    return found;
}

static struct cached *list_cached(struct ctx *cx, const struct image_cache *c, int64_t *ret_bytes)
{
    struct cached *all = NULL;
    DIR *d = opendir(c->dir);
    *ret_bytes = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (strlen(e->d_name) != 128 || stat(path_of(cx, c, e->d_name), &st) != 0)
            continue;
        struct cached *f = arena_new_of(cx->arena, struct cached);
        memcpy(f->sha512, e->d_name, 129);
        f->size_bytes = (int64_t)st.st_blocks * 512;
        f->mtime_s = st.st_mtime;
        *ret_bytes += f->size_bytes;
        f->next = all;
        all = f;
    }
    if (d)
        closedir(d);
    return all;
}

static void evict(struct ctx *cx, struct image_cache *c, const char *just_fetched)
{
    int64_t bytes;
    struct cached *all = list_cached(cx, c, &bytes);
    while (c->cfg.max_bytes && bytes > c->cfg.max_bytes) {
        struct cached **oldest = NULL;
        for (struct cached **p = &all; *p; p = &(*p)->next)
            if (!oldest || (*p)->mtime_s < (*oldest)->mtime_s)
                oldest = p;
        if (!oldest)
            return;
        struct cached *f = *oldest;
        *oldest = f->next;
        if (str_eq(f->sha512, just_fetched) || in_use(cx, c, f->sha512))
            continue;
        if (unlink(path_of(cx, c, f->sha512)) == 0)
            bytes -= f->size_bytes;
    }
}

/* ---- the thread ---- */

static struct fetch *next_fetch(struct image_cache *c)
{
    for (struct fetch *f = c->fetches; f; f = f->next)
        if (f->state == FETCH_QUEUED)
            return f;
    return NULL;
}

static void forget(struct image_cache *c, struct fetch *gone)
{
    for (struct fetch **p = &c->fetches; *p; p = &(*p)->next) {
        if (*p == gone) {
            *p = gone->next;
            free(gone->message);
            free(gone);
            return;
        }
    }
}

static void fetch_one(struct image_cache *c, struct fetch *f)
{
    struct ctx cx;
    ctx_init(&cx);
    log_event(&cx, LOG_INFO, "fetching image", "image", f->image_id, NULL);
    struct err *e = download(&cx, c, f);
    pthread_mutex_lock(&c->lock);
    if (e) {
        f->state = FETCH_FAILED;
        f->message = strdup(e->message);
    } else {
        evict(&cx, c, f->sha512);
        forget(c, f);
    }
    pthread_mutex_unlock(&c->lock);
    ctx_release(&cx);
    if (c->cfg.arrived)
        c->cfg.arrived(c->cfg.arrived_arg);
}

static void *run(void *arg)
{
    struct image_cache *c = arg;
    pthread_mutex_lock(&c->lock);
    while (!c->stop) {
        struct fetch *f = next_fetch(c);
        if (!f) {
            pthread_cond_wait(&c->more, &c->lock);
            continue;
        }
        f->state = FETCH_BUSY;
        pthread_mutex_unlock(&c->lock);
        fetch_one(c, f);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* What a killed agent left half done. */
static void drop_parts(struct ctx *cx, struct image_cache *c)
{
    DIR *d = opendir(c->dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (str_starts(e->d_name, ".part-"))
            unlink(path_of(cx, c, e->d_name));
    if (d)
        closedir(d);
}

struct err *image_cache_new(struct ctx *cx, const struct image_cache_config *cfg,
                            struct image_cache **ret)
{
    TRY(make_dir(cx, cfg->dir));
    TRY(make_dir(cx, arena_printf(cx->arena, "%s/used", cfg->dir)));
    struct image_cache *c = calloc(1, sizeof(*c));
    must(c);
    c->cfg = *cfg;
    c->dir = strdup(cfg->dir);
    must(c->dir);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->more, NULL);
    drop_parts(cx, c);
    must(pthread_create(&c->thread, NULL, run, c) == 0);
    *ret = c;
    return NULL;
}

void image_cache_free(struct image_cache *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_signal(&c->more);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    while (c->fetches)
        forget(c, c->fetches);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->more);
    free(c->dir);
    free(c);
}

/* ---- the source ---- */

static struct err *cache_want(struct ctx *cx, void *arg, const struct spec_image *image,
                              bool *ret_here)
{
    struct image_cache *c = arg;
    AUTO_LOCK(&c->lock);
    *ret_here = access(path_of(cx, c, image->sha512), R_OK) == 0;
    if (*ret_here)
        return NULL;
    struct fetch *f = c->fetches;
    while (f && !str_eq(f->sha512, image->sha512))
        f = f->next;
    if (f && f->state == FETCH_FAILED) {
        struct err *e =
            fail(cx, ERR_UNAVAILABLE, "cannot fetch image %s: %s", image->id, f->message);
        forget(c, f);
        return e;
    }
    if (f)
        return NULL;
    f = calloc(1, sizeof(*f));
    must(f);
    snprintf(f->sha512, sizeof(f->sha512), "%s", image->sha512);
    snprintf(f->image_id, sizeof(f->image_id), "%s", image->id);
    f->size_bytes = image->size_bytes;
    f->next = c->fetches;
    c->fetches = f;
    pthread_cond_signal(&c->more);
    return NULL;
}

static struct err *cache_use(struct ctx *cx, void *arg, const char *user,
                             const struct spec_image *image, const char **ret_path)
{
    struct image_cache *c = arg;
    AUTO_LOCK(&c->lock);
    const char *path = path_of(cx, c, image->sha512);
    const char *link = arena_printf(cx->arena, "%s/used/%s", c->dir, user);
    const char *beside = arena_printf(cx->arena, "%s/used/.%s", c->dir, user);
    const char *target = arena_printf(cx->arena, "../%s", image->sha512);
    if (utimensat(AT_FDCWD, path, NULL, 0) != 0)
        return fail(cx, ERR_UNAVAILABLE, "image %s is no longer on this host: %m", image->id);
    unlink(beside);
    if (symlink(target, beside) != 0 || rename(beside, link) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot write '%s': %m", link);
    *ret_path = path;
    return NULL;
}

/* What was over the limit, as it was in use, may go now. */
static void cache_unuse(void *arg, const char *user)
{
    struct image_cache *c = arg;
    struct ctx cx;
    ctx_init(&cx);
    AUTO_LOCK(&c->lock);
    if (unlink(arena_printf(cx.arena, "%s/used/%s", c->dir, user)) == 0)
        evict(&cx, c, NULL);
    ctx_release(&cx);
}

/* Those that an earlier run of the agent kept. */
static struct err *cache_kept(struct ctx *cx, void *arg, const char ***ret_ids, size_t *ret_n)
{
    struct image_cache *c = arg;
    size_t n = 0, cap = 0;
    const char **ids = NULL;
    DIR *d = opendir(path_of(cx, c, "used"));
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!str_starts(e->d_name, CACHED_IMAGE))
            continue;
        if (n == cap) {
            cap = cap ? cap * 2 : 16;
            const char **more = arena_new_array(cx->arena, const char *, cap);
            if (n)
                memcpy(more, ids, n * sizeof(*more));
            ids = more;
        }
        ids[n++] = arena_strdup(cx->arena, e->d_name + strlen(CACHED_IMAGE));
    }
    if (d)
        closedir(d);
    *ret_ids = ids;
    *ret_n = n;
    return NULL;
}

struct image_source image_cache_source(struct image_cache *c)
{
    return (struct image_source){
        .want = cache_want, .use = cache_use, .unuse = cache_unuse, .kept = cache_kept, .arg = c};
}
