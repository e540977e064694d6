/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * DHCP, which OVN answers on each host by itself. A port has options of its own: its name, and what
 * the API lets its owner add. Texts become parts of OVN's flows: only what cannot end one is let
 * in.
 */
#include "node/drivers/ovn/nb_map.h"
#include "node/drivers/net/addr.h"
#include "node/drivers/net/names.h"

#define LEASE_SECONDS "86400"
#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* ADDRS: one or several, in braces; QUOTED: a text. */
enum option_kind { ADDR, ADDRS, QUOTED, NUMBER, FLAG };

/* What OVN knows (ovn-nb(5), DHCP_Options) of the names that dnsmasq and the DHCP RFCs have. */
static const struct option {
    const char *name; /* as the API's users write it */
    int number;
    const char *ovn;
    enum option_kind kind;
} options4[] =
    {
        {"netmask", 1, "netmask", ADDR},
        {"router", 3, "router", ADDR},
        {"dns-server", 6, "dns_server", ADDRS},
        {"log-server", 7, "log_server", ADDRS},
        {"lpr-server", 9, "lpr_server", ADDRS},
        {"hostname", 12, "hostname", QUOTED},
        {"domain-name", 15, "domain_name", QUOTED},
        {"swap-server", 16, "swap_server", ADDR},
        {"ip-forward-enable", 19, "ip_forward_enable", FLAG},
        {"default-ttl", 23, "default_ttl", NUMBER},
        {"mtu", 26, "mtu", NUMBER},
        {"broadcast", 28, "broadcast_address", ADDR},
        {"router-discovery", 31, "router_discovery", FLAG},
        {"router-solicitation", 32, "router_solicitation", ADDR},
        {"ethernet-encap", 36, "ethernet_encap", FLAG},
        {"tcp-ttl", 37, "tcp_ttl", NUMBER},
        {"tcp-keepalive", 38, "tcp_keepalive_interval", NUMBER},
        {"nis-server", 41, "nis_server", ADDRS},
        {"ntp-server", 42, "ntp_server", ADDRS},
        {"netbios-ns", 44, "netbios_name_server", ADDR},
        {"netbios-nodetype", 46, "netbios_node_type", NUMBER},
        {"lease-time", 51, "lease_time", NUMBER},
        {"T1", 58, "T1", NUMBER},
        {"T2", 59, "T2", NUMBER},
        {"tftp-server", 66, "tftp_server", QUOTED},
        {"bootfile-name", 67, "bootfile_name", QUOTED},
        {"tftp-server-address", 150, "tftp_server_address", ADDRS},
        {"path-prefix", 210, "path_prefix", QUOTED},
        {"wpad", 252, "wpad", QUOTED},
        {"server-ip-address", -1, "next_server", ADDR},
},
  options6[] = {
      {"dns-server", 23, "dns_server", ADDRS},
      {"domain-search", 24, "domain_search", QUOTED},
};

static bool stateful(const struct spec_subnet *s)
{
    return str_eq(s->ipv6_address_mode, "dhcpv6-stateful");
}

static bool serves(const struct spec_subnet *s)
{
    if (!s->enable_dhcp || !s->dhcp_ip)
        return false;
    return s->ip_version == 4 || stateful(s) || str_eq(s->ipv6_address_mode, "dhcpv6-stateless");
}

/* ---------------------------------------------------------------- values */

static const char *addresses(struct ctx *cx, const char *text, int version, bool several)
{
    char **list;
    struct buf b;
    size_t n = str_split(cx, text, ',', &list);
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < n; i++) {
        struct ip ip;
        if (ip_parse(cx, list[i], &ip) || ip.version != version || (i && !several))
            return NULL;
        buf_printf(&b, "%s%s", i ? ", " : "", ip_text(cx, &ip));
    }
    return n > 1 ? arena_printf(cx->arena, "{%s}", buf_cstr(&b)) : n ? buf_cstr(&b) : NULL;
}

/* NULL: it is left out, as what dnsmasq does not understand is. */
static const char *value_of(struct ctx *cx, const struct option *o, const char *text, int version)
{
    int64_t n;
    switch (o->kind) {
    case ADDR:
    case ADDRS:
        return addresses(cx, text, version, o->kind == ADDRS);
    case QUOTED:
        return *text && strspn(text, PLAIN "-_./:") == strlen(text)
                   ? arena_printf(cx->arena, "\"%s\"", text)
                   : NULL;
    case FLAG:
        return str_in(text, (const char *const[]){"0", "1", NULL}) ? text : NULL;
    case NUMBER:
        return str_to_i64(text, 0, UINT32_MAX, &n) ? arena_printf(cx->arena, "%" PRId64, n) : NULL;
    }
    return NULL;
}

static void put_own(struct nb_want *w, struct nb_row *r, const struct spec_dhcp_option *own,
                    int version)
{
    const struct option *known = version == 4 ? options4 : options6;
    size_t n = version == 4 ? ARRAY_LEN(options4) : ARRAY_LEN(options6);
    int64_t number = -2;
    str_to_i64(own->name, 1, 254, &number);
    for (size_t i = 0; i < n; i++) {
        const char *value;
        if (!str_eq(known[i].name, own->name) && known[i].number != number)
            continue;
        value = value_of(w->cx, &known[i], own->value, version);
        if (value)
            nb_map(r, "options", known[i].ovn, value);
    }
}

/* Servers for names: the subnet's, or else the network's own. */
static struct err *dns_servers(struct ctx *cx, const struct spec_subnet *s, const struct ip *dhcp,
                               const char **ret)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < s->n_dns; i++) {
        struct ip ip;
        TRY(ip_parse(cx, s->dns_nameservers[i], &ip));
        if (ip.version == s->ip_version)
            buf_printf(&b, "%s%s", b.len ? ", " : "", ip_text(cx, &ip));
    }
    *ret = b.len ? arena_printf(cx->arena, "{%s}", buf_cstr(&b)) : ip_text(cx, dhcp);
    return NULL;
}

/* RFC 3442: who gets option 121 takes no default route from option 3, so it is repeated there. */
static struct err *classless_routes(struct ctx *cx, const struct spec_subnet *s,
                                    const struct ip *dhcp, const struct ip *gateway,
                                    const char **ret)
{
    struct buf b;
    buf_init(&b, cx->arena);
    buf_printf(&b, "{" METADATA_IP "/32,%s", ip_text(cx, dhcp));
    for (size_t i = 0; i < s->n_host_routes; i++) {
        struct ip dst, via;
        TRY(ip_parse(cx, s->host_routes[i].destination, &dst));
        TRY(ip_parse_with(cx, s->host_routes[i].nexthop, 32, &via));
        dst = ip_network(&dst);
        if (dst.version == 4 && via.version == 4)
            buf_printf(&b, ", %s,%s", ip_cidr(cx, &dst), ip_text(cx, &via));
    }
    if (gateway->version)
        buf_printf(&b, ", 0.0.0.0/0,%s", ip_text(cx, gateway));
    buf_char(&b, '}');
    *ret = buf_cstr(&b);
    return NULL;
}

/* "example.org" of "example.org."; NULL: none, or none that can be told. */
static const char *domain_of(struct ctx *cx, const char *text)
{
    size_t n = text ? strlen(text) : 0;
    while (n && text[n - 1] == '.')
        n--;
    return n && strspn(text, PLAIN "-_.") >= n ? arena_strndup(cx->arena, text, n) : NULL;
}

/* ---------------------------------------------------------------- rows */

static struct err *options_4(struct nb_want *w, const struct spec_network *spec,
                             const struct spec_subnet *s, struct nb_row *r)
{
    struct ip net, dhcp, gateway = {0};
    const char *routes, *dns, *domain = domain_of(w->cx, spec->dns_domain);
    TRY(ip_parse(w->cx, s->cidr, &net));
    TRY(ip_parse_with(w->cx, s->dhcp_ip, net.prefix, &dhcp));
    if (s->gateway_ip)
        TRY(ip_parse_with(w->cx, s->gateway_ip, 32, &gateway));
    if (net.version != 4 || dhcp.version != 4 || (gateway.version && gateway.version != 4))
        return fail(w->cx, ERR_INVALID, "subnet %s mixes IP versions", s->id);
    TRY(classless_routes(w->cx, s, &dhcp, &gateway, &routes));
    TRY(dns_servers(w->cx, s, &dhcp, &dns));
    net = ip_network(&net);
    nb_str(r, "cidr", ip_cidr(w->cx, &net));
    nb_map(r, "options", "server_id", ip_text(w->cx, &dhcp));
    nb_map(r, "options", "server_mac", metadata_mac(w->cx, spec->id));
    nb_map(r, "options", "lease_time", LEASE_SECONDS);
    nb_map(r, "options", "mtu", arena_printf(w->cx->arena, "%" PRId64, spec->mtu));
    nb_map(r, "options", "dns_server", dns);
    nb_map(r, "options", "classless_static_route", routes);
    nb_map(r, "options", "ms_classless_static_route", routes); /* by Microsoft's number */
    if (gateway.version)
        nb_map(r, "options", "router", ip_text(w->cx, &gateway));
    if (domain)
        nb_map(r, "options", "domain_name", arena_printf(w->cx->arena, "\"%s\"", domain));
    return NULL;
}

static struct err *options_6(struct nb_want *w, const struct spec_network *spec,
                             const struct spec_subnet *s, struct nb_row *r)
{
    struct ip net, dhcp;
    const char *dns, *domain = domain_of(w->cx, spec->dns_domain);
    TRY(ip_parse(w->cx, s->cidr, &net));
    TRY(ip_parse_with(w->cx, s->dhcp_ip, net.prefix, &dhcp));
    if (net.version != 6 || dhcp.version != 6)
        return fail(w->cx, ERR_INVALID, "subnet %s mixes IP versions", s->id);
    TRY(dns_servers(w->cx, s, &dhcp, &dns));
    net = ip_network(&net);
    nb_str(r, "cidr", ip_cidr(w->cx, &net));
    nb_map(r, "options", "server_id", metadata_mac(w->cx, spec->id));
    nb_map(r, "options", "dns_server", dns);
    if (domain)
        nb_map(r, "options", "domain_search", arena_printf(w->cx->arena, "\"%s\"", domain));
    if (!stateful(s))
        nb_map(r, "options", "dhcpv6_stateless", "true");
    return NULL;
}

/* A client asks for one address of each version: the port's first in a subnet with DHCP; of IPv6,
 * rather one that DHCP gives. */
static const struct spec_subnet *subnet_for(const struct spec_network *spec,
                                            const struct spec_port *port, int version)
{
    const struct spec_subnet *found = NULL;
    for (size_t i = 0; i < port->n_fixed_ips; i++)
        for (size_t k = 0; k < spec->n_subnets; k++) {
            const struct spec_subnet *s = &spec->subnets[k];
            if (!str_eq(s->id, port->fixed_ips[i].subnet_id) || s->ip_version != version ||
                !serves(s))
                continue;
            if (!found || (stateful(s) && !stateful(found)))
                found = s;
        }
    return found;
}

struct err *nb_dhcp(struct nb_want *w, const struct spec_network *spec,
                    const struct spec_port *port, struct nb_row *lsp)
{
    static const char *const columns[] = {"dhcpv4_options", "dhcpv6_options"};
    for (size_t i = 0; i < 2; i++) {
        int version = i ? 6 : 4;
        const struct spec_subnet *s = subnet_for(spec, port, version);
        if (!s)
            continue;
        const char *key = arena_printf(w->cx->arena, "dhcp%d:%s", version, port->id);
        struct nb_row *r = nb_add(w, "DHCP_Options", key, NULL);
        TRY(version == 4 ? options_4(w, spec, s, r) : options_6(w, spec, s, r));
        if (version == 4 && port->hostname)
            put_own(w, r, &(struct spec_dhcp_option){"hostname", port->hostname, 4}, 4);
        for (size_t k = 0; k < port->n_options; k++)
            if (port->options[k].ip_version == version)
                put_own(w, r, &port->options[k], version);
        nb_ref(lsp, columns[i], key);
    }
    return NULL;
}
