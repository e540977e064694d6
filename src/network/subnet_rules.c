/* SPDX-License-Identifier: EUPL-1.2 */
/* What a subnet may look like: addresses, gateway, pools, IPv6 modes. Pure; messages are neutron's,
 * clients match them. */
#include "network/nw.h"

#define DNS_MAX 5
#define HOST_ROUTES_MAX 20

struct range {
    struct addr first, last;
};

struct cidr nw_cidr_of(const struct subnet *s)
{
    struct cidr c;
    must(cidr_parse(s->cidr, &c));
    return c;
}

static bool is_auto_mode(const char *mode)
{
    return str_eq(mode, "slaac") || str_eq(mode, "dhcpv6-stateless");
}

bool nw_is_auto(const struct subnet *s)
{
    return is_auto_mode(s->ipv6_address_mode) || is_auto_mode(s->ipv6_ra_mode);
}

bool nw_wants_dhcp_ip(const struct subnet *s)
{
    return s->enable_dhcp &&
           (s->ip_version == 4 || str_eq(s->ipv6_address_mode, "dhcpv6-stateful"));
}

/* ---------------------------------------------------------------- pools */

static const char *range_text(struct ctx *cx, const struct range *r)
{
    return arena_printf(cx->arena, "%s-%s", addr_text(cx, &r->first), addr_text(cx, &r->last));
}

static bool in_range(const struct range *r, const struct addr *a)
{
    return addr_cmp(&r->first, a) <= 0 && addr_cmp(a, &r->last) <= 0;
}

static size_t ranges_of(struct ctx *cx, const char *pools, struct range **ret)
{
    const json_t *j = nw_json(cx, pools);
    size_t n = json_array_size(j);
    *ret = arena_new_array(cx->arena, struct range, n + 1);
    for (size_t i = 0; i < n; i++) {
        must(addr_parse(json_get_str(json_array_get(j, i), "start"), &(*ret)[i].first));
        must(addr_parse(json_get_str(json_array_get(j, i), "end"), &(*ret)[i].last));
    }
    return n;
}

/* Two addresses or one: no room for a network's own and a broadcast address. */
static bool is_tiny(const struct cidr *c)
{
    return c->prefix >= addr_bits(&c->net) - 1;
}

/* Addresses that hosts may have: in IPv4 neither the first nor the last, in IPv6 not the first
 * (anycast). */
static struct range usable(const struct cidr *c)
{
    struct range r = {c->net, cidr_last(c)};
    if (is_tiny(c))
        return r;
    r.first = addr_add(&r.first, 1);
    if (c->net.version == 4)
        r.last = addr_add(&r.last, -1);
    return r;
}

static void default_pools(struct ctx *cx, struct subnet *s)
{
    struct cidr c = nw_cidr_of(s);
    struct range all = usable(&c), parts[2] = {all, all};
    struct addr gw;
    json_t *out = json_own(cx, json_array());
    if (addr_parse(s->gateway_ip, &gw) && gw.version == c.net.version && in_range(&all, &gw)) {
        parts[0].last = addr_add(&gw, -1);
        parts[1].first = addr_add(&gw, 1);
        /* At the ends of the address space the sum wraps around. */
        if (addr_cmp(&gw, &all.first) == 0)
            parts[0] = (struct range){.first = all.last, .last = all.first};
        if (addr_cmp(&gw, &all.last) == 0)
            parts[1] = (struct range){.first = all.last, .last = all.first};
    } else {
        parts[1] = (struct range){.first = all.last, .last = all.first};
    }
    bool one = addr_cmp(&all.first, &all.last) == 0;
    for (int i = 0; i < 2; i++) {
        bool empty =
            addr_cmp(&parts[i].first, &parts[i].last) > 0 || (one && s->gateway_ip) || (one && i);
        if (!empty)
            json_array_append_new(out,
                                  json_pack("{s:s, s:s}", "start", addr_text(cx, &parts[i].first),
                                            "end", addr_text(cx, &parts[i].last)));
    }
    s->allocation_pools = json_text(cx, out);
}

static struct err *check_pools_of(struct ctx *cx, const struct subnet *s)
{
    struct cidr c = nw_cidr_of(s);
    struct range *r, all = usable(&c);
    size_t n = ranges_of(cx, s->allocation_pools, &r);
    for (size_t i = 0; i < n; i++) {
        if (r[i].first.version != c.net.version || r[i].last.version != c.net.version ||
            addr_cmp(&r[i].first, &r[i].last) > 0)
            return bad(cx, "InvalidAllocationPool", "The allocation pool %s is not valid.",
                       range_text(cx, &r[i]));
        if (!in_range(&all, &r[i].first) || !in_range(&all, &r[i].last))
            return bad(cx, "OutOfBoundsAllocationPool",
                       "The allocation pool %s spans beyond the subnet cidr %s.",
                       range_text(cx, &r[i]), s->cidr);
        for (size_t k = 0; k < i; k++)
            if (in_range(&r[k], &r[i].first) || in_range(&r[i], &r[k].first))
                return fail_type(cx, ERR_CONFLICT, "OverlappingAllocationPools",
                                 "Found overlapping allocation pools: %s %s for subnet %s.",
                                 range_text(cx, &r[k]), range_text(cx, &r[i]), s->cidr);
    }
    return NULL;
}

static struct err *gateway_outside_pools(struct ctx *cx, const struct subnet *s)
{
    struct addr gw;
    struct range *r;
    size_t n = ranges_of(cx, s->allocation_pools, &r);
    if (!addr_parse(s->gateway_ip, &gw))
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (in_range(&r[i], &gw))
            return fail_type(cx, ERR_CONFLICT, "GatewayConflictWithAllocationPools",
                             "Gateway ip %s conflicts with allocation pool %s.", s->gateway_ip,
                             range_text(cx, &r[i]));
    return NULL;
}

/* ---------------------------------------------------------------- gateway, modes, lists */

static struct err *check_gateway(struct ctx *cx, const struct subnet *s)
{
    struct cidr c = nw_cidr_of(s);
    struct range all = usable(&c);
    struct addr gw;
    if (!addr_parse(s->gateway_ip, &gw))
        return NULL;
    bool link_local = gw.version == 6 && gw.b[0] == 0xfe && (gw.b[1] & 0xc0) == 0x80;
    if (gw.version != c.net.version)
        return bad_input(cx, "gateway_ip '%s' does not match the ip_version '%d'", s->gateway_ip,
                         c.net.version);
    if (!link_local && !in_range(&all, &gw))
        return bad_input(cx, "Gateway is not valid on subnet");
    return NULL;
}

static struct err *check_modes(struct ctx *cx, const struct subnet *s)
{
    const char *ra = s->ipv6_ra_mode, *address = s->ipv6_address_mode;
    if (!ra && !address)
        return NULL;
    if (s->ip_version == 4)
        return bad_input(cx, "%s is not valid when ip_version is 4",
                         ra ? "ipv6_ra_mode" : "ipv6_address_mode");
    if (!s->enable_dhcp)
        return bad_input(
            cx, "ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False");
    if (ra && address && !str_eq(ra, address))
        return bad_input(cx,
                         "ipv6_ra_mode set to '%s' with ipv6_address_mode set to '%s' is not "
                         "valid. If both attributes "
                         "are set, they must be the same value",
                         ra, address);
    if (nw_is_auto(s) && nw_cidr_of(s).prefix != 64)
        return bad_input(cx,
                         "Invalid CIDR %s for IPv6 address mode. OpenStack uses the EUI-64 address "
                         "format, which "
                         "requires the prefix to be /64",
                         s->cidr);
    return NULL;
}

static struct err *check_versions(struct ctx *cx, const struct subnet *s)
{
    const json_t *dns = nw_json(cx, s->dns_nameservers), *routes = nw_json(cx, s->host_routes);
    if (json_array_size(dns) > DNS_MAX)
        return bad(cx, "DNSNameServersExhausted",
                   "Unable to complete operation for %s. The number of DNS nameservers exceeds the "
                   "limit %d.",
                   s->id, DNS_MAX);
    if (json_array_size(routes) > HOST_ROUTES_MAX)
        return bad(
            cx, "HostRoutesExhausted",
            "Unable to complete operation for %s. The number of host routes exceeds the limit %d.",
            s->id, HOST_ROUTES_MAX);
    for (size_t i = 0; i < json_array_size(routes); i++) {
        struct cidr to;
        must(cidr_parse(json_get_str(json_array_get(routes, i), "destination"), &to));
        if (to.net.version != s->ip_version)
            return bad_input(
                cx, "The destination of a host route does not match the ip_version '%" PRId64 "'",
                s->ip_version);
    }
    return NULL;
}

static struct err *check_cidr_of(struct ctx *cx, const struct subnet *s,
                                 const struct subnets *others)
{
    struct cidr c = nw_cidr_of(s);
    if (c.net.version != s->ip_version)
        return bad_input(cx, "requested ip_version '%" PRId64 "' does not match the cidr '%s'",
                         s->ip_version, s->cidr);
    if (c.prefix == 0 ||
        (c.net.version == 4 && (c.net.b[0] == 0 || c.net.b[0] >= 224 || c.net.b[0] == 127)) ||
        (c.net.version == 6 && c.net.b[0] == 0xff))
        return bad_input(cx, "'%s' is not a range of addresses that hosts may have", s->cidr);
    if (s->enable_dhcp && is_tiny(&c))
        return bad_input(
            cx, "Subnet has a prefix length that is incompatible with DHCP service enabled");
    for (size_t i = 0; i < others->n; i++) {
        struct cidr o = nw_cidr_of(others->v[i]);
        if (cidr_overlap(&c, &o))
            return bad_input(
                cx, "Requested subnet with cidr: %s for network: %s overlaps with another subnet",
                s->cidr, s->network_id);
    }
    return NULL;
}

/* ---------------------------------------------------------------- both occasions */

static void fill_lists(struct subnet *s)
{
    if (!s->dns_nameservers)
        s->dns_nameservers = "[]";
    if (!s->host_routes)
        s->host_routes = "[]";
}

struct err *nw_subnet_check_new(struct ctx *cx, struct subnet *s, const struct subnets *others)
{
    fill_lists(s);
    if (s->ip_version != 4 && s->ip_version != 6)
        return bad(cx, "HTTPBadRequest",
                   "Invalid input for ip_version. Reason: '%" PRId64 "' is not in [4, 6].",
                   s->ip_version);
    if (!s->cidr)
        return bad(cx, "BadRequest",
                   "Bad subnets request: a subnetpool must be specified in the absence of a cidr.");
    TRY(check_cidr_of(cx, s, others));
    TRY(check_modes(cx, s));
    struct cidr c = nw_cidr_of(s);
    if (!row_given(&s->row, subnet_f_gateway_ip)) {
        struct range all = usable(&c);
        s->gateway_ip = addr_text(cx, &all.first);
    }
    TRY(check_gateway(cx, s));
    TRY(check_versions(cx, s));
    if (!s->allocation_pools) {
        default_pools(cx, s);
        return NULL;
    }
    TRY(check_pools_of(cx, s));
    return gateway_outside_pools(cx, s);
}

struct err *nw_subnet_check_update(struct ctx *cx, struct subnet *s, const struct subnet *old)
{
    fill_lists(s);
    if (!s->allocation_pools)
        s->allocation_pools = old->allocation_pools;
    TRY(check_modes(cx, s));
    TRY(check_gateway(cx, s));
    TRY(check_versions(cx, s));
    TRY(check_pools_of(cx, s));
    struct cidr c = nw_cidr_of(s);
    if (s->enable_dhcp && is_tiny(&c))
        return bad_input(
            cx, "Subnet has a prefix length that is incompatible with DHCP service enabled");
    return gateway_outside_pools(cx, s);
}
