/* SPDX-License-Identifier: EUPL-1.2 */
/* See lifecycle.h. */
#include "compute/lifecycle.h"

/* What a host's report may say, whatever was asked for: a deadline may pass while the host is away,
 * then its late report still makes things good. */
#define SETTLED                                                                                    \
    (TO(ST_ACTIVE) | TO(ST_SHUTOFF) | TO(ST_PAUSED) | TO(ST_SUSPENDED) | TO(ST_RESCUED) |          \
     TO(ST_VERIFY_RESIZE))
#define ANY_WAY_OUT                                                                                \
    (TO(ST_ERROR) | TO(ST_FAILED) | TO(ST_DELETING) | TO(ST_REBUILD)) /* the last: evacuated */

/* Settled: what users may ask for from here. */
#define STANDS(name_, status_, vm_state_, asked)                                                   \
    {                                                                                              \
        .name = name_, .status = status_, .vm_state = vm_state_,                                   \
        .next = (asked) | SETTLED | ANY_WAY_OUT                                                    \
    }
/* In transition, with a deadline. */
#define PASSES(name_, status_, vm_state_, task, then, seconds, doing_)                             \
    {                                                                                              \
        .name = name_, .status = status_, .vm_state = vm_state_, .task_state = task,               \
        .next = (then) | ANY_WAY_OUT, .deadline_s = seconds, .expiry = EXPIRE_ERROR,               \
        .doing = doing_                                                                            \
    }
/* On its way to another host: stays here when that takes too long. */
#define MOVES(name_, status_, task, then, doing_)                                                  \
    {                                                                                              \
        .name = name_, .status = status_, .vm_state = "active", .task_state = task,                \
        .next = (then) | SETTLED | TO(ST_REBUILD) | ANY_WAY_OUT, .deadline_s = 600,                \
        .expiry = EXPIRE_UNDO, .doing = doing_                                                     \
    }
/* Its host is told again until nothing is left there. */
#define LEAVES(name_, status_, vm_state_, task, then, doing_)                                      \
    {                                                                                              \
        .name = name_, .status = status_, .vm_state = vm_state_, .task_state = task, .next = then, \
        .deadline_s = 60, .expiry = EXPIRE_RETRY, .leaves_host = true, .doing = doing_             \
    }

#define FROM_ACTIVE                                                                                \
    (TO(ST_STOPPING) | TO(ST_REBOOT) | TO(ST_HARD_REBOOT) | TO(ST_REBUILD) | TO(ST_PAUSING) |      \
     TO(ST_SUSPENDING) | TO(ST_RESCUING) | TO(ST_RESIZE) | TO(ST_MIGRATING) | TO(ST_MOVING) |      \
     TO(ST_SHELVING))
#define FROM_SHUTOFF                                                                               \
    (TO(ST_STARTING) | TO(ST_HARD_REBOOT) | TO(ST_REBUILD) | TO(ST_RESCUING) | TO(ST_RESIZE) |     \
     TO(ST_MOVING) | TO(ST_SHELVING))
#define FROM_PAUSED (TO(ST_UNPAUSING) | TO(ST_HARD_REBOOT) | TO(ST_MIGRATING) | TO(ST_SHELVING))
#define FROM_SUSPENDED (TO(ST_RESUMING) | TO(ST_HARD_REBOOT) | TO(ST_SHELVING))
#define FROM_ERROR                                                                                 \
    (TO(ST_STOPPING) | TO(ST_HARD_REBOOT) | TO(ST_REBUILD) | TO(ST_RESCUING) | TO(ST_REVERT_RESIZE))

const struct lifecycle lifecycles[ST_COUNT] = {
    [ST_BUILD] = PASSES("BUILD", "BUILD", "building", "spawning", SETTLED, 600, "building"),
    [ST_ACTIVE] = STANDS("ACTIVE", "ACTIVE", "active", FROM_ACTIVE),
    [ST_SHUTOFF] = STANDS("SHUTOFF", "SHUTOFF", "stopped", FROM_SHUTOFF),
    [ST_PAUSED] = STANDS("PAUSED", "PAUSED", "paused", FROM_PAUSED),
    [ST_SUSPENDED] = STANDS("SUSPENDED", "SUSPENDED", "suspended", FROM_SUSPENDED),
    [ST_RESCUED] = STANDS("RESCUED", "RESCUE", "rescued", TO(ST_UNRESCUING)),
    [ST_VERIFY_RESIZE] = STANDS("VERIFY_RESIZE", "VERIFY_RESIZE", "resized", TO(ST_REVERT_RESIZE)),
    [ST_STARTING] =
        PASSES("STARTING", "SHUTOFF", "stopped", "powering-on", SETTLED, 300, "starting"),
    [ST_STOPPING] =
        PASSES("STOPPING", "ACTIVE", "active", "powering-off", SETTLED, 300, "stopping"),
    [ST_REBOOT] = PASSES("REBOOT", "REBOOT", "active", "reboot_started",
                         SETTLED | TO(ST_HARD_REBOOT), 300, "rebooting"),
    [ST_HARD_REBOOT] = PASSES("HARD_REBOOT", "HARD_REBOOT", "active", "reboot_started_hard",
                              SETTLED, 300, "rebooting"),
    [ST_REBUILD] =
        PASSES("REBUILD", "REBUILD", "active", "rebuild_spawning", SETTLED, 600, "rebuilding"),
    [ST_PAUSING] = PASSES("PAUSING", "ACTIVE", "active", "pausing", SETTLED, 300, "pausing"),
    [ST_UNPAUSING] =
        PASSES("UNPAUSING", "PAUSED", "paused", "unpausing", SETTLED, 300, "unpausing"),
    [ST_SUSPENDING] =
        PASSES("SUSPENDING", "ACTIVE", "active", "suspending", SETTLED, 600, "suspending"),
    [ST_RESUMING] =
        PASSES("RESUMING", "SUSPENDED", "suspended", "resuming", SETTLED, 600, "resuming"),
    [ST_RESCUING] = PASSES("RESCUING", "ACTIVE", "active", "rescuing", SETTLED, 600, "rescuing"),
    [ST_UNRESCUING] =
        PASSES("UNRESCUING", "RESCUE", "rescued", "unrescuing", SETTLED, 600, "unrescuing"),
    [ST_RESIZE] = PASSES("RESIZE", "RESIZE", "active", "resize_finish", SETTLED | TO(ST_MOVING),
                         600, "resizing"),
    [ST_REVERT_RESIZE] = PASSES("REVERT_RESIZE", "REVERT_RESIZE", "resized", "resize_reverting",
                                SETTLED, 600, "reverting its resize"),
    [ST_MIGRATING] = MOVES("MIGRATING", "MIGRATING", "migrating", TO(ST_ARRIVING), "migrating"),
    [ST_MOVING] =
        MOVES("MOVING", "RESIZE", "resize_migrating", TO(ST_RESIZE) | TO(ST_STARTING), "moving"),
    [ST_ARRIVING] = PASSES("ARRIVING", "MIGRATING", "active", "migrating", SETTLED, 600,
                           "arriving on its host"),
    [ST_SHELVING] = PASSES("SHELVING", "ACTIVE", "active", "shelving",
                           SETTLED | TO(ST_SHELVING_IMAGE) | TO(ST_OFFLOADING), 300, "shelving"),
    [ST_SHELVING_IMAGE] = PASSES("SHELVING_IMAGE", "SHUTOFF", "stopped", "shelving_image_uploading",
                                 TO(ST_SHUTOFF) | TO(ST_OFFLOADING), 2 * 3600, "shelving"),
    [ST_OFFLOADING] = LEAVES("OFFLOADING", "SHELVED", "shelved", "shelving_offloading",
                             TO(ST_SHELVED_OFFLOADED) | TO(ST_DELETING), "offloading"),
    [ST_SHELVED_OFFLOADED] = {.name = "SHELVED_OFFLOADED",
                              .status = "SHELVED_OFFLOADED",
                              .vm_state = "shelved_offloaded",
                              .next = TO(ST_UNSHELVING) | TO(ST_FAILED) | TO(ST_DELETING)},
    [ST_UNSHELVING] = PASSES("UNSHELVING", "SHELVED_OFFLOADED", "shelved_offloaded", "spawning",
                             SETTLED, 600, "unshelving"),
    [ST_ERROR] = STANDS("ERROR", "ERROR", "error", FROM_ERROR),
    [ST_FAILED] = STANDS("FAILED", "ERROR", "error", FROM_ERROR | TO(ST_SHELVED_OFFLOADED)),
    [ST_DELETING] = LEAVES("DELETING", "ACTIVE", "active", "deleting", 0, "deleting"),
};

#define IN_ERROR (TO(ST_ERROR) | TO(ST_FAILED))
const struct server_action_rule server_action_rules[SA_COUNT] = {
    [SA_START] = {"start", "start", "compute_start_instance", TO(ST_SHUTOFF), ST_STARTING},
    [SA_STOP] = {"stop", "stop", "compute_stop_instance", TO(ST_ACTIVE) | IN_ERROR, ST_STOPPING},
    [SA_REBOOT] = {"reboot", "reboot", "compute_reboot_instance", TO(ST_ACTIVE), ST_REBOOT},
    [SA_HARD_REBOOT] = {"reboot", "reboot", "compute_reboot_instance",
                        TO(ST_ACTIVE) | TO(ST_SHUTOFF) | TO(ST_PAUSED) | TO(ST_SUSPENDED) |
                            TO(ST_REBOOT) | IN_ERROR,
                        ST_HARD_REBOOT},
    [SA_REBUILD] = {"rebuild", "rebuild", "compute_rebuild_instance",
                    TO(ST_ACTIVE) | TO(ST_SHUTOFF) | IN_ERROR, ST_REBUILD},
    [SA_PAUSE] = {"pause", "pause", "compute_pause_instance", TO(ST_ACTIVE), ST_PAUSING},
    [SA_UNPAUSE] = {"unpause", "unpause", "compute_unpause_instance", TO(ST_PAUSED), ST_UNPAUSING},
    [SA_SUSPEND] = {"suspend", "suspend", "compute_suspend_instance", TO(ST_ACTIVE), ST_SUSPENDING},
    [SA_RESUME] = {"resume", "resume", "compute_resume_instance", TO(ST_SUSPENDED), ST_RESUMING},
    [SA_RESCUE] = {"rescue", "rescue", "compute_rescue_instance",
                   TO(ST_ACTIVE) | TO(ST_SHUTOFF) | IN_ERROR, ST_RESCUING},
    [SA_UNRESCUE] = {"unrescue", "unrescue", "compute_unrescue_instance", TO(ST_RESCUED),
                     ST_UNRESCUING},
    [SA_RESIZE] = {"resize", "resize", "compute_finish_resize", TO(ST_ACTIVE) | TO(ST_SHUTOFF),
                   ST_RESIZE},
    /* From an error too: the new flavor may be the reason. */
    [SA_REVERT_RESIZE] = {"revertResize", "revertResize", "compute_finish_revert_resize",
                          TO(ST_VERIFY_RESIZE) | IN_ERROR, ST_REVERT_RESIZE},
    [SA_MIGRATE] = {"migrate", "migrate", "compute_finish_resize", TO(ST_ACTIVE) | TO(ST_SHUTOFF),
                    ST_MOVING},
    [SA_LIVE_MIGRATE] = {"os-migrateLive", "live-migration", "compute_live_migration",
                         TO(ST_ACTIVE) | TO(ST_PAUSED), ST_MIGRATING},
    [SA_SHELVE] = {"shelve", "shelve", "compute_shelve_instance",
                   TO(ST_ACTIVE) | TO(ST_SHUTOFF) | TO(ST_PAUSED) | TO(ST_SUSPENDED), ST_SHELVING},
    [SA_UNSHELVE] = {"unshelve", "unshelve", "compute_unshelve_instance", TO(ST_SHELVED_OFFLOADED),
                     ST_UNSHELVING},
    [SA_DELETE] = {"delete", "delete", "compute_terminate_instance",
                   (TO(ST_COUNT) - 1) & ~TO(ST_DELETING), ST_DELETING},
};

const struct lifecycle *lifecycle_of(enum server_state state)
{
    must(state < ST_COUNT);
    return &lifecycles[state];
}

enum server_state lifecycle_named(const char *name)
{
    for (int i = 0; i < ST_COUNT; i++)
        if (str_eq(lifecycles[i].name, name))
            return (enum server_state)i;
    bug_at(WHERE, name);
}

bool lifecycle_allows(enum server_state from, enum server_state to)
{
    return (lifecycle_of(from)->next & TO(to)) != 0;
}

enum server_state lifecycle_expired(enum server_state state)
{
    return lifecycle_of(state)->expiry == EXPIRE_ERROR ? ST_ERROR : state;
}

static const char *const power_names[] = {
    [SEEN_ABSENT] = "absent", [SEEN_OFF] = "off", [SEEN_ON] = "on", [SEEN_CRASHED] = "crashed"};

const char *seen_power_name(enum seen_power p)
{
    return power_names[p];
}

bool seen_power_named(const char *name, enum seen_power *ret)
{
    for (size_t i = SEEN_ABSENT; name && i < ARRAY_LEN(power_names); i++) {
        if (!str_eq(power_names[i], name))
            continue;
        *ret = (enum seen_power)i;
        return true;
    }
    return false;
}

int power_state_number(const struct server_observed *o)
{
    static const int numbers[] = {
        [SEEN_NOTHING] = 0, [SEEN_ABSENT] = 0, [SEEN_OFF] = 4, [SEEN_ON] = 1, [SEEN_CRASHED] = 6};
    return o->power == SEEN_ON && o->paused ? 3 : numbers[o->power];
}

/* The host has done all that was asked of it. Sequences count asked reboots and builds: seen ones
 * can't be ahead. */
static bool reached(const struct server_desired *d, const struct server_observed *o)
{
    if (o->build_seq < d->build_seq || o->restore_seq < d->restore_seq)
        return false;
    if (!d->want_power)
        return (o->power == SEEN_OFF || o->power == SEEN_CRASHED) &&
               (!d->suspended || o->suspended);
    return o->power == SEEN_ON && o->boot_seq >= d->boot_seq && o->reset_seq >= d->reset_seq &&
           o->paused == d->paused && o->rescue_seq == d->rescue_seq &&
           (!d->resizing || o->checkpoint == d->checkpoint);
}

/* Off although it should be on, and not because of an older wish: the guest's own doing, or its
 * QEMU died. A suspended one without its memory is off, too: there is nothing to go on from. */
static bool went_off(const struct server_desired *d, const struct server_observed *o)
{
    if (o->build_seq < d->build_seq || o->boot_seq < d->boot_seq)
        return false;
    if (d->suspended)
        return (o->power == SEEN_OFF && !o->suspended) || o->power == SEEN_CRASHED;
    return d->want_power &&
           (o->power == SEEN_CRASHED || (o->power == SEEN_OFF && o->guest_shutdown));
}

static bool in_transition(enum server_state s)
{
    return lifecycle_of(s)->task_state != NULL;
}

enum server_state lifecycle_settled(const struct server_desired *d)
{
    if (d->rescue_seq)
        return ST_RESCUED;
    if (d->resizing)
        return ST_VERIFY_RESIZE;
    if (d->suspended)
        return ST_SUSPENDED;
    return !d->want_power ? ST_SHUTOFF : d->paused ? ST_PAUSED : ST_ACTIVE;
}

static enum server_state off_state(struct server_desired d)
{
    d.want_power = d.paused = d.suspended = false;
    return lifecycle_settled(&d);
}

/* Moved by an action, by the end of an export or by moves.c, not by what a host sees. */
#define DEAF                                                                                       \
    (TO(ST_FAILED) | TO(ST_SHELVING_IMAGE) | TO(ST_SHELVED_OFFLOADED) | TO(ST_MIGRATING) |         \
     TO(ST_MOVING))

struct lifecycle_step lifecycle_next(enum server_state now, const struct server_desired *d,
                                     const struct server_observed *o)
{
    bool absent = !d->has_host || o->power == SEEN_ABSENT;
    if (now == ST_DELETING || now == ST_OFFLOADING)
        return (struct lifecycle_step){.state = !absent              ? now
                                                : now == ST_DELETING ? ST_GONE
                                                                     : ST_SHELVED_OFFLOADED};
    if ((TO(now) & DEAF) || !d->has_host || o->power == SEEN_NOTHING)
        return (struct lifecycle_step){.state = now};
    if (went_off(d, o))
        return (struct lifecycle_step){.state = off_state(*d), .want_off = true};
    if (reached(d, o))
        return (struct lifecycle_step){.state = now == ST_SHELVING ? ST_SHELVING_IMAGE
                                                                   : lifecycle_settled(d)};
    if (o->error && in_transition(now))
        return (struct lifecycle_step){.state = ST_ERROR};
    return (struct lifecycle_step){.state = now};
}
