/* SPDX-License-Identifier: EUPL-1.2 */
/* os-server-groups: groups, their policy, their members. What a policy means for placement is
 * placement.c's and schedule/'s. */
#include "compute/impl.h"

#define PAGE_MAX 1000

static const char *const group_policies[] = {"anti-affinity", "affinity", "soft-anti-affinity",
                                             "soft-affinity", NULL};

static const char *check_policies(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    const char *first = json_string_value(json_array_get(v, 0));
    if (!json_is_array(v))
        return arena_printf(cx->arena, "%s is not of type 'array'", json_python(cx, v));
    if (json_array_size(v) < 1)
        return arena_printf(cx->arena, "%s is too short", json_python(cx, v));
    if (json_array_size(v) > 1)
        return arena_printf(cx->arena, "%s is too long", json_python(cx, v));
    return str_in(first, group_policies) ? NULL
                                         : arena_printf(cx->arena, "%s is not one of the policies",
                                                        json_python(cx, json_array_get(v, 0)));
}

static const char *check_rules(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    const char *key;
    json_t *value;
    int64_t n;
    if (!json_is_object(v))
        return arena_printf(cx->arena, "%s is not of type 'object'", json_python(cx, v));
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        if (!str_eq(key, "max_server_per_host"))
            return arena_printf(cx->arena,
                                "Additional properties are not allowed ('%s' was unexpected)", key);
        if (!(json_is_integer(value) && json_integer_value(value) >= 1) &&
            !str_to_i64(json_string_value(value), 1, INT32_MAX, &n))
            return arena_printf(cx->arena, "%s is no number from 1 on", json_python(cx, value));
    }
    return NULL;
}

static void encode_policies(struct ctx *cx UNUSED, struct jw *w, const void *row,
                            const struct view *v)
{
    const struct server_group *g = row;
    jw_arr(w);
    if (v->microversion >= 15 || !str_starts(g->policy, "soft-"))
        jw_str(w, g->policy);
    jw_arr_end(w);
}

static void encode_rules(struct ctx *cx UNUSED, struct jw *w, const void *row,
                         const struct view *v UNUSED)
{
    const struct server_group *g = row;
    jw_obj(w);
    if (g->max_per_host != INT_NULL)
        jw_kint(w, "max_server_per_host", g->max_per_host);
    jw_obj_end(w);
}

static void encode_no_metadata(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                               const struct view *v UNUSED)
{
    jw_raw(w, "{}");
}

/* row.extra is the result of stmt_group_members. */
static void encode_members(struct ctx *cx UNUSED, struct jw *w, const void *row,
                           const struct view *v UNUSED)
{
    const struct db_rows *members = ((const struct server_group *)row)->row.extra;
    jw_arr(w);
    for (size_t i = 0; members && i < members->n_rows; i++)
        jw_str(w, db_text(members, i, 0));
    jw_arr_end(w);
}

static struct err *prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v UNUSED)
{
    for (size_t i = 0; i < n; i++) {
        struct server_group *g = rows[i];
        struct db_value id = V_TEXT(g->id);
        g->row.extra = arena_new_of(cx->arena, struct db_rows);
        TRY(db_query(cx, tx, &stmt_group_members, &id, 1, g->row.extra));
    }
    return NULL;
}

#define RESOURCE server_group
#define RESOURCE_DEF "compute/server_group.def"
#include "resource/declare_fields.h"
#define RESOURCE server_group_member
#define RESOURCE_DEF "compute/server_group_member.def"
#include "resource/declare_fields.h"

static const struct res_index group_indexes[] = {
    {"server_groups_project", "project_id, created_at", false, NULL}};
const struct resource server_group_resource = {.name = "server_group",
                                               .plural = "server_groups",
                                               .table = "server_groups",
                                               RESOURCE_FIELDS(server_group),
                                               .owner = server_group_f_project_id,
                                               .not_found = "Instance group %s could not be found.",
                                               .indexes = group_indexes,
                                               .n_indexes = ARRAY_LEN(group_indexes),
                                               .prepare = prepare,
                                               .doc = "Servers that share a host, or don't."};
static const struct res_index member_indexes[] = {
    {"server_group_members_group", "group_id", false, NULL}};
const struct resource server_group_member_resource = {.name = "server_group_member",
                                                      .plural = "server_group_members",
                                                      .table = "server_group_members",
                                                      RESOURCE_FIELDS(server_group_member),
                                                      .owner = -1,
                                                      .key = "server_id",
                                                      .indexes = member_indexes,
                                                      .n_indexes = ARRAY_LEN(member_indexes),
                                                      .doc = "Which server is of which group."};

const struct res_where groups_of_project = {&server_group_resource, "project_id = $1",
                                            "created_at, id"};
const struct res_where groups_all = {&server_group_resource, "1 = 1", "created_at, id"};
const struct stmt stmt_use_server_groups = {
    "use_server_groups", "SELECT COUNT(*) FROM server_groups WHERE project_id = $1"};
const struct stmt stmt_group_members = {
    "group_members", "SELECT m.server_id FROM server_group_members m JOIN servers s ON s.id = "
                     "m.server_id WHERE m.group_id = $1 ORDER BY s.created_at, s.id"};
const struct stmt stmt_group_of_server = {
    "group_of_server", "SELECT group_id FROM server_group_members WHERE server_id = $1"};

/* ---------------------------------------------------------------- for servers */

struct err *server_group_of(struct ctx *cx, struct tx *tx, const char *server_id,
                            const char **ret_group_id)
{
    struct db_value id = V_TEXT(server_id);
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_group_of_server, &id, 1, &rows));
    *ret_group_id = rows.n_rows ? db_text(&rows, 0, 0) : NULL;
    return NULL;
}

struct err *server_group_check(struct call *c, const char *group_id, int64_t more)
{
    int64_t limit;
    void *row = NULL;
    struct db_rows members;
    struct db_value id = V_TEXT(group_id);
    struct err *e =
        res_find_visible(c->cx, c->tx, &server_group_resource, group_id, c->actor, &row);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_INVALID, "Instance group %s could not be found.", group_id);
    TRY(e);
    TRY(quota_limit(c->cx, c->tx, c->service, "server_group_members", c->actor->project_id,
                    &limit));
    TRY(db_query(c->cx, c->tx, &stmt_group_members, &id, 1, &members));
    if (limit >= 0 && (int64_t)members.n_rows + more > limit)
        return fail(c->cx, ERR_QUOTA, "Quota exceeded, too many servers in group");
    return NULL;
}

struct err *server_group_join(struct ctx *cx, struct tx *tx, const char *group_id,
                              const char *server_id)
{
    struct server_group_member *m = res_new(cx, &server_group_member_resource);
    m->group_id = group_id;
    m->server_id = server_id;
    return res_insert(cx, tx, &server_group_member_resource, m);
}

/* ---------------------------------------------------------------- the API */

static struct err *read_number(struct call *c, const char *name, int64_t *ret)
{
    const char *text = http_arg(c->rq, name);
    if (text && !str_to_i64(text, 0, INT32_MAX, ret))
        return fail(
            c->cx, ERR_INVALID,
            "Invalid input for query parameters %s. Value: %s. '%s' does not match '^[0-9]*$'",
            name, text, text);
    return NULL;
}

/* A page is a limit and an offset here, unlike everywhere else. */
struct err *server_group_list(struct call *c)
{
    void **rows;
    size_t n;
    int64_t limit = PAGE_MAX, offset = 0;
    bool all = c->actor->admin && http_arg(c->rq, "all_projects");
    const struct db_value project = V_TEXT(c->actor->project_id ? c->actor->project_id : "");
    TRY(read_number(c, "limit", &limit));
    TRY(read_number(c, "offset", &offset));
    TRY(res_select(c->cx, c->tx, all ? &groups_all : &groups_of_project, &project, !all, &rows,
                   &n));
    size_t from = (size_t)min_i64(offset, (int64_t)n);
    size_t count =
        (size_t)min_i64(limit ? min_i64(limit, PAGE_MAX) : PAGE_MAX, (int64_t)(n - from));
    const struct view v = call_view(c);
    TRY(res_prepare(c->cx, c->tx, &server_group_resource, rows + from, count, &v));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "server_groups");
    for (size_t i = 0; i < count; i++)
        res_encode(c->cx, &w, &server_group_resource, rows[from + i], &v);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *take_policy(struct call *c, struct server_group *g)
{
    json_t *j = NULL;
    if (c->microversion >= 64)
        return NULL;
    TRY(json_read(c->cx, g->policies, strlen(g->policies), &j));
    g->policy = arena_strdup(c->cx->arena, json_string_value(json_array_get(j, 0)));
    if (c->microversion < 15 && str_starts(g->policy, "soft-"))
        return bad_member(c, "0", json_array_get(j, 0),
                          arena_printf(c->cx->arena,
                                       "'%s' is not one of ['anti-affinity', 'affinity']",
                                       g->policy));
    return NULL;
}

static struct err *take_rules(struct call *c, struct server_group *g)
{
    json_t *j = NULL;
    g->max_per_host = INT_NULL;
    if (!g->rules)
        return NULL;
    TRY(json_read(c->cx, g->rules, strlen(g->rules), &j));
    const json_t *n = json_get(j, "max_server_per_host");
    if (json_object_size(j) && !str_eq(g->policy, "anti-affinity"))
        return fail(c->cx, ERR_INVALID, "Only anti-affinity policy supports rules.");
    if (json_is_integer(n))
        g->max_per_host = json_integer_value(n);
    else if (n)
        must(str_to_i64(json_string_value(n), 1, INT32_MAX, &g->max_per_host));
    return NULL;
}

struct err *server_group_create(struct call *c)
{
    struct server_group *g = c->body;
    TRY(take_policy(c, g));
    TRY(take_rules(c, g));
    struct err *e = quota_check(c->cx, c->tx, c->service, "server_groups", c->actor->project_id, 1);
    if (e && e->kind == ERR_QUOTA)
        return fail(c->cx, ERR_QUOTA, "Quota exceeded, too many server groups.");
    TRY(e);
    g->id = uuid_new(c->cx);
    g->project_id = c->actor->project_id;
    g->user_id = c->actor->user_id;
    c->audit_target = g->id;
    TRY(res_insert(c->cx, c->tx, &server_group_resource, g));
    return call_reply_row(c, 200, &server_group_resource, g);
}

struct err *server_group_show(struct call *c)
{
    return call_reply_row(c, 200, &server_group_resource, c->target);
}

/* Its servers stay where they are, bound by nothing from now on. */
struct err *server_group_delete(struct call *c)
{
    TRY(res_delete(c->cx, c->tx, &server_group_resource, c->target));
    call_reply_empty(c, 204);
    return NULL;
}
