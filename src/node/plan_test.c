/* SPDX-License-Identifier: EUPL-1.2 */
/* The plan: one case a rule, then every possible situation led to its end. */
#include "base/test.h"
#include "node/plan.h"

#define READY                                                                                      \
    {                                                                                              \
        .image_here = true, .networks_ready = true                                                 \
    }
#define WANT(on, boot, reset, build)                                                               \
    {                                                                                              \
        .power_on = (on), .boot_seq = (boot), .reset_seq = (reset), .build_seq = (build)           \
    }
#define IS(power_, boot, reset, build, own)                                                        \
    {                                                                                              \
        .power = (power_), .boot_seq = (boot), .reset_seq = (reset), .build_seq = (build),         \
        .guest_shutdown = (own)                                                                    \
    }

static const struct {
    const char *what;
    bool deleted;
    struct spec_server want;
    struct guest_state is;
    struct plan_facts facts;
    enum action action;
} cases[] = {
    {"new: image first",
     false,
     WANT(true, 1, 0, 1),
     IS(GUEST_ABSENT, 0, 0, 0, false),
     {0},
     ACT_FETCH_IMAGE},
    {"new: then its disk",
     false,
     WANT(true, 1, 0, 1),
     IS(GUEST_ABSENT, 0, 0, 0, false),
     {.image_here = true},
     ACT_PREPARE},
    {"new: then its network",
     false,
     WANT(true, 1, 0, 1),
     IS(GUEST_OFF, 0, 0, 1, false),
     {0},
     ACT_WAIT},
    {"new: then it starts", false, WANT(true, 1, 0, 1), IS(GUEST_OFF, 0, 0, 1, false), READY,
     ACT_START},
    {"new, off", false, WANT(false, 1, 0, 1), IS(GUEST_ABSENT, 0, 0, 0, false), READY, ACT_PREPARE},
    {"as desired", false, WANT(true, 1, 0, 1), IS(GUEST_ON, 1, 0, 1, false), READY, ACT_NONE},
    {"hard reboot", false, WANT(true, 2, 0, 1), IS(GUEST_ON, 1, 0, 1, false), READY, ACT_STOP},
    {"hard reboot without network",
     false,
     WANT(true, 2, 0, 1),
     IS(GUEST_ON, 1, 0, 1, false),
     {.image_here = true},
     ACT_WAIT},
    {"hard reboot, stopped", false, WANT(true, 2, 0, 1), IS(GUEST_OFF, 1, 0, 1, false), READY,
     ACT_START},
    {"soft reboot", false, WANT(true, 1, 1, 1), IS(GUEST_ON, 1, 0, 1, false), READY, ACT_RESET},
    {"rebuild: image while it runs",
     false,
     WANT(true, 1, 0, 2),
     IS(GUEST_ON, 1, 0, 1, false),
     {0},
     ACT_FETCH_IMAGE},
    {"rebuild: stop", false, WANT(true, 1, 0, 2), IS(GUEST_ON, 1, 0, 1, false), READY, ACT_STOP},
    {"rebuild: disk", false, WANT(true, 1, 0, 2), IS(GUEST_OFF, 1, 0, 1, false), READY,
     ACT_PREPARE},
    {"stop asks", false, WANT(false, 1, 0, 1), IS(GUEST_ON, 1, 0, 1, false), READY, ACT_SHUTDOWN},
    {"stop waits for no image",
     false,
     WANT(false, 1, 0, 2),
     IS(GUEST_ON, 1, 0, 1, false),
     {0},
     ACT_SHUTDOWN},
    {"stop waits",
     false,
     WANT(false, 1, 0, 1),
     IS(GUEST_ON, 1, 0, 1, false),
     {.shutdown_asked = true},
     ACT_WAIT},
    {"stop forces",
     false,
     WANT(false, 1, 0, 1),
     IS(GUEST_ON, 1, 0, 1, false),
     {.shutdown_asked = true, .shutdown_expired = true},
     ACT_STOP},
    {"stopped", false, WANT(false, 1, 0, 1), IS(GUEST_OFF, 1, 0, 1, true), READY, ACT_NONE},
    {"started again", false, WANT(true, 2, 0, 1), IS(GUEST_OFF, 1, 0, 1, true), READY, ACT_START},
    {"went off by itself", false, WANT(true, 1, 0, 1), IS(GUEST_OFF, 1, 0, 1, true), READY,
     ACT_NONE},
    {"crashed", false, WANT(true, 1, 0, 1), IS(GUEST_CRASHED, 1, 0, 1, false), READY, ACT_NONE},
    {"crashed, asked again", false, WANT(true, 2, 0, 1), IS(GUEST_CRASHED, 1, 0, 1, false), READY,
     ACT_START},
    {"crashed, off wanted", false, WANT(false, 1, 0, 1), IS(GUEST_CRASHED, 1, 0, 1, false), READY,
     ACT_NONE},
    {"deleted, on", true, {0}, IS(GUEST_ON, 1, 0, 1, false), READY, ACT_STOP},
    {"deleted, off", true, {0}, IS(GUEST_OFF, 1, 0, 1, false), READY, ACT_DESTROY},
    {"deleted, nothing seen", true, {0}, IS(GUEST_ABSENT, 0, 0, 0, false), READY, ACT_DESTROY},
    {"deleted, gone", true, {0}, IS(GUEST_ABSENT, 0, 0, 0, false), {.destroyed = true}, ACT_NONE},
    {"control plane behind (restored)", false, WANT(true, 1, 0, 1), IS(GUEST_ON, 9, 9, 9, false),
     READY, ACT_NONE},
};

static void test_cases(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum action got =
            plan_server(cases[i].deleted ? NULL : &cases[i].want, &cases[i].is, &cases[i].facts);
        if (got != cases[i].action)
            print_error("%s: %s, expected %s\n", cases[i].what, action_name(got),
                        action_name(cases[i].action));
        assert_int_equal(got, cases[i].action);
    }
}

/* A perfect driver's answer to an action. */
static void obey(enum action action, const struct spec_server *want, struct guest_state *is,
                 struct plan_facts *facts)
{
    switch (action) {
    case ACT_FETCH_IMAGE:
        facts->image_here = true;
        break;
    case ACT_PREPARE:
        assert_int_not_equal(is->power, GUEST_ON);
        is->power = GUEST_OFF;
        is->build_seq = want->build_seq;
        break;
    case ACT_START:
        assert_int_not_equal(is->power, GUEST_ON);
        assert_true(is->build_seq >= want->build_seq);
        assert_true(facts->networks_ready);
        *is = (struct guest_state){GUEST_ON,      want->boot_seq, want->reset_seq,
                                   is->build_seq, false,          0};
        break;
    case ACT_SHUTDOWN:
        facts->shutdown_asked = true;
        break;
    case ACT_STOP:
        is->power = GUEST_OFF;
        break;
    case ACT_RESET:
        is->reset_seq = want->reset_seq;
        break;
    case ACT_DESTROY:
        assert_int_not_equal(is->power, GUEST_ON);
        *is = (struct guest_state){0};
        facts->destroyed = true;
        break;
    case ACT_WAIT:
        if (facts->shutdown_asked)
            facts->shutdown_expired = true;
        facts->networks_ready = true;
        break;
    case ACT_NONE:
        break;
    }
}

/* From any situation the plan comes to rest within a few steps, in a state that fits the wish. */
static void test_every_situation(void **state UNUSED)
{
    for (unsigned n = 0; n < 1u << 14; n++) {
        struct spec_server want = {.power_on = n & 1,
                                   .boot_seq = 1 + (n >> 1 & 1),
                                   .reset_seq = n >> 2 & 1,
                                   .build_seq = 1 + (n >> 3 & 1)};
        struct guest_state is = {.power = (enum guest_power)(n >> 4 & 3),
                                 .boot_seq = n >> 6 & 1,
                                 .guest_shutdown = n >> 7 & 1,
                                 .build_seq = n >> 8 & 1};
        struct plan_facts facts = {.image_here = n >> 9 & 1,
                                   .networks_ready = n >> 10 & 1,
                                   .shutdown_asked = n >> 11 & 1,
                                   .destroyed = n >> 12 & 1};
        const struct spec_server *desired = n >> 13 & 1 ? NULL : &want;
        bool own = is.guest_shutdown || is.power == GUEST_CRASHED;
        int steps = 0;
        for (enum action act; (act = plan_server(desired, &is, &facts)) != ACT_NONE; steps++) {
            assert_true(steps < 12);
            obey(act, &want, &is, &facts);
        }
        if (!desired)
            assert_true(is.power != GUEST_ON && facts.destroyed);
        else if (!want.power_on)
            assert_true(is.power != GUEST_ON && is.build_seq >= want.build_seq);
        else if (!own || is.boot_seq < want.boot_seq)
            assert_true(is.power == GUEST_ON && is.boot_seq >= want.boot_seq &&
                        is.reset_seq >= want.reset_seq);
    }
}

static void test_reported(void **state UNUSED)
{
    struct spec_server on = WANT(true, 2, 0, 1), off = WANT(false, 2, 0, 1);
    struct guest_state own = IS(GUEST_OFF, 2, 0, 1, true), old = IS(GUEST_OFF, 1, 0, 1, true);
    struct guest_state crashed = IS(GUEST_CRASHED, 2, 0, 1, false);
    assert_true(plan_guest_shutdown(&on, &own));
    assert_false(plan_guest_shutdown(&off, &own)); /* asked for */
    assert_false(plan_guest_shutdown(&on, &old));  /* a boot is under way */
    assert_string_equal(plan_power(&on, &crashed), "crashed");
    assert_string_equal(plan_power(&off, &crashed), "off");
    assert_string_equal(plan_power(NULL, &own), "off");
    struct guest_state absent = IS(GUEST_ABSENT, 0, 0, 0, false);
    assert_string_equal(plan_power(&on, &absent), "off");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_every_situation),
        cmocka_unit_test(test_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
