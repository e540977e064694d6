/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The host's lease as a file that several processes have mapped: until when guests with `ha` may
 * run here. One of an earlier run of the host's kernel is none.
 */
#pragma once

#include "base/base.h"

struct host_lease {
    _Atomic int64_t *until_us; /* CLOCK_BOOTTIME */
    _Atomic int64_t *guards;   /* how many there were: an older guard ends by itself */
    void *map;
};
/* DIR/lease, made if need be. */
MUST_USE struct err *host_lease_open(struct ctx *cx, const char *dir, struct host_lease *ret);
void host_lease_close(struct host_lease *l);
