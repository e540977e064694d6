/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Grants: a user or a group has a role on a project, a domain or the system; or, inherited, on
 * every project below a domain or a project, but not there itself.
 */
#include "identity/resources.h"

/* Effective: directly or through groups, here or from above, and implied. A domain's own roles are
 * none: what they imply is. */
const struct stmt stmt_roles_of = {
    "roles_of",
    "WITH RECURSIVE up(id) AS (SELECT parent_id FROM projects WHERE $2 = 'project' AND id = $3 "
    "UNION SELECT p.parent_id FROM projects p JOIN up ON p.id = up.id), "
    "got(id) AS (SELECT a.role_id FROM role_assignments a WHERE ((a.actor_type = 'user' AND "
    "a.actor_id = $1) OR (a.actor_type = 'group' AND a.actor_id IN (SELECT group_id FROM "
    "group_members WHERE user_id = $1))) AND ((a.inherited = 0 AND a.target_type = $2 AND "
    "a.target_id = $3) OR (a.inherited = 1 AND a.target_id IN (SELECT id FROM up))) "
    "UNION SELECT i.implied_id FROM implied_roles i JOIN got ON i.prior_id = got.id) "
    "SELECT r.id, r.name FROM got JOIN roles r ON r.id = got.id WHERE r.domain_id IS NULL "
    "ORDER BY r.name"};
const struct stmt stmt_grants = {
    "grants", "SELECT role_id FROM role_assignments WHERE actor_type = $1 AND actor_id = $2 AND "
              "target_type = $3 AND target_id = $4 AND inherited = $5 ORDER BY role_id"};
const struct stmt stmt_grant = {
    "grant", "INSERT INTO role_assignments (actor_type, actor_id, target_type, target_id, "
             "inherited, role_id) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"};
const struct stmt stmt_ungrant = {
    "ungrant", "DELETE FROM role_assignments WHERE actor_type = $1 AND actor_id = $2 AND "
               "target_type = $3 AND target_id = $4 AND inherited = $5 AND role_id = $6"};
const struct stmt stmt_grants_forget = {
    "grants_forget", "DELETE FROM role_assignments WHERE actor_type = $1 AND actor_id = $2"};
const struct stmt stmt_grants_forget_target = {"grants_forget_target",
                                               "DELETE FROM role_assignments WHERE target_id = $1"};
const struct stmt stmt_revoke_group_grant = {
    "revoke_group_grant",
    "INSERT INTO revocations (subject, before, expires_at) SELECT CAST($1 AS TEXT) || user_id || "
    "':' || CAST($2 AS TEXT), CAST($4 AS BIGINT), CAST($5 AS BIGINT) FROM group_members WHERE "
    "group_id = $3 ON CONFLICT (subject) DO UPDATE SET before = excluded.before, expires_at = "
    "excluded.expires_at"};

struct err *roles_of(struct ctx *cx, struct tx *tx, const char *user_id, const char *target_type,
                     const char *target_id, struct role_set *ret)
{
    struct db_value params[] = {V_TEXT(user_id), V_TEXT(target_type), V_TEXT(target_id)};
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_roles_of, params, 3, &rows));
    ret->n = rows.n_rows;
    ret->ids = arena_new_array(cx->arena, const char *, rows.n_rows + 1);
    ret->names = arena_new_array(cx->arena, const char *, rows.n_rows + 1);
    for (size_t i = 0; i < rows.n_rows; i++) {
        ret->ids[i] = db_text(&rows, i, 0);
        ret->names[i] = db_text(&rows, i, 1);
    }
    return NULL;
}

static bool in_set(const struct role_set *set, const char *id)
{
    for (size_t i = 0; i < set->n; i++)
        if (str_eq(set->ids[i], id))
            return true;
    return false;
}

/* Marks what the marked ones imply, until nothing is added. */
static void mark_implied(const struct role_set *set, const struct db_rows *rules, bool *kept)
{
    for (bool more = true; more;) {
        more = false;
        for (size_t r = 0; r < rules->n_rows; r++) {
            size_t prior = 0, implied = 0;
            while (prior < set->n && !str_eq(set->ids[prior], db_text(rules, r, 0)))
                prior++;
            while (implied < set->n && !str_eq(set->ids[implied], db_text(rules, r, 3)))
                implied++;
            if (prior == set->n || implied == set->n || !kept[prior] || kept[implied])
                continue;
            kept[implied] = more = true;
        }
    }
}

struct err *roles_restrict(struct ctx *cx, struct tx *tx, const char *given_json,
                           struct role_set *set)
{
    const struct db_value any = V_TEXT("");
    struct role_set given;
    struct db_rows rules;
    size_t n = 0;
    bool *kept = arena_new_array(cx->arena, bool, set->n + 1);
    TRY(roles_read(cx, given_json, &given));
    for (size_t i = 0; i < set->n; i++)
        kept[i] = in_set(&given, set->ids[i]);
    TRY(db_query(cx, tx, &stmt_inferences, &any, 1, &rules));
    mark_implied(set, &rules, kept);
    for (size_t i = 0; i < set->n; i++) {
        if (!kept[i])
            continue;
        set->names[n] = set->names[i];
        set->ids[n++] = set->ids[i];
    }
    set->names[n] = set->ids[n] = NULL;
    set->n = n;
    return NULL;
}

struct err *roles_read(struct ctx *cx, const char *json, struct role_set *ret)
{
    json_t *list = NULL;
    TRY(json_read(cx, json, strlen(json), &list));
    ret->n = json_array_size(list);
    ret->ids = arena_new_array(cx->arena, const char *, ret->n + 1);
    ret->names = arena_new_array(cx->arena, const char *, ret->n + 1);
    for (size_t i = 0; i < ret->n; i++) {
        ret->ids[i] = json_get_str(json_array_get(list, i), "id");
        ret->names[i] = json_get_str(json_array_get(list, i), "name");
    }
    return NULL;
}

/* ---------------------------------------------------------------- one grant */

struct err *grant_add(struct ctx *cx, struct tx *tx, const struct grant *g)
{
    return db_run(cx, tx, &stmt_grant, V_TEXT(g->actor_type), V_TEXT(g->actor_id),
                  V_TEXT(g->target_type), V_TEXT(g->target_id), V_INT(g->inherited),
                  V_TEXT(g->role_id));
}

struct err *grants_forget(struct ctx *cx, struct tx *tx, const char *actor_type,
                          const char *actor_id)
{
    return db_run(cx, tx, &stmt_grants_forget, V_TEXT(actor_type), V_TEXT(actor_id));
}

struct err *grants_forget_target(struct ctx *cx, struct tx *tx, const char *target_id)
{
    return db_run(cx, tx, &stmt_grants_forget_target, V_TEXT(target_id));
}

/* The tokens that carry its role: of the user, or of each member of the group. */
static struct err *revoke_grant(struct ctx *cx, struct tx *tx, const struct grant *g)
{
    const char *kind = g->inherited ? "below" : "grant";
    int64_t now = now_us(cx);
    if (str_eq(g->actor_type, "user"))
        return token_revoke(cx, tx, kind,
                            arena_printf(cx->arena, "%s:%s", g->actor_id, g->target_id));
    return db_run(cx, tx, &stmt_revoke_group_grant, V_TEXT(arena_printf(cx->arena, "%s:", kind)),
                  V_TEXT(g->target_id), V_TEXT(g->actor_id), V_INT(now),
                  V_INT(now + identity_settings()->token_ttl_s * 1000000));
}

/* ---------------------------------------------------------------- calls */

static const char *param_or_null(const struct call *c, const char *name)
{
    for (size_t i = 0; i < c->n_params; i++)
        if (str_eq(c->params[i].name, name))
            return c->params[i].value;
    return NULL;
}

/* What the path names must exist. */
static struct err *all_exist(struct call *c, const struct grant *g)
{
    const struct resource *actor =
                              str_eq(g->actor_type, "user") ? &user_resource : &user_group_resource,
                          *target = str_eq(g->target_type, "project")  ? &project_resource
                                    : str_eq(g->target_type, "domain") ? &domain_resource
                                                                       : NULL;
    void *row;
    TRY(res_find(c->cx, c->tx, actor, g->actor_id, &row));
    if (target)
        TRY(res_find(c->cx, c->tx, target, g->target_id, &row));
    return g->role_id ? res_find(c->cx, c->tx, &role_resource, g->role_id, &row) : NULL;
}

/* From the path: /[OS-INHERIT/]{projects/ID|domains/ID|system}/{users|groups}/ID/roles[/ID…] */
static struct err *grant_of(struct call *c, struct grant *g)
{
    const char *project = param_or_null(c, "project_id"), *domain = param_or_null(c, "domain_id"),
               *user = param_or_null(c, "user_id");
    *g = (struct grant){.actor_type = user ? "user" : "group",
                        .actor_id = user ? user : call_param(c, "group_id"),
                        .target_type = project  ? "project"
                                       : domain ? "domain"
                                                : "system",
                        .target_id = project  ? project
                                     : domain ? domain
                                              : "system",
                        .role_id = param_or_null(c, "role_id"),
                        .inherited = strstr(c->route->pattern, "/OS-INHERIT/") != NULL};
    return all_exist(c, g);
}

/* A domain's own role is granted within the domain. */
static struct err *role_fits(struct call *c, const struct grant *g)
{
    struct role *r = NULL;
    struct project *p = NULL;
    const char *domain = g->target_id;
    TRY(res_find(c->cx, c->tx, &role_resource, g->role_id, (void **)&r));
    if (!r->domain_id)
        return NULL;
    if (str_eq(g->target_type, "system"))
        return fail(c->cx, ERR_INVALID,
                    "Role %s is a domain-specific role. Unable to use a domain-specific role in a "
                    "system assignment.",
                    r->id);
    if (str_eq(g->target_type, "project")) {
        TRY(res_find(c->cx, c->tx, &project_resource, g->target_id, (void **)&p));
        domain = p->domain_id;
    }
    if (str_eq(domain, r->domain_id))
        return NULL;
    return fail(c->cx, ERR_FORBIDDEN,
                "Project %s must be in the same domain as the role %s being assigned.",
                g->target_id, r->id);
}

struct err *grant_put(struct call *c)
{
    struct grant g;
    TRY(grant_of(c, &g));
    TRY(role_fits(c, &g));
    TRY(grant_add(c->cx, c->tx, &g));
    call_reply_empty(c, 204);
    return NULL;
}

static struct err *granted_roles(struct call *c, const struct grant *g, struct db_rows *rows)
{
    struct db_value params[] = {V_TEXT(g->actor_type), V_TEXT(g->actor_id), V_TEXT(g->target_type),
                                V_TEXT(g->target_id), V_INT(g->inherited)};
    return db_query(c->cx, c->tx, &stmt_grants, params, ARRAY_LEN(params), rows);
}

static struct err *existing_grant(struct call *c, struct grant *g)
{
    struct db_rows rows;
    TRY(grant_of(c, g));
    TRY(granted_roles(c, g, &rows));
    for (size_t i = 0; i < rows.n_rows; i++)
        if (str_eq(db_text(&rows, i, 0), g->role_id))
            return NULL;
    return fail(c->cx, ERR_NOT_FOUND,
                "Could not find role assignment with role: %s, user or group: %s, project, domain, "
                "or system: %s.",
                g->role_id, g->actor_id, g->target_id);
}

struct err *grant_check(struct call *c)
{
    struct grant g;
    TRY(existing_grant(c, &g));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *grant_delete(struct call *c)
{
    struct grant g;
    TRY(existing_grant(c, &g));
    TRY(revoke_grant(c->cx, c->tx, &g));
    TRY(db_run(c->cx, c->tx, &stmt_ungrant, V_TEXT(g.actor_type), V_TEXT(g.actor_id),
               V_TEXT(g.target_type), V_TEXT(g.target_id), V_INT(g.inherited), V_TEXT(g.role_id)));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *grant_list(struct call *c)
{
    struct grant g;
    struct db_rows rows;
    struct view v = call_view(c);
    TRY(grant_of(c, &g));
    TRY(granted_roles(c, &g, &rows));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "roles");
    for (size_t i = 0; i < rows.n_rows; i++) {
        void *r = NULL;
        TRY(res_find(c->cx, c->tx, &role_resource, db_text(&rows, i, 0), &r));
        res_encode(c->cx, &w, &role_resource, r, &v);
    }
    jw_arr_end(&w);
    identity_page_links(c, &w);
    jw_obj_end(&w);
    return NULL;
}
