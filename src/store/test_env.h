/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * An empty database for a cmocka test: SQLite in a folder under /tmp, or the PostgreSQL server that
 * COLVERT_TEST_POSTGRES names (see tests/with-postgres), whose public schema is made anew.
 */
#pragma once

#include "base/test.h"
#include "store/store.h"

struct env {
    struct ctx cx;
    struct store *s;
    const char *url;
    char dir[32]; /* empty on PostgreSQL */
};

static inline void env_reopen(struct env *e, unsigned max_conns)
{
    store_close(TAKE_PTR(e->s));
    assert_ok(&e->cx, store_open(&e->cx, e->url, max_conns, &e->s));
}

/* One statement without parameters in a transaction of its own. */
static inline void env_run(struct env *e, const char *sql)
{
    const struct stmt st = {"env_run", sql};
    struct tx *tx;
    assert_ok(&e->cx, tx_write(&e->cx, e->s, &tx));
    assert_ok(&e->cx, db_exec(&e->cx, tx, &st, NULL, 0, NULL));
    assert_ok(&e->cx, tx_commit(&e->cx, &tx));
}

static inline struct env *env_new(unsigned max_conns)
{
    struct env *e = calloc(1, sizeof(*e));
    must(e);
    ctx_init(&e->cx);
    e->url = getenv("COLVERT_TEST_POSTGRES");
    if (!e->url) {
        snprintf(e->dir, sizeof(e->dir), "/tmp/colvert-store-XXXXXX");
        assert_non_null(mkdtemp(e->dir));
        e->url = arena_printf(e->cx.arena, "sqlite:%s/db", e->dir);
    }
    env_reopen(e, max_conns);
    if (!e->dir[0]) {
        env_run(e, "DROP SCHEMA IF EXISTS public CASCADE");
        env_run(e, "CREATE SCHEMA public");
        env_reopen(e, max_conns);
    }
    return e;
}

static inline void env_free(struct env *e)
{
    store_close(e->s);
    if (e->dir[0]) {
        static const char *const files[] = {"db", "db-wal", "db-shm", "db-lock"};
        for (size_t i = 0; i < ARRAY_LEN(files); i++)
            unlink(arena_printf(e->cx.arena, "%s/%s", e->dir, files[i]));
        assert_int_equal(rmdir(e->dir), 0);
    }
    ctx_release(&e->cx);
    free(e);
}

static inline bool env_is_sqlite(const struct env *e)
{
    return str_eq(store_engine(e->s), "sqlite");
}
