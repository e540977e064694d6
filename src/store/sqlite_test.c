/* SPDX-License-Identifier: EUPL-1.2 */
/* What only SQLite has: the file, one writer, databases in memory, other processes. */
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "store/test_env.h"

static const struct stmt add = {"add", "INSERT INTO t (id) VALUES ($1)"};
static const struct stmt count = {"count", "SELECT COUNT(*) FROM t"};

/* In front of the C library's, for SQLite too: of files counted (folders go with the first), and
 * held up on demand. */
static atomic_long syncs;
static atomic_bool hold;
int fdatasync(int fd)
{
    struct stat st;
    atomic_fetch_add(&syncs, fstat(fd, &st) == 0 && S_ISREG(st.st_mode));
    while (atomic_load(&hold))
        usleep(1000);
    return (int)syscall(SYS_fdatasync, fd);
}

static int setup(void **state)
{
    unsetenv("COLVERT_TEST_POSTGRES");
    struct env *e = env_new(4);
    env_run(e, "CREATE TABLE t (id BIGINT PRIMARY KEY)");
    *state = e;
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
    /* Some pragmas count as changes. */
    assert_ok(&e->cx, tx_write(&e->cx, e->s, &tx));
    assert_ok(&e->cx, db_query(&e->cx, tx, &st, NULL, 0, &r));
    assert_ok(&e->cx, tx_commit(&e->cx, &tx));
    return r;
}

static void test_file(void **state)
{
    struct env *e = *state;
    static const char *const files[] = {"db", "db-wal", "db-shm"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct stat st;
        assert_int_equal(stat(arena_printf(e->cx.arena, "%s/%s", e->dir, files[i]), &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    static const struct {
        const char *sql, *text;
        int64_t number;
    } pragmas[] = {
        {"PRAGMA journal_mode", "wal", 0},  {"PRAGMA synchronous", NULL, 1},
        {"PRAGMA foreign_keys", NULL, 1},   {"PRAGMA mmap_size", NULL, 0},
        {"PRAGMA cache_size", NULL, -4000},
    };
    for (size_t i = 0; i < ARRAY_LEN(pragmas); i++) {
        struct db_rows r = query(e, pragmas[i].sql);
        if (pragmas[i].text)
            assert_string_equal(db_text(&r, 0, 0), pragmas[i].text);
        else
            assert_int_equal(db_int(&r, 0, 0), pragmas[i].number);
    }
}

static void test_urls(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct store *s;
    assert_err(cx, ERR_INVALID, store_open(cx, "mysql://x", 1, &s));
    assert_err(cx, ERR_INVALID, store_open(cx, "", 1, &s));
    assert_err(cx, ERR_INVALID, store_open(cx, "sqlite:relative", 1, &s));
    assert_err(cx, ERR_UNAVAILABLE, store_open(cx, "sqlite:/nowhere/at/all", 1, &s));
    const char *path = arena_printf(cx->arena, "%s/text", e->dir);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 100; i++)
        fputs("This is not a database, and never was one.\n", f);
    fclose(f);
    const char *url = arena_printf(cx->arena, "sqlite:%s", path);
    assert_err(cx, ERR_UNAVAILABLE, store_open(cx, url, 1, &s));
    unlink(path);
    unlink(arena_printf(cx->arena, "%s-lock", path));
}

static void test_one_writer(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct tx *first, *second;
    assert_ok(cx, tx_write(cx, e->s, &first));
    int64_t start_us = mono_us(cx);
    cx->deadline_us = start_us + 80000;
    assert_err(cx, ERR_UNAVAILABLE, tx_write(cx, e->s, &second));
    assert_in_range(mono_us(cx) - start_us, 80000, 15000000);
    /* Another store on the file is what another process would be. */
    struct store *other;
    assert_ok(cx, store_open(cx, e->url, 1, &other));
    start_us = mono_us(cx);
    cx->deadline_us = start_us + 80000;
    assert_err(cx, ERR_UNAVAILABLE, tx_write(cx, other, &second));
    assert_in_range(mono_us(cx) - start_us, 40000, 15000000);
    cx->deadline_us = 0;
    assert_ok(cx, tx_read(cx, other, &second));
    tx_rollback(&second);
    assert_ok(cx, tx_commit(cx, &first));
    assert_ok(cx, tx_write(cx, other, &second));
    assert_ok(cx, db_run(cx, second, &add, V_INT(1)));
    assert_ok(cx, tx_commit(cx, &second));
    store_close(other);
    struct db_rows r = query(e, "SELECT id FROM t");
    assert_int_equal(r.n_rows, 1);
}

static void test_memory(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct store *s;
    struct tx *tx, *none;
    const struct stmt create = {"create", "CREATE TABLE t (id BIGINT PRIMARY KEY)"};
    assert_ok(cx, store_open(cx, "sqlite::memory:", 8, &s));
    assert_ok(cx, tx_write(cx, s, &tx));
    assert_ok(cx, db_exec(cx, tx, &create, NULL, 0, NULL));
    assert_ok(cx, tx_commit(cx, &tx));
    assert_ok(cx, tx_write(cx, s, &tx));
    assert_ok(cx, db_run(cx, tx, &add, V_INT(1)));
    /* One connection, whatever was asked. */
    cx->deadline_us = mono_us(cx) + 20000;
    assert_err(cx, ERR_UNAVAILABLE, tx_read(cx, s, &none));
    cx->deadline_us = 0;
    assert_ok(cx, tx_commit(cx, &tx));
    struct db_rows r;
    assert_ok(cx, tx_read(cx, s, &tx));
    assert_ok(cx, db_query(cx, tx, &count, NULL, 0, &r));
    tx_rollback(&tx);
    assert_int_equal(db_int(&r, 0, 0), 1);
    store_close(s);
}

/* After SIGKILL in the middle of a transaction, what was committed is there, and nothing else. */
static void test_killed(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    store_close(TAKE_PTR(e->s));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct tx *tx;
        struct err *err = store_open(cx, e->url, 1, &e->s);
        for (int64_t id = 1; !err && id <= 3; id++) {
            err = tx_write(cx, e->s, &tx);
            if (!err)
                err = db_run(cx, tx, &add, V_INT(id));
            if (!err && id < 3)
                err = tx_commit(cx, &tx);
        }
        if (!err)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    env_reopen(e, 4);
    struct db_rows r = query(e, "SELECT id FROM t ORDER BY id");
    assert_int_equal(r.n_rows, 2);
    struct db_rows ok = query(e, "PRAGMA integrity_check");
    assert_string_equal(db_text(&ok, 0, 0), "ok");
}

/* A full disk, as far as SQLite can tell. */
static void test_full(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    env_run(e, "CREATE TABLE big (b BYTEA)");
    env_reopen(e, 1);
    query(e, "PRAGMA max_page_count = 20");
    const struct stmt fill = {"fill", "INSERT INTO big (b) VALUES (zeroblob(1000000))"};
    struct tx *tx;
    assert_ok(cx, tx_write(cx, e->s, &tx));
    assert_ok(cx, db_run(cx, tx, &add, V_INT(1)));
    assert_err(cx, ERR_UNAVAILABLE, db_exec(cx, tx, &fill, NULL, 0, NULL));
    assert_err(cx, ERR_UNAVAILABLE, db_run(cx, tx, &add, V_INT(2)));
    assert_err(cx, ERR_UNAVAILABLE, tx_commit(cx, &tx));
    assert_ok(cx, tx_write(cx, e->s, &tx));
    assert_ok(cx, db_run(cx, tx, &add, V_INT(3)));
    assert_ok(cx, tx_commit(cx, &tx));
    struct db_rows r = query(e, "SELECT id FROM t");
    assert_int_equal(r.n_rows, 1);
    assert_int_equal(db_int(&r, 0, 0), 3);
}

/* A process that answers clients doesn't hear of another's commits: there is only one. */
static void test_one_serves(void **state)
{
    struct env *e = *state;
    struct ctx *cx = &e->cx;
    struct store *other;
    assert_ok(cx, store_open(cx, e->url, 1, &other));
    assert_ok(cx, store_listen(cx, e->s, NULL, NULL));
    assert_err(cx, ERR_IN_USE, store_listen(cx, other, NULL, NULL));
    store_unlisten(e->s);
    assert_ok(cx, store_listen(cx, other, NULL, NULL));
    store_close(other);
}

enum { WRITERS = 8 };
static atomic_long next_id, told, syncs_then;

static void *commit_one(void *arg)
{
    struct env *e = arg;
    AUTO_CTX struct ctx cx;
    struct tx *tx;
    ctx_init(&cx);
    must(!tx_write(&cx, e->s, &tx));
    must(!db_run(&cx, tx, &add, V_INT(atomic_fetch_add(&next_id, 1))));
    must(!tx_commit(&cx, &tx));
    atomic_fetch_add(&told, 1);
    return NULL;
}

static void *wait_settled(void *arg)
{
    store_settled(((struct env *)arg)->s);
    atomic_store(&syncs_then, atomic_load(&syncs));
    return NULL;
}

static void until_rows(struct env *e, int64_t n)
{
    for (int64_t seen = 0; seen != n; usleep(1000)) {
        AUTO_TXN struct tx *tx = NULL;
        struct db_rows r;
        assert_ok(&e->cx, tx_read(&e->cx, e->s, &tx));
        assert_ok(&e->cx, db_query(&e->cx, tx, &count, NULL, 0, &r));
        seen = db_int(&r, 0, 0);
    }
}

/* A commit is told once it is on disk. While one is on its way there others commit, and go
 * together. */
static void test_settled_together(void **state)
{
    struct env *e = *state;
    pthread_t threads[WRITERS + 1];
    struct store *few = e->s;
    assert_ok(&e->cx, store_open(&e->cx, arena_printf(e->cx.arena, "sqlite:%s/db", e->dir),
                                 WRITERS + 2, &e->s));
    atomic_store(&syncs, 0);
    atomic_store(&hold, true);
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, commit_one, e), 0);
        until_rows(e, i + 1); /* seen, though not told */
    }
    assert_int_equal(pthread_create(&threads[WRITERS], NULL, wait_settled, e), 0);
    assert_int_equal(atomic_load(&told), 0);
    atomic_store(&hold, false);
    for (int i = 0; i <= WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&told), WRITERS);
    assert_int_equal(atomic_load(&syncs_then), 2);
    assert_int_equal(atomic_load(&syncs), 2);
    store_close(e->s);
    e->s = few;
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_file),   T(test_urls), T(test_one_writer), T(test_memory),
        T(test_killed), T(test_full), T(test_one_serves), T(test_settled_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
