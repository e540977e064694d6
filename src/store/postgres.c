/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The PostgreSQL engine, on libpq (pg_conn.c connects and waits, pg_listen.c hears of others'
 * commits). Parameters go as text (the server infers their types from the statement), bytes and all
 * results in binary: no parsing, and bytes need no copy.
 */
#include <endian.h>
#include <limits.h>
#include "store/pg.h"

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

#define TX_MOVE_SQL                                                                                \
    "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET LOCAL statement_timeout = 0; "         \
    "SET LOCAL idle_in_transaction_session_timeout = 0; SELECT 1"

static const char *const begin_sql[] = {
    /* The snapshot is taken by the first query: at once. */
    [TX_READ] = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1",
    [TX_WRITE] = "BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    /* Not serializable: what others did while we waited for the lock must be seen. */
    [TX_MIGRATE] =
        "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0; "
        "SELECT pg_advisory_xact_lock(" MIGRATE_LOCK ")",
    [TX_MOVE] = TX_MOVE_SQL,
};

static const char tables_sql[] =
    "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename";
static const char columns_sql[] =
    "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND "
    "table_name = $1 ORDER BY ordinal_position";
static const char references_sql[] =
    "SELECT a.attname, r.relname, b.attname FROM pg_constraint AS c "
    "JOIN pg_class AS t ON t.oid = c.conrelid JOIN pg_class AS r ON r.oid = c.confrelid "
    "JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] "
    "JOIN pg_attribute AS b ON b.attrelid = c.confrelid AND b.attnum = c.confkey[1] "
    "WHERE c.contype = 'f' AND t.relnamespace = current_schema()::text::regnamespace "
    "AND t.relname = $1 ORDER BY c.oid";
/* Its answer is void, which is no kind of value. */
static const char notify_sql[] = "SELECT count(pg_notify('" NOTIFY_CHANNEL
                                 "', topic)) FROM unnest(string_to_array($1, chr(10))) AS topic";

struct prepared {
    char name[16];
    size_t n_params;
};

static bool pg_broken(const struct conn *c)
{
    return c->broken;
}

/* Transactions. */

/* Without a request's deadline: it may be over. */
static void ask_aside(struct conn *c, const char *sql)
{
    pg_set_limit(&(struct ctx){.clock = clock_system()}, c, WAIT_US);
    PQclear(pg_ask(c, sql));
}

static void pg_rollback(struct conn *c)
{
    PGTransactionStatusType status = PQtransactionStatus(c->pg);
    if (!c->broken && (status == PQTRANS_INTRANS || status == PQTRANS_INERROR))
        ask_aside(c, "ROLLBACK");
    if (PQtransactionStatus(c->pg) != PQTRANS_IDLE)
        c->broken = true;
}

static struct err *pg_begin(struct ctx *cx, struct conn *c, enum tx_mode mode)
{
    c->mode = mode;
    pg_set_limit(cx, c, WAIT_US);
    return pg_run(cx, c, begin_sql[mode]);
}

static void statement_limit(struct ctx *cx, struct conn *c)
{
    pg_set_limit(cx, c, STMT_LIMIT_MS * 1000 + ANSWER_GRACE_US);
}

static struct err *pg_commit(struct ctx *cx, struct conn *c)
{
    statement_limit(cx, c);
    PGresult *res = pg_ask(c, "COMMIT");
    struct err *e = NULL;
    if (PQresultStatus(res) != PGRES_COMMAND_OK)
        e = pg_fail(cx, c, res);
    else if (!str_eq(PQcmdStatus(res), "COMMIT"))
        e = fail(cx, ERR_INTERNAL, "PostgreSQL: the transaction was rolled back");
    PQclear(res);
    if (e && (c->broken || PQstatus(c->pg) != CONNECTION_OK))
        e = wrap(cx, e, ERR_UNAVAILABLE,
                 "the connection to the database was lost during the commit: "
                 "look whether the change was made before trying again");
    return e;
}

static struct err *pg_script(struct ctx *cx, struct conn *c, const char *sql)
{
    statement_limit(cx, c);
    return pg_run(cx, c, sql);
}

/* Statements. */

static void pg_unprepare(struct conn *c, struct prepared *p)
{
    if (!c->broken && PQtransactionStatus(c->pg) != PQTRANS_INERROR) {
        char sql[sizeof("DEALLOCATE ") + sizeof(p->name)];
        snprintf(sql, sizeof(sql), "DEALLOCATE %s", p->name);
        ask_aside(c, sql);
    }
    free(p);
}

/* The one result of what was just sent; *ret_e says if it isn't as good as wanted. */
static PGresult *the_answer(struct ctx *cx, struct conn *c, int sent, struct err **ret_e)
{
    PGresult *last = NULL, *res;
    while (sent && pg_wait(c) && (res = PQgetResult(c->pg))) {
        PQclear(last);
        last = res;
    }
    if (c->broken || PQresultStatus(last) != PGRES_COMMAND_OK)
        *ret_e = pg_fail(cx, c, c->broken ? NULL : last);
    return last;
}

static struct err *pg_prepare(struct ctx *cx, struct conn *c, const char *sql,
                              struct prepared **ret)
{
    struct prepared *p = calloc(1, sizeof(*p));
    must(p);
    snprintf(p->name, sizeof(p->name), "s%u", c->next_name++);
    statement_limit(cx, c);
    struct err *e = NULL;
    PQclear(the_answer(cx, c, PQsendPrepare(c->pg, p->name, sql, 0, NULL), &e));
    if (!e) {
        PGresult *res = the_answer(cx, c, PQsendDescribePrepared(c->pg, p->name), &e);
        p->n_params = e ? 0 : (size_t)PQnparams(res);
        PQclear(res);
    }
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
    statement_limit(cx, c);
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
    c->res = NULL;
    if (!pg_wait(c))
        return pg_fail(cx, c, NULL);
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
    do {
        PQclear(c->res);
        c->res = NULL;
    } while (pg_wait(c) && (c->res = PQgetResult(c->pg)));
    if (PQstatus(c->pg) != CONNECTION_OK)
        c->broken = true;
}

const struct engine postgres_engine = {
    .name = "postgresql",
    .remote = true,
    .tables_sql = tables_sql,
    .columns_sql = columns_sql,
    .references_sql = references_sql,
    .notify_sql = notify_sql,
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
    .listen = pg_listen,
    .unlisten = pg_unlisten,
};
