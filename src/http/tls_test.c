/* SPDX-License-Identifier: EUPL-1.2 */
/* Certificates on both sides: who is let speak to whom, replaced certificates, cut connections,
 * connections that leave HTTP. */
#include "http/pki.h"
#include "http/test_server.h"
#include "http/websocket.h"
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

struct authority {
    const char *key;
    struct pki_cert cert;
};
struct party {
    const char *key;
    struct pki_cert cert;
};

static struct ctx cx;
static struct authority ca, other_ca;
static struct party server, host;
static struct http_server *http, *private_http; /* asks who it is; speaks to one only */
static const char *base, *private_base;
static _Atomic(const struct http_identity *) shown;
static _Atomic int parked, streams;
static int ends[2] = {-1, -1};

static void authority_new(struct authority *a)
{
    assert_ok(&cx, pki_key_new(&cx, &a->key));
    assert_ok(&cx, pki_ca_new(&cx, a->key, "An authority", 3600, &a->cert));
}

static void party_new(const struct authority *a, const char *name, struct party *p)
{
    const char *request;
    assert_ok(&cx, pki_key_new(&cx, &p->key));
    assert_ok(&cx, pki_request_new(&cx, p->key, &request));
    assert_ok(&cx, pki_issue(&cx, a->cert.pem, a->key, request, name, 3600, &p->cert));
}

static const struct http_identity *own_identity(void *arg UNUSED)
{
    return atomic_load(&shown);
}

static struct http_identity as(const struct party *p)
{
    return (struct http_identity){
        .authorities = ca.cert.pem, .cert = p->cert.pem, .key = p->key, .peer = "control.colvert"};
}

static void run_stream(void *arg UNUSED, int fd, const char *early, size_t n_early)
{
    streams++;
    stream_relay(fd, early, n_early, ends[0], 5000);
    streams--;
}

/* Who asks, as the server sees it. */
static void handle(void *arg UNUSED, struct http_request *rq, struct http_reply *rp)
{
    static const struct http_takeover take = {.run = run_stream};
    if (str_eq(rq->path, "/park") && !rq->timed_out) {
        rp->park_topic = "topic";
        rp->park_until_us = mono_us(rq->cx) + 60 * INT64_C(1000000);
        parked++;
        return;
    }
    rp->status = 200;
    if (str_eq(rq->path, "/stream")) {
        rp->status = 101;
        rp->takeover = &take;
        http_reply_header(rp, rq->cx, "Upgrade", "raw");
        return;
    }
    buf_str(&rp->body, rq->peer_sha256 ? rq->peer_sha256 : "not asked");
}

static int setup(void **state UNUSED)
{
    signal(SIGPIPE, SIG_IGN);
    ctx_init(&cx);
    authority_new(&ca);
    authority_new(&other_ca);
    party_new(&ca, "control.colvert", &server);
    party_new(&ca, "a.host.colvert", &host);
    const struct http_app app = {
        .begin = test_begin_worker, .handle = handle, .refuse = test_refuse};
    const struct http_config cfg = {.io_threads = 2,
                                    .workers = 2,
                                    .tls_cert = server.cert.pem,
                                    .tls_key = server.key,
                                    .client_ca = ca.cert.pem};
    const struct http_config private_cfg = {.identity = own_identity};
    static struct http_identity first;
    first = as(&host);
    atomic_store(&shown, &first);
    assert_ok(&cx, http_server_start(&cx, &cfg, &app, &http));
    assert_ok(&cx, http_server_start(&cx, &private_cfg, &app, &private_http));
    private_base = arena_printf(cx.arena, "https://127.0.0.1:%u", http_server_port(private_http));
    base = arena_printf(cx.arena, "https://127.0.0.1:%u", http_server_port(http));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    parked = 0;
    return 0;
}

static int teardown(void **state UNUSED)
{
    http_server_stop(http, 100);
    http_server_stop(private_http, 100);
    assert_int_equal(streams, 0);
    close_fd_p(&ends[0]);
    close_fd_p(&ends[1]);
    ctx_release(&cx);
    return 0;
}

static struct err *get_at(struct http_client *c, const char *url, const struct http_identity *id,
                          const char **ret_body)
{
    struct http_answer a = {0};
    struct http_call call = {.method = "GET", .url = url, .identity = id, .timeout_ms = 20000};
    TRY(http_client_call(&cx, c, &call, &a));
    assert_int_equal(a.status, 200);
    *ret_body = buf_cstr(&a.body);
    return NULL;
}

static struct err *get(struct http_client *c, const char *path, const struct http_identity *id,
                       const char **ret_body)
{
    return get_at(c, arena_printf(cx.arena, "%s%s", base, path), id, ret_body);
}

static void test_who(void **state UNUSED)
{
    struct http_client *c = http_client_new();
    struct http_identity id = as(&host),
                         nobody = {.authorities = ca.cert.pem, .peer = "control.colvert"};
    const char *body;
    assert_ok(&cx, get(c, "/", &id, &body));
    assert_string_equal(body, host.cert.sha256);
    assert_ok(&cx, get(c, "/", &nobody, &body)); /* by a connection of its own */
    assert_string_equal(body, "");
    struct http_identity anybody = {0};
    assert_ok(&cx, get(c, "/", &anybody, &body));
    assert_string_equal(body, "");
    /* A certificate of another authority is shown, and nobody vouches for it. */
    struct party stranger;
    party_new(&other_ca, "a.host.colvert", &stranger);
    struct http_identity strange = as(&stranger);
    assert_ok(&cx, get(c, "/", &strange, &body));
    assert_string_equal(body, stranger.cert.sha256);
    http_client_free(c);
}

static void test_wrong_server(void **state UNUSED)
{
    struct http_client *c = http_client_new();
    struct http_identity id = as(&host);
    const char *body;
    id.authorities = other_ca.cert.pem;
    assert_err(&cx, ERR_UNAVAILABLE, get(c, "/", &id, &body));
    id.authorities = ca.cert.pem;
    id.peer = "b.host.colvert";
    assert_err(&cx, ERR_UNAVAILABLE, get(c, "/", &id, &body));
    id.peer = "control.colvert";
    struct http_answer a;
    struct http_call plain = {
        .method = "GET", .url = arena_printf(cx.arena, "http%s", base + 5), .identity = &id};
    assert_err(&cx, ERR_INVALID, http_client_call(&cx, c, &plain, &a));
    http_client_free(c);
}

static void test_renewed(void **state UNUSED)
{
    struct http_client *c = http_client_new();
    struct http_identity id = as(&host);
    struct party renewed;
    const char *body;
    assert_ok(&cx, get(c, "/", &id, &body));
    party_new(&ca, "a.host.colvert", &renewed);
    struct http_identity later = as(&renewed);
    assert_ok(&cx, get(c, "/", &later, &body)); /* not by the connection of the older one */
    assert_string_equal(body, renewed.cert.sha256);
    http_client_free(c);
}

/* The server that speaks to control.colvert only. */
static void test_private(void **state UNUSED)
{
    struct party stranger, forged;
    struct http_identity control = as(&server), other = as(&host), nobody = as(&host), second;
    const char *body;
    party_new(&ca, "a.host.colvert", &stranger);
    party_new(&other_ca, "control.colvert", &forged);
    control.peer = other.peer = nobody.peer = "a.host.colvert";
    nobody.cert = nobody.key = NULL;
    struct http_client *c = http_client_new();
    assert_ok(&cx, get_at(c, private_base, &control, &body));
    assert_string_equal(body, "not asked");
    assert_err(&cx, ERR_UNAVAILABLE, get_at(c, private_base, &other, &body));
    assert_err(&cx, ERR_UNAVAILABLE, get_at(c, private_base, &nobody, &body));
    other.cert = forged.cert.pem;
    other.key = forged.key;
    assert_err(&cx, ERR_UNAVAILABLE, get_at(c, private_base, &other, &body));
    AUTO_FD int plain = raw_connect(http_server_port(private_http));
    raw_text(plain, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(raw_closed(plain));
    /* From now on it is somebody else. */
    second = as(&server);
    second.peer = "a.host.colvert";
    atomic_store(&shown, &second);
    other = as(&stranger);
    assert_ok(&cx, get_at(c, private_base, &other, &body));
    http_client_free(c);
    c = http_client_new();
    assert_err(&cx, ERR_UNAVAILABLE, get_at(c, private_base, &control, &body));
    http_client_free(c);
}

struct waiter {
    struct party *who;
    _Atomic bool over;
    bool failed;
};

static void *wait_parked(void *arg)
{
    struct waiter *w = arg;
    AUTO_CTX struct ctx own;
    ctx_init(&own);
    struct http_client *c = http_client_new();
    struct http_identity id = as(w->who);
    struct http_answer a;
    struct http_call call = {.method = "GET",
                             .url = arena_printf(own.arena, "%s/park", base),
                             .identity = &id,
                             .timeout_ms = 60000};
    w->failed = http_client_call(&own, c, &call, &a) != NULL;
    atomic_store(&w->over, true);
    http_client_free(c);
    return NULL;
}

static bool is(void *arg, const char *sha256)
{
    return str_eq(arg, sha256);
}

static void test_cut(void **state UNUSED)
{
    struct party b;
    party_new(&ca, "b.host.colvert", &b);
    struct waiter one = {.who = &host}, two = {.who = &b};
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, wait_parked, &one);
    pthread_create(&threads[1], NULL, wait_parked, &two);
    wait_until(parked == 2);
    http_cut(http, is, (void *)(uintptr_t)host.cert.sha256);
    wait_until(atomic_load(&one.over));
    assert_true(one.failed);
    assert_false(atomic_load(&two.over));
    http_cut(http, is, (void *)(uintptr_t)b.cert.sha256);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_true(two.failed);
}

static void read_all(int fd, char *to, size_t n)
{
    for (size_t got = 0; got < n;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 5000), 1);
        ssize_t k = recv(fd, to + got, n - got, 0);
        assert_true(k > 0);
        got += (size_t)k;
    }
}

/* More than all the buffers on the way hold. */
struct flood {
    int fd;
    char *data;
    size_t size;
};

static void *send_all(void *arg)
{
    struct flood *f = arg;
    for (size_t at = 0; at < f->size;) {
        struct pollfd p = {.fd = f->fd, .events = POLLOUT};
        poll(&p, 1, 5000);
        ssize_t n = send(f->fd, f->data + at, f->size - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            break;
        at += n > 0 ? (size_t)n : 0;
    }
    return NULL;
}

static void flood(int from, int to)
{
    size_t size = (size_t)4 << 20;
    struct flood f = {from, arena_alloc(cx.arena, size), size};
    char *got = arena_alloc(cx.arena, size);
    pthread_t thread;
    for (size_t i = 0; i < size; i++)
        f.data[i] = (char)(i * 31 + (i >> 11));
    pthread_create(&thread, NULL, send_all, &f);
    read_all(to, got, size);
    pthread_join(thread, NULL);
    assert_memory_equal(got, f.data, size);
}

static struct err *open_stream(const struct http_identity *id, int *ret_fd)
{
    struct buf early;
    buf_init(&early, cx.arena);
    struct http_call call = {.url = arena_printf(cx.arena, "%s/stream", private_base),
                             .identity = id,
                             .timeout_ms = 5000};
    return http_client_upgrade(&cx, &call, "raw", ret_fd, &early);
}

static void test_stream(void **state UNUSED)
{
    AUTO_FD int fd = -1;
    char text[32];
    struct http_identity id = as(&server);
    id.peer = "a.host.colvert";
    assert_ok(&cx, open_stream(&id, &fd));
    raw_text(fd, "to the stream");
    read_all(ends[1], text, 13);
    assert_memory_equal(text, "to the stream", 13);
    flood(fd, ends[1]);
    flood(ends[1], fd);
    assert_int_equal(streams, 1);
    close_fd_p(&fd);
    wait_until(streams == 0);
}

static void test_stream_ends(void **state UNUSED)
{
    AUTO_FD int fd = -1;
    struct http_identity id = as(&server);
    id.peer = "a.host.colvert";
    assert_ok(&cx, open_stream(&id, &fd));
    wait_until(streams == 1);
    shutdown(ends[1], SHUT_RDWR); /* the far side's end arrives here */
    wait_until(streams == 0);
    assert_true(raw_closed(fd));
}

static void test_stream_refused(void **state UNUSED)
{
    AUTO_FD int fd = -1;
    struct http_identity id = as(&server);
    id.peer = "b.host.colvert";
    assert_err(&cx, ERR_UNAVAILABLE, open_stream(&id, &fd));
    id.peer = "a.host.colvert";
    id.authorities = other_ca.cert.pem;
    assert_err(&cx, ERR_UNAVAILABLE, open_stream(&id, &fd));
    private_base = arena_printf(cx.arena, "http%s", private_base + 5);
    assert_err(&cx, ERR_INVALID, open_stream(&id, &fd));
    assert_int_equal(streams, 0);
}

int main(void)
{
#define EACH(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(test_who), EACH(test_wrong_server), EACH(test_renewed),     EACH(test_private),
        EACH(test_cut), EACH(test_stream),       EACH(test_stream_ends), EACH(test_stream_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
