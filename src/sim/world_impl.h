/* SPDX-License-Identifier: EUPL-1.2 */
/* What world.c (events) and check.c (invariants) share. */
#pragma once

#include "node/agent.h"
#include "node/drivers/fake/fake.h"
#include "sim/plane.h"
#include "sim/world.h"

enum { HOSTS_MAX = 8, EVENTS_MAX = 20000, SERVERS_MAX = 4000 };

enum event_kind {
    EV_START,         /* an agent, after a crash */
    EV_WATCH,         /* the agent asks */
    EV_WATCH_WAKE,    /* a parked one has something to hear */
    EV_WATCH_TIMEOUT, /* … or nothing, in 25 s */
    EV_ANSWER,        /* the answer arrives */
    EV_WORK,          /* the agent takes a step */
    EV_REPORT,        /* it sends reports */
    EV_DELIVER,       /* they arrive */
    EV_LATE_REPORT,   /* a copy arrives late */
    EV_IMAGE,         /* an image is here */
    EV_USER,          /* a user does something */
    EV_MISHAP         /* a guest or an agent ends */
};

struct host;
struct event {
    int64_t at_us;
    uint64_t seq;
    enum event_kind kind;
    struct host *host;
    uint64_t life; /* of the agent it is for; 0: whichever */
    int64_t since;
    char *text;
    bool last; /* of an answer: the agent waits for no other */
};

enum image_state { IMAGE_AWAY, IMAGE_COMING, IMAGE_HERE };

struct host {
    struct world *world;
    char id[40];
    struct guest_backend guests;
    struct net_backend net;
    struct agent *agent; /* NULL: not running */
    uint64_t life;
    bool dying, parked, report_due;
    int64_t since, full_at_us, work_at_us;
    enum image_state image;
    struct ctx report_cx; /* owns the reports on their way */
    struct report_batch *batch;
    const char *report_text;
};

struct world {
    struct clock clock; /* first: the clock's functions find the world */
    struct sim_config cfg;
    struct ctx cx;
    struct rng_seeded rng;
    int64_t now_us, down_until_us;
    struct store *store;
    struct host hosts[HOSTS_MAX];
    struct event events[EVENTS_MAX];
    size_t n_events;
    uint64_t event_seq, n_steps;
    unsigned steps_left;
    bool healed, failed;
    char servers[SERVERS_MAX][40]; /* every one there ever was */
    size_t n_servers;
};

void trace(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* An invariant does not hold: the run ends. */
void broken(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* check.c */
void remember_server(struct world *w, const char *id);
const char *some_server(struct world *w); /* NULL: none yet */
void check_safety(struct world *w);       /* after each step */
void check_liveness(struct world *w);     /* long after everything has healed */
struct err *delete_all(struct world *w);
void check_empty(struct world *w); /* long after everything was deleted */
