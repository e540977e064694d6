/* SPDX-License-Identifier: EUPL-1.2 */
/* See lifecycle.h. */
#include "volume/lifecycle.h"

#define SETTLED                                                                                    \
    (VS(VS_AVAILABLE) | VS(VS_RESERVED) | VS(VS_ATTACHING) | VS(VS_IN_USE) | VS(VS_DETACHING))
#define BY_HAND (VS(VS_COUNT) - 1) /* an administrator may set what no rule would */

static const struct volume_life lives[VS_COUNT] = {
    [VS_CREATING] = {"creating", "creating",
                     SETTLED | VS(VS_ERROR) | VS(VS_FAILED) | VS(VS_DELETING), 3600, VEXP_ERROR,
                     VS_ERROR, "being created"},
    [VS_AVAILABLE] = {"available", "available",
                      SETTLED | VS(VS_EXTENDING) | VS(VS_UPLOADING) | VS(VS_TRANSFER) |
                          VS(VS_DELETING)},
    [VS_RESERVED] = {"reserved", "reserved", SETTLED | VS(VS_DELETING)},
    [VS_ATTACHING] = {"attaching", "attaching", SETTLED | VS(VS_DELETING), 3600, VEXP_SETTLE},
    [VS_IN_USE] = {"in-use", "in-use",
                   SETTLED | VS(VS_EXTENDING) | VS(VS_UPLOADING) | VS(VS_DELETING)},
    [VS_DETACHING] = {"detaching", "detaching", SETTLED | VS(VS_DELETING), 3600, VEXP_SETTLE},
    [VS_EXTENDING] = {"extending", "extending", SETTLED | VS(VS_ERROR_EXTENDING) | VS(VS_DELETING),
                      600, VEXP_ERROR, VS_ERROR_EXTENDING, "being extended"},
    /* The image service ends each export; this is for one that it never heard of. */
    [VS_UPLOADING] = {"uploading", "uploading", SETTLED | VS(VS_DELETING), 6 * 3600, VEXP_SETTLE},
    [VS_TRANSFER] = {"awaiting-transfer", "awaiting-transfer", SETTLED},
    [VS_MAINTENANCE] = {"maintenance", "maintenance", VS(VS_DELETING)},
    [VS_ERROR] = {"error", "error", SETTLED | VS(VS_DELETING)},
    [VS_FAILED] = {"failed", "error", SETTLED | VS(VS_DELETING)},
    [VS_ERROR_EXTENDING] = {"error_extending", "error_extending", SETTLED | VS(VS_DELETING)},
    [VS_DELETING] = {"deleting", "deleting", SETTLED | VS(VS_ERROR_DELETING), 60, VEXP_RETRY},
    [VS_ERROR_DELETING] = {"error_deleting", "error_deleting", SETTLED | VS(VS_DELETING), 60,
                           VEXP_RETRY},
};

/* What may go from any state with a disk behind it, without asking for more. */
#define DELETABLE                                                                                  \
    (VS(VS_AVAILABLE) | VS(VS_ERROR) | VS(VS_FAILED) | VS(VS_ERROR_EXTENDING) |                    \
     VS(VS_ERROR_DELETING))

const struct volume_act_rule volume_act_rules[VA_COUNT] = {
    [VA_RESERVE] = {"reserve", VS(VS_AVAILABLE), VS_ATTACHING},
    [VA_UNRESERVE] = {"unreserve", VS(VS_ATTACHING), VS_AVAILABLE},
    [VA_BEGIN_DETACH] = {"begin detaching", VS(VS_IN_USE), VS_DETACHING},
    [VA_ROLL_DETACH] = {"roll back detaching", VS(VS_DETACHING), VS_IN_USE},
    [VA_ATTACH] = {"attach", VS(VS_AVAILABLE) | VS(VS_ATTACHING), VS_IN_USE},
    [VA_EXTEND] = {"extend", VS(VS_AVAILABLE), VS_EXTENDING},
    [VA_EXTEND_IN_USE] = {"extend", VS(VS_AVAILABLE) | VS(VS_IN_USE), VS_EXTENDING},
    [VA_UPLOAD] = {"upload to an image", VS(VS_AVAILABLE), VS_UPLOADING},
    [VA_UPLOAD_IN_USE] = {"upload to an image", VS(VS_AVAILABLE) | VS(VS_IN_USE), VS_UPLOADING},
    [VA_TRANSFER] = {"transfer", VS(VS_AVAILABLE), VS_TRANSFER},
    [VA_DELETE] = {"delete", DELETABLE, VS_DELETING},
};

const struct volume_life *volume_life_of(enum volume_state state)
{
    must(state < VS_COUNT);
    return &lives[state];
}

enum volume_state volume_state_named(const char *name)
{
    for (int i = 0; i < VS_COUNT; i++)
        if (str_eq(lives[i].name, name))
            return (enum volume_state)i;
    bug_at(WHERE, name);
}

bool volume_state_of_status(const char *status, enum volume_state *ret)
{
    for (int i = VS_COUNT - 1; status && i >= 0; i--) { /* backwards: FAILED before ERROR */
        if (!str_eq(lives[i].status, status))
            continue;
        *ret = (enum volume_state)i;
        return true;
    }
    return false;
}

bool volume_life_allows(enum volume_state from, enum volume_state to)
{
    return (volume_life_of(from)->next & VS(to)) != 0;
}

const char *volume_states_text(struct ctx *cx, unsigned states)
{
    struct buf b;
    size_t n = 0;
    buf_init(&b, cx->arena);
    for (int i = 0; i < VS_COUNT; i++)
        if ((states & VS(i)) && i != VS_FAILED)
            buf_printf(&b, "%s%s", n++ ? " or " : "", lives[i].status);
    return buf_cstr(&b);
}

enum volume_state volume_next(enum volume_state now, enum volume_state settled,
                              const struct volume_desired *d, const struct volume_observed *o)
{
    bool reached = o->ready && o->size_gib >= d->size_gib;
    switch (now) {
    case VS_DELETING:
    case VS_ERROR_DELETING:
        if (d->wanted) /* said by an administrator */
            return now;
        if (!d->has_host || o->absent)
            return VS_GONE;
        return o->error ? VS_ERROR_DELETING : now;
    case VS_CREATING:
        return reached ? settled : o->error ? VS_ERROR : now;
    case VS_EXTENDING:
        return reached ? settled : o->error ? VS_ERROR_EXTENDING : now;
    case VS_ERROR:
    case VS_ERROR_EXTENDING:
        return reached ? settled : now;
    default:
        return now;
    }
}

/* ---------------------------------------------------------------- snapshots */

static const struct snapshot_life snapshot_lives[SN_COUNT] = {
    [SN_CREATING] = {"creating", "creating", VS(SN_AVAILABLE) | VS(SN_ERROR) | VS(SN_DELETING), 600,
                     false},
    [SN_AVAILABLE] = {"available", "available", VS(SN_DELETING), 0, false},
    [SN_ERROR] = {"error", "error", VS(SN_AVAILABLE) | VS(SN_DELETING), 0, false},
    [SN_FAILED] = {"failed", "error", VS(SN_DELETING), 0, false},
    [SN_DELETING] = {"deleting", "deleting",
                     VS(SN_ERROR_DELETING) | VS(SN_AVAILABLE) | VS(SN_ERROR), 60, true},
    [SN_ERROR_DELETING] = {"error_deleting", "error_deleting",
                           VS(SN_DELETING) | VS(SN_AVAILABLE) | VS(SN_ERROR), 60, true},
};

const struct snapshot_life *snapshot_life_of(enum snapshot_state state)
{
    must(state < SN_COUNT);
    return &snapshot_lives[state];
}

enum snapshot_state snapshot_state_named(const char *name)
{
    for (int i = 0; i < SN_COUNT; i++)
        if (str_eq(snapshot_lives[i].name, name))
            return (enum snapshot_state)i;
    bug_at(WHERE, name);
}

bool snapshot_state_of_status(const char *status, enum snapshot_state *ret)
{
    for (int i = SN_COUNT - 1; status && i >= 0; i--) {
        if (!str_eq(snapshot_lives[i].status, status))
            continue;
        *ret = (enum snapshot_state)i;
        return true;
    }
    return false;
}

bool snapshot_life_allows(enum snapshot_state from, enum snapshot_state to)
{
    return (snapshot_life_of(from)->next & VS(to)) != 0;
}

enum snapshot_state snapshot_next(enum snapshot_state now, bool wanted, bool there, bool latest,
                                  const char *error)
{
    switch (now) {
    case SN_CREATING:
        return there ? SN_AVAILABLE : latest && error ? SN_ERROR : now;
    case SN_ERROR:
        return there ? SN_AVAILABLE : now;
    case SN_DELETING:
    case SN_ERROR_DELETING:
        if (wanted)
            return now;
        if (!there && latest)
            return SN_GONE;
        return latest && error ? SN_ERROR_DELETING : now;
    default:
        return now;
    }
}

/* ---------------------------------------------------------------- attachments */

static const struct attach_life attach_lives[AT_COUNT] = {
    [AT_RESERVED] = {"reserved", VS(AT_ATTACHING) | VS(AT_ATTACHED), 0, AT_RESERVED, VS_RESERVED},
    [AT_ATTACHING] = {"attaching", VS(AT_ATTACHED) | VS(AT_DETACHING) | VS(AT_RESERVED), 300,
                      AT_DETACHING, VS_ATTACHING},
    [AT_ATTACHED] = {"attached", VS(AT_DETACHING), 0, AT_ATTACHED, VS_IN_USE},
    /* The host says neither that the guest let go nor that it is gone: it has the volume still. */
    [AT_DETACHING] = {"detaching", VS(AT_ATTACHED), 120, AT_ATTACHED, VS_DETACHING},
};

const struct attach_life *attach_life_of(enum attach_state state)
{
    must(state < AT_COUNT);
    return &attach_lives[state];
}

enum attach_state attach_state_named(const char *name)
{
    for (int i = 0; i < AT_COUNT; i++)
        if (str_eq(attach_lives[i].name, name))
            return (enum attach_state)i;
    bug_at(WHERE, name);
}

bool attach_life_allows(enum attach_state from, enum attach_state to)
{
    return (attach_life_of(from)->next & VS(to)) != 0;
}
