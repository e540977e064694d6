/* SPDX-License-Identifier: EUPL-1.2 */
/* The attachments API. Those made here are records for whoever brings the data to a machine of
 * their own: no server's host plugs anything because of them. */
#include "volume/impl.h"

static void encode_attached_at(struct ctx *cx, struct jw *w, const void *row,
                               const struct view *v UNUSED)
{
    const struct attachment *a = row;
    jw_str(w, a->attached_at ? time_iso(cx, a->attached_at, TIME_MICROS) : "");
}

static void encode_empty(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                         const struct view *v UNUSED)
{
    jw_str(w, "");
}

/* To whoever has said from where: its connector. */
static void encode_connection_info(struct ctx *cx, struct jw *w, const void *row,
                                   const struct view *v UNUSED)
{
    const struct attachment *a = row;
    jw_obj(w);
    if (a->row.extra && a->connector)
        volume_connection(cx, w, a->row.extra, a->mode);
    jw_obj_end(w);
}

#define RESOURCE attachment
#define RESOURCE_DEF "volume/attachment.def"
#include "resource/declare_fields.h"

/* Their volumes. */
static struct err *prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v)
{
    for (size_t i = 0; !v->brief && i < n; i++) {
        struct attachment *a = rows[i];
        if (a->connector)
            TRY(res_get(cx, tx, &volume_resource, a->volume_id, &a->row.extra));
    }
    return NULL;
}

static const struct res_index attachment_indexes[] = {
    {"attachments_project", "project_id, created_at, id", false, NULL},
    {"attachments_volume", "volume_id", false, NULL},
    {"attachments_server", "server_id", false, "server_id IS NOT NULL"},
    {"attachments_deadline", "state_deadline", false, "state_deadline IS NOT NULL"}};
const struct resource attachment_resource = {
    .name = "attachment",
    .plural = "attachments",
    .table = "attachments",
    RESOURCE_FIELDS(attachment),
    .owner = attachment_f_project_id,
    .not_found = "Volume attachment could not be found with filter: attachment_id = %s.",
    .indexes = attachment_indexes,
    .n_indexes = ARRAY_LEN(attachment_indexes),
    .time_style = TIME_MICROS,
    .prepare = prepare,
    .dflt_sort = "created_at:desc,id:desc",
    .doc = "Who uses a volume."};

/* ---------------------------------------------------------------- reading */

static struct err *list_filter(struct call *c, const char *name, const char *value UNUSED,
                               bool *ret_taken, const char **ret_sql)
{
    TRY(volume_check_filter(c, "attachment", name));
    *ret_taken = str_eq(name, "status");
    *ret_sql = *ret_taken ? "state = {value}" : NULL;
    return NULL;
}

static struct err *reply_list(struct call *c, bool brief)
{
    return call_reply_list(c, &attachment_resource,
                           &(struct list_more){.brief = brief, .filter = list_filter});
}

struct err *volume_attachment_list(struct call *c)
{
    return reply_list(c, true);
}

struct err *volume_attachment_list_detail(struct call *c)
{
    return reply_list(c, false);
}

struct err *volume_attachment_show(struct call *c)
{
    return call_reply_row(c, 200, &attachment_resource, c->target);
}

/* ---------------------------------------------------------------- changing */

struct err *volume_check_record(struct call *c, const struct attachment *a)
{
    if (!a->plugged)
        return NULL;
    return fail(c->cx, ERR_CONFLICT, "Detach volume from instance %s using the Compute API",
                a->server_id);
}

static struct err *read_connector(struct call *c, const json_t *args, struct attachment *a)
{
    const json_t *connector = json_get(args, "connector");
    if (!connector || json_is_null(connector))
        return NULL;
    if (!json_is_object(connector))
        return volume_bad_member(c, "connector", connector, "it is not of type 'object'");
    const char *text = json_text(c->cx, connector);
    if (strlen(text) > 16384)
        return volume_bad_member(c, "connector", NULL, "it is longer than 16384 bytes");
    if (!json_object_size(connector))
        return NULL;
    a->connector = text;
    a->host_name = json_get_str(connector, "host");
    a->device = json_get_str(connector, "mountpoint");
    if (c->microversion < 54)
        TRY(arg_text(c, connector, "mode", &a->mode));
    return NULL;
}

static struct err *read_create(struct call *c, struct attachment *a)
{
    const json_t *args;
    TRY(volume_body_object(c, "attachment", &args));
    TRY(arg_text(c, args, "volume_uuid", &a->volume_id));
    TRY(arg_text(c, args, "instance_uuid", &a->server_id));
    if (!a->volume_id)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field/attribute attachment. 'volume_uuid' is a required "
                    "property");
    if (a->server_id && !uuid_valid(a->server_id))
        return volume_bad_member(c, "instance_uuid", json_get(args, "instance_uuid"),
                                 "it is no UUID");
    if (c->microversion >= 54)
        TRY(arg_text(c, args, "mode", &a->mode));
    return read_connector(c, args, a);
}

static struct err *check_mode(struct call *c, const struct volume *v, struct attachment *a)
{
    if (!a->mode)
        a->mode = v->read_only == 1 ? "ro" : "rw";
    if (!str_eq(a->mode, "rw") && !str_eq(a->mode, "ro"))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field/attribute mode. Value: %s. It is "
                    "not one of ['rw', 'ro']",
                    a->mode);
    if (v->read_only == 1 && str_eq(a->mode, "rw"))
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Volume %s is read-only: it can't be attached in mode rw.",
                    v->id);
    return NULL;
}

struct err *volume_attachment_create(struct call *c)
{
    struct attachment *a = res_new(c->cx, &attachment_resource);
    struct volume *v;
    TRY(read_create(c, a));
    TRY(volume_get(c, a->volume_id, &v));
    if (volume_state_of(v) != VS_AVAILABLE || !v->seen_ready)
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Volume %s status must be available or downloading to "
                    "reserve, but the current status is %s.",
                    v->id, volume_life_of(volume_state_of(v))->status);
    TRY(check_mode(c, v, a));
    enum attach_state state = a->connector ? AT_ATTACHING : AT_RESERVED;
    a->id = uuid_new(c->cx);
    a->project_id = v->project_id;
    a->boot_index = -1;
    a->state = attach_life_of(state)->name;
    c->audit_target = a->id;
    TRY(res_insert(c->cx, c->tx, &attachment_resource, a));
    volume_move(c->cx, v, attach_life_of(state)->settled);
    TRY(res_update(c->cx, c->tx, &volume_resource, v));
    return call_reply_row(c, 200, &attachment_resource, a);
}

/* Saved, and the volume as it says. */
static struct err *move(struct call *c, struct attachment *a, enum attach_state to)
{
    void *row = NULL;
    if (to == AT_ATTACHED && !a->attached_at)
        a->attached_at = now_us(c->cx);
    attach_move(c->cx, a, to);
    TRY(res_update(c->cx, c->tx, &attachment_resource, a));
    TRY(res_find(c->cx, c->tx, &volume_resource, a->volume_id, &row));
    return volume_settle(c->cx, c->tx, row, 0);
}

struct err *volume_attachment_update(struct call *c)
{
    struct attachment *a = c->target;
    const json_t *args;
    TRY(volume_check_record(c, a));
    TRY(volume_body_object(c, "attachment", &args));
    TRY(read_connector(c, args, a));
    if (!a->connector)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field/attribute attachment. 'connector' is a required "
                    "property");
    enum attach_state now = attach_state_of(a);
    TRY(move(c, a, now == AT_RESERVED ? AT_ATTACHING : now));
    return call_reply_row(c, 200, &attachment_resource, a);
}

struct err *volume_attachment_action(struct call *c)
{
    struct attachment *a = c->target;
    const char *name;
    const json_t *args;
    TRY(volume_body_action(c, &name, &args));
    if (!str_eq(name, "os-complete"))
        return fail(c->cx, ERR_INVALID, "There is no such action: %s", name);
    TRY(volume_check_record(c, a));
    if (attach_state_of(a) == AT_DETACHING)
        return fail(c->cx, ERR_INVALID, "Invalid volume: Attachment %s is detaching.", a->id);
    TRY(move(c, a, AT_ATTACHED));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *volume_attachment_delete(struct call *c)
{
    struct attachment *a = c->target, **all;
    size_t n;
    struct view v = call_view(c);
    TRY(volume_check_record(c, a));
    TRY(attachment_end(c->cx, c->tx, a));
    TRY(attachments_of(c->cx, c->tx, a->volume_id, &all, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "attachments");
    for (size_t i = 0; i < n; i++)
        res_encode(c->cx, &w, &attachment_resource, all[i], &v);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}
