/* SPDX-License-Identifier: EUPL-1.2 */
/* See writer_main.h. The agent runs only while the lock is held: of several writers, one watches
 * and reports. */
#include "node/writer_main.h"
#include "node/drivers/fake/fake.h"

#include <signal.h>
#include <sys/stat.h>

enum { LOOK_MS = 500, RETRY_MAX_S = 10 };

struct term {
    sigset_t signals;
    bool ended;
};

/* Asked to end; waits so long for it. */
static bool ended_within(struct term *t, int seconds)
{
    const struct timespec wait = {.tv_sec = seconds};
    if (!t->ended)
        t->ended = sigtimedwait(&t->signals, NULL, &wait) > 0;
    return t->ended;
}

/* Until the lock is had (true), or lost again (false), or the end. */
static struct err *wait_lock(struct ctx *cx, struct term *t, const struct net_backend *net,
                             bool until)
{
    bool holds = !until;
    while (holds != until && !ended_within(t, 0))
        TRY(ovn_writer_look(cx, net, LOOK_MS, &holds));
    return NULL;
}

static struct err *work(struct ctx *cx, struct term *t, const struct writer_config *cfg,
                        const struct net_backend *net)
{
    struct backends backends = {.net = *net};
    struct loop *loop = NULL;
    TRY(wait_lock(cx, t, net, true));
    if (t->ended)
        return NULL;
    fake_guests_new(&backends.guests);
    struct err *e = loop_start(cx, &cfg->loop, &backends, &loop);
    if (!e) {
        log_event(cx, LOG_INFO, "writes networks", "api", cfg->loop.api_urls, "ovn", cfg->ovn.nb,
                  NULL);
        e = wait_lock(cx, t, net, false);
        if (!e && !t->ended)
            e = fail(cx, ERR_STALE, "another writer has the lock");
        loop_stop(loop);
    }
    backends.guests.ops->free(backends.guests.drv);
    loop_free(loop);
    return e;
}

static struct err *write_once(struct ctx *cx, struct term *t, const struct writer_config *cfg)
{
    struct net_backend net;
    TRY(ovn_writer_new(cx, &cfg->ovn, &net));
    struct err *e = work(cx, t, cfg, &net);
    net.ops->free(net.drv);
    return e;
}

struct err *writer_main(struct ctx *cx, const struct writer_config *cfg)
{
    struct term t = {.ended = false};
    int retry_s = 0;
    sigemptyset(&t.signals);
    sigaddset(&t.signals, SIGTERM);
    sigaddset(&t.signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &t.signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (mkdir(cfg->loop.data_dir, 0700) != 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot make the folder '%s': %m", cfg->loop.data_dir);
    while (!ended_within(&t, retry_s)) {
        AUTO_CTX struct ctx pass;
        ctx_init(&pass);
        int64_t began_us = mono_us(&pass);
        struct err *e = write_once(&pass, &t, cfg);
        if (!e)
            continue;
        log_err(&pass, LOG_WARN, e, "does not write networks; tries again", NULL);
        bool lasted = mono_us(&pass) - began_us > INT64_C(1000000) * RETRY_MAX_S;
        retry_s = lasted || !retry_s ? 1 : (int)min_i64(2 * retry_s, RETRY_MAX_S);
    }
    return NULL;
}
