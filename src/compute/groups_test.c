/* SPDX-License-Identifier: EUPL-1.2 */
/* Server groups and scheduler hints bind where servers go; aggregates say what hosts are, and of
 * which zone. */
#include "compute/test_fakes.h"

#define V "/compute/v2.1"
static struct compute_world w;
#define T (&w.t)
#define path(...) world_path(&w, __VA_ARGS__)
#define version(minor) world_version(&w, minor)

static int setup(void **state UNUSED)
{
    world_start(&w, 3, 4096);
    return 0;
}

static int teardown(void **state UNUSED)
{
    world_stop(&w);
    return 0;
}

static size_t count(const struct test_reply *r, const char *where)
{
    return json_array_size(test_at(r, where));
}

/* more: further members of the server; hints: the object beside it. */
static struct test_reply create(int status, const char *who, const char *more, const char *hints)
{
    return test_expect(T, status, who, "POST", V "/servers",
                       "{'server':{'name':'s','flavorRef':'1','imageRef':'" IMAGE_OK
                       "'%s},'os:scheduler_hints':%s}",
                       more, hints);
}

static const char *host_of(const char *id)
{
    struct test_reply r = test_expect(T, 200, "admin", "GET", path(V "/servers/%s", id), NULL);
    return test_str(T, &r, "server.OS-EXT-SRV-ATTR:host");
}

static const char *hinted(const char *more, const char *hints)
{
    struct test_reply r = create(202, "p1", more, hints);
    return test_str(T, &r, "server.id");
}

static const char *fault_of(const char *id)
{
    struct test_reply r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", id), NULL);
    return test_str(T, &r, "server.fault.message");
}

static const char *group(const char *policy)
{
    version("64");
    struct test_reply r = test_expect(T, 200, "p1", "POST", V "/os-server-groups",
                                      "{'server_group':{'name':'g','policy':'%s'}}", policy);
    version(NULL);
    return test_str(T, &r, "server_group.id");
}

/* ---------------------------------------------------------------- server groups */

static void groups_are_made_shown_and_deleted(void **state UNUSED)
{
    struct test_reply r = test_expect(T, 200, "p1", "POST", V "/os-server-groups",
                                      "{'server_group':{'name':'g','policies':['affinity']}}");
    assert_int_equal(json_object_size(test_at(&r, "server_group")), 5);
    assert_string_equal(test_str(T, &r, "server_group.policies[0]"), "affinity");
    const char *id = test_str(T, &r, "server_group.id");
    test_expect(T, 404, "p2", "GET", path(V "/os-server-groups/%s", id), NULL);
    version("64");
    r = test_expect(T, 200, "p1", "GET", path(V "/os-server-groups/%s", id), NULL);
    assert_int_equal(json_object_size(test_at(&r, "server_group")), 7);
    assert_string_equal(test_str(T, &r, "server_group.policy"), "affinity");
    assert_string_equal(test_str(T, &r, "server_group.user_id"), "user-p1");
    r = test_expect(T, 200, "p1", "POST", V "/os-server-groups",
                    "{'server_group':{'name':'g','policy':'anti-affinity',"
                    "'rules':{'max_server_per_host':'3'}}}");
    assert_string_equal(test_str(T, &r, "server_group.rules.max_server_per_host"), "3");
    test_expect(T, 400, "p1", "POST", V "/os-server-groups",
                "{'server_group':{'name':'g','policy':'affinity',"
                "'rules':{'max_server_per_host':3}}}");
    test_expect(T, 400, "p1", "POST", V "/os-server-groups",
                "{'server_group':{'name':'g','policies':['affinity']}}");
    version(NULL);
    r = test_expect(T, 200, "p1", "GET", V "/os-server-groups?limit=1&offset=1", NULL);
    assert_int_equal(count(&r, "server_groups"), 1);
    assert_string_equal(test_str(T, &r, "server_groups[0].policies[0]"), "anti-affinity");
    r = test_expect(T, 200, "admin", "GET", V "/os-server-groups", NULL);
    assert_int_equal(count(&r, "server_groups"), 0);
    r = test_expect(T, 200, "admin", "GET", V "/os-server-groups?all_projects", NULL);
    assert_int_equal(count(&r, "server_groups"), 2);
    test_expect(T, 204, "p1", "DELETE", path(V "/os-server-groups/%s", id), NULL);
    test_expect(T, 404, "p1", "DELETE", path(V "/os-server-groups/%s", id), NULL);
}

static void groups_have_one_known_policy_each(void **state UNUSED)
{
    static const char *const bad[] = {"[]", "['legacy']", "'affinity'",
                                      "['affinity','anti-affinity']", "['soft-affinity']"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(T, 400, "p1", "POST", V "/os-server-groups",
                    "{'server_group':{'name':'g','policies':%s}}", bad[i]);
    test_expect(T, 400, "p1", "POST", V "/os-server-groups",
                "{'server_group':{'policies':['affinity']}}");
    test_expect(T, 403, "p1:reader", "POST", V "/os-server-groups",
                "{'server_group':{'name':'g','policies':['affinity']}}");
    version("15");
    test_expect(T, 200, "p1", "POST", V "/os-server-groups",
                "{'server_group':{'name':'g','policies':['soft-affinity']}}");
    version(NULL);
    struct test_reply r = test_expect(T, 200, "p1", "GET", V "/os-server-groups", NULL);
    assert_int_equal(count(&r, "server_groups[0].policies"), 0);
}

static void groups_and_their_servers_are_counted(void **state UNUSED)
{
    test_expect(T, 200, "admin", "PUT", V "/os-quota-sets/p1",
                "{'quota_set':{'server_groups':1,'server_group_members':2}}");
    const char *id = group("soft-affinity");
    struct test_reply r = test_expect(T, 403, "p1", "POST", V "/os-server-groups",
                                      "{'server_group':{'name':'g','policies':['affinity']}}");
    assert_non_null(strstr(r.text, "Quota exceeded, too many server groups."));
    r = test_expect(T, 200, "p1", "GET", V "/limits", NULL);
    assert_string_equal(test_str(T, &r, "limits.absolute.totalServerGroupsUsed"), "1");
    const char *hint = path("{'group':'%s'}", id);
    create(403, "p1", ",'max_count':3,'min_count':3", hint);
    hinted(",'max_count':2,'min_count':2", hint);
    create(403, "p1", "", hint);
}

static void a_group_binds_its_servers(void **state UNUSED)
{
    const char *together = path("{'group':'%s'}", group("affinity")),
               *apart = path("{'group':'%s'}", group("anti-affinity"));
    const char *host = host_of(hinted("", together));
    for (int i = 0; i < 3; i++)
        assert_string_equal(host_of(hinted("", together)), host);
    const char *a = host_of(hinted("", apart)), *b = host_of(hinted("", apart)),
               *c = host_of(hinted("", apart));
    assert_string_not_equal(a, b);
    assert_string_not_equal(b, c);
    assert_string_not_equal(a, c);
    assert_string_equal(fault_of(hinted("", apart)),
                        "No valid host was found. 3 hosts: 3 full for the server group.");
    create(400, "p1", "", "{'group':'nonsense'}");
    create(400, "p1", "", "{'group':'aaaaaaaa-0000-4000-8000-00000000000a'}");
    create(400, "p2", "", together);
}

static void members_are_shown_while_they_live(void **state UNUSED)
{
    const char *gid = group("soft-anti-affinity"), *hint = path("{'group':'%s'}", gid);
    const char *id = hinted("", hint), *host = world_host_of(&w, id);
    version("71");
    struct test_reply r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", id), NULL);
    assert_string_equal(test_str(T, &r, "server.server_groups[0]"), gid);
    r = test_expect(T, 200, "p1", "GET", path(V "/os-server-groups/%s", gid), NULL);
    assert_string_equal(test_str(T, &r, "server_group.members[0]"), id);
    test_expect(T, 204, "p1", "DELETE", path(V "/servers/%s", id), NULL);
    world_report(&w, host, id, "{'power':'absent'}");
    r = test_expect(T, 200, "p1", "GET", path(V "/os-server-groups/%s", gid), NULL);
    assert_int_equal(count(&r, "server_group.members"), 0);
    id = hinted(",'networks':'none'", hint);
    test_expect(T, 204, "p1", "DELETE", path(V "/os-server-groups/%s", gid), NULL);
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", id), NULL);
    assert_int_equal(count(&r, "server.server_groups"), 0);
    version(NULL);
}

/* ---------------------------------------------------------------- hints */

static void hints_name_other_servers(void **state UNUSED)
{
    const char *id = world_server(&w, "p1"), *host = host_of(id);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(host_of(hinted("", path("{'same_host':'%s'}", id))), host);
        assert_string_not_equal(host_of(hinted("", path("{'different_host':['%s']}", id))), host);
    }
    assert_non_null(
        strstr(fault_of(hinted("", path("{'same_host':['%s'],'different_host':['%s']}", id, id))),
               "with a server that different_host names"));
    /* Where others' servers are can't be found out. */
    struct test_reply r = create(202, "p2", "", path("{'same_host':'%s'}", id));
    r = test_expect(T, 200, "p2", "GET", path(V "/servers/%s", test_str(T, &r, "server.id")), NULL);
    assert_non_null(strstr(test_str(T, &r, "server.fault.message"),
                           "3 without the servers that same_host names"));
}

static void hints_are_checked_and_not_ignored(void **state UNUSED)
{
    static const char *const bad[] = {"[]",
                                      "{'query':'[>=,$free_ram_mb,1024]'}",
                                      "{'target_cell':'a'}",
                                      "{'different_cell':['a']}",
                                      "{'same_host':7}",
                                      "{'same_host':['x']}",
                                      "{'build_near_host_ip':'here'}",
                                      "{'build_near_host_ip':'10.0.0.1','cidr':'24'}",
                                      "{'made_up':'x'}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        create(400, "p1", "", bad[i]);
    assert_string_not_equal(host_of(hinted("", "{'build_near_host_ip':'127.0.0.9','cidr':'/8'}")),
                            "null");
    assert_non_null(strstr(fault_of(hinted("", "{'build_near_host_ip':'10.0.0.1'}")),
                           "3 outside of the requested subnet (10.0.0.1/24)"));
}

/* ---------------------------------------------------------------- aggregates */

static const char *aggregate(const char *more)
{
    static int n;
    struct test_reply r = test_expect(T, 200, "admin", "POST", V "/os-aggregates",
                                      "{'aggregate':{'name':'a%d'%s}}", n++, more);
    return test_str(T, &r, "aggregate.id");
}

static struct test_reply act(int status, const char *id, const char *fmt, const char *value)
{
    const char *body = arena_printf(T->cx.arena, "{%s}", fmt);
    return test_expect(T, status, "admin", "POST", path(V "/os-aggregates/%s/action", id), body,
                       value);
}

static void aggregates_are_made_changed_and_deleted(void **state UNUSED)
{
    test_expect(T, 403, "p1", "GET", V "/os-aggregates", NULL);
    struct test_reply r = test_expect(T, 200, "admin", "POST", V "/os-aggregates",
                                      "{'aggregate':{'name':'one','availability_zone':'z1'}}");
    assert_int_equal(json_object_size(test_at(&r, "aggregate")), 7);
    const char *id = test_str(T, &r, "aggregate.id");
    test_expect(T, 409, "admin", "POST", V "/os-aggregates", "{'aggregate':{'name':'one'}}");
    test_expect(T, 400, "admin", "POST", V "/os-aggregates", "{'aggregate':{'name':''}}");
    test_expect(T, 400, "admin", "POST", V "/os-aggregates",
                "{'aggregate':{'name':'two','availability_zone':'a:b'}}");
    version("41");
    r = test_expect(T, 200, "admin", "GET", path(V "/os-aggregates/%s", id), NULL);
    assert_int_equal(json_object_size(test_at(&r, "aggregate")), 10);
    assert_string_equal(test_str(T, &r, "aggregate.metadata.availability_zone"), "z1");
    assert_string_equal(test_str(T, &r, "aggregate.updated_at"), "null");
    version(NULL);
    r = test_expect(T, 200, "admin", "PUT", path(V "/os-aggregates/%s", id),
                    "{'aggregate':{'name':'uno'}}");
    assert_string_equal(test_str(T, &r, "aggregate.availability_zone"), "z1");
    assert_string_not_equal(test_str(T, &r, "aggregate.updated_at"), "null");
    test_expect(T, 400, "admin", "PUT", path(V "/os-aggregates/%s", id), "{'aggregate':{}}");
    test_expect(T, 400, "admin", "PUT", path(V "/os-aggregates/%s", id),
                "{'aggregate':{'availability_zone':null}}");
    r = act(200, id, "'set_metadata':{'metadata':{'ssd':'true','availability_zone':'z2'}}%s", "");
    assert_string_equal(test_str(T, &r, "aggregate.availability_zone"), "z2");
    r = act(200, id, "'set_metadata':{'metadata':{'ssd':null,'x':'%s'}}", "y");
    assert_null(test_at(&r, "aggregate.metadata.ssd"));
    assert_string_equal(test_str(T, &r, "aggregate.metadata.x"), "y");
    act(400, id, "'set_metadata':{'metadata':{'%s':'y'}}", "a/b");
    act(200, id, "'add_host':{'host':'%s'}", "h0");
    act(409, id, "'add_host':{'host':'%s'}", "h0");
    act(404, id, "'add_host':{'host':'%s'}", "h9");
    act(400, id, "'%s':{}", "explode");
    test_expect(T, 400, "admin", "DELETE", path(V "/os-aggregates/%s", id), NULL);
    r = act(200, id, "'remove_host':{'host':'%s'}", "h0");
    assert_int_equal(count(&r, "aggregate.hosts"), 0);
    act(404, id, "'remove_host':{'host':'%s'}", "h0");
    act(404, id, "'remove_host':{'host':'%s'}", "h9");
    test_expect(T, 200, "admin", "DELETE", path(V "/os-aggregates/%s", id), NULL);
    test_expect(T, 404, "admin", "DELETE", V "/os-aggregates/-1", NULL);
    test_expect(T, 400, "admin", "GET", V "/os-aggregates/one", NULL);
}

static void an_aggregate_makes_a_zone(void **state UNUSED)
{
    const char *east = aggregate(",'availability_zone':'east'"),
               *west = aggregate(",'availability_zone':'west'"), *plain = aggregate("");
    create(400, "p1", ",'availability_zone':'east'", "{}");
    act(200, east, "'add_host':{'host':'%s'}", "h0");
    struct test_reply r = act(409, west, "'add_host':{'host':'%s'}", "h0");
    assert_non_null(strstr(r.text, "already in availability zone(s) ['east']"));
    act(200, plain, "'add_host':{'host':'%s'}", "h0");
    act(400, plain, "'set_metadata':{'metadata':{'availability_zone':'%s'}}", "west");
    assert_string_equal(host_of(hinted(",'availability_zone':'east'", "{}")), "h0");
    r = test_expect(T, 200, "admin", "GET", V "/os-availability-zone/detail", NULL);
    assert_int_equal(count(&r, "availabilityZoneInfo"), 3);
    r = test_expect(T, 200, "admin", "GET", V "/os-services?host=h0", NULL);
    assert_string_equal(test_str(T, &r, "services[0].zone"), "east");
    r = test_expect(T, 200, "admin", "GET", V "/os-hosts?zone=east", NULL);
    assert_int_equal(count(&r, "hosts"), 1);
    /* Servers don't change zones. */
    r = act(409, east, "'remove_host':{'host':'%s'}", "h0");
    assert_non_null(strstr(r.text, "would change from 'east' to 'nova'"));
    test_expect(T, 400, "admin", "PUT", path(V "/os-aggregates/%s", east),
                "{'aggregate':{'availability_zone':'north'}}");
    hinted(",'availability_zone':'nova'", "{}");
    hinted(",'availability_zone':'nova'", "{}");
    act(409, west, "'add_host':{'host':'%s'}", "h1");
    act(200, plain, "'add_host':{'host':'%s'}", "h1");
}

static void the_zone_asked_for_is_shown_since_2_96(void **state UNUSED)
{
    const char *pinned = hinted(",'availability_zone':'nova'", "{}"), *free = hinted("", "{}");
    version("95");
    struct test_reply r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", pinned), NULL);
    assert_null(test_at(&r, "server.pinned_availability_zone"));
    version("96");
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", pinned), NULL);
    assert_string_equal(test_str(T, &r, "server.pinned_availability_zone"), "nova");
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", free), NULL);
    assert_string_equal(test_str(T, &r, "server.pinned_availability_zone"), "null");
    version(NULL);
}

static void hostnames_have_domains_since_2_94(void **state UNUSED)
{
    const char *with = "{'server':{'name':'s','flavorRef':'1','imageRef':'" IMAGE_OK
                       "','networks':'none','hostname':'%s'}}";
    static const char *const bad[] = {"a..b", ".a", "a.", "-a.b", "a-.b", "a.b_c"};
    version("93");
    test_expect(T, 202, "p1", "POST", V "/servers", with, "web");
    test_expect(T, 400, "p1", "POST", V "/servers", with, "web.example.org");
    version("94");
    struct test_reply r = test_expect(T, 202, "p1", "POST", V "/servers", with, "web.example.org");
    const char *url = path(V "/servers/%s", test_str(T, &r, "server.id"));
    r = test_expect(T, 200, "p1", "GET", url, NULL);
    assert_string_equal(test_str(T, &r, "server.OS-EXT-SRV-ATTR:hostname"), "web.example.org");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(T, 400, "p1", "PUT", url, "{'server':{'hostname':'%s'}}", bad[i]);
    r = test_expect(T, 200, "p1", "PUT", url, "{'server':{'hostname':'db.example.org'}}");
    assert_string_equal(test_str(T, &r, "server.OS-EXT-SRV-ATTR:hostname"), "db.example.org");
    version(NULL);
}

static const json_t *image_wanted(const char *host_id)
{
    AUTO_TXN struct tx *tx = NULL;
    struct buf b;
    struct jw jw;
    json_t *j = NULL;
    bool present = false;
    buf_init(&b, T->cx.arena);
    jw_init(&jw, &b);
    assert_ok(&T->cx, tx_read(&T->cx, T->store, &tx));
    assert_ok(&T->cx, cached_image_kind.view(&T->cx, tx, host_id, IMAGE_OK, &jw, &present));
    if (present)
        assert_ok(&T->cx, json_read(&T->cx, buf_cstr(&b), b.len, &j));
    return j;
}

static bool may_fetch(const char *host_id)
{
    AUTO_TXN struct tx *tx = NULL;
    bool may;
    assert_ok(&T->cx, tx_read(&T->cx, T->store, &tx));
    assert_ok(&T->cx, compute_uses_image(&T->cx, tx, host_id, IMAGE_OK, &may));
    return may;
}

static void an_aggregates_hosts_fetch_images_ahead(void **state UNUSED)
{
    static const struct stmt later = {"later", "UPDATE cached_images SET until = 1"};
    const char *id = aggregate(""), *url = path(V "/os-aggregates/%s/images", id);
    size_t moved;
    act(200, id, "'add_host':{'host':'%s'}", "h1");
    test_expect(T, 404, "admin", "POST", url, "{'cache':[{'id':'" IMAGE_OK "'}]}");
    version("81");
    test_expect(T, 202, "admin", "POST", url, "{'cache':[{'id':'" IMAGE_OK "'}]}");
    test_expect(T, 202, "admin", "POST", url, "{'cache':[{'id':'" IMAGE_OK "'}]}");
    const json_t *spec = image_wanted(w.host_id[1]);
    assert_string_equal(json_get_str(json_get(spec, "image"), "sha512"), "ab");
    assert_null(image_wanted(w.host_id[0]));
    assert_true(may_fetch(w.host_id[1]));
    assert_false(may_fetch(w.host_id[0]));
    static const char *const bad[] = {"{}",
                                      "{'cache':[]}",
                                      "{'cache':[{'id':'x'}]}",
                                      "{'cache':[{'id':'" IMAGE_OK "','x':1}]}",
                                      "{'cache':[{'id':'" IMAGE_OK "'},{'id':'" IMAGE_OK "'}]}",
                                      "{'cache':[{'id':'" IMAGE_QUEUED "'}]}",
                                      "{'cache':[{'id':'aaaaaaaa-0000-4000-8000-00000000000a'}]}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(T, 400, "admin", "POST", url, "%s", bad[i]);
    test_expect(T, 403, "p1", "POST", url, "{'cache':[{'id':'" IMAGE_OK "'}]}");
    version(NULL);
    assert_ok(&T->cx, compute_sweep(&T->cx, T->store, &moved));
    assert_true(may_fetch(w.host_id[1]));
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&T->cx, tx_write(&T->cx, T->store, &tx));
    assert_ok(&T->cx, db_exec(&T->cx, tx, &later, NULL, 0, NULL));
    assert_ok(&T->cx, tx_commit(&T->cx, &tx));
    assert_ok(&T->cx, compute_sweep(&T->cx, T->store, &moved));
    assert_null(image_wanted(w.host_id[1]));
    assert_false(may_fetch(w.host_id[1]));
}

static void flavors_ask_for_aggregates(void **state UNUSED)
{
    const char *fast = aggregate("");
    act(200, fast, "'add_host':{'host':'%s'}", "h2");
    act(200, fast, "'set_metadata':{'metadata':{'disk':'%s'}}", "nvme, ssd");
    test_expect(T, 200, "admin", "POST", V "/flavors/1/os-extra_specs",
                "{'extra_specs':{'aggregate_instance_extra_specs:disk':'ssd','hw:x':'1'}}");
    for (int i = 0; i < 3; i++)
        assert_string_equal(host_of(hinted("", "{}")), "h2");
    test_expect(T, 200, "admin", "PUT",
                V "/flavors/1/os-extra_specs/aggregate_instance_extra_specs:disk",
                "{'aggregate_instance_extra_specs:disk':'hdd'}");
    assert_non_null(strstr(fault_of(hinted("", "{}")),
                           "3 in no aggregate that suits the flavor (wants disk: hdd)"));
    test_expect(T, 200, "admin", "DELETE",
                V "/flavors/1/os-extra_specs/aggregate_instance_extra_specs:disk", NULL);
    test_expect(T, 200, "admin", "POST", V "/flavors/1/os-extra_specs",
                "{'extra_specs':{'capabilities:hypervisor_type':'<in> QE'}}");
    assert_string_not_equal(host_of(hinted("", "{}")), "null");
    test_expect(T, 200, "admin", "POST", V "/flavors/1/os-extra_specs",
                "{'extra_specs':{'capabilities:vcpus_total':'>= 5'}}");
    assert_string_equal(host_of(hinted("", "{}")), "null");
}

int main(void)
{
#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(groups_are_made_shown_and_deleted),
        WORLD_TEST(groups_have_one_known_policy_each),
        WORLD_TEST(groups_and_their_servers_are_counted),
        WORLD_TEST(a_group_binds_its_servers),
        WORLD_TEST(members_are_shown_while_they_live),
        WORLD_TEST(hints_name_other_servers),
        WORLD_TEST(hints_are_checked_and_not_ignored),
        WORLD_TEST(aggregates_are_made_changed_and_deleted),
        WORLD_TEST(an_aggregate_makes_a_zone),
        WORLD_TEST(the_zone_asked_for_is_shown_since_2_96),
        WORLD_TEST(hostnames_have_domains_since_2_94),
        WORLD_TEST(an_aggregates_hosts_fetch_images_ahead),
        WORLD_TEST(flavors_ask_for_aggregates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
