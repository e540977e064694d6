/* SPDX-License-Identifier: EUPL-1.2 */
/* Starting and stopping all parts; libmicrohttpd's options. Requests themselves are exchange.c's.
 */
#include "http/conn.h"
#include <signal.h>
#include <sys/stat.h>

#define CONNECTION_MEMORY_BYTES                                                                    \
    ((size_t)16 * 1024) /* request line, headers, read buffer, reply headers */
#define IO_STACK_BYTES ((size_t)512 * 1024)
/* accept.c keeps the limit. MHD, which hangs when given more than its own, still counts for a
 * moment those that it has reported as closed. */
#define MHD_SPARE_CONNECTIONS 64
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
    DEFAULT(clock, clock_system());
    DEFAULT(takeovers_max, 64);
#undef DEFAULT
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
    arena_wipe_later(cx->arena, text, (size_t)st.st_size);
    ssize_t n = read(fd, text, (size_t)st.st_size);
    if (n < 0)
        return fail(cx, ERR_INVALID, "cannot read '%s': %m", path);
    *ret = text;
    return NULL;
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *s = arg;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = tls_connected(s, mhd);
        atomic_fetch_add_explicit(&s->connections, 1, memory_order_relaxed);
        return;
    }
    tls_disconnected(s, *socket_context);
    atomic_fetch_sub_explicit(&s->connections, 1, memory_order_relaxed);
    accept_place_free(s);
}

/* MHD would decode in place; request.c does it strictly. */
static size_t keep_escapes(void *arg UNUSED, struct MHD_Connection *mhd UNUSED, char *text)
{
    return strlen(text);
}

static struct err *start_mhd(struct ctx *cx, struct http_server *s)
{
    char *key = NULL, *cert = NULL;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_UPGRADE;
    struct MHD_OptionItem extra[8];
    size_t n = 0;
    if (s->cfg.io_threads > 1) /* 1 is no pool to MHD */
        extra[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, s->cfg.io_threads, NULL};
    const size_t had = n;
    if (s->cfg.tls_cert_file) {
        if (!s->cfg.tls_key_file)
            return fail(cx, ERR_INVALID, "a TLS certificate needs its key");
        TRY(read_pem(cx, s->cfg.tls_key_file, &key));
        TRY(read_pem(cx, s->cfg.tls_cert_file, &cert));
        extra[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, key};
        extra[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, cert};
    } else if (s->cfg.tls_cert) {
        extra[n++] =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, (char *)(uintptr_t)s->cfg.tls_key};
        extra[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0,
                                             (char *)(uintptr_t)s->cfg.tls_cert};
    }
    if (s->cfg.client_ca) /* MHD asks; no certificate is an answer too */
        extra[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0,
                                             (char *)(uintptr_t)s->cfg.client_ca};
    if (n > had) {
        flags |= MHD_USE_TLS;
        extra[n++] = (struct MHD_OptionItem){
            MHD_OPTION_HTTPS_PRIORITIES, 0,
            (char *)(uintptr_t)(s->cfg.client_ca ? "NORMAL:-VERS-ALL:+VERS-TLS1.3"
                                                 : "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2")};
    }
    extra[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    s->mhd = MHD_start_daemon(
        flags, 0, NULL, NULL, exchange_access, s, MHD_OPTION_CONNECTION_LIMIT,
        (s->cfg.connections_max + MHD_SPARE_CONNECTIONS) * s->cfg.io_threads,
        MHD_OPTION_CONNECTION_TIMEOUT, s->cfg.idle_timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        CONNECTION_MEMORY_BYTES, MHD_OPTION_THREAD_STACK_SIZE, IO_STACK_BYTES,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, exchange_new, s, MHD_OPTION_NOTIFY_COMPLETED,
        exchange_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_ARRAY,
        extra, MHD_OPTION_END);
    if (!s->mhd)
        return fail(cx, ERR_UNAVAILABLE, "cannot start the HTTP server%s",
                    key ? "; are the TLS certificate and key a pair, in PEM?" : "");
    return NULL;
}

static void server_free(struct http_server *s)
{
    exchange_free_spare(s);
    must(!s->peers);
    pthread_mutex_destroy(&s->peers_lock);
    pthread_mutex_destroy(&s->spare_lock);
    takeovers_fini(s);
    lanes_fini(s);
    sem_destroy(&s->places);
    free(s->default_authority);
    free(s);
}

static struct err *start(struct ctx *cx, struct http_server *s)
{
    TRY(accept_listen(cx, s));
    TRY(lanes_start(cx, s));
    TRY(start_mhd(cx, s));
    return accept_start(cx, s);
}

struct err *http_server_start(struct ctx *cx, const struct http_config *cfg,
                              const struct http_app *app, struct http_server **ret)
{
    struct http_server *s = calloc(1, sizeof(*s));
    must(s != NULL);
    s->cfg = *cfg;
    s->app = *app;
    set_defaults(&s->cfg);
    s->listener = -1;
    must(sem_init(&s->places, 0, s->cfg.connections_max) == 0);
    pthread_mutex_init(&s->spare_lock, NULL);
    pthread_mutex_init(&s->peers_lock, NULL);
    takeovers_init(s);
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
        accept_stop(s);
        lanes_stop(s);
        MHD_stop_daemon(s->mhd);
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

void http_wake_all(struct http_server *s)
{
    lanes_wake_all(s);
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
    accept_stop(s);
    takeovers_stop(s);
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
