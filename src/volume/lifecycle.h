/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Lifecycles of volumes, snapshots and attachments as const tables, and the pure functions that
 * interpret them. What the store and the hosts have to do with it is volume_state.c's.
 */
#pragma once

#include "base/base.h"

enum volume_state {
    VS_CREATING,
    VS_AVAILABLE,
    VS_RESERVED,
    VS_ATTACHING,
    VS_IN_USE,
    VS_DETACHING,
    VS_EXTENDING,
    VS_UPLOADING,
    VS_TRANSFER,
    VS_MAINTENANCE,
    VS_ERROR,  /* goes away by itself when the host reports what is desired */
    VS_FAILED, /* shown as error too, but left only by an action: no host had room, or an
                  administrator said so */
    VS_ERROR_EXTENDING,
    VS_DELETING,
    VS_ERROR_DELETING,
    VS_COUNT,
    VS_GONE = VS_COUNT /* not a row: nothing of the volume is left */
};
#define VS(state) (1u << (state))

enum volume_expiry {
    VEXP_NEVER,
    VEXP_ERROR,  /* takes .failed, with a message for the user */
    VEXP_RETRY,  /* the host is told again */
    VEXP_SETTLE, /* what its attachments say: available, in use … */
};

struct volume_life {
    const char *name;   /* in the store */
    const char *status; /* as clients see it */
    unsigned next;      /* VS(…) | VS(…) */
    int64_t deadline_s;
    enum volume_expiry expiry;
    enum volume_state failed;
    const char *doing; /* "being created": in the message when the deadline passes */
};
const struct volume_life *volume_life_of(enum volume_state state);
/* The row with this name; a name that is none is a bug. */
enum volume_state volume_state_named(const char *name);
/* What an administrator may set by hand. False: no such status. */
bool volume_state_of_status(const char *status, enum volume_state *ret);
bool volume_life_allows(enum volume_state from, enum volume_state to);

/* What users ask for: from which states, what state comes. */
enum volume_act {
    VA_RESERVE,
    VA_UNRESERVE,
    VA_BEGIN_DETACH,
    VA_ROLL_DETACH,
    VA_ATTACH,
    VA_EXTEND,
    VA_EXTEND_IN_USE,
    VA_UPLOAD,
    VA_UPLOAD_IN_USE,
    VA_TRANSFER,
    VA_DELETE,
    VA_COUNT
};
struct volume_act_rule {
    const char *name; /* in refusals: "extend" */
    unsigned from;
    enum volume_state to;
};
extern const struct volume_act_rule volume_act_rules[VA_COUNT];
/* "available or error": for refusals. */
const char *volume_states_text(struct ctx *cx, unsigned states);

struct volume_desired {
    bool has_host, wanted;
    int64_t size_gib;
};
struct volume_observed {
    bool ready, absent;
    int64_t size_gib;
    const char *error; /* of the latest wish; NULL: none */
};
/*
 * Where the volume stands, given what was last reported; settled is what its attachments say. Pure;
 * the same report again changes nothing.
 */
enum volume_state volume_next(enum volume_state now, enum volume_state settled,
                              const struct volume_desired *desired,
                              const struct volume_observed *seen);

enum snapshot_state {
    SN_CREATING,
    SN_AVAILABLE,
    SN_ERROR,  /* heals as a volume's does */
    SN_FAILED, /* said by an administrator */
    SN_DELETING,
    SN_ERROR_DELETING,
    SN_COUNT,
    SN_GONE = SN_COUNT
};
struct snapshot_life {
    const char *name, *status;
    unsigned next;
    int64_t deadline_s;
    bool retry; /* the host is told again; else it becomes SN_ERROR */
};
const struct snapshot_life *snapshot_life_of(enum snapshot_state state);
enum snapshot_state snapshot_state_named(const char *name);
bool snapshot_state_of_status(const char *status, enum snapshot_state *ret);
bool snapshot_life_allows(enum snapshot_state from, enum snapshot_state to);
/* latest: the report answers the host's latest word, so what it does not name is not there. */
enum snapshot_state snapshot_next(enum snapshot_state now, bool wanted, bool there, bool latest,
                                  const char *error);

/* An attachment; its end is the row's. */
enum attach_state { AT_RESERVED, AT_ATTACHING, AT_ATTACHED, AT_DETACHING, AT_COUNT };
struct attach_life {
    const char *name;
    unsigned next;
    int64_t deadline_s;        /* of those that a server's host plugs */
    enum attach_state expired; /* where it goes then */
    enum volume_state settled; /* of its volume */
};
const struct attach_life *attach_life_of(enum attach_state state);
enum attach_state attach_state_named(const char *name);
bool attach_life_allows(enum attach_state from, enum attach_state to);
