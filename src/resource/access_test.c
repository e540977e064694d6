/* SPDX-License-Identifier: EUPL-1.2 */
/* Patterns of the paths that a limited actor may call. */
#include "resource/engine.h"
#include "base/test.h"
#include <time.h>

static void patterns(void **state UNUSED)
{
    static const struct {
        const char *pattern, *path;
        bool match;
    } cases[] = {
        {"/v2.1/servers", "/v2.1/servers", true},
        {"/v2.1/servers", "/v2.1/servers/", false},
        {"/v2.1/servers", "/v2.1/server", false},
        {"/v2.1/servers/*/ips", "/v2.1/servers/abc/ips", true},
        {"/v2.1/servers/*/ips", "/v2.1/servers//ips", false},
        {"/v2.1/servers/*/ips", "/v2.1/servers/a/b/ips", false},
        {"/v2.1/servers/*/ips", "/v2.1/servers/abc/ips/x", false},
        {"/v2.1/servers/{server_id}/ips", "/v2.1/servers/abc/ips", true},
        {"/v2.1/servers/{server_id}", "/v2.1/servers/a/b", false},
        {"/v2.1/servers/**", "/v2.1/servers/a/b/c", true},
        {"/v2.1/servers/**", "/v2.1/servers/", true},
        {"/v2.1/servers/**", "/v2.1/servers", false},
        {"/**/ips", "/v2.1/servers/abc/ips", true},
        {"/**", "/", true},
        {"**", "", true},
        {"*", "", false},
        {"/a*c", "/abc", true},
        {"/a*c", "/ac", false},
        {"/{open", "/{open", true},
        {"/.", "/x", false},
        {"", "", true},
        {"", "/", false},
    };
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (access_path_matches(&cx, cases[i].pattern, cases[i].path) != cases[i].match)
            fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].path);
}

/* No pattern makes it slow. */
static void many_stars(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    char pattern[226] = "/", path[4000];
    for (int i = 1; i < 224; i++)
        pattern[i] = i % 3 ? '*' : 'a';
    pattern[224] = 'b';
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = 0;
    clock_t began = clock();
    assert_false(access_path_matches(&cx, pattern, path));
    assert_true(clock() - began < CLOCKS_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(patterns), cmocka_unit_test(many_stars)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
