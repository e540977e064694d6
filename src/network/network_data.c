/* SPDX-License-Identifier: EUPL-1.2 */
/* network_data.json of a server, as OpenStack's metadata service and config drive have it: links,
 * networks, services. */
#include "network/nw.h"

const struct res_where nw_w_subnets_by_networks = {&subnet_resource, "network_id IN " IN_BATCH,
                                                   NULL};

struct data {
    struct ctx *cx;
    void **ports, **networks;
    size_t n_ports, n_networks, n_written;
    struct subnets subnets;
    json_t *services; /* addresses of name servers, each once */
};

static void write_links(struct data *d, struct jw *w)
{
    jw_karr(w, "links");
    for (size_t i = 0; i < d->n_ports; i++) {
        const struct port *p = d->ports[i];
        jw_obj(w);
        jw_kstr(w, "id", arena_printf(d->cx->arena, "tap%.11s", p->id));
        jw_kstr(w, "vif_id", p->id);
        jw_kstr(w, "type", "tap");
        for (size_t k = 0; k < d->n_networks; k++)
            if (str_eq(ROW(network, d->networks, k)->id, p->network_id))
                jw_kint(w, "mtu", ROW(network, d->networks, k)->mtu);
        jw_kstr(w, "ethernet_mac_address", p->mac_address);
        jw_obj_end(w);
    }
    jw_arr_end(w);
}

static const char *netmask(struct ctx *cx, const struct cidr *c)
{
    struct addr mask = {.version = c->net.version};
    for (int i = 0; i < c->prefix; i++)
        mask.b[i / 8] = (uint8_t)(mask.b[i / 8] | 0x80 >> (i % 8));
    return addr_text(cx, &mask);
}

static void write_route(struct ctx *cx, struct jw *w, const char *destination, const char *gateway)
{
    struct cidr to;
    must(cidr_parse(destination, &to));
    jw_obj(w);
    jw_kstr(w, "network", addr_text(cx, &to.net));
    jw_kstr(w, "netmask", netmask(cx, &to));
    jw_kstr(w, "gateway", gateway);
    jw_obj_end(w);
}

static void write_dns(struct data *d, struct jw *w, const struct subnet *s)
{
    const json_t *dns = nw_json(d->cx, s->dns_nameservers);
    jw_karr(w, "services");
    for (size_t i = 0; i < json_array_size(dns); i++) {
        const char *ip = json_string_value(json_array_get(dns, i));
        jw_obj(w);
        jw_kstr(w, "type", "dns");
        jw_kstr(w, "address", ip);
        jw_obj_end(w);
        json_object_set_new(d->services, ip, json_true());
    }
    jw_arr_end(w);
}

static void write_static(struct data *d, struct jw *w, const struct subnet *s, const char *ip)
{
    struct cidr c = nw_cidr_of(s);
    const json_t *routes = nw_json(d->cx, s->host_routes);
    jw_kstr(w, "ip_address", ip);
    jw_kstr(w, "netmask", netmask(d->cx, &c));
    jw_karr(w, "routes");
    if (s->gateway_ip)
        write_route(d->cx, w, s->ip_version == 4 ? "0.0.0.0/0" : "::/0", s->gateway_ip);
    for (size_t i = 0; i < json_array_size(routes); i++)
        write_route(d->cx, w, json_get_str(json_array_get(routes, i), "destination"),
                    json_get_str(json_array_get(routes, i), "nexthop"));
    jw_arr_end(w);
    write_dns(d, w, s);
}

static const char *type_of(struct ctx *cx, const struct subnet *s)
{
    if (s->ip_version == 4)
        return s->enable_dhcp ? "ipv4_dhcp" : "ipv4";
    return s->ipv6_address_mode ? arena_printf(cx->arena, "ipv6_%s", s->ipv6_address_mode) : "ipv6";
}

static void write_networks(struct data *d, struct jw *w)
{
    jw_karr(w, "networks");
    for (size_t i = 0; i < d->n_ports; i++) {
        struct fixed_ip *ips;
        const struct port *p = d->ports[i];
        size_t n = nw_fixed_ips(d->cx, p, &ips);
        for (size_t k = 0; k < n; k++) {
            const struct subnet *s = nw_subnet_by_id(&d->subnets, ips[k].subnet_id);
            if (!s)
                continue;
            const char *type = type_of(d->cx, s);
            jw_obj(w);
            jw_kstr(w, "id", arena_printf(d->cx->arena, "network%zu", d->n_written++));
            jw_kstr(w, "type", type);
            jw_kstr(w, "link", arena_printf(d->cx->arena, "tap%.11s", p->id));
            jw_kstr(w, "network_id", p->network_id);
            if (str_eq(type, "ipv4") || str_eq(type, "ipv6"))
                write_static(d, w, s, ips[k].ip);
            jw_obj_end(w);
        }
    }
    jw_arr_end(w);
}

static void write_services(struct data *d, struct jw *w)
{
    const char *ip;
    json_t *v;
    jw_karr(w, "services");
    json_object_foreach(d->services, ip, v)
    {
        (void)v;
        jw_obj(w);
        jw_kstr(w, "type", "dns");
        jw_kstr(w, "address", ip);
        jw_obj_end(w);
    }
    jw_arr_end(w);
}

static struct err *load(struct data *d, struct tx *tx, const char *server_id)
{
    size_t n_subnets = 0;
    void **rows;
    TRY(res_select_by(d->cx, tx, &nw_w_ports_of_server, &d->ports, &d->n_ports, V_TEXT(server_id)));
    const char **ids = arena_new_array(d->cx->arena, const char *, d->n_ports + 1);
    for (size_t i = 0; i < d->n_ports; i++)
        ids[i] = ROW(port, d->ports, i)->network_id;
    TRY(res_select_in(d->cx, tx, &nw_w_networks_by_ids, ids, d->n_ports, &d->networks,
                     &d->n_networks));
    TRY(res_select_in(d->cx, tx, &nw_w_subnets_by_networks, ids, d->n_ports, &rows, &n_subnets));
    d->subnets = (struct subnets){(struct subnet **)rows, n_subnets};
    return NULL;
}

struct err *network_data_write(struct ctx *cx, struct tx *tx, const char *server_id, struct jw *w)
{
    struct data d = {.cx = cx, .services = json_own(cx, json_object())};
    TRY(load(&d, tx, server_id));
    jw_obj(w);
    write_links(&d, w);
    write_networks(&d, w);
    write_services(&d, w);
    jw_obj_end(w);
    return NULL;
}
