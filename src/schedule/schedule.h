/* SPDX-License-Identifier: EUPL-1.2 */
/* Placement: pure functions over a snapshot of hosts. Knows nothing of stores or APIs. */
#pragma once

#include "base/base.h"

struct place_pair {
    const char *key, *value;
};

struct place_host {
    const char *id, *name, *zone, *disabled_reason;
    const char *address; /* where it is reached; may be NULL */
    bool enabled, alive;
    int64_t vcpus, memory_mib, disk_gib;                /* what there is */
    int64_t used_vcpus, used_memory_mib, used_disk_gib; /* what is promised to servers already */
    int64_t servers;
    const struct place_pair *metadata; /* of its aggregates: a key may stand there several times */
    size_t n_metadata;
    int64_t group_members; /* servers here of the request's group */
};

struct place_policy {
    int64_t vcpu_percent, memory_percent,
        disk_percent; /* of what there is may be promised: 1600 is sixteen times */
};
extern const struct place_policy place_policy_default;

enum place_group {
    PLACE_ALONE,
    PLACE_AFFINITY,     /* on one host with the group's servers */
    PLACE_ANTI_AFFINITY /* apart from them */
};

struct place_request {
    int64_t vcpus, memory_mib, disk_gib;
    const char *zone; /* NULL: any */
    const char
        *host; /* name; NULL: any. An administrator's choice: the other filters hold all the same */
    const char *const *same_hosts;      /* ids: one of these; NULL: any */
    const char *const *different_hosts; /* ids: none of these */
    size_t n_same_hosts, n_different_hosts;
    const char *near;               /* "10.0.0.0/24": hosts with an address in it; NULL: any */
    const struct place_pair *specs; /* what the hosts' aggregates must say: see place_spec_match */
    size_t n_specs;
    enum place_group group;
    bool soft;              /* the group is a wish, not a condition */
    int64_t group_per_host; /* anti-affinity: so many are still apart; 0: one */
    int64_t group_size;     /* servers of the group that have a host */
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
void place_book(struct place_host *host, struct place_request *rq);

/* ---- specs.c */
/*
 * Whether a value is what a flavor's extra spec asks for: the same text, or after an operator ("=",
 * "==", "!=", ">=", "<=" of numbers, "s==", "s!=", "s<", "s<=", "s>", "s>=" of texts, "<in>",
 * "<all-in>", "<or> a <or> b") as nova reads them.
 */
bool place_spec_match(const char *value, const char *wanted);
/* Whether the IP address lies in the subnet; what is neither lies nowhere. */
bool place_in_subnet(const char *address, const char *cidr);
