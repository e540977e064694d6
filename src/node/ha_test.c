/* SPDX-License-Identifier: EUPL-1.2 */
/* Guests that run under a lease only. */
#include "node/test_agent.h"

#define HA "'ha':true"

static void lease(int64_t seconds)
{
    agent_lease(&fx->cx, fx->a, fx->now + seconds * 1000000);
}

/* As the loop does: asked for under the lease. */
static void hear(void)
{
    json_t *j = parse(
        arena_printf(fx->cx.arena, "{'revision':%d,'full':false,'items':[]}", (int)fx->revision));
    agent_lease_heard(&fx->cx, fx->a, j);
}

static bool marked(const char *id)
{
    return access(arena_printf(fx->cx.arena, "%s/ha/%s", fx->dir, id), F_OK) == 0;
}

static void begin(void)
{
    fx->revision = 1;
    lease(25);
    take(true, server_with(S1, true, 1, 1, HA), server_with(S2, true, 1, 1, ""));
    hear();
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_ON);
    assert_true(marked(S1) && !marked(S2));
    assert_true(json_get_bool(report_of(S1), "ha", false));
}

static void test_runs_under_a_lease(void **state UNUSED)
{
    begin();
    for (int i = 0; i < 6; i++) {
        lease(25);
        run_for(20);
        assert_int_equal(power_of(S1), GUEST_ON);
    }
    run_for(4);
    assert_int_equal(power_of(S1), GUEST_ON);
    run_for(2); /* 26 s after the last one was asked for */
    assert_int_equal(power_of(S1), GUEST_OFF);
    assert_int_equal(power_of(S2), GUEST_ON);
    const json_t *r = report_of(S1);
    assert_string_equal(json_get_str(r, "power"), "off"); /* no crash, nor its own doing */
    assert_false(json_get_bool(r, "guest_shutdown", true));
    assert_null(json_get_str(r, "error"));
}

static void test_starts_when_heard(void **state UNUSED)
{
    begin();
    run_for(30);
    assert_int_equal(power_of(S1), GUEST_OFF);
    assert_true(agent_lease(&fx->cx, fx->a, fx->now + 25000000));
    run_for(5);
    assert_int_equal(power_of(S1), GUEST_OFF); /* it may be elsewhere by now */
    hear();
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_ON);
    assert_false(agent_lease(&fx->cx, fx->a, fx->now + 25000000));
}

static void test_gone_meanwhile(void **state UNUSED)
{
    begin();
    run_for(30);
    lease(25);
    fx->revision = 2;
    take(false, deleted_item("server", S1), NULL);
    hear();
    run_for(5);
    assert_int_equal(power_of(S1), GUEST_ABSENT);
    assert_false(marked(S1));
}

/* An answer that another one overtook says nothing of what was asked under the lease. */
static void test_heard_too_little(void **state UNUSED)
{
    begin();
    run_for(30);
    lease(25);
    agent_lease_heard(&fx->cx, fx->a, parse("{'revision':7,'full':false,'items':[]}"));
    run_for(5);
    assert_int_equal(power_of(S1), GUEST_OFF);
}

static void test_agent_restarts(void **state UNUSED)
{
    begin();
    lease(25);
    int64_t until_us = fx->now + 25000000;
    run_for(5);
    restart_agent();
    agent_lease_resume(fx->a, until_us);
    take(true, server_with(S1, true, 1, 1, HA), server_with(S2, true, 1, 1, ""));
    run_for(15);
    assert_int_equal(power_of(S1), GUEST_ON);
    run_for(10);
    assert_int_equal(power_of(S1), GUEST_OFF);
}

static void test_wish_changes(void **state UNUSED)
{
    begin();
    lease(25);
    change(server_with(S1, true, 1, 1, ""));
    run_for(1);
    assert_false(marked(S1));
    assert_false(json_get_bool(report_of(S1), "ha", true));
    run_for(60);
    assert_int_equal(power_of(S1), GUEST_ON);
    change(server_with(S1, true, 1, 1, HA)); /* by a host that has no lease */
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_OFF);
}

/* The clock goes on while the driver is about to begin. */
static struct err *slow_start(struct ctx *cx UNUSED, void *arg UNUSED, const char *call,
                              const char *id UNUSED, bool after)
{
    if (str_eq(call, "start") && !after)
        fx->now += 30000000;
    return NULL;
}

static void test_late_start(void **state UNUSED)
{
    fx->revision = 1;
    lease(25);
    take(true, server_with(S1, true, 1, 1, HA), NULL);
    hear();
    fake_guests_set_fault(&fx->guests, slow_start, NULL);
    run_for(1);
    assert_int_equal(power_of(S1), GUEST_OFF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        AGENT_TEST(test_runs_under_a_lease), AGENT_TEST(test_starts_when_heard),
        AGENT_TEST(test_gone_meanwhile),     AGENT_TEST(test_heard_too_little),
        AGENT_TEST(test_agent_restarts),     AGENT_TEST(test_wish_changes),
        AGENT_TEST(test_late_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
