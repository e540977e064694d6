/* SPDX-License-Identifier: EUPL-1.2 */
/* The control plane's process: opens the state, serves the APIs, sweeps deadlines, ends on SIGTERM.
 */
#include "cmd/wiring.h"
#include "compute/compute.h"
#include "fleet/fleet.h"
#include "identity/identity.h"
#include "image/image.h"
#include "volume/volume.h"
#include <signal.h>
#include <sys/signalfd.h>
#include <poll.h>

#define SWEEP_MS 5000

struct control {
    struct ctx cx;
    struct store *store;
    struct api *api;
    struct http_server *server;
};

static bool is_loopback(const char *host)
{
    return str_starts(host, "127.") || str_eq(host, "::1") || str_eq(host, "localhost");
}

static struct err *start(struct control *k, const struct settings *s)
{
    struct ctx *cx = &k->cx;
    const struct api_hooks hooks = {.authenticate = identity_authenticate,
                                    .authenticate_node = fleet_authenticate};
    const struct api_config cfg = {.region = s->region};
    struct http_config http = {.io_threads = (unsigned)s->io_threads,
                               .workers = (unsigned)s->workers,
                               .slow_workers = (unsigned)s->slow_workers,
                               .queue_max = (unsigned)s->queue_max,
                               .connections_max = (unsigned)s->connections_max,
                               .body_max_bytes = (size_t)s->body_max_kib * 1024,
                               .idle_timeout_s = 60,
                               .tls_cert_file = *s->tls_cert ? s->tls_cert : NULL,
                               .tls_key_file = *s->tls_key ? s->tls_key : NULL};
    TRY(parse_listen(cx, s->listen, &http.host, &http.port));
    if (!is_loopback(http.host) && !http.tls_cert_file && !s->allow_plain_http)
        return fail(cx, ERR_INVALID,
                    "refusing to listen on %s without TLS: give --tls-cert and --tls-key, or "
                    "--allow-plain-http behind a "
                    "proxy that has TLS",
                    s->listen);
    TRY(configure_services(cx, s));
    TRY(open_state(cx, s, &k->store));
    TRY(store_migrate(cx, k->store, all_migrations, n_all_migrations));
    TRY(image_clean(cx, k->store));
    k->api = api_new(k->store, all_services, n_all_services, &hooks, &cfg);
    struct http_app app = api_app(k->api);
    TRY(http_server_start(cx, &http, &app, &k->server));
    api_set_server(k->api, k->server);
    fleet_on_change(fleet_wake_api, k->api);
    log_event(cx, LOG_INFO, "serving", "listen", s->listen, "engine", store_engine(k->store), NULL);
    return NULL;
}

static const struct {
    const char *what;
    struct err *(*sweep)(struct ctx *cx, struct store *s, size_t *ret_changed);
} sweeps[] = {{"servers", compute_sweep}, {"volumes", volume_sweep}, {"exports", image_sweep}};

/* What has been in transition for too long takes its way out. Any number of processes may do it. */
static void sweep(struct control *k)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    for (size_t i = 0; i < ARRAY_LEN(sweeps); i++) {
        size_t changed = 0;
        struct err *e = sweeps[i].sweep(&cx, k->store, &changed);
        if (e)
            log_err(&cx, LOG_WARN, e, "the sweep failed; it is tried again", "of", sweeps[i].what,
                    NULL);
        else if (changed)
            log_event(&cx, LOG_INFO, "deadlines passed", sweeps[i].what,
                      log_i64(&cx, (int64_t)changed), NULL);
    }
}

static void stop(struct control *k)
{
    if (k->server)
        http_server_stop(k->server, 3000);
    api_free(k->api);
    if (k->store)
        store_close(k->store);
    ctx_release(&k->cx);
}

int api_main(const struct settings *s)
{
    struct control k = {0};
    sigset_t set;
    ctx_init(&k.cx);
    log_set_role("api");
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct err *e = start(&k, s);
    int status = e ? complain(&k.cx, e) : 0;
    if (!e) {
        AUTO_FD int fd = signalfd(-1, &set, SFD_CLOEXEC);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        while (poll(&p, 1, SWEEP_MS) <= 0)
            sweep(&k);
        log_event(NULL, LOG_INFO, "stopping", NULL);
    }
    stop(&k);
    return status;
}
