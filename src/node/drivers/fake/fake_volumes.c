/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Volumes that exist in memory only (and in a file, where asked). What they hold is one line: where
 * their data came from. They know which fake guest has them (fake_impl.h), and assert that nobody
 * else touches them then.
 */
#include "node/drivers/fake/fake_impl.h"

enum { SNAPSHOTS_MAX = 64 };

struct volume {
    struct volume *next;
    char id[40], origin[128];
    int64_t size_gib;
    struct ids snapshots;
    char holder[40]; /* the guest that has it; "": none */
    const void *by;  /* whose guests: another host's may be of the same server, which moved */
    bool open;       /* its process has; else its kept memory does */
};

struct fake_volumes {
    pthread_mutex_t lock;
    struct ctx cx; /* owns the path */
    struct volume *volumes;
    const char *path;
    fake_fault_fn *fault;
    void *fault_arg;
};

static struct err *fault(struct ctx *cx, struct fake_volumes *f, const char *call, const char *id,
                         bool after)
{
    return f->fault ? f->fault(cx, f->fault_arg, call, id, after) : NULL;
}

static struct volume *find(struct fake_volumes *f, const char *id)
{
    struct volume *v = f->volumes;
    while (v && !str_eq(v->id, id))
        v = v->next;
    return v;
}

static struct volume *add(struct fake_volumes *f, const char *id)
{
    struct volume *v = calloc(1, sizeof(*v));
    must(v && strlen(id) < sizeof(v->id) && !find(f, id));
    memcpy(v->id, id, strlen(id) + 1);
    v->next = f->volumes;
    f->volumes = v;
    return v;
}

static void drop(struct fake_volumes *f, const char *id)
{
    for (struct volume **p = &f->volumes; *p; p = &(*p)->next) {
        if (!str_eq((*p)->id, id))
            continue;
        struct volume *v = *p;
        *p = v->next;
        free(v);
        return;
    }
}

/* ---- the file: a line a volume ---- */

static struct err *save(struct ctx *cx, struct fake_volumes *f)
{
    if (!f->path)
        return NULL;
    const char *beside = arena_printf(cx->arena, "%s.new", f->path);
    FILE *out = fopen(beside, "we");
    if (!out)
        return fail(cx, ERR_UNAVAILABLE, "cannot write '%s': %m", beside);
    for (const struct volume *v = f->volumes; v; v = v->next) {
        fprintf(out, "%s %" PRId64 " %zu", v->id, v->size_gib, v->snapshots.n);
        for (size_t i = 0; i < v->snapshots.n; i++)
            fprintf(out, " %s", v->snapshots.of[i]);
        fprintf(out, " %s\n", v->origin);
    }
    bool bad = ferror(out) != 0;
    bad = fclose(out) != 0 || bad;
    if (bad || rename(beside, f->path) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot write '%s': %m", f->path);
    return NULL;
}

static bool read_volume(FILE *in, struct volume *ret)
{
    size_t n;
    *ret = (struct volume){0};
    if (fscanf(in, "%39s %" SCNd64 " %zu", ret->id, &ret->size_gib, &n) != 3 || n > SNAPSHOTS_MAX)
        return false;
    for (ret->snapshots.n = 0; ret->snapshots.n < n; ret->snapshots.n++)
        if (fscanf(in, "%39s", ret->snapshots.of[ret->snapshots.n]) != 1)
            return false;
    return fscanf(in, " %127[^\n]", ret->origin) == 1;
}

static struct err *load(struct ctx *cx, struct fake_volumes *f)
{
    FILE *in = fopen(f->path, "re");
    if (!in)
        return errno == ENOENT ? NULL : fail(cx, ERR_UNAVAILABLE, "cannot read '%s': %m", f->path);
    struct volume v;
    while (read_volume(in, &v)) {
        struct volume *into = add(f, v.id);
        v.next = into->next;
        *into = v;
    }
    bool whole = feof(in) != 0;
    fclose(in);
    return whole ? NULL : fail(cx, ERR_INVALID, "'%s' is not what a fake driver wrote", f->path);
}

static struct err *done(struct ctx *cx, struct fake_volumes *f, const char *call, const char *id)
{
    TRY(save(cx, f));
    return fault(cx, f, call, id, true);
}

/* ---- the driver's calls ---- */

/* What a guest has is nobody else's, but for one that was given up: QEMU's lock then refuses. */
static struct err *locked(struct ctx *cx, struct fake_volumes *f, const struct volume *v)
{
    struct err *e = fault(cx, f, "lock", v->holder, false);
    must(e);
    return e;
}

/* A disk that a guest may write to is changed through the guest. */
static struct err *find_closed(struct ctx *cx, struct fake_volumes *f, const char *id,
                               struct volume **ret)
{
    *ret = find(f, id);
    if (*ret && (*ret)->open)
        return locked(cx, f, *ret);
    return *ret ? NULL : fail(cx, ERR_NOT_FOUND, "no volume %s on this host", id);
}

static struct err *from_source(struct ctx *cx, struct fake_volumes *f,
                               const struct spec_volume *spec, const char **ret_origin,
                               int64_t *ret_min_gib)
{
    const struct volume *v = find(f, spec->source.volume_id);
    const char *snapshot = spec->source.snapshot_id;
    if (!v || (snapshot && !fake_ids_have(&v->snapshots, snapshot)))
        return fail(cx, ERR_NOT_FOUND, "what volume %s is to be made from is not on this host",
                    spec->id);
    if (v->open && !snapshot)
        return locked(cx, f, v);
    *ret_origin = v->origin;
    *ret_min_gib = snapshot ? 0 : v->size_gib;
    return NULL;
}

static struct err *origin_of(struct ctx *cx, struct fake_volumes *f, const struct spec_volume *spec,
                             const char *image_path, const char *from_path, const char **ret_origin,
                             int64_t *ret_min_gib)
{
    *ret_min_gib = 0;
    *ret_origin = "blank";
    must(!spec->source.image.id == !image_path);
    if (from_path)
        return fake_disk_read(cx, from_path, ret_origin, ret_min_gib);
    if (spec->source.volume_id)
        return from_source(cx, f, spec, ret_origin, ret_min_gib);
    if (image_path)
        *ret_origin = arena_printf(cx->arena, "image %s", spec->source.image.id);
    return NULL;
}

static struct err *fake_make(struct ctx *cx, void *drv, const struct spec_volume *spec,
                             const char *image_path, const char *from_path)
{
    struct fake_volumes *f = drv;
    const char *origin = NULL;
    int64_t min_gib = 0;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "volume_make", spec->id, false));
    if (!find(f, spec->id)) {
        TRY(origin_of(cx, f, spec, image_path, from_path, &origin, &min_gib));
        if (min_gib > spec->size_gib)
            return fail(cx, ERR_INVALID, "volume %s is smaller than its source", spec->id);
        struct volume *v = add(f, spec->id);
        snprintf(v->origin, sizeof(v->origin), "%s", origin);
        v->size_gib = spec->size_gib;
    }
    if (from_path)
        unlink(from_path);
    return done(cx, f, "volume_make", spec->id);
}

static void do_snapshot(struct volume *v, const char *snapshot_id, bool exists)
{
    must(v->snapshots.n < SNAPSHOTS_MAX || !exists);
    if (exists)
        fake_ids_add(&v->snapshots, snapshot_id);
    else
        fake_ids_remove(&v->snapshots, snapshot_id);
}

static struct err *fake_grow(struct ctx *cx, void *drv, const char *id, int64_t size_gib)
{
    struct fake_volumes *f = drv;
    struct volume *v = NULL;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "grow", id, false));
    TRY(find_closed(cx, f, id, &v));
    v->size_gib = max_i64(v->size_gib, size_gib);
    return done(cx, f, "grow", id);
}

static struct err *fake_snapshot(struct ctx *cx, void *drv, const char *id, const char *snapshot_id,
                                 bool exists)
{
    struct fake_volumes *f = drv;
    struct volume *v = NULL;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "snapshot", id, false));
    TRY(find_closed(cx, f, id, &v));
    do_snapshot(v, snapshot_id, exists);
    return done(cx, f, "snapshot", id);
}

static struct err *fake_copy(struct ctx *cx, void *drv, const char *id, const char *to_path)
{
    struct fake_volumes *f = drv;
    struct volume *v = NULL;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "copy", id, false));
    TRY(find_closed(cx, f, id, &v));
    TRY(fake_disk_write(cx, to_path, v->origin, v->size_gib));
    return done(cx, f, "copy", id);
}

static struct err *fake_remove(struct ctx *cx, void *drv, const char *id)
{
    struct fake_volumes *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "volume_remove", id, false));
    const struct volume *v = find(f, id);
    must(!v || !v->holder[0] || locked(cx, f, v)); /* a lock keeps no file */
    drop(f, id);
    return done(cx, f, "volume_remove", id);
}

static struct err *fake_state(struct ctx *cx, void *drv, const char *id, struct volume_seen *ret)
{
    struct fake_volumes *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "volume_state", id, false));
    const struct volume *v = find(f, id);
    *ret = (struct volume_seen){.present = v != NULL};
    if (!v)
        return NULL;
    ret->size_gib = v->size_gib;
    ret->snapshots = fake_ids_copy(cx, &v->snapshots);
    ret->n_snapshots = v->snapshots.n;
    return NULL;
}

static struct err *fake_access(struct ctx *cx, void *drv, const char *id, struct volume_access *ret)
{
    struct fake_volumes *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "access", id, false));
    if (!find(f, id))
        return fail(cx, ERR_NOT_FOUND, "no volume %s on this host", id);
    *ret = (struct volume_access){arena_printf(cx->arena, "/fake/volumes/%s", id), "qcow2"};
    return NULL;
}

static struct err *fake_list(struct ctx *cx, void *drv, const char ***ret_ids, size_t *ret_n)
{
    struct fake_volumes *f = drv;
    size_t n = 0;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "volume_list", NULL, false));
    for (const struct volume *v = f->volumes; v; v = v->next)
        n++;
    *ret_ids = arena_new_array(cx->arena, const char *, n + 1);
    *ret_n = 0;
    for (const struct volume *v = f->volumes; v; v = v->next)
        (*ret_ids)[(*ret_n)++] = arena_strdup(cx->arena, v->id);
    return NULL;
}

static struct err *fake_size(struct ctx *cx UNUSED, void *drv UNUSED, int64_t *ret_gib)
{
    *ret_gib = INT64_C(1) << 20;
    return NULL;
}

static void fake_free(void *drv)
{
    struct fake_volumes *f = drv;
    while (f->volumes)
        drop(f, f->volumes->id);
    ctx_release(&f->cx);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static const struct volume_driver fake_volume_driver = {
    .name = "fake",
    .make = fake_make,
    .grow = fake_grow,
    .snapshot = fake_snapshot,
    .copy = fake_copy,
    .remove = fake_remove,
    .state = fake_state,
    .access = fake_access,
    .list = fake_list,
    .size = fake_size,
    .free = fake_free,
};

void fake_volumes_new(struct volume_backend *ret)
{
    struct fake_volumes *f = calloc(1, sizeof(*f));
    must(f);
    pthread_mutex_init(&f->lock, NULL);
    ctx_init(&f->cx);
    *ret = (struct volume_backend){.ops = &fake_volume_driver, .drv = f};
}

/* ---- for the guests that have them ---- */

struct err *fake_volume_hold(struct ctx *cx, void *drv, const char *id, const char *guest,
                             const void *by)
{
    struct fake_volumes *f = drv;
    AUTO_LOCK(&f->lock);
    struct volume *v = find(f, id);
    must(v);
    if (v->holder[0] && !str_eq(v->holder, guest)) {
        struct err *e = locked(cx, f, v);
        if (v->open)
            return e;
    }
    snprintf(v->holder, sizeof(v->holder), "%s", guest);
    v->by = by;
    v->open = true;
    return NULL;
}

void fake_volume_let_go(void *drv, const char *id, const char *guest, const void *by, bool kept)
{
    struct fake_volumes *f = drv;
    AUTO_LOCK(&f->lock);
    struct volume *v = find(f, id);
    if (!v || v->by != by) /* the server's other guest has it, or had it last */
        return;
    must(str_eq(v->holder, guest));
    v->open = false;
    if (!kept)
        v->holder[0] = 0;
}

bool fake_volume_exists(void *drv, const char *id)
{
    struct fake_volumes *f = drv;
    AUTO_LOCK(&f->lock);
    return find(f, id) != NULL;
}

static struct volume *held_by(struct fake_volumes *f, const char *id, const char *guest)
{
    struct volume *v = find(f, id);
    must(v && v->open && str_eq(v->holder, guest));
    return v;
}

struct err *fake_volume_grow(struct ctx *cx, void *drv, const char *id, const char *guest,
                             int64_t size_gib)
{
    struct fake_volumes *f = drv;
    AUTO_LOCK(&f->lock);
    struct volume *v = held_by(f, id, guest);
    v->size_gib = max_i64(v->size_gib, size_gib);
    return save(cx, f);
}

struct err *fake_volume_snapshot(struct ctx *cx, void *drv, const char *id, const char *guest,
                                 const char *snapshot_id, bool exists)
{
    struct fake_volumes *f = drv;
    AUTO_LOCK(&f->lock);
    do_snapshot(held_by(f, id, guest), snapshot_id, exists);
    return save(cx, f);
}

struct err *fake_volume_copy(struct ctx *cx, void *drv, const char *id, const char *guest,
                             const char *to_path)
{
    struct fake_volumes *f = drv;
    AUTO_LOCK(&f->lock);
    const struct volume *v = held_by(f, id, guest);
    return fake_disk_write(cx, to_path, v->origin, v->size_gib);
}

/* ---- for tests ---- */

static struct fake_volumes *fake_of(struct volume_backend *b)
{
    must(b->ops == &fake_volume_driver);
    return b->drv;
}

void fake_volumes_set_fault(struct volume_backend *b, fake_fault_fn *fn, void *arg)
{
    struct fake_volumes *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    f->fault = fn;
    f->fault_arg = arg;
}

struct err *fake_volumes_set_file(struct ctx *cx, struct volume_backend *b, const char *path)
{
    struct fake_volumes *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    f->path = arena_strdup(f->cx.arena, path);
    return load(cx, f);
}

size_t fake_volumes_count(struct volume_backend *b)
{
    struct fake_volumes *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    size_t n = 0;
    for (const struct volume *v = f->volumes; v; v = v->next)
        n++;
    return n;
}

bool fake_volume_get(struct volume_backend *b, const char *id, struct fake_volume *ret)
{
    struct fake_volumes *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    const struct volume *v = find(f, id);
    *ret = (struct fake_volume){0};
    if (!v)
        return false;
    ret->size_gib = v->size_gib;
    ret->n_snapshots = v->snapshots.n;
    memcpy(ret->origin, v->origin, sizeof(ret->origin));
    memcpy(ret->holder, v->holder, sizeof(ret->holder));
    return true;
}

bool fake_volume_has_snapshot(struct volume_backend *b, const char *id, const char *snapshot_id)
{
    struct fake_volumes *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    const struct volume *v = find(f, id);
    return v && fake_ids_have(&v->snapshots, snapshot_id);
}
