/* SPDX-License-Identifier: EUPL-1.2 */
/* Addresses and static routes of a namespace. */
#include "node/drivers/net/links_impl.h"

#include <linux/if_addr.h>
#include <sys/socket.h>

static uint8_t af(const struct ip *ip)
{
    return ip->version == 4 ? AF_INET : AF_INET6;
}

static bool take_ip(const struct rtattr *a, int family, unsigned prefix, struct ip *ret)
{
    size_t size = family == AF_INET ? 4 : 16;
    *ret = (struct ip){.version = family == AF_INET ? 4 : 6, .prefix = prefix};
    if (!a || RTA_PAYLOAD(a) < size)
        return false;
    memcpy(ret->bytes, RTA_DATA(a), size);
    return true;
}

struct addr_gather {
    struct ctx *cx;
    int index;
    struct ip *ips;
    size_t n, cap;
};

static void gather_addr(void *arg, const struct nlmsghdr *h)
{
    struct addr_gather *g = arg;
    const struct ifaddrmsg *m = NLMSG_DATA(h);
    const struct rtattr *tb[IFA_MAX + 1];
    struct ip ip;
    if (h->nlmsg_type != RTM_NEWADDR || (int)m->ifa_index != g->index)
        return;
    rtnl_attrs(h, sizeof(*m), tb, IFA_MAX);
    if (!take_ip(tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS], m->ifa_family, m->ifa_prefixlen,
                 &ip))
        return;
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 16;
        struct ip *more = arena_new_array(g->cx->arena, struct ip, cap);
        if (g->n)
            memcpy(more, g->ips, g->n * sizeof(*more));
        g->ips = more;
        g->cap = cap;
    }
    g->ips[g->n++] = ip;
}

static bool among(const struct ip *ip, const struct ip *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ip_cmp(ip, &list[i]) == 0)
            return true;
    return false;
}

MUST_USE static struct err *addr_change(struct ctx *cx, struct links *l, const struct link *link,
                                        const struct ip *ip, bool add)
{
    struct rtnl_request r;
    struct ifaddrmsg m = {.ifa_family = af(ip),
                          .ifa_prefixlen = (uint8_t)ip->prefix,
                          .ifa_index = (uint32_t)link->index};
    rtnl_begin(&r, add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_EXCL : 0, &m,
               sizeof(m));
    rtnl_put(&r, IFA_LOCAL, ip->bytes, ip_size(ip));
    rtnl_put(&r, IFA_ADDRESS, ip->bytes, ip_size(ip));
    if (add && ip->version == 6)
        rtnl_put_u32(&r, IFA_FLAGS, IFA_F_NODAD); /* the control plane gives each address once */
    int rc = rtnl_call(l->fd, &r);
    if (rc == 0 || (add && rc == -EEXIST) || (!add && rc == -EADDRNOTAVAIL))
        return NULL;
    return links_fail(cx, l, rc, add ? "add the address" : "remove the address", ip_cidr(cx, ip));
}

struct err *addrs_sync(struct ctx *cx, struct links *l, const struct link *link,
                       const struct ip *want, size_t n, bool exact)
{
    struct addr_gather g = {.cx = cx, .index = link->index};
    int rc = -EINTR;
    for (int i = 0; rc == -EINTR && i < DUMP_TRIES; i++) {
        struct rtnl_request r;
        struct ifaddrmsg m = {.ifa_index = (uint32_t)link->index};
        g.n = 0;
        rtnl_begin(&r, RTM_GETADDR, NLM_F_DUMP, &m, sizeof(m));
        rc = rtnl_dump(l->fd, &r, gather_addr, &g);
    }
    if (rc)
        return links_fail(cx, l, rc, "list the addresses of", link->name);
    struct ip own = ip_link_local(&link->mac);
    for (size_t i = 0; i < g.n; i++)
        if (exact && !among(&g.ips[i], want, n) && ip_cmp(&g.ips[i], &own) != 0)
            TRY(addr_change(cx, l, link, &g.ips[i], false));
    for (size_t i = 0; i < n; i++)
        if (!among(&want[i], g.ips, g.n))
            TRY(addr_change(cx, l, link, &want[i], true));
    return NULL;
}

struct route_gather {
    struct ctx *cx;
    struct route *routes;
    size_t n, cap;
};

static void gather_route(void *arg, const struct nlmsghdr *h)
{
    struct route_gather *g = arg;
    const struct rtmsg *m = NLMSG_DATA(h);
    const struct rtattr *tb[RTA_MAX + 1];
    if (h->nlmsg_type != RTM_NEWROUTE || m->rtm_protocol != RTPROT_STATIC ||
        m->rtm_type != RTN_UNICAST)
        return;
    rtnl_attrs(h, sizeof(*m), tb, RTA_MAX);
    struct route route = {.link = (int)rtnl_u32(tb[RTA_OIF], 0)};
    if (rtnl_u32(tb[RTA_TABLE], m->rtm_table) != RT_TABLE_MAIN)
        return;
    take_ip(tb[RTA_DST], m->rtm_family, m->rtm_dst_len, &route.dst); /* absent: the default */
    if (!take_ip(tb[RTA_GATEWAY], m->rtm_family, m->rtm_family == AF_INET ? 32 : 128, &route.via))
        route.via.version = 0;
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 16;
        struct route *more = arena_new_array(g->cx->arena, struct route, cap);
        if (g->n)
            memcpy(more, g->routes, g->n * sizeof(*more));
        g->routes = more;
        g->cap = cap;
    }
    g->routes[g->n++] = route;
}

static bool same_route(const struct route *want, const struct route *is)
{
    return ip_cmp(&want->dst, &is->dst) == 0 && want->via.version == is->via.version &&
           (!want->via.version ||
            memcmp(want->via.bytes, is->via.bytes, ip_size(&want->via)) == 0) &&
           (!want->link || want->link == is->link);
}

MUST_USE static struct err *route_change(struct ctx *cx, struct links *l, const struct route *t,
                                         bool add)
{
    struct rtnl_request r;
    struct rtmsg m = {
        .rtm_family = af(&t->dst),
        .rtm_dst_len = (uint8_t)t->dst.prefix,
        .rtm_table = RT_TABLE_MAIN,
        .rtm_protocol = RTPROT_STATIC,
        .rtm_type = RTN_UNICAST,
        .rtm_scope = add ? (t->via.version ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK) : RT_SCOPE_NOWHERE,
        .rtm_flags = add && t->on_link ? RTNH_F_ONLINK : 0,
    };
    rtnl_begin(&r, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_REPLACE : 0, &m,
               sizeof(m));
    if (t->dst.prefix)
        rtnl_put(&r, RTA_DST, t->dst.bytes, ip_size(&t->dst));
    if (t->via.version)
        rtnl_put(&r, RTA_GATEWAY, t->via.bytes, ip_size(&t->via));
    if (t->link)
        rtnl_put_u32(&r, RTA_OIF, (uint32_t)t->link);
    int rc = rtnl_call(l->fd, &r);
    if (rc == 0 || (!add && (rc == -ESRCH || rc == -ENOENT || rc == -ENODEV)))
        return NULL;
    return links_fail(cx, l, rc, add ? "add the route" : "remove the route", ip_cidr(cx, &t->dst));
}

MUST_USE static struct err *route_list(struct ctx *cx, struct links *l, struct route_gather *g)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    g->cx = cx;
    for (size_t f = 0; f < ARRAY_LEN(families); f++) {
        size_t before = g->n;
        int rc = -EINTR;
        for (int i = 0; rc == -EINTR && i < DUMP_TRIES; i++) {
            struct rtnl_request r;
            struct rtmsg m = {.rtm_family = families[f]};
            g->n = before;
            rtnl_begin(&r, RTM_GETROUTE, NLM_F_DUMP, &m, sizeof(m));
            rc = rtnl_dump(l->fd, &r, gather_route, g);
        }
        if (rc)
            return links_fail(cx, l, rc, "list", "the routes");
    }
    return NULL;
}

static bool wanted(const struct route *is, const struct route *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (same_route(&want[i], is))
            return true;
    return false;
}

struct err *routes_sync(struct ctx *cx, struct links *l, const struct route *want, size_t n)
{
    struct route_gather g = {0};
    struct err *first = NULL;
    TRY(route_list(cx, l, &g));
    for (size_t i = 0; i < g.n; i++)
        if (!wanted(&g.routes[i], want, n))
            TRY(route_change(cx, l, &g.routes[i], false));
    for (size_t i = 0; i < n; i++) {
        bool is = false;
        for (size_t k = 0; k < g.n && !is; k++)
            is = same_route(&want[i], &g.routes[k]);
        struct err *e = is ? NULL : route_change(cx, l, &want[i], true);
        if (!first)
            first = e;
    }
    return first;
}
