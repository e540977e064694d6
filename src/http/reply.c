/* SPDX-License-Identifier: EUPL-1.2 */
/* From a filled http_reply to bytes: through MHD, or straight to the socket where MHD has no way.
 */
#include "http/conn.h"
#include <sys/socket.h>

#define RAW_MAX 8192

void reply_init(struct http_reply *rp, struct ctx *cx)
{
    rp->status = 0;
    rp->content_type = NULL;
    rp->n_headers = 0;
    rp->file_fd = -1;
    rp->file_offset = rp->file_size = 0;
    rp->takeover = NULL;
    rp->park_topic = NULL;
    rp->park_until_us = 0;
    buf_init(&rp->body, cx->arena);
}

/* Header values may come from tenants (names in Location): a control character must not start a new
 * header. */
static const char *header_text(struct ctx *cx, const char *s)
{
    char *out = arena_strdup(cx->arena, s);
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    return out;
}

void http_reply_header(struct http_reply *rp, struct ctx *cx, const char *name, const char *value)
{
    must(rp->n_headers < ARRAY_LEN(rp->headers));
    rp->headers[rp->n_headers++] =
        (struct http_pair){arena_strdup(cx->arena, name), header_text(cx, value)};
}

static const char *content_type(const struct http_reply *rp)
{
    bool has_body = rp->body.len > 0 || rp->file_fd >= 0;
    return rp->content_type ? rp->content_type : has_body ? "application/json" : NULL;
}

static struct MHD_Response *make_response(struct http_conn *c)
{
    struct http_reply *rp = &c->rp;
    if (rp->takeover)
        return takeover_response(c);
    if (rp->file_fd >= 0 && rp->file_size > 0) {
        struct MHD_Response *r = MHD_create_response_from_fd_at_offset64(
            (uint64_t)rp->file_size, rp->file_fd, (uint64_t)rp->file_offset);
        if (r)
            rp->file_fd = -1; /* MHD closes it */
        return r;
    }
    /* The body stays in the request's arena, which outlives the sending. */
    return MHD_create_response_from_buffer(rp->body.len, rp->body.data, MHD_RESPMEM_PERSISTENT);
}

enum MHD_Result reply_queue(struct http_conn *c)
{
    struct http_reply *rp = &c->rp;
    if (rp->takeover && !takeover_reserve(c))
        exchange_refuse(c, 503, "Too many connections are taken over; try again later.");
    const char *type = content_type(rp);
    uint64_t size = rp->file_fd >= 0 ? (uint64_t)rp->file_size : rp->body.len;
    struct MHD_Response *r = make_response(c);
    if (!r)
        return MHD_NO;
    if (type)
        MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "x-openstack-request-id", c->cx.request_id);
    for (size_t i = 0; i < rp->n_headers; i++)
        MHD_add_response_header(r, rp->headers[i].name, rp->headers[i].value);
    if (!rp->takeover && atomic_load_explicit(&c->server->closing, memory_order_relaxed))
        MHD_add_response_header(r, "Connection", "close");
    enum MHD_Result ok = MHD_queue_response(c->mhd, (unsigned)rp->status, r);
    MHD_destroy_response(r);
    c->stage = STAGE_SENT;
    atomic_fetch_add_explicit(&c->server->bytes_out, size, memory_order_relaxed);
    return ok;
}

bool reply_raw(struct http_conn *c)
{
    struct http_reply *rp = &c->rp;
    if (tls_used(c->server) || rp->file_fd >= 0 || rp->body.len > RAW_MAX)
        return false;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (!info)
        return false;
    struct buf out;
    buf_init(&out, c->cx.arena);
    const char *type = content_type(rp);
    buf_printf(&out, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %zu\r\n", rp->status,
               MHD_get_reason_phrase_for((unsigned)rp->status), rp->body.len);
    buf_printf(&out, "x-openstack-request-id: %s\r\n", c->cx.request_id);
    if (type)
        buf_printf(&out, "Content-Type: %s\r\n", type);
    for (size_t i = 0; i < rp->n_headers; i++)
        buf_printf(&out, "%s: %s\r\n", rp->headers[i].name, rp->headers[i].value);
    buf_str(&out, "\r\n");
    if (!str_eq(c->rq.method, "HEAD"))
        buf_add(&out, buf_cstr(&rp->body), rp->body.len);
    /* Nothing else is in the socket's buffer, so a few KiB fit at once; once a part is out, MHD
     * must not send more. */
    ssize_t n = send(info->connect_fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    atomic_fetch_add_explicit(&c->server->bytes_out, rp->body.len, memory_order_relaxed);
    return n > 0;
}
