/* SPDX-License-Identifier: EUPL-1.2 */
/* Servers over their whole life, as clients and hosts see it. */
#include "compute/test_fakes.h"

#define V "/compute/v2.1"
static struct compute_world w;
#define T (&w.t)
#define path(...) world_path(&w, __VA_ARGS__)

static struct test_reply act(int status, const char *who, const char *id, const char *body)
{
    return test_expect(T, status, who, "POST", path(V "/servers/%s/action", id), "%s", body);
}

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

/* ---------------------------------------------------------------- life */

static void a_server_is_born_runs_and_goes(void **state UNUSED)
{
    const char *id = world_server(&w, "p1"), *host = world_host_of(&w, id);
    assert_string_equal(world_status(&w, id), "BUILD");
    const json_t *spec = world_spec(&w, host, id);
    assert_non_null(spec);
    assert_string_equal(json_get_str(spec, "power"), "on");
    assert_int_equal(json_get_int(spec, "build_seq", 0), 1);
    assert_string_equal(json_get_str(json_get(spec, "meta_data"), "uuid"), id);
    assert_string_equal(json_get_str(json_get(spec, "image"), "sha512"), "ab");
    assert_int_equal(json_array_size(json_get(spec, "nics")), 1);
    assert_null(world_spec(&w, str_eq(host, w.host_id[0]) ? w.host_id[1] : w.host_id[0], id));

    world_report(&w, host, id,
                 "{'power':'on','boot_seq':1,'reset_seq':0,'build_seq':1,'nics':[{'port_id':'%s','"
                 "plugged':true}]}",
                 json_get_str(json_array_get(json_get(spec, "nics"), 0), "port_id"));
    struct test_reply r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", id), NULL);
    assert_string_equal(test_str(T, &r, "server.status"), "ACTIVE");
    assert_string_equal(test_str(T, &r, "server.OS-EXT-STS:power_state"), "1");
    assert_string_equal(test_str(T, &r, "server.OS-EXT-STS:task_state"), "null");
    assert_string_equal(test_str(T, &r, "server.addresses.net-a[0].OS-EXT-IPS:type"), "fixed");
    assert_string_equal(test_str(T, &r, "server.addresses.net-a[1].OS-EXT-IPS:type"), "floating");
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_ports WHERE plugged = 1"), 1);
    assert_int_equal(world_count(&w, "SELECT 1 FROM servers WHERE admin_pass IS NOT NULL"), 0);

    test_expect(T, 204, "p1", "DELETE", path(V "/servers/%s", id), NULL);
    assert_null(world_spec(&w, host, id));
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", id), NULL);
    assert_string_equal(test_str(T, &r, "server.OS-EXT-STS:task_state"), "deleting");
    test_expect(T, 204, "p1", "DELETE", path(V "/servers/%s", id), NULL);
    world_report(&w, host, id, "{'power':'absent'}");
    test_expect(T, 404, "p1", "GET", path(V "/servers/%s", id), NULL);
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_ports"), 0);
    world_report(&w, host, id, "{'power':'absent'}"); /* late and repeated: nothing */
}

static void power_goes_up_and_down(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *host = world_host_of(&w, id);
    act(202, "p1", id, "{'os-stop':null}");
    assert_string_equal(json_get_str(world_spec(&w, host, id), "power"), "off");
    struct test_reply r = act(409, "p1", id, "{'os-stop':null}");
    assert_non_null(strstr(r.text, "Cannot 'stop' instance"));
    world_report(&w, host, id, "{'power':'off','boot_seq':1,'build_seq':1}");
    assert_string_equal(world_status(&w, id), "SHUTOFF");
    r = act(409, "p1", id, "{'os-stop':{}}");
    assert_non_null(strstr(r.text, "while it is in vm_state stopped"));
    act(202, "p1", id, "{'os-start':null}");
    /* An old report of a guest that went off by itself does not stop it again. */
    world_report(&w, host, id, "{'power':'off','boot_seq':1,'build_seq':1,'guest_shutdown':true}");
    assert_string_equal(json_get_str(world_spec(&w, host, id), "power"), "on");
    world_report(&w, host, id, "{'power':'on','boot_seq':2,'build_seq':1}");
    assert_string_equal(world_status(&w, id), "ACTIVE");
    world_report(&w, host, id, "{'power':'off','boot_seq':2,'build_seq':1,'guest_shutdown':true}");
    assert_string_equal(world_status(&w, id), "SHUTOFF");
    assert_string_equal(json_get_str(world_spec(&w, host, id), "power"), "off");
}

static void reboots_count(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *host = world_host_of(&w, id);
    act(202, "p1", id, "{'reboot':{'type':'SOFT'}}");
    assert_string_equal(world_status(&w, id), "REBOOT");
    assert_int_equal(json_get_int(world_spec(&w, host, id), "reset_seq", -1), 1);
    act(202, "p1", id, "{'reboot':{'type':'HARD'}}");
    assert_string_equal(world_status(&w, id), "HARD_REBOOT");
    assert_int_equal(json_get_int(world_spec(&w, host, id), "boot_seq", -1), 2);
    world_report(&w, host, id, "{'power':'on','boot_seq':2,'reset_seq':1,'build_seq':1}");
    assert_string_equal(world_status(&w, id), "ACTIVE");
    act(400, "p1", id, "{'reboot':{'type':'WARM'}}");
    act(400, "p1", id, "{'reboot':null}");
}

static void rebuild_keeps_addresses_and_power(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *host = world_host_of(&w, id);
    act(202, "p1", id, "{'os-stop':null}");
    world_report(&w, host, id, "{'power':'off','boot_seq':1,'build_seq':1}");
    struct test_reply r = act(202, "p1", id,
                              "{'rebuild':{'imageRef':'" IMAGE_OK "','name':'new','adminPass':'pw',"
                              "'metadata':{'a':'b'}}}");
    assert_string_equal(test_str(T, &r, "server.status"), "REBUILD");
    assert_string_equal(test_str(T, &r, "server.adminPass"), "pw");
    assert_string_equal(test_str(T, &r, "server.name"), "new");
    assert_null(test_str(T, &r, "server.key_name"));
    world_report(&w, host, id, "{'power':'off','boot_seq':1,'build_seq':2}");
    assert_string_equal(world_status(&w, id), "SHUTOFF");
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_ports"), 1);
    act(400, "p1", id, "{'rebuild':{}}");
    act(400, "p1", id, "{'rebuild':{'imageRef':'" IMAGE_OK "','wrong':1}}");
}

static void errors_are_shown_and_heal(void **state UNUSED)
{
    const char *id = world_server(&w, "p1"), *host = world_host_of(&w, id);
    world_report(&w, host, id, "{'power':'absent','error':'no space left on the disk'}");
    struct test_reply r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", id), NULL);
    assert_string_equal(test_str(T, &r, "server.status"), "ERROR");
    assert_string_equal(test_str(T, &r, "server.fault.message"),
                        "The server failed while building: no space left on the disk");
    world_report(&w, host, id, "{'power':'on','boot_seq':1,'build_seq':1}");
    assert_string_equal(world_status(&w, id), "ACTIVE");
    act(403, "p1", id, "{'os-resetState':{'state':'error'}}");
    act(202, "admin", id, "{'os-resetState':{'state':'error'}}");
    world_report(&w, host, id, "{'power':'on','boot_seq':1,'build_seq':1}");
    assert_string_equal(world_status(&w, id), "ERROR");
    act(202, "admin", id, "{'os-resetState':{'state':'active'}}");
    assert_string_equal(world_status(&w, id), "ACTIVE");
}

/* ---------------------------------------------------------------- placement and quota */

static void no_room_is_explained_in_the_fault(void **state UNUSED)
{
    struct test_reply r = test_expect(
        T, 202, "p1", "POST", V "/servers",
        "{'server':{'name':'big','imageRef':'%s','flavorRef':'5','networks':[{'uuid':'%s'}]}}",
        IMAGE_OK, NET_A);
    const char *id = test_str(T, &r, "server.id");
    r = test_expect(T, 200, "p1", "GET", path(V "/servers/%s", id), NULL);
    assert_string_equal(test_str(T, &r, "server.status"), "ERROR");
    assert_string_equal(
        test_str(T, &r, "server.fault.message"),
        "No valid host was found. 2 hosts: 2 lack vCPUs (need 8, most free 4 on h0).");
    act(409, "p1", id, "{'os-stop':null}");
    test_expect(T, 204, "p1", "DELETE", path(V "/servers/%s", id), NULL);
    test_expect(T, 404, "p1", "GET", path(V "/servers/%s", id), NULL);
}

static void memory_is_never_promised_twice(void **state UNUSED)
{
    test_expect(T, 200, "admin", "PUT", V "/os-quota-sets/p1",
                "{'quota_set':{'instances':-1,'cores':-1,'ram':-1}}");
    struct test_reply r = test_expect(T, 202, "p1", "POST", V "/servers",
                                      "{'server':{'name':'m','imageRef':'%s','flavorRef':'3','max_"
                                      "count':5,'networks':[{'uuid':'%s'}]}}",
                                      IMAGE_OK, NET_A);
    r = test_expect(T, 200, "p1", "GET", V "/servers/detail?status=error", NULL);
    assert_int_equal(json_array_size(json_get(r.json, "servers")),
                     1); /* 2 x 4096 MiB hold four of 2048 */
    assert_int_equal(world_count(&w, "SELECT 1 FROM servers WHERE host_id IS NOT NULL"), 4);
    r = test_expect(T, 200, "p1", "GET", V "/servers?name=m-[1-3]$", NULL);
    assert_int_equal(json_array_size(json_get(r.json, "servers")), 3);
}

static void quotas_hold(void **state UNUSED)
{
    test_expect(T, 200, "admin", "PUT", V "/os-quota-sets/p1",
                "{'quota_set':{'instances':1,'metadata_items':1}}");
    world_server(&w, "p1");
    struct test_reply r = test_expect(
        T, 403, "p1", "POST", V "/servers",
        "{'server':{'name':'x','imageRef':'%s','flavorRef':'1','networks':[{'uuid':'%s'}]}}",
        IMAGE_OK, NET_A);
    assert_string_equal(
        test_str(T, &r, "forbidden.message"),
        "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances");
    world_server(&w, "p2");
    test_expect(T, 403, "p2", "PUT", V "/os-quota-sets/p2", "{'quota_set':{'instances':100}}");
    test_expect(T, 400, "admin", "PUT", V "/os-quota-sets/p1", "{'quota_set':{'instances':0}}");
    r = test_expect(T, 200, "p1", "GET", V "/os-quota-sets/p1/detail", NULL);
    assert_string_equal(test_str(T, &r, "quota_set.instances.in_use"), "1");
    r = test_expect(T, 200, "p1", "GET", V "/limits", NULL);
    assert_string_equal(test_str(T, &r, "limits.absolute.totalInstancesUsed"), "1");
    test_expect(T, 202, "admin", "DELETE", V "/os-quota-sets/p1", NULL);
    r = test_expect(T, 200, "p1", "GET", V "/os-quota-sets/p1", NULL);
    assert_string_equal(test_str(T, &r, "quota_set.instances"), "10");
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_ports"),
                     2); /* the refused one left none behind */
}

/* ---------------------------------------------------------------- refusals and isolation */

static void bad_creates_are_refused(void **state UNUSED)
{
    static const struct {
        const char *server, *words;
    } bad[] = {
        {"'name':12345,'imageRef':'" IMAGE_OK "','flavorRef':'1'", "12345 is not of type 'string'"},
        {"'name':'','imageRef':'" IMAGE_OK "','flavorRef':'1'", "is too short"},
        {"'imageRef':'" IMAGE_OK "','flavorRef':'1'", "'name' is a required property"},
        {"'name':'x','imageRef':'-1','flavorRef':'1'", "Invalid imageRef provided."},
        {"'name':'x','imageRef':'" NET_A "','flavorRef':'1'", "could not be found."},
        {"'name':'x','imageRef':'" IMAGE_P2 "','flavorRef':'1'", "could not be found."},
        {"'name':'x','imageRef':'" IMAGE_QUEUED "','flavorRef':'1'", "is not active."},
        {"'name':'x','imageRef':'" IMAGE_BIG "','flavorRef':'1'",
         "Flavor's disk is too small for requested image."},
        {"'name':'x','imageRef':'" IMAGE_OK "','flavorRef':-1", "Flavor -1 could not be found."},
        {"'name':'x','imageRef':'" IMAGE_OK "','flavorRef':'1','bogus':1",
         "Additional properties are not allowed ('bogus' was unexpected)"},
        {"'name':'x','imageRef':'" IMAGE_OK "','flavorRef':'1','key_name':'nokey'",
         "Invalid key_name provided."},
        {"'name':'x','imageRef':'" IMAGE_OK "','flavorRef':'1','accessIPv4':'1.1.1.1.1'",
         "is not a 'ipv4'"},
        {"'name':'x','imageRef':'" IMAGE_OK "','flavorRef':'1','networks':[{'uuid':'a-b-c'}]",
         "Bad networks format: network uuid is not in proper format (a-b-c)"},
        {"'name':'x','imageRef':'" IMAGE_OK "','flavorRef':'1','networks':'auto'",
         "is not of type 'array'"},
        {"'name':'x','imageRef':'" IMAGE_OK
         "','flavorRef':'1','security_groups':[{'name':'nogroup'}]",
         "not found for project"},
        {"'name':'x','imageRef':'" IMAGE_OK "','flavorRef':'1','user_data':'%%%'",
         "is not a 'base64'"},
        {"'name':'x','imageRef':'" IMAGE_OK "','flavorRef':'1','min_count':3,'max_count':2",
         "min_count must be <= max_count"},
        {"'name':'x','imageRef':'" IMAGE_OK "','flavorRef':'1','availability_zone':'mars'",
         "availability zone is not available"},
        {"'name':'x','flavorRef':'1','block_device_mapping_v2':[{'source_type':'volume','uuid':'1',"
         "'boot_index':0}]",
         "failed to get volume 1."},
        {"'name':'x','imageRef':'" IMAGE_OK "','flavorRef':'1','description':'too new'",
         "'description' was unexpected"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct test_reply r =
            test_expect(T, 400, "p1", "POST", V "/servers", "{'server':{%s}}", bad[i].server);
        if (!strstr(test_str(T, &r, "badRequest.message"), bad[i].words))
            fail_msg("%s: %s", bad[i].words, r.text);
    }
    test_expect(T, 400, "p1", "POST", V "/servers", "{'server':{");
    test_expect(T, 400, "p1", "POST", V "/servers", "{'sever':{}}");
    test_expect(T, 400, "p1", "POST", V "/servers", "[]");
    test_expect(T, 403, "p1:reader", "POST", V "/servers",
                "{'server':{'name':'x','flavorRef':'1'}}");
    test_expect(T, 401, "bad", "POST", V "/servers", "{}");
    assert_int_equal(world_count(&w, "SELECT 1 FROM servers"), 0);
}

static void servers_of_one_request_are_found(void **state UNUSED)
{
    world_running(&w, "p1");
    struct test_reply r =
        test_expect(T, 202, "p1", "POST", V "/servers",
                    "{'server':{'name':'x','imageRef':'" IMAGE_OK "','flavorRef':'1','min_count':2,"
                    "'networks':[{'uuid':'" NET_A "'}],'return_reservation_id':true}}");
    const char *list = arena_printf(T->cx.arena, V "/servers?reservation_id=%s",
                                    test_str(T, &r, "reservation_id"));
    r = test_expect(T, 200, "p1", "GET", list, NULL);
    assert_int_equal(json_array_size(test_at(&r, "servers")), 2);
    r = test_expect(T, 200, "p2", "GET", list, NULL);
    assert_int_equal(json_array_size(test_at(&r, "servers")), 0);
}

static void strangers_see_nothing(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    static const char *const parts[] = {"",
                                        "/metadata",
                                        "/ips",
                                        "/os-interface",
                                        "/os-instance-actions",
                                        "/os-security-groups",
                                        "/os-volume_attachments"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        test_expect(T, 404, "p2", "GET", path(V "/servers/%s%s", id, parts[i]), NULL);
        test_expect(T, 200, "p1", "GET", path(V "/servers/%s%s", id, parts[i]), NULL);
    }
    test_expect(T, 404, "p2", "DELETE", path(V "/servers/%s", id), NULL);
    test_expect(T, 404, "p2", "PUT", path(V "/servers/%s", id), "{'server':{'name':'mine'}}");
    act(404, "p2", id, "{'os-stop':null}");
    act(404, "p2", id, "{'os-getConsoleOutput':{}}");
    struct test_reply r = test_expect(T, 200, "p2", "GET", V "/servers/detail", NULL);
    assert_int_equal(json_array_size(json_get(r.json, "servers")), 0);
    test_expect(T, 403, "p2", "GET", V "/servers?all_tenants=1", NULL);
    r = test_expect(T, 200, "admin", "GET", V "/servers?all_tenants=1", NULL);
    assert_int_equal(json_array_size(json_get(r.json, "servers")), 1);
    r = test_expect(T, 200, "admin", "GET", V "/servers", NULL);
    assert_int_equal(json_array_size(json_get(r.json, "servers")), 0);
    test_expect(T, 404, "p1", "GET", V "/servers/9223372036854775808", NULL);
    test_expect(T, 404, "p1", "DELETE", V "/servers/-1", NULL);
    act(404, "p1", "71ad7d2f-c265-4cd2-af40-7e6278d28937", "{'os-stop':{}}");
}

static void foreign_hosts_reports_are_ignored(void **state UNUSED)
{
    const char *id = world_server(&w, "p1"), *host = world_host_of(&w, id);
    const char *other = str_eq(host, w.host_id[0]) ? w.host_id[1] : w.host_id[0];
    world_report(&w, other, id, "{'power':'on','boot_seq':1,'build_seq':1}");
    assert_string_equal(world_status(&w, id), "BUILD");
    test_expect(T, 204, "p1", "DELETE", path(V "/servers/%s", id), NULL);
    world_report(&w, other, id, "{'power':'absent'}");
    assert_string_equal(world_status(&w, id), "ACTIVE"); /* deleting still */
}

static bool uses(const char *host, const char *image)
{
    AUTO_TXN struct tx *tx = NULL;
    bool yes = false;
    assert_ok(&T->cx, tx_read(&T->cx, T->store, &tx));
    assert_ok(&T->cx, compute_uses_image(&T->cx, tx, host, image, &yes));
    return yes;
}

static void a_host_has_use_for_its_servers_images(void **state UNUSED)
{
    const char *id = world_server(&w, "p1"), *host = world_host_of(&w, id);
    assert_true(uses(host, IMAGE_OK));
    assert_false(uses(host, IMAGE_P2));
    assert_false(uses(str_eq(host, w.host_id[0]) ? w.host_id[1] : w.host_id[0], IMAGE_OK));
}

static void locks_hold(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    act(202, "p1", id, "{'lock':null}");
    struct test_reply r = act(409, "p1", id, "{'os-stop':null}");
    assert_string_equal(test_str(T, &r, "conflictingRequest.message"),
                        path("Instance %s is locked", id));
    test_expect(T, 409, "p1", "DELETE", path(V "/servers/%s", id), NULL);
    act(202, "p1", id, "{'unlock':null}");
    act(202, "p1", id, "{'os-stop':null}");
    act(400, "p1", id, "{'dance':null}");
    act(400, "p1", id, "{'os-stop':null,'os-start':null}");
}

int main(void)
{
#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_server_is_born_runs_and_goes),
        WORLD_TEST(power_goes_up_and_down),
        WORLD_TEST(reboots_count),
        WORLD_TEST(rebuild_keeps_addresses_and_power),
        WORLD_TEST(errors_are_shown_and_heal),
        WORLD_TEST(no_room_is_explained_in_the_fault),
        WORLD_TEST(memory_is_never_promised_twice),
        WORLD_TEST(quotas_hold),
        WORLD_TEST(bad_creates_are_refused),
        WORLD_TEST(servers_of_one_request_are_found),
        WORLD_TEST(strangers_see_nothing),
        WORLD_TEST(foreign_hosts_reports_are_ignored),
        WORLD_TEST(a_host_has_use_for_its_servers_images),
        WORLD_TEST(locks_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
