/* SPDX-License-Identifier: EUPL-1.2 */
/* What the service can do, by the names of neutron's extensions: /v2.0/extensions. */
#include "network/nw.h"

static const struct extension {
    const char *alias, *name, *description;
} extensions[] = {
    {"address-group", "Address group", "Lists of addresses that security group rules name."},
    {"address-scope", "Address scope", "Subnet pools without an address in common."},
    {"agent", "agent", "The agents of the cloud's hosts."},
    {"allowed-address-pairs", "Allowed Address Pairs", "Further addresses a port may send from."},
    {"auto-allocated-topology", "Auto Allocated Topology Services",
     "A network with a way out for a project that has none."},
    {"availability_zone", "Availability Zone", "Zones that hosts are in."},
    {"binding", "Port Binding", "Where a port is bound."},
    {"default-subnetpools", "Default Subnetpools", "Subnet pools taken when none is named."},
    {"dhcp_agent_scheduler", "DHCP Agent Scheduler", "Which hosts serve a network DHCP."},
    {"dns-domain-ports", "dns_domain for ports", "The domain of a port's name."},
    {"dns-integration", "DNS Integration", "Names of ports, networks and floating IPs."},
    {"ext-gw-mode", "Neutron L3 Configurable external gateway mode",
     "SNAT of a router's gateway on or off."},
    {"expose-port-forwarding-in-fip", "Expose Port Forwarding in FIP",
     "A floating IP's forwarded ports in its answer."},
    {"external-net", "Neutron external network",
     "Networks that routers may have their gateway in."},
    {"extra_dhcp_opt", "Neutron Extra DHCP options", "DHCP options of a port."},
    {"extraroute", "Neutron Extra Route", "Further routes of a router."},
    {"extraroute-atomic", "Atomically add/remove extra routes",
     "Routes added and removed one by one."},
    {"fip-port-details", "Floating IP Port Details Extension",
     "The port in a floating IP's answer."},
    {"floating-ip-port-forwarding", "Floating IP Port Forwarding",
     "Ports of a floating IP that lead to several guests."},
    {"ip-substring-filtering", "IP address substring filtering",
     "Ports by a part of their address."},
    {"ip_allocation", "IP Allocation", "When a port's addresses are taken."},
    {"l3_agent_scheduler", "L3 Agent Scheduler", "Which host carries a router."},
    {"metering", "Neutron Metering", "Labels and rules to count traffic by."},
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
    {"rbac-address-group", "Add address_group type to RBAC", "Address groups for other projects."},
    {"rbac-address-scope", "Add address_scope type to RBAC", "Address scopes for other projects."},
    {"rbac-policies", "RBAC Policies", "Networks for other projects."},
    {"rbac-security-groups", "Add security_group type to RBAC",
     "Security groups for other projects."},
    {"rbac-subnetpool", "Add subnetpool type to RBAC", "Subnet pools for other projects."},
    {"revision-if-match", "If-Match constraints based on revision_number",
     "A change only of what is as the client knows it."},
    {"router", "Neutron L3 Router", "Routers and floating IPs."},
    {"router_availability_zone", "Router Availability Zone", "Zones asked for a router."},
    {"security-group", "security-group", "Security groups and their rules."},
    {"security-groups-normalized-cidr", "Normalized CIDR field for security group rules",
     "The prefix as applied."},
    {"security-groups-remote-address-group",
     "Remote address group id field for security group rules",
     "Rules for the addresses of a group."},
    {"service-type", "Neutron Service Type Management", "Who provides routers."},
    {"sorting", "Sorting support", "Lists in order."},
    {"standard-attr-description", "standard-attr-description", "A description of everything."},
    {"standard-attr-revisions", "Resource revision numbers",
     "revision_number grows with each change."},
    {"standard-attr-tag", "Tag support for resources with standard attribute",
     "Tags on everything."},
    {"standard-attr-timestamp", "Resource timestamps", "When something was made and changed."},
    {"subnet-service-types", "Subnet service types", "Subnets for some device owners only."},
    {"subnet_allocation", "Subnet Allocation", "Subnets taken from pools."},
    {"tag", "Tag support", "Tags on networks."},
    {"tag-ext", "Tag support for resources: subnet, subnetpool, port, router", "Tags on more."},
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
