/* SPDX-License-Identifier: EUPL-1.2 */
/* ports.h: what compute asks of the network for its servers. Errors are in nova's words: they reach
 * its users. */
#include "network/nw.h"

static const char *const described_columns[] = {
    "id",       "server_id", "network_id", "mac_address",     "status", "nic_tag",
    "preserve", "leaving",   "fixed_ips",  "security_groups", NULL};
const struct res_where nw_w_ports_of_servers = {&port_resource, "server_id IN " IN_BATCH,
                                                "server_id, nic_order, id",
                                                .only = described_columns};
static const char *const shown_columns[] = {
    "id", "server_id", "network_id", "mac_address", "fixed_ips", "security_groups", NULL};
const struct res_where nw_w_ports_shown = {&port_resource, "server_id IN " IN_BATCH,
                                           "server_id, nic_order, id", .only = shown_columns};
const struct res_where nw_w_ports_of_server = {&port_resource, "server_id = $1", "nic_order, id"};
const struct res_where nw_w_own_networks = {
    &network_resource,
    "(project_id = $1 OR id IN (SELECT object_id FROM rbac_policies WHERE action = "
    "'access_as_shared' AND target_project IN ('*', $1))) AND external = 0",
    "created_at, id"};
const struct res_where nw_w_networks_by_ids = {&network_resource, "id IN " IN_BATCH, NULL};
const struct res_where nw_w_groups_by_ids = {&security_group_resource, "id IN " IN_BATCH, NULL};
const struct res_where nw_w_groups_named = {&security_group_resource,
                                            "(project_id = $1 AND name = $2) OR (id = $2 AND "
                                            "(project_id = $1 OR id IN (SELECT object_id FROM "
                                            "rbac_policies WHERE target_project IN ('*', $1))))",
                                            "id"};
static const char *const floating_columns[] = {"port_id", "fixed_ip_address", "floating_ip_address",
                                               NULL};
const struct res_where nw_w_floating_in_use = {&floatingip_resource, "port_id IS NOT NULL", NULL,
                                               .only = floating_columns};
const struct stmt nw_st_nics = {
    "nics", "SELECT COALESCE(MAX(nic_order), 0) FROM ports WHERE server_id = $1"};
const struct stmt nw_st_plugged = {"plugged",
                                   "UPDATE ports SET status = $2 WHERE id = $1 AND status <> $2"};

/* ---------------------------------------------------------------- rows → struct server_port */

struct described {
    void **networks, **groups, **floating;
    size_t n_networks, n_groups, n_floating;
    /* Of the port before: most ports are in the same network, and have the same groups. */
    const struct network *network;
    const char *groups_text;
    const char **group_names;
    size_t n_group_names;
};

static const struct network *network_of(struct described *d, const char *id)
{
    for (size_t i = 0; i < d->n_networks && (!d->network || !str_eq(d->network->id, id)); i++)
        if (str_eq(ROW(network, d->networks, i)->id, id))
            d->network = d->networks[i];
    must(d->network && str_eq(d->network->id, id)); /* no port without its network */
    return d->network;
}

static int compare_port(const void *a, const void *b)
{
    return strcmp((*(const struct floatingip *const *)a)->port_id,
                  (*(const struct floatingip *const *)b)->port_id);
}

static const char *floating_of(const struct described *d, const struct port *p, const char *ip)
{
    const struct floatingip wanted = {.port_id = p->id}, *key = &wanted;
    void **found = d->n_floating ? bsearch(&key, d->floating, d->n_floating, sizeof(*d->floating),
                                           compare_port)
                                 : NULL;
    if (!found)
        return NULL;
    size_t i = (size_t)(found - d->floating);
    while (i > 0 && str_eq(ROW(floatingip, d->floating, i - 1)->port_id, p->id))
        i--;
    for (; i < d->n_floating && str_eq(ROW(floatingip, d->floating, i)->port_id, p->id); i++)
        if (str_eq(ROW(floatingip, d->floating, i)->fixed_ip_address, ip))
            return ROW(floatingip, d->floating, i)->floating_ip_address;
    return NULL;
}

static void name_groups(struct ctx *cx, struct described *d, const char *text)
{
    if (str_eq(d->groups_text, text))
        return;
    const json_t *groups = nw_json(cx, text);
    d->groups_text = text;
    d->n_group_names = 0;
    d->group_names = arena_new_array(cx->arena, const char *, json_array_size(groups) + 1);
    for (size_t i = 0; i < json_array_size(groups); i++)
        for (size_t k = 0; k < d->n_groups; k++)
            if (str_eq(ROW(security_group, d->groups, k)->id,
                       json_string_value(json_array_get(groups, i))))
                d->group_names[d->n_group_names++] = ROW(security_group, d->groups, k)->name;
}

/* "tap" and the id's beginning, as long as an interface's name may be. */
static const char *tap_of(struct ctx *cx, const char *port_id)
{
    char *tap = arena_alloc(cx->arena, 15);
    memcpy(tap, "tap", 3);
    memcpy(tap + 3, port_id, strnlen(port_id, 11));
    return tap;
}

static void fill(struct ctx *cx, struct described *d, const struct port *p, struct server_port *out)
{
    const struct network *n = network_of(d, p->network_id);
    struct fixed_ip *ips;
    *out = (struct server_port){.id = p->id,
                                .network_id = p->network_id,
                                .network_name = n->name,
                                .mtu = n->mtu,
                                .mac = p->mac_address,
                                .tap = tap_of(cx, p->id),
                                .status = p->status,
                                .server_id = p->server_id,
                                .tag = p->nic_tag,
                                .preserve = p->preserve,
                                .leaving = p->leaving};
    out->n_ips = nw_fixed_ips(cx, p, &ips);
    out->ips = arena_new_array(cx->arena, struct server_ip, out->n_ips + 1);
    for (size_t i = 0; i < out->n_ips; i++)
        out->ips[i] = (struct server_ip){.ip = ips[i].ip,
                                         .subnet_id = ips[i].subnet_id,
                                         .floating_ip = floating_of(d, p, ips[i].ip),
                                         .version = strchr(ips[i].ip, ':') ? 6 : 4};
    name_groups(cx, d, p->security_groups);
    out->security_groups = d->group_names;
    out->n_security_groups = d->n_group_names;
}

/* The ids of one kind that these ports name, each once. */
static const char **unique(struct ctx *cx, json_t *set, size_t *ret_n)
{
    const char **ids = arena_new_array(cx->arena, const char *, json_object_size(set) + 1), *key;
    json_t *v;
    *ret_n = 0;
    json_object_foreach(set, key, v)
    {
        (void)v;
        ids[(*ret_n)++] = key;
    }
    return ids;
}

static struct err *describe(struct ctx *cx, struct tx *tx, void *const *ports, size_t n,
                            struct server_port **ret)
{
    struct described d = {0};
    const struct port *before = NULL;
    json_t *networks = json_own(cx, json_object()), *groups = json_own(cx, json_object());
    const char **port_ids = arena_new_array(cx->arena, const char *, n + 1);
    size_t n_ids;
    for (size_t i = 0; i < n; i++) {
        const struct port *p = ports[i];
        port_ids[i] = p->id;
        if (!before || !str_eq(before->network_id, p->network_id))
            json_object_set_new(networks, p->network_id, json_true());
        bool same = before && str_eq(before->security_groups, p->security_groups);
        const json_t *list = same ? NULL : nw_json(cx, p->security_groups);
        before = p;
        for (size_t k = 0; k < json_array_size(list); k++)
            json_object_set_new(groups, json_string_value(json_array_get(list, k)), json_true());
    }
    const char **ids = unique(cx, networks, &n_ids);
    TRY(res_select_in(cx, tx, &nw_w_networks_by_ids, ids, n_ids, &d.networks, &d.n_networks));
    ids = unique(cx, groups, &n_ids);
    TRY(res_select_in(cx, tx, &nw_w_groups_by_ids, ids, n_ids, &d.groups, &d.n_groups));
    TRY(res_select_of(cx, tx, &nw_w_floating_in_use, floatingip_f_port_id, port_ids, n, &d.floating,
                      &d.n_floating));
    if (d.n_floating)
        qsort(d.floating, d.n_floating, sizeof(*d.floating), compare_port);
    *ret = arena_new_array(cx->arena, struct server_port, n + 1);
    for (size_t i = 0; i < n; i++)
        fill(cx, &d, ports[i], &(*ret)[i]);
    return NULL;
}

struct err *network_ports_of(struct ctx *cx, struct tx *tx, const char *const *server_ids, size_t n,
                             struct server_port **ret, size_t *ret_n)
{
    void **ports;
    TRY(res_select_in(cx, tx, &nw_w_ports_of_servers, server_ids, n, &ports, ret_n));
    return describe(cx, tx, ports, *ret_n, ret);
}

struct err *network_ports_shown(struct ctx *cx, struct tx *tx, const char *const *server_ids,
                                size_t n, struct server_port **ret, size_t *ret_n)
{
    void **ports;
    TRY(res_select_in(cx, tx, &nw_w_ports_shown, server_ids, n, &ports, ret_n));
    return describe(cx, tx, ports, *ret_n, ret);
}

/* ---------------------------------------------------------------- attach */

/* What is not there is the tenant's mistake in a server's request, not a missing page. */
static struct err *as_invalid(struct ctx *cx, struct err *e)
{
    return e && e->kind == ERR_NOT_FOUND ? fail_type(cx, ERR_INVALID, e->type, "%s", e->message)
                                         : e;
}

static struct err *own_port(struct call *c, const char *port_id, const char *server_id,
                            struct port **ret)
{
    void *row = NULL;
    struct err *e = res_find_visible(c->cx, c->tx, &port_resource, port_id, c->actor, &row);
    struct port *p = row;
    if ((e && e->kind == ERR_NOT_FOUND) || (p && !nw_owns(c, p->project_id)))
        return fail_type(c->cx, ERR_INVALID, "PortNotFound", "Port id %s could not be found.",
                         port_id);
    TRY(e);
    if (p->router_id || (p->server_id && !str_eq(p->server_id, server_id)) ||
        str_eq(p->device_owner, OWNER_DHCP) || (*p->device_id && !str_eq(p->device_id, server_id)))
        return fail(c->cx, ERR_CONFLICT, "Port %s is still in use.", port_id);
    *ret = p;
    return NULL;
}

static struct err *new_port(struct call *c, const struct port_request *rq,
                            const char *const *group_ids, size_t n_groups, struct port **ret)
{
    struct network *n;
    struct subnets subnets;
    struct err *e = nw_network_visible(c, rq->network_id, &n);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail_type(c->cx, ERR_INVALID, "NetworkNotFound", "Network %s could not be found.",
                         rq->network_id);
    TRY(e);
    bool shared = false;
    TRY(nw_rbac_has(c->cx, c->tx, n->id, RBAC_SHARED, c->actor->project_id, &shared));
    if (n->external && !shared && !c->actor->admin)
        return fail(c->cx, ERR_FORBIDDEN,
                    "It is not allowed to create an interface on external network %s", n->id);
    TRY(quota_check(c->cx, c->tx, &network_service, "port", c->actor->project_id, 1));
    TRY(nw_subnets_of(c->cx, c->tx, n->id, &subnets));
    if (!subnets.n)
        return fail(c->cx, ERR_INVALID,
                    "Network %s requires a subnet in order to boot instances on.", n->id);
    struct port *p = nw_port_row(c->cx, n, c->actor->project_id);
    json_t *groups = json_own(c->cx, json_array());
    p->port_security_enabled = n->port_security_enabled;
    struct security_group *g = NULL;
    if (p->port_security_enabled && !group_ids)
        TRY(nw_default_group(c->cx, c->tx, p->project_id, &g));
    if (g)
        json_array_append_new(groups, json_string(g->id));
    for (size_t i = 0; p->port_security_enabled && group_ids && i < n_groups; i++)
        json_array_append_new(groups, json_string(group_ids[i]));
    p->security_groups = json_text(c->cx, groups);
    p->device_owner = "compute:"; /* before its addresses: subnets may be for some owners only */
    struct addr wanted;
    if (rq->fixed_ip && !addr_parse(rq->fixed_ip, &wanted))
        return fail(c->cx, ERR_INVALID, "Fixed IP address %s is invalid.", rq->fixed_ip);
    json_t *ips =
        rq->fixed_ip
            ? json_own(c->cx, json_pack("[{s:s}]", "ip_address", addr_text(c->cx, &wanted)))
            : NULL;
    *ret = p;
    return as_invalid(c->cx, nw_port_new(c->cx, c->tx, p, ips, &subnets));
}

/* Behind those that the server has. */
static struct err *give_place(struct call *c, struct port *p, const char *server_id)
{
    struct db_value param = V_TEXT(server_id);
    struct db_rows rows;
    if (str_eq(p->server_id, server_id))
        return NULL;
    TRY(db_query(c->cx, c->tx, &nw_st_nics, &param, 1, &rows));
    p->nic_order = db_int(&rows, 0, 0) + 1;
    return NULL;
}

struct err *network_port_attach(struct call *c, const struct port_request *rq,
                                const char *const *security_group_ids, size_t n_groups,
                                const char *server_id, const char *hostname, const char *host_id,
                                const char *zone, struct server_port *ret)
{
    struct port *p = NULL;
    struct fleet_host host = {0};
    struct server_port *out;
    if (rq->port_id)
        TRY(own_port(c, rq->port_id, server_id, &p));
    else
        TRY(new_port(c, rq, security_group_ids, n_groups, &p));
    if (host_id)
        TRY(fleet_host_get(c->cx, c->tx, host_id, &host));
    TRY(give_place(c, p, server_id));
    p->device_id = p->server_id = server_id;
    p->device_owner = arena_printf(c->cx->arena, "compute:%s", zone ? zone : "");
    p->host_id = host_id;
    p->binding_host = host.name ? host.name : "";
    if (!p->dns_name || !*p->dns_name)
        p->dns_name = hostname /* without its domain */
                          ? arena_strndup(c->cx->arena, hostname, strcspn(hostname, "."))
                          : "";
    p->nic_tag = rq->tag;
    p->leaving = false;
    TRY(nw_port_changed(c->cx, c->tx, p));
    TRY(describe(c->cx, c->tx, (void *[]){p}, 1, &out));
    *ret = out[0];
    return NULL;
}

/* ---------------------------------------------------------------- detach */

static struct err *give_back(struct ctx *cx, struct tx *tx, struct port *p)
{
    if (!p->preserve)
        return nw_port_remove(cx, tx, p);
    TRY(nw_touch_port(cx, tx, p)); /* while it is bound */
    p->device_id = p->device_owner = p->binding_host = p->dns_name = "";
    p->server_id = p->host_id = p->nic_tag = NULL;
    p->leaving = false;
    p->status = "DOWN";
    return nw_port_changed(cx, tx, p);
}

struct err *network_port_detach(struct ctx *cx, struct tx *tx, const char *port_id)
{
    void *p = NULL;
    TRY(res_get(cx, tx, &port_resource, port_id, &p));
    return p && ((struct port *)p)->server_id ? give_back(cx, tx, p) : NULL;
}

struct err *network_ports_release(struct ctx *cx, struct tx *tx, const char *server_id)
{
    void **rows;
    size_t n;
    TRY(res_select_by(cx, tx, &nw_w_ports_of_server, &rows, &n, V_TEXT(server_id)));
    for (size_t i = 0; i < n; i++)
        TRY(give_back(cx, tx, rows[i]));
    return NULL;
}

struct err *network_port_plugged(struct ctx *cx, struct tx *tx, const char *port_id, bool plugged)
{
    return db_run(cx, tx, &nw_st_plugged, V_TEXT(port_id), V_TEXT(plugged ? "ACTIVE" : "DOWN"));
}

struct err *network_default_for(struct call *c, const char **ret_network_id)
{
    void **rows;
    size_t n;
    TRY(res_select_by(c->cx, c->tx, &nw_w_own_networks, &rows, &n, V_TEXT(c->actor->project_id)));
    if (n > 1)
        return fail(c->cx, ERR_CONFLICT,
                    "Multiple possible networks found, use a Network ID to be more specific.");
    *ret_network_id = n ? ROW(network, rows, 0)->id : NULL;
    return NULL;
}

struct err *network_auto_for(struct call *c, const char **ret_network_id)
{
    struct err *e = nw_auto_topology(c, c->actor->project_id, ret_network_id);
    if (e && (e->kind == ERR_CONFLICT || e->kind == ERR_QUOTA))
        return wrap(c->cx, e, ERR_INVALID,
                    "Unable to automatically allocate a network for project %s: %s",
                    c->actor->project_id, e->message);
    return e;
}

/* ---------------------------------------------------------------- security groups */

static struct err *resolve(struct call *c, const char *name, const char **ret_id)
{
    void **rows;
    size_t n;
    struct security_group *g;
    if (str_eq(name, "default"))
        TRY(nw_default_group(c->cx, c->tx, c->actor->project_id, &g));
    TRY(res_select_by(c->cx, c->tx, &nw_w_groups_named, &rows, &n, V_TEXT(c->actor->project_id),
                      V_TEXT(name)));
    if (!n)
        return fail(c->cx, ERR_INVALID, "Security group %s not found for project %s.", name,
                    c->actor->project_id);
    for (size_t i = 0; i < n; i++)
        if (n == 1 || str_eq(ROW(security_group, rows, i)->id, name)) {
            *ret_id = ROW(security_group, rows, i)->id;
            return NULL;
        }
    return fail(
        c->cx, ERR_CONFLICT,
        "Multiple security_group matches found for name '%s', use an ID to be more specific.",
        name);
}

struct err *network_groups_resolve(struct call *c, const char *const *names, size_t n,
                                   const char ***ret_ids)
{
    *ret_ids = arena_new_array(c->cx->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        TRY(resolve(c, names[i], &(*ret_ids)[i]));
    return NULL;
}

static struct err *group_on_port(struct call *c, struct port *p, const char *group_id, bool add,
                                 bool *ret_found)
{
    json_t *groups = json_own(c->cx, json_deep_copy(nw_json(c->cx, p->security_groups)));
    size_t at = 0;
    while (at < json_array_size(groups) &&
           !str_eq(json_string_value(json_array_get(groups, at)), group_id))
        at++;
    bool there = at < json_array_size(groups);
    *ret_found |= there;
    if (there == add || !p->port_security_enabled)
        return NULL;
    TRY(nw_touch_port(c->cx, c->tx, p));
    if (add)
        json_array_append_new(groups, json_string(group_id));
    else
        json_array_remove(groups, at);
    p->security_groups = json_text(c->cx, groups);
    TRY(nw_port_groups_set(c->cx, c->tx, p));
    return nw_port_changed(c->cx, c->tx, p);
}

struct err *network_group_on_server(struct call *c, const char *server_id, const char *group_name,
                                    bool add)
{
    const char *group_id;
    void **rows;
    size_t n;
    bool found = false;
    struct err *e = resolve(c, group_name, &group_id);
    if (e && e->kind == ERR_INVALID)
        return fail(c->cx, ERR_NOT_FOUND, "%s", e->message);
    TRY(e);
    TRY(res_select_by(c->cx, c->tx, &nw_w_ports_of_server, &rows, &n, V_TEXT(server_id)));
    for (size_t i = 0; i < n; i++)
        TRY(group_on_port(c, rows[i], group_id, add, &found));
    if (!add && !found)
        return fail(c->cx, ERR_NOT_FOUND, "Security group %s not associated with the instance %s",
                    group_name, server_id);
    return NULL;
}
