/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What a SQL engine must do. The generic part (store.c, query.c) keeps the pool, the order of
 * calls, the statement cache and the fate of failed transactions; an engine only talks to its
 * library.
 */
#pragma once

#include "store/store.h"

struct conn;     /* an engine's connection; used by one thread at a time */
struct prepared; /* an engine's prepared statement; belongs to one connection */

enum tx_mode {
    TX_READ,
    TX_WRITE,
    TX_MIGRATE, /* as TX_WRITE, without a time limit, one at a time among all processes */
    TX_MOVE, /* one snapshot to read and change, without a time limit; the claim keeps others out */
};

/*
 * Each connection has a claim on its database, as long as it lives: any number share it, or one has
 * it alone. So what a lone one did is not undone by somebody who hasn't heard of it.
 */
enum claim { CLAIM_SHARED, CLAIM_ALONE, CLAIM_NONE /* writes nothing */ };
/* Stands in a database whose rows were moved to another one: nobody connects to it any more. */
#define MOVED_TABLE "schema_moved"
MUST_USE struct err *claim_refused(struct ctx *cx, enum claim claim);
MUST_USE struct err *claim_moved(struct ctx *cx);

/* Who wants to know of other processes' commits; topic NULL: some may have gone unheard. */
struct hearer {
    void (*fn)(void *arg, const char *topic);
    void *arg;
    const char *own; /* what one's own topics begin with: they are not told */
};
struct listener; /* an engine's */

/* No statement runs longer, but those of migrations. */
#define STMT_LIMIT_MS 10000
/* How long to wait for a connection, or a turn to write, without a deadline. */
#define WAIT_US 5000000

/*
 * Errors have the kinds store.h promises and the library's own words; the generic part puts the
 * user's in front.
 */
struct engine {
    const char *name;
    bool one_writer; /* the generic part queues writers */
    bool remote;     /* a server, which may be away: the generic part tells callers at once */
    /* Names of all tables; those of the table $1's columns, in order. */
    const char *tables_sql, *columns_sql;
    /* The table $1's foreign keys: column, table and column it refers to. */
    const char *references_sql;
    const char
        *notify_sql; /* tells listeners the topics in $1, a line each; NULL: there are none */

    struct err *(*connect)(struct ctx *cx, const char *where, enum claim claim, struct conn **ret);
    void (*disconnect)(struct conn *c);
    bool (*broken)(const struct conn *c); /* not to be used again */

    struct err *(*begin)(struct ctx *cx, struct conn *c, enum tx_mode mode);
    struct err *(*commit)(struct ctx *cx, struct conn *c);
    /* Puts all that was committed so far, by any connection, on disk; NULL: commit does. */
    struct err *(*settle)(struct ctx *cx, struct conn *c);
    void (*rollback)(struct conn *c); /* without a transaction: nothing */
    /* Any number of statements without parameters. */
    struct err *(*script)(struct ctx *cx, struct conn *c, const char *sql);

    struct err *(*prepare)(struct ctx *cx, struct conn *c, const char *sql, struct prepared **ret);
    void (*unprepare)(struct conn *c, struct prepared *p);
    size_t (*n_params)(const struct prepared *p);
    /* start, step until ret_cells is NULL or enough was seen; finish, also after an error. */
    struct err *(*start)(struct ctx *cx, struct conn *c, struct prepared *p,
                         const struct db_value *params, size_t n_params, bool walk);
    struct err *(*step)(struct ctx *cx, struct conn *c, struct prepared *p,
                        const struct db_value **ret_cells, size_t *ret_n);
    int64_t (*changes)(const struct conn *c); /* rows, after the last step */
    void (*finish)(struct conn *c, struct prepared *p);

    /* A process that answers clients. Without a way to hear of others there must be none. */
    struct err *(*listen)(struct ctx *cx, const char *where, const struct hearer *hearer,
                          struct listener **ret);
    void (*unlisten)(struct listener *l);
};

extern const struct engine sqlite_engine;
extern const struct engine postgres_engine;
