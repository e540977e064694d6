/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A guest's memory in a file. Its vCPUs stand while it is written; the record says "suspended" once
 * the file is whole and on disk, and only then QEMU ends. The other way, the record says "on"
 * before the vCPUs go on: from there the disks are ahead of the file, which is then worth nothing.
 */
#include "node/drivers/qemu/monitor.h"
#include "node/drivers/qemu/ops.h"
#include "node/drivers/tools/files.h"

#define MEMORY_TEMP ".memory.tmp"
#define POLL_US 100000
#define SMALL_TIMEOUT_MS 60000
#define MS_A_MIB 50 /* at least 20 MiB a second */
#define GETFD_TIMEOUT_MS 15000

struct err *memory_remove(struct ctx *cx, int guest_fd)
{
    if (unlinkat(guest_fd, MEMORY_NAME, 0) != 0 && errno != ENOENT)
        return fail(cx, ERR_UNAVAILABLE, "cannot remove the memory of a server: %m");
    return NULL;
}

struct err *memory_forget(struct ctx *cx, struct guest *g)
{
    AUTO_FD int dir = -1;
    {
        AUTO_LOCK(&g->lock);
        if (!g->rec.suspended)
            return NULL;
        g->rec.suspended = false;
        TRY(guest_save(cx, g));
    }
    TRY(guest_dir(cx, g, &dir));
    return memory_remove(cx, dir);
}

/* ---- the stream ---- */

struct err *stream_pass(struct ctx *cx, struct qmp *q, int fd)
{
    json_t *name = json_own(cx, json_pack("{s:s}", "fdname", "memory"));
    return qmp_call(cx, q, "getfd", name, fd, GETFD_TIMEOUT_MS, NULL);
}

static struct err *stream_status(struct ctx *cx, struct qmp *q, const char **ret, const char **why)
{
    json_t *is;
    TRY(mon(cx, q, "query-migrate", NULL, &is));
    const char *status = json_get_str(is, "status");
    *ret = status ? status : "none";
    *why = json_get_str(is, "error-desc");
    return NULL;
}

static bool is_one_of(const char *status, const char *const *names)
{
    for (; *names; names++)
        if (str_eq(status, *names))
            return true;
    return false;
}

struct err *stream_await(struct ctx *cx, struct guest *g, struct qmp *q)
{
    static const char *const ended[] = {"failed", "cancelled", NULL};
    struct clock *c = clock_system();
    pthread_mutex_lock(&g->lock);
    int64_t mib = g->rec.layout.memory_mib;
    pthread_mutex_unlock(&g->lock);
    int64_t until_us = c->mono_us(c) + (SMALL_TIMEOUT_MS + mib * MS_A_MIB) * 1000;
    for (;;) {
        const char *status, *why;
        TRY(stream_status(cx, q, &status, &why));
        if (str_eq(status, "completed"))
            return NULL;
        if (is_one_of(status, ended))
            return fail(cx, ERR_UNAVAILABLE, "the memory of server %s: %s", g->id,
                        why ? why : status);
        if (c->mono_us(c) > until_us)
            return fail(cx, ERR_TIMEOUT, "the memory of server %s takes too long", g->id);
        usleep(POLL_US);
    }
}

struct err *stream_cancel(struct ctx *cx, struct qmp *q)
{
    static const char *const under_way[] = {"setup", "active", "device", "cancelling", NULL};
    for (int i = 0; i < 100; i++) {
        const char *status, *why;
        TRY(stream_status(cx, q, &status, &why));
        if (!is_one_of(status, under_way))
            return NULL;
        TRY(mon(cx, q, "migrate_cancel", NULL, NULL));
        usleep(POLL_US);
    }
    return fail(cx, ERR_TIMEOUT, "QEMU does not give up writing memory");
}

/* ---- suspending ---- */

static struct err *write_memory(struct ctx *cx, struct guest *g, struct qmp *q, int dir)
{
    AUTO_FD int fd = -1;
    TRY(file_create(cx, dir, MEMORY_TEMP, &fd));
    TRY(stream_pass(cx, q, fd));
    TRY(mon(cx, q, "migrate-set-parameters", json_pack("{s:I}", "max-bandwidth", STREAM_NO_LIMIT),
            NULL));
    TRY(mon(cx, q, "migrate", json_pack("{s:s}", "uri", "fd:memory"), NULL));
    TRY(stream_await(cx, g, q));
    return file_settle(cx, dir, MEMORY_TEMP, MEMORY_NAME);
}

static struct err *record_suspended(struct ctx *cx, struct guest *g)
{
    AUTO_LOCK(&g->lock);
    if (g->pidfd < 0)
        return fail(cx, ERR_CONFLICT, "server %s went off by itself", g->id);
    g->rec.suspended = true;
    g->rec.power = RECORD_STOPPING;
    return guest_save(cx, g);
}

struct err *guest_go_on(struct ctx *cx, struct guest *g, struct qmp *q, bool running)
{
    TRY(stream_cancel(cx, q));
    {
        AUTO_LOCK(&g->lock);
        if (g->rec.suspended) {
            g->rec.suspended = false;
            g->rec.power = RECORD_ON;
            TRY(guest_save(cx, g));
        }
    }
    return running ? mon(cx, q, "cont", NULL, NULL) : NULL;
}

/* Its vCPUs stand. After a stream that an earlier call wrote to its end, QEMU wants to have run
 * before it writes another. */
struct err *guest_stand_still(struct ctx *cx, struct guest *g, struct qmp *q)
{
    const char *status;
    TRY(mon_status(cx, q, &status));
    if (str_eq(status, "postmigrate"))
        TRY(mon(cx, q, "cont", NULL, NULL));
    TRY(mon(cx, q, "stop", NULL, NULL));
    AUTO_LOCK(&g->lock);
    g->vcpus = VCPUS_STAND; /* also where they were stuck */
    return NULL;
}

static struct err *save_memory(struct ctx *cx, struct guest *g)
{
    AUTO_QMP struct qmp *q = NULL;
    AUTO_FD int dir = -1;
    bool running;
    TRY(guest_monitor(cx, g, &q));
    TRY(guest_dir(cx, g, &dir));
    TRY(stream_cancel(cx, q));
    TRY(mon_running(cx, q, &running));
    TRY(guest_stand_still(cx, g, q));
    struct err *e = write_memory(cx, g, q, dir);
    if (!e)
        e = record_suspended(cx, g);
    if (!e)
        return NULL;
    unlinkat(dir, MEMORY_TEMP, 0);
    struct err *left UNUSED = guest_go_on(cx, g, q, running);
    return wrap(cx, e, e->kind, "server %s cannot be suspended: %s", g->id, e->message);
}

struct err *op_suspend(struct ctx *cx, void *drv, const char *id)
{
    AUTO_CALL struct guest *g = guest_call(drv, id, false);
    if (!g)
        return fail(cx, ERR_CONFLICT, "server %s is not running", id);
    pthread_mutex_lock(&g->lock);
    bool saved = g->rec.suspended, alive = g->pidfd >= 0;
    pthread_mutex_unlock(&g->lock);
    if (!alive)
        return saved ? NULL : fail(cx, ERR_CONFLICT, "server %s is not running", id);
    if (!saved) {
        TRY(devices_settle(cx, g));
        TRY(save_memory(cx, g));
    }
    return guest_end(cx, g, true);
}

/* ---- going on ---- */

struct err *memory_load(struct ctx *cx, struct guest *g)
{
    AUTO_QMP struct qmp *q = NULL;
    AUTO_FD int dir = -1;
    TRY(guest_monitor(cx, g, &q));
    TRY(guest_dir(cx, g, &dir));
    AUTO_FD int fd = openat(dir, MEMORY_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail(cx, ERR_CONFLICT, "the memory of server %s is gone; start it anew: %m", g->id);
    TRY(stream_pass(cx, q, fd));
    TRY(mon(cx, q, "migrate-incoming", json_pack("{s:s}", "uri", "fd:memory"), NULL));
    return stream_await(cx, g, q);
}
