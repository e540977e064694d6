/* SPDX-License-Identifier: EUPL-1.2 */
/* See buf.h. */
#include "base/base.h"

static void buf_release(void *arg)
{
    free(*(char **)arg);
}

/* The heap block is reached through a cell in the arena: the struct buf itself may be on a stack
 * that is gone. */
void buf_init(struct buf *b, struct arena *a)
{
    *b = (struct buf){.arena = a};
}

void buf_grow(struct buf *b, size_t size)
{
    must(size < (SIZE_MAX >> 2));
    size_t cap = b->cap ? b->cap * 2 : 256;
    while (cap - b->len <= size)
        cap *= 2;
    /* An 8-byte cell before the data holds the pointer that arena release frees. */
    char **cell = b->data ? *(char ***)(void *)(b->data - 16) : NULL;
    char *raw = realloc(cell ? *cell : NULL, cap + 16);
    if (!raw)
        bug_at(WHERE, "out of memory");
    if (!cell) {
        cell = arena_alloc(b->arena, sizeof(*cell));
        arena_defer(b->arena, buf_release, cell);
    }
    *cell = raw;
    memcpy(raw, &cell, sizeof(cell));
    b->data = raw + 16;
    b->cap = cap;
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    char *p = buf_reserve(b, 128);
    size_t room = b->cap - b->len;
    int n = vsnprintf(p, room, fmt, ap);
    must(n >= 0);
    if ((size_t)n >= room)
        vsnprintf(buf_reserve(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
    va_end(again);
    b->len += (size_t)n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = 0;
}

const char *buf_cstr(const struct buf *b)
{
    return b->data && b->len ? b->data : "";
}
