/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Screens and serial lines: who may see a server gets a URL with a token; whoever comes with the
 * token gets a websocket, whose bytes go to and from the server's host.
 */
#include "compute/impl.h"
#include "http/websocket.h"

#define TOKEN_TTL_US (600 * INT64_C(1000000))
#define IDLE_MS (3600 * 1000)

#define RESOURCE console_token
#define RESOURCE_DEF "compute/console_token.def"
#include "resource/declare_fields.h"

const struct resource console_token_resource = {.name = "console",
                                                .plural = "consoles",
                                                .table = "console_tokens",
                                                RESOURCE_FIELDS(console_token),
                                                .owner = -1,
                                                .not_found = "Console token not found: %s",
                                                .dflt_sort = "id",
                                                .doc = "Leave to use a server's console."};

const struct stmt stmt_console_tokens_stale = {
    "console_tokens_stale", "SELECT 1 FROM console_tokens WHERE expires_at < $1 LIMIT 1"};
const struct stmt stmt_console_tokens_purge = {"console_tokens_purge",
                                               "DELETE FROM console_tokens WHERE expires_at < $1"};

/* nova's types that there are, and what of the guest they are. */
static const struct console_type {
    const char *protocol, *type, *kind;
} types[] = {{"vnc", "novnc", "vnc"}, {"serial", "serial", "serial"}};

static const struct console_type *type_of(const char *protocol, const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_eq(types[i].protocol, protocol) && str_eq(types[i].type, type))
            return &types[i];
    return NULL;
}

static const char *new_token(struct ctx *cx)
{
    uint8_t raw[32];
    rng_bytes(cx->rng, raw, sizeof(raw));
    const char *text = base64url_encode(cx, raw, sizeof(raw));
    secret_wipe(raw, sizeof(raw));
    return text;
}

static const char *hash_of(struct ctx *cx, const char *token)
{
    return sha256_hex(cx, token, strlen(token));
}

/* The page that noVNC brings (cmd/console_files.c), told where its websocket is; or the websocket.
 */
static const char *url_of(struct call *c, const struct console_type *t, const char *token)
{
    const char *base = c->rq->base_url;
    if (str_eq(t->kind, "vnc"))
        return arena_printf(c->cx->arena,
                            "%s/console/vnc_lite.html?path=console%%2Fwebsocket%%3Ftoken%%3D%s",
                            base, token);
    return arena_printf(c->cx->arena, "ws%s/console/websocket?token=%s", base + strlen("http"),
                        token);
}

static struct err *give(struct call *c, const struct server *s, const char *protocol,
                        const char *type, const char **ret_url)
{
    const struct console_type *t = type_of(protocol, type);
    if (!t)
        return fail(c->cx, ERR_INVALID, "Unavailable console type %s.", type);
    TRY(server_check_lock(c, s));
    if (!s->host_id || !s->launched_at || !str_eq(s->seen_power, seen_power_name(SEEN_ON)))
        return fail(c->cx, ERR_CONFLICT, "Instance %s is not ready", s->id);
    const char *token = new_token(c->cx);
    struct console_token *row = res_new(c->cx, &console_token_resource);
    row->id = hash_of(c->cx, token);
    row->server_id = s->id;
    row->host_id = s->host_id;
    row->kind = t->kind;
    row->expires_at = now_us(c->cx) + TOKEN_TTL_US;
    *ret_url = url_of(c, t, token);
    return res_insert(c->cx, c->tx, &console_token_resource, row);
}

/* ---- the older forms: actions, until 2.5 ---- */

static struct err *act_console(struct call *c, struct server *s, const json_t *args,
                               const char *protocol)
{
    const char *type = json_get_str(args, "type"), *url = NULL;
    if (!type || json_object_size(args) != 1)
        return bad_member(c, "type", json_get(args, "type"), "it is not a console's type");
    TRY(give(c, s, protocol, type, &url));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "console");
    jw_kstr(&w, "type", type);
    jw_kstr(&w, "url", url);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *act_vnc_console(struct call *c, struct server *s, const json_t *args)
{
    return act_console(c, s, args, "vnc");
}

struct err *act_serial_console(struct call *c, struct server *s, const json_t *args)
{
    return act_console(c, s, args, "serial");
}

struct err *act_spice_console(struct call *c, struct server *s, const json_t *args)
{
    return act_console(c, s, args, "spice");
}

struct err *act_rdp_console(struct call *c, struct server *s, const json_t *args)
{
    return act_console(c, s, args, "rdp");
}

/* ---- since 2.6 ---- */

struct err *remote_console_create(struct call *c)
{
    const json_t *want;
    const char *url = NULL;
    TRY(body_object(c, "remote_console", &want));
    const char *protocol = json_get_str(want, "protocol"), *type = json_get_str(want, "type");
    if (!protocol)
        return bad_member(c, "protocol", json_get(want, "protocol"),
                          "it is not one of ['vnc', 'spice', 'rdp', 'serial', 'mks']");
    if (!type || json_object_size(want) != 2)
        return bad_member(c, "type", json_get(want, "type"), "it is not a console's type");
    TRY(give(c, c->target, protocol, type, &url));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "remote_console");
    jw_kstr(&w, "protocol", protocol);
    jw_kstr(&w, "type", type);
    jw_kstr(&w, "url", url);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* Its row while it is valid, else NULL. */
static struct err *find_token(struct call *c, const char *token, struct console_token **ret)
{
    void *row = NULL;
    *ret = NULL;
    if (!token || strlen(token) > 128)
        return NULL;
    TRY(res_get(c->cx, c->tx, &console_token_resource, hash_of(c->cx, token), &row));
    struct console_token *t = row;
    *ret = t && t->expires_at > now_us(c->cx) ? t : NULL;
    return NULL;
}

struct err *console_token_show(struct call *c)
{
    struct console_token *t;
    struct fleet_host host;
    TRY(find_token(c, call_param(c, "token"), &t));
    if (!t)
        return fail(c->cx, ERR_NOT_FOUND, "Token not found");
    TRY(fleet_host_get(c->cx, c->tx, t->host_id, &host));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "console");
    jw_kstr(&w, "instance_uuid", t->server_id);
    jw_kstr(&w, "host", host.name);
    jw_kint(&w, "port", 0);
    jw_kstr(&w, "internal_access_path",
            arena_printf(c->cx->arena, "/servers/%s/%s", t->server_id, t->kind));
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* ---- the websocket ---- */

/* In the request's arena, which outlives the relay. */
struct screen {
    struct http_takeover takeover;
    struct fleet_host host;
    const char *path;
    bool allowed;
};

static void run_screen(void *arg, int ws, const char *early, size_t n_early)
{
    struct screen *s = arg;
    AUTO_CTX struct ctx cx;
    int fd = -1;
    struct buf head;
    ctx_init(&cx);
    buf_init(&head, cx.arena);
    struct err *e = s->allowed ? fleet_stream(&cx, &s->host, s->path, &fd, &head) : NULL;
    if (e)
        log_err(&cx, LOG_WARN, e, "a console can't be reached", "path", s->path, NULL);
    websocket_relay(ws, early, n_early, fd, head.data, head.len, IDLE_MS);
    fleet_stream_end(&fd);
}

/* A bad token is told by closing at once: browsers show pages nothing of a refused handshake. */
struct err *console_websocket(struct call *c)
{
    struct console_token *t;
    struct screen *s = arena_new_of(c->cx->arena, struct screen);
    TRY(find_token(c, http_arg(c->rq, "token"), &t));
    s->takeover = (struct http_takeover){.run = run_screen, .arg = s};
    s->allowed = t != NULL;
    if (t) {
        TRY(fleet_host_get(c->cx, c->tx, t->host_id, &s->host));
        s->path = arena_printf(c->cx->arena, "/servers/%s/%s", t->server_id, t->kind);
    }
    return websocket_accept(c->rq, c->rp, &s->takeover);
}
