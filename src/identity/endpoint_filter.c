/* SPDX-License-Identifier: EUPL-1.2 */
/* Endpoints and groups of endpoints that are chosen for a project: its catalogue then has these
 * alone (catalog.c). A project that nothing is chosen for has all. */
#include "identity/resources.h"

const struct stmt stmt_project_endpoint_has = {
    "project_endpoint_has",
    "SELECT 1 FROM project_endpoints WHERE project_id = $1 AND endpoint_id = $2"};
const struct stmt stmt_project_endpoint_add = {
    "project_endpoint_add", "INSERT INTO project_endpoints (project_id, endpoint_id) VALUES ($1, "
                            "$2) ON CONFLICT DO NOTHING"};
const struct stmt stmt_project_endpoint_remove = {
    "project_endpoint_remove",
    "DELETE FROM project_endpoints WHERE project_id = $1 AND endpoint_id = $2"};
const struct stmt stmt_project_group_has = {
    "project_group_has",
    "SELECT 1 FROM project_endpoint_groups WHERE project_id = $1 AND group_id = $2"};
const struct stmt stmt_project_group_add = {
    "project_group_add", "INSERT INTO project_endpoint_groups (project_id, group_id) VALUES ($1, "
                         "$2) ON CONFLICT DO NOTHING"};
const struct stmt stmt_project_group_remove = {
    "project_group_remove",
    "DELETE FROM project_endpoint_groups WHERE project_id = $1 AND group_id = $2"};

static const char *check_filters(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    const char *key;
    json_t *value;
    if (!json_is_object(v) || !json_object_size(v))
        return "filters field is required and cannot be empty";
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        if (!str_eq(key, "service_id") && !str_eq(key, "region_id") && !str_eq(key, "interface"))
            return arena_printf(cx->arena, "'%s' is neither service_id nor region_id nor interface",
                                key);
        if (!json_is_string(value))
            return arena_printf(cx->arena, "%s is not of type 'string'", json_python(cx, value));
    }
    return NULL;
}

static void endpoint_group_links(struct ctx *cx, struct jw *w, const void *row,
                                 const struct view *v)
{
    identity_self_link(w, cx, v, "OS-EP-FILTER/endpoint_groups",
                       ((const struct endpoint_group *)row)->id);
}

#define RESOURCE endpoint_group
#define RESOURCE_DEF "identity/endpoint_group.def"
#include "resource/declare_fields.h"

const struct resource endpoint_group_resource = {.name = "endpoint_group",
                                                 .plural = "endpoint_groups",
                                                 .table = "endpoint_groups",
                                                 RESOURCE_FIELDS(endpoint_group),
                                                 .owner = -1,
                                                 .extra = EXTRA_IGNORE,
                                                 .dflt_sort = "name",
                                                 .not_found = "Could not find Endpoint Group: %s.",
                                                 .doc = "Endpoints that are like each other."};

/* ---------------------------------------------------------------- groups */

static struct err *take_filters(struct call *c, struct endpoint_group *g)
{
    json_t *filters = NULL;
    TRY(json_read(c->cx, g->filters, strlen(g->filters), &filters));
    g->service_id = json_get_str(filters, "service_id");
    g->region_id = json_get_str(filters, "region_id");
    g->interface = json_get_str(filters, "interface");
    return NULL;
}

struct err *endpoint_group_create(struct call *c)
{
    struct endpoint_group *g = c->body;
    TRY(take_filters(c, g));
    g->id = uuid_new_hex(c->cx);
    c->audit_target = g->id;
    TRY(res_insert(c->cx, c->tx, &endpoint_group_resource, g));
    return call_reply_row(c, 201, &endpoint_group_resource, g);
}

struct err *endpoint_group_update(struct call *c)
{
    TRY(take_filters(c, c->body));
    TRY(res_update(c->cx, c->tx, &endpoint_group_resource, c->body));
    return call_reply_row(c, 200, &endpoint_group_resource, c->body);
}

/* ---------------------------------------------------------------- lists */

static struct err *list_of(struct call *c, const struct resource *res, const char *where,
                           const char *id)
{
    const struct db_value param = V_TEXT(id);
    const struct list_more more = {.where = where, .params = &param, .n_params = 1};
    return call_reply_list(c, res, &more);
}

#define LIKE_GROUP                                                                                 \
    "(g.service_id IS NULL OR g.service_id = endpoints.service_id) AND (g.region_id IS NULL OR "   \
    "g.region_id = endpoints.region_id) AND (g.interface IS NULL OR g.interface = "                \
    "endpoints.interface)"

struct err *endpoints_in_group(struct call *c)
{
    return list_of(c, &endpoint_resource,
                   "EXISTS (SELECT 1 FROM endpoint_groups g WHERE g.id = $1 AND " LIKE_GROUP ")",
                   call_param(c, "endpoint_group_id"));
}

struct err *endpoints_of_project(struct call *c)
{
    return list_of(c, &endpoint_resource,
                   "id IN (SELECT endpoint_id FROM project_endpoints WHERE project_id = $1) OR "
                   "EXISTS (SELECT 1 FROM project_endpoint_groups p JOIN endpoint_groups g ON g.id "
                   "= p.group_id WHERE p.project_id = $1 AND " LIKE_GROUP ")",
                   call_param(c, "project_id"));
}

struct err *projects_of_endpoint_group(struct call *c)
{
    return list_of(c, &project_resource,
                   "id IN (SELECT project_id FROM project_endpoint_groups WHERE group_id = $1)",
                   call_param(c, "endpoint_group_id"));
}

struct err *projects_of_endpoint(struct call *c)
{
    return list_of(c, &project_resource,
                   "id IN (SELECT project_id FROM project_endpoints WHERE endpoint_id = $1)",
                   call_param(c, "endpoint_id"));
}

struct err *endpoint_groups_of_project(struct call *c)
{
    return list_of(c, &endpoint_group_resource,
                   "id IN (SELECT group_id FROM project_endpoint_groups WHERE project_id = $1)",
                   call_param(c, "project_id"));
}

/* ---------------------------------------------------------------- a project's choice */

/* What was chosen for the project, which must exist: an endpoint, or a group of them. */
struct choice {
    const char *project, *id;
    const struct stmt *has, *add, *remove;
};

static struct err *choice_of(struct call *c, bool group, struct choice *ret)
{
    void *row;
    const char *project = call_param(c, "project_id");
    TRY(res_find(c->cx, c->tx, &project_resource, project, &row));
    if (group) { /* the route's target */
        *ret = (struct choice){project, call_param(c, "endpoint_group_id"), &stmt_project_group_has,
                               &stmt_project_group_add, &stmt_project_group_remove};
        return NULL;
    }
    *ret = (struct choice){project, call_param(c, "endpoint_id"), &stmt_project_endpoint_has,
                           &stmt_project_endpoint_add, &stmt_project_endpoint_remove};
    return res_find(c->cx, c->tx, &endpoint_resource, ret->id, &row);
}

static struct err *must_be_chosen(struct call *c, const struct choice *k)
{
    struct db_rows rows;
    const struct db_value params[] = {V_TEXT(k->project), V_TEXT(k->id)};
    TRY(db_query(c->cx, c->tx, k->has, params, 2, &rows));
    return rows.n_rows ? NULL
                       : fail(c->cx, ERR_NOT_FOUND, "Endpoint %s not found in project %s", k->id,
                              k->project);
}

static struct err *choose(struct call *c, bool group)
{
    struct choice k;
    TRY(choice_of(c, group, &k));
    TRY(db_run(c->cx, c->tx, k.add, V_TEXT(k.project), V_TEXT(k.id)));
    call_reply_empty(c, 204);
    return NULL;
}

static struct err *unchoose(struct call *c, bool group)
{
    struct choice k;
    TRY(choice_of(c, group, &k));
    TRY(must_be_chosen(c, &k));
    TRY(db_run(c->cx, c->tx, k.remove, V_TEXT(k.project), V_TEXT(k.id)));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *project_endpoint_check(struct call *c)
{
    struct choice k;
    TRY(choice_of(c, false, &k));
    TRY(must_be_chosen(c, &k));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *project_endpoint_add(struct call *c)
{
    return choose(c, false);
}

struct err *project_endpoint_remove(struct call *c)
{
    return unchoose(c, false);
}

struct err *group_project_show(struct call *c)
{
    struct choice k;
    TRY(choice_of(c, true, &k));
    TRY(must_be_chosen(c, &k));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "project_endpoint_group");
    jw_kstr(&w, "endpoint_group_id", k.id);
    jw_kstr(&w, "project_id", k.project);
    jw_kobj(&w, "links");
    jw_kstr(&w, "self", arena_printf(c->cx->arena, "%s%s", c->rq->base_url, c->rq->raw_path));
    jw_obj_end(&w);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *group_project_add(struct call *c)
{
    return choose(c, true);
}

struct err *group_project_remove(struct call *c)
{
    return unchoose(c, true);
}
