/* SPDX-License-Identifier: EUPL-1.2 */
/* Floating IPs: /v2.0/floatingips. The router that can translate one is found when it is
 * associated. */
#include "network/nw.h"

static void floatingip_encode_port_details(struct ctx *cx, struct jw *w, const void *row,
                                           const struct view *v);

static void floatingip_encode_forwardings(struct ctx *cx, struct jw *w, const void *row,
                                          const struct view *v);

#define RESOURCE floatingip
#define RESOURCE_DEF "network/floatingip.def"
#include "resource/declare_fields.h"

const struct res_where nw_w_ports_by_ids = {&port_resource, "id IN " IN_BATCH, NULL};
const struct res_where nw_w_floating_of_port = {&floatingip_resource, "port_id = $1", "id"};
const struct res_where nw_w_floating_same = {&floatingip_resource,
                                             "port_id = $1 AND fixed_ip_address = $2", "id"};

/* ---------------------------------------------------------------- encoding */

/* row.extra */
struct floating_more {
    const struct port *port;
    void **forwardings; /* of all floating IPs of the page */
    size_t n_forwardings;
};

static const struct floating_more *more_of(const void *row)
{
    return ((const struct row *)row)->extra;
}

static struct err *prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v UNUSED)
{
    const char **ids = arena_new_array(cx->arena, const char *, n + 1);
    struct floating_more *more = arena_new_array(cx->arena, struct floating_more, n + 1);
    size_t n_ids = 0, n_ports, n_forwardings;
    void **ports, **forwardings;
    for (size_t i = 0; i < n; i++)
        ids[i] = ROW(floatingip, rows, i)->id;
    TRY(res_select_in(cx, tx, &nw_w_forwardings_in, ids, n, &forwardings, &n_forwardings));
    for (size_t i = 0; i < n; i++) {
        more[i] = (struct floating_more){NULL, forwardings, n_forwardings};
        row_of(rows[i])->extra = &more[i];
    }
    for (size_t i = 0; i < n; i++)
        if (ROW(floatingip, rows, i)->port_id)
            ids[n_ids++] = ROW(floatingip, rows, i)->port_id;
    TRY(res_select_in(cx, tx, &nw_w_ports_by_ids, ids, n_ids, &ports, &n_ports));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n_ports; k++)
            if (str_eq(ROW(floatingip, rows, i)->port_id, ROW(port, ports, k)->id))
                more[i].port = ports[k];
    return NULL;
}

static void floatingip_encode_port_details(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                           const struct view *v UNUSED)
{
    const struct floatingip *f = row;
    const struct port *p = more_of(row)->port;
    if (!f->port_id || !p) {
        jw_null(w);
        return;
    }
    jw_obj(w);
    jw_kstr(w, "name", p->name);
    jw_kstr(w, "network_id", p->network_id);
    jw_kstr(w, "mac_address", p->mac_address);
    jw_kbool(w, "admin_state_up", p->admin_state_up);
    jw_kstr(w, "status", p->status);
    jw_kstr(w, "device_id", p->device_id);
    jw_kstr(w, "device_owner", p->device_owner);
    jw_obj_end(w);
}

static void floatingip_encode_forwardings(struct ctx *cx, struct jw *w, const void *row,
                                          const struct view *v)
{
    const struct floating_more *more = more_of(row);
    struct view inner = *v;
    inner.fields = NULL;
    inner.n_fields = 0;
    jw_arr(w);
    for (size_t i = 0; i < more->n_forwardings; i++)
        if (str_eq(ROW(port_forwarding, more->forwardings, i)->floatingip_id,
                   ((const struct floatingip *)row)->id))
            res_encode(cx, w, &port_forwarding_resource, more->forwardings[i], &inner);
    jw_arr_end(w);
}

static const struct res_index floatingip_indexes[] = {
    {"floatingips_address", "floating_network_id, floating_ip_address", true, NULL},
    {"floatingips_fixed", "port_id, fixed_ip_address", true, "port_id IS NOT NULL"},
    {"floatingips_router", "router_id", false, "router_id IS NOT NULL"},
    {"floatingips_project", "project_id, created_at, id", false, NULL},
};

const struct resource floatingip_resource = {
    .name = "floatingip",
    .plural = "floatingips",
    .table = "floatingips",
    RESOURCE_FIELDS(floatingip),
    .owner = floatingip_f_project_id,
    .not_found = "Floating IP %s could not be found",
    .not_found_type = "FloatingIPNotFound",
    .indexes = floatingip_indexes,
    .n_indexes = ARRAY_LEN(floatingip_indexes),
    .prepare = prepare,
    .dflt_sort = "created_at:asc,id:asc",
    .doc = "An address of the world that stands for a port's."};

/* ---------------------------------------------------------------- association */

static struct err *choose_fixed(struct call *c, const struct floatingip *f, const struct port *p,
                                struct fixed_ip *ret)
{
    struct fixed_ip *ips;
    size_t n = nw_fixed_ips(c->cx, p, &ips), hits = 0;
    for (size_t i = 0; i < n; i++) {
        if (strchr(ips[i].ip, ':') ||
            (f->fixed_ip_address && !str_eq(f->fixed_ip_address, ips[i].ip)))
            continue;
        *ret = ips[i];
        hits++;
    }
    if (hits == 1)
        return NULL;
    if (f->fixed_ip_address)
        return bad(c->cx, "BadRequest",
                   "Bad floatingip request: Port %s does not have fixed ip %s.", p->id,
                   f->fixed_ip_address);
    if (!hits)
        return bad(c->cx, "BadRequest",
                   "Bad floatingip request: Cannot add floating IP to port %s that has no fixed "
                   "IPv4 addresses.",
                   p->id);
    return bad(c->cx, "BadRequest",
               "Bad floatingip request: Port %s has multiple fixed IPv4 addresses. Must provide a "
               "specific IPv4 address "
               "when assigning a floating IP.",
               p->id);
}

static struct err *associate(struct call *c, struct floatingip *f)
{
    void *row = NULL, *same = NULL, **forwardings;
    struct fixed_ip fixed = {0};
    size_t n;
    TRY(nw_forwardings_of(c->cx, c->tx, f->id, &forwardings, &n));
    if (n)
        return fail_type(c->cx, ERR_IN_USE, "FipInUseByPortForwarding",
                         "Floating IP %s in use by Port Forwarding resources.", f->id);
    TRY(res_find_visible(c->cx, c->tx, &port_resource, f->port_id, c->actor, &row));
    const struct port *p = row;
    if (!str_eq(p->project_id, f->project_id))
        return bad(c->cx, "BadRequest",
                   "Bad floatingip request: Port %s is associated with a different tenant than "
                   "Floating IP %s and "
                   "therefore cannot be bound.",
                   p->id, f->id);
    TRY(choose_fixed(c, f, p, &fixed));
    TRY(nw_router_for(c->cx, c->tx, p->network_id, fixed.subnet_id, f->floating_network_id,
                      &f->router_id));
    if (!f->router_id)
        return fail_type(c->cx, ERR_NOT_FOUND, "ExternalGatewayForFloatingIPNotFound",
                         "External network %s is not reachable from subnet %s.  Therefore, cannot "
                         "associate Port %s "
                         "with a Floating IP.",
                         f->floating_network_id, fixed.subnet_id, p->id);
    f->fixed_ip_address = fixed.ip;
    TRY(res_first_by(c->cx, c->tx, &nw_w_floating_same, &same, V_TEXT(p->id), V_TEXT(fixed.ip)));
    if (same && !str_eq(((struct floatingip *)same)->id, f->id))
        return fail_type(c->cx, ERR_CONFLICT, "FloatingIPPortAlreadyAssociated",
                         "Cannot associate floating IP %s (%s) with port %s using fixed IP %s, as "
                         "that fixed IP already "
                         "has a floating IP on external network %s.",
                         f->floating_ip_address, f->id, p->id, fixed.ip, f->floating_network_id);
    return nw_touch_router(c->cx, c->tx, f->router_id);
}

/* The row without its port; the router that knew it hears of it. */
static struct err *dissociate(struct ctx *cx, struct tx *tx, struct floatingip *f,
                              const char *router_id)
{
    f->port_id = f->fixed_ip_address = f->router_id = NULL;
    f->status = "DOWN";
    return router_id ? nw_touch_router(cx, tx, router_id) : NULL;
}

struct err *nw_floatingips_leave(struct ctx *cx, struct tx *tx, const struct port *p)
{
    void **rows;
    size_t n, n_ips;
    struct fixed_ip *ips;
    TRY(nw_forwardings_leave(cx, tx, p));
    TRY(res_select_by(cx, tx, &nw_w_floating_of_port, &rows, &n, V_TEXT(p->id)));
    n_ips = n ? nw_fixed_ips(cx, p, &ips) : 0;
    for (size_t i = 0; i < n; i++) {
        struct floatingip *f = rows[i];
        bool there = false;
        for (size_t k = 0; k < n_ips; k++)
            there |= str_eq(ips[k].ip, f->fixed_ip_address);
        if (there)
            continue;
        TRY(dissociate(cx, tx, f, f->router_id));
        TRY(res_update(cx, tx, &floatingip_resource, f));
    }
    return NULL;
}

/* ---------------------------------------------------------------- the address itself */

static struct err *take_this(struct call *c, struct floatingip *f, const struct subnets *subnets)
{
    struct addr a;
    if (!c->actor->admin)
        return fail_type(c->cx, ERR_FORBIDDEN, "PolicyNotAuthorized",
                         "rule:create_floatingip:floating_ip_address is disallowed by policy");
    must(addr_parse(f->floating_ip_address, &a));
    for (size_t i = 0; i < subnets->n; i++) {
        struct cidr cidr = nw_cidr_of(subnets->v[i]);
        if (cidr_has(&cidr, &a))
            return nw_ip_take(c->cx, c->tx, subnets->v[i], &a, f->id);
    }
    return bad(c->cx, "InvalidIpForNetwork",
               "IP address %s is not a valid IP for any of the subnets on the specified network.",
               f->floating_ip_address);
}

static struct err *take_address(struct call *c, struct floatingip *f)
{
    struct subnets subnets;
    bool found = false;
    TRY(nw_subnets_of(c->cx, c->tx, f->floating_network_id, &subnets));
    if (f->floating_ip_address)
        return take_this(c, f, &subnets);
    for (size_t i = 0; i < subnets.n && !found; i++) {
        struct addr a;
        if (subnets.v[i]->ip_version != 4 ||
            (f->subnet_id && !str_eq(f->subnet_id, subnets.v[i]->id)))
            continue;
        TRY(nw_ip_next(c->cx, c->tx, subnets.v[i], f->id, &a, &found));
        f->floating_ip_address = found ? addr_text(c->cx, &a) : NULL;
    }
    if (!found)
        return fail_type(c->cx, ERR_CONFLICT, "IpAddressGenerationFailure",
                         "No more IP addresses available on network %s.", f->floating_network_id);
    return NULL;
}

/* ---------------------------------------------------------------- handlers */

struct err *nw_floatingip_make(struct call *c, void *row)
{
    struct floatingip *f = row;
    struct network *n;
    TRY(nw_network_visible(c, f->floating_network_id, &n));
    if (!n->external)
        return bad(c->cx, "BadRequest",
                   "Bad floatingip request: Network %s is not a valid external network.", n->id);
    TRY(quota_check(c->cx, c->tx, &network_service, "floatingip", f->project_id, 1));
    f->status = "DOWN";
    if (f->fixed_ip_address && !f->port_id)
        return bad(c->cx, "BadRequest",
                   "Bad floatingip request: cannot specify fixed_ip_address without a port_id.");
    TRY(take_address(c, f));
    if (f->port_id)
        TRY(associate(c, f));
    return res_insert(c->cx, c->tx, &floatingip_resource, f);
}

struct err *nw_floatingips_create(struct call *c)
{
    return nw_create(c, &floatingip_resource, nw_floatingip_make);
}

struct err *nw_floatingips_list(struct call *c)
{
    return nw_list(c, NULL);
}

struct err *nw_floatingip_move(struct call *c, const struct floatingip *old, struct floatingip *f)
{
    if (!f->port_id)
        return dissociate(c->cx, c->tx, f, old->router_id);
    TRY(associate(c, f));
    if (!str_eq(old->port_id, f->port_id) || !str_eq(old->fixed_ip_address, f->fixed_ip_address))
        f->status = "DOWN"; /* until its router says so */
    if (old->router_id && !str_eq(old->router_id, f->router_id))
        TRY(nw_touch_router(c->cx, c->tx, old->router_id));
    return NULL;
}

struct err *nw_floatingip_update(struct call *c)
{
    const struct floatingip *old = c->target;
    struct floatingip *f = c->body;
    bool moves = row_given(&f->row, floatingip_f_port_id) ||
                 row_given(&f->row, floatingip_f_fixed_ip_address);
    if (moves && f->port_id && !row_given(&f->row, floatingip_f_fixed_ip_address))
        f->fixed_ip_address = NULL;
    if (moves)
        TRY(nw_floatingip_move(c, old, f));
    TRY(res_update(c->cx, c->tx, &floatingip_resource, f));
    return call_reply_row(c, 200, &floatingip_resource, f);
}

struct err *nw_floatingip_remove(struct call *c, struct floatingip *f)
{
    void **forwardings;
    size_t n;
    TRY(nw_forwardings_of(c->cx, c->tx, f->id, &forwardings, &n));
    for (size_t i = 0; i < n; i++)
        TRY(res_delete(c->cx, c->tx, &port_forwarding_resource, forwardings[i]));
    TRY(nw_ip_release_all(c->cx, c->tx, f->id));
    if (f->router_id)
        TRY(nw_touch_router(c->cx, c->tx, f->router_id));
    return res_delete(c->cx, c->tx, &floatingip_resource, f);
}

struct err *nw_floatingip_delete(struct call *c)
{
    TRY(nw_floatingip_remove(c, c->target));
    call_reply_empty(c, 204);
    return NULL;
}
