/* SPDX-License-Identifier: EUPL-1.2 */
/* See lifecycle.h. */
#include "compute/lifecycle.h"

/* A deadline may pass while the host is away, then its late report still makes things good: see
 * ERROR's next. */
#define SETTLED (TO(ST_ACTIVE) | TO(ST_SHUTOFF))
#define ANY_WAY_OUT (TO(ST_ERROR) | TO(ST_FAILED) | TO(ST_DELETING))

const struct lifecycle lifecycles[ST_COUNT] = {
    [ST_BUILD] = {.name = "BUILD",
                  .status = "BUILD",
                  .vm_state = "building",
                  .task_state = "spawning",
                  .next = SETTLED | ANY_WAY_OUT,
                  .deadline_s = 600,
                  .expiry = EXPIRE_ERROR,
                  .doing = "building"},
    [ST_ACTIVE] = {.name = "ACTIVE",
                   .status = "ACTIVE",
                   .vm_state = "active",
                   .next = TO(ST_SHUTOFF) | TO(ST_STOPPING) | TO(ST_REBOOT) | TO(ST_HARD_REBOOT) |
                           TO(ST_REBUILD) | ANY_WAY_OUT},
    [ST_SHUTOFF] = {.name = "SHUTOFF",
                    .status = "SHUTOFF",
                    .vm_state = "stopped",
                    .next = TO(ST_ACTIVE) | TO(ST_STARTING) | TO(ST_HARD_REBOOT) | TO(ST_REBUILD) |
                            ANY_WAY_OUT},
    [ST_STARTING] = {.name = "STARTING",
                     .status = "SHUTOFF",
                     .vm_state = "stopped",
                     .task_state = "powering-on",
                     .next = SETTLED | ANY_WAY_OUT,
                     .deadline_s = 300,
                     .expiry = EXPIRE_ERROR,
                     .doing = "starting"},
    [ST_STOPPING] = {.name = "STOPPING",
                     .status = "ACTIVE",
                     .vm_state = "active",
                     .task_state = "powering-off",
                     .next = SETTLED | ANY_WAY_OUT,
                     .deadline_s = 300,
                     .expiry = EXPIRE_ERROR,
                     .doing = "stopping"},
    [ST_REBOOT] = {.name = "REBOOT",
                   .status = "REBOOT",
                   .vm_state = "active",
                   .task_state = "reboot_started",
                   .next = SETTLED | TO(ST_HARD_REBOOT) | ANY_WAY_OUT,
                   .deadline_s = 300,
                   .expiry = EXPIRE_ERROR,
                   .doing = "rebooting"},
    [ST_HARD_REBOOT] = {.name = "HARD_REBOOT",
                        .status = "HARD_REBOOT",
                        .vm_state = "active",
                        .task_state = "reboot_started_hard",
                        .next = SETTLED | ANY_WAY_OUT,
                        .deadline_s = 300,
                        .expiry = EXPIRE_ERROR,
                        .doing = "rebooting"},
    [ST_REBUILD] = {.name = "REBUILD",
                    .status = "REBUILD",
                    .vm_state = "active",
                    .task_state = "rebuild_spawning",
                    .next = SETTLED | ANY_WAY_OUT,
                    .deadline_s = 600,
                    .expiry = EXPIRE_ERROR,
                    .doing = "rebuilding"},
    [ST_ERROR] = {.name = "ERROR",
                  .status = "ERROR",
                  .vm_state = "error",
                  .next = SETTLED | TO(ST_STOPPING) | TO(ST_HARD_REBOOT) | TO(ST_REBUILD) |
                          ANY_WAY_OUT},
    [ST_FAILED] = {.name = "FAILED",
                   .status = "ERROR",
                   .vm_state = "error",
                   .next = SETTLED | TO(ST_STOPPING) | TO(ST_HARD_REBOOT) | TO(ST_REBUILD) |
                           ANY_WAY_OUT},
    [ST_DELETING] = {.name = "DELETING",
                     .status = "ACTIVE",
                     .vm_state = "active",
                     .task_state = "deleting",
                     .deadline_s = 60,
                     .expiry = EXPIRE_RETRY,
                     .doing = "deleting"},
};

const struct server_action_rule server_action_rules[SA_COUNT] = {
    [SA_START] = {"start", "start", "compute_start_instance", TO(ST_SHUTOFF), ST_STARTING},
    [SA_STOP] = {"stop", "stop", "compute_stop_instance",
                 TO(ST_ACTIVE) | TO(ST_ERROR) | TO(ST_FAILED), ST_STOPPING},
    [SA_REBOOT] = {"reboot", "reboot", "compute_reboot_instance", TO(ST_ACTIVE), ST_REBOOT},
    [SA_HARD_REBOOT] = {"reboot", "reboot", "compute_reboot_instance",
                        TO(ST_ACTIVE) | TO(ST_SHUTOFF) | TO(ST_REBOOT) | TO(ST_ERROR) |
                            TO(ST_FAILED),
                        ST_HARD_REBOOT},
    [SA_REBUILD] = {"rebuild", "rebuild", "compute_rebuild_instance",
                    TO(ST_ACTIVE) | TO(ST_SHUTOFF) | TO(ST_ERROR) | TO(ST_FAILED), ST_REBUILD},
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

int power_state_number(enum seen_power p)
{
    static const int numbers[] = {
        [SEEN_NOTHING] = 0, [SEEN_ABSENT] = 0, [SEEN_OFF] = 4, [SEEN_ON] = 1, [SEEN_CRASHED] = 6};
    return numbers[p];
}

/* The host has done all that was asked of it. Sequences count asked reboots and builds: seen ones
 * can't be ahead. */
static bool reached(const struct server_desired *d, const struct server_observed *o)
{
    if (o->build_seq < d->build_seq)
        return false;
    if (!d->want_power)
        return o->power == SEEN_OFF || o->power == SEEN_CRASHED;
    return o->power == SEEN_ON && o->boot_seq >= d->boot_seq && o->reset_seq >= d->reset_seq;
}

/* Off although it should be on, and not because of an older wish: the guest's own doing, or its
 * QEMU died. */
static bool went_off(const struct server_desired *d, const struct server_observed *o)
{
    return d->want_power && o->build_seq >= d->build_seq && o->boot_seq >= d->boot_seq &&
           (o->power == SEEN_CRASHED || (o->power == SEEN_OFF && o->guest_shutdown));
}

static bool in_transition(enum server_state s)
{
    return lifecycle_of(s)->task_state != NULL;
}

struct lifecycle_step lifecycle_next(enum server_state now, const struct server_desired *d,
                                     const struct server_observed *o)
{
    if (now == ST_DELETING)
        return (struct lifecycle_step){
            .state = !d->has_host || o->power == SEEN_ABSENT ? ST_GONE : ST_DELETING};
    if (now == ST_FAILED || !d->has_host || o->power == SEEN_NOTHING)
        return (struct lifecycle_step){.state = now};
    if (went_off(d, o))
        return (struct lifecycle_step){.state = ST_SHUTOFF, .want_off = true};
    if (reached(d, o))
        return (struct lifecycle_step){.state = d->want_power ? ST_ACTIVE : ST_SHUTOFF};
    if (o->error && in_transition(now))
        return (struct lifecycle_step){.state = ST_ERROR};
    return (struct lifecycle_step){.state = now};
}
