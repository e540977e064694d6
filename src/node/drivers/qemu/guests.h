/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The driver's guests in memory, found again after our own death, and the one thread that watches
 * all of them: their monitors (events, replies) and their processes (pidfd). Whatever ends a guest,
 * the watcher alone writes down how.
 */
#pragma once

#include "node/drivers/driver.h"
#include "node/drivers/qemu/cgroup.h"
#include "node/drivers/qemu/host.h"
#include "node/drivers/qemu/qmp.h"
#include "node/drivers/qemu/record.h"
#include "node/drivers/tools/qcow2.h"

#define MONITOR_NAME "qmp.sock"
#define SERIAL_NAME "serial.sock"
#define RUN_NAME "run" /* the only folder that QEMU may write in by name */
#define QEMU_LOG_NAME "qemu.log"
#define FENCED_NAME "fenced" /* there: the host, not the guest, ended this process (fence.h) */
#define GONE_PREFIX ".gone-" /* folders whose guest is destroyed */

struct shutdown_cause;

enum guest_vcpus {
    VCPUS_UNKNOWN, /* just found again */
    VCPUS_RUN,
    VCPUS_STAND,
    VCPUS_STUCK, /* stand because the host's disk is full; the watcher tries again and again */
};

struct guest {
    struct qemu *drv;
    char id[37];
    uint64_t serial;      /* for epoll: a pointer could be stale */
    int refs;             /* drv->lock guards refs and uid */
    uid_t uid;            /* 0: none yet */
    pthread_mutex_t call; /* one call of the driver at a time; taken before lock */
    pthread_mutex_t lock; /* guards what follows; never held across a monitor call */
    pthread_cond_t changed;
    struct record rec;
    bool recorded; /* rec is on disk */
    char *broken;  /* why nothing but destroy may touch it; NULL: it is fine */
    int pidfd;     /* -1: no process */
    struct qmp *qmp;
    const struct shutdown_cause *cause; /* heard from this process */
    enum guest_vcpus vcpus;
    uint64_t n_let_go;      /* devices that this process' guest let go */
    atomic_uint n_arriving; /* threads that receive parts of it; not the lock's */
};

struct qemu {
    char *data_dir, *qemu_path, *qemu_img_path;
    struct qemu_img img; /* runs as a user that no guest has */
    uid_t uid_first;
    unsigned uid_count;
    struct host host;
    struct cgroups cgroups;
    int servers_fd, lock_fd, epoll_fd, wake_fd;
    pthread_t watcher;
    bool watching;
    pthread_mutex_t lock; /* guards what follows */
    struct guest **guests;
    size_t n_guests, cap_guests;
    uint64_t last_serial;
    bool ending;
    void (*change_fn)(void *arg, const char *id);
    void *change_arg;
};

/* With a reference of the caller's, given back by guest_put; NULL: not there. */
struct guest *guest_find(struct qemu *d, const char *id);
/* The same, made (in memory) if not there. */
struct guest *guest_obtain(struct qemu *d, const char *id);
void guest_put(struct guest *g);
static inline void guest_put_p(struct guest **g)
{
    if (*g)
        guest_put(*g);
}
#define AUTO_GUEST __attribute__((cleanup(guest_put_p)))
/* For one call of the driver: the guest's calls wait for each other. make: as guest_obtain. */
struct guest *guest_call(struct qemu *d, const char *id, bool make);
static inline void guest_call_end_p(struct guest **g)
{
    if (!*g)
        return;
    pthread_mutex_unlock(&(*g)->call);
    guest_put(*g);
}
#define AUTO_CALL __attribute__((cleanup(guest_call_end_p)))
/* Out of the table; it goes with its last reference. */
void guest_forget(struct guest *g);
/* A uid that no other guest has; keeps the one it has. */
MUST_USE struct err *guest_give_uid(struct ctx *cx, struct guest *g);
MUST_USE struct err *guest_dir(struct ctx *cx, const struct guest *g, int *ret_fd);
const char *guest_path(struct ctx *cx, const struct guest *g);
/* ERR_CONFLICT for a broken one. */
MUST_USE struct err *guest_check(struct ctx *cx, struct guest *g);
/* The process of the record, by number and start time: a pidfd, or -1 when it is gone. */
int record_open_process(const struct record *r);
bool guest_was_fenced(int guest_fd);
/* rec on disk; g->lock held. */
MUST_USE struct err *guest_save(struct ctx *cx, struct guest *g);

/* From now on the watcher has the process and the monitor (-1: connect when needed). Takes both
 * descriptors. */
void guest_watch(struct guest *g, int pidfd, int qmp_socket);
bool guest_alive(struct guest *g);
/* Until the watcher has written down the end of the process. */
MUST_USE struct err *guest_await_end(struct ctx *cx, struct guest *g, int64_t timeout_ms);
/* SIGTERM lets QEMU close its images, SIGKILL is sure. */
void guest_signal(struct guest *g, int signal);
/* A reference to its monitor, connected anew if need be. ERR_CONFLICT when it doesn't run. */
MUST_USE struct err *guest_monitor(struct ctx *cx, struct guest *g, struct qmp **ret);
MUST_USE struct err *monitor_connect(struct ctx *cx, int guest_fd, int *ret_socket);

/*
 * Every guest under DATA/servers: those that run are watched, the end of the others is written
 * down. One whose record can't be read is left alone: its disk may be all that its owner has.
 */
MUST_USE struct err *guests_recover(struct ctx *cx, struct qemu *d);
MUST_USE struct err *guests_watch_begin(struct ctx *cx, struct qemu *d);
/* Ends the watcher and frees the table; guests run on. */
void guests_free(struct qemu *d);

/* The serial console's log: at most CONSOLE_KEPT_BYTES are kept, the older half in a second file.
 */
#define CONSOLE_KEPT_BYTES ((size_t)1 << 20)
#define CONSOLE_NAME "console.log"
MUST_USE struct err *console_trim(struct ctx *cx, int guest_fd);
MUST_USE struct err *console_read(struct ctx *cx, int guest_fd, size_t max_bytes, struct buf *ret);

/* Why QEMU ended, by the SHUTDOWN event's reason or by the number that the trace in qemu.log has.
 * NULL: unknown. */
const struct shutdown_cause *cause_by_reason(const char *reason);
const struct shutdown_cause *cause_in_log(const char *log);
/* What a guest is after it ended: by its record, the cause, and whether the host itself restarted
 * meanwhile. */
enum record_power power_after_end(enum record_power was, const struct shutdown_cause *cause,
                                  bool host_restarted, bool *ret_guest_shutdown);
