/* SPDX-License-Identifier: EUPL-1.2 */
/* network/proxies.h for compute's tests: one network, one pool, one floating IP, rules that are
 * remembered until the next one. */
#include "compute/test_fakes.h"
#include "network/proxies.h"

static const char *floating_server, *floating_id;
static struct nova_rule last_rule;

struct err *network_networks_seen(struct call *c, bool external, struct nova_network **ret,
                                  size_t *ret_n)
{
    *ret = arena_new_of(c->cx->arena, struct nova_network);
    **ret = (struct nova_network){external ? NET_B : NET_A, external ? "public" : "net-a",
                                  c->actor->project_id, 1450};
    *ret_n = 1;
    return NULL;
}

struct err *network_network_seen(struct call *c, const char *id, struct nova_network *ret)
{
    *ret = (struct nova_network){NET_A, "net-a", c->actor->project_id, 1450};
    return str_eq(id, NET_A) ? NULL : fail(c->cx, ERR_NOT_FOUND, "Network not found");
}

struct err *network_floating_ips(struct call *c, const char *id, struct nova_floating_ip **ret,
                                 size_t *ret_n)
{
    if (id && !str_eq(id, floating_id))
        return fail(c->cx, ERR_NOT_FOUND, "Floating IP not found for ID %s", id);
    *ret_n = floating_id != NULL;
    *ret = arena_new_of(c->cx->arena, struct nova_floating_ip);
    **ret = (struct nova_floating_ip){floating_id, "203.0.113.9", "public",
                                      floating_server ? "10.0.0.1" : NULL, floating_server};
    return NULL;
}

struct err *network_floating_ip_create(struct call *c, const char *pool, const char **ret_id)
{
    if (pool && !str_eq(pool, "public"))
        return fail(c->cx, ERR_NOT_FOUND, "Floating IP pool not found.");
    *ret_id = floating_id = NET_A;
    floating_server = NULL;
    return NULL;
}

struct err *network_floating_ip_delete(struct call *c, const char *id)
{
    if (!str_eq(id, floating_id))
        return fail(c->cx, ERR_NOT_FOUND, "Floating IP not found for ID %s", id);
    floating_id = NULL;
    return NULL;
}

struct err *network_floating_ip_on_server(struct call *c, const char *server_id, const char *ip,
                                          const char *fixed_ip)
{
    static char kept[64];
    if (!str_eq(ip, "203.0.113.9"))
        return fail(c->cx, ERR_NOT_FOUND, "floating IP not found");
    if (fixed_ip && !str_eq(fixed_ip, "10.0.0.1"))
        return fail(c->cx, ERR_INVALID, "Specified fixed address not assigned to instance");
    snprintf(kept, sizeof(kept), "%s", server_id);
    floating_server = kept;
    return NULL;
}

struct err *network_floating_ip_off_server(struct call *c, const char *server_id, const char *ip)
{
    if (!str_eq(floating_server, server_id))
        return fail(c->cx, ERR_CONFLICT, "Floating IP %s is not associated with instance %s.", ip,
                    server_id);
    floating_server = NULL;
    return NULL;
}

struct err *network_fixed_ip_add(struct call *c, const char *server_id UNUSED,
                                 const char *network_id)
{
    return str_eq(network_id, NET_A) ? NULL : fail(c->cx, ERR_INVALID, "no such network");
}

struct err *network_fixed_ip_remove(struct call *c, const char *server_id UNUSED, const char *ip)
{
    return str_eq(ip, "10.0.0.1") ? NULL : fail(c->cx, ERR_INVALID, "no such address");
}

struct err *network_rule_create(struct call *c UNUSED, const struct nova_rule *rule,
                                const char **ret_id)
{
    last_rule = (struct nova_rule){.from_port = rule->from_port,
                                   .to_port = rule->to_port,
                                   .protocol = str_eq(rule->protocol, "icmp") ? "icmp" : "tcp",
                                   .cidr = rule->remote_group_id ? NULL : "given"};
    *ret_id = NET_A;
    return NULL;
}

struct err *network_rule_write(struct call *c UNUSED, const char *id, struct jw *w)
{
    jw_obj(w);
    jw_kstr(w, "id", id);
    jw_kstr(w, "ip_protocol", last_rule.protocol);
    jw_kint(w, "from_port", last_rule.from_port == INT_NULL ? -1 : last_rule.from_port);
    jw_kstr(w, "cidr", last_rule.cidr);
    jw_obj_end(w);
    return NULL;
}

struct err *network_rule_delete(struct call *c, const char *id)
{
    return str_eq(id, NET_A) ? NULL : fail(c->cx, ERR_NOT_FOUND, "Rule (%s) not found", id);
}
