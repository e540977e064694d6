/* SPDX-License-Identifier: EUPL-1.2 */
/* Namespaces of metadata definitions: /v2/metadefs/namespaces. */
#include "image/metadefs.h"

static const char *const metadef_visibilities[] = {"public", "private", NULL};

static void metadef_self_encode(struct ctx *cx, struct jw *w, const void *row,
                                const struct view *v UNUSED)
{
    jw_str(w, arena_printf(cx->arena, "/v2/metadefs/namespaces/%s",
                           ((const struct metadef_namespace *)row)->namespace));
}

static void metadef_schema_encode(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                                  const struct view *v UNUSED)
{
    jw_str(w, "/v2/schemas/metadefs/namespace");
}

#define RESOURCE metadef_namespace
#define RESOURCE_DEF "image/metadef_namespace.def"
#include "resource/declare_fields.h"

static bool visible(struct ctx *cx UNUSED, struct tx *tx UNUSED, const void *row,
                    const struct actor *actor UNUSED)
{
    return str_eq(((const struct metadef_namespace *)row)->visibility, "public");
}

/* row.extra: its associations. */
struct associations {
    void **rows;
    size_t n;
};

static struct err *prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v UNUSED)
{
    for (size_t i = 0; i < n; i++) {
        struct associations *a = arena_new_of(cx->arena, struct associations);
        TRY(res_select_by(cx, tx, &metadef_associations_of, &a->rows, &a->n,
                          V_TEXT(ROW(metadef_namespace, rows, i)->id)));
        row_of(rows[i])->extra = a;
    }
    return NULL;
}

static void encode_more(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    const struct associations *a = ((const struct row *)row)->extra;
    if (!a || !a->n)
        return;
    jw_karr(w, "resource_type_associations");
    for (size_t i = 0; i < a->n; i++)
        res_encode(cx, w, &metadef_association_resource, a->rows[i], v);
    jw_arr_end(w);
}

static const struct res_index metadef_namespace_indexes[] = {
    {"metadef_namespaces_id", "id", true, NULL},
    {"metadef_namespaces_owner", "owner, created_at, namespace", false, NULL},
};

const struct resource metadef_namespace_resource = {
    .name = "namespace",
    .plural = "namespaces",
    .table = "metadef_namespaces",
    RESOURCE_FIELDS(metadef_namespace),
    .bare = true,
    .key = "namespace",
    .owner = metadef_namespace_f_owner,
    .time_style = TIME_Z,
    .not_found = "Metadata definition namespace=%s was not found.",
    .indexes = metadef_namespace_indexes,
    .n_indexes = ARRAY_LEN(metadef_namespace_indexes),
    .visible = visible,
    .prepare = prepare,
    .encode_more = encode_more,
    .schema = "metadefs/namespaces",
    .dflt_sort = "created_at:desc,namespace:desc",
    .doc = "Definitions that belong together."};

const struct stmt stmt_metadef_forget_parts = {"metadef_forget_parts",
                                               "DELETE FROM metadef_parts WHERE namespace_id = $1"};
const struct stmt stmt_metadef_forget_associations = {
    "metadef_forget_associations", "DELETE FROM metadef_associations WHERE namespace_id = $1"};

struct err *metadef_namespace_of(struct call *c, struct metadef_namespace **ret)
{
    return res_find_visible(c->cx, c->tx, &metadef_namespace_resource, call_param(c, "namespace"),
                            c->actor, (void **)ret);
}

/* ---------------------------------------------------------------- list, show */

/* resource_types=OS::Glance::Image,OS::Nova::Flavor: for any of them. */
static struct err *filter(struct call *c, const char *name, const char *value, bool *ret_taken,
                          const char **ret_sql)
{
    *ret_taken = str_eq(name, "resource_types");
    if (*ret_taken && *value)
        *ret_sql = "id IN (SELECT namespace_id FROM metadef_associations WHERE "
                   "replace(',' || CAST({value} AS TEXT) || ',', ',' || name || ',', '') <> "
                   "',' || CAST({value} AS TEXT) || ',')";
    (void)c;
    return NULL;
}

struct err *metadef_namespace_list(struct call *c)
{
    return call_reply_list(
        c, &metadef_namespace_resource,
        &(struct list_more){.filter = filter, .shared_where = "visibility = 'public'"});
}

static struct err *reply(struct call *c, int status, struct metadef_namespace *ns)
{
    struct view v = call_view(c);
    struct buf b;
    struct jw parts;
    const char *prefix;
    void *rows[] = {ns};
    TRY(metadef_prefix_asked(c, ns, &prefix));
    TRY(res_prepare(c->cx, c->tx, &metadef_namespace_resource, rows, 1, &v));
    struct jw w = call_json(c, status);
    res_encode(c->cx, &w, &metadef_namespace_resource, ns, &v);
    /* The object goes on with what it holds. */
    buf_init(&b, c->cx->arena);
    jw_init(&parts, &b);
    jw_obj(&parts);
    TRY(metadef_parts_write(c, ns, prefix, &parts));
    jw_obj_end(&parts);
    if (b.len > strlen("{}")) {
        c->rp->body.len--;
        buf_printf(&c->rp->body, ",%s", buf_cstr(&b) + 1);
    }
    return NULL;
}

struct err *metadef_namespace_show(struct call *c)
{
    struct metadef_namespace *ns = NULL;
    TRY(metadef_namespace_of(c, &ns));
    return reply(c, 200, ns);
}

/* ---------------------------------------------------------------- create */

static struct err *add_parts(struct call *c, const struct metadef_namespace *ns,
                             enum metadef_kind kind, const char *text)
{
    json_t *parts = NULL, *value;
    const char *name;
    if (!text)
        return NULL;
    TRY(json_read(c->cx, text, strlen(text), &parts));
    json_object_foreach(parts, name, value) TRY(metadef_part_add(c, ns, kind, name, value));
    for (size_t i = 0; i < json_array_size(parts); i++) {
        value = json_array_get(parts, i);
        TRY(metadef_part_add(c, ns, kind, json_get_str(value, "name"), value));
    }
    return NULL;
}

static struct err *add_associations(struct call *c, const struct metadef_namespace *ns)
{
    json_t *list = NULL;
    struct metadef_association *made;
    if (!ns->associations)
        return NULL;
    TRY(json_read(c->cx, ns->associations, strlen(ns->associations), &list));
    for (size_t i = 0; i < json_array_size(list); i++)
        TRY(metadef_associate(c, ns, json_array_get(list, i), &made));
    return NULL;
}

static struct err *check_new_name(struct call *c, const char *name)
{
    void *there = NULL;
    TRY(res_get(c->cx, c->tx, &metadef_namespace_resource, name, &there));
    if (there)
        return fail(c->cx, ERR_EXISTS, "The metadata definition namespace=%s already exists.",
                    name);
    return NULL;
}

struct err *metadef_namespace_create(struct call *c)
{
    struct metadef_namespace *ns = c->body;
    TRY(check_new_name(c, ns->namespace));
    ns->id = uuid_new(c->cx);
    if (!ns->owner)
        ns->owner = c->actor->project_id;
    TRY(res_insert(c->cx, c->tx, &metadef_namespace_resource, ns));
    TRY(add_associations(c, ns));
    TRY(add_parts(c, ns, METADEF_PROPERTY, ns->properties));
    TRY(add_parts(c, ns, METADEF_OBJECT, ns->objects));
    TRY(add_parts(c, ns, METADEF_TAG, ns->tags));
    c->audit_target = ns->namespace;
    http_reply_header(c->rp, c->cx, "Location",
                      arena_printf(c->cx->arena, "%s/metadefs/namespaces/%s", call_base_url(c),
                                   str_url(c->cx, ns->namespace)));
    return reply(c, 201, ns);
}

/* ---------------------------------------------------------------- change, delete */

struct err *metadef_namespace_update(struct call *c)
{
    struct metadef_namespace *old = NULL, *ns;
    TRY(metadef_namespace_of(c, &old));
    ns = arena_memdup(c->cx->arena, old, sizeof(*old));
    if (!json_get(c->json, "namespace"))
        return c->service->family->missing(c->cx, &metadef_namespace_resource, "namespace");
    TRY(res_decode(c->cx, c->service->family, &metadef_namespace_resource, c->json, DECODE_UPDATE,
                   0, c->actor->admin, ns));
    if (str_eq(old->namespace, ns->namespace)) {
        TRY(res_update(c->cx, c->tx, &metadef_namespace_resource, ns));
        return reply(c, 200, ns);
    }
    TRY(check_new_name(c, ns->namespace));
    TRY(res_delete(c->cx, c->tx, &metadef_namespace_resource, old));
    ns->row.generation = 0;
    TRY(res_insert(c->cx, c->tx, &metadef_namespace_resource, ns));
    return reply(c, 200, ns);
}

struct err *metadef_namespace_delete(struct call *c)
{
    struct metadef_namespace *ns = NULL;
    TRY(metadef_namespace_of(c, &ns));
    if (ns->is_protected)
        return fail(c->cx, ERR_FORBIDDEN,
                    "Metadata definition namespace %s is protected and cannot be deleted.",
                    ns->namespace);
    TRY(db_run(c->cx, c->tx, &stmt_metadef_forget_parts, V_TEXT(ns->id)));
    TRY(db_run(c->cx, c->tx, &stmt_metadef_forget_associations, V_TEXT(ns->id)));
    TRY(res_delete(c->cx, c->tx, &metadef_namespace_resource, ns));
    call_reply_empty(c, 204);
    return NULL;
}
