/* SPDX-License-Identifier: EUPL-1.2 */
/* What a host saw of a volume and its snapshots. Repeated, late and foreign reports change nothing.
 */
#include "volume/impl.h"

#define ERROR_MAX 1000

struct report {
    const json_t *observed;
    bool latest; /* answers the host's latest word */
    const char *error;
};

static const char *clean_error(struct ctx *cx, const char *error)
{
    if (!error || !*error)
        return NULL;
    const char *text = arena_strndup(cx->arena, error, strnlen(error, ERROR_MAX));
    return str_utf8_len(text) < 0 ? "the host reported an error that is no valid text" : text;
}

/* True when it differs from what the row has. */
static bool take_seen(struct volume *v, const struct report *r)
{
    bool ready = json_get_bool(r->observed, "ready", false);
    int64_t size = max_i64(0, json_get_int(r->observed, "size_gib", 0));
    bool same =
        v->seen_ready == ready && v->seen_size_gib == size && str_eq(v->seen_error, r->error);
    v->seen_ready = ready;
    v->seen_size_gib = size;
    v->seen_error = r->error;
    return !same;
}

/* ---------------------------------------------------------------- snapshots */

static bool names(const json_t *list, const char *id)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_eq(json_string_value(json_array_get(list, i)), id))
            return true;
    return false;
}

static struct err *take_snapshot(struct ctx *cx, struct tx *tx, struct snapshot *s,
                                 const struct report *r)
{
    bool there = names(json_get(r->observed, "snapshots"), s->id), was = s->seen_there;
    enum snapshot_state now = snapshot_state_of(s),
                        to = snapshot_next(now, s->wanted, there, r->latest, r->error);
    if (to == SN_GONE)
        return snapshot_remove(cx, tx, s);
    s->seen_there = there;
    if (to == now && there == was)
        return NULL;
    if (to == SN_ERROR)
        TRY(volume_message(cx, tx, s->project_id, "VOLUME_SNAPSHOT", s->id, "snapshot create",
                           "driver failed", r->error));
    snapshot_move(cx, s, to);
    TRY(res_update(cx, tx, &snapshot_resource, s));
    return group_snapshot_settle(cx, tx, s->group_snapshot_id);
}

static struct err *take_snapshots(struct ctx *cx, struct tx *tx, const char *volume_id,
                                  const struct report *r)
{
    void **rows;
    size_t n;
    TRY(res_select_by(cx, tx, &snapshots_of_volume, &rows, &n, V_TEXT(volume_id)));
    for (size_t i = 0; i < n; i++)
        TRY(take_snapshot(cx, tx, rows[i], r));
    return NULL;
}

/* ---------------------------------------------------------------- the volume */

static struct err *tell_user(struct ctx *cx, struct tx *tx, const struct volume *v,
                             enum volume_state to)
{
    const char *action = to == VS_ERROR             ? "create volume"
                         : to == VS_ERROR_EXTENDING ? "extend volume"
                         : to == VS_ERROR_DELETING  ? "delete volume"
                                                    : NULL;
    if (!action)
        return NULL;
    return volume_message(cx, tx, v->project_id, "VOLUME", v->id, action, "driver failed",
                          v->seen_error);
}

/* A server's host may have told of the volume in its guest before there was one to tell of here. */
static struct err *ask_users(struct ctx *cx, struct tx *tx, const struct volume *v)
{
    struct attachment **all;
    size_t n;
    TRY(attachments_of(cx, tx, v->id, &all, &n));
    for (size_t i = 0; i < n; i++)
        if (all[i]->plugged && attach_state_of(all[i]) == AT_ATTACHING)
            TRY(fleet_touch(cx, tx, volume_user_host(v), "server", all[i]->server_id));
    return NULL;
}

static struct err *take_volume(struct ctx *cx, struct tx *tx, struct volume *v,
                               const struct report *r)
{
    enum volume_state now = volume_state_of(v), settled;
    bool was_ready = v->seen_ready, changed = take_seen(v, r);
    const struct volume_desired d = {
        .has_host = true, .wanted = v->wanted, .size_gib = v->size_gib};
    const struct volume_observed o = {.ready = v->seen_ready,
                                      .absent = json_get_bool(r->observed, "absent", false),
                                      .size_gib = v->seen_size_gib,
                                      .error = r->latest ? r->error : NULL};
    TRY(volume_settled(cx, tx, v->id, &settled));
    enum volume_state to = volume_next(now, settled, &d, &o);
    if (to == VS_GONE)
        return volume_remove(cx, tx, v);
    if (!changed && to == now)
        return NULL;
    v->seen_at = now_us(cx);
    if (to != now)
        TRY(tell_user(cx, tx, v, to));
    TRY(volume_note_extended(cx, tx, v, to));
    volume_move(cx, v, to);
    TRY(res_update(cx, tx, &volume_resource, v));
    if (v->seen_ready && !was_ready)
        TRY(ask_users(cx, tx, v));
    if (v->seen_ready && v->next_host_id)
        TRY(volume_hand_over(cx, tx, v, v->next_host_id, REHOST_WAIT));
    return to == now ? NULL : group_settle(cx, tx, v->group_id);
}

struct err *volume_report(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                          const json_t *observed)
{
    int64_t revision;
    void *row = NULL;
    TRY(res_get(cx, tx, &volume_resource, item_id, &row));
    struct volume *v = row;
    if (!v)
        return NULL;
    TRY(fleet_revision(cx, tx, host_id, "volume", item_id, &revision));
    const struct report r = {.observed = observed,
                             .latest = json_get_int(observed, "revision", 0) >= revision,
                             .error = clean_error(cx, json_get_str(observed, "error"))};
    bool absent = json_get_bool(observed, "absent", false);
    if (str_eq(v->from_host_id, host_id))
        return absent && r.latest ? volume_arrives(cx, tx, v) : NULL;
    if (!str_eq(v->host_id, host_id) || v->from_host_id)
        return NULL;
    if (v->pool_id && absent && !r.latest) /* it was let go then, and is back */
        return NULL;
    TRY(take_snapshots(cx, tx, v->id, &r));
    return take_volume(cx, tx, v, &r);
}
