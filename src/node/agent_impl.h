/* SPDX-License-Identifier: EUPL-1.2 */
/* What the engine's files share: agent.c (items, reports), agent_step.c (one step), step_*.c (of
 * one kind), volume_use.c (who has which volume). Everything here is under the agent's lock, but
 * for a job, which is its step's. */
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
        struct spec_volume volume;
        struct spec_export export;
        struct spec_cached image;
    };
};

enum {
    TELL_AFTER =
        3 /* failures in a row before the control plane hears of it: it may give the item up */
};

/* Ids in memory of their own. */
struct id_list {
    char (*of)[40];
    size_t n, cap;
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
    atomic_bool given_up; /* deleted, or not to be sent any more: what copies it may end */
    int64_t sending;      /* the move that it is being sent for; 0: none */
    bool awaited;         /* another item's step waits for the end of this one's */
    int64_t due_us;
    unsigned failures;
    char *error; /* of the last step */

    /* seen */
    int64_t shutdown_asked_us; /* 0: not asked */
    int64_t unplug_again_us;   /* a device was asked for and kept: asked again then */
    int64_t rescue_made;       /* number of the rescue disk made last by this process */
    enum { HA_UNKNOWN, HA_MARKED, HA_UNMARKED } ha_mark; /* the file DIR/ha/ID */
    struct id_list holds; /* volumes that the guest has open, or is about to */
    char *password;       /* left by the guest, and not yet in the spec; NULL: none */
    bool password_read;   /* … from its file */
    bool password_told, password_in_report;
    int64_t password_revision; /* of the report that told it */
    bool destroyed;
    bool ready;              /* a volume: it is whole */
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
    bool swept; /* what is on the host is known: by then an answer may be taken */
    uint64_t report_seq;
    int64_t last_at_us;
    uint64_t changes; /* grows with everything that others may have waited for */
    uint64_t steps, actions, failures;
    int64_t lease_until_us; /* boot_us */
    bool lease_heard;       /* what is desired was asked for under it */
};

/* A claimed item with what was desired when it was claimed. */
struct job {
    struct item *it;
    struct desired *desired; /* a reference; NULL: none */
    int64_t revision;
    uint64_t changes;
    unsigned failures; /* before this step */
    bool deleted;
    const char *spec_error, *last_error; /* may be NULL */
    /* found out by the step */
    bool again;     /* something was done: look again at once */
    bool waits;     /* for another item, an image, or a shutdown */
    int64_t due_us; /* look again then; 0: only when something happens */
    bool gone;
    bool ended; /* gone by what its spec says: it is deleted from here on */
    bool tells_password;
    const char *report; /* in the step's arena; NULL: nothing worth telling */
};

bool ids_have(const struct id_list *l, const char *id);
void ids_add(struct id_list *l, const char *id);

struct desired *desired_ref(struct desired *d);
void desired_unref(struct desired *d);
struct item *item_find(struct agent *a, enum item_kind kind, const char *id);
void item_set_text(char **to, const char *text); /* NULL empties it */
void item_due(struct agent *a, struct item *it, int64_t when_us);
void agent_wake(struct agent *a);
void agent_poke_locked(struct agent *a);
void forget_gone(struct agent *a);

/* What is wrong with it, for a report of a step that did not fail: its spec, or what failed so
 * often that it was told and is only being waited for again. */
const char *job_error(const struct job *job);

/* A report of an item's: begun with its revision, ended with what is wrong (NULL: nothing) and
 * whether it is gone; what its kind has to tell comes between. */
struct job_report {
    struct buf b;
    struct jw w;
};
void job_report_begin(struct ctx *cx, const struct job *job, struct job_report *r);
void job_report_end(struct job_report *r, struct job *job, const char *error);

/* ---- steps of one kind: what job->it needs, or one thing done for it */
MUST_USE struct err *step_server(struct ctx *cx, struct agent *a, struct job *job);
MUST_USE struct err *step_net(struct ctx *cx, struct agent *a, struct job *job);
MUST_USE struct err *step_volume(struct ctx *cx, struct agent *a, struct job *job);
MUST_USE struct err *step_image(struct ctx *cx, struct agent *a, struct job *job);
MUST_USE struct err *step_export(struct ctx *cx, struct agent *a, struct job *job);

/* ---- volume_use.c: a volume is one guest's at a time, and changed by one step at a time */

/* Another item as if claimed, NULL: there is none. False: it is busy, and its end pokes those who
 * wait. */
bool item_borrow(struct agent *a, enum item_kind kind, const char *id, struct item **ret);
void item_return(struct agent *a, struct item *it);

/* A volume that a step works on, and the guest that has it: both claimed, by this step. */
struct reach {
    struct item *volume; /* NULL: it is the step's own */
    struct item *guest;  /* NULL: no guest has it */
    bool open;           /* the guest's process has it open: all goes through the guest */
};
/* ret_reached false: one of them is busy, or the guest is sent to another host; the step waits. */
MUST_USE struct err *volume_reach(struct ctx *cx, struct agent *a, struct job *job,
                                  const char *volume_id, struct reach *ret, bool *ret_reached);
void volume_leave(struct agent *a, struct reach *r);

/* The volume may be opened by this server's guest. Lock held. */
bool volume_ready_for(struct agent *a, const struct item *server, const char *volume_id,
                      const char **ret_why);
/* Before a guest opens them: no other gets them until the guest is seen without. False: not now. */
bool volumes_hold(struct agent *a, struct item *server, const struct spec_use *uses, size_t n);
/* What a look at the guest found; others may go on with what it let go. */
void volumes_seen(struct agent *a, struct item *server, const struct guest_state *is);
bool volume_is_held(struct agent *a, const char *volume_id);
#define NO_STORAGE "this host does not reach the storage that the volume lies on"
/* Where a volume with this spec (NULL: unknown) lies; ops NULL: this host does not reach it. */
struct volume_backend volume_backend_of(const struct agent *a, const struct desired *d);
/* The same by its id. */
struct volume_backend volume_backend_with(struct agent *a, const char *volume_id);

/* ---- ha.c: guests that run under a lease only */
/* DIR/ha/ID is there when the guest is one of them: the guard goes by it (guard.h). */
MUST_USE struct err *ha_mark(struct ctx *cx, struct agent *a, struct item *it, bool ha);
/* Lock held. */
bool ha_lapsed(struct ctx *cx, const struct agent *a);
bool ha_held(struct ctx *cx, const struct agent *a);

/* ---- step_export.c: files on their way */
/* "DIR/exports/ID" + suffix. */
const char *export_path(struct ctx *cx, const struct agent *a, const char *id, const char *suffix);
/* The folder, made if need be. */
MUST_USE struct err *exports_open(struct ctx *cx, const struct agent *a, const char **ret_path);
MUST_USE struct err *exports_list(struct ctx *cx, struct agent *a, const char ***ret_ids,
                                  size_t *ret_n);

/* ---- step_move.c: from host to host */
MUST_USE struct err *move_send(struct ctx *cx, struct agent *a, struct job *job,
                               const struct spec_server *want);
/* Of the spec that it has now. Lock held. */
bool move_is_given_up(const struct item *it);
void move_report(struct jw *w, const struct spec_server *want, const struct guest_state *is);

/* ---- password.c: DIR/passwords/ID, until the spec has it */
/* What the guest left and the spec has not yet; in cx's arena. Lock held. */
const char *password_pending(struct ctx *cx, struct agent *a, struct item *it);
/* Lock not held: what the report tells of it, and that it is over. */
const char *password_to_tell(struct ctx *cx, struct agent *a, struct job *job);
void password_forget(struct ctx *cx, struct agent *a, struct item *it);
