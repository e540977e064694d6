/* SPDX-License-Identifier: EUPL-1.2 */
/* Placement: pure functions over a snapshot of hosts. Knows nothing of stores or APIs. */
#pragma once

#include "base/base.h"

struct place_host {
    const char *id, *name, *zone, *disabled_reason;
    bool enabled, alive;
    int64_t vcpus, memory_mib, disk_gib;                /* what there is */
    int64_t used_vcpus, used_memory_mib, used_disk_gib; /* what is promised to servers already */
    int64_t servers;
};

struct place_policy {
    int64_t vcpu_percent, memory_percent,
        disk_percent; /* of what there is may be promised: 1600 is sixteen times */
};
extern const struct place_policy place_policy_default;

struct place_request {
    int64_t vcpus, memory_mib, disk_gib;
    const char *zone; /* NULL: any */
    const char
        *host; /* name; NULL: any. An administrator's choice: the other filters hold all the same */
};

/*
 * The best host's index, or -1. Then *ret_reason says, filter by filter, how many hosts were
 * refused for what
 * ("3 hosts: 2 lack memory (need 4096 MiB, most free 2048 on h1), 1 disabled (maintenance)"); a
 * host counts for the first filter it fails.
 */
int place(struct ctx *cx, const struct place_policy *policy, const struct place_host *hosts,
          size_t n, const struct place_request *rq, const char **ret_reason);
/* Books the request on the host, for the next one of the same snapshot. */
void place_book(struct place_host *host, const struct place_request *rq);
