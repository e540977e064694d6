/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * One epoll thread, for questions about names, too. Listeners come and go from other threads under
 * the lock; connections belong to the thread alone. A closed listener is freed by the thread
 * between two turns, when no event can name it any more.
 */
#include "node/drivers/net/addr.h"
#include "node/drivers/net/metadata.h"
#include "node/drivers/net/metadata_request.h"
#include "node/drivers/net/names.h"
#include "node/drivers/net/netns.h"

#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define CONNECTIONS_MAX 256
#define CONNECTIONS_PER_NETWORK 32
#define CONNECTION_SECONDS 10
#define BACKLOG 32
#define EVENTS 32
#define LISTEN_TRIES 50
#define ASK_AGAIN_MS 50

#define DATAGRAM_MAX 1500

enum source_kind { SOURCE_WAKE, SOURCE_LISTENER, SOURCE_NAMES, SOURCE_CONNECTION };
/* Of a network: the metadata address, that of IPv6, names. */
enum { LISTEN_4, LISTEN_6, LISTEN_NAMES, LISTENERS };

struct network {
    struct network *next;
    char id[64];
    ino_t netns; /* which one it listens in */
    struct listener {
        enum source_kind kind;
        int fd;
        struct network *network;
    } listeners[LISTENERS];
    metadata_names_fn *names; /* NULL: it listens for none */
    char domain[256];         /* of its guests; "": none */
    struct alias *aliases;
    size_t n_aliases;
    unsigned n_connections;
    bool closed;
};

/* A port's link-local address, and the one the agent knows it by. */
struct alias {
    char link_local[INET6_ADDRSTRLEN], fixed[INET6_ADDRSTRLEN];
};

struct connection {
    enum source_kind kind;
    int fd;
    struct connection *next;
    struct network *network;
    int64_t deadline_us;
    char source[INET6_ADDRSTRLEN];
    char request[METADATA_REQUEST_BYTES + 1];
    size_t request_len;
    char *reply; /* set once the request is complete */
    size_t reply_len, reply_sent;
    int64_t waits_since_us; /* its answer takes a while */
    bool done;
};

struct metadata {
    struct err *(*answer)(struct ctx *cx, void *arg, const struct metadata_ask *ask,
                          struct buf *ret_body, const char **ret_content_type, int *ret_status);
    void *arg;
    int epoll, wake;
    enum source_kind wake_kind;
    pthread_t thread;
    pthread_mutex_t lock; /* networks, closed, stop */
    struct network *networks, *closed;
    bool stop;
    struct connection *connections; /* the thread's */
    unsigned n_connections;
};

static int64_t mono_now(void)
{
    struct clock *c = clock_system();
    return c->mono_us(c);
}

static int listen_on(int family, const char *address)
{
    AUTO_FD int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    else
        must(inet_pton(AF_INET, address, &a4.sin_addr) == 1);
    struct sockaddr *sa = family == AF_INET ? (struct sockaddr *)&a4 : (struct sockaddr *)&a6;
    if (bind(fd, sa, family == AF_INET ? sizeof(a4) : sizeof(a6)) < 0 || listen(fd, BACKLOG) < 0)
        return -1;
    return TAKE_FD(fd);
}

static void network_close(struct metadata *md, struct network *n)
{
    for (size_t i = 0; i < ARRAY_LEN(n->listeners); i++) {
        if (n->listeners[i].fd >= 0)
            epoll_ctl(md->epoll, EPOLL_CTL_DEL, n->listeners[i].fd, NULL);
        close_fd_p(&n->listeners[i].fd);
    }
    n->closed = true;
    n->next = md->closed;
    md->closed = n;
    eventfd_write(md->wake, 1);
}

static struct network **find_network(struct metadata *md, const char *short_id)
{
    struct network **at = &md->networks;
    while (*at && strncmp((*at)->id, short_id, SHORT_ID) != 0)
        at = &(*at)->next;
    return at;
}

static void close_found(struct metadata *md, struct network **at)
{
    struct network *n = *at;
    *at = n->next;
    network_close(md, n);
}

MUST_USE static struct err *watch(struct ctx *cx, struct metadata *md, struct network *n)
{
    for (size_t i = 0; i < ARRAY_LEN(n->listeners); i++) {
        struct listener *l = &n->listeners[i];
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = l};
        l->kind = i == LISTEN_NAMES ? SOURCE_NAMES : SOURCE_LISTENER;
        l->network = n;
        if (l->fd >= 0 && epoll_ctl(md->epoll, EPOLL_CTL_ADD, l->fd, &ev) < 0)
            return fail(cx, ERR_UNAVAILABLE, "cannot watch the metadata address: %m");
    }
    return NULL;
}

/* Answers come from the address that was asked, of several: each question says which. */
static int listen_for_names(void)
{
    const struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(53)};
    const struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
    int on = 1, off = 0, rc;
    AUTO_FD int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) { /* of both versions */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
        rc = bind(fd, (const struct sockaddr *)&a6, sizeof(a6));
    } else { /* a host without IPv6 */
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
        rc = bind(fd, (const struct sockaddr *)&a4, sizeof(a4));
    }
    return rc == 0 ? TAKE_FD(fd) : -1;
}

/* What a killed agent left between fork and exec may hold the address for a moment. */
static int listen_soon(int family, const char *address)
{
    static const struct timespec pause = {.tv_nsec = 20000000};
    int fd = listen_on(family, address);
    for (int i = 0; fd < 0 && errno == EADDRINUSE && i < LISTEN_TRIES; i++) {
        nanosleep(&pause, NULL);
        fd = listen_on(family, address);
    }
    return fd;
}

MUST_USE static struct err *take_aliases(struct ctx *cx, const struct spec_network *spec,
                                         struct alias **ret)
{
    struct alias *aliases = arena_new_array(cx->arena, struct alias, spec->n_ports + 1);
    for (size_t i = 0; i < spec->n_ports; i++) {
        struct mac mac;
        struct ip ll, fixed;
        if (!spec->ports[i].n_fixed_ips)
            continue;
        TRY(mac_parse(cx, spec->ports[i].mac, &mac));
        TRY(ip_parse(cx, spec->ports[i].fixed_ips[0].ip, &fixed));
        ll = ip_link_local(&mac);
        snprintf(aliases[i].link_local, sizeof(aliases[i].link_local), "%s", ip_text(cx, &ll));
        snprintf(aliases[i].fixed, sizeof(aliases[i].fixed), "%s", ip_text(cx, &fixed));
    }
    *ret = aliases;
    return NULL;
}

static void set_known(struct network *n, const struct spec_network *spec,
                      const struct alias *aliases)
{
    size_t count = spec->n_ports;
    snprintf(n->domain, sizeof(n->domain), "%s", spec->dns_domain ? spec->dns_domain : "");
    free(n->aliases);
    n->aliases = calloc(count + 1, sizeof(*aliases));
    must(n->aliases);
    memcpy(n->aliases, aliases, count * sizeof(*aliases));
    n->n_aliases = count;
}

/* False when it listens in this very namespace; an entry for another one of the same name goes. */
static bool needs_listeners(struct metadata *md, const struct spec_network *spec, ino_t netns,
                            const struct alias *aliases)
{
    AUTO_LOCK(&md->lock);
    struct network **at = find_network(md, spec->id);
    if (*at && (*at)->netns == netns) {
        set_known(*at, spec, aliases);
        return false;
    }
    if (*at)
        close_found(md, at);
    return true;
}

struct err *metadata_listen(struct ctx *cx, struct metadata *md, const struct spec_network *spec,
                            const char *netns, metadata_names_fn *names)
{
    struct stat st;
    struct alias *aliases;
    TRY(take_aliases(cx, spec, &aliases));
    AUTO_FD int ns = -1, fd4 = -1, fd6 = -1, fd_names = -1;
    TRY(netns_open(cx, netns, &ns));
    if (fstat(ns, &st) < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot look at the namespace %s: %m", netns);
    /* An open listener keeps its namespace, and so the number stays its own. */
    if (!needs_listeners(md, spec, st.st_ino, aliases))
        return NULL;
    AUTO_NETNS int back = -1;
    TRY(netns_enter(cx, netns, &back));
    fd4 = listen_soon(AF_INET, METADATA_IP);
    if (fd4 < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot listen on " METADATA_IP " in %s: %m", netns);
    /* Any address of the bridge; the rules let only the metadata one in. Hosts without IPv6 do
     * without. */
    fd6 = listen_soon(AF_INET6, NULL);
    if (names && (fd_names = listen_for_names()) < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot listen for names in %s: %m", netns);

    struct network *n = calloc(1, sizeof(*n));
    must(n);
    snprintf(n->id, sizeof(n->id), "%s", spec->id);
    set_known(n, spec, aliases);
    n->netns = st.st_ino;
    n->names = names;
    n->listeners[LISTEN_4].fd = TAKE_FD(fd4);
    n->listeners[LISTEN_6].fd = TAKE_FD(fd6);
    n->listeners[LISTEN_NAMES].fd = TAKE_FD(fd_names);
    AUTO_LOCK(&md->lock);
    struct err *e = watch(cx, md, n);
    if (e) {
        network_close(md, n);
        return e;
    }
    n->next = md->networks;
    md->networks = n;
    return NULL;
}

void metadata_close(struct metadata *md, const char *short_id)
{
    AUTO_LOCK(&md->lock);
    struct network **at = find_network(md, short_id);
    if (*at)
        close_found(md, at);
}

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 431:
        return "Request Header Fields Too Large";
    default:
        return "Internal Server Error";
    }
}

static void reply(struct connection *c, int status, const char *type, const char *body, size_t size)
{
    char head[512];
    int n =
        snprintf(head, sizeof(head),
                 "HTTP/1.1 %d %s\r\nContent-Type: %.128s\r\nContent-Length: %zu\r\n"
                 "%sConnection: close\r\n\r\n",
                 status, reason(status), type, size, status == 405 ? "Allow: GET, POST\r\n" : "");
    must(n > 0 && (size_t)n < sizeof(head) && !c->reply);
    c->reply_len = (size_t)n + size;
    c->reply = malloc(c->reply_len);
    must(c->reply);
    memcpy(c->reply, head, (size_t)n);
    if (size)
        memcpy(c->reply + n, body, size);
}

static void reply_status(struct connection *c, int status)
{
    char body[64];
    int n = snprintf(body, sizeof(body), "%d %s\n", status, reason(status));
    reply(c, status, "text/plain; charset=UTF-8", body, (size_t)n);
}

/* Until it is asked again, only its end is listened for. */
static void let_wait(struct metadata *md, struct connection *c)
{
    struct epoll_event ev = {.events = 0, .data.ptr = c};
    if (c->waits_since_us)
        return;
    c->waits_since_us = mono_now();
    c->done = epoll_ctl(md->epoll, EPOLL_CTL_MOD, c->fd, &ev) < 0;
}

static int64_t waited_us(const struct connection *c)
{
    return c->waits_since_us ? max_i64(1, mono_now() - c->waits_since_us) : 0;
}

static void answer(struct metadata *md, struct connection *c, const struct metadata_request *rq)
{
    struct ctx cx AUTO_CTX;
    struct buf body;
    const char *type = NULL;
    int status = 404;
    const struct metadata_ask ask = {.network_id = c->network->id,
                                     .source_ip = c->source,
                                     .path = rq->path,
                                     .body = rq->post ? c->request + rq->body_at : NULL,
                                     .body_size = rq->body_size,
                                     .waited_us = waited_us(c)};
    ctx_init(&cx);
    buf_init(&body, cx.arena);
    struct err *e = md->answer(&cx, md->arg, &ask, &body, &type, &status);
    if (e) {
        log_err(&cx, LOG_DEBUG, e, "metadata request failed", "network", c->network->id, NULL);
        reply_status(c, 500);
    } else if (status == METADATA_LATER) {
        let_wait(md, c);
    } else if (status != 200) {
        reply_status(c, status);
    } else {
        reply(c, 200, type ? type : "text/plain; charset=UTF-8", body.data, body.len);
    }
}

/* Reads what is there, and answers once the request is whole. */
static void read_request(struct metadata *md, struct connection *c)
{
    struct metadata_request rq;
    while (!c->done && !c->reply && !c->waits_since_us) {
        ssize_t got =
            read(c->fd, c->request + c->request_len, METADATA_REQUEST_BYTES - c->request_len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            c->done = true;
            return;
        }
        c->request_len += (size_t)got;
        c->request[c->request_len] = 0;
        int status = metadata_request_parse(c->request, c->request_len, &rq);
        if (status == 0)
            answer(md, c, &rq);
        else if (status > 0)
            reply_status(c, status);
    }
}

static void write_reply(struct metadata *md, struct connection *c)
{
    while (c->reply_sent < c->reply_len) {
        ssize_t put =
            send(c->fd, c->reply + c->reply_sent, c->reply_len - c->reply_sent, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN) {
            struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = c};
            c->done = epoll_ctl(md->epoll, EPOLL_CTL_MOD, c->fd, &ev) < 0;
            return;
        }
        if (put < 0)
            break;
        c->reply_sent += (size_t)put;
    }
    shutdown(c->fd, SHUT_WR);
    c->done = true;
}

static bool waits(const struct connection *c)
{
    return c->waits_since_us && !c->reply && !c->done;
}

static void on_connection(struct metadata *md, struct connection *c)
{
    if (waits(c))
        c->done = true; /* its guest has gone */
    else if (!c->reply)
        read_request(md, c);
    if (c->reply)
        write_reply(md, c);
}

/* True: some wait on. */
static bool ask_again(struct metadata *md)
{
    bool more = false;
    for (struct connection *c = md->connections; c; c = c->next) {
        struct metadata_request rq;
        if (!waits(c))
            continue;
        must(metadata_request_parse(c->request, c->request_len, &rq) == 0);
        answer(md, c, &rq);
        if (c->reply)
            write_reply(md, c);
        more |= waits(c);
    }
    return more;
}

static void on_listener(struct metadata *md, struct listener *l)
{
    struct sockaddr_storage from;
    socklen_t size = sizeof(from);
    AUTO_LOCK(&md->lock);
    if (l->network->closed)
        return;
    AUTO_FD int fd = accept4(l->fd, (struct sockaddr *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 || md->n_connections >= CONNECTIONS_MAX ||
        l->network->n_connections >= CONNECTIONS_PER_NETWORK)
        return; /* closed: the guest tries again */
    struct connection *c = calloc(1, sizeof(*c));
    must(c);
    c->kind = SOURCE_CONNECTION;
    const void *address = from.ss_family == AF_INET
                              ? (const void *)&((struct sockaddr_in *)&from)->sin_addr
                              : (const void *)&((struct sockaddr_in6 *)&from)->sin6_addr;
    must(inet_ntop(from.ss_family, address, c->source, sizeof(c->source)));
    for (size_t i = 0; i < l->network->n_aliases; i++)
        if (str_eq(c->source, l->network->aliases[i].link_local))
            memcpy(c->source, l->network->aliases[i].fixed, sizeof(c->source));
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(md->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
        free(c);
        return;
    }
    c->fd = TAKE_FD(fd);
    c->network = l->network;
    c->network->n_connections++;
    c->deadline_us = mono_now() + CONNECTION_SECONDS * 1000000;
    c->next = md->connections;
    md->connections = c;
    md->n_connections++;
}

/* One question; what came with it (the address it was sent to) goes with the answer. */
static void on_names(struct metadata *md, struct listener *l)
{
    uint8_t question[DATAGRAM_MAX], answer[DATAGRAM_MAX];
    _Alignas(struct cmsghdr) char control[128];
    struct sockaddr_storage from;
    struct iovec v = {question, sizeof(question)};
    struct msghdr m = {.msg_name = &from,
                       .msg_namelen = sizeof(from),
                       .msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    AUTO_LOCK(&md->lock);
    if (l->network->closed)
        return;
    ssize_t got = recvmsg(l->fd, &m, 0);
    if (got < 0 || m.msg_flags & MSG_TRUNC)
        return;
    v = (struct iovec){answer,
                       l->network->names(question, (size_t)got, l->network->domain, answer)};
    if (v.iov_len)
        sendmsg(l->fd, &m, MSG_NOSIGNAL); /* one that is lost is asked for again */
}

/* Between two turns: ended connections, then closed networks that none of them names. */
static void sweep(struct metadata *md, bool all)
{
    int64_t now = mono_now();
    AUTO_LOCK(&md->lock);
    for (struct connection **at = &md->connections, *c; (c = *at);) {
        if (!all && !c->done && now < c->deadline_us) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        md->n_connections--;
        c->network->n_connections--;
        close_fd_p(&c->fd);
        free(c->reply);
        free(c);
    }
    for (struct network **at = &md->closed, *n; (n = *at);) {
        if (n->n_connections) {
            at = &n->next;
            continue;
        }
        *at = n->next;
        free(n->aliases);
        free(n);
    }
}

static void dispatch(struct metadata *md, void *source)
{
    switch (*(enum source_kind *)source) {
    case SOURCE_WAKE: {
        eventfd_t value;
        eventfd_read(md->wake, &value);
        break;
    }
    case SOURCE_LISTENER:
        on_listener(md, source);
        break;
    case SOURCE_NAMES:
        on_names(md, source);
        break;
    case SOURCE_CONNECTION:
        on_connection(md, source);
        break;
    }
}

static void *serve(void *arg)
{
    struct metadata *md = arg;
    struct epoll_event events[EVENTS];
    for (;;) {
        int timeout_ms = ask_again(md) ? ASK_AGAIN_MS : md->n_connections ? 1000 : -1;
        int n = epoll_wait(md->epoll, events, EVENTS, timeout_ms);
        for (int i = 0; i < n; i++)
            dispatch(md, events[i].data.ptr);
        pthread_mutex_lock(&md->lock);
        bool stop = md->stop;
        pthread_mutex_unlock(&md->lock);
        sweep(md, stop);
        if (stop)
            return NULL;
    }
}

struct err *metadata_new(struct ctx *cx, const struct kernel_net_config *cfg, struct metadata **ret)
{
    struct metadata *md = calloc(1, sizeof(*md));
    must(md && cfg->metadata);
    md->answer = cfg->metadata;
    md->arg = cfg->metadata_arg;
    md->wake_kind = SOURCE_WAKE;
    pthread_mutex_init(&md->lock, NULL);
    md->epoll = epoll_create1(EPOLL_CLOEXEC);
    md->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &md->wake_kind};
    if (md->epoll < 0 || md->wake < 0 || epoll_ctl(md->epoll, EPOLL_CTL_ADD, md->wake, &ev) < 0 ||
        pthread_create(&md->thread, NULL, serve, md) != 0) {
        close_fd_p(&md->epoll);
        close_fd_p(&md->wake);
        free(md);
        return fail(cx, ERR_UNAVAILABLE, "cannot start the metadata service: %m");
    }
    pthread_setname_np(md->thread, "metadata");
    *ret = md;
    return NULL;
}

void metadata_free(struct metadata *md)
{
    if (!md)
        return;
    pthread_mutex_lock(&md->lock);
    while (md->networks)
        close_found(md, &md->networks);
    md->stop = true;
    pthread_mutex_unlock(&md->lock);
    eventfd_write(md->wake, 1);
    pthread_join(md->thread, NULL);
    close_fd_p(&md->epoll);
    close_fd_p(&md->wake);
    pthread_mutex_destroy(&md->lock);
    free(md);
}
