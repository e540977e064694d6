/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Which host's DHCP serves a network, and which host carries a router. Both follow from where
 * guests and routers are; agent_bindings holds where that was decided otherwise: "wanted" for a
 * host that serves it in any case, "not wanted" for one that was told not to.
 */
#include "network/agents.h"

/* A network has DHCP once it has a port for it: with its first subnet that wants it. */
#define NOT_STOPPED(kind)                                                                          \
    "NOT EXISTS (SELECT 1 FROM network_agents a WHERE a.host_id = $1 AND a.kind = '" kind "' "     \
    "AND a.admin_state_up = 0) "
#define BOUND(kind, item, wanted)                                                                  \
    "EXISTS (SELECT 1 FROM agent_bindings b WHERE b.kind = '" kind "' AND b.item_id = " item       \
    " AND b.host_id = $1 AND b.wanted = " wanted ") "
#define DHCP_HERE                                                                                  \
    NOT_STOPPED("dhcp")                                                                            \
    "AND NOT " BOUND("dhcp", "networks.id", "0") "AND (" BOUND(                                    \
        "dhcp", "networks.id",                                                                     \
        "1") "OR (networks.external = 0 "                                                          \
             "AND EXISTS (SELECT 1 FROM ports d WHERE d.network_id = networks.id AND "             \
             "d.device_owner = "                                                                   \
             "'network:dhcp') AND EXISTS (SELECT 1 FROM ports p WHERE p.network_id = networks.id " \
             "AND (p.host_id = $1 OR p.router_id IS NOT NULL))))"
#define L3_HERE                                                                                    \
    NOT_STOPPED("l3")                                                                              \
    "AND NOT " BOUND("l3", "routers.id", "0") "AND (" BOUND(                                       \
        "l3", "routers.id",                                                                        \
        "1") "OR (NOT EXISTS (SELECT "                                                             \
             "1 FROM agent_bindings o WHERE o.kind = 'l3' AND o.item_id = routers.id AND "         \
             "o.wanted = 1) "                                                                      \
             "AND EXISTS (SELECT 1 FROM ports p WHERE p.router_id = routers.id)))"

const struct res_where nw_w_dhcp_networks = {&network_resource, DHCP_HERE, "created_at, id"};
const struct res_where nw_w_l3_routers = {&router_resource, L3_HERE, "created_at, id"};
const struct stmt nw_st_dhcp_here = {"dhcp_here",
                                     "SELECT id FROM networks WHERE id = $2 AND " DHCP_HERE};
const struct stmt nw_st_l3_here = {"l3_here", "SELECT id FROM routers WHERE id = $2 AND " L3_HERE};
const struct stmt nw_st_bind_agent = {
    "bind_agent", "INSERT INTO agent_bindings (kind, item_id, host_id, wanted) VALUES ($1, $2, $3, "
                  "$4) ON CONFLICT (kind, item_id, host_id) DO UPDATE SET wanted = $4"};
const struct stmt nw_st_unbind_agents = {"unbind_agents",
                                         "DELETE FROM agent_bindings WHERE item_id = $1"};
/* Some host serves it already, or will as soon as it is asked. */
const struct stmt nw_st_dhcp_somewhere = {
    "dhcp_somewhere", "SELECT item_id FROM agent_bindings WHERE kind = 'dhcp' AND item_id = $1 "
                      "UNION ALL SELECT network_id FROM ports WHERE network_id = $1 AND (host_id "
                      "IS NOT NULL OR router_id IS NOT NULL) LIMIT 1"};

/* Hosts of items: '*' is every host, '-' before one takes it out. */
const struct stmt nw_st_dhcp_hosts = {
    "dhcp_hosts",
    "SELECT network_id, host_id FROM ports WHERE host_id IS NOT NULL AND network_id IN " IN_BATCH
    " UNION SELECT network_id, '*' FROM ports WHERE router_id IS NOT NULL AND network_id "
    "IN " IN_BATCH
    " UNION SELECT item_id, CASE WHEN wanted = 1 THEN host_id ELSE '-' || host_id END "
    "FROM agent_bindings WHERE kind = 'dhcp' AND item_id IN " IN_BATCH};
const struct stmt nw_st_l3_hosts = {
    "l3_hosts",
    "SELECT router_id, '*' FROM ports WHERE router_id IN " IN_BATCH
    " AND NOT EXISTS (SELECT 1 FROM agent_bindings b WHERE b.kind = 'l3' AND b.item_id = "
    "ports.router_id AND b.wanted = 1) "
    "UNION SELECT item_id, CASE WHEN wanted = 1 THEN host_id ELSE '-' || host_id END "
    "FROM agent_bindings WHERE kind = 'l3' AND item_id IN " IN_BATCH};
const struct stmt nw_st_stopped_agents = {
    "stopped_agents", "SELECT host_id FROM network_agents WHERE kind = $1 AND admin_state_up = 0"};

/* ---------------------------------------------------------------- zones */

struct hosting {
    const char *const *ids;
    size_t n_ids, n_hosts;
    const struct fleet_host *hosts;
    signed char *on; /* [id][host]: 1 it does, -1 it was told not to */
};

static struct err *take_hosting(struct ctx *cx UNUSED, const struct db_value *cells,
                                size_t n UNUSED, void *arg)
{
    struct hosting *hg = arg;
    const char *host = cells[1].s;
    bool not = *host == '-';
    for (size_t i = 0; i < hg->n_ids; i++) {
        if (!str_eq(hg->ids[i], cells[0].s))
            continue;
        for (size_t h = 0; h < hg->n_hosts; h++) {
            signed char *on = &hg->on[i * hg->n_hosts + h];
            if (not &&str_eq(hg->hosts[h].id, host + 1))
                *on = -1;
            else if (*on == 0 && (str_eq(host, "*") || str_eq(hg->hosts[h].id, host)))
                *on = 1;
        }
    }
    return NULL;
}

static struct err *take_stopped(struct ctx *cx UNUSED, const struct db_value *cells,
                                size_t n UNUSED, void *arg)
{
    struct hosting *hg = arg;
    for (size_t h = 0; h < hg->n_hosts; h++)
        for (size_t i = 0; i < hg->n_ids && str_eq(hg->hosts[h].id, cells[0].s); i++)
            hg->on[i * hg->n_hosts + h] = -1;
    return NULL;
}

static const char *zones_of(struct ctx *cx, const struct hosting *hg, size_t item)
{
    json_t *zones = json_own(cx, json_array()), *seen = json_own(cx, json_object());
    for (size_t h = 0; h < hg->n_hosts; h++) {
        const char *zone = hg->hosts[h].zone;
        if (hg->on[item * hg->n_hosts + h] != 1 || json_get(seen, zone))
            continue;
        json_object_set_new(seen, zone, json_true());
        json_array_append_new(zones, json_string(zone));
    }
    return json_text(cx, zones);
}

struct err *nw_zones_of(struct ctx *cx, struct tx *tx, const char *kind, const char *const *ids,
                        size_t n, const char ***ret)
{
    struct hosting hg = {.ids = ids, .n_ids = n};
    struct fleet_host *hosts;
    struct db_value param = V_TEXT(kind);
    bool dhcp = str_eq(kind, "dhcp");
    TRY(fleet_hosts(cx, tx, &hosts, &hg.n_hosts));
    hg.hosts = hosts;
    hg.on = arena_alloc(cx->arena, n * hg.n_hosts + 1);
    TRY(db_each_in(cx, tx, dhcp ? &nw_st_dhcp_hosts : &nw_st_l3_hosts, ids, n, take_hosting, &hg));
    TRY(db_each(cx, tx, &nw_st_stopped_agents, &param, 1, take_stopped, &hg));
    *ret = arena_new_array(cx->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        (*ret)[i] = zones_of(cx, &hg, i);
    return NULL;
}

/* ---------------------------------------------------------------- who serves what */

static struct err *is_here(struct ctx *cx, struct tx *tx, const struct stmt *st,
                           const char *host_id, const char *item_id, bool *ret)
{
    struct db_value params[] = {V_TEXT(host_id), V_TEXT(item_id)};
    struct db_rows rows;
    TRY(db_query(cx, tx, st, params, 2, &rows));
    *ret = rows.n_rows > 0;
    return NULL;
}

struct err *nw_dhcp_here(struct ctx *cx, struct tx *tx, const char *host_id, const char *network_id,
                         bool *ret)
{
    return is_here(cx, tx, &nw_st_dhcp_here, host_id, network_id, ret);
}

struct err *nw_l3_here(struct ctx *cx, struct tx *tx, const char *host_id, const char *router_id,
                       bool *ret)
{
    return is_here(cx, tx, &nw_st_l3_here, host_id, router_id, ret);
}

struct err *nw_l3_anywhere(struct ctx *cx, struct tx *tx, const char *router_id, bool *ret)
{
    struct fleet_host *hosts;
    size_t n;
    bool here = false;
    TRY(fleet_hosts(cx, tx, &hosts, &n));
    for (size_t i = 0; i < n && !here; i++)
        TRY(nw_l3_here(cx, tx, hosts[i].id, router_id, &here));
    *ret = here;
    return NULL;
}

static struct err *bind_agent(struct ctx *cx, struct tx *tx, const char *kind, const char *item_id,
                              const char *host_id, bool wanted)
{
    TRY(db_run(cx, tx, &nw_st_bind_agent, V_TEXT(kind), V_TEXT(item_id), V_TEXT(host_id),
               V_INT(wanted)));
    return fleet_touch(cx, tx, host_id, str_eq(kind, "dhcp") ? "network" : "router", item_id);
}

struct err *nw_agents_forget(struct ctx *cx, struct tx *tx, const char *item_id)
{
    return db_run(cx, tx, &nw_st_unbind_agents, V_TEXT(item_id));
}

/* The live host of the zones asked for (all of them when none is) that this network falls to. */
static const struct fleet_host *choose(struct ctx *cx, const struct network *n,
                                       const struct fleet_host *hosts, size_t n_hosts)
{
    const struct fleet_host *best = NULL;
    uint64_t best_score = 0;
    bool any_zone = str_eq(n->availability_zone_hints, "[]");
    for (size_t i = 0; i < n_hosts; i++) {
        uint64_t score = 14695981039346656037u;
        for (const char *p = arena_printf(cx->arena, "%s%s", n->id, hosts[i].id); *p; p++)
            score = (score ^ (uint8_t)*p) * 1099511628211u;
        if (!hosts[i].alive ||
            (!any_zone && !nw_list_has(cx, n->availability_zone_hints, hosts[i].zone)))
            continue;
        if (!best || score > best_score) {
            best = &hosts[i];
            best_score = score;
        }
    }
    return best;
}

struct err *nw_dhcp_schedule(struct ctx *cx, struct tx *tx, const struct network *n)
{
    struct db_value param = V_TEXT(n->id);
    struct db_rows there;
    struct fleet_host *hosts;
    size_t n_hosts;
    void *dhcp = NULL;
    if (n->external)
        return NULL;
    TRY(db_query(cx, tx, &nw_st_dhcp_somewhere, &param, 1, &there));
    if (there.n_rows)
        return NULL;
    TRY(res_first_by(cx, tx, &nw_w_dhcp_port, &dhcp, V_TEXT(n->id)));
    if (!dhcp)
        return NULL;
    TRY(fleet_hosts(cx, tx, &hosts, &n_hosts));
    const struct fleet_host *h = choose(cx, n, hosts, n_hosts);
    return h ? bind_agent(cx, tx, "dhcp", n->id, h->id, true) : NULL;
}

struct err *agent_touch_all(struct call *c, const struct agent *a)
{
    bool l3 = str_eq(a->kind, "l3");
    struct db_rows ids;
    TRY((l3 ? &nw_kind_router : &nw_kind_network)->list(c->cx, c->tx, a->host_id, &ids));
    for (size_t i = 0; i < ids.n_rows; i++)
        TRY(fleet_touch(c->cx, c->tx, a->host_id, l3 ? "router" : "network", db_text(&ids, i, 0)));
    return NULL;
}

/* ---------------------------------------------------------------- listings */

static struct err *reply_rows(struct call *c, const struct resource *res, void **rows, size_t n)
{
    struct view v = call_view(c);
    TRY(res_prepare(c->cx, c->tx, res, rows, n, &v));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, res->plural);
    for (size_t i = 0; i < n; i++)
        res_encode(c->cx, &w, res, rows[i], &v);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *reply_items(struct call *c, const char *kind, const struct res_where *which)
{
    struct agent *a = NULL;
    void **rows;
    size_t n;
    TRY(agent_find(c, call_param(c, "id"), kind, &a));
    TRY(res_select_by(c->cx, c->tx, which, &rows, &n, V_TEXT(a->host_id)));
    return reply_rows(c, which->res, rows, n);
}

static struct err *reply_agents(struct call *c, const char *kind, const struct stmt *here)
{
    struct fleet_host *hosts;
    size_t n, n_here = 0;
    bool is;
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n));
    for (size_t i = 0; i < n; i++) {
        TRY(is_here(c->cx, c->tx, here, hosts[i].id, call_param(c, "id"), &is));
        if (is)
            hosts[n_here++] = hosts[i];
    }
    return agents_reply(c, hosts, n_here, kind);
}

struct err *nw_agent_networks(struct call *c)
{
    return reply_items(c, "dhcp", &nw_w_dhcp_networks);
}

struct err *nw_network_agents(struct call *c)
{
    return reply_agents(c, "dhcp", &nw_st_dhcp_here);
}

struct err *nw_agent_routers(struct call *c)
{
    return reply_items(c, "l3", &nw_w_l3_routers);
}

struct err *nw_router_agents(struct call *c)
{
    return reply_agents(c, "l3", &nw_st_l3_here);
}

/* ---------------------------------------------------------------- an administrator's decisions */

static struct err *item_asked(struct call *c, const char *name, const struct resource *res,
                              const char **ret_id)
{
    void *row = NULL;
    *ret_id = json_get_str(c->json, name);
    if (!*ret_id)
        return bad(c->cx, "HTTPBadRequest", "Unable to find '%s' in request body", name);
    return res_find(c->cx, c->tx, res, *ret_id, &row);
}

static struct err *check_serves(struct call *c, const struct agent *a, const char *what)
{
    if (a->admin_state_up)
        return NULL;
    return fail_type(c->cx, ERR_CONFLICT,
                     str_eq(a->kind, "l3") ? "InvalidL3Agent" : "InvalidDHCPAgent",
                     "Agent %s is not a valid %s Agent or has been disabled", a->id, what);
}

struct err *nw_agent_network_add(struct call *c)
{
    struct agent *a = NULL;
    const char *id;
    void *row = NULL;
    bool here = false;
    TRY(agent_find(c, call_param(c, "id"), "dhcp", &a));
    TRY(item_asked(c, "network_id", &network_resource, &id));
    TRY(check_serves(c, a, "DHCP"));
    TRY(res_find(c->cx, c->tx, &network_resource, id, &row));
    if (((struct network *)row)->external)
        return fail_type(c->cx, ERR_CONFLICT, "Conflict",
                         "The external network %s has no DHCP: its addresses are given to routers.",
                         id);
    TRY(nw_dhcp_here(c->cx, c->tx, a->host_id, id, &here));
    if (here)
        return fail_type(c->cx, ERR_CONFLICT, "NetworkHostedByDHCPAgent",
                         "The network %s has been already hosted by the DHCP Agent %s.", id, a->id);
    TRY(bind_agent(c->cx, c->tx, "dhcp", id, a->host_id, true));
    struct jw w = call_json(c, 201);
    jw_null(&w);
    return NULL;
}

struct err *nw_agent_network_remove(struct call *c)
{
    struct agent *a = NULL;
    const char *id = call_param(c, "network_id");
    bool here = false;
    TRY(agent_find(c, call_param(c, "id"), "dhcp", &a));
    TRY(nw_dhcp_here(c->cx, c->tx, a->host_id, id, &here));
    if (!here)
        return fail_type(c->cx, ERR_CONFLICT, "NetworkNotHostedByDhcpAgent",
                         "The network %s is not hosted by the DHCP agent %s.", id, a->id);
    TRY(bind_agent(c->cx, c->tx, "dhcp", id, a->host_id, false));
    call_reply_empty(c, 204);
    return NULL;
}

/* Another host carries it: two would both answer for its addresses. */
static struct err *check_not_elsewhere(struct call *c, const struct agent *a, const char *router_id)
{
    struct fleet_host *hosts;
    size_t n;
    bool here;
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n));
    for (size_t i = 0; i < n; i++) {
        if (str_eq(hosts[i].id, a->host_id))
            continue;
        TRY(nw_l3_here(c->cx, c->tx, hosts[i].id, router_id, &here));
        if (here)
            return fail_type(
                c->cx, ERR_CONFLICT, "RouterHostedByL3Agent",
                "The router %s has been already hosted by the L3 Agent of the host %s.", router_id,
                hosts[i].name);
    }
    return NULL;
}

struct err *nw_agent_router_add(struct call *c)
{
    struct agent *a = NULL;
    const char *id;
    TRY(agent_find(c, call_param(c, "id"), "l3", &a));
    TRY(item_asked(c, "router_id", &router_resource, &id));
    TRY(check_serves(c, a, "L3"));
    TRY(check_not_elsewhere(c, a, id));
    TRY(bind_agent(c->cx, c->tx, "l3", id, a->host_id, true));
    struct jw w = call_json(c, 201);
    jw_null(&w);
    return NULL;
}

struct err *nw_agent_router_remove(struct call *c)
{
    struct agent *a = NULL;
    const char *id = call_param(c, "router_id");
    bool here = false;
    TRY(agent_find(c, call_param(c, "id"), "l3", &a));
    TRY(nw_l3_here(c->cx, c->tx, a->host_id, id, &here));
    if (!here)
        return fail_type(c->cx, ERR_CONFLICT, "RouterNotHostedByL3Agent",
                         "The router %s is not hosted by L3 agent %s.", id, a->id);
    TRY(bind_agent(c->cx, c->tx, "l3", id, a->host_id, false));
    call_reply_empty(c, 204);
    return NULL;
}
