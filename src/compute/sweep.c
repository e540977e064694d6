/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Deadlines. Each row is its own transaction: several processes may sweep, the slower one finds the
 * row changed and leaves it.
 */
#include "compute/impl.h"

/* A deadline found that late passed while nobody swept: no host could report either, so what was
 * under way gets this time more. */
#define SWEEP_LATE_US (60 * 1000000LL)
/* How long the actions of deleted servers can still be read. */
#define ACTIONS_KEPT_US (24 * 3600 * 1000000LL)
#define BATCH 100

const struct res_where servers_expired = {
    &server_resource, "state_deadline IS NOT NULL AND state_deadline <= $1", "state_deadline"};

/* Those that wait for something. */
const struct res_where servers_building = {
    &server_resource, "state_deadline IS NOT NULL AND state = 'BUILD'", "state_deadline"};

static bool host_away(struct ctx *cx, struct tx *tx, const char *host_id)
{
    struct fleet_host host;
    return fleet_host_get(cx, tx, host_id, &host) != NULL || !host.alive;
}

static struct err *leave_lost_host(struct ctx *cx, struct tx *tx, struct server *s)
{
    TRY(server_offloaded(cx, tx, s));
    return res_update(cx, tx, &server_resource, s);
}

/* Not waited for with a deletion: a lost host's agent clears up when it comes back. */
static struct err *retry(struct ctx *cx, struct tx *tx, struct server *s, const struct lifecycle *l)
{
    bool lost = !s->host_id;
    if (!lost)
        TRY(fleet_host_lost(cx, tx, s->host_id, s->state_since, &lost));
    if (lost)
        return state_of(s) == ST_OFFLOADING ? leave_lost_host(cx, tx, s) : server_remove(cx, tx, s);
    s->state_deadline = now_us(cx) + l->deadline_s * 1000000;
    return server_save(cx, tx, s);
}

static struct err *expire(struct ctx *cx, struct tx *tx, struct server *s)
{
    enum server_state now = state_of(s);
    const struct lifecycle *l = lifecycle_of(now);
    if (now_us(cx) - s->state_deadline > SWEEP_LATE_US) {
        s->state_deadline = now_us(cx) + SWEEP_LATE_US;
        return res_update(cx, tx, &server_resource, s);
    }
    if (l->expiry == EXPIRE_RETRY)
        return retry(cx, tx, s, l);
    if (l->expiry == EXPIRE_UNDO)
        return move_undo(cx, tx, s, "error", "it took too long");
    must(l->expiry == EXPIRE_ERROR);
    const char *why = s->seen_error ? s->seen_error
                      : host_away(cx, tx, s->host_id ? s->host_id : "")
                          ? "its host does not answer"
                          : "its host has not finished";
    server_fault(cx, s, 500,
                 arena_printf(cx->arena,
                              "The server was still %s after %" PRId64
                              " s: %s. It goes on when the "
                              "host does; a hard reboot tries again.",
                              l->doing, l->deadline_s, why));
    TRY(server_move(cx, tx, s, lifecycle_expired(now)));
    return res_update(cx, tx, &server_resource, s);
}

/* Its host can't say why a volume is not made: the volume service can. */
static struct err *failed_volume(struct ctx *cx, struct tx *tx, const struct server *s,
                                 const struct volume_use **ret)
{
    struct volume_use *uses;
    size_t n;
    *ret = NULL;
    TRY(server_uses(cx, tx, s->id, &uses, &n));
    for (size_t i = 0; i < n && !*ret; i++)
        *ret = str_eq(uses[i].volume_status, "error") ? &uses[i] : NULL;
    return NULL;
}

static struct err *fail_building(struct ctx *cx, struct store *store, const char *id,
                                 bool *ret_moved)
{
    AUTO_TXN struct tx *tx = NULL;
    const struct volume_use *use;
    void *row = NULL;
    *ret_moved = false;
    TRY(tx_write(cx, store, &tx));
    TRY(res_get(cx, tx, &server_resource, id, &row));
    struct server *s = row;
    if (!s || state_of(s) != ST_BUILD)
        return NULL;
    TRY(failed_volume(cx, tx, s, &use));
    if (!use)
        return NULL;
    server_fault(
        cx, s, 500,
        arena_printf(cx->arena, "Build of instance %s aborted: Volume %s is in error: %s", s->id,
                     use->volume_id,
                     use->volume_error ? use->volume_error : "its host has not made it in time"));
    TRY(server_move(cx, tx, s, ST_ERROR));
    TRY(res_update(cx, tx, &server_resource, s));
    *ret_moved = true;
    return tx_commit(cx, &tx);
}

/* Ids of building servers that wait for a volume in error. Looks first, without writing. */
static struct err *doomed(struct ctx *cx, struct store *store, const char ***ret, size_t *ret_n)
{
    AUTO_TXN struct tx *tx = NULL;
    void **rows;
    size_t n;
    *ret_n = 0;
    TRY(tx_read(cx, store, &tx));
    TRY(res_select(cx, tx, &servers_building, NULL, 0, &rows, &n));
    *ret = arena_new_array(cx->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct volume_use *use;
        TRY(failed_volume(cx, tx, rows[i], &use));
        if (use)
            (*ret)[(*ret_n)++] = ROW(server, rows, i)->id;
    }
    return NULL;
}

static struct err *sweep_building(struct ctx *cx, struct store *store, size_t *changed)
{
    const char **ids;
    size_t n;
    TRY(doomed(cx, store, &ids, &n));
    for (size_t i = 0; i < n; i++) {
        bool moved;
        struct err *e = fail_building(cx, store, ids[i], &moved);
        if (e && e->kind != ERR_STALE)
            return e;
        *changed += !e && moved;
    }
    return NULL;
}

static struct err *expire_one(struct ctx *cx, struct store *store, const char *id, bool *ret_moved)
{
    AUTO_TXN struct tx *tx = NULL;
    void *row = NULL;
    *ret_moved = false;
    TRY(tx_write(cx, store, &tx));
    TRY(res_get(cx, tx, &server_resource, id, &row));
    struct server *s = row;
    if (!s || !s->state_deadline || s->state_deadline > now_us(cx))
        return NULL;
    TRY(expire(cx, tx, s));
    *ret_moved = true;
    return tx_commit(cx, &tx);
}

static struct err *expired(struct ctx *cx, struct store *store, void ***ret, size_t *ret_n)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_read(cx, store, &tx));
    return res_select_by(cx, tx, &servers_expired, ret, ret_n, V_INT(now_us(cx)));
}

/* Rows that nobody needs any more. Looks first: an idle cloud writes nothing. */
static struct err *purge(struct ctx *cx, struct store *store, const struct stmt *look,
                         const struct stmt *drop, int64_t before_us)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_value before = V_INT(before_us);
    struct db_rows rows;
    TRY(tx_read(cx, store, &tx));
    TRY(db_query(cx, tx, look, &before, 1, &rows));
    if (!rows.n_rows)
        return NULL;
    tx_rollback(&tx);
    TRY(tx_write(cx, store, &tx));
    TRY(db_run(cx, tx, drop, before));
    return tx_commit(cx, &tx);
}

struct err *compute_sweep(struct ctx *cx, struct store *store, size_t *ret_changed)
{
    void **rows;
    size_t n;
    *ret_changed = 0;
    TRY(expired(cx, store, &rows, &n));
    fleet_listens(cx, store);
    for (size_t i = 0; i < n && i < BATCH; i++) {
        bool moved;
        struct err *e = expire_one(cx, store, ROW(server, rows, i)->id, &moved);
        if (e && e->kind != ERR_STALE)
            return e;
        *ret_changed += !e && moved;
    }
    TRY(sweep_building(cx, store, ret_changed));
    TRY(purge(cx, store, &stmt_actions_stale, &stmt_actions_purge, now_us(cx) - ACTIONS_KEPT_US));
    TRY(purge(cx, store, &stmt_console_tokens_stale, &stmt_console_tokens_purge, now_us(cx)));
    return cached_images_sweep(cx, store);
}
