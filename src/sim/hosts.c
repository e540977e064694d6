/* SPDX-License-Identifier: EUPL-1.2 */
/* Hosts: their agents, as node's loop would run them, the faults of their drivers, and the faulty
 * network between them and the control plane. */
#include "sim/world_impl.h"
#include <sys/stat.h>

/* At most one such event counts for a host: the earliest. */
static void want_work(struct world *w, struct host *h, int64_t at_us)
{
    if (at_us >= h->work_at_us)
        return;
    h->work_at_us = at_us;
    push(w, (struct event){.at_us = at_us, .kind = EV_WORK, .host = h, .life = h->life});
}

static void want_report(struct world *w, struct host *h)
{
    if (h->report_due)
        return;
    h->report_due = true;
    later(w, EV_REPORT, h, between_us(w, 10, 1000));
}

static void on_wake(void *arg)
{
    struct host *h = arg;
    want_work(h->world, h, h->world->now_us + 1000);
    want_report(h->world, h);
}

static void on_answer(struct world *w, struct host *h, const struct event *ev);

/* What was on its way to this agent arrives while one of its workers is busy. */
static void answer_meanwhile(struct world *w, struct host *h)
{
    for (size_t i = 0; i < w->n_events; i++) {
        struct event *ev = &w->events[i];
        if (ev->kind != EV_ANSWER || ev->host != h || ev->life != h->life)
            continue;
        struct event now = *ev;
        ev->life = UINT64_MAX; /* nobody's: its turn comes for nothing */
        on_answer(w, h, &now);
        return;
    }
}

/* Before and after each driver call: it may fail, take long, or be the agent's last. */
static struct err *driver_fault(struct ctx *cx, void *arg, const char *call, const char *id,
                                bool after)
{
    struct host *h = arg;
    struct world *w = h->world;
    if (str_eq(call, "lock")) /* nobody's but the one who has it */
        return NULL;
    if (chance(w, 1)) { /* it takes its time */
        int64_t was = w->now_us;
        w->now_us += between_us(w, 100, 30000);
        trace(w, "%s: %s %s %s takes %.3f s", h->id, after ? "after" : "before", call, id ? id : "",
              (double)(w->now_us - was) / 1e6);
    }
    if (chance(w, 10) && h->agent)
        answer_meanwhile(w, h);
    if (chance(w, 1)) {
        trace(w, "%s: agent is killed %s %s %s", h->id, after ? "after" : "before", call,
              id ? id : "");
        h->dying = true;
        return fail(cx, ERR_UNAVAILABLE, "killed");
    }
    bool sick = !w->healed && w->now_us < h->sick_until_us;
    if (!sick && !chance(w, 5))
        return NULL;
    if (!sick)
        trace(w, "%s: %s %s fails, %s", h->id, call, id ? id : "",
              after ? "done all the same" : "not done");
    return fail(cx, ERR_UNAVAILABLE, "%s fails", call);
}

static struct err *image_want(struct ctx *cx, void *arg, const struct spec_image *image UNUSED,
                              bool *ret_here)
{
    struct host *h = arg;
    if (chance(h->world, 5))
        return fail(cx, ERR_UNAVAILABLE, "image can't be fetched");
    *ret_here = h->image == IMAGE_HERE;
    if (h->image == IMAGE_AWAY) {
        h->image = IMAGE_COMING;
        bool slow = chance(h->world, 4);
        later(h->world, EV_IMAGE, h, between_us(h->world, 100, slow ? 1000000 : 5000));
    } else if (h->image == IMAGE_COMING && chance(h->world, 20)) { /* right after the look */
        h->image = IMAGE_HERE;
        agent_poke(h->agent);
    }
    return NULL;
}

static void image_unuse(void *arg, const char *user)
{
    struct host *h = arg;
    for (size_t i = 0; i < h->n_image_users; i++)
        if (str_eq(h->image_users[i], user))
            memmove(h->image_users[i], h->image_users[--h->n_image_users],
                    sizeof(h->image_users[i]));
}

static struct err *image_use(struct ctx *cx UNUSED, void *arg, const char *user,
                             const struct spec_image *image UNUSED, const char **ret_path)
{
    struct host *h = arg;
    image_unuse(arg, user);
    must(h->n_image_users < USERS_MAX);
    snprintf(h->image_users[h->n_image_users++], sizeof(h->image_users[0]), "%s", user);
    *ret_path = "/image";
    return NULL;
}

/* The bytes arrive, or not; so does the answer. */
static struct err *image_send(struct ctx *cx, void *arg, const char *image_id, const char *path)
{
    struct host *h = arg;
    struct world *w = h->world;
    check_export(w, h, image_id, path);
    if (plane_is_down(w) || host_is_cut(w, h) || chance(w, 10))
        return fail(cx, ERR_UNAVAILABLE, "the image can't be sent");
    begin_db_trouble(w);
    struct err *e = cloud_take_export(cx, &w->cloud, h->id, image_id);
    end_db_trouble(w);
    return !e && chance(w, 10) ? fail(cx, ERR_UNAVAILABLE, "the answer is lost") : e;
}

/* A fake disk is its own raw form. */
static struct err *to_raw(struct ctx *cx, void *arg UNUSED, const char *from, const char *to)
{
    const char *origin;
    int64_t size_gib;
    TRY(fake_disk_read(cx, from, &origin, &size_gib));
    return fake_disk_write(cx, to, origin, size_gib);
}

/* An agent with no memory of before, on the host as it stands. */
static void start_agent(struct world *w, struct host *h)
{
    struct agent_setup setup = {.guests = h->guests,
                                .net = h->net,
                                .volumes = h->volumes,
                                .shared = w->pool,
                                .pool_id = w->cfg.pool ? SIM_POOL : NULL,
                                .images = {image_want, image_use, image_unuse, h},
                                .exports = {.send = image_send, .arg = h, .raw = {to_raw, NULL}},
                                .moves = sim_moves(h),
                                .dir = h->dir,
                                .wake = on_wake,
                                .wake_arg = h};
    h->life++;
    h->work_at_us = INT64_MAX;
    h->report_due = false;
    h->dying = false;
    h->image = h->image == IMAGE_COMING ? IMAGE_AWAY : h->image;
    h->agent = agent_new(&setup);
    agent_lease_resume(h->agent, h->lease_until_us);
    h->full_at_us = 0;
    h->parked = false;
    h->guests.ops->on_change(h->guests.drv, agent_guest_changed, h->agent);
    trace(w, "%s: agent starts", h->id);
    later(w, EV_BEAT, h, 0);
    later(w, EV_WATCH, h, between_us(w, 0, 100));
}

void kill_agent(struct world *w, struct host *h)
{
    bool long_away = chance(w, 10);
    agent_free(h->agent);
    h->agent = NULL;
    h->parked = false;
    h->life++; /* what is on its way to it is lost */
    h->guests.ops->on_change(h->guests.drv, NULL, NULL);
    push(w, (struct event){.at_us = w->now_us + between_us(w, 10, long_away ? 900000 : 20000),
                           .kind = EV_START,
                           .host = h,
                           .life = h->life});
}

/* ---- between agent and control plane ---- */

struct err *read_items(struct world *w, struct host *h, int64_t since, struct buf *ret,
                       bool *ret_any)
{
    AUTO_TXN struct tx *tx = NULL;
    struct jw jw;
    buf_init(ret, w->cx.arena);
    jw_init(&jw, ret);
    TRY(tx_read(&w->cx, w->cloud.store, &tx));
    return fleet_items(&w->cx, tx, h->id, since, &jw, ret_any);
}

static void ask_again(struct world *w, struct host *h, int64_t delay_us)
{
    h->parked = false;
    later(w, EV_WATCH, h, delay_us);
}

/* The control plane's end of the long poll. */
static void serve_watch(struct world *w, struct host *h, bool may_park)
{
    struct buf body;
    bool any = false;
    begin_db_trouble(w);
    struct err *e = plane_is_down(w) || host_is_cut(w, h) ? fail(&w->cx, ERR_UNAVAILABLE, "down")
                                                          : read_items(w, h, h->since, &body, &any);
    end_db_trouble(w);
    if (e || chance(w, 5)) {
        ask_again(w, h, between_us(w, 500, 5000)); /* refused, or the answer is lost */
        return;
    }
    if (!any && may_park) {
        h->parked = true;
        h->parked_at_us = w->now_us;
        push(w, (struct event){.at_us = w->now_us + INT64_C(25000000),
                               .kind = EV_WATCH_TIMEOUT,
                               .host = h,
                               .life = h->life,
                               .since = w->now_us});
        return;
    }
    h->parked = false;
    struct event answer = {.at_us = w->now_us + between_us(w, 1, 300),
                           .kind = EV_ANSWER,
                           .host = h,
                           .life = h->life,
                           .since = h->since,
                           .text = strdup(buf_cstr(&body)),
                           .last = true};
    must(answer.text);
    push(w, answer);
    if (chance(w, 5)) { /* once more, later, when the agent may know better */
        answer.at_us += between_us(w, 1, 60000);
        answer.text = strdup(answer.text);
        answer.last = false;
        push(w, answer);
    }
}

/* A timeout is meant for one stay only. */
static void wake_watch(struct world *w, struct host *h, const struct event *ev)
{
    if (h->parked && (ev->kind == EV_WATCH_WAKE || ev->since == h->parked_at_us))
        serve_watch(w, h, ev->kind == EV_WATCH_WAKE);
}

static void on_watch(struct world *w, struct host *h)
{
    bool full = w->now_us >= h->full_at_us;
    if (full) {
        struct err *e = agent_sweep(&w->cx, h->agent);
        if (e) {
            ask_again(w, h, 1000000);
            return;
        }
        h->full_at_us = w->now_us + INT64_C(180000000);
    }
    h->since = full ? 0 : agent_revision(h->agent);
    serve_watch(w, h, true);
}

static void on_answer(struct world *w, struct host *h, const struct event *ev)
{
    json_t *j = NULL;
    struct err *e = json_read(&w->cx, ev->text, strlen(ev->text), &j);
    must(!e);
    e = agent_take(&w->cx, h->agent, ev->since, j);
    if (e)
        broken(w, "%s: an answer is refused: %s", h->id, e->message);
    if (ev->last)
        ask_again(w, h, between_us(w, 0, 20));
}

static struct err *take_reports(struct world *w, struct host *h, const char *text)
{
    AUTO_TXN struct tx *tx = NULL;
    struct buf reply;
    struct jw jw;
    json_t *j = NULL;
    buf_init(&reply, w->cx.arena);
    jw_init(&jw, &reply);
    TRY(json_read(&w->cx, text, strlen(text), &j));
    TRY(tx_write(&w->cx, w->cloud.store, &tx));
    TRY(fleet_reports(&w->cx, tx, h->id, j, &jw));
    return tx_commit(&w->cx, &tx);
}

/* The control plane's end of a report; false: it failed, as far as anybody can tell. */
static bool serve_reports(struct world *w, struct host *h, const char *text)
{
    if (plane_is_down(w) || host_is_cut(w, h))
        return false;
    begin_db_trouble(w);
    struct err *e = take_reports(w, h, text);
    end_db_trouble(w);
    check_safety(w, BY_AGENT, NULL);
    if (e && w->healed)
        broken(w, "%s: a report is refused: %s", h->id, err_chain(&w->cx, e));
    return !e;
}

/* The agent sends what it has; the next batch waits for the answer to this one. */
static void on_report(struct world *w, struct host *h)
{
    struct buf body;
    arena_reset(h->report_cx.arena);
    buf_init(&body, h->report_cx.arena);
    h->report_due = false;
    h->batch = agent_reports(&h->report_cx, h->agent, 20, &body);
    if (!h->batch)
        return;
    h->report_due = true;
    h->report_text = buf_cstr(&body);
    later(w, EV_DELIVER, h, between_us(w, 1, 2000));
}

/* The batch arrives, or not; so does the answer; a copy may arrive once more, overtaken by later
 * ones. */
static void on_deliver(struct world *w, struct host *h)
{
    bool taken = !chance(w, 5) && serve_reports(w, h, h->report_text);
    if (chance(w, 5))
        push(w, (struct event){.at_us = w->now_us + between_us(w, 1, 30000),
                               .kind = EV_LATE_REPORT,
                               .host = h,
                               .text = strdup(h->report_text)});
    if (taken && !chance(w, 5))
        agent_reports_done(h->agent, h->batch);
    h->batch = NULL;
    h->report_due = false;
    want_report(w, h);
}

static void on_work(struct world *w, struct host *h, const struct event *ev)
{
    int64_t next;
    if (ev->at_us != h->work_at_us)
        return;
    h->work_at_us = INT64_MAX;
    struct item *it = agent_claim(h->agent, ALL_KINDS, w->now_us, &next);
    if (it) {
        w->acting = h;
        agent_step(&w->cx, h->agent, it);
        guards_act(w);
        check_hosts(w);
        next = w->now_us + between_us(w, 1, 50);
    }
    if (next < INT64_MAX)
        want_work(w, h, max_i64(next, w->now_us + 1000));
}

/* ---- what happens to hosts ---- */

void host_touched(void *world, const char *host_id)
{
    struct world *w = world;
    for (size_t i = 0; i < w->cfg.hosts && !w->deaf_to_wakes; i++)
        if (w->hosts[i].parked && str_eq(w->hosts[i].id, host_id))
            later(w, EV_WATCH_WAKE, &w->hosts[i], 0);
}

/* A server that was deleted while its host was away may still run there, with its volumes. */
static struct err *lock_of(struct ctx *cx, const struct world *w, const char *server_id)
{
    for (size_t i = 0; i < w->n_servers; i++)
        if (w->servers[i].row == GONE_WITH_HOST && str_eq(w->servers[i].id, server_id))
            return fail(cx, ERR_CONFLICT, "the disk is open in another process");
    return NULL;
}

/* The fault is that of the host which is at work there. */
static struct err *pool_fault(struct ctx *cx, void *arg, const char *call, const char *id,
                              bool after)
{
    struct world *w = arg;
    if (str_eq(call, "lock"))
        return lock_of(cx, w, id);
    return driver_fault(cx, w->acting, call, id, after);
}

struct volume_backend *volumes_of(struct world *w, struct host *h)
{
    return w->cfg.pool ? &w->pool : &h->volumes;
}

void hosts_open(struct world *w)
{
    if (w->cfg.pool) {
        fake_volumes_new(&w->pool);
        fake_volumes_set_fault(&w->pool, pool_fault, w);
    }
    for (size_t i = 0; i < w->cfg.hosts; i++) {
        struct host *h = &w->hosts[i];
        h->world = w;
        ctx_init_with(&h->report_cx, &w->clock, &w->rng.rng);
        fake_guests_new(&h->guests);
        fake_net_new(&h->net);
        fake_volumes_new(&h->volumes);
        if (w->cfg.pool)
            fake_guests_set_shared(&h->guests, &w->pool);
        fake_guests_set_volumes(&h->guests, &h->volumes);
        fake_guests_set_fault(&h->guests, driver_fault, h);
        fake_net_set_fault(&h->net, driver_fault, h);
        fake_volumes_set_fault(&h->volumes, driver_fault, h);
        snprintf(h->dir, sizeof(h->dir), "%s/host-%zu", w->cloud.dir, i);
        must(mkdir(h->dir, 0700) == 0);
        h->guard_slow_us = between_us(w, 0, 2000);
        start_agent(w, h);
    }
}

void hosts_close(struct world *w)
{
    for (size_t i = 0; i < w->cfg.hosts; i++) {
        struct host *h = &w->hosts[i];
        agent_free(h->agent);
        if (h->report_cx.arena)
            ctx_release(&h->report_cx);
        if (h->guests.ops)
            h->guests.ops->free(h->guests.drv);
        if (h->net.ops)
            h->net.ops->free(h->net.drv);
        if (h->volumes.ops)
            h->volumes.ops->free(h->volumes.drv);
    }
    if (w->pool.ops)
        w->pool.ops->free(w->pool.drv);
}

static void agent_event(struct world *w, const struct event *ev)
{
    struct host *h = ev->host;
    if (ev->kind == EV_START && host_is_dead(w, h))
        push(w, (struct event){.at_us = h->dead_until_us + between_us(w, 1000, 30000),
                               .kind = EV_START,
                               .host = h,
                               .life = h->life});
    else if (ev->kind == EV_START)
        start_agent(w, h);
    else if (ev->kind == EV_WATCH)
        on_watch(w, h);
    else if (ev->kind == EV_WATCH_WAKE || ev->kind == EV_WATCH_TIMEOUT)
        wake_watch(w, h, ev);
    else if (ev->kind == EV_ANSWER && !host_is_cut(w, h))
        on_answer(w, h, ev);
    else if (ev->kind == EV_ANSWER && ev->last) /* it waits for nothing */
        ask_again(w, h, between_us(w, 1000, 40000));
    else if (ev->kind == EV_WORK)
        on_work(w, h, ev);
    else if (ev->kind == EV_REPORT)
        on_report(w, h);
    else if (ev->kind == EV_DELIVER)
        on_deliver(w, h);
    else if (ev->kind == EV_LATE_REPORT)
        serve_reports(w, h, ev->text);
    else if (ev->kind == EV_BEAT)
        beat_is_sent(w, h);
    else if (ev->kind == EV_IMAGE && h->image == IMAGE_COMING) {
        h->image = IMAGE_HERE;
        agent_poke(h->agent);
    }
}

void host_event(struct world *w, const struct event *ev)
{
    struct host *h = ev->host;
    if (!failure_event(w, ev))
        agent_event(w, ev);
    if (h->dying && h->agent)
        kill_agent(w, h);
}
