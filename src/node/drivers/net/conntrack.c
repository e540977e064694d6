/* SPDX-License-Identifier: EUPL-1.2 */
/* ctnetlink: list, pick, delete. */
#include "node/drivers/net/conntrack.h"
#include "node/drivers/net/netns.h"
#include "node/drivers/net/rtnl.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#define TUPLE_BYTES ((size_t)256)
#define DUMP_TRIES 16

struct tuple {
    struct tuple *next;
    size_t size;
    char data[TUPLE_BYTES]; /* the original direction's, which names the connection */
};

struct search {
    struct ctx *cx;
    const struct ip *ips;
    size_t n;
    struct tuple *found;
};

static const struct nfgenmsg family = {.nfgen_family = AF_INET, .version = NFNETLINK_V0};

static uint16_t message(uint16_t type)
{
    return (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
}

static bool goes_to(const struct search *s, const struct rtattr *tuple)
{
    const struct rtattr *parts[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1];
    if (!tuple)
        return false;
    rtnl_nested(tuple, parts, CTA_TUPLE_MAX);
    if (!parts[CTA_TUPLE_IP])
        return false;
    rtnl_nested(parts[CTA_TUPLE_IP], ip, CTA_IP_MAX);
    const struct rtattr *dst = ip[CTA_IP_V4_DST];
    for (size_t i = 0; dst && RTA_PAYLOAD(dst) == 4 && i < s->n; i++)
        if (memcmp(RTA_DATA(dst), s->ips[i].bytes, 4) == 0)
            return true;
    return false;
}

static void take(void *arg, const struct nlmsghdr *h)
{
    struct search *s = arg;
    const struct rtattr *tb[CTA_MAX + 1];
    if (h->nlmsg_type != message(IPCTNL_MSG_CT_NEW))
        return;
    rtnl_attrs(h, sizeof(struct nfgenmsg), tb, CTA_MAX);
    const struct rtattr *orig = tb[CTA_TUPLE_ORIG];
    if (!orig || RTA_PAYLOAD(orig) > TUPLE_BYTES ||
        (!goes_to(s, orig) && !goes_to(s, tb[CTA_TUPLE_REPLY])))
        return;
    struct tuple *t = arena_new_of(s->cx->arena, struct tuple);
    t->size = RTA_PAYLOAD(orig);
    memcpy(t->data, RTA_DATA(orig), t->size);
    t->next = s->found;
    s->found = t;
}

struct err *conntrack_forget(struct ctx *cx, const char *netns, const struct ip *ips, size_t n)
{
    struct search s = {.cx = cx, .ips = ips, .n = n};
    struct rtnl_request r;
    AUTO_NETNS int back = -1;
    TRY(netns_enter(cx, netns, &back));
    AUTO_FD int fd = rtnl_socket(NETLINK_NETFILTER);
    if (fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot open a netfilter socket in %s: %m", netns);
    int rc = -EINTR;
    for (int i = 0; rc == -EINTR && i < DUMP_TRIES; i++) {
        rtnl_begin(&r, message(IPCTNL_MSG_CT_GET), NLM_F_DUMP, &family, sizeof(family));
        rc = rtnl_dump(fd, &r, take, &s);
    }
    for (struct tuple *t = s.found; t && !rc; t = t->next) {
        rtnl_begin(&r, message(IPCTNL_MSG_CT_DELETE), 0, &family, sizeof(family));
        rtnl_put(&r, CTA_TUPLE_ORIG | NLA_F_NESTED, t->data, t->size);
        rc = rtnl_call(fd, &r);
        rc = rc == -ENOENT ? 0 : rc; /* ended by itself, or found twice */
    }
    return rc ? fail(cx, ERR_UNAVAILABLE, "cannot end connections in %s: %s", netns, strerror(-rc))
              : NULL;
}
