/* SPDX-License-Identifier: EUPL-1.2 */
/* Networks: /v2.0/networks. */
#include "network/nw.h"

static const char *const network_types[] = {"local", "flat",   "vlan", "vxlan",
                                            "gre",   "geneve", NULL};
static void network_encode_subnets(struct ctx *cx, struct jw *w, const void *row,
                                   const struct view *v);

#define RESOURCE network
#define RESOURCE_DEF "network/network.def"
#include "resource/declare_fields.h"

const struct stmt nw_st_batch_subnet_ids = {
    "batch_subnet_ids",
    "SELECT network_id, id FROM subnets WHERE network_id IN " IN_BATCH " ORDER BY created_at, id"};
/* DHCP's port goes with the network; everything else that has an address or a plug keeps it. */
const struct stmt nw_st_network_in_use = {
    "network_in_use",
    "SELECT id FROM ports WHERE network_id = $1 AND device_owner <> 'network:dhcp' "
    "UNION ALL SELECT id FROM floatingips WHERE floating_network_id = $1"};
const struct res_where nw_w_subnets_by_network = {&subnet_resource, "network_id = $1",
                                                  "created_at, id"};
const struct res_where nw_w_foreign_ports = {
    &port_resource, "network_id = $1 AND project_id <> $2 AND device_owner NOT LIKE 'network:%'",
    NULL};
const struct res_where nw_w_dhcp_port = {&port_resource,
                                         "network_id = $1 AND device_owner = 'network:dhcp'", "id"};

/* ---------------------------------------------------------------- encoding */

struct subnet_ids {
    struct network **rows;
    size_t n_rows;
};

static struct err *take_subnet_id(struct ctx *cx UNUSED, const struct db_value *cells,
                                  size_t n UNUSED, void *arg)
{
    struct subnet_ids *s = arg;
    for (size_t i = 0; i < s->n_rows; i++) {
        if (!str_eq(s->rows[i]->id, cells[0].s))
            continue;
        json_array_append_new(s->rows[i]->row.extra, json_string(cells[1].s));
    }
    return NULL;
}

static struct err *prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v UNUSED)
{
    struct subnet_ids s = {arena_memdup(cx->arena, rows, n * sizeof(*rows)), n};
    const char **ids = arena_new_array(cx->arena, const char *, n);
    for (size_t i = 0; i < n; i++) {
        ids[i] = s.rows[i]->id;
        s.rows[i]->row.extra = json_own(cx, json_array());
    }
    return nw_each_in(cx, tx, &nw_st_batch_subnet_ids, ids, n, take_subnet_id, &s);
}

static void network_encode_subnets(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                   const struct view *v UNUSED)
{
    jw_json(w, ((const struct row *)row)->extra);
}

static bool visible(struct ctx *cx UNUSED, struct tx *tx UNUSED, const void *row,
                    const struct actor *actor UNUSED)
{
    const struct network *n = row;
    return n->shared || n->external;
}

static const struct res_index network_indexes[] = {
    {"networks_project", "project_id, created_at, id", false, NULL},
    {"networks_shared", "id", false, "shared = 1 OR external = 1"},
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
    return res_insert(cx, tx, &network_resource, n);
}

static struct err *make(struct call *c, void *row)
{
    struct network *n = row;
    TRY(quota_check(c->cx, c->tx, &network_service, "network", n->project_id, 1));
    TRY(zones_known(c, n->availability_zone_hints));
    return nw_network_new(c->cx, c->tx, n);
}

/* ---------------------------------------------------------------- handlers */

struct err *nw_networks_create(struct call *c)
{
    return nw_create(c, &network_resource, make);
}

struct err *nw_networks_list(struct call *c)
{
    return nw_list(c, &(struct list_more){.shared_where = "shared = 1 OR external = 1"});
}

static struct err *used_by_others(struct call *c, const struct network *n)
{
    void *p = NULL;
    TRY(res_first_by(c->cx, c->tx, &nw_w_foreign_ports, &p, V_TEXT(n->id), V_TEXT(n->project_id)));
    if (p)
        return fail_type(
            c->cx, ERR_CONFLICT, "InvalidSharedSetting",
            "Unable to reconfigure sharing settings for network %s. Multiple tenants are using it.",
            n->id);
    return NULL;
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
    TRY(nw_touch_network(c->cx, c->tx, n->id));
    return call_reply_row(c, 200, &network_resource, n);
}

struct err *nw_network_delete(struct call *c)
{
    struct network *n = c->target;
    struct db_value param = V_TEXT(n->id);
    struct db_rows used;
    TRY(db_query(c->cx, c->tx, &nw_st_network_in_use, &param, 1, &used));
    if (used.n_rows)
        return fail_type(c->cx, ERR_IN_USE, "NetworkInUse",
                         "Unable to complete operation on network %s. There are one or more ports "
                         "still in use on the "
                         "network, id for these ports is: %s",
                         n->id, db_text(&used, 0, 0));
    void **rows;
    size_t n_rows;
    TRY(res_select_by(c->cx, c->tx, &nw_w_dhcp_port, &rows, &n_rows, V_TEXT(n->id)));
    for (size_t i = 0; i < n_rows; i++)
        TRY(nw_port_remove(c->cx, c->tx, rows[i]));
    TRY(res_select_by(c->cx, c->tx, &nw_w_subnets_by_network, &rows, &n_rows, V_TEXT(n->id)));
    for (size_t i = 0; i < n_rows; i++)
        TRY(res_delete(c->cx, c->tx, &subnet_resource, rows[i]));
    TRY(res_delete(c->cx, c->tx, &network_resource, n));
    TRY(nw_touch_network(c->cx, c->tx, n->id));
    call_reply_empty(c, 204);
    return NULL;
}
