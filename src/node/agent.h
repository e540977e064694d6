/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The agent's engine: the items this host was told of, which of them need a look, one step for one
 * of them, and the reports that are still to be delivered. No thread, no clock and no socket of its
 * own: the loop (loop.h) drives it with workers and HTTP, the simulator with virtual time. All
 * functions may be called from any thread; a step runs outside the lock, at most one at a time for
 * one item.
 */
#pragma once

#include "node/drivers/driver.h"

struct agent;
struct item;

enum item_kind {
    ITEM_NETWORK,
    ITEM_ROUTER,
    ITEM_VOLUME,
    ITEM_SERVER,
    ITEM_EXPORT,
    ITEM_IMAGE,
    ITEM_KINDS
};
/* A set of kinds: 1 << kind. Servers that leave for another host are one by themselves: sending
 * takes long. */
enum { LEAVING_SERVERS = 1 << ITEM_KINDS, ALL_KINDS = 2 * LEAVING_SERVERS - 1 };
const char *item_kind_name(enum item_kind kind);

/* Where images come from: the cache (image_cache.h), or the simulator's. */
struct image_source {
    /* Starts fetching it when it isn't here; agent_poke() follows once it is. A fetch that failed
     * is told once. */
    struct err *(*want)(struct ctx *cx, void *arg, const struct spec_image *image, bool *ret_here);
    /* Kept for this user (an id, or "volume-ID": what stands on it), until it uses another, or
     * unuse: its path. */
    struct err *(*use)(struct ctx *cx, void *arg, const char *user, const struct spec_image *image,
                       const char **ret_path);
    void (*unuse)(void *arg, const char *user);
    void *arg;
    /* Ids after "image-" of such users (CACHED_IMAGE); NULL: none is kept so. */
    struct err *(*kept)(struct ctx *cx, void *arg, const char ***ret_ids, size_t *ret_n);
};
#define CACHED_IMAGE "image-" /* + ID: the user that keeps an image which is only wanted */

/* Makes a new raw file of a qcow2 one, both given by their paths; fn NULL: this host makes none. */
struct raw_maker {
    struct err *(*fn)(struct ctx *cx, void *arg, const char *from, const char *to);
    void *arg;
};

/* Where exported disks go. */
struct export_sender {
    /* The file becomes the image's data; that it is already is success. */
    struct err *(*send)(struct ctx *cx, void *arg, const char *image_id, const char *path);
    void *arg;
    struct raw_maker raw;
};

/* How parts of a guest come to other hosts' agents; NULL: they don't. See move_link. */
struct move_sender {
    struct err *(*open)(struct ctx *cx, void *arg, const struct spec_move *to,
                        const char *server_id, const char *part, int *ret_fd);
    struct err *(*end)(struct ctx *cx, void *arg, const struct spec_move *to,
                       const char *server_id, const char *text);
    void *arg;
};

struct agent_setup {
    struct guest_backend guests;
    struct net_backend net;
    struct volume_backend volumes; /* ops NULL: this host keeps none */
    struct volume_backend shared;  /* on storage shared with other hosts; ops NULL: there is none */
    const char *pool_id;           /* of that storage */
    struct image_source images;
    struct export_sender exports;
    struct move_sender moves;
    const char *dir; /* for files of the agent's own: DIR/exports, DIR/passwords; NULL: it keeps
                      * none, and exports nothing */
    int64_t shutdown_timeout_us; /* from asking a guest to go off to forcing it; 0: 60 s */
    /* There is something to do or to report: from any thread, must not call back. NULL: nobody
     * cares. */
    void (*wake)(void *arg);
    void *wake_arg;
};

/* Lets neither guests nor networks nor volumes go: the drivers stay the caller's. */
struct agent *agent_new(const struct agent_setup *setup);
void agent_free(struct agent *a);

/* ---- what is desired ---- */

/* The revision to ask the next watch with; 0: everything. */
int64_t agent_revision(struct agent *a);
/*
 * An answer to items?since=. Late and doubled ones are left aside. A full answer that names
 * something, but not an item known here, counts against that item; the second in a row lets it go.
 * An empty full answer removes nothing: it is what a control plane with a fresh database says.
 * Before the first sweep all are left aside: it isn't known yet which guest has which volume.
 */
MUST_USE struct err *agent_take(struct ctx *cx, struct agent *a, int64_t since,
                                const json_t *answer);
/* Looks for guests, networks, routers, volumes and exports on the host that no item stands for; the
 * next full answers decide on them. */
MUST_USE struct err *agent_sweep(struct ctx *cx, struct agent *a);

/* ---- the lease (docs/adr/0016-host-failure.md) ---- */

/* Guests whose spec says `ha` run until then only (boot_us). True: they don't start before
 * agent_lease_heard, as the host was without a lease before. */
bool agent_lease(struct ctx *cx, struct agent *a, int64_t until_us);
/* What an earlier process had, for guests that run: none starts. */
void agent_lease_resume(struct agent *a, int64_t until_us);
/* An answer to items?since= that was asked for under the lease: what it says is taken by now,
 * unless it is of a later revision. */
void agent_lease_heard(struct ctx *cx, struct agent *a, const json_t *answer);

/* ---- work ---- */

/* An item of these kinds that is due and that nobody works on, claimed; else NULL and when to ask
 * again (monotonic; INT64_MAX: never). */
struct item *agent_claim(struct agent *a, unsigned kinds, int64_t mono_us, int64_t *ret_next_us);
/* One step for it. Gives the claim back. */
void agent_step(struct ctx *cx, struct agent *a, struct item *it);
/* Everything, or what waits for something else, or one guest, is due now. */
void agent_poke_all(struct agent *a);
void agent_poke(struct agent *a);
void agent_guest_changed(void *agent, const char *server_id);

/* Servers that are being sent to other hosts are not any more: the agent ends. */
void agent_stop_sending(struct agent *a);

/* ---- what other hosts send ---- */

/* The server is to come here from this host, in this move (seq), and what it will stand on is here.
 * ERR_NOT_FOUND, ERR_FORBIDDEN, ERR_CONFLICT. peer NULL: whoever knows the token. */
MUST_USE struct err *agent_may_receive(struct ctx *cx, struct agent *a, const char *server_id,
                                       int64_t seq, const char *peer);
MUST_USE struct err *agent_receive_end(struct ctx *cx, struct agent *a, const char *server_id,
                                       int64_t seq, const char *peer, const char *text);

/* ---- reports ---- */

struct report_batch;
/* The latest report of each item that has an undelivered one, at most max: {"reports":[…]}. NULL:
 * nothing to say. */
struct report_batch *agent_reports(struct ctx *cx, struct agent *a, size_t max,
                                   struct buf *ret_body);
/* The control plane has them. */
void agent_reports_done(struct agent *a, const struct report_batch *batch);

/* ---- for metadata, metrics and tests ---- */

/* The desired server that has this address in this network (its id, or the start of it); copied
 * into the arena. */
bool agent_server_by_ip(struct ctx *cx, struct agent *a, const char *network_id, const char *ip,
                        struct spec_server *ret);
bool agent_knows_server(struct agent *a, const char *id);
/* What the guest of a desired server leaves of its password, once: ERR_CONFLICT when there is one,
 * ERR_INVALID when it is no text or too long. */
MUST_USE struct err *agent_leave_password(struct ctx *cx, struct agent *a, const char *server_id,
                                          const char *text, size_t len);
/* The control plane has what it left, or there is nothing to tell. */
bool agent_password_told(struct ctx *cx, struct agent *a, const char *server_id);

struct agent_stats {
    size_t items[ITEM_KINDS], busy, due, failing, undelivered;
    uint64_t steps, actions, failures;
};
void agent_get_stats(struct agent *a, int64_t mono_us, struct agent_stats *ret);
