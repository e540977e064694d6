/* SPDX-License-Identifier: EUPL-1.2 */
/* A host is emptied: what `colvert admin host drain` does. Each server leaves as an administrator's
 * migration does, in a transaction of its own. */
#include "compute/impl.h"

const struct stmt stmt_migration_error = {
    "migration_error",
    "SELECT error FROM migrations WHERE server_id = $1 ORDER BY number DESC LIMIT 1"};

static struct err *begin(struct ctx *cx, struct store *store, const char *host_id,
                         const char *reason, struct db_rows *ret_ids)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(cx, store, &tx));
    TRY(fleet_host_set_enabled(cx, tx, host_id, false, reason));
    TRY(server_ids_on(cx, tx, host_id, ret_ids));
    TRY(audit_note(cx, tx, "compute:host-drain", host_id));
    return tx_commit(cx, &tx);
}

static struct err *leave(struct ctx *cx, struct store *store, const char *host_id,
                         struct compute_drained *d)
{
    static const char *const no_roles[] = {NULL};
    struct actor admin = {.admin = true, .roles = no_roles};
    AUTO_TXN struct tx *tx = NULL;
    void *row = NULL;
    bool live;
    TRY(tx_write(cx, store, &tx));
    TRY(res_get(cx, tx, &server_resource, d->id, &row));
    struct server *s = row;
    if (!s)
        return NULL;
    d->name = s->display_name;
    if (!str_eq(s->host_id, host_id) || move_under_way(s))
        return NULL;
    struct call c = {
        .cx = cx, .tx = tx, .store = store, .actor = &admin, .service = & compute_service };
    cx->request_id = arena_printf(cx->arena, "req-%s", uuid_new(cx)); /* of the records */
    TRY(server_leave(&c, s, &live));
    return tx_commit(cx, &tx);
}

/* One that changes meanwhile is asked again. */
static struct err *leave_or_say(struct ctx *cx, struct store *store, const char *host_id,
                                struct compute_drained *d)
{
    enum { TRIES = 5 };
    struct err *e = NULL;
    for (int i = 0; i < TRIES && (!i || (e && e->kind == ERR_STALE)); i++)
        e = leave(cx, store, host_id, d);
    if (e && e->kind != ERR_CONFLICT && e->kind != ERR_INVALID && e->kind != ERR_STALE)
        return e;
    d->why = e ? e->message : NULL;
    return NULL;
}

struct err *compute_host_drain(struct ctx *cx, struct store *store, const char *host_id,
                               const char *reason, struct compute_drained **ret, size_t *ret_n)
{
    struct db_rows ids;
    TRY(begin(cx, store, host_id, reason, &ids));
    *ret_n = ids.n_rows;
    *ret = arena_new_array(cx->arena, struct compute_drained, ids.n_rows + 1);
    for (size_t i = 0; i < ids.n_rows; i++) {
        (*ret)[i] = (struct compute_drained){.id = db_text(&ids, i, 0), .name = ""};
        TRY(leave_or_say(cx, store, host_id, &(*ret)[i]));
    }
    return compute_drain_look(cx, store, host_id, *ret, *ret_n);
}

static struct err *failure(struct ctx *cx, struct tx *tx, const char *server_id, const char **ret)
{
    const struct db_value id = V_TEXT(server_id);
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_migration_error, &id, 1, &rows));
    *ret = rows.n_rows ? db_text(&rows, 0, 0) : NULL;
    return NULL;
}

static struct err *look_at(struct ctx *cx, struct tx *tx, const char *host_id,
                           struct compute_drained *d)
{
    void *row = NULL;
    TRY(res_get(cx, tx, &server_resource, d->id, &row));
    const struct server *s = row;
    d->state = s ? lifecycle_of(state_of(s))->name : NULL;
    d->host = s ? s->host_name : NULL;
    d->moves = s && (move_under_way(s) || state_of(s) == ST_ARRIVING || state_of(s) == ST_RESIZE);
    d->left = !s || (!str_eq(s->host_id, host_id) && !str_eq(s->other_host_id, host_id));
    if (s && !d->left && !d->moves && !d->why)
        TRY(failure(cx, tx, d->id, &d->why));
    return NULL;
}

struct err *compute_drain_look(struct ctx *cx, struct store *store, const char *host_id,
                               struct compute_drained *all, size_t n)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_read(cx, store, &tx));
    for (size_t i = 0; i < n; i++)
        TRY(look_at(cx, tx, host_id, &all[i]));
    return NULL;
}
