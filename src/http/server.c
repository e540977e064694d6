/* SPDX-License-Identifier: EUPL-1.2 */
/* Starting and stopping: the listening socket, libmicrohttpd, the lanes. Requests themselves are
 * exchange.c's. */
#include "http/conn.h"
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define CONNECTION_MEMORY_BYTES                                                                    \
    ((size_t)16 * 1024) /* request line, headers, read buffer, reply headers */
#define IO_STACK_BYTES ((size_t)512 * 1024)
#define FLUSH_US ((int64_t)250 * 1000) /* for replies on their way when the drain is over */
#define PEM_MAX_BYTES ((off_t)1024 * 1024)

static void set_defaults(struct http_config *cfg)
{
#define DEFAULT(field, value) cfg->field = cfg->field ? cfg->field : (value)
    DEFAULT(host, "127.0.0.1");
    DEFAULT(io_threads, 2);
    DEFAULT(workers, 8);
    DEFAULT(slow_workers, 1);
    DEFAULT(queue_max, 256);
    DEFAULT(connections_max, 4096);
    DEFAULT(body_max_bytes, (size_t)1024 * 1024);
    DEFAULT(idle_timeout_s, 75);
#undef DEFAULT
    if (cfg->connections_max < cfg->io_threads)
        cfg->connections_max = cfg->io_threads;
}

static int listen_on(const struct addrinfo *ai)
{
    AUTO_FD int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
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

static struct err *open_listener(struct ctx *cx, struct http_server *s, int *ret_fd)
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
    s->port = bound_port(fd);
    bool v6 = strchr(s->cfg.host, ':') != NULL;
    char *authority = NULL;
    must(asprintf(&authority, "%s%s%s:%u", v6 ? "[" : "", s->cfg.host, v6 ? "]" : "", s->port) > 0);
    s->default_authority = authority;
    *ret_fd = fd;
    return NULL;
}

static void wipe_text(void *text)
{
    secret_wipe(text, strlen(text));
}

/* In the arena, wiped with it: one of the files is a private key. */
static struct err *read_pem(struct ctx *cx, const char *path, char **ret)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return fail(cx, ERR_INVALID, "cannot read '%s': %m", path);
    if (!S_ISREG(st.st_mode) || st.st_size > PEM_MAX_BYTES)
        return fail(cx, ERR_INVALID, "'%s' is not a PEM file", path);
    char *text = arena_alloc(cx->arena, (size_t)st.st_size + 1);
    arena_defer(cx->arena, wipe_text, text);
    ssize_t n = read(fd, text, (size_t)st.st_size);
    if (n < 0)
        return fail(cx, ERR_INVALID, "cannot read '%s': %m", path);
    *ret = text;
    return NULL;
}

static void on_connection(void *arg, struct MHD_Connection *mhd UNUSED,
                          void **socket_context UNUSED, enum MHD_ConnectionNotificationCode what)
{
    struct http_server *s = arg;
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        atomic_fetch_add_explicit(&s->connections, 1, memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(&s->connections, 1, memory_order_relaxed);
}

/* MHD would decode in place; request.c does it strictly. */
static size_t keep_escapes(void *arg UNUSED, struct MHD_Connection *mhd UNUSED, char *text)
{
    return strlen(text);
}

static struct err *start_mhd(struct ctx *cx, struct http_server *s, int *fd)
{
    char *key = NULL, *cert = NULL;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem extra[8];
    size_t n = 0;
    if (s->cfg.io_threads > 1) /* 1 is no pool to MHD */
        extra[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, s->cfg.io_threads, NULL};
    if (s->cfg.tls_cert_file) {
        if (!s->cfg.tls_key_file)
            return fail(cx, ERR_INVALID, "a TLS certificate needs its key");
        TRY(read_pem(cx, s->cfg.tls_key_file, &key));
        TRY(read_pem(cx, s->cfg.tls_cert_file, &cert));
        flags |= MHD_USE_TLS;
        extra[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, key};
        extra[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, cert};
        extra[n++] = (struct MHD_OptionItem){
            MHD_OPTION_HTTPS_PRIORITIES, 0,
            (char *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"};
    }
    extra[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    s->mhd = MHD_start_daemon(
        flags, s->port, NULL, NULL, exchange_access, s, MHD_OPTION_LISTEN_SOCKET, *fd,
        MHD_OPTION_CONNECTION_LIMIT, s->cfg.connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
        s->cfg.idle_timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY_BYTES,
        MHD_OPTION_THREAD_STACK_SIZE, IO_STACK_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_URI_LOG_CALLBACK, exchange_new,
        s, MHD_OPTION_NOTIFY_COMPLETED, exchange_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, s, MHD_OPTION_ARRAY, extra, MHD_OPTION_END);
    if (!s->mhd)
        return fail(cx, ERR_UNAVAILABLE, "cannot start the HTTP server%s",
                    key ? "; are the TLS certificate and key a pair, in PEM?" : "");
    (void)TAKE_FD(*fd);
    return NULL;
}

static void server_free(struct http_server *s)
{
    exchange_free_spare(s);
    pthread_mutex_destroy(&s->spare_lock);
    lanes_fini(s);
    free(s->default_authority);
    free(s);
}

static struct err *start(struct ctx *cx, struct http_server *s)
{
    AUTO_FD int fd = -1;
    TRY(open_listener(cx, s, &fd));
    TRY(lanes_start(cx, s));
    return start_mhd(cx, s, &fd);
}

struct err *http_server_start(struct ctx *cx, const struct http_config *cfg,
                              const struct http_app *app, struct http_server **ret)
{
    struct http_server *s = calloc(1, sizeof(*s));
    must(s != NULL);
    s->cfg = *cfg;
    s->app = *app;
    set_defaults(&s->cfg);
    pthread_mutex_init(&s->spare_lock, NULL);
    lanes_init(s);
    sigset_t all,
        before; /* signals are the main thread's, but for those that a thread's own fault raises */
    sigfillset(&all);
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct err *e = start(cx, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e) {
        lanes_stop(s);
        server_free(s);
        return e;
    }
    *ret = s;
    return NULL;
}

uint16_t http_server_port(const struct http_server *s)
{
    return s->port;
}

void http_wake(struct http_server *s, const char *topic)
{
    lanes_wake(s, topic);
}

static void wait_idle(struct http_server *s, int64_t for_us)
{
    struct clock *clock = clock_system();
    int64_t until = clock->mono_us(clock) + for_us;
    const struct timespec nap = {.tv_nsec = 2000000};
    while (atomic_load(&s->open) && clock->mono_us(clock) < until)
        nanosleep(&nap, NULL);
}

void http_server_stop(struct http_server *s, unsigned drain_ms)
{
    if (!s)
        return;
    atomic_store(&s->closing, true);
    /* Refuses newcomers at once; closed when no thread of MHD can still look at it. */
    AUTO_FD int listener = MHD_quiesce_daemon(s->mhd);
    shutdown(listener, SHUT_RDWR);
    lanes_drain(s);
    wait_idle(s, (int64_t)drain_ms * 1000);
    lanes_stop(s);
    wait_idle(s, FLUSH_US);
    MHD_stop_daemon(s->mhd);
    server_free(s);
}

void http_server_stats(struct http_server *s, struct http_stats *ret)
{
    *ret = (struct http_stats){
        .requests = atomic_load(&s->requests),
        .refused = atomic_load(&s->refused),
        .bytes_in = atomic_load(&s->bytes_in),
        .bytes_out = atomic_load(&s->bytes_out),
        .connections = atomic_load(&s->connections),
        .running = atomic_load(&s->running),
    };
    lanes_count(s, &ret->queued, &ret->parked);
}
