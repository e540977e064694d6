/* SPDX-License-Identifier: EUPL-1.2 */
/* See buf.h. */
#include "base/base.h"

static void buf_release(void *arg)
{
    free(*(char **)arg);
}

/* The heap block is reached through a cell in the arena: the struct buf itself may be on a stack that is gone. */
void buf_init(struct buf *b, struct arena *a)
{
    *b = (struct buf){.arena = a};
}

char *buf_reserve(struct buf *b, size_t size)
{
    must(size < (SIZE_MAX >> 2));
    if (b->cap - b->len <= size) {
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
    return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t size)
{
    char *p = buf_reserve(b, size + 1);
    if (size)
        memcpy(p, data, size);
    b->len += size;
    b->data[b->len] = 0;
}

void buf_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    must(n >= 0);
    char *p = buf_reserve(b, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
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
