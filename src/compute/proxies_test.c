/* SPDX-License-Identifier: EUPL-1.2 */
/* The older API for what the network service keeps: shapes, microversions, bad input. */
#include "compute/test_fakes.h"

#define V "/compute/v2.1"
static struct compute_world w;
#define T (&w.t)
#define path(...) world_path(&w, __VA_ARGS__)
#define version(minor) world_version(&w, minor)

static int setup(void **state UNUSED)
{
    world_start(&w, 1, 4096);
    return 0;
}

static int teardown(void **state UNUSED)
{
    world_stop(&w);
    return 0;
}

static void networks_are_shown_in_two_shapes(void **state UNUSED)
{
    struct test_reply r = test_expect(T, 200, "p1", "GET", V "/os-networks", NULL);
    assert_string_equal(test_str(T, &r, "networks[0].label"), "net-a");
    assert_null(test_at(&r, "networks[0].project_id"));
    r = test_expect(T, 200, "admin", "GET", V "/os-networks/" NET_A, NULL);
    assert_string_equal(test_str(T, &r, "network.mtu"), "1450");
    assert_string_equal(test_str(T, &r, "network.bridge"), "null");
    test_expect(T, 404, "p1", "GET", V "/os-networks/" NET_B, NULL);
    r = test_expect(T, 200, "p1", "GET", V "/os-tenant-networks", NULL);
    assert_int_equal(json_object_size(test_at(&r, "networks[0]")), 3);
    test_expect(T, 200, "p1", "GET", V "/os-tenant-networks/" NET_A, NULL);
    test_expect(T, 404, "p1", "GET", V "/os-tenant-networks/" NET_B, NULL);
    test_expect(T, 410, "admin", "POST", V "/os-networks", "{}");
    version("36");
    test_expect(T, 404, "p1", "GET", V "/os-networks", NULL);
    test_expect(T, 404, "p1", "GET", V "/os-tenant-networks", NULL);
    version(NULL);
}

static struct test_reply act(int status, const char *id, const char *body)
{
    return test_expect(T, status, "p1", "POST", path(V "/servers/%s/action", id), "%s", body);
}

static void floating_ips_come_and_go(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    struct test_reply r = test_expect(T, 200, "p1", "GET", V "/os-floating-ip-pools", NULL);
    assert_string_equal(test_str(T, &r, "floating_ip_pools[0].name"), "public");
    test_expect(T, 404, "p1", "POST", V "/os-floating-ips", "{'pool':'none'}");
    test_expect(T, 400, "p1", "POST", V "/os-floating-ips", "{'pool':7}");
    r = test_expect(T, 200, "p1", "POST", V "/os-floating-ips", "{'pool':'public'}");
    assert_int_equal(json_object_size(test_at(&r, "floating_ip")), 5);
    assert_string_equal(test_str(T, &r, "floating_ip.instance_id"), "null");
    act(202, id, "{'addFloatingIp':{'address':'203.0.113.9'}}");
    r = test_expect(T, 200, "p1", "GET", V "/os-floating-ips/" NET_A, NULL);
    assert_string_equal(test_str(T, &r, "floating_ip.instance_id"), id);
    act(400, id, "{'addFloatingIp':{'address':''}}");
    act(400, id, "{'addFloatingIp':{'address':'203.0.113.9','fixed_address':'10.0.0.2'}}");
    act(404, id, "{'addFloatingIp':{'address':'0.0.0.0'}}");
    act(202, id, "{'removeFloatingIp':{'address':'203.0.113.9'}}");
    act(409, id, "{'removeFloatingIp':{'address':'203.0.113.9'}}");
    r = test_expect(T, 200, "p1", "GET", V "/os-floating-ips", NULL);
    assert_int_equal(json_array_size(test_at(&r, "floating_ips")), 1);
    version("44");
    act(404, id, "{'addFloatingIp':{'address':'203.0.113.9'}}");
    test_expect(T, 404, "p1", "GET", V "/os-floating-ips", NULL);
    version(NULL);
    test_expect(T, 202, "p1", "DELETE", V "/os-floating-ips/" NET_A, NULL);
    test_expect(T, 404, "p1", "DELETE", V "/os-floating-ips/" NET_A, NULL);
}

static void fixed_ips_change_until_2_43(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    act(202, id, "{'addFixedIp':{'networkId':'" NET_A "'}}");
    act(400, id, "{'addFixedIp':{'networkId':'" NET_B "'}}");
    act(400, id, "{'addFixedIp':{}}");
    act(202, id, "{'removeFixedIp':{'address':'10.0.0.1'}}");
    act(400, id, "{'removeFixedIp':{'address':'ten'}}");
    act(202, id, "{'lock':null}");
    act(409, id, "{'addFixedIp':{'networkId':'" NET_A "'}}");
    version("44");
    act(404, id, "{'removeFixedIp':{'address':'10.0.0.1'}}");
    version(NULL);
}

#define RULES V "/os-security-group-rules"

static struct test_reply rule(int status, const char *members)
{
    return test_expect(T, status, "p1", "POST", RULES,
                       "{'security_group_rule':{'parent_group_id':'" NET_A "',%s}}", members);
}

static void rules_are_checked_as_nova_did(void **state UNUSED)
{
    struct test_reply r = rule(200, "'ip_protocol':'TCP','from_port':22,'to_port':'22'");
    assert_string_equal(test_str(T, &r, "security_group_rule.from_port"), "22");
    r = rule(200, "'ip_protocol':'icmp','from_port':-1,'to_port':-1,'cidr':'10.0.0.0/8'");
    assert_string_equal(test_str(T, &r, "security_group_rule.ip_protocol"), "icmp");
    r = rule(200, "'group_id':'" NET_B "'");
    assert_string_equal(test_str(T, &r, "security_group_rule.cidr"), "null");
    static const char *const bad[] = {"'ip_protocol':'tcp','from_port':22,'to_port':21",
                                      "'ip_protocol':'tcp','from_port':22,'to_port':65536",
                                      "'ip_protocol':'tcp','from_port':0,'to_port':22",
                                      "'ip_protocol':'tcp','from_port':'ssh','to_port':22",
                                      "'ip_protocol':'tcp'",
                                      "'ip_protocol':'999','from_port':1,'to_port':1",
                                      "'ip_protocol':'icmp','from_port':256,'to_port':-1",
                                      "'ip_protocol':'tcp','from_port':1,'to_port':1,'cidr':'x'",
                                      "'group_id':'x'",
                                      "'from_port':1,'to_port':1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        rule(400, bad[i]);
    test_expect(T, 400, "p1", "POST", RULES,
                "{'security_group_rule':{'parent_group_id':'non_int_id','ip_protocol':'tcp',"
                "'from_port':1,'to_port':1}}");
    test_expect(T, 202, "p1", "DELETE", RULES "/" NET_A, NULL);
    test_expect(T, 404, "p1", "DELETE", RULES "/" NET_B, NULL);
    test_expect(T, 400, "p1", "DELETE", RULES "/7", NULL);
}

static void images_metadata_are_their_properties(void **state UNUSED)
{
    const char *url = V "/images/" IMAGE_OK "/metadata";
    struct test_reply r =
        test_expect(T, 200, "p1", "PUT", url, "{'metadata':{'os_version':'1','os_distro':'2'}}");
    r = test_expect(T, 200, "p1", "POST", url, "{'metadata':{'os_version':'3','x':'4'}}");
    assert_int_equal(json_object_size(test_at(&r, "metadata")), 3);
    r = test_expect(T, 200, "p1", "GET", url, NULL);
    assert_string_equal(test_str(T, &r, "metadata.os_version"), "3");
    r = test_expect(T, 200, "p1", "GET", path("%s/os_distro", url), NULL);
    assert_string_equal(test_str(T, &r, "meta.os_distro"), "2");
    test_expect(T, 404, "p1", "GET", path("%s/none", url), NULL);
    test_expect(T, 200, "p1", "PUT", path("%s/x", url), "{'meta':{'x':'5'}}");
    test_expect(T, 400, "p1", "PUT", path("%s/x", url), "{'meta':{'y':'5'}}");
    test_expect(T, 400, "p1", "PUT", path("%s/x", url), "{'meta':{'x':5}}");
    test_expect(T, 204, "p1", "DELETE", path("%s/x", url), NULL);
    test_expect(T, 404, "p1", "DELETE", path("%s/x", url), NULL);
    test_expect(T, 404, "p1", "GET", V "/images/" NET_A "/metadata", NULL);
    test_expect(T, 404, "p1", "PUT", V "/images/" NET_A "/metadata", "{'metadata':{'x':'y'}}");
    test_expect(T, 403, "p1:reader", "PUT", url, "{'metadata':{}}");
    test_expect(T, 200, "admin", "PUT", V "/os-quota-sets/p1",
                "{'quota_set':{'metadata_items':1}}");
    test_expect(T, 403, "p1", "PUT", url, "{'metadata':{'x':'y','z':'y'}}");
    test_expect(T, 200, "p1", "PUT", url, "{'metadata':{}}");
    version("39");
    test_expect(T, 404, "p1", "GET", url, NULL);
    version(NULL);
}

int main(void)
{
#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(networks_are_shown_in_two_shapes),     WORLD_TEST(floating_ips_come_and_go),
        WORLD_TEST(fixed_ips_change_until_2_43),          WORLD_TEST(rules_are_checked_as_nova_did),
        WORLD_TEST(images_metadata_are_their_properties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
