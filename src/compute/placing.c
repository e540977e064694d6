/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The choice of hosts for a request's servers. A host is chosen from memory, then read in the
 * transaction: if it isn't what it was thought to be, the next one is chosen. Before a server is
 * refused, all hosts are read in the transaction, so that a refusal is true, and says why.
 */
#include "compute/placing.h"
#include <stdatomic.h>

enum { TRIES_MAX = 16 };

/* Steps of a quarter: 20 µs to 122 ms. */
const int64_t compute_placement_us[PLACEMENT_STEPS] = {
    20,    25,    31,    39,    49,    61,    76,    95,    119,   149,   186,   233,   291,  364,
    455,   569,   711,   888,   1110,  1388,  1735,  2168,  2711,  3388,  4235,  5294,  6617, 8272,
    10340, 12925, 16156, 20195, 25243, 31554, 39443, 49304, 61630, 77037, 96296, 120370};
static struct {
    _Atomic uint64_t took[PLACEMENT_STEPS + 1], sum_us;
} wall, cpu;

static size_t step_of(int64_t us)
{
    size_t i = 0;
    while (i < PLACEMENT_STEPS && us > compute_placement_us[i])
        i++;
    return i;
}

#define COUNT(counter, n) atomic_fetch_add_explicit(&(counter), (n), memory_order_relaxed)
#define READ(counter) atomic_load_explicit(&(counter), memory_order_relaxed)

struct placing_time placing_now(void)
{
    struct timespec own;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &own);
    return (struct placing_time){mono_us(&(struct ctx){.clock = clock_system()}),
                                 (int64_t)own.tv_sec * 1000000 + own.tv_nsec / 1000};
}

void placing_since(struct placing_time *sum, struct placing_time began)
{
    struct placing_time now = placing_now();
    sum->wall_us += now.wall_us - began.wall_us;
    sum->cpu_us += now.cpu_us - began.cpu_us;
}

void placing_took(struct placing_time sum)
{
    COUNT(wall.took[step_of(sum.wall_us)], 1);
    COUNT(wall.sum_us, (uint64_t)sum.wall_us);
    COUNT(cpu.took[step_of(sum.cpu_us)], 1);
    COUNT(cpu.sum_us, (uint64_t)sum.cpu_us);
}

void compute_placement_figures(struct placement_figures *ret)
{
    for (size_t i = 0; i <= PLACEMENT_STEPS; i++) {
        ret->wall.took[i] = READ(wall.took[i]);
        ret->cpu.took[i] = READ(cpu.took[i]);
    }
    ret->wall.sum_us = READ(wall.sum_us);
    ret->cpu.sum_us = READ(cpu.sum_us);
}

static struct place_host *seen_before(const struct placing *p, const char *id)
{
    for (size_t i = 0; i < p->n_seen; i++)
        if (str_eq(p->seen[i]->id, id))
            return p->seen[i];
    return NULL;
}

static int64_t members_on(const struct placing *p, const char *host_id)
{
    for (size_t i = 0; i < p->members.n_rows; i++)
        if (str_eq(db_text(&p->members, i, 0), host_id))
            return db_int(&p->members, i, 1);
    return 0;
}

/* Room for one more doubles at powers of two. */
static void add_seen(struct ctx *cx, struct placing *p, struct place_host *h)
{
    if (!(p->n_seen & (p->n_seen - 1))) {
        struct place_host **more =
            arena_new_array(cx->arena, struct place_host *, p->n_seen * 2 + 1);
        if (p->n_seen)
            memcpy(more, p->seen, p->n_seen * sizeof(struct place_host *));
        p->seen = more;
    }
    p->seen[p->n_seen++] = h;
}

/* *ret NULL: it is no more. */
static struct err *see(struct ctx *cx, struct tx *tx, struct placing *p, const char *id,
                       struct place_host **ret)
{
    struct place_host *h = seen_before(p, id);
    *ret = h;
    if (h)
        return NULL;
    h = arena_new_of(cx->arena, struct place_host);
    struct err *e = host_read(cx, tx, id, h);
    if (e && e->kind == ERR_NOT_FOUND) {
        host_cache_forget(tx_store(tx));
        return NULL;
    }
    TRY(e);
    host_cache_take(tx_store(tx), h);
    h->group_members = members_on(p, id);
    add_seen(cx, p, h);
    *ret = h;
    return NULL;
}

/* *ret NULL: memory doesn't know of one. */
static struct err *from_memory(struct ctx *cx, struct tx *tx, struct placing *p,
                               struct place_host **ret)
{
    const char *id;
    *ret = NULL;
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        struct place_host *h;
        if (!host_cache_place(cx, tx_store(tx), p, &id) || !id)
            return NULL;
        TRY(see(cx, tx, p, id, &h));
        if (!h)
            return NULL;
        if (place(cx, &compute_cfg.placement, h, 1, &p->rq, NULL) == 0) {
            *ret = h;
            return NULL;
        }
    }
    return NULL;
}

static struct err *from_all(struct ctx *cx, struct tx *tx, struct placing *p,
                            struct place_host **ret, const char **ret_reason)
{
    if (!p->all) {
        struct place_request had = p->rq;
        TRY(placement_for(cx, tx, p->server, &p->all, &p->n_all, &p->rq));
        had.group_size = p->rq.group_size; /* with those that this request has made */
        p->rq = had;
    }
    int i = place(cx, &compute_cfg.placement, p->all, p->n_all, &p->rq, ret_reason);
    *ret = i < 0 ? NULL : &p->all[i];
    return NULL;
}

struct err *placing_next(struct ctx *cx, struct tx *tx, struct placing *p, struct place_host **ret,
                         const char **ret_reason)
{
    struct place_host *h = NULL;
    if (!p->all) {
        TRY(from_memory(cx, tx, p, &h));
        bool missed = !h;
        if (missed)
            TRY(from_all(cx, tx, p, &h, ret_reason));
        if (missed && h)
            host_cache_forget(tx_store(tx));
    } else {
        TRY(from_all(cx, tx, p, &h, ret_reason));
    }
    if (h)
        place_book(h, &p->rq);
    *ret = h;
    return NULL;
}

struct err *placing_zone_known(struct ctx *cx, struct tx *tx, const char *zone, bool *ret)
{
    struct place_host *hosts;
    size_t n;
    *ret = str_eq(zone, compute_cfg.default_zone) || host_cache_has_zone(tx_store(tx), zone);
    if (*ret)
        return NULL;
    TRY(hosts_snapshot(cx, tx, &hosts, &n));
    for (size_t i = 0; i < n && !*ret; i++)
        *ret = str_eq(hosts[i].zone, zone);
    return NULL;
}
