/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Trusts: a user (the trustor) hands some roles in a project on to another (the trustee), who logs
 * in with them under the own name or (impersonation) the trustor's. What the trustor loses, the
 * trust loses too. A trust may be handed on in turn, with less and for less long.
 */
#include "identity/resources.h"

#define REDELEGATION_MAX 3
#define ROLES_MAX 64

const struct stmt stmt_trust_use = {
    "trust_use", "UPDATE trusts SET remaining_uses = remaining_uses - 1, generation = generation + "
                 "1 WHERE id = $1 AND remaining_uses > 0"};
/* With those that were made from it. */
const struct stmt stmt_revoke_trust = {
    "revoke_trust",
    "WITH RECURSIVE down(id) AS (SELECT CAST($1 AS TEXT) UNION SELECT t.id FROM trusts t JOIN down "
    "d ON t.redelegated_trust_id = d.id) INSERT INTO revocations (subject, before, expires_at) "
    "SELECT 'trust:' || id, CAST($2 AS BIGINT), CAST($3 AS BIGINT) FROM down WHERE 1 = 1 "
    "ON CONFLICT (subject) DO UPDATE SET before = excluded.before, expires_at = "
    "excluded.expires_at"};

/* ---------------------------------------------------------------- fields */

static const char *check_role_list(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    if (!json_is_array(v) || json_array_size(v) > ROLES_MAX)
        return arena_printf(cx->arena, "%s is not a list of at most %d roles", json_python(cx, v),
                            ROLES_MAX);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *role = json_array_get(v, i);
        if (!json_get_str(role, "id") && !json_get_str(role, "name"))
            return arena_printf(cx->arena, "%s is not {'id': …} or {'name': …}",
                                json_python(cx, role));
    }
    return NULL;
}

static void trust_not_deleted(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                              const struct view *v UNUSED)
{
    jw_null(w);
}

static void trust_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    identity_self_link(w, cx, v, "OS-TRUST/trusts", ((const struct trust *)row)->id);
}

static void trust_roles_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    jw_obj(w);
    jw_kstr(w, "self",
            arena_printf(cx->arena, "%s/OS-TRUST/trusts/%s/roles", v->base_url,
                         ((const struct trust *)row)->id));
    jw_knull(w, "previous");
    jw_knull(w, "next");
    jw_obj_end(w);
}

/* row.extra of a trust that is shown whole: the rows of its roles. */
struct trust_more {
    void **roles;
    size_t n;
};

/* Lists are without roles. */
static bool trust_is_whole(const void *row, const struct view *v UNUSED)
{
    return ((const struct trust *)row)->row.extra != NULL;
}

static void trust_roles(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    const struct trust_more *more = ((const struct trust *)row)->row.extra;
    jw_arr(w);
    for (size_t i = 0; i < more->n; i++)
        res_encode(cx, w, &role_resource, more->roles[i], v);
    jw_arr_end(w);
}

#define RESOURCE trust
#define RESOURCE_DEF "identity/trust.def"
#include "resource/declare_fields.h"

static const struct res_index indexes[] = {{"trusts_trustor", "trustor_user_id"},
                                           {"trusts_trustee", "trustee_user_id"},
                                           {"trusts_project", "project_id"},
                                           {"trusts_redelegated", "redelegated_trust_id"}};
const struct resource trust_resource = {.name = "trust",
                                        .plural = "trusts",
                                        .table = "trusts",
                                        RESOURCE_FIELDS(trust),
                                        .owner = -1,
                                        .time_style = TIME_MICROS_Z,
                                        .extra = EXTRA_IGNORE,
                                        .dflt_sort = "id",
                                        .not_found = "Could not find trust: %s.",
                                        .indexes = indexes,
                                        .n_indexes = ARRAY_LEN(indexes),
                                        .doc = "Roles that one user hands on to another."};

/* ---------------------------------------------------------------- finding one */

struct err *trust_find(struct ctx *cx, struct tx *tx, const char *id, struct trust **ret)
{
    struct trust *t = NULL;
    TRY(res_find(cx, tx, &trust_resource, id, (void **)&t));
    if ((t->expires_at && now_us(cx) >= t->expires_at) || t->remaining_uses == 0)
        return res_not_found(cx, &trust_resource, id);
    *ret = t;
    return NULL;
}

struct err *trust_holder(struct ctx *cx, struct tx *tx, const struct trust *t, const char **ret)
{
    const struct trust *root = t;
    for (int i = 0; root->redelegated_trust_id && i <= REDELEGATION_MAX; i++) {
        struct trust *up = NULL;
        TRY(res_find(cx, tx, &trust_resource, root->redelegated_trust_id, (void **)&up));
        root = up;
    }
    *ret = root->trustor_user_id;
    return NULL;
}

/* Of the path; a stranger's looks like one that is not there. */
static struct err *find_visible(struct call *c, bool trustee_too, struct trust **ret)
{
    const char *id = call_param(c, "trust_id"), *me = c->actor->user_id;
    struct trust *t;
    TRY(trust_find(c->cx, c->tx, id, &t));
    bool trustor = str_eq(t->trustor_user_id, me), trustee = str_eq(t->trustee_user_id, me);
    if (!c->actor->admin && !trustor && !trustee)
        return res_not_found(c->cx, &trust_resource, id);
    if (!c->actor->admin && !trustor && !trustee_too)
        return identity_forbidden(c);
    *ret = t;
    return NULL;
}

static struct err *load_roles(struct call *c, struct trust *t)
{
    struct trust_more *more = arena_new_of(c->cx->arena, struct trust_more);
    struct role_set roles;
    TRY(roles_read(c->cx, t->roles, &roles));
    more->roles = arena_new_array(c->cx->arena, void *, roles.n + 1);
    for (size_t i = 0; i < roles.n; i++) {
        void *row = NULL;
        TRY(res_get(c->cx, c->tx, &role_resource, roles.ids[i], &row));
        if (row) /* a role that is gone is handed on no more */
            more->roles[more->n++] = row;
    }
    t->row.extra = more;
    return NULL;
}

/* ---------------------------------------------------------------- making one */

/* The roles asked for, as [{"id", "name"}]: the holder must have them there. */
static struct err *take_roles(struct call *c, struct trust *t, const char *holder)
{
    struct role_set wanted, has;
    json_t *list = json_own(c->cx, json_array());
    TRY(roles_read(c->cx, t->roles, &wanted));
    if (!t->project_id) {
        t->roles = "[]";
        return NULL;
    }
    if (!wanted.n)
        return fail(c->cx, ERR_FORBIDDEN,
                    "You are not authorized to perform the requested action: At least one role "
                    "should be specified.");
    TRY(roles_of(c->cx, c->tx, holder, "project", t->project_id, &has));
    for (size_t i = 0; i < wanted.n; i++) {
        size_t k = 0;
        while (k < has.n && !(wanted.ids[i] ? str_eq(has.ids[k], wanted.ids[i])
                                            : str_eq(has.names[k], wanted.names[i])))
            k++;
        if (k == has.n)
            return res_not_found(c->cx, &role_resource,
                                 wanted.ids[i] ? wanted.ids[i] : wanted.names[i]);
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "id", has.ids[k], "name", has.names[k]));
    }
    t->roles = json_text(c->cx, list);
    return NULL;
}

static struct err *forbid(struct call *c, const char *why)
{
    return fail(c->cx, ERR_FORBIDDEN, "%s", why);
}

static bool is_part_of(struct ctx *cx, const char *roles, const char *of)
{
    struct role_set a, b;
    if (roles_read(cx, roles, &a) || roles_read(cx, of, &b))
        return false;
    for (size_t i = 0; i < a.n; i++) {
        size_t k = 0;
        while (k < b.n && !str_eq(a.ids[i], b.ids[k]))
            k++;
        if (k == b.n)
            return false;
    }
    return true;
}

/* A trust made with the token of another gives no more than that. */
static struct err *within(struct call *c, struct trust *t, const struct trust *from)
{
    if (from->redelegation_count == INT_NULL || from->redelegation_count <= 0)
        return forbid(c, "The trust does not allow its roles to be handed on");
    if (t->remaining_uses != INT_NULL)
        return forbid(c, "Field \"remaining_uses\" must not be set in order to redelegate a trust");
    if (from->expires_at && t->expires_at > from->expires_at)
        return forbid(c, "Requested expiration time is more than redelegated trust can provide");
    if (!str_eq(t->project_id, from->project_id) || !is_part_of(c->cx, t->roles, from->roles))
        return forbid(c, "Some of requested roles are not in redelegated trust");
    if (t->impersonation && !from->impersonation)
        return forbid(c, "Impersonation is not allowed because redelegated trust does not specify "
                         "impersonation. Redelegated trust id: the token's");
    if (row_given(&t->row, trust_f_redelegation_count) && t->redelegation_count > 0 &&
        t->redelegation_count != from->redelegation_count - 1)
        return forbid(c, "Modifying \"redelegation_count\" upon redelegation is forbidden. "
                         "Omitting this parameter is advised.");
    t->redelegated_trust_id = from->id;
    t->expires_at = t->expires_at ? t->expires_at : from->expires_at;
    return NULL;
}

/* How often it may be handed on. */
static struct err *take_depth(struct call *c, struct trust *t, const struct trust *from)
{
    bool given = t->redelegation_count != INT_NULL;
    if (!t->allow_redelegation || (given && t->redelegation_count == 0)) {
        t->redelegation_count = 0;
        return NULL;
    }
    if (given && t->redelegation_count > REDELEGATION_MAX)
        return forbid(c, "Requested redelegation depth is greater than allowed: 3");
    if (t->remaining_uses != INT_NULL)
        return fail(c->cx, ERR_INVALID,
                    "remaining_uses must not be set if redelegation is allowed");
    if (!given)
        t->redelegation_count = from ? from->redelegation_count - 1 : REDELEGATION_MAX;
    return NULL;
}

static struct err *may_create(struct call *c, const struct trust *t, struct trust **ret_from)
{
    const struct token *token = c->actor->more;
    if (!token || (token->credential_id && !token->credential_unrestricted))
        return identity_forbidden(c);
    if (!str_eq(c->actor->user_id, t->trustor_user_id))
        return forbid(c, "You are not authorized to perform the requested action: The "
                         "authenticated user should match the trustor.");
    *ret_from = NULL;
    return token->trust_id ? trust_find(c->cx, c->tx, token->trust_id, ret_from) : NULL;
}

struct err *trust_create(struct call *c)
{
    struct trust *t = c->body, *from = NULL;
    const char *holder = t->trustor_user_id;
    void *row;
    TRY(may_create(c, t, &from));
    TRY(res_find(c->cx, c->tx, &user_resource, t->trustee_user_id, &row));
    if (t->project_id)
        TRY(res_find(c->cx, c->tx, &project_resource, t->project_id, &row));
    if (t->expires_at && t->expires_at <= now_us(c->cx))
        return fail(c->cx, ERR_INVALID, "The 'expires_at' must not be before now.");
    if (from)
        TRY(trust_holder(c->cx, c->tx, from, &holder));
    TRY(take_roles(c, t, holder));
    if (from)
        TRY(within(c, t, from));
    TRY(take_depth(c, t, from));
    t->id = uuid_new_hex(c->cx);
    c->audit_target = t->id;
    TRY(res_insert(c->cx, c->tx, &trust_resource, t));
    TRY(load_roles(c, t));
    return call_reply_row(c, 201, &trust_resource, t);
}

/* ---------------------------------------------------------------- seeing and ending them */

/* Those that one gave or was given; all are for administrators. */
struct err *trust_list(struct call *c)
{
    const struct db_value me = V_TEXT(c->actor->user_id);
    const struct list_more own = {
        .where = "trustor_user_id = $1 OR trustee_user_id = $1", .params = &me, .n_params = 1};
    return call_reply_list(c, &trust_resource, c->actor->admin ? NULL : &own);
}

struct err *trust_show(struct call *c)
{
    struct trust *t;
    TRY(find_visible(c, true, &t));
    TRY(load_roles(c, t));
    return call_reply_row(c, 200, &trust_resource, t);
}

/* By the token of a trust only what was made from that. */
static struct err *may_end(struct call *c, const struct trust *t)
{
    const struct token *token = c->actor->more;
    if (token && token->trust_id && str_eq(t->redelegated_trust_id, token->trust_id))
        return NULL;
    return identity_not_delegated(c);
}

struct err *trust_delete(struct call *c)
{
    struct trust *t;
    int64_t now = now_us(c->cx);
    TRY(find_visible(c, false, &t));
    TRY(may_end(c, t));
    TRY(db_run(c->cx, c->tx, &stmt_revoke_trust, V_TEXT(t->id), V_INT(now),
               V_INT(now + identity_settings()->token_ttl_s * 1000000)));
    TRY(res_delete(c->cx, c->tx, &trust_resource, t));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *trust_role_list(struct call *c)
{
    struct trust *t;
    struct view v = call_view(c);
    TRY(find_visible(c, true, &t));
    TRY(load_roles(c, t));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "roles");
    trust_roles(c->cx, &w, t, &v);
    identity_page_links(c, &w);
    jw_obj_end(&w);
    return NULL;
}

struct err *trust_role_show(struct call *c)
{
    struct trust *t;
    const char *id = call_param(c, "role_id");
    TRY(find_visible(c, true, &t));
    TRY(load_roles(c, t));
    const struct trust_more *more = t->row.extra;
    for (size_t i = 0; i < more->n; i++)
        if (str_eq(ROW(role, more->roles, i)->id, id))
            return call_reply_row(c, 200, &role_resource, more->roles[i]);
    return res_not_found(c->cx, &role_resource, id);
}
