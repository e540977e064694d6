/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Links, addresses and routes of one namespace, level-triggered: each call looks at what is and
 * changes what differs.
 */
#pragma once

#include "node/drivers/net/addr.h"
#include <net/if.h>

struct links; /* a netlink socket in one namespace, closed with the arena */

struct link {
    int index, master, peer; /* peer: index of a veth's other end, in its own namespace */
    char name[IFNAMSIZ], kind[16], alias[256];
    struct mac mac;
    uint32_t mtu;
    bool up;
};

/* Of the named namespace; NULL: the calling thread's. ERR_NOT_FOUND. */
MUST_USE struct err *links_open(struct ctx *cx, const char *netns, struct links **ret);
MUST_USE struct err *link_find(struct ctx *cx, struct links *l, const char *name, struct link *ret,
                               bool *ret_found);
MUST_USE struct err *link_list(struct ctx *cx, struct links *l, struct link **ret, size_t *ret_n);
/* Gone by then is success. */
MUST_USE struct err *link_delete(struct ctx *cx, struct links *l, int index);
MUST_USE struct err *link_set_alias(struct ctx *cx, struct links *l, int index, const char *alias);
MUST_USE struct err *link_set_up(struct ctx *cx, struct links *l, int index, bool up);
/* Makes mtu, MAC (NULL: as it is), master (0: none) and state what they should be. */
MUST_USE struct err *link_shape(struct ctx *cx, struct links *l, const struct link *now,
                                uint32_t mtu, const struct mac *mac, int master, bool up);

/* A bridge without spanning tree whose IP traffic passes the inet hooks when filtered; mac NULL:
 * any. */
MUST_USE struct err *bridge_ensure(struct ctx *cx, struct links *l, const char *name,
                                   const struct mac *mac, uint32_t mtu, bool filtered,
                                   struct link *ret);

/* Both ends made in one step, so that there are never half of them; here stays in l, there goes to
 * its namespace. */
struct veth_end {
    struct links *links;
    const char *netns; /* NULL: the calling thread's */
    const char *name;
};
MUST_USE struct err *veth_ensure(struct ctx *cx, const struct veth_end *here,
                                 const struct veth_end *there, struct link *ret_here,
                                 struct link *ret_there);

/* The link has these addresses; with exact only these, and its own link-local one. */
MUST_USE struct err *addrs_sync(struct ctx *cx, struct links *l, const struct link *link,
                                const struct ip *want, size_t n, bool exact);

struct route {
    struct ip dst; /* a network */
    struct ip via; /* version 0: on the link */
    int link;      /* index; 0: where via is */
    bool on_link;  /* via may be outside of the link's prefixes */
};
/*
 * The main table has exactly these static routes; the kernel's own ones are left alone. One that
 * the kernel refuses does not hold up the others; the first refusal is returned.
 */
MUST_USE struct err *routes_sync(struct ctx *cx, struct links *l, const struct route *want,
                                 size_t n);
