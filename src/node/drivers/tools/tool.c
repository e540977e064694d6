/* SPDX-License-Identifier: EUPL-1.2 */
/* See tool.h. */
#include "node/drivers/tools/tool.h"
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define KEPT_BYTES ((size_t)65536)
#define MAX_FDS 8
#define FD_ASIDE 64                    /* above all numbers a helper expects */
#define MEMORY_BYTES ((rlim_t)4 << 30) /* of address space, for one that reads users' data */

void child_reset_signals(void)
{
    struct sigaction normal = {.sa_handler = SIG_DFL};
    for (int i = 1; i < NSIG; i++)
        sigaction(i, &normal, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Descriptors as the helper expects them; its own may stand where another goes. */
static bool place_fds(const struct tool *t, int out, int err)
{
    int aside[MAX_FDS];
    for (size_t i = 0; i < t->n_fds; i++)
        if ((aside[i] = fcntl(t->fds[i], F_DUPFD_CLOEXEC, FD_ASIDE)) < 0)
            return false;
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        return false;
    for (size_t i = 0; i < t->n_fds; i++)
        if (dup2(aside[i], TOOL_FD_FIRST + (int)i) < 0)
            return false;
    return close_range(TOOL_FD_FIRST + (unsigned)t->n_fds, ~0U, 0) == 0;
}

static bool drop_privileges(uid_t uid)
{
    const struct rlimit no_core = {0, 0}, memory = {MEMORY_BYTES, MEMORY_BYTES};
    return setrlimit(RLIMIT_CORE, &no_core) == 0 && setrlimit(RLIMIT_AS, &memory) == 0 &&
           unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) == 0 && setgroups(0, NULL) == 0 &&
           setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0 &&
           prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

NORETURN static void child(const struct tool *t, pid_t parent, int out, int err)
{
    child_reset_signals();
    if (!place_fds(t, out, err))
        _exit(126);
    static const char refused[] = "its privileges cannot be dropped";
    if (t->uid && geteuid() == 0 && !drop_privileges(t->uid)) {
        ssize_t ignored UNUSED = write(2, refused, sizeof(refused) - 1);
        _exit(126);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user undoes it */
    if (getppid() != parent)
        _exit(125);
    execvp(t->argv[0], (char *const *)t->argv);
    static const char text[] = "no such program, or it can't be run";
    ssize_t ignored UNUSED = write(2, text, sizeof(text) - 1);
    _exit(127);
}

/* True while there may be more. */
static bool drain(int fd, struct buf *b)
{
    char part[4096];
    ssize_t n = read(fd, part, sizeof(part));
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    size_t room = b->len < KEPT_BYTES ? KEPT_BYTES - b->len : 0;
    buf_add(b, part, (size_t)n < room ? (size_t)n : room);
    return n > 0;
}

/* Reads both pipes to their ends; false when the time is over. */
static bool collect(int out, int err, int64_t until_us, struct buf *bufs)
{
    struct pollfd p[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
    while (p[0].fd >= 0 || p[1].fd >= 0) {
        struct clock *c = clock_system();
        int64_t left_us = until_us - c->mono_us(c);
        if (left_us <= 0)
            return false;
        if (poll(p, 2, (int)(left_us / 1000 + 1)) < 0 && errno != EINTR)
            return false;
        for (int i = 0; i < 2; i++)
            if (p[i].fd >= 0 && p[i].revents && !drain(p[i].fd, &bufs[i]))
                p[i].fd = -1;
    }
    return true;
}

/* What a helper said, on one line. */
static const char *said(struct ctx *cx, const struct buf *b)
{
    char *text = arena_strdup(cx->arena, buf_cstr(b));
    size_t len = strlen(text);
    while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
        text[--len] = 0;
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
    return len ? text : "it gave no reason";
}

struct err *tool_run(struct ctx *cx, const char *const *argv, int64_t timeout_ms,
                     struct buf *ret_out)
{
    const struct tool t = {.argv = argv, .timeout_ms = timeout_ms};
    return tool_run_with(cx, &t, ret_out);
}

struct err *tool_run_with(struct ctx *cx, const struct tool *t, struct buf *ret_out)
{
    must(t->n_fds <= MAX_FDS);
    const char *const *argv = t->argv;
    int pipes[2][2];
    for (int i = 0; i < 2; i++) {
        if (pipe2(pipes[i], O_CLOEXEC) != 0) {
            if (i)
                close(pipes[0][0]), close(pipes[0][1]);
            return fail(cx, ERR_UNAVAILABLE, "cannot run %s: %m", argv[0]);
        }
    }
    AUTO_FD int out = pipes[0][0], err = pipes[1][0];
    pid_t self = getpid(), pid = fork();
    if (pid == 0)
        child(t, self, pipes[0][1], pipes[1][1]);
    close(pipes[0][1]);
    close(pipes[1][1]);
    if (pid < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot run %s: %m", argv[0]);
    struct buf bufs[2];
    buf_init(&bufs[0], cx->arena);
    buf_init(&bufs[1], cx->arena);
    struct clock *c = clock_system();
    bool in_time = collect(out, err, c->mono_us(c) + t->timeout_ms * 1000, bufs);
    if (!in_time)
        kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!in_time)
        return fail(cx, ERR_TIMEOUT, "%s did not end within %" PRId64 " s: %s", argv[0],
                    t->timeout_ms / 1000, said(cx, &bufs[1]));
    if (WIFSIGNALED(status))
        return fail(cx, ERR_UNAVAILABLE, "%s was killed by signal %d: %s", argv[0],
                    WTERMSIG(status), said(cx, &bufs[1]));
    if (WEXITSTATUS(status) != 0)
        return fail(cx, ERR_UNAVAILABLE, "%s failed: %s", argv[0], said(cx, &bufs[1]));
    if (ret_out)
        buf_add(ret_out, buf_cstr(&bufs[0]), bufs[0].len);
    return NULL;
}
