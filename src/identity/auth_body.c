/* SPDX-License-Identifier: EUPL-1.2 */
/* A token as JSON. */
#include "identity/resources.h"

static void named(struct jw *w, const char *key, const char *id, const char *name)
{
    jw_kobj(w, key);
    jw_kstr(w, "id", id);
    jw_kstr(w, "name", name);
    jw_obj_end(w);
}

static void token_people(struct call *c, struct jw *w, const struct token *t, const struct user *u)
{
    jw_karr(w, "methods");
    for (const char *const *m = t->methods; *m; m++)
        jw_str(w, *m);
    jw_arr_end(w);
    jw_kobj(w, "user");
    named(w, "domain", t->user_domain_id, t->user_domain_name);
    jw_kstr(w, "id", t->user_id);
    jw_kstr(w, "name", t->user_name);
    jw_kstr(w, "password_expires_at",
            u && u->password_expires_at ? time_iso(c->cx, u->password_expires_at, TIME_MICROS)
                                        : NULL);
    jw_obj_end(w);
    jw_karr(w, "audit_ids");
    jw_str(w, t->audit_id);
    if (t->parent_audit_id)
        jw_str(w, t->parent_audit_id);
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

static void token_trust(struct jw *w, const struct token *t)
{
    jw_kobj(w, "OS-TRUST:trust");
    jw_kstr(w, "id", t->trust_id);
    jw_kbool(w, "impersonation", str_eq(t->user_id, t->trustor_id));
    jw_kobj(w, "trustor_user");
    jw_kstr(w, "id", t->trustor_id);
    jw_obj_end(w);
    jw_kobj(w, "trustee_user");
    jw_kstr(w, "id", t->trustee_id);
    jw_obj_end(w);
    jw_obj_end(w);
}

static struct err *token_credential(struct call *c, struct tx *tx, struct jw *w,
                                    const struct token *t)
{
    struct application_credential *a = NULL;
    TRY(res_get(c->cx, tx, &application_credential_resource, t->credential_id, (void **)&a));
    if (!a)
        return NULL;
    jw_kobj(w, "application_credential");
    jw_kstr(w, "id", a->id);
    jw_kstr(w, "name", a->name);
    jw_kbool(w, "restricted", !a->unrestricted);
    if (a->limited) {
        jw_key(w, "access_rules");
        TRY(access_rules_write(c->cx, tx, a->id, w));
    }
    jw_obj_end(w);
    return NULL;
}

static struct err *token_roles(struct call *c, struct tx *tx, struct jw *w, const struct token *t)
{
    jw_karr(w, "roles");
    for (size_t i = 0; t->roles[i] && t->role_ids[i]; i++) {
        jw_obj(w);
        jw_kstr(w, "id", t->role_ids[i]);
        jw_kstr(w, "name", t->roles[i]);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    if (http_arg(c->rq, "nocatalog"))
        return NULL;
    jw_key(w, "catalog");
    return catalog_write(c->cx, tx, t->project_id, c->rq->base_url, w);
}

struct err *token_body(struct call *c, struct tx *tx, int status, const struct token *t)
{
    struct user *u = NULL;
    TRY(res_get(c->cx, tx, &user_resource, t->user_id, (void **)&u));
    struct jw w = call_json(c, status);
    jw_obj(&w);
    jw_kobj(&w, "token");
    token_people(c, &w, t, u);
    token_scope(&w, t);
    if (t->trust_id)
        token_trust(&w, t);
    if (t->credential_id)
        TRY(token_credential(c, tx, &w, t));
    if (t->roles && *t->roles)
        TRY(token_roles(c, tx, &w, t));
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}
