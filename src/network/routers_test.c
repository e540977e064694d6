/* SPDX-License-Identifier: EUPL-1.2 */
/* Routers and floating IPs behind their routes; what agents are told of them and report; the ports
 * of servers. */
#include "network/nw_test.h"

struct world {
    const char *external, *net, *subnet, *router;
};

static const char *external_network(struct test_api *t)
{
    const struct network_bootstrap b = {"public", "203.0.113.0/24", "203.0.113.1", "admin-project"};
    const char *id, *again;
    assert_ok(&t->cx, network_bootstrap(&t->cx, t->store, &b, &id));
    assert_ok(&t->cx, network_bootstrap(&t->cx, t->store, &b, &again));
    assert_string_equal(id, again);
    return id;
}

static struct world make_world(struct test_api *t, const char *who)
{
    struct world w = {.external = external_network(t)};
    w.net = make_network(t, who, "n");
    w.subnet = make_subnet(t, who, w.net, "10.0.0.0/24");
    struct test_reply r = test_expect(
        t, 201, who, "POST", NW "routers",
        "{'router':{'name':'r','external_gateway_info':{'network_id':'%s'}}}", w.external);
    w.router = test_str(t, &r, "router.id");
    test_expect(t, 200, who, "PUT", path(t, "routers/%s/add_router_interface", w.router),
                "{'subnet_id':'%s'}", w.subnet);
    return w;
}

static const char *make_port(struct test_api *t, const char *who, const char *net)
{
    struct test_reply r =
        test_expect(t, 201, who, "POST", NW "ports", "{'port':{'network_id':'%s'}}", net);
    return test_str(t, &r, "port.id");
}

/* ---------------------------------------------------------------- routers */

static void router_life(void **state)
{
    struct test_api *t = *state;
    struct world w = make_world(t, "p1");
    struct test_reply r = test_expect(t, 200, "p1", "GET", path(t, "routers/%s", w.router), NULL);
    assert_string_equal(test_str(t, &r, "router.status"), "ACTIVE");
    assert_string_equal(test_str(t, &r, "router.admin_state_up"), "true");
    assert_string_equal(test_str(t, &r, "router.external_gateway_info.enable_snat"), "true");
    assert_string_equal(
        test_str(t, &r, "router.external_gateway_info.external_fixed_ips[0].ip_address"),
        "203.0.113.2");
    r = test_expect(t, 200, "admin", "GET", path(t, "ports?device_id=%s", w.router), NULL);
    assert_int_equal(json_array_size(test_at(&r, "ports")), 2);
    r = test_expect(t, 200, "p1", "GET", path(t, "ports?device_id=%s", w.router), NULL);
    assert_int_equal(json_array_size(test_at(&r, "ports")),
                     1); /* the gateway port is the provider's */
    r = test_expect(t, 200, "p1", "GET", path(t, "ports?device_owner=network:router_interface"),
                    NULL);
    assert_string_equal(test_str(t, &r, "ports[0].fixed_ips[0].ip_address"), "10.0.0.1");
    assert_string_equal(test_str(t, &r, "ports[0].device_id"), w.router);
    assert_string_equal(test_str(t, &r, "ports[0].security_groups"), "[]");
    const char *port = test_str(t, &r, "ports[0].id");
    test_expect(t, 409, "p1", "DELETE", path(t, "ports/%s", port), NULL);
    r = test_expect(t, 409, "p1", "DELETE", path(t, "routers/%s", w.router), NULL);
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "RouterInUse");
    test_expect(t, 409, "p1", "DELETE", path(t, "subnets/%s", w.subnet), NULL);
    test_expect(t, 409, "p1", "DELETE", path(t, "networks/%s", w.net), NULL);
    test_expect(t, 404, "p2", "GET", path(t, "routers/%s", w.router), NULL);
    test_expect(t, 404, "p2", "PUT", path(t, "routers/%s/remove_router_interface", w.router),
                "{'subnet_id':'%s'}", w.subnet);
    r = test_expect(t, 404, "p1", "PUT", path(t, "routers/%s/remove_router_interface", w.router),
                    "{'port_id':'%s'}", w.subnet);
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "RouterInterfaceNotFound");
    r = test_expect(t, 200, "p1", "PUT", path(t, "routers/%s/remove_router_interface", w.router),
                    "{'subnet_id':'%s'}", w.subnet);
    assert_string_equal(test_str(t, &r, "port_id"), port);
    assert_string_equal(test_str(t, &r, "subnet_ids[0]"), w.subnet);
    test_expect(t, 404, "p1", "GET", path(t, "ports/%s", port), NULL);
    r = test_expect(t, 200, "p1", "PUT", path(t, "routers/%s", w.router),
                    "{'router':{'external_gateway_info':{}}}");
    assert_string_equal(test_str(t, &r, "router.external_gateway_info"), "null");
    test_expect(t, 204, "p1", "DELETE", path(t, "routers/%s", w.router), NULL);
    test_expect(t, 204, "p1", "DELETE", path(t, "networks/%s", w.net), NULL);
    /* The gateway's address went back: the next router gets it after the highest one. */
    r = test_expect(t, 200, "admin", "GET", path(t, "network-ip-availabilities/%s", w.external),
                    NULL);
    assert_string_equal(test_str(t, &r, "network_ip_availability.used_ips"), "0");
}

static void router_refusals(void **state)
{
    struct test_api *t = *state;
    struct world w = make_world(t, "p1");
    const char *other = make_network(t, "p1", "m"),
               *same = make_subnet(t, "p1", other, "10.0.0.0/25");
    struct test_reply r =
        test_expect(t, 400, "p1", "PUT", path(t, "routers/%s/add_router_interface", w.router),
                    "{'subnet_id':'%s'}", same);
    assert_non_null(strstr(r.text, "overlaps with cidr"));
    test_expect(t, 400, "p1", "PUT", path(t, "routers/%s/add_router_interface", w.router),
                "{'subnet_id':'%s'}", w.subnet);
    test_expect(t, 400, "p1", "PUT", path(t, "routers/%s/add_router_interface", w.router), "{}");
    test_expect(t, 400, "p1", "PUT", path(t, "routers/%s/add_router_interface", w.router),
                "{'subnet_id':7}");
    const char *foreign = make_subnet(t, "p2", make_network(t, "p2", "n"), "10.7.0.0/24");
    test_expect(t, 404, "p1", "PUT", path(t, "routers/%s/add_router_interface", w.router),
                "{'subnet_id':'%s'}", foreign);
    r = test_expect(t, 400, "p1", "PUT", path(t, "routers/%s", w.router),
                    "{'router':{'external_gateway_info':{'network_id':'%s'}}}", other);
    assert_non_null(strstr(r.text, "is not an external network."));
    test_expect(t, 404, "p1", "PUT", path(t, "routers/%s", w.router),
                "{'router':{'external_gateway_info':{'network_id':'%s'}}}", w.router);
    test_expect(t, 400, "p1", "PUT", path(t, "routers/%s", w.router),
                "{'router':{'external_gateway_info':{'net':'x'}}}");
    r = test_expect(t, 200, "admin", "GET", path(t, "networks/%s", w.external), NULL);
    const char *outside = test_str(t, &r, "network.subnets[0]");
    const char *not_a_guests[] = {
        "'enable_snat':false", "'enable_snat':'False'",
        arena_printf(t->cx.arena, "'external_fixed_ips':[{'subnet_id':'%s'},{'subnet_id':'%s'}]",
                     outside, outside)};
    for (size_t i = 0; i < ARRAY_LEN(not_a_guests); i++)
        test_expect(t, 403, "p1", "PUT", path(t, "routers/%s", w.router),
                    "{'router':{'external_gateway_info':{'network_id':'%s',%s}}}", w.external,
                    not_a_guests[i]);
    test_expect(t, 200, "admin", "PUT", path(t, "routers/%s", w.router),
                "{'router':{'external_gateway_info':{'network_id':'%s','enable_snat':false}}}",
                w.external);
    test_expect(
        t, 403, "p1", "POST", NW "routers",
        "{'router':{'external_gateway_info':{'network_id':'%s','external_fixed_ips':[{'ip_address':"
        "'203.0.113.77'}]}}}",
        w.external);
    r = test_expect(t, 400, "p1", "PUT", path(t, "routers/%s", w.router),
                    "{'router':{'routes':[{'destination':'10.20.0.0/24','nexthop':'10.99.0.2'}]}}");
    assert_non_null(strstr(r.text, "the nexthop is not connected with router"));
    test_expect(t, 400, "p1", "PUT", path(t, "routers/%s", w.router),
                "{'router':{'routes':[{'destination':'10.20.0.0/24','nexthop':'10.0.0.1'}]}}");
    r = test_expect(t, 200, "p1", "PUT", path(t, "routers/%s", w.router),
                    "{'router':{'routes':[{'destination':'10.20.0.0/24','nexthop':'10.0.0.2'}]}}");
    assert_int_equal(json_array_size(test_at(&r, "router.routes")), 1);
    r = test_expect(t, 200, "p1", "PUT", path(t, "routers/%s/add_extraroutes", w.router),
                    "{'router':{'routes':[{'destination':'10.21.0.0/24','nexthop':'10.0.0.3'}]}}");
    assert_int_equal(json_array_size(test_at(&r, "router.routes")), 2);
    test_expect(t, 409, "p1", "PUT", path(t, "routers/%s/remove_router_interface", w.router),
                "{'subnet_id':'%s'}", w.subnet);
    r = test_expect(t, 200, "p1", "PUT", path(t, "routers/%s/remove_extraroutes", w.router),
                    "{'router':{'routes':[{'destination':'10.21.0.0/24','nexthop':'10.0.0.3'}]}}");
    assert_int_equal(json_array_size(test_at(&r, "router.routes")), 1);
    r = test_expect(t, 200, "p1", "PUT", path(t, "routers/%s", w.router),
                    "{'router':{'routes':null}}");
    assert_string_equal(test_str(t, &r, "router.routes"), "[]");
    /* A tenant's port in the external network would be an address without a router. */
    test_expect(t, 403, "p1", "POST", NW "ports", "{'port':{'network_id':'%s'}}", w.external);
}

/* ---------------------------------------------------------------- floating IPs */

static void floating_life(void **state)
{
    struct test_api *t = *state;
    struct world w = make_world(t, "p1");
    const char *a = make_port(t, "p1", w.net), *b = make_port(t, "p1", w.net);
    struct test_reply r =
        test_expect(t, 201, "p1", "POST", NW "floatingips",
                    "{'floatingip':{'floating_network_id':'%s','port_id':'%s'}}", w.external, a);
    const char *id = test_str(t, &r, "floatingip.id");
    assert_string_equal(test_str(t, &r, "floatingip.floating_ip_address"), "203.0.113.3");
    assert_string_equal(test_str(t, &r, "floatingip.fixed_ip_address"), "10.0.0.3");
    assert_string_equal(test_str(t, &r, "floatingip.router_id"), w.router);
    assert_string_equal(test_str(t, &r, "floatingip.port_details.network_id"), w.net);
    test_expect(t, 404, "p2", "GET", path(t, "floatingips/%s", id), NULL);
    r = test_expect(t, 409, "p1", "POST", NW "floatingips",
                    "{'floatingip':{'floating_network_id':'%s','port_id':'%s'}}", w.external, a);
    assert_string_equal(test_str(t, &r, "NeutronError.type"), "FloatingIPPortAlreadyAssociated");
    test_expect(t, 409, "p1", "PUT", path(t, "routers/%s/remove_router_interface", w.router),
                "{'subnet_id':'%s'}", w.subnet);
    test_expect(t, 409, "p1", "PUT", path(t, "routers/%s", w.router),
                "{'router':{'external_gateway_info':null}}");
    r = test_expect(t, 200, "p1", "PUT", path(t, "floatingips/%s", id),
                    "{'floatingip':{'port_id':'%s'}}", b);
    assert_string_equal(test_str(t, &r, "floatingip.fixed_ip_address"), "10.0.0.4");
    r = test_expect(t, 200, "p1", "PUT", path(t, "floatingips/%s", id),
                    "{'floatingip':{'port_id':null}}");
    assert_string_equal(test_str(t, &r, "floatingip.router_id"), "null");
    assert_string_equal(test_str(t, &r, "floatingip.fixed_ip_address"), "null");
    assert_string_equal(test_str(t, &r, "floatingip.port_details"), "null");
    /* The port's end is the association's end. */
    test_expect(t, 200, "p1", "PUT", path(t, "floatingips/%s", id),
                "{'floatingip':{'port_id':'%s'}}", b);
    test_expect(t, 204, "p1", "DELETE", path(t, "ports/%s", b), NULL);
    r = test_expect(t, 200, "p1", "GET", path(t, "floatingips/%s", id), NULL);
    assert_string_equal(test_str(t, &r, "floatingip.port_id"), "null");
    assert_string_equal(test_str(t, &r, "floatingip.status"), "DOWN");
    /* So is the end of the port's address. */
    test_expect(t, 200, "p1", "PUT", path(t, "floatingips/%s", id),
                "{'floatingip':{'port_id':'%s'}}", a);
    test_expect(t, 200, "p1", "PUT", path(t, "ports/%s", a),
                "{'port':{'fixed_ips':[{'ip_address':'10.0.0.99'}]}}");
    r = test_expect(t, 200, "p1", "GET", path(t, "floatingips/%s", id), NULL);
    assert_string_equal(test_str(t, &r, "floatingip.port_id"), "null");
    test_expect(t, 204, "p1", "DELETE", path(t, "floatingips/%s", id), NULL);
    test_expect(t, 404, "p1", "DELETE", path(t, "floatingips/%s", id), NULL);
    r = test_expect(t, 200, "admin", "GET", path(t, "network-ip-availabilities/%s", w.external),
                    NULL);
    assert_string_equal(test_str(t, &r, "network_ip_availability.used_ips"),
                        "1"); /* the router's */
}

static void floating_refusals(void **state)
{
    struct test_api *t = *state;
    struct world w = make_world(t, "p1");
    const char *lonely = make_network(t, "p1", "l");
    make_subnet(t, "p1", lonely, "10.5.0.0/24");
    const char *port = make_port(t, "p1", lonely), *foreign = make_network(t, "p2", "n");
    make_subnet(t, "p2", foreign, "10.0.0.0/24");
    const char *theirs = make_port(t, "p2", foreign);
    struct test_reply r =
        test_expect(t, 404, "p1", "POST", NW "floatingips",
                    "{'floatingip':{'floating_network_id':'%s','port_id':'%s'}}", w.external, port);
    assert_string_equal(test_str(t, &r, "NeutronError.type"),
                        "ExternalGatewayForFloatingIPNotFound");
    r = test_expect(t, 400, "p1", "POST", NW "floatingips",
                    "{'floatingip':{'floating_network_id':'%s'}}", w.net);
    assert_non_null(strstr(r.text, "is not a valid external network."));
    test_expect(t, 404, "p1", "POST", NW "floatingips",
                "{'floatingip':{'floating_network_id':'%s'}}", w.router);
    test_expect(t, 404, "p1", "POST", NW "floatingips",
                "{'floatingip':{'floating_network_id':'%s','port_id':'%s'}}", w.external, theirs);
    test_expect(t, 403, "p1", "POST", NW "floatingips",
                "{'floatingip':{'floating_network_id':'%s','floating_ip_address':'203.0.113.50'}}",
                w.external);
    test_expect(t, 201, "admin", "POST", NW "floatingips",
                "{'floatingip':{'floating_network_id':'%s','floating_ip_address':'203.0.113.50'}}",
                w.external);
    test_expect(t, 409, "admin", "POST", NW "floatingips",
                "{'floatingip':{'floating_network_id':'%s','floating_ip_address':'203.0.113.50'}}",
                w.external);
    r = test_expect(t, 200, "p1", "GET", NW "floatingips", NULL);
    assert_int_equal(json_array_size(test_at(&r, "floatingips")),
                     0); /* nothing was left by the refused ones */
    test_expect(t, 409, "admin", "DELETE", path(t, "networks/%s", w.external), NULL);
}

/* ---------------------------------------------------------------- agents and servers */

static const char *add_host(struct test_api *t)
{
    AUTO_TXN struct tx *tx = NULL;
    const char *id;
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    assert_ok(&t->cx, fleet_host_add(&t->cx, tx, "h1", "a-secret-long-enough", &id));
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
    return id;
}

/* A call as compute has one: p1 creates a server. */
static struct call as_p1(struct test_api *t, struct tx *tx)
{
    static const char *const roles[] = {"member", "reader", NULL};
    static struct actor actor = {
        .user_id = "user-p1", .project_id = "p1", .roles = roles, .member = true};
    return (struct call){.cx = &t->cx,
                         .api = t->api,
                         .store = t->store,
                         .tx = tx,
                         .actor = &actor,
                         .service = &network_service};
}

static struct server_port attach(struct test_api *t, const char *host, const char *server,
                                 const char *net, const char *port)
{
    AUTO_TXN struct tx *tx = NULL;
    struct server_port p;
    struct port_request rq = {.network_id = net, .port_id = port};
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    struct call c = as_p1(t, tx);
    assert_ok(&t->cx, network_port_attach(&c, &rq, NULL, 0, server, "guest", host, "nova", &p));
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
    return p;
}

static json_t *view_of(struct test_api *t, const struct fleet_kind *kind, const char *host,
                       const char *id)
{
    AUTO_TXN struct tx *tx = NULL;
    struct buf b;
    struct jw w;
    bool present = false;
    json_t *j = NULL;
    buf_init(&b, t->cx.arena);
    jw_init(&w, &b);
    assert_ok(&t->cx, tx_read(&t->cx, t->store, &tx));
    assert_ok(&t->cx, kind->view(&t->cx, tx, host, id, &w, &present));
    if (present)
        assert_ok(&t->cx, json_read(&t->cx, buf_cstr(&b), b.len, &j));
    return j;
}

static void report(struct test_api *t, const struct fleet_kind *kind, const char *id,
                   const char *observed)
{
    AUTO_TXN struct tx *tx = NULL;
    json_t *j;
    assert_ok(&t->cx, json_read(&t->cx, observed, strlen(observed), &j));
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    assert_ok(&t->cx, kind->report(&t->cx, tx, "h", id, j));
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
}

static const char *text(struct test_api *t, json_t *j, const char *at)
{
    struct test_reply r = {.json = j};
    return test_str(t, &r, at);
}

#define SERVER "11111111-2222-4333-8444-555555555555"
#define SERVER2 "11111111-2222-4333-8444-666666666666"

static void specs(void **state)
{
    struct test_api *t = *state;
    const char *host = add_host(t);
    struct world w = make_world(t, "p1");
    struct server_port p = attach(t, host, SERVER, w.net, NULL),
                       q = attach(t, host, SERVER2, w.net, NULL);
    assert_string_equal(p.network_name, "n");
    assert_string_equal(p.ips[0].ip, "10.0.0.3");
    assert_string_equal(p.security_groups[0], "default");
    assert_int_equal(p.mtu, 1450);
    assert_false(p.preserve);
    struct test_reply r =
        test_expect(t, 201, "p1", "POST", NW "floatingips",
                    "{'floatingip':{'floating_network_id':'%s','port_id':'%s'}}", w.external, p.id);
    const char *fip = test_str(t, &r, "floatingip.id");

    json_t *net = view_of(t, &nw_kind_network, host, w.net);
    assert_string_equal(text(t, net, "id"), w.net);
    assert_string_equal(text(t, net, "external"), "false");
    assert_string_equal(text(t, net, "subnets[0].dhcp_ip"), "10.0.0.2");
    assert_string_equal(text(t, net, "subnets[0].gateway_ip"), "10.0.0.1");
    assert_int_equal(json_array_size(json_get(net, "ports")),
                     2); /* neither DHCP's nor the router's */
    assert_string_equal(text(t, net, "ports[0].tap"), p.tap);
    assert_string_equal(text(t, net, "ports[0].device_id"), SERVER);
    assert_string_equal(text(t, net, "ports[0].hostname"), "guest");
    assert_string_equal(text(t, net, "ports[0].port_security"), "true");
    /* The default group's rules; the remote group's came as the members' addresses. */
    assert_int_equal(json_array_size(json_get(json_array_get(json_get(net, "ports"), 0), "rules")),
                     4);
    size_t with_members = 0;
    for (size_t i = 0; i < 4; i++) {
        const char *remotes =
            text(t, net, arena_printf(t->cx.arena, "ports[0].rules[%zu].remotes", i));
        with_members += strstr(remotes, "\"10.0.0.3\"") && strstr(remotes, q.ips[0].ip);
    }
    assert_int_equal(with_members, 1);

    json_t *router = view_of(t, &nw_kind_router, host, w.router);
    assert_string_equal(text(t, router, "external.ip"), "203.0.113.2");
    assert_string_equal(text(t, router, "external.prefix"), "24");
    assert_string_equal(text(t, router, "external.gateway"), "203.0.113.1");
    assert_string_equal(text(t, router, "interfaces[0].ips[0].ip"), "10.0.0.1");
    assert_string_equal(text(t, router, "interfaces[0].ips[0].prefix"), "24");
    assert_string_equal(text(t, router, "floating[0].floating_ip"), "203.0.113.3");
    assert_string_equal(text(t, router, "floating[0].fixed_ip"), "10.0.0.3");
    assert_string_equal(text(t, view_of(t, &nw_kind_network, host, w.external), "external"),
                        "true");
    /* Nobody's network: no guest, no router. */
    assert_null(view_of(t, &nw_kind_network, host, make_network(t, "p1", "idle")));

    report(t, &nw_kind_router, w.router, "{\"revision\":1,\"error\":null}");
    report(t, &nw_kind_network, w.net, "{\"revision\":1,\"error\":null}");
    r = test_expect(t, 200, "p1", "GET", path(t, "floatingips/%s", fip), NULL);
    assert_string_equal(test_str(t, &r, "floatingip.status"), "ACTIVE");
    r = test_expect(t, 200, "p1", "GET", path(t, "ports?network_id=%s&status=ACTIVE", w.net), NULL);
    assert_int_equal(json_array_size(test_at(&r, "ports")),
                     2); /* DHCP's and the router's; guests' by their agent */
    report(t, &nw_kind_router, w.router, "{\"revision\":1,\"error\":\"no such device\"}");
    r = test_expect(t, 200, "p1", "GET", path(t, "routers/%s", w.router), NULL);
    assert_string_equal(test_str(t, &r, "router.status"), "ERROR");
}

static const char *status_of(struct test_api *t, const char *floatingip)
{
    struct test_reply r =
        test_expect(t, 200, "p1", "GET", path(t, "floatingips/%s", floatingip), NULL);
    return test_str(t, &r, "floatingip.status");
}

/* Floating IPs of a router that was taken off its host lead nowhere once the host has let go. */
static void taken_off_its_host(void **state)
{
    struct test_api *t = *state;
    const char *host = add_host(t);
    struct world w = make_world(t, "p1");
    struct server_port p = attach(t, host, SERVER, w.net, NULL);
    struct test_reply r =
        test_expect(t, 201, "p1", "POST", NW "floatingips",
                    "{'floatingip':{'floating_network_id':'%s','port_id':'%s'}}", w.external, p.id);
    const char *fip = test_str(t, &r, "floatingip.id");
    report(t, &nw_kind_router, w.router, "{\"revision\":1,\"error\":null}");
    /* While it is to be there: it will be again. */
    report(t, &nw_kind_router, w.router, "{\"revision\":2,\"absent\":true}");
    assert_string_equal(status_of(t, fip), "ACTIVE");
    r = test_expect(t, 200, "admin", "GET", path(t, "routers/%s/l3-agents", w.router), NULL);
    const char *l3 = test_str(t, &r, "agents[0].id");
    test_expect(t, 204, "admin", "DELETE", path(t, "agents/%s/l3-routers/%s", l3, w.router), NULL);
    report(t, &nw_kind_router, w.router, "{\"revision\":3,\"absent\":true}");
    assert_string_equal(status_of(t, fip), "DOWN");
    r = test_expect(t, 200, "admin", "GET", path(t, "ports?device_id=%s&status=ACTIVE", w.router),
                    NULL);
    assert_string_equal(test_str(t, &r, "ports"), "[]");
    test_expect(t, 201, "admin", "POST", path(t, "agents/%s/l3-routers", l3), "{'router_id':'%s'}",
                w.router);
    report(t, &nw_kind_router, w.router, "{\"revision\":4,\"error\":null}");
    assert_string_equal(status_of(t, fip), "ACTIVE");
}

/* Rows of the feed for this item, so far. */
static int64_t revision_of(struct test_api *t, const char *host, const char *id)
{
    AUTO_TXN struct tx *tx = NULL;
    struct buf b;
    struct jw w;
    bool any = false;
    json_t *j, *item;
    size_t i;
    buf_init(&b, t->cx.arena);
    jw_init(&w, &b);
    assert_ok(&t->cx, tx_read(&t->cx, t->store, &tx));
    assert_ok(&t->cx, fleet_items(&t->cx, tx, host, 0, &w, &any));
    assert_ok(&t->cx, json_read(&t->cx, buf_cstr(&b), b.len, &j));
    json_array_foreach(json_object_get(j, "items"), i, item)
    {
        if (str_eq(json_get_str(item, "id"), id))
            return json_get_int(item, "revision", -1);
    }
    return -1;
}

static void touches(void **state)
{
    struct test_api *t = *state;
    const char *host = add_host(t);
    struct world w = make_world(t, "p1");
    int64_t before = revision_of(t, host, w.net), after;
    const char *unbound = make_port(t, "p1", w.net);
    test_expect(t, 200, "p1", "PUT", path(t, "ports/%s", unbound), "{'port':{'name':'x'}}");
    assert_int_equal(revision_of(t, host, w.net), before); /* nobody's business yet */
    struct server_port p = attach(t, host, SERVER, NULL, unbound);
    assert_true(p.preserve);
    after = revision_of(t, host, w.net);
    assert_true(after > before);
    before = after;
    struct test_reply groups = test_expect(t, 200, "p1", "GET", NW "security-groups", NULL);
    const char *group = test_str(t, &groups, "security_groups[0].id");
    test_expect(
        t, 201, "p1", "POST", NW "security-group-rules",
        "{'security_group_rule':{'security_group_id':'%s','direction':'ingress','protocol':'tcp',"
        "'port_range_min':22,'port_range_max':22}}",
        group);
    after = revision_of(t, host, w.net);
    assert_true(after > before);
    /* A new member of a group that this network's rules name, on another network. */
    before = after;
    const char *other = make_network(t, "p1", "m");
    make_subnet(t, "p1", other, "10.3.0.0/24");
    attach(t, host, SERVER2, other, NULL);
    after = revision_of(t, host, w.net);
    assert_true(after > before);
    int64_t router = revision_of(t, host, w.router);
    test_expect(t, 201, "p1", "POST", NW "floatingips",
                "{'floatingip':{'floating_network_id':'%s','port_id':'%s'}}", w.external, p.id);
    assert_true(revision_of(t, host, w.router) > router);
}

static void server_ports(void **state)
{
    struct test_api *t = *state;
    const char *host = add_host(t);
    struct world w = make_world(t, "p1");
    const char *mine = make_port(t, "p1", w.net);
    attach(t, host, SERVER, NULL, mine);
    attach(t, host, SERVER, w.net, NULL);
    /* A stranger's port that claims the server's id is none of its ports. */
    const char *theirs = make_network(t, "p2", "n");
    test_expect(t, 201, "p2", "POST", NW "ports",
                "{'port':{'network_id':'%s','device_id':'" SERVER "'}}", theirs);
    AUTO_TXN struct tx *tx = NULL;
    struct server_port *ports;
    struct port_request rq = {.port_id = mine};
    size_t n;
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    assert_ok(&t->cx,
              network_ports_of(&t->cx, tx, (const char *[]){SERVER, SERVER2}, 2, &ports, &n));
    assert_int_equal(n, 2);
    struct server_port *shown;
    assert_ok(&t->cx,
              network_ports_shown(&t->cx, tx, (const char *[]){SERVER, SERVER2}, 2, &shown, &n));
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(shown[i].id, ports[i].id);
        assert_string_equal(shown[i].server_id, SERVER);
        assert_string_equal(shown[i].network_name, ports[i].network_name);
        assert_string_equal(shown[i].mac, ports[i].mac);
        assert_int_equal(shown[i].n_ips, ports[i].n_ips);
        assert_string_equal(shown[i].ips[0].ip, ports[i].ips[0].ip);
        assert_int_equal(shown[i].n_security_groups, 1);
        assert_string_equal(shown[i].security_groups[0], "default");
    }
    struct call c = as_p1(t, tx);
    struct server_port out;
    assert_err(&t->cx, ERR_CONFLICT,
               network_port_attach(&c, &rq, NULL, 0, SERVER2, "g", host, "nova", &out));
    rq = (struct port_request){.network_id = theirs};
    assert_err(&t->cx, ERR_INVALID,
               network_port_attach(&c, &rq, NULL, 0, SERVER2, "g", host, "nova", &out));
    rq = (struct port_request){.network_id = w.external};
    assert_err(&t->cx, ERR_FORBIDDEN,
               network_port_attach(&c, &rq, NULL, 0, SERVER2, "g", host, "nova", &out));
    const char *net = NULL, **ids;
    assert_ok(&t->cx, network_default_for(&c, &net));
    assert_string_equal(net, w.net);
    assert_err(&t->cx, ERR_INVALID,
               network_groups_resolve(&c, (const char *[]){"nonsense"}, 1, &ids));
    assert_ok(&t->cx, network_groups_resolve(&c, (const char *[]){"default"}, 1, &ids));
    assert_err(&t->cx, ERR_NOT_FOUND, network_group_on_server(&c, SERVER, "nonsense", true));
    assert_ok(&t->cx, network_group_on_server(&c, SERVER, "default", false));
    assert_err(&t->cx, ERR_NOT_FOUND, network_group_on_server(&c, SERVER, "default", false));
    assert_ok(&t->cx, network_group_on_server(&c, SERVER, "default", true));
    assert_ok(&t->cx, network_port_plugged(&t->cx, tx, mine, true));
    struct buf b;
    struct jw jw;
    json_t *data;
    buf_init(&b, t->cx.arena);
    jw_init(&jw, &b);
    assert_ok(&t->cx, network_data_write(&t->cx, tx, SERVER, &jw));
    assert_ok(&t->cx, json_read(&t->cx, buf_cstr(&b), b.len, &data));
    assert_string_equal(text(t, data, "networks[0].type"), "ipv4_dhcp");
    assert_string_equal(text(t, data, "networks[0].link"), text(t, data, "links[0].id"));
    assert_int_equal(json_array_size(json_get(data, "links")), 2);
    /* Given back exactly once, however often it is asked. */
    assert_ok(&t->cx, network_ports_release(&t->cx, tx, SERVER));
    assert_ok(&t->cx, network_ports_release(&t->cx, tx, SERVER));
    assert_ok(&t->cx, network_port_detach(&t->cx, tx, mine));
    assert_ok(&t->cx, network_port_detach(&t->cx, tx, ports[1].id));
    assert_ok(&t->cx, network_ports_of(&t->cx, tx, (const char *[]){SERVER}, 1, &ports, &n));
    assert_int_equal(n, 0);
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
    struct test_reply r = test_expect(t, 200, "p1", "GET", path(t, "ports/%s", mine), NULL);
    assert_string_equal(test_str(t, &r, "port.device_id"), "");
    assert_string_equal(test_str(t, &r, "port.status"), "DOWN");
    r = test_expect(t, 200, "p2", "GET", NW "ports?device_id=" SERVER, NULL);
    assert_int_equal(json_array_size(test_at(&r, "ports")), 1); /* untouched */
    r = test_expect(t, 200, "admin", "GET", path(t, "network-ip-availabilities/%s", w.net), NULL);
    assert_string_equal(test_str(t, &r, "network_ip_availability.used_ips"),
                        "3"); /* DHCP, router, the kept port */
}

/* Groups as compute's older API makes, changes and deletes them. */
static void groups_for_compute(void **state)
{
    struct test_api *t = *state;
    struct call c = as_p1(t, NULL);
    const char *id, *theirs, *other;
    struct test_reply r = test_expect(t, 201, "p2", "POST", NW "security-groups",
                                      "{'security_group':{'name':'theirs'}}");
    theirs = test_str(t, &r, "security_group.id");
    assert_ok(&t->cx, network_default_group_ensure(&c));
    assert_ok(&t->cx, network_default_group_ensure(&c));
    r = test_expect(t, 200, "p1", "GET", NW "security-groups?name=default", NULL);
    assert_int_equal(json_array_size(test_at(&r, "security_groups")), 1);
    const char *dflt = test_str(t, &r, "security_groups[0].id");
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    c = as_p1(t, tx);
    assert_ok(&t->cx, network_group_create(&c, " a ", "text", &id));
    assert_err(&t->cx, ERR_INVALID, network_group_create(&c, "default", "", &other));
    assert_ok(&t->cx, network_group_update(&c, id, "b", "more"));
    assert_err(&t->cx, ERR_INVALID, network_group_update(&c, id, "default", ""));
    assert_err(&t->cx, ERR_NOT_FOUND, network_group_update(&c, theirs, "mine", ""));
    assert_err(&t->cx, ERR_NOT_FOUND, network_group_delete(&c, theirs));
    assert_err(&t->cx, ERR_INVALID, network_group_delete(&c, dflt));
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
    r = test_expect(t, 200, "p1", "GET", path(t, "security-groups/%s", id), NULL);
    assert_string_equal(test_str(t, &r, "security_group.name"), "b");
    assert_string_equal(test_str(t, &r, "security_group.description"), "more");
    assert_int_equal(json_array_size(test_at(&r, "security_group.security_group_rules")), 2);
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    c = as_p1(t, tx);
    assert_ok(&t->cx, network_group_delete(&c, id));
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
    test_expect(t, 404, "p1", "GET", path(t, "security-groups/%s", id), NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NW_TEST(router_life),
        NW_TEST(router_refusals),
        NW_TEST(floating_life),
        NW_TEST(floating_refusals),
        NW_TEST(specs),
        NW_TEST(touches),
        NW_TEST(server_ports),
        NW_TEST(groups_for_compute),
        NW_TEST(taken_off_its_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
