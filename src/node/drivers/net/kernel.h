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

/* What other drivers with namespaces on this host have in common with this one. */
MUST_USE struct err *kernel_net_init(struct ctx *cx, const struct kernel_net_config *cfg,
                                     struct kernel_net *net);
void kernel_net_fini(struct kernel_net *net);
/* Ours, what follows the prefix in their names. */
MUST_USE struct err *namespaces_list(struct ctx *cx, struct kernel_net *net, const char *prefix,
                                     const char ***ret, size_t *ret_n);
/* What is set in a network's namespace, and the addresses of the link that guests reach it by. */
MUST_USE struct err *network_settings(struct ctx *cx, const char *netns);
MUST_USE struct err *network_ipv6(struct ctx *cx, const struct spec_network *spec,
                                  const char *netns, const char *link);
MUST_USE struct err *network_addresses(struct ctx *cx, const struct spec_network *spec,
                                       struct links *l, const struct link *link);
/* A guest's tap in the namespace; with virtio's headers, or as plain frames. It is gone when its
 * last holder closes it. */
MUST_USE struct err *tap_make(struct ctx *cx, const char *netns, const char *tap, bool headers,
                              int *ret_fd);
MUST_USE struct err *tap_check(struct ctx *cx, const char *tap);

MUST_USE struct err *kernel_network_apply(struct ctx *cx, void *drv,
                                          const struct spec_network *spec);
MUST_USE struct err *kernel_network_serve(struct ctx *cx, void *drv,
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
