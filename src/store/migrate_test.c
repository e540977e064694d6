/* SPDX-License-Identifier: EUPL-1.2 */
/* Migrations, the same on each engine (see test_env.h for which one runs). */
#include "store/test_env.h"

static const struct migration good[] = {
    {1, "first", "CREATE TABLE a (id BIGINT PRIMARY KEY);\nINSERT INTO a (id) VALUES (1);\n"},
    {2, "second", "ALTER TABLE a ADD COLUMN t TEXT;\nUPDATE a SET t = 'x; y'"},
    {3, "third", "-- needs the second\nCREATE TABLE b AS SELECT id, t FROM a;\n"},
};

static int setup(void **state)
{
    *state = env_new(4);
    return 0;
}

static int teardown(void **state)
{
    env_free(*state);
    return 0;
}

static struct db_rows query(struct env *e, const char *sql)
{
    const struct stmt st = {"query", sql};
    struct tx *tx;
    struct db_rows r;
    assert_ok(&e->cx, tx_read(&e->cx, e->s, &tx));
    assert_ok(&e->cx, db_query(&e->cx, tx, &st, NULL, 0, &r));
    tx_rollback(&tx);
    return r;
}

static bool table_exists(struct env *e, const char *name)
{
    const char *sql = "SELECT COUNT(*) FROM %s WHERE %s = '%s'";
    sql = env_is_sqlite(e) ? arena_printf(e->cx.arena, sql, "sqlite_schema", "name", name)
                           : arena_printf(e->cx.arena, sql, "pg_tables", "tablename", name);
    struct db_rows r = query(e, sql);
    return db_int(&r, 0, 0) == 1;
}

static int64_t n_applied(struct env *e)
{
    struct db_rows r = query(e, "SELECT COUNT(*) FROM schema_migration");
    return db_int(&r, 0, 0);
}

static void test_order(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    assert_ok(cx, store_migrate(cx, e->s, good, 1));
    assert_int_equal(n_applied(e), 1);
    assert_ok(cx, store_migrate(cx, e->s, good, 3));
    assert_ok(cx, store_migrate(cx, e->s, good, 3));
    struct db_rows b = query(e, "SELECT id, t FROM b");
    assert_int_equal(b.n_rows, 1);
    assert_string_equal(db_text(&b, 0, 1), "x; y");
    struct db_rows r = query(e, "SELECT number, name, checksum, applied_at "
                                "FROM schema_migration ORDER BY number");
    assert_int_equal(r.n_rows, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(db_int(&r, i, 0), good[i].number);
        assert_string_equal(db_text(&r, i, 1), good[i].name);
        assert_int_equal(strlen(db_text(&r, i, 2)), 64);
        assert_true(now_us(cx) - db_int(&r, i, 3) < 60000000);
    }
    /* As `sha256sum` has it. */
    assert_string_equal(db_text(&r, 0, 2),
                        "9c08869a261159626c88073f69919527e48e437c957a565356f2c37871e1b5de");
}

static void test_changed(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct migration changed[ARRAY_LEN(good)];
    memcpy(changed, good, sizeof(good));
    assert_ok(cx, store_migrate(cx, e->s, good, 2));
    changed[1].sql = "ALTER TABLE a ADD COLUMN t TEXT;\nUPDATE a SET t = 'z'";
    assert_err(cx, ERR_PRECONDITION, store_migrate(cx, e->s, changed, 3));
    assert_int_equal(n_applied(e), 2);
    /* A program older than the database. */
    assert_err(cx, ERR_PRECONDITION, store_migrate(cx, e->s, good, 1));
    assert_ok(cx, store_migrate(cx, e->s, good, 3));
}

static void test_failed(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct migration broken[ARRAY_LEN(good)];
    memcpy(broken, good, sizeof(good));
    broken[1].sql = "CREATE TABLE half (id BIGINT);\nINSERT INTO half (id) VALUES (1);\n"
                    "INSERT INTO a (id) VALUES (1);\n";
    struct err *err = store_migrate(cx, e->s, broken, 3);
    assert_err(cx, ERR_EXISTS, err);
    assert_non_null(strstr(err->message, "migration 2 'second'"));
    assert_int_equal(n_applied(e), 1);
    assert_false(table_exists(e, "half"));
    broken[1].sql = "CREATE TABLE half (id BIGINT);\nCREATE TABEL typo (id BIGINT);\n";
    assert_err(cx, ERR_INTERNAL, store_migrate(cx, e->s, broken, 3));
    assert_false(table_exists(e, "half"));
    assert_ok(cx, store_migrate(cx, e->s, good, 3));
    assert_true(table_exists(e, "b"));
}

/* Stopped at any point, the next start goes on. */
static void test_faults(void **state)
{
    struct env *e = *state;
    for (long nth = 1;; nth++) {
        store_fail_nth(e->s, nth);
        struct err *err = store_migrate(&e->cx, e->s, good, 3);
        if (store_fail_nth(e->s, 0) < nth) {
            assert_ok(&e->cx, err);
            assert_true(nth > 3);
            break;
        }
        assert_err(&e->cx, ERR_UNAVAILABLE, err);
    }
    assert_int_equal(n_applied(e), 3);
}

static void *migrator(void *arg)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct store *s;
    struct err *e = store_open(&cx, arg, 1, &s);
    if (!e) {
        e = store_migrate(&cx, s, good, 3);
        store_close(s);
    }
    return e ? strdup(err_chain(&cx, e)) : NULL;
}

/* Each thread has a store of its own, as each process has. */
static void test_many_at_once(void **state)
{
    struct env *e = *state;
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        must(pthread_create(&threads[i], NULL, migrator, (void *)(uintptr_t)e->url) == 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        void *error;
        pthread_join(threads[i], &error);
        if (error)
            print_error("%s\n", (char *)error);
        assert_null(error);
    }
    assert_int_equal(n_applied(e), 3);
    struct db_rows a = query(e, "SELECT id FROM a");
    assert_int_equal(a.n_rows, 1);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_order), T(test_changed), T(test_failed), T(test_faults), T(test_many_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
