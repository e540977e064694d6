/* SPDX-License-Identifier: EUPL-1.2 */
/* On, off, and between. How a process is started is in start.c, saved memory in suspend.c. */
#include "node/drivers/qemu/monitor.h"
#include "node/drivers/qemu/ops.h"
#include "node/drivers/qemu/start.h"
#include <signal.h>

#define QUIT_TIMEOUT_MS 5000
#define KILL_TIMEOUT_MS 20000
#define MAX_VCPUS 255
#define MAX_MEMORY_MIB ((int64_t)1 << 24)
#define MAX_ROOT_GIB ((int64_t)1 << 20)

struct err *guest_end(struct ctx *cx, struct guest *g, bool gently)
{
    pthread_mutex_lock(&g->lock);
    struct err *e = NULL;
    bool alive = g->pidfd >= 0;
    if (alive || g->rec.power == RECORD_CRASHED) {
        g->rec.power = alive ? RECORD_STOPPING : RECORD_OFF;
        e = guest_save(cx, g);
    }
    pthread_mutex_unlock(&g->lock);
    TRY(e);
    if (alive && gently) {
        guest_signal(g, SIGTERM);
        if (!guest_await_end(cx, g, QUIT_TIMEOUT_MS))
            return NULL;
    }
    guest_signal(g, SIGKILL);
    return guest_await_end(cx, g, KILL_TIMEOUT_MS);
}

static struct err *check_start(struct ctx *cx, const struct spec_server *spec)
{
    TRY(check_server_id(cx, spec->id));
    if (spec->vcpus < 1 || spec->vcpus > MAX_VCPUS)
        return fail(cx, ERR_INVALID, "a server cannot have %" PRId64 " vCPUs", spec->vcpus);
    if (spec->memory_mib < 1 || spec->memory_mib > MAX_MEMORY_MIB)
        return fail(cx, ERR_INVALID, "a server cannot have %" PRId64 " MiB of memory",
                    spec->memory_mib);
    if (spec->root_gib < 0 || spec->root_gib > MAX_ROOT_GIB)
        return fail(cx, ERR_INVALID, "a server cannot have a root disk of %" PRId64 " GiB",
                    spec->root_gib);
    return NULL;
}

static struct err *check_disks(struct ctx *cx, struct guest *g, const struct spec_server *spec)
{
    AUTO_LOCK(&g->lock);
    if (!g->recorded || g->rec.build_seq != spec->build_seq)
        return fail(cx, ERR_CONFLICT, "server %s has no disk of this build yet", spec->id);
    if (spec->rescue.seq && g->rec.rescue_disk != spec->rescue.seq)
        return fail(cx, ERR_CONFLICT, "server %s has no disk for this rescue yet", spec->id);
    return NULL;
}

struct err *op_start(struct ctx *cx, void *drv, const struct spec_server *spec, const int *taps,
                     const struct volume_access *volumes)
{
    struct qemu *d = drv;
    TRY(check_start(cx, spec));
    AUTO_CALL struct guest *g = guest_call(d, spec->id, false);
    if (!g)
        return fail(cx, ERR_CONFLICT, "server %s has no disk yet", spec->id);
    TRY(guest_check(cx, g));
    pthread_mutex_lock(&g->lock);
    bool alive = g->pidfd >= 0;
    bool resume = g->rec.suspended && spec->boot_seq <= g->rec.boot_seq;
    bool same = alive && g->rec.power == RECORD_ON && g->rec.boot_seq == spec->boot_seq &&
                !g->rec.suspended;
    pthread_mutex_unlock(&g->lock);
    if (same)
        return NULL;
    TRY(check_disks(cx, g, spec));
    if (alive)
        TRY(guest_end(cx, g, true));
    if (!resume)
        TRY(memory_forget(cx, g));
    TRY(cgroup_kill(cx, &d->cgroups, g->id));
    return guest_start(cx, g, spec, taps, volumes, resume);
}

/* Also out of a stop that was for another host's sake. */
static struct err *vcpus_run(struct ctx *cx, struct guest *g, bool run)
{
    AUTO_QMP struct qmp *q = NULL;
    TRY(guest_monitor(cx, g, &q));
    if (run) {
        TRY(stream_cancel(cx, q));
        TRY(mirror_drop(cx, q));
    }
    return mon(cx, q, run ? "cont" : "stop", NULL, NULL);
}

static struct err *tell_guest(struct ctx *cx, struct guest *g, const char *command)
{
    AUTO_QMP struct qmp *q = NULL;
    TRY(guest_monitor(cx, g, &q));
    return mon(cx, q, command, NULL, NULL);
}

struct err *op_pause(struct ctx *cx, void *drv, const char *id, bool paused)
{
    AUTO_CALL struct guest *g = NULL;
    TRY(call_running(cx, drv, id, &g));
    {
        /* From here on its saved memory, if there is any, is behind its disks. */
        AUTO_LOCK(&g->lock);
        if (g->rec.suspended)
            return fail(cx, ERR_CONFLICT, "server %s is suspended", id);
        TRY(guest_save(cx, g));
    }
    TRY(vcpus_run(cx, g, !paused));
    AUTO_LOCK(&g->lock);
    g->vcpus = paused ? VCPUS_STAND : VCPUS_RUN;
    return NULL;
}

struct err *op_shutdown(struct ctx *cx, void *drv, const char *id)
{
    AUTO_CALL struct guest *g = guest_call(drv, id, false);
    return g && guest_alive(g) ? tell_guest(cx, g, "system_powerdown") : NULL;
}

struct err *op_stop(struct ctx *cx, void *drv, const char *id)
{
    AUTO_CALL struct guest *g = guest_call(drv, id, false);
    if (!g)
        return NULL;
    TRY(guest_end(cx, g, true));
    return memory_forget(cx, g);
}

struct err *op_reset(struct ctx *cx, void *drv, const char *id, int64_t reset_seq)
{
    AUTO_CALL struct guest *g = guest_call(drv, id, false);
    if (!g || !guest_alive(g))
        return fail(cx, ERR_CONFLICT, "server %s is not running", id);
    pthread_mutex_lock(&g->lock);
    bool done = g->rec.reset_seq >= reset_seq;
    pthread_mutex_unlock(&g->lock);
    if (done)
        return NULL;
    TRY(tell_guest(cx, g, "system_reset"));
    AUTO_LOCK(&g->lock);
    g->rec.reset_seq = reset_seq;
    return guest_save(cx, g);
}
