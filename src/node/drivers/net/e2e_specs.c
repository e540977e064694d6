/* SPDX-License-Identifier: EUPL-1.2 */
#include "node/drivers/net/e2e_specs.h"

char *port_json(struct stage *s, const char *id, const char *mac, const char *ips,
                const char *rules, const char *more)
{
    return printed(
        s,
        "{'id':'%s" TAIL "','mac':'%s','tap':'tap%s','device_id':'%s" TAIL
        "','hostname':'host-%.2s',"
        "'admin_state_up':true,'port_security':%s,'fixed_ips':[%s],'allowed_address_pairs':[%s],"
        "'extra_dhcp_opts':[],'rules':[%s]}",
        id, mac, id, id, id, str_eq(more, "off") ? "false" : "true", ips,
        more && !str_eq(more, "off") ? more : "", rules);
}

char *ip4_json(struct stage *s, const char *ip)
{
    return printed(s, "{'ip_address':'%s','subnet_id':'44444444-00" TAIL "'}", ip);
}

/* 10.0.0.0/24 with a gateway, DNS and a host route. */
char *network_json(struct stage *s, const char *id, const char *ports)
{
    return printed(s,
                   "{'id':'%s" TAIL
                   "','mtu':1450,'external':false,'subnets':[{'id':'44444444-00" TAIL "',"
                   "'cidr':'10.0.0.0/24','ip_version':4,'gateway_ip':'10.0.0.1','enable_dhcp':true,"
                   "'dhcp_ip':'10.0.0.2','dns_nameservers':['9.9.9.9'],'host_routes':["
                   "{'destination':'192.0.2.0/24','nexthop':'10.0.0.254'}],'ipv6_ra_mode':null,"
                   "'ipv6_address_mode':null}],'ports':[%s]}",
                   id, ports);
}

void apply_network(struct stage *s, const char *json)
{
    assert_ok(&s->cx, network_up(&s->cx, &s->net, network_of(s, json)));
}

void apply_router(struct stage *s, const char *json)
{
    assert_ok(&s->cx, s->net.ops->router_apply(&s->cx, s->net.drv, router_of(s, json)));
}

void expect_out(const char *what)
{
    if (!strstr(sh_out, what))
        fail_msg("no '%s' in: %s", what, sh_out);
}

/* A network with two guests that may do what the rules say. */
void two_guests(struct stage *s, const char *rules1, const char *rules2)
{
    apply_network(
        s, network_json(
               s, NET_A,
               printed(s, "%s,%s",
                       port_json(s, PORT_A1, MAC_A1, ip4_json(s, "10.0.0.11"), rules1, NULL),
                       port_json(s, PORT_A2, MAC_A2, ip4_json(s, "10.0.0.12"), rules2, NULL))));
}

void plug_two(struct stage *s)
{
    guest_plug("cvt-a1", NET_A, PORT_A1, MAC_A1);
    guest_plug("cvt-a2", NET_A, PORT_A2, MAC_A2);
    assert_true(guest_dhcp(s, "cvt-a1", MAC_A1));
    assert_true(guest_dhcp(s, "cvt-a2", MAC_A2));
}

char *router_json(struct stage *s, const char *id, const char *net, const char *ext_ip,
                  const char *floating)
{
    return printed(
        s,
        "{'id':'%s" TAIL
        "','admin_state_up':true,'enable_snat':true,'external':{'network_id':'" NET_X TAIL
        "','port_id':'ec%.6s-00" TAIL "','ip':'%s','prefix':24,'gateway':'203.0.113.1',"
        "'mac':'fa:16:3e:00:ee:%.2s'},'interfaces':[{'port_id':'1f%.6s-00" TAIL
        "','network_id':'%s" TAIL "',"
        "'mac':'fa:16:3e:00:ff:01','ips':[{'ip':'10.0.0.1','prefix':24}]}],'floating':[%s],"
        "'routes':[{'destination':'198.51.100.0/24','nexthop':'10.0.0.12'}]}",
        id, id, ext_ip, id, id, net, floating);
}

char *floating_json(struct stage *s, const char *ip, const char *fixed)
{
    return printed(s, "{'id':'f0f0f0f0-00" TAIL "','floating_ip':'%s','fixed_ip':'%s'}", ip, fixed);
}

void external_network(struct stage *s)
{
    apply_network(s, "{'id':'" NET_X TAIL "','mtu':1500,'external':true,'subnets':[],'ports':[]}");
}
