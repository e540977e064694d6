/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to compute/: its resources and what its files share. */
#pragma once

#include "compute/compute.h"
#include "compute/lifecycle.h"
#include "fleet/fleet.h"
#include "image/images.h"
#include "network/ports.h"
#include "schedule/schedule.h"

#define RESOURCE flavor
#define RESOURCE_DEF "compute/flavor.def"
#include "resource/declare_struct.h"
#define RESOURCE keypair
#define RESOURCE_DEF "compute/keypair.def"
#include "resource/declare_struct.h"
#define RESOURCE server
#define RESOURCE_DEF "compute/server.def"
#include "resource/declare_struct.h"
#define RESOURCE instance_action
#define RESOURCE_DEF "compute/instance_action.def"
#include "resource/declare_struct.h"

#define MAX_METADATA_TEXT 255

/* ---- service.c */
extern struct compute_config compute_cfg;
/* A bad member outside a decoded resource, in the words of the service. */
struct err *bad_member(struct call *c, const char *name, const json_t *value, const char *reason);
/* The member of the body with this name, an object; ERR_INVALID otherwise. */
MUST_USE struct err *body_object(struct call *c, const char *name, const json_t **ret);
/* The only member of the body, whatever its name: actions. */
MUST_USE struct err *body_only_member(struct call *c, const char **ret_name,
                                      const json_t **ret_value);
const char *check_name(struct ctx *cx, const json_t *v, json_t **ret);
void write_links(struct ctx *cx, struct jw *w, const char *base_url, const char *collection,
                 const char *id);
void write_bookmark(struct ctx *cx, struct jw *w, const char *base_url, const char *collection,
                    const char *id);
/* Truth of a query argument; false when absent or not a boolean. */
bool arg_true(const struct call *c, const char *name);

/* ---- flavors.c */
MUST_USE struct err *flavor_find(struct call *c, const char *id, struct flavor **ret);
extern const struct stmt stmt_flavor_names, stmt_flavor_access_add, stmt_flavor_access_remove,
    stmt_flavor_access_list, stmt_flavor_access_has, stmt_flavor_access_drop, stmt_flavor_bootstrap;
struct err *flavor_list(struct call *c), *flavor_list_detail(struct call *c),
    *flavor_create(struct call *c), *flavor_show(struct call *c), *flavor_update(struct call *c),
    *flavor_delete(struct call *c);
/* ---- flavor_more.c */
struct err *flavor_action(struct call *c), *flavor_access(struct call *c),
    *flavor_specs(struct call *c), *flavor_specs_add(struct call *c),
    *flavor_spec_show(struct call *c), *flavor_spec_set(struct call *c),
    *flavor_spec_delete(struct call *c);

/* ---- keypairs.c */
MUST_USE struct err *keypair_find(struct call *c, const char *user_id, const char *name,
                                  struct keypair **ret);
extern const struct res_where keypairs_by_user, keypair_by_name;
extern const struct stmt stmt_keypair_count;
struct err *keypair_list(struct call *c), *keypair_create(struct call *c),
    *keypair_create_before(struct call *c),
    *keypair_show(struct call *c), *keypair_delete(struct call *c);

/* ---- server_show.c */
/* row.extra of a server once prepared. */
struct server_more {
    const struct server_port *ports;
    size_t n_ports;
    const char *host_status, *host_hash;
};
/* c->state while answering PUT and rebuild before 2.75: a part of the server alone is shown. */
extern const char server_reduced[];
extern const struct res_where servers_on_host;
/* What tells a project whether two servers share a host, without naming it; "" without a host. */
const char *host_hash(struct ctx *cx, const char *project_id, const char *host_name);
/* Ports of one server. */
MUST_USE struct err *server_ports(struct ctx *cx, struct tx *tx, const char *server_id,
                                  struct server_port **ret, size_t *ret_n);
/* "addresses" of these ports, as an object. extended: with type and MAC. only: one network's, as
 * its member; or NULL. */
void write_addresses(struct jw *w, const struct server_port *ports, size_t n, bool extended,
                     const char *only);

/* ---- server_state.c */
extern const struct stmt stmt_actions_finish, stmt_actions_gone, stmt_actions_stale,
    stmt_actions_purge;
struct server_desired desired_of(const struct server *s);
struct server_observed observed_of(const struct server *s);
enum server_state state_of(const struct server *s);
/* Moves the struct; asserts that the table allows it. The caller saves. */
MUST_USE struct err *server_move(struct ctx *cx, struct tx *tx, struct server *s,
                                 enum server_state to);
void server_fault(struct ctx *cx, struct server *s, int code, const char *message);
/* Writes the row and tells its host. */
MUST_USE struct err *server_save(struct ctx *cx, struct tx *tx, struct server *s);
/* What is left of it goes: ports, row. Its actions stay for a while. */
MUST_USE struct err *server_remove(struct ctx *cx, struct tx *tx, struct server *s);
MUST_USE struct err *action_record(struct call *c, const struct server *s, const char *action,
                                   const char *event, bool finished);
/* The lock, then the state: 409 in nova's words. */
MUST_USE struct err *server_check_lock(struct call *c, const struct server *s);
/* Lock, state, record of the action, move. The caller changes what is desired and saves. */
MUST_USE struct err *server_begin(struct call *c, struct server *s, enum server_action action);

/* ---- server_spec.c, server_report.c */
extern const struct stmt stmt_servers_on_host, stmt_image_on_host;
struct err *server_view(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                        struct jw *w, bool *ret_present);
struct err *server_ids_on(struct ctx *cx, struct tx *tx, const char *host_id,
                          struct db_rows *ret_ids);
struct err *server_report(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                          const json_t *observed);

/* ---- sweep.c */
extern const struct res_where servers_expired;

/* ---- hosts.c */
extern const struct stmt stmt_use_by_host;
/* Snapshot for placement: hosts with what is promised on them. */
MUST_USE struct err *hosts_snapshot(struct ctx *cx, struct tx *tx, struct place_host **ret,
                                    size_t *ret_n);

/* ---- server_create.c, server_input.c */
struct network_wish {
    bool none, automatic;
    struct port_request *ports;
    size_t n;
};
MUST_USE struct err *read_networks(struct call *c, const struct server *s,
                                   struct network_wish *ret);
MUST_USE struct err *read_groups(struct call *c, const struct server *s, const char ***ret_ids,
                                 size_t *ret_n);
MUST_USE struct err *read_block_devices(struct call *c, struct server *s);
/* The image, usable with this flavor; fills image_id and image_spec. */
MUST_USE struct err *take_image(struct call *c, struct server *s, const char *image_id);
const char *hostname_of(struct ctx *cx, const char *name, const char *server_id);
MUST_USE struct err *check_metadata_count(struct call *c, const char *metadata);
const char *new_password(struct ctx *cx);
struct err *server_create(struct call *c);

/* ---- servers.c */
struct err *server_list(struct call *c), *server_list_detail(struct call *c),
    *server_show(struct call *c), *server_update(struct call *c), *server_delete(struct call *c);
extern const struct stmt stmt_server_ids_all, stmt_server_ids_of;
/* ---- server_actions.c */
struct err *server_act(struct call *c), *server_act_before(struct call *c);
/* The reply of PUT and rebuild. */
MUST_USE struct err *reply_changed(struct call *c, int status, struct server *s);
/* ---- server_meta.c */
struct err *meta_list(struct call *c), *meta_merge(struct call *c), *meta_replace(struct call *c),
    *meta_show(struct call *c), *meta_set(struct call *c), *meta_delete(struct call *c);
/* ---- server_parts.c */
struct err *ips_list(struct call *c), *ips_one(struct call *c), *interface_list(struct call *c),
    *interface_show(struct call *c), *attachment_list(struct call *c);
/* ---- security_groups.c */
struct err *server_groups_list(struct call *c), *group_list(struct call *c),
    *group_show(struct call *c), *group_create(struct call *c), *group_update(struct call *c),
    *group_delete(struct call *c);
/* ---- server_tags.c */
bool server_has_tag(struct ctx *cx, const struct server *s, const char *tag);
struct err *tag_list(struct call *c), *tags_replace(struct call *c), *tags_delete(struct call *c),
    *tag_check(struct call *c), *tag_add(struct call *c), *tag_delete(struct call *c);
/* ---- images.c */
struct err *image_proxy_list(struct call *c), *image_proxy_detail(struct call *c),
    *image_proxy_show(struct call *c), *image_proxy_delete(struct call *c);
/* ---- instance_actions.c */
extern const struct res_where actions_of_server, action_by_request;
struct err *action_list(struct call *c), *action_show(struct call *c);

/* ---- hypervisors.c, services.c */
struct err *hypervisor_list(struct call *c), *hypervisor_detail(struct call *c),
    *hypervisor_show(struct call *c), *hypervisor_statistics(struct call *c),
    *hypervisor_uptime(struct call *c), *hypervisor_search(struct call *c),
    *hypervisor_servers(struct call *c);
struct err *compute_service_list(struct call *c), *compute_service_update(struct call *c),
    *compute_service_enable(struct call *c), *compute_service_disable(struct call *c),
    *compute_service_disable_reason(struct call *c), *zone_list(struct call *c),
    *zone_detail(struct call *c), *host_list(struct call *c), *host_show(struct call *c);
/* ---- limits.c */
struct err *limits_show(struct call *c), *quota_show(struct call *c),
    *quota_defaults(struct call *c), *quota_detail(struct call *c), *quota_update(struct call *c),
    *quota_delete(struct call *c), *quota_class_show(struct call *c);
/* ---- versions.c */
struct err *versions_list(struct call *c), *version_show(struct call *c),
    *version_show_old(struct call *c),
    *extension_list(struct call *c), *extension_show(struct call *c);
