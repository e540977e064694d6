/* SPDX-License-Identifier: EUPL-1.2 */
/* What compute needs of the network service: ports for servers. Implemented by network/, called by
 * compute/ in its transaction. */
#pragma once

#include "resource/api.h"

struct server_ip {
    const char *ip, *subnet_id, *floating_ip; /* floating_ip NULL: none */
    int version;
};

struct server_port {
    const char *id, *network_id, *network_name, *mac, *tap, *status, *server_id;
    int64_t mtu;
    const char *tag; /* as it was attached; NULL: none */
    bool preserve;   /* was made by the user: unbound, not deleted, with the server */
    bool leaving;    /* its host is to unplug it */
    struct server_ip *ips;
    size_t n_ips;
    const char **security_groups; /* names */
    size_t n_security_groups;
};

struct port_request {                                  /* one entry of the server's "networks" */
    const char *network_id, *port_id, *fixed_ip, *tag; /* network_id or port_id */
};

/*
 * Creates the port (or takes the user's own), bound to the server on the host: device_id,
 * device_owner "compute:<zone>". ERR_INVALID for what the tenant must correct (of the types
 * NetworkNotFound and PortNotFound, and others; port in use is ERR_CONFLICT), ERR_QUOTA, …
 * security_group_ids NULL: the project's default group.
 */
MUST_USE struct err *network_port_attach(struct call *c, const struct port_request *rq,
                                         const char *const *security_group_ids, size_t n_groups,
                                         const char *server_id, const char *hostname,
                                         const char *host_id, const char *zone,
                                         struct server_port *ret);
/* All ports of the server are on this host from now on, and not plugged yet; NULL: on none. */
MUST_USE struct err *network_ports_bind(struct ctx *cx, struct tx *tx, const char *server_id,
                                        const char *host_id, const char *zone);
/* They are sent to this host with their running guest, until network_ports_bind; NULL: no more. */
MUST_USE struct err *network_ports_expect(struct ctx *cx, struct tx *tx, const char *server_id,
                                          const char *host_id);
/* It is to go: once its host has unplugged it, network_port_detach follows. */
MUST_USE struct err *network_port_leave(struct ctx *cx, struct tx *tx, const char *port_id);
/* Gives back what network_port_attach took, exactly once; a port that is gone is fine. */
MUST_USE struct err *network_port_detach(struct ctx *cx, struct tx *tx, const char *port_id);
/* Everything of this server (its deletion). */
MUST_USE struct err *network_ports_release(struct ctx *cx, struct tx *tx, const char *server_id);
/* Ports of these servers, ordered by server and by creation: one statement or few, however many
 * servers. */
MUST_USE struct err *network_ports_of(struct ctx *cx, struct tx *tx, const char *const *server_ids,
                                      size_t n, struct server_port **ret, size_t *ret_n);
/* The same with no more of each than a list of servers shows: status, tag, preserve and leaving are
 * not read. */
MUST_USE struct err *network_ports_shown(struct ctx *cx, struct tx *tx,
                                         const char *const *server_ids, size_t n,
                                         struct server_port **ret, size_t *ret_n);
/* The agent saw the NIC plugged or not: the port's status becomes ACTIVE or DOWN. */
MUST_USE struct err *network_port_plugged(struct ctx *cx, struct tx *tx, const char *port_id,
                                          bool plugged);
/* The networks a server gets that asked for none: the project's own only one; several are
 * ERR_CONFLICT in nova's words. */
MUST_USE struct err *network_default_for(struct call *c,
                                         const char **ret_network_id); /* NULL: none at all */
/* The one that the project gets by itself, with a way out: made when it has none. ERR_INVALID where
 * the operator has not provided for it. */
MUST_USE struct err *network_auto_for(struct call *c, const char **ret_network_id);
/* Names or ids → ids, within the project; unknown: ERR_INVALID in nova's words. */
MUST_USE struct err *network_groups_resolve(struct call *c, const char *const *names, size_t n,
                                            const char ***ret_ids);
/* Replaces the groups of all ports of a server: add (true) or take away one (os-security-groups
 * proxies). */
MUST_USE struct err *network_group_on_server(struct call *c, const char *server_id,
                                             const char *group_name, bool add);
/* network_data.json of a server (config drive and metadata service): links, networks, services. */
MUST_USE struct err *network_data_write(struct ctx *cx, struct tx *tx, const char *server_id,
                                        struct jw *w);
/*
 * Security groups in nova's older shape (os-security-groups), as values into w: one (group_id),
 * those of a server's ports (server_id), or all of the project's (project_id NULL: of every one's).
 * ret_n: how many.
 */
MUST_USE struct err *network_groups_write(struct call *c, const char *project_id,
                                          const char *group_id, const char *server_id, struct jw *w,
                                          size_t *ret_n);
/* The actor's project has its default group from here on. Own transaction: c->tx is NULL. */
MUST_USE struct err *network_default_group_ensure(struct call *c);
/* The same API's changes, to groups of the actor's project. ERR_INVALID for what the network
 * service calls a conflict. */
MUST_USE struct err *network_group_create(struct call *c, const char *name, const char *description,
                                          const char **ret_id);
MUST_USE struct err *network_group_update(struct call *c, const char *id, const char *name,
                                          const char *description);
MUST_USE struct err *network_group_delete(struct call *c, const char *id);
