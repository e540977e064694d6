/* SPDX-License-Identifier: EUPL-1.2 */
/* A server's metadata: the whole map, or one key. */
#include "compute/impl.h"

static json_t *map_of(struct ctx *cx, const struct server *s)
{
    json_t *j = NULL;
    struct err *e = json_read(cx, s->metadata, strlen(s->metadata), &j);
    must(!e);
    return j;
}

static struct err *reply(struct call *c, const char *wrapper, const json_t *value)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kjson(&w, wrapper, value);
    jw_obj_end(&w);
    return NULL;
}

/* Checked by the same table as at creation. */
struct err *check_metadata(struct call *c, const json_t *map)
{
    struct server *in = res_new(c->cx, &server_resource);
    json_t *obj = json_own(c->cx, json_object());
    json_object_set_new(obj, "name", json_string("x"));
    json_object_set_new(obj, "flavorRef", json_string("x"));
    json_object_set(obj, "metadata", (json_t *)(uintptr_t)map);
    return res_decode(c->cx, c->service->family, &server_resource, obj, DECODE_CREATE,
                      c->microversion, false, in);
}

static struct err *save(struct call *c, struct server *s, const json_t *map)
{
    TRY(server_check_lock(c, s));
    s->metadata = json_text(c->cx, map);
    TRY(check_metadata_count(c, s->metadata));
    return server_save(c->cx, c->tx, s);
}

struct err *meta_list(struct call *c)
{
    return reply(c, "metadata", map_of(c->cx, c->target));
}

static struct err *change(struct call *c, bool merge)
{
    const json_t *given;
    TRY(body_object(c, "metadata", &given));
    TRY(check_metadata(c, given));
    json_t *map = merge ? map_of(c->cx, c->target) : json_own(c->cx, json_object());
    json_object_update(map, (json_t *)(uintptr_t)given);
    TRY(save(c, c->target, map));
    return reply(c, "metadata", map);
}

struct err *meta_merge(struct call *c)
{
    return change(c, true);
}

struct err *meta_replace(struct call *c)
{
    return change(c, false);
}

static struct err *reply_one(struct call *c, const json_t *map)
{
    json_t *one = json_own(c->cx, json_object());
    json_object_set(one, call_param(c, "key"), json_object_get(map, call_param(c, "key")));
    return reply(c, "meta", one);
}

static struct err *missing(struct call *c)
{
    return fail(c->cx, ERR_NOT_FOUND, "Metadata item was not found");
}

struct err *meta_show(struct call *c)
{
    const json_t *map = map_of(c->cx, c->target);
    return json_get(map, call_param(c, "key")) ? reply_one(c, map) : missing(c);
}

struct err *meta_set(struct call *c)
{
    const json_t *given;
    TRY(body_object(c, "meta", &given));
    if (json_object_size(given) != 1 || !json_get(given, call_param(c, "key")))
        return fail(c->cx, ERR_INVALID, "Request body and URI mismatch");
    TRY(check_metadata(c, given));
    json_t *map = map_of(c->cx, c->target);
    json_object_update(map, (json_t *)(uintptr_t)given);
    TRY(save(c, c->target, map));
    return reply_one(c, map);
}

struct err *meta_delete(struct call *c)
{
    json_t *map = map_of(c->cx, c->target);
    if (json_object_del(map, call_param(c, "key")) != 0)
        return missing(c);
    TRY(save(c, c->target, map));
    call_reply_empty(c, 204);
    return NULL;
}
