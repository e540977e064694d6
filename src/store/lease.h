/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Leases: work that one process at a time does, whichever. A lease is a row of the store; its
 * holder renews it, and when it ends without that, another takes it. Processes tell the time by
 * their own clocks, which may differ by LEASE_SKEW_US and no more. Who must not act a moment after
 * the end, however slow it was, asks lease_check in the transaction that acts.
 */
#pragma once

#include "store/store.h"

#define LEASE_US INT64_C(20000000)
#define LEASE_SKEW_US INT64_C(5000000) /* others wait so much longer than the holder */

struct lease {
    const char *name;
    char holder[37];
    int64_t generation; /* grows with each change of holder; 0: never held */
    int64_t until_us;   /* monotonic; 0: not held */
};
/* name is kept. Two leases in one process are two holders. */
struct lease lease_of(struct ctx *cx, const char *name);
/* Takes it, or renews it when half of it is over. */
MUST_USE struct err *lease_hold(struct ctx *cx, struct store *s, struct lease *l, bool *ret_held);
/* ERR_STALE when another has it by now: nothing of the transaction may stay. */
MUST_USE struct err *lease_check(struct ctx *cx, struct tx *tx, const struct lease *l);
/* For another to take at once. */
MUST_USE struct err *lease_release(struct ctx *cx, struct store *s, struct lease *l);

/* For whoever declares tables: this one's, and its statements. */
#define LEASE_DDL                                                                                  \
    "CREATE TABLE leases (\n"                                                                      \
    "    name TEXT PRIMARY KEY NOT NULL,\n"                                                        \
    "    holder TEXT NOT NULL,\n"                                                                  \
    "    until BIGINT NOT NULL,\n"                                                                 \
    "    generation BIGINT NOT NULL\n"                                                             \
    ");\n"
extern const struct stmt stmt_lease_hold, stmt_lease_check, stmt_lease_release;
