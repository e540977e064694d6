/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What an agent is told of a network (src/node/README.md is the contract), and what it reports. A
 * handful of statements however many ports: rules and the members of remote groups are read for all
 * ports at once.
 */
#include "network/nw.h"

/* With a writer: what has guests, routers or an outside is its; a host's, what has guests there. */
#define WANTED_BY_WRITER                                                                           \
    "(n.external = 1 OR EXISTS (SELECT 1 FROM ports p WHERE p.network_id = n.id "                  \
    "AND (p.host_id IS NOT NULL OR p.router_id IS NOT NULL)))"
#define WANTED_WITH_WRITER                                                                         \
    "EXISTS (SELECT 1 FROM ports p WHERE p.network_id = n.id AND p.host_id = $1)"

/* The kernel driver's one host carries every router; what has a router or a guest on the host is
 * wanted there. */
#define WANTED                                                                                     \
    "(n.external = 1 OR EXISTS (SELECT 1 FROM ports p WHERE p.network_id = n.id AND p.host_id = "  \
    "$1) "                                                                                         \
    "OR EXISTS (SELECT 1 FROM ports p WHERE p.network_id = n.id AND p.router_id IS NOT NULL) "     \
    "OR EXISTS (SELECT 1 FROM agent_bindings b WHERE b.kind = 'dhcp' AND b.item_id = n.id "        \
    "AND b.host_id = $1 AND b.wanted = 1))"

const struct stmt nw_st_view_networks = {"view_networks",
                                         "SELECT n.id FROM networks n WHERE " WANTED};
const struct stmt nw_st_view_wanted = {"view_wanted", "SELECT n.id FROM networks n WHERE " WANTED
                                                      " AND n.id = $2"};
const struct stmt nw_st_view_networks_all = {"view_networks_all", "SELECT n.id FROM networks n "
                                                                  "WHERE " WANTED_BY_WRITER};
const struct stmt nw_st_view_wanted_all = {
    "view_wanted_all", "SELECT n.id FROM networks n WHERE " WANTED_BY_WRITER " AND n.id = $1"};
const struct stmt nw_st_view_networks_guests = {
    "view_networks_guests", "SELECT n.id FROM networks n WHERE " WANTED_WITH_WRITER};
const struct stmt nw_st_view_wanted_guests = {
    "view_wanted_guests", "SELECT n.id FROM networks n WHERE " WANTED_WITH_WRITER " AND n.id = $2"};
const struct stmt nw_st_view_members = {"view_members",
                                        "SELECT g.group_id, a.ip, p.allowed_address_pairs FROM "
                                        "port_groups g JOIN ports p ON p.id = g.port_id "
                                        "JOIN ip_allocations a ON a.holder_id = p.id WHERE "
                                        "p.host_id IS NOT NULL AND g.group_id IN " IN_BATCH};
const struct stmt nw_st_report_ports = {"report_ports",
                                        "UPDATE ports SET status = $2 WHERE network_id = $1 AND "
                                        "device_owner = 'network:dhcp' AND status <> $2"};
const struct stmt nw_st_report_network = {
    "report_network", "UPDATE networks SET status = $2 WHERE id = $1 AND status <> $2"};
const struct res_where nw_w_ports_on_hosts = {
    &port_resource, "network_id = $1 AND host_id IS NOT NULL", "created_at, id"};
const struct res_where nw_w_ports_on_host = {&port_resource, "network_id = $1 AND host_id = $2",
                                             "created_at, id"};

struct view_rule {
    const struct security_rule *rule;
    const char *json;
};

const struct res_where nw_w_address_groups_by_ids = {&address_group_resource, "id IN " IN_BATCH,
                                                     NULL};

struct viewing {
    struct ctx *cx;
    struct tx *tx;
    struct port **ports;
    size_t n_ports;
    struct view_rule *rules;
    size_t n_rules;
    json_t *chassis;  /* for the writer: host id → its name in OVN */
    json_t *members;  /* remote group → {address: true} */
    void **addresses; /* address groups that rules name */
    size_t n_addresses;
};

/* ---------------------------------------------------------------- rules */

static const char **keys_of(struct ctx *cx, json_t *set, size_t *ret_n)
{
    const char **keys = arena_new_array(cx->arena, const char *, json_object_size(set) + 1), *key;
    json_t *v;
    *ret_n = 0;
    json_object_foreach(set, key, v)
    {
        (void)v;
        keys[(*ret_n)++] = key;
    }
    return keys;
}

static struct err *take_member(struct ctx *cx, const struct db_value *cells, size_t n UNUSED,
                               void *arg)
{
    struct viewing *vw = arg;
    json_t *set = json_object_get(vw->members, cells[0].s);
    const json_t *pairs = str_eq(cells[2].s, "[]") ? NULL : nw_json(cx, cells[2].s);
    json_object_set_new(set, cells[1].s, json_true());
    for (size_t i = 0; i < json_array_size(pairs); i++)
        json_object_set_new(set, json_get_str(json_array_get(pairs, i), "ip_address"), json_true());
    return NULL;
}

static struct err *load_members(struct viewing *vw)
{
    size_t n;
    vw->members = json_own(vw->cx, json_object());
    for (size_t i = 0; i < vw->n_rules; i++)
        if (vw->rules[i].rule->remote_group_id)
            json_object_set_new(vw->members, vw->rules[i].rule->remote_group_id, json_object());
    const char **ids = keys_of(vw->cx, vw->members, &n);
    return db_each_in(vw->cx, vw->tx, &nw_st_view_members, ids, n, take_member, vw);
}

static struct err *load_address_groups(struct viewing *vw)
{
    size_t n = 0;
    json_t *wanted = json_own(vw->cx, json_object());
    for (size_t i = 0; i < vw->n_rules; i++)
        if (vw->rules[i].rule->remote_address_group_id)
            json_object_set_new(wanted, vw->rules[i].rule->remote_address_group_id, json_true());
    const char **ids = keys_of(vw->cx, wanted, &n);
    return res_select_in(vw->cx, vw->tx, &nw_w_address_groups_by_ids, ids, n, &vw->addresses,
                         &vw->n_addresses);
}

static bool is_of(const struct security_rule *r, const char *ip)
{
    return !strchr(ip, ':') == str_eq(r->ethertype, "IPv4");
}

static void write_address_group(struct viewing *vw, struct jw *w, const struct security_rule *r)
{
    for (size_t i = 0; i < vw->n_addresses; i++) {
        const struct address_group *g = vw->addresses[i];
        if (!str_eq(g->id, r->remote_address_group_id))
            continue;
        const json_t *ips = nw_json(vw->cx, g->addresses);
        for (size_t k = 0; k < json_array_size(ips); k++)
            if (is_of(r, json_string_value(json_array_get(ips, k))))
                jw_str(w, json_string_value(json_array_get(ips, k)));
    }
}

static void write_remotes(struct viewing *vw, struct jw *w, const struct security_rule *r)
{
    const char *cidr = nw_rule_cidr(vw->cx, r), *ip;
    json_t *v;
    if (!cidr && !r->remote_group_id && !r->remote_address_group_id) {
        jw_knull(w, "remotes");
        return;
    }
    jw_karr(w, "remotes");
    if (cidr)
        jw_str(w, cidr);
    if (r->remote_group_id) {
        json_object_foreach(json_object_get(vw->members, r->remote_group_id), ip, v)
        {
            (void)v;
            if (is_of(r, ip))
                jw_str(w, ip);
        }
    }
    if (r->remote_address_group_id)
        write_address_group(vw, w, r);
    jw_arr_end(w);
}

static const char *rule_json(struct viewing *vw, const struct security_rule *r)
{
    struct buf b;
    struct jw w;
    buf_init(&b, vw->cx->arena);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kstr(&w, "direction", r->direction);
    jw_kstr(&w, "ethertype", r->ethertype);
    jw_kstr(&w, "protocol", r->protocol);
    if (r->port_range_min != INT_NULL)
        jw_kint(&w, "port_min", r->port_range_min);
    if (r->port_range_max != INT_NULL)
        jw_kint(&w, "port_max", r->port_range_max);
    write_remotes(vw, &w, r);
    jw_obj_end(&w);
    return buf_cstr(&b);
}

/* Each rule is written once, and repeated for each port that has its group. */
static struct err *load_rules(struct viewing *vw)
{
    json_t *groups = json_own(vw->cx, json_object());
    void **rows;
    size_t n;
    for (size_t i = 0; i < vw->n_ports; i++) {
        const json_t *ids = nw_json(vw->cx, vw->ports[i]->security_groups);
        for (size_t k = 0; k < json_array_size(ids); k++)
            json_object_set_new(groups, json_string_value(json_array_get(ids, k)), json_true());
    }
    const char **ids = keys_of(vw->cx, groups, &n);
    TRY(res_select_in(vw->cx, vw->tx, &nw_w_rules_of_groups, ids, n, &rows, &vw->n_rules));
    vw->rules = arena_new_array(vw->cx->arena, struct view_rule, vw->n_rules + 1);
    for (size_t i = 0; i < vw->n_rules; i++)
        vw->rules[i].rule = rows[i];
    TRY(load_members(vw));
    TRY(load_address_groups(vw));
    for (size_t i = 0; i < vw->n_rules; i++)
        vw->rules[i].json = rule_json(vw, vw->rules[i].rule);
    return NULL;
}

/* ---------------------------------------------------------------- subnets and ports */

/* dhcp: the network's port for it; NULL when this host does not serve it. */
static void write_subnet(struct ctx *cx, struct jw *w, const struct subnet *s,
                         const struct port *dhcp)
{
    struct fixed_ip *ips;
    size_t n = dhcp ? nw_fixed_ips(cx, dhcp, &ips) : 0;
    const char *dhcp_ip = NULL;
    for (size_t i = 0; i < n; i++)
        if (str_eq(ips[i].subnet_id, s->id))
            dhcp_ip = ips[i].ip;
    jw_obj(w);
    jw_kstr(w, "id", s->id);
    jw_kstr(w, "cidr", s->cidr);
    jw_kint(w, "ip_version", s->ip_version);
    jw_kstr(w, "gateway_ip", s->gateway_ip);
    jw_kbool(w, "enable_dhcp", s->enable_dhcp && dhcp);
    jw_kstr(w, "dhcp_ip", dhcp_ip);
    jw_kraw(w, "dns_nameservers", s->dns_nameservers);
    jw_kraw(w, "host_routes", s->host_routes);
    jw_kstr(w, "ipv6_ra_mode", s->ipv6_ra_mode);
    jw_kstr(w, "ipv6_address_mode", s->ipv6_address_mode);
    jw_obj_end(w);
}

static struct err *load_chassis(struct viewing *vw)
{
    json_t *hosts = json_own(vw->cx, json_object());
    size_t n;
    for (size_t i = 0; i < vw->n_ports; i++) {
        json_object_set_new(hosts, vw->ports[i]->host_id, json_true());
        if (vw->ports[i]->next_host_id)
            json_object_set_new(hosts, vw->ports[i]->next_host_id, json_true());
    }
    const char **ids = keys_of(vw->cx, hosts, &n);
    return fleet_chassis(vw->cx, vw->tx, ids, n, &vw->chassis);
}

/* A host that has told no name may be any. */
static void write_chassis(struct viewing *vw, struct jw *w, const struct port *p)
{
    const char *name = json_get_str(vw->chassis, p->host_id);
    const char *next = p->next_host_id ? json_get_str(vw->chassis, p->next_host_id) : NULL;
    if (!name || (p->next_host_id && !next))
        return;
    jw_karr(w, "chassis");
    jw_str(w, name);
    if (next)
        jw_str(w, next);
    jw_arr_end(w);
}

static void write_port(struct viewing *vw, struct jw *w, const struct port *p)
{
    jw_obj(w);
    jw_kstr(w, "id", p->id);
    jw_kstr(w, "mac", p->mac_address);
    jw_kstr(w, "tap", arena_printf(vw->cx->arena, "tap%.11s", p->id));
    jw_kstr(w, "device_id", p->server_id);
    jw_kstr(w, "hostname", p->dns_name && *p->dns_name ? p->dns_name : NULL);
    jw_kstr(w, "dns_domain", p->dns_domain && *p->dns_domain ? p->dns_domain : NULL);
    jw_kbool(w, "admin_state_up", p->admin_state_up);
    jw_kbool(w, "port_security", p->port_security_enabled);
    if (vw->chassis)
        write_chassis(vw, w, p);
    jw_kraw(w, "fixed_ips", p->fixed_ips);
    jw_kraw(w, "allowed_address_pairs", p->allowed_address_pairs);
    jw_kraw(w, "extra_dhcp_opts", p->extra_dhcp_opts ? p->extra_dhcp_opts : "[]");
    jw_karr(w, "rules");
    for (size_t i = 0; p->port_security_enabled && i < vw->n_rules; i++)
        if (strstr(p->security_groups, vw->rules[i].rule->security_group_id))
            jw_raw(w, vw->rules[i].json);
    jw_arr_end(w);
    jw_obj_end(w);
}

/* Who the host is to networks. */
enum part { PART_ALL, PART_WRITER, PART_GUESTS };

static struct err *part_of(struct ctx *cx, struct tx *tx, const char *host_id, enum part *ret)
{
    bool writer = false;
    *ret = PART_ALL;
    if (!network_config()->has_writer)
        return NULL;
    TRY(fleet_is_writer(cx, tx, host_id, &writer));
    *ret = writer ? PART_WRITER : PART_GUESTS;
    return NULL;
}

static struct err *is_wanted(struct ctx *cx, struct tx *tx, enum part part, const char *host_id,
                             const char *id, bool *ret)
{
    struct db_value params[] = {V_TEXT(host_id), V_TEXT(id)};
    struct db_rows rows;
    if (part == PART_WRITER)
        TRY(db_query(cx, tx, &nw_st_view_wanted_all, &params[1], 1, &rows));
    else
        TRY(db_query(cx, tx, part == PART_GUESTS ? &nw_st_view_wanted_guests : &nw_st_view_wanted,
                     params, 2, &rows));
    *ret = rows.n_rows > 0;
    return NULL;
}

static struct err *view(struct ctx *cx, struct tx *tx, const char *host_id, const char *id,
                        struct jw *w, bool *ret_present)
{
    struct viewing vw = {.cx = cx, .tx = tx};
    struct subnets subnets;
    void *row = NULL, *dhcp = NULL, **ports;
    enum part part;
    bool serves = true;
    TRY(part_of(cx, tx, host_id, &part));
    TRY(is_wanted(cx, tx, part, host_id, id, ret_present));
    if (!*ret_present)
        return NULL;
    TRY(res_find(cx, tx, &network_resource, id, &row));
    TRY(nw_subnets_of(cx, tx, id, &subnets));
    if (part == PART_ALL)
        TRY(nw_dhcp_here(cx, tx, host_id, id, &serves));
    if (serves)
        TRY(res_first_by(cx, tx, &nw_w_dhcp_port, &dhcp, V_TEXT(id)));
    if (part == PART_WRITER)
        TRY(res_select_by(cx, tx, &nw_w_ports_on_hosts, &ports, &vw.n_ports, V_TEXT(id)));
    else
        TRY(res_select_by(cx, tx, &nw_w_ports_on_host, &ports, &vw.n_ports, V_TEXT(id),
                          V_TEXT(host_id)));
    vw.ports = (struct port **)ports;
    if (part == PART_WRITER)
        TRY(load_chassis(&vw));
    TRY(load_rules(&vw));
    const struct network *n = row;
    jw_obj(w);
    jw_kstr(w, "id", n->id);
    jw_kint(w, "mtu", n->mtu);
    jw_kbool(w, "external", n->external);
    jw_kstr(w, "dns_domain", *n->dns_domain ? n->dns_domain : network_config()->dns_domain);
    jw_karr(w, "subnets");
    for (size_t i = 0; i < subnets.n; i++)
        write_subnet(cx, w, subnets.v[i], dhcp);
    jw_arr_end(w);
    jw_karr(w, "ports");
    for (size_t i = 0; i < vw.n_ports; i++)
        write_port(&vw, w, vw.ports[i]);
    jw_arr_end(w);
    jw_obj_end(w);
    return NULL;
}

static struct err *list(struct ctx *cx, struct tx *tx, const char *host_id, struct db_rows *ret_ids)
{
    struct db_value param = V_TEXT(host_id);
    enum part part;
    TRY(part_of(cx, tx, host_id, &part));
    if (part == PART_WRITER)
        return db_query(cx, tx, &nw_st_view_networks_all, NULL, 0, ret_ids);
    return db_query(cx, tx,
                    part == PART_GUESTS ? &nw_st_view_networks_guests : &nw_st_view_networks,
                    &param, 1, ret_ids);
}

/* Of a network with a writer, its word counts: a host has guests of it only. */
static struct err *report(struct ctx *cx, struct tx *tx, const char *host_id, const char *id,
                          const json_t *observed)
{
    bool ok = !json_get_str(observed, "error");
    enum part part;
    TRY(part_of(cx, tx, host_id, &part));
    if (part == PART_GUESTS)
        return NULL;
    TRY(db_run(cx, tx, &nw_st_report_ports, V_TEXT(id), V_TEXT(ok ? "ACTIVE" : "DOWN")));
    return db_run(cx, tx, &nw_st_report_network, V_TEXT(id), V_TEXT(ok ? "ACTIVE" : "ERROR"));
}

const struct fleet_kind nw_kind_network = {
    .name = "network", .view = view, .list = list, .report = report};
