/* SPDX-License-Identifier: EUPL-1.2 */
/* What the wiring needs of the network service. */
#pragma once

#include "resource/api.h"

extern const struct service network_service;

struct network_config {
    int64_t default_mtu;    /* of networks that don't say: 1450 leaves room for tunnels */
    const char *dns_domain; /* of names in dns_assignment: "openstacklocal" */
    bool has_writer;        /* one writer is told of all networks, hosts of their guests' alone */
};
/* Once, at start, before requests: settings, and the kinds "network" and "router" of the fleet.
 * Texts are copied. */
void network_configure(const struct network_config *cfg);
const struct network_config *network_config(void);

struct network_bootstrap {
    const char *name;       /* "public" */
    const char *cidr;       /* "203.0.113.0/24" */
    const char *gateway_ip; /* "203.0.113.1" */
    const char *project_id; /* who owns it: the admin project */
};
/* Idempotent: an external, default network of this name, with the subnet (no DHCP). *ret_id: the
 * network's id. */
MUST_USE struct err *network_bootstrap(struct ctx *cx, struct store *store,
                                       const struct network_bootstrap *b, const char **ret_id);
