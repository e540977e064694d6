/* SPDX-License-Identifier: EUPL-1.2 */
/* See uplink.h. */
#include "node/uplink.h"

/* A heartbeat is tried again before the lease of the last one ends. */
enum {
    CALL_TIMEOUT_MS = 15000,
    BEAT_TIMEOUT_MS = 6000,
    IMAGE_TIMEOUT_MS = 3600 * 1000,
    WATCH_MAX_BYTES = 64 << 20
};

/* What a refusal means for the one who reads the agent's log. */
static struct err *refused(struct ctx *cx, const struct uplink *u, const struct http_answer *a,
                           const char *what)
{
    enum err_kind kind = a->status >= 500 || a->status == 429 ? ERR_UNAVAILABLE : ERR_INVALID;
    if (a->status == 401 && !u->enrolment)
        return fail(cx, ERR_UNAUTHENTICATED, "%s knows no host '%s' with this agent's secret",
                    u->api_urls[u->at], u->host);
    return fail(cx, kind, "%s: %s answered %d: %.300s", what, u->api_urls[u->at], a->status,
                buf_cstr(&a->body));
}

struct uplink uplink_new(struct ctx *cx, const char *api_urls, const char *host, const char *secret,
                         struct enrolment *enrolment)
{
    struct uplink u = {
        .host = host, .secret = secret, .enrolment = enrolment, .client = http_client_new()};
    u.n_urls = str_split(cx, api_urls, ',', &u.api_urls);
    return u;
}

/* One that answers so is alive, but of no use now. */
static bool in_trouble(int status)
{
    return status == 502 || status == 503 || status == 504;
}

/* From one process of the control plane; *ret_next: another may do better. */
static struct err *call_one(struct ctx *cx, const struct uplink *u, struct http_call *c,
                            const char *rest, const char *what, struct http_answer *ret,
                            bool *ret_next)
{
    c->url = arena_printf(cx->arena, "%s/node/v1/hosts/%s%s", u->api_urls[u->at], u->host, rest);
    struct err *e = http_client_call(cx, u->client, c, ret);
    *ret_next = e ? e->kind == ERR_UNAVAILABLE || e->kind == ERR_TIMEOUT : in_trouble(ret->status);
    if (e)
        return e;
    return ret->status == 200 || ret->status == 204 ? NULL : refused(cx, u, ret, what);
}

static struct err *call(struct ctx *cx, struct uplink *u, struct http_call *c, const char *what,
                        struct http_answer *ret)
{
    const char *rest = c->url;
    const struct http_pair headers[] = {
        {"Content-Type", c->body_file ? "application/octet-stream" : "application/json"},
        {"Authorization", u->enrolment ? "" : arena_printf(cx->arena, "Bearer %s", u->secret)},
    };
    c->identity = u->enrolment ? enrolment_identity(u->enrolment) : NULL;
    c->headers = headers;
    c->n_headers = u->enrolment ? 1 : 2;
    if (!c->timeout_ms)
        c->timeout_ms = CALL_TIMEOUT_MS;
    bool whole = !c->on_data && !c->body_file; /* what flowed can't be taken back: the next time */
    struct err *e = NULL;
    for (size_t tries = 0; tries < u->n_urls; tries++) {
        bool next = false;
        e = call_one(cx, u, c, rest, what, ret, &next);
        if (!next)
            break;
        u->at = (u->at + 1) % u->n_urls;
        if (!whole)
            break;
    }
    c->headers = NULL;
    return e;
}

static struct err *call_json(struct ctx *cx, struct uplink *u, struct http_call *c,
                             const char *what, json_t **ret)
{
    struct http_answer answer;
    TRY(call(cx, u, c, what, &answer));
    struct err *e = json_read(cx, buf_cstr(&answer.body), answer.body.len, ret);
    return e ? wrap(cx, e, ERR_BAD_GATEWAY, "%s: %s answers no JSON", what, u->api_urls[u->at])
             : NULL;
}

struct err *uplink_beat(struct ctx *cx, struct uplink *u, const struct buf *body,
                        struct beat_answer *ret)
{
    json_t *j = NULL;
    struct http_call c = {.method = "PUT",
                          .url = "",
                          .body = buf_cstr(body),
                          .body_size = body->len,
                          .timeout_ms = BEAT_TIMEOUT_MS};
    TRY(call_json(cx, u, &c, "heartbeat", &j));
    *ret = (struct beat_answer){.heartbeat_s =
                                    min_i64(max_i64(json_get_int(j, "heartbeat_s", 10), 1), 3600),
                                .lease_s = min_i64(max_i64(json_get_int(j, "lease_s", 0), 0), 3600),
                                .authorities_sha256 = json_get_str(j, "authorities_sha256")};
    return NULL;
}

struct err *uplink_items(struct ctx *cx, struct uplink *u, int64_t since, int wait_s, json_t **ret)
{
    struct http_call c = {
        .method = "GET",
        .url = arena_printf(cx->arena, "/items?since=%" PRId64 "&wait=%d", since, wait_s),
        .timeout_ms = CALL_TIMEOUT_MS + wait_s * 1000,
        .reply_max_bytes = WATCH_MAX_BYTES};
    return call_json(cx, u, &c, "watch", ret);
}

struct err *uplink_report(struct ctx *cx, struct uplink *u, const struct buf *body, bool *ret_stale)
{
    json_t *j = NULL;
    struct http_call c = {
        .method = "POST", .url = "/reports", .body = buf_cstr(body), .body_size = body->len};
    TRY(call_json(cx, u, &c, "report", &j));
    *ret_stale = json_array_size(json_get(j, "stale")) > 0;
    return NULL;
}

struct to_sink {
    struct err *(*sink)(struct ctx *cx, void *to, const char *data, size_t size);
    void *to;
};

static struct err *pass_on(struct ctx *cx, void *arg, const char *data, size_t size)
{
    struct to_sink *t = arg;
    return t->sink(cx, t->to, data, size);
}

struct err *
uplink_image(struct ctx *cx, struct uplink *u, const char *image_id,
             struct err *(*sink)(struct ctx *cx, void *to, const char *data, size_t size), void *to)
{
    struct to_sink t = {sink, to};
    struct http_answer answer;
    struct http_call c = {.method = "GET",
                          .url = arena_printf(cx->arena, "/images/%s/file", image_id),
                          .timeout_ms = IMAGE_TIMEOUT_MS,
                          .on_data = pass_on,
                          .arg = &t};
    return call(cx, u, &c, "image", &answer);
}

struct err *uplink_send_image(struct ctx *cx, struct uplink *u, const char *image_id,
                              const char *path)
{
    struct http_answer answer;
    FILE *file = fopen(path, "re");
    if (!file)
        return fail(cx, ERR_NOT_FOUND, "cannot open '%s': %m", path);
    struct http_call c = {.method = "PUT",
                          .url = arena_printf(cx->arena, "/images/%s/file", image_id),
                          .timeout_ms = IMAGE_TIMEOUT_MS,
                          .body_file = file};
    struct err *e = call(cx, u, &c, "export", &answer);
    fclose(file);
    return e;
}
