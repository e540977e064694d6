/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What the driver writes for a spec, against tests/golden/net: NAME.json gives NAME.nft and, for a
 * network, .dnsmasq, .hosts, .options, .names and .ra. COLVERT_REGEN=1 writes them anew, for the
 * reviewer to read. And the pure parts beside them.
 */
#include "base/test.h"
#include "node/drivers/net/addr.h"
#include "node/drivers/net/dhcp.h"
#include "node/drivers/net/metadata_request.h"
#include "node/drivers/net/nft.h"

static const char *golden_dir;

static const char *slurp(struct ctx *cx, const char *name)
{
    struct buf b;
    char part[4096];
    FILE *f = fopen(arena_printf(cx->arena, "%s/%s", golden_dir, name), "re");
    buf_init(&b, cx->arena);
    buf_str(&b, "");
    for (size_t got; f && (got = fread(part, 1, sizeof(part), f)) > 0;)
        buf_add(&b, part, got);
    if (f)
        fclose(f);
    return f ? buf_cstr(&b) : NULL;
}

static void check(struct ctx *cx, const char *base, const char *suffix, const char *text)
{
    const char *name = arena_printf(cx->arena, "%s.%s", base, suffix);
    if (getenv("COLVERT_REGEN")) {
        FILE *f = fopen(arena_printf(cx->arena, "%s/%s", golden_dir, name), "we");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
    }
    const char *want = slurp(cx, name);
    if (!want)
        fail_msg("%s is missing: write it with COLVERT_REGEN=1", name);
    if (!str_eq(want, text))
        print_error("%s differs:\n%s\n", name, text);
    assert_string_equal(text, want);
}

static json_t *input(struct ctx *cx, const char *base)
{
    json_t *j;
    const char *text = slurp(cx, arena_printf(cx->arena, "%s.json", base));
    assert_non_null(text);
    assert_ok(cx, json_read(cx, text, strlen(text), &j));
    return j;
}

static void test_golden_networks(void **state)
{
    static const char *const names[] = {"network", "network-bare"};
    struct ctx cx AUTO_CTX;
    (void)state;
    ctx_init(&cx);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct spec_network spec;
        struct buf rules;
        const char *conf, *hosts, *options, *dns, *ra, *router;
        buf_init(&rules, cx.arena);
        assert_ok(&cx, spec_network_read(&cx, input(&cx, names[i]), &spec));
        assert_ok(&cx, nft_network_text(&cx, &spec, &rules));
        assert_ok(&cx, dhcp_conf_text(&cx, &spec, 2, &conf));
        assert_ok(&cx, dhcp_hosts_text(&cx, &spec, &hosts));
        assert_ok(&cx, dhcp_options_text(&cx, &spec, &options));
        assert_ok(&cx, dhcp_names_text(&cx, &spec, &dns));
        assert_ok(&cx, dhcp_ra_lines(&cx, &spec, &ra));
        struct ra_link link = {.name = "qr-1f1f1f1f-11", .lines = ra, .link = 3};
        assert_ok(&cx, ra_conf_text(&cx, &link, 1, &router));
        check(&cx, names[i], "nft", buf_cstr(&rules));
        check(&cx, names[i], "dnsmasq", conf ? conf : "none\n");
        check(&cx, names[i], "hosts", hosts);
        check(&cx, names[i], "options", options);
        check(&cx, names[i], "names", dns);
        check(&cx, names[i], "ra", router ? router : "none\n");
    }
}

static void test_golden_routers(void **state)
{
    static const char *const names[] = {"router", "router-inside", "router-routed",
                                        "router-shared"};
    struct ctx cx AUTO_CTX;
    (void)state;
    ctx_init(&cx);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct spec_router spec;
        struct buf rules;
        buf_init(&rules, cx.arena);
        assert_ok(&cx, spec_router_read(&cx, input(&cx, names[i]), &spec));
        assert_ok(&cx, nft_router_text(&cx, &spec, "qg-ecececec-11", &rules));
        check(&cx, names[i], "nft", buf_cstr(&rules));
    }
}

/* What is no address, name or number never reaches a rule or a file. */
static void test_refused(void **state)
{
    struct ctx cx AUTO_CTX;
    struct spec_network spec;
    struct spec_rule *rule;
    struct buf out;
    const char *text;
    (void)state;
    ctx_init(&cx);
    buf_init(&out, cx.arena);
    assert_ok(&cx, spec_network_read(&cx, input(&cx, "network"), &spec));
    struct spec_port *port = &spec.ports[0], saved = *port;
    rule = &port->rules[2];
    struct spec_rule saved_rule = *rule;
#define REFUSED(member, value)                                                                     \
    do {                                                                                           \
        member = value;                                                                            \
        assert_err(&cx, ERR_INVALID, nft_network_text(&cx, &spec, &out));                          \
        *port = saved;                                                                             \
        *rule = saved_rule;                                                                        \
    } while (0)
    REFUSED(port->mac, "fa:16:3e:00:0a:01 accept");
    REFUSED(port->mac, "01:00:5e:00:00:01");
    REFUSED(port->tap, "tapother00000");
    REFUSED(port->tap, NULL);
    REFUSED(port->id, "A1a1a1a1-0000");
    REFUSED(rule->protocol, "tcp; accept");
    REFUSED(rule->protocol, "256");
    REFUSED(rule->port_max, 70000);
    REFUSED(rule->port_min, 23);
    REFUSED(rule->protocol, "gre");
    REFUSED(rule->ip_version, 5);
    /* But all that the API takes is: one tenant's rule must not stop a network that others share.
     */
    static const char *const taken[] = {
        "ah",     "dccp",       "egp",       "esp",        "gre",       "hopopt",
        "icmp",   "igmp",       "ipip",      "ipv6-encap", "ipv6-frag", "ipv6-icmp",
        "icmpv6", "ipv6-nonxt", "ipv6-opts", "ipv6-route", "ospf",      "pgm",
        "rsvp",   "sctp",       "tcp",       "udp",        "udplite",   "vrrp"};
    rule->port_min = rule->port_max = -1;
    for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
        rule->protocol = taken[i];
        assert_ok(&cx, nft_network_text(&cx, &spec, &out));
    }
    *rule = saved_rule;
    struct spec_address *ip = &port->fixed_ips[0];
    const char *was = ip->ip;
    ip->ip = "10.0.0.11, 10.0.0.12";
    assert_err(&cx, ERR_INVALID, nft_network_text(&cx, &spec, &out));
    assert_err(&cx, ERR_INVALID, dhcp_hosts_text(&cx, &spec, &text));
    ip->ip = was;
    spec.subnets[0].host_routes[0].nexthop = "10.0.0.1\ndhcp-script=/x";
    assert_err(&cx, ERR_INVALID, dhcp_conf_text(&cx, &spec, 2, &text));
    /* A hostname that is none is left out. */
    port->hostname = "web\ndhcp-script=/x";
    assert_ok(&cx, dhcp_hosts_text(&cx, &spec, &text));
    assert_null(strstr(text, "web"));
    assert_non_null(strstr(text, "10.0.0.11"));
}

static void test_addresses(void **state)
{
    static const char *const good[][2] = {{"10.0.0.1", "10.0.0.1/32"},
                                          {"10.1.2.3/9", "10.1.2.3/9"},
                                          {"fd00::1/64", "fd00::1/64"},
                                          {"::", "::/128"}};
    static const char *const bad[] = {
        "",  "10.0.0",        "10.0.0.1/33", "10.0.0.1/",  "10.0.0.1/-1", "fd00::/129",
        "x", "10.0.0.1/24/8", " 10.0.0.1",   "10.0.0.1\n", "fe80::1%eth0"};
    struct ctx cx AUTO_CTX;
    struct ip ip, net, many[5];
    (void)state;
    ctx_init(&cx);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_ok(&cx, ip_parse(&cx, good[i][0], &ip));
        assert_string_equal(ip_cidr(&cx, &ip), good[i][1]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_err(&cx, ERR_INVALID, ip_parse(&cx, bad[i], &ip));
    assert_err(&cx, ERR_INVALID, ip_parse(&cx, NULL, &ip));
    assert_ok(&cx, ip_parse(&cx, "10.129.2.3/9", &ip));
    net = ip_network(&ip);
    assert_string_equal(ip_cidr(&cx, &net), "10.128.0.0/9");
    assert_true(ip_contains(&net, &ip));
    assert_ok(&cx, ip_parse(&cx, "10.127.2.3", &ip));
    assert_false(ip_contains(&net, &ip));
    static const char *const list[] = {"10.0.1.0/24", "10.0.0.7", "10.0.0.0/23", "192.0.2.1",
                                       "192.0.2.1"};
    for (size_t i = 0; i < ARRAY_LEN(list); i++)
        assert_ok(&cx, ip_parse(&cx, list[i], &many[i]));
    assert_int_equal(ip_merge(many, 5), 2);
    assert_string_equal(ip_cidr(&cx, &many[0]), "10.0.0.0/23");
    assert_string_equal(ip_cidr(&cx, &many[1]), "192.0.2.1/32");
    struct mac mac;
    assert_ok(&cx, mac_parse(&cx, "FA:16:3e:00:0a:01", &mac));
    assert_string_equal(mac_text(&cx, &mac), "fa:16:3e:00:0a:01");
    ip = ip_link_local(&mac);
    assert_string_equal(ip_text(&cx, &ip), "fe80::f816:3eff:fe00:a01");
    assert_err(&cx, ERR_INVALID, mac_parse(&cx, "fa:16:3e:00:0a", &mac));
    assert_err(&cx, ERR_INVALID, mac_parse(&cx, "fa-16-3e-00-0a-01", &mac));
}

static void test_requests(void **state)
{
    static const struct {
        const char *request;
        int status;
        const char *path;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 0, "/"},
        {"GET /latest/meta-data/?a=b HTTP/1.0\n\n", 0, "/latest/meta-data/"},
        {"GET /openstack HTTP/1.1\r\nHost: x\r\nX: y\r\n\r\n", 0, "/openstack"},
        {"GET / HTTP/1.1\r\n", -1, NULL},
        {"", -1, NULL},
        {"PUT /latest/api/token HTTP/1.1\r\n\r\n", 405, NULL},
        {"GET http://169.254.169.254/ HTTP/1.1\r\n\r\n", 400, NULL},
        {"GET / HTTP/2\r\n\r\n", 400, NULL},
        {"GET /a b HTTP/1.1\r\n\r\n", 400, NULL},
        {"GET /\x01 HTTP/1.1\r\n\r\n", 400, NULL},
        {"\r\n\r\n", 400, NULL},
        {"GET\r\n / HTTP/1.1\r\n\r\n", 400, NULL},
        {"GET /", -1, NULL},
        {"GET /\r\n\r\n", 400, NULL},
        {"POST / HTTP/1.1\r\n\r\n", 411, NULL},
        {"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", -1, NULL},
        {"POST /x HTTP/1.1\r\nA: b\r\ncontent-length:3 \r\n\r\nabcd", 0, "/x"},
        {"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 0, "/"},
        {"POST / HTTP/1.1\r\nContent-Length: 4097\r\n\r\n", 413, NULL},
        {"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 413, NULL},
        {"POST / HTTP/1.1\r\nContent-Length: -3\r\n\r\nabc", 400, NULL},
        {"POST / HTTP/1.1\r\nContent-Length: 3x\r\n\r\nabc", 400, NULL},
        {"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, NULL},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 411,
         NULL},
    };
    char longest[METADATA_HEAD_BYTES + 1];
    struct metadata_request rq;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int status = metadata_request_parse(cases[i].request, strlen(cases[i].request), &rq);
        if (status != cases[i].status || (status == 0 && !str_eq(rq.path, cases[i].path)))
            fail_msg("'%s': %d", cases[i].request, status);
    }
    assert_int_equal(metadata_request_parse("GET /\0 HTTP/1.1\r\n\r\n", 19, &rq), 400);
    static const char body[] = "POST /p HTTP/1.1\r\nContent-Length: 3\r\n\r\na\0c";
    assert_int_equal(metadata_request_parse(body, sizeof(body) - 1, &rq), 0);
    assert_true(rq.post && rq.body_size == 3);
    assert_memory_equal(body + rq.body_at, "a\0c", 3);
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "GET /", 5);
    longest[METADATA_HEAD_BYTES] = 0;
    assert_int_equal(metadata_request_parse(longest, METADATA_HEAD_BYTES, &rq), 431);
    memcpy(longest + 2000, " HTTP/1.1\r\n\r\n", 14);
    assert_int_equal(metadata_request_parse(longest, strlen(longest), &rq), 414);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_networks), cmocka_unit_test(test_golden_routers),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_requests),
    };
    golden_dir = argc > 1 ? argv[1] : "tests/golden/net";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
