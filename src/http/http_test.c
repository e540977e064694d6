/* SPDX-License-Identifier: EUPL-1.2 */
/* Framing, bodies, uploads, refusals and files, over real sockets on 127.0.0.1. */
#include "http/test_port.h"
#include "http/test_server.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/mman.h>
#include <sys/socket.h>

static struct test_server srv;
static char reply[1 << 20];

static int setup(void **state UNUSED)
{
    test_server_start(&srv, &(struct http_config){.body_max_bytes = 4096, .workers = 2});
    return 0;
}

static int teardown(void **state UNUSED)
{
    test_server_stop(&srv, 2000);
    return 0;
}

static void test_get(void **state UNUSED)
{
    assert_int_equal(raw_get(srv.port, "/inline?a=1&b=%20x", reply, sizeof(reply)), 200);
    assert_string_equal(raw_body(reply), "GET /inline a=1&b=%20x ");
    assert_non_null(strstr(reply, "\r\nx-openstack-request-id: req-"));
    assert_non_null(strstr(reply, "\r\nDate: "));
    assert_non_null(strstr(reply, "\r\nContent-Type: text/plain\r\n"));
    assert_int_equal(raw_get(srv.port, "/json", reply, sizeof(reply)), 200);
    assert_string_equal(raw_body(reply), "{\"a\":1}");
    assert_non_null(strstr(reply, "\r\nContent-Type: application/json\r\n"));
    assert_int_equal(raw_get(srv.port, "/worker", reply, sizeof(reply)), 200);
    assert_int_equal(raw_get(srv.port, "/slow", reply, sizeof(reply)), 200);
    assert_int_equal(srv.slow_nice, 10);
    /* absolute-form, as a client of a proxy sends it */
    assert_int_equal(raw_get(srv.port, "http://x/inline?q", reply, sizeof(reply)), 200);
    assert_string_equal(raw_body(reply), "GET /inline q ");
}

static void test_keepalive(void **state UNUSED)
{
    AUTO_FD int fd = raw_connect(srv.port);
    char ids[2][64] = {0};
    for (int i = 0; i < 4; i++) {
        raw_text(fd, i % 2 ? "GET /worker HTTP/1.1\r\nHost: x\r\n\r\n"
                           : "POST /inline HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
        assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
        assert_string_equal(raw_body(reply), i % 2 ? "GET /worker  " : "POST /inline  abc");
        memcpy(ids[i % 2], strstr(reply, "req-"), 40);
        assert_string_not_equal(ids[0], ids[1]);
    }
    /* two at once in one segment */
    raw_text(fd,
             "GET /inline?1 HTTP/1.1\r\nHost: x\r\n\r\nGET /worker?2 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    assert_string_equal(raw_body(reply), "GET /inline 1 ");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    assert_string_equal(raw_body(reply), "GET /worker 2 ");
    raw_text(fd, "GET /inline HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    assert_non_null(strstr(reply, "\r\nConnection: close\r\n"));
    assert_true(raw_closed(fd));
}

static void test_http10(void **state UNUSED)
{
    AUTO_FD int fd = raw_connect(srv.port);
    raw_text(fd, "GET /header HTTP/1.0\r\n\r\n");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    char expect[64];
    snprintf(expect, sizeof(expect), "- http://127.0.0.1:%u 127.0.0.1", srv.port);
    assert_string_equal(raw_body(reply), expect);
    assert_true(raw_closed(fd));
}

static void test_head(void **state UNUSED)
{
    AUTO_FD int fd = raw_connect(srv.port);
    for (int i = 0; i < 3; i++) {
        raw_text(fd, "HEAD /json HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(raw_head(fd, reply, sizeof(reply)), 200);
        assert_non_null(strstr(reply, "\r\nContent-Length: 7\r\n"));
    }
    raw_text(fd, "GET /json HTTP/1.1\r\nHost: x\r\n\r\n"); /* no body of the HEADs in between */
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
}

static void test_headers(void **state UNUSED)
{
    AUTO_FD int fd = raw_connect(srv.port);
    const char *id = "req-01234567-89ab-4def-8123-456789abcdef";
    dprintf(fd,
            "GET /header HTTP/1.1\r\nHost: api.example:5000\r\nX-ECHO: caf\xc3\xa9\r\n"
            "X-Forwarded-Proto: https\r\nX-Openstack-Request-Id: %s\r\n\r\n",
            id);
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    char expect[128];
    snprintf(expect, sizeof(expect), "caf\xc3\xa9 http://api.example:5000 127.0.0.1 %s", id);
    assert_string_equal(raw_body(reply), expect);
    assert_non_null(strstr(reply, "\r\nX-Echo: caf\xc3\xa9\r\n"));
    assert_null(strstr(reply, "\nX-Injected"));
    assert_null(strstr(reply, "x-openstack-request-id: req-01234567")); /* ours, not the client's */
    raw_text(fd, "GET /header HTTP/1.1\r\nHost: x\r\nX-Openstack-Request-Id: req-<evil>\r\n\r\n");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    assert_null(strstr(raw_body(reply), "req-"));
}

static void expect_refusal(const char *request, int status)
{
    AUTO_FD int fd = raw_connect(srv.port);
    int before = srv.refused, handled = srv.handled;
    raw_text(fd, request);
    if (raw_reply(fd, reply, sizeof(reply)) != status)
        fail_msg("expected %d for %s, got: %s", status, request, reply);
    assert_int_equal(srv.refused, before + 1);
    assert_int_equal(srv.handled, handled);
    assert_non_null(strstr(raw_body(reply), "\"message\":"));
    assert_non_null(strstr(reply, "\r\nx-openstack-request-id: req-"));
}

static void test_malformed(void **state UNUSED)
{
    expect_refusal("GET /a%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    expect_refusal("GET /a%2 HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    expect_refusal("GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    expect_refusal("GET /a%ff HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    expect_refusal("GET /a?x=%c3 HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    expect_refusal("GET /a?x=1&%0 HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    expect_refusal("GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    expect_refusal("GET / HTTP/1.1\r\nHost: x/y\"<z>\r\n\r\n", 400);
    expect_refusal(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400);
    expect_refusal("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
                   "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                   400);
    expect_refusal("POST /silent HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
                   400);
}

static void test_oversized_head(void **state UNUSED)
{
    static char big[40000];
    memset(big, 'a', sizeof(big) - 1);
    AUTO_FD int fd = raw_connect(srv.port);
    dprintf(fd, "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", big);
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 414);
    assert_true(raw_closed(fd));
    AUTO_FD int fd2 = raw_connect(srv.port);
    raw_text(fd2, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 2000; i++)
        dprintf(fd2, "X-H-%d: v\r\n", i);
    raw_text(fd2, "\r\n");
    assert_int_equal(raw_reply(fd2, reply, sizeof(reply)), 431);
    assert_true(raw_closed(fd2));
    /* many arguments are the query's matter, not the header memory's */
    char target[6100] = "/inline?";
    for (size_t i = strlen(target); i < 6000; i += 2)
        memcpy(target + i, "a&", 3);
    assert_int_equal(raw_get(srv.port, target, reply, sizeof(reply)), 200);
    assert_int_equal(raw_get(srv.port, "/json", reply, sizeof(reply)), 200);
}

static void test_bodies(void **state UNUSED)
{
    AUTO_FD int fd = raw_connect(srv.port);
    char body[4097];
    memset(body, 'b', 4096);
    body[4096] = 0;
    dprintf(fd, "POST /worker HTTP/1.1\r\nHost: x\r\nContent-Length: 4096\r\n\r\n%s", body);
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    assert_int_equal(strlen(raw_body(reply)), 14 + 4096);
    raw_text(fd, "PUT /inline HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "3\r\nabc\r\n5;ext=1\r\ndefgh\r\n0\r\nTrailer: x\r\n\r\n");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    assert_string_equal(raw_body(reply), "PUT /inline  abcdefgh");
    /* a body that comes byte by byte */
    raw_text(fd, "POST /inline HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    for (int i = 0; i < 5; i++) {
        sleep_ms(2);
        raw_send(fd, &"hello"[i], 1);
    }
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    assert_string_equal(raw_body(reply), "POST /inline  hello");
    raw_text(
        fd,
        "POST /inline HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_int_equal(raw_head(fd, reply, sizeof(reply)), 100);
    raw_text(fd, "ok");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    assert_string_equal(raw_body(reply), "POST /inline  ok");
}

/* The refusal of a body that is small enough to be read leaves the connection usable. */
static void test_too_large(void **state UNUSED)
{
    AUTO_FD int fd = raw_connect(srv.port);
    static char body[100001];
    memset(body, 'b', sizeof(body) - 1);
    dprintf(fd, "POST /inline HTTP/1.1\r\nHost: x\r\nContent-Length: 4097\r\n\r\n%.4097s", body);
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 413);
    dprintf(fd,
            "POST /inline HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            "186A0\r\n%s\r\n0\r\n\r\n",
            body);
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 413);
    raw_text(fd, "POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n");
    sleep_ms(20);
    raw_text(fd, "abc");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 401);
    raw_text(fd, "GET /early HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 401);
    raw_text(fd, "GET /json HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    /* who waits for leave gets the answer instead */
    raw_text(fd, "POST /inline HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                 "Content-Length: 99999999\r\n\r\n");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 413);
    assert_true(raw_closed(fd));
    /* who announces much gets the answer before sending it */
    AUTO_FD int fd2 = raw_connect(srv.port);
    raw_text(fd2, "POST /inline HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nabc");
    assert_int_equal(raw_reply(fd2, reply, sizeof(reply)), 413);
    assert_non_null(strstr(reply, "\r\nConnection: close\r\n"));
}

static uint32_t sum_of(const char *data, size_t size)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + (unsigned char)data[i];
    return sum;
}

static void test_upload(void **state UNUSED)
{
    static char data[3000000];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7 + i / 251);
    char expect[64];
    snprintf(expect, sizeof(expect), "%zu %u", sizeof(data), sum_of(data, sizeof(data)));
    AUTO_FD int fd = raw_connect(srv.port);
    dprintf(fd, "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", sizeof(data));
    raw_send(fd, data, sizeof(data));
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    assert_string_equal(raw_body(reply), expect);
    raw_text(fd, "PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0, n; at < sizeof(data); at += n) {
        n = 1 + at * 3 % 70001;
        n = n < sizeof(data) - at ? n : sizeof(data) - at;
        dprintf(fd, "%zx\r\n", n);
        raw_send(fd, data + at, n);
        raw_text(fd, "\r\n");
    }
    raw_text(fd, "0\r\n\r\n");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    assert_string_equal(raw_body(reply), expect);
    raw_text(fd, "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    assert_string_equal(raw_body(reply), "0 0");
    assert_int_equal(srv.aborted, 0);
}

static void test_sink_error(void **state UNUSED)
{
    static char data[400000];
    int aborted = srv.aborted, handled = srv.handled;
    AUTO_FD int fd = raw_connect(srv.port);
    /* little: the rest is read, the connection lives */
    raw_text(fd, "PUT /upload?fail=10 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    raw_send(fd, data, 1000);
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 415);
    assert_non_null(strstr(raw_body(reply), "bad upload"));
    assert_int_equal(srv.aborted, aborted + 1);
    /* much: answered before the end, and closed */
    dprintf(fd, "PUT /upload?fail=10 HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000\r\n\r\n");
    raw_send(fd, data, 1000);
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 415);
    assert_non_null(strstr(reply, "\r\nConnection: close\r\n"));
    raw_send(fd, data, sizeof(data)); /* still read, so that no reset destroys the answer */
    shutdown(fd, SHUT_WR);
    assert_true(raw_closed(fd));
    /* much, of unknown length */
    AUTO_FD int fd2 = raw_connect(srv.port);
    raw_text(
        fd2,
        "PUT /upload?fail=10 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n");
    raw_send(fd2, data, sizeof(data));
    assert_int_equal(raw_reply(fd2, reply, sizeof(reply)), 415);
    /* all of it sent: closed once it has come */
    AUTO_FD int fd3 = raw_connect(srv.port);
    raw_text(fd3, "PUT /upload?fail=10 HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n");
    raw_send(fd3, data, sizeof(data));
    assert_int_equal(raw_reply(fd3, reply, sizeof(reply)), 415);
    assert_true(raw_closed(fd3));
    assert_int_equal(srv.aborted, aborted + 4);
    assert_int_equal(srv.handled, handled);
}

static void test_truncated(void **state UNUSED)
{
    int aborted = srv.aborted, handled = srv.handled;
    for (int i = 0; i < 4; i++) {
        AUTO_FD int fd = raw_connect(srv.port);
        atomic_store(&srv.sink_bytes, 0);
        raw_text(
            fd,
            i % 2
                ? "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"
                : "PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nabc");
        if (i & 1)
            wait_until(srv.sink_bytes == 3);
        if (i < 2)
            shutdown(fd, SHUT_WR);
        else
            close_fd_p(&fd);
        wait_until(srv.aborted == aborted + i + 1);
    }
    /* a whole request before the half-close is answered */
    AUTO_FD int whole = raw_connect(srv.port);
    raw_text(whole, "PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n");
    shutdown(whole, SHUT_WR);
    assert_int_equal(raw_reply(whole, reply, sizeof(reply)), 200);
    handled = srv.handled;
    /* the same without a sink, and while a worker has the request */
    AUTO_FD int fd = raw_connect(srv.port);
    raw_text(fd, "POST /inline HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    close_fd_p(&fd);
    fd = raw_connect(srv.port);
    raw_text(fd, "GET /worker?hold=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until(srv.handled == handled + 1);
    close_fd_p(&fd);
    atomic_store(&srv.let_go, true);
    struct http_stats st;
    wait_until((http_server_stats(srv.http, &st), st.running == 0));
    assert_int_equal(srv.aborted, aborted + 4);
}

static void test_file(void **state UNUSED)
{
    srv.file_fd = memfd_create("test", MFD_CLOEXEC);
    static char data[300000];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)('a' + i % 23);
    assert_int_equal(write(srv.file_fd, data, sizeof(data)), sizeof(data));
    struct {
        size_t off, len;
    } cases[] = {{0, 300000}, {0, 1}, {7, 100}, {299999, 1}, {100000, 200000}, {5, 0}};
    AUTO_FD int fd = raw_connect(srv.port);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        dprintf(fd, "GET /file?off=%zu&len=%zu HTTP/1.1\r\nHost: x\r\n\r\n", cases[i].off,
                cases[i].len);
        assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
        assert_int_equal(strlen(raw_body(reply)), cases[i].len);
        assert_memory_equal(raw_body(reply), data + cases[i].off, cases[i].len);
        assert_non_null(strstr(reply, "application/octet-stream"));
    }
    raw_text(fd, "HEAD /file?len=300000 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(raw_head(fd, reply, sizeof(reply)), 200);
    assert_non_null(strstr(reply, "\r\nContent-Length: 300000\r\n"));
    /* a client that leaves in the middle */
    for (int i = 0; i < 20; i++) {
        AUTO_FD int gone = raw_connect(srv.port);
        raw_text(gone, "GET /file?len=300000 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(recv(gone, reply, 10, 0), 10);
    }
    raw_text(fd, "GET /json HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    close_fd_p(&srv.file_fd);
}

static void write_pem(const char *path, int (*put)(BIO *, const void *), const void *what)
{
    BIO *out = BIO_new_file(path, "w");
    assert_true(out && put(out, what));
    BIO_free(out);
}

static int put_key(BIO *out, const void *key)
{
    return PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
}

static int put_cert(BIO *out, const void *cert)
{
    return PEM_write_bio_X509(out, cert);
}

static void make_certificate(const char *key_file, const char *cert_file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    assert_true(key && cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"127.0.0.1", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    assert_true(san && X509_add_ext(cert, san, -1) && X509_sign(cert, key, EVP_sha256()));
    write_pem(key_file, put_key, key);
    write_pem(cert_file, put_cert, cert);
    X509_EXTENSION_free(san);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void test_tls(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    char dir[] = "/tmp/http-tls-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *key = arena_printf(cx.arena, "%s/key", dir),
         *cert = arena_printf(cx.arena, "%s/cert", dir);
    make_certificate(key, cert);
    struct http_config cfg = {.tls_cert_file = cert, .tls_key_file = key};
    struct test_server t;
    test_server_start(&t, &cfg);
    struct http_client *c = http_client_new();
    struct http_answer a;
    struct http_call call = {.method = "POST",
                             .body = "secret",
                             .body_size = 6,
                             .ca_file = cert,
                             .url = arena_printf(cx.arena, "%s/header", t.url)};
    assert_ok(&cx, http_client_call(&cx, c, &call, &a));
    assert_string_equal(buf_cstr(&a.body), arena_printf(cx.arena, "- %s 127.0.0.1", t.url));
    /* a refusal in the middle of a long body can't be written on the bare socket: it comes at the
     * end */
    static char big[1000000];
    call.url = arena_printf(cx.arena, "%s/upload?fail=10", t.url);
    call.body = big;
    call.body_size = sizeof(big);
    assert_ok(&cx, http_client_call(&cx, c, &call, &a));
    assert_int_equal(a.status, 415);
    call.ca_file = NULL; /* nobody vouches for it */
    http_client_free(c);
    c = http_client_new();
    assert_err(&cx, ERR_UNAVAILABLE, http_client_call(&cx, c, &call, &a));
    http_client_free(c);
    test_server_stop(&t, 1000);
    struct http_server *none = NULL;
    struct http_app app = {0};
    cfg.tls_key_file = "/nonexistent";
    assert_err(&cx, ERR_INVALID, http_server_start(&cx, &cfg, &app, &none));
    cfg.tls_key_file = cert;
    assert_err(&cx, ERR_UNAVAILABLE, http_server_start(&cx, &cfg, &app, &none));
    unlink(key);
    unlink(cert);
    rmdir(dir);
}

static void test_silent_handler(void **state UNUSED)
{
    assert_int_equal(raw_get(srv.port, "/silent", reply, sizeof(reply)), 500);
    assert_non_null(strstr(raw_body(reply), "not answered"));
}

static enum http_lane begin_here(void *arg UNUSED, struct http_request *rq, struct http_reply *rp,
                                 struct http_sink **ret_sink UNUSED)
{
    rp->status = str_eq(rq->path, "/early") ? 401 : 0;
    return LANE_INLINE;
}

static void echo_here(void *arg UNUSED, struct http_request *rq, struct http_reply *rp)
{
    const char *v = http_header(rq, "x-echo");
    rp->status = 200;
    buf_printf(&rp->body, "%s %s %s %s %s", rq->method, rq->path, http_arg(rq, "a"),
               v ? v : "-", rq->body);
}

static void test_call_here(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct http_app app = {.begin = begin_here, .handle = echo_here};
    const struct http_pair headers[] = {{"X-Echo", "e"}};
    struct http_reply rp;
    assert_ok(&cx, http_call_here(&cx, &app, "POST", "/p%20q?a=1", headers, 1, "body", &rp));
    assert_int_equal(rp.status, 200);
    assert_string_equal(buf_cstr(&rp.body), "POST /p q 1 e body");
    assert_ok(&cx, http_call_here(&cx, &app, "GET", "/?a=2", NULL, 0, NULL, &rp));
    assert_string_equal(buf_cstr(&rp.body), "GET / 2 - ");
    assert_ok(&cx, http_call_here(&cx, &app, "GET", "/early", NULL, 0, NULL, &rp));
    assert_int_equal(rp.status, 401);
    assert_null(cx.request_id);
    assert_err(&cx, ERR_INVALID, http_call_here(&cx, &app, "GET", "/%zz", NULL, 0, NULL, &rp));
}

static void test_restart_binds_at_once(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct test_server a, b;
    uint16_t port;
    AUTO_FD UNUSED int reserved = port_reserve(&port);
    test_server_start(&a, &(struct http_config){.port = port});
    AUTO_FD int fd = raw_connect(a.port);
    raw_text(fd, "GET /json HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(raw_reply(fd, reply, sizeof(reply)), 200);
    struct http_server *second = NULL;
    struct http_app none = {0};
    assert_err(&cx, ERR_UNAVAILABLE,
               http_server_start(&cx, &(struct http_config){.port = port}, &none, &second));
    assert_err(&cx, ERR_INVALID,
               http_server_start(&cx, &(struct http_config){.host = "no.such.host.invalid"}, &none,
                                 &second));
    test_server_stop(&a, 100); /* closes first: its side goes to TIME_WAIT */
    test_server_start(&b, &(struct http_config){.port = port, .io_threads = 1});
    assert_int_equal(raw_get(port, "/json", reply, sizeof(reply)), 200);
    test_server_stop(&b, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_keepalive),
        cmocka_unit_test(test_http10),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_oversized_head),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_upload),
        cmocka_unit_test(test_sink_error),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_silent_handler),
        cmocka_unit_test(test_call_here),
        cmocka_unit_test(test_restart_binds_at_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
