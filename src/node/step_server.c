/* SPDX-License-Identifier: EUPL-1.2 */
/* Steps for servers: look, plan (plan.h), apply one action. See agent_step.c. */
#include "node/agent_impl.h"

#define UNPLUG_AGAIN_US (INT64_C(30) * 1000000)
#define LONG_US (INT64_C(3600) * 1000000) /* what writes or reads a whole memory or disk */

/* What a step knows of its server. */
struct view {
    struct guest_state is;
    const struct spec_server *want; /* NULL: deleted, or not readable */
    struct plan_facts facts;
    /* the first of what the guest lacks that can be plugged: one of them */
    const struct spec_nic *plug_nic;
    const struct spec_use *plug_volume;
    const char *why; /* it has to wait; may be NULL */
    int64_t lease_until_us;
};

/* ---- looking ---- */

/* The NIC's network is applied as last heard of, and has the NIC's port. */
static bool nic_ready(struct agent *a, const struct spec_nic *nic, const char **ret_why)
{
    const struct item *net = item_find(a, ITEM_NETWORK, nic->network_id);
    if (net && net->error && net->failures >= TELL_AFTER)
        *ret_why = net->error;
    if (!net || net->deleted || !net->applied || net->applied->revision != net->revision)
        return false;
    for (size_t i = 0; i < net->applied->network.n_ports; i++)
        if (str_eq(net->applied->network.ports[i].id, nic->port_id))
            return true;
    return false;
}

static void see_devices(struct agent *a, const struct item *it, struct view *v)
{
    const struct spec_server *want = v->want;
    v->facts.devices_ready = true;
    for (size_t i = 0; want && i < want->n_nics; i++) {
        bool ready = nic_ready(a, &want->nics[i], &v->why);
        v->facts.devices_ready = v->facts.devices_ready && ready;
        if (ready && !v->plug_nic && !plan_has_port(&v->is, want->nics[i].port_id))
            v->plug_nic = &want->nics[i];
    }
    for (size_t i = 0; want && i < want->n_volumes; i++) {
        bool ready = volume_ready_for(a, it, want->volumes[i].volume_id, &v->why);
        v->facts.devices_ready = v->facts.devices_ready && ready;
        if (ready && !v->plug_volume && !plan_has_volume(&v->is, want->volumes[i].volume_id))
            v->plug_volume = &want->volumes[i];
    }
    v->facts.plug_ready = v->plug_nic || v->plug_volume;
}

static void see_facts(struct ctx *cx, struct agent *a, const struct job *job, struct view *v)
{
    AUTO_LOCK(&a->lock);
    const struct item *it = job->it;
    int64_t now = mono_us(cx), asked = it->shutdown_asked_us;
    v->facts.destroyed = it->destroyed;
    v->facts.shutdown_asked = asked != 0;
    v->facts.shutdown_expired = asked && now >= asked + a->setup.shutdown_timeout_us;
    v->facts.unplug_refused = now < it->unplug_again_us;
    v->facts.rescue_made = v->want && it->rescue_made == v->want->rescue.seq;
    v->facts.image_here = v->want && !v->want->image.id; /* none is needed */
    v->facts.lapsed = v->want && v->want->ha && ha_lapsed(cx, a);
    v->facts.held = v->want && v->want->ha && ha_held(cx, a);
    v->lease_until_us = a->lease_until_us;
    see_devices(a, it, v);
    v->why = arena_strdup(cx->arena, v->why);
}

static struct err *look(struct ctx *cx, struct agent *a, const struct job *job, struct view *ret)
{
    const struct guest_driver *ops = a->setup.guests.ops;
    *ret = (struct view){.want = job->deleted || !job->desired ? NULL : &job->desired->server};
    TRY(ops->state(cx, a->setup.guests.drv, job->it->id, &ret->is));
    volumes_seen(a, job->it, &ret->is);
    see_facts(cx, a, job, ret);
    return NULL;
}

/* ---- acting: disks ---- */

/* Beside what the server itself stands on. */
static const char *rescue_user(struct ctx *cx, const struct item *it)
{
    return arena_printf(cx->arena, "rescue-%s", it->id);
}

static struct err *prepare(struct ctx *cx, struct agent *a, const struct spec_server *want)
{
    const struct image_source *images = &a->setup.images;
    const char *path = NULL;
    if (want->image.id)
        TRY(images->use(cx, images->arg, want->id, &want->image, &path));
    else
        images->unuse(images->arg, want->id);
    return a->setup.guests.ops->prepare(cx, a->setup.guests.drv, want, path);
}

static struct err *prepare_rescue(struct ctx *cx, struct agent *a, struct job *job,
                                  const struct spec_server *want)
{
    const struct image_source *images = &a->setup.images;
    const char *path = NULL;
    TRY(images->use(cx, images->arg, rescue_user(cx, job->it), &want->rescue.image, &path));
    TRY(a->setup.guests.ops->prepare_rescue(cx, a->setup.guests.drv, want, path));
    AUTO_LOCK(&a->lock);
    job->it->rescue_made = want->rescue.seq;
    return NULL;
}

/* ---- acting: devices ---- */

static struct err *access_of(struct ctx *cx, struct agent *a, const struct spec_use *uses, size_t n,
                             struct volume_access **ret)
{
    *ret = arena_new_array(cx->arena, struct volume_access, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct volume_backend v = volume_backend_with(a, uses[i].volume_id);
        if (!v.ops)
            return fail(cx, ERR_UNAVAILABLE, "volume %s: " NO_STORAGE, uses[i].volume_id);
        TRY(v.ops->access(cx, v.drv, uses[i].volume_id, &(*ret)[i]));
    }
    return NULL;
}

/* What a suspended guest's memory knows; the rest is plugged in later. */
static struct spec_server with_devices_of(struct ctx *cx, const struct spec_server *want,
                                          const struct guest_state *is)
{
    struct spec_server s = *want;
    s.n_nics = s.n_volumes = 0;
    s.nics = arena_new_array(cx->arena, struct spec_nic, want->n_nics + 1);
    s.volumes = arena_new_array(cx->arena, struct spec_use, want->n_volumes + 1);
    for (size_t i = 0; i < want->n_nics; i++)
        if (plan_has_port(is, want->nics[i].port_id))
            s.nics[s.n_nics++] = want->nics[i];
    for (size_t i = 0; i < want->n_volumes; i++)
        if (plan_has_volume(is, want->volumes[i].volume_id))
            s.volumes[s.n_volumes++] = want->volumes[i];
    return s;
}

static struct err *start_with(struct ctx *cx, struct agent *a, const struct spec_server *want)
{
    struct volume_access *volumes;
    int taps[64];
    size_t n = 0;
    must(want->n_nics <= ARRAY_LEN(taps));
    TRY(access_of(cx, a, want->volumes, want->n_volumes, &volumes));
    struct err *e = NULL;
    for (; n < want->n_nics && !e; n++) {
        taps[n] = -1;
        e = a->setup.net.ops->tap_open(cx, a->setup.net.drv, &want->nics[n], &taps[n]);
    }
    if (!e)
        e = a->setup.guests.ops->start(cx, a->setup.guests.drv, want, taps, volumes);
    for (size_t i = 0; i < n; i++)
        close_fd_p(&taps[i]);
    return e;
}

static struct err *start(struct ctx *cx, struct agent *a, struct job *job, const struct view *v)
{
    bool goes_on = v->is.suspended && v->want->boot_seq <= v->is.boot_seq;
    struct spec_server want = goes_on ? with_devices_of(cx, v->want, &v->is) : *v->want;
    want.run_until_us = want.ha ? v->lease_until_us : 0;
    if (!volumes_hold(a, job->it, want.volumes, want.n_volumes)) {
        job->waits = true; /* somebody was quicker */
        return NULL;
    }
    TRY(start_with(cx, a, &want));
    if (!want.rescue.seq)
        a->setup.images.unuse(a->setup.images.arg, rescue_user(cx, job->it));
    return NULL;
}

static struct err *plug_nic(struct ctx *cx, struct agent *a, const struct job *job,
                            const struct spec_nic *nic)
{
    AUTO_FD int tap = -1;
    TRY(a->setup.net.ops->tap_open(cx, a->setup.net.drv, nic, &tap));
    return a->setup.guests.ops->plug_nic(cx, a->setup.guests.drv, job->it->id, nic, tap);
}

static struct err *plug(struct ctx *cx, struct agent *a, struct job *job, const struct view *v)
{
    struct volume_access *access;
    if (!v->plug_volume)
        return plug_nic(cx, a, job, v->plug_nic);
    if (!volumes_hold(a, job->it, v->plug_volume, 1)) {
        job->waits = true;
        return NULL;
    }
    TRY(access_of(cx, a, v->plug_volume, 1, &access));
    return a->setup.guests.ops->plug_volume(cx, a->setup.guests.drv, job->it->id, v->plug_volume,
                                            access);
}

/* A guest that keeps it is no trouble of the server's: it is asked again, and the rest goes on. */
static struct err *unplug(struct ctx *cx, struct agent *a, struct job *job, const struct view *v)
{
    const struct guest_driver *ops = a->setup.guests.ops;
    void *drv = a->setup.guests.drv;
    struct plan_device d = plan_surplus(v->want, &v->is);
    struct err *e = d.volume_id ? ops->unplug_volume(cx, drv, job->it->id, d.volume_id)
                                : ops->unplug_nic(cx, drv, job->it->id, d.port_id);
    if (!e || e->kind != ERR_TIMEOUT)
        return e;
    log_err(cx, LOG_WARN, e, "the guest keeps a device: it will be asked again", "server",
            job->it->id, NULL);
    AUTO_LOCK(&a->lock);
    job->it->unplug_again_us = mono_us(cx) + UNPLUG_AGAIN_US;
    return NULL;
}

/* ---- acting: the end ---- */

/* The server's taps, by its own spec and by what its networks say of it (the spec may be lost). */
static struct spec_nic *taps_of(struct ctx *cx, struct agent *a, const struct job *job,
                                size_t *ret_n)
{
    AUTO_LOCK(&a->lock);
    size_t max = job->desired ? job->desired->server.n_nics : 0, n = 0;
    for (const struct item *it = a->items; it; it = it->next)
        if (it->kind == ITEM_NETWORK && it->desired)
            max += it->desired->network.n_ports;
    struct spec_nic *out = arena_new_array(cx->arena, struct spec_nic, max + 1);
    for (; job->desired && n < job->desired->server.n_nics; n++)
        out[n] = job->desired->server.nics[n];
    for (const struct item *it = a->items; it; it = it->next) {
        if (it->kind != ITEM_NETWORK || !it->desired)
            continue;
        const struct spec_network *net = &it->desired->network;
        for (size_t i = 0; i < net->n_ports; i++)
            if (str_eq(net->ports[i].device_id, job->it->id))
                out[n++] = (struct spec_nic){.network_id = arena_strdup(cx->arena, net->id),
                                             .tap = arena_strdup(cx->arena, net->ports[i].tap)};
    }
    *ret_n = n;
    return out;
}

static struct err *destroy(struct ctx *cx, struct agent *a, struct job *job)
{
    size_t n = 0;
    const struct spec_nic *nics = taps_of(cx, a, job, &n);
    for (size_t i = 0; i < n; i++)
        TRY(a->setup.net.ops->tap_remove(cx, a->setup.net.drv, nics[i].network_id, nics[i].tap));
    TRY(a->setup.guests.ops->destroy(cx, a->setup.guests.drv, job->it->id));
    a->setup.images.unuse(a->setup.images.arg, job->it->id);
    a->setup.images.unuse(a->setup.images.arg, rescue_user(cx, job->it));
    password_forget(cx, a, job->it);
    TRY(ha_mark(cx, a, job->it, false));
    AUTO_LOCK(&a->lock);
    job->it->destroyed = job->it->deleted; /* not of what is made next, when it is wanted again */
    return NULL;
}

static struct err *shut_down(struct ctx *cx, struct agent *a, struct job *job)
{
    pthread_mutex_lock(&a->lock);
    job->it->shutdown_asked_us = max_i64(mono_us(cx), 1);
    pthread_mutex_unlock(&a->lock);
    struct err *e = a->setup.guests.ops->shutdown(cx, a->setup.guests.drv, job->it->id);
    if (e) /* deaf or half dead: forced when its time is over */
        log_err(cx, LOG_WARN, e, "cannot ask the guest to shut down", "server", job->it->id, NULL);
    return NULL;
}

static void takes_long(struct ctx *cx)
{
    if (cx->deadline_us)
        cx->deadline_us = mono_us(cx) + LONG_US;
}

static struct err *act(struct ctx *cx, struct agent *a, struct job *job, const struct view *v,
                       enum action action)
{
    const struct guest_driver *ops = a->setup.guests.ops;
    void *drv = a->setup.guests.drv;
    const char *id = job->it->id;
    switch (action) {
    case ACT_PREPARE:
        return prepare(cx, a, v->want);
    case ACT_PREPARE_RESCUE:
        return prepare_rescue(cx, a, job, v->want);
    case ACT_RESTORE:
        takes_long(cx);
        return ops->restore(cx, drv, id, v->want->restore_seq);
    case ACT_CHECKPOINT:
        takes_long(cx);
        return ops->checkpoint(cx, drv, id, v->want->checkpoint);
    case ACT_GIVE_UP_CHECKPOINT:
        takes_long(cx);
        return ops->checkpoint(cx, drv, id, 0);
    case ACT_START:
        takes_long(cx);
        return start(cx, a, job, v);
    case ACT_SHUTDOWN:
        return shut_down(cx, a, job);
    case ACT_STOP:
        return ops->stop(cx, drv, id);
    case ACT_SUSPEND:
        takes_long(cx);
        return ops->suspend(cx, drv, id);
    case ACT_RESET:
        return ops->reset(cx, drv, id, v->want->reset_seq);
    case ACT_PAUSE:
        return ops->pause(cx, drv, id, true);
    case ACT_RESUME:
        return ops->pause(cx, drv, id, false);
    case ACT_UNPLUG:
        return unplug(cx, a, job, v);
    case ACT_PLUG:
        return plug(cx, a, job, v);
    case ACT_SEND:
        takes_long(cx);
        return move_send(cx, a, job, v->want);
    case ACT_DESTROY:
        return destroy(cx, a, job);
    case ACT_NONE:
    case ACT_WAIT:
    case ACT_FETCH_IMAGE:
    case ACT_FETCH_RESCUE:
        break;
    }
    return NULL;
}

/* ---- reporting ---- */

static void device(struct jw *w, const char *key, const char *id, bool plugged)
{
    jw_obj(w);
    jw_kstr(w, key, id);
    jw_kbool(w, "plugged", plugged);
    jw_obj_end(w);
}

static bool names_port(const struct spec_server *want, const char *id)
{
    for (size_t i = 0; want && i < want->n_nics; i++)
        if (str_eq(want->nics[i].port_id, id))
            return true;
    return false;
}

static bool names_volume(const struct spec_server *want, const char *id)
{
    for (size_t i = 0; want && i < want->n_volumes; i++)
        if (str_eq(want->volumes[i].volume_id, id))
            return true;
    return false;
}

/* What is desired, and what the guest has beyond that. */
static void report_devices(struct jw *w, const struct view *v)
{
    const struct spec_server *want = v->want;
    bool on = v->is.power == GUEST_ON;
    jw_karr(w, "nics");
    for (size_t i = 0; want && i < want->n_nics; i++)
        device(w, "port_id", want->nics[i].port_id,
               on && plan_has_port(&v->is, want->nics[i].port_id));
    for (size_t i = 0; i < v->is.n_ports; i++)
        if (!names_port(want, v->is.ports[i]))
            device(w, "port_id", v->is.ports[i], on);
    jw_arr_end(w);
    jw_karr(w, "volumes");
    for (size_t i = 0; want && i < want->n_volumes; i++)
        device(w, "volume_id", want->volumes[i].volume_id,
               plan_has_volume(&v->is, want->volumes[i].volume_id));
    for (size_t i = 0; i < v->is.n_volumes; i++)
        if (!names_volume(want, v->is.volumes[i]))
            device(w, "volume_id", v->is.volumes[i], true);
    jw_arr_end(w);
}

static void report(struct ctx *cx, struct agent *a, struct job *job, const struct view *v,
                   const char *error)
{
    const struct guest_state *is = &v->is;
    struct buf b;
    struct jw w;
    buf_init(&b, cx->arena);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kstr(&w, "power", job->gone ? "absent" : plan_power(v->want, is));
    jw_kint(&w, "boot_seq", is->boot_seq);
    jw_kint(&w, "reset_seq", is->reset_seq);
    jw_kint(&w, "build_seq", is->build_seq);
    jw_kint(&w, "revision", job->revision);
    jw_kstr(&w, "error", error);
    jw_kbool(&w, "guest_shutdown", plan_guest_shutdown(v->want, is));
    report_devices(&w, v);
    jw_kint(&w, "started_at", is->started_at_us);
    jw_kbool(&w, "paused", is->paused);
    jw_kbool(&w, "suspended", is->suspended);
    jw_kint(&w, "rescue_seq", is->rescue_seq);
    jw_kint(&w, "checkpoint", is->checkpoint);
    jw_kint(&w, "restore_seq", is->restore_seq);
    move_report(&w, v->want, is);
    jw_kstr(&w, "password_data", password_to_tell(cx, a, job));
    jw_kbool(&w, "ha", v->want && v->want->ha);
    jw_obj_end(&w);
    job->report = buf_cstr(&b);
}

/* ---- the step ---- */

/* A shutdown that was asked for is over once the guest is off, or is wanted on again. */
static void end_shutdown(struct agent *a, struct job *job, const struct view *v)
{
    bool over = v->is.power != GUEST_ON || (v->want && plan_wants_on(v->want));
    AUTO_LOCK(&a->lock);
    if (over)
        job->it->shutdown_asked_us = 0;
    else if (job->it->shutdown_asked_us)
        job->due_us = job->it->shutdown_asked_us + a->setup.shutdown_timeout_us;
}

static struct err *fetch(struct ctx *cx, struct agent *a, struct view *v, enum action action)
{
    const struct image_source *images = &a->setup.images;
    return action == ACT_FETCH_IMAGE
               ? images->want(cx, images->arg, &v->want->image, &v->facts.image_here)
               : images->want(cx, images->arg, &v->want->rescue.image, &v->facts.rescue_image_here);
}

/* An image that is here already is no step of its own. */
static struct err *next_action(struct ctx *cx, struct agent *a, struct view *v, enum action *ret)
{
    *ret = plan_server(v->want, &v->is, &v->facts);
    while (*ret == ACT_FETCH_IMAGE || *ret == ACT_FETCH_RESCUE) {
        enum action fetched = *ret;
        TRY(fetch(cx, a, v, fetched));
        *ret = plan_server(v->want, &v->is, &v->facts);
        if (*ret == fetched)
            *ret = ACT_WAIT;
    }
    return NULL;
}

/* Refused devices are asked for again then. */
static void come_back(struct agent *a, struct job *job)
{
    AUTO_LOCK(&a->lock);
    if (!job->due_us)
        job->due_us = job->it->unplug_again_us;
}

/* A look when the lease ends. */
static void mind_the_lease(struct ctx *cx, struct job *job, const struct view *v)
{
    if (!v->want || !v->want->ha || v->facts.lapsed)
        return;
    int64_t due_us = mono_us(cx) + max_i64(v->lease_until_us - boot_us(cx), 0);
    job->due_us = job->due_us ? min_i64(job->due_us, due_us) : due_us;
}

static struct err *plan_and_act(struct ctx *cx, struct agent *a, struct job *job, struct view *v)
{
    enum action action = ACT_NONE;
    TRY(next_action(cx, a, v, &action));
    job->waits = action == ACT_WAIT;
    job->gone = job->deleted && action == ACT_NONE;
    if (job->waits && v->facts.unplug_refused)
        come_back(a, job);
    if (action == ACT_NONE || job->waits)
        return NULL;
    log_event(cx, v->facts.lapsed && action == ACT_STOP ? LOG_WARN : LOG_INFO, action_name(action),
              "server", job->it->id, v->facts.lapsed ? "why" : NULL,
              "this host has no lease: another may start it", NULL);
    TRY(act(cx, a, job, v, action));
    job->again = !job->waits;
    return NULL;
}

struct err *step_server(struct ctx *cx, struct agent *a, struct job *job)
{
    struct view v;
    if (!job->desired && !job->deleted && !job->spec_error)
        return NULL; /* found on the host: the next full answers decide */
    TRY(look(cx, a, job, &v));
    if (job->spec_error) {
        report(cx, a, job, &v, job->spec_error);
        return NULL;
    }
    end_shutdown(a, job, &v);
    if (v.want)
        TRY(ha_mark(cx, a, job->it, v.want->ha));
    struct err *e = plan_and_act(cx, a, job, &v);
    mind_the_lease(cx, job, &v);
    if (e && job->failures + 1 >= TELL_AFTER)
        report(cx, a, job, &v, e->message);
    else if (!e && !job->again)
        report(cx, a, job, &v, job->waits && v.why ? v.why : job_error(job));
    return e;
}
