/* SPDX-License-Identifier: EUPL-1.2 */
/* The monitor's client against a scripted peer on a socket pair. */
#include "base/test.h"
#include "node/drivers/qemu/monitor.h"
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"

/* Both ends: the client with its reader thread, and the peer's socket that the test itself plays.
 */
struct scene {
    struct qmp *q;
    int peer;
    pthread_t reader;
    atomic_int events;
    char last_event[64];
    char last_reason[64];
};

static void on_event(void *arg, const char *name, const json_t *data)
{
    struct scene *s = arg;
    snprintf(s->last_event, sizeof(s->last_event), "%s", name);
    const char *reason = json_get_str(data, "reason");
    snprintf(s->last_reason, sizeof(s->last_reason), "%s", reason ? reason : "");
    s->events++;
}

static void *read_loop(void *arg)
{
    struct scene *s = arg;
    struct pollfd p = {.fd = qmp_fd(s->q), .events = POLLIN};
    do
        poll(&p, 1, 1000);
    while (qmp_pump(s->q));
    return NULL;
}

static void scene_begin(struct scene *s)
{
    int pair[2];
    memset(s, 0, sizeof(*s));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    s->q = qmp_new(pair[0], on_event, s);
    s->peer = pair[1];
    assert_int_equal(pthread_create(&s->reader, NULL, read_loop, s), 0);
}

static void scene_end(struct scene *s)
{
    close_fd_p(&s->peer);
    pthread_join(s->reader, NULL);
    qmp_unref(s->q);
}

static void say(struct scene *s, const char *text)
{
    assert_int_equal(send(s->peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* One line from the client; with a passed descriptor in *ret_fd. */
static json_t *hear(struct ctx *cx, struct scene *s, int *ret_fd)
{
    char line[4096];
    size_t len = 0;
    for (;;) {
        struct pollfd p = {.fd = s->peer, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 5000), 1);
        struct iovec part = {.iov_base = line + len, .iov_len = 1};
        char control[CMSG_SPACE(sizeof(int))];
        struct msghdr msg = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
        assert_int_equal(recvmsg(s->peer, &msg, MSG_CMSG_CLOEXEC), 1);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        if (c && ret_fd)
            memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
        if (line[len++] == '\n')
            break;
        assert_true(len < sizeof(line));
    }
    json_t *j;
    assert_ok(cx, json_read(cx, line, len, &j));
    return j;
}

static void negotiate(struct ctx *cx, struct scene *s)
{
    say(s, GREETING);
    json_t *j = hear(cx, s, NULL);
    assert_string_equal(json_get_str(j, "execute"), "qmp_capabilities");
    assert_int_equal(json_get_int(j, "id", -1), 0);
    say(s, "{\"return\": {}, \"id\": 0}\r\n");
}

/* A call from a thread of its own. */
struct call {
    struct scene *s;
    const char *command;
    int pass_fd;
    int64_t timeout_ms;
    pthread_t thread;
    enum err_kind kind; /* ERR_KIND_COUNT: succeeded */
    char text[256];     /* the return as text, or the message */
};

static void *call_thread(void *arg)
{
    struct call *c = arg;
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    json_t *ret = NULL, *args = json_own(&cx, json_pack("{s:s}", "a", "b"));
    struct err *e = qmp_call(&cx, c->s->q, c->command, args, c->pass_fd, c->timeout_ms, &ret);
    c->kind = e ? e->kind : ERR_KIND_COUNT;
    snprintf(c->text, sizeof(c->text), "%s", e ? e->message : json_text(&cx, ret));
    return NULL;
}

static void call_begin(struct call *c, struct scene *s, const char *command, int64_t timeout_ms)
{
    *c = (struct call){.s = s, .command = command, .pass_fd = -1, .timeout_ms = timeout_ms};
    assert_int_equal(pthread_create(&c->thread, NULL, call_thread, c), 0);
}

static void answer(struct ctx *cx, struct scene *s, const json_t *question, const char *what)
{
    say(s, arena_printf(cx->arena, "{%s, \"id\": %" PRId64 "}\r\n", what,
                        json_get_int(question, "id", -1)));
}

static void test_call(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct scene s;
    struct call c;
    scene_begin(&s);
    call_begin(&c, &s, "query-status", 5000); /* waits for the negotiation */
    negotiate(&cx, &s);
    json_t *j = hear(&cx, &s, NULL);
    assert_string_equal(json_get_str(j, "execute"), "query-status");
    assert_string_equal(json_get_str(json_get(j, "arguments"), "a"), "b");
    /* An event in between, and the reply in pieces. */
    say(&s, "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": "
            "\"guest-shutdown\"}}\r\n{\"ret");
    usleep(20000);
    say(&s, arena_printf(cx.arena, "urn\": {\"x\": 1}, \"id\": %" PRId64 "}\r",
                         json_get_int(j, "id", -1)));
    say(&s, "\n");
    pthread_join(c.thread, NULL);
    assert_int_equal(c.kind, ERR_KIND_COUNT);
    assert_string_equal(c.text, "{\"x\":1}");
    assert_int_equal(s.events, 1);
    assert_string_equal(s.last_event, "SHUTDOWN");
    assert_string_equal(s.last_reason, "guest-shutdown");
    scene_end(&s);
}

static void test_refusal(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct scene s;
    struct call c;
    scene_begin(&s);
    negotiate(&cx, &s);
    call_begin(&c, &s, "cont", 5000);
    answer(&cx, &s, hear(&cx, &s, NULL),
           "\"error\": {\"class\": \"GenericError\", \"desc\": \"not today\"}");
    pthread_join(c.thread, NULL);
    assert_int_equal(c.kind, ERR_CONFLICT);
    assert_string_equal(c.text, "QEMU refused cont: not today");
    scene_end(&s);
}

static void test_answers_out_of_order(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct scene s;
    struct call a, b;
    scene_begin(&s);
    negotiate(&cx, &s);
    call_begin(&a, &s, "one", 5000);
    json_t *ja = hear(&cx, &s, NULL);
    call_begin(&b, &s, "two", 5000);
    json_t *jb = hear(&cx, &s, NULL);
    answer(&cx, &s, jb, "\"return\": 2");
    answer(&cx, &s, ja, "\"return\": 1");
    pthread_join(a.thread, NULL);
    pthread_join(b.thread, NULL);
    assert_string_equal(a.text, "1");
    assert_string_equal(b.text, "2");
    scene_end(&s);
}

static void test_timeout_and_late_answer(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct scene s;
    struct call c;
    scene_begin(&s);
    negotiate(&cx, &s);
    call_begin(&c, &s, "slow", 50);
    json_t *slow = hear(&cx, &s, NULL);
    pthread_join(c.thread, NULL);
    assert_int_equal(c.kind, ERR_TIMEOUT);
    answer(&cx, &s, slow, "\"return\": \"late\"");
    call_begin(&c, &s, "next", 5000);
    answer(&cx, &s, hear(&cx, &s, NULL), "\"return\": \"mine\"");
    pthread_join(c.thread, NULL);
    assert_string_equal(c.text, "\"mine\"");
    scene_end(&s);
}

static void test_no_greeting(void **state UNUSED)
{
    struct scene s;
    struct call c;
    scene_begin(&s);
    call_begin(&c, &s, "anything", 50);
    pthread_join(c.thread, NULL);
    assert_int_equal(c.kind, ERR_TIMEOUT);
    scene_end(&s);
}

static void test_end_wakes_callers(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct scene s;
    struct call c;
    scene_begin(&s);
    negotiate(&cx, &s);
    call_begin(&c, &s, "quit", 60000);
    hear(&cx, &s, NULL);
    close_fd_p(&s.peer);
    pthread_join(c.thread, NULL);
    assert_int_equal(c.kind, ERR_UNAVAILABLE);
    assert_true(qmp_closed(s.q));
    call_begin(&c, &s, "more", 60000);
    pthread_join(c.thread, NULL);
    assert_int_equal(c.kind, ERR_UNAVAILABLE);
    scene_end(&s);
}

static void test_nonsense_ends_it(void **state UNUSED)
{
    static const char *const nonsense[] = {"hello\r\n", "[1]\r\n", "{\"neither\": 1}\r\n",
                                           "{\"return\": \r\n"};
    for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
        struct scene s;
        scene_begin(&s);
        say(&s, nonsense[i]);
        pthread_join(s.reader, NULL);
        assert_true(qmp_closed(s.q));
        close(s.peer);
        qmp_unref(s.q);
    }
}

/* A line without end is cut off before it takes all memory. */
static void test_endless_line(void **state UNUSED)
{
    struct scene s;
    scene_begin(&s);
    static char block[65536];
    memset(block, 'x', sizeof(block));
    size_t sent = 0;
    while (sent < (size_t)64 << 20) {
        ssize_t n = send(s.peer, block, sizeof(block), MSG_NOSIGNAL);
        if (n < 0)
            break;
        sent += (size_t)n;
    }
    assert_true(sent < (size_t)8 << 20);
    scene_end(&s);
}

static void *drop_thread(void *arg)
{
    AUTO_CTX struct ctx cx;
    struct scene *s = arg;
    ctx_init(&cx);
    bool failed = mon_drop_job(&cx, s->q, "copy") != NULL;
    return failed ? s : NULL;
}

static void answer_next(struct ctx *cx, struct scene *s, const char *command, const char *what)
{
    json_t *j = hear(cx, s, NULL);
    assert_string_equal(json_get_str(j, "execute"), command);
    answer(cx, s, j, what);
}

static void test_job_ends_as_it_is_cancelled(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    struct scene s;
    pthread_t thread;
    void *failed;
    ctx_init(&cx);
    scene_begin(&s);
    negotiate(&cx, &s);
    assert_int_equal(pthread_create(&thread, NULL, drop_thread, &s), 0);
    answer_next(&cx, &s, "query-jobs", "\"return\": [{\"id\": \"copy\", \"status\": \"running\"}]");
    answer_next(
        &cx, &s, "job-cancel",
        "\"error\": {\"class\": \"GenericError\", \"desc\": \"Job 'copy' in state 'concluded' "
        "cannot accept command verb 'cancel'\"}");
    answer_next(&cx, &s, "query-jobs",
                "\"return\": [{\"id\": \"copy\", \"status\": \"concluded\"}]");
    answer_next(&cx, &s, "job-dismiss", "\"return\": {}");
    answer_next(&cx, &s, "query-jobs", "\"return\": []");
    pthread_join(thread, &failed);
    assert_null(failed);
    scene_end(&s);
}

static void test_descriptor_is_passed(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct scene s;
    struct call c;
    int ends[2], got = -1;
    char text[3] = {0};
    scene_begin(&s);
    negotiate(&cx, &s);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    c = (struct call){.s = &s, .command = "getfd", .pass_fd = ends[1], .timeout_ms = 5000};
    assert_int_equal(pthread_create(&c.thread, NULL, call_thread, &c), 0);
    answer(&cx, &s, hear(&cx, &s, &got), "\"return\": {}");
    pthread_join(c.thread, NULL);
    assert_true(got >= 0 && got != ends[1]);
    assert_int_equal(write(got, "hi", 2), 2);
    assert_int_equal(read(ends[0], text, 2), 2);
    assert_string_equal(text, "hi");
    close(got);
    close(ends[0]);
    close(ends[1]);
    scene_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_answers_out_of_order),
        cmocka_unit_test(test_timeout_and_late_answer),
        cmocka_unit_test(test_no_greeting),
        cmocka_unit_test(test_end_wakes_callers),
        cmocka_unit_test(test_nonsense_ends_it),
        cmocka_unit_test(test_endless_line),
        cmocka_unit_test(test_job_ends_as_it_is_cancelled),
        cmocka_unit_test(test_descriptor_is_passed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
