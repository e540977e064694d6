/* SPDX-License-Identifier: EUPL-1.2 */
/* What must hold at every moment, and what must hold in the end. */
#include "sim/world_impl.h"

void remember_server(struct world *w, const char *id)
{
    must(w->n_servers < SERVERS_MAX);
    snprintf(w->servers[w->n_servers++], sizeof(w->servers[0]), "%s", id);
}

const char *some_server(struct world *w)
{
    return w->n_servers ? w->servers[rng_below(&w->rng.rng, w->n_servers)] : NULL;
}

static bool load(struct world *w, struct plane_server **ret, size_t *ret_n)
{
    AUTO_TXN struct tx *tx = NULL;
    struct err *e = tx_read(&w->cx, w->store, &tx);
    if (!e)
        e = plane_servers(&w->cx, tx, ret, ret_n);
    if (e)
        broken(w, "the database can't be read: %s", e->message);
    return !e;
}

static const struct plane_server *find_row(const struct plane_server *rows, size_t n,
                                           const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(rows[i].id, id))
            return &rows[i];
    return NULL;
}

/* One guest, on its own host only, while it has a row; started once for each boot and each build
 * that was asked for. */
static void check_guest(struct world *w, const char *id, const struct plane_server *row)
{
    for (size_t i = 0; i < w->cfg.hosts; i++) {
        struct host *h = &w->hosts[i];
        struct guest_state is;
        if (!fake_guest_state(&h->guests, id, &is))
            continue;
        if (!row)
            broken(w, "server %s is gone, but %s has its guest", id, h->id);
        else if (!str_eq(row->host_id, h->id))
            broken(w, "server %s belongs to %s, but %s has its guest", id, row->host_id, h->id);
        else if (fake_guest_starts(&h->guests, id) > (uint64_t)(row->boot_seq + row->build_seq - 1))
            broken(w, "server %s was started more often than asked for", id);
        else if (is.boot_seq > row->boot_seq || is.build_seq > row->build_seq)
            broken(w, "server %s is ahead of what was asked for", id);
    }
}

void check_safety(struct world *w)
{
    struct plane_server *rows;
    size_t n;
    if (w->failed || !load(w, &rows, &n))
        return;
    for (size_t i = 0; i < w->n_servers; i++)
        check_guest(w, w->servers[i], find_row(rows, n, w->servers[i]));
}

static struct host *host_of(struct world *w, const char *id)
{
    for (size_t i = 0; i < w->cfg.hosts; i++)
        if (str_eq(w->hosts[i].id, id))
            return &w->hosts[i];
    return NULL;
}

/* What the user sees is what the guest is, and both are what was last asked for. */
static void check_settled(struct world *w, const struct plane_server *s)
{
    static const struct {
        const char *status;
        enum guest_power power;
    } fits[] = {{"ACTIVE", GUEST_ON}, {"SHUTOFF", GUEST_OFF}, {"ERROR", GUEST_CRASHED}};
    struct guest_state is;
    fake_guest_state(&host_of(w, s->host_id)->guests, s->id, &is);
    bool on = is.power == GUEST_ON, ok = false;
    for (size_t i = 0; i < ARRAY_LEN(fits); i++)
        ok = ok || (str_eq(s->status, fits[i].status) && is.power == fits[i].power);
    if (str_eq(s->status, "SHUTOFF") && is.power == GUEST_CRASHED && !s->power_on)
        ok = true; /* crashed while it was asked to go off: off it is */
    if (!ok || is.build_seq != s->build_seq ||
        (on && (is.boot_seq != s->boot_seq || is.reset_seq < s->reset_seq)) || (on && !s->power_on))
        broken(w,
               "server %s is %s (wanted %s, boot %" PRId64 " build %" PRId64
               "), its guest has power %d, boot %" PRId64 ", build %" PRId64,
               s->id, s->status, s->power_on ? "on" : "off", s->boot_seq, s->build_seq,
               (int)is.power, is.boot_seq, is.build_seq);
}

static void check_host(struct world *w, struct host *h, const struct plane_server *rows, size_t n)
{
    size_t mine = 0, guests = 0, networks = 0;
    struct agent_stats st;
    AUTO_TXN struct tx *tx = NULL;
    for (size_t i = 0; i < n; i++)
        mine += str_eq(rows[i].host_id, h->id);
    for (enum guest_power p = GUEST_ABSENT; p <= GUEST_CRASHED; p++)
        guests += fake_guests_count(&h->guests, p);
    struct err *e = tx_read(&w->cx, w->store, &tx);
    if (!e)
        e = plane_networks_on(&w->cx, tx, h->id, &networks);
    if (e)
        broken(w, "the database can't be read: %s", e->message);
    agent_get_stats(h->agent, w->now_us, &st);
    if (guests != mine || fake_net_taps(&h->net) > mine)
        broken(w, "%s has %zu guests and %zu taps for %zu servers", h->id, guests,
               fake_net_taps(&h->net), mine);
    if (fake_net_networks(&h->net) != networks || fake_net_routers(&h->net) != networks)
        broken(w, "%s has %zu networks and %zu routers, should have %zu", h->id,
               fake_net_networks(&h->net), fake_net_routers(&h->net), networks);
    if (st.failing || st.items[ITEM_SERVER] != mine)
        broken(w, "%s: the agent has %zu servers, and trouble with %zu", h->id,
               st.items[ITEM_SERVER], st.failing);
}

void check_liveness(struct world *w)
{
    struct plane_server *rows;
    size_t n;
    if (w->failed || !load(w, &rows, &n))
        return;
    for (size_t i = 0; i < n && !w->failed; i++) {
        if (rows[i].deleted)
            broken(w, "server %s is still being deleted", rows[i].id);
        else
            check_settled(w, &rows[i]);
    }
    for (size_t i = 0; i < w->cfg.hosts && !w->failed; i++)
        check_host(w, &w->hosts[i], rows, n);
}

struct err *delete_all(struct world *w)
{
    AUTO_TXN struct tx *tx = NULL;
    struct plane_server *rows;
    size_t n;
    TRY(tx_write(&w->cx, w->store, &tx));
    TRY(plane_servers(&w->cx, tx, &rows, &n));
    for (size_t i = 0; i < n; i++)
        TRY(plane_delete(&w->cx, tx, &rows[i]));
    return tx_commit(&w->cx, &tx);
}

void check_empty(struct world *w)
{
    static const struct stmt left = {"sim_left", "SELECT COUNT(*) FROM fleet_changes"};
    AUTO_TXN struct tx *tx = NULL;
    struct db_rows rows;
    check_liveness(w);
    if (w->failed)
        return;
    struct err *e = tx_read(&w->cx, w->store, &tx);
    if (!e)
        e = db_query(&w->cx, tx, &left, NULL, 0, &rows);
    if (e)
        broken(w, "the database can't be read: %s", e->message);
    else if (db_int(&rows, 0, 0))
        broken(w, "%" PRId64 " items are left in the feed of deleted things", db_int(&rows, 0, 0));
    for (size_t i = 0; i < w->cfg.hosts && !w->failed; i++)
        if (fake_net_networks(&w->hosts[i].net) + fake_net_taps(&w->hosts[i].net))
            broken(w, "%s has networks left", w->hosts[i].id);
}
