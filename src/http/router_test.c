/* SPDX-License-Identifier: EUPL-1.2 */
/* Request targets and routes: no sockets. */
#include "base/test.h"
#include "http/conn.h"
#include "http/router.h"

static struct err *target(struct ctx *cx, const char *text, struct http_request *rq)
{
    *rq = (struct http_request){.cx = cx};
    return request_target(rq, text);
}

static void test_target(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct http_request rq;
    assert_ok(&cx, target(&cx, "/a%2Fb/%C3%A9+?x=1&y=a+b%26&x=2&&z&=e&w=a=b#?%3F", &rq));
    assert_string_equal(rq.raw_path, "/a%2Fb/%C3%A9+");
    assert_string_equal(rq.path, "/a/b/\xc3\xa9+");
    assert_string_equal(rq.query, "x=1&y=a+b%26&x=2&&z&=e&w=a=b#?%3F");
    static const struct http_pair want[] = {{"x", "1"}, {"y", "a b&"}, {"x", "2"},
                                            {"z", ""},  {"", "e"},     {"w", "a=b#??"}};
    assert_int_equal(rq.n_args, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_string_equal(rq.args[i].name, want[i].name);
        assert_string_equal(rq.args[i].value, want[i].value);
    }
    assert_string_equal(http_arg(&rq, "x"), "1");
    assert_null(http_arg(&rq, "X"));
    assert_ok(&cx, target(&cx, "HTTPS://user@host:1/p?q", &rq));
    assert_string_equal(rq.path, "/p");
    assert_ok(&cx, target(&cx, "/?", &rq));
    assert_string_equal(rq.query, "");
    assert_int_equal(rq.n_args, 0);
    static const char *const bad[] = {"",      "a",           "*",          "?x",
                                      "/%",    "/%4",         "/%zz",       "/%00",
                                      "/%80",  "/%c0%af",     "/%ed%a0%80", "/%f5%80%80%80",
                                      "/?%",   "/?a=%0",      "/?a=%00",    "/?%ff=1",
                                      "/\xff", "http://host", "/%c3(",      "/?a=\x80"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_err(&cx, ERR_INVALID, target(&cx, bad[i], &rq));
        assert_true(str_utf8_len(rq.path) >= 0); /* still fit for a refusal */
    }
}

static void test_names(void **state UNUSED)
{
    assert_true(authority_valid("a.example:5000") && authority_valid("[::1]:80") &&
                authority_valid("x"));
    assert_false(authority_valid("") || authority_valid(NULL) || authority_valid("a/b") ||
                 authority_valid("a b") || authority_valid("a\"") || authority_valid("u@h"));
    assert_true(request_id_valid("req-01234567-89ab-4def-8123-456789abcdef"));
    assert_false(request_id_valid("req-0123456789ab4def8123456789abcdef") ||
                 request_id_valid(NULL) || request_id_valid("req-") ||
                 request_id_valid("01234567-89ab-4def-8123-456789abcdef"));
}

static int a, b, c, d, e, f, root;

static struct router *routes(void)
{
    struct router *r = router_new();
    router_add(r, "GET", "/", &root);
    router_add(r, "GET", "/servers", &a);
    router_add(r, "POST", "/servers", &b);
    router_add(r, "GET", "/servers/detail", &c);
    router_add(r, "GET", "/servers/{server_id}", &d);
    router_add(r, "DELETE", "/servers/{server_id}", &e);
    router_add(r, "GET", "/servers/{server_id}/metadata/{key}", &f);
    router_add(r, "GET", "/v3/", &a);
    router_add(r, "GET", "/{container}/x", &b);
    return r;
}

static void *find(struct ctx *cx, struct router *r, const char *method, const char *path,
                  struct route_match *m)
{
    bool found = router_match(r, cx, method, path, m);
    assert_int_equal(found, m->route != NULL);
    return m->route;
}

static void test_routes(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct router *r = routes();
    struct route_match m;
    assert_ptr_equal(find(&cx, r, "GET", "/", &m), &root);
    assert_ptr_equal(find(&cx, r, "GET", "/servers", &m), &a);
    assert_ptr_equal(find(&cx, r, "HEAD", "/servers", &m), &a);
    assert_ptr_equal(find(&cx, r, "POST", "/servers", &m), &b);
    assert_ptr_equal(find(&cx, r, "GET", "/%73ervers", &m), &a);
    assert_ptr_equal(find(&cx, r, "GET", "/servers/detail", &m), &c);
    assert_int_equal(m.n_params, 0);
    assert_ptr_equal(find(&cx, r, "DELETE", "/servers/detail", &m),
                     &e); /* then an id of that name */
    assert_string_equal(m.params[0].value, "detail");
    assert_ptr_equal(find(&cx, r, "GET", "/servers/a%2Fb%20c/metadata/%C3%A9", &m), &f);
    assert_int_equal(m.n_params, 2);
    assert_string_equal(m.params[0].name, "server_id");
    assert_string_equal(m.params[0].value, "a/b c");
    assert_string_equal(m.params[1].name, "key");
    assert_string_equal(m.params[1].value, "\xc3\xa9");
    assert_ptr_equal(find(&cx, r, "GET", "/v3/", &m), &a);
    assert_ptr_equal(find(&cx, r, "GET", "/servers/x", &m), &d);
    assert_ptr_equal(find(&cx, r, "GET", "/other/x", &m), &b); /* back out of a literal branch */
    assert_string_equal(m.params[0].value, "other");

    static const char *const none[] = {"",
                                       "x",
                                       "//",
                                       "/nothing",
                                       "/v3",
                                       "/servers/",
                                       "/servers//",
                                       "//servers",
                                       "/servers/1/",
                                       "/servers/1/metadata",
                                       "/servers/1/metadata/",
                                       "/servers//metadata/k",
                                       "/servers%2F1",
                                       "/servers/%zz",
                                       "/servers/%00"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        assert_null(find(&cx, r, "GET", none[i], &m));
        assert_null(m.allow);
        assert_int_equal(m.n_params, 0);
    }
    assert_null(find(&cx, r, "PUT", "/servers", &m));
    assert_string_equal(m.allow, "GET, POST");
    assert_null(find(&cx, r, "get", "/servers/1", &m));
    assert_string_equal(m.allow, "GET, DELETE");
    char deep[4000];
    memset(deep, '/', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = 0;
    assert_null(find(&cx, r, "GET", deep, &m));
    router_free(r);
    router_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_target),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
