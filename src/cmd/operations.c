/* SPDX-License-Identifier: EUPL-1.2 */
/* For the operator's monitoring: /healthz, and /metrics in Prometheus' text format. */
#include "cmd/wiring.h"
#include <malloc.h>
#include <sys/resource.h>

static const struct stmt stmt_alive = {"alive", "SELECT count(*) FROM schema_migration"};

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
    buf_str(b, "# HELP colvert_api_answers_total Answers by route and class of status.\n# TYPE "
               "colvert_api_answers_total counter\n");
    api_each_route(c->api, route_answers, b);
    buf_str(b, "# HELP colvert_api_busy_us_total Time in handlers by route, in microseconds.\n"
               "# TYPE colvert_api_busy_us_total counter\n");
    api_each_route(c->api, route_time, b);
    return NULL;
}

static const struct route routes[] = {
    ROUTE(GET, "/healthz", healthz, "operations:health", .rule = RULE_PUBLIC,
          .doc = "200 when clients can be served."),
    ROUTE(GET, "/metrics", metrics, "operations:metrics", .rule = RULE_PUBLIC,
          .doc = "Figures for Prometheus."),
};
static const struct stmt *const stmts[] = {&stmt_alive};

const struct service operations_service = {.name = "operations",
                                           .family = &family_node,
                                           SERVICE_LIST(routes, routes),
                                           SERVICE_LIST(stmts, stmts)};
