/* SPDX-License-Identifier: EUPL-1.2 */
/* Where a server stands: the only code that moves rows along the lifecycle's table, with the record
 * of what was done. */
#include "compute/impl.h"

#define FINISH                                                                                     \
    "UPDATE instance_actions SET finish_time = $1, updated_at = $1, result = $2, message = $3, "   \
    "host = $4, generation = generation + 1 WHERE server_id = $5 AND finish_time IS NULL"
const struct stmt stmt_actions_finish = {"actions_finish", FINISH " AND apart = 0"};
const struct stmt stmt_actions_finish_one = {"actions_finish_one", FINISH " AND action = $6"};
const struct stmt stmt_actions_finish_all = {"actions_finish_all", FINISH};
const struct stmt stmt_actions_gone = {
    "actions_gone",
    "UPDATE instance_actions SET gone_at = $1, generation = generation + 1 WHERE server_id = $2"};
const struct stmt stmt_actions_stale = {
    "actions_stale", "SELECT 1 FROM instance_actions WHERE gone_at < $1 LIMIT 1"};
const struct stmt stmt_actions_purge = {"actions_purge",
                                        "DELETE FROM instance_actions WHERE gone_at < $1"};

enum server_state state_of(const struct server *s)
{
    return lifecycle_named(s->state);
}

struct server_desired desired_of(const struct server *s)
{
    return (struct server_desired){.has_host = s->host_id != NULL,
                                   .want_power = s->want_power,
                                   .paused = s->paused,
                                   .suspended = s->suspended,
                                   .resizing = s->old_flavor != NULL,
                                   .boot_seq = s->boot_seq,
                                   .reset_seq = s->reset_seq,
                                   .build_seq = s->build_seq,
                                   .restore_seq = s->restore_seq,
                                   .rescue_seq = s->rescue_spec ? s->rescue_seq : 0,
                                   .checkpoint = s->checkpoint};
}

struct server_observed observed_of(const struct server *s)
{
    struct server_observed o = {.paused = s->seen_paused,
                                .suspended = s->seen_suspended,
                                .boot_seq = s->seen_boot_seq,
                                .reset_seq = s->seen_reset_seq,
                                .build_seq = s->seen_build_seq,
                                .restore_seq = s->seen_restore_seq,
                                .rescue_seq = s->seen_rescue_seq,
                                .checkpoint = s->seen_checkpoint,
                                .error = s->seen_error};
    if (s->seen_power)
        must(seen_power_named(s->seen_power, &o.power));
    return o;
}

void server_power(struct server *s, bool on)
{
    s->want_power = on;
    s->paused = s->suspended = false;
}

/* action: for stmt_actions_finish_one. */
static struct err *finish(struct ctx *cx, struct tx *tx, const struct stmt *st,
                          const struct server *s, bool good, const char *action)
{
    const struct db_value params[] = {V_INT(now_us(cx)),
                                      V_TEXT(good ? "Success" : "Error"),
                                      V_TEXT(good ? NULL : "Error"),
                                      V_TEXT(s->host_name),
                                      V_TEXT(s->id),
                                      V_TEXT(action)};
    return db_exec(cx, tx, st, params, action ? 6 : 5, NULL);
}

struct err *action_finish(struct ctx *cx, struct tx *tx, const struct server *s, const char *action,
                          bool good)
{
    return finish(cx, tx, &stmt_actions_finish_one, s, good, action);
}

/* It runs for the first time: from now on it uses something. */
static struct err *note_launch(struct ctx *cx, struct tx *tx, struct server *s)
{
    if (s->launched_at)
        return NULL;
    s->launched_at = now_us(cx);
    return usage_begin(cx, tx, s);
}

static struct err *note_migration(struct ctx *cx, struct tx *tx, const struct server *s,
                                  enum server_state to)
{
    bool moving = TO(state_of(s)) & (TO(ST_RESIZE) | TO(ST_REVERT_RESIZE) | TO(ST_MIGRATING) |
                                     TO(ST_MOVING) | TO(ST_ARRIVING));
    bool failed = TO(to) & (TO(ST_ERROR) | TO(ST_FAILED));
    if (state_of(s) == ST_REBUILD)
        TRY(migration_evacuated(cx, tx, s->id, !lifecycle_of(to)->task_state && !failed));
    if (to == ST_VERIFY_RESIZE)
        return migration_status(cx, tx, s->id, "finished");
    return moving && failed ? migration_status(cx, tx, s->id, "error") : NULL;
}

struct err *actions_failed(struct ctx *cx, struct tx *tx, const struct server *s)
{
    return finish(cx, tx, &stmt_actions_finish, s, false, NULL);
}

/* A move is over in every other state; a copy of it elsewhere goes with the server. */
static struct err *note_move(struct ctx *cx, struct tx *tx, struct server *s, enum server_state to)
{
    bool moves = TO(to) & (TO(ST_MIGRATING) | TO(ST_MOVING));
    bool arrived = state_of(s) == ST_ARRIVING || (state_of(s) == ST_RESIZE && !s->old_flavor);
    if (arrived && !lifecycle_of(to)->task_state)
        TRY(migration_step(cx, tx, s->id, "post-migrating", "completed"));
    if (to == ST_DELETING || (move_under_way(s) && !moves))
        TRY(move_forget(cx, tx, s));
    return NULL;
}

struct err *server_move(struct ctx *cx, struct tx *tx, struct server *s, enum server_state to)
{
    enum server_state from = state_of(s);
    const struct lifecycle *l = lifecycle_of(to);
    bool good = !l->task_state && to != ST_ERROR && to != ST_FAILED;
    if (from == to)
        return NULL;
    must(lifecycle_allows(from, to));
    if (TO(to) & (TO(ST_ERROR) | TO(ST_FAILED) | TO(ST_DELETING)))
        TRY(server_export_cancel(cx, tx, s));
    TRY(note_migration(cx, tx, s, to));
    TRY(note_move(cx, tx, s, to));
    s->state = l->name;
    s->state_since = now_us(cx);
    s->state_deadline = l->deadline_s ? now_us(cx) + l->deadline_s * 1000000 : 0;
    if (good) {
        s->fault_message = NULL;
        s->fault_code = INT_NULL;
        s->fault_at = 0;
        s->admin_pass = NULL; /* the config drive has it by now */
        TRY(note_launch(cx, tx, s));
    }
    if (l->task_state)
        return NULL;
    return finish(cx, tx, &stmt_actions_finish, s, good, NULL);
}

void server_fault(struct ctx *cx, struct server *s, int code, const char *message)
{
    s->fault_code = code;
    s->fault_message = message;
    s->fault_at = now_us(cx);
}

struct err *server_save(struct ctx *cx, struct tx *tx, struct server *s)
{
    s->seen_ha = s->seen_ha && server_is_ha(cx, s); /* its host may hear of that, and not answer */
    TRY(res_update(cx, tx, &server_resource, s));
    return s->host_id ? fleet_touch(cx, tx, s->host_id, "server", s->id) : NULL;
}

struct err *server_remove(struct ctx *cx, struct tx *tx, struct server *s)
{
    if (s->host_id)
        fleet_host_differs(cx, tx, s->host_id);
    TRY(network_ports_release(cx, tx, s->id));
    TRY(volume_uses_release(cx, tx, s->id));
    if (s->shelved_image)
        TRY(image_discard(cx, tx, s->shelved_image));
    TRY(usage_end(cx, tx, s));
    TRY(finish(cx, tx, &stmt_actions_finish_all, s, true, NULL));
    TRY(db_run(cx, tx, &stmt_actions_gone, V_INT(now_us(cx)), V_TEXT(s->id)));
    return res_delete(cx, tx, &server_resource, s);
}

struct err *action_record(struct call *c, const struct server *s, const char *action,
                          const char *event, enum record_kind kind)
{
    struct instance_action *a = res_new(c->cx, &instance_action_resource);
    a->id = uuid_new(c->cx);
    a->server_id = s->id;
    a->owner_project = s->project_id;
    a->action = action;
    a->request_id = c->cx->request_id;
    a->user_id = c->actor->user_id;
    a->project_id = c->actor->project_id;
    a->start_time = now_us(c->cx);
    a->event = event;
    a->host = s->host_name;
    a->apart = kind == RECORD_APART;
    if (kind == RECORD_DONE) {
        a->finish_time = a->start_time;
        a->result = "Success";
    }
    return res_insert(c->cx, c->tx, &instance_action_resource, a);
}

struct err *server_check_lock(struct call *c, const struct server *s)
{
    if (!s->locked || c->actor->admin)
        return NULL;
    return fail(c->cx, ERR_CONFLICT, "Instance %s is locked", s->id);
}

const char *task_state_of(const struct server *s)
{
    const char *task = lifecycle_of(state_of(s))->task_state;
    return !task && s->export_image ? TASK_COPIED : task;
}

struct err *server_refuse(struct call *c, const struct server *s, const char *action)
{
    const char *task = task_state_of(s);
    return fail(c->cx, ERR_CONFLICT, "Cannot '%s' instance %s while it is in %s %s", action, s->id,
                task ? "task_state" : "vm_state",
                task ? task : lifecycle_of(state_of(s))->vm_state);
}

struct err *server_begin(struct call *c, struct server *s, enum server_action action)
{
    const struct server_action_rule *rule = &server_action_rules[action];
    TRY(server_check_lock(c, s));
    if (!(rule->from & TO(state_of(s))) || (s->export_image && action != SA_DELETE))
        return server_refuse(c, s, rule->name);
    if (!s->host_id && action != SA_DELETE && action != SA_UNSHELVE)
        return fail(c->cx, ERR_CONFLICT,
                    "Instance %s has no host: delete it, and create it again when there is room",
                    s->id);
    TRY(server_move(c->cx, c->tx, s, rule->to));
    return action_record(c, s, rule->record, rule->event, RECORD_OPEN);
}
