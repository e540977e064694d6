/* SPDX-License-Identifier: EUPL-1.2 */
/* See cache.h. A hash table with chains; a list by use goes through the same entries. */
#include "store/cache.h"

struct cached {
    struct prepared *prepared;
    struct cached *chain;         /* same bucket */
    struct cached *newer, *older; /* by use */
    uint64_t hash;
    char sql[];
};

static uint64_t hash_text(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 0x100000001b3u;
    return h;
}

static void list_remove(struct stmt_cache *c, struct cached *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void list_push(struct stmt_cache *c, struct cached *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

struct prepared *cache_get(struct stmt_cache *c, const char *sql)
{
    uint64_t hash = hash_text(sql);
    for (struct cached *e = c->buckets[hash % STMT_CACHE_MAX]; e; e = e->chain) {
        if (e->hash != hash || strcmp(e->sql, sql) != 0)
            continue;
        list_remove(c, e);
        list_push(c, e);
        return e->prepared;
    }
    return NULL;
}

struct prepared *cache_put(struct stmt_cache *c, const char *sql, struct prepared *p)
{
    struct prepared *out = c->n >= STMT_CACHE_MAX ? cache_pop(c) : NULL;
    size_t size = strlen(sql) + 1;
    struct cached *e = malloc(sizeof(*e) + size);
    must(e);
    *e = (struct cached){.prepared = p, .hash = hash_text(sql)};
    memcpy(e->sql, sql, size);
    struct cached **bucket = &c->buckets[e->hash % STMT_CACHE_MAX];
    e->chain = *bucket;
    *bucket = e;
    list_push(c, e);
    c->n++;
    return out;
}

struct prepared *cache_pop(struct stmt_cache *c)
{
    struct cached *e = c->oldest;
    if (!e)
        return NULL;
    list_remove(c, e);
    struct cached **at = &c->buckets[e->hash % STMT_CACHE_MAX];
    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    c->n--;
    struct prepared *p = e->prepared;
    free(e);
    return p;
}
