/* SPDX-License-Identifier: EUPL-1.2 */
/* See gate.h. Each waiter sleeps on a condition on its own stack: leaving wakes exactly one. */
#include "store/gate.h"

struct gate_waiter {
    pthread_cond_t cond;
    bool let_in;
    struct gate_waiter *next;
};

void gate_init(struct gate *g, unsigned places)
{
    *g = (struct gate){.free = places};
    must(pthread_mutex_init(&g->lock, NULL) == 0);
}

void gate_fini(struct gate *g)
{
    must(!g->first);
    pthread_mutex_destroy(&g->lock);
}

static struct timespec monotonic_in(int64_t wait_us)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t nsec = t.tv_nsec + wait_us % 1000000 * 1000;
    t.tv_sec += (time_t)(wait_us / 1000000 + nsec / 1000000000);
    t.tv_nsec = (long)(nsec % 1000000000);
    return t;
}

static void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    must(pthread_condattr_init(&attr) == 0);
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(cond, &attr) == 0);
    pthread_condattr_destroy(&attr);
}

static void unlink_waiter(struct gate *g, const struct gate_waiter *w)
{
    struct gate_waiter *before = NULL;
    for (struct gate_waiter *i = g->first; i != w; i = i->next)
        before = i;
    if (before)
        before->next = w->next;
    else
        g->first = w->next;
    if (g->last == w)
        g->last = before;
}

/* With the lock held. */
static bool wait_for_place(struct gate *g, int64_t wait_us)
{
    struct timespec until = monotonic_in(wait_us);
    struct gate_waiter w = {.let_in = false};
    cond_init(&w.cond);
    if (g->last)
        g->last->next = &w;
    else
        g->first = &w;
    g->last = &w;
    int rc = 0;
    while (!w.let_in && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&w.cond, &g->lock, &until);
    if (!w.let_in)
        unlink_waiter(g, &w);
    pthread_cond_destroy(&w.cond);
    return w.let_in;
}

bool gate_enter(struct gate *g, int64_t wait_us)
{
    AUTO_LOCK(&g->lock);
    if (g->free > 0) {
        g->free--;
        return true;
    }
    return wait_us > 0 && wait_for_place(g, wait_us);
}

void gate_leave(struct gate *g)
{
    AUTO_LOCK(&g->lock);
    struct gate_waiter *w = g->first;
    if (!w) {
        g->free++;
        return;
    }
    g->first = w->next;
    if (!g->first)
        g->last = NULL;
    w->let_in = true;
    pthread_cond_signal(&w->cond);
}
