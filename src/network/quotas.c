/* SPDX-License-Identifier: EUPL-1.2 */
/* Quotas: /v2.0/quotas. Limits are the engine's rows; a project without any has the defaults. */
#include "network/nw.h"

const struct stmt nw_st_use_network = {"use_network",
                                       "SELECT COUNT(*) FROM networks WHERE project_id = $1"};
const struct stmt nw_st_use_subnet = {"use_subnet",
                                      "SELECT COUNT(*) FROM subnets WHERE project_id = $1"};
const struct stmt nw_st_use_port = {"use_port", "SELECT COUNT(*) FROM ports WHERE project_id = $1"};
const struct stmt nw_st_use_router = {"use_router",
                                      "SELECT COUNT(*) FROM routers WHERE project_id = $1"};
const struct stmt nw_st_use_floatingip = {"use_floatingip",
                                          "SELECT COUNT(*) FROM floatingips WHERE project_id = $1"};
const struct stmt nw_st_use_subnetpool = {"use_subnetpool",
                                          "SELECT COUNT(*) FROM subnetpools WHERE project_id = $1"};
const struct stmt nw_st_use_security_group = {
    "use_security_group", "SELECT COUNT(*) FROM security_groups WHERE project_id = $1"};
const struct stmt nw_st_use_security_group_rule = {
    "use_security_group_rule", "SELECT COUNT(*) FROM security_rules WHERE project_id = $1"};
const struct stmt nw_st_use_rbac_policy = {
    "use_rbac_policy", "SELECT COUNT(*) FROM rbac_policies WHERE project_id = $1"};
const struct stmt nw_st_quota_projects = {
    "quota_projects",
    "SELECT DISTINCT project_id FROM quota_limits WHERE service = 'network' AND project_id "
    "<> '" QUOTA_DEFAULTS "' ORDER BY project_id"};

static struct err *write_limits(struct call *c, struct jw *w, const char *project_id, bool details)
{
    for (size_t i = 0; i < network_service.n_quotas; i++) {
        const struct quota *q = &network_service.quotas[i];
        int64_t limit, used = 0;
        TRY(quota_limit(c->cx, c->tx, &network_service, q->name,
                        project_id ? project_id : QUOTA_DEFAULTS, &limit));
        if (!details) {
            jw_kint(w, q->name, limit);
            continue;
        }
        TRY(quota_usage(c->cx, c->tx, &network_service, q->name, project_id, &used));
        jw_kobj(w, q->name);
        jw_kint(w, "limit", limit);
        jw_kint(w, "used", used);
        jw_kint(w, "reserved", 0);
        jw_obj_end(w);
    }
    return NULL;
}

static struct err *reply(struct call *c, const char *project_id, bool details)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "quota");
    TRY(write_limits(c, &w, project_id, details));
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *own_project(struct call *c, const char **ret)
{
    *ret = call_param(c, "project_id");
    if (nw_owns(c, *ret))
        return NULL;
    return fail_type(c->cx, ERR_FORBIDDEN, "AdminRequired",
                     "User does not have admin privileges: Non-admin is not authorised to access "
                     "quotas for another "
                     "tenant.");
}

struct err *nw_quota_show(struct call *c)
{
    const char *project;
    TRY(own_project(c, &project));
    return reply(c, project, false);
}

struct err *nw_quota_default(struct call *c)
{
    const char *project;
    TRY(own_project(c, &project));
    return reply(c, NULL, false);
}

struct err *nw_quota_details(struct call *c)
{
    const char *project;
    TRY(own_project(c, &project));
    return reply(c, project, true);
}

struct err *nw_quotas_list(struct call *c)
{
    struct db_rows rows;
    TRY(db_query(c->cx, c->tx, &nw_st_quota_projects, NULL, 0, &rows));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "quotas");
    for (size_t i = 0; i < rows.n_rows; i++) {
        jw_obj(&w);
        jw_kstr(&w, "project_id", db_text(&rows, i, 0));
        jw_kstr(&w, "tenant_id", db_text(&rows, i, 0));
        TRY(write_limits(c, &w, db_text(&rows, i, 0), false));
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *set_one(struct call *c, const char *project, const char *name,
                           const json_t *value)
{
    int64_t limit = -2;
    bool known = false;
    for (size_t i = 0; i < network_service.n_quotas; i++)
        known |= str_eq(network_service.quotas[i].name, name);
    if (!known)
        return bad(c->cx, "HTTPBadRequest", "Unrecognized attribute(s) '%s'", name);
    if (json_is_integer(value))
        limit = json_integer_value(value);
    else if (!str_to_i64(json_string_value(value) ? json_string_value(value) : "", -1, INT32_MAX,
                         &limit))
        limit = -2;
    if (limit < -1 || limit > INT32_MAX)
        return bad(c->cx, "HTTPBadRequest",
                   "Invalid input for %s. Reason: %s is not an integer from -1 to %d.", name,
                   json_python(c->cx, value), INT32_MAX);
    return quota_set(c->cx, c->tx, &network_service, name, project, limit);
}

struct err *nw_quota_update(struct call *c)
{
    const char *project = call_param(c, "project_id"), *name;
    json_t *quota = (json_t *)(uintptr_t)json_get(c->json, "quota"), *value;
    if (!json_is_object(quota))
        return bad(c->cx, "HTTPBadRequest", "Unable to find 'quota' in request body");
    json_object_foreach(quota, name, value)
    {
        if (!str_eq(name, "project_id") && !str_eq(name, "tenant_id") && !str_eq(name, "force"))
            TRY(set_one(c, project, name, value));
    }
    return reply(c, project, false);
}

struct err *nw_quota_delete(struct call *c)
{
    TRY(quota_reset(c->cx, c->tx, &network_service, call_param(c, "project_id")));
    call_reply_empty(c, 204);
    return NULL;
}
