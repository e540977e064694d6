/* SPDX-License-Identifier: EUPL-1.2 */
/* See schedule.h. The rows that a request asks for are looked up once, then go over all hosts. */
#include "schedule/impl.h"

enum { REFUSALS_MAX = 16 };

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

/* Small, as large clouds have many: the first three weighers' figures, then the weight. */
struct candidate {
    int idx;
    float ram, cpu, disk, weight;
};

static inline float spare(int64_t can, int64_t used)
{
    return (float)max_i64(0, can - used);
}

static inline int fits(int64_t need, int64_t can, int64_t used, int64_t total)
{
    return (need <= 0) | ((used + need <= can) & (need <= total));
}

/* The filters that refuse most, without branches: this runs for each host of each decision. */
static inline int has_room(const struct place_host *h, const struct place_request *rq)
{
    return (int)h->enabled &
           fits(rq->memory_mib, h->can_memory_mib, h->used_memory_mib, h->memory_mib) &
           fits(rq->vcpus, h->can_vcpus, h->used_vcpus, h->vcpus) &
           fits(rq->volumes_gib ? place_disk_need(h, rq) : rq->disk_gib, h->can_disk_gib,
                h->used_disk_gib, h->disk_gib);
}

const struct place_policy place_policy_default = {.filters = UINT32_MAX,
                                                  .subset = 1,
                                                  .weights = {
#define WEIGHER(name, dflt, doc) [PLACE_WEIGH_##name] = dflt,
#include "schedule/weighers.def"
#undef WEIGHER
                                                  }};

static size_t with_room(const struct place_host *hosts, size_t n, const struct place_request *rq,
                        struct candidate *ret)
{
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        const struct place_host *h = &hosts[i];
        ret[left] = (struct candidate){.idx = (int)i,
                                       .ram = spare(h->can_memory_mib, h->used_memory_mib),
                                       .cpu = spare(h->can_vcpus, h->used_vcpus),
                                       .disk = spare(h->can_disk_gib, h->used_disk_gib)};
        left += (size_t)has_room(h, rq);
    }
    return left;
}

/* A figure counts as its share of the greatest among the candidates. */
static float factor(double weight, float most)
{
    return most > 0 ? (float)weight / most : 0;
}

static void weigh(const struct place_policy *p, struct candidate *all, size_t n)
{
    float ram = 0, cpu = 0, disk = 0;
    for (size_t i = 0; i < n; i++) {
        ram = all[i].ram > ram ? all[i].ram : ram;
        cpu = all[i].cpu > cpu ? all[i].cpu : cpu;
        disk = all[i].disk > disk ? all[i].disk : disk;
    }
    ram = factor(p->weights[PLACE_WEIGH_ram], ram);
    cpu = factor(p->weights[PLACE_WEIGH_cpu], cpu);
    disk = factor(p->weights[PLACE_WEIGH_disk], disk);
    for (size_t i = 0; i < n; i++)
        all[i].weight = ram * all[i].ram + cpu * all[i].cpu + disk * all[i].disk;
}

/* Weighers that most requests do without. */
static void weigh_more(double weight, int64_t (*of)(const struct place_host *h),
                       const struct place_host *hosts, struct candidate *all, size_t n)
{
    int64_t most = 0;
    for (size_t i = 0; i < n; i++)
        most = max_i64(most, of(&hosts[all[i].idx]));
    for (size_t i = 0; i < n; i++)
        all[i].weight += factor(weight, (float)most) * (float)of(&hosts[all[i].idx]);
}

static int64_t servers_of(const struct place_host *h)
{
    return h->servers;
}

static int64_t members_of(const struct place_host *h)
{
    return h->group_members;
}

static void weigh_all(const struct place_policy *p, const struct place_host *hosts,
                      const struct place_request *rq, struct candidate *all, size_t n)
{
    const double *w = p->weights;
    weigh(p, all, n);
    if (w[PLACE_WEIGH_num_instances] != 0)
        weigh_more(w[PLACE_WEIGH_num_instances], servers_of, hosts, all, n);
    if (rq->soft && rq->group == PLACE_AFFINITY)
        weigh_more(w[PLACE_WEIGH_soft_affinity], members_of, hosts, all, n);
    if (rq->soft && rq->group == PLACE_ANTI_AFFINITY)
        weigh_more(-w[PLACE_WEIGH_soft_anti_affinity], members_of, hosts, all, n);
}

static size_t best_of(const struct candidate *all, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (all[i].weight > all[best].weight ||
            (all[i].weight == all[best].weight && all[i].idx < all[best].idx))
            best = i;
    return best;
}

static size_t sift(const struct sieve *s, const struct place_host *hosts, struct candidate *all,
                   size_t n)
{
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        if (refused_by(s, &hosts[all[i].idx]) == s->n)
            all[left++] = all[i];
    return left;
}

/*
 * From the best down, so that most hosts are never asked more than their room. After a few refusals
 * the others are sifted at once. -1: none is left.
 */
static int choose(struct ctx *cx, const struct place_policy *p, const struct sieve *s,
                  const struct place_host *hosts, struct candidate *all, size_t n)
{
    uint64_t skip = p->subset > 1 ? rng_below(cx->rng, (uint64_t)p->subset) : 0;
    int last = -1;
    for (int refusals = 0; n;) {
        size_t best = best_of(all, n);
        int idx = all[best].idx;
        all[best] = all[--n];
        if (refused_by(s, &hosts[idx]) == s->n) {
            last = idx;
            if (!skip--)
                break;
        } else if (++refusals == REFUSALS_MAX) {
            n = sift(s, hosts, all, n);
        }
    }
    return last;
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
    struct candidate *all = malloc((n + 1) * sizeof(*all)); /* an arena would zero it */
    must(all);
    size_t left = with_room(hosts, n, rq, all);
    weigh_all(policy, hosts, rq, all, left);
    int best = choose(cx, policy, &s, hosts, all, left);
    free(all);
    if (best < 0 && ret_reason)
        *ret_reason = reason(cx, &s, hosts, n);
    return best;
}

void place_book(struct place_host *host, struct place_request *rq)
{
    host->used_vcpus += rq->vcpus;
    host->used_memory_mib += rq->memory_mib;
    host->used_disk_gib += place_disk_need(host, rq);
    host->servers++;
    host->group_members++;
    rq->group_size++;
}
