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
    X(ACT_WAIT, "wait")    /* for a network, an image, or the guest's own shutdown */              \
    X(ACT_FETCH_IMAGE, "fetch image")                                                              \
    X(ACT_PREPARE, "prepare")                                                                      \
    X(ACT_START, "start")                                                                          \
    X(ACT_SHUTDOWN, "shut down") /* ask the guest; ACT_STOP follows when it takes too long */      \
    X(ACT_STOP, "stop")                                                                            \
    X(ACT_RESET, "reset")                                                                          \
    X(ACT_DESTROY, "destroy") /* its taps, and all that is left of it */

enum action {
#define X(name, text) name,
    ACTIONS(X)
#undef X
};
const char *action_name(enum action action);

struct plan_facts {
    bool image_here;       /* the desired image is on this host, verified */
    bool networks_ready;   /* each NIC's network is applied, with the NIC's port in it */
    bool shutdown_asked;   /* the guest was asked to go off, in this stop */
    bool shutdown_expired; /* and had its time */
    bool destroyed;        /* destroy() succeeded since deletion was asked */
};

/* desired NULL: deleted. */
enum action plan_server(const struct spec_server *desired, const struct guest_state *is,
                        const struct plan_facts *facts);

/* What is reported: "on", "off", "crashed" or "absent". A crashed guest that should be off is off.
 */
const char *plan_power(const struct spec_server *desired, const struct guest_state *is);
/* The guest went off by itself since the boot that was last asked for: the control plane is to take
 * note. */
bool plan_guest_shutdown(const struct spec_server *desired, const struct guest_state *is);
