/* SPDX-License-Identifier: EUPL-1.2 */
/* Roles, and the rules by which one implies another. */
#include "identity/resources.h"

const struct stmt stmt_imply = {
    "imply",
    "INSERT INTO implied_roles (prior_id, implied_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"};
const struct stmt stmt_imply_no_more = {
    "imply_no_more", "DELETE FROM implied_roles WHERE prior_id = $1 AND implied_id = $2"};
const struct stmt stmt_inferences = {
    "inferences",
    "SELECT p.id, p.name, p.domain_id, i.id, i.name, i.domain_id FROM implied_roles r "
    "JOIN roles p ON p.id = r.prior_id JOIN roles i ON i.id = r.implied_id "
    "WHERE $1 = '' OR r.prior_id = $1 ORDER BY p.name, p.id, i.name, i.id"};
/* Everybody who has the role, or one that implies it. */
const struct stmt stmt_revoke_role = {
    "revoke_role",
    "WITH RECURSIVE up(id) AS (SELECT CAST($1 AS TEXT) UNION SELECT i.prior_id FROM implied_roles "
    "i "
    "JOIN up ON i.implied_id = up.id) "
    "INSERT INTO revocations (subject, before, expires_at) SELECT DISTINCT CASE a.inherited WHEN 1 "
    "THEN 'below:' ELSE 'grant:' END || COALESCE(m.user_id, a.actor_id) || ':' || a.target_id, "
    "CAST($2 AS BIGINT), CAST($3 AS BIGINT) FROM role_assignments a LEFT JOIN group_members m ON "
    "a.actor_type = 'group' AND m.group_id = a.actor_id WHERE a.role_id IN (SELECT id FROM up) "
    "ON CONFLICT (subject) DO UPDATE SET before = excluded.before, expires_at = "
    "excluded.expires_at"};

static void role_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    identity_self_link(w, cx, v, "roles", ((const struct role *)row)->id);
}

#define RESOURCE role
#define RESOURCE_DEF "identity/role.def"
#include "resource/declare_fields.h"

static const struct res_index indexes[] = {
    {"roles_name", "name", .unique = true, .where = "domain_id IS NULL"},
    {"roles_domain_name", "domain_id, name", .unique = true, .where = "domain_id IS NOT NULL"}};
const struct resource role_resource = {.name = "role",
                                       .plural = "roles",
                                       .table = "roles",
                                       RESOURCE_FIELDS(role),
                                       .owner = -1,
                                       .extra = EXTRA_KEEP,
                                       .extra_member = role_f_extra,
                                       .dflt_sort = "name",
                                       .not_found = "Could not find role: %s.",
                                       .indexes = indexes,
                                       .n_indexes = ARRAY_LEN(indexes),
                                       .doc = "What a user may do in a project."};
const struct res_where roles_by_name = {&role_resource, "name = $1 AND domain_id IS NULL", NULL};
const struct res_where roles_by_domain_name = {&role_resource, "name = $1 AND domain_id = $2",
                                               NULL};
const struct res_where roles_of_domain = {&role_resource, "domain_id = $1", "id"};

/* Without a domain named: the roles of all domains. */
struct err *role_list(struct call *c)
{
    const struct list_more global = {.where = "domain_id IS NULL"};
    return call_reply_list(c, &role_resource, http_arg(c->rq, "domain_id") ? NULL : &global);
}

static struct err *name_is_free(struct call *c, const struct role *r)
{
    struct role *other = NULL;
    if (r->domain_id)
        TRY(res_first_by(c->cx, c->tx, &roles_by_domain_name, (void **)&other, V_TEXT(r->name),
                         V_TEXT(r->domain_id)));
    else
        TRY(res_first_by(c->cx, c->tx, &roles_by_name, (void **)&other, V_TEXT(r->name)));
    if (other && !str_eq(other->id, r->id))
        return fail(
            c->cx, ERR_EXISTS,
            "Conflict occurred attempting to store role - Duplicate entry found with name %s.",
            r->name);
    return NULL;
}

struct err *role_create(struct call *c)
{
    struct role *r = c->body;
    void *domain;
    if (r->domain_id)
        TRY(res_find(c->cx, c->tx, &domain_resource, r->domain_id, &domain));
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
        if (!r->domain_id && str_eq(r->name, basic[i]))
            return fail(c->cx, ERR_FORBIDDEN,
                        "Cannot change or delete the role %s: policies rely on it", r->name);
    return NULL;
}

struct err *role_update(struct call *c)
{
    struct role *r = c->body, *before = c->target;
    TRY(keep_the_basic_ones(c, before));
    TRY(check_mutable(c, before->options, "role", r->id));
    TRY(name_is_free(c, r));
    r->options = merge_options(c->cx, before->options, r->options);
    TRY(res_update(c->cx, c->tx, &role_resource, r));
    return call_reply_row(c, 200, &role_resource, r);
}

static struct err *revoke_role(struct ctx *cx, struct tx *tx, const char *id)
{
    int64_t now = now_us(cx);
    return db_run(cx, tx, &stmt_revoke_role, V_TEXT(id), V_INT(now),
                  V_INT(now + identity_settings()->token_ttl_s * 1000000));
}

/* Grants and rules go with it, by their foreign keys. */
struct err *role_remove(struct ctx *cx, struct tx *tx, struct role *r)
{
    TRY(revoke_role(cx, tx, r->id));
    return res_delete(cx, tx, &role_resource, r);
}

struct err *role_delete(struct call *c)
{
    struct role *r = c->target;
    TRY(keep_the_basic_ones(c, r));
    TRY(check_mutable(c, r->options, "role", r->id));
    TRY(role_remove(c->cx, c->tx, r));
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- rules */

static void write_role(struct call *c, struct jw *w, const char *id, const char *name)
{
    struct view v = call_view(c);
    jw_obj(w);
    jw_kstr(w, "id", id);
    jw_kstr(w, "name", name);
    identity_links(w, c->cx, &v, "roles", id);
    jw_obj_end(w);
}

static struct err *inferences_of(struct call *c, const char *prior, struct db_rows *rows)
{
    const struct db_value param = V_TEXT(prior);
    return db_query(c->cx, c->tx, &stmt_inferences, &param, 1, rows);
}

/* From row `from`, all with the same prior role: {"prior_role": …, "implies": […]}, and where the
 * next begins. */
static size_t write_rule(struct call *c, struct jw *w, const struct db_rows *rows, size_t from)
{
    size_t i = from;
    jw_obj(w);
    jw_key(w, "prior_role");
    write_role(c, w, db_text(rows, i, 0), db_text(rows, i, 1));
    jw_karr(w, "implies");
    for (; i < rows->n_rows && str_eq(db_text(rows, i, 0), db_text(rows, from, 0)); i++)
        write_role(c, w, db_text(rows, i, 3), db_text(rows, i, 4));
    jw_arr_end(w);
    jw_obj_end(w);
    return i;
}

struct err *inference_list_all(struct call *c)
{
    struct db_rows rows;
    TRY(inferences_of(c, "", &rows));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "role_inferences");
    for (size_t i = 0; i < rows.n_rows;)
        i = write_rule(c, &w, &rows, i);
    jw_arr_end(&w);
    identity_page_links(c, &w);
    jw_obj_end(&w);
    return NULL;
}

struct err *inference_list(struct call *c)
{
    const struct role *r = c->target;
    struct db_rows rows;
    TRY(inferences_of(c, r->id, &rows));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "role_inference");
    jw_key(&w, "prior_role");
    write_role(c, &w, r->id, r->name);
    jw_karr(&w, "implies");
    for (size_t i = 0; i < rows.n_rows; i++)
        write_role(c, &w, db_text(&rows, i, 3), db_text(&rows, i, 4));
    jw_arr_end(&w);
    jw_obj_end(&w);
    identity_page_links(c, &w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *both_roles(struct call *c, struct role **ret_prior, struct role **ret_implied)
{
    TRY(res_find(c->cx, c->tx, &role_resource, call_param(c, "role_id"), (void **)ret_prior));
    return res_find(c->cx, c->tx, &role_resource, call_param(c, "implied_role_id"),
                    (void **)ret_implied);
}

static void reply_rule(struct call *c, int status, const struct role *prior,
                       const struct role *implied)
{
    struct jw w = call_json(c, status);
    jw_obj(&w);
    jw_kobj(&w, "role_inference");
    jw_key(&w, "prior_role");
    write_role(c, &w, prior->id, prior->name);
    jw_key(&w, "implies");
    write_role(c, &w, implied->id, implied->name);
    jw_obj_end(&w);
    jw_kobj(&w, "links");
    jw_kstr(&w, "self", arena_printf(c->cx->arena, "%s%s", c->rq->base_url, c->rq->raw_path));
    jw_obj_end(&w);
    jw_obj_end(&w);
}

struct err *inference_put(struct call *c)
{
    struct role *prior, *implied;
    TRY(both_roles(c, &prior, &implied));
    if (!implied->domain_id && str_eq(implied->name, "admin"))
        return fail(c->cx, ERR_FORBIDDEN, "%s cannot be an implied role: it would be everybody's.",
                    implied->id);
    if (!prior->domain_id && implied->domain_id)
        return fail(c->cx, ERR_FORBIDDEN, "Global role cannot imply a domain-specific role");
    TRY(db_run(c->cx, c->tx, &stmt_imply, V_TEXT(prior->id), V_TEXT(implied->id)));
    reply_rule(c, 201, prior, implied);
    return NULL;
}

static struct err *existing_rule(struct call *c, struct role **ret_prior, struct role **ret_implied)
{
    struct db_rows rows;
    TRY(both_roles(c, ret_prior, ret_implied));
    TRY(inferences_of(c, (*ret_prior)->id, &rows));
    for (size_t i = 0; i < rows.n_rows; i++)
        if (str_eq(db_text(&rows, i, 3), (*ret_implied)->id))
            return NULL;
    return fail(c->cx, ERR_NOT_FOUND, "%s does not imply %s.", (*ret_prior)->id,
                (*ret_implied)->id);
}

struct err *inference_show(struct call *c)
{
    struct role *prior, *implied;
    TRY(existing_rule(c, &prior, &implied));
    reply_rule(c, 200, prior, implied);
    return NULL;
}

struct err *inference_check(struct call *c)
{
    struct role *prior, *implied;
    TRY(existing_rule(c, &prior, &implied));
    call_reply_empty(c, 204);
    return NULL;
}

/* Who has the implied role by the rule alone loses it at once. */
struct err *inference_delete(struct call *c)
{
    struct role *prior, *implied;
    TRY(existing_rule(c, &prior, &implied));
    TRY(revoke_role(c->cx, c->tx, prior->id));
    TRY(db_run(c->cx, c->tx, &stmt_imply_no_more, V_TEXT(prior->id), V_TEXT(implied->id)));
    call_reply_empty(c, 204);
    return NULL;
}
