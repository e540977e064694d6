/* SPDX-License-Identifier: EUPL-1.2 */
/* Where volumes and snapshots stand: the only code that moves rows along the lifecycles' tables. */
#include "volume/impl.h"

#define RULED_BY_ATTACHMENTS                                                                       \
    (VS(VS_AVAILABLE) | VS(VS_RESERVED) | VS(VS_ATTACHING) | VS(VS_IN_USE) | VS(VS_DETACHING))

const struct res_where snapshots_of_volume = {&snapshot_resource, "volume_id = $1",
                                              "created_at, id"};
const struct stmt stmt_volume_is_source = {
    "volume_is_source",
    "SELECT 1 FROM volumes WHERE state = 'creating' AND source_id = $1 LIMIT 1"};
const struct stmt stmt_snapshot_is_source = {
    "snapshot_is_source",
    "SELECT 1 FROM volumes WHERE state = 'creating' AND snapshot_id = $1 LIMIT 1"};
const struct stmt stmt_snapshots_drop = {"snapshots_drop",
                                         "DELETE FROM snapshots WHERE volume_id = $1"};
const struct stmt stmt_attachments_drop = {"attachments_drop",
                                           "DELETE FROM attachments WHERE volume_id = $1"};

enum volume_state volume_state_of(const struct volume *v)
{
    return volume_state_named(v->state);
}

void volume_set_state(struct ctx *cx, struct volume *v, enum volume_state to)
{
    const struct volume_life *l = volume_life_of(to);
    v->state = l->name;
    v->state_since = now_us(cx);
    v->state_deadline = l->deadline_s ? now_us(cx) + l->deadline_s * 1000000 : 0;
}

void volume_move(struct ctx *cx, struct volume *v, enum volume_state to)
{
    enum volume_state from = volume_state_of(v);
    if (from == to)
        return;
    must(volume_life_allows(from, to));
    volume_set_state(cx, v, to);
}

struct err *volume_settled(struct ctx *cx, struct tx *tx, const char *volume_id,
                           enum volume_state *ret)
{
    struct attachment **all;
    size_t n;
    TRY(attachments_of(cx, tx, volume_id, &all, &n));
    enum volume_state state = VS_AVAILABLE;
    for (size_t i = 0; i < n; i++) {
        enum volume_state one = attach_life_of(attach_state_of(all[i]))->settled;
        state =
            (enum volume_state)max_i64(one, state); /* the further along, the later in the enum */
    }
    *ret = state;
    return NULL;
}

struct err *volume_settle(struct ctx *cx, struct tx *tx, struct volume *v, unsigned from)
{
    enum volume_state to;
    TRY(volume_settled(cx, tx, v->id, &to));
    if (VS(volume_state_of(v)) & (RULED_BY_ATTACHMENTS | from))
        volume_move(cx, v, to);
    return volume_save(cx, tx, v); /* the host is told in any case: who may have it open */
}

struct err *volume_begin(struct call *c, struct volume *v, enum volume_act act)
{
    const struct volume_act_rule *rule = &volume_act_rules[act];
    enum volume_state now = volume_state_of(v);
    if (!(rule->from & VS(now)))
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Volume %s status must be %s to %s, but current status is: %s.",
                    v->id, volume_states_text(c->cx, rule->from), rule->name,
                    volume_life_of(now)->status);
    if (rule->to != VS_DELETING && !v->seen_ready)
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Volume %s has no data: its host never said that it was made.",
                    v->id);
    volume_move(c->cx, v, rule->to);
    return NULL;
}

struct err *volume_note_extended(struct ctx *cx, struct tx *tx, const struct volume *v,
                                 enum volume_state to)
{
    const char *server_id;
    if (volume_state_of(v) != VS_EXTENDING || to == VS_EXTENDING || !volume_cfg.extended)
        return NULL;
    TRY(volume_server(cx, tx, v->id, &server_id));
    return server_id ? volume_cfg.extended(cx, tx, server_id, to != VS_ERROR_EXTENDING) : NULL;
}

struct err *volume_save(struct ctx *cx, struct tx *tx, struct volume *v)
{
    TRY(res_update(cx, tx, &volume_resource, v));
    return v->host_id ? fleet_touch(cx, tx, v->host_id, "volume", v->id) : NULL;
}

/* All at once: their volume is gone. */
static struct err *remove_snapshots(struct ctx *cx, struct tx *tx, const char *volume_id)
{
    void **rows;
    size_t n;
    TRY(res_select_by(cx, tx, &snapshots_of_volume, &rows, &n, V_TEXT(volume_id)));
    if (!n)
        return NULL;
    TRY(db_run(cx, tx, &stmt_snapshots_drop, V_TEXT(volume_id)));
    for (size_t i = 0; i < n; i++)
        TRY(group_snapshot_settle(cx, tx, ROW(snapshot, rows, i)->group_snapshot_id));
    return NULL;
}

struct err *volume_remove(struct ctx *cx, struct tx *tx, struct volume *v)
{
    TRY(volume_transfer_cancel(cx, tx, v->id));
    TRY(db_run(cx, tx, &stmt_attachments_drop, V_TEXT(v->id)));
    TRY(remove_snapshots(cx, tx, v->id));
    TRY(res_delete(cx, tx, &volume_resource, v));
    return group_settle(cx, tx, v->group_id);
}

struct err *volume_doom(struct ctx *cx, struct tx *tx, struct volume *v)
{
    void **rows;
    size_t n;
    if (!v->host_id)
        return volume_remove(cx, tx, v);
    TRY(res_select_by(cx, tx, &snapshots_of_volume, &rows, &n, V_TEXT(v->id)));
    for (size_t i = 0; i < n; i++) {
        ROW(snapshot, rows, i)->wanted = false;
        snapshot_set_state(cx, rows[i], SN_DELETING);
        TRY(res_update(cx, tx, &snapshot_resource, rows[i]));
    }
    TRY(volume_transfer_cancel(cx, tx, v->id));
    TRY(image_export_cancel(cx, tx, EXPORT_VOLUME, v->id));
    v->wanted = false;
    volume_set_state(cx, v, VS_DELETING);
    return volume_save(cx, tx, v);
}

static struct err *any(struct ctx *cx, struct tx *tx, const struct stmt *st, const char *id,
                       bool *ret)
{
    struct db_value param = V_TEXT(id);
    struct db_rows rows;
    TRY(db_query(cx, tx, st, &param, 1, &rows));
    *ret = rows.n_rows > 0;
    return NULL;
}

struct err *volume_is_source(struct ctx *cx, struct tx *tx, const char *volume_id, bool *ret)
{
    return any(cx, tx, &stmt_volume_is_source, volume_id, ret);
}

struct err *snapshot_is_source(struct ctx *cx, struct tx *tx, const char *snapshot_id, bool *ret)
{
    return any(cx, tx, &stmt_snapshot_is_source, snapshot_id, ret);
}

/* ---------------------------------------------------------------- snapshots */

enum snapshot_state snapshot_state_of(const struct snapshot *s)
{
    return snapshot_state_named(s->state);
}

void snapshot_set_state(struct ctx *cx, struct snapshot *s, enum snapshot_state to)
{
    const struct snapshot_life *l = snapshot_life_of(to);
    s->state = l->name;
    s->state_since = now_us(cx);
    s->state_deadline = l->deadline_s ? now_us(cx) + l->deadline_s * 1000000 : 0;
}

void snapshot_move(struct ctx *cx, struct snapshot *s, enum snapshot_state to)
{
    enum snapshot_state from = snapshot_state_of(s);
    if (from == to)
        return;
    must(snapshot_life_allows(from, to));
    snapshot_set_state(cx, s, to);
}

struct err *snapshot_save(struct ctx *cx, struct tx *tx, struct snapshot *s)
{
    TRY(res_update(cx, tx, &snapshot_resource, s));
    return s->host_id ? fleet_touch(cx, tx, s->host_id, "volume", s->volume_id) : NULL;
}

struct err *snapshot_remove(struct ctx *cx, struct tx *tx, struct snapshot *s)
{
    TRY(res_delete(cx, tx, &snapshot_resource, s));
    return group_snapshot_settle(cx, tx, s->group_snapshot_id);
}

struct err *snapshot_doom(struct ctx *cx, struct tx *tx, struct snapshot *s)
{
    if (!s->host_id)
        return snapshot_remove(cx, tx, s);
    s->wanted = false;
    snapshot_set_state(cx, s, SN_DELETING);
    return snapshot_save(cx, tx, s);
}
