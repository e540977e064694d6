/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What compute's older API shows and changes of networks, floating IPs and security group rules, as
 * it had them before there was a network service. Errors are in nova's words.
 */
#pragma once

#include "resource/api.h"

struct nova_network {
    const char *id, *name, *project_id;
    int64_t mtu;
};
/* What the actor sees; external: only those. */
MUST_USE struct err *network_networks_seen(struct call *c, bool external, struct nova_network **ret,
                                           size_t *ret_n);
MUST_USE struct err *network_network_seen(struct call *c, const char *id, struct nova_network *ret);

struct nova_floating_ip {
    const char *id, *ip, *pool, *fixed_ip, *server_id; /* the last two: NULL without a port */
};
/* Of the actor's project; id: this one alone, or ERR_NOT_FOUND. */
MUST_USE struct err *network_floating_ips(struct call *c, const char *id,
                                          struct nova_floating_ip **ret, size_t *ret_n);
/* pool: an external network's name or id; NULL: the only one there is. */
MUST_USE struct err *network_floating_ip_create(struct call *c, const char *pool,
                                                const char **ret_id);
MUST_USE struct err *network_floating_ip_delete(struct call *c, const char *id);
/* fixed_ip NULL: the server's first. Moves it from where it was. */
MUST_USE struct err *network_floating_ip_on_server(struct call *c, const char *server_id,
                                                   const char *ip, const char *fixed_ip);
MUST_USE struct err *network_floating_ip_off_server(struct call *c, const char *server_id,
                                                    const char *ip);
/* One more address for the server's port on this network; one less. */
MUST_USE struct err *network_fixed_ip_add(struct call *c, const char *server_id,
                                          const char *network_id);
MUST_USE struct err *network_fixed_ip_remove(struct call *c, const char *server_id, const char *ip);

struct nova_rule {
    const char *group_id, *protocol, *cidr, *remote_group_id; /* of the last two one, or none */
    int64_t from_port, to_port;                               /* INT_NULL: any */
};
MUST_USE struct err *network_rule_create(struct call *c, const struct nova_rule *rule,
                                         const char **ret_id);
MUST_USE struct err *network_rule_write(struct call *c, const char *id, struct jw *w);
MUST_USE struct err *network_rule_delete(struct call *c, const char *id);
