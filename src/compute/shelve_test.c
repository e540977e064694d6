/* SPDX-License-Identifier: EUPL-1.2 */
/* Shelving and unshelving, as clients and hosts see it, and each way it may fail. */
#include "compute/test_fakes.h"

static struct compute_world w;
#define T (&w.t)
#define TASK "OS-EXT-STS:task_state"

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

static void report(const char *id, const char *body)
{
    world_report(&w, world_host_of(&w, id), id, "%s", body);
}

static void expect(const char *id, const char *status, const char *task)
{
    assert_string_equal(world_status(&w, id), status);
    assert_string_equal(world_show(&w, id, TASK), task);
}

static size_t images(const char *where)
{
    return world_count(&w, arena_printf(T->cx.arena, "SELECT 1 FROM fake_images %s", where));
}

static const char *shelve_result(void)
{
    return world_count(&w, "SELECT 1 FROM instance_actions WHERE action = 'shelve' AND result = "
                           "'Success'")
               ? "Success"
           : world_count(&w, "SELECT 1 FROM instance_actions WHERE action = 'shelve' AND result = "
                             "'Error'")
               ? "Error"
               : "open";
}

/* The host it was on. */
static const char *shelved(const char *id)
{
    const char *host = world_host_of(&w, id);
    world_act(&w, 202, "p1", id, "{'shelve':null}");
    report(id, "{'power':'off','boot_seq':9,'build_seq':9}"); /* all that was asked for */
    world_export_end(&w, id, NULL);
    world_report(&w, host, id, "{'power':'absent'}");
    expect(id, "SHELVED_OFFLOADED", "null");
    return host;
}

static void expire(const char *id)
{
    AUTO_TXN struct tx *tx = NULL;
    size_t changed;
    static const struct stmt late = {"late", "UPDATE servers SET state_deadline = $1, generation = "
                                             "generation + 1 WHERE id = $2"};
    assert_ok(&T->cx, tx_write(&T->cx, T->store, &tx));
    assert_ok(&T->cx, db_run(&T->cx, tx, &late, V_INT(now_us(&T->cx) - 1000), V_TEXT(id)));
    assert_ok(&T->cx, tx_commit(&T->cx, &tx));
    assert_ok(&T->cx, compute_sweep(&T->cx, T->store, &changed));
    assert_int_equal(changed, 1);
}

/* ---------------------------------------------------------------- there and back */

static void there_and_back(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *host = world_host_of(&w, id);
    world_act(&w, 409, "p1", id, "{'unshelve':null}");
    world_act(&w, 403, "p1", id, "{'shelveOffload':null}");
    world_act(&w, 409, "admin", id, "{'shelveOffload':null}");
    world_act(&w, 202, "p1", id, "{'shelve':null}");
    expect(id, "ACTIVE", "shelving");
    assert_string_equal(json_get_str(world_spec(&w, host, id), "power"), "off");
    assert_int_equal(images("WHERE name = 'vm-shelved' AND held = 1"), 1);
    world_act(&w, 409, "p1", id, "{'os-start':null}");
    for (int i = 0; i < 2; i++) {
        report(id, "{'power':'off','boot_seq':1,'build_seq':1}");
        expect(id, "SHUTOFF", "shelving_image_uploading");
        assert_int_equal(images("WHERE held = 0"), 1); /* off: now it is copied */
    }
    world_export_end(&w, id, NULL);
    expect(id, "SHELVED", "shelving_offloading");
    assert_null(world_spec(&w, host, id));
    world_act(&w, 202, "admin", id, "{'shelveOffload':null}");
    world_act(&w, 409, "p1", id, "{'unshelve':null}");
    report(id, "{'power':'off','boot_seq':1,'build_seq':1}");
    expect(id, "SHELVED", "shelving_offloading");
    report(id, "{'power':'absent'}");
    expect(id, "SHELVED_OFFLOADED", "null");
    world_act(&w, 409, "admin", id, "{'shelveOffload':null}");
    assert_int_equal(world_count(&w, "SELECT 1 FROM instance_actions WHERE action = "
                                     "'shelveOffload' AND result = 'Success'"),
                     1);
    assert_string_equal(shelve_result(), "Success");
    assert_null(world_host_of(&w, id));
    assert_string_equal(world_show(&w, id, "OS-EXT-STS:power_state"), "0");
    world_report(&w, host, id, "{'power':'absent'}"); /* late and repeated: nothing */
    expect(id, "SHELVED_OFFLOADED", "null");
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_ports WHERE host_id IS NULL"), 1);

    world_act(&w, 400, "p1", id, "{'unshelve':{'availability_zone':'nova'}}");
    world_act(&w, 202, "p1", id, "{'unshelve':null}");
    expect(id, "SHELVED_OFFLOADED", "spawning");
    host = world_host_of(&w, id);
    const json_t *spec = world_spec(&w, host, id);
    assert_string_equal(json_get_str(spec, "power"), "on");
    assert_int_equal(json_get_int(spec, "build_seq", 0), 2);
    assert_int_equal(json_get_int(spec, "boot_seq", 0), 2);
    assert_string_equal(json_get_str(json_get(spec, "image"), "sha512"), "ef");
    assert_string_equal(world_show(&w, id, "image.id"), IMAGE_OK);
    assert_int_equal(images(""), 1);
    report(id, "{'power':'absent'}");
    expect(id, "SHELVED_OFFLOADED", "spawning");
    report(id, "{'power':'on','boot_seq':2,'build_seq':2}");
    expect(id, "ACTIVE", "null");
    assert_int_equal(images(""), 0); /* it has done its duty */
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_ports WHERE host_id IS NOT NULL"), 1);
}

static void from_other_states(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'os-stop':null}");
    report(id, "{'power':'off','boot_seq':1,'build_seq':1}");
    world_act(&w, 202, "p1", id, "{'shelve':null}");
    expect(id, "SHUTOFF", "shelving_image_uploading"); /* off already: nothing to wait for */
    assert_int_equal(images("WHERE held = 0"), 1);

    id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'pause':null}");
    report(id, "{'power':'on','boot_seq':1,'build_seq':1,'paused':true}");
    world_act(&w, 202, "p1", id, "{'shelve':null}");
    report(id, "{'power':'on','boot_seq':1,'build_seq':1,'paused':true}");
    expect(id, "ACTIVE", "shelving");
    report(id, "{'power':'off','boot_seq':1,'build_seq':1}");
    expect(id, "SHUTOFF", "shelving_image_uploading");
}

/* ---------------------------------------------------------------- failures */

static void a_copy_that_fails_leaves_it_off(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'shelve':null}");
    report(id, "{'power':'off','boot_seq':1,'build_seq':1}");
    world_export_end(&w, id, "no space left");
    expect(id, "SHUTOFF", "null");
    assert_string_equal(shelve_result(), "Error");
    assert_int_equal(images(""), 0);
    world_act(&w, 202, "p1", id, "{'os-start':null}");
}

/* Its data would be lost with its host. */
static void it_never_leaves_without_its_image(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'shelve':null}");
    world_export_end(&w, id, "the image was deleted");
    expect(id, "ACTIVE", "shelving");
    report(id, "{'power':'off','boot_seq':1,'build_seq':1}");
    expect(id, "SHUTOFF", "null");
    assert_string_equal(shelve_result(), "Error");
}

static void deadlines(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'shelve':null}");
    expire(id);
    expect(id, "ERROR", "null");
    assert_int_equal(images(""), 0);
    report(id, "{'power':'off','boot_seq':1,'build_seq':1}");
    expect(id, "SHUTOFF", "null");
    world_act(&w, 202, "p1", id, "{'shelve':null}");
    expire(id);
    expect(id, "ERROR", "null");
    assert_int_equal(images(""), 0);
}

static void deleted_on_the_way(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'shelve':null}");
    test_expect(T, 204, "p1", "DELETE", world_at(&w, id, ""), NULL);
    assert_int_equal(images(""), 0);
    expect(id, "ACTIVE", "deleting");
    id = world_running(&w, "p1");
    shelved(id);
    assert_int_equal(images(""), 1);
    test_expect(T, 204, "p1", "DELETE", world_at(&w, id, ""), NULL);
    assert_string_equal(world_status(&w, id), "404");
    assert_int_equal(images(""), 0);
}

static void unshelving_may_be_impossible(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    shelved(id);
    for (size_t i = 0; i < w.n_hosts; i++)
        test_expect(T, 200, "admin", "PUT", "/compute/v2.1/os-services/disable",
                    "{'host':'h%zu','binary':'nova-compute'}", i);
    struct test_reply r = world_act(&w, 409, "p1", id, "{'unshelve':null}");
    assert_non_null(strstr(r.text, "No valid host was found. 2 hosts: 2 disabled"));
    expect(id, "SHELVED_OFFLOADED", "null");
    for (size_t i = 0; i < w.n_hosts; i++)
        test_expect(T, 200, "admin", "PUT", "/compute/v2.1/os-services/enable",
                    "{'host':'h%zu','binary':'nova-compute'}", i);
    world_act(&w, 202, "p1", id, "{'unshelve':null}");
    report(id, "{'power':'absent','error':'the image cannot be read'}");
    expect(id, "ERROR", "null");
    assert_int_equal(images(""), 1); /* still needed */
    report(id, "{'power':'on','boot_seq':2,'build_seq':2}");
    expect(id, "ACTIVE", "null");
    assert_int_equal(images(""), 0);
}

static void an_administrator_may_reset_it(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    shelved(id);
    world_act(&w, 202, "admin", id, "{'os-resetState':{'state':'error'}}");
    expect(id, "ERROR", "null");
    world_act(&w, 409, "p1", id, "{'unshelve':null}");
    world_act(&w, 202, "admin", id, "{'os-resetState':{'state':'active'}}");
    expect(id, "SHELVED_OFFLOADED", "null");
}

/* ---------------------------------------------------------------- volumes */

static void volumes_stay_with_it(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *v = NULL;
    struct test_reply r;
    do { /* one on the server's host */
        v = world_volume(&w);
        r = test_call(T, "p1", "POST", world_at(&w, id, "/os-volume_attachments"),
                      "{'volumeAttachment':{'volumeId':'%s'}}", v);
    } while (r.status == 400);
    assert_int_equal(r.status, 200);
    const char *host = shelved(id);
    assert_string_equal(world_volume_status(&w, v), "in-use");
    world_act(&w, 202, "p1", id, "{'unshelve':null}");
    assert_string_equal(world_host_of(&w, id), host); /* where its volume lies */
    report(id, "{'power':'on','boot_seq':2,'build_seq':2}");
    host = shelved(id);
    test_expect(T, 202, "p1", "DELETE",
                world_at(&w, id, arena_printf(T->cx.arena, "/os-volume_attachments/%s", v)), NULL);
    assert_string_equal(world_volume_status(&w, v), "available");
    test_expect(T, 200, "p1", "POST", world_at(&w, id, "/os-volume_attachments"),
                "{'volumeAttachment':{'volumeId':'%s'}}", v);
    assert_string_equal(world_volume_status(&w, v), "in-use");
    test_expect(T, 204, "p1", "DELETE", world_at(&w, id, ""), NULL);
    assert_string_equal(world_volume_status(&w, v), "available");
}

int main(void)
{
#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(there_and_back),
        WORLD_TEST(from_other_states),
        WORLD_TEST(a_copy_that_fails_leaves_it_off),
        WORLD_TEST(it_never_leaves_without_its_image),
        WORLD_TEST(deadlines),
        WORLD_TEST(deleted_on_the_way),
        WORLD_TEST(unshelving_may_be_impossible),
        WORLD_TEST(an_administrator_may_reset_it),
        WORLD_TEST(volumes_stay_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
