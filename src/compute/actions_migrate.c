/* SPDX-License-Identifier: EUPL-1.2 */
/* To another host: cold (off on the way, and to be confirmed, as a resize) or live. Who moves the
 * row along is moves.c. */
#include "compute/impl.h"

static struct err *read_host(struct call *c, const json_t *args, const char **ret)
{
    const json_t *v = json_get(args, "host");
    *ret = json_string_value(v);
    return !v || *ret || json_is_null(v) ? NULL
                                         : bad_member(c, "host", v, "it is not of type 'string'");
}

/* ---------------------------------------------------------------- cold */

struct err *act_migrate(struct call *c, struct server *s, const json_t *args)
{
    const struct server old = *s;
    struct move_wish wish = {.type = "migration"};
    const char *host_id = NULL;
    if (c->microversion >= 56 && !json_is_null(args)) {
        TRY(ONLY_MEMBERS(c, "migrate", args, "host"));
        TRY(read_host(c, args, &wish.host));
    }
    TRY(server_begin(c, s, SA_MIGRATE));
    if (wish.host && str_eq(wish.host, s->host_name))
        return fail(c->cx, ERR_INVALID, "Cannot migrate to the host where the server exists.");
    TRY(move_choose(c, s, wish.host, &host_id));
    server_keep_flavor(c->cx, s);
    TRY(move_begin(c, s, &old, &wish, host_id));
    return server_accepted(c, s);
}

/* ---------------------------------------------------------------- live */

struct live_wish {
    const char *host;
    bool block, automatic;
};

static bool is_bool(const json_t *v, bool *ret)
{
    *ret = json_is_true(v);
    return json_is_boolean(v) || str_to_bool(json_string_value(v), ret);
}

static struct err *read_live(struct call *c, const json_t *args, struct live_wish *ret)
{
    bool old = c->microversion < 25, forced = c->microversion >= 30 && c->microversion < 68;
    *ret = (struct live_wish){0};
    const json_t *block = json_get(args, "block_migration"),
                 *over = json_get(args, "disk_over_commit"), *force = json_get(args, "force");
    if (!json_is_object(args) || !json_get(args, "host") || !block || (old && !over))
        return bad_member(c, "os-migrateLive", args,
                          old ? "'host', 'block_migration' and 'disk_over_commit' are required "
                                "properties"
                              : "'host' and 'block_migration' are required properties");
    TRY(ONLY_MEMBERS(c, "os-migrateLive", args, "host", "block_migration",
                     old ? "disk_over_commit" : "host", forced ? "force" : "host"));
    TRY(read_host(c, args, &ret->host));
    ret->automatic = !old && str_eq(json_string_value(block), "auto");
    bool forces = false, ignored;
    if (!ret->automatic && !is_bool(block, &ret->block))
        return bad_member(c, "block_migration", block, "it is not of type 'boolean'");
    if (over && !is_bool(over, &ignored))
        return bad_member(c, "disk_over_commit", over, "it is not of type 'boolean'");
    if (force && !is_bool(force, &forces))
        return bad_member(c, "force", force, "it is not of type 'boolean'");
    if (forces && !ret->host)
        return fail(c->cx, ERR_INVALID, "Can't force to a non-provided destination");
    return NULL;
}

/* Disks of its own are sent; what hosts share is not. */
static struct err *check_disks(struct call *c, const struct server *s, const struct live_wish *w)
{
    if (w->automatic || w->block == (s->image_spec != NULL))
        return NULL;
    return s->image_spec
               ? fail(c->cx, ERR_INVALID,
                      "%s is not on shared storage: Shared storage live-migration requires either "
                      "shared storage or boot-from-volume with no local disks.",
                      s->host_name)
               : fail(c->cx, ERR_INVALID,
                      "%s is not on local storage: Block migration can not be used with shared "
                      "storage.",
                      s->host_name);
}

struct err *act_live_migrate(struct call *c, struct server *s, const json_t *args)
{
    const struct server old = *s;
    struct move_wish wish = {.type = "live-migration"};
    struct live_wish live;
    const char *host_id = NULL;
    TRY(read_live(c, args, &live));
    wish.host = live.host;
    TRY(server_begin(c, s, SA_LIVE_MIGRATE));
    if (wish.host && str_eq(wish.host, s->host_name))
        return fail(c->cx, ERR_INVALID, "Unable to migrate instance (%s) to current host (%s).",
                    s->id, s->host_name);
    TRY(check_disks(c, s, &live));
    TRY(move_choose(c, s, wish.host, &host_id));
    TRY(move_begin(c, s, &old, &wish, host_id));
    return server_accepted(c, s);
}

/* ---------------------------------------------------------------- wherever there is room */

struct err *server_leave(struct call *c, struct server *s, bool *ret_live)
{
    const struct server old = *s;
    const char *host_id = NULL;
    *ret_live = state_of(s) == ST_ACTIVE || state_of(s) == ST_PAUSED;
    if (!*ret_live && state_of(s) != ST_SHUTOFF)
        return fail(c->cx, ERR_CONFLICT, "it is %s; only what is on, paused or off is moved",
                    lifecycle_of(state_of(s))->name);
    const struct move_wish wish = {.type = *ret_live ? "live-migration" : "migration"};
    TRY(server_begin(c, s, *ret_live ? SA_LIVE_MIGRATE : SA_MIGRATE));
    TRY(move_choose(c, s, NULL, &host_id));
    TRY(move_begin(c, s, &old, &wish, host_id));
    return server_save(c->cx, c->tx, s);
}

/* ---------------------------------------------------------------- one under way */

/* The server's live migration with this number, under way; the server as it is now. */
static struct err *under_way(struct call *c, const char *action, struct server **ret)
{
    const struct server *shown = c->target;
    const char *id = call_param(c, "migration_id");
    void *row = NULL, *server = NULL;
    int64_t number;
    TRY(server_check_lock(c, shown));
    TRY(res_get(c->cx, c->tx, &server_resource, shown->id, &server));
    *ret = server;
    if (!server || state_of(server) != ST_MIGRATING)
        return server_refuse(c, shown, action);
    if (str_to_i64(id, 0, INT64_MAX, &number))
        TRY(res_first_by(c->cx, c->tx, &migration_of_server, &row, V_TEXT(shown->id),
                         V_INT(number)));
    const struct server_migration *m = row;
    if (!m || !str_eq(m->type, "live-migration") ||
        !(str_eq(m->status, "preparing") || str_eq(m->status, "running")))
        return fail(c->cx, ERR_NOT_FOUND, "Migration %s for server %s could not be found.", id,
                    shown->id);
    return NULL;
}

struct err *server_migration_abort(struct call *c)
{
    struct server *s;
    TRY(under_way(c, "abort live migration", &s));
    TRY(action_record(c, s, "live_migration_cancel", "compute_live_migration_abort", RECORD_DONE));
    TRY(move_undo(c->cx, c->tx, s, "cancelled", "an administrator aborted it"));
    call_reply_empty(c, 202);
    return NULL;
}

/* A guest stands still for the end of its memory in any case: there is nothing to hurry. */
struct err *server_migration_act(struct call *c)
{
    const char *action;
    const json_t *args;
    struct server *s;
    TRY(body_only_member(c, &action, &args));
    if (!str_eq(action, "force_complete"))
        return fail(c->cx, ERR_INVALID, "There is no such action: %s", action);
    if (!json_is_null(args))
        return bad_member(c, action, args, "it is not of type 'null'");
    TRY(under_way(c, "force_complete", &s));
    TRY(action_record(c, s, "live_migration_force_complete",
                      "compute_live_migration_force_complete", RECORD_DONE));
    call_reply_empty(c, 202);
    return NULL;
}
