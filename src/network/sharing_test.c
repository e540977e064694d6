/* SPDX-License-Identifier: EUPL-1.2 */
/* What projects share: RBAC policies, address scopes and groups, and the topology made for those
 * that have none. */
#include "network/nw_test.h"

static const char *share(struct test_api *t, const char *who, const char *type, const char *id,
                         const char *target)
{
    struct test_reply r = test_expect(t, 201, who, "POST", NW "rbac-policies",
                                      "{'rbac_policy':{'object_type':'%s','object_id':'%s',"
                                      "'action':'access_as_shared','target_tenant':'%s'}}",
                                      type, id, target);
    return test_str(t, &r, "rbac_policy.id");
}

static size_t count(struct test_api *t, const char *who, const char *list, const char *query)
{
    struct test_reply r = test_expect(t, 200, who, "GET", path(t, "%s%s", list, query), NULL);
    return json_array_size(json_object_iter_value(json_object_iter(r.json)));
}

static void network_for_one(void **state)
{
    struct test_api *t = *state;
    const char *net = make_network(t, "p1", "n");
    make_subnet(t, "p1", net, "10.0.0.0/24");
    test_expect(t, 404, "p2", "GET", path(t, "networks/%s", net), NULL);
    /* Somebody else's network isn't one's to share, nor is everybody a tenant's target. */
    test_expect(t, 404, "p2", "POST", NW "rbac-policies",
                "{'rbac_policy':{'object_type':'network','object_id':'%s',"
                "'action':'access_as_shared','target_tenant':'p2'}}",
                net);
    test_expect(t, 403, "p1", "POST", NW "rbac-policies",
                "{'rbac_policy':{'object_type':'network','object_id':'%s',"
                "'action':'access_as_shared','target_tenant':'*'}}",
                net);
    test_expect(t, 400, "p1", "POST", NW "rbac-policies",
                "{'rbac_policy':{'object_type':'planet','object_id':'%s',"
                "'action':'access_as_shared','target_tenant':'p2'}}",
                net);
    const char *policy = share(t, "p1", "network", net, "p2");
    test_expect(t, 409, "p1", "POST", NW "rbac-policies",
                "{'rbac_policy':{'object_type':'network','object_id':'%s',"
                "'action':'access_as_shared','target_tenant':'p2'}}",
                net);
    struct test_reply r = test_expect(t, 200, "p2", "GET", path(t, "networks/%s", net), NULL);
    assert_string_equal(test_str(t, &r, "network.shared"), "true");
    r = test_expect(t, 200, "p1", "GET", path(t, "networks/%s", net), NULL);
    assert_string_equal(test_str(t, &r, "network.shared"), "false");
    test_expect(t, 404, "p3", "GET", path(t, "networks/%s", net), NULL);
    assert_int_equal(count(t, "p2", "networks", "?shared=true"), 1);
    assert_int_equal(count(t, "p2", "networks", "?shared=false"), 0);
    assert_int_equal(count(t, "p3", "networks", ""), 0);
    assert_int_equal(count(t, "p2", "subnets", ""), 1);
    test_expect(t, 403, "p2", "PUT", path(t, "networks/%s", net), "{'network':{'name':'x'}}");
    r = test_expect(t, 201, "p2", "POST", NW "ports", "{'port':{'network_id':'%s'}}", net);
    const char *port = test_str(t, &r, "port.id");
    /* The network's owner sees who is in it. */
    test_expect(t, 200, "p1", "GET", path(t, "ports/%s", port), NULL);
    assert_int_equal(count(t, "p1", "ports", path(t, "?id=%s", port) + strlen(NW)), 1);
    test_expect(t, 404, "p2", "DELETE", path(t, "rbac-policies/%s", policy), NULL);
    r = test_expect(t, 409, "p1", "DELETE", path(t, "rbac-policies/%s", policy), NULL);
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "RbacPolicyInUse");
    test_expect(t, 409, "p1", "PUT", path(t, "rbac-policies/%s", policy),
                "{'rbac_policy':{'target_tenant':'p3'}}");
    test_expect(t, 204, "p2", "DELETE", path(t, "ports/%s", port), NULL);
    test_expect(t, 200, "p1", "PUT", path(t, "rbac-policies/%s", policy),
                "{'rbac_policy':{'target_tenant':'p3'}}");
    test_expect(t, 404, "p2", "GET", path(t, "networks/%s", net), NULL);
    test_expect(t, 200, "p3", "GET", path(t, "networks/%s", net), NULL);
    test_expect(t, 204, "p1", "DELETE", path(t, "networks/%s", net), NULL);
    assert_int_equal(count(t, "p1", "rbac-policies", ""), 0);
}

static void shared_is_a_policy(void **state)
{
    struct test_api *t = *state;
    const char *net = make_network(t, "admin", "n");
    const char *policy = share(t, "admin", "network", net, "*");
    struct test_reply r = test_expect(t, 200, "p1", "GET", path(t, "networks/%s", net), NULL);
    assert_string_equal(test_str(t, &r, "network.shared"), "true");
    test_expect(t, 204, "admin", "DELETE", path(t, "rbac-policies/%s", policy), NULL);
    test_expect(t, 404, "p1", "GET", path(t, "networks/%s", net), NULL);
    test_expect(t, 200, "admin", "PUT", path(t, "networks/%s", net), "{'network':{'shared':true}}");
    assert_int_equal(count(t, "admin", "rbac-policies", "?action=access_as_shared"), 1);
    test_expect(t, 200, "admin", "PUT", path(t, "networks/%s", net),
                "{'network':{'shared':false}}");
    assert_int_equal(count(t, "admin", "rbac-policies", ""), 0);
}

static void external_for_one(void **state)
{
    struct test_api *t = *state;
    const char *net = make_network(t, "admin", "wan");
    make_subnet(t, "admin", net, "203.0.113.0/24");
    struct test_reply r = test_expect(t, 201, "admin", "POST", NW "rbac-policies",
                                      "{'rbac_policy':{'object_type':'network','object_id':'%s',"
                                      "'action':'access_as_external','target_tenant':'p1'}}",
                                      net);
    const char *policy = test_str(t, &r, "rbac_policy.id");
    r = test_expect(t, 200, "p1", "GET", path(t, "networks/%s", net), NULL);
    assert_string_equal(test_str(t, &r, "network.router:external"), "true");
    assert_string_equal(test_str(t, &r, "network.shared"), "false");
    test_expect(t, 404, "p2", "GET", path(t, "networks/%s", net), NULL);
    const char *body = "{'router':{'external_gateway_info':{'network_id':'%s'}}}";
    r = test_expect(t, 201, "p1", "POST", NW "routers", body, net);
    const char *router = test_str(t, &r, "router.id");
    test_expect(t, 404, "p2", "POST", NW "routers", body, net);
    test_expect(t, 409, "admin", "DELETE", path(t, "rbac-policies/%s", policy), NULL);
    test_expect(t, 204, "p1", "DELETE", path(t, "routers/%s", router), NULL);
    test_expect(t, 204, "admin", "DELETE", path(t, "rbac-policies/%s", policy), NULL);
}

static void shared_group(void **state)
{
    struct test_api *t = *state;
    struct test_reply r = test_expect(t, 201, "p1", "POST", NW "security-groups",
                                      "{'security_group':{'name':'web'}}");
    const char *group = test_str(t, &r, "security_group.id");
    const char *policy = share(t, "p1", "security_group", group, "p2");
    r = test_expect(t, 200, "p2", "GET", path(t, "security-groups/%s", group), NULL);
    assert_string_equal(test_str(t, &r, "security_group.shared"), "true");
    const char *net = make_network(t, "p2", "n");
    r = test_expect(t, 201, "p2", "POST", NW "ports",
                    "{'port':{'network_id':'%s','security_groups':['%s']}}", net, group);
    test_expect(t, 409, "p1", "DELETE", path(t, "rbac-policies/%s", policy), NULL);
    test_expect(t, 403, "p2", "POST", NW "security-group-rules",
                "{'security_group_rule':{'security_group_id':'%s','direction':'ingress'}}", group);
    test_expect(t, 204, "p2", "DELETE", path(t, "ports/%s", test_str(t, &r, "port.id")), NULL);
    test_expect(t, 204, "p1", "DELETE", path(t, "rbac-policies/%s", policy), NULL);
    test_expect(t, 404, "p2", "GET", path(t, "security-groups/%s", group), NULL);
}

static void scopes(void **state)
{
    struct test_api *t = *state;
    test_expect(t, 400, "p1", "POST", NW "address-scopes",
                "{'address_scope':{'name':'s','ip_version':5}}");
    struct test_reply r = test_expect(t, 201, "p1", "POST", NW "address-scopes",
                                      "{'address_scope':{'name':'s','ip_version':4}}");
    const char *scope = test_str(t, &r, "address_scope.id");
    const char *body = "{'subnetpool':{'name':'p','prefixes':['%s'],'address_scope_id':'%s'}}";
    r = test_expect(t, 201, "p1", "POST", NW "subnetpools", body, "10.0.0.0/16", scope);
    const char *pool = test_str(t, &r, "subnetpool.id");
    r = test_expect(t, 409, "p1", "POST", NW "subnetpools", body, "10.0.128.0/17", scope);
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "AddressScopePrefixConflict");
    test_expect(t, 400, "p1", "POST", NW "subnetpools", body, "fd00::/48", scope);
    test_expect(t, 404, "p2", "POST", NW "subnetpools", body, "10.1.0.0/16", scope);
    const char *net = make_network(t, "p1", "n");
    test_expect(t, 201, "p1", "POST", NW "subnets",
                "{'subnet':{'network_id':'%s','ip_version':4,'subnetpool_id':'%s','prefixlen':24}}",
                net, pool);
    r = test_expect(t, 200, "p1", "GET", path(t, "networks/%s", net), NULL);
    assert_string_equal(test_str(t, &r, "network.ipv4_address_scope"), scope);
    assert_true(json_is_null(test_at(&r, "network.ipv6_address_scope")));
    /* One network, one pool (or scope) for each IP version. */
    r = test_expect(t, 201, "p1", "POST", NW "subnetpools",
                    "{'subnetpool':{'name':'q','prefixes':['10.9.0.0/16']}}");
    r = test_expect(
        t, 400, "p1", "POST", NW "subnets",
        "{'subnet':{'network_id':'%s','ip_version':4,'subnetpool_id':'%s','prefixlen':24}}", net,
        test_str(t, &r, "subnetpool.id"));
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "NetworkSubnetPoolAffinityError");
    test_expect(t, 409, "p1", "DELETE", path(t, "address-scopes/%s", scope), NULL);
    test_expect(t, 403, "p1", "PUT", path(t, "address-scopes/%s", scope),
                "{'address_scope':{'shared':true}}");
    test_expect(t, 200, "p1", "PUT", path(t, "subnetpools/%s", pool),
                "{'subnetpool':{'address_scope_id':null}}");
    test_expect(t, 204, "p1", "DELETE", path(t, "address-scopes/%s", scope), NULL);
}

static void address_groups(void **state)
{
    struct test_api *t = *state;
    test_expect(t, 400, "p1", "POST", NW "address-groups",
                "{'address_group':{'addresses':['10.0.0.300']}}");
    struct test_reply r =
        test_expect(t, 201, "p1", "POST", NW "address-groups",
                    "{'address_group':{'name':'g','addresses':['10.0.0.1','10.0.0.1/32']}}");
    const char *id = test_str(t, &r, "address_group.id");
    assert_string_equal(test_str(t, &r, "address_group.addresses"), "[\"10.0.0.1/32\"]");
    test_expect(t, 400, "p1", "PUT", path(t, "address-groups/%s", id),
                "{'address_group':{'addresses':[]}}");
    r = test_expect(t, 200, "p1", "PUT", path(t, "address-groups/%s/add_addresses", id),
                    "{'address_group':{'addresses':['192.0.2.0/24']}}");
    assert_int_equal(json_array_size(test_at(&r, "address_group.addresses")), 2);
    r = test_expect(t, 400, "p1", "PUT", path(t, "address-groups/%s/add_addresses", id),
                    "{'address_group':{'addresses':['192.0.2.7/24']}}");
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "AddressesAlreadyExist");
    test_expect(t, 404, "p1", "PUT", path(t, "address-groups/%s/remove_addresses", id),
                "{'address_group':{'addresses':['198.51.100.1']}}");
    test_expect(t, 200, "p1", "PUT", path(t, "address-groups/%s/remove_addresses", id),
                "{'addresses':['10.0.0.1']}");
    r = test_expect(t, 201, "p1", "POST", NW "security-groups",
                    "{'security_group':{'name':'web'}}");
    const char *group = test_str(t, &r, "security_group.id");
    const char *rule = "{'security_group_rule':{'security_group_id':'%s','direction':'ingress',"
                       "'remote_address_group_id':'%s'%s}}";
    test_expect(t, 400, "p1", "POST", NW "security-group-rules", rule, group, id,
                ",'remote_ip_prefix':'10.0.0.0/8'");
    test_expect(t, 201, "p1", "POST", NW "security-group-rules", rule, group, id, "");
    test_expect(t, 409, "p1", "POST", NW "security-group-rules", rule, group, id, "");
    test_expect(t, 409, "p1", "DELETE", path(t, "address-groups/%s", id), NULL);
    test_expect(t, 204, "p1", "DELETE", path(t, "security-groups/%s", group), NULL);
    test_expect(t, 204, "p1", "DELETE", path(t, "address-groups/%s", id), NULL);
}

static void auto_topology(void **state)
{
    struct test_api *t = *state;
    const struct network_bootstrap b = {"public", "203.0.113.0/24", "203.0.113.1", "admin-project"};
    const char *external;
    struct test_reply r =
        test_expect(t, 409, "p1", "GET", NW "auto-allocated-topology/p1?fields=dry-run", NULL);
    assert_non_null(strstr(test_str(t, &r, "NeutronError.message"), "No default router:external"));
    assert_ok(&t->cx, network_bootstrap(&t->cx, t->store, &b, &external));
    r = test_expect(t, 409, "p1", "GET", NW "auto-allocated-topology/p1", NULL);
    assert_non_null(strstr(test_str(t, &r, "NeutronError.message"), "No default pools"));
    test_expect(t, 201, "admin", "POST", NW "subnetpools",
                "{'subnetpool':{'name':'d','prefixes':['10.0.0.0/8'],'default_prefixlen':26,"
                "'is_default':true,'shared':true}}");
    r = test_expect(t, 200, "p1", "GET", NW "auto-allocated-topology/p1?fields=dry-run", NULL);
    assert_string_equal(test_str(t, &r, "auto_allocated_topology.id"), "dry-run=pass");
    assert_int_equal(count(t, "p1", "routers", ""), 0);
    test_expect(t, 403, "p2", "GET", NW "auto-allocated-topology/p1", NULL);
    r = test_expect(t, 200, "p1", "GET", NW "auto-allocated-topology/p1", NULL);
    const char *net = test_str(t, &r, "auto_allocated_topology.id");
    r = test_expect(t, 200, "p1", "GET", NW "auto-allocated-topology/p1", NULL);
    assert_string_equal(test_str(t, &r, "auto_allocated_topology.id"), net);
    assert_int_equal(count(t, "p1", "routers", ""), 1);
    r = test_expect(t, 200, "p1", "GET", path(t, "subnets?network_id=%s", net), NULL);
    assert_string_equal(test_str(t, &r, "subnets[0].cidr"), "10.0.0.0/26");
    test_expect(t, 204, "p1", "DELETE", NW "auto-allocated-topology/p1", NULL);
    assert_int_equal(count(t, "p1", "routers", ""), 0);
    test_expect(t, 404, "p1", "GET", path(t, "networks/%s", net), NULL);
    test_expect(t, 404, "p1", "DELETE", NW "auto-allocated-topology/p1", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NW_TEST(network_for_one),  NW_TEST(shared_is_a_policy),
        NW_TEST(external_for_one), NW_TEST(shared_group),
        NW_TEST(scopes),           NW_TEST(address_groups),
        NW_TEST(auto_topology),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
