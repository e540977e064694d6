/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Connections to PostgreSQL. Whatever is asked is waited for with an end: statement_timeout is the
 * server's own and doesn't help when the server stands still, or the network swallows its answer.
 */
#include <limits.h>
#include <poll.h>
#include "store/pg.h"

/*
 * The claim is an advisory lock, by any number that nobody else uses. Not taken at once, as a
 * session outlives its connection for a moment.
 */
#define CLAIM_SQL(shared)                                                                          \
    "SET lock_timeout = 1000; SELECT pg_advisory_lock" shared                                      \
    "(7163840153628456); RESET lock_timeout"
#define LOCK_NOT_AVAILABLE "55P03"

static int64_t now_real_us(void)
{
    return mono_us(&(struct ctx){.clock = clock_system()});
}

static enum err_kind kind_of(const char *state)
{
    static const struct {
        const char *state; /* a code, or a class of two characters */
        enum err_kind kind;
    } kinds[] = {
        {"40001", ERR_STALE},    /* serialization failure */
        {"40P01", ERR_STALE},    /* deadlock */
        {"55P03", ERR_STALE},    /* lock not available */
        {"0A000", ERR_STALE},    /* a plan from before a migration; the connection is replaced */
        {"26000", ERR_STALE},    /* the same, for a statement that is gone */
        {"23505", ERR_EXISTS},   /* unique */
        {"23P01", ERR_EXISTS},   /* exclusion */
        {"23503", ERR_IN_USE},   /* foreign key */
        {"23001", ERR_IN_USE},   /* ON DELETE RESTRICT */
        {"54", ERR_TOO_LARGE},   /* a limit of the server's */
        {"08", ERR_UNAVAILABLE}, /* connection */
        {"53", ERR_UNAVAILABLE}, /* out of memory, disk or connections */
        {"57", ERR_UNAVAILABLE}, /* shutting down or starting up; statement_timeout */
        {"58", ERR_UNAVAILABLE}, /* input and output */
        {"XX", ERR_UNAVAILABLE}, /* corrupted */
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strncmp(state, kinds[i].state, strlen(kinds[i].state)) == 0)
            return kinds[i].kind;
    return ERR_INTERNAL;
}

/* libpq ends its messages with a newline. */
struct err *pg_fail(struct ctx *cx, struct conn *c, const PGresult *res)
{
    const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
    const char *message = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (c->broken && !res && PQstatus(c->pg) == CONNECTION_OK)
        return fail(cx, ERR_UNAVAILABLE, "PostgreSQL: the server does not answer in time");
    bool lost = PQstatus(c->pg) != CONNECTION_OK;
    if (lost || (state && (str_eq(state, "0A000") || str_eq(state, "26000"))))
        c->broken = true;
    if (!message)
        message = PQerrorMessage(c->pg);
    enum err_kind kind = lost || !state ? ERR_UNAVAILABLE : kind_of(state);
    return fail(cx, kind, "PostgreSQL: %.*s (%s)", (int)strcspn(message, "\n"), message,
                state ? state : "connection lost");
}

/* Waiting. */

void pg_set_limit(struct ctx *cx, struct conn *c, int64_t limit_us)
{
    if (cx->deadline_us)
        limit_us = min_i64(limit_us, max_i64(cx->deadline_us - mono_us(cx), ANSWER_MIN_US));
    c->give_up_us = c->mode >= TX_MIGRATE ? INT64_MAX : now_real_us() + limit_us;
}

/* False when the time is over. */
static bool poll_until(int fd, short events, int64_t until_us)
{
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        int64_t left_ms = until_us == INT64_MAX ? -1 : (until_us - now_real_us() + 999) / 1000;
        if (until_us != INT64_MAX && left_ms <= 0)
            return poll(&p, 1, 0) > 0;
        int rc = poll(&p, 1, (int)min_i64(left_ms, INT_MAX));
        if (rc > 0)
            return true;
        if (rc < 0 && errno != EINTR)
            return true; /* the library meets it, too, and has words for it */
    }
}

bool pg_wait(struct conn *c)
{
    while (!c->broken) {
        int unsent = PQflush(c->pg);
        if (unsent == 0 && !PQisBusy(c->pg))
            return true;
        if (unsent < 0)
            return true;
        short events = unsent ? POLLIN | POLLOUT : POLLIN;
        if (!poll_until(PQsocket(c->pg), events, c->give_up_us))
            c->broken = true;
        else if (!PQconsumeInput(c->pg))
            return true;
    }
    return false;
}

PGresult *pg_ask(struct conn *c, const char *sql)
{
    PGresult *last = NULL, *res = NULL;
    if (!PQsendQuery(c->pg, sql))
        return NULL;
    while (pg_wait(c) && (res = PQgetResult(c->pg))) {
        PQclear(last);
        last = res;
    }
    if (c->broken) {
        PQclear(last);
        return NULL;
    }
    return last;
}

struct err *pg_run(struct ctx *cx, struct conn *c, const char *sql)
{
    PGresult *res = pg_ask(c, sql);
    ExecStatusType status = PQresultStatus(res);
    struct err *e = NULL;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        e = pg_fail(cx, c, res);
    PQclear(res);
    return e;
}

/* Connecting. */

void pg_disconnect(struct conn *c)
{
    PQclear(c->res);
    PQfinish(c->pg);
    free(c->cells);
    free(c);
}

static void no_notice(void *arg UNUSED, const PGresult *res UNUSED)
{
}

/* The lock lives as long as the connection, so nobody writes without it. What was moved elsewhere
 * is not written to any more. */
static struct err *take_claim(struct ctx *cx, struct conn *c, enum claim claim)
{
    PGresult *res = pg_ask(c, claim == CLAIM_ALONE ? CLAIM_SQL("") : CLAIM_SQL("_shared"));
    const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
    struct err *e = NULL;
    if (state && str_eq(state, LOCK_NOT_AVAILABLE))
        e = claim_refused(cx, claim);
    else if (PQresultStatus(res) != PGRES_COMMAND_OK)
        e = pg_fail(cx, c, res);
    PQclear(res);
    if (e)
        return e;
    res = pg_ask(c, "SELECT to_regclass('" MOVED_TABLE "') IS NOT NULL");
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        e = pg_fail(cx, c, res);
    else if (str_eq(PQgetvalue(res, 0, 0), "t"))
        e = claim_moved(cx);
    PQclear(res);
    return e;
}

static struct err *configure(struct ctx *cx, struct conn *c, enum claim claim)
{
    if (PQstatus(c->pg) != CONNECTION_OK)
        return pg_fail(cx, c, NULL);
    PQsetNoticeReceiver(c->pg, no_notice, NULL);
    if (PQsetnonblocking(c->pg, 1) < 0)
        return pg_fail(cx, c, NULL);
    if (!str_eq(PQparameterStatus(c->pg, "server_encoding"), "UTF8"))
        return fail(cx, ERR_PRECONDITION, "the database's encoding must be UTF8");
    pg_set_limit(cx, c, WAIT_US);
    TRY(pg_run(cx, c,
               "SET statement_timeout = " STRINGIFY(
                   STMT_LIMIT_MS) "; SET idle_in_transaction_session_timeout = 60000"
                                  "; SET client_min_messages = warning"));
    return claim == CLAIM_NONE ? NULL : take_claim(cx, c, claim);
}

struct err *pg_connect(struct ctx *cx, const char *url, enum claim claim, struct conn **ret)
{
    /* A server that vanished is noticed in seconds, not hours, unless the URL says otherwise. */
    static const char *const keys[] = {"application_name",
                                       "connect_timeout",
                                       "keepalives_idle",
                                       "keepalives_interval",
                                       "keepalives_count",
                                       "tcp_user_timeout",
                                       "dbname",
                                       "client_encoding",
                                       NULL};
    const char *const values[] = {"colvert", "5", "10", "5", "3", "15000", url, "UTF8", NULL};
    struct conn *c = calloc(1, sizeof(*c));
    must(c);
    c->pg = PQconnectdbParams(keys, values, 1);
    must(c->pg);
    struct err *e = configure(cx, c, claim);
    if (e) {
        e = wrap(cx, e, e->kind, "cannot connect to the database");
        pg_disconnect(c);
        return e;
    }
    *ret = c;
    return NULL;
}
