/* SPDX-License-Identifier: EUPL-1.2 */
/* Snapshots of groups: one of each volume, made and deleted together. */
#include "volume/impl.h"

static bool shown_whole(const void *row UNUSED, const struct view *v)
{
    const struct call *c = v->call;
    return !c || str_eq(c->rq->method, "GET");
}

static bool shown_not_brief(const void *row UNUSED, const struct view *v)
{
    return !v->brief;
}

#define RESOURCE group_snapshot
#define RESOURCE_DEF "volume/group_snapshot.def"
#include "resource/declare_fields.h"

static const struct res_index group_snapshot_indexes[] = {
    {"volume_group_snapshots_project", "project_id, created_at, id", false, NULL},
    {"volume_group_snapshots_group", "group_id", false, NULL}};
const struct resource group_snapshot_resource = {
    .name = "group_snapshot",
    .plural = "group_snapshots",
    .table = "volume_group_snapshots",
    RESOURCE_FIELDS(group_snapshot),
    .extra = EXTRA_IGNORE,
    .owner = group_snapshot_f_project_id,
    .not_found = "GroupSnapshot %s could not be found.",
    .indexes = group_snapshot_indexes,
    .n_indexes = ARRAY_LEN(group_snapshot_indexes),
    .time_style = TIME_MICROS,
    .dflt_sort = "created_at:desc,id:desc",
    .doc = "A group's volumes as they were at one time."};
const struct res_where snapshots_of_group_snapshot = {&snapshot_resource, "group_snapshot_id = $1",
                                                      "created_at, id"};
const struct res_where group_snapshots_of_group = {&group_snapshot_resource, "group_id = $1", "id"};

/* ---------------------------------------------------------------- reading */

static struct err *reply_list(struct call *c, bool brief)
{
    return call_reply_list(c, &group_snapshot_resource, &(struct list_more){.brief = brief});
}

struct err *volume_group_snapshot_list(struct call *c)
{
    return reply_list(c, true);
}

struct err *volume_group_snapshot_list_detail(struct call *c)
{
    return reply_list(c, false);
}

struct err *volume_group_snapshot_show(struct call *c)
{
    return call_reply_row(c, 200, &group_snapshot_resource, c->target);
}

/* ---------------------------------------------------------------- settling */

struct err *group_snapshot_settle(struct ctx *cx, struct tx *tx, const char *id)
{
    void *row = NULL, **snapshots;
    size_t n, failed = 0, waiting = 0;
    if (id)
        TRY(res_get(cx, tx, &group_snapshot_resource, id, &row));
    struct group_snapshot *g = row;
    if (!g || (!str_eq(g->state, "creating") && !str_eq(g->state, "deleting")))
        return NULL;
    TRY(res_select_by(cx, tx, &snapshots_of_group_snapshot, &snapshots, &n, V_TEXT(g->id)));
    if (str_eq(g->state, "deleting"))
        return n ? NULL : res_delete(cx, tx, &group_snapshot_resource, g);
    for (size_t i = 0; i < n; i++) {
        enum snapshot_state s = snapshot_state_of(snapshots[i]);
        failed += s == SN_ERROR || s == SN_FAILED;
        waiting += s == SN_CREATING;
    }
    if (waiting)
        return NULL;
    g->state = failed ? "error" : "available";
    return res_update(cx, tx, &group_snapshot_resource, g);
}

/* ---------------------------------------------------------------- create and delete */

static struct err *snapshot_member(struct call *c, const struct group_snapshot *g,
                                   const struct volume *v)
{
    struct snapshot *s = res_new(c->cx, &snapshot_resource);
    s->volume_id = v->id;
    s->name = g->name;
    s->description = g->description;
    s->metadata = "{}";
    s->group_snapshot_id = g->id;
    return snapshot_make(c, s, true);
}

struct err *volume_group_snapshot_create(struct call *c)
{
    struct group_snapshot *g = c->body;
    void *row = NULL, **volumes;
    size_t n;
    TRY(res_find_visible(c->cx, c->tx, &group_resource, g->group_id, c->actor, &row));
    const struct group *of = row;
    if (!str_eq(of->state, "available"))
        return fail(c->cx, ERR_INVALID,
                    "Invalid group: Group %s status must be available, but current status is: %s.",
                    of->id, of->state);
    TRY(res_select_by(c->cx, c->tx, &volumes_of_group, &volumes, &n, V_TEXT(of->id)));
    if (!n)
        return fail(c->cx, ERR_INVALID,
                    "Invalid group: Source group %s has no volumes: there is "
                    "nothing to take a snapshot of.",
                    of->id);
    g->id = uuid_new(c->cx);
    g->project_id = of->project_id;
    g->group_type_id = of->group_type_id;
    g->state = "creating";
    c->audit_target = g->id;
    TRY(res_insert(c->cx, c->tx, &group_snapshot_resource, g));
    for (size_t i = 0; i < n; i++)
        TRY(snapshot_member(c, g, volumes[i]));
    return call_reply_row(c, 202, &group_snapshot_resource, g);
}

struct err *volume_group_snapshot_delete(struct call *c)
{
    struct group_snapshot *g = c->target;
    void **snapshots;
    size_t n;
    bool source;
    TRY(res_select_by(c->cx, c->tx, &snapshots_of_group_snapshot, &snapshots, &n, V_TEXT(g->id)));
    for (size_t i = 0; i < n; i++) {
        TRY(snapshot_is_source(c->cx, c->tx, ROW(snapshot, snapshots, i)->id, &source));
        if (source || snapshot_state_of(snapshots[i]) == SN_CREATING)
            return fail(c->cx, ERR_INVALID,
                        "Invalid group snapshot: Snapshot %s of it is being made or copied.",
                        ROW(snapshot, snapshots, i)->id);
    }
    g->state = "deleting";
    TRY(res_update(c->cx, c->tx, &group_snapshot_resource, g));
    for (size_t i = 0; i < n; i++)
        TRY(snapshot_doom(c->cx, c->tx, snapshots[i]));
    TRY(group_snapshot_settle(c->cx, c->tx, g->id));
    call_reply_empty(c, 202);
    return NULL;
}

struct err *volume_group_snapshot_action(struct call *c)
{
    struct group_snapshot *g = c->target;
    const char *name, *status = NULL;
    const json_t *args;
    TRY(volume_body_action(c, &name, &args));
    if (!str_eq(name, "reset_status"))
        return fail(c->cx, ERR_INVALID, "There is no such action: %s", name);
    TRY(arg_text(c, args, "status", &status));
    if (!status || !group_status_known(status))
        return volume_bad_member(c, "status", json_get(args, "status"),
                                 "it is no status of a group snapshot");
    g->state = status;
    TRY(res_update(c->cx, c->tx, &group_snapshot_resource, g));
    call_reply_empty(c, 202);
    return NULL;
}
