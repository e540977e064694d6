/* SPDX-License-Identifier: EUPL-1.2 */
/* Unit tests of base/. */
#include "base/test.h"
#include <sys/stat.h>
#include <malloc.h>

static void count(void *arg)
{
    ++*(int *)arg;
}

static void test_arena(void **state UNUSED)
{
    struct arena *a = arena_new();
    int freed = 0;
    arena_defer(a, count, &freed);
    for (size_t i = 1; i < 3000; i += 7) {
        char *p = arena_alloc(a, i);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t k = 0; k < i; k++)
            assert_int_equal(p[k], 0);
        memset(p, 0xff, i);
    }
    assert_string_equal(arena_printf(a, "%s-%d", "x", 7), "x-7");
    arena_reset(a);
    assert_int_equal(freed, 1);
    assert_int_equal(arena_used_bytes(a), 0);
    size_t before = mallinfo2().uordblks;
    arena_alloc(a, 100000);
    arena_reset(a);
    assert_true(mallinfo2().uordblks < before + 50000); /* a big block does not stay */
    arena_defer(a, count, &freed);
    arena_free(a);
    assert_int_equal(freed, 2);
}

static void test_buf(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct buf b;
    buf_init(&b, cx.arena);
    assert_string_equal(buf_cstr(&b), "");
    for (int i = 0; i < 5000; i++)
        buf_printf(&b, "%d,", i % 10);
    assert_int_equal(b.len, 10000);
    assert_memory_equal(b.data, "0,1,2,", 6);
    buf_clear(&b);
    buf_str(&b, "again");
    assert_string_equal(buf_cstr(&b), "again");
}

static void test_numbers(void **state UNUSED)
{
    int64_t v = 0;
    assert_true(str_to_i64("42", 0, 100, &v) && v == 42);
    assert_true(str_to_i64("-1", -5, 100, &v) && v == -1);
    const char *bad[] = {"", " 1", "1 ", "+1", "0x10", "1e3", "99999999999999999999", "101", NULL};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(str_to_i64(bad[i], 0, 100, &v));
    bool b = false;
    assert_true(str_to_bool("True", &b) && b);
    assert_true(str_to_bool("off", &b) && !b);
    assert_false(str_to_bool("maybe", &b));
}

static void test_utf8(void **state UNUSED)
{
    assert_int_equal(str_utf8_len("colvert"), 7);
    assert_int_equal(str_utf8_len("\xc3\xa9t\xc3\xa9"), 3);
    const char *bad[] = {"\xff", "\xc0\x80",         "\xed\xa0\x80",
                         "\xc3", "\xf5\x80\x80\x80", "\xe2\x82"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(str_utf8_len(bad[i]), -1);
}

static void test_time(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    int64_t us = 0;
    assert_true(time_parse("2026-11-23T07:08:42.5Z", &us));
    assert_string_equal(time_iso(&cx, us, TIME_Z), "2026-11-23T07:08:42Z");
    assert_string_equal(time_iso(&cx, us, TIME_MICROS_Z), "2026-11-23T07:08:42.500000Z");
    assert_string_equal(time_iso(&cx, us, TIME_MICROS), "2026-11-23T07:08:42.500000");
    assert_string_equal(time_iso(&cx, INT64_MAX, TIME_Z), "9999-12-31T23:59:59Z");
    assert_string_equal(time_iso(&cx, INT64_MIN, TIME_Z), "0000-01-01T00:00:00Z");
    assert_string_equal(time_iso(&cx, -1, TIME_MICROS), "1969-12-31T23:59:59.999999");
    for (int64_t secs = INT64_C(-62167219200); secs < INT64_C(253402300800); secs += 86399 * 7) {
        char text[40];
        time_t t = (time_t)secs;
        struct tm tm;
        gmtime_r(&t, &tm);
        snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        assert_string_equal(time_iso(&cx, secs * 1000000, TIME_Z), text);
        arena_reset(cx.arena);
    }
    assert_true(time_parse("2026-11-23T09:08:42+02:00", &us));
    assert_string_equal(time_iso(&cx, us, TIME_Z), "2026-11-23T07:08:42Z");
    const char *bad[] = {"2011/01/01", "2026-02-31", "2026-13-01",
                         "yesterday",  "",           "2026-11-23T25:00:00Z"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(time_parse(bad[i], &us));
}

static void test_uuid(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    const char *u = uuid_new(&cx);
    assert_int_equal(strlen(u), 36);
    assert_true(uuid_valid(u));
    assert_int_equal(u[14], '4');
    assert_string_not_equal(u, uuid_new(&cx));
    assert_true(uuid_valid(uuid_new_hex(&cx)));
    assert_false(uuid_valid("-1"));
    assert_false(uuid_valid("9223372036854775808"));
    assert_false(uuid_valid("zzzzzzzz-0000-4000-8000-000000000000"));
}

static void test_json(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct buf b;
    buf_init(&b, cx.arena);
    struct jw w;
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kstr(&w, "name", "a\"b\\c\n\x01\xc3\xa9");
    jw_kint(&w, "n", -3);
    jw_karr(&w, "list");
    jw_int(&w, 1);
    jw_null(&w);
    jw_obj(&w);
    jw_obj_end(&w);
    jw_arr_end(&w);
    jw_kbool(&w, "yes", true);
    jw_kraw(&w, "raw", "{\"x\":[]}");
    jw_key(&w, "url");
    jw_url(&w, "http://h/v2", 8, "things", "1");
    jw_karr(&w, "urls");
    jw_url(&w, "", 0, "", "");
    jw_url(&w, "http://h", 8, "things", "a\"b");
    jw_arr_end(&w);
    jw_obj_end(&w);
    assert_string_equal(buf_cstr(&b),
                        "{\"name\":\"a\\\"b\\\\c\\n\\u0001\xc3\xa9\",\"n\":-3,\"list\":[1,null,{}],"
                        "\"yes\":true,\"raw\":{\"x\":[]},\"url\":\"http://h/things/1\","
                        "\"urls\":[\"//\",\"http://h/things/a\\\"b\"]}");
    json_t *j = NULL;
    assert_ok(&cx, json_read(&cx, b.data, b.len, &j));
    assert_string_equal(json_get_str(j, "name"), "a\"b\\c\n\x01\xc3\xa9");
    assert_int_equal(json_get_int(j, "n", 0), -3);
    assert_err(&cx, ERR_INVALID, json_read(&cx, "{\"a\":1,\"a\":2}", 13, &j));
    assert_err(&cx, ERR_INVALID, json_read(&cx, "{\"a\":", 5, &j));
    assert_err(&cx, ERR_INVALID, json_read(&cx, "", 0, &j));
    for (int depth = JSON_READ_DEPTH; depth <= JSON_READ_DEPTH + 1; depth++) {
        buf_clear(&b);
        for (int i = 0; i < depth; i++)
            buf_str(&b, "[\"\\\"[[{\",");
        buf_char(&b, '1');
        for (int i = 0; i < depth; i++)
            buf_char(&b, ']');
        if (depth > JSON_READ_DEPTH)
            assert_err(&cx, ERR_INVALID, json_read(&cx, b.data, b.len, &j));
        else
            assert_ok(&cx, json_read(&cx, b.data, b.len, &j));
    }
}

/* Each byte that is a character, at each place of a text longer than what is looked at together. */
static void test_json_quoting(void **state UNUSED)
{
    for (int c = 1; c < 0x80; c++)
        for (size_t at = 0; at < 20; at++) {
            AUTO_CTX struct ctx cx;
            ctx_init(&cx);
            struct buf b;
            struct jw w;
            json_t *j = NULL;
            char text[] = "abcdefghijklmnopqrst";
            text[at] = (char)c;
            buf_init(&b, cx.arena);
            jw_init(&w, &b);
            jw_str(&w, text);
            assert_ok(&cx, json_read(&cx, b.data, b.len, &j));
            assert_string_equal(json_string_value(j), text);
        }
}

static void test_json_walk(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct buf b;
    struct json_walk w = {
        .at = "[ {\"a\" : \"x\",\"b\":-1.5e3,\"c\":[true, null] },\n\"q\\\"\\u00e9\\\\\", \"\"]"};
    buf_init(&b, cx.arena);
    while (json_walk(&cx, &w))
        buf_printf(&b, "%c%s=%s ", w.kind, w.key ? w.key : "", w.text ? w.text : "-");
    assert_string_equal(buf_cstr(&b),
                        "[=- {=- \"a=x -b=- [c=- t=- n=- ]=- }=- \"=q\"\xc3\xa9\\ \"= ]=- ");
    w = (struct json_walk){.at = " "};
    assert_false(json_walk(&cx, &w));
}

/* Numbers to their ends. */
static void test_json_numbers(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct buf b;
    struct jw w;
    buf_init(&b, cx.arena);
    jw_init(&w, &b);
    jw_arr(&w);
    jw_int(&w, INT64_MIN);
    jw_int(&w, 0);
    jw_int(&w, INT64_MAX);
    jw_arr_end(&w);
    assert_string_equal(buf_cstr(&b), "[-9223372036854775808,0,9223372036854775807]");
}

/* Longer than what is left of a block, and than a block. */
static void test_arena_printf(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    for (int n = 0; n < 20000; n += 7) {
        const char *s = arena_printf(cx.arena, "%*d|", n, 7);
        assert_int_equal(strlen(s), (n ? n : 1) + 1);
        assert_string_equal(s + strlen(s) - 2, "7|");
    }
}

static void test_errors(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct err *e = fail(&cx, ERR_NOT_FOUND, "no port %s", "p1");
    struct err *top = wrap(&cx, e, ERR_UNAVAILABLE, "cannot plug");
    assert_int_equal(err_http_status(top->kind), 503);
    assert_non_null(strstr(err_chain(&cx, top), "cannot plug"));
    assert_non_null(strstr(err_chain(&cx, top), "no port p1"));
}

static void test_encodings(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    uint8_t raw[5] = {0, 255, 1, 254, 7}, back[5], *data = NULL;
    char hex[11];
    size_t size = 0;
    hex_encode(raw, 5, hex);
    assert_string_equal(hex, "00ff01fe07");
    assert_true(hex_decode(hex, back, 5));
    assert_memory_equal(raw, back, 5);
    assert_false(hex_decode("00f", back, 5));
    assert_true(base64url_decode(&cx, base64url_encode(&cx, raw, 5), &data, &size));
    assert_int_equal(size, 5);
    assert_memory_equal(raw, data, 5);
    assert_false(base64_decode(&cx, "!!!!", &data, &size));
    for (int c = 1; c < 256; c++) { /* one text for one meaning */
        char text[] = {'A', (char)c, 'A', 'A', 0};
        bool digit = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", c);
        bool blank = c == ' ' || c == '\r' || c == '\n' || c == '\t';
        assert_int_equal(base64url_decode(&cx, text, &data, &size), digit || blank);
    }
    assert_true(base64_decode(&cx, "aGk=\n", &data, &size));
    assert_memory_equal(data, "hi", 2);
    assert_string_equal(sha256_hex(&cx, "abc", 3), /* FIPS 180-2, B.1 */
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_true(secret_eq("abc", 3, "abc", 3));
    assert_false(secret_eq("abc", 3, "abd", 3));
}

static void test_seeded(void **state UNUSED)
{
    struct rng_seeded a, b;
    struct rng *ra = rng_seed(&a, 7), *rb = rng_seed(&b, 7);
    for (int i = 0; i < 100; i++) {
        uint64_t v = rng_below(ra, 10);
        assert_true(v < 10);
        assert_int_equal(v, rng_below(rb, 10));
    }
}

static void secret_files(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    char path[] = "/tmp/colvert-base-XXXXXX", *text = NULL;
    AUTO_FD int fd = mkstemp(path); /* 0600 */
    assert_true(fd >= 0 && write(fd, "key\n", 4) == 4);
    assert_ok(&cx, secret_file_read(&cx, path, 4, &text));
    assert_string_equal(text, "key\n");
    assert_err(&cx, ERR_INVALID, secret_file_read(&cx, path, 3, &text));
    assert_int_equal(fchmod(fd, 0640), 0);
    assert_err(&cx, ERR_INVALID, secret_file_read(&cx, path, 4, &text));
    assert_err(&cx, ERR_INVALID, secret_file_read(&cx, "/tmp", 1 << 20, &text));
    assert_int_equal(unlink(path), 0);
    assert_ok(&cx, secret_file_read(&cx, path, 4, &text));
    assert_null(text);
}

static void note_text(void *arg)
{
    assert_string_equal(arg, "");
}

/* Before what was deferred earlier: a buffer's memory is given back by such a call. */
static void secrets_are_wiped(void **state UNUSED)
{
    struct arena *a = arena_new();
    char text[] = "secret";
    arena_defer(a, note_text, text);
    arena_wipe_later(a, text, sizeof(text));
    arena_free(a);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_files),      cmocka_unit_test(secrets_are_wiped),
        cmocka_unit_test(test_arena),        cmocka_unit_test(test_buf),
        cmocka_unit_test(test_numbers),      cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_time),         cmocka_unit_test(test_uuid),
        cmocka_unit_test(test_json),         cmocka_unit_test(test_json_quoting),
        cmocka_unit_test(test_json_walk),    cmocka_unit_test(test_json_numbers),
        cmocka_unit_test(test_arena_printf), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_encodings),    cmocka_unit_test(test_seeded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
