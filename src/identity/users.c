/* SPDX-License-Identifier: EUPL-1.2 */
/* Users. */
#include "identity/resources.h"

const struct stmt stmt_history_forget = {"password_history_forget",
                                         "DELETE FROM password_history WHERE user_id = $1"};

const struct res_where users_by_name = {&user_resource, "domain_id = $1 AND name = $2", NULL};

static void user_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    identity_self_link(w, cx, v, "users", ((const struct user *)row)->id);
}

static bool has_default_project(const void *row, const struct view *v UNUSED)
{
    return ((const struct user *)row)->default_project_id != NULL;
}

static bool has_description(const void *row, const struct view *v UNUSED)
{
    return ((const struct user *)row)->description != NULL;
}

/* Lists of methods, each list enough to log in: [["password", "totp"]]. */
static bool are_rules(const json_t *v)
{
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *rule = json_array_get(v, i);
        if (!json_is_array(rule) || !json_array_size(rule))
            return false;
        for (size_t k = 0; k < json_array_size(rule); k++)
            if (!json_is_string(json_array_get(rule, k)))
                return false;
    }
    return json_is_array(v);
}

static const char *check_user_options(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    static const char *const flags[] = {"ignore_change_password_upon_first_use",
                                        "ignore_password_expiry",
                                        "ignore_lockout_failure_attempts",
                                        "ignore_user_inactivity",
                                        "lock_password",
                                        "multi_factor_auth_enabled"};
    const char *key;
    json_t *value;
    if (!json_is_object(v))
        return arena_printf(cx->arena, "%s is not of type 'object'", json_python(cx, v));
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        bool rules = str_eq(key, "multi_factor_auth_rules"), flag = false;
        for (size_t i = 0; i < ARRAY_LEN(flags); i++)
            flag |= str_eq(key, flags[i]);
        if (!rules && !flag)
            return arena_printf(cx->arena, "'%s' is not an option", key);
        if (!json_is_null(value) && !(rules ? are_rules(value) : json_is_boolean(value)))
            return arena_printf(cx->arena, "%s is not what the option %s takes",
                                json_python(cx, value), key);
    }
    return NULL;
}

#define RESOURCE user
#define RESOURCE_DEF "identity/user.def"
#include "resource/declare_fields.h"

static const struct res_index indexes[] = {{"users_name", "domain_id, name", .unique = true}};
const struct resource user_resource = {.name = "user",
                                       .plural = "users",
                                       .table = "users",
                                       RESOURCE_FIELDS(user),
                                       .owner = -1,
                                       .time_style = TIME_MICROS,
                                       .extra = EXTRA_KEEP,
                                       .extra_member = user_f_extra,
                                       .dflt_sort = "name",
                                       .not_found = "Could not find user: %s.",
                                       .indexes = indexes,
                                       .n_indexes = ARRAY_LEN(indexes),
                                       .doc = "Someone who logs in."};

bool user_option(struct ctx *cx, const struct user *u, const char *name)
{
    json_t *options = NULL;
    return u->options && !json_read(cx, u->options, strlen(u->options), &options) &&
           json_get_bool(options, name, false);
}

/* "lt:2030-01-01T00:00:00Z": before; lte, gt, gte, eq, neq, and without one eq. */
static struct err *filter_expiry(struct call *c, const char *name, const char *value,
                                 bool *ret_taken, const char **ret_sql)
{
    static const char *const ops[][2] = {{"lt:", "<"},   {"lte:", "<="}, {"gt:", ">"},
                                         {"gte:", ">="}, {"eq:", "="},   {"neq:", "<>"}};
    const char *op = "=", *text = value;
    int64_t us;
    if (!str_eq(name, "password_expires_at"))
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (!str_starts(value, ops[i][0]))
            continue;
        op = ops[i][1];
        text = value + strlen(ops[i][0]);
    }
    if (!time_parse(text, &us))
        return fail(c->cx, ERR_INVALID,
                    "Invalid value for the filter password_expires_at: '%s' is not a date-time",
                    text);
    *ret_taken = true;
    *ret_sql = arena_printf(c->cx->arena, "password_expires_at %s %" PRId64, op, us);
    return NULL;
}

struct err *user_list(struct call *c)
{
    const struct list_more more = {.filter = filter_expiry};
    return call_reply_list(c, &user_resource, &more);
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

/* Where a token without a scope goes by itself: never to a domain. */
static struct err *check_default_project(struct call *c, const struct user *u)
{
    void *domain = NULL;
    if (u->default_project_id)
        TRY(res_get(c->cx, c->tx, &domain_resource, u->default_project_id, &domain));
    if (domain)
        return fail(c->cx, ERR_INVALID, "User's default project ID cannot be a domain ID: %s",
                    u->default_project_id);
    return NULL;
}

/* An administrator's choice, which the user may have to replace at once. */
static struct err *take_password(struct call *c, struct user *u, const char *hash)
{
    bool first = identity_settings()->change_password_upon_first_use &&
                 !user_option(c->cx, u, "ignore_change_password_upon_first_use");
    u->password_hash = hash;
    u->password_expires_at = first ? now_us(c->cx) : password_expiry(c->cx, u);
    return password_remember(c->cx, c->tx, u->id, hash);
}

struct err *user_create(struct call *c)
{
    struct user *u = c->body;
    TRY(identity_take_domain(c, &u->domain_id));
    TRY(name_is_free(c, u));
    TRY(check_default_project(c, u));
    u->id = uuid_new_hex(c->cx);
    u->options = merge_options(c->cx, "{}", u->options);
    u->failed_logins = 0;
    c->audit_target = u->id;
    if (c->state)
        TRY(take_password(c, u, c->state));
    TRY(res_insert(c->cx, c->tx, &user_resource, u));
    return call_reply_row(c, 201, &user_resource, u);
}

struct err *user_show(struct call *c)
{
    void *u;
    TRY(identity_self_or_admin(c));
    TRY(res_find(c->cx, c->tx, &user_resource, call_param(c, "user_id"), &u));
    return call_reply_row(c, 200, &user_resource, u);
}

struct err *user_update(struct call *c)
{
    struct user *u = c->body, *before = c->target;
    TRY(name_is_free(c, u));
    TRY(check_default_project(c, u));
    u->options = merge_options(c->cx, before->options, u->options);
    if (c->state)
        TRY(take_password(c, u, c->state));
    if (c->state || (before->enabled && !u->enabled))
        TRY(token_revoke(c->cx, c->tx, "user", u->id));
    TRY(res_update(c->cx, c->tx, &user_resource, u));
    return call_reply_row(c, 200, &user_resource, u);
}

struct err *user_remove(struct ctx *cx, struct tx *tx, struct user *u)
{
    TRY(grants_forget(cx, tx, "user", u->id));
    TRY(db_run(cx, tx, &stmt_history_forget, V_TEXT(u->id)));
    TRY(token_revoke(cx, tx, "user", u->id));
    return res_delete(cx, tx, &user_resource, u);
}

struct err *user_delete(struct call *c)
{
    TRY(user_remove(c->cx, c->tx, c->target));
    call_reply_empty(c, 204);
    return NULL;
}
