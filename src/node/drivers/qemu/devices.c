/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * NICs and volumes into a running guest and out of it. The record goes ahead of QEMU: a slot is
 * "plugging" or "unplugging" on disk before the first command, so a death of ours between any two
 * of them is seen by the next call, which looks at what QEMU has and finishes or undoes it.
 */
#include "node/drivers/qemu/argv.h"
#include "node/drivers/qemu/disk.h"
#include "node/drivers/qemu/monitor.h"
#include "node/drivers/qemu/ops.h"
#include <sys/stat.h>

#define LET_GO_TIMEOUT_US (10 * 1000000LL)
#define LOOK_AGAIN_MS 500
#define GETFD_TIMEOUT_MS 15000

/* ---- the record ---- */

static struct slot slot_now(struct guest *g, size_t i)
{
    AUTO_LOCK(&g->lock);
    return g->rec.layout.slots[i];
}

static struct err *slot_note(struct ctx *cx, struct guest *g, size_t i, const struct slot *s)
{
    AUTO_LOCK(&g->lock);
    g->rec.layout.slots[i] = *s;
    return guest_save(cx, g);
}

bool slot_of(struct guest *g, enum slot_kind kind, const char *id, size_t *ret)
{
    AUTO_LOCK(&g->lock);
    const struct slot *s = layout_find(&g->rec.layout, kind, id);
    if (s)
        *ret = layout_index(&g->rec.layout, s);
    return s != NULL;
}

static struct err *free_slot(struct ctx *cx, struct guest *g, size_t *ret)
{
    AUTO_LOCK(&g->lock);
    const struct slot *s = layout_free_slot(&g->rec.layout);
    if (!s)
        return fail(cx, ERR_CONFLICT,
                    "all %zu places for devices of server %s are taken; it has more after its next "
                    "start",
                    g->rec.layout.n_ports, g->id);
    *ret = layout_index(&g->rec.layout, s);
    return NULL;
}

/* ---- one slot ---- */

/* The tap that QEMU was given for a netdev it has not made yet, if there is one. */
static struct err *drop_tap(struct ctx *cx, struct qmp *q, const char *name)
{
    struct err *e = mon(cx, q, "closefd", json_pack("{s:s}", "fdname", name), NULL);
    return e && e->kind == ERR_CONFLICT ? NULL : e;
}

/* What the device stood on; absent is success. */
static struct err *drop_backend(struct ctx *cx, struct qmp *q, size_t i, enum slot_kind kind)
{
    const char *name = slot_backend(cx, i, kind);
    if (kind != SLOT_NIC) {
        TRY(mon_drop_node(cx, q, name));
        return mon_drop_file(cx, q, FD_SLOT_FIRST + (int)i);
    }
    struct err *e = mon(cx, q, "netdev_del", json_pack("{s:s}", "id", name), NULL);
    return e && e->kind != ERR_NOT_FOUND ? e : drop_tap(cx, q, name);
}

/* By what QEMU has of it. One that the guest has not let go stays "unplugging". */
static struct err *settle(struct ctx *cx, struct guest *g, struct qmp *q, size_t i)
{
    struct slot s = slot_now(g, i);
    bool there;
    TRY(mon_has_device(cx, q, slot_device(cx, i, s.kind), &there));
    if (there && s.step == SLOT_UNPLUGGING)
        return NULL;
    if (there) {
        s.step = SLOT_IN;
    } else {
        TRY(drop_backend(cx, q, i, s.kind));
        s = (struct slot){0};
    }
    return slot_note(cx, g, i, &s);
}

struct err *devices_settle(struct ctx *cx, struct guest *g)
{
    AUTO_QMP struct qmp *q = NULL;
    pthread_mutex_lock(&g->lock);
    bool settled = layout_is_settled(&g->rec.layout);
    size_t n = g->rec.layout.n_ports;
    pthread_mutex_unlock(&g->lock);
    if (settled)
        return NULL;
    TRY(guest_monitor(cx, g, &q));
    for (size_t i = 0; i < n; i++)
        if (slot_now(g, i).step != SLOT_IN)
            TRY(settle(cx, g, q, i));
    return NULL;
}

/* ---- plugging ---- */

static struct err *plug_backend(struct ctx *cx, struct qmp *q, size_t i, const struct slot *s,
                                int fd, bool direct)
{
    const char *name = slot_backend(cx, i, s->kind);
    if (s->kind == SLOT_VOLUME) {
        TRY(mon_pass_file(cx, q, fd, FD_SLOT_FIRST + (int)i));
        return mon_text(cx, q, "blockdev-add", volume_node(cx, i, s, direct));
    }
    json_t *fdname = json_own(cx, json_pack("{s:s}", "fdname", name));
    TRY(qmp_call(cx, q, "getfd", fdname, fd, GETFD_TIMEOUT_MS, NULL));
    return mon(cx, q, "netdev_add",
               json_pack("{s:s, s:s, s:s}", "type", "tap", "id", name, "fd", name), NULL);
}

static struct err *plug(struct ctx *cx, struct guest *g, struct slot *s, int fd, bool direct)
{
    AUTO_QMP struct qmp *q = NULL;
    size_t i = 0;
    TRY(free_slot(cx, g, &i));
    TRY(guest_monitor(cx, g, &q));
    s->step = SLOT_PLUGGING;
    TRY(slot_note(cx, g, i, s));
    struct err *e = plug_backend(cx, q, i, s, fd, direct);
    if (!e)
        e = mon_text(cx, q, "device_add", device_of(cx, i, s));
    /* Also after an error: QEMU may have done what it could not tell us any more. */
    struct err *unsettled = settle(cx, g, q, i);
    if (!unsettled && slot_now(g, i).step == SLOT_IN && slot_now(g, i).kind == s->kind)
        return NULL;
    return e ? e : unsettled;
}

struct err *call_running(struct ctx *cx, void *drv, const char *id, struct guest **ret)
{
    struct guest *g = *ret = guest_call(drv, id, false);
    if (!g || !guest_alive(g))
        return fail(cx, ERR_CONFLICT, "server %s is not running", id);
    return devices_settle(cx, g);
}

/* Is in: nothing to do. On its way out: not now. */
static struct err *check_in(struct ctx *cx, struct guest *g, enum slot_kind kind, const char *id,
                            bool *ret_in)
{
    size_t i;
    *ret_in = slot_of(g, kind, id, &i);
    if (*ret_in && slot_now(g, i).step == SLOT_UNPLUGGING)
        return fail(cx, ERR_TIMEOUT, "server %s has not let the device %s go yet", g->id, id);
    return NULL;
}

struct err *op_plug_nic(struct ctx *cx, void *drv, const char *id, const struct spec_nic *nic,
                        int tap)
{
    AUTO_CALL struct guest *g = NULL;
    bool in;
    TRY(call_running(cx, drv, id, &g));
    TRY(check_in(cx, g, SLOT_NIC, nic->port_id, &in));
    if (in)
        return NULL;
    struct slot s;
    slot_set_nic(&s, nic);
    return plug(cx, g, &s, tap, false);
}

struct err *volume_open(struct ctx *cx, const char *volume_id, const struct volume_access *volume,
                        bool read_only, int *ret_fd)
{
    struct qcow2 header;
    struct stat st;
    bool qcow2 = str_eq(volume->format, "qcow2");
    if (!qcow2 && !str_eq(volume->format, "raw"))
        return fail(cx, ERR_INVALID, "volume %s has disk format '%s'; guests take raw and qcow2",
                    volume_id, volume->format);
    AUTO_FD int fd = open(volume->path, (read_only ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return fail(cx, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
                    "the disk of volume %s cannot be opened: %m", volume_id);
    if (qcow2)
        TRY(qcow2_read(cx, fd, &header)); /* none that keeps its data in another file */
    *ret_fd = TAKE_FD(fd);
    return NULL;
}

struct err *op_plug_volume(struct ctx *cx, void *drv, const char *id, const struct spec_use *use,
                           const struct volume_access *volume)
{
    AUTO_CALL struct guest *g = NULL;
    AUTO_FD int fd = -1;
    bool in;
    TRY(call_running(cx, drv, id, &g));
    TRY(check_in(cx, g, SLOT_VOLUME, use->volume_id, &in));
    if (in)
        return NULL;
    struct slot s;
    TRY(volume_open(cx, use->volume_id, volume, use->read_only, &fd));
    slot_set_volume(&s, use->volume_id, volume->format, use->read_only);
    return plug(cx, g, &s, fd, file_allows_direct(AT_FDCWD, volume->path));
}

/* ---- unplugging ---- */

static struct err *ask_to_let_go(struct ctx *cx, struct qmp *q, const char *device)
{
    struct err *e = mon(cx, q, "device_del", json_pack("{s:s}", "id", device), NULL);
    if (e && (e->kind == ERR_NOT_FOUND || strstr(e->message, "in the process of unplug")))
        return NULL;
    return e;
}

/* Until another device was let go, or for a moment. */
static void wait_for_event(struct guest *g, uint64_t n_before)
{
    struct clock *c = clock_system();
    int64_t until_us = c->mono_us(c) + LOOK_AGAIN_MS * 1000;
    struct timespec t = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    AUTO_LOCK(&g->lock);
    while (g->n_let_go == n_before && g->pidfd >= 0)
        if (pthread_cond_timedwait(&g->changed, &g->lock, &t) == ETIMEDOUT)
            return;
}

static struct err *await_let_go(struct ctx *cx, struct guest *g, struct qmp *q, const char *device)
{
    struct clock *c = clock_system();
    int64_t until_us = c->mono_us(c) + LET_GO_TIMEOUT_US;
    for (;;) {
        bool there, running;
        pthread_mutex_lock(&g->lock);
        uint64_t n = g->n_let_go;
        pthread_mutex_unlock(&g->lock);
        TRY(mon_has_device(cx, q, device, &there));
        if (!there)
            return NULL;
        TRY(mon_running(cx, q, &running));
        if (!running || c->mono_us(c) > until_us)
            return fail(cx, ERR_TIMEOUT, "server %s does not let its %s go%s", g->id, device,
                        running ? "" : ": it is paused");
        wait_for_event(g, n);
    }
}

static struct err *unplug(struct ctx *cx, void *drv, const char *id, enum slot_kind kind,
                          const char *what)
{
    AUTO_CALL struct guest *g = NULL;
    AUTO_QMP struct qmp *q = NULL;
    size_t i;
    TRY(call_running(cx, drv, id, &g));
    if (!slot_of(g, kind, what, &i))
        return NULL;
    struct slot s = slot_now(g, i);
    const char *device = slot_device(cx, i, kind);
    TRY(guest_monitor(cx, g, &q));
    s.step = SLOT_UNPLUGGING;
    TRY(slot_note(cx, g, i, &s));
    TRY(ask_to_let_go(cx, q, device));
    TRY(await_let_go(cx, g, q, device));
    return settle(cx, g, q, i);
}

struct err *op_unplug_nic(struct ctx *cx, void *drv, const char *id, const char *port_id)
{
    return unplug(cx, drv, id, SLOT_NIC, port_id);
}

struct err *op_unplug_volume(struct ctx *cx, void *drv, const char *id, const char *volume_id)
{
    return unplug(cx, drv, id, SLOT_VOLUME, volume_id);
}
