/* SPDX-License-Identifier: EUPL-1.2 */
/* createImage: the root disk becomes an image while the server goes on. Nothing else is done to the
 * server until the image service says how it ended. */
#include "compute/impl.h"

#define WHEN (TO(ST_ACTIVE) | TO(ST_SHUTOFF) | TO(ST_PAUSED) | TO(ST_SUSPENDED))

static struct err *read_body(struct call *c, const json_t *args, const char **ret_name,
                             const json_t **ret_metadata)
{
    const char *key;
    json_t *v, *canonical = NULL;
    *ret_name = NULL;
    *ret_metadata = NULL;
    if (!json_is_object(args))
        return bad_member(c, "createImage", args, "it is not of type 'object'");
    json_object_foreach(
        (json_t *)(uintptr_t)args, key,
        v) if (!str_eq(key, "name") &&
               !str_eq(key,
                       "metadata")) return bad_member(c, "createImage", args,
                                                      arena_printf(c->cx->arena,
                                                                   "Additional properties are not "
                                                                   "allowed ('%s' was unexpected)",
                                                                   key));
    const json_t *name = json_get(args, "name");
    *ret_name = json_string_value(name);
    if (!name)
        return bad_member(c, "createImage", args, "'name' is a required property");
    if (!*ret_name || !**ret_name || str_utf8_len(*ret_name) > 255)
        return bad_member(c, "name", name, "a text of 1 to 255 characters is needed");
    const char *reason = check_name(c->cx, name, &canonical);
    if (reason)
        return bad_member(c, "name", name, reason);
    *ret_metadata = json_get(args, "metadata");
    if (!*ret_metadata)
        return NULL;
    TRY(check_metadata(c, *ret_metadata));
    return check_metadata_count(c, json_text(c->cx, *ret_metadata));
}

/* What the image says of where it comes from; the caller's own words have the last one. */
static const char *properties_of(struct call *c, const struct server *s, const char *image_type,
                                 const json_t *metadata)
{
    json_t *j = json_own(c->cx, json_object());
    json_object_set_new(j, "image_type", json_string(image_type));
    json_object_set_new(j, "instance_uuid", json_string(s->id));
    json_object_set_new(j, "user_id", json_string(s->user_id));
    json_object_set_new(j, "base_image_ref", json_string(s->image_id ? s->image_id : ""));
    json_object_set_new(j, "owner_project_name",
                        json_string(s->project_name ? s->project_name : ""));
    if (json_is_object(metadata))
        json_object_update(j, (json_t *)(uintptr_t)metadata);
    return json_text(c->cx, j);
}

/* As large as the disk may be: so that it fits where it is used again. */
static struct err *min_sizes(struct call *c, const struct server *s, struct image_export *x)
{
    struct image_info base;
    bool found = false;
    if (s->image_id)
        TRY(image_get_any(c->cx, c->tx, s->image_id, &base, &found));
    x->min_ram_mib = found ? base.min_ram_mib : 0;
    x->min_disk_gib = max_i64(found ? base.min_disk_gib : 0, s->root_gib);
    return NULL;
}

struct err *server_export(struct call *c, struct server *s, const char *name,
                          const json_t *metadata, bool held)
{
    struct image_export x = {.source = EXPORT_SERVER,
                             .source_id = s->id,
                             .host_id = s->host_id,
                             .name = name,
                             .disk_format = "qcow2",
                             .container_format = "bare",
                             .visibility = "private",
                             .properties = properties_of(c, s, "snapshot", metadata),
                             .held = held};
    TRY(min_sizes(c, s, &x));
    return image_export_begin(c, &x, &s->export_image);
}

static struct err *reply(struct call *c, const char *image_id)
{
    call_reply_empty(c, 202);
    if (c->microversion < 45) {
        http_reply_header(
            c->rp, c->cx, "Location",
            arena_printf(c->cx->arena, "%s/image/v2/images/%s", c->rq->base_url, image_id));
        return NULL;
    }
    struct jw w = call_json(c, 202);
    jw_obj(&w);
    jw_kstr(&w, "image_id", image_id);
    jw_obj_end(&w);
    return NULL;
}

struct err *act_create_image(struct call *c, struct server *s, const json_t *args)
{
    const char *name;
    const json_t *metadata;
    TRY(read_body(c, args, &name, &metadata));
    if (!(TO(state_of(s)) & WHEN) || s->export_image)
        return server_refuse(c, s, "createImage");
    TRY(action_record(c, s, "createImage", "compute_snapshot_instance", RECORD_APART));
    TRY(server_export(c, s, name, metadata, false));
    TRY(res_update(c->cx, c->tx, &server_resource, s));
    return reply(c, s->export_image);
}

/* ---------------------------------------------------------------- its end */

struct err *server_exported(struct ctx *cx, struct tx *tx, const char *server_id,
                            const char *image_id, const char *error)
{
    void *row = NULL;
    TRY(res_get(cx, tx, &server_resource, server_id, &row));
    struct server *s = row;
    if (!s || !str_eq(s->export_image, image_id))
        return NULL;
    s->export_image = NULL;
    TRY(action_finish(cx, tx, s, "createImage", !error));
    return res_update(cx, tx, &server_resource, s);
}

struct err *server_export_cancel(struct ctx *cx, struct tx *tx, struct server *s)
{
    if (!s->export_image)
        return NULL;
    s->export_image = NULL;
    TRY(action_finish(cx, tx, s, "createImage", false));
    return image_export_cancel(cx, tx, EXPORT_SERVER, s->id);
}
