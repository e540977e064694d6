/* SPDX-License-Identifier: EUPL-1.2 */
/* createBackup: an image as createImage makes, of which only the newest few are kept; the others go
 * when it is there. */
#include "compute/impl.h"

struct backup {
    const char *name, *type;
    int64_t rotation;
    const json_t *metadata;
};

static struct err *read_text(struct call *c, const json_t *args, const char *name, const char **ret)
{
    const json_t *v = json_get(args, name);
    *ret = json_string_value(v);
    if (!v)
        return bad_member(c, "createBackup", args,
                          arena_printf(c->cx->arena, "'%s' is a required property", name));
    if (!*ret || !**ret || str_utf8_len(*ret) > 255)
        return bad_member(c, name, v, "a text of 1 to 255 characters is needed");
    return NULL;
}

static struct err *read_backup(struct call *c, const json_t *args, struct backup *ret)
{
    TRY(ONLY_MEMBERS(c, "createBackup", args, "name", "backup_type", "rotation", "metadata"));
    TRY(read_text(c, args, "name", &ret->name));
    TRY(read_text(c, args, "backup_type", &ret->type));
    const json_t *rotation = json_get(args, "rotation");
    ret->rotation = json_is_integer(rotation) ? json_integer_value(rotation) : -1;
    if (json_is_string(rotation))
        str_to_i64(json_string_value(rotation), 0, INT32_MAX, &ret->rotation);
    if (ret->rotation < 0)
        return bad_member(c, "rotation", rotation, "a number that is not negative is needed");
    ret->metadata = json_get(args, "metadata");
    return ret->metadata ? check_metadata(c, ret->metadata) : NULL;
}

/* By what backups of one kind are known; the caller's metadata can't change it. */
static json_t *marks(struct ctx *cx, const struct server *s, const char *type)
{
    return json_own(cx, json_pack("{s:s, s:s, s:s}", "image_type", "backup", "backup_type", type,
                                  "instance_uuid", s->id));
}

struct err *act_create_backup(struct call *c, struct server *s, const json_t *args)
{
    struct backup b = {0};
    TRY(read_backup(c, args, &b));
    if (!(TO(state_of(s)) & IMAGEABLE) || s->export_image)
        return server_refuse(c, s, "createBackup");
    if (!s->image_spec)
        return fail(c->cx, ERR_INVALID, "Backup is not supported for volume-backed instances.");
    json_t *properties = json_own(c->cx, json_object());
    if (b.metadata)
        json_object_update(properties, (json_t *)(uintptr_t)b.metadata);
    json_object_update(properties, marks(c->cx, s, b.type));
    TRY(action_record(c, s, "createBackup", "compute_backup_instance", RECORD_APART));
    TRY(server_export(c, s, b.name, properties, false));
    s->backup = json_text(c->cx, json_own(c->cx, json_pack("{s:s, s:I}", "type", b.type, "rotation",
                                                           (json_int_t)b.rotation)));
    TRY(res_update(c->cx, c->tx, &server_resource, s));
    return reply_image(c, s->export_image);
}

struct err *server_backed_up(struct ctx *cx, struct tx *tx, struct server *s, const char *image_id,
                             const char *error)
{
    struct image_info image;
    json_t *j = NULL;
    bool found;
    TRY(json_read(cx, s->backup, strlen(s->backup), &j));
    s->backup = NULL;
    TRY(action_finish(cx, tx, s, "createBackup", !error));
    TRY(image_get_any(cx, tx, image_id, &image, &found));
    if (error || !found)
        return NULL;
    return image_keep_newest(cx, tx, image.owner,
                             json_text(cx, marks(cx, s, json_get_str(j, "type"))),
                             json_get_int(j, "rotation", 0));
}
