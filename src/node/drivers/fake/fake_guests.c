/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Guests that exist in memory only (and in a file, where asked). They obey at once, keep their own
 * counters as the interface wants, and assert what an agent must never do: start a guest that is
 * on, or has no disk.
 */
#include "node/drivers/fake/fake.h"

struct guest {
    struct guest *next;
    char id[40];
    struct guest_state is;
    uint64_t starts;
};

struct fake_guests {
    pthread_mutex_t lock;
    struct ctx cx; /* owns the path */
    struct guest *guests;
    const char *path;
    bool deaf;
    fake_fault_fn *fault;
    void *fault_arg;
    void (*changed)(void *arg, const char *id);
    void *changed_arg;
};

static struct err *fault(struct ctx *cx, struct fake_guests *f, const char *call, const char *id,
                         bool after)
{
    return f->fault ? f->fault(cx, f->fault_arg, call, id, after) : NULL;
}

static struct guest *find(struct fake_guests *f, const char *id)
{
    struct guest *g = f->guests;
    while (g && !str_eq(g->id, id))
        g = g->next;
    return g;
}

static struct guest *find_or_add(struct fake_guests *f, const char *id)
{
    struct guest *g = find(f, id);
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

/* The whole file, beside and renamed: a few lines a guest, and only where a test asks for it. */
static struct err *save(struct ctx *cx, struct fake_guests *f)
{
    if (!f->path)
        return NULL;
    const char *beside = arena_printf(cx->arena, "%s.new", f->path);
    FILE *out = fopen(beside, "we");
    if (!out)
        return fail(cx, ERR_UNAVAILABLE, "cannot write '%s': %m", beside);
    for (const struct guest *g = f->guests; g; g = g->next)
        fprintf(out, "%s %d %" PRId64 " %" PRId64 " %" PRId64 " %d %" PRId64 " %" PRIu64 "\n",
                g->id, (int)g->is.power, g->is.boot_seq, g->is.reset_seq, g->is.build_seq,
                g->is.guest_shutdown, g->is.started_at_us, g->starts);
    bool bad = ferror(out) != 0;
    bad = fclose(out) != 0 || bad;
    if (bad || rename(beside, f->path) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot write '%s': %m", f->path);
    return NULL;
}

static struct err *load(struct ctx *cx, struct fake_guests *f)
{
    FILE *in = fopen(f->path, "re");
    if (!in)
        return errno == ENOENT ? NULL : fail(cx, ERR_UNAVAILABLE, "cannot read '%s': %m", f->path);
    struct guest g = {0};
    int power, shutdown;
    while (fscanf(in, "%39s %d %" SCNd64 " %" SCNd64 " %" SCNd64 " %d %" SCNd64 " %" SCNu64, g.id,
                  &power, &g.is.boot_seq, &g.is.reset_seq, &g.is.build_seq, &shutdown,
                  &g.is.started_at_us, &g.starts) == 8) {
        struct guest *into = find_or_add(f, g.id);
        into->is = g.is;
        into->is.power = (enum guest_power)power;
        into->is.guest_shutdown = shutdown != 0;
        into->starts = g.starts;
    }
    fclose(in);
    return NULL;
}

/* Ends a call: what changed is on disk before anybody hears of it. */
static struct err *done(struct ctx *cx, struct fake_guests *f, const char *call, const char *id)
{
    TRY(save(cx, f));
    return fault(cx, f, call, id, true);
}

static struct err *fake_prepare(struct ctx *cx, void *drv, const struct spec_server *spec,
                                const char *image_path)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "prepare", spec->id, false));
    must(image_path);
    struct guest *g = find_or_add(f, spec->id);
    if (g->is.power == GUEST_ON)
        return fail(cx, ERR_CONFLICT, "guest %s is on: its disk can't be replaced", spec->id);
    g->is.power = GUEST_OFF;
    g->is.build_seq = spec->build_seq;
    return done(cx, f, "prepare", spec->id);
}

static struct err *fake_start(struct ctx *cx, void *drv, const struct spec_server *spec,
                              const int *taps, const struct volume_access *volumes UNUSED)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "start", spec->id, false));
    struct guest *g = find(f, spec->id);
    if (!g || g->is.build_seq == 0)
        return fail(cx, ERR_CONFLICT, "guest %s has no disk", spec->id);
    for (size_t i = 0; i < spec->n_nics; i++)
        must(taps[i] >= 0);
    if (g->is.power == GUEST_ON) /* repeated after a crash in its middle */
        return done(cx, f, "start", spec->id);
    g->is.power = GUEST_ON;
    g->is.boot_seq = spec->boot_seq;
    g->is.reset_seq = spec->reset_seq;
    g->is.guest_shutdown = false;
    g->is.started_at_us = now_us(cx);
    g->starts++;
    return done(cx, f, "start", spec->id);
}

static bool goes_off(struct fake_guests *f, const char *id, enum guest_power power, bool by_itself)
{
    struct guest *g = find(f, id);
    if (!g || g->is.power != GUEST_ON)
        return false;
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
    struct err *e = fault(cx, f, "shutdown", id, false);
    bool went = !e && !f->deaf && goes_off(f, id, GUEST_OFF, true);
    if (!e)
        e = done(cx, f, "shutdown", id);
    unlock_and_tell(f, went, id);
    return e;
}

static struct err *fake_stop(struct ctx *cx, void *drv, const char *id)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "stop", id, false));
    goes_off(f, id, GUEST_OFF, false);
    return done(cx, f, "stop", id);
}

static struct err *fake_reset(struct ctx *cx, void *drv, const char *id, int64_t reset_seq)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "reset", id, false));
    struct guest *g = find(f, id);
    if (!g || g->is.power != GUEST_ON)
        return fail(cx, ERR_CONFLICT, "guest %s is off", id);
    g->is.reset_seq = reset_seq;
    return done(cx, f, "reset", id);
}

static struct err *fake_destroy(struct ctx *cx, void *drv, const char *id)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "destroy", id, false));
    drop(f, id);
    return done(cx, f, "destroy", id);
}

static struct err *fake_state(struct ctx *cx, void *drv, const char *id, struct guest_state *ret)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "state", id, false));
    const struct guest *g = find(f, id);
    *ret = g ? g->is : (struct guest_state){.power = GUEST_ABSENT};
    return NULL;
}

static struct err *fake_list(struct ctx *cx, void *drv, const char ***ret_ids, size_t *ret_n)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "list", NULL, false));
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

static struct err *fake_console(struct ctx *cx, void *drv, const char *id, size_t max_bytes,
                                struct buf *ret)
{
    struct fake_guests *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "console", id, false));
    const struct guest *g = find(f, id);
    if (!g)
        return fail(cx, ERR_NOT_FOUND, "no guest %s on this host", id);
    const char *text = "";
    if (g->starts)
        text = arena_printf(cx->arena, "fake guest %s\nstarted %" PRIu64 " times\nlogin: \n", id,
                            g->starts);
    size_t len = strlen(text), n = max_bytes && max_bytes < len ? max_bytes : len;
    buf_add(ret, text + len - n, n);
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
    .start = fake_start,
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
    return load(cx, f);
}

static bool by_itself(struct guest_backend *b, const char *id, enum guest_power power,
                      bool shutdown)
{
    struct fake_guests *f = fake_of(b);
    struct ctx cx;
    ctx_init(&cx);
    pthread_mutex_lock(&f->lock);
    bool went = goes_off(f, id, power, shutdown);
    must(!save(&cx, f));
    unlock_and_tell(f, went, id);
    ctx_release(&cx);
    return went;
}

bool fake_guest_power_off(struct guest_backend *b, const char *id)
{
    return by_itself(b, id, GUEST_OFF, true);
}

bool fake_guest_crash(struct guest_backend *b, const char *id)
{
    return by_itself(b, id, GUEST_CRASHED, false);
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
    const struct guest *g = find(f, id);
    *ret = g ? g->is : (struct guest_state){.power = GUEST_ABSENT};
    return g != NULL;
}

uint64_t fake_guest_starts(struct guest_backend *b, const char *id)
{
    struct fake_guests *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    const struct guest *g = find(f, id);
    return g ? g->starts : 0;
}
