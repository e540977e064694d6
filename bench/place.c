/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * How fast hosts are chosen, and how full they get: servers of mixed sizes go to N hosts in memory,
 * one decision after the other, until a row of servers finds no room. A line for each N: decisions
 * per second, their 50th and 99th percentile and the slowest, and the share of memory promised when
 * the first server was refused and at the end. Bare decisions: what requests do besides is
 * bench/run's.
 * Times are those of the thread on its CPU. More than 1000 hosts are not filled to the end.
 * usage: place [N …]
 */
#include "schedule/schedule.h"

enum { DECISIONS_MAX = 5000, REFUSED_IN_A_ROW = 100 };

/* Of a flavor's size; the smaller the more often. */
static struct place_request next_server(struct rng *rng)
{
    static const struct {
        int64_t vcpus, memory_mib, disk_gib;
    } sizes[] = {{1, 1024, 10}, {1, 2048, 20}, {2, 4096, 40}, {4, 8192, 80}, {8, 16384, 160}};
    int64_t i = min_i64((int64_t)rng_below(rng, 5), (int64_t)rng_below(rng, 5));
    return (struct place_request){.vcpus = sizes[i].vcpus,
                                  .memory_mib = sizes[i].memory_mib,
                                  .disk_gib = sizes[i].disk_gib,
                                  .project_id = "p",
                                  .flavor_name = "f"};
}

/* Half of them large; some memory is taken already when fill_percent says so. */
static struct place_host *make_hosts(struct ctx *cx, size_t n, int64_t fill_percent)
{
    struct place_host *hosts = arena_new_array(cx->arena, struct place_host, n);
    for (size_t i = 0; i < n; i++) {
        int64_t size = i % 2 ? 2 : 1;
        hosts[i] = (struct place_host){.id = arena_printf(cx->arena, "h%zu", i),
                                       .name = arena_printf(cx->arena, "h%zu", i),
                                       .zone = "nova",
                                       .enabled = true,
                                       .alive = true,
                                       .vcpus = 32 * size,
                                       .memory_mib = 131072 * size,
                                       .disk_gib = 4000 * size,
                                       .ratios = place_ratios_default};
        place_size(&hosts[i]);
        hosts[i].used_memory_mib = hosts[i].memory_mib * fill_percent / 100;
        hosts[i].used_vcpus = hosts[i].vcpus * fill_percent / 100;
    }
    return hosts;
}

static double promised(const struct place_host *hosts, size_t n)
{
    double used = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        used += (double)hosts[i].used_memory_mib;
        all += (double)hosts[i].can_memory_mib;
    }
    return 100 * used / all;
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* One decision in a context of its own, as a request has it; -1: refused. */
static int decide(struct place_host *hosts, size_t n, struct place_request *rq, int64_t *ret_ns)
{
    AUTO_CTX struct ctx cx;
    const char *reason;
    ctx_init(&cx);
    int64_t began = now_ns();
    int i = place(&cx, &place_policy_default, hosts, n, rq, &reason);
    *ret_ns = now_ns() - began;
    if (i >= 0)
        place_book(&hosts[i], rq);
    return i;
}

/* Large clouds begin nearly full, or filling them would take all day. */
static void measure(size_t n)
{
    AUTO_CTX struct ctx cx;
    struct rng_seeded seeded;
    ctx_init(&cx);
    struct rng *rng = rng_seed(&seeded, 1);
    struct place_host *hosts = make_hosts(&cx, n, n >= 1000 ? 85 : 0);
    int64_t *took = arena_new_array(cx.arena, int64_t, DECISIONS_MAX), total = 0, ns;
    size_t placed = 0, in_a_row = 0;
    double at_first = 0;
    while (in_a_row < REFUSED_IN_A_ROW && (n <= 1000 || placed < DECISIONS_MAX)) {
        struct place_request rq = next_server(rng);
        if (decide(hosts, n, &rq, &ns) < 0) {
            at_first = at_first > 0 ? at_first : promised(hosts, n);
            in_a_row++;
            continue;
        }
        in_a_row = 0;
        if (placed < DECISIONS_MAX) {
            took[placed] = ns;
            total += ns;
            placed++;
        }
    }
    qsort(took, placed, sizeof(*took), compare);
    printf("%6zu hosts: %8.0f decisions/s, p50 %7.1f us, p99 %7.1f us, most %7.1f us", n,
           (double)placed * 1e9 / (double)total, (double)took[placed / 2] / 1000,
           (double)took[placed * 99 / 100] / 1000, (double)took[placed - 1] / 1000);
    if (at_first > 0)
        printf("; promised %.1f %% at the first refusal, %.1f %% at the end", at_first,
               promised(hosts, n));
    putchar('\n');
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {10, 100, 1000, 10000};
    for (size_t i = 0; argc < 2 && i < ARRAY_LEN(sizes); i++)
        measure(sizes[i]);
    for (int i = 1; i < argc; i++) {
        int64_t n;
        if (!str_to_i64(argv[i], 1, 1000000, &n))
            return 64;
        measure((size_t)n);
    }
    return 0;
}
