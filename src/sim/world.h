/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The simulator: a control plane on a database in memory and some hosts' agents with fake drivers,
 * in one thread and virtual time. Everything that happens is an event; chance comes from one seed,
 * so that a failure can be run again.
 */
#pragma once

#include "base/base.h"

struct sim_config {
    uint64_t seed;
    unsigned steps; /* operations of users */
    unsigned hosts;
    bool pool; /* volumes lie on storage that all hosts reach */
    bool trace;
    uint64_t *ret_fingerprint; /* NULL, or where a number made of all that happened goes */
};

/* True: nothing went wrong. Else what did is on standard error, with the seed. */
bool sim_run(const struct sim_config *cfg);
