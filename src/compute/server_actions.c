/* SPDX-License-Identifier: EUPL-1.2 */
/* POST /servers/{id}/action: the body's only member names the action, a row of actions.def; and
 * the actions that are not about what runs. */
#include "compute/impl.h"

struct err *server_accepted(struct call *c, struct server *s)
{
    TRY(server_save(c->cx, c->tx, s));
    call_reply_empty(c, 202);
    return NULL;
}

struct err *act_lock(struct call *c, struct server *s, const json_t *args)
{
    const json_t *reason = json_get(args, "locked_reason");
    if (reason && (c->microversion < 73 || !json_is_string(reason) ||
                   str_utf8_len(json_string_value(reason)) > 255 || !*json_string_value(reason)))
        return bad_member(c, "locked_reason", reason,
                          "A text of 1 to 255 characters is needed, from 2.73 on");
    s->locked = true;
    s->locked_reason = json_string_value(reason);
    TRY(action_record(c, s, "lock", "api_lock", RECORD_DONE));
    return server_accepted(c, s);
}

struct err *act_unlock(struct call *c, struct server *s, const json_t *args UNUSED)
{
    s->locked = false;
    s->locked_reason = NULL;
    TRY(action_record(c, s, "unlock", "api_unlock", RECORD_DONE));
    return server_accepted(c, s);
}

static struct err *change_group(struct call *c, struct server *s, const json_t *args, bool add)
{
    const char *name = json_get_str(args, "name");
    TRY(server_check_lock(c, s));
    if (!name || !*name || str_utf8_len(name) > 255)
        return fail(c->cx, ERR_INVALID, "Security group name cannot be empty");
    TRY(network_group_on_server(c, s->id, name, add));
    call_reply_empty(c, 202);
    return NULL;
}

struct err *act_add_group(struct call *c, struct server *s, const json_t *args)
{
    return change_group(c, s, args, true);
}

struct err *act_remove_group(struct call *c, struct server *s, const json_t *args)
{
    return change_group(c, s, args, false);
}

/* "active" lets the host's next report decide again; "error" holds until an action. */
struct err *act_reset_state(struct call *c, struct server *s, const json_t *args)
{
    const char *state = json_get_str(args, "state");
    bool error = str_eq(state, "error");
    if (!error && !str_eq(state, "active"))
        return bad_member(c, "state", json_get(args, "state"),
                          "it is not one of ['active', 'error']");
    if (lifecycle_of(state_of(s))->leaves_host)
        return fail(c->cx, ERR_CONFLICT, "Instance %s is leaving its host", s->id);
    if (error)
        server_fault(c->cx, s, 500, "An administrator set this server to ERROR");
    if (!error && !s->host_id && !s->launched_at)
        return fail(c->cx, ERR_CONFLICT,
                    "Instance %s was never placed on a host: it can only be deleted", s->id);
    struct server_desired d = desired_of(s);
    struct server_observed o = observed_of(s);
    if (!error && s->host_id &&
        state_of(s) == ST_FAILED) /* through the state that listens to reports */
        TRY(server_move(c->cx, c->tx, s, ST_ERROR));
    TRY(server_move(c->cx, c->tx, s,
                    error         ? ST_FAILED
                    : !s->host_id ? ST_SHELVED_OFFLOADED
                                  : lifecycle_next(state_of(s), &d, &o).state));
    TRY(action_record(c, s, "resetState", "api_reset_state", RECORD_DONE));
    return server_accepted(c, s);
}

struct err *act_force_delete(struct call *c, struct server *s UNUSED, const json_t *args UNUSED)
{
    TRY(server_delete(c));
    call_reply_empty(c, 202);
    return NULL;
}

/* ---------------------------------------------------------------- dispatch */

struct action_row {
    const char *name;
    struct err *(*act)(struct call *c, struct server *s, const json_t *args);
    struct err *(*ask)(struct call *c, const json_t *args);
    const char *policy;
    bool admin;
    unsigned since, until; /* microversions; 0: any */
};

static const struct action_row rows[] = {
#define ACTION(name_, act_, policy_, ...)                                                          \
    {.name = name_, .act = act_, .policy = policy_, __VA_ARGS__},
#define QUESTION(name_, ask_, policy_, ...)                                                        \
    {.name = name_, .ask = ask_, .policy = policy_, __VA_ARGS__},
#include "compute/actions.def"
};

static struct err *find_row(struct call *c, const struct action_row **ret, const json_t **ret_args)
{
    const char *name;
    TRY(body_only_member(c, &name, ret_args));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!str_eq(rows[i].name, name))
            continue;
        if (c->microversion < rows[i].since || (rows[i].until && c->microversion > rows[i].until))
            return fail(c->cx, ERR_NOT_FOUND, "The resource could not be found.");
        *ret = &rows[i];
        return NULL;
    }
    return fail(c->cx, ERR_INVALID, "There is no such action: %s", name);
}

struct err *server_act_before(struct call *c)
{
    const struct action_row *r;
    const json_t *args;
    TRY(find_row(c, &r, &args));
    return r->ask ? r->ask(c, args) : NULL;
}

struct err *server_act(struct call *c)
{
    const struct action_row *r;
    const json_t *args;
    TRY(find_row(c, &r, &args));
    must(r->act);
    if (r->admin && !c->actor->admin)
        return fail(c->cx, ERR_FORBIDDEN, "Policy doesn't allow %s to be performed.", r->policy);
    return r->act(c, c->target, args);
}
