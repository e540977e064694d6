/* SPDX-License-Identifier: EUPL-1.2 */
/* The kernel driver against the real kernel: guests in namespaces, everything inside namespaces of
 * the test. Root only. */
#include "node/drivers/net/e2e.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NET_A "aaaaaaaa-11"
#define NET_B "bbbbbbbb-22"
#define NET_C "cccccccc-33"
#define NET_X "eeeeeeee-99"
#define TAIL "11-4000-8000-000000000000" /* makes a UUID of the first characters */
#define MAC_A1 "fa:16:3e:00:0a:01"
#define MAC_A2 "fa:16:3e:00:0a:02"
#define MAC_B1 "fa:16:3e:00:0b:01"
#define PORT_A1 "a1a1a1a1-00"
#define PORT_A2 "a2a2a2a2-00"
#define PORT_B1 "b1b1b1b1-00"
#define ANY_OUT                                                                                    \
    "{'direction':'egress','ethertype':'IPv4'},{'direction':'egress','ethertype':'IPv6'}"
#define ANY_IN                                                                                     \
    "{'direction':'ingress','ethertype':'IPv4'},{'direction':'ingress','ethertype':'IPv6'}"

static char *port(struct stage *s, const char *id, const char *mac, const char *ips,
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

static char *ip4(struct stage *s, const char *ip)
{
    return printed(s, "{'ip_address':'%s','subnet_id':'44444444-00" TAIL "'}", ip);
}

/* 10.0.0.0/24 with a gateway, DNS and a host route. */
static char *network(struct stage *s, const char *id, const char *ports)
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

static void apply(struct stage *s, const char *json)
{
    assert_ok(&s->cx, s->net.ops->network_apply(&s->cx, s->net.drv, network_of(s, json)));
}

static void route(struct stage *s, const char *json)
{
    assert_ok(&s->cx, s->net.ops->router_apply(&s->cx, s->net.drv, router_of(s, json)));
}

static void expect_out(const char *what)
{
    if (!strstr(sh_out, what))
        fail_msg("no '%s' in: %s", what, sh_out);
}

/* A network with two guests that may do what the rules say. */
static void two_guests(struct stage *s, const char *rules1, const char *rules2)
{
    apply(s,
          network(s, NET_A,
                  printed(s, "%s,%s", port(s, PORT_A1, MAC_A1, ip4(s, "10.0.0.11"), rules1, NULL),
                          port(s, PORT_A2, MAC_A2, ip4(s, "10.0.0.12"), rules2, NULL))));
}

static void plug_two(struct stage *s)
{
    guest_plug("cvt-a1", NET_A, PORT_A1, MAC_A1);
    guest_plug("cvt-a2", NET_A, PORT_A2, MAC_A2);
    assert_true(guest_dhcp(s, "cvt-a1", MAC_A1));
    assert_true(guest_dhcp(s, "cvt-a2", MAC_A2));
}

static void test_dhcp_and_metadata(void **state)
{
    struct stage *s = *state;
    const char *a = network(s, NET_A, port(s, PORT_A1, MAC_A1, ip4(s, "10.0.0.11"), ANY_OUT, NULL));
    apply(s, a);
    apply(s, network(s, NET_B, port(s, PORT_B1, MAC_B1, ip4(s, "10.0.0.11"), "", NULL)));
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
    sh("cvt-a1", "curl -s -m 60 -g 'http://[fe80::a9fe:a9fe%%25eth0]/six'");
    assert_string_equal(s->md_path, "/six");
    assert_string_equal(s->md_source, "10.0.0.11"); /* the port's address, not the link-local one */
    /* Nothing else of the network's namespace answers. */
    assert_true(cannot_connect("cvt-a1", "10.0.0.2", 80));

    /* An unknown device gets no address; a port that changes hands gives its address on. */
    assert_true(guest_dhcp_refused(s, "cvt-a1", "fa:16:3e:00:0a:77"));
    apply(s, network(s, NET_A, port(s, PORT_A1, MAC_A2, ip4(s, "10.0.0.11"), ANY_OUT, NULL)));
    assert_true(guest_dhcp(s, "cvt-a1", MAC_A2));
    expect_out("ip=10.0.0.11/24");
    /* The agent starts anew: the listener comes back with the next apply. */
    s->net.ops->network_apply(&s->cx, s->net.drv, network_of(s, a));
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
    apply(s, network(s, NET_A,
                     port(s, PORT_A1, MAC_A1, ip4(s, "10.0.0.11"), ANY_OUT "," ANY_IN, NULL)));
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
        {"an advertisement of itself", true,
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
    apply(s, network(s, NET_A,
                     printed(s, "%s,%s", port(s, PORT_A1, MAC_A1, ip4(s, "10.0.0.11"), open, pairs),
                             port(s, PORT_A2, MAC_A2, ip4(s, "10.0.0.12"), open, NULL))));
    assert_true(frame_passes("cvt-a1", "cvt-a2", &pair));
    assert_true(frame_passes("cvt-a1", "cvt-a2", &pair_mac));
    /* Without port security everything passes, but not into a port that has it. */
    apply(s, network(s, NET_A,
                     printed(s, "%s,%s", port(s, PORT_A1, MAC_A1, ip4(s, "10.0.0.11"), "", "off"),
                             port(s, PORT_A2, MAC_A2, ip4(s, "10.0.0.12"), ANY_OUT, NULL))));
    assert_true(frame_stopped("cvt-a1", "cvt-a2", &cases[0].frame));
    struct frame tagged = frame_tagged(&cases[0].frame);
    assert_true(frame_stopped("cvt-a1", "cvt-a2", &tagged));
    apply(s, network(s, NET_A,
                     printed(s, "%s,%s", port(s, PORT_A1, MAC_A1, ip4(s, "10.0.0.11"), "", "off"),
                             port(s, PORT_A2, MAC_A2, ip4(s, "10.0.0.12"), "", "off"))));
    assert_true(frame_passes("cvt-a1", "cvt-a2", &cases[1].frame));
    assert_true(frame_passes("cvt-a1", "cvt-a2", &cases[3].frame));
    assert_true(frame_passes("cvt-a1", "cvt-a2", &tagged));
}

static char *router(struct stage *s, const char *id, const char *net, const char *ext_ip,
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

static char *floating(struct stage *s, const char *ip, const char *fixed)
{
    return printed(s, "{'id':'f0f0f0f0-00" TAIL "','floating_ip':'%s','fixed_ip':'%s'}", ip, fixed);
}

static void external(struct stage *s)
{
    apply(s, "{'id':'" NET_X TAIL "','mtu':1500,'external':true,'subnets':[],'ports':[]}");
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
    route(s, router(s, "5a5a5a5a-00", NET_A, "203.0.113.10",
                    floating(s, "203.0.113.102", "10.0.0.12")));
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
    external(s);
    two_guests(s, open, open);
    apply(s, network(s, NET_B, port(s, PORT_B1, MAC_B1, ip4(s, "10.0.0.11"), open, NULL)));
    plug_two(s);
    guest_plug("cvt-b1", NET_B, PORT_B1, MAC_B1);
    assert_true(guest_dhcp(s, "cvt-b1", MAC_B1));
    route(s, router(s, "5a5a5a5a-00", NET_A, "203.0.113.10", ""));
    route(s, router(s, "5b5b5b5b-00", NET_B, "203.0.113.20", ""));

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
    route(s, router(s, "5a5a5a5a-00", NET_A, "203.0.113.10",
                    printed(s, "%s,%s", floating(s, "203.0.113.101", "10.0.0.11"),
                            floating(s, "203.0.113.102", "10.0.0.12"))));
    route(s, router(s, "5b5b5b5b-00", NET_B, "203.0.113.20",
                    floating(s, "203.0.113.103", "10.0.0.11")));
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
    route(s, router(s, "5a5a5a5a-00", NET_A, "203.0.113.10", ""));
    assert_true(cannot_ping(HOST_NS, "203.0.113.101"));
    assert_true(can_ping("cvt-a1", "203.0.113.1"));
    assert_int_equal(sh("cv-r-5a5a5a5a-00", "ip route | grep -q '198.51.100.0/24 via 10.0.0.12'"),
                     0);
    /* Down, and up again. */
    const char *json = router(s, "5a5a5a5a-00", NET_A, "203.0.113.10", "");
    struct spec_router *down = router_of(s, json);
    down->admin_state_up = false;
    assert_ok(&s->cx, s->net.ops->router_apply(&s->cx, s->net.drv, down));
    assert_true(cannot_ping("cvt-a1", "203.0.113.1"));
    assert_true(can_ping("cvt-a1", "10.0.0.12"));
    route(s, json);
    assert_true(can_ping("cvt-a1", "203.0.113.1"));
}

static void test_router_without_network(void **state)
{
    struct stage *s = *state;
    external(s);
    struct spec_router *spec = router_of(s, router(s, "5a5a5a5a-00", NET_A, "203.0.113.10", ""));
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

static void test_ipv6(void **state)
{
    struct stage *s = *state;
    const char *ip =
        "{'ip_address':'fd00:1::f816:3eff:fe00:a01','subnet_id':'66666666-00" TAIL "'},"
        "{'ip_address':'fd00:2::11','subnet_id':'77777777-00" TAIL "'}";
    const char *subnet =
        "{'id':'%s" TAIL "','cidr':'%s','ip_version':6,'gateway_ip':'%s','enable_dhcp':true,"
        "'dhcp_ip':'%s','dns_nameservers':[],'host_routes':[],'ipv6_ra_mode':'%s',"
        "'ipv6_address_mode':'%s'}";
    external(s);
    apply(s, printed(s,
                     "{'id':'" NET_A TAIL
                     "','mtu':1450,'external':false,'subnets':[%s,%s],'ports':[%s]}",
                     printed(s, subnet, "66666666-00", "fd00:1::/64", "fd00:1::1", "fd00:1::2",
                             "slaac", "slaac"),
                     printed(s, subnet, "77777777-00", "fd00:2::/64", "fd00:2::1", "fd00:2::2",
                             "dhcpv6-stateful", "dhcpv6-stateful"),
                     port(s, PORT_A1, MAC_A1, ip, ANY_OUT, NULL)));
    route(s, "{'id':'5a5a5a5a-00" TAIL
             "','admin_state_up':true,'enable_snat':false,'external':null,'interfaces':["
             "{'port_id':'1f1f1f1f-00" TAIL "','network_id':'" NET_A TAIL
             "','mac':'fa:16:3e:00:ff:01',"
             "'ips':[{'ip':'fd00:1::1','prefix':64},{'ip':'fd00:2::1','prefix':64}]}],'floating':[]"
             ",'routes':[]}");
    guest_plug("cvt-a1", NET_A, PORT_A1, MAC_A1);
    WITHIN(sh("cvt-a1",
              "ip -6 addr show dev eth0 | grep -q 'fd00:1::f816:3eff:fe00:a01/64.*dynamic' && "
              "ip -6 route | grep -q 'default via fe80::f816:3eff:fe00:ff01' || "
              "{ ip -6 addr; ip -6 route; false; }") == 0);
    WITHIN(sh("cvt-a1", "ping -6 -c 2 -i 0.2 -W 1 fd00:1::1") == 0);
    assert_int_equal(sh("cvt-a1", "ip -6 addr show dev eth0 | grep -q fd00:2:"),
                     1); /* that one is DHCPv6's to give */
    assert_true(guest_solicits("cvt-a1", MAC_A1, "fd00:2::11"));
    assert_int_equal(sh("cvt-a1", "curl -s -m 60 -g 'http://[fe80::a9fe:a9fe%%25eth0]/x'"), 0);
}

static void test_tap(void **state)
{
    struct stage *s = *state;
    struct spec_nic nic = {.port_id = PORT_A1 TAIL,
                           .network_id = NET_A TAIL,
                           .mac = MAC_A1,
                           .tap = "tap" PORT_A1,
                           .mtu = 1450};
    int fd = -1, again = -1;
    assert_err(&s->cx, ERR_UNAVAILABLE, s->net.ops->tap_open(&s->cx, s->net.drv, &nic, &fd));
    two_guests(s, ANY_OUT, ANY_OUT);
    assert_ok(&s->cx, s->net.ops->tap_open(&s->cx, s->net.drv, &nic, &fd));
    WITHIN(sh("cv-n-" NET_A, "ip -d link show tap" PORT_A1 " | tr -d '\\n'") == 0 &&
           strstr(sh_out, "state U")); /* UP or UNKNOWN */
    expect_out("mtu 1450");
    expect_out("master br0");
    expect_out("vnet_hdr on");
    assert_err(&s->cx, ERR_IN_USE, s->net.ops->tap_open(&s->cx, s->net.drv, &nic, &again));
    close(fd);
    assert_int_equal(sh("cv-n-" NET_A, "ip link show tap" PORT_A1), 1); /* gone with its holder */
    assert_ok(&s->cx, s->net.ops->tap_open(&s->cx, s->net.drv, &nic, &fd));
    assert_ok(&s->cx, s->net.ops->tap_remove(&s->cx, s->net.drv, NET_A TAIL, nic.tap));
    assert_ok(&s->cx, s->net.ops->tap_remove(&s->cx, s->net.drv, NET_A TAIL, nic.tap));
    assert_int_equal(sh("cv-n-" NET_A, "ip link show tap" PORT_A1), 1);
    close(fd);
}

/* Two tenants, all there is. */
static struct err *apply_world(struct stage *s)
{
    const char *open = ANY_OUT "," ANY_IN;
    struct ctx *cx = &s->cx;
    const struct net_driver *ops = s->net.ops;
    struct err *e =
        ops->network_apply(cx, s->net.drv,
                           network_of(s, "{'id':'" NET_X TAIL
                                         "','mtu':1500,'external':true,'subnets':[],'ports':[]}"));
    if (!e)
        e = ops->network_apply(
            cx, s->net.drv,
            network_of(
                s, network(s, NET_A, port(s, PORT_A1, MAC_A1, ip4(s, "10.0.0.11"), open, NULL))));
    if (!e)
        e = ops->network_apply(
            cx, s->net.drv,
            network_of(s,
                       network(s, NET_B, port(s, PORT_B1, MAC_B1, ip4(s, "10.0.0.11"), "", NULL))));
    if (!e)
        e = ops->router_apply(cx, s->net.drv,
                              router_of(s, router(s, "5a5a5a5a-00", NET_A, "203.0.113.10",
                                                  floating(s, "203.0.113.101", "10.0.0.11"))));
    return e ? e
             : ops->router_apply(cx, s->net.drv,
                                 router_of(s, router(s, "5b5b5b5b-00", NET_B, "203.0.113.20", "")));
}

static struct err *remove_world(struct stage *s)
{
    static const char *const networks[] = {NET_A TAIL, NET_B, NET_X TAIL};
    struct err *e = s->net.ops->router_remove(&s->cx, s->net.drv, "5a5a5a5a-00" TAIL);
    if (!e)
        e = s->net.ops->router_remove(&s->cx, s->net.drv, "5b5b5b5b-00");
    for (size_t i = 0; !e && i < ARRAY_LEN(networks); i++)
        e = s->net.ops->network_remove(&s->cx, s->net.drv, networks[i]);
    return e;
}

/* Fails with the first line that differs. */
static void assert_same(const char *is, const char *was)
{
    const char *line = was;
    while (*is && *is == *was) {
        line = *was == '\n' ? was + 1 : line;
        is++;
        was++;
    }
    if (*is != *was)
        fail_msg("was: %.300s\nis: %.*s%.300s", line, (int)(was - line), line, is);
}

/* Process ids and link numbers differ from one making to the next. */
static const char *without_numbers(struct stage *s, const char *text)
{
    struct buf b;
    buf_init(&b, s->cx.arena);
    int rc;
    char path[128];
    snprintf(path, sizeof(path), "%s/snap", s->dir);
    FILE *f = fopen(path, "we");
    fputs(text, f);
    fclose(f);
    rc = sh(NULL,
            "sed -E 's/^[0-9]+: //; s/@if[0-9]+//; s/link-netns(id)? [^ ]+//; s/ [0-9]+$//; "
            "s/[0-9a-f]{32}//g; /v_/d; s/^[0-9]+$//; "
            "s/(link-netnsid|peer_ifindex|bridge_id|designated|root_id|timer).*//; "
            "s/fa:16:3e:..:..:..//; s/brd .*//; s/ tentative//; s/link.ether [^ ]*//; "
            "s/fe80::[0-9a-f:]+//g' <%s | sort",
            path);
    assert_int_equal(rc, 0);
    buf_str(&b, sh_out);
    return buf_cstr(&b);
}

static void assert_nothing_left(void)
{
    sh(NULL, "{ ip netns list; ls /run/colvert; ip -n " HOST_NS " -br link; } 2>/dev/null | "
             "grep -E '" WORLD "|^rx-|^br-ext'; pgrep -f 'conf-file=/run/colvert/(" WORLD ")' | "
             "grep -v $$");
    assert_string_equal(sh_out, "");
}

static void test_idempotent(void **state)
{
    struct stage *s = *state;
    const char **networks, **routers;
    size_t n_networks, n_routers;
    const char *nothing = snapshot(s);
    assert_ok(&s->cx, apply_world(s));
    const char *first = snapshot(s);
    assert_ok(&s->cx, apply_world(s));
    assert_same(snapshot(s), first);
    assert_ok(&s->cx,
              s->net.ops->list(&s->cx, s->net.drv, &networks, &n_networks, &routers, &n_routers));
    assert_int_equal(n_networks, 3);
    assert_int_equal(n_routers, 2);
    /* What an admin breaks comes back. */
    sh("cv-n-" NET_A, "nft flush ruleset; ip addr flush dev br0; ip link set br0 down; ip link set "
                      "br0 type bridge "
                      "nf_call_iptables 0; ip link set br0 mtu 1400");
    sh("cv-r-5a5a5a5a-00",
       "nft flush ruleset; ip route flush proto static; ip addr flush scope global");
    sh(NULL, "cat /run/colvert/cv-n-" NET_A "/pid");
    const char *pid = arena_strndup(s->cx.arena, sh_out, strcspn(sh_out, "\n"));
    assert_int_equal(sh(NULL, "kill -9 %s", pid), 0);
    WITHIN(sh(NULL, "grep -q . /proc/%s/cmdline", pid) != 0);
    assert_ok(&s->cx, apply_world(s));
    assert_same(without_numbers(s, snapshot(s)), without_numbers(s, first));
    assert_ok(&s->cx, remove_world(s));
    assert_ok(&s->cx, remove_world(s));
    assert_same(snapshot(s), nothing);
    assert_nothing_left();
}

/* Another agent's namespaces are neither listed nor touched. */
static void test_foreign_owner(void **state)
{
    struct stage *s = *state;
    char dir[] = "/tmp/colvert-other-XXXXXX";
    struct net_backend other;
    const char **networks, **routers;
    size_t n_networks, n_routers;
    assert_non_null(mkdtemp(dir));
    two_guests(s, ANY_OUT, ANY_OUT);
    struct kernel_net_config cfg = {
        .netns = HOST_NS, .data_dir = dir, .metadata = stage_answer, .metadata_arg = s};
    assert_ok(&s->cx, kernel_net_new(&s->cx, &cfg, &other));
    assert_ok(&s->cx,
              other.ops->list(&s->cx, other.drv, &networks, &n_networks, &routers, &n_routers));
    assert_int_equal(n_networks, 0);
    assert_ok(&s->cx, other.ops->network_remove(&s->cx, other.drv, NET_A TAIL));
    assert_int_equal(sh("cv-n-" NET_A, "ip link show br0"), 0);
    struct spec_network *spec = network_of(s, network(s, NET_A, ""));
    assert_err(&s->cx, ERR_CONFLICT, other.ops->network_apply(&s->cx, other.drv, spec));
    other.ops->free(other.drv);
    rmdir(dir);
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
        struct err *e = w->net.ops->network_apply(&cx, w->net.drv, w->network);
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
    external(s);
    ssize_t n = readlink("/proc/self/ns/net", self, sizeof(self));
    for (int i = 0; i < THREADS; i++) {
        const char *id = printed(s, "%d%d%d%dcccc-00", i, i, i, i);
        const char *ports = port(s, PORT_A1, MAC_A1, ip4(s, "10.0.0.11"), ANY_OUT, NULL);
        workers[i].net = s->net;
        workers[i].network = network_of(s, network(s, id, ports));
        workers[i].router = router_of(s, router(s, id, id, printed(s, "203.0.113.%d", 10 + i), ""));
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < THREADS; i++)
        assert_string_equal(workers[i].error, "");
    guest_plug("cvt-a1", "0000cccc-00", PORT_A1, MAC_A1);
    assert_true(guest_dhcp(s, "cvt-a1", MAC_A1));
    assert_true(can_ping("cvt-a1", "203.0.113.1"));
    assert_int_equal(readlink("/proc/self/ns/net", again, sizeof(again)), n);
    assert_memory_equal(self, again, (size_t)n);
}

/* Killed anywhere on its way, the next pass ends where an undisturbed one does. */
static void test_killed(void **state)
{
    struct stage *s = *state;
    assert_ok(&s->cx, apply_world(s));
    const char *whole = without_numbers(s, snapshot(s));
    struct rng_seeded seeded;
    struct rng *rng = rng_seed(&seeded, 20);
    for (int i = 0; i < 12; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            /* An agent of its own: it shares the folder, not the threads. */
            if (stage_driver(s, &s->net) || (i % 2 && remove_world(s)))
                _exit(1);
            _exit(apply_world(s) ? 1 : 0);
        }
        struct timespec ts = {.tv_nsec = (long)rng_below(rng, 400000000)};
        nanosleep(&ts, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        if (i % 3 == 0)
            assert_ok(&s->cx, remove_world(s));
        assert_ok(&s->cx, apply_world(s));
        assert_same(without_numbers(s, snapshot(s)), whole);
    }
    assert_ok(&s->cx, remove_world(s));
    assert_nothing_left();
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
        TEST(test_tap),
        TEST(test_idempotent),
        TEST(test_foreign_owner),
        TEST(test_parallel),
        TEST(test_killed),
    };
    if (geteuid() != 0) {
        fprintf(stderr, "needs root: it makes network namespaces\n");
        return 77;
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
