/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A small control plane for the simulator: servers, one network and one router each belongs to, as
 * three kinds of items on the real feed (fleet/). Its rules are compute's, cut down to power,
 * reboots, rebuilds and deletion.
 */
#pragma once

#include "fleet/fleet.h"

enum { PLANE_NETWORKS = 3 };
/* Every server's image is the one byte "x". */
#define PLANE_IMAGE_SHA512                                                                         \
    "a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238bc13626e43dcb38ddb082488927ec" \
    "904fb42057443983e88585179d50551afe62"

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
