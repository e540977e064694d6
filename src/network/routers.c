/* SPDX-License-Identifier: EUPL-1.2 */
/* Routers: /v2.0/routers, their gateway and routes. Interfaces stand in router_ports.c. */
#include "network/nw.h"

#define ROUTES_MAX 30

static const char *check_gateway_info(struct ctx *cx, const json_t *v, json_t **ret)
{
    const char *key;
    json_t *value, *out = json_own(cx, json_object());
    if (!json_is_object(v))
        return arena_printf(cx->arena, "%s is not an object", json_python(cx, v));
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        bool b = true;
        if (str_eq(key, "network_id") && json_is_string(value) &&
            uuid_valid(json_string_value(value)))
            json_object_set(out, key, value);
        else if (str_eq(key, "enable_snat") &&
                 (json_is_boolean(value) || str_to_bool(json_string_value(value), &b)))
            json_object_set_new(out, key,
                                json_boolean(json_is_boolean(value) ? json_is_true(value) : b));
        else if (str_eq(key, "external_fixed_ips") && json_is_array(value))
            json_object_set(out, key, value);
        else
            return arena_printf(cx->arena, "'%s' is not right in external_gateway_info", key);
    }
    const json_t *ips = json_get(out, "external_fixed_ips");
    for (size_t i = 0; i < json_array_size(ips); i++) {
        const char *subnet = json_get_str(json_array_get(ips, i), "subnet_id");
        const char *ip = json_get_str(json_array_get(ips, i), "ip_address");
        struct addr a;
        if ((!subnet && !ip) || (subnet && !uuid_valid(subnet)) || (ip && !addr_parse(ip, &a)))
            return "each of external_fixed_ips has a subnet_id, an ip_address, or both";
    }
    if (json_object_size(out) && !json_get(out, "network_id"))
        return "external_gateway_info needs network_id";
    *ret = out;
    return NULL;
}

static void router_encode_zones(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                const struct view *v UNUSED)
{
    jw_raw(w, ((const struct row *)row)->extra);
}

#define RESOURCE router
#define RESOURCE_DEF "network/router.def"
#include "resource/declare_fields.h"

static struct err *prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v UNUSED)
{
    const char **ids = arena_new_array(cx->arena, const char *, n), **zones;
    for (size_t i = 0; i < n; i++)
        ids[i] = ROW(router, rows, i)->id;
    TRY(nw_zones_of(cx, tx, "l3", ids, n, &zones));
    for (size_t i = 0; i < n; i++)
        row_of(rows[i])->extra = (void *)(uintptr_t)zones[i];
    return NULL;
}

static const struct res_index router_indexes[] = {
    {"routers_project", "project_id, created_at, id", false, NULL},
    {"routers_gateway", "gateway_network_id", false, "gateway_network_id IS NOT NULL"},
};

const struct resource router_resource = {.name = "router",
                                         .plural = "routers",
                                         .table = "routers",
                                         RESOURCE_FIELDS(router),
                                         .owner = router_f_project_id,
                                         .not_found = "Router %s could not be found",
                                         .not_found_type = "RouterNotFound",
                                         .indexes = router_indexes,
                                         .n_indexes = ARRAY_LEN(router_indexes),
                                         .prepare = prepare,
                                         .dflt_sort = "created_at:asc,id:asc",
                                         .doc =
                                             "Joins subnets, and a network of the world outside."};

const struct res_where nw_w_floating_of_router = {&floatingip_resource, "router_id = $1", "id"};
const struct res_where nw_w_default_external = {&network_resource, "external = 1",
                                                "is_default DESC, created_at, id"};

/* ---------------------------------------------------------------- gateway */

static void write_gateway_info(struct ctx *cx, struct router *r, const struct port *p)
{
    struct buf b;
    struct jw w;
    buf_init(&b, cx->arena);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kstr(&w, "network_id", r->gateway_network_id);
    jw_kraw(&w, "external_fixed_ips", p->fixed_ips);
    jw_kbool(&w, "enable_snat", r->enable_snat);
    jw_obj_end(&w);
    r->external_gateway_info = buf_cstr(&b);
}

static struct err *leave_gateway(struct call *c, struct router *r, const struct router *old)
{
    void *used = NULL, *port = NULL;
    if (!old || !old->gateway_port_id)
        return NULL;
    TRY(res_first_by(c->cx, c->tx, &nw_w_floating_of_router, &used, V_TEXT(r->id)));
    if (used)
        return fail_type(c->cx, ERR_CONFLICT, "RouterExternalGatewayInUseByFloatingIp",
                         "Gateway cannot be updated for router %s, since a gateway to external "
                         "network %s is required "
                         "by one or more floating IPs.",
                         r->id, old->gateway_network_id);
    TRY(res_find(c->cx, c->tx, &port_resource, old->gateway_port_id, &port));
    TRY(nw_port_remove(c->cx, c->tx, port));
    r->gateway_port_id = r->gateway_network_id = NULL;
    return NULL;
}

static struct err *external_network(struct call *c, const char *id, struct network **ret)
{
    TRY(nw_network_visible(c, id, ret));
    if (!(*ret)->external)
        return bad(c->cx, "BadRequest",
                   "Bad router request: Network %s is not an external network.", id);
    return NULL;
}

/* A router must not have the same addresses on two sides. */
static struct err *check_apart(struct call *c, const struct router *r,
                               const struct subnets *external)
{
    struct port **ports;
    size_t n;
    TRY(nw_router_ports(c->cx, c->tx, r->id, &ports, &n));
    for (size_t i = 0; i < n; i++) {
        struct fixed_ip *ips;
        size_t n_ips = str_eq(ports[i]->device_owner, OWNER_INTERFACE)
                           ? nw_fixed_ips(c->cx, ports[i], &ips)
                           : 0;
        for (size_t k = 0; k < n_ips; k++) {
            struct addr a;
            must(addr_parse(ips[k].ip, &a));
            for (size_t s = 0; s < external->n; s++) {
                struct cidr e = nw_cidr_of(external->v[s]);
                if (cidr_has(&e, &a))
                    return bad(
                        c->cx, "BadRequest",
                        "Bad router request: Cidr %s of subnet %s overlaps with cidr of subnet %s.",
                        external->v[s]->cidr, external->v[s]->id, ips[k].subnet_id);
            }
        }
    }
    return NULL;
}

static struct err *make_gateway(struct call *c, struct router *r, const struct network *n,
                                const json_t *ips)
{
    struct subnets subnets;
    struct port *p = nw_port_row(
        c->cx, n, ""); /* nobody's: its addresses are the provider's, tenants don't see it */
    TRY(nw_subnets_of(c->cx, c->tx, n->id, &subnets));
    if (!subnets.n)
        return bad(c->cx, "BadRequest",
                   "Bad router request: No IPs available for external network %s.", n->id);
    TRY(check_apart(c, r, &subnets));
    p->device_owner = OWNER_GATEWAY;
    p->device_id = p->router_id = r->id;
    TRY(nw_port_new(c->cx, c->tx, p, json_array_size(ips) ? ips : NULL, &subnets));
    r->gateway_port_id = p->id;
    r->gateway_network_id = n->id;
    write_gateway_info(c->cx, r, p);
    return NULL;
}

static struct err *change_gateway(struct call *c, struct router *r, const json_t *ips)
{
    void *row = NULL;
    struct subnets subnets;
    TRY(res_find(c->cx, c->tx, &port_resource, r->gateway_port_id, &row));
    struct port *p = row;
    if (ips) {
        TRY(nw_subnets_of(c->cx, c->tx, p->network_id, &subnets));
        TRY(nw_port_ips_set(c->cx, c->tx, p, p->fixed_ips, ips, &subnets));
        TRY(nw_port_changed(c->cx, c->tx, p));
    }
    write_gateway_info(c->cx, r, p);
    return NULL;
}

/* Another's external network: one address, not of one's choice, and no packets from any other. */
static struct err *check_guest_of_external(struct call *c, const json_t *info)
{
    const json_t *ips = json_get(info, "external_fixed_ips");
    const char *what = json_array_size(ips) > 1 ? "external_fixed_ips" : NULL;
    for (size_t i = 0; i < json_array_size(ips); i++)
        if (json_get(json_array_get(ips, i), "ip_address"))
            what = "external_fixed_ips";
    if (!json_get_bool(info, "enable_snat", true))
        what = "enable_snat";
    if (!what)
        return NULL;
    return fail_type(c->cx, ERR_FORBIDDEN, "PolicyNotAuthorized",
                     "rule:create_router:external_gateway_info:%s is disallowed by policy", what);
}

struct err *nw_gateway_set(struct call *c, struct router *r, const struct router *old)
{
    const json_t *info = r->external_gateway_info ? nw_json(c->cx, r->external_gateway_info) : NULL;
    const char *network_id = json_get_str(info, "network_id");
    const json_t *ips = json_get(info, "external_fixed_ips");
    struct network *n;
    r->external_gateway_info = NULL;
    if (!network_id)
        return leave_gateway(c, r, old);
    TRY(external_network(c, network_id, &n));
    if (!nw_owns(c, n->project_id))
        TRY(check_guest_of_external(c, info));
    r->enable_snat = json_get_bool(info, "enable_snat", true);
    if (old && str_eq(old->gateway_network_id, network_id))
        return change_gateway(c, r, ips);
    TRY(leave_gateway(c, r, old));
    return make_gateway(c, r, n, ips);
}

/* ---------------------------------------------------------------- routes */

static struct err *invalid_routes(struct call *c, const char *routes, const char *reason)
{
    return bad(c->cx, "InvalidRoutes", "Invalid format for routes: %s, %s",
               json_python(c->cx, nw_json(c->cx, routes)), reason);
}

/* Each next hop is a neighbour, and not the router itself. */
static struct err *check_hops(struct call *c, const struct router *r)
{
    const json_t *routes = nw_json(c->cx, r->routes);
    struct port **ports;
    size_t n, reached = 0;
    if (!json_array_size(routes))
        return NULL;
    if (json_array_size(routes) > ROUTES_MAX)
        return bad(
            c->cx, "RoutesExhausted",
            "Unable to complete operation for %s. The number of routes exceeds the maximum %d.",
            r->id, ROUTES_MAX);
    TRY(nw_router_ports(c->cx, c->tx, r->id, &ports, &n));
    for (size_t h = 0; h < json_array_size(routes); h++) {
        struct addr hop, own;
        must(addr_parse(json_get_str(json_array_get(routes, h), "nexthop"), &hop));
        bool near = false;
        for (size_t i = 0; i < n; i++) {
            struct fixed_ip *ips;
            size_t n_ips = nw_fixed_ips(c->cx, ports[i], &ips);
            for (size_t k = 0; k < n_ips; k++) {
                void *s = NULL;
                TRY(res_find(c->cx, c->tx, &subnet_resource, ips[k].subnet_id, &s));
                struct cidr cidr = nw_cidr_of(s);
                must(addr_parse(ips[k].ip, &own));
                if (own.version == hop.version && !addr_cmp(&own, &hop))
                    return invalid_routes(c, r->routes, "the nexthop is used by router");
                near |= cidr_has(&cidr, &hop);
            }
        }
        reached += near;
    }
    if (reached < json_array_size(routes))
        return invalid_routes(c, r->routes, "the nexthop is not connected with router");
    return NULL;
}

/* ---------------------------------------------------------------- handlers */

struct err *nw_router_make(struct call *c, void *row)
{
    struct router *r = row;
    TRY(quota_check(c->cx, c->tx, &network_service, "router", r->project_id, 1));
    r->status = "ACTIVE";
    r->enable_snat = true;
    if (!r->routes)
        r->routes = "[]";
    TRY(nw_gateway_set(c, r, NULL));
    TRY(check_hops(c, r));
    TRY(res_insert(c->cx, c->tx, &router_resource, r));
    return nw_touch_router(c->cx, c->tx, r->id);
}

struct err *nw_routers_create(struct call *c)
{
    return nw_create(c, &router_resource, nw_router_make);
}

struct err *nw_routers_list(struct call *c)
{
    return nw_list(c, NULL);
}

static struct err *save(struct call *c, struct router *r)
{
    TRY(res_update(c->cx, c->tx, &router_resource, r));
    TRY(nw_touch_router(c->cx, c->tx, r->id));
    return call_reply_row(c, 200, &router_resource, r);
}

struct err *nw_router_update(struct call *c)
{
    struct router *r = c->body;
    if (!r->routes)
        r->routes = "[]";
    if (row_given(&r->row, router_f_external_gateway_info))
        TRY(nw_gateway_set(c, r, c->target));
    if (row_given(&r->row, router_f_routes))
        TRY(check_hops(c, r));
    return save(c, r);
}

struct err *nw_router_remove(struct call *c, struct router *r)
{
    struct port **ports;
    size_t n, n_ids = 0;
    TRY(nw_router_ports(c->cx, c->tx, r->id, &ports, &n));
    const char **ids = arena_new_array(c->cx->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        if (!str_eq(ports[i]->device_owner, OWNER_GATEWAY))
            ids[n_ids++] = ports[i]->id;
    if (n_ids)
        return fail_type(c->cx, ERR_IN_USE, "RouterInUse", "Router %s has ports still attached: %s",
                         r->id, nw_words(c->cx, ids, n_ids, ", "));
    TRY(leave_gateway(c, r, r));
    TRY(nw_agents_forget(c->cx, c->tx, r->id));
    TRY(res_delete(c->cx, c->tx, &router_resource, r));
    return nw_touch_router(c->cx, c->tx, r->id);
}

struct err *nw_router_delete(struct call *c)
{
    TRY(nw_router_remove(c, c->target));
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- some routes more or less */

static struct err *routes_asked(struct call *c, json_t **ret)
{
    const json_t *routes = json_get(json_get(c->json, "router"), "routes");
    const char *reason = routes ? nw_check_routes(c->cx, routes, ret) : "routes are missing";
    return reason ? bad_input(c->cx, "%s", reason) : NULL;
}

static size_t index_of(const json_t *list, const json_t *item)
{
    size_t i = 0;
    while (i < json_array_size(list) && !json_equal(json_array_get(list, i), item))
        i++;
    return i;
}

static struct err *routes_change(struct call *c, bool add)
{
    struct router *r = c->target;
    json_t *asked, *all = json_own(c->cx, json_deep_copy(nw_json(c->cx, r->routes)));
    TRY(routes_asked(c, &asked));
    for (size_t i = 0; i < json_array_size(asked); i++) {
        size_t at = index_of(all, json_array_get(asked, i));
        if (!add)
            json_array_remove(all, at); /* one that isn't there: nothing */
        else if (at == json_array_size(all))
            json_array_append(all, json_array_get(asked, i));
    }
    r->routes = json_text(c->cx, all);
    TRY(check_hops(c, r));
    return save(c, r);
}

struct err *nw_router_routes_add(struct call *c)
{
    return routes_change(c, true);
}

struct err *nw_router_routes_remove(struct call *c)
{
    return routes_change(c, false);
}
