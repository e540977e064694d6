/* SPDX-License-Identifier: EUPL-1.2 */
/* Powering a prepared guest on. */
#pragma once

#include "node/drivers/qemu/guests.h"

/* The guest doesn't run. On return it does, and its record says so; on error no process of it is
 * left. taps and volumes: as the spec has them. resume: from saved memory, on the recorded machine,
 * whose devices are all in the spec. */
MUST_USE struct err *guest_start(struct ctx *cx, struct guest *g, const struct spec_server *spec,
                                 const int *taps, const struct volume_access *volumes, bool resume);
