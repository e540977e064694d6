/* SPDX-License-Identifier: EUPL-1.2 */
/* A growing byte buffer, heap memory, freed with the arena it is bound to. */
#pragma once

struct buf {
    char *data; /* always followed by a NUL once anything was added */
    size_t len, cap;
    struct arena *arena;
};

void buf_init(struct buf *b, struct arena *a);
void buf_add(struct buf *b, const void *data, size_t size);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
/* Room for size more bytes; the caller fills and adds to len. */
char *buf_reserve(struct buf *b, size_t size);
void buf_clear(struct buf *b);
/* Never NULL. Lives as long as the arena, until the next change. */
const char *buf_cstr(const struct buf *b);
