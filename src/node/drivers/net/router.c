/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A router: a namespace with one end of a veth for each interface (the other one is a port of the
 * network's bridge) and one to the external bridge. Interfaces whose network is not there yet are
 * left out, and the call fails at its end.
 */
#include "node/drivers/net/conntrack.h"
#include "node/drivers/net/dhcp.h"
#include "node/drivers/net/kernel.h"
#include "node/drivers/net/netns.h"
#include "node/drivers/net/nft.h"

#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <arpa/inet.h>
#include <sys/socket.h>

/* One pass over a router. */
struct pass {
    struct ctx *cx;
    struct kernel_net *net;
    const struct spec_router *spec;
    const char *netns, *external; /* external: name of the link outwards */
    struct links *l;
    struct ra_link *ra;
    size_t n_ra;
    struct err *first; /* what could not be done */
};

static void note(struct pass *p, struct err *e)
{
    if (e && !p->first)
        p->first = e;
}

MUST_USE static struct err *settings(struct ctx *cx, const char *netns)
{
    static const char *const v4[][2] = {
        {"ipv4/ip_forward", "1"},
        {"ipv4/conf/all/rp_filter", "0"},
        {"ipv4/conf/default/rp_filter", "0"},
        {"ipv4/conf/all/promote_secondaries", "1"},
        {"ipv4/conf/all/send_redirects", "0"},
        {"ipv4/conf/default/send_redirects", "0"},
        {"ipv4/conf/all/accept_redirects", "0"},
        {"ipv4/conf/default/accept_redirects", "0"},
        {"ipv4/conf/all/arp_ignore", "1"}, /* an address is announced only on its own link */
        {"ipv4/conf/all/arp_announce", "2"},
    };
    AUTO_NETNS int back = -1;
    TRY(netns_enter(cx, netns, &back));
    for (size_t i = 0; i < ARRAY_LEN(v4); i++)
        TRY(sysctl_set(cx, v4[i][0], v4[i][1]));
    if (!host_has_ipv6())
        return NULL;
    TRY(sysctl_set(cx, "ipv6/conf/default/accept_ra", "0"));
    TRY(sysctl_set(cx, "ipv6/conf/default/accept_dad", "0"));
    TRY(sysctl_set(cx, "ipv6/conf/all/forwarding", "1"));
    return NULL;
}

/* A port of a bridge takes no part in IPv6 itself. */
MUST_USE static struct err *mute_ipv6(struct ctx *cx, const char *netns, const char *link)
{
    AUTO_NETNS int back = -1;
    if (!host_has_ipv6())
        return NULL;
    TRY(netns_enter(cx, netns, &back));
    return sysctl_set(cx, arena_printf(cx->arena, "ipv6/conf/%s/disable_ipv6", link), "1");
}

struct outside {
    const char *netns; /* NULL: the process's own */
    struct links *links;
    struct link bridge;
};

/* The two ends of one link: outer on the bridge there, inner here with MAC and addresses. */
MUST_USE static struct err *plug(struct pass *p, const struct outside *out, const char *outer,
                                 const char *inner, const char *mac_is, const struct ip *ips,
                                 size_t n, struct link *ret)
{
    struct veth_end there = {.links = out->links, .netns = out->netns, .name = outer};
    struct veth_end here = {.links = p->l, .netns = p->netns, .name = inner};
    struct link port;
    struct mac mac;
    uint32_t mtu = out->bridge.mtu;
    bool found, up = p->spec->admin_state_up;
    TRY(mac_parse(p->cx, mac_is, &mac));
    TRY(veth_ensure(p->cx, &there, &here, &port, ret));
    TRY(mute_ipv6(p->cx, out->netns, outer));
    TRY(link_shape(p->cx, out->links, &port, mtu, NULL, out->bridge.index, true));
    TRY(link_shape(p->cx, p->l, ret, mtu, &mac, 0, up));
    TRY(link_find(p->cx, p->l, inner, ret, &found));
    return addrs_sync(p->cx, p->l, ret, ips, n, true);
}

MUST_USE static struct err *interface(struct pass *p, const struct spec_interface *i)
{
    const char *network, *port, *ra;
    struct ip *ips = arena_new_array(p->cx->arena, struct ip, i->n_ips + 1);
    struct outside out = {0};
    struct link link;
    bool found = false, ours;
    TRY(short_id(p->cx, i->network_id, &network));
    TRY(short_id(p->cx, i->port_id, &port));
    network = arena_printf(p->cx->arena, NETWORK_PREFIX "%s", network);
    for (size_t k = 0; k < i->n_ips; k++)
        TRY(ip_parse_with(p->cx, i->ips[k].ip, i->ips[k].prefix, &ips[k]));
    TRY(namespace_ours(p->cx, p->net, network, &ours));
    if (ours) {
        out.netns = network;
        TRY(links_open(p->cx, network, &out.links));
        TRY(link_find(p->cx, out.links, BRIDGE, &out.bridge, &found));
    }
    if (!found)
        return fail(p->cx, ERR_UNAVAILABLE, "network %s of router %s is not on this host yet",
                    i->network_id, p->spec->id);
    const char *inner = arena_printf(p->cx->arena, "qr-%s", port);
    TRY(plug(p, &out, arena_printf(p->cx->arena, "ri-%s", port), inner, i->mac, ips, i->n_ips,
             &link));
    TRY(run_file_read(p->cx, network, "ra", &ra));
    p->ra[p->n_ra++] = (struct ra_link){.name = inner, .lines = ra, .link = link.index};
    return NULL;
}

/* Neighbours that knew the address elsewhere hear of it (RFC 5227, announcement). */
static void announce(int fd, const struct link *link, const struct ip *ip)
{
    struct {
        struct ethhdr eth;
        struct arphdr arp;
        uint8_t sender_mac[6], sender_ip[4], target_mac[6], target_ip[4];
    } __attribute__((packed)) frame = {
        .eth.h_proto = htons(ETH_P_ARP),
        .arp = {htons(ARPHRD_ETHER), htons(ETH_P_IP), 6, 4, htons(ARPOP_REQUEST)},
    };
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = link->index, .sll_halen = 6};
    memset(frame.eth.h_dest, 0xff, 6);
    memset(to.sll_addr, 0xff, 6);
    memcpy(frame.eth.h_source, link->mac.bytes, 6);
    memcpy(frame.sender_mac, link->mac.bytes, 6);
    memcpy(frame.sender_ip, ip->bytes, 4);
    memcpy(frame.target_ip, ip->bytes, 4);
    /* A lost announcement costs the neighbour a stale entry's time, no more. */
    (void)!sendto(fd, &frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to));
}

MUST_USE static struct err *announce_all(struct pass *p, const struct link *link,
                                         const struct ip *ips, size_t n)
{
    AUTO_NETNS int back = -1;
    TRY(netns_enter(p->cx, p->netns, &back));
    AUTO_FD int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(p->cx, ERR_UNAVAILABLE, "cannot open a packet socket: %m");
    for (size_t i = 0; i < n; i++)
        if (ips[i].version == 4)
            announce(fd, link, &ips[i]);
    return NULL;
}

MUST_USE static struct err *gateway(struct pass *p, struct link *ret)
{
    const struct spec_router *spec = p->spec;
    struct ip *ips = arena_new_array(p->cx->arena, struct ip, spec->n_floating + 1);
    struct outside out = {.netns = p->net->netns};
    const char *port;
    size_t n = 1;
    TRY(short_id(p->cx, spec->external.port_id, &port));
    TRY(ip_parse_with(p->cx, spec->external.ip, spec->external.prefix, &ips[0]));
    for (size_t i = 0; i < spec->n_floating; i++) {
        bool again = false; /* ports of one address go to several guests */
        for (size_t k = 0; k < i && !again; k++)
            again = str_eq(spec->floating[k].floating_ip, spec->floating[i].floating_ip);
        if (!again)
            TRY(ip_parse_with(p->cx, spec->floating[i].floating_ip, 32, &ips[n++]));
    }
    TRY(external_ensure(p->cx, p->net, &out.links, &out.bridge));
    TRY(plug(p, &out, arena_printf(p->cx->arena, "rx-%s", port), p->external, spec->external.mac,
             ips, n, ret));
    return spec->admin_state_up ? announce_all(p, ret, ips, n) : NULL;
}

static const char *ports_of(struct ctx *cx, const struct spec_floating *f)
{
    if (!f->protocol)
        return "";
    return arena_printf(cx->arena, " %s %" PRId64 " %" PRId64, f->protocol, f->floating_port,
                        f->fixed_port);
}

/* Connections through a floating IP end when it is taken away, or goes to another guest. */
MUST_USE static struct err *forget_floating(struct pass *p)
{
    const struct spec_router *spec = p->spec;
    const char *old;
    char **lines, **words;
    struct buf now;
    TRY(run_file_read(p->cx, p->netns, "floating", &old));
    buf_init(&now, p->cx->arena);
    for (size_t i = 0; i < spec->n_floating; i++)
        buf_printf(&now, "%s %s%s\n", spec->floating[i].floating_ip, spec->floating[i].fixed_ip,
                   ports_of(p->cx, &spec->floating[i]));
    size_t n_lines = str_split(p->cx, old, '\n', &lines), n = 0;
    struct ip *gone = arena_new_array(p->cx->arena, struct ip, n_lines + 1);
    const char *all = arena_printf(p->cx->arena, "\n%s", buf_cstr(&now));
    for (size_t i = 0; i < n_lines; i++)
        if (*lines[i] && !strstr(all, arena_printf(p->cx->arena, "\n%s\n", lines[i]))) {
            str_split(p->cx, lines[i], ' ', &words);
            TRY(ip_parse_with(p->cx, words[0], 32, &gone[n++]));
        }
    if (n)
        TRY(conntrack_forget(p->cx, p->netns, gone, n));
    return run_file_write(p->cx, p->netns, "floating", buf_cstr(&now));
}

/* Links to networks and ports that the router no longer has. */
MUST_USE static struct err *unplug_others(struct pass *p)
{
    struct link *links;
    size_t n;
    TRY(link_list(p->cx, p->l, &links, &n));
    for (size_t i = 0; i < n; i++) {
        bool wanted = p->spec->has_external && str_eq(links[i].name, p->external);
        if (!str_eq(links[i].kind, "veth"))
            continue;
        for (size_t k = 0; k < p->spec->n_interfaces && !wanted; k++) {
            const char *port;
            TRY(short_id(p->cx, p->spec->interfaces[k].port_id, &port));
            wanted = str_starts(links[i].name, "qr-") && str_eq(links[i].name + 3, port);
        }
        if (!wanted)
            TRY(link_delete(p->cx, p->l, links[i].index));
    }
    return NULL;
}

MUST_USE static struct err *routes(struct pass *p, const struct link *external)
{
    const struct spec_router *spec = p->spec;
    struct route *want = arena_new_array(p->cx->arena, struct route, spec->n_routes + 1);
    size_t n = 0;
    if (!spec->admin_state_up)
        return NULL; /* links that are down have none */
    if (external->index && spec->external.gateway) {
        struct route *r = &want[n++];
        *r = (struct route){.link = external->index, .on_link = true};
        TRY(ip_parse(p->cx, spec->external.gateway, &r->via));
        r->dst.version = r->via.version;
    }
    for (size_t i = 0; i < spec->n_routes; i++) {
        struct route *r = &want[n];
        *r = (struct route){0};
        TRY(ip_parse(p->cx, spec->routes[i].destination, &r->dst));
        TRY(ip_parse(p->cx, spec->routes[i].nexthop, &r->via));
        r->dst = ip_network(&r->dst);
        bool again = false;
        for (size_t k = 0; k < n && !again; k++)
            again = ip_cmp(&want[k].dst, &r->dst) == 0;
        n += !again;
    }
    return routes_sync(p->cx, p->l, want, n);
}

MUST_USE static struct err *pass_init(struct pass *p, struct buf *rules)
{
    const char *id, *port = "";
    TRY(short_id(p->cx, p->spec->id, &id));
    p->netns = arena_printf(p->cx->arena, ROUTER_PREFIX "%s", id);
    if (p->spec->has_external)
        TRY(short_id(p->cx, p->spec->external.port_id, &port));
    p->external = arena_printf(p->cx->arena, "qg-%s", port);
    p->ra = arena_new_array(p->cx->arena, struct ra_link, p->spec->n_interfaces + 1);
    buf_init(rules, p->cx->arena);
    return nft_router_text(p->cx, p->spec, p->external, rules);
}

struct err *kernel_router_apply(struct ctx *cx, void *drv, const struct spec_router *spec)
{
    struct pass p = {.cx = cx, .net = drv, .spec = spec};
    struct buf rules;
    struct link external = {0};
    const char *conf = NULL;
    TRY(pass_init(&p, &rules));
    TRY(netns_ensure(cx, p.netns, p.net->owner));
    TRY(settings(cx, p.netns));
    TRY(nft_apply(cx, p.netns, buf_cstr(&rules)));
    TRY(forget_floating(&p));
    TRY(links_open(cx, p.netns, &p.l));
    TRY(unplug_others(&p));
    if (spec->has_external) {
        struct err *e = gateway(&p, &external);
        note(&p, e);
        if (e)
            external.index = 0;
    }
    for (size_t i = 0; i < spec->n_interfaces; i++)
        note(&p, interface(&p, &spec->interfaces[i]));
    note(&p, routes(&p, &external));
    if (spec->admin_state_up)
        TRY(ra_conf_text(cx, p.ra, p.n_ra, &conf));
    note(&p, dnsmasq_apply(cx, p.netns, &(struct dnsmasq_files){.conf = conf}));
    return p.first;
}

struct err *kernel_router_remove(struct ctx *cx, void *drv, const char *router_id)
{
    const char *id, *netns;
    bool ours;
    TRY(short_id(cx, router_id, &id));
    netns = arena_printf(cx->arena, ROUTER_PREFIX "%s", id);
    TRY(namespace_ours(cx, drv, netns, &ours));
    return ours ? namespace_remove(cx, netns) : NULL;
}
