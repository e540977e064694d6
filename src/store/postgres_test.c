/* SPDX-License-Identifier: EUPL-1.2 */
/* What only PostgreSQL has: connections that break, serialization failures. See
 * tests/with-postgres. */
#include <signal.h>
#include "store/test_env.h"

static const struct stmt get = {"get", "SELECT n FROM t WHERE id = $1"};
static const struct stmt set = {"set", "UPDATE t SET n = $2 WHERE id = $1"};
static const struct stmt my_pid = {"my_pid", "SELECT pg_backend_pid()"};
static const struct stmt end_pid = {"end_pid", "SELECT pg_terminate_backend($1, 5000)"};

static int setup(void **state)
{
    struct env *e = env_new(4);
    assert_string_equal(store_engine(e->s), "postgresql");
    env_run(e, "CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)");
    env_run(e, "INSERT INTO t (id, n) VALUES (1, 10), (2, 20)");
    *state = e;
    return 0;
}

static pid_t stopped; /* the server, by a test */

static int teardown(void **state)
{
    if (stopped)
        kill(stopped, SIGCONT);
    stopped = 0;
    env_free(*state);
    return 0;
}

static int64_t read_one(struct env *e, struct tx *tx, const struct stmt *st, int64_t id)
{
    struct db_rows r;
    assert_ok(&e->cx, db_query(&e->cx, tx, st, (struct db_value[]){V_INT(id)}, id != 0, &r));
    return db_int(&r, 0, 0);
}

/* From another connection: ends that of tx. */
static void end_connection(struct env *e, int64_t pid)
{
    struct store *other;
    struct tx *tx;
    assert_ok(&e->cx, store_open(&e->cx, e->url, 1, &other));
    assert_ok(&e->cx, tx_read(&e->cx, other, &tx));
    assert_int_equal(read_one(e, tx, &end_pid, pid), 1);
    tx_rollback(&tx);
    store_close(other);
}

/* The one that takes connections. */
static pid_t server_pid(struct env *e)
{
    char path[256];
    int pid = 0;
    const char *dir = strstr(e->url, "host=") + strlen("host=");
    snprintf(path, sizeof(path), "%.*s/data/postmaster.pid", (int)strcspn(dir, "&"), dir);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &pid), 1);
    fclose(f);
    return pid;
}

static void test_lost_while_idle(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct tx *a, *b;
    assert_ok(cx, tx_write(cx, e->s, &a));
    assert_ok(cx, tx_write(cx, e->s, &b));
    int64_t pid_a = read_one(e, a, &my_pid, 0), pid_b = read_one(e, b, &my_pid, 0);
    tx_rollback(&a);
    tx_rollback(&b);
    end_connection(e, pid_a);
    end_connection(e, pid_b);
    /* Nothing was under way: nobody needs to know. */
    assert_ok(cx, tx_write(cx, e->s, &a));
    assert_int_equal(read_one(e, a, &get, 1), 10);
    assert_ok(cx, tx_commit(cx, &a));
}

static void test_lost_in_transaction(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct tx *tx;
    assert_ok(cx, tx_write(cx, e->s, &tx));
    assert_ok(cx, db_run(cx, tx, &set, V_INT(1), V_INT(11)));
    end_connection(e, read_one(e, tx, &my_pid, 0));
    assert_err(cx, ERR_UNAVAILABLE, db_run(cx, tx, &set, V_INT(1), V_INT(12)));
    assert_err(cx, ERR_UNAVAILABLE, tx_commit(cx, &tx));
    assert_ok(cx, tx_read(cx, e->s, &tx));
    assert_int_equal(read_one(e, tx, &get, 1), 10);
    tx_rollback(&tx);
}

static void test_lost_at_commit(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct tx *tx;
    assert_ok(cx, tx_write(cx, e->s, &tx));
    assert_ok(cx, db_run(cx, tx, &set, V_INT(1), V_INT(11)));
    end_connection(e, read_one(e, tx, &my_pid, 0));
    struct err *err = tx_commit(cx, &tx);
    assert_err(cx, ERR_UNAVAILABLE, err);
    assert_non_null(strstr(err->message, "look whether the change was made"));
    assert_ok(cx, tx_write(cx, e->s, &tx));
    assert_int_equal(read_one(e, tx, &get, 1), 10);
    tx_rollback(&tx);
}

static struct err *end_own(struct ctx *cx UNUSED, const struct db_value *cells, size_t n UNUSED,
                           void *arg)
{
    struct env *e = arg;
    if (cells[0].i == 1)
        end_connection(e, cells[1].i);
    return NULL;
}

static void test_lost_in_walk(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    const struct stmt walk = {"walk", "SELECT i, pg_backend_pid(), repeat('x', 1000) "
                                      "FROM generate_series(1, 100000) AS i"};
    struct tx *tx;
    assert_ok(cx, tx_read(cx, e->s, &tx));
    assert_err(cx, ERR_UNAVAILABLE, db_each(cx, tx, &walk, NULL, 0, end_own, e));
    tx_rollback(&tx);
    assert_ok(cx, tx_read(cx, e->s, &tx));
    assert_int_equal(read_one(e, tx, &get, 1), 10);
    tx_rollback(&tx);
}

/* Each reads what the other writes: only one may have been first. */
static void test_write_skew(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct tx *a, *b;
    assert_ok(cx, tx_write(cx, e->s, &a));
    assert_ok(cx, tx_write(cx, e->s, &b));
    assert_int_equal(read_one(e, a, &get, 1), 10);
    assert_int_equal(read_one(e, b, &get, 2), 20);
    assert_ok(cx, db_run(cx, a, &set, V_INT(2), V_INT(21)));
    assert_ok(cx, db_run(cx, b, &set, V_INT(1), V_INT(11)));
    assert_ok(cx, tx_commit(cx, &a));
    assert_err(cx, ERR_STALE, tx_commit(cx, &b));
    /* Both change one row: the second hears of it at once. */
    assert_ok(cx, tx_write(cx, e->s, &a));
    assert_ok(cx, tx_write(cx, e->s, &b));
    assert_int_equal(read_one(e, b, &get, 1), 10);
    assert_ok(cx, db_run(cx, a, &set, V_INT(1), V_INT(12)));
    assert_ok(cx, tx_commit(cx, &a));
    assert_err(cx, ERR_STALE, db_run(cx, b, &set, V_INT(1), V_INT(13)));
    assert_err(cx, ERR_STALE, tx_commit(cx, &b));
}

/* Another process changed the schema: a statement prepared before is prepared anew. */
static void test_schema_changed(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    const struct stmt star = {"star", "SELECT * FROM t ORDER BY id"};
    struct tx *tx;
    struct db_rows r;
    env_reopen(e, 1);
    assert_ok(cx, tx_read(cx, e->s, &tx));
    assert_ok(cx, db_query(cx, tx, &star, NULL, 0, &r));
    tx_rollback(&tx);
    env_run(e, "ALTER TABLE t ADD COLUMN more TEXT");
    assert_ok(cx, tx_read(cx, e->s, &tx));
    assert_err(cx, ERR_STALE, db_query(cx, tx, &star, NULL, 0, &r));
    tx_rollback(&tx);
    assert_ok(cx, tx_read(cx, e->s, &tx));
    assert_ok(cx, db_query(cx, tx, &star, NULL, 0, &r));
    tx_rollback(&tx);
    assert_int_equal(r.n_cols, 3);
}

/* The server stands still: whoever waits for it is told in time, and nothing is left hanging. */
static void test_server_stands_still(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct tx *tx;
    assert_ok(cx, tx_write(cx, e->s, &tx));
    pid_t pid = (pid_t)read_one(e, tx, &my_pid, 0);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    cx->deadline_us = mono_us(cx) + 100000;
    struct err *err = db_run(cx, tx, &set, V_INT(1), V_INT(11));
    assert_err(cx, ERR_UNAVAILABLE, err);
    assert_err(cx, ERR_UNAVAILABLE, tx_commit(cx, &tx));
    cx->deadline_us = 0;
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_ok(cx, tx_write(cx, e->s, &tx));
    assert_int_not_equal(read_one(e, tx, &my_pid, 0), pid);
    assert_int_equal(read_one(e, tx, &get, 1), 10);
    tx_rollback(&tx);
}

/* While nobody gets a connection, one caller at a time waits for one; the others are told at once.
 */
static void test_server_away(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct tx *tx;
    e->url = arena_printf(cx->arena, "%s&connect_timeout=2", e->url);
    env_reopen(e, 1);
    assert_ok(cx, tx_read(cx, e->s, &tx));
    int64_t pid = read_one(e, tx, &my_pid, 0), from_us;
    tx_rollback(&tx);
    assert_int_equal(store_absence(e->s).from_us, 0);
    end_connection(e, pid);
    stopped = server_pid(e);
    assert_int_equal(kill(stopped, SIGSTOP), 0);
    from_us = mono_us(cx);
    for (int i = 0; i < 50; i++)
        assert_err(cx, ERR_UNAVAILABLE, tx_read(cx, e->s, &tx));
    assert_true(mono_us(cx) - from_us < 50 * 1000000); /* each alone takes two seconds */
    assert_true(store_absence(e->s).from_us > 0 && store_absence(e->s).until_us == 0);
    assert_int_equal(kill(stopped, SIGCONT), 0);
    stopped = 0;
    while (tx_read(cx, e->s, &tx))
        usleep(10000);
    tx_rollback(&tx);
    assert_true(store_absence(e->s).until_us >= store_absence(e->s).from_us);
}

/* What was heard of other processes' commits. */
struct ear {
    pthread_mutex_t lock;
    pthread_cond_t more;
    unsigned n_all; /* "anything may have happened" */
    char last[64], heard[256];
};

static void hear(void *arg, const char *topic)
{
    struct ear *ear = arg;
    AUTO_LOCK(&ear->lock);
    if (topic)
        snprintf(ear->last, sizeof(ear->last), "%s", topic);
    else
        ear->n_all++;
    size_t len = strlen(ear->heard);
    if (topic)
        snprintf(ear->heard + len, sizeof(ear->heard) - len, "%s ", topic);
    pthread_cond_broadcast(&ear->more);
}

static void wait_all(struct ear *ear, unsigned n)
{
    AUTO_LOCK(&ear->lock);
    while (ear->n_all < n)
        pthread_cond_wait(&ear->more, &ear->lock);
}

static void wait_topic(struct ear *ear, const char *topic)
{
    AUTO_LOCK(&ear->lock);
    while (!str_eq(ear->last, topic))
        pthread_cond_wait(&ear->more, &ear->lock);
}

static void say(struct env *e, struct store *s, const char *a, const char *b, bool commit)
{
    struct ctx *cx = &e->cx;
    struct tx *tx;
    assert_ok(cx, tx_write(cx, s, &tx));
    tx_notify(tx, a);
    tx_notify(tx, b);
    tx_notify(tx, a);
    if (commit)
        assert_ok(cx, tx_commit(cx, &tx));
    tx_rollback(&tx);
}

static void test_topics(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct ear ear = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, "", ""};
    struct store *other;
    assert_ok(cx, store_open(cx, e->url, 2, &other));
    assert_ok(cx, store_listen(cx, e->s, hear, &ear));
    wait_all(&ear, 1);
    say(e, other, "a", "lost", false);
    say(e, e->s, "own", "own", true);
    say(e, other, "a", "b", true);
    say(e, other, "c", "end", true);
    wait_topic(&ear, "end");
    assert_string_equal(ear.heard, "a b c end ");
    /* What is said while it is not connected is not heard: it is told so. */
    env_run(e, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query = 'LISTEN "
               "colvert'");
    wait_all(&ear, 2);
    say(e, other, "d", "again", true);
    wait_topic(&ear, "again");
    store_unlisten(e->s);
    store_close(other);
}

static void test_no_server(void **state)
{
    struct env *e = *state;
    struct store *s;
    assert_err(&e->cx, ERR_UNAVAILABLE,
               store_open(&e->cx, "postgresql:///x?host=/nowhere&user=x", 1, &s));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_lost_while_idle),     T(test_lost_in_transaction), T(test_lost_at_commit),
        T(test_lost_in_walk),        T(test_write_skew),          T(test_schema_changed),
        T(test_server_stands_still), T(test_server_away),         T(test_topics),
        T(test_no_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
