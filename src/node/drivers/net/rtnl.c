/* SPDX-License-Identifier: EUPL-1.2 */
/* Netlink framing; knows nothing of links or addresses. */
#include "node/drivers/net/rtnl.h"

#include <sys/socket.h>

#define RECEIVE_BYTES ((size_t)32768)

int rtnl_socket(int protocol)
{
    AUTO_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return -1;
    struct sockaddr_nl sa = {.nl_family = AF_NETLINK};
    int on = 1;
    struct timeval limit = {.tv_sec = 10};
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
        return -1;
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return TAKE_FD(fd);
}

void rtnl_raw(struct rtnl_request *r, const void *data, size_t size)
{
    size_t padded = NLMSG_ALIGN(size);
    must(r->len + padded <= sizeof(r->data));
    memset(r->data + r->len, 0, padded);
    if (size)
        memcpy(r->data + r->len, data, size);
    r->len += padded;
}

void rtnl_begin(struct rtnl_request *r, uint16_t type, uint16_t flags, const void *body,
                size_t size)
{
    struct nlmsghdr h = {.nlmsg_type = type, .nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST)};
    r->len = 0;
    rtnl_raw(r, &h, sizeof(h));
    rtnl_raw(r, body, size);
}

void rtnl_put(struct rtnl_request *r, uint16_t attr, const void *data, size_t size)
{
    must(size < RTNL_REQUEST_BYTES);
    struct rtattr a = {.rta_type = attr, .rta_len = (uint16_t)(RTA_LENGTH(size))};
    rtnl_raw(r, &a, sizeof(a));
    rtnl_raw(r, data, size);
}

void rtnl_put_str(struct rtnl_request *r, uint16_t attr, const char *s)
{
    rtnl_put(r, attr, s, strlen(s) + 1);
}

void rtnl_put_u8(struct rtnl_request *r, uint16_t attr, uint8_t v)
{
    rtnl_put(r, attr, &v, sizeof(v));
}

void rtnl_put_u32(struct rtnl_request *r, uint16_t attr, uint32_t v)
{
    rtnl_put(r, attr, &v, sizeof(v));
}

size_t rtnl_nest(struct rtnl_request *r, uint16_t attr)
{
    size_t at = r->len;
    rtnl_put(r, attr, "", 0);
    return at;
}

void rtnl_nest_end(struct rtnl_request *r, size_t nest)
{
    struct rtattr *a = (struct rtattr *)(void *)(r->data + nest);
    a->rta_len = (uint16_t)(r->len - nest);
}

static int rtnl_send(int fd, struct rtnl_request *r)
{
    struct nlmsghdr *h = (struct nlmsghdr *)(void *)r->data;
    h->nlmsg_len = (uint32_t)r->len;
    h->nlmsg_seq++;
    return send(fd, r->data, r->len, 0) < 0 ? -errno : 0;
}

/* Reads until the acknowledgement or the end of the dump. */
static int rtnl_receive(int fd, uint32_t seq, void (*fn)(void *, const struct nlmsghdr *),
                        void *arg)
{
    AUTO_FREE char *buffer = malloc(RECEIVE_BYTES);
    must(buffer);
    bool interrupted = false;
    for (;;) {
        ssize_t got = recv(fd, buffer, RECEIVE_BYTES, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        for (size_t at = 0, end = (size_t)got, size; end - at >= sizeof(struct nlmsghdr);
             at += size) {
            const struct nlmsghdr *h = (const void *)(buffer + at);
            if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > end - at)
                return -EBADMSG;
            size = ((size_t)h->nlmsg_len + 3) & ~(size_t)3; /* as the kernel aligns them */
            if (size > end - at)
                size = end - at;
            if (h->nlmsg_seq != seq)
                continue;
            if (h->nlmsg_flags & NLM_F_DUMP_INTR)
                interrupted = true;
            if (h->nlmsg_type == NLMSG_DONE)
                return interrupted ? -EINTR : 0;
            if (h->nlmsg_type == NLMSG_ERROR)
                return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
            if (fn)
                fn(arg, h);
        }
    }
}

int rtnl_call(int fd, struct rtnl_request *r)
{
    struct nlmsghdr *h = (struct nlmsghdr *)(void *)r->data;
    h->nlmsg_flags |= NLM_F_ACK;
    int rc = rtnl_send(fd, r);
    return rc ? rc : rtnl_receive(fd, h->nlmsg_seq, NULL, NULL);
}

int rtnl_dump(int fd, struct rtnl_request *r, void (*fn)(void *, const struct nlmsghdr *),
              void *arg)
{
    struct nlmsghdr *h = (struct nlmsghdr *)(void *)r->data;
    h->nlmsg_flags |= h->nlmsg_flags & NLM_F_DUMP ? 0 : NLM_F_ACK;
    int rc = rtnl_send(fd, r);
    return rc ? rc : rtnl_receive(fd, h->nlmsg_seq, fn, arg);
}

static void index_attrs(const char *data, size_t len, const struct rtattr **tb, unsigned max)
{
    memset(tb, 0, sizeof(*tb) * (max + 1));
    for (size_t at = 0; len - at >= sizeof(struct rtattr);) {
        const struct rtattr *a = (const void *)(data + at);
        unsigned type = a->rta_type & 0x3fffu; /* without the flags for nesting and byte order */
        if (a->rta_len < sizeof(*a) || a->rta_len > len - at)
            return;
        if (type <= max)
            tb[type] = a;
        at += ((size_t)a->rta_len + 3) & ~(size_t)3;
        if (at > len)
            return;
    }
}

void rtnl_attrs(const struct nlmsghdr *h, size_t body, const struct rtattr **tb, unsigned max)
{
    size_t head = NLMSG_LENGTH(0) + NLMSG_ALIGN(body);
    index_attrs((const char *)h + head, h->nlmsg_len > head ? h->nlmsg_len - head : 0, tb, max);
}

void rtnl_nested(const struct rtattr *a, const struct rtattr **tb, unsigned max)
{
    index_attrs(RTA_DATA(a), RTA_PAYLOAD(a), tb, max);
}

uint32_t rtnl_u32(const struct rtattr *a, uint32_t otherwise)
{
    uint32_t v = otherwise;
    if (a && RTA_PAYLOAD(a) >= sizeof(v))
        memcpy(&v, RTA_DATA(a), sizeof(v));
    return v;
}

void rtnl_str(const struct rtattr *a, char *out, size_t size)
{
    size_t n = a ? strnlen(RTA_DATA(a), RTA_PAYLOAD(a)) : 0;
    if (n >= size)
        n = size - 1;
    if (n)
        memcpy(out, RTA_DATA(a), n);
    out[n] = 0;
}
