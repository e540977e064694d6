/* SPDX-License-Identifier: EUPL-1.2 */
/* The driver's own state, and what its halves offer one another. */
#pragma once

#include "node/drivers/driver.h"
#include "node/drivers/net/links.h"
#include "node/drivers/net/metadata.h"
#include "node/drivers/net/names.h"

struct kernel_net {
    char *netns;        /* the host's namespace; NULL: the process's own */
    char *owner;        /* what our namespaces carry, of the data folder's path */
    struct ip external; /* br-ext's address; version 0: br-ext is the admin's */
    struct metadata *metadata;
};

MUST_USE struct err *kernel_network_apply(struct ctx *cx, void *drv,
                                          const struct spec_network *spec);
MUST_USE struct err *kernel_network_remove(struct ctx *cx, void *drv, const char *network_id);
MUST_USE struct err *kernel_router_apply(struct ctx *cx, void *drv, const struct spec_router *spec);
MUST_USE struct err *kernel_router_remove(struct ctx *cx, void *drv, const char *router_id);
MUST_USE struct err *kernel_tap_open(struct ctx *cx, void *drv, const struct spec_nic *nic,
                                     int *ret_fd);
MUST_USE struct err *kernel_tap_remove(struct ctx *cx, void *drv, const char *network_id,
                                       const char *tap);

/* br-ext in the host's namespace, made when it is ours to make; ret_links is open there. */
MUST_USE struct err *external_ensure(struct ctx *cx, struct kernel_net *net,
                                     struct links **ret_links, struct link *ret);
/* The namespace is ours; false also when it is absent. */
MUST_USE struct err *namespace_ours(struct ctx *cx, struct kernel_net *net, const char *name,
                                    bool *ret);
/* Its dnsmasq, links, name: all gone. */
MUST_USE struct err *namespace_remove(struct ctx *cx, const char *name);
/* IPv6 is there at all on this host. */
bool host_has_ipv6(void);
