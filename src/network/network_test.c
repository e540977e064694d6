/* SPDX-License-Identifier: EUPL-1.2 */
/* The network service behind its routes: networks, subnets, ports, security groups; who may see and
 * do what. */
#include "network/nw_test.h"

/* ---------------------------------------------------------------- every statement fits the tables
 */

static void statements_prepare(void **state)
{
    struct test_api *t = *state;
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t->cx, tx_read(&t->cx, t->store, &tx));
    for (size_t i = 0; i < network_service.n_stmts; i++)
        assert_ok(&t->cx, store_check(&t->cx, tx, network_service.stmts[i]));
    for (size_t i = 0; i < network_service.n_wheres; i++) {
        struct stmt st = {"where", res_where_sql(&t->cx, network_service.wheres[i])};
        assert_ok(&t->cx, store_check(&t->cx, tx, &st));
    }
}

static void lists_read_what_they_show(void **state)
{
    struct test_api *t = *state;
    const char *net = make_network(t, "p1", "n");
    make_subnet(t, "p1", net, "10.0.0.0/24");
    struct test_reply r =
        test_expect(t, 201, "admin", "POST", NW "ports",
                    "{'port':{'network_id':'%s','name':'whole','dns_name':'d','description':'x',"
                    "'binding:host_id':'h','binding:profile':{'a':1}}}",
                    net);
    const char *id = test_str(t, &r, "port.id");
    test_needs(t, &port_resource, id, NW "ports", 0);
    AUTO_TXN struct tx *tx = NULL;
    const struct stmt st = {"plugged", "UPDATE ports SET host_id = 'h', dns_name = ''"};
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    assert_ok(&t->cx, db_exec(&t->cx, tx, &st, NULL, 0, NULL));
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
    test_needs(t, &port_resource, id, NW "ports", 0);
}

/* ---------------------------------------------------------------- networks */

static void network_life(void **state)
{
    struct test_api *t = *state;
    struct test_reply r =
        test_expect(t, 201, "p1", "POST", NW "networks", "{'network':{'name':'n1'}}");
    const char *id = test_str(t, &r, "network.id");
    assert_string_equal(test_str(t, &r, "network.status"), "ACTIVE");
    assert_string_equal(test_str(t, &r, "network.mtu"), "1450");
    assert_string_equal(test_str(t, &r, "network.tenant_id"), "p1");
    assert_string_equal(test_str(t, &r, "network.project_id"), "p1");
    assert_string_equal(test_str(t, &r, "network.subnets"), "[]");
    assert_string_equal(test_str(t, &r, "network.revision_number"), "1");
    assert_null(test_at(&r, "network.provider:network_type"));
    test_expect(t, 404, "p2", "GET", path(t, "networks/%s", id), NULL);
    test_expect(t, 404, "p2", "DELETE", path(t, "networks/%s", id), NULL);
    test_expect(t, 403, "p1:reader", "PUT", path(t, "networks/%s", id), "{'network':{'name':'x'}}");
    r = test_expect(t, 200, "p1:reader", "GET", path(t, "networks/%s", id), NULL);
    r = test_expect(t, 200, "p1", "PUT", path(t, "networks/%s", id),
                    "{'network':{'name':'n2','admin_state_up':'false'}}");
    assert_string_equal(test_str(t, &r, "network.name"), "n2");
    assert_string_equal(test_str(t, &r, "network.admin_state_up"), "false");
    assert_string_equal(test_str(t, &r, "network.revision_number"), "2");
    r = test_expect(t, 200, "p1", "GET", path(t, "networks/%s?fields=id&fields=mtu", id), NULL);
    assert_int_equal(json_object_size(test_at(&r, "network")), 2);
    r = test_expect(t, 200, "p2", "GET", NW "networks", NULL);
    assert_int_equal(json_array_size(test_at(&r, "networks")), 0);
    r = test_expect(t, 200, "admin", "GET", path(t, "networks/%s", id), NULL);
    assert_string_equal(test_str(t, &r, "network.provider:network_type"), "local");
    test_expect(t, 204, "p1", "DELETE", path(t, "networks/%s", id), NULL);
    r = test_expect(t, 404, "p1", "GET", path(t, "networks/%s", id), NULL);
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "NetworkNotFound");
    assert_non_null(strstr(r.text, "could not be found."));
}

static void if_match(void **state)
{
    struct test_api *t = *state;
    const char *id = make_network(t, "p1", "n");
    t->headers[0] = "If-Match: revision_number=2";
    struct test_reply r =
        test_expect(t, 412, "p1", "PUT", path(t, "networks/%s", id), "{'network':{'name':'x'}}");
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "RevisionNumberConstraintFailed");
    test_expect(t, 412, "p1", "DELETE", path(t, "networks/%s", id), NULL);
    test_expect(t, 200, "p1", "GET", path(t, "networks/%s", id), NULL);
    t->headers[0] = "If-Match: 1";
    test_expect(t, 400, "p1", "DELETE", path(t, "networks/%s", id), NULL);
    t->headers[0] = "If-Match: revision_number=1";
    test_expect(t, 200, "p1", "PUT", path(t, "networks/%s", id), "{'network':{'name':'x'}}");
    test_expect(t, 412, "p1", "DELETE", path(t, "networks/%s", id), NULL);
    t->headers[0] = NULL;
    test_expect(t, 204, "p1", "DELETE", path(t, "networks/%s", id), NULL);
}

static void network_refusals(void **state)
{
    struct test_api *t = *state;
    test_expect(t, 401, NULL, "GET", NW "networks", NULL);
    test_expect(t, 400, "p1", "POST", NW "networks", "{'network':");
    test_expect(t, 400, "p1", "POST", NW "networks", "{'network':{'nmae':'x'}}");
    test_expect(t, 400, "p1", "POST", NW "networks", "{'network':{'name':7}}");
    test_expect(t, 400, "p1", "POST", NW "networks", "{'network':{'name':'%0300d'}}", 1);
    test_expect(t, 400, "p1", "POST", NW "networks", "{'network':{'status':'ACTIVE'}}");
    test_expect(t, 400, "p1", "POST", NW "networks", "{'network':{'mtu':1}}");
    test_expect(t, 400, "p1", "POST", NW "networks", "{'network':{'project_id':'p2'}}");
    test_expect(t, 403, "p1", "POST", NW "networks", "{'network':{'shared':true}}");
    test_expect(t, 403, "p1", "POST", NW "networks", "{'network':{'router:external':true}}");
    test_expect(t, 404, "p1", "GET", NW "networks/no-uuid", NULL);
    struct test_reply r = test_expect(t, 403, "p1", "POST", NW "networks",
                                      "{'network':{'provider:network_type':'vlan'}}");
    assert_non_null(test_at(&r, "NeutronError.message"));
    assert_non_null(test_at(&r, "NeutronError.detail"));
}

static void shared_network(void **state)
{
    struct test_api *t = *state;
    struct test_reply r = test_expect(t, 201, "admin", "POST", NW "networks",
                                      "{'network':{'name':'s','shared':true}}");
    const char *id = test_str(t, &r, "network.id");
    make_subnet(t, "admin", id, "10.9.0.0/24");
    r = test_expect(t, 200, "p1", "GET", path(t, "networks/%s", id), NULL);
    r = test_expect(t, 200, "p1", "GET", path(t, "subnets?network_id=%s", id), NULL);
    assert_int_equal(json_array_size(test_at(&r, "subnets")), 1);
    test_expect(t, 403, "p1", "PUT", path(t, "networks/%s", id), "{'network':{'name':'x'}}");
    test_expect(t, 403, "p1", "DELETE", path(t, "networks/%s", id), NULL);
    test_expect(t, 403, "p1", "POST", NW "subnets",
                "{'subnet':{'network_id':'%s','ip_version':4,'cidr':'10.8.0.0/24'}}", id);
    r = test_expect(t, 201, "p1", "POST", NW "ports", "{'port':{'network_id':'%s'}}", id);
    const char *port = test_str(t, &r, "port.id");
    test_expect(t, 403, "p1", "POST", NW "ports",
                "{'port':{'network_id':'%s','mac_address':'fa:16:3e:01:02:03'}}", id);
    test_expect(t, 403, "p1", "POST", NW "ports",
                "{'port':{'network_id':'%s','device_owner':'network:dhcp'}}", id);
    test_expect(t, 403, "p1", "POST", NW "ports",
                "{'port':{'network_id':'%s','port_security_enabled':false}}", id);
    test_expect(t, 404, "p2", "GET", path(t, "ports/%s", port), NULL);
    test_expect(t, 409, "admin", "PUT", path(t, "networks/%s", id), "{'network':{'shared':false}}");
    test_expect(t, 409, "admin", "DELETE", path(t, "networks/%s", id), NULL);
    test_expect(t, 204, "p1", "DELETE", path(t, "ports/%s", port), NULL);
    test_expect(t, 204, "admin", "DELETE", path(t, "networks/%s", id), NULL);
    test_expect(t, 200, "p1", "GET", path(t, "subnets?network_id=%s", id), NULL);
}

static void bulk(void **state)
{
    struct test_api *t = *state;
    struct test_reply r = test_expect(t, 201, "p1", "POST", NW "networks",
                                      "{'networks':[{'name':'a'},{'name':'b'}]}");
    assert_int_equal(json_array_size(test_at(&r, "networks")), 2);
    const char *a = test_str(t, &r, "networks[0].id"), *b = test_str(t, &r, "networks[1].id");
    r = test_expect(t, 201, "p1", "POST", NW "subnets",
                    "{'subnets':[{'network_id':'%s','ip_version':4,'cidr':'10.1.0.0/24'},"
                    "{'network_id':'%s','ip_version':4,'cidr':'10.1.0.0/24'}]}",
                    a, b);
    assert_int_equal(json_array_size(test_at(&r, "subnets")), 2);
    r = test_expect(t, 201, "p1", "POST", NW "ports",
                    "{'ports':[{'network_id':'%s'},{'network_id':'%s'}]}", a, a);
    assert_int_equal(json_array_size(test_at(&r, "ports")), 2);
    /* All or nothing. */
    test_expect(t, 400, "p1", "POST", NW "networks", "{'networks':[{'name':'c'},{'nmae':'d'}]}");
    test_expect(t, 400, "p1", "POST", NW "networks", "{'networks':[]}");
    r = test_expect(t, 200, "p1", "GET", NW "networks?name=c", NULL);
    assert_int_equal(json_array_size(test_at(&r, "networks")), 0);
    r = test_expect(t, 200, "p1", "GET", NW "networks?limit=1&sort_key=name", NULL);
    assert_string_equal(test_str(t, &r, "networks[0].name"), "a");
    assert_non_null(test_at(&r, "networks_links"));
}

/* ---------------------------------------------------------------- subnets */

static void subnet_defaults(void **state)
{
    struct test_api *t = *state;
    const char *net = make_network(t, "p1", "n");
    struct test_reply r =
        test_expect(t, 201, "p1", "POST", NW "subnets",
                    "{'subnet':{'network_id':'%s','ip_version':4,'cidr':'10.100.0.0/28'}}", net);
    const char *id = test_str(t, &r, "subnet.id");
    assert_string_equal(test_str(t, &r, "subnet.gateway_ip"), "10.100.0.1");
    assert_string_equal(test_str(t, &r, "subnet.enable_dhcp"), "true");
    assert_string_equal(test_str(t, &r, "subnet.allocation_pools"),
                        "[{\"end\":\"10.100.0.14\",\"start\":\"10.100.0.2\"}]");
    assert_string_equal(test_str(t, &r, "subnet.dns_nameservers"), "[]");
    r = test_expect(t, 200, "p1", "GET", path(t, "networks/%s", net), NULL);
    assert_string_equal(test_str(t, &r, "network.subnets[0]"), id);
    r = test_expect(t, 400, "p1", "POST", NW "subnets",
                    "{'subnet':{'network_id':'%s','ip_version':4,'cidr':'10.100.0.0/24'}}", net);
    assert_non_null(strstr(r.text, "overlaps with another subnet"));
    r = test_expect(t, 200, "p1", "PUT", path(t, "subnets/%s", id),
                    "{'subnet':{'dns_nameservers':['8.8.8.8','1.1.1.1'],'host_routes':[{'"
                    "destination':'10.20.0.0/32',"
                    "'nexthop':'10.100.0.3'}],'name':'x'}}");
    assert_string_equal(test_str(t, &r, "subnet.dns_nameservers"), "[\"8.8.8.8\",\"1.1.1.1\"]");
    r = test_expect(
        t, 201, "p1", "POST", NW "subnets",
        "{'subnet':{'network_id':'%s','ip_version':4,'cidr':'10.7.0.0/24','gateway_ip':null,"
        "'enable_dhcp':false}}",
        net);
    assert_string_equal(test_str(t, &r, "subnet.gateway_ip"), "null");
    r = test_expect(t, 201, "p1", "POST", NW "subnets",
                    "{'subnet':{'network_id':'%s','ip_version':4,'cidr':'10.6.0.0/"
                    "24','gateway_ip':'10.6.0.100'}}",
                    net);
    assert_string_equal(test_str(t, &r, "subnet.allocation_pools"),
                        "[{\"end\":\"10.6.0.99\",\"start\":\"10.6.0.1\"},{\"end\":\"10.6.0.254\","
                        "\"start\":\"10.6.0.101\"}]");
}

static void subnet_refusals(void **state)
{
    struct test_api *t = *state;
    const char *net = make_network(t, "p1", "n");
    static const struct {
        int status;
        const char *more, *text;
    } cases[] = {
        {400, "'cidr':'10.0.0.0/24'", "ip_version"},
        {400, "'ip_version':4", "cidr"},
        {400, "'ip_version':6,'cidr':'10.0.0.0/24'", "does not match"},
        {400, "'ip_version':4,'cidr':'10.0.0.0/33'", "not a valid IP subnet"},
        {400, "'ip_version':4,'cidr':'0.0.0.0/0'", "not a range"},
        {400, "'ip_version':4,'cidr':'10.0.0.0/31'", "DHCP"},
        {400, "'ip_version':4,'cidr':'10.0.0.0/24','gateway_ip':'10.0.0.0'",
         "Gateway is not valid"},
        {400, "'ip_version':4,'cidr':'10.0.0.0/24','gateway_ip':'10.0.1.1'",
         "Gateway is not valid"},
        {400,
         "'ip_version':4,'cidr':'10.0.0.0/"
         "24','allocation_pools':[{'start':'10.0.0.9','end':'10.0.0.5'}]",
         "not valid"},
        {400,
         "'ip_version':4,'cidr':'10.0.0.0/"
         "24','allocation_pools':[{'start':'10.0.0.9','end':'10.0.1.5'}]",
         "spans"},
        {409,
         "'ip_version':4,'cidr':'10.0.0.0/"
         "24','allocation_pools':[{'start':'10.0.0.1','end':'10.0.0.5'}]",
         "conflicts"},
        {409,
         "'ip_version':4,'cidr':'10.0.0.0/"
         "24','allocation_pools':[{'start':'10.0.0.3','end':'10.0.0.5'},"
         "{'start':'10.0.0.5','end':'10.0.0.7'}]",
         "overlapping"},
        {400, "'ip_version':4,'cidr':'10.0.0.0/24','ipv6_ra_mode':'slaac'",
         "not valid when ip_version is 4"},
        {400,
         "'ip_version':6,'cidr':'fd00::/"
         "64','ipv6_ra_mode':'slaac','ipv6_address_mode':'dhcpv6-stateful'",
         "they must be the same value"},
        {400,
         "'ip_version':6,'cidr':'fd00::/80','ipv6_ra_mode':'slaac','ipv6_address_mode':'slaac'",
         "/64"},
        {400, "'ip_version':4,'cidr':'10.0.0.0/24','dns_nameservers':['nonsense']",
         "not a valid IP address"},
        {400, "'ip_version':4,'cidr':'10.0.0.0/24','host_routes':[{'destination':'10.1.0.0/24'}]",
         "route"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct test_reply r = test_expect(t, cases[i].status, "p1", "POST", NW "subnets",
                                          "{'subnet':{'network_id':'%s',%s}}", net, cases[i].more);
        if (!strstr(r.text, cases[i].text))
            print_error("%s: no '%s'\n", r.text, cases[i].text);
        assert_non_null(strstr(r.text, cases[i].text));
    }
    test_expect(t, 404, "p2", "POST", NW "subnets",
                "{'subnet':{'network_id':'%s','ip_version':4,'cidr':'10.0.0.0/24'}}", net);
}

/* ---------------------------------------------------------------- ports and addresses */

static void addresses(void **state)
{
    struct test_api *t = *state;
    const char *net = make_network(t, "p1", "n"),
               *subnet = make_subnet(t, "p1", net, "10.0.0.0/29");
    /* .1 gateway, .2 DHCP, .3 … .6 for ports */
    struct test_reply r =
        test_expect(t, 200, "p1", "GET", path(t, "ports?network_id=%s", net), NULL);
    assert_string_equal(test_str(t, &r, "ports[0].device_owner"), "network:dhcp");
    assert_string_equal(test_str(t, &r, "ports[0].fixed_ips[0].ip_address"), "10.0.0.2");
    const char *ids[4], *dhcp = test_str(t, &r, "ports[0].id");
    test_expect(t, 404, "p2", "DELETE", path(t, "ports/%s", dhcp), NULL);
    test_expect(t, 204, "p1", "DELETE", path(t, "ports/%s", dhcp), NULL);
    r = test_expect(t, 200, "p1", "GET", path(t, "ports?network_id=%s", net), NULL);
    assert_string_not_equal(test_str(t, &r, "ports[0].id"), dhcp); /* another took its place */
    assert_string_equal(test_str(t, &r, "ports[0].fixed_ips[0].ip_address"), "10.0.0.2");
    assert_int_equal(json_array_size(test_at(&r, "ports")), 1);
    for (int i = 0; i < 4; i++) {
        r = test_expect(t, 201, "p1", "POST", NW "ports", "{'port':{'network_id':'%s'}}", net);
        ids[i] = test_str(t, &r, "port.id");
        assert_string_equal(test_str(t, &r, "port.fixed_ips[0].ip_address"),
                            arena_printf(t->cx.arena, "10.0.0.%d", 3 + i));
        assert_string_equal(test_str(t, &r, "port.status"), "DOWN");
    }
    r = test_expect(t, 409, "p1", "POST", NW "ports", "{'port':{'network_id':'%s'}}", net);
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "IpAddressGenerationFailure");
    /* Given back once, taken again from the gap. */
    test_expect(t, 204, "p1", "DELETE", path(t, "ports/%s", ids[1]), NULL);
    test_expect(t, 404, "p1", "DELETE", path(t, "ports/%s", ids[1]), NULL);
    r = test_expect(t, 201, "p1", "POST", NW "ports", "{'port':{'network_id':'%s'}}", net);
    assert_string_equal(test_str(t, &r, "port.fixed_ips[0].ip_address"), "10.0.0.4");
    r = test_expect(t, 409, "p1", "POST", NW "ports",
                    "{'port':{'network_id':'%s','fixed_ips':[{'ip_address':'10.0.0.4'}]}}", net);
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "IpAddressAlreadyAllocated");
    r = test_expect(
        t, 400, "p1", "POST", NW "ports",
        "{'port':{'network_id':'%s','fixed_ips':[{'ip_address':'10.0.1.4','subnet_id':'%s'}]}}",
        net, subnet);
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "InvalidIpForSubnet");
    test_expect(t, 400, "p1", "POST", NW "ports",
                "{'port':{'network_id':'%s','fixed_ips':[{'ip_address':'1.2.3.4'}]}}", net);
    test_expect(t, 400, "p1", "POST", NW "ports", "{'port':{'network_id':'%s','fixed_ips':[{}]}}",
                net);
    r = test_expect(t, 409, "p1", "DELETE", path(t, "subnets/%s", subnet), NULL);
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "SubnetInUse");
    r = test_expect(t, 409, "p1", "DELETE", path(t, "networks/%s", net), NULL);
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "NetworkInUse");
}

static void port_update(void **state)
{
    struct test_api *t = *state;
    const char *net = make_network(t, "p1", "n"),
               *subnet = make_subnet(t, "p1", net, "10.0.0.0/24");
    struct test_reply r =
        test_expect(t, 201, "p1", "POST", NW "ports",
                    "{'port':{'network_id':'%s','fixed_ips':[{'ip_address':'10.0.0.50'}],"
                    "'mac_address':'02:00:00:AA:bb:01','name':'a'}}",
                    net);
    const char *id = test_str(t, &r, "port.id");
    assert_string_equal(test_str(t, &r, "port.mac_address"), "02:00:00:aa:bb:01");
    assert_non_null(test_str(t, &r, "port.security_groups[0]"));
    test_expect(t, 409, "p1", "POST", NW "ports",
                "{'port':{'network_id':'%s','mac_address':'02:00:00:aa:bb:01'}}", net);
    r = test_expect(t, 200, "p1", "PUT", path(t, "ports/%s", id),
                    "{'port':{'fixed_ips':[{'subnet_id':'%s'},{'ip_address':'10.0.0.60'}]}}",
                    subnet);
    assert_string_equal(test_str(t, &r, "port.fixed_ips[0].ip_address"), "10.0.0.50"); /* kept */
    assert_string_equal(test_str(t, &r, "port.fixed_ips[1].ip_address"), "10.0.0.60");
    r = test_expect(t, 200, "p1", "PUT", path(t, "ports/%s", id),
                    "{'port':{'fixed_ips':[{'ip_address':'10.0.0.60'}]}}");
    assert_int_equal(json_array_size(test_at(&r, "port.fixed_ips")), 1);
    r = test_expect(t, 200, "p1", "GET", NW "ports?fixed_ips=ip_address=10.0.0.50", NULL);
    assert_int_equal(json_array_size(test_at(&r, "ports")), 0);
    r = test_expect(t, 200, "p1", "GET",
                    path(t, "ports?fixed_ips=ip_address=10.0.0.60&fixed_ips=subnet_id=%s", subnet),
                    NULL);
    assert_string_equal(test_str(t, &r, "ports[0].id"), id);
    r = test_expect(t, 200, "p1", "PUT", path(t, "ports/%s", id),
                    "{'port':{'allowed_address_pairs':[{'ip_address':'10.0.0.0/25'}]}}");
    assert_string_equal(test_str(t, &r, "port.allowed_address_pairs[0].mac_address"),
                        "02:00:00:aa:bb:01");
    test_expect(t, 400, "p1", "PUT", path(t, "ports/%s", id),
                "{'port':{'port_security_enabled':false}}");
    test_expect(t, 409, "p1", "PUT", path(t, "ports/%s", id),
                "{'port':{'port_security_enabled':false,'security_groups':[]}}");
    r = test_expect(
        t, 200, "p1", "PUT", path(t, "ports/%s", id),
        "{'port':{'port_security_enabled':false,'security_groups':[],'allowed_address_pairs':[]}}");
    assert_string_equal(test_str(t, &r, "port.security_groups"), "[]");
    test_expect(t, 404, "p1", "PUT", path(t, "ports/%s", id),
                "{'port':{'port_security_enabled':true,'security_groups':['8f22171c-a972-45cc-bb0f-"
                "6c2d23bca184']}}");
    test_expect(t, 403, "p1", "PUT", path(t, "ports/%s", id), "{'port':{'binding:host_id':'h'}}");
    test_expect(t, 404, "p2", "PUT", path(t, "ports/%s", id), "{'port':{'name':'mine'}}");
}

/* RFC 4291's address for the MAC, on every port, also of a subnet that comes later. */
static void slaac(void **state)
{
    struct test_api *t = *state;
    const char *net = make_network(t, "p1", "n");
    make_subnet(t, "p1", net, "10.0.0.0/24");
    struct test_reply r =
        test_expect(t, 201, "p1", "POST", NW "ports",
                    "{'port':{'network_id':'%s','mac_address':'fa:16:3e:11:22:33'}}", net);
    const char *port = test_str(t, &r, "port.id");
    r = test_expect(
        t, 201, "p1", "POST", NW "subnets",
        "{'subnet':{'network_id':'%s','ip_version':6,'cidr':'2001:db8::/64','ipv6_ra_mode':'slaac',"
        "'ipv6_address_mode':'slaac'}}",
        net);
    const char *six = test_str(t, &r, "subnet.id");
    assert_string_equal(test_str(t, &r, "subnet.gateway_ip"), "2001:db8::1");
    r = test_expect(t, 200, "p1", "GET", path(t, "ports/%s", port), NULL);
    assert_string_equal(test_str(t, &r, "port.fixed_ips[1].ip_address"),
                        "2001:db8::f816:3eff:fe11:2233");
    r = test_expect(t, 201, "p1", "POST", NW "ports",
                    "{'port':{'network_id':'%s','mac_address':'fa:16:3e:11:22:44'}}", net);
    assert_string_equal(test_str(t, &r, "port.fixed_ips[1].ip_address"),
                        "2001:db8::f816:3eff:fe11:2244");
    test_expect(
        t, 400, "p1", "POST", NW "ports",
        "{'port':{'network_id':'%s','fixed_ips':[{'subnet_id':'%s','ip_address':'2001:db8::5'}]}}",
        net, six);
    test_expect(t, 204, "p1", "DELETE", path(t, "subnets/%s", six), NULL);
    r = test_expect(t, 200, "p1", "GET", path(t, "ports/%s", port), NULL);
    assert_int_equal(json_array_size(test_at(&r, "port.fixed_ips")), 1);
}

static void stateful_v6(void **state)
{
    struct test_api *t = *state;
    const char *net = make_network(t, "p1", "n");
    test_expect(t, 201, "p1", "POST", NW "subnets",
                "{'subnet':{'network_id':'%s','ip_version':6,'cidr':'2001:db8::/"
                "64','ipv6_ra_mode':'dhcpv6-stateful',"
                "'ipv6_address_mode':'dhcpv6-stateful','allocation_pools':[{'start':'2001:db8::10',"
                "'end':'2001:db8::12'}]}}",
                net);
    struct test_reply r =
        test_expect(t, 201, "p1", "POST", NW "ports", "{'port':{'network_id':'%s'}}", net);
    assert_string_equal(test_str(t, &r, "port.fixed_ips[0].ip_address"),
                        "2001:db8::11"); /* ::10 is DHCP's */
}

/* ---------------------------------------------------------------- security groups */

static void default_group(void **state)
{
    struct test_api *t = *state;
    struct test_reply r = test_expect(t, 200, "p1", "GET", NW "security-groups", NULL);
    assert_int_equal(json_array_size(test_at(&r, "security_groups")), 1);
    assert_string_equal(test_str(t, &r, "security_groups[0].name"), "default");
    assert_int_equal(json_array_size(test_at(&r, "security_groups[0].security_group_rules")), 4);
    const char *id = test_str(t, &r, "security_groups[0].id");
    r = test_expect(t, 409, "p1", "POST", NW "security-groups",
                    "{'security_group':{'name':'default'}}");
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "SecurityGroupDefaultAlreadyExists");
    test_expect(t, 409, "p1", "DELETE", path(t, "security-groups/%s", id), NULL);
    test_expect(t, 409, "p1", "PUT", path(t, "security-groups/%s", id),
                "{'security_group':{'name':'x'}}");
    test_expect(t, 404, "p2", "GET", path(t, "security-groups/%s", id), NULL);
    r = test_expect(t, 200, "admin", "GET", NW "security-groups?tenant_id=p7&name=default", NULL);
    assert_int_equal(json_array_size(test_at(&r, "security_groups")), 1);
    test_expect(t, 204, "admin", "DELETE",
                path(t, "security-groups/%s", test_str(t, &r, "security_groups[0].id")), NULL);
}

static void rules(void **state)
{
    struct test_api *t = *state;
    struct test_reply r =
        test_expect(t, 201, "p1", "POST", NW "security-groups", "{'security_group':{'name':'g'}}");
    const char *g = test_str(t, &r, "security_group.id");
    assert_int_equal(json_array_size(test_at(&r, "security_group.security_group_rules")), 2);
    static const struct {
        int status;
        const char *more, *text;
    } cases[] = {
        {201, "'protocol':'tcp','port_range_min':22,'port_range_max':22", "\"tcp\""},
        {409, "'protocol':'6','port_range_min':22,'port_range_max':22",
         "Security group rule already exists. Rule id is"},
        {201, "'protocol':17", "\"17\""},
        {201, "'protocol':'icmp','port_range_min':8,'port_range_max':0", "icmp"},
        {201,
         "'protocol':'tcp','remote_ip_prefix':'192.168.1.1/"
         "24','port_range_min':1,'port_range_max':2",
         "192.168.1.0/24"},
        {400, "'protocol':'bad'", "Security group rule protocol bad not supported"},
        {400, "'protocol':'tcp','port_range_min':-16,'port_range_max':80",
         "Invalid value for port -16"},
        {400, "'protocol':'tcp','port_range_min':80,'port_range_max':65536",
         "Invalid value for port 65536"},
        {400, "'protocol':'tcp','port_range_min':80,'port_range_max':79",
         "port_range_min must be <= port_range_max"},
        {400, "'protocol':'tcp','port_range_max':6", "port_range_min must be <= port_range_max"},
        {400, "'protocol':'icmp','port_range_min':1,'port_range_max':256",
         "Invalid value for ICMP code"},
        {400, "'protocol':'icmp','port_range_min':300,'port_range_max':1",
         "Invalid value for ICMP type"},
        {400, "'protocol':'icmp','port_range_min':-1,'port_range_max':25",
         "Invalid value for port -1"},
        {400, "'protocol':'icmp','port_range_max':6", "ICMP type (port-range-min) is missing"},
        {400, "'protocol':'tcp','remote_ip_prefix':'192.168.1./24'",
         "Invalid CIDR 192.168.1./24 given as IP prefix."},
        {400, "'protocol':'tcp','remote_ip_prefix':'fd00::/8'", "Conflicting value ethertype"},
        {400, "'protocol':'tcp','ethertype':'bad_ethertype'",
         "ethertype 'bad_ethertype' not supported"},
        {400, "'direction':'sideways'", "sideways"},
        {404, "'remote_group_id':'bad_group_id'", "Security group bad_group_id does not exist"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *direction = strstr(cases[i].more, "direction") ? "" : "'direction':'ingress',";
        r = test_expect(t, cases[i].status, "p1", "POST", NW "security-group-rules",
                        "{'security_group_rule':{'security_group_id':'%s',%s%s}}", g, direction,
                        cases[i].more);
        if (!strstr(r.text, cases[i].text))
            print_error("%s: no '%s'\n", r.text, cases[i].text);
        assert_non_null(strstr(r.text, cases[i].text));
    }
    test_expect(t, 404, "p2", "POST", NW "security-group-rules",
                "{'security_group_rule':{'security_group_id':'%s','direction':'egress'}}", g);
    r = test_expect(t, 200, "p1", "GET",
                    path(t, "security-group-rules?security_group_id=%s&protocol=17", g), NULL);
    const char *rule = test_str(t, &r, "security_group_rules[0].id");
    test_expect(t, 404, "p2", "DELETE", path(t, "security-group-rules/%s", rule), NULL);
    test_expect(t, 204, "p1", "DELETE", path(t, "security-group-rules/%s", rule), NULL);
    r = test_expect(t, 404, "p1", "GET", path(t, "security-group-rules/%s", rule), NULL);
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "SecurityGroupRuleNotFound");
    const char *net = make_network(t, "p1", "n");
    r = test_expect(t, 201, "p1", "POST", NW "ports",
                    "{'port':{'network_id':'%s','security_groups':['%s','%s']}}", net, g, g);
    assert_int_equal(json_array_size(test_at(&r, "port.security_groups")), 1);
    const char *port = test_str(t, &r, "port.id");
    test_expect(t, 409, "p1", "DELETE", path(t, "security-groups/%s", g), NULL);
    test_expect(t, 404, "p2", "POST", NW "ports",
                "{'port':{'network_id':'%s','security_groups':['%s']}}", make_network(t, "p2", "n"),
                g);
    test_expect(t, 204, "p1", "DELETE", path(t, "ports/%s", port), NULL);
    test_expect(t, 204, "p1", "DELETE", path(t, "security-groups/%s", g), NULL);
}

/* ---------------------------------------------------------------- quotas, tags, the rest */

static void quotas(void **state)
{
    struct test_api *t = *state;
    test_expect(t, 403, "p1", "PUT", NW "quotas/p1", "{'quota':{'network':1}}");
    test_expect(t, 403, "p1", "GET", NW "quotas/p2", NULL);
    test_expect(t, 400, "admin", "PUT", NW "quotas/p1", "{'quota':{'netwrok':1}}");
    test_expect(t, 400, "admin", "PUT", NW "quotas/p1", "{'quota':{'network':-2}}");
    struct test_reply r =
        test_expect(t, 200, "admin", "PUT", NW "quotas/p1", "{'quota':{'network':1}}");
    assert_string_equal(test_str(t, &r, "quota.network"), "1");
    make_network(t, "p1", "a");
    r = test_expect(t, 409, "p1", "POST", NW "networks", "{'network':{'name':'b'}}");
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "OverQuota");
    assert_non_null(strstr(r.text, "Quota exceeded for resources: ['network']."));
    r = test_expect(t, 200, "p1", "GET", NW "quotas/p1/details", NULL);
    assert_string_equal(test_str(t, &r, "quota.network.used"), "1");
    r = test_expect(t, 200, "p1", "GET", NW "quotas/p1/default", NULL);
    assert_string_equal(test_str(t, &r, "quota.network"), "100");
    r = test_expect(t, 200, "admin", "GET", NW "quotas", NULL);
    assert_string_equal(test_str(t, &r, "quotas[0].project_id"), "p1");
    test_expect(t, 204, "admin", "DELETE", NW "quotas/p1", NULL);
    make_network(t, "p1", "b");
}

static void tags(void **state)
{
    struct test_api *t = *state;
    const char *a = make_network(t, "p1", "a"), *b = make_network(t, "p1", "b");
    test_expect(t, 201, "p1", "PUT", path(t, "networks/%s/tags/red", a), NULL);
    test_expect(t, 204, "p1", "GET", path(t, "networks/%s/tags/red", a), NULL);
    test_expect(t, 404, "p1", "GET", path(t, "networks/%s/tags/blue", a), NULL);
    test_expect(t, 404, "p2", "PUT", path(t, "networks/%s/tags/red", a), NULL);
    struct test_reply r = test_expect(t, 200, "p1", "PUT", path(t, "networks/%s/tags", b),
                                      "{'tags':['red','blue','red']}");
    assert_int_equal(json_array_size(test_at(&r, "tags")), 2);
    r = test_expect(t, 200, "p1", "GET", NW "networks?tags=red,blue", NULL);
    assert_int_equal(json_array_size(test_at(&r, "networks")), 1);
    assert_string_equal(test_str(t, &r, "networks[0].id"), b);
    r = test_expect(t, 200, "p1", "GET", NW "networks?tags-any=red,green", NULL);
    assert_int_equal(json_array_size(test_at(&r, "networks")), 2);
    r = test_expect(t, 200, "p1", "GET", NW "networks?not-tags=blue", NULL);
    assert_int_equal(json_array_size(test_at(&r, "networks")), 1);
    test_expect(t, 204, "p1", "DELETE", path(t, "networks/%s/tags/red", a), NULL);
    test_expect(t, 404, "p1", "DELETE", path(t, "networks/%s/tags/red", a), NULL);
    test_expect(t, 204, "p1", "DELETE", path(t, "networks/%s/tags", b), NULL);
    test_expect(t, 400, "p1", "PUT", path(t, "networks/%s/tags", b), "{'tags':[1]}");
}

/* "[item, item, …]", n of them. */
static const char *many(struct test_api *t, const char *item, size_t n)
{
    struct buf b;
    buf_init(&b, t->cx.arena);
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s%s", i ? "," : "[", item);
    buf_char(&b, ']');
    return buf_cstr(&b);
}

/* Lists whose items are compared with each other, or looked up one by one: a body could hold very
 * many. */
static void long_lists(void **state)
{
    struct test_api *t = *state;
    const char *n = make_network(t, "p1", "a");
    const char *group = "'11111111-1111-1111-1111-111111111111'";
    struct test_reply r =
        test_expect(t, 400, "p1", "POST", NW "ports",
                    "{'port':{'network_id':'%s','security_groups':%s}}", n, many(t, group, 101));
    assert_non_null(strstr(test_str(t, &r, "NeutronError.message"), "at most 100 security groups"));
    r = test_expect(
        t, 400, "p1", "POST", NW "subnets",
        "{'subnet':{'network_id':'%s','ip_version':4,'cidr':'10.0.0.0/24','dns_nameservers':%s}}",
        n, many(t, "'10.0.0.9'", 21));
    assert_non_null(strstr(test_str(t, &r, "NeutronError.message"), "more than 20 nameservers"));
    r = test_expect(
        t, 400, "p1", "POST", NW "subnets",
        "{'subnet':{'network_id':'%s','ip_version':4,'cidr':'10.0.0.0/24','host_routes':%s}}", n,
        many(t, "{'destination':'10.1.0.0/24','nexthop':'10.0.0.9'}", 101));
    assert_non_null(strstr(test_str(t, &r, "NeutronError.message"), "more than 100 routes"));
    r = test_expect(
        t, 400, "p1", "POST", NW "subnets",
        "{'subnet':{'network_id':'%s','ip_version':4,'cidr':'10.0.0.0/24','allocation_pools':%s}}",
        n, many(t, "{'start':'10.0.0.9','end':'10.0.0.9'}", 101));
    assert_non_null(
        strstr(test_str(t, &r, "NeutronError.message"), "more than 100 allocation pools"));
    r = test_expect(t, 400, "p1", "PUT", path(t, "networks/%s/tags", n), "{'tags':%s}",
                    many(t, "'a'", 51));
    assert_non_null(strstr(test_str(t, &r, "NeutronError.message"), "Too many tags"));
}

static void documents(void **state)
{
    struct test_api *t = *state;
    struct test_reply r = test_expect(t, 200, NULL, "GET", "/network", NULL);
    assert_string_equal(test_str(t, &r, "versions[0].id"), "v2.0");
    assert_non_null(strstr(test_str(t, &r, "versions[0].links[0].href"), "/network/v2.0/"));
    test_expect(t, 200, NULL, "GET", "/network/v2.0/", NULL);
    r = test_expect(t, 200, "p1", "GET", NW "extensions", NULL);
    assert_true(json_array_size(test_at(&r, "extensions")) > 30);
    test_expect(t, 200, "p1", "GET", NW "extensions/router", NULL);
    test_expect(t, 404, "p1", "GET", NW "extensions/teleport", NULL);
    const char *net = make_network(t, "p1", "n");
    make_subnet(t, "p1", net, "10.0.0.0/24");
    r = test_expect(t, 200, "admin", "GET", path(t, "network-ip-availabilities/%s", net), NULL);
    assert_string_equal(test_str(t, &r, "network_ip_availability.total_ips"), "253");
    assert_string_equal(test_str(t, &r, "network_ip_availability.used_ips"), "1");
}

static void pools(void **state)
{
    struct test_api *t = *state;
    test_expect(t, 400, "p1", "POST", NW "subnetpools",
                "{'subnetpool':{'name':'p','prefixes':['1.0.0.0/16','fd00::/16']}}");
    test_expect(t, 400, "p1", "POST", NW "subnetpools",
                "{'subnetpool':{'name':'p','prefixes':['1.0.0.0/16','1.0.1.0/24']}}");
    struct test_reply r =
        test_expect(t, 201, "p1", "POST", NW "subnetpools",
                    "{'subnetpool':{'name':'p','prefixes':['1.0.0.0/16','2.0.0.0/16'],"
                    "'default_prefixlen':17}}");
    const char *pool = test_str(t, &r, "subnetpool.id");
    assert_string_equal(test_str(t, &r, "subnetpool.min_prefixlen"), "8");
    assert_string_equal(test_str(t, &r, "subnetpool.ip_version"), "4");
    static const char *const want[] = {"1.0.0.0/17", "1.0.128.0/17", "2.0.0.0/17", "2.0.128.0/17"};
    const char *net = make_network(t, "p1", "n");
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        r = test_expect(t, 201, "p1", "POST", NW "subnets",
                        "{'subnet':{'network_id':'%s','ip_version':4,'subnetpool_id':'%s'}}", net,
                        pool);
        assert_string_equal(test_str(t, &r, "subnet.cidr"), want[i]);
    }
    test_expect(t, 409, "p1", "POST", NW "subnets",
                "{'subnet':{'network_id':'%s','ip_version':4,'subnetpool_id':'%s','prefixlen':24}}",
                net, pool);
    test_expect(t, 404, "p2", "GET", path(t, "subnetpools/%s", pool), NULL);
    test_expect(t, 409, "p1", "DELETE", path(t, "subnetpools/%s", pool), NULL);
    r = test_expect(t, 200, "p1", "PUT", path(t, "subnetpools/%s", pool),
                    "{'subnetpool':{'name':'q'}}");
    assert_string_equal(test_str(t, &r, "subnetpool.name"), "q");
    test_expect(t, 204, "p1", "DELETE", path(t, "networks/%s", net), NULL);
    test_expect(t, 204, "p1", "DELETE", path(t, "subnetpools/%s", pool), NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NW_TEST(lists_read_what_they_show),
        NW_TEST(statements_prepare),
        NW_TEST(network_life),
        NW_TEST(if_match),
        NW_TEST(network_refusals),
        NW_TEST(shared_network),
        NW_TEST(bulk),
        NW_TEST(subnet_defaults),
        NW_TEST(subnet_refusals),
        NW_TEST(addresses),
        NW_TEST(port_update),
        NW_TEST(slaac),
        NW_TEST(stateful_v6),
        NW_TEST(default_group),
        NW_TEST(rules),
        NW_TEST(quotas),
        NW_TEST(long_lists),
        NW_TEST(tags),
        NW_TEST(documents),
        NW_TEST(pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
