/* SPDX-License-Identifier: EUPL-1.2 */
/* os-services, os-hosts, zones, pools, capabilities: the fleet's hosts as cinder's clients know
 * them. A host is "NAME@qcow2", its one pool "NAME@qcow2#qcow2". */
#include "volume/impl.h"

const struct stmt stmt_host_settings_put = {
    "host_settings_put",
    "INSERT INTO volume_host_settings (host_id, enabled, reason, frozen, updated_at) VALUES ($1, "
    "$2, $3, $4, $5) ON CONFLICT (host_id) DO UPDATE SET enabled = excluded.enabled, reason = "
    "excluded.reason, frozen = excluded.frozen, updated_at = excluded.updated_at"};
const struct stmt stmt_host_projects = {
    "host_projects",
    "SELECT project_id, CAST(SUM(volumes) AS BIGINT), CAST(SUM(volume_gib) AS BIGINT), "
    "CAST(SUM(snapshots) AS BIGINT), CAST(SUM(snapshot_gib) AS BIGINT) FROM (SELECT project_id, 1 "
    "AS volumes, size_gib AS volume_gib, 0 AS snapshots, 0 AS snapshot_gib FROM volumes WHERE "
    "host_id = $1 UNION ALL SELECT project_id, 0, 0, 1, size_gib FROM snapshots WHERE host_id = "
    "$1) AS kept GROUP BY project_id ORDER BY project_id"};

static const char *backend_of(struct ctx *cx, const struct volume_host *h)
{
    return arena_printf(cx->arena, "%s@%s", h->name, BACKEND);
}

/* "h0", "h0@qcow2" and "h0@qcow2#qcow2" are the same. */
static bool is_named(struct ctx *cx, const struct volume_host *h, const char *name)
{
    return str_eq(name, h->name) || str_eq(name, backend_of(cx, h)) ||
           str_eq(name, volume_host_text(cx, h->name));
}

static struct err *find_host(struct call *c, const char *name, struct volume_host **ret)
{
    size_t n;
    struct volume_host *hosts;
    *ret = NULL;
    TRY(volume_hosts(c->cx, c->tx, &hosts, &n));
    for (size_t i = 0; i < n; i++)
        if (is_named(c->cx, &hosts[i], name))
            *ret = &hosts[i];
    return NULL;
}

/* ---------------------------------------------------------------- os-services */

/* Where volumes are placed: in this process, which answers. */
static const char *own_name(struct ctx *cx)
{
    char host[256];
    if (gethostname(host, sizeof(host)) < 0)
        return "localhost";
    host[sizeof(host) - 1] = 0;
    return arena_strdup(cx->arena, host);
}

static void write_service(struct call *c, struct jw *w, const struct volume_host *h)
{
    bool scheduler = !h;
    jw_obj(w);
    jw_kstr(w, "binary", scheduler ? "cinder-scheduler" : "cinder-volume");
    jw_kstr(w, "host", scheduler ? own_name(c->cx) : backend_of(c->cx, h));
    jw_kstr(w, "zone", scheduler ? volume_cfg.default_zone : h->zone);
    jw_kstr(w, "status", scheduler || h->enabled ? "enabled" : "disabled");
    jw_kstr(w, "state", scheduler || h->alive ? "up" : "down");
    jw_kstr(w, "updated_at",
            time_iso(c->cx, scheduler ? now_us(c->cx) : h->last_seen_us, TIME_MICROS));
    jw_kstr(w, "disabled_reason", scheduler ? NULL : h->disabled_reason);
    if (!scheduler) {
        jw_kstr(w, "replication_status", "disabled");
        jw_kstr(w, "active_backend_id", NULL);
        jw_kbool(w, "frozen", h->frozen);
        if (c->microversion >= 49)
            jw_kstr(w, "backend_state", h->alive ? "up" : "down");
    }
    if (c->microversion >= 7)
        jw_kstr(w, "cluster", NULL);
    jw_obj_end(w);
}

struct err *volume_service_list(struct call *c)
{
    const char *host = http_arg(c->rq, "host"), *binary = http_arg(c->rq, "binary");
    struct volume_host *hosts;
    size_t n;
    TRY(volume_hosts(c->cx, c->tx, &hosts, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "services");
    if ((!host || str_eq(host, own_name(c->cx))) && (!binary || str_eq(binary, "cinder-scheduler")))
        write_service(c, &w, NULL);
    for (size_t i = 0; i < n; i++)
        if ((!host || is_named(c->cx, &hosts[i], host)) &&
            (!binary || str_eq(binary, "cinder-volume")))
            write_service(c, &w, &hosts[i]);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *save(struct call *c, const struct volume_host *h)
{
    return db_run(c->cx, c->tx, &stmt_host_settings_put, V_TEXT(h->id), V_INT(h->enabled),
                  V_TEXT(h->disabled_reason), V_INT(h->frozen), V_INT(now_us(c->cx)));
}

static struct err *read_service(struct call *c, struct volume_host **ret)
{
    const char *host = NULL, *binary = NULL;
    TRY(arg_text(c, c->json, "host", &host));
    TRY(arg_text(c, c->json, "binary", &binary));
    if (!binary)
        TRY(arg_text(c, c->json, "service", &binary));
    if (!host || !binary)
        return fail(c->cx, ERR_INVALID,
                    "Missing required element 'host' or 'binary' in request body.");
    *ret = NULL;
    if (str_eq(binary, "cinder-volume"))
        TRY(find_host(c, host, ret));
    if (*ret)
        return NULL;
    return fail(c->cx, ERR_NOT_FOUND, "Service %s could not be found on host %s.", binary, host);
}

static struct err *set_enabled(struct call *c, bool enabled, bool with_reason)
{
    struct volume_host *h;
    const char *reason = NULL;
    TRY(arg_text(c, c->json, "disabled_reason", &reason));
    if (!enabled && with_reason && (!reason || !*reason))
        return fail(c->cx, ERR_INVALID,
                    "Disabled reason contains invalid characters or is too "
                    "long: it has 1 to 255 characters");
    TRY(read_service(c, &h));
    h->enabled = enabled;
    h->disabled_reason = with_reason && !enabled ? reason : NULL;
    TRY(save(c, h));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kstr(&w, "host", backend_of(c->cx, h));
    jw_kstr(&w, "service", "cinder-volume");
    jw_kstr(&w, "binary", "cinder-volume");
    jw_kbool(&w, "disabled", !enabled);
    jw_kstr(&w, "status", enabled ? "enabled" : "disabled");
    if (with_reason)
        jw_kstr(&w, "disabled_reason", h->disabled_reason);
    jw_obj_end(&w);
    return NULL;
}

struct err *volume_service_enable(struct call *c)
{
    return set_enabled(c, true, true);
}

struct err *volume_service_disable(struct call *c)
{
    return set_enabled(c, false, false);
}

struct err *volume_service_disable_reason(struct call *c)
{
    return set_enabled(c, false, true);
}

static struct err *set_frozen(struct call *c, bool frozen)
{
    const char *host = NULL;
    struct volume_host *h;
    TRY(arg_text(c, c->json, "host", &host));
    if (!host)
        return fail(c->cx, ERR_INVALID, "Missing required element 'host' in request body.");
    TRY(find_host(c, host, &h));
    if (!h)
        return fail(c->cx, ERR_INVALID, "Host %s could not be found.", host);
    h->frozen = frozen;
    TRY(save(c, h));
    call_reply_empty(c, 200);
    return NULL;
}

struct err *volume_service_freeze(struct call *c)
{
    return set_frozen(c, true);
}

struct err *volume_service_thaw(struct call *c)
{
    return set_frozen(c, false);
}

/* ---------------------------------------------------------------- os-hosts */

static void write_host(struct call *c, struct jw *w, const struct volume_host *h)
{
    bool scheduler = !h;
    jw_obj(w);
    jw_kstr(w, "host_name", scheduler ? own_name(c->cx) : backend_of(c->cx, h));
    jw_kstr(w, "service", scheduler ? "cinder-scheduler" : "cinder-volume");
    jw_kstr(w, "zone", scheduler ? volume_cfg.default_zone : h->zone);
    jw_kstr(w, "service-status", scheduler || h->alive ? "available" : "unavailable");
    jw_kstr(w, "service-state", scheduler || h->enabled ? "enabled" : "disabled");
    jw_kstr(w, "last-update",
            time_iso(c->cx, scheduler ? now_us(c->cx) : h->last_seen_us, TIME_MICROS));
    jw_obj_end(w);
}

struct err *volume_host_list(struct call *c)
{
    const char *zone = http_arg(c->rq, "zone");
    struct volume_host *hosts;
    size_t n;
    TRY(volume_hosts(c->cx, c->tx, &hosts, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "hosts");
    if (!zone || str_eq(zone, volume_cfg.default_zone))
        write_host(c, &w, NULL);
    for (size_t i = 0; i < n; i++)
        if (!zone || str_eq(zone, hosts[i].zone))
            write_host(c, &w, &hosts[i]);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static void write_number(struct call *c, struct jw *w, const char *key, int64_t n)
{
    jw_kstr(w, key, arena_printf(c->cx->arena, "%" PRId64, n));
}

/* numbers: volumes, their GiB, snapshots, their GiB. */
static void write_use(struct call *c, struct jw *w, const struct volume_host *h,
                      const char *project, const int64_t numbers[4])
{
    jw_obj(w);
    jw_kobj(w, "resource");
    jw_kstr(w, "host", backend_of(c->cx, h));
    jw_kstr(w, "project", project);
    write_number(c, w, "volume_count", numbers[0]);
    write_number(c, w, "total_volume_gb", numbers[1]);
    write_number(c, w, "snapshot_count", numbers[2]);
    write_number(c, w, "total_snapshot_gb", numbers[3]);
    jw_obj_end(w);
    jw_obj_end(w);
}

struct err *volume_host_show(struct call *c)
{
    struct volume_host *h;
    struct db_rows rows;
    int64_t total[4] = {0}, one[4];
    TRY(find_host(c, call_param(c, "host_name"), &h));
    if (!h)
        return fail(c->cx, ERR_NOT_FOUND, "Host %s could not be found.",
                    call_param(c, "host_name"));
    struct db_value id = V_TEXT(h->id);
    TRY(db_query(c->cx, c->tx, &stmt_host_projects, &id, 1, &rows));
    for (size_t i = 0; i < rows.n_rows; i++)
        for (size_t k = 0; k < 4; k++)
            total[k] += db_int(&rows, i, k + 1);
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "host");
    write_use(c, &w, h, "(total)", total);
    for (size_t i = 0; i < rows.n_rows; i++) {
        for (size_t k = 0; k < 4; k++)
            one[k] = db_int(&rows, i, k + 1);
        write_use(c, &w, h, db_text(&rows, i, 0), one);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- zones */

struct err *volume_zone_list(struct call *c)
{
    struct volume_host *hosts;
    size_t n;
    TRY(volume_hosts(c->cx, c->tx, &hosts, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "availabilityZoneInfo");
    for (size_t i = 0; i < n; i++) {
        bool first = true, available = false;
        for (size_t k = 0; k < i; k++)
            first = first && !str_eq(hosts[k].zone, hosts[i].zone);
        for (size_t k = i; first && k < n; k++)
            available = available || (str_eq(hosts[k].zone, hosts[i].zone) && hosts[k].enabled);
        if (!first)
            continue;
        jw_obj(&w);
        jw_kstr(&w, "zoneName", hosts[i].zone);
        jw_kobj(&w, "zoneState");
        jw_kbool(&w, "available", available);
        jw_obj_end(&w);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- pools and capabilities */

struct err *volume_pools(struct call *c)
{
    const char *detail = http_arg(c->rq, "detail"), *name = http_arg(c->rq, "name");
    struct volume_host *hosts;
    size_t n;
    bool b = false;
    if (detail && !str_to_bool(detail, &b))
        return fail(c->cx, ERR_INVALID, "Invalid value for detail: '%s' is not a boolean", detail);
    TRY(volume_hosts(c->cx, c->tx, &hosts, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "pools");
    for (size_t i = 0; i < n; i++) {
        if (name && !is_named(c->cx, &hosts[i], name))
            continue;
        jw_obj(&w);
        jw_kstr(&w, "name", volume_host_text(c->cx, hosts[i].name));
        if (b)
            jw_kjson(&w, "capabilities", volume_host_capabilities(c->cx, &hosts[i]));
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *volume_capabilities_show(struct call *c)
{
    struct volume_host *h;
    TRY(find_host(c, call_param(c, "host_name"), &h));
    if (!h)
        return fail(c->cx, ERR_NOT_FOUND, "The service %s@%s is not found.",
                    call_param(c, "host_name"), BACKEND);
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kstr(&w, "namespace",
            arena_printf(c->cx->arena, "OS::Storage::Capabilities::%s", backend_of(c->cx, h)));
    jw_kstr(&w, "vendor_name", VENDOR);
    jw_kstr(&w, "volume_backend_name", BACKEND);
    jw_kstr(&w, "pool_name", NULL);
    jw_kstr(&w, "driver_version", COLVERT_VERSION);
    jw_kstr(&w, "storage_protocol", "file");
    jw_kstr(&w, "display_name", NULL);
    jw_kstr(&w, "description", NULL);
    jw_kstr(&w, "visibility", NULL);
    jw_kraw(&w, "replication_targets", "[]");
    jw_kraw(&w, "properties",
            "{\"thin_provisioning\":{\"title\":\"Thin Provisioning\",\"description\":\"Sets thin "
            "provisioning.\",\"type\":\"boolean\"}}");
    jw_obj_end(&w);
    return NULL;
}
