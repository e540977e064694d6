/* SPDX-License-Identifier: EUPL-1.2 */
/* Runs a helper program (qemu-img, genisoimage) to its end, within a time, with what it says on
 * standard error kept. */
#pragma once

#include "base/base.h"

/* argv[0] is looked up in PATH. ret_out (NULL: dropped) gets at most 64 KiB of standard output. The
 * helper dies with us. */
MUST_USE struct err *tool_run(struct ctx *cx, const char *const *argv, int64_t timeout_ms,
                              struct buf *ret_out);
/* For a child between fork and exec: all signals as a fresh program finds them. Async-signal-safe.
 */
void child_reset_signals(void);
