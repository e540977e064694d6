/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Starts a confined process: own uid without any privilege, own network, IPC and UTS namespaces,
 * own control groups, and exactly the open files it is given. The child waits until its number is
 * on record before it becomes the program; it confines itself meanwhile.
 */
#pragma once

#include "base/base.h"

struct launch {
    const char *const *argv; /* argv[0]: a path, or looked up in PATH */
    const int *fds;          /* fds[i] becomes descriptor 3 + i; -1: closed */
    size_t n_fds;
    int dir_fd;            /* working folder */
    int log_fd;            /* standard output and error */
    uid_t uid;             /* and gid */
    gid_t extra_gid;       /* the one supplementary group; 0: none */
    const int *cgroup_fds; /* of cgroup_make() */
    size_t n_cgroups;
};

/*
 * record(arg, pid) runs while the child waits: what it writes is on disk before the program can
 * run. When it fails, or we die, the child ends without a trace. On success the program runs (or
 * has failed by itself since).
 */
MUST_USE struct err *launch(struct ctx *cx, const struct launch *l,
                            struct err *(*record)(struct ctx *, void *, pid_t), void *arg,
                            pid_t *ret_pid);

/* When a process began, in clock ticks since the host's boot; false: no such process, or one that
 * has ended. */
bool process_start_time(pid_t pid, int64_t *ret);
/* A command line argument of the process contains text. */
bool process_has_argument(pid_t pid, const char *text);
int process_open(pid_t pid); /* pidfd, or -1 with errno */
/* Identity of this run of the host's kernel; size 37. */
void host_boot_id(char *out, size_t size);
