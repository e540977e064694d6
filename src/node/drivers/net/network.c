/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A network: its namespace with bridge, DHCP and metadata addresses, rules; then what listens
 * there. The rules come first, so that no packet ever passes a bridge without them. And the taps of
 * its guests.
 */
#include "node/drivers/net/dhcp.h"
#include "node/drivers/net/kernel.h"
#include "node/drivers/net/netns.h"
#include "node/drivers/net/nft.h"

#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

MUST_USE static struct err *namespace_name(struct ctx *cx, const char *id, const char **ret_short,
                                           const char **ret)
{
    TRY(short_id(cx, id, ret_short));
    *ret = arena_printf(cx->arena, NETWORK_PREFIX "%s", *ret_short);
    return NULL;
}

/* A network's namespace routes nothing, and only its bridge speaks IPv6. */
struct err *network_settings(struct ctx *cx, const char *netns)
{
    AUTO_NETNS int back = -1;
    TRY(netns_enter(cx, netns, &back));
    TRY(sysctl_set(cx, "ipv4/ip_forward", "0"));
    TRY(sysctl_set(cx, "ipv4/conf/all/rp_filter", "0"));
    TRY(sysctl_set(cx, "ipv4/conf/default/rp_filter", "0"));
    TRY(sysctl_set(cx, "ipv4/conf/all/promote_secondaries", "1"));
    TRY(sysctl_set(cx, "ipv4/conf/all/arp_announce", "2"));
    if (!host_has_ipv6())
        return NULL;
    TRY(sysctl_set(cx, "ipv6/conf/default/disable_ipv6", "1"));
    return sysctl_set(cx, "ipv6/conf/default/accept_ra", "0");
}

/* IPv6 wants 1280 bytes (RFC 8200). */
static bool speaks_ipv6(const struct spec_network *spec)
{
    return host_has_ipv6() && spec->mtu >= 1280;
}

struct err *network_ipv6(struct ctx *cx, const struct spec_network *spec, const char *netns,
                         const char *link)
{
    AUTO_NETNS int back = -1;
    if (!speaks_ipv6(spec))
        return NULL;
    TRY(netns_enter(cx, netns, &back));
    TRY(sysctl_set(cx, arena_printf(cx->arena, "ipv6/conf/%s/accept_dad", link), "0"));
    return sysctl_set(cx, arena_printf(cx->arena, "ipv6/conf/%s/disable_ipv6", link), "0");
}

struct err *network_addresses(struct ctx *cx, const struct spec_network *spec, struct links *l,
                              const struct link *link)
{
    struct ip *want = arena_new_array(cx->arena, struct ip, spec->n_subnets + 2);
    struct route *routes = arena_new_array(cx->arena, struct route, spec->n_subnets);
    size_t n = 0, n_routes = 0;
    TRY(ip_parse(cx, METADATA_IP, &want[n++]));
    if (speaks_ipv6(spec))
        TRY(ip_parse(cx, METADATA_IP6 "/64", &want[n++]));
    for (size_t i = 0; i < spec->n_subnets; i++) {
        const struct spec_subnet *s = &spec->subnets[i];
        struct ip net;
        TRY(ip_parse(cx, s->cidr, &net));
        if (net.version == 6 && !speaks_ipv6(spec))
            continue;
        if (s->enable_dhcp && s->dhcp_ip)
            TRY(ip_parse_with(cx, s->dhcp_ip, net.prefix, &want[n++]));
        else /* the metadata service answers without an address of the subnet, too */
            routes[n_routes++] = (struct route){.dst = ip_network(&net), .link = link->index};
    }
    TRY(addrs_sync(cx, l, link, want, n, true));
    return routes_sync(cx, l, routes, n_routes);
}

/* A bridge is as wide as its narrowest port: all of them follow the network. */
MUST_USE static struct err *ports_mtu(struct ctx *cx, struct links *l, const struct link *bridge,
                                      uint32_t mtu)
{
    struct link *links;
    size_t n;
    TRY(link_list(cx, l, &links, &n));
    for (size_t i = 0; i < n; i++)
        if (links[i].master == bridge->index)
            TRY(link_shape(cx, l, &links[i], mtu, NULL, links[i].master, links[i].up));
    return NULL;
}

/* Only the bridge of the host: routers reach it from their own namespaces. The mark tells the
 * removal what it was. */
MUST_USE static struct err *external_apply(struct ctx *cx, struct kernel_net *net,
                                           const char *netns)
{
    struct links *l;
    struct link bridge;
    TRY(netns_ensure(cx, netns, net->owner));
    TRY(run_file_write(cx, netns, "external", "yes\n"));
    return external_ensure(cx, net, &l, &bridge);
}

MUST_USE static struct err *dnsmasq_texts(struct ctx *cx, const struct spec_network *spec,
                                          int bridge_index, struct dnsmasq_files *ret)
{
    TRY(dhcp_conf_text(cx, spec, bridge_index, &ret->conf));
    TRY(dhcp_hosts_text(cx, spec, &ret->hosts));
    TRY(dhcp_options_text(cx, spec, &ret->options));
    return dhcp_names_text(cx, spec, &ret->names);
}

struct err *kernel_network_apply(struct ctx *cx, void *drv, const struct spec_network *spec)
{
    struct kernel_net *net = drv;
    const char *name, *netns, *ra;
    struct dnsmasq_files dns;
    struct buf rules;
    struct links *l;
    struct link bridge;
    TRY(namespace_name(cx, spec->id, &name, &netns));
    if (spec->external)
        return external_apply(cx, net, netns);
    /* Everything that may be wrong with the spec comes before anything is touched. */
    buf_init(&rules, cx->arena);
    TRY(nft_network_text(cx, spec, &rules));
    TRY(dnsmasq_texts(cx, spec, 0, &dns));
    TRY(dhcp_ra_lines(cx, spec, &ra));

    TRY(netns_ensure(cx, netns, net->owner));
    TRY(network_settings(cx, netns));
    TRY(nft_apply(cx, netns, buf_cstr(&rules)));
    TRY(links_open(cx, netns, &l));
    struct mac mac = mac_derive("network", name);
    TRY(bridge_ensure(cx, l, BRIDGE, &mac, (uint32_t)spec->mtu, true, &bridge));
    TRY(network_ipv6(cx, spec, netns, BRIDGE));
    TRY(network_addresses(cx, spec, l, &bridge));
    TRY(ports_mtu(cx, l, &bridge, (uint32_t)spec->mtu));
    return run_file_write(cx, netns, "ra", ra);
}

struct err *kernel_network_serve(struct ctx *cx, void *drv, const struct spec_network *spec)
{
    struct kernel_net *net = drv;
    const char *name, *netns;
    struct dnsmasq_files dns;
    struct links *l;
    struct link bridge;
    bool found;
    if (spec->external)
        return NULL;
    TRY(namespace_name(cx, spec->id, &name, &netns));
    TRY(links_open(cx, netns, &l));
    TRY(link_find(cx, l, BRIDGE, &bridge, &found));
    if (!found)
        return fail(cx, ERR_UNAVAILABLE, "the network %s is not on this host yet", spec->id);
    TRY(metadata_listen(cx, net->metadata, spec, netns, NULL));
    TRY(dnsmasq_texts(cx, spec, bridge.index, &dns));
    return dnsmasq_apply(cx, netns, &dns);
}

/* The last of our external networks takes br-ext along, if we made it. */
MUST_USE static struct err *external_remove(struct ctx *cx, struct kernel_net *net,
                                            const char *netns)
{
    const char **names, *mark;
    size_t n;
    struct links *l;
    struct link bridge;
    bool ours, found;
    TRY(netns_list(cx, NETWORK_PREFIX, &names, &n));
    for (size_t i = 0; i < n; i++) {
        TRY(namespace_ours(cx, net, names[i], &ours));
        TRY(run_file_read(cx, names[i], "external", &mark));
        if (ours && *mark && !str_eq(names[i], netns))
            return NULL;
    }
    struct err *e = links_open(cx, net->netns, &l);
    if (e || !net->external.version)
        return e && e->kind != ERR_NOT_FOUND ? e : NULL;
    TRY(link_find(cx, l, EXTERNAL_BRIDGE, &bridge, &found));
    return found ? link_delete(cx, l, bridge.index) : NULL;
}

struct err *kernel_network_remove(struct ctx *cx, void *drv, const char *network_id)
{
    struct kernel_net *net = drv;
    const char *name, *netns, *mark;
    bool ours;
    TRY(namespace_name(cx, network_id, &name, &netns));
    metadata_close(net->metadata, name);
    TRY(namespace_ours(cx, net, netns, &ours));
    if (!ours)
        return NULL;
    TRY(run_file_read(cx, netns, "external", &mark));
    if (*mark)
        TRY(external_remove(cx, net, netns));
    return namespace_remove(cx, netns);
}

/* Made by opening it, gone when its last holder closes it: the guest's QEMU, once it has it. */
struct err *tap_make(struct ctx *cx, const char *netns, const char *tap, bool headers, int *ret_fd)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    if (headers)
        r.ifr_flags |= IFF_VNET_HDR;
    AUTO_NETNS int back = -1;
    TRY(netns_enter(cx, netns, &back));
    AUTO_FD int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot open /dev/net/tun: %m");
    memcpy(r.ifr_name, tap, strlen(tap) + 1);
    if (ioctl(fd, TUNSETIFF, &r) == 0) {
        *ret_fd = TAKE_FD(fd);
        return NULL;
    }
    if (errno == EBUSY)
        return fail(cx, ERR_IN_USE,
                    "the tap %s is held by another process: is the guest still running?", tap);
    return fail(cx, ERR_UNAVAILABLE, "cannot make the tap %s: %m", tap);
}

struct err *tap_check(struct ctx *cx, const char *tap)
{
    const char *id;
    if (!str_starts(tap, "tap") || strlen(tap) != 3 + SHORT_ID)
        return fail(cx, ERR_INVALID, "'%s' is not the tap of a port", tap ? tap : "");
    return short_id(cx, tap + 3, &id);
}

struct err *kernel_tap_open(struct ctx *cx, void *drv, const struct spec_nic *nic, int *ret_fd)
{
    const char *name, *netns;
    struct links *l;
    struct link bridge, tap;
    bool has_bridge = false, has_tap, ours;
    TRY(namespace_name(cx, nic->network_id, &name, &netns));
    TRY(tap_check(cx, nic->tap));
    TRY(namespace_ours(cx, drv, netns, &ours));
    if (ours) {
        TRY(links_open(cx, netns, &l));
        TRY(link_find(cx, l, BRIDGE, &bridge, &has_bridge));
    }
    if (!has_bridge)
        return fail(cx, ERR_UNAVAILABLE, "the network %s is not on this host yet", nic->network_id);
    AUTO_FD int fd = -1;
    TRY(tap_make(cx, netns, nic->tap, true, &fd));
    TRY(link_find(cx, l, nic->tap, &tap, &has_tap));
    must(has_tap);
    TRY(link_shape(cx, l, &tap, bridge.mtu, NULL, bridge.index, true));
    *ret_fd = TAKE_FD(fd);
    return NULL;
}

struct err *kernel_tap_remove(struct ctx *cx, void *drv, const char *network_id, const char *tap)
{
    const char *name, *netns;
    struct links *l;
    struct link link;
    bool ours, found;
    TRY(namespace_name(cx, network_id, &name, &netns));
    TRY(tap_check(cx, tap));
    TRY(namespace_ours(cx, drv, netns, &ours));
    if (!ours)
        return NULL;
    TRY(links_open(cx, netns, &l));
    TRY(link_find(cx, l, tap, &link, &found));
    return found ? link_delete(cx, l, link.index) : NULL;
}
