/* SPDX-License-Identifier: EUPL-1.2 */
/* The network service in one table: routes, resources, statements, quotas. */
#include "network/nw.h"

static const char ddl[] = "CREATE TABLE ip_allocations (\n"
                          "    subnet_id TEXT NOT NULL,\n"
                          "    address TEXT NOT NULL,\n"
                          "    next_address TEXT NOT NULL,\n"
                          "    network_id TEXT NOT NULL,\n"
                          "    holder_id TEXT NOT NULL,\n"
                          "    ip TEXT NOT NULL,\n"
                          "    PRIMARY KEY (subnet_id, address)\n"
                          ");\n"
                          "CREATE INDEX ip_allocations_holder ON ip_allocations (holder_id);\n"
                          "CREATE INDEX ip_allocations_ip ON ip_allocations (ip);\n"
                          "CREATE TABLE port_groups (\n"
                          "    port_id TEXT NOT NULL,\n"
                          "    group_id TEXT NOT NULL,\n"
                          "    PRIMARY KEY (port_id, group_id)\n"
                          ");\n"
                          "CREATE INDEX port_groups_group ON port_groups (group_id);\n";

/* ---------------------------------------------------------------- settings */

static struct network_config config = {.default_mtu = 1450, .dns_domain = "openstacklocal"};
static char domain[256];

void network_configure(const struct network_config *cfg)
{
    static bool added;
    if (!added) {
        fleet_add_kind(&nw_kind_network);
        fleet_add_kind(&nw_kind_router);
        added = true;
    }
    if (cfg->default_mtu)
        config.default_mtu = cfg->default_mtu;
    if (cfg->dns_domain) {
        snprintf(domain, sizeof(domain), "%s", cfg->dns_domain);
        config.dns_domain = domain;
    }
}

const struct network_config *network_config(void)
{
    return &config;
}

/* ---------------------------------------------------------------- routes */

#define V2 "/network/v2.0/"
#define LIST_AND_CREATE(path, many, one, res)                                                      \
    ROUTE(GET, V2 path, nw_##many##_list, "get_" one, .rule = RULE_READER, .list = &res),          \
        ROUTE(POST, V2 path, nw_##many##_create, "create_" one, .rule = RULE_MEMBER, .body = &res, \
              .flags = RT_BULK, .status = 201)
#define SHOW(path, one, res)                                                                       \
    ROUTE(GET, V2 path "/{id}", nw_show, "get_" one, .rule = RULE_READER, .target = &res)
#define UPDATE(path, handler, one, res)                                                            \
    ROUTE(PUT, V2 path "/{id}", handler, "update_" one, .rule = RULE_MEMBER, .target = &res,       \
          .body = &res)
#define DELETE_(path, handler, one, res)                                                           \
    ROUTE(DELETE, V2 path "/{id}", handler, "delete_" one, .rule = RULE_MEMBER, .target = &res,    \
          .status = 204)
#define TAGS(path, one, res)                                                                       \
    ROUTE(GET, V2 path "/{id}/tags", nw_tags_list, "get_" one, .rule = RULE_READER,                \
          .target = &res),                                                                         \
        ROUTE(PUT, V2 path "/{id}/tags", nw_tags_replace, "update_" one, .rule = RULE_MEMBER,      \
              .target = &res),                                                                     \
        ROUTE(DELETE, V2 path "/{id}/tags", nw_tags_clear, "update_" one, .rule = RULE_MEMBER,     \
              .target = &res, .status = 204),                                                      \
        ROUTE(GET, V2 path "/{id}/tags/{tag}", nw_tag_check, "get_" one, .rule = RULE_READER,      \
              .target = &res, .target_param = "id", .status = 204),                                \
        ROUTE(PUT, V2 path "/{id}/tags/{tag}", nw_tag_add, "update_" one, .rule = RULE_MEMBER,     \
              .target = &res, .target_param = "id", .status = 201),                                \
        ROUTE(DELETE, V2 path "/{id}/tags/{tag}", nw_tag_remove, "update_" one,                    \
              .rule = RULE_MEMBER, .target = &res, .target_param = "id", .status = 204)
#define ROUTER_PUT(action, handler)                                                                \
    ROUTE(PUT, V2 "routers/{id}/" action, handler, action, .rule = RULE_MEMBER,                    \
          .target = &router_resource)

static const struct route routes[] = {
    ROUTE(GET, "/network", nw_versions_list, "get_version", .rule = RULE_PUBLIC),
    ROUTE(GET, "/network/", nw_versions_list, "get_version", .rule = RULE_PUBLIC),
    ROUTE(GET, "/network/v2.0", nw_version_show, "get_version", .rule = RULE_PUBLIC),
    ROUTE(GET, "/network/v2.0/", nw_version_show, "get_version", .rule = RULE_PUBLIC),

    LIST_AND_CREATE("networks", networks, "network", network_resource),
    SHOW("networks", "network", network_resource),
    UPDATE("networks", nw_network_update, "network", network_resource),
    DELETE_("networks", nw_network_delete, "network", network_resource),
    TAGS("networks", "network", network_resource),

    LIST_AND_CREATE("subnets", subnets, "subnet", subnet_resource),
    SHOW("subnets", "subnet", subnet_resource),
    UPDATE("subnets", nw_subnet_update, "subnet", subnet_resource),
    DELETE_("subnets", nw_subnet_delete, "subnet", subnet_resource),
    TAGS("subnets", "subnet", subnet_resource),

    LIST_AND_CREATE("subnetpools", subnetpools, "subnetpool", subnetpool_resource),
    SHOW("subnetpools", "subnetpool", subnetpool_resource),
    UPDATE("subnetpools", nw_subnetpool_update, "subnetpool", subnetpool_resource),
    DELETE_("subnetpools", nw_subnetpool_delete, "subnetpool", subnetpool_resource),
    TAGS("subnetpools", "subnetpool", subnetpool_resource),

    LIST_AND_CREATE("ports", ports, "port", port_resource),
    SHOW("ports", "port", port_resource),
    UPDATE("ports", nw_port_update, "port", port_resource),
    DELETE_("ports", nw_port_delete, "port", port_resource),
    TAGS("ports", "port", port_resource),

    ROUTE(GET, V2 "security-groups", nw_groups_list, "get_security_group", .rule = RULE_READER,
          .list = &security_group_resource, .flags = RT_NO_TX | RT_WORKER),
    ROUTE(POST, V2 "security-groups", nw_groups_create, "create_security_group",
          .rule = RULE_MEMBER, .body = &security_group_resource, .flags = RT_BULK, .status = 201),
    SHOW("security-groups", "security_group", security_group_resource),
    UPDATE("security-groups", nw_group_update, "security_group", security_group_resource),
    DELETE_("security-groups", nw_group_delete, "security_group", security_group_resource),
    TAGS("security-groups", "security_group", security_group_resource),

    LIST_AND_CREATE("security-group-rules", rules, "security_group_rule", security_rule_resource),
    SHOW("security-group-rules", "security_group_rule", security_rule_resource),
    DELETE_("security-group-rules", nw_rule_delete, "security_group_rule", security_rule_resource),
    TAGS("security-group-rules", "security_group_rule", security_rule_resource),

    LIST_AND_CREATE("routers", routers, "router", router_resource),
    SHOW("routers", "router", router_resource),
    UPDATE("routers", nw_router_update, "router", router_resource),
    DELETE_("routers", nw_router_delete, "router", router_resource),
    TAGS("routers", "router", router_resource),
    ROUTER_PUT("add_router_interface", nw_router_interface_add),
    ROUTER_PUT("remove_router_interface", nw_router_interface_remove),
    ROUTER_PUT("add_extraroutes", nw_router_routes_add),
    ROUTER_PUT("remove_extraroutes", nw_router_routes_remove),

    LIST_AND_CREATE("floatingips", floatingips, "floatingip", floatingip_resource),
    SHOW("floatingips", "floatingip", floatingip_resource),
    UPDATE("floatingips", nw_floatingip_update, "floatingip", floatingip_resource),
    DELETE_("floatingips", nw_floatingip_delete, "floatingip", floatingip_resource),
    TAGS("floatingips", "floatingip", floatingip_resource),

    ROUTE(GET, V2 "quotas", nw_quotas_list, "get_quotas", .rule = RULE_ADMIN),
    ROUTE(GET, V2 "quotas/{project_id}", nw_quota_show, "get_quota", .rule = RULE_READER),
    ROUTE(GET, V2 "quotas/{project_id}/default", nw_quota_default, "get_quota",
          .rule = RULE_READER),
    ROUTE(GET, V2 "quotas/{project_id}/details", nw_quota_details, "get_quota",
          .rule = RULE_READER),
    ROUTE(GET, V2 "quotas/{project_id}/details.json", nw_quota_details, "get_quota",
          .rule = RULE_READER),
    ROUTE(PUT, V2 "quotas/{project_id}", nw_quota_update, "update_quota", .rule = RULE_ADMIN),
    ROUTE(DELETE, V2 "quotas/{project_id}", nw_quota_delete, "delete_quota", .rule = RULE_ADMIN,
          .status = 204),

    ROUTE(GET, V2 "extensions", nw_extensions_list, "get_extension", .rule = RULE_ANY),
    ROUTE(GET, V2 "extensions/{alias}", nw_extension_show, "get_extension", .rule = RULE_ANY),
    ROUTE(GET, V2 "agents", nw_agents_list, "get_agents", .rule = RULE_READER),
    ROUTE(GET, V2 "agents/{id}", nw_agent_show, "get_agent", .rule = RULE_ADMIN),
    ROUTE(GET, V2 "availability_zones", nw_zones_list, "get_availability_zone",
          .rule = RULE_READER),
    ROUTE(GET, V2 "network-ip-availabilities", nw_ip_availability_list,
          "get_network_ip_availability", .rule = RULE_ADMIN),
    ROUTE(GET, V2 "network-ip-availabilities/{id}", nw_ip_availability_show,
          "get_network_ip_availability", .rule = RULE_ADMIN, .target = &network_resource),
};

/* ---------------------------------------------------------------- the service */

/* In the order of their foreign keys. */
static const struct resource *const resources[] = {
    &network_resource,        &subnetpool_resource,    &subnet_resource, &port_resource,
    &security_group_resource, &security_rule_resource, &router_resource, &floatingip_resource,
};

static const struct stmt *const stmts[] = {
#define X(name) &nw_st_##name,
    STMTS(X)
#undef X
};

static const struct res_where *const wheres[] = {
#define X(name) &nw_w_##name,
    WHERES(X)
#undef X
};

static const struct quota quotas[] = {
    {"network", 100, &nw_st_use_network},
    {"subnet", 100, &nw_st_use_subnet},
    {"port", 500, &nw_st_use_port},
    {"router", 10, &nw_st_use_router},
    {"floatingip", 50, &nw_st_use_floatingip},
    {"security_group", 10, &nw_st_use_security_group},
    {"security_group_rule", 100, &nw_st_use_security_group_rule},
    {"subnetpool", -1, &nw_st_use_subnetpool},
};

const struct service network_service = {.name = "network",
                                        .family = &family_network,
                                        SERVICE_LIST(resources, resources),
                                        SERVICE_LIST(routes, routes),
                                        SERVICE_LIST(stmts, stmts),
                                        SERVICE_LIST(wheres, wheres),
                                        SERVICE_LIST(quotas, quotas),
                                        .ddl = ddl};
