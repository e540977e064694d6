/* SPDX-License-Identifier: EUPL-1.2 */
/* Hosts that fail: what moves by itself, what an administrator may move, and what stays. */
#include "base/test.h"
#include "compute/test_fakes.h"

static struct compute_world w;
#define text(...) world_path(&w, __VA_ARGS__)
#define S INT64_C(1000000)

/* It was heard last so long ago. */
static void silence(size_t host, int64_t seconds)
{
    AUTO_TXN struct tx *tx = NULL;
    const char *sql = text("UPDATE fleet_hosts SET last_seen_at = %" PRId64 ", leased_since = 1"
                           ", lease_until = %" PRId64 " WHERE id = '%s'",
                           now_us(&w.t.cx) - seconds * S,
                           now_us(&w.t.cx) - seconds * S + fleet_lease_span_us(), w.host_id[host]);
    const struct stmt st = {"test_silence", sql};
    assert_ok(&w.t.cx, tx_write(&w.t.cx, w.t.store, &tx));
    assert_ok(&w.t.cx, db_exec(&w.t.cx, tx, &st, NULL, 0, NULL));
    assert_ok(&w.t.cx, tx_commit(&w.t.cx, &tx));
}

static size_t watch_since(int64_t seconds)
{
    size_t n = 0;
    struct host_watch hw = {.open_since_us = now_us(&w.t.cx) - seconds * S};
    assert_ok(&w.t.cx, compute_watch_hosts(&w.t.cx, w.t.store, NULL, &hw, &n));
    return n;
}

static void set_ha(const char *id)
{
    struct test_reply r = test_call(&w.t, "p1", "POST", world_at(&w, id, "/metadata"),
                                    "{'metadata':{'HA_Enabled':'True'}}");
    assert_int_equal(r.status, 200);
}

static void report(const char *id, const char *host, const char *power, int seq, bool ha)
{
    world_report(&w, host, id, "{'power':'%s','boot_seq':%d,'build_seq':%d,'revision':%d,'ha':%s}",
                 power, seq, seq, (int)world_revision(&w, id), ha ? "true" : "false");
}

/* ACTIVE on h0, which knows that it is highly available. */
static const char *ha_server(void)
{
    const char *id = world_running(&w, "p1");
    set_ha(id);
    report(id, w.host_id[0], "on", 1, true);
    return id;
}

static int begin(void **state UNUSED)
{
    world_start(&w, 1, 4096);
    return 0;
}

static int end(void **state UNUSED)
{
    world_version(&w, NULL);
    world_stop(&w);
    return 0;
}

static void second_host(void)
{
    AUTO_TXN struct tx *tx = NULL;
    json_t *beat = NULL;
    struct ctx *cx = &w.t.cx;
    static const char body[] =
        "{\"vcpus\":4,\"memory_mib\":4096,\"disk_gib\":100,\"hypervisor_type\":\"QEMU\","
        "\"agent_url\":\"http://127.0.0.1:1\"}";
    assert_ok(cx, json_read(cx, body, strlen(body), &beat));
    assert_ok(cx, tx_write(cx, w.t.store, &tx));
    assert_ok(cx, fleet_host_add(cx, tx, "h1", "a secret of some length", &w.host_id[1]));
    assert_ok(cx, fleet_beat(cx, tx, w.host_id[1], beat));
    assert_ok(cx, tx_commit(cx, &tx));
    w.n_hosts = 2;
}

static void test_failed_host(void **state UNUSED)
{
    const char *id = ha_server(), *other = world_running(&w, "p1");
    second_host();
    silence(0, 34);
    assert_int_equal(watch_since(100), 0); /* its lease may be running still */
    silence(0, 36);
    assert_int_equal(watch_since(100), 1);
    assert_string_equal(world_host_of(&w, id), w.host_id[1]);
    assert_string_equal(world_host_of(&w, other), w.host_id[0]); /* it may run there */
    assert_string_equal(world_status(&w, id), "REBUILD");
    assert_null(world_spec(&w, w.host_id[0], id)); /* it is told, should it come back */
    const json_t *spec = world_spec(&w, w.host_id[1], id);
    assert_true(json_get_bool(spec, "ha", false));
    assert_int_equal(json_get_int(spec, "build_seq", 0), 2);
    assert_int_equal(json_get_int(spec, "boot_seq", 0), 2);
    assert_int_equal(world_count(&w, "SELECT 1 FROM migrations WHERE type = 'evacuation' AND "
                                     "status = 'accepted' AND source_host = 'h0' AND dest_host = "
                                     "'h1'"),
                     1);
    assert_int_equal(world_count(&w, "SELECT 1 FROM instance_actions WHERE action = 'evacuate' "
                                     "AND finish_time IS NULL"),
                     1);
    assert_int_equal(world_count(&w, "SELECT 1 FROM audit_events WHERE action = "
                                     "'compute:host-failed:evacuate'"),
                     1);
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_ports p JOIN servers s ON s.id = "
                                     "p.server_id WHERE p.host_id <> s.host_id"),
                     0);
    assert_int_equal(watch_since(100), 0);
    report(id, w.host_id[0], "on", 1, true); /* it was on its way */
    assert_string_equal(world_status(&w, id), "REBUILD");
    report(id, w.host_id[1], "on", 2, true);
    assert_string_equal(world_status(&w, id), "ACTIVE");
    assert_int_equal(world_count(&w, "SELECT 1 FROM migrations WHERE status = 'done'"), 1);
    assert_int_equal(world_count(&w, "SELECT 1 FROM instance_actions WHERE finish_time IS NULL"),
                     0);
}

/* There and back again, before the first host told that it had cleared up. */
static void test_back_again(void **state UNUSED)
{
    const char *id = ha_server();
    second_host();
    silence(0, 36);
    assert_int_equal(watch_since(100), 1);
    int64_t gone = world_revision(&w, id);
    silence(0, 1);
    silence(1, 36);
    assert_int_equal(watch_since(100), 1);
    assert_string_equal(world_host_of(&w, id), w.host_id[0]);
    world_report(&w, w.host_id[0], id, "{'power':'absent','revision':%d}", (int)gone);
    struct test_reply r = test_call(&w.t, "p1", "DELETE", world_at(&w, id, ""), NULL);
    assert_int_equal(r.status, 204);
    assert_int_equal(world_count(&w, "SELECT 1 FROM servers"), 1); /* until it says so now */
    world_report(&w, w.host_id[0], id, "{'power':'absent','revision':%d}",
                 (int)world_revision(&w, id));
    assert_int_equal(world_count(&w, "SELECT 1 FROM servers"), 0);
}

/* Off stays off; the deadline of what was under way does not matter. */
static void test_states(void **state UNUSED)
{
    const char *off = ha_server(), *rebooting = ha_server(), *paused = ha_server();
    world_act(&w, 202, "p1", off, "{'os-stop':null}");
    report(off, w.host_id[0], "off", 1, true);
    world_act(&w, 202, "p1", rebooting, "{'reboot':{'type':'HARD'}}");
    report(rebooting, w.host_id[0], "on", 1, true);
    world_act(&w, 202, "p1", paused, "{'pause':null}");
    report(paused, w.host_id[0], "on", 1, true);
    second_host();
    silence(0, 36);
    assert_int_equal(watch_since(100), 3);
    report(off, w.host_id[1], "off", 2, true);
    assert_string_equal(world_status(&w, off), "SHUTOFF");
    report(rebooting, w.host_id[1], "on", 3, true);
    world_report(&w, w.host_id[1], rebooting,
                 "{'power':'on','boot_seq':3,'build_seq':2,'revision':9}");
    assert_string_equal(world_status(&w, rebooting), "ACTIVE");
    report(paused, w.host_id[1], "on", 2, true);
    assert_string_equal(world_status(&w, paused), "ACTIVE"); /* its memory is lost */
}

/* Nobody was heard: that may be our own doing. */
static void test_own_fault(void **state UNUSED)
{
    const char *id = ha_server();
    silence(0, 600);
    second_host(); /* is heard since just now */
    assert_int_equal(watch_since(20), 0);
    assert_string_equal(world_host_of(&w, id), w.host_id[0]);
    silence(0, 36);
    assert_int_equal(watch_since(20), 0);
    silence(1, 5); /* … and now since long before */
    assert_int_equal(watch_since(20), 1);
    assert_string_equal(world_host_of(&w, id), w.host_id[1]);
}

static void test_what_its_host_does_not_know(void **state UNUSED)
{
    const char *early = ha_server(), *late = world_running(&w, "p1"), *again = ha_server();
    struct test_reply r;
    set_ha(late); /* nobody knows whether that was heard */
    r = test_call(&w.t, "p1", "DELETE", world_at(&w, early, "/metadata/HA_Enabled"), NULL);
    assert_int_equal(r.status, 204);
    r = test_call(&w.t, "p1", "DELETE", world_at(&w, again, "/metadata/HA_Enabled"), NULL);
    assert_int_equal(r.status, 204);
    set_ha(again); /* what was heard between may be all that was heard */
    world_report(&w, w.host_id[0], again,
                 "{'power':'on','boot_seq':1,'build_seq':1,'revision':1,'ha':true}");
    second_host();
    silence(0, 36);
    assert_int_equal(watch_since(100), 0);
    report(again, w.host_id[0], "on", 1, true);
    assert_int_equal(watch_since(100), 1);
}

static void test_from_birth(void **state UNUSED)
{
    struct test_reply r = test_call(&w.t, "p1", "POST", "/compute/v2.1/servers",
                                    "{'server':{'name':'s','imageRef':'" IMAGE_OK
                                    "','flavorRef':'1','networks':[{'uuid':'" NET_A
                                    "'}],'metadata':{'HA_Enabled':'True'}}}");
    assert_int_equal(r.status, 202);
    const char *id = test_str(&w.t, &r, "server.id");
    second_host();
    silence(0, 36);
    assert_int_equal(watch_since(100), 1);
    report(id, w.host_id[1], "on", 2, true);
    assert_string_equal(world_status(&w, id), "ACTIVE");
}

/* It waits, and goes once there is room. */
static void test_no_room(void **state UNUSED)
{
    const char *id = ha_server();
    silence(0, 36);
    assert_int_equal(watch_since(100), 0);
    assert_string_equal(world_host_of(&w, id), w.host_id[0]);
    assert_string_equal(world_status(&w, id), "ACTIVE");
    second_host();
    assert_int_equal(watch_since(100), 1);
}

static void set_memory(size_t host, int64_t mib)
{
    AUTO_TXN struct tx *tx = NULL;
    const struct stmt st = {"test_memory",
                            text("UPDATE fleet_hosts SET memory_mib = %" PRId64 " WHERE id = '%s'",
                                 mib, w.host_id[host])};
    assert_ok(&w.t.cx, tx_write(&w.t.cx, w.t.store, &tx));
    assert_ok(&w.t.cx, db_exec(&w.t.cx, tx, &st, NULL, 0, NULL));
    assert_ok(&w.t.cx, tx_commit(&w.t.cx, &tx));
}

/* The room that it holds where it came from is its own: it goes back there when that is all. */
static void test_room_of_its_way_back(void **state UNUSED)
{
    const char *id = ha_server();
    second_host();
    world_act(&w, 202, "admin", id, "{'migrate':null}");
    world_report(&w, w.host_id[1], id,
                 "{'power':'off','build_seq':1,'move':{'seq':1,'ready':true}}");
    world_report(&w, w.host_id[0], id,
                 "{'power':'off','build_seq':1,'move':{'seq':1,'sent':true}}");
    world_report(&w, w.host_id[1], id,
                 "{'power':'on','boot_seq':2,'build_seq':1,'revision':%d,'ha':true}",
                 (int)world_revision(&w, id));
    assert_string_equal(world_status(&w, id), "VERIFY_RESIZE");
    silence(1, 36);
    set_memory(0, 127);
    assert_int_equal(watch_since(100), 0);
    set_memory(0, 128);
    assert_int_equal(watch_since(100), 1);
    assert_string_equal(world_host_of(&w, id), w.host_id[0]);
    assert_null(json_get(json_get(world_spec(&w, w.host_id[0], id), "move"), "role"));
    world_report(&w, w.host_id[0], id,
                 "{'power':'on','boot_seq':3,'build_seq':2,'revision':%d,'ha':true}",
                 (int)world_revision(&w, id));
    assert_string_equal(world_status(&w, id), "ACTIVE");
}

static void test_volume_there(void **state UNUSED)
{
    const char *id = ha_server(), *volume = world_volume(&w);
    struct test_reply r = test_call(&w.t, "p1", "POST", world_at(&w, id, "/os-volume_attachments"),
                                    "{'volumeAttachment':{'volumeId':'%s'}}", volume);
    assert_int_equal(r.status, 200);
    report(id, w.host_id[0], "on", 1, true);
    second_host();
    silence(0, 36);
    assert_int_equal(watch_since(100), 0);
    assert_string_equal(world_host_of(&w, id), w.host_id[0]);
}

static void force_down(void)
{
    struct test_reply r = test_call(&w.t, "admin", "PUT", "/compute/v2.1/os-services/force-down",
                                    "{'host':'h0','binary':'nova-compute','forced_down':true}");
    assert_int_equal(r.status, 200);
}

static void test_by_hand(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    second_host();
    world_version(&w, "14");
    struct test_reply r = world_act(&w, 400, "admin", id, "{'evacuate':{}}");
    assert_non_null(strstr(r.text, "still in use"));
    silence(0, 36);
    r = world_act(&w, 400, "admin", id, "{'evacuate':{}}");
    assert_non_null(strstr(r.text, "--down h0"));
    world_version(&w, "52");
    force_down();
    world_act(&w, 404, "admin", id, "{'evacuate':{'host':'nowhere'}}");
    world_act(&w, 400, "admin", id, "{'evacuate':{'host':'h0'}}");
    world_act(&w, 400, "admin", id, "{'evacuate':{'onSharedStorage':false}}");
    world_act(&w, 400, "admin", id, "{'evacuate':{'force':true}}");
    world_act(&w, 403, "p1", id, "{'evacuate':{}}");
    r = world_act(&w, 200, "admin", id, "{'evacuate':{'host':'h1','force':true}}");
    assert_int_equal(strlen(r.text), 0);
    assert_string_equal(world_host_of(&w, id), w.host_id[1]);
    report(id, w.host_id[1], "on", 2, false);
    assert_string_equal(world_status(&w, id), "ACTIVE");
}

static void test_by_hand_versions(void **state UNUSED)
{
    const char *one = world_running(&w, "p1"), *two = world_running(&w, "p1");
    second_host();
    world_version(&w, "11");
    force_down();
    world_act(&w, 400, "admin", one, "{'evacuate':{'host':'h1'}}");
    struct test_reply r =
        world_act(&w, 200, "admin", one, "{'evacuate':{'onSharedStorage':false,'adminPass':'x'}}");
    assert_string_equal(test_str(&w.t, &r, "adminPass"), "x");
    world_version(&w, "95");
    world_act(&w, 400, "admin", two, "{'evacuate':{'host':'h1','force':true}}");
    world_act(&w, 200, "admin", two, "{'evacuate':{}}");
    assert_string_equal(json_get_str(world_spec(&w, w.host_id[1], two), "power"), "off");
    report(two, w.host_id[1], "off", 2, false);
    assert_string_equal(world_status(&w, two), "SHUTOFF");
}

#define HOSTS_TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOSTS_TEST(test_failed_host),
        HOSTS_TEST(test_states),
        HOSTS_TEST(test_back_again),
        HOSTS_TEST(test_own_fault),
        HOSTS_TEST(test_what_its_host_does_not_know),
        HOSTS_TEST(test_from_birth),
        HOSTS_TEST(test_no_room),
        HOSTS_TEST(test_room_of_its_way_back),
        HOSTS_TEST(test_volume_there),
        HOSTS_TEST(test_by_hand),
        HOSTS_TEST(test_by_hand_versions),
    };
    log_set_level((enum log_level)(LOG_ERROR + 1));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
