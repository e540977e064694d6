/* SPDX-License-Identifier: EUPL-1.2 */
/* See guests.h: the table, and finding guests again. */
#include "node/drivers/qemu/guests.h"
#include "node/drivers/tools/files.h"
#include "node/drivers/qemu/launch.h"
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define KILL_TIMEOUT_MS 10000

static struct guest *guest_new(struct qemu *d, const char *id)
{
    struct guest *g = calloc(1, sizeof(*g));
    must(g && strlen(id) < sizeof(g->id));
    g->drv = d;
    memcpy(g->id, id, strlen(id) + 1);
    g->serial = ++d->last_serial;
    g->refs = 1; /* the table's */
    g->pidfd = -1;
    record_init(&g->rec, id, 0);
    pthread_mutex_init(&g->call, NULL);
    pthread_mutex_init(&g->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&g->changed, &attr);
    pthread_condattr_destroy(&attr);
    return g;
}

static void guest_free(struct guest *g)
{
    close_fd_p(&g->pidfd);
    qmp_unref(g->qmp);
    record_fini(&g->rec);
    free(g->broken);
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
    pthread_mutex_destroy(&g->call);
    free(g);
}

static struct guest *lookup(struct qemu *d, const char *id)
{
    for (size_t i = 0; i < d->n_guests; i++)
        if (str_eq(d->guests[i]->id, id))
            return d->guests[i];
    return NULL;
}

struct guest *guest_find(struct qemu *d, const char *id)
{
    AUTO_LOCK(&d->lock);
    struct guest *g = lookup(d, id);
    if (g)
        g->refs++;
    return g;
}

struct guest *guest_obtain(struct qemu *d, const char *id)
{
    AUTO_LOCK(&d->lock);
    struct guest *g = lookup(d, id);
    if (!g) {
        if (d->n_guests == d->cap_guests) {
            d->cap_guests = d->cap_guests ? d->cap_guests * 2 : 16;
            d->guests = realloc(d->guests, d->cap_guests * sizeof(struct guest *));
            must(d->guests);
        }
        g = d->guests[d->n_guests++] = guest_new(d, id);
    }
    g->refs++;
    return g;
}

struct guest *guest_call(struct qemu *d, const char *id, bool make)
{
    struct guest *g = make ? guest_obtain(d, id) : guest_find(d, id);
    if (g)
        pthread_mutex_lock(&g->call);
    return g;
}

void guest_put(struct guest *g)
{
    struct qemu *d = g->drv;
    pthread_mutex_lock(&d->lock);
    bool last = --g->refs == 0;
    pthread_mutex_unlock(&d->lock);
    if (last)
        guest_free(g);
}

void guest_forget(struct guest *g)
{
    struct qemu *d = g->drv;
    AUTO_LOCK(&d->lock);
    for (size_t i = 0; i < d->n_guests; i++) {
        if (d->guests[i] == g) {
            d->guests[i] = d->guests[--d->n_guests];
            must(--g->refs > 0); /* the caller has one */
            return;
        }
    }
}

static bool uid_taken(const struct qemu *d, uid_t uid)
{
    for (size_t i = 0; i < d->n_guests; i++)
        if (d->guests[i]->uid == uid)
            return true;
    return false;
}

struct err *guest_give_uid(struct ctx *cx, struct guest *g)
{
    struct qemu *d = g->drv;
    AUTO_LOCK(&d->lock);
    for (unsigned i = 0; !g->uid && i < d->uid_count; i++)
        if (!uid_taken(d, d->uid_first + i))
            g->uid = d->uid_first + i;
    if (!g->uid)
        return fail(cx, ERR_UNAVAILABLE, "all %u uids for guests are taken on this host",
                    d->uid_count);
    return NULL;
}

struct err *guest_dir(struct ctx *cx, const struct guest *g, int *ret_fd)
{
    return dir_open(cx, g->drv->servers_fd, g->id, ret_fd);
}

const char *guest_path(struct ctx *cx, const struct guest *g)
{
    return arena_printf(cx->arena, "%s/servers/%s", g->drv->data_dir, g->id);
}

struct err *guest_check(struct ctx *cx, struct guest *g)
{
    AUTO_LOCK(&g->lock);
    if (g->broken)
        return fail(cx, ERR_CONFLICT, "server %s cannot be used: %s", g->id, g->broken);
    return NULL;
}

struct err *guest_save(struct ctx *cx, struct guest *g)
{
    AUTO_FD int fd = -1;
    TRY(guest_dir(cx, g, &fd));
    TRY(record_save(cx, fd, &g->rec));
    g->recorded = true;
    return NULL;
}

bool guest_alive(struct guest *g)
{
    AUTO_LOCK(&g->lock);
    return g->pidfd >= 0;
}

struct err *guest_await_end(struct ctx *cx, struct guest *g, int64_t timeout_ms)
{
    struct clock *c = clock_system();
    int64_t until_us = c->mono_us(c) + timeout_ms * 1000;
    struct timespec t = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    AUTO_LOCK(&g->lock);
    while (g->pidfd >= 0)
        if (pthread_cond_timedwait(&g->changed, &g->lock, &t) == ETIMEDOUT && g->pidfd >= 0)
            return fail(cx, ERR_TIMEOUT, "QEMU of server %s does not end", g->id);
    return NULL;
}

void guest_signal(struct guest *g, int signal)
{
    AUTO_LOCK(&g->lock);
    if (g->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, g->pidfd, signal, NULL, 0);
}

struct err *monitor_connect(struct ctx *cx, int guest_fd, int *ret_socket)
{
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    /* A socket's path is short; the folder's may be long. */
    snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/" MONITOR_NAME, guest_fd);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot reach QEMU's monitor: %m");
    *ret_socket = TAKE_FD(fd);
    return NULL;
}

struct err *guest_monitor(struct ctx *cx, struct guest *g, struct qmp **ret)
{
    AUTO_FD int dir = -1;
    int fd = -1;
    {
        AUTO_LOCK(&g->lock);
        if (g->pidfd < 0)
            return fail(cx, ERR_CONFLICT, "server %s is not running", g->id);
        if (g->qmp && !qmp_closed(g->qmp)) {
            *ret = qmp_ref(g->qmp);
            return NULL;
        }
    }
    TRY(guest_dir(cx, g, &dir));
    TRY(monitor_connect(cx, dir, &fd));
    guest_watch(g, -1, fd);
    AUTO_LOCK(&g->lock);
    if (!g->qmp)
        return fail(cx, ERR_UNAVAILABLE, "server %s ended just now", g->id);
    *ret = qmp_ref(g->qmp);
    return NULL;
}

bool guest_was_fenced(int guest_fd)
{
    return faccessat(guest_fd, FENCED_NAME, F_OK, 0) == 0;
}

int record_open_process(const struct record *r)
{
    char boot_id[37];
    int64_t start;
    host_boot_id(boot_id, sizeof(boot_id));
    if (r->pid <= 1 || !str_eq(boot_id, r->host_boot_id))
        return -1;
    int pidfd = process_open(r->pid);
    if (pidfd < 0)
        return -1;
    if (process_start_time(r->pid, &start) && start == r->pid_start &&
        (r->power == RECORD_STARTING || process_has_argument(r->pid, r->id)))
        return pidfd;
    close(pidfd);
    return -1;
}

static bool kill_and_wait(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    return poll(&p, 1, KILL_TIMEOUT_MS) == 1;
}

/* It ended while nobody watched. Where that can't be written now, the next start finds it out
 * again. */
static void note_end(struct ctx *cx, struct guest *g, int guest_fd)
{
    char boot_id[37];
    struct buf log;
    buf_init(&log, cx->arena);
    host_boot_id(boot_id, sizeof(boot_id));
    AUTO_FD int fd = openat(guest_fd, QEMU_LOG_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct err *e = fd >= 0 ? file_tail(cx, fd, 65536, &log) : NULL;
    g->rec.power = power_after_end(g->rec.power, e ? NULL : cause_in_log(buf_cstr(&log)),
                                   !str_eq(boot_id, g->rec.host_boot_id), &g->rec.guest_shutdown);
    if (guest_was_fenced(guest_fd))
        g->rec.power = RECORD_OFF;
    g->rec.pid = 0;
    e = guest_save(cx, g);
    if (e)
        log_err(cx, LOG_DEBUG, e, "end of guest not recorded", "server", g->id, NULL);
}

static void recover_running(struct ctx *cx, struct guest *g, int guest_fd)
{
    if (g->rec.power == RECORD_OFF || g->rec.power == RECORD_CRASHED)
        return;
    AUTO_FD int pidfd = record_open_process(&g->rec);
    /* Nobody was told that it runs, and it may lack what came next: the next start makes a whole
     * one. What is suspended was about to end. */
    bool to_end = g->rec.power == RECORD_STARTING || g->rec.suspended;
    if (pidfd >= 0 && to_end && kill_and_wait(pidfd))
        close_fd_p(&pidfd);
    if (pidfd < 0) {
        note_end(cx, g, guest_fd);
        return;
    }
    int monitor = -1;
    struct err *e = monitor_connect(cx, guest_fd, &monitor);
    if (e)
        log_err(cx, LOG_DEBUG, e, "guest without monitor", "server", g->id, NULL);
    guest_watch(g, TAKE_FD(pidfd), monitor);
}

static struct err *has_root_disk(struct ctx *cx, int guest_fd, bool *ret)
{
    const char **names;
    size_t n;
    TRY(dir_names(cx, guest_fd, &names, &n));
    *ret = false;
    for (size_t i = 0; i < n; i++)
        *ret = *ret || str_starts(names[i], "root-");
    return NULL;
}

/* Its record, or the reason why there is none. */
static struct err *read_record(struct ctx *cx, struct guest *g, int guest_fd)
{
    struct record r;
    bool disk;
    struct err *e = record_load(cx, guest_fd, &r);
    if (e && e->kind == ERR_NOT_FOUND) {
        TRY(has_root_disk(cx, guest_fd, &disk));
        if (disk)
            return fail(cx, ERR_CONFLICT, "it has a disk, but its %s is missing", RECORD_NAME);
        return NULL; /* half made: it never ran */
    }
    TRY(e);
    if (!str_eq(r.id, g->id)) {
        record_fini(&r);
        return fail(cx, ERR_CONFLICT, "its %s is another server's", RECORD_NAME);
    }
    record_fini(&g->rec);
    g->rec = r;
    g->recorded = true;
    g->uid = r.uid;
    return NULL;
}

static void recover_one(struct ctx *cx, struct qemu *d, const char *id)
{
    AUTO_GUEST struct guest *g = guest_obtain(d, id);
    AUTO_FD int dir = -1;
    struct stat st;
    struct err *e = guest_dir(cx, g, &dir);
    if (!e && fstat(dir, &st) == 0)
        g->uid = st.st_gid >= d->uid_first
                     ? st.st_gid
                     : 0; /* its folder's group, also where the record is lost */
    if (!e)
        e = read_record(cx, g, dir);
    if (!e && g->recorded)
        recover_running(cx, g, dir);
    if (e)
        record_set(&g->broken, e->message);
}

struct err *guests_recover(struct ctx *cx, struct qemu *d)
{
    const char **names;
    size_t n;
    TRY(dir_names(cx, d->servers_fd, &names, &n));
    for (size_t i = 0; i < n; i++) {
        if (str_starts(names[i], GONE_PREFIX))
            TRY(dir_remove(cx, d->servers_fd, names[i]));
        else if (strlen(names[i]) == 36 && uuid_valid(names[i]))
            recover_one(cx, d, names[i]);
    }
    return NULL;
}

void guests_free(struct qemu *d)
{
    if (d->watching) {
        uint64_t one = 1;
        pthread_mutex_lock(&d->lock);
        d->ending = true;
        pthread_mutex_unlock(&d->lock);
        ssize_t ignored UNUSED = write(d->wake_fd, &one, sizeof(one));
        pthread_join(d->watcher, NULL);
    }
    for (size_t i = 0; i < d->n_guests; i++)
        guest_put(d->guests[i]);
    free(d->guests);
    d->guests = NULL;
    d->n_guests = 0;
}
