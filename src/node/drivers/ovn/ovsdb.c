/* SPDX-License-Identifier: EUPL-1.2 */
/* See ovsdb.h: the connection. */
#include "node/drivers/ovn/ovsdb.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { CALL_TIMEOUT_S = 30, READ_CHUNK = 1 << 16 };

struct ovsdb {
    int fd;
    char *database, *lock;
    bool locked, broken;
    int64_t last_id;
    pthread_mutex_t mutex;
    struct ctx cx; /* owns what came in */
    struct buf in;
    struct ovsdb_frame frame;
};

/* ---------------------------------------------------------------- connecting */

static struct err *connect_unix(struct ctx *cx, const char *path, int *ret_fd)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a.sun_path))
        return fail(cx, ERR_INVALID, "the socket's path '%s' is too long", path);
    memcpy(a.sun_path, path, strlen(path) + 1);
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot connect to the OVSDB server at %s: %m", path);
    *ret_fd = TAKE_FD(fd);
    return NULL;
}

static struct err *connect_tcp(struct ctx *cx, const char *where, int *ret_fd)
{
    const char *colon = strrchr(where, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    struct timeval wait = {.tv_sec = 5};
    if (!colon)
        return fail(cx, ERR_INVALID, "'tcp:%s' is not tcp:HOST:PORT", where);
    size_t len = (size_t)(colon - where);
    bool v6 = len > 2 && where[0] == '[' && where[len - 1] == ']';
    const char *host = arena_strndup(cx->arena, where + v6, len - 2 * (size_t)v6);
    int rc = getaddrinfo(host, colon + 1, &hints, &found);
    if (rc)
        return fail(cx, ERR_UNAVAILABLE, "cannot find %s: %s", where, gai_strerror(rc));
    AUTO_FD int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    bool connected = fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0;
    freeaddrinfo(found);
    if (!connected)
        return fail(cx, ERR_UNAVAILABLE, "cannot connect to the OVSDB server at %s: %m", where);
    *ret_fd = TAKE_FD(fd);
    return NULL;
}

static struct err *connect_to(struct ctx *cx, const char *remote, int *ret_fd)
{
    if (str_starts(remote, "unix:"))
        return connect_unix(cx, remote + 5, ret_fd);
    if (str_starts(remote, "tcp:"))
        return connect_tcp(cx, remote + 4, ret_fd);
    return fail(cx, ERR_INVALID, "'%s' is not unix:PATH or tcp:HOST:PORT", remote);
}

/* ---------------------------------------------------------------- messages */

static struct err *broken(struct ctx *cx, struct ovsdb *o, const char *what)
{
    o->broken = true;
    o->locked = false;
    return fail(cx, ERR_UNAVAILABLE, "%s the OVSDB server of %s: %s", what, o->database,
                errno ? strerror(errno) : "it closed the connection");
}

static struct err *send_json(struct ctx *cx, struct ovsdb *o, const json_t *message)
{
    AUTO_FREE char *text = json_dumps(message, JSON_COMPACT);
    must(text);
    for (size_t at = 0, len = strlen(text); at < len;) {
        ssize_t n = send(o->fd, text + at, len - at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return broken(cx, o, "cannot write to");
        at += (size_t)n;
    }
    return NULL;
}

/* One whole message, or none within the time. */
static struct err *receive(struct ctx *cx, struct ovsdb *o, int64_t until_us,
                           struct ovsdb_message *ret, bool *ret_any)
{
    size_t end = 0;
    *ret_any = false;
    for (;;) {
        struct err *e = ovsdb_frame_end(cx, &o->frame, o->in.data, o->in.len, &end);
        if (e) {
            o->broken = true;
            return e;
        }
        if (end)
            break;
        int64_t left_ms = (until_us - mono_us(cx) + 999) / 1000;
        struct pollfd p = {.fd = o->fd, .events = POLLIN};
        int rc = poll(&p, 1, left_ms > 0 ? (int)min_i64(left_ms, 60000) : 0);
        if (rc < 0 && errno == EINTR)
            continue;
        if (rc == 0)
            return NULL;
        errno = 0;
        ssize_t n = recv(o->fd, buf_reserve(&o->in, READ_CHUNK), READ_CHUNK - 1, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return broken(cx, o, "cannot read from");
        o->in.len += (size_t)n;
    }
    struct err *e = ovsdb_message_read(cx, o->in.data, end, ret);
    memmove(o->in.data, o->in.data + end, o->in.len - end);
    o->in.len -= end;
    o->broken |= e != NULL;
    *ret_any = true;
    return e;
}

/* What isn't the answer to a call. */
static struct err *take_notice(struct ctx *cx, struct ovsdb *o, const struct ovsdb_message *m)
{
    if (m->kind == OVSDB_LOCKED && str_eq(m->lock, o->lock))
        o->locked = true;
    if (m->kind == OVSDB_STOLEN && str_eq(m->lock, o->lock))
        o->locked = false;
    if (m->kind != OVSDB_ECHO)
        return NULL;
    json_t *answer = json_own(cx, json_object());
    json_object_set(answer, "id", (json_t *)(uintptr_t)m->echo_id);
    json_object_set(answer, "result", (json_t *)(uintptr_t)m->params);
    json_object_set_new(answer, "error", json_null());
    return send_json(cx, o, answer);
}

/* params are taken over. Mutex held. */
static struct err *call(struct ctx *cx, struct ovsdb *o, const char *method, json_t *params,
                        const json_t **ret)
{
    int64_t until_us = mono_us(cx) + CALL_TIMEOUT_S * INT64_C(1000000), id = ++o->last_id;
    json_t *request = json_own(cx, json_object());
    json_object_set_new(request, "method", json_string(method));
    json_object_set_new(request, "params", params);
    json_object_set_new(request, "id", json_integer(id));
    if (cx->deadline_us)
        until_us = min_i64(until_us, cx->deadline_us);
    errno = ENOTCONN;
    if (o->broken)
        return broken(cx, o, "no connection to");
    TRY(send_json(cx, o, request));
    for (;;) {
        struct ovsdb_message m;
        bool any;
        TRY(receive(cx, o, until_us, &m, &any));
        if (!any) { /* its answer may come later: nobody would know whose it is */
            errno = ETIMEDOUT;
            return broken(cx, o, "no answer from");
        }
        if (m.kind != OVSDB_REPLY) {
            TRY(take_notice(cx, o, &m));
            continue;
        }
        if (m.id != id)
            continue;
        if (m.error)
            return fail(cx, ERR_UNAVAILABLE, "the OVSDB server of %s refuses '%s': %s", o->database,
                        method, json_text(cx, m.error));
        *ret = m.result;
        return NULL;
    }
}

static struct err *transact(struct ctx *cx, struct ovsdb *o, const char *database, json_t *ops,
                            const json_t **ret)
{
    json_t *params = json_array();
    size_t n_ops = json_array_size(ops);
    json_array_append_new(params, json_string(database));
    for (size_t i = 0; i < n_ops; i++)
        json_array_append(params, json_array_get(ops, i));
    json_decref(ops);
    TRY(call(cx, o, "transact", params, ret));
    return ovsdb_results_check(cx, *ret, n_ops);
}

/* A standalone server serves its database; of a cluster only the leader knows what is newest, and
 * gives the lock. */
static struct err *check_leader(struct ctx *cx, struct ovsdb *o)
{
    const json_t *results;
    json_t *op =
        json_pack("[{s:s,s:s,s:[[s,s,s]],s:[s,s,s]}]", "op", "select", "table", "Database", "where",
                  "name", "==", o->database, "columns", "model", "connected", "leader");
    TRY(transact(cx, o, "_Server", op, &results));
    const json_t *row = json_array_get(json_get(json_array_get(results, 0), "rows"), 0);
    if (!row)
        return fail(cx, ERR_UNAVAILABLE, "the OVSDB server has no database %s", o->database);
    if (str_eq(json_get_str(row, "model"), "clustered") && !json_get_bool(row, "leader", false))
        return fail(cx, ERR_UNAVAILABLE, "this server of %s is not its cluster's leader",
                    o->database);
    return NULL;
}

static struct err *open_one(struct ctx *cx, const char *remote, const char *database,
                            struct ovsdb **ret)
{
    int fd = -1;
    TRY(connect_to(cx, remote, &fd));
    struct ovsdb *o = calloc(1, sizeof(*o));
    must(o);
    o->fd = fd;
    o->database = strdup(database);
    must(o->database);
    pthread_mutex_init(&o->mutex, NULL);
    ctx_init(&o->cx);
    buf_init(&o->in, o->cx.arena);
    buf_str(&o->in, "");
    struct err *e = check_leader(cx, o);
    if (e) {
        ovsdb_close(o);
        return e;
    }
    *ret = o;
    return NULL;
}

/* ---------------------------------------------------------------- the interface */

struct err *ovsdb_open(struct ctx *cx, const char *remotes, const char *database,
                       struct ovsdb **ret)
{
    char **list;
    size_t n = str_split(cx, remotes, ',', &list);
    struct err *e = fail(cx, ERR_INVALID, "no address of the OVSDB server of %s", database);
    for (size_t i = 0; e && i < n; i++)
        e = open_one(cx, list[i], database, ret);
    return e;
}

void ovsdb_close(struct ovsdb *o)
{
    if (!o)
        return;
    close_fd_p(&o->fd);
    pthread_mutex_destroy(&o->mutex);
    ctx_release(&o->cx);
    free(o->database);
    free(o->lock);
    free(o);
}

struct err *ovsdb_transact(struct ctx *cx, struct ovsdb *o, json_t *ops, json_t **ret)
{
    AUTO_LOCK(&o->mutex);
    const json_t *results;
    if (o->lock)
        json_array_insert_new(ops, 0, json_pack("{s:s,s:s}", "op", "assert", "lock", o->lock));
    TRY(transact(cx, o, o->database, ops, &results));
    json_t *copy = json_own(cx, json_copy((json_t *)(uintptr_t)results));
    if (o->lock)
        json_array_remove(copy, 0);
    *ret = copy;
    return NULL;
}

struct err *ovsdb_lock(struct ctx *cx, struct ovsdb *o, const char *name)
{
    AUTO_LOCK(&o->mutex);
    const json_t *result;
    must(!o->lock);
    o->lock = strdup(name);
    must(o->lock);
    TRY(call(cx, o, "lock", json_pack("[s]", name), &result));
    o->locked |= json_get_bool(result, "locked", false);
    return NULL;
}

struct err *ovsdb_look(struct ctx *cx, struct ovsdb *o, int wait_ms, bool *ret_locked)
{
    struct pollfd p = {.fd = o->fd, .events = POLLIN};
    if (wait_ms) /* without the mutex: calls go on meanwhile */
        poll(&p, 1, wait_ms);
    AUTO_LOCK(&o->mutex);
    bool any = true;
    while (any) {
        struct ovsdb_message m;
        errno = ENOTCONN;
        if (o->broken)
            return broken(cx, o, "no connection to");
        TRY(receive(cx, o, mono_us(cx), &m, &any));
        if (any && m.kind != OVSDB_REPLY)
            TRY(take_notice(cx, o, &m));
    }
    *ret_locked = o->locked;
    return NULL;
}
