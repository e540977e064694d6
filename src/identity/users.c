/* SPDX-License-Identifier: EUPL-1.2 */
/* Users. */
#include "identity/resources.h"

const struct stmt stmt_user_projects = {
    "user_projects", "SELECT DISTINCT target_id FROM role_assignments WHERE user_id = $1 AND "
                     "target_type = 'project' ORDER BY target_id"};
const struct stmt stmt_history_forget = {"password_history_forget",
                                         "DELETE FROM password_history WHERE user_id = $1"};

struct err *user_list(struct call *c)
{
    return call_reply_list(c, &user_resource, NULL);
}

static struct err *name_is_free(struct call *c, const struct user *u)
{
    struct user *other = NULL;
    TRY(res_first_by(c->cx, c->tx, &users_by_name, (void **)&other, V_TEXT(u->domain_id),
                     V_TEXT(u->name)));
    if (other && !str_eq(other->id, u->id))
        return fail(
            c->cx, ERR_EXISTS,
            "Conflict occurred attempting to store user - Duplicate entry found with name %s at "
            "domain ID %s.",
            u->name, u->domain_id);
    return NULL;
}

struct err *user_create(struct call *c)
{
    struct user *u = c->body;
    void *domain;
    TRY(res_find(c->cx, c->tx, &domain_resource, u->domain_id, &domain));
    TRY(name_is_free(c, u));
    u->id = uuid_new_hex(c->cx);
    u->password_hash = c->state;
    u->failed_logins = 0;
    c->audit_target = u->id;
    TRY(res_insert(c->cx, c->tx, &user_resource, u));
    if (u->password_hash)
        TRY(password_remember(c->cx, c->tx, u->id, u->password_hash));
    return call_reply_row(c, 201, &user_resource, u);
}

/* Administrators see everyone, others themselves. */
static struct err *self_or_admin(struct call *c)
{
    if (c->actor->admin || str_eq(c->actor->user_id, call_param(c, "user_id")))
        return NULL;
    return fail(c->cx, ERR_FORBIDDEN, "You are not authorized to perform the requested action: %s.",
                c->route->policy);
}

struct err *user_show(struct call *c)
{
    void *u;
    TRY(self_or_admin(c));
    TRY(res_find(c->cx, c->tx, &user_resource, call_param(c, "user_id"), &u));
    return call_reply_row(c, 200, &user_resource, u);
}

struct err *user_update(struct call *c)
{
    struct user *u = c->body, *before = c->target;
    TRY(name_is_free(c, u));
    if (c->state) {
        u->password_hash = c->state;
        TRY(password_remember(c->cx, c->tx, u->id, u->password_hash));
    }
    if (c->state || (before->enabled && !u->enabled))
        TRY(token_revoke(c->cx, c->tx, "user", u->id));
    TRY(res_update(c->cx, c->tx, &user_resource, u));
    return call_reply_row(c, 200, &user_resource, u);
}

struct err *user_delete(struct call *c)
{
    struct user *u = c->target;
    TRY(assignments_forget(c->cx, c->tx, u->id, NULL, NULL));
    TRY(db_run(c->cx, c->tx, &stmt_history_forget, V_TEXT(u->id)));
    TRY(db_run(c->cx, c->tx, &stmt_credentials_forget_user, V_TEXT(u->id)));
    TRY(token_revoke(c->cx, c->tx, "user", u->id));
    TRY(res_delete(c->cx, c->tx, &user_resource, u));
    call_reply_empty(c, 204);
    return NULL;
}

static struct err *reply_projects(struct call *c, const char *user_id)
{
    struct db_rows rows;
    struct db_value param = V_TEXT(user_id);
    struct view v = call_view(c);
    TRY(db_query(c->cx, c->tx, &stmt_user_projects, &param, 1, &rows));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "projects");
    for (size_t i = 0; i < rows.n_rows; i++) {
        struct project *p = NULL;
        TRY(res_get(c->cx, c->tx, &project_resource, db_text(&rows, i, 0), (void **)&p));
        if (p && p->enabled)
            res_encode(c->cx, &w, &project_resource, p, &v);
    }
    jw_arr_end(&w);
    identity_page_links(c, &w);
    jw_obj_end(&w);
    return NULL;
}

struct err *user_projects(struct call *c)
{
    TRY(self_or_admin(c));
    return reply_projects(c, call_param(c, "user_id"));
}

struct err *auth_projects(struct call *c)
{
    return reply_projects(c, c->actor->user_id);
}
