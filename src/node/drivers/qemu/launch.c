/* SPDX-License-Identifier: EUPL-1.2 */
/* See launch.h. */
#include "node/drivers/qemu/launch.h"
#include "node/drivers/tools/tool.h"
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Above all numbers the program expects, so that moving one doesn't overwrite another. */
#define FD_ASIDE 128
#define OOM_SCORE "500"

/* What the child tells when it can't go on. */
struct failure {
    char step[48];
    int code;
};

NORETURN static void give_up(int report_fd, const char *step)
{
    struct failure f = {.code = errno};
    size_t len = strlen(step);
    memcpy(f.step, step, len < sizeof(f.step) ? len : sizeof(f.step) - 1);
    ssize_t ignored UNUSED = write(report_fd, &f, sizeof(f));
    _exit(127);
}

static bool write_fd(int fd, const char *text)
{
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static void place_fds(const struct launch *l, int report_fd)
{
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(l->log_fd, 1) < 0 || dup2(l->log_fd, 2) < 0)
        give_up(report_fd, "standard files");
    for (size_t i = 0; i < l->n_fds; i++) {
        int want = 3 + (int)i;
        if (l->fds[i] < 0)
            close(want);
        else if (dup2(l->fds[i], want) < 0)
            give_up(report_fd, "open files");
    }
    /* All others close on exec; the report's needs to until then. */
    if (close_range(3 + (unsigned)l->n_fds, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
        give_up(report_fd, "close_range");
}

static void drop_privileges(const struct launch *l, int report_fd)
{
    const struct rlimit no_core = {0, 0};
    if (setrlimit(RLIMIT_CORE, &no_core) != 0)
        give_up(report_fd, "setrlimit");
    if (setgroups(l->extra_gid ? 1 : 0, &l->extra_gid) != 0 ||
        setresgid(l->uid, l->uid, l->uid) != 0 || setresuid(l->uid, l->uid, l->uid) != 0)
        give_up(report_fd, "change of user");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        give_up(report_fd, "no_new_privs");
}

/* Only async-signal-safe calls: the parent has threads. All descriptors of l are set aside above
 * FD_ASIDE. */
NORETURN static void child(const struct launch *l, const char *path, char *const *envp, int go_fd,
                           int report_fd)
{
    char go;
    child_reset_signals();
    for (size_t i = 0; i < l->n_cgroups; i++)
        if (!write_fd(l->cgroup_fds[i], "0"))
            give_up(report_fd, "control group");
    int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (!write_fd(oom, OOM_SCORE))
        give_up(report_fd, "oom_score_adj");
    if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0)
        give_up(report_fd, "unshare");
    if (fchdir(l->dir_fd) != 0)
        give_up(report_fd, "working folder");
    setsid();
    umask(0077);
    if (read(go_fd, &go, 1) != 1)
        _exit(0); /* nobody has us on record */
    place_fds(l, report_fd);
    drop_privileges(l, report_fd);
    execve(path, (char *const *)l->argv, envp);
    give_up(report_fd, "exec");
}

static struct err *find_program(struct ctx *cx, const char *name, const char **ret)
{
    if (strchr(name, '/')) {
        *ret = name;
        return NULL;
    }
    const char *list = getenv("PATH");
    char **dirs;
    size_t n = str_split(cx, list ? list : "/usr/local/bin:/usr/bin:/bin", ':', &dirs);
    for (size_t i = 0; i < n; i++) {
        const char *path = arena_printf(cx->arena, "%s/%s", dirs[i], name);
        if (dirs[i][0] == '/' && access(path, X_OK) == 0) {
            *ret = path;
            return NULL;
        }
    }
    return fail(cx, ERR_UNAVAILABLE, "%s is not installed (not in PATH)", name);
}

/* Copies of all descriptors at numbers that are out of the way. The caller closes them. */
static struct err *set_aside(struct ctx *cx, const int *fds, size_t n, int *ret)
{
    for (size_t i = 0; i < n; i++) {
        ret[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, FD_ASIDE);
        if (fds[i] >= 0 && ret[i] < 0) {
            struct err *e = fail(cx, ERR_UNAVAILABLE, "cannot pass an open file on: %m");
            while (i-- > 0)
                if (ret[i] >= 0)
                    close(ret[i]);
            return e;
        }
    }
    return NULL;
}

static void await_end(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static struct err *await_exec(struct ctx *cx, const char *path, int report_fd, pid_t pid)
{
    struct failure f = {0};
    ssize_t n;
    while ((n = read(report_fd, &f, sizeof(f))) < 0 && errno == EINTR)
        ;
    if (n == 0)
        return NULL;
    await_end(pid);
    f.step[sizeof(f.step) - 1] = 0;
    errno = f.code;
    return fail(cx, ERR_UNAVAILABLE, "cannot run %s: %s: %m", path,
                n == (ssize_t)sizeof(f) ? f.step : "it vanished");
}

/* All descriptors of l are above FD_ASIDE by now. */
static struct err *run(struct ctx *cx, const struct launch *l, const char *path,
                       struct err *(*record)(struct ctx *, void *, pid_t), void *arg,
                       pid_t *ret_pid)
{
    char *env[] = {(char[]){"PATH=/usr/bin:/bin"}, (char[]){"LC_ALL=C"}, NULL};
    int go[2], report[2];
    if (pipe2(go, O_CLOEXEC) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot make a pipe: %m");
    AUTO_FD int go_child = go[0], go_parent = go[1];
    if (pipe2(report, O_CLOEXEC) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot make a pipe: %m");
    AUTO_FD int report_parent = report[0], report_low = report[1];
    AUTO_FD int report_child = fcntl(report_low, F_DUPFD_CLOEXEC, FD_ASIDE);
    if (report_child < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot pass an open file on: %m");
    pid_t pid = fork();
    if (pid == 0) {
        close(go_parent);
        child(l, path, env, go_child, report_child);
    }
    if (pid < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot start a process: %m");
    close_fd_p(&report_low);
    close_fd_p(&report_child);
    struct err *e = record(cx, arg, pid);
    if (!e && write(go_parent, "g", 1) != 1)
        e = fail(cx, ERR_UNAVAILABLE, "cannot run %s: its process ended at once", path);
    if (e) {
        close_fd_p(&go_parent);
        TRY(await_exec(cx, path, report_parent, pid)); /* the reason, where it gave up first */
        await_end(pid);
        return e;
    }
    TRY(await_exec(cx, path, report_parent, pid));
    *ret_pid = pid;
    return NULL;
}

struct err *launch(struct ctx *cx, const struct launch *l,
                   struct err *(*record)(struct ctx *, void *, pid_t), void *arg, pid_t *ret_pid)
{
    const char *path = NULL;
    TRY(find_program(cx, l->argv[0], &path));
    size_t n = l->n_fds + l->n_cgroups + 2;
    int *from = arena_new_array(cx->arena, int, n), *to = arena_new_array(cx->arena, int, n);
    memcpy(from, l->fds, l->n_fds * sizeof(int));
    if (l->n_cgroups)
        memcpy(from + l->n_fds, l->cgroup_fds, l->n_cgroups * sizeof(int));
    from[n - 2] = l->dir_fd;
    from[n - 1] = l->log_fd;
    TRY(set_aside(cx, from, n, to));
    struct launch aside = *l;
    aside.fds = to;
    aside.cgroup_fds = to + l->n_fds;
    aside.dir_fd = to[n - 2];
    aside.log_fd = to[n - 1];
    struct err *e = run(cx, &aside, path, record, arg, ret_pid);
    for (size_t i = 0; i < n; i++)
        if (to[i] >= 0)
            close(to[i]);
    return e;
}

static size_t read_proc(pid_t pid, const char *name, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    while (fd >= 0 && len < size - 1) {
        ssize_t n = read(fd, out + len, size - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    out[len] = 0;
    return len;
}

bool process_start_time(pid_t pid, int64_t *ret)
{
    char text[1024], state;
    read_proc(pid, "stat", text, sizeof(text));
    const char *after_name = strrchr(text, ')'); /* the name may hold anything */
    long long start;
    if (!after_name ||
        sscanf(after_name + 1,
               " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lld",
               &state, &start) != 2)
        return false;
    *ret = start;
    return state != 'Z' && state != 'X';
}

bool process_has_argument(pid_t pid, const char *text)
{
    static const size_t size = 65536;
    AUTO_FREE char *line = malloc(size);
    must(line);
    size_t len = read_proc(pid, "cmdline", line, size);
    return memmem(line, len, text, strlen(text)) != NULL;
}

int process_open(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

void host_boot_id(char *out, size_t size)
{
    must(size >= 37);
    AUTO_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, 36) : 0;
    out[n > 0 ? n : 0] = 0;
}
