/* SPDX-License-Identifier: EUPL-1.2 */
/* See rng.h. */
#include "base/base.h"
#include <sys/random.h>

static void system_bytes(struct rng *r UNUSED, void *out, size_t size)
{
    for (char *p = out; size;) {
        ssize_t n = getrandom(p, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        must(n > 0);
        p += n;
        size -= (size_t)n;
    }
}

struct rng *rng_system(void)
{
    static struct rng r = {.bytes = system_bytes};
    return &r;
}

/* splitmix64, Vigna: https://prng.di.unimi.it/splitmix64.c */
static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void seeded_bytes(struct rng *r, void *out, size_t size)
{
    struct rng_seeded *s = (struct rng_seeded *)(void *)r;
    for (char *p = out; size;) {
        uint64_t v = splitmix(&s->state);
        size_t n = size < sizeof(v) ? size : sizeof(v);
        memcpy(p, &v, n);
        p += n;
        size -= n;
    }
}

struct rng *rng_seed(struct rng_seeded *r, uint64_t seed)
{
    *r = (struct rng_seeded){.rng = {.bytes = seeded_bytes}, .state = seed};
    return &r->rng;
}

void rng_bytes(struct rng *r, void *out, size_t size)
{
    r->bytes(r, out, size);
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t v;
    r->bytes(r, &v, sizeof(v));
    return v;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    must(n > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % n, v;
    do
        v = rng_u64(r);
    while (v >= limit);
    return v % n;
}
