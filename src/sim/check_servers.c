/* SPDX-License-Identifier: EUPL-1.2 */
/* What must hold for servers and their guests. See check.c. */
#include "sim/world_impl.h"

/* No state but those that wait for their host may be passed through for longer: its deadline, and
 * the time in which the control plane was away once. */
#define PASSING_MAX_US (INT64_C(600000000) + INT64_C(950000000))
/* Where it was away more often, that long while it was there; after each time what was under way
 * gets more. */
#define PASSING_MAX_UP_US INT64_C(750000000)
#define AFTER_OUTAGE_US INT64_C(65000000)

/* … and what the second of two stages adds. */
#define MOVING_MAX_US INT64_C(1200000000)

struct saved {
    const char *id, *host_id, *other_id, *fault;
    enum server_state state;
    int64_t boot_seq, reset_seq, build_seq, rescue_seq, resize_seq, restore_seq, deadline;
    bool want_power, paused, suspended, rescued, resizing, exporting, host_knows;
};

static const struct stmt all_servers = {
    "sim_servers",
    "SELECT id, host_id, fault_message, state, boot_seq, reset_seq, build_seq, rescue_seq,"
    " resize_seq, restore_seq, state_deadline, want_power, paused, suspended,"
    " CASE WHEN rescue_spec IS NULL THEN 0 ELSE 1 END, CASE WHEN old_flavor IS NULL THEN 0 ELSE 1"
    " END, CASE WHEN export_image IS NULL THEN 0 ELSE 1 END, other_host_id, seen_ha FROM servers"
    " ORDER BY id"};

static struct saved read_saved(const struct db_rows *r, size_t i)
{
    return (struct saved){.id = db_text(r, i, 0),
                          .host_id = db_text(r, i, 1),
                          .fault = db_text(r, i, 2),
                          .state = lifecycle_named(db_text(r, i, 3)),
                          .boot_seq = db_int(r, i, 4),
                          .reset_seq = db_int(r, i, 5),
                          .build_seq = db_int(r, i, 6),
                          .rescue_seq = db_int(r, i, 7),
                          .resize_seq = db_int(r, i, 8),
                          .restore_seq = db_int(r, i, 9),
                          .deadline = db_int(r, i, 10),
                          .want_power = db_int(r, i, 11) != 0,
                          .paused = db_int(r, i, 12) != 0,
                          .suspended = db_int(r, i, 13) != 0,
                          .rescued = db_int(r, i, 14) != 0,
                          .resizing = db_int(r, i, 15) != 0,
                          .exporting = db_int(r, i, 16) != 0,
                          .other_id = db_text(r, i, 17),
                          .host_knows = db_int(r, i, 18) != 0};
}

static struct err *load(struct world *w, struct saved **ret, size_t *ret_n)
{
    struct db_rows r;
    TRY(load_rows(w, &all_servers, &r));
    *ret = arena_new_array(w->cx.arena, struct saved, r.n_rows + 1);
    *ret_n = r.n_rows;
    for (size_t i = 0; i < r.n_rows; i++)
        (*ret)[i] = read_saved(&r, i);
    return NULL;
}

static const struct saved *find_row(const struct saved *rows, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(rows[i].id, id))
            return &rows[i];
    return NULL;
}

/* ---- at every moment: guests ---- */

static bool is_ahead(const struct known *k, const struct guest_state *is)
{
    return is->boot_seq > k->boots || is->reset_seq > k->resets || is->build_seq > k->builds ||
           is->rescue_seq > k->rescues || is->checkpoint > k->resizes ||
           is->restore_seq > k->restores;
}

/* At most one guest that runs, on its own host: elsewhere are copies only, off or standing still,
 * and what it left on a host that failed. Never ahead of what was asked for, never started more
 * often; none once its host has told that nothing is left. */
static void check_guest(struct world *w, const struct known *k)
{
    for (size_t i = 0; i < w->cfg.hosts; i++) {
        struct host *h = &w->hosts[i];
        struct guest_state is;
        if (!fake_guest_state(&h->guests, k->id, &is))
            continue;
        bool own = str_eq(k->host_id, h->id);
        if (!own && is.power == GUEST_ON && !stands_for_move(k, h, &is))
            broken(w, "server %s belongs to host '%s', but %s runs its guest", k->id, k->host_id,
                   h->id);
        else if (k->row == GONE && own)
            broken(w, "server %s is gone, but %s has its guest", k->id, h->id);
        else if (!k->ha &&
                 fake_guest_starts(&h->guests, k->id) > (uint64_t)(k->boots + k->restarts))
            broken(w, "server %s was started more often than asked for", k->id);
        else if (is_ahead(k, &is))
            broken(w, "server %s is ahead of what was asked for", k->id);
    }
}

void check_guests(struct world *w)
{
    for (size_t i = 0; i < w->n_servers && !w->failed; i++)
        check_guest(w, &w->servers[i]);
}

/* ---- at every moment: rows ---- */

void server_state_began(const struct world *w, struct known *k)
{
    k->state_at_us = w->now_us;
    k->state_up_us = plane_uptime_us(w);
    k->state_outages = w->n_outages;
}

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

static bool passes_for_too_long(const struct world *w, const struct known *k, bool moves)
{
    int64_t more = moves ? MOVING_MAX_US : 0;
    int64_t after = (int64_t)(w->n_outages - k->state_outages) * AFTER_OUTAGE_US;
    return w->now_us - k->state_at_us > PASSING_MAX_US + more &&
           plane_uptime_us(w) - k->state_up_us > PASSING_MAX_UP_US + after + more;
}

static void check_state(struct world *w, const struct known *k, const struct saved *r)
{
    const struct lifecycle *l = lifecycle_of(r->state);
    bool failed = r->state == ST_ERROR || r->state == ST_FAILED;
    bool moves = r->state == ST_MIGRATING || r->state == ST_MOVING;
    if (k->state != r->state && !lifecycle_allows(k->state, r->state))
        broken(w, "server %s went from %s to %s", k->id, lifecycle_of(k->state)->name, l->name);
    else if (failed && (!r->fault || !*r->fault))
        broken(w, "server %s is in error without a fault", k->id);
    else if (!failed && !l->task_state && r->fault)
        broken(w, "server %s is %s with a fault: %s", k->id, l->name, r->fault);
    else if (!l->task_state != !r->deadline)
        broken(w, "server %s is %s, its deadline %" PRId64, k->id, l->name, r->deadline);
    else if (l->task_state && !l->leaves_host && k->state == r->state &&
             passes_for_too_long(w, k, moves))
        broken(w, "server %s is %s since %.3f s", k->id, l->name, (double)k->state_at_us / 1e6);
    else if (k->deleted != (r->state == ST_DELETING))
        broken(w, "server %s is %s, and was%s deleted", k->id, l->name, k->deleted ? "" : " not");
}

/* What was acknowledged is what is desired; a guest's own going off is the one exception. */
static void check_desired(struct world *w, const struct known *k, const struct saved *r)
{
    bool went = !r->want_power && k->died_boot >= k->boots;
    if (r->boot_seq != k->boots || r->reset_seq != k->resets || r->build_seq != k->builds)
        broken(w,
               "server %s: asked for boot %" PRId64 " reset %" PRId64 " build %" PRId64
               ", desired are %" PRId64 ", %" PRId64 ", %" PRId64,
               k->id, k->boots, k->resets, k->builds, r->boot_seq, r->reset_seq, r->build_seq);
    else if (r->rescue_seq != k->rescues || r->resize_seq != k->resizes ||
             r->restore_seq != k->restores)
        broken(w,
               "server %s: asked for rescue %" PRId64 " resize %" PRId64 " revert %" PRId64
               ", desired are %" PRId64 ", %" PRId64 ", %" PRId64,
               k->id, k->rescues, k->resizes, k->restores, r->rescue_seq, r->resize_seq,
               r->restore_seq);
    else if (r->rescued != k->rescued || r->resizing != k->resizing)
        broken(w, "server %s is%s rescued and%s resizing, asked for was otherwise", k->id,
               r->rescued ? "" : " not", r->resizing ? "" : " not");
    else if (!went &&
             (r->want_power != k->on || r->paused != k->paused || r->suspended != k->suspended))
        broken(w, "server %s is wanted %s%s%s, but was last asked to be %s%s%s", k->id,
               r->want_power ? "on" : "off", r->paused ? " paused" : "",
               r->suspended ? " suspended" : "", k->on ? "on" : "off", k->paused ? " paused" : "",
               k->suspended ? " suspended" : "");
}

#define GUEST_IS_UP (TO(ST_ACTIVE) | TO(ST_PAUSED) | TO(ST_RESCUED) | TO(ST_VERIFY_RESIZE))

/* A state that says it is done is no lie: its guest has done all that was asked for. */
static void check_done(struct world *w, const struct known *k, const struct saved *r)
{
    struct guest_state is = {0};
    struct host *h = host_of(w, k->host_id);
    bool settled = TO(r->state) & (GUEST_IS_UP | TO(ST_SHUTOFF) | TO(ST_SUSPENDED));
    if (!settled || !h)
        return;
    fake_guest_state(&h->guests, k->id, &is);
    /* One that begins again is on its way to what it was. */
    bool up = is.power == GUEST_ON && r->want_power && !k->ha && !k->restarts;
    if (is.build_seq < r->build_seq || is.restore_seq < r->restore_seq ||
        (r->want_power && (is.boot_seq < r->boot_seq || is.reset_seq < r->reset_seq)))
        broken(w,
               "server %s is %s, but its guest has only boot %" PRId64 " reset %" PRId64
               " build %" PRId64 " revert %" PRId64,
               k->id, lifecycle_of(r->state)->name, is.boot_seq, is.reset_seq, is.build_seq,
               is.restore_seq);
    else if ((up && is.paused != r->paused) || (r->state == ST_SUSPENDED && !is.suspended) ||
             (up && is.rescue_seq != (r->rescued ? r->rescue_seq : 0)) ||
             (up && r->resizing && !r->other_id && is.checkpoint != r->resize_seq))
        broken(w, "server %s is %s, but its guest is not", k->id, lifecycle_of(r->state)->name);
}

static void take_row(struct world *w, struct known *k, const struct saved *r, bool just_made,
                     enum cause by)
{
    if (just_made) {
        snprintf(k->host_id, sizeof(k->host_id), "%s", r->host_id ? r->host_id : "");
        k->state = r->state;
    } else if (by == BY_JOB && r->host_id && *k->host_id && !str_eq(r->host_id, k->host_id))
        server_took_over(w, k, r->host_id, r->want_power, r->build_seq > k->builds, by);
    check_moved(w, k, r->host_id, r->other_id, r->state, r->boot_seq);
    k->host_knows = r->host_knows;
    if ((k->ha || k->restarts) && !r->want_power && !r->suspended)
        k->suspended = false; /* asked for while its host had ended it: there was no memory */
    check_state(w, k, r);
    check_desired(w, k, r);
    check_done(w, k, r);
    if (k->state != r->state) {
        trace(w, "server %s: %s, was %s%s%s", k->id, lifecycle_of(r->state)->name,
              lifecycle_of(k->state)->name, r->fault ? ": " : "", r->fault ? r->fault : "");
        server_state_began(w, k);
    }
    k->state = r->state;
    k->wants = r->want_power;
    k->exporting = r->exporting;
}

bool check_servers(struct world *w, enum cause by, const char *created)
{
    struct saved *rows;
    size_t n, there = 0;
    bool moved = false;
    struct err *e = load(w, &rows, &n);
    if (e) {
        broken(w, "the database can't be read: %s", err_chain(&w->cx, e));
        return false;
    }
    for (size_t i = 0; i < w->n_servers && !w->failed; i++) {
        struct known *k = &w->servers[i];
        const struct saved *r = find_row(rows, n, k->id);
        moved = moved || (r ? r->state != k->state : k->row == THERE);
        there += r != NULL;
        if (r && k->row != THERE)
            broken(w, "server %s is back", k->id);
        if (r)
            take_row(w, k, r, str_eq(created, k->id), by);
        else
            check_gone(w, k, by);
        check_guest(w, k);
    }
    if (there != n)
        broken(w, "%zu servers are there that nobody was promised", n - there);
    return moved;
}

/* ---- in the end ---- */

static enum server_state right_state(const struct known *k)
{
    bool died = k->died_boot >= k->boots;
    if (!*k->host_id)
        return ST_FAILED;
    if (k->rescued)
        return ST_RESCUED;
    if (k->resizing)
        return ST_VERIFY_RESIZE;
    if (k->suspended && !died)
        return ST_SUSPENDED;
    return !k->on || died ? ST_SHUTOFF : k->paused ? ST_PAUSED : ST_ACTIVE;
}

/* A copy on a host that has nothing to do with it any more. */
static const char *left_elsewhere(struct world *w, const struct known *k)
{
    struct guest_state is;
    for (size_t i = 0; i < w->cfg.hosts; i++) {
        struct host *h = &w->hosts[i];
        if (!str_eq(h->id, k->host_id) && !str_eq(h->id, k->other_id) &&
            fake_guest_state(&h->guests, k->id, &is))
            return arena_printf(w->cx.arena, "server %s is on %s too", k->id, h->id);
    }
    return NULL;
}

static const char *wrong_server(struct world *w, const struct known *k)
{
    struct guest_state is = {0};
    enum server_state right = right_state(k);
    bool on = k->on && k->died_boot < k->boots && *k->host_id;
    if (k->deleted && k->row != THERE && *k->host_id) {
        struct known gone = *k;
        *gone.host_id = *gone.other_id = 0;
        return k->row == GONE ? left_elsewhere(w, &gone) : NULL;
    }
    if (k->deleted)
        return k->row != THERE ? NULL
                               : arena_printf(w->cx.arena, "server %s is still there", k->id);
    if (k->state != right)
        return arena_printf(w->cx.arena, "server %s is %s, not %s", k->id,
                            lifecycle_of(k->state)->name, lifecycle_of(right)->name);
    if (*k->host_id)
        fake_guest_state(&host_of(w, k->host_id)->guests, k->id, &is);
    if ((is.power == GUEST_ON) != on)
        return arena_printf(w->cx.arena, "server %s is %s, its guest's power %d", k->id,
                            lifecycle_of(right)->name, (int)is.power);
    const char *left = left_elsewhere(w, k);
    if (left)
        return left;
    if (k->exporting || (!k->resizing && is.checkpoint))
        return arena_printf(w->cx.arena, "server %s is not done with its disk", k->id);
    return NULL;
}

const char *wrong_servers(struct world *w)
{
    const char *wrong = NULL;
    for (size_t i = 0; i < w->n_servers && !wrong; i++)
        wrong = wrong_server(w, &w->servers[i]);
    return wrong;
}
