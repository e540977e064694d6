/* SPDX-License-Identifier: EUPL-1.2 */
/* What the wiring needs of the compute service. */
#pragma once

#include "resource/api.h"
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

/* A server's volume is being extended, and is no longer: a record among its actions. */
MUST_USE struct err *compute_volume_extending(struct call *c, const char *server_id);
MUST_USE struct err *compute_volume_extended(struct ctx *cx, struct tx *tx, const char *server_id,
                                             bool good);

/* The default flavors, where they aren't there. Idempotent. */
MUST_USE struct err *compute_bootstrap(struct ctx *cx, struct store *s);

/*
 * Deadlines: whatever has been in transition for too long takes its way out. Each few seconds by
 * any number of processes (rows are compared and swapped). ret_changed: how many servers moved.
 */
MUST_USE struct err *compute_sweep(struct ctx *cx, struct store *s, size_t *ret_changed);
