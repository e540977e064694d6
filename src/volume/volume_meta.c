/* SPDX-License-Identifier: EUPL-1.2 */
/* Metadata of volumes and snapshots: the whole map, or one key. */
#include "volume/impl.h"

/* The column of the route's target, which may be either. */
static const char **column(struct call *c)
{
    return c->route->target == &volume_resource ? &((struct volume *)c->target)->metadata
                                                : &((struct snapshot *)c->target)->metadata;
}

static json_t *map_of(struct call *c)
{
    json_t *j = NULL;
    struct err *e = json_read(c->cx, *column(c), strlen(*column(c)), &j);
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
static struct err *check_map(struct call *c, const json_t *map)
{
    void *in = arena_memdup(c->cx->arena, c->target, c->route->target->row_size);
    json_t *obj = json_own(c->cx, json_object());
    json_object_set(obj, "metadata", (json_t *)(uintptr_t)map);
    return res_decode(c->cx, c->service->family, c->route->target, obj, DECODE_UPDATE,
                      c->microversion, false, in);
}

static struct err *save(struct call *c, const json_t *map)
{
    *column(c) = json_text(c->cx, map);
    return res_update(c->cx, c->tx, c->route->target, c->target);
}

struct err *volume_meta_list(struct call *c)
{
    return reply(c, "metadata", map_of(c));
}

static struct err *change(struct call *c, bool merge)
{
    const json_t *given;
    TRY(volume_body_object(c, "metadata", &given));
    TRY(check_map(c, given));
    json_t *map = merge ? map_of(c) : json_own(c->cx, json_object());
    json_object_update(map, (json_t *)(uintptr_t)given);
    TRY(save(c, map));
    return reply(c, "metadata", map);
}

struct err *volume_meta_merge(struct call *c)
{
    return change(c, true);
}

struct err *volume_meta_replace(struct call *c)
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
    bool volume = c->route->target == &volume_resource;
    return fail(c->cx, ERR_NOT_FOUND, "%s %s has no metadata with key %s.",
                volume ? "Volume" : "Snapshot",
                volume ? ((struct volume *)c->target)->id : ((struct snapshot *)c->target)->id,
                call_param(c, "key"));
}

struct err *volume_meta_show(struct call *c)
{
    const json_t *map = map_of(c);
    return json_get(map, call_param(c, "key")) ? reply_one(c, map) : missing(c);
}

struct err *volume_meta_set(struct call *c)
{
    const json_t *given;
    TRY(volume_body_object(c, "meta", &given));
    if (json_object_size(given) != 1 || !json_get(given, call_param(c, "key")))
        return fail(c->cx, ERR_INVALID, "Request body and URI mismatch");
    TRY(check_map(c, given));
    json_t *map = map_of(c);
    json_object_update(map, (json_t *)(uintptr_t)given);
    TRY(save(c, map));
    return reply_one(c, map);
}

struct err *volume_meta_delete(struct call *c)
{
    json_t *map = map_of(c);
    if (json_object_del(map, call_param(c, "key")) != 0)
        return missing(c);
    TRY(save(c, map));
    call_reply_empty(c, 200);
    return NULL;
}
