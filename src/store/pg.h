/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to the PostgreSQL engine: its connections, and how they wait. */
#pragma once

#include <libpq-fe.h>
#include "store/engine.h"

/* What the server is given beyond its own limit of a statement before it counts as gone. */
#define ANSWER_GRACE_US 1000000
/* What a server that is well needs at most for a word: a deadline in the past breaks no connection.
 */
#define ANSWER_MIN_US 500000

struct conn {
    PGconn *pg; /* non-blocking: a server that stands still must not hold a thread */
    bool broken;
    enum tx_mode mode;
    int64_t give_up_us; /* of the system's clock: when the answer under way is waited for no more */
    unsigned next_name;
    PGresult *res; /* the rows at hand; row is the next of them */
    int row;
    int64_t changes;
    struct db_value *cells;
    size_t cap_cells;
};

struct err *pg_connect(struct ctx *cx, const char *url, enum claim claim, struct conn **ret);
void pg_disconnect(struct conn *c);

/* Sets give_up_us: limit_us from now, or the context's deadline; never for migrations. */
void pg_set_limit(struct ctx *cx, struct conn *c, int64_t limit_us);
/* Until the next result can be had without waiting. False: given up, the connection is broken. */
bool pg_wait(struct conn *c);
/* Any number of statements; the last one's result. NULL: given up, or the connection was lost. */
PGresult *pg_ask(struct conn *c, const char *sql);
struct err *pg_run(struct ctx *cx, struct conn *c, const char *sql);
/* The error of a result (NULL: of the connection). */
MUST_USE struct err *pg_fail(struct ctx *cx, struct conn *c, const PGresult *res);

/* pg_listen.c, for the engine's table. */
#define NOTIFY_CHANNEL "colvert"
struct err *pg_listen(struct ctx *cx, const char *url, const struct hearer *hearer,
                      struct listener **ret);
void pg_unlisten(struct listener *l);
