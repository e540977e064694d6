/* SPDX-License-Identifier: EUPL-1.2 */
/* Lanes, parking, stopping: who waits for whom, and that nobody is lost. */
#include "http/test_server.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

static char reply[65536];

static int ask(uint16_t port, const char *target)
{
    int fd = raw_connect(port);
    char text[256];
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", target);
    raw_text(fd, text);
    return fd;
}

static int answer(int fd)
{
    int status = raw_reply(fd, reply, sizeof(reply));
    close(fd);
    return status;
}

static struct http_stats stats(struct test_server *t)
{
    struct http_stats st;
    http_server_stats(t->http, &st);
    return st;
}

static int64_t now_ms(void)
{
    return clock_system()->mono_us(clock_system()) / 1000;
}

static void test_slow_lane_blocks_nobody(void **state UNUSED)
{
    struct test_server t;
    test_server_start(&t, &(struct http_config){.workers = 2, .slow_workers = 1});
    int slow[3];
    for (int i = 0; i < 3; i++)
        slow[i] = ask(t.port, "/slow?hold=1");
    wait_until(stats(&t).running == 1 && stats(&t).queued == 2);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(raw_get(t.port, "/inline", reply, sizeof(reply)), 200);
        assert_int_equal(raw_get(t.port, "/worker", reply, sizeof(reply)), 200);
    }
    assert_int_equal(stats(&t).queued, 2); /* 40 answers came before three slow ones */
    atomic_store(&t.let_go, true);
    for (int i = 0; i < 3; i++)
        assert_int_equal(answer(slow[i]), 200);
    test_server_stop(&t, 1000);
}

static void test_queue_full(void **state UNUSED)
{
    struct test_server t;
    test_server_start(&t, &(struct http_config){.workers = 1, .queue_max = 2});
    int fds[3];
    fds[0] = ask(t.port, "/worker?hold=1");
    wait_until(stats(&t).running == 1);
    fds[1] = ask(t.port, "/worker");
    fds[2] = ask(t.port, "/worker");
    wait_until(stats(&t).queued == 2);
    assert_int_equal(answer(ask(t.port, "/worker")), 503);
    assert_non_null(strstr(reply, "\r\nRetry-After: 1\r\n"));
    assert_non_null(strstr(raw_body(reply), "busy"));
    /* an upload that finds no place is aborted, not handled */
    int fd = raw_connect(t.port);
    raw_text(fd, "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    assert_int_equal(answer(fd), 503);
    assert_int_equal(t.aborted, 1);
    assert_int_equal(answer(ask(t.port, "/slow")), 200); /* its own queue */
    atomic_store(&t.let_go, true);
    for (int i = 0; i < 3; i++)
        assert_int_equal(answer(fds[i]), 200);
    assert_int_equal(stats(&t).refused, 2);
    test_server_stop(&t, 1000);
}

struct client {
    pthread_t thread;
    struct test_server *t;
    int id, bad;
};

/* Each thread checks that every answer is its own. */
static void *client_main(void *arg)
{
    static const char *const lanes[] = {"inline", "worker", "slow", "park-worker", "park"};
    struct client *c = arg;
    int fd = raw_connect(c->t->port);
    for (int i = 0; i < 200; i++) {
        char text[512], out[2048], want[256], mark[64];
        const char *lane = lanes[i % 5];
        bool park = str_starts(lane, "park");
        int len = snprintf(mark, sizeof(mark), "mark-%d-%d", c->id, i);
        snprintf(text, sizeof(text),
                 "POST /%s?%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", lane,
                 park ? "topic=never&ms=1" : mark, len, mark);
        snprintf(want, sizeof(want), park ? "timeout" : "POST /%s %s %s", lane, mark, mark);
        raw_text(fd, text);
        c->bad += raw_reply(fd, out, sizeof(out)) != 200 || strcmp(raw_body(out), want) != 0;
    }
    close(fd);
    return NULL;
}

static void test_concurrency(void **state UNUSED)
{
    struct test_server t;
    struct client clients[12];
    test_server_start(&t, &(struct http_config){.workers = 3});
    for (int i = 0; i < 12; i++) {
        clients[i] = (struct client){.t = &t, .id = i};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, client_main, &clients[i]), 0);
    }
    int bad = 0;
    for (int i = 0; i < 12; i++) {
        pthread_join(clients[i].thread, NULL);
        bad += clients[i].bad;
    }
    assert_int_equal(bad, 0);
    struct http_stats st = stats(&t);
    assert_int_equal(st.requests, 12 * 200);
    assert_int_equal(st.queued + st.parked + st.running, 0);
    assert_true(st.bytes_in > 12 * 200 * 8 && st.bytes_out > 12 * 200 * 7);
    wait_until(stats(&t).connections == 0);
    test_server_stop(&t, 1000);
}

static void park_and_wake(const char *path)
{
    struct test_server t;
    char target[128];
    int fds[40];
    test_server_start(&t, &(struct http_config){.workers = 1});
    /* more than there are threads */
    for (int i = 0; i < 40; i++) {
        snprintf(target, sizeof(target), "%s?topic=t%d&ms=30000", path, i % 4);
        fds[i] = ask(t.port, target);
    }
    wait_until(stats(&t).parked == 40);
    assert_int_equal(stats(&t).running, 0);
    assert_int_equal(raw_get(t.port, "/worker", reply, sizeof(reply)), 200);
    http_wake(t.http, "another");
    http_wake(t.http, "t1");
    for (int i = 1; i < 40; i += 4) {
        assert_int_equal(answer(fds[i]), 200);
        assert_string_equal(raw_body(reply), "woken");
    }
    assert_int_equal(stats(&t).parked, 30);
    for (int i = 0; i < 40; i += 4) /* gone while parked */
        close(fds[i]);
    http_wake(t.http, "t0");
    http_wake_all(t.http);
    for (int i = 2; i < 40; i += i % 4 == 2 ? 1 : 3)
        assert_int_equal(answer(fds[i]), 200);
    wait_until(stats(&t).connections == 0);
    test_server_stop(&t, 1000);
}

static void test_park_wake(void **state UNUSED)
{
    park_and_wake("/park");
    park_and_wake("/park-worker");
}

static void test_park_timeout(void **state UNUSED)
{
    struct test_server t;
    test_server_start(&t, NULL);
    static const int ms[] = {80, 20, 60, 40, 1, 100};
    int fds[6];
    char target[64];
    int64_t start = now_ms();
    for (int i = 0; i < 6; i++) {
        snprintf(target, sizeof(target), "/park%s?topic=a&ms=%d", i % 2 ? "-worker" : "", ms[i]);
        fds[i] = ask(t.port, target);
    }
    for (int k = 0; k < 6; k++) { /* in the order of their times */
        static const int order[] = {4, 1, 3, 2, 0, 5};
        assert_int_equal(answer(fds[order[k]]), 200);
        assert_string_equal(raw_body(reply), "timeout");
        assert_true(now_ms() - start >= ms[order[k]]);
    }
    test_server_stop(&t, 1000);
}

/* The state changes and the topic is woken between the handler's look and the parking. */
static void test_no_lost_wake(void **state UNUSED)
{
    struct test_server t;
    test_server_start(&t, &(struct http_config){.workers = 2});
    for (int i = 0; i < 60; i++) {
        atomic_store(&t.flag, false);
        int before = t.handled;
        int fd = ask(t.port, i % 2 ? "/park?topic=x&ms=20000&gap=3"
                                   : "/park-worker?topic=x&ms=20000&gap=3");
        wait_until(t.handled == before + 1);
        if (i % 3 == 0)
            sleep_ms(1);
        atomic_store(&t.flag, true);
        if (i % 4 < 2)
            http_wake(t.http, "x");
        else
            http_wake_all(t.http);
        int64_t start = now_ms();
        assert_int_equal(answer(fd), 200);
        assert_string_equal(raw_body(reply), "flag");
        assert_true(now_ms() - start < 5000);
    }
    test_server_stop(&t, 1000);
}

struct waker {
    struct test_server *t;
    _Atomic bool stop;
};

static void *waker_main(void *arg)
{
    struct waker *w = arg;
    while (!atomic_load(&w->stop)) {
        http_wake(w->t->http, "race");
        sched_yield();
    }
    return NULL;
}

/* Wakes from another thread against parking, timeouts and clients that leave. */
static void test_wake_race(void **state UNUSED)
{
    struct test_server t;
    test_server_start(&t, &(struct http_config){.workers = 2});
    struct waker w = {.t = &t};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, waker_main, &w), 0);
    for (int i = 0; i < 300; i++) {
        int fd = ask(t.port, i % 2 ? "/park?topic=race&ms=2" : "/park-worker?topic=race&ms=1");
        if (i % 5 == 0)
            close(fd);
        else
            assert_int_equal(answer(fd), 200);
    }
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    test_server_stop(&t, 1000);
}

static void test_stop_while_parked(void **state UNUSED)
{
    struct test_server t;
    int fds[10];
    test_server_start(&t, &(struct http_config){.workers = 1});
    for (int i = 0; i < 10; i++)
        fds[i] = ask(t.port, i % 2 ? "/park?topic=x&ms=60000" : "/park-worker?topic=x&ms=60000");
    int idle = ask(t.port, "/inline");
    assert_int_equal(raw_reply(idle, reply, sizeof(reply)), 200);
    wait_until(stats(&t).parked == 10);
    int64_t start = now_ms();
    test_server_stop(&t, 5000);
    assert_true(now_ms() - start < 2000);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(answer(fds[i]), 200);
        assert_string_equal(raw_body(reply), "timeout");
        assert_non_null(strstr(reply, "\r\nConnection: close\r\n"));
    }
    assert_true(raw_closed(idle));
    close(idle);
}

struct let_go {
    pthread_t thread;
    struct test_server *t;
    unsigned after_ms; /* since newcomers are refused, which a stop begins with */
};

static void *let_go_main(void *arg)
{
    struct let_go *l = arg;
    while (raw_listens(l->t->port))
        sleep_ms(1);
    sleep_ms(l->after_ms);
    atomic_store(&l->t->let_go, true);
    return NULL;
}

static void stop_and_let_go(struct test_server *t, unsigned drain_ms, unsigned after_ms)
{
    struct let_go l = {.t = t, .after_ms = after_ms};
    assert_int_equal(pthread_create(&l.thread, NULL, let_go_main, &l), 0);
    test_server_stop(t, drain_ms);
    pthread_join(l.thread, NULL);
}

static void test_stop_while_busy(void **state UNUSED)
{
    struct test_server t;
    test_server_start(&t, &(struct http_config){.workers = 1});
    int running = ask(t.port, "/worker?hold=1");
    wait_until(stats(&t).running == 1);
    int queued = ask(t.port, "/worker");
    wait_until(stats(&t).queued == 1);
    int upload = raw_connect(t.port);
    raw_text(upload, "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    wait_until(t.sink_bytes == 3);
    /* shorter than the work: what runs is finished, what waits is refused */
    stop_and_let_go(&t, 1, 500);
    assert_int_equal(answer(running), 200);
    assert_int_equal(answer(queued), 503);
    assert_int_equal(t.aborted, 1);
    assert_true(raw_closed(upload));
    close(upload);
    /* a drain that is long enough lets both be answered */
    test_server_start(&t, &(struct http_config){.workers = 1});
    running = ask(t.port, "/worker?hold=1");
    wait_until(stats(&t).running == 1);
    queued = ask(t.port, "/worker");
    wait_until(stats(&t).queued == 1);
    stop_and_let_go(&t, 5000, 0);
    assert_int_equal(answer(running), 200);
    assert_int_equal(answer(queued), 200);
}

/* libmicrohttpd's calls come here: the moment between its look at a socket and its removal is made
 * long enough for another thread to come in between. */
int epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
    if (what == EPOLL_CTL_DEL)
        sleep_ms(1);
    return (int)syscall(SYS_epoll_ctl, epoll, what, fd, event);
}

static void test_stop_while_clients_leave(void **state UNUSED)
{
    for (int i = 0; i < 40; i++) {
        struct test_server t;
        test_server_start(&t, &(struct http_config){.io_threads = 4, .workers = 1});
        int fds[8];
        for (size_t k = 0; k < ARRAY_LEN(fds); k++) {
            fds[k] = ask(t.port, "/inline");
            assert_int_equal(raw_reply(fds[k], reply, sizeof(reply)), 200);
        }
        for (size_t k = 0; k < ARRAY_LEN(fds); k++)
            close(fds[k]);
        test_server_stop(&t, 1000);
    }
}

/* Who is one too many waits until another has gone. */
static void test_connections_max(void **state UNUSED)
{
    struct test_server t;
    test_server_start(&t, &(struct http_config){.connections_max = 2});
    for (int i = 0; i < 20; i++) {
        int first = ask(t.port, "/inline"), second = ask(t.port, "/inline");
        assert_int_equal(raw_reply(first, reply, sizeof(reply)), 200);
        assert_int_equal(raw_reply(second, reply, sizeof(reply)), 200);
        int third = ask(t.port, "/inline");
        struct pollfd answered = {.fd = third, .events = POLLIN};
        assert_int_equal(poll(&answered, 1, 5), 0);
        assert_int_equal(stats(&t).connections, 2);
        close(first);
        assert_int_equal(answer(third), 200);
        close(second);
    }
    test_server_stop(&t, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_lane_blocks_nobody),
        cmocka_unit_test(test_queue_full),
        cmocka_unit_test(test_concurrency),
        cmocka_unit_test(test_park_wake),
        cmocka_unit_test(test_park_timeout),
        cmocka_unit_test(test_no_lost_wake),
        cmocka_unit_test(test_wake_race),
        cmocka_unit_test(test_stop_while_parked),
        cmocka_unit_test(test_stop_while_busy),
        cmocka_unit_test(test_stop_while_clients_leave),
        cmocka_unit_test(test_connections_max),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
