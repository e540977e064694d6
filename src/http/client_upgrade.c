/* SPDX-License-Identifier: EUPL-1.2 */
/* A connection that is asked to leave HTTP, see client.h. libcurl would keep such a socket for
 * itself. */
#include "http/tunnel.h"
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#define HEAD_MAX 8192
#define ALIVE_PROBES 3

struct peer {
    const char *host, *port, *path;
};

/* "http://host:port/path", or https:// with TLS; an IPv6 address in brackets. */
static struct err *read_url(struct ctx *cx, const char *url, bool tls, struct peer *ret)
{
    const char *scheme = tls ? "https://" : "http://";
    const char *rest = str_starts(url, scheme) ? url + strlen(scheme) : NULL;
    const char *slash = rest ? strchr(rest, '/') : NULL;
    char *authority = slash ? arena_strndup(cx->arena, rest, (size_t)(slash - rest)) : NULL;
    char *colon = authority ? strrchr(authority, ':') : NULL;
    if (!colon)
        return fail(cx, ERR_INVALID, "'%s' is not %sHOST:PORT/PATH", url, scheme);
    *colon = 0;
    size_t len = strlen(authority);
    bool v6 = len > 2 && authority[0] == '[' && authority[len - 1] == ']';
    *ret = (struct peer){.host = v6 ? arena_strndup(cx->arena, authority + 1, len - 2) : authority,
                         .port = colon + 1,
                         .path = slash};
    return NULL;
}

static struct err *await(struct ctx *cx, int fd, short events, int64_t until_us, const char *url)
{
    struct pollfd p = {.fd = fd, .events = events};
    int64_t left_ms = max_i64(0, (until_us - mono_us(cx) + 999) / 1000);
    int n;
    do
        n = poll(&p, 1, (int)min_i64(left_ms, INT32_MAX));
    while (n < 0 && errno == EINTR);
    return n > 0 ? NULL : fail(cx, ERR_TIMEOUT, "%s does not answer in time", url);
}

static void keep_alive(int fd)
{
    const struct {
        int level, name, value;
    } options[] = {{SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, ALIVE_IDLE_S},
                   {IPPROTO_TCP, TCP_KEEPINTVL, ALIVE_AGAIN_S},
                   {IPPROTO_TCP, TCP_KEEPCNT, ALIVE_PROBES}};
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        must(setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                        sizeof(options[i].value)) == 0);
}

static struct err *open_socket(struct ctx *cx, const char *url, const struct peer *at,
                               int64_t until_us, int *ret_fd)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all = NULL;
    int rc = getaddrinfo(at->host, at->port, &hints, &all);
    if (rc)
        return fail(cx, ERR_UNAVAILABLE, "%s can't be reached: %s", url, gai_strerror(rc));
    AUTO_FD int fd = socket(all->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int bad = fd < 0 || (connect(fd, all->ai_addr, all->ai_addrlen) < 0 && errno != EINPROGRESS);
    int error = errno;
    freeaddrinfo(all);
    if (bad)
        return fail(cx, ERR_UNAVAILABLE, "%s can't be reached: %s", url, strerror(error));
    TRY(await(cx, fd, POLLOUT, until_us, url));
    socklen_t size = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error)
        return fail(cx, ERR_UNAVAILABLE, "%s can't be reached: %s", url, strerror(error));
    keep_alive(fd);
    *ret_fd = TAKE_FD(fd);
    return NULL;
}

static struct err *read_head(struct ctx *cx, int fd, int64_t until_us, const char *url,
                             struct buf *ret, const char **ret_end)
{
    char piece[1024];
    while (!(*ret_end = ret->len ? strstr(buf_cstr(ret), "\r\n\r\n") : NULL)) {
        TRY(await(cx, fd, POLLIN, until_us, url));
        ssize_t n = recv(fd, piece, sizeof(piece), 0);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0 || ret->len + (size_t)n > HEAD_MAX)
            return fail(cx, ERR_BAD_GATEWAY, "%s did not answer as HTTP does", url);
        buf_add(ret, piece, (size_t)n);
    }
    return NULL;
}

struct err *http_client_upgrade(struct ctx *cx, const struct http_call *what, const char *protocol,
                                int *ret_fd, struct buf *ret_early)
{
    struct peer at = {0};
    struct buf text, head;
    const char *end, *url = what->url;
    const struct http_identity *identity = what->identity;
    int64_t until_us = mono_us(cx) + what->timeout_ms * 1000;
    AUTO_FD int fd = -1;
    TRY(read_url(cx, url, identity != NULL, &at));
    TRY(open_socket(cx, url, &at, until_us, &fd));
    if (identity)
        TRY(tunnel_open(cx, TAKE_FD(fd), identity, url, until_us, &fd));
    buf_init(&text, cx->arena);
    buf_printf(&text, "GET %s HTTP/1.1\r\nHost: %s:%s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n",
               at.path, identity ? identity->peer : at.host, at.port, protocol);
    for (size_t i = 0; i < what->n_headers; i++)
        buf_printf(&text, "%s: %s\r\n", what->headers[i].name, what->headers[i].value);
    buf_str(&text, "\r\n");
    if (send(fd, text.data, text.len, MSG_NOSIGNAL) != (ssize_t)text.len)
        return fail(cx, ERR_UNAVAILABLE, "%s can't be asked: %m", url);
    buf_init(&head, cx->arena);
    TRY(read_head(cx, fd, until_us, url, &head, &end));
    if (!str_starts(buf_cstr(&head), "HTTP/1.1 101 "))
        return fail(cx, ERR_BAD_GATEWAY, "%s answered '%.*s' instead of giving the connection", url,
                    (int)strcspn(buf_cstr(&head), "\r\n"), buf_cstr(&head));
    size_t used = (size_t)(end - buf_cstr(&head)) + 4;
    buf_add(ret_early, head.data + used, head.len - used);
    *ret_fd = TAKE_FD(fd);
    return NULL;
}
