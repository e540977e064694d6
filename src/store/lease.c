/* SPDX-License-Identifier: EUPL-1.2 */
/* See lease.h. */
#include "store/lease.h"

/* $4: what ended before that has no holder. */
const struct stmt stmt_lease_hold = {
    "lease_hold",
    "INSERT INTO leases (name, holder, until, generation) VALUES ($1, $2, $3, 1) "
    "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until, "
    "generation = CASE WHEN leases.holder = excluded.holder THEN leases.generation "
    "ELSE leases.generation + 1 END "
    "WHERE leases.holder = excluded.holder OR leases.until < $4 RETURNING generation"};
const struct stmt stmt_lease_check = {
    "lease_check", "SELECT 1 FROM leases WHERE name = $1 AND holder = $2 AND generation = $3"};
const struct stmt stmt_lease_release = {
    "lease_release",
    "UPDATE leases SET until = 0 WHERE name = $1 AND holder = $2 AND generation = $3"};
struct lease lease_of(struct ctx *cx, const char *name)
{
    struct lease l = {.name = name};
    snprintf(l.holder, sizeof(l.holder), "%s", uuid_new(cx));
    return l;
}

static struct err *take(struct ctx *cx, struct store *s, struct lease *l)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_rows rows;
    int64_t from = mono_us(cx), now = now_us(cx);
    const struct db_value params[] = {V_TEXT(l->name), V_TEXT(l->holder), V_INT(now + LEASE_US),
                                      V_INT(now - LEASE_SKEW_US)};
    l->until_us = 0;
    TRY(tx_write(cx, s, &tx));
    TRY(db_query(cx, tx, &stmt_lease_hold, params, ARRAY_LEN(params), &rows));
    if (!rows.n_rows)
        return NULL;
    TRY(tx_commit(cx, &tx));
    l->generation = db_int(&rows, 0, 0);
    l->until_us = from + LEASE_US;
    return NULL;
}

struct err *lease_hold(struct ctx *cx, struct store *s, struct lease *l, bool *ret_held)
{
    *ret_held = l->until_us && mono_us(cx) < l->until_us - LEASE_US / 2;
    if (*ret_held)
        return NULL;
    struct err *e = take(cx, s, l);
    if (e && e->kind != ERR_STALE) /* another was quicker */
        return e;
    *ret_held = l->until_us != 0;
    return NULL;
}

struct err *lease_check(struct ctx *cx, struct tx *tx, const struct lease *l)
{
    const struct db_value params[] = {V_TEXT(l->name), V_TEXT(l->holder), V_INT(l->generation)};
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_lease_check, params, ARRAY_LEN(params), &rows));
    return rows.n_rows ? NULL : fail(cx, ERR_STALE, "'%s' is another process's by now", l->name);
}

struct err *lease_release(struct ctx *cx, struct store *s, struct lease *l)
{
    AUTO_TXN struct tx *tx = NULL;
    if (!l->until_us)
        return NULL;
    l->until_us = 0;
    TRY(tx_write(cx, s, &tx));
    TRY(db_run(cx, tx, &stmt_lease_release, V_TEXT(l->name), V_TEXT(l->holder),
               V_INT(l->generation)));
    return tx_commit(cx, &tx);
}
