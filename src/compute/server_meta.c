/* SPDX-License-Identifier: EUPL-1.2 */
/* Metadata, of a server and (until 2.38) of an image: the whole map, or one key. */
#include "compute/impl.h"

/* What has metadata. */
struct holder {
    struct err *(*load)(struct call *c, json_t **ret);
    struct err *(*save)(struct call *c, const json_t *map);
};

/* ---------------------------------------------------------------- servers and images */

static struct err *load_server(struct call *c, json_t **ret)
{
    const struct server *s = c->target;
    return json_read(c->cx, s->metadata, strlen(s->metadata), ret);
}

static struct err *save_server(struct call *c, const json_t *map)
{
    struct server *s = c->target;
    TRY(server_check_lock(c, s));
    s->metadata = json_text(c->cx, map);
    TRY(check_metadata_count(c, s->metadata));
    return server_save(c->cx, c->tx, s);
}

static struct err *load_image(struct call *c, json_t **ret)
{
    struct image_info image;
    struct err *e = image_get(c->cx, c->tx, call_param(c, "image_id"), c->actor, &image);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_NOT_FOUND, "Image not found.");
    TRY(e);
    return json_read(c->cx, image.properties, strlen(image.properties), ret);
}

static struct err *save_image(struct call *c, const json_t *map)
{
    const char *text = json_text(c->cx, map);
    TRY(check_metadata_count(c, text));
    return image_properties_set(c, call_param(c, "image_id"), text);
}

static const struct holder of_server = {load_server, save_server},
                           of_image = {load_image, save_image};

/* ---------------------------------------------------------------- the whole map */

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

static struct err *list(struct call *c, const struct holder *h)
{
    json_t *map = NULL;
    TRY(h->load(c, &map));
    return reply(c, "metadata", map);
}

static struct err *change(struct call *c, const struct holder *h, bool merge)
{
    const json_t *given;
    json_t *map = NULL;
    TRY(body_object(c, "metadata", &given));
    TRY(check_metadata(c, given));
    TRY(h->load(c, &map));
    if (!merge)
        json_object_clear(map);
    json_object_update(map, (json_t *)(uintptr_t)given);
    TRY(h->save(c, map));
    return reply(c, "metadata", map);
}

/* ---------------------------------------------------------------- one key */

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

static struct err *show(struct call *c, const struct holder *h)
{
    json_t *map = NULL;
    TRY(h->load(c, &map));
    return json_get(map, call_param(c, "key")) ? reply_one(c, map) : missing(c);
}

static struct err *set(struct call *c, const struct holder *h)
{
    const json_t *given;
    json_t *map = NULL;
    TRY(body_object(c, "meta", &given));
    if (json_object_size(given) != 1 || !json_get(given, call_param(c, "key")))
        return fail(c->cx, ERR_INVALID, "Request body and URI mismatch");
    TRY(check_metadata(c, given));
    TRY(h->load(c, &map));
    json_object_update(map, (json_t *)(uintptr_t)given);
    TRY(h->save(c, map));
    return reply_one(c, map);
}

static struct err *drop(struct call *c, const struct holder *h)
{
    json_t *map = NULL;
    TRY(h->load(c, &map));
    if (json_object_del(map, call_param(c, "key")) != 0)
        return missing(c);
    TRY(h->save(c, map));
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- handlers */

struct err *meta_list(struct call *c)
{
    return list(c, &of_server);
}

struct err *meta_merge(struct call *c)
{
    return change(c, &of_server, true);
}

struct err *meta_replace(struct call *c)
{
    return change(c, &of_server, false);
}

struct err *meta_show(struct call *c)
{
    return show(c, &of_server);
}

struct err *meta_set(struct call *c)
{
    return set(c, &of_server);
}

struct err *meta_delete(struct call *c)
{
    return drop(c, &of_server);
}

struct err *image_meta_list(struct call *c)
{
    return list(c, &of_image);
}

struct err *image_meta_merge(struct call *c)
{
    return change(c, &of_image, true);
}

struct err *image_meta_replace(struct call *c)
{
    return change(c, &of_image, false);
}

struct err *image_meta_show(struct call *c)
{
    return show(c, &of_image);
}

struct err *image_meta_set(struct call *c)
{
    return set(c, &of_image);
}

struct err *image_meta_delete(struct call *c)
{
    return drop(c, &of_image);
}
