/* SPDX-License-Identifier: EUPL-1.2 */
/* The agent's threads around its engine: watch, workers, reports, heartbeat, console listener. */
#pragma once

#include "node/agent.h"
#include "node/enrolment.h"
#include "node/guard.h"

struct loop_config {
    const char *api_urls;      /* "http://127.0.0.1:5000", or several with commas between */
    const char *host, *secret; /* as bootstrap made them: id or name */
    struct enrolment
        *enrolment; /* of a host that has joined: instead of these; outlives the loop */
    const char *data_dir;
    const char *listen_address; /* of the console listener; NULL: 127.0.0.1 */
    uint16_t listen_port;       /* 0: any free one */
    const char
        *advertise_url; /* how the control plane reaches it; NULL: from the address it listens on */
    int64_t shutdown_timeout_s; /* 0: 60 */
    int64_t image_cache_bytes;  /* 0: no limit */
    unsigned workers;           /* 0: 3 */
    int64_t resync_s;           /* a full look, 0: every 60 s */
    struct raw_maker raw;       /* for exports that are to be raw */
    struct guard *guard; /* keeps the lease; outlives the loop. NULL: what runs now has none */
};

/* Volumes without ops: this host keeps none. */
struct backends {
    struct guest_backend guests;
    struct net_backend net;
    struct volume_backend volumes, shared;
    const char *pool_id; /* of `shared` */
};

struct loop;
/* Guests, networks and volumes are what the drivers find; the backends stay the caller's. */
MUST_USE struct err *loop_start(struct ctx *cx, const struct loop_config *cfg,
                                const struct backends *backends, struct loop **ret);
struct agent *loop_agent(struct loop *l);
uint16_t loop_console_port(struct loop *l);
/* Ends the threads and the listener; calls under way end first. Guests run on. */
void loop_stop(struct loop *l);
/* After loop_stop, and after the drivers are freed: they may call the agent until then. */
void loop_free(struct loop *l);
