/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Evacuation: a server of a host that failed starts on another one. What was on the failed host's
 * disk is lost: the root disk is made anew from its image; volumes that the other host reaches keep
 * their data. Whoever calls knows that the guest does not run any more: by the host's lease, or by
 * an operator's word (docs/adr/0016-host-failure.md).
 */
#include "compute/placing.h"

/* ---------------------------------------------------------------- what it needs elsewhere */

static struct err *check_volumes(struct call *c, const struct server *s)
{
    struct volume_use *uses;
    size_t n;
    TRY(server_uses(c->cx, c->tx, s->id, &uses, &n));
    for (size_t i = 0; i < n; i++)
        if (uses[i].host_id)
            return fail(c->cx, ERR_INVALID,
                        "No valid host was found. Volume %s lies on a disk of host %s, which does "
                        "not answer.",
                        uses[i].volume_id, s->host_name);
    return NULL;
}

/* Its root disk is to be made once more. */
static struct err *check_root(struct call *c, const struct server *s)
{
    json_t *spec = NULL;
    struct image_info image;
    bool found;
    if (!s->image_spec)
        return NULL;
    TRY(json_read(c->cx, s->image_spec, strlen(s->image_spec), &spec));
    const char *id = json_get_str(spec, "id");
    TRY(image_get_any(c->cx, c->tx, id, &image, &found));
    if (found && str_eq(image.status, "active"))
        return NULL;
    return fail(c->cx, ERR_INVALID,
                "No valid host was found. The image %s, which the disk of instance %s is to be "
                "made from, is gone.",
                id, s->id);
}

static struct err *choose(struct call *c, const struct server *s, const char *host,
                          struct place_host **ret)
{
    struct placing p;
    const char *reason = NULL;
    TRY(placing_begin(c->cx, c->tx, s, &p));
    p.rq.host = host;
    TRY(placing_next(c->cx, c->tx, &p, ret, &reason));
    return *ret ? NULL : fail(c->cx, ERR_INVALID, "No valid host was found. %s.", reason);
}

/* ---------------------------------------------------------------- the move */

/* What was under way on the failed host is over; what is open has no way back. */
static struct err *give_up_there(struct call *c, struct server *s)
{
    TRY(server_export_cancel(c->cx, c->tx, s));
    TRY(server_take_nics(c->cx, c->tx, s, NULL, true));
    TRY(server_take_volumes(c->cx, c->tx, s, NULL, true, true));
    s->rescue_spec = s->rescue_image_id = NULL;
    return s->old_flavor || s->checkpoint ? server_end_resize(c->cx, c->tx, s) : NULL;
}

/* REBUILD, also where it is that already: its time begins anew. */
static struct err *begin_build(struct call *c, struct server *s)
{
    TRY(server_move(c->cx, c->tx, s, ST_REBUILD));
    s->state_since = now_us(c->cx);
    s->state_deadline = s->state_since + lifecycle_of(ST_REBUILD)->deadline_s * 1000000;
    s->build_seq++;
    s->boot_seq++;
    return NULL;
}

struct err *server_evacuate(struct call *c, struct server *s, const char *host, bool stay_off)
{
    struct place_host *to;
    bool back = false, elsewhere_too = s->other_host_id;
    TRY(move_abandon(c->cx, c->tx, s, "its host failed", &back));
    if (back) /* to a host that has all of it */
        return server_save(c->cx, c->tx, s);
    TRY(check_volumes(c, s));
    TRY(check_root(c, s));
    TRY(give_up_there(c, s));
    if (elsewhere_too) /* the room that it held there may be what it needs */
        TRY(res_update(c->cx, c->tx, &server_resource, s));
    TRY(choose(c, s, host, &to));
    const struct migration_plan plan = {
        .type = "evacuation", .status = "accepted", .dest_host_id = to->id};
    TRY(migration_record(c, s, &plan));
    server_power(s, s->want_power && !stay_off);
    TRY(begin_build(c, s));
    TRY(action_record(c, s, "evacuate", "compute_rebuild_instance", RECORD_OPEN));
    TRY(server_rehost(c->cx, c->tx, s, to->id, REHOST_NOW));
    return server_save(c->cx, c->tx, s);
}

bool server_evacuable(const struct server *s)
{
    const struct lifecycle *l = lifecycle_of(state_of(s));
    return s->host_id && !l->leaves_host &&
           (state_of(s) == ST_REBUILD || lifecycle_allows(state_of(s), ST_REBUILD));
}

/* ---------------------------------------------------------------- POST …/action, "evacuate" */

struct wish {
    const char *host, *admin_pass;
};

static struct err *read_wish(struct call *c, const json_t *args, struct wish *ret)
{
    const bool shares = c->microversion < 14,
               forces = c->microversion >= 29 && c->microversion < 68;
    const json_t *host = json_get(args, "host"), *pass = json_get(args, "adminPass"),
                 *shared = json_get(args, "onSharedStorage"), *force = json_get(args, "force");
    bool truth;
    if (!json_is_object(args))
        return bad_member(c, "evacuate", args, "it is not of type 'object'");
    TRY(ONLY_MEMBERS(c, "evacuate", args, "host", "adminPass", shares ? "onSharedStorage" : NULL,
                     forces ? "force" : NULL));
    *ret = (struct wish){json_string_value(host), json_string_value(pass)};
    if (host && !(ret->host && *ret->host && strlen(ret->host) <= 255))
        return bad_member(c, "host", host, "it is no host's name");
    if (pass && !ret->admin_pass)
        return bad_member(c, "adminPass", pass, "it is not of type 'string'");
    if (shares && !json_is_boolean(shared) && !str_to_bool(json_string_value(shared), &truth))
        return bad_member(c, "onSharedStorage", shared, "a boolean is needed");
    if (force && !json_is_boolean(force) && !str_to_bool(json_string_value(force), &truth))
        return bad_member(c, "force", force, "it is not of type 'boolean'");
    if (force && !ret->host)
        return fail(c->cx, ERR_INVALID, "Can't force to a non-provided destination");
    return NULL;
}

static struct err *check_target(struct call *c, const struct server *s, const char *name)
{
    struct fleet_host *hosts;
    size_t n, i = 0;
    if (!name)
        return NULL;
    TRY(fleet_hosts(c->cx, c->tx, &hosts, &n));
    while (i < n && !str_eq(hosts[i].name, name))
        i++;
    if (i == n)
        return fail(c->cx, ERR_NOT_FOUND, "Compute host %s not found.", name);
    if (str_eq(s->host_name, name))
        return fail(c->cx, ERR_INVALID, "The target host can't be the same one.");
    return NULL;
}

/* That nobody hears of the host does not mean that nothing runs there. */
static struct err *check_fenced(struct call *c, const struct server *s)
{
    struct fleet_host host;
    TRY(fleet_host_get(c->cx, c->tx, s->host_id, &host));
    if (host.alive)
        return fail(c->cx, ERR_INVALID, "Compute service of %s is still in use.", host.name);
    if (host.forced_down || (s->seen_ha && fleet_host_silent(c->cx, &host)))
        return NULL;
    return fail(c->cx, ERR_INVALID,
                "Host %s does not answer, but instance %s may still run there: make sure that it "
                "is off, then say so with 'openstack compute service set --down %s nova-compute'.",
                host.name, s->id, host.name);
}

struct err *act_evacuate(struct call *c, struct server *s, const json_t *args)
{
    const char *vm_state = lifecycle_of(state_of(s))->vm_state;
    struct wish wish = {0};
    TRY(read_wish(c, args, &wish));
    TRY(server_check_lock(c, s));
    if (!str_eq(vm_state, "active") && !str_eq(vm_state, "stopped") && !str_eq(vm_state, "error"))
        return server_refuse(c, s, "evacuate");
    if (!s->host_id)
        return fail(c->cx, ERR_INVALID, "No valid host was found. Instance %s was on no host.",
                    s->id);
    TRY(check_target(c, s, wish.host));
    TRY(check_fenced(c, s));
    if (!server_evacuable(s))
        return server_refuse(c, s, "evacuate");
    s->admin_pass = wish.admin_pass ? wish.admin_pass : new_password(c->cx);
    TRY(server_evacuate(c, s, wish.host, c->microversion >= 95));
    if (c->microversion >= 14) {
        call_reply_empty(c, 200);
        return NULL;
    }
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kstr(&w, "adminPass", s->admin_pass);
    jw_obj_end(&w);
    return NULL;
}
