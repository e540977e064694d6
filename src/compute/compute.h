/* SPDX-License-Identifier: EUPL-1.2 */
/* What the wiring needs of the compute service. */
#pragma once

#include "resource/api.h"
#include "store/lease.h"
#include "schedule/schedule.h"

extern const struct service compute_service;

struct compute_config {
    const char *default_zone; /* of hosts that name none */
    struct place_policy placement;
    /* Of hosts that neither say otherwise themselves nor by an aggregate. */
    struct place_ratios ratios;
    int64_t reserved_vcpus, reserved_memory_mib, reserved_disk_gib;
    int64_t servers_max; /* on one host; 0: any number */
};
/* Once, at start, before requests. Text is kept, not copied. Registers the kind "server" with the
 * fleet. */
void compute_configure(const struct compute_config *cfg);

/* Whether a server on this host is made from the image. */
MUST_USE struct err *compute_uses_image(struct ctx *cx, struct tx *tx, const char *host_id,
                                        const char *image_id, bool *ret);

/* GiB of hosts' disks that servers are promised: rows of host id and sum. */
MUST_USE struct err *compute_disk_by_host(struct ctx *cx, struct tx *tx, struct db_rows *ret);
/* Availability zones of hosts that an aggregate puts in one: rows of host id and name. */
MUST_USE struct err *compute_zone_by_host(struct ctx *cx, struct tx *tx, struct db_rows *ret);

/* ---- what /placement tells of hosts, and sets ---- */

/* All hosts with what they can, hold and promise, by name. */
MUST_USE struct err *compute_hosts(struct ctx *cx, struct tx *tx, struct place_host **ret,
                                   size_t *ret_n);
/* Of one kind of a host's room: "vcpus", "memory" or "disk". ratio 0, reserved -1: as the
 * aggregates and settings say. */
MUST_USE struct err *compute_host_set_room(struct ctx *cx, struct tx *tx, const char *host_id,
                                           const char *kind, int64_t ratio, int64_t reserved);
/* Rows of host id and aggregate id. */
MUST_USE struct err *compute_aggregates_by_host(struct ctx *cx, struct tx *tx, struct db_rows *ret);
/* The host is in these aggregates and no others: what os-aggregates refuses is refused. */
MUST_USE struct err *compute_host_set_aggregates(struct call *c, const char *host_id,
                                                 const char *const *ids, size_t n);
/* Traits that an administrator made up: their names. */
MUST_USE struct err *compute_traits(struct ctx *cx, struct tx *tx, struct db_rows *ret);
/* *ret_made false: it was there. */
MUST_USE struct err *compute_trait_make(struct ctx *cx, struct tx *tx, const char *name,
                                        bool *ret_made);
/* ERR_NOT_FOUND; ERR_IN_USE while a host has it. */
MUST_USE struct err *compute_trait_drop(struct ctx *cx, struct tx *tx, const char *name);
/* Traits of the host besides those that it has by itself. */
MUST_USE struct err *compute_host_set_traits(struct ctx *cx, struct tx *tx, const char *host_id,
                                             const char *const *names, size_t n);
/* What a server holds of its host. */
struct compute_use {
    const char *id, *host_id, *project_id, *user_id;
    int64_t vcpus, memory_mib, disk_gib;
};
/* Of one host, one server, or one project (and user); a NULL matches all. */
MUST_USE struct err *compute_uses(struct ctx *cx, struct tx *tx, const struct compute_use *like,
                                  struct compute_use **ret, size_t *ret_n);

/*
 * How long the choice of hosts took in requests that make servers, what was read for it included:
 * how many took at most compute_placement_us[i] µs, but longer than the one before; one more for
 * those that took longer than all.
 */
enum { PLACEMENT_STEPS = 40 };
extern const int64_t compute_placement_us[PLACEMENT_STEPS];
struct placement_figures {
    struct placement_histogram {
        uint64_t took[PLACEMENT_STEPS + 1], sum_us;
    } wall, cpu; /* waiting included, or the thread's own time alone */
};
void compute_placement_figures(struct placement_figures *ret);

/* A server's volume is being extended, and is no longer: a record among its actions. */
MUST_USE struct err *compute_volume_extending(struct call *c, const char *server_id);
MUST_USE struct err *compute_volume_extended(struct ctx *cx, struct tx *tx, const char *server_id,
                                             bool good);

/* The host leaves the cloud: its agent is a stranger from then on. ERR_CONFLICT while it has
 * servers. */
MUST_USE struct err *compute_host_remove(struct ctx *cx, struct tx *tx, const char *host_id);

/*
 * A host is emptied: nothing new comes there, and each server leaves, live if it runs. One row for
 * each of them, then again as often as wanted: where it is by now.
 */
struct compute_drained {
    const char *id, *name;
    const char *state; /* "MIGRATING", "ACTIVE", …; NULL: it is gone */
    const char *host;  /* its host's name by now */
    const char *why;   /* it stays here, or its move failed; NULL: nothing is wrong */
    bool moves, left;  /* it is on its way; nothing of it is on the host any more */
};
MUST_USE struct err *compute_host_drain(struct ctx *cx, struct store *store, const char *host_id,
                                        const char *reason, struct compute_drained **ret,
                                        size_t *ret_n);
MUST_USE struct err *compute_drain_look(struct ctx *cx, struct store *store, const char *host_id,
                                        struct compute_drained *all, size_t n);

/* The default flavors, where they aren't there. Idempotent. */
MUST_USE struct err *compute_bootstrap(struct ctx *cx, struct store *s);

/* Each second, in each process that answers clients: what placement keeps in memory of hosts is
 * brought up to date, so that creations find it so. */
MUST_USE struct err *compute_tick(struct ctx *cx, struct store *s);

/*
 * Deadlines: whatever has been in transition for too long takes its way out. Each few seconds by
 * any number of processes (rows are compared and swapped). ret_changed: how many servers moved.
 */
MUST_USE struct err *compute_sweep(struct ctx *cx, struct store *s, size_t *ret_changed);

/*
 * Hosts that failed lose their highly available servers to others. Every few seconds, by the
 * process that has the lease (NULL: there is one process). All zero before the first time.
 */
struct host_watch {
    int64_t open_since_us; /* since then hosts could be heard, as far as this process knows */
    size_t n_told, next;
    struct {
        char host_id[40];
        size_t waiting;
    } told[64]; /* in the log */
};
MUST_USE struct err *compute_watch_hosts(struct ctx *cx, struct store *s, const struct lease *l,
                                         struct host_watch *w, size_t *ret_changed);
