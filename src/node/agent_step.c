/* SPDX-License-Identifier: EUPL-1.2 */
/* One step for one item: look, do one thing, write down what was seen. step_server.c and its
 * neighbours have what is done for each kind. See agent.h. */
#include "node/agent_impl.h"

enum { BACKOFF_MAX_S = 60 };

static struct job begin(struct ctx *cx, struct agent *a, struct item *it)
{
    AUTO_LOCK(&a->lock);
    must(it->busy);
    a->steps++;
    it->waiting = false;
    return (struct job){.it = it,
                        .desired = desired_ref(it->desired),
                        .revision = it->revision,
                        .changes = a->changes,
                        .failures = it->failures,
                        .deleted = it->deleted,
                        .spec_error = arena_strdup(cx->arena, it->spec_error),
                        .last_error = arena_strdup(cx->arena, it->error)};
}

const char *job_error(const struct job *job)
{
    if (job->spec_error)
        return job->spec_error;
    return job->waits && job->failures >= TELL_AFTER ? job->last_error : NULL;
}

void job_report_begin(struct ctx *cx, const struct job *job, struct job_report *r)
{
    buf_init(&r->b, cx->arena);
    jw_init(&r->w, &r->b);
    jw_obj(&r->w);
    jw_kint(&r->w, "revision", job->revision);
}

void job_report_end(struct job_report *r, struct job *job, const char *error)
{
    jw_kstr(&r->w, "error", error);
    jw_kbool(&r->w, "absent", job->gone);
    jw_obj_end(&r->w);
    job->report = buf_cstr(&r->b);
}

/* Told once a change, not once a try. */
static void note_error(struct ctx *cx, struct item *it, const struct err *e)
{
    const char *was = it->error;
    if (e && !str_eq(was, e->message))
        log_err(cx, LOG_WARN, e, "will be tried again", item_kind_name(it->kind), it->id, NULL);
    if (!e && was)
        log_event(cx, LOG_INFO, "well again", item_kind_name(it->kind), it->id, NULL);
    item_set_text(&it->error, e ? e->message : NULL);
}

static int64_t backoff_us(struct ctx *cx, unsigned failures)
{
    int64_t s = failures > 6 ? BACKOFF_MAX_S : min_i64(INT64_C(1) << (failures - 1), BACKOFF_MAX_S);
    int64_t jitter = (int64_t)rng_below(cx->rng, 500000) * s;
    return s * 750000 + jitter;
}

static void schedule(struct ctx *cx, struct agent *a, const struct job *job, bool failed)
{
    struct item *it = job->it;
    bool newer = it->revision != job->revision || it->deleted != job->deleted;
    it->waiting = job->waits;
    if (failed && !newer) {
        it->queued = false; /* what woke it meanwhile may be this very failure */
        item_due(a, it, mono_us(cx) + backoff_us(cx, ++it->failures));
        return;
    }
    if (!failed && !job->waits) /* waiting is no success: what is waited for may fail as before */
        it->failures = 0;
    if (newer || job->again || (job->waits && a->changes != job->changes))
        item_due(a, it, 0);
    else if (job->due_us)
        item_due(a, it, job->due_us);
}

static void finish(struct ctx *cx, struct agent *a, struct job *job, const struct err *e)
{
    AUTO_LOCK(&a->lock);
    struct item *it = job->it;
    it->busy = false;
    if (e || !job->waits)
        note_error(cx, it, e);
    a->failures += e != NULL;
    a->actions += job->again;
    if (job->ended && it->revision == job->revision)
        it->deleted = true;
    it->gone = job->gone && it->deleted;
    bool awaited = it->awaited;
    it->awaited = false;
    if (job->report) {
        it->password_in_report = job->tells_password;
        it->password_revision = job->revision;
    }
    if (job->report && !str_eq(job->report, it->report)) {
        item_set_text(&it->report, job->report);
        it->report_seq = ++a->report_seq;
        it->reported_at_us = a->last_at_us = max_i64(now_us(cx), a->last_at_us + 1);
    }
    schedule(cx, a, job, e != NULL);
    desired_unref(job->desired);
    if (awaited)
        agent_poke_locked(a);
    forget_gone(a);
    agent_wake(a);
}

void agent_step(struct ctx *cx, struct agent *a, struct item *it)
{
    static struct err *(*const steps[])(struct ctx * cx, struct agent * a, struct job * job) = {
        [ITEM_NETWORK] = step_net,   [ITEM_ROUTER] = step_net,    [ITEM_VOLUME] = step_volume,
        [ITEM_SERVER] = step_server, [ITEM_EXPORT] = step_export, [ITEM_IMAGE] = step_image,
    };
    struct job job = begin(cx, a, it);
    enum item_kind kind = it->kind;
    struct err *e = steps[kind](cx, a, &job);
    bool others_may_go_on = !e && (job.gone || kind < ITEM_SERVER) && !job.waits;
    finish(cx, a, &job, e);
    if (others_may_go_on)
        agent_poke(a);
}
