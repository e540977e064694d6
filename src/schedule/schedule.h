/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Placement: pure functions over a snapshot of hosts. Knows nothing of stores or APIs. What refuses
 * a host is a row of filters.c, what prefers one a row of weighers.def.
 */
#pragma once

#include "base/base.h"

struct place_pair {
    const char *key, *value;
};

/* Thousandths of what there is that may be promised: 16000 is sixteen times. */
struct place_ratios {
    int64_t vcpus, memory, disk;
};

/* What each decision reads of all hosts stands together, in front. */
struct place_host {
    int64_t can_vcpus, can_memory_mib, can_disk_gib;    /* servers get together: place_size */
    int64_t used_vcpus, used_memory_mib, used_disk_gib; /* what is promised to them already */
    int64_t vcpus, memory_mib, disk_gib; /* what there is: the most that one server gets */
    int64_t servers;
    int64_t group_members; /* servers here of the request's group */
    bool enabled, alive;
    int64_t servers_max; /* 0: as many as there is room for */
    const char *id, *name, *zone, *disabled_reason;
    const char *address; /* where it is reached; may be NULL */
    const char *pool_id; /* the shared storage that it reaches; NULL: none */
    int64_t reserved_vcpus, reserved_memory_mib, reserved_disk_gib; /* the host's own */
    struct place_ratios ratios;                                     /* of the rest */
    const struct place_pair
        *metadata; /* of its aggregates, and capabilities: a key may stand there several times */
    size_t n_metadata;
    const char *const *traits; /* what it can do, in the words of placement's API */
    size_t n_traits;
    int64_t generation; /* raised by each change here */
};

enum place_weigher {
#define WEIGHER(name, dflt, doc) PLACE_WEIGH_##name,
#include "schedule/weighers.def"
#undef WEIGHER
    PLACE_WEIGHERS
};

struct place_policy {
    uint32_t filters; /* those in use: bits of place_filters_read */
    int64_t subset;   /* one of so many best hosts is taken, at random */
    double weights[PLACE_WEIGHERS];
};
extern const struct place_policy place_policy_default;
extern const struct place_ratios place_ratios_default;

enum place_group {
    PLACE_ALONE,
    PLACE_AFFINITY,     /* on one host with the group's servers */
    PLACE_ANTI_AFFINITY /* apart from them */
};

struct place_request {
    int64_t vcpus, memory_mib, disk_gib;
    int64_t volumes_gib; /* new volumes beside it: on the host's disk, if it reaches no pool */
    const char *pool_id; /* where its volumes lie: hosts that reach this; NULL: any */
    const char *zone;    /* NULL: any */
    const char
        *host; /* name; NULL: any. An administrator's choice: the other filters hold all the same */
    const char *const *same_hosts;      /* ids: one of these; NULL: any */
    const char *const *different_hosts; /* ids: none of these */
    size_t n_same_hosts, n_different_hosts;
    const char *near;               /* "10.0.0.0/24": hosts with an address in it; NULL: any */
    const struct place_pair *specs; /* what the hosts' aggregates must say: see place_spec_match */
    size_t n_specs;
    const struct place_pair *image; /* the image's properties */
    size_t n_image;
    const struct place_pair *traits; /* name, "required" or "forbidden" */
    size_t n_traits;
    const char *project_id, *flavor_name; /* for aggregates that are for some only; NULL: unknown */
    enum place_group group;
    bool soft;              /* the group is a wish, not a condition */
    int64_t group_per_host; /* anti-affinity: so many are still apart; 0: one */
    int64_t group_size;     /* servers of the group that have a host */
};

/*
 * The best host's index, or -1. Then *ret_reason says, filter by filter, how many hosts were
 * refused for what
 * ("3 hosts: 2 lack memory (need 4096 MiB, most free 2048 on h1), 1 disabled (maintenance)"); a
 * host counts for the first filter it fails. ret_reason NULL: nobody asks. Of equally good hosts the
 * first wins.
 */
int place(struct ctx *cx, const struct place_policy *policy, const struct place_host *hosts,
          size_t n, const struct place_request *rq, const char **ret_reason);
/* Books the request on the host, for the next one of the same snapshot. */
void place_book(struct place_host *host, struct place_request *rq);
/* Sets what may be promised, from what there is, what is reserved, and the ratios. */
void place_size(struct place_host *host);
/* Whether hosts' addresses and "capabilities:…" among their metadata are looked at. */
bool place_asks_capabilities(const struct place_request *rq);
bool place_has_trait(const struct place_host *host, const char *name);

/* ---- settings.c: what an operator writes */
/* Names of filters, separated by commas; empty: all. ERR_INVALID names those there are. Room is
 * always looked at. */
MUST_USE struct err *place_filters_read(struct ctx *cx, const char *text, uint32_t *ret);
/* "16.0" → 16000 */
bool place_ratio_read(const char *text, int64_t *ret);
bool place_weight_read(const char *text, double *ret);

/* ---- specs.c */
/*
 * Whether a value is what a flavor's extra spec asks for: the same text, or after an operator ("=",
 * "==", "!=", ">=", "<=" of numbers, "s==", "s!=", "s<", "s<=", "s>", "s>=" of texts, "<in>",
 * "<all-in>", "<or> a <or> b") as nova reads them.
 */
bool place_spec_match(const char *value, const char *wanted);
/* Whether the IP address lies in the subnet; what is neither lies nowhere. */
bool place_in_subnet(const char *address, const char *cidr);
