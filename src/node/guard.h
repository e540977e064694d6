/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The guard: a process beside the agent that ends guests with `ha` when the host's lease does,
 * whatever became of the agent. It knows nothing but files: the lease (host_lease.h), which guests
 * (DIR/ha/ID), and their processes (the guest driver's records).
 */
#pragma once

#include "base/base.h"

struct guard;
/* The lease of DIR, and (spawn) a guard for it: `colvert guard`, this program again. */
MUST_USE struct err *guard_open(struct ctx *cx, const char *dir, bool spawn, struct guard **ret);
/* The guard stays while it has something to guard. NULL: none. */
void guard_close(struct guard *g);
int64_t guard_until(struct guard *g); /* boot_us; 0: no lease */
/* Longer, if there is a guard to see to its end. */
MUST_USE struct err *guard_extend(struct ctx *cx, struct guard *g, int64_t until_us);

/* `colvert guard DIR PID`: until a newer guard is there, or the agent PID is gone and no guest with
 * `ha` runs. */
int guard_main(const char *dir, const char *agent_pid);
