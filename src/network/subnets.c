/* SPDX-License-Identifier: EUPL-1.2 */
/* Subnets: /v2.0/subnets. What a subnet may look like stands in subnet_rules.c. */
#include "network/nw.h"

static const char *const ipv6_modes[] = {"slaac", "dhcpv6-stateful", "dhcpv6-stateless", NULL};

#define NAMESERVERS_MAX 20
#define POOLS_MAX 100

static const char *check_ip_list(struct ctx *cx, const json_t *v, json_t **ret)
{
    if (!json_is_array(v))
        return arena_printf(cx->arena, "%s is not a list of addresses", json_python(cx, v));
    if (json_array_size(v) > NAMESERVERS_MAX)
        return arena_printf(cx->arena, "there are more than %d nameservers", NAMESERVERS_MAX);
    json_t *out = json_own(cx, json_array());
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *item = json_array_get(v, i);
        json_t *ip = NULL;
        const char *reason = check_ip(cx, item, &ip);
        if (reason)
            return reason;
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_array_get(out, k), ip))
                return arena_printf(cx->arena, "Duplicate nameserver %s", json_python(cx, item));
        json_array_append(out, ip);
    }
    *ret = out;
    return NULL;
}

static const char *check_pools(struct ctx *cx, const json_t *v, json_t **ret)
{
    if (!json_is_array(v))
        return arena_printf(cx->arena, "Invalid data format for IP pool: '%s'", json_python(cx, v));
    if (json_array_size(v) > POOLS_MAX)
        return arena_printf(cx->arena, "there are more than %d allocation pools", POOLS_MAX);
    json_t *out = json_own(cx, json_array());
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *pool = json_array_get(v, i);
        struct addr start, end;
        if (json_object_size(pool) != 2 || !addr_parse(json_get_str(pool, "start"), &start) ||
            !addr_parse(json_get_str(pool, "end"), &end))
            return arena_printf(cx->arena, "Invalid data format for IP pool: '%s'",
                                json_python(cx, pool));
        json_array_append_new(out, json_pack("{s:s, s:s}", "start", addr_text(cx, &start), "end",
                                             addr_text(cx, &end)));
    }
    *ret = out;
    return NULL;
}

#define RESOURCE subnet
#define RESOURCE_DEF "network/subnet.def"
#include "resource/declare_fields.h"

static bool visible(struct ctx *cx, struct tx *tx, const void *row, const struct actor *actor)
{
    bool shared = false;
    struct err *e = nw_rbac_has(cx, tx, ((const struct subnet *)row)->network_id, RBAC_SHARED,
                                actor->project_id, &shared);
    return !e && shared;
}

static const struct res_index subnet_indexes[] = {
    {"subnets_network", "network_id", false, NULL},
    {"subnets_project", "project_id, created_at, id", false, NULL},
    {"subnets_pool", "subnetpool_id", false, "subnetpool_id IS NOT NULL"},
};

const struct resource subnet_resource = {.name = "subnet",
                                         .plural = "subnets",
                                         .table = "subnets",
                                         RESOURCE_FIELDS(subnet),
                                         .owner = subnet_f_project_id,
                                         .not_found = "Subnet %s could not be found.",
                                         .not_found_type = "SubnetNotFound",
                                         .indexes = subnet_indexes,
                                         .n_indexes = ARRAY_LEN(subnet_indexes),
                                         .visible = visible,
                                         .dflt_sort = "created_at:asc,id:asc",
                                         .doc = "Addresses of a network."};

const struct stmt nw_st_ip_of_subnet = {
    "ip_of_subnet", "SELECT holder_id FROM ip_allocations a LEFT JOIN ports p ON p.id = "
                    "a.holder_id WHERE a.subnet_id = $1 "
                    "AND (p.id IS NULL OR p.device_owner <> 'network:dhcp') LIMIT 1"};
/* A SLAAC subnet's addresses are made by the guests: they go with it, except a router's. */
const struct stmt nw_st_fixed_in_subnet = {
    "fixed_in_subnet",
    "SELECT p.id FROM ip_allocations a JOIN ports p ON p.id = a.holder_id WHERE a.subnet_id = $1 "
    "AND p.router_id IS NOT NULL LIMIT 1"};
const struct res_where nw_w_auto_ports = {
    &port_resource, "id IN (SELECT holder_id FROM ip_allocations WHERE subnet_id = $1)", "id"};
const struct res_where nw_w_slaac_takers = {
    &port_resource, "network_id = $1 AND router_id IS NULL AND device_owner NOT LIKE 'network:%'",
    "id"};
const struct stmt nw_st_ip_used = {
    "ip_used", "SELECT holder_id FROM ip_allocations WHERE subnet_id = $1 AND address = $2"};

struct err *nw_subnets_of(struct ctx *cx, struct tx *tx, const char *network_id,
                          struct subnets *ret)
{
    void **rows;
    TRY(res_select_by(cx, tx, &nw_w_subnets_by_network, &rows, &ret->n, V_TEXT(network_id)));
    ret->v = (struct subnet **)rows;
    return NULL;
}

struct subnet *nw_subnet_by_id(const struct subnets *s, const char *id)
{
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->v[i]->id, id))
            return s->v[i];
    return NULL;
}

/* ---------------------------------------------------------------- creation */

/* Ports that are there already get the address that their guests will make. */
static struct err *give_automatic(struct ctx *cx, struct tx *tx, struct subnet *s)
{
    void **rows;
    size_t n;
    if (!nw_is_auto(s))
        return NULL;
    TRY(res_select_by(cx, tx, &nw_w_slaac_takers, &rows, &n, V_TEXT(s->network_id)));
    for (size_t i = 0; i < n; i++) {
        TRY(nw_port_ips_add_auto(cx, tx, rows[i], s));
        TRY(nw_port_changed(cx, tx, rows[i]));
    }
    return NULL;
}

struct err *nw_subnet_new(struct ctx *cx, struct tx *tx, const struct network *n, struct subnet *s)
{
    struct subnets others;
    TRY(nw_subnets_of(cx, tx, n->id, &others));
    TRY(nw_subnet_check_new(cx, s, &others));
    TRY(res_insert(cx, tx, &subnet_resource, s));
    TRY(give_automatic(cx, tx, s));
    TRY(nw_dhcp_sync(cx, tx, n));
    return nw_touch_network(cx, tx, n->id);
}

struct err *nw_subnet_make(struct call *c, void *row)
{
    struct subnet *s = row;
    struct network *n;
    TRY(nw_network_visible(c, s->network_id, &n));
    TRY(call_require_owner(c, n->project_id, &network_resource, n->id));
    TRY(quota_check(c->cx, c->tx, &network_service, "subnet", s->project_id, 1));
    if (s->subnetpool_id || s->use_default_subnetpool)
        TRY(nw_pool_take(c, s));
    return nw_subnet_new(c->cx, c->tx, n, s);
}

struct err *nw_subnets_create(struct call *c)
{
    return nw_create(c, &subnet_resource, nw_subnet_make);
}

struct err *nw_subnets_list(struct call *c)
{
    return nw_list(c, &(struct list_more){
                          .shared_where =
                              "network_id IN (SELECT object_id FROM rbac_policies WHERE action = "
                              "'access_as_shared' AND target_project IN ('*', {project}))"});
}

/* ---------------------------------------------------------------- change and deletion */

static struct err *gateway_unused(struct call *c, const struct subnet *old)
{
    struct addr gw;
    if (!addr_parse(old->gateway_ip, &gw))
        return NULL;
    struct db_value params[] = {V_TEXT(old->id), V_TEXT(addr_hex(c->cx, &gw))};
    struct db_rows rows;
    TRY(db_query(c->cx, c->tx, &nw_st_ip_used, params, 2, &rows));
    if (rows.n_rows)
        return fail_type(c->cx, ERR_CONFLICT, "GatewayIpInUse",
                         "Current gateway ip %s already in use by port %s. Unable to update.",
                         old->gateway_ip, db_text(&rows, 0, 0));
    return NULL;
}

struct err *nw_subnet_update(struct call *c)
{
    const struct subnet *old = c->target;
    struct subnet *s = c->body;
    void *n = NULL;
    if (!str_eq(old->gateway_ip, s->gateway_ip))
        TRY(gateway_unused(c, old));
    TRY(nw_subnet_check_update(c->cx, s, old));
    TRY(res_update(c->cx, c->tx, &subnet_resource, s));
    TRY(res_find(c->cx, c->tx, &network_resource, s->network_id, &n));
    if (old->enable_dhcp != s->enable_dhcp)
        TRY(nw_dhcp_sync(c->cx, c->tx, n));
    TRY(nw_touch_network(c->cx, c->tx, s->network_id));
    TRY(nw_touch_routers_of_network(c->cx, c->tx, s->network_id));
    return call_reply_row(c, 200, &subnet_resource, s);
}

static struct err *drop_automatic(struct call *c, const struct subnet *s)
{
    void **rows;
    size_t n;
    TRY(res_select_by(c->cx, c->tx, &nw_w_auto_ports, &rows, &n, V_TEXT(s->id)));
    for (size_t i = 0; i < n; i++) {
        TRY(nw_port_ips_drop(c->cx, c->tx, rows[i], s->id));
        TRY(nw_port_changed(c->cx, c->tx, rows[i]));
    }
    return NULL;
}

struct err *nw_subnet_delete(struct call *c)
{
    struct subnet *s = c->target;
    struct db_value param = V_TEXT(s->id);
    struct db_rows used;
    void *n = NULL;
    TRY(db_query(c->cx, c->tx, nw_is_auto(s) ? &nw_st_fixed_in_subnet : &nw_st_ip_of_subnet, &param,
                 1, &used));
    if (used.n_rows)
        return fail_type(c->cx, ERR_IN_USE, "SubnetInUse",
                         "Unable to complete operation on subnet %s: One or more ports have an IP "
                         "allocation from this "
                         "subnet.",
                         s->id);
    if (nw_is_auto(s))
        TRY(drop_automatic(c, s));
    TRY(res_find(c->cx, c->tx, &network_resource, s->network_id, &n));
    TRY(res_delete(c->cx, c->tx, &subnet_resource, s));
    TRY(nw_dhcp_sync(c->cx, c->tx, n));
    TRY(nw_touch_network(c->cx, c->tx, s->network_id));
    call_reply_empty(c, 204);
    return NULL;
}
