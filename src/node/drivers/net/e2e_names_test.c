/* SPDX-License-Identifier: EUPL-1.2 */
/* What a guest learns from its network besides its address: names, and the options that
 * its port has of its own. Root only. */
#include "node/drivers/net/e2e.h"

#define NET "aaaaaaaa-11"
#define TAIL "11-4000-8000-000000000000" /* makes a UUID of the first characters */
#define MAC_1 "fa:16:3e:00:0a:01"
#define MAC_2 "fa:16:3e:00:0a:02"
#define PORT_1 "a1a1a1a1-00"
#define PORT_2 "a2a2a2a2-00"
enum { TYPE_A = 1, TYPE_AAAA = 28, DNS_NOTHING = 0, DNS_NXDOMAIN = 3, DNS_REFUSED = 5 };

static char *port(struct stage *s, const char *id, const char *mac, const char *ip,
                  const char *name, const char *options)
{
    return printed(s,
                   "{'id':'%s" TAIL "','mac':'%s','tap':'tap%s','device_id':'%s" TAIL "',"
                   "'hostname':%s,'admin_state_up':true,'port_security':true,"
                   "'fixed_ips':[{'ip_address':'%s','subnet_id':'44444444-00" TAIL "'}],"
                   "'allowed_address_pairs':[],'extra_dhcp_opts':[%s],"
                   "'rules':[{'direction':'egress','ethertype':'IPv4'}]}",
                   id, mac, id, id, name, ip, options);
}

static void apply(struct stage *s, const char *ports)
{
    const char *json =
        printed(s,
                "{'id':'" NET TAIL "','mtu':1450,'external':false,'dns_domain':'example.org.',"
                "'subnets':[{'id':'44444444-00" TAIL "','cidr':'10.0.0.0/24','ip_version':4,"
                "'gateway_ip':'10.0.0.1','enable_dhcp':true,'dhcp_ip':'10.0.0.2',"
                "'dns_nameservers':[],'host_routes':[],'ipv6_ra_mode':null,"
                "'ipv6_address_mode':null}],'ports':[%s]}",
                ports);
    assert_ok(&s->cx, network_up(&s->cx, &s->net, network_of(s, json)));
}

static void expect_out(const char *what)
{
    if (!strstr(sh_out, what))
        fail_msg("no '%s' in: %s", what, sh_out);
}

/* Answered, by nothing: what a resolver takes at once. */
static bool unknown(const char *name)
{
    for (int i = 0; i < 2; i++) {
        int n, code = dns_ask("cvt-a1", "10.0.0.2", name, i ? TYPE_AAAA : TYPE_A, &n);
        assert_true(code == DNS_NOTHING || code == DNS_NXDOMAIN || code == DNS_REFUSED);
        if (n)
            return false;
    }
    return true;
}

static void test_names(void **state)
{
    struct stage *s = *state;
    apply(s, printed(s, "%s,%s", port(s, PORT_1, MAC_1, "10.0.0.11", "'web'", ""),
                     port(s, PORT_2, MAC_2, "10.0.0.12", "null", "")));
    guest_plug("cvt-a1", NET, PORT_1, MAC_1);
    assert_true(guest_dhcp(s, "cvt-a1", MAC_1));
    expect_out("dns=10.0.0.2"); /* the subnet names none: the network's own */
    static const char *const asked[][2] = {{"web", "10.0.0.11"},
                                           {"web.example.org", "10.0.0.11"},
                                           {"host-10-0-0-12.example.org", "10.0.0.12"},
                                           {"10.0.0.11", "web.example.org"}};
    for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
        WITHIN(sh("cvt-a1", "busybox nslookup %s 10.0.0.2", asked[i][0]) == 0);
        expect_out(asked[i][1]);
    }
    assert_true(unknown("other.example.org"));
    assert_true(unknown("other"));
    /* Nobody is asked about the rest of the world; another server may know. */
    int n;
    assert_int_equal(dns_ask("cvt-a1", "10.0.0.2", "example.com", TYPE_A, &n), DNS_REFUSED);
    /* Of a name with an address of one version the other one is nothing: not "no such name",
     * which some resolvers take for both. */
    assert_int_equal(dns_ask("cvt-a1", "10.0.0.2", "web.example.org", TYPE_AAAA, &n), DNS_NOTHING);
    assert_int_equal(n, 0);
    assert_int_equal(sh("cvt-a1",
                        "echo nameserver 10.0.0.2 >%s/resolv.conf; echo search example.org "
                        ">>%s/resolv.conf; unshare -m sh -c 'mount --bind %s/resolv.conf "
                        "/etc/resolv.conf; getent ahosts web; ! getent ahosts other; ! "
                        "getent ahosts example.com'",
                        s->dir, s->dir, s->dir),
                     0);
    expect_out("10.0.0.11");
    /* A new name is known without a new process; the old one no longer. */
    apply(s, port(s, PORT_1, MAC_1, "10.0.0.11", "'mail'", ""));
    /* dnsmasq reads its files again in its own time. */
    WITHIN(sh("cvt-a1", "busybox nslookup mail.example.org 10.0.0.2") == 0);
    assert_true(unknown("web.example.org"));
}

static void test_options(void **state)
{
    struct stage *s = *state;
    apply(s, printed(s, "%s,%s",
                     port(s, PORT_1, MAC_1, "10.0.0.11", "'web'",
                          "{'opt_name':'mtu','opt_value':'1300','ip_version':4},"
                          "{'opt_name':'no-such-option','opt_value':'x','ip_version':4},"
                          "{'opt_name':'dns-server','opt_value':'10.0.0.53','ip_version':4}"),
                     port(s, PORT_2, MAC_2, "10.0.0.12", "null", "")));
    guest_plug("cvt-a1", NET, PORT_1, MAC_1);
    guest_plug("cvt-a2", NET, PORT_2, MAC_2);
    /* One that dnsmasq doesn't know is left out, and nobody else is the worse for it. */
    assert_true(guest_dhcp(s, "cvt-a1", MAC_1));
    expect_out("mtu=1300");
    expect_out("dns=10.0.0.53");
    assert_true(guest_dhcp(s, "cvt-a2", MAC_2));
    expect_out("mtu=1450");
    expect_out("dns=10.0.0.2");
    apply(s, printed(s, "%s,%s",
                     port(s, PORT_1, MAC_1, "10.0.0.11", "'web'",
                          "{'opt_name':'26','opt_value':'1200','ip_version':4}"),
                     port(s, PORT_2, MAC_2, "10.0.0.12", "null", "")));
    WITHIN(guest_dhcp(s, "cvt-a1", MAC_1) && strstr(sh_out, "mtu=1200"));
    apply(s, port(s, PORT_1, MAC_1, "10.0.0.11", "'web'", ""));
    assert_true(guest_dhcp(s, "cvt-a1", MAC_1));
    expect_out("mtu=1450");
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
    const struct CMUnitTest tests[] = {TEST(test_names), TEST(test_options)};
    if (geteuid() != 0) {
        fprintf(stderr, "needs root: it makes network namespaces\n");
        return 77;
    }
    stage_arguments(&argc, argv);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, stage_group_setup, stage_group_teardown);
}
