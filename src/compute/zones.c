/* SPDX-License-Identifier: EUPL-1.2 */
/* Availability zones, and os-hosts as it was until 2.42: both are views of hosts and services. */
#include "compute/impl.h"

/* ---------------------------------------------------------------- os-hosts */

struct err *host_list(struct call *c)
{
    struct service_info *all;
    size_t n;
    const char *zone = http_arg(c->rq, "zone");
    TRY(services_list(c->cx, c->tx, &all, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "hosts");
    for (size_t i = 0; i < n; i++) {
        if ((zone && *zone && !str_eq(zone, all[i].zone)) || !all[i].enabled)
            continue;
        jw_obj(&w);
        jw_kstr(&w, "host_name", all[i].host);
        jw_kstr(&w, "service", all[i].binary + strlen("nova-"));
        jw_kstr(&w, "zone", all[i].zone);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *find(struct call *c, struct place_host *ret)
{
    struct place_host *hosts;
    size_t n;
    TRY(hosts_snapshot(c->cx, c->tx, &hosts, &n));
    for (size_t i = 0; i < n; i++)
        if (str_eq(hosts[i].name, call_param(c, "host_name"))) {
            *ret = hosts[i];
            return NULL;
        }
    return fail(c->cx, ERR_NOT_FOUND, "Compute host %s could not be found.",
                call_param(c, "host_name"));
}

static void write_part(struct jw *w, const char *host, const char *what, int64_t cpu,
                       int64_t memory, int64_t disk)
{
    jw_obj(w);
    jw_kobj(w, "resource");
    jw_kstr(w, "host", host);
    jw_kstr(w, "project", what);
    jw_kint(w, "cpu", cpu);
    jw_kint(w, "memory_mb", memory);
    jw_kint(w, "disk_gb", disk);
    jw_obj_end(w);
    jw_obj_end(w);
}

const struct stmt stmt_use_by_project = {
    "use_by_project", "SELECT project_id, CAST(SUM(held_vcpus) AS BIGINT), "
                      "CAST(SUM(held_memory_mib) AS BIGINT), CAST(SUM(held_disk_gib) AS BIGINT) "
                      "FROM servers WHERE host_id = $1 GROUP BY project_id ORDER BY project_id"};

struct err *host_show(struct call *c)
{
    struct place_host h;
    struct db_rows use;
    TRY(find(c, &h));
    const struct db_value id = V_TEXT(h.id);
    TRY(db_query(c->cx, c->tx, &stmt_use_by_project, &id, 1, &use));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "host");
    write_part(&w, h.name, "(total)", h.vcpus, h.memory_mib, h.disk_gib);
    write_part(&w, h.name, "(used_now)", h.used_vcpus, h.used_memory_mib, h.used_disk_gib);
    write_part(&w, h.name, "(used_max)", h.used_vcpus, h.used_memory_mib, h.used_disk_gib);
    for (size_t i = 0; i < use.n_rows; i++)
        write_part(&w, h.name, db_text(&use, i, 0), db_int(&use, i, 1), db_int(&use, i, 2),
                   db_int(&use, i, 3));
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *not_supported(struct call *c)
{
    return fail(c->cx, ERR_NOT_IMPLEMENTED, "The requested functionality is not supported.");
}

static struct err *read_switch(struct call *c, const char *name, bool *ret_given, bool *ret)
{
    const json_t *v = json_get(c->json, name);
    const char *text = json_string_value(v);
    *ret_given = v != NULL;
    *ret = text && strcasecmp(text, "enable") == 0;
    if (v && !*ret && !(text && strcasecmp(text, "disable") == 0))
        return bad_member(c, name, v, "it is not one of ['enable', 'disable']");
    return NULL;
}

struct err *host_update(struct call *c)
{
    struct place_host h;
    bool status, enable, maintenance, on;
    TRY(read_switch(c, "status", &status, &enable));
    TRY(read_switch(c, "maintenance_mode", &maintenance, &on));
    if ((!status && !maintenance) || json_object_size(c->json) != (size_t)status + maintenance)
        return bad_member(c, "host", c->json, "'status' or 'maintenance_mode' is needed, no more");
    TRY(find(c, &h));
    if (maintenance)
        return not_supported(c);
    TRY(fleet_host_set_enabled(c->cx, c->tx, h.id, enable, NULL));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kstr(&w, "host", h.name);
    jw_kstr(&w, "status", enable ? "enabled" : "disabled");
    jw_obj_end(&w);
    return NULL;
}

/* Turning machines on and off is no agent's to do. */
struct err *host_power(struct call *c)
{
    struct place_host h;
    TRY(find(c, &h));
    return not_supported(c);
}

/* ---------------------------------------------------------------- availability zones */

/* Services of one host stand together under its name. */
static void write_host(struct call *c, struct jw *w, const struct service_info *all, size_t n,
                       size_t first)
{
    jw_kobj(w, all[first].host);
    for (size_t i = first; i < n; i++) {
        if (!str_eq(all[i].zone, all[first].zone) || !str_eq(all[i].host, all[first].host))
            continue;
        jw_kobj(w, all[i].binary);
        jw_kbool(w, "active", all[i].enabled);
        jw_kbool(w, "available", all[i].alive);
        jw_kstr(w, "updated_at",
                all[i].updated_us ? time_iso(c->cx, all[i].updated_us, TIME_MICROS) : NULL);
        jw_obj_end(w);
    }
    jw_obj_end(w);
}

static bool seen_before(const struct service_info *all, size_t i, bool same_host)
{
    for (size_t k = 0; k < i; k++)
        if (str_eq(all[k].zone, all[i].zone) && (!same_host || str_eq(all[k].host, all[i].host)))
            return true;
    return false;
}

static void write_zone(struct call *c, struct jw *w, const struct service_info *all, size_t n,
                       size_t first, bool detail)
{
    bool available = false;
    for (size_t i = first; i < n; i++)
        available =
            available || (str_eq(all[i].zone, all[first].zone) && all[i].enabled && all[i].alive);
    jw_obj(w);
    jw_kstr(w, "zoneName", all[first].zone);
    jw_kobj(w, "zoneState");
    jw_kbool(w, "available", available);
    jw_obj_end(w);
    if (detail) {
        jw_kobj(w, "hosts");
        for (size_t i = first; i < n; i++)
            if (str_eq(all[i].zone, all[first].zone) && !seen_before(all, i, true))
                write_host(c, w, all, n, i);
        jw_obj_end(w);
    } else
        jw_knull(w, "hosts");
    jw_obj_end(w);
}

/* The control plane's own zone is for administrators to see. */
static struct err *write_zones(struct call *c, bool detail)
{
    struct service_info *all;
    size_t n;
    TRY(services_list(c->cx, c->tx, &all, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "availabilityZoneInfo");
    for (size_t i = 0; i < n; i++)
        if (!seen_before(all, i, false) && (detail || !str_eq(all[i].zone, INTERNAL_ZONE)))
            write_zone(c, &w, all, n, i, detail);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *zone_list(struct call *c)
{
    return write_zones(c, false);
}

struct err *zone_detail(struct call *c)
{
    return write_zones(c, true);
}
