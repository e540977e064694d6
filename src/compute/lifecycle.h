/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A server's lifecycle as const tables, and the pure functions that interpret them. What the store
 * and the agents have to do with it is server_state.c's.
 */
#pragma once

#include "base/base.h"

enum server_state {
    ST_BUILD,
    ST_ACTIVE,
    ST_SHUTOFF,
    ST_PAUSED,
    ST_SUSPENDED,
    ST_RESCUED,
    ST_VERIFY_RESIZE,
    ST_STARTING,
    ST_STOPPING,
    ST_REBOOT,
    ST_HARD_REBOOT,
    ST_REBUILD,
    ST_PAUSING,
    ST_UNPAUSING,
    ST_SUSPENDING,
    ST_RESUMING,
    ST_RESCUING,
    ST_UNRESCUING,
    ST_RESIZE,
    ST_REVERT_RESIZE,
    ST_MIGRATING, /* runs on its host, while it is sent to another one */
    ST_MOVING,    /* the same, off */
    ST_ARRIVING,  /* its host is another one, or the same after all: it is to run on there */
    ST_SHELVING,       /* going off */
    ST_SHELVING_IMAGE, /* off; its root disk becomes an image, whose end moves it on */
    ST_OFFLOADING,     /* its host removes it */
    ST_SHELVED_OFFLOADED,
    ST_UNSHELVING,
    ST_ERROR,  /* goes away by itself when the host reports what is desired */
    ST_FAILED, /* shown as ERROR too, but left only by an action: no host was found, or an
                  administrator said so */
    ST_DELETING,
    ST_COUNT,
    ST_GONE = ST_COUNT /* not a row: nothing of the server is left */
};
#define TO(state) (1u << (state))

enum expiry {
    EXPIRE_NEVER,
    EXPIRE_ERROR, /* becomes ERROR with a fault */
    EXPIRE_RETRY, /* the host is told again */
    EXPIRE_UNDO   /* it stays where it was */
};

struct lifecycle {
    const char *name;                           /* in the store */
    const char *status, *vm_state, *task_state; /* as clients see it */
    unsigned next;                              /* TO(…) | TO(…) */
    int64_t deadline_s;
    enum expiry expiry;
    bool leaves_host;  /* not wanted on its host any more */
    const char *doing; /* "starting": in the fault when the deadline passes */
};
extern const struct lifecycle lifecycles[ST_COUNT];

const struct lifecycle *lifecycle_of(enum server_state state);
/* The row with this name; a name that is none is a bug. */
enum server_state lifecycle_named(const char *name);
bool lifecycle_allows(enum server_state from, enum server_state to);
/* The way out after a deadline; the same state where it waits on. */
enum server_state lifecycle_expired(enum server_state state);

/* What users ask for: from which states, what state comes, and how clients call it in refusals. */
enum server_action {
    SA_START,
    SA_STOP,
    SA_REBOOT,
    SA_HARD_REBOOT,
    SA_REBUILD,
    SA_PAUSE,
    SA_UNPAUSE,
    SA_SUSPEND,
    SA_RESUME,
    SA_RESCUE,
    SA_UNRESCUE,
    SA_RESIZE,
    SA_REVERT_RESIZE,
    SA_MIGRATE,
    SA_LIVE_MIGRATE,
    SA_SHELVE,
    SA_UNSHELVE,
    SA_DELETE,
    SA_COUNT
};
struct server_action_rule {
    const char *name;   /* in refusals: "stop" */
    const char *record; /* in os-instance-actions */
    const char *event;  /* its event */
    unsigned from;
    enum server_state to;
};
extern const struct server_action_rule server_action_rules[SA_COUNT];

enum seen_power { SEEN_NOTHING, SEEN_ABSENT, SEEN_OFF, SEEN_ON, SEEN_CRASHED };
const char *seen_power_name(enum seen_power p); /* NULL for SEEN_NOTHING */
bool seen_power_named(const char *name, enum seen_power *ret);

struct server_desired {
    bool has_host, want_power;
    bool paused, suspended; /* suspended: off, its memory kept */
    bool resizing;          /* neither confirmed nor reverted */
    int64_t boot_seq, reset_seq, build_seq, restore_seq;
    int64_t rescue_seq; /* 0: on its own disk */
    int64_t checkpoint; /* 0: none */
};
struct server_observed {
    enum seen_power power;
    bool paused, suspended;
    int64_t boot_seq, reset_seq, build_seq, restore_seq, rescue_seq, checkpoint;
    bool guest_shutdown;
    const char *error;
};
struct lifecycle_step {
    enum server_state state;
    bool want_off; /* the guest went off by itself: that becomes what is desired */
};
/* nova's numbers: 0 pending, 1 running, 3 paused, 4 shut down, 6 crashed. */
int power_state_number(const struct server_observed *seen);
/* The state that is right for a host which has done all that is desired. */
enum server_state lifecycle_settled(const struct server_desired *desired);
/* Where the server stands, given what was last reported. Pure; the same report again changes
 * nothing. */
struct lifecycle_step lifecycle_next(enum server_state now, const struct server_desired *desired,
                                     const struct server_observed *seen);
