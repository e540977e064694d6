/* SPDX-License-Identifier: EUPL-1.2 */
/* Servers on their way from host to host: what the hosts send each other, and what must hold. */
#include "sim/world_impl.h"

/* ---- between hosts ---- */

static struct err *no_parts(struct ctx *cx, void *arg UNUSED, const struct spec_move *to UNUSED,
                            const char *server_id UNUSED, const char *part UNUSED,
                            int *ret_fd UNUSED)
{
    return fail(cx, ERR_NOT_IMPLEMENTED, "fake guests have no parts");
}

/* It arrives, or not; so does the answer. */
static struct err *send_end(struct ctx *cx, void *arg, const struct spec_move *to,
                            const char *server_id, const char *text)
{
    struct host *h = arg, *there = host_of(h->world, to->peer);
    struct world *w = h->world;
    must(there && there != h);
    if (!there->agent || chance(w, 10))
        return fail(cx, ERR_UNAVAILABLE, "the other host can't be reached");
    struct err *e = agent_receive_end(cx, there->agent, server_id, to->seq, h->id, text);
    trace(w, "%s: sends %s to %s%s%s", h->id, server_id, there->id, e ? ": " : "",
          e ? e->message : "");
    if (there->dying)
        kill_agent(w, there);
    return !e && chance(w, 10) ? fail(cx, ERR_UNAVAILABLE, "the answer is lost") : e;
}

struct move_sender sim_moves(struct host *h)
{
    return (struct move_sender){no_parts, send_end, h};
}

/* ---- what must hold ---- */

static const struct stmt states = {"sim_states", "SELECT id, state FROM servers"};

enum server_state state_in_db(struct world *w, const char *id)
{
    struct db_rows r;
    must(!load_rows(w, &states, &r));
    for (size_t i = 0; i < r.n_rows; i++)
        if (str_eq(db_text(&r, i, 0), id))
            return lifecycle_named(db_text(&r, i, 1));
    return ST_GONE;
}

bool stands_for_move(const struct known *k, const struct host *h, const struct guest_state *is)
{
    bool leaves = str_eq(k->host_id, h->id) && k->state == ST_MIGRATING;
    return is->paused && (leaves || !str_eq(k->host_id, h->id));
}

/* The new host has all that there is, and it is the one that was named. */
static void check_switch(struct world *w, struct known *k, const char *host_id)
{
    struct guest_state is;
    struct host *h = host_of(w, host_id);
    if (!str_eq(k->other_id, host_id))
        broken(w, "server %s is on host %s, where nobody moved it", k->id, host_id);
    else if (!fake_guest_state(&h->guests, k->id, &is))
        broken(w, "server %s was moved to %s, which has nothing of it", k->id, host_id);
    else if (k->state == ST_MIGRATING && !is.suspended)
        broken(w, "server %s was moved to %s without its memory", k->id, host_id);
    trace(w, "server %s is on %s, was on %s", k->id, host_id, k->host_id);
    snprintf(k->host_id, sizeof(k->host_id), "%s", host_id);
}

void check_moved(struct world *w, struct known *k, const char *host_id, const char *other_id,
                 enum server_state state, int64_t boot_seq)
{
    bool was_moving = k->state == ST_MOVING && state != ST_MOVING && state != ST_DELETING;
    if (!str_eq(k->host_id, host_id) && *k->host_id && host_id)
        check_switch(w, k, host_id);
    if (was_moving && (state == ST_RESIZE || state == ST_STARTING) && boot_seq == k->boots + 1)
        k->boots++;
    if (was_moving && state != ST_RESIZE) { /* it stays */
        k->resizing = false;
        k->flavor = k->old_flavor;
    }
    snprintf(k->other_id, sizeof(k->other_id), "%s", other_id ? other_id : "");
}
