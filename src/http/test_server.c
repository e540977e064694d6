/* SPDX-License-Identifier: EUPL-1.2 */
/* See test_server.h. */
#include "http/test_server.h"
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

static int64_t arg_int(const struct http_request *rq, const char *name, int64_t otherwise)
{
    int64_t v = otherwise;
    str_to_i64(http_arg(rq, name), 0, INT64_MAX, &v);
    return v;
}

struct upload {
    struct http_sink sink;
    struct test_server *t;
    int64_t got, fail_at;
    uint32_t sum;
};

static struct err *upload_write(struct http_sink *sink, struct ctx *cx, const char *data,
                                size_t size)
{
    struct upload *u = (struct upload *)(void *)sink;
    for (size_t i = 0; i < size; i++)
        u->sum = u->sum * 31 + (unsigned char)data[i];
    u->got += (int64_t)size;
    atomic_fetch_add(&u->t->sink_bytes, (int)size);
    if (u->fail_at && u->got >= u->fail_at)
        return fail(cx, ERR_MEDIA_TYPE, "bad upload");
    return NULL;
}

static void upload_abort(struct http_sink *sink)
{
    struct upload *u = (struct upload *)(void *)sink;
    atomic_fetch_add(&u->t->aborted, 1);
}

enum http_lane test_begin_worker(void *arg UNUSED, struct http_request *rq UNUSED,
                                 struct http_reply *rp UNUSED, struct http_sink **ret_sink UNUSED)
{
    return LANE_WORKER;
}

void test_refuse(void *arg UNUSED, struct http_request *rq UNUSED, struct http_reply *rp,
                 int status, const char *message)
{
    rp->status = status;
    buf_str(&rp->body, message);
}

static enum http_lane app_begin(void *arg, struct http_request *rq, struct http_reply *rp,
                                struct http_sink **ret_sink)
{
    struct test_server *t = arg;
    if (str_eq(rq->path, "/early")) {
        rp->status = 401;
        buf_str(&rp->body, "{\"error\":\"early\"}");
    } else if (str_starts(rq->path, "/upload")) {
        struct upload *u = arena_new_of(rq->cx->arena, struct upload);
        *u = (struct upload){
            .sink = {upload_write, upload_abort}, .t = t, .fail_at = arg_int(rq, "fail", 0)};
        rq->app = u;
        *ret_sink = &u->sink;
        return LANE_WORKER;
    }
    if (str_eq(rq->path, "/slow"))
        return LANE_SLOW;
    return str_ends(rq->path, "worker") ? LANE_WORKER : LANE_INLINE;
}

static void handle_park(struct test_server *t, struct http_request *rq, struct http_reply *rp)
{
    if (atomic_load(&t->flag) || rq->wakeups) {
        rp->status = 200;
        buf_str(&rp->body, atomic_load(&t->flag) ? "flag" : rq->timed_out ? "timeout" : "woken");
        return;
    }
    if (arg_int(rq, "gap", 0)) /* room for a wake between the look and the parking */
        sleep_ms((unsigned)arg_int(rq, "gap", 0));
    rp->park_topic = http_arg(rq, "topic");
    rp->park_until_us = mono_us(rq->cx) + arg_int(rq, "ms", 5000) * 1000;
}

static void handle_file(struct test_server *t, struct http_request *rq, struct http_reply *rp)
{
    rp->status = 200;
    rp->content_type = "application/octet-stream";
    rp->file_fd = dup(t->file_fd);
    rp->file_offset = arg_int(rq, "off", 0);
    rp->file_size = arg_int(rq, "len", 0);
}

static void handle_header(struct http_request *rq, struct http_reply *rp)
{
    const char *v = http_header(rq, "x-echo");
    rp->status = 200;
    http_reply_header(rp, rq->cx, "X-Echo", v ? v : "");
    http_reply_header(rp, rq->cx, "X-Evil", "a\r\nX-Injected: 1");
    buf_printf(&rp->body, "%s %s %s", v ? v : "-", rq->base_url, rq->remote_addr);
    if (rq->global_request_id)
        buf_printf(&rp->body, " %s", rq->global_request_id);
}

static void app_handle(void *arg, struct http_request *rq, struct http_reply *rp)
{
    struct test_server *t = arg;
    atomic_fetch_add(&t->handled, 1);
    while (arg_int(rq, "hold", 0) && !atomic_load(&t->let_go))
        sleep_ms(1);
    if (str_eq(rq->path, "/silent"))
        return;
    if (str_starts(rq->path, "/park")) {
        handle_park(t, rq, rp);
        return;
    }
    if (str_eq(rq->path, "/file")) {
        handle_file(t, rq, rp);
        return;
    }
    if (str_eq(rq->path, "/header")) {
        handle_header(rq, rp);
        return;
    }
    rp->status = 200;
    if (str_eq(rq->path, "/json")) {
        buf_str(&rp->body, "{\"a\":1}");
        return;
    }
    rp->content_type = "text/plain";
    if (str_eq(rq->path, "/upload")) {
        struct upload *u = rq->app;
        must(rq->body == NULL);
        buf_printf(&rp->body, "%" PRId64 " %u", u->got, u->sum);
        return;
    }
    if (str_eq(rq->path, "/slow"))
        atomic_store(&t->slow_nice, getpriority(PRIO_PROCESS, (id_t)gettid()));
    buf_printf(&rp->body, "%s %s %s ", rq->method, rq->path, rq->query);
    buf_add(&rp->body, rq->body, rq->body_size);
}

static void app_refuse(void *arg, struct http_request *rq UNUSED, struct http_reply *rp, int status,
                       const char *message)
{
    struct test_server *t = arg;
    atomic_fetch_add(&t->refused, 1);
    struct jw w;
    jw_init(&w, &rp->body);
    jw_obj(&w);
    jw_kint(&w, "code", status);
    jw_kstr(&w, "message", message);
    jw_obj_end(&w);
}

void test_server_start(struct test_server *t, const struct http_config *cfg)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    *t = (struct test_server){.file_fd = -1};
    signal(SIGPIPE, SIG_IGN); /* of dprintf in tests; the server must not need it */
    struct http_config c = cfg ? *cfg : (struct http_config){0};
    struct http_app app = {t, app_begin, app_handle, app_refuse};
    assert_ok(&cx, http_server_start(&cx, &c, &app, &t->http));
    t->port = http_server_port(t->http);
    snprintf(t->url, sizeof(t->url), "http%s://127.0.0.1:%u", c.tls_cert_file ? "s" : "", t->port);
}

void test_server_stop(struct test_server *t, unsigned drain_ms)
{
    http_server_stop(t->http, drain_ms);
    close_fd_p(&t->file_fd);
}

static int try_connect(uint16_t port)
{
    AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 ? TAKE_FD(fd) : -1;
}

int raw_connect(uint16_t port)
{
    int fd = try_connect(port);
    assert_true(fd >= 0);
    return fd;
}

bool raw_listens(uint16_t port)
{
    AUTO_FD int fd = try_connect(port);
    return fd >= 0;
}

void raw_send(int fd, const void *data, size_t size)
{
    for (const char *p = data; size;) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the test looks at the answer */
        p += n;
        size -= (size_t)n;
    }
}

void raw_text(int fd, const char *text)
{
    raw_send(fd, text, strlen(text));
}

static ssize_t recv_some(int fd, char *out, size_t cap)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 30000) == 1 ? recv(fd, out, cap, 0) : -1;
}

bool raw_until(int fd, char *out, size_t cap, const char *pattern)
{
    size_t len = 0;
    out[0] = 0;
    while (!strstr(out, pattern)) {
        ssize_t n = len + 1 < cap ? recv_some(fd, out + len, 1) : -1;
        if (n <= 0)
            return false;
        len += (size_t)n;
        out[len] = 0;
    }
    return true;
}

int raw_head(int fd, char *out, size_t cap)
{
    int64_t status = 0;
    if (!raw_until(fd, out, cap, "\r\n\r\n") || strlen(out) < 12)
        return 0;
    char digits[4] = {out[9], out[10], out[11]};
    return str_to_i64(digits, 100, 599, &status) ? (int)status : 0;
}

int raw_reply(int fd, char *out, size_t cap)
{
    int status = raw_head(fd, out, cap);
    const char *at = status ? strcasestr(out, "\r\nContent-Length: ") : NULL;
    size_t want = at ? strtoul(at + 18, NULL, 10) : 0, len = strlen(out);
    while (want && len + 1 < cap) {
        ssize_t n = recv_some(fd, out + len, want < cap - len - 1 ? want : cap - len - 1);
        if (n <= 0)
            return 0;
        len += (size_t)n;
        want -= (size_t)n;
        out[len] = 0;
    }
    return status;
}

bool raw_closed(int fd)
{
    char sink[4096];
    ssize_t n;
    while ((n = recv_some(fd, sink, sizeof(sink))) > 0)
        ;
    return n == 0 || errno == ECONNRESET;
}

const char *raw_body(const char *reply)
{
    const char *at = strstr(reply, "\r\n\r\n");
    return at ? at + 4 : "";
}

int raw_get(uint16_t port, const char *target, char *out, size_t cap)
{
    AUTO_FD int fd = raw_connect(port);
    dprintf(fd, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", target);
    return raw_reply(fd, out, cap);
}

void sleep_ms(unsigned ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&ts, NULL);
}
