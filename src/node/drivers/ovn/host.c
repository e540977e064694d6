/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The driver "ovn" of a host: OVN does the networks, this plugs guests in. Each network has a
 * namespace here, much as the kernel driver's, in which the metadata service answers: its link is
 * the network's local port, which each host has one of.
 */
#include "node/drivers/driver.h"
#include "node/drivers/net/kernel.h"
#include "node/drivers/net/netns.h"
#include "node/drivers/ovn/dns.h"
#include "node/drivers/ovn/nb_map.h"
#include "node/drivers/ovn/ovs.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define INNER "md0"  /* in the network's namespace */
#define OUTER "cvm-" /* and its other end on the host */

struct ovn_host {
    struct kernel_net net;
    char *ovs_db;
    char prefix[24]; /* of the networks' namespaces: hosts may share a machine */
};

static struct err *namespace_name(struct ctx *cx, const struct ovn_host *h, const char *id,
                                  const char **ret_short, const char **ret)
{
    TRY(short_id(cx, id, ret_short));
    *ret = arena_printf(cx->arena, "%s%s", h->prefix, *ret_short);
    return NULL;
}

/* The userspace datapath takes frames as they come: their checksums must be there. */
static struct err *checksums_here(struct ctx *cx, const char *netns, const char *link)
{
    struct ethtool_value off = {.cmd = ETHTOOL_STXCSUM, .data = 0};
    struct ifreq r = {.ifr_data = (char *)&off};
    AUTO_NETNS int back = -1;
    TRY(netns_enter(cx, netns, &back));
    AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(r.ifr_name, link, strlen(link) + 1);
    if (fd < 0 || ioctl(fd, SIOCETHTOOL, &r) < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot turn checksum offloading of %s off: %m", link);
    return NULL;
}

static const char *outer_name(struct ctx *cx, const char *short_id)
{
    return arena_printf(cx->arena, OUTER "%s", short_id);
}

/* The way from the namespace to the bridge. */
static struct err *metadata_link(struct ctx *cx, struct ovn_host *h,
                                 const struct spec_network *spec, const char *netns,
                                 const char *outer, struct links **ret_links, struct link *ret)
{
    struct links *host;
    struct link there;
    struct mac mac;
    bool found, userspace;
    TRY(mac_parse(cx, metadata_mac(cx, spec->id), &mac));
    TRY(links_open(cx, h->net.netns, &host));
    TRY(links_open(cx, netns, ret_links));
    struct veth_end outside = {.links = host, .netns = h->net.netns, .name = outer};
    struct veth_end inside = {.links = *ret_links, .netns = netns, .name = INNER};
    TRY(veth_ensure(cx, &outside, &inside, &there, ret));
    TRY(link_shape(cx, host, &there, (uint32_t)spec->mtu, NULL, 0, true));
    TRY(link_shape(cx, *ret_links, ret, (uint32_t)spec->mtu, &mac, 0, true));
    TRY(link_find(cx, *ret_links, INNER, ret, &found));
    must(found);
    TRY(ovs_is_userspace(cx, h->ovs_db, &userspace));
    return userspace ? checksums_here(cx, netns, INNER) : NULL;
}

static struct err *host_network_apply(struct ctx *cx, void *drv, const struct spec_network *spec)
{
    struct ovn_host *h = drv;
    const char *name, *netns, *outer;
    struct links *l;
    struct link link;
    TRY(namespace_name(cx, h, spec->id, &name, &netns));
    TRY(netns_ensure(cx, netns, h->net.owner));
    if (spec->external)
        return NULL;
    outer = outer_name(cx, name);
    TRY(network_settings(cx, netns));
    TRY(metadata_link(cx, h, spec, netns, outer, &l, &link));
    TRY(network_ipv6(cx, spec, netns, INNER));
    TRY(network_addresses(cx, spec, l, &link));
    TRY(metadata_listen(cx, h->net.metadata, spec, netns, dns_answer));
    return ovs_plug(cx, h->ovs_db, outer, metadata_port(cx, spec->id), h->net.owner);
}

static struct err *host_network_remove(struct ctx *cx, void *drv, const char *network_id)
{
    struct ovn_host *h = drv;
    const char *name, *netns;
    bool ours;
    TRY(namespace_name(cx, h, network_id, &name, &netns));
    metadata_close(h->net.metadata, name);
    TRY(namespace_ours(cx, &h->net, netns, &ours));
    if (!ours)
        return NULL;
    TRY(ovs_unplug(cx, h->ovs_db, outer_name(cx, name)));
    return namespace_remove(cx, netns);
}

/* Routers are on no host, or on all. */
static struct err *host_router_apply(struct ctx *cx UNUSED, void *drv UNUSED,
                                     const struct spec_router *spec UNUSED)
{
    return NULL;
}

static struct err *host_router_remove(struct ctx *cx UNUSED, void *drv UNUSED,
                                      const char *router_id UNUSED)
{
    return NULL;
}

static struct err *host_tap_open(struct ctx *cx, void *drv, const struct spec_nic *nic, int *ret_fd)
{
    struct ovn_host *h = drv;
    const char *name, *netns;
    struct links *l;
    struct link tap;
    bool ours, found, userspace;
    TRY(namespace_name(cx, h, nic->network_id, &name, &netns));
    TRY(tap_check(cx, nic->tap));
    TRY(namespace_ours(cx, &h->net, netns, &ours));
    if (!ours)
        return fail(cx, ERR_UNAVAILABLE, "the network %s is not on this host yet", nic->network_id);
    TRY(ovs_is_userspace(cx, h->ovs_db, &userspace));
    TRY(links_open(cx, h->net.netns, &l));
    AUTO_FD int fd = -1;
    TRY(link_find(cx, l, nic->tap, &tap, &found));
    if (!found)
        TRY(ovs_unplug(cx, h->ovs_db, nic->tap));
    TRY(tap_make(cx, h->net.netns, nic->tap, !userspace, &fd));
    TRY(link_find(cx, l, nic->tap, &tap, &found));
    must(found);
    TRY(link_shape(cx, l, &tap, (uint32_t)nic->mtu, NULL, 0, true));
    TRY(ovs_plug(cx, h->ovs_db, nic->tap, nic->port_id, h->net.owner));
    *ret_fd = TAKE_FD(fd);
    return NULL;
}

static struct err *host_tap_remove(struct ctx *cx, void *drv, const char *network_id UNUSED,
                                   const char *tap)
{
    struct ovn_host *h = drv;
    struct links *l;
    struct link link;
    bool found;
    TRY(tap_check(cx, tap));
    TRY(ovs_unplug(cx, h->ovs_db, tap));
    TRY(links_open(cx, h->net.netns, &l));
    TRY(link_find(cx, l, tap, &link, &found));
    return found ? link_delete(cx, l, link.index) : NULL;
}

static struct err *host_list(struct ctx *cx, void *drv, const char ***ret_networks,
                             size_t *ret_n_networks, const char ***ret_routers UNUSED,
                             size_t *ret_n_routers)
{
    struct ovn_host *h = drv;
    *ret_n_routers = 0;
    return namespaces_list(cx, &h->net, h->prefix, ret_networks, ret_n_networks);
}

static struct err *host_chassis(struct ctx *cx, void *drv, const char **ret)
{
    struct ovn_host *h = drv;
    return ovs_chassis(cx, h->ovs_db, ret);
}

static void host_free(void *drv)
{
    struct ovn_host *h = drv;
    kernel_net_fini(&h->net);
    free(h->ovs_db);
    free(h);
}

static const struct net_driver host_driver = {
    .name = "ovn",
    .network_apply = host_network_apply,
    .network_remove = host_network_remove,
    .router_apply = host_router_apply,
    .router_remove = host_router_remove,
    .tap_open = host_tap_open,
    .tap_remove = host_tap_remove,
    .list = host_list,
    .chassis = host_chassis,
    .free = host_free,
};

struct err *ovn_host_new(struct ctx *cx, const struct ovn_host_config *cfg, struct net_backend *ret)
{
    struct ovn_host *h = calloc(1, sizeof(*h));
    must(h);
    h->ovs_db = strdup(cfg->ovs_db);
    must(h->ovs_db);
    struct err *e = kernel_net_init(cx, &cfg->host, &h->net);
    if (e) {
        host_free(h);
        return e;
    }
    snprintf(h->prefix, sizeof(h->prefix), "cv-m-%.8s-",
             sha256_hex(cx, h->net.owner, strlen(h->net.owner)));
    *ret = (struct net_backend){.ops = &host_driver, .drv = h};
    return NULL;
}
