/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Migrations: each in one transaction together with its row in schema_migration, whose checksum
 * shows later whether the text was changed after it had been applied. Several processes may start
 * at once: TX_MIGRATE lets them through one after another, and each looks again at what is done.
 */
#include <sodium.h>
#include "store/impl.h"

static const char create_sql[] =
    "CREATE TABLE IF NOT EXISTS " MIGRATION_TABLE " (number BIGINT PRIMARY KEY, "
    "name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";

static const struct stmt applied_list = {
    "schema_migration_list", "SELECT number, name, checksum FROM schema_migration ORDER BY number"};
static const struct stmt applied_add = {
    "schema_migration_add",
    "INSERT INTO schema_migration (number, name, checksum, applied_at) VALUES ($1, $2, $3, $4)"};

#define CHECKSUM_LEN (crypto_hash_sha256_BYTES * 2)

static void checksum(const char *sql, char out[CHECKSUM_LEN + 1])
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const uint8_t *)sql, strlen(sql));
    hex_encode(hash, sizeof(hash), out);
}

static struct err *check_applied(struct ctx *cx, const struct db_rows *applied,
                                 const struct migration *list, size_t n)
{
    if (applied->n_rows > n)
        return fail(
            cx, ERR_PRECONDITION,
            "the database has %zu migrations, this program knows only %zu: run a newer version",
            applied->n_rows, n);
    for (size_t i = 0; i < applied->n_rows; i++) {
        char sum[CHECKSUM_LEN + 1];
        checksum(list[i].sql, sum);
        if (db_int(applied, i, 0) != list[i].number || !str_eq(db_text(applied, i, 2), sum))
            return fail(
                cx, ERR_PRECONDITION,
                "migration %d '%s' is not the one the database was made with (%" PRId64 " '%s'): "
                "run the version that made it",
                list[i].number, list[i].name, db_int(applied, i, 0), db_text(applied, i, 1));
    }
    return NULL;
}

static struct err *apply(struct ctx *cx, struct tx *tx, const struct migration *m)
{
    char sum[CHECKSUM_LEN + 1];
    checksum(m->sql, sum);
    struct err *e = tx_script(cx, tx, m->sql);
    if (!e)
        e = db_run(cx, tx, &applied_add, V_INT(m->number), V_TEXT(m->name), V_TEXT(sum),
                   V_INT(now_us(cx)));
    return e ? wrap(cx, e, e->kind, "migration %d '%s' failed, nothing of it was applied",
                    m->number, m->name)
             : NULL;
}

struct err *migrations_complete(struct ctx *cx, struct tx *tx, const struct migration *list,
                                size_t n)
{
    const struct stmt tables = {"migrations_tables", tx_store(tx)->engine->tables_sql};
    struct db_rows rows, applied = {0};
    bool any = false;
    TRY(db_query(cx, tx, &tables, NULL, 0, &rows));
    for (size_t i = 0; i < rows.n_rows; i++)
        any = any || str_eq(db_text(&rows, i, 0), MIGRATION_TABLE);
    if (!any)
        return fail(cx, ERR_PRECONDITION, "there is no region in the database");
    TRY(db_query(cx, tx, &applied_list, NULL, 0, &applied));
    TRY(check_applied(cx, &applied, list, n));
    if (applied.n_rows < n)
        return fail(cx, ERR_PRECONDITION,
                    "the database is of an older version: run 'colvert admin migrate' first");
    return NULL;
}

/* One transaction: applies the first migration that is missing, if any. */
static struct err *migrate_step(struct ctx *cx, struct store *s, const struct migration *list,
                                size_t n, bool *ret_done)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_start(cx, s, TX_MIGRATE, &tx));
    TRY(tx_script(cx, tx, create_sql));
    struct db_rows applied;
    TRY(db_query(cx, tx, &applied_list, NULL, 0, &applied));
    TRY(check_applied(cx, &applied, list, n));
    if (applied.n_rows < n)
        TRY(apply(cx, tx, &list[applied.n_rows]));
    TRY(tx_commit(cx, &tx));
    *ret_done = applied.n_rows + 1 >= n;
    return NULL;
}

struct err *store_migrate(struct ctx *cx, struct store *s, const struct migration *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        must(list[i].number == (int)i + 1);
    for (bool done = false; !done;)
        TRY(migrate_step(cx, s, list, n, &done));
    return NULL;
}
