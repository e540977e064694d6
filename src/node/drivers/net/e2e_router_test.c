/* SPDX-License-Identifier: EUPL-1.2 */
/* What a router does beyond plain ways: ports of a floating IP forwarded to several guests, address
 * scopes kept apart. Root only. */
#include "node/drivers/net/e2e.h"

#include <poll.h>

#define NET_A "aaaaaaaa-11"
#define NET_B "bbbbbbbb-22"
#define NET_X "eeeeeeee-99"
#define ROUTER "5a5a5a5a-00"
#define TAIL "11-4000-8000-000000000000" /* makes a UUID of the first characters */
#define SCOPE_1 "55555555-01" TAIL
#define SCOPE_2 "55555555-02" TAIL
#define RULES "{'direction':'egress','ethertype':'IPv4'},{'direction':'ingress','ethertype':'IPv4'}"

static void network(struct stage *s, const char *id, int third, const char *port, const char *mac)
{
    const char *json =
        printed(s,
                "{'id':'%s" TAIL "','mtu':1450,'external':false,'subnets':[{'id':'44444444-0%d" TAIL
                "','cidr':'10.%d.0.0/24','ip_version':4,'gateway_ip':'10.%d.0.1',"
                "'enable_dhcp':true,'dhcp_ip':'10.%d.0.2','dns_nameservers':[],'host_routes':[],"
                "'ipv6_ra_mode':null,'ipv6_address_mode':null}],'ports':[{'id':'%s" TAIL "',"
                "'mac':'%s','tap':'tap%s','device_id':'%s" TAIL "','admin_state_up':true,"
                "'port_security':true,'fixed_ips':[{'ip_address':'10.%d.0.11','subnet_id':"
                "'44444444-0%d" TAIL "'}],'allowed_address_pairs':[],'extra_dhcp_opts':[],"
                "'rules':[" RULES "]}]}",
                id, third, third, third, third, port, mac, port, port, third, third);
    assert_ok(&s->cx, network_up(&s->cx, &s->net, network_of(s, json)));
}

static void route(struct stage *s, const char *scope_a, const char *scope_b, const char *scope_x,
                  const char *floating)
{
    const char *json = printed(
        s,
        "{'id':'" ROUTER TAIL "','admin_state_up':true,'enable_snat':true,'external':{"
        "'network_id':'" NET_X TAIL "','port_id':'ec5a5a5a-00" TAIL "','ip':'203.0.113.10',"
        "'prefix':24,'gateway':'203.0.113.1','mac':'fa:16:3e:00:ee:5a','scope':%s},'interfaces':["
        "{'port_id':'1f5a5a5a-00" TAIL "','network_id':'" NET_A TAIL "','mac':'fa:16:3e:00:ff:01',"
        "'ips':[{'ip':'10.0.0.1','prefix':24,'scope':%s}]},"
        "{'port_id':'2f5a5a5a-00" TAIL "','network_id':'" NET_B TAIL "','mac':'fa:16:3e:00:ff:02',"
        "'ips':[{'ip':'10.1.0.1','prefix':24,'scope':%s}]}],'floating':[%s],'routes':[]}",
        scope_x, scope_a, scope_b, floating);
    assert_ok(&s->cx, s->net.ops->router_apply(&s->cx, s->net.drv, router_of(s, json)));
}

static void two_networks(struct stage *s)
{
    const char *external = "{'id':'" NET_X TAIL "','mtu':1500,'external':true,'subnets':[],"
                           "'ports':[]}";
    assert_ok(&s->cx, network_up(&s->cx, &s->net, network_of(s, external)));
    network(s, NET_A, 0, "a1a1a1a1-00", "fa:16:3e:00:0a:01");
    network(s, NET_B, 1, "b1b1b1b1-00", "fa:16:3e:00:0b:01");
    guest_plug("cvt-a1", NET_A, "a1a1a1a1-00", "fa:16:3e:00:0a:01");
    guest_plug("cvt-b1", NET_B, "b1b1b1b1-00", "fa:16:3e:00:0b:01");
    assert_true(guest_dhcp(s, "cvt-a1", "fa:16:3e:00:0a:01"));
    assert_true(guest_dhcp(s, "cvt-b1", "fa:16:3e:00:0b:01"));
}

static char *forward(struct stage *s, int port, const char *to, int to_port)
{
    return printed(s,
                   "{'id':'f0f0f0f0-00" TAIL "','floating_ip':'203.0.113.101','fixed_ip':'%s',"
                   "'protocol':'tcp','floating_port':%d,'fixed_port':%d}",
                   to, port, to_port);
}

static int guests[2]; /* listen on port 22 of cvt-a1 and cvt-b1 */

/* Which of them a connection to the floating IP's port ends at: 0, 1; -1 at none. */
static int reached(const char *from, int port)
{
    struct pollfd p[] = {{.fd = guests[0], .events = POLLIN}, {.fd = guests[1], .events = POLLIN}};
    char peer[INET_ADDRSTRLEN];
    AUTO_FD int fd = tcp_connect(from, "203.0.113.101", port);
    if (fd < 0)
        return -1;
    assert_int_equal(poll(p, 2, E2E_WAIT_S * 1000), 1);
    int i = p[0].revents ? 0 : 1;
    AUTO_FD int accepted = tcp_accept(guests[i], peer);
    assert_true(accepted >= 0);
    return i;
}

static void test_forwarding(void **state)
{
    struct stage *s = *state;
    two_networks(s);
    route(
        s, "null", "null", "null",
        printed(s, "%s,%s", forward(s, 2201, "10.0.0.11", 22), forward(s, 2202, "10.1.0.11", 22)));
    AUTO_FD int a = guests[0] = tcp_listen("cvt-a1", 22);
    AUTO_FD int b = guests[1] = tcp_listen("cvt-b1", 22);
    assert_true(a >= 0 && b >= 0);
    assert_int_equal(reached(HOST_NS, 2201), 0);
    assert_int_equal(reached(HOST_NS, 2202), 1);
    if (stage_forwards_inside)
        assert_int_equal(reached("cvt-b1", 2201), 0); /* from behind the router, too */
    assert_true(cannot_connect(HOST_NS, "203.0.113.101", 22));
    assert_true(can_ping("cvt-a1", "203.0.113.1")); /* out by the router's own address */
    /* One goes to another guest, the other one away. */
    route(s, "null", "null", "null", forward(s, 2201, "10.1.0.11", 22));
    assert_int_equal(reached(HOST_NS, 2201), 1);
    assert_true(cannot_connect(HOST_NS, "203.0.113.101", 2202));
    route(s, "null", "null", "null", "");
    assert_true(cannot_connect(HOST_NS, "203.0.113.101", 2201));
}

static void test_scopes(void **state)
{
    struct stage *s = *state;
    two_networks(s);
    route(s, "null", "null", "null", "");
    assert_true(can_ping("cvt-a1", "10.1.0.11"));
    route(s, "'" SCOPE_1 "'", "'" SCOPE_1 "'", "null", "");
    assert_true(can_ping("cvt-a1", "10.1.0.11"));
    /* Between scopes nothing passes, but by an address of the outside. */
    route(s, "'" SCOPE_1 "'", "'" SCOPE_2 "'", "null",
          "{'id':'f0f0f0f0-00" TAIL "','floating_ip':'203.0.113.101','fixed_ip':'10.1.0.11'}");
    assert_true(cannot_ping("cvt-a1", "10.1.0.11"));
    assert_true(can_ping("cvt-a1", "203.0.113.101"));
    assert_true(can_ping("cvt-a1", "203.0.113.1"));
    route(s, "'" SCOPE_1 "'", "null", "null", "");
    assert_true(cannot_ping("cvt-b1", "10.0.0.11"));
    /* In the outside's own scope an address is what it is: no translation, and open to it. */
    sh(HOST_NS, "ip route add 10.0.0.0/24 via 203.0.113.10");
    sh(HOST_NS, "ip route add 10.1.0.0/24 via 203.0.113.10");
    assert_true(cannot_ping(HOST_NS, "10.0.0.11"));
    route(s, "'" SCOPE_1 "'", "'" SCOPE_2 "'", "'" SCOPE_1 "'", "");
    assert_true(can_ping(HOST_NS, "10.0.0.11"));
    assert_true(cannot_ping(HOST_NS, "10.1.0.11"));
    assert_true(can_ping("cvt-b1", "203.0.113.1"));
    sh(HOST_NS, "ip route del 10.0.0.0/24; ip route del 10.1.0.0/24");
    assert_true(cannot_ping("cvt-a1", "203.0.113.1")); /* its answers have no way back now */
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
    const struct CMUnitTest tests[] = {TEST(test_forwarding), TEST(test_scopes)};
    if (geteuid() != 0) {
        fprintf(stderr, "needs root: it makes network namespaces\n");
        return 77;
    }
    stage_arguments(&argc, argv);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, stage_group_setup, stage_group_teardown);
}
