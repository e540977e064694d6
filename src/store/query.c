/* SPDX-License-Identifier: EUPL-1.2 */
/* Statements: checked parameters, the cache, rows copied into the arena or handed to a function. */
#include "store/impl.h"

struct db_value V_TEXT(const char *s) {
    if (!s)
        return V_NULL();
    return (struct db_value){.type = DB_TEXT, .s = s, .size = strlen(s)};
}

struct db_value
V_BYTES(const void *data, size_t size) {
    if (!data)
        return V_NULL();
    return (struct db_value){.type = DB_BYTES, .s = data, .size = size};
}

/* What the user may read; the engine's words, which name tables, stay in the cause for the log. */
static const char *const user_words[ERR_KIND_COUNT] = {
    [ERR_EXISTS] = "an object with the same unique value exists already",
    [ERR_IN_USE] = "it is still in use, or refers to something that does not exist",
    [ERR_STALE] = "another change came first, try again",
    [ERR_UNAVAILABLE] = "the database is unavailable or takes too long, try again later",
    [ERR_INVALID] = "a value cannot be stored",
};

struct err *tx_failed(struct ctx *cx, struct tx *tx, struct err *e, const char *what)
{
    if (!tx->failed) {
        tx->failed = true;
        tx->failure = e->kind;
    }
    e = wrap(cx, e, e->kind, "statement '%s'", what);
    return wrap(cx, e, e->kind, "%s",
                user_words[e->kind] ? user_words[e->kind] : "the database refused a statement");
}

static struct err *check_text(struct ctx *cx, const struct db_value *v, size_t number)
{
    if (memchr(v->s, '\0', v->size) || v->s[v->size] != '\0')
        return fail(cx, ERR_INVALID, "parameter %zu: text with a NUL in it", number);
    if (str_utf8_len(v->s) < 0)
        return fail(cx, ERR_INVALID, "parameter %zu: not valid UTF-8", number);
    return NULL;
}

/* Both engines refuse the same: SQLite alone would take any bytes as text, any number of values. */
static struct err *check_params(struct ctx *cx, const struct db_value *params, size_t n,
                                size_t wanted)
{
    if (n != wanted)
        return fail(cx, ERR_INTERNAL, "takes %zu parameters, was given %zu", wanted, n);
    for (size_t i = 0; i < n; i++) {
        const struct db_value *v = &params[i];
        must(v->type == DB_NULL || v->type == DB_INT || v->s);
        must(v->type <= DB_BYTES);
        if (v->type == DB_TEXT)
            TRY(check_text(cx, v, i + 1));
    }
    return NULL;
}

static struct err *prepare(struct ctx *cx, struct tx *tx, const struct stmt *st,
                           struct prepared **ret)
{
    const struct engine *engine = tx->store->engine;
    struct prepared *p = cache_get(&tx->cache, st->sql);
    if (!p) {
        TRY(fault(cx, tx->store, "prepare"));
        TRY(engine->prepare(cx, tx->conn, st->sql, &p));
        struct prepared *old = cache_put(&tx->cache, st->sql, p);
        if (old)
            engine->unprepare(tx->conn, old);
    }
    *ret = p;
    return NULL;
}

/* Steps until the end, or until fn has enough: *ret_own is fn's error. */
static struct err *walk_rows(struct ctx *cx, struct tx *tx, struct prepared *p, db_row_fn *fn,
                             void *arg, struct err **ret_own)
{
    for (;;) {
        const struct db_value *cells = NULL;
        size_t n_cells = 0;
        TRY(fault(cx, tx->store, "step"));
        TRY(tx->store->engine->step(cx, tx->conn, p, &cells, &n_cells));
        if (!cells)
            return NULL;
        if (fn && (*ret_own = fn(cx, cells, n_cells, arg)))
            return NULL;
    }
}

struct run {
    const struct stmt *st;
    const struct db_value *params;
    size_t n_params;
    bool walk;
    db_row_fn *fn;
    void *arg;
    int64_t *ret_changes;
};

static struct err *run(struct ctx *cx, struct tx *tx, const struct run *r)
{
    const struct engine *engine = tx->store->engine;
    TRY(tx_usable(cx, tx));
    must(r->n_params <= MAX_PARAMS);
    struct prepared *p = NULL;
    struct err *own = NULL;
    struct err *e = prepare(cx, tx, r->st, &p);
    if (e)
        return tx_failed(cx, tx, e, r->st->name);
    e = check_params(cx, r->params, r->n_params, engine->n_params(p));
    if (e)
        return tx_failed(cx, tx, e, r->st->name);
    tx->walking = true;
    e = fault(cx, tx->store, "exec");
    if (!e)
        e = engine->start(cx, tx->conn, p, r->params, r->n_params, r->walk);
    if (!e)
        e = walk_rows(cx, tx, p, r->fn, r->arg, &own);
    if (!e && !own && r->ret_changes)
        *r->ret_changes = engine->changes(tx->conn);
    engine->finish(tx->conn, p);
    tx->walking = false;
    return e ? tx_failed(cx, tx, e, r->st->name) : own;
}

struct err *db_exec(struct ctx *cx, struct tx *tx, const struct stmt *st,
                    const struct db_value *params, size_t n_params, int64_t *ret_changes)
{
    return run(cx, tx, &(struct run){st, params, n_params, .ret_changes = ret_changes});
}

struct err *db_each(struct ctx *cx, struct tx *tx, const struct stmt *st,
                    const struct db_value *params, size_t n_params, db_row_fn *fn, void *arg)
{
    return run(cx, tx, &(struct run){st, params, n_params, .walk = true, .fn = fn, .arg = arg});
}

struct collect {
    struct db_value *cells; /* heap, until their number is known */
    size_t n, cap, n_cols;
};

static struct err *collect_row(struct ctx *cx, const struct db_value *cells, size_t n_cells,
                               void *arg)
{
    struct collect *c = arg;
    c->n_cols = n_cells;
    if (c->n + n_cells > c->cap) {
        c->cap = c->cap ? c->cap * 2 : n_cells * 2;
        c->cells = reallocarray(c->cells, c->cap, sizeof(*c->cells));
        must(c->cells);
    }
    for (size_t i = 0; i < n_cells; i++) {
        struct db_value *v = &c->cells[c->n++];
        *v = cells[i];
        if (v->s) /* one more byte: the NUL */
            v->s = memcpy(arena_alloc(cx->arena, v->size + 1), cells[i].s, v->size);
    }
    return NULL;
}

struct err *db_query(struct ctx *cx, struct tx *tx, const struct stmt *st,
                     const struct db_value *params, size_t n_params, struct db_rows *ret)
{
    struct collect c = {0};
    struct err *e = run(cx, tx, &(struct run){st, params, n_params, .fn = collect_row, .arg = &c});
    if (!e)
        *ret = (struct db_rows){.n_rows = c.n_cols ? c.n / c.n_cols : 0,
                                .n_cols = c.n_cols,
                                .cells = arena_memdup(cx->arena, c.cells, c.n * sizeof(*c.cells))};
    free(c.cells);
    return e;
}

struct err *store_check(struct ctx *cx, struct tx *tx, const struct stmt *st)
{
    const struct engine *engine = tx->store->engine;
    TRY(tx_usable(cx, tx));
    struct prepared *p = NULL;
    struct err *e = engine->prepare(cx, tx->conn, st->sql, &p);
    if (!e && engine->n_params(p) > MAX_PARAMS)
        e = fail(cx, ERR_INTERNAL, "more than %d parameters", MAX_PARAMS);
    if (p)
        engine->unprepare(tx->conn, p);
    return e ? tx_failed(cx, tx, e, st->name) : NULL;
}

struct err *tx_script(struct ctx *cx, struct tx *tx, const char *sql)
{
    TRY(tx_usable(cx, tx));
    struct err *e = fault(cx, tx->store, "script");
    if (!e)
        e = tx->store->engine->script(cx, tx->conn, sql);
    return e ? tx_failed(cx, tx, e, "script") : NULL;
}
