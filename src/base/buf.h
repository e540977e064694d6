/* SPDX-License-Identifier: EUPL-1.2 */
/* A growing byte buffer, heap memory, freed with the arena it is bound to. */
#pragma once

struct buf {
    char *data; /* always followed by a NUL once anything was added */
    size_t len, cap;
    struct arena *arena;
};

void buf_init(struct buf *b, struct arena *a);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
void buf_grow(struct buf *b, size_t size); /* private to buf_reserve */

/* Room for size more bytes; the caller fills and adds to len. */
static inline char *buf_reserve(struct buf *b, size_t size)
{
    if (b->cap - b->len <= size)
        buf_grow(b, size);
    return b->data + b->len;
}

static inline void buf_add(struct buf *b, const void *data, size_t size)
{
    char *p = buf_reserve(b, size + 1);
    if (size)
        memcpy(p, data, size);
    p[size] = 0;
    b->len += size;
}

static inline void buf_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

static inline void buf_char(struct buf *b, char c)
{
    char *p = buf_reserve(b, 2);
    p[0] = c;
    p[1] = 0;
    b->len++;
}
void buf_clear(struct buf *b);
/* Never NULL. Lives as long as the arena, until the next change. */
const char *buf_cstr(const struct buf *b);
