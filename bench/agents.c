/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Many hosts' agents in one thread: the real engine of each (node/agent.h) on fake drivers, and its
 * calls to the control plane over two connections that are kept, one for the long poll, one for
 * heartbeats and reports. What bench/scale runs beside a region.
 *
 * usage: agents seed STATE-URL HOSTS SECRET      makes the hosts sim-00000 … in the database
 *        agents run PORT HOSTS SECRET            runs them until it is ended; a line of JSON a
 * second
 */
#include "fleet/fleet.h"
#include "node/agent.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define TICK_MS 10
#define POLL_WAIT_S 25
#define BEAT_US INT64_C(10000000)
#define RETRY_US INT64_C(1000000)
#define RESYNC_US INT64_C(600000000)
/* Open files are few on some machines: beyond so many a heartbeat's connection isn't kept. */
#define OPEN_MAX 18500
enum { REPORTS_AT_ONCE = 100, STEPS_AT_ONCE = 1000, EVENTS = 256, CONNECTS_AT_ONCE = 64 };

struct host;
enum task { NOTHING, POLL, BEAT, REPORT };

/* One request at a time. */
struct line {
    struct host *host;
    int fd;
    enum task task;
    char *out, *in;
    size_t out_size, out_at, in_size, in_cap;
    int64_t began_us;
};

struct host {
    char name[16];
    unsigned number;
    struct agent *agent;
    struct guest_backend guests;
    struct net_backend net;
    struct volume_backend volumes;
    struct line poll, call;
    int64_t poll_at_us, beat_at_us, report_at_us, work_at_us, full_at_us, since;
    struct ctx report_cx;
    struct report_batch *batch;
    bool beaten;
};

static struct {
    int epoll;
    uint16_t port;
    const char *secret;
    struct host *hosts;
    size_t n, n_beaten, n_open;
    int64_t polls, beats, reports, reported, failures, slowest_beat_us;
} g;

static int64_t now(void)
{
    return mono_us(&(struct ctx){.clock = clock_system()});
}

/* ---------------------------------------------------------------- connections */

static void line_close(struct line *l)
{
    g.n_open -= l->fd >= 0;
    close_fd_p(&l->fd);
    l->fd = -1;
    l->task = NOTHING;
    free(TAKE_PTR(l->out));
    free(TAKE_PTR(l->in));
    l->in_size = l->in_cap = 0;
}

static bool line_open(struct line *l)
{
    if (g.n_open >= OPEN_MAX + 1000)
        return false;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(g.port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(l->fd >= 0);
    g.n_open++;
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(l->fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS) {
        line_close(l);
        return false;
    }
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = l};
    must(epoll_ctl(g.epoll, EPOLL_CTL_ADD, l->fd, &ev) == 0);
    return true;
}

static void failed(struct line *l);

static void line_write(struct line *l)
{
    while (l->out && l->out_at < l->out_size) {
        ssize_t n = send(l->fd, l->out + l->out_at, l->out_size - l->out_at, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
            return;
        if (n < 0) {
            failed(l);
            return;
        }
        l->out_at += (size_t)n;
    }
    free(TAKE_PTR(l->out));
}

static bool line_send(struct line *l, enum task task, const char *method, const char *path,
                      const char *body)
{
    must(l->task == NOTHING);
    if (l->fd < 0 && !line_open(l))
        return false;
    int n =
        asprintf(&l->out,
                 "%s /node/v1/hosts/%s%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
                 "%s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                 method, l->host->name, path, g.secret, body ? strlen(body) : 0, body ? body : "");
    must(n > 0);
    l->out_size = (size_t)n;
    l->out_at = 0;
    l->task = task;
    l->began_us = now();
    line_write(l);
    return true;
}

/* ---------------------------------------------------------------- what an agent does */

static void on_wake(void *arg)
{
    struct host *h = arg;
    h->work_at_us = h->report_at_us = 0;
}

static void work(struct host *h)
{
    int64_t next = INT64_MAX;
    h->work_at_us = INT64_MAX;
    for (int i = 0; i < STEPS_AT_ONCE; i++) {
        AUTO_CTX struct ctx cx;
        ctx_init(&cx);
        struct item *it = agent_claim(h->agent, ALL_KINDS, mono_us(&cx), &next);
        if (!it)
            break;
        agent_step(&cx, h->agent, it);
        next = 0;
    }
    h->work_at_us = min_i64(h->work_at_us, next);
}

static void start_poll(struct host *h)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    bool full = now() >= h->full_at_us;
    struct err *e = full ? agent_sweep(&cx, h->agent) : NULL;
    h->poll_at_us = now() + RETRY_US;
    if (e)
        return;
    h->since = full ? 0 : agent_revision(h->agent);
    if (full)
        h->full_at_us = now() + RESYNC_US;
    char path[80];
    snprintf(path, sizeof(path), "/items?since=%" PRId64 "&wait=%d", h->since, POLL_WAIT_S);
    line_send(&h->poll, POLL, "GET", path, NULL);
}

/* Half of them large, as those of bench/place. */
static void start_beat(struct host *h)
{
    char body[400];
    int size = h->number % 2 ? 2 : 1;
    snprintf(body, sizeof(body),
             "{\"hostname\":\"%s\",\"vcpus\":%d,\"memory_mib\":%d,\"disk_gib\":%d,"
             "\"hypervisor_type\":\"fake\",\"hypervisor_version\":1,\"cpu_info\":\"{}\","
             "\"agent_url\":\"http://127.0.0.1:1\",\"version\":\"" COLVERT_VERSION "\"}",
             h->name, 32 * size, 131072 * size, 4000 * size);
    bool sent = line_send(&h->call, BEAT, "PUT", "", body);
    h->beat_at_us = now() + (sent ? BEAT_US : RETRY_US);
}

static void start_report(struct host *h)
{
    struct buf body;
    h->report_at_us = INT64_MAX;
    arena_reset(h->report_cx.arena);
    buf_init(&body, h->report_cx.arena);
    h->batch = agent_reports(&h->report_cx, h->agent, REPORTS_AT_ONCE, &body);
    if (h->batch && !line_send(&h->call, REPORT, "POST", "/reports", buf_cstr(&body)))
        h->report_at_us = now() + RETRY_US;
}

static void failed(struct line *l)
{
    struct host *h = l->host;
    enum task task = l->task;
    line_close(l);
    g.failures++;
    if (task == REPORT)
        h->report_at_us = now() + RETRY_US;
}

static void on_items(struct host *h, struct ctx *cx, const json_t *j)
{
    g.polls++;
    struct err *e = agent_take(cx, h->agent, h->since, j);
    h->poll_at_us = e ? now() + RETRY_US : 0;
    h->work_at_us = 0;
}

static void on_reported(struct host *h, const json_t *j)
{
    struct agent_stats before, after;
    agent_get_stats(h->agent, now(), &before);
    agent_reports_done(h->agent, h->batch);
    agent_get_stats(h->agent, now(), &after);
    g.reports++;
    g.reported += (int64_t)(before.undelivered - after.undelivered);
    if (json_array_size(json_get(j, "stale")))
        h->full_at_us = 0;
    h->report_at_us = 0; /* there may be more */
}

static void answered(struct line *l, int status, const char *body, size_t size)
{
    AUTO_CTX struct ctx cx;
    struct host *h = l->host;
    enum task task = l->task;
    json_t *j = NULL;
    ctx_init(&cx);
    if (status != 200 || json_read(&cx, body, size, &j)) {
        if (g.failures < 5)
            fprintf(stderr, "%s: %d %.*s\n", h->name, status, (int)size, body);
        failed(l);
        return;
    }
    int64_t took_us = now() - l->began_us;
    l->task = NOTHING;
    l->in_size = 0;
    if (task == POLL)
        on_items(h, &cx, j);
    else if (task == REPORT)
        on_reported(h, j);
    else if (task == BEAT) {
        g.beats++;
        g.slowest_beat_us = max_i64(g.slowest_beat_us, took_us);
        g.n_beaten += !h->beaten;
        h->beaten = true;
    }
    if (g.n_open > OPEN_MAX && l == &h->call) { /* without leaving its port in TIME_WAIT */
        setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        line_close(l);
    }
    if (l->in_cap > 16384) { /* few answers are as long */
        free(TAKE_PTR(l->in));
        l->in_cap = 0;
    }
}

/* A whole answer? The control plane always tells its length. */
static void look_at_answer(struct line *l)
{
    l->in[l->in_size] = 0;
    const char *end = strstr(l->in, "\r\n\r\n"), *length = strcasestr(l->in, "\r\ncontent-length:");
    if (!end)
        return;
    must(length && length < end);
    size_t body = strtoul(length + strlen("\r\ncontent-length:"), NULL, 10);
    size_t head = (size_t)(end + 4 - l->in);
    if (l->in_size >= head + body)
        answered(l, (int)strtol(l->in + strlen("HTTP/1.1 "), NULL, 10), l->in + head, body);
}

static void line_read(struct line *l)
{
    while (l->fd >= 0) {
        if (l->in_cap - l->in_size < 2048) {
            l->in_cap = l->in_cap ? l->in_cap * 2 : 4096;
            l->in = realloc(l->in, l->in_cap);
            must(l->in);
        }
        ssize_t n = recv(l->fd, l->in + l->in_size, l->in_cap - l->in_size - 1, 0);
        if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
            return;
        if (n <= 0) {
            failed(l);
            return;
        }
        l->in_size += (size_t)n;
        if (l->task != NOTHING)
            look_at_answer(l);
    }
}

static void tick(struct host *h, int64_t t, int *connects)
{
    if (h->work_at_us <= t)
        work(h);
    bool may_open = *connects < CONNECTS_AT_ONCE;
    if (h->poll.task == NOTHING && h->poll_at_us <= t && h->beaten &&
        (h->poll.fd >= 0 || may_open)) {
        *connects += h->poll.fd < 0;
        start_poll(h);
    }
    if (h->call.task != NOTHING || (h->call.fd < 0 && !may_open))
        return;
    if (h->beat_at_us <= t) {
        *connects += h->call.fd < 0;
        start_beat(h);
    } else if (h->report_at_us <= t) {
        start_report(h);
    }
}

/* ---------------------------------------------------------------- all of them */

static struct err *image_here(struct ctx *cx UNUSED, void *arg UNUSED,
                              const struct spec_image *image UNUSED, bool *ret_here)
{
    *ret_here = true;
    return NULL;
}

static struct err *image_use(struct ctx *cx UNUSED, void *arg UNUSED, const char *user UNUSED,
                             const struct spec_image *image UNUSED, const char **ret_path)
{
    *ret_path = "/image";
    return NULL;
}

static void image_unuse(void *arg UNUSED, const char *user UNUSED)
{
}

static void host_start(struct host *h, unsigned number)
{
    h->number = number;
    snprintf(h->name, sizeof(h->name), "sim-%05u", number);
    fake_guests_new(&h->guests);
    fake_net_new(&h->net);
    fake_volumes_new(&h->volumes);
    struct agent_setup setup = {.guests = h->guests,
                                .net = h->net,
                                .volumes = h->volumes,
                                .images = {image_here, image_use, image_unuse, h, NULL},
                                .wake = on_wake,
                                .wake_arg = h};
    ctx_init(&h->report_cx);
    h->agent = agent_new(&setup);
    h->guests.ops->on_change(h->guests.drv, agent_guest_changed, h->agent);
    h->poll = h->call = (struct line){.host = h, .fd = -1};
    h->beat_at_us = now() + BEAT_US * number / (int64_t)g.n;
    h->work_at_us = h->report_at_us = INT64_MAX;
}

static void tell(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("{\"hosts\":%zu,\"up\":%zu,\"beats\":%" PRId64 ",\"polls\":%" PRId64
           ",\"reports\":%" PRId64 ",\"reported\":%" PRId64 ",\"failures\":%" PRId64
           ",\"slowest_beat_ms\":%.1f}\n",
           g.n, g.n_beaten, g.beats, g.polls, g.reports, g.reported, g.failures,
           (double)g.slowest_beat_us / 1000);
    fflush(stdout);
    g.slowest_beat_us = 0;
}

static int run(void)
{
    struct epoll_event events[EVENTS];
    int64_t told_us = now();
    g.epoll = epoll_create1(EPOLL_CLOEXEC);
    g.hosts = calloc(g.n, sizeof(*g.hosts));
    must(g.epoll >= 0 && g.hosts);
    for (size_t i = 0; i < g.n; i++)
        host_start(&g.hosts[i], (unsigned)i);
    for (int64_t ticked_us = 0;;) {
        int n = epoll_wait(g.epoll, events, EVENTS, TICK_MS), connects = 0;
        for (int i = 0; i < n; i++) {
            struct line *l = events[i].data.ptr;
            line_write(l);
            line_read(l);
            if (l->host->work_at_us == 0 || l->host->report_at_us == 0)
                tick(l->host, now(), &connects);
        }
        if (now() - ticked_us < TICK_MS * 1000)
            continue;
        ticked_us = now();
        for (size_t i = 0; i < g.n; i++)
            tick(&g.hosts[i], ticked_us, &connects);
        if (now() - told_us >= 1000000) {
            told_us = now();
            tell();
        }
    }
}

/* ---------------------------------------------------------------- seeding */

static struct err *seed(struct ctx *cx, const char *url, int64_t n)
{
    AUTO_TXN struct tx *tx = NULL;
    struct store *s;
    TRY(store_open(cx, url, 1, &s));
    TRY(tx_write(cx, s, &tx));
    for (int64_t i = 0; i < n; i++) {
        const char *id;
        TRY(fleet_host_add(cx, tx, arena_printf(cx->arena, "sim-%05" PRId64, i), g.secret, &id));
    }
    TRY(tx_commit(cx, &tx));
    store_close(s);
    return NULL;
}

int main(int argc, char **argv)
{
    AUTO_CTX struct ctx cx;
    int64_t n, port;
    ctx_init(&cx);
    log_set_level(LOG_WARN);
    if (argc != 5 || !str_to_i64(argv[3], 1, 99999, &n)) {
        fputs("usage: agents seed STATE-URL HOSTS SECRET | agents run PORT HOSTS SECRET\n", stderr);
        return 64;
    }
    g.n = (size_t)n;
    g.secret = argv[4];
    if (str_eq(argv[1], "seed")) {
        struct err *e = seed(&cx, argv[2], n);
        if (e)
            fprintf(stderr, "%s\n", err_chain(&cx, e));
        return e != NULL;
    }
    if (!str_eq(argv[1], "run") || !str_to_i64(argv[2], 1, 65535, &port))
        return 64;
    g.port = (uint16_t)port;
    return run();
}
