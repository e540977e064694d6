/* SPDX-License-Identifier: EUPL-1.2 */
/* Domains and projects. */
#include "identity/resources.h"

const struct stmt stmt_domain_used = {"domain_used",
                                      "SELECT (SELECT count(*) FROM users WHERE domain_id = $1) + "
                                      "(SELECT count(*) FROM projects WHERE domain_id = $1)"};
const struct stmt stmt_project_used = {"project_used",
                                       "SELECT count(*) FROM projects WHERE parent_id = $1"};

/* ---------------------------------------------------------------- domains */

struct err *domain_list(struct call *c)
{
    return call_reply_list(c, &domain_resource, NULL);
}

static struct err *domain_name_is_free(struct call *c, const struct domain *d)
{
    struct domain *other = NULL;
    TRY(res_first_by(c->cx, c->tx, &domains_by_name, (void **)&other, V_TEXT(d->name)));
    if (other && !str_eq(other->id, d->id))
        return fail(
            c->cx, ERR_EXISTS,
            "Conflict occurred attempting to store domain - Duplicate entry found with name %s.",
            d->name);
    return NULL;
}

struct err *domain_create(struct call *c)
{
    struct domain *d = c->body;
    TRY(domain_name_is_free(c, d));
    d->id = uuid_new_hex(c->cx);
    c->audit_target = d->id;
    TRY(res_insert(c->cx, c->tx, &domain_resource, d));
    return call_reply_row(c, 201, &domain_resource, d);
}

static struct err *not_yours(struct call *c)
{
    return fail(c->cx, ERR_FORBIDDEN, "You are not authorized to perform the requested action: %s.",
                c->route->policy);
}

/* Users see the domains that they and their project are in; others look like none. */
struct err *domain_show(struct call *c)
{
    const char *id = call_param(c, "domain_id");
    const struct actor *a = c->actor;
    void *d = NULL;
    if (!a->admin && !str_eq(id, a->user_domain_id) && !str_eq(id, a->project_domain_id) &&
        !str_eq(id, a->domain_id))
        return not_yours(c);
    TRY(res_find(c->cx, c->tx, &domain_resource, id, &d));
    return call_reply_row(c, 200, &domain_resource, d);
}

struct err *domain_update(struct call *c)
{
    struct domain *d = c->body, *before = c->target;
    TRY(domain_name_is_free(c, d));
    if (before->enabled && !d->enabled) {
        if (str_eq(d->id, "default"))
            return fail(
                c->cx, ERR_FORBIDDEN,
                "The default domain can't be disabled: the administrator would be locked out");
        TRY(token_revoke(c->cx, c->tx, "domain", d->id));
    }
    TRY(res_update(c->cx, c->tx, &domain_resource, d));
    return call_reply_row(c, 200, &domain_resource, d);
}

struct err *domain_delete(struct call *c)
{
    struct domain *d = c->target;
    struct db_rows rows;
    struct db_value param = V_TEXT(d->id);
    if (d->enabled)
        return fail(c->cx, ERR_FORBIDDEN,
                    "Cannot delete a domain that is enabled, please disable it first.");
    TRY(db_query(c->cx, c->tx, &stmt_domain_used, &param, 1, &rows));
    if (db_int(&rows, 0, 0))
        return fail(c->cx, ERR_IN_USE,
                    "The domain %s still has %" PRId64 " users and projects: delete them first",
                    d->name, db_int(&rows, 0, 0));
    TRY(assignments_forget(c->cx, c->tx, NULL, d->id, NULL));
    TRY(res_delete(c->cx, c->tx, &domain_resource, d));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *auth_domains(struct call *c)
{
    struct jw w = call_json(c, 200);
    struct role_set roles;
    struct view v = call_view(c);
    void **domains;
    size_t n;
    static const struct res_where all = {&domain_resource, "enabled = 1", "name"};
    TRY(res_select(c->cx, c->tx, &all, NULL, 0, &domains, &n));
    jw_obj(&w);
    jw_karr(&w, "domains");
    for (size_t i = 0; i < n; i++) {
        TRY(roles_of(c->cx, c->tx, c->actor->user_id, "domain", ROW(domain, domains, i)->id,
                     &roles));
        if (roles.n)
            res_encode(c->cx, &w, &domain_resource, domains[i], &v);
    }
    jw_arr_end(&w);
    jw_kraw(&w, "links", "{\"next\":null,\"previous\":null}");
    jw_obj_end(&w);
    return NULL;
}

struct err *auth_system(struct call *c)
{
    struct role_set roles;
    TRY(roles_of(c->cx, c->tx, c->actor->user_id, "system", "system", &roles));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kraw(&w, "system", roles.n ? "[{\"all\":true}]" : "[]");
    jw_kraw(&w, "links", "{\"next\":null,\"previous\":null}");
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- projects */

struct err *project_list(struct call *c)
{
    return call_reply_list(c, &project_resource, NULL);
}

static struct err *project_name_is_free(struct call *c, const struct project *p)
{
    struct project *other = NULL;
    TRY(res_first_by(c->cx, c->tx, &projects_by_name, (void **)&other, V_TEXT(p->domain_id),
                     V_TEXT(p->name)));
    if (other && !str_eq(other->id, p->id))
        return fail(
            c->cx, ERR_EXISTS,
            "Conflict occurred attempting to store project - it is not permitted to have two "
            "projects with the same name in the same domain: %s.",
            p->name);
    return NULL;
}

struct err *project_create(struct call *c)
{
    struct project *p = c->body;
    void *row;
    if (p->is_domain)
        return fail(c->cx, ERR_INVALID,
                    "A project can't act as a domain here: create a domain with POST /v3/domains");
    TRY(res_find(c->cx, c->tx, &domain_resource, p->domain_id, &row));
    if (p->parent_id && !str_eq(p->parent_id, p->domain_id)) {
        struct project *parent = NULL;
        TRY(res_find(c->cx, c->tx, &project_resource, p->parent_id, (void **)&parent));
        if (!str_eq(parent->domain_id, p->domain_id))
            return fail(c->cx, ERR_INVALID, "The parent project belongs to another domain");
    }
    TRY(project_name_is_free(c, p));
    p->id = uuid_new_hex(c->cx);
    p->parent_id = p->parent_id ? p->parent_id : p->domain_id;
    c->audit_target = p->id;
    TRY(res_insert(c->cx, c->tx, &project_resource, p));
    return call_reply_row(c, 201, &project_resource, p);
}

struct err *project_show(struct call *c)
{
    const char *id = call_param(c, "project_id");
    struct role_set roles;
    void *p = NULL;
    if (!c->actor->admin) {
        TRY(roles_of(c->cx, c->tx, c->actor->user_id, "project", id, &roles));
        if (!roles.n)
            return not_yours(c);
    }
    TRY(res_find(c->cx, c->tx, &project_resource, id, &p));
    return call_reply_row(c, 200, &project_resource, p);
}

struct err *project_update(struct call *c)
{
    struct project *p = c->body, *before = c->target;
    TRY(project_name_is_free(c, p));
    if (before->enabled && !p->enabled)
        TRY(token_revoke(c->cx, c->tx, "project", p->id));
    TRY(res_update(c->cx, c->tx, &project_resource, p));
    return call_reply_row(c, 200, &project_resource, p);
}

struct err *project_delete(struct call *c)
{
    struct project *p = c->target;
    struct db_rows rows;
    struct db_value param = V_TEXT(p->id);
    TRY(db_query(c->cx, c->tx, &stmt_project_used, &param, 1, &rows));
    if (db_int(&rows, 0, 0))
        return fail(
            c->cx, ERR_FORBIDDEN,
            "Cannot delete the project %s, since it has projects below it: delete them first.",
            p->id);
    TRY(assignments_forget(c->cx, c->tx, NULL, p->id, NULL));
    TRY(db_run(c->cx, c->tx, &stmt_credentials_forget_project, V_TEXT(p->id)));
    TRY(token_revoke(c->cx, c->tx, "project", p->id));
    TRY(res_delete(c->cx, c->tx, &project_resource, p));
    call_reply_empty(c, 204);
    return NULL;
}
