/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The PostgreSQL engine, on libpq. Parameters go as text (the server infers their types from the
 * statement), bytes and all results in binary: no parsing, and bytes need no copy.
 */
#include <endian.h>
#include <limits.h>
#include <libpq-fe.h>
#include "store/engine.h"

/* The server's object identifiers of types, from its catalog/pg_type.dat. */
enum pg_type {
    PG_BOOL = 16,
    PG_BYTEA = 17,
    PG_NAME = 19,
    PG_INT8 = 20,
    PG_INT2 = 21,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_UNKNOWN = 705,
    PG_BPCHAR = 1042,
    PG_VARCHAR = 1043,
    PG_NUMERIC = 1700,
};

/* Any number nobody else uses: migrations of all processes wait for each other on it. */
#define MIGRATE_LOCK "7163840153628455"

static const char *const begin_sql[] = {
    /* The snapshot is taken by the first query: at once. */
    [TX_READ] = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1",
    [TX_WRITE] = "BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    /* Not serializable: what others did while we waited for the lock must be seen. */
    [TX_MIGRATE] =
        "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0; "
        "SELECT pg_advisory_xact_lock(" MIGRATE_LOCK ")",
};

struct conn {
    PGconn *pg;
    bool broken;
    unsigned next_name;
    PGresult *res; /* the rows at hand; row is the next of them */
    int row;
    int64_t changes;
    struct db_value *cells;
    size_t cap_cells;
};

struct prepared {
    char name[16];
    size_t n_params;
};

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
        {"57014", ERR_TIMEOUT},  /* statement_timeout */
        {"54", ERR_TOO_LARGE},   /* a limit of the server's */
        {"08", ERR_UNAVAILABLE}, /* connection */
        {"53", ERR_UNAVAILABLE}, /* out of memory, disk or connections */
        {"57", ERR_UNAVAILABLE}, /* shutting down or starting up */
        {"58", ERR_UNAVAILABLE}, /* input and output */
        {"XX", ERR_UNAVAILABLE}, /* corrupted */
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strncmp(state, kinds[i].state, strlen(kinds[i].state)) == 0)
            return kinds[i].kind;
    return ERR_INTERNAL;
}

/* The error of a result (NULL: of the connection); libpq ends its messages with a newline. */
MUST_USE static struct err *pg_fail(struct ctx *cx, struct conn *c, const PGresult *res)
{
    const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
    const char *message = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    bool lost = PQstatus(c->pg) != CONNECTION_OK;
    if (lost || (state && (str_eq(state, "0A000") || str_eq(state, "26000"))))
        c->broken = true;
    if (!message)
        message = PQerrorMessage(c->pg);
    enum err_kind kind = lost || !state ? ERR_UNAVAILABLE : kind_of(state);
    return fail(cx, kind, "PostgreSQL: %.*s (%s)", (int)strcspn(message, "\n"), message,
                state ? state : "connection lost");
}

static struct err *run_sql(struct ctx *cx, struct conn *c, const char *sql)
{
    PGresult *res = PQexec(c->pg, sql);
    ExecStatusType status = PQresultStatus(res);
    struct err *e = NULL;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        e = pg_fail(cx, c, res);
    PQclear(res);
    return e;
}

/* Connections. */

static void pg_disconnect(struct conn *c)
{
    PQclear(c->res);
    PQfinish(c->pg);
    free(c->cells);
    free(c);
}

static void no_notice(void *arg UNUSED, const PGresult *res UNUSED)
{
}

static struct err *configure(struct ctx *cx, struct conn *c)
{
    if (PQstatus(c->pg) != CONNECTION_OK)
        return pg_fail(cx, c, NULL);
    PQsetNoticeReceiver(c->pg, no_notice, NULL);
    if (!str_eq(PQparameterStatus(c->pg, "server_encoding"), "UTF8"))
        return fail(cx, ERR_PRECONDITION, "the database's encoding must be UTF8");
    return run_sql(
        cx, c,
        "SET statement_timeout = " STRINGIFY(
            STMT_LIMIT_MS) "; SET idle_in_transaction_session_timeout = 60000"
                           "; SET client_min_messages = warning");
}

static struct err *pg_connect(struct ctx *cx, const char *url, struct conn **ret)
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
    struct err *e = configure(cx, c);
    if (e) {
        e = wrap(cx, e, e->kind, "cannot connect to the database");
        pg_disconnect(c);
        return e;
    }
    *ret = c;
    return NULL;
}

static bool pg_broken(const struct conn *c)
{
    return c->broken;
}

/* Transactions. */

static void pg_rollback(struct conn *c)
{
    PGTransactionStatusType status = PQtransactionStatus(c->pg);
    if (status == PQTRANS_INTRANS || status == PQTRANS_INERROR)
        PQclear(PQexec(c->pg, "ROLLBACK"));
    if (PQtransactionStatus(c->pg) != PQTRANS_IDLE)
        c->broken = true;
}

static struct err *pg_begin(struct ctx *cx, struct conn *c, enum tx_mode mode)
{
    return run_sql(cx, c, begin_sql[mode]);
}

static struct err *pg_commit(struct ctx *cx, struct conn *c)
{
    PGresult *res = PQexec(c->pg, "COMMIT");
    struct err *e = NULL;
    if (PQresultStatus(res) != PGRES_COMMAND_OK)
        e = pg_fail(cx, c, res);
    else if (!str_eq(PQcmdStatus(res), "COMMIT"))
        e = fail(cx, ERR_INTERNAL, "PostgreSQL: the transaction was rolled back");
    PQclear(res);
    if (e && PQstatus(c->pg) != CONNECTION_OK)
        e = wrap(cx, e, ERR_UNAVAILABLE,
                 "the connection to the database was lost during the commit: "
                 "look whether the change was made before trying again");
    return e;
}

static struct err *pg_script(struct ctx *cx, struct conn *c, const char *sql)
{
    return run_sql(cx, c, sql);
}

/* Statements. */

static void pg_unprepare(struct conn *c, struct prepared *p)
{
    if (!c->broken && PQtransactionStatus(c->pg) != PQTRANS_INERROR) {
        char sql[sizeof("DEALLOCATE ") + sizeof(p->name)];
        snprintf(sql, sizeof(sql), "DEALLOCATE %s", p->name);
        PQclear(PQexec(c->pg, sql));
    }
    free(p);
}

static struct err *describe(struct ctx *cx, struct conn *c, struct prepared *p)
{
    PGresult *res = PQdescribePrepared(c->pg, p->name);
    struct err *e = NULL;
    if (PQresultStatus(res) != PGRES_COMMAND_OK)
        e = pg_fail(cx, c, res);
    else
        p->n_params = (size_t)PQnparams(res);
    PQclear(res);
    return e;
}

static struct err *pg_prepare(struct ctx *cx, struct conn *c, const char *sql,
                              struct prepared **ret)
{
    struct prepared *p = calloc(1, sizeof(*p));
    must(p);
    snprintf(p->name, sizeof(p->name), "s%u", c->next_name++);
    PGresult *res = PQprepare(c->pg, p->name, sql, 0, NULL);
    struct err *e = NULL;
    if (PQresultStatus(res) != PGRES_COMMAND_OK)
        e = pg_fail(cx, c, res);
    PQclear(res);
    if (!e)
        e = describe(cx, c, p);
    if (e) {
        free(p);
        return e;
    }
    *ret = p;
    return NULL;
}

static size_t pg_n_params(const struct prepared *p)
{
    return p->n_params;
}

struct wire_params {
    const char *values[MAX_PARAMS];
    int lengths[MAX_PARAMS], formats[MAX_PARAMS];
    char numbers[MAX_PARAMS][24];
};

static struct err *encode(struct ctx *cx, const struct db_value *params, size_t n,
                          struct wire_params *w)
{
    for (size_t i = 0; i < n; i++) {
        const struct db_value *v = &params[i];
        w->values[i] = v->type == DB_NULL ? NULL : v->s;
        w->formats[i] = v->type == DB_BYTES;
        w->lengths[i] = 0; /* of text it is not asked */
        if (v->type == DB_INT) {
            snprintf(w->numbers[i], sizeof(w->numbers[i]), "%" PRId64, v->i);
            w->values[i] = w->numbers[i];
        }
        if (v->type != DB_BYTES)
            continue;
        if (v->size > INT_MAX)
            return fail(cx, ERR_TOO_LARGE, "parameter %zu: more than 2 GiB", i + 1);
        w->lengths[i] = (int)v->size;
    }
    return NULL;
}

static struct err *pg_start(struct ctx *cx, struct conn *c, struct prepared *p,
                            const struct db_value *params, size_t n_params, bool walk)
{
    struct wire_params w;
    TRY(encode(cx, params, n_params, &w));
    c->changes = 0;
    c->row = 0;
    if (!PQsendQueryPrepared(c->pg, p->name, (int)n_params, w.values, w.lengths, w.formats, 1))
        return pg_fail(cx, c, NULL);
    if (walk)
        must(PQsetSingleRowMode(c->pg));
    return NULL;
}

/* The server's numeric, which SUM gives: digits of base 10000, the biggest first. Integers only. */
static bool read_numeric(const char *data, size_t size, int64_t *ret)
{
    int16_t word[4 + 8]; /* count of digits, weight of the first, sign, scale, digits */
    if (size < 8 || size > sizeof(word))
        return false;
    memcpy(word, data, size);
    for (size_t i = 0; i < size / 2; i++)
        word[i] = (int16_t)be16toh((uint16_t)word[i]);
    int n = word[0], weight = word[1];
    bool negative = word[2] == 0x4000;
    if ((word[2] != 0 && !negative) || size != 8 + 2 * (size_t)n || n > weight + 1 || weight > 4)
        return false;
    int64_t v = 0; /* built below zero: there is one number more */
    for (int i = 0; i <= weight; i++)
        if (__builtin_mul_overflow(v, 10000, &v) ||
            __builtin_sub_overflow(v, i < n ? word[4 + i] : 0, &v))
            return false;
    if (!negative && v == INT64_MIN)
        return false;
    *ret = negative ? v : -v;
    return true;
}

static bool read_int(Oid type, const char *data, size_t size, int64_t *ret)
{
    uint64_t v8;
    uint32_t v4;
    uint16_t v2;
    switch (type) {
    case PG_INT8:
        must(size == sizeof(v8));
        memcpy(&v8, data, sizeof(v8));
        *ret = (int64_t)be64toh(v8);
        return true;
    case PG_INT4:
        must(size == sizeof(v4));
        memcpy(&v4, data, sizeof(v4));
        *ret = (int32_t)be32toh(v4);
        return true;
    case PG_INT2:
        must(size == sizeof(v2));
        memcpy(&v2, data, sizeof(v2));
        *ret = (int16_t)be16toh(v2);
        return true;
    case PG_BOOL:
        *ret = size == 1 && data[0] != 0;
        return true;
    case PG_NUMERIC:
        return read_numeric(data, size, ret);
    default:
        return false;
    }
}

static struct err *read_cell(struct ctx *cx, const PGresult *res, int row, int col,
                             struct db_value *v)
{
    if (PQgetisnull(res, row, col)) {
        *v = V_NULL();
        return NULL;
    }
    Oid type = PQftype(res, col);
    const char *data = PQgetvalue(res, row, col);
    size_t size = (size_t)PQgetlength(res, row, col);
    *v = (struct db_value){.type = DB_INT};
    if (read_int(type, data, size, &v->i))
        return NULL;
    switch (type) {
    case PG_TEXT:
    case PG_VARCHAR:
    case PG_BPCHAR:
    case PG_NAME:
    case PG_UNKNOWN:
        *v = (struct db_value){.type = DB_TEXT, .s = data, .size = size};
        return NULL;
    case PG_BYTEA:
        *v = (struct db_value){.type = DB_BYTES, .s = data, .size = size};
        return NULL;
    default:
        return fail(cx, ERR_INTERNAL, "column %d: neither integer, text nor bytes (type %u)", col,
                    type);
    }
}

/* Gets the next result: rows, or the end of them. */
static struct err *next_result(struct ctx *cx, struct conn *c, bool *ret_end)
{
    PQclear(c->res);
    c->row = 0;
    c->res = PQgetResult(c->pg);
    *ret_end = !c->res;
    if (!c->res)
        return NULL;
    switch (PQresultStatus(c->res)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:;
        int64_t changes;
        /* A SELECT counts its rows here, too. */
        if (!str_starts(PQcmdStatus(c->res), "SELECT") &&
            str_to_i64(PQcmdTuples(c->res), 0, INT64_MAX, &changes))
            c->changes = changes;
        return NULL;
    case PGRES_SINGLE_TUPLE:
        return NULL;
    default:
        return pg_fail(cx, c, c->res);
    }
}

static struct err *pg_step(struct ctx *cx, struct conn *c, struct prepared *p UNUSED,
                           const struct db_value **ret_cells, size_t *ret_n)
{
    while (!c->res || c->row >= PQntuples(c->res)) {
        bool end;
        TRY(next_result(cx, c, &end));
        if (end) {
            *ret_cells = NULL;
            return NULL;
        }
    }
    int n = PQnfields(c->res);
    if ((size_t)n > c->cap_cells) {
        c->cells = reallocarray(c->cells, (size_t)n, sizeof(*c->cells));
        must(c->cells);
        c->cap_cells = (size_t)n;
    }
    for (int i = 0; i < n; i++)
        TRY(read_cell(cx, c->res, c->row, i, &c->cells[i]));
    c->row++;
    *ret_cells = c->cells;
    *ret_n = (size_t)n;
    return NULL;
}

static int64_t pg_changes(const struct conn *c)
{
    return c->changes;
}

static void pg_finish(struct conn *c, struct prepared *p UNUSED)
{
    do
        PQclear(c->res);
    while ((c->res = PQgetResult(c->pg)));
    if (PQstatus(c->pg) != CONNECTION_OK)
        c->broken = true;
}

const struct engine postgres_engine = {
    .name = "postgresql",
    .connect = pg_connect,
    .disconnect = pg_disconnect,
    .broken = pg_broken,
    .begin = pg_begin,
    .commit = pg_commit,
    .rollback = pg_rollback,
    .script = pg_script,
    .prepare = pg_prepare,
    .unprepare = pg_unprepare,
    .n_params = pg_n_params,
    .start = pg_start,
    .step = pg_step,
    .changes = pg_changes,
    .finish = pg_finish,
};
