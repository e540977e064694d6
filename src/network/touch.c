/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What agents must hear of. Ports that are bound nowhere send no traffic, so their changes wake
 * nobody; those that are bound change their own network, and every network with rules that name one
 * of their groups.
 */
#include "network/nw.h"

const struct stmt nw_st_touch_group = {
    "touch_group",
    "SELECT DISTINCT p.network_id FROM port_groups g JOIN ports p ON p.id = g.port_id "
    "WHERE g.group_id = $1 AND p.host_id IS NOT NULL"};
const struct stmt nw_st_touch_remote = {
    "touch_remote",
    "SELECT DISTINCT p.network_id FROM port_groups mine "
    "JOIN security_rules r ON r.remote_group_id = mine.group_id "
    "JOIN port_groups g ON g.group_id = r.security_group_id JOIN ports p ON p.id = g.port_id "
    "WHERE mine.port_id = $1 AND p.host_id IS NOT NULL AND p.network_id <> $2"};
const struct stmt nw_st_touch_routers = {
    "touch_routers",
    "SELECT DISTINCT router_id FROM ports WHERE network_id = $1 AND router_id IS NOT NULL"};

const struct stmt nw_st_touch_pool = {
    "touch_pool", "SELECT DISTINCT p.router_id FROM subnets s JOIN ip_allocations a ON a.subnet_id "
                  "= s.id JOIN ports p ON p.id = a.holder_id WHERE s.subnetpool_id = $1 AND "
                  "p.router_id IS NOT NULL"};

/* The kernel driver's hosts carry all routers, and what stands on them. */
const struct stmt nw_st_touch_everywhere = {
    "touch_everywhere",
    "SELECT 1 FROM networks n WHERE n.id = $1 AND (n.external = 1 OR EXISTS (SELECT 1 FROM ports p "
    "WHERE p.network_id = n.id AND p.router_id IS NOT NULL))"};
const struct stmt nw_st_touch_hosts = {
    "touch_hosts", "SELECT host_id FROM ports WHERE network_id = $1 AND host_id IS NOT NULL UNION "
                   "SELECT host_id FROM agent_bindings WHERE kind = 'dhcp' AND item_id = $1"};

const struct stmt nw_st_touch_with_writer = {
    "touch_with_writer", "SELECT host_id FROM ports WHERE network_id = $1 AND host_id IS NOT NULL "
                         "UNION SELECT CAST($2 AS TEXT)"};

const struct stmt nw_st_touch_chassis = {
    "touch_chassis", "SELECT DISTINCT network_id FROM ports WHERE host_id = $1"};

/* A writer has all of them; hosts, those that their guests are in. */
static struct err *with_writer(struct ctx *cx, struct tx *tx, const char *network_id)
{
    struct db_rows hosts;
    const char *writer;
    TRY(fleet_writer(cx, tx, &writer));
    const struct db_value params[] = {V_TEXT(network_id), V_TEXT(writer)};
    TRY(writer ? db_query(cx, tx, &nw_st_touch_with_writer, params, 2, &hosts)
               : db_query(cx, tx, &nw_st_touch_hosts, params, 1, &hosts));
    return fleet_touch_these(cx, tx, "network", network_id, &hosts);
}

struct err *nw_touch_network(struct ctx *cx, struct tx *tx, const char *network_id)
{
    struct db_value id = V_TEXT(network_id);
    struct db_rows everywhere, hosts;
    if (network_config()->has_writer)
        return with_writer(cx, tx, network_id);
    TRY(db_query(cx, tx, &nw_st_touch_everywhere, &id, 1, &everywhere));
    if (everywhere.n_rows)
        return fleet_touch_all(cx, tx, "network", network_id);
    TRY(db_query(cx, tx, &nw_st_touch_hosts, &id, 1, &hosts));
    return fleet_touch_these(cx, tx, "network", network_id, &hosts);
}

struct err *nw_touch_router(struct ctx *cx, struct tx *tx, const char *router_id)
{
    const char *writer;
    if (!network_config()->has_writer)
        return fleet_touch_all(cx, tx, "router", router_id);
    TRY(fleet_writer(cx, tx, &writer));
    return writer ? fleet_touch(cx, tx, writer, "router", router_id) : NULL;
}

static struct err *touch_networks(struct ctx *cx, struct tx *tx, const struct db_rows *rows)
{
    for (size_t i = 0; i < rows->n_rows; i++)
        TRY(nw_touch_network(cx, tx, db_text(rows, i, 0)));
    return NULL;
}

struct err *nw_touch_port(struct ctx *cx, struct tx *tx, const struct port *p)
{
    if (p->router_id)
        TRY(nw_touch_router(cx, tx, p->router_id));
    if (p->host_id || p->router_id || str_eq(p->device_owner, OWNER_DHCP))
        TRY(nw_touch_network(cx, tx, p->network_id));
    if (!p->host_id)
        return NULL;
    struct db_value params[] = {V_TEXT(p->id), V_TEXT(p->network_id)};
    struct db_rows rows;
    TRY(db_query(cx, tx, &nw_st_touch_remote, params, 2, &rows));
    return touch_networks(cx, tx, &rows);
}

struct err *nw_touch_networks_by(struct ctx *cx, struct tx *tx, const struct stmt *st,
                                 const char *id)
{
    struct db_value param = V_TEXT(id);
    struct db_rows rows;
    TRY(db_query(cx, tx, st, &param, 1, &rows));
    return touch_networks(cx, tx, &rows);
}

struct err *nw_touch_writer(struct ctx *cx, struct tx *tx, const char *network_id)
{
    const char *writer;
    TRY(fleet_writer(cx, tx, &writer));
    return writer ? fleet_touch(cx, tx, writer, "network", network_id) : NULL;
}

struct err *nw_chassis_changed(struct ctx *cx, struct tx *tx, const char *host_id)
{
    struct db_value param = V_TEXT(host_id);
    struct db_rows rows = {0};
    if (network_config()->has_writer)
        TRY(db_query(cx, tx, &nw_st_touch_chassis, &param, 1, &rows));
    for (size_t i = 0; i < rows.n_rows; i++)
        TRY(nw_touch_writer(cx, tx, db_text(&rows, i, 0)));
    return NULL;
}

struct err *nw_touch_group(struct ctx *cx, struct tx *tx, const char *group_id)
{
    return nw_touch_networks_by(cx, tx, &nw_st_touch_group, group_id);
}

struct err *nw_touch_routers_by(struct ctx *cx, struct tx *tx, const struct stmt *st,
                                const char *id)
{
    struct db_value param = V_TEXT(id);
    struct db_rows rows;
    TRY(db_query(cx, tx, st, &param, 1, &rows));
    for (size_t i = 0; i < rows.n_rows; i++)
        TRY(nw_touch_router(cx, tx, db_text(&rows, i, 0)));
    return NULL;
}

struct err *nw_touch_routers_of_network(struct ctx *cx, struct tx *tx, const char *network_id)
{
    return nw_touch_routers_by(cx, tx, &nw_st_touch_routers, network_id);
}
