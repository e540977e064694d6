/* SPDX-License-Identifier: EUPL-1.2 */
/* See tunnel.h. */
#include "http/tunnel.h"
#include "http/pki_read.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PIECE_BYTES 16384
#define LINGER_MS 10000
#define HANDSHAKE_US (10 * INT64_C(1000000))

/* What has been read on one side and not yet been written on the other. */
struct half {
    char data[PIECE_BYTES];
    size_t at, len;
    bool ended; /* nothing more comes */
};

struct tunnel {
    SSL *ssl;
    int net, local;
    struct half in, out;
    short net_wants; /* of the last calls of OpenSSL */
};

static void tunnel_free(struct tunnel *t)
{
    SSL_free(t->ssl);
    close_fd_p(&t->net);
    close_fd_p(&t->local);
    free(t);
}

/* > 0: so many bytes; 0: not now; < 0: the end, in whatever way. */
static int after_ssl(struct tunnel *t, int n)
{
    if (n > 0)
        return n;
    int why = SSL_get_error(t->ssl, n);
    ERR_clear_error();
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        return -1;
    t->net_wants |= why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    return 0;
}

static int after_socket(ssize_t n)
{
    if (n > 0)
        return (int)n;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static int net_read(struct tunnel *t, char *to, size_t size)
{
    return after_ssl(t, SSL_read(t->ssl, to, (int)size));
}
static int net_write(struct tunnel *t, char *from, size_t size)
{
    return after_ssl(t, SSL_write(t->ssl, from, (int)size));
}
static int local_read(struct tunnel *t, char *to, size_t size)
{
    return after_socket(recv(t->local, to, size, 0));
}
static int local_write(struct tunnel *t, char *from, size_t size)
{
    return after_socket(send(t->local, from, size, MSG_NOSIGNAL));
}

typedef int move_fn(struct tunnel *t, char *data, size_t size);

/* True: something moved. */
static bool move(struct tunnel *t, struct half *h, move_fn *from, move_fn *to)
{
    bool moved = false;
    if (!h->len && !h->ended) {
        int n = from(t, h->data, sizeof(h->data));
        h->ended = n < 0;
        h->at = 0;
        h->len = n > 0 ? (size_t)n : 0;
        moved = n != 0;
    }
    if (h->len) {
        int n = to(t, h->data + h->at, h->len);
        if (n < 0) { /* nobody takes it */
            h->ended = true;
            h->len = 0;
        } else {
            h->at += (size_t)n;
            h->len -= (size_t)n;
        }
        moved = moved || n != 0;
    }
    return moved;
}

static bool done(const struct half *h)
{
    return h->ended && !h->len;
}

/* False: one side has ended, and the other takes nothing more. */
static bool wait_for_more(const struct tunnel *t)
{
    short local = (short)((t->out.len ? 0 : POLLIN) | (t->in.len ? POLLOUT : 0));
    /* Who is waited for in no way must not be heard of: poll tells of hang-ups unasked. */
    struct pollfd p[] = {{.fd = t->net_wants ? t->net : -1, .events = t->net_wants},
                         {.fd = local ? t->local : -1, .events = local}};
    return poll(p, 2, t->in.ended || t->out.ended ? LINGER_MS : -1) != 0;
}

static struct err *shake_hands(struct ctx *cx, struct tunnel *t, const char *url, int64_t until_us)
{
    int n;
    while ((n = SSL_do_handshake(t->ssl)) != 1) {
        int why = SSL_get_error(t->ssl, n);
        long verdict = SSL_get_verify_result(t->ssl);
        const char *text = ERR_reason_error_string(ERR_peek_last_error());
        ERR_clear_error();
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
            return fail(cx, ERR_UNAVAILABLE, "no TLS connection to %s: %s", url,
                        verdict != X509_V_OK ? X509_verify_cert_error_string(verdict)
                        : text               ? text
                                             : "the other side hung up");
        struct pollfd p = {.fd = t->net, .events = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT};
        int64_t left_ms = (until_us - mono_us(cx) + 999) / 1000;
        if (left_ms <= 0 || poll(&p, 1, (int)min_i64(left_ms, INT32_MAX)) == 0)
            return fail(cx, ERR_TIMEOUT, "%s does not answer in time", url);
    }
    return NULL;
}

/*
 * The name that let the client in becomes the address of the tunnel's end of the pair, so that the
 * other end can ask the kernel who it speaks to: before the first byte comes through.
 */
#define NAME_PREFIX "colvert-peer:"

static void take_name(struct tunnel *t)
{
    static atomic_uint count; /* addresses are taken once */
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const char *name = SSL_get0_peername(t->ssl);
    if (!name)
        return;
    int n = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, NAME_PREFIX "%d-%u:%s",
                     (int)getpid(), atomic_fetch_add(&count, 1), name);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    if ((size_t)n < sizeof(at.sun_path) - 1)
        must(bind(t->local, (struct sockaddr *)&at, len) == 0);
}

const char *tunnel_peer(struct ctx *cx, int fd)
{
    struct sockaddr_un at;
    socklen_t len = sizeof(at), head = offsetof(struct sockaddr_un, sun_path) + 1;
    if (getpeername(fd, (struct sockaddr *)&at, &len) != 0 || at.sun_family != AF_UNIX ||
        len <= head || at.sun_path[0])
        return NULL;
    const char *text = arena_strndup(cx->arena, at.sun_path + 1, len - head);
    const char *name =
        str_starts(text, NAME_PREFIX) ? strchr(text + strlen(NAME_PREFIX), ':') : NULL;
    return name ? name + 1 : NULL;
}

static bool welcome(struct tunnel *t)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct err *e = shake_hands(&cx, t, "the client", mono_us(&cx) + HANDSHAKE_US);
    if (e)
        log_err(&cx, LOG_DEBUG, e, "a connection is refused", NULL);
    else
        take_name(t);
    return !e;
}

static void *run(void *arg)
{
    struct tunnel *t = arg;
    if (SSL_is_server(t->ssl) && !welcome(t)) {
        tunnel_free(t);
        return NULL;
    }
    while (!done(&t->in) && !done(&t->out)) {
        t->net_wants = 0;
        bool in = move(t, &t->in, net_read, local_write);
        bool out = move(t, &t->out, local_read, net_write);
        if (!in && !out && !wait_for_more(t))
            break;
    }
    SSL_shutdown(t->ssl);
    ERR_clear_error();
    tunnel_free(t);
    return NULL;
}

/* ---- opening ---- */

static bool trust(X509 *cert, void *store)
{
    X509_STORE_add_cert(store, cert);
    return false;
}

static struct err *show_ours(struct ctx *cx, SSL_CTX *with, const struct http_identity *identity)
{
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    struct err *e = pki_read_cert(cx, identity->cert, &cert);
    if (!e)
        e = pki_read_key(cx, identity->key, &key);
    if (!e && (SSL_CTX_use_certificate(with, cert) != 1 || SSL_CTX_use_PrivateKey(with, key) != 1))
        e = fail(cx, ERR_INVALID, "not a certificate and its key");
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return e;
}

static struct err *prepare(struct ctx *cx, SSL_CTX *with, const struct http_identity *identity,
                           struct tunnel *t)
{
    bool server = SSL_CTX_get_ssl_method(with) == TLS_server_method();
    must(identity->authorities && identity->peer);
    must(SSL_CTX_set_min_proto_version(with, TLS1_3_VERSION) == 1);
    SSL_CTX_set_mode(with, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(with, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_session_cache_mode(with, SSL_SESS_CACHE_OFF); /* each handshake is a whole one */
    SSL_CTX_set_num_tickets(with, 0);
    pki_each_cert(identity->authorities, trust, SSL_CTX_get_cert_store(with));
    if (identity->cert)
        TRY(show_ours(cx, with, identity));
    t->ssl = SSL_new(with);
    must(t->ssl && SSL_set_fd(t->ssl, t->net) == 1);
    must(SSL_set1_host(t->ssl, identity->peer) == 1);
    if (server) {
        must(!identity->also || SSL_add1_host(t->ssl, identity->also) == 1);
        SSL_set_accept_state(t->ssl);
        return NULL;
    }
    must(SSL_set_tlsext_host_name(t->ssl, identity->peer) == 1);
    SSL_set_connect_state(t->ssl);
    return NULL;
}

static struct err *start(struct ctx *cx, struct tunnel *t, int *ret_fd)
{
    int ends[2];
    pthread_t thread;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return fail(cx, ERR_UNAVAILABLE, "no sockets for a tunnel: %m");
    t->local = ends[0];
    int rc = pthread_create(&thread, NULL, run, t);
    if (rc) {
        close(ends[1]);
        return fail(cx, ERR_UNAVAILABLE, "no thread for a tunnel: %s", strerror(rc));
    }
    pthread_detach(thread);
    *ret_fd = ends[1];
    return NULL;
}

static struct tunnel *tunnel_new(int fd)
{
    struct tunnel *t = calloc(1, sizeof(*t));
    must(t);
    t->net = fd;
    t->local = -1;
    return t;
}

struct err *tunnel_open(struct ctx *cx, int fd, const struct http_identity *identity,
                        const char *url, int64_t until_us, int *ret_fd)
{
    struct tunnel *t = tunnel_new(fd);
    SSL_CTX *with = SSL_CTX_new(TLS_client_method());
    must(with);
    struct err *e = prepare(cx, with, identity, t);
    if (!e)
        e = shake_hands(cx, t, url, until_us);
    if (!e)
        e = start(cx, t, ret_fd);
    SSL_CTX_free(with); /* the connection keeps what it needs */
    if (e)
        tunnel_free(t);
    return e;
}

int tunnel_accept(int fd, const struct http_identity *identity)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct tunnel *t = tunnel_new(fd);
    SSL_CTX *with = SSL_CTX_new(TLS_server_method());
    int inner = -1;
    must(with);
    struct err *e = prepare(&cx, with, identity, t);
    if (!e)
        e = start(&cx, t, &inner);
    SSL_CTX_free(with);
    if (!e)
        return inner;
    tunnel_free(t);
    errno = ENOMEM;
    return -1;
}
