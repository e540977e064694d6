/* SPDX-License-Identifier: EUPL-1.2 */
/* The port resource: its table, the checks and encodings of its fields. */
#include "network/nw.h"

#define PAIRS_MAX 10

static const char *const vnic_types[] = {"normal", NULL};

static bool only_members(const json_t *j, const char *a, const char *b, const char *c)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)j, key, v)
    {
        (void)v;
        if (!str_eq(key, a) && !str_eq(key, b) && !str_eq(key, c))
            return false;
    }
    return json_is_object(j);
}

static const char *check_fixed_ips(struct ctx *cx, const json_t *v, json_t **ret)
{
    if (!json_is_array(v))
        return arena_printf(cx->arena, "Invalid data format for fixed IP: '%s'",
                            json_python(cx, v));
    json_t *out = json_own(cx, json_array());
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *f = json_array_get(v, i), *ip = json_get(f, "ip_address"),
                     *subnet = json_get(f, "subnet_id");
        json_t *canonical = NULL, *one = json_object();
        json_array_append_new(out, one);
        if (json_is_null(ip))
            ip = NULL;
        if (json_is_null(subnet))
            subnet = NULL;
        if (!only_members(f, "ip_address", "subnet_id", NULL) || (!ip && !subnet))
            return arena_printf(cx->arena, "Invalid data format for fixed IP: '%s'",
                                json_python(cx, f));
        const char *reason = ip ? check_ip(cx, ip, &canonical) : NULL;
        if (!reason && subnet)
            reason = check_uuid(cx, subnet, NULL);
        if (reason)
            return reason;
        if (subnet)
            json_object_set(one, "subnet_id", (json_t *)(uintptr_t)subnet);
        if (canonical)
            json_object_set(one, "ip_address", canonical);
    }
    *ret = out;
    return NULL;
}

static const char *check_pairs(struct ctx *cx, const json_t *v, json_t **ret)
{
    if (!json_is_array(v))
        return "Allowed address pairs must be a list.";
    if (json_array_size(v) > PAIRS_MAX)
        return arena_printf(cx->arena, "The number of allowed address pair exceeds the maximum %d.",
                            PAIRS_MAX);
    json_t *out = json_own(cx, json_array());
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *pair = json_array_get(v, i), *mac = json_get(pair, "mac_address");
        const char *ip = json_get_str(pair, "ip_address");
        json_t *canonical = NULL, *one = json_object();
        struct cidr c;
        json_array_append_new(out, one);
        if (!only_members(pair, "ip_address", "mac_address", NULL) || !ip)
            return "AllowedAddressPair must contain ip_address";
        if (!cidr_parse(ip, &c))
            return arena_printf(cx->arena, "'%s' is not a valid IP subnet", ip);
        const char *text = strchr(ip, '/') ? cidr_text(cx, &c) : addr_text(cx, &c.net);
        json_object_set_new(one, "ip_address", json_string(text));
        const char *reason = mac && !json_is_null(mac) ? check_mac(cx, mac, &canonical) : NULL;
        if (reason)
            return reason;
        if (canonical)
            json_object_set(one, "mac_address", canonical);
    }
    *ret = out;
    return NULL;
}

/* ---------------------------------------------------------------- encoding */

static void port_encode_vif_type(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                 const struct view *v UNUSED)
{
    jw_str(w, ((const struct port *)row)->host_id ? "tap" : "unbound");
}

static void port_encode_vif_details(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                    const struct view *v UNUSED)
{
    jw_raw(w, ((const struct port *)row)->host_id ? "{\"port_filter\":true}" : "{}");
}

static void port_encode_ip_allocation(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                                      const struct view *v UNUSED)
{
    jw_str(w, "immediate");
}

static const char *default_hostname(struct ctx *cx, const char *ip)
{
    char *name = arena_printf(cx->arena, "host-%s", ip);
    for (char *p = name; *p; p++)
        if (*p == '.' || *p == ':')
            *p = '-';
    return name;
}

/* As the network's DHCP server answers: the port's own, the network's, or the cloud's. */
static const char *domain_of(const struct port *p)
{
    const char *of_network = p->row.extra;
    if (p->dns_domain && *p->dns_domain)
        return p->dns_domain;
    return of_network && *of_network ? of_network : network_config()->dns_domain;
}

static void port_encode_dns_assignment(struct ctx *cx, struct jw *w, const void *row,
                                       const struct view *v UNUSED)
{
    const struct port *p = row;
    struct fixed_ip *ips;
    size_t n = nw_fixed_ips(cx, p, &ips);
    const char *domain = domain_of(p);
    jw_arr(w);
    for (size_t i = 0; i < n; i++) {
        const char *host =
            p->dns_name && *p->dns_name ? p->dns_name : default_hostname(cx, ips[i].ip);
        const char *dot = str_ends(domain, ".") ? "" : ".";
        jw_obj(w);
        jw_kstr(w, "ip_address", ips[i].ip);
        jw_kstr(w, "hostname", host);
        jw_kstr(w, "fqdn", arena_printf(cx->arena, "%s.%s%s", host, domain, dot));
        jw_obj_end(w);
    }
    jw_arr_end(w);
}

#define RESOURCE port
#define RESOURCE_DEF "network/port.def"
#include "resource/declare_fields.h"

/* The network's owner sees who is in it. */
static bool visible(struct ctx *cx, struct tx *tx, const void *row, const struct actor *actor)
{
    void *n = NULL;
    struct err *e = res_get(cx, tx, &network_resource, ((const struct port *)row)->network_id, &n);
    return !e && n && str_eq(((const struct network *)n)->project_id, actor->project_id);
}

static struct err *take_domain(struct ctx *cx, const struct db_value *cells, size_t n UNUSED,
                               void *arg)
{
    json_object_set_new(arg, cells[0].s, json_string(cells[1].s));
    (void)cx;
    return NULL;
}

static struct err *prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v UNUSED)
{
    json_t *domains = json_own(cx, json_object()), *value;
    const char **ids = arena_new_array(cx->arena, const char *, n + 1), *id;
    size_t n_ids = 0;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !str_eq(ROW(port, rows, i)->network_id, ROW(port, rows, i - 1)->network_id))
            json_object_set_new(domains, ROW(port, rows, i)->network_id, json_string(""));
    json_object_foreach(domains, id, value) ids[n_ids++] = arena_strdup(cx->arena, id);
    TRY(db_each_in(cx, tx, &nw_st_network_domains, ids, n_ids, take_domain, domains));
    for (size_t i = 0; i < n; i++)
        row_of(rows[i])->extra =
            (void *)(uintptr_t)json_get_str(domains, ROW(port, rows, i)->network_id);
    return NULL;
}

const struct stmt nw_st_network_domains = {
    "network_domains", "SELECT id, dns_domain FROM networks WHERE id IN " IN_BATCH};

static const struct res_index port_indexes[] = {
    {"ports_network_mac", "network_id, mac_address", true, NULL},
    {"ports_project", "project_id, created_at, id", false, NULL},
    {"ports_server", "server_id, nic_order, id", false, "server_id IS NOT NULL"},
    {"ports_device", "device_id", false, "device_id <> ''"},
    {"ports_host", "host_id", false, "host_id IS NOT NULL"},
    {"ports_router", "router_id", false, "router_id IS NOT NULL"},
};

const struct resource port_resource = {.name = "port",
                                       .plural = "ports",
                                       .table = "ports",
                                       RESOURCE_FIELDS(port),
                                       .owner = port_f_project_id,
                                       .not_found = "Port %s could not be found.",
                                       .not_found_type = "PortNotFound",
                                       .indexes = port_indexes,
                                       .n_indexes = ARRAY_LEN(port_indexes),
                                       .visible = visible,
                                       .needs = NEEDS(port_f_network_id),
                                       .prepare = prepare,
                                       .dflt_sort = "created_at:asc,id:asc",
                                       .doc =
                                           "A plug of a network: a guest's, a router's, DHCP's."};
