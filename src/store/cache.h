/* SPDX-License-Identifier: EUPL-1.2 */
/* A connection's prepared statements by SQL text; the one unused longest goes first. */
#pragma once

#include "store/engine.h"

#define STMT_CACHE_MAX 256

struct cached;
struct stmt_cache {
    struct cached *buckets[STMT_CACHE_MAX];
    struct cached *newest, *oldest;
    unsigned n;
};

/* NULL when it isn't there. */
struct prepared *cache_get(struct stmt_cache *c, const char *sql);
/* Takes p over. Returns the statement that had to make room (the caller's now), or NULL. */
struct prepared *cache_put(struct stmt_cache *c, const char *sql, struct prepared *p);
/* The oldest, taken out; NULL when the cache is empty. */
struct prepared *cache_pop(struct stmt_cache *c);
