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

/* One of all that may be desired and seen together. */
static void combine(unsigned bits, struct server_desired *d, struct server_observed *o)
{
    *d = wanted(bits & 1, 2, 1, 1);
    d->paused = bits & 1 << 1;
    d->suspended = !d->want_power && bits & 1 << 2;
    d->rescue_seq = bits & 1 << 3 ? 1 : 0;
    d->resizing = bits & 1 << 4;
    d->checkpoint = d->resizing ? 2 : 0;
    d->restore_seq = 1;
    *o = saw((enum seen_power)(bits >> 14), bits & 1 << 5 ? 2 : 1, bits & 1 << 6 ? 1 : 0,
             bits & 1 << 7 ? 1 : 0);
    o->guest_shutdown = bits & 1 << 8;
    o->error = bits & 1 << 9 ? "no" : NULL;
    o->paused = bits & 1 << 10;
    o->suspended = bits & 1 << 11;
    o->rescue_seq = bits & 1 << 12 ? 1 : 0;
    o->checkpoint = bits & 1 << 13 ? 2 : 0;
    o->restore_seq = bits & 1 << 6 ? 1 : 0;
}

static void every_step_is_allowed_and_settles(void **state UNUSED)
{
    for (int s = 0; s < ST_COUNT; s++)
        for (unsigned bits = 0; bits < 5 << 14; bits++) {
            struct server_desired d;
            struct server_observed o;
            combine(bits, &d, &o);
            struct lifecycle_step first = lifecycle_next((enum server_state)s, &d, &o);
            if (first.state == ST_GONE) {
                assert_int_equal(s, ST_DELETING);
                continue;
            }
            assert_true((int)first.state == s ||
                        lifecycle_allows((enum server_state)s, first.state));
            if (first.want_off)
                d.want_power = d.paused = d.suspended = false;
            struct lifecycle_step again = lifecycle_next(first.state, &d, &o);
            assert_int_equal(again.state, first.state); /* repeats are harmless */
            assert_false(again.want_off);
        }
}

/* Whatever is desired, there is a report that leads out of each transitional state. */
static void done_leads_out(void **state UNUSED)
{
    for (int s = 0; s < ST_COUNT; s++)
        for (unsigned bits = 0; bits < 1 << 5; bits++) {
            struct server_desired d;
            struct server_observed o;
            combine(bits, &d, &o);
            o = saw(d.want_power ? SEEN_ON : SEEN_OFF, d.boot_seq, d.reset_seq, d.build_seq);
            o.paused = d.paused;
            o.suspended = d.suspended;
            o.rescue_seq = d.rescue_seq;
            o.checkpoint = d.checkpoint;
            o.restore_seq = d.restore_seq;
            if (lifecycle_of((enum server_state)s)->leaves_host)
                o.power = SEEN_ABSENT;
            enum server_state next = lifecycle_next((enum server_state)s, &d, &o).state;
            if (s == ST_SHELVING)
                assert_int_equal(next, ST_SHELVING_IMAGE);
            else if (s == ST_MIGRATING || s == ST_MOVING) /* moves.c's */
                assert_int_equal(next, s);
            else if (s != ST_SHELVING_IMAGE && next != ST_GONE)
                assert_null(lifecycle_of(next)->task_state);
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

static void pausing_and_suspending(void **state UNUSED)
{
    struct server_desired d = wanted(true, 1, 0, 1);
    struct server_observed o = saw(SEEN_ON, 1, 0, 1);
    d.paused = true;
    assert_next(ST_PAUSING, d, o, ST_PAUSING);
    o.paused = true;
    assert_next(ST_PAUSING, d, o, ST_PAUSED);
    assert_int_equal(power_state_number(&o), 3);
    d.paused = false;
    assert_next(ST_UNPAUSING, d, o, ST_UNPAUSING);
    o.paused = false;
    assert_next(ST_UNPAUSING, d, o, ST_ACTIVE);

    d = wanted(false, 1, 0, 1);
    d.suspended = true;
    assert_next(ST_SUSPENDING, d, o, ST_SUSPENDING);
    o = saw(SEEN_OFF, 1, 0, 1);
    o.suspended = true;
    assert_next(ST_SUSPENDING, d, o, ST_SUSPENDED);
    assert_int_equal(power_state_number(&o), 4);
    /* Without its memory it is only off. */
    o.suspended = false;
    assert_next(ST_SUSPENDED, d, o, ST_SHUTOFF);
    assert_true(lifecycle_next(ST_SUSPENDING, &d, &o).want_off);
    d = wanted(true, 1, 0, 1);
    assert_next(ST_RESUMING, d, o, ST_RESUMING);
    assert_next(ST_RESUMING, d, saw(SEEN_ON, 1, 0, 1), ST_ACTIVE);
}

static void rescue_and_resize(void **state UNUSED)
{
    struct server_desired d = wanted(true, 2, 0, 1);
    struct server_observed o = saw(SEEN_ON, 2, 0, 1);
    d.rescue_seq = 1;
    assert_next(ST_RESCUING, d, o, ST_RESCUING);
    o.rescue_seq = 1;
    assert_next(ST_RESCUING, d, o, ST_RESCUED);
    d.rescue_seq = 0;
    d.boot_seq = 3;
    assert_next(ST_UNRESCUING, d, o, ST_UNRESCUING);
    assert_next(ST_UNRESCUING, d, saw(SEEN_ON, 3, 0, 1), ST_ACTIVE);

    d = wanted(true, 2, 0, 1);
    d.resizing = true;
    d.checkpoint = 4;
    o = saw(SEEN_ON, 2, 0, 1);
    assert_next(ST_RESIZE, d, o, ST_RESIZE);
    o.checkpoint = 4;
    assert_next(ST_RESIZE, d, o, ST_VERIFY_RESIZE);
    d.resizing = false;
    d.restore_seq = 1;
    assert_next(ST_REVERT_RESIZE, d, o, ST_REVERT_RESIZE);
    o.restore_seq = 1;
    assert_next(ST_REVERT_RESIZE, d, o, ST_ACTIVE);
    /* What was off stays off. */
    d = wanted(false, 1, 0, 1);
    d.resizing = true;
    d.checkpoint = 4;
    assert_next(ST_RESIZE, d, saw(SEEN_OFF, 1, 0, 1), ST_VERIFY_RESIZE);
}

static void shelving(void **state UNUSED)
{
    struct server_desired off = wanted(false, 1, 0, 1);
    assert_next(ST_SHELVING, off, saw(SEEN_ON, 1, 0, 1), ST_SHELVING);
    assert_next(ST_SHELVING, off, saw(SEEN_OFF, 1, 0, 1), ST_SHELVING_IMAGE);
    assert_next(ST_SHELVING_IMAGE, off, saw(SEEN_OFF, 1, 0, 1), ST_SHELVING_IMAGE);
    assert_next(ST_OFFLOADING, off, saw(SEEN_OFF, 1, 0, 1), ST_OFFLOADING);
    assert_next(ST_OFFLOADING, off, saw(SEEN_ABSENT, 0, 0, 0), ST_SHELVED_OFFLOADED);
    assert_next(ST_UNSHELVING, wanted(true, 2, 0, 2), saw(SEEN_ON, 2, 0, 2), ST_ACTIVE);
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
        cmocka_unit_test(done_leads_out),
        cmocka_unit_test(boots_reboots_and_stops),
        cmocka_unit_test(a_guest_that_goes_off_is_shut_off),
        cmocka_unit_test(pausing_and_suspending),
        cmocka_unit_test(rescue_and_resize),
        cmocka_unit_test(shelving),
        cmocka_unit_test(errors_heal_failures_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
