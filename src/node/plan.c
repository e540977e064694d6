/* SPDX-License-Identifier: EUPL-1.2 */
/* See plan.h. The rules are rows; the first whose conditions all hold decides. */
#include "node/plan.h"

enum {
    WANTED = 1 << 0,
    WANT_ON = 1 << 1,
    WANT_PAUSED = 1 << 2,
    WANT_SUSPENDED = 1 << 3,
    ON = 1 << 4,
    CRASHED = 1 << 5,
    PAUSED = 1 << 6,
    SUSPENDED = 1 << 7,
    OWN_DOING = 1 << 8, /* powered itself off */
    BUILD_BEHIND = 1 << 9,
    BOOT_BEHIND = 1 << 10,
    RESET_BEHIND = 1 << 11,
    RESCUE_BEHIND = 1 << 12,
    RESTORE_BEHIND = 1 << 13,
    CHECKPOINT_BEHIND = 1 << 14,
    CHECKPOINT_OVER = 1 << 15, /* there is one, and none is wanted */
    SURPLUS = 1 << 16,         /* it has a device that it should not have */
    MISSING = 1 << 17,         /* it lacks one */
    IMAGE_HERE = 1 << 18,
    RESCUE_HERE = 1 << 19,
    RESCUE_MADE = 1 << 20,
    READY = 1 << 21, /* all devices */
    PLUG_READY = 1 << 22,
    REFUSED = 1 << 23,
    ASKED = 1 << 24,
    EXPIRED = 1 << 25,
    DESTROYED = 1 << 26,
    LAPSED = 1 << 27,
    HELD = 1 << 28,
    SENDS = 1 << 29, /* leaves for another host, which has not all of it */
    LEAVES = 1 << 30,
    ELSEWHERE = 1U << 31, /* runs on another host, before or after: nothing is to be done here */
};

struct rule {
    unsigned yes, no; /* all of yes hold, and none of no */
    enum action action;
};

static const struct rule rules[] = {
    /* Deleted: off, then nothing left. */
    {ON, WANTED, ACT_STOP},
    {0, WANTED | DESTROYED, ACT_DESTROY},
    {0, WANTED, ACT_NONE},
    /* Another host may start it any time now. */
    {ON | LAPSED, 0, ACT_STOP},
    /* Should be off. Before all that needs images or devices: a stop waits for nothing. */
    {ON | WANT_SUSPENDED, WANT_ON, ACT_SUSPEND},
    {ON | PAUSED, WANT_ON, ACT_STOP}, /* it would not hear us */
    {ON | EXPIRED, WANT_ON, ACT_STOP},
    {ON | ASKED, WANT_ON, ACT_WAIT},
    {ON, WANT_ON, ACT_SHUTDOWN},
    /* Another host's: it is only sent, received (what it will stand on is made first), or kept. */
    /* Its memory goes on there with the devices that it should have: it has all of them first. */
    {SENDS | ON | SURPLUS, REFUSED, ACT_UNPLUG},
    {SENDS | ON | PLUG_READY, 0, ACT_PLUG},
    {SENDS | ON | SURPLUS, 0, ACT_WAIT},
    {SENDS | ON | MISSING, 0, ACT_WAIT},
    {SENDS, 0, ACT_SEND},
    {LEAVES, 0, ACT_NONE},
    {ELSEWHERE, 0, ACT_NONE},
    /* (Re)build; the old guest runs on until the new image is here. */
    {BUILD_BEHIND, IMAGE_HERE, ACT_FETCH_IMAGE},
    {BUILD_BEHIND | ON, 0, ACT_STOP},
    {BUILD_BEHIND, 0, ACT_PREPARE},
    /* The root disk's way back: never to an older number than the one that is wanted. */
    {CHECKPOINT_BEHIND, ON, ACT_CHECKPOINT},
    {RESTORE_BEHIND, ON, ACT_RESTORE},
    {CHECKPOINT_OVER, WANT_ON, ACT_GIVE_UP_CHECKPOINT},
    {0, WANT_ON, ACT_NONE},
    {ON | HELD, 0, ACT_WAIT},
    /* On, and should be: reboots. A hard one is not begun before it can be ended. */
    {ON | BOOT_BEHIND | RESCUE_BEHIND, RESCUE_HERE, ACT_FETCH_RESCUE},
    {ON | BOOT_BEHIND, READY, ACT_WAIT},
    {ON | BOOT_BEHIND, 0, ACT_STOP},
    {ON | RESTORE_BEHIND, READY, ACT_WAIT},
    {ON | RESTORE_BEHIND, 0, ACT_STOP},
    {ON | RESET_BEHIND, 0, ACT_RESET},
    {ON | WANT_PAUSED, PAUSED, ACT_PAUSE},
    {ON | PAUSED, WANT_PAUSED, ACT_RESUME},
    {ON | SURPLUS, REFUSED, ACT_UNPLUG},
    {ON | PLUG_READY, 0, ACT_PLUG},
    {ON | CHECKPOINT_OVER, 0, ACT_GIVE_UP_CHECKPOINT},
    {ON | SURPLUS, 0, ACT_WAIT},
    {ON | MISSING, 0, ACT_WAIT},
    {ON, 0, ACT_NONE},
    /* Off, and should be on: unless it went off by itself since it was last asked to boot. */
    {CHECKPOINT_OVER | OWN_DOING, BOOT_BEHIND, ACT_GIVE_UP_CHECKPOINT},
    {OWN_DOING, BOOT_BEHIND, ACT_NONE},
    {CHECKPOINT_OVER | CRASHED, BOOT_BEHIND, ACT_GIVE_UP_CHECKPOINT},
    {CRASHED, BOOT_BEHIND, ACT_NONE},
    {RESCUE_BEHIND, RESCUE_HERE, ACT_FETCH_RESCUE},
    {RESCUE_BEHIND, RESCUE_MADE, ACT_PREPARE_RESCUE},
    /* Memory can't go on with fewer devices. */
    {SUSPENDED | SURPLUS, BOOT_BEHIND, ACT_STOP},
    {0, READY, ACT_WAIT},
    {HELD, 0, ACT_WAIT},
    {0, 0, ACT_START},
};

static bool has(const char *const *ids, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(ids[i], id))
            return true;
    return false;
}

bool plan_has_volume(const struct guest_state *is, const char *volume_id)
{
    return has(is->volumes, is->n_volumes, volume_id);
}

bool plan_has_port(const struct guest_state *is, const char *port_id)
{
    return has(is->ports, is->n_ports, port_id);
}

static bool wants_volume(const struct spec_server *desired, const char *id)
{
    for (size_t i = 0; i < desired->n_volumes; i++)
        if (str_eq(desired->volumes[i].volume_id, id))
            return true;
    return false;
}

static bool wants_port(const struct spec_server *desired, const char *id)
{
    for (size_t i = 0; i < desired->n_nics; i++)
        if (str_eq(desired->nics[i].port_id, id))
            return true;
    return false;
}

struct plan_device plan_surplus(const struct spec_server *desired, const struct guest_state *is)
{
    for (size_t i = 0; i < is->n_volumes; i++)
        if (!wants_volume(desired, is->volumes[i]))
            return (struct plan_device){.volume_id = is->volumes[i]};
    for (size_t i = 0; i < is->n_ports; i++)
        if (!wants_port(desired, is->ports[i]))
            return (struct plan_device){.port_id = is->ports[i]};
    return (struct plan_device){0};
}

static bool missing(const struct spec_server *desired, const struct guest_state *is)
{
    for (size_t i = 0; i < desired->n_volumes; i++)
        if (!plan_has_volume(is, desired->volumes[i].volume_id))
            return true;
    for (size_t i = 0; i < desired->n_nics; i++)
        if (!plan_has_port(is, desired->nics[i].port_id))
            return true;
    return false;
}

static unsigned when(bool holds, unsigned condition)
{
    return holds ? condition : 0;
}

static unsigned conditions_of_facts(const struct plan_facts *f)
{
    return when(f->image_here, IMAGE_HERE) | when(f->rescue_image_here, RESCUE_HERE) |
           when(f->rescue_made, RESCUE_MADE) | when(f->devices_ready, READY) |
           when(f->plug_ready, PLUG_READY) | when(f->unplug_refused, REFUSED) |
           when(f->shutdown_asked, ASKED) | when(f->shutdown_expired, EXPIRED) |
           when(f->destroyed, DESTROYED) | when(f->lapsed, LAPSED) | when(f->held, HELD);
}

/* It is not to run here now. */
static bool held_off(const struct spec_server *want)
{
    const struct spec_move *m = &want->move;
    return m->role == MOVE_IN || m->role == MOVE_KEPT || (m->role == MOVE_OUT && !m->live);
}

bool plan_wants_on(const struct spec_server *desired)
{
    return desired->power_on && !held_off(desired);
}

static unsigned conditions_of_move(const struct spec_server *want, const struct guest_state *is)
{
    const struct spec_move *m = &want->move;
    bool leaves = m->role == MOVE_OUT;
    bool made = m->role == MOVE_IN && is->build_seq >= want->build_seq;
    return when(leaves, LEAVES) | when(made || m->role == MOVE_KEPT, ELSEWHERE) |
           when(leaves && is->sent_seq < m->seq && (!m->live || is->power == GUEST_ON), SENDS);
}

static unsigned conditions(const struct spec_server *want, const struct guest_state *is,
                           const struct plan_facts *facts)
{
    unsigned c = conditions_of_facts(facts) | when(is->power == GUEST_ON, ON) |
                 when(is->power == GUEST_CRASHED, CRASHED) | when(is->paused, PAUSED) |
                 when(is->suspended, SUSPENDED) | when(is->guest_shutdown, OWN_DOING);
    if (!want)
        return c;
    struct plan_device surplus = plan_surplus(want, is);
    c |= conditions_of_move(want, is);
    return c | WANTED | when(plan_wants_on(want), WANT_ON) | when(want->paused, WANT_PAUSED) |
           when(want->suspended, WANT_SUSPENDED) |
           when(is->build_seq < want->build_seq, BUILD_BEHIND) |
           when(is->boot_seq < want->boot_seq, BOOT_BEHIND) |
           when(is->reset_seq < want->reset_seq, RESET_BEHIND) |
           when(is->rescue_seq < want->rescue.seq, RESCUE_BEHIND) |
           when(is->restore_seq < want->restore_seq, RESTORE_BEHIND) |
           when(want->checkpoint && is->checkpoint != want->checkpoint, CHECKPOINT_BEHIND) |
           when(!want->checkpoint && is->checkpoint, CHECKPOINT_OVER) |
           when(surplus.volume_id || surplus.port_id, SURPLUS) | when(missing(want, is), MISSING);
}

enum action plan_server(const struct spec_server *desired, const struct guest_state *is,
                        const struct plan_facts *facts)
{
    unsigned c = conditions(desired, is, facts);
    const struct rule *r = rules;
    while ((c & r->yes) != r->yes || (c & r->no))
        r++; /* the last row holds always */
    return r->action;
}

const char *action_name(enum action action)
{
    static const char *const names[] = {
#define X(name, text) [name] = text,
        ACTIONS(X)
#undef X
    };
    return names[action];
}

const char *plan_power(const struct spec_server *desired, const struct guest_state *is)
{
    if (is->power == GUEST_ON)
        return "on";
    return is->power == GUEST_CRASHED && desired && desired->power_on ? "crashed" : "off";
}

bool plan_guest_shutdown(const struct spec_server *desired, const struct guest_state *is)
{
    return desired && plan_wants_on(desired) && is->power == GUEST_OFF && is->guest_shutdown &&
           is->boot_seq >= desired->boot_seq;
}
