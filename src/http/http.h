/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * HTTP server on libmicrohttpd: frames requests, runs them in lanes, sends replies. Knows nothing of OpenStack.
 *
 * Lanes: I/O threads (epoll) parse and send. A complete request runs inline there (LANE_INLINE: short reads), on a
 * fixed pool of workers behind a bounded queue (LANE_WORKER: everything that writes), or on the low-priority pool
 * (LANE_SLOW: password hashing). A full queue answers 503 with Retry-After. Uploads stream into a sink.
 * A handler may park its request until a topic is woken or a time has come; then it runs again.
 */
#pragma once

#include "base/base.h"

#define HTTP_MAX_PARAMS 8

struct http_pair {
    const char *name, *value;
};

struct http_request {
    struct ctx *cx;             /* one a request; request_id "req-<uuid>" set by the server (a client's X-Openstack-Request-Id
                                   of the right form is kept as global_request_id) */
    const char *method;         /* "GET" … */
    const char *path;           /* percent-decoded, no query, no NUL; refused if it decodes to bad UTF-8 */
    const char *raw_path;       /* as sent */
    const char *query;          /* as sent, without '?', or "" */
    struct http_pair *args;     /* decoded query, in order; repeated names kept */
    size_t n_args;
    const char *body;           /* NULL for a streamed upload */
    size_t body_size;
    const char *base_url;       /* "http://host:port" as the client sees it (Host header, X-Forwarded-Proto if trusted) */
    const char *remote_addr;
    const char *global_request_id;
    unsigned wakeups;           /* how often this request was parked and run again */
    bool timed_out;             /* this run is because park_until passed */
    void *app;                  /* the application's own, kept between begin, sink and handle */
    struct http_conn *conn;     /* private */
};

const char *http_header(const struct http_request *rq, const char *name); /* NULL if absent */
const char *http_arg(const struct http_request *rq, const char *name);    /* first one, NULL if absent */

struct http_reply {
    int status;                 /* 0: not answered yet (a bug, unless parked) */
    struct buf body;            /* JSON or whatever content_type says; empty with file_fd >= 0 */
    const char *content_type;   /* default "application/json" */
    struct http_pair headers[24];
    size_t n_headers;
    int file_fd;                /* >= 0: the body is this file's [file_offset, file_offset + file_size), owned by the reply */
    int64_t file_offset, file_size;
    const char *park_topic;     /* set instead of a status: run again when http_wake() names it */
    int64_t park_until_us;      /* monotonic */
};

void http_reply_header(struct http_reply *rp, struct ctx *cx, const char *name, const char *value);

enum http_lane { LANE_INLINE, LANE_WORKER, LANE_SLOW };

/* Takes a streamed body piece by piece, on the I/O thread. */
struct http_sink {
    struct err *(*write)(struct http_sink *sink, struct ctx *cx, const char *data, size_t size);
    void (*abort)(struct http_sink *sink); /* the client went away or write failed: release; called at most once, instead of handle */
};

struct http_app {
    void *arg;
    /*
     * After the headers. Chooses the lane; may set *ret_sink (memory of the request's arena) for a streamed body, or
     * fill rp->status to answer at once (the body is then not read).
     */
    enum http_lane (*begin)(void *arg, struct http_request *rq, struct http_reply *rp, struct http_sink **ret_sink);
    /* The request is complete: fills the reply or parks. */
    void (*handle)(void *arg, struct http_request *rq, struct http_reply *rp);
    /* A request that HTTP itself refuses (too large, malformed, queue full): renders a body in the family's shape. */
    void (*refuse)(void *arg, struct http_request *rq, struct http_reply *rp, int status, const char *message);
};

struct http_config {
    const char *host; /* address to bind */
    uint16_t port;    /* 0: any free one, see http_server_port */
    unsigned io_threads, workers, slow_workers, queue_max, connections_max;
    size_t body_max_bytes; /* of requests that are not streamed */
    unsigned idle_timeout_s;
    const char *tls_cert_file, *tls_key_file; /* NULL: plain */
    bool trust_forwarded; /* a proxy in front sets X-Forwarded-Proto */
};

struct http_server;
MUST_USE struct err *http_server_start(struct ctx *cx, const struct http_config *cfg, const struct http_app *app,
                                       struct http_server **ret);
uint16_t http_server_port(const struct http_server *s);
/* Runs every request parked on this topic again. Any thread. */
void http_wake(struct http_server *s, const char *topic);
/* Stops accepting, lets running requests finish (drain_ms), closes. */
void http_server_stop(struct http_server *s, unsigned drain_ms);

/* Figures for /metrics. */
struct http_stats {
    uint64_t requests, refused, bytes_in, bytes_out;
    uint64_t connections, queued, parked, running; /* now */
};
void http_server_stats(struct http_server *s, struct http_stats *ret);
