/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Route netlink (rtnetlink(7)) in its smallest useful form: build a request, send it, read the
 * acknowledgement or the dump. A socket stays in the namespace it was opened in, whichever thread
 * uses it later.
 */
#pragma once

#include "base/base.h"
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#define RTNL_REQUEST_BYTES 2048

struct rtnl_request {
    _Alignas(struct nlmsghdr) char data[RTNL_REQUEST_BYTES];
    size_t len;
};

/* Of a netlink protocol (NETLINK_ROUTE), in the calling thread's namespace; -1 and errno. */
int rtnl_socket(int protocol);
/* Starts a request; body is the family's header (struct ifinfomsg, ifaddrmsg, rtmsg). */
void rtnl_begin(struct rtnl_request *r, uint16_t type, uint16_t flags, const void *body,
                size_t size);
void rtnl_put(struct rtnl_request *r, uint16_t attr, const void *data, size_t size);
void rtnl_put_str(struct rtnl_request *r, uint16_t attr, const char *s);
void rtnl_put_u8(struct rtnl_request *r, uint16_t attr, uint8_t v);
void rtnl_put_u32(struct rtnl_request *r, uint16_t attr, uint32_t v);
/* Nested attributes; size of a raw header put first (0: none). Returns what rtnl_nest_end needs. */
size_t rtnl_nest(struct rtnl_request *r, uint16_t attr);
void rtnl_raw(struct rtnl_request *r, const void *data, size_t size);
void rtnl_nest_end(struct rtnl_request *r, size_t nest);

/* Sends and waits for the answer: 0 or -errno. */
int rtnl_call(int fd, struct rtnl_request *r);
/* Sends a dump (or a get) and calls fn for each message: 0 or -errno; -EINTR: the table changed
 * meanwhile, ask again. */
int rtnl_dump(int fd, struct rtnl_request *r, void (*fn)(void *arg, const struct nlmsghdr *h),
              void *arg);
/* Attributes of a message by number, tb[0..max]; body is the size of the family's header. */
void rtnl_attrs(const struct nlmsghdr *h, size_t body, const struct rtattr **tb, unsigned max);
void rtnl_nested(const struct rtattr *a, const struct rtattr **tb, unsigned max);
uint32_t rtnl_u32(const struct rtattr *a, uint32_t otherwise);
/* The attribute as text, "" when absent; bounded copy. */
void rtnl_str(const struct rtattr *a, char *out, size_t size);
