/* SPDX-License-Identifier: EUPL-1.2 */
/* Volumes: lists with their filters, show, update, delete; and what compute asks of them. */
#include "volume/impl.h"

struct err *volume_get(struct call *c, const char *id, struct volume **ret)
{
    void *row = NULL;
    TRY(res_find_visible(c->cx, c->tx, &volume_resource, id ? id : "None", c->actor, &row));
    *ret = row;
    return NULL;
}

static struct volume_info info_of(const struct volume *v, const char *type_name)
{
    return (struct volume_info){.id = v->id,
                                .name = v->name ? v->name : "",
                                .status = volume_life_of(volume_state_of(v))->status,
                                .project_id = v->project_id,
                                .zone = v->zone,
                                .host_id = v->pool_id ? NULL : v->host_id,
                                .pool_id = v->pool_id,
                                .type_name = type_name,
                                .size_gib = v->size_gib,
                                .bootable = v->bootable,
                                .read_only = v->read_only == 1,
                                .image_metadata = v->image_metadata};
}

struct err *volume_find(struct ctx *cx, struct tx *tx, const char *id, const struct actor *actor,
                        struct volume_info *ret)
{
    void *row = NULL;
    struct db_rows types;
    TRY(res_find_visible(cx, tx, &volume_resource, id, actor, &row));
    const struct volume *v = row;
    TRY(volume_type_names(cx, tx, &types));
    *ret = info_of(v, volume_type_name(&types, v->type_id));
    return NULL;
}

/* The source's members of a request, as POST /volumes has them. */
static json_t *body_of(struct call *c, const struct volume_request *rq)
{
    json_t *obj = json_own(c->cx, json_object());
    json_object_set_new(obj, "name", rq->name ? json_string(rq->name) : json_null());
    json_object_set_new(obj, "volume_type", rq->type ? json_string(rq->type) : json_null());
    if (rq->size_gib)
        json_object_set_new(obj, "size", json_integer(rq->size_gib));
    if (rq->image_id)
        json_object_set_new(obj, "imageRef", json_string(rq->image_id));
    if (rq->snapshot_id)
        json_object_set_new(obj, "snapshot_id", json_string(rq->snapshot_id));
    if (rq->volume_id)
        json_object_set_new(obj, "source_volid", json_string(rq->volume_id));
    return obj;
}

struct err *volume_create_for(struct call *c, const struct volume_request *rq,
                              struct volume_info *ret)
{
    struct db_rows types;
    struct volume *v = res_new(c->cx, &volume_resource);
    TRY(res_decode(c->cx, c->service->family, &volume_resource, body_of(c, rq), DECODE_CREATE, 0,
                   c->actor->admin, v));
    TRY(volume_make(c, v, &(struct place_hint){.near_host_id = rq->host_id}));
    TRY(volume_type_names(c->cx, c->tx, &types));
    *ret = info_of(v, volume_type_name(&types, v->type_id));
    return NULL;
}

/* ---------------------------------------------------------------- lists */

static bool keep_row(struct call *c, const void *row)
{
    return volume_has_metadata(c, ((const struct volume *)row)->metadata);
}

static struct err *reply_list(struct call *c, bool brief)
{
    struct list_more more = {.brief = brief,
                             .count = volume_wants_count(c),
                             .filter = volume_filter,
                             .keep = http_arg(c->rq, "metadata") ? keep_row : NULL};
    return call_reply_list(c, &volume_resource, &more);
}

struct err *volume_list(struct call *c)
{
    return reply_list(c, true);
}

struct err *volume_list_detail(struct call *c)
{
    return reply_list(c, false);
}

/* ---------------------------------------------------------------- one */

struct err *volume_show(struct call *c)
{
    return call_reply_row(c, 200, &volume_resource, c->target);
}

/* No volume is encrypted. */
struct err *volume_encryption_of(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_knull(&w, "encryption_key_id");
    jw_obj_end(&w);
    return NULL;
}

struct err *volume_update(struct call *c)
{
    struct volume *v = c->body;
    if (row_given(&v->row, volume_f_want_name))
        v->name = v->want_name;
    if (row_given(&v->row, volume_f_want_description))
        v->description = v->want_description;
    TRY(res_update(c->cx, c->tx, &volume_resource, v));
    return call_reply_row(c, 200, &volume_resource, v);
}

/* ---------------------------------------------------------------- summary */

const struct stmt stmt_volume_summary = {
    "volume_summary", "SELECT COUNT(*), CAST(COALESCE(SUM(size_gib), 0) AS BIGINT) FROM volumes "
                      "WHERE project_id = $1"};
const struct stmt stmt_volume_summary_all = {
    "volume_summary_all",
    "SELECT COUNT(*), CAST(COALESCE(SUM(size_gib), 0) AS BIGINT) FROM volumes"};
const struct res_where volumes_of_project = {&volume_resource, "project_id = $1", "id"};
const struct res_where volumes_of_all = {&volume_resource, "1 = 1", "id"};

/* Each key with the list of its values among all volumes. */
static struct err *write_all_metadata(struct call *c, struct jw *w, bool all)
{
    void **rows;
    size_t n;
    struct db_value project = V_TEXT(c->actor->project_id);
    json_t *sum = json_own(c->cx, json_object()), *map, *value;
    const char *key;
    TRY(res_select(c->cx, c->tx, all ? &volumes_of_all : &volumes_of_project, &project, all ? 0 : 1,
                   &rows, &n));
    for (size_t i = 0; i < n; i++) {
        const char *text = ROW(volume, rows, i)->metadata;
        TRY(json_read(c->cx, text, strlen(text), &map));
        json_object_foreach(map, key, value)
        {
            json_t *values = json_object_get(sum, key);
            bool known = false;
            if (!values)
                json_object_set_new(sum, key, values = json_array());
            for (size_t k = 0; k < json_array_size(values); k++)
                known = known || json_equal(json_array_get(values, k), value);
            if (!known)
                json_array_append(values, value);
        }
    }
    jw_kjson(w, "metadata", sum);
    return NULL;
}

struct err *volume_summary(struct call *c)
{
    const char *text = http_arg(c->rq, "all_tenants");
    struct db_value project = V_TEXT(c->actor->project_id);
    struct db_rows rows;
    bool all = false;
    if (text && *text && !str_to_bool(text, &all))
        return fail(c->cx, ERR_INVALID, "Invalid value for all_tenants: '%s' is not a boolean",
                    text);
    all = all && c->actor->admin;
    TRY(db_query(c->cx, c->tx, all ? &stmt_volume_summary_all : &stmt_volume_summary, &project,
                 all ? 0 : 1, &rows));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "volume-summary");
    jw_kint(&w, "total_size", db_int(&rows, 0, 1));
    jw_kint(&w, "total_count", db_int(&rows, 0, 0));
    if (c->microversion >= 36)
        TRY(write_all_metadata(c, &w, all));
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- delete */

/* Neither it nor a snapshot of it is being copied. */
static struct err *check_no_copies(struct call *c, const struct volume *v, void **snapshots,
                                   size_t n)
{
    bool source;
    TRY(volume_is_source(c->cx, c->tx, v->id, &source));
    for (size_t i = 0; i < n && !source; i++)
        TRY(snapshot_is_source(c->cx, c->tx, ROW(snapshot, snapshots, i)->id, &source));
    if (!source)
        return NULL;
    return fail(c->cx, ERR_INVALID,
                "Invalid volume: Volume %s is being copied to a new volume: delete it when that is "
                "available.",
                v->id);
}

static struct err *check_snapshots(struct call *c, const struct volume *v, bool cascade,
                                   void **snapshots, size_t n)
{
    if (n && !cascade)
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Volume %s still has %zu dependent snapshots.", v->id, n);
    for (size_t i = 0; i < n; i++) {
        enum snapshot_state s = snapshot_state_of(snapshots[i]);
        if (s == SN_CREATING)
            return fail(c->cx, ERR_INVALID,
                        "Invalid volume: Failed to update snapshot: snapshot %s is creating.",
                        ROW(snapshot, snapshots, i)->id);
    }
    return NULL;
}

static struct err *not_deletable(struct call *c)
{
    return fail(c->cx, ERR_INVALID,
                "Invalid volume: Volume status must be available or error or error_extending and "
                "must not be migrating, attached, belong to a group, have snapshots, awaiting a "
                "transfer, or be disassociated from snapshots after volume transfer.");
}

static struct err *check_unused(struct call *c, const struct volume *v)
{
    struct attachment **all;
    size_t n;
    TRY(attachments_of(c->cx, c->tx, v->id, &all, &n));
    return n ? not_deletable(c) : NULL;
}

static struct err *delete_checked(struct call *c, struct volume *v, bool cascade, bool force)
{
    void **snapshots;
    size_t n;
    if (volume_state_of(v) == VS_DELETING && (!v->wanted || v->going))
        return NULL;
    TRY(check_unused(c, v));
    TRY(res_select_by(c->cx, c->tx, &snapshots_of_volume, &snapshots, &n, V_TEXT(v->id)));
    TRY(check_snapshots(c, v, cascade || force, snapshots, n));
    TRY(check_no_copies(c, v, snapshots, n));
    unsigned from = volume_act_rules[VA_DELETE].from;
    if (!force && !(from & VS(volume_state_of(v))))
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Volume status must be %s to delete, but current status is: "
                    "%s.",
                    volume_states_text(c->cx, from), volume_life_of(volume_state_of(v))->status);
    return volume_doom(c->cx, c->tx, v);
}

struct err *volume_delete_it(struct call *c, struct volume *v, bool cascade, bool force)
{
    return v->group_id ? not_deletable(c) : delete_checked(c, v, cascade, force);
}

struct err *volume_delete_member(struct call *c, struct volume *v)
{
    return delete_checked(c, v, true, false);
}

struct err *volume_delete(struct call *c)
{
    bool cascade = false, force = false;
    const char *text = http_arg(c->rq, "cascade"), *forced = http_arg(c->rq, "force");
    if (text && !str_to_bool(text, &cascade))
        return fail(c->cx, ERR_INVALID, "Invalid value for cascade: '%s' is not a boolean", text);
    if (forced && c->microversion >= 23 && !str_to_bool(forced, &force))
        return fail(c->cx, ERR_INVALID, "Invalid value for force: '%s' is not a boolean", forced);
    if (force && !c->actor->admin)
        return volume_forbidden(c, "volume:force_delete");
    TRY(volume_delete_it(c, c->target, cascade, force));
    call_reply_empty(c, 202);
    return NULL;
}
