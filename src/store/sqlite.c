/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The SQLite engine. WAL lets readers go on beside the one writer. COMMIT appends to the log, and
 * settle() puts the log on disk, which is what synchronous=FULL would do in COMMIT itself, with the
 * next writer waiting. Page caches are small: the operating system's is the one that counts.
 */
#include <sqlite3.h>
#include <sys/stat.h>
#include "store/claim.h"

#define TRIES_WAL 50
#define VM_STEPS_PER_CHECK 20000

enum own_stmt { BEGIN_READ, SNAPSHOT, BEGIN_WRITE, COMMIT, ROLLBACK, WAS_MOVED, OWN_STMTS };

static const char *const own_sql[OWN_STMTS] = {
    [BEGIN_READ] = "BEGIN",
    [SNAPSHOT] = "SELECT 1 FROM sqlite_schema LIMIT 1",
    [BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [WAS_MOVED] = "SELECT 1 FROM sqlite_schema WHERE name = '" MOVED_TABLE "'",
};

static const char tables_sql[] = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT "
                                 "LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name";
static const char columns_sql[] = "SELECT name FROM pragma_table_info($1) ORDER BY cid";
static const char references_sql[] =
    "SELECT \"from\", \"table\", \"to\" FROM pragma_foreign_key_list($1) ORDER BY id, seq";

struct conn {
    sqlite3 *db;
    int claim_fd; /* -1: nobody else can have it open */
    sqlite3_stmt *own[OWN_STMTS];
    enum tx_mode mode;
    bool broken;
    int64_t stop_at_us; /* of the statement that runs; 0: none */
    int64_t total_before;
    struct db_value *cells;
    size_t cap_cells;
};

struct prepared {
    sqlite3_stmt *stmt;
    size_t n_params, n_slots;
    uint8_t slots[]; /* SQLite numbers parameters as they appear; here is which $n each one is */
};

static enum err_kind kind_of(int rc, const char *message)
{
    switch (rc) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return ERR_EXISTS;
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return ERR_IN_USE;
    case SQLITE_CONSTRAINT_TRIGGER: /* ON DELETE RESTRICT is a trigger inside */
        return str_starts(message, "FOREIGN KEY") ? ERR_IN_USE : ERR_INTERNAL;
    case SQLITE_BUSY_SNAPSHOT:
        return ERR_STALE;
    }
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_NOMEM:
    case SQLITE_READONLY:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_INTERRUPT:
        return ERR_UNAVAILABLE;
    case SQLITE_TOOBIG:
        return ERR_TOO_LARGE;
    }
    return ERR_INTERNAL;
}

MUST_USE static struct err *sqlite_fail(struct ctx *cx, struct conn *c, int rc)
{
    const char *message = sqlite3_errmsg(c->db);
    int primary = rc & 0xff;
    if (primary == SQLITE_IOERR || primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB)
        c->broken = true;
    return fail(cx, kind_of(rc, message), "SQLite: %s (%d)%s", message, rc,
                primary == SQLITE_BUSY ? ": another process holds it" : "");
}

/* Connections. */

static void sqlite_disconnect(struct conn *c)
{
    for (size_t i = 0; i < OWN_STMTS; i++)
        sqlite3_finalize(c->own[i]);
    must(sqlite3_close(c->db) == SQLITE_OK);
    close_fd_p(&c->claim_fd);
    free(c->cells);
    free(c);
}

/* Called now and then while a statement runs; other than 0 stops it. */
static int past_limit(void *arg)
{
    const struct conn *c = arg;
    return c->stop_at_us && mono_us(&(struct ctx){.clock = clock_system()}) > c->stop_at_us;
}

static void start_limit(struct ctx *cx, struct conn *c)
{
    int64_t limit_us = STMT_LIMIT_MS * 1000;
    if (cx->deadline_us)
        limit_us = min_i64(limit_us, cx->deadline_us - mono_us(cx));
    c->stop_at_us = 0;
    if (c->mode < TX_MIGRATE)
        c->stop_at_us = mono_us(&(struct ctx){.clock = clock_system()}) + limit_us;
}

static void init_library(void)
{
    /* No statistics: they cost a lock around each allocation. A connection is used by one thread at
     * a time. Too late for either if SQLite was used before. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
}

/* Nobody else may read what is inside; SQLite gives the -wal and -shm files the same mode. What
 * root makes is for whom the folder belongs to. */
static struct err *create_file(struct ctx *cx, const char *path)
{
    struct stat st;
    const char *folder = arena_strndup(cx->arena, path, (size_t)(strrchr(path, '/') - path + 1));
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool made = fd >= 0;
    if (!made && errno == EEXIST)
        return NULL;
    if (made && geteuid() == 0 && stat(folder, &st) == 0)
        made = fchown(fd, st.st_uid, st.st_gid) == 0;
    return made ? NULL : fail(cx, ERR_UNAVAILABLE, "cannot create database '%s': %m", path);
}

static int take_journal_mode(void *arg, int n, char **values, char **names UNUSED)
{
    bool *wal = arg;
    *wal = n == 1 && str_eq(values[0], "wal");
    return 0;
}

static struct err *turn_on_wal(struct ctx *cx, struct conn *c, const char *path)
{
    bool wal = false;
    int rc = SQLITE_BUSY;
    /* Two processes that turn it on at once may meet without SQLite's own waiting. */
    for (int i = 0; i < TRIES_WAL && rc == SQLITE_BUSY; i++) {
        if (i > 0)
            usleep(20000);
        rc = sqlite3_exec(c->db, "PRAGMA journal_mode = WAL", take_journal_mode, &wal, NULL) & 0xff;
    }
    if (rc != SQLITE_OK)
        return sqlite_fail(cx, c, sqlite3_extended_errcode(c->db));
    if (!wal)
        return fail(cx, ERR_UNAVAILABLE,
                    "the file system of '%s' cannot hold a SQLite database in WAL mode", path);
    return NULL;
}

static struct err *configure(struct ctx *cx, struct conn *c, const char *path)
{
    sqlite3_busy_timeout(c->db, WAIT_US / 1000);
    sqlite3_progress_handler(c->db, VM_STEPS_PER_CHECK, past_limit, c);
    /* "x" is a column, never a string; LIKE knows upper and lower case: as PostgreSQL has it. */
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    if (!str_eq(path, ":memory:"))
        TRY(turn_on_wal(cx, c, path));
    int rc = sqlite3_exec(c->db,
                          "PRAGMA synchronous = NORMAL;"
                          "PRAGMA foreign_keys = ON;"
                          "PRAGMA cache_size = -4000;"
                          "PRAGMA mmap_size = 0;"
                          "PRAGMA temp_store = MEMORY;"
                          "PRAGMA journal_size_limit = 67108864;"
                          "PRAGMA case_sensitive_like = ON;",
                          NULL, NULL, NULL);
    for (size_t i = 0; i < OWN_STMTS && rc == SQLITE_OK; i++)
        rc = sqlite3_prepare_v3(c->db, own_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &c->own[i], NULL);
    return rc == SQLITE_OK ? NULL : sqlite_fail(cx, c, rc);
}

/* After the claim: it may have been moved while we waited for our turn to start. */
static struct err *check_moved(struct ctx *cx, struct conn *c)
{
    int rc = sqlite3_step(c->own[WAS_MOVED]);
    int rc_reset = sqlite3_reset(c->own[WAS_MOVED]);
    if (rc == SQLITE_ROW)
        return claim_moved(cx);
    return rc == SQLITE_DONE ? NULL : sqlite_fail(cx, c, rc_reset);
}

static struct err *open_file(struct ctx *cx, struct conn *c, const char *path, int rc)
{
    if (rc != SQLITE_OK)
        return sqlite_fail(cx, c, rc);
    TRY(configure(cx, c, path));
    return check_moved(cx, c);
}

static struct err *sqlite_connect(struct ctx *cx, const char *path, enum claim claim,
                                  struct conn **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_library);
    if (path[0] != '/' && !str_eq(path, ":memory:"))
        return fail(cx, ERR_INVALID, "database 'sqlite:%s': the path must begin with '/'", path);
    AUTO_FD int claim_fd = -1;
    if (path[0] == '/') {
        TRY(create_file(cx, path));
        TRY(claim_file(cx, path, claim, &claim_fd));
    }
    struct conn *c = calloc(1, sizeof(*c));
    must(c);
    c->claim_fd = TAKE_FD(claim_fd);
    int rc = sqlite3_open_v2(path, &c->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                 SQLITE_OPEN_EXRESCODE,
                             NULL);
    must(c->db);
    struct err *e = open_file(cx, c, path, rc);
    if (e) {
        sqlite_disconnect(c);
        return wrap(cx, e, e->kind, "cannot open database '%s'", path);
    }
    *ret = c;
    return NULL;
}

static bool sqlite_broken(const struct conn *c)
{
    return c->broken;
}

/* Transactions. */

static int run_own(struct conn *c, enum own_stmt which)
{
    sqlite3_stmt *stmt = c->own[which];
    int rc = sqlite3_step(stmt);
    int rc_reset = sqlite3_reset(stmt);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc_reset;
}

static void sqlite_rollback(struct conn *c)
{
    c->stop_at_us = 0;
    if (!sqlite3_get_autocommit(c->db))
        run_own(c, ROLLBACK);
    if (!sqlite3_get_autocommit(c->db))
        c->broken = true;
}

static struct err *sqlite_begin(struct ctx *cx, struct conn *c, enum tx_mode mode)
{
    c->mode = mode;
    c->stop_at_us = 0;
    int64_t wait_us = WAIT_US;
    if (cx->deadline_us)
        wait_us = max_i64(min_i64(wait_us, cx->deadline_us - mono_us(cx)), 0);
    sqlite3_busy_timeout(c->db, (int)(wait_us / 1000));
    int rc;
    if (mode == TX_READ) {
        rc = run_own(c, BEGIN_READ);
        if (rc == SQLITE_OK)
            rc = run_own(c, SNAPSHOT); /* BEGIN alone would take it at the first read */
    } else {
        rc = run_own(c, BEGIN_WRITE);
    }
    return rc == SQLITE_OK ? NULL : sqlite_fail(cx, c, rc);
}

static struct err *sqlite_commit(struct ctx *cx, struct conn *c)
{
    c->stop_at_us = 0;
    int rc = run_own(c, COMMIT);
    return rc == SQLITE_OK ? NULL : sqlite_fail(cx, c, rc);
}

static struct err *sqlite_settle(struct ctx *cx, struct conn *c)
{
    sqlite3_file *log = NULL;
    int rc = sqlite3_file_control(c->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (rc == SQLITE_OK && log && log->pMethods)
        rc = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
    return rc == SQLITE_OK
               ? NULL
               : fail(cx, ERR_UNAVAILABLE, "SQLite: the log can't be synced (%d): %m", rc);
}

static struct err *sqlite_script(struct ctx *cx, struct conn *c, const char *sql)
{
    start_limit(cx, c);
    int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? NULL : sqlite_fail(cx, c, rc);
}

/* Statements. */

/* Parameters must be $1 … $n without gaps: PostgreSQL takes nothing else. */
static struct err *number_params(struct ctx *cx, struct prepared *p)
{
    bool seen[MAX_PARAMS + 1] = {false};
    for (size_t i = 0; i < p->n_slots; i++) {
        const char *name = sqlite3_bind_parameter_name(p->stmt, (int)i + 1);
        int64_t n;
        if (!name || name[0] != '$' || !str_to_i64(name + 1, 1, MAX_PARAMS, &n))
            return fail(cx, ERR_INTERNAL, "parameter '%s': expected $1 to $%d", name ? name : "?",
                        MAX_PARAMS);
        p->slots[i] = (uint8_t)n;
        seen[n] = true;
        if ((size_t)n > p->n_params)
            p->n_params = (size_t)n;
    }
    for (size_t n = 1; n <= p->n_params; n++)
        if (!seen[n])
            return fail(cx, ERR_INTERNAL, "parameter $%zu is never used", n);
    return NULL;
}

static void sqlite_unprepare(struct conn *c UNUSED, struct prepared *p)
{
    sqlite3_finalize(p->stmt);
    free(p);
}

static struct err *sqlite_prepare(struct ctx *cx, struct conn *c, const char *sql,
                                  struct prepared **ret)
{
    sqlite3_stmt *stmt = NULL;
    const char *tail = "";
    c->stop_at_us = 0;
    int rc = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, &tail);
    if (rc != SQLITE_OK)
        return sqlite_fail(cx, c, rc);
    size_t n_slots = (size_t)sqlite3_bind_parameter_count(stmt);
    struct prepared *p = calloc(1, sizeof(*p) + n_slots);
    must(p);
    p->stmt = stmt;
    p->n_slots = n_slots;
    struct err *e = NULL;
    if (!stmt || tail[strspn(tail, "; \t\n")] != '\0')
        e = fail(cx, ERR_INTERNAL, "expected exactly one statement");
    if (!e)
        e = number_params(cx, p);
    if (e) {
        sqlite_unprepare(c, p);
        return e;
    }
    *ret = p;
    return NULL;
}

static size_t sqlite_n_params(const struct prepared *p)
{
    return p->n_params;
}

static int bind(sqlite3_stmt *stmt, int slot, const struct db_value *v)
{
    switch (v->type) {
    case DB_NULL:
        return sqlite3_bind_null(stmt, slot);
    case DB_INT:
        return sqlite3_bind_int64(stmt, slot, v->i);
    case DB_TEXT:
        return sqlite3_bind_text64(stmt, slot, v->s, v->size, SQLITE_STATIC, SQLITE_UTF8);
    case DB_BYTES:
        return sqlite3_bind_blob64(stmt, slot, v->s, v->size, SQLITE_STATIC);
    }
    bug_at(WHERE, "a value without a type");
}

static struct err *sqlite_start(struct ctx *cx, struct conn *c, struct prepared *p,
                                const struct db_value *params, size_t n_params UNUSED,
                                bool walk UNUSED)
{
    if (c->mode == TX_READ && !sqlite3_stmt_readonly(p->stmt))
        return fail(cx, ERR_INTERNAL, "a change in a transaction that only reads");
    for (size_t i = 0; i < p->n_slots; i++) {
        int rc = bind(p->stmt, (int)i + 1, &params[p->slots[i] - 1]);
        if (rc != SQLITE_OK)
            return sqlite_fail(cx, c, rc);
    }
    c->total_before = sqlite3_total_changes64(c->db);
    start_limit(cx, c);
    return NULL;
}

/* By the value itself, which SQLITE_CONFIG_MULTITHREAD allows: each sqlite3_column_… call looks it
 * up again. */
static struct err *read_cell(struct ctx *cx, sqlite3_stmt *stmt, int i, struct db_value *v)
{
    sqlite3_value *cell = sqlite3_column_value(stmt, i);
    switch (sqlite3_value_type(cell)) {
    case SQLITE_NULL:
        *v = V_NULL();
        return NULL;
    case SQLITE_INTEGER:
        *v = V_INT(sqlite3_value_int64(cell));
        return NULL;
    case SQLITE_TEXT:
        *v = (struct db_value){.type = DB_TEXT, .s = (const char *)sqlite3_value_text(cell)};
        break;
    case SQLITE_BLOB:
        *v = (struct db_value){.type = DB_BYTES, .s = sqlite3_value_blob(cell)};
        break;
    default:
        return fail(cx, ERR_INTERNAL, "column %d: a floating point number", i);
    }
    v->size = (size_t)sqlite3_value_bytes(cell);
    if (!v->s && v->size > 0)
        return fail(cx, ERR_UNAVAILABLE, "column %d: out of memory", i);
    if (!v->s)
        v->s = ""; /* SQLite's empty bytes have no address */
    return NULL;
}

static struct err *sqlite_step(struct ctx *cx, struct conn *c, struct prepared *p,
                               const struct db_value **ret_cells, size_t *ret_n)
{
    int rc = sqlite3_step(p->stmt);
    if (rc == SQLITE_DONE) {
        *ret_cells = NULL;
        return NULL;
    }
    if (rc != SQLITE_ROW)
        return sqlite_fail(cx, c, rc);
    size_t n = (size_t)sqlite3_column_count(p->stmt);
    if (n > c->cap_cells) {
        c->cells = reallocarray(c->cells, n, sizeof(*c->cells));
        must(c->cells);
        c->cap_cells = n;
    }
    for (size_t i = 0; i < n; i++)
        TRY(read_cell(cx, p->stmt, (int)i, &c->cells[i]));
    *ret_cells = c->cells;
    *ret_n = n;
    return NULL;
}

static int64_t sqlite_changes(const struct conn *c)
{
    /* After a statement that can't change rows, sqlite3_changes() speaks of an earlier one. */
    return sqlite3_total_changes64(c->db) == c->total_before ? 0 : sqlite3_changes64(c->db);
}

static void sqlite_finish(struct conn *c UNUSED, struct prepared *p)
{
    sqlite3_reset(p->stmt);
    sqlite3_clear_bindings(p->stmt);
}

/* The one process that answers clients. Nothing tells a process of another's commits. */
struct listener {
    int fd; /* -1: in memory */
};

static struct err *sqlite_listen(struct ctx *cx, const char *path,
                                 const struct hearer *hearer UNUSED, struct listener **ret)
{
    AUTO_FD int fd = -1;
    if (path[0] == '/')
        TRY(claim_serving(cx, path, &fd));
    struct listener *l = calloc(1, sizeof(*l));
    must(l);
    l->fd = TAKE_FD(fd);
    *ret = l;
    return NULL;
}

static void sqlite_unlisten(struct listener *l)
{
    close_fd_p(&l->fd);
    free(l);
}

const struct engine sqlite_engine = {
    .name = "sqlite",
    .one_writer = true,
    .tables_sql = tables_sql,
    .columns_sql = columns_sql,
    .references_sql = references_sql,
    .connect = sqlite_connect,
    .disconnect = sqlite_disconnect,
    .broken = sqlite_broken,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .settle = sqlite_settle,
    .rollback = sqlite_rollback,
    .script = sqlite_script,
    .prepare = sqlite_prepare,
    .unprepare = sqlite_unprepare,
    .n_params = sqlite_n_params,
    .start = sqlite_start,
    .step = sqlite_step,
    .changes = sqlite_changes,
    .finish = sqlite_finish,
    .listen = sqlite_listen,
    .unlisten = sqlite_unlisten,
};
