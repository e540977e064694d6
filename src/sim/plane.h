/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A small control plane for the simulator: servers, one network and one router each belongs to, as
 * three kinds of items on the real feed (fleet/). Its rules are compute's, cut down to power,
 * reboots, rebuilds and deletion.
 */
#pragma once

#include "fleet/fleet.h"

enum { PLANE_NETWORKS = 3 };

struct plane_server {
    const char *id, *host_id, *port_id, *status;
    int64_t network, boot_seq, reset_seq, build_seq;
    bool power_on, deleted;
};

extern const struct service plane_service; /* its table */
void plane_register(void);

/* Each within the caller's transaction. */
MUST_USE struct err *plane_create(struct ctx *cx, struct tx *tx, const char *host_id,
                                  const char **ret_id);
/* Some server, and something its status allows; nothing if there is none. ret_what tells (for
 * traces). */
MUST_USE struct err *plane_random_op(struct ctx *cx, struct tx *tx, const char **ret_what);
MUST_USE struct err *plane_delete(struct ctx *cx, struct tx *tx, const struct plane_server *s);
MUST_USE struct err *plane_servers(struct ctx *cx, struct tx *tx, struct plane_server **ret,
                                   size_t *ret_n);
/* Networks that have a server of this host. */
MUST_USE struct err *plane_networks_on(struct ctx *cx, struct tx *tx, const char *host_id,
                                       size_t *ret_n);
