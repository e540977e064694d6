/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * HTTP server on libmicrohttpd: frames requests, runs them in lanes, sends replies. Knows nothing
 * of OpenStack.
 *
 * Lanes: I/O threads (epoll) parse and send. A complete request runs inline there (LANE_INLINE:
 * short reads), on a fixed pool of workers behind a bounded queue (LANE_WORKER: everything that
 * writes), or on the low-priority pool (LANE_SLOW: password hashing). A full queue answers 503 with
 * Retry-After. Uploads stream into a sink. A handler may park its request until a topic is woken or
 * a time has come; then it runs again.
 */
#pragma once

#include "base/base.h"

#define HTTP_MAX_PARAMS 8

struct http_pair {
    const char *name, *value;
};

struct http_request {
    /*
     * One a request, given back when the reply has been sent. request_id "req-<uuid>" is set by the
     * server and sent back as x-openstack-request-id.
     */
    struct ctx *cx;
    const char *method; /* "GET" … */
    /*
     * Percent-decoded, no query, no NUL, valid UTF-8. In refuse of a path that is none of that: as
     * sent, with anything odd replaced.
     */
    const char *path;
    const char *raw_path;   /* as sent */
    const char *query;      /* as sent, without '?', or "" */
    struct http_pair *args; /* decoded query, in order; repeated names kept */
    size_t n_args;
    const char *body; /* ends with a NUL; NULL for a streamed upload */
    size_t body_size;
    /* "http://host:port" as the client sees it (Host header, X-Forwarded-Proto if trusted). */
    const char *base_url;
    const char *remote_addr;
    const char *global_request_id; /* the client's X-Openstack-Request-Id, if of the right form */
    unsigned wakeups;              /* how often this request was parked and run again */
    bool timed_out;                /* this run is because park_until passed or the server stops */
    /* Of the certificate that the client has the key of: SHA-256 of its DER form, in hexadecimal;
     * "": it showed none; NULL: this server asks for none. Who it is, is for the application. */
    const char *peer_sha256;
    /* Of a server with an identity: the name that let the client in. NULL: it has none. */
    const char *peer_name;
    void *app; /* the application's own, kept between begin, sink and handle */
    /* Of a request without a connection (http_call_here); else http_header asks the connection. */
    const struct http_pair *headers;
    size_t n_headers;
    struct http_conn *conn; /* private */
};

/* The first of that name, NULL if absent; lives as long as the request. */
const char *http_header(const struct http_request *rq, const char *name);
const char *http_arg(const struct http_request *rq, const char *name);

/*
 * A connection that leaves HTTP (a console): after "101 Switching Protocols" run has its bytes, in
 * a thread of its own, until it returns; early: what the client has sent already. The descriptor is
 * the server's: shut down when the server stops. arg lives as long as the request, which ends after
 * run.
 */
struct http_takeover {
    void (*run)(void *arg, int fd, const char *early, size_t n_early);
    void *arg;
};

struct http_reply {
    int status;               /* 0: not answered yet (a bug, unless parked) */
    struct buf body;          /* JSON or whatever content_type says; empty with file_fd >= 0 */
    const char *content_type; /* default "application/json" */
    struct http_pair headers[24];
    size_t n_headers;
    /* >= 0: the body is [file_offset, file_offset + file_size) of it; owned by the reply. */
    int file_fd;
    int64_t file_offset, file_size;
    const struct http_takeover *takeover; /* with status 101 and an Upgrade header */
    const char *park_topic; /* set instead of a status: run again when http_wake() names it */
    int64_t park_until_us;  /* monotonic */
};

/* Copies both; control characters in the value become blanks. */
void http_reply_header(struct http_reply *rp, struct ctx *cx, const char *name, const char *value);

enum http_lane { LANE_INLINE, LANE_WORKER, LANE_SLOW };

/* Takes a streamed body piece by piece, on the I/O thread. */
struct http_sink {
    struct err *(*write)(struct http_sink *sink, struct ctx *cx, const char *data, size_t size);
    /*
     * The client went away, write failed (its error is then answered through refuse), or no lane
     * had room: release. Called at most once, instead of handle.
     */
    void (*abort)(struct http_sink *sink);
};

struct http_app {
    void *arg;
    /*
     * After the headers, on the I/O thread. Chooses the lane; may set *ret_sink (memory of the
     * request's arena) for a streamed body, or fill rp->status to answer at once (the body is then
     * dropped).
     */
    enum http_lane (*begin)(void *arg, struct http_request *rq, struct http_reply *rp,
                            struct http_sink **ret_sink);
    /* The request is complete: fills the reply or parks. */
    void (*handle)(void *arg, struct http_request *rq, struct http_reply *rp);
    /*
     * A request that HTTP itself refuses (too large, malformed, queue full), maybe before begin:
     * renders a body in the family's shape. The status is set by the server.
     */
    void (*refuse)(void *arg, struct http_request *rq, struct http_reply *rp, int status,
                   const char *message);
};

/*
 * Certificates on both sides (pki.h), PEM. The other side is who its certificate names, wherever it
 * is.
 */
struct http_identity {
    const char *authorities; /* whom to trust; NULL: the other side may be anybody */
    const char *cert, *key;  /* to show; NULL: none */
    const char *peer;        /* the other side's name; unused without authorities */
    const char *also;        /* of a server: ".host.colvert", names that end so are let in too */
};

/* Zero or NULL: the default. */
struct http_config {
    const char *host;                         /* address to bind: 127.0.0.1 */
    uint16_t port;                            /* any free one, see http_server_port */
    unsigned io_threads;                      /* 2 */
    unsigned workers;                         /* 8 */
    unsigned slow_workers;                    /* 1 */
    unsigned queue_max;                       /* 256, of each pool */
    unsigned connections_max;                 /* 4096 */
    unsigned takeovers_max;                   /* 64; more are answered 503 */
    size_t body_max_bytes;                    /* 1 MiB; of requests that are not streamed */
    unsigned idle_timeout_s;                  /* 75; a parked or running request is not idle */
    const char *tls_cert_file, *tls_key_file; /* plain */
    const char *tls_cert, *tls_key;           /* PEM, instead of files */
    /* PEM: clients are asked for a certificate, see peer_sha256. Whoever it says they are is let
     * in. */
    const char *client_ca;
    /*
     * Instead of all these, for few connections (each one costs a thread): asked for at each one.
     * Only whom it names is let in: rq.peer_name.
     */
    const struct http_identity *(*identity)(void *arg);
    void *identity_arg;
    bool trust_forwarded; /* a proxy in front sets X-Forwarded-Proto */
    struct clock *clock;  /* the system's */
};

struct http_server;
MUST_USE struct err *http_server_start(struct ctx *cx, const struct http_config *cfg,
                                       const struct http_app *app, struct http_server **ret);
uint16_t http_server_port(const struct http_server *s);
/*
 * Runs every request parked on this topic again, and every one whose handler looked before this
 * call and parks after it. Any thread; after the change is visible (committed).
 */
void http_wake(struct http_server *s, const char *topic);
/* The same for every topic. */
void http_wake_all(struct http_server *s);
/*
 * Breaks the connections of those whose certificate's fingerprint is gone: requests under way,
 * parked ones, bodies on their way. Any thread; gone must not call the server.
 */
void http_cut(struct http_server *s, bool (*gone)(void *arg, const char *peer_sha256), void *arg);
/*
 * Stops accepting, runs parked requests a last time (timed_out), gives all that is under way
 * drain_ms to finish; then refuses what is still queued, waits for handlers that still run, closes.
 */
void http_server_stop(struct http_server *s, unsigned drain_ms);

/*
 * One request run to its end in the caller's thread, without a socket: what another process would
 * have sent. In cx, which lends its clock and random source too; a parked request ends unanswered
 * (status 0). body NULL: none; not for streamed uploads.
 */
MUST_USE struct err *http_call_here(struct ctx *cx, const struct http_app *app, const char *method,
                                    const char *target, const struct http_pair *headers,
                                    size_t n_headers, const char *body, struct http_reply *ret);

/* Figures for /metrics. */
struct http_stats {
    uint64_t requests, refused, bytes_in, bytes_out; /* bytes of bodies */
    uint64_t connections, queued, parked, running;   /* now */
};
void http_server_stats(struct http_server *s, struct http_stats *ret);
