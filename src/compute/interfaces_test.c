/* SPDX-License-Identifier: EUPL-1.2 */
/* NICs of a living server: plugged in and out, refused, and given back when the host says so. */
#include "compute/test_fakes.h"

static struct compute_world w;
#define T (&w.t)

static int setup(void **state UNUSED)
{
    world_start(&w, 1, 4096);
    return 0;
}

static int teardown(void **state UNUSED)
{
    T->headers[0] = NULL;
    world_stop(&w);
    return 0;
}

static const char *at(const char *id, const char *port_id)
{
    return world_at(
        &w, id, port_id ? arena_printf(T->cx.arena, "/os-interface/%s", port_id) : "/os-interface");
}

static struct test_reply attach(int status, const char *who, const char *id, const char *members)
{
    return test_expect(T, status, who, "POST", at(id, NULL), "{'interfaceAttachment':{%s}}",
                       members);
}

static size_t nics(const char *id)
{
    return json_array_size(json_get(world_spec(&w, w.host_id[0], id), "nics"));
}

static void report(const char *id, const char *port_id, bool plugged, bool late)
{
    world_report(&w, w.host_id[0], id,
                 "{'power':'on','boot_seq':1,'build_seq':1,'revision':%" PRId64
                 ",'nics':[{'port_id':'%s','plugged':%s}]}",
                 world_revision(&w, id) - late, port_id, plugged ? "true" : "false");
}

static void in_and_out(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    struct test_reply r = attach(200, "p1", id, "'net_id':'" NET_B "'");
    const char *port = test_str(T, &r, "interfaceAttachment.port_id");
    assert_string_equal(test_str(T, &r, "interfaceAttachment.net_id"), NET_B);
    assert_string_equal(test_str(T, &r, "interfaceAttachment.port_state"), "DOWN");
    assert_int_equal(nics(id), 2);
    report(id, port, true, false);
    r = test_expect(T, 200, "p1", "GET", at(id, port), NULL);
    assert_string_equal(test_str(T, &r, "interfaceAttachment.port_state"), "ACTIVE");

    test_expect(T, 404, "p1", "DELETE", at(id, NET_A), NULL);
    for (int i = 0; i < 2; i++) { /* asked twice is no mistake */
        test_expect(T, 202, "p1", "DELETE", at(id, port), NULL);
        assert_int_equal(nics(id), 1);
    }
    report(id, port, false, true); /* from before it was asked */
    test_expect(T, 200, "p1", "GET", at(id, port), NULL);
    report(id, port, true, false); /* the guest has it still */
    r = test_expect(T, 200, "p1", "GET", at(id, port), NULL);
    assert_string_equal(test_str(T, &r, "interfaceAttachment.port_state"), "ACTIVE");
    report(id, port, false, false);
    test_expect(T, 404, "p1", "GET", at(id, port), NULL);
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_ports"), 1);
    assert_int_equal(world_count(&w, "SELECT 1 FROM instance_actions WHERE action = "
                                     "'detach_interface' AND result = 'Success'"),
                     1);
}

static void several_forms(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    struct test_reply r = attach(200, "p1", id, "");
    assert_string_equal(test_str(T, &r, "interfaceAttachment.net_id"), NET_A);
    test_expect(T, 200, "p1", "POST", at(id, NULL), NULL); /* no body at all */
    T->headers[0] = "X-OpenStack-Nova-API-Version: 2.70";
    r = attach(200, "p1", id, "'net_id':'" NET_A "','tag':'fast'");
    assert_string_equal(test_str(T, &r, "interfaceAttachment.tag"), "fast");
    const json_t *devices =
        json_get(json_get(world_spec(&w, w.host_id[0], id), "meta_data"), "devices");
    assert_string_equal(json_get_str(json_array_get(devices, 0), "mac"),
                        test_str(T, &r, "interfaceAttachment.mac_addr"));
    T->headers[0] = NULL;
    assert_int_equal(nics(id), 4);
}

static void refusals(void **state UNUSED)
{
    static const struct {
        int status;
        const char *members;
    } bad[] = {{400, "'net_id':'x'"},
               {400, "'net_id':'" NET_A "','port_id':'" NET_B "'"},
               {400, "'fixed_ips':[{'ip_address':'10.0.0.9'}]"},
               {400, "'net_id':'" NET_A "','fixed_ips':[{'ip_address':'nowhere'}]"},
               {400, "'net_id':'" NET_A "','fixed_ips':[]"},
               {400, "'net_id':'" NET_A "','tag':'new'"},
               {400, "'more':1"},
               {404, "'net_id':'" IMAGE_OK "'"},
               {404, "'port_id':'" IMAGE_OK "'"}};
    const char *id = world_running(&w, "p1");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        attach(bad[i].status, "p1", id, bad[i].members);
    attach(404, "p2", id, "");
    world_act(&w, 202, "p1", id, "{'lock':null}");
    attach(409, "p1", id, "");
    world_act(&w, 202, "p1", id, "{'unlock':null}");
    world_act(&w, 202, "p1", id, "{'suspend':null}");
    struct test_reply r = attach(409, "p1", id, "");
    assert_non_null(strstr(r.text, "Cannot 'attach_interface' instance"));
    assert_int_equal(nics(id), 1);
}

int main(void)
{
#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(in_and_out),
        WORLD_TEST(several_forms),
        WORLD_TEST(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
