/* SPDX-License-Identifier: EUPL-1.2 */
/* See console.h. */
#include "node/console.h"
#include "http/websocket.h"
#include "node/peer.h"

enum {
    CONSOLE_MAX_BYTES = 100 * 1024, /* as nova: the last 100 KiB */
    STREAMS_MAX = 256,
    STREAM_IDLE_MS = 3600 * 1000
};

struct console {
    struct agent *agent;
    struct guest_backend guests;
    char *authorization; /* the whole header's value; NULL: by certificates, which say who it is */
    char *secret_sha256; /* NULL likewise */
    struct http_server *http;
};

static enum http_lane begin(void *arg, struct http_request *rq, struct http_reply *rp,
                            struct http_sink **ret_sink)
{
    (void)arg, (void)rp, (void)ret_sink;
    return str_starts(rq->path, MOVES_PATH) ? LANE_SLOW : LANE_WORKER;
}

static void refuse(void *arg, struct http_request *rq, struct http_reply *rp, int status,
                   const char *message)
{
    (void)arg, (void)rq;
    buf_clear(&rp->body);
    rp->status = status;
    rp->content_type = "text/plain";
    buf_str(&rp->body, message);
}

/* The start of the last n lines; an unfinished last line counts. */
static size_t last_lines(const char *text, size_t len, int64_t n)
{
    size_t at = len;
    if (at && text[at - 1] == '\n')
        at--;
    for (; at; at--)
        if (text[at - 1] == '\n' && --n == 0)
            return at;
    return 0;
}

static struct err *answer_console(struct console *c, struct http_request *rq, const char *id,
                                  struct http_reply *rp)
{
    struct buf text;
    int64_t lines = 0;
    const char *length = http_arg(rq, "length");
    if (length && !str_to_i64(length, 1, 1000000, &lines))
        return fail(rq->cx, ERR_INVALID, "length is a number of lines");
    buf_init(&text, rq->cx->arena);
    TRY(c->guests.ops->console(rq->cx, c->guests.drv, id, CONSOLE_MAX_BYTES, &text));
    size_t from = lines ? last_lines(buf_cstr(&text), text.len, lines) : 0;
    buf_add(&rp->body, buf_cstr(&text) + from, text.len - from);
    rp->status = 200;
    rp->content_type = "text/plain";
    return NULL;
}

static struct err *answer_diagnostics(struct console *c, struct http_request *rq, const char *id,
                                      struct http_reply *rp)
{
    struct jw w;
    jw_init(&w, &rp->body);
    jw_obj(&w);
    TRY(c->guests.ops->diagnostics(rq->cx, c->guests.drv, id, &w));
    jw_obj_end(&w);
    rp->status = 200;
    rp->content_type = "application/json";
    return NULL;
}

struct stream {
    struct http_takeover takeover;
    int fd;
};

static void run_stream(void *arg, int fd, const char *early, size_t n_early)
{
    struct stream *s = arg;
    stream_relay(fd, early, n_early, s->fd, STREAM_IDLE_MS);
}

static void close_stream(void *arg)
{
    struct stream *s = arg;
    close_fd_p(&s->fd);
}

static struct err *answer_stream(struct console *c, struct http_request *rq, const char *id,
                                 struct http_reply *rp, enum console_kind kind)
{
    if (!str_eq(http_header(rq, "Upgrade"), "colvert-stream"))
        return fail(rq->cx, ERR_INVALID, "this connection leaves HTTP: Upgrade: colvert-stream");
    if (!c->guests.ops->connect)
        return fail(rq->cx, ERR_NOT_IMPLEMENTED, "guests of this host have no such console");
    struct stream *s = arena_new_of(rq->cx->arena, struct stream);
    *s = (struct stream){.takeover = {.run = run_stream, .arg = s}, .fd = -1};
    arena_defer(rq->cx->arena, close_stream, s);
    TRY(c->guests.ops->connect(rq->cx, c->guests.drv, id, kind, &s->fd));
    rp->status = 101;
    rp->takeover = &s->takeover;
    http_reply_header(rp, rq->cx, "Upgrade", "colvert-stream");
    return NULL;
}

static struct err *answer_vnc(struct console *c, struct http_request *rq, const char *id,
                              struct http_reply *rp)
{
    return answer_stream(c, rq, id, rp, CONSOLE_VNC);
}

static struct err *answer_serial(struct console *c, struct http_request *rq, const char *id,
                                 struct http_reply *rp)
{
    return answer_stream(c, rq, id, rp, CONSOLE_SERIAL);
}

/* GET /servers/{id}/NAME */
static const struct question {
    const char *name;
    struct err *(*answer)(struct console *c, struct http_request *rq, const char *id,
                          struct http_reply *rp);
} questions[] = {{"console", answer_console},
                 {"diagnostics", answer_diagnostics},
                 {"vnc", answer_vnc},
                 {"serial", answer_serial}};

static struct err *answer(struct console *c, struct http_request *rq, struct http_reply *rp)
{
    char **parts;
    if (str_split(rq->cx, rq->path, '/', &parts) != 4 || *parts[0] ||
        !str_eq(parts[1], "servers") || strlen(parts[2]) != 36 || !uuid_valid(parts[2]))
        return fail(rq->cx, ERR_NOT_FOUND, "nothing here");
    if (!str_eq(rq->method, "GET"))
        return fail(rq->cx, ERR_METHOD, "only GET");
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        if (!str_eq(questions[i].name, parts[3]))
            continue;
        if (!agent_knows_server(c->agent, parts[2]))
            return fail(rq->cx, ERR_NOT_FOUND, "no server %s on this host", parts[2]);
        return questions[i].answer(c, rq, parts[2], rp);
    }
    return fail(rq->cx, ERR_NOT_FOUND, "nothing here");
}

/* Another host: what it sends, and nothing else. */
static struct err *answer_peer(struct console *c, struct http_request *rq, struct http_reply *rp)
{
    const struct peer_receiver r = {c->agent, c->guests, c->secret_sha256};
    const char *name = rq->peer_name;
    if (!c->secret_sha256 && !str_ends(name ? name : "", HOST_PEERS))
        return fail(rq->cx, ERR_FORBIDDEN, "this is for other hosts");
    return peer_answer(&r,
                       c->secret_sha256
                           ? NULL
                           : arena_strndup(rq->cx->arena, name, strlen(name) - strlen(HOST_PEERS)),
                       rq, rp);
}

static struct err *answer_control(struct console *c, struct http_request *rq, struct http_reply *rp)
{
    const char *given = http_header(rq, "Authorization");
    bool good = c->authorization ? given && secret_eq(given, strlen(given), c->authorization,
                                                      strlen(c->authorization))
                                 : rq->peer_name && !str_ends(rq->peer_name, HOST_PEERS);
    if (!good)
        return fail(rq->cx, ERR_UNAUTHENTICATED, "this is for the control plane");
    return answer(c, rq, rp);
}

static void handle(void *arg, struct http_request *rq, struct http_reply *rp)
{
    struct console *c = arg;
    bool moves = str_starts(rq->path, MOVES_PATH);
    struct err *e = moves ? answer_peer(c, rq, rp) : answer_control(c, rq, rp);
    if (e)
        refuse(c, rq, rp, err_http_status(e->kind), e->message);
}

static char *authorization_of(struct ctx *cx, const char *host_secret)
{
    const char *kept = sha256_hex(cx, host_secret, strlen(host_secret));
    const char *base = arena_printf(cx->arena, "agent-call:%s", kept);
    return strdup(arena_printf(cx->arena, "Bearer %s", sha256_hex(cx, base, strlen(base))));
}

struct err *console_start(struct ctx *cx, struct agent *a, const struct guest_backend *guests,
                          struct enrolment *enrolment, const char *host_secret, const char *address,
                          uint16_t port, struct console **ret)
{
    struct console *c = calloc(1, sizeof(*c));
    must(c);
    *c = (struct console){.agent = a, .guests = *guests};
    if (!enrolment) {
        c->authorization = authorization_of(cx, host_secret);
        c->secret_sha256 = strdup(sha256_hex(cx, host_secret, strlen(host_secret)));
        must(c->authorization && c->secret_sha256);
    }
    const struct http_app app = {.arg = c, .begin = begin, .handle = handle, .refuse = refuse};
    const struct http_config http = {.host = address,
                                     .port = port,
                                     .io_threads = 1,
                                     .workers = 1,
                                     .slow_workers = 1,
                                     .queue_max = 16,
                                     .connections_max = STREAMS_MAX + 16,
                                     .takeovers_max = STREAMS_MAX,
                                     .body_max_bytes = MOVE_TEXT_MAX,
                                     .idle_timeout_s = 30,
                                     .identity = enrolment ? enrolment_identity : NULL,
                                     .identity_arg = enrolment};
    struct err *e = http_server_start(cx, &http, &app, &c->http);
    if (e) {
        console_stop(c);
        return e;
    }
    *ret = c;
    return NULL;
}

uint16_t console_port(const struct console *c)
{
    return http_server_port(c->http);
}

void console_stop(struct console *c)
{
    if (!c)
        return;
    if (c->http)
        http_server_stop(c->http, 1000);
    if (c->authorization)
        secret_wipe(c->authorization, strlen(c->authorization));
    if (c->secret_sha256)
        secret_wipe(c->secret_sha256, strlen(c->secret_sha256));
    free(c->authorization);
    free(c->secret_sha256);
    free(c);
}
