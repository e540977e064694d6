/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The store: one set of statements and migrations for SQLite and PostgreSQL. Knows SQL engines,
 * nothing of what rows mean.
 *
 * SQL is the common subset: $1, $2 … parameters; TEXT, BIGINT and (for bytes) BYTEA columns;
 * booleans as BIGINT 0/1; times as BIGINT microseconds; ON CONFLICT; RETURNING; explicit NULLS
 * FIRST/LAST where NULLs are sorted.
 */
#pragma once

#include "base/base.h"

struct store;
struct tx; /* a pooled connection inside a transaction; used by one thread */

/*
 * url: "sqlite:/path/to/file", "sqlite::memory:" (one shared connection) or "postgresql://…".
 * max_conns bounds the pool; a caller waits up to its deadline (default 5 s) for a free connection,
 * then ERR_UNAVAILABLE. SQLite: WAL, each commit on disk before it is told, foreign keys on, busy timeout. PostgreSQL:
 * statement_timeout, prepared statements, broken connections are replaced.
 */
MUST_USE struct err *store_open(struct ctx *cx, const char *url, unsigned max_conns,
                                struct store **ret);
void store_close(struct store *s);
/*
 * When the server was last away, as far as this process met it: from and until when, since 1970; 0:
 * never; until 0: it still is. What was not heard meanwhile could not be heard.
 */
struct store_absence {
    int64_t from_us, until_us;
};
struct store_absence store_absence(struct store *s);
const char *store_engine(const struct store *s); /* "sqlite" or "postgresql" */
/*
 * What a module keeps in memory of this database: one thing for each key (an address of the
 * module's own), made when it is first asked for, dropped by store_close.
 */
struct store_memory {
    void *(*make)(void);
    void (*drop)(void *kept);
};
void *store_memory(struct store *s, const struct store_memory *key);
/*
 * The only one who has it open, with one connection: ERR_IN_USE when another has. Until store_close
 * everybody else's new connections are refused (ERR_UNAVAILABLE).
 */
MUST_USE struct err *store_open_alone(struct ctx *cx, const char *url, struct store **ret);

/* Both see one snapshot. Writers are serializable: ERR_STALE is "lost a race, run it again". */
MUST_USE struct err *tx_read(struct ctx *cx, struct store *s, struct tx **ret);
MUST_USE struct err *tx_write(struct ctx *cx, struct store *s, struct tx **ret);
/*
 * On success the data is on disk, and the hooks of tx_on_commit have run. The tx is over either way
 * (*tx = NULL).
 */
MUST_USE struct err *tx_commit(struct ctx *cx, struct tx **tx);
/*
 * Waits until all that a transaction can see by now is on disk: others' commits are seen a moment
 * before. For answers that have effects elsewhere.
 */
void store_settled(struct store *s);
void tx_rollback(struct tx **tx); /* NULL and ended transactions are fine */
/*
 * Whether e is a lost race (ERR_STALE) worth running the transaction again; *tries, 0 at first,
 * counts. Waits before it says so, each time longer and at random: losers who come back at once
 * meet again.
 */
bool tx_again(struct ctx *cx, const struct err *e, unsigned *tries);
#define AUTO_TXN __attribute__((cleanup(tx_rollback)))
/*
 * fn(arg) runs once, after a successful commit, in the committing thread, when the connection is
 * free again; arg must outlive the transaction. Hooks of two transactions may run in another order
 * than their commits.
 */
void tx_on_commit(struct tx *tx, void (*fn)(void *arg), void *arg);
struct store *tx_store(const struct tx *tx);

/*
 * For a process that answers clients: fn(arg, topic), in a thread of its own, for each topic of a
 * transaction that another process has committed; topic NULL: some may have gone unheard. Ends with
 * store_unlisten or store_close. SQLite: there is no other such process (ERR_IN_USE).
 */
MUST_USE struct err *store_listen(struct ctx *cx, struct store *s,
                                  void (*fn)(void *arg, const char *topic), void *arg);
void store_unlisten(struct store *s);
/* topic (one line) for other processes, told when the transaction commits; twice is once. */
void tx_notify(struct tx *tx, const char *topic);

/* A parameter or a column. Text is UTF-8 with a NUL; bytes have a size. */
enum db_type { DB_NULL, DB_INT, DB_TEXT, DB_BYTES };
struct db_value {
    enum db_type type;
    int64_t i;
    const char *s;
    size_t size; /* of text without the NUL, or of bytes */
};
#define V_INT(v) ((struct db_value){.type = DB_INT, .i = (v)})
#define V_NULL() ((struct db_value){.type = DB_NULL})
struct db_value V_TEXT(const char *s);                  /* NULL becomes SQL NULL */
struct db_value V_BYTES(const void *data, size_t size); /* NULL becomes SQL NULL */

/*
 * A statement, declared once as a static const row (or built from descriptors into an arena); its
 * text is what the per-connection cache of prepared statements is keyed by.
 */
struct stmt {
    const char *name;
    const char *sql;
};
#define MAX_PARAMS 128

/*
 * ret_changes (may be NULL): rows changed. A broken unique or foreign key is ERR_EXISTS /
 * ERR_IN_USE. After any error of a statement the transaction is failed: every further call gives an
 * error of the same kind, commit rolls back (where a conflict is expected, ON CONFLICT DO NOTHING
 * and the number of changes avoid that).
 */
MUST_USE struct err *db_exec(struct ctx *cx, struct tx *tx, const struct stmt *st,
                             const struct db_value *params, size_t n_params, int64_t *ret_changes);
#define db_run(cx, tx, st, ...)                                                                    \
    db_exec(cx, tx, st, (const struct db_value[]){__VA_ARGS__},                                    \
            sizeof((const struct db_value[]){__VA_ARGS__}) / sizeof(struct db_value), NULL)

/* All rows, copied into the context's arena; text and bytes are followed by a NUL. */
struct db_rows {
    size_t n_rows, n_cols;
    struct db_value *cells; /* row after row */
};
MUST_USE struct err *db_query(struct ctx *cx, struct tx *tx, const struct stmt *st,
                              const struct db_value *params, size_t n_params, struct db_rows *ret);
static inline const struct db_value *db_cell(const struct db_rows *r, size_t row, size_t col)
{
    must(row < r->n_rows && col < r->n_cols);
    return &r->cells[row * r->n_cols + col];
}
/* NULL for SQL NULL. */
static inline const char *db_text(const struct db_rows *r, size_t row, size_t col)
{
    const struct db_value *v = db_cell(r, row, col);
    must(v->type != DB_INT);
    return v->s;
}
/* 0 for SQL NULL. */
static inline int64_t db_int(const struct db_rows *r, size_t row, size_t col)
{
    const struct db_value *v = db_cell(r, row, col);
    must(v->type == DB_INT || v->type == DB_NULL);
    return v->i;
}

/*
 * Row by row, without copying: fn sees cells that live until it returns, and must not use the
 * transaction. An error of fn ends the walk and is returned; the transaction stays usable.
 */
typedef struct err *db_row_fn(struct ctx *cx, const struct db_value *cells, size_t n_cells,
                              void *arg);
MUST_USE struct err *db_each(struct ctx *cx, struct tx *tx, const struct stmt *st,
                             const struct db_value *params, size_t n_params, db_row_fn *fn,
                             void *arg);

/* Numbered from 1, without gaps; each runs in one transaction; one changed later is refused. */
struct migration {
    int number;
    const char *name;
    const char *sql; /* statements separated by ";\n"; once released, never changed */
};
MUST_USE struct err *store_migrate(struct ctx *cx, struct store *s, const struct migration *list,
                                   size_t n);
/* Prepares without running: the test that every declared statement fits the schema. */
MUST_USE struct err *store_check(struct ctx *cx, struct tx *tx, const struct stmt *st);

/*
 * Fault injection for tests: the Nth following engine call fails (0: off). Returns how many calls
 * were made since it was last set.
 */
long store_fail_nth(struct store *s, long nth);
