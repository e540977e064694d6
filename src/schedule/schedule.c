/* SPDX-License-Identifier: EUPL-1.2 */
/* See schedule.h. A filter is a row: it passes a host or tells what is missing. A weigher is a row:
 * the first that tells two hosts apart decides. */
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
    /* What to say of a refused host, or NULL. */
    const char *(*about)(struct ctx *cx, const struct place_host *h,
                         const struct place_request *rq);
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

static const char *disabled_reason(struct ctx *cx UNUSED, const struct place_host *h,
                                   const struct place_request *rq UNUSED)
{
    return h->disabled_reason && *h->disabled_reason ? h->disabled_reason : NULL;
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

static const char *asked_zone(struct ctx *cx, const struct place_host *h UNUSED,
                              const struct place_request *rq)
{
    return arena_printf(cx->arena, "requested: %s", rq->zone);
}

static bool is_one_of(const char *id, const char *const *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(ids[i], id))
            return true;
    return false;
}

static bool is_same_host(const struct place_policy *p UNUSED, const struct place_host *h,
                         const struct place_request *rq)
{
    return !rq->same_hosts || is_one_of(h->id, rq->same_hosts, rq->n_same_hosts);
}

static bool is_different_host(const struct place_policy *p UNUSED, const struct place_host *h,
                              const struct place_request *rq)
{
    return !is_one_of(h->id, rq->different_hosts, rq->n_different_hosts);
}

static bool is_near(const struct place_policy *p UNUSED, const struct place_host *h,
                    const struct place_request *rq)
{
    return !rq->near || place_in_subnet(h->address, rq->near);
}

static const char *asked_subnet(struct ctx *cx UNUSED, const struct place_host *h UNUSED,
                                const struct place_request *rq)
{
    return rq->near;
}

static const struct place_pair *unmet_spec(const struct place_host *h,
                                           const struct place_request *rq)
{
    for (size_t i = 0; i < rq->n_specs; i++) {
        bool met = false;
        for (size_t k = 0; k < h->n_metadata && !met; k++)
            met = str_eq(h->metadata[k].key, rq->specs[i].key) &&
                  place_spec_match(h->metadata[k].value, rq->specs[i].value);
        if (!met)
            return &rq->specs[i];
    }
    return NULL;
}

static bool has_specs(const struct place_policy *p UNUSED, const struct place_host *h,
                      const struct place_request *rq)
{
    return !unmet_spec(h, rq);
}

static const char *asked_spec(struct ctx *cx, const struct place_host *h,
                              const struct place_request *rq)
{
    const struct place_pair *spec = unmet_spec(h, rq);
    return arena_printf(cx->arena, "wants %s: %s", spec->key, spec->value);
}

static bool keeps_affinity(const struct place_policy *p UNUSED, const struct place_host *h,
                           const struct place_request *rq)
{
    return rq->group != PLACE_AFFINITY || rq->soft || !rq->group_size || h->group_members;
}

static bool keeps_anti_affinity(const struct place_policy *p UNUSED, const struct place_host *h,
                                const struct place_request *rq)
{
    return rq->group != PLACE_ANTI_AFFINITY || rq->soft ||
           h->group_members < max_i64(1, rq->group_per_host);
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
    {.passes = is_enabled, .refused = "disabled", .about = disabled_reason},
    {.passes = is_alive, .refused = "not reporting"},
    {.passes = in_zone, .refused = "in another availability zone", .about = asked_zone},
    {.passes = is_same_host, .refused = "without the servers that same_host names"},
    {.passes = is_different_host, .refused = "with a server that different_host names"},
    {.passes = is_near, .refused = "outside of the requested subnet", .about = asked_subnet},
    {.passes = has_specs, .refused = "in no aggregate that suits the flavor", .about = asked_spec},
    {.passes = keeps_affinity, .refused = "away from the server group"},
    {.passes = keeps_anti_affinity, .refused = "full for the server group"},
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

/* ---------------------------------------------------------------- weighers: more wins */

static int64_t weigh_group(const struct place_policy *p UNUSED, const struct place_host *h,
                           const struct place_request *rq)
{
    if (!rq->soft || rq->group == PLACE_ALONE)
        return 0;
    return rq->group == PLACE_AFFINITY ? h->group_members : -h->group_members;
}

static int64_t weigh_memory(const struct place_policy *p, const struct place_host *h,
                            const struct place_request *rq)
{
    return memory_room(p, h, rq).free;
}

/* Fewer vCPUs promised for each that is there. */
static int64_t weigh_vcpus(const struct place_policy *p UNUSED, const struct place_host *h,
                           const struct place_request *rq UNUSED)
{
    return -h->used_vcpus * 1000000 / max_i64(1, h->vcpus);
}

static int64_t (*const weighers[])(const struct place_policy *p, const struct place_host *h,
                                   const struct place_request *rq) = {weigh_group, weigh_memory,
                                                                      weigh_vcpus};

static bool better(const struct place_policy *p, const struct place_host *a,
                   const struct place_host *b, const struct place_request *rq)
{
    for (size_t i = 0; i < ARRAY_LEN(weighers); i++) {
        int64_t of_a = weighers[i](p, a, rq), of_b = weighers[i](p, b, rq);
        if (of_a != of_b)
            return of_a > of_b;
    }
    return false;
}

/* ---------------------------------------------------------------- reasons */

/* In parentheses after the count: the most room among those refused, or what the first of them has
 * to say. */
static void explain(struct ctx *cx, struct buf *b, size_t f, const struct place_policy *p,
                    const struct place_host *hosts, size_t n, const struct place_request *rq)
{
    const struct place_host *best = NULL;
    const char *about = NULL;
    struct room room = {0, -1};
    for (size_t i = 0; i < n; i++) {
        if (refused_by(p, &hosts[i], rq) != f)
            continue;
        if (filters[f].room && filters[f].room(p, &hosts[i], rq).free > room.free) {
            best = &hosts[i];
            room = filters[f].room(p, &hosts[i], rq);
        }
        if (filters[f].about && !about)
            about = filters[f].about(cx, &hosts[i], rq);
    }
    if (best)
        buf_printf(b, " (need %" PRId64 "%s, most free %" PRId64 " on %s)", room.need,
                   filters[f].unit, room.free, best->name);
    else if (about)
        buf_printf(b, " (%s)", about);
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
        explain(cx, &b, f, p, hosts, n, rq);
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

void place_book(struct place_host *host, struct place_request *rq)
{
    host->used_vcpus += rq->vcpus;
    host->used_memory_mib += rq->memory_mib;
    host->used_disk_gib += rq->disk_gib;
    host->servers++;
    host->group_members++;
    rq->group_size++;
}
