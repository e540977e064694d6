/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Hosts and what they are told: the change feed that agents watch. Services say that an item
 * changed on a host (fleet_touch); the item's desired state is read from the services' own tables
 * when the agent asks, never copied.
 */
#pragma once

#include "resource/api.h"

/* A kind of item, owned by one service. */
struct fleet_kind {
    const char *name; /* "server", "network", "router" */
    /* Writes the spec object; *ret_present false (and nothing written) when it is no longer wanted
     * on this host. */
    struct err *(*view)(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                        struct jw *w, bool *ret_present);
    /* Ids of every item wanted on this host. */
    struct err *(*list)(struct ctx *cx, struct tx *tx, const char *host_id,
                        struct db_rows *ret_ids);
    /* What the agent saw. Repeats and late ones must do no harm. */
    struct err *(*report)(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                          const json_t *observed);
};
void fleet_add_kind(const struct fleet_kind *kind); /* at start-up, static memory */

/* The item changed on this host; wakes its agent when the transaction commits. */
MUST_USE struct err *fleet_touch(struct ctx *cx, struct tx *tx, const char *host_id,
                                 const char *kind, const char *item_id);
/* Of the item's latest word to this host, which its reports repeat; 0: never touched. */
MUST_USE struct err *fleet_revision(struct ctx *cx, struct tx *tx, const char *host_id,
                                    const char *kind, const char *item_id, int64_t *ret);
/* On the hosts of these rows, by their first column, and on all that were told of the item before.
 */
MUST_USE struct err *fleet_touch_these(struct ctx *cx, struct tx *tx, const char *kind,
                                       const char *item_id, const struct db_rows *hosts);
/* On every host (networks and routers of the kernel driver, which one host carries). */
MUST_USE struct err *fleet_touch_all(struct ctx *cx, struct tx *tx, const char *kind,
                                     const char *item_id);

/* What placement needs to know of hosts, without what runs on them (compute knows that). */
struct fleet_host {
    const char *id, *name, *zone, *hypervisor_type, *agent_url, *cpu_info, *disabled_reason;
    int64_t vcpus, memory_mib, disk_gib, hypervisor_version, last_seen_us, created_us, updated_us;
    int64_t revision; /* of its feed: each change of what is desired there raises it */
    bool enabled, alive;
    bool forced_down;          /* an administrator says so: not alive, whatever its agent does */
    const char *uptime;        /* as uptime(1) has it; NULL: its agent doesn't tell */
    const char *secret_sha256; /* what calls to its agent are proved with; "": by certificates */
    const char *pool_id;       /* the shared storage that its volumes lie on; NULL: its own disk */
    int64_t pool_gib;          /* what the pool holds in all */
    bool enrolled;             /* it has joined with a token, and shows a certificate */
    /* What must stop without a lease has stopped there after this; its heartbeats have prolonged
     * the lease without a gap since then. */
    int64_t lease_until_us, leased_since_us;
};
/* Its lease is over: no guest with `ha` runs there. */
bool fleet_host_silent(struct ctx *cx, const struct fleet_host *h);
/*
 * It was told something at told_us, and is not waited for any more: it is not there, or it has been
 * away for minutes, and not because nobody listened.
 */
MUST_USE struct err *fleet_host_lost(struct ctx *cx, struct tx *tx, const char *host_id,
                                     int64_t told_us, bool *ret);
/* Every few seconds by whoever asks that: this process has its database, so hosts can be heard. */
void fleet_listens(struct ctx *cx, struct store *s);
MUST_USE struct err *fleet_hosts(struct ctx *cx, struct tx *tx, struct fleet_host **ret,
                                 size_t *ret_n);
MUST_USE struct err *fleet_host_get(struct ctx *cx, struct tx *tx, const char *host_id,
                                    struct fleet_host *ret);
/* Its id; NULL: there is none of this name. */
MUST_USE struct err *fleet_host_named(struct ctx *cx, struct tx *tx, const char *name,
                                      const char **ret_id);
MUST_USE struct err *fleet_host_set_enabled(struct ctx *cx, struct tx *tx, const char *host_id,
                                            bool enabled, const char *reason);
/* What is known of the host changed, nothing that its agent is told: raises its revision. */
MUST_USE struct err *fleet_host_changed(struct ctx *cx, struct tx *tx, const char *host_id);
/* What is held on the host changed (NULL: on any): for those who keep it in memory, see
 * fleet_on_difference. Whatever touches the host, or changes it, says so by itself. */
void fleet_host_differs(struct ctx *cx, struct tx *tx, const char *host_id);
/* fn runs after each commit, of any process, that changed something about the host, or (NULL)
 * may have about any. Once, at start-up. */
void fleet_on_difference(void (*fn)(struct store *store, const char *host_id));
/* For store_listen: another process has committed this topic; NULL: some may have gone unheard. */
void fleet_hears(struct store *store, const char *topic);
/* Of all hosts, what changes without a word: a short row each, in any order. */
struct fleet_pulse {
    const char *id;
    int64_t revision, vcpus, memory_mib, disk_gib;
    bool enabled, alive;
};
MUST_USE struct err *fleet_pulses(struct ctx *cx, struct tx *tx, struct fleet_pulse **ret,
                                  size_t *ret_n);
MUST_USE struct err *fleet_host_force_down(struct ctx *cx, struct tx *tx, const char *host_id,
                                           bool down);
/* Its agent is a stranger from then on. Nothing must be left that runs there: the caller knows. */
MUST_USE struct err *fleet_host_remove(struct ctx *cx, struct tx *tx, const char *host_id);
/* GET path on the host's agent (console output): ERR_UNAVAILABLE when it can't be reached. Outside
 * any transaction. */
MUST_USE struct err *fleet_call(struct ctx *cx, const struct fleet_host *host, const char *path,
                                struct buf *ret_body, int *ret_status);
/* A connection to what the path names there (a guest's screen); non-blocking, the caller's. What
 * has come already is in ret_early. Outside any transaction. fleet_stream_end closes it; it is shut
 * down when its host is removed. */
MUST_USE struct err *fleet_stream(struct ctx *cx, const struct fleet_host *host, const char *path,
                                  int *ret_fd, struct buf *ret_early);
void fleet_stream_end(int *fd);
/* Makes (or finds) a host row with this name and secret: returns its id. For agents on
 * control planes' own machines: bootstrap and `colvert admin host-add`. */
MUST_USE struct err *fleet_host_add(struct ctx *cx, struct tx *tx, const char *name,
                                    const char *secret, const char **ret_id);

/*
 * The region's network writer: a host that is told of all networks and routers and has nothing
 * else, so fleet_hosts leaves it out. Made, or found, as by fleet_host_add.
 */
#define FLEET_WRITER "network-writer"
MUST_USE struct err *fleet_writer_add(struct ctx *cx, struct tx *tx, const char *secret,
                                      const char **ret_id);
/* Its id; NULL: there is none. */
MUST_USE struct err *fleet_writer(struct ctx *cx, struct tx *tx, const char **ret_id);
MUST_USE struct err *fleet_is_writer(struct ctx *cx, struct tx *tx, const char *host_id, bool *ret);

/* ---- hosts on other machines ---- */

/* A host by this name, and the secret that it may join with once, within ttl_s (wipe it). again: it
 * may have joined before. ERR_EXISTS. */
MUST_USE struct err *fleet_host_invite(struct ctx *cx, struct tx *tx, const char *name, bool again,
                                       int64_t ttl_s, const char **ret_id, char **ret_secret);
/* Its certificates and its token are good for nothing from then on; the host stays. */
MUST_USE struct err *fleet_host_revoke(struct ctx *cx, struct tx *tx, const char *host_id);
/* All hosts, as the operator sees them. */
struct fleet_member {
    const char *id, *name, *agent_url, *version;
    bool local; /* the control plane's own machine: it has a secret, no certificate */
    bool forced_down;
    int64_t lease_until_us;
    int64_t last_seen_us, cert_until_us, token_until_us; /* 0: never, none; of an unused token */
};
MUST_USE struct err *fleet_members(struct ctx *cx, struct tx *tx, struct fleet_member **ret,
                                   size_t *ret_n);
/* What the process vouches with; PEM, lives as long as the process. */
struct fleet_authority {
    const char *authorities; /* whom hosts are to trust: the issuer, and others */
    const char *issuer, *issuer_key;
    const char *control_cert, *control_key; /* what this process shows to hosts */
    int64_t cert_ttl_s;                     /* of hosts' certificates */
};
#define FLEET_CONTROL_PEER "control.colvert"               /* the name in control_cert */
void fleet_set_authority(const struct fleet_authority *a); /* at start-up; NULL: no hosts join */
/* For api_hooks: the host by its certificate's fingerprint. ERR_FORBIDDEN: it is not `host`, an id
 * or a name. */
MUST_USE struct err *fleet_authenticate_cert(struct ctx *cx, struct tx *tx, const char *sha256,
                                             const char *host, struct actor *ret);
/* Ends what is open still of certificates that are good no more: on this server, and streams. */
MUST_USE struct err *fleet_cut_gone(struct ctx *cx, struct store *store, struct http_server *s);

/* ---- for the wiring ---- */

extern const struct service fleet_service; /* tables, and the routes of the agents' protocol */
/* For api_hooks: the host (its id or its name) by its secret. */
MUST_USE struct err *fleet_authenticate(struct ctx *cx, struct tx *tx, const char *secret,
                                        const char *host, struct actor *ret);
/* fn(arg, host_id) runs after each commit that touched a host's items. fleet_wake_api with the api
 * as arg does what is needed. */
void fleet_on_change(void (*fn)(void *arg, const char *host_id), void *arg);
void fleet_wake_api(void *api, const char *host_id);
/* Opens an image's file for the host's agent: ERR_NOT_FOUND when there is none, or none that the
 * host has a use for. */
typedef struct err *fleet_image_fn(struct ctx *cx, struct tx *tx, const char *host_id,
                                   const char *image_id, int *ret_fd, int64_t *ret_size);
void fleet_set_images(fleet_image_fn *fn);
/* An image's bytes that a host sends: the parts of the route that takes them, which is here, are
 * the image service's. */
struct fleet_upload {
    struct err *(*begin)(struct call *c, struct http_sink **ret_sink);
    struct err *(*settle)(struct call *c); /* before the transaction */
    struct err *(*end)(struct call *c);    /* inside it */
};
void fleet_set_upload(const struct fleet_upload *upload); /* at start-up, static memory */

/* ---- the protocol without HTTP (the routes and the simulator) ---- */

#define FLEET_HEARTBEAT_S 10 /* a host not heard of in three of them is not alive */
/*
 * The lease that a heartbeat gives its host, counted by the host from sending it, and here so much
 * longer from taking it: for clocks of several processes, and for guests to be killed.
 */
#define FLEET_LEASE_S 25
#define FLEET_LEASE_MARGIN_S 10
void fleet_set_lease(int64_t lease_s); /* at start-up */
int64_t fleet_lease_span_us(void);     /* with the margin */
/* Runs in the transaction in which a host's name in OVN becomes another one. Once, at start-up. */
typedef struct err *fleet_chassis_fn(struct ctx *cx, struct tx *tx, const char *host_id);
void fleet_on_chassis(fleet_chassis_fn *fn);
/* host id → its name in OVN, of those that told one. */
MUST_USE struct err *fleet_chassis(struct ctx *cx, struct tx *tx, const char *const *host_ids,
                                   size_t n, json_t **ret);
/* What the answer to a heartbeat says; 0: the host is forced down, and gets none. */
MUST_USE struct err *fleet_lease_s(struct ctx *cx, struct tx *tx, const char *host_id,
                                   int64_t *ret);
MUST_USE struct err *fleet_beat(struct ctx *cx, struct tx *tx, const char *host_id,
                                const json_t *body);
/* The feed's answer; *ret_any false when nothing changed since. */
MUST_USE struct err *fleet_items(struct ctx *cx, struct tx *tx, const char *host_id, int64_t since,
                                 struct jw *w, bool *ret_any);
MUST_USE struct err *fleet_reports(struct ctx *cx, struct tx *tx, const char *host_id,
                                   const json_t *body, struct jw *w);
