/* SPDX-License-Identifier: EUPL-1.2 */
/* Request targets (path, query) and the router, on hostile text: what comes out is UTF-8 and within
 * its bounds. */
#include "http/conn.h"
#include "http/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct router *routes(void)
{
    static const char *const patterns[] = {"/",
                                           "/v3/",
                                           "/servers",
                                           "/servers/detail",
                                           "/servers/{server_id}",
                                           "/servers/{server_id}/action",
                                           "/{account}/{container}",
                                           "/{account}/{container}/{object}",
                                           "/a/{b}/c/{d}/e/{f}",
                                           "/a/x/c/{d}/e/y"};
    static int marks[ARRAY_LEN(patterns)];
    struct router *r = router_new();
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        router_add(r, "GET", patterns[i], &marks[i]);
        if (i % 2)
            router_add(r, "PUT", patterns[i], &marks[i]);
    }
    return r;
}

static void check_text(const char *s)
{
    must(s && str_utf8_len(s) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct router *r;
    r = r ? r : routes();
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    char *target = arena_strndup(cx.arena, (const char *)data, size);
    struct http_request rq = {.cx = &cx};
    struct err *e = request_target(&rq, target);
    must(!e || e->kind == ERR_INVALID);
    check_text(rq.path);
    for (size_t i = 0; i < rq.n_args; i++) {
        check_text(rq.args[i].name);
        check_text(rq.args[i].value);
        must(http_arg(&rq, rq.args[i].name) != NULL);
    }
    struct route_match m;
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        bool found = router_match(r, &cx, methods[i], rq.raw_path, &m);
        must(found == (m.route != NULL) && m.n_params <= HTTP_MAX_PARAMS);
        for (size_t p = 0; p < m.n_params; p++) {
            check_text(m.params[p].value);
            must(*m.params[p].value);
        }
    }
    (void)authority_valid(target);
    (void)request_id_valid(target);
    return 0;
}
