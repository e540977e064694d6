/* SPDX-License-Identifier: EUPL-1.2 */
/* The OpenAPI 3.0 description of every service, from the same tables that serve it. */
#include "resource/api.h"

const char *rule_name(enum rule rule)
{
    static const char *const names[] = {[RULE_NOBODY] = "nobody",
                                        [RULE_PUBLIC] = "public",
                                        [RULE_ANY] = "any token",
                                        [RULE_READER] = "project reader",
                                        [RULE_MEMBER] = "project member",
                                        [RULE_ADMIN] = "admin",
                                        [RULE_NODE] = "agent"};
    return names[rule];
}

const char *field_json_type(const struct field *f)
{
    switch (f->kind) {
    case KIND_INT:
        return "integer";
    case KIND_BOOL:
        return "boolean";
    case KIND_LIST:
        return "array";
    case KIND_MAP:
        return "object";
    default:
        return "string";
    }
}

static void bounds(struct jw *w, const struct field *f)
{
    bool text = f->kind == KIND_STR || f->kind == KIND_UUID;
    if (text && f->min > 0)
        jw_kint(w, "minLength", f->min);
    if (text)
        jw_kint(w, "maxLength", f->max ? f->max : 255);
    if (f->kind == KIND_INT && (f->flags & F_RW)) {
        jw_kint(w, "minimum", f->min);
        if (f->max)
            jw_kint(w, "maximum", f->max);
    }
}

/* A virtual field's value is whatever its hook writes. */
static void schema_of_field(struct jw *w, const struct field *f)
{
    jw_obj(w);
    if (f->kind != KIND_JSON && !f->encode)
        jw_kstr(w, "type", field_json_type(f));
    if (f->kind == KIND_TIME && !f->encode)
        jw_kstr(w, "format", "date-time");
    if (f->kind == KIND_LIST && !f->encode)
        jw_kraw(w, "items", "{\"type\":\"string\"}");
    if (f->kind == KIND_MAP && !f->encode)
        jw_kraw(w, "additionalProperties", "{\"type\":\"string\"}");
    if (f->flags & (F_NULL | F_NULL_DFLT))
        jw_kbool(w, "nullable", true);
    if (!f->encode)
        bounds(w, f);
    if (f->values && !f->encode) {
        jw_karr(w, "enum");
        for (const char *const *v = f->values; *v; v++)
            jw_str(w, *v);
        if (f->flags & F_NULL)
            jw_null(w);
        jw_arr_end(w);
    }
    if (!(f->flags & F_RW))
        jw_kbool(w, "readOnly", true);
    if ((f->flags & F_NOT_SHOWN) && (f->flags & F_RW))
        jw_kbool(w, "writeOnly", true);
    if (f->doc)
        jw_kstr(w, "description", f->doc);
    if (f->since)
        jw_kint(w, "x-since-microversion", f->since);
    if (f->until)
        jw_kint(w, "x-until-microversion", f->until);
    if (f->flags & (F_ADMIN | F_ADMIN_SET))
        jw_kbool(w, "x-admin", true);
    jw_obj_end(w);
}

enum side { SIDE_REPLY, SIDE_CREATE, SIDE_UPDATE };

static bool belongs(const struct field *f, enum side side)
{
    if (side == SIDE_REPLY)
        return !(f->flags & (F_HIDDEN | F_NOT_SHOWN));
    return (f->flags & (side == SIDE_CREATE ? F_CREATE : F_UPDATE)) != 0;
}

static void schema_of_resource(struct jw *w, const struct resource *res, enum side side)
{
    bool required = false;
    jw_obj(w);
    jw_kstr(w, "type", "object");
    if (res->doc)
        jw_kstr(w, "description", res->doc);
    jw_kobj(w, "properties");
    for (size_t i = 0; i < res->n_fields; i++) {
        const struct field *f = &res->fields[i];
        required |= side == SIDE_CREATE && (f->flags & F_REQ);
        for (int again = 0; belongs(f, side) && again < 2; again++) {
            if (again && !f->also)
                break;
            jw_key(w, again ? f->also : f->wire);
            schema_of_field(w, f);
        }
    }
    jw_obj_end(w);
    if (required) {
        jw_karr(w, "required");
        for (size_t i = 0; i < res->n_fields; i++)
            if (res->fields[i].flags & F_REQ)
                jw_str(w, res->fields[i].wire);
        jw_arr_end(w);
    }
    if (res->extra == EXTRA_KEEP)
        jw_kraw(w, "additionalProperties",
                res->fields[res->extra_member].kind == KIND_MAP ? "{\"type\":\"string\"}" : "{}");
    else if (side != SIDE_REPLY)
        jw_kbool(w, "additionalProperties", res->extra == EXTRA_IGNORE);
    jw_obj_end(w);
}

static const char *schema_name(struct ctx *cx, const struct service *svc,
                               const struct resource *res, enum side side)
{
    static const char *const suffix[] = {"", "-create", "-update"};
    return arena_printf(cx->arena, "%s.%s%s", svc->name, res->name, suffix[side]);
}

/* {"server": {"$ref": …}}, or the reference alone for bare resources; a list: {"servers": [ … ]}.
 */
static void wrapped(struct ctx *cx, struct jw *w, const struct service *svc,
                    const struct resource *res, enum side side, bool list)
{
    bool wrap = list || !res->bare;
    jw_obj(w);
    if (wrap) {
        jw_kstr(w, "type", "object");
        jw_kobj(w, "properties");
        jw_kobj(w, list ? res->plural : res->name);
    }
    if (list) {
        jw_kstr(w, "type", "array");
        jw_kobj(w, "items");
    }
    jw_kstr(w, "$ref",
            arena_printf(cx->arena, "#/components/schemas/%s", schema_name(cx, svc, res, side)));
    for (int i = 0; i < (list ? 1 : 0) + (wrap ? 2 : 0); i++)
        jw_obj_end(w);
    jw_obj_end(w);
}

static void content(struct ctx *cx, struct jw *w, const struct service *svc,
                    const struct resource *res, enum side side, bool list)
{
    jw_kobj(w, "content");
    jw_kobj(w, "application/json");
    jw_key(w, "schema");
    wrapped(cx, w, svc, res, side, list);
    jw_obj_end(w);
    jw_obj_end(w);
}

/* ---------------------------------------------------------------- one operation */

static void parameter(struct jw *w, const char *where, const char *name, const char *doc)
{
    jw_obj(w);
    jw_kstr(w, "name", name);
    jw_kstr(w, "in", where);
    jw_kbool(w, "required", str_eq(where, "path"));
    if (doc)
        jw_kstr(w, "description", doc);
    jw_kraw(w, "schema", "{\"type\":\"string\"}");
    jw_obj_end(w);
}

static void parameters(struct ctx *cx, struct jw *w, const struct service *svc,
                       const struct route *r)
{
    jw_karr(w, "parameters");
    for (const char *p = strchr(r->pattern, '{'); p; p = strchr(p + 1, '{'))
        parameter(w, "path", arena_strndup(cx->arena, p + 1, strcspn(p + 1, "}")), NULL);
    for (size_t i = 0; r->list && i < r->list->n_fields; i++) {
        const struct field *f = &r->list->fields[i];
        if (f->flags & F_FILTER)
            parameter(w, "query", f->query ? f->query : f->wire, "Only those with this value.");
    }
    if (r->list) {
        parameter(w, "query", "limit", "How many at most.");
        parameter(w, "query", "marker", "Those after the one with this id.");
    }
    if (svc->family->max)
        parameter(w, "header", "OpenStack-API-Version",
                  arena_printf(cx->arena, "\"%s %u.%u\" to \"%s %u.%u\"", svc->family->name,
                               svc->family->major, svc->family->min, svc->family->name,
                               svc->family->major, svc->family->max));
    jw_arr_end(w);
}

static void responses(struct ctx *cx, struct jw *w, const struct service *svc,
                      const struct route *r)
{
    const struct resource *one = r->body ? r->body : r->target;
    bool listed = r->list != NULL, delete = str_eq(r->method, "DELETE");
    const struct resource *res = listed                                ? r->list
                                 : delete || str_eq(r->method, "HEAD") ? NULL
                                                                       : one;
    int status = r->status ? r->status : 200;
    jw_kobj(w, "responses");
    jw_kobj(w, arena_printf(cx->arena, "%d", status));
    jw_kstr(w, "description", "Done.");
    if (res && status != 204 && res->table &&
        (listed || str_eq(r->method, "POST") || r->target == res))
        content(cx, w, svc, res, SIDE_REPLY, listed);
    jw_obj_end(w);
    jw_kraw(w, "default", "{\"description\":\"An error in the service's own shape.\"}");
    jw_obj_end(w);
}

static void operation(struct ctx *cx, struct jw *w, const struct service *svc,
                      const struct route *r)
{
    bool update = (r->flags & RT_UPDATE) || str_eq(r->method, "PUT") || str_eq(r->method, "PATCH");
    jw_key(w, str_lower(cx, r->method));
    jw_obj(w);
    jw_karr(w, "tags");
    jw_str(w, svc->name);
    jw_arr_end(w);
    if (r->doc)
        jw_kstr(w, "summary", r->doc);
    jw_kstr(w, "x-policy", r->policy);
    jw_kstr(w, "x-rule", rule_name(r->rule));
    if (r->since)
        jw_kint(w, "x-since-microversion", r->since);
    if (r->until)
        jw_kint(w, "x-until-microversion", r->until);
    if (r->rule == RULE_PUBLIC)
        jw_kraw(w, "security", "[]");
    else if (r->rule == RULE_NODE)
        jw_kraw(w, "security", "[{\"agent\":[]}]");
    parameters(cx, w, svc, r);
    if (r->body) {
        jw_kobj(w, "requestBody");
        jw_kbool(w, "required", true);
        content(cx, w, svc, r->body, update ? SIDE_UPDATE : SIDE_CREATE, false);
        jw_obj_end(w);
    } else if (r->flags & RT_STREAM) {
        jw_kraw(w, "requestBody",
                "{\"content\":{\"application/octet-stream\":{\"schema\":{\"type\":\"string\","
                "\"format\":\"binary\"}}}}");
    }
    responses(cx, w, svc, r);
    jw_obj_end(w);
}

/* ---------------------------------------------------------------- the document */

struct entry {
    const struct service *svc;
    const struct route *route;
};

static int by_path(const void *a, const void *b)
{
    const struct route *x = ((const struct entry *)a)->route, *y = ((const struct entry *)b)->route;
    int order = strcmp(x->pattern, y->pattern);
    return order ? order : strcmp(x->method, y->method);
}

static void paths(struct ctx *cx, struct jw *w, const struct service *const *services,
                  size_t n_services)
{
    size_t n = 0;
    for (size_t i = 0; i < n_services; i++)
        n += services[i]->n_routes;
    struct entry *all = arena_new_array(cx->arena, struct entry, n + 1);
    n = 0;
    for (size_t i = 0; i < n_services; i++)
        for (size_t k = 0; k < services[i]->n_routes; k++)
            all[n++] = (struct entry){services[i], &services[i]->routes[k]};
    qsort(all, n, sizeof(*all), by_path);
    jw_kobj(w, "paths");
    for (size_t i = 0; i < n; i++) {
        bool first = !i || !str_eq(all[i].route->pattern, all[i - 1].route->pattern);
        if (first && i)
            jw_obj_end(w);
        if (first)
            jw_kobj(w, all[i].route->pattern);
        operation(cx, w, all[i].svc, all[i].route);
    }
    if (n)
        jw_obj_end(w);
    jw_obj_end(w);
}

static bool used_as(const struct service *svc, const struct resource *res)
{
    for (size_t i = 0; i < svc->n_resources; i++)
        if (svc->resources[i] == res)
            return true;
    return false;
}

static void resource_schemas(struct ctx *cx, struct jw *w, const struct service *svc,
                             const struct resource *res)
{
    for (int side = SIDE_REPLY; side <= SIDE_UPDATE; side++) {
        jw_key(w, schema_name(cx, svc, res, (enum side)side));
        schema_of_resource(w, res, (enum side)side);
    }
}

/* Resources of the tables, and bodies that only routes name. */
static void schemas(struct ctx *cx, struct jw *w, const struct service *svc)
{
    for (size_t i = 0; i < svc->n_resources; i++)
        resource_schemas(cx, w, svc, svc->resources[i]);
    for (size_t i = 0; i < svc->n_routes; i++) {
        const struct resource *named[] = {svc->routes[i].body, svc->routes[i].target,
                                          svc->routes[i].list};
        for (size_t k = 0; k < ARRAY_LEN(named); k++) {
            bool seen = !named[k] || used_as(svc, named[k]);
            for (size_t e = 0; e < i && !seen; e++)
                seen = svc->routes[e].body == named[k] || svc->routes[e].target == named[k] ||
                       svc->routes[e].list == named[k];
            for (size_t e = 0; e < k && !seen; e++)
                seen = named[e] == named[k];
            if (!seen)
                resource_schemas(cx, w, svc, named[k]);
        }
    }
}

void openapi_write(struct ctx *cx, const struct service *const *services, size_t n_services,
                   struct buf *out)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kstr(&w, "openapi", "3.0.3");
    jw_kobj(&w, "info");
    jw_kstr(&w, "title", "Colvert");
    jw_kstr(&w, "version", COLVERT_VERSION);
    jw_kstr(&w, "description", "The APIs of a Colvert region, as its tables declare them.");
    jw_obj_end(&w);
    jw_kraw(&w, "security", "[{\"token\":[]}]");
    paths(cx, &w, services, n_services);
    jw_kobj(&w, "components");
    jw_kraw(&w, "securitySchemes",
            "{\"token\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-Auth-Token\"},"
            "\"agent\":{\"type\":\"http\",\"scheme\":\"bearer\"}}");
    jw_kobj(&w, "schemas");
    for (size_t i = 0; i < n_services; i++)
        schemas(cx, &w, services[i]);
    jw_obj_end(&w);
    jw_obj_end(&w);
    jw_obj_end(&w);
    buf_char(out, '\n');
}
