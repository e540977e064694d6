/* SPDX-License-Identifier: EUPL-1.2 */
/* What administrators see and change of hosts and services, quotas and their defaults; events of
 * other services; what is gone. */
#include "compute/test_fakes.h"

#define V "/compute/v2.1"
static struct compute_world w;
#define T (&w.t)
#define path(...) world_path(&w, __VA_ARGS__)
#define version(minor) world_version(&w, minor)

static int setup(void **state UNUSED)
{
    world_start(&w, 2, 4096);
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

static struct test_reply get(const char *what)
{
    return test_expect(T, 200, "admin", "GET", path(V "%s", what), NULL);
}

/* ---------------------------------------------------------------- services */

static void services_are_the_hosts_and_the_control_plane(void **state UNUSED)
{
    struct test_reply r = get("/os-services");
    assert_int_equal(count(&r, "services"), 4);
    r = get("/os-services?binary=nova-scheduler");
    assert_string_equal(test_str(T, &r, "services[0].zone"), "internal");
    assert_string_equal(test_str(T, &r, "services[0].state"), "up");
    version("53");
    r = get("/os-services?binary=nova-scheduler");
    const char *id = test_str(T, &r, "services[0].id");
    assert_true(uuid_valid(id));
    test_expect(T, 400, "admin", "PUT", path(V "/os-services/%s", id), "{'status':'disabled'}");
    test_expect(T, 400, "admin", "DELETE", path(V "/os-services/%s", id), NULL);
    version(NULL);
    r = get("/os-availability-zone");
    assert_int_equal(count(&r, "availabilityZoneInfo"), 1);
    r = get("/os-availability-zone/detail");
    assert_int_equal(count(&r, "availabilityZoneInfo"), 2);
    assert_string_equal(test_str(T, &r, "availabilityZoneInfo[1].zoneName"), "internal");
    assert_string_equal(test_str(T, &r, "availabilityZoneInfo[0].hosts.h1.nova-compute.available"),
                        "true");
}

static void a_host_forced_down_counts_as_dead(void **state UNUSED)
{
    test_expect(T, 404, "admin", "PUT", V "/os-services/force-down", "{'forced_down':true}");
    version("11");
    struct test_reply r = test_expect(T, 200, "admin", "PUT", V "/os-services/force-down",
                                      "{'host':'h0','binary':'nova-compute','forced_down':true}");
    assert_string_equal(test_str(T, &r, "service.forced_down"), "true");
    r = get("/os-services?host=h0");
    assert_string_equal(test_str(T, &r, "services[0].state"), "down");
    test_expect(T, 400, "admin", "PUT", V "/os-services/force-down",
                "{'host':'h0','binary':'nova-compute','forced_down':'perhaps'}");
    for (int i = 0; i < 3; i++)
        assert_string_equal(world_host_of(&w, world_server(&w, "p1")), w.host_id[1]);
    version("53");
    const char *url = path(V "/os-services/%s", w.host_id[0]);
    r = test_expect(T, 200, "admin", "PUT", url, "{'forced_down':false}");
    assert_string_equal(test_str(T, &r, "service.state"), "up");
    assert_string_equal(test_str(T, &r, "service.zone"), "nova");
    static const char *const bad[] = {
        "{}", "{'disabled_reason':'x'}", "{'status':'enabled','disabled_reason':'x'}",
        "{'status':'disabled','disabled_reason':''}", "{'status':'disabled','x':1}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(T, 400, "admin", "PUT", url, "%s", bad[i]);
    test_expect(T, 404, "admin", "PUT", V "/os-services/aaaaaaaa-0000-4000-8000-00000000000a",
                "{'status':'disabled'}");
    version(NULL);
}

static void a_host_leaves_when_nothing_runs_there(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *host = world_host_of(&w, id);
    struct test_reply r =
        test_expect(T, 200, "admin", "POST", V "/os-aggregates", "{'aggregate':{'name':'a'}}");
    for (int i = 0; i < 2; i++)
        test_expect(T, 200, "admin", "POST",
                    path(V "/os-aggregates/%s/action", test_str(T, &r, "aggregate.id")),
                    "{'add_host':{'host':'h%d'}}", i);
    version("53");
    r = test_expect(T, 409, "admin", "DELETE", path(V "/os-services/%s", host), NULL);
    assert_non_null(strstr(r.text, "hosting instances"));
    test_expect(T, 204, "p1", "DELETE", path(V "/servers/%s", id), NULL);
    world_report(&w, host, id, "{'power':'absent'}");
    test_expect(T, 204, "admin", "DELETE", path(V "/os-services/%s", host), NULL);
    test_expect(T, 404, "admin", "DELETE", path(V "/os-services/%s", host), NULL);
    r = get("/os-hypervisors");
    assert_int_equal(count(&r, "hypervisors"), 1);
    r = get("/os-aggregates");
    assert_int_equal(count(&r, "aggregates[0].hosts"), 1);
    version(NULL);
    test_expect(T, 204, "admin", "DELETE", V "/os-services/1", NULL);
    r = get("/os-hypervisors");
    assert_int_equal(count(&r, "hypervisors"), 0);
}

/* ---------------------------------------------------------------- hosts and hypervisors */

static void hosts_are_listed_and_disabled(void **state UNUSED)
{
    world_running(&w, "p1");
    struct test_reply r = get("/os-hosts");
    assert_int_equal(count(&r, "hosts"), 4);
    r = get("/os-hosts?zone=");
    assert_int_equal(count(&r, "hosts"), 4);
    r = get("/os-hosts?zone=xxx");
    assert_int_equal(count(&r, "hosts"), 0);
    r = get("/os-hosts/h0");
    size_t n = count(&r, "host");
    r = get("/os-hosts/h1");
    assert_int_equal(n + count(&r, "host"), 7);
    r = test_expect(T, 200, "admin", "PUT", V "/os-hosts/h0", "{'status':'disable'}");
    assert_string_equal(test_str(T, &r, "status"), "disabled");
    r = get("/os-hosts?zone=nova");
    assert_int_equal(count(&r, "hosts"), 1);
    test_expect(T, 501, "admin", "PUT", V "/os-hosts/h0", "{'maintenance_mode':'enable'}");
    test_expect(T, 404, "admin", "PUT", V "/os-hosts/h9",
                "{'status':'enable','maintenance_mode':'enable'}");
    test_expect(T, 400, "admin", "PUT", V "/os-hosts/h0", "{'status':'invalid'}");
    test_expect(T, 400, "admin", "PUT", V "/os-hosts/h0",
                "{'status':'enable','maintenance_mode':'invalid'}");
    test_expect(T, 400, "admin", "PUT", V "/os-hosts/h0", "{}");
    test_expect(T, 400, "admin", "PUT", V "/os-hosts/h0", "{'status':'enable','x':1}");
    test_expect(T, 403, "p1", "PUT", V "/os-hosts/h0", "{'status':'enable'}");
    static const char *const powers[] = {"startup", "shutdown", "reboot"};
    for (size_t i = 0; i < ARRAY_LEN(powers); i++) {
        test_expect(T, 501, "admin", "GET", path(V "/os-hosts/h0/%s", powers[i]), NULL);
        test_expect(T, 404, "admin", "GET", path(V "/os-hosts/h9/%s", powers[i]), NULL);
        test_expect(T, 403, "p1", "GET", path(V "/os-hosts/h0/%s", powers[i]), NULL);
    }
    version("43");
    test_expect(T, 404, "admin", "GET", V "/os-hosts", NULL);
    version(NULL);
}

static void beat(const char *host_id, const char *uptime)
{
    AUTO_TXN struct tx *tx = NULL;
    json_t *body =
        json_own(&T->cx, json_pack("{s:i,s:i,s:i,s:s,s:s?}", "vcpus", 4, "memory_mib", 4096,
                                   "disk_gib", 100, "hypervisor_type", "QEMU", "uptime", uptime));
    assert_non_null(body);
    assert_ok(&T->cx, tx_write(&T->cx, T->store, &tx));
    assert_ok(&T->cx, fleet_beat(&T->cx, tx, host_id, body));
    assert_ok(&T->cx, tx_commit(&T->cx, &tx));
}

static void hypervisors_tell_their_uptime(void **state UNUSED)
{
    test_expect(T, 400, "admin", "GET", V "/os-hypervisors/1/uptime", NULL);
    beat(w.host_id[0], " 10:00:00 up 3 days,  1:02,  1 users,  load average: 0.00, 0.01, 0.05");
    struct test_reply r = get("/os-hypervisors/1/uptime");
    assert_non_null(strstr(test_str(T, &r, "hypervisor.uptime"), "up 3 days"));
    assert_int_equal(json_object_size(test_at(&r, "hypervisor")), 5);
    version("88");
    r = get(path("/os-hypervisors/%s", w.host_id[0]));
    assert_non_null(strstr(test_str(T, &r, "hypervisor.uptime"), "up 3 days"));
    r = get(path("/os-hypervisors/%s", w.host_id[1]));
    assert_string_equal(test_str(T, &r, "hypervisor.uptime"), "null");
    test_expect(T, 400, "admin", "GET", V "/os-hypervisors/1", NULL);
    version(NULL);
}

static void hypervisors_are_paged(void **state UNUSED)
{
    version("33");
    struct test_reply r = get("/os-hypervisors/detail?limit=1");
    assert_int_equal(count(&r, "hypervisors"), 1);
    const char *next = strstr(test_str(T, &r, "hypervisors_links[0].href"), V);
    r = test_expect(T, 200, "admin", "GET", next, NULL);
    assert_string_equal(test_str(T, &r, "hypervisors[0].service.host"), "h1");
    assert_null(test_at(&r, "hypervisors_links"));
    test_expect(T, 400, "admin", "GET", V "/os-hypervisors?marker=9", NULL);
    version("53");
    test_expect(T, 400, "admin", "GET", V "/os-hypervisors?limit=1&hypervisor_hostname_pattern=h",
                NULL);
    test_expect(T, 404, "admin", "GET", V "/os-hypervisors?hypervisor_hostname_pattern=xyz", NULL);
    version(NULL);
}

/* ---------------------------------------------------------------- quotas */

static void defaults_count_for_projects_without_limits(void **state UNUSED)
{
    struct test_reply r = get("/os-quota-class-sets/default");
    assert_string_equal(test_str(T, &r, "quota_class_set.id"), "default");
    assert_null(test_at(&r, "quota_class_set.server_groups"));
    assert_non_null(test_at(&r, "quota_class_set.fixed_ips"));
    test_expect(T, 403, "p1", "PUT", V "/os-quota-class-sets/default",
                "{'quota_class_set':{'cores':1}}");
    test_expect(T, 200, "admin", "PUT", V "/os-quota-sets/p2", "{'quota_set':{'cores':'7'}}");
    version("50");
    r = test_expect(T, 200, "admin", "PUT", V "/os-quota-class-sets/default",
                    "{'quota_class_set':{'cores':120,'server_groups':11}}");
    assert_string_equal(test_str(T, &r, "quota_class_set.cores"), "120");
    assert_null(test_at(&r, "quota_class_set.fixed_ips"));
    version(NULL);
    r = test_expect(T, 200, "p1", "GET", V "/os-quota-sets/p1", NULL);
    assert_string_equal(test_str(T, &r, "quota_set.cores"), "120");
    assert_string_equal(test_str(T, &r, "quota_set.server_groups"), "11");
    r = test_expect(T, 200, "p1", "GET", V "/os-quota-sets/p1/defaults", NULL);
    assert_string_equal(test_str(T, &r, "quota_set.cores"), "120");
    r = test_expect(T, 200, "p2", "GET", V "/os-quota-sets/p2", NULL);
    assert_string_equal(test_str(T, &r, "quota_set.cores"), "7");
    test_expect(T, 202, "admin", "DELETE", V "/os-quota-sets/p2", NULL);
    r = test_expect(T, 200, "p2", "GET", V "/os-quota-sets/p2", NULL);
    assert_string_equal(test_str(T, &r, "quota_set.cores"), "120");
    r = get("/os-quota-class-sets/other");
    assert_string_equal(test_str(T, &r, "quota_class_set.cores"), "120");
    static const char *const bad[] = {"{}", "{'quota_class_set':{'cors':1}}",
                                      "{'quota_class_set':{'cores':-2}}",
                                      "{'quota_class_set':{'cores':'many'}}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(T, 400, "admin", "PUT", V "/os-quota-class-sets/default", "%s", bad[i]);
}

static void quotas_below_their_use_want_force(void **state UNUSED)
{
    world_running(&w, "p1");
    world_running(&w, "p1");
    test_expect(T, 400, "admin", "PUT", V "/os-quota-sets/p1", "{'quota_set':{'instances':1}}");
    struct test_reply r = test_expect(T, 200, "admin", "PUT", V "/os-quota-sets/p1",
                                      "{'quota_set':{'instances':1,'force':'True'}}");
    assert_string_equal(test_str(T, &r, "quota_set.instances"), "1");
    r = test_expect(T, 200, "p1", "GET", V "/os-quota-sets/p1/detail", NULL);
    assert_string_equal(test_str(T, &r, "quota_set.instances.in_use"), "2");
    test_expect(T, 403, "p1", "GET", V "/os-quota-sets/p2", NULL);
    test_expect(T, 400, "admin", "PUT", V "/os-quota-sets/p1",
                "{'quota_set':{'instances':1,'force':'x'}}");
    /* Nobody keeps networks here. */
    test_expect(T, 400, "admin", "PUT", V "/os-quota-sets/p1", "{'quota_set':{'fixed_ips':1}}");
}

static void a_user_may_be_limited_below_the_project(void **state UNUSED)
{
    const char *url = V "/os-quota-sets/p1?user_id=user-p1";
    struct test_reply r =
        test_expect(T, 200, "admin", "PUT", url, "{'quota_set':{'instances':1,'ram':'2048'}}");
    assert_string_equal(test_str(T, &r, "quota_set.ram"), "2048");
    r = test_expect(T, 200, "p1", "GET", url, NULL);
    assert_string_equal(test_str(T, &r, "quota_set.instances"), "1");
    assert_string_equal(test_str(T, &r, "quota_set.cores"), "20");
    r = test_expect(T, 200, "p1", "GET", V "/os-quota-sets/p1", NULL);
    assert_string_equal(test_str(T, &r, "quota_set.instances"), "10");
    world_running(&w, "p1");
    test_expect(T, 403, "p1", "POST", V "/servers",
                "{'server':{'name':'s','flavorRef':'1','imageRef':'" IMAGE_OK "'}}");
    r = test_expect(T, 200, "p1", "GET", V "/os-quota-sets/p1/detail?user_id=user-p1", NULL);
    assert_string_equal(test_str(T, &r, "quota_set.instances.in_use"), "1");
    test_expect(T, 400, "admin", "PUT", url, "{'quota_set':{'instances':0}}");
    test_expect(T, 400, "admin", "PUT", url, "{'quota_set':{'instances':11}}");
    test_expect(T, 400, "admin", "PUT", url, "{'quota_set':{'instances':-1}}");
    test_expect(T, 400, "admin", "PUT", url, "{'quota_set':{'metadata_items':1}}");
    test_expect(T, 202, "admin", "DELETE", url, NULL);
    world_running(&w, "p1");
    test_expect(T, 200, "admin", "PUT", url, "{'quota_set':{'key_pairs':0}}");
    test_expect(T, 403, "p1", "POST", V "/os-keypairs", "{'keypair':{'name':'k'}}");
    test_expect(T, 202, "admin", "DELETE", V "/os-quota-sets/p1", NULL);
    test_expect(T, 200, "p1", "POST", V "/os-keypairs", "{'keypair':{'name':'k'}}");
}

/* ---------------------------------------------------------------- events, what is gone */

static void events_reach_the_servers_host(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *nobody = "aaaaaaaa-0000-4000-8000-00000000000a";
    const char *url = V "/os-server-external-events";
    size_t before = world_count(&w, "SELECT 1 FROM fleet_changes WHERE revision > 2");
    struct test_reply r = test_expect(
        T, 200, "admin", "POST", url,
        "{'events':[{'name':'network-changed','server_uuid':'%s','tag':'port-1'}]}", id);
    assert_string_equal(test_str(T, &r, "events[0].code"), "200");
    assert_string_equal(test_str(T, &r, "events[0].status"), "completed");
    assert_true(world_count(&w, "SELECT 1 FROM fleet_changes WHERE revision > 2") > before);
    r = test_expect(T, 207, "admin", "POST", url,
                    "{'events':[{'name':'network-vif-plugged','server_uuid':'%s'},"
                    "{'name':'network-vif-plugged','server_uuid':'%s','status':'in-progress'}]}",
                    nobody, id);
    assert_string_equal(test_str(T, &r, "events[0].code"), "404");
    assert_string_equal(test_str(T, &r, "events[0].status"), "failed");
    assert_string_equal(test_str(T, &r, "events[1].status"), "in-progress");
    test_expect(T, 404, "admin", "POST", url,
                "{'events':[{'name':'network-changed','server_uuid':'%s'}]}", nobody);
    test_expect(T, 400, "admin", "POST", url,
                "{'events':[{'name':'volume-extended','server_uuid':'%s','tag':'v'}]}", id);
    version("51");
    test_expect(T, 200, "admin", "POST", url,
                "{'events':[{'name':'volume-extended','server_uuid':'%s','tag':'v'}]}", id);
    version(NULL);
    static const char *const bad[] = {
        "{}",
        "{'events':[]}",
        "{'events':{}}",
        "{'events':[7]}",
        "{'events':[{'name':'made-up','server_uuid':'aaaaaaaa-0000-4000-8000-00000000000a'}]}",
        "{'events':[{'name':'network-changed','server_uuid':'x'}]}",
        ("{'events':[{'name':'network-changed','server_uuid':"
         "'aaaaaaaa-0000-4000-8000-00000000000a','status':'done'}]}"),
        "{'events':[{'name':'network-changed','x':'y'}]}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(T, 400, "admin", "POST", url, "%s", bad[i]);
    test_expect(T, 403, "p1", "POST", url,
                "{'events':[{'name':'network-changed','server_uuid':'%s'}]}", id);
}

static void removed_parts_of_the_api_are_gone(void **state UNUSED)
{
    static const char *const paths[] = {"/os-agents",
                                        "/os-cells",
                                        "/os-fping/x",
                                        "/os-cloudpipe",
                                        "/os-floating-ips-bulk",
                                        "/os-fixed-ips/10.0.0.1",
                                        "/os-certificates/root"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct test_reply r = test_expect(T, 410, "p1", "GET", path(V "%s", paths[i]), NULL);
        assert_non_null(strstr(r.text, "computeFault"));
        test_expect(T, 401, NULL, "GET", path(V "%s", paths[i]), NULL);
    }
}

int main(void)
{
#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(services_are_the_hosts_and_the_control_plane),
        WORLD_TEST(a_host_forced_down_counts_as_dead),
        WORLD_TEST(a_host_leaves_when_nothing_runs_there),
        WORLD_TEST(hosts_are_listed_and_disabled),
        WORLD_TEST(hypervisors_tell_their_uptime),
        WORLD_TEST(hypervisors_are_paged),
        WORLD_TEST(defaults_count_for_projects_without_limits),
        WORLD_TEST(quotas_below_their_use_want_force),
        WORLD_TEST(a_user_may_be_limited_below_the_project),
        WORLD_TEST(events_reach_the_servers_host),
        WORLD_TEST(removed_parts_of_the_api_are_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
