/* SPDX-License-Identifier: EUPL-1.2 */
/* See guard.h: the agent's side, then the guard itself. */
#include "node/guard.h"
#include "node/drivers/qemu/fence.h"
#include "node/host_lease.h"
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define LOOK_EVERY_US INT64_C(1000000)

struct guard {
    struct host_lease lease;
    char *dir;
    bool spawns;
    pid_t pid; /* 0: none */
};

/* ---- the agent's side ---- */

static struct err *spawn(struct ctx *cx, struct guard *g)
{
    char *argv[] = {(char[]){"colvert"}, (char[]){"guard"}, g->dir,
                    arena_printf(cx->arena, "%d", (int)getpid()), NULL};
    posix_spawnattr_t attr;
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attr, &none);
    int code = posix_spawn(&g->pid, "/proc/self/exe", NULL, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    if (code) {
        g->pid = 0;
        errno = code;
        return fail(cx, ERR_UNAVAILABLE, "cannot start the guard: %m");
    }
    return NULL;
}

/* One that ended is replaced. */
static struct err *see_to_guard(struct ctx *cx, struct guard *g)
{
    int status;
    if (!g->spawns || (g->pid && waitpid(g->pid, &status, WNOHANG) == 0))
        return NULL;
    if (g->pid)
        log_event(cx, LOG_WARN, "the guard ended; another is started", "status",
                  log_i64(cx, status), NULL);
    return spawn(cx, g);
}

struct err *guard_open(struct ctx *cx, const char *dir, bool spawns, struct guard **ret)
{
    struct guard *g = calloc(1, sizeof(*g));
    must(g && (g->dir = strdup(dir)));
    g->spawns = spawns;
    struct err *e = host_lease_open(cx, dir, &g->lease);
    if (!e)
        e = see_to_guard(cx, g);
    if (e)
        guard_close(TAKE_PTR(g));
    *ret = g;
    return e;
}

void guard_close(struct guard *g)
{
    if (!g)
        return;
    host_lease_close(&g->lease);
    free(g->dir);
    free(g);
}

int64_t guard_until(struct guard *g)
{
    return atomic_load(g->lease.until_us);
}

struct err *guard_extend(struct ctx *cx, struct guard *g, int64_t until_us)
{
    TRY(see_to_guard(cx, g));
    if (until_us > atomic_load(g->lease.until_us))
        atomic_store(g->lease.until_us, until_us);
    return NULL;
}

/* ---- the guard ---- */

struct watch {
    const char *dir;
    struct host_lease lease;
    int agent; /* pidfd; -1: gone */
    int64_t number;
};

/* All of them that run, ended; how many were not. */
static size_t fence_all(struct ctx *cx, const char *dir, size_t *ret_running)
{
    DIR *d = opendir(arena_printf(cx->arena, "%s/ha", dir));
    size_t left = 0;
    *ret_running = 0;
    for (const struct dirent *e; d && (e = readdir(d));) {
        bool running = false;
        if (strlen(e->d_name) != 36 || !uuid_valid(e->d_name))
            continue;
        struct err *bad = qemu_fence(cx, dir, e->d_name, &running);
        if (bad)
            log_err(cx, LOG_ERROR, bad, "a guest is not ended though this host has no lease",
                    "server", e->d_name, NULL);
        else if (running)
            log_event(cx, LOG_WARN, "guest ended: this host has no lease, another may start it",
                      "server", e->d_name, NULL);
        *ret_running += running;
        left += bad != NULL;
    }
    if (d)
        closedir(d);
    return left;
}

static bool any_marked(struct ctx *cx, const char *dir)
{
    DIR *d = opendir(arena_printf(cx->arena, "%s/ha", dir));
    bool any = false;
    for (const struct dirent *e; d && !any && (e = readdir(d));)
        any = e->d_name[0] != '.';
    if (d)
        closedir(d);
    return any;
}

static int64_t left_us(struct ctx *cx, const struct watch *w)
{
    return atomic_load(w->lease.until_us) - boot_us(cx);
}

/* Also when the clock stood still for this process: the next look is at the clock first. */
static void nap(struct ctx *cx, struct watch *w)
{
    int64_t us = left_us(cx, w);
    us = us > 0 ? min_i64(us, LOOK_EVERY_US) : LOOK_EVERY_US / 2;
    struct pollfd p = {.fd = w->agent, .events = POLLIN};
    if (poll(&p, 1, (int)(us / 1000) + 1) == 1)
        close_fd_p(&w->agent);
}

/* False: there is nothing to guard any more. */
static bool look(struct ctx *cx, struct watch *w)
{
    size_t running = 0, left = 0;
    bool over = left_us(cx, w) <= 0;
    if (over)
        left = fence_all(cx, w->dir, &running);
    if (atomic_load(w->lease.guards) != w->number)
        return false;
    return w->agent >= 0 || left || (!over && any_marked(cx, w->dir));
}

/* Nothing on this machine is to keep it from its work. */
static void harden(void)
{
    AUTO_FD int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ssize_t ignored UNUSED = fd >= 0 ? write(fd, "-1000", 5) : 0;
    mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT); /* what it has used once stays here */
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}

static int agent_pidfd(const char *text)
{
    int64_t pid;
    if (!str_to_i64(text, 2, INT32_MAX, &pid) || getppid() != (pid_t)pid)
        return -1;
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (fd >= 0 && getppid() == (pid_t)pid)
        return fd;
    close_fd_p(&fd);
    return -1;
}

int guard_main(const char *dir, const char *agent_pid)
{
    struct watch w = {.dir = dir, .agent = agent_pidfd(agent_pid)};
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    log_set_role("guard");
    struct err *e = host_lease_open(&cx, dir, &w.lease);
    if (e) {
        log_err(&cx, LOG_ERROR, e, "the guard can't work", NULL);
        return 1;
    }
    w.number = atomic_fetch_add(w.lease.guards, 1) + 1;
    harden();
    while (look(&cx, &w)) {
        nap(&cx, &w);
        arena_reset(cx.arena);
    }
    return 0;
}
