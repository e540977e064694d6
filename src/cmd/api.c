/* SPDX-License-Identifier: EUPL-1.2 */
/* The control plane's process, one of any number: opens the state, serves the APIs, does its share
 * of periodic work, ends on SIGTERM. */
#include "cmd/jobs.h"
#include "cmd/wiring.h"
#include "compute/compute.h"
#include "fleet/fleet.h"
#include "identity/identity.h"
#include "image/image.h"
#include <signal.h>
#include <sys/signalfd.h>
#include <poll.h>

#define TICK_MS 1000

struct control {
    struct ctx cx;
    struct store *store;
    struct api *api;
    struct http_server *server;
    struct jobs jobs;
    struct hosts *hosts; /* NULL: none on other machines */
};

/* Another process has committed something: what waits for it here looks again. */
static void heard(void *api, const char *topic)
{
    fleet_hears(api_store(api), topic);
    if (topic)
        api_wake(api, topic);
    else
        api_wake_all(api);
}

static struct err *start(struct control *k, const struct settings *s)
{
    struct ctx *cx = &k->cx;
    const struct api_hooks hooks = {.authenticate = identity_authenticate,
                                    .authenticate_node = fleet_authenticate,
                                    .authenticate_cert = fleet_authenticate_cert};
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
    k->api = api_new(k->store, all_services, n_all_services, &hooks, &cfg);
    TRY(store_listen(cx, k->store, heard, k->api));
    TRY(store_migrate(cx, k->store, all_migrations, n_all_migrations));
    TRY(image_clean(cx, k->store));
    struct http_app app = api_app(k->api);
    TRY(http_server_start(cx, &http, &app, &k->server));
    api_set_server(k->api, k->server);
    if (*s->hosts_listen)
        TRY(hosts_start(cx, s, &http, k->api, &k->hosts));
    fleet_on_change(fleet_wake_api, k->api);
    jobs_init(&k->jobs, cx, k->store);
    log_event(cx, LOG_INFO, "serving", "listen", s->listen, "engine", store_engine(k->store), NULL);
    return NULL;
}

/* Another process may have removed a host. */
static void look_for_gone_hosts(struct control *k)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct err *e = k->hosts ? hosts_look(&cx, k->store, k->hosts) : NULL;
    if (e)
        log_err(&cx, LOG_WARN, e, "hosts that are gone can't be looked for", NULL);
}

static void keep_hosts_in_mind(struct control *k)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct err *e = compute_tick(&cx, k->store);
    if (e)
        log_err(&cx, LOG_DEBUG, e, "hosts can't be read ahead", NULL);
}

static void stop(struct control *k)
{
    if (k->store)
        store_unlisten(k->store);
    jobs_fini(&k->jobs);
    hosts_stop(k->hosts, 3000);
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
        for (unsigned tick = 1; poll(&p, 1, TICK_MS) <= 0; tick++) {
            look_for_gone_hosts(&k);
            keep_hosts_in_mind(&k);
            if (tick % (JOBS_MS / TICK_MS) == 0)
                jobs_run(&k.jobs);
        }
        log_event(NULL, LOG_INFO, "stopping", NULL);
    }
    stop(&k);
    return status;
}
