/* SPDX-License-Identifier: EUPL-1.2 */
/* What must hold at every moment, and what must hold in the end. */
#include "fleet/fleet_impl.h"
#include "sim/world_impl.h"

/* No state but DELETING may be passed through for longer: its deadline, and the time in which the
 * control plane was away. */
#define PASSING_MAX_US (INT64_C(600000000) + INT64_C(950000000))
/* A host that was heard of within this time is waited for with a deletion. */
#define HOST_LOST_US INT64_C(300000000)
/* A control plane that is back gives hosts at least this time to tell of themselves. */
#define UP_AGAIN_US INT64_C(30000000)

/* ---- what the database says ---- */

struct saved {
    const char *id, *host_id, *fault;
    enum server_state state;
    int64_t boot_seq, reset_seq, build_seq, deadline;
    bool want_power;
};

static const struct stmt all_servers = {
    "sim_servers", "SELECT id, host_id, fault_message, state, boot_seq, reset_seq, build_seq,"
                   " state_deadline, want_power FROM servers ORDER BY id"};

static struct err *load(struct world *w, struct saved **ret, size_t *ret_n)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_rows r;
    TRY(tx_read(&w->cx, w->cloud.store, &tx));
    TRY(db_query(&w->cx, tx, &all_servers, NULL, 0, &r));
    *ret = arena_new_array(w->cx.arena, struct saved, r.n_rows + 1);
    *ret_n = r.n_rows;
    for (size_t i = 0; i < r.n_rows; i++)
        (*ret)[i] = (struct saved){.id = db_text(&r, i, 0),
                                 .host_id = db_text(&r, i, 1),
                                 .fault = db_text(&r, i, 2),
                                 .state = lifecycle_named(db_text(&r, i, 3)),
                                 .boot_seq = db_int(&r, i, 4),
                                 .reset_seq = db_int(&r, i, 5),
                                 .build_seq = db_int(&r, i, 6),
                                 .deadline = db_int(&r, i, 7),
                                 .want_power = db_int(&r, i, 8) != 0};
    return NULL;
}

static const struct saved *find_row(const struct saved *rows, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(rows[i].id, id))
            return &rows[i];
    return NULL;
}

struct law {
    struct stmt none; /* gives no row */
    const char *complaint;
};

static const struct law always[] = {
    {{"sim_port_without_server",
      "SELECT p.id FROM ports p LEFT JOIN servers s ON s.id = p.server_id"
      " WHERE p.server_id IS NOT NULL AND (s.id IS NULL OR s.host_id <> p.host_id)"},
     "a port belongs to no server that is there"},
    {{"sim_port_half_bound", "SELECT id FROM ports WHERE server_id IS NULL AND"
                             " (host_id IS NOT NULL OR device_owner LIKE 'compute:%')"},
     "a port is bound though nothing has it"},
    {{"sim_server_without_port",
      "SELECT s.id FROM servers s WHERE s.host_id IS NOT NULL AND"
      " (SELECT COUNT(*) FROM ports p WHERE p.server_id = s.id) <> 1"},
     "a server has not the one port it was made with"},
    {{"sim_address_twice", "SELECT MIN(id) FROM ports WHERE fixed_ips <> '[]'"
                           " GROUP BY network_id, fixed_ips HAVING COUNT(*) > 1"},
     "an address is in two ports"},
    {{"sim_mac_twice", "SELECT MIN(id) FROM ports GROUP BY network_id, mac_address"
                       " HAVING COUNT(*) > 1"},
     "a MAC is in two ports"},
    {{"sim_address_leaked", "SELECT a.ip FROM ip_allocations a LEFT JOIN ports p"
                            " ON p.id = a.holder_id WHERE p.id IS NULL"},
     "an address is held by nothing"},
    {{"sim_address_unheld",
      "SELECT p.id FROM ports p WHERE json_array_length(p.fixed_ips) <>"
      " (SELECT COUNT(*) FROM ip_allocations a WHERE a.holder_id = p.id AND"
      " INSTR(p.fixed_ips, '\"' || a.ip || '\"'))"},
     "a port's addresses are not those it holds"},
    {{"sim_action_open", "SELECT a.id FROM instance_actions a LEFT JOIN servers s"
                         " ON s.id = a.server_id WHERE a.finish_time IS NULL AND"
                         " (s.id IS NULL OR s.state IN ('ACTIVE', 'SHUTOFF', 'ERROR', 'FAILED'))"},
     "an action is open, though nothing is being done"},
};

static const struct law in_the_end[] = {
    {{"sim_port_status", "SELECT p.id FROM ports p JOIN servers s ON s.id = p.server_id"
                         " WHERE (p.status = 'ACTIVE') <> (s.state = 'ACTIVE')"},
     "a port's status is not its server's"},
};

static const struct law when_empty[] = {
    {{"sim_left_servers", "SELECT id FROM servers"}, "a server is left"},
    {{"sim_left_ports", "SELECT id FROM ports"}, "a port is left"},
    {{"sim_left_addresses", "SELECT ip FROM ip_allocations"}, "an address is left"},
    {{"sim_left_groups", "SELECT port_id FROM port_groups"}, "a port's group is left"},
    {{"sim_left_items", "SELECT kind || ' ' || item_id FROM fleet_changes"},
     "an item is left in the feed of deleted things"},
};

/* The first rule that does not hold, as text; or NULL. */
static const char *judge(struct world *w, const struct law *rules, size_t n)
{
    AUTO_TXN struct tx *tx = NULL;
    struct err *e = tx_read(&w->cx, w->cloud.store, &tx);
    for (size_t i = 0; i < n && !e; i++) {
        struct db_rows r;
        e = db_query(&w->cx, tx, &rules[i].none, NULL, 0, &r);
        if (!e && r.n_rows)
            return arena_printf(w->cx.arena, "%s: %s", rules[i].complaint, db_text(&r, 0, 0));
    }
    return e ? err_chain(&w->cx, e) : NULL;
}

/* ---- at every moment: guests ---- */

/* At most one guest, on its own host; never ahead of what was asked for, never started more often;
 * none once its host has told that nothing is left. */
static void check_guest(struct world *w, const struct known *k)
{
    for (size_t i = 0; i < w->cfg.hosts; i++) {
        struct host *h = &w->hosts[i];
        struct guest_state is;
        if (!fake_guest_state(&h->guests, k->id, &is))
            continue;
        if (!str_eq(k->host_id, h->id))
            broken(w, "server %s belongs to host '%s', but %s has its guest", k->id, k->host_id,
                   h->id);
        else if (k->row == GONE)
            broken(w, "server %s is gone, but %s has its guest", k->id, h->id);
        else if (fake_guest_starts(&h->guests, k->id) > (uint64_t)k->boots)
            broken(w, "server %s was started more often than asked for", k->id);
        else if (is.boot_seq > k->boots || is.reset_seq > k->resets || is.build_seq > k->builds)
            broken(w, "server %s is ahead of what was asked for", k->id);
    }
}

void check_guests(struct world *w)
{
    for (size_t i = 0; i < w->n_servers && !w->failed; i++)
        check_guest(w, &w->servers[i]);
}

static struct host *host_of(struct world *w, const char *id)
{
    for (size_t i = 0; i < w->cfg.hosts; i++)
        if (str_eq(w->hosts[i].id, id))
            return &w->hosts[i];
    return NULL;
}

/* Or could not be, as there was no control plane. */
static bool heard_of(struct world *w, const char *host_id)
{
    const struct host *h = host_of(w, host_id);
    return w->now_us - h->beat_at_us < HOST_LOST_US ||
           plane_uptime_us(w) - h->beat_up_us < UP_AGAIN_US;
}

/* ---- at every moment: rows ---- */

static void check_gone(struct world *w, struct known *k, enum cause by)
{
    if (k->row != THERE)
        return;
    k->row = by == BY_SWEEP && *k->host_id ? GONE_WITH_HOST : GONE;
    trace(w, "server %s is gone%s", k->id, k->row == GONE ? "" : " with its host");
    if (!k->deleted)
        broken(w, "server %s is gone, but nobody deleted it", k->id);
    else if (k->row == GONE_WITH_HOST && heard_of(w, k->host_id))
        broken(w, "server %s was given up, though its host was heard of lately", k->id);
}

static void check_state(struct world *w, const struct known *k, const struct saved *r)
{
    const struct lifecycle *l = lifecycle_of(r->state);
    bool failed = r->state == ST_ERROR || r->state == ST_FAILED;
    if (k->state != r->state && !lifecycle_allows(k->state, r->state))
        broken(w, "server %s went from %s to %s", k->id, lifecycle_of(k->state)->name, l->name);
    else if (failed && (!r->fault || !*r->fault))
        broken(w, "server %s is in error without a fault", k->id);
    else if (!failed && !l->task_state && r->fault)
        broken(w, "server %s is %s with a fault: %s", k->id, l->name, r->fault);
    else if (!l->task_state != !r->deadline)
        broken(w, "server %s is %s, its deadline %" PRId64, k->id, l->name, r->deadline);
    else if (l->task_state && r->state != ST_DELETING && k->state == r->state &&
             w->now_us - k->state_at_us > PASSING_MAX_US)
        broken(w, "server %s is %s since %.3f s", k->id, l->name, (double)k->state_at_us / 1e6);
    else if (k->deleted != (r->state == ST_DELETING))
        broken(w, "server %s is %s, and was%s deleted", k->id, l->name, k->deleted ? "" : " not");
}

/* What was acknowledged is what is desired; a guest's own going off is the one exception. */
static void check_desired(struct world *w, const struct known *k, const struct saved *r)
{
    if (r->boot_seq != k->boots || r->reset_seq != k->resets || r->build_seq != k->builds)
        broken(w, "server %s: asked for boot %" PRId64 " reset %" PRId64 " build %" PRId64
               ", desired are %" PRId64 ", %" PRId64 ", %" PRId64, k->id, k->boots, k->resets,
               k->builds, r->boot_seq, r->reset_seq, r->build_seq);
    else if (r->want_power != k->on && (r->want_power || k->died_boot < k->boots))
        broken(w, "server %s is wanted %s, but was last asked to be %s", k->id,
               r->want_power ? "on" : "off", k->on ? "on" : "off");
}

/* A state that says it is done is no lie: its guest has done all that was asked for. */
static void check_done(struct world *w, const struct known *k, const struct saved *r)
{
    struct guest_state is = {0};
    struct host *h = host_of(w, k->host_id);
    if ((r->state != ST_ACTIVE && r->state != ST_SHUTOFF) || !h)
        return;
    fake_guest_state(&h->guests, k->id, &is);
    if (is.build_seq < r->build_seq || (r->state == ST_ACTIVE && (is.boot_seq < r->boot_seq ||
                                                                  is.reset_seq < r->reset_seq)))
        broken(w, "server %s is %s, but its guest has only boot %" PRId64 " reset %" PRId64
               " build %" PRId64, k->id, lifecycle_of(r->state)->name, is.boot_seq, is.reset_seq,
               is.build_seq);
}

static void take_row(struct world *w, struct known *k, const struct saved *r, bool just_made)
{
    if (just_made) {
        snprintf(k->host_id, sizeof(k->host_id), "%s", r->host_id ? r->host_id : "");
        k->state = r->state;
    }
    check_state(w, k, r);
    check_desired(w, k, r);
    check_done(w, k, r);
    if (k->state != r->state) {
        trace(w, "server %s: %s, was %s%s%s", k->id, lifecycle_of(r->state)->name,
              lifecycle_of(k->state)->name, r->fault ? ": " : "", r->fault ? r->fault : "");
        k->state_at_us = w->now_us;
    }
    k->state = r->state;
}

void check_safety(struct world *w, enum cause by, const char *created)
{
    struct saved *rows;
    size_t n, there = 0;
    if (w->failed)
        return;
    struct err *e = load(w, &rows, &n);
    if (e) {
        broken(w, "the database can't be read: %s", err_chain(&w->cx, e));
        return;
    }
    bool moved = by == BY_USER;
    for (size_t i = 0; i < w->n_servers && !w->failed; i++) {
        struct known *k = &w->servers[i];
        const struct saved *r = find_row(rows, n, k->id);
        moved = moved || (r ? r->state != k->state : k->row == THERE);
        there += r != NULL;
        if (r && k->row != THERE)
            broken(w, "server %s is back", k->id);
        if (r)
            take_row(w, k, r, str_eq(created, k->id));
        else
            check_gone(w, k, by);
        check_guest(w, k);
    }
    if (there != n)
        broken(w, "%zu servers are there that nobody was promised", n - there);
    const char *wrong = moved && !w->failed ? judge(w, always, ARRAY_LEN(always)) : NULL;
    if (wrong)
        broken(w, "%s", wrong);
}

void check_swept(struct world *w)
{
    struct saved *rows;
    size_t n;
    struct err *e = load(w, &rows, &n);
    int64_t now = now_us(&w->cx);
    for (size_t i = 0; i < n && !e; i++)
        if (rows[i].deadline && rows[i].deadline <= now)
            broken(w, "server %s is past its deadline, and was swept", rows[i].id);
}

/* ---- in the end ---- */

static const char *wrong_server(struct world *w, const struct known *k)
{
    struct guest_state is = {0};
    bool on = k->on && k->died_boot < k->boots;
    enum server_state right = !*k->host_id ? ST_FAILED : on ? ST_ACTIVE : ST_SHUTOFF;
    if (k->deleted)
        return k->row != THERE
                   ? NULL
                   : arena_printf(w->cx.arena, "server %s is still there", k->id);
    if (k->state != right)
        return arena_printf(w->cx.arena, "server %s is %s, not %s", k->id,
                            lifecycle_of(k->state)->name, lifecycle_of(right)->name);
    if (*k->host_id)
        fake_guest_state(&host_of(w, k->host_id)->guests, k->id, &is);
    if ((is.power == GUEST_ON) != (right == ST_ACTIVE))
        return arena_printf(w->cx.arena, "server %s is %s, its guest's power %d", k->id,
                            lifecycle_of(right)->name, (int)is.power);
    return NULL;
}

/* How many items of this kind the host should have. */
static struct err *wanted_on(struct world *w, const char *kind, const char *host_id, size_t *ret)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_rows ids;
    TRY(tx_read(&w->cx, w->cloud.store, &tx));
    TRY(fleet_kind_find(kind)->list(&w->cx, tx, host_id, &ids));
    *ret = ids.n_rows;
    return NULL;
}

static const char *wrong_host(struct world *w, struct host *h)
{
    size_t servers = 0, networks = 0, routers = 0, guests = 0;
    struct agent_stats st;
    struct err *e = wanted_on(w, "server", h->id, &servers);
    if (!e)
        e = wanted_on(w, "network", h->id, &networks);
    if (!e)
        e = wanted_on(w, "router", h->id, &routers);
    if (e)
        return err_chain(&w->cx, e);
    if (!h->agent)
        return arena_printf(w->cx.arena, "%s has no agent", h->id);
    for (enum guest_power p = GUEST_ABSENT; p <= GUEST_CRASHED; p++)
        guests += fake_guests_count(&h->guests, p);
    agent_get_stats(h->agent, w->now_us, &st);
    if (guests != servers || fake_net_taps(&h->net) > servers)
        return arena_printf(w->cx.arena, "%s has %zu guests and %zu taps for %zu servers", h->id,
                            guests, fake_net_taps(&h->net), servers);
    if (fake_net_networks(&h->net) != networks || fake_net_routers(&h->net) != routers)
        return arena_printf(w->cx.arena,
                            "%s has %zu networks and %zu routers, should have %zu and %zu", h->id,
                            fake_net_networks(&h->net), fake_net_routers(&h->net), networks,
                            routers);
    if (st.failing || st.undelivered || st.items[ITEM_SERVER] != servers)
        return arena_printf(w->cx.arena, "%s: the agent has %zu servers, trouble with %zu", h->id,
                            st.items[ITEM_SERVER], st.failing);
    return NULL;
}

/* Usage of quotas is what is there, and within the limit. */
static const char *wrong_usage(struct world *w, size_t project)
{
    AUTO_TXN struct tx *tx = NULL;
    int64_t used = 0, there = 0;
    struct err *e = tx_read(&w->cx, w->cloud.store, &tx);
    if (!e)
        e = quota_usage(&w->cx, tx, &compute_service, "instances", w->cloud.projects[project].token,
                        &used);
    if (e)
        return err_chain(&w->cx, e);
    for (size_t i = 0; i < w->n_servers; i++)
        there += w->servers[i].project == project && w->servers[i].row == THERE;
    return used == there && used <= CLOUD_INSTANCES_MAX
               ? NULL
               : arena_printf(w->cx.arena, "project %zu has %" PRId64 " servers, counted %" PRId64,
                              project, there, used);
}

const char *check_settled(struct world *w)
{
    const char *wrong = w->failed ? "it is broken" : NULL;
    for (size_t i = 0; i < w->n_servers && !wrong; i++)
        wrong = wrong_server(w, &w->servers[i]);
    for (size_t i = 0; i < w->cfg.hosts && !wrong; i++)
        wrong = wrong_host(w, &w->hosts[i]);
    for (size_t i = 0; i < CLOUD_PROJECTS && !wrong; i++)
        wrong = wrong_usage(w, i);
    if (!wrong)
        wrong = judge(w, always, ARRAY_LEN(always));
    return wrong ? wrong : judge(w, in_the_end, ARRAY_LEN(in_the_end));
}

const char *check_empty(struct world *w)
{
    const char *wrong = check_settled(w);
    return wrong ? wrong : judge(w, when_empty, ARRAY_LEN(when_empty));
}
