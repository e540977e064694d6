/* SPDX-License-Identifier: EUPL-1.2 */
/* Groups: what is granted to one is granted to each of its members, for as long as they are. */
#include "identity/resources.h"

const struct stmt stmt_member_add = {
    "member_add",
    "INSERT INTO group_members (group_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"};
const struct stmt stmt_member_check = {
    "member_check", "SELECT 1 FROM group_members WHERE group_id = $1 AND user_id = $2"};
const struct stmt stmt_member_remove = {
    "member_remove", "DELETE FROM group_members WHERE group_id = $1 AND user_id = $2"};
/* What one member ($2), or each ('') has through the group. */
const struct stmt stmt_revoke_members = {
    "revoke_members",
    "INSERT INTO revocations (subject, before, expires_at) SELECT DISTINCT CASE a.inherited WHEN 1 "
    "THEN 'below:' ELSE 'grant:' END || m.user_id || ':' || a.target_id, CAST($3 AS BIGINT), "
    "CAST($4 AS BIGINT) FROM role_assignments a JOIN group_members m ON m.group_id = a.actor_id "
    "WHERE a.actor_type = 'group' AND a.actor_id = $1 AND ($2 = '' OR m.user_id = $2) "
    "ON CONFLICT (subject) DO UPDATE SET before = excluded.before, expires_at = "
    "excluded.expires_at"};

static void group_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    identity_self_link(w, cx, v, "groups", ((const struct user_group *)row)->id);
}

#define RESOURCE user_group
#define RESOURCE_DEF "identity/user_group.def"
#include "resource/declare_fields.h"

static const struct res_index indexes[] = {{"user_groups_name", "domain_id, name", .unique = true}};
const struct resource user_group_resource = {.name = "group",
                                             .plural = "groups",
                                             .table = "user_groups",
                                             RESOURCE_FIELDS(user_group),
                                             .owner = -1,
                                             .extra = EXTRA_KEEP,
                                             .extra_member = user_group_f_extra,
                                             .dflt_sort = "name",
                                             .not_found = "Could not find group: %s.",
                                             .indexes = indexes,
                                             .n_indexes = ARRAY_LEN(indexes),
                                             .doc = "Users that are granted roles together."};
const struct res_where groups_by_name = {&user_group_resource, "domain_id = $1 AND name = $2",
                                         NULL};
const struct res_where groups_of_domain = {&user_group_resource, "domain_id = $1", "id"};

/* ---------------------------------------------------------------- groups */

struct err *user_group_list(struct call *c)
{
    return call_reply_list(c, &user_group_resource, NULL);
}

static struct err *name_is_free(struct call *c, const struct user_group *g)
{
    struct user_group *other = NULL;
    TRY(res_first_by(c->cx, c->tx, &groups_by_name, (void **)&other, V_TEXT(g->domain_id),
                     V_TEXT(g->name)));
    if (other && !str_eq(other->id, g->id))
        return fail(c->cx, ERR_EXISTS,
                    "Conflict occurred attempting to store group - Duplicate entry found with name "
                    "%s at domain ID %s.",
                    g->name, g->domain_id);
    return NULL;
}

struct err *user_group_create(struct call *c)
{
    struct user_group *g = c->body;
    TRY(identity_take_domain(c, &g->domain_id));
    TRY(name_is_free(c, g));
    g->id = uuid_new_hex(c->cx);
    c->audit_target = g->id;
    TRY(res_insert(c->cx, c->tx, &user_group_resource, g));
    return call_reply_row(c, 201, &user_group_resource, g);
}

struct err *user_group_show(struct call *c)
{
    return call_reply_row(c, 200, &user_group_resource, c->target);
}

struct err *user_group_update(struct call *c)
{
    TRY(name_is_free(c, c->body));
    TRY(res_update(c->cx, c->tx, &user_group_resource, c->body));
    return call_reply_row(c, 200, &user_group_resource, c->body);
}

static struct err *revoke_members(struct ctx *cx, struct tx *tx, const char *group_id,
                                  const char *user_id)
{
    int64_t now = now_us(cx);
    return db_run(cx, tx, &stmt_revoke_members, V_TEXT(group_id), V_TEXT(user_id), V_INT(now),
                  V_INT(now + identity_settings()->token_ttl_s * 1000000));
}

struct err *user_group_remove(struct ctx *cx, struct tx *tx, struct user_group *g)
{
    TRY(revoke_members(cx, tx, g->id, ""));
    TRY(grants_forget(cx, tx, "group", g->id));
    return res_delete(cx, tx, &user_group_resource, g);
}

struct err *user_group_delete(struct call *c)
{
    TRY(user_group_remove(c->cx, c->tx, c->target));
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- members */

struct err *group_users(struct call *c)
{
    const struct db_value id = V_TEXT(((struct user_group *)c->target)->id);
    const struct list_more more = {
        .where = "id IN (SELECT user_id FROM group_members WHERE group_id = $1)",
        .params = &id,
        .n_params = 1};
    return call_reply_list(c, &user_resource, &more);
}

struct err *groups_of_user(struct call *c)
{
    const struct db_value id = V_TEXT(call_param(c, "user_id"));
    const struct list_more more = {
        .where = "id IN (SELECT group_id FROM group_members WHERE user_id = $1)",
        .params = &id,
        .n_params = 1};
    void *user;
    TRY(identity_self_or_admin(c));
    TRY(res_find(c->cx, c->tx, &user_resource, call_param(c, "user_id"), &user));
    return call_reply_list(c, &user_group_resource, &more);
}

/* Both must exist. */
static struct err *member_of(struct call *c, const char **ret_group, const char **ret_user)
{
    void *row;
    *ret_group = call_param(c, "group_id");
    *ret_user = call_param(c, "user_id");
    TRY(res_find(c->cx, c->tx, &user_group_resource, *ret_group, &row));
    return res_find(c->cx, c->tx, &user_resource, *ret_user, &row);
}

struct err *member_add(struct call *c)
{
    const char *group, *user;
    TRY(member_of(c, &group, &user));
    TRY(db_run(c->cx, c->tx, &stmt_member_add, V_TEXT(group), V_TEXT(user)));
    call_reply_empty(c, 204);
    return NULL;
}

static struct err *must_be_in(struct call *c, const char *group, const char *user)
{
    struct db_rows rows;
    struct db_value params[] = {V_TEXT(group), V_TEXT(user)};
    TRY(db_query(c->cx, c->tx, &stmt_member_check, params, 2, &rows));
    if (!rows.n_rows)
        return fail(c->cx, ERR_NOT_FOUND, "User '%s' not found in group '%s'.", user, group);
    return NULL;
}

struct err *member_check(struct call *c)
{
    const char *group, *user;
    TRY(member_of(c, &group, &user));
    TRY(must_be_in(c, group, user));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *member_remove(struct call *c)
{
    const char *group, *user;
    TRY(member_of(c, &group, &user));
    TRY(must_be_in(c, group, user));
    TRY(revoke_members(c->cx, c->tx, group, user));
    TRY(db_run(c->cx, c->tx, &stmt_member_remove, V_TEXT(group), V_TEXT(user)));
    call_reply_empty(c, 204);
    return NULL;
}
