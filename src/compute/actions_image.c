/* SPDX-License-Identifier: EUPL-1.2 */
/* createImage: the root disk becomes an image while the server goes on. Nothing else is done to the
 * server until the image service says how it ended. Of a server on volumes there are snapshots, and
 * an image without data that names them. */
#include "compute/impl.h"

static struct err *read_body(struct call *c, const json_t *args, const char **ret_name,
                             const json_t **ret_metadata)
{
    json_t *canonical = NULL;
    *ret_name = NULL;
    *ret_metadata = NULL;
    TRY(ONLY_MEMBERS(c, "createImage", args, "name", "metadata"));
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
static json_t *properties_of(struct call *c, const struct server *s, const json_t *metadata)
{
    json_t *j = json_own(c->cx, json_object());
    json_object_set_new(j, "image_type", json_string("snapshot"));
    json_object_set_new(j, "instance_uuid", json_string(s->id));
    json_object_set_new(j, "user_id", json_string(s->user_id));
    json_object_set_new(j, "base_image_ref", json_string(s->image_id ? s->image_id : ""));
    json_object_set_new(j, "owner_project_name",
                        json_string(s->project_name ? s->project_name : ""));
    if (json_is_object(metadata))
        json_object_update(j, (json_t *)(uintptr_t)metadata);
    return j;
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

static struct err *export_of(struct call *c, const struct server *s, const char *name,
                             const json_t *properties, struct image_export *ret)
{
    *ret = (struct image_export){.source = EXPORT_SERVER,
                                 .source_id = s->id,
                                 .host_id = s->host_id,
                                 .name = name,
                                 .disk_format = "qcow2",
                                 .container_format = "bare",
                                 .visibility = "private",
                                 .properties = json_text(c->cx, properties)};
    return min_sizes(c, s, ret);
}

struct err *server_export(struct call *c, struct server *s, const char *name,
                          const json_t *metadata, bool held)
{
    struct image_export x;
    TRY(export_of(c, s, name, properties_of(c, s, metadata), &x));
    x.held = held;
    return image_export_begin(c, &x, &s->export_image);
}

/* ---------------------------------------------------------------- of a server on volumes */

static struct err *snapshot_use(struct call *c, const struct volume_use *u, const char *name,
                                json_t *mapping)
{
    const char *id;
    TRY(volume_snapshot_for(c, u->volume_id, arena_printf(c->cx->arena, "snapshot for %s", name),
                            &id));
    json_t *d = json_object();
    json_object_set_new(d, "source_type", json_string("snapshot"));
    json_object_set_new(d, "destination_type", json_string("volume"));
    json_object_set_new(d, "snapshot_id", json_string(id));
    json_object_set_new(d, "volume_size", json_integer(u->size_gib));
    json_object_set_new(d, "device_name", json_string(u->device));
    json_object_set_new(d, "delete_on_termination", json_boolean(u->delete_on_termination));
    json_object_set_new(d, "boot_index",
                        u->boot_index < 0 ? json_null() : json_integer(u->boot_index));
    json_array_append_new(mapping, d);
    return NULL;
}

static struct err *describe_volumes(struct call *c, const struct server *s, const char *name,
                                    const json_t *metadata, const char **ret_image_id)
{
    json_t *mapping = json_own(c->cx, json_array()), *j = properties_of(c, s, metadata);
    struct image_export x;
    struct volume_use *uses;
    size_t n;
    TRY(server_uses(c->cx, c->tx, s->id, &uses, &n));
    for (size_t i = 0; i < n; i++)
        if (uses[i].state != USE_DETACHING)
            TRY(snapshot_use(c, &uses[i], name, mapping));
    json_object_set_new(j, "bdm_v2", json_string("True"));
    json_object_set_new(j, "root_device_name", json_string("/dev/vda"));
    json_object_set_new(j, "block_device_mapping", json_string(json_text(c->cx, mapping)));
    TRY(export_of(c, s, name, j, &x));
    return image_describe(c, &x, ret_image_id);
}

/* ---------------------------------------------------------------- the action */

struct err *reply_image(struct call *c, const char *image_id)
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
    const char *name, *image_id;
    const json_t *metadata;
    TRY(read_body(c, args, &name, &metadata));
    if (!(TO(state_of(s)) & IMAGEABLE) || s->export_image)
        return server_refuse(c, s, "createImage");
    bool on_disk = s->image_spec != NULL;
    TRY(action_record(c, s, "createImage", "compute_snapshot_instance",
                      on_disk ? RECORD_APART : RECORD_DONE));
    if (!on_disk) {
        TRY(describe_volumes(c, s, name, metadata, &image_id));
        return reply_image(c, image_id);
    }
    TRY(server_export(c, s, name, metadata, false));
    TRY(res_update(c->cx, c->tx, &server_resource, s));
    return reply_image(c, s->export_image);
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
    if (state_of(s) == ST_SHELVING_IMAGE) {
        TRY(server_shelve_exported(cx, tx, s, image_id, error));
        return server_save(cx, tx, s);
    }
    if (s->backup)
        TRY(server_backed_up(cx, tx, s, image_id, error));
    TRY(action_finish(cx, tx, s, "createImage", !error));
    return res_update(cx, tx, &server_resource, s);
}

struct err *server_export_cancel(struct ctx *cx, struct tx *tx, struct server *s)
{
    if (!s->export_image)
        return NULL;
    s->export_image = s->backup = NULL;
    TRY(action_finish(cx, tx, s, "createImage", false));
    TRY(action_finish(cx, tx, s, "createBackup", false));
    return image_export_cancel(cx, tx, EXPORT_SERVER, s->id);
}
