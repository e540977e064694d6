/* SPDX-License-Identifier: EUPL-1.2 */
/* POST, GET, HEAD, DELETE /v3/auth/tokens. */
#include "identity/resources.h"

static struct err *refused(struct ctx *cx)
{
    return fail(cx, ERR_UNAUTHENTICATED, "The request you have made requires authentication.");
}

static struct err *malformed(struct ctx *cx, const char *what, const char *where)
{
    return fail(cx, ERR_INVALID,
                "Expecting to find %s in %s. The server could not comply with the request since it "
                "is either malformed or "
                "otherwise incorrect. The client is assumed to be in error.",
                what, where);
}

/* ---------------------------------------------------------------- who */

static bool has_method(const json_t *methods, const char *name)
{
    for (size_t i = 0; i < json_array_size(methods); i++)
        if (str_eq(json_string_value(json_array_get(methods, i)), name))
            return true;
    return false;
}

/* A token for another scope: never lives longer than the one it comes from. */
static struct err *by_token(struct call *c, const char *text, struct user **ret, struct token *t)
{
    struct token old;
    AUTO_TXN struct tx *tx = NULL;
    if (!text)
        return malformed(c->cx, "id", "token");
    TRY(tx_read(c->cx, c->store, &tx));
    struct err *e = token_verify(c->cx, tx, text, &old);
    if (e && e->kind == ERR_UNAUTHENTICATED) /* it is what is asked for, not who asks */
        return fail(c->cx, ERR_NOT_FOUND, "Failed to validate token");
    TRY(e);
    TRY(res_get(c->cx, tx, &user_resource, old.user_id, (void **)ret));
    if (!*ret || !(*ret)->enabled ||
        old.credential_id) /* a credential's token has its scope for good */
        return refused(c->cx);
    t->expires_us = old.expires_us;
    return NULL;
}

static struct err *by_credential(struct call *c, const json_t *given, struct user **ret,
                                 struct token *t, struct application_credential **ret_credential)
{
    if (!json_is_object(given))
        return malformed(c->cx, "application_credential", "identity");
    TRY(credential_login(c->cx, c->store, given, ret, ret_credential));
    const struct application_credential *a = *ret_credential;
    t->credential_id = a->id;
    t->credential_unrestricted = a->unrestricted;
    if (a->expires_at && a->expires_at < t->expires_us)
        t->expires_us = a->expires_at;
    return NULL;
}

static struct err *who(struct call *c, const json_t *auth, struct user **ret, struct token *t,
                       struct application_credential **ret_credential)
{
    static const char *const password_methods[] = {"password", NULL};
    static const char *const token_methods[] = {"token", NULL};
    static const char *const credential_methods[] = {"application_credential", NULL};
    const json_t *identity = json_get(auth, "identity"), *methods = json_get(identity, "methods");
    if (!json_is_object(identity))
        return malformed(c->cx, "identity", "auth");
    if (!json_is_array(methods) || !json_array_size(methods))
        return malformed(c->cx, "methods", "identity");
    t->issued_us = now_us(c->cx);
    t->expires_us = t->issued_us + identity_settings()->token_ttl_s * 1000000;
    if (has_method(methods, "password")) {
        t->methods = password_methods;
        const json_t *user = json_get(json_get(identity, "password"), "user");
        if (!json_is_object(user))
            return malformed(c->cx, "user", "password");
        return password_login(c->cx, c->store, user, false, ret);
    }
    if (has_method(methods, "token")) {
        t->methods = token_methods;
        return by_token(c, json_get_str(json_get(identity, "token"), "id"), ret, t);
    }
    if (has_method(methods, "application_credential")) {
        t->methods = credential_methods;
        return by_credential(c, json_get(identity, "application_credential"), ret, t,
                             ret_credential);
    }
    return refused(c->cx);
}

/* ---------------------------------------------------------------- what for */

static struct err *domain_by(struct ctx *cx, struct tx *tx, const json_t *j, struct domain **ret)
{
    const char *id = json_get_str(j, "id"), *name = json_get_str(j, "name");
    *ret = NULL;
    if (id)
        return res_get(cx, tx, &domain_resource, id, (void **)ret);
    if (name)
        return res_first_by(cx, tx, &domains_by_name, (void **)ret, V_TEXT(name));
    return malformed(cx, "id or name", "domain");
}

static struct err *project_by(struct ctx *cx, struct tx *tx, const json_t *j, struct project **ret)
{
    const char *id = json_get_str(j, "id"), *name = json_get_str(j, "name");
    struct domain *d = NULL;
    *ret = NULL;
    if (id)
        return res_get(cx, tx, &project_resource, id, (void **)ret);
    if (!name)
        return malformed(cx, "id or name", "project");
    TRY(domain_by(cx, tx, json_get(j, "domain"), &d));
    return d ? res_first_by(cx, tx, &projects_by_name, (void **)ret, V_TEXT(d->id), V_TEXT(name))
             : NULL;
}

static struct err *take_roles(struct ctx *cx, struct tx *tx, struct token *t, const char *type,
                              const char *id)
{
    struct role_set roles;
    TRY(roles_of(cx, tx, t->user_id, type, id, &roles));
    if (!roles.n)
        return refused(cx);
    t->roles = roles.names;
    t->role_ids = roles.ids;
    return NULL;
}

static struct err *scope_project(struct ctx *cx, struct tx *tx, struct token *t,
                                 const struct project *p)
{
    struct domain *d = NULL;
    if (!p || !p->enabled)
        return refused(cx);
    TRY(res_find(cx, tx, &domain_resource, p->domain_id, (void **)&d));
    if (!d->enabled)
        return refused(cx);
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

static struct err *scope_to(struct ctx *cx, struct tx *tx, const json_t *scope,
                            const struct user *u, struct token *t)
{
    const json_t *project = json_get(scope, "project"), *domain = json_get(scope, "domain");
    if (project) {
        struct project *p = NULL;
        TRY(project_by(cx, tx, project, &p));
        return scope_project(cx, tx, t, p);
    }
    if (domain) {
        struct domain *d = NULL;
        TRY(domain_by(cx, tx, domain, &d));
        if (!d || !d->enabled)
            return refused(cx);
        t->domain_id = d->id;
        t->domain_name = d->name;
        return take_roles(cx, tx, t, "domain", d->id);
    }
    if (json_get(scope, "system")) {
        t->system_scope = true;
        return take_roles(cx, tx, t, "system", "system");
    }
    if (str_eq(json_string_value(scope), "unscoped"))
        return NULL;
    return scope ? malformed(cx, "project, domain or system", "scope")
                 : scope_default(cx, tx, t, u);
}

/* The credential's project alone, with what is left of its roles. */
static struct err *scope_credential(struct ctx *cx, struct tx *tx,
                                    const struct application_credential *a, const json_t *scope,
                                    struct token *t)
{
    struct project *p = NULL;
    struct role_set roles;
    if (scope)
        return fail(cx, ERR_UNAUTHENTICATED, "Application credentials cannot request a scope.");
    TRY(res_get(cx, tx, &project_resource, a->project_id, (void **)&p));
    TRY(scope_project(cx, tx, t, p));
    TRY(roles_of(cx, tx, t->user_id, "project", p->id, &roles));
    TRY(roles_restrict(cx, tx, a->roles, &roles));
    if (!roles.n)
        return refused(cx);
    t->roles = roles.names;
    t->role_ids = roles.ids;
    return NULL;
}

/* ---------------------------------------------------------------- the body */

static void named(struct jw *w, const char *key, const char *id, const char *name)
{
    jw_kobj(w, key);
    jw_kstr(w, "id", id);
    jw_kstr(w, "name", name);
    jw_obj_end(w);
}

static void token_people(struct call *c, struct jw *w, const struct token *t)
{
    jw_karr(w, "methods");
    for (const char *const *m = t->methods; *m; m++)
        jw_str(w, *m);
    jw_arr_end(w);
    jw_kobj(w, "user");
    named(w, "domain", t->user_domain_id, t->user_domain_name);
    jw_kstr(w, "id", t->user_id);
    jw_kstr(w, "name", t->user_name);
    jw_knull(w, "password_expires_at");
    jw_obj_end(w);
    jw_karr(w, "audit_ids");
    jw_str(w, t->audit_id);
    jw_arr_end(w);
    jw_kstr(w, "expires_at", time_iso(c->cx, t->expires_us, TIME_MICROS_Z));
    jw_kstr(w, "issued_at", time_iso(c->cx, t->issued_us, TIME_MICROS_Z));
}

static void token_scope(struct jw *w, const struct token *t)
{
    if (t->project_id) {
        jw_kobj(w, "project");
        named(w, "domain", t->project_domain_id, t->project_domain_name);
        jw_kstr(w, "id", t->project_id);
        jw_kstr(w, "name", t->project_name);
        jw_obj_end(w);
        jw_kbool(w, "is_domain", false);
    }
    if (t->domain_id)
        named(w, "domain", t->domain_id, t->domain_name);
    if (t->system_scope)
        jw_kraw(w, "system", "{\"all\":true}");
}

static struct err *token_body(struct call *c, struct tx *tx, int status, const struct token *t)
{
    struct jw w = call_json(c, status);
    jw_obj(&w);
    jw_kobj(&w, "token");
    token_people(c, &w, t);
    token_scope(&w, t);
    if (t->roles && *t->roles) {
        jw_karr(&w, "roles");
        for (size_t i = 0; t->roles[i] && t->role_ids[i]; i++) {
            jw_obj(&w);
            jw_kstr(&w, "id", t->role_ids[i]);
            jw_kstr(&w, "name", t->roles[i]);
            jw_obj_end(&w);
        }
        jw_arr_end(&w);
        if (!http_arg(c->rq, "nocatalog")) {
            jw_key(&w, "catalog");
            TRY(catalog_write(c->cx, tx, t->project_id, c->rq->base_url, &w));
        }
    }
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* Hashes outside of any transaction; writes nothing: a token is its own proof. */
struct err *auth_create(struct call *c)
{
    const json_t *auth = json_get(c->json, "auth");
    struct token t = {0};
    struct user *u = NULL;
    struct domain *d = NULL;
    struct application_credential *credential = NULL;
    const char *text = NULL;
    uint8_t id[16];
    if (!json_is_object(auth))
        return malformed(c->cx, "auth", "request body");
    TRY(who(c, auth, &u, &t, &credential));
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_read(c->cx, c->store, &tx));
    TRY(res_find(c->cx, tx, &domain_resource, u->domain_id, (void **)&d));
    if (!d->enabled)
        return refused(c->cx);
    rng_bytes(c->cx->rng, id, sizeof(id));
    t.audit_id = base64url_encode(c->cx, id, sizeof(id));
    t.user_id = u->id;
    t.user_name = u->name;
    t.user_domain_id = d->id;
    t.user_domain_name = d->name;
    const json_t *scope = json_get(auth, "scope");
    TRY(credential ? scope_credential(c->cx, tx, credential, scope, &t)
                   : scope_to(c->cx, tx, scope, u, &t));
    c->actor->user_id = u->id;
    c->actor->project_id = t.project_id;
    TRY(token_sign(c->cx, tx, &t, &text));
    http_reply_header(c->rp, c->cx, "X-Subject-Token", text);
    http_reply_header(c->rp, c->cx, "Vary", "X-Auth-Token");
    return token_body(c, tx, 201, &t);
}

/* The subject: the actor's own token, or any for an administrator. */
static struct err *subject(struct call *c, struct token *t, const char **ret_text)
{
    const char *text = http_header(c->rq, "X-Subject-Token");
    if (!text)
        return fail(c->cx, ERR_INVALID,
                    "The header X-Subject-Token is missing: it names the token to act on");
    if (c->actor->more && str_eq(text, c->actor->token)) { /* verified a moment ago */
        *t = *(const struct token *)c->actor->more;
        *ret_text = text;
        return NULL;
    }
    struct err *e = token_verify(c->cx, c->tx, text, t);
    if (e && e->kind == ERR_UNAUTHENTICATED)
        return fail(c->cx, ERR_NOT_FOUND, "Failed to validate token");
    TRY(e);
    if (!c->actor->admin && !str_eq(t->user_id, c->actor->user_id))
        return fail(c->cx, ERR_FORBIDDEN,
                    "You are not authorized to perform the requested action: %s.",
                    c->route->policy);
    *ret_text = text;
    return NULL;
}

struct err *auth_show(struct call *c)
{
    struct token t;
    const char *text = NULL;
    TRY(subject(c, &t, &text));
    http_reply_header(c->rp, c->cx, "X-Subject-Token", text);
    http_reply_header(c->rp, c->cx, "Vary", "X-Auth-Token");
    return token_body(c, c->tx, 200, &t);
}

struct err *auth_revoke(struct call *c)
{
    struct token t;
    const char *text = NULL;
    TRY(subject(c, &t, &text));
    c->audit_target = t.audit_id;
    TRY(token_revoke(c->cx, c->tx, "token", t.audit_id));
    call_reply_empty(c, 204);
    return NULL;
}
