/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Hosts that fail: their leases and guards, power that goes, a network that is cut, and the control
 * plane's job that evacuates. A guard is no part of an agent, so it acts whenever the time has
 * come; it takes up to two seconds.
 */
#include "sim/world_impl.h"

#define HOST_LEASE_US (INT64_C(1000000) * FLEET_LEASE_S)
#define BEAT_TIMEOUT_US INT64_C(6000000)
/* A host is silent for so long before its servers go, and they have gone so soon after that. */
#define SILENT_US (HOST_LEASE_US + INT64_C(1000000) * FLEET_LEASE_MARGIN_S)
#define SOON_US INT64_C(10000000)

bool host_is_cut(const struct world *w, const struct host *h)
{
    return !w->healed && w->now_us < h->cut_until_us;
}

bool host_is_dead(const struct world *w, const struct host *h)
{
    return !w->healed && w->now_us < h->dead_until_us;
}

/* ---- the lease ---- */

void beat_is_sent(struct world *w, struct host *h)
{
    later(w, EV_BEAT, h, INT64_C(1000000) * FLEET_HEARTBEAT_S);
    if (!chance(w, 5))
        push(w, (struct event){.at_us = w->now_us + between_us(w, 1, 3000),
                               .kind = EV_BEAT_TAKEN,
                               .host = h,
                               .life = h->life,
                               .since = w->now_us});
}

static struct err *take_beat(struct world *w, const struct host *h)
{
    static const char body[] =
        "{\"vcpus\":8,\"memory_mib\":640,\"disk_gib\":100,\"hypervisor_type\":\"fake\","
        "\"agent_url\":\"http://sim\"}";
    AUTO_TXN struct tx *tx = NULL;
    json_t *j = NULL;
    TRY(json_read(&w->cx, body, strlen(body), &j));
    if (w->cfg.pool) {
        json_object_set_new(j, "pool_id", json_string(SIM_POOL));
        json_object_set_new(j, "pool_gib", json_integer(400));
    }
    TRY(tx_write(&w->cx, w->cloud.store, &tx));
    TRY(fleet_beat(&w->cx, tx, h->id, j));
    return tx_commit(&w->cx, &tx);
}

/* What was sent before the network was cut may still arrive. */
static void on_beat_taken(struct world *w, struct host *h, const struct event *ev)
{
    int64_t answer_us = w->now_us + between_us(w, 1, 2000);
    begin_db_trouble(w);
    struct err *e = plane_is_down(w) ? fail(&w->cx, ERR_UNAVAILABLE, "down") : take_beat(w, h);
    end_db_trouble(w);
    if (e)
        return;
    h->beat_at_us = w->now_us;
    h->beat_up_us = plane_uptime_us(w);
    if (!chance(w, 5) && answer_us - ev->since < BEAT_TIMEOUT_US)
        push(w, (struct event){.at_us = answer_us,
                               .kind = EV_LEASE,
                               .host = h,
                               .life = h->life,
                               .since = ev->since});
}

static void on_lease(struct world *w, struct host *h, const struct event *ev)
{
    struct buf body;
    bool any;
    if (host_is_cut(w, h))
        return;
    h->lease_until_us = max_i64(h->lease_until_us, ev->since + HOST_LEASE_US);
    if (!agent_lease(&w->cx, h->agent, ev->since + HOST_LEASE_US))
        return;
    h->heard_at_us = 0; /* an agent waits for the answer before its next heartbeat */
    int64_t since = agent_revision(h->agent);
    if (!since && agent_sweep(&w->cx, h->agent))
        return;
    struct event heard = {.at_us = w->now_us + between_us(w, 1, 5000),
                          .kind = EV_HEARD,
                          .host = h,
                          .life = h->life,
                          .since = since};
    if (!plane_is_down(w) && !chance(w, 5) && !read_items(w, h, since, &body, &any)) {
        heard.text = strdup(buf_cstr(&body));
        h->heard_at_us = heard.at_us;
        push(w, heard);
    }
}

static void on_heard(struct world *w, struct host *h, const struct event *ev)
{
    json_t *j = NULL;
    if (host_is_cut(w, h) || ev->at_us != h->heard_at_us) /* one at a time: the latest */
        return;
    struct err *e = json_read(&w->cx, ev->text, strlen(ev->text), &j);
    must(!e);
    e = agent_take(&w->cx, h->agent, ev->since, j);
    if (e)
        broken(w, "%s: an answer is refused: %s", h->id, e->message);
    agent_lease_heard(&w->cx, h->agent, j);
}

bool failure_event(struct world *w, const struct event *ev)
{
    if (ev->kind == EV_BEAT_TAKEN)
        on_beat_taken(w, ev->host, ev);
    else if (ev->kind == EV_LEASE)
        on_lease(w, ev->host, ev);
    else if (ev->kind == EV_HEARD)
        on_heard(w, ev->host, ev);
    else
        return false;
    return true;
}

/* ---- the guards ---- */

static bool ended_by_host(struct world *w, struct host *h, struct known *k, const char *why)
{
    if (!fake_guest_fence(&h->guests, k->id))
        return false;
    k->restarts++;
    trace(w, "%s: guest %s is ended: %s", h->id, k->id, why);
    return true;
}

static void guard_acts(struct world *w, struct host *h)
{
    struct guest_state is;
    for (size_t i = 0; i < w->n_servers; i++) {
        struct known *k = &w->servers[i];
        const char *mark = arena_printf(w->cx.arena, "%s/ha/%s", h->dir, k->id);
        if (k->ha && fake_guest_state(&h->guests, k->id, &is) && is.power == GUEST_ON &&
            access(mark, F_OK) == 0)
            ended_by_host(w, h, k, "no lease");
    }
}

void guards_act(struct world *w)
{
    for (size_t i = 0; i < w->cfg.hosts; i++)
        if (w->now_us >= w->hosts[i].lease_until_us + w->hosts[i].guard_slow_us)
            guard_acts(w, &w->hosts[i]);
}

/* ---- what happens ---- */

static void power_goes(struct world *w, struct host *h)
{
    bool for_good = chance(w, 20);
    h->dead_until_us = w->now_us + (for_good ? INT64_C(36000000000) : between_us(w, 5000, 400000));
    trace(w, "%s: loses its power%s", h->id, for_good ? " for good" : "");
    if (h->agent)
        kill_agent(w, h);
    for (size_t i = 0; i < w->n_servers; i++)
        ended_by_host(w, h, &w->servers[i], "no power");
    h->lease_until_us = 0; /* of another run of its kernel */
}

void fail_some_host(struct world *w)
{
    struct host *h = &w->hosts[rng_below(&w->rng.rng, w->cfg.hosts)];
    if (chance(w, 4) && !host_is_dead(w, h))
        power_goes(w, h);
    if (chance(w, 6)) {
        h->cut_until_us = w->now_us + between_us(w, 5000, chance(w, 10) ? 900000 : 120000);
        trace(w, "%s: is cut off", h->id);
    }
}

/* ---- the job ---- */

/* A process that has just begun knows nothing of what was heard before. */
void job_restarts(struct world *w)
{
    w->watch = (struct host_watch){.open_since_us = now_us(&w->cx) - w->now_us + w->down_until_us};
}

void on_job(struct world *w)
{
    size_t n;
    if (!plane_is_down(w)) {
        begin_db_trouble(w);
        struct err *e = compute_watch_hosts(&w->cx, w->cloud.store, NULL, &w->watch, &n);
        end_db_trouble(w);
        check_safety(w, BY_JOB, NULL);
        if (e && w->healed)
            broken(w, "evacuating fails: %s", err_chain(&w->cx, e));
        if (!e)
            check_evacuated(w);
    }
    later(w, EV_JOB, NULL, between_us(w, 4000, 6000));
}

/* ---- what must hold ---- */

void server_took_over(struct world *w, struct known *k, const char *host_id, bool wanted_on,
                      bool anew, enum cause by)
{
    struct host *from = host_of(w, k->host_id);
    bool returns = !anew && !k->resizing && str_eq(k->other_id, host_id);
    trace(w, "server %s goes from %s to %s", k->id, k->host_id, host_id);
    if (!k->ha || by != BY_JOB || !from)
        broken(w, "server %s changed its host, and should not", k->id);
    else if (w->now_us - from->beat_at_us < SILENT_US)
        broken(w, "server %s left a host that was heard of", k->id);
    else if (k->died_boot < k->boots && !k->suspended && wanted_on != k->on)
        broken(w, "server %s was wanted %s before it left its host", k->id, k->on ? "on" : "off");
    snprintf(k->host_id, sizeof(k->host_id), "%s", host_id);
    if (returns) /* it was on its way back: that host has all of it */
        return;
    if (from)
        fake_guest_forsake(&from->guests, k->id);
    k->boots++;
    k->builds++;
    k->on = wanted_on;
    k->paused = k->suspended = k->rescued = k->resizing = false;
    k->moved = true;
}

/* On both hosts while it is on its way, or may go back. */
static const struct stmt held = {
    "sim_held", "SELECT host_id, id, held_memory_mib, held_disk_gib FROM servers UNION ALL "
                "SELECT other_host_id, id, held_memory_mib, held_disk_gib FROM servers"};

/* Some living host takes the largest flavor, whatever volumes lie there. */
static bool room_somewhere(struct world *w, const struct known *of)
{
    struct db_rows r;
    struct err *e = load_rows(w, &held, &r);
    for (size_t i = 0; i < w->cfg.hosts && !e; i++) {
        const struct host *h = &w->hosts[i];
        int64_t memory = 0, disk = 0;
        for (size_t k = 0; k < r.n_rows; k++)
            if (str_eq(db_text(&r, k, 0), h->id) && !str_eq(db_text(&r, k, 1), of->id)) {
                memory += db_int(&r, k, 2);
                disk += db_int(&r, k, 3);
            }
        for (size_t k = 0; k < w->n_volumes; k++)
            if (w->volumes[k].row == THERE && str_eq(w->volumes[k].host_id, h->id))
                disk += 4 * w->volumes[k].size_gib; /* and its snapshots */
        if (w->now_us - h->beat_at_us < HOST_LEASE_US && memory + 256 <= 640 && disk + 4 <= 100)
            return true;
    }
    return false;
}

static bool uses_volumes(const struct world *w, const struct known *k)
{
    for (size_t i = 0; i < w->n_volumes; i++)
        if (str_eq(w->volumes[i].user, k->id))
            return true;
    return k->on_volume;
}

static bool should_have_left(struct world *w, const struct known *k)
{
    const struct host *h = host_of(w, k->host_id);
    return k->ha && k->row == THERE && !k->deleted && h && h->beat_at_us && k->host_knows &&
           w->now_us - h->beat_at_us > SILENT_US + SOON_US &&
           plane_uptime_us(w) - h->beat_up_us > SILENT_US + SOON_US &&
           w->now_us - w->down_until_us > SILENT_US + SOON_US && !uses_volumes(w, k) &&
           room_somewhere(w, k);
}

/* After the job, that may have lost a race: nobody waits on a silent host without a reason. */
void check_evacuated(struct world *w)
{
    for (size_t i = 0; i < w->n_servers && !w->failed; i++) {
        struct known *k = &w->servers[i];
        k->waits = should_have_left(w, k) ? k->waits + 1 : 0;
        if (k->waits > 2)
            broken(w, "server %s waits on a host that failed", k->id);
    }
}
