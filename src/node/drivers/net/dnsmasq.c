/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * One dnsmasq process a namespace, outliving the agent. Its files are in /run/colvert/NETNS, where
 * its own user may read them again, which a data folder below somebody's home would not allow. The
 * configuration's file name holds the digest of its text, so the process's command line tells what
 * it runs with, whatever happened in between.
 */
#include "node/drivers/net/dhcp.h"
#include "node/drivers/net/netns.h"

#include <dirent.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define RUN_DIR "/run/colvert"
#define STOP_MS 3000
#define STOP_ROUNDS 8
#define CMDLINE_BYTES 4096

extern char **environ;

static const char *run_path(struct ctx *cx, const char *netns, const char *name)
{
    return arena_printf(cx->arena, RUN_DIR "/%s/%s", netns, name);
}

MUST_USE static struct err *run_dir(struct ctx *cx, const char *netns)
{
    /* Another thread may remove the parent, empty for a moment, in between. */
    for (int i = 0; i < 8; i++) {
        mkdir(RUN_DIR, 0755);
        if (mkdir(run_path(cx, netns, ""), 0755) == 0 || errno == EEXIST)
            return NULL;
        if (errno != ENOENT)
            break;
    }
    return fail(cx, ERR_UNAVAILABLE, "cannot make %s: %m", run_path(cx, netns, ""));
}

struct err *run_file_read(struct ctx *cx, const char *netns, const char *name, const char **ret)
{
    struct buf b;
    const char *path = run_path(cx, netns, name);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    buf_init(&b, cx->arena);
    if (fd < 0 && errno != ENOENT)
        return fail(cx, ERR_UNAVAILABLE, "cannot read %s: %m", path);
    for (ssize_t got = 1; fd >= 0 && got > 0; b.len += (size_t)got) {
        got = read(fd, buf_reserve(&b, 4096), 4096);
        if (got < 0)
            return fail(cx, ERR_UNAVAILABLE, "cannot read %s: %m", path);
    }
    buf_str(&b, "");
    *ret = arena_strndup(cx->arena, buf_cstr(&b), b.len);
    return NULL;
}

struct err *run_file_write(struct ctx *cx, const char *netns, const char *name, const char *text)
{
    const char *path = run_path(cx, netns, name), *old, *fresh;
    size_t len = strlen(text);
    TRY(run_dir(cx, netns));
    TRY(run_file_read(cx, netns, name, &old));
    if (str_eq(old, text) && access(path, F_OK) == 0)
        return NULL;
    fresh = arena_printf(cx->arena, "%s.new", path);
    AUTO_FD int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    for (size_t done = 0; fd >= 0 && done < len;) {
        ssize_t put = write(fd, text + done, len - done);
        if (put < 0)
            return fail(cx, ERR_UNAVAILABLE, "cannot write %s: %m", fresh);
        done += (size_t)put;
    }
    if (fd < 0 || rename(fresh, path) < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot write %s: %m", path);
    return NULL;
}

/* The process's command line holds "--conf-file=" and this, or starts with it when part is true. */
static bool runs_with(pid_t pid, const char *conf, bool part)
{
    char path[64], line[CMDLINE_BYTES];
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
    for (ssize_t i = 0; i < got; i += (ssize_t)strlen(line + i) + 1) {
        line[got] = 0;
        if (!str_starts(line + i, "--conf-file="))
            continue;
        const char *is = line + i + strlen("--conf-file=");
        return part ? str_starts(is, conf) : str_eq(is, conf);
    }
    return false;
}

/* Held by a pid file descriptor, so that the number cannot come to mean another process; -1 when it
 * is not ours. */
static int process_open(pid_t pid, const char *folder)
{
    AUTO_FD int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return fd >= 0 && runs_with(pid, folder, true) ? TAKE_FD(fd) : -1;
}

static void stop_process(pid_t pid, const char *folder)
{
    static const int signals[] = {SIGTERM, SIGKILL};
    AUTO_FD int fd = process_open(pid, folder);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (size_t i = 0; fd >= 0 && i < ARRAY_LEN(signals); i++) {
        syscall(SYS_pidfd_send_signal, fd, signals[i], NULL, 0);
        if (poll(&p, 1, STOP_MS) > 0)
            return;
    }
}

static void reread(pid_t pid, const char *folder)
{
    AUTO_FD int fd = process_open(pid, folder);
    if (fd >= 0)
        syscall(SYS_pidfd_send_signal, fd, SIGHUP, NULL, 0);
}

/* How many were there, but for keep. */
static size_t stop_once(const char *folder, pid_t keep)
{
    DIR *dir = opendir("/proc");
    size_t n = 0;
    int64_t pid;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!str_to_i64(e->d_name, 1, INT32_MAX, &pid) || pid == keep ||
            !runs_with((pid_t)pid, folder, true))
            continue;
        stop_process((pid_t)pid, folder);
        n++;
    }
    if (dir)
        closedir(dir);
    return n;
}

/*
 * Every dnsmasq with a configuration in this folder, also those whose pid file a crash kept from
 * being written. Until none is seen: one that is just going to the background may have forked
 * behind our eyes.
 */
static void stop_all_but(const char *folder, pid_t keep)
{
    for (int i = 0; i < STOP_ROUNDS && stop_once(folder, keep); i++)
        ;
}

/* The pid file goes first: should we die now, what was told to end is not taken for running. */
static void stop_all(struct ctx *cx, const char *netns)
{
    unlink(run_path(cx, netns, "pid"));
    stop_all_but(run_path(cx, netns, ""), 0);
}

MUST_USE static struct err *find_running(struct ctx *cx, const char *netns, const char *conf,
                                         pid_t *ret)
{
    const char *text;
    int64_t pid;
    TRY(run_file_read(cx, netns, "pid", &text));
    size_t digits = strspn(text, "0123456789");
    bool ok = str_to_i64(arena_strndup(cx->arena, text, digits), 1, INT32_MAX, &pid);
    *ret = ok && runs_with((pid_t)pid, conf, false) ? (pid_t)pid : 0;
    return NULL;
}

static const char *dnsmasq_user(void)
{
    char buffer[4096];
    struct passwd pw, *found = NULL;
    getpwnam_r("dnsmasq", &pw, buffer, sizeof(buffer), &found);
    return found ? "dnsmasq" : "nobody";
}

/* What dnsmasq said on its way down. */
static const char *complaint(struct ctx *cx, int fd, int status)
{
    char text[512];
    ssize_t got = pread(fd, text, sizeof(text), 0);
    while (got > 0 && (text[got - 1] == '\n' || text[got - 1] == ' '))
        got--;
    if (got > 0)
        return arena_strndup(cx->arena, text, (size_t)got);
    return WIFSIGNALED(status)
               ? arena_printf(cx->arena, "it was killed by signal %d", WTERMSIG(status))
               : arena_printf(cx->arena, "it said nothing, status %d", WEXITSTATUS(status));
}

/* dnsmasq goes to the background by itself once it listens; until then it tells us what is wrong.
 */
MUST_USE static struct err *start(struct ctx *cx, const char *netns, const char *conf)
{
    const char *args[] = {
        "dnsmasq",
        arena_printf(cx->arena, "--conf-file=%s", conf),
        arena_printf(cx->arena, "--pid-file=%s", run_path(cx, netns, "pid")),
        arena_printf(cx->arena, "--dhcp-hostsfile=%s", run_path(cx, netns, "hosts")),
        arena_printf(cx->arena, "--dhcp-optsfile=%s", run_path(cx, netns, "options")),
        arena_printf(cx->arena, "--addn-hosts=%s", run_path(cx, netns, "names")),
        arena_printf(cx->arena, "--user=%s", dnsmasq_user()),
        NULL,
    };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    pid_t pid;
    int status = -1;
    AUTO_FD int err_fd = memfd_create("dnsmasq", MFD_CLOEXEC);
    AUTO_NETNS int back = -1;
    TRY(netns_enter(cx, netns, &back));
    sigemptyset(&none);
    sigfillset(&all);
    must(posix_spawn_file_actions_init(&files) == 0 && posix_spawnattr_init(&attr) == 0);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&files, 0, 1);
    posix_spawn_file_actions_adddup2(&files, err_fd, 2);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    int rc = posix_spawn(&pid, "/usr/sbin/dnsmasq", &files, &attr, (char **)(void *)args, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    if (rc)
        return fail(cx, ERR_UNAVAILABLE, "cannot run /usr/sbin/dnsmasq (package dnsmasq-base): %s",
                    strerror(rc));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return fail(cx, ERR_UNAVAILABLE, "dnsmasq of %s does not start: %s", netns,
                    complaint(cx, err_fd, status));
    return NULL;
}

/* A line of old that is not in now: dnsmasq would keep its lease, and refuse the address to its
 * next owner. */
static bool lost_line(struct ctx *cx, const char *old, const char *now)
{
    char **lines;
    size_t n = str_split(cx, old, '\n', &lines);
    const char *all = arena_printf(cx->arena, "\n%s", now);
    for (size_t i = 0; i < n; i++)
        if (*lines[i] && !strstr(all, arena_printf(cx->arena, "\n%s\n", lines[i])))
            return true;
    return false;
}

static const char *conf_name(struct ctx *cx, const char *text)
{
    uint8_t digest[16];
    char hex[33];
    crypto_generichash(digest, sizeof(digest), (const uint8_t *)text, strlen(text), NULL, 0);
    hex_encode(digest, sizeof(digest), hex);
    return arena_printf(cx->arena, "%s.conf", hex);
}

static void drop_files(struct ctx *cx, const char *netns, const char *suffix, const char *keep)
{
    DIR *dir = opendir(run_path(cx, netns, ""));
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.' && str_ends(e->d_name, suffix) && !str_eq(e->d_name, keep))
            unlink(run_path(cx, netns, e->d_name));
    if (dir)
        closedir(dir);
}

/* Writes what is read again; "unread" exists while the process may not have read what is there. */
MUST_USE static struct err *write_files(struct ctx *cx, const char *netns,
                                        const struct dnsmasq_files *files, bool *ret_changed,
                                        bool *ret_restart)
{
    const struct {
        const char *name, *text;
    } all[] = {{"hosts", files->hosts}, {"options", files->options}, {"names", files->names}};
    *ret_restart = access(run_path(cx, netns, "unread"), F_OK) == 0;
    *ret_changed = false;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        const char *old, *text = all[i].text ? all[i].text : "";
        TRY(run_file_read(cx, netns, all[i].name, &old));
        if (!str_eq(old, text)) {
            TRY(run_file_write(cx, netns, "unread", "yes\n"));
            *ret_changed = true;
            *ret_restart |= i == 0 && lost_line(cx, old, text);
        }
        TRY(run_file_write(cx, netns, all[i].name, text));
    }
    return NULL;
}

struct err *dnsmasq_apply(struct ctx *cx, const char *netns, const struct dnsmasq_files *files)
{
    const char *folder = run_path(cx, netns, ""), *name, *path;
    bool changed, restart;
    pid_t pid;
    TRY(run_dir(cx, netns));
    if (!files->conf) {
        if (access(run_path(cx, netns, "hosts"), F_OK) == 0)
            stop_all(cx, netns);
        unlink(run_path(cx, netns, "hosts"));
        unlink(run_path(cx, netns, "options"));
        unlink(run_path(cx, netns, "names"));
        drop_files(cx, netns, ".conf", NULL);
        return NULL;
    }
    name = conf_name(cx, files->conf);
    path = run_path(cx, netns, name);
    TRY(run_file_write(cx, netns, name, files->conf));
    TRY(write_files(cx, netns, files, &changed, &restart));
    TRY(find_running(cx, netns, path, &pid));
    if (!pid || restart) {
        stop_all(cx, netns);
        TRY(start(cx, netns, path));
        /* A killed agent's, which had not come to its name yet when we looked. */
        TRY(find_running(cx, netns, path, &pid));
        stop_all_but(folder, pid);
        if (!pid)
            return fail(cx, ERR_UNAVAILABLE, "dnsmasq of %s has stopped again", netns);
    } else if (changed) {
        reread(pid, folder);
    }
    unlink(run_path(cx, netns, "unread"));
    drop_files(cx, netns, ".conf", name);
    return NULL;
}

struct err *dnsmasq_remove(struct ctx *cx, const char *netns)
{
    const char *folder = run_path(cx, netns, "");
    stop_all(cx, netns);
    drop_files(cx, netns, "", NULL);
    if (rmdir(folder) < 0 && errno != ENOENT)
        return fail(cx, ERR_UNAVAILABLE, "cannot remove %s: %m", folder);
    rmdir(RUN_DIR); /* only once it is empty */
    return NULL;
}
