/* SPDX-License-Identifier: EUPL-1.2 */
/* Specs of networks and routers. See spec_read.h. */
#include "node/spec_read.h"
#include <arpa/inet.h>

enum {
    SUBNETS_MAX = 256,
    PORTS_MAX = 8192,
    RULES_MAX = 8192,
    REMOTES_MAX = 65536,
    ADDRESSES_MAX = 256,
    ROUTES_MAX = 256,
    CHASSIS_MAX = 2,
    INTERFACES_MAX = 256,
    FLOATING_MAX = 8192,
    OPTIONS_MAX = 64
};

static int ip_version_of(const char *s)
{
    uint8_t raw[16];
    return inet_pton(AF_INET, s, raw) == 1 ? 4 : inet_pton(AF_INET6, s, raw) == 1 ? 6 : 0;
}

static bool is_ip(const char *s)
{
    return ip_version_of(s) != 0;
}

/* An address, or one with "/prefix"; 0 if it is neither. */
static int prefix_version_of(const char *s)
{
    char ip[INET6_ADDRSTRLEN + 1];
    const char *slash = strchrnul(s, '/');
    size_t n = (size_t)(slash - s);
    if (n >= sizeof(ip))
        return 0;
    memcpy(ip, s, n);
    ip[n] = 0;
    int version = ip_version_of(ip);
    int64_t bits;
    if (*slash && !str_to_i64(slash + 1, 0, version == 4 ? 32 : 128, &bits))
        return 0;
    return version;
}

static bool is_prefix(const char *s)
{
    return prefix_version_of(s) != 0;
}

static bool is_cidr(const char *s)
{
    return strchr(s, '/') && prefix_version_of(s) != 0;
}

static bool is_protocol(const char *s)
{
    return spec_only(s, "-", 32);
}

/* What has ports that an address can be shared by. */
static bool is_forwarded(const char *s)
{
    return str_eq(s, "tcp") || str_eq(s, "udp") || str_eq(s, "sctp") || str_eq(s, "dccp");
}

static bool is_direction(const char *s)
{
    return str_eq(s, "ingress") || str_eq(s, "egress");
}

static bool is_ethertype(const char *s)
{
    return str_eq(s, "IPv4") || str_eq(s, "IPv6");
}

static bool is_ipv6_mode(const char *s)
{
    return str_eq(s, "slaac") || str_eq(s, "dhcpv6-stateful") || str_eq(s, "dhcpv6-stateless");
}

/* ---- shared parts ---- */

static struct spec_route *route_list(struct reader *r, const json_t *j, const char *key,
                                     size_t *ret_n)
{
    const json_t *a = read_array(r, j, key, ROUTES_MAX, ret_n);
    struct spec_route *out = arena_new_array(r->cx->arena, struct spec_route, *ret_n + 1);
    for (size_t i = 0; i < *ret_n; i++) {
        const json_t *v = json_array_get(a, i);
        out[i].destination = read_text(r, v, "destination", is_cidr, false);
        out[i].nexthop = read_text(r, v, "nexthop", is_ip, false);
        if (!r->err && prefix_version_of(out[i].destination) != ip_version_of(out[i].nexthop))
            read_refuse(r, key, "mixes IPv4 and IPv6 in one route");
    }
    return out;
}

static struct spec_address *address_list(struct reader *r, const json_t *j, const char *key,
                                         bool pairs, size_t *ret_n)
{
    const json_t *a = read_array(r, j, key, ADDRESSES_MAX, ret_n);
    struct spec_address *out = arena_new_array(r->cx->arena, struct spec_address, *ret_n + 1);
    for (size_t i = 0; i < *ret_n; i++) {
        const json_t *v = json_array_get(a, i);
        out[i].ip = read_text(r, v, "ip_address", pairs ? is_prefix : is_ip, false);
        if (pairs)
            out[i].mac = read_text(r, v, "mac_address", spec_is_mac, true);
        else
            out[i].subnet_id = read_text(r, v, "subnet_id", spec_is_id, false);
    }
    return out;
}

/* ---- network ---- */

static void read_subnet(struct reader *r, const json_t *j, struct spec_subnet *out)
{
    *out = (struct spec_subnet){
        .id = read_text(r, j, "id", spec_is_id, false),
        .cidr = read_text(r, j, "cidr", is_cidr, false),
        .ip_version = read_number(r, j, "ip_version", 4, 6) == 4 ? 4 : 6,
        .gateway_ip = read_text(r, j, "gateway_ip", is_ip, true),
        .enable_dhcp = read_boolean(r, j, "enable_dhcp"),
        .dhcp_ip = read_text(r, j, "dhcp_ip", is_ip, true),
        .ipv6_ra_mode = read_text(r, j, "ipv6_ra_mode", is_ipv6_mode, true),
        .ipv6_address_mode = read_text(r, j, "ipv6_address_mode", is_ipv6_mode, true),
    };
    out->dns_nameservers =
        read_text_list(r, j, "dns_nameservers", is_ip, ADDRESSES_MAX, &out->n_dns);
    out->host_routes = route_list(r, j, "host_routes", &out->n_host_routes);
    if (r->err)
        return;
    if (prefix_version_of(out->cidr) != out->ip_version ||
        (out->gateway_ip && ip_version_of(out->gateway_ip) != out->ip_version) ||
        (out->dhcp_ip && ip_version_of(out->dhcp_ip) != out->ip_version))
        read_refuse(r, "ip_version", "is not the one of the subnet's addresses");
}

static void read_rule(struct reader *r, const json_t *j, struct spec_rule *out)
{
    *out = (struct spec_rule){
        .ingress = str_eq(read_text(r, j, "direction", is_direction, false), "ingress"),
        .ip_version = str_eq(read_text(r, j, "ethertype", is_ethertype, false), "IPv4") ? 4 : 6,
        .protocol = read_text(r, j, "protocol", is_protocol, true),
        .port_min = read_number_or(r, j, "port_min", -1, 65535, -1),
        .port_max = read_number_or(r, j, "port_max", -1, 65535, -1),
        .any_remote = !json_get(j, "remotes") || json_is_null(json_get(j, "remotes")),
    };
    out->remotes = read_text_list(r, j, "remotes", is_prefix, REMOTES_MAX, &out->n_remotes);
    for (size_t i = 0; !r->err && i < out->n_remotes; i++)
        if (prefix_version_of(out->remotes[i]) != out->ip_version)
            read_refuse(r, "remotes", "has an address of the other IP version");
}

static bool is_option_name(const char *s)
{
    return spec_only(s, "-_", 64);
}

/* A line of a file: nothing that ends it. */
static bool is_option_value(const char *s)
{
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return *s && strlen(s) <= 255;
}

static void read_options(struct reader *r, const json_t *j, struct spec_port *out)
{
    const json_t *a = read_array(r, j, "extra_dhcp_opts", OPTIONS_MAX, &out->n_options);
    out->options = arena_new_array(r->cx->arena, struct spec_dhcp_option, out->n_options + 1);
    for (size_t i = 0; i < out->n_options; i++) {
        const json_t *v = json_array_get(a, i);
        out->options[i] = (struct spec_dhcp_option){
            .name = read_text(r, v, "opt_name", is_option_name, false),
            .value = read_text(r, v, "opt_value", is_option_value, false),
            .ip_version = read_number(r, v, "ip_version", 4, 6) == 4 ? 4 : 6,
        };
    }
}

/* One of a list with commas between. */
static bool is_chassis(const char *s)
{
    return spec_only(s, "-_.:", 255);
}

static void read_port(struct reader *r, const json_t *j, struct spec_port *out)
{
    *out = (struct spec_port){
        .id = read_text(r, j, "id", spec_is_id, false),
        .mac = read_text(r, j, "mac", spec_is_mac, false),
        .tap = read_text(r, j, "tap", spec_is_tap, false),
        .device_id = read_text(r, j, "device_id", spec_is_id, false),
        .hostname = read_text(r, j, "hostname", spec_is_hostname, true),
        .dns_domain = read_text(r, j, "dns_domain", spec_is_hostname, true),
        .admin_state_up = read_boolean(r, j, "admin_state_up"),
        .port_security = read_boolean(r, j, "port_security"),
    };
    if (json_get(j, "chassis"))
        out->chassis = read_text_list(r, j, "chassis", is_chassis, CHASSIS_MAX, &out->n_chassis);
    out->fixed_ips = address_list(r, j, "fixed_ips", false, &out->n_fixed_ips);
    out->pairs = address_list(r, j, "allowed_address_pairs", true, &out->n_pairs);
    read_options(r, j, out);
    const json_t *rules = read_array(r, j, "rules", RULES_MAX, &out->n_rules);
    out->rules = arena_new_array(r->cx->arena, struct spec_rule, out->n_rules + 1);
    for (size_t i = 0; i < out->n_rules; i++)
        read_rule(r, json_array_get(rules, i), &out->rules[i]);
    if (!r->err && strncmp(out->tap + 3, out->id, 11) != 0)
        read_refuse(r, "tap", "is not named after its port");
}

struct err *spec_network_read(struct ctx *cx, const json_t *j, struct spec_network *ret)
{
    struct reader rd = {.cx = cx, .what = "network spec"}, *r = &rd;
    struct spec_network out = {
        .id = read_text(r, j, "id", spec_is_id, false),
        .mtu = read_number(r, j, "mtu", 68, 65535),
        .external = read_boolean(r, j, "external"),
        .dns_domain = read_text(r, j, "dns_domain", spec_is_hostname, true),
    };
    const json_t *subnets = read_array(r, j, "subnets", SUBNETS_MAX, &out.n_subnets);
    out.subnets = arena_new_array(cx->arena, struct spec_subnet, out.n_subnets + 1);
    for (size_t i = 0; i < out.n_subnets; i++)
        read_subnet(r, json_array_get(subnets, i), &out.subnets[i]);
    const json_t *ports = read_array(r, j, "ports", PORTS_MAX, &out.n_ports);
    out.ports = arena_new_array(cx->arena, struct spec_port, out.n_ports + 1);
    for (size_t i = 0; i < out.n_ports; i++)
        read_port(r, json_array_get(ports, i), &out.ports[i]);
    if (!rd.err)
        *ret = out;
    return rd.err;
}

/* ---- router ---- */

static void read_interface(struct reader *r, const json_t *j, struct spec_interface *out)
{
    *out = (struct spec_interface){
        .port_id = read_text(r, j, "port_id", spec_is_id, false),
        .network_id = read_text(r, j, "network_id", spec_is_id, false),
        .mac = read_text(r, j, "mac", spec_is_mac, false),
    };
    const json_t *ips = read_array(r, j, "ips", ADDRESSES_MAX, &out->n_ips);
    out->ips = arena_new_array(r->cx->arena, struct spec_ip, out->n_ips + 1);
    for (size_t i = 0; i < out->n_ips; i++) {
        const json_t *v = json_array_get(ips, i);
        out->ips[i].ip = read_text(r, v, "ip", is_ip, false);
        out->ips[i].scope = read_text(r, v, "scope", spec_is_id, true);
        out->ips[i].prefix = read_number(r, v, "prefix", 0, 128);
    }
}

static void read_external(struct reader *r, const json_t *j, struct spec_router *out)
{
    const json_t *v = read_object(r, j, "external", true);
    if (!v)
        return;
    out->has_external = true;
    out->external.network_id = read_text(r, v, "network_id", spec_is_id, false);
    out->external.port_id = read_text(r, v, "port_id", spec_is_id, false);
    out->external.ip = read_text(r, v, "ip", is_ip, false);
    out->external.gateway = read_text(r, v, "gateway", is_ip, true);
    out->external.mac = read_text(r, v, "mac", spec_is_mac, false);
    out->external.scope = read_text(r, v, "scope", spec_is_id, true);
    out->external.prefix = read_number(r, v, "prefix", 0, 128);
}

static void read_floating(struct reader *r, const json_t *j, struct spec_floating *out)
{
    *out = (struct spec_floating){
        .id = read_text(r, j, "id", spec_is_id, false),
        .floating_ip = read_text(r, j, "floating_ip", is_ip, false),
        .fixed_ip = read_text(r, j, "fixed_ip", is_ip, false),
        .port_id = read_text(r, j, "port_id", spec_is_id, true),
        .protocol = read_text(r, j, "protocol", is_forwarded, true),
    };
    if (!out->protocol)
        return;
    out->floating_port = read_number(r, j, "floating_port", 1, 65535);
    out->fixed_port = read_number(r, j, "fixed_port", 1, 65535);
}

struct err *spec_router_read(struct ctx *cx, const json_t *j, struct spec_router *ret)
{
    struct reader rd = {.cx = cx, .what = "router spec"}, *r = &rd;
    struct spec_router out = {
        .id = read_text(r, j, "id", spec_is_id, false),
        .admin_state_up = read_boolean(r, j, "admin_state_up"),
        .enable_snat = read_boolean(r, j, "enable_snat"),
    };
    read_external(r, j, &out);
    const json_t *interfaces = read_array(r, j, "interfaces", INTERFACES_MAX, &out.n_interfaces);
    out.interfaces = arena_new_array(cx->arena, struct spec_interface, out.n_interfaces + 1);
    for (size_t i = 0; i < out.n_interfaces; i++)
        read_interface(r, json_array_get(interfaces, i), &out.interfaces[i]);
    const json_t *floating = read_array(r, j, "floating", FLOATING_MAX, &out.n_floating);
    out.floating = arena_new_array(cx->arena, struct spec_floating, out.n_floating + 1);
    for (size_t i = 0; i < out.n_floating; i++)
        read_floating(r, json_array_get(floating, i), &out.floating[i]);
    out.routes = route_list(r, j, "routes", &out.n_routes);
    if (!rd.err)
        *ret = out;
    return rd.err;
}
