/* SPDX-License-Identifier: EUPL-1.2 */
/* What the network service's resources have in common: bulk creation, tag filters, hooks of fields,
 * batches. */
#include "network/nw.h"
#include <ctype.h>

#define BULK_MAX 100
#define ROUTES_MAX 100

void nw_encode_revision(struct ctx *cx UNUSED, struct jw *w, const void *row,
                        const struct view *v UNUSED)
{
    jw_int(w, ((const struct row *)row)->generation);
}

void nw_encode_null(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                    const struct view *v UNUSED)
{
    jw_null(w);
}

/* ---------------------------------------------------------------- checks of fields */

const char *nw_check_routes(struct ctx *cx, const json_t *v, json_t **ret)
{
    if (!json_is_array(v))
        return arena_printf(cx->arena, "%s is not a list of routes", json_python(cx, v));
    if (json_array_size(v) > ROUTES_MAX)
        return arena_printf(cx->arena, "there are more than %d routes", ROUTES_MAX);
    json_t *out = json_own(cx, json_array());
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *route = json_array_get(v, i);
        const char *destination = json_get_str(route, "destination"),
                   *nexthop = json_get_str(route, "nexthop");
        struct cidr to;
        struct addr hop;
        if (json_object_size(route) != 2 || !destination || !nexthop)
            return arena_printf(cx->arena, "%s is not a route: it needs destination and nexthop",
                                json_python(cx, route));
        if (!strchr(destination, '/') || !cidr_parse(destination, &to))
            return arena_printf(cx->arena, "'%s' is not a valid IP subnet", destination);
        if (!addr_parse(nexthop, &hop) || hop.version != to.net.version)
            return arena_printf(cx->arena, "'%s' is not a valid nexthop of %s", nexthop,
                                destination);
        json_t *one = json_pack("{s:s, s:s}", "destination", cidr_text(cx, &to), "nexthop",
                                addr_text(cx, &hop));
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_array_get(out, k), one)) {
                json_decref(one);
                return arena_printf(cx->arena, "Duplicate item in the list: '%s'",
                                    json_python(cx, route));
            }
        json_array_append_new(out, one);
    }
    *ret = out;
    return NULL;
}

/* Labels of letters, digits and hyphens, with dots between them; a dot at the end is fine. */
static bool is_dns_name(const char *s)
{
    size_t label = 0;
    for (const char *p = s; p && *p; p++) {
        if (*p == '.' ? !label : !isalnum((unsigned char)*p) && (*p != '-' || !label))
            return false;
        label = *p == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return true;
}

const char *nw_check_dns_name(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    if (is_dns_name(json_string_value(v)))
        return NULL;
    return arena_printf(cx->arena, "%s is not a valid host name", json_python(cx, v));
}

const char *nw_check_dns_domain(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    if (is_dns_name(json_string_value(v)))
        return NULL;
    return arena_printf(cx->arena, "%s is not a valid DNS domain", json_python(cx, v));
}

/* ---------------------------------------------------------------- creating one or many */

bool nw_owns(const struct call *c, const char *project_id)
{
    return c->actor->admin || str_eq(c->actor->project_id, project_id);
}

/* NULL: it has none. */
static const char **text_member(const struct resource *res, void *row, const char *member)
{
    for (size_t i = 0; i < res->n_fields; i++)
        if (str_eq(res->fields[i].member, member))
            return (const char **)(void *)((char *)row + res->fields[i].offset);
    return NULL;
}

const char *nw_id_of(const struct resource *res, const void *row)
{
    return *text_member(res, (void *)(uintptr_t)row, "id");
}

static struct err *make_one(struct call *c, const struct resource *res, void *row,
                            struct err *(*make)(struct call *c, void *row))
{
    const char **project = text_member(res, row, "project_id");
    const char **tags = text_member(res, row, "tags");
    if (!*project || !**project)
        *project = c->actor->project_id;
    if (!*project)
        return bad(c->cx, "HTTPBadRequest",
                   "Running without a project: say which one with project_id");
    if (!nw_owns(c, *project))
        return bad(c->cx, "HTTPBadRequest",
                   "Specifying 'project_id' or 'tenant_id' other than the authenticated project in "
                   "request requires "
                   "admin privileges");
    *text_member(res, row, "id") = uuid_new(c->cx);
    if (tags)
        *tags = "[]";
    TRY(make(c, row));
    c->audit_target = *text_member(res, row, "id");
    return NULL;
}

static struct err *make_many(struct call *c, const struct resource *res, const json_t *items,
                             struct err *(*make)(struct call *c, void *row))
{
    size_t n = json_array_size(items);
    void **rows = arena_new_array(c->cx->arena, void *, n + 1);
    if (!json_is_array(items) || !n || n > BULK_MAX)
        return bad(c->cx, "HTTPBadRequest", "'%s' must be a list of 1 to %d objects", res->plural,
                   BULK_MAX);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(items, i);
        if (!json_is_object(item))
            return bad(c->cx, "HTTPBadRequest", "Each of '%s' must be an object", res->plural);
        rows[i] = res_new(c->cx, res);
        TRY(res_decode(c->cx, c->service->family, res, item, DECODE_CREATE, 0, c->actor->admin,
                       rows[i]));
        TRY(make_one(c, res, rows[i], make));
    }
    struct view v = call_view(c);
    TRY(res_prepare(c->cx, c->tx, res, rows, n, &v));
    struct jw w = call_json(c, 201);
    jw_obj(&w);
    jw_karr(&w, res->plural);
    for (size_t i = 0; i < n; i++)
        res_encode(c->cx, &w, res, rows[i], &v);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *nw_create(struct call *c, const struct resource *res,
                      struct err *(*make)(struct call *c, void *row))
{
    const json_t *many = json_get(c->json, res->plural);
    if (many)
        return make_many(c, res, many, make);
    void *row = res_new(c->cx, res);
    TRY(res_decode_body(c->cx, c->service->family, res, c->json, DECODE_CREATE, 0, c->actor->admin,
                        row));
    TRY(make_one(c, res, row, make));
    return call_reply_row(c, 201, res, row);
}

struct err *nw_show(struct call *c)
{
    return call_reply_row(c, 200, c->route->target, c->target);
}

struct err *nw_check_revision(struct call *c)
{
    static const char prefix[] = "revision_number=";
    const char *match = http_header(c->rq, "If-Match");
    int64_t asked, is = row_of(c->target)->generation;
    if (!match || str_eq(c->rq->method, "GET"))
        return NULL;
    if (!str_starts(match, prefix) || !str_to_i64(match + strlen(prefix), 0, INT64_MAX, &asked))
        return bad(c->cx, "HTTPBadRequest",
                   "The header If-Match is revision_number=NUMBER, not '%s'", match);
    if (asked == is)
        return NULL;
    return fail_type(c->cx, ERR_PRECONDITION, "RevisionNumberConstraintFailed",
                     "Constrained to %" PRId64 ", but current revision is %" PRId64, asked, is);
}

/* ---------------------------------------------------------------- lists */

static bool is_tag_filter(const char *name)
{
    return str_eq(name, "tags") || str_eq(name, "tags-any") || str_eq(name, "not-tags") ||
           str_eq(name, "not-tags-any");
}

#define SHARED_IDS                                                                                 \
    "(SELECT object_id FROM rbac_policies WHERE action = 'access_as_shared' "                      \
    "AND target_project IN ('*', {project}))"

/* Tags, which stand inside a column, and "shared", which is for each project another thing. */
static struct err *take_filter(struct call *c, const char *name, const char *value, bool *ret_taken,
                               const char **ret_sql)
{
    bool b;
    *ret_taken = is_tag_filter(name);
    if (!str_eq(name, "shared") || !nw_rbac_type(c->route->list))
        return NULL;
    *ret_taken = true;
    if (!str_to_bool(value, &b))
        return bad(c->cx, "HTTPBadRequest",
                   "Invalid input for shared. Reason: '%s' is not a boolean.", value);
    *ret_sql = b ? "id IN " SHARED_IDS : "id NOT IN " SHARED_IDS;
    return NULL;
}

static bool tags_match(struct call *c, const char *tags, const char *filter, const char *wanted)
{
    char **words;
    size_t n = str_split(c->cx, wanted, ',', &words), found = 0;
    for (size_t i = 0; i < n; i++)
        found += nw_list_has(c->cx, tags, words[i]);
    bool hit = str_ends(filter, "-any") ? found > 0 : found == n;
    return str_starts(filter, "not-") ? !hit : hit;
}

static bool keep_tagged(struct call *c, const void *row)
{
    const char *tags = *text_member(c->route->list, (void *)(uintptr_t)row, "tags");
    for (size_t i = 0; i < c->rq->n_args; i++)
        if (is_tag_filter(c->rq->args[i].name) &&
            !tags_match(c, tags, c->rq->args[i].name, c->rq->args[i].value))
            return false;
    return true;
}

struct err *nw_list(struct call *c, const struct list_more *more)
{
    struct list_more m = more ? *more : (struct list_more){0};
    const struct resource *res = c->route->list;
    m.filter = take_filter;
    if (nw_rbac_type(res))
        m.shared_where =
            arena_printf(c->cx->arena,
                         "id IN (SELECT object_id FROM rbac_policies WHERE object_type "
                         "= '%s' AND target_project IN ('*', {project}))",
                         nw_rbac_type(res));
    const struct field *tags = resource_field(res, "tags");
    for (size_t i = 0; tags && i < c->rq->n_args; i++)
        if (is_tag_filter(c->rq->args[i].name))
            m.keep = keep_tagged;
    if (m.keep == keep_tagged)
        m.keep_needs =
            arena_memdup(c->cx->arena, NEEDS(resource_field_index(res, tags)), 2 * sizeof(int));
    return call_reply_list(c, c->route->list, &m);
}

/* ---------------------------------------------------------------- columns that hold JSON, batches
 */

const json_t *nw_json(struct ctx *cx, const char *text)
{
    json_t *j = NULL;
    const char *s = text ? text : "[]";
    struct err *e = json_read(cx, s, strlen(s), &j);
    must(!e); /* we wrote it */
    return j;
}

bool nw_list_has(struct ctx *cx, const char *list, const char *item)
{
    const json_t *j = nw_json(cx, list);
    for (size_t i = 0; i < json_array_size(j); i++)
        if (str_eq(json_string_value(json_array_get(j, i)), item))
            return true;
    return false;
}

const char *nw_words(struct ctx *cx, const char *const *words, size_t n, const char *sep)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s%s", i ? sep : "", words[i]);
    return buf_cstr(&b);
}
