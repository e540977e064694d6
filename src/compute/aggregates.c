/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * os-aggregates: hosts with something in common, which flavors' extra specs ask for, and
 * availability zones. A host is of one zone at a time, and doesn't change it under its servers.
 */
#include "compute/impl.h"
#include <ctype.h>

/* Administrators write "zone:host": a zone with a colon could not be named. */
static const char *check_zone(struct ctx *cx, const json_t *v, json_t **ret)
{
    const char *s = json_string_value(v);
    if (s && strchr(s, ':'))
        return arena_printf(cx->arena, "%s does not match '^[^:]*$'", json_python(cx, v));
    return check_name(cx, v, ret);
}

/* The reply to a create has neither hosts nor metadata. */
static bool shown_whole(const void *row UNUSED, const struct view *v)
{
    return !v->call || ((const struct call *)v->call)->route->handler != aggregate_create;
}

/* row.extra is the result of stmt_aggregate_hosts. */
static void encode_hosts(struct ctx *cx UNUSED, struct jw *w, const void *row,
                         const struct view *v UNUSED)
{
    const struct db_rows *hosts = ((const struct aggregate *)row)->row.extra;
    jw_arr(w);
    for (size_t i = 0; hosts && i < hosts->n_rows; i++)
        jw_str(w, db_text(hosts, i, 1));
    jw_arr_end(w);
}

static json_t *metadata_of(struct ctx *cx, const struct aggregate *a)
{
    json_t *j = NULL;
    struct err *e = json_read(cx, a->metadata, strlen(a->metadata), &j);
    must(!e);
    return j;
}

/* The zone is shown as metadata too. */
static void encode_metadata(struct ctx *cx, struct jw *w, const void *row,
                            const struct view *v UNUSED)
{
    const struct aggregate *a = row;
    json_t *j = metadata_of(cx, a);
    if (a->zone)
        json_object_set_new(j, "availability_zone", json_string(a->zone));
    jw_json(w, j);
}

static void encode_updated_at(struct ctx *cx, struct jw *w, const void *row,
                              const struct view *v UNUSED)
{
    const struct aggregate *a = row;
    jw_str(w, a->row.generation > 1 ? time_iso(cx, a->updated_at, TIME_MICROS) : NULL);
}

/* Deleted ones are not kept. */
static void encode_constants(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                             const struct view *v UNUSED)
{
    jw_kbool(w, "deleted", false);
    jw_knull(w, "deleted_at");
}

static struct err *prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v UNUSED)
{
    for (size_t i = 0; i < n; i++) {
        struct aggregate *a = rows[i];
        const struct db_value id = V_TEXT(a->id);
        a->row.extra = arena_new_of(cx->arena, struct db_rows);
        TRY(db_query(cx, tx, &stmt_aggregate_hosts, &id, 1, a->row.extra));
    }
    return NULL;
}

#define RESOURCE aggregate
#define RESOURCE_DEF "compute/aggregate.def"
#include "resource/declare_fields.h"

static const struct res_index aggregate_indexes[] = {{"aggregates_number", "number", true, NULL},
                                                     {"aggregates_name", "name", true, NULL}};
const struct resource aggregate_resource = {.name = "aggregate",
                                            .plural = "aggregates",
                                            .table = "aggregates",
                                            RESOURCE_FIELDS(aggregate),
                                            .owner = -1,
                                            .time_style = TIME_MICROS,
                                            .indexes = aggregate_indexes,
                                            .n_indexes = ARRAY_LEN(aggregate_indexes),
                                            .prepare = prepare,
                                            .encode_more = encode_constants,
                                            .doc = "Hosts with something in common."};

const struct res_where aggregates_all = {&aggregate_resource, "1 = 1", "number"};
const struct res_where aggregate_by_number = {&aggregate_resource, "number = $1", NULL};
const struct res_where aggregate_by_name = {&aggregate_resource, "name = $1", NULL};
const struct stmt stmt_aggregate_next = {"aggregate_next",
                                         "SELECT COALESCE(MAX(number), 0) + 1 FROM aggregates"};
const struct stmt stmt_aggregate_hosts = {"aggregate_hosts",
                                          "SELECT host_id, host_name FROM aggregate_hosts WHERE "
                                          "aggregate_id = $1 ORDER BY host_name"};
const struct stmt stmt_aggregate_host_add = {
    "aggregate_host_add", "INSERT INTO aggregate_hosts (aggregate_id, host_id, host_name) VALUES "
                          "($1, $2, $3) ON CONFLICT DO NOTHING"};
const struct stmt stmt_aggregate_host_remove = {
    "aggregate_host_remove",
    "DELETE FROM aggregate_hosts WHERE aggregate_id = $1 AND host_id = $2"};
const struct stmt stmt_aggregates_by_host = {
    "aggregates_by_host", "SELECT host_id, aggregate_id FROM aggregate_hosts ORDER BY 1, 2"};
const struct stmt stmt_host_in_aggregate = {
    "host_in_aggregate", "SELECT 1 FROM aggregate_hosts WHERE host_id = $1 AND aggregate_id = $2"};

/* ---------------------------------------------------------------- finding */

struct err *aggregate_find(struct call *c, struct aggregate **ret)
{
    const char *id = call_param(c, "aggregate_id");
    void *row = NULL;
    int64_t number;
    if (!str_to_i64(id, INT64_MIN, INT64_MAX, &number))
        return bad_member(c, "id", json_own(c->cx, json_string(id)), "it is not an integer");
    TRY(res_first_by(c->cx, c->tx, &aggregate_by_number, &row, V_INT(number)));
    if (!row)
        return fail(c->cx, ERR_NOT_FOUND, "Aggregate %s could not be found.", id);
    *ret = row;
    c->audit_target = (*ret)->id;
    return NULL;
}

static struct err *check_unique(struct call *c, const struct aggregate *a)
{
    void *row = NULL;
    TRY(res_first_by(c->cx, c->tx, &aggregate_by_name, &row, V_TEXT(a->name)));
    if (row && !str_eq(((const struct aggregate *)row)->id, a->id))
        return fail(c->cx, ERR_EXISTS, "Aggregate %s already exists.", a->name);
    return NULL;
}

static struct err *find_host(struct call *c, const char *name, struct place_host *ret)
{
    struct place_host *hosts;
    size_t n;
    TRY(hosts_snapshot(c->cx, c->tx, &hosts, &n));
    for (size_t i = 0; i < n; i++)
        if (str_eq(hosts[i].name, name)) {
            *ret = hosts[i];
            return NULL;
        }
    return fail(c->cx, ERR_NOT_FOUND, "Compute host %s could not be found.", name);
}

/* ---------------------------------------------------------------- create, read, delete */

struct err *aggregate_create(struct call *c)
{
    struct aggregate *a = c->body;
    struct db_rows rows;
    TRY(check_unique(c, a));
    TRY(db_query(c->cx, c->tx, &stmt_aggregate_next, NULL, 0, &rows));
    a->id = uuid_new(c->cx);
    a->number = db_int(&rows, 0, 0);
    a->metadata = "{}";
    c->audit_target = a->id;
    TRY(res_insert(c->cx, c->tx, &aggregate_resource, a));
    return call_reply_row(c, 200, &aggregate_resource, a);
}

struct err *aggregate_list(struct call *c)
{
    void **rows;
    size_t n;
    const struct view v = call_view(c);
    TRY(res_select(c->cx, c->tx, &aggregates_all, NULL, 0, &rows, &n));
    TRY(res_prepare(c->cx, c->tx, &aggregate_resource, rows, n, &v));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "aggregates");
    for (size_t i = 0; i < n; i++)
        res_encode(c->cx, &w, &aggregate_resource, rows[i], &v);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *aggregate_show(struct call *c)
{
    struct aggregate *a;
    TRY(aggregate_find(c, &a));
    return call_reply_row(c, 200, &aggregate_resource, a);
}

struct err *aggregate_delete(struct call *c)
{
    struct aggregate *a;
    struct db_rows hosts;
    TRY(aggregate_find(c, &a));
    const struct db_value id = V_TEXT(a->id);
    TRY(db_query(c->cx, c->tx, &stmt_aggregate_hosts, &id, 1, &hosts));
    if (hosts.n_rows)
        return fail(c->cx, ERR_INVALID,
                    "Unable to perform action 'delete' on aggregate %" PRId64
                    ". Reason: Host aggregate is not empty.",
                    a->number);
    TRY(res_delete(c->cx, c->tx, &aggregate_resource, a));
    call_reply_empty(c, 200);
    return NULL;
}

/* ---------------------------------------------------------------- zones */

struct zone_change {
    enum err_kind kind; /* nova answers 400 or 409, by the call */
    const char *what;   /* "Cannot update aggregate" */
};

static struct err *refuse(struct call *c, const struct zone_change *z, const struct aggregate *a,
                          const char *reason)
{
    return fail(c->cx, z->kind, "%s %" PRId64 ". Reason: %s.", z->what, a->number, reason);
}

static struct err *check_other_zones(struct call *c, const struct zone_change *z,
                                     const struct aggregate *a, const char *host_id,
                                     const char *zone)
{
    const struct db_value params[] = {V_TEXT(host_id), V_TEXT(a->id)};
    struct db_rows rows;
    TRY(db_query(c->cx, c->tx, &stmt_zones_of_host, params, 2, &rows));
    for (size_t i = 0; i < rows.n_rows; i++)
        if (!str_eq(db_text(&rows, i, 0), zone))
            return refuse(c, z, a,
                          arena_printf(c->cx->arena,
                                       "One or more hosts already in availability zone(s) ['%s']",
                                       db_text(&rows, i, 0)));
    return NULL;
}

/* The aggregate's hosts become the zone's. */
static struct err *set_zone(struct call *c, const struct zone_change *z, struct aggregate *a,
                            const char *zone)
{
    struct db_rows rows;
    struct place_host host;
    const struct db_value id = V_TEXT(a->id);
    if (!zone)
        return refuse(c, z, a,
                      arena_printf(c->cx->arena,
                                   "Aggregate %s does not support empty named availability zone",
                                   a->name));
    TRY(db_query(c->cx, c->tx, &stmt_aggregate_hosts, &id, 1, &rows));
    for (size_t i = 0; i < rows.n_rows; i++) {
        TRY(check_other_zones(c, z, a, db_text(&rows, i, 0), zone));
        TRY(find_host(c, db_text(&rows, i, 1), &host));
        if (host.servers && !str_eq(host.zone, zone))
            return refuse(c, z, a, "One or more hosts contain instances in this zone");
    }
    a->zone = zone;
    return NULL;
}

struct err *aggregate_update(struct call *c)
{
    static const struct zone_change change = {ERR_INVALID, "Cannot update aggregate"};
    struct aggregate *a, given;
    TRY(aggregate_find(c, &a));
    given = *a;
    TRY(res_decode_body(c->cx, c->service->family, &aggregate_resource, c->json, DECODE_UPDATE,
                        c->microversion, c->actor->admin, &given));
    bool named = row_given(&given.row, aggregate_f_name);
    bool zoned = row_given(&given.row, aggregate_f_zone);
    if (!named && !zoned)
        return c->service->family->missing(c->cx, &aggregate_resource, "name");
    a->name = given.name;
    TRY(check_unique(c, a));
    if (zoned)
        TRY(set_zone(c, &change, a, given.zone));
    fleet_host_differs(c->cx, c->tx, NULL);
    TRY(res_update(c->cx, c->tx, &aggregate_resource, a));
    return call_reply_row(c, 200, &aggregate_resource, a);
}

/* ---------------------------------------------------------------- actions */

static struct err *host_argument(struct call *c, const json_t *args, const char **ret)
{
    const json_t *host = json_get(args, "host");
    *ret = json_string_value(host);
    if (!json_is_object(args) || json_object_size(args) != 1 || !*ret || !**ret ||
        strlen(*ret) > 255)
        return bad_member(c, "host", host, "The action takes a host's name alone: {'host': …}");
    return NULL;
}

/* Servers don't change zones. */
static struct err *check_servers(struct call *c, const struct zone_change *z,
                                 const struct aggregate *a, const struct place_host *host,
                                 const char *zone, const char *verb)
{
    if (str_eq(host->zone, zone) || !host->servers)
        return NULL;
    return refuse(
        c, z, a,
        arena_printf(c->cx->arena,
                     "The host cannot be %s the aggregate as the availability zone of the host "
                     "would change from '%s' to '%s' but the host already has %" PRId64
                     " instance(s). Changing the AZ of an existing instance is not supported by "
                     "this action. Move the instances away from this host then try again",
                     verb, host->zone, zone, host->servers));
}

static struct err *join(struct call *c, struct aggregate *a, const struct place_host *host)
{
    static const struct zone_change change = {ERR_CONFLICT, "Cannot add host to aggregate"};
    int64_t changed;
    if (a->zone) {
        TRY(check_other_zones(c, &change, a, host->id, a->zone));
        TRY(check_servers(c, &change, a, host, a->zone, "added to"));
    }
    const struct db_value params[] = {V_TEXT(a->id), V_TEXT(host->id), V_TEXT(host->name)};
    TRY(db_exec(c->cx, c->tx, &stmt_aggregate_host_add, params, 3, &changed));
    if (!changed)
        return fail(c->cx, ERR_CONFLICT, "Aggregate %" PRId64 " already has host %s.", a->number,
                    host->name);
    return fleet_host_changed(c->cx, c->tx, host->id);
}

static struct err *leave(struct call *c, struct aggregate *a, const struct place_host *host)
{
    static const struct zone_change change = {ERR_CONFLICT, "Cannot remove host from aggregate"};
    struct fleet_host fleet;
    const char *zone;
    int64_t changed;
    const struct db_value params[] = {V_TEXT(a->id), V_TEXT(host->id)};
    TRY(db_exec(c->cx, c->tx, &stmt_aggregate_host_remove, params, 2, &changed));
    if (!changed)
        return fail(c->cx, ERR_NOT_FOUND, "Cannot remove host %s in aggregate %" PRId64, host->name,
                    a->number);
    TRY(fleet_host_get(c->cx, c->tx, host->id, &fleet));
    TRY(host_zone(c->cx, c->tx, &fleet, a->id, &zone)); /* what it falls back to */
    TRY(check_servers(c, &change, a, host, zone, "removed from"));
    return fleet_host_changed(c->cx, c->tx, host->id);
}

static struct err *add_host(struct call *c, struct aggregate *a, const json_t *args)
{
    struct place_host host;
    const char *name;
    TRY(host_argument(c, args, &name));
    TRY(find_host(c, name, &host));
    return join(c, a, &host);
}

static struct err *remove_host(struct call *c, struct aggregate *a, const json_t *args)
{
    struct place_host host;
    const char *name;
    TRY(host_argument(c, args, &name));
    struct err *e = find_host(c, name, &host);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_NOT_FOUND, "Cannot remove host %s in aggregate %" PRId64, name,
                    a->number);
    TRY(e);
    return leave(c, a, &host);
}

/* ---------------------------------------------------------------- a host's aggregates */

struct err *compute_aggregates_by_host(struct ctx *cx, struct tx *tx, struct db_rows *ret)
{
    return db_query(cx, tx, &stmt_aggregates_by_host, NULL, 0, ret);
}

static bool is_listed(const char *id, const char *const *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(ids[i], id))
            return true;
    return false;
}

static struct err *aggregate_with_id(struct call *c, const char *id, struct aggregate **ret)
{
    void *row = NULL;
    TRY(res_get(c->cx, c->tx, &aggregate_resource, id, &row));
    *ret = row;
    return row ? NULL
               : fail(c->cx, ERR_INVALID,
                      "There is no aggregate %s: make it first (openstack aggregate create)", id);
}

struct err *compute_host_set_aggregates(struct call *c, const char *host_id, const char *const *ids,
                                        size_t n)
{
    struct place_host *hosts, *host;
    struct db_rows all, now;
    struct aggregate *a;
    size_t n_hosts;
    TRY(hosts_snapshot(c->cx, c->tx, &hosts, &n_hosts));
    host = host_with_id(hosts_by_id(c->cx, hosts, n_hosts), n_hosts, host_id);
    TRY(compute_aggregates_by_host(c->cx, c->tx, &all));
    for (size_t i = 0; host && i < all.n_rows; i++) {
        if (!str_eq(db_text(&all, i, 0), host_id) || is_listed(db_text(&all, i, 1), ids, n))
            continue;
        TRY(aggregate_with_id(c, db_text(&all, i, 1), &a));
        TRY(leave(c, a, host));
    }
    for (size_t i = 0; host && i < n; i++) {
        const struct db_value params[] = {V_TEXT(host_id), V_TEXT(ids[i])};
        TRY(aggregate_with_id(c, ids[i], &a));
        TRY(db_query(c->cx, c->tx, &stmt_host_in_aggregate, params, 2, &now));
        if (!now.n_rows)
            TRY(join(c, a, host));
    }
    return NULL;
}

static bool key_ok(const char *key)
{
    size_t n = strlen(key);
    for (const char *p = key; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-_:. ", *p))
            return false;
    return n > 0 && n <= MAX_METADATA_TEXT;
}

/* What says how much its hosts hold must say it so that it counts. */
static const char *check_size(const char *key, const char *text)
{
    int64_t n;
    if (str_eq(key, HOST_CPU_RATIO) || str_eq(key, HOST_RAM_RATIO) || str_eq(key, HOST_DISK_RATIO))
        return place_ratio_read(text, &n) ? NULL : "it is not a ratio such as '4.0'";
    if (str_eq(key, HOST_MAX_SERVERS))
        return str_to_i64(text, 1, INT32_MAX, &n) ? NULL : "it is not a number of servers";
    return NULL;
}

static struct err *set_member(struct call *c, struct aggregate *a, json_t *metadata,
                              const char *key, json_t *value)
{
    static const struct zone_change change = {ERR_INVALID, "Cannot update metadata of aggregate"};
    const char *text = json_string_value(value);
    if (!key_ok(key))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field/attribute metadata. '%s' does not match "
                    "'^[a-zA-Z0-9-_:. ]{1,255}$'",
                    key);
    if (!json_is_null(value) &&
        (!text || str_utf8_len(text) < 0 || str_utf8_len(text) > MAX_METADATA_TEXT))
        return bad_member(c, key, value, "A text of at most 255 characters, or null, is needed");
    if (str_eq(key, "availability_zone"))
        return set_zone(c, &change, a, text && *text ? text : NULL);
    const char *reason = text ? check_size(key, text) : NULL;
    if (reason)
        return bad_member(c, key, value, reason);
    if (text)
        json_object_set(metadata, key, value);
    else
        json_object_del(metadata, key);
    return NULL;
}

static struct err *set_metadata(struct call *c, struct aggregate *a, const json_t *args)
{
    const json_t *given = json_get(args, "metadata");
    const char *key;
    json_t *value, *metadata = metadata_of(c->cx, a);
    if (!json_is_object(given) || json_object_size(args) != 1)
        return bad_member(c, "metadata", given, "it is not of type 'object'");
    json_object_foreach((json_t *)(uintptr_t)given, key, value)
        TRY(set_member(c, a, metadata, key, value));
    a->metadata = json_text(c->cx, metadata);
    return NULL;
}

struct err *aggregate_act(struct call *c)
{
    static const struct {
        const char *name;
        struct err *(*act)(struct call *c, struct aggregate *a, const json_t *args);
    } actions[] = {
        {"add_host", add_host}, {"remove_host", remove_host}, {"set_metadata", set_metadata}};
    struct aggregate *a;
    const char *name;
    const json_t *args;
    TRY(body_only_member(c, &name, &args));
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (!str_eq(actions[i].name, name))
            continue;
        TRY(aggregate_find(c, &a));
        TRY(actions[i].act(c, a, args));
        fleet_host_differs(c->cx, c->tx, NULL);
        TRY(res_update(c->cx, c->tx, &aggregate_resource, a));
        return call_reply_row(c, 200, &aggregate_resource, a);
    }
    return fail(c->cx, ERR_INVALID, "There is no such action: %s", name);
}
