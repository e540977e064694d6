/* SPDX-License-Identifier: EUPL-1.2 */
/* proxies.h: networks, floating and fixed IPs as nova's older API has them. */
#include "network/nw.h"
#include "network/proxies.h"

const struct res_where nw_w_networks_all = {&network_resource, "1 = 1", "created_at, id"};
const struct res_where nw_w_networks_seen = {
    &network_resource,
    "project_id = $1 OR id IN (SELECT object_id FROM rbac_policies WHERE target_project IN ('*', "
    "$1))",
    "created_at, id"};
const struct res_where nw_w_floating_of_project = {&floatingip_resource, "project_id = $1",
                                                   "created_at, id"};
const struct res_where nw_w_floating_by_ip = {&floatingip_resource,
                                              "floating_ip_address = $1 AND project_id = $2", "id"};

static const char *project_of(const struct call *c)
{
    return c->actor->project_id ? c->actor->project_id : "";
}

/* ---------------------------------------------------------------- networks */

static struct nova_network shown(const struct network *n)
{
    return (struct nova_network){n->id, n->name, n->project_id, n->mtu};
}

static struct err *seen(struct call *c, void ***ret_rows, size_t *ret_n)
{
    const struct db_value project = V_TEXT(project_of(c));
    bool all = c->actor->admin;
    return res_select(c->cx, c->tx, all ? &nw_w_networks_all : &nw_w_networks_seen, &project, !all,
                      ret_rows, ret_n);
}

struct err *network_networks_seen(struct call *c, bool external, struct nova_network **ret,
                                  size_t *ret_n)
{
    void **rows;
    size_t n;
    TRY(seen(c, &rows, &n));
    *ret = arena_new_array(c->cx->arena, struct nova_network, n + 1);
    *ret_n = 0;
    for (size_t i = 0; i < n; i++)
        if (!external || ROW(network, rows, i)->external)
            (*ret)[(*ret_n)++] = shown(rows[i]);
    return NULL;
}

struct err *network_network_seen(struct call *c, const char *id, struct nova_network *ret)
{
    struct network *n;
    struct err *e = nw_network_visible(c, id, &n);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_NOT_FOUND, "Network not found");
    TRY(e);
    *ret = shown(n);
    return NULL;
}

/* ---------------------------------------------------------------- floating IPs */

static struct err *describe(struct call *c, void *const *rows, size_t n,
                            struct nova_floating_ip **ret)
{
    void *network = NULL, *port = NULL;
    *ret = arena_new_array(c->cx->arena, struct nova_floating_ip, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct floatingip *f = rows[i];
        TRY(res_get(c->cx, c->tx, &network_resource, f->floating_network_id, &network));
        port = NULL;
        if (f->port_id)
            TRY(res_get(c->cx, c->tx, &port_resource, f->port_id, &port));
        (*ret)[i] = (struct nova_floating_ip){
            .id = f->id,
            .ip = f->floating_ip_address,
            .pool = network ? ((const struct network *)network)->name : NULL,
            .fixed_ip = f->fixed_ip_address,
            .server_id = port ? ((const struct port *)port)->server_id : NULL};
    }
    return NULL;
}

static struct err *own_floating(struct call *c, const char *id, struct floatingip **ret)
{
    struct err *e =
        res_find_visible(c->cx, c->tx, &floatingip_resource, id, c->actor, (void **)ret);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_NOT_FOUND, "Floating IP not found for ID %s", id);
    return e;
}

struct err *network_floating_ips(struct call *c, const char *id, struct nova_floating_ip **ret,
                                 size_t *ret_n)
{
    struct floatingip *one;
    void **rows;
    if (id) {
        TRY(own_floating(c, id, &one));
        void *row = one;
        *ret_n = 1;
        return describe(c, &row, 1, ret);
    }
    TRY(res_select_by(c->cx, c->tx, &nw_w_floating_of_project, &rows, ret_n,
                      V_TEXT(project_of(c))));
    return describe(c, rows, *ret_n, ret);
}

static struct err *pool_id(struct call *c, const char *pool, const char **ret)
{
    struct nova_network *networks;
    size_t n, hits = 0;
    TRY(network_networks_seen(c, true, &networks, &n));
    for (size_t i = 0; i < n; i++)
        if (!pool || str_eq(pool, networks[i].name) || str_eq(pool, networks[i].id)) {
            *ret = networks[i].id;
            hits++;
        }
    if (hits > 1)
        return fail(c->cx, ERR_CONFLICT, "Multiple floating IP pools matches found for name '%s'",
                    pool ? pool : "");
    return hits ? NULL : fail(c->cx, ERR_NOT_FOUND, "Floating IP pool not found.");
}

struct err *network_floating_ip_create(struct call *c, const char *pool, const char **ret_id)
{
    struct floatingip *f = res_new(c->cx, &floatingip_resource);
    TRY(pool_id(c, pool, &f->floating_network_id));
    f->id = uuid_new(c->cx);
    f->project_id = c->actor->project_id;
    f->description = f->dns_name = f->dns_domain = "";
    f->tags = "[]";
    *ret_id = f->id;
    struct err *e = nw_floatingip_make(c, f);
    if (e && e->kind == ERR_QUOTA)
        return fail(c->cx, ERR_FORBIDDEN, "IP allocation over quota%s%s.", pool ? " in pool " : "",
                    pool ? pool : "");
    if (e && e->kind == ERR_CONFLICT)
        return fail(c->cx, ERR_NOT_FOUND, "No more floating IPs%s%s.", pool ? " in pool " : "",
                    pool ? pool : "");
    return e;
}

struct err *network_floating_ip_delete(struct call *c, const char *id)
{
    struct floatingip *f;
    TRY(own_floating(c, id, &f));
    TRY(call_require_owner(c, f->project_id, &floatingip_resource, id));
    return nw_floatingip_remove(c, f);
}

static struct err *by_address(struct call *c, const char *ip, struct floatingip **ret)
{
    void *row = NULL;
    TRY(res_first_by(c->cx, c->tx, &nw_w_floating_by_ip, &row, V_TEXT(ip), V_TEXT(project_of(c))));
    *ret = row;
    return row ? NULL : fail(c->cx, ERR_NOT_FOUND, "floating IP not found");
}

/* The server's port with this IPv4 address; any: its first. */
static struct err *fixed_of_server(struct call *c, const char *server_id, const char *wanted,
                                   const char **ret_port_id, const char **ret_ip)
{
    void **ports;
    size_t n;
    bool any = false;
    TRY(res_select_by(c->cx, c->tx, &nw_w_ports_of_server, &ports, &n, V_TEXT(server_id)));
    for (size_t i = 0; i < n; i++) {
        struct fixed_ip *ips;
        size_t n_ips = nw_fixed_ips(c->cx, ports[i], &ips);
        for (size_t k = 0; k < n_ips; k++) {
            if (strchr(ips[k].ip, ':'))
                continue;
            any = true;
            if (wanted && !str_eq(wanted, ips[k].ip))
                continue;
            *ret_port_id = ROW(port, ports, i)->id;
            *ret_ip = ips[k].ip;
            return NULL;
        }
    }
    if (any)
        return fail(c->cx, ERR_INVALID, "Specified fixed address not assigned to instance");
    return fail(c->cx, ERR_INVALID, "No fixed IPs associated to instance");
}

struct err *network_floating_ip_on_server(struct call *c, const char *server_id, const char *ip,
                                          const char *fixed_ip)
{
    struct floatingip *f;
    TRY(by_address(c, ip, &f));
    const struct floatingip old = *f;
    TRY(fixed_of_server(c, server_id, fixed_ip, &f->port_id, &f->fixed_ip_address));
    struct err *e = nw_floatingip_move(c, &old, f);
    if (e && err_http_status(e->kind) < 500)
        return wrap(c->cx, e, ERR_INVALID,
                    "Unable to associate floating IP %s to fixed IP %s for instance %s. Error: %s",
                    ip, f->fixed_ip_address, server_id, e->message);
    TRY(e);
    return res_update(c->cx, c->tx, &floatingip_resource, f);
}

struct err *network_floating_ip_off_server(struct call *c, const char *server_id, const char *ip)
{
    struct floatingip *f;
    void *port = NULL;
    TRY(by_address(c, ip, &f));
    if (f->port_id)
        TRY(res_get(c->cx, c->tx, &port_resource, f->port_id, &port));
    if (!port || !str_eq(((const struct port *)port)->server_id, server_id))
        return fail(c->cx, ERR_CONFLICT, "Floating IP %s is not associated with instance %s.", ip,
                    server_id);
    const struct floatingip old = *f;
    f->port_id = f->fixed_ip_address = NULL;
    TRY(nw_floatingip_move(c, &old, f));
    return res_update(c->cx, c->tx, &floatingip_resource, f);
}

/* ---------------------------------------------------------------- fixed IPs */

static struct err *set_ips(struct call *c, struct port *p, const json_t *wanted)
{
    struct subnets subnets;
    const char *old = p->fixed_ips;
    TRY(nw_subnets_of(c->cx, c->tx, p->network_id, &subnets));
    struct err *e = nw_port_ips_set(c->cx, c->tx, p, old, wanted, &subnets);
    if (e && e->kind == ERR_CONFLICT)
        return fail(c->cx, ERR_INVALID, "No fixed IP addresses available for network: %s",
                    p->network_id);
    TRY(e);
    return nw_port_changed(c->cx, c->tx, p);
}

static const struct subnet *subnet_for_more(const struct subnets *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (!nw_is_auto(s->v[i]))
            return s->v[i];
    return NULL;
}

struct err *network_fixed_ip_add(struct call *c, const char *server_id, const char *network_id)
{
    void **ports;
    size_t n, i = 0;
    struct subnets subnets;
    TRY(res_select_by(c->cx, c->tx, &nw_w_ports_of_server, &ports, &n, V_TEXT(server_id)));
    while (i < n && !str_eq(ROW(port, ports, i)->network_id, network_id))
        i++;
    if (i == n)
        return fail(c->cx, ERR_INVALID, "Instance %s has no port on network %s.", server_id,
                    network_id);
    struct port *p = ports[i];
    TRY(nw_subnets_of(c->cx, c->tx, network_id, &subnets));
    const struct subnet *from = subnet_for_more(&subnets);
    if (!from)
        return fail(c->cx, ERR_INVALID, "No fixed IP addresses available for network: %s",
                    network_id);
    json_t *wanted = json_own(c->cx, json_deep_copy(nw_json(c->cx, p->fixed_ips)));
    json_array_append_new(wanted, json_pack("{s:s}", "subnet_id", from->id));
    return set_ips(c, p, wanted);
}

struct err *network_fixed_ip_remove(struct call *c, const char *server_id, const char *ip)
{
    void **ports;
    size_t n;
    TRY(res_select_by(c->cx, c->tx, &nw_w_ports_of_server, &ports, &n, V_TEXT(server_id)));
    for (size_t i = 0; i < n; i++) {
        struct port *p = ports[i];
        json_t *wanted = json_own(c->cx, json_deep_copy(nw_json(c->cx, p->fixed_ips)));
        for (size_t k = 0; k < json_array_size(wanted); k++) {
            if (!str_eq(json_get_str(json_array_get(wanted, k), "ip_address"), ip))
                continue;
            json_array_remove(wanted, k);
            TRY(set_ips(c, p, wanted));
            return nw_floatingips_leave(c->cx, c->tx, p);
        }
    }
    return fail(c->cx, ERR_INVALID, "Instance %s does not have fixed IP '%s'.", server_id, ip);
}
