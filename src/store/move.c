/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * See move.h. Tables, columns and references are what the engines say that the migrations made.
 * A table comes after those that it refers to; references to rows of the same table are filled in
 * once all of them are there.
 */
#include <sodium.h>
#include "store/impl.h"
#include "store/move.h"

#define ROWS_AT_ONCE 50
#define PROGRESS_ROWS 10000
#define SUM_LANES 4

struct sum {
    int64_t n;
    uint64_t lanes[SUM_LANES]; /* of the rows' hashes, added up: no order is needed */
};

struct column {
    const char *name;
    const char *own; /* refers to this column of the same table; NULL: doesn't */
};

struct table {
    const char *name;
    struct column *columns;
    size_t n_columns;
    const char **needs; /* other tables that it refers to */
    size_t n_needs;
    bool placed;
};

struct move {
    struct ctx *cx;
    struct tx *from, *to;
    struct table *tables;
    size_t n_tables;
    move_progress_fn *progress;
    void *arg;
};

/* ---------------------------------------------------------------- what there is */

static struct err *ask(struct ctx *cx, struct tx *tx, const char *sql, const char *param,
                       struct db_rows *ret)
{
    const struct stmt st = {"move_ask", sql};
    struct db_value v = V_TEXT(param);
    return db_query(cx, tx, &st, &v, param != NULL, ret);
}

static struct err *read_table(struct move *m, struct table *t, const char *name)
{
    const struct engine *engine = tx_store(m->from)->engine;
    struct db_rows cols, refs;
    t->name = name;
    TRY(ask(m->cx, m->from, engine->columns_sql, name, &cols));
    TRY(ask(m->cx, m->from, engine->references_sql, name, &refs));
    must(cols.n_rows > 0 && cols.n_rows <= MAX_PARAMS);
    t->columns = arena_new_array(m->cx->arena, struct column, cols.n_rows);
    t->needs = arena_new_array(m->cx->arena, const char *, refs.n_rows + 1);
    t->n_columns = cols.n_rows;
    for (size_t i = 0; i < cols.n_rows; i++)
        t->columns[i] = (struct column){.name = db_text(&cols, i, 0)};
    for (size_t r = 0; r < refs.n_rows; r++) {
        bool own = str_eq(db_text(&refs, r, 1), name);
        if (!own)
            t->needs[t->n_needs++] = db_text(&refs, r, 1);
        for (size_t i = 0; own && i < t->n_columns; i++)
            if (str_eq(t->columns[i].name, db_text(&refs, r, 0)))
                t->columns[i].own = db_text(&refs, r, 2);
    }
    return NULL;
}

static bool is_placed(const struct move *m, const char *name)
{
    for (size_t i = 0; i < m->n_tables; i++)
        if (str_eq(m->tables[i].name, name))
            return m->tables[i].placed;
    return false;
}

/* Those that it refers to stand before it. */
static void sort_tables(struct move *m)
{
    struct table *sorted = arena_new_array(m->cx->arena, struct table, m->n_tables + 1);
    for (size_t n = 0, before; n < m->n_tables;) {
        before = n;
        for (size_t i = 0; i < m->n_tables; i++) {
            struct table *t = &m->tables[i];
            bool ready = !t->placed;
            for (size_t k = 0; ready && k < t->n_needs; k++)
                ready = is_placed(m, t->needs[k]);
            if (ready) {
                t->placed = true;
                sorted[n++] = *t;
            }
        }
        must(n > before); /* PostgreSQL takes no circle in a migration either */
    }
    m->tables = sorted;
}

static struct err *read_tables(struct move *m)
{
    struct db_rows from, to;
    TRY(ask(m->cx, m->from, tx_store(m->from)->engine->tables_sql, NULL, &from));
    TRY(ask(m->cx, m->to, tx_store(m->to)->engine->tables_sql, NULL, &to));
    bool same = from.n_rows == to.n_rows;
    for (size_t i = 0; same && i < from.n_rows; i++)
        same = str_eq(db_text(&from, i, 0), db_text(&to, i, 0));
    if (!same)
        return fail(
            m->cx, ERR_PRECONDITION,
            "the two databases don't have the same tables: is there something else in one?");
    m->tables = arena_new_array(m->cx->arena, struct table, from.n_rows + 1);
    for (size_t i = 0; i < from.n_rows; i++)
        if (!str_eq(db_text(&from, i, 0), MIGRATION_TABLE)) /* each side has its own */
            TRY(read_table(m, &m->tables[m->n_tables++], db_text(&from, i, 0)));
    sort_tables(m);
    return NULL;
}

static struct err *check_empty(struct move *m)
{
    for (size_t i = 0; i < m->n_tables; i++) {
        struct db_rows rows;
        const char *sql =
            arena_printf(m->cx->arena, "SELECT 1 FROM \"%s\" LIMIT 1", m->tables[i].name);
        TRY(ask(m->cx, m->to, sql, NULL, &rows));
        if (rows.n_rows)
            return fail(m->cx, ERR_EXISTS,
                        "the target holds a region already (table %s has rows): give a new file or "
                        "an empty database",
                        m->tables[i].name);
    }
    return NULL;
}

/* ---------------------------------------------------------------- sums */

static void hash_value(crypto_hash_sha256_state *h, const struct db_value *v)
{
    uint8_t type = (uint8_t)v->type;
    uint64_t size = v->type == DB_NULL ? 0 : v->type == DB_INT ? sizeof(v->i) : v->size;
    crypto_hash_sha256_update(h, &type, sizeof(type));
    crypto_hash_sha256_update(h, (const uint8_t *)&size, sizeof(size));
    const void *data = v->type == DB_INT ? (const void *)&v->i : v->s;
    if (size)
        crypto_hash_sha256_update(h, data, size);
}

static void add_row(struct sum *s, const struct db_value *cells, size_t n)
{
    crypto_hash_sha256_state h;
    uint64_t lanes[SUM_LANES];
    _Static_assert(sizeof(lanes) == crypto_hash_sha256_BYTES, "all of the hash");
    crypto_hash_sha256_init(&h);
    for (size_t i = 0; i < n; i++)
        hash_value(&h, &cells[i]);
    crypto_hash_sha256_final(&h, (uint8_t *)lanes);
    for (size_t i = 0; i < SUM_LANES; i++)
        s->lanes[i] += lanes[i];
    s->n++;
}

/* ---------------------------------------------------------------- one table */

static const char *column_list(struct ctx *cx, const struct table *t)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < t->n_columns; i++)
        buf_printf(&b, "%s\"%s\"", i ? ", " : "", t->columns[i].name);
    return buf_cstr(&b);
}

static struct stmt select_all(struct ctx *cx, const struct table *t)
{
    return (struct stmt){"move_select", arena_printf(cx->arena, "SELECT %s FROM \"%s\"",
                                                     column_list(cx, t), t->name)};
}

static struct stmt insert_rows(struct ctx *cx, const struct table *t, size_t n_rows)
{
    struct buf b;
    buf_init(&b, cx->arena);
    buf_printf(&b, "INSERT INTO \"%s\" (%s) VALUES ", t->name, column_list(cx, t));
    for (size_t r = 0, p = 1; r < n_rows; r++) {
        for (size_t i = 0; i < t->n_columns; i++, p++)
            buf_printf(&b, "%s$%zu", i ? ", " : r ? "), (" : "(", p);
    }
    buf_str(&b, ")");
    return (struct stmt){"move_insert", buf_cstr(&b)};
}

struct copy {
    struct move *m;
    const struct table *t;
    struct sum sum;
    struct ctx rows; /* owns what is gathered */
    struct db_value values[MAX_PARAMS];
    size_t n_rows, max_rows;
    struct stmt insert; /* of max_rows */
};

static struct err *flush(struct copy *c)
{
    struct move *m = c->m;
    if (!c->n_rows)
        return NULL;
    struct stmt st = c->n_rows == c->max_rows ? c->insert : insert_rows(m->cx, c->t, c->n_rows);
    TRY(db_exec(m->cx, m->to, &st, c->values, c->n_rows * c->t->n_columns, NULL));
    c->n_rows = 0;
    arena_reset(c->rows.arena);
    return NULL;
}

static struct err *copy_row(struct ctx *cx UNUSED, const struct db_value *cells, size_t n,
                            void *arg)
{
    struct copy *c = arg;
    must(n == c->t->n_columns);
    add_row(&c->sum, cells, n);
    for (size_t i = 0; i < n; i++) {
        struct db_value *v = &c->values[c->n_rows * n + i];
        *v = c->t->columns[i].own ? V_NULL() : cells[i];
        if (v->s)
            v->s = v->type == DB_TEXT ? arena_strndup(c->rows.arena, v->s, v->size)
                                      : arena_memdup(c->rows.arena, v->s, v->size);
    }
    if (c->m->progress && c->sum.n % PROGRESS_ROWS == 0)
        c->m->progress(c->m->arg, c->t->name, c->sum.n, false);
    return ++c->n_rows == c->max_rows ? flush(c) : NULL;
}

struct link {
    struct move *m;
    struct stmt update;
};

static struct err *link_row(struct ctx *cx UNUSED, const struct db_value *cells, size_t n UNUSED,
                            void *arg)
{
    struct link *l = arg;
    return db_exec(l->m->cx, l->m->to, &l->update, cells, 2, NULL);
}

/* References to rows of the same table, by the column that they name, too. */
static struct err *link_rows(struct move *m, const struct table *t)
{
    for (size_t i = 0; i < t->n_columns; i++) {
        const char *own = t->columns[i].own, *name = t->columns[i].name;
        if (!own)
            continue;
        struct arena *a = m->cx->arena;
        struct stmt select = {
            "move_links",
            arena_printf(a, "SELECT \"%s\", \"%s\" FROM \"%s\" WHERE \"%s\" IS NOT NULL", own, name,
                         t->name, name)};
        struct link l = {m,
                         {"move_link", arena_printf(a,
                                                    "UPDATE \"%s\" SET \"%s\" = $2 WHERE "
                                                    "\"%s\" = $1",
                                                    t->name, name, own)}};
        TRY(db_each(m->cx, m->from, &select, NULL, 0, link_row, &l));
    }
    return NULL;
}

static struct err *sum_row(struct ctx *cx UNUSED, const struct db_value *cells, size_t n, void *arg)
{
    add_row(arg, cells, n);
    return NULL;
}

static struct err *compare(struct move *m, const struct table *t, const struct sum *from)
{
    struct sum to = {0};
    struct stmt st = select_all(m->cx, t);
    TRY(db_each(m->cx, m->to, &st, NULL, 0, sum_row, &to));
    if (to.n != from->n)
        return fail(m->cx, ERR_INTERNAL,
                    "table %s: %" PRId64 " rows arrived of %" PRId64 "; nothing was moved", t->name,
                    to.n, from->n);
    if (memcmp(to.lanes, from->lanes, sizeof(to.lanes)) != 0)
        return fail(m->cx, ERR_INTERNAL,
                    "table %s: what arrived is not what was sent; nothing was moved", t->name);
    return NULL;
}

static struct err *copy_rows(struct copy *c)
{
    struct move *m = c->m;
    struct stmt st = select_all(m->cx, c->t);
    c->insert = insert_rows(m->cx, c->t, c->max_rows);
    TRY(db_each(m->cx, m->from, &st, NULL, 0, copy_row, c));
    return flush(c);
}

static struct err *move_table(struct move *m, const struct table *t)
{
    struct copy c = {.m = m, .t = t};
    c.max_rows = (size_t)min_i64(ROWS_AT_ONCE, (int64_t)(MAX_PARAMS / t->n_columns));
    ctx_init(&c.rows);
    struct err *e = copy_rows(&c);
    ctx_release(&c.rows);
    if (!e)
        e = link_rows(m, t);
    if (!e)
        e = compare(m, t, &c.sum);
    if (e)
        return wrap(m->cx, e, e->kind, "table %s could not be moved: %s", t->name, e->message);
    if (m->progress)
        m->progress(m->arg, t->name, c.sum.n, true);
    return NULL;
}

/* ---------------------------------------------------------------- the whole */

static struct err *move_all(struct move *m)
{
    TRY(read_tables(m));
    TRY(check_empty(m));
    for (size_t i = 0; i < m->n_tables; i++)
        TRY(move_table(m, &m->tables[i]));
    return NULL;
}

/* Committed last: until then the source is what counts. */
static struct err *mark_moved(struct ctx *cx, struct tx **from, const char *to_engine)
{
    static const struct stmt add = {"moved_add", "INSERT INTO " MOVED_TABLE
                                                 " (moved_at, engine) VALUES ($1, $2)"};
    TRY(tx_script(cx, *from,
                  "CREATE TABLE " MOVED_TABLE " (moved_at BIGINT NOT NULL, engine TEXT NOT NULL)"));
    TRY(db_run(cx, *from, &add, V_INT(now_us(cx)), V_TEXT(to_engine)));
    return tx_commit(cx, from);
}

static struct err *move_between(struct ctx *cx, struct store *from, struct store *to,
                                const struct migration *list, size_t n, struct move *m)
{
    AUTO_TXN struct tx *from_tx = NULL;
    AUTO_TXN struct tx *to_tx = NULL;
    TRY(tx_start(cx, from, TX_MOVE, &from_tx));
    TRY(migrations_complete(cx, from_tx, list, n));
    TRY(store_migrate(cx, to, list, n));
    TRY(tx_start(cx, to, TX_MOVE, &to_tx));
    m->from = from_tx;
    m->to = to_tx;
    TRY(move_all(m));
    TRY(tx_commit(cx, &to_tx));
    struct err *e = mark_moved(cx, &from_tx, store_engine(to));
    if (e)
        return wrap(cx, e, e->kind,
                    "everything was copied, but the source could not be marked as moved: make sure "
                    "that no process is started with it again");
    return NULL;
}

/* A mistyped path must not become an empty database. */
static struct err *check_source(struct ctx *cx, const char *url)
{
    const char *path = str_starts(url, "sqlite:/") ? url + strlen("sqlite:") : NULL;
    if (path && access(path, F_OK) < 0)
        return fail(cx, ERR_NOT_FOUND, "there is no database '%s': %m", path);
    return NULL;
}

struct err *store_move(struct ctx *cx, const char *from_url, const char *to_url,
                       const struct migration *list, size_t n, move_progress_fn *progress,
                       void *arg)
{
    struct store *from = NULL, *to = NULL;
    struct move m = {.cx = cx, .progress = progress, .arg = arg};
    TRY(check_source(cx, from_url));
    struct err *e = store_open_alone(cx, from_url, &from);
    if (e)
        return wrap(cx, e, e->kind, "the source: %s", e->message);
    e = store_open_alone(cx, to_url, &to);
    if (e)
        e = wrap(cx, e, e->kind, "the target: %s", e->message);
    else
        e = move_between(cx, from, to, list, n, &m);
    store_close(to);
    store_close(from);
    return e;
}
