/* SPDX-License-Identifier: EUPL-1.2 */
/* What the wiring needs of the volume service. */
#pragma once

#include "resource/api.h"

extern const struct service volume_service;

struct volume_config {
    const char *default_zone; /* of hosts that name none; NULL: "nova" */
    /* What others promise of hosts' disks: rows of host id and GiB. NULL: nothing. */
    struct err *(*used_elsewhere)(struct ctx *cx, struct tx *tx, struct db_rows *ret);
    /* Zones that others put hosts in: rows of host id and name. NULL: none. */
    struct err *(*zones)(struct ctx *cx, struct tx *tx, struct db_rows *ret);
    /* A server's volume is being extended, and is no longer. NULL: nobody wants to know. */
    struct err *(*extending)(struct call *c, const char *server_id);
    struct err *(*extended)(struct ctx *cx, struct tx *tx, const char *server_id, bool good);
};
/* Once, at start, before requests. Text is kept, not copied. Registers the kind "volume" with the
 * fleet, and what to do with finished exports with the image service. */
void volume_configure(const struct volume_config *cfg);

/* Whether a volume on this host is being made from the image. */
MUST_USE struct err *volume_uses_image(struct ctx *cx, struct tx *tx, const char *host_id,
                                       const char *image_id, bool *ret);

/* The default type, where it isn't there. Idempotent. */
MUST_USE struct err *volume_bootstrap(struct ctx *cx, struct store *s);

/*
 * Deadlines: whatever has been in transition for too long takes its way out. Each few seconds by
 * any number of processes (rows are compared and swapped). ret_changed: how many rows moved.
 */
MUST_USE struct err *volume_sweep(struct ctx *cx, struct store *s, size_t *ret_changed);
