/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A router: a logical router with a port in each network. What leads outside goes by one host, the
 * best of its group that lives; floating IPs of a known port are each host's own doing.
 */
#include "node/drivers/ovn/nb_map.h"
#include "node/drivers/net/addr.h"

enum { GATEWAYS_MAX = 5, KEEP_APART = 1000, KEEP_IN = 1100, NOT_ROUTED = 1200 };

static const char *port_name(struct ctx *cx, const char *port_id)
{
    return arena_printf(cx->arena, "lrp-%s", port_id);
}

static const struct nb_router_net *net_of(const struct nb_router_facts *f, const char *id)
{
    for (size_t i = 0; i < f->n_nets; i++)
        if (str_eq(f->nets[i].id, id))
            return &f->nets[i];
    return NULL;
}

/* The two ends: the router's, and the network's. Outside, whoever answers for an address from now
 * on says so, lest neighbours and switches go on to who did before. */
static struct err *plug(struct nb_want *w, const char *port_id, const char *network_id,
                        const char *mac, bool outside, struct nb_row **ret)
{
    struct mac m;
    TRY(mac_parse(w->cx, mac, &m));
    const char *name = port_name(w->cx, port_id);
    struct nb_row *r = nb_add(w, "Logical_Router_Port", name, "router");
    nb_str(r, "name", name);
    nb_str(r, "mac", mac_text(w->cx, &m));
    struct nb_row *p =
        nb_add(w, "Logical_Switch_Port", port_id, arena_printf(w->cx->arena, "@%s", network_id));
    nb_str(p, "name", port_id);
    nb_str(p, "type", "router");
    nb_put(p, "addresses", "router");
    nb_map(p, "options", "router-port", name);
    if (outside)
        nb_map(p, "options", "nat-addresses", "router");
    *ret = r;
    return NULL;
}

/* A port announces all its prefixes in one way: where the subnets' differ, that of one which gives
 * addresses by DHCP, as no guest then has an address that it must not have. */
static void announce(struct nb_want *w, const struct nb_router_net *net, struct nb_row *r)
{
    char **lines, **words;
    const char *mode = NULL, *dns = NULL;
    size_t n = str_split(w->cx, net->ra, '\n', &lines);
    for (size_t i = 0; i < n; i++) {
        size_t n_words = str_split(w->cx, lines[i], ' ', &words);
        if (n_words < 2)
            continue;
        if (!mode || str_eq(words[1], "dhcpv6-stateful"))
            mode = words[1];
        if (n_words > 2 && !dns)
            dns = words[2];
    }
    if (!mode)
        return;
    nb_map(r, "ipv6_ra_configs", "address_mode",
           str_eq(mode, "dhcpv6-stateful")    ? "dhcpv6_stateful"
           : str_eq(mode, "dhcpv6-stateless") ? "dhcpv6_stateless"
                                              : "slaac");
    nb_map(r, "ipv6_ra_configs", "send_periodic", "true");
    nb_map(r, "ipv6_ra_configs", "max_interval", "30");
    nb_map(r, "ipv6_ra_configs", "mtu", arena_printf(w->cx->arena, "%" PRId64, net->mtu));
    /* "[fd00::53],[…": the first one */
    if (dns && *dns == '[')
        nb_map(r, "ipv6_ra_configs", "rdnss",
               arena_strndup(w->cx->arena, dns + 1, strcspn(dns + 1, "]")));
}

static struct err *interface(struct nb_want *w, const struct nb_router_facts *f,
                             const struct spec_interface *i)
{
    struct nb_row *r;
    bool v6 = false;
    if (!i->n_ips)
        return NULL;
    TRY(plug(w, i->port_id, i->network_id, i->mac, false, &r));
    for (size_t k = 0; k < i->n_ips; k++) {
        struct ip ip;
        TRY(ip_parse_with(w->cx, i->ips[k].ip, i->ips[k].prefix, &ip));
        nb_put(r, "networks", ip_cidr(w->cx, &ip));
        v6 |= ip.version == 6;
    }
    const struct nb_router_net *net = net_of(f, i->network_id);
    if (v6 && net)
        announce(w, net, r);
    return NULL;
}

/* ---------------------------------------------------------------- outside */

static int64_t smallest_mtu(const struct spec_router *spec, const struct nb_router_facts *f)
{
    int64_t mtu = INT64_MAX;
    for (size_t i = 0; i < spec->n_interfaces; i++) {
        const struct nb_router_net *net = net_of(f, spec->interfaces[i].network_id);
        mtu = net && net->mtu ? min_i64(mtu, net->mtu) : mtu;
    }
    return mtu;
}

static void gateways(struct nb_want *w, const struct nb_router_facts *f)
{
    struct nb_row *group = nb_add(w, "HA_Chassis_Group", "gateways", NULL);
    nb_str(group, "name", w->owner);
    for (size_t i = 0; i < f->n_chassis && i < GATEWAYS_MAX; i++) {
        struct nb_row *r = nb_add(
            w, "HA_Chassis", arena_printf(w->cx->arena, "gateway:%s", f->chassis[i]), "gateways");
        nb_str(r, "chassis_name", f->chassis[i]);
        nb_int(r, "priority", (int64_t)(GATEWAYS_MAX - i));
    }
}

static struct err *outside(struct nb_want *w, const struct spec_router *spec,
                           const struct nb_router_facts *f)
{
    struct nb_row *r;
    struct ip ip, via;
    int64_t mtu = smallest_mtu(spec, f);
    const struct nb_router_net *net = net_of(f, spec->external.network_id);
    TRY(ip_parse_with(w->cx, spec->external.ip, spec->external.prefix, &ip));
    TRY(plug(w, spec->external.port_id, spec->external.network_id, spec->external.mac, true, &r));
    nb_put(r, "networks", ip_cidr(w->cx, &ip));
    gateways(w, f);
    nb_ref(r, "ha_chassis_group", "gateways");
    /* Whoever sends too much from outside is told so. */
    if (net && mtu < net->mtu)
        nb_map(r, "options", "gateway_mtu", arena_printf(w->cx->arena, "%" PRId64, mtu));
    if (!spec->external.gateway)
        return NULL;
    TRY(ip_parse(w->cx, spec->external.gateway, &via));
    struct nb_row *route = nb_add(w, "Logical_Router_Static_Route", "default", "router");
    nb_str(route, "ip_prefix", via.version == 4 ? "0.0.0.0/0" : "::/0");
    nb_str(route, "nexthop", ip_text(w->cx, &via));
    nb_str(route, "output_port", port_name(w->cx, spec->external.port_id));
    return NULL;
}

static void policy(struct nb_want *w, int priority, const char *match)
{
    struct nb_row *r =
        nb_add(w, "Logical_Router_Policy", arena_printf(w->cx->arena, "drop:%s", match), "router");
    nb_int(r, "priority", priority);
    nb_str(r, "match", match);
    nb_str(r, "action", "drop");
}

static void nat(struct nb_want *w, const char *key, const char *type, const char *external,
                const char *logical, struct nb_row **ret)
{
    struct nb_row *r = nb_add(w, "NAT", key, "router");
    nb_str(r, "type", type);
    nb_str(r, "external_ip", external);
    nb_str(r, "logical_ip", logical);
    if (ret)
        *ret = r;
}

struct side {
    const char *cidr, *scope;
    int version;
};

/* Behind source NAT only a floating IP is reached from outside, and nothing leaves untranslated,
 * but for what the outside knows by the same addresses. */
static struct err *source_nat(struct nb_want *w, const struct spec_router *spec,
                              const struct side *sides, size_t n)
{
    struct ip ip;
    TRY(ip_parse(w->cx, spec->external.ip, &ip));
    for (size_t i = 0; ip.version == 4 && i < n; i++) {
        bool known = sides[i].scope && str_eq(sides[i].scope, spec->external.scope);
        if (sides[i].version != 4 || known)
            continue;
        nat(w, arena_printf(w->cx->arena, "snat:%s", sides[i].cidr), "snat", ip_text(w->cx, &ip),
            sides[i].cidr, NULL);
        policy(w, KEEP_IN,
               arena_printf(w->cx->arena,
                            "inport == \"%s\" && ip4.dst == %s && (!ct.trk || "
                            "(!ct.dnat && !ct.snat))",
                            port_name(w->cx, spec->external.port_id), sides[i].cidr));
    }
    return NULL;
}

/* An address means one thing within its scope: between two, nothing is routed untranslated. */
static void keep_apart(struct nb_want *w, const struct side *sides, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            if (sides[i].version == sides[k].version && !str_eq(sides[i].scope, sides[k].scope))
                policy(w, KEEP_APART,
                       arena_printf(w->cx->arena,
                                    "ip%d.src == %s && ip%d.dst == %s && "
                                    "(!ct.trk || !ct.dnat)",
                                    sides[i].version, sides[i].cidr, sides[i].version,
                                    sides[k].cidr));
}

static struct err *sides_of(struct ctx *cx, const struct spec_router *spec, struct side **ret,
                            size_t *ret_n)
{
    size_t n = 0, cap = 1;
    for (size_t i = 0; i < spec->n_interfaces; i++)
        cap += spec->interfaces[i].n_ips;
    struct side *sides = arena_new_array(cx->arena, struct side, cap);
    for (size_t i = 0; i < spec->n_interfaces; i++)
        for (size_t k = 0; k < spec->interfaces[i].n_ips; k++) {
            const struct spec_ip *is = &spec->interfaces[i].ips[k];
            struct ip ip;
            TRY(ip_parse_with(cx, is->ip, is->prefix, &ip));
            ip = ip_network(&ip);
            sides[n++] = (struct side){ip_cidr(cx, &ip), is->scope, ip.version};
        }
    *ret = sides;
    *ret_n = n;
    return NULL;
}

/* ---------------------------------------------------------------- floating IPs */

static struct err *forwarding(struct nb_want *w, const struct spec_floating *f,
                              const char *floating, const char *fixed)
{
    if (!str_in(f->protocol, (const char *const[]){"tcp", "udp", "sctp", NULL}))
        return fail(w->cx, ERR_INVALID, "OVN forwards no ports of '%s'", f->protocol);
    struct nb_row *r = nb_add(w, "Load_Balancer",
                              arena_printf(w->cx->arena, "forward:%s:%s:%" PRId64, f->protocol,
                                           floating, f->floating_port),
                              "router");
    nb_str(r, "name", f->id);
    nb_str(r, "protocol", f->protocol);
    nb_map(r, "vips", arena_printf(w->cx->arena, "%s:%" PRId64, floating, f->floating_port),
           arena_printf(w->cx->arena, "%s:%" PRId64, fixed, f->fixed_port));
    return NULL;
}

/* Of several floating IPs of one address the first is its face to the world. */
static bool is_another(const struct spec_router *spec, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (!spec->floating[i].protocol &&
            str_eq(spec->floating[i].fixed_ip, spec->floating[at].fixed_ip))
            return true;
    return false;
}

static struct err *floating(struct nb_want *w, const struct spec_router *spec, size_t at)
{
    const struct spec_floating *f = &spec->floating[at];
    struct ip from, to;
    struct nb_row *r;
    TRY(ip_parse_with(w->cx, f->floating_ip, 32, &from));
    TRY(ip_parse_with(w->cx, f->fixed_ip, 32, &to));
    if (from.version != 4 || to.version != 4)
        return fail(w->cx, ERR_INVALID, "a floating IP is of IP version 4");
    const char *outer = ip_text(w->cx, &from), *inner = ip_text(w->cx, &to);
    if (f->protocol)
        return forwarding(w, f, outer, inner);
    nat(w, arena_printf(w->cx->arena, "floating:%s", outer),
        is_another(spec, at) ? "dnat" : "dnat_and_snat", outer, inner, &r);
    if (!f->port_id || is_another(spec, at))
        return NULL;
    struct mac mac = mac_derive("floating", f->id);
    nb_str(r, "external_mac", mac_text(w->cx, &mac));
    nb_str(r, "logical_port", f->port_id);
    return NULL;
}

static struct err *routes(struct nb_want *w, const struct spec_router *spec)
{
    for (size_t i = 0; i < spec->n_routes; i++) {
        struct ip dst, via;
        TRY(ip_parse(w->cx, spec->routes[i].destination, &dst));
        TRY(ip_parse(w->cx, spec->routes[i].nexthop, &via));
        dst = ip_network(&dst);
        struct nb_row *r = nb_add(
            w, "Logical_Router_Static_Route",
            arena_printf(w->cx->arena, "route:%s:%s", ip_cidr(w->cx, &dst), ip_text(w->cx, &via)),
            "router");
        nb_str(r, "ip_prefix", ip_cidr(w->cx, &dst));
        nb_str(r, "nexthop", ip_text(w->cx, &via));
    }
    return NULL;
}

struct err *nb_router(struct ctx *cx, const struct spec_router *spec,
                      const struct nb_router_facts *facts, struct nb_want *w)
{
    const char *owner;
    struct side *sides;
    size_t n_sides;
    TRY(nb_owner(cx, ROUTER_OWNER, spec->id, &owner));
    TRY(sides_of(cx, spec, &sides, &n_sides));
    nb_want_init(w, cx, owner);
    struct nb_row *r = nb_add(w, "Logical_Router", "router", NULL);
    nb_str(r, "name", spec->id);
    nb_bool(r, "enabled", spec->admin_state_up);
    for (size_t i = 0; i < spec->n_interfaces; i++)
        TRY(interface(w, facts, &spec->interfaces[i]));
    policy(w, NOT_ROUTED, "ip4.dst == 169.254.0.0/16");
    keep_apart(w, sides, n_sides);
    TRY(routes(w, spec));
    if (!spec->has_external)
        return NULL;
    TRY(outside(w, spec, facts));
    if (spec->enable_snat)
        TRY(source_nat(w, spec, sides, n_sides));
    for (size_t i = 0; i < spec->n_floating; i++)
        TRY(floating(w, spec, i));
    return NULL;
}
