/* SPDX-License-Identifier: EUPL-1.2 */
/* sim [--seed N] [--seeds FROM:TO] [--steps M] [--hosts H] [--pool] [--trace]
 * [--again]: runs the simulator; a failure prints its seed. --again: each seed twice, which must
 * end alike. */
#include "sim/world.h"
#include <getopt.h>

static const struct option options[] = {
    {"seed", required_argument, NULL, 's'},  {"seeds", required_argument, NULL, 'r'},
    {"steps", required_argument, NULL, 'm'}, {"hosts", required_argument, NULL, 'h'},
    {"pool", no_argument, NULL, 'p'},        {"trace", no_argument, NULL, 't'},
    {"again", no_argument, NULL, 'a'},       {NULL, 0, NULL, 0}};

static bool run(struct sim_config cfg, bool again)
{
    uint64_t first, second;
    cfg.ret_fingerprint = &first;
    bool ok = sim_run(&cfg);
    if (!again || !ok)
        return ok;
    cfg.ret_fingerprint = &second;
    ok = sim_run(&cfg);
    if (ok && first != second)
        fprintf(stderr, "seed %" PRIu64 ": two runs are not alike\n", cfg.seed);
    return ok && first == second;
}

static int64_t number(const char *text, int64_t max)
{
    int64_t v = 0;
    if (!str_to_i64(text, 0, max, &v)) {
        fprintf(stderr, "sim: '%s' is not a number from 0 to %" PRId64 "\n", text, max);
        exit(2);
    }
    return v;
}

int main(int argc, char **argv)
{
    struct sim_config cfg = {.steps = 40, .hosts = 2};
    int64_t from = 1, to = 1;
    bool again = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        char *colon = optarg ? strchr(optarg, ':') : NULL;
        if (c == 's') {
            from = to = number(optarg, INT64_MAX);
        } else if (c == 'r' && colon) {
            *colon = 0;
            from = number(optarg, INT64_MAX);
            to = number(colon + 1, INT64_MAX);
        } else if (c == 'm') {
            cfg.steps = (unsigned)number(optarg, 1000000);
        } else if (c == 'h') {
            cfg.hosts = (unsigned)max_i64(number(optarg, 8), 1);
        } else if (c == 'p') {
            cfg.pool = true;
        } else if (c == 't') {
            cfg.trace = true;
        } else if (c == 'a') {
            again = true;
        } else {
            fprintf(stderr,
                    "usage: sim [--seed N | --seeds FROM:TO] [--steps M] [--hosts H] [--trace]"
                    " [--again]\n");
            return 2;
        }
    }
    log_set_level((enum log_level)(LOG_ERROR + 1)); /* errors are what happens here */
    int bad = 0;
    for (int64_t seed = from; seed <= to && bad < 5; seed++) {
        cfg.seed = (uint64_t)seed;
        bad += !run(cfg, again);
    }
    if (!bad)
        printf("%" PRId64 " seeds of %u steps on %u hosts: nothing broken\n", to - from + 1,
               cfg.steps, cfg.hosts);
    return bad ? 1 : 0;
}
