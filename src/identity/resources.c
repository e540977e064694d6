/* SPDX-License-Identifier: EUPL-1.2 */
/* The identity service's resource tables. */
#include "identity/resources.h"

const char *const endpoint_interfaces[] = {"public", "internal", "admin", NULL};

#define RESOURCE domain
#define RESOURCE_DEF "identity/domain.def"
#include "resource/declare_fields.h"
#define RESOURCE project
#define RESOURCE_DEF "identity/project.def"
#include "resource/declare_fields.h"
#define RESOURCE user
#define RESOURCE_DEF "identity/user.def"
#include "resource/declare_fields.h"
#define RESOURCE role
#define RESOURCE_DEF "identity/role.def"
#include "resource/declare_fields.h"
#define RESOURCE region
#define RESOURCE_DEF "identity/region.def"
#include "resource/declare_fields.h"
#define RESOURCE catalog_service
#define RESOURCE_DEF "identity/catalog_service.def"
#include "resource/declare_fields.h"
#define RESOURCE endpoint
#define RESOURCE_DEF "identity/endpoint.def"
#include "resource/declare_fields.h"

void identity_self_link(struct jw *w, struct ctx *cx, const struct view *v, const char *plural,
                        const char *id)
{
    jw_obj(w);
    jw_kstr(w, "self", arena_printf(cx->arena, "%s/%s/%s", v->base_url, plural, id));
    jw_obj_end(w);
}

void identity_page_links(struct call *c, struct jw *w)
{
    jw_kobj(w, "links");
    jw_kstr(w, "self", arena_printf(c->cx->arena, "%s%s", c->rq->base_url, c->rq->raw_path));
    jw_knull(w, "previous");
    jw_knull(w, "next");
    jw_obj_end(w);
}

void identity_links(struct jw *w, struct ctx *cx, const struct view *v, const char *plural,
                    const char *id)
{
    jw_key(w, "links");
    identity_self_link(w, cx, v, plural, id);
}

void user_links_encode(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    identity_self_link(w, cx, v, "users", ((const struct user *)row)->id);
}

#define LINKS_OF(type, plural)                                                                     \
    static void type##_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)  \
    {                                                                                              \
        identity_links(w, cx, v, plural, ((const struct type *)row)->id);                          \
    }
LINKS_OF(domain, "domains")
LINKS_OF(project, "projects")
LINKS_OF(role, "roles")
LINKS_OF(region, "regions")
LINKS_OF(catalog_service, "services")
LINKS_OF(endpoint, "endpoints")

bool user_has_default_project(const void *row, const struct view *v UNUSED)
{
    return ((const struct user *)row)->default_project_id != NULL;
}

bool user_has_description(const void *row, const struct view *v UNUSED)
{
    return ((const struct user *)row)->description != NULL;
}

static const struct res_index domain_indexes[] = {{"domains_name", "name", .unique = true}};
static const struct res_index project_indexes[] = {
    {"projects_name", "domain_id, name", .unique = true}};
static const struct res_index user_indexes[] = {{"users_name", "domain_id, name", .unique = true}};
static const struct res_index role_indexes[] = {{"roles_name", "name", .unique = true}};
static const struct res_index endpoint_indexes[] = {{"endpoints_service", "service_id"}};
#define INDEXES(array) .indexes = array, .n_indexes = ARRAY_LEN(array)
#define COMMON .owner = -1, .time_style = TIME_MICROS_Z

const struct resource domain_resource = {.name = "domain",
                                         .plural = "domains",
                                         .table = "domains",
                                         RESOURCE_FIELDS(domain),
                                         COMMON,
                                         .extra = EXTRA_IGNORE,
                                         .dflt_sort = "name",
                                         .not_found = "Could not find domain: %s.",
                                         INDEXES(domain_indexes),
                                         .encode_more = domain_links,
                                         .doc = "A realm of users and projects."};
const struct resource project_resource = {.name = "project",
                                          .plural = "projects",
                                          .table = "projects",
                                          RESOURCE_FIELDS(project),
                                          COMMON,
                                          .extra = EXTRA_IGNORE,
                                          .dflt_sort = "name",
                                          .not_found = "Could not find project: %s.",
                                          INDEXES(project_indexes),
                                          .encode_more = project_links,
                                          .doc = "What owns resources: a tenant."};
const struct resource user_resource = {.name = "user",
                                       .plural = "users",
                                       .table = "users",
                                       RESOURCE_FIELDS(user),
                                       COMMON,
                                       .extra = EXTRA_KEEP,
                                       .extra_member = user_f_extra,
                                       .dflt_sort = "name",
                                       .not_found = "Could not find user: %s.",
                                       INDEXES(user_indexes),
                                       .doc = "Someone who logs in."};
const struct resource role_resource = {.name = "role",
                                       .plural = "roles",
                                       .table = "roles",
                                       RESOURCE_FIELDS(role),
                                       COMMON,
                                       .extra = EXTRA_IGNORE,
                                       .dflt_sort = "name",
                                       .not_found = "Could not find role: %s.",
                                       INDEXES(role_indexes),
                                       .encode_more = role_links,
                                       .doc = "What a user may do in a project."};
const struct resource region_resource = {.name = "region",
                                         .plural = "regions",
                                         .table = "regions",
                                         RESOURCE_FIELDS(region),
                                         COMMON,
                                         .extra = EXTRA_IGNORE,
                                         .dflt_sort = "id",
                                         .not_found = "Could not find region: %s.",
                                         .encode_more = region_links,
                                         .doc = "A region of the catalogue."};
const struct resource catalog_service_resource = {.name = "service",
                                                  .plural = "services",
                                                  .table = "services",
                                                  RESOURCE_FIELDS(catalog_service),
                                                  COMMON,
                                                  .extra = EXTRA_IGNORE,
                                                  .dflt_sort = "type",
                                                  .not_found = "Could not find service: %s.",
                                                  .encode_more = catalog_service_links,
                                                  .doc = "A service of the catalogue."};
const struct resource endpoint_resource = {.name = "endpoint",
                                           .plural = "endpoints",
                                           .table = "endpoints",
                                           RESOURCE_FIELDS(endpoint),
                                           COMMON,
                                           .extra = EXTRA_IGNORE,
                                           .dflt_sort = "id",
                                           .not_found = "Could not find endpoint: %s.",
                                           INDEXES(endpoint_indexes),
                                           .encode_more = endpoint_links,
                                           .doc = "Where a service answers."};

const struct res_where users_by_name = {&user_resource, "domain_id = $1 AND name = $2", NULL};
const struct res_where projects_by_name = {&project_resource, "domain_id = $1 AND name = $2", NULL};
const struct res_where domains_by_name = {&domain_resource, "name = $1", NULL};
const struct res_where roles_by_name = {&role_resource, "name = $1", NULL};
const struct res_where endpoints_of_service = {&endpoint_resource, "service_id = $1",
                                               "interface, id"};
const struct res_where services_by_type = {&catalog_service_resource, "type = $1", "id"};
