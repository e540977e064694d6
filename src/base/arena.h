/* SPDX-License-Identifier: EUPL-1.2 */
/* Arena: memory with one lifetime (a request, a reconcile pass, a decoded message), released in one
 * call. */
#pragma once

struct arena;

struct arena *arena_new(void);
/* Runs the deferred calls (last first) and gives all memory back. NULL is fine. */
void arena_free(struct arena *a);
/* As arena_free, but keeps the first block for the next use. */
void arena_reset(struct arena *a);

/* Zeroed memory, aligned for any type. Never NULL: a failed malloc aborts. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_take(struct arena *a, size_t size); /* not zeroed: for callers that write all of it */
void *arena_memdup(struct arena *a, const void *data, size_t size);
char *arena_strdup(struct arena *a, const char *s); /* NULL stays NULL */
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap);
/* fn(arg) runs when the arena is released. */
void arena_defer(struct arena *a, void (*fn)(void *arg), void *arg);
/* A secret in memory that lives as long as the arena: wiped before it is given back. */
void arena_wipe_later(struct arena *a, void *data, size_t size);
size_t arena_used_bytes(const struct arena *a);

#define arena_new_array(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (size_t)(n)))
#define arena_new_of(a, type) ((type *)arena_alloc((a), sizeof(type)))
