/* SPDX-License-Identifier: EUPL-1.2 */
/* One step for one item: look, plan, apply one action, write down what was seen. See agent.h. */
#include "node/agent_impl.h"

enum {
    BACKOFF_MAX_S = 60,
    TELL_AFTER =
        3 /* failures in a row before the control plane hears of it: it may give the server up */
};

/* ---- server ---- */

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

static struct plan_facts facts_of(struct ctx *cx, struct agent *a, struct job *job,
                                  const char **ret_why)
{
    AUTO_LOCK(&a->lock);
    const struct item *it = job->it;
    struct plan_facts f = {.networks_ready = true, .destroyed = it->destroyed};
    f.shutdown_asked = it->shutdown_asked_us != 0;
    f.shutdown_expired =
        f.shutdown_asked && mono_us(cx) >= it->shutdown_asked_us + a->setup.shutdown_timeout_us;
    const struct spec_server *want = job->deleted ? NULL : &job->desired->server;
    for (size_t i = 0; want && i < want->n_nics; i++)
        if (!nic_ready(a, &want->nics[i], ret_why))
            f.networks_ready = false;
    *ret_why = arena_strdup(cx->arena, *ret_why);
    return f;
}

static struct err *start(struct ctx *cx, struct agent *a, const struct spec_server *want)
{
    int taps[64];
    size_t n = 0;
    must(want->n_nics <= ARRAY_LEN(taps));
    struct err *e = NULL;
    for (; n < want->n_nics && !e; n++) {
        taps[n] = -1;
        e = a->setup.net.ops->tap_open(cx, a->setup.net.drv, &want->nics[n], &taps[n]);
    }
    if (!e)
        e = a->setup.guests.ops->start(cx, a->setup.guests.drv, want, taps, NULL);
    for (size_t i = 0; i < n; i++)
        close_fd_p(&taps[i]);
    return e;
}

static struct err *prepare(struct ctx *cx, struct agent *a, const struct spec_server *want)
{
    const char *path = NULL;
    TRY(a->setup.images.use(cx, a->setup.images.arg, want->id, &want->image, &path));
    return a->setup.guests.ops->prepare(cx, a->setup.guests.drv, want, path);
}

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
    AUTO_LOCK(&a->lock);
    job->it->destroyed = true;
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

static struct err *act(struct ctx *cx, struct agent *a, struct job *job, enum action action)
{
    const struct guest_driver *ops = a->setup.guests.ops;
    void *drv = a->setup.guests.drv;
    const struct spec_server *want = job->deleted ? NULL : &job->desired->server;
    switch (action) {
    case ACT_PREPARE:
        return prepare(cx, a, want);
    case ACT_START:
        return start(cx, a, want);
    case ACT_SHUTDOWN:
        return shut_down(cx, a, job);
    case ACT_STOP:
        return ops->stop(cx, drv, job->it->id);
    case ACT_RESET:
        return ops->reset(cx, drv, job->it->id, want->reset_seq);
    case ACT_DESTROY:
        return destroy(cx, a, job);
    case ACT_NONE:
    case ACT_WAIT:
    case ACT_FETCH_IMAGE:
        break;
    }
    return NULL;
}

static void report_server(struct ctx *cx, struct job *job, const struct guest_state *is,
                          const char *error)
{
    const struct spec_server *want = job->deleted || !job->desired ? NULL : &job->desired->server;
    struct buf b;
    struct jw w;
    buf_init(&b, cx->arena);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kstr(&w, "power", job->gone ? "absent" : plan_power(want, is));
    jw_kint(&w, "boot_seq", is->boot_seq);
    jw_kint(&w, "reset_seq", is->reset_seq);
    jw_kint(&w, "build_seq", is->build_seq);
    jw_kint(&w, "revision", job->revision);
    jw_kstr(&w, "error", error);
    jw_kbool(&w, "guest_shutdown", plan_guest_shutdown(want, is));
    jw_karr(&w, "nics");
    for (size_t i = 0; want && i < want->n_nics; i++) {
        jw_obj(&w);
        jw_kstr(&w, "port_id", want->nics[i].port_id);
        jw_kbool(&w, "plugged", is->power == GUEST_ON);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_kint(&w, "started_at", is->started_at_us);
    jw_obj_end(&w);
    job->report = buf_cstr(&b);
}

/* A shutdown that was asked for is over once the guest is off, or is wanted on again. */
static void end_shutdown(struct agent *a, struct job *job, const struct guest_state *is)
{
    bool over = is->power != GUEST_ON || (!job->deleted && job->desired->server.power_on);
    AUTO_LOCK(&a->lock);
    if (over)
        job->it->shutdown_asked_us = 0;
    else if (job->it->shutdown_asked_us)
        job->due_us = job->it->shutdown_asked_us + a->setup.shutdown_timeout_us;
}

static struct err *next_action(struct ctx *cx, struct agent *a, struct job *job,
                               const struct guest_state *is, const char **ret_why, enum action *ret)
{
    const struct spec_server *want = job->deleted ? NULL : &job->desired->server;
    struct plan_facts facts = facts_of(cx, a, job, ret_why);
    *ret = plan_server(want, is, &facts);
    if (*ret != ACT_FETCH_IMAGE)
        return NULL;
    TRY(a->setup.images.want(cx, a->setup.images.arg, &want->image, &facts.image_here));
    *ret = facts.image_here ? plan_server(want, is, &facts) : ACT_WAIT;
    return NULL;
}

static struct err *step_server(struct ctx *cx, struct agent *a, struct job *job)
{
    struct guest_state is;
    if (!job->desired && !job->deleted && !job->spec_error)
        return NULL; /* found on the host: the next full answers decide */
    TRY(a->setup.guests.ops->state(cx, a->setup.guests.drv, job->it->id, &is));
    if (job->spec_error) {
        report_server(cx, job, &is, job->spec_error);
        return NULL;
    }
    end_shutdown(a, job, &is);
    enum action action = ACT_NONE;
    const char *why = NULL;
    struct err *e = next_action(cx, a, job, &is, &why, &action);
    bool acts = !e && action != ACT_NONE && action != ACT_WAIT;
    if (acts) {
        log_event(cx, LOG_INFO, action_name(action), "server", job->it->id, NULL);
        e = act(cx, a, job, action);
    }
    if (e) {
        if (job->failures + 1 >= TELL_AFTER)
            report_server(cx, job, &is, e->message);
        return e;
    }
    job->again = acts;
    job->waits = action == ACT_WAIT;
    job->gone = job->deleted && action == ACT_NONE;
    if (!acts)
        report_server(cx, job, &is, job->waits ? why : NULL);
    return NULL;
}

/* ---- network and router ---- */

static bool spec_uses_network(const struct item *it, const char *network_id)
{
    if (it->kind == ITEM_SERVER) {
        for (size_t i = 0; i < it->desired->server.n_nics; i++)
            if (strncmp(it->desired->server.nics[i].network_id, network_id, 11) == 0)
                return true;
    } else if (it->kind == ITEM_ROUTER) {
        for (size_t i = 0; i < it->desired->router.n_interfaces; i++)
            if (strncmp(it->desired->router.interfaces[i].network_id, network_id, 11) == 0)
                return true;
        return it->desired->router.has_external &&
               strncmp(it->desired->router.external.network_id, network_id, 11) == 0;
    }
    return false;
}

/* Something on this host still stands on the network. */
static bool network_in_use(struct agent *a, const char *network_id)
{
    AUTO_LOCK(&a->lock);
    for (const struct item *it = a->items; it; it = it->next)
        if (!it->gone && it->desired && spec_uses_network(it, network_id))
            return true;
    return false;
}

static bool router_ready(struct agent *a, const struct spec_router *r)
{
    AUTO_LOCK(&a->lock);
    for (size_t i = 0; i < r->n_interfaces; i++) {
        const struct item *net = item_find(a, ITEM_NETWORK, r->interfaces[i].network_id);
        if (!net || !net->applied)
            return false;
    }
    if (!r->has_external)
        return true;
    const struct item *external = item_find(a, ITEM_NETWORK, r->external.network_id);
    return !external || external->applied;
}

static struct err *apply_or_remove(struct ctx *cx, struct agent *a, struct job *job)
{
    const struct net_driver *ops = a->setup.net.ops;
    void *drv = a->setup.net.drv;
    bool network = job->it->kind == ITEM_NETWORK;
    if (job->deleted && network && network_in_use(a, job->it->id)) {
        job->waits = true;
        return NULL;
    }
    if (!job->deleted && !network && !router_ready(a, &job->desired->router)) {
        job->waits = true;
        return NULL;
    }
    if (job->deleted)
        TRY(network ? ops->network_remove(cx, drv, job->it->id)
                    : ops->router_remove(cx, drv, job->it->id));
    else
        TRY(network ? ops->network_apply(cx, drv, &job->desired->network)
                    : ops->router_apply(cx, drv, &job->desired->router));
    AUTO_LOCK(&a->lock);
    desired_unref(job->it->applied);
    job->it->applied = job->deleted ? NULL : desired_ref(job->desired);
    job->gone = job->deleted;
    return NULL;
}

static struct err *step_net(struct ctx *cx, struct agent *a, struct job *job)
{
    if (!job->desired && !job->deleted && !job->spec_error)
        return NULL;
    struct err *e = job->spec_error ? NULL : apply_or_remove(cx, a, job);
    if (!e && job->waits)
        return NULL;
    struct buf b;
    struct jw w;
    buf_init(&b, cx->arena);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kint(&w, "revision", job->revision);
    jw_kstr(&w, "error", e ? e->message : job->spec_error);
    jw_kbool(&w, "absent", job->gone);
    jw_obj_end(&w);
    job->report = buf_cstr(&b);
    return e;
}

/* ---- the step ---- */

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
                        .spec_error = arena_strdup(cx->arena, it->spec_error)};
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
    if (!failed)
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
    note_error(cx, it, e);
    a->failures += e != NULL;
    a->actions += job->again;
    it->gone = job->gone && it->deleted;
    if (job->report && !str_eq(job->report, it->report)) {
        item_set_text(&it->report, job->report);
        it->report_seq = ++a->report_seq;
        it->reported_at_us = a->last_at_us = max_i64(now_us(cx), a->last_at_us + 1);
    }
    schedule(cx, a, job, e != NULL);
    desired_unref(job->desired);
    forget_gone(a);
    agent_wake(a);
}

void agent_step(struct ctx *cx, struct agent *a, struct item *it)
{
    struct job job = begin(cx, a, it);
    struct err *e = it->kind == ITEM_SERVER ? step_server(cx, a, &job) : step_net(cx, a, &job);
    bool others_may_go_on = !e && (job.gone || it->kind != ITEM_SERVER) && !job.waits;
    finish(cx, a, &job, e);
    if (others_may_go_on)
        agent_poke(a);
}
