/* SPDX-License-Identifier: EUPL-1.2 */
/* Where one request's servers go: the decisions of placing.c over the memory of host_cache.c. */
#pragma once

#include "compute/impl.h"

struct placing {
    struct place_request rq; /* the caller may add a host, or other sizes */
    const struct server *server;
    const char *group_id;     /* NULL: none that binds */
    struct db_rows members;   /* of the group: host id, servers there */
    struct place_host **seen; /* read in this transaction, with what was promised since */
    size_t n_seen;
    struct place_host *all; /* the same of all hosts; NULL: not needed so far */
    size_t n_all;
};

/* ---- placing.c */
/* What the server asks of hosts, as placement_for. */
MUST_USE struct err *placing_begin(struct ctx *cx, struct tx *tx, const struct server *s,
                                   struct placing *ret);
/*
 * The best host for one more of them, as it stands in this transaction, with that one promised.
 * NULL: none, after a look at all hosts in the transaction; *ret_reason is place()'s.
 */
MUST_USE struct err *placing_next(struct ctx *cx, struct tx *tx, struct placing *p,
                                  struct place_host **ret, const char **ret_reason);
/* For compute_placement_figures: one request's choices, all that was read for them included. */
struct placing_time {
    int64_t wall_us, cpu_us;
};
struct placing_time placing_now(void);
void placing_since(struct placing_time *sum, struct placing_time began);
void placing_took(struct placing_time sum);
/* Whether a host is of the zone. */
MUST_USE struct err *placing_zone_known(struct ctx *cx, struct tx *tx, const char *zone, bool *ret);

/* ---- host_cache.c */
void host_cache_init(void); /* once, at start-up */
/* Reads what is said to differ, in a transaction of its own: not inside another. */
MUST_USE struct err *host_cache_refresh(struct ctx *cx, struct store *s);
/* It was found wrong: all is read again by the next refresh. */
void host_cache_forget(struct store *s);
/* *ret_id: the best host, NULL: none. False: nothing is in memory. */
bool host_cache_place(struct ctx *cx, struct store *s, const struct placing *p,
                      const char **ret_id);
/* A host as it was just read. */
void host_cache_take(struct store *s, const struct place_host *h);
bool host_cache_has_zone(struct store *s, const char *zone);
