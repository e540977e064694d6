/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to schedule/: the tables. */
#pragma once

#include "schedule/schedule.h"

struct room {
    int64_t need, free;
};

struct filter {
    const char *name; /* nova's, where it has one; NULL: it can't be left out */
    bool (*asked)(const struct place_request *rq); /* NULL: always */
    bool (*passes)(const struct place_host *h, const struct place_request *rq);
    /* For capacities: what is needed and what is free. */
    struct room (*room)(const struct place_host *h, const struct place_request *rq);
    const char *refused; /* "disabled", "lack memory" */
    const char *unit;
    /* What to say of a refused host, or NULL. */
    const char *(*about)(struct ctx *cx, const struct place_host *h,
                         const struct place_request *rq);
};
extern const struct filter place_filters[];
extern const size_t place_n_filters;

static inline int64_t place_disk_need(const struct place_host *h, const struct place_request *rq)
{
    return rq->disk_gib + (h->pool_id ? 0 : rq->volumes_gib);
}

/* A single server never gets more of a kind than the host really has: ratios are for many small
 * ones. */
static inline int64_t place_left(int64_t can, int64_t used, int64_t total)
{
    return max_i64(0, min_i64(can - used, total));
}
