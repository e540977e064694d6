/* SPDX-License-Identifier: EUPL-1.2 */
/* A chain of blocks, newest first; big allocations get a block of their own. */
#include "base/base.h"

#define BLOCK_BYTES ((size_t)8192)
#define LARGE_FROM ((size_t)65536) /* who needs so much gets blocks of this size: fewer of them */
#define ALIGN ((size_t)16)

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(16) char data[];
};

struct deferred {
    struct deferred *next;
    void (*fn)(void *);
    void *arg;
};

struct arena {
    struct block *blocks;
    struct deferred *deferred;
    size_t total;
};

static struct block *block_new(size_t size)
{
    struct block *b = malloc(sizeof(*b) + size);
    if (!b)
        bug_at(WHERE, "out of memory");
    b->next = NULL;
    b->used = 0;
    b->size = size;
    return b;
}

struct arena *arena_new(void)
{
    struct arena *a = calloc(1, sizeof(*a));
    if (!a)
        bug_at(WHERE, "out of memory");
    a->blocks = block_new(BLOCK_BYTES - sizeof(struct block));
    return a;
}

static void run_deferred(struct arena *a)
{
    while (a->deferred) {
        struct deferred *d = a->deferred;
        a->deferred = d->next;
        d->fn(d->arg);
    }
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    run_deferred(a);
    for (struct block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

void arena_reset(struct arena *a)
{
    run_deferred(a);
    struct block *keep = NULL; /* of the usual size: a big one would stay for good */
    for (struct block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        if (!keep && b->size == BLOCK_BYTES - sizeof(*b))
            keep = b;
        else
            free(b);
    }
    must(keep != NULL);
    keep->next = NULL;
    keep->used = 0;
    a->blocks = keep;
    a->total = 0;
}

void *arena_take(struct arena *a, size_t size)
{
    must(size < (SIZE_MAX >> 2));
    size = (size + ALIGN - 1) & ~(ALIGN - 1);
    struct block *b = a->blocks;
    if (b->size - b->used < size) {
        size_t usual = (a->total < LARGE_FROM ? BLOCK_BYTES : LARGE_FROM) - sizeof(struct block);
        b = block_new(size > usual / 4 ? size : usual);
        if (b->size == size) { /* keeps the half-filled block in front */
            b->next = a->blocks->next;
            a->blocks->next = b;
        } else {
            b->next = a->blocks;
            a->blocks = b;
        }
    }
    void *p = b->data + b->used;
    b->used += size;
    a->total += size;
    return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
    return memset(arena_take(a, size), 0, size);
}

void *arena_memdup(struct arena *a, const void *data, size_t size)
{
    void *p = arena_take(a, size);
    if (size)
        memcpy(p, data, size);
    return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
    char *p = arena_take(a, len + 1);
    memcpy(p, s, len);
    p[len] = 0;
    return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

/* Mostly short: written where there is room, and once more only if it was too long. */
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
    struct block *b = a->blocks;
    size_t room = b->size - b->used;
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(b->data + b->used, room, fmt, ap);
    must(n >= 0);
    char *here = b->data + b->used, *p = arena_take(a, (size_t)n + 1);
    if (p != here)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *p = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return p;
}

void arena_defer(struct arena *a, void (*fn)(void *), void *arg)
{
    struct deferred *d = arena_alloc(a, sizeof(*d));
    *d = (struct deferred){.next = a->deferred, .fn = fn, .arg = arg};
    a->deferred = d;
}

struct secret {
    void *data;
    size_t size;
};

static void wipe(void *arg)
{
    const struct secret *s = arg;
    secret_wipe(s->data, s->size);
}

void arena_wipe_later(struct arena *a, void *data, size_t size)
{
    struct secret *s = arena_new_of(a, struct secret);
    *s = (struct secret){data, size};
    arena_defer(a, wipe, s);
}

size_t arena_used_bytes(const struct arena *a)
{
    return a->total;
}
