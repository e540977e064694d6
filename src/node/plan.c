/* SPDX-License-Identifier: EUPL-1.2 */
/* See plan.h. The rules are rows; the first whose conditions all hold decides. */
#include "node/plan.h"

enum {
    WANTED = 1 << 0,
    WANT_ON = 1 << 1,
    ON = 1 << 2,
    CRASHED = 1 << 3,
    BUILD_BEHIND = 1 << 4,
    BOOT_BEHIND = 1 << 5,
    RESET_BEHIND = 1 << 6,
    OWN_DOING = 1 << 7, /* powered itself off */
    IMAGE_HERE = 1 << 8,
    NETWORKS_READY = 1 << 9,
    ASKED = 1 << 10,
    EXPIRED = 1 << 11,
    DESTROYED = 1 << 12,
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
    /* Should be off. Before all that needs images or networks: a stop waits for nothing. */
    {ON | EXPIRED, WANT_ON, ACT_STOP},
    {ON | ASKED, WANT_ON, ACT_WAIT},
    {ON, WANT_ON, ACT_SHUTDOWN},
    /* (Re)build; the old guest runs on until the new image is here. */
    {BUILD_BEHIND, IMAGE_HERE, ACT_FETCH_IMAGE},
    {BUILD_BEHIND | ON, 0, ACT_STOP},
    {BUILD_BEHIND, 0, ACT_PREPARE},
    {0, WANT_ON, ACT_NONE},
    /* On, and should be: reboots. A hard one is not begun before it can be ended. */
    {ON | BOOT_BEHIND, NETWORKS_READY, ACT_WAIT},
    {ON | BOOT_BEHIND, 0, ACT_STOP},
    {ON | RESET_BEHIND, 0, ACT_RESET},
    {ON, 0, ACT_NONE},
    /* Off, and should be on: unless it went off by itself since it was last asked to boot. */
    {OWN_DOING, BOOT_BEHIND, ACT_NONE},
    {CRASHED, BOOT_BEHIND, ACT_NONE},
    {0, NETWORKS_READY, ACT_WAIT},
    {0, 0, ACT_START},
};

static unsigned conditions(const struct spec_server *desired, const struct guest_state *is,
                           const struct plan_facts *facts)
{
    unsigned c = (is->power == GUEST_ON ? ON : 0u) | (is->power == GUEST_CRASHED ? CRASHED : 0u) |
                 (is->guest_shutdown ? OWN_DOING : 0u) | (facts->image_here ? IMAGE_HERE : 0u) |
                 (facts->networks_ready ? NETWORKS_READY : 0u) |
                 (facts->shutdown_asked ? ASKED : 0u) | (facts->shutdown_expired ? EXPIRED : 0u) |
                 (facts->destroyed ? DESTROYED : 0u);
    if (!desired)
        return c;
    return c | WANTED | (desired->power_on ? WANT_ON : 0u) |
           (is->build_seq < desired->build_seq ? BUILD_BEHIND : 0u) |
           (is->boot_seq < desired->boot_seq ? BOOT_BEHIND : 0u) |
           (is->reset_seq < desired->reset_seq ? RESET_BEHIND : 0u);
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
    return desired && desired->power_on && is->power == GUEST_OFF && is->guest_shutdown &&
           is->boot_seq >= desired->boot_seq;
}
