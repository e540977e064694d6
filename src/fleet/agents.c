/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Calling hosts' agents: what is open on a server's console, its screen. An enrolled host is spoken
 * to with certificates on both sides; one on the control plane's own machine, by a token.
 */
#include "fleet/fleet_impl.h"
#include "http/client.h"
#include <sys/socket.h>

enum { AGENT_TIMEOUT_MS = 5000 };

/* Connections that were given away, until they are ended. */
struct stream {
    struct stream *next;
    int fd;
    char host_id[64];
};
static struct {
    pthread_mutex_t lock;
    struct stream *first;
} streams = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct err *agent_reachable(struct ctx *cx, const struct fleet_host *host)
{
    if (host->agent_url && host->alive)
        return NULL;
    return fail(cx, ERR_UNAVAILABLE,
                "Host %s can't be reached: its agent has not been heard of lately", host->name);
}

/* The call's headers and identity. */
static struct err *introduce(struct ctx *cx, const struct fleet_host *host, struct http_call *call)
{
    const struct fleet_authority *a = fleet_authority_get();
    TRY(agent_reachable(cx, host));
    if (!host->enrolled) {
        struct http_pair *auth = arena_new_of(cx->arena, struct http_pair);
        must(host->secret_sha256);
        const char *token = arena_printf(cx->arena, "agent-call:%s", host->secret_sha256);
        *auth =
            (struct http_pair){"Authorization", arena_printf(cx->arena, "Bearer %s",
                                                             sha256_hex(cx, token, strlen(token)))};
        call->headers = auth;
        call->n_headers = 1;
        return NULL;
    }
    if (!a)
        return fail(cx, ERR_UNAVAILABLE,
                    "Host %s is on another machine: the setting hosts_listen is missing here",
                    host->name);
    struct http_identity *i = arena_new_of(cx->arena, struct http_identity);
    *i = (struct http_identity){.authorities = a->authorities,
                                .cert = a->control_cert,
                                .key = a->control_key,
                                .peer = fleet_host_peer(cx, host->id)};
    call->identity = i;
    return NULL;
}

struct err *fleet_call(struct ctx *cx, const struct fleet_host *host, const char *path,
                       struct buf *ret_body, int *ret_status)
{
    struct http_call call = {
        .method = "GET", .timeout_ms = AGENT_TIMEOUT_MS, .reply_max_bytes = 4 << 20};
    struct http_answer answer;
    TRY(introduce(cx, host, &call));
    call.url = arena_printf(cx->arena, "%s%s", host->agent_url, path);
    struct http_client *client = http_client_new();
    struct err *e = http_client_call(cx, client, &call, &answer);
    http_client_free(client);
    if (e)
        return wrap(cx, e, ERR_UNAVAILABLE, "The agent of host %s can't be reached", host->name);
    buf_add(ret_body, answer.body.data, answer.body.len);
    *ret_status = answer.status;
    return NULL;
}

struct err *fleet_stream(struct ctx *cx, const struct fleet_host *host, const char *path,
                         int *ret_fd, struct buf *ret_early)
{
    struct http_call call = {.timeout_ms = AGENT_TIMEOUT_MS};
    TRY(introduce(cx, host, &call));
    call.url = arena_printf(cx->arena, "%s%s", host->agent_url, path);
    struct err *e = http_client_upgrade(cx, &call, "colvert-stream", ret_fd, ret_early);
    if (e)
        return wrap(cx, e, ERR_UNAVAILABLE, "The agent of host %s gives no connection", host->name);
    struct stream *s = calloc(1, sizeof(*s));
    must(s);
    s->fd = *ret_fd;
    snprintf(s->host_id, sizeof(s->host_id), "%s", host->id);
    AUTO_LOCK(&streams.lock);
    s->next = streams.first;
    streams.first = s;
    return NULL;
}

void fleet_stream_end(int *fd)
{
    AUTO_LOCK(&streams.lock);
    for (struct stream **p = &streams.first; *fd >= 0 && *p; p = &(*p)->next) {
        struct stream *s = *p;
        if (s->fd != *fd)
            continue;
        *p = s->next;
        free(s);
        break;
    }
    close_fd_p(fd); /* under the lock: the number may be another connection's at once */
}

void fleet_streams_cut(bool (*gone)(void *arg, const char *host_id), void *arg)
{
    AUTO_LOCK(&streams.lock);
    for (struct stream *s = streams.first; s; s = s->next)
        if (gone(arg, s->host_id))
            shutdown(s->fd, SHUT_RDWR);
}
