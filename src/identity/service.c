/* SPDX-License-Identifier: EUPL-1.2 */
/* The identity service: its routes, its tables, its version documents. */
#include "identity/resources.h"

static struct identity_config settings = {
    .region = "RegionOne", .token_ttl_s = 3600, .argon2_mem_kib = 19456, .argon2_ops = 2};

void identity_configure(const struct identity_config *cfg)
{
    settings = *cfg;
}

const struct identity_config *identity_settings(void)
{
    return &settings;
}

/* ---------------------------------------------------------------- versions */

static void version_body(struct call *c, struct jw *w)
{
    jw_obj(w);
    jw_kstr(w, "id", "v3.14");
    jw_kstr(w, "status", "stable");
    jw_kstr(w, "updated", "2020-04-07T00:00:00Z");
    jw_karr(w, "links");
    jw_obj(w);
    jw_kstr(w, "rel", "self");
    jw_kstr(w, "href", arena_printf(c->cx->arena, "%s/identity/v3/", c->rq->base_url));
    jw_obj_end(w);
    jw_arr_end(w);
    jw_kraw(w, "media-types",
            "[{\"base\":\"application/json\",\"type\":\"application/"
            "vnd.openstack.identity-v3+json\"}]");
    jw_obj_end(w);
}

struct err *identity_versions(struct call *c)
{
    struct jw w = call_json(c, 300);
    jw_obj(&w);
    jw_kobj(&w, "versions");
    jw_karr(&w, "values");
    version_body(c, &w);
    jw_arr_end(&w);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *identity_version(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "version");
    version_body(c, &w);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- routes */

#define V3 "/identity/v3"
#define CATALOG_ROUTES(path, param, resource, policy, ...)                                         \
    ROUTE(GET, V3 "/" path, catalog_list, "identity:list_" policy "s", .rule = RULE_ADMIN,         \
          .list = &resource),                                                                      \
        ROUTE(POST, V3 "/" path, catalog_create, "identity:create_" policy, .rule = RULE_ADMIN,    \
              .body = &resource, .status = 201),                                                   \
        ROUTE(GET, V3 "/" path "/{" param "}", catalog_show, "identity:get_" policy,               \
              .rule = RULE_ADMIN, .target = &resource),                                            \
        ROUTE(PATCH, V3 "/" path "/{" param "}", catalog_update, "identity:update_" policy,        \
              .rule = RULE_ADMIN, .target = &resource, .body = &resource),                         \
        ROUTE(DELETE, V3 "/" path "/{" param "}", __VA_ARGS__, "identity:delete_" policy,          \
              .rule = RULE_ADMIN, .target = &resource, .status = 204)
#define GRANT_ROUTES(prefix, suffix)                                                               \
    ROUTE(GET, V3 prefix "/users/{user_id}/roles", assignment_roles,                               \
          "identity:list_" suffix "grants", .rule = RULE_ADMIN),                                   \
        ROUTE(PUT, V3 prefix "/users/{user_id}/roles/{role_id}", assignment_put,                   \
              "identity:create_" suffix "grant", .rule = RULE_ADMIN, .status = 204),               \
        ROUTE(HEAD, V3 prefix "/users/{user_id}/roles/{role_id}", assignment_check,                \
              "identity:check_" suffix "grant", .rule = RULE_ADMIN, .status = 204),                \
        ROUTE(GET, V3 prefix "/users/{user_id}/roles/{role_id}", assignment_check,                 \
              "identity:check_" suffix "grant", .rule = RULE_ADMIN, .status = 204),                \
        ROUTE(DELETE, V3 prefix "/users/{user_id}/roles/{role_id}", assignment_delete,             \
              "identity:revoke_" suffix "grant", .rule = RULE_ADMIN, .status = 204)

static const struct route routes[] = {
    ROUTE(GET, "/", identity_versions, "identity:get_versions", .rule = RULE_PUBLIC),
    ROUTE(GET, "/identity", identity_versions, "identity:get_versions", .rule = RULE_PUBLIC),
    ROUTE(GET, "/identity/", identity_versions, "identity:get_versions", .rule = RULE_PUBLIC),
    ROUTE(GET, V3, identity_version, "identity:get_version", .rule = RULE_PUBLIC),
    ROUTE(GET, V3 "/", identity_version, "identity:get_version", .rule = RULE_PUBLIC),

    ROUTE(POST, V3 "/auth/tokens", auth_create, "identity:authenticate", .rule = RULE_PUBLIC,
          .flags = RT_NO_TX | RT_SLOW | RT_READ, .status = 201,
          .doc = "Logs in, or changes the scope of a token."),
    ROUTE(GET, V3 "/auth/tokens", auth_show, "identity:validate_token", .rule = RULE_ANY),
    ROUTE(HEAD, V3 "/auth/tokens", auth_show, "identity:check_token", .rule = RULE_ANY),
    ROUTE(DELETE, V3 "/auth/tokens", auth_revoke, "identity:revoke_token", .rule = RULE_ANY,
          .status = 204),
    ROUTE(GET, V3 "/auth/catalog", auth_catalog, "identity:get_auth_catalog", .rule = RULE_ANY),
    ROUTE(GET, V3 "/auth/projects", auth_projects, "identity:get_auth_projects", .rule = RULE_ANY),
    ROUTE(GET, V3 "/auth/domains", auth_domains, "identity:get_auth_domains", .rule = RULE_ANY),
    ROUTE(GET, V3 "/auth/system", auth_system, "identity:get_auth_system", .rule = RULE_ANY),

    ROUTE(GET, V3 "/domains", domain_list, "identity:list_domains", .rule = RULE_ADMIN,
          .list = &domain_resource),
    ROUTE(POST, V3 "/domains", domain_create, "identity:create_domain", .rule = RULE_ADMIN,
          .body = &domain_resource, .status = 201),
    ROUTE(GET, V3 "/domains/{domain_id}", domain_show, "identity:get_domain", .rule = RULE_ANY),
    ROUTE(PATCH, V3 "/domains/{domain_id}", domain_update, "identity:update_domain",
          .rule = RULE_ADMIN, .target = &domain_resource, .body = &domain_resource),
    ROUTE(DELETE, V3 "/domains/{domain_id}", domain_delete, "identity:delete_domain",
          .rule = RULE_ADMIN, .target = &domain_resource, .status = 204),

    ROUTE(GET, V3 "/projects", project_list, "identity:list_projects", .rule = RULE_ADMIN,
          .list = &project_resource),
    ROUTE(POST, V3 "/projects", project_create, "identity:create_project", .rule = RULE_ADMIN,
          .body = &project_resource, .status = 201),
    ROUTE(GET, V3 "/projects/{project_id}", project_show, "identity:get_project", .rule = RULE_ANY),
    ROUTE(PATCH, V3 "/projects/{project_id}", project_update, "identity:update_project",
          .rule = RULE_ADMIN, .target = &project_resource, .body = &project_resource),
    ROUTE(DELETE, V3 "/projects/{project_id}", project_delete, "identity:delete_project",
          .rule = RULE_ADMIN, .target = &project_resource, .status = 204),

    ROUTE(GET, V3 "/users", user_list, "identity:list_users", .rule = RULE_ADMIN,
          .list = &user_resource),
    ROUTE(POST, V3 "/users", user_create, "identity:create_user", .rule = RULE_ADMIN,
          .body = &user_resource, .before = hash_given_password, .flags = RT_SLOW, .status = 201),
    ROUTE(GET, V3 "/users/{user_id}", user_show, "identity:get_user", .rule = RULE_ANY),
    ROUTE(PATCH, V3 "/users/{user_id}", user_update, "identity:update_user", .rule = RULE_ADMIN,
          .target = &user_resource, .body = &user_resource, .before = hash_given_password,
          .flags = RT_SLOW),
    ROUTE(DELETE, V3 "/users/{user_id}", user_delete, "identity:delete_user", .rule = RULE_ADMIN,
          .target = &user_resource, .status = 204),
    ROUTE(POST, V3 "/users/{user_id}/password", change_own_password, "identity:change_password",
          .rule = RULE_PUBLIC, .before = change_own_password_before, .flags = RT_SLOW,
          .status = 204),
    ROUTE(GET, V3 "/users/{user_id}/projects", user_projects, "identity:list_user_projects",
          .rule = RULE_ANY),

    ROUTE(GET, V3 "/users/{user_id}/application_credentials", credential_list,
          "identity:list_application_credentials", .rule = RULE_ANY,
          .list = &application_credential_resource),
    ROUTE(POST, V3 "/users/{user_id}/application_credentials", credential_create,
          "identity:create_application_credential", .rule = RULE_ANY,
          .body = &application_credential_resource, .before = credential_secret, .flags = RT_SLOW,
          .status = 201),
    ROUTE(GET, V3 "/users/{user_id}/application_credentials/{application_credential_id}",
          credential_show, "identity:get_application_credential", .rule = RULE_ANY),
    ROUTE(DELETE, V3 "/users/{user_id}/application_credentials/{application_credential_id}",
          credential_delete, "identity:delete_application_credential", .rule = RULE_ANY,
          .status = 204),

    ROUTE(GET, V3 "/roles", role_list, "identity:list_roles", .rule = RULE_ADMIN,
          .list = &role_resource),
    ROUTE(POST, V3 "/roles", role_create, "identity:create_role", .rule = RULE_ADMIN,
          .body = &role_resource, .status = 201),
    ROUTE(GET, V3 "/roles/{role_id}", role_show, "identity:get_role", .rule = RULE_ADMIN,
          .target = &role_resource),
    ROUTE(PATCH, V3 "/roles/{role_id}", role_update, "identity:update_role", .rule = RULE_ADMIN,
          .target = &role_resource, .body = &role_resource),
    ROUTE(DELETE, V3 "/roles/{role_id}", role_delete, "identity:delete_role", .rule = RULE_ADMIN,
          .target = &role_resource, .status = 204),
    ROUTE(GET, V3 "/role_assignments", assignment_list, "identity:list_role_assignments",
          .rule = RULE_ADMIN),
    ROUTE(GET, V3 "/role_inferences", role_inferences, "identity:list_role_inference_rules",
          .rule = RULE_ADMIN),
    GRANT_ROUTES("/projects/{project_id}", ""),
    GRANT_ROUTES("/domains/{domain_id}", ""),
    GRANT_ROUTES("/system", "system_"),

    CATALOG_ROUTES("regions", "region_id", region_resource, "region", region_delete),
    CATALOG_ROUTES("services", "service_id", catalog_service_resource, "service", service_delete),
    CATALOG_ROUTES("endpoints", "endpoint_id", endpoint_resource, "endpoint", catalog_delete),
};

/* ---------------------------------------------------------------- tables */

static const char ddl[] = "CREATE TABLE token_keys (\n"
                          "    id TEXT PRIMARY KEY NOT NULL,\n"
                          "    public_key BYTEA NOT NULL,\n"
                          "    seed BYTEA NOT NULL,\n"
                          "    created_at BIGINT NOT NULL\n"
                          ");\n"
                          "CREATE TABLE revocations (\n"
                          "    kind TEXT NOT NULL,\n"
                          "    subject TEXT NOT NULL,\n"
                          "    before BIGINT NOT NULL,\n"
                          "    expires_at BIGINT NOT NULL,\n"
                          "    PRIMARY KEY (kind, subject)\n"
                          ");\n"
                          "CREATE INDEX revocations_expires ON revocations (expires_at);\n"
                          "CREATE TABLE role_assignments (\n"
                          "    user_id TEXT NOT NULL,\n"
                          "    target_type TEXT NOT NULL,\n"
                          "    target_id TEXT NOT NULL,\n"
                          "    role_id TEXT NOT NULL,\n"
                          "    PRIMARY KEY (user_id, target_type, target_id, role_id)\n"
                          ");\n"
                          "CREATE INDEX role_assignments_target ON role_assignments (target_id);\n"
                          "CREATE TABLE password_history (\n"
                          "    user_id TEXT NOT NULL,\n"
                          "    at BIGINT NOT NULL,\n"
                          "    hash TEXT NOT NULL\n"
                          ");\n"
                          "CREATE INDEX password_history_user ON password_history (user_id, at);\n";

static const struct resource *const resources[] = {
    &domain_resource,   &project_resource,
    &user_resource,     &role_resource,
    &region_resource,   &catalog_service_resource,
    &endpoint_resource, &application_credential_resource};
static const struct res_where *const wheres[] = {
    &users_by_name,        &projects_by_name, &domains_by_name,    &roles_by_name,
    &endpoints_of_service, &services_by_type, &credentials_by_name};

static const struct stmt *const stmts[] = {
#define X(name) &name,
    IDENTITY_STATEMENTS(X)
#undef X
};

const struct service identity_service = {
    .name = "identity",
    .family = &family_identity,
    SERVICE_LIST(resources, resources),
    SERVICE_LIST(routes, routes),
    SERVICE_LIST(wheres, wheres),
    SERVICE_LIST(stmts, stmts),
    .ddl = ddl,
};
