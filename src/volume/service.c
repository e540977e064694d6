/* SPDX-License-Identifier: EUPL-1.2 */
/* The volume service, put together from topics.def; and helpers that its files share. */
#include "volume/impl.h"

struct volume_config volume_cfg = {.default_zone = "nova"};

void volume_configure(const struct volume_config *cfg)
{
    static const struct fleet_kind volumes = {
        .name = "volume", .view = volume_view, .list = volume_ids_on, .report = volume_report};
    volume_cfg = *cfg;
    if (!volume_cfg.default_zone)
        volume_cfg.default_zone = "nova";
    fleet_add_kind(&volumes);
    image_on_export(EXPORT_VOLUME, volume_export_done);
    image_on_delete(volume_copies_image);
}

/* ---------------------------------------------------------------- helpers */

struct err *volume_bad_member(struct call *c, const char *name, const json_t *value,
                              const char *reason)
{
    const char *text = json_is_string(value) ? json_string_value(value)
                       : value               ? json_python(c->cx, value)
                                             : "None";
    return fail(c->cx, ERR_INVALID, "Invalid input for field/attribute %s. Value: %s. %s", name,
                str_cut(c->cx, text, 512), reason);
}

struct err *volume_body_object(struct call *c, const char *name, const json_t **ret)
{
    const json_t *obj = json_get(c->json, name);
    if (!json_is_object(c->json))
        return fail(c->cx, ERR_INVALID,
                    "The request body must be a JSON object with the member '%s'", name);
    if (!obj)
        return fail(c->cx, ERR_INVALID, "Missing required element '%s' in request body.", name);
    if (!json_is_object(obj))
        return volume_bad_member(c, name, obj, "it is not of type 'object'");
    *ret = obj;
    return NULL;
}

struct err *volume_body_action(struct call *c, const char **ret_name, const json_t **ret_args)
{
    if (!json_is_object(c->json) || json_object_size(c->json) != 1)
        return fail(c->cx, ERR_INVALID,
                    "Malformed request body: an object with one member, the action, is needed");
    void *it = json_object_iter(c->json);
    *ret_name = json_object_iter_key(it);
    *ret_args = json_object_iter_value(it);
    return NULL;
}

const char *check_trimmed(struct ctx *cx, const json_t *v, json_t **ret)
{
    const char *s = json_string_value(v);
    if (!s)
        return NULL; /* its type is the field's own */
    size_t n = strlen(s), lead = strspn(s, " \t\r\n");
    while (n > lead && strchr(" \t\r\n", s[n - 1]))
        n--;
    *ret = json_own(cx, json_stringn(s + lead, n - lead));
    return NULL;
}

/* As the client addressed the service: with its project's id, or without. */
static const char *project_part(const struct view *v)
{
    const struct call *c = v->call;
    for (size_t i = 0; c && i < c->n_params; i++)
        if (str_eq(c->params[i].name, "project_id"))
            return arena_printf(c->cx->arena, "/%s", c->params[i].value);
    return "";
}

void volume_links(struct ctx *cx, struct jw *w, const struct view *v, const char *collection,
                  const char *id)
{
    const char *project = project_part(v), *slash = strrchr(v->base_url, '/');
    const char *hrefs[] = {
        arena_printf(cx->arena, "%s%s/%s/%s", v->base_url, project, collection, id),
        arena_printf(cx->arena, "%.*s%s/%s/%s", (int)(slash - v->base_url), v->base_url, project,
                     collection, id)};
    jw_karr(w, "links");
    for (size_t i = 0; i < ARRAY_LEN(hrefs); i++) {
        jw_obj(w);
        jw_kstr(w, "rel", i ? "bookmark" : "self");
        jw_kstr(w, "href", hrefs[i]);
        jw_obj_end(w);
    }
    jw_arr_end(w);
}

struct err *volume_forbidden(struct call *c, const char *policy)
{
    return fail(c->cx, ERR_FORBIDDEN, "Policy doesn't allow %s to be performed.", policy);
}

/* The project in the path is the token's: as cinder, for administrators too. */
static struct err *admit(struct call *c)
{
    for (size_t i = 0; i < c->n_params; i++)
        if (str_eq(c->params[i].name, "project_id") &&
            !str_eq(c->params[i].value, c->actor->project_id))
            return fail(c->cx, ERR_INVALID, "Malformed request url");
    return NULL;
}

/* ---------------------------------------------------------------- tables */

#define P "/volume/v3"
#define IN_PROJECT P "/{project_id}"
#define VOLUME "/volumes/{volume_id}"
#define OF_VOLUME .target = &volume_resource, .target_param = "volume_id"
#define TYPE "/types/{type_id}"
#define OF_TYPE .target = &volume_type_resource, .target_param = "type_id"
#define QOS "/qos-specs/{qos_id}"
#define OF_QOS .target = &qos_specs_resource, .target_param = "qos_id"
#define GROUP_TYPE "/group_types/{group_type_id}"
#define OF_GROUP_TYPE .target = &group_type_resource, .target_param = "group_type_id"
#define SNAPSHOT "/snapshots/{snapshot_id}"
#define OF_SNAPSHOT .target = &snapshot_resource, .target_param = "snapshot_id"

static const struct route routes[] = {
#define API_ROOT(method, path, handler, ...) ROUTE(method, path, handler, __VA_ARGS__),
#define API(method, path, handler, ...)                                                            \
    ROUTE(method, P path, handler, __VA_ARGS__),                                                   \
        ROUTE(method, IN_PROJECT path, handler, __VA_ARGS__),
#include "volume/topics.def"
};
static const struct resource *const resources[] = {
#define TABLE(name) &name##_resource,
#include "volume/topics.def"
};
static const struct quota quotas[] = {
#define QUOTA(name, dflt, usage) {name, dflt, usage},
#include "volume/topics.def"
};
static const struct stmt *const stmts[] = {
#define STMT(name) &name,
#include "volume/topics.def"
};
static const struct res_where *const wheres[] = {
#define ROWS(name) &name,
#include "volume/topics.def"
};
static const char ddl[] = ""
#define DDL(text) text
#include "volume/topics.def"
    ;

const struct service volume_service = {.name = "volume",
                                       .family = &family_volume,
                                       .admit = admit,
                                       SERVICE_LIST(resources, resources),
                                       SERVICE_LIST(routes, routes),
                                       SERVICE_LIST(stmts, stmts),
                                       SERVICE_LIST(wheres, wheres),
                                       SERVICE_LIST(quotas, quotas),
                                       .ddl = ddl};
