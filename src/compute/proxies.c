/* SPDX-License-Identifier: EUPL-1.2 */
/* Networks, floating IPs and security group rules as this API had them before there was a network
 * service: until 2.35, a server's addresses until 2.43. */
#include "compute/impl.h"
#include "network/proxies.h"

/* ---------------------------------------------------------------- networks */

/* What nova-network knew of a network and nobody knows of these. */
static const char *const unknown_members[] = {"cidr", "netmask", "gateway",    "broadcast", "dns1",
                                              "dns2", "cidr_v6", "gateway_v6", "netmask_v6"};
static const char *const unknown_to_admins[] = {
    "created_at", "updated_at",  "deleted_at",         "deleted",         "injected",
    "bridge",     "vlan",        "vpn_public_address", "vpn_public_port", "vpn_private_address",
    "dhcp_start", "host",        "bridge_interface",   "multi_host",      "priority",
    "rxtx_base",  "dhcp_server", "enable_dhcp",        "share_address"};

static void write_network(struct call *c, struct jw *w, const struct nova_network *n)
{
    jw_obj(w);
    jw_kstr(w, "id", n->id);
    jw_kstr(w, "label", n->name);
    for (size_t i = 0; i < ARRAY_LEN(unknown_members); i++)
        jw_knull(w, unknown_members[i]);
    if (c->actor->admin) {
        jw_kstr(w, "project_id", n->project_id);
        jw_kint(w, "mtu", n->mtu);
        for (size_t i = 0; i < ARRAY_LEN(unknown_to_admins); i++)
            jw_knull(w, unknown_to_admins[i]);
    }
    jw_obj_end(w);
}

static void write_tenant_network(struct call *c UNUSED, struct jw *w, const struct nova_network *n)
{
    jw_obj(w);
    jw_kstr(w, "id", n->id);
    jw_knull(w, "cidr");
    jw_kstr(w, "label", n->name);
    jw_obj_end(w);
}

typedef void write_fn(struct call *c, struct jw *w, const struct nova_network *n);

static struct err *list_networks(struct call *c, write_fn *write)
{
    struct nova_network *networks;
    size_t n;
    TRY(network_networks_seen(c, false, &networks, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "networks");
    for (size_t i = 0; i < n; i++)
        write(c, &w, &networks[i]);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *show_network(struct call *c, write_fn *write)
{
    struct nova_network network;
    TRY(network_network_seen(c, call_param(c, "id"), &network));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "network");
    write(c, &w, &network);
    jw_obj_end(&w);
    return NULL;
}

struct err *old_network_list(struct call *c)
{
    return list_networks(c, write_network);
}

struct err *old_network_show(struct call *c)
{
    return show_network(c, write_network);
}

struct err *tenant_network_list(struct call *c)
{
    return list_networks(c, write_tenant_network);
}

struct err *tenant_network_show(struct call *c)
{
    return show_network(c, write_tenant_network);
}

/* ---------------------------------------------------------------- floating IPs */

static void write_floating_ip(struct jw *w, const struct nova_floating_ip *f)
{
    jw_obj(w);
    jw_kstr(w, "id", f->id);
    jw_kstr(w, "ip", f->ip);
    jw_kstr(w, "pool", f->pool);
    jw_kstr(w, "fixed_ip", f->fixed_ip);
    jw_kstr(w, "instance_id", f->server_id);
    jw_obj_end(w);
}

struct err *floating_ip_list(struct call *c)
{
    struct nova_floating_ip *ips;
    size_t n;
    TRY(network_floating_ips(c, NULL, &ips, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "floating_ips");
    for (size_t i = 0; i < n; i++)
        write_floating_ip(&w, &ips[i]);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *reply_floating_ip(struct call *c, const char *id)
{
    struct nova_floating_ip *ip;
    size_t n;
    TRY(network_floating_ips(c, id, &ip, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "floating_ip");
    write_floating_ip(&w, ip);
    jw_obj_end(&w);
    return NULL;
}

struct err *floating_ip_show(struct call *c)
{
    return reply_floating_ip(c, call_param(c, "floating_ip_id"));
}

struct err *floating_ip_create(struct call *c)
{
    const json_t *pool = json_get(c->json, "pool");
    const char *id;
    if (pool && !json_is_null(pool) && !json_is_string(pool))
        return bad_member(c, "pool", pool, "it is not of type 'string'");
    TRY(network_floating_ip_create(c, json_string_value(pool), &id));
    c->audit_target = id;
    return reply_floating_ip(c, id);
}

struct err *floating_ip_delete(struct call *c)
{
    call_reply_empty(c, 202);
    return network_floating_ip_delete(c, call_param(c, "floating_ip_id"));
}

struct err *floating_ip_pool_list(struct call *c)
{
    struct nova_network *pools;
    size_t n;
    TRY(network_networks_seen(c, true, &pools, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "floating_ip_pools");
    for (size_t i = 0; i < n; i++) {
        jw_obj(&w);
        jw_kstr(&w, "name", pools[i].name);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- a server's addresses */

static struct err *read_address(struct call *c, const json_t *args, const char *name,
                                const char **ret)
{
    const json_t *v = json_get(args, name);
    json_t *canonical = NULL;
    if (!v || check_ip(c->cx, v, &canonical))
        return bad_member(c, name, v, "it is not an IP address");
    *ret = json_string_value(canonical);
    return NULL;
}

/* The host hears of the server's new addresses. */
static struct err *readdressed(struct call *c, const struct server *s)
{
    call_reply_empty(c, 202);
    return s->host_id ? fleet_touch(c->cx, c->tx, s->host_id, "server", s->id) : NULL;
}

struct err *act_add_floating_ip(struct call *c, struct server *s, const json_t *args)
{
    const json_t *given = json_get(args, "fixed_address");
    const char *ip, *fixed = NULL;
    TRY(read_address(c, args, "address", &ip));
    if (given && !json_is_null(given))
        TRY(read_address(c, args, "fixed_address", &fixed));
    TRY(network_floating_ip_on_server(c, s->id, ip, fixed));
    return readdressed(c, s);
}

struct err *act_remove_floating_ip(struct call *c, struct server *s, const json_t *args)
{
    const char *ip;
    TRY(read_address(c, args, "address", &ip));
    TRY(network_floating_ip_off_server(c, s->id, ip));
    return readdressed(c, s);
}

struct err *act_add_fixed_ip(struct call *c, struct server *s, const json_t *args)
{
    const json_t *id = json_get(args, "networkId");
    if (!json_is_string(id) || !*json_string_value(id))
        return bad_member(c, "networkId", id, "a network's id is needed");
    TRY(server_check_lock(c, s));
    TRY(network_fixed_ip_add(c, s->id, json_string_value(id)));
    return readdressed(c, s);
}

struct err *act_remove_fixed_ip(struct call *c, struct server *s, const json_t *args)
{
    const char *ip;
    TRY(read_address(c, args, "address", &ip));
    TRY(server_check_lock(c, s));
    TRY(network_fixed_ip_remove(c, s->id, ip));
    return readdressed(c, s);
}

/* ---------------------------------------------------------------- security group rules */

static struct err *read_port(struct call *c, const json_t *rule, const char *name, int64_t *ret)
{
    const json_t *v = json_get(rule, name);
    *ret = INT_NULL;
    if (!v || json_is_null(v))
        return NULL;
    if (json_is_integer(v))
        *ret = json_integer_value(v);
    else if (!str_to_i64(json_string_value(v) ? json_string_value(v) : "", -1, 65535, ret))
        return fail(c->cx, ERR_INVALID, "Invalid input received: %s is not a port or ICMP type",
                    json_python(c->cx, v));
    return NULL;
}

static struct err *check_ports(struct call *c, const struct nova_rule *r)
{
    bool icmp = str_eq(r->protocol, "icmp");
    int64_t from = r->from_port, to = r->to_port;
    if (from == INT_NULL || to == INT_NULL)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input received: from_port and to_port are needed with a protocol");
    if (icmp && (from < -1 || from > 255 || to < -1 || to > 255))
        return fail(c->cx, ERR_INVALID,
                    "Invalid port range %" PRId64 ":%" PRId64
                    ". For ICMP, the type:code must be valid",
                    from, to);
    if (!icmp && from > to)
        return fail(c->cx, ERR_INVALID,
                    "Invalid port range %" PRId64 ":%" PRId64
                    ". Former value cannot be greater than the later",
                    from, to);
    if (!icmp && (from < 1 || to > 65535))
        return fail(c->cx, ERR_INVALID,
                    "Invalid port range %" PRId64 ":%" PRId64
                    ". Valid %s ports should be between 1-65535",
                    from, to, str_eq(r->protocol, "udp") ? "UDP" : "TCP");
    return NULL;
}

static struct err *read_uuid(struct call *c, const json_t *rule, const char *name, const char **ret)
{
    const json_t *v = json_get(rule, name);
    *ret = json_string_value(v);
    if (v && !json_is_null(v) && (!*ret || !uuid_valid(*ret)))
        return fail(c->cx, ERR_INVALID, "Security group id should be uuid");
    return NULL;
}

static struct err *read_cidr(struct call *c, const json_t *rule, const char **ret)
{
    const json_t *v = json_get(rule, "cidr");
    json_t *canonical = NULL;
    *ret = json_string_value(v);
    if (!v || json_is_null(v))
        *ret = "0.0.0.0/0";
    else if (check_cidr(c->cx, v, &canonical))
        return fail(c->cx, ERR_INVALID, "Invalid cidr %s.", json_python(c->cx, v));
    return NULL;
}

static struct err *read_rule(struct call *c, struct nova_rule *ret)
{
    const json_t *rule;
    TRY(body_object(c, "security_group_rule", &rule));
    const char *protocol = json_get_str(rule, "ip_protocol");
    *ret = (struct nova_rule){.protocol = protocol ? str_lower(c->cx, protocol) : NULL};
    TRY(read_uuid(c, rule, "parent_group_id", &ret->group_id));
    TRY(read_uuid(c, rule, "group_id", &ret->remote_group_id));
    if (!ret->group_id)
        return fail(c->cx, ERR_INVALID, "Security group id should be uuid");
    if (!ret->remote_group_id)
        TRY(read_cidr(c, rule, &ret->cidr));
    TRY(read_port(c, rule, "from_port", &ret->from_port));
    TRY(read_port(c, rule, "to_port", &ret->to_port));
    if (!ret->protocol && ret->remote_group_id)
        return NULL; /* whatever the other group sends */
    if (!str_eq(ret->protocol, "tcp") && !str_eq(ret->protocol, "udp") &&
        !str_eq(ret->protocol, "icmp"))
        return fail(c->cx, ERR_INVALID, "Invalid IP protocol %s.", protocol ? protocol : "None");
    TRY(check_ports(c, ret));
    if (ret->from_port == -1) /* every type, every code */
        ret->from_port = INT_NULL;
    if (ret->to_port == -1)
        ret->to_port = INT_NULL;
    return NULL;
}

struct err *group_rule_create(struct call *c)
{
    struct nova_rule rule;
    const char *id;
    TRY(read_rule(c, &rule));
    TRY(network_rule_create(c, &rule, &id));
    c->audit_target = id;
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "security_group_rule");
    TRY(network_rule_write(c, id, &w));
    jw_obj_end(&w);
    return NULL;
}

struct err *group_rule_delete(struct call *c)
{
    const char *id = call_param(c, "rule_id");
    if (!uuid_valid(id))
        return fail(c->cx, ERR_INVALID, "Security group rule id should be uuid");
    call_reply_empty(c, 202);
    return network_rule_delete(c, id);
}
