/* SPDX-License-Identifier: EUPL-1.2 */
/* Regions, services and endpoints: what the catalogue is made from. */
#include "identity/resources.h"

const struct stmt stmt_region_endpoints = {
    "region_endpoints",
    "WITH RECURSIVE below(id) AS (SELECT CAST($1 AS TEXT) UNION SELECT r.id FROM regions r JOIN "
    "below b ON r.parent_region_id = b.id) SELECT (SELECT count(*) FROM endpoints WHERE region_id "
    "IN (SELECT id FROM below)), (SELECT count(*) FROM below WHERE id = $2)"};

const char *const endpoint_interfaces[] = {"public", "internal", "admin", NULL};

#define LINKS_OF(type, name, plural)                                                               \
    static void name##_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)  \
    {                                                                                              \
        identity_self_link(w, cx, v, plural, ((const struct type *)row)->id);                      \
    }
LINKS_OF(region, region, "regions")
LINKS_OF(catalog_service, service, "services")
LINKS_OF(endpoint, endpoint, "endpoints")

static void endpoint_url(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    const struct call *c = v->call;
    jw_str(w, catalog_url(cx, ((const struct endpoint *)row)->url, c->rq->base_url, NULL));
}

#define RESOURCE region
#define RESOURCE_DEF "identity/region.def"
#include "resource/declare_fields.h"
#define RESOURCE catalog_service
#define RESOURCE_DEF "identity/catalog_service.def"
#include "resource/declare_fields.h"
#define RESOURCE endpoint
#define RESOURCE_DEF "identity/endpoint.def"
#include "resource/declare_fields.h"

static const struct res_index region_indexes[] = {{"regions_parent", "parent_region_id"}};
static const struct res_index endpoint_indexes[] = {{"endpoints_service", "service_id"},
                                                    {"endpoints_region", "region_id"}};
const struct resource region_resource = {.name = "region",
                                         .plural = "regions",
                                         .table = "regions",
                                         RESOURCE_FIELDS(region),
                                         .owner = -1,
                                         .extra = EXTRA_KEEP,
                                         .extra_member = region_f_extra,
                                         .dflt_sort = "id",
                                         .not_found = "Could not find region: %s.",
                                         .indexes = region_indexes,
                                         .n_indexes = ARRAY_LEN(region_indexes),
                                         .doc = "A region of the catalogue."};
const struct resource catalog_service_resource = {.name = "service",
                                                  .plural = "services",
                                                  .table = "services",
                                                  RESOURCE_FIELDS(catalog_service),
                                                  .owner = -1,
                                                  .extra = EXTRA_KEEP,
                                                  .extra_member = catalog_service_f_extra,
                                                  .dflt_sort = "type",
                                                  .not_found = "Could not find service: %s.",
                                                  .doc = "A service of the catalogue."};
const struct resource endpoint_resource = {.name = "endpoint",
                                           .plural = "endpoints",
                                           .table = "endpoints",
                                           RESOURCE_FIELDS(endpoint),
                                           .owner = -1,
                                           .extra = EXTRA_KEEP,
                                           .extra_member = endpoint_f_extra,
                                           .dflt_sort = "id",
                                           .not_found = "Could not find endpoint: %s.",
                                           .indexes = endpoint_indexes,
                                           .n_indexes = ARRAY_LEN(endpoint_indexes),
                                           .doc = "Where a service answers."};
const struct res_where endpoints_of_service = {&endpoint_resource, "service_id = $1",
                                               "interface, id"};
const struct res_where services_by_type = {&catalog_service_resource, "type = $1", "id"};
const struct res_where regions_below = {&region_resource, "parent_region_id = $1", "id"};

/* ---------------------------------------------------------------- what they refer to */

static struct err *region_parent(struct call *c, const struct region *r)
{
    void *found;
    struct db_rows rows;
    const struct db_value params[] = {V_TEXT(r->id), V_TEXT(r->parent_region_id)};
    if (!r->parent_region_id)
        return NULL;
    TRY(db_query(c->cx, c->tx, &stmt_region_endpoints, params, 2, &rows));
    if (db_int(&rows, 0, 1))
        return fail(c->cx, ERR_INVALID,
                    "The specified parent region %s would create a circular region hierarchy.",
                    r->parent_region_id);
    return res_find(c->cx, c->tx, &region_resource, r->parent_region_id, &found);
}

static struct err *not_in_table(struct call *c, const char *attribute, const char *table)
{
    return fail(
        c->cx, ERR_INVALID,
        "Expecting to find endpoint %s in %s table. The server could not comply with the "
        "request since it is either malformed or otherwise incorrect. The client is assumed "
        "to be in error.",
        attribute, table);
}

/* As older clients name it, "region" makes the region; "region_id" doesn't. */
static struct err *endpoint_region(struct call *c, const struct endpoint *e)
{
    struct region *r = NULL;
    if (!e->region_id)
        return NULL;
    TRY(res_get(c->cx, c->tx, &region_resource, e->region_id, (void **)&r));
    if (r)
        return NULL;
    if (json_get(json_get(c->json, "endpoint"), "region_id"))
        return not_in_table(c, "region_id", "region");
    r = res_new(c->cx, &region_resource);
    r->id = e->region_id;
    r->description = "";
    r->extra = "{}";
    return res_insert(c->cx, c->tx, &region_resource, r);
}

static struct err *references_exist(struct call *c, const void *row)
{
    void *service = NULL;
    if (c->route->body == &region_resource)
        return region_parent(c, row);
    if (c->route->body != &endpoint_resource)
        return NULL;
    const struct endpoint *e = row;
    TRY(res_get(c->cx, c->tx, &catalog_service_resource, e->service_id, &service));
    if (!service)
        return not_in_table(c, "service_id", "service");
    return endpoint_region(c, e);
}

/* ---------------------------------------------------------------- changes */

struct err *catalog_create(struct call *c)
{
    const struct resource *res = c->route->body;
    const char **id = (const char **)(void *)((char *)c->body + res->fields[0].offset);
    void *other = NULL;
    if (!*id || !**id)
        *id = uuid_new_hex(c->cx);
    TRY(res_get(c->cx, c->tx, res, *id, &other));
    if (other)
        return fail(c->cx, ERR_EXISTS,
                    "Conflict occurred attempting to store %s - Duplicate ID, %s.", res->name, *id);
    TRY(references_exist(c, c->body));
    c->audit_target = *id;
    TRY(res_insert(c->cx, c->tx, res, c->body));
    return call_reply_row(c, 201, res, c->body);
}

/* PUT: the path names it. */
struct err *region_create(struct call *c)
{
    struct region *r = c->body;
    const char *id = call_param(c, "region_id");
    if (r->id && !str_eq(r->id, id))
        return fail(c->cx, ERR_INVALID, "Conflicting region IDs specified: \"%s\" != \"%s\"", id,
                    r->id);
    r->id = id;
    return catalog_create(c);
}

struct err *catalog_update(struct call *c)
{
    TRY(references_exist(c, c->body));
    TRY(res_update(c->cx, c->tx, c->route->body, c->body));
    return call_reply_row(c, 200, c->route->body, c->body);
}

/* With those below it. */
static struct err *remove_region(struct call *c, struct region *r)
{
    void **below;
    size_t n;
    TRY(res_select_by(c->cx, c->tx, &regions_below, &below, &n, V_TEXT(r->id)));
    for (size_t i = 0; i < n; i++)
        TRY(remove_region(c, below[i]));
    return res_delete(c->cx, c->tx, &region_resource, r);
}

struct err *region_delete(struct call *c)
{
    struct region *r = c->target;
    struct db_rows rows;
    const struct db_value params[] = {V_TEXT(r->id), V_TEXT("")};
    TRY(db_query(c->cx, c->tx, &stmt_region_endpoints, params, 2, &rows));
    if (db_int(&rows, 0, 0))
        return fail(c->cx, ERR_FORBIDDEN,
                    "Unable to delete region %s because it or its child regions have associated "
                    "endpoints.",
                    r->id);
    TRY(remove_region(c, r));
    call_reply_empty(c, 204);
    return NULL;
}
