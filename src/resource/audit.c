/* SPDX-License-Identifier: EUPL-1.2 */
/* Audit events, quota limits and leases: the engine's own tables. Every mutating request leaves one
 * event, whatever its outcome. */
#include "resource/engine.h"
#include "store/lease.h"

static const char engine_ddl[] = "CREATE TABLE audit_events (\n"
                                 "    id TEXT PRIMARY KEY NOT NULL,\n"
                                 "    at BIGINT NOT NULL,\n"
                                 "    request_id TEXT NOT NULL,\n"
                                 "    user_id TEXT,\n"
                                 "    project_id TEXT,\n"
                                 "    remote_addr TEXT,\n"
                                 "    action TEXT NOT NULL,\n"
                                 "    method TEXT NOT NULL,\n"
                                 "    path TEXT NOT NULL,\n"
                                 "    target_id TEXT,\n"
                                 "    status BIGINT NOT NULL\n"
                                 ");\n"
                                 "CREATE INDEX audit_events_at ON audit_events (at);\n"
                                 "CREATE TABLE quota_limits (\n"
                                 "    service TEXT NOT NULL,\n"
                                 "    project_id TEXT NOT NULL,\n"
                                 "    name TEXT NOT NULL,\n"
                                 "    hard_limit BIGINT NOT NULL,\n"
                                 "    PRIMARY KEY (service, project_id, name)\n"
                                 ");\n" LEASE_DDL;

const struct stmt stmt_audit_add = {
    "audit_add", "INSERT INTO audit_events (id, at, request_id, user_id, project_id, remote_addr, "
                 "action, method, path, target_id, status) "
                 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"};
const struct stmt stmt_quota_get = {
    "quota_get",
    "SELECT hard_limit FROM quota_limits WHERE service = $1 AND name = $3 AND project_id IN ($2, "
    "'" QUOTA_DEFAULTS "') ORDER BY CASE WHEN project_id = $2 THEN 0 ELSE 1 END LIMIT 1"};
const struct stmt stmt_quota_own = {
    "quota_own",
    "SELECT hard_limit FROM quota_limits WHERE service = $1 AND project_id = $2 AND name = $3"};
const struct stmt stmt_quota_set = {
    "quota_set",
    "INSERT INTO quota_limits (service, project_id, name, hard_limit) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (service, project_id, name) DO UPDATE SET hard_limit = excluded.hard_limit"};
const struct stmt stmt_quota_reset = {
    "quota_reset", "DELETE FROM quota_limits WHERE project_id = $2 AND ($1 = '' OR service = $1)"};

static const struct stmt *const engine_stmts[] = {
    &stmt_audit_add,   &stmt_quota_get,  &stmt_quota_own,   &stmt_quota_set,
    &stmt_quota_reset, &stmt_lease_hold, &stmt_lease_check, &stmt_lease_release};

const struct service engine_service = {
    .name = "engine", .family = &family_node, SERVICE_LIST(stmts, engine_stmts), .ddl = engine_ddl};

bool audit_wanted(const struct call *c)
{
    if (!c->route || (c->route->flags & (RT_READ | RT_NO_AUDIT)))
        return false;
    return (c->route->flags & RT_WRITES) ||
           (!str_eq(c->rq->method, "GET") && !str_eq(c->rq->method, "HEAD"));
}

struct err *audit_add(struct call *c, struct tx *tx, int status)
{
    const char *target = c->audit_target;
    if (!target && c->n_params)
        target = c->params[c->n_params - 1].value;
    return db_run(c->cx, tx, &stmt_audit_add, V_TEXT(uuid_new(c->cx)), V_INT(now_us(c->cx)),
                  V_TEXT(c->cx->request_id), V_TEXT(c->actor->user_id),
                  V_TEXT(c->actor->project_id), V_TEXT(c->rq->remote_addr),
                  V_TEXT(c->route->policy), V_TEXT(c->rq->method), V_TEXT(c->rq->path),
                  V_TEXT(target), V_INT(status));
}

struct err *audit_note(struct ctx *cx, struct tx *tx, const char *action, const char *target)
{
    return db_run(cx, tx, &stmt_audit_add, V_TEXT(uuid_new(cx)), V_INT(now_us(cx)),
                  V_TEXT(cx->request_id ? cx->request_id : ""), V_TEXT(NULL), V_TEXT(NULL),
                  V_TEXT(NULL), V_TEXT(action), V_TEXT(""), V_TEXT(""), V_TEXT(target), V_INT(200));
}
