/* SPDX-License-Identifier: EUPL-1.2 */
/* os-services (one nova-compute a host), os-hosts, availability zones. */
#include "compute/impl.h"

/* ---------------------------------------------------------------- services */

static void write_service(struct call *c, struct jw *w, const struct fleet_host *h,
                          const char *zone, size_t number)
{
    jw_obj(w);
    if (c->microversion >= 53)
        jw_kstr(w, "id", h->id);
    else
        jw_kint(w, "id", (int64_t)number);
    jw_kstr(w, "binary", "nova-compute");
    jw_kstr(w, "host", h->name);
    jw_kstr(w, "zone", zone);
    jw_kstr(w, "status", h->enabled ? "enabled" : "disabled");
    jw_kstr(w, "state", h->alive ? "up" : "down");
    jw_kstr(w, "updated_at",
            h->last_seen_us ? time_iso(c->cx, h->last_seen_us, TIME_MICROS) : NULL);
    jw_kstr(w, "disabled_reason", h->enabled ? NULL : h->disabled_reason);
    if (c->microversion >= 11)
        jw_kbool(w, "forced_down", false);
    jw_obj_end(w);
}

struct err *compute_service_list(struct call *c)
{
    struct fleet_host *hosts;
    struct place_host *use;
    size_t n, n_use;
    const char *host = http_arg(c->rq, "host"), *binary = http_arg(c->rq, "binary");
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n));
    TRY(hosts_snapshot(c->cx, c->tx, &use, &n_use));
    must(n == n_use);
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "services");
    for (size_t i = 0; i < n; i++)
        if ((!host || str_eq(host, hosts[i].name)) && (!binary || str_eq(binary, "nova-compute")))
            write_service(c, &w, &hosts[i], use[i].zone, i + 1);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *by_id(struct call *c, const char *id, struct fleet_host *ret)
{
    struct err *e = uuid_valid(id) ? fleet_host_get(c->cx, c->tx, id, ret)
                                   : fail(c->cx, ERR_INVALID, "Invalid uuid %s", id);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_NOT_FOUND, "Service %s could not be found.", id);
    return e;
}

/* PUT /os-services/{id}, since 2.53. */
struct err *compute_service_update(struct call *c)
{
    struct fleet_host host;
    const char *zone, *status = json_get_str(c->json, "status"),
                      *reason = json_get_str(c->json, "disabled_reason"), *key;
    json_t *v;
    json_object_foreach(c->json, key, v)
    {
        if (str_eq(key, "forced_down") && !json_is_true(v))
            continue;
        if (!str_eq(key, "status") && !str_eq(key, "disabled_reason"))
            return fail(
                c->cx, ERR_INVALID,
                "Invalid input for field/attribute service. Only status and disabled_reason can "
                "be set, not '%s'",
                key);
    }
    if (!str_eq(status, "enabled") && !str_eq(status, "disabled"))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field/attribute status. It must be 'enabled' or 'disabled'");
    if (reason && !str_eq(status, "disabled"))
        return fail(c->cx, ERR_INVALID,
                    "Specifying disabled_reason when status is enabled is not allowed.");
    if (reason && (!*reason || str_utf8_len(reason) > 255))
        return fail(c->cx, ERR_INVALID,
                    "Disabled reason contains invalid characters or is too long");
    TRY(by_id(c, call_param(c, "service_id"), &host));
    TRY(fleet_host_set_enabled(c->cx, c->tx, host.id, str_eq(status, "enabled"), reason));
    TRY(by_id(c, host.id, &host));
    TRY(host_zone(c->cx, c->tx, &host, "", &zone));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "service");
    write_service(c, &w, &host, zone, 0);
    jw_obj_end(&w);
    return NULL;
}

/* The older forms name the host in the body. */
static struct err *set_by_name(struct call *c, bool enable, const char *reason)
{
    struct fleet_host *hosts;
    size_t n, i = 0;
    const char *name = json_get_str(c->json, "host"), *binary = json_get_str(c->json, "binary");
    if (!name || !binary)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field/attribute service. 'host' and 'binary' are required "
                    "properties");
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n));
    while (i < n && !(str_eq(hosts[i].name, name) && str_eq(binary, "nova-compute")))
        i++;
    if (i == n)
        return fail(c->cx, ERR_NOT_FOUND, "Could not find binary %s on host %s.", binary, name);
    TRY(fleet_host_set_enabled(c->cx, c->tx, hosts[i].id, enable, reason));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "service");
    jw_kstr(&w, "host", name);
    jw_kstr(&w, "binary", binary);
    jw_kstr(&w, "status", enable ? "enabled" : "disabled");
    if (reason)
        jw_kstr(&w, "disabled_reason", reason);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *compute_service_enable(struct call *c)
{
    return set_by_name(c, true, NULL);
}

struct err *compute_service_disable(struct call *c)
{
    return set_by_name(c, false, NULL);
}

struct err *compute_service_disable_reason(struct call *c)
{
    const char *reason = json_get_str(c->json, "disabled_reason");
    if (!reason || !*reason || str_utf8_len(reason) > 255)
        return fail(
            c->cx, ERR_INVALID,
            "Invalid input for field/attribute disabled_reason. 1 to 255 characters are needed");
    return set_by_name(c, false, reason);
}

/* ---------------------------------------------------------------- hosts (until 2.42) */

struct err *host_list(struct call *c)
{
    struct place_host *hosts;
    size_t n;
    const char *zone = http_arg(c->rq, "zone");
    TRY(hosts_snapshot(c->cx, c->tx, &hosts, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "hosts");
    for (size_t i = 0; i < n; i++) {
        if (zone && !str_eq(zone, hosts[i].zone))
            continue;
        jw_obj(&w);
        jw_kstr(&w, "host_name", hosts[i].name);
        jw_kstr(&w, "service", "compute");
        jw_kstr(&w, "zone", hosts[i].zone);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static void write_host_part(struct jw *w, const char *host, const char *what, int64_t cpu,
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

struct err *host_show(struct call *c)
{
    struct place_host *hosts;
    size_t n, i = 0;
    TRY(hosts_snapshot(c->cx, c->tx, &hosts, &n));
    while (i < n && !str_eq(hosts[i].name, call_param(c, "host_name")))
        i++;
    if (i == n)
        return fail(c->cx, ERR_NOT_FOUND, "Compute host %s could not be found.",
                    call_param(c, "host_name"));
    const struct place_host *h = &hosts[i];
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "host");
    write_host_part(&w, h->name, "(total)", h->vcpus, h->memory_mib, h->disk_gib);
    write_host_part(&w, h->name, "(used_now)", h->used_vcpus, h->used_memory_mib, h->used_disk_gib);
    write_host_part(&w, h->name, "(used_max)", h->used_vcpus, h->used_memory_mib, h->used_disk_gib);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- availability zones */

static void write_zone_hosts(struct call *c, struct jw *w, const char *zone,
                             const struct fleet_host *hosts, const struct place_host *use, size_t n)
{
    jw_kobj(w, "hosts");
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(use[i].zone, zone))
            continue;
        jw_kobj(w, hosts[i].name);
        jw_kobj(w, "nova-compute");
        jw_kbool(w, "active", hosts[i].enabled);
        jw_kbool(w, "available", hosts[i].alive);
        jw_kstr(w, "updated_at",
                hosts[i].last_seen_us ? time_iso(c->cx, hosts[i].last_seen_us, TIME_MICROS) : NULL);
        jw_obj_end(w);
        jw_obj_end(w);
    }
    jw_obj_end(w);
}

static struct err *write_zones(struct call *c, bool detail)
{
    struct fleet_host *hosts;
    struct place_host *use;
    size_t n, n_use;
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n));
    TRY(hosts_snapshot(c->cx, c->tx, &use, &n_use));
    must(n == n_use);
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "availabilityZoneInfo");
    for (size_t i = 0; i < n; i++) {
        bool first = true, available = false;
        for (size_t k = 0; k < n; k++) {
            first = first && !(k < i && str_eq(use[k].zone, use[i].zone));
            available =
                available || (str_eq(use[k].zone, use[i].zone) && use[k].enabled && use[k].alive);
        }
        if (!first)
            continue;
        jw_obj(&w);
        jw_kstr(&w, "zoneName", use[i].zone);
        jw_kobj(&w, "zoneState");
        jw_kbool(&w, "available", available);
        jw_obj_end(&w);
        if (detail)
            write_zone_hosts(c, &w, use[i].zone, hosts, use, n);
        else
            jw_knull(&w, "hosts");
        jw_obj_end(&w);
    }
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
