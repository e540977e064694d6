/* SPDX-License-Identifier: EUPL-1.2 */
/* Screens and serial lines: who gets a URL, and what comes through the websocket behind it. The
 * agent is played: what it is sent comes back. */
#include "compute/test_fakes.h"
#include "http/test_server.h"
#include "http/websocket.h"
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#define V "/compute/v2.1"
static struct compute_world w;
static struct http_server *agent;
static _Atomic int asked;
static char asked_path[128];

static void echo(void *arg UNUSED, int fd, const char *early UNUSED, size_t n_early UNUSED)
{
    char piece[256];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n;
    while (poll(&p, 1, 30000) > 0 && (n = recv(fd, piece, sizeof(piece), 0)) > 0)
        send(fd, piece, (size_t)n, MSG_NOSIGNAL);
}

static void handle(void *arg UNUSED, struct http_request *rq, struct http_reply *rp)
{
    static const struct http_takeover takeover = {.run = echo};
    const char *authorization = http_header(rq, "Authorization");
    snprintf(asked_path, sizeof(asked_path), "%s", rq->path);
    asked++;
    if (!str_eq(http_header(rq, "Upgrade"), "colvert-stream") || !authorization) {
        test_refuse(NULL, rq, rp, 400, "no");
        return;
    }
    rp->status = 101;
    rp->takeover = &takeover;
    http_reply_header(rp, rq->cx, "Upgrade", "colvert-stream");
}

/* The host of the world is where the played agent listens. */
static void move_agent(void)
{
    AUTO_TXN struct tx *tx = NULL;
    struct ctx *cx = &w.t.cx;
    json_t *beat = json_own(
        cx,
        json_pack("{s:i,s:i,s:i,s:s}", "vcpus", 4, "memory_mib", 4096, "disk_gib", 100, "agent_url",
                  arena_printf(cx->arena, "http://127.0.0.1:%u", http_server_port(agent))));
    assert_ok(cx, tx_write(cx, w.t.store, &tx));
    assert_ok(cx, fleet_beat(cx, tx, w.host_id[0], beat));
    assert_ok(cx, tx_commit(cx, &tx));
}

static int setup(void **state UNUSED)
{
    const struct http_app app = {
        .begin = test_begin_worker, .handle = handle, .refuse = test_refuse};
    const struct http_config cfg = {.io_threads = 1, .workers = 1};
    world_start(&w, 1, 4096);
    assert_ok(&w.t.cx, http_server_start(&w.t.cx, &cfg, &app, &agent));
    move_agent();
    asked = 0;
    return 0;
}

static int teardown(void **state UNUSED)
{
    world_stop(&w);
    http_server_stop(agent, 100);
    return 0;
}

static const char *console_path(const char *id)
{
    return arena_printf(w.t.cx.arena, V "/servers/%s/remote-consoles", id);
}

static const char *token_of(const char *url)
{
    const char *at = strstr(url, "token%3D");
    at = at ? at + strlen("token%3D") : strstr(url, "token=") + strlen("token=");
    return arena_strdup(w.t.cx.arena, at);
}

/* A websocket with this token; the handshake's answer has been read. */
static int websocket(const char *token)
{
    int64_t port = 0;
    must(str_to_i64(strrchr(w.t.url, ':') + 1, 1, 65535, &port));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char head[2048] = "";
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    const char *text =
        arena_printf(w.t.cx.arena,
                     "GET /console/websocket?token=%s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                     "Sec-WebSocket-Version: 13\r\n\r\n",
                     token);
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
    for (size_t n = 0; !str_ends(head, "\r\n\r\n"); n++)
        assert_int_equal(recv(fd, head + n, 1, 0), 1);
    assert_true(str_starts(head, "HTTP/1.1 101 "));
    return fd;
}

static void a_screen_by_its_url(void **state UNUSED)
{
    struct test_api *t = &w.t;
    const char *id = world_running(&w, "p1");
    t->headers[0] = "X-OpenStack-Nova-API-Version: 2.6";
    struct test_reply r = test_expect(t, 200, "p1", "POST", console_path(id),
                                      "{'remote_console':{'protocol':'vnc','type':'novnc'}}");
    assert_string_equal(test_str(t, &r, "remote_console.protocol"), "vnc");
    const char *url = test_str(t, &r, "remote_console.url");
    assert_non_null(strstr(url, "/console/vnc_lite.html?path=console%2Fwebsocket%3Ftoken%3D"));
    AUTO_FD int fd = websocket(token_of(url));
    const char frame[] = {(char)0x82, (char)0x83, 0, 0, 0, 0, 'R', 'F', 'B'};
    char back[5];
    assert_int_equal(send(fd, frame, sizeof(frame), 0), sizeof(frame));
    for (size_t n = 0; n < sizeof(back); n++)
        assert_int_equal(recv(fd, back + n, 1, 0), 1);
    assert_memory_equal(back, "\x82\x03RFB", 5);
    assert_string_equal(asked_path, arena_printf(t->cx.arena, "/servers/%s/vnc", id));
    /* Nothing that could be used stands in the store. */
    assert_int_equal(
        world_count(&w, arena_printf(t->cx.arena, "SELECT 1 FROM console_tokens WHERE id = '%s'",
                                     token_of(url))),
        0);
    t->headers[0] = NULL;
    r = test_expect(t, 200, "admin", "GET",
                    arena_printf(t->cx.arena, V "/os-console-auth-tokens/%s", token_of(url)), NULL);
    assert_string_equal(test_str(t, &r, "console.instance_uuid"), id);
    test_expect(t, 404, "admin", "GET", V "/os-console-auth-tokens/unknown", NULL);
}

static void the_older_forms(void **state UNUSED)
{
    struct test_api *t = &w.t;
    const char *id = world_running(&w, "p1");
    struct test_reply r = world_act(&w, 200, "p1", id, "{'os-getSerialConsole':{'type':'serial'}}");
    assert_string_equal(test_str(t, &r, "console.type"), "serial");
    assert_true(str_starts(test_str(t, &r, "console.url"), "ws://"));
    r = world_act(&w, 400, "p1", id, "{'os-getSPICEConsole':{'type':'spice-html5'}}");
    assert_non_null(strstr(r.text, "Unavailable console type spice-html5."));
    world_act(&w, 400, "p1", id, "{'os-getVNCConsole':{}}");
    world_act(&w, 404, "p2", id, "{'os-getVNCConsole':{'type':'novnc'}}");
    world_act(&w, 403, "p1:reader", id, "{'os-getVNCConsole':{'type':'novnc'}}");
    t->headers[0] = "X-OpenStack-Nova-API-Version: 2.6";
    world_act(&w, 404, "p1", id, "{'os-getVNCConsole':{'type':'novnc'}}");
    test_expect(t, 400, "p1", "POST", console_path(id), "{'remote_console':{'type':'novnc'}}");
    t->headers[0] = NULL;
    test_expect(t, 404, "p1", "POST", console_path(id),
                "{'remote_console':{'protocol':'vnc','type':'novnc'}}");
    world_act(&w, 409, "p1", world_server(&w, "p1"), "{'os-getVNCConsole':{'type':'novnc'}}");
}

/* Unknown, and too old: closed at once, and no host is asked. */
static void bad_tokens(void **state UNUSED)
{
    struct test_api *t = &w.t;
    size_t changed;
    char rest[4];
    AUTO_FD int fd = websocket("unknown");
    assert_int_equal(recv(fd, rest, sizeof(rest), MSG_WAITALL), 2);
    assert_memory_equal(rest, "\x88\0", 2);
    const char *id = world_running(&w, "p1");
    struct test_reply r = world_act(&w, 200, "p1", id, "{'os-getVNCConsole':{'type':'novnc'}}");
    const char *token = token_of(test_str(t, &r, "console.url"));
    test_api_later(t, 601);
    AUTO_FD int late = websocket(token);
    assert_int_equal(recv(late, rest, sizeof(rest), MSG_WAITALL), 2);
    assert_memory_equal(rest, "\x88\0", 2);
    assert_int_equal(asked, 0);
    assert_ok(&t->cx, compute_sweep(&t->cx, t->store, &changed));
    assert_int_equal(world_count(&w, "SELECT 1 FROM console_tokens"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_screen_by_its_url, setup, teardown),
        cmocka_unit_test_setup_teardown(the_older_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_tokens, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
