/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Hosts that nobody waits for. Each host looks away to a control plane that was away itself, be it
 * for a start, for its database, or with its whole machine; so silence counts only after a time of
 * listening, which this process keeps in memory.
 */
#include "fleet/fleet_impl.h"

#define LOST_US INT64_C(300000000)
/* Agents try again for up to 40 s, and one heartbeat may go astray. */
#define LISTENED_US INT64_C(60000000)
/* Whoever listens says so more often. */
#define GAP_US (INT64_C(3000000) * FLEET_HEARTBEAT_S)

struct listening {
    pthread_mutex_t lock;
    int64_t since_us, until_us; /* since 1970: a step of the clock is a gap too */
};

static void *listening_make(void)
{
    struct listening *l = calloc(1, sizeof(*l));
    must(l && pthread_mutex_init(&l->lock, NULL) == 0);
    return l;
}

static void listening_drop(void *kept)
{
    struct listening *l = kept;
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static struct listening *listening_of(struct store *s)
{
    static const struct store_memory key = {listening_make, listening_drop};
    return store_memory(s, &key);
}

static bool has_gap(const struct listening *l, int64_t now)
{
    return now < l->until_us || now - l->until_us > GAP_US;
}

void fleet_listens(struct ctx *cx, struct store *s)
{
    struct listening *l = listening_of(s);
    int64_t now = now_us(cx);
    AUTO_LOCK(&l->lock);
    if (has_gap(l, now))
        l->since_us = now;
    l->until_us = now;
}

static bool has_listened(struct ctx *cx, struct store *s)
{
    struct listening *l = listening_of(s);
    AUTO_LOCK(&l->lock);
    return !has_gap(l, now_us(cx)) && now_us(cx) - l->since_us >= LISTENED_US;
}

struct err *fleet_host_lost(struct ctx *cx, struct tx *tx, const char *host_id, int64_t told_us,
                            bool *ret)
{
    struct fleet_host host;
    *ret = false;
    if (now_us(cx) - told_us <= LOST_US)
        return NULL;
    struct err *e = fleet_host_get(cx, tx, host_id, &host);
    *ret = e ? e->kind == ERR_NOT_FOUND
             : now_us(cx) - host.last_seen_us > LOST_US && has_listened(cx, tx_store(tx));
    return e && e->kind != ERR_NOT_FOUND ? e : NULL;
}
