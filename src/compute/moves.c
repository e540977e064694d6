/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Servers on their way to another host (docs/adr/0015-migration.md). The row says what both hosts
 * are told, by host_id, which alone may run the guest, and by the other host's stage:
 *
 *   prepare  the other host makes itself ready: image, room for the disk
 *   send     host_id sends it there (what runs stands still in the end), and says when all is there
 *            one transaction makes the other host host_id
 *   kept     after a cold move: the other host is where it came from, and keeps its copy
 *   return   that move is taken back: host_id removes what it has, then the other host is host_id
 *
 * So at each moment one host may run it. Whoever dies, the row stays: what takes too long is undone
 * before the switch, and is in error after it.
 */
#include "compute/impl.h"

#define PREPARE "prepare"
#define SEND "send"
#define KEPT "kept"
#define RETURN "return"

#define SEND_US (600 * 1000000LL) /* at least; more with what there is to send: */
#define SEND_GIB_US (30 * 1000000LL)

bool move_under_way(const struct server *s)
{
    return str_eq(s->move_stage, PREPARE) || str_eq(s->move_stage, SEND);
}

static bool is_live(const struct server *s)
{
    return state_of(s) == ST_MIGRATING;
}

/* ---------------------------------------------------------------- where to */

/* Agents speak to each other with certificates; those on the control plane's own machine have none,
 * and reach each other on it. */
static bool reach_each_other(const struct fleet_host *a, const struct fleet_host *b)
{
    bool a_local = a->secret_sha256 && *a->secret_sha256,
         b_local = b->secret_sha256 && *b->secret_sha256;
    return a->agent_url && b->agent_url && a_local == b_local;
}

/* Hosts that it can't go to by their kind, and its own. */
static struct err *strangers(struct call *c, const struct server *s, struct place_request *rq)
{
    struct fleet_host *hosts, own;
    size_t n;
    TRY(fleet_host_get(c->cx, c->tx, s->host_id, &own));
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n));
    const char **ids = arena_new_array(c->cx->arena, const char *, n + rq->n_different_hosts + 1);
    size_t n_ids = rq->n_different_hosts;
    if (n_ids)
        memcpy(ids, rq->different_hosts, n_ids * sizeof(*ids));
    for (size_t i = 0; i < n; i++)
        if (str_eq(hosts[i].id, own.id) || !reach_each_other(&hosts[i], &own) ||
            !str_eq(hosts[i].hypervisor_type, own.hypervisor_type))
            ids[n_ids++] = hosts[i].id;
    rq->different_hosts = ids;
    rq->n_different_hosts = n_ids;
    return NULL;
}

struct err *move_obstacle(struct ctx *cx, struct tx *tx, const struct server *s, const char **ret)
{
    struct volume_use *uses;
    size_t n;
    *ret = NULL;
    TRY(server_uses(cx, tx, s->id, &uses, &n));
    for (size_t i = 0; i < n && !*ret; i++)
        if (uses[i].host_id)
            *ret = arena_printf(cx->arena,
                                "Volume %s of instance %s lies on its host: detach it, or shelve "
                                "the instance and keep it",
                                uses[i].volume_id, s->id);
    return NULL;
}

struct err *move_choose(struct call *c, const struct server *s, const char *host_name,
                        const char **ret_host_id)
{
    struct place_host *hosts;
    struct place_request rq;
    const char *reason = NULL;
    size_t n;
    bool known = !host_name;
    TRY(move_obstacle(c->cx, c->tx, s, &reason));
    if (reason)
        return fail(c->cx, ERR_INVALID, "No valid host was found. %s.", reason);
    TRY(placement_for(c->cx, c->tx, s, &hosts, &n, &rq));
    for (size_t i = 0; i < n; i++)
        known = known || str_eq(hosts[i].name, host_name);
    if (!known)
        return fail(c->cx, ERR_INVALID, "Compute host %s could not be found.", host_name);
    rq.host = host_name;
    rq.vcpus = s->held_vcpus;
    rq.memory_mib = s->held_memory_mib;
    rq.disk_gib = s->held_disk_gib;
    TRY(strangers(c, s, &rq));
    int i = place(c->cx, &compute_cfg.placement, hosts, n, &rq, &reason);
    if (i < 0)
        return fail(c->cx, ERR_INVALID, "No valid host was found. %s.", reason);
    *ret_host_id = hosts[i].id;
    return NULL;
}

/* ---------------------------------------------------------------- what hosts are told */

bool move_wants(const struct server *s, const char *host_id)
{
    if (str_eq(s->host_id, host_id))
        return !lifecycle_of(state_of(s))->leaves_host && !str_eq(s->move_stage, RETURN);
    return str_eq(s->other_host_id, host_id);
}

/* How one host proves to another of the same machine that this server is to come from it. */
static const char *token(struct ctx *cx, const struct server *s, const struct fleet_host *to)
{
    if (!to->secret_sha256 || !*to->secret_sha256)
        return NULL;
    const char *base = arena_printf(cx->arena, "agent-move:%s:%" PRId64 ":%s", s->id, s->move_seq,
                                    to->secret_sha256);
    return sha256_hex(cx, base, strlen(base));
}

struct err *move_write(struct ctx *cx, struct tx *tx, struct jw *w, const struct server *s,
                       const char *host_id)
{
    struct fleet_host other;
    bool here = str_eq(s->host_id, host_id);
    if (!s->move_stage || (here && !str_eq(s->move_stage, SEND))) {
        jw_knull(w, "move");
        return NULL;
    }
    jw_kobj(w, "move");
    jw_kstr(w, "role", here ? "out" : move_under_way(s) ? "in" : "kept");
    jw_kint(w, "seq", s->move_seq);
    jw_kbool(w, "live", is_live(s));
    jw_kstr(w, "peer", here ? s->other_host_id : s->host_id);
    if (here) {
        TRY(fleet_host_get(cx, tx, s->other_host_id, &other));
        jw_kstr(w, "url", other.agent_url);
        jw_kstr(w, "token", token(cx, s, &other));
    }
    jw_obj_end(w);
    return NULL;
}

/* ---------------------------------------------------------------- from host to host */

struct err *move_begin(struct call *c, struct server *s, const struct server *old,
                       const struct move_wish *wish, const char *host_id)
{
    const struct migration_plan plan = {.type = wish->type,
                                        .status = is_live(s) ? "preparing" : "migrating",
                                        .dest_host_id = host_id,
                                        .new_flavor_id = wish->new_flavor};
    TRY(migration_record(c, old, &plan));
    s->other_host_id = host_id;
    s->move_stage = PREPARE;
    s->move_seq++;
    return fleet_touch(c->cx, c->tx, host_id, "server", s->id);
}

struct err *move_forget(struct ctx *cx, struct tx *tx, struct server *s)
{
    const char *other = s->other_host_id;
    s->other_host_id = s->move_stage = NULL;
    if (!other)
        return NULL;
    TRY(network_ports_expect(cx, tx, s->id, NULL));
    return fleet_touch(cx, tx, other, "server", s->id);
}

struct err *server_rehost(struct ctx *cx, struct tx *tx, struct server *s, const char *host_id,
                          enum rehost volumes)
{
    struct fleet_host host;
    const char *old = s->host_id;
    TRY(fleet_host_get(cx, tx, host_id, &host));
    TRY(host_zone(cx, tx, &host, "", &s->zone));
    TRY(network_ports_bind(cx, tx, s->id, host_id, s->zone));
    TRY(volume_uses_rehost(cx, tx, s->id, host_id, volumes));
    s->host_id = host_id;
    s->host_name = host.name;
    server_forget_seen(s);
    s->seen_ha = server_is_ha(cx, s); /* it has not run there yet */
    if (s->launched_at)
        TRY(usage_change(cx, tx, s));
    return old ? fleet_touch(cx, tx, old, "server", s->id) : NULL;
}

/* All of it is on the other host. */
static struct err *switch_over(struct ctx *cx, struct tx *tx, struct server *s)
{
    const char *from = s->host_id;
    bool live = is_live(s);
    TRY(server_rehost(cx, tx, s, s->other_host_id, live ? REHOST_NOW : REHOST_WAIT));
    s->other_host_id = s->old_flavor ? from : NULL; /* of what is to be confirmed */
    s->move_stage = s->old_flavor ? KEPT : NULL;
    s->boot_seq += !live && s->want_power;
    TRY(migration_status(cx, tx, s->id, "post-migrating"));
    TRY(server_move(cx, tx, s, live ? ST_ARRIVING : ST_RESIZE));
    return server_save(cx, tx, s);
}

/* The flavor that it was to get with the move. */
static struct err *restore_flavor(struct ctx *cx, struct tx *tx, struct server *s)
{
    if (!s->old_flavor)
        return NULL;
    server_restore_flavor(cx, s);
    server_hold(s);
    return usage_change(cx, tx, s);
}

/* Where it stands, back on its host. */
static enum server_state state_after_undo(struct server *s, bool sent)
{
    const struct server_desired d = desired_of(s);
    if (!sent)
        return lifecycle_settled(&d);
    if (is_live(s))
        return ST_ARRIVING; /* it may stand still */
    if (!s->want_power)
        return ST_SHUTOFF;
    s->boot_seq++; /* it was told to go off */
    return ST_STARTING;
}

struct err *move_undo(struct ctx *cx, struct tx *tx, struct server *s, const char *status,
                      const char *why)
{
    if (!move_under_way(s))
        return NULL;
    bool sent = str_eq(s->move_stage, SEND);
    TRY(migration_failed(cx, tx, s->id, status, why));
    TRY(actions_failed(cx, tx, s));
    TRY(move_forget(cx, tx, s));
    TRY(restore_flavor(cx, tx, s));
    log_event(cx, LOG_WARN, "a server stays on its host", "server", s->id, "host", s->host_name,
              "because", why, NULL);
    TRY(server_move(cx, tx, s, state_after_undo(s, sent)));
    return server_save(cx, tx, s);
}

struct err *move_return(struct ctx *cx, struct tx *tx, struct server *s)
{
    s->move_stage = RETURN;
    return fleet_touch(cx, tx, s->other_host_id, "server", s->id);
}

/* ---------------------------------------------------------------- what they say */

static const char *error_of(struct ctx *cx, const json_t *observed)
{
    const char *error = json_get_str(observed, "error");
    if (!error || !*error)
        return NULL;
    error = arena_strndup(cx->arena, error, strnlen(error, 500));
    return str_utf8_len(error) < 0 ? "its host reported an error that is no valid text" : error;
}

/* True when it says this of the move that is under way. */
static bool says(const struct server *s, const json_t *observed, const char *what)
{
    const json_t *move = json_get(observed, "move");
    return json_get_int(move, "seq", 0) == s->move_seq && json_get_bool(move, what, false);
}

static int64_t sending_us(const struct server *s)
{
    return SEND_US + SEND_GIB_US * (s->held_disk_gib + s->held_memory_mib / 1024);
}

struct err *move_report_there(struct ctx *cx, struct tx *tx, struct server *s,
                              const json_t *observed)
{
    const char *error = error_of(cx, observed);
    if (!str_eq(s->move_stage, PREPARE) ||
        json_get_int(json_get(observed, "move"), "seq", 0) != s->move_seq)
        return NULL;
    if (error)
        return move_undo(cx, tx, s, "error", arena_printf(cx->arena, "the other host: %s", error));
    if (!says(s, observed, "ready"))
        return NULL;
    s->move_stage = SEND;
    s->state_deadline = now_us(cx) + sending_us(s);
    if (is_live(s)) {
        TRY(network_ports_expect(cx, tx, s->id, s->other_host_id));
        TRY(migration_status(cx, tx, s->id, "running"));
    }
    return server_save(cx, tx, s);
}

static struct err *to_where_it_came_from(struct ctx *cx, struct tx *tx, struct server *s)
{
    const char *to = s->other_host_id;
    s->other_host_id = s->move_stage = NULL;
    server_hold(s);
    TRY(server_rehost(cx, tx, s, to, REHOST_WAIT));
    return migration_status(cx, tx, s->id, "reverted");
}

/* What a host that it returns from has to do is over. */
static struct err *returned(struct ctx *cx, struct tx *tx, struct server *s)
{
    TRY(to_where_it_came_from(cx, tx, s));
    return server_save(cx, tx, s);
}

struct err *move_abandon(struct ctx *cx, struct tx *tx, struct server *s, const char *why,
                         bool *ret_back)
{
    *ret_back = str_eq(s->move_stage, RETURN);
    if (*ret_back)
        return to_where_it_came_from(cx, tx, s);
    if (!move_under_way(s))
        return NULL;
    TRY(migration_failed(cx, tx, s->id, "error", why));
    TRY(actions_failed(cx, tx, s));
    TRY(restore_flavor(cx, tx, s));
    return move_forget(cx, tx, s);
}

/* Off by its own doing, before it was sent: so it stays, on either host. */
static bool went_off(const struct server *s, const json_t *observed, enum seen_power power)
{
    return power == SEEN_CRASHED ||
           (power == SEEN_OFF && json_get_bool(observed, "guest_shutdown", false) &&
            json_get_int(observed, "boot_seq", 0) >= s->boot_seq);
}

struct err *move_report_here(struct ctx *cx, struct tx *tx, struct server *s,
                             const json_t *observed, enum seen_power power, bool *ret_over)
{
    const char *error = error_of(cx, observed);
    *ret_over = true;
    if (str_eq(s->move_stage, RETURN)) /* what it had here counts no more */
        return power == SEEN_ABSENT ? returned(cx, tx, s) : NULL;
    if (!move_under_way(s)) {
        *ret_over = false;
        return NULL;
    }
    if (says(s, observed, "sent") && str_eq(s->move_stage, SEND))
        return switch_over(cx, tx, s);
    *ret_over = false;
    if (is_live(s) && (power == SEEN_ABSENT || power == SEEN_OFF || power == SEEN_CRASHED))
        return move_undo(cx, tx, s, "error", "the guest went off");
    if (!is_live(s) && s->want_power && went_off(s, observed, power)) {
        server_power(s, false);
        return server_save(cx, tx, s);
    }
    *ret_over = error && json_get_int(json_get(observed, "move"), "seq", 0) == s->move_seq;
    return *ret_over ? move_undo(cx, tx, s, "error", error) : NULL;
}

struct err *move_await(struct ctx *cx, struct tx *tx, const struct server *s,
                       const json_t *observed, struct lifecycle_step *step)
{
    int64_t revision;
    TRY(fleet_revision(cx, tx, s->host_id, "server", s->id, &revision));
    if (json_get_int(observed, "revision", 0) < revision)
        *step = (struct lifecycle_step){.state = ST_ARRIVING};
    return NULL;
}
