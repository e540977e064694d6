/* SPDX-License-Identifier: EUPL-1.2 */
/* Console output: asked of the server's host, before any transaction. */
#include "compute/impl.h"

struct err *server_load_host(struct call *c, struct server **ret, struct fleet_host *ret_host)
{
    AUTO_TXN struct tx *tx = NULL;
    void *row = NULL;
    TRY(tx_read(c->cx, c->store, &tx));
    TRY(res_find_visible(c->cx, tx, &server_resource, call_param(c, "server_id"), c->actor, &row));
    struct server *s = *ret = row;
    TRY(call_require_owner(c, s->project_id, &server_resource, s->id));
    if (!s->host_id || !s->launched_at)
        return fail(c->cx, ERR_CONFLICT, "Instance %s is not ready", s->id);
    return fleet_host_get(c->cx, tx, s->host_id, ret_host);
}

/* Serial lines may hold any byte: what is no UTF-8 becomes '?'. */
static const char *clean_text(struct ctx *cx, const struct buf *b)
{
    char *s = arena_strndup(cx->arena, b->len ? b->data : "", b->len);
    for (size_t i = 0; i < b->len; i++)
        if (!s[i] || ((unsigned char)s[i] < 0x20 && !strchr("\t\r\n\x1b", s[i])))
            s[i] = '?';
    if (str_utf8_len(s) < 0)
        for (size_t i = 0; i < b->len; i++)
            if ((unsigned char)s[i] >= 0x80)
                s[i] = '?';
    return s;
}

static const char *last_lines(const char *text, int64_t lines)
{
    const char *end = text + strlen(text), *p = end;
    if (p > text && p[-1] == '\n')
        p--;
    while (p > text && lines > 0) {
        p--;
        if (*p == '\n' && --lines == 0)
            return p + 1;
    }
    return lines ? text : end;
}

struct err *console_output(struct call *c, const json_t *args)
{
    struct server *s;
    struct fleet_host host;
    struct buf body;
    int status = 0;
    int64_t lines = -1;
    const json_t *length = json_get(args, "length");
    if (json_is_integer(length))
        lines = json_integer_value(length);
    else if (length && !json_is_null(length) &&
             !(json_is_string(length) &&
               str_to_i64(json_string_value(length), -1, INT32_MAX, &lines)))
        return bad_member(c, "length", length, "it is not of type 'integer'");
    if (lines < -1)
        return bad_member(c, "length", length, "it is less than the minimum of -1");
    TRY(server_load_host(c, &s, &host));
    buf_init(&body, c->cx->arena);
    const char *path = arena_printf(c->cx->arena, "/servers/%s/console", s->id);
    if (lines > 0)
        path = arena_printf(c->cx->arena, "%s?length=%" PRId64, path, min_i64(lines, 1000000));
    TRY(fleet_call(c->cx, &host, path, &body, &status));
    if (status != 200 && status != 404)
        return fail(c->cx, ERR_UNAVAILABLE,
                    "The host of instance %s could not read its console (status %d)", s->id,
                    status);
    if (status == 404)
        buf_clear(&body);
    const char *text = clean_text(c->cx, &body);
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kstr(&w, "output", lines >= 0 ? last_lines(text, lines) : text);
    jw_obj_end(&w);
    return NULL;
}
