/* SPDX-License-Identifier: EUPL-1.2 */
/* Types of resources, and which namespaces are for them. */
#include "image/metadefs.h"

#define RESOURCE metadef_type
#define RESOURCE_DEF "image/metadef_type.def"
#include "resource/declare_fields.h"
#define RESOURCE metadef_association
#define RESOURCE_DEF "image/metadef_association.def"
#include "resource/declare_fields.h"

/* Those that OpenStack's own catalogues name. */
static const char *const metadef_first_types[] = {"OS::Glance::Image",   "OS::Cinder::Volume",
                                                  "OS::Nova::Flavor",    "OS::Nova::Server",
                                                  "OS::Nova::Aggregate", NULL};

static const struct res_index metadef_association_indexes[] = {
    {"metadef_associations_name", "namespace_id, name", true, NULL}};

const struct resource metadef_type_resource = {.name = "resource_type",
                                               .plural = "resource_types",
                                               .table = "metadef_types",
                                               RESOURCE_FIELDS(metadef_type),
                                               .bare = true,
                                               .key = "name",
                                               .owner = -1,
                                               .time_style = TIME_Z,
                                               .dflt_sort = "name:asc",
                                               .doc = "A kind of thing that has properties."};
const struct resource metadef_association_resource = {
    .name = "resource_type_association",
    .plural = "resource_type_associations",
    .table = "metadef_associations",
    RESOURCE_FIELDS(metadef_association),
    .bare = true,
    .owner = -1,
    .time_style = TIME_Z,
    .indexes = metadef_association_indexes,
    .n_indexes = ARRAY_LEN(metadef_association_indexes),
    .dflt_sort = "id:asc",
    .doc = "A namespace is for a type of resources."};

const struct res_where metadef_all_types = {&metadef_type_resource, "name IS NOT NULL", "name"};
const struct res_where metadef_associations_of = {&metadef_association_resource,
                                                  "namespace_id = $1", "created_at, name"};
const struct res_where metadef_association_named = {&metadef_association_resource,
                                                    "namespace_id = $1 AND name = $2", NULL};

/* ---------------------------------------------------------------- types */

static bool is_first(const char *name)
{
    for (size_t i = 0; metadef_first_types[i]; i++)
        if (str_eq(metadef_first_types[i], name))
            return true;
    return false;
}

struct err *metadef_type_list(struct call *c)
{
    void **rows;
    size_t n;
    struct view v = call_view(c);
    TRY(res_select(c->cx, c->tx, &metadef_all_types, NULL, 0, &rows, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "resource_types");
    for (size_t i = 0; metadef_first_types[i]; i++) {
        struct metadef_type unused = {.name = metadef_first_types[i]};
        res_encode(c->cx, &w, &metadef_type_resource, &unused, &v);
    }
    for (size_t i = 0; i < n; i++)
        if (!is_first(ROW(metadef_type, rows, i)->name))
            res_encode(c->cx, &w, &metadef_type_resource, rows[i], &v);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *ensure_type(struct call *c, const char *name)
{
    void *row = NULL;
    if (is_first(name))
        return NULL;
    TRY(res_get(c->cx, c->tx, &metadef_type_resource, name, &row));
    if (row)
        return NULL;
    struct metadef_type *t = res_new(c->cx, &metadef_type_resource);
    t->name = name;
    return res_insert(c->cx, c->tx, &metadef_type_resource, t);
}

/* ---------------------------------------------------------------- associations */

static struct err *named(struct call *c, const struct metadef_namespace *ns, const char *name,
                         struct metadef_association **ret)
{
    return res_first_by(c->cx, c->tx, &metadef_association_named, (void **)ret, V_TEXT(ns->id),
                        V_TEXT(name));
}

struct err *metadef_associate(struct call *c, const struct metadef_namespace *ns,
                              const json_t *association, struct metadef_association **ret)
{
    struct metadef_association *a = res_new(c->cx, &metadef_association_resource), *there = NULL;
    TRY(res_decode(c->cx, c->service->family, &metadef_association_resource, association,
                   DECODE_CREATE, 0, c->actor->admin, a));
    TRY(named(c, ns, a->name, &there));
    if (there)
        return fail(c->cx, ERR_EXISTS,
                    "The metadata definition resource-type association of resource-type=%s to "
                    "namespace=%s already exists.",
                    a->name, ns->namespace);
    TRY(ensure_type(c, a->name));
    a->id = uuid_new(c->cx);
    a->namespace_id = ns->id;
    *ret = a;
    return res_insert(c->cx, c->tx, &metadef_association_resource, a);
}

struct err *metadef_prefix_asked(struct call *c, const struct metadef_namespace *ns,
                                 const char **ret)
{
    const char *type = http_arg(c->rq, "resource_type");
    struct metadef_association *a = NULL;
    *ret = "";
    if (!type)
        return NULL;
    TRY(named(c, ns, type, &a));
    if (!a)
        return fail(c->cx, ERR_NOT_FOUND,
                    "The metadata definition resource-type association of resource-type=%s to "
                    "namespace=%s, was not found.",
                    type, ns->namespace);
    *ret = a->prefix ? a->prefix : "";
    return NULL;
}

struct err *metadef_association_list(struct call *c)
{
    struct metadef_namespace *ns = NULL;
    struct view v = call_view(c);
    void **rows;
    size_t n;
    TRY(metadef_namespace_of(c, &ns));
    TRY(res_select_by(c->cx, c->tx, &metadef_associations_of, &rows, &n, V_TEXT(ns->id)));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "resource_type_associations");
    for (size_t i = 0; i < n; i++)
        res_encode(c->cx, &w, &metadef_association_resource, rows[i], &v);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *metadef_association_create(struct call *c)
{
    struct metadef_namespace *ns = NULL;
    struct metadef_association *a;
    TRY(metadef_namespace_of(c, &ns));
    if (!json_is_object(c->json))
        return fail(c->cx, ERR_INVALID,
                    "The body names a type of resources: {\"name\": \"OS::Glance::Image\"}");
    TRY(metadef_associate(c, ns, c->json, &a));
    return call_reply_row(c, 201, &metadef_association_resource, a);
}

struct err *metadef_association_delete(struct call *c)
{
    struct metadef_namespace *ns = NULL;
    struct metadef_association *a = NULL;
    const char *name = call_param(c, "resource_type");
    TRY(metadef_namespace_of(c, &ns));
    TRY(named(c, ns, name, &a));
    if (!a)
        return fail(c->cx, ERR_NOT_FOUND,
                    "The metadata definition resource-type association of resource-type=%s to "
                    "namespace=%s, was not found.",
                    name, ns->namespace);
    if (ns->is_protected)
        return fail(c->cx, ERR_FORBIDDEN,
                    "Metadata definition resource-type-association %s is protected and cannot be "
                    "deleted.",
                    name);
    TRY(res_delete(c->cx, c->tx, &metadef_association_resource, a));
    call_reply_empty(c, 204);
    return NULL;
}
