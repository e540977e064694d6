/* SPDX-License-Identifier: EUPL-1.2 */
/* The client against our own server and against sockets that misbehave. */
#include "http/test_server.h"
#include <arpa/inet.h>
#include <sys/socket.h>

static struct test_server srv;

static int setup(void **state UNUSED)
{
    /* a proxy in the environment must not matter */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    test_server_start(&srv, NULL);
    return 0;
}

static int teardown(void **state UNUSED)
{
    test_server_stop(&srv, 1000);
    return 0;
}

static const char *url(struct ctx *cx, const char *path)
{
    return arena_printf(cx->arena, "%s%s", srv.url, path);
}

static const char *answer_header(const struct http_answer *a, const char *name)
{
    for (size_t i = 0; i < a->n_headers; i++)
        if (strcmp(a->headers[i].name, name) == 0)
            return a->headers[i].value;
    return NULL;
}

static void test_call(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct http_client *c = http_client_new();
    struct http_answer a;
    struct http_stats before, after;
    http_server_stats(srv.http, &before);
    for (int i = 0; i < 20; i++) {
        assert_ok(&cx,
                  http_client_call(
                      &cx, c, &(struct http_call){.method = "GET", .url = url(&cx, "/json")}, &a));
        assert_int_equal(a.status, 200);
        assert_string_equal(buf_cstr(&a.body), "{\"a\":1}");
        assert_string_equal(answer_header(&a, "content-type"), "application/json");
        assert_true(str_starts(answer_header(&a, "x-openstack-request-id"), "req-"));
    }
    http_server_stats(srv.http, &after);
    assert_true(after.connections <= before.connections + 1); /* one, kept alive */
    struct http_pair headers[] = {{"X-Echo", "hello"}, {"X-Empty", ""}};
    struct http_call call = {.method = "PATCH",
                             .url = url(&cx, "/header"),
                             .headers = headers,
                             .n_headers = 2,
                             .body = "{}",
                             .body_size = 2};
    assert_ok(&cx, http_client_call(&cx, c, &call, &a));
    assert_string_equal(answer_header(&a, "x-echo"), "hello");
    call = (struct http_call){
        .method = "PUT", .url = url(&cx, "/worker"), .body = "a\0b", .body_size = 3};
    assert_ok(&cx, http_client_call(&cx, c, &call, &a));
    assert_int_equal(a.body.len, 16);
    assert_memory_equal(a.body.data, "PUT /worker  a\0b", 16);
    assert_ok(&cx, http_client_call(&cx, c,
                                    &(struct http_call){.method = "HEAD", .url = url(&cx, "/json")},
                                    &a));
    assert_int_equal(a.body.len, 0);
    assert_string_equal(answer_header(&a, "content-length"), "7");
    assert_ok(&cx,
              http_client_call(
                  &cx, c, &(struct http_call){.method = "DELETE", .url = url(&cx, "/worker")}, &a));
    assert_string_equal(buf_cstr(&a.body), "DELETE /worker  ");
    assert_ok(&cx, http_client_call(&cx, c,
                                    &(struct http_call){.method = "POST",
                                                        .url = url(&cx, "/early"),
                                                        .body = "x",
                                                        .body_size = 1},
                                    &a));
    assert_int_equal(a.status, 401);
    http_client_free(c);
}

/* From where it stands; an answer that does not wait for it is an answer. */
static void test_file(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct http_client *c = http_client_new();
    struct http_answer a;
    FILE *f = tmpfile();
    assert_non_null(f);
    for (int i = 0; i < 300000; i++)
        fputc(i % 251, f);
    unsigned sum = 0;
    for (int i = 7; i < 300000; i++)
        sum = sum * 31 + (unsigned)i % 251;
    struct http_call call = {.method = "PUT", .url = url(&cx, "/upload"), .body_file = f};
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(fseek(f, 7, SEEK_SET), 0);
        assert_ok(&cx, http_client_call(&cx, c, &call, &a));
        assert_string_equal(buf_cstr(&a.body), arena_printf(cx.arena, "299993 %u", sum));
    }
    call.url = url(&cx, "/early");
    assert_int_equal(fseek(f, 0, SEEK_SET), 0);
    assert_ok(&cx, http_client_call(&cx, c, &call, &a));
    assert_int_equal(a.status, 401);
    fclose(f);
    http_client_free(c);
}

static void test_timeouts(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct http_client *c = http_client_new();
    struct http_answer a;
    struct http_call call = {
        .method = "GET", .url = url(&cx, "/park?topic=t&ms=20000"), .timeout_ms = 50};
    int64_t start = mono_us(&cx);
    assert_err(&cx, ERR_TIMEOUT, http_client_call(&cx, c, &call, &a));
    call.timeout_ms = 0;
    cx.deadline_us = mono_us(&cx) + 50000;
    assert_err(&cx, ERR_TIMEOUT, http_client_call(&cx, c, &call, &a));
    assert_err(&cx, ERR_TIMEOUT, http_client_call(&cx, c, &call, &a));
    assert_in_range(mono_us(&cx) - start, 100000, 15000000);
    cx.deadline_us = 0;
    call.url = url(&cx, "/json"); /* and it works again */
    assert_ok(&cx, http_client_call(&cx, c, &call, &a));
    http_client_free(c);
    http_wake(srv.http, "t");
}

struct canceller {
    struct http_client *client;
    unsigned after_ms;
};

static void *cancel_main(void *arg)
{
    struct canceller *k = arg;
    sleep_ms(k->after_ms);
    http_client_cancel(k->client);
    return NULL;
}

static void test_cancel(void **state UNUSED)
{
    for (unsigned ms = 0; ms < 60; ms += 10) {
        AUTO_CTX struct ctx cx;
        ctx_init(&cx);
        struct canceller k = {http_client_new(), ms};
        struct http_answer a;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, cancel_main, &k), 0);
        int64_t start = mono_us(&cx);
        struct http_call call = {.method = "GET", .url = url(&cx, "/park?topic=c&ms=20000")};
        assert_err(&cx, ERR_UNAVAILABLE, http_client_call(&cx, k.client, &call, &a));
        assert_true(mono_us(&cx) - start < 15000000);
        assert_err(&cx, ERR_UNAVAILABLE, http_client_call(&cx, k.client, &call, &a)); /* for good */
        pthread_join(thread, NULL);
        http_client_free(k.client);
    }
    http_wake(srv.http, "c");
}

struct taker {
    size_t got, fail_at;
};

static struct err *take(struct ctx *cx, void *arg, const char *data UNUSED, size_t size)
{
    struct taker *t = arg;
    t->got += size;
    if (t->fail_at && t->got >= t->fail_at)
        return fail(cx, ERR_CONFLICT, "enough");
    return NULL;
}

static void test_on_data(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct http_client *c = http_client_new();
    struct http_answer a;
    struct taker t = {0};
    char tmp[] = "/tmp/http-client-XXXXXX";
    srv.file_fd = mkstemp(tmp);
    unlink(tmp);
    assert_int_equal(ftruncate(srv.file_fd, 50000000), 0);
    struct http_call call = {
        .method = "GET", .url = url(&cx, "/file?len=50000000"), .on_data = take, .arg = &t};
    assert_ok(&cx, http_client_call(&cx, c, &call, &a));
    assert_int_equal(t.got, 50000000);
    assert_int_equal(a.body.len, 0);
    t = (struct taker){.fail_at = 1000000};
    assert_err(&cx, ERR_CONFLICT, http_client_call(&cx, c, &call, &a));
    assert_true(t.got < 2000000);
    call.on_data = NULL; /* 16 MiB are the bound of what is kept */
    assert_err(&cx, ERR_BAD_GATEWAY, http_client_call(&cx, c, &call, &a));
    t = (struct taker){0};
    call =
        (struct http_call){.method = "GET", .url = url(&cx, "/silent"), .on_data = take, .arg = &t};
    assert_ok(&cx, http_client_call(&cx, c, &call, &a)); /* an error's body is not data */
    assert_int_equal(a.status, 500);
    assert_int_equal(t.got, 0);
    assert_non_null(strstr(buf_cstr(&a.body), "not answered"));
    http_client_free(c);
    close_fd_p(&srv.file_fd);
}

/* The kept connection is dead, the server there again: the call goes through, without a request
 * twice. */
static void test_server_restarted(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct http_client *c = http_client_new();
    struct http_answer a;
    struct test_server t;
    test_server_start(&t, NULL);
    struct http_call call = {.method = "POST",
                             .body = "{}",
                             .body_size = 2,
                             .url = arena_printf(cx.arena, "%s/worker", t.url)};
    for (int i = 0; i < 5; i++) {
        assert_ok(&cx, http_client_call(&cx, c, &call, &a));
        assert_int_equal(t.handled, 1);
        uint16_t port = t.port;
        test_server_stop(&t, 100);
        test_server_start(&t, &(struct http_config){.port = port});
    }
    test_server_stop(&t, 100);
    http_client_free(c);
}

/* Answers each connection with one fixed text, then closes. */
struct liar {
    int fd;
    const char *text;
};

static void *liar_main(void *arg)
{
    struct liar *l = arg;
    AUTO_FD int fd = accept(l->fd, NULL, NULL);
    char in[4096];
    if (recv(fd, in, sizeof(in), 0) > 0)
        raw_text(fd, l->text);
    return NULL;
}

static struct err *call_liar(struct ctx *cx, const char *text, struct http_answer *a)
{
    struct liar l = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), text};
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    assert_int_equal(bind(l.fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(l.fd, 1), 0);
    assert_int_equal(getsockname(l.fd, (struct sockaddr *)&sa, &len), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, liar_main, &l), 0);
    struct http_client *c = http_client_new();
    struct http_call call = {
        .method = "GET",
        .timeout_ms = 5000,
        .url = arena_printf(cx->arena, "http://127.0.0.1:%u/", ntohs(sa.sin_port))};
    struct err *e = http_client_call(cx, c, &call, a);
    pthread_join(thread, NULL);
    http_client_free(c);
    close(l.fd);
    return e;
}

static void test_misbehaving(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct http_answer a;
    assert_err(&cx, ERR_UNAVAILABLE, call_liar(&cx, "", &a));
    assert_err(&cx, ERR_UNAVAILABLE,
               call_liar(&cx, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", &a));
    assert_err(&cx, ERR_UNAVAILABLE, call_liar(&cx, "SSH-2.0-x\r\n", &a));
    assert_ok(&cx,
              call_liar(&cx,
                        "HTTP/1.1 100 Continue\r\nX: 1\r\n\r\nHTTP/1.1 204 None\r\nX-A:b\r\n\r\n",
                        &a));
    assert_int_equal(a.status, 204);
    assert_null(answer_header(&a, "x"));
    assert_string_equal(answer_header(&a, "x-a"), "b");
    assert_ok(
        &cx,
        call_liar(&cx,
                  "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
                  &a));
    assert_int_equal(a.status, 302);
    struct http_client *c = http_client_new();
    assert_err(&cx, ERR_UNAVAILABLE,
               http_client_call(
                   &cx, c, &(struct http_call){.method = "GET", .url = "http://127.0.0.1:1/"}, &a));
    assert_err(&cx, ERR_INVALID,
               http_client_call(
                   &cx, c, &(struct http_call){.method = "GET", .url = "file:///etc/passwd"}, &a));
    http_client_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call),        cmocka_unit_test(test_file),
        cmocka_unit_test(test_timeouts),    cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_on_data),     cmocka_unit_test(test_server_restarted),
        cmocka_unit_test(test_misbehaving),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
