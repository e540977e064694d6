/* SPDX-License-Identifier: EUPL-1.2 */
/* Agents as administrators see them, what they serve, and how hosts hear of it; what else is
 * theirs. */
#include "network/nw_test.h"

static const char *add_host(struct test_api *t, const char *name)
{
    AUTO_TXN struct tx *tx = NULL;
    const char *host;
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    assert_ok(&t->cx, fleet_host_add(&t->cx, tx, name, "a-secret-long-enough", &host));
    json_t *beat = json_own(&t->cx, json_pack("{s:s, s:i, s:i, s:i}", "hostname", name, "vcpus", 4,
                                              "memory_mib", 4096, "disk_gib", 100));
    assert_ok(&t->cx, fleet_beat(&t->cx, tx, host, beat));
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
    return host;
}

/* What the host is told of the item; NULL: nothing. */
static json_t *told(struct test_api *t, const struct fleet_kind *kind, const char *host,
                    const char *id)
{
    AUTO_TXN struct tx *tx = NULL;
    bool present = false;
    struct buf b;
    struct jw w;
    json_t *j = NULL;
    buf_init(&b, t->cx.arena);
    jw_init(&w, &b);
    assert_ok(&t->cx, tx_read(&t->cx, t->store, &tx));
    assert_ok(&t->cx, kind->view(&t->cx, tx, host, id, &w, &present));
    if (!present)
        return NULL;
    assert_ok(&t->cx, json_read(&t->cx, buf_cstr(&b), b.len, &j));
    return j;
}

static const char *agent(struct test_api *t, const char *type)
{
    struct test_reply r =
        test_expect(t, 200, "admin", "GET", path(t, "agents?agent_type=%s", type), NULL);
    assert_int_equal(json_array_size(test_at(&r, "agents")), 1);
    return test_str(t, &r, "agents[0].id");
}

static void agents_of_hosts(void **state)
{
    struct test_api *t = *state;
    add_host(t, "h1");
    struct test_reply r = test_expect(t, 200, "admin", "GET", NW "agents", NULL);
    assert_int_equal(json_array_size(test_at(&r, "agents")), 4);
    assert_string_equal(test_str(t, &r, "agents[0].host"), "h1");
    assert_string_equal(test_str(t, &r, "agents[0].alive"), "true");
    const char *dhcp = agent(t, "DHCP%20agent"), *bridge = agent(t, "Linux%20bridge%20agent");
    assert_string_not_equal(dhcp, bridge);
    r = test_expect(t, 200, "admin", "GET", path(t, "agents?host=h2"), NULL);
    assert_string_equal(test_str(t, &r, "agents"), "[]");
    r = test_expect(t, 200, "admin", "GET", NW "agents?alive=false", NULL);
    assert_string_equal(test_str(t, &r, "agents"), "[]");
    r = test_expect(t, 200, "p1", "GET", NW "agents", NULL);
    assert_string_equal(test_str(t, &r, "agents"), "[]");
    test_expect(t, 403, "p1", "GET", path(t, "agents/%s", dhcp), NULL);
    test_expect(t, 404, "admin", "GET", NW "agents/no-such-agent", NULL);
    r = test_expect(t, 200, "admin", "PUT", path(t, "agents/%s", dhcp),
                    "{'agent':{'description':'of the first rack'}}");
    r = test_expect(t, 200, "admin", "GET", path(t, "agents/%s", dhcp), NULL);
    assert_string_equal(test_str(t, &r, "agent.description"), "of the first rack");
    test_expect(t, 400, "admin", "PUT", path(t, "agents/%s", dhcp), "{'agent':{'host':'h2'}}");
    test_expect(t, 409, "admin", "PUT", path(t, "agents/%s", bridge),
                "{'agent':{'admin_state_up':false}}");
    test_expect(t, 409, "admin", "DELETE", path(t, "agents/%s", dhcp), NULL);
    r = test_expect(t, 200, "p1", "GET", NW "availability_zones", NULL);
    assert_int_equal(json_array_size(test_at(&r, "availability_zones")), 2);
}

static size_t served(struct test_api *t, const char *what, const char *agent_id, const char *plural)
{
    struct test_reply r =
        test_expect(t, 200, "admin", "GET", path(t, "agents/%s/%s", agent_id, what), NULL);
    return json_array_size(test_at(&r, plural));
}

static void dhcp_scheduling(void **state)
{
    struct test_api *t = *state;
    const char *host = add_host(t, "h1"), *net = make_network(t, "p1", "n");
    const char *dhcp = agent(t, "DHCP%20agent");
    make_subnet(t, "p1", net, "10.0.0.0/24");
    assert_int_equal(served(t, "dhcp-networks", dhcp, "networks"), 0);
    assert_null(told(t, &nw_kind_network, host, net));
    /* The first port brings the network to a host. */
    test_expect(t, 201, "p1", "POST", NW "ports", "{'port':{'network_id':'%s'}}", net);
    assert_int_equal(served(t, "dhcp-networks", dhcp, "networks"), 1);
    json_t *spec = told(t, &nw_kind_network, host, net);
    assert_true(
        json_is_true(json_get(json_array_get(json_get(spec, "subnets"), 0), "enable_dhcp")));
    struct test_reply r =
        test_expect(t, 200, "admin", "GET", path(t, "networks/%s/dhcp-agents", net), NULL);
    assert_string_equal(test_str(t, &r, "agents[0].id"), dhcp);
    r = test_expect(t, 200, "p1", "GET", path(t, "networks/%s", net), NULL);
    assert_int_equal(json_array_size(test_at(&r, "network.availability_zones")), 1);
    /* An administrator takes it away: the host keeps the network for its guests, without DHCP. */
    test_expect(t, 204, "admin", "DELETE", path(t, "agents/%s/dhcp-networks/%s", dhcp, net), NULL);
    test_expect(t, 409, "admin", "DELETE", path(t, "agents/%s/dhcp-networks/%s", dhcp, net), NULL);
    assert_int_equal(served(t, "dhcp-networks", dhcp, "networks"), 0);
    r = test_expect(t, 200, "p1", "GET", path(t, "networks/%s", net), NULL);
    assert_string_equal(test_str(t, &r, "network.availability_zones"), "[]");
    test_expect(t, 201, "admin", "POST", path(t, "agents/%s/dhcp-networks", dhcp),
                "{'network_id':'%s'}", net);
    test_expect(t, 409, "admin", "POST", path(t, "agents/%s/dhcp-networks", dhcp),
                "{'network_id':'%s'}", net);
    test_expect(t, 403, "p1", "POST", path(t, "agents/%s/dhcp-networks", dhcp),
                "{'network_id':'%s'}", net);
    test_expect(t, 404, "admin", "POST", path(t, "agents/%s/dhcp-networks", dhcp),
                "{'network_id':'no-such-network'}");
    assert_int_equal(served(t, "dhcp-networks", dhcp, "networks"), 1);
    /* Stopped, it serves nothing. */
    test_expect(t, 200, "admin", "PUT", path(t, "agents/%s", dhcp),
                "{'agent':{'admin_state_up':false}}");
    assert_int_equal(served(t, "dhcp-networks", dhcp, "networks"), 0);
    spec = told(t, &nw_kind_network, host, net);
    assert_true(
        json_is_false(json_get(json_array_get(json_get(spec, "subnets"), 0), "enable_dhcp")));
    test_expect(t, 409, "admin", "POST", path(t, "agents/%s/dhcp-networks", dhcp),
                "{'network_id':'%s'}", net);
}

static void l3_scheduling(void **state)
{
    struct test_api *t = *state;
    const char *host = add_host(t, "h1"), *net = make_network(t, "p1", "n");
    const char *l3 = agent(t, "L3%20agent"), *subnet = make_subnet(t, "p1", net, "10.0.0.0/24");
    struct test_reply r = test_expect(t, 201, "p1", "POST", NW "routers", "{'router':{}}");
    const char *router = test_str(t, &r, "router.id");
    assert_int_equal(served(t, "l3-routers", l3, "routers"), 0);
    r = test_expect(t, 200, "p1", "PUT", path(t, "routers/%s/add_router_interface", router),
                    "{'subnet_id':'%s'}", subnet);
    assert_int_equal(served(t, "l3-routers", l3, "routers"), 1);
    assert_non_null(told(t, &nw_kind_router, host, router));
    r = test_expect(t, 200, "admin", "GET", path(t, "routers/%s/l3-agents", router), NULL);
    assert_string_equal(test_str(t, &r, "agents[0].id"), l3);
    r = test_expect(t, 200, "p1", "GET", path(t, "routers/%s", router), NULL);
    assert_int_equal(json_array_size(test_at(&r, "router.availability_zones")), 1);
    test_expect(t, 204, "admin", "DELETE", path(t, "agents/%s/l3-routers/%s", l3, router), NULL);
    assert_null(told(t, &nw_kind_router, host, router));
    test_expect(t, 409, "admin", "DELETE", path(t, "agents/%s/l3-routers/%s", l3, router), NULL);
    test_expect(t, 201, "admin", "POST", path(t, "agents/%s/l3-routers", l3), "{'router_id':'%s'}",
                router);
    assert_non_null(told(t, &nw_kind_router, host, router));
    add_host(t, "h2");
    r = test_expect(t, 200, "admin", "GET", NW "agents?agent_type=L3%20agent&host=h2", NULL);
    test_expect(t, 409, "admin", "POST",
                path(t, "agents/%s/l3-routers", test_str(t, &r, "agents[0].id")),
                "{'router_id':'%s'}", router);
}

/* What a port has of its own for its guest, as its host hears of it. */
static void options_and_names(void **state)
{
    struct test_api *t = *state;
    add_host(t, "h1");
    test_expect(t, 400, "p1", "POST", NW "networks", "{'network':{'dns_domain':'no domain'}}");
    struct test_reply r = test_expect(t, 201, "p1", "POST", NW "networks",
                                      "{'network':{'dns_domain':'example.org.'}}");
    const char *net = test_str(t, &r, "network.id");
    make_subnet(t, "p1", net, "10.0.0.0/24");
    r = test_expect(t, 201, "p1", "POST", NW "ports",
                    "{'port':{'network_id':'%s','dns_name':'web','extra_dhcp_opts':["
                    "{'opt_name':'mtu','opt_value':'1300'},{'opt_name':'gone','opt_value':null},"
                    "{'opt_name':'ntp-server','opt_value':'fd00::1','ip_version':'6'}]}}",
                    net);
    const char *port = test_str(t, &r, "port.id");
    assert_int_equal(json_array_size(test_at(&r, "port.extra_dhcp_opts")), 2);
    assert_string_equal(test_str(t, &r, "port.extra_dhcp_opts[1].ip_version"), "6");
    assert_string_equal(test_str(t, &r, "port.dns_assignment[0].fqdn"), "web.example.org.");
    /* An update adds, replaces, and takes away what has no value any more. */
    r = test_expect(t, 200, "p1", "PUT", path(t, "ports/%s", port),
                    "{'port':{'extra_dhcp_opts':[{'opt_name':'mtu','opt_value':'1200'},"
                    "{'opt_name':'tftp-server','opt_value':'10.0.0.9'},"
                    "{'opt_name':'ntp-server','opt_value':null,'ip_version':6}]}}");
    assert_string_equal(test_str(t, &r, "port.extra_dhcp_opts[0].opt_value"), "1200");
    assert_string_equal(test_str(t, &r, "port.extra_dhcp_opts[1].opt_name"), "tftp-server");
    assert_int_equal(json_array_size(test_at(&r, "port.extra_dhcp_opts")), 2);
    r = test_expect(t, 200, "p1", "PUT", path(t, "ports/%s", port), "{'port':{'name':'x'}}");
    assert_int_equal(json_array_size(test_at(&r, "port.extra_dhcp_opts")), 2);
    static const char *const bad[] = {
        "{'opt_name':'mtu'}",
        "{'opt_name':'a b','opt_value':'1'}",
        "{'opt_name':'mtu','opt_value':''}",
        "{'opt_name':'mtu','opt_value':'1\\u0001'}",
        "{'opt_name':'mtu','opt_value':'1','ip_version':5}",
        "{'opt_name':'mtu','opt_value':'1','colour':'red'}",
        "7",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(t, 400, "p1", "PUT", path(t, "ports/%s", port),
                    "{'port':{'extra_dhcp_opts':[%s]}}", bad[i]);
    r = test_expect(t, 200, "p1", "PUT", path(t, "ports/%s", port),
                    "{'port':{'dns_name':'mail','dns_domain':'example.net'}}");
    assert_string_equal(test_str(t, &r, "port.dns_assignment[0].fqdn"), "mail.example.net.");
}

static void metering(void **state)
{
    struct test_api *t = *state;
    test_expect(t, 403, "p1", "POST", NW "metering/metering-labels",
                "{'metering_label':{'name':'l'}}");
    struct test_reply r =
        test_expect(t, 201, "admin", "POST", NW "metering/metering-labels",
                    "{'metering_label':{'name':'l','project_id':'p1','shared':true}}");
    const char *label = test_str(t, &r, "metering_label.id");
    const char *body = "{'metering_label_rule':{'metering_label_id':'%s','direction':'%s'%s}}";
    test_expect(t, 400, "admin", "POST", NW "metering/metering-label-rules", body, label, "ingress",
                "");
    test_expect(t, 400, "admin", "POST", NW "metering/metering-label-rules", body, label,
                "sideways", ",'remote_ip_prefix':'10.0.0.0/8'");
    test_expect(t, 400, "admin", "POST", NW "metering/metering-label-rules", body, label, "ingress",
                ",'remote_ip_prefix':'10.0.0.0/8','source_ip_prefix':'10.0.0.0/8'");
    r = test_expect(t, 201, "admin", "POST", NW "metering/metering-label-rules", body, label,
                    "ingress", ",'remote_ip_prefix':'10.0.0.0/8'");
    assert_string_equal(test_str(t, &r, "metering_label_rule.excluded"), "false");
    const char *rule = test_str(t, &r, "metering_label_rule.id");
    test_expect(t, 409, "admin", "POST", NW "metering/metering-label-rules", body, label, "ingress",
                ",'remote_ip_prefix':'10.1.0.0/16'");
    test_expect(t, 201, "admin", "POST", NW "metering/metering-label-rules", body, label, "egress",
                ",'remote_ip_prefix':'10.1.0.0/16'");
    test_expect(t, 204, "admin", "DELETE", path(t, "metering/metering-labels/%s", label), NULL);
    test_expect(t, 404, "admin", "GET", path(t, "metering/metering-label-rules/%s", rule), NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NW_TEST(agents_of_hosts),   NW_TEST(dhcp_scheduling), NW_TEST(l3_scheduling),
        NW_TEST(options_and_names), NW_TEST(metering),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
