/* SPDX-License-Identifier: EUPL-1.2 */
/* Connections that leave HTTP: websockets, plain streams, their bounds and their end. */
#include "http/test_server.h"
#include "http/websocket.h"
#include <poll.h>
#include <sys/socket.h>

static struct http_server *http;
static uint16_t port;
static int ends[2] = {-1, -1}; /* ends[0]: the server's stream; ends[1]: the test's */
static _Atomic int running, begun;
static char text[1 << 18];

static void run_ws(void *arg UNUSED, int fd, const char *early, size_t n_early)
{
    running++;
    begun++;
    websocket_relay(fd, early, n_early, ends[0], "hello", 5, 5000);
    running--;
}

static void run_stream(void *arg UNUSED, int fd, const char *early, size_t n_early)
{
    running++;
    begun++;
    stream_relay(fd, early, n_early, ends[0], 5000);
    running--;
}

static void handle(void *arg UNUSED, struct http_request *rq, struct http_reply *rp)
{
    static const struct http_takeover ws = {.run = run_ws}, plain = {.run = run_stream};
    if (str_eq(rq->path, "/plain")) {
        rp->status = 101;
        rp->takeover = &plain;
        http_reply_header(rp, rq->cx, "Upgrade", "raw");
        return;
    }
    struct err *e = websocket_accept(rq, rp, &ws);
    if (e)
        test_refuse(NULL, rq, rp, err_http_status(e->kind), e->message);
}

static int setup(void **state UNUSED)
{
    struct ctx cx;
    ctx_init(&cx);
    const struct http_app app = {
        .begin = test_begin_worker, .handle = handle, .refuse = test_refuse};
    const struct http_config cfg = {.io_threads = 2, .workers = 2, .takeovers_max = 2};
    assert_null(http_server_start(&cx, &cfg, &app, &http));
    port = http_server_port(http);
    ctx_release(&cx);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    begun = 0;
    return 0;
}

static int teardown(void **state UNUSED)
{
    http_server_stop(http, 100);
    assert_int_equal(running, 0);
    close_fd_p(&ends[0]);
    close_fd_p(&ends[1]);
    return 0;
}

#define HANDSHAKE                                                                                  \
    "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                 \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"                 \
    "Sec-WebSocket-Protocol: base64, binary\r\n"

/* Reads exactly that many bytes. */
static void read_all(int fd, char *to, size_t n)
{
    for (size_t got = 0; got < n;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 30000), 1);
        ssize_t k = recv(fd, to + got, n - got, 0);
        assert_true(k > 0);
        got += (size_t)k;
    }
}

/* One unmasked frame of up to 64 KiB: its first byte; the payload in to. */
static int frame(int fd, char *to, size_t *ret_n)
{
    unsigned char head[4];
    read_all(fd, (char *)head, 2);
    assert_false(head[1] & 0x80);
    *ret_n = head[1];
    if (head[1] == 126) {
        read_all(fd, (char *)head + 2, 2);
        *ret_n = (size_t)(head[2] << 8 | head[3]);
    }
    assert_true(head[1] < 127);
    read_all(fd, to, *ret_n);
    return head[0];
}

/* A masked frame with a short payload. */
static void send_frame(int fd, int opcode, const char *data)
{
    size_t n = strlen(data);
    char out[160] = {(char)(0x80 | opcode), (char)(0x80 | n), 1, 2, 3, 4};
    for (size_t i = 0; i < n; i++)
        out[6 + i] = (char)(data[i] ^ (char)(i % 4 + 1));
    raw_send(fd, out, 6 + n);
}

static int handshake(const char *more)
{
    int fd = raw_connect(port);
    size_t n;
    char head[1024];
    raw_text(fd, HANDSHAKE);
    raw_text(fd, more);
    /* byte by byte: what follows is frames */
    for (n = 0; n < sizeof(head) - 1; n++) {
        read_all(fd, head + n, 1);
        head[n + 1] = 0;
        if (str_ends(head, "\r\n\r\n"))
            break;
    }
    if (!str_starts(head, "HTTP/1.1 101 Switching Protocols\r\n"))
        fail_msg("%s", head);
    assert_non_null(strstr(head, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_non_null(strstr(head, "\r\nSec-WebSocket-Protocol: binary\r\n"));
    assert_non_null(strcasestr(head, "\r\nUpgrade: websocket\r\n"));
    assert_non_null(strcasestr(head, "\r\nConnection: Upgrade\r\n"));
    size_t got;
    assert_int_equal(frame(fd, text, &got), 0x82);
    assert_int_equal(got, 5);
    assert_memory_equal(text, "hello", 5);
    return fd;
}

static void bytes_go_both_ways(void **state UNUSED)
{
    AUTO_FD int fd = handshake("\r\n");
    size_t n;
    send_frame(fd, 2, "abc");
    send_frame(fd, 1, "def"); /* text is bytes too */
    read_all(ends[1], text, 6);
    assert_memory_equal(text, "abcdef", 6);
    raw_text(ends[1], "xyz");
    assert_int_equal(frame(fd, text, &n), 0x82);
    assert_int_equal(n, 3);
    send_frame(fd, 9, "ping");
    assert_int_equal(frame(fd, text, &n), 0x8a);
    assert_int_equal(n, 4);
    /* the stream ends: a close without a reason */
    shutdown(ends[1], SHUT_RDWR);
    assert_int_equal(frame(fd, text, &n), 0x88);
    assert_int_equal(n, 0);
    assert_true(raw_closed(fd));
    wait_until(running == 0);
}

static void a_flood_waits_for_its_reader(void **state UNUSED)
{
    AUTO_FD int fd = handshake("\r\n");
    static char piece[8192];
    size_t sent = 0, got = 0, n;
    for (size_t i = 0; i < sizeof(piece); i++)
        piece[i] = (char)i;
    /* nobody reads: the sender is held up, nothing grows without end */
    for (ssize_t k; (k = send(ends[1], piece, sizeof(piece), MSG_DONTWAIT)) > 0 ||
                    (sleep_ms(20), (k = send(ends[1], piece, sizeof(piece), MSG_DONTWAIT)) > 0);)
        sent += (size_t)k;
    assert_true(sent > 0 && sent < (size_t)16 << 20);
    while (got < sent) {
        assert_int_equal(frame(fd, text, &n), 0x82);
        for (size_t i = 0; i < n; i++)
            assert_int_equal((unsigned char)text[i], (unsigned char)(got + i));
        got += n;
    }
    assert_int_equal(got, sent);
}

static void the_client_goes_away(void **state UNUSED)
{
    int fd = handshake("\r\n");
    close(fd);
    wait_until(running == 0);
    /* an unmasked frame is a client's fault */
    AUTO_FD int bad = handshake("\r\n");
    raw_send(bad, "\x82\x01x", 3);
    wait_until(running == 0);
}

static void bad_handshakes(void **state UNUSED)
{
    static const struct {
        const char *text;
        int status;
    } t[] = {
        {"GET /ws HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Key: c2hvcnQ=\r\nSec-WebSocket-Version: 13\r\n\r\n",
         400},
        {"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n",
         400},
        {HANDSHAKE "Origin: http://elsewhere\r\n\r\n", 403},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        AUTO_FD int fd = raw_connect(port);
        raw_text(fd, t[i].text);
        assert_int_equal(raw_reply(fd, text, sizeof(text)), t[i].status);
    }
    AUTO_FD UNUSED int same = handshake("Origin: http://h\r\n\r\n");
    assert_int_equal(begun, 1);
}

static void there_are_only_so_many(void **state UNUSED)
{
    int a = handshake("\r\n"), b = handshake("\r\n");
    AUTO_FD int c = raw_connect(port);
    raw_text(c, HANDSHAKE "\r\n");
    assert_int_equal(raw_reply(c, text, sizeof(text)), 503);
    close(a);
    close(b);
    wait_until(running == 0);
    wait_until(({
        AUTO_FD int again = raw_connect(port);
        raw_text(again, HANDSHAKE "\r\n");
        raw_until(again, text, sizeof(text), "\r\n\r\n") && str_starts(text, "HTTP/1.1 101");
    }));
}

/* What it said before it went is told, and then its end. */
static void last_words(void **state UNUSED)
{
    size_t n;
    close_fd_p(&ends[1]);
    AUTO_FD int fd = handshake("\r\n"); /* "hello" came */
    assert_int_equal(frame(fd, text, &n), 0x88);
}

/* Streams, through the client that asks for them. */
static void plain_streams(void **state UNUSED)
{
    struct ctx cx;
    struct buf early;
    AUTO_FD int fd = -1;
    ctx_init(&cx);
    buf_init(&early, cx.arena);
    const char *url = arena_printf(cx.arena, "http://127.0.0.1:%u/plain", port);
    struct http_call call = {.url = url, .timeout_ms = 5000};
    assert_null(http_client_upgrade(&cx, &call, "raw", &fd, &early));
    raw_text(fd, "to the stream");
    read_all(ends[1], text, 13);
    assert_memory_equal(text, "to the stream", 13);
    raw_text(ends[1], "and back");
    read_all(fd, text, 8);
    assert_memory_equal(text, "and back", 8);
    close_fd_p(&fd);
    wait_until(running == 0);
    url = arena_printf(cx.arena, "http://127.0.0.1:%u/ws", port);
    call.url = url;
    struct err *e = http_client_upgrade(&cx, &call, "raw", &fd, &early);
    assert_non_null(e);
    assert_int_equal(e->kind, ERR_BAD_GATEWAY);
    call.url = "http://127.0.0.1:1/x";
    e = http_client_upgrade(&cx, &call, "raw", &fd, &early);
    assert_non_null(e);
    assert_int_equal(e->kind, ERR_UNAVAILABLE);
    ctx_release(&cx);
}

/* teardown stops the server under it */
static void stopping_ends_them(void **state UNUSED)
{
    handshake("\r\n");
    wait_until(running == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_go_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flood_waits_for_its_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(the_client_goes_away, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_handshakes, setup, teardown),
        cmocka_unit_test_setup_teardown(there_are_only_so_many, setup, teardown),
        cmocka_unit_test_setup_teardown(last_words, setup, teardown),
        cmocka_unit_test_setup_teardown(plain_streams, setup, teardown),
        cmocka_unit_test_setup_teardown(stopping_ends_them, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
