/* SPDX-License-Identifier: EUPL-1.2 */
/* Volumes and images: an image made of a volume's data, and what a volume remembers of its image.
 */
#include "volume/impl.h"

/* ---------------------------------------------------------------- upload */

struct upload {
    const char *name, *container_format, *disk_format, *visibility;
    bool force, protect;
};

static struct err *read_upload(struct call *c, const json_t *args, struct upload *u)
{
    *u = (struct upload){.container_format = "bare", .disk_format = "raw", .visibility = "shared"};
    TRY(arg_text(c, args, "image_name", &u->name));
    TRY(arg_text(c, args, "container_format", &u->container_format));
    TRY(arg_text(c, args, "disk_format", &u->disk_format));
    TRY(arg_text(c, args, "visibility", &u->visibility));
    TRY(arg_bool(c, args, "force", &u->force));
    TRY(arg_bool(c, args, "protected", &u->protect));
    if (!u->name || !*u->name)
        return fail(c->cx, ERR_INVALID, "No image_name was specified in request.");
    if (str_eq(u->visibility, "public") && !c->actor->admin)
        return volume_forbidden(c, "volume_extension:volume_actions:upload_public");
    return NULL;
}

/* Texts alone: what servers made from it shall know, but not what is the old image's own. */
static const char *properties_of(struct call *c, const struct volume *v)
{
    static const char *const own[] = {"image_id",    "image_name", "checksum", "container_format",
                                      "disk_format", "min_disk",   "min_ram",  "size"};
    json_t *map = NULL;
    struct err *e = json_read(c->cx, v->image_metadata, strlen(v->image_metadata), &map);
    must(!e);
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        json_object_del(map, own[i]);
    return json_text(c->cx, map);
}

static struct err *reply_upload(struct call *c, const struct volume *v, const struct upload *u,
                                const char *image_id)
{
    void *type = NULL;
    TRY(res_get(c->cx, c->tx, &volume_type_resource, v->type_id, &type));
    struct jw w = call_json(c, 202);
    jw_obj(&w);
    jw_kobj(&w, "os-volume_upload_image");
    jw_kstr(&w, "id", v->id);
    jw_kstr(&w, "updated_at", time_iso(c->cx, v->updated_at, TIME_MICROS));
    jw_kstr(&w, "status", "uploading");
    jw_kstr(&w, "display_description", v->description);
    jw_kint(&w, "size", v->size_gib);
    jw_key(&w, "volume_type");
    volume_type_write(c->cx, &w, type);
    jw_kstr(&w, "image_id", image_id);
    jw_kstr(&w, "container_format", u->container_format);
    jw_kstr(&w, "disk_format", u->disk_format);
    jw_kstr(&w, "image_name", u->name);
    jw_kstr(&w, "visibility", u->visibility);
    jw_kbool(&w, "protected", u->protect);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *act_upload_image(struct call *c, struct volume *v, const json_t *args)
{
    struct upload u;
    const char *image_id;
    TRY(read_upload(c, args, &u));
    TRY(volume_begin(c, v, u.force ? VA_UPLOAD_IN_USE : VA_UPLOAD));
    const struct image_export x = {.source = EXPORT_VOLUME,
                                   .source_id = v->id,
                                   .host_id = v->host_id,
                                   .name = u.name,
                                   .disk_format = u.disk_format,
                                   .container_format = u.container_format,
                                   .visibility = u.visibility,
                                   .keep = u.protect,
                                   .min_disk_gib = v->size_gib,
                                   .properties = properties_of(c, v)};
    TRY(image_export_begin(c, &x, &image_id));
    TRY(volume_save(c->cx, c->tx, v));
    return reply_upload(c, v, &u, image_id);
}

struct err *volume_export_done(struct ctx *cx, struct tx *tx, const char *source_id,
                               const char *image_id UNUSED, const char *error)
{
    void *row = NULL;
    TRY(res_get(cx, tx, &volume_resource, source_id, &row));
    struct volume *v = row;
    if (!v || !v->wanted)
        return NULL;
    if (error)
        TRY(volume_message(cx, tx, v->project_id, "VOLUME", v->id, "copy volume to image",
                           "driver failed", error));
    return volume_settle(cx, tx, v, VS(VS_UPLOADING));
}

const struct stmt stmt_volume_copies_image = {
    "volume_copies_image",
    "SELECT 1 FROM volumes WHERE state = 'creating' AND image_id = $1 LIMIT 1"};

struct err *volume_copies_image(struct ctx *cx, struct tx *tx, const char *image_id, bool *ret)
{
    struct db_value id = V_TEXT(image_id);
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_volume_copies_image, &id, 1, &rows));
    *ret = rows.n_rows > 0;
    return NULL;
}

/* ---------------------------------------------------------------- metadata of its image */

static json_t *map_of(struct call *c, const struct volume *v)
{
    json_t *map = NULL;
    struct err *e = json_read(c->cx, v->image_metadata, strlen(v->image_metadata), &map);
    must(!e);
    return map;
}

static struct err *reply_map(struct call *c, const json_t *map)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kjson(&w, "metadata", map);
    jw_obj_end(&w);
    return NULL;
}

struct err *act_set_image_metadata(struct call *c, struct volume *v, const json_t *args)
{
    json_t *given = json_get(args, "metadata"), *value, *map = map_of(c, v);
    const char *key;
    if (!json_is_object(given))
        return fail(c->cx, ERR_INVALID, "Missing required element 'metadata' in request body.");
    json_object_foreach(given, key, value)
    {
        if (!*key || str_utf8_len(key) > 255 || !json_is_string(value) ||
            str_utf8_len(json_string_value(value)) > 255)
            return volume_bad_member(c, "metadata", value,
                                     "keys and values are texts of up to 255 characters");
        json_object_set(map, key, value);
    }
    if (json_object_size(map) > 128)
        return volume_bad_member(c, "metadata", given, "there would be more than 128 keys");
    v->image_metadata = json_text(c->cx, map);
    TRY(res_update(c->cx, c->tx, &volume_resource, v));
    return reply_map(c, map);
}

struct err *act_unset_image_metadata(struct call *c, struct volume *v, const json_t *args)
{
    const char *key = NULL;
    json_t *map = map_of(c, v);
    TRY(arg_text(c, args, "key", &key));
    if (!key)
        return fail(c->cx, ERR_INVALID, "Missing required element 'key' in request body.");
    if (json_object_del(map, key) != 0)
        return fail(c->cx, ERR_NOT_FOUND, "Metadata item was not found");
    v->image_metadata = json_text(c->cx, map);
    return res_update(c->cx, c->tx, &volume_resource, v);
}

struct err *act_show_image_metadata(struct call *c, struct volume *v, const json_t *args UNUSED)
{
    return reply_map(c, map_of(c, v));
}
