/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Reads the specs of the protocol into plain data. Whatever a driver later puts on a command line,
 * into a rule or into a file's name is checked here, once: the agent runs as root, and the control
 * plane's word is not enough. The reader keeps the first error and goes on, so that a spec reads as
 * a list of its members.
 */
#include "node/spec.h"
#include <arpa/inet.h>
#include <ctype.h>

enum {
    NICS_MAX = 32,
    SUBNETS_MAX = 256,
    PORTS_MAX = 8192,
    RULES_MAX = 8192,
    REMOTES_MAX = 65536,
    ADDRESSES_MAX = 256,
    ROUTES_MAX = 256,
    INTERFACES_MAX = 256,
    FLOATING_MAX = 8192,
    USER_DATA_MAX = 65535
};

struct reader {
    struct ctx *cx;
    struct err *err;  /* the first one */
    const char *what; /* "server spec" */
};

typedef bool check_fn(const char *s);

static void refuse(struct reader *r, const char *key, const char *why)
{
    if (!r->err)
        r->err = fail(r->cx, ERR_INVALID, "%s: '%s' %s", r->what, key, why);
}

/* A string that passes the check; NULL (and an error unless optional) where it is absent or null.
 */
static const char *text(struct reader *r, const json_t *j, const char *key, check_fn *check,
                        bool optional)
{
    const json_t *v = json_get(j, key);
    if (!v || json_is_null(v)) {
        if (!optional)
            refuse(r, key, "is missing");
        return NULL;
    }
    const char *s = json_string_value(v);
    if (!s || strlen(s) != json_string_length(v) || !check(s)) {
        refuse(r, key, "is not what it must be");
        return NULL;
    }
    return arena_strdup(r->cx->arena, s);
}

static int64_t number(struct reader *r, const json_t *j, const char *key, int64_t min, int64_t max)
{
    const json_t *v = json_get(j, key);
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max) {
        refuse(r, key, "is not a number in its range");
        return min;
    }
    return json_integer_value(v);
}

static int64_t number_or(struct reader *r, const json_t *j, const char *key, int64_t min,
                         int64_t max, int64_t otherwise)
{
    const json_t *v = json_get(j, key);
    return !v || json_is_null(v) ? otherwise : number(r, j, key, min, max);
}

static bool boolean(struct reader *r, const json_t *j, const char *key)
{
    const json_t *v = json_get(j, key);
    if (!json_is_boolean(v))
        refuse(r, key, "is not true or false");
    return json_is_true(v);
}

static const json_t *object(struct reader *r, const json_t *j, const char *key, bool optional)
{
    json_t *v = json_get(j, key);
    if (optional && (!v || json_is_null(v)))
        return NULL;
    if (!json_is_object(v)) {
        refuse(r, key, "is not an object");
        return NULL;
    }
    return json_own(r->cx, json_incref(v));
}

/* The array and its size; NULL and 0 where it isn't one. Absent is empty. */
static const json_t *array(struct reader *r, const json_t *j, const char *key, size_t max,
                           size_t *ret_n)
{
    const json_t *v = json_get(j, key);
    *ret_n = 0;
    if (!v || json_is_null(v))
        return NULL;
    if (!json_is_array(v) || json_array_size(v) > max) {
        refuse(r, key, "is not a list, or too long");
        return NULL;
    }
    *ret_n = json_array_size(v);
    return v;
}

/* ---- what strings may be ---- */

static bool only(const char *s, const char *extra, size_t max)
{
    size_t n = strlen(s);
    if (n == 0 || n > max || s[0] == '-' || s[0] == '.')
        return false;
    for (; *s; s++)
        if (!isascii((unsigned char)*s) || !(isalnum((unsigned char)*s) || strchr(extra, *s)))
            return false;
    return true;
}

static bool is_id(const char *s)
{
    return strlen(s) == 36 && uuid_valid(s);
}

static bool is_owner(const char *s)
{
    return only(s, "-_", 64);
}

static bool is_hostname(const char *s)
{
    return only(s, "-.", 255);
}

static bool is_name(const char *s)
{
    if (str_utf8_len(s) < 0 || strlen(s) > 1020)
        return false;
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

static bool is_sha512(const char *s)
{
    uint8_t raw[64];
    return strlen(s) == 128 && hex_decode(s, raw, sizeof(raw)) &&
           strspn(s, "0123456789abcdef") == 128;
}

static bool is_disk_format(const char *s)
{
    return str_eq(s, "raw") || str_eq(s, "qcow2");
}

static bool is_mac(const char *s)
{
    if (strlen(s) != 17)
        return false;
    for (int i = 0; i < 17; i++)
        if (i % 3 == 2 ? s[i] != ':' : !isxdigit((unsigned char)s[i]))
            return false;
    return true;
}

static bool is_tap(const char *s)
{
    return str_starts(s, "tap") && strlen(s) == 14 && strspn(s + 3, "0123456789abcdef-") == 11;
}

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
    return only(s, "-", 32);
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

static bool is_power(const char *s)
{
    return str_eq(s, "on") || str_eq(s, "off");
}

static bool is_base64(const char *s)
{
    return strlen(s) <= (USER_DATA_MAX / 3 + 1) * 4 + 1024;
}

/* ---- shared parts ---- */

static const char **text_list(struct reader *r, const json_t *j, const char *key, check_fn *check,
                              size_t max, size_t *ret_n)
{
    const json_t *a = array(r, j, key, max, ret_n);
    const char **out = arena_new_array(r->cx->arena, const char *, *ret_n + 1);
    for (size_t i = 0; i < *ret_n; i++) {
        const json_t *v = json_array_get(a, i);
        const char *s = json_string_value(v);
        if (s && strlen(s) == json_string_length(v) && check(s))
            out[i] = arena_strdup(r->cx->arena, s);
        else
            refuse(r, key, "has an entry that is not what it must be");
    }
    return out;
}

static struct spec_route *route_list(struct reader *r, const json_t *j, const char *key,
                                     size_t *ret_n)
{
    const json_t *a = array(r, j, key, ROUTES_MAX, ret_n);
    struct spec_route *out = arena_new_array(r->cx->arena, struct spec_route, *ret_n + 1);
    for (size_t i = 0; i < *ret_n; i++) {
        const json_t *v = json_array_get(a, i);
        out[i].destination = text(r, v, "destination", is_cidr, false);
        out[i].nexthop = text(r, v, "nexthop", is_ip, false);
        if (!r->err && prefix_version_of(out[i].destination) != ip_version_of(out[i].nexthop))
            refuse(r, key, "mixes IPv4 and IPv6 in one route");
    }
    return out;
}

static struct spec_address *address_list(struct reader *r, const json_t *j, const char *key,
                                         bool pairs, size_t *ret_n)
{
    const json_t *a = array(r, j, key, ADDRESSES_MAX, ret_n);
    struct spec_address *out = arena_new_array(r->cx->arena, struct spec_address, *ret_n + 1);
    for (size_t i = 0; i < *ret_n; i++) {
        const json_t *v = json_array_get(a, i);
        out[i].ip = text(r, v, "ip_address", pairs ? is_prefix : is_ip, false);
        if (pairs)
            out[i].mac = text(r, v, "mac_address", is_mac, true);
        else
            out[i].subnet_id = text(r, v, "subnet_id", is_id, false);
    }
    return out;
}

/* ---- server ---- */

static void read_image(struct reader *r, const json_t *j, struct spec_image *out)
{
    const json_t *v = object(r, j, "image", false);
    *out = (struct spec_image){
        .id = text(r, v, "id", is_id, false),
        .sha512 = text(r, v, "sha512", is_sha512, false),
        .disk_format = text(r, v, "disk_format", is_disk_format, false),
        .size_bytes = number(r, v, "size", 0, INT64_C(1) << 50),
        .virtual_size_bytes = number_or(r, v, "virtual_size", 0, INT64_C(1) << 50, 0),
    };
}

static void read_nics(struct reader *r, const json_t *j, struct spec_server *out)
{
    const json_t *a = array(r, j, "nics", NICS_MAX, &out->n_nics);
    out->nics = arena_new_array(r->cx->arena, struct spec_nic, out->n_nics + 1);
    for (size_t i = 0; i < out->n_nics; i++) {
        const json_t *v = json_array_get(a, i);
        struct spec_nic *nic = &out->nics[i];
        *nic = (struct spec_nic){
            .port_id = text(r, v, "port_id", is_id, false),
            .network_id = text(r, v, "network_id", is_id, false),
            .mac = text(r, v, "mac", is_mac, false),
            .tap = text(r, v, "tap", is_tap, false),
            .mtu = number(r, v, "mtu", 68, 65535),
        };
        if (!r->err && strncmp(nic->tap + 3, nic->port_id, 11) != 0)
            refuse(r, "tap", "is not named after its port");
    }
}

static void read_user_data(struct reader *r, const json_t *j, struct spec_server *out)
{
    const char *encoded = text(r, j, "user_data", is_base64, true);
    uint8_t *data = NULL;
    if (!encoded)
        return;
    if (!base64_decode(r->cx, encoded, &data, &out->user_data_size) ||
        out->user_data_size > USER_DATA_MAX)
        refuse(r, "user_data", "is not base64, or too long");
    else
        out->user_data = (const char *)data;
}

struct err *spec_server_read(struct ctx *cx, const json_t *j, struct spec_server *ret)
{
    struct reader rd = {.cx = cx, .what = "server spec"}, *r = &rd;
    struct spec_server out = {
        .id = text(r, j, "id", is_id, false),
        .name = text(r, j, "name", is_name, false),
        .hostname = text(r, j, "hostname", is_hostname, false),
        .project_id = text(r, j, "project_id", is_owner, false),
        .user_id = text(r, j, "user_id", is_owner, false),
        .power_on = str_eq(text(r, j, "power", is_power, false), "on"),
        .boot_seq = number(r, j, "boot_seq", 0, INT64_MAX),
        .reset_seq = number(r, j, "reset_seq", 0, INT64_MAX),
        .build_seq = number(r, j, "build_seq", 0, INT64_MAX),
        .vcpus = number(r, j, "vcpus", 1, 1024),
        .memory_mib = number(r, j, "memory_mib", 1, INT64_C(1) << 24),
        .root_gib = number(r, j, "root_gib", 0, INT64_C(1) << 20),
        .config_drive = boolean(r, j, "config_drive"),
        .meta_data = object(r, j, "meta_data", false),
        .network_data = object(r, j, "network_data", false),
        .vendor_data = object(r, j, "vendor_data", true),
    };
    read_image(r, j, &out.image);
    read_nics(r, j, &out);
    read_user_data(r, j, &out);
    if (!rd.err)
        *ret = out;
    return rd.err;
}

/* ---- network ---- */

static void read_subnet(struct reader *r, const json_t *j, struct spec_subnet *out)
{
    *out = (struct spec_subnet){
        .id = text(r, j, "id", is_id, false),
        .cidr = text(r, j, "cidr", is_cidr, false),
        .ip_version = number(r, j, "ip_version", 4, 6) == 4 ? 4 : 6,
        .gateway_ip = text(r, j, "gateway_ip", is_ip, true),
        .enable_dhcp = boolean(r, j, "enable_dhcp"),
        .dhcp_ip = text(r, j, "dhcp_ip", is_ip, true),
        .ipv6_ra_mode = text(r, j, "ipv6_ra_mode", is_ipv6_mode, true),
        .ipv6_address_mode = text(r, j, "ipv6_address_mode", is_ipv6_mode, true),
    };
    out->dns_nameservers = text_list(r, j, "dns_nameservers", is_ip, ADDRESSES_MAX, &out->n_dns);
    out->host_routes = route_list(r, j, "host_routes", &out->n_host_routes);
    if (r->err)
        return;
    if (prefix_version_of(out->cidr) != out->ip_version ||
        (out->gateway_ip && ip_version_of(out->gateway_ip) != out->ip_version) ||
        (out->dhcp_ip && ip_version_of(out->dhcp_ip) != out->ip_version))
        refuse(r, "ip_version", "is not the one of the subnet's addresses");
}

static void read_rule(struct reader *r, const json_t *j, struct spec_rule *out)
{
    *out = (struct spec_rule){
        .ingress = str_eq(text(r, j, "direction", is_direction, false), "ingress"),
        .ip_version = str_eq(text(r, j, "ethertype", is_ethertype, false), "IPv4") ? 4 : 6,
        .protocol = text(r, j, "protocol", is_protocol, true),
        .port_min = number_or(r, j, "port_min", -1, 65535, -1),
        .port_max = number_or(r, j, "port_max", -1, 65535, -1),
        .any_remote = !json_get(j, "remotes") || json_is_null(json_get(j, "remotes")),
    };
    out->remotes = text_list(r, j, "remotes", is_prefix, REMOTES_MAX, &out->n_remotes);
    for (size_t i = 0; !r->err && i < out->n_remotes; i++)
        if (prefix_version_of(out->remotes[i]) != out->ip_version)
            refuse(r, "remotes", "has an address of the other IP version");
}

static void read_port(struct reader *r, const json_t *j, struct spec_port *out)
{
    *out = (struct spec_port){
        .id = text(r, j, "id", is_id, false),
        .mac = text(r, j, "mac", is_mac, false),
        .tap = text(r, j, "tap", is_tap, false),
        .device_id = text(r, j, "device_id", is_id, false),
        .hostname = text(r, j, "hostname", is_hostname, true),
        .admin_state_up = boolean(r, j, "admin_state_up"),
        .port_security = boolean(r, j, "port_security"),
    };
    out->fixed_ips = address_list(r, j, "fixed_ips", false, &out->n_fixed_ips);
    out->pairs = address_list(r, j, "allowed_address_pairs", true, &out->n_pairs);
    const json_t *rules = array(r, j, "rules", RULES_MAX, &out->n_rules);
    out->rules = arena_new_array(r->cx->arena, struct spec_rule, out->n_rules + 1);
    for (size_t i = 0; i < out->n_rules; i++)
        read_rule(r, json_array_get(rules, i), &out->rules[i]);
    if (!r->err && strncmp(out->tap + 3, out->id, 11) != 0)
        refuse(r, "tap", "is not named after its port");
}

struct err *spec_network_read(struct ctx *cx, const json_t *j, struct spec_network *ret)
{
    struct reader rd = {.cx = cx, .what = "network spec"}, *r = &rd;
    struct spec_network out = {
        .id = text(r, j, "id", is_id, false),
        .mtu = number(r, j, "mtu", 68, 65535),
        .external = boolean(r, j, "external"),
    };
    const json_t *subnets = array(r, j, "subnets", SUBNETS_MAX, &out.n_subnets);
    out.subnets = arena_new_array(cx->arena, struct spec_subnet, out.n_subnets + 1);
    for (size_t i = 0; i < out.n_subnets; i++)
        read_subnet(r, json_array_get(subnets, i), &out.subnets[i]);
    const json_t *ports = array(r, j, "ports", PORTS_MAX, &out.n_ports);
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
        .port_id = text(r, j, "port_id", is_id, false),
        .network_id = text(r, j, "network_id", is_id, false),
        .mac = text(r, j, "mac", is_mac, false),
    };
    const json_t *ips = array(r, j, "ips", ADDRESSES_MAX, &out->n_ips);
    out->ips = arena_new_array(r->cx->arena, struct spec_ip, out->n_ips + 1);
    for (size_t i = 0; i < out->n_ips; i++) {
        const json_t *v = json_array_get(ips, i);
        out->ips[i].ip = text(r, v, "ip", is_ip, false);
        out->ips[i].prefix = number(r, v, "prefix", 0, 128);
    }
}

static void read_external(struct reader *r, const json_t *j, struct spec_router *out)
{
    const json_t *v = object(r, j, "external", true);
    if (!v)
        return;
    out->has_external = true;
    out->external.network_id = text(r, v, "network_id", is_id, false);
    out->external.port_id = text(r, v, "port_id", is_id, false);
    out->external.ip = text(r, v, "ip", is_ip, false);
    out->external.gateway = text(r, v, "gateway", is_ip, true);
    out->external.mac = text(r, v, "mac", is_mac, false);
    out->external.prefix = number(r, v, "prefix", 0, 128);
}

struct err *spec_router_read(struct ctx *cx, const json_t *j, struct spec_router *ret)
{
    struct reader rd = {.cx = cx, .what = "router spec"}, *r = &rd;
    struct spec_router out = {
        .id = text(r, j, "id", is_id, false),
        .admin_state_up = boolean(r, j, "admin_state_up"),
        .enable_snat = boolean(r, j, "enable_snat"),
    };
    read_external(r, j, &out);
    const json_t *interfaces = array(r, j, "interfaces", INTERFACES_MAX, &out.n_interfaces);
    out.interfaces = arena_new_array(cx->arena, struct spec_interface, out.n_interfaces + 1);
    for (size_t i = 0; i < out.n_interfaces; i++)
        read_interface(r, json_array_get(interfaces, i), &out.interfaces[i]);
    const json_t *floating = array(r, j, "floating", FLOATING_MAX, &out.n_floating);
    out.floating = arena_new_array(cx->arena, struct spec_floating, out.n_floating + 1);
    for (size_t i = 0; i < out.n_floating; i++) {
        const json_t *v = json_array_get(floating, i);
        out.floating[i].id = text(r, v, "id", is_id, false);
        out.floating[i].floating_ip = text(r, v, "floating_ip", is_ip, false);
        out.floating[i].fixed_ip = text(r, v, "fixed_ip", is_ip, false);
    }
    out.routes = route_list(r, j, "routes", &out.n_routes);
    if (!rd.err)
        *ret = out;
    return rd.err;
}
