/* SPDX-License-Identifier: EUPL-1.2 */
/* Runs a helper program (qemu-img, genisoimage) to its end, within a time, with what it says on
 * standard error kept. */
#pragma once

#include "base/base.h"

#define TOOL_FD_FIRST 3

struct tool {
    const char *const *argv; /* argv[0] is looked up in PATH */
    int64_t timeout_ms;
    /* Not 0: it reads what users made and may be talked into anything, so it runs as this user
     * (and group) without privilege, network or core dumps. Only where we are root. */
    uid_t uid;
    const int *fds; /* fds[i] becomes descriptor TOOL_FD_FIRST + i; nothing else stays open */
    size_t n_fds;
};
/* ret_out (NULL: dropped) gets at most 64 KiB of standard output. The helper dies with us. */
MUST_USE struct err *tool_run_with(struct ctx *cx, const struct tool *t, struct buf *ret_out);
/* As we are, with nothing open. */
MUST_USE struct err *tool_run(struct ctx *cx, const char *const *argv, int64_t timeout_ms,
                              struct buf *ret_out);
/* For a child between fork and exec: all signals as a fresh program finds them. Async-signal-safe.
 */
void child_reset_signals(void);
