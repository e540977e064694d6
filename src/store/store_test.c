/* SPDX-License-Identifier: EUPL-1.2 */
/* The store's behaviour, the same on each engine (see test_env.h for which one runs). */
#include <stdatomic.h>
#include "store/test_env.h"

static const struct migration schema[] = {
    {1, "base",
     "CREATE TABLE parent (id BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE);\n"
     "CREATE TABLE child (id BIGINT PRIMARY KEY, parent_id BIGINT NOT NULL REFERENCES parent "
     "(id),\n"
     "  restricted_id BIGINT REFERENCES parent (id) ON DELETE RESTRICT,\n"
     "  late_id BIGINT REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"},
    {2, "values", "CREATE TABLE kv (k BIGINT PRIMARY KEY, i BIGINT, t TEXT, b BYTEA);\n"},
};

static const struct stmt kv_put = {"kv_put", "INSERT INTO kv (i, t, b, k) VALUES ($2, $3, $4, $1)"};
static const struct stmt kv_get = {"kv_get", "SELECT i FROM kv WHERE k = $1"};
static const struct stmt kv_all = {"kv_all", "SELECT k, i FROM kv ORDER BY k"};
static const struct stmt kv_set = {"kv_set", "UPDATE kv SET i = $2 WHERE k = $1"};
static const struct stmt parent_add = {"parent_add",
                                       "INSERT INTO parent (id, name) VALUES ($1, $2)"};

static int setup(void **state)
{
    struct env *e = env_new(8);
    assert_ok(&e->cx, store_migrate(&e->cx, e->s, schema, ARRAY_LEN(schema)));
    *state = e;
    return 0;
}

static int teardown(void **state)
{
    env_free(*state);
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

static int64_t read_int(struct env *e, const char *sql)
{
    struct tx *tx;
    assert_ok(&e->cx, tx_read(&e->cx, e->s, &tx));
    int64_t v = query_int(e, tx, sql);
    tx_rollback(&tx);
    return v;
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

/* Values. */

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
    env_reopen(e, 8);
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

static void test_big_values(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    size_t size = 3 << 20;
    char *data = arena_alloc(cx->arena, size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)('a' + i % 26);
    struct tx *tx;
    assert_ok(cx, tx_write(cx, e->s, &tx));
    assert_ok(cx, db_run(cx, tx, &kv_put, V_INT(1), V_INT(1), V_TEXT(data), V_BYTES(data, size)));
    struct db_rows r;
    const struct stmt all = {"all", "SELECT t, b FROM kv"};
    assert_ok(cx, db_query(cx, tx, &all, NULL, 0, &r));
    tx_rollback(&tx);
    for (size_t col = 0; col < 2; col++) {
        assert_int_equal(db_cell(&r, 0, col)->size, size);
        assert_memory_equal(db_text(&r, 0, col), data, size + 1);
    }
}

/* What SQL computes comes as an integer on both engines, or not at all. */
static void test_computed(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    put(e, 1, 4611686018427387904);
    put(e, 2, -4611686018427387904);
    put(e, 3, 70001);
    assert_int_equal(read_int(e, "SELECT SUM(i) FROM kv"), 70001);
    assert_true(read_int(e, "SELECT SUM(i) FROM kv WHERE k IN (1, 3)") == 4611686018427457905);
    assert_true(read_int(e, "SELECT SUM(i) FROM kv WHERE k = 2") == -4611686018427387904);
    assert_int_equal(read_int(e, "SELECT SUM(i) - 70001 FROM kv"), 0);
    assert_int_equal(read_int(e, "SELECT COALESCE(SUM(i), 0) FROM kv WHERE k > 9"), 0);
    assert_int_equal(read_int(e, "SELECT 20000 * SUM(5) FROM kv"), 300000);
    assert_int_equal(read_int(e, "SELECT COUNT(*) FROM kv WHERE i > 0"), 2);
    assert_int_equal(read_int(e, "SELECT EXISTS (SELECT 1 FROM kv WHERE k = 1)"), 1);
    assert_int_equal(read_int(e, "SELECT 1 = 2"), 0);
    assert_int_equal(read_int(e, "SELECT -7"), -7);
    assert_int_equal(read_int(e, "SELECT LENGTH('grüße')"), 5);
    assert_int_equal(read_int(e, "SELECT CASE WHEN 'Abc' LIKE 'a%' THEN 1 ELSE 0 END"), 0);
    assert_int_equal(read_int(e, "SELECT CASE WHEN 'Z' < 'a' THEN 1 ELSE 0 END"), 1);
    const struct stmt fraction = {"fraction", "SELECT CAST(1.5 AS REAL)"};
    struct tx *tx;
    struct db_rows r;
    assert_ok(cx, tx_read(cx, e->s, &tx));
    assert_err(cx, ERR_INTERNAL, db_query(cx, tx, &fraction, NULL, 0, &r));
    tx_rollback(&tx);
}

static void test_params(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    const struct stmt mixed = {"mixed", "SELECT CAST($3 AS TEXT) || CAST($1 AS TEXT) || $3, "
                                        "CAST($2 AS BIGINT), CAST($2 AS BIGINT) WHERE $1 = 'a'"};
    const struct db_value abc[] = {V_TEXT("a"), V_INT(-5), V_TEXT("c")};
    struct tx *tx;
    struct db_rows r;
    assert_ok(cx, tx_read(cx, e->s, &tx));
    assert_ok(cx, db_query(cx, tx, &mixed, abc, 3, &r));
    assert_string_equal(db_text(&r, 0, 0), "cac");
    assert_int_equal(db_int(&r, 0, 1), -5);
    assert_int_equal(db_int(&r, 0, 2), -5);
    tx_rollback(&tx);

    const struct {
        enum err_kind kind;
        size_t n;
        struct db_value v[4];
    } bad[] = {
        {ERR_INTERNAL, 2, {V_TEXT("a"), V_INT(1)}},
        {ERR_INTERNAL, 4, {V_TEXT("a"), V_INT(1), V_TEXT("c"), V_NULL()}},
        {ERR_INVALID, 3, {V_TEXT("\xff\xfe"), V_INT(1), V_TEXT("c")}},
        {ERR_INVALID, 3, {{.type = DB_TEXT, .s = "a\0b", .size = 3}, V_INT(1), V_TEXT("c")}},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_ok(cx, tx_read(cx, e->s, &tx));
        assert_err(cx, bad[i].kind, db_query(cx, tx, &mixed, bad[i].v, bad[i].n, &r));
        assert_err(cx, bad[i].kind, db_query(cx, tx, &mixed, abc, 3, &r));
        assert_err(cx, bad[i].kind, tx_commit(cx, &tx));
    }
}

static void test_changes(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    static const struct {
        const char *sql;
        int64_t changes;
    } steps[] = {
        {"INSERT INTO kv (k, i) VALUES (1, 1), (2, 1), (3, 1)", 3},
        {"UPDATE kv SET i = 2 WHERE k > 1", 2},
        {"UPDATE kv SET i = 2 WHERE k > 10", 0},
        {"INSERT INTO kv (k, i) VALUES (1, 5) ON CONFLICT DO NOTHING", 0},
        {"INSERT INTO kv (k, i) VALUES (1, 5) ON CONFLICT (k) DO UPDATE SET i = 5", 1},
        {"SELECT k FROM kv", 0},
        {"CREATE TABLE made (k BIGINT)", 0},
        {"DELETE FROM kv WHERE k < 3 RETURNING k", 2},
    };
    struct tx *tx;
    assert_ok(cx, tx_write(cx, e->s, &tx));
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        const struct stmt st = {"step", steps[i].sql};
        int64_t changes = -1;
        assert_ok(cx, db_exec(cx, tx, &st, NULL, 0, &changes));
        assert_int_equal(changes, steps[i].changes);
    }
    const struct stmt raise = {"raise", "UPDATE kv SET i = i + 0"};
    assert_ok(cx, db_run(cx, tx, &raise));
    const struct stmt returning = {"returning", "UPDATE kv SET i = i + 70 RETURNING k, i"};
    struct db_rows r;
    assert_ok(cx, db_query(cx, tx, &returning, NULL, 0, &r));
    assert_int_equal(r.n_rows, 1);
    assert_int_equal(db_int(&r, 0, 0), 3);
    assert_int_equal(db_int(&r, 0, 1), 72);
    assert_ok(cx, tx_commit(cx, &tx));
}

/* Rows one by one. */

struct walk {
    int64_t seen, sum, stop_at;
};

static struct err *walk_row(struct ctx *cx, const struct db_value *cells, size_t n, void *arg)
{
    struct walk *w = arg;
    assert_int_equal(n, 2);
    if (cells[0].i == w->stop_at)
        return fail(cx, ERR_GONE, "seen enough");
    w->seen++;
    w->sum += cells[1].i;
    return NULL;
}

static void test_each(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct tx *tx;
    assert_ok(cx, tx_write(cx, e->s, &tx));
    for (int64_t k = 1; k <= 1000; k++)
        assert_ok(cx, db_run(cx, tx, &kv_put, V_INT(k), V_INT(2), V_TEXT("x"), V_NULL()));
    struct walk all = {0}, some = {.stop_at = 11}, again = {0};
    assert_ok(cx, db_each(cx, tx, &kv_all, NULL, 0, walk_row, &all));
    assert_int_equal(all.seen, 1000);
    assert_int_equal(all.sum, 2000);
    assert_err(cx, ERR_GONE, db_each(cx, tx, &kv_all, NULL, 0, walk_row, &some));
    assert_int_equal(some.seen, 10);
    /* Only an error of the database ends the transaction. */
    assert_ok(cx, db_run(cx, tx, &kv_set, V_INT(1), V_INT(3)));
    assert_ok(cx, db_each(cx, tx, &kv_all, NULL, 0, walk_row, &again));
    assert_int_equal(again.sum, 2001);
    assert_ok(cx, tx_commit(cx, &tx));
}

/* Errors. */

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
    struct walk w = {0};
    assert_err(cx, kind, db_query(cx, tx, &kv_all, NULL, 0, &r));
    assert_err(cx, kind, db_each(cx, tx, &kv_all, NULL, 0, walk_row, &w));
    assert_err(cx, kind, store_check(cx, tx, &kv_all));
    assert_err(cx, kind, tx_commit(cx, &tx));
    assert_null(tx);
}

static void test_constraints(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    env_run(e, "INSERT INTO parent (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    env_run(e, "INSERT INTO child (id, parent_id, restricted_id) VALUES (1, 1, 2)");
    expect_breach(e, ERR_EXISTS, "INSERT INTO parent (id, name) VALUES (1, 'x')");
    expect_breach(e, ERR_EXISTS, "INSERT INTO parent (id, name) VALUES (4, 'a')");
    expect_breach(e, ERR_EXISTS, "UPDATE parent SET name = 'a' WHERE id = 2");
    expect_breach(e, ERR_IN_USE, "DELETE FROM parent WHERE id = 1");
    expect_breach(e, ERR_IN_USE, "DELETE FROM parent WHERE id = 2");
    expect_breach(e, ERR_IN_USE, "INSERT INTO child (id, parent_id) VALUES (2, 77)");
    expect_breach(e, ERR_INTERNAL, "INSERT INTO parent (id) VALUES (5)");
    expect_breach(e, ERR_INTERNAL, "INSERT INTO nowhere (id) VALUES (5)");
    expect_breach(e, ERR_INTERNAL, "SELECT \"not a column\"");
    expect_breach(e, ERR_INTERNAL, "SELECT 1; SELECT 2");
    expect_breach(e, ERR_INTERNAL, "SELECT CAST($2 AS TEXT)");
    /* A deferred one shows at the commit. */
    const struct stmt late = {"late",
                              "INSERT INTO child (id, parent_id, late_id) VALUES (9, 3, 77)"};
    struct tx *tx;
    assert_ok(cx, tx_write(cx, e->s, &tx));
    assert_ok(cx, db_exec(cx, tx, &late, NULL, 0, NULL));
    assert_err(cx, ERR_IN_USE, tx_commit(cx, &tx));
    assert_int_equal(read_int(e, "SELECT COUNT(*) FROM parent"), 3);
    assert_int_equal(read_int(e, "SELECT COUNT(*) FROM child"), 1);
}

/* What the user reads names no table; what the log gets does. */
static void test_messages(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct tx *tx;
    put(e, 1, 1);
    assert_ok(cx, tx_write(cx, e->s, &tx));
    struct err *err = db_run(cx, tx, &kv_put, V_INT(1), V_INT(1), V_NULL(), V_NULL());
    tx_rollback(&tx);
    assert_non_null(err);
    assert_null(strstr(err->message, "kv"));
    assert_non_null(strstr(err_chain(cx, err), "kv_put"));
    assert_non_null(strstr(err_chain(cx, err), env_is_sqlite(e) ? "kv.k" : "kv_pkey"));
}

static void test_readers_only_read(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct tx *tx;
    put(e, 1, 1);
    assert_ok(cx, tx_read(cx, e->s, &tx));
    assert_err(cx, ERR_INTERNAL, db_run(cx, tx, &kv_set, V_INT(1), V_INT(2)));
    assert_err(cx, ERR_INTERNAL, tx_commit(cx, &tx));
    assert_int_equal(read_int(e, "SELECT i FROM kv"), 1);
}

static void test_check(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    const struct stmt bad = {"bad", "SELECT nothing FROM kv WHERE k = $1"};
    struct tx *tx;
    assert_ok(cx, tx_read(cx, e->s, &tx));
    assert_ok(cx, store_check(cx, tx, &kv_put));
    assert_ok(cx, store_check(cx, tx, &kv_get));
    assert_err(cx, ERR_INTERNAL, store_check(cx, tx, &bad));
    tx_rollback(&tx);
    assert_int_equal(read_int(e, "SELECT COUNT(*) FROM kv"), 0);
}

static void test_statement_limit(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    const struct stmt endless = {"endless",
                                 "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x FROM c) "
                                 "SELECT COUNT(*) FROM c"};
    const struct stmt limit = {"limit", "SET LOCAL statement_timeout = 100"};
    struct tx *tx;
    struct db_rows r;
    assert_ok(cx, tx_read(cx, e->s, &tx));
    if (env_is_sqlite(e))
        cx->deadline_us = mono_us(cx) + 100000;
    else
        assert_ok(cx, db_exec(cx, tx, &limit, NULL, 0, NULL));
    int64_t start_us = mono_us(cx);
    assert_err(cx, ERR_UNAVAILABLE, db_query(cx, tx, &endless, NULL, 0, &r));
    assert_true(mono_us(cx) - start_us < 15000000);
    assert_err(cx, ERR_UNAVAILABLE, tx_commit(cx, &tx));
    cx->deadline_us = 0;
    assert_int_equal(read_int(e, "SELECT COUNT(*) FROM kv"), 0);
}

/* Transactions. */

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
    env_reopen(e, 8);
    assert_ok(&e->cx, tx_read(&e->cx, e->s, &tx));
    assert_int_equal(get(e, tx, 1), 42);
    assert_ok(&e->cx, tx_commit(&e->cx, &tx));
    assert_null(tx);
}

static void test_snapshot(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct tx *early, *writer, *during;
    put(e, 1, 1);
    assert_ok(cx, tx_read(cx, e->s, &early));
    put(e, 1 + 1, 1);
    /* The snapshot was taken at the start, before the first query. */
    assert_int_equal(query_int(e, early, "SELECT COUNT(*) FROM kv"), 1);
    /* A reader doesn't wait for a writer, nor sees what isn't committed. */
    assert_ok(cx, tx_write(cx, e->s, &writer));
    assert_ok(cx, db_run(cx, writer, &kv_set, V_INT(1), V_INT(7)));
    assert_ok(cx, tx_read(cx, e->s, &during)); /* one that waited for it would wait for itself */
    assert_int_equal(get(e, during, 1), 1);
    assert_int_equal(get(e, writer, 1), 7);
    assert_ok(cx, tx_commit(cx, &writer));
    assert_int_equal(get(e, during, 1), 1);
    assert_int_equal(get(e, early, 1), 1);
    tx_rollback(&early);
    tx_rollback(&during);
    assert_int_equal(read_int(e, "SELECT i FROM kv WHERE k = 1"), 7);
}

#define N_THREADS 4
#define N_ROUNDS 50

/* Read, add one, write: a race may be lost. */
static struct err *increment(struct ctx *cx, struct store *s)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_rows r;
    TRY(tx_write(cx, s, &tx));
    TRY(db_query(cx, tx, &kv_get, (struct db_value[]){V_INT(1)}, 1, &r));
    TRY(db_run(cx, tx, &kv_set, V_INT(1), V_INT(db_int(&r, 0, 0) + 1)));
    return tx_commit(cx, &tx);
}

static void *incrementer(void *arg)
{
    for (int i = 0; i < N_ROUNDS; i++) {
        AUTO_CTX struct ctx cx;
        ctx_init(&cx);
        unsigned tries = 0;
        struct err *e;
        do
            e = increment(&cx, arg);
        while (tx_again(&cx, e, &tries));
        if (e)
            return strdup(err_chain(&cx, e));
    }
    return NULL;
}

static void *reader(void *arg)
{
    int64_t last = 0;
    for (int i = 0; i < N_ROUNDS * 2; i++) {
        AUTO_CTX struct ctx cx;
        ctx_init(&cx);
        AUTO_TXN struct tx *tx = NULL;
        struct db_rows r;
        struct err *e = tx_read(&cx, arg, &tx);
        if (!e)
            e = db_query(&cx, tx, &kv_get, (struct db_value[]){V_INT(1)}, 1, &r);
        if (e)
            return strdup(err_chain(&cx, e));
        if (db_int(&r, 0, 0) < last)
            return strdup("a later reader saw an earlier value");
        last = db_int(&r, 0, 0);
    }
    return NULL;
}

static void test_concurrent(void **state)
{
    struct env *e = *state;
    put(e, 1, 0);
    pthread_t threads[N_THREADS * 2];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        must(pthread_create(&threads[i], NULL, i < N_THREADS ? incrementer : reader, e->s) == 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        void *error;
        pthread_join(threads[i], &error);
        if (error)
            print_error("%s\n", (char *)error);
        assert_null(error);
    }
    assert_int_equal(read_int(e, "SELECT i FROM kv"), N_THREADS * N_ROUNDS);
}

static void test_pool(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    env_reopen(e, 2);
    struct tx *a, *b, *c;
    assert_ok(cx, tx_read(cx, e->s, &a));
    assert_ok(cx, tx_read(cx, e->s, &b));
    int64_t start_us = mono_us(cx);
    cx->deadline_us = start_us + 100000;
    assert_err(cx, ERR_UNAVAILABLE, tx_read(cx, e->s, &c));
    assert_true(mono_us(cx) - start_us >= 100000);
    assert_true(mono_us(cx) - start_us < 15000000);
    /* A deadline in the past doesn't wait at all; nor does it matter when nobody needs to wait. */
    assert_err(cx, ERR_UNAVAILABLE, tx_write(cx, e->s, &c));
    tx_rollback(&b);
    assert_ok(cx, tx_write(cx, e->s, &c));
    tx_rollback(&c);
    tx_rollback(&a);
    cx->deadline_us = 0;
    put(e, 1, 1);
}

/* Hooks. */

struct hooked {
    struct env *e;
    char calls[8];
    size_t n;
    int64_t seen;
};

static void hook_a(void *arg)
{
    struct hooked *h = arg;
    h->calls[h->n++] = 'a';
}

/* What was committed is there, and so is the connection. */
static void hook_b(void *arg)
{
    struct hooked *h = arg;
    h->calls[h->n++] = 'b';
    h->seen = read_int(h->e, "SELECT COUNT(*) FROM kv");
    put(h->e, 50, 0);
}

static void test_hooks(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    env_reopen(e, 1);
    struct hooked h = {.e = e};
    struct tx *tx;
    assert_ok(cx, tx_write(cx, e->s, &tx));
    assert_ptr_equal(tx_store(tx), e->s);
    tx_on_commit(tx, hook_a, &h);
    tx_rollback(&tx);
    assert_ok(cx, tx_write(cx, e->s, &tx));
    tx_on_commit(tx, hook_a, &h);
    store_fail_nth(e->s, 1);
    assert_err(cx, ERR_UNAVAILABLE, tx_commit(cx, &tx));
    assert_int_equal(store_fail_nth(e->s, 0), 1);
    assert_int_equal(h.n, 0);

    assert_ok(cx, tx_write(cx, e->s, &tx));
    assert_ok(cx, db_run(cx, tx, &kv_put, V_INT(1), V_INT(1), V_NULL(), V_NULL()));
    for (int i = 0; i < 5; i++)
        tx_on_commit(tx, hook_a, &h);
    tx_on_commit(tx, hook_b, &h);
    assert_int_equal(h.n, 0);
    assert_ok(cx, tx_commit(cx, &tx));
    assert_string_equal(h.calls, "aaaaab");
    assert_int_equal(h.seen, 1);
    put(e, 2, 1);
    assert_int_equal(h.n, 6);
}

/* Faults. */

static void count_up(void *arg)
{
    ++*(int *)arg;
}

static struct err *two_rows(struct ctx *cx, struct store *s, int *hooks)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_rows r;
    TRY(tx_write(cx, s, &tx));
    tx_on_commit(tx, count_up, hooks);
    TRY(db_run(cx, tx, &kv_put, V_INT(1), V_INT(1), V_NULL(), V_NULL()));
    TRY(db_run(cx, tx, &kv_put, V_INT(2), V_INT(1), V_NULL(), V_NULL()));
    TRY(db_query(cx, tx, &kv_all, NULL, 0, &r));
    return tx_commit(cx, &tx);
}

static void test_faults(void **state)
{
    struct env *e = *state;
    int hooks = 0;
    long nth = 1;
    for (;; nth++) {
        store_fail_nth(e->s, nth);
        struct err *err = two_rows(&e->cx, e->s, &hooks);
        long calls = store_fail_nth(e->s, 0);
        if (calls < nth) {
            assert_ok(&e->cx, err);
            break;
        }
        assert_err(&e->cx, ERR_UNAVAILABLE, err);
        assert_int_equal(hooks, 0);
        assert_int_equal(read_int(e, "SELECT COUNT(*) FROM kv"), 0);
    }
    assert_true(nth > 8);
    assert_int_equal(hooks, 1);
    assert_int_equal(read_int(e, "SELECT COUNT(*) FROM kv"), 2);
}

/* The engine itself counts what is prepared on its connection. */
static void test_statement_cache(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    env_reopen(e, 1);
    for (int i = 0; i < 700; i++)
        assert_int_equal(read_int(e, arena_printf(cx->arena, "SELECT COUNT(*) + %d FROM kv", i)),
                         i);
    int64_t n = read_int(e, env_is_sqlite(e) ? "SELECT COUNT(*) FROM sqlite_stmt"
                                             : "SELECT COUNT(*) FROM pg_prepared_statements");
    assert_in_range(n, 256, 256 + 8);
    /* The latest are there still: no call to prepare them. */
    store_fail_nth(e->s, 0);
    read_int(e, "SELECT COUNT(*) + 699 FROM kv");
    long cached = store_fail_nth(e->s, 0);
    read_int(e, "SELECT COUNT(*) + 1 FROM kv");
    assert_int_equal(store_fail_nth(e->s, 0), cached + 1);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_values),
        T(test_big_values),
        T(test_computed),
        T(test_params),
        T(test_changes),
        T(test_each),
        T(test_constraints),
        T(test_messages),
        T(test_durable),
        T(test_snapshot),
        T(test_readers_only_read),
        T(test_check),
        T(test_concurrent),
        T(test_pool),
        T(test_hooks),
        T(test_faults),
        T(test_statement_cache),
        T(test_statement_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
