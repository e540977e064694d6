/* SPDX-License-Identifier: EUPL-1.2 */
/* See qmp.h. */
#include "node/drivers/qemu/qmp.h"
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>

/* The longest replies (query-qmp-schema) have a quarter of this. */
#define LINE_MAX_BYTES ((size_t)4 << 20)
#define SEND_TIMEOUT_MS 5000

struct waiter {
    struct waiter *next;
    json_int_t id;
    json_t *reply; /* owned once set */
};

struct qmp {
    atomic_int refs;
    int fd;
    qmp_event_fn *on_event;
    void *arg;
    pthread_mutex_t send_lock; /* one message at a time on the wire */
    pthread_mutex_t lock;      /* guards what follows */
    pthread_cond_t changed;
    bool ready, closed;
    json_int_t last_id;
    struct waiter *waiters;
    /* The reader's own. */
    struct arena *arena;
    struct buf in;
};

struct qmp *qmp_new(int fd, qmp_event_fn *on_event, void *arg)
{
    struct qmp *q = calloc(1, sizeof(*q));
    must(q);
    q->refs = 1;
    q->fd = fd;
    q->on_event = on_event;
    q->arg = arg;
    pthread_mutex_init(&q->lock, NULL);
    pthread_mutex_init(&q->send_lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->changed, &attr);
    pthread_condattr_destroy(&attr);
    q->arena = arena_new();
    buf_init(&q->in, q->arena);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return q;
}

struct qmp *qmp_ref(struct qmp *q)
{
    q->refs++;
    return q;
}

void qmp_unref(struct qmp *q)
{
    if (!q || --q->refs > 0)
        return;
    close(q->fd);
    arena_free(q->arena);
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    pthread_mutex_destroy(&q->send_lock);
    free(q);
}

int qmp_fd(const struct qmp *q)
{
    return q->fd;
}

void qmp_close(struct qmp *q)
{
    AUTO_LOCK(&q->lock);
    q->closed = true;
    shutdown(q->fd, SHUT_RDWR);
    pthread_cond_broadcast(&q->changed);
}

bool qmp_closed(struct qmp *q)
{
    AUTO_LOCK(&q->lock);
    return q->closed;
}

/* The whole message, the descriptor with its first part. 0, or errno. */
static int send_message(struct qmp *q, const char *text, size_t size, int pass_fd)
{
    AUTO_LOCK(&q->send_lock);
    for (size_t done = 0; done < size;) {
        struct iovec part = {.iov_base = (void *)(uintptr_t)(text + done), .iov_len = size - done};
        struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
        union {
            char bytes[CMSG_SPACE(sizeof(int))];
            struct cmsghdr align;
        } control = {0};
        if (pass_fd >= 0 && done == 0) {
            msg.msg_control = control.bytes;
            msg.msg_controllen = sizeof(control.bytes);
            struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(c), &pass_fd, sizeof(int));
        }
        ssize_t n = sendmsg(q->fd, &msg, MSG_NOSIGNAL);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd p = {.fd = q->fd, .events = POLLOUT};
            if (poll(&p, 1, SEND_TIMEOUT_MS) == 0)
                return ETIMEDOUT;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

/* Takes the message over: a tree is never shared between threads. */
static void deliver(struct qmp *q, json_t *message)
{
    json_int_t id = json_get_int(message, "id", -1);
    AUTO_LOCK(&q->lock);
    if (id == 0 && !q->ready) {
        q->ready = json_get(message, "return") != NULL;
    } else {
        for (struct waiter *w = q->waiters; w && message; w = w->next)
            if (w->id == id && !w->reply)
                w->reply = TAKE_PTR(message);
    }
    json_decref(message);
    pthread_cond_broadcast(&q->changed);
}

/* One line from QEMU; false: it is no QMP. */
static bool take_line(struct qmp *q, const char *line, size_t len)
{
    static const char negotiate[] = "{\"execute\":\"qmp_capabilities\",\"id\":0}\n";
    while (len && (line[len - 1] == '\r' || line[len - 1] == ' '))
        len--;
    if (len == 0)
        return true;
    json_t *message = json_loadb(line, len, 0, NULL);
    bool good = json_is_object(message);
    const char *event = good ? json_get_str(message, "event") : NULL;
    if (event) {
        if (q->on_event)
            q->on_event(q->arg, event, json_get(message, "data"));
    } else if (good && json_get(message, "QMP")) {
        good = send_message(q, negotiate, sizeof(negotiate) - 1, -1) == 0;
    } else if (good && (json_get(message, "return") || json_get(message, "error"))) {
        deliver(q, TAKE_PTR(message));
    } else {
        good = false;
    }
    json_decref(message);
    return good;
}

/* Takes the complete lines out of the buffer. */
static bool take_lines(struct qmp *q)
{
    size_t from = 0;
    for (char *end; from < q->in.len; from = (size_t)(end - q->in.data) + 1) {
        end = memchr(q->in.data + from, '\n', q->in.len - from);
        if (!end)
            break;
        if (!take_line(q, q->in.data + from, (size_t)(end - q->in.data) - from))
            return false;
    }
    memmove(q->in.data, q->in.data + from, q->in.len - from);
    q->in.len -= from;
    return q->in.len <= LINE_MAX_BYTES;
}

bool qmp_pump(struct qmp *q)
{
    for (;;) {
        ssize_t n = recv(q->fd, buf_reserve(&q->in, 16384), 16384, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n > 0)
            q->in.len += (size_t)n;
        if (n <= 0 || !take_lines(q)) {
            qmp_close(q);
            return false;
        }
    }
}

static void add_waiter(struct qmp *q, struct waiter *w)
{
    AUTO_LOCK(&q->lock);
    w->id = ++q->last_id;
    w->next = q->waiters;
    q->waiters = w;
}

static void remove_waiter(struct qmp *q, struct waiter *w)
{
    AUTO_LOCK(&q->lock);
    for (struct waiter **p = &q->waiters; *p; p = &(*p)->next) {
        if (*p == w) {
            *p = w->next;
            break;
        }
    }
}

/* Until ready (w NULL) or w has its reply. 0, ETIMEDOUT, or ECONNRESET. */
static int wait_for(struct qmp *q, const struct waiter *w, int64_t until_us)
{
    struct timespec t = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    AUTO_LOCK(&q->lock);
    for (;;) {
        if (w ? w->reply != NULL : q->ready && !q->closed)
            return 0;
        if (q->closed)
            return ECONNRESET;
        if (pthread_cond_timedwait(&q->changed, &q->lock, &t) == ETIMEDOUT)
            return (w ? w->reply != NULL : q->ready) ? 0 : ETIMEDOUT;
    }
}

static struct err *no_answer(struct ctx *cx, const char *command, int code)
{
    if (code == ETIMEDOUT)
        return fail(cx, ERR_TIMEOUT, "QEMU did not answer %s in time", command);
    return fail(cx, ERR_UNAVAILABLE, "QEMU's monitor went away during %s", command);
}

static const char *command_text(struct ctx *cx, const char *command, const json_t *args,
                                json_int_t id, size_t *ret)
{
    struct buf b;
    struct jw w;
    buf_init(&b, cx->arena);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kstr(&w, "execute", command);
    if (args)
        jw_kjson(&w, "arguments", args);
    jw_kint(&w, "id", id);
    jw_obj_end(&w);
    buf_char(&b, '\n');
    *ret = b.len;
    return buf_cstr(&b);
}

struct err *qmp_call(struct ctx *cx, struct qmp *q, const char *command, const json_t *args,
                     int pass_fd, int64_t timeout_ms, json_t **ret)
{
    struct clock *c = clock_system();
    int64_t until_us = c->mono_us(c) + timeout_ms * 1000;
    int code = wait_for(q, NULL, until_us);
    if (code)
        return no_answer(cx, command, code);
    struct waiter w = {0};
    add_waiter(q, &w);
    size_t size;
    const char *text = command_text(cx, command, args, w.id, &size);
    code = send_message(q, text, size, pass_fd);
    if (!code)
        code = wait_for(q, &w, until_us);
    remove_waiter(q, &w);
    if (!w.reply)
        return no_answer(cx, command, code);
    json_t *reply = json_own(cx, w.reply);
    const json_t *error = json_get(reply, "error");
    if (error) {
        const char *why = json_get_str(error, "desc");
        bool absent = str_eq(json_get_str(error, "class"), "DeviceNotFound");
        return fail(cx, absent ? ERR_NOT_FOUND : ERR_CONFLICT, "QEMU refused %s: %s", command,
                    why ? why : "it gave no reason");
    }
    if (ret)
        *ret = json_get(reply, "return");
    return NULL;
}

void qmp_tell(struct qmp *q, const char *command)
{
    char text[128];
    int size = snprintf(text, sizeof(text), "{\"execute\":\"%s\"}\n", command);
    must(size > 0 && (size_t)size < sizeof(text));
    pthread_mutex_lock(&q->lock);
    bool ready = q->ready && !q->closed;
    pthread_mutex_unlock(&q->lock);
    if (ready)
        send_message(q, text, (size_t)size,
                     -1); /* an end of the connection is seen by the reader */
}
