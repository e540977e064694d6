/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What to do next for one server: a pure function of what is desired, what is, and a few facts
 * around it. One action a pass; the engine applies it, looks again, and asks again until nothing is
 * left to do.
 */
#pragma once

#include "node/drivers/driver.h"

/*    action           what the engine does */
#define ACTIONS(X)                                                                                 \
    X(ACT_NONE, "nothing") /* as desired, or the control plane has to decide: report */            \
    X(ACT_WAIT, "wait")    /* for a network, a volume, an image, or the guest's own shutdown */    \
    X(ACT_FETCH_IMAGE, "fetch image")                                                              \
    X(ACT_PREPARE, "prepare")                                                                      \
    X(ACT_FETCH_RESCUE, "fetch rescue image")                                                      \
    X(ACT_PREPARE_RESCUE, "prepare rescue")                                                        \
    X(ACT_RESTORE, "restore")                                                                      \
    X(ACT_CHECKPOINT, "checkpoint")                                                                \
    X(ACT_GIVE_UP_CHECKPOINT, "give up checkpoint")                                                \
    X(ACT_START, "start")                                                                          \
    X(ACT_SHUTDOWN, "shut down") /* ask the guest; ACT_STOP follows when it takes too long */      \
    X(ACT_STOP, "stop")          /* also what a suspended one's memory held is thrown away */      \
    X(ACT_SUSPEND, "suspend")                                                                      \
    X(ACT_RESET, "reset")                                                                          \
    X(ACT_PAUSE, "pause")                                                                          \
    X(ACT_RESUME, "resume")                                                                        \
    X(ACT_UNPLUG, "unplug")   /* what plan_surplus names */                                        \
    X(ACT_PLUG, "plug")       /* one of what plan_has does not name */                             \
    X(ACT_SEND, "send") /* to another host */                                                      \
    X(ACT_DESTROY, "destroy") /* its taps, and all that is left of it */

enum action {
#define X(name, text) name,
    ACTIONS(X)
#undef X
};
const char *action_name(enum action action);

struct plan_facts {
    bool image_here;        /* the image of the root disk is on this host, verified */
    bool rescue_image_here; /* that of the rescue disk, likewise */
    bool rescue_made;       /* the rescue disk for the desired number is made */
    bool devices_ready;     /* each NIC's network is applied, with the NIC's port in it; each volume
                             * is whole and this server's alone */
    bool plug_ready;        /* one that the guest should have, and has not, is ready */
    bool unplug_refused;    /* the guest was asked for a device not long ago, and kept it */
    bool shutdown_asked;    /* the guest was asked to go off, in this stop */
    bool shutdown_expired;  /* and had its time */
    bool destroyed;         /* destroy() succeeded since deletion was asked */
    bool lapsed;            /* it needs a lease to run, and the host has none */
    bool held; /* it needs one to start, and what is desired under it is not heard yet */
};

/* desired NULL: deleted. */
enum action plan_server(const struct spec_server *desired, const struct guest_state *is,
                        const struct plan_facts *facts);

/* A device of the guest that is not desired: one of the lists has it. Both NULL: there is none. */
struct plan_device {
    const char *volume_id, *port_id;
};
struct plan_device plan_surplus(const struct spec_server *desired, const struct guest_state *is);
/* The guest has this volume, or port. */
bool plan_has_volume(const struct guest_state *is, const char *volume_id);
bool plan_has_port(const struct guest_state *is, const char *port_id);

/* It is to be on, here and now. */
bool plan_wants_on(const struct spec_server *desired);
/* What is reported: "on", "off", "crashed" or "absent". A crashed guest that should be off is off.
 */
const char *plan_power(const struct spec_server *desired, const struct guest_state *is);
/* The guest went off by itself since the boot that was last asked for: the control plane is to take
 * note. */
bool plan_guest_shutdown(const struct spec_server *desired, const struct guest_state *is);
