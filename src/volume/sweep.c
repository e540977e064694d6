/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Deadlines of volumes, snapshots and attachments. Each row is its own transaction: several
 * processes may sweep, the slower one finds the row changed and leaves it.
 */
#include "volume/impl.h"

/* A deadline found that late passed while nobody swept: no host could report either, so what was
 * under way gets this time more. */
#define SWEEP_LATE_US (60 * 1000000LL)
#define BATCH 100

const struct res_where volumes_expired = {
    &volume_resource, "state_deadline IS NOT NULL AND state_deadline <= $1", "state_deadline"};
const struct res_where snapshots_expired = {
    &snapshot_resource, "state_deadline IS NOT NULL AND state_deadline <= $1", "state_deadline"};
const struct res_where attachments_expired = {
    &attachment_resource, "state_deadline IS NOT NULL AND state_deadline <= $1", "state_deadline"};

/* A deletion does not wait for it: its agent clears up when it comes back. In a pool another host
 * does it. */
static struct err *is_lost(struct ctx *cx, struct tx *tx, const char *host_id, bool in_pool,
                           int64_t told_us, bool *ret)
{
    *ret = !host_id;
    return host_id && !in_pool ? fleet_host_lost(cx, tx, host_id, told_us, ret) : NULL;
}

static const char *why(struct ctx *cx, struct tx *tx, const struct volume *v)
{
    struct fleet_host host;
    if (v->seen_error)
        return v->seen_error;
    if (!v->host_id || fleet_host_get(cx, tx, v->host_id, &host) != NULL || !host.alive)
        return "its host does not answer";
    return "its host has not finished";
}

/* ---------------------------------------------------------------- volumes */

static struct err *give_up(struct ctx *cx, struct tx *tx, struct volume *v,
                           const struct volume_life *l)
{
    const char *text = arena_printf(cx->arena,
                                    "The volume was still %s after %" PRId64
                                    " s: %s. It becomes available when the host has done it.",
                                    l->doing, l->deadline_s, why(cx, tx, v));
    TRY(volume_message(cx, tx, v->project_id, "VOLUME", v->id,
                       l->failed == VS_ERROR ? "create volume" : "extend volume", "timed out",
                       text));
    TRY(volume_note_extended(cx, tx, v, l->failed));
    volume_move(cx, v, l->failed);
    TRY(res_update(cx, tx, &volume_resource, v));
    return group_settle(cx, tx, v->group_id);
}

/* The state may have been set by hand, with nothing left to be done. */
static struct err *expire_waiting(struct ctx *cx, struct tx *tx, struct volume *v,
                                  const struct volume_life *l)
{
    const struct volume_desired d = {
        .has_host = v->host_id != NULL, .wanted = v->wanted, .size_gib = v->size_gib};
    const struct volume_observed o = {.ready = v->seen_ready, .size_gib = v->seen_size_gib};
    enum volume_state settled;
    TRY(volume_settled(cx, tx, v->id, &settled));
    enum volume_state to = volume_next(volume_state_of(v), settled, &d, &o);
    if (to == volume_state_of(v))
        return give_up(cx, tx, v, l);
    volume_move(cx, v, to);
    return volume_save(cx, tx, v);
}

/* Deleting, but its host was never asked: an administrator said so, or a copy is still made. */
static struct err *expire_wanted(struct ctx *cx, struct tx *tx, struct volume *v,
                                 const struct volume_life *l)
{
    bool source;
    if (!v->going)
        return volume_settle(cx, tx, v, VS(volume_state_of(v)));
    TRY(volume_is_source(cx, tx, v->id, &source));
    if (!source)
        return volume_doom(cx, tx, v);
    v->state_deadline = now_us(cx) + l->deadline_s * 1000000;
    return res_update(cx, tx, &volume_resource, v);
}

static struct err *expire_volume(struct ctx *cx, struct tx *tx, void *row)
{
    struct volume *v = row;
    const struct volume_life *l = volume_life_of(volume_state_of(v));
    bool lost;
    switch (l->expiry) {
    case VEXP_ERROR:
        return expire_waiting(cx, tx, v, l);
    case VEXP_SETTLE:
        v->state_deadline = now_us(cx) + l->deadline_s * 1000000; /* of the state it is now in */
        return volume_settle(cx, tx, v, VS(volume_state_of(v)));
    case VEXP_RETRY:
        if (v->wanted)
            return expire_wanted(cx, tx, v, l);
        TRY(is_lost(cx, tx, v->host_id, v->pool_id, v->state_since, &lost));
        if (lost)
            return volume_remove(cx, tx, v);
        v->state_deadline = now_us(cx) + l->deadline_s * 1000000;
        return volume_save(cx, tx, v);
    case VEXP_NEVER:
        break;
    }
    bug_at(WHERE, l->name);
}

/* ---------------------------------------------------------------- snapshots */

static struct err *expire_snapshot(struct ctx *cx, struct tx *tx, void *row)
{
    struct snapshot *s = row;
    const struct snapshot_life *l = snapshot_life_of(snapshot_state_of(s));
    if (l->retry && !s->wanted) {
        void *of = NULL;
        bool lost;
        TRY(res_find(cx, tx, &volume_resource, s->volume_id, &of));
        TRY(is_lost(cx, tx, s->host_id, ((const struct volume *)of)->pool_id, s->state_since,
                    &lost));
        if (lost)
            return snapshot_remove(cx, tx, s);
        s->state_deadline = now_us(cx) + l->deadline_s * 1000000;
        return snapshot_save(cx, tx, s);
    }
    if (!s->seen_there)
        TRY(volume_message(cx, tx, s->project_id, "VOLUME_SNAPSHOT", s->id, "snapshot create",
                           "timed out", "The host has not made the snapshot in time."));
    snapshot_move(cx, s, s->seen_there ? SN_AVAILABLE : SN_ERROR);
    TRY(res_update(cx, tx, &snapshot_resource, s));
    return group_snapshot_settle(cx, tx, s->group_snapshot_id);
}

/* ---------------------------------------------------------------- attachments */

/* The server's host is told: whether the volume is among the server's is this service's word. */
static struct err *expire_attachment(struct ctx *cx, struct tx *tx, void *row)
{
    struct attachment *a = row;
    const struct attach_life *l = attach_life_of(attach_state_of(a));
    void *found = NULL;
    TRY(res_find(cx, tx, &volume_resource, a->volume_id, &found));
    struct volume *v = found;
    if (!v->seen_ready) { /* nothing to plug yet */
        a->state_deadline = now_us(cx) + l->deadline_s * 1000000;
        return res_update(cx, tx, &attachment_resource, a);
    }
    attach_move(cx, a, l->expired);
    TRY(res_update(cx, tx, &attachment_resource, a));
    TRY(volume_message(cx, tx, v->project_id, "VOLUME", v->id,
                       l->expired == AT_DETACHING ? "attach volume" : "detach volume", "timed out",
                       arena_printf(cx->arena, "Server %s did not do it within %" PRId64 " s.",
                                    a->server_id, l->deadline_s)));
    TRY(volume_settle(cx, tx, v, 0));
    return v->host_id ? fleet_touch(cx, tx, volume_user_host(v), "server", a->server_id) : NULL;
}

/* ---------------------------------------------------------------- all of them */

struct sweep {
    const struct res_where *expired;
    int deadline, id; /* fields */
    struct err *(*expire)(struct ctx *cx, struct tx *tx, void *row);
};
static const struct sweep sweeps[] = {
    {&volumes_expired, volume_f_state_deadline, volume_f_id, expire_volume},
    {&snapshots_expired, snapshot_f_state_deadline, snapshot_f_id, expire_snapshot},
    {&attachments_expired, attachment_f_state_deadline, attachment_f_id, expire_attachment},
};

static void *member(const struct sweep *s, void *row, int field)
{
    return (char *)row + s->expired->res->fields[field].offset;
}

static struct err *expire_one(struct ctx *cx, struct store *store, const struct sweep *s,
                              const char *id, bool *ret_moved)
{
    AUTO_TXN struct tx *tx = NULL;
    void *row = NULL;
    *ret_moved = false;
    TRY(tx_write(cx, store, &tx));
    TRY(res_get(cx, tx, s->expired->res, id, &row));
    int64_t *deadline = row ? member(s, row, s->deadline) : NULL;
    if (!row || !*deadline || *deadline > now_us(cx))
        return NULL;
    if (now_us(cx) - *deadline > SWEEP_LATE_US) {
        *deadline = now_us(cx) + SWEEP_LATE_US;
        TRY(res_update(cx, tx, s->expired->res, row));
        return tx_commit(cx, &tx);
    }
    TRY(s->expire(cx, tx, row));
    *ret_moved = true;
    return tx_commit(cx, &tx);
}

static struct err *expired(struct ctx *cx, struct store *store, const struct sweep *s, void ***ret,
                           size_t *ret_n)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_read(cx, store, &tx));
    return res_select_by(cx, tx, s->expired, ret, ret_n, V_INT(now_us(cx)));
}

static struct err *sweep(struct ctx *cx, struct store *store, const struct sweep *s,
                         size_t *changed)
{
    void **rows;
    size_t n;
    TRY(expired(cx, store, s, &rows, &n));
    for (size_t i = 0; i < n && i < BATCH; i++) {
        bool moved;
        const char *id = *(const char **)member(s, rows[i], s->id);
        struct err *e = expire_one(cx, store, s, id, &moved);
        if (e && e->kind != ERR_STALE)
            return e;
        *changed += !e && moved;
    }
    return NULL;
}

/* Looks first: an idle cloud writes nothing. */
static struct err *purge_messages(struct ctx *cx, struct store *store)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_value now = V_INT(now_us(cx));
    struct db_rows rows;
    TRY(tx_read(cx, store, &tx));
    TRY(db_query(cx, tx, &stmt_messages_stale, &now, 1, &rows));
    if (!rows.n_rows)
        return NULL;
    tx_rollback(&tx);
    TRY(tx_write(cx, store, &tx));
    TRY(db_run(cx, tx, &stmt_messages_purge, now));
    return tx_commit(cx, &tx);
}

struct err *volume_sweep(struct ctx *cx, struct store *store, size_t *ret_changed)
{
    *ret_changed = 0;
    for (size_t i = 0; i < ARRAY_LEN(sweeps); i++)
        TRY(sweep(cx, store, &sweeps[i], ret_changed));
    fleet_listens(cx, store);
    TRY(volume_pools_sweep(cx, store, ret_changed));
    return purge_messages(cx, store);
}
