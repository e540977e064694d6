/* SPDX-License-Identifier: EUPL-1.2 */
/* See peer.h. */
#include "node/peer.h"
#include "http/client.h"
#include <sys/socket.h>

#define OPEN_TIMEOUT_MS 15000
#define END_TIMEOUT_MS 120000 /* the other side puts all of it on its disk */

/* ---- sending ---- */

struct asking {
    struct http_identity identity;
    struct http_pair authorization;
    struct http_call call;
};

static void prepare(struct ctx *cx, void *enrolment, const struct spec_move *to,
                    const char *server_id, const char *part, struct asking *ret)
{
    *ret = (struct asking){0};
    ret->call.url = arena_printf(cx->arena, "%s" MOVES_PATH "%s/%" PRId64 "%s%s", to->url,
                                 server_id, to->seq, part ? "/" : "", part ? part : "");
    if (enrolment) {
        ret->identity = *enrolment_identity(enrolment);
        ret->identity.peer = arena_printf(cx->arena, "%s" HOST_PEERS, to->peer);
        ret->call.identity = &ret->identity;
    } else if (to->token) {
        ret->authorization =
            (struct http_pair){"Authorization", arena_printf(cx->arena, "Bearer %s", to->token)};
        ret->call.headers = &ret->authorization;
        ret->call.n_headers = 1;
    }
}

static struct err *open_part(struct ctx *cx, void *enrolment, const struct spec_move *to,
                             const char *server_id, const char *part, int *ret_fd)
{
    struct asking ask;
    struct buf early;
    AUTO_FD int fd = -1;
    prepare(cx, enrolment, to, server_id, part, &ask);
    ask.call.timeout_ms = OPEN_TIMEOUT_MS;
    buf_init(&early, cx->arena);
    TRY(http_client_upgrade(cx, &ask.call, "colvert-stream", &fd, &early));
    if (early.len) /* whoever speaks first here is no agent of ours */
        return fail(cx, ERR_BAD_GATEWAY, "%s speaks before it is spoken to", ask.call.url);
    *ret_fd = TAKE_FD(fd);
    return NULL;
}

static struct err *end_all(struct ctx *cx, void *enrolment, const struct spec_move *to,
                           const char *server_id, const char *text)
{
    struct asking ask;
    struct http_answer answer;
    prepare(cx, enrolment, to, server_id, NULL, &ask);
    ask.call.method = "POST";
    ask.call.body = text;
    ask.call.body_size = strlen(text);
    ask.call.timeout_ms = END_TIMEOUT_MS;
    struct http_client *client = http_client_new();
    struct err *e = http_client_call(cx, client, &ask.call, &answer);
    http_client_free(client);
    TRY(e);
    if (answer.status != 204)
        return fail(cx, ERR_BAD_GATEWAY, "the other host does not take the server: %.*s",
                    (int)min_i64((int64_t)answer.body.len, 300), buf_cstr(&answer.body));
    return NULL;
}

struct move_sender peer_sender(struct enrolment *enrolment)
{
    return (struct move_sender){.open = open_part, .end = end_all, .arg = enrolment};
}

/* ---- receiving ---- */

struct arrival {
    struct http_takeover takeover;
    struct guest_backend guests;
    const char *server_id, *part;
};

static void receive(void *arg, int fd, const char *early UNUSED, size_t n_early)
{
    const struct arrival *a = arg;
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    /* The sender waits for our answer before it sends: what came early is none of its. */
    struct err *e = n_early ? fail(&cx, ERR_INVALID, "bytes before the answer")
                            : a->guests.ops->receive(&cx, a->guests.drv, a->server_id, a->part, fd);
    if (e)
        log_err(&cx, LOG_WARN, e, "a part of a server did not arrive", "server", a->server_id,
                "part", a->part, NULL);
}

static struct err *take_part(const struct peer_receiver *r, struct http_request *rq,
                             const char *server_id, const char *part, struct http_reply *rp)
{
    if (!str_eq(rq->method, "GET") || !str_eq(http_header(rq, "Upgrade"), "colvert-stream"))
        return fail(rq->cx, ERR_INVALID, "this connection leaves HTTP: Upgrade: colvert-stream");
    if (!r->guests.ops->receive)
        return fail(rq->cx, ERR_NOT_IMPLEMENTED, "this host takes no servers from others");
    struct arrival *a = arena_new_of(rq->cx->arena, struct arrival);
    *a = (struct arrival){.takeover = {.run = receive, .arg = a},
                          .guests = r->guests,
                          .server_id = server_id,
                          .part = part};
    rp->status = 101;
    rp->takeover = &a->takeover;
    http_reply_header(rp, rq->cx, "Upgrade", "colvert-stream");
    return NULL;
}

static struct err *check_token(const struct peer_receiver *r, struct http_request *rq,
                               const char *server_id, int64_t seq)
{
    const char *base = arena_printf(rq->cx->arena, "agent-move:%s:%" PRId64 ":%s", server_id, seq,
                                    r->secret_sha256);
    const char *right =
        arena_printf(rq->cx->arena, "Bearer %s", sha256_hex(rq->cx, base, strlen(base)));
    const char *given = http_header(rq, "Authorization");
    if (!given || !secret_eq(given, strlen(given), right, strlen(right)))
        return fail(rq->cx, ERR_UNAUTHENTICATED, "this is for the host it comes from");
    return NULL;
}

struct err *peer_answer(const struct peer_receiver *r, const char *peer, struct http_request *rq,
                        struct http_reply *rp)
{
    char **parts;
    int64_t seq;
    size_t n = str_split(rq->cx, rq->path + strlen(MOVES_PATH), '/', &parts);
    if ((n != 2 && n != 3) || strlen(parts[0]) != 36 || !uuid_valid(parts[0]) ||
        !str_to_i64(parts[1], 1, INT64_MAX, &seq))
        return fail(rq->cx, ERR_NOT_FOUND, "nothing here");
    if (!peer)
        TRY(check_token(r, rq, parts[0], seq));
    TRY(agent_may_receive(rq->cx, r->agent, parts[0], seq, peer));
    if (n == 3)
        return take_part(r, rq, parts[0], parts[2], rp);
    if (!str_eq(rq->method, "POST") || !rq->body)
        return fail(rq->cx, ERR_METHOD, "only POST");
    TRY(agent_receive_end(rq->cx, r->agent, parts[0], seq, peer, rq->body));
    rp->status = 204;
    return NULL;
}
