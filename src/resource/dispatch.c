/* SPDX-License-Identifier: EUPL-1.2 */
/* The dispatcher: nothing is reached without a route's decision, and each handler is left with its
 * own decision only. */
#include "resource/engine.h"
#include <stdatomic.h>

/* ---------------------------------------------------------------- construction */

static char *base_of(const char *pattern)
{
    /* "/compute/v2.1/servers" → "/compute/v2.1": the first two segments */
    const char *p = strchr(pattern + 1, '/');
    p = p ? strchrnul(p + 1, '/') : pattern + strlen(pattern);
    char *base = strndup(pattern, (size_t)(p - pattern));
    must(base);
    return base;
}

static void bind_service(struct api *a, const struct service *svc, size_t *n)
{
    for (size_t i = 0; i < svc->n_resources; i++)
        resource_init(svc->resources[i]);
    for (size_t i = 0; i < svc->n_routes; i++) {
        const struct route *r = &svc->routes[i];
        must(r->handler && r->policy && r->rule != RULE_NOBODY);
        must(!r->target || strchr(r->pattern, '{')); /* what would name it? */
        if (r->body)
            resource_init(r->body);
        if (r->target)
            resource_init(r->target);
        struct bound_route *b = &a->bound[(*n)++];
        b->route = r;
        b->service = svc;
        b->base = base_of(r->pattern);
        router_add(a->router, r->method, r->pattern, b);
    }
}

struct api *api_new(struct store *store, const struct service *const *services, size_t n_services,
                    const struct api_hooks *hooks, const struct api_config *cfg)
{
    size_t n = 0;
    struct api *a = calloc(1, sizeof(*a));
    must(a);
    for (size_t i = 0; i < n_services; i++)
        n += services[i]->n_routes;
    a->store = store;
    a->services = services;
    a->n_services = n_services;
    a->hooks = *hooks;
    a->cfg = *cfg;
    a->router = router_new();
    a->bound = calloc(n + 1, sizeof(*a->bound));
    must(a->bound);
    n = 0;
    for (size_t i = 0; i < n_services; i++)
        bind_service(a, services[i], &n);
    return a;
}

void api_free(struct api *a)
{
    if (!a)
        return;
    for (struct bound_route *b = a->bound; b->route; b++)
        free(b->base);
    free(a->bound);
    router_free(a->router);
    free(a);
}

struct store *api_store(struct api *a)
{
    return a->store;
}

const struct service *api_service(const struct api *a, const char *name)
{
    for (size_t i = 0; i < a->n_services; i++)
        if (str_eq(a->services[i]->name, name))
            return a->services[i];
    return NULL;
}

const char *api_ddl(struct ctx *cx, const struct service *const *services, size_t n)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < services[i]->n_resources; k++)
            buf_str(&b, resource_ddl(cx, services[i]->resources[k]));
        if (services[i]->ddl) /* may refer to the resources */
            buf_str(&b, services[i]->ddl);
    }
    return buf_cstr(&b);
}

/* ---------------------------------------------------------------- wake-ups */

void api_set_server(struct api *a, struct http_server *s)
{
    a->server = s;
}

void api_set_hosts_server(struct api *a, struct http_server *s)
{
    a->hosts_server = s;
}

void api_wake(struct api *a, const char *topic)
{
    struct http_server *s = a->server, *hosts = a->hosts_server;
    if (s)
        http_wake(s, topic);
    if (hosts)
        http_wake(hosts, topic);
}

void api_wake_all(struct api *a)
{
    struct http_server *s = a->server, *hosts = a->hosts_server;
    if (s)
        http_wake_all(s);
    if (hosts)
        http_wake_all(hosts);
}

struct wake {
    struct api *api;
    const char *topic;
};

static void wake_now(void *arg)
{
    struct wake *w = arg;
    api_wake(w->api, w->topic);
}

void api_wake_on_commit(struct api *a, struct ctx *cx, struct tx *tx, const char *topic)
{
    struct wake *w = arena_new_of(cx->arena, struct wake);
    *w = (struct wake){a, arena_strdup(cx->arena, topic)};
    tx_on_commit(tx, wake_now, w);
    tx_notify(tx, topic);
}

void call_park(struct call *c, const char *topic, int64_t until_us)
{
    c->rp->park_topic = arena_strdup(c->cx->arena, topic);
    c->rp->park_until_us = until_us;
}

void api_each_route(struct api *a,
                    void (*fn)(void *arg, const struct service *svc, const struct route *r,
                               const struct route_figures *f),
                    void *arg)
{
    for (struct bound_route *b = a->bound; b->route; b++) {
        struct route_figures f = {.busy_us = b->busy_us};
        for (size_t i = 0; i < ARRAY_LEN(f.answers); i++)
            f.answers[i] = b->answers[i];
        fn(arg, b->service, b->route, &f);
    }
}

struct http_server *api_server(struct api *a)
{
    return a->server;
}

/* ---------------------------------------------------------------- one call */

static const struct family *family_of_path(const struct api *a, const char *path)
{
    for (size_t i = 0; i < a->n_services; i++) {
        const struct family *f = a->services[i]->family;
        size_t n = strlen(f->prefix);
        if (strncmp(path, f->prefix, n) == 0 && (path[n] == '/' || !path[n]))
            return f;
    }
    return &family_identity;
}

static bool is_get(const struct http_request *rq)
{
    return str_eq(rq->method, "GET") || str_eq(rq->method, "HEAD");
}

static void reply_error(struct ctx *cx, struct http_request *rq, struct http_reply *rp,
                        const struct family *fam, const struct actor *actor, const struct err *e)
{
    int status = family_status(fam, e);
    buf_clear(&rp->body);
    close_fd_p(&rp->file_fd);
    rp->content_type = NULL;
    rp->park_topic = NULL;
    rp->status = status;
    if (status == 401)
        http_reply_header(rp, cx, "WWW-Authenticate",
                          arena_printf(cx->arena, "Keystone uri=\"%s/identity\"", rq->base_url));
    if (status == 503 || status == 429)
        http_reply_header(rp, cx, "Retry-After", "1");
    const struct err *shown = e;
    if (status == 500) /* the cause is for the log, not for strangers */
        shown = fail(cx, ERR_INTERNAL, "Internal error; the operator finds it in the log under %s",
                     cx->request_id);
    if (!str_eq(rq->method, "HEAD"))
        fam->render(cx, &rp->body, shown, status);
    /* Clients look names up as ids first: a 404 of a GET is nothing to note. */
    enum log_level level = status >= 500                 ? LOG_ERROR
                           : status == 404 && is_get(rq) ? LOG_DEBUG
                                                         : LOG_INFO;
    log_err(cx, level, e, "request failed", "method", rq->method, "path", rq->path, "status",
            log_i64(cx, status), "user", actor ? actor->user_id : NULL, "project",
            actor ? actor->project_id : NULL, NULL);
}

static bool is_read(const struct call *c)
{
    return (c->route->flags & RT_READ) || (is_get(c->rq) && !(c->route->flags & RT_WRITES));
}

static bool find_route(struct api *a, struct http_request *rq, struct route_match *m)
{
    size_t n = strlen(rq->raw_path);
    if (router_match(a->router, rq->cx, rq->method, rq->raw_path, m))
        return true;
    if (m->allow || n < 2 || rq->raw_path[n - 1] != '/' ||
        !family_of_path(a, rq->path)->strips_slash)
        return false;
    return router_match(a->router, rq->cx, rq->method,
                        arena_strndup(rq->cx->arena, rq->raw_path, n - 1), m);
}

static struct err *match(struct api *a, struct http_request *rq, struct call *c,
                         const char **ret_allow)
{
    struct route_match m;
    if (!find_route(a, rq, &m)) {
        *ret_allow = m.allow;
        if (m.allow)
            return fail(rq->cx, ERR_METHOD,
                        "The method %s is not allowed for this resource; it takes %s", rq->method,
                        m.allow);
        return fail(rq->cx, ERR_NOT_FOUND, "The resource could not be found.");
    }
    struct bound_route *b = m.route;
    struct http_pair *params = arena_memdup(rq->cx->arena, m.params, sizeof(m.params));
    *c = (struct call){.cx = rq->cx,
                       .api = a,
                       .rq = rq,
                       .route = b->route,
                       .service = b->service,
                       .bound = b,
                       .params = params,
                       .n_params = m.n_params,
                       .store = a->store,
                       .actor = arena_new_of(rq->cx->arena, struct actor)};
    return NULL;
}

static struct err *authenticate(struct call *c, struct tx *tx)
{
    enum rule rule = c->route->rule;
    const char *token = http_header(c->rq, "X-Auth-Token");
    if (rule == RULE_NODE && c->rq->peer_sha256)
        return c->api->hooks.authenticate_cert(c->cx, tx, c->rq->peer_sha256, call_param(c, "host"),
                                               c->actor);
    if (rule == RULE_NODE) {
        const char *auth = http_header(c->rq, "Authorization");
        if (!str_starts(auth, "Bearer "))
            return fail(c->cx, ERR_UNAUTHENTICATED,
                        "This call is an agent's: it needs the host's secret");
        return c->api->hooks.authenticate_node(c->cx, tx, auth + strlen("Bearer "),
                                               call_param(c, "host"), c->actor);
    }
    if (!token) {
        if (rule == RULE_PUBLIC)
            return NULL;
        return fail(c->cx, ERR_UNAUTHENTICATED,
                    "The request you have made requires authentication.");
    }
    struct err *e = c->api->hooks.authenticate(c->cx, tx, token, c->actor);
    if (!e && c->actor->limited)
        e = access_check(c);
    if (e && rule == RULE_PUBLIC && e->kind == ERR_UNAUTHENTICATED) {
        *c->actor = (struct actor){0};
        return NULL;
    }
    c->cx->actor = c->actor;
    return e;
}

static struct err *check_rule(struct call *c)
{
    const struct actor *a = c->actor;
    bool ok = false;
    switch (c->route->rule) {
    case RULE_PUBLIC:
    case RULE_ANY:
    case RULE_NODE:
        ok = true;
        break;
    case RULE_READER:
        ok = a->project_id || a->admin;
        break;
    case RULE_MEMBER:
        ok = a->project_id && a->member;
        break;
    case RULE_ADMIN:
        ok = a->admin;
        break;
    case RULE_NOBODY:
        break;
    }
    if (ok)
        return NULL;
    return fail(c->cx, ERR_FORBIDDEN, "Policy doesn't allow %s to be performed.", c->route->policy);
}

static struct err *load_target(struct call *c)
{
    const struct resource *res = c->route->target;
    if (!res)
        return NULL;
    const char *id = c->route->target_param ? call_param(c, c->route->target_param)
                                            : c->params[c->n_params - 1].value;
    TRY(res_find_visible(c->cx, c->tx, res, id, c->actor, &c->target));
    if (c->route->rule == RULE_MEMBER && res->owner >= 0)
        return call_require_owner(
            c,
            *(const char *const *)(const void *)((const char *)c->target +
                                                 res->fields[res->owner].offset),
            res, id);
    return NULL;
}

static struct err *parse_body(struct call *c)
{
    if (c->route->flags & (RT_RAW_BODY | RT_STREAM))
        return NULL;
    if (!c->rq->body_size) {
        if (c->route->body)
            return fail(c->cx, ERR_INVALID, "The request needs a JSON body");
        return NULL;
    }
    return json_read(c->cx, c->rq->body, c->rq->body_size, &c->json);
}

static struct err *decode_body(struct call *c)
{
    const struct resource *res = c->route->body;
    if (!res || (c->route->flags & RT_BULK))
        return NULL;
    bool update = (c->route->flags & RT_UPDATE) ||
                  (str_eq(c->rq->method, "PUT") && c->target && c->route->target == res) ||
                  str_eq(c->rq->method, "PATCH");
    if (update && c->target && c->route->target == res)
        c->body = arena_memdup(c->cx->arena, c->target, res->row_size);
    else
        c->body = res_new(c->cx, res);
    return res_decode_body(c->cx, c->service->family, res, c->json,
                           update ? DECODE_UPDATE : DECODE_CREATE, c->microversion, c->actor->admin,
                           c->body);
}

/* Everything that happens inside the transaction; run again on ERR_STALE. */
static struct err *run_in_tx(struct call *c, bool write, struct tx **begun)
{
    AUTO_TXN struct tx *tx = TAKE_PTR(*begun);
    if (!tx)
        TRY(write ? tx_write(c->cx, c->store, &tx) : tx_read(c->cx, c->store, &tx));
    c->tx = tx;
    c->target = c->body = NULL;
    TRY(load_target(c));
    if (c->target && c->service->loaded)
        TRY(c->service->loaded(c));
    TRY(decode_body(c));
    TRY(c->route->handler(c));
    if (c->rp->park_topic)
        return NULL;
    if (write && audit_wanted(c))
        TRY(audit_add(c, tx, c->rp->status));
    c->tx = NULL;
    return write ? tx_commit(c->cx, &tx) : NULL;
}

static struct err *run_handler(struct call *c, struct tx **begun)
{
    if (c->route->flags & RT_NO_TX) {
        TRY(decode_body(c));
        return c->route->handler(c);
    }
    for (unsigned tries = 0;;) {
        size_t n_headers = c->rp->n_headers;
        struct err *e = run_in_tx(c, !is_read(c), begun);
        c->tx = NULL;
        if (!tx_again(c->cx, e, &tries)) {
            bool lost = e && tries && e->kind == ERR_STALE;
            return lost ? wrap(c->cx, e, ERR_UNAVAILABLE,
                               "too many change the same things just now, try again later")
                        : e;
        }
        c->rp->n_headers = n_headers;
        c->rp->content_type = NULL;
        close_fd_p(&c->rp->file_fd);
        buf_clear(&c->rp->body);
        c->rp->status = 0;
    }
}

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = words; (p = strstr(p, word)); p += n)
        if (n && (p == words || p[-1] == ' ') && (!p[n] || p[n] == ' '))
            return true;
    return false;
}

static struct err *check_query(struct call *c)
{
    if (!c->route->query || c->microversion < c->route->query_since)
        return NULL;
    for (size_t i = 0; i < c->rq->n_args; i++)
        if (!has_word(c->route->query, c->rq->args[i].name))
            return fail(c->cx, ERR_INVALID,
                        "Additional properties are not allowed ('%s' was unexpected)",
                        c->rq->args[i].name);
    return NULL;
}

/* *ret_tx (NULL: not wanted): the transaction that a call which only reads goes on with. */
static struct err *admit(struct call *c, struct tx **ret_tx)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(negotiate_version(c));
    TRY(tx_read(c->cx, c->store, &tx));
    TRY(authenticate(c, tx));
    TRY(check_rule(c));
    if (c->microversion < c->route->since || (c->route->until && c->microversion > c->route->until))
        return fail(c->cx, ERR_NOT_FOUND, "The resource could not be found.");
    TRY(check_query(c));
    if (c->service->admit)
        TRY(c->service->admit(c));
    if (ret_tx && is_read(c) && !(c->route->flags & RT_NO_TX) && !c->route->before)
        *ret_tx = TAKE_PTR(tx);
    return NULL;
}

/* A mutating call that left no event in its own transaction: failed, or RT_NO_TX. */
static void audit_apart(struct call *c, int status)
{
    AUTO_TXN struct tx *tx = NULL;
    struct err *e = tx_write(c->cx, c->store, &tx);
    if (!e)
        e = audit_add(c, tx, status);
    if (!e)
        e = tx_commit(c->cx, &tx);
    if (e)
        log_err(c->cx, LOG_ERROR, e, "an audit event was lost", "action", c->route->policy, NULL);
}

static void count_answer(struct call *c, int64_t began_us)
{
    int class = c->rp->status / 100;
    if (c->rp->park_topic || class < 0 || class > 5)
        return;
    atomic_fetch_add_explicit(&c->bound->answers[class], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->bound->busy_us, (uint64_t)(mono_us(c->cx) - began_us),
                              memory_order_relaxed);
}

static void finish(struct call *c, struct err *e)
{
    if (e)
        reply_error(c->cx, c->rq, c->rp, c->service->family, c->actor, e);
    else if (c->rp->park_topic)
        return;
    else if (!c->rp->status)
        c->rp->status = c->route->status ? c->route->status : 200;
    if (audit_wanted(c) && (e || (c->route->flags & RT_NO_TX)))
        audit_apart(c, c->rp->status);
}

/* Matched, or answered with the error. */
static struct call *call_of(struct api *a, struct http_request *rq, struct http_reply *rp)
{
    struct call *c = arena_new_of(rq->cx->arena, struct call);
    const char *allow = NULL;
    struct err *e = match(a, rq, c, &allow);
    if (!e) {
        c->rp = rp;
        return c;
    }
    if (allow)
        http_reply_header(rp, rq->cx, "Allow", allow);
    reply_error(rq->cx, rq, rp, family_of_path(a, rq->path), NULL, e);
    return NULL;
}

static void api_handle(void *arg UNUSED, struct http_request *rq, struct http_reply *rp)
{
    AUTO_TXN struct tx *tx = NULL;
    struct call *c = rq->app; /* a streamed call was admitted when it began */
    struct err *e = NULL;
    int64_t began_us = mono_us(rq->cx);
    if (!c->admitted) { /* or parked since, and run again as if it had just come */
        *c = (struct call){.cx = c->cx,
                           .api = c->api,
                           .rq = rq,
                           .route = c->route,
                           .service = c->service,
                           .bound = c->bound,
                           .params = c->params,
                           .n_params = c->n_params,
                           .store = c->store,
                           .actor = arena_new_of(rq->cx->arena, struct actor)};
        c->rp = rp;
        e = admit(c, &tx);
        if (!e)
            e = parse_body(c);
    }
    c->rp = rp;
    if (!e && c->route->before)
        e = c->route->before(c);
    if (!e && c->route->before && rp->status) {
        count_answer(c, began_us);
        return;
    }
    if (!e)
        e = run_handler(c, &tx);
    tx_rollback(&tx);
    finish(c, e);
    count_answer(c, began_us);
}

/* After the headers: the lane, and a streamed call's admission. What no route takes is answered at
 * once. */
static enum http_lane api_begin(void *arg, struct http_request *rq, struct http_reply *rp,
                                struct http_sink **ret_sink)
{
    struct call *c = call_of(arg, rq, rp);
    if (!c)
        return LANE_INLINE;
    rq->app = c;
    if (c->route->flags & RT_SLOW)
        return LANE_SLOW;
    if (!(c->route->flags & RT_STREAM))
        return is_read(c) && !(c->route->flags & RT_WORKER) ? LANE_INLINE : LANE_WORKER;
    int64_t began_us = mono_us(rq->cx);
    struct err *e = admit(c, NULL);
    if (!e)
        e = c->route->stream(c, ret_sink);
    c->admitted = !e;
    if (e) {
        finish(c, e);
        count_answer(c, began_us);
    }
    return LANE_WORKER;
}

static void api_refuse(void *arg, struct http_request *rq, struct http_reply *rp, int status,
                       const char *message)
{
    const struct family *fam = family_of_path(arg, rq->path ? rq->path : "");
    struct err *e = fail(rq->cx, ERR_INVALID, "%s", message);
    buf_clear(&rp->body);
    rp->status = status;
    fam->render(rq->cx, &rp->body, e, status);
}

struct http_app api_app(struct api *a)
{
    return (struct http_app){
        .arg = a, .begin = api_begin, .handle = api_handle, .refuse = api_refuse};
}
