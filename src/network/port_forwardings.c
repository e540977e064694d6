/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Ports of a floating IP that lead to ports of several guests:
 * /v2.0/floatingips/{id}/port_forwardings. All of them are behind the one router that answers for
 * the address.
 */
#include "network/nw.h"

static const char *const forwarded_protocols[] = {"tcp", "udp", "sctp", "dccp", NULL};

#define RESOURCE port_forwarding
#define RESOURCE_DEF "network/port_forwarding.def"
#include "resource/declare_fields.h"

static const struct res_index port_forwarding_indexes[] = {
    {"port_forwardings_external", "floatingip_id, protocol, external_port", true, NULL},
    {"port_forwardings_internal", "internal_port_id, protocol, internal_ip_address, internal_port",
     true, NULL},
};

const struct resource port_forwarding_resource = {
    .name = "port_forwarding",
    .plural = "port_forwardings",
    .table = "port_forwardings",
    RESOURCE_FIELDS(port_forwarding),
    .owner = port_forwarding_f_project_id,
    .not_found = "Port Forwarding %s could not be found.",
    .not_found_type = "PortForwardingNotFound",
    .indexes = port_forwarding_indexes,
    .n_indexes = ARRAY_LEN(port_forwarding_indexes),
    .dflt_sort = "id:asc",
    .doc = "A port of a floating IP that leads to a guest's."};

const struct res_where nw_w_forwardings_of = {&port_forwarding_resource, "floatingip_id = $1",
                                              "protocol, external_port"};
const struct res_where nw_w_forwardings_in = {
    &port_forwarding_resource, "floatingip_id IN " IN_BATCH, "protocol, external_port"};
const struct res_where nw_w_forwardings_of_port = {&port_forwarding_resource,
                                                   "internal_port_id = $1", "id"};
const struct res_where nw_w_forwarding_external = {
    &port_forwarding_resource, "floatingip_id = $1 AND protocol = $2 AND external_port = $3", NULL};
const struct res_where nw_w_forwarding_internal = {
    &port_forwarding_resource,
    "internal_port_id = $1 AND protocol = $2 AND internal_ip_address = $3 AND internal_port = $4",
    NULL};

/* ---------------------------------------------------------------- for floating IPs and ports */

struct err *nw_forwardings_of(struct ctx *cx, struct tx *tx, const char *floatingip_id, void ***ret,
                              size_t *ret_n)
{
    return res_select_by(cx, tx, &nw_w_forwardings_of, ret, ret_n, V_TEXT(floatingip_id));
}

/* Once nothing leads through it, no router answers for the address. */
static struct err *settle(struct ctx *cx, struct tx *tx, const char *floatingip_id)
{
    void *row = NULL, **rows;
    size_t n;
    TRY(res_find(cx, tx, &floatingip_resource, floatingip_id, &row));
    TRY(nw_forwardings_of(cx, tx, floatingip_id, &rows, &n));
    struct floatingip *f = row;
    if (f->router_id)
        TRY(nw_touch_router(cx, tx, f->router_id));
    if (!n) {
        f->router_id = NULL;
        f->status = "DOWN";
    }
    return res_update(cx, tx, &floatingip_resource, f);
}

struct err *nw_forwardings_leave(struct ctx *cx, struct tx *tx, const struct port *p)
{
    void **rows;
    size_t n, n_ips;
    struct fixed_ip *ips;
    TRY(res_select_by(cx, tx, &nw_w_forwardings_of_port, &rows, &n, V_TEXT(p->id)));
    n_ips = n ? nw_fixed_ips(cx, p, &ips) : 0;
    for (size_t i = 0; i < n; i++) {
        struct port_forwarding *pf = rows[i];
        bool there = false;
        for (size_t k = 0; k < n_ips; k++)
            there |= str_eq(ips[k].ip, pf->internal_ip_address);
        if (there)
            continue;
        TRY(res_delete(cx, tx, &port_forwarding_resource, pf));
        TRY(settle(cx, tx, pf->floatingip_id));
    }
    return NULL;
}

/* ---------------------------------------------------------------- checks */

static struct err *floatingip_of(struct call *c, struct floatingip **ret)
{
    TRY(res_find_visible(c->cx, c->tx, &floatingip_resource, call_param(c, "id"), c->actor,
                         (void **)ret));
    return NULL;
}

static struct err *forwarding_of(struct call *c, struct floatingip **ret_floatingip,
                                 struct port_forwarding **ret)
{
    void *row = NULL;
    TRY(floatingip_of(c, ret_floatingip));
    TRY(res_find(c->cx, c->tx, &port_forwarding_resource, call_param(c, "forwarding_id"), &row));
    *ret = row;
    if (str_eq((*ret)->floatingip_id, (*ret_floatingip)->id))
        return NULL;
    return res_not_found(c->cx, &port_forwarding_resource, call_param(c, "forwarding_id"));
}

/* The port's address that is meant, and its subnet. */
static struct err *choose_address(struct call *c, struct port_forwarding *pf, const struct port *p,
                                  const char **ret_subnet)
{
    struct fixed_ip *ips;
    size_t n = nw_fixed_ips(c->cx, p, &ips), hits = 0;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        if (strchr(ips[i].ip, ':') ||
            (pf->internal_ip_address && !str_eq(pf->internal_ip_address, ips[i].ip)))
            continue;
        hits++;
        found = ips[i].ip;
        *ret_subnet = ips[i].subnet_id;
    }
    if (hits != 1)
        return bad(c->cx, "BadRequest",
                   "Bad port_forwarding request: The port %s has %s IPv4 address%s%s.", p->id,
                   hits ? "several" : "no", hits ? "es: say which one" : " ",
                   !hits && pf->internal_ip_address ? pf->internal_ip_address : "");
    pf->internal_ip_address = found;
    return NULL;
}

static struct err *check_unique(struct call *c, const struct port_forwarding *pf)
{
    void *outside = NULL, *inside = NULL;
    TRY(res_first_by(c->cx, c->tx, &nw_w_forwarding_external, &outside, V_TEXT(pf->floatingip_id),
                     V_TEXT(pf->protocol), V_INT(pf->external_port)));
    TRY(res_first_by(c->cx, c->tx, &nw_w_forwarding_internal, &inside, V_TEXT(pf->internal_port_id),
                     V_TEXT(pf->protocol), V_TEXT(pf->internal_ip_address),
                     V_INT(pf->internal_port)));
    if (outside && !str_eq(((struct port_forwarding *)outside)->id, pf->id))
        return bad(c->cx, "BadRequest",
                   "Bad port_forwarding request: A duplicate port forwarding entry with same "
                   "attributes already exists, conflicting values are {'floatingip_id': '%s', "
                   "'external_port': %" PRId64 ", 'protocol': '%s'}.",
                   pf->floatingip_id, pf->external_port, pf->protocol);
    if (inside && !str_eq(((struct port_forwarding *)inside)->id, pf->id))
        return bad(c->cx, "BadRequest",
                   "Bad port_forwarding request: A duplicate port forwarding entry with same "
                   "attributes already exists, conflicting values are {'internal_ip_address': "
                   "'%s', 'internal_port': %" PRId64 ", 'protocol': '%s'}.",
                   pf->internal_ip_address, pf->internal_port, pf->protocol);
    return NULL;
}

/* The router that reaches the port: the one that has the address already, if any. */
static struct err *check_router(struct call *c, struct floatingip *f, const struct port *p,
                                const char *subnet_id)
{
    const char *router;
    TRY(nw_router_for(c->cx, c->tx, p->network_id, subnet_id, f->floating_network_id, &router));
    if (!router)
        return fail_type(c->cx, ERR_NOT_FOUND, "ExternalGatewayForFloatingIPNotFound",
                         "External network %s is not reachable from subnet %s.  Therefore, cannot "
                         "associate Port %s with a Floating IP.",
                         f->floating_network_id, subnet_id, p->id);
    if (f->router_id && !str_eq(f->router_id, router))
        return bad(c->cx, "BadRequest",
                   "Bad port_forwarding request: The Floating IP %s had been set on router %s, the "
                   "internal Neutron port %s can not be reached from it.",
                   f->id, f->router_id, p->id);
    f->router_id = router;
    return NULL;
}

static struct err *check(struct call *c, struct floatingip *f, struct port_forwarding *pf)
{
    void *row = NULL;
    const char *subnet = NULL;
    TRY(call_require_owner(c, f->project_id, &floatingip_resource, f->id));
    if (f->port_id)
        return fail_type(c->cx, ERR_IN_USE, "FloatingIPPortAlreadyAssociated",
                         "Floating IP %s is associated with the port %s as a whole.", f->id,
                         f->port_id);
    TRY(res_find_visible(c->cx, c->tx, &port_resource, pf->internal_port_id, c->actor, &row));
    const struct port *p = row;
    if (!str_eq(p->project_id, f->project_id))
        return res_not_found(c->cx, &port_resource, pf->internal_port_id);
    TRY(choose_address(c, pf, p, &subnet));
    TRY(check_unique(c, pf));
    return check_router(c, f, p, subnet);
}

/* ---------------------------------------------------------------- handlers */

struct err *nw_forwardings_list(struct call *c)
{
    struct floatingip *f = NULL;
    TRY(floatingip_of(c, &f));
    struct db_value param = V_TEXT(f->id);
    return nw_list(
        c, &(struct list_more){.where = "floatingip_id = $1", .params = &param, .n_params = 1});
}

struct err *nw_forwarding_create(struct call *c)
{
    struct floatingip *f = NULL;
    struct port_forwarding *pf = c->body;
    TRY(floatingip_of(c, &f));
    pf->id = uuid_new(c->cx);
    pf->floatingip_id = f->id;
    pf->project_id = f->project_id;
    TRY(check(c, f, pf));
    TRY(res_insert(c->cx, c->tx, &port_forwarding_resource, pf));
    TRY(res_update(c->cx, c->tx, &floatingip_resource, f));
    TRY(nw_touch_router(c->cx, c->tx, f->router_id));
    c->audit_target = pf->id;
    return call_reply_row(c, 201, &port_forwarding_resource, pf);
}

struct err *nw_forwarding_show(struct call *c)
{
    struct floatingip *f = NULL;
    struct port_forwarding *pf = NULL;
    TRY(forwarding_of(c, &f, &pf));
    return call_reply_row(c, 200, &port_forwarding_resource, pf);
}

struct err *nw_forwarding_update(struct call *c)
{
    struct floatingip *f = NULL;
    struct port_forwarding *pf = NULL;
    TRY(forwarding_of(c, &f, &pf));
    const char *port = pf->internal_port_id;
    TRY(res_decode_body(c->cx, c->service->family, &port_forwarding_resource, c->json,
                        DECODE_UPDATE, 0, c->actor->admin, pf));
    if (!str_eq(port, pf->internal_port_id) &&
        !row_given(&pf->row, port_forwarding_f_internal_ip_address))
        pf->internal_ip_address = NULL; /* the other port's */
    TRY(check(c, f, pf));
    TRY(res_update(c->cx, c->tx, &port_forwarding_resource, pf));
    TRY(res_update(c->cx, c->tx, &floatingip_resource, f));
    TRY(nw_touch_router(c->cx, c->tx, f->router_id));
    return call_reply_row(c, 200, &port_forwarding_resource, pf);
}

struct err *nw_forwarding_delete(struct call *c)
{
    struct floatingip *f = NULL;
    struct port_forwarding *pf = NULL;
    TRY(forwarding_of(c, &f, &pf));
    TRY(call_require_owner(c, f->project_id, &floatingip_resource, f->id));
    TRY(res_delete(c->cx, c->tx, &port_forwarding_resource, pf));
    TRY(settle(c->cx, c->tx, f->id));
    call_reply_empty(c, 204);
    return NULL;
}
