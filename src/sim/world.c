/* SPDX-License-Identifier: EUPL-1.2 */
/* See world.h: time, chance, events, and the run. hosts.c, users.c and check.c have the rest. */
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

bool chance(struct world *w, unsigned percent)
{
    return !w->healed && rng_below(&w->rng.rng, 100) < percent;
}

int64_t between_us(struct world *w, int64_t min_ms, int64_t max_ms)
{
    return 1000 * (min_ms + (int64_t)rng_below(&w->rng.rng, (uint64_t)(max_ms - min_ms + 1)));
}

/* FNV-1a: two runs of one seed must end with the same number. */
static void mix(struct world *w, const void *data, size_t size)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++)
        w->fingerprint = (w->fingerprint ^ p[i]) * UINT64_C(0x100000001b3);
}

void trace(struct world *w, const char *fmt, ...)
{
    char *line = w->lines[w->n_lines++ % LAST_LINES];
    int n = snprintf(line, sizeof(w->lines[0]), "%10.3f ", (double)w->now_us / 1e6);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line + n, sizeof(w->lines[0]) - (size_t)n, fmt, ap);
    va_end(ap);
    mix(w, line, strlen(line));
    if (w->cfg.trace)
        fprintf(stderr, "%s\n", line);
}

void broken(struct world *w, const char *fmt, ...)
{
    va_list ap;
    if (w->failed)
        return;
    w->failed = true;
    for (size_t i = w->n_lines > LAST_LINES ? w->n_lines - LAST_LINES : 0;
         i < w->n_lines && !w->cfg.trace; i++)
        fprintf(stderr, "%s\n", w->lines[i % LAST_LINES]);
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

void push(struct world *w, struct event e)
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

void later(struct world *w, enum event_kind kind, struct host *h, int64_t delay_us)
{
    push(w, (struct event){
                .at_us = w->now_us + delay_us, .kind = kind, .host = h, .life = h ? h->life : 0});
}

/* ---- the control plane's troubles ---- */

bool plane_is_down(const struct world *w)
{
    return !w->healed && w->now_us < w->down_until_us;
}

int64_t plane_uptime_us(const struct world *w)
{
    return w->now_us - w->down_in_all_us + max_i64(0, w->down_until_us - w->now_us);
}

void plane_goes_down(struct world *w)
{
    bool long_away = chance(w, 10);
    int64_t until_us = w->now_us + between_us(w, 1000, long_away ? 900000 : 90000);
    trace(w, "control plane is down");
    w->down_in_all_us += until_us - max_i64(w->now_us, w->down_until_us);
    w->down_until_us = until_us;
    w->n_outages++;
    job_restarts(w);
    for (size_t i = 0; i < w->cfg.hosts; i++) {
        struct host *h = &w->hosts[i];
        if (h->parked)
            later(w, EV_WATCH, h, between_us(w, 500, 5000));
        h->parked = false;
    }
}

void begin_db_trouble(struct world *w)
{
    store_fail_nth(w->cloud.store, chance(w, 4) ? 1 + (long)rng_below(&w->rng.rng, 60) : 0);
}

void end_db_trouble(struct world *w)
{
    store_fail_nth(w->cloud.store, 0);
}

typedef struct err *sweep_fn(struct ctx *cx, struct store *s, size_t *ret_changed);

static bool sweep(struct world *w, sweep_fn *fn)
{
    size_t changed;
    begin_db_trouble(w);
    struct err *e = fn(&w->cx, w->cloud.store, &changed);
    end_db_trouble(w);
    check_safety(w, BY_SWEEP, NULL);
    if (e && w->healed)
        broken(w, "the sweep fails: %s", err_chain(&w->cx, e));
    return !e;
}

static void on_sweep(struct world *w)
{
    if (!plane_is_down(w)) {
        bool servers = sweep(w, compute_sweep), volumes = sweep(w, volume_sweep);
        if (sweep(w, image_sweep) && servers && volumes)
            check_swept(w);
    }
    later(w, EV_SWEEP, NULL, between_us(w, 4000, 15000));
}

/* ---- users, and what befalls guests and hosts ---- */

static void on_user(struct world *w)
{
    if (w->steps_left == 0)
        return;
    w->steps_left--;
    if (!plane_is_down(w))
        user_acts(w);
    if (chance(w, 3))
        plane_goes_down(w);
    bool rest = chance(w, 4); /* long enough for deadlines */
    later(w, EV_USER, NULL, between_us(w, 10, rest ? 1200000 : 20000));
}

static void guest_ends(struct world *w, struct known *k)
{
    bool crash = chance(w, 50);
    struct guest_state is;
    for (size_t i = 0; i < w->cfg.hosts; i++) {
        struct host *h = &w->hosts[i];
        if (!fake_guest_state(&h->guests, k->id, &is) || is.power != GUEST_ON ||
            stands_for_move(k, h, &is)) /* it may run elsewhere by now */
            continue;
        trace(w, "%s: guest %s %s", h->id, k->id, crash ? "crashes" : "powers itself off");
        k->died_boot = is.boot_seq;
        must(crash ? fake_guest_crash(&h->guests, k->id) : fake_guest_power_off(&h->guests, k->id));
    }
}

static void on_mishap(struct world *w)
{
    struct known *k = some_server(w);
    struct host *h = &w->hosts[rng_below(&w->rng.rng, w->cfg.hosts)];
    if (w->healed)
        return;
    if (k && chance(w, 50))
        guest_ends(w, k);
    if (h->agent && chance(w, 20)) {
        trace(w, "%s: agent is killed", h->id);
        kill_agent(w, h);
    }
    if (chance(w, 5)) {
        h->sick_until_us = w->now_us + between_us(w, 1000, 900000);
        trace(w, "%s: drivers fail", h->id);
    }
    fail_some_host(w);
    fake_guests_set_deaf(&h->guests, chance(w, 30));
    later(w, EV_MISHAP, NULL, between_us(w, 1000, 60000));
}

/* ---- the run ---- */

static void dispatch(struct world *w, const struct event *ev)
{
    if (ev->host && ev->life && ev->life != ev->host->life)
        return; /* meant for an agent that is no more */
    mix(w, &ev->at_us, sizeof(ev->at_us));
    mix(w, &ev->kind, sizeof(ev->kind));
    if (ev->kind == EV_USER)
        on_user(w);
    else if (ev->kind == EV_SWEEP)
        on_sweep(w);
    else if (ev->kind == EV_MISHAP)
        on_mishap(w);
    else if (ev->kind == EV_JOB)
        on_job(w);
    else
        host_event(w, ev);
}

static void run_until(struct world *w, int64_t end_us)
{
    while (!w->failed && w->n_events && w->events[0].at_us <= end_us) {
        struct event ev = pop(w);
        w->now_us = max_i64(w->now_us, ev.at_us); /* a driver call may have taken its time */
        guards_act(w);
        dispatch(w, &ev);
        free(ev.text);
        arena_reset(w->cx.arena);
    }
    w->now_us = max_i64(w->now_us, end_us);
}

/* Until all is as it should be, and stays so for a while; but not for ever. */
static void run_to_rest(struct world *w, const char *(*check)(struct world *w))
{
    enum { STEP_S = 60, PATIENCE = 40 };
    const char *wrong = "";
    if (w->failed)
        return;
    for (int i = 0; i < PATIENCE && wrong && !w->failed; i++) {
        run_until(w, w->now_us + INT64_C(1000000) * STEP_S);
        wrong = check(w);
    }
    run_until(w, w->now_us + INT64_C(1000000) * STEP_S);
    wrong = check(w);
    if (wrong)
        broken(w, "%s", wrong);
}

static void heal(struct world *w)
{
    w->healed = true;
    trace(w, "healed");
    for (size_t i = 0; i < w->cfg.hosts; i++) {
        struct host *h = &w->hosts[i];
        fake_guests_set_deaf(&h->guests, false);
        if (!h->agent)
            later(w, EV_START, h, between_us(w, 10, 20000));
    }
}

static void run_world(struct world *w)
{
    hosts_open(w);
    later(w, EV_USER, NULL, 0);
    later(w, EV_MISHAP, NULL, 0);
    later(w, EV_SWEEP, NULL, 0);
    later(w, EV_JOB, NULL, 0);
    while (!w->failed && w->steps_left)
        run_until(w, w->now_us + INT64_C(10000000));
    heal(w);
    run_to_rest(w, check_settled);
    delete_all(w);
    run_to_rest(w, check_settled);
    delete_all_volumes(w);
    run_to_rest(w, check_settled);
    delete_all_volumes(w);
    run_to_rest(w, check_settled);
    struct err *e = w->failed ? NULL : cloud_clear(&w->cx, &w->cloud);
    if (e)
        broken(w, "cannot clear up: %s", e->message);
    run_to_rest(w, check_empty);
}

static struct err *open_world(struct world *w)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(cloud_open(&w->cx, &w->cloud));
    fleet_on_change(host_touched, w);
    TRY(tx_write(&w->cx, w->cloud.store, &tx));
    for (size_t i = 0; i < w->cfg.hosts; i++) {
        const char *id = NULL;
        TRY(fleet_host_add(&w->cx, tx, arena_printf(w->cx.arena, "host-%zu", i), "0123456789abcdef",
                           &id));
        snprintf(w->hosts[i].id, sizeof(w->hosts[i].id), "%s", id);
    }
    return tx_commit(&w->cx, &tx);
}

static void close_world(struct world *w)
{
    fleet_on_change(NULL, NULL);
    while (w->n_events)
        free(pop(w).text);
    hosts_close(w);
    cloud_close(&w->cloud);
    ctx_release(&w->cx);
    free(w);
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
    w->fingerprint = UINT64_C(0xcbf29ce484222325);
    ctx_init_with(&w->cx, &w->clock, rng_seed(&w->rng, cfg->seed));
    struct err *e = open_world(w);
    if (e)
        broken(w, "cannot begin: %s", err_chain(&w->cx, e));
    else
        run_world(w);
    bool ok = !w->failed;
    if (cfg->ret_fingerprint)
        *cfg->ret_fingerprint = w->fingerprint;
    close_world(w);
    return ok;
}
