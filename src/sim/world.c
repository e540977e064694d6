/* SPDX-License-Identifier: EUPL-1.2 */
/* See world.h: events, hosts, the faulty network between them and the control plane. Checks are in
 * check.c. */
#include "sim/world_impl.h"

/* ---- time and chance ---- */

static int64_t virtual_mono(struct clock *c)
{
    return ((struct world *)(void *)c)->now_us;
}

static int64_t virtual_wall(struct clock *c)
{
    return virtual_mono(c) + INT64_C(1790000000000000);
}

static bool chance(struct world *w, unsigned percent)
{
    return !w->healed && rng_below(&w->rng.rng, 100) < percent;
}

static int64_t between_us(struct world *w, int64_t min_ms, int64_t max_ms)
{
    return 1000 * (min_ms + (int64_t)rng_below(&w->rng.rng, (uint64_t)(max_ms - min_ms + 1)));
}

void trace(struct world *w, const char *fmt, ...)
{
    va_list ap;
    if (!w->cfg.trace)
        return;
    va_start(ap, fmt);
    fprintf(stderr, "%10.3f ", (double)w->now_us / 1e6);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

void broken(struct world *w, const char *fmt, ...)
{
    va_list ap;
    if (w->failed)
        return;
    w->failed = true;
    va_start(ap, fmt);
    fprintf(stderr, "seed %" PRIu64 ", steps %u, hosts %u, at %.3f s: ", w->cfg.seed, w->cfg.steps,
            w->cfg.hosts, (double)w->now_us / 1e6);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

/* ---- events: a binary heap by time, then by age ---- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->seq < b->seq;
}

static void push(struct world *w, struct event e)
{
    must(w->n_events < EVENTS_MAX);
    e.seq = ++w->event_seq;
    size_t i = w->n_events++;
    for (; i && before(&e, &w->events[(i - 1) / 2]); i = (i - 1) / 2)
        w->events[i] = w->events[(i - 1) / 2];
    w->events[i] = e;
}

static struct event pop(struct world *w)
{
    struct event top = w->events[0], last = w->events[--w->n_events];
    size_t i = 0;
    for (size_t kid; (kid = 2 * i + 1) < w->n_events; i = kid) {
        if (kid + 1 < w->n_events && before(&w->events[kid + 1], &w->events[kid]))
            kid++;
        if (!before(&w->events[kid], &last))
            break;
        w->events[i] = w->events[kid];
    }
    w->events[i] = last;
    return top;
}

static void later(struct world *w, enum event_kind kind, struct host *h, int64_t delay_us)
{
    push(w, (struct event){
                .at_us = w->now_us + delay_us, .kind = kind, .host = h, .life = h ? h->life : 0});
}

/* ---- hosts ---- */

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
    if (chance(w, 1))
        w->now_us += between_us(w, 100, 30000);
    if (chance(w, 10) && h->agent)
        answer_meanwhile(w, h);
    if (chance(w, 1)) {
        trace(w, "%s: agent is killed %s %s %s", h->id, after ? "after" : "before", call,
              id ? id : "");
        h->dying = true;
        return fail(cx, ERR_UNAVAILABLE, "killed");
    }
    if (!chance(w, 5))
        return NULL;
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
        later(h->world, EV_IMAGE, h, between_us(h->world, 100, 5000));
    } else if (h->image == IMAGE_COMING && chance(h->world, 20)) { /* right after the look */
        h->image = IMAGE_HERE;
        agent_poke(h->agent);
    }
    return NULL;
}

static struct err *image_use(struct ctx *cx UNUSED, void *arg UNUSED, const char *server_id UNUSED,
                             const struct spec_image *image UNUSED, const char **ret_path)
{
    *ret_path = "/image";
    return NULL;
}

static void image_unuse(void *arg UNUSED, const char *server_id UNUSED)
{
}

/* An agent with no memory of before, on the host as it stands. */
static void start_agent(struct world *w, struct host *h)
{
    struct agent_setup setup = {.guests = h->guests,
                                .net = h->net,
                                .images = {image_want, image_use, image_unuse, h},
                                .wake = on_wake,
                                .wake_arg = h};
    h->life++;
    h->work_at_us = INT64_MAX;
    h->report_due = false;
    h->dying = false;
    h->image = h->image == IMAGE_COMING ? IMAGE_AWAY : h->image;
    h->agent = agent_new(&setup);
    h->full_at_us = 0;
    h->parked = false;
    h->guests.ops->on_change(h->guests.drv, agent_guest_changed, h->agent);
    trace(w, "%s: agent starts", h->id);
    later(w, EV_WATCH, h, between_us(w, 0, 100));
}

static void kill_agent(struct world *w, struct host *h)
{
    agent_free(h->agent);
    h->agent = NULL;
    h->parked = false;
    h->life++; /* what is on its way to it is lost */
    h->guests.ops->on_change(h->guests.drv, NULL, NULL);
    push(w, (struct event){.at_us = w->now_us + between_us(w, 10, 20000),
                           .kind = EV_START,
                           .host = h,
                           .life = h->life});
}

/* ---- between agent and control plane ---- */

static bool plane_is_down(const struct world *w)
{
    return !w->healed && w->now_us < w->down_until_us;
}

/* Makes a transaction fail at some statement, now and then. */
static void begin_db_trouble(struct world *w)
{
    store_fail_nth(w->store, chance(w, 3) ? 1 + (long)rng_below(&w->rng.rng, 10) : 0);
}

static void end_db_trouble(struct world *w)
{
    store_fail_nth(w->store, 0);
}

static struct err *read_items(struct world *w, struct host *h, int64_t since, struct buf *ret,
                              bool *ret_any)
{
    AUTO_TXN struct tx *tx = NULL;
    struct jw jw;
    buf_init(ret, w->cx.arena);
    jw_init(&jw, ret);
    TRY(tx_read(&w->cx, w->store, &tx));
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
    struct err *e = plane_is_down(w) ? fail(&w->cx, ERR_UNAVAILABLE, "down")
                                     : read_items(w, h, h->since, &body, &any);
    end_db_trouble(w);
    if (e || chance(w, 5)) {
        ask_again(w, h, between_us(w, 500, 5000)); /* refused, or the answer is lost */
        return;
    }
    if (!any && may_park) {
        h->parked = true;
        later(w, EV_WATCH_TIMEOUT, h, INT64_C(25000000));
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

static void on_watch(struct world *w, struct host *h)
{
    bool full = w->now_us >= h->full_at_us;
    if (full) {
        struct err *e = agent_sweep(&w->cx, h->agent);
        if (e) {
            ask_again(w, h, 1000000);
            return;
        }
        h->full_at_us = w->now_us + INT64_C(60000000);
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
    TRY(tx_write(&w->cx, w->store, &tx));
    TRY(fleet_reports(&w->cx, tx, h->id, j, &jw));
    return tx_commit(&w->cx, &tx);
}

/* The control plane's end of a report; false: it failed, as far as anybody can tell. */
static bool serve_reports(struct world *w, struct host *h, const char *text)
{
    if (plane_is_down(w))
        return false;
    begin_db_trouble(w);
    struct err *e = take_reports(w, h, text);
    end_db_trouble(w);
    check_safety(w);
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
    struct item *it = agent_claim(h->agent, w->now_us, &next);
    if (it) {
        agent_step(&w->cx, h->agent, it);
        w->n_steps++;
        check_safety(w);
        next = w->now_us + between_us(w, 1, 50);
    }
    if (next < INT64_MAX)
        want_work(w, h, max_i64(next, w->now_us + 1000));
}

/* A commit touched this host's items. */
static void on_touch(void *arg, const char *host_id)
{
    struct world *w = arg;
    for (size_t i = 0; i < w->cfg.hosts; i++)
        if (w->hosts[i].parked && str_eq(w->hosts[i].id, host_id))
            later(w, EV_WATCH_WAKE, &w->hosts[i], 0);
}

/* ---- users, and what befalls guests ---- */

static struct err *user_act(struct world *w, const char **ret_what)
{
    AUTO_TXN struct tx *tx = NULL;
    const char *id = NULL;
    TRY(tx_write(&w->cx, w->store, &tx));
    if (rng_below(&w->rng.rng, 100) < 35) {
        TRY(plane_create(&w->cx, tx, w->hosts[rng_below(&w->rng.rng, w->cfg.hosts)].id, &id));
        *ret_what = arena_printf(w->cx.arena, "create %s", id);
    } else {
        TRY(plane_random_op(&w->cx, tx, ret_what));
    }
    TRY(tx_commit(&w->cx, &tx));
    if (id)
        remember_server(w, id);
    return NULL;
}

static void on_user(struct world *w)
{
    const char *what = NULL;
    if (w->steps_left == 0)
        return;
    w->steps_left--;
    if (!plane_is_down(w)) {
        begin_db_trouble(w);
        struct err *e = user_act(w, &what);
        end_db_trouble(w);
        if (what)
            trace(w, "user: %s%s", what, e ? " (refused)" : "");
    }
    if (chance(w, 3))
        w->down_until_us = w->now_us + between_us(w, 1000, 90000);
    later(w, EV_USER, NULL, between_us(w, 10, 20000));
}

static void on_mishap(struct world *w)
{
    if (w->healed)
        return;
    struct host *h = &w->hosts[rng_below(&w->rng.rng, w->cfg.hosts)];
    const char *id = some_server(w);
    if (id && chance(w, 50) &&
        (chance(w, 50) ? fake_guest_power_off(&h->guests, id) : fake_guest_crash(&h->guests, id)))
        trace(w, "%s: guest %s ends by itself", h->id, id);
    if (h->agent && chance(w, 20)) {
        trace(w, "%s: agent is killed", h->id);
        kill_agent(w, h);
    }
    fake_guests_set_deaf(&h->guests, chance(w, 30));
    later(w, EV_MISHAP, NULL, between_us(w, 1000, 60000));
}

/* ---- the run ---- */

static void dispatch(struct world *w, const struct event *ev)
{
    struct host *h = ev->host;
    if (h && ev->life && ev->life != h->life)
        return; /* meant for an agent that is no more */
    switch (ev->kind) {
    case EV_START:
        start_agent(w, h);
        break;
    case EV_WATCH:
        on_watch(w, h);
        break;
    case EV_WATCH_WAKE:
    case EV_WATCH_TIMEOUT:
        if (h->parked)
            serve_watch(w, h, ev->kind == EV_WATCH_WAKE);
        break;
    case EV_ANSWER:
        on_answer(w, h, ev);
        break;
    case EV_WORK:
        on_work(w, h, ev);
        break;
    case EV_REPORT:
        on_report(w, h);
        break;
    case EV_DELIVER:
        on_deliver(w, h);
        break;
    case EV_LATE_REPORT:
        serve_reports(w, h, ev->text);
        break;
    case EV_IMAGE:
        if (h->image == IMAGE_COMING) {
            h->image = IMAGE_HERE;
            agent_poke(h->agent);
        }
        break;
    case EV_USER:
        on_user(w);
        break;
    case EV_MISHAP:
        on_mishap(w);
        break;
    }
    if (h && h->dying && h->agent)
        kill_agent(w, h);
}

static void run_until(struct world *w, int64_t end_us)
{
    while (!w->failed && w->n_events && w->events[0].at_us <= end_us) {
        struct event ev = pop(w);
        w->now_us = max_i64(w->now_us, ev.at_us); /* a driver call may have taken its time */
        dispatch(w, &ev);
        free(ev.text);
        arena_reset(w->cx.arena);
    }
    w->now_us = max_i64(w->now_us, end_us);
}

static struct err *open_plane(struct world *w)
{
    static const struct service *const services[] = {&fleet_service, &plane_service};
    TRY(store_open(&w->cx, "sqlite::memory:", 1, &w->store));
    struct migration first = {1, "first", api_ddl(&w->cx, services, ARRAY_LEN(services))};
    TRY(store_migrate(&w->cx, w->store, &first, 1));
    plane_register();
    fleet_on_change(on_touch, w);
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(&w->cx, w->store, &tx));
    for (size_t i = 0; i < w->cfg.hosts; i++) {
        const char *id = NULL;
        TRY(fleet_host_add(&w->cx, tx, arena_printf(w->cx.arena, "host-%zu", i), "0123456789abcdef",
                           &id));
        snprintf(w->hosts[i].id, sizeof(w->hosts[i].id), "%s", id);
    }
    return tx_commit(&w->cx, &tx);
}

static void open_hosts(struct world *w)
{
    for (size_t i = 0; i < w->cfg.hosts; i++) {
        struct host *h = &w->hosts[i];
        h->world = w;
        ctx_init_with(&h->report_cx, &w->clock, &w->rng.rng);
        fake_guests_new(&h->guests);
        fake_net_new(&h->net);
        fake_guests_set_fault(&h->guests, driver_fault, h);
        fake_net_set_fault(&h->net, driver_fault, h);
        start_agent(w, h);
    }
}

static void close_world(struct world *w)
{
    fleet_on_change(NULL, NULL);
    while (w->n_events)
        free(pop(w).text);
    for (size_t i = 0; i < w->cfg.hosts; i++) {
        struct host *h = &w->hosts[i];
        agent_free(h->agent);
        if (h->report_cx.arena)
            ctx_release(&h->report_cx);
        if (h->guests.ops)
            h->guests.ops->free(h->guests.drv);
        if (h->net.ops)
            h->net.ops->free(h->net.drv);
    }
    store_close(w->store);
    ctx_release(&w->cx);
    free(w);
}

static void run_world(struct world *w)
{
    open_hosts(w);
    later(w, EV_USER, NULL, 0);
    later(w, EV_MISHAP, NULL, 0);
    while (!w->failed && w->steps_left)
        run_until(w, w->now_us + INT64_C(10000000));
    w->healed = true;
    for (size_t i = 0; i < w->cfg.hosts; i++)
        fake_guests_set_deaf(&w->hosts[i].guests, false);
    trace(w, "healed");
    run_until(w, w->now_us + INT64_C(600000000));
    check_liveness(w);
    struct err *e = w->failed ? NULL : delete_all(w);
    if (e)
        broken(w, "cannot delete: %s", e->message);
    run_until(w, w->now_us + INT64_C(600000000));
    check_empty(w);
}

bool sim_run(const struct sim_config *cfg)
{
    must(cfg->hosts && cfg->hosts <= HOSTS_MAX);
    struct world *w = calloc(1, sizeof(*w));
    must(w);
    w->cfg = *cfg;
    w->clock = (struct clock){.wall_us = virtual_wall, .mono_us = virtual_mono};
    w->now_us = 1000000;
    w->steps_left = cfg->steps;
    ctx_init_with(&w->cx, &w->clock, rng_seed(&w->rng, cfg->seed));
    struct err *e = open_plane(w);
    if (e)
        broken(w, "cannot begin: %s", err_chain(&w->cx, e));
    else
        run_world(w);
    bool ok = !w->failed;
    close_world(w);
    return ok;
}
