/* SPDX-License-Identifier: EUPL-1.2 */
/* See console.h. */
#include "node/console.h"

enum { CONSOLE_MAX_BYTES = 100 * 1024 }; /* as nova: the last 100 KiB */

struct console {
    struct agent *agent;
    struct guest_backend guests;
    char *authorization; /* the whole header's value */
    struct http_server *http;
};

static enum http_lane begin(void *arg, struct http_request *rq, struct http_reply *rp,
                            struct http_sink **ret_sink)
{
    (void)arg, (void)rq, (void)rp, (void)ret_sink;
    return LANE_WORKER;
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

static struct err *answer(struct console *c, struct http_request *rq, const char *id,
                          struct http_reply *rp)
{
    struct buf text;
    int64_t lines = 0;
    const char *length = http_arg(rq, "length");
    if (length && !str_to_i64(length, 1, 1000000, &lines))
        return fail(rq->cx, ERR_INVALID, "length is a number of lines");
    if (!agent_knows_server(c->agent, id))
        return fail(rq->cx, ERR_NOT_FOUND, "no server %s on this host", id);
    buf_init(&text, rq->cx->arena);
    TRY(c->guests.ops->console(rq->cx, c->guests.drv, id, CONSOLE_MAX_BYTES, &text));
    size_t from = lines ? last_lines(buf_cstr(&text), text.len, lines) : 0;
    buf_add(&rp->body, buf_cstr(&text) + from, text.len - from);
    rp->status = 200;
    rp->content_type = "text/plain";
    return NULL;
}

/* "/servers/{id}/console" → id; NULL for every other path. */
static const char *id_of_path(struct ctx *cx, const char *path)
{
    char **parts;
    if (str_split(cx, path, '/', &parts) != 4 || *parts[0] || !str_eq(parts[1], "servers") ||
        !str_eq(parts[3], "console") || strlen(parts[2]) != 36 || !uuid_valid(parts[2]))
        return NULL;
    return parts[2];
}

static void handle(void *arg, struct http_request *rq, struct http_reply *rp)
{
    struct console *c = arg;
    const char *given = http_header(rq, "Authorization");
    struct err *e = NULL;
    if (!given || !secret_eq(given, strlen(given), c->authorization, strlen(c->authorization)))
        e = fail(rq->cx, ERR_UNAUTHENTICATED, "this is for the control plane");
    const char *id = id_of_path(rq->cx, rq->path);
    if (!e && !id)
        e = fail(rq->cx, ERR_NOT_FOUND, "nothing here");
    if (!e && !str_eq(rq->method, "GET"))
        e = fail(rq->cx, ERR_METHOD, "only GET");
    if (!e)
        e = answer(c, rq, id, rp);
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
                          const char *host_secret, const char *address, uint16_t port,
                          struct console **ret)
{
    struct console *c = calloc(1, sizeof(*c));
    must(c);
    *c = (struct console){
        .agent = a, .guests = *guests, .authorization = authorization_of(cx, host_secret)};
    must(c->authorization);
    const struct http_app app = {.arg = c, .begin = begin, .handle = handle, .refuse = refuse};
    const struct http_config http = {.host = address,
                                     .port = port,
                                     .io_threads = 1,
                                     .workers = 1,
                                     .slow_workers = 1,
                                     .queue_max = 16,
                                     .connections_max = 16,
                                     .body_max_bytes = 4096,
                                     .idle_timeout_s = 30};
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
    secret_wipe(c->authorization, strlen(c->authorization));
    free(c->authorization);
    free(c);
}
