/* SPDX-License-Identifier: EUPL-1.2 */
/* Lists over HTTP: filters, order, pages in both directions, the links of each family, hostile
 * queries. */
#include "resource/test_widgets.h"

#define N 23
static struct test_api t;
static const char *ids[N];

static int setup(void **state UNUSED)
{
    static const char *const colors[] = {"'red'", "'green'", "'blue'", "null"};
    test_api_start(&t, widget_services, n_widget_services);
    for (int i = 0; i < N; i++) {
        char size[8];
        snprintf(size, sizeof(size), "%d", i / 3);
        struct test_reply r =
            test_expect(&t, 201, "p1", "POST", "/compute/v2.1/widgets",
                        "{'widget': {'name': 'w%02d', 'size': %s, 'color': %s, 'ready': %s}}", i,
                        i % 5 ? size : "null", colors[i % 4], i % 2 ? "true" : "false");
        ids[i] = test_str(&t, &r, "widget.id");
    }
    test_expect(&t, 201, "p2", "POST", "/compute/v2.1/widgets", "{'widget': {'name': 'other'}}");
    test_expect(&t, 201, "admin", "POST", "/compute/v2.1/widgets",
                "{'widget': {'name': 'public', 'shared': true}}");
    return 0;
}

static int teardown(void **state UNUSED)
{
    test_api_stop(&t);
    return 0;
}

static size_t count(const char *token, const char *path)
{
    struct test_reply r = test_expect(&t, 200, token, "GET", path, NULL);
    return json_array_size(test_at(&r, "widgets"));
}

#define C "/compute/v2.1/widgets"
#define NET "/network/v2.0/widgets"

static void who_sees_what(void **state UNUSED)
{
    assert_int_equal(count("p1", C), N + 1); /* own and shared */
    assert_int_equal(count("p1:reader", C), N + 1);
    assert_int_equal(count("p2", C), 2);
    assert_int_equal(count("p3", C), 1);
    assert_int_equal(count("admin", C), 1);
    assert_int_equal(count("admin", C "?all_tenants=1"), N + 2);
    assert_int_equal(count("admin", C "?all_tenants"), N + 2);
    assert_int_equal(count("admin", C "?all_tenants=False"), 1);
    assert_int_equal(count("p2", C "?all_tenants=1"), 2);
    assert_int_equal(count("admin", NET), N + 2); /* administrators see all networks at once */
    assert_int_equal(count("p1", NET "?project_id=p2"), 0);
    assert_int_equal(count("p1", NET "?tenant_id=p1"), N);
    assert_int_equal(count("admin", NET "?tenant_id=p2"), 1);
    test_expect(&t, 400, "admin", "GET", C "?all_tenants=perhaps", NULL);
}

static void filters(void **state UNUSED)
{
    assert_int_equal(count("p1", C "?name=w03"), 1);
    assert_int_equal(count("p1", C "?name=w%303"), 1);
    assert_int_equal(count("p1", C "?name=w03&name=w04&name=nothing"), 2);
    assert_int_equal(count("p1", C "?name=w0_"), 0); /* no pattern */
    assert_int_equal(count("p1", C "?name=%25"), 0);
    assert_int_equal(count("p1", C "?name=%27%20OR%201=1--"), 0);
    assert_int_equal(count("p1", C "?size=0&size=1"), 4);
    assert_int_equal(count("p1", C "?color=red&ready=False"), 6);
    assert_int_equal(count("p1", C "?color=red&ready=true"), 0);
    assert_int_equal(count("p1", arena_printf(t.cx.arena, C "?id=%s&id=%s", ids[0], ids[1])), 2);
    assert_int_equal(count("p1", C "?nonsense=1"), N + 1);
    assert_int_equal(count("p1", C "?notes=x"), N + 1); /* no filter is declared */
    assert_int_equal(count("p1", C "?name="), 0);
    test_expect(&t, 400, "p1", "GET", C "?size=big", NULL);
    test_expect(&t, 400, "p1", "GET", C "?ready=perhaps", NULL);
    test_expect(&t, 400, "p1", "GET", C "?at=yesterday", NULL);
    test_expect(&t, 400, "p1", "GET", C "?name=%ff", NULL);
    test_expect(&t, 400, "p1", "GET", C "?name=%00", NULL);
    /* What is shown to administrators only can't be found out by a filter or an order. */
    assert_int_equal(count("p1", C "?host=elsewhere"), N + 1);
    assert_int_equal(count("admin", C "?all_tenants=1&host=elsewhere"), 0);
    assert_int_equal(count("admin", C "?all_tenants=1&host=host-1"), N + 2);
    test_expect(&t, 400, "p1", "GET", C "?sort_key=host", NULL);
    test_expect(&t, 200, "admin", "GET", C "?sort_key=host", NULL);
    test_expect(&t, 400, "p1", "GET", C "?sort_key=secret", NULL);
}

static void a_services_own_condition(void **state UNUSED)
{
    assert_int_equal(count("admin", "/compute/v2.1/big"), 0);
    struct test_reply r =
        test_expect(&t, 201, "p2", "POST", C, "{'widget': {'name': 'large', 'size': 50}}");
    const char *id = test_str(&t, &r, "widget.id");
    r = test_expect(&t, 200, "admin", "GET", "/compute/v2.1/big?name=large&limit=5", NULL);
    assert_int_equal(json_array_size(test_at(&r, "widgets")), 1);
    assert_int_equal(json_object_size(test_at(&r, "widgets[0]")), 2); /* brief */
    test_expect(&t, 204, "p2", "DELETE", arena_printf(t.cx.arena, C "/%s", id), NULL);
}

static void too_much_is_refused(void **state UNUSED)
{
    struct buf b;
    buf_init(&b, t.cx.arena);
    for (int i = 0; i < 60; i++)
        buf_printf(&b, "&name=w%d", i);
    test_expect(&t, 400, "p1", "GET", arena_printf(t.cx.arena, C "?x%s", buf_cstr(&b)), NULL);
    buf_clear(&b);
    for (int i = 0; i < 45; i++)
        buf_printf(&b, "&name=w%d&color=c%d&size=%d&id=%d", i, i, i, i);
    test_expect(&t, 400, "p1", "GET", arena_printf(t.cx.arena, C "?x%s", buf_cstr(&b)), NULL);
    test_expect(&t, 400, "p1", "GET", C "?sort=name,size,color,id,name,size,color,id,name", NULL);
    assert_int_equal(count("p1", C), N + 1); /* and the server is still there */
}

/* ---------------------------------------------------------------- order and pages */

static const char *names_of(const struct test_reply *r)
{
    struct buf b;
    buf_init(&b, t.cx.arena);
    const json_t *list = test_at(r, "widgets");
    for (size_t i = 0; i < json_array_size(list); i++)
        buf_printf(&b, "%s ", json_get_str(json_array_get(list, i), "name"));
    return buf_cstr(&b);
}

static void order(void **state UNUSED)
{
    struct test_reply r = test_expect(&t, 200, "p1", "GET", C "?limit=3", NULL);
    assert_string_equal(names_of(&r), "w00 w01 w02 ");
    r = test_expect(&t, 200, "p1", "GET", C "?limit=3&sort_key=name&sort_dir=desc", NULL);
    assert_string_equal(names_of(&r), "w22 w21 w20 ");
    r = test_expect(&t, 200, "p1", "GET",
                    C "?limit=3&sort=color:desc,name:asc&color=red&color=blue", NULL);
    assert_string_equal(names_of(&r), "w00 w04 w08 ");
    r = test_expect(&t, 200, "p1", "GET",
                    C "?limit=2&sort_key=size&sort_key=name&sort_dir=asc&sort_dir=desc&name=w00&"
                      "name=w05&name=w01",
                    NULL);
    assert_string_equal(names_of(&r), "w05 w00 "); /* without a size: first */
    test_expect(&t, 400, "p1", "GET", C "?sort_key=nonsense", NULL);
    test_expect(&t, 400, "p1", "GET", C "?sort_key=name&sort_dir=sideways", NULL);
    test_expect(&t, 400, "p1", "GET", C "?sort=name:up", NULL);
    test_expect(&t, 400, "p1", "GET", C "?sort_key=input", NULL);
    test_expect(&t, 400, "p1", "GET", C "?sort_key=name;DROP", NULL);
}

static void limits(void **state UNUSED)
{
    assert_int_equal(count("p1", C "?limit=0"), 0);
    assert_int_equal(count("p1", C "?limit=1"), 1);
    assert_int_equal(count("p1", C "?limit=2147483647"), N + 1);
    test_expect(&t, 400, "p1", "GET", C "?limit=-1", NULL);
    test_expect(&t, 400, "p1", "GET", C "?limit=x", NULL);
    test_expect(&t, 400, "p1", "GET", C "?limit=", NULL);
    test_expect(&t, 400, "p1", "GET", C "?limit=99999999999999999999", NULL);
    assert_int_equal(count("p1", NET "?limit=0"), N + 1); /* neutron: none */
    assert_int_equal(count("p1", NET), N + 1);
    test_expect(&t, 400, "p1", "GET", C "?marker=nothing", NULL);
    test_expect(&t, 400, "p2", "GET", arena_printf(t.cx.arena, C "?marker=%s", ids[3]),
                NULL); /* a stranger's */
    assert_int_equal(count("p1", C "?marker="), N + 1);
}

static const char *link_of(const struct test_reply *r, const char *rel)
{
    const json_t *links = test_at(r, "widgets_links");
    for (size_t i = 0; i < json_array_size(links); i++)
        if (str_eq(json_get_str(json_array_get(links, i), "rel"), rel))
            return json_get_str(json_array_get(links, i), "href");
    return NULL;
}

static const char *path_of(const char *href)
{
    assert_true(str_starts(href, t.url));
    return href + strlen(t.url);
}

/* Follows the next links to the end; every row once, whatever the order. */
static void walk(const char *first, size_t pages, size_t rows)
{
    json_t *seen = json_own(&t.cx, json_object());
    const char *path = first;
    size_t n = 0, got = 0;
    while (path) {
        struct test_reply r = test_expect(&t, 200, "p1", "GET", path, NULL);
        const json_t *list = test_at(&r, "widgets");
        for (size_t i = 0; i < json_array_size(list); i++)
            json_object_set_new(seen, json_get_str(json_array_get(list, i), "id"), json_true());
        got += json_array_size(list);
        n++;
        const char *next = link_of(&r, "next");
        path = next ? path_of(next) : NULL;
        assert_true(n <= pages);
    }
    assert_int_equal(n, pages);
    assert_int_equal(got, rows);
    assert_int_equal(json_object_size(seen), rows);
}

static void pages(void **state UNUSED)
{
    walk(C "?limit=5", 5, N + 1);
    walk(C "?limit=24", 1, N + 1);
    walk(C "?limit=5&sort_key=size&sort_dir=desc", 5, N + 1);
    walk(C "?limit=5&sort_key=size", 5, N + 1); /* with rows that have none */
    walk(C "?limit=5&sort_key=color&sort_dir=desc&sort_key=size&sort_dir=asc", 5, N + 1);
    walk(C "?limit=1&color=red&color=green", 12, 12);
    walk(C "?marker=&limit=7&sort=color:asc,name:desc", 4, N + 1);
}

static void back_and_forth(void **state UNUSED)
{
    struct test_reply r =
        test_expect(&t, 200, "p1", "GET", NET "?limit=4&sort_key=name&shared=False", NULL);
    assert_string_equal(names_of(&r), "w00 w01 w02 w03 ");
    assert_null(link_of(&r, "previous"));
    r = test_expect(&t, 200, "p1", "GET", path_of(link_of(&r, "next")), NULL);
    assert_string_equal(names_of(&r), "w04 w05 w06 w07 ");
    r = test_expect(&t, 200, "p1", "GET", path_of(link_of(&r, "next")), NULL);
    assert_string_equal(names_of(&r), "w08 w09 w10 w11 ");
    r = test_expect(&t, 200, "p1", "GET", path_of(link_of(&r, "previous")), NULL);
    assert_string_equal(names_of(&r), "w04 w05 w06 w07 "); /* in the same order */
    r = test_expect(&t, 200, "p1", "GET", path_of(link_of(&r, "previous")), NULL);
    assert_string_equal(names_of(&r), "w00 w01 w02 w03 ");
    assert_null(link_of(&r, "previous"));
    r = test_expect(&t, 200, "p1", "GET", path_of(link_of(&r, "next")), NULL);
    assert_string_equal(names_of(&r), "w04 w05 w06 w07 ");
    r = test_expect(&t, 200, "p1", "GET",
                    NET "?limit=4&sort_key=name&page_reverse=True&shared=False", NULL);
    assert_string_equal(names_of(&r), "w19 w20 w21 w22 ");
    r = test_expect(&t, 200, "p1", "GET", NET "?sort_key=name", NULL);
    assert_null(test_at(&r, "widgets_links")); /* no page was asked for */
}

static void links_of_families(void **state UNUSED)
{
    struct test_reply r = test_expect(
        &t, 200, "p1", "GET", "/identity/v3/widgets?limit=2&name=w01&name=w02&name=w03", NULL);
    assert_non_null(test_at(&r, "links"));
    assert_true(json_is_null(test_at(&r, "links.previous")));
    assert_string_equal(test_str(&t, &r, "links.self"),
                        arena_printf(t.cx.arena,
                                     "%s/identity/v3/widgets?limit=2&name=w01&name=w02&name=w03",
                                     t.url));
    r = test_expect(&t, 200, "p1", "GET", path_of(test_str(&t, &r, "links.next")), NULL);
    assert_string_equal(names_of(&r), "w03 ");
    assert_true(json_is_null(test_at(&r, "links.next")));

    r = test_expect(&t, 200, "p1", "GET", "/image/v2/widgets?limit=2&name=w01&name=w02&name=w03",
                    NULL);
    assert_string_equal(test_str(&t, &r, "first"),
                        "/v2/widgets?limit=2&name=w01&name=w02&name=w03");
    assert_string_equal(test_str(&t, &r, "schema"), "/v2/schemas/widgets");
    r = test_expect(&t, 200, "p1", "GET",
                    arena_printf(t.cx.arena, "/image%s", test_str(&t, &r, "next")), NULL);
    assert_string_equal(names_of(&r), "w03 ");
    assert_null(test_at(&r, "next"));
    r = test_expect(&t, 200, "p1", "GET", "/image/v2/widgets?limit=0", NULL);
    assert_int_equal(json_array_size(test_at(&r, "widgets")), 0);
}

static void only_some_members(void **state UNUSED)
{
    struct test_reply r = test_expect(
        &t, 200, "p1", "GET", NET "?name=w01&fields=name&fields=tenant_id&fields=nonsense", NULL);
    assert_int_equal(json_object_size(test_at(&r, "widgets[0]")), 2);
    assert_string_equal(test_str(&t, &r, "widgets[0].tenant_id"), "p1");
    r = test_expect(&t, 200, "p1", "GET", NET "?name=w01", NULL);
    assert_null(test_at(&r, "widgets[0].host"));
    r = test_expect(&t, 200, "admin", "GET", NET "?name=w01", NULL);
    assert_string_equal(test_str(&t, &r, "widgets[0].host"), "host-1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_sees_what),
        cmocka_unit_test(filters),
        cmocka_unit_test(a_services_own_condition),
        cmocka_unit_test(order),
        cmocka_unit_test(limits),
        cmocka_unit_test(pages),
        cmocka_unit_test(back_and_forth),
        cmocka_unit_test(links_of_families),
        cmocka_unit_test(only_some_members),
        cmocka_unit_test(too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
