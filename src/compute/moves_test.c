/* SPDX-License-Identifier: EUPL-1.2 */
/* Servers from host to host: what each host is told at each stage, and every way out. What happens
 * between agents, and when any of them dies, is the simulator's. */
#include "compute/test_fakes.h"

static struct compute_world w;
static struct test_api *const T = &w.t;
#define TASK "OS-EXT-STS:task_state"
#define HOST "OS-EXT-SRV-ATTR:host"

static const char *other_of(const char *host_id)
{
    return str_eq(host_id, w.host_id[0]) ? w.host_id[1] : w.host_id[0];
}

static const char *role_on(const char *host_id, const char *id)
{
    const json_t *spec = world_spec(&w, host_id, id);
    const char *role = json_get_str(json_get(spec, "move"), "role");
    return !spec ? "unwanted" : role ? role : "none";
}

static void expect(const char *id, const char *status, const char *task)
{
    assert_string_equal(world_status(&w, id), status);
    assert_string_equal(world_show(&w, id, TASK), task);
}

static const char *migration(const char *member)
{
    struct test_reply r = test_expect(T, 200, "admin", "GET",
                                      "/compute/v2.1/os-migrations?sort_key=created_at", NULL);
    return test_str(T, &r, arena_printf(T->cx.arena, "migrations[0].%s", member));
}

static size_t held_on(const char *host_id)
{
    return world_count(&w, arena_printf(T->cx.arena,
                                        "SELECT 1 FROM servers WHERE host_id = '%s' OR "
                                        "other_host_id = '%s'",
                                        host_id, host_id));
}

static void live(const char *id)
{
    world_act(&w, 202, "admin", id,
              "{'os-migrateLive':{'host':null,'block_migration':true,'disk_over_commit':false}}");
}

static void ready(const char *host_id, const char *id, int seq)
{
    world_report(&w, host_id, id, "{'power':'off','build_seq':1,'move':{'seq':%d,'ready':true}}",
                 seq);
}

static void sent(const char *host_id, const char *id, int seq, const char *power)
{
    world_report(&w, host_id, id, "{'power':'%s','build_seq':1,'move':{'seq':%d,'sent':true}}",
                 power, seq);
}

static void runs(const char *host_id, const char *id, int boot)
{
    world_report(&w, host_id, id, "{'power':'on','boot_seq':%d,'build_seq':1,'revision':%d}", boot,
                 (int)world_revision(&w, id));
}

static void live_and_there(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *from = world_host_of(&w, id), *to = other_of(from);
    live(id);
    expect(id, "MIGRATING", "migrating");
    assert_string_equal(migration("status"), "preparing");
    assert_string_equal(role_on(from, id), "none"); /* it has nothing to do yet */
    assert_string_equal(role_on(to, id), "in");
    assert_int_equal(held_on(from), 1);
    assert_int_equal(held_on(to), 1);
    sent(from, id, 1, "on"); /* nobody asked */
    assert_string_equal(world_host_of(&w, id), from);
    ready(to, id, 7); /* of another move */
    assert_string_equal(role_on(from, id), "none");
    ready(to, id, 1);
    assert_string_equal(role_on(from, id), "out");
    assert_string_equal(fake_expected_on, to);
    assert_string_equal(migration("status"), "running");
    const json_t *move = json_get(world_spec(&w, from, id), "move");
    assert_true(json_get_bool(move, "live", false));
    assert_string_equal(json_get_str(move, "peer"), to);
    assert_int_equal(strlen(json_get_str(move, "token")), 64);
    assert_null(json_get(json_get(world_spec(&w, to, id), "move"), "token"));
    sent(from, id, 1, "on");
    assert_string_equal(world_host_of(&w, id), to);
    assert_string_equal(role_on(from, id), "unwanted");
    assert_string_equal(role_on(to, id), "none");
    expect(id, "MIGRATING", "migrating");
    world_report(&w, to, id, "{'power':'on','boot_seq':1,'build_seq':1,'revision':0}");
    expect(id, "MIGRATING", "migrating"); /* of before */
    runs(to, id, 1);
    expect(id, "ACTIVE", "null");
    assert_string_equal(migration("status"), "completed");
    assert_int_equal(held_on(from), 0);
    assert_int_equal(world_count(&w, "SELECT 1 FROM instance_actions WHERE action = "
                                     "'live-migration' AND result = 'Success'"),
                     1);
}

static void cold_is_confirmed(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *from = world_host_of(&w, id), *to = other_of(from);
    world_act(&w, 202, "admin", id, "{'migrate':null}");
    expect(id, "RESIZE", "resize_migrating");
    ready(to, id, 1);
    assert_false(json_get_bool(json_get(world_spec(&w, from, id), "move"), "live", true));
    sent(from, id, 1, "off");
    expect(id, "RESIZE", "resize_finish");
    assert_string_equal(role_on(from, id), "kept");
    assert_int_equal(json_get_int(world_spec(&w, to, id), "boot_seq", 0), 2);
    runs(to, id, 2);
    expect(id, "VERIFY_RESIZE", "null");
    assert_string_equal(migration("status"), "finished");
    assert_int_equal(held_on(from), 1);
    world_act(&w, 204, "p1", id, "{'confirmResize':null}");
    expect(id, "ACTIVE", "null");
    assert_string_equal(role_on(from, id), "unwanted");
    assert_int_equal(held_on(from), 0);
}

static void cold_is_reverted(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *from = world_host_of(&w, id), *to = other_of(from);
    world_act(&w, 202, "admin", id, "{'migrate':null}");
    ready(to, id, 1);
    sent(from, id, 1, "off");
    runs(to, id, 2);
    world_act(&w, 202, "p1", id, "{'revertResize':null}");
    assert_string_equal(role_on(to, id), "unwanted");
    assert_string_equal(role_on(from, id), "kept"); /* until nothing runs there any more */
    world_report(&w, to, id, "{'power':'absent'}");
    assert_string_equal(world_host_of(&w, id), from);
    assert_string_equal(role_on(from, id), "none");
    assert_int_equal(held_on(to), 0);
    runs(from, id, 3);
    expect(id, "ACTIVE", "null");
    assert_string_equal(migration("status"), "reverted");
}

static void behind(const char *sql)
{
    AUTO_TXN struct tx *tx = NULL;
    const struct stmt st = {"behind", sql};
    assert_ok(&T->cx, tx_write(&T->cx, T->store, &tx));
    assert_ok(&T->cx, db_run(&T->cx, tx, &st));
    assert_ok(&T->cx, tx_commit(&T->cx, &tx));
}

/* That the guest is gone there does not say that nothing is at work on its volumes. */
static void a_revert_waits_for_shared_volumes(void **state UNUSED)
{
    behind("UPDATE fleet_hosts SET pool_id = 'eeeeeeee-0000-4000-8000-000000000001', pool_gib = 1");
    const char *id = world_running(&w, "p1"), *from = world_host_of(&w, id), *to = other_of(from);
    world_act(&w, 202, "admin", id, "{'migrate':null}");
    ready(to, id, 1);
    sent(from, id, 1, "off");
    runs(to, id, 2);
    test_expect(T, 200, "p1", "POST", world_at(&w, id, "/os-volume_attachments"),
                "{'volumeAttachment':{'volumeId':'%s'}}", world_volume(&w));
    behind("UPDATE volumes SET from_host_id = NULL"); /* whoever had it before has let go */
    world_act(&w, 202, "p1", id, "{'revertResize':null}");
    world_report(&w, to, id, "{'power':'absent'}");
    assert_string_equal(world_host_of(&w, id), from);
    assert_int_equal(world_count(&w, world_path(&w,
                                                "SELECT 1 FROM volumes WHERE host_id = '%s' AND "
                                                "from_host_id = '%s'",
                                                from, to)),
                     1);
}

static void trouble_leaves_it_where_it_was(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *from = world_host_of(&w, id), *to = other_of(from);
    live(id);
    world_report(&w, to, id, "{'power':'off','error':'no image','move':{'seq':1}}");
    expect(id, "ACTIVE", "null");
    assert_string_equal(migration("status"), "error");
    assert_string_equal(role_on(to, id), "unwanted");
    live(id);
    ready(to, id, 2);
    assert_string_equal(fake_expected_on, to);
    world_report(&w, from, id, "{'power':'on','boot_seq':1,'build_seq':1,'error':'old trouble'}");
    expect(id, "MIGRATING", "migrating"); /* not of the move */
    world_report(&w, from, id,
                 "{'power':'on','boot_seq':1,'build_seq':1,'error':'cut','move':{'seq':2}}");
    expect(id, "MIGRATING", "migrating"); /* it may stand still: its host says */
    assert_string_equal(fake_expected_on, "");
    assert_string_equal(role_on(from, id), "none");
    assert_string_equal(role_on(to, id), "unwanted");
    sent(from, id, 2, "on"); /* too late */
    assert_string_equal(world_host_of(&w, id), from);
    runs(from, id, 1);
    expect(id, "ACTIVE", "null");
    assert_string_equal(migration("status"), "error");
    assert_int_equal(world_count(&w, "SELECT 1 FROM instance_actions WHERE action = "
                                     "'live-migration' AND result = 'Error'"),
                     2);
}

static void one_that_goes_off_stays(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *from = world_host_of(&w, id), *to = other_of(from);
    live(id);
    world_report(&w, from, id, "{'power':'off','boot_seq':1,'build_seq':1,'guest_shutdown':true}");
    expect(id, "SHUTOFF", "null");
    assert_string_equal(role_on(to, id), "unwanted");
}

static void aborted(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *from = world_host_of(&w, id), *to = other_of(from);
    world_version(&w, "24");
    test_expect(T, 409, "admin", "DELETE", world_at(&w, id, "/migrations/1"), NULL);
    world_version(&w, NULL);
    live(id);
    ready(to, id, 1);
    world_version(&w, "24");
    test_expect(T, 404, "admin", "DELETE", world_at(&w, id, "/migrations/99"), NULL);
    test_expect(T, 403, "p1", "DELETE", world_at(&w, id, "/migrations/1"), NULL);
    test_expect(T, 202, "admin", "DELETE",
                world_at(&w, id, arena_printf(T->cx.arena, "/migrations/%s", migration("id"))),
                NULL);
    world_version(&w, NULL);
    assert_string_equal(migration("status"), "cancelled");
    runs(from, id, 1);
    expect(id, "ACTIVE", "null");
}

static void a_deleted_one_goes_from_both(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *from = world_host_of(&w, id), *to = other_of(from);
    live(id);
    ready(to, id, 1);
    test_expect(T, 204, "p1", "DELETE", world_at(&w, id, ""), NULL);
    assert_string_equal(role_on(from, id), "unwanted");
    assert_string_equal(role_on(to, id), "unwanted");
    world_report(&w, from, id, "{'power':'absent'}");
    assert_string_equal(world_status(&w, id), "404");
}

static void resized_where_there_is_room(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *from = world_host_of(&w, id), *to = other_of(from);
    test_expect(T, 200, "admin", "PUT", "/compute/v2.1/os-services/disable",
                "{'host':'%s','binary':'nova-compute'}", world_show(&w, id, HOST));
    world_act(&w, 202, "p1", id, "{'resize':{'flavorRef':'3'}}");
    expect(id, "RESIZE", "resize_migrating");
    world_version(&w, "23");
    assert_string_equal(migration("migration_type"), "resize");
    world_version(&w, NULL);
    ready(to, id, 1);
    sent(from, id, 1, "off");
    assert_int_equal(json_get_int(world_spec(&w, to, id), "memory_mib", 0), 2048);
    runs(to, id, 2);
    expect(id, "VERIFY_RESIZE", "null");
    world_act(&w, 202, "p1", id, "{'revertResize':null}");
    world_report(&w, to, id, "{'power':'absent'}");
    assert_int_equal(json_get_int(world_spec(&w, from, id), "memory_mib", 0), 128);
    runs(from, id, 3);
    expect(id, "ACTIVE", "null");
}

static void refused(const char *id, const char *version, const char *body, const char *words)
{
    world_version(&w, version);
    struct test_reply r = world_act(&w, 400, "admin", id, body);
    world_version(&w, NULL);
    if (!strstr(r.text, words))
        fail_msg("%s: %s", body, r.text);
}

static void what_cannot_be_is_refused(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *own = world_show(&w, id, HOST);
    refused(id, NULL, "{'os-migrateLive':{'host':null,'block_migration':true}}", "required");
    refused(id, NULL,
            "{'os-migrateLive':{'host':null,'block_migration':'auto','disk_over_commit':false}}",
            "boolean");
    refused(id, NULL,
            "{'os-migrateLive':{'host':null,'block_migration':false,'disk_over_commit':false}}",
            "not on shared storage");
    refused(id, "25", "{'os-migrateLive':{'host':null,'block_migration':'some'}}", "boolean");
    refused(id, "25", "{'os-migrateLive':{'host':'none','block_migration':'auto'}}",
            "could not be found");
    refused(id, "30", "{'os-migrateLive':{'host':null,'block_migration':'auto','force':true}}",
            "non-provided");
    refused(id, "68", "{'os-migrateLive':{'host':null,'block_migration':'auto','force':true}}",
            "force");
    refused(id, "25",
            world_path(&w, "{'os-migrateLive':{'host':'%s','block_migration':'auto'}}", own),
            "to current host");
    refused(id, "56", world_path(&w, "{'migrate':{'host':'%s'}}", own), "where the server exists");
    test_expect(T, 200, "admin", "PUT", "/compute/v2.1/os-services/disable",
                "{'host':'%s','binary':'nova-compute'}", str_eq(own, "h0") ? "h1" : "h0");
    refused(id, NULL, "{'migrate':null}", "1 disabled");
    expect(id, "ACTIVE", "null");
}

static int start(void **state UNUSED)
{
    world_start(&w, 2, 6000);
    return 0;
}

static int stop(void **state UNUSED)
{
    world_stop(&w);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_cannot_be_is_refused),
        TEST(live_and_there),
        TEST(cold_is_confirmed),
        TEST(cold_is_reverted),
        TEST(a_revert_waits_for_shared_volumes),
        TEST(trouble_leaves_it_where_it_was),
        TEST(one_that_goes_off_stays),
        TEST(aborted),
        TEST(a_deleted_one_goes_from_both),
        TEST(resized_where_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
