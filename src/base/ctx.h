/* SPDX-License-Identifier: EUPL-1.2 */
/* The context: first argument of everything that can fail. One a request, a reconcile pass, a test.
 * Used by one thread. */
#pragma once

struct clock;
struct rng;
struct actor; /* who acts; defined above base, opaque here */

struct ctx {
    struct arena *arena; /* owned */
    struct clock *clock;
    struct rng *rng;
    int64_t deadline_us; /* monotonic; 0: none */
    const char *request_id;
    const struct actor *actor; /* NULL: nobody yet */
};

/* System clock and random source, a fresh arena. */
void ctx_init(struct ctx *cx);
/* The same with given sources (simulation, tests). */
void ctx_init_with(struct ctx *cx, struct clock *clock, struct rng *rng);
void ctx_release(struct ctx *cx);
