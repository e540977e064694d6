/* SPDX-License-Identifier: EUPL-1.2 */
/* Steps for volumes: made once, then snapshots and growth, through the guest that has one open. See
 * agent_step.c and volume_use.c. */
#include "node/agent_impl.h"

#define LEASE_AGAIN_US 1000000

static const char *image_user(struct ctx *cx, const struct item *it)
{
    return arena_printf(cx->arena, "volume-%s", it->id);
}

/* ---- making ---- */

static struct err *make_from_image(struct ctx *cx, struct agent *a, struct job *job)
{
    const struct spec_volume *want = &job->desired->volume;
    const struct image_source *images = &a->setup.images;
    const char *path = NULL;
    bool here = false;
    TRY(images->want(cx, images->arg, &want->source.image, &here));
    if (!here) {
        job->waits = true;
        return NULL;
    }
    TRY(images->use(cx, images->arg, image_user(cx, job->it), &want->source.image, &path));
    struct volume_backend v = volume_backend_of(a, job->desired);
    return v.ops->make(cx, v.drv, want, path, NULL);
}

static struct err *check_source(struct ctx *cx, struct agent *a, const struct item *source,
                                const char *id, bool *ret_ready)
{
    AUTO_LOCK(&a->lock);
    *ret_ready = source && source->ready;
    if (!source || source->deleted)
        return fail(cx, ERR_NOT_FOUND, "volume %s, which it is made from, is not on this host", id);
    return NULL;
}

/* The source is this step's alone, and so is the guest that has it. */
static struct err *make_from_reached(struct ctx *cx, struct agent *a, struct job *job,
                                     const struct reach *source)
{
    const struct spec_volume *want = &job->desired->volume;
    const struct guest_backend *guests = &a->setup.guests;
    struct volume_backend volumes = volume_backend_of(a, job->desired);
    bool ready;
    TRY(check_source(cx, a, source->volume, want->source.volume_id, &ready));
    if (!ready) {
        job->waits = true;
        return NULL;
    }
    if (!source->open || want->source.snapshot_id)
        return volumes.ops->make(cx, volumes.drv, want, NULL, NULL);
    if (!a->setup.dir)
        return fail(cx, ERR_NOT_IMPLEMENTED, "this host makes no copies");
    const char *dir, *copy = export_path(cx, a, want->id, ".copy");
    TRY(exports_open(cx, a, &dir));
    unlink(copy);
    TRY(guests->ops->volume_copy(cx, guests->drv, source->guest->id, want->source.volume_id, copy,
                                 &job->it->given_up));
    struct err *e = volumes.ops->make(cx, volumes.drv, want, NULL, copy);
    unlink(copy);
    return e;
}

static struct err *make_from_volume(struct ctx *cx, struct agent *a, struct job *job)
{
    struct reach source;
    bool reached;
    TRY(volume_reach(cx, a, job, job->desired->volume.source.volume_id, &source, &reached));
    if (!reached)
        return NULL;
    struct err *e = make_from_reached(cx, a, job, &source);
    volume_leave(a, &source);
    return e;
}

static struct err *make(struct ctx *cx, struct agent *a, struct job *job)
{
    const struct spec_volume *want = &job->desired->volume;
    if (want->source.image.id)
        return make_from_image(cx, a, job);
    if (want->source.volume_id)
        return make_from_volume(cx, a, job);
    struct volume_backend v = volume_backend_of(a, job->desired);
    return v.ops->make(cx, v.drv, want, NULL, NULL);
}

/* ---- changing ---- */

/* One thing at a time: grow to size_gib, or this snapshot made or dropped. */
struct change {
    int64_t size_gib;
    const char *snapshot_id; /* NULL: grow */
    bool exists;
};

static bool has(const char *const *ids, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(ids[i], id))
            return true;
    return false;
}

/* Snapshots come before growth: they are of what was there when they were asked for. */
static bool next_change(const struct spec_volume *want, const struct volume_seen *is,
                        struct change *ret)
{
    *ret = (struct change){0};
    for (size_t i = 0; i < want->n_snapshots && !ret->snapshot_id; i++)
        if (!has(is->snapshots, is->n_snapshots, want->snapshots[i]))
            *ret = (struct change){.snapshot_id = want->snapshots[i], .exists = true};
    if (!ret->snapshot_id && is->size_gib < want->size_gib)
        ret->size_gib = want->size_gib;
    for (size_t i = 0; i < is->n_snapshots && !ret->snapshot_id && !ret->size_gib; i++)
        if (!has(want->snapshots, want->n_snapshots, is->snapshots[i]))
            *ret = (struct change){.snapshot_id = is->snapshots[i]};
    return ret->snapshot_id || ret->size_gib;
}

static struct err *change_through(struct ctx *cx, const struct guest_backend *g,
                                  const char *guest_id, const char *id, const struct change *c)
{
    return c->snapshot_id
               ? g->ops->volume_snapshot(cx, g->drv, guest_id, id, c->snapshot_id, c->exists)
               : g->ops->volume_grow(cx, g->drv, guest_id, id, c->size_gib);
}

static struct err *change_directly(struct ctx *cx, const struct volume_backend *v, const char *id,
                                   const struct change *c)
{
    return c->snapshot_id ? v->ops->snapshot(cx, v->drv, id, c->snapshot_id, c->exists)
                          : v->ops->grow(cx, v->drv, id, c->size_gib);
}

static struct err *change(struct ctx *cx, struct agent *a, struct job *job, const struct change *c)
{
    const struct volume_backend v = volume_backend_of(a, job->desired);
    struct reach r;
    bool reached;
    TRY(volume_reach(cx, a, job, job->it->id, &r, &reached));
    if (!reached)
        return NULL;
    struct err *e = r.open ? change_through(cx, &a->setup.guests, r.guest->id, job->it->id, c)
                           : change_directly(cx, &v, job->it->id, c);
    volume_leave(a, &r);
    return e;
}

/* ---- the step ---- */

/* While a guest has it, it waits for the guest to let it go. What lies on shared storage is another
 * host's from then on: its data goes only where its spec says so. */
static struct err *take_away(struct ctx *cx, struct agent *a, struct job *job)
{
    const struct desired *d = job->desired;
    bool keeps = job->deleted && d && d->volume.pool_id;
    const struct volume_backend v = volume_backend_of(a, d);
    job->waits = volume_is_held(a, job->it->id);
    if (job->waits)
        return NULL;
    if (v.ops && !keeps)
        TRY(v.ops->remove(cx, v.drv, job->it->id));
    if (a->setup.dir)
        unlink(export_path(cx, a, job->it->id, ".copy"));
    a->setup.images.unuse(a->setup.images.arg, image_user(cx, job->it));
    job->gone = true;
    return NULL;
}

/* The image is needed no longer: the volume has its own bytes. */
static void note_ready(struct ctx *cx, struct agent *a, struct job *job, bool present)
{
    pthread_mutex_lock(&a->lock);
    bool news = present && !job->it->ready;
    job->it->ready = present;
    pthread_mutex_unlock(&a->lock);
    if (news)
        a->setup.images.unuse(a->setup.images.arg, image_user(cx, job->it));
}

static struct err *one_thing(struct ctx *cx, struct agent *a, struct job *job,
                             const struct volume_seen *is)
{
    struct change c = {0};
    bool changes = is->present && next_change(&job->desired->volume, is, &c);
    if (is->present && !changes)
        return NULL;
    TRY(changes ? change(cx, a, job, &c) : make(cx, a, job));
    job->again = !job->waits;
    if (job->again)
        log_event(cx, LOG_INFO,
                  !changes         ? "made"
                  : !c.snapshot_id ? "grown"
                  : c.exists       ? "snapshot made"
                                   : "snapshot dropped",
                  "volume", job->it->id, NULL);
    return NULL;
}

static void report(struct ctx *cx, struct job *job, const struct volume_seen *is, const char *error)
{
    struct job_report r;
    job_report_begin(cx, job, &r);
    jw_kbool(&r.w, "ready", is->present);
    jw_kint(&r.w, "size_gib", is->size_gib);
    jw_karr(&r.w, "snapshots");
    for (size_t i = 0; i < is->n_snapshots; i++)
        jw_str(&r.w, is->snapshots[i]);
    jw_arr_end(&r.w);
    job_report_end(&r, job, error);
}

static struct err *look(struct ctx *cx, struct agent *a, struct job *job, struct volume_seen *ret)
{
    const struct volume_backend v = volume_backend_of(a, job->desired);
    TRY(v.ops->state(cx, v.drv, job->it->id, ret));
    note_ready(cx, a, job, ret->present);
    return NULL;
}

static struct err *step_gone(struct ctx *cx, struct agent *a, struct job *job)
{
    const struct volume_seen nothing = {0};
    TRY(take_away(cx, a, job));
    job->ended = job->gone;
    if (job->gone)
        report(cx, job, &nothing, NULL);
    return NULL;
}

/* Without a lease, another host may have what is shared. */
static bool may_touch(struct ctx *cx, struct agent *a, struct job *job)
{
    AUTO_LOCK(&a->lock);
    bool may = !job->desired || !job->desired->volume.pool_id ||
               (a->lease_heard && boot_us(cx) < a->lease_until_us);
    job->waits = !may;
    if (!may)
        job->due_us = mono_us(cx) + LEASE_AGAIN_US;
    return may;
}

struct err *step_volume(struct ctx *cx, struct agent *a, struct job *job)
{
    struct volume_seen is = {0};
    if (job->deleted)
        return step_gone(cx, a, job);
    if (!job->desired && !job->spec_error)
        return NULL; /* found on the host: the next full answers decide */
    if (!volume_backend_of(a, job->desired).ops) {
        report(cx, job, &is, NO_STORAGE);
        return NULL;
    }
    if (!may_touch(cx, a, job))
        return NULL;
    if (job->desired && job->desired->volume.remove && !job->spec_error)
        return step_gone(cx, a, job);
    TRY(look(cx, a, job, &is));
    struct err *e = job->spec_error ? NULL : one_thing(cx, a, job, &is);
    const char *told = e ? e->message : job_error(job);
    if (e ? job->failures + 1 >= TELL_AFTER : !job->again)
        report(cx, job, &is, told);
    return e;
}
