/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Hearing of other processes' commits: a connection of its own that LISTENs, and a thread that
 * waits on it. What is said while it is not connected is lost, so each time it is connected again
 * the hearer is told that anything may have happened.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include "store/pg.h"

#define AGAIN_MS 500

struct listener {
    char *url, *own;
    struct hearer hearer;
    struct conn *conn; /* NULL: not connected */
    int stop_fd;
    pthread_t thread;
};

/* Until the server says something; false at the end. */
static bool wait_for(const struct listener *l, int timeout_ms)
{
    struct pollfd p[] = {{.fd = l->stop_fd, .events = POLLIN},
                         {.fd = l->conn ? PQsocket(l->conn->pg) : -1, .events = POLLIN}};
    while (poll(p, ARRAY_LEN(p), timeout_ms) < 0 && errno == EINTR)
        ;
    return !p[0].revents;
}

static void drop(struct listener *l)
{
    pg_disconnect(TAKE_PTR(l->conn));
}

static struct err *reconnect(struct ctx *cx, struct listener *l)
{
    TRY(pg_connect(cx, l->url, CLAIM_NONE, &l->conn));
    pg_set_limit(cx, l->conn, WAIT_US);
    struct err *e = pg_run(cx, l->conn, "LISTEN " NOTIFY_CHANNEL);
    if (e)
        drop(l);
    return e;
}

/* One warning for an outage, and one line when it is over. */
static void connect_again(struct listener *l, bool *down)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct err *e = reconnect(&cx, l);
    if (e && !*down)
        log_err(&cx, LOG_WARN, e, "other processes' changes are not heard of; tried again", NULL);
    else if (!e && *down)
        log_event(&cx, LOG_INFO, "other processes' changes are heard of again", NULL);
    *down = e != NULL;
    if (!e)
        l->hearer.fn(l->hearer.arg, NULL);
}

static void tell(const struct listener *l, const char *said)
{
    const char *topic = strchr(said, ' ');
    size_t own = strlen(l->own);
    if (topic && !(strncmp(said, l->own, own) == 0 && topic == said + own))
        l->hearer.fn(l->hearer.arg, topic + 1);
}

static void hear(struct listener *l)
{
    PGnotify *n;
    if (!PQconsumeInput(l->conn->pg) || PQstatus(l->conn->pg) != CONNECTION_OK) {
        drop(l);
        return;
    }
    while ((n = PQnotifies(l->conn->pg))) {
        tell(l, n->extra);
        PQfreemem(n);
    }
}

static void *run(void *arg)
{
    struct listener *l = arg;
    bool down = false;
    pthread_setname_np(pthread_self(), "store-listen");
    connect_again(l, &down);
    while (wait_for(l, l->conn ? -1 : AGAIN_MS)) {
        if (l->conn)
            hear(l);
        if (!l->conn)
            connect_again(l, &down);
    }
    return NULL;
}

struct err *pg_listen(struct ctx *cx, const char *url, const struct hearer *hearer,
                      struct listener **ret)
{
    struct listener *l = calloc(1, sizeof(*l));
    must(l);
    *l = (struct listener){.url = strdup(url), .own = strdup(hearer->own), .hearer = *hearer};
    must(l->url && l->own);
    l->stop_fd = eventfd(0, EFD_CLOEXEC);
    int rc = l->stop_fd < 0 ? errno : pthread_create(&l->thread, NULL, run, l);
    if (rc) {
        if (l->stop_fd >= 0)
            close(l->stop_fd);
        free(l->url);
        free(l->own);
        free(l);
        return fail(cx, ERR_UNAVAILABLE, "cannot start a thread: %s", strerror(rc));
    }
    *ret = l;
    return NULL;
}

void pg_unlisten(struct listener *l)
{
    must(eventfd_write(l->stop_fd, 1) == 0);
    pthread_join(l->thread, NULL);
    if (l->conn)
        drop(l);
    close(l->stop_fd);
    secret_wipe(l->url, strlen(l->url)); /* may hold a password */
    free(l->url);
    free(l->own);
    free(l);
}
