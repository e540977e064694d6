/* SPDX-License-Identifier: EUPL-1.2 */
/* The compute service, put together from topics.def; and helpers that its files share. */
#include "compute/placing.h"

struct compute_config compute_cfg;

void compute_configure(const struct compute_config *cfg)
{
    static const struct fleet_kind servers = {
        .name = "server", .view = server_view, .list = server_ids_on, .report = server_report};
    compute_cfg = *cfg;
    if (!compute_cfg.default_zone)
        compute_cfg.default_zone = "nova";
    if (!compute_cfg.placement.filters)
        compute_cfg.placement = place_policy_default;
    if (!compute_cfg.ratios.vcpus)
        compute_cfg.ratios = place_ratios_default;
    host_cache_init();
    fleet_add_kind(&servers);
    fleet_add_kind(&cached_image_kind);
    image_on_export(EXPORT_SERVER, server_exported);
}

/* ---------------------------------------------------------------- helpers */

struct err *bad_member(struct call *c, const char *name, const json_t *value, const char *reason)
{
    return fail(c->cx, ERR_INVALID, "Invalid input for field/attribute %s. Value: %s. %s", name,
                value ? json_python(c->cx, value) : "None", reason);
}

struct err *body_object(struct call *c, const char *name, const json_t **ret)
{
    const char *key;
    json_t *v;
    if (!json_is_object(c->json))
        return fail(c->cx, ERR_INVALID,
                    "The request body must be a JSON object with the member '%s'", name);
    json_object_foreach(c->json, key, v) if (!str_eq(key, name)) return fail(
        c->cx, ERR_INVALID,
        "Invalid input for field/attribute %s. Additional properties are not allowed "
        "('%s' was unexpected)",
        name, key);
    const json_t *obj = json_get(c->json, name);
    if (!obj)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field/attribute %s. '%s' is a required property", name,
                    name);
    if (!json_is_object(obj))
        return bad_member(c, name, obj, "it is not of type 'object'");
    *ret = obj;
    return NULL;
}

struct err *only_members(struct call *c, const char *what, const json_t *obj,
                         const char *const *names, size_t n)
{
    const char *key;
    json_t *v;
    if (!json_is_object(obj))
        return bad_member(c, what, obj, "it is not of type 'object'");
    json_object_foreach((json_t *)(uintptr_t)obj, key, v)
    {
        bool known = false;
        for (size_t i = 0; i < n; i++)
            known = known || str_eq(names[i], key);
        if (!known)
            return bad_member(
                c, what, obj,
                arena_printf(c->cx->arena,
                             "Additional properties are not allowed ('%s' was unexpected)", key));
    }
    return NULL;
}

struct err *body_only_member(struct call *c, const char **ret_name, const json_t **ret_value)
{
    if (!json_is_object(c->json) || json_object_size(c->json) != 1)
        return fail(c->cx, ERR_INVALID,
                    "Malformed request body: an object with one member, the action, is needed");
    void *it = json_object_iter(c->json);
    *ret_name = json_object_iter_key(it);
    *ret_value = json_object_iter_value(it);
    return NULL;
}

/* Any printable text without blanks at its ends. */
const char *check_name(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    const char *s = json_string_value(v);
    if (!s || !*s)
        return NULL; /* type and length are the field's own */
    bool blank = s[0] == ' ' || s[strlen(s) - 1] == ' ', control = false;
    for (const char *p = s; *p; p++)
        control = control || (unsigned char)*p < 0x20 || *p == 0x7f;
    if (!blank && !control)
        return NULL;
    return arena_printf(cx->arena,
                        "%s has leading or trailing blanks, or characters that cannot be printed",
                        json_python(cx, v));
}

#define LINK(rel) "\"rel\":\"" rel "\",\"href\":"

/* start: LINK(…); base: base_url, or what is left of it. */
static void write_link(struct jw *w, const char *start, const char *base, size_t base_size,
                       const char *collection, const char *id)
{
    jw_obj(w);
    jw_key_ready(w, start, strlen(start));
    jw_url(w, base, base_size, collection, id);
    jw_obj_end(w);
}

/* Permanent links have no version: base_url without its last segment. */
static size_t unversioned_size(const char *base_url)
{
    return (size_t)(strrchr(base_url, '/') - base_url);
}

void write_links(struct jw *w, const char *base_url, const char *collection, const char *id)
{
    jw_karr(w, "links");
    write_link(w, LINK("self"), base_url, strlen(base_url), collection, id);
    write_link(w, LINK("bookmark"), base_url, unversioned_size(base_url), collection, id);
    jw_arr_end(w);
}

void write_bookmark(struct jw *w, const char *base_url, const char *collection, const char *id)
{
    jw_karr(w, "links");
    write_link(w, LINK("bookmark"), base_url, unversioned_size(base_url), collection, id);
    jw_arr_end(w);
}

bool arg_true(const struct call *c, const char *name)
{
    bool b = false;
    const char *text = http_arg(c->rq, name);
    return text && str_to_bool(text, &b) && b;
}

/* ---------------------------------------------------------------- tables */

#define P "/compute/v2.1"
#define SERVER P "/servers/{server_id}"
#define OF_SERVER .target = &server_resource, .target_param = "server_id"

static const struct route routes[] = {
#define API(method, path, handler, ...) ROUTE(method, path, handler, __VA_ARGS__),
#include "compute/topics.def"
};
static const struct resource *const resources[] = {
#define TABLE(name) &name##_resource,
#include "compute/topics.def"
};
static const struct quota quotas[] = {
#define QUOTA(name, dflt, usage) {name, dflt, usage},
#include "compute/topics.def"
};
static const struct stmt *const stmts[] = {
#define STMT(name) &name,
#include "compute/topics.def"
};
static const struct res_where *const wheres[] = {
#define ROWS(name) &name,
#include "compute/topics.def"
};
static const char ddl[] = ""
#define DDL(text) text
#include "compute/topics.def"
    ;

const struct service compute_service = {.name = "compute",
                                        .family = &family_compute,
                                        SERVICE_LIST(resources, resources),
                                        SERVICE_LIST(routes, routes),
                                        SERVICE_LIST(stmts, stmts),
                                        SERVICE_LIST(wheres, wheres),
                                        SERVICE_LIST(quotas, quotas),
                                        .ddl = ddl};
