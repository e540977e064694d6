/* SPDX-License-Identifier: EUPL-1.2 */
/* What networks and routers do for guests, by whichever driver. Root only. */
#include "node/drivers/net/e2e_specs.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void test_dhcp_and_metadata(void **state)
{
    struct stage *s = *state;
    const char *a = network_json(
        s, NET_A, port_json(s, PORT_A1, MAC_A1, ip4_json(s, "10.0.0.11"), ANY_OUT, NULL));
    apply_network(s, a);
    apply_network(
        s,
        network_json(s, NET_B, port_json(s, PORT_B1, MAC_B1, ip4_json(s, "10.0.0.11"), "", NULL)));
    guest_plug("cvt-a1", NET_A, PORT_A1, MAC_A1);
    guest_plug("cvt-b1", NET_B, PORT_B1, MAC_B1);
    assert_true(guest_dhcp(s, "cvt-a1", MAC_A1));
    expect_out("ip=10.0.0.11/24 host=host-a1 mtu=1450 ");
    expect_out("routes=169.254.169.254/32 10.0.0.2 192.0.2.0/24 10.0.0.254 0.0.0.0/0 10.0.0.1 ");
    expect_out("router=10.0.0.1 dns=9.9.9.9");
    assert_true(guest_dhcp(s, "cvt-b1", MAC_B1)); /* without any rule, too */
    expect_out("ip=10.0.0.11/24 host=host-b1");

    assert_int_equal(
        sh("cvt-a1", "curl -s -m 60 'http://169.254.169.254/openstack/latest/meta_data.json?x=1'"),
        0);
    assert_string_equal(sh_out, "you are 10.0.0.11");
    assert_string_equal(s->md_network, NET_A TAIL);
    assert_string_equal(s->md_path, "/openstack/latest/meta_data.json");
    assert_int_equal(sh("cvt-b1", "curl -s -m 60 http://169.254.169.254/b"), 0);
    assert_string_equal(s->md_network, NET_B TAIL);
    assert_string_equal(s->md_source, "10.0.0.11");
    assert_int_equal(sh("cvt-b1", "curl -s -m 60 -d secret http://169.254.169.254/p"), 0);
    assert_string_equal(sh_out, "you said secret");
    assert_int_equal(sh("cvt-b1", "curl -s -m 60 -d patience http://169.254.169.254/later"), 0);
    assert_string_equal(sh_out, "you said patience");
    sh("cvt-a1", "curl -s -m 60 -o /dev/null -w '%%{http_code}' http://169.254.169.254/absent");
    assert_string_equal(sh_out, "404");
    sh("cvt-a1", "curl -s -m 60 -o /dev/null -w '%%{http_code}' -X PUT http://169.254.169.254/");
    assert_string_equal(sh_out, "405");
    sh("cvt-a1", "curl -s -m 60 -o /dev/null -w '%%{http_code}' -H \"X: $(head -c 9000 /dev/zero | "
                 "tr '\\0' x)\" "
                 "http://169.254.169.254/");
    assert_string_equal(sh_out, "431");
    if (stage_link_local) {
        sh("cvt-a1", "curl -s -m 60 -g 'http://[fe80::a9fe:a9fe%%25eth0]/six'");
        assert_string_equal(s->md_path, "/six");
        assert_string_equal(s->md_source, "10.0.0.11"); /* the port's address */
    }
    /* Nothing else of the network's namespace answers. */
    assert_true(cannot_connect("cvt-a1", "10.0.0.2", 80));

    /* An unknown device gets no address; a port that changes hands gives its address on. */
    assert_true(guest_dhcp_refused(s, "cvt-a1", "fa:16:3e:00:0a:77"));
    apply_network(
        s, network_json(s, NET_A,
                        port_json(s, PORT_A1, MAC_A2, ip4_json(s, "10.0.0.11"), ANY_OUT, NULL)));
    assert_true(guest_dhcp(s, "cvt-a1", MAC_A2));
    expect_out("ip=10.0.0.11/24");
    /* The agent starts anew: the listener comes back with the next apply. */
    apply_network(s, a);
}

static void test_groups(void **state)
{
    struct stage *s = *state;
    two_guests(s, ANY_OUT, ANY_OUT);
    plug_two(s);
    assert_true(cannot_ping("cvt-a1", "10.0.0.12")); /* nothing comes in by default */
    assert_true(can_ping("cvt-a1", "10.0.0.2"));     /* the network's own address does answer */

    two_guests(s, ANY_OUT, ANY_OUT ",{'direction':'ingress','ethertype':'IPv4','protocol':'icmp'}");
    assert_true(can_ping("cvt-a1", "10.0.0.12")); /* answers come back: stateful */
    assert_true(cannot_ping("cvt-a2", "10.0.0.11"));
    two_guests(s, ANY_OUT,
               ANY_OUT
               ",{'direction':'ingress','ethertype':'IPv4','protocol':'icmp','port_min':13}");
    assert_true(cannot_ping("cvt-a1", "10.0.0.12"));
    two_guests(s, "", ANY_OUT "," ANY_IN);
    assert_true(cannot_ping("cvt-a1", "10.0.0.12")); /* egress refused */
    two_guests(s, "{'direction':'egress','ethertype':'IPv4','remotes':['10.0.0.12']}", ANY_IN);
    assert_true(can_ping("cvt-a1", "10.0.0.12"));

    /* Remote groups, and a remote group without members. */
    const char *group =
        ANY_OUT ",{'direction':'ingress','ethertype':'IPv4','protocol':'1','remotes':[%s]}";
    two_guests(s, ANY_OUT, printed(s, group, "'10.0.0.11','10.0.0.99'"));
    assert_true(can_ping("cvt-a1", "10.0.0.12"));
    two_guests(s, ANY_OUT, printed(s, group, "'10.0.0.98','10.0.0.99'"));
    assert_true(cannot_ping("cvt-a1", "10.0.0.12"));
    two_guests(s, ANY_OUT, printed(s, group, ""));
    assert_true(cannot_ping("cvt-a1", "10.0.0.12"));

    /* TCP ports. */
    two_guests(s, ANY_OUT,
               "{'direction':'ingress','ethertype':'IPv4','protocol':'tcp','port_min':7000,'port_"
               "max':7010}");
    AUTO_FD int in = tcp_listen("cvt-a2", 7005), out = tcp_listen("cvt-a2", 7011);
    AUTO_FD int let_in = tcp_connect("cvt-a1", "10.0.0.12", 7005);
    assert_true(in >= 0 && out >= 0 && let_in >= 0);
    assert_true(cannot_connect("cvt-a1", "10.0.0.12", 7011));

    /* A port that is down, and one that the network doesn't know (any more). */
    two_guests(s, ANY_OUT "," ANY_IN, ANY_OUT "," ANY_IN);
    assert_true(can_ping("cvt-a1", "10.0.0.12"));
    apply_network(s, network_json(s, NET_A,
                                  port_json(s, PORT_A1, MAC_A1, ip4_json(s, "10.0.0.11"),
                                            ANY_OUT "," ANY_IN, NULL)));
    assert_true(cannot_ping("cvt-a1", "10.0.0.12"));
    assert_true(guest_dhcp_refused(s, "cvt-a2", MAC_A2));
}

static void test_spoofing(void **state)
{
    struct stage *s = *state;
    const char *open = ANY_OUT "," ANY_IN;
    two_guests(s, open, open);
    plug_two(s);
    struct {
        const char *what;
        bool passes;
        struct frame frame;
    } cases[] = {
        {"its own address", true, frame_udp(MAC_A1, MAC_A2, "10.0.0.11", "10.0.0.12", 1000, 1000)},
        {"another IP", false, frame_udp(MAC_A1, MAC_A2, "10.0.0.13", "10.0.0.12", 1000, 1000)},
        {"the gateway's IP", false, frame_udp(MAC_A1, MAC_A2, "10.0.0.1", "10.0.0.12", 1000, 1000)},
        {"another MAC", false,
         frame_udp("fa:16:3e:00:0a:99", MAC_A2, "10.0.0.11", "10.0.0.12", 1000, 1000)},
        {"a DHCP server", false, frame_udp(MAC_A1, MAC_A2, "10.0.0.11", "10.0.0.12", 67, 68)},
        {"ARP for itself", true, frame_arp(MAC_A1, MAC_A1, "10.0.0.11", "10.0.0.12")},
        {"ARP for another", false, frame_arp(MAC_A1, MAC_A1, "10.0.0.1", "10.0.0.12")},
        {"ARP of another MAC", false, frame_arp(MAC_A1, MAC_A2, "10.0.0.11", "10.0.0.12")},
        {"a router advertisement", false,
         frame_icmp6(MAC_A1, "fe80::f816:3eff:fe00:a01", "ff02::1", 134, "fe80::1")},
        {"an advertisement of itself", stage_link_local,
         frame_icmp6(MAC_A1, "fe80::f816:3eff:fe00:a01", "ff02::1", 136,
                     "fe80::f816:3eff:fe00:a01")},
        {"an advertisement of another", false,
         frame_icmp6(MAC_A1, "fe80::f816:3eff:fe00:a01", "ff02::1", 136,
                     "fe80::f816:3eff:fe00:a02")},
        {"a foreign link-local", false,
         frame_icmp6(MAC_A1, "fe80::1", "ff02::1", 136, "fe80::f816:3eff:fe00:a01")},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct frame tagged = frame_tagged(&cases[i].frame);
        if (cases[i].passes && !frame_passes("cvt-a1", "cvt-a2", &cases[i].frame))
            fail_msg("%s: does not pass", cases[i].what);
        if (!cases[i].passes && !frame_stopped("cvt-a1", "cvt-a2", &cases[i].frame))
            fail_msg("%s: passes", cases[i].what);
        if (!frame_stopped("cvt-a1", "cvt-a2", &tagged))
            fail_msg("%s, tagged: passes", cases[i].what);
    }
    /* Address pairs: a prefix, and another MAC. */
    struct frame pair = frame_udp(MAC_A1, MAC_A2, "10.7.0.9", "10.0.0.12", 1000, 1000);
    struct frame pair_mac =
        frame_udp("fa:16:3e:00:0a:99", MAC_A2, "10.8.0.1", "10.0.0.12", 1000, 1000);
    assert_true(frame_stopped("cvt-a1", "cvt-a2", &pair));
    const char *pairs =
        "{'ip_address':'10.7.0.0/16'},{'ip_address':'10.8.0.1','mac_address':'fa:16:3e:00:0a:99'}";
    apply_network(
        s,
        network_json(s, NET_A,
                     printed(s, "%s,%s",
                             port_json(s, PORT_A1, MAC_A1, ip4_json(s, "10.0.0.11"), open, pairs),
                             port_json(s, PORT_A2, MAC_A2, ip4_json(s, "10.0.0.12"), open, NULL))));
    assert_true(frame_passes("cvt-a1", "cvt-a2", &pair));
    assert_true(frame_passes("cvt-a1", "cvt-a2", &pair_mac));
    /* Without port security everything passes, but not into a port that has it. */
    apply_network(
        s,
        network_json(
            s, NET_A,
            printed(s, "%s,%s", port_json(s, PORT_A1, MAC_A1, ip4_json(s, "10.0.0.11"), "", "off"),
                    port_json(s, PORT_A2, MAC_A2, ip4_json(s, "10.0.0.12"), ANY_OUT, NULL))));
    assert_true(frame_stopped("cvt-a1", "cvt-a2", &cases[0].frame));
    struct frame tagged = frame_tagged(&cases[0].frame);
    assert_true(frame_stopped("cvt-a1", "cvt-a2", &tagged));
    apply_network(
        s,
        network_json(s, NET_A,
                     printed(s, "%s,%s",
                             port_json(s, PORT_A1, MAC_A1, ip4_json(s, "10.0.0.11"), "", "off"),
                             port_json(s, PORT_A2, MAC_A2, ip4_json(s, "10.0.0.12"), "", "off"))));
    assert_true(frame_passes("cvt-a1", "cvt-a2", &cases[1].frame));
    assert_true(frame_passes("cvt-a1", "cvt-a2", &cases[3].frame));
    assert_true(frame_passes("cvt-a1", "cvt-a2", &tagged));
}

/* A connection to port 22 of this address ends at this guest. */
static void assert_reaches(const char *from, const char *to, const char *guest)
{
    char peer[INET_ADDRSTRLEN];
    AUTO_FD int listener = tcp_listen(guest, 22);
    AUTO_FD int fd = tcp_connect(from, to, 22);
    assert_true(fd >= 0);
    AUTO_FD int accepted = tcp_accept(listener, peer);
    assert_true(accepted >= 0);
}

/* A floating IP taken away is away, also for who is connected; the other one's connections stay. */
static void floating_taken_away(struct stage *s)
{
    static const char *const guests[] = {"cvt-a1", "cvt-a2"};
    static const char *const addresses[] = {"203.0.113.101", "203.0.113.102"};
    char peer[INET_ADDRSTRLEN];
    int listeners[2], from[2], to[2];
    struct pollfd arrives[2];
    for (int i = 0; i < 2; i++) {
        listeners[i] = tcp_listen(guests[i], 7000);
        from[i] = tcp_connect(HOST_NS, addresses[i], 7000);
        assert_true(from[i] >= 0);
        to[i] = tcp_accept(listeners[i], peer);
        arrives[i] = (struct pollfd){.fd = to[i], .events = POLLIN};
    }
    apply_router(s, router_json(s, "5a5a5a5a-00", NET_A, "203.0.113.10",
                                floating_json(s, "203.0.113.102", "10.0.0.12")));
    for (int i = 0; i < 2; i++)
        assert_int_equal(write(from[i], "x", 1), 1);
    assert_int_equal(poll(&arrives[1], 1, E2E_WAIT_S * 1000), 1);
    assert_int_equal(poll(&arrives[0], 1, 500), 0);
    for (int i = 0; i < 2; i++) {
        close(listeners[i]);
        close(from[i]);
        close(to[i]);
    }
}

static void test_router(void **state)
{
    struct stage *s = *state;
    const char *open = ANY_OUT "," ANY_IN;
    external_network(s);
    two_guests(s, open, open);
    apply_network(
        s, network_json(s, NET_B,
                        port_json(s, PORT_B1, MAC_B1, ip4_json(s, "10.0.0.11"), open, NULL)));
    plug_two(s);
    guest_plug("cvt-b1", NET_B, PORT_B1, MAC_B1);
    assert_true(guest_dhcp(s, "cvt-b1", MAC_B1));
    apply_router(s, router_json(s, "5a5a5a5a-00", NET_A, "203.0.113.10", ""));
    apply_router(s, router_json(s, "5b5b5b5b-00", NET_B, "203.0.113.20", ""));

    /* Out by source NAT; the host sees the router. */
    assert_true(can_ping("cvt-a1", "203.0.113.1"));
    assert_true(can_ping("cvt-b1", "203.0.113.1"));
    char peer[INET_ADDRSTRLEN];
    AUTO_FD int host = tcp_listen(HOST_NS, 8000);
    AUTO_FD int to_host = tcp_connect("cvt-a1", "203.0.113.1", 8000);
    assert_true(to_host >= 0);
    AUTO_FD int by_router = tcp_accept(host, peer);
    assert_true(by_router >= 0);
    assert_string_equal(peer, "203.0.113.10");
    assert_int_equal(sh(HOST_NS, "ip neigh show 203.0.113.10 | grep -q fa:16:3e:00:ee:5a"), 0);
    assert_true(can_ping("cvt-a1", "169.254.169.254")); /* metadata stays in the network */

    /* From outside nobody reaches the inside, not even by a route through the router. */
    sh(HOST_NS, "ip route add 10.0.0.0/24 via 203.0.113.10");
    assert_true(cannot_ping(HOST_NS, "10.0.0.11"));
    sh(HOST_NS, "ip route del 10.0.0.0/24");

    /* Floating IPs. */
    apply_router(s, router_json(s, "5a5a5a5a-00", NET_A, "203.0.113.10",
                                printed(s, "%s,%s", floating_json(s, "203.0.113.101", "10.0.0.11"),
                                        floating_json(s, "203.0.113.102", "10.0.0.12"))));
    apply_router(s, router_json(s, "5b5b5b5b-00", NET_B, "203.0.113.20",
                                floating_json(s, "203.0.113.103", "10.0.0.11")));
    assert_true(can_ping(HOST_NS, "203.0.113.101"));
    assert_reaches(HOST_NS, "203.0.113.101", "cvt-a1");
    assert_reaches(HOST_NS, "203.0.113.103", "cvt-b1");
    assert_true(can_ping("cvt-a1", "203.0.113.102")); /* hairpin: on the same network */
    assert_true(can_ping("cvt-a1", "203.0.113.101")); /* itself */
    assert_true(can_ping("cvt-a1", "203.0.113.103")); /* the other tenant's, from outside */
    /* The guest speaks with its floating IP. */
    AUTO_FD int again = tcp_connect("cvt-a1", "203.0.113.1", 8000);
    assert_true(again >= 0);
    AUTO_FD int by_floating = tcp_accept(host, peer);
    assert_true(by_floating >= 0);
    assert_string_equal(peer, "203.0.113.101");
    floating_taken_away(s);
    apply_router(s, router_json(s, "5a5a5a5a-00", NET_A, "203.0.113.10", ""));
    assert_true(cannot_ping(HOST_NS, "203.0.113.101"));
    assert_true(can_ping("cvt-a1", "203.0.113.1"));
    assert_true(router_has_route("5a5a5a5a-00", "198.51.100.0/24", "10.0.0.12"));
    /* Down, and up again. */
    const char *json = router_json(s, "5a5a5a5a-00", NET_A, "203.0.113.10", "");
    struct spec_router *down = router_of(s, json);
    down->admin_state_up = false;
    assert_ok(&s->cx, s->net.ops->router_apply(&s->cx, s->net.drv, down));
    assert_true(cannot_ping("cvt-a1", "203.0.113.1"));
    assert_true(can_ping("cvt-a1", "10.0.0.12"));
    apply_router(s, json);
    assert_true(can_ping("cvt-a1", "203.0.113.1"));
}

static void test_router_without_network(void **state)
{
    struct stage *s = *state;
    external_network(s);
    struct spec_router *spec =
        router_of(s, router_json(s, "5a5a5a5a-00", NET_A, "203.0.113.10", ""));
    assert_err(&s->cx, ERR_UNAVAILABLE, s->net.ops->router_apply(&s->cx, s->net.drv, spec));
    two_guests(s, ANY_OUT, ANY_OUT);
    assert_ok(&s->cx, s->net.ops->router_apply(&s->cx, s->net.drv, spec));
    /* The network made anew under a router that stands: the next pass joins them again. */
    assert_ok(&s->cx, s->net.ops->network_remove(&s->cx, s->net.drv, NET_A TAIL));
    two_guests(s, ANY_OUT, ANY_OUT);
    assert_ok(&s->cx, s->net.ops->router_apply(&s->cx, s->net.drv, spec));
    plug_two(s);
    assert_true(can_ping("cvt-a1", "203.0.113.1"));
}

/* A router in network A with two IPv6 subnets, or one. */
static void ipv6_network(struct stage *s, const char *mode1, const char *mode2)
{
    const char *subnet =
        "{'id':'%s" TAIL "','cidr':'%s','ip_version':6,'gateway_ip':'%s','enable_dhcp':true,"
        "'dhcp_ip':'%s','dns_nameservers':[],'host_routes':[],'ipv6_ra_mode':'%s',"
        "'ipv6_address_mode':'%s'}";
    const char *ip1 =
        "{'ip_address':'fd00:1::f816:3eff:fe00:a01','subnet_id':'66666666-00" TAIL "'}";
    const char *ip2 = "{'ip_address':'fd00:2::11','subnet_id':'77777777-00" TAIL "'}";
    const char *comma = mode1 && mode2 ? "," : "";
    apply_network(s,
                  printed(s,
                          "{'id':'" NET_A TAIL
                          "','mtu':1400,'external':false,'subnets':[%s%s%s],'ports':[%s]}",
                          mode1 ? printed(s, subnet, "66666666-00", "fd00:1::/64", "fd00:1::1",
                                          "fd00:1::2", mode1, mode1)
                                : "",
                          comma,
                          mode2 ? printed(s, subnet, "77777777-00", "fd00:2::/64", "fd00:2::1",
                                          "fd00:2::2", mode2, mode2)
                                : "",
                          port_json(s, PORT_A1, MAC_A1,
                                    printed(s, "%s%s%s", mode1 ? ip1 : "", comma, mode2 ? ip2 : ""),
                                    ANY_OUT, NULL)));
    apply_router(
        s, printed(s,
                   "{'id':'5a5a5a5a-00" TAIL
                   "','admin_state_up':true,'enable_snat':false,'external':null,'interfaces':["
                   "{'port_id':'1f1f1f1f-00" TAIL "','network_id':'" NET_A TAIL
                   "','mac':'fa:16:3e:00:ff:01','ips':[%s%s%s]}],'floating':[],'routes':[]}",
                   mode1 ? "{'ip':'fd00:1::1','prefix':64}" : "", comma,
                   mode2 ? "{'ip':'fd00:2::1','prefix':64}" : ""));
}

static void assert_slaac(void)
{
    WITHIN(sh("cvt-a1",
              "ip -6 addr show dev eth0 | grep -q 'fd00:1::f816:3eff:fe00:a01/64.*dynamic' && "
              "ip -6 route | grep -q 'default via fe80::f816:3eff:fe00:ff01' || "
              "{ ip -6 addr; ip -6 route; false; }") == 0);
    WITHIN(sh("cvt-a1", "ping -6 -c 2 -i 0.2 -W 1 fd00:1::1") == 0);
    assert_int_equal(sh("cvt-a1", "curl -s -m 60 -g 'http://[fe80::a9fe:a9fe%%25eth0]/x'"), 0);
}

/* No address comes with the announcement: it is DHCPv6's to give. */
static void assert_stateful(void)
{
    WITHIN(sh("cvt-a1", "ip -6 route | grep -q 'default via fe80::f816:3eff:fe00:ff01'") == 0);
    assert_int_equal(sh("cvt-a1", "ip -6 addr show dev eth0 | grep -q fd00:2:"), 1);
    assert_true(guest_solicits("cvt-a1", MAC_A1, "fd00:2::11"));
}

static void test_ipv6(void **state)
{
    struct stage *s = *state;
    ipv6_network(s, "slaac", stage_mixed_modes ? "dhcpv6-stateful" : NULL);
    guest_plug("cvt-a1", NET_A, PORT_A1, MAC_A1);
    assert_slaac();
    if (!stage_mixed_modes) {
        sh("cvt-a1", "ip link set eth0 down; ip link set eth0 up"); /* what it learnt is gone */
        ipv6_network(s, NULL, "dhcpv6-stateful");
    }
    assert_stateful();
}

#define THREADS 4

struct worker {
    pthread_t thread;
    struct net_backend net;
    struct spec_network *network;
    struct spec_router *router;
    char error[512];
};

static void *work(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < 4 && !w->error[0]; i++) {
        struct ctx cx AUTO_CTX;
        ctx_init(&cx);
        struct err *e = network_up(&cx, &w->net, w->network);
        if (!e)
            e = w->net.ops->router_apply(&cx, w->net.drv, w->router);
        if (!e && i < 3)
            e = w->net.ops->router_remove(&cx, w->net.drv, w->router->id);
        if (!e && i < 3)
            e = w->net.ops->network_remove(&cx, w->net.drv, w->network->id);
        if (e)
            snprintf(w->error, sizeof(w->error), "%s", err_chain(&cx, e));
    }
    return NULL;
}

/* Different networks and routers at once, each thread on its own way through the namespaces. */
static void test_parallel(void **state)
{
    struct stage *s = *state;
    struct worker workers[THREADS] = {0};
    char self[64], again[64];
    external_network(s);
    ssize_t n = readlink("/proc/self/ns/net", self, sizeof(self));
    for (int i = 0; i < THREADS; i++) {
        const char *id = printed(s, "%d%d%d%dcccc-00", i, i, i, i);
        const char *ports = port_json(s, printed(s, "%d%d%d%daaaa-00", i, i, i, i), MAC_A1,
                                      ip4_json(s, "10.0.0.11"), ANY_OUT, NULL);
        workers[i].net = s->net;
        workers[i].network = network_of(s, network_json(s, id, ports));
        workers[i].router =
            router_of(s, router_json(s, id, id, printed(s, "203.0.113.%d", 10 + i), ""));
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < THREADS; i++)
        assert_string_equal(workers[i].error, "");
    guest_plug("cvt-a1", "0000cccc-00", "0000aaaa-00", MAC_A1);
    assert_true(guest_dhcp(s, "cvt-a1", MAC_A1));
    assert_true(can_ping("cvt-a1", "203.0.113.1"));
    assert_int_equal(readlink("/proc/self/ns/net", again, sizeof(again)), n);
    assert_memory_equal(self, again, (size_t)n);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_dhcp_and_metadata),
        TEST(test_groups),
        TEST(test_spoofing),
        TEST(test_router),
        TEST(test_router_without_network),
        TEST(test_ipv6),
        TEST(test_parallel),
    };
    if (geteuid() != 0) {
        fprintf(stderr, "needs root: it makes network namespaces\n");
        return 77;
    }
    stage_arguments(&argc, argv);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, stage_group_setup, stage_group_teardown);
}
