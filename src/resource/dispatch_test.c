/* SPDX-License-Identifier: EUPL-1.2 */
/* The dispatcher: who is let in, how each family words its refusals, transactions, retries, the
 * audit's trail. */
#include "resource/engine.h"
#include "resource/test_widgets.h"

static struct test_api t;
static const char *id; /* of a widget of p1 */

#define C "/compute/v2.1"

static int setup(void **state UNUSED)
{
    test_api_start(&t, widget_services, n_widget_services);
    struct test_reply r =
        test_expect(&t, 201, "p1", "POST", C "/widgets", "{'widget': {'name': 'one'}}");
    id = test_str(&t, &r, "widget.id");
    log_set_level(
        (enum log_level)(LOG_ERROR + 1)); /* causes of 500 are logged: here they are wanted */
    return 0;
}

static int teardown(void **state UNUSED)
{
    test_api_stop(&t);
    return 0;
}

static const char *at(const char *fmt, const char *a, const char *b)
{
    struct buf out;
    buf_init(&out, t.cx.arena);
    for (const char *p = fmt; *p; p++)
        if (*p == '@')
            buf_str(&out, TAKE_PTR(a));
        else if (*p == '#')
            buf_str(&out, TAKE_PTR(b));
        else
            buf_char(&out, *p);
    return buf_cstr(&out);
}

static const char *header(const struct test_reply *r, const char *name)
{
    for (size_t i = 0; i < r->answer.n_headers; i++)
        if (str_eq(r->answer.headers[i].name, name))
            return r->answer.headers[i].value;
    return NULL;
}

static int64_t number(const char *sql)
{
    const struct stmt st = {"number", sql};
    struct tx *tx = NULL;
    struct db_rows rows;
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, db_query(&t.cx, tx, &st, NULL, 0, &rows));
    tx_rollback(&tx);
    return db_int(&rows, 0, 0);
}

/* ---------------------------------------------------------------- refusals and their shapes */

/* The members that each family's clients look at. */
static void has_shape(const char *path, const struct test_reply *r, int status)
{
    if (str_starts(path, "/compute")) {
        assert_int_equal(json_object_size(r->json), 1);
        const json_t *fault = json_object_iter_value(json_object_iter(r->json));
        assert_int_equal(json_get_int(fault, "code", 0), status);
        assert_non_null(json_get_str(fault, "message"));
    } else if (str_starts(path, "/network")) {
        assert_non_null(test_at(r, "NeutronError.type"));
        assert_non_null(test_at(r, "NeutronError.message"));
        assert_string_equal(test_str(&t, r, "NeutronError.detail"), "");
    } else if (str_starts(path, "/image")) {
        assert_non_null(strstr(test_str(&t, r, "code"), arena_printf(t.cx.arena, "%d ", status)));
        assert_non_null(test_at(r, "message"));
        assert_non_null(test_at(r, "title"));
    } else {
        assert_int_equal(json_get_int(test_at(r, "error"), "code", 0), status);
        assert_non_null(test_at(r, "error.title"));
        assert_non_null(test_at(r, "error.message"));
    }
    assert_non_null(header(r, "x-openstack-request-id"));
}

static void every_family_refuses_in_its_shape(void **state UNUSED)
{
    static const char *const bases[] = {C, "/network/v2.0", "/identity/v3", "/image/v2"};
    static const struct {
        int status;
        const char *token, *method, *path, *body;
    } calls[] = {
        {401, NULL, "GET", "/widgets", NULL},
        {401, "bad", "GET", "/widgets", NULL},
        {401, NULL, "POST", "/widgets", "{'widget': {'name': 'a'}}"},
        {403, "p1:reader", "POST", "/widgets", "{'widget': {'name': 'a'}}"},
        {403, "p1", "GET", "/big", NULL},
        {404, "p1", "GET", "/nothing", NULL},
        {404, NULL, "GET", "/nothing", NULL},
        {404, "p1", "GET", "/widgets/nothing", NULL},
        {404, "p2", "GET", "/widgets/@", NULL},
        {404, "p2", "DELETE", "/widgets/@", NULL},
        {404, "p2", "PUT", "/widgets/@", "{'widget': {'name': 'x'}}"},
        {405, "p1", "PATCH", "/widgets", NULL},
        {405, NULL, "DELETE", "/widgets", NULL},
        {400, "p1", "POST", "/widgets", NULL},
        {400, "p1", "POST", "/widgets", "{'widget': {'name': 'a'"},
        {400, "p1", "POST", "/widgets", "[]"},
        {400, "p1", "POST", "/widgets", "7"},
        {400, "p1", "POST", "/widgets", "{'widget': {'name': 'a', 'name': 'b'}}"},
        {400, "p1", "POST", "/widgets", "{'widget': {'name': 'a\\u0000b'}}"},
        {400, "p1", "POST", "/widgets", "{'widget': {'name': 'a', 'unknown': 1}}"},
        {403, "p1", "POST", "/widgets", "{'widget': {'name': 'a', 'level': 1}}"},
        {400, "p1", "POST", "/no-tx", "{"},
        {400, "p1", "GET", "/widgets?name=%ff", NULL},
        {400, "p1", "GET", "/widgets?limit=-1", NULL},
        {409, "p1", "POST", "/widgets", "{'widget': {'name': 'one'}}"},
    };
    for (size_t b = 0; b < ARRAY_LEN(bases); b++) {
        for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
            const char *path =
                arena_printf(t.cx.arena, "%s%s", bases[b], at(calls[i].path, id, NULL));
            struct test_reply r =
                calls[i].body
                    ? test_call(&t, calls[i].token, calls[i].method, path, "%s", calls[i].body)
                    : test_call(&t, calls[i].token, calls[i].method, path, NULL);
            if (r.status != calls[i].status) {
                print_error("%s %s as %s: %d, expected %d: %s\n", calls[i].method, path,
                            calls[i].token, r.status, calls[i].status, r.text);
                _fail(__FILE__, __LINE__);
            }
            has_shape(path, &r, r.status);
            assert_int_equal(header(&r, "www-authenticate") != NULL, r.status == 401);
            assert_int_equal(header(&r, "allow") != NULL, r.status == 405);
        }
    }
}

static void a_stranger_cannot_tell(void **state UNUSED)
{
    struct test_reply mine = test_call(&t, "p2", "GET", at(C "/widgets/@", id, NULL), NULL);
    struct test_reply none =
        test_call(&t, "p2", "GET", C "/widgets/7e1f0a4c-0000-4000-8000-0123456789ab", NULL);
    assert_int_equal(mine.status, none.status);
    assert_int_equal(strlen(mine.text), strlen(none.text));
    assert_non_null(
        strstr(none.text, "Widget 7e1f0a4c-0000-4000-8000-0123456789ab could not be found."));
}

/* What others share is read, not changed. */
static void shared_is_not_owned(void **state UNUSED)
{
    struct test_reply r = test_expect(&t, 201, "admin", "POST", C "/widgets",
                                      "{'widget': {'name': 'open', 'shared': true}}");
    const char *shared = test_str(&t, &r, "widget.id");
    test_expect(&t, 200, "p1", "GET", at(C "/widgets/@", shared, NULL), NULL);
    test_expect(&t, 403, "p1", "PUT", at(C "/widgets/@", shared, NULL),
                "{'widget': {'name': 'mine'}}");
    test_expect(&t, 403, "p1", "DELETE", at(C "/widgets/@", shared, NULL), NULL);
    test_expect(&t, 403, "p1:reader", "DELETE", at(C "/widgets/@", id, NULL), NULL);
    test_expect(&t, 200, "p1:reader", "GET", at(C "/widgets/@", id, NULL), NULL);
    test_expect(&t, 200, "admin", "PUT", at(C "/widgets/@", id, NULL), "{'widget': {'level': 2}}");
    test_expect(&t, 204, "admin", "DELETE", at(C "/widgets/@", shared, NULL), NULL);
}

static void heads(void **state UNUSED)
{
    struct test_reply r = test_expect(&t, 200, "p1", "HEAD", at(C "/widgets/@", id, NULL), NULL);
    assert_string_equal(r.text, "");
    r = test_expect(&t, 404, "p2", "HEAD", at(C "/widgets/@", id, NULL), NULL);
    assert_string_equal(r.text, "");
    r = test_expect(&t, 401, NULL, "HEAD", C "/widgets", NULL);
    assert_string_equal(r.text, "");
    test_expect(&t, 405, "p1", "HEAD", C "/no-tx", NULL);
}

static void public_routes(void **state UNUSED)
{
    test_expect(&t, 202, NULL, "GET", C "/open", NULL);
    test_expect(&t, 202, "bad", "GET", C "/open", NULL); /* a stale token does no harm */
    test_expect(&t, 202, "p1", "GET", C "/open", NULL);
}

/* ---------------------------------------------------------------- bodies */

static void deep_and_large_bodies(void **state UNUSED)
{
    char *deep = arena_alloc(t.cx.arena, 8001);
    memset(deep, '[', 4000);
    memset(deep + 4000, ']', 4000);
    test_expect(&t, 400, "p1", "POST", C "/widgets",
                "{'widget': {'name': 'deep', 'notes': {'x': %s}}}", deep);
    deep[50] = 0;
    test_expect(&t, 201, "p1", "POST", C "/widgets",
                "{'widget': {'name': 'deep', 'notes': {'x': %s%s}}}", deep, deep + 7950);
    test_expect(&t, 200, "p1", "GET", C "/widgets?name=deep", NULL);
    char *large = arena_alloc(t.cx.arena, (1 << 20) + 2);
    memset(large, ' ', (1 << 20) + 1);
    struct test_reply r = test_call(&t, "p1", "POST", C "/widgets", "%s", large);
    assert_int_equal(r.status, 413);
    has_shape(C, &r, 413);
}

static void updates(void **state UNUSED)
{
    struct test_reply r =
        test_expect(&t, 200, "p1", "PUT", at(C "/widgets/@", id, NULL), "{'widget': {'size': 9}}");
    assert_string_equal(test_str(&t, &r, "widget.size"), "9");
    assert_string_equal(test_str(&t, &r, "widget.name"), "one");
    r = test_expect(&t, 200, "p1", "PUT", at(C "/widgets/@", id, NULL),
                    "{'widget': {'size': null}}");
    assert_true(json_is_null(test_at(&r, "widget.size")));
    test_expect(&t, 400, "p1", "PUT", at(C "/widgets/@", id, NULL),
                "{'widget': {'project_id': 'p2'}}");
    test_expect(&t, 400, "p1", "PUT", at(C "/widgets/@", id, NULL), "{'widget': {'name': null}}");
    test_expect(&t, 400, "p1", "PUT", at(C "/widgets/@", id, NULL), NULL);
}

static void over_quota(void **state UNUSED)
{
    static const struct {
        const char *path;
        int status;
    } families[] = {{C, 403}, {"/network/v2.0", 409}, {"/identity/v3", 403}, {"/image/v2", 413}};
    for (int i = 0; i < 40; i++)
        test_expect(&t, 201, "p4", "POST", C "/widgets", "{'widget': {'name': 'n%d'}}", i);
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        struct test_reply r = test_expect(&t, families[i].status, "p4", "POST",
                                          arena_printf(t.cx.arena, "%s/widgets", families[i].path),
                                          "{'widget': {'name': 'x'}}");
        has_shape(families[i].path, &r, r.status);
    }
    assert_int_equal(number("SELECT count(*) FROM widgets WHERE project_id = 'p4'"), 40);
}

/* ---------------------------------------------------------------- versions */

static int with_version(const char *value, struct test_reply *ret)
{
    t.headers[0] = value;
    *ret = test_call(&t, "p1", "GET", at(C "/widgets/@", id, NULL), NULL);
    t.headers[0] = NULL;
    return ret->status;
}

static void microversions(void **state UNUSED)
{
    struct test_reply r;
    static const struct {
        const char *sent, *answered;
        int status;
    } t2[] = {{"OpenStack-API-Version: compute 2.5", "2.5", 200},
              {"OpenStack-API-Version: compute 2.1", "2.1", 200},
              {"OpenStack-API-Version: compute latest", "2.96", 200},
              {"OpenStack-API-Version: volume 3.9, compute 2.26", "2.26", 200},
              {"OpenStack-API-Version: volume 3.9", "2.1", 200},
              {"OpenStack-API-Version: computer 2.26", "2.1", 200},
              {"X-OpenStack-Nova-API-Version: 2.6", "2.6", 200},
              {"OpenStack-API-Version: compute 2.97", "2.1", 406},
              {"OpenStack-API-Version: compute 2.0", "2.1", 406},
              {"OpenStack-API-Version: compute 3.1", "2.1", 406},
              {"OpenStack-API-Version: compute 2", "2.1", 400},
              {"OpenStack-API-Version: compute 2.x", "2.1", 400},
              {"OpenStack-API-Version: compute 2.-1", "2.1", 400},
              {"OpenStack-API-Version: compute 2.05x", "2.1", 400},
              {"OpenStack-API-Version: compute .5", "2.1", 400},
              {"OpenStack-API-Version: compute 2.99999999999999999999", "2.1", 400}};
    for (size_t i = 0; i < ARRAY_LEN(t2); i++) {
        if (with_version(t2[i].sent, &r) != t2[i].status)
            print_error("%s: %s\n", t2[i].sent, r.text);
        assert_int_equal(r.status, t2[i].status);
        assert_string_equal(header(&r, "openstack-api-version"),
                            arena_printf(t.cx.arena, "compute %s", t2[i].answered));
        assert_string_equal(header(&r, "x-openstack-nova-api-version"), t2[i].answered);
        assert_non_null(header(&r, "vary"));
        if (r.status >= 400)
            has_shape(C, &r, r.status);
    }
    with_version("OpenStack-API-Version: compute 2.4", &r);
    assert_true(test_at(&r, "widget.older") && !test_at(&r, "widget.newer"));
    with_version("OpenStack-API-Version: compute 2.5", &r);
    assert_true(!test_at(&r, "widget.older") && test_at(&r, "widget.newer"));
    static const char *const outside[] = {"X-OpenStack-Nova-API-Version: 2.9",
                                          "X-OpenStack-Nova-API-Version: 2.21"};
    static const char *const inside[] = {"X-OpenStack-Nova-API-Version: 2.10",
                                         "X-OpenStack-Nova-API-Version: 2.20"};
    for (int i = 0; i < 2; i++) {
        t.headers[0] = outside[i];
        test_expect(&t, 404, "p1", "GET", C "/since", NULL);
        t.headers[0] = inside[i];
        test_expect(&t, 202, "p1", "GET", C "/since", NULL);
    }
    t.headers[0] = NULL;
    r = test_expect(&t, 200, "p1", "GET", "/network/v2.0/widgets", NULL);
    assert_null(header(&r, "openstack-api-version"));
}

/* ---------------------------------------------------------------- transactions, errors, audit */

static void lost_races_run_again(void **state UNUSED)
{
    struct test_reply r =
        test_expect(&t, 201, "p5", "POST", C "/widgets", "{'widget': {'name': 'race', 'size': 0}}");
    const char *race = test_str(&t, &r, "widget.id");
    widgets_stale = 3;
    r = test_expect(&t, 200, "p5", "POST", at(C "/widgets/@/stale", race, NULL), NULL);
    assert_string_equal(test_str(&t, &r, "widget.size"), "1"); /* the lost attempts left nothing */
    size_t n = 0;
    for (size_t i = 0; i < r.answer.n_headers; i++)
        n += str_eq(r.answer.headers[i].name, "x-try");
    assert_int_equal(n, 1);
    widgets_stale = 1000;
    r = test_expect(&t, 503, "p5", "POST", at(C "/widgets/@/stale", race, NULL), NULL);
    has_shape(C, &r, 503);
    widgets_stale = 0;
    r = test_expect(&t, 200, "p5", "GET", at(C "/widgets/@", race, NULL), NULL);
    assert_string_equal(test_str(&t, &r, "widget.size"), "1");
}

static void errors_roll_back_and_hide_causes(void **state UNUSED)
{
    for (int k = 0; k < ERR_KIND_COUNT; k++) {
        const char *kind = err_kind_name((enum err_kind)k), *name = arena_strdup(t.cx.arena, kind);
        struct buf b;
        buf_init(&b, t.cx.arena);
        for (const char *p = name; *p; p++)
            if (*p == ' ')
                buf_str(&b, "%20");
            else
                buf_char(&b, *p);
        struct test_reply r =
            test_call(&t, "p1", "POST", at(C "/widgets/@/breaks/#", id, buf_cstr(&b)), NULL);
        assert_int_equal(r.status, k == ERR_QUOTA   ? 403
                                   : k == ERR_STALE ? 503 /* run again, and lost again */
                                                    : err_http_status((enum err_kind)k));
        has_shape(C, &r, r.status);
        assert_null(strstr(r.text, "/dev/secret"));
        assert_int_equal(strstr(r.text, "it broke inside") == NULL,
                         r.status == 500 || k == ERR_STALE);
        assert_int_equal(header(&r, "retry-after") != NULL, r.status == 503 || r.status == 429);
        if (r.status == 500) /* the log's entry is found by what the client was told */
            assert_non_null(strstr(r.text, header(&r, "x-openstack-request-id")));
    }
    struct test_reply r = test_expect(&t, 200, "p1", "GET", at(C "/widgets/@", id, NULL), NULL);
    assert_string_equal(test_str(&t, &r, "widget.name"), "one");
}

static struct db_rows events(const char *action)
{
    static const struct stmt st = {
        "events",
        "SELECT status, user_id, project_id, target_id, method, request_id, path FROM audit_events "
        "WHERE action = $1 ORDER BY at"};
    struct db_value param = V_TEXT(action);
    struct tx *tx = NULL;
    struct db_rows rows;
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, db_query(&t.cx, tx, &st, &param, 1, &rows));
    tx_rollback(&tx);
    return rows;
}

/* One event for each mutating request, whatever came of it; none for reads. */
static void audit(void **state UNUSED)
{
    struct test_reply r =
        test_expect(&t, 201, "p6", "POST", C "/widgets", "{'widget': {'name': 'seen'}}");
    const char *seen = test_str(&t, &r, "widget.id"),
               *request = header(&r, "x-openstack-request-id");
    size_t before = events("widgets:create").n_rows;
    test_expect(&t, 201, "p6", "POST", C "/widgets", "{'widget': {'name': 'seen2'}}");
    struct db_rows rows = events("widgets:create");
    assert_int_equal(rows.n_rows, before + 1);
    rows = events("widgets:create");
    assert_string_equal(db_text(&rows, before - 1, 3), seen);
    assert_string_equal(db_text(&rows, before - 1, 2), "p6");
    assert_string_equal(db_text(&rows, before - 1, 1), "user-p6");
    assert_string_equal(db_text(&rows, before - 1, 5), request);

    static const struct {
        int status;
        const char *token, *method, *path, *body, *action;
    } calls[] = {{401, NULL, "POST", "/widgets", "{}", "widgets:create"},
                 {403, "p6:reader", "POST", "/widgets", "{}", "widgets:create"},
                 {400, "p6", "POST", "/widgets", "{", "widgets:create"},
                 {400, "p6", "POST", "/widgets", "{}", "widgets:create"},
                 {404, "p2", "DELETE", "/widgets/@", NULL, "widgets:delete"},
                 {204, "p6", "DELETE", "/widgets/@", NULL, "widgets:delete"},
                 {404, "p6", "DELETE", "/widgets/@", NULL, "widgets:delete"},
                 {202, "p6", "POST", "/no-tx", NULL, "widgets:no_tx"}};
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        before = events(calls[i].action).n_rows;
        const char *path = arena_printf(t.cx.arena, C "%s", at(calls[i].path, seen, NULL));
        r = calls[i].body
                ? test_call(&t, calls[i].token, calls[i].method, path, "%s", calls[i].body)
                : test_call(&t, calls[i].token, calls[i].method, path, NULL);
        assert_int_equal(r.status, calls[i].status);
        rows = events(calls[i].action);
        assert_int_equal(rows.n_rows, before + 1);
        assert_int_equal(db_int(&rows, before, 0), calls[i].status);
        assert_string_equal(db_text(&rows, before, 5), header(&r, "x-openstack-request-id"));
    }
    int64_t all = number("SELECT count(*) FROM audit_events");
    test_expect(&t, 202, "p6", "POST", C "/reads", NULL);
    test_expect(&t, 200, "p6", "GET", C "/widgets", NULL);
    test_expect(&t, 403, "p6", "GET", C "/big", NULL);
    test_expect(&t, 404, "p6", "DELETE", C "/nothing", NULL);
    assert_int_equal(number("SELECT count(*) FROM audit_events"), all);
}

/* The store fails at each of its calls: an honest refusal, and nothing half done. */
static void a_failing_store(void **state UNUSED)
{
    int64_t before = number("SELECT count(*) FROM widgets");
    for (long n = 1; n < 200; n++) {
        store_fail_nth(t.store, n);
        struct test_reply r =
            test_call(&t, "p6", "POST", C "/widgets", "{'widget': {'name': 'f'}}");
        long calls = store_fail_nth(t.store, 0);
        if (calls < n) {
            assert_int_equal(r.status, 201);
            assert_int_equal(number("SELECT count(*) FROM widgets"), before + 1);
            return;
        }
        assert_true(r.status == 503 || r.status == 500);
        has_shape(C, &r, r.status);
        assert_int_equal(number("SELECT count(*) FROM widgets"), before);
    }
    fail_msg("the faults never stopped");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_refuses_in_its_shape),
        cmocka_unit_test(a_stranger_cannot_tell),
        cmocka_unit_test(shared_is_not_owned),
        cmocka_unit_test(heads),
        cmocka_unit_test(public_routes),
        cmocka_unit_test(deep_and_large_bodies),
        cmocka_unit_test(updates),
        cmocka_unit_test(over_quota),
        cmocka_unit_test(microversions),
        cmocka_unit_test(lost_races_run_again),
        cmocka_unit_test(errors_roll_back_and_hide_causes),
        cmocka_unit_test(audit),
        cmocka_unit_test(a_failing_store),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
