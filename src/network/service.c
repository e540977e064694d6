/* SPDX-License-Identifier: EUPL-1.2 */
/* The network service, put together from topics.def; its settings. */
#include "network/nw.h"

/* ---------------------------------------------------------------- settings */

static struct network_config config = {.default_mtu = 1450, .dns_domain = "openstacklocal"};
static char domain[256];

void network_configure(const struct network_config *cfg)
{
    static bool added;
    if (!added) {
        fleet_add_kind(&nw_kind_network);
        fleet_add_kind(&nw_kind_router);
        fleet_on_chassis(nw_chassis_changed);
        added = true;
    }
    config.has_writer = cfg->has_writer;
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

/* ---------------------------------------------------------------- tables */

#define V2 "/network/v2.0/"

static const struct route routes[] = {
#define API(method, path, handler, ...) ROUTE(method, path, handler, __VA_ARGS__),
#include "network/topics.def"
};
static const struct resource *const resources[] = {
#define TABLE(name) &name##_resource,
#include "network/topics.def"
};
static const struct quota quotas[] = {
#define QUOTA(name, dflt, usage) {name, dflt, usage},
#include "network/topics.def"
};
static const struct stmt *const stmts[] = {
#define STMT(name) &name,
#include "network/topics.def"
};
static const struct res_where *const wheres[] = {
#define ROWS(name) &name,
#include "network/topics.def"
};
static const char ddl[] = ""
#define DDL(text) text
#include "network/topics.def"
    ;

const struct service network_service = {.name = "network",
                                        .family = &family_network,
                                        SERVICE_LIST(resources, resources),
                                        SERVICE_LIST(routes, routes),
                                        SERVICE_LIST(stmts, stmts),
                                        SERVICE_LIST(wheres, wheres),
                                        SERVICE_LIST(quotas, quotas),
                                        .ddl = ddl,
                                        .loaded = nw_check_revision};
