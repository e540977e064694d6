/* SPDX-License-Identifier: EUPL-1.2 */
/* Bodies into rows: what is taken, what is refused, and in which words. */
#include "resource/test_widgets.h"

static struct ctx cx;

static int setup(void **state UNUSED)
{
    ctx_init(&cx);
    resource_init(&widget_resource);
    resource_init(&widget_keep_resource);
    resource_init(&widget_ignore_resource);
    return 0;
}

static int teardown(void **state UNUSED)
{
    ctx_release(&cx);
    return 0;
}

/* Single quotes for double ones. */
static const json_t *json(const char *text)
{
    json_t *j = NULL;
    char *copy = arena_strdup(cx.arena, text);
    for (char *p = copy; *p; p++)
        *p = (char)(*p == '\'' ? '"' : *p);
    assert_ok(&cx, json_read(&cx, copy, strlen(copy), &j));
    return j;
}

struct how {
    const struct resource *res;
    const struct family *fam;
    unsigned microversion;
    bool admin;
};
static const struct how plain = {&widget_resource, &family_network, 0, false};

static struct err *decode(const struct how *h, enum decode_mode mode, const char *text,
                          struct widget *w)
{
    return res_decode(&cx, h->fam, h->res, json(text), mode, h->microversion, h->admin, w);
}

static struct widget *good(const char *text)
{
    struct widget *w = res_new(&cx, &widget_resource);
    assert_ok(&cx, decode(&plain, DECODE_CREATE, text, w));
    return w;
}

static const char *refused_as(const struct how *h, enum err_kind kind, enum decode_mode mode,
                              const char *text)
{
    struct widget *w = res_new(&cx, &widget_resource);
    struct err *e = decode(h, mode, text, w);
    if (!e || e->kind != kind) {
        print_error("%s: %s\n", text, e ? err_chain(&cx, e) : "was taken");
        _fail(__FILE__, __LINE__);
    }
    return e->message;
}

static const char *refused(const char *text)
{
    return refused_as(&plain, ERR_INVALID, DECODE_CREATE, text);
}

static void defaults(void **state UNUSED)
{
    struct widget *w = good("{'name': 'a'}");
    assert_string_equal(w->name, "a");
    assert_true(row_given(&w->row, widget_f_name));
    assert_false(row_given(&w->row, widget_f_size));
    assert_null(w->project_id);
    assert_true(w->size == INT_NULL);
    assert_int_equal(w->weight, 3);
    assert_true(w->ready);
    assert_false(w->lax);
    assert_null(w->color);
    assert_string_equal(w->notes, "{}");
    assert_string_equal(w->tags, "[]");
    assert_int_equal(w->at, 0);
}

static void values(void **state UNUSED)
{
    struct widget *w =
        good("{'name': 'ábcdefghij', 'size': 100, 'weight': -5, 'ready': false, 'color': 'green',"
             "'notes': {'b': [1, null], 'a': 1.5}, 'metadata': {'k': 'v'}, 'tags': ['x', 'yz'],"
             "'at': '2026-11-23T07:08:42Z', 'input': 'seen', 'tenant_id': 'p9'}");
    assert_int_equal(w->size, 100);
    assert_int_equal(w->weight, -5);
    assert_false(w->ready);
    assert_string_equal(w->notes, "{\"a\":1.5,\"b\":[1,null]}");
    assert_string_equal(w->metadata, "{\"k\":\"v\"}");
    assert_string_equal(w->tags, "[\"x\",\"yz\"]");
    assert_true(w->at == 1795417722000000);
    assert_string_equal(w->input, "seen");
    assert_string_equal(w->project_id, "p9");
    w = good("{'name': 'a', 'notes': null}"); /* the default */
    assert_string_equal(w->notes, "{}");
    w = good("{'name': 'a', 'size': null, 'color': null, 'at': null, 'address': null}");
    assert_true(w->size == INT_NULL && !w->color && !w->at && !w->address);
    assert_true(row_given(&w->row, widget_f_size));
}

static void lax_forms(void **state UNUSED)
{
    assert_int_equal(good("{'name': 'a', 'weight': '4'}")->weight, 4);
    assert_int_equal(good("{'name': 'a', 'weight': '-4'}")->weight, -4);
    assert_true(good("{'name': 'a', 'lax': 'True'}")->lax);
    assert_true(good("{'name': 'a', 'lax': 1}")->lax);
    assert_false(good("{'name': 'a', 'lax': 'off'}")->lax);
    refused("{'name': 'a', 'lax': 2}");
    refused("{'name': 'a', 'lax': 'maybe'}");
    refused("{'name': 'a', 'lax': []}");
    refused("{'name': 'a', 'weight': '4x'}");
    refused("{'name': 'a', 'weight': ''}");
    refused("{'name': 'a', 'weight': ' 4'}");
    refused("{'name': 'a', 'weight': '99999999999999999999'}");
    refused("{'name': 'a', 'size': '4'}"); /* the strict ones don't take text */
    refused("{'name': 'a', 'ready': 'true'}");
    refused("{'name': 'a', 'ready': 1}");
}

static void mistyped(void **state UNUSED)
{
    static const char *const bodies[] = {
        "{'name': 1}",
        "{'name': ['a']}",
        "{'name': {}}",
        "{'name': true}",
        "{'name': 'a', 'size': 1.0}",
        "{'name': 'a', 'size': true}",
        "{'name': 'a', 'size': [1]}",
        "{'name': 'a', 'size': -1}",
        "{'name': 'a', 'size': 101}",
        "{'name': 'a', 'weight': 6}",
        "{'name': 'a', 'weight': -6}",
        "{'name': 'a', 'size': 9223372036854775807}",
        "{'name': 'a', 'color': 'black'}",
        "{'name': 'a', 'color': 3}",
        "{'name': 'a', 'notes': []}",
        "{'name': 'a', 'notes': 'x'}",
        "{'name': 'a', 'metadata': ['k']}",
        "{'name': 'a', 'metadata': {'k': 1}}",
        "{'name': 'a', 'metadata': {'k': null}}",
        "{'name': 'a', 'metadata': {'': 'v'}}",
        "{'name': 'a', 'metadata': {'k': 'vvvvvvvvvvvvvvvvvvvvv'}}",
        "{'name': 'a', 'metadata': {'kkkkkkkkkkkkkkkkkkkkk': 'v'}}",
        "{'name': 'a', 'tags': 'x'}",
        "{'name': 'a', 'tags': [1]}",
        "{'name': 'a', 'tags': ['123456']}",
        "{'name': 'a', 'tags': {}}",
        "{'name': 'a', 'at': 5}",
        "{'name': 'a', 'at': 'yesterday'}",
        "{'name': 'a', 'at': '2026-02-31T00:00:00Z'}",
        "{'name': 'a', 'address': '10.0.0.256'}",
        "{'name': 'a', 'address': 10}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        refused(bodies[i]);
}

static void nulls_where_none_may_be(void **state UNUSED)
{
    static const char *const bodies[] = {
        "{'name': null}", "{'name': 'a', 'weight': null}", "{'name': 'a', 'ready': null}",
        "{'name': 'a', 'tags': null}", "{'name': 'a', 'metadata': null}"};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        assert_non_null(strstr(refused(bodies[i]), "None is not of type"));
}

static void lengths(void **state UNUSED)
{
    good("{'name': '1234567890'}");
    assert_non_null(strstr(refused("{'name': '12345678901'}"), "too long"));
    assert_non_null(strstr(refused("{'name': ''}"), "too short"));
    char *text = arena_alloc(cx.arena, 300001);
    memset(text, 'x', 300000);
    const char *why = refused(arena_printf(cx.arena, "{'name': '%s'}", text));
    assert_true(strlen(why) < 5000); /* a refusal does not repeat what it refuses at any length */
    refused(arena_printf(cx.arena, "{'name': 'a', 'newer': '%.256s'}", text));
    struct how five = plain;
    five.microversion = 5;
    assert_ok(&cx, decode(&five, DECODE_CREATE,
                          arena_printf(cx.arena, "{'name': 'a', 'newer': '%.255s'}", text),
                          res_new(&cx, &widget_resource)));
    refused_as(&five, ERR_INVALID, DECODE_CREATE,
               arena_printf(cx.arena, "{'name': 'a', 'newer': '%.256s'}", text));
}

/* Names that were never declared, are shown only, hidden, or belong to another version. */
static void members_not_for_clients(void **state UNUSED)
{
    assert_non_null(
        strstr(refused("{'name': 'a', 'nonsense': 1}"), "Unrecognized attribute(s) 'nonsense'"));
    assert_non_null(
        strstr(refused("{'name': 'a', 'secret': 'x'}"), "Unrecognized attribute(s) 'secret'"));
    assert_non_null(strstr(refused("{'name': 'a', 'generation': 1}"), "Unrecognized"));
    assert_non_null(strstr(refused("{'name': 'a', 'id': 'x'}"), "'id' not allowed here"));
    assert_non_null(strstr(refused("{'name': 'a', 'created_at': null}"), "not allowed here"));
    assert_non_null(strstr(refused("{'name': 'a', 'host': 'x'}"), "not allowed here"));
    assert_non_null(strstr(refused("{}"), "Required attribute 'name' not specified"));
    refused_as(&plain, ERR_INVALID, DECODE_UPDATE, "{'project_id': 'x'}");
    refused_as(&plain, ERR_INVALID, DECODE_UPDATE, "{'input': 'x'}");
    refused_as(&plain, ERR_FORBIDDEN, DECODE_CREATE, "{'name': 'a', 'level': 1}");
    struct how admin = plain;
    admin.admin = true;
    struct widget *w = res_new(&cx, &widget_resource);
    assert_ok(&cx, decode(&admin, DECODE_CREATE, "{'name': 'a', 'level': 1}", w));
    assert_int_equal(w->level, 1);
}

static void versions(void **state UNUSED)
{
    struct how h = plain;
    for (h.microversion = 1; h.microversion <= 8; h.microversion++) {
        const char *in =
            h.microversion < 5 ? "{'name': 'a', 'older': 'x'}" : "{'name': 'a', 'newer': 'x'}";
        const char *out =
            h.microversion < 5 ? "{'name': 'a', 'newer': 'x'}" : "{'name': 'a', 'older': 'x'}";
        assert_ok(&cx, decode(&h, DECODE_CREATE, in, res_new(&cx, &widget_resource)));
        refused_as(&h, ERR_INVALID, DECODE_CREATE, out);
    }
}

static void two_names_of_one_field(void **state UNUSED)
{
    assert_string_equal(good("{'name': 'a', 'tenant_id': 'x', 'project_id': 'x'}")->project_id,
                        "x");
    refused("{'name': 'a', 'tenant_id': 'x', 'project_id': 'y'}");
    refused("{'name': 'a', 'project_id': 'x', 'tenant_id': null}");
}

static void updates_touch_what_is_given(void **state UNUSED)
{
    struct widget *w = good("{'name': 'a', 'size': 4, 'color': 'red', 'metadata': {'k': 'v'}}");
    assert_ok(&cx, decode(&plain, DECODE_UPDATE, "{'size': null}", w));
    assert_true(w->size == INT_NULL);
    assert_string_equal(w->color, "red");
    assert_string_equal(w->metadata, "{\"k\":\"v\"}");
    assert_ok(&cx, decode(&plain, DECODE_UPDATE, "{}", w));
    assert_string_equal(w->name, "a");
    refused_as(&plain, ERR_INVALID, DECODE_UPDATE, "{'name': null}");
}

static void further_members(void **state UNUSED)
{
    struct how keep = plain, ignore = plain;
    keep.res = &widget_keep_resource;
    keep.fam = &family_image;
    ignore.res = &widget_ignore_resource;
    struct widget *w = res_new(&cx, &widget_resource);
    assert_ok(&cx, decode(&keep, DECODE_CREATE, "{'name': 'a', 'os': 'linux', 'arch': 'x'}", w));
    assert_string_equal(w->metadata, "{\"arch\":\"x\",\"os\":\"linux\"}");
    assert_ok(&cx, decode(&keep, DECODE_UPDATE, "{'os': 'bsd'}", w)); /* the others stay */
    assert_string_equal(w->metadata, "{\"arch\":\"x\",\"os\":\"bsd\"}");
    refused_as(&keep, ERR_INVALID, DECODE_CREATE, "{'name': 'a', 'os': 1}");
    refused_as(&keep, ERR_INVALID, DECODE_CREATE, "{'name': 'a', '': 'x'}");
    refused_as(&keep, ERR_FORBIDDEN, DECODE_CREATE,
               "{'name': 'a', 'secret': 'x'}"); /* a column's name is no property's */
    refused_as(&keep, ERR_FORBIDDEN, DECODE_CREATE, "{'name': 'a', 'id': 'x'}");
    struct buf b;
    buf_init(&b, cx.arena);
    for (int i = 0; i < 200; i++)
        buf_printf(&b, ", 'property-%d': 'x'", i);
    refused_as(&keep, ERR_TOO_LARGE, DECODE_CREATE,
               arena_printf(cx.arena, "{'name': 'a'%s}", buf_cstr(&b)));
    w = res_new(&cx, &widget_resource);
    assert_ok(
        &cx, decode(&ignore, DECODE_CREATE, "{'name': 'a', 'os': 7, 'id': 'x', 'secret': 'y'}", w));
    assert_null(w->id);
    assert_null(w->secret);
}

static void wrappers(void **state UNUSED)
{
    static const char *const bad[] = {"[]",
                                      "'text'",
                                      "7",
                                      "null",
                                      "{}",
                                      "{'widget': null}",
                                      "{'widget': []}",
                                      "{'widget': 'x'}",
                                      "{'Widget': {'name': 'a'}}",
                                      "{'widget': {'name': 'a'}, 'more': 1}"};
    const struct family *const families[] = {&family_network, &family_compute, &family_identity,
                                             &family_image};
    for (size_t f = 0; f < ARRAY_LEN(families); f++) {
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
            assert_err(&cx, ERR_INVALID,
                       res_decode_body(&cx, families[f], &widget_resource, json(bad[i]),
                                       DECODE_CREATE, 0, false, res_new(&cx, &widget_resource)));
        assert_ok(&cx, res_decode_body(&cx, families[f], &widget_resource,
                                       json("{'widget': {'name': 'a'}}"), DECODE_CREATE, 0, false,
                                       res_new(&cx, &widget_resource)));
    }
    assert_ok(&cx, res_decode_body(&cx, &family_image, &widget_keep_resource, json("{'name': 'a'}"),
                                   DECODE_CREATE, 0, false, res_new(&cx, &widget_resource)));
}

/* jansson's part of the bargain: what is no JSON, or ambiguous, never gets here. */
static void texts(void **state UNUSED)
{
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {{"", 0},
               {"{\"a\":1,\"a\":2}", 13},
               {"{\"a\":\"\\u0000\"}", 14},
               {"{\"a\":\"\xff\"}", 9},
               {"{\"a\":1} x", 9},
               {"{\"a\":\"\\ud800\"}", 14},
               {"{\"a\":1", 6},
               {"\0", 1},
               {"{\"a\":99999999999999999999}", 26},
               {"nul", 3}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_t *j = NULL;
        assert_err(&cx, ERR_INVALID, json_read(&cx, bad[i].text, bad[i].len, &j));
    }
    json_t *j = NULL;
    char deep[100000];
    memset(deep, '[', sizeof(deep));
    assert_err(&cx, ERR_INVALID, json_read(&cx, deep, sizeof(deep), &j));
}

static void python_words(void **state UNUSED)
{
    assert_string_equal(json_python(&cx, json("{'a': [1, true, false, null, 'x', 1.5]}")),
                        "{'a': [1, True, False, None, 'x', 1.5]}");
    char deep[200] = "", *p = deep;
    for (int i = 0; i < 50; i++)
        *p++ = '[';
    for (int i = 0; i < 50; i++)
        *p++ = ']';
    assert_non_null(strstr(json_python(&cx, json(deep)), "..."));
}

static const char *canonical(const char *(*check)(struct ctx *, const json_t *, json_t **),
                             const char *text)
{
    json_t *ret = NULL;
    const char *why = check(&cx, json_own(&cx, json_string(text)), &ret);
    return why ? "refused" : ret ? json_string_value(ret) : text;
}

static void addresses(void **state UNUSED)
{
    static const struct {
        const char *(*check)(struct ctx *, const json_t *, json_t **);
        const char *in, *out;
    } t[] = {
        {check_ip, "10.0.0.1", "10.0.0.1"},
        {check_ip, "010.0.0.1", "refused"},
        {check_ip, "10.0.0", "refused"},
        {check_ip, "10.0.0.1 ", "refused"},
        {check_ip, "2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {check_ip, "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {check_ip, "::ffff:10.0.0.1", "::ffff:10.0.0.1"},
        {check_ip, "::babe:dc0c:1602", "::babe:dc0c:1602"},
        {check_ip, "::dc0c:1602", "::dc0c:1602"},
        {check_ip, "::0:1602", "::1602"},
        {check_ip, "::1.2.3.4", "::102:304"},
        {check_ip, "::1:0", "::1:0"},
        {check_ip, "fe80::1%eth0", "refused"},
        {check_ip, "", "refused"},
        {check_ip, ":", "refused"},
        {check_ipv4, "2001:db8::1", "refused"},
        {check_ipv6, "10.0.0.1", "refused"},
        {check_cidr, "10.0.0.7/24", "10.0.0.0/24"},
        {check_cidr, "10.0.0.7", "10.0.0.7/32"},
        {check_cidr, "10.0.0.7/33", "refused"},
        {check_cidr, "10.0.0.7/-1", "refused"},
        {check_cidr, "10.0.0.7/", "refused"},
        {check_cidr, "10.0.0.7/024", "refused"},
        {check_cidr, "10.0.0.7/2 4", "refused"},
        {check_cidr, "0.0.0.0/0", "0.0.0.0/0"},
        {check_cidr, "255.255.255.255/0", "0.0.0.0/0"},
        {check_cidr, "2001:DB8::FFFF/64", "2001:db8::/64"},
        {check_cidr, "::1.2.3.4/128", "::102:304/128"},
        {check_cidr, "2001:db8::/129", "refused"},
        {check_mac, "FA-16-3E-00-00-01", "fa:16:3e:00:00:01"},
        {check_mac, "fa:16:3e:00:00:1", "refused"},
        {check_mac, "01:00:5e:00:00:01", "refused"},
        {check_mac, "fa:16:3e:00:00:0g", "refused"},
        {check_uuid, "7e1f0a4c-0000-4000-8000-0123456789ab",
         "7e1f0a4c-0000-4000-8000-0123456789ab"},
        {check_uuid, "7e1f0a4c000040008000012345678ab", "refused"},
        {check_uuid, "7e1f0a4c-0000-4000-8000-0123456789a/", "refused"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        assert_string_equal(canonical(t[i].check, t[i].in), t[i].out);
    json_t *ret = NULL;
    assert_non_null(check_ip(&cx, json("5"), &ret));
    assert_non_null(check_cidr(&cx, json("null"), &ret));
    assert_non_null(check_mac(&cx, json("{}"), &ret));
    assert_non_null(check_uuid(&cx, json("[]"), &ret));
    assert_string_equal(good("{'name': 'a', 'address': '2001:DB8::0001'}")->address, "2001:db8::1");
}

static void words_of_each_family(void **state UNUSED)
{
    struct how h = plain;
    h.fam = &family_compute;
    assert_string_equal(refused_as(&h, ERR_INVALID, DECODE_CREATE, "{'name': 'a', 'x': 1}"),
                        "Invalid input for field/attribute widget. Additional properties are not "
                        "allowed ('x' was unexpected)");
    assert_string_equal(
        refused_as(&h, ERR_INVALID, DECODE_CREATE, "{'name': 5}"),
        "Invalid input for field/attribute name. Value: 5. 5 is not of type 'string'");
    h.fam = &family_network;
    assert_string_equal(refused_as(&h, ERR_INVALID, DECODE_CREATE, "{'name': 5}"),
                        "Invalid input for name. Reason: 5 is not of type 'string'.");
    h.fam = &family_image;
    assert_string_equal(refused_as(&h, ERR_FORBIDDEN, DECODE_CREATE, "{'name': 'a', 'id': 'x'}"),
                        "Attribute 'id' is read-only.");
    h.fam = &family_identity;
    assert_non_null(
        strstr(refused_as(&h, ERR_INVALID, DECODE_CREATE, "{}"), "'name' is a required property"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(values),
        cmocka_unit_test(lax_forms),
        cmocka_unit_test(mistyped),
        cmocka_unit_test(nulls_where_none_may_be),
        cmocka_unit_test(lengths),
        cmocka_unit_test(members_not_for_clients),
        cmocka_unit_test(versions),
        cmocka_unit_test(two_names_of_one_field),
        cmocka_unit_test(updates_touch_what_is_given),
        cmocka_unit_test(further_members),
        cmocka_unit_test(wrappers),
        cmocka_unit_test(texts),
        cmocka_unit_test(python_words),
        cmocka_unit_test(addresses),
        cmocka_unit_test(words_of_each_family),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
