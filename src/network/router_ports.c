/* SPDX-License-Identifier: EUPL-1.2 */
/* A router's interfaces: add_router_interface and remove_router_interface, by subnet or by port. */
#include "network/nw.h"

const struct res_where nw_w_router_ports = {&port_resource, "router_id = $1", "created_at, id"};
/* The router whose interface stands in the subnet and whose gateway is in the external network. */
const struct stmt nw_st_router_for = {
    "router_for",
    "SELECT r.id FROM ip_allocations a JOIN ports p ON p.id = a.holder_id JOIN routers r ON r.id = "
    "p.router_id "
    "WHERE a.subnet_id = $1 AND p.network_id = $2 AND p.device_owner = 'network:router_interface' "
    "AND r.gateway_network_id = $3 ORDER BY r.id LIMIT 1"};
const struct stmt nw_st_subnet_floating = {
    "subnet_floating", "SELECT f.id FROM floatingips f JOIN ip_allocations a ON a.holder_id = "
                       "f.port_id AND a.ip = f.fixed_ip_address "
                       "WHERE f.router_id = $1 AND a.subnet_id = $2 UNION ALL SELECT f.id FROM "
                       "floatingips f JOIN port_forwardings w ON w.floatingip_id = f.id JOIN "
                       "ip_allocations a ON a.holder_id = w.internal_port_id AND a.ip = "
                       "w.internal_ip_address WHERE f.router_id = $1 AND a.subnet_id = $2 LIMIT "
                       "1"};

struct err *nw_router_ports(struct ctx *cx, struct tx *tx, const char *router_id,
                            struct port ***ret, size_t *ret_n)
{
    void **rows;
    TRY(res_select_by(cx, tx, &nw_w_router_ports, &rows, ret_n, V_TEXT(router_id)));
    *ret = (struct port **)rows;
    return NULL;
}

struct err *nw_router_for(struct ctx *cx, struct tx *tx, const char *network_id,
                          const char *subnet_id, const char *external_id,
                          const char **ret_router_id)
{
    struct db_value params[] = {V_TEXT(subnet_id), V_TEXT(network_id), V_TEXT(external_id)};
    struct db_rows rows;
    TRY(db_query(cx, tx, &nw_st_router_for, params, 3, &rows));
    *ret_router_id = rows.n_rows ? db_text(&rows, 0, 0) : NULL;
    return NULL;
}

/* ---------------------------------------------------------------- what may be joined */

struct side {
    const char *subnet_id;
    struct cidr cidr;
};

static struct err *sides_of(struct call *c, const struct router *r, struct side **ret,
                            size_t *ret_n)
{
    struct port **ports;
    size_t n;
    TRY(nw_router_ports(c->cx, c->tx, r->id, &ports, &n));
    *ret = arena_new_array(c->cx->arena, struct side, n * 32 + 1);
    *ret_n = 0;
    for (size_t i = 0; i < n; i++) {
        struct fixed_ip *ips;
        size_t n_ips = nw_fixed_ips(c->cx, ports[i], &ips);
        for (size_t k = 0; k < n_ips && k < 32; k++) {
            void *s = NULL;
            TRY(res_find(c->cx, c->tx, &subnet_resource, ips[k].subnet_id, &s));
            (*ret)[(*ret_n)++] = (struct side){ips[k].subnet_id, nw_cidr_of(s)};
        }
    }
    return NULL;
}

static struct err *check_apart(struct call *c, const struct router *r, const struct subnet *s)
{
    struct side *sides;
    size_t n;
    struct cidr mine = nw_cidr_of(s);
    TRY(sides_of(c, r, &sides, &n));
    for (size_t i = 0; i < n; i++) {
        if (str_eq(sides[i].subnet_id, s->id))
            return bad(c->cx, "BadRequest",
                       "Bad router request: Router already has a port on subnet %s.", s->id);
        if (cidr_overlap(&mine, &sides[i].cidr))
            return bad(
                c->cx, "BadRequest",
                "Bad router request: Cidr %s of subnet %s overlaps with cidr %s of subnet %s.",
                s->cidr, s->id, cidr_text(c->cx, &sides[i].cidr), sides[i].subnet_id);
    }
    return NULL;
}

static struct err *reply(struct call *c, const struct router *r, const struct port *p,
                         const char *first_subnet)
{
    struct fixed_ip *ips;
    size_t n = nw_fixed_ips(c->cx, p, &ips);
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kstr(&w, "id", r->id);
    jw_kstr(&w, "tenant_id", r->project_id);
    jw_kstr(&w, "project_id", r->project_id);
    jw_kstr(&w, "port_id", p->id);
    jw_kstr(&w, "network_id", p->network_id);
    jw_kstr(&w, "subnet_id", first_subnet ? first_subnet : n ? ips[0].subnet_id : NULL);
    jw_karr(&w, "subnet_ids");
    for (size_t i = 0; i < n; i++)
        jw_str(&w, ips[i].subnet_id);
    jw_arr_end(&w);
    jw_kraw(&w, "tags", r->tags);
    jw_obj_end(&w);
    c->audit_target = r->id;
    return NULL;
}

static struct err *body_of(struct call *c, const char **ret_subnet, const char **ret_port)
{
    const json_t *subnet = json_get(c->json, "subnet_id"), *port = json_get(c->json, "port_id");
    *ret_subnet = json_string_value(subnet);
    *ret_port = json_string_value(port);
    if ((subnet && !*ret_subnet) || (port && !*ret_port))
        return bad_input(c->cx, "subnet_id and port_id are texts");
    if (!*ret_subnet && !*ret_port)
        return bad(c->cx, "BadRequest",
                   "Bad router request: Either subnet_id or port_id must be specified.");
    return NULL;
}

/* ---------------------------------------------------------------- add */

static struct err *add_by_port(struct call *c, struct router *r, const char *port_id,
                               struct port **ret)
{
    void *row = NULL;
    TRY(res_find_visible(c->cx, c->tx, &port_resource, port_id, c->actor, &row));
    struct port *p = row;
    struct fixed_ip *ips;
    size_t n = nw_fixed_ips(c->cx, p, &ips);
    if (!nw_owns(c, p->project_id))
        return res_not_found(c->cx, &port_resource, port_id);
    if (p->router_id || p->server_id || *p->device_id)
        return fail_type(c->cx, ERR_CONFLICT, "PortInUse",
                         "Unable to complete operation on port %s for network %s. Port already has "
                         "an attached device "
                         "%s.",
                         p->id, p->network_id, p->device_id);
    if (!n)
        return bad(c->cx, "BadRequest",
                   "Bad router request: Router port must have at least one fixed IP.");
    for (size_t i = 0; i < n; i++) {
        void *s = NULL;
        TRY(res_find(c->cx, c->tx, &subnet_resource, ips[i].subnet_id, &s));
        TRY(check_apart(c, r, s));
    }
    p->device_owner = OWNER_INTERFACE;
    p->device_id = p->router_id = r->id;
    p->security_groups = "[]";
    p->port_security_enabled = false;
    p->allowed_address_pairs = "[]";
    TRY(nw_port_groups_set(c->cx, c->tx, p));
    TRY(nw_port_changed(c->cx, c->tx, p));
    *ret = p;
    return NULL;
}

static struct err *add_by_subnet(struct call *c, struct router *r, const char *subnet_id,
                                 struct port **ret)
{
    void *row = NULL, *n = NULL;
    struct subnets subnets;
    TRY(res_find_visible(c->cx, c->tx, &subnet_resource, subnet_id, c->actor, &row));
    struct subnet *s = row;
    TRY(res_find(c->cx, c->tx, &network_resource, s->network_id, &n));
    if (!nw_owns(c, ((struct network *)n)->project_id))
        return fail_type(c->cx, ERR_FORBIDDEN, "PolicyNotAuthorized",
                         "Subnet %s belongs to another project: make a port in it, and add that",
                         s->id);
    if (!s->gateway_ip)
        return bad(c->cx, "BadRequest",
                   "Bad router request: Subnet for router interface must have a gateway IP.");
    TRY(check_apart(c, r, s));
    TRY(quota_check(c->cx, c->tx, &network_service, "port", r->project_id, 1));
    TRY(nw_subnets_of(c->cx, c->tx, s->network_id, &subnets));
    struct port *p = nw_port_row(c->cx, n, r->project_id);
    p->device_owner = OWNER_INTERFACE;
    p->device_id = p->router_id = r->id;
    json_t *ips =
        json_own(c->cx, json_pack("[{s:s, s:s}]", "subnet_id", s->id, "ip_address", s->gateway_ip));
    *ret = p;
    return nw_port_new(c->cx, c->tx, p, ips, &subnets);
}

static struct err *changed(struct call *c, struct router *r)
{
    TRY(res_update(c->cx, c->tx, &router_resource, r));
    return nw_touch_router(c->cx, c->tx, r->id);
}

struct err *nw_interface_add(struct call *c, struct router *r, const char *subnet_id)
{
    struct port *p = NULL;
    TRY(add_by_subnet(c, r, subnet_id, &p));
    return changed(c, r);
}

struct err *nw_router_interface_add(struct call *c)
{
    struct router *r = c->target;
    struct port *p = NULL;
    const char *subnet_id, *port_id;
    TRY(body_of(c, &subnet_id, &port_id));
    if (subnet_id && port_id)
        return bad(c->cx, "BadRequest",
                   "Bad router request: Cannot specify both subnet-id and port-id.");
    TRY(port_id ? add_by_port(c, r, port_id, &p) : add_by_subnet(c, r, subnet_id, &p));
    TRY(changed(c, r));
    return reply(c, r, p, subnet_id);
}

/* ---------------------------------------------------------------- remove */

static struct err *not_interface(struct call *c, const struct router *r, const char *subnet_id,
                                 const char *port_id)
{
    if (port_id)
        return fail_type(c->cx, ERR_NOT_FOUND, "RouterInterfaceNotFound",
                         "Router %s does not have an interface with id %s", r->id, port_id);
    return fail_type(c->cx, ERR_NOT_FOUND, "RouterInterfaceNotFoundForSubnet",
                     "Router %s has no interface on subnet %s", r->id, subnet_id);
}

static bool has_subnet(struct ctx *cx, const struct port *p, const char *subnet_id)
{
    struct fixed_ip *ips;
    size_t n = nw_fixed_ips(cx, p, &ips);
    for (size_t i = 0; i < n; i++)
        if (str_eq(ips[i].subnet_id, subnet_id))
            return true;
    return false;
}

static struct err *find_interface(struct call *c, const struct router *r, const char *subnet_id,
                                  const char *port_id, struct port **ret)
{
    struct port **ports;
    size_t n;
    TRY(nw_router_ports(c->cx, c->tx, r->id, &ports, &n));
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(ports[i]->device_owner, OWNER_INTERFACE) ||
            (port_id && !str_eq(ports[i]->id, port_id)) ||
            (subnet_id && !has_subnet(c->cx, ports[i], subnet_id)))
            continue;
        *ret = ports[i];
        return NULL;
    }
    return not_interface(c, r, subnet_id, port_id);
}

/* Floating IPs and routes need the interface. */
static struct err *check_unneeded(struct call *c, const struct router *r, const struct port *p)
{
    struct fixed_ip *ips;
    size_t n = nw_fixed_ips(c->cx, p, &ips);
    const json_t *routes = nw_json(c->cx, r->routes);
    for (size_t i = 0; i < n; i++) {
        struct db_value params[] = {V_TEXT(r->id), V_TEXT(ips[i].subnet_id)};
        struct db_rows rows;
        void *s = NULL;
        TRY(db_query(c->cx, c->tx, &nw_st_subnet_floating, params, 2, &rows));
        if (rows.n_rows)
            return fail_type(c->cx, ERR_CONFLICT, "RouterInterfaceInUseByFloatingIP",
                             "Router interface for subnet %s on router %s cannot be deleted, as it "
                             "is required by one "
                             "or more floating IPs.",
                             ips[i].subnet_id, r->id);
        TRY(res_find(c->cx, c->tx, &subnet_resource, ips[i].subnet_id, &s));
        struct cidr cidr = nw_cidr_of(s);
        for (size_t k = 0; k < json_array_size(routes); k++) {
            struct addr hop;
            if (addr_parse(json_get_str(json_array_get(routes, k), "nexthop"), &hop) &&
                cidr_has(&cidr, &hop))
                return fail_type(c->cx, ERR_CONFLICT, "RouterInterfaceInUseByRoute",
                                 "Router interface for subnet %s on router %s cannot be deleted, "
                                 "as it is required by "
                                 "one or more routes.",
                                 ips[i].subnet_id, r->id);
        }
    }
    return NULL;
}

struct err *nw_interface_remove(struct call *c, struct router *r, struct port *p)
{
    TRY(check_unneeded(c, r, p));
    TRY(nw_port_remove(c->cx, c->tx, p));
    return changed(c, r);
}

struct err *nw_router_interface_remove(struct call *c)
{
    struct router *r = c->target;
    struct port *p = NULL;
    const char *subnet_id, *port_id;
    TRY(body_of(c, &subnet_id, &port_id));
    TRY(find_interface(c, r, subnet_id, port_id, &p));
    TRY(reply(c, r, p, subnet_id)); /* before its addresses are gone */
    return nw_interface_remove(c, r, p);
}
