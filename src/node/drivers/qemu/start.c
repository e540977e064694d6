/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * See start.h. Opens everything QEMU needs, launches it paused, talks to it, records, lets it run.
 * The record goes ahead: "starting" with the process's number before QEMU can run, "on" before
 * anybody is told.
 */
#include "node/drivers/qemu/start.h"
#include "node/drivers/qemu/argv.h"
#include "node/drivers/qemu/disk.h"
#include "node/drivers/qemu/launch.h"
#include "node/drivers/qemu/monitor.h"
#include "node/drivers/qemu/ops.h"
#include "node/drivers/tools/files.h"
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define GREETING_TIMEOUT_MS 60000
#define END_TIMEOUT_MS 10000
#define MIB ((int64_t)1 << 20)
/* QEMU itself: its code cache, the screen, disk buffers, page tables; and for each port what a disk
 * there may take. */
#define OVERHEAD_MIB 256
#define PORT_MIB 8

/* A disk in the guest's folder that stands on an image. */
struct start_disk {
    const char *name, *image_path, *image_format;
    struct overlay how;
};

struct start {
    struct guest *g;
    const struct spec_server *spec;
    bool resume;
    const int *taps;
    const struct volume_access *volumes;
    int dir_fd, log_fd;
    int fds[FD_COPY - FD_MONITOR]; /* fds[i] becomes 3 + i */
    int cgroup_fds[CGROUP_MAX_TREES];
    size_t n_cgroups;
    struct start_disk root, rescue; /* of the record, copied; image_path NULL: there is none */
    bool config_drive;
    uid_t uid;
    struct layout layout;
    bool slot_direct[MACHINE_MAX_PORTS];
};

static void start_fini(struct start *s)
{
    for (size_t i = 0; i < ARRAY_LEN(s->fds); i++)
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

/* At least as large as it is to be. Memory that is gone on with knows the size it had. */
static struct err *grow_root(struct ctx *cx, struct start *s)
{
    struct qcow2 is;
    int fd = *own_fd(s, FD_ROOT);
    TRY(qcow2_read(cx, fd, &is));
    if (s->resume || is.size_bytes >= s->spec->root_gib * GIB)
        return NULL;
    return disk_resize(cx, &s->g->drv->img, fd, s->spec->root_gib * GIB, false);
}

static struct err *open_overlay(struct ctx *cx, struct start *s, struct start_disk *d, int fd,
                                int base_fd)
{
    struct qcow2 header;
    TRY(open_in(cx, s->dir_fd, d->name, O_RDWR, own_fd(s, fd)));
    *own_fd(s, base_fd) = open(d->image_path, O_RDONLY | O_CLOEXEC);
    if (*own_fd(s, base_fd) < 0)
        return fail(cx, ERR_NOT_FOUND,
                    "the image file '%s' that a disk of server %s builds on cannot be opened: %m",
                    d->image_path, s->g->id);
    if (str_eq(d->image_format, "qcow2"))
        TRY(qcow2_read(cx, *own_fd(s, base_fd), &header)); /* none with its data elsewhere */
    d->how = (struct overlay){.direct = file_allows_direct(s->dir_fd, d->name),
                              .base_direct = file_allows_direct(AT_FDCWD, d->image_path),
                              .base_format = d->image_format};
    return NULL;
}

static struct err *open_disks(struct ctx *cx, struct start *s)
{
    if (s->layout.root) {
        TRY(open_overlay(cx, s, &s->root, FD_ROOT, FD_BASE));
        TRY(grow_root(cx, s));
    }
    if (s->layout.rescue)
        TRY(open_overlay(cx, s, &s->rescue, FD_RESCUE, FD_RESCUE_BASE));
    if (s->layout.config_drive)
        TRY(open_in(cx, s->dir_fd, CONFIG_DRIVE_NAME, O_RDONLY, own_fd(s, FD_CONFIG_DRIVE)));
    return NULL;
}

static struct err *open_nic(struct ctx *cx, struct start *s, size_t slot)
{
    const char *id = s->layout.slots[slot].id;
    for (size_t i = 0; i < s->spec->n_nics; i++) {
        if (!str_eq(s->spec->nics[i].port_id, id))
            continue;
        int fd = fcntl(s->taps[i], F_DUPFD_CLOEXEC, 3);
        *own_fd(s, FD_SLOT_FIRST + (int)slot) = fd;
        return fd < 0 ? fail(cx, ERR_UNAVAILABLE, "cannot pass a tap on: %m") : NULL;
    }
    return fail(cx, ERR_CONFLICT, "the memory of server %s knows the port %s, which it has not",
                s->g->id, id);
}

static struct err *open_volume(struct ctx *cx, struct start *s, size_t slot)
{
    const struct slot *of = &s->layout.slots[slot];
    for (size_t i = 0; i < s->spec->n_volumes; i++) {
        if (!str_eq(s->spec->volumes[i].volume_id, of->id))
            continue;
        s->slot_direct[slot] = file_allows_direct(AT_FDCWD, s->volumes[i].path);
        return volume_open(cx, of->id, &s->volumes[i], of->read_only,
                           own_fd(s, FD_SLOT_FIRST + (int)slot));
    }
    return fail(cx, ERR_CONFLICT, "the memory of server %s knows the volume %s, which it has not",
                s->g->id, of->id);
}

static struct err *open_slots(struct ctx *cx, struct start *s)
{
    for (size_t i = 0; i < s->layout.n_ports; i++) {
        if (s->layout.slots[i].kind == SLOT_NIC)
            TRY(open_nic(cx, s, i));
        else if (s->layout.slots[i].kind == SLOT_VOLUME)
            TRY(open_volume(cx, s, i));
    }
    return NULL;
}

/* QEMU's own folder, the only place it may write by name. */
static struct err *make_run_dir(struct ctx *cx, const struct start *s)
{
    AUTO_FD int fd = -1;
    TRY(dir_remove(cx, s->dir_fd, RUN_NAME));
    return dir_make(cx, s->dir_fd, RUN_NAME, 0700, s->uid, s->uid, &fd);
}

static struct err *make_cgroup(struct ctx *cx, struct start *s)
{
    const struct layout *l = &s->layout;
    const struct cgroup_limits lim = {
        .memory_bytes =
            (l->memory_mib + l->memory_mib / 64 + OVERHEAD_MIB + (int64_t)l->n_ports * PORT_MIB) *
            MIB,
        .vcpus = l->vcpus,
        .pids = 256 + 4 * l->vcpus,
    };
    return cgroup_make(cx, &s->g->drv->cgroups, s->g->id, &lim, s->cgroup_fds, &s->n_cgroups);
}

static void make_argv(struct ctx *cx, const struct start *s, const char ***ret_argv)
{
    const struct qemu *d = s->g->drv;
    struct machine m = {
        .id = s->g->id,
        .qemu_path = d->qemu_path,
        .kvm = d->host.kvm,
        .incoming = s->resume,
        .root = s->root.how,
        .rescue = s->rescue.how,
        .layout = &s->layout,
    };
    memcpy(m.slot_direct, s->slot_direct, sizeof(m.slot_direct));
    machine_argv(cx, &m, ret_argv);
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
    g->rec.layout = s->layout;
    g->rec.pid = pid;
    g->rec.pid_start = start_time;
    host_boot_id(g->rec.host_boot_id, sizeof(g->rec.host_boot_id));
    TRY(guest_save(cx, g));
    /* On record it is the guard's to end, so a later look at the clock is nobody's. */
    if (s->spec->run_until_us && boot_us(cx) >= s->spec->run_until_us)
        return fail(cx, ERR_TIMEOUT, "the lease of this host ended before it ran");
    return NULL;
}

static struct err *record_on(struct ctx *cx, struct start *s)
{
    struct guest *g = s->g;
    AUTO_LOCK(&g->lock);
    if (g->pidfd < 0)
        return fail(cx, ERR_UNAVAILABLE, "it ended at once");
    g->rec.power = RECORD_ON;
    g->rec.suspended = false;
    if (!s->resume) {
        g->rec.boot_seq = s->spec->boot_seq;
        g->rec.reset_seq = s->spec->reset_seq;
        g->rec.rescue_seq = s->spec->rescue.seq;
    }
    g->rec.guest_shutdown = false;
    g->rec.started_at_us = now_us(cx);
    return guest_save(cx, g);
}

static void record_argv(struct ctx *cx, struct guest *g, const char *const *argv)
{
    json_t *line = json_own(cx, json_array());
    for (; *argv; argv++)
        must(json_array_append_new(line, json_string(*argv)) == 0);
    AUTO_LOCK(&g->lock);
    record_set_json(&g->rec.argv, line);
}

static struct err *launch_qemu(struct ctx *cx, struct start *s)
{
    struct guest *g = s->g;
    const char **argv;
    make_argv(cx, s, &argv);
    record_argv(cx, g, argv);
    int monitor = -1;
    TRY(monitor_connect(cx, s->dir_fd, &monitor)); /* to our own listener, so nothing races */
    const struct launch l = {.argv = argv,
                             .fds = s->fds,
                             .n_fds = (size_t)(FD_SLOT_FIRST - FD_MONITOR) + s->layout.n_ports,
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

/* Its record calls it on, no longer suspended, before its disks may change. */
static struct err *resume(struct ctx *cx, struct start *s, struct qmp *q)
{
    TRY(memory_load(cx, s->g));
    TRY(record_on(cx, s));
    struct err *e = s->spec->paused ? NULL : mon(cx, q, "cont", NULL, NULL);
    if (e &&
        e->kind == ERR_CONFLICT) { /* refused: it never ran, and the file is as good as before */
        AUTO_LOCK(&s->g->lock);
        s->g->rec.suspended = true;
    }
    if (!e) {
        struct err *left UNUSED = memory_remove(cx, s->dir_fd); /* the next start tries again */
    }
    return e;
}

static struct err *let_run(struct ctx *cx, struct start *s)
{
    AUTO_QMP struct qmp *q = NULL;
    TRY(guest_monitor(cx, s->g, &q));
    TRY(qmp_call(cx, q, s->resume ? "query-status" : "cont", NULL, -1, GREETING_TIMEOUT_MS, NULL));
    return s->resume ? resume(cx, s, q) : record_on(cx, s);
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
    TRY(make_run_dir(cx, s));
    TRY(open_logs(cx, s));
    TRY(open_disks(cx, s));
    TRY(open_slots(cx, s));
    TRY(listen_at(cx, s->dir_fd, MONITOR_NAME, own_fd(s, FD_MONITOR)));
    TRY(listen_at(cx, s->dir_fd, SERIAL_NAME, own_fd(s, FD_SERIAL)));
    return make_cgroup(cx, s);
}

/* From the record, which is not ours to hold. */
static void copy_record(struct ctx *cx, struct start *s)
{
    const struct record *r = &s->g->rec;
    AUTO_LOCK(&s->g->lock);
    s->root = (struct start_disk){.name = root_disk_name(cx, r->build_seq),
                                  .image_path = arena_strdup(cx->arena, r->image_path),
                                  .image_format = arena_strdup(cx->arena, r->image_format)};
    s->rescue = (struct start_disk){.name = rescue_disk_name(cx, r->rescue_disk),
                                    .image_path = arena_strdup(cx->arena, r->rescue_path),
                                    .image_format = arena_strdup(cx->arena, r->rescue_format)};
    s->config_drive = r->config_drive;
    s->uid = r->uid;
    s->layout = r->layout;
}

static struct err *plan_machine(struct ctx *cx, struct start *s)
{
    const struct spec_server *spec = s->spec;
    if (s->resume)
        return NULL;
    const char **formats = arena_new_array(cx->arena, const char *, spec->n_volumes + 1);
    for (size_t i = 0; i < spec->n_volumes; i++)
        formats[i] = s->volumes[i].format;
    return layout_make(cx, spec, s->root.image_path != NULL, s->config_drive, formats, &s->layout);
}

/* Rescued for good: the disk that helped is of no more use. */
static struct err *drop_rescue_disk(struct ctx *cx, struct start *s)
{
    struct guest *g = s->g;
    {
        AUTO_LOCK(&g->lock);
        if (!g->rec.rescue_disk || s->layout.rescue)
            return NULL;
        g->rec.rescue_disk = 0;
        record_set(&g->rec.rescue_path, NULL);
        record_set(&g->rec.rescue_format, NULL);
        TRY(guest_save(cx, g));
    }
    return overlays_tidy(cx, s->dir_fd, s->root.name, NULL);
}

struct err *guest_start(struct ctx *cx, struct guest *g, const struct spec_server *spec,
                        const int *taps, const struct volume_access *volumes, bool resume)
{
    __attribute__((cleanup(start_fini))) struct start s = {.g = g,
                                                           .spec = spec,
                                                           .resume = resume,
                                                           .taps = taps,
                                                           .volumes = volumes,
                                                           .dir_fd = -1,
                                                           .log_fd = -1};
    for (size_t i = 0; i < ARRAY_LEN(s.fds); i++)
        s.fds[i] = -1;
    copy_record(cx, &s);
    TRY(guest_dir(cx, g, &s.dir_fd));
    TRY(plan_machine(cx, &s));
    if (!resume)
        TRY(memory_remove(cx, s.dir_fd));
    TRY(drop_rescue_disk(cx, &s));
    if (unlinkat(s.dir_fd, FENCED_NAME, 0) != 0 && errno != ENOENT)
        return fail(cx, ERR_UNAVAILABLE, "cannot remove %s of server %s: %m", FENCED_NAME, g->id);
    TRY(open_all(cx, &s));
    struct err *e = launch_qemu(cx, &s);
    if (!e)
        e = let_run(cx, &s);
    return e ? give_up(cx, &s, e) : NULL;
}
