/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Application credentials: a user's way to let a program act in one project, with some of the
 * user's roles and without the user's password. What the user loses, the credential loses too:
 * roles are looked up at each log-in.
 */
#include "identity/resources.h"

const struct res_where app_credentials_by_name = {&application_credential_resource,
                                                  "user_id = $1 AND name = $2", NULL};

/* What .before made. */
struct secret {
    const char *text, *hash;
};

/* ---------------------------------------------------------------- fields */

static void app_credential_no_system(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                                     const struct view *v UNUSED)
{
    jw_null(w);
}

static const char *check_credential_roles(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    if (!json_is_array(v) || json_array_size(v) > 64)
        return arena_printf(cx->arena, "%s is not a list of at most 64 roles", json_python(cx, v));
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *role = json_array_get(v, i);
        if (!json_get_str(role, "id") && !json_get_str(role, "name"))
            return arena_printf(cx->arena, "%s is not {'id': …} or {'name': …}",
                                json_python(cx, role));
    }
    return NULL;
}

static const char *check_access_rules(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    if (!json_is_array(v) || json_array_size(v) > 64)
        return arena_printf(cx->arena, "%s is not a list of at most 64 access rules",
                            json_python(cx, v));
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!json_is_object(json_array_get(v, i)))
            return arena_printf(cx->arena, "%s is not of type 'object'",
                                json_python(cx, json_array_get(v, i)));
    return NULL;
}

#define RESOURCE application_credential
#define RESOURCE_DEF "identity/application_credential.def"
#include "resource/declare_fields.h"

/* Its secret too, in the answer to its creation. */
static void app_credential_more(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    const struct application_credential *a = row;
    if (a->row.extra)
        jw_kraw(w, "access_rules", a->row.extra);
    if (a->secret)
        jw_kstr(w, "secret", a->secret);
    identity_links(w, cx, v,
                   arena_printf(cx->arena, "users/%s/application_credentials", a->user_id), a->id);
}

/* The rules of those that have some. */
static struct err *app_credential_prepare(struct ctx *cx, struct tx *tx, void *const *rows,
                                          size_t n, const struct view *v UNUSED)
{
    for (size_t i = 0; i < n; i++) {
        struct application_credential *a = rows[i];
        struct buf b;
        struct jw w;
        if (!a->limited)
            continue;
        buf_init(&b, cx->arena);
        jw_init(&w, &b);
        TRY(access_rules_write(cx, tx, a->id, &w));
        a->row.extra = (void *)(uintptr_t)buf_cstr(&b);
    }
    return NULL;
}

static const struct res_index indexes[] = {
    {"application_credentials_name", "user_id, name", .unique = true},
    {"application_credentials_project", "project_id"}};
const struct resource application_credential_resource = {
    .name = "application_credential",
    .plural = "application_credentials",
    .table = "application_credentials",
    RESOURCE_FIELDS(application_credential),
    .owner = -1,
    .time_style = TIME_MICROS,
    .extra = EXTRA_IGNORE,
    .dflt_sort = "name",
    .not_found = "Could not find Application Credential: %s.",
    .indexes = indexes,
    .n_indexes = ARRAY_LEN(indexes),
    .prepare = app_credential_prepare,
    .encode_more = app_credential_more,
    .doc = "A program's way to act for a user in a project."};

/* ---------------------------------------------------------------- who may */

/* A program with a restricted credential, or with somebody else's trust, can't outlive it by making
 * another. */
static struct err *may_change(struct call *c)
{
    const struct token *t = c->actor->more;
    if (t && t->trust_id)
        return identity_forbidden(c);
    if (t && t->credential_id && !t->credential_unrestricted)
        return fail(
            c->cx, ERR_FORBIDDEN,
            "A restricted application credential can't make or delete application credentials: "
            "log in with a password, or use an unrestricted one");
    return NULL;
}

static struct err *find(struct call *c, struct application_credential **ret)
{
    const char *id = call_param(c, "application_credential_id");
    TRY(res_find(c->cx, c->tx, &application_credential_resource, id, (void **)ret));
    if (!str_eq((*ret)->user_id, call_param(c, "user_id")))
        return res_not_found(c->cx, &application_credential_resource, id);
    return NULL;
}

/* ---------------------------------------------------------------- handlers */

struct err *app_credential_secret(struct call *c)
{
    struct secret *s = arena_new_of(c->cx->arena, struct secret);
    uint8_t raw[64];
    s->text = json_get_str(json_get(c->json, "application_credential"), "secret");
    if (!s->text) {
        rng_bytes(rng_system(), raw, sizeof(raw));
        s->text = base64url_encode(c->cx, raw, sizeof(raw));
        secret_wipe(raw, sizeof(raw));
    }
    TRY(password_hash(c->cx, s->text, &s->hash));
    c->state = s;
    return NULL;
}

static struct err *add_role(struct call *c, json_t *list, const char *id)
{
    struct role *r = NULL;
    TRY(res_find(c->cx, c->tx, &role_resource, id, (void **)&r));
    json_array_append_new(list, json_pack("{s:s, s:s, s:s?, s:s?, s:{}}", "id", r->id, "name",
                                          r->name, "domain_id", r->domain_id, "description",
                                          r->description, "options"));
    return NULL;
}

/* The roles asked for must be the user's in the project; none asked for: the token's. */
static struct err *take_roles(struct call *c, struct application_credential *a)
{
    const struct token *t = c->actor->more;
    struct role_set wanted, has;
    json_t *list = json_own(c->cx, json_array());
    TRY(roles_read(c->cx, a->roles, &wanted));
    TRY(roles_of(c->cx, c->tx, c->actor->user_id, "project", c->actor->project_id, &has));
    for (size_t i = 0; i < wanted.n; i++) {
        size_t k = 0;
        while (k < has.n && !(wanted.ids[i] ? str_eq(has.ids[k], wanted.ids[i])
                                            : str_eq(has.names[k], wanted.names[i])))
            k++;
        if (k == has.n)
            return fail(
                c->cx, ERR_INVALID,
                "Invalid application credential: the user has no such role in the project: %s",
                wanted.ids[i] ? wanted.ids[i] : wanted.names[i]);
        TRY(add_role(c, list, has.ids[k]));
    }
    for (size_t i = 0; !wanted.n && t->roles[i] && t->role_ids[i]; i++)
        TRY(add_role(c, list, t->role_ids[i]));
    a->roles = json_text(c->cx, list);
    return NULL;
}

struct err *app_credential_create(struct call *c)
{
    struct application_credential *a = c->body, *other = NULL;
    const struct secret *s = c->state;
    if (!str_eq(c->actor->user_id, call_param(c, "user_id")))
        return identity_forbidden(c);
    TRY(may_change(c));
    if (!c->actor->project_id || !c->actor->more)
        return fail(c->cx, ERR_FORBIDDEN,
                    "An application credential is made with a token of the project that it is for");
    TRY(res_first_by(c->cx, c->tx, &app_credentials_by_name, (void **)&other,
                     V_TEXT(c->actor->user_id), V_TEXT(a->name)));
    if (other)
        return fail(
            c->cx, ERR_EXISTS,
            "Conflict occurred attempting to store application_credential - Duplicate entry found "
            "with name %s.",
            a->name);
    if (a->expires_at && a->expires_at <= now_us(c->cx))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field 'expires_at': it has passed already");
    TRY(take_roles(c, a));
    a->id = uuid_new_hex(c->cx);
    a->user_id = c->actor->user_id;
    a->project_id = c->actor->project_id;
    a->secret = s->text;
    a->secret_hash = s->hash;
    const json_t *rules = json_get(json_get(c->json, "application_credential"), "access_rules");
    a->limited = json_array_size(rules) > 0;
    c->audit_target = a->id;
    TRY(res_insert(c->cx, c->tx, &application_credential_resource, a));
    TRY(access_rules_take(c, a->id, a->user_id, rules));
    return call_reply_row(c, 201, &application_credential_resource, a);
}

struct err *app_credential_list(struct call *c)
{
    const struct db_value user = V_TEXT(call_param(c, "user_id"));
    const struct list_more more = {.where = "user_id = $1", .params = &user, .n_params = 1};
    TRY(identity_self_or_admin(c));
    return call_reply_list(c, &application_credential_resource, &more);
}

struct err *app_credential_show(struct call *c)
{
    struct application_credential *a;
    TRY(identity_self_or_admin(c));
    TRY(find(c, &a));
    return call_reply_row(c, 200, &application_credential_resource, a);
}

struct err *app_credential_delete(struct call *c)
{
    struct application_credential *a;
    TRY(identity_self_or_admin(c));
    TRY(may_change(c));
    TRY(find(c, &a));
    TRY(token_revoke(c->cx, c->tx, "credential", a->id));
    TRY(res_delete(c->cx, c->tx, &application_credential_resource, a));
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- logging in */

struct err *app_credential_login(struct ctx *cx, struct store *s, const json_t *given,
                                 struct user **ret, struct application_credential **ret_credential)
{
    const char *id = json_get_str(given, "id"), *name = json_get_str(given, "name"),
               *secret = json_get_str(given, "secret");
    struct application_credential *a = NULL;
    struct user *u = NULL;
    if (!secret || !(id || name))
        return fail(
            cx, ERR_INVALID,
            "Expecting to find id or name, and secret, in application_credential. The server could "
            "not comply with the request since it is either malformed or otherwise incorrect. The "
            "client is assumed to be in error.");
    {
        AUTO_TXN struct tx *tx = NULL;
        TRY(tx_read(cx, s, &tx));
        if (!id)
            TRY(password_find_user(cx, tx, json_get(given, "user"), &u));
        if (id)
            TRY(res_get(cx, tx, &application_credential_resource, id, (void **)&a));
        else if (u)
            TRY(res_first_by(cx, tx, &app_credentials_by_name, (void **)&a, V_TEXT(u->id),
                             V_TEXT(name)));
        if (a)
            TRY(res_get(cx, tx, &user_resource, a->user_id, (void **)&u));
    }
    if (!a)
        password_waste_time();
    if (!a || !password_matches(a->secret_hash, secret) ||
        (a->expires_at && now_us(cx) >= a->expires_at) || !u || !u->enabled)
        return fail(cx, ERR_UNAUTHENTICATED, "The request you have made requires authentication.");
    *ret = u;
    *ret_credential = a;
    return NULL;
}
