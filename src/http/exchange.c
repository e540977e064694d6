/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * One request from its first line to its reply: what libmicrohttpd calls, on its I/O threads.
 *
 * MHD calls exchange_access once after the headers, once for each piece of the body and once when
 * all is there; only the last of them (and, losing the connection, the first) may queue a reply. A
 * request that leaves the I/O thread is suspended there: MHD then neither reads it nor frees it
 * until it is resumed, so a client that goes away meanwhile is noticed only when the reply is sent.
 *
 * A reply that is ready before the body has come (refused, or the sink failed) waits for its end
 * while the rest is dropped, so that the connection can go on and no reset destroys the answer.
 * When much is still to come, the answer goes out at once on the bare socket and the connection is
 * closed after a while.
 */
#include "http/conn.h"
#include <arpa/inet.h>
#include <sys/socket.h>

#define DISCARD_QUIET_BYTES ((uint64_t)256 * 1024) /* dropped in silence before answering early */
#define DISCARD_MAX_US (30 * (int64_t)1000000)

static struct http_conn *conn_take(struct http_server *s)
{
    struct http_conn *c = NULL;
    {
        AUTO_LOCK(&s->spare_lock);
        if (s->spare) {
            c = s->spare;
            s->spare = c->next;
            s->n_spare--;
        }
    }
    if (!c) {
        c = calloc(1, sizeof(*c));
        must(c != NULL);
        ctx_init_with(&c->cx, s->cfg.clock, rng_system());
        c->server = s;
        return c;
    }
    struct arena *arena = c->cx.arena;
    memset(c, 0, sizeof(*c));
    c->cx = (struct ctx){.arena = arena, .clock = s->cfg.clock, .rng = rng_system()};
    c->server = s;
    return c;
}

static void conn_give_back(struct http_conn *c)
{
    struct http_server *s = c->server;
    close_fd_p(&c->rp.file_fd);
    arena_reset(c->cx.arena);
    {
        AUTO_LOCK(&s->spare_lock);
        if (s->n_spare < HTTP_SPARE_MAX) {
            c->next = s->spare;
            s->spare = c;
            s->n_spare++;
            return;
        }
    }
    ctx_release(&c->cx);
    free(c);
}

void exchange_free_spare(struct http_server *s)
{
    while (s->spare) {
        struct http_conn *c = s->spare;
        s->spare = c->next;
        ctx_release(&c->cx);
        free(c);
    }
}

/*
 * Before MHD takes the target apart. It would turn each query argument into a header record in the
 * connection's small pool, which a long query exhausts; we decode the query ourselves, so MHD is
 * shown an empty one (the text is its own read buffer, not constant).
 */
void *exchange_new(void *server, const char *uri, struct MHD_Connection *mhd)
{
    struct http_conn *c = conn_take(server);
    c->mhd = mhd;
    c->stage = STAGE_HEAD;
    c->rq.conn = c;
    c->rq.cx = &c->cx;
    c->rq.raw_path = arena_strdup(c->cx.arena, uri ? uri : "");
    reply_init(&c->rp, &c->cx);
    char *query = uri ? strchr((char *)(uintptr_t)uri, '?') : NULL;
    if (query && query[1])
        query[1] = 0;
    return c;
}

const char *http_header(const struct http_request *rq, const char *name)
{
    if (rq->conn)
        return MHD_lookup_connection_value(rq->conn->mhd, MHD_HEADER_KIND, name);
    for (size_t i = 0; i < rq->n_headers; i++)
        if (strcasecmp(rq->headers[i].name, name) == 0)
            return rq->headers[i].value;
    return NULL;
}

struct err *http_call_here(struct ctx *cx, const struct http_app *app, const char *method,
                           const char *target, const struct http_pair *headers, size_t n_headers,
                           const char *body, struct http_reply *ret)
{
    struct http_request rq = {.cx = cx,
                              .method = method,
                              .body = body ? body : "",
                              .body_size = body ? strlen(body) : 0,
                              .base_url = "http://localhost",
                              .remote_addr = "127.0.0.1",
                              .headers = headers,
                              .n_headers = n_headers};
    const struct actor *actor = cx->actor;
    const char *request_id = cx->request_id;
    cx->request_id = arena_printf(cx->arena, "req-%s", uuid_new(cx));
    reply_init(ret, cx);
    struct http_sink *sink = NULL;
    struct err *e = request_target(&rq, target);
    if (!e)
        app->begin(app->arg, &rq, ret, &sink);
    must(!sink);
    if (!e && !ret->status)
        app->handle(app->arg, &rq, ret);
    cx->actor = actor;
    cx->request_id = request_id;
    return e;
}

static void sink_abort(struct http_conn *c)
{
    struct http_sink *sink = TAKE_PTR(c->sink);
    if (sink)
        sink->abort(sink);
}

void exchange_refuse(struct http_conn *c, int status, const char *message)
{
    sink_abort(c);
    close_fd_p(&c->rp.file_fd);
    reply_init(&c->rp, &c->cx);
    if (status == 503)
        http_reply_header(&c->rp, &c->cx, "Retry-After", "1");
    c->server->app.refuse(c->server->app.arg, &c->rq, &c->rp, status, message);
    c->rp.status = status;
    c->stage = STAGE_DONE;
    atomic_fetch_add_explicit(&c->server->refused, 1, memory_order_relaxed);
}

static const char *remote_text(struct http_conn *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *sa = info ? info->client_addr : NULL;
    if (sa && sa->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, c->remote,
                  sizeof(c->remote));
    else if (sa && sa->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, c->remote,
                  sizeof(c->remote));
    return c->remote;
}

struct framing {
    size_t n_length, n_encoding;
    const char *length, *encoding;
};

static enum MHD_Result note_framing(void *arg, enum MHD_ValueKind kind UNUSED, const char *name,
                                    const char *value)
{
    struct framing *f = arg;
    if (strcasecmp(name, "Content-Length") == 0) {
        f->n_length++;
        f->length = value;
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        f->n_encoding++;
        f->encoding = value;
    }
    return MHD_YES;
}

/* Requests are smuggled where two parties read their length differently: refused. */
static struct err *read_framing(struct http_conn *c)
{
    struct framing f = {0};
    MHD_get_connection_values(c->mhd, MHD_HEADER_KIND, note_framing, &f);
    int64_t length = 0;
    c->body_expected = f.n_encoding ? UINT64_MAX : 0;
    if (f.n_encoding > 1 ||
        (f.n_encoding && (strcasecmp(f.encoding, "chunked") != 0 || f.n_length)))
        return fail(&c->cx, ERR_INVALID,
                    "Transfer-Encoding must be 'chunked', once, without Content-Length.");
    if (f.n_length > 1 || (f.n_length && !str_to_i64(f.length, 0, INT64_MAX, &length)))
        return fail(&c->cx, ERR_INVALID, "Content-Length must be one number.");
    if (f.n_length)
        c->body_expected = (uint64_t)length;
    return NULL;
}

static struct err *read_head(struct http_conn *c, const char *method)
{
    struct http_server *s = c->server;
    struct http_request *rq = &c->rq;
    struct ctx *cx = &c->cx;
    rq->method = arena_strdup(cx->arena, method);
    rq->remote_addr = remote_text(c);
    rq->peer_sha256 = tls_peer_of(c);
    rq->peer_name = s->cfg.identity ? tls_name_of(c) : NULL;
    cx->request_id = arena_printf(cx->arena, "req-%s", uuid_new(cx));
    rq->base_url = "";
    const char *global_id = http_header(rq, "X-Openstack-Request-Id");
    if (request_id_valid(global_id))
        rq->global_request_id = arena_strdup(cx->arena, global_id);
    struct err *e = read_framing(c);
    c->bad_framing = e != NULL;
    TRY(e);
    TRY(request_target(rq, rq->raw_path));
    const char *host = http_header(rq, "Host");
    if (host && !authority_valid(host))
        return fail(cx, ERR_INVALID, "The Host header is malformed.");
    const char *proto = s->cfg.trust_forwarded ? http_header(rq, "X-Forwarded-Proto") : NULL;
    bool https = proto ? strcasecmp(proto, "https") == 0 : tls_used(s);
    rq->base_url = arena_printf(cx->arena, "http%s://%s", https ? "s" : "",
                                host ? host : s->default_authority);
    return NULL;
}

/* A reply ready before the body has come. */
static enum MHD_Result answer_early(struct http_conn *c)
{
    if (c->body_expected == 0 && !c->bad_framing) {
        c->stage = STAGE_DONE; /* the call that says so follows at once */
        return MHD_YES;
    }
    /* Nobody knows where the body ends, or the client waits for leave to send it: then close. */
    if (c->bad_framing || (c->stage != STAGE_BODY && http_header(&c->rq, "Expect")))
        return reply_queue(c);
    c->stage = STAGE_DISCARD;
    c->discard_until_us = mono_us(&c->cx) + DISCARD_MAX_US;
    if (c->body_expected != UINT64_MAX && c->body_expected - c->body_got > DISCARD_QUIET_BYTES)
        c->answered_raw = reply_raw(c);
    return MHD_YES;
}

static enum MHD_Result begin(struct http_conn *c, const char *method)
{
    struct http_server *s = c->server;
    c->begun = true;
    atomic_fetch_add(&s->open, 1);
    atomic_fetch_add_explicit(&s->requests, 1, memory_order_relaxed);
    struct err *e = read_head(c, method);
    if (e) {
        exchange_refuse(c, err_http_status(e->kind), e->message);
        return answer_early(c);
    }
    c->lane = s->app.begin(s->app.arg, &c->rq, &c->rp, &c->sink);
    if (c->rp.status) {
        sink_abort(c);
        return answer_early(c);
    }
    c->streamed = c->sink != NULL;
    if (!c->streamed && c->body_expected != UINT64_MAX &&
        c->body_expected > s->cfg.body_max_bytes) {
        exchange_refuse(c, 413, "The request body is too large.");
        return answer_early(c);
    }
    buf_init(&c->body, c->cx.arena);
    c->stage = STAGE_BODY;
    return MHD_YES;
}

static enum MHD_Result discard(struct http_conn *c, size_t size)
{
    uint64_t before = c->body_got;
    c->body_got += size;
    if (!c->answered_raw && before <= DISCARD_QUIET_BYTES && c->body_got > DISCARD_QUIET_BYTES)
        c->answered_raw = reply_raw(c);
    return mono_us(&c->cx) < c->discard_until_us ? MHD_YES : MHD_NO;
}

/*
 * MHD polls edge-triggered and takes a short read for the end of what there is: a close that came
 * together with the last data would be noticed only after the idle timeout. Suspending and resuming
 * makes it read once more.
 */
static void notice_close(struct http_conn *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    char byte;
    if (info && recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
        MHD_suspend_connection(c->mhd);
        MHD_resume_connection(c->mhd);
    }
}

static enum MHD_Result take_body(struct http_conn *c, const char *data, size_t *size)
{
    struct http_server *s = c->server;
    size_t n = *size;
    *size = 0;
    notice_close(c);
    atomic_fetch_add_explicit(&s->bytes_in, n, memory_order_relaxed);
    if (c->stage == STAGE_DISCARD)
        return discard(c, n);
    if (c->stage != STAGE_BODY)
        return MHD_YES;
    c->body_got += n;
    if (c->streamed) {
        struct err *e = c->sink->write(c->sink, &c->cx, data, n);
        if (!e)
            return MHD_YES;
        exchange_refuse(c, err_http_status(e->kind), e->message);
    } else if (n > s->cfg.body_max_bytes - c->body.len) {
        exchange_refuse(c, 413, "The request body is too large.");
    } else {
        buf_add(&c->body, data, n);
        return MHD_YES;
    }
    c->stage = STAGE_BODY;
    return answer_early(c);
}

bool exchange_run(struct http_conn *c)
{
    struct http_server *s = c->server;
    reply_init(&c->rp, &c->cx);
    c->stage = STAGE_RUNNING;
    lanes_note_seq(c);
    atomic_fetch_add_explicit(&s->running, 1, memory_order_relaxed);
    s->app.handle(s->app.arg, &c->rq, &c->rp);
    atomic_fetch_sub_explicit(&s->running, 1, memory_order_relaxed);
    if (c->rp.status == 0 && c->rp.park_topic) {
        must(c->rp.park_until_us > 0);
        return false;
    }
    bool takes_over = c->rp.status == 101 && c->rp.takeover;
    if (!takes_over && (c->rp.status < 200 || c->rp.status > 599))
        exchange_refuse(c, 500, "The request was not answered.");
    c->stage = STAGE_DONE;
    return true;
}

static enum MHD_Result run_inline(struct http_conn *c)
{
    if (exchange_run(c))
        return reply_queue(c);
    MHD_suspend_connection(c->mhd);
    lanes_park(c); /* from here on the request may belong to another thread */
    return MHD_YES;
}

static enum MHD_Result complete(struct http_conn *c)
{
    c->rq.body = c->streamed ? NULL : buf_cstr(&c->body);
    c->rq.body_size = c->streamed ? 0 : c->body.len;
    if (c->lane == LANE_INLINE) {
        c->sink = NULL;
        return run_inline(c);
    }
    struct http_sink *sink = TAKE_PTR(c->sink);
    MHD_suspend_connection(c->mhd);
    if (!lanes_submit(c)) {
        c->sink = sink;
        exchange_refuse(c, 503, "The server is busy; try again in a moment.");
        MHD_resume_connection(c->mhd);
    }
    return MHD_YES;
}

enum MHD_Result exchange_access(void *server UNUSED, struct MHD_Connection *mhd UNUSED,
                                const char *url UNUSED, const char *method,
                                const char *version UNUSED, const char *upload_data,
                                size_t *upload_size, void **conn)
{
    struct http_conn *c = *conn;
    if (!c->begun)
        return begin(c, method);
    if (*upload_size)
        return take_body(c, upload_data, upload_size);
    switch (c->stage) {
    case STAGE_BODY:
        return complete(c);
    case STAGE_AGAIN:
        return run_inline(c);
    case STAGE_DISCARD:
        return c->answered_raw ? MHD_NO : reply_queue(c);
    case STAGE_DONE:
        return reply_queue(c);
    default:
        return MHD_YES;
    }
}

void exchange_completed(void *server UNUSED, struct MHD_Connection *mhd UNUSED, void **conn,
                        enum MHD_RequestTerminationCode why UNUSED)
{
    struct http_conn *c = TAKE_PTR(*conn);
    if (!c)
        return;
    struct http_server *s = c->server;
    bool begun = c->begun;
    sink_abort(c);
    takeover_release(c);
    conn_give_back(c);
    if (begun)
        atomic_fetch_sub(&s->open, 1);
}
