/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Unified limits: a registered limit is what any project may have of a resource, a limit what one
 * project or domain may. They are kept for services that ask for them; Colvert's own quotas are the
 * services' (compute, network).
 */
#include "identity/resources.h"

#define AT_ONCE_MAX 1000

static void registered_limit_links(struct ctx *cx, struct jw *w, const void *row,
                                   const struct view *v)
{
    identity_self_link(w, cx, v, "registered_limits", ((const struct registered_limit *)row)->id);
}

static void project_limit_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    identity_self_link(w, cx, v, "limits", ((const struct project_limit *)row)->id);
}

#define RESOURCE registered_limit
#define RESOURCE_DEF "identity/registered_limit.def"
#include "resource/declare_fields.h"
#define RESOURCE project_limit
#define RESOURCE_DEF "identity/project_limit.def"
#include "resource/declare_fields.h"

static const struct res_index registered_indexes[] = {
    {"registered_limits_of", "service_id, COALESCE(region_id, ''), resource_name", .unique = true},
    {"registered_limits_region", "region_id"}};
static const struct res_index limit_indexes[] = {
    {"limits_of", "COALESCE(project_id, ''), COALESCE(domain_id, ''), registered_id",
     .unique = true},
    {"limits_registered", "registered_id"}};
const struct resource registered_limit_resource = {.name = "registered_limit",
                                                   .plural = "registered_limits",
                                                   .table = "registered_limits",
                                                   RESOURCE_FIELDS(registered_limit),
                                                   .owner = -1,
                                                   .dflt_sort = "id",
                                                   .not_found =
                                                       "Could not find registered limit for %s.",
                                                   .indexes = registered_indexes,
                                                   .n_indexes = ARRAY_LEN(registered_indexes),
                                                   .doc = "What any project may have."};
const struct resource project_limit_resource = {.name = "limit",
                                                .plural = "limits",
                                                .table = "limits",
                                                RESOURCE_FIELDS(project_limit),
                                                .owner = -1,
                                                .dflt_sort = "id",
                                                .not_found = "Could not find limit for %s.",
                                                .indexes = limit_indexes,
                                                .n_indexes = ARRAY_LEN(limit_indexes),
                                                .doc = "What one project or domain may have."};
const struct res_where registered_limit_of = {
    &registered_limit_resource,
    "service_id = $1 AND COALESCE(region_id, '') = $2 AND resource_name = $3", NULL};
const struct res_where limits_of_registered = {&project_limit_resource, "registered_id = $1", "id"};
const struct res_where project_limit_of = {
    &project_limit_resource,
    "COALESCE(project_id, '') = $1 AND COALESCE(domain_id, '') = $2 AND registered_id = $3", NULL};

/* {"limits": [{…}, …]}: all or none. */
static struct err *create_all(struct call *c, const struct resource *res,
                              struct err *(*add)(struct call *c, void *row))
{
    const json_t *list = json_get(c->json, res->plural);
    struct view v = call_view(c);
    size_t n = json_array_size(list);
    void **rows = arena_new_array(c->cx->arena, void *, n + 1);
    if (!json_is_array(list) || !n || n > AT_ONCE_MAX)
        return fail(c->cx, ERR_INVALID, "Invalid input for field '%s': a list of 1 to %d is needed",
                    res->plural, AT_ONCE_MAX);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(list, i);
        if (!json_is_object(one))
            return fail(c->cx, ERR_INVALID, "Invalid input for field '%s': %s is not an object",
                        res->plural, json_python(c->cx, one));
        rows[i] = res_new(c->cx, res);
        TRY(res_decode(c->cx, c->service->family, res, one, DECODE_CREATE, 0, true, rows[i]));
        TRY(add(c, rows[i]));
    }
    struct jw w = call_json(c, 201);
    jw_obj(&w);
    jw_karr(&w, res->plural);
    for (size_t i = 0; i < n; i++)
        res_encode(c->cx, &w, res, rows[i], &v);
    jw_arr_end(&w);
    identity_page_links(c, &w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *must_exist(struct call *c, const struct resource *res, const char *id,
                              const char *attribute)
{
    void *row = NULL;
    if (!id)
        return NULL;
    TRY(res_get(c->cx, c->tx, res, id, &row));
    if (row)
        return NULL;
    return fail(c->cx, ERR_INVALID,
                "Expecting to find %s in %s. The server could not comply with the request since it "
                "is either malformed or otherwise incorrect. The client is assumed to be in error.",
                attribute, res->name);
}

/* ---------------------------------------------------------------- registered limits */

static struct err *find_registered(struct call *c, const char *service_id, const char *region_id,
                                   const char *name, struct registered_limit **ret)
{
    return res_first_by(c->cx, c->tx, &registered_limit_of, (void **)ret, V_TEXT(service_id),
                        V_TEXT(region_id ? region_id : ""), V_TEXT(name));
}

static struct err *check_registered(struct call *c, const struct registered_limit *r)
{
    struct registered_limit *other = NULL;
    TRY(must_exist(c, &catalog_service_resource, r->service_id, "service_id"));
    TRY(must_exist(c, &region_resource, r->region_id, "region_id"));
    TRY(find_registered(c, r->service_id, r->region_id, r->resource_name, &other));
    if (other && !str_eq(other->id, r->id))
        return fail(c->cx, ERR_EXISTS,
                    "Conflict occurred attempting to store registered_limit - Duplicate entry.");
    return NULL;
}

static struct err *add_registered(struct call *c, void *row)
{
    struct registered_limit *r = row;
    TRY(check_registered(c, r));
    r->id = uuid_new_hex(c->cx);
    c->audit_target = r->id;
    return res_insert(c->cx, c->tx, &registered_limit_resource, r);
}

struct err *registered_limits_create(struct call *c)
{
    return create_all(c, &registered_limit_resource, add_registered);
}

static struct err *not_in_use(struct call *c, const struct registered_limit *r)
{
    void *limit = NULL;
    TRY(res_first_by(c->cx, c->tx, &limits_of_registered, &limit, V_TEXT(r->id)));
    if (limit)
        return fail(c->cx, ERR_FORBIDDEN,
                    "Unable to update or delete registered limit %s because there are project "
                    "limits associated with it.",
                    r->id);
    return NULL;
}

struct err *registered_limit_update(struct call *c)
{
    struct registered_limit *r = c->body;
    const struct registered_limit *before = c->target;
    bool same =
        str_eq(r->service_id, before->service_id) &&
        str_eq(r->resource_name, before->resource_name) &&
        str_eq(r->region_id ? r->region_id : "", before->region_id ? before->region_id : "");
    if (!same)
        TRY(not_in_use(c, before));
    TRY(check_registered(c, r));
    return plain_update(c);
}

struct err *registered_limit_delete(struct call *c)
{
    TRY(not_in_use(c, c->target));
    return plain_delete(c);
}

/* ---------------------------------------------------------------- limits */

static struct err *add_limit(struct call *c, void *row)
{
    struct project_limit *l = row, *other = NULL;
    struct registered_limit *r = NULL;
    if (!l->project_id == !l->domain_id)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field 'limits': either project_id or domain_id is needed");
    TRY(must_exist(c, &catalog_service_resource, l->service_id, "service_id"));
    TRY(must_exist(c, &region_resource, l->region_id, "region_id"));
    TRY(must_exist(c, &project_resource, l->project_id, "project_id"));
    TRY(must_exist(c, &domain_resource, l->domain_id, "domain_id"));
    TRY(find_registered(c, l->service_id, l->region_id, l->resource_name, &r));
    if (!r)
        return fail(c->cx, ERR_FORBIDDEN,
                    "Unable to create a limit that has no corresponding registered limit.");
    l->registered_id = r->id;
    TRY(res_first_by(c->cx, c->tx, &project_limit_of, (void **)&other,
                     V_TEXT(l->project_id ? l->project_id : ""),
                     V_TEXT(l->domain_id ? l->domain_id : ""), V_TEXT(r->id)));
    if (other)
        return fail(c->cx, ERR_EXISTS,
                    "Conflict occurred attempting to store limit - Duplicate entry.");
    l->id = uuid_new_hex(c->cx);
    c->audit_target = l->id;
    return res_insert(c->cx, c->tx, &project_limit_resource, l);
}

struct err *project_limits_create(struct call *c)
{
    return create_all(c, &project_limit_resource, add_limit);
}

/* Others' are shown to administrators only. */
struct err *project_limit_list(struct call *c)
{
    const struct actor *a = c->actor;
    const struct db_value own[] = {V_TEXT(a->project_id ? a->project_id : ""),
                                   V_TEXT(a->domain_id ? a->domain_id : "")};
    const struct list_more more = {
        .where = "project_id = $1 OR domain_id = $2", .params = own, .n_params = 2};
    return call_reply_list(c, &project_limit_resource, a->admin ? NULL : &more);
}

struct err *project_limit_show(struct call *c)
{
    const struct actor *a = c->actor;
    struct project_limit *l = NULL;
    const char *id = call_param(c, "limit_id");
    TRY(res_get(c->cx, c->tx, &project_limit_resource, id, (void **)&l));
    bool own = l && ((l->project_id && str_eq(l->project_id, a->project_id)) ||
                     (l->domain_id && str_eq(l->domain_id, a->domain_id)));
    if (!own && !a->admin)
        return identity_forbidden(c);
    if (!l)
        return res_not_found(c->cx, &project_limit_resource, id);
    return call_reply_row(c, 200, &project_limit_resource, l);
}

struct err *limit_model(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "model");
    jw_kstr(&w, "name", "flat");
    jw_kstr(&w, "description",
            "Limit enforcement and validation does not take project hierarchy into consideration.");
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}
