/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Taking both digests costs more than receiving and writing, so that a large image has a thread
 * for them. Bytes are gathered into pieces: the thread that receives them writes a full piece to
 * the file and hands it over, the helper takes the digests and lets the kernel begin to put the
 * file on the disk, so that little is left to wait for at the end. When all pieces are handed over
 * the writer waits, and with it the client: memory stays bounded.
 *
 * Small images, and those that come while as many helpers are at work as there may be, have their
 * digests taken by the thread that writes.
 */
#include "image/intake.h"
#include <openssl/evp.h>
#include <stdatomic.h>

#define SYNC_BYTES ((int64_t)8 << 20)
#define STACK_BYTES ((size_t)256 * 1024)

struct intake {
    int fd;
    EVP_MD_CTX *md5, *sha512;
    int64_t size, ask_at; /* bytes that came; when a helper is asked for (again) */

    bool helped;
    int64_t helped_from; /* bytes that came before */
    pthread_t thread;
    char *pieces;
    size_t fill; /* of the piece that n_full names: the writer's own */
    pthread_mutex_t lock;
    pthread_cond_t moved;     /* any of these: */
    uint64_t n_full, n_taken; /* pieces handed over; those whose digests are taken */
    size_t last_size;         /* of the last piece handed over; all others are full */
    bool ended, dropped;
};

static _Atomic int helpers;

int intake_helpers(void)
{
    return atomic_load(&helpers);
}

static char *piece(const struct intake *in, uint64_t n)
{
    return in->pieces + n % INTAKE_PIECES * INTAKE_PIECE_BYTES;
}

static void digest(struct intake *in, const char *data, size_t size)
{
    must(EVP_DigestUpdate(in->md5, data, size) == 1 &&
         EVP_DigestUpdate(in->sha512, data, size) == 1);
}

/* ---------------------------------------------------------------- the helper */

/* The next piece; false: there is none any more. */
static bool next_piece(struct intake *in, size_t *ret_size)
{
    AUTO_LOCK(&in->lock);
    while (in->n_taken == in->n_full && !in->ended)
        pthread_cond_wait(&in->moved, &in->lock);
    if (in->dropped || in->n_taken == in->n_full)
        return false;
    *ret_size = in->n_taken + 1 == in->n_full ? in->last_size : INTAKE_PIECE_BYTES;
    return true;
}

static void *helper_main(void *arg)
{
    struct intake *in = arg;
    int64_t from = in->helped_from, taken = from;
    pthread_setname_np(pthread_self(), "image-digest");
    for (size_t size; next_piece(in, &size);) {
        digest(in, piece(in, in->n_taken), size); /* only this thread changes n_taken */
        taken += (int64_t)size;
        if (taken - from >= SYNC_BYTES) { /* a hint: fsync tells of errors */
            (void)sync_file_range(in->fd, from, taken - from, SYNC_FILE_RANGE_WRITE);
            from = taken;
        }
        AUTO_LOCK(&in->lock);
        in->n_taken++;
        pthread_cond_signal(&in->moved);
    }
    return NULL;
}

static bool helper_reserve(void)
{
    int n = atomic_load(&helpers);
    while (n < INTAKE_HELPERS_MAX)
        if (atomic_compare_exchange_weak(&helpers, &n, n + 1))
            return true;
    return false;
}

/* Without one it goes on as it began. */
static void helper_start(struct intake *in)
{
    pthread_attr_t attr;
    if (!helper_reserve())
        return;
    if (!in->pieces)
        in->pieces = malloc(INTAKE_PIECES * INTAKE_PIECE_BYTES);
    must(in->pieces != NULL);
    in->helped_from = in->size;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    in->helped = pthread_create(&in->thread, &attr, helper_main, in) == 0;
    pthread_attr_destroy(&attr);
    if (!in->helped)
        atomic_fetch_sub(&helpers, 1);
}

static void helper_end(struct intake *in, bool drop)
{
    if (!in->helped)
        return;
    {
        AUTO_LOCK(&in->lock);
        in->ended = true;
        in->dropped = drop;
        pthread_cond_signal(&in->moved);
    }
    must(pthread_join(in->thread, NULL) == 0);
    in->helped = false;
    atomic_fetch_sub(&helpers, 1);
}

/* ---------------------------------------------------------------- the writer */

static struct err *write_all(struct ctx *cx, int fd, const char *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t w = write(fd, data + done, size - done);
        if (w < 0 && errno != EINTR)
            return fail(cx, errno == ENOSPC || errno == EDQUOT ? ERR_TOO_LARGE : ERR_UNAVAILABLE,
                        "The image's data can't be written: %m");
        done += w > 0 ? (size_t)w : 0;
    }
    return NULL;
}

static void await_room(struct intake *in)
{
    AUTO_LOCK(&in->lock);
    while (in->n_full - in->n_taken == INTAKE_PIECES)
        pthread_cond_wait(&in->moved, &in->lock);
}

static struct err *hand_over(struct intake *in, struct ctx *cx)
{
    TRY(write_all(cx, in->fd, piece(in, in->n_full), in->fill));
    AUTO_LOCK(&in->lock);
    in->last_size = in->fill;
    in->n_full++;
    in->fill = 0;
    pthread_cond_signal(&in->moved);
    return NULL;
}

static struct err *gather(struct intake *in, struct ctx *cx, const char *data, size_t size)
{
    while (size) {
        if (in->fill == 0)
            await_room(in);
        size_t n = size < INTAKE_PIECE_BYTES - in->fill ? size : INTAKE_PIECE_BYTES - in->fill;
        memcpy(piece(in, in->n_full) + in->fill, data, n); /* only this thread changes n_full */
        in->fill += n;
        data += n;
        size -= n;
        if (in->fill == INTAKE_PIECE_BYTES)
            TRY(hand_over(in, cx));
    }
    return NULL;
}

struct err *intake_write(struct intake *in, struct ctx *cx, const char *data, size_t size)
{
    if (!in->helped && in->size >= in->ask_at) {
        in->ask_at = in->size + INTAKE_ALONE_BYTES;
        helper_start(in);
    }
    in->size += (int64_t)size;
    if (in->helped)
        return gather(in, cx, data, size);
    digest(in, data, size);
    return write_all(cx, in->fd, data, size);
}

/* ---------------------------------------------------------------- beginning and end */

struct intake *intake_new(int fd)
{
    struct intake *in = calloc(1, sizeof(*in));
    must(in != NULL);
    in->fd = fd;
    in->ask_at = INTAKE_ALONE_BYTES;
    pthread_mutex_init(&in->lock, NULL);
    pthread_cond_init(&in->moved, NULL);
    in->md5 = EVP_MD_CTX_new();
    in->sha512 = EVP_MD_CTX_new();
    must(in->md5 && in->sha512 && EVP_DigestInit_ex(in->md5, EVP_md5(), NULL) == 1 &&
         EVP_DigestInit_ex(in->sha512, EVP_sha512(), NULL) == 1);
    return in;
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

struct err *intake_end(struct intake *in, struct ctx *cx, const char **ret_md5,
                       const char **ret_sha512)
{
    if (in->fill)
        TRY(hand_over(in, cx));
    helper_end(in, false);
    *ret_md5 = digest_hex(cx, in->md5);
    *ret_sha512 = digest_hex(cx, in->sha512);
    return NULL;
}

void intake_free(struct intake *in)
{
    if (!in)
        return;
    helper_end(in, true);
    free(in->pieces);
    EVP_MD_CTX_free(in->md5);
    EVP_MD_CTX_free(in->sha512);
    pthread_cond_destroy(&in->moved);
    pthread_mutex_destroy(&in->lock);
    free(in);
}
