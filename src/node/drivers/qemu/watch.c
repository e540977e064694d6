/* SPDX-License-Identifier: EUPL-1.2 */
/* See guests.h: the watcher thread, and how guests end. */
#include "node/drivers/tools/files.h"
#include "node/drivers/qemu/guests.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CARE_EVERY_MS 5000
#define BATCH 32
#define LOG_MAX_BYTES ((off_t)1 << 20)
#define CONSOLE_OLD_NAME "console.log.1"

/* QEMU's ShutdownCause (qapi/run-state.json), whose numbers the trace prints. */
struct shutdown_cause {
    int number;
    const char *reason;
    enum record_power power;
    bool guest_shutdown;
};
static const struct shutdown_cause causes[] = {
    {0, "none", RECORD_CRASHED, false},        {1, "host-error", RECORD_CRASHED, false},
    {2, "host-qmp-quit", RECORD_OFF, false},   {3, "host-qmp-system-reset", RECORD_OFF, false},
    {4, "host-signal", RECORD_OFF, false},     {5, "host-ui", RECORD_OFF, false},
    {6, "guest-shutdown", RECORD_OFF, true},   {7, "guest-reset", RECORD_OFF, true},
    {8, "guest-panic", RECORD_CRASHED, false},
};

const struct shutdown_cause *cause_by_reason(const char *reason)
{
    for (size_t i = 0; i < ARRAY_LEN(causes); i++)
        if (str_eq(causes[i].reason, reason))
            return &causes[i];
    return NULL;
}

const struct shutdown_cause *cause_in_log(const char *log)
{
    static const char mark[] = "qemu_system_shutdown_request reason=";
    const struct shutdown_cause *found = NULL;
    for (const char *p = log; (p = strstr(p, mark));) {
        p += sizeof(mark) - 1;
        for (size_t i = 0; i < ARRAY_LEN(causes); i++)
            if (p[0] == '0' + causes[i].number && (p[1] < '0' || p[1] > '9'))
                found = &causes[i];
    }
    return found;
}

enum record_power power_after_end(enum record_power was, const struct shutdown_cause *cause,
                                  bool host_restarted, bool *ret_guest_shutdown)
{
    if (was != RECORD_ON && !(was == RECORD_STOPPING && cause))
        return was == RECORD_CRASHED ? RECORD_CRASHED : RECORD_OFF;
    if (cause)
        *ret_guest_shutdown = cause->guest_shutdown;
    if (was == RECORD_STOPPING)
        return RECORD_OFF;
    if (cause)
        return cause->power;
    return host_restarted ? RECORD_OFF : RECORD_CRASHED;
}

static void add_to_epoll(struct guest *g, int fd, bool monitor)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = g->serial << 1 | (monitor ? 1 : 0)};
    must(epoll_ctl(g->drv->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0);
}

static void tell_change(struct qemu *d, const char *id)
{
    pthread_mutex_lock(&d->lock);
    void (*fn)(void *, const char *) = d->change_fn;
    void *arg = d->change_arg;
    pthread_mutex_unlock(&d->lock);
    if (fn)
        fn(arg, id);
}

/* A full disk stops them too, and is told of first. */
static enum guest_vcpus vcpus_after(enum guest_vcpus was, const char *event, const json_t *data)
{
    if (str_eq(event, "RESUME"))
        return VCPUS_RUN;
    if (str_eq(event, "STOP"))
        return was == VCPUS_STUCK ? VCPUS_STUCK : VCPUS_STAND;
    if (str_eq(event, "BLOCK_IO_ERROR") && str_eq(json_get_str(data, "action"), "stop"))
        return was == VCPUS_STAND ? VCPUS_STAND : VCPUS_STUCK;
    return was;
}

static void heard_event(void *arg, const char *name, const json_t *data)
{
    struct guest *g = arg;
    pthread_mutex_lock(&g->lock);
    bool let_go = str_eq(name, "DEVICE_DELETED") && json_get_str(data, "device");
    enum guest_vcpus was = g->vcpus;
    g->vcpus = vcpus_after(was, name, data);
    bool vcpus = was != g->vcpus;
    if (str_eq(name, "SHUTDOWN"))
        g->cause = cause_by_reason(json_get_str(data, "reason"));
    if (let_go) {
        g->n_let_go++;
        pthread_cond_broadcast(&g->changed);
    }
    pthread_mutex_unlock(&g->lock);
    if (let_go || vcpus)
        tell_change(g->drv, g->id);
}

void guest_watch(struct guest *g, int pidfd, int qmp_socket)
{
    struct qmp *old = NULL;
    pthread_mutex_lock(&g->lock);
    if (pidfd >= 0) {
        must(g->pidfd < 0);
        g->pidfd = pidfd;
        g->cause = NULL;
        add_to_epoll(g, pidfd, false);
    }
    if (qmp_socket >= 0 && g->pidfd >= 0) {
        old = g->qmp;
        g->qmp = qmp_new(qmp_socket, heard_event, g);
        g->vcpus = VCPUS_UNKNOWN; /* nobody heard what happened before */
        add_to_epoll(g, qmp_socket, true);
    } else if (qmp_socket >= 0) {
        close(qmp_socket);
    }
    pthread_mutex_unlock(&g->lock);
    if (old) {
        qmp_close(old);
        qmp_unref(old);
    }
}

static struct guest *by_serial(struct qemu *d, uint64_t serial)
{
    AUTO_LOCK(&d->lock);
    for (size_t i = 0; i < d->n_guests; i++) {
        if (d->guests[i]->serial == serial) {
            d->guests[i]->refs++;
            return d->guests[i];
        }
    }
    return NULL;
}

static struct qmp *take_monitor_ref(struct guest *g)
{
    AUTO_LOCK(&g->lock);
    return g->qmp ? qmp_ref(g->qmp) : NULL;
}

static void read_monitor(struct guest *g)
{
    struct qmp *q = take_monitor_ref(g);
    if (!q)
        return;
    if (!qmp_pump(q)) {
        epoll_ctl(g->drv->epoll_fd, EPOLL_CTL_DEL, qmp_fd(q), NULL);
        AUTO_LOCK(&g->lock);
        if (g->qmp == q) {
            qmp_unref(g->qmp);
            g->qmp = NULL;
        }
    }
    qmp_unref(q);
}

static const struct shutdown_cause *cause_on_disk(struct ctx *cx, struct guest *g, bool *ret_fenced)
{
    AUTO_FD int dir = -1;
    struct buf log;
    buf_init(&log, cx->arena);
    if (guest_dir(cx, g, &dir))
        return NULL;
    *ret_fenced = guest_was_fenced(dir);
    AUTO_FD int fd = openat(dir, QEMU_LOG_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || file_tail(cx, fd, 65536, &log))
        return NULL;
    return cause_in_log(buf_cstr(&log));
}

/* The process is gone: its last words, its status, its record. */
static void process_ended(struct guest *g)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    read_monitor(g);
    pthread_mutex_lock(&g->lock);
    if (g->pidfd < 0) {
        pthread_mutex_unlock(&g->lock);
        return;
    }
    siginfo_t info;
    waitid((idtype_t)P_PIDFD, (id_t)g->pidfd, &info,
           WEXITED | WNOHANG); /* ours; or init has it since we died */
    bool fenced = false;
    const struct shutdown_cause *cause = g->cause ? g->cause : cause_on_disk(&cx, g, &fenced);
    g->rec.power =
        fenced ? RECORD_OFF : power_after_end(g->rec.power, cause, false, &g->rec.guest_shutdown);
    g->rec.pid = 0;
    struct err *e = guest_save(&cx, g);
    if (e) /* the next start of the agent finds out again */
        log_err(&cx, LOG_DEBUG, e, "end of guest not recorded", "server", g->id, NULL);
    epoll_ctl(g->drv->epoll_fd, EPOLL_CTL_DEL, g->pidfd, NULL);
    close_fd_p(&g->pidfd);
    struct qmp *q = TAKE_PTR(g->qmp);
    if (q)
        epoll_ctl(g->drv->epoll_fd, EPOLL_CTL_DEL, qmp_fd(q), NULL);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
    if (q) {
        qmp_close(q);
        qmp_unref(q);
    }
    tell_change(g->drv, g->id);
}

static void trim_log(int dir)
{
    struct stat st;
    AUTO_FD int fd = openat(dir, QEMU_LOG_NAME, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > LOG_MAX_BYTES) {
        int ignored UNUSED = ftruncate(fd, 0); /* QEMU appends */
    }
}

/* There may be room again. Not in the middle of a call, which may want it to stand. */
static void free_stuck(struct guest *g)
{
    if (pthread_mutex_trylock(&g->call) != 0)
        return;
    pthread_mutex_lock(&g->lock);
    struct qmp *q = g->vcpus == VCPUS_STUCK && g->qmp ? qmp_ref(g->qmp) : NULL;
    pthread_mutex_unlock(&g->lock);
    if (q)
        qmp_tell(q, "cont");
    qmp_unref(q);
    pthread_mutex_unlock(&g->call);
}

static void care_for(struct guest *g)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    AUTO_FD int dir = -1;
    if (!guest_alive(g) || guest_dir(&cx, g, &dir))
        return;
    free_stuck(g);
    trim_log(dir);
    AUTO_LOCK(&g->lock);
    struct err *e = console_trim(&cx, dir);
    if (e)
        log_err(&cx, LOG_DEBUG, e, "console log not trimmed", "server", g->id, NULL);
}

/* A guest may write to its console without end. */
static void care_for_all(struct qemu *d)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    pthread_mutex_lock(&d->lock);
    size_t n = d->n_guests;
    uint64_t *serials = arena_new_array(cx.arena, uint64_t, n + 1);
    for (size_t i = 0; i < n; i++)
        serials[i] = d->guests[i]->serial;
    pthread_mutex_unlock(&d->lock);
    for (size_t i = 0; i < n; i++) {
        AUTO_GUEST struct guest *g = by_serial(d, serials[i]);
        if (g)
            care_for(g);
    }
}

static bool ending(struct qemu *d)
{
    AUTO_LOCK(&d->lock);
    return d->ending;
}

static void *watch(void *arg)
{
    struct qemu *d = arg;
    struct clock *c = clock_system();
    int64_t cared_us = c->mono_us(c);
    while (!ending(d)) {
        struct epoll_event events[BATCH];
        int n = epoll_wait(d->epoll_fd, events, BATCH, CARE_EVERY_MS);
        for (int i = 0; i < n; i++) {
            AUTO_GUEST struct guest *g = by_serial(d, events[i].data.u64 >> 1);
            if (g && (events[i].data.u64 & 1))
                read_monitor(g);
            else if (g)
                process_ended(g);
        }
        if (c->mono_us(c) - cared_us > CARE_EVERY_MS * 1000LL) {
            care_for_all(d);
            cared_us = c->mono_us(c);
        }
    }
    return NULL;
}

struct err *guests_watch_begin(struct ctx *cx, struct qemu *d)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0}; /* no guest has serial 0 */
    if (epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, d->wake_fd, &e) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot watch guests: %m");
    int code = pthread_create(&d->watcher, NULL, watch, d);
    if (code) {
        errno = code;
        return fail(cx, ERR_UNAVAILABLE, "cannot start a thread: %m");
    }
    d->watching = true;
    return NULL;
}

struct err *console_trim(struct ctx *cx, int guest_fd)
{
    struct stat st;
    AUTO_FD int fd = openat(guest_fd, CONSOLE_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size <= (off_t)CONSOLE_KEPT_BYTES / 2)
        return NULL;
    struct buf old;
    buf_init(&old, cx->arena);
    TRY(file_tail(cx, fd, CONSOLE_KEPT_BYTES / 2, &old));
    TRY(file_write(cx, guest_fd, CONSOLE_OLD_NAME, buf_cstr(&old), old.len, 0600));
    if (ftruncate(fd, 0) != 0) /* QEMU appends, and goes on at the start */
        return fail(cx, ERR_UNAVAILABLE, "cannot shorten the console's log: %m");
    return NULL;
}

static struct err *add_tail(struct ctx *cx, int guest_fd, const char *name, size_t max,
                            struct buf *ret)
{
    AUTO_FD int fd = openat(guest_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 || max == 0 ? NULL : file_tail(cx, fd, max, ret);
}

struct err *console_read(struct ctx *cx, int guest_fd, size_t max_bytes, struct buf *ret)
{
    size_t max = max_bytes && max_bytes < CONSOLE_KEPT_BYTES ? max_bytes : CONSOLE_KEPT_BYTES;
    struct buf now;
    buf_init(&now, cx->arena);
    TRY(add_tail(cx, guest_fd, CONSOLE_NAME, max, &now));
    TRY(add_tail(cx, guest_fd, CONSOLE_OLD_NAME, max - now.len, ret));
    buf_add(ret, buf_cstr(&now), now.len);
    return NULL;
}
