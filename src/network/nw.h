/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to network/: its rows, and what its files do for each other. Everything takes part in the
 * caller's transaction. */
#pragma once

#include "fleet/fleet.h"
#include "network/addr.h"
#include "network/network.h"
#include "network/ports.h"

#define RESOURCE network
#define RESOURCE_DEF "network/network.def"
#include "resource/declare_struct.h"
#define RESOURCE subnet
#define RESOURCE_DEF "network/subnet.def"
#include "resource/declare_struct.h"
#define RESOURCE address_scope
#define RESOURCE_DEF "network/address_scope.def"
#include "resource/declare_struct.h"
#define RESOURCE subnetpool
#define RESOURCE_DEF "network/subnetpool.def"
#include "resource/declare_struct.h"
#define RESOURCE port
#define RESOURCE_DEF "network/port.def"
#include "resource/declare_struct.h"
#define RESOURCE address_group
#define RESOURCE_DEF "network/address_group.def"
#include "resource/declare_struct.h"
#define RESOURCE security_group
#define RESOURCE_DEF "network/security_group.def"
#include "resource/declare_struct.h"
#define RESOURCE security_rule
#define RESOURCE_DEF "network/security_rule.def"
#include "resource/declare_struct.h"
#define RESOURCE router
#define RESOURCE_DEF "network/router.def"
#include "resource/declare_struct.h"
#define RESOURCE floatingip
#define RESOURCE_DEF "network/floatingip.def"
#include "resource/declare_struct.h"
#define RESOURCE port_forwarding
#define RESOURCE_DEF "network/port_forwarding.def"
#include "resource/declare_struct.h"
#define RESOURCE rbac_policy
#define RESOURCE_DEF "network/rbac_policy.def"
#include "resource/declare_struct.h"
#define RESOURCE metering_label
#define RESOURCE_DEF "network/metering_label.def"
#include "resource/declare_struct.h"
#define RESOURCE metering_rule
#define RESOURCE_DEF "network/metering_rule.def"
#include "resource/declare_struct.h"
#define RESOURCE agent
#define RESOURCE_DEF "network/agent.def"
#include "resource/declare_struct.h"

#define OWNER_DHCP "network:dhcp"
#define OWNER_INTERFACE "network:router_interface"
#define OWNER_GATEWAY "network:router_gateway"

/* A client's mistake, with neutron's own name for it. */
#define bad(cx, type, ...) fail_type(cx, ERR_INVALID, type, __VA_ARGS__)
#define bad_input(cx, ...)                                                                         \
    fail_type(cx, ERR_INVALID, "InvalidInput", "Invalid input for operation: %s.",                 \
              arena_printf((cx)->arena, __VA_ARGS__))

/* ---- common.c */
void nw_encode_revision(struct ctx *cx, struct jw *w, const void *row, const struct view *v);
void nw_encode_null(struct ctx *cx, struct jw *w, const void *row, const struct view *v);
const char *nw_check_routes(struct ctx *cx, const json_t *v, json_t **ret);
const char *nw_check_dns_name(struct ctx *cx, const json_t *v, json_t **ret);
const char *nw_check_dns_domain(struct ctx *cx, const json_t *v, json_t **ret);
/* A POST of one ({"port": {…}}) or many ({"ports": […]}): each is decoded, gets an id and an owner,
 * and goes to make. */
MUST_USE struct err *nw_create(struct call *c, const struct resource *res,
                               struct err *(*make)(struct call *c, void *row));
/* The list of c->route->list, with what RBAC policies share, and the filters on tags. */
MUST_USE struct err *nw_list(struct call *c, const struct list_more *more);
/* "If-Match: revision_number=3": only what is as the client knows it is changed. */
MUST_USE struct err *nw_check_revision(struct call *c);
/* A text that is JSON in a column; never NULL (an empty array for NULL). */
const json_t *nw_json(struct ctx *cx, const char *text);
const char *nw_id_of(const struct resource *res, const void *row);
bool nw_list_has(struct ctx *cx, const char *list, const char *item); /* a LIST column */
bool nw_owns(const struct call *c,
             const char *project_id); /* the actor's own project's, or the actor is admin */
const char *nw_words(struct ctx *cx, const char *const *words, size_t n, const char *sep);

/* ---- touch.c: agents hear of what changed */
MUST_USE struct err *nw_touch_network(struct ctx *cx, struct tx *tx, const char *network_id);
MUST_USE struct err *nw_touch_router(struct ctx *cx, struct tx *tx, const char *router_id);
/* The port's network, its router, and networks whose rules name one of its groups: nothing for one
 * that isn't bound. */
MUST_USE struct err *nw_touch_port(struct ctx *cx, struct tx *tx, const struct port *p);
/* The writer alone, where there is one. */
MUST_USE struct err *nw_touch_writer(struct ctx *cx, struct tx *tx, const char *network_id);
/* The host has another name in OVN. */
MUST_USE struct err *nw_chassis_changed(struct ctx *cx, struct tx *tx, const char *host_id);
MUST_USE struct err *nw_touch_group(struct ctx *cx, struct tx *tx,
                                    const char *group_id); /* its rules changed */
MUST_USE struct err *nw_touch_routers_of_network(struct ctx *cx, struct tx *tx,
                                                 const char *network_id);

MUST_USE struct err *nw_touch_routers_by(struct ctx *cx, struct tx *tx, const struct stmt *st,
                                         const char *id);
MUST_USE struct err *nw_touch_networks_by(struct ctx *cx, struct tx *tx, const struct stmt *st,
                                          const char *id); /* those that st gives for this id */

/* ---- rbac.c: who of other projects sees and uses what */
#define RBAC_SHARED "access_as_shared"
#define RBAC_EXTERNAL "access_as_external"
const char *nw_rbac_type(const struct resource *res); /* NULL: no policy shares such */
/* action may end in %: LIKE. */
MUST_USE struct err *nw_rbac_has(struct ctx *cx, struct tx *tx, const char *object_id,
                                 const char *action, const char *project_id, bool *ret);
bool nw_rbac_sees(struct ctx *cx, struct tx *tx, const char *object_id, const struct actor *actor);
/* The policy for every project is there, or not. */
MUST_USE struct err *nw_rbac_everyone(struct ctx *cx, struct tx *tx, const struct resource *res,
                                      const char *object_id, const char *project_id,
                                      const char *action, bool on);
/* Whether somebody could use it no longer, were it not shared with every project. */
MUST_USE struct err *nw_rbac_everyone_in_use(struct call *c, const struct resource *res,
                                             const char *object_id, const char *owner, bool *ret);
MUST_USE struct err *nw_rbac_forget(struct ctx *cx, struct tx *tx, const char *object_id);
/* row.extra of what policies share. */
struct nw_seen {
    bool shared; /* with the one who looks */
    void *more;  /* the resource's own */
};
MUST_USE struct err *nw_rbac_prepare(struct ctx *cx, struct tx *tx, const struct resource *res,
                                     void *const *rows, size_t n, const struct actor *actor);
bool nw_shared_to_actor(const void *row);

/* ---- address_scopes.c */
MUST_USE struct err *nw_scope_check_pool(struct call *c, const struct subnetpool *p);

/* ---- networks.c */
MUST_USE struct err *nw_network_visible(struct call *c, const char *id, struct network **ret);
MUST_USE struct err *nw_network_make(struct call *c, void *row); /* with quota and checks */
MUST_USE struct err *nw_network_remove(struct call *c, struct network *n);
MUST_USE struct err *nw_network_new(struct ctx *cx, struct tx *tx,
                                    struct network *n); /* id and project are set */

/* ---- subnets.c, subnet_rules.c */
struct subnets {
    struct subnet **v;
    size_t n;
};
MUST_USE struct err *nw_subnets_of(struct ctx *cx, struct tx *tx, const char *network_id,
                                   struct subnets *ret);
struct subnet *nw_subnet_by_id(const struct subnets *s, const char *id); /* NULL: not among them */
MUST_USE struct err *nw_subnet_make(struct call *c, void *row); /* with quota, pool and checks */
MUST_USE struct err *nw_subnet_new(struct ctx *cx, struct tx *tx, const struct network *n,
                                   struct subnet *s);
struct cidr nw_cidr_of(const struct subnet *s);
bool nw_is_auto(const struct subnet *s); /* guests make their address from their MAC */
bool nw_wants_dhcp_ip(const struct subnet *s);
MUST_USE struct err *nw_subnet_check_new(struct ctx *cx, struct subnet *s,
                                         const struct subnets *others);
MUST_USE struct err *nw_subnet_check_update(struct ctx *cx, struct subnet *s,
                                            const struct subnet *old);

/* ---- subnetpools.c: fills cidr and ip_version of s */
MUST_USE struct err *nw_pool_take(struct call *c, struct subnet *s);

/* ---- ipam.c: who holds which address */
MUST_USE struct err *nw_ip_take(struct ctx *cx, struct tx *tx, const struct subnet *s,
                                const struct addr *a, const char *holder_id);
MUST_USE struct err *nw_ip_next(struct ctx *cx, struct tx *tx, const struct subnet *s,
                                const char *holder_id, struct addr *ret, bool *ret_found);
MUST_USE struct err *nw_ip_release(struct ctx *cx, struct tx *tx, const char *subnet_id,
                                   const char *ip, const char *holder_id);
MUST_USE struct err *nw_ip_release_all(struct ctx *cx, struct tx *tx, const char *holder_id);
MUST_USE struct err *nw_mac_new(struct ctx *cx, struct tx *tx, const char *network_id,
                                const char **ret);
MUST_USE struct err *nw_mac_check(struct ctx *cx, struct tx *tx, const char *network_id,
                                  const char *mac);

/* ---- port_ips.c */
struct fixed_ip {
    const char *subnet_id, *ip;
};
size_t nw_fixed_ips(struct ctx *cx, const struct port *p, struct fixed_ip **ret);
/*
 * Makes the port hold what is requested (NULL: one of each IP version): takes, keeps, gives back,
 * and writes p->fixed_ips. old: its addresses before (NULL: none).
 */
MUST_USE struct err *nw_port_ips_set(struct ctx *cx, struct tx *tx, struct port *p, const char *old,
                                     const json_t *requested, const struct subnets *subnets);
/* Adds (or takes away) one subnet's address without looking at the others. *ret_changed may stay
 * false. */
MUST_USE struct err *nw_port_ips_add_auto(struct ctx *cx, struct tx *tx, struct port *p,
                                          const struct subnet *s);
MUST_USE struct err *nw_port_ips_drop(struct ctx *cx, struct tx *tx, struct port *p,
                                      const char *subnet_id);
void nw_port_ips_write(struct ctx *cx, struct port *p, const struct fixed_ip *ips, size_t n);

/* ---- ports.c */
struct port *nw_port_row(struct ctx *cx, const struct network *n,
                         const char *project_id); /* with all defaults */
/* Checked and complete: MAC, groups; addresses as requested. No quota. */
MUST_USE struct err *nw_port_new(struct ctx *cx, struct tx *tx, struct port *p,
                                 const json_t *requested, const struct subnets *subnets);
MUST_USE struct err *nw_port_remove(struct ctx *cx, struct tx *tx, struct port *p);
MUST_USE struct err *nw_port_groups_set(struct ctx *cx, struct tx *tx, const struct port *p);
/* Writes a changed row; agents hear of it. */
MUST_USE struct err *nw_port_changed(struct ctx *cx, struct tx *tx, struct port *p);

/* ---- port_options.c */
const char *nw_check_dhcp_options(struct ctx *cx, const json_t *v, json_t **ret);
/* p->extra_dhcp_opts as asked for becomes what the port has, which had old before (NULL: none). */
MUST_USE struct err *nw_dhcp_options_merge(struct ctx *cx, struct port *p, const char *old);

/* ---- dhcp.c: one port per network that holds DHCP's addresses */
MUST_USE struct err *nw_dhcp_sync(struct ctx *cx, struct tx *tx, const struct network *n);

/* ---- port_forwardings.c */
MUST_USE struct err *nw_forwardings_of(struct ctx *cx, struct tx *tx, const char *floatingip_id,
                                       void ***ret, size_t *ret_n);
MUST_USE struct err *nw_forwardings_leave(struct ctx *cx, struct tx *tx,
                                          const struct port *p); /* as nw_floatingips_leave */

/* ---- auto_topology.c */
/* The project's network with a way out, made when it has none: id of the network. */
MUST_USE struct err *nw_auto_topology(struct call *c, const char *project_id, const char **ret_id);

/* ---- agent_scheduling.c: which hosts' DHCP serves a network, which host carries a router */
MUST_USE struct err *nw_dhcp_here(struct ctx *cx, struct tx *tx, const char *host_id,
                                  const char *network_id, bool *ret);
MUST_USE struct err *nw_l3_here(struct ctx *cx, struct tx *tx, const char *host_id,
                                const char *router_id, bool *ret);
MUST_USE struct err *nw_l3_anywhere(struct ctx *cx, struct tx *tx, const char *router_id,
                                    bool *ret); /* some host carries it, or is to */
/* A network with DHCP that no host serves yet falls to one: before its first guest comes. */
MUST_USE struct err *nw_dhcp_schedule(struct ctx *cx, struct tx *tx, const struct network *n);
MUST_USE struct err *nw_agents_forget(struct ctx *cx, struct tx *tx, const char *item_id);
/* Zones of the hosts that do this ("dhcp", "l3") for each of these, as JSON texts. */
MUST_USE struct err *nw_zones_of(struct ctx *cx, struct tx *tx, const char *kind,
                                 const char *const *ids, size_t n, const char ***ret);

/* ---- security_groups.c, security_rules.c */
MUST_USE struct err *nw_default_group(struct ctx *cx, struct tx *tx, const char *project_id,
                                      struct security_group **ret);
/* A complete new group, with what every project and every group starts with. */
MUST_USE struct err *nw_group_make(struct call *c, void *row);
MUST_USE struct err *nw_group_change(struct call *c, const char *old_name,
                                     struct security_group *g);
MUST_USE struct err *nw_group_remove(struct call *c, struct security_group *g);
MUST_USE struct err *nw_rule_add_plain(struct ctx *cx, struct tx *tx,
                                       const struct security_group *g, const char *direction,
                                       const char *ethertype, const char *remote_group_id);
MUST_USE struct err *nw_rule_make(struct call *c, void *row); /* with quota and checks */
MUST_USE struct err *nw_rule_remove(struct call *c, struct security_rule *r);
const char *nw_rule_cidr(struct ctx *cx, const struct security_rule *r); /* NULL: none */

/* ---- routers.c, router_ports.c */
MUST_USE struct err *nw_gateway_set(struct call *c, struct router *r, const struct router *old);
MUST_USE struct err *nw_router_make(struct call *c, void *row); /* with quota and checks */
MUST_USE struct err *nw_router_remove(struct call *c, struct router *r);
MUST_USE struct err *nw_interface_add(struct call *c, struct router *r, const char *subnet_id);
MUST_USE struct err *nw_interface_remove(struct call *c, struct router *r, struct port *p);
MUST_USE struct err *nw_router_ports(struct ctx *cx, struct tx *tx, const char *router_id,
                                     struct port ***ret, size_t *ret_n);
/* The router with a gateway to the external network that serves this address; NULL: none. */
MUST_USE struct err *nw_router_for(struct ctx *cx, struct tx *tx, const char *network_id,
                                   const char *subnet_id, const char *external_id,
                                   const char **ret_router_id);

/* ---- floatingips.c */
MUST_USE struct err *nw_floatingip_make(struct call *c, void *row); /* with quota and checks */
/* f has another port than old, or none; the caller saves it. */
MUST_USE struct err *nw_floatingip_move(struct call *c, const struct floatingip *old,
                                        struct floatingip *f);
MUST_USE struct err *nw_floatingip_remove(struct call *c, struct floatingip *f);
MUST_USE struct err *nw_floatingips_leave(struct ctx *cx, struct tx *tx,
                                          const struct port *p); /* those of lost addresses */

extern const struct fleet_kind nw_kind_network, nw_kind_router;

/* Handlers, statements and selections of all topics. */
#define API(method, path, handler, ...) struct err *handler(struct call *c);
#define STMT(name) extern const struct stmt name;
#define ROWS(name) extern const struct res_where name;
#include "network/topics.def"
