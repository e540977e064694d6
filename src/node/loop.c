/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * See loop.h. Each thread does one thing, in straight lines, and sleeps on one condition between.
 * Nothing is locked across a call. While the control plane is away everything here only waits: the
 * host stays as it is.
 */
#include "node/loop.h"
#include "node/console.h"
#include "node/image_cache.h"
#include "node/peer.h"
#include "node/uplink.h"
#include <malloc.h>
#include <utmpx.h>

#define GIVE_BACK_US INT64_C(5000000)

enum {
    WORKERS_MAX = 16,
    WATCH_WAIT_S = 25,
    REPORTS_AT_ONCE = 100,
    RETRY_MAX_S = 10,
    REAPPLY_EVERY_S = 300, /* everything is looked at again though nothing seems to have changed */
    THREADS_MAX = WORKERS_MAX + 3 + 5
};

/* Copies of disks take their time: they have workers of their own, so that nothing else waits. */
static const struct lane {
    unsigned kinds;
    int64_t deadline_s;
} quick_lane = {1 << ITEM_NETWORK | 1 << ITEM_ROUTER | 1 << ITEM_SERVER | 1 << ITEM_IMAGE, 120},
  volume_lane = {1 << ITEM_VOLUME, 6 * 3600}, export_lane = {1 << ITEM_EXPORT, 6 * 3600},
  leaving_lane = {LEAVING_SERVERS, 6 * 3600};
enum { VOLUME_WORKERS = 2, EXPORT_WORKERS = 1, LEAVING_WORKERS = 2 };

struct loop {
    struct ctx cx; /* owns the strings */
    struct loop_config cfg;
    char *secret; /* cfg.secret, to wipe */
    struct backends backends;
    struct agent *agent;
    struct image_cache *images;
    struct console *console;
    struct uplink watch, reports, beat, fetch, send;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t generation; /* grows with every wake */
    bool stop, full_due;
    pthread_t threads[THREADS_MAX];
    unsigned n_threads;
};

/* ---- sleeping and waking ---- */

static void wake(void *arg)
{
    struct loop *l = arg;
    AUTO_LOCK(&l->lock);
    l->generation++;
    pthread_cond_broadcast(&l->changed);
}

static uint64_t generation(struct loop *l, bool *ret_stop)
{
    AUTO_LOCK(&l->lock);
    *ret_stop = l->stop;
    return l->generation;
}

/* Until something was woken since `seen` (0: don't care), the time has come, or the end. */
static void sleep_until(struct loop *l, uint64_t seen, int64_t until_us)
{
    struct timespec ts = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    AUTO_LOCK(&l->lock);
    while (!l->stop && (!seen || seen == l->generation)) {
        if (until_us == INT64_MAX)
            pthread_cond_wait(&l->changed, &l->lock);
        else if (pthread_cond_timedwait(&l->changed, &l->lock, &ts) == ETIMEDOUT)
            return;
    }
}

static void pause_s(struct loop *l, struct ctx *cx, int64_t seconds)
{
    int64_t jitter = (int64_t)rng_below(cx->rng, 250000) * seconds;
    sleep_until(l, 0, mono_us(cx) + seconds * 1000000 + jitter);
}

/* One warning for a trouble, however often it is met, and one line when it is over. */
struct trouble {
    const char *doing;
    char last[256];
    int64_t retry_s;
};

static void note(struct ctx *cx, struct trouble *t, const struct err *e)
{
    if (!e && *t->last)
        log_event(cx, LOG_INFO, "well again", "doing", t->doing, NULL);
    if (e && strncmp(e->message, t->last, sizeof(t->last) - 1) != 0)
        log_err(cx, LOG_WARN, e, "will be tried again", "doing", t->doing, NULL);
    snprintf(t->last, sizeof(t->last), "%s", e ? e->message : "");
    t->retry_s = e ? min_i64(t->retry_s ? t->retry_s * 2 : 1, RETRY_MAX_S) : 0;
}

/* ---- the threads ---- */

static void work(struct loop *l, const struct lane *lane)
{
    bool stop = false;
    while (!stop) {
        struct ctx cx;
        ctx_init(&cx);
        uint64_t seen = generation(l, &stop);
        int64_t next = 0;
        struct item *it = stop ? NULL : agent_claim(l->agent, lane->kinds, mono_us(&cx), &next);
        if (it) {
            cx.deadline_us = mono_us(&cx) + INT64_C(1000000) * lane->deadline_s;
            agent_step(&cx, l->agent, it);
        } else if (!stop) {
            sleep_until(l, seen, next);
        }
        ctx_release(&cx);
    }
}

static void *run_worker(void *arg)
{
    work(arg, &quick_lane);
    return NULL;
}

static void *run_volume_worker(void *arg)
{
    work(arg, &volume_lane);
    return NULL;
}

static void *run_export_worker(void *arg)
{
    work(arg, &export_lane);
    return NULL;
}

static void *run_leaving_worker(void *arg)
{
    work(arg, &leaving_lane);
    return NULL;
}

static bool take_full_due(struct loop *l)
{
    AUTO_LOCK(&l->lock);
    bool due = l->full_due;
    l->full_due = false;
    return due;
}

static void set_full_due(struct loop *l)
{
    AUTO_LOCK(&l->lock);
    l->full_due = true;
}

static struct err *watch_once(struct ctx *cx, struct loop *l, bool full)
{
    json_t *answer = NULL;
    if (full)
        TRY(agent_sweep(cx, l->agent));
    int64_t since = full ? 0 : agent_revision(l->agent);
    TRY(uplink_items(cx, &l->watch, since, WATCH_WAIT_S, &answer));
    return agent_take(cx, l->agent, since, answer);
}

/* Answers and steps need memory for a moment, between what is kept of them: it would stay ours.
 * After the last of many comes one more watch, at its end at the latest. */
struct owed {
    int64_t gave_us, revision;
    bool much;
};

static void give_back(const struct loop *l, struct owed *o, bool full)
{
    int64_t now = mono_us(&(struct ctx){.clock = clock_system()}), seen = agent_revision(l->agent);
    o->much = o->much || full || seen != o->revision;
    o->revision = seen;
    if (!o->much || now - o->gave_us < GIVE_BACK_US)
        return;
    malloc_trim(0);
    o->gave_us = now;
    o->much = false;
}

static void *run_watch(void *arg)
{
    struct loop *l = arg;
    struct trouble trouble = {.doing = "watch"};
    struct owed owed = {0};
    int64_t full_at = 0;
    bool stop = false;
    while (generation(l, &stop), !stop) {
        struct ctx cx;
        ctx_init(&cx);
        bool full = take_full_due(l) || mono_us(&cx) >= full_at;
        struct err *e = watch_once(&cx, l, full);
        generation(l, &stop);
        if (!stop)
            note(&cx, &trouble, e);
        if (e)
            pause_s(l, &cx, trouble.retry_s);
        else if (full)
            full_at = mono_us(&cx) + l->cfg.resync_s * 1000000;
        ctx_release(&cx);
        give_back(l, &owed, full);
    }
    return NULL;
}

/* Those that the control plane will never take are given up, one by one, loudly. */
static struct err *deliver(struct ctx *cx, struct loop *l, size_t *max, bool *ret_any)
{
    struct buf body;
    bool stale = false;
    buf_init(&body, cx->arena);
    struct report_batch *batch = agent_reports(cx, l->agent, *max, &body);
    *ret_any = batch != NULL;
    if (!batch)
        return NULL;
    struct err *e = uplink_report(cx, &l->reports, &body, &stale);
    if (e && e->kind == ERR_INVALID && *max > 1) {
        *max = 1;
        return NULL;
    }
    if (e && e->kind == ERR_INVALID)
        log_err(cx, LOG_ERROR, e, "a report is refused and given up", "report", buf_cstr(&body),
                NULL);
    else if (e)
        return e;
    agent_reports_done(l->agent, batch);
    if (stale)
        set_full_due(l);
    return NULL;
}

static void *run_reports(void *arg)
{
    struct loop *l = arg;
    struct trouble trouble = {.doing = "report"};
    size_t max = REPORTS_AT_ONCE;
    bool stop = false;
    while (!stop) {
        struct ctx cx;
        ctx_init(&cx);
        bool any = false;
        uint64_t seen = generation(l, &stop);
        struct err *e = stop ? NULL : deliver(&cx, l, &max, &any);
        note(&cx, &trouble, e);
        if (e)
            pause_s(l, &cx, trouble.retry_s);
        else if (!any) {
            max = REPORTS_AT_ONCE;
            sleep_until(l, seen, INT64_MAX);
        }
        ctx_release(&cx);
    }
    return NULL;
}

static int logged_in(void)
{
    int n = 0;
    setutxent();
    for (const struct utmpx *u; (u = getutxent());)
        n += u->ut_type == USER_PROCESS;
    endutxent();
    return n;
}

/* As uptime(1) has it: clients take it apart. */
static const char *uptime_text(struct ctx *cx)
{
    double load[3] = {0};
    struct timespec up;
    time_t now = (time_t)(now_us(cx) / 1000000);
    struct tm tm;
    gmtime_r(&now, &tm);
    if (clock_gettime(CLOCK_BOOTTIME, &up) < 0 || getloadavg(load, 3) != 3)
        return NULL;
    int64_t minutes = (int64_t)up.tv_sec / 60;
    return arena_printf(cx->arena,
                        " %02d:%02d:%02d up %" PRId64 " days, %2" PRId64 ":%02" PRId64
                        ",  %d users,  load average: %.2f, %.2f, %.2f",
                        tm.tm_hour, tm.tm_min, tm.tm_sec, minutes / 1440, minutes / 60 % 24,
                        minutes % 60, logged_in(), load[0], load[1], load[2]);
}

/* Longer from when the heartbeat was sent. After a time without: what is desired by now. */
static struct err *take_lease(struct ctx *cx, struct loop *l, int64_t until_us)
{
    json_t *answer = NULL;
    if (l->cfg.guard)
        TRY(guard_extend(cx, l->cfg.guard, until_us));
    if (!agent_lease(cx, l->agent, until_us))
        return NULL;
    int64_t since = agent_revision(l->agent);
    if (!since) /* nothing is taken before; the watch may not have come to it */
        TRY(agent_sweep(cx, l->agent));
    TRY(uplink_items(cx, &l->beat, since, 0, &answer));
    TRY(agent_take(cx, l->agent, since, answer));
    agent_lease_heard(cx, l->agent, answer);
    return NULL;
}

static struct err *tell_pool(struct ctx *cx, struct loop *l, struct jw *w)
{
    const struct volume_backend *shared = &l->backends.shared;
    int64_t gib;
    if (!shared->ops)
        return NULL;
    TRY(shared->ops->size(cx, shared->drv, &gib));
    jw_kstr(w, "pool_id", l->backends.pool_id);
    jw_kint(w, "pool_gib", gib);
    return NULL;
}

/* A switch that doesn't answer now has told its name before, or will. */
static void tell_chassis(struct ctx *cx, struct loop *l, struct jw *w)
{
    const struct net_backend *net = &l->backends.net;
    const char *name;
    if (net->ops && net->ops->chassis && !net->ops->chassis(cx, net->drv, &name))
        jw_kstr(w, "chassis", name);
}

static struct err *beat_once(struct ctx *cx, struct loop *l, int64_t *ret_heartbeat_s)
{
    char hostname[256] = "";
    struct buf body;
    struct jw w;
    gethostname(hostname, sizeof(hostname) - 1);
    buf_init(&body, cx->arena);
    jw_init(&w, &body);
    jw_obj(&w);
    jw_kstr(&w, "hostname", hostname);
    TRY(l->backends.guests.ops->inventory(cx, l->backends.guests.drv, &w));
    TRY(tell_pool(cx, l, &w));
    tell_chassis(cx, l, &w);
    jw_kstr(&w, "agent_url", l->cfg.advertise_url);
    jw_kstr(&w, "version", COLVERT_VERSION);
    jw_kstr(&w, "uptime", uptime_text(cx));
    jw_obj_end(&w);
    struct beat_answer answer;
    int64_t sent_us = boot_us(cx);
    TRY(uplink_beat(cx, &l->beat, &body, &answer));
    *ret_heartbeat_s = answer.heartbeat_s;
    if (answer.lease_s)
        TRY(take_lease(cx, l, sent_us + answer.lease_s * 1000000));
    if (answer.authorities_sha256 && l->cfg.enrolment &&
        !enrolment_trusts(l->cfg.enrolment, answer.authorities_sha256))
        return enrolment_renew(cx, l->cfg.enrolment, l->beat.client);
    return NULL;
}

/* A host that has joined: its next certificate, long before the one it has ends. *until_us: not
 * later than when that is due (monotonic). */
static void renew(struct ctx *cx, struct loop *l, struct trouble *trouble, int64_t *until_us)
{
    if (!l->cfg.enrolment)
        return;
    struct err *e = NULL;
    if (enrolment_renew_at_us(l->cfg.enrolment) <= now_us(cx)) {
        e = enrolment_renew(cx, l->cfg.enrolment, l->beat.client);
        note(cx, trouble, e);
        if (!e)
            log_event(cx, LOG_INFO, "has a new certificate", NULL);
    }
    int64_t left_us =
        e ? trouble->retry_s * 1000000 : enrolment_renew_at_us(l->cfg.enrolment) - now_us(cx);
    *until_us = min_i64(*until_us, mono_us(cx) + max_i64(left_us, 0));
}

static void *run_beat(void *arg)
{
    struct loop *l = arg;
    struct trouble trouble = {.doing = "heartbeat"}, renewing = {.doing = "renewal"};
    int64_t heartbeat_s = 10, reapply_at = 0;
    bool stop = false;
    while (generation(l, &stop), !stop) {
        struct ctx cx;
        ctx_init(&cx);
        struct err *e = beat_once(&cx, l, &heartbeat_s);
        generation(l, &stop);
        if (!stop)
            note(&cx, &trouble, e);
        if (reapply_at && mono_us(&cx) >= reapply_at)
            agent_poke_all(l->agent);
        if (!reapply_at || mono_us(&cx) >= reapply_at)
            reapply_at = mono_us(&cx) + INT64_C(1000000) * REAPPLY_EVERY_S;
        int64_t until_us = mono_us(&cx) + (e ? trouble.retry_s : heartbeat_s) * 1000000;
        if (!stop)
            renew(&cx, l, &renewing, &until_us);
        sleep_until(l, 0, until_us);
        ctx_release(&cx);
    }
    return NULL;
}

/* ---- images ---- */

static struct err *fetch_image(struct ctx *cx, void *arg, const char *image_id, image_sink_fn *sink,
                               void *to)
{
    struct loop *l = arg;
    return uplink_image(cx, &l->fetch, image_id, sink, to);
}

static void image_arrived(void *arg)
{
    struct loop *l = arg;
    agent_poke(l->agent);
}

/* One export at a time: its worker's. */
static struct err *send_image(struct ctx *cx, void *arg, const char *image_id, const char *path)
{
    struct loop *l = arg;
    return uplink_send_image(cx, &l->send, image_id, path);
}

/* ---- starting and stopping ---- */

static struct uplink uplink_of(struct loop *l)
{
    return uplink_new(&l->cx, l->cfg.api_urls, l->cfg.host, l->cfg.secret, l->cfg.enrolment);
}

static void start_thread(struct loop *l, void *(*fn)(void *arg))
{
    must(l->n_threads < THREADS_MAX);
    must(pthread_create(&l->threads[l->n_threads++], NULL, fn, l) == 0);
}

static struct loop *loop_new(const struct loop_config *cfg, const struct backends *backends)
{
    struct loop *l = calloc(1, sizeof(*l));
    must(l);
    ctx_init(&l->cx);
    struct arena *m = l->cx.arena;
    l->cfg = *cfg;
    l->cfg.api_urls = arena_strdup(m, cfg->api_urls);
    l->cfg.host = arena_strdup(m, cfg->host);
    l->cfg.secret = l->secret = arena_strdup(m, cfg->secret ? cfg->secret : "");
    l->cfg.data_dir = arena_strdup(m, cfg->data_dir);
    l->cfg.listen_address =
        arena_strdup(m, cfg->listen_address ? cfg->listen_address : "127.0.0.1");
    l->cfg.advertise_url = arena_strdup(m, cfg->advertise_url);
    l->cfg.workers = cfg->workers ? cfg->workers : 3;
    l->cfg.resync_s = cfg->resync_s ? cfg->resync_s : 60;
    must(l->cfg.workers <= WORKERS_MAX);
    l->backends = *backends;
    l->watch = uplink_of(l);
    l->reports = uplink_of(l);
    l->beat = uplink_of(l);
    l->fetch = uplink_of(l);
    l->send = uplink_of(l);
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &attr);
    pthread_condattr_destroy(&attr);
    l->generation = 1;
    return l;
}

static struct err *start_parts(struct ctx *cx, struct loop *l)
{
    struct image_cache_config images = {.dir =
                                            arena_printf(cx->arena, "%s/images", l->cfg.data_dir),
                                        .max_bytes = l->cfg.image_cache_bytes,
                                        .fetch = fetch_image,
                                        .fetch_arg = l,
                                        .arrived = image_arrived,
                                        .arrived_arg = l};
    TRY(image_cache_new(cx, &images, &l->images));
    struct agent_setup setup = {.guests = l->backends.guests,
                                .net = l->backends.net,
                                .volumes = l->backends.volumes,
                                .shared = l->backends.shared,
                                .pool_id = l->backends.pool_id,
                                .images = image_cache_source(l->images),
                                .exports = {.send = send_image, .arg = l, .raw = l->cfg.raw},
                                .moves = peer_sender(l->cfg.enrolment),
                                .dir = l->cfg.data_dir,
                                .shutdown_timeout_us = l->cfg.shutdown_timeout_s * 1000000,
                                .wake = wake,
                                .wake_arg = l};
    l->agent = agent_new(&setup);
    if (l->cfg.guard)
        agent_lease_resume(l->agent, guard_until(l->cfg.guard));
    TRY(console_start(cx, l->agent, &l->backends.guests, l->cfg.enrolment, l->cfg.secret,
                      l->cfg.listen_address, l->cfg.listen_port, &l->console));
    bool v6 = strchr(l->cfg.listen_address, ':') != NULL;
    if (!l->cfg.advertise_url)
        l->cfg.advertise_url = arena_printf(l->cx.arena, v6 ? "http%s://[%s]:%u" : "http%s://%s:%u",
                                            l->cfg.enrolment ? "s" : "", l->cfg.listen_address,
                                            console_port(l->console));
    return NULL;
}

struct err *loop_start(struct ctx *cx, const struct loop_config *cfg,
                       const struct backends *backends, struct loop **ret)
{
    struct loop *l = loop_new(cfg, backends);
    struct err *e = start_parts(cx, l);
    if (e) {
        loop_stop(l);
        loop_free(l);
        return e;
    }
    backends->guests.ops->on_change(backends->guests.drv, agent_guest_changed, l->agent);
    start_thread(l, run_watch);
    start_thread(l, run_reports);
    start_thread(l, run_beat);
    for (unsigned i = 0; i < l->cfg.workers; i++)
        start_thread(l, run_worker);
    for (unsigned i = 0; i < VOLUME_WORKERS; i++)
        start_thread(l, run_volume_worker);
    for (unsigned i = 0; i < EXPORT_WORKERS; i++)
        start_thread(l, run_export_worker);
    for (unsigned i = 0; i < LEAVING_WORKERS; i++)
        start_thread(l, run_leaving_worker);
    *ret = l;
    return NULL;
}

struct agent *loop_agent(struct loop *l)
{
    return l->agent;
}

uint16_t loop_console_port(struct loop *l)
{
    return console_port(l->console);
}

static void ask_to_stop(struct loop *l)
{
    AUTO_LOCK(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->changed);
}

static struct uplink *uplinks(struct loop *l, size_t i)
{
    struct uplink *const all[] = {&l->watch, &l->reports, &l->beat, &l->fetch, &l->send, NULL};
    return all[i];
}

void loop_stop(struct loop *l)
{
    struct uplink *u;
    ask_to_stop(l);
    for (size_t i = 0; (u = uplinks(l, i)); i++)
        http_client_cancel(u->client);
    if (l->agent)
        agent_stop_sending(l->agent);
    for (unsigned i = 0; i < l->n_threads; i++)
        pthread_join(l->threads[i], NULL);
    l->n_threads = 0;
    console_stop(TAKE_PTR(l->console));
    image_cache_free(TAKE_PTR(l->images));
}

void loop_free(struct loop *l)
{
    struct uplink *u;
    if (!l)
        return;
    must(!l->n_threads);
    agent_free(l->agent);
    for (size_t i = 0; (u = uplinks(l, i)); i++)
        http_client_free(u->client);
    secret_wipe(l->secret, strlen(l->secret));
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    ctx_release(&l->cx);
    free(l);
}
