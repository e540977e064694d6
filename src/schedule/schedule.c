/* SPDX-License-Identifier: EUPL-1.2 */
/* See schedule.h. A filter is a row: it passes a host or tells what is missing. The weigher prefers
 * the emptiest host. */
#include "schedule/schedule.h"

const struct place_policy place_policy_default = {
    .vcpu_percent = 1600, .memory_percent = 100, .disk_percent = 100};

struct room {
    int64_t need, free;
};

struct filter {
    bool (*passes)(const struct place_policy *p, const struct place_host *h,
                   const struct place_request *rq);
    /* For capacities: what is needed and what is free. */
    struct room (*room)(const struct place_policy *p, const struct place_host *h,
                        const struct place_request *rq);
    const char *refused; /* "disabled", "lack memory" */
    const char *unit;
};

static bool is_named(const struct place_policy *p UNUSED, const struct place_host *h,
                     const struct place_request *rq)
{
    return !rq->host || str_eq(rq->host, h->name) || str_eq(rq->host, h->id);
}

static bool is_enabled(const struct place_policy *p UNUSED, const struct place_host *h,
                       const struct place_request *rq UNUSED)
{
    return h->enabled;
}

static bool is_alive(const struct place_policy *p UNUSED, const struct place_host *h,
                     const struct place_request *rq UNUSED)
{
    return h->alive;
}

static bool in_zone(const struct place_policy *p UNUSED, const struct place_host *h,
                    const struct place_request *rq)
{
    return !rq->zone || str_eq(rq->zone, h->zone);
}

/* A single server never gets more of a kind than the host really has: ratios are for many small
 * ones. */
static struct room room_of(int64_t need, int64_t total, int64_t percent, int64_t used)
{
    int64_t left = total * percent / 100 - used;
    return (struct room){need, max_i64(0, min_i64(left, total))};
}

static struct room vcpu_room(const struct place_policy *p, const struct place_host *h,
                             const struct place_request *rq)
{
    return room_of(rq->vcpus, h->vcpus, p->vcpu_percent, h->used_vcpus);
}

static struct room memory_room(const struct place_policy *p, const struct place_host *h,
                               const struct place_request *rq)
{
    return room_of(rq->memory_mib, h->memory_mib, p->memory_percent, h->used_memory_mib);
}

static struct room disk_room(const struct place_policy *p, const struct place_host *h,
                             const struct place_request *rq)
{
    return room_of(rq->disk_gib, h->disk_gib, p->disk_percent, h->used_disk_gib);
}

static const struct filter filters[] = {
    {.passes = is_named, .refused = "not the requested host"},
    {.passes = is_enabled, .refused = "disabled"},
    {.passes = is_alive, .refused = "not reporting"},
    {.passes = in_zone, .refused = "in another availability zone"},
    {.room = vcpu_room, .refused = "lack vCPUs", .unit = ""},
    {.room = memory_room, .refused = "lack memory", .unit = " MiB"},
    {.room = disk_room, .refused = "lack disk", .unit = " GiB"},
};

static bool passes(const struct filter *f, const struct place_policy *p, const struct place_host *h,
                   const struct place_request *rq)
{
    if (f->passes)
        return f->passes(p, h, rq);
    struct room r = f->room(p, h, rq);
    return r.need <= r.free;
}

/* The first filter that refuses the host, or the number of filters. */
static size_t refused_by(const struct place_policy *p, const struct place_host *h,
                         const struct place_request *rq)
{
    size_t i = 0;
    while (i < ARRAY_LEN(filters) && passes(&filters[i], p, h, rq))
        i++;
    return i;
}

/* More free memory wins; then fewer vCPUs promised for each that is there. */
static bool better(const struct place_policy *p, const struct place_host *a,
                   const struct place_host *b, const struct place_request *rq)
{
    int64_t free_a = memory_room(p, a, rq).free, free_b = memory_room(p, b, rq).free;
    if (free_a != free_b)
        return free_a > free_b;
    return a->used_vcpus * b->vcpus < b->used_vcpus * a->vcpus;
}

/* In parentheses after the count: the best of those refused, or why they are disabled. */
static void explain(struct buf *b, size_t f, const struct place_policy *p,
                    const struct place_host *hosts, size_t n, const struct place_request *rq)
{
    const struct place_host *best = NULL;
    struct room room = {0, -1};
    for (size_t i = 0; i < n; i++) {
        if (refused_by(p, &hosts[i], rq) != f)
            continue;
        if (filters[f].room && filters[f].room(p, &hosts[i], rq).free > room.free) {
            best = &hosts[i];
            room = filters[f].room(p, &hosts[i], rq);
        } else if (filters[f].passes == is_enabled && hosts[i].disabled_reason &&
                   *hosts[i].disabled_reason && !best)
            best = &hosts[i];
    }
    if (best && filters[f].room)
        buf_printf(b, " (need %" PRId64 "%s, most free %" PRId64 " on %s)", room.need,
                   filters[f].unit, room.free, best->name);
    else if (best)
        buf_printf(b, " (%s)", best->disabled_reason);
    else if (filters[f].passes == in_zone)
        buf_printf(b, " (requested: %s)", rq->zone);
}

static const char *reason(struct ctx *cx, const struct place_policy *p,
                          const struct place_host *hosts, size_t n, const struct place_request *rq)
{
    size_t counts[ARRAY_LEN(filters) + 1] = {0}, listed = 0;
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < n; i++)
        counts[refused_by(p, &hosts[i], rq)]++;
    buf_printf(&b, "%zu host%s", n, n == 1 ? "" : "s");
    for (size_t f = 0; f < ARRAY_LEN(filters); f++) {
        if (!counts[f])
            continue;
        buf_printf(&b, "%s%zu %s", listed++ ? ", " : ": ", counts[f], filters[f].refused);
        explain(&b, f, p, hosts, n, rq);
    }
    return buf_cstr(&b);
}

int place(struct ctx *cx, const struct place_policy *policy, const struct place_host *hosts,
          size_t n, const struct place_request *rq, const char **ret_reason)
{
    int best = -1;
    for (size_t i = 0; i < n; i++)
        if (refused_by(policy, &hosts[i], rq) == ARRAY_LEN(filters) &&
            (best < 0 || better(policy, &hosts[i], &hosts[best], rq)))
            best = (int)i;
    if (best < 0)
        *ret_reason = reason(cx, policy, hosts, n, rq);
    return best;
}

void place_book(struct place_host *host, const struct place_request *rq)
{
    host->used_vcpus += rq->vcpus;
    host->used_memory_mib += rq->memory_mib;
    host->used_disk_gib += rq->disk_gib;
    host->servers++;
}
