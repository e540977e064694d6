/* SPDX-License-Identifier: EUPL-1.2 */
/* The tables are sound, and lifecycle_next leads every transitional state out, whatever is
 * reported. */
#include "base/test.h"
#include "compute/lifecycle.h"

static void tables_are_sound(void **state UNUSED)
{
    for (int i = 0; i < ST_COUNT; i++) {
        const struct lifecycle *l = lifecycle_of((enum server_state)i);
        assert_non_null(l->name);
        assert_int_equal(lifecycle_named(l->name), i);
        /* A transitional state has a deadline and a way out; a settled one needs none. */
        assert_int_equal(l->task_state != NULL, l->deadline_s > 0);
        assert_int_equal(l->task_state != NULL, l->expiry != EXPIRE_NEVER);
        enum server_state out = lifecycle_expired((enum server_state)i);
        assert_true(out == (enum server_state)i || lifecycle_allows((enum server_state)i, out));
        if (i != ST_DELETING)
            assert_true(lifecycle_allows((enum server_state)i, ST_DELETING));
    }
}

static void actions_follow_the_table(void **state UNUSED)
{
    for (int a = 0; a < SA_COUNT; a++)
        for (int s = 0; s < ST_COUNT; s++)
            if (server_action_rules[a].from & TO(s))
                assert_true(lifecycle_allows((enum server_state)s, server_action_rules[a].to));
}

static struct server_desired wanted(bool on, int64_t boot, int64_t reset, int64_t build)
{
    return (struct server_desired){.has_host = true,
                                   .want_power = on,
                                   .boot_seq = boot,
                                   .reset_seq = reset,
                                   .build_seq = build};
}

static struct server_observed saw(enum seen_power p, int64_t boot, int64_t reset, int64_t build)
{
    return (struct server_observed){
        .power = p, .boot_seq = boot, .reset_seq = reset, .build_seq = build};
}

static void every_step_is_allowed_and_settles(void **state UNUSED)
{
    for (int s = 0; s < ST_COUNT; s++)
        for (int bits = 0; bits < 5 * 64; bits++) {
            struct server_desired d = wanted(bits & 1, 2, 1, 1);
            struct server_observed o = saw((enum seen_power)(bits / 64), bits & 2 ? 2 : 1,
                                           bits & 4 ? 1 : 0, bits & 8 ? 1 : 0);
            o.guest_shutdown = bits & 16;
            o.error = bits & 32 ? "no" : NULL;
            struct lifecycle_step first = lifecycle_next((enum server_state)s, &d, &o);
            if (first.state == ST_GONE) {
                assert_int_equal(s, ST_DELETING);
                continue;
            }
            assert_true((int)first.state == s ||
                        lifecycle_allows((enum server_state)s, first.state));
            if (first.want_off)
                d.want_power = false;
            struct lifecycle_step again = lifecycle_next(first.state, &d, &o);
            assert_int_equal(again.state, first.state); /* repeats are harmless */
            assert_false(again.want_off);
        }
}

static void assert_next(enum server_state now, struct server_desired d, struct server_observed o,
                        enum server_state want)
{
    assert_int_equal(lifecycle_next(now, &d, &o).state, want);
}

static void boots_reboots_and_stops(void **state UNUSED)
{
    assert_next(ST_BUILD, wanted(true, 1, 0, 1), saw(SEEN_NOTHING, 0, 0, 0), ST_BUILD);
    assert_next(ST_BUILD, wanted(true, 1, 0, 1), saw(SEEN_OFF, 0, 0, 1), ST_BUILD);
    assert_next(ST_BUILD, wanted(true, 1, 0, 1), saw(SEEN_ON, 1, 0, 1), ST_ACTIVE);
    assert_next(ST_REBOOT, wanted(true, 1, 1, 1), saw(SEEN_ON, 1, 0, 1), ST_REBOOT);
    assert_next(ST_REBOOT, wanted(true, 1, 1, 1), saw(SEEN_ON, 1, 1, 1), ST_ACTIVE);
    assert_next(ST_HARD_REBOOT, wanted(true, 2, 0, 1), saw(SEEN_ON, 1, 0, 1), ST_HARD_REBOOT);
    assert_next(ST_HARD_REBOOT, wanted(true, 2, 0, 1), saw(SEEN_ON, 2, 0, 1), ST_ACTIVE);
    assert_next(ST_STOPPING, wanted(false, 1, 0, 1), saw(SEEN_ON, 1, 0, 1), ST_STOPPING);
    assert_next(ST_STOPPING, wanted(false, 1, 0, 1), saw(SEEN_OFF, 1, 0, 1), ST_SHUTOFF);
    assert_next(ST_REBUILD, wanted(false, 1, 0, 2), saw(SEEN_OFF, 1, 0, 1), ST_REBUILD);
    assert_next(ST_REBUILD, wanted(false, 1, 0, 2), saw(SEEN_OFF, 1, 0, 2), ST_SHUTOFF);
    assert_next(ST_DELETING, wanted(true, 1, 0, 1), saw(SEEN_ON, 1, 0, 1), ST_DELETING);
    assert_next(ST_DELETING, wanted(true, 1, 0, 1), saw(SEEN_ABSENT, 0, 0, 0), ST_GONE);
}

static void a_guest_that_goes_off_is_shut_off(void **state UNUSED)
{
    struct server_desired d = wanted(true, 2, 0, 1);
    struct server_observed o = saw(SEEN_OFF, 2, 0, 1);
    assert_int_equal(lifecycle_next(ST_ACTIVE, &d, &o).state,
                     ST_ACTIVE); /* the host itself restarted: it will boot */
    o.guest_shutdown = true;
    struct lifecycle_step step = lifecycle_next(ST_ACTIVE, &d, &o);
    assert_int_equal(step.state, ST_SHUTOFF);
    assert_true(step.want_off);
    /* A report from before the last start must not stop it again. */
    o.boot_seq = 1;
    assert_int_equal(lifecycle_next(ST_STARTING, &d, &o).state, ST_STARTING);
}

static void errors_heal_failures_stay(void **state UNUSED)
{
    struct server_desired d = wanted(true, 1, 0, 1);
    struct server_observed o = saw(SEEN_ABSENT, 0, 0, 0);
    o.error = "the image cannot be read";
    assert_int_equal(lifecycle_next(ST_BUILD, &d, &o).state, ST_ERROR);
    assert_int_equal(lifecycle_next(ST_ACTIVE, &d, &o).state, ST_ACTIVE);
    assert_next(ST_ERROR, d, saw(SEEN_ON, 1, 0, 1), ST_ACTIVE);
    assert_next(ST_FAILED, d, saw(SEEN_ON, 1, 0, 1), ST_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_sound),
        cmocka_unit_test(actions_follow_the_table),
        cmocka_unit_test(every_step_is_allowed_and_settles),
        cmocka_unit_test(boots_reboots_and_stops),
        cmocka_unit_test(a_guest_that_goes_off_is_shut_off),
        cmocka_unit_test(errors_heal_failures_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
