/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The control plane's second listener: for the agents of other machines, over TLS with certificates
 * on both sides, and for nothing else.
 */
#include "cmd/wiring.h"
#include "fleet/fleet.h"
#include "http/pki.h"

#define CONTROL_TTL_S (INT64_C(3650) * 86400) /* its key is gone with the process */

struct hosts {
    struct http_app api;
    struct fleet_authority authority;
    struct http_server *server;
};

static enum http_lane begin(void *arg, struct http_request *rq, struct http_reply *rp,
                            struct http_sink **ret_sink)
{
    struct hosts *h = arg;
    if (str_starts(rq->path, "/node/v1/"))
        return h->api.begin(h->api.arg, rq, rp, ret_sink);
    rp->status = 404;
    h->api.refuse(h->api.arg, rq, rp, 404, "This is the hosts' address: the APIs have another one");
    return LANE_INLINE;
}

static void handle(void *arg, struct http_request *rq, struct http_reply *rp)
{
    struct hosts *h = arg;
    h->api.handle(h->api.arg, rq, rp);
}

static void refuse(void *arg, struct http_request *rq, struct http_reply *rp, int status,
                   const char *message)
{
    struct hosts *h = arg;
    h->api.refuse(h->api.arg, rq, rp, status, message);
}

/* What this process is to hosts: a key of its own, in memory only. */
static struct err *become_control(struct ctx *cx, const struct authority *a,
                                  struct fleet_authority *f)
{
    const char *request;
    struct pki_cert cert;
    TRY(pki_key_new(cx, &f->control_key));
    TRY(pki_request_new(cx, f->control_key, &request));
    TRY(pki_issue(cx, a->cert.pem, a->key, request, FLEET_CONTROL_PEER, CONTROL_TTL_S, &cert));
    f->control_cert = cert.pem;
    return NULL;
}

struct err *hosts_start(struct ctx *cx, const struct settings *s, const struct http_config *like,
                        struct api *api, struct hosts **ret)
{
    struct authority a;
    struct hosts *h = arena_new_of(cx->arena, struct hosts);
    struct http_config http = *like;
    TRY(authority_make(cx, s));
    TRY(authority_read(cx, s, &a));
    h->api = api_app(api);
    h->authority = (struct fleet_authority){.authorities = a.authorities,
                                            .issuer = a.cert.pem,
                                            .issuer_key = a.key,
                                            .cert_ttl_s = s->host_cert_ttl_s};
    TRY(become_control(cx, &a, &h->authority));
    http.tls_cert_file = http.tls_key_file = NULL;
    http.tls_cert = h->authority.control_cert;
    http.tls_key = h->authority.control_key;
    http.client_ca = a.authorities;
    TRY(parse_listen(cx, s->hosts_listen, &http.host, &http.port));
    fleet_set_authority(&h->authority);
    const struct http_app app = {.arg = h, .begin = begin, .handle = handle, .refuse = refuse};
    TRY(http_server_start(cx, &http, &app, &h->server));
    api_set_hosts_server(api, h->server);
    *ret = h;
    return NULL;
}

struct err *hosts_look(struct ctx *cx, struct store *store, struct hosts *h)
{
    return fleet_cut_gone(cx, store, h->server);
}

void hosts_stop(struct hosts *h, unsigned drain_ms)
{
    if (h)
        http_server_stop(h->server, drain_ms);
}
