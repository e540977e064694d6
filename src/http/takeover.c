/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Connections that leave HTTP: after "101 Switching Protocols" their bytes belong to a thread of
 * their own. Few by nature (consoles), so a thread each is fine; their number is bounded.
 */
#include "http/conn.h"
#include <sys/socket.h>

struct takeover {
    struct takeover *next, **link;
    struct http_conn *conn; /* lives until MHD is told that the connection is closed */
    struct http_takeover what;
    struct MHD_UpgradeResponseHandle *mhd;
    int fd;
    char *early;
    size_t n_early;
};

void takeovers_init(struct http_server *s)
{
    pthread_mutex_init(&s->takeovers.lock, NULL);
    pthread_cond_init(&s->takeovers.fewer, NULL);
}

void takeovers_fini(struct http_server *s)
{
    must(!s->takeovers.first);
    pthread_cond_destroy(&s->takeovers.fewer);
    pthread_mutex_destroy(&s->takeovers.lock);
}

static void end(struct http_server *s, struct takeover *t)
{
    {
        AUTO_LOCK(&s->takeovers.lock);
        *t->link = t->next;
        if (t->next)
            t->next->link = t->link;
    }
    MHD_upgrade_action(t->mhd, MHD_UPGRADE_ACTION_CLOSE);
    free(t->early);
    free(t);
    AUTO_LOCK(&s->takeovers.lock);
    s->takeovers.n--;
    pthread_cond_broadcast(&s->takeovers.fewer);
}

static void *run(void *arg)
{
    struct takeover *t = arg;
    struct http_server *s = t->conn->server;
    t->what.run(t->what.arg, t->fd, t->early, t->n_early);
    end(s, t);
    return NULL;
}

static void add(struct http_server *s, struct takeover *t)
{
    AUTO_LOCK(&s->takeovers.lock);
    t->next = s->takeovers.first;
    t->link = &s->takeovers.first;
    if (t->next)
        t->next->link = &t->next;
    s->takeovers.first = t;
    if (s->takeovers.stopping)
        shutdown(t->fd, SHUT_RDWR);
}

/* MHD's callback, on an I/O thread: the 101 has been sent. */
static void begin(void *arg, struct MHD_Connection *mhd UNUSED, void *conn UNUSED,
                  const char *extra, size_t n_extra, MHD_socket fd,
                  struct MHD_UpgradeResponseHandle *handle)
{
    struct http_conn *c = arg;
    struct takeover *t = calloc(1, sizeof(*t));
    must(t);
    *t = (struct takeover){.conn = c,
                           .what = *c->rp.takeover,
                           .mhd = handle,
                           .fd = fd,
                           .early = malloc(n_extra + 1),
                           .n_early = n_extra};
    must(t->early);
    c->takeover_reserved = false; /* end() counts it off */
    if (n_extra)
        memcpy(t->early, extra, n_extra);
    add(c->server, t);
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, t) == 0)
        pthread_detach(thread);
    else
        end(c->server, t);
}

bool takeover_reserve(struct http_conn *c)
{
    struct http_server *s = c->server;
    AUTO_LOCK(&s->takeovers.lock);
    if (s->takeovers.stopping || s->takeovers.n >= s->cfg.takeovers_max)
        return false;
    s->takeovers.n++;
    c->takeover_reserved = true;
    return true;
}

void takeover_release(struct http_conn *c)
{
    if (!c->takeover_reserved)
        return;
    AUTO_LOCK(&c->server->takeovers.lock);
    c->takeover_reserved = false;
    c->server->takeovers.n--;
    pthread_cond_broadcast(&c->server->takeovers.fewer);
}

struct MHD_Response *takeover_response(struct http_conn *c)
{
    return MHD_create_response_for_upgrade(begin, c);
}

void takeovers_stop(struct http_server *s)
{
    AUTO_LOCK(&s->takeovers.lock);
    s->takeovers.stopping = true;
    for (struct takeover *t = s->takeovers.first; t; t = t->next)
        shutdown(t->fd, SHUT_RDWR);
    while (s->takeovers.n) /* not the list: until their threads have let go of the server */
        pthread_cond_wait(&s->takeovers.fewer, &s->takeovers.lock);
}
