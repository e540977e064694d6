/* SPDX-License-Identifier: EUPL-1.2 */
/* What can be done to a fake guest while it runs. See fake_guests.c. */
#include "node/drivers/fake/fake_impl.h"
#include <sys/socket.h>

/* The guest, on; NULL and an error if it isn't: it may have gone off by itself just now. */
static struct err *find_on(struct ctx *cx, struct fake_guests *f, const char *id,
                           struct guest **ret)
{
    *ret = fake_guest_find(f, id);
    return *ret && (*ret)->is.power == GUEST_ON ? NULL
                                                : fail(cx, ERR_CONFLICT, "guest %s is off", id);
}

struct err *fake_pause(struct ctx *cx, void *drv, const char *id, bool paused)
{
    struct fake_guests *f = drv;
    struct guest *g = NULL;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "pause", id, false));
    TRY(find_on(cx, f, id, &g));
    g->is.paused = paused;
    if (g->sent && !paused) {
        fake_guest_open_volumes(f, g);
        g->sent = false;
    }
    return fake_guest_done(cx, f, "pause", id);
}

struct err *fake_suspend(struct ctx *cx, void *drv, const char *id)
{
    struct fake_guests *f = drv;
    struct guest *g = NULL;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "suspend", id, false));
    TRY(find_on(cx, f, id, &g));
    fake_guest_close_volumes(f, g);
    g->is.power = GUEST_OFF;
    g->is.paused = false;
    g->is.suspended = true;
    return fake_guest_done(cx, f, "suspend", id);
}

struct err *fake_reset(struct ctx *cx, void *drv, const char *id, int64_t reset_seq)
{
    struct fake_guests *f = drv;
    struct guest *g = NULL;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "reset", id, false));
    TRY(find_on(cx, f, id, &g));
    g->is.reset_seq = reset_seq;
    return fake_guest_done(cx, f, "reset", id);
}

/* ---- devices ---- */

struct err *fake_plug_nic(struct ctx *cx, void *drv, const char *id, const struct spec_nic *nic,
                          int tap)
{
    struct fake_guests *f = drv;
    struct guest *g = NULL;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "plug_nic", id, false));
    TRY(find_on(cx, f, id, &g));
    must(tap >= 0);
    fake_ids_add(&g->ports, nic->port_id);
    return fake_guest_done(cx, f, "plug_nic", id);
}

struct err *fake_plug_volume(struct ctx *cx, void *drv, const char *id, const struct spec_use *use,
                             const struct volume_access *volume)
{
    struct fake_guests *f = drv;
    struct guest *g = NULL;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "plug_volume", id, false));
    TRY(find_on(cx, f, id, &g));
    must(volume->path && volume->format);
    if (f->volumes)
        TRY(fake_volume_hold(cx, fake_volumes_with(f, use->volume_id), use->volume_id, id, f));
    fake_ids_add(&g->volumes, use->volume_id);
    return fake_guest_done(cx, f, "plug_volume", id);
}

/* One whose vCPUs stand still can't let go. */
static struct err *find_listening(struct ctx *cx, struct fake_guests *f, const char *id,
                                  struct guest **ret)
{
    TRY(find_on(cx, f, id, ret));
    return f->deaf || (*ret)->is.paused
               ? fail(cx, ERR_TIMEOUT, "guest %s does not let the device go", id)
               : NULL;
}

struct err *fake_unplug_nic(struct ctx *cx, void *drv, const char *id, const char *port_id)
{
    struct fake_guests *f = drv;
    struct guest *g = NULL;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "unplug_nic", id, false));
    TRY(find_listening(cx, f, id, &g));
    fake_ids_remove(&g->ports, port_id);
    return fake_guest_done(cx, f, "unplug_nic", id);
}

struct err *fake_unplug_volume(struct ctx *cx, void *drv, const char *id, const char *volume_id)
{
    struct fake_guests *f = drv;
    struct guest *g = NULL;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "unplug_volume", id, false));
    TRY(find_listening(cx, f, id, &g));
    if (f->volumes && fake_ids_have(&g->volumes, volume_id))
        fake_volume_let_go(fake_volumes_with(f, volume_id), volume_id, id, f, false);
    fake_ids_remove(&g->volumes, volume_id);
    return fake_guest_done(cx, f, "unplug_volume", id);
}

/* ---- disks ---- */

static struct err *check_wanted(struct ctx *cx, const atomic_bool *given_up)
{
    if (given_up && atomic_load(given_up))
        return fail(cx, ERR_TIMEOUT, "the disk's copy is not wanted any more");
    return NULL;
}

struct err *fake_copy_root(struct ctx *cx, void *drv, const char *id, const char *to_path,
                           const atomic_bool *given_up)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "copy_root", id, false));
    TRY(check_wanted(cx, given_up));
    const struct guest *g = fake_guest_find(f, id);
    if (!g || !g->is.build_seq)
        return fail(cx, ERR_CONFLICT, "guest %s has no disk", id);
    const char *origin = arena_printf(cx->arena, "root %s %" PRId64, id, g->is.build_seq);
    TRY(fake_disk_write(cx, to_path, origin, 1));
    return fake_guest_done(cx, f, "copy_root", id);
}

/* It is open in this guest, as the caller says. */
static struct err *find_with(struct ctx *cx, struct fake_guests *f, const char *id,
                             const char *volume_id)
{
    struct guest *g = NULL;
    TRY(find_on(cx, f, id, &g));
    must(f->volumes && fake_ids_have(&g->volumes, volume_id));
    return g->sent ? fail(cx, ERR_CONFLICT, "guest %s is sent, and has given its volumes up", id)
                   : NULL;
}

struct err *fake_guest_volume_grow(struct ctx *cx, void *drv, const char *id, const char *volume_id,
                                   int64_t size_gib)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "volume_grow", volume_id, false));
    TRY(find_with(cx, f, id, volume_id));
    TRY(fake_volume_grow(cx, fake_volumes_with(f, volume_id), volume_id, id, size_gib));
    return fake_guest_done(cx, f, "volume_grow", volume_id);
}

struct err *fake_guest_volume_snapshot(struct ctx *cx, void *drv, const char *id,
                                       const char *volume_id, const char *snapshot_id, bool exists)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "volume_snapshot", volume_id, false));
    TRY(find_with(cx, f, id, volume_id));
    TRY(fake_volume_snapshot(cx, fake_volumes_with(f, volume_id), volume_id, id, snapshot_id,
                             exists));
    return fake_guest_done(cx, f, "volume_snapshot", volume_id);
}

struct err *fake_guest_volume_copy(struct ctx *cx, void *drv, const char *id, const char *volume_id,
                                   const char *to_path, const atomic_bool *given_up)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "volume_copy", volume_id, false));
    TRY(check_wanted(cx, given_up));
    TRY(find_with(cx, f, id, volume_id));
    TRY(fake_volume_copy(cx, fake_volumes_with(f, volume_id), volume_id, id, to_path));
    return fake_guest_done(cx, f, "volume_copy", volume_id);
}

/* ---- looking at it ---- */

static struct err *find_any(struct ctx *cx, struct fake_guests *f, const char *id,
                            const struct guest **ret)
{
    *ret = fake_guest_find(f, id);
    return *ret ? NULL : fail(cx, ERR_NOT_FOUND, "no guest %s on this host", id);
}

static const char *state_name(const struct guest *g)
{
    if (g->is.power == GUEST_ON)
        return g->is.paused ? "paused" : "running";
    if (g->is.power == GUEST_CRASHED)
        return "crashed";
    return g->is.suspended ? "suspended" : "shutdown";
}

struct err *fake_diagnostics(struct ctx *cx, void *drv, const char *id, struct jw *w)
{
    struct fake_guests *f = drv;
    const struct guest *g = NULL;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "diagnostics", id, false));
    TRY(find_any(cx, f, id, &g));
    bool on = g->is.power == GUEST_ON;
    jw_kstr(w, "state", state_name(g));
    jw_kstr(w, "driver", "libvirt"); /* the nearest of the names that nova's form has */
    jw_kstr(w, "hypervisor", "fake");
    jw_kstr(w, "hypervisor_os", "linux");
    jw_kint(w, "uptime", on ? (now_us(cx) - g->is.started_at_us) / 1000000 : 0);
    jw_kbool(w, "config_drive", false);
    jw_kint(w, "num_cpus", 1);
    jw_kint(w, "num_nics", (int64_t)g->ports.n);
    jw_kint(w, "num_disks", (int64_t)g->volumes.n + 1);
    jw_kraw(w, "cpu_details", "[{\"id\":0,\"time\":0,\"utilisation\":0}]");
    jw_kraw(w, "nic_details", "[]");
    jw_kraw(w, "disk_details", "[]");
    jw_kraw(w, "memory_details", "{\"maximum\":1,\"used\":0}");
    return NULL;
}

struct err *fake_connect(struct ctx *cx, void *drv, const char *id, enum console_kind kind,
                         int *ret_fd)
{
    struct fake_guests *f = drv;
    struct guest *g = NULL;
    int ends[2];
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "connect", id, false));
    TRY(find_on(cx, f, id, &g));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot make a socket: %m");
    AUTO_FD int guests_end = ends[1];
    const char *text = kind == CONSOLE_VNC ? "RFB 003.008\n" : "login: \n";
    if (write(guests_end, text, strlen(text)) < 0) {
        close(ends[0]);
        return fail(cx, ERR_UNAVAILABLE, "cannot write to a socket: %m");
    }
    *ret_fd = ends[0];
    return NULL;
}

struct err *fake_console(struct ctx *cx, void *drv, const char *id, size_t max_bytes,
                         struct buf *ret)
{
    struct fake_guests *f = drv;
    const struct guest *g = NULL;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "console", id, false));
    TRY(find_any(cx, f, id, &g));
    const char *text = "";
    if (g->starts)
        text = arena_printf(cx->arena, "fake guest %s\nstarted %" PRIu64 " times\nlogin: \n", id,
                            g->starts);
    size_t len = strlen(text), n = max_bytes && max_bytes < len ? max_bytes : len;
    buf_add(ret, text + len - n, n);
    return NULL;
}
