/* SPDX-License-Identifier: EUPL-1.2 */
/* Roles and who has them where. admin implies member, member implies reader. */
#include "identity/resources.h"

const struct stmt stmt_roles_of = {
    "roles_of", "SELECT r.id, r.name FROM role_assignments a JOIN roles r ON r.id = a.role_id "
                "WHERE a.user_id = $1 AND a.target_type = $2 AND a.target_id = $3 ORDER BY r.name"};
const struct stmt stmt_assign = {"role_assign",
                                 "INSERT INTO role_assignments (user_id, target_type, target_id, "
                                 "role_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"};
const struct stmt stmt_unassign = {"role_unassign",
                                   "DELETE FROM role_assignments WHERE user_id = $1 AND "
                                   "target_type = $2 AND target_id = $3 AND role_id = $4"};
const struct stmt stmt_forget_user = {"assignments_forget_user",
                                      "DELETE FROM role_assignments WHERE user_id = $1"};
const struct stmt stmt_forget_target = {"assignments_forget_target",
                                        "DELETE FROM role_assignments WHERE target_id = $1"};
const struct stmt stmt_forget_role = {"assignments_forget_role",
                                      "DELETE FROM role_assignments WHERE role_id = $1"};
const struct stmt stmt_assignments = {
    "assignments", "SELECT a.user_id, a.target_type, a.target_id, a.role_id, r.name, u.name, "
                   "u.domain_id, ud.name, p.name, p.domain_id, "
                   "pd.name, d.name FROM role_assignments a JOIN roles r ON r.id = a.role_id JOIN "
                   "users u ON u.id = a.user_id "
                   "JOIN domains ud ON ud.id = u.domain_id "
                   "LEFT JOIN projects p ON a.target_type = 'project' AND p.id = a.target_id LEFT "
                   "JOIN domains pd ON pd.id = p.domain_id "
                   "LEFT JOIN domains d ON a.target_type = 'domain' AND d.id = a.target_id "
                   "WHERE ($1 = '' OR a.user_id = $1) AND ($2 = '' OR (a.target_type = 'project' "
                   "AND a.target_id = $2)) "
                   "AND ($3 = '' OR (a.target_type = 'domain' AND a.target_id = $3)) AND ($4 = '' "
                   "OR a.role_id = $4) "
                   "AND ($5 = '' OR a.target_type = 'system') ORDER BY a.user_id, a.target_type, "
                   "a.target_id, r.name"};

static const char *const implied_by[][2] = {{"admin", "member"}, {"member", "reader"}};

static struct err *add_role(struct ctx *cx, struct role_set *set, const char *name, const char *id)
{
    for (size_t i = 0; i < set->n; i++)
        if (str_eq(set->names[i], name))
            return NULL;
    const char **names = arena_new_array(cx->arena, const char *, set->n + 2);
    const char **ids = arena_new_array(cx->arena, const char *, set->n + 2);
    for (size_t i = 0; i < set->n; i++) {
        names[i] = set->names[i];
        ids[i] = set->ids[i];
    }
    names[set->n] = name;
    ids[set->n] = id;
    *set = (struct role_set){names, ids, set->n + 1};
    return NULL;
}

static struct err *add_implied(struct ctx *cx, struct tx *tx, struct role_set *set)
{
    for (size_t i = 0; i < ARRAY_LEN(implied_by); i++) {
        bool has = false;
        struct role *r = NULL;
        for (size_t k = 0; k < set->n; k++)
            has |= str_eq(set->names[k], implied_by[i][0]);
        if (!has)
            continue;
        TRY(res_first_by(cx, tx, &roles_by_name, (void **)&r, V_TEXT(implied_by[i][1])));
        if (r)
            TRY(add_role(cx, set, r->name, r->id));
    }
    return NULL;
}

struct err *roles_of(struct ctx *cx, struct tx *tx, const char *user_id, const char *target_type,
                     const char *target_id, struct role_set *ret)
{
    struct db_value params[] = {V_TEXT(user_id), V_TEXT(target_type), V_TEXT(target_id)};
    struct db_rows rows;
    *ret = (struct role_set){0};
    TRY(db_query(cx, tx, &stmt_roles_of, params, 3, &rows));
    for (size_t i = 0; i < rows.n_rows; i++)
        TRY(add_role(cx, ret, db_text(&rows, i, 1), db_text(&rows, i, 0)));
    return add_implied(cx, tx, ret);
}

struct err *credential_roles(struct ctx *cx, struct tx *tx, const struct application_credential *a,
                             struct role_set *set)
{
    json_t *given = NULL;
    size_t n = 0;
    TRY(json_read(cx, a->roles, strlen(a->roles), &given));
    for (size_t i = 0; i < set->n; i++) {
        bool has = false;
        for (size_t k = 0; k < json_array_size(given); k++)
            has |= str_eq(json_get_str(json_array_get(given, k), "id"), set->ids[i]);
        if (!has)
            continue;
        set->names[n] = set->names[i];
        set->ids[n++] = set->ids[i];
    }
    if (n < set->n)
        set->names[n] = set->ids[n] = NULL;
    set->n = n;
    return n ? add_implied(cx, tx, set) : NULL;
}

struct err *role_assign(struct ctx *cx, struct tx *tx, const char *user_id, const char *target_type,
                        const char *target_id, const char *role_id)
{
    return db_run(cx, tx, &stmt_assign, V_TEXT(user_id), V_TEXT(target_type), V_TEXT(target_id),
                  V_TEXT(role_id));
}

struct err *assignments_forget(struct ctx *cx, struct tx *tx, const char *user_id,
                               const char *target_id, const char *role_id)
{
    if (user_id)
        TRY(db_run(cx, tx, &stmt_forget_user, V_TEXT(user_id)));
    if (target_id)
        TRY(db_run(cx, tx, &stmt_forget_target, V_TEXT(target_id)));
    if (role_id)
        TRY(db_run(cx, tx, &stmt_forget_role, V_TEXT(role_id)));
    return NULL;
}

/* ---------------------------------------------------------------- roles */

struct err *role_list(struct call *c)
{
    return call_reply_list(c, &role_resource, NULL);
}

static struct err *name_is_free(struct call *c, const struct role *role)
{
    struct role *other = NULL;
    TRY(res_first_by(c->cx, c->tx, &roles_by_name, (void **)&other, V_TEXT(role->name)));
    if (other && !str_eq(other->id, role->id))
        return fail(
            c->cx, ERR_EXISTS,
            "Conflict occurred attempting to store role - Duplicate entry found with name %s.",
            role->name);
    return NULL;
}

struct err *role_create(struct call *c)
{
    struct role *r = c->body;
    TRY(name_is_free(c, r));
    r->id = uuid_new_hex(c->cx);
    c->audit_target = r->id;
    TRY(res_insert(c->cx, c->tx, &role_resource, r));
    return call_reply_row(c, 201, &role_resource, r);
}

struct err *role_show(struct call *c)
{
    return call_reply_row(c, 200, &role_resource, c->target);
}

static struct err *keep_the_basic_ones(struct call *c, const struct role *r)
{
    static const char *const basic[] = {"admin", "member", "reader", "service"};
    for (size_t i = 0; i < ARRAY_LEN(basic); i++)
        if (str_eq(r->name, basic[i]))
            return fail(c->cx, ERR_FORBIDDEN,
                        "Cannot change or delete the role %s: policies rely on it", r->name);
    return NULL;
}

struct err *role_update(struct call *c)
{
    TRY(keep_the_basic_ones(c, c->target));
    TRY(name_is_free(c, c->body));
    TRY(res_update(c->cx, c->tx, &role_resource, c->body));
    return call_reply_row(c, 200, &role_resource, c->body);
}

struct err *role_delete(struct call *c)
{
    struct role *r = c->target;
    TRY(keep_the_basic_ones(c, r));
    TRY(token_revoke_role(c->cx, c->tx, r->id));
    TRY(assignments_forget(c->cx, c->tx, NULL, NULL, r->id));
    TRY(res_delete(c->cx, c->tx, &role_resource, r));
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- assignments */

struct grant {
    const char *user_id, *type, *target_id, *role_id;
};

static const char *param_or(const struct call *c, const char *name, const char *otherwise)
{
    for (size_t i = 0; i < c->n_params; i++)
        if (str_eq(c->params[i].name, name))
            return c->params[i].value;
    return otherwise;
}

/* From the path: /projects/{project_id}/users/{user_id}/roles/{role_id}, domains, or system. All
 * must exist. */
static struct err *grant_of(struct call *c, struct grant *g)
{
    const char *project = param_or(c, "project_id", NULL), *domain = param_or(c, "domain_id", NULL);
    void *row;
    *g = (struct grant){.user_id = call_param(c, "user_id"),
                        .type = project  ? "project"
                                : domain ? "domain"
                                         : "system",
                        .target_id = project  ? project
                                     : domain ? domain
                                              : "system",
                        .role_id = param_or(c, "role_id", NULL)};
    TRY(res_find(c->cx, c->tx, &user_resource, g->user_id, &row));
    if (project)
        TRY(res_find(c->cx, c->tx, &project_resource, project, &row));
    if (domain)
        TRY(res_find(c->cx, c->tx, &domain_resource, domain, &row));
    return g->role_id ? res_find(c->cx, c->tx, &role_resource, g->role_id, &row) : NULL;
}

struct err *assignment_put(struct call *c)
{
    struct grant g;
    TRY(grant_of(c, &g));
    TRY(role_assign(c->cx, c->tx, g.user_id, g.type, g.target_id, g.role_id));
    call_reply_empty(c, 204);
    return NULL;
}

static struct err *direct_roles(struct call *c, const struct grant *g, struct db_rows *rows)
{
    struct db_value params[] = {V_TEXT(g->user_id), V_TEXT(g->type), V_TEXT(g->target_id)};
    return db_query(c->cx, c->tx, &stmt_roles_of, params, 3, rows);
}

static struct err *must_have(struct call *c, const struct grant *g)
{
    struct db_rows rows;
    TRY(direct_roles(c, g, &rows));
    for (size_t i = 0; i < rows.n_rows; i++)
        if (str_eq(db_text(&rows, i, 0), g->role_id))
            return NULL;
    return fail(c->cx, ERR_NOT_FOUND,
                "Could not find role assignment with role: %s, user: %s, %s: %s.", g->role_id,
                g->user_id, g->type, g->target_id);
}

struct err *assignment_check(struct call *c)
{
    struct grant g;
    TRY(grant_of(c, &g));
    TRY(must_have(c, &g));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *assignment_delete(struct call *c)
{
    struct grant g;
    TRY(grant_of(c, &g));
    TRY(must_have(c, &g));
    TRY(db_run(c->cx, c->tx, &stmt_unassign, V_TEXT(g.user_id), V_TEXT(g.type), V_TEXT(g.target_id),
               V_TEXT(g.role_id)));
    TRY(token_revoke(c->cx, c->tx, "grant",
                     arena_printf(c->cx->arena, "%s:%s", g.user_id, g.target_id)));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *assignment_roles(struct call *c)
{
    struct grant g;
    struct db_rows rows;
    struct view v = call_view(c);
    TRY(grant_of(c, &g));
    TRY(direct_roles(c, &g, &rows));
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

static void named(struct jw *w, const char *key, const char *id, const char *name,
                  const char *domain_id, const char *domain_name, bool names)
{
    jw_kobj(w, key);
    jw_kstr(w, "id", id);
    if (names) {
        jw_kstr(w, "name", name);
        if (domain_id) {
            jw_kobj(w, "domain");
            jw_kstr(w, "id", domain_id);
            jw_kstr(w, "name", domain_name);
            jw_obj_end(w);
        }
    }
    jw_obj_end(w);
}

static void assignment_row(struct call *c, struct jw *w, const struct db_rows *r, size_t i,
                           bool names)
{
    const char *type = db_text(r, i, 1), *target = db_text(r, i, 2);
    jw_obj(w);
    named(w, "role", db_text(r, i, 3), db_text(r, i, 4), NULL, NULL, names);
    named(w, "user", db_text(r, i, 0), db_text(r, i, 5), db_text(r, i, 6), db_text(r, i, 7), names);
    jw_kobj(w, "scope");
    if (str_eq(type, "project"))
        named(w, "project", target, db_text(r, i, 8), db_text(r, i, 9), db_text(r, i, 10), names);
    else if (str_eq(type, "domain"))
        named(w, "domain", target, db_text(r, i, 11), NULL, NULL, names);
    else
        jw_kraw(w, "system", "{\"all\":true}");
    jw_obj_end(w);
    jw_kobj(w, "links");
    jw_kstr(w, "assignment",
            arena_printf(c->cx->arena, "%s/%ss/%s/users/%s/roles/%s", call_base_url(c), type,
                         target, db_text(r, i, 0), db_text(r, i, 3)));
    jw_obj_end(w);
    jw_obj_end(w);
}

struct err *assignment_list(struct call *c)
{
    const char *user = http_arg(c->rq, "user.id"), *project = http_arg(c->rq, "scope.project.id"),
               *domain = http_arg(c->rq, "scope.domain.id"), *role = http_arg(c->rq, "role.id"),
               *everywhere = http_arg(c->rq, "scope.system"),
               *flag = http_arg(c->rq, "include_names");
    bool names = flag != NULL, off = false;
    struct db_rows rows;
    if (flag && str_to_bool(flag, &off))
        names = off;
    struct db_value params[] = {V_TEXT(user ? user : ""), V_TEXT(project ? project : ""),
                                V_TEXT(domain ? domain : ""), V_TEXT(role ? role : ""),
                                V_TEXT(everywhere ? everywhere : "")};
    TRY(db_query(c->cx, c->tx, &stmt_assignments, params, 5, &rows));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "role_assignments");
    for (size_t i = 0; i < rows.n_rows; i++)
        assignment_row(c, &w, &rows, i, names);
    jw_arr_end(&w);
    identity_page_links(c, &w);
    jw_obj_end(&w);
    return NULL;
}

struct err *role_inferences(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "role_inferences");
    for (size_t i = 0; i < ARRAY_LEN(implied_by); i++) {
        struct role *prior = NULL, *implied = NULL;
        TRY(res_first_by(c->cx, c->tx, &roles_by_name, (void **)&prior, V_TEXT(implied_by[i][0])));
        TRY(res_first_by(c->cx, c->tx, &roles_by_name, (void **)&implied,
                         V_TEXT(implied_by[i][1])));
        if (!prior || !implied)
            continue;
        jw_obj(&w);
        named(&w, "prior_role", prior->id, prior->name, NULL, NULL, true);
        jw_karr(&w, "implies");
        jw_obj(&w);
        jw_kstr(&w, "id", implied->id);
        jw_kstr(&w, "name", implied->name);
        jw_obj_end(&w);
        jw_arr_end(&w);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}
