/* SPDX-License-Identifier: EUPL-1.2 */
/* Steps for networks and routers. See agent_step.c. */
#include "node/agent_impl.h"

static bool spec_uses_network(const struct item *it, const char *network_id)
{
    if (it->kind == ITEM_SERVER) {
        enum move_role role = it->desired->server.move.role;
        if (role == MOVE_IN || role == MOVE_KEPT)
            return false; /* it runs elsewhere */
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

/* Guests on it may start meanwhile. */
static struct err *serve(struct ctx *cx, struct agent *a, const struct job *job)
{
    const struct net_driver *ops = a->setup.net.ops;
    if (job->deleted || job->it->kind != ITEM_NETWORK || !ops->network_serve)
        return NULL;
    agent_poke(a);
    return ops->network_serve(cx, a->setup.net.drv, &job->desired->network);
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
    pthread_mutex_lock(&a->lock);
    struct desired *before = job->it->applied;
    job->it->applied = job->deleted ? NULL : desired_ref(job->desired);
    job->gone = job->deleted;
    pthread_mutex_unlock(&a->lock);
    struct err *e = serve(cx, a, job);
    AUTO_LOCK(&a->lock);
    if (e) { /* those that have not started wait for the next try */
        desired_unref(job->it->applied);
        job->it->applied = before;
    } else {
        desired_unref(before);
    }
    return e;
}

struct err *step_net(struct ctx *cx, struct agent *a, struct job *job)
{
    if (!job->desired && !job->deleted && !job->spec_error)
        return NULL;
    struct err *e = job->spec_error ? NULL : apply_or_remove(cx, a, job);
    if (!e && job->waits)
        return NULL;
    struct job_report r;
    job_report_begin(cx, job, &r);
    job_report_end(&r, job, e ? e->message : job->spec_error);
    return e;
}
