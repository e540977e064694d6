/* SPDX-License-Identifier: EUPL-1.2 */
/* See test_api.h. */
#include "resource/select.h"
#include "resource/test_api.h"
#include "http/test_port.h"

static struct err *fake_authenticate(struct ctx *cx, struct tx *tx UNUSED, const char *token,
                                     struct actor *ret)
{
    static const char *const admin_roles[] = {"admin", "member", "reader", NULL};
    static const char *const member_roles[] = {"member", "reader", NULL};
    static const char *const reader_roles[] = {"reader", NULL};
    if (str_eq(token, "bad"))
        return fail(cx, ERR_UNAUTHENTICATED, "The request you have made requires authentication.");
    bool admin = str_eq(token, "admin"), reader = str_ends(token, ":reader");
    const char *project = admin ? "admin-project"
                          : reader
                              ? arena_strndup(cx->arena, token, strlen(token) - strlen(":reader"))
                              : token;
    *ret = (struct actor){.user_id = arena_printf(cx->arena, "user-%s", project),
                          .user_name = project,
                          .user_domain_id = "default",
                          .user_domain_name = "Default",
                          .project_id = project,
                          .project_name = project,
                          .project_domain_id = "default",
                          .project_domain_name = "Default",
                          .roles = admin    ? admin_roles
                                   : reader ? reader_roles
                                            : member_roles,
                          .token = token,
                          .admin = admin,
                          .member = !reader};
    return NULL;
}

static struct err *fake_node(struct ctx *cx, struct tx *tx UNUSED, const char *secret,
                             const char *host, struct actor *ret)
{
    if (!str_eq(secret, "secret"))
        return fail(cx, ERR_UNAUTHENTICATED, "Wrong secret");
    *ret = (struct actor){.host_id = host};
    return NULL;
}

/* A database that lives longer than the test: what an earlier one left behind goes. */
static void empty_database(struct test_api *t)
{
    static const struct stmt drop = {"drop_schema", "DROP SCHEMA public CASCADE"};
    static const struct stmt create = {"create_schema", "CREATE SCHEMA public"};
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t->cx, tx_write(&t->cx, t->store, &tx));
    assert_ok(&t->cx, db_exec(&t->cx, tx, &drop, NULL, 0, NULL));
    assert_ok(&t->cx, db_exec(&t->cx, tx, &create, NULL, 0, NULL));
    assert_ok(&t->cx, tx_commit(&t->cx, &tx));
}

static int64_t test_wall(struct clock *c)
{
    struct clock *s = clock_system();
    return s->wall_us(s) + atomic_load(&((struct test_clock *)(void *)c)->later_us);
}

static int64_t test_mono(struct clock *c UNUSED)
{
    struct clock *s = clock_system();
    return s->mono_us(s);
}

void test_api_later(struct test_api *t, int64_t seconds)
{
    atomic_fetch_add(&t->clock.later_us, seconds * 1000000);
}

static const struct api_hooks fake_hooks = {.authenticate = fake_authenticate,
                                            .authenticate_node = fake_node};

struct start {
    const struct service *const *services;
    size_t n;
    const struct api_hooks *hooks;
    const char *url;
    bool empties, joins;
};

static void start(struct test_api *t, const struct start *s)
{
    static const struct api_config cfg = {.region = "RegionOne"};
    struct http_config http = {.host = "127.0.0.1",
                               .io_threads = 2,
                               .workers = 4,
                               .slow_workers = 1,
                               .queue_max = 64,
                               .connections_max = 64,
                               .body_max_bytes = 1 << 20,
                               .idle_timeout_s = 30,
                               .clock = &t->clock.clock};
    *t = (struct test_api){.clock = {{test_wall, test_mono}, 0}};
    t->port_reserved = port_reserve(&http.port);
    ctx_init_with(&t->cx, &t->clock.clock, rng_system());
    log_set_level(LOG_ERROR);
    assert_ok(&t->cx, store_open(&t->cx, s->url, 4, &t->store));
    if (s->empties)
        empty_database(t);
    t->api = api_new(t->store, s->services, s->n, s->hooks, &cfg);
    struct migration first = {1, "first", api_ddl(&t->cx, s->services, s->n)};
    if (!s->joins)
        assert_ok(&t->cx, store_migrate(&t->cx, t->store, &first, 1));
    struct http_app app = api_app(t->api);
    assert_ok(&t->cx, http_server_start(&t->cx, &http, &app, &t->server));
    api_set_server(t->api, t->server);
    snprintf(t->url, sizeof(t->url), "http://127.0.0.1:%u", http_server_port(t->server));
    t->client = http_client_new();
}

void test_api_start_with(struct test_api *t, const struct service *const *services, size_t n,
                         const struct api_hooks *hooks)
{
    const char *url = getenv("COLVERT_TEST_POSTGRES");
    start(t, &(struct start){.services = services,
                             .n = n,
                             .hooks = hooks,
                             .url = url ? url : "sqlite::memory:",
                             .empties = url != NULL});
}

void test_api_start(struct test_api *t, const struct service *const *services, size_t n)
{
    test_api_start_with(t, services, n, &fake_hooks);
}

void test_api_start_on(struct test_api *t, const struct service *const *services, size_t n,
                       const char *url, bool joins)
{
    start(t, &(struct start){.services = services,
                             .n = n,
                             .hooks = &fake_hooks,
                             .url = url,
                             .empties = !joins && str_starts(url, "postgres"),
                             .joins = joins});
}

void test_api_stop(struct test_api *t)
{
    http_client_free(t->client);
    http_server_stop(t->server, 1000);
    api_free(t->api);
    store_close(t->store);
    close_fd_p(&t->port_reserved);
    ctx_release(&t->cx);
}

struct test_reply test_call(struct test_api *t, const char *token, const char *method,
                            const char *path, const char *body_fmt, ...)
{
    struct http_pair headers[10] = {0};
    size_t n = 0;
    if (token && str_eq(token, "node"))
        headers[n++] = (struct http_pair){"Authorization", "Bearer secret"};
    else if (token)
        headers[n++] = (struct http_pair){"X-Auth-Token", token};
    headers[n++] = (struct http_pair){"Content-Type", "application/json"};
    for (size_t i = 0; i < ARRAY_LEN(t->headers) && t->headers[i]; i++) {
        const char *colon = strchr(t->headers[i], ':');
        must(colon);
        headers[n++] = (struct http_pair){
            arena_strndup(t->cx.arena, t->headers[i], (size_t)(colon - t->headers[i])), colon + 2};
    }
    char *body = NULL;
    if (body_fmt) {
        va_list ap;
        va_start(ap, body_fmt);
        body = arena_vprintf(t->cx.arena, body_fmt, ap);
        va_end(ap);
        for (char *p = body; *p; p++)
            if (*p == '\'')
                *p = '"';
    }
    struct http_call call = {.method = method,
                             .url = arena_printf(t->cx.arena, "%s%s", t->url, path),
                             .headers = headers,
                             .n_headers = n,
                             .body = body,
                             .body_size = body ? strlen(body) : 0};
    struct test_reply r = {0};
    assert_ok(&t->cx, http_client_call(&t->cx, t->client, &call, &r.answer));
    r.status = r.answer.status;
    r.text = buf_cstr(&r.answer.body);
    if (*r.text == '{' || *r.text == '[')
        assert_ok(&t->cx, json_read(&t->cx, r.text, r.answer.body.len, &r.json));
    return r;
}

const json_t *test_at(const struct test_reply *r, const char *path)
{
    const json_t *j = r->json;
    char key[128];
    while (j && *path) {
        if (*path == '[') {
            j = json_array_get(j, (size_t)strtoul(path + 1, NULL, 10));
            path = strchr(path, ']') + 1;
        } else {
            size_t n = strcspn(path, ".[");
            must(n < sizeof(key));
            memcpy(key, path, n);
            key[n] = 0;
            j = json_get(j, key);
            path += n;
        }
        if (*path == '.')
            path++;
    }
    return j;
}

const char *test_str(struct test_api *t, const struct test_reply *r, const char *path)
{
    const json_t *j = test_at(r, path);
    if (!j)
        return NULL;
    return json_is_string(j) ? json_string_value(j) : json_text(&t->cx, j);
}

/* ---------------------------------------------------------------- what lists read */

static const char *encoded(struct test_api *t, struct tx *tx, const struct encoder *e,
                           const struct projection *read, const char *id)
{
    struct buf b;
    struct jw w;
    struct collected c = {.res = e->res, .read = read};
    const struct res_where q = {e->res, "id = $1", NULL};
    const struct stmt st = {"needs", res_select_sql(&t->cx, &q, read->columns)};
    const struct db_value param = V_TEXT(id);
    assert_ok(&t->cx, db_each(&t->cx, tx, &st, &param, 1, res_collect, &c));
    assert_int_equal(c.n, 1);
    assert_ok(&t->cx, res_prepare(&t->cx, tx, e->res, c.rows, 1, e->view));
    buf_init(&b, t->cx.arena);
    jw_init(&w, &b);
    res_encode_by(&t->cx, &w, e, c.rows[0]);
    return buf_cstr(&b);
}

void test_needs(struct test_api *t, const struct resource *res, const char *id,
                const char *list_pattern, unsigned microversion)
{
    struct http_request rq = {.method = "GET"};
    const struct route route = {.method = "GET", .pattern = list_pattern};
    struct call call = {.cx = &t->cx, .rq = &rq, .route = &route};
    assert_non_null(res->needs);
    for (unsigned i = 0; i < 4 * (microversion + 1); i++) {
        AUTO_TXN struct tx *tx = NULL;
        const struct view v = {.admin = i & 1,
                               .brief = i & 2,
                               .microversion = i / 4,
                               .base_url = "http://cloud/service/v1",
                               .call = &call};
        const struct encoder e = res_encoder(&t->cx, res, &v);
        const struct projection read = res_needed(&t->cx, &e, NULL);
        assert_ok(&t->cx, tx_read(&t->cx, t->store, &tx));
        assert_true(read.partial);
        assert_string_equal(encoded(t, tx, &e, &read, id),
                            encoded(t, tx, &e, &res->state->whole, id));
    }
}
