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
/* On every host (networks and routers of the kernel driver, which one host carries). */
MUST_USE struct err *fleet_touch_all(struct ctx *cx, struct tx *tx, const char *kind,
                                     const char *item_id);

/* What placement needs to know of hosts, without what runs on them (compute knows that). */
struct fleet_host {
    const char *id, *name, *zone, *hypervisor_type, *agent_url, *cpu_info, *disabled_reason;
    int64_t vcpus, memory_mib, disk_gib, hypervisor_version, last_seen_us, created_us, updated_us;
    int64_t revision; /* of its feed: each change of what is desired there raises it */
    bool enabled, alive;
    bool forced_down;       /* an administrator says so: not alive, whatever its agent does */
    const char *uptime;     /* as uptime(1) has it; NULL: its agent doesn't tell */
    const char *secret_sha256; /* what calls to its agent are proved with */
};
MUST_USE struct err *fleet_hosts(struct ctx *cx, struct tx *tx, struct fleet_host **ret,
                                 size_t *ret_n);
MUST_USE struct err *fleet_host_get(struct ctx *cx, struct tx *tx, const char *host_id,
                                    struct fleet_host *ret);
MUST_USE struct err *fleet_host_set_enabled(struct ctx *cx, struct tx *tx, const char *host_id,
                                            bool enabled, const char *reason);
/* What is known of the host changed, nothing that its agent is told: raises its revision. */
MUST_USE struct err *fleet_host_changed(struct ctx *cx, struct tx *tx, const char *host_id);
MUST_USE struct err *fleet_host_force_down(struct ctx *cx, struct tx *tx, const char *host_id,
                                           bool down);
/* Its agent is a stranger from then on. Nothing must be left that runs there: the caller knows. */
MUST_USE struct err *fleet_host_remove(struct ctx *cx, struct tx *tx, const char *host_id);
/* GET path on the host's agent (console output): ERR_UNAVAILABLE when it can't be reached. Outside
 * any transaction. */
MUST_USE struct err *fleet_call(struct ctx *cx, const struct fleet_host *host, const char *path,
                                struct buf *ret_body, int *ret_status);
/* A connection to what the path names there (a guest's screen); non-blocking, the caller's. What
 * has come already is in ret_early. Outside any transaction. */
MUST_USE struct err *fleet_stream(struct ctx *cx, const struct fleet_host *host, const char *path,
                                  int *ret_fd, struct buf *ret_early);
/* Makes (or finds) a host row with this name and secret: returns its id. Bootstrap and `colvert
 * admin host-add`. */
MUST_USE struct err *fleet_host_add(struct ctx *cx, struct tx *tx, const char *name,
                                    const char *secret, const char **ret_id);

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
MUST_USE struct err *fleet_beat(struct ctx *cx, struct tx *tx, const char *host_id,
                                const json_t *body);
/* The feed's answer; *ret_any false when nothing changed since. */
MUST_USE struct err *fleet_items(struct ctx *cx, struct tx *tx, const char *host_id, int64_t since,
                                 struct jw *w, bool *ret_any);
MUST_USE struct err *fleet_reports(struct ctx *cx, struct tx *tx, const char *host_id,
                                   const json_t *body, struct jw *w);
