/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Hosts that failed: their highly available servers are evacuated, without anybody's word. A host
 * has failed when its lease is over, so that what is highly available has stopped there, and when
 * that was not the control plane's own fault.
 */
#include "compute/placing.h"

#define BATCH 500

/* The host is told of the latest wish; what is on its way elsewhere already is left to that. */
const struct stmt stmt_ha_servers_on = {
    "ha_servers_on", "SELECT id FROM servers WHERE host_id = $1 AND seen_ha = 1 AND state NOT IN "
                     "('DELETING', 'OFFLOADING', 'SHELVED_OFFLOADED') ORDER BY created_at, id"};

/* Somebody was heard all the while that it was not. */
static bool has_witness(struct ctx *cx, const struct fleet_host *hosts, size_t n,
                        const struct fleet_host *of)
{
    for (size_t i = 0; i < n; i++)
        if (&hosts[i] != of && hosts[i].leased_since_us <= of->last_seen_us &&
            !fleet_host_silent(cx, &hosts[i]))
            return true;
    return false;
}

/* This process could have heard a host for as long as a lease takes to end. */
static bool listened(struct ctx *cx, struct store *store, int64_t open_since_us)
{
    struct store_absence away = store_absence(store);
    if (away.from_us)
        open_since_us = max_i64(open_since_us, away.until_us ? away.until_us : now_us(cx));
    return now_us(cx) - open_since_us > fleet_lease_span_us();
}

static bool has_failed(struct ctx *cx, struct store *store, const struct host_watch *w,
                       const struct fleet_host *hosts, size_t n, const struct fleet_host *h)
{
    return h->last_seen_us && !h->alive && fleet_host_silent(cx, h) &&
           (listened(cx, store, w->open_since_us) || has_witness(cx, hosts, n, h));
}

/* ---------------------------------------------------------------- one server */

/* Read again, where it is written. */
static struct err *still_so(struct ctx *cx, struct tx *tx, const char *host_id,
                            const char *server_id, struct server **ret)
{
    struct fleet_host host;
    void *row = NULL;
    *ret = NULL;
    TRY(fleet_host_get(cx, tx, host_id, &host));
    TRY(res_get(cx, tx, &server_resource, server_id, &row));
    struct server *s = row;
    if (!host.alive && fleet_host_silent(cx, &host) && s && str_eq(s->host_id, host_id) &&
        s->seen_ha && server_is_ha(cx, s) && server_evacuable(s))
        *ret = s;
    return NULL;
}

static struct err *move(struct ctx *cx, struct store *store, const struct lease *l,
                        const char *host_id, const char *server_id, bool *ret_moved)
{
    static const char *const no_roles[] = {NULL};
    AUTO_TXN struct tx *tx = NULL;
    struct server *s;
    struct actor nobody = {.admin = true, .roles = no_roles};
    TRY(tx_write(cx, store, &tx));
    if (l)
        TRY(lease_check(cx, tx, l));
    TRY(still_so(cx, tx, host_id, server_id, &s));
    if (!s)
        return NULL;
    struct call c = {
        .cx = cx, .tx = tx, .store = store, .actor = &nobody, .service = &compute_service};
    const char *from = s->host_name;
    TRY(server_evacuate(&c, s, NULL, false));
    TRY(audit_note(cx, tx, "compute:host-failed:evacuate", s->id));
    TRY(tx_commit(cx, &tx));
    *ret_moved = true;
    log_event(cx, LOG_WARN, "server evacuated", "server", s->id, "from", from, "to", s->host_name,
              NULL);
    return NULL;
}

/* Its records have a number of their own, as if it had been asked for. */
static struct err *evacuate(struct ctx *cx, struct store *store, const struct lease *l,
                            const char *host_id, const char *server_id, bool *ret_moved)
{
    const char *was = cx->request_id;
    cx->request_id = arena_printf(cx->arena, "req-%s", uuid_new(cx));
    struct err *e = move(cx, store, l, host_id, server_id, ret_moved);
    cx->request_id = was; /* the context may outlive the arena's content */
    return e;
}

/* ---------------------------------------------------------------- one host */

static struct err *servers_on(struct ctx *cx, struct store *store, const char *host_id,
                              struct db_rows *ret)
{
    AUTO_TXN struct tx *tx = NULL;
    const struct db_value id = V_TEXT(host_id);
    TRY(tx_read(cx, store, &tx));
    return db_query(cx, tx, &stmt_ha_servers_on, &id, 1, ret);
}

/* Once for each change: what is told of this host. */
static bool news(struct host_watch *w, const char *host_id, size_t waiting)
{
    size_t i = 0;
    while (i < w->n_told && !str_eq(w->told[i].host_id, host_id))
        i++;
    if (i < w->n_told && w->told[i].waiting == waiting)
        return false;
    if (i == w->n_told)
        i = w->n_told < ARRAY_LEN(w->told) ? w->n_told++ : w->next++ % ARRAY_LEN(w->told);
    snprintf(w->told[i].host_id, sizeof(w->told[i].host_id), "%s", host_id);
    w->told[i].waiting = waiting;
    return true;
}

static void forget(struct ctx *cx, struct host_watch *w, const struct fleet_host *h)
{
    for (size_t i = 0; i < w->n_told; i++) {
        if (!str_eq(w->told[i].host_id, h->id))
            continue;
        w->told[i] = w->told[--w->n_told];
        log_event(cx, LOG_INFO, "host is back", "host", h->name, NULL);
        return;
    }
}

static void tell(struct ctx *cx, struct host_watch *w, const struct fleet_host *h, size_t moved,
                 size_t waiting, const struct err *why)
{
    const char *silent_s =
        log_i64(cx, (now_us(cx) - h->last_seen_us) / 1000000); /* since its last heartbeat */
    if (!news(w, h->id, waiting))
        return;
    log_event(cx, waiting ? LOG_ERROR : LOG_WARN, "host has failed", "host", h->name, "silent_s",
              silent_s, "evacuated", log_i64(cx, (int64_t)moved), "waiting",
              log_i64(cx, (int64_t)waiting), why ? "why" : NULL, why ? why->message : NULL, NULL);
}

static struct err *empty_host(struct ctx *cx, struct store *store, const struct lease *l,
                              struct host_watch *w, const struct fleet_host *h, size_t *changed)
{
    struct db_rows ids;
    struct err *why = NULL;
    size_t moved = 0, waiting = 0;
    TRY(servers_on(cx, store, h->id, &ids));
    if (ids.n_rows)
        TRY(host_cache_refresh(cx, store));
    for (size_t i = 0; i < ids.n_rows && moved < BATCH; i++) {
        bool one = false;
        struct err *e = evacuate(cx, store, l, h->id, db_text(&ids, i, 0), &one);
        if (e && e->kind != ERR_STALE && e->kind != ERR_INVALID)
            return e;
        why = e && e->kind == ERR_INVALID ? e : why;
        moved += one;
        waiting += !one;
    }
    tell(cx, w, h, moved, waiting, why);
    *changed += moved;
    return NULL;
}

struct err *compute_watch_hosts(struct ctx *cx, struct store *store, const struct lease *l,
                                struct host_watch *w, size_t *ret_changed)
{
    AUTO_TXN struct tx *tx = NULL;
    struct fleet_host *hosts;
    size_t n;
    *ret_changed = 0;
    if (!w->open_since_us)
        w->open_since_us = now_us(cx);
    TRY(tx_read(cx, store, &tx));
    TRY(fleet_hosts(cx, tx, &hosts, &n));
    tx_rollback(&tx);
    for (size_t i = 0; i < n; i++) {
        if (hosts[i].alive)
            forget(cx, w, &hosts[i]);
        else if (has_failed(cx, store, w, hosts, n, &hosts[i]))
            TRY(empty_host(cx, store, l, w, &hosts[i], ret_changed));
    }
    return NULL;
}
