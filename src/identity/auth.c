/* SPDX-License-Identifier: EUPL-1.2 */
/* POST, GET, HEAD, DELETE /v3/auth/tokens. What a token is for: auth_scope.c; how it is shown:
 * auth_body.c. */
#include "identity/resources.h"

struct err *auth_refused(struct ctx *cx)
{
    return fail(cx, ERR_UNAUTHENTICATED, "The request you have made requires authentication.");
}

struct err *auth_malformed(struct ctx *cx, const char *what, const char *where)
{
    return fail(cx, ERR_INVALID,
                "Expecting to find %s in %s. The server could not comply with the request since it "
                "is either malformed or otherwise incorrect. The client is assumed to be in error.",
                what, where);
}

/* ---------------------------------------------------------------- who */

struct login {
    struct call *c;
    const json_t *identity;
    struct user *user; /* whom all methods agreed on so far */
    struct token *token;
    struct application_credential *credential;
};

static bool has_method(const char *const *methods, const char *name)
{
    for (; methods && *methods; methods++)
        if (str_eq(*methods, name))
            return true;
    return false;
}

static void add_method(struct ctx *cx, struct token *t, const char *name)
{
    size_t n = 0;
    if (has_method(t->methods, name))
        return;
    while (t->methods && t->methods[n])
        n++;
    const char **methods = arena_new_array(cx->arena, const char *, n + 2);
    for (size_t i = 0; i < n; i++)
        methods[i] = t->methods[i];
    methods[n] = name;
    t->methods = methods;
}

static struct err *is_user(struct login *l, struct user *u)
{
    if (l->user && !str_eq(l->user->id, u->id))
        return auth_refused(l->c->cx);
    l->user = u;
    return NULL;
}

static struct err *by_password(struct login *l)
{
    const json_t *user = json_get(json_get(l->identity, "password"), "user");
    struct user *u;
    if (!json_is_object(user))
        return auth_malformed(l->c->cx, "user", "password");
    TRY(password_login(l->c->cx, l->c->store, user, false, &u));
    return is_user(l, u);
}

/* Delegation is not handed on by a mere token, and what is scoped for good stays so. */
static struct err *may_rescope(struct ctx *cx, const struct token *old)
{
    const char *why = NULL;
    if (old->credential_id)
        return auth_refused(cx);
    if (old->trust_id)
        why = "Using trust-scoped token to create another token. Create a new trust-scoped token "
              "instead";
    else if (identity_settings()->forbid_rescope &&
             (old->project_id || old->domain_id || old->system_scope))
        why = "rescope a scoped token";
    return why ? fail(cx, ERR_FORBIDDEN,
                      "You are not authorized to perform the requested action: %s.", why)
               : NULL;
}

/* A token for another scope: never lives longer than the one it comes from. */
static struct err *by_token(struct login *l)
{
    struct ctx *cx = l->c->cx;
    const char *text = json_get_str(json_get(l->identity, "token"), "id");
    struct user *u = NULL;
    struct token old;
    AUTO_TXN struct tx *tx = NULL;
    if (!text)
        return auth_malformed(cx, "id", "token");
    TRY(tx_read(cx, l->c->store, &tx));
    struct err *e = token_verify(cx, tx, text, &old);
    if (e && e->kind == ERR_UNAUTHENTICATED) /* it is what is asked for, not who asks */
        return fail(cx, ERR_NOT_FOUND, "Failed to validate token");
    TRY(e);
    TRY(may_rescope(cx, &old));
    TRY(res_get(cx, tx, &user_resource, old.user_id, (void **)&u));
    if (!u || !u->enabled)
        return auth_refused(cx);
    l->token->expires_us = old.expires_us;
    l->token->parent_audit_id = old.parent_audit_id ? old.parent_audit_id : old.audit_id;
    for (const char *const *m = old.methods; *m; m++)
        add_method(cx, l->token, *m);
    return is_user(l, u);
}

static struct err *by_credential(struct login *l)
{
    const json_t *given = json_get(l->identity, "application_credential");
    struct user *u;
    if (!json_is_object(given))
        return auth_malformed(l->c->cx, "application_credential", "identity");
    TRY(app_credential_login(l->c->cx, l->c->store, given, &u, &l->credential));
    const struct application_credential *a = l->credential;
    l->token->credential_id = a->id;
    l->token->credential_unrestricted = a->unrestricted;
    l->token->credential_limited = a->limited;
    if (a->expires_at && a->expires_at < l->token->expires_us)
        l->token->expires_us = a->expires_at;
    return is_user(l, u);
}

static struct err *by_totp(struct login *l)
{
    const json_t *user = json_get(json_get(l->identity, "totp"), "user");
    struct user *u;
    if (!json_is_object(user))
        return auth_malformed(l->c->cx, "user", "totp");
    TRY(totp_check(l->c->cx, l->c->store, user, &u));
    return is_user(l, u);
}

static const struct method {
    const char *name;
    struct err *(*check)(struct login *l);
} known_methods[] = {{"password", by_password},
                     {"token", by_token},
                     {"application_credential", by_credential},
                     {"totp", by_totp}};

static const struct method *find_method(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(known_methods); i++)
        if (str_eq(known_methods[i].name, name))
            return &known_methods[i];
    return NULL;
}

/* Each of the rule's methods was used; a rule that names an unknown one counts for nothing. */
static bool satisfies(const json_t *rule, const char *const *used, bool *ret_counts)
{
    bool all = true;
    *ret_counts = true;
    for (size_t i = 0; i < json_array_size(rule); i++) {
        const char *name = json_string_value(json_array_get(rule, i));
        *ret_counts &= find_method(name) != NULL;
        all &= has_method(used, name);
    }
    return all;
}

/* The user's own rules of which methods together are enough. */
static struct err *check_rules(struct login *l)
{
    json_t *options = NULL;
    const char *text = l->user->options;
    bool any = false;
    TRY(json_read(l->c->cx, text, strlen(text), &options));
    const json_t *rules = json_get(options, "multi_factor_auth_rules");
    if (!json_get_bool(options, "multi_factor_auth_enabled", true) || l->credential)
        return NULL;
    for (size_t i = 0; i < json_array_size(rules); i++) {
        bool counts;
        if (satisfies(json_array_get(rules, i), l->token->methods, &counts) && counts)
            return NULL;
        any |= counts;
    }
    return any ? auth_refused(l->c->cx) : NULL;
}

static struct err *who(struct login *l)
{
    struct ctx *cx = l->c->cx;
    const json_t *methods = json_get(l->identity, "methods");
    if (!json_is_object(l->identity))
        return auth_malformed(cx, "identity", "auth");
    if (!json_is_array(methods) || !json_array_size(methods))
        return auth_malformed(cx, "methods", "identity");
    l->token->issued_us = now_us(cx);
    l->token->expires_us = l->token->issued_us + identity_settings()->token_ttl_s * 1000000;
    for (size_t i = 0; i < json_array_size(methods); i++) {
        const char *name = json_string_value(json_array_get(methods, i));
        const struct method *m = find_method(name);
        if (!m)
            return auth_refused(cx);
        if (i && has_method(l->token->methods, name)) /* named twice */
            continue;
        TRY(m->check(l));
        add_method(cx, l->token, m->name);
    }
    if (!l->token->methods[1] && str_eq(l->token->methods[0], "totp"))
        return auth_refused(cx); /* six digits are a second factor, not the only one */
    TRY(check_rules(l));
    return login_succeeded(cx, l->c->store, l->user);
}

/* ---------------------------------------------------------------- calls */

static struct err *start_token(struct login *l, struct tx *tx)
{
    struct ctx *cx = l->c->cx;
    struct token *t = l->token;
    struct domain *d = NULL;
    uint8_t id[16];
    TRY(res_find(cx, tx, &domain_resource, l->user->domain_id, (void **)&d));
    if (!d->enabled)
        return auth_refused(cx);
    rng_bytes(cx->rng, id, sizeof(id));
    t->audit_id = base64url_encode(cx, id, sizeof(id));
    t->user_id = l->user->id;
    t->user_name = l->user->name;
    t->user_domain_id = d->id;
    t->user_domain_name = d->name;
    return NULL;
}

/* A trust with a number of uses has one less: the only thing that a log-in writes. */
static struct err *count_use(struct call *c, const char *trust_id)
{
    const struct db_value id = V_TEXT(trust_id);
    int64_t changes = 0;
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(c->cx, c->store, &tx));
    TRY(db_exec(c->cx, tx, &stmt_trust_use, &id, 1, &changes));
    if (!changes)
        return res_not_found(c->cx, &trust_resource, trust_id);
    return tx_commit(c->cx, &tx);
}

/* Hashes outside of any transaction: a token is its own proof. */
struct err *auth_create(struct call *c)
{
    const json_t *auth = json_get(c->json, "auth"), *scope = json_get(auth, "scope");
    struct token t = {0};
    struct login l = {.c = c, .identity = json_get(auth, "identity"), .token = &t};
    const char *text = NULL;
    bool counted = false;
    if (!json_is_object(auth))
        return auth_malformed(c->cx, "auth", "request body");
    TRY(who(&l));
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_read(c->cx, c->store, &tx));
    TRY(start_token(&l, tx));
    TRY(l.credential ? scope_credential(c->cx, tx, l.credential, scope, &t)
                     : scope_to(c->cx, tx, scope, l.user, &t, &counted));
    if (counted) {
        tx_rollback(&tx);
        TRY(count_use(c, t.trust_id));
        TRY(tx_read(c->cx, c->store, &tx));
    }
    c->actor->user_id = l.user->id;
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
