/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The listening socket and the thread that accepts from it and hands connections to libmicrohttpd.
 *
 * MHD could accept by itself, but could only be told to stop by MHD_quiesce_daemon, which takes the
 * socket out of the I/O threads' epoll sets while they may be doing the same: who comes second
 * aborts the process (0.9.75).
 */
#include "http/conn.h"
#include "http/tunnel.h"
#include <netdb.h>
#include <sys/socket.h>

#define SHORTAGE_NAP_NS 20000000L

static int listen_on(const struct addrinfo *ai)
{
    AUTO_FD int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1, off = 0;
    if (fd < 0)
        return -1;
    /* A killed server's connections linger in TIME_WAIT: the next one binds in spite of them. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (ai->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 1024) < 0)
        return -1;
    return TAKE_FD(fd);
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return 0;
    return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&sa)->sin6_port
                                          : ((struct sockaddr_in *)(void *)&sa)->sin_port);
}

struct err *accept_listen(struct ctx *cx, struct http_server *s)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *all = NULL;
    const char *service = arena_printf(cx->arena, "%u", s->cfg.port);
    int rc = getaddrinfo(s->cfg.host, service, &hints, &all);
    if (rc)
        return fail(cx, ERR_INVALID, "cannot listen on '%s': %s", s->cfg.host, gai_strerror(rc));
    int fd = listen_on(all), error = errno;
    freeaddrinfo(all);
    if (fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot listen on %s port %u: %s", s->cfg.host,
                    s->cfg.port, strerror(error));
    s->listener = fd;
    s->port = bound_port(fd);
    bool v6 = strchr(s->cfg.host, ':') != NULL;
    char *authority = NULL;
    must(asprintf(&authority, "%s%s%s:%u", v6 ? "[" : "", s->cfg.host, v6 ? "]" : "", s->port) > 0);
    s->default_authority = authority;
    return NULL;
}

/* Waits for a place among connections_max, then for a client. */
static void accept_one(struct http_server *s)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    while (sem_wait(&s->places) < 0)
        must(errno == EINTR);
    if (atomic_load(&s->closing))
        return;
    int fd = accept4(s->listener, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0 && s->cfg.identity)
        fd = tunnel_accept(fd, s->cfg.identity(s->cfg.identity_arg));
    if (fd >= 0 && MHD_add_connection(s->mhd, fd, (struct sockaddr *)&sa, len) == MHD_YES)
        return; /* on_connection gives the place back */
    accept_place_free(s);
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        nanosleep(&(struct timespec){.tv_nsec = SHORTAGE_NAP_NS}, NULL);
}

static void *accept_main(void *arg)
{
    struct http_server *s = arg;
    while (!atomic_load(&s->closing))
        accept_one(s);
    return NULL;
}

struct err *accept_start(struct ctx *cx, struct http_server *s)
{
    TRY(http_thread_start(cx, &s->acceptor, accept_main, s));
    s->has_acceptor = true;
    return NULL;
}

void accept_place_free(struct http_server *s)
{
    must(sem_post(&s->places) == 0);
}

void accept_stop(struct http_server *s)
{
    atomic_store(&s->closing, true);
    if (s->has_acceptor) {
        shutdown(s->listener, SHUT_RDWR); /* ends accept4 */
        accept_place_free(s);
        pthread_join(s->acceptor, NULL);
        s->has_acceptor = false;
    }
    close_fd_p(&s->listener);
}
