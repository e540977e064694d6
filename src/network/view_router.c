/* SPDX-License-Identifier: EUPL-1.2 */
/* What an agent is told of a router, and what it reports: the status of the router, its ports, its
 * floating IPs. */
#include "network/nw.h"

const struct stmt nw_st_view_routers = {
    "view_routers", "SELECT DISTINCT router_id FROM ports WHERE router_id IS NOT NULL"};
const struct stmt nw_st_report_router = {
    "report_router", "UPDATE routers SET status = $2 WHERE id = $1 AND status <> $2"};
const struct stmt nw_st_report_router_ports = {
    "report_router_ports", "UPDATE ports SET status = $2 WHERE router_id = $1 AND status <> $2"};
const struct stmt nw_st_report_floating = {"report_floating",
                                           "UPDATE floatingips SET status = $2 WHERE router_id = "
                                           "$1 AND status <> $2"};
const struct stmt nw_st_subnet_scopes = {
    "subnet_scopes", "SELECT s.id, p.address_scope_id FROM subnets s JOIN subnetpools p ON p.id = "
                     "s.subnetpool_id WHERE p.address_scope_id IS NOT NULL AND s.id IN " IN_BATCH};
const struct res_where nw_w_subnets_by_ids = {&subnet_resource, "id IN " IN_BATCH, NULL};

struct viewing {
    struct ctx *cx;
    struct port **ports;
    size_t n_ports;
    struct subnets subnets;
    json_t *scopes;     /* subnet → its address scope */
    void **forwardings; /* of all its floating IPs */
    size_t n_forwardings;
};

static struct err *take_scope(struct ctx *cx UNUSED, const struct db_value *cells, size_t n UNUSED,
                              void *arg)
{
    json_object_set_new(arg, cells[0].s, json_string(cells[1].s));
    return NULL;
}

static struct err *load_subnets(struct ctx *cx, struct tx *tx, struct viewing *vw)
{
    const char **ids = NULL;
    size_t n = 0;
    void **rows;
    for (size_t i = 0; i < vw->n_ports; i++) {
        struct fixed_ip *ips;
        size_t n_ips = nw_fixed_ips(cx, vw->ports[i], &ips);
        const char **more = arena_new_array(cx->arena, const char *, n + n_ips + 1);
        if (n)
            memcpy(more, ids, n * sizeof(*ids));
        ids = more;
        for (size_t k = 0; k < n_ips; k++)
            ids[n++] = ips[k].subnet_id;
    }
    TRY(res_select_in(cx, tx, &nw_w_subnets_by_ids, ids, n, &rows, &vw->subnets.n));
    vw->subnets.v = (struct subnet **)rows;
    vw->scopes = json_own(cx, json_object());
    return db_each_in(cx, tx, &nw_st_subnet_scopes, ids, n, take_scope, vw->scopes);
}

static struct err *load_forwardings(struct ctx *cx, struct tx *tx, struct viewing *vw,
                                    void *const *floating, size_t n)
{
    const char **ids = arena_new_array(cx->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        ids[i] = ROW(floatingip, floating, i)->id;
    return res_select_in(cx, tx, &nw_w_forwardings_in, ids, n, &vw->forwardings, &vw->n_forwardings);
}

/* IPv4 first: floating IPs and SNAT are of that version. */
static void write_external(struct viewing *vw, struct jw *w, const struct port *p)
{
    struct fixed_ip *ips;
    size_t n = nw_fixed_ips(vw->cx, p, &ips), best = 0;
    for (size_t i = n; i-- > 0;)
        if (!strchr(ips[i].ip, ':'))
            best = i;
    const struct subnet *s = n ? nw_subnet_by_id(&vw->subnets, ips[best].subnet_id) : NULL;
    if (!s) {
        jw_knull(w, "external");
        return;
    }
    jw_kobj(w, "external");
    jw_kstr(w, "network_id", p->network_id);
    jw_kstr(w, "ip", ips[best].ip);
    jw_kint(w, "prefix", nw_cidr_of(s).prefix);
    jw_kstr(w, "gateway", s->gateway_ip);
    jw_kstr(w, "mac", p->mac_address);
    jw_kstr(w, "port_id", p->id);
    jw_kstr(w, "scope", json_get_str(vw->scopes, s->id));
    jw_obj_end(w);
}

static void write_interface(struct viewing *vw, struct jw *w, const struct port *p)
{
    struct fixed_ip *ips;
    size_t n = nw_fixed_ips(vw->cx, p, &ips);
    jw_obj(w);
    jw_kstr(w, "port_id", p->id);
    jw_kstr(w, "network_id", p->network_id);
    jw_kstr(w, "mac", p->mac_address);
    jw_karr(w, "ips");
    for (size_t i = 0; i < n; i++) {
        const struct subnet *s = nw_subnet_by_id(&vw->subnets, ips[i].subnet_id);
        if (!s)
            continue;
        jw_obj(w);
        jw_kstr(w, "ip", ips[i].ip);
        jw_kint(w, "prefix", nw_cidr_of(s).prefix);
        jw_kstr(w, "scope", json_get_str(vw->scopes, s->id));
        jw_obj_end(w);
    }
    jw_arr_end(w);
    jw_obj_end(w);
}

static void write_forwarding(struct jw *w, const struct floatingip *f,
                             const struct port_forwarding *pf)
{
    jw_obj(w);
    jw_kstr(w, "id", pf->id);
    jw_kstr(w, "floating_ip", f->floating_ip_address);
    jw_kstr(w, "fixed_ip", pf->internal_ip_address);
    jw_kstr(w, "protocol", pf->protocol);
    jw_kint(w, "floating_port", pf->external_port);
    jw_kint(w, "fixed_port", pf->internal_port);
    jw_obj_end(w);
}

/* The address as a whole, or ports of it. */
static void write_floating(struct viewing *vw, struct jw *w, const struct floatingip *f)
{
    for (size_t i = 0; i < vw->n_forwardings; i++)
        if (str_eq(ROW(port_forwarding, vw->forwardings, i)->floatingip_id, f->id))
            write_forwarding(w, f, vw->forwardings[i]);
    if (!f->port_id)
        return;
    jw_obj(w);
    jw_kstr(w, "id", f->id);
    jw_kstr(w, "floating_ip", f->floating_ip_address);
    jw_kstr(w, "fixed_ip", f->fixed_ip_address);
    jw_kstr(w, "port_id", f->port_id);
    jw_obj_end(w);
}

static void write_router(struct viewing *vw, struct jw *w, const struct router *r,
                         void *const *floating, size_t n_floating)
{
    const struct port *gateway = NULL;
    for (size_t i = 0; i < vw->n_ports; i++)
        if (str_eq(vw->ports[i]->device_owner, OWNER_GATEWAY))
            gateway = vw->ports[i];
    jw_obj(w);
    jw_kstr(w, "id", r->id);
    jw_kbool(w, "admin_state_up", r->admin_state_up);
    jw_kbool(w, "enable_snat", r->enable_snat);
    if (gateway)
        write_external(vw, w, gateway);
    else
        jw_knull(w, "external");
    jw_karr(w, "interfaces");
    for (size_t i = 0; i < vw->n_ports; i++)
        if (vw->ports[i] != gateway)
            write_interface(vw, w, vw->ports[i]);
    jw_arr_end(w);
    jw_karr(w, "floating");
    for (size_t i = 0; i < n_floating; i++)
        write_floating(vw, w, floating[i]);
    jw_arr_end(w);
    jw_kraw(w, "routes", r->routes);
    jw_obj_end(w);
}

/* With a writer, it carries all of them. */
static struct err *is_carried(struct ctx *cx, struct tx *tx, const char *host_id, const char *id,
                              bool *ret)
{
    if (network_config()->has_writer)
        return fleet_is_writer(cx, tx, host_id, ret);
    return nw_l3_here(cx, tx, host_id, id, ret);
}

static struct err *view(struct ctx *cx, struct tx *tx, const char *host_id, const char *id,
                        struct jw *w, bool *ret_present)
{
    struct viewing vw = {.cx = cx};
    void *r = NULL, **floating;
    size_t n_floating;
    TRY(is_carried(cx, tx, host_id, id, ret_present));
    if (!*ret_present)
        return NULL;
    TRY(nw_router_ports(cx, tx, id, &vw.ports, &vw.n_ports));
    TRY(res_get(cx, tx, &router_resource, id, &r));
    *ret_present = vw.n_ports > 0;
    if (!*ret_present)
        return NULL;
    TRY(load_subnets(cx, tx, &vw));
    TRY(res_select_by(cx, tx, &nw_w_floating_of_router, &floating, &n_floating, V_TEXT(id)));
    TRY(load_forwardings(cx, tx, &vw, floating, n_floating));
    write_router(&vw, w, r, floating, n_floating);
    return NULL;
}

static struct err *list(struct ctx *cx, struct tx *tx, const char *host_id, struct db_rows *ret_ids)
{
    bool writer = true;
    if (network_config()->has_writer)
        TRY(fleet_is_writer(cx, tx, host_id, &writer));
    if (!writer) {
        *ret_ids = (struct db_rows){0};
        return NULL;
    }
    return db_query(cx, tx, &nw_st_view_routers, NULL, 0, ret_ids);
}

/* A host has let go of it: nothing is translated any more, unless it is to be on a host again. */
static struct err *report_absent(struct ctx *cx, struct tx *tx, const char *id)
{
    bool wanted = false;
    TRY(nw_l3_anywhere(cx, tx, id, &wanted));
    if (wanted)
        return NULL;
    TRY(db_run(cx, tx, &nw_st_report_router_ports, V_TEXT(id), V_TEXT("DOWN")));
    return db_run(cx, tx, &nw_st_report_floating, V_TEXT(id), V_TEXT("DOWN"));
}

static struct err *report(struct ctx *cx, struct tx *tx, const char *host_id UNUSED, const char *id,
                          const json_t *observed)
{
    if (json_get_bool(observed, "absent", false))
        return report_absent(cx, tx, id);
    bool ok = !json_get_str(observed, "error");
    TRY(db_run(cx, tx, &nw_st_report_router, V_TEXT(id), V_TEXT(ok ? "ACTIVE" : "ERROR")));
    TRY(db_run(cx, tx, &nw_st_report_router_ports, V_TEXT(id), V_TEXT(ok ? "ACTIVE" : "DOWN")));
    return db_run(cx, tx, &nw_st_report_floating, V_TEXT(id), V_TEXT(ok ? "ACTIVE" : "ERROR"));
}

const struct fleet_kind nw_kind_router = {
    .name = "router", .view = view, .list = list, .report = report};
