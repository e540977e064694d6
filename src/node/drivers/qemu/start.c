/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * See start.h. Opens everything QEMU needs, launches it paused, talks to it, records, lets it run.
 * The record goes ahead: "starting" with the process's number before QEMU can run, "on" before
 * anybody is told.
 */
#include "node/drivers/qemu/start.h"
#include "node/drivers/qemu/argv.h"
#include "node/drivers/qemu/disk.h"
#include "node/drivers/tools/files.h"
#include "node/drivers/qemu/launch.h"
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define GREETING_TIMEOUT_MS 60000
#define COMMAND_TIMEOUT_MS 15000
#define END_TIMEOUT_MS 10000
#define OWN_FDS (FD_TAP_FIRST - FD_MONITOR)
#define MIB ((int64_t)1 << 20)

struct start {
    struct guest *g;
    const struct spec_server *spec;
    int dir_fd, log_fd;
    int fds[OWN_FDS + MACHINE_MAX_NICS]; /* fds[i] becomes 3 + i; the taps are the caller's */
    int cgroup_fds[CGROUP_MAX_TREES];
    size_t n_cgroups;
    const char *image_path, *image_format; /* of the record, copied */
    bool config_drive;
    int64_t build_seq;
    uid_t uid;
};

static void start_fini(struct start *s)
{
    for (size_t i = 0; i < OWN_FDS; i++)
        close_fd_p(&s->fds[i]);
    for (size_t i = 0; i < s->n_cgroups; i++)
        close_fd_p(&s->cgroup_fds[i]);
    close_fd_p(&s->log_fd);
    close_fd_p(&s->dir_fd);
}

static int *own_fd(struct start *s, int number)
{
    return &s->fds[number - FD_MONITOR];
}

/* A listening socket in the guest's folder that only root may connect to. */
static struct err *listen_at(struct ctx *cx, int dir_fd, const char *name, int *ret_fd)
{
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
    if (unlinkat(dir_fd, name, 0) != 0 && errno != ENOENT)
        return fail(cx, ERR_UNAVAILABLE, "cannot replace socket %s: %m", name);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        fchmodat(dir_fd, name, 0600, 0) != 0 || listen(fd, 4) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot listen on %s: %m", name);
    *ret_fd = TAKE_FD(fd);
    return NULL;
}

static struct err *open_in(struct ctx *cx, int dir_fd, const char *name, int flags, int *ret_fd)
{
    int fd = openat(dir_fd, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot open '%s' of the server: %m", name);
    *ret_fd = fd;
    return NULL;
}

static struct err *open_logs(struct ctx *cx, struct start *s)
{
    pthread_mutex_lock(&s->g->lock);
    struct err *e = console_trim(cx, s->dir_fd);
    pthread_mutex_unlock(&s->g->lock);
    TRY(e);
    TRY(open_in(cx, s->dir_fd, CONSOLE_NAME, O_WRONLY | O_CREAT | O_APPEND,
                own_fd(s, FD_CONSOLE_LOG)));
    /* From an empty log: an older process's end is not this one's. */
    return open_in(cx, s->dir_fd, QEMU_LOG_NAME, O_RDWR | O_CREAT | O_APPEND | O_TRUNC, &s->log_fd);
}

static struct err *open_disks(struct ctx *cx, struct start *s)
{
    TRY(open_in(cx, s->dir_fd, root_disk_name(cx, s->build_seq), O_RDWR, own_fd(s, FD_ROOT)));
    *own_fd(s, FD_BASE) = open(s->image_path, O_RDONLY | O_CLOEXEC);
    if (*own_fd(s, FD_BASE) < 0)
        return fail(
            cx, ERR_NOT_FOUND,
            "the image file '%s' that the root disk of server %s builds on cannot be opened: %m",
            s->image_path, s->g->id);
    if (s->config_drive)
        TRY(open_in(cx, s->dir_fd, CONFIG_DRIVE_NAME, O_RDONLY, own_fd(s, FD_CONFIG_DRIVE)));
    return NULL;
}

/* QEMU's own folder, the only place it may write by name. */
static struct err *make_run_dir(struct ctx *cx, const struct start *s)
{
    AUTO_FD int fd = -1;
    TRY(dir_remove(cx, s->dir_fd, "run"));
    return dir_make(cx, s->dir_fd, "run", 0700, s->uid, s->uid, &fd);
}

static struct err *make_cgroup(struct ctx *cx, struct start *s)
{
    const struct spec_server *spec = s->spec;
    const struct cgroup_limits lim = {
        /* QEMU itself: its code cache, the screen, disk buffers, page tables. */
        .memory_bytes = (spec->memory_mib + spec->memory_mib / 64 + 256) * MIB,
        .vcpus = spec->vcpus,
        .pids = 256 + 4 * spec->vcpus,
    };
    return cgroup_make(cx, &s->g->drv->cgroups, s->g->id, &lim, s->cgroup_fds, &s->n_cgroups);
}

static void make_argv(struct ctx *cx, const struct start *s, const char ***ret_argv,
                      json_t **ret_devices)
{
    const struct qemu *d = s->g->drv;
    const struct machine m = {
        .id = s->g->id,
        .qemu_path = d->qemu_path,
        .vcpus = s->spec->vcpus,
        .memory_mib = s->spec->memory_mib,
        .kvm = d->host.kvm,
        .io_uring = d->host.io_uring,
        .root_direct = file_allows_direct(s->dir_fd, root_disk_name(cx, s->build_seq)),
        .base_direct = file_allows_direct(AT_FDCWD, s->image_path),
        .image_format = s->image_format,
        .config_drive = s->config_drive,
        .nics = s->spec->nics,
        .n_nics = s->spec->n_nics,
    };
    machine_argv(cx, &m, ret_argv, ret_devices);
}

static struct err *record_starting(struct ctx *cx, void *arg, pid_t pid)
{
    struct start *s = arg;
    struct guest *g = s->g;
    int64_t start_time;
    if (!process_start_time(pid, &start_time))
        return fail(cx, ERR_UNAVAILABLE, "the process of server %s ended at once", g->id);
    AUTO_LOCK(&g->lock);
    g->rec.power = RECORD_STARTING;
    g->rec.pid = pid;
    g->rec.pid_start = start_time;
    host_boot_id(g->rec.host_boot_id, sizeof(g->rec.host_boot_id));
    return guest_save(cx, g);
}

static struct err *record_on(struct ctx *cx, struct start *s)
{
    struct guest *g = s->g;
    AUTO_LOCK(&g->lock);
    if (g->pidfd < 0)
        return fail(cx, ERR_UNAVAILABLE, "it ended at once");
    g->rec.power = RECORD_ON;
    g->rec.boot_seq = s->spec->boot_seq;
    g->rec.reset_seq = s->spec->reset_seq;
    g->rec.guest_shutdown = false;
    g->rec.started_at_us = now_us(cx);
    return guest_save(cx, g);
}

static void record_argv(struct ctx *cx, struct guest *g, const char *const *argv, json_t *devices)
{
    json_t *line = json_own(cx, json_array());
    for (; *argv; argv++)
        must(json_array_append_new(line, json_string(*argv)) == 0);
    AUTO_LOCK(&g->lock);
    record_set_json(&g->rec.argv, line);
    record_set_json(&g->rec.devices, devices);
}

static struct err *launch_qemu(struct ctx *cx, struct start *s)
{
    struct guest *g = s->g;
    const char **argv;
    json_t *devices;
    make_argv(cx, s, &argv, &devices);
    record_argv(cx, g, argv, devices);
    int monitor = -1;
    TRY(monitor_connect(cx, s->dir_fd, &monitor)); /* to our own listener, so nothing races */
    const struct launch l = {.argv = argv,
                             .fds = s->fds,
                             .n_fds = OWN_FDS + s->spec->n_nics,
                             .dir_fd = s->dir_fd,
                             .log_fd = s->log_fd,
                             .uid = s->uid,
                             .extra_gid = g->drv->host.kvm_gid,
                             .cgroup_fds = s->cgroup_fds,
                             .n_cgroups = s->n_cgroups};
    pid_t pid;
    struct err *e = launch(cx, &l, record_starting, s, &pid);
    if (e) {
        close(monitor);
        return e;
    }
    /* When QEMU ends, its end of the monitor must be the last one. */
    close_fd_p(own_fd(s, FD_MONITOR));
    close_fd_p(own_fd(s, FD_SERIAL));
    int pidfd = process_open(pid);
    must(pidfd >= 0); /* our child, not waited for */
    guest_watch(g, pidfd, monitor);
    return NULL;
}

static struct err *let_run(struct ctx *cx, struct start *s)
{
    struct qmp *q;
    TRY(guest_monitor(cx, s->g, &q));
    struct err *e = qmp_call(cx, q, "query-status", NULL, -1, GREETING_TIMEOUT_MS, NULL);
    if (!e)
        e = qmp_call(cx, q, "cont", NULL, -1, COMMAND_TIMEOUT_MS, NULL);
    qmp_unref(q);
    return e ? e : record_on(cx, s);
}

/* What QEMU wrote before it gave up. */
static const char *last_words(struct ctx *cx, int log_fd)
{
    struct buf b;
    buf_init(&b, cx->arena);
    if (file_tail(cx, log_fd, 2000, &b) || b.len == 0)
        return "it gave no reason";
    for (size_t i = 0; i < b.len; i++)
        if ((unsigned char)b.data[i] < ' ')
            b.data[i] = ' ';
    return buf_cstr(&b);
}

/* Back to off, with no process. */
static struct err *give_up(struct ctx *cx, struct start *s, struct err *why)
{
    guest_signal(s->g, SIGKILL);
    TRY(guest_await_end(cx, s->g, END_TIMEOUT_MS));
    TRY(cgroup_kill(cx, &s->g->drv->cgroups, s->g->id));
    AUTO_LOCK(&s->g->lock);
    s->g->rec.power = RECORD_OFF;
    s->g->rec.pid = 0;
    TRY(guest_save(cx, s->g));
    return wrap(cx, why, why->kind, "server %s cannot be started: %s. QEMU said: %s", s->g->id,
                why->message, last_words(cx, s->log_fd));
}

static struct err *open_all(struct ctx *cx, struct start *s)
{
    TRY(guest_dir(cx, s->g, &s->dir_fd));
    TRY(make_run_dir(cx, s));
    TRY(open_logs(cx, s));
    TRY(open_disks(cx, s));
    TRY(listen_at(cx, s->dir_fd, MONITOR_NAME, own_fd(s, FD_MONITOR)));
    TRY(listen_at(cx, s->dir_fd, "serial.sock", own_fd(s, FD_SERIAL)));
    return make_cgroup(cx, s);
}

struct err *guest_start(struct ctx *cx, struct guest *g, const struct spec_server *spec,
                        const int *taps)
{
    __attribute__((cleanup(start_fini))) struct start s = {
        .g = g, .spec = spec, .dir_fd = -1, .log_fd = -1};
    for (size_t i = 0; i < ARRAY_LEN(s.fds); i++)
        s.fds[i] = -1;
    for (size_t i = 0; i < spec->n_nics; i++)
        s.fds[OWN_FDS + i] = taps[i];
    pthread_mutex_lock(&g->lock);
    s.image_path = arena_strdup(cx->arena, g->rec.image_path);
    s.image_format = arena_strdup(cx->arena, g->rec.image_format);
    s.config_drive = g->rec.config_drive;
    s.build_seq = g->rec.build_seq;
    s.uid = g->rec.uid;
    pthread_mutex_unlock(&g->lock);
    TRY(open_all(cx, &s));
    struct err *e = launch_qemu(cx, &s);
    if (!e)
        e = let_run(cx, &s);
    return e ? give_up(cx, &s, e) : NULL;
}
