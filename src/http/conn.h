/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to http/: what server.c, exchange.c, reply.c and lanes.c share. */
#pragma once

#include "http/http.h"
#include <microhttpd.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdatomic.h>

#define TOPIC_BUCKETS 256
#define HTTP_SPARE_MAX 64

/* The life of one request; the stage says which thread owns it. */
enum stage {
    STAGE_HEAD,    /* request line seen; I/O thread */
    STAGE_BODY,    /* begun, body comes; I/O thread */
    STAGE_DISCARD, /* answered before its body has come; the rest is read and dropped; I/O thread */
    STAGE_QUEUED,  /* suspended; in a lane's queue */
    STAGE_RUNNING, /* suspended unless inline; a handler has it */
    STAGE_PARKED,  /* suspended; in the topic table and the heap of timeouts */
    STAGE_AGAIN,   /* an inline request was woken: the I/O thread runs it again */
    STAGE_DONE,    /* the reply is filled: the I/O thread sends it */
    STAGE_SENT,
};

struct http_conn {
    struct http_request rq;
    struct http_reply rp;
    struct ctx cx;
    struct http_server *server;
    struct MHD_Connection *mhd;
    enum stage stage;
    enum http_lane lane;
    struct http_sink *sink; /* NULL once handed to the handler or aborted */
    bool streamed;
    struct buf body;
    uint64_t body_expected; /* Content-Length, or UINT64_MAX when chunked */
    uint64_t body_got;
    bool bad_framing;         /* where the body ends can't be told */
    bool answered_raw;        /* the reply has gone out ahead of the rest of the body */
    int64_t discard_until_us; /* monotonic */
    bool begun;               /* counted in server.open */
    bool takeover_reserved;   /* counted in server.takeovers, and not begun */
    char remote[INET6_ADDRSTRLEN];

    /* lanes.c, under its lock */
    struct http_conn *next, **link; /* queue or topic bucket */
    size_t heap_idx;                /* 1-based; 0: not in the heap */
    uint64_t seen_seq;              /* wake sequence before the handler last ran */
};

struct conn_list {
    struct http_conn *head, **tail;
    size_t n;
};

struct lane_pool {
    struct http_server *server;
    pthread_t *threads;
    unsigned n_threads;
    int nice;
    struct conn_list queue;
    pthread_cond_t more;
};

struct topic_bucket {
    struct http_conn *parked;
    uint64_t woken_seq;
};

struct lanes {
    pthread_mutex_t lock;
    struct lane_pool pools[2]; /* worker, slow */
    struct topic_bucket topics[TOPIC_BUCKETS];
    _Atomic uint64_t wake_seq;
    struct http_conn **heap; /* by park_until_us, earliest first */
    size_t n_heap, cap_heap;
    pthread_t timer;
    bool has_timer;
    pthread_cond_t timer_cond;
    bool draining; /* nothing parks any more */
    bool stopping; /* nothing is queued any more */
};

struct takeovers {
    pthread_mutex_t lock;
    pthread_cond_t fewer;
    struct takeover *first;
    unsigned n; /* those promised included */
    bool stopping;
};

struct http_server {
    struct http_app app;
    struct http_config cfg;
    struct MHD_Daemon *mhd;
    int listener;
    uint16_t port;
    pthread_t acceptor;
    bool has_acceptor;
    sem_t places; /* connections that may still come */
    char *default_authority;
    struct lanes lanes;
    struct takeovers takeovers;
    pthread_mutex_t peers_lock;
    struct tls_peer *peers; /* connections with cfg.client_ca */
    _Atomic bool closing;   /* replies say Connection: close */
    _Atomic uint64_t requests, refused, bytes_in, bytes_out, connections, running, open;
    pthread_mutex_t spare_lock;
    struct http_conn *spare; /* finished ones, with their arenas, for the next requests */
    unsigned n_spare;
};

/* request.c: no sockets, no MHD; also the fuzz target's entry. */
/* Splits a request target into raw_path, path, query and args; ERR_INVALID says what is wrong. */
MUST_USE struct err *request_target(struct http_request *rq, const char *target);
/* Percent-decoding; '+' becomes a space if plus. False: bad escape, NUL or bad UTF-8. */
bool percent_decode(struct ctx *cx, const char *s, size_t len, bool plus, char **ret);
bool authority_valid(const char *s);
bool request_id_valid(const char *s);

/* exchange.c: the callbacks of MHD. */
void *exchange_new(void *server, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result exchange_access(void *server, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *upload_data,
                                size_t *upload_size, void **conn);
void exchange_completed(void *server, struct MHD_Connection *mhd, void **conn,
                        enum MHD_RequestTerminationCode why);
/* Fills the reply through the app's refuse. */
void exchange_refuse(struct http_conn *c, int status, const char *message);
/* Runs the handler once. True: the reply is filled (STAGE_DONE); false: it wants to park. */
bool exchange_run(struct http_conn *c);
void exchange_free_spare(struct http_server *s);

/* reply.c */
void reply_init(struct http_reply *rp, struct ctx *cx);
/* Hands the filled reply to MHD. */
enum MHD_Result reply_queue(struct http_conn *c);
/* Writes a small reply straight to the socket, where MHD can't: the body is still coming. False:
 * not possible. */
bool reply_raw(struct http_conn *c);

/* accept.c */
/* Binds: sets listener, port, default_authority. */
MUST_USE struct err *accept_listen(struct ctx *cx, struct http_server *s);
/* From now on connections reach MHD. */
MUST_USE struct err *accept_start(struct ctx *cx, struct http_server *s);
/* A connection has ended. */
void accept_place_free(struct http_server *s);
/* Sets closing; newcomers are refused from now on. */
void accept_stop(struct http_server *s);

/* tls.c */
bool tls_used(const struct http_server *s);
/* A connection's beginning and end, before its socket is closed; what the first gives is the
 * socket's context. */
void *tls_connected(struct http_server *s, struct MHD_Connection *mhd);
void tls_disconnected(struct http_server *s, void *peer);
const char *tls_peer_of(struct http_conn *c); /* for rq.peer_sha256 */
const char *tls_name_of(struct http_conn *c); /* for rq.peer_name */

/* takeover.c */
void takeovers_init(struct http_server *s);
void takeovers_fini(struct http_server *s);
/* Room for one more; false: there are too many, or the server stops. */
bool takeover_reserve(struct http_conn *c);
/* The connection was lost before its takeover began. */
void takeover_release(struct http_conn *c);
/* What answers the request of a reserved takeover. */
struct MHD_Response *takeover_response(struct http_conn *c);
/* Ends them all and waits for them. */
void takeovers_stop(struct http_server *s);

/* lanes.c */
/* With the small stack of our threads. */
MUST_USE struct err *http_thread_start(struct ctx *cx, pthread_t *ret, void *(*fn)(void *),
                                       void *arg);
void lanes_init(struct http_server *s);
void lanes_fini(struct http_server *s);
MUST_USE struct err *lanes_start(struct ctx *cx, struct http_server *s);
/*
 * Hands a complete, suspended request to its pool. False: the queue is full or the server stops;
 * the caller still owns the request.
 */
bool lanes_submit(struct http_conn *c);
/* Before each run of the handler. */
void lanes_note_seq(struct http_conn *c);
/* Parks a suspended request (or wakes it at once, if its topic was woken since lanes_note_seq). */
void lanes_park(struct http_conn *c);
void lanes_wake(struct http_server *s, const char *topic);
void lanes_wake_all(struct http_server *s);
/* Wakes everything that is parked, as timed out; from now on nothing parks. */
void lanes_drain(struct http_server *s);
/* Refuses what is still queued, waits for what runs, ends the threads. */
void lanes_stop(struct http_server *s);
void lanes_count(struct http_server *s, uint64_t *ret_queued, uint64_t *ret_parked);
