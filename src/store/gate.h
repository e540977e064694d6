/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A gate lets a bounded number of threads in, first come, first served. Whoever leaves hands the
 * place straight to the thread that waits longest, so nobody starves and nobody spins.
 */
#pragma once

#include "base/base.h"

struct gate_waiter;
struct gate {
    pthread_mutex_t lock;
    unsigned free; /* places; more than none only while nobody waits */
    struct gate_waiter *first, *last;
};

void gate_init(struct gate *g, unsigned places);
void gate_fini(struct gate *g);
/* False when no place came free within wait_us. */
MUST_USE bool gate_enter(struct gate *g, int64_t wait_us);
void gate_leave(struct gate *g);
