/* SPDX-License-Identifier: EUPL-1.2 */
/* For the operator's monitoring: /healthz, and /metrics in Prometheus' text format. */
#include "cmd/wiring.h"
#include "compute/compute.h"
#include <malloc.h>
#include <sys/resource.h>

static const struct stmt stmt_alive = {"alive", "SELECT count(*) FROM schema_migration"};

static const struct stmt stmt_hosts = {
    "metrics_hosts", "SELECT CASE WHEN forced_down = 1 THEN 'forced_down' WHEN lease_until < $1 "
                     "THEN 'silent' ELSE 'up' END AS state, COUNT(*) FROM fleet_hosts WHERE "
                     "last_seen_at IS NOT NULL GROUP BY 1"};
static const struct stmt stmt_evacuations = {
    "metrics_evacuations",
    "SELECT status, COUNT(*) FROM migrations WHERE type = 'evacuation' GROUP BY status"};

/* The state can be read: clients can be served. */
static struct err *healthz(struct call *c)
{
    struct db_rows rows;
    TRY(db_query(c->cx, c->tx, &stmt_alive, NULL, 0, &rows));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kstr(&w, "status", "ok");
    jw_kstr(&w, "version", COLVERT_VERSION);
    jw_obj_end(&w);
    return NULL;
}

struct figures {
    struct http_stats http;
    struct mallinfo2 heap;
    struct rusage usage;
};

/*  name                              kind       value                                       help */
#define METRICS(X)                                                                                 \
    X("colvert_http_requests_total", "counter", f->http.requests, "Requests that came in.")        \
    X("colvert_http_refused_total", "counter", f->http.refused,                                    \
      "Requests refused before any handler: queue full, malformed, too large.")                    \
    X("colvert_http_received_bytes_total", "counter", f->http.bytes_in,                            \
      "Bytes of request bodies.")                                                                  \
    X("colvert_http_sent_bytes_total", "counter", f->http.bytes_out, "Bytes of reply bodies.")     \
    X("colvert_http_connections", "gauge", f->http.connections, "Open connections.")               \
    X("colvert_http_queued", "gauge", f->http.queued, "Requests waiting for a worker.")            \
    X("colvert_http_parked", "gauge", f->http.parked, "Long polls waiting.")                       \
    X("colvert_http_running", "gauge", f->http.running, "Requests in a handler.")                  \
    X("colvert_heap_bytes", "gauge", f->heap.uordblks, "Heap in use.")                             \
    X("colvert_cpu_us_total", "counter",                                                           \
      (uint64_t)(f->usage.ru_utime.tv_sec + f->usage.ru_stime.tv_sec) * 1000000 +                  \
          (uint64_t)(f->usage.ru_utime.tv_usec + f->usage.ru_stime.tv_usec),                       \
      "CPU time of the control plane, in microseconds.")

static void process_metrics(struct buf *b, const struct figures *f)
{
#define X(name, kind, value, help)                                                                 \
    buf_printf(b, "# HELP " name " " help "\n# TYPE " name " " kind "\n" name " %" PRIu64 "\n",    \
               (uint64_t)(value));
    METRICS(X)
#undef X
}

static void write_counts(struct buf *b, const struct db_rows *r, const char *name,
                         const char *label)
{
    for (size_t i = 0; i < r->n_rows; i++)
        buf_printf(b, "%s{%s=\"%s\"} %" PRId64 "\n", name, label, db_text(r, i, 0),
                   db_int(r, i, 1));
}

/* Of the whole region, the same from each process. */
static struct err *region_metrics(struct call *c, struct buf *b)
{
    const struct db_value now = V_INT(now_us(c->cx));
    struct db_rows hosts, evacuations;
    TRY(db_query(c->cx, c->tx, &stmt_hosts, &now, 1, &hosts));
    TRY(db_query(c->cx, c->tx, &stmt_evacuations, NULL, 0, &evacuations));
    buf_str(b, "# HELP colvert_hosts Hosts; silent: their lease is over.\n"
               "# TYPE colvert_hosts gauge\n");
    write_counts(b, &hosts, "colvert_hosts", "state");
    buf_str(b, "# HELP colvert_evacuations Servers that left a failed host.\n"
               "# TYPE colvert_evacuations gauge\n");
    write_counts(b, &evacuations, "colvert_evacuations", "status");
    return NULL;
}

static void route_answers(void *arg, const struct service *svc, const struct route *r,
                          const struct route_figures *f)
{
    for (int class = 1; class <= 5; class ++)
        if (f->answers[class])
            buf_printf(arg,
                       "colvert_api_answers_total{service=\"%s\",method=\"%s\",route=\"%s\",status="
                       "\"%dxx\"} %" PRIu64 "\n",
                       svc->name, r->method, r->pattern, class, f->answers[class]);
}

static void route_time(void *arg, const struct service *svc, const struct route *r,
                       const struct route_figures *f)
{
    if (f->busy_us)
        buf_printf(arg,
                   "colvert_api_busy_us_total{service=\"%s\",method=\"%s\",route=\"%s\"} %" PRIu64
                   "\n",
                   svc->name, r->method, r->pattern, f->busy_us);
}

static void placement_time(struct buf *b, const char *name, const char *help,
                           const struct placement_histogram *h)
{
    uint64_t n = 0;
    buf_printf(b, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
    for (size_t i = 0; i < PLACEMENT_STEPS; i++)
        buf_printf(b, "%s_bucket{le=\"%" PRId64 "\"} %" PRIu64 "\n", name, compute_placement_us[i],
                   n += h->took[i]);
    n += h->took[PLACEMENT_STEPS];
    buf_printf(b, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %" PRIu64 "\n%s_count %" PRIu64 "\n",
               name, n, name, h->sum_us, name, n);
}

static void placement_times(struct buf *b)
{
    struct placement_figures f;
    compute_placement_figures(&f);
    placement_time(b, "colvert_placement_us",
                   "How long choosing hosts took in a creation of servers, in microseconds.",
                   &f.wall);
    placement_time(b, "colvert_placement_cpu_us",
                   "The same without waiting: the thread's CPU time.", &f.cpu);
}

static struct err *metrics(struct call *c)
{
    struct figures f = {.heap = mallinfo2()};
    struct buf *b = &c->rp->body;
    getrusage(RUSAGE_SELF, &f.usage);
    if (api_server(c->api))
        http_server_stats(api_server(c->api), &f.http);
    call_reply_empty(c, 200);
    c->rp->content_type = "text/plain; version=0.0.4";
    process_metrics(b, &f);
    TRY(region_metrics(c, b));
    buf_str(b, "# HELP colvert_api_answers_total Answers by route and class of status.\n# TYPE "
               "colvert_api_answers_total counter\n");
    api_each_route(c->api, route_answers, b);
    buf_str(b, "# HELP colvert_api_busy_us_total Time in handlers by route, in microseconds.\n"
               "# TYPE colvert_api_busy_us_total counter\n");
    api_each_route(c->api, route_time, b);
    placement_times(b);
    return NULL;
}

static const struct route routes[] = {
    ROUTE(GET, "/healthz", healthz, "operations:health", .rule = RULE_PUBLIC,
          .doc = "200 when clients can be served."),
    ROUTE(GET, "/metrics", metrics, "operations:metrics", .rule = RULE_PUBLIC,
          .doc = "Figures for Prometheus."),
};
static const struct stmt *const stmts[] = {&stmt_alive, &stmt_hosts, &stmt_evacuations};

const struct service operations_service = {.name = "operations",
                                           .family = &family_node,
                                           SERVICE_LIST(routes, routes),
                                           SERVICE_LIST(stmts, stmts)};
