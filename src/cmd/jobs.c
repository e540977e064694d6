/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What one process of the control plane does now and then, whichever: each job has a lease in the
 * store. The sweeps would do no harm in several processes, only work for nothing.
 */
#include "cmd/jobs.h"
#include "compute/compute.h"
#include "identity/identity.h"
#include "image/image.h"
#include "volume/volume.h"

static struct err *sweep_servers(struct ctx *cx, struct jobs *j, const struct lease *l UNUSED,
                                 size_t *ret)
{
    return compute_sweep(cx, j->store, ret);
}

static struct err *sweep_volumes(struct ctx *cx, struct jobs *j, const struct lease *l UNUSED,
                                 size_t *ret)
{
    return volume_sweep(cx, j->store, ret);
}

static struct err *sweep_exports(struct ctx *cx, struct jobs *j, const struct lease *l UNUSED,
                                 size_t *ret)
{
    return image_sweep(cx, j->store, ret);
}

static struct err *rotate_keys(struct ctx *cx, struct jobs *j, const struct lease *l, size_t *ret)
{
    return identity_rotate_keys(cx, j->store, l, ret);
}

static struct err *watch_hosts(struct ctx *cx, struct jobs *j, const struct lease *l, size_t *ret)
{
    return compute_watch_hosts(cx, j->store, l, &j->hosts, ret);
}

static const struct job {
    const char *name;
    int64_t every_s;
    struct err *(*run)(struct ctx *cx, struct jobs *j, const struct lease *l, size_t *ret_changed);
    const char *done; /* for the log, with how many */
} jobs[] = {
    {"hosts", 5, watch_hosts, "evacuated"},
    {"servers", 5, sweep_servers, "deadlines passed"},
    {"volumes", 5, sweep_volumes, "deadlines passed"},
    {"exports", 5, sweep_exports, "deadlines passed"},
    {"token-keys", 600, rotate_keys, "a new token key signs"},
};
_Static_assert(ARRAY_LEN(jobs) == N_JOBS, "jobs.h");

void jobs_init(struct jobs *j, struct ctx *cx, struct store *s)
{
    *j = (struct jobs){.store = s, .hosts.open_since_us = now_us(cx)};
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
        j->leases[i] = lease_of(cx, jobs[i].name);
}

static struct err *run_job(struct ctx *cx, struct jobs *j, size_t i, size_t *ret_changed)
{
    bool held = false;
    TRY(lease_hold(cx, j->store, &j->leases[i], &held));
    return held ? jobs[i].run(cx, j, &j->leases[i], ret_changed) : NULL;
}

void jobs_run(struct jobs *j)
{
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        AUTO_CTX struct ctx cx;
        size_t changed = 0;
        ctx_init(&cx);
        if (mono_us(&cx) < j->due_us[i])
            continue;
        struct err *e = run_job(&cx, j, i, &changed);
        j->due_us[i] = mono_us(&cx) + (e ? JOBS_MS * INT64_C(1000) : jobs[i].every_s * 1000000);
        if (e)
            log_err(&cx, LOG_WARN, e, "a job failed; it is tried again", "job", jobs[i].name, NULL);
        else if (changed)
            log_event(&cx, LOG_INFO, jobs[i].done, jobs[i].name, log_i64(&cx, (int64_t)changed),
                      NULL);
    }
}

void jobs_fini(struct jobs *j)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    for (size_t i = 0; j->store && i < ARRAY_LEN(jobs); i++) {
        struct err *e = lease_release(&cx, j->store, &j->leases[i]);
        if (e)
            log_err(&cx, LOG_DEBUG, e, "a lease was left to end by itself", "job", jobs[i].name,
                    NULL);
    }
}
