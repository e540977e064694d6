/* SPDX-License-Identifier: EUPL-1.2 */
/* os-migrations: servers on their way to another host or size. Rows are written by whoever moves a
 * server, with migration_record and migration_status; here they are read. */
#include "compute/impl.h"

static const char *const migration_types[] = {"migration", "resize", "live-migration", "evacuation",
                                              NULL};

static void encode_source(struct ctx *cx UNUSED, struct jw *w, const void *row,
                          const struct view *v UNUSED)
{
    jw_str(w, ((const struct server_migration *)row)->source_host);
}

static void encode_dest(struct ctx *cx UNUSED, struct jw *w, const void *row,
                        const struct view *v UNUSED)
{
    jw_str(w, ((const struct server_migration *)row)->dest_host);
}

/* Clients expect a number that tells flavors apart, and can do nothing with it. */
static void write_flavor(struct ctx *cx, struct jw *w, const char *id)
{
    int64_t n;
    if (!id)
        jw_null(w);
    else if (str_to_i64(id, 0, INT32_MAX, &n))
        jw_int(w, n);
    else
        jw_int(w, strtol(arena_strndup(cx->arena, sha256_hex(cx, id, strlen(id)), 7), NULL, 16));
}

static void encode_old_flavor(struct ctx *cx, struct jw *w, const void *row,
                              const struct view *v UNUSED)
{
    write_flavor(cx, w, ((const struct server_migration *)row)->old_flavor_id);
}

static void encode_new_flavor(struct ctx *cx, struct jw *w, const void *row,
                              const struct view *v UNUSED)
{
    write_flavor(cx, w, ((const struct server_migration *)row)->new_flavor_id);
}

static bool live_and_running(const struct server_migration *m)
{
    static const char *const running[] = {"queued", "preparing", "running", "post-migrating"};
    for (size_t i = 0; i < ARRAY_LEN(running); i++)
        if (str_eq(m->status, running[i]))
            return str_eq(m->type, "live-migration");
    return false;
}

static void migration_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    const struct server_migration *m = row;
    if (v->microversion >= 23 && live_and_running(m))
        write_links(w, v->base_url, arena_printf(cx->arena, "servers/%s/migrations", m->server_id),
                    arena_printf(cx->arena, "%" PRId64, m->number));
}

#define RESOURCE server_migration
#define RESOURCE_DEF "compute/migration.def"
#include "resource/declare_fields.h"

static const struct res_index migration_indexes[] = {
    {"migrations_number", "number", true, NULL}, {"migrations_server", "server_id", false, NULL}};
const struct resource server_migration_resource = {.name = "migration",
                                                   .plural = "migrations",
                                                   .table = "migrations",
                                                   RESOURCE_FIELDS(server_migration),
                                                   .owner = -1,
                                                   .indexes = migration_indexes,
                                                   .n_indexes = ARRAY_LEN(migration_indexes),
                                                   .time_style = TIME_MICROS,
                                                   .encode_more = migration_links,
                                                   .dflt_sort = "created_at:desc,number:desc",
                                                   .doc = "Servers' moves."};

const struct stmt stmt_migration_next = {"migration_next",
                                         "SELECT COALESCE(MAX(number), 0) + 1 FROM migrations"};
#define LATEST "id = (SELECT id FROM migrations WHERE server_id = $3 ORDER BY number DESC LIMIT 1)"
const struct stmt stmt_migration_status = {"migration_status",
                                           "UPDATE migrations SET status = $1, updated_at = $2, "
                                           "generation = generation + 1 WHERE " LATEST};
const struct stmt stmt_migration_step = {
    "migration_step",
    "UPDATE migrations SET status = $1, updated_at = $2, generation = generation + 1 WHERE " LATEST
    " AND status = $4"};
const struct stmt stmt_migration_failed = {
    "migration_failed",
    "UPDATE migrations SET status = $1, updated_at = $2, error = $4, generation = generation + 1 "
    "WHERE " LATEST};
const struct stmt stmt_migration_evacuated = {
    "migration_evacuated",
    "UPDATE migrations SET status = $1, updated_at = $2, generation = generation + 1 WHERE "
    "server_id = $3 AND type = 'evacuation' AND status = 'accepted'"};
const struct res_where migrations_running = {&server_migration_resource,
                                             "server_id = $1 AND type = 'live-migration' AND "
                                             "status IN ('queued', 'preparing', 'running', "
                                             "'post-migrating')",
                                             "number"};
const struct res_where migration_of_server = {&server_migration_resource,
                                              "server_id = $1 AND number = $2", NULL};

/* ---------------------------------------------------------------- for those who move servers */

struct err *migration_record(struct call *c, const struct server *s,
                             const struct migration_plan *plan)
{
    struct db_rows rows;
    struct server_migration *m = res_new(c->cx, &server_migration_resource);
    TRY(db_query(c->cx, c->tx, &stmt_migration_next, NULL, 0, &rows));
    m->id = uuid_new(c->cx);
    m->number = db_int(&rows, 0, 0);
    m->server_id = s->id;
    m->type = plan->type;
    m->status = plan->status;
    m->source_host = s->host_name;
    m->old_flavor_id = s->flavor_id;
    m->new_flavor_id = plan->new_flavor_id ? plan->new_flavor_id : s->flavor_id;
    m->user_id = c->actor->user_id;
    m->project_id = c->actor->project_id;
    if (plan->dest_host_id) {
        struct fleet_host host;
        TRY(fleet_host_get(c->cx, c->tx, plan->dest_host_id, &host));
        m->dest_host = host.name;
        m->dest_address = host_ip(c->cx, &host);
    }
    return res_insert(c->cx, c->tx, &server_migration_resource, m);
}

struct err *migration_status(struct ctx *cx, struct tx *tx, const char *server_id,
                             const char *status)
{
    return db_run(cx, tx, &stmt_migration_status, V_TEXT(status), V_INT(now_us(cx)),
                  V_TEXT(server_id));
}

struct err *migration_step(struct ctx *cx, struct tx *tx, const char *server_id, const char *from,
                           const char *to)
{
    return db_run(cx, tx, &stmt_migration_step, V_TEXT(to), V_INT(now_us(cx)), V_TEXT(server_id),
                  V_TEXT(from));
}

struct err *migration_failed(struct ctx *cx, struct tx *tx, const char *server_id,
                             const char *status, const char *why)
{
    return db_run(cx, tx, &stmt_migration_failed, V_TEXT(status), V_INT(now_us(cx)),
                  V_TEXT(server_id), V_TEXT(why));
}

struct err *migration_evacuated(struct ctx *cx, struct tx *tx, const char *server_id, bool good)
{
    return db_run(cx, tx, &stmt_migration_evacuated, V_TEXT(good ? "done" : "failed"),
                  V_INT(now_us(cx)), V_TEXT(server_id));
}

/* ---------------------------------------------------------------- reading */

static struct err *changed(struct call *c, const char *name, const char *value,
                           const char **ret_sql)
{
    int64_t us, other = 0;
    bool since = str_eq(name, "changes-since");
    const char *before = http_arg(c->rq, "changes-before");
    if (!time_parse(value, &us))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for query parameters %s. Value: %s. '%s' is not a 'date-time'",
                    name, value, value);
    if (since && c->microversion >= 66 && before && time_parse(before, &other) && other < us)
        return fail(c->cx, ERR_INVALID,
                    "The value of changes-since must be less than or equal to changes-before.");
    *ret_sql = arena_printf(c->cx->arena, "COALESCE(updated_at, created_at) %s %" PRId64,
                            since ? ">=" : "<=", us);
    return NULL;
}

static struct err *list_filter(struct call *c, const char *name, const char *value, bool *ret_taken,
                               const char **ret_sql)
{
    bool paging = str_eq(name, "limit") || str_eq(name, "marker");
    bool since = str_eq(name, "changes-since"), before = str_eq(name, "changes-before");
    *ret_taken = (paging && c->microversion < 59) || str_starts(name, "sort_") || since || before ||
                 str_eq(name, "host") || str_eq(name, "migration_type");
    if ((since && c->microversion >= 59) || (before && c->microversion >= 66))
        return changed(c, name, value, ret_sql);
    if (str_eq(name, "host"))
        *ret_sql = "source_host = {value} OR dest_host = {value}";
    if (str_eq(name, "migration_type")) /* also before it is shown */
        *ret_sql = "type = {value}";
    return NULL;
}

struct err *migration_list(struct call *c)
{
    const struct list_more more = {.filter = list_filter};
    return call_reply_list(c, &server_migration_resource, &more);
}

/* The shape of a server's own migrations. What was copied so far is not known to the control plane
 * before the host says so. */
static void write_one(struct call *c, struct jw *w, const struct server_migration *m)
{
    static const char *const progress[] = {"disk_processed_bytes",   "disk_remaining_bytes",
                                           "disk_total_bytes",       "memory_processed_bytes",
                                           "memory_remaining_bytes", "memory_total_bytes"};
    jw_obj(w);
    jw_kint(w, "id", m->number);
    jw_kstr(w, "server_uuid", m->server_id);
    jw_kstr(w, "status", m->status);
    jw_kstr(w, "source_compute", m->source_host);
    jw_kstr(w, "source_node", m->source_host);
    jw_kstr(w, "dest_compute", m->dest_host);
    jw_kstr(w, "dest_node", m->dest_host);
    jw_kstr(w, "dest_host", m->dest_address);
    jw_kstr(w, "created_at", time_iso(c->cx, m->created_at, TIME_MICROS));
    jw_kstr(w, "updated_at", m->updated_at ? time_iso(c->cx, m->updated_at, TIME_MICROS) : NULL);
    for (size_t i = 0; i < ARRAY_LEN(progress); i++)
        jw_knull(w, progress[i]);
    if (c->microversion >= 59)
        jw_kstr(w, "uuid", m->id);
    if (c->microversion >= 80) {
        jw_kstr(w, "user_id", m->user_id);
        jw_kstr(w, "project_id", m->project_id);
    }
    jw_obj_end(w);
}

struct err *server_migration_list(struct call *c)
{
    const struct server *s = c->target;
    void **rows;
    size_t n;
    TRY(res_select_by(c->cx, c->tx, &migrations_running, &rows, &n, V_TEXT(s->id)));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "migrations");
    for (size_t i = 0; i < n; i++)
        write_one(c, &w, rows[i]);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *server_migration_show(struct call *c)
{
    const struct server *s = c->target;
    const char *id = call_param(c, "migration_id");
    void *row = NULL;
    int64_t number;
    if (str_to_i64(id, 0, INT64_MAX, &number))
        TRY(res_first_by(c->cx, c->tx, &migration_of_server, &row, V_TEXT(s->id), V_INT(number)));
    if (!row)
        return fail(c->cx, ERR_NOT_FOUND,
                    "In-progress live migration %s is not found for server %s.", id, s->id);
    const struct server_migration *m = row;
    if (!str_eq(m->type, "live-migration"))
        return fail(c->cx, ERR_NOT_FOUND, "Migration %s for server %s is not live-migration.", id,
                    s->id);
    if (!live_and_running(m))
        return fail(c->cx, ERR_NOT_FOUND, "Live migration %s for server %s is not in progress.", id,
                    s->id);
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "migration");
    write_one(c, &w, m);
    jw_obj_end(&w);
    return NULL;
}
