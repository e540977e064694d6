/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Steps for images that are wanted here before any guest needs them: fetched into the cache, and
 * kept there, as if something stood on them, until they are no longer wanted. See agent_step.c.
 */
#include "node/agent_impl.h"

static const char *user_of(struct ctx *cx, const struct job *job)
{
    return arena_printf(cx->arena, CACHED_IMAGE "%s", job->it->id);
}

/* *ret_here false: it is on its way. */
static struct err *keep(struct ctx *cx, struct agent *a, const struct job *job, bool *ret_here)
{
    const struct image_source *s = &a->setup.images;
    const struct spec_image *image = &job->desired->image.image;
    const char *path;
    TRY(s->want(cx, s->arg, image, ret_here));
    return *ret_here ? s->use(cx, s->arg, user_of(cx, job), image, &path) : NULL;
}

struct err *step_image(struct ctx *cx, struct agent *a, struct job *job)
{
    bool here = false;
    struct err *e = NULL;
    if (!job->desired && !job->deleted && !job->spec_error)
        return NULL;
    if (job->deleted) {
        a->setup.images.unuse(a->setup.images.arg, user_of(cx, job));
        job->gone = true;
    } else if (!job->spec_error) {
        e = keep(cx, a, job, &here);
        job->waits = !e && !here;
        if (job->waits)
            return NULL;
    }
    struct job_report r;
    job_report_begin(cx, job, &r);
    jw_kbool(&r.w, "here", here);
    job_report_end(&r, job, e ? e->message : job->spec_error);
    return e;
}
