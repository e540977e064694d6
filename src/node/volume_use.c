/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Who has which volume. A guest's item names what its guest has open, or is about to open
 * (`holds`); a volume that is being worked on is busy. A guest opens only volumes that nobody else
 * holds and that are not busy; who works on a volume claims the guest that holds it, too.
 */
#include "node/agent_impl.h"

#define SENT_AGAIN_US 1000000

/* If not, its end pokes those who wait. */
static bool is_free(struct item *it)
{
    it->awaited = it->awaited || it->busy;
    return !it->busy;
}

bool item_borrow(struct agent *a, enum item_kind kind, const char *id, struct item **ret)
{
    AUTO_LOCK(&a->lock);
    struct item *it = item_find(a, kind, id);
    if (it && !is_free(it))
        return false;
    if (it)
        it->busy = true;
    *ret = it;
    return true;
}

void item_return(struct agent *a, struct item *it)
{
    AUTO_LOCK(&a->lock);
    it->busy = false;
    if (it->awaited)
        agent_poke_locked(a);
    it->awaited = false;
    agent_wake(a); /* it may be queued */
    forget_gone(a);
}

static struct item *holder_of(struct agent *a, const char *volume_id)
{
    struct item *it = a->items;
    while (it && !(it->kind == ITEM_SERVER && ids_have(&it->holds, volume_id)))
        it = it->next;
    return it;
}

bool volume_is_held(struct agent *a, const char *volume_id)
{
    AUTO_LOCK(&a->lock);
    return holder_of(a, volume_id) != NULL;
}

struct volume_backend volume_backend_of(const struct agent *a, const struct desired *d)
{
    if (!d || !d->volume.pool_id)
        return a->setup.volumes;
    return str_eq(d->volume.pool_id, a->setup.pool_id) ? a->setup.shared
                                                       : (struct volume_backend){0};
}

struct volume_backend volume_backend_with(struct agent *a, const char *volume_id)
{
    AUTO_LOCK(&a->lock);
    const struct item *it = item_find(a, ITEM_VOLUME, volume_id);
    return volume_backend_of(a, it ? it->desired : NULL);
}

/* ---- working on one ---- */

/* Both or none. */
static bool claim(struct agent *a, const struct item *me, const char *volume_id, struct reach *ret)
{
    AUTO_LOCK(&a->lock);
    struct item *volume = item_find(a, ITEM_VOLUME, volume_id), *guest = holder_of(a, volume_id);
    *ret = (struct reach){.volume = volume != me ? volume : NULL, .guest = guest};
    if ((ret->volume && !is_free(volume)) || (guest && !is_free(guest)))
        return false;
    if (ret->volume)
        volume->busy = true;
    if (guest)
        guest->busy = true;
    return true;
}

void volume_leave(struct agent *a, struct reach *r)
{
    if (r->guest)
        item_return(a, r->guest);
    if (r->volume)
        item_return(a, r->volume);
    *r = (struct reach){0};
}

/* It has closed its volumes, and may be another host's by now; if not, it goes on here. */
static bool is_sent(struct agent *a, const struct item *guest, const struct guest_state *is)
{
    AUTO_LOCK(&a->lock);
    const struct spec_move *m = guest->desired ? &guest->desired->server.move : NULL;
    return m && m->role == MOVE_OUT && is->power == GUEST_ON && is->sent_seq >= m->seq;
}

struct err *volume_reach(struct ctx *cx, struct agent *a, struct job *job, const char *volume_id,
                         struct reach *ret, bool *ret_reached)
{
    struct guest_state is;
    *ret_reached = claim(a, job->it, volume_id, ret);
    job->waits = !*ret_reached;
    if (!*ret_reached || !ret->guest)
        return NULL;
    struct err *e = a->setup.guests.ops->state(cx, a->setup.guests.drv, ret->guest->id, &is);
    bool sent = !e && is_sent(a, ret->guest, &is);
    if (e || sent)
        volume_leave(a, ret);
    if (sent) {
        *ret_reached = false;
        job->waits = true;
        job->due_us = mono_us(cx) + SENT_AGAIN_US;
        return NULL;
    }
    /* A suspended one has it in its memory only; one that went off by itself no more. */
    ret->open = !e && is.power == GUEST_ON && plan_has_volume(&is, volume_id);
    return e;
}

/* ---- opening them ---- */

bool volume_ready_for(struct agent *a, const struct item *server, const char *volume_id,
                      const char **ret_why)
{
    struct item *v = item_find(a, ITEM_VOLUME, volume_id);
    const struct item *holder = holder_of(a, volume_id);
    if (!volume_backend_of(a, v ? v->desired : NULL).ops)
        *ret_why = NO_STORAGE;
    if (v && v->error && v->failures >= TELL_AFTER)
        *ret_why = v->error;
    if (!v || v->deleted || !v->desired || !v->ready)
        return false;
    if (v->busy) {
        v->awaited = true;
        return false;
    }
    return str_eq(v->desired->volume.server_id, server->id) && (!holder || holder == server);
}

bool volumes_hold(struct agent *a, struct item *server, const struct spec_use *uses, size_t n)
{
    const char *why = NULL;
    AUTO_LOCK(&a->lock);
    for (size_t i = 0; i < n; i++)
        if (!volume_ready_for(a, server, uses[i].volume_id, &why))
            return false;
    for (size_t i = 0; i < n; i++)
        ids_add(&server->holds, uses[i].volume_id);
    return true;
}

void volumes_seen(struct agent *a, struct item *server, const struct guest_state *is)
{
    AUTO_LOCK(&a->lock);
    bool fewer = false;
    for (size_t i = 0; i < server->holds.n; i++)
        fewer = fewer || !plan_has_volume(is, server->holds.of[i]);
    server->holds.n = 0;
    for (size_t i = 0; i < is->n_volumes; i++)
        ids_add(&server->holds, is->volumes[i]);
    if (fewer)
        agent_poke_locked(a);
}
