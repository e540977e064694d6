/* SPDX-License-Identifier: EUPL-1.2 */
/* What a token is for: a project, a domain, the system, a trust, or nothing; and with which roles.
 */
#include "identity/resources.h"

static struct err *domain_by(struct ctx *cx, struct tx *tx, const json_t *j, struct domain **ret)
{
    const char *id = json_get_str(j, "id"), *name = json_get_str(j, "name");
    *ret = NULL;
    if (id)
        return res_get(cx, tx, &domain_resource, id, (void **)ret);
    if (name)
        return res_first_by(cx, tx, &domains_by_name, (void **)ret, V_TEXT(name));
    return auth_malformed(cx, "id or name", "domain");
}

static struct err *project_by(struct ctx *cx, struct tx *tx, const json_t *j, struct project **ret)
{
    const char *id = json_get_str(j, "id"), *name = json_get_str(j, "name");
    struct domain *d = NULL;
    *ret = NULL;
    if (id)
        return res_get(cx, tx, &project_resource, id, (void **)ret);
    if (!name)
        return auth_malformed(cx, "id or name", "project");
    TRY(domain_by(cx, tx, json_get(j, "domain"), &d));
    return d ? res_first_by(cx, tx, &projects_by_name, (void **)ret, V_TEXT(d->id), V_TEXT(name))
             : NULL;
}

/* Of the user who has them: the token's own, or who handed them on to it. */
static struct err *take_roles(struct ctx *cx, struct tx *tx, struct token *t, const char *type,
                              const char *id)
{
    struct role_set roles;
    TRY(roles_of(cx, tx, t->holder_id ? t->holder_id : t->user_id, type, id, &roles));
    if (!roles.n)
        return auth_refused(cx);
    t->roles = roles.names;
    t->role_ids = roles.ids;
    return NULL;
}

/* Only those of them that were handed on. */
static struct err *restrict_roles(struct ctx *cx, struct tx *tx, struct token *t,
                                  const char *given_json)
{
    struct role_set roles;
    TRY(roles_of(cx, tx, t->holder_id ? t->holder_id : t->user_id, "project", t->project_id,
                 &roles));
    TRY(roles_restrict(cx, tx, given_json, &roles));
    t->roles = roles.names;
    t->role_ids = roles.ids;
    return roles.n ? NULL : auth_refused(cx);
}

static struct err *scope_project(struct ctx *cx, struct tx *tx, struct token *t,
                                 const struct project *p)
{
    struct domain *d = NULL;
    if (!p || !p->enabled)
        return auth_refused(cx);
    TRY(res_find(cx, tx, &domain_resource, p->domain_id, (void **)&d));
    if (!d->enabled)
        return auth_refused(cx);
    t->project_id = p->id;
    t->project_name = p->name;
    t->project_domain_id = d->id;
    t->project_domain_name = d->name;
    if (!str_eq(p->parent_id, d->id))
        TRY(project_parents(cx, tx, p->parent_id, d->id, &t->parents));
    return take_roles(cx, tx, t, "project", p->id);
}

/* No scope asked for: the user's default project where it works, else an unscoped token. */
static struct err *scope_default(struct ctx *cx, struct tx *tx, struct token *t,
                                 const struct user *u)
{
    struct project *p = NULL;
    if (!u->default_project_id)
        return NULL;
    TRY(res_get(cx, tx, &project_resource, u->default_project_id, (void **)&p));
    struct token scoped = *t;
    struct err *e = scope_project(cx, tx, &scoped, p);
    if (!e)
        *t = scoped;
    return e && e->kind != ERR_UNAUTHENTICATED ? e : NULL;
}

static struct err *scope_domain(struct ctx *cx, struct tx *tx, struct token *t, const json_t *given)
{
    struct domain *d = NULL;
    TRY(domain_by(cx, tx, given, &d));
    if (!d || !d->enabled)
        return auth_refused(cx);
    t->domain_id = d->id;
    t->domain_name = d->name;
    return take_roles(cx, tx, t, "domain", d->id);
}

/* ---------------------------------------------------------------- trusts */

static struct err *enabled_user(struct ctx *cx, struct tx *tx, const char *id,
                                struct user **ret_user, struct domain **ret_domain)
{
    *ret_user = NULL;
    TRY(res_get(cx, tx, &user_resource, id, (void **)ret_user));
    if (*ret_user)
        TRY(res_get(cx, tx, &domain_resource, (*ret_user)->domain_id, (void **)ret_domain));
    if (!*ret_user || !(*ret_user)->enabled || !(*ret_domain)->enabled)
        return fail(cx, ERR_FORBIDDEN, "Trustor is disabled.");
    return NULL;
}

/* The token names everybody it rests on. */
static struct err *take_people(struct ctx *cx, struct tx *tx, const struct trust *trust,
                               struct token *t)
{
    struct user *trustor, *holder;
    struct domain *d, *holder_domain;
    TRY(trust_holder(cx, tx, trust, &t->holder_id));
    TRY(enabled_user(cx, tx, trust->trustor_user_id, &trustor, &d));
    TRY(enabled_user(cx, tx, t->holder_id, &holder, &holder_domain));
    t->trust_id = trust->id;
    t->trustor_id = trustor->id;
    t->trustee_id = trust->trustee_user_id;
    t->holder_domain_id = holder_domain->id;
    if (!trust->impersonation)
        return NULL;
    t->user_id = trustor->id;
    t->user_name = trustor->name;
    t->user_domain_id = d->id;
    t->user_domain_name = d->name;
    return NULL;
}

/* All that was handed on, or nothing. */
static struct err *trusted_roles(struct ctx *cx, struct tx *tx, const struct trust *trust,
                                 struct token *t)
{
    struct role_set given;
    struct err *e = restrict_roles(cx, tx, t, trust->roles);
    if (e && e->kind != ERR_UNAUTHENTICATED)
        return e;
    TRY(roles_read(cx, trust->roles, &given));
    for (size_t i = 0; i < given.n; i++) {
        size_t k = 0;
        while (t->role_ids[k] && !str_eq(t->role_ids[k], given.ids[i]))
            k++;
        if (!t->role_ids[k])
            return fail(cx, ERR_FORBIDDEN, "Trustee has no delegated roles.");
    }
    return NULL;
}

static struct err *scope_trust(struct ctx *cx, struct tx *tx, const json_t *given,
                               const struct user *u, struct token *t, bool *ret_counted)
{
    const char *id = json_get_str(given, "id");
    struct trust *trust;
    struct project *p = NULL;
    if (!id)
        return auth_malformed(cx, "id", "OS-TRUST:trust");
    TRY(trust_find(cx, tx, id, &trust));
    if (!str_eq(trust->trustee_user_id, u->id))
        return fail(cx, ERR_FORBIDDEN, "User is not a trustee.");
    TRY(take_people(cx, tx, trust, t));
    if (trust->expires_at && trust->expires_at < t->expires_us)
        t->expires_us = trust->expires_at;
    *ret_counted = trust->remaining_uses != INT_NULL;
    if (!trust->project_id)
        return NULL;
    TRY(res_get(cx, tx, &project_resource, trust->project_id, (void **)&p));
    struct err *e = scope_project(cx, tx, t, p);
    if (e && e->kind == ERR_UNAUTHENTICATED && t->project_id)
        return fail(cx, ERR_FORBIDDEN, "Trustee has no delegated roles.");
    TRY(e);
    return trusted_roles(cx, tx, trust, t);
}

/* ---------------------------------------------------------------- what is asked for */

struct err *scope_to(struct ctx *cx, struct tx *tx, const json_t *scope, const struct user *u,
                     struct token *t, bool *ret_counted)
{
    const json_t *project = json_get(scope, "project"), *domain = json_get(scope, "domain"),
                 *trust = json_get(scope, "OS-TRUST:trust");
    if (trust)
        return project || domain
                   ? fail(cx, ERR_INVALID,
                          "Scoping to both a trust and a project or domain is not possible")
                   : scope_trust(cx, tx, trust, u, t, ret_counted);
    if (project) {
        struct project *p = NULL;
        TRY(project_by(cx, tx, project, &p));
        return scope_project(cx, tx, t, p);
    }
    if (domain)
        return scope_domain(cx, tx, t, domain);
    if (json_get(scope, "system")) {
        t->system_scope = true;
        return take_roles(cx, tx, t, "system", "system");
    }
    if (str_eq(json_string_value(scope), "unscoped") || json_get(scope, "unscoped"))
        return NULL;
    return scope ? auth_malformed(cx, "project, domain or system", "scope")
                 : scope_default(cx, tx, t, u);
}

/* The credential's project alone, with what is left of its roles. */
struct err *scope_credential(struct ctx *cx, struct tx *tx, const struct application_credential *a,
                             const json_t *scope, struct token *t)
{
    struct project *p = NULL;
    if (scope)
        return fail(cx, ERR_UNAUTHENTICATED, "Application credentials cannot request a scope.");
    TRY(res_get(cx, tx, &project_resource, a->project_id, (void **)&p));
    TRY(scope_project(cx, tx, t, p));
    return restrict_roles(cx, tx, t, a->roles);
}
