/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Clients' certificates, by libmicrohttpd's TLS, which is GnuTLS: whoever shows one has proven to
 * have its key; who that is, is not asked here. The list of connections is for http_cut.
 */
#include "http/conn.h"
#include "http/tunnel.h"
#include <gnutls/gnutls.h>
#include <sys/socket.h>

bool tls_used(const struct http_server *s)
{
    return s->cfg.tls_cert_file || s->cfg.tls_cert || s->cfg.identity;
}

struct tls_peer {
    struct tls_peer *next, **link;
    int fd;
    char sha256[65]; /* "" until a request came, or without a certificate */
};

void *tls_connected(struct http_server *s, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (!s->cfg.client_ca || !i)
        return NULL;
    struct tls_peer *p = calloc(1, sizeof(*p));
    must(p);
    p->fd = i->connect_fd;
    AUTO_LOCK(&s->peers_lock);
    p->next = s->peers;
    p->link = &s->peers;
    if (p->next)
        p->next->link = &p->next;
    s->peers = p;
    return p;
}

void tls_disconnected(struct http_server *s, void *peer)
{
    struct tls_peer *p = peer;
    if (!p)
        return;
    AUTO_LOCK(&s->peers_lock);
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    free(p);
}

static const char *fingerprint_of(struct http_conn *c)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    unsigned n = 0;
    const gnutls_datum_t *list =
        i && i->tls_session ? gnutls_certificate_get_peers(i->tls_session, &n) : NULL;
    return n ? sha256_hex(&c->cx, list[0].data, list[0].size) : "";
}

const char *tls_peer_of(struct http_conn *c)
{
    struct http_server *s = c->server;
    const union MHD_ConnectionInfo *i =
        s->cfg.client_ca ? MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
                         : NULL;
    struct tls_peer *p = i ? i->socket_context : NULL;
    if (!p)
        return s->cfg.client_ca ? "" : NULL;
    const char *sha256 = fingerprint_of(c);
    AUTO_LOCK(&s->peers_lock);
    snprintf(p->sha256, sizeof(p->sha256), "%s", sha256);
    return sha256;
}

const char *tls_name_of(struct http_conn *c)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    return i ? tunnel_peer(&c->cx, i->connect_fd) : NULL;
}

void http_cut(struct http_server *s, bool (*gone)(void *arg, const char *peer_sha256), void *arg)
{
    AUTO_LOCK(&s->peers_lock);
    for (struct tls_peer *p = s->peers; p; p = p->next)
        if (*p->sha256 && gone(arg, p->sha256))
            shutdown(p->fd, SHUT_RDWR);
}
