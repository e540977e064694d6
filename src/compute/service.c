/* SPDX-License-Identifier: EUPL-1.2 */
/* The compute service: its routes, quotas, statements and tables; and helpers that its files share.
 */
#include "compute/impl.h"

struct compute_config compute_cfg = {.default_zone = "nova", .placement = {1600, 100, 100}};

void compute_configure(const struct compute_config *cfg)
{
    static const struct fleet_kind servers = {
        .name = "server", .view = server_view, .list = server_ids_on, .report = server_report};
    compute_cfg = *cfg;
    if (!compute_cfg.default_zone)
        compute_cfg.default_zone = "nova";
    if (!compute_cfg.placement.vcpu_percent)
        compute_cfg.placement = place_policy_default;
    fleet_add_kind(&servers);
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

static void write_link(struct jw *w, const char *rel, const char *href)
{
    jw_obj(w);
    jw_kstr(w, "rel", rel);
    jw_kstr(w, "href", href);
    jw_obj_end(w);
}

/* The permanent form has no version: base_url without its last segment. */
static const char *bookmark(struct ctx *cx, const char *base_url, const char *collection,
                            const char *id)
{
    const char *slash = strrchr(base_url, '/');
    return arena_printf(cx->arena, "%.*s/%s/%s", (int)(slash - base_url), base_url, collection, id);
}

void write_links(struct ctx *cx, struct jw *w, const char *base_url, const char *collection,
                 const char *id)
{
    jw_karr(w, "links");
    write_link(w, "self", arena_printf(cx->arena, "%s/%s/%s", base_url, collection, id));
    write_link(w, "bookmark", bookmark(cx, base_url, collection, id));
    jw_arr_end(w);
}

void write_bookmark(struct ctx *cx, struct jw *w, const char *base_url, const char *collection,
                    const char *id)
{
    jw_karr(w, "links");
    write_link(w, "bookmark", bookmark(cx, base_url, collection, id));
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
    ROUTE(GET, "/compute", versions_list, "versions:list", .rule = RULE_PUBLIC),
    ROUTE(GET, "/compute/", versions_list, "versions:list", .rule = RULE_PUBLIC),
    ROUTE(GET, "/compute/v2", version_show_old, "versions:show", .rule = RULE_PUBLIC),
    ROUTE(GET, "/compute/v2/", version_show_old, "versions:show", .rule = RULE_PUBLIC),
    ROUTE(GET, P, version_show, "versions:show", .rule = RULE_PUBLIC),
    ROUTE(GET, P "/", version_show, "versions:show", .rule = RULE_PUBLIC),
    ROUTE(GET, P "/extensions", extension_list, "os_compute_api:extensions", .rule = RULE_ANY),
    ROUTE(GET, P "/extensions/{alias}", extension_show, "os_compute_api:extensions",
          .rule = RULE_ANY),

    ROUTE(GET, P "/flavors", flavor_list, "os_compute_api:flavors:index", .rule = RULE_READER,
          .list = &flavor_resource),
    ROUTE(GET, P "/flavors/detail", flavor_list_detail, "os_compute_api:flavors:detail",
          .rule = RULE_READER, .list = &flavor_resource),
    ROUTE(POST, P "/flavors", flavor_create, "os_compute_api:os-flavor-manage:create",
          .rule = RULE_ADMIN, .body = &flavor_resource),
    ROUTE(GET, P "/flavors/{flavor_id}", flavor_show, "os_compute_api:flavors:show",
          .rule = RULE_READER),
    ROUTE(PUT, P "/flavors/{flavor_id}", flavor_update, "os_compute_api:os-flavor-manage:update",
          .rule = RULE_ADMIN, .target = &flavor_resource, .body = &flavor_resource, .since = 55),
    ROUTE(DELETE, P "/flavors/{flavor_id}", flavor_delete, "os_compute_api:os-flavor-manage:delete",
          .rule = RULE_ADMIN),
    ROUTE(POST, P "/flavors/{flavor_id}/action", flavor_action,
          "os_compute_api:os-flavor-access:add_tenant_access", .rule = RULE_ADMIN),
    ROUTE(GET, P "/flavors/{flavor_id}/os-flavor-access", flavor_access,
          "os_compute_api:os-flavor-access", .rule = RULE_ADMIN),
    ROUTE(GET, P "/flavors/{flavor_id}/os-extra_specs", flavor_specs,
          "os_compute_api:os-flavor-extra-specs:index", .rule = RULE_READER),
    ROUTE(POST, P "/flavors/{flavor_id}/os-extra_specs", flavor_specs_add,
          "os_compute_api:os-flavor-extra-specs:create", .rule = RULE_ADMIN),
    ROUTE(GET, P "/flavors/{flavor_id}/os-extra_specs/{key}", flavor_spec_show,
          "os_compute_api:os-flavor-extra-specs:show", .rule = RULE_READER),
    ROUTE(PUT, P "/flavors/{flavor_id}/os-extra_specs/{key}", flavor_spec_set,
          "os_compute_api:os-flavor-extra-specs:update", .rule = RULE_ADMIN),
    ROUTE(DELETE, P "/flavors/{flavor_id}/os-extra_specs/{key}", flavor_spec_delete,
          "os_compute_api:os-flavor-extra-specs:delete", .rule = RULE_ADMIN),

    ROUTE(GET, P "/os-keypairs", keypair_list, "os_compute_api:os-keypairs:index",
          .rule = RULE_READER, .list = &keypair_resource),
    ROUTE(POST, P "/os-keypairs", keypair_create, "os_compute_api:os-keypairs:create",
          .rule = RULE_MEMBER, .body = &keypair_resource, .before = keypair_create_before),
    ROUTE(GET, P "/os-keypairs/{keypair_name}", keypair_show, "os_compute_api:os-keypairs:show",
          .rule = RULE_READER),
    ROUTE(DELETE, P "/os-keypairs/{keypair_name}", keypair_delete,
          "os_compute_api:os-keypairs:delete", .rule = RULE_MEMBER),

    ROUTE(GET, P "/servers", server_list, "os_compute_api:servers:index", .rule = RULE_READER,
          .list = &server_resource),
    ROUTE(GET, P "/servers/detail", server_list_detail, "os_compute_api:servers:detail",
          .rule = RULE_READER, .list = &server_resource),
    ROUTE(POST, P "/servers", server_create, "os_compute_api:servers:create", .rule = RULE_MEMBER),
    ROUTE(GET, SERVER, server_show, "os_compute_api:servers:show", .rule = RULE_READER, OF_SERVER),
    ROUTE(PUT, SERVER, server_update, "os_compute_api:servers:update", .rule = RULE_MEMBER,
          OF_SERVER, .body = &server_resource),
    ROUTE(DELETE, SERVER, server_delete, "os_compute_api:servers:delete", .rule = RULE_MEMBER,
          OF_SERVER),
    ROUTE(POST, SERVER "/action", server_act, "os_compute_api:servers:action", .rule = RULE_MEMBER,
          OF_SERVER, .before = server_act_before),
    ROUTE(GET, SERVER "/metadata", meta_list, "os_compute_api:server-metadata:index",
          .rule = RULE_READER, OF_SERVER),
    ROUTE(POST, SERVER "/metadata", meta_merge, "os_compute_api:server-metadata:create",
          .rule = RULE_MEMBER, OF_SERVER),
    ROUTE(PUT, SERVER "/metadata", meta_replace, "os_compute_api:server-metadata:update_all",
          .rule = RULE_MEMBER, OF_SERVER),
    ROUTE(GET, SERVER "/metadata/{key}", meta_show, "os_compute_api:server-metadata:show",
          .rule = RULE_READER, OF_SERVER),
    ROUTE(PUT, SERVER "/metadata/{key}", meta_set, "os_compute_api:server-metadata:update",
          .rule = RULE_MEMBER, OF_SERVER),
    ROUTE(DELETE, SERVER "/metadata/{key}", meta_delete, "os_compute_api:server-metadata:delete",
          .rule = RULE_MEMBER, OF_SERVER),
    ROUTE(GET, SERVER "/tags", tag_list, "os_compute_api:os-server-tags:index", .rule = RULE_READER,
          OF_SERVER, .since = 26),
    ROUTE(PUT, SERVER "/tags", tags_replace, "os_compute_api:os-server-tags:update_all",
          .rule = RULE_MEMBER, OF_SERVER, .since = 26),
    ROUTE(DELETE, SERVER "/tags", tags_delete, "os_compute_api:os-server-tags:delete_all",
          .rule = RULE_MEMBER, OF_SERVER, .since = 26),
    ROUTE(GET, SERVER "/tags/{tag}", tag_check, "os_compute_api:os-server-tags:show",
          .rule = RULE_READER, OF_SERVER, .since = 26),
    ROUTE(PUT, SERVER "/tags/{tag}", tag_add, "os_compute_api:os-server-tags:update",
          .rule = RULE_MEMBER, OF_SERVER, .since = 26),
    ROUTE(DELETE, SERVER "/tags/{tag}", tag_delete, "os_compute_api:os-server-tags:delete",
          .rule = RULE_MEMBER, OF_SERVER, .since = 26),
    ROUTE(GET, SERVER "/ips", ips_list, "os_compute_api:ips:index", .rule = RULE_READER, OF_SERVER),
    ROUTE(GET, SERVER "/ips/{network}", ips_one, "os_compute_api:ips:show", .rule = RULE_READER,
          OF_SERVER),
    ROUTE(GET, SERVER "/os-interface", interface_list, "os_compute_api:os-attach-interfaces:list",
          .rule = RULE_READER, OF_SERVER),
    ROUTE(GET, SERVER "/os-interface/{port_id}", interface_show,
          "os_compute_api:os-attach-interfaces:show", .rule = RULE_READER, OF_SERVER),
    ROUTE(GET, SERVER "/os-security-groups", server_groups_list,
          "os_compute_api:os-security-groups:list", .rule = RULE_READER, OF_SERVER),
    ROUTE(GET, SERVER "/os-volume_attachments", attachment_list,
          "os_compute_api:os-volumes-attachments:index", .rule = RULE_READER, OF_SERVER),
    ROUTE(GET, SERVER "/os-instance-actions", action_list,
          "os_compute_api:os-instance-actions:list", .rule = RULE_READER,
          .list = &instance_action_resource),
    ROUTE(GET, SERVER "/os-instance-actions/{request_id}", action_show,
          "os_compute_api:os-instance-actions:show", .rule = RULE_READER),

    ROUTE(GET, P "/os-hypervisors", hypervisor_list, "os_compute_api:os-hypervisors:list",
          .rule = RULE_ADMIN),
    ROUTE(GET, P "/os-hypervisors/detail", hypervisor_detail,
          "os_compute_api:os-hypervisors:list-detail", .rule = RULE_ADMIN),
    ROUTE(GET, P "/os-hypervisors/statistics", hypervisor_statistics,
          "os_compute_api:os-hypervisors:statistics", .rule = RULE_ADMIN, .until = 87),
    ROUTE(GET, P "/os-hypervisors/{hypervisor}", hypervisor_show,
          "os_compute_api:os-hypervisors:show", .rule = RULE_ADMIN),
    ROUTE(GET, P "/os-hypervisors/{hypervisor}/uptime", hypervisor_uptime,
          "os_compute_api:os-hypervisors:uptime", .rule = RULE_ADMIN, .until = 87),
    ROUTE(GET, P "/os-hypervisors/{hypervisor}/search", hypervisor_search,
          "os_compute_api:os-hypervisors:search", .rule = RULE_ADMIN, .until = 52),
    ROUTE(GET, P "/os-hypervisors/{hypervisor}/servers", hypervisor_servers,
          "os_compute_api:os-hypervisors:servers", .rule = RULE_ADMIN, .until = 52),
    ROUTE(GET, P "/os-services", compute_service_list, "os_compute_api:os-services:list",
          .rule = RULE_ADMIN),
    ROUTE(PUT, P "/os-services/enable", compute_service_enable, "os_compute_api:os-services:update",
          .rule = RULE_ADMIN, .until = 52),
    ROUTE(PUT, P "/os-services/disable", compute_service_disable,
          "os_compute_api:os-services:update", .rule = RULE_ADMIN, .until = 52),
    ROUTE(PUT, P "/os-services/disable-log-reason", compute_service_disable_reason,
          "os_compute_api:os-services:update", .rule = RULE_ADMIN, .until = 52),
    ROUTE(PUT, P "/os-services/{service_id}", compute_service_update,
          "os_compute_api:os-services:update", .rule = RULE_ADMIN, .since = 53),
    ROUTE(GET, P "/os-hosts", host_list, "os_compute_api:os-hosts:list", .rule = RULE_ADMIN,
          .until = 42),
    ROUTE(GET, P "/os-hosts/{host_name}", host_show, "os_compute_api:os-hosts:show",
          .rule = RULE_ADMIN, .until = 42),
    ROUTE(GET, P "/os-availability-zone", zone_list, "os_compute_api:os-availability-zone:list",
          .rule = RULE_READER),
    ROUTE(GET, P "/os-availability-zone/detail", zone_detail,
          "os_compute_api:os-availability-zone:detail", .rule = RULE_ADMIN),
    ROUTE(GET, P "/os-security-groups", group_list, "os_compute_api:os-security-groups:get",
          .rule = RULE_READER, .until = 35, .flags = RT_NO_TX | RT_WORKER),
    ROUTE(GET, P "/os-security-groups/{group_id}", group_show,
          "os_compute_api:os-security-groups:show", .rule = RULE_READER, .until = 35),
    ROUTE(POST, P "/os-security-groups", group_create,
          "os_compute_api:os-security-groups:create", .rule = RULE_MEMBER, .until = 35),
    ROUTE(PUT, P "/os-security-groups/{group_id}", group_update,
          "os_compute_api:os-security-groups:update", .rule = RULE_MEMBER, .until = 35),
    ROUTE(DELETE, P "/os-security-groups/{group_id}", group_delete,
          "os_compute_api:os-security-groups:delete", .rule = RULE_MEMBER, .until = 35),
    ROUTE(GET, P "/images", image_proxy_list, "get_images", .rule = RULE_READER, .until = 35),
    ROUTE(GET, P "/images/detail", image_proxy_detail, "get_images", .rule = RULE_READER,
          .until = 35),
    ROUTE(GET, P "/images/{image_id}", image_proxy_show, "get_image", .rule = RULE_READER,
          .until = 35),
    ROUTE(DELETE, P "/images/{image_id}", image_proxy_delete, "delete_image", .rule = RULE_MEMBER,
          .until = 35),
    ROUTE(GET, P "/limits", limits_show, "os_compute_api:limits", .rule = RULE_READER),
    ROUTE(GET, P "/os-quota-sets/{project}", quota_show, "os_compute_api:os-quota-sets:show",
          .rule = RULE_READER),
    ROUTE(GET, P "/os-quota-sets/{project}/defaults", quota_defaults,
          "os_compute_api:os-quota-sets:defaults", .rule = RULE_READER),
    ROUTE(GET, P "/os-quota-sets/{project}/detail", quota_detail,
          "os_compute_api:os-quota-sets:detail", .rule = RULE_READER),
    ROUTE(PUT, P "/os-quota-sets/{project}", quota_update, "os_compute_api:os-quota-sets:update",
          .rule = RULE_ADMIN),
    ROUTE(DELETE, P "/os-quota-sets/{project}", quota_delete, "os_compute_api:os-quota-sets:delete",
          .rule = RULE_ADMIN),
    ROUTE(GET, P "/os-quota-class-sets/{class}", quota_class_show,
          "os_compute_api:os-quota-class-sets:show", .rule = RULE_ADMIN),
};

static const struct stmt use_instances = {"use_instances",
                                          "SELECT COUNT(*) FROM servers WHERE project_id = $1"};
static const struct stmt use_cores = {
    "use_cores",
    "SELECT CAST(COALESCE(SUM(vcpus), 0) AS BIGINT) FROM servers WHERE project_id = $1"};
static const struct stmt use_ram = {
    "use_ram",
    "SELECT CAST(COALESCE(SUM(memory_mib), 0) AS BIGINT) FROM servers WHERE project_id = $1"};

static const struct quota quotas[] = {
    {"instances", 10, &use_instances},
    {"cores", 20, &use_cores},
    {"ram", 51200, &use_ram},
    {"key_pairs", 100, NULL},
    {"metadata_items", 128, NULL},
    {"server_groups", 10, NULL},
    {"server_group_members", 10, NULL},
    {"injected_files", 5, NULL},
    {"injected_file_content_bytes", 10240, NULL},
    {"injected_file_path_bytes", 255, NULL},
};

static const struct stmt *const stmts[] = {
    &stmt_flavor_names,
    &stmt_flavor_access_add,
    &stmt_flavor_access_remove,
    &stmt_flavor_access_list,
    &stmt_flavor_access_has,
    &stmt_flavor_access_drop,
    &stmt_flavor_bootstrap,
    &stmt_keypair_count,
    &stmt_actions_finish,
    &stmt_actions_gone,
    &stmt_actions_stale,
    &stmt_actions_purge,
    &stmt_servers_on_host,
    &stmt_image_on_host,
    &stmt_use_by_host,
    &stmt_server_ids_all,
    &stmt_server_ids_of,
    &use_instances,
    &use_cores,
    &use_ram,
};
static const struct res_where *const wheres[] = {&keypairs_by_user,  &keypair_by_name,
                                                 &servers_on_host,   &servers_expired,
                                                 &actions_of_server, &action_by_request};
static const struct resource *const resources[] = {&flavor_resource, &keypair_resource,
                                                   &server_resource, &instance_action_resource};

static const char ddl[] = "CREATE TABLE flavor_access (\n"
                          "    flavor_id TEXT NOT NULL,\n"
                          "    project_id TEXT NOT NULL,\n"
                          "    PRIMARY KEY (flavor_id, project_id)\n"
                          ");\n";

const struct service compute_service = {.name = "compute",
                                        .family = &family_compute,
                                        SERVICE_LIST(resources, resources),
                                        SERVICE_LIST(routes, routes),
                                        SERVICE_LIST(stmts, stmts),
                                        SERVICE_LIST(wheres, wheres),
                                        SERVICE_LIST(quotas, quotas),
                                        .ddl = ddl};
