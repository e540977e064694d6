/* SPDX-License-Identifier: EUPL-1.2 */
/* What the service says of itself: versions, extensions, agents, availability zones. */
#include "network/nw.h"

static const struct extension {
    const char *alias, *name, *description;
} extensions[] = {
    {"agent", "agent", "The agents of the cloud's hosts."},
    {"allowed-address-pairs", "Allowed Address Pairs", "Further addresses a port may send from."},
    {"availability_zone", "Availability Zone", "Zones that hosts are in."},
    {"binding", "Port Binding", "Where a port is bound."},
    {"default-subnetpools", "Default Subnetpools", "Subnet pools taken when none is named."},
    {"dns-domain-ports", "dns_domain for ports", "The domain of a port's name."},
    {"dns-integration", "DNS Integration", "Names of ports, networks and floating IPs."},
    {"ext-gw-mode", "Neutron L3 Configurable external gateway mode",
     "SNAT of a router's gateway on or off."},
    {"external-net", "Neutron external network",
     "Networks that routers may have their gateway in."},
    {"extra_dhcp_opt", "Neutron Extra DHCP options", "DHCP options of a port."},
    {"extraroute", "Neutron Extra Route", "Further routes of a router."},
    {"extraroute-atomic", "Atomically add/remove extra routes",
     "Routes added and removed one by one."},
    {"fip-port-details", "Floating IP Port Details Extension",
     "The port in a floating IP's answer."},
    {"ip-substring-filtering", "IP address substring filtering",
     "Ports by a part of their address."},
    {"ip_allocation", "IP Allocation", "When a port's addresses are taken."},
    {"net-mtu", "Network MTU", "The largest packet of a network."},
    {"net-mtu-writable", "Network MTU (writable)", "The same, set by its owner."},
    {"network-ip-availability", "Network IP Availability", "How many addresses are taken."},
    {"network_availability_zone", "Network Availability Zone", "Zones asked for a network."},
    {"pagination", "Pagination support", "Lists in pages."},
    {"port-security", "Port Security", "Security groups and anti-spoofing on or off."},
    {"port-security-groups-filtering", "Port filtering on security groups",
     "Ports by security group."},
    {"project-id", "project_id field enabled", "project_id beside tenant_id."},
    {"provider", "Provider Network", "How a network is carried."},
    {"quota_details", "Quota details management support", "What of a quota is used."},
    {"quotas", "Quota management support", "What a project may have at most."},
    {"router", "Neutron L3 Router", "Routers and floating IPs."},
    {"router_availability_zone", "Router Availability Zone", "Zones asked for a router."},
    {"security-group", "security-group", "Security groups and their rules."},
    {"security-groups-normalized-cidr", "Normalized CIDR field for security group rules",
     "The prefix as applied."},
    {"sorting", "Sorting support", "Lists in order."},
    {"standard-attr-description", "standard-attr-description", "A description of everything."},
    {"standard-attr-revisions", "Resource revision numbers",
     "revision_number grows with each change."},
    {"standard-attr-tag", "Tag support for resources with standard attribute",
     "Tags on everything."},
    {"standard-attr-timestamp", "Resource timestamps", "When something was made and changed."},
    {"subnet-service-types", "Subnet service types", "Subnets for some device owners only."},
    {"subnet_allocation", "Subnet Allocation", "Subnets taken from pools."},
};

static void write_extension(struct jw *w, const struct extension *e)
{
    jw_obj(w);
    jw_kstr(w, "alias", e->alias);
    jw_kstr(w, "name", e->name);
    jw_kstr(w, "description", e->description);
    jw_kstr(w, "updated", "2022-10-05T00:00:00-00:00");
    jw_kraw(w, "links", "[]");
    jw_obj_end(w);
}

struct err *nw_extensions_list(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "extensions");
    for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
        write_extension(&w, &extensions[i]);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *nw_extension_show(struct call *c)
{
    const char *alias = call_param(c, "alias");
    for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
        if (!str_eq(extensions[i].alias, alias))
            continue;
        struct jw w = call_json(c, 200);
        jw_obj(&w);
        jw_key(&w, "extension");
        write_extension(&w, &extensions[i]);
        jw_obj_end(&w);
        return NULL;
    }
    return fail_type(c->cx, ERR_NOT_FOUND, "ExtensionNotFound",
                     "Extension with alias %s does not exist", alias);
}

/* ---------------------------------------------------------------- agents and zones */

static void write_agent(struct ctx *cx, struct jw *w, const struct fleet_host *h)
{
    jw_obj(w);
    jw_kstr(w, "id", h->id);
    jw_kstr(w, "agent_type", "Colvert node agent");
    jw_kstr(w, "binary", "colvert-node");
    jw_kstr(w, "topic", "N/A");
    jw_kstr(w, "host", h->name);
    jw_kstr(w, "availability_zone", h->zone);
    jw_kbool(w, "admin_state_up", true);
    jw_kbool(w, "alive", h->alive);
    jw_kraw(w, "configurations", "{}");
    jw_knull(w, "resources_synced");
    jw_kstr(w, "description", h->disabled_reason);
    jw_kstr(w, "created_at", h->created_us ? time_iso(cx, h->created_us, TIME_Z) : NULL);
    jw_kstr(w, "started_at", h->created_us ? time_iso(cx, h->created_us, TIME_Z) : NULL);
    jw_kstr(w, "heartbeat_timestamp",
            h->last_seen_us ? time_iso(cx, h->last_seen_us, TIME_Z) : NULL);
    jw_obj_end(w);
}

static bool agent_asked(const struct call *c, const struct fleet_host *h)
{
    const char *host = http_arg(c->rq, "host"), *zone = http_arg(c->rq, "availability_zone");
    const char *type = http_arg(c->rq, "agent_type"), *binary = http_arg(c->rq, "binary");
    return (!host || str_eq(host, h->name)) && (!zone || str_eq(zone, h->zone)) &&
           (!type || str_eq(type, "Colvert node agent")) &&
           (!binary || str_eq(binary, "colvert-node"));
}

struct err *nw_agents_list(struct call *c)
{
    struct fleet_host *hosts;
    size_t n;
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "agents");
    for (size_t i = 0; i < n && c->actor->admin;
         i++) /* tenants see an empty list, as with neutron */
        if (agent_asked(c, &hosts[i]))
            write_agent(c->cx, &w, &hosts[i]);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *nw_agent_show(struct call *c)
{
    struct fleet_host h;
    struct err *e = fleet_host_get(c->cx, c->tx, call_param(c, "id"), &h);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail_type(c->cx, ERR_NOT_FOUND, "AgentNotFound", "Agent %s could not be found.",
                         call_param(c, "id"));
    TRY(e);
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "agent");
    write_agent(c->cx, &w, &h);
    jw_obj_end(&w);
    return NULL;
}

static bool zone_before(const struct fleet_host *hosts, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (str_eq(hosts[k].zone, hosts[i].zone))
            return true;
    return false;
}

struct err *nw_zones_list(struct call *c)
{
    static const char *const kinds[] = {"network", "router"};
    struct fleet_host *hosts;
    size_t n;
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "availability_zones");
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ARRAY_LEN(kinds) && !zone_before(hosts, i); k++) {
            jw_obj(&w);
            jw_kstr(&w, "name", hosts[i].zone);
            jw_kstr(&w, "resource", kinds[k]);
            jw_kstr(&w, "state", "available");
            jw_obj_end(&w);
        }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- versions */

static void write_link(struct jw *w, const char *href)
{
    jw_karr(w, "links");
    jw_obj(w);
    jw_kstr(w, "rel", "self");
    jw_kstr(w, "href", href);
    jw_obj_end(w);
    jw_arr_end(w);
}

struct err *nw_versions_list(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "versions");
    jw_obj(&w);
    jw_kstr(&w, "id", "v2.0");
    jw_kstr(&w, "status", "CURRENT");
    write_link(&w, arena_printf(c->cx->arena, "%s/network/v2.0/", c->rq->base_url));
    jw_obj_end(&w);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *nw_version_show(struct call *c)
{
    static const char *const names[][2] = {{"network", "networks"},
                                           {"subnet", "subnets"},
                                           {"subnetpool", "subnetpools"},
                                           {"port", "ports"}};
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "resources");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        jw_obj(&w);
        write_link(&w,
                   arena_printf(c->cx->arena, "%s/network/v2.0/%s", c->rq->base_url, names[i][1]));
        jw_kstr(&w, "name", names[i][0]);
        jw_kstr(&w, "collection", names[i][1]);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}
