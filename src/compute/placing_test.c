/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Placing from memory: what memory doesn't know of yet is never promised, and never refused for.
 * The tests change the database behind its back.
 */
#include "compute/placing.h"
#include "compute/test_fakes.h"

#define V "/compute/v2.1"
static struct compute_world w;
#define T (&w.t)

static int setup(void **state UNUSED)
{
    world_start(&w, 3, 4096);
    test_expect(T, 200, "admin", "PUT", V "/os-quota-sets/p1",
                "{'quota_set':{'instances':-1,'cores':-1,'ram':-1}}");
    return 0;
}

static int teardown(void **state UNUSED)
{
    world_stop(&w);
    return 0;
}

/* Its host's name, or its fault. */
static const char *create(const char *flavor)
{
    struct test_reply r =
        test_expect(T, 202, "p1", "POST", V "/servers",
                    "{'server':{'name':'s','flavorRef':'%s','imageRef':'" IMAGE_OK "'}}", flavor);
    const char *id = test_str(T, &r, "server.id");
    r = test_expect(T, 200, "admin", "GET", world_at(&w, id, ""), NULL);
    const char *host = test_str(T, &r, "server.OS-EXT-SRV-ATTR:host");
    return host && !str_eq(host, "null") ? host : test_str(T, &r, "server.fault.message");
}

/* Nobody is told. */
static void behind(const char *sql)
{
    AUTO_TXN struct tx *tx = NULL;
    const struct stmt st = {"behind", sql};
    assert_ok(&w.t.cx, tx_write(&w.t.cx, w.t.store, &tx));
    assert_ok(&w.t.cx, db_exec(&w.t.cx, tx, &st, NULL, 0, NULL));
    assert_ok(&w.t.cx, tx_commit(&w.t.cx, &tx));
}

/* What memory alone would choose for a small server: a host's name, "none", or NULL: it is empty.
 */
static const char *by_memory(void)
{
    const struct placing p = {.rq = {.vcpus = 1, .memory_mib = 128, .disk_gib = 1}};
    const char *id;
    if (!host_cache_place(&w.t.cx, w.t.store, &p, &id))
        return NULL;
    for (size_t i = 0; i < w.n_hosts; i++)
        if (id && str_eq(id, w.host_id[i]))
            return world_path(&w, "h%zu", i);
    return "none";
}

static void refresh(void)
{
    assert_ok(&w.t.cx, host_cache_refresh(&w.t.cx, w.t.store));
}

static void chosen_hosts_are_read_again(void **state UNUSED)
{
    assert_null(by_memory());
    assert_string_equal(create("1"), "h0");
    refresh();
    assert_string_equal(by_memory(), "h1");
    behind("UPDATE fleet_hosts SET enabled = 0 WHERE name = 'h1'");
    assert_string_equal(by_memory(), "h1"); /* it doesn't know */
    assert_string_equal(create("1"), "h2");
    behind("UPDATE fleet_hosts SET forced_down = 1 WHERE name = 'h2'");
    assert_string_equal(create("1"), "h0");
    behind("UPDATE fleet_hosts SET last_seen_at = 1 WHERE name = 'h0'");
    assert_string_equal(create("1"),
                        "No valid host was found. 3 hosts: 1 disabled, 2 not reporting.");
}

static void room_is_counted_where_it_is_promised(void **state UNUSED)
{
    assert_string_equal(create("3"), "h0");
    refresh();
    assert_string_equal(by_memory(), "h1");
    behind("UPDATE servers SET held_memory_mib = 4000");
    behind("UPDATE fleet_hosts SET memory_mib = 1024 WHERE name <> 'h0'");
    assert_string_equal(create("3"), "No valid host was found. 3 hosts: 3 lack memory (need 2048 "
                                     "MiB, most free 1024 on h1).");
    assert_string_equal(create("2"), "h1");
}

/* Memory holds all hosts for full: none is refused for that. */
static void room_that_memory_does_not_know_of_is_found(void **state UNUSED)
{
    behind("UPDATE fleet_hosts SET memory_mib = 0");
    assert_string_equal(create("1"),
                        "No valid host was found. 3 hosts: 3 lack memory (need 128 MiB, "
                        "most free 0 on h0).");
    assert_string_equal(by_memory(), "none");
    behind("UPDATE fleet_hosts SET memory_mib = 4096 WHERE name = 'h2'");
    assert_string_equal(create("1"), "h2");
    refresh(); /* it was found wrong, and reads all */
    assert_string_equal(by_memory(), "h2");
}

static void what_aggregates_say_is_read_again(void **state UNUSED)
{
    struct test_reply r =
        test_expect(T, 200, "admin", "POST", V "/os-aggregates", "{'aggregate':{'name':'a'}}");
    const char *url = world_path(&w, V "/os-aggregates/%s/action", test_str(T, &r, "aggregate.id"));
    assert_string_equal(create("1"), "h0");
    test_expect(T, 200, "admin", "POST", url, "{'add_host':{'host':'h1'}}");
    behind("UPDATE aggregates SET metadata = '{\"filter_tenant_id\":\"p2\"}'");
    assert_string_equal(create("1"), "h2");
    test_expect(T, 200, "admin", "POST", url,
                "{'set_metadata':{'metadata':{'filter_tenant_id':null}}}");
    assert_string_equal(create("1"), "h1");
}

/* One request's servers see each other. */
static void servers_of_one_request_spread(void **state UNUSED)
{
    assert_string_equal(create("1"), "h0");
    test_expect(T, 202, "p1", "POST", V "/servers",
                "{'server':{'name':'s','flavorRef':'3','imageRef':'" IMAGE_OK
                "','min_count':6,'max_count':6}}");
    assert_int_equal(world_count(&w, "SELECT host_id FROM servers WHERE held_memory_mib = 2048 AND "
                                     "host_id IS NOT NULL GROUP BY host_id HAVING COUNT(*) <= 2"),
                     3);
    assert_int_equal(world_count(&w, "SELECT 1 FROM servers WHERE host_id IS NULL"), 1);
}

/* What another process commits comes as a topic. */
static void differences_are_heard(void **state UNUSED)
{
    assert_string_equal(create("1"), "h0");
    refresh();
    assert_string_equal(by_memory(), "h1");
    static const char *const topics[] = {"room:%s", "host:%s", "room:", NULL};
    for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
        behind("UPDATE fleet_hosts SET memory_mib = 0 WHERE name = 'h1'");
        refresh();
        assert_string_equal(by_memory(), "h1");
        fleet_hears(w.t.store, topics[i] ? world_path(&w, topics[i], w.host_id[1]) : NULL);
        refresh();
        assert_string_equal(by_memory(), "h2");
        behind("UPDATE fleet_hosts SET memory_mib = 4096 WHERE name = 'h1'");
        fleet_hears(w.t.store, NULL);
        refresh();
        assert_string_equal(by_memory(), "h1");
    }
}

/* Time passes without a word. */
static int64_t later_us(struct clock *c UNUSED)
{
    return clock_system()->mono_us(clock_system()) + 12000000;
}

static int64_t wall_us(struct clock *c UNUSED)
{
    return clock_system()->wall_us(clock_system());
}

static void a_look_finds_what_nobody_told(void **state UNUSED)
{
    static struct clock later = {later_us, wall_us};
    struct clock *now = w.t.cx.clock;
    assert_string_equal(create("1"), "h0");
    refresh();
    behind("UPDATE fleet_hosts SET last_seen_at = 1 WHERE name = 'h1'");
    behind("UPDATE fleet_hosts SET memory_mib = 0 WHERE name = 'h2'");
    refresh();
    assert_string_equal(by_memory(), "h1");
    w.t.cx.clock = &later;
    assert_ok(&w.t.cx, compute_tick(&w.t.cx, w.t.store));
    w.t.cx.clock = now;
    assert_string_equal(by_memory(), "h0");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(chosen_hosts_are_read_again),
        TEST(room_is_counted_where_it_is_promised),
        TEST(room_that_memory_does_not_know_of_is_found),
        TEST(what_aggregates_say_is_read_again),
        TEST(servers_of_one_request_spread),
        TEST(differences_are_heard),
        TEST(a_look_finds_what_nobody_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
