/* SPDX-License-Identifier: EUPL-1.2 */
/* From specs to rows of OVN's northbound database: pure functions, golden (tests/golden/ovn). */
#pragma once

#include "node/drivers/ovn/nb.h"
#include "node/spec.h"

/* Owners: a network's or router's rows, by the first characters of its id as everywhere. */
#define NETWORK_OWNER "network:"
#define ROUTER_OWNER "router:"
/* As in each host's ovn-bridge-mappings: its bridge to the outside. */
#define EXTERNAL_PHYSICAL "external"
/* What a network's row tells its routers' (external_ids). */
#define NETWORK_RA "colvert:ra"
#define NETWORK_MTU "colvert:mtu"

/* w is initialised by it. A network's spec has its ports on all hosts. */
MUST_USE struct err *nb_network(struct ctx *cx, const struct spec_network *spec, struct nb_want *w);
/* Its rules: port groups with ACLs. Ports are there already, with their ids as keys. */
MUST_USE struct err *nb_rules(struct nb_want *w, const struct spec_network *spec);
/* The options of DHCP that its ports and subnets need, and references to them. */
MUST_USE struct err *nb_dhcp(struct nb_want *w, const struct spec_network *spec,
                             const struct spec_port *port, struct nb_row *lsp);

/* What a router's pass looks up first. */
struct nb_router_facts {
    struct nb_router_net {
        const char *id, *ra; /* ra: dhcp_ra_lines of the network */
        int64_t mtu;
    } * nets; /* of its interfaces, then of the outside */
    size_t n_nets;
    const char **chassis; /* those that may be its gateway, the best first */
    size_t n_chassis;
};
MUST_USE struct err *nb_router(struct ctx *cx, const struct spec_router *spec,
                               const struct nb_router_facts *facts, struct nb_want *w);

/* The owner's name; ERR_INVALID for what is no id. */
MUST_USE struct err *nb_owner(struct ctx *cx, const char *prefix, const char *id, const char **ret);
/* The port by which the metadata service of each host is reached: its name, its MAC. */
const char *metadata_port(struct ctx *cx, const char *network_id);
const char *metadata_mac(struct ctx *cx, const char *network_id);
