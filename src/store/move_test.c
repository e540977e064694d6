/* SPDX-License-Identifier: EUPL-1.2 */
/* Moving everything from an engine to the other and back; without PostgreSQL, between two files. */
#include <ftw.h>
#include <sys/wait.h>
#include "store/move.h"
#include "store/test_env.h"

/* The names stand in the wrong order, and rows refer to later ones. */
static const struct migration list[] = {
    {1, "first",
     "CREATE TABLE parents (id TEXT PRIMARY KEY, n BIGINT);\n"
     "CREATE TABLE children (id TEXT PRIMARY KEY, parent_id TEXT NOT NULL REFERENCES "
     "parents(id));\n"
     "CREATE TABLE trees (id TEXT PRIMARY KEY, up_id TEXT REFERENCES trees(id));\n"
     "CREATE TABLE kinds (i BIGINT, t TEXT, b BYTEA, \"limit\" BIGINT)"},
    {2, "second", "ALTER TABLE parents ADD COLUMN late TEXT"},
};

enum { N_CHILDREN = 1234 };

struct two {
    struct env *env;  /* of whose arena and connections everything is */
    const char *home; /* where the rows are at first: on the engine under test */
    const char *away; /* a SQLite file */
    char dir[40];
    int n_homes;
};

/* An empty database of the engine under test: what was moved away is good for nothing any more. */
static const char *new_home(struct two *t)
{
    struct env *e = t->env;
    int n = ++t->n_homes;
    if (e->dir[0])
        return arena_printf(e->cx.arena, "sqlite:%s/home%d", t->dir, n);
    assert_ok(&e->cx, store_open(&e->cx, e->url, 1, &e->s));
    env_run(e, arena_printf(e->cx.arena, "DROP SCHEMA IF EXISTS home%d CASCADE", n));
    env_run(e, arena_printf(e->cx.arena, "CREATE SCHEMA home%d", n));
    store_close(TAKE_PTR(e->s));
    return arena_printf(e->cx.arena, "%s&options=-csearch_path%%3Dhome%d", e->url, n);
}

static void fill(struct env *e)
{
    struct tx *tx;
    const struct stmt child = {"child", "INSERT INTO children (id, parent_id) VALUES ($1, $2)"};
    const struct stmt kind = {"kind",
                              "INSERT INTO kinds (i, t, b, \"limit\") VALUES ($1, $2, $3, $4)"};
    env_run(e, "INSERT INTO parents (id, n, late) VALUES ('p', 1, NULL), ('q', NULL, 'é')");
    env_run(e, "INSERT INTO trees (id, up_id) VALUES ('root', NULL), ('z', 'root')");
    env_run(e, "INSERT INTO trees (id, up_id) VALUES ('a', 'z')");
    assert_ok(&e->cx, tx_write(&e->cx, e->s, &tx));
    for (int i = 0; i < N_CHILDREN; i++)
        assert_ok(&e->cx, db_run(&e->cx, tx, &child, V_TEXT(arena_printf(e->cx.arena, "c%d", i)),
                                 V_TEXT(i % 2 ? "p" : "q")));
    assert_ok(&e->cx, db_run(&e->cx, tx, &kind, V_INT(INT64_MIN), V_TEXT(""), V_BYTES("a\0b", 3),
                             V_NULL()));
    assert_ok(&e->cx,
              db_run(&e->cx, tx, &kind, V_INT(INT64_MAX), V_NULL(), V_BYTES("", 0), V_INT(0)));
    assert_ok(&e->cx, tx_commit(&e->cx, &tx));
}

static int setup(void **state)
{
    struct two *t = calloc(1, sizeof(*t));
    must(t);
    t->env = env_new(1);
    struct env *e = t->env;
    store_close(TAKE_PTR(e->s));
    snprintf(t->dir, sizeof(t->dir), "/tmp/colvert-move-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    t->away = arena_printf(e->cx.arena, "sqlite:%s/away", t->dir);
    t->home = new_home(t);
    assert_ok(&e->cx, store_open(&e->cx, t->home, 1, &e->s));
    assert_ok(&e->cx, store_migrate(&e->cx, e->s, list, ARRAY_LEN(list)));
    fill(e);
    store_close(TAKE_PTR(e->s));
    *state = t;
    return 0;
}

static int remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED,
                      struct FTW *ftw UNUSED)
{
    return remove(path);
}

static int teardown(void **state)
{
    struct two *t = *state;
    assert_int_equal(nftw(t->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    env_free(t->env);
    free(t);
    return 0;
}

static void add_dump(struct ctx *cx, struct store *s, const char *sql, struct buf *b)
{
    const struct stmt st = {"dump", sql};
    struct tx *tx;
    struct db_rows r;
    assert_ok(cx, tx_read(cx, s, &tx));
    assert_ok(cx, db_query(cx, tx, &st, NULL, 0, &r));
    tx_rollback(&tx);
    for (size_t i = 0; i < r.n_rows * r.n_cols; i++) {
        const struct db_value *v = &r.cells[i];
        buf_printf(b, "%d %" PRId64 " %zu ", v->type, v->type == DB_INT ? v->i : 0, v->size);
        buf_add(b, v->s ? v->s : "", v->size);
        buf_str(b, "\n");
    }
}

static const char *dump(struct ctx *cx, const char *url)
{
    struct store *s;
    struct buf b;
    buf_init(&b, cx->arena);
    assert_ok(cx, store_open(cx, url, 1, &s));
    add_dump(cx, s, "SELECT id, n, late FROM parents ORDER BY id", &b);
    add_dump(cx, s, "SELECT id, parent_id FROM children ORDER BY id", &b);
    add_dump(cx, s, "SELECT id, up_id FROM trees ORDER BY id", &b);
    add_dump(cx, s, "SELECT i, t, b, \"limit\" FROM kinds ORDER BY i", &b);
    store_close(s);
    return arena_strndup(cx->arena, b.data, b.len);
}

static void count(void *arg, const char *table UNUSED, int64_t rows, bool done)
{
    if (done)
        *(int64_t *)arg += rows;
}

static struct err *move(struct ctx *cx, const char *from, const char *to)
{
    int64_t rows = 0;
    TRY(store_move(cx, from, to, list, ARRAY_LEN(list), count, &rows));
    assert_int_equal(rows, 2 + N_CHILDREN + 3 + 2);
    return NULL;
}

static void test_alone(void **state)
{
    struct two *t = *state;
    struct ctx *cx = &t->env->cx;
    struct store *alone = NULL, *other = NULL;
    assert_ok(cx, store_open(cx, t->home, 1, &other));
    assert_err(cx, ERR_IN_USE, store_open_alone(cx, t->home, &alone));
    store_close(TAKE_PTR(other));
    assert_ok(cx, store_open_alone(cx, t->home, &alone));
    assert_err(cx, ERR_UNAVAILABLE, store_open(cx, t->home, 1, &other));
    store_close(alone);
    assert_ok(cx, store_open(cx, t->home, 1, &other));
    store_close(other);
}

static void test_there_and_back(void **state)
{
    struct two *t = *state;
    struct ctx *cx = &t->env->cx;
    const char *before = dump(cx, t->home), *again = new_home(t);
    struct store *s = NULL;
    assert_ok(cx, move(cx, t->home, t->away));
    assert_string_equal(dump(cx, t->away), before);
    struct err *e = store_open(cx, t->home, 1, &s);
    assert_err(cx, ERR_UNAVAILABLE, e);
    assert_non_null(strstr(err_chain(cx, e), "has been moved"));
    assert_ok(cx, move(cx, t->away, again));
    assert_string_equal(dump(cx, again), before);
    assert_err(cx, ERR_UNAVAILABLE, store_open(cx, t->away, 1, &s));
}

static void test_refused(void **state)
{
    struct two *t = *state;
    struct ctx *cx = &t->env->cx;
    struct store *s;
    const char *home = t->home, *before = dump(cx, home);
    assert_ok(cx, store_open(cx, home, 1, &s));
    assert_err(cx, ERR_IN_USE, move(cx, home, t->away));
    store_close(s);
    assert_ok(cx, store_open(cx, t->away, 1, &s));
    assert_err(cx, ERR_IN_USE, move(cx, home, t->away));
    store_close(s);
    assert_err(cx, ERR_NOT_FOUND, move(cx, "sqlite:/nowhere/db", t->away));
    /* Of another version; without a region; with one that would be lost. */
    assert_err(cx, ERR_PRECONDITION, store_move(cx, home, t->away, list, 1, NULL, NULL));
    assert_err(cx, ERR_PRECONDITION, move(cx, t->away, home));
    assert_ok(cx, store_open(cx, t->away, 1, &s));
    assert_ok(cx, store_migrate(cx, s, list, ARRAY_LEN(list)));
    struct env there = {.s = s};
    ctx_init(&there.cx);
    env_run(&there, "INSERT INTO trees (id) VALUES ('mine')");
    ctx_release(&there.cx);
    store_close(s);
    assert_err(cx, ERR_EXISTS, move(cx, home, t->away));
    assert_string_equal(dump(cx, home), before);
}

static void die_at(void *arg, const char *table, int64_t rows UNUSED, bool done)
{
    if (done && str_eq(table, arg))
        _exit(42);
}

/* Killed in the middle, it is as if it had never begun. */
static void test_killed(void **state)
{
    struct two *t = *state;
    struct ctx *cx = &t->env->cx;
    const char *before = dump(cx, t->home);
    static const char *const tables[] = {"kinds", "children"};
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) {
            (void)!store_move(cx, t->home, t->away, list, ARRAY_LEN(list), die_at,
                              (void *)(uintptr_t)tables[i]);
            _exit(1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
        assert_string_equal(dump(cx, t->home), before);
    }
    assert_ok(cx, move(cx, t->home, t->away));
    assert_string_equal(dump(cx, t->away), before);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {T(test_alone), T(test_there_and_back), T(test_refused),
                                       T(test_killed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
