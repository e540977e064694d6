/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * os-services: a nova-compute for each host, and what the control plane itself does under the names
 * that operators' tools look for. Disabled hosts get no new servers; ones forced down count as
 * dead.
 */
#include "compute/impl.h"

/* This process places servers and moves them along: it answers, so both are up. */
static const char *const internal_binaries[] = {"nova-scheduler", "nova-conductor"};

static const char *own_host(struct ctx *cx)
{
    char name[256] = "";
    if (gethostname(name, sizeof(name) - 1) < 0)
        return "localhost";
    return arena_strdup(cx->arena, name);
}

/* The same on each start and in each process of this machine. */
static const char *internal_id(struct ctx *cx, const char *binary, const char *host)
{
    const char *text = arena_printf(cx->arena, "service:%s:%s", binary, host);
    const char *hex = sha256_hex(cx, text, strlen(text));
    return arena_printf(cx->arena, "%.8s-%.4s-4%.3s-8%.3s-%.12s", hex, hex + 8, hex + 12, hex + 15,
                        hex + 18);
}

struct err *services_list(struct ctx *cx, struct tx *tx, struct service_info **ret, size_t *ret_n)
{
    struct fleet_host *hosts;
    struct place_host *use;
    size_t n, n_use;
    TRY(fleet_hosts(cx, tx, &hosts, &n));
    TRY(hosts_snapshot(cx, tx, &use, &n_use));
    must(n == n_use);
    struct service_info *out =
        arena_new_array(cx->arena, struct service_info, n + ARRAY_LEN(internal_binaries));
    for (size_t i = 0; i < n; i++)
        out[i] = (struct service_info){.id = hosts[i].id,
                                       .binary = COMPUTE_BINARY,
                                       .host = hosts[i].name,
                                       .zone = use[i].zone,
                                       .disabled_reason = hosts[i].disabled_reason,
                                       .number = host_number(hosts, n, i),
                                       .updated_us = hosts[i].last_seen_us,
                                       .enabled = hosts[i].enabled,
                                       .alive = hosts[i].alive,
                                       .forced_down = hosts[i].forced_down};
    for (size_t i = 0; i < ARRAY_LEN(internal_binaries); i++)
        out[n + i] =
            (struct service_info){.binary = internal_binaries[i],
                                  .host = own_host(cx),
                                  .id = internal_id(cx, internal_binaries[i], own_host(cx)),
                                  .zone = INTERNAL_ZONE,
                                  .number = (int64_t)(n + i) + 1,
                                  .updated_us = now_us(cx),
                                  .enabled = true,
                                  .alive = true};
    *ret = out;
    *ret_n = n + ARRAY_LEN(internal_binaries);
    return NULL;
}

static void write_service(struct call *c, struct jw *w, const struct service_info *s)
{
    jw_obj(w);
    if (c->microversion >= 53)
        jw_kstr(w, "id", s->id);
    else
        jw_kint(w, "id", s->number);
    jw_kstr(w, "binary", s->binary);
    jw_kstr(w, "host", s->host);
    jw_kstr(w, "zone", s->zone);
    jw_kstr(w, "status", s->enabled ? "enabled" : "disabled");
    jw_kstr(w, "state", s->alive ? "up" : "down");
    jw_kstr(w, "updated_at", s->updated_us ? time_iso(c->cx, s->updated_us, TIME_MICROS) : NULL);
    jw_kstr(w, "disabled_reason", s->enabled ? NULL : s->disabled_reason);
    if (c->microversion >= 11)
        jw_kbool(w, "forced_down", s->forced_down);
    jw_obj_end(w);
}

struct err *compute_service_list(struct call *c)
{
    struct service_info *all;
    size_t n;
    const char *host = http_arg(c->rq, "host"), *binary = http_arg(c->rq, "binary");
    TRY(services_list(c->cx, c->tx, &all, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "services");
    for (size_t i = 0; i < n; i++)
        if ((!host || !*host || str_eq(host, all[i].host)) &&
            (!binary || !*binary || str_eq(binary, all[i].binary)))
            write_service(c, &w, &all[i]);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- changing one */

struct change {
    bool has_status, has_down, enable, down;
    const char *reason;
};

static struct err *check_reason(struct call *c, const json_t *v, const char **ret)
{
    *ret = json_string_value(v);
    if (*ret && **ret && str_utf8_len(*ret) >= 0 && str_utf8_len(*ret) <= 255)
        return NULL;
    return bad_member(c, "disabled_reason", v, "1 to 255 characters are needed");
}

static struct err *read_change(struct call *c, struct change *ret)
{
    const char *key;
    json_t *v;
    *ret = (struct change){0};
    if (!json_is_object(c->json))
        return fail(c->cx, ERR_INVALID, "The request body must be a JSON object");
    json_object_foreach(c->json, key, v)
    {
        const char *text = json_string_value(v);
        if (str_eq(key, "status")) {
            if (!str_eq(text, "enabled") && !str_eq(text, "disabled"))
                return bad_member(c, key, v, "it is not one of ['enabled', 'disabled']");
            ret->has_status = true;
            ret->enable = str_eq(text, "enabled");
        } else if (str_eq(key, "forced_down")) {
            ret->has_down = true;
            ret->down = json_is_true(v);
            if (!json_is_boolean(v) && !str_to_bool(text, &ret->down))
                return bad_member(c, key, v, "it is not of type 'boolean'");
        } else if (str_eq(key, "disabled_reason")) {
            TRY(check_reason(c, v, &ret->reason));
        } else
            return fail(c->cx, ERR_INVALID,
                        "Invalid input for field/attribute service. Additional properties are not "
                        "allowed ('%s' was unexpected)",
                        key);
    }
    if (!ret->has_status && !ret->has_down)
        return fail(c->cx, ERR_INVALID,
                    "No updates were requested. Fields 'status' or 'forced_down' should be "
                    "specified.");
    if (ret->reason && (!ret->has_status || ret->enable))
        return fail(c->cx, ERR_INVALID,
                    "Specifying disabled_reason when status is enabled is invalid.");
    return NULL;
}

static struct err *apply(struct call *c, const struct service_info *s, const struct change *change)
{
    if (!str_eq(s->binary, COMPUTE_BINARY))
        return fail(c->cx, ERR_INVALID,
                    "Updating a %s service is not supported. Only nova-compute services can be "
                    "updated.",
                    s->binary);
    c->audit_target = s->id;
    if (change->has_status)
        TRY(fleet_host_set_enabled(c->cx, c->tx, s->id, change->enable, change->reason));
    return change->has_down ? fleet_host_force_down(c->cx, c->tx, s->id, change->down) : NULL;
}

/* By its UUID, before 2.53 by its number. */
static struct err *find(struct call *c, struct service_info *ret)
{
    struct service_info *all;
    size_t n;
    const char *id = call_param(c, "service_id");
    int64_t number = 0;
    if (c->microversion >= 53 ? !uuid_valid(id) : !str_to_i64(id, 0, INT64_MAX, &number))
        return fail(c->cx, ERR_INVALID, "Invalid uuid %s", id);
    TRY(services_list(c->cx, c->tx, &all, &n));
    for (size_t i = 0; i < n; i++)
        if (number ? all[i].number == number : str_eq(all[i].id, id)) {
            *ret = all[i];
            return NULL;
        }
    return fail(c->cx, ERR_NOT_FOUND, "Service %s could not be found.", id);
}

/* PUT /os-services/{id}, since 2.53. */
struct err *compute_service_update(struct call *c)
{
    struct service_info service;
    struct change change;
    TRY(read_change(c, &change));
    TRY(find(c, &service));
    TRY(apply(c, &service, &change));
    TRY(find(c, &service));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "service");
    write_service(c, &w, &service);
    jw_obj_end(&w);
    return NULL;
}

/* The older forms name the host and the binary in the body. */
static struct err *apply_by_name(struct call *c, const struct change *change)
{
    struct service_info *all;
    size_t n, i = 0;
    const char *host = json_get_str(c->json, "host"), *binary = json_get_str(c->json, "binary");
    if (!host || !binary)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field/attribute service. 'host' and 'binary' are required "
                    "properties");
    TRY(services_list(c->cx, c->tx, &all, &n));
    while (i < n && !(str_eq(all[i].host, host) && str_eq(all[i].binary, binary)))
        i++;
    if (i == n)
        return fail(c->cx, ERR_NOT_FOUND, "Could not find binary %s on host %s.", binary, host);
    TRY(apply(c, &all[i], change));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "service");
    jw_kstr(&w, "host", host);
    jw_kstr(&w, "binary", binary);
    if (change->has_status)
        jw_kstr(&w, "status", change->enable ? "enabled" : "disabled");
    if (change->reason)
        jw_kstr(&w, "disabled_reason", change->reason);
    if (change->has_down)
        jw_kbool(&w, "forced_down", change->down);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *compute_service_enable(struct call *c)
{
    const struct change change = {.has_status = true, .enable = true};
    return apply_by_name(c, &change);
}

struct err *compute_service_disable(struct call *c)
{
    const struct change change = {.has_status = true};
    return apply_by_name(c, &change);
}

struct err *compute_service_disable_reason(struct call *c)
{
    struct change change = {.has_status = true};
    TRY(check_reason(c, json_get(c->json, "disabled_reason"), &change.reason));
    return apply_by_name(c, &change);
}

struct err *compute_service_force_down(struct call *c)
{
    const json_t *down = json_get(c->json, "forced_down");
    struct change change = {.has_down = true, .down = json_is_true(down)};
    if (!json_is_boolean(down) && !str_to_bool(json_string_value(down), &change.down))
        return bad_member(c, "forced_down", down, "it is not of type 'boolean'");
    return apply_by_name(c, &change);
}

const struct stmt stmt_host_servers = {"host_servers",
                                       "SELECT COUNT(*) FROM servers WHERE host_id = $1 OR "
                                       "other_host_id = $1"};
const struct stmt stmt_aggregates_forget = {"aggregates_forget",
                                            "DELETE FROM aggregate_hosts WHERE host_id = $1"};

struct err *compute_host_remove(struct ctx *cx, struct tx *tx, const char *host_id)
{
    const struct db_value id = V_TEXT(host_id);
    struct db_rows servers;
    TRY(db_query(cx, tx, &stmt_host_servers, &id, 1, &servers));
    if (db_int(&servers, 0, 0))
        return fail(cx, ERR_CONFLICT,
                    "Unable to delete compute service that is hosting instances. Migrate or delete "
                    "the instances first.");
    TRY(db_run(cx, tx, &stmt_aggregates_forget, id));
    TRY(db_run(cx, tx, &stmt_cached_images_forget, id));
    TRY(host_room_forget(cx, tx, host_id));
    return fleet_host_remove(cx, tx, host_id);
}

struct err *compute_service_delete(struct call *c)
{
    struct service_info service;
    TRY(find(c, &service));
    if (!str_eq(service.binary, COMPUTE_BINARY))
        return fail(c->cx, ERR_INVALID,
                    "The control plane's own service %s goes when its process ends",
                    service.binary);
    c->audit_target = service.id;
    call_reply_empty(c, 204);
    return compute_host_remove(c->cx, c->tx, service.id);
}
