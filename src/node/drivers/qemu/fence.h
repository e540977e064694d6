/* SPDX-License-Identifier: EUPL-1.2 */
/* Ends a guest without its driver: from another process, by what is on record. */
#pragma once

#include "base/base.h"

/* The guest's process, if there is one, is killed and gone on return; the driver finds the guest
 * off, neither crashed nor off by its own doing. ret_running: there was one. */
MUST_USE struct err *qemu_fence(struct ctx *cx, const char *data_dir, const char *server_id,
                                bool *ret_running);
