/* SPDX-License-Identifier: EUPL-1.2 */
/* See websocket.h. */
#include "http/websocket.h"
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <sys/socket.h>
#include <wslay/wslay.h>

#define PIECE_BYTES ((size_t)16 * 1024)
#define PENDING_MAX ((size_t)256 * 1024) /* what waits for one side before the other is read on */
#define MESSAGE_MAX ((uint64_t)1024 * 1024)

/* ---- handshake ---- */

static const char *accept_key(struct ctx *cx, const char *key)
{
    const char *text = arena_printf(cx->arena, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    must(EVP_Digest(text, strlen(text), digest, &size, EVP_sha1(), NULL) == 1);
    return base64_encode(cx, digest, size);
}

static bool has_word(struct ctx *cx, const char *list, const char *word)
{
    char **parts;
    size_t n = list ? str_split(cx, list, ',', &parts) : 0;
    for (size_t i = 0; i < n; i++) {
        const char *p = parts[i] + strspn(parts[i], " \t");
        size_t len = strcspn(p, " \t");
        if (len == strlen(word) && strncasecmp(p, word, len) == 0)
            return true;
    }
    return false;
}

/* Browsers send where the page came from; a page of elsewhere must not use this user's consoles. */
static bool same_origin(const struct http_request *rq)
{
    const char *origin = http_header(rq, "Origin"), *host = http_header(rq, "Host");
    const char *at = origin ? strstr(origin, "://") : NULL;
    return !origin || (at && host && strcasecmp(at + 3, host) == 0);
}

struct err *websocket_accept(struct http_request *rq, struct http_reply *rp,
                             const struct http_takeover *t)
{
    struct ctx *cx = rq->cx;
    const char *key = http_header(rq, "Sec-WebSocket-Key");
    uint8_t *raw;
    size_t size;
    if (!has_word(cx, http_header(rq, "Upgrade"), "websocket") || !key)
        return fail(cx, ERR_INVALID, "A websocket is expected here (Upgrade: websocket)");
    if (!str_eq(http_header(rq, "Sec-WebSocket-Version"), "13") ||
        !base64_decode(cx, key, &raw, &size) || size != 16)
        return fail(cx, ERR_INVALID, "The websocket's handshake is not that of RFC 6455");
    if (!same_origin(rq))
        return fail(cx, ERR_FORBIDDEN, "The page that asks is of another host");
    rp->status = 101;
    rp->takeover = t;
    http_reply_header(rp, cx, "Upgrade", "websocket");
    http_reply_header(rp, cx, "Sec-WebSocket-Accept", accept_key(cx, key));
    if (has_word(cx, http_header(rq, "Sec-WebSocket-Protocol"), "binary"))
        http_reply_header(rp, cx, "Sec-WebSocket-Protocol", "binary");
    return NULL;
}

/* ---- moving bytes ---- */

/* What waits to be written to a descriptor. */
struct outbox {
    char *data;
    size_t len, cap;
};

static void outbox_add(struct outbox *o, const void *data, size_t size)
{
    if (o->len + size > o->cap) {
        o->cap = (o->len + size) * 2;
        o->data = realloc(o->data, o->cap);
        must(o->data);
    }
    if (size)
        memcpy(o->data + o->len, data, size);
    o->len += size;
}

/* False once the peer is gone. */
static bool outbox_flush(struct outbox *o, int fd)
{
    while (o->len) {
        ssize_t n = send(fd, o->data, o->len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        o->len -= (size_t)n;
        memmove(o->data, o->data + n, o->len);
    }
    return true;
}

/* > 0: read; 0: nothing now; -1: the end. */
static ssize_t read_some(int fd, char *to, size_t max)
{
    ssize_t n;
    do
        n = recv(fd, to, max, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : -1;
}

static void no_wait(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void stream_relay(int a, const char *early, size_t n_early, int b, int idle_ms)
{
    struct outbox to[2] = {{0}};
    struct pollfd p[2] = {{.fd = a}, {.fd = b}};
    char piece[PIECE_BYTES];
    bool on = true;
    no_wait(a);
    no_wait(b);
    outbox_add(&to[1], early, n_early);
    while (on) {
        for (int i = 0; i < 2; i++)
            p[i].events =
                (short)((to[i].len ? POLLOUT : 0) | (to[1 - i].len < PENDING_MAX ? POLLIN : 0));
        if (poll(p, 2, idle_ms) <= 0)
            break;
        for (int i = 0; i < 2 && on; i++) {
            ssize_t n = p[i].revents & (POLLIN | POLLHUP | POLLERR)
                            ? read_some(p[i].fd, piece, sizeof(piece))
                            : 0;
            if (n > 0)
                outbox_add(&to[1 - i], piece, (size_t)n);
            on = n >= 0;
        }
        on = outbox_flush(&to[0], a) && outbox_flush(&to[1], b) && on;
    }
    free(to[0].data);
    free(to[1].data);
}

struct relay {
    int ws, stream;
    const char *early;
    size_t n_early;
    struct outbox to_stream;
    bool broken;
};

static ssize_t ws_recv(wslay_event_context_ptr w, uint8_t *to, size_t max, int flags UNUSED,
                       void *arg)
{
    struct relay *r = arg;
    if (r->n_early) {
        size_t n = r->n_early < max ? r->n_early : max;
        memcpy(to, r->early, n);
        r->early += n;
        r->n_early -= n;
        return (ssize_t)n;
    }
    ssize_t n = read_some(r->ws, (char *)to, max);
    if (n > 0)
        return n;
    r->broken = n < 0;
    wslay_event_set_error(w, n < 0 ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
    return -1;
}

static ssize_t ws_send(wslay_event_context_ptr w, const uint8_t *data, size_t size,
                       int flags UNUSED, void *arg)
{
    struct relay *r = arg;
    ssize_t n = send(r->ws, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0)
        return n;
    bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    r->broken = !later;
    wslay_event_set_error(w, later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static void ws_message(wslay_event_context_ptr w UNUSED,
                       const struct wslay_event_on_msg_recv_arg *m, void *arg)
{
    struct relay *r = arg;
    if (!wslay_is_ctrl_frame(m->opcode))
        outbox_add(&r->to_stream, m->msg, m->msg_length);
}

static void queue_bytes(wslay_event_context_ptr w, const char *data, size_t size)
{
    const struct wslay_event_msg m = {
        .opcode = WSLAY_BINARY_FRAME, .msg = (const uint8_t *)data, .msg_length = size};
    if (size)
        must(wslay_event_queue_msg(w, &m) == 0);
}

/* One turn: what poll said is readable and writable. False: over. */
static bool relay_turn(struct relay *r, wslay_event_context_ptr w, int idle_ms)
{
    char piece[PIECE_BYTES];
    bool room_ws = wslay_event_get_queued_msg_length(w) < PENDING_MAX;
    bool read_ws = r->to_stream.len < PENDING_MAX && wslay_event_want_read(w);
    struct pollfd p[2] = {
        {.fd = r->ws,
         .events = (short)((read_ws ? POLLIN : 0) | (wslay_event_want_write(w) ? POLLOUT : 0))},
        {.fd = r->stream,
         .events = (short)((room_ws ? POLLIN : 0) | (r->to_stream.len ? POLLOUT : 0))}};
    if (poll(p, 2, r->n_early ? 0 : idle_ms) <= 0 && !r->n_early)
        return false;
    if (read_ws && (r->n_early || p[0].revents & (POLLIN | POLLHUP | POLLERR)) &&
        wslay_event_recv(w) != 0)
        return false;
    if (p[1].revents & (POLLIN | POLLHUP | POLLERR)) {
        ssize_t n = read_some(r->stream, piece, sizeof(piece));
        if (n < 0)
            return false;
        queue_bytes(w, piece, (size_t)n);
    }
    if (wslay_event_send(w) != 0 || r->broken || wslay_event_get_close_received(w))
        return false;
    return outbox_flush(&r->to_stream, r->stream);
}

void websocket_relay(int ws, const char *early, size_t n_early, int stream,
                     const char *stream_early, size_t n_stream_early, int idle_ms)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = ws_recv, .send_callback = ws_send, .on_msg_recv_callback = ws_message};
    struct relay r = {.ws = ws, .stream = stream, .early = early, .n_early = n_early};
    wslay_event_context_ptr w;
    must(wslay_event_context_server_init(&w, &callbacks, &r) == 0);
    wslay_event_config_set_max_recv_msg_length(w, MESSAGE_MAX);
    no_wait(ws);
    if (stream >= 0) {
        no_wait(stream);
        queue_bytes(w, stream_early, n_stream_early);
        while (relay_turn(&r, w, idle_ms))
            ;
    }
    if (!r.broken)
        (void)!wslay_event_send(w); /* a good bye would go ahead of what waits */
    if (!r.broken && wslay_event_queue_close(w, 0, NULL, 0) == 0)
        (void)!wslay_event_send(w);
    wslay_event_context_free(w);
    free(r.to_stream.data);
}
