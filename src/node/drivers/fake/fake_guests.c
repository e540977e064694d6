/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Guests that exist in memory only (and in a file, where asked: fake_file.c). They obey at once,
 * keep their own counters as the interface wants, and assert what an agent must never do: start a
 * guest that is on, or has no disk. fake_devices.c has the calls for running guests.
 */
#include "node/drivers/fake/fake_impl.h"

/* ---- ids ---- */

bool fake_ids_have(const struct ids *l, const char *id)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->of[i], id))
            return true;
    return false;
}

void fake_ids_add(struct ids *l, const char *id)
{
    if (fake_ids_have(l, id))
        return;
    must(l->n < DEVICES_MAX && strlen(id) < sizeof(l->of[0]));
    memcpy(l->of[l->n++], id, strlen(id) + 1);
}

void fake_ids_remove(struct ids *l, const char *id)
{
    for (size_t i = 0; i < l->n; i++) {
        if (!str_eq(l->of[i], id))
            continue;
        l->n--;
        memmove(l->of[i], l->of[i + 1], (l->n - i) * sizeof(l->of[0]));
        return;
    }
}

const char **fake_ids_copy(struct ctx *cx, const struct ids *l)
{
    const char **out = arena_new_array(cx->arena, const char *, l->n + 1);
    for (size_t i = 0; i < l->n; i++)
        out[i] = arena_strdup(cx->arena, l->of[i]);
    return out;
}

/* ---- the table ---- */

struct err *fake_guest_fault(struct ctx *cx, struct fake_guests *f, const char *call,
                             const char *id, bool after)
{
    return f->fault ? f->fault(cx, f->fault_arg, call, id, after) : NULL;
}

struct guest *fake_guest_find(struct fake_guests *f, const char *id)
{
    struct guest *g = f->guests;
    while (g && !str_eq(g->id, id))
        g = g->next;
    return g;
}

struct guest *fake_guest_find_or_add(struct fake_guests *f, const char *id)
{
    struct guest *g = fake_guest_find(f, id);
    if (g)
        return g;
    g = calloc(1, sizeof(*g));
    must(g && strlen(id) < sizeof(g->id));
    memcpy(g->id, id, strlen(id) + 1);
    g->is.power = GUEST_OFF;
    g->next = f->guests;
    f->guests = g;
    return g;
}

static void drop(struct fake_guests *f, const char *id)
{
    for (struct guest **p = &f->guests; *p; p = &(*p)->next) {
        if (!str_eq((*p)->id, id))
            continue;
        struct guest *g = *p;
        *p = g->next;
        free(g);
        return;
    }
}

struct err *fake_guest_done(struct ctx *cx, struct fake_guests *f, const char *call, const char *id)
{
    TRY(fake_guests_save(cx, f));
    return fake_guest_fault(cx, f, call, id, true);
}

/* ---- disks ---- */

static void let_volumes_go(struct fake_guests *f, const struct guest *g, bool kept)
{
    for (size_t i = 0; f->volumes && i < g->volumes.n; i++)
        fake_volume_let_go(fake_volumes_with(f, g->volumes.of[i]), g->volumes.of[i], g->id, f,
                           kept);
}

void fake_guest_close_volumes(struct fake_guests *f, const struct guest *g)
{
    let_volumes_go(f, g, true);
}

void fake_guest_open_volumes(struct fake_guests *f, const struct guest *g)
{
    for (size_t i = 0; f->volumes && i < g->volumes.n; i++)
        must(!fake_volume_hold(NULL, fake_volumes_with(f, g->volumes.of[i]), g->volumes.of[i],
                               g->id, f));
}

/* What a process had, or a suspended one's memory still has. */
static void lose_devices(struct fake_guests *f, struct guest *g)
{
    if (!g->forsaken)
        let_volumes_go(f, g, false);
    g->volumes.n = g->ports.n = 0;
    g->is.suspended = g->is.paused = g->forsaken = g->sent = false;
}

static struct err *fake_prepare(struct ctx *cx, void *drv, const struct spec_server *spec,
                                const char *image_path)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "prepare", spec->id, false));
    must(!image_path == !spec->image.id);
    struct guest *g = fake_guest_find_or_add(f, spec->id);
    if (g->is.power == GUEST_ON)
        return fail(cx, ERR_CONFLICT, "guest %s is on: its disk can't be replaced", spec->id);
    if (g->is.build_seq != spec->build_seq) {
        lose_devices(f, g);
        g->is.checkpoint = 0;
    }
    g->is.power = GUEST_OFF;
    g->is.build_seq = spec->build_seq;
    return fake_guest_done(cx, f, "prepare", spec->id);
}

static struct err *fake_prepare_rescue(struct ctx *cx, void *drv, const struct spec_server *spec,
                                       const char *image_path)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "prepare_rescue", spec->id, false));
    struct guest *g = fake_guest_find(f, spec->id);
    must(g && image_path && spec->rescue.seq && g->is.power != GUEST_ON);
    g->rescue_disk = spec->rescue.seq;
    return fake_guest_done(cx, f, "prepare_rescue", spec->id);
}

static struct err *fake_checkpoint(struct ctx *cx, void *drv, const char *id, int64_t number)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "checkpoint", id, false));
    struct guest *g = fake_guest_find(f, id);
    must(g && (number == 0 || g->is.power != GUEST_ON));
    g->is.checkpoint = number;
    return fake_guest_done(cx, f, "checkpoint", id);
}

static struct err *fake_restore(struct ctx *cx, void *drv, const char *id, int64_t restore_seq)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "restore", id, false));
    struct guest *g = fake_guest_find(f, id);
    must(g && g->is.power != GUEST_ON);
    if (g->is.checkpoint)
        lose_devices(f, g); /* memory of another disk */
    g->is.restore_seq = restore_seq;
    return fake_guest_done(cx, f, "restore", id);
}

/* ---- power ---- */

/* A suspended guest finds the devices it had, no more and no fewer. */
static void must_be_the_same(const struct guest *g, const struct spec_server *spec)
{
    must(!g->forsaken);
    must(g->volumes.n == spec->n_volumes && g->ports.n == spec->n_nics);
    for (size_t i = 0; i < spec->n_volumes; i++)
        must(fake_ids_have(&g->volumes, spec->volumes[i].volume_id));
    for (size_t i = 0; i < spec->n_nics; i++)
        must(fake_ids_have(&g->ports, spec->nics[i].port_id));
}

static struct err *take_devices(struct ctx *cx, struct fake_guests *f, struct guest *g,
                                const struct spec_server *spec, const int *taps,
                                const struct volume_access *volumes)
{
    for (size_t i = 0; i < spec->n_volumes; i++) {
        const char *id = spec->volumes[i].volume_id;
        must(volumes[i].path && volumes[i].format);
        if (f->volumes)
            TRY(fake_volume_hold(cx, fake_volumes_with(f, id), id, g->id, f));
        fake_ids_add(&g->volumes, id);
    }
    for (size_t i = 0; i < spec->n_nics; i++) {
        must(taps[i] >= 0);
        fake_ids_add(&g->ports, spec->nics[i].port_id);
    }
    return NULL;
}

static void boot(struct ctx *cx, struct guest *g, const struct spec_server *spec)
{
    must(!spec->rescue.seq || g->rescue_disk == spec->rescue.seq);
    g->rescue_disk = g->is.rescue_seq = spec->rescue.seq;
    g->is.boot_seq = spec->boot_seq;
    g->is.reset_seq = spec->reset_seq;
    g->is.guest_shutdown = false;
    g->is.started_at_us = now_us(cx);
    g->starts++;
}

static struct err *fake_start(struct ctx *cx, void *drv, const struct spec_server *spec,
                              const int *taps, const struct volume_access *volumes)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "start", spec->id, false));
    struct guest *g = fake_guest_find(f, spec->id);
    if (!g || g->is.build_seq == 0)
        return fail(cx, ERR_CONFLICT, "guest %s has no disk", spec->id);
    if (g->is.power == GUEST_ON) /* repeated after a crash in its middle */
        return fake_guest_done(cx, f, "start", spec->id);
    if (spec->run_until_us && boot_us(cx) >= spec->run_until_us)
        return fail(cx, ERR_TIMEOUT, "the lease of this host ended before guest %s ran", spec->id);
    bool goes_on = g->is.suspended && spec->boot_seq <= g->is.boot_seq;
    if (goes_on)
        must_be_the_same(g, spec);
    else
        lose_devices(f, g);
    struct err *e = take_devices(cx, f, g, spec, taps, volumes);
    if (e) {
        lose_devices(f, g);
        return e;
    }
    g->sent = false;
    if (!goes_on)
        boot(cx, g, spec);
    g->is.power = GUEST_ON;
    g->is.suspended = false;
    g->is.paused = goes_on && spec->paused;
    return fake_guest_done(cx, f, "start", spec->id);
}

static bool goes_off(struct fake_guests *f, const char *id, enum guest_power power, bool by_itself)
{
    struct guest *g = fake_guest_find(f, id);
    if (!g || g->is.power != GUEST_ON)
        return false;
    lose_devices(f, g);
    g->is.power = power;
    g->is.guest_shutdown = by_itself;
    return true;
}

/* Nobody is told under the lock: who hears of it may want to look. */
static void unlock_and_tell(struct fake_guests *f, bool went, const char *id)
{
    void (*fn)(void *arg, const char *id) = f->changed;
    void *arg = f->changed_arg;
    pthread_mutex_unlock(&f->lock);
    if (went && fn)
        fn(arg, id);
}

static struct err *fake_shutdown(struct ctx *cx, void *drv, const char *id)
{
    struct fake_guests *f = drv;
    pthread_mutex_lock(&f->lock);
    struct err *e = fake_guest_fault(cx, f, "shutdown", id, false);
    const struct guest *g = fake_guest_find(f, id);
    bool hears = g && !f->deaf && !g->is.paused;
    bool went = !e && hears && goes_off(f, id, GUEST_OFF, true);
    if (!e)
        e = fake_guest_done(cx, f, "shutdown", id);
    unlock_and_tell(f, went, id);
    return e;
}

static struct err *fake_stop(struct ctx *cx, void *drv, const char *id)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "stop", id, false));
    struct guest *g = fake_guest_find(f, id);
    if (!goes_off(f, id, GUEST_OFF, false) && g)
        lose_devices(f, g);
    return fake_guest_done(cx, f, "stop", id);
}

static struct err *fake_destroy(struct ctx *cx, void *drv, const char *id)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "destroy", id, false));
    struct guest *g = fake_guest_find(f, id);
    if (g)
        lose_devices(f, g);
    drop(f, id);
    return fake_guest_done(cx, f, "destroy", id);
}

/* ---- what there is ---- */

static struct err *fake_state(struct ctx *cx, void *drv, const char *id, struct guest_state *ret)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "state", id, false));
    const struct guest *g = fake_guest_find(f, id);
    *ret = (struct guest_state){.power = GUEST_ABSENT};
    if (!g)
        return NULL;
    *ret = g->is;
    ret->volumes = fake_ids_copy(cx, &g->volumes);
    ret->n_volumes = g->volumes.n;
    ret->ports = fake_ids_copy(cx, &g->ports);
    ret->n_ports = g->ports.n;
    return NULL;
}

static struct err *fake_list(struct ctx *cx, void *drv, const char ***ret_ids, size_t *ret_n)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "list", NULL, false));
    size_t n = 0;
    for (const struct guest *g = f->guests; g; g = g->next)
        n++;
    const char **ids = arena_new_array(cx->arena, const char *, n + 1);
    n = 0;
    for (const struct guest *g = f->guests; g; g = g->next)
        ids[n++] = arena_strdup(cx->arena, g->id);
    *ret_ids = ids;
    *ret_n = n;
    return NULL;
}

static void fake_on_change(void *drv, void (*fn)(void *arg, const char *id), void *arg)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    f->changed = fn;
    f->changed_arg = arg;
}

static struct err *fake_inventory(struct ctx *cx UNUSED, void *drv UNUSED, struct jw *w)
{
    jw_kint(w, "vcpus", 64);
    jw_kint(w, "memory_mib", 262144);
    jw_kint(w, "disk_gib", 10240);
    jw_kstr(w, "hypervisor_type", "fake");
    jw_kint(w, "hypervisor_version", 1000);
    jw_kstr(w, "cpu_info", "{\"arch\":\"x86_64\",\"model\":\"fake\"}");
    return NULL;
}

static void fake_free(void *drv)
{
    struct fake_guests *f = drv;
    while (f->guests)
        drop(f, f->guests->id);
    ctx_release(&f->cx);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static const struct guest_driver fake_guest_driver = {
    .name = "fake",
    .prepare = fake_prepare,
    .prepare_rescue = fake_prepare_rescue,
    .start = fake_start,
    .pause = fake_pause,
    .suspend = fake_suspend,
    .plug_nic = fake_plug_nic,
    .unplug_nic = fake_unplug_nic,
    .plug_volume = fake_plug_volume,
    .unplug_volume = fake_unplug_volume,
    .checkpoint = fake_checkpoint,
    .restore = fake_restore,
    .copy_root = fake_copy_root,
    .volume_grow = fake_guest_volume_grow,
    .volume_snapshot = fake_guest_volume_snapshot,
    .volume_copy = fake_guest_volume_copy,
    .send = fake_send,
    .receive = fake_receive,
    .receive_end = fake_receive_end,
    .diagnostics = fake_diagnostics,
    .connect = fake_connect,
    .shutdown = fake_shutdown,
    .stop = fake_stop,
    .reset = fake_reset,
    .destroy = fake_destroy,
    .state = fake_state,
    .list = fake_list,
    .console = fake_console,
    .on_change = fake_on_change,
    .free = fake_free,
    .inventory = fake_inventory,
};

void fake_guests_new(struct guest_backend *ret)
{
    struct fake_guests *f = calloc(1, sizeof(*f));
    must(f);
    pthread_mutex_init(&f->lock, NULL);
    ctx_init(&f->cx);
    *ret = (struct guest_backend){.ops = &fake_guest_driver, .drv = f};
}

/* ---- for tests ---- */

static struct fake_guests *fake_of(struct guest_backend *b)
{
    must(b->ops == &fake_guest_driver);
    return b->drv;
}

void fake_guests_set_fault(struct guest_backend *b, fake_fault_fn *fn, void *arg)
{
    struct fake_guests *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    f->fault = fn;
    f->fault_arg = arg;
}

struct err *fake_guests_set_file(struct ctx *cx, struct guest_backend *b, const char *path)
{
    struct fake_guests *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    f->path = arena_strdup(f->cx.arena, path);
    return fake_guests_load(cx, f);
}

void *fake_volumes_with(const struct fake_guests *f, const char *id)
{
    return f->shared && fake_volume_exists(f->shared, id) ? f->shared : f->volumes;
}

void fake_guests_set_shared(struct guest_backend *b, struct volume_backend *volumes)
{
    struct fake_guests *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    f->shared = volumes->drv;
}

void fake_guests_set_volumes(struct guest_backend *b, struct volume_backend *volumes)
{
    struct fake_guests *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    f->volumes = volumes->drv;
    for (const struct guest *g = f->guests; g; g = g->next) {
        fake_guest_open_volumes(f, g);
        if (g->is.suspended)
            fake_guest_close_volumes(f, g);
    }
}

static bool by_itself(struct guest_backend *b, const char *id, enum guest_power power,
                      bool shutdown)
{
    struct fake_guests *f = fake_of(b);
    struct ctx cx;
    ctx_init(&cx);
    pthread_mutex_lock(&f->lock);
    bool went = goes_off(f, id, power, shutdown);
    must(!fake_guests_save(&cx, f));
    unlock_and_tell(f, went, id);
    ctx_release(&cx);
    return went;
}

bool fake_guest_power_off(struct guest_backend *b, const char *id)
{
    return by_itself(b, id, GUEST_OFF, true);
}

bool fake_guest_fence(struct guest_backend *b, const char *id)
{
    return by_itself(b, id, GUEST_OFF, false);
}

bool fake_guest_crash(struct guest_backend *b, const char *id)
{
    return by_itself(b, id, GUEST_CRASHED, false);
}

void fake_guest_forsake(struct guest_backend *b, const char *id)
{
    struct fake_guests *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    struct guest *g = fake_guest_find(f, id);
    if (!g || !g->is.suspended || g->forsaken)
        return;
    let_volumes_go(f, g, false);
    g->forsaken = true;
}

void fake_guests_set_deaf(struct guest_backend *b, bool deaf)
{
    struct fake_guests *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    f->deaf = deaf;
}

size_t fake_guests_count(struct guest_backend *b, enum guest_power power)
{
    struct fake_guests *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    size_t n = 0;
    for (const struct guest *g = f->guests; g; g = g->next)
        n += g->is.power == power;
    return n;
}

bool fake_guest_state(struct guest_backend *b, const char *id, struct guest_state *ret)
{
    struct fake_guests *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    const struct guest *g = fake_guest_find(f, id);
    *ret = g ? g->is : (struct guest_state){.power = GUEST_ABSENT};
    return g != NULL;
}

bool fake_guest_has(struct guest_backend *b, const char *id, const char *device_id)
{
    struct fake_guests *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    const struct guest *g = fake_guest_find(f, id);
    return g && (fake_ids_have(&g->volumes, device_id) || fake_ids_have(&g->ports, device_id));
}

uint64_t fake_guest_starts(struct guest_backend *b, const char *id)
{
    struct fake_guests *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    const struct guest *g = fake_guest_find(f, id);
    return g ? g->starts : 0;
}
