/* SPDX-License-Identifier: EUPL-1.2 */
/* Networks: /v2.0/networks. */
#include "network/nw.h"

static const char *const network_types[] = {"local", "flat",   "vlan", "vxlan",
                                            "gre",   "geneve", NULL};
static void network_encode_subnets(struct ctx *cx, struct jw *w, const void *row,
                                   const struct view *v);
static void network_encode_shared(struct ctx *cx, struct jw *w, const void *row,
                                  const struct view *v);
static void network_encode_zones(struct ctx *cx, struct jw *w, const void *row,
                                 const struct view *v);
static void network_encode_scope4(struct ctx *cx, struct jw *w, const void *row,
                                  const struct view *v);
static void network_encode_scope6(struct ctx *cx, struct jw *w, const void *row,
                                  const struct view *v);

#define RESOURCE network
#define RESOURCE_DEF "network/network.def"
#include "resource/declare_fields.h"

const struct stmt nw_st_batch_subnet_ids = {
    "batch_subnet_ids",
    "SELECT s.network_id, s.id, s.ip_version, p.address_scope_id, s.enable_dhcp FROM subnets s "
    "LEFT JOIN subnetpools p ON p.id = s.subnetpool_id WHERE s.network_id IN " IN_BATCH
    " ORDER BY s.created_at, s.id"};
/* DHCP's port goes with the network; everything else that has an address or a plug keeps it. */
const struct stmt nw_st_network_ports = {
    "network_ports",
    "SELECT id FROM ports WHERE network_id = $1 AND device_owner <> 'network:dhcp' "
    "UNION ALL SELECT id FROM floatingips WHERE floating_network_id = $1 AND "
    "port_id IS NOT NULL"};
const struct stmt nw_st_network_in_use = {
    "network_in_use",
    "SELECT id FROM ports WHERE network_id = $1 AND device_owner <> 'network:dhcp' "
    "UNION ALL SELECT id FROM floatingips WHERE floating_network_id = $1"};
const struct res_where nw_w_subnets_by_network = {&subnet_resource, "network_id = $1",
                                                  "created_at, id"};
const struct res_where nw_w_floating_of_network = {&floatingip_resource, "floating_network_id = $1",
                                                   "id"};
const struct res_where nw_w_dhcp_port = {&port_resource,
                                         "network_id = $1 AND device_owner = 'network:dhcp'", "id"};

/* ---------------------------------------------------------------- encoding */

/* What a network shows of its subnets. */
struct network_more {
    json_t *subnets;
    const char *scope4, *scope6, *zones;
    bool dhcp;
};

struct networks {
    struct network **rows;
    size_t n_rows;
};

static struct network_more *more_of(const void *row)
{
    const struct nw_seen *seen = ((const struct row *)row)->extra;
    return seen->more;
}

static struct err *take_subnet(struct ctx *cx, const struct db_value *cells, size_t n UNUSED,
                               void *arg)
{
    struct networks *s = arg;
    for (size_t i = 0; i < s->n_rows; i++) {
        if (!str_eq(s->rows[i]->id, cells[0].s))
            continue;
        struct network_more *more = more_of(s->rows[i]);
        json_array_append_new(more->subnets, json_string(cells[1].s));
        more->dhcp |= cells[4].i;
        if (cells[3].s)
            *(cells[2].i == 4 ? &more->scope4 : &more->scope6) =
                arena_strdup(cx->arena, cells[3].s);
    }
    return NULL;
}

static struct err *prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v)
{
    struct networks s = {arena_memdup(cx->arena, rows, n * sizeof(*rows)), n};
    const char **ids = arena_new_array(cx->arena, const char *, n);
    TRY(nw_rbac_prepare(cx, tx, &network_resource, rows, n, v->actor));
    for (size_t i = 0; i < n; i++) {
        struct network_more *more = arena_new_of(cx->arena, struct network_more);
        ids[i] = s.rows[i]->id;
        more->subnets = json_own(cx, json_array());
        ((struct nw_seen *)s.rows[i]->row.extra)->more = more;
    }
    TRY(db_each_in(cx, tx, &nw_st_batch_subnet_ids, ids, n, take_subnet, &s));
    const char **zones;
    TRY(nw_zones_of(cx, tx, "dhcp", ids, n, &zones));
    for (size_t i = 0; i < n; i++)
        more_of(s.rows[i])->zones = more_of(s.rows[i])->dhcp ? zones[i] : "[]";
    return NULL;
}

static void network_encode_subnets(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                   const struct view *v UNUSED)
{
    jw_json(w, more_of(row)->subnets);
}

static void network_encode_zones(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                 const struct view *v UNUSED)
{
    jw_raw(w, more_of(row)->zones);
}

static void network_encode_shared(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                  const struct view *v UNUSED)
{
    jw_bool(w, nw_shared_to_actor(row));
}

static void network_encode_scope4(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                  const struct view *v UNUSED)
{
    jw_str(w, more_of(row)->scope4);
}

static void network_encode_scope6(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                  const struct view *v UNUSED)
{
    jw_str(w, more_of(row)->scope6);
}

static bool visible(struct ctx *cx, struct tx *tx, const void *row, const struct actor *actor)
{
    return nw_rbac_sees(cx, tx, ((const struct network *)row)->id, actor);
}

static const struct res_index network_indexes[] = {
    {"networks_project", "project_id, created_at, id", false, NULL},
};

const struct resource network_resource = {.name = "network",
                                          .plural = "networks",
                                          .table = "networks",
                                          RESOURCE_FIELDS(network),
                                          .owner = network_f_project_id,
                                          .not_found = "Network %s could not be found.",
                                          .not_found_type = "NetworkNotFound",
                                          .indexes = network_indexes,
                                          .n_indexes = ARRAY_LEN(network_indexes),
                                          .visible = visible,
                                          .prepare = prepare,
                                          .dflt_sort = "created_at:asc,id:asc",
                                          .doc = "An isolated layer-2 segment."};

/* ---------------------------------------------------------------- rules */

struct err *nw_network_visible(struct call *c, const char *id, struct network **ret)
{
    void *row = NULL;
    TRY(res_find_visible(c->cx, c->tx, &network_resource, id, c->actor, &row));
    *ret = row;
    return NULL;
}

static struct err *zones_known(struct call *c, const char *hints)
{
    const json_t *j = nw_json(c->cx, hints);
    if (!json_array_size(j))
        return NULL;
    struct fleet_host *hosts;
    size_t n_hosts;
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n_hosts));
    for (size_t i = 0; i < json_array_size(j); i++) {
        bool known = false;
        for (size_t k = 0; k < n_hosts && !known; k++)
            known = str_eq(hosts[k].zone, json_string_value(json_array_get(j, i)));
        if (!known)
            return fail_type(c->cx, ERR_NOT_FOUND, "AvailabilityZoneNotFound",
                             "AvailabilityZone %s could not be found.",
                             json_string_value(json_array_get(j, i)));
    }
    return NULL;
}

struct err *nw_network_new(struct ctx *cx, struct tx *tx, struct network *n)
{
    n->status = "ACTIVE";
    if (!n->mtu)
        n->mtu = network_config()->default_mtu;
    TRY(res_insert(cx, tx, &network_resource, n));
    TRY(nw_rbac_everyone(cx, tx, &network_resource, n->id, n->project_id, RBAC_SHARED, n->shared));
    return nw_rbac_everyone(cx, tx, &network_resource, n->id, n->project_id, RBAC_EXTERNAL,
                            n->external);
}

struct err *nw_network_make(struct call *c, void *row)
{
    struct network *n = row;
    TRY(quota_check(c->cx, c->tx, &network_service, "network", n->project_id, 1));
    TRY(zones_known(c, n->availability_zone_hints));
    return nw_network_new(c->cx, c->tx, n);
}

/* ---------------------------------------------------------------- handlers */

struct err *nw_networks_create(struct call *c)
{
    return nw_create(c, &network_resource, nw_network_make);
}

struct err *nw_networks_list(struct call *c)
{
    return nw_list(c, NULL);
}

static struct err *used_by_others(struct call *c, const struct network *n)
{
    bool used = false;
    TRY(nw_rbac_everyone_in_use(c, &network_resource, n->id, n->project_id, &used));
    if (used)
        return fail_type(
            c->cx, ERR_CONFLICT, "InvalidSharedSetting",
            "Unable to reconfigure sharing settings for network %s. Multiple tenants are using it.",
            n->id);
    return NULL;
}

/* Outward: every project may have its gateway there. Inward: none. */
static struct err *turn(struct call *c, const struct network *n)
{
    if (!n->external)
        return db_run(c->cx, c->tx, &nw_st_rbac_not_external, V_TEXT(n->id));
    return nw_rbac_everyone(c->cx, c->tx, &network_resource, n->id, n->project_id, RBAC_EXTERNAL,
                            true);
}

struct err *nw_network_update(struct call *c)
{
    const struct network *old = c->target;
    struct network *n = c->body;
    if (old->shared && !n->shared)
        TRY(used_by_others(c, n));
    if (old->external && !n->external) {
        struct db_value param = V_TEXT(n->id);
        struct db_rows rows;
        TRY(db_query(c->cx, c->tx, &nw_st_network_in_use, &param, 1, &rows));
        if (rows.n_rows)
            return fail_type(c->cx, ERR_CONFLICT, "ExternalNetworkInUse",
                             "External network %s cannot be updated to be made non-external, since "
                             "it has existing "
                             "gateway ports",
                             n->id);
    }
    TRY(res_update(c->cx, c->tx, &network_resource, n));
    if (old->shared != n->shared)
        TRY(nw_rbac_everyone(c->cx, c->tx, &network_resource, n->id, n->project_id, RBAC_SHARED,
                             n->shared));
    if (old->external != n->external)
        TRY(turn(c, n));
    TRY(nw_touch_network(c->cx, c->tx, n->id));
    return call_reply_row(c, 200, &network_resource, n);
}

/* Floating IPs that stand for nothing go with their network; others keep it. */
static struct err *drop_floatingips(struct call *c, const struct network *n)
{
    void **rows;
    size_t n_rows;
    TRY(res_select_by(c->cx, c->tx, &nw_w_floating_of_network, &rows, &n_rows, V_TEXT(n->id)));
    for (size_t i = 0; i < n_rows; i++)
        TRY(nw_floatingip_remove(c, rows[i]));
    return NULL;
}

struct err *nw_network_remove(struct call *c, struct network *n)
{
    struct db_value param = V_TEXT(n->id);
    struct db_rows used;
    TRY(db_query(c->cx, c->tx, &nw_st_network_ports, &param, 1, &used));
    if (used.n_rows)
        return fail_type(c->cx, ERR_IN_USE, "NetworkInUse",
                         "Unable to complete operation on network %s. There are one or more ports "
                         "still in use on the "
                         "network, id for these ports is: %s",
                         n->id, db_text(&used, 0, 0));
    void **rows;
    size_t n_rows;
    TRY(drop_floatingips(c, n));
    TRY(res_select_by(c->cx, c->tx, &nw_w_dhcp_port, &rows, &n_rows, V_TEXT(n->id)));
    for (size_t i = 0; i < n_rows; i++)
        TRY(nw_port_remove(c->cx, c->tx, rows[i]));
    TRY(res_select_by(c->cx, c->tx, &nw_w_subnets_by_network, &rows, &n_rows, V_TEXT(n->id)));
    for (size_t i = 0; i < n_rows; i++)
        TRY(res_delete(c->cx, c->tx, &subnet_resource, rows[i]));
    TRY(nw_rbac_forget(c->cx, c->tx, n->id));
    TRY(nw_agents_forget(c->cx, c->tx, n->id));
    TRY(res_delete(c->cx, c->tx, &network_resource, n));
    return nw_touch_network(c->cx, c->tx, n->id);
}

struct err *nw_network_delete(struct call *c)
{
    TRY(nw_network_remove(c, c->target));
    call_reply_empty(c, 204);
    return NULL;
}
