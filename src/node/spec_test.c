/* SPDX-License-Identifier: EUPL-1.2 */
/* Specs: what is read, and that each thing out of line is refused. */
#include "base/test.h"
#include "node/spec.h"

#define PORT "11111111-2222-4333-8444-555555555555"
#define NET "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
#define SUBNET "bbbbbbbb-bbbb-4ccc-8ddd-eeeeeeeeeeee"
#define SERVER "99999999-2222-4333-8444-555555555555"
#define SHA16 "0123456789abcdef"
#define SHA64 SHA16 SHA16 SHA16 SHA16

static const char server_text[] =
    "{'id':'" SERVER
    "','name':'web \xc3\xa9','hostname':'web','project_id':'p1','user_id':'u1','power':'on',"
    "'boot_seq':2,'reset_seq':0,'build_seq':1,'vcpus':1,'memory_mib':128,'root_gib':1,'image':{'id'"
    ":'" SUBNET "',"
    "'size':10,'virtual_size':20,'sha512':'" SHA64 SHA64
    "','disk_format':'qcow2'},'config_drive':true,"
    "'nics':[{'port_id':'" PORT "','network_id':'" NET
    "','mac':'fa:16:3e:00:00:01','mtu':1500,'tap':'tap11111111-22'}],"
    "'meta_data':{'uuid':'x'},'network_data':{},'vendor_data':null,'user_data':'aGVsbG8='}";

static const char network_text[] =
    "{'id':'" NET "','mtu':1450,'external':false,'subnets':[{'id':'" SUBNET
    "','cidr':'10.0.0.0/24','ip_version':4,"
    "'gateway_ip':'10.0.0.1','enable_dhcp':true,'dhcp_ip':'10.0.0.2','dns_nameservers':['9.9.9.9'],"
    "'host_routes':[{'destination':'10.9.0.0/"
    "16','nexthop':'10.0.0.7'}],'ipv6_ra_mode':null,'ipv6_address_mode':null}],"
    "'ports':[{'id':'" PORT
    "','mac':'fa:16:3e:00:00:01','tap':'tap11111111-22','device_id':'" SERVER "','hostname':'web',"
    "'admin_state_up':true,'port_security':true,'fixed_ips':[{'ip_address':'10.0.0.5','subnet_id':"
    "'" SUBNET "'}],"
    "'allowed_address_pairs':[{'ip_address':'10.0.0.0/"
    "28','mac_address':null}],'extra_dhcp_opts':[],"
    "'rules':[{'direction':'ingress','ethertype':'IPv4','protocol':'tcp','port_min':22,'port_max':"
    "22,'remotes':null},"
    "{'direction':'egress','ethertype':'IPv6','protocol':null,'port_min':null,'port_max':null,'"
    "remotes':['fd00::/8']}]}]}";

static const char router_text[] =
    "{'id':'" PORT "','admin_state_up':true,'enable_snat':true,'external':{'network_id':'" NET
    "','ip':'203.0.113.5',"
    "'prefix':24,'gateway':'203.0.113.1','mac':'fa:16:3e:00:00:02','port_id':'" SUBNET "'},"
    "'interfaces':[{'port_id':'" PORT "','network_id':'" NET
    "','mac':'fa:16:3e:00:00:03','ips':[{'ip':'10.0.0.1','prefix':24}]}],"
    "'floating':[{'id':'" SUBNET "','floating_ip':'203.0.113.9','fixed_ip':'10.0.0.5'}],"
    "'routes':[{'destination':'0.0.0.0/0','nexthop':'203.0.113.1'}]}";

/* The text with ' for ", and the first occurrence of `from` replaced. */
static json_t *tree(struct ctx *cx, const char *text, const char *from, const char *to)
{
    char *s = arena_strdup(cx->arena, text);
    if (from) {
        char *at = strstr(s, from);
        assert_non_null(at);
        *at = 0;
        s = arena_printf(cx->arena, "%s%s%s", s, to, at + strlen(from));
    }
    for (char *p = s; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_t *j = NULL;
    assert_ok(cx, json_read(cx, s, strlen(s), &j));
    return j;
}

static void test_server(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct spec_server s;
    assert_ok(&cx, spec_server_read(&cx, tree(&cx, server_text, NULL, NULL), &s));
    assert_string_equal(s.id, SERVER);
    assert_string_equal(s.hostname, "web");
    assert_true(s.power_on && s.config_drive);
    assert_int_equal(s.boot_seq, 2);
    assert_int_equal(s.image.virtual_size_bytes, 20);
    assert_int_equal(s.n_nics, 1);
    assert_string_equal(s.nics[0].tap, "tap11111111-22");
    assert_null(s.vendor_data);
    assert_string_equal(json_get_str(s.meta_data, "uuid"), "x");
    assert_int_equal(s.user_data_size, 5);
    assert_memory_equal(s.user_data, "hello", 5);
}

static void test_network(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct spec_network n;
    assert_ok(&cx, spec_network_read(&cx, tree(&cx, network_text, NULL, NULL), &n));
    assert_string_equal(n.subnets[0].host_routes[0].nexthop, "10.0.0.7");
    assert_string_equal(n.ports[0].fixed_ips[0].ip, "10.0.0.5");
    assert_string_equal(n.ports[0].pairs[0].ip, "10.0.0.0/28");
    assert_true(n.ports[0].rules[0].ingress && n.ports[0].rules[0].any_remote);
    assert_int_equal(n.ports[0].rules[1].port_min, -1);
    assert_false(n.ports[0].rules[1].any_remote);
    assert_int_equal(n.ports[0].rules[1].n_remotes, 1);
}

static void test_router(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct spec_router r;
    assert_ok(&cx, spec_router_read(&cx, tree(&cx, router_text, NULL, NULL), &r));
    assert_true(r.has_external);
    assert_string_equal(r.external.gateway, "203.0.113.1");
    assert_string_equal(r.floating[0].fixed_ip, "10.0.0.5");
    assert_ok(&cx, spec_router_read(&cx,
                                    tree(&cx, router_text, "'enable_snat':true,'external':{",
                                         "'enable_snat':true,'external':null,'was':{"),
                                    &r));
    assert_false(r.has_external);
}

struct bad {
    const char *from, *to;
};

static const struct bad bad_servers[] = {
    {"'id':'" SERVER "'", "'id':'../../etc'"},
    {"'id':'" SERVER "',", ""},
    {"'hostname':'web'", "'hostname':'-oProxyCommand=x'"},
    {"'hostname':'web'", "'hostname':'a b'"},
    {"'name':'web", "'name':'a\\nb"},
    {"'power':'on'", "'power':'maybe'"},
    {"'boot_seq':2", "'boot_seq':-1"},
    {"'boot_seq':2", "'boot_seq':'2'"},
    {"'vcpus':1", "'vcpus':0"},
    {"'memory_mib':128", "'memory_mib':99999999999"},
    {"'config_drive':true", "'config_drive':1"},
    {"'sha512':'0", "'sha512':'G"},
    {"'sha512':'0123456789abcdef", "'sha512':'"},
    {"'disk_format':'qcow2'", "'disk_format':'vmdk'"},
    {"'tap':'tap11111111-22'", "'tap':'tap21111111-22'"},
    {"'tap':'tap11111111-22'", "'tap':'tap11111/11-22'"},
    {"'mac':'fa:16:3e:00:00:01'", "'mac':'fa:16:3e:00:00:01,x'"},
    {"'mtu':1500", "'mtu':70000"},
    {"'meta_data':{'uuid':'x'}", "'meta_data':[]"},
    {"'user_data':'aGVsbG8='", "'user_data':'***'"},
    {"'image':{", "'image':null,'was':{"},
    {"'nics':[{", "'nics':[7,{"},
};

static const struct bad bad_networks[] = {
    {"'cidr':'10.0.0.0/24'", "'cidr':'10.0.0.0'"},
    {"'cidr':'10.0.0.0/24'", "'cidr':'10.0.0.0/33'"},
    {"'cidr':'10.0.0.0/24'", "'cidr':'fd00::/64'"},
    {"'gateway_ip':'10.0.0.1'", "'gateway_ip':'10.0.0.1; drop'"},
    {"'dns_nameservers':['9.9.9.9']", "'dns_nameservers':['9.9.9.9\\nserver=x']"},
    {"'nexthop':'10.0.0.7'", "'nexthop':'fd00::1'"},
    {"'ip_address':'10.0.0.5'", "'ip_address':'10.0.0.5/24'"},
    {"'protocol':'tcp'", "'protocol':'tcp; accept'"},
    {"'direction':'ingress'", "'direction':'in'"},
    {"'port_min':22", "'port_min':65536"},
    {"'remotes':['fd00::/8']", "'remotes':['10.0.0.0/8']"},
    {"'remotes':['fd00::/8']", "'remotes':'any'"},
    {"'hostname':'web'", "'hostname':'a,b'"},
    {"'ipv6_ra_mode':null", "'ipv6_ra_mode':'x'"},
    {"'mtu':1450", "'mtu':null"},
};

static const struct bad bad_routers[] = {
    {"'mac':'fa:16:3e:00:00:03'", "'mac':''"},
    {"'prefix':24", "'prefix':129"},
    {"'floating_ip':'203.0.113.9'", "'floating_ip':'203.0.113'"},
    {"'admin_state_up':true", "'admin_state_up':null"},
    {"'destination':'0.0.0.0/0'", "'destination':'default'"},
};

static void test_refused(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct spec_server s;
    struct spec_network n;
    struct spec_router r;
    for (size_t i = 0; i < ARRAY_LEN(bad_servers); i++)
        assert_err(&cx, ERR_INVALID,
                   spec_server_read(
                       &cx, tree(&cx, server_text, bad_servers[i].from, bad_servers[i].to), &s));
    for (size_t i = 0; i < ARRAY_LEN(bad_networks); i++)
        assert_err(&cx, ERR_INVALID,
                   spec_network_read(
                       &cx, tree(&cx, network_text, bad_networks[i].from, bad_networks[i].to), &n));
    for (size_t i = 0; i < ARRAY_LEN(bad_routers); i++)
        assert_err(&cx, ERR_INVALID,
                   spec_router_read(
                       &cx, tree(&cx, router_text, bad_routers[i].from, bad_routers[i].to), &r));
    assert_err(&cx, ERR_INVALID, spec_server_read(&cx, tree(&cx, "[]", NULL, NULL), &s));
    assert_err(&cx, ERR_INVALID, spec_router_read(&cx, NULL, &r));
}

/* What is read does not lean on the tree it came from. */
static void test_outlives_tree(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct spec_server s;
    struct ctx other;
    ctx_init(&other);
    json_t *j = tree(&other, server_text, NULL, NULL);
    assert_ok(&cx, spec_server_read(&cx, j, &s));
    ctx_release(&other);
    assert_string_equal(s.nics[0].mac, "fa:16:3e:00:00:01");
    assert_string_equal(json_get_str(s.meta_data, "uuid"), "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server),        cmocka_unit_test(test_network),
        cmocka_unit_test(test_router),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_outlives_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
