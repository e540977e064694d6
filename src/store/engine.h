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
};

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

    struct err *(*connect)(struct ctx *cx, const char *where, struct conn **ret);
    void (*disconnect)(struct conn *c);
    bool (*broken)(const struct conn *c); /* not to be used again */

    struct err *(*begin)(struct ctx *cx, struct conn *c, enum tx_mode mode);
    struct err *(*commit)(struct ctx *cx, struct conn *c);
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
};

extern const struct engine sqlite_engine;
extern const struct engine postgres_engine;
