/* SPDX-License-Identifier: EUPL-1.2 */
/* Bridges, veths and their state; addresses and routes are in routes.c. */
#include "node/drivers/net/links.h"
#include "node/drivers/net/links_impl.h"
#include "node/drivers/net/netns.h"

#include <linux/if_link.h>
#include <linux/veth.h>

static void links_close(void *arg)
{
    struct links *l = arg;
    close_fd_p(&l->fd);
}

struct err *links_open(struct ctx *cx, const char *netns, struct links **ret)
{
    struct links *l = arena_new_of(cx->arena, struct links);
    AUTO_NETNS int back = -1;
    TRY(netns_enter(cx, netns, &back));
    l->fd = rtnl_socket(NETLINK_ROUTE);
    l->netns = netns ? arena_strdup(cx->arena, netns) : "the host";
    if (l->fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot open a netlink socket in %s: %m", l->netns);
    arena_defer(cx->arena, links_close, l);
    *ret = l;
    return NULL;
}

static void parse_link(const struct nlmsghdr *h, struct link *ret)
{
    const struct ifinfomsg *info = NLMSG_DATA(h);
    const struct rtattr *tb[IFLA_MAX + 1], *kind[IFLA_INFO_MAX + 1];
    rtnl_attrs(h, sizeof(*info), tb, IFLA_MAX);
    *ret = (struct link){
        .index = info->ifi_index,
        .up = info->ifi_flags & IFF_UP,
        .mtu = rtnl_u32(tb[IFLA_MTU], 0),
        .master = (int)rtnl_u32(tb[IFLA_MASTER], 0),
        .peer = (int)rtnl_u32(tb[IFLA_LINK], 0),
    };
    rtnl_str(tb[IFLA_IFNAME], ret->name, sizeof(ret->name));
    rtnl_str(tb[IFLA_IFALIAS], ret->alias, sizeof(ret->alias));
    if (tb[IFLA_ADDRESS] && RTA_PAYLOAD(tb[IFLA_ADDRESS]) == sizeof(ret->mac.bytes))
        memcpy(ret->mac.bytes, RTA_DATA(tb[IFLA_ADDRESS]), sizeof(ret->mac.bytes));
    if (tb[IFLA_LINKINFO]) {
        rtnl_nested(tb[IFLA_LINKINFO], kind, IFLA_INFO_MAX);
        rtnl_str(kind[IFLA_INFO_KIND], ret->kind, sizeof(ret->kind));
    }
}

static void take_link(void *arg, const struct nlmsghdr *h)
{
    if (h->nlmsg_type == RTM_NEWLINK)
        parse_link(h, arg);
}

static void get_by_name(struct rtnl_request *r, const char *name)
{
    struct ifinfomsg info = {0};
    rtnl_begin(r, RTM_GETLINK, 0, &info, sizeof(info));
    rtnl_put_str(r, IFLA_IFNAME, name);
}

struct err *link_find(struct ctx *cx, struct links *l, const char *name, struct link *ret,
                      bool *ret_found)
{
    struct rtnl_request r;
    get_by_name(&r, name);
    int rc = rtnl_dump(l->fd, &r, take_link, ret);
    if (rc && rc != -ENODEV)
        return links_fail(cx, l, rc, "look for", name);
    *ret_found = rc == 0;
    return NULL;
}

struct link_gather {
    struct ctx *cx;
    struct link *links;
    size_t n, cap;
};

static void gather_link(void *arg, const struct nlmsghdr *h)
{
    struct link_gather *g = arg;
    if (h->nlmsg_type != RTM_NEWLINK)
        return;
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 16;
        struct link *more = arena_new_array(g->cx->arena, struct link, cap);
        if (g->n)
            memcpy(more, g->links, g->n * sizeof(*more));
        g->links = more;
        g->cap = cap;
    }
    parse_link(h, &g->links[g->n++]);
}

struct err *link_list(struct ctx *cx, struct links *l, struct link **ret, size_t *ret_n)
{
    struct link_gather g = {.cx = cx};
    int rc = -EINTR;
    for (int i = 0; rc == -EINTR && i < DUMP_TRIES; i++) {
        struct rtnl_request r;
        struct ifinfomsg info = {0};
        g.n = 0;
        rtnl_begin(&r, RTM_GETLINK, NLM_F_DUMP, &info, sizeof(info));
        rc = rtnl_dump(l->fd, &r, gather_link, &g);
    }
    if (rc)
        return links_fail(cx, l, rc, "list", "the links");
    *ret = g.links;
    *ret_n = g.n;
    return NULL;
}

struct err *link_delete(struct ctx *cx, struct links *l, int index)
{
    struct rtnl_request r;
    struct ifinfomsg info = {.ifi_index = index};
    rtnl_begin(&r, RTM_DELLINK, 0, &info, sizeof(info));
    int rc = rtnl_call(l->fd, &r);
    return rc && rc != -ENODEV ? links_fail(cx, l, rc, "delete", "a link") : NULL;
}

struct err *link_set_alias(struct ctx *cx, struct links *l, int index, const char *alias)
{
    struct rtnl_request r;
    struct ifinfomsg info = {.ifi_index = index};
    rtnl_begin(&r, RTM_NEWLINK, 0, &info, sizeof(info));
    rtnl_put(&r, IFLA_IFALIAS, alias, strlen(alias));
    int rc = rtnl_call(l->fd, &r);
    return rc ? links_fail(cx, l, rc, "set", "an alias") : NULL;
}

struct err *link_set_up(struct ctx *cx, struct links *l, int index, bool up)
{
    struct rtnl_request r;
    struct ifinfomsg info = {
        .ifi_index = index, .ifi_flags = up ? IFF_UP : 0, .ifi_change = IFF_UP};
    rtnl_begin(&r, RTM_NEWLINK, 0, &info, sizeof(info));
    int rc = rtnl_call(l->fd, &r);
    return rc ? links_fail(cx, l, rc, up ? "bring up" : "take down", "a link") : NULL;
}

struct err *link_shape(struct ctx *cx, struct links *l, const struct link *now, uint32_t mtu,
                       const struct mac *mac, int master, bool up)
{
    struct rtnl_request r;
    struct ifinfomsg info = {.ifi_index = now->index};
    bool new_mac = mac && memcmp(mac, &now->mac, sizeof(*mac)) != 0;
    if (now->up != up) {
        info.ifi_flags = up ? IFF_UP : 0;
        info.ifi_change = IFF_UP;
    } else if (now->mtu == mtu && !new_mac && now->master == master) {
        return NULL;
    }
    rtnl_begin(&r, RTM_NEWLINK, 0, &info, sizeof(info));
    if (now->mtu != mtu)
        rtnl_put_u32(&r, IFLA_MTU, mtu);
    if (new_mac)
        rtnl_put(&r, IFLA_ADDRESS, mac->bytes, sizeof(mac->bytes));
    if (now->master != master)
        rtnl_put_u32(&r, IFLA_MASTER, (uint32_t)master);
    int rc = rtnl_call(l->fd, &r);
    return rc ? links_fail(cx, l, rc, "change", now->name) : NULL;
}

/* What a bridge of ours is set to. */
static void put_bridge(struct rtnl_request *r, bool filtered)
{
    size_t kind = rtnl_nest(r, IFLA_LINKINFO);
    rtnl_put_str(r, IFLA_INFO_KIND, "bridge");
    size_t data = rtnl_nest(r, IFLA_INFO_DATA);
    rtnl_put_u32(r, IFLA_BR_FORWARD_DELAY, 0); /* ports forward at once */
    rtnl_put_u32(r, IFLA_BR_STP_STATE, 0);
    rtnl_put_u8(r, IFLA_BR_MCAST_SNOOPING,
                0); /* nobody queries: it would lose neighbour discovery */
    rtnl_put_u8(r, IFLA_BR_NF_CALL_IPTABLES, filtered);
    rtnl_put_u8(r, IFLA_BR_NF_CALL_IP6TABLES, filtered);
    rtnl_put_u8(r, IFLA_BR_NF_CALL_ARPTABLES, 0);
    rtnl_nest_end(r, data);
    rtnl_nest_end(r, kind);
}

static uint8_t u8_of(const struct rtattr *a)
{
    return a && RTA_PAYLOAD(a) >= 1 ? *(const uint8_t *)RTA_DATA(a) : 0;
}

struct bridge_check {
    bool filtered, same;
};

static void check_bridge(void *arg, const struct nlmsghdr *h)
{
    struct bridge_check *c = arg;
    const struct rtattr *tb[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1], *br[IFLA_BR_MAX + 1];
    rtnl_attrs(h, sizeof(struct ifinfomsg), tb, IFLA_MAX);
    if (h->nlmsg_type != RTM_NEWLINK || !tb[IFLA_LINKINFO])
        return;
    rtnl_nested(tb[IFLA_LINKINFO], info, IFLA_INFO_MAX);
    if (!info[IFLA_INFO_DATA])
        return;
    rtnl_nested(info[IFLA_INFO_DATA], br, IFLA_BR_MAX);
    c->same = rtnl_u32(br[IFLA_BR_FORWARD_DELAY], 1) == 0 &&
              rtnl_u32(br[IFLA_BR_STP_STATE], 1) == 0 && u8_of(br[IFLA_BR_MCAST_SNOOPING]) == 0 &&
              u8_of(br[IFLA_BR_NF_CALL_IPTABLES]) == c->filtered &&
              u8_of(br[IFLA_BR_NF_CALL_IP6TABLES]) == c->filtered;
}

struct err *bridge_ensure(struct ctx *cx, struct links *l, const char *name, const struct mac *mac,
                          uint32_t mtu, bool filtered, struct link *ret)
{
    struct rtnl_request r;
    struct ifinfomsg info = {0};
    struct bridge_check check = {.filtered = filtered};
    get_by_name(&r, name);
    int rc = rtnl_dump(l->fd, &r, check_bridge, &check);
    if (rc == -ENODEV || (rc == 0 && !check.same)) {
        rtnl_begin(&r, RTM_NEWLINK, rc ? NLM_F_CREATE | NLM_F_EXCL : 0, &info, sizeof(info));
        rtnl_put_str(&r, IFLA_IFNAME, name);
        if (mac)
            rtnl_put(&r, IFLA_ADDRESS, mac->bytes, sizeof(mac->bytes));
        put_bridge(&r, filtered);
        rc = rtnl_call(l->fd, &r);
    }
    if (rc && rc != -EEXIST)
        return links_fail(cx, l, rc, "make the bridge", name);
    bool found;
    TRY(link_find(cx, l, name, ret, &found));
    if (!found || strcmp(ret->kind, "bridge") != 0)
        return fail(cx, ERR_CONFLICT, "the link %s in %s is not a bridge: remove or rename it",
                    name, l->netns);
    TRY(link_shape(cx, l, ret, mtu ? mtu : ret->mtu, mac, ret->master, true));
    return link_find(cx, l, name, ret, &found);
}

MUST_USE static struct err *veth_make(struct ctx *cx, const struct veth_end *here,
                                      const struct veth_end *there)
{
    struct rtnl_request r;
    struct ifinfomsg info = {0};
    AUTO_FD int ns = -1;
    TRY(netns_open(cx, there->netns, &ns));
    rtnl_begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));
    rtnl_put_str(&r, IFLA_IFNAME, here->name);
    size_t kind = rtnl_nest(&r, IFLA_LINKINFO);
    rtnl_put_str(&r, IFLA_INFO_KIND, "veth");
    size_t data = rtnl_nest(&r, IFLA_INFO_DATA), peer = rtnl_nest(&r, VETH_INFO_PEER);
    rtnl_raw(&r, &info, sizeof(info));
    rtnl_put_str(&r, IFLA_IFNAME, there->name);
    rtnl_put_u32(&r, IFLA_NET_NS_FD, (uint32_t)ns);
    rtnl_nest_end(&r, peer);
    rtnl_nest_end(&r, data);
    rtnl_nest_end(&r, kind);
    int rc = rtnl_call(here->links->fd, &r);
    return rc ? links_fail(cx, here->links, rc, "make the link", here->name) : NULL;
}

struct err *veth_ensure(struct ctx *cx, const struct veth_end *here, const struct veth_end *there,
                        struct link *ret_here, struct link *ret_there)
{
    bool is_here, is_there;
    for (int i = 0; i < 2; i++) {
        TRY(link_find(cx, here->links, here->name, ret_here, &is_here));
        TRY(link_find(cx, there->links, there->name, ret_there, &is_there));
        if (is_here && is_there && ret_here->peer == ret_there->index &&
            ret_there->peer == ret_here->index)
            return NULL;
        if (i)
            break;
        /* The remains of a namespace that is going, or of one that was made anew. */
        if (is_here)
            TRY(link_delete(cx, here->links, ret_here->index));
        if (is_there)
            TRY(link_delete(cx, there->links, ret_there->index));
        TRY(veth_make(cx, here, there));
    }
    return fail(cx, ERR_UNAVAILABLE, "the link %s is not joined to %s", here->name, there->name);
}
