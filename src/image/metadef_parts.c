/* SPDX-License-Identifier: EUPL-1.2 */
/* Objects, properties and tags of a namespace: named definitions, alike but for their bodies. */
#include "image/metadefs.h"

#define RESOURCE metadef_part
#define RESOURCE_DEF "image/metadef_part.def"
#include "resource/declare_fields.h"

static const struct res_index metadef_part_indexes[] = {
    {"metadef_parts_name", "namespace_id, kind, name", true, NULL}};

const struct resource metadef_part_resource = {.name = "part",
                                               .plural = "parts",
                                               .table = "metadef_parts",
                                               RESOURCE_FIELDS(metadef_part),
                                               .bare = true,
                                               .owner = -1,
                                               .time_style = TIME_Z,
                                               .indexes = metadef_part_indexes,
                                               .n_indexes = ARRAY_LEN(metadef_part_indexes),
                                               .dflt_sort = "name:asc",
                                               .doc = "A definition in a namespace."};

const struct res_where metadef_parts_of = {&metadef_part_resource,
                                           "namespace_id = $1 AND kind = $2", "name"};
const struct res_where metadef_part_named = {&metadef_part_resource,
                                             "namespace_id = $1 AND kind = $2 AND name = $3", NULL};
const struct stmt stmt_metadef_clear = {
    "metadef_clear", "DELETE FROM metadef_parts WHERE namespace_id = $1 AND kind = $2"};

static const struct kind {
    const char *name, *plural;
    const char *(*check)(struct ctx *cx, const json_t *v);
    bool timed;   /* shows when it was made and changed */
    bool by_name; /* lists are an object by name */
} kinds[] = {
    [METADEF_OBJECT] = {"object", "objects", check_metadef_object, true, false},
    [METADEF_PROPERTY] = {"property", "properties", check_metadef_property, false, true},
    [METADEF_TAG] = {"tag", "tags", check_metadef_tag, true, false},
};

/* ---------------------------------------------------------------- one of them */

static struct err *find(struct call *c, const struct metadef_namespace *ns, const struct kind *k,
                        const char *name, struct metadef_part **ret)
{
    TRY(res_first_by(c->cx, c->tx, &metadef_part_named, (void **)ret, V_TEXT(ns->id),
                     V_TEXT(k->name), V_TEXT(name)));
    if (*ret)
        return NULL;
    return fail(c->cx, ERR_NOT_FOUND,
                "The metadata definition %s with name=%s was not found in namespace=%s.", k->name,
                name, ns->namespace);
}

/* What is kept of a body: not its name, nor what is said of the row. */
static const char *kept(struct ctx *cx, const json_t *body)
{
    static const char *const not_kept[] = {"name", "created_at", "updated_at", "self", "schema"};
    json_t *j =
        json_own(cx, json_is_object(body) ? json_copy((json_t *)(uintptr_t)body) : json_object());
    for (size_t i = 0; i < ARRAY_LEN(not_kept); i++)
        json_object_del(j, not_kept[i]);
    return json_text(cx, j);
}

static struct err *check_free(struct call *c, const struct metadef_namespace *ns,
                              const struct kind *k, const char *name)
{
    struct metadef_part *there = NULL;
    TRY(res_first_by(c->cx, c->tx, &metadef_part_named, (void **)&there, V_TEXT(ns->id),
                     V_TEXT(k->name), V_TEXT(name)));
    if (!there)
        return NULL;
    return fail(c->cx, ERR_EXISTS,
                "A metadata definition %s with name=%s already exists in namespace=%s.", k->name,
                name, ns->namespace);
}

struct err *metadef_part_add(struct call *c, const struct metadef_namespace *ns,
                             enum metadef_kind kind, const char *name, const json_t *body)
{
    struct metadef_part *p = res_new(c->cx, &metadef_part_resource);
    TRY(check_free(c, ns, &kinds[kind], name));
    p->id = uuid_new(c->cx);
    p->namespace_id = ns->id;
    p->kind = kinds[kind].name;
    p->name = name;
    p->body = kept(c->cx, body);
    return res_insert(c->cx, c->tx, &metadef_part_resource, p);
}

static void write_one(struct call *c, struct jw *w, const struct metadef_namespace *ns,
                      const struct kind *k, const struct metadef_part *p, bool named)
{
    json_t *body = NULL, *value;
    const char *key;
    must(!json_read(c->cx, p->body, strlen(p->body), &body)); /* we wrote it */
    jw_obj(w);
    if (named)
        jw_kstr(w, "name", p->name);
    json_object_foreach(body, key, value) jw_kjson(w, key, value);
    if (k->timed) {
        jw_kstr(w, "created_at", time_iso(c->cx, p->created_at, TIME_Z));
        jw_kstr(w, "updated_at", time_iso(c->cx, p->updated_at, TIME_Z));
    }
    if (k == &kinds[METADEF_OBJECT]) {
        jw_kstr(w, "self",
                arena_printf(c->cx->arena, "/v2/metadefs/namespaces/%s/objects/%s", ns->namespace,
                             p->name));
        jw_kstr(w, "schema", "/v2/schemas/metadefs/object");
    }
    jw_obj_end(w);
}

static struct err *reply_one(struct call *c, int status, const struct metadef_namespace *ns,
                             const struct kind *k, const struct metadef_part *p)
{
    struct jw w = call_json(c, status);
    write_one(c, &w, ns, k, p, true);
    return NULL;
}

/* ---------------------------------------------------------------- all of them */

static void write_all(struct call *c, struct jw *w, const struct metadef_namespace *ns,
                      const struct kind *k, void *const *rows, size_t n, const char *prefix)
{
    jw_key(w, k->plural);
    (k->by_name ? jw_obj : jw_arr)(w);
    for (size_t i = 0; i < n; i++) {
        const struct metadef_part *p = rows[i];
        if (k->by_name)
            jw_key(w, arena_printf(c->cx->arena, "%s%s", prefix, p->name));
        write_one(c, w, ns, k, p, !k->by_name);
    }
    (k->by_name ? jw_obj_end : jw_arr_end)(w);
}

struct err *metadef_parts_write(struct call *c, const struct metadef_namespace *ns,
                                const char *prefix, struct jw *w)
{
    static const enum metadef_kind order[] = {METADEF_PROPERTY, METADEF_OBJECT, METADEF_TAG};
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        const struct kind *k = &kinds[order[i]];
        void **rows;
        size_t n;
        TRY(res_select_by(c->cx, c->tx, &metadef_parts_of, &rows, &n, V_TEXT(ns->id),
                          V_TEXT(k->name)));
        if (n)
            write_all(c, w, ns, k, rows, n, prefix);
    }
    return NULL;
}

/* limit and marker (a name), as the API has them for lists. */
static struct err *page(struct call *c, void ***rows, size_t *n)
{
    const char *marker = http_arg(c->rq, "marker"), *limit = http_arg(c->rq, "limit");
    int64_t most = 1000;
    size_t from = 0;
    if (limit && !str_to_i64(limit, 0, INT32_MAX, &most))
        return fail(c->cx, ERR_INVALID, "limit param must be an integer");
    while (marker && from < *n && !str_eq(ROW(metadef_part, *rows, from)->name, marker))
        from++;
    if (marker && from == *n)
        return fail(c->cx, ERR_INVALID, "Invalid marker: '%s'", marker);
    from += marker != NULL;
    *rows += from;
    *n = (size_t)min_i64((int64_t)(*n - from), most);
    return NULL;
}

static struct err *list(struct call *c, enum metadef_kind kind)
{
    const struct kind *k = &kinds[kind];
    struct metadef_namespace *ns = NULL;
    const char *prefix;
    void **rows;
    size_t n;
    TRY(metadef_namespace_of(c, &ns));
    TRY(metadef_prefix_asked(c, ns, &prefix));
    TRY(res_select_by(c->cx, c->tx, &metadef_parts_of, &rows, &n, V_TEXT(ns->id), V_TEXT(k->name)));
    TRY(page(c, &rows, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    write_all(c, &w, ns, k, rows, n, prefix);
    jw_kstr(&w, "first",
            arena_printf(c->cx->arena, "/v2/metadefs/namespaces/%s/%s", ns->namespace, k->plural));
    jw_kstr(&w, "schema", arena_printf(c->cx->arena, "/v2/schemas/metadefs/%s", k->plural));
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- changes */

static struct err *check_body(struct call *c, const struct kind *k)
{
    const char *reason = k->check(c->cx, c->json), *name = json_get_str(c->json, "name");
    if (!reason && (!name || !*name || str_utf8_len(name) > 80))
        reason = "'name' is a required property, of 1 to 80 characters";
    if (!reason)
        return NULL;
    return fail(c->cx, ERR_INVALID, "Provided object does not match schema '%s': %s", k->name,
                reason);
}

static struct err *create(struct call *c, enum metadef_kind kind)
{
    struct metadef_namespace *ns = NULL;
    struct metadef_part *p = NULL;
    TRY(metadef_namespace_of(c, &ns));
    TRY(check_body(c, &kinds[kind]));
    TRY(metadef_part_add(c, ns, kind, json_get_str(c->json, "name"), c->json));
    TRY(find(c, ns, &kinds[kind], json_get_str(c->json, "name"), &p));
    return reply_one(c, 201, ns, &kinds[kind], p);
}

/* Names in a namespace may be asked for as a type of resources has them. */
static struct err *of_path(struct call *c, const struct kind *k, struct metadef_namespace **ret_ns,
                           struct metadef_part **ret)
{
    const char *name = call_param(c, "name"), *prefix;
    TRY(metadef_namespace_of(c, ret_ns));
    TRY(metadef_prefix_asked(c, *ret_ns, &prefix));
    if (str_starts(name, prefix))
        name += strlen(prefix);
    return find(c, *ret_ns, k, name, ret);
}

static struct err *show(struct call *c, enum metadef_kind kind)
{
    struct metadef_namespace *ns = NULL;
    struct metadef_part *p = NULL;
    TRY(of_path(c, &kinds[kind], &ns, &p));
    return reply_one(c, 200, ns, &kinds[kind], p);
}

static struct err *update(struct call *c, enum metadef_kind kind)
{
    struct metadef_namespace *ns = NULL;
    struct metadef_part *p = NULL;
    TRY(of_path(c, &kinds[kind], &ns, &p));
    TRY(check_body(c, &kinds[kind]));
    if (!str_eq(p->name, json_get_str(c->json, "name")))
        TRY(check_free(c, ns, &kinds[kind], json_get_str(c->json, "name")));
    p->name = json_get_str(c->json, "name");
    p->body = kept(c->cx, c->json);
    TRY(res_update(c->cx, c->tx, &metadef_part_resource, p));
    return reply_one(c, 200, ns, &kinds[kind], p);
}

static struct err *check_unprotected(struct call *c, const struct metadef_namespace *ns,
                                     const struct kind *k)
{
    if (!ns->is_protected)
        return NULL;
    return fail(c->cx, ERR_FORBIDDEN,
                "Metadata definition namespace %s is protected: its %s cannot be deleted.",
                ns->namespace, k->plural);
}

static struct err *remove_one(struct call *c, enum metadef_kind kind)
{
    struct metadef_namespace *ns = NULL;
    struct metadef_part *p = NULL;
    TRY(of_path(c, &kinds[kind], &ns, &p));
    TRY(check_unprotected(c, ns, &kinds[kind]));
    TRY(res_delete(c->cx, c->tx, &metadef_part_resource, p));
    call_reply_empty(c, 204);
    return NULL;
}

static struct err *clear(struct call *c, enum metadef_kind kind)
{
    struct metadef_namespace *ns = NULL;
    TRY(metadef_namespace_of(c, &ns));
    TRY(check_unprotected(c, ns, &kinds[kind]));
    TRY(db_run(c->cx, c->tx, &stmt_metadef_clear, V_TEXT(ns->id), V_TEXT(kinds[kind].name)));
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- the routes' handlers */

#define HANDLERS(what, kind)                                                                       \
    struct err *metadef_##what##_list(struct call *c)                                              \
    {                                                                                              \
        return list(c, kind);                                                                      \
    }                                                                                              \
    struct err *metadef_##what##_show(struct call *c)                                              \
    {                                                                                              \
        return show(c, kind);                                                                      \
    }                                                                                              \
    struct err *metadef_##what##_update(struct call *c)                                            \
    {                                                                                              \
        return update(c, kind);                                                                    \
    }                                                                                              \
    struct err *metadef_##what##_delete(struct call *c)                                            \
    {                                                                                              \
        return remove_one(c, kind);                                                                \
    }                                                                                              \
    struct err *metadef_##what##_clear(struct call *c)                                             \
    {                                                                                              \
        return clear(c, kind);                                                                     \
    }
HANDLERS(object, METADEF_OBJECT)
HANDLERS(property, METADEF_PROPERTY)
HANDLERS(tag, METADEF_TAG)

struct err *metadef_object_create(struct call *c)
{
    return create(c, METADEF_OBJECT);
}

struct err *metadef_property_create(struct call *c)
{
    return create(c, METADEF_PROPERTY);
}

/* A tag is its name: it has no body. */
struct err *metadef_tag_create(struct call *c)
{
    struct metadef_namespace *ns = NULL;
    struct metadef_part *p = NULL;
    const char *name = call_param(c, "name");
    TRY(metadef_namespace_of(c, &ns));
    if (str_utf8_len(name) > 80)
        return fail(c->cx, ERR_INVALID, "The name of a tag has at most 80 characters");
    TRY(metadef_part_add(c, ns, METADEF_TAG, name, NULL));
    TRY(find(c, ns, &kinds[METADEF_TAG], name, &p));
    return reply_one(c, 201, ns, &kinds[METADEF_TAG], p);
}

/* All at once: instead of those that are there, or beside them. */
struct err *metadef_tags_create(struct call *c)
{
    const struct kind *k = &kinds[METADEF_TAG];
    const json_t *tags = json_get(c->json, "tags");
    const char *reason = check_metadef_tags(c->cx, tags, NULL);
    const char *append = http_header(c->rq, "X-Openstack-Append");
    struct metadef_namespace *ns = NULL;
    bool keeps = false;
    void **rows;
    size_t n;
    TRY(metadef_namespace_of(c, &ns));
    if (reason)
        return fail(c->cx, ERR_INVALID, "Provided object does not match schema 'tags': %s", reason);
    if (!append || !str_to_bool(append, &keeps) || !keeps)
        TRY(db_run(c->cx, c->tx, &stmt_metadef_clear, V_TEXT(ns->id), V_TEXT(k->name)));
    for (size_t i = 0; i < json_array_size(tags); i++)
        TRY(metadef_part_add(c, ns, METADEF_TAG, json_get_str(json_array_get(tags, i), "name"),
                             NULL));
    TRY(res_select_by(c->cx, c->tx, &metadef_parts_of, &rows, &n, V_TEXT(ns->id), V_TEXT(k->name)));
    struct jw w = call_json(c, 201);
    jw_obj(&w);
    write_all(c, &w, ns, k, rows, n, "");
    jw_obj_end(&w);
    return NULL;
}
