/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Auto-allocated topologies: /v2.0/auto-allocated-topology. A project without a network gets one: a
 * subnet from each default subnet pool, and a router into the default external network.
 */
#include "network/nw.h"

const struct stmt nw_st_auto_get = {
    "auto_get", "SELECT network_id, router_id FROM auto_topologies WHERE project_id = $1"};
const struct stmt nw_st_auto_set = {
    "auto_set", "INSERT INTO auto_topologies (project_id, network_id, router_id) VALUES ($1, $2, "
                "$3) ON CONFLICT (project_id) DO UPDATE SET network_id = $2, router_id = $3"};
const struct stmt nw_st_auto_drop = {"auto_drop",
                                     "DELETE FROM auto_topologies WHERE project_id = $1"};

static struct err *not_possible(struct call *c, const char *reason)
{
    return fail_type(c->cx, ERR_CONFLICT, "AutoAllocationFailure", "Deployment error: %s.", reason);
}

/* What the operator has to provide. */
struct parts {
    const struct network *external;
    const struct subnetpool *pools[2];
    size_t n_pools;
};

static struct err *find_parts(struct call *c, struct parts *ret)
{
    void *row = NULL;
    *ret = (struct parts){0};
    TRY(res_first(c->cx, c->tx, &nw_w_default_external, NULL, 0, &row));
    ret->external = row;
    if (!row || !ret->external->is_default)
        return not_possible(c, "No default router:external network");
    for (int version = 4; version <= 6; version += 2) {
        row = NULL;
        TRY(res_first_by(c->cx, c->tx, &nw_w_default_pool, &row, V_INT(version)));
        if (row)
            ret->pools[ret->n_pools++] = row;
    }
    return ret->n_pools ? NULL : not_possible(c, "No default pools available");
}

/* NULLs: none is left of it. */
static struct err *find_made(struct call *c, const char *project_id, struct network **ret_network,
                             struct router **ret_router)
{
    struct db_value param = V_TEXT(project_id);
    struct db_rows rows;
    void *n = NULL, *r = NULL;
    TRY(db_query(c->cx, c->tx, &nw_st_auto_get, &param, 1, &rows));
    if (rows.n_rows) {
        TRY(res_get(c->cx, c->tx, &network_resource, db_text(&rows, 0, 0), &n));
        TRY(res_get(c->cx, c->tx, &router_resource, db_text(&rows, 0, 1), &r));
    }
    *ret_network = n;
    *ret_router = r;
    return NULL;
}

/* ---------------------------------------------------------------- making it */

/* A row as POST would have decoded it. */
static struct err *from_json(struct call *c, const struct resource *res, json_t *body, void **ret)
{
    *ret = res_new(c->cx, res);
    TRY(res_decode(c->cx, c->service->family, res, json_own(c->cx, body), DECODE_CREATE, 0, true,
                   *ret));
    return NULL;
}

static struct err *make_network(struct call *c, const char *project_id, struct network **ret)
{
    void *row;
    TRY(from_json(
        c, &network_resource,
        json_pack("{s:s, s:s}", "name", "auto_allocated_network", "project_id", project_id), &row));
    *ret = row;
    (*ret)->id = uuid_new(c->cx);
    (*ret)->tags = "[]";
    return nw_network_make(c, row);
}

static struct err *make_subnet(struct call *c, const struct network *n, const struct subnetpool *p,
                               struct subnet **ret)
{
    void *row;
    json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:I}", "name", "auto_allocated_subnet",
                             "project_id", n->project_id, "network_id", n->id, "subnetpool_id",
                             p->id, "ip_version", (json_int_t)p->ip_version);
    if (p->ip_version == 6) {
        json_object_set_new(body, "ipv6_ra_mode", json_string("slaac"));
        json_object_set_new(body, "ipv6_address_mode", json_string("slaac"));
    }
    TRY(from_json(c, &subnet_resource, body, &row));
    *ret = row;
    (*ret)->id = uuid_new(c->cx);
    (*ret)->tags = "[]";
    return nw_subnet_make(c, row);
}

static struct err *make_router(struct call *c, const char *project_id,
                               const struct network *external, struct router **ret)
{
    void *row;
    TRY(from_json(c, &router_resource,
                  json_pack("{s:s, s:s, s:{s:s}}", "name", "auto_allocated_router", "project_id",
                            project_id, "external_gateway_info", "network_id", external->id),
                  &row));
    *ret = row;
    (*ret)->id = uuid_new(c->cx);
    (*ret)->tags = "[]";
    return nw_router_make(c, row);
}

static struct err *fill(struct call *c, const struct network *n, struct router *r,
                        const struct parts *parts)
{
    struct subnets subnets;
    TRY(nw_subnets_of(c->cx, c->tx, n->id, &subnets));
    for (size_t i = 0; i < parts->n_pools && !subnets.n; i++) {
        struct subnet *s;
        TRY(make_subnet(c, n, parts->pools[i], &s));
        TRY(nw_interface_add(c, r, s->id));
    }
    for (size_t i = 0; i < subnets.n; i++) /* a router of its own had them before */
        TRY(nw_interface_add(c, r, subnets.v[i]->id));
    return NULL;
}

struct err *nw_auto_topology(struct call *c, const char *project_id, const char **ret_id)
{
    struct network *n;
    struct router *r;
    struct parts parts;
    TRY(find_made(c, project_id, &n, &r));
    if (n && r) {
        *ret_id = n->id;
        return NULL;
    }
    TRY(find_parts(c, &parts));
    if (!n)
        TRY(make_network(c, project_id, &n));
    if (!r)
        TRY(make_router(c, project_id, parts.external, &r));
    TRY(fill(c, n, r, &parts));
    *ret_id = n->id;
    return db_run(c->cx, c->tx, &nw_st_auto_set, V_TEXT(project_id), V_TEXT(n->id), V_TEXT(r->id));
}

/* ---------------------------------------------------------------- handlers */

static struct err *own_project(struct call *c, const char **ret)
{
    *ret = call_param(c, "project_id");
    if (str_eq(*ret, "null") || str_eq(*ret, "None"))
        *ret = c->actor->project_id;
    if (nw_owns(c, *ret))
        return NULL;
    return fail_type(c->cx, ERR_FORBIDDEN, "PolicyNotAuthorized",
                     "((rule:get_auto_allocated_topology and "
                     "rule:get_auto_allocated_topology:tenant_id)) is disallowed by policy");
}

static struct err *reply(struct call *c, const char *project_id, const char *id)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "auto_allocated_topology");
    jw_kstr(&w, "id", id);
    jw_kstr(&w, "tenant_id", project_id);
    jw_kstr(&w, "project_id", project_id);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *show(struct call *c, const char *project_id)
{
    struct parts parts;
    const char *id = "dry-run=pass";
    if (str_eq(http_arg(c->rq, "fields"), "dry-run"))
        TRY(find_parts(c, &parts));
    else
        TRY(nw_auto_topology(c, project_id, &id));
    return reply(c, project_id, id);
}

/* A GET that makes what it shows: it writes. */
struct err *nw_auto_topology_show(struct call *c)
{
    AUTO_TXN struct tx *tx = NULL;
    const char *project_id;
    TRY(own_project(c, &project_id));
    TRY(tx_write(c->cx, c->store, &tx));
    c->tx = tx;
    struct err *e = show(c, project_id);
    c->tx = NULL;
    return e ? e : tx_commit(c->cx, &tx);
}

static struct err *remove_router(struct call *c, struct router *r)
{
    struct port **ports;
    size_t n;
    TRY(nw_router_ports(c->cx, c->tx, r->id, &ports, &n));
    for (size_t i = 0; i < n; i++)
        if (str_eq(ports[i]->device_owner, OWNER_INTERFACE))
            TRY(nw_interface_remove(c, r, ports[i]));
    return nw_router_remove(c, r);
}

struct err *nw_auto_topology_delete(struct call *c)
{
    const char *project_id;
    struct network *n;
    struct router *r;
    TRY(own_project(c, &project_id));
    TRY(find_made(c, project_id, &n, &r));
    if (!n && !r)
        return fail_type(c->cx, ERR_NOT_FOUND, "NotFound",
                         "No auto-allocated topology found for the project %s.", project_id);
    if (r)
        TRY(remove_router(c, r));
    if (n)
        TRY(nw_network_remove(c, n));
    TRY(db_run(c->cx, c->tx, &nw_st_auto_drop, V_TEXT(project_id)));
    call_reply_empty(c, 204);
    return NULL;
}
