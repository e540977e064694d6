/* SPDX-License-Identifier: EUPL-1.2 */
/* The control plane's periodic work, of which each piece is done by one process at a time. */
#pragma once

#include "compute/compute.h"
#include "store/lease.h"

#define JOBS_MS 5000
enum { N_JOBS = 5 };

struct jobs {
    struct store *store;
    struct lease leases[N_JOBS];
    int64_t due_us[N_JOBS];
    struct host_watch hosts;
};
void jobs_init(struct jobs *j, struct ctx *cx, struct store *s);
/* Each JOBS_MS: what is due, and whose lease can be had. */
void jobs_run(struct jobs *j);
/* Lets go of the leases: others need not wait for their end. */
void jobs_fini(struct jobs *j);
