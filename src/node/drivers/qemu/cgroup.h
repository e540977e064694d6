/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A guest's own control group, colvert/<instance>/<server id>, in whichever hierarchies of the host
 * (v1 or v2) have the memory, cpu and pids controllers and let us write. Bounds what a guest takes,
 * and finds every process of it.
 */
#pragma once

#include "base/base.h"

#define CGROUP_MAX_TREES 4

enum { CGROUP_MEMORY = 1, CGROUP_CPU = 2, CGROUP_PIDS = 4 };

struct cgroup_tree {
    char mount[256];
    bool v2;
    unsigned controllers;
};

struct cgroups {
    char instance[64];
    struct cgroup_tree trees[CGROUP_MAX_TREES];
    size_t n_trees;
};

struct cgroup_limits {
    int64_t memory_bytes, vcpus, pids;
};

/* What this host offers; mountinfo is the text of /proc/self/mountinfo. v2 wins where both have a
 * controller. */
void cgroups_find(const char *mountinfo, const char *instance, struct cgroups *ret);
/* What of it can be written; ERR_UNAVAILABLE when there is nothing at all. */
MUST_USE struct err *cgroups_use(struct ctx *cx, const struct cgroups *found, struct cgroups *ret);
/* Both, for this host. */
MUST_USE struct err *cgroups_open(struct ctx *cx, const char *instance, struct cgroups *ret);
/* Makes the guest's groups, sets the limits, and opens the file (O_CLOEXEC) to which a process of
 * one thread writes "0" to join each: v1's "tasks", where a thread that moves itself does not wait
 * for all others of the host as "cgroup.procs" does (10 ms); v2's "cgroup.procs". */
MUST_USE struct err *cgroup_make(struct ctx *cx, const struct cgroups *c, const char *id,
                                 const struct cgroup_limits *lim, int ret_fds[CGROUP_MAX_TREES],
                                 size_t *ret_n);
/* SIGKILL to whatever is in them, until nothing is. Absent is success. */
MUST_USE struct err *cgroup_kill(struct ctx *cx, const struct cgroups *c, const char *id);
/* Gone, after cgroup_kill. Absent is success. */
MUST_USE struct err *cgroup_remove(struct ctx *cx, const struct cgroups *c, const char *id);
/* The agent's own folders, when no guest is left in them. */
void cgroups_tidy(const struct cgroups *c);
/* Ids of the guests that have a group. */
MUST_USE struct err *cgroup_list(struct ctx *cx, const struct cgroups *c, const char ***ret_ids,
                                 size_t *ret_n);
