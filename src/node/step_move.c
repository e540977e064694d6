/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Servers on their way to another host. This host sends what the driver gives, and says so; whether
 * the guest goes on here or there is the control plane's word: a spec without a move. See
 * docs/adr/0015-migration.md.
 */
#include "node/agent_impl.h"

/* ---- to another host ---- */

struct way {
    const struct move_sender *sender;
    const struct spec_move *to;
    const char *server_id;
};

static struct err *open_part(struct ctx *cx, void *arg, const char *part, int *ret_fd)
{
    const struct way *w = arg;
    return w->sender->open(cx, w->sender->arg, w->to, w->server_id, part, ret_fd);
}

static struct err *end_all(struct ctx *cx, void *arg, const char *text)
{
    const struct way *w = arg;
    return w->sender->end(cx, w->sender->arg, w->to, w->server_id, text);
}

bool move_is_given_up(const struct item *it)
{
    const struct spec_move *m = it->desired ? &it->desired->server.move : NULL;
    return it->deleted || !m || m->role != MOVE_OUT || m->seq != it->sending;
}

/* What was heard meanwhile counts too. */
static void begin(struct agent *a, struct item *it, int64_t seq)
{
    AUTO_LOCK(&a->lock);
    it->sending = seq;
    atomic_store(&it->given_up, move_is_given_up(it));
}

static void end(struct agent *a, struct item *it)
{
    AUTO_LOCK(&a->lock);
    it->sending = 0;
    atomic_store(&it->given_up, it->deleted);
}

struct err *move_send(struct ctx *cx, struct agent *a, struct job *job,
                      const struct spec_server *want)
{
    struct way way = {&a->setup.moves, &want->move, want->id};
    const struct move_link link = {open_part, end_all, &way};
    const struct guest_driver *ops = a->setup.guests.ops;
    if (!a->setup.moves.end || !ops->send)
        return fail(cx, ERR_NOT_IMPLEMENTED, "this host sends no servers to others");
    begin(a, job->it, want->move.seq);
    struct err *e = ops->send(cx, a->setup.guests.drv, want->id, want->move.seq, want->move.live,
                              &link, &job->it->given_up);
    end(a, job->it);
    return e;
}

void agent_stop_sending(struct agent *a)
{
    AUTO_LOCK(&a->lock);
    for (struct item *it = a->items; it; it = it->next)
        if (it->sending)
            atomic_store(&it->given_up, true);
}

/* ---- from another host ---- */

struct err *agent_may_receive(struct ctx *cx, struct agent *a, const char *server_id, int64_t seq,
                              const char *peer)
{
    AUTO_LOCK(&a->lock);
    const struct item *it = item_find(a, ITEM_SERVER, server_id);
    const struct spec_move *m =
        it && it->desired && !it->deleted ? &it->desired->server.move : NULL;
    if (!m || m->role != MOVE_IN)
        return fail(cx, ERR_NOT_FOUND, "no server %s is to come to this host", server_id);
    if (peer && !str_eq(m->peer, peer))
        return fail(cx, ERR_FORBIDDEN, "server %s is to come from another host", server_id);
    if (m->seq != seq)
        return fail(cx, ERR_CONFLICT, "server %s is to come in another move", server_id);
    return NULL;
}

struct err *agent_receive_end(struct ctx *cx, struct agent *a, const char *server_id, int64_t seq,
                              const char *peer, const char *text)
{
    const struct guest_driver *ops = a->setup.guests.ops;
    TRY(agent_may_receive(cx, a, server_id, seq, peer));
    if (!ops->receive_end)
        return fail(cx, ERR_NOT_IMPLEMENTED, "this host takes no servers from others");
    return ops->receive_end(cx, a->setup.guests.drv, server_id, text);
}

/* ---- what is told ---- */

void move_report(struct jw *w, const struct spec_server *want, const struct guest_state *is)
{
    const struct spec_move *m = want ? &want->move : NULL;
    if (!m || m->role == MOVE_NONE) {
        jw_knull(w, "move");
        return;
    }
    jw_kobj(w, "move");
    jw_kint(w, "seq", m->seq);
    jw_kbool(w, "ready",
             m->role == MOVE_IN && is->power != GUEST_ON && is->build_seq >= want->build_seq);
    jw_kbool(w, "sent", m->role == MOVE_OUT && is->sent_seq >= m->seq);
    jw_obj_end(w);
}
