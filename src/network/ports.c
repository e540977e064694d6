/* SPDX-License-Identifier: EUPL-1.2 */
/* Ports: /v2.0/ports, and making and removing them for the rest of the service. */
#include "network/nw.h"

#define GROUPS_MAX 100

const struct stmt nw_st_port_group_add = {
    "port_group_add",
    "INSERT INTO port_groups (port_id, group_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"};
const struct stmt nw_st_port_groups_clear = {"port_groups_clear",
                                             "DELETE FROM port_groups WHERE port_id = $1"};

/* ---------------------------------------------------------------- for all of the service */

struct port *nw_port_row(struct ctx *cx, const struct network *n, const char *project_id)
{
    struct port *p = res_new(cx, &port_resource);
    p->id = uuid_new(cx);
    p->project_id = project_id;
    p->network_id = n->id;
    p->name = p->description = p->device_id = p->device_owner = p->dns_name = p->dns_domain = "";
    p->admin_state_up = true;
    p->security_groups = p->allowed_address_pairs = p->extra_dhcp_opts = p->tags = "[]";
    p->vnic_type = "normal";
    p->binding_host = "";
    p->binding_profile = "{}";
    return p;
}

struct err *nw_port_groups_set(struct ctx *cx, struct tx *tx, const struct port *p)
{
    const json_t *ids = nw_json(cx, p->security_groups);
    TRY(db_run(cx, tx, &nw_st_port_groups_clear, V_TEXT(p->id)));
    for (size_t i = 0; i < json_array_size(ids); i++)
        TRY(db_run(cx, tx, &nw_st_port_group_add, V_TEXT(p->id),
                   V_TEXT(json_string_value(json_array_get(ids, i)))));
    return NULL;
}

struct err *nw_port_new(struct ctx *cx, struct tx *tx, struct port *p, const json_t *requested,
                        const struct subnets *subnets)
{
    p->status = "DOWN";
    if (p->mac_address)
        TRY(nw_mac_check(cx, tx, p->network_id, p->mac_address));
    else
        TRY(nw_mac_new(cx, tx, p->network_id, &p->mac_address));
    TRY(nw_port_ips_set(cx, tx, p, NULL, requested, subnets));
    TRY(res_insert(cx, tx, &port_resource, p));
    if (!str_eq(p->security_groups, "[]"))
        TRY(nw_port_groups_set(cx, tx, p));
    return nw_touch_port(cx, tx, p);
}

struct err *nw_port_changed(struct ctx *cx, struct tx *tx, struct port *p)
{
    TRY(res_update(cx, tx, &port_resource, p));
    TRY(nw_floatingips_leave(cx, tx, p));
    return nw_touch_port(cx, tx, p);
}

struct err *nw_port_remove(struct ctx *cx, struct tx *tx, struct port *p)
{
    TRY(nw_touch_port(cx, tx, p)); /* while its groups still tell who must hear */
    p->fixed_ips = "[]";
    TRY(nw_floatingips_leave(cx, tx, p));
    TRY(nw_ip_release_all(cx, tx, p->id));
    TRY(db_run(cx, tx, &nw_st_port_groups_clear, V_TEXT(p->id)));
    return res_delete(cx, tx, &port_resource, p);
}

/* ---------------------------------------------------------------- what a tenant may ask */

/* In a network of somebody else's, what could harm its owner is not for guests. */
static struct err *check_guest_of_network(struct call *c, const struct network *n,
                                          const struct port *p)
{
    static const struct {
        int field;
        const char *name;
    } owners_only[] = {{port_f_mac_address, "mac_address"},
                       {port_f_allowed_address_pairs, "allowed_address_pairs"},
                       {port_f_port_security_enabled, "port_security_enabled"}};
    bool shared = false;
    if (nw_owns(c, n->project_id))
        return NULL;
    TRY(nw_rbac_has(c->cx, c->tx, n->id, RBAC_SHARED, c->actor->project_id, &shared));
    if (!shared)
        return fail_type(
            c->cx, ERR_FORBIDDEN, "PolicyNotAuthorized",
            "Ports in the external network %s are made by routers and floating IPs only", n->id);
    const char *what = NULL;
    for (size_t i = 0; i < ARRAY_LEN(owners_only); i++)
        if (row_given(&p->row, owners_only[i].field))
            what = owners_only[i].name;
    if (str_starts(p->device_owner, "network:"))
        what = "device_owner";
    const json_t *ips = row_given(&p->row, port_f_fixed_ips) ? nw_json(c->cx, p->fixed_ips) : NULL;
    for (size_t i = 0; i < json_array_size(ips); i++)
        if (json_get(json_array_get(ips, i), "ip_address"))
            what = "fixed_ips:ip_address";
    if (!what)
        return NULL;
    return fail_type(c->cx, ERR_FORBIDDEN, "PolicyNotAuthorized",
                     "((rule:create_port and rule:create_port:%s)) is disallowed by policy: "
                     "network %s belongs to "
                     "another project",
                     what, n->id);
}

static struct err *check_groups(struct call *c, struct port *p)
{
    const json_t *ids = nw_json(c->cx, p->security_groups);
    json_t *unique = json_own(c->cx, json_array());
    if (json_array_size(ids) > GROUPS_MAX)
        return bad_input(c->cx, "A port has at most %d security groups", GROUPS_MAX);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        void *g = NULL;
        bool shared = false;
        const char *id = json_string_value(json_array_get(ids, i));
        TRY(res_find_visible(c->cx, c->tx, &security_group_resource, id, c->actor, &g));
        TRY(nw_rbac_has(c->cx, c->tx, id, RBAC_SHARED, p->project_id, &shared));
        if (!str_eq(((struct security_group *)g)->project_id, p->project_id) && !shared &&
            !c->actor->admin)
            return res_not_found(c->cx, &security_group_resource, id);
        bool there = false;
        for (size_t k = 0; k < json_array_size(unique); k++)
            there |= str_eq(json_string_value(json_array_get(unique, k)), id);
        if (!there)
            json_array_append(unique, json_array_get(ids, i));
    }
    p->security_groups = json_text(c->cx, unique);
    return NULL;
}

static struct err *check_security(struct call *c, const struct port *p)
{
    if (p->port_security_enabled)
        return NULL;
    if (!str_eq(p->security_groups, "[]"))
        return bad(c->cx, "PortSecurityAndIPRequiredForSecurityGroups",
                   "Port security must be enabled and port must have an IP address in order to use "
                   "security groups.");
    if (!str_eq(p->allowed_address_pairs, "[]"))
        return fail_type(
            c->cx, ERR_CONFLICT, "AddressPairAndPortSecurityRequired",
            "Port Security must be enabled in order to have allowed address pairs on a port.");
    return NULL;
}

/* Pairs without a MAC are for the port's own. */
static void fill_pairs(struct ctx *cx, struct port *p)
{
    const json_t *pairs = nw_json(cx, p->allowed_address_pairs);
    json_t *out = json_own(cx, json_array());
    for (size_t i = 0; i < json_array_size(pairs); i++) {
        json_t *pair = json_copy(json_array_get(pairs, i));
        if (!json_get(pair, "mac_address"))
            json_object_set_new(pair, "mac_address", json_string(p->mac_address));
        json_array_append_new(out, pair);
    }
    p->allowed_address_pairs = json_text(cx, out);
}

/* Routers and DHCP have no security groups; so have ports that asked for none. */
static struct err *default_groups(struct call *c, struct port *p)
{
    struct security_group *g;
    if (row_given(&p->row, port_f_security_groups))
        return check_groups(c, p);
    p->security_groups = "[]";
    if (!p->port_security_enabled || str_starts(p->device_owner, "network:"))
        return NULL;
    TRY(nw_default_group(c->cx, c->tx, p->project_id, &g));
    p->security_groups = arena_printf(c->cx->arena, "[\"%s\"]", g->id);
    return NULL;
}

static struct err *make(struct call *c, void *row)
{
    struct port *p = row;
    struct network *n;
    struct subnets subnets;
    TRY(nw_network_visible(c, p->network_id, &n));
    TRY(check_guest_of_network(c, n, p));
    TRY(quota_check(c->cx, c->tx, &network_service, "port", p->project_id, 1));
    if (!row_given(&p->row, port_f_port_security_enabled))
        p->port_security_enabled =
            n->port_security_enabled && !str_starts(p->device_owner, "network:");
    TRY(nw_dhcp_options_merge(c->cx, p, NULL));
    TRY(default_groups(c, p));
    TRY(check_security(c, p));
    if (p->mac_address)
        fill_pairs(c->cx, p);
    TRY(nw_subnets_of(c->cx, c->tx, n->id, &subnets));
    p->preserve = true;
    const json_t *requested =
        row_given(&p->row, port_f_fixed_ips) ? nw_json(c->cx, p->fixed_ips) : NULL;
    bool fill_later = !p->mac_address && !str_eq(p->allowed_address_pairs, "[]");
    TRY(nw_port_new(c->cx, c->tx, p, requested, &subnets));
    TRY(nw_dhcp_schedule(c->cx, c->tx, n));
    if (!fill_later)
        return NULL;
    fill_pairs(c->cx, p);
    return res_update(c->cx, c->tx, &port_resource, p);
}

struct err *nw_ports_create(struct call *c)
{
    return nw_create(c, &port_resource, make);
}

/* ---------------------------------------------------------------- list */

/* fixed_ips=ip_address=10.0.0.3&fixed_ips=subnet_id=…: each narrows the list. */
static struct err *fixed_ips_filter(struct call *c, struct list_more *more)
{
    static const struct {
        const char *key, *sql;
    } kinds[] = {{"ip_address=", "ip = $"},
                 {"subnet_id=", "subnet_id = $"},
                 {"ip_address_substr=", "ip LIKE $"}};
    struct db_value *params = arena_new_array(c->cx->arena, struct db_value, 8);
    struct buf b;
    buf_init(&b, c->cx->arena);
    for (size_t i = 0; i < c->rq->n_args; i++) {
        if (!str_eq(c->rq->args[i].name, "fixed_ips"))
            continue;
        const char *value = c->rq->args[i].value;
        size_t k = 0;
        while (k < ARRAY_LEN(kinds) && !str_starts(value, kinds[k].key))
            k++;
        if (k == ARRAY_LEN(kinds) || more->n_params == 8)
            return bad(c->cx, "HTTPBadRequest", "Invalid value for the filter fixed_ips: '%s'",
                       value);
        value += strlen(kinds[k].key);
        params[more->n_params++] =
            V_TEXT(k == 2 ? arena_printf(c->cx->arena, "%%%s%%", value) : value);
        buf_printf(&b, "%s id IN (SELECT holder_id FROM ip_allocations WHERE %s%zu)",
                   b.len ? " AND" : "", kinds[k].sql, more->n_params);
    }
    more->where = b.len ? buf_cstr(&b) : NULL;
    more->params = params;
    return NULL;
}

static struct err *groups_filter(struct call *c, struct list_more *more)
{
    const char *group = http_arg(c->rq, "security_groups");
    if (!group || more->where)
        return NULL;
    struct db_value *param = arena_new_of(c->cx->arena, struct db_value);
    *param = V_TEXT(group);
    more->where = "id IN (SELECT port_id FROM port_groups WHERE group_id = $1)";
    more->params = param;
    more->n_params = 1;
    return NULL;
}

struct err *nw_ports_list(struct call *c)
{
    struct list_more more = {
        .shared_where = "network_id IN (SELECT id FROM networks WHERE project_id = {project})"};
    TRY(fixed_ips_filter(c, &more));
    TRY(groups_filter(c, &more));
    return nw_list(c, &more);
}

/* ---------------------------------------------------------------- update and delete */

static struct err *check_device_change(struct call *c, const struct port *old, const struct port *p)
{
    if ((old->router_id || old->server_id) &&
        (!str_eq(old->device_id, p->device_id) || !str_eq(old->device_owner, p->device_owner)))
        return fail_type(c->cx, ERR_CONFLICT, "PortInUse",
                         "Unable to complete operation on port %s for network %s. Port already has "
                         "an attached device "
                         "%s.",
                         p->id, p->network_id, old->device_id);
    return NULL;
}

struct err *nw_port_update(struct call *c)
{
    const struct port *old = c->target;
    struct port *p = c->body;
    struct network *n;
    struct subnets subnets;
    void *row = NULL;
    TRY(res_find(c->cx, c->tx, &network_resource, p->network_id, &row));
    n = row;
    TRY(check_guest_of_network(c, n, p));
    TRY(check_device_change(c, old, p));
    if (row_given(&p->row, port_f_extra_dhcp_opts))
        TRY(nw_dhcp_options_merge(c->cx, p, old->extra_dhcp_opts));
    if (!str_eq(old->mac_address, p->mac_address)) {
        if (old->host_id)
            return fail_type(c->cx, ERR_CONFLICT, "PortBound",
                             "Unable to complete operation on port %s, port is already bound, port "
                             "type: tap, old_mac "
                             "%s, new_mac %s.",
                             p->id, old->mac_address, p->mac_address);
        TRY(nw_mac_check(c->cx, c->tx, p->network_id, p->mac_address));
    }
    if (row_given(&p->row, port_f_security_groups))
        TRY(check_groups(c, p));
    TRY(check_security(c, p));
    fill_pairs(c->cx, p);
    if (row_given(&p->row, port_f_fixed_ips) || !str_eq(old->mac_address, p->mac_address)) {
        TRY(nw_subnets_of(c->cx, c->tx, p->network_id, &subnets));
        TRY(nw_port_ips_set(c->cx, c->tx, p, old->fixed_ips, nw_json(c->cx, p->fixed_ips),
                            &subnets));
    }
    if (!str_eq(old->security_groups, p->security_groups)) {
        TRY(nw_touch_port(c->cx, c->tx, old)); /* who named the old groups */
        TRY(nw_port_groups_set(c->cx, c->tx, p));
    }
    TRY(nw_port_changed(c->cx, c->tx, p));
    return call_reply_row(c, 200, &port_resource, p);
}

/* Its subnets are served on, from a new port. */
static struct err *serve_again(struct call *c, const struct port *p)
{
    void *network = NULL;
    TRY(res_find(c->cx, c->tx, &network_resource, p->network_id, &network));
    return nw_dhcp_sync(c->cx, c->tx, network);
}

struct err *nw_port_delete(struct call *c)
{
    struct port *p = c->target;
    if (p->router_id)
        return fail_type(
            c->cx, ERR_CONFLICT, "ServicePortInUse",
            "Port %s cannot be deleted directly via the port API: has device owner %s.", p->id,
            p->device_owner);
    TRY(nw_port_remove(c->cx, c->tx, p));
    if (str_eq(p->device_owner, OWNER_DHCP))
        TRY(serve_again(c, p));
    if (p->server_id && p->host_id) /* its guest loses the NIC */
        TRY(fleet_touch(c->cx, c->tx, p->host_id, "server", p->server_id));
    call_reply_empty(c, 204);
    return NULL;
}
