/* SPDX-License-Identifier: EUPL-1.2 */
/* The plan: one case a rule, then every possible situation led to its end. */
#include "base/test.h"
#include "node/plan.h"

#define READY                                                                                      \
    {                                                                                              \
        .image_here = true, .rescue_image_here = true, .devices_ready = true                       \
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

/* Devices: the guest has V1 and P1. */
#define V1 "10000000-aaaa-4bbb-8ccc-000000000001"
#define V2 "20000000-aaaa-4bbb-8ccc-000000000002"
#define P1 "11111111-2222-4333-8444-555555555555"
static const char *has_v1[] = {V1}, *has_p1[] = {P1};
static struct spec_use uses[] = {{.volume_id = V1}, {.volume_id = V2}};
static struct spec_nic nics[] = {{.port_id = P1}};
#define HAS .volumes = has_v1, .n_volumes = 1, .ports = has_p1, .n_ports = 1
#define WANTS(n) .volumes = uses, .n_volumes = (n), .nics = nics, .n_nics = 1

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
    {"without its lease",
     false,
     WANT(true, 1, 0, 1),
     IS(GUEST_ON, 1, 0, 1, false),
     {.image_here = true, .devices_ready = true, .lapsed = true, .held = true},
     ACT_STOP},
    {"with a new lease, nothing heard",
     false,
     WANT(true, 1, 0, 1),
     IS(GUEST_OFF, 1, 0, 1, false),
     {.image_here = true, .devices_ready = true, .held = true},
     ACT_WAIT},
    {"on, nothing heard: as it is",
     false,
     WANT(true, 2, 0, 1),
     IS(GUEST_ON, 1, 0, 1, false),
     {.image_here = true, .devices_ready = true, .held = true},
     ACT_WAIT},
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

#define ON(...)                                                                                    \
    {                                                                                              \
        .power = GUEST_ON, .boot_seq = 1, .build_seq = 1, __VA_ARGS__                              \
    }
#define OFF(...)                                                                                   \
    {                                                                                              \
        .power = GUEST_OFF, .boot_seq = 1, .build_seq = 1, __VA_ARGS__                             \
    }
#define LIKE(on, boot, ...)                                                                        \
    {                                                                                              \
        .power_on = (on), .boot_seq = (boot), .build_seq = 1, __VA_ARGS__                          \
    }
#define FACTS(...)                                                                                 \
    {                                                                                              \
        .image_here = true, __VA_ARGS__                                                            \
    }
#define AWAKE .devices_ready = true

/* The rest of a server's life; none of these is deleted. */
static const struct {
    const char *what;
    struct spec_server want;
    struct guest_state is;
    struct plan_facts facts;
    enum action action;
} more[] = {
    {"pause", LIKE(true, 1, .paused = true), ON(), READY, ACT_PAUSE},
    {"paused", LIKE(true, 1, .paused = true), ON(.paused = true), READY, ACT_NONE},
    {"resume", LIKE(true, 1), ON(.paused = true), READY, ACT_RESUME},
    {"a paused one hears no button", LIKE(false, 1), ON(.paused = true), READY, ACT_STOP},
    {"hard reboot of a paused one", LIKE(true, 2), ON(.paused = true), READY, ACT_STOP},

#define MOVE(role_, live_)                                                                         \
    {                                                                                              \
        .role = (role_), .seq = 3, .live = (live_)                                                 \
    }
    {"leaves as it runs", LIKE(true, 1, .move = MOVE(MOVE_OUT, true)), ON(), READY, ACT_SEND},
    {"leaves without what it should not have",
     LIKE(true, 1, WANTS(0), .move = MOVE(MOVE_OUT, true)), ON(HAS), READY, ACT_UNPLUG},
    {"leaves once it let go of that",
     LIKE(true, 1, WANTS(0), .move = MOVE(MOVE_OUT, true)),
     ON(HAS),
     {.image_here = true, .devices_ready = true, .unplug_refused = true},
     ACT_WAIT},
    {"leaves with all that it should have",
     LIKE(true, 1, WANTS(2), .move = MOVE(MOVE_OUT, true)),
     ON(HAS),
     {.image_here = true, .devices_ready = true, .plug_ready = true},
     ACT_PLUG},
    {"leaves once it has that", LIKE(true, 1, WANTS(2), .move = MOVE(MOVE_OUT, true)), ON(HAS),
     READY, ACT_WAIT},
    {"leaves with its devices", LIKE(true, 1, WANTS(1), .move = MOVE(MOVE_OUT, true)), ON(HAS),
     READY, ACT_SEND},
    {"sent, it stands", LIKE(true, 1, .move = MOVE(MOVE_OUT, true)),
     ON(.paused = true, .sent_seq = 3), READY, ACT_NONE},
    {"sent for an older move", LIKE(true, 1, .move = MOVE(MOVE_OUT, true)), ON(.sent_seq = 2),
     READY, ACT_SEND},
    {"nothing runs that could leave", LIKE(true, 1, .move = MOVE(MOVE_OUT, true)), OFF(), READY,
     ACT_NONE},
    {"stays after all", LIKE(true, 1), ON(.paused = true, .sent_seq = 3), READY, ACT_RESUME},
    {"leaves, but off", LIKE(true, 1, .move = MOVE(MOVE_OUT, false)), ON(), READY, ACT_SHUTDOWN},
    {"off, it leaves", LIKE(true, 1, .move = MOVE(MOVE_OUT, false)), OFF(), READY, ACT_SEND},
    {"comes: what it stands on", LIKE(true, 1, .move = MOVE(MOVE_IN, true)), OFF(.build_seq = 0),
     READY, ACT_PREPARE},
    {"comes: and nothing more", LIKE(true, 1, .move = MOVE(MOVE_IN, true)), OFF(), READY, ACT_NONE},
    {"comes, but still stands here", LIKE(true, 1, .move = MOVE(MOVE_IN, true)), ON(.paused = true),
     READY, ACT_STOP},
    {"kept as it is", LIKE(true, 2, .build_seq = 9, .move = MOVE(MOVE_KEPT, false)), OFF(), READY,
     ACT_NONE},

    {"suspend waits for nothing", LIKE(false, 1, .suspended = true), ON(), {0}, ACT_SUSPEND},
    {"suspend of a paused one", LIKE(false, 1, .suspended = true), ON(.paused = true), READY,
     ACT_SUSPEND},
    {"suspended", LIKE(false, 1, .suspended = true), OFF(.suspended = true), READY, ACT_NONE},
    {"nothing to suspend", LIKE(false, 1, .suspended = true), OFF(), READY, ACT_NONE},
    {"a suspended one goes on", LIKE(true, 1), OFF(.suspended = true), READY, ACT_START},
    {"… not without its devices", LIKE(true, 1), OFF(.suspended = true), {0}, ACT_WAIT},
    {"… nor with fewer", LIKE(true, 1), OFF(.suspended = true, HAS), READY, ACT_STOP},
    {"… but with more", LIKE(true, 1, WANTS(2)), OFF(.suspended = true, HAS), READY, ACT_START},
    {"hard reboot of a suspended one", LIKE(true, 2), OFF(.suspended = true, HAS), READY,
     ACT_START},
    {"rebuild of a suspended one", LIKE(true, 2, .build_seq = 2), OFF(.suspended = true), READY,
     ACT_PREPARE},

    {"rescue: image while it runs", LIKE(true, 2, .rescue = {.seq = 1}), ON(), FACTS(AWAKE),
     ACT_FETCH_RESCUE},
    {"rescue: off", LIKE(true, 2, .rescue = {.seq = 1}), ON(), READY, ACT_STOP},
    {"rescue: disk", LIKE(true, 2, .rescue = {.seq = 1}), OFF(), READY, ACT_PREPARE_RESCUE},
    {"rescue: image of one that is off", LIKE(true, 2, .rescue = {.seq = 1}), OFF(), FACTS(AWAKE),
     ACT_FETCH_RESCUE},
    {"rescue: on", LIKE(true, 2, .rescue = {.seq = 1}), OFF(),
     FACTS(AWAKE, .rescue_image_here = true, .rescue_made = true), ACT_START},
    {"rescued", LIKE(true, 2, .rescue = {.seq = 1}), ON(.boot_seq = 2, .rescue_seq = 1),
     FACTS(AWAKE), ACT_NONE},
    {"rescue ends", LIKE(true, 3), ON(.boot_seq = 2, .rescue_seq = 1), READY, ACT_STOP},
    {"rescue ended", LIKE(true, 3), OFF(.boot_seq = 2, .rescue_seq = 1), READY, ACT_START},

    {"resize: off", LIKE(true, 2, .checkpoint = 1), ON(), READY, ACT_STOP},
    {"resize: not before it can be ended", LIKE(true, 2, .checkpoint = 1), ON(), {0}, ACT_WAIT},
    {"resize: the way back", LIKE(true, 2, .checkpoint = 1), OFF(), READY, ACT_CHECKPOINT},
    {"resize of one that is off", LIKE(false, 1, .checkpoint = 1), OFF(), READY, ACT_CHECKPOINT},
    {"resize: on", LIKE(true, 2, .checkpoint = 1), OFF(.checkpoint = 1), READY, ACT_START},
    {"resize: another", LIKE(true, 3, .checkpoint = 2), OFF(.checkpoint = 1), READY,
     ACT_CHECKPOINT},
    {"confirmed, on", LIKE(true, 1), ON(.checkpoint = 1), READY, ACT_GIVE_UP_CHECKPOINT},
    {"confirmed, off", LIKE(false, 1), OFF(.checkpoint = 1), READY, ACT_GIVE_UP_CHECKPOINT},
    {"confirmed, crashed",
     LIKE(true, 1),
     {.power = GUEST_CRASHED, .boot_seq = 1, .build_seq = 1, .checkpoint = 1},
     READY,
     ACT_GIVE_UP_CHECKPOINT},
    {"a start is not held up by it", LIKE(true, 2), OFF(.checkpoint = 1), READY, ACT_START},
    {"reverted: off", LIKE(true, 2, .restore_seq = 1), ON(.checkpoint = 1), READY, ACT_STOP},
    {"reverted without a boot: off", LIKE(true, 1, .restore_seq = 1), ON(.checkpoint = 1), READY,
     ACT_STOP},
    {"reverted: back before it is given up", LIKE(true, 2, .restore_seq = 1), OFF(.checkpoint = 1),
     READY, ACT_RESTORE},
    {"reverted, off", LIKE(false, 1, .restore_seq = 1), OFF(.checkpoint = 1), READY, ACT_RESTORE},
    {"reverted before its way back was made", LIKE(true, 3, .restore_seq = 1, .checkpoint = 2),
     OFF(.checkpoint = 1), READY, ACT_CHECKPOINT},

    {"has what it should", LIKE(true, 1, WANTS(1)), ON(HAS), READY, ACT_NONE},
    {"attach", LIKE(true, 1, WANTS(2)), ON(HAS), FACTS(AWAKE, .plug_ready = true), ACT_PLUG},
    {"attach waits for the volume", LIKE(true, 1, WANTS(2)), ON(HAS), FACTS(), ACT_WAIT},
    {"detach", LIKE(true, 1), ON(HAS), READY, ACT_UNPLUG},
    {"detach comes first",
     LIKE(true, 1, .volumes = uses + 1, .n_volumes = 1, .nics = nics, .n_nics = 1), ON(HAS),
     FACTS(AWAKE, .plug_ready = true), ACT_UNPLUG},
    {"a refusal holds nothing up",
     LIKE(true, 1, .volumes = uses + 1, .n_volumes = 1, .nics = nics, .n_nics = 1), ON(HAS),
     FACTS(AWAKE, .plug_ready = true, .unplug_refused = true), ACT_PLUG},
    {"a refusal is waited out", LIKE(true, 1), ON(HAS), FACTS(AWAKE, .unplug_refused = true),
     ACT_WAIT},
    {"a reboot needs no unplugging", LIKE(true, 2), ON(HAS), READY, ACT_STOP},
    {"stopped with a device too many", LIKE(false, 1), ON(HAS), READY, ACT_SHUTDOWN},
    {"pause comes before devices", LIKE(true, 1, .paused = true), ON(HAS), READY, ACT_PAUSE},
    {"starts with all of its volumes",
     LIKE(true, 2, WANTS(2)),
     OFF(),
     {.image_here = true},
     ACT_WAIT},
};

static void expect(const char *what, enum action got, enum action action)
{
    if (got != action)
        print_error("%s: %s, expected %s\n", what, action_name(got), action_name(action));
    assert_int_equal(got, action);
}

static void test_cases(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect(cases[i].what,
               plan_server(cases[i].deleted ? NULL : &cases[i].want, &cases[i].is, &cases[i].facts),
               cases[i].action);
    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        expect(more[i].what, plan_server(&more[i].want, &more[i].is, &more[i].facts),
               more[i].action);
}

/* Deletion takes one way, whatever was going on. */
static void test_deleted_in_every_state(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        enum action right = more[i].is.power == GUEST_ON ? ACT_STOP : ACT_DESTROY;
        expect(more[i].what, plan_server(NULL, &more[i].is, &more[i].facts), right);
    }
}

/* A perfect driver's answer to an action. */
static void obey(enum action action, const struct spec_server *want, struct guest_state *is,
                 struct plan_facts *facts)
{
    bool on = is->power == GUEST_ON;
    switch (action) {
    case ACT_FETCH_IMAGE:
        facts->image_here = true;
        break;
    case ACT_PREPARE:
        assert_false(on);
        is->power = GUEST_OFF;
        is->suspended = false;
        is->n_volumes = is->n_ports = 0;
        is->build_seq = want->build_seq;
        break;
    case ACT_FETCH_RESCUE:
        facts->rescue_image_here = true;
        break;
    case ACT_PREPARE_RESCUE:
        assert_true(!on && facts->rescue_image_here);
        facts->rescue_made = true;
        break;
    case ACT_RESTORE:
        assert_true(!on && (!want->checkpoint || is->checkpoint == want->checkpoint));
        is->restore_seq = want->restore_seq;
        break;
    case ACT_CHECKPOINT:
        assert_false(on);
        is->checkpoint = want->checkpoint;
        break;
    case ACT_GIVE_UP_CHECKPOINT:
        assert_true(is->restore_seq >= want->restore_seq);
        is->checkpoint = 0;
        break;
    case ACT_START:
        assert_false(on);
        assert_true(is->build_seq >= want->build_seq);
        assert_true(facts->devices_ready && is->restore_seq >= want->restore_seq);
        assert_true(!want->checkpoint || is->checkpoint == want->checkpoint);
        is->power = GUEST_ON;
        if (is->suspended && is->boot_seq >= want->boot_seq) {
            assert_true(is->n_volumes <= want->n_volumes);
        } else {
            assert_true(!want->rescue.seq || is->rescue_seq == want->rescue.seq ||
                        facts->rescue_made);
            is->boot_seq = max_i64(is->boot_seq, want->boot_seq);
            is->reset_seq = want->reset_seq;
            is->rescue_seq = want->rescue.seq;
            is->volumes = has_v1;
            is->n_volumes = want->n_volumes;
        }
        is->suspended = is->paused = is->guest_shutdown = false;
        break;
    case ACT_SHUTDOWN:
        assert_false(is->paused);
        facts->shutdown_asked = true;
        break;
    case ACT_STOP:
        is->power = GUEST_OFF;
        is->suspended = is->paused = false;
        is->n_volumes = 0;
        break;
    case ACT_SUSPEND:
        is->power = GUEST_OFF;
        is->suspended = true;
        is->paused = false;
        break;
    case ACT_RESET:
        is->reset_seq = want->reset_seq;
        break;
    case ACT_PAUSE:
    case ACT_RESUME:
        is->paused = action == ACT_PAUSE;
        break;
    case ACT_UNPLUG:
        assert_true(on && is->n_volumes > want->n_volumes);
        is->n_volumes = 0;
        break;
    case ACT_PLUG:
        assert_true(on && is->n_volumes < want->n_volumes);
        is->volumes = has_v1;
        is->n_volumes = 1;
        break;
    case ACT_SEND:
        assert_true(want->move.role == MOVE_OUT && on == want->move.live);
        is->sent_seq = want->move.seq;
        is->paused = on;
        break;
    case ACT_DESTROY:
        assert_int_not_equal(is->power, GUEST_ON);
        *is = (struct guest_state){0};
        facts->destroyed = true;
        break;
    case ACT_WAIT:
        if (facts->shutdown_asked)
            facts->shutdown_expired = true;
        facts->devices_ready = facts->plug_ready = true;
        facts->unplug_refused = false;
        break;
    case ACT_NONE:
        break;
    }
}

static bool bit(unsigned *n)
{
    bool set = *n & 1;
    *n >>= 1;
    return set;
}

/* From any situation the plan comes to rest within a few steps, in a state that fits the wish. */
static void lead_to_its_end(unsigned n)
{
    enum guest_power power = (enum guest_power)(n & 3);
    n >>= 2;
    struct spec_server want = {.power_on = bit(&n),
                               .boot_seq = 1 + bit(&n),
                               .reset_seq = bit(&n),
                               .build_seq = 1 + bit(&n),
                               .volumes = uses,
                               .n_volumes = bit(&n),
                               .rescue = {.seq = bit(&n)},
                               .checkpoint = bit(&n),
                               .restore_seq = bit(&n)};
    struct guest_state is = {
        .power = power, .build_seq = bit(&n), .boot_seq = bit(&n), .checkpoint = bit(&n)};
    bool on = is.power == GUEST_ON, own_or_suspended = bit(&n), devices = bit(&n);
    is.guest_shutdown = is.power == GUEST_OFF && own_or_suspended && !devices;
    is.suspended = is.power == GUEST_OFF && own_or_suspended && devices;
    is.paused = on && own_or_suspended;
    is.volumes = has_v1;
    is.n_volumes = (on || is.suspended) && devices;
    struct plan_facts facts = {.image_here = bit(&n), .devices_ready = bit(&n)};
    facts.plug_ready = facts.devices_ready && is.n_volumes < want.n_volumes;
    bool paused_or_suspended = bit(&n), deleted = bit(&n);
    want.paused = want.power_on && paused_or_suspended;
    want.suspended = !want.power_on && paused_or_suspended;
    bool own = is.guest_shutdown || is.power == GUEST_CRASHED;
    bool may_stay_off = own && is.boot_seq >= want.boot_seq;
    const struct spec_server *desired = deleted ? NULL : &want;
    int steps = 0;
    for (enum action act; (act = plan_server(desired, &is, &facts)) != ACT_NONE; steps++) {
        assert_true(steps < 20);
        obey(act, &want, &is, &facts);
        facts.plug_ready = facts.devices_ready && is.n_volumes < want.n_volumes;
    }
    if (!desired) {
        assert_true(is.power != GUEST_ON && facts.destroyed);
        return;
    }
    assert_true(is.build_seq >= want.build_seq && is.restore_seq >= want.restore_seq &&
                (want.checkpoint || !is.checkpoint));
    if (!want.power_on)
        assert_int_not_equal(is.power, GUEST_ON);
    else if (!may_stay_off || is.power == GUEST_ON)
        assert_true(is.power == GUEST_ON && is.boot_seq >= want.boot_seq &&
                    is.reset_seq >= want.reset_seq && is.paused == want.paused &&
                    is.n_volumes == want.n_volumes);
}

static void test_every_situation(void **state UNUSED)
{
    for (unsigned n = 0; n < 1u << 20; n++)
        lead_to_its_end(n);
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
        cmocka_unit_test(test_deleted_in_every_state),
        cmocka_unit_test(test_every_situation),
        cmocka_unit_test(test_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
