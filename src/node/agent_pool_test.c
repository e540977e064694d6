/* SPDX-License-Identifier: EUPL-1.2 */
/* The engine: volumes on storage that other hosts have, too. */
#include "node/test_agent.h"

#define OF_S1 "'server_id':'" S1 "'"
#define USES(id) "'volumes':[{'volume_id':'" id "'}]"
#define IN_POOL "'pool_id':'" POOL "','source':{}"

static struct fake_volume shared(const char *id)
{
    struct fake_volume v;
    fake_volume_get(&fx->shared, id, &v);
    return v;
}

static bool there(const char *id)
{
    struct fake_volume v;
    return fake_volume_get(&fx->shared, id, &v);
}

static bool absent(const char *id)
{
    return json_get_bool(report_of(id), "absent", false);
}

static void lease(int64_t seconds)
{
    agent_lease(&fx->cx, fx->a, fx->now + seconds * 1000000);
    agent_lease_heard(&fx->cx, fx->a, parse("{'revision':0,'full':false,'items':[]}"));
}

static void test_lies_in_the_pool(void **state UNUSED)
{
    lease(1000);
    struct fake_volume local;
    change(volume_item(V1, 2, IN_POOL));
    run_for(1);
    assert_true(json_get_bool(report_of(V1), "ready", false));
    assert_int_equal(shared(V1).size_gib, 2);
    assert_false(fake_volume_get(&fx->volumes, V1, &local));
    change(volume_item(V1, 3, IN_POOL));
    change(volume_item(V2, 3, "'pool_id':'" POOL "','source':{'volume_id':'" V1 "'}"));
    run_for(1);
    assert_int_equal(shared(V1).size_gib, 3);
    assert_int_equal(shared(V2).size_gib, 3);
}

/* Told that it is no longer its own, the host forgets it; the data is another's. */
static void test_is_let_go(void **state UNUSED)
{
    struct agent_stats st;
    lease(1000);
    change(volume_item(V1, 2, IN_POOL));
    run_for(1);
    report_of(V1);
    change(deleted_item("volume", V1));
    run_for(1);
    assert_true(absent(V1));
    assert_true(there(V1));
    agent_get_stats(fx->a, fx->now, &st);
    assert_int_equal(st.items[ITEM_VOLUME], 0);
    change(volume_item(V1, 2, IN_POOL)); /* and back */
    run_for(1);
    assert_true(json_get_bool(report_of(V1), "ready", false));
}

/* Also by one that was killed and knows of nothing. */
static void test_is_let_go_after_a_crash(void **state UNUSED)
{
    lease(1000);
    change(volume_item(V1, 2, IN_POOL));
    run_for(1);
    fx->revision++;
    restart_agent();
    lease(1000);
    take(true, deleted_item("volume", V1), NULL);
    run_for(1);
    assert_true(absent(V1));
    assert_true(there(V1));
    restart_agent(); /* what it is not told of is none of its business */
    fx->revision++;
    take(true, volume_item(V2, 1, ""), NULL);
    take(true, volume_item(V2, 1, ""), NULL);
    run_for(10);
    assert_true(there(V1));
}

static void test_not_while_a_guest_has_it(void **state UNUSED)
{
    lease(1000);
    change(volume_item(V1, 2, IN_POOL "," OF_S1));
    change(server_with(S1, true, 1, 1, USES(V1)));
    run_for(1);
    assert_string_equal(shared(V1).holder, S1);
    report_of(V1);
    change(deleted_item("volume", V1));
    run_for(10);
    assert_null(report_of(V1));
    change(server_with(S1, true, 1, 1, ""));
    run_for(1);
    assert_true(absent(V1));
    assert_true(there(V1));
}

static void test_waits_to_be_told(void **state UNUSED)
{
    lease(1000);
    change(server_with(S1, true, 1, 1, USES(V1)));
    run_for(10);
    assert_int_not_equal(power_of(S1), GUEST_ON);
    change(volume_item(V1, 2, IN_POOL "," OF_S1));
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_ON);
    assert_string_equal(shared(V1).holder, S1);
}

/* Data goes by an explicit word only, and is told to be gone until that is heard. */
static void test_removal(void **state UNUSED)
{
    struct agent_stats st;
    lease(1000);
    change(volume_item(V1, 2, IN_POOL "," OF_S1));
    change(server_with(S1, true, 1, 1, USES(V1)));
    run_for(1);
    report_of(V1);
    change(volume_item(V1, 2, IN_POOL ",'remove':true"));
    run_for(10);
    assert_true(there(V1)); /* in use */
    change(server_with(S1, true, 1, 1, ""));
    run_for(1);
    assert_false(there(V1));
    int64_t revision = fx->revision - 1;
    const json_t *r = report_of(V1);
    assert_true(json_get_bool(r, "absent", false));
    assert_int_equal(json_get_int(r, "revision", 0), revision);
    agent_get_stats(fx->a, fx->now, &st);
    assert_int_equal(st.items[ITEM_VOLUME], 0);
    change(volume_item(V1, 2, IN_POOL ",'remove':true")); /* it was not heard */
    run_for(1);
    assert_true(absent(V1));
    change(volume_item(V1, 2, "'remove':true")); /* no such word for its own disks */
    run_for(10);
    assert_non_null(strstr(json_get_str(report_of(V1), "error"), "pool_id"));
}

/* Another host may have it then. */
static void test_nothing_without_a_lease(void **state UNUSED)
{
    change(volume_item(V1, 2, IN_POOL));
    run_for(10);
    assert_false(there(V1));
    lease(25);
    run_for(1);
    assert_true(there(V1));
    run_for(30);
    change(volume_item(V1, 3, IN_POOL));
    run_for(10);
    assert_int_equal(shared(V1).size_gib, 2);
    lease(25);
    run_for(1);
    assert_int_equal(shared(V1).size_gib, 3);
}

static void test_another_pool(void **state UNUSED)
{
    lease(1000);
    change(volume_item(V1, 2, "'pool_id':'" V2 "'," OF_S1));
    change(server_with(S1, true, 1, 1, USES(V1)));
    run_for(10);
    assert_non_null(strstr(json_get_str(report_of(V1), "error"), "does not reach the storage"));
    assert_int_not_equal(power_of(S1), GUEST_ON);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        AGENT_TEST(test_lies_in_the_pool),        AGENT_TEST(test_is_let_go),
        AGENT_TEST(test_is_let_go_after_a_crash), AGENT_TEST(test_not_while_a_guest_has_it),
        AGENT_TEST(test_waits_to_be_told),        AGENT_TEST(test_removal),
        AGENT_TEST(test_nothing_without_a_lease), AGENT_TEST(test_another_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
