/* SPDX-License-Identifier: EUPL-1.2 */
/* proxies.h: volumes and snapshots in nova's older shape. */
#include "volume/impl.h"
#include "volume/proxies.h"

const struct res_where volumes_newest = {&volume_resource, "project_id = $1",
                                         "created_at DESC, id DESC"};
const struct res_where snapshots_newest = {&snapshot_resource, "project_id = $1",
                                           "created_at DESC, id DESC"};

/* One row in what the actor may see, or all of the project's. */
static struct err *load(struct call *c, const struct resource *res, const struct res_where *all,
                        const char *id, void ***ret, size_t *ret_n)
{
    if (!id)
        return res_select_by(c->cx, c->tx, all, ret, ret_n, V_TEXT(c->actor->project_id));
    *ret = arena_new_of(c->cx->arena, void *);
    *ret_n = 1;
    return res_find_visible(c->cx, c->tx, res, id, c->actor, *ret);
}

static bool within(const struct proxy_range *range, size_t i)
{
    return !range || ((int64_t)i >= range->offset && (int64_t)i - range->offset < range->limit);
}

/* ---------------------------------------------------------------- volumes */

/* None is a list of one empty object: so it was. */
static void write_attachments(struct jw *w, struct attachment *const *all, size_t n)
{
    size_t shown = 0;
    jw_karr(w, "attachments");
    for (size_t i = 0; i < n; i++) {
        if (attach_state_of(all[i]) != AT_ATTACHED && attach_state_of(all[i]) != AT_DETACHING)
            continue;
        jw_obj(w);
        jw_kstr(w, "id", all[i]->volume_id);
        jw_kstr(w, "volumeId", all[i]->volume_id);
        jw_kstr(w, "serverId", all[i]->server_id);
        if (all[i]->device)
            jw_kstr(w, "device", all[i]->device);
        jw_obj_end(w);
        shown++;
    }
    if (!shown)
        jw_raw(w, "{}");
    jw_arr_end(w);
}

static struct err *write_volume(struct call *c, struct jw *w, const struct volume *v,
                                const struct db_rows *types)
{
    struct attachment **attachments;
    size_t n;
    TRY(attachments_of(c->cx, c->tx, v->id, &attachments, &n));
    jw_obj(w);
    jw_kstr(w, "id", v->id);
    jw_kstr(w, "status", volume_life_of(volume_state_of(v))->status);
    jw_kint(w, "size", v->size_gib);
    jw_kstr(w, "availabilityZone", v->zone);
    jw_kstr(w, "createdAt", time_iso(c->cx, v->created_at, TIME_MICROS));
    write_attachments(w, attachments, n);
    jw_kstr(w, "displayName", v->name);
    jw_kstr(w, "displayDescription", v->description);
    jw_kstr(w, "volumeType", volume_type_name(types, v->type_id));
    jw_kstr(w, "snapshotId", v->snapshot_id);
    jw_kraw(w, "metadata", v->metadata);
    jw_obj_end(w);
    return NULL;
}

struct err *volume_proxy_write(struct call *c, const char *id, const struct proxy_range *range,
                               struct jw *w)
{
    struct db_rows types;
    void **rows;
    size_t n;
    TRY(volume_type_names(c->cx, c->tx, &types));
    TRY(load(c, &volume_resource, &volumes_newest, id, &rows, &n));
    for (size_t i = 0; i < n; i++)
        if (within(range, i))
            TRY(write_volume(c, w, rows[i], &types));
    return NULL;
}

/* The older members are today's: names begin with "display_". */
static struct err *decode(struct call *c, const struct resource *res, const json_t *members,
                          void **ret)
{
    *ret = res_new(c->cx, res);
    return res_decode(c->cx, c->service->family, res, members, DECODE_CREATE, 0, c->actor->admin,
                      *ret);
}

struct err *volume_proxy_create(struct call *c, const json_t *members, const char **ret_id)
{
    void *row;
    TRY(decode(c, &volume_resource, members, &row));
    struct volume *v = row;
    TRY(volume_make(c, v, NULL));
    *ret_id = v->id;
    return NULL;
}

struct err *volume_proxy_delete(struct call *c, const char *id)
{
    struct volume *v;
    TRY(volume_get(c, id, &v));
    return volume_delete_it(c, v, false, false);
}

/* ---------------------------------------------------------------- snapshots */

static void write_snapshot(struct ctx *cx, struct jw *w, const struct snapshot *s)
{
    jw_obj(w);
    jw_kstr(w, "id", s->id);
    jw_kstr(w, "status", snapshot_life_of(snapshot_state_of(s))->status);
    jw_kint(w, "size", s->size_gib);
    jw_kstr(w, "createdAt", time_iso(cx, s->created_at, TIME_MICROS));
    jw_kstr(w, "displayName", s->name);
    jw_kstr(w, "displayDescription", s->description);
    jw_kstr(w, "volumeId", s->volume_id);
    jw_obj_end(w);
}

struct err *volume_proxy_write_snapshots(struct call *c, const char *id,
                                         const struct proxy_range *range, struct jw *w)
{
    void **rows;
    size_t n;
    TRY(load(c, &snapshot_resource, &snapshots_newest, id, &rows, &n));
    for (size_t i = 0; i < n; i++)
        if (within(range, i))
            write_snapshot(c->cx, w, rows[i]);
    return NULL;
}

struct err *volume_proxy_snapshot(struct call *c, const json_t *members, const char **ret_id)
{
    void *row;
    TRY(decode(c, &snapshot_resource, members, &row));
    struct snapshot *s = row;
    s->name = s->want_name;
    s->description = s->want_description;
    TRY(snapshot_make(c, s, s->force));
    *ret_id = s->id;
    return NULL;
}

struct err *volume_proxy_delete_snapshot(struct call *c, const char *id)
{
    void *row = NULL;
    TRY(res_find_visible(c->cx, c->tx, &snapshot_resource, id, c->actor, &row));
    return snapshot_delete_it(c, row, false);
}
