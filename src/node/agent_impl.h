/* SPDX-License-Identifier: EUPL-1.2 */
/* What agent.c (items, reports) and agent_step.c (one step) share. Everything here is under the
 * agent's lock. */
#pragma once

#include "node/agent.h"
#include "node/plan.h"

/* A spec as it arrived, in memory of its own; kept while anybody looks at it. */
struct desired {
    unsigned refs;
    struct ctx cx;
    int64_t revision;
    union {
        struct spec_server server;
        struct spec_network network;
        struct spec_router router;
    };
};

struct item {
    struct item *next;
    enum item_kind kind;
    char id[40]; /* of a network or router found on the host only: its first eleven characters */

    /* desired */
    struct desired *desired; /* the last readable one; NULL: found on the host, or never readable */
    int64_t revision;        /* of the latest word of the control plane; 0: none yet */
    char *spec_error;        /* that word was not readable */
    bool deleted;
    unsigned misses; /* full answers in a row that did not name it */

    /* work */
    bool busy, queued, waiting;
    int64_t due_us;
    unsigned failures;
    char *error; /* of the last step */

    /* seen */
    int64_t shutdown_asked_us; /* 0: not asked */
    bool destroyed;
    bool gone;               /* deleted, and nothing is left: forgotten once that is delivered */
    struct desired *applied; /* of a network or router: what was applied last by this process */

    char *report; /* the latest "observed" object */
    uint64_t report_seq, acked_seq;
    int64_t reported_at_us; /* when it was made: a later one is greater */
};

struct agent {
    struct agent_setup setup;
    pthread_mutex_t lock;
    struct item *items;
    int64_t revision;
    uint64_t report_seq;
    int64_t last_at_us;
    uint64_t changes; /* grows with everything that others may have waited for */
    uint64_t steps, actions, failures;
};

/* A claimed item with what was desired when it was claimed. */
struct job {
    struct item *it;
    struct desired *desired; /* a reference; NULL: none */
    int64_t revision;
    uint64_t changes;
    unsigned failures; /* before this step */
    bool deleted;
    const char *spec_error;
    /* found out by the step */
    bool again;     /* something was done: look again at once */
    bool waits;     /* for another item, an image, or a shutdown */
    int64_t due_us; /* look again then; 0: only when something happens */
    bool gone;
    const char *report; /* in the step's arena; NULL: nothing worth telling */
};

struct desired *desired_ref(struct desired *d);
void desired_unref(struct desired *d);
struct item *item_find(struct agent *a, enum item_kind kind, const char *id);
void item_set_text(char **to, const char *text); /* NULL empties it */
void item_due(struct agent *a, struct item *it, int64_t when_us);
void agent_wake(struct agent *a);
void forget_gone(struct agent *a);
