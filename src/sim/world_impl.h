/* SPDX-License-Identifier: EUPL-1.2 */
/* What the simulator's files share. */
#pragma once

#include "compute/lifecycle.h"
#include "node/agent.h"
#include "node/drivers/fake/fake.h"
#include "sim/cloud.h"
#include "sim/world.h"
#include "volume/lifecycle.h"

enum {
    HOSTS_MAX = 8,
    EVENTS_MAX = 20000,
    SERVERS_MAX = 4000,
    VOLUMES_MAX = 4000,
    SNAPSHOTS_MAX = 4000,
    USERS_MAX = 256,
    LAST_LINES = 40
};

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
    EV_BEAT,          /* it says that it is there */
    EV_BEAT_TAKEN,    /* … and that arrives */
    EV_LEASE,         /* … and so does the answer */
    EV_HEARD,         /* what is desired, asked for with a new lease */
    EV_JOB,           /* the control plane looks for hosts that failed */
    EV_IMAGE,         /* an image is here */
    EV_USER,          /* a user does something */
    EV_SWEEP,         /* the control plane looks for passed deadlines */
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
    struct volume_backend volumes;
    char dir[64];                    /* the agent's files */
    char image_users[USERS_MAX][64]; /* what stands on the image */
    size_t n_image_users;
    struct agent *agent; /* NULL: not running */
    uint64_t life;
    bool dying, parked, report_due;
    int64_t since, parked_at_us, full_at_us, work_at_us, sick_until_us, beat_at_us, beat_up_us;
    enum image_state image;
    struct ctx report_cx; /* owns the reports on their way */
    struct report_batch *batch;
    const char *report_text;
    int64_t lease_until_us, guard_slow_us; /* as its file has it, whatever agent there is */
    int64_t heard_at_us;                   /* when the answer that counts arrives */
    int64_t cut_until_us, dead_until_us;   /* off the network; without power */
};

enum presence { THERE, GONE, GONE_WITH_HOST }; /* the last: given up, its host is away */

/* What users were promised of one server, and what was last seen of it. */
struct known {
    char id[40], host_id[40]; /* host_id "": no host was found */
    size_t project;
    size_t flavor, old_flavor; /* of cloud_flavors */
    bool on, deleted;          /* as acknowledged */
    bool paused, suspended, rescued, resizing;
    bool on_volume;                /* it has no root disk of its own */
    char other_id[40];             /* the host that it is being moved to, or came from; "" */
    bool ha, moved;                /* it leaves hosts that fail, and has */
    bool host_knows;               /* … and would stop it, as the database says */
    unsigned waits;                /* … and is not elsewhere after so many jobs */
    int64_t restarts;              /* times that it was ended by its host, and begins again */
    int64_t boots, resets, builds; /* asked for and acknowledged */
    int64_t rescues, resizes, restores;
    int64_t died_boot;     /* the guest of this boot went off by itself */
    bool wants, exporting; /* what the database says: to be on; its disk becomes an image */
    enum server_state state;
    int64_t state_at_us, state_up_us; /* since when, and the control plane's uptime then */
    unsigned state_outages;           /* the control plane's until then */
    enum presence row;
};

/* The same of a volume. */
struct known_volume {
    char id[40], host_id[40];
    size_t project;
    int64_t size_gib; /* as acknowledged */
    char origin[64];  /* of its data */
    char source[40];  /* the volume or snapshot it is made from; "": none */
    bool deleted;
    bool orphan; /* … went before it was made */
    bool image;  /* it can be booted from */
    enum volume_state state;
    enum presence row;
    char user[40]; /* the server it is attached to, as the database says; "": none */
    enum attach_state use;
    bool root, goes_too; /* it is the root disk; it goes with the server */
};

struct known_snapshot {
    char id[40], volume_id[40];
    size_t project;
    bool deleted;
    enum snapshot_state state;
    enum presence row;
};

struct world {
    struct clock clock; /* first: the clock's functions find the world */
    struct sim_config cfg;
    struct ctx cx;
    struct rng_seeded rng;
    int64_t now_us, down_until_us, down_in_all_us;
    unsigned n_outages;
    struct cloud cloud;
    struct host hosts[HOSTS_MAX];
    struct volume_backend pool; /* cfg.pool: all volumes */
    struct host *acting;        /* whose agent takes a step */
    struct event events[EVENTS_MAX];
    size_t n_events;
    uint64_t event_seq, fingerprint;
    unsigned steps_left;
    bool healed, failed, deaf_to_wakes;
    struct host_watch watch;
    struct known servers[SERVERS_MAX]; /* every one there ever was */
    size_t n_servers;
    struct known_volume volumes[VOLUMES_MAX];
    size_t n_volumes;
    struct known_snapshot snapshots[SNAPSHOTS_MAX];
    size_t n_snapshots;
    char lines[LAST_LINES][200]; /* the latest of the trace, a ring */
    size_t n_lines;
};

/* ---- world.c: time, chance, events, the run */
bool chance(struct world *w, unsigned percent); /* never once everything is healed */
int64_t between_us(struct world *w, int64_t min_ms, int64_t max_ms);
void push(struct world *w, struct event e);
void later(struct world *w, enum event_kind kind, struct host *h, int64_t delay_us);
void trace(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* An invariant does not hold: the run ends. */
void broken(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool plane_is_down(const struct world *w);
int64_t plane_uptime_us(const struct world *w); /* in all */
/* The control plane is gone for a while; what was parked there asks again. */
void plane_goes_down(struct world *w);
/* Makes a transaction fail at some statement, now and then. */
void begin_db_trouble(struct world *w);
void end_db_trouble(struct world *w);

#define SIM_POOL "eeeeeeee-0000-4000-8000-000000000001"
/* Where the host's volumes lie. */
struct volume_backend *volumes_of(struct world *w, struct host *h);

/* ---- hosts.c: agents, and the faulty network between them and the control plane */
void hosts_open(struct world *w);
void hosts_close(struct world *w);
void host_event(struct world *w, const struct event *ev);
void host_touched(void *world, const char *host_id);
void kill_agent(struct world *w, struct host *h);

/* ---- moves.c: from host to host */
struct move_sender sim_moves(struct host *h);
/* What a server's row says of its hosts, and of boots that come with a move, which no user asks for
 * by themselves. Before the rest of it is compared. */
void check_moved(struct world *w, struct known *k, const char *host_id, const char *other_id,
                 enum server_state state, int64_t boot_seq);
/* The guest stands on a host only for the time until another one has all of it. */
bool stands_for_move(const struct known *k, const struct host *h, const struct guest_state *is);
/* The state that a server has in the database. */
enum server_state state_in_db(struct world *w, const char *id);

MUST_USE struct err *read_items(struct world *w, struct host *h, int64_t since, struct buf *ret,
                                bool *ret_any);

/* ---- failures.c: hosts without power, network or lease */
bool host_is_cut(const struct world *w, const struct host *h);
bool host_is_dead(const struct world *w, const struct host *h);
void beat_is_sent(struct world *w, struct host *h);
bool failure_event(struct world *w, const struct event *ev); /* it was one */
void guards_act(struct world *w);                            /* whenever time has passed */
void fail_some_host(struct world *w);
void on_job(struct world *w);
void job_restarts(struct world *w);

/* ---- users.c: what they do next, all together */
void user_acts(struct world *w);
void delete_all(struct world *w);
void delete_all_volumes(struct world *w);
/* An answer that is not the right one; a failing store may say 503. */
void check_answer(struct world *w, const char *what, const char *id, int status, int right);

/* ---- user_servers.c, user_volumes.c: a kind of request, drawn once, made once or twice */
struct request {
    struct known *server;
    struct known_volume *volume;
    struct known_snapshot *snapshot;
    const struct server_op *server_op;
    const struct volume_op *volume_op;
    void (*send)(struct world *w, const struct request *rq);
};
/* Some server there ever was, mostly one that is there; NULL: none. */
struct known *some_server(struct world *w);
struct known_volume *some_volume(struct world *w);
struct request draw_server_request(struct world *w);
struct request draw_volume_request(struct world *w);
void delete_server(struct world *w, struct known *k);
void delete_volume(struct world *w, struct known_volume *v);
void delete_snapshot(struct world *w, struct known_snapshot *s);
struct known_volume *volume_by_id(struct world *w, const char *id);
struct known_snapshot *snapshot_by_id(struct world *w, const char *id);
struct known *server_by_id(struct world *w, const char *id);

/* ---- check.c */
enum cause { BY_USER, BY_AGENT, BY_SWEEP, BY_JOB };
/* After each step of the control plane. created: the id of what was made by a request that was
 * acknowledged just now. */
void check_safety(struct world *w, enum cause by, const char *created);
/* The part that an agent's step can break. */
void check_hosts(struct world *w);
/* Nobody is past a deadline right after a sweep. */
void check_swept(struct world *w);
/* A host sends these bytes as this image. */
void check_export(struct world *w, const struct host *h, const char *image_id, const char *path);
/* What is not as it was promised, or NULL: long after everything has healed there is nothing. */
const char *check_settled(struct world *w);
/* The same after everything was deleted: nothing is left. */
const char *check_empty(struct world *w);

/* ---- check_servers.c, check_volumes.c: the parts of these */
void server_state_began(const struct world *w, struct known *k);
bool check_servers(struct world *w, enum cause by, const char *created); /* something moved */
bool check_volumes(struct world *w, enum cause by, const char *created);
void check_guests(struct world *w);
void check_disks(struct world *w);
const char *wrong_servers(struct world *w);
const char *wrong_volumes(struct world *w);
/* Its row says another host than before; anew: and that it is to be built once more. */
void server_took_over(struct world *w, struct known *k, const char *host_id, bool wanted_on,
                      bool anew, enum cause by);
void check_evacuated(struct world *w);
/* How many volumes of this host can't be made any more. */
size_t orphans_on(struct world *w, const char *host_id);
struct host *host_of(struct world *w, const char *id);
/* Lately; or it could not be, as there was no control plane. */
bool heard_of(struct world *w, const char *host_id);
MUST_USE struct err *load_rows(struct world *w, const struct stmt *st, struct db_rows *ret);
