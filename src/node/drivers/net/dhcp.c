/* SPDX-License-Identifier: EUPL-1.2 */
/* dnsmasq's configuration, from the spec. Text only; dnsmasq.c runs it. */
#include "node/drivers/net/addr.h"
#include "node/drivers/net/dhcp.h"
#include "node/drivers/net/names.h"

#define LEASE_SECONDS 86400

static bool slaac(const char *mode)
{
    return str_eq(mode, "slaac");
}

static bool stateful(const struct spec_subnet *s)
{
    return str_eq(s->ipv6_address_mode, "dhcpv6-stateful");
}

/* The subnet's own DHCP server answers: always with DHCPv4, and where an IPv6 mode asks for DHCPv6.
 */
static bool serves(const struct spec_subnet *s)
{
    if (!s->enable_dhcp || !s->dhcp_ip)
        return false;
    return s->ip_version == 4 || (s->ipv6_address_mode && !slaac(s->ipv6_address_mode));
}

/* Without servers to ask, DNS answers for the network's own names alone. */
static void common(struct buf *b, bool dns)
{
    buf_str(b, "# Written by colvert; changes are lost.\n");
    buf_str(b, dns ? "domain-needed\nbogus-priv\n" : "port=0\n");
    buf_str(b, "bind-interfaces\nexcept-interface=lo\nno-resolv\nno-hosts\nno-ping\n"
               "leasefile-ro\nquiet-dhcp\nquiet-dhcp6\nquiet-ra\ndhcp-authoritative\n");
}

/* RFC 3442: who gets option 121 takes no default route from option 3, so it is repeated there. */
MUST_USE static struct err *classless_routes(struct ctx *cx, const struct spec_subnet *s,
                                             const struct ip *dhcp, const struct ip *gateway,
                                             const char **ret)
{
    struct buf b;
    buf_init(&b, cx->arena);
    buf_printf(&b, METADATA_IP "/32,%s", ip_text(cx, dhcp));
    for (size_t i = 0; i < s->n_host_routes; i++) {
        struct ip dst, via;
        TRY(ip_parse(cx, s->host_routes[i].destination, &dst));
        TRY(ip_parse_with(cx, s->host_routes[i].nexthop, 32, &via));
        dst = ip_network(&dst);
        if (dst.version == 4 && via.version == 4)
            buf_printf(&b, ",%s,%s", ip_cidr(cx, &dst), ip_text(cx, &via));
    }
    if (gateway->version)
        buf_printf(&b, ",0.0.0.0/0,%s", ip_text(cx, gateway));
    *ret = buf_cstr(&b);
    return NULL;
}

MUST_USE static struct err *dns_list(struct ctx *cx, const struct spec_subnet *s, const char **ret)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < s->n_dns; i++) {
        struct ip ip;
        TRY(ip_parse(cx, s->dns_nameservers[i], &ip));
        if (ip.version != s->ip_version)
            continue;
        buf_printf(&b, ip.version == 4 ? "%s%s" : "%s[%s]", b.len ? "," : "", ip_text(cx, &ip));
    }
    *ret = buf_cstr(&b);
    return NULL;
}

/* Those told to guests: the subnet's, or else the network's own. */
MUST_USE static struct err *dns_told(struct ctx *cx, const struct spec_subnet *s,
                                     const struct ip *dhcp, const char **ret)
{
    TRY(dns_list(cx, s, ret));
    if (!**ret)
        *ret = arena_printf(cx->arena, dhcp->version == 4 ? "%s" : "[%s]", ip_text(cx, dhcp));
    return NULL;
}

MUST_USE static struct err *subnet4(struct ctx *cx, const struct spec_subnet *s, const char *tag,
                                    int64_t mtu, struct buf *b)
{
    struct ip net, dhcp, gateway = {0}, mask = {.version = 4};
    const char *routes, *dns;
    TRY(ip_parse(cx, s->cidr, &net));
    TRY(ip_parse_with(cx, s->dhcp_ip, net.prefix, &dhcp));
    if (s->gateway_ip)
        TRY(ip_parse_with(cx, s->gateway_ip, 32, &gateway));
    if (net.version != 4 || dhcp.version != 4 || (gateway.version && gateway.version != 4))
        return fail(cx, ERR_INVALID, "subnet %s mixes IP versions", s->id);
    TRY(classless_routes(cx, s, &dhcp, &gateway, &routes));
    TRY(dns_told(cx, s, &dhcp, &dns));
    memset(mask.bytes, 0xff, 4);
    mask.prefix = net.prefix;
    mask = ip_network(&mask);
    net = ip_network(&net);
    buf_printf(b, "# the server is %s\n", ip_cidr(cx, &dhcp));
    buf_printf(b, "dhcp-range=set:%s,%s,static,%s,%d\n", tag, ip_text(cx, &net), ip_text(cx, &mask),
               LEASE_SECONDS);
    /* Without a value dnsmasq leaves its own default, itself, out. */
    buf_printf(b, "dhcp-option=tag:%s,option:router%s%s\n", tag, gateway.version ? "," : "",
               gateway.version ? ip_text(cx, &gateway) : "");
    buf_printf(b, "dhcp-option=tag:%s,option:dns-server,%s\n", tag, dns);
    buf_printf(b, "dhcp-option-force=tag:%s,option:mtu,%" PRId64 "\n", tag, mtu);
    buf_printf(b, "dhcp-option-force=tag:%s,option:classless-static-route,%s\n", tag, routes);
    buf_printf(b, "dhcp-option=tag:%s,249,%s\n", tag, routes); /* the same by Microsoft's number */
    return NULL;
}

MUST_USE static struct err *subnet6(struct ctx *cx, const struct spec_subnet *s, const char *tag,
                                    struct buf *b)
{
    struct ip net, dhcp;
    const char *dns;
    TRY(ip_parse(cx, s->cidr, &net));
    TRY(ip_parse_with(cx, s->dhcp_ip, net.prefix, &dhcp));
    if (net.version != 6 || dhcp.version != 6)
        return fail(cx, ERR_INVALID, "subnet %s mixes IP versions", s->id);
    TRY(dns_told(cx, s, &dhcp, &dns));
    net = ip_network(&net);
    buf_printf(b, "# the server is %s\n", ip_cidr(cx, &dhcp));
    buf_printf(b, "dhcp-range=set:%s,%s,static,%u,%d\n", tag, ip_text(cx, &net), net.prefix,
               LEASE_SECONDS);
    buf_printf(b, "dhcp-option=tag:%s,option6:dns-server,%s\n", tag, dns);
    return NULL;
}

/* "example.org" of "example.org."; NULL: none. */
static const char *domain_of(struct ctx *cx, const char *text)
{
    size_t n = text ? strlen(text) : 0;
    while (n && text[n - 1] == '.')
        n--;
    return n ? arena_strndup(cx->arena, text, n) : NULL;
}

/*
 * What the lines in the file of options are for. A tag in the file of hosts would do, but dnsmasq
 * 2.90 crashes at the first request after it has read such a file again.
 */
MUST_USE static struct err *tags(struct ctx *cx, const struct spec_network *spec, struct buf *b)
{
    for (size_t i = 0; i < spec->n_ports; i++) {
        const struct spec_port *port = &spec->ports[i];
        struct mac mac;
        if (!port->n_options || !port->admin_state_up)
            continue;
        TRY(mac_parse(cx, port->mac, &mac));
        buf_printf(b, "dhcp-mac=set:port-%.11s,%s\n", port->id, mac_text(cx, &mac));
    }
    return NULL;
}

struct err *dhcp_conf_text(struct ctx *cx, const struct spec_network *spec, int link,
                           const char **ret)
{
    struct buf b;
    bool any = false;
    buf_init(&b, cx->arena);
    common(&b, true);
    const char *domain = domain_of(cx, spec->dns_domain);
    if (domain)
        buf_printf(&b, "domain=%s\nlocal=/%s/\n", domain, domain);
    buf_printf(&b, "# the bridge is link %d\ninterface=" BRIDGE "\n", link);
    if (spec->mtu < 68 || spec->mtu > 65535)
        return fail(cx, ERR_INVALID, "network %s cannot have an MTU of %" PRId64, spec->id,
                    spec->mtu);
    for (size_t i = 0; i < spec->n_subnets; i++) {
        const struct spec_subnet *s = &spec->subnets[i];
        const char *tag = arena_printf(cx->arena, "subnet%zu", i);
        if (!serves(s))
            continue;
        any = true;
        if (s->ip_version == 4)
            TRY(subnet4(cx, s, tag, spec->mtu, &b));
        else
            TRY(subnet6(cx, s, tag, &b));
    }
    TRY(tags(cx, spec, &b));
    *ret = any ? buf_cstr(&b) : NULL;
    return NULL;
}

static bool hostname_ok(const char *s)
{
    size_t n = s ? strlen(s) : 0;
    return n > 0 && n <= 63 && s[0] != '-' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == n;
}

static const struct spec_subnet *subnet_of(const struct spec_network *spec,
                                           const struct spec_address *a)
{
    for (size_t k = 0; k < spec->n_subnets; k++)
        if (str_eq(spec->subnets[k].id, a->subnet_id))
            return &spec->subnets[k];
    return NULL;
}

/* A DHCP client asks for one address of each version: the port's first in a subnet with DHCP. */
MUST_USE static struct err *host_line(struct ctx *cx, const struct spec_network *spec,
                                      const struct spec_port *port, struct buf *b)
{
    struct mac mac;
    const char *v4 = "", *v6 = "";
    TRY(mac_parse(cx, port->mac, &mac));
    for (size_t i = 0; i < port->n_fixed_ips; i++) {
        const struct spec_address *a = &port->fixed_ips[i];
        const struct spec_subnet *s = subnet_of(spec, a);
        struct ip ip;
        TRY(ip_parse(cx, a->ip, &ip));
        if (!s || !serves(s))
            continue;
        if (ip.version == 4 && !*v4)
            v4 = arena_printf(cx->arena, ",%s", ip_text(cx, &ip));
        if (ip.version == 6 && !*v6 && stateful(s))
            v6 = arena_printf(cx->arena, ",[%s]", ip_text(cx, &ip));
    }
    if (!*v4 && !*v6)
        return NULL;
    buf_printf(b, "%s%s%s", mac_text(cx, &mac), v4, v6);
    if (hostname_ok(port->hostname))
        buf_printf(b, ",%s", port->hostname);
    buf_char(b, '\n');
    return NULL;
}

struct err *dhcp_hosts_text(struct ctx *cx, const struct spec_network *spec, const char **ret)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < spec->n_ports; i++)
        if (spec->ports[i].admin_state_up)
            TRY(host_line(cx, spec, &spec->ports[i], &b));
    *ret = buf_cstr(&b);
    return NULL;
}

struct err *dhcp_options_text(struct ctx *cx, const struct spec_network *spec, const char **ret)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < spec->n_ports; i++) {
        const struct spec_port *port = &spec->ports[i];
        for (size_t k = 0; port->admin_state_up && k < port->n_options; k++) {
            const struct spec_dhcp_option *o = &port->options[k];
            bool number = strspn(o->name, "0123456789") == strlen(o->name);
            const char *kind = o->ip_version == 6 ? "option6:" : number ? "" : "option:";
            if (o->name[strspn(o->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789-_")] ||
                strpbrk(o->value, "\r\n"))
                return fail(cx, ERR_INVALID, "'%s' is no DHCP option", o->name);
            buf_printf(&b, "tag:port-%.11s,%s%s,%s\n", port->id, kind, o->name, o->value);
        }
    }
    *ret = buf_cstr(&b);
    return NULL;
}

/* A port without a name is called by its address, as the API shows it. */
static const char *name_of(struct ctx *cx, const struct spec_port *port, const struct ip *ip)
{
    if (hostname_ok(port->hostname))
        return port->hostname;
    char *name = arena_printf(cx->arena, "host-%s", ip_text(cx, ip));
    for (char *p = name; *p; p++)
        if (*p == '.' || *p == ':')
            *p = '-';
    return name;
}

struct err *dhcp_names_text(struct ctx *cx, const struct spec_network *spec, const char **ret)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < spec->n_ports; i++) {
        const struct spec_port *port = &spec->ports[i];
        const char *domain = domain_of(cx, port->dns_domain);
        if (!domain)
            domain = domain_of(cx, spec->dns_domain);
        for (size_t k = 0; k < port->n_fixed_ips; k++) {
            struct ip ip;
            TRY(ip_parse(cx, port->fixed_ips[k].ip, &ip));
            const char *name = name_of(cx, port, &ip);
            buf_str(&b, ip_text(cx, &ip));
            if (domain)
                buf_printf(&b, " %s.%s", name, domain);
            buf_printf(&b, " %s\n", name);
        }
    }
    *ret = buf_cstr(&b);
    return NULL;
}

struct err *dhcp_ra_lines(struct ctx *cx, const struct spec_network *spec, const char **ret)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < spec->n_subnets; i++) {
        const struct spec_subnet *s = &spec->subnets[i];
        struct ip net;
        const char *dns;
        if (s->ip_version != 6 || !s->ipv6_ra_mode)
            continue;
        TRY(ip_parse(cx, s->cidr, &net));
        TRY(dns_list(cx, s, &dns));
        net = ip_network(&net);
        if (strspn(s->ipv6_ra_mode, "abcdefghijklmnopqrstuvwxyz0123456789-") !=
            strlen(s->ipv6_ra_mode))
            return fail(cx, ERR_INVALID, "subnet %s has an unknown ipv6_ra_mode", s->id);
        buf_printf(&b, "%s %s%s%s\n", ip_cidr(cx, &net), s->ipv6_ra_mode, *dns ? " " : "", dns);
    }
    *ret = buf_cstr(&b);
    return NULL;
}

/* dnsmasq's word for a mode, which sets the M, O and A flags (RFC 4861). */
static const char *ra_word(const char *mode)
{
    if (str_eq(mode, "dhcpv6-stateful"))
        return "static";
    return str_eq(mode, "dhcpv6-stateless") ? "ra-stateless" : "ra-only";
}

MUST_USE static struct err *ra_link_text(struct ctx *cx, const struct ra_link *link, struct buf *b,
                                         bool *ret_any)
{
    char **lines, **words;
    size_t n = str_split(cx, link->lines, '\n', &lines);
    bool named = false;
    for (size_t i = 0; i < n; i++) {
        struct ip net;
        size_t n_words = str_split(cx, lines[i], ' ', &words);
        if (n_words < 2)
            continue;
        TRY(ip_parse(cx, words[0], &net));
        if (!named)
            buf_printf(b, "# link %d\ninterface=%s\n", link->link, link->name);
        named = *ret_any = true;
        const char *tag = arena_printf(cx->arena, "%s-%zu", link->name, i);
        buf_printf(b, "dhcp-range=set:%s,%s,%s,%u,%d\n", tag, ip_text(cx, &net), ra_word(words[1]),
                   net.prefix, LEASE_SECONDS);
        if (n_words > 2)
            buf_printf(b, "dhcp-option=tag:%s,option6:dns-server,%s\n", tag, words[2]);
    }
    return NULL;
}

struct err *ra_conf_text(struct ctx *cx, const struct ra_link *links, size_t n, const char **ret)
{
    struct buf b;
    bool any = false;
    buf_init(&b, cx->arena);
    common(&b, false);
    buf_str(&b, "enable-ra\n");
    for (size_t i = 0; i < n; i++)
        TRY(ra_link_text(cx, &links[i], &b, &any));
    *ret = any ? buf_cstr(&b) : NULL;
    return NULL;
}
