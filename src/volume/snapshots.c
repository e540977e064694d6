/* SPDX-License-Identifier: EUPL-1.2 */
/* Snapshots: they lie where their volume does, and are part of what its host is told of it. */
#include "volume/impl.h"

/* Not in the short list, nor in the answers to a create or an update. */
static bool shown_whole(const void *row UNUSED, const struct view *v)
{
    const struct call *c = v->call;
    return !c || str_eq(c->rq->method, "GET");
}

static void encode_status(struct ctx *cx UNUSED, struct jw *w, const void *row,
                          const struct view *v UNUSED)
{
    jw_str(w, snapshot_life_of(snapshot_state_of(row))->status);
}

static void encode_updated_at(struct ctx *cx, struct jw *w, const void *row,
                              const struct view *v UNUSED)
{
    const struct snapshot *s = row;
    jw_str(w, s->row.generation > 1 ? time_iso(cx, s->updated_at, TIME_MICROS) : NULL);
}

static void encode_progress(struct ctx *cx UNUSED, struct jw *w, const void *row,
                            const struct view *v UNUSED)
{
    const struct snapshot *s = row;
    jw_str(w, s->said_progress ? s->said_progress : s->seen_there ? "100%" : "0%");
}

static void encode_true(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                        const struct view *v UNUSED)
{
    jw_bool(w, true);
}

#define RESOURCE snapshot
#define RESOURCE_DEF "volume/snapshot.def"
#include "resource/declare_fields.h"

static const struct res_index snapshot_indexes[] = {
    {"snapshots_project", "project_id, created_at, id, size_gib", false, NULL}, /* for quotas */
    {"snapshots_volume", "volume_id", false, NULL},
    {"snapshots_host", "host_id", false, "host_id IS NOT NULL"},
    {"snapshots_deadline", "state_deadline", false, "state_deadline IS NOT NULL"},
};
const struct resource snapshot_resource = {.name = "snapshot",
                                           .plural = "snapshots",
                                           .table = "snapshots",
                                           RESOURCE_FIELDS(snapshot),
                                           .extra = EXTRA_IGNORE,
                                           .owner = snapshot_f_project_id,
                                           .not_found = "Snapshot %s could not be found.",
                                           .indexes = snapshot_indexes,
                                           .n_indexes = ARRAY_LEN(snapshot_indexes),
                                           .time_style = TIME_MICROS,
                                           .dflt_sort = "created_at:desc,id:desc",
                                           .doc = "A volume's data as it was at one time."};

struct err *volume_snapshot_find(struct ctx *cx, struct tx *tx, const char *id,
                                 const struct actor *actor, struct snapshot_info *ret)
{
    void *row = NULL;
    TRY(res_find_visible(cx, tx, &snapshot_resource, id, actor, &row));
    const struct snapshot *s = row;
    void *of = NULL;
    TRY(res_find(cx, tx, &volume_resource, s->volume_id, &of));
    const struct volume *v = of;
    *ret = (struct snapshot_info){.id = s->id,
                                  .volume_id = s->volume_id,
                                  .status = snapshot_life_of(snapshot_state_of(s))->status,
                                  .host_id = v->pool_id ? NULL : s->host_id,
                                  .pool_id = v->pool_id,
                                  .name = s->name ? s->name : "",
                                  .size_gib = s->size_gib,
                                  .bootable = s->bootable,
                                  .image_metadata = s->image_metadata};
    return NULL;
}

/* ---------------------------------------------------------------- create */

static struct err *check_volume(struct call *c, const struct volume *v, bool force)
{
    enum volume_state state = volume_state_of(v);
    if (state == VS_AVAILABLE || (force && state == VS_IN_USE))
        return v->seen_ready
                   ? NULL
                   : fail(c->cx, ERR_INVALID, "Invalid volume: Volume %s has no data.", v->id);
    return fail(c->cx, ERR_INVALID,
                "Invalid volume: Volume %s status must be available%s, but current status is: %s.",
                v->id, force ? " or in-use" : "", volume_life_of(state)->status);
}

#define SNAPSHOTS_MAX 64 /* of a volume: what a host takes */

static struct err *check_few(struct call *c, const struct volume *v)
{
    void **rows;
    size_t n;
    TRY(res_select_by(c->cx, c->tx, &snapshots_of_volume, &rows, &n, V_TEXT(v->id)));
    if (n < SNAPSHOTS_MAX)
        return NULL;
    return fail(c->cx, ERR_INVALID, "Invalid volume: Volume %s has %zu snapshots: at most %d.",
                v->id, n, SNAPSHOTS_MAX);
}

struct err *snapshot_make(struct call *c, struct snapshot *s, bool force)
{
    struct volume *v;
    struct volume_type *type;
    TRY(volume_get(c, s->volume_id, &v));
    TRY(check_volume(c, v, force));
    TRY(check_few(c, v));
    TRY(volume_type_by_id(c->cx, c->tx, v->type_id, &type));
    TRY(volume_quota_check(c, v->project_id, type, "snapshots", 1, v->size_gib));
    s->id = uuid_new(c->cx);
    s->project_id = v->project_id;
    s->user_id = c->actor->user_id;
    s->wanted = true;
    s->size_gib = v->size_gib;
    s->host_id = v->host_id;
    s->type_id = v->type_id;
    s->bootable = v->bootable;
    s->image_metadata = v->image_metadata;
    snapshot_set_state(c->cx, s, SN_CREATING);
    TRY(res_insert(c->cx, c->tx, &snapshot_resource, s));
    return fleet_touch(c->cx, c->tx, v->host_id, "volume", v->id);
}

/* Since 3.66 snapshots of volumes in use need no force, and it may no longer be refused. */
static struct err *read_force(struct call *c, const struct snapshot *s, bool *ret)
{
    bool given = row_given(&s->row, snapshot_f_force);
    *ret = s->force || c->microversion >= 66;
    if (given && !s->force && c->microversion >= 66)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input received: The 'force' parameter must be True or absent since "
                    "3.66: snapshots of volumes in use are always possible");
    return NULL;
}

struct err *volume_snapshot_create(struct call *c)
{
    struct snapshot *s = c->body;
    bool force;
    TRY(read_force(c, s, &force));
    if (s->want_name)
        s->name = s->want_name;
    if (s->want_description)
        s->description = s->want_description;
    TRY(snapshot_make(c, s, force));
    c->audit_target = s->id;
    return call_reply_row(c, 202, &snapshot_resource, s);
}

struct err *volume_snapshot_for(struct call *c, const char *volume_id, const char *name,
                                const char **ret_snapshot_id)
{
    struct snapshot *s = res_new(c->cx, &snapshot_resource);
    s->volume_id = volume_id;
    s->name = name;
    s->description = "";
    s->metadata = "{}";
    TRY(snapshot_make(c, s, true));
    *ret_snapshot_id = s->id;
    return NULL;
}

/* ---------------------------------------------------------------- list, show, change */

static bool keep_row(struct call *c, const void *row)
{
    return volume_has_metadata(c, ((const struct snapshot *)row)->metadata);
}

static struct err *reply_list(struct call *c, bool brief)
{
    struct list_more more = {.brief = brief,
                             .count = volume_wants_count(c),
                             .filter = volume_filter,
                             .keep = http_arg(c->rq, "metadata") ? keep_row : NULL};
    return call_reply_list(c, &snapshot_resource, &more);
}

struct err *volume_snapshot_list(struct call *c)
{
    return reply_list(c, true);
}

struct err *volume_snapshot_list_detail(struct call *c)
{
    return reply_list(c, false);
}

struct err *volume_snapshot_show(struct call *c)
{
    return call_reply_row(c, 200, &snapshot_resource, c->target);
}

struct err *volume_snapshot_update(struct call *c)
{
    struct snapshot *s = c->body;
    if (row_given(&s->row, snapshot_f_want_name))
        s->name = s->want_name;
    if (row_given(&s->row, snapshot_f_want_description))
        s->description = s->want_description;
    TRY(res_update(c->cx, c->tx, &snapshot_resource, s));
    return call_reply_row(c, 200, &snapshot_resource, s);
}

#define SNAPSHOT_DELETABLE (VS(SN_AVAILABLE) | VS(SN_ERROR) | VS(SN_FAILED) | VS(SN_ERROR_DELETING))

struct err *snapshot_delete_it(struct call *c, struct snapshot *s, bool force)
{
    bool source;
    if (!s->wanted && snapshot_state_of(s) == SN_DELETING)
        return NULL;
    if (!force && !(SNAPSHOT_DELETABLE & VS(snapshot_state_of(s))))
        return fail(c->cx, ERR_INVALID,
                    "Invalid snapshot: Snapshot status must be available or error and the "
                    "snapshot must not belong to a group; it is %s.",
                    snapshot_life_of(snapshot_state_of(s))->status);
    if (s->group_snapshot_id && !force)
        return fail(c->cx, ERR_INVALID,
                    "Invalid snapshot: Snapshot %s is part of group snapshot %s: delete that.",
                    s->id, s->group_snapshot_id);
    TRY(snapshot_is_source(c->cx, c->tx, s->id, &source));
    if (source)
        return fail(c->cx, ERR_INVALID,
                    "Invalid snapshot: Snapshot %s is being copied to a new volume: delete it when "
                    "that is available.",
                    s->id);
    return snapshot_doom(c->cx, c->tx, s);
}

struct err *volume_snapshot_delete(struct call *c)
{
    TRY(snapshot_delete_it(c, c->target, false));
    call_reply_empty(c, 202);
    return NULL;
}

/* ---------------------------------------------------------------- actions */

static struct err *set_status(struct call *c, struct snapshot *s, const json_t *args)
{
    const char *status = NULL;
    enum snapshot_state state;
    TRY(arg_text(c, args, "status", &status));
    if (!status)
        return fail(c->cx, ERR_INVALID, "Must specify 'status' for update.");
    if (!snapshot_state_of_status(status, &state))
        return volume_bad_member(c, "status", json_get(args, "status"),
                                 "it is no status of a snapshot");
    if (!s->wanted && state != SN_DELETING && state != SN_ERROR_DELETING)
        return fail(c->cx, ERR_INVALID,
                    "Invalid snapshot: Snapshot %s is being deleted by its host: there is no way "
                    "back.",
                    s->id);
    snapshot_set_state(c->cx, s, state);
    return res_update(c->cx, c->tx, &snapshot_resource, s);
}

static struct err *act_update_status(struct call *c, struct snapshot *s, const json_t *args)
{
    TRY(arg_text(c, args, "progress", &s->said_progress));
    size_t n = s->said_progress ? strlen(s->said_progress) : 0;
    int64_t percent;
    if (n && (s->said_progress[n - 1] != '%' ||
              !str_to_i64(arena_strndup(c->cx->arena, s->said_progress, n - 1), 0, 100, &percent)))
        return volume_bad_member(c, "progress", json_get(args, "progress"),
                                 "it is no percentage such as 80%");
    return set_status(c, s, args);
}

static struct err *act_snapshot_reset(struct call *c, struct snapshot *s, const json_t *args)
{
    s->said_progress = NULL;
    return set_status(c, s, args);
}

static struct err *act_snapshot_delete(struct call *c, struct snapshot *s,
                                       const json_t *args UNUSED)
{
    return snapshot_delete_it(c, s, true);
}

static struct err *act_snapshot_unmanage(struct call *c, struct snapshot *s,
                                         const json_t *args UNUSED)
{
    return fail(c->cx, ERR_INVALID,
                "Invalid snapshot: Snapshot %s is part of its volume's file: it can't be left "
                "unmanaged.",
                s->id);
}

static const struct snapshot_action {
    const char *name;
    struct err *(*act)(struct call *c, struct snapshot *s, const json_t *args);
    const char *policy;
    bool admin;
} snapshot_actions[] = {
    {"os-update_snapshot_status", act_update_status,
     "snapshot_extension:snapshot_actions:update_snapshot_status", false},
    {"os-reset_status", act_snapshot_reset, "volume_extension:snapshot_admin_actions:reset_status",
     true},
    {"os-force_delete", act_snapshot_delete, "volume_extension:snapshot_admin_actions:force_delete",
     true},
    {"os-unmanage", act_snapshot_unmanage, "snapshot_extension:snapshot_unmanage", true},
};

struct err *volume_snapshot_action(struct call *c)
{
    const char *name;
    const json_t *args;
    TRY(volume_body_action(c, &name, &args));
    for (size_t i = 0; i < ARRAY_LEN(snapshot_actions); i++) {
        const struct snapshot_action *a = &snapshot_actions[i];
        if (!str_eq(a->name, name))
            continue;
        if (a->admin && !c->actor->admin)
            return volume_forbidden(c, a->policy);
        call_reply_empty(c, 202);
        return a->act(c, c->target, args);
    }
    return fail(c->cx, ERR_INVALID, "There is no such action: %s", name);
}
