/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Groups: volumes that are snapshotted, copied and deleted together. A group has nothing on hosts
 * itself: it is creating until its copies are made, and deleting until its volumes are gone.
 */
#include "volume/impl.h"

static const char *const statuses[] = {"available", "creating",       "deleting",
                                       "error",     "error_deleting", "updating"};

bool group_status_known(const char *status)
{
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (str_eq(statuses[i], status))
            return true;
    return false;
}

/* The answers to a create and the short list have id and name alone. */
static bool shown_whole(const void *row UNUSED, const struct view *v)
{
    const struct call *c = v->call;
    return !c || str_eq(c->rq->method, "GET");
}

static bool shown_volumes(const void *row, const struct view *v)
{
    const struct call *c = v->call;
    const char *text = c ? http_arg(c->rq, "list_volume") : NULL;
    bool b = false;
    return shown_whole(row, v) && text && str_to_bool(text, &b) && b;
}

/* row.extra of a group once prepared: its volumes' ids. */
static void encode_volumes(struct ctx *cx UNUSED, struct jw *w, const void *row,
                           const struct view *v UNUSED)
{
    const char *const *ids = ((const struct group *)row)->row.extra;
    jw_arr(w);
    for (; ids && *ids; ids++)
        jw_str(w, *ids);
    jw_arr_end(w);
}

static void encode_null(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                        const struct view *v UNUSED)
{
    jw_null(w);
}

#define RESOURCE group
#define RESOURCE_DEF "volume/group.def"
#include "resource/declare_fields.h"

static struct err *prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v)
{
    for (size_t i = 0; i < n && shown_volumes(rows[i], v); i++) {
        void **volumes;
        size_t n_volumes;
        struct group *g = rows[i];
        TRY(res_select_by(cx, tx, &volumes_of_group, &volumes, &n_volumes, V_TEXT(g->id)));
        const char **ids = arena_new_array(cx->arena, const char *, n_volumes + 1);
        for (size_t k = 0; k < n_volumes; k++)
            ids[k] = ROW(volume, volumes, k)->id;
        g->row.extra = ids;
    }
    return NULL;
}

static const struct res_index group_indexes[] = {
    {"volume_groups_project", "project_id, created_at, id", false, NULL},
    {"volume_groups_type", "group_type_id", false, NULL}};
const struct resource group_resource = {.name = "group",
                                        .plural = "groups",
                                        .table = "volume_groups",
                                        RESOURCE_FIELDS(group),
                                        .extra = EXTRA_IGNORE,
                                        .owner = group_f_project_id,
                                        .not_found = "Group %s could not be found.",
                                        .indexes = group_indexes,
                                        .n_indexes = ARRAY_LEN(group_indexes),
                                        .time_style = TIME_MICROS,
                                        .prepare = prepare,
                                        .dflt_sort = "created_at:desc,id:desc",
                                        .doc = "Volumes that belong together."};
const struct res_where volumes_of_group = {&volume_resource, "group_id = $1", "created_at, id"};
const struct stmt stmt_use_groups = {"use_groups",
                                     "SELECT COUNT(*) FROM volume_groups WHERE project_id = $1"};

/* ---------------------------------------------------------------- reading */

static struct err *reply_list(struct call *c, bool brief)
{
    return call_reply_list(c, &group_resource, &(struct list_more){.brief = brief});
}

struct err *volume_group_list(struct call *c)
{
    return reply_list(c, true);
}

struct err *volume_group_list_detail(struct call *c)
{
    return reply_list(c, false);
}

struct err *volume_group_show(struct call *c)
{
    return call_reply_row(c, 200, &group_resource, c->target);
}

/* ---------------------------------------------------------------- settling */

struct err *group_settle(struct ctx *cx, struct tx *tx, const char *group_id)
{
    void *row = NULL, **volumes;
    size_t n, failed = 0, waiting = 0;
    if (group_id)
        TRY(res_get(cx, tx, &group_resource, group_id, &row));
    struct group *g = row;
    if (!g || (!str_eq(g->state, "creating") && !str_eq(g->state, "deleting")))
        return NULL;
    TRY(res_select_by(cx, tx, &volumes_of_group, &volumes, &n, V_TEXT(g->id)));
    if (str_eq(g->state, "deleting"))
        return n ? NULL : res_delete(cx, tx, &group_resource, g);
    for (size_t i = 0; i < n; i++) {
        enum volume_state s = volume_state_of(volumes[i]);
        failed += s == VS_ERROR || s == VS_FAILED;
        waiting += s == VS_CREATING;
    }
    if (waiting)
        return NULL;
    g->state = failed ? "error" : "available";
    return res_update(cx, tx, &group_resource, g);
}

/* ---------------------------------------------------------------- members */

static bool has_type(struct call *c, const struct group *g, const char *type_id)
{
    json_t *types = NULL;
    struct err *e = json_read(c->cx, g->volume_types, strlen(g->volume_types), &types);
    must(!e);
    for (size_t i = 0; i < json_array_size(types); i++)
        if (str_eq(json_string_value(json_array_get(types, i)), type_id))
            return true;
    return false;
}

struct err *group_check_joining(struct call *c, const char *group_id, const struct volume *v)
{
    void *row = NULL;
    TRY(res_find_visible(c->cx, c->tx, &group_resource, group_id, c->actor, &row));
    const struct group *g = row;
    if (!str_eq(g->project_id, v->project_id))
        return res_not_found(c->cx, &group_resource, group_id);
    if (!str_eq(g->state, "available"))
        return fail(c->cx, ERR_INVALID,
                    "Invalid group: Group %s status must be available, but current status is: %s.",
                    g->id, g->state);
    if (!has_type(c, g, v->type_id))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input received: Invalid volume_type %s provided for volume: it must "
                    "be one of those of group %s.",
                    v->type_id, g->id);
    return NULL;
}

static struct err *join(struct call *c, struct group *g, const char *volume_id)
{
    struct volume *v;
    TRY(volume_get(c, volume_id, &v));
    if (v->group_id)
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Cannot add volume %s to group %s because it is already in "
                    "group %s.",
                    v->id, g->id, v->group_id);
    TRY(group_check_joining(c, g->id, v));
    enum volume_state s = volume_state_of(v);
    if (s != VS_AVAILABLE && s != VS_IN_USE)
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Cannot add volume %s to group %s because volume is in an "
                    "invalid state: %s. Valid states are: available, in-use.",
                    v->id, g->id, volume_life_of(s)->status);
    v->group_id = g->id;
    return res_update(c->cx, c->tx, &volume_resource, v);
}

static struct err *leave(struct call *c, struct group *g, const char *volume_id)
{
    struct volume *v;
    TRY(volume_get(c, volume_id, &v));
    if (!str_eq(v->group_id, g->id))
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Cannot remove volume %s from group %s because it is not in "
                    "the group.",
                    v->id, g->id);
    v->group_id = NULL;
    return res_update(c->cx, c->tx, &volume_resource, v);
}

static struct err *each_id(struct call *c, struct group *g, const char *ids,
                           struct err *(*fn)(struct call *c, struct group *g, const char *id))
{
    char **parts;
    size_t n = str_split(c->cx, ids ? ids : "", ',', &parts);
    for (size_t i = 0; i < n; i++)
        if (*parts[i])
            TRY(fn(c, g, parts[i]));
    return NULL;
}

struct err *volume_group_update(struct call *c)
{
    struct group *g = c->body;
    if (!str_eq(g->state, "available"))
        return fail(c->cx, ERR_INVALID,
                    "Invalid group: Group %s status must be available to be updated, but current "
                    "status is: %s.",
                    g->id, g->state);
    if (!row_given(&g->row, group_f_name) && !row_given(&g->row, group_f_description) &&
        !g->add_volumes && !g->remove_volumes)
        return fail(c->cx, ERR_INVALID,
                    "At least one of the following keys must be updated: name, description, "
                    "add_volumes, remove_volumes.");
    TRY(each_id(c, g, g->remove_volumes, leave));
    TRY(each_id(c, g, g->add_volumes, join));
    TRY(res_update(c->cx, c->tx, &group_resource, g));
    call_reply_empty(c, 202);
    return NULL;
}

/* ---------------------------------------------------------------- create */

/* By names or ids, kept as ids. */
static struct err *take_types(struct call *c, struct group *g)
{
    json_t *types = NULL, *ids = json_own(c->cx, json_array());
    TRY(json_read(c->cx, g->volume_types, strlen(g->volume_types), &types));
    if (!json_array_size(types) || json_array_size(types) > 64)
        return volume_bad_member(c, "volume_types", types, "there must be 1 to 64 of them");
    for (size_t i = 0; i < json_array_size(types); i++) {
        struct volume_type *t;
        TRY(volume_type_find(c, json_string_value(json_array_get(types, i)), &t));
        json_array_append_new(ids, json_string(t->id));
    }
    g->volume_types = json_text(c->cx, ids);
    return NULL;
}

static struct err *insert(struct call *c, struct group *g, const char *state)
{
    TRY(volume_quota_groups(c, c->actor->project_id));
    g->id = uuid_new(c->cx);
    g->project_id = c->actor->project_id;
    g->state = state;
    g->zone = g->zone ? g->zone : volume_cfg.default_zone;
    c->audit_target = g->id;
    return res_insert(c->cx, c->tx, &group_resource, g);
}

struct err *volume_group_create(struct call *c)
{
    struct group *g = c->body;
    struct group_type *type;
    TRY(group_type_find(c, g->group_type_id, &type));
    g->group_type_id = type->id;
    TRY(take_types(c, g));
    TRY(insert(c, g, "available"));
    return call_reply_row(c, 202, &group_resource, g);
}

/* A member of the new group: made of a snapshot, or of a volume. */
static struct err *copy_member(struct call *c, const struct group *g, const char *snapshot_id,
                               const char *volume_id)
{
    struct volume *v = res_new(c->cx, &volume_resource);
    json_t *obj = json_own(c->cx, json_object());
    json_object_set_new(obj, snapshot_id ? "snapshot_id" : "source_volid",
                        json_string(snapshot_id ? snapshot_id : volume_id));
    TRY(res_decode(c->cx, c->service->family, &volume_resource, obj, DECODE_CREATE, 0,
                   c->actor->admin, v));
    v->group_id = g->id;
    return volume_make(c, v, NULL);
}

static struct err *copy_snapshots(struct call *c, struct group *g, const char *group_snapshot_id)
{
    void *row = NULL, **snapshots;
    size_t n;
    TRY(res_find_visible(c->cx, c->tx, &group_snapshot_resource, group_snapshot_id, c->actor,
                         &row));
    const struct group_snapshot *from = row;
    if (!str_eq(from->state, "available"))
        return fail(c->cx, ERR_INVALID, "Invalid group snapshot: %s is %s, and must be available.",
                    from->id, from->state);
    TRY(res_find(c->cx, c->tx, &group_resource, from->group_id, &row));
    const struct group *of = row;
    g->group_type_id = of->group_type_id;
    g->volume_types = of->volume_types;
    g->group_snapshot_id = from->id;
    TRY(insert(c, g, "creating"));
    TRY(res_select_by(c->cx, c->tx, &snapshots_of_group_snapshot, &snapshots, &n,
                      V_TEXT(from->id)));
    for (size_t i = 0; i < n; i++)
        TRY(copy_member(c, g, ROW(snapshot, snapshots, i)->id, NULL));
    return NULL;
}

static struct err *copy_volumes(struct call *c, struct group *g, const char *group_id)
{
    void *row = NULL, **volumes;
    size_t n;
    TRY(res_find_visible(c->cx, c->tx, &group_resource, group_id, c->actor, &row));
    const struct group *from = row;
    if (!str_eq(from->state, "available"))
        return fail(c->cx, ERR_INVALID, "Invalid group: %s is %s, and must be available.", from->id,
                    from->state);
    g->group_type_id = from->group_type_id;
    g->volume_types = from->volume_types;
    g->source_group_id = from->id;
    TRY(insert(c, g, "creating"));
    TRY(res_select_by(c->cx, c->tx, &volumes_of_group, &volumes, &n, V_TEXT(from->id)));
    for (size_t i = 0; i < n; i++)
        TRY(copy_member(c, g, NULL, ROW(volume, volumes, i)->id));
    return NULL;
}

struct err *volume_group_copy(struct call *c)
{
    const json_t *args;
    const char *snapshot_id = NULL, *group_id = NULL;
    struct group *g = res_new(c->cx, &group_resource);
    TRY(volume_body_object(c, "create-from-src", &args));
    TRY(arg_text(c, args, "name", &g->name));
    TRY(arg_text(c, args, "description", &g->description));
    TRY(arg_text(c, args, "group_snapshot_id", &snapshot_id));
    TRY(arg_text(c, args, "source_group_id", &group_id));
    if (!snapshot_id == !group_id)
        return fail(c->cx, ERR_INVALID,
                    "Either 'group_snapshot_id' or 'source_group_id' must be provided to create "
                    "group from source.");
    TRY(snapshot_id ? copy_snapshots(c, g, snapshot_id) : copy_volumes(c, g, group_id));
    TRY(group_settle(c->cx, c->tx, g->id)); /* an empty one is made already */
    return call_reply_row(c, 202, &group_resource, g);
}

/* ---------------------------------------------------------------- actions */

static struct err *act_delete(struct call *c, struct group *g, const json_t *args)
{
    bool volumes_too = false;
    void **rows;
    size_t n;
    TRY(arg_bool(c, args, "delete-volumes", &volumes_too));
    if (!volumes_too && !str_eq(g->state, "available") && !str_eq(g->state, "error"))
        return fail(c->cx, ERR_INVALID,
                    "Invalid group: Group status must be available or error, but current status "
                    "is: %s",
                    g->state);
    TRY(res_select_by(c->cx, c->tx, &group_snapshots_of_group, &rows, &n, V_TEXT(g->id)));
    if (n)
        return fail(c->cx, ERR_INVALID, "Invalid group: Group %s still has %zu group snapshots.",
                    g->id, n);
    TRY(res_select_by(c->cx, c->tx, &volumes_of_group, &rows, &n, V_TEXT(g->id)));
    if (n && !volumes_too)
        return fail(c->cx, ERR_INVALID,
                    "Invalid group: Group %s still contains volumes. The delete-volumes flag is "
                    "required to delete it.",
                    g->id);
    g->state = "deleting";
    TRY(res_update(c->cx, c->tx, &group_resource, g));
    for (size_t i = 0; i < n; i++)
        TRY(volume_delete_member(c, rows[i]));
    return group_settle(c->cx, c->tx, g->id);
}

static struct err *act_reset(struct call *c, struct group *g, const json_t *args)
{
    const char *status = NULL;
    TRY(arg_text(c, args, "status", &status));
    if (!status || !group_status_known(status))
        return volume_bad_member(c, "status", json_get(args, "status"),
                                 "it is no status of a group");
    g->state = status;
    return res_update(c->cx, c->tx, &group_resource, g);
}

struct err *volume_group_action(struct call *c)
{
    const char *name;
    const json_t *args;
    TRY(volume_body_action(c, &name, &args));
    call_reply_empty(c, 202);
    if (str_eq(name, "delete"))
        return act_delete(c, c->target, args);
    if (str_eq(name, "reset_status") && c->microversion >= 20) {
        if (!c->actor->admin)
            return volume_forbidden(c, "group:reset_status");
        return act_reset(c, c->target, args);
    }
    if (str_ends(name, "_replication") || str_eq(name, "list_replication_targets"))
        return fail(c->cx, ERR_INVALID, "Invalid group: Replication is not supported here.");
    return fail(c->cx, ERR_INVALID, "There is no such action: %s", name);
}
