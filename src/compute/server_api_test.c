/* SPDX-License-Identifier: EUPL-1.2 */
/* Servers' lists, members by microversion, sub-resources, deadlines; and what happens when calls
 * fail or race. */
#include "compute/test_fakes.h"

#define V "/compute/v2.1"
static struct compute_world w;
#define T (&w.t)
#define path(...) world_path(&w, __VA_ARGS__)

static int setup(void **state UNUSED)
{
    world_start(&w, 2, 8192);
    return 0;
}

static int teardown(void **state UNUSED)
{
    world_stop(&w);
    return 0;
}

static void version(unsigned minor)
{
    T->headers[0] = minor ? path("X-OpenStack-Nova-API-Version: 2.%u", minor) : NULL;
}

static size_t listed(const char *who, const char *query)
{
    struct test_reply r = test_expect(T, 200, who, "GET", path(V "/servers%s", query), NULL);
    return json_array_size(json_get(r.json, "servers"));
}

/* ---------------------------------------------------------------- lists */

static void lists_read_what_they_show(void **state UNUSED)
{
    struct test_reply r = test_expect(
        T, 202, "p1", "POST", V "/servers",
        "{'server':{'name':'whole','imageRef':'%s','flavorRef':'1','networks':[{'uuid':'%s'}],"
        "'metadata':{'a':'b'},'user_data':'aGVsbG8=','config_drive':true}}",
        IMAGE_OK, NET_A);
    const char *id = test_str(T, &r, "server.id");
    const char *sql =
        path("UPDATE servers SET description = 'd', tags = '[\"t\"]', key_name = 'k', "
             "access_ip_v4 = '1.2.3.4', access_ip_v6 = '::1', pinned_zone = 'z', "
             "locked = 1, locked_reason = 'r', launched_at = 5, launch_index = 3, "
             "seen_power = 'on', seen_paused = 1, export_image = 'i', "
             "fault_code = 500, fault_message = 'm', fault_at = 7%s",
             "");
    static const char *const states[] = {"ACTIVE", "ERROR", "SHUTOFF"};
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        AUTO_TXN struct tx *tx = NULL;
        const struct stmt st = {"all", path("%s, state = '%s'", sql, states[i])};
        assert_ok(&T->cx, tx_write(&T->cx, T->store, &tx));
        assert_ok(&T->cx, db_exec(&T->cx, tx, &st, NULL, 0, NULL));
        assert_ok(&T->cx, tx_commit(&T->cx, &tx));
        test_needs(T, &server_resource, id, V "/servers/detail", 96);
    }
}

static void named(const char *name, const char *flavor, const char *net)
{
    test_expect(
        T, 202, "p1", "POST", V "/servers",
        "{'server':{'name':'%s','imageRef':'%s','flavorRef':'%s','networks':[{'uuid':'%s'}]}}",
        name, IMAGE_OK, flavor, net);
}

static void lists_filter(void **state UNUSED)
{
    named("web-1", "1", NET_A);
    named("web-2", "2", NET_A);
    named("db-1", "1", NET_B);
    assert_int_equal(listed("p1", ""), 3);
    assert_int_equal(listed("p1", "?name=web"), 2);
    assert_int_equal(listed("p1", "?name=%5E.*%5C-1%24"), 2); /* ^.*\-1$ */
    assert_int_equal(listed("p1", "?flavor=2"), 1);
    assert_int_equal(listed("p1", "?flavor=none"), 0);
    assert_int_equal(listed("p1", "?image=" IMAGE_OK), 3);
    assert_int_equal(listed("p1", "?image=" IMAGE_BIG), 0);
    assert_int_equal(listed("p1", "?status=build"), 3);
    assert_int_equal(listed("p1", "?status=ACTIVE"), 0);
    assert_int_equal(listed("p1", "?status=nonsense"), 0);
    assert_int_equal(listed("p1", "?ip=10.0.0.1"), 1);
    assert_int_equal(listed("p1", "/detail?ip=10.0.0.&name=db"), 1);
    assert_int_equal(listed("p1", "?ip6=10.0.0.1"), 0);
    assert_int_equal(listed("p1", "?changes-since=2100-01-01T00:00:00Z"), 0);
    assert_int_equal(listed("p1", "?changes-since=2000-01-01T00:00:00Z"), 3);
    assert_int_equal(listed("p1", "?host=h0"), 3); /* not theirs to ask: no effect */
    assert_true(listed("admin", "?all_tenants=1&host=h0") < 3);
    assert_int_equal(listed("admin", "?all_tenants=1&project_id=p2"), 0);
    assert_int_equal(listed("admin", "?all_tenants=1&project_id=p1"), 3);
    assert_int_equal(listed("p1", "?deleted=true"), 0);
    version(38);
    test_expect(T, 400, "p1", "GET", V "/servers?status=nonsense", NULL);
    version(0);
    struct test_reply r =
        test_expect(T, 400, "p1", "GET", V "/servers?changes-since=2011/01/01", NULL);
    assert_string_equal(test_str(T, &r, "badRequest.message"),
                        "Invalid input for query parameters changes-since. Value: 2011/01/01. "
                        "'2011/01/01' is not a 'date-time'");
    test_expect(T, 400, "p1", "GET", V "/servers?name=(", NULL);
    test_expect(T, 400, "p1", "GET", V "/servers?name=((a{9}){9}){9}", NULL);
    char nested[256]; /* would take all the memory there is */
    memset(nested, '(', 40);
    nested[40] = 'a';
    for (int i = 0; i < 40; i++)
        memcpy(nested + 41 + 4 * i, "%2B)", 5);
    test_expect(T, 400, "p1", "GET", arena_printf(T->cx.arena, V "/servers?name=%s", nested), NULL);
    test_expect(T, 400, "p1", "GET", V "/servers?limit=-1", NULL);
    test_expect(T, 400, "p1", "GET", V "/servers?limit=x", NULL);
    test_expect(T, 400, "p1", "GET", V "/servers?marker=" NET_A, NULL);
    test_expect(T, 400, "p1", "GET", V "/servers?sort_key=bogus", NULL);
}

static void lists_page_and_sort(void **state UNUSED)
{
    for (int i = 0; i < 5; i++)
        named(path("s%d", i), "1", NET_A);
    struct test_reply r = test_expect(
        T, 200, "p1", "GET", V "/servers?limit=2&sort_key=display_name&sort_dir=asc", NULL);
    assert_string_equal(test_str(T, &r, "servers[1].name"), "s1");
    const char *next = test_str(T, &r, "servers_links[0].href");
    assert_true(str_starts(next, T->url));
    r = test_expect(T, 200, "p1", "GET", next + strlen(T->url), NULL);
    assert_string_equal(test_str(T, &r, "servers[0].name"), "s2");
    next = test_str(T, &r, "servers_links[0].href");
    r = test_expect(T, 200, "p1", "GET", next + strlen(T->url), NULL);
    assert_int_equal(json_array_size(json_get(r.json, "servers")), 1);
    assert_null(test_str(T, &r, "servers_links"));
    assert_int_equal(listed("p1", "?limit=0"), 0);
    assert_int_equal(listed("p1", "?limit=1000"), 5);
    assert_int_equal(listed("p1", "?limit=2&name=s"), 2);
    r = test_expect(T, 200, "p1", "GET", V "/servers/detail", NULL);
    assert_string_equal(test_str(T, &r, "servers[0].name"), "s4"); /* newest first */
}

/* ---------------------------------------------------------------- members by microversion */

static void members_come_with_their_version(void **state UNUSED)
{
    static const struct {
        const char *member;
        unsigned since;
        bool admin;
    } members[] = {{"OS-DCF:diskConfig", 1, false},
                   {"security_groups", 1, false},
                   {"config_drive", 1, false},
                   {"OS-EXT-SRV-ATTR:host", 1, true},
                   {"OS-EXT-SRV-ATTR:hypervisor_hostname", 1, true},
                   {"OS-EXT-SRV-ATTR:instance_name", 1, true},
                   {"OS-EXT-SRV-ATTR:user_data", 3, true},
                   {"OS-EXT-SRV-ATTR:reservation_id", 3, true},
                   {"OS-EXT-SRV-ATTR:launch_index", 3, true},
                   {"locked", 9, false},
                   {"host_status", 16, true},
                   {"description", 19, false},
                   {"tags", 26, false},
                   {"trusted_image_certificates", 63, false},
                   {"server_groups", 71, false},
                   {"locked_reason", 73, false}};
    const char *id = world_running(&w, "p1");
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        for (unsigned mv = members[i].since > 1 ? members[i].since - 1 : 1; mv <= members[i].since;
             mv++) {
            version(mv);
            const char *at = path("server.%s", members[i].member);
            struct test_reply r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", id), NULL);
            assert_int_equal(json_get(json_get(r.json, "server"), at + 7) != NULL,
                             mv >= members[i].since && !members[i].admin);
            r = test_expect(T, 200, "admin", "GET", path(V "/servers/%s", id), NULL);
            assert_int_equal(json_get(json_get(r.json, "server"), at + 7) != NULL,
                             mv >= members[i].since);
        }
    version(46);
    struct test_reply r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", id), NULL);
    assert_string_equal(test_str(T, &r, "server.flavor.id"), "1");
    version(47);
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", id), NULL);
    assert_string_equal(test_str(T, &r, "server.flavor.original_name"), "m1.tiny");
    version(71);
    r = test_expect(T, 200, "p1", "GET", V "/servers/detail", NULL);
    assert_null(test_str(T, &r, "servers[0].server_groups"));
    version(74);
    r = test_expect(T, 200, "p1", "PUT", path(V "/servers/%s", id),
                    "{'server':{'description':null}}");
    assert_null(test_str(T, &r, "server.OS-EXT-STS:vm_state"));
    version(75);
    r = test_expect(T, 200, "p1", "PUT", path(V "/servers/%s", id), "{'server':{'name':'n'}}");
    assert_string_equal(test_str(T, &r, "server.OS-EXT-STS:vm_state"), "active");
    version(89);
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", id), NULL);
    assert_null(test_str(T, &r, "server.OS-EXT-SRV-ATTR:hostname"));
    version(90);
    r = test_expect(T, 200, "p1", "PUT", path(V "/servers/%s", id),
                    "{'server':{'hostname':'other'}}");
    assert_string_equal(test_str(T, &r, "server.OS-EXT-SRV-ATTR:hostname"), "other");
    test_expect(T, 400, "p1", "PUT", path(V "/servers/%s", id), "{'server':{'hostname':'-bad-'}}");
}

static void networks_are_required_from_2_37(void **state UNUSED)
{
    static const char body[] =
        "{'server':{'name':'x','imageRef':'" IMAGE_OK "','flavorRef':'1'%s}}";
    test_expect(T, 202, "p1", "POST", V "/servers", body, "");
    version(37);
    test_expect(T, 400, "p1", "POST", V "/servers", body, "");
    struct test_reply r =
        test_expect(T, 202, "p1", "POST", V "/servers", body, ",'networks':'none'");
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", test_str(T, &r, "server.id")), NULL);
    assert_string_equal(test_str(T, &r, "server.addresses"), "{}");
    assert_null(test_str(T, &r, "server.security_groups"));
    test_expect(T, 202, "p1", "POST", V "/servers", body, ",'networks':'auto'");
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_ports"), 2);
    test_expect(T, 400, "p1", "POST", V "/servers", body, ",'networks':'some'");
    struct buf many; /* more than a host takes for one server */
    buf_init(&many, T->cx.arena);
    for (int i = 0; i < 33; i++)
        buf_str(&many, i ? ",{'uuid':'" NET_A "'}" : "{'uuid':'" NET_A "'}");
    test_expect(T, 400, "p1", "POST", V "/servers", body,
                arena_printf(T->cx.arena, ",'networks':[%s]", buf_cstr(&many)));
    test_expect(T, 400, "p1", "POST", V "/servers", body,
                ",'networks':[{'uuid':'" NET_A "','x':'y'}]");
    test_expect(T, 400, "p1", "POST", V "/servers", body,
                ",'networks':[{'uuid':'" NET_A "','fixed_ip':'300.1.1.1'}]");
    test_expect(T, 400, "p1", "POST", V "/servers", body, ",'networks':[{'uuid':'" IMAGE_OK "'}]");
    test_expect(T, 400, "p1", "POST", V "/servers", body, ",'networks':[{}]");
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_ports"), 2);
    assert_int_equal(world_count(&w, "SELECT 1 FROM servers"), 3);
}

static void what_is_given_arrives_at_the_host(void **state UNUSED)
{
    test_expect(T, 200, "p1", "POST", V "/os-keypairs", "{'keypair':{'name':'key'}}");
    struct test_reply r = test_expect(
        T, 202, "p1", "POST", V "/servers",
        "{'server':{'name':'My "
        "Web_server.1','imageRef':'%s','flavorRef':'1','key_name':'key','user_data':'IyEvYmluL3No',"
        "'config_drive':true,'metadata':{'role':'web'},'security_groups':[{'name':'web'}],'"
        "adminPass':'hunter2',"
        "'availability_zone':'nova','networks':[{'uuid':'%s'},{'uuid':'%s'}]}}",
        IMAGE_OK, NET_A, NET_B);
    const char *id = test_str(T, &r, "server.id");
    assert_string_equal(test_str(T, &r, "server.adminPass"), "hunter2");
    assert_string_equal(test_str(T, &r, "server.security_groups[0].name"), "web");
    const json_t *spec = world_spec(&w, world_host_of(&w, id), id),
                 *md = json_get(spec, "meta_data");
    assert_string_equal(json_get_str(spec, "hostname"), "my-web-server-1");
    assert_string_equal(json_get_str(spec, "user_data"), "IyEvYmluL3No");
    assert_true(json_get_bool(spec, "config_drive", false));
    assert_int_equal(json_array_size(json_get(spec, "nics")), 2);
    assert_string_equal(json_get_str(md, "admin_pass"), "hunter2");
    assert_string_equal(json_get_str(json_get(md, "meta"), "role"), "web");
    assert_true(str_starts(json_get_str(json_get(md, "public_keys"), "key"), "ssh-ed25519 "));
    assert_string_equal(json_get_str(json_array_get(json_get(md, "keys"), 0), "type"), "ssh");
    assert_int_equal(strlen(json_get_str(md, "random_seed")), 88);
}

static void administrators_choose_the_host(void **state UNUSED)
{
    static const char body[] = "{'server':{'name':'x','imageRef':'" IMAGE_OK
                               "','flavorRef':'1','availability_zone':'%s'}}";
    for (int i = 0; i < 3; i++) {
        struct test_reply r = test_expect(T, 202, "admin", "POST", V "/servers", body, "nova:h1");
        assert_string_equal(world_host_of(&w, test_str(T, &r, "server.id")), w.host_id[1]);
    }
    test_expect(T, 403, "p1", "POST", V "/servers", body, "nova:h1");
    struct test_reply r = test_expect(T, 202, "admin", "POST", V "/servers", body, "nova:h7");
    assert_string_equal(world_status(&w, test_str(T, &r, "server.id")), "ERROR");
    version(74);
    static const char with_host[] = "{'server':{'name':'x','imageRef':'" IMAGE_OK
                                    "','flavorRef':'1','networks':'none','host':'%s'}}";
    test_expect(T, 202, "admin", "POST", V "/servers", with_host, "h0");
    test_expect(T, 400, "admin", "POST", V "/servers", with_host, "h7");
    test_expect(T, 403, "p1", "POST", V "/servers", with_host, "h0");
}

/* ---------------------------------------------------------------- parts */

static void metadata_changes(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *all = path(V "/servers/%s/metadata", id);
    test_expect(T, 200, "p1", "PUT", all, "{'metadata':{'a':'1','b':'2'}}");
    struct test_reply r = test_expect(T, 200, "p1", "POST", all, "{'metadata':{'b':'3'}}");
    assert_string_equal(test_str(T, &r, "metadata.a"), "1");
    assert_string_equal(test_str(T, &r, "metadata.b"), "3");
    r = test_expect(T, 200, "p1", "PUT", path("%s/c", all), "{'meta':{'c':'4'}}");
    assert_string_equal(test_str(T, &r, "meta.c"), "4");
    test_expect(T, 400, "p1", "PUT", path("%s/c", all), "{'meta':{'d':'4'}}");
    test_expect(T, 204, "p1", "DELETE", path("%s/a", all), NULL);
    test_expect(T, 404, "p1", "DELETE", path("%s/a", all), NULL);
    test_expect(T, 404, "p1", "GET", path("%s/a", all), NULL);
    test_expect(T, 400, "p1", "PUT", all, "{'metadata':{'a':1}}");
    test_expect(T, 400, "p1", "PUT", all, "{'metadata':{'':'x'}}");
    test_expect(T, 400, "p1", "PUT", all, "{'metadata':null}");
    test_expect(T, 403, "p1:reader", "PUT", all, "{'metadata':{}}");
    assert_string_equal(
        json_get_str(
            json_get(json_get(world_spec(&w, world_host_of(&w, id), id), "meta_data"), "meta"),
            "c"),
        "4");
}

static void actions_are_recorded(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *host = world_host_of(&w, id);
    struct test_reply r = test_expect(T, 202, "p1", "POST", path(V "/servers/%s/action", id),
                                      "{'reboot':{'type':'HARD'}}");
    const char *request = NULL;
    for (size_t i = 0; i < r.answer.n_headers; i++)
        if (str_eq(r.answer.headers[i].name, "x-compute-request-id"))
            request = r.answer.headers[i].value;
    assert_non_null(request);
    version(51);
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s/os-instance-actions/%s", id, request),
                    NULL);
    assert_string_equal(test_str(T, &r, "instanceAction.action"), "reboot");
    assert_string_equal(test_str(T, &r, "instanceAction.events[0].finish_time"), "null");
    world_report(&w, host, id, "{'power':'on','boot_seq':2,'build_seq':1}");
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s/os-instance-actions/%s", id, request),
                    NULL);
    assert_string_equal(test_str(T, &r, "instanceAction.events[0].result"), "Success");
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s/os-instance-actions", id), NULL);
    assert_string_equal(test_str(T, &r, "instanceActions[0].action"), "reboot");
    assert_string_equal(test_str(T, &r, "instanceActions[1].action"), "create");
    test_expect(T, 404, "p1", "GET", path(V "/servers/%s/os-instance-actions/req-none", id), NULL);
    /* After the deletion the project still reads them, strangers do not. */
    test_expect(T, 204, "p1", "DELETE", path(V "/servers/%s", id), NULL);
    world_report(&w, host, id, "{'power':'absent'}");
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s/os-instance-actions", id), NULL);
    assert_string_equal(test_str(T, &r, "instanceActions[0].action"), "delete");
    test_expect(T, 404, "p2", "GET", path(V "/servers/%s/os-instance-actions", id), NULL);
    version(20);
    test_expect(T, 404, "p1", "GET", path(V "/servers/%s/os-instance-actions", id), NULL);
}

static void parts_are_shown(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    struct test_reply r =
        test_expect(T, 200, "p1", "GET", path(V "/servers/%s/ips/net-a", id), NULL);
    assert_non_null(test_str(T, &r, "net-a[0].addr"));
    test_expect(T, 404, "p1", "GET", path(V "/servers/%s/ips/net-z", id), NULL);
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s/os-interface", id), NULL);
    const char *port = test_str(T, &r, "interfaceAttachments[0].port_id");
    test_expect(T, 200, "p1", "GET", path(V "/servers/%s/os-interface/%s", id, port), NULL);
    test_expect(T, 404, "p1", "GET", path(V "/servers/%s/os-interface/%s", id, id), NULL);
    test_expect(T, 202, "p1", "POST", path(V "/servers/%s/action", id),
                "{'addSecurityGroup':{'name':'web'}}");
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s/os-security-groups", id), NULL);
    assert_string_equal(test_str(T, &r, "security_groups[0].name"), "web");
    test_expect(T, 400, "p1", "POST", path(V "/servers/%s/action", id),
                "{'removeSecurityGroup':{}}");
    /* Its host answers nowhere in this test. */
    test_expect(T, 503, "p1", "POST", path(V "/servers/%s/action", id),
                "{'os-getConsoleOutput':{'length':5}}");
    test_expect(T, 400, "p1", "POST", path(V "/servers/%s/action", id),
                "{'os-getConsoleOutput':{'length':'x'}}");
}

static void groups_by_the_older_api(void **state UNUSED)
{
    static const char *const bad[] = {"{}",
                                      "{'name':'a'}",
                                      "{'name':'','description':''}",
                                      "{'name':7,'description':''}",
                                      "{'name':'a','description':null}",
                                      "{'name':'a','description':'','x':1}"};
    struct test_reply r = test_expect(T, 200, "p1", "POST", V "/os-security-groups",
                                      "{'security_group':{'name':' a ','description':''}}");
    assert_non_null(test_str(T, &r, "security_group.tenant_id"));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(T, 400, "p1", "POST", V "/os-security-groups", "{'security_group':%s}", bad[i]);
    test_expect(T, 200, "p1", "PUT", V "/os-security-groups/web",
                "{'security_group':{'name':'b','description':''}}");
    test_expect(T, 404, "p1", "PUT", V "/os-security-groups/none",
                "{'security_group':{'name':'b','description':''}}");
    test_expect(T, 400, "p1", "PUT", V "/os-security-groups/web", "{'security_group':{}}");
    test_expect(T, 202, "p1", "DELETE", V "/os-security-groups/web", NULL);
    test_expect(T, 400, "p1", "DELETE", V "/os-security-groups/default", NULL);
    test_expect(T, 404, "p1", "DELETE", V "/os-security-groups/", NULL);
    version(36);
    test_expect(T, 404, "p1", "DELETE", V "/os-security-groups/web", NULL);
}

static void images_by_the_older_api(void **state UNUSED)
{
    struct test_reply r = test_expect(T, 200, "p1", "GET", V "/images/" IMAGE_OK, NULL);
    assert_string_equal(test_str(T, &r, "image.status"), "ACTIVE");
    assert_int_equal(json_integer_value(test_at(&r, "image.progress")), 100);
    assert_string_equal(test_str(T, &r, "image.links[1].rel"), "bookmark");
    r = test_expect(T, 200, "p2", "GET", V "/images/" IMAGE_QUEUED, NULL);
    assert_string_equal(test_str(T, &r, "image.status"), "SAVING");
    test_expect(T, 404, "p1", "GET", V "/images/" IMAGE_P2, NULL);
    test_expect(T, 404, "p1", "DELETE", V "/images/" IMAGE_P2, NULL);
    test_expect(T, 403, "p1", "DELETE", V "/images/" IMAGE_OK, NULL);
    test_expect(T, 204, "p2", "DELETE", V "/images/" IMAGE_P2, NULL);
    r = test_expect(T, 200, "p1", "GET", V "/images", NULL);
    assert_null(test_at(&r, "images[0].status"));
    r = test_expect(T, 200, "p1", "GET", V "/images/detail", NULL);
    assert_string_equal(test_str(T, &r, "images[0].status"), "ACTIVE");
    version(36);
    test_expect(T, 404, "p1", "GET", V "/images/" IMAGE_OK, NULL);
}

/* ---------------------------------------------------------------- tags */

static void tags_come_and_go(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *tags = path(V "/servers/%s/tags", id);
    test_expect(T, 404, "p1", "GET", tags, NULL); /* before 2.26 */
    version(26);
    struct test_reply r = test_expect(T, 201, "p1", "PUT", path("%s/a%%20b", tags), NULL);
    test_expect(T, 204, "p1", "PUT", path("%s/a%%20b", tags), NULL);
    test_expect(T, 204, "p1", "GET", path("%s/a%%20b", tags), NULL);
    test_expect(T, 404, "p1", "GET", path("%s/other", tags), NULL);
    r = test_expect(T, 200, "p1", "PUT", tags, "{'tags':['x','y','x']}");
    assert_int_equal(json_array_size(test_at(&r, "tags")), 2);
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", id), NULL);
    assert_string_equal(test_str(T, &r, "server.tags[1]"), "y");
    test_expect(T, 204, "p1", "DELETE", path("%s/x", tags), NULL);
    test_expect(T, 404, "p1", "DELETE", path("%s/x", tags), NULL);
    /* Bad ones, too many, a stranger's. */
    static const char *const bad[] = {"'x'", "[7]", "['']", "['a,b']", "['a/b']"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(T, 400, "p1", "PUT", tags, "{'tags':%s}", bad[i]);
    test_expect(T, 400, "p1", "PUT", path("%s/%061d", tags, 0), NULL);
    test_expect(T, 404, "p2", "GET", tags, NULL);
    test_expect(T, 404, "p2", "PUT", path("%s/z", tags), NULL);
    for (int i = 1; i < 50; i++)
        test_expect(T, 201, "p1", "PUT", path("%s/n%d", tags, i), NULL);
    test_expect(T, 400, "p1", "PUT", path("%s/n50", tags), NULL);
    test_expect(T, 204, "p1", "DELETE", tags, NULL);
    r = test_expect(T, 200, "p1", "GET", tags, NULL);
    assert_int_equal(json_array_size(test_at(&r, "tags")), 0);
}

static void lists_filter_by_tags(void **state UNUSED)
{
    const char *one = world_running(&w, "p1"), *two = world_running(&w, "p1");
    version(26);
    test_expect(T, 200, "p1", "PUT", path(V "/servers/%s/tags", one), "{'tags':['a','b']}");
    test_expect(T, 200, "p1", "PUT", path(V "/servers/%s/tags", two), "{'tags':['b','c']}");
    static const struct {
        const char *query;
        size_t n;
    } cases[] = {{"?tags=a,b", 1},         {"?tags=b", 2},       {"?tags=a,c", 0},
                 {"?tags-any=a,c", 2},     {"?not-tags=a,b", 1}, {"?not-tags-any=a,z", 1},
                 {"?tags=b&not-tags=c", 1}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (listed("p1", cases[i].query) != cases[i].n)
            fail_msg("%s: not %zu", cases[i].query, cases[i].n);
    version(0);
    assert_int_equal(listed("p1", "?tags=a"), 2); /* no filter yet */
}

/* ---------------------------------------------------------------- deadlines */

struct late_clock {
    struct clock clock;
    int64_t by_us;
};

static int64_t late_wall(struct clock *c)
{
    struct clock *s = clock_system();
    return s->wall_us(s) + ((struct late_clock *)(void *)c)->by_us;
}

static int64_t late_mono(struct clock *c UNUSED)
{
    struct clock *s = clock_system();
    return s->mono_us(s);
}

static size_t sweep_after(int64_t seconds)
{
    struct late_clock clock = {{late_wall, late_mono}, seconds * 1000000};
    struct ctx cx;
    size_t changed;
    ctx_init_with(&cx, &clock.clock, rng_system());
    assert_ok(&cx, compute_sweep(&cx, T->store, &changed));
    ctx_release(&cx);
    return changed;
}

/* … and without a gap in the minute before. */
static size_t sweep_until(int64_t seconds)
{
    for (int64_t before = 60; before; before -= 20)
        sweep_after(seconds - before);
    return sweep_after(seconds);
}

static void deadlines_lead_out(void **state UNUSED)
{
    const char *id = world_server(&w, "p1"), *host = world_host_of(&w, id);
    assert_int_equal(sweep_after(0), 0);
    assert_int_equal(sweep_after(601), 1);
    assert_int_equal(sweep_after(601), 0);
    struct test_reply r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", id), NULL);
    assert_string_equal(test_str(T, &r, "server.status"), "ERROR");
    assert_non_null(strstr(test_str(T, &r, "server.fault.message"), "still building after 600 s"));
    world_report(&w, host, id,
                 "{'power':'on','boot_seq':1,'build_seq':1}"); /* better late than never */
    assert_string_equal(world_status(&w, id), "ACTIVE");
    /* A deletion is told again, and not waited for when the host is gone for good. */
    test_expect(T, 204, "p1", "DELETE", path(V "/servers/%s", id), NULL);
    assert_int_equal(sweep_after(61), 1);
    assert_string_equal(world_status(&w, id), "ACTIVE");
    /* Nobody swept for longer, as no control plane was there: a host may only now be heard again.
     */
    assert_int_equal(sweep_after(61 + 301), 1);
    assert_string_equal(world_status(&w, id), "ACTIVE");
    /* Nor do two looks tell that somebody listened between them. */
    assert_int_equal(sweep_after(61 + 301 + 61), 1);
    assert_string_equal(world_status(&w, id), "ACTIVE");
    assert_int_equal(sweep_until(61 + 301 + 61 + 61), 1);
    assert_string_equal(world_status(&w, id), "404");
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_ports"), 0);
    sweep_after(2 * 24 * 3600);
    assert_int_equal(world_count(&w, "SELECT 1 FROM instance_actions"), 0);
}

/* A host that was heard of within five minutes is waited for, though it looks away just now. */
static void a_late_host_is_waited_for(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *host = world_host_of(&w, id);
    test_expect(T, 204, "p1", "DELETE", path(V "/servers/%s", id), NULL);
    for (int i = 1; i <= 4; i++)
        assert_int_equal(sweep_until(61 * i), 1);
    struct late_clock clock = {{late_wall, late_mono}, 245 * 1000000LL};
    struct ctx cx;
    AUTO_TXN struct tx *tx = NULL;
    ctx_init_with(&cx, &clock.clock, rng_system());
    assert_ok(&cx, tx_write(&cx, T->store, &tx));
    assert_ok(&cx, fleet_beat(&cx, tx, host,
                              json_own(&cx, json_pack("{s:i,s:i,s:i}", "vcpus", 4, "memory_mib",
                                                      4096, "disk_gib", 100))));
    assert_ok(&cx, tx_commit(&cx, &tx));
    ctx_release(&cx);
    for (int i = 5; i <= 8; i++)
        assert_int_equal(sweep_until(61 * i), 1);
    assert_string_equal(world_status(&w, id), "ACTIVE"); /* shown so while it is deleted */
    assert_int_equal(sweep_until(61 * 9), 1);
    assert_string_equal(world_status(&w, id), "404");
}

/* ---------------------------------------------------------------- faults and races */

/* Whatever call of the store fails: the request fails as a whole, or succeeds as a whole. */
static void a_failed_create_leaves_nothing(void **state UNUSED)
{
    static const char body[] = "{'server':{'name':'x','imageRef':'" IMAGE_OK
                               "','flavorRef':'1','networks':[{'uuid':'" NET_A "'}]}}";
    size_t made = 0;
    long nth = 1;
    for (; nth < 200; nth++) {
        store_fail_nth(T->store, nth);
        struct test_reply r = test_call(T, "p1", "POST", V "/servers", "%s", body);
        long calls = store_fail_nth(T->store, 0);
        made += r.status == 202;
        assert_true(r.status == 202 || r.status >= 500 || r.status == 401);
        assert_int_equal(world_count(&w, "SELECT 1 FROM servers"), made);
        assert_int_equal(world_count(&w, "SELECT 1 FROM fake_ports"), made);
        assert_int_equal(world_count(&w, "SELECT 1 FROM instance_actions"), made);
        if (calls < nth)
            break;
    }
    assert_true(nth > 5 && nth < 200);
}

struct racer {
    pthread_t thread;
    const char *url;
    size_t made, refused;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    struct ctx cx;
    struct http_client *client = http_client_new();
    static const char body[] =
        "{\"server\":{\"name\":\"r\",\"imageRef\":\"" IMAGE_OK "\",\"flavorRef\":\"1\"}}";
    const struct http_pair headers[] = {{"X-Auth-Token", "p1"},
                                        {"Content-Type", "application/json"}};
    ctx_init(&cx);
    for (int i = 0; i < 5; i++) {
        struct http_call call = {.method = "POST",
                                 .url = r->url,
                                 .headers = headers,
                                 .n_headers = 2,
                                 .body = body,
                                 .body_size = sizeof(body) - 1};
        struct http_answer answer;
        if (http_client_call(&cx, client, &call, &answer))
            continue;
        r->made += answer.status == 202;
        r->refused += answer.status == 403;
    }
    http_client_free(client);
    ctx_release(&cx);
    return NULL;
}

static void racing_creates_keep_the_quota(void **state UNUSED)
{
    struct racer racers[4];
    size_t made = 0, refused = 0;
    for (size_t i = 0; i < ARRAY_LEN(racers); i++) {
        racers[i] = (struct racer){.url = path("%s" V "/servers", T->url)};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(racers); i++) {
        pthread_join(racers[i].thread, NULL);
        made += racers[i].made;
        refused += racers[i].refused;
    }
    assert_int_equal(made, 10); /* the default quota */
    assert_int_equal(refused, 10);
    assert_int_equal(world_count(&w, "SELECT 1 FROM servers"), 10);
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_ports"), 10);
}

int main(void)
{
#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(lists_read_what_they_show),
        WORLD_TEST(lists_filter),
        WORLD_TEST(lists_page_and_sort),
        WORLD_TEST(members_come_with_their_version),
        WORLD_TEST(networks_are_required_from_2_37),
        WORLD_TEST(what_is_given_arrives_at_the_host),
        WORLD_TEST(administrators_choose_the_host),
        WORLD_TEST(metadata_changes),
        WORLD_TEST(actions_are_recorded),
        WORLD_TEST(parts_are_shown),
        WORLD_TEST(groups_by_the_older_api),
        WORLD_TEST(images_by_the_older_api),
        WORLD_TEST(tags_come_and_go),
        WORLD_TEST(lists_filter_by_tags),
        WORLD_TEST(deadlines_lead_out),
        WORLD_TEST(a_late_host_is_waited_for),
        WORLD_TEST(a_failed_create_leaves_nothing),
        WORLD_TEST(racing_creates_keep_the_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
