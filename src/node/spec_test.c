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

#define IMAGE "{'id':'" SUBNET "','size':10,'sha512':'" SHA64 SHA64 "','disk_format':'raw'}"

/* The rest of a server's life: what a spec has when all of it is asked for. */
static const char more_text[] =
    "'user_data':'aGVsbG8=','paused':true,'suspended':true,'checkpoint':3,'restore_seq':2,"
    "'rescue':{'seq':4,'image':" IMAGE "},'password_data':'secret',"
    "'volumes':[{'volume_id':'" NET "','boot_index':-1,'read_only':true},{'volume_id':'" PORT "'}]";

static const char volume_text[] = "{'id':'" NET "','size_gib':2,'source':{'image':" IMAGE
                                  ",'volume_id':null,'snapshot_id':null},'snapshots':['" PORT
                                  "','" SUBNET "'],'server_id':'" SERVER "'}";

static const char image_text[] = "{'id':'" NET "','image':{'id':'" NET
                                 "','size':5,'sha512':'" SHA64 SHA64 "','disk_format':'raw'}}";

static const char export_text[] =
    "{'id':'" NET "','server_id':'" SERVER "','volume_id':null,'disk_format':'qcow2'}";

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

/* Absent means none; all of it at once. */
static void test_server_more(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct spec_server s;
    assert_ok(&cx, spec_server_read(&cx, tree(&cx, server_text, NULL, NULL), &s));
    assert_true(s.n_volumes == 0 && !s.paused && !s.suspended && !s.rescue.seq);
    assert_true(!s.checkpoint && !s.restore_seq && !s.password_data);
    assert_ok(&cx, spec_server_read(
                       &cx, tree(&cx, server_text, "'user_data':'aGVsbG8='", more_text), &s));
    assert_true(s.paused && s.suspended && s.checkpoint == 3 && s.restore_seq == 2);
    assert_int_equal(s.rescue.seq, 4);
    assert_string_equal(s.rescue.image.disk_format, "raw");
    assert_string_equal(s.password_data, "secret");
    assert_int_equal(s.n_volumes, 2);
    assert_true(s.volumes[0].read_only && s.volumes[0].boot_index == -1);
    assert_string_equal(s.volumes[1].volume_id, PORT);
    assert_int_equal(s.volumes[1].boot_index, -1);
    assert_ok(&cx, spec_server_read(&cx,
                                    tree(&cx, server_text, "'image':{",
                                         "'volumes':[{'volume_id':'" NET "','boot_index':0}],"
                                         "'image':null,'was':{"),
                                    &s));
    assert_null(s.image.id);
    assert_int_equal(s.volumes[0].boot_index, 0);
}

static void test_volume(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct spec_volume v;
    struct spec_export x;
    struct spec_cached ci;
    assert_ok(&cx, spec_volume_read(&cx, tree(&cx, volume_text, NULL, NULL), &v));
    assert_int_equal(v.size_gib, 2);
    assert_string_equal(v.source.image.id, SUBNET);
    assert_string_equal(v.snapshots[1], SUBNET);
    assert_string_equal(v.server_id, SERVER);
    assert_ok(&cx, spec_volume_read(&cx,
                                    tree(&cx, volume_text, "'source':{'image':{",
                                         "'source':{'volume_id':'" PORT "','snapshot_id':'" SERVER
                                         "'},'was':{'image':{"),
                                    &v));
    assert_null(v.source.image.id);
    assert_string_equal(v.source.snapshot_id, SERVER);
    assert_ok(&cx,
              spec_volume_read(&cx, tree(&cx, "{'id':'" NET "','size_gib':1}", NULL, NULL), &v));
    assert_true(!v.source.volume_id && !v.n_snapshots && !v.server_id);
    assert_ok(&cx, spec_export_read(&cx, tree(&cx, export_text, NULL, NULL), &x));
    assert_ok(&cx, spec_image_read(&cx, tree(&cx, image_text, NULL, NULL), &ci));
    assert_int_equal(ci.image.size_bytes, 5);
    assert_string_equal(x.server_id, SERVER);
    assert_null(x.volume_id);
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
    const char *none = "'extra_dhcp_opts':[]";
    assert_ok(&cx, spec_network_read(&cx,
                                     tree(&cx, network_text, none,
                                          "'extra_dhcp_opts':[{'opt_name':'ntp-server',"
                                          "'opt_value':'10.0.0.9','ip_version':4}]"),
                                     &n));
    assert_string_equal(n.ports[0].options[0].value, "10.0.0.9");
    static const char *const bad[] = {
        "'extra_dhcp_opts':[{'opt_name':'a,b','opt_value':'x','ip_version':4}]",
        "'extra_dhcp_opts':[{'opt_name':'a','opt_value':'x\\ny','ip_version':4}]",
        "'extra_dhcp_opts':[{'opt_name':'a','opt_value':null,'ip_version':4}]",
        "'extra_dhcp_opts':[{'opt_name':'a','opt_value':'x','ip_version':5000}]",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_err(&cx, ERR_INVALID,
                   spec_network_read(&cx, tree(&cx, network_text, none, bad[i]), &n));
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

static const struct bad bad_more[] = {
    {"'volume_id':'" PORT "'", "'volume_id':'" NET "'"},
    {"'volume_id':'" PORT "'", "'volume_id':'x'"},
    {"'boot_index':-1", "'boot_index':0"}, /* a second root disk */
    {"'boot_index':-1", "'boot_index':-2"},
    {"'read_only':true", "'read_only':'yes'"},
    {"'paused':true", "'paused':1"},
    {"'checkpoint':3", "'checkpoint':-3"},
    {"'rescue':{'seq':4,", "'rescue':{'seq':0,"},
    {"'rescue':{'seq':4,'image':{", "'rescue':{'seq':4,'was':{"},
};

static const struct bad bad_volumes[] = {
    {"'size_gib':2", "'size_gib':0"},
    {"'size_gib':2", "'size_gib':2.5"},
    {"'volume_id':null", "'volume_id':'" PORT "'"}, /* besides the image */
    {"'snapshot_id':null", "'snapshot_id':'" PORT "'"},
    {"'source':{'image':{", "'source':{'volume_id':'" NET "'},'was':{'image':{"}, /* from itself */
    {"'snapshots':['" PORT "'", "'snapshots':['" SUBNET "'"},
    {"'snapshots':['" PORT "'", "'snapshots':['../x'"},
    {"'snapshots':[", "'snapshots':'all','were':["},
    {"'server_id':'" SERVER "'", "'server_id':''"},
};

static const struct bad bad_images[] = {
    {"{'id':'" NET "','image'", "{'id':'" PORT "','image'"},
    {"'size':5", "'size':-5"},
    {"'disk_format':'raw'", "'disk_format':'iso'"},
    {",'image':{", ",'picture':{"},
};

static const struct bad bad_exports[] = {
    {"'id':'" NET "'", "'id':'../x'"},
    {"'volume_id':null", "'volume_id':'" PORT "'"},
    {"'server_id':'" SERVER "'", "'server_id':null"},
    {"'disk_format':'qcow2'", "'disk_format':'vmdk'"},
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
    struct spec_volume v;
    struct spec_export x;
    struct spec_cached ci;
    const char *full =
        arena_printf(cx.arena, "%.*s%s}", (int)(strstr(server_text, "'user_data'") - server_text),
                     server_text, more_text);
    for (size_t i = 0; i < ARRAY_LEN(bad_more); i++)
        assert_err(&cx, ERR_INVALID,
                   spec_server_read(&cx, tree(&cx, full, bad_more[i].from, bad_more[i].to), &s));
    for (size_t i = 0; i < ARRAY_LEN(bad_volumes); i++)
        assert_err(&cx, ERR_INVALID,
                   spec_volume_read(
                       &cx, tree(&cx, volume_text, bad_volumes[i].from, bad_volumes[i].to), &v));
    for (size_t i = 0; i < ARRAY_LEN(bad_images); i++)
        assert_err(
            &cx, ERR_INVALID,
            spec_image_read(&cx, tree(&cx, image_text, bad_images[i].from, bad_images[i].to), &ci));
    for (size_t i = 0; i < ARRAY_LEN(bad_exports); i++)
        assert_err(&cx, ERR_INVALID,
                   spec_export_read(
                       &cx, tree(&cx, export_text, bad_exports[i].from, bad_exports[i].to), &x));
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
        cmocka_unit_test(test_outlives_tree), cmocka_unit_test(test_server_more),
        cmocka_unit_test(test_volume),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
