/* SPDX-License-Identifier: EUPL-1.2 */
/* See schedule.h. The rows that a request asks for are looked up once, then go over all hosts. */
#include "schedule/impl.h"

const struct place_ratios place_ratios_default = {.vcpus = 16000, .memory = 1000, .disk = 1000};

static int64_t capacity(int64_t total, int64_t reserved, int64_t ratio)
{
    return max_i64(0, total - reserved) * ratio / 1000;
}

void place_size(struct place_host *h)
{
    h->can_vcpus = capacity(h->vcpus, h->reserved_vcpus, h->ratios.vcpus);
    h->can_memory_mib = capacity(h->memory_mib, h->reserved_memory_mib, h->ratios.memory);
    h->can_disk_gib = capacity(h->disk_gib, h->reserved_disk_gib, h->ratios.disk);
}

/* ---------------------------------------------------------------- filters */

/* Rows in use for one request. */
struct sieve {
    const struct place_request *rq;
    const struct filter *rows[32];
    size_t n;
};

static struct sieve sieve_for(const struct place_policy *p, const struct place_request *rq)
{
    struct sieve s = {.rq = rq};
    for (size_t i = 0; i < place_n_filters; i++) {
        const struct filter *f = &place_filters[i];
        if ((p->filters & (UINT32_C(1) << i)) && (!f->asked || f->asked(rq)))
            s.rows[s.n++] = f;
    }
    return s;
}

static bool passes(const struct filter *f, const struct place_host *h,
                   const struct place_request *rq)
{
    if (f->passes)
        return f->passes(h, rq);
    struct room r = f->room(h, rq);
    return r.need <= r.free;
}

/* The first row that refuses the host, or the number of rows. */
static size_t refused_by(const struct sieve *s, const struct place_host *h)
{
    size_t i = 0;
    while (i < s->n && passes(s->rows[i], h, s->rq))
        i++;
    return i;
}

/* ---------------------------------------------------------------- weighers */

struct weigher {
    bool (*asked)(const struct place_request *rq); /* NULL: always */
    int64_t (*of)(const struct place_host *h);
};

static int64_t spare_vcpus(const struct place_host *h)
{
    return max_i64(0, h->can_vcpus - h->used_vcpus);
}

static int64_t spare_memory(const struct place_host *h)
{
    return max_i64(0, h->can_memory_mib - h->used_memory_mib);
}

static int64_t spare_disk(const struct place_host *h)
{
    return max_i64(0, h->can_disk_gib - h->used_disk_gib);
}

static int64_t servers_of(const struct place_host *h)
{
    return h->servers;
}

static int64_t members_of(const struct place_host *h)
{
    return h->group_members;
}

static int64_t strangers_of(const struct place_host *h)
{
    return -h->group_members;
}

static bool soft_affinity(const struct place_request *rq)
{
    return rq->soft && rq->group == PLACE_AFFINITY;
}

static bool soft_anti_affinity(const struct place_request *rq)
{
    return rq->soft && rq->group == PLACE_ANTI_AFFINITY;
}

static const struct weigher weighers[PLACE_WEIGHERS] = {
    [PLACE_WEIGH_ram] = {.of = spare_memory},
    [PLACE_WEIGH_cpu] = {.of = spare_vcpus},
    [PLACE_WEIGH_disk] = {.of = spare_disk},
    [PLACE_WEIGH_num_instances] = {.of = servers_of},
    [PLACE_WEIGH_soft_affinity] = {.asked = soft_affinity, .of = members_of},
    [PLACE_WEIGH_soft_anti_affinity] = {.asked = soft_anti_affinity, .of = strangers_of},
};

const struct place_policy place_policy_default = {.filters = UINT32_MAX,
                                                  .subset = 1,
                                                  .weights = {
#define WEIGHER(name, dflt, doc) [PLACE_WEIGH_##name] = dflt,
#include "schedule/weighers.def"
#undef WEIGHER
                                                  }};

/* Weighers in use for one request, and what their figures are shares of. */
struct scales {
    const struct weigher *rows[PLACE_WEIGHERS];
    double factors[PLACE_WEIGHERS];
    size_t n;
};

struct candidate {
    int idx;
    double weight;
};

static struct scales scales_for(const struct place_policy *p, const struct place_host *hosts,
                                const struct candidate *all, size_t n,
                                const struct place_request *rq)
{
    struct scales s = {.n = 0};
    for (size_t w = 0; w < PLACE_WEIGHERS; w++) {
        if (p->weights[w] == 0 || (weighers[w].asked && !weighers[w].asked(rq)))
            continue;
        int64_t most = 0;
        for (size_t i = 0; i < n; i++) {
            int64_t v = weighers[w].of(&hosts[all[i].idx]);
            most = max_i64(most, v < 0 ? -v : v);
        }
        if (!most)
            continue;
        s.rows[s.n] = &weighers[w];
        s.factors[s.n++] = p->weights[w] / (double)most;
    }
    return s;
}

static void weigh(const struct scales *s, const struct place_host *hosts, struct candidate *all,
                  size_t n)
{
    for (size_t i = 0; i < n; i++) {
        all[i].weight = 0;
        for (size_t w = 0; w < s->n; w++)
            all[i].weight += s->factors[w] * (double)s->rows[w]->of(&hosts[all[i].idx]);
    }
}

/* The first of the best comes to the front. */
static void best_first(struct candidate *all, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (all[i].weight > all[best].weight)
            best = i;
    struct candidate c = all[best];
    memmove(all + 1, all, best * sizeof(*all));
    all[0] = c;
}

static size_t rank(struct ctx *cx, const struct place_policy *p, size_t n)
{
    size_t among = (size_t)min_i64(p->subset, (int64_t)n);
    return among < 2 ? 0 : rng_below(cx->rng, among);
}

static int choose(struct ctx *cx, const struct place_policy *p, const struct place_host *hosts,
                  struct candidate *all, size_t n, const struct place_request *rq)
{
    const struct scales s = scales_for(p, hosts, all, n, rq);
    size_t r = rank(cx, p, n);
    weigh(&s, hosts, all, n);
    for (size_t i = 0; i <= r; i++)
        best_first(all + i, n - i);
    return all[r].idx;
}

/* ---------------------------------------------------------------- reasons */

/* In parentheses after the count: the most room among those refused, or what the first of them has
 * to say. */
static void explain(struct ctx *cx, struct buf *b, const struct sieve *s, size_t row,
                    const struct place_host *hosts, size_t n)
{
    const struct filter *f = s->rows[row];
    const struct place_host *best = NULL;
    const char *about = NULL;
    struct room room = {0, -1};
    for (size_t i = 0; i < n; i++) {
        if (refused_by(s, &hosts[i]) != row)
            continue;
        if (f->room && f->room(&hosts[i], s->rq).free > room.free) {
            best = &hosts[i];
            room = f->room(&hosts[i], s->rq);
        }
        if (f->about && !about)
            about = f->about(cx, &hosts[i], s->rq);
    }
    if (best)
        buf_printf(b, " (need %" PRId64 "%s, most free %" PRId64 " on %s)", room.need, f->unit,
                   room.free, best->name);
    else if (about)
        buf_printf(b, " (%s)", about);
}

static const char *reason(struct ctx *cx, const struct sieve *s, const struct place_host *hosts,
                          size_t n)
{
    size_t counts[ARRAY_LEN(s->rows) + 1] = {0}, listed = 0;
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < n; i++)
        counts[refused_by(s, &hosts[i])]++;
    buf_printf(&b, "%zu host%s", n, n == 1 ? "" : "s");
    for (size_t row = 0; row < s->n; row++) {
        if (!counts[row])
            continue;
        buf_printf(&b, "%s%zu %s", listed++ ? ", " : ": ", counts[row], s->rows[row]->refused);
        explain(cx, &b, s, row, hosts, n);
    }
    return buf_cstr(&b);
}

int place(struct ctx *cx, const struct place_policy *policy, const struct place_host *hosts,
          size_t n, const struct place_request *rq, const char **ret_reason)
{
    const struct sieve s = sieve_for(policy, rq);
    struct candidate *all = arena_new_array(cx->arena, struct candidate, n + 1);
    size_t n_left = 0;
    for (size_t i = 0; i < n; i++)
        if (refused_by(&s, &hosts[i]) == s.n)
            all[n_left++].idx = (int)i;
    if (n_left)
        return choose(cx, policy, hosts, all, n_left, rq);
    *ret_reason = reason(cx, &s, hosts, n);
    return -1;
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
