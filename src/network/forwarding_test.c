/* SPDX-License-Identifier: EUPL-1.2 */
/* Ports of a floating IP that lead to guests' ports, and address scopes, as routers hear of them.
 */
#include "network/nw_test.h"

struct world {
    const char *external, *net, *subnet, *router, *port, *floating;
};

static struct world make_world(struct test_api *t)
{
    const struct network_bootstrap b = {"public", "203.0.113.0/24", "203.0.113.1", "admin-project"};
    struct world w;
    assert_ok(&t->cx, network_bootstrap(&t->cx, t->store, &b, &w.external));
    w.net = make_network(t, "p1", "n");
    w.subnet = make_subnet(t, "p1", w.net, "10.0.0.0/24");
    struct test_reply r =
        test_expect(t, 201, "p1", "POST", NW "routers",
                    "{'router':{'external_gateway_info':{'network_id':'%s'}}}", w.external);
    w.router = test_str(t, &r, "router.id");
    test_expect(t, 200, "p1", "PUT", path(t, "routers/%s/add_router_interface", w.router),
                "{'subnet_id':'%s'}", w.subnet);
    r = test_expect(t, 201, "p1", "POST", NW "ports", "{'port':{'network_id':'%s'}}", w.net);
    w.port = test_str(t, &r, "port.id");
    r = test_expect(t, 201, "p1", "POST", NW "floatingips",
                    "{'floatingip':{'floating_network_id':'%s'}}", w.external);
    w.floating = test_str(t, &r, "floatingip.id");
    return w;
}

/* What hosts are told of the router. */
static json_t *told(struct test_api *t, const char *router)
{
    AUTO_TXN struct tx *tx = NULL;
    bool present = false;
    struct buf b;
    struct jw w;
    json_t *j = NULL;
    buf_init(&b, t->cx.arena);
    jw_init(&w, &b);
    assert_ok(&t->cx, tx_read(&t->cx, t->store, &tx));
    assert_ok(&t->cx, nw_kind_router.view(&t->cx, tx, "h", router, &w, &present));
    assert_true(present);
    assert_ok(&t->cx, json_read(&t->cx, buf_cstr(&b), b.len, &j));
    return j;
}

static const char body[] = "{'port_forwarding':{'protocol':'%s','external_port':%d,"
                           "'internal_port':%d,'internal_port_id':'%s'}}";

static void life(void **state)
{
    struct test_api *t = *state;
    struct world w = make_world(t);
    const char *list = path(t, "floatingips/%s/port_forwardings", w.floating);
    test_expect(t, 404, "p2", "POST", list, body, "tcp", 2201, 22, w.port);
    test_expect(t, 400, "p1", "POST", list, body, "icmp", 2201, 22, w.port);
    test_expect(t, 400, "p1", "POST", list, body, "tcp", 0, 22, w.port);
    test_expect(t, 400, "p1", "POST", list, body, "tcp", 2201, 65536, w.port);
    test_expect(t, 404, "p1", "POST", list, body, "tcp", 2201, 22, w.net);
    test_expect(t, 400, "p1", "POST", list,
                "{'port_forwarding':{'protocol':'tcp','external_port':1,'internal_port':1,"
                "'internal_port_id':'%s','internal_ip_address':'10.9.9.9'}}",
                w.port);
    struct test_reply r = test_expect(t, 201, "p1", "POST", list, body, "tcp", 2201, 22, w.port);
    const char *id = test_str(t, &r, "port_forwarding.id");
    const char *ip = test_str(t, &r, "port_forwarding.internal_ip_address");
    assert_true(str_starts(ip, "10.0.0."));
    test_expect(t, 400, "p1", "POST", list, body, "tcp", 2201, 23, w.port); /* taken outside */
    test_expect(t, 400, "p1", "POST", list, body, "tcp", 2202, 22, w.port); /* taken inside */
    test_expect(t, 201, "p1", "POST", list, body, "udp", 2201, 22, w.port);
    r = test_expect(t, 200, "p1", "GET", path(t, "floatingips/%s", w.floating), NULL);
    assert_int_equal(json_array_size(test_at(&r, "floatingip.port_forwardings")), 2);
    assert_string_equal(test_str(t, &r, "floatingip.router_id"), w.router);
    assert_true(json_is_null(test_at(&r, "floatingip.port_id")));
    r = test_expect(t, 200, "p1", "GET",
                    path(t, "floatingips/%s/port_forwardings?protocol=udp", w.floating), NULL);
    assert_int_equal(json_array_size(test_at(&r, "port_forwardings")), 1);
    /* The router's host hears of both, and not of the address as a whole. */
    json_t *floating = json_get(told(t, w.router), "floating");
    assert_int_equal(json_array_size(floating), 2);
    assert_string_equal(json_get_str(json_array_get(floating, 0), "protocol"), "tcp");
    assert_int_equal(json_get_int(json_array_get(floating, 0), "floating_port", 0), 2201);
    assert_string_equal(json_get_str(json_array_get(floating, 0), "fixed_ip"), ip);
    const char *one = path(t, "floatingips/%s/port_forwardings/%s", w.floating, id);
    test_expect(t, 404, "p2", "GET", one, NULL);
    r = test_expect(t, 200, "p1", "PUT", one, "{'port_forwarding':{'external_port':2222}}");
    assert_string_equal(test_str(t, &r, "port_forwarding.external_port"), "2222");
    test_expect(t, 400, "p1", "PUT", one,
                "{'port_forwarding':{'protocol':'udp',"
                "'external_port':2201}}");
    test_expect(t, 204, "p1", "DELETE", one, NULL);
    test_expect(t, 404, "p1", "DELETE", one, NULL);
    test_expect(t, 204, "p1", "DELETE", path(t, "floatingips/%s", w.floating), NULL);
    assert_int_equal(json_array_size(json_get(told(t, w.router), "floating")), 0);
}

static void what_needs_it(void **state)
{
    struct test_api *t = *state;
    struct world w = make_world(t);
    const char *list = path(t, "floatingips/%s/port_forwardings", w.floating);
    const char *whole = path(t, "floatingips/%s", w.floating);
    test_expect(t, 200, "p1", "PUT", whole, "{'floatingip':{'port_id':'%s'}}", w.port);
    test_expect(t, 409, "p1", "POST", list, body, "tcp", 2201, 22, w.port);
    test_expect(t, 200, "p1", "PUT", whole, "{'floatingip':{'port_id':null}}");
    test_expect(t, 201, "p1", "POST", list, body, "tcp", 2201, 22, w.port);
    test_expect(t, 409, "p1", "PUT", whole, "{'floatingip':{'port_id':'%s'}}", w.port);
    test_expect(t, 409, "p1", "PUT", path(t, "routers/%s/remove_router_interface", w.router),
                "{'subnet_id':'%s'}", w.subnet);
    test_expect(t, 409, "p1", "PUT", path(t, "routers/%s", w.router),
                "{'router':{'external_gateway_info':{}}}");
    /* A port that goes takes its own along. */
    test_expect(t, 204, "p1", "DELETE", path(t, "ports/%s", w.port), NULL);
    struct test_reply r = test_expect(t, 200, "p1", "GET", whole, NULL);
    assert_string_equal(test_str(t, &r, "floatingip.port_forwardings"), "[]");
    assert_true(json_is_null(test_at(&r, "floatingip.router_id")));
    test_expect(t, 200, "p1", "PUT", path(t, "routers/%s/remove_router_interface", w.router),
                "{'subnet_id':'%s'}", w.subnet);
}

static void scopes(void **state)
{
    struct test_api *t = *state;
    struct world w = make_world(t);
    struct test_reply r = test_expect(t, 201, "p1", "POST", NW "address-scopes",
                                      "{'address_scope':{'name':'s','ip_version':4}}");
    const char *scope = test_str(t, &r, "address_scope.id");
    r = test_expect(t, 201, "p1", "POST", NW "subnetpools",
                    "{'subnetpool':{'name':'p','prefixes':['10.50.0.0/16'],"
                    "'address_scope_id':'%s'}}",
                    scope);
    const char *pool = test_str(t, &r, "subnetpool.id"), *net = make_network(t, "p1", "m");
    r = test_expect(t, 201, "p1", "POST", NW "subnets",
                    "{'subnet':{'network_id':'%s','ip_version':4,'subnetpool_id':'%s',"
                    "'prefixlen':24}}",
                    net, pool);
    test_expect(t, 200, "p1", "PUT", path(t, "routers/%s/add_router_interface", w.router),
                "{'subnet_id':'%s'}", test_str(t, &r, "subnet.id"));
    json_t *sides = json_get(told(t, w.router), "interfaces");
    assert_int_equal(json_array_size(sides), 2);
    size_t in_scope = 0, outside = 0;
    for (size_t i = 0; i < 2; i++) {
        const json_t *ip = json_array_get(json_get(json_array_get(sides, i), "ips"), 0);
        in_scope += str_eq(json_get_str(ip, "scope"), scope);
        outside += json_is_null(json_get(ip, "scope"));
    }
    assert_true(in_scope == 1 && outside == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {NW_TEST(life), NW_TEST(what_needs_it), NW_TEST(scopes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
