/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The store's behaviour, the same on each engine: SQLite in a folder under /tmp, or the PostgreSQL
 * server that COLVERT_TEST_POSTGRES names (see tests/with-postgres), whose public schema each test
 * makes anew.
 */
#include "base/test.h"
#include "store/store.h"

struct env {
    struct ctx cx;
    struct store *s;
    const char *url;
    char dir[32];
};

static const struct migration schema[] = {
    {1, "base",
     "CREATE TABLE parent (id BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE);\n"
     "CREATE TABLE child (id BIGINT PRIMARY KEY, parent_id BIGINT NOT NULL REFERENCES parent "
     "(id),\n"
     "  restricted_id BIGINT REFERENCES parent (id) ON DELETE RESTRICT)"},
    {2, "values", "CREATE TABLE kv (k BIGINT PRIMARY KEY, i BIGINT, t TEXT, b BYTEA);\n"},
};

static const struct stmt kv_put = {"kv_put", "INSERT INTO kv (i, t, b, k) VALUES ($2, $3, $4, $1)"};
static const struct stmt kv_get = {"kv_get", "SELECT i, t, b FROM kv WHERE k = $1"};
static const struct stmt kv_all = {"kv_all", "SELECT k, i FROM kv ORDER BY k"};
static const struct stmt kv_set = {"kv_set", "UPDATE kv SET i = $2 WHERE k = $1"};
static const struct stmt parent_add = {"parent_add",
                                       "INSERT INTO parent (id, name) VALUES ($1, $2)"};

static void reopen(struct env *e, unsigned max_conns)
{
    store_close(e->s);
    assert_ok(&e->cx, store_open(&e->cx, e->url, max_conns, &e->s));
}

static void script(struct env *e, const char *sql)
{
    const struct stmt st = {"script", sql};
    struct tx *tx;
    assert_ok(&e->cx, tx_write(&e->cx, e->s, &tx));
    assert_ok(&e->cx, db_exec(&e->cx, tx, &st, NULL, 0, NULL));
    assert_ok(&e->cx, tx_commit(&e->cx, &tx));
}

static int setup(void **state)
{
    struct env *e = calloc(1, sizeof(*e));
    ctx_init(&e->cx);
    e->url = getenv("COLVERT_TEST_POSTGRES");
    if (!e->url) {
        snprintf(e->dir, sizeof(e->dir), "/tmp/colvert-store-XXXXXX");
        assert_non_null(mkdtemp(e->dir));
        e->url = arena_printf(e->cx.arena, "sqlite:%s/db", e->dir);
    }
    reopen(e, 8);
    if (!e->dir[0]) {
        script(e, "DROP SCHEMA IF EXISTS public CASCADE");
        script(e, "CREATE SCHEMA public");
        reopen(e, 8);
    }
    *state = e;
    return 0;
}

static int setup_schema(void **state)
{
    setup(state);
    struct env *e = *state;
    assert_ok(&e->cx, store_migrate(&e->cx, e->s, schema, ARRAY_LEN(schema)));
    return 0;
}

static int teardown(void **state)
{
    struct env *e = *state;
    store_close(e->s);
    if (e->dir[0]) {
        static const char *const files[] = {"db", "db-wal", "db-shm"};
        for (size_t i = 0; i < ARRAY_LEN(files); i++)
            unlink(arena_printf(e->cx.arena, "%s/%s", e->dir, files[i]));
        assert_int_equal(rmdir(e->dir), 0);
    }
    ctx_release(&e->cx);
    free(e);
    return 0;
}

static int64_t query_int(struct env *e, struct tx *tx, const char *sql)
{
    const struct stmt st = {"query_int", sql};
    struct db_rows r;
    assert_ok(&e->cx, db_query(&e->cx, tx, &st, NULL, 0, &r));
    assert_int_equal(r.n_rows, 1);
    return db_int(&r, 0, 0);
}

static void put(struct env *e, int64_t k, int64_t i)
{
    struct tx *tx;
    assert_ok(&e->cx, tx_write(&e->cx, e->s, &tx));
    assert_ok(&e->cx, db_run(&e->cx, tx, &kv_put, V_INT(k), V_INT(i), V_NULL(), V_NULL()));
    assert_ok(&e->cx, tx_commit(&e->cx, &tx));
    assert_null(tx);
}

static int64_t get(struct env *e, struct tx *tx, int64_t k)
{
    struct db_rows r;
    assert_ok(&e->cx, db_query(&e->cx, tx, &kv_get, (struct db_value[]){V_INT(k)}, 1, &r));
    assert_int_equal(r.n_rows, 1);
    return db_int(&r, 0, 0);
}

static void test_values(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    static const char bytes[] = {0, 1, '\\', 'x', 0, (char)0xff};
    struct tx *tx;
    assert_ok(cx, tx_write(cx, e->s, &tx));
    assert_ok(cx, db_run(cx, tx, &kv_put, V_INT(1), V_INT(INT64_MAX), V_TEXT("grüße 🌍 'x'"),
                         V_BYTES(bytes, sizeof(bytes))));
    assert_ok(cx, db_run(cx, tx, &kv_put, V_INT(2), V_INT(INT64_MIN), V_TEXT(""), V_BYTES("", 0)));
    assert_ok(cx, db_run(cx, tx, &kv_put, V_INT(3), V_NULL(), V_TEXT(NULL), V_BYTES(NULL, 0)));
    assert_ok(cx, tx_commit(cx, &tx));
    reopen(e, 8);
    assert_ok(cx, tx_read(cx, e->s, &tx));
    struct db_rows r;
    const struct stmt all = {"all", "SELECT i, t, b FROM kv ORDER BY k"};
    assert_ok(cx, db_query(cx, tx, &all, NULL, 0, &r));
    tx_rollback(&tx);
    assert_int_equal(r.n_rows, 3);
    assert_int_equal(r.n_cols, 3);
    assert_true(db_int(&r, 0, 0) == INT64_MAX && db_int(&r, 1, 0) == INT64_MIN);
    assert_string_equal(db_text(&r, 0, 1), "grüße 🌍 'x'");
    assert_int_equal(db_cell(&r, 0, 1)->size, strlen("grüße 🌍 'x'"));
    assert_int_equal(db_cell(&r, 0, 2)->type, DB_BYTES);
    assert_int_equal(db_cell(&r, 0, 2)->size, sizeof(bytes));
    assert_memory_equal(db_text(&r, 0, 2), bytes, sizeof(bytes));
    assert_int_equal(db_cell(&r, 1, 1)->type, DB_TEXT);
    assert_string_equal(db_text(&r, 1, 1), "");
    assert_int_equal(db_cell(&r, 1, 2)->type, DB_BYTES);
    assert_int_equal(db_cell(&r, 1, 2)->size, 0);
    for (size_t col = 0; col < 3; col++)
        assert_int_equal(db_cell(&r, 2, col)->type, DB_NULL);
    assert_null(db_text(&r, 2, 1));
}

static void test_durable(void **state)
{
    struct env *e = *state;
    put(e, 1, 42);
    struct tx *tx;
    assert_ok(&e->cx, tx_write(&e->cx, e->s, &tx));
    assert_ok(&e->cx, db_run(&e->cx, tx, &kv_set, V_INT(1), V_INT(43)));
    tx_rollback(&tx);
    assert_null(tx);
    tx_rollback(&tx);
    reopen(e, 8);
    assert_ok(&e->cx, tx_read(&e->cx, e->s, &tx));
    assert_int_equal(get(e, tx, 1), 42);
    assert_ok(&e->cx, tx_commit(&e->cx, &tx));
}

static int64_t count(struct env *e, const char *table)
{
    struct tx *tx;
    assert_ok(&e->cx, tx_read(&e->cx, e->s, &tx));
    int64_t n = query_int(e, tx, arena_printf(e->cx.arena, "SELECT COUNT(*) FROM %s", table));
    tx_rollback(&tx);
    return n;
}

/* Each breach fails with its kind, and takes the transaction with it. */
static void expect_breach(struct env *e, enum err_kind kind, const char *sql)
{
    struct ctx *cx = &e->cx;
    const struct stmt st = {"breach", sql};
    struct tx *tx;
    assert_ok(cx, tx_write(cx, e->s, &tx));
    assert_ok(cx, db_run(cx, tx, &parent_add, V_INT(99), V_TEXT("lost with the transaction")));
    assert_err(cx, kind, db_exec(cx, tx, &st, NULL, 0, NULL));
    assert_err(cx, kind, db_run(cx, tx, &parent_add, V_INT(100), V_TEXT("good, but too late")));
    struct db_rows r;
    assert_err(cx, kind, db_query(cx, tx, &kv_all, NULL, 0, &r));
    assert_err(cx, kind, store_check(cx, tx, &kv_all));
    assert_err(cx, kind, tx_commit(cx, &tx));
    assert_null(tx);
}

static void test_constraints(void **state)
{
    struct env *e = *state;
    script(e, "INSERT INTO parent (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    script(e, "INSERT INTO child (id, parent_id, restricted_id) VALUES (1, 1, 2)");
    expect_breach(e, ERR_EXISTS, "INSERT INTO parent (id, name) VALUES (1, 'x')");
    expect_breach(e, ERR_EXISTS, "INSERT INTO parent (id, name) VALUES (4, 'a')");
    expect_breach(e, ERR_EXISTS, "UPDATE parent SET name = 'a' WHERE id = 2");
    expect_breach(e, ERR_IN_USE, "DELETE FROM parent WHERE id = 1");
    expect_breach(e, ERR_IN_USE, "DELETE FROM parent WHERE id = 2");
    expect_breach(e, ERR_IN_USE, "INSERT INTO child (id, parent_id) VALUES (2, 77)");
    expect_breach(e, ERR_INTERNAL, "INSERT INTO parent (id) VALUES (5)");
    expect_breach(e, ERR_INTERNAL, "INSERT INTO nowhere (id) VALUES (5)");
    expect_breach(e, ERR_INTERNAL, "SELECT 1; SELECT 2");
    assert_int_equal(count(e, "parent"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup_schema, teardown)
        T(test_values),
        T(test_durable),
        T(test_constraints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
