/* SPDX-License-Identifier: EUPL-1.2 */
/* Application credentials: making them, logging in with them, and all that ends them. */
#include "identity/test_identity.h"

static const char *path_of(const struct person *p, const char *id)
{
    return fmt(V3 "/users/%s/application_credentials%s%s", p->user, *id ? "/" : "", id);
}

static struct test_reply make(const struct person *p, const char *token, int status,
                              const char *body)
{
    return test_expect(&t, status, token, "POST", path_of(p, ""), "{'application_credential': %s}",
                       body);
}

/* given: the members of identity.application_credential. */
static struct test_reply by_credential(const char *given, const char *more)
{
    return test_call(&t, NULL, "POST", V3 "/auth/tokens",
                     "{'auth': {'identity': {'methods': ['application_credential'], "
                     "'application_credential': %s}%s}}",
                     given, more);
}

static const char *id_and_secret(struct test_reply *r)
{
    return fmt("{'id': '%s', 'secret': '%s'}", test_str(&t, r, "application_credential.id"),
               test_str(&t, r, "application_credential.secret"));
}

static void made_shown_listed_deleted(void **state UNUSED)
{
    struct person p = person("ac-life", "member"), other = person("ac-other", "member");
    const char *token = person_token(&p), *stranger = person_token(&other);
    struct test_reply one = make(&p, token, 201, "{'name': 'one', 'description': 'd'}");
    const char *id = test_str(&t, &one, "application_credential.id");
    assert_string_equal(test_str(&t, &one, "application_credential.project_id"), p.project);
    assert_true(json_is_null(test_at(&one, "application_credential.expires_at")));
    assert_int_equal(json_array_size(test_at(&one, "application_credential.roles")),
                     2); /* member, and reader by it */
    assert_true(strlen(test_str(&t, &one, "application_credential.secret")) >= 64);
    make(&p, token, 201, "{'name': 'two'}");
    make(&p, token, 409, "{'name': 'one'}");
    struct test_reply r = test_expect(&t, 200, token, "GET", path_of(&p, id), NULL);
    assert_null(test_at(&r, "application_credential.secret"));
    assert_null(strstr(r.text, "argon2"));
    r = test_expect(&t, 200, token, "GET", path_of(&p, ""), NULL);
    assert_int_equal(json_array_size(test_at(&r, "application_credentials")), 2);
    r = test_expect(&t, 200, token, "GET", fmt("%s?name=two", path_of(&p, "")), NULL);
    assert_int_equal(json_array_size(test_at(&r, "application_credentials")), 1);
    /* Others neither see nor touch them; an administrator does. */
    test_expect(&t, 403, stranger, "GET", path_of(&p, ""), NULL);
    test_expect(&t, 403, stranger, "GET", path_of(&p, id), NULL);
    test_expect(&t, 404, stranger, "GET", path_of(&other, id), NULL);
    test_expect(&t, 404, stranger, "DELETE", path_of(&other, id), NULL);
    test_expect(&t, 403, stranger, "POST", path_of(&p, ""),
                "{'application_credential': {'name': 'x'}}");
    test_expect(&t, 403, admin, "POST", path_of(&p, ""),
                "{'application_credential': {'name': 'x'}}");
    test_expect(&t, 200, admin, "GET", path_of(&p, id), NULL);
    test_expect(&t, 204, token, "DELETE", path_of(&p, id), NULL);
    test_expect(&t, 404, token, "GET", path_of(&p, id), NULL);
}

static void bad_bodies(void **state UNUSED)
{
    struct person p = person("ac-bad", "reader");
    const char *token = person_token(&p),
               *unscoped = token_of(user_named("ac-bad", "pw"), "'unscoped'");
    static const char *const bad[] = {"{}",
                                      "{'name': ''}",
                                      "{'name': 7}",
                                      "{'name': 'a', 'expires_at': 'soon'}",
                                      "{'name': 'a', 'expires_at': '2001-01-01T00:00:00'}",
                                      "{'name': 'a', 'roles': 'member'}",
                                      "{'name': 'a', 'roles': [{}]}",
                                      "{'name': 'a', 'roles': [{'name': 'admin'}]}",
                                      "{'name': 'a', 'roles': [{'id': 'x'}]}",
                                      "{'name': 'a', 'secret': ''}",
                                      "{'name': 'a', 'access_rules': [{'path': '/'}]}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        make(&p, token, 400, bad[i]);
    make(&p, unscoped, 403, "{'name': 'a'}");
    make(&p, token, 201, "{'name': 'a', 'access_rules': []}");
}

static void logging_in(void **state UNUSED)
{
    struct person p = person("ac-login", "member");
    const char *token = person_token(&p);
    struct test_reply a = make(&p, token, 201, "{'name': 'a'}");
    struct test_reply b =
        make(&p, token, 201, "{'name': 'b', 'secret': 'mine', 'roles': [{'name': 'reader'}]}");
    assert_string_equal(test_str(&t, &b, "application_credential.secret"), "mine");
    struct test_reply r = by_credential(id_and_secret(&a), "");
    assert_int_equal(r.status, 201);
    assert_string_equal(test_str(&t, &r, "token.project.id"), p.project);
    assert_string_equal(test_str(&t, &r, "token.user.id"), p.user);
    assert_string_equal(test_str(&t, &r, "token.methods[0]"), "application_credential");
    assert_int_equal(json_array_size(test_at(&r, "token.roles")), 2);
    const char *its = reply_header(&r, "x-subject-token");
    assert_int_equal(use(its), 200);
    struct test_reply shown = subject_call(its, "GET", its);
    assert_true(json_equal(test_at(&shown, "token"), test_at(&r, "token")));
    /* By its name, with its user's. */
    r = by_credential("{'name': 'b', 'secret': 'mine', 'user': {'name': 'ac-login', 'domain': "
                      "{'name': 'Default'}}}",
                      "");
    assert_int_equal(r.status, 201);
    assert_int_equal(json_array_size(test_at(&r, "token.roles")), 1);
    r = by_credential(fmt("{'name': 'b', 'secret': 'mine', 'user': {'id': '%s'}}", p.user), "");
    assert_int_equal(r.status, 201);
    /* Refused: another secret, another's name, another scope, a further log-in with its token. */
    const char *a_id = test_str(&t, &a, "application_credential.id");
    assert_int_equal(by_credential(fmt("{'id': '%s', 'secret': 'mine'}", a_id), "").status, 401);
    assert_int_equal(by_credential("{'id': 'nothing', 'secret': 'mine'}", "").status, 401);
    assert_int_equal(by_credential("{'name': 'b', 'secret': 'mine', 'user': {'name': 'admin', "
                                   "'domain': {'id': 'default'}}}",
                                   "")
                         .status,
                     401);
    assert_int_equal(by_credential("{'name': 'b', 'secret': 'mine'}", "").status, 400);
    assert_int_equal(by_credential(fmt("{'id': '%s'}", a_id), "").status, 400);
    assert_int_equal(
        by_credential(id_and_secret(&a), fmt(", 'scope': %s", project_named("ac-login"))).status,
        401);
    r = test_call(
        &t, NULL, "POST", V3 "/auth/tokens",
        "{'auth': {'identity': {'methods': ['token'], 'token': {'id': '%s'}}, 'scope': %s}}", its,
        project_named("ac-login"));
    assert_int_equal(r.status, 401);
}

static void what_they_may(void **state UNUSED)
{
    struct person p = person("ac-may", "member");
    const char *token = person_token(&p);
    struct test_reply plain = make(&p, token, 201, "{'name': 'plain'}");
    struct test_reply full = make(&p, token, 201, "{'name': 'full', 'unrestricted': true}");
    struct test_reply r = by_credential(id_and_secret(&plain), "");
    const char *its = reply_header(&r, "x-subject-token");
    make(&p, its, 403, "{'name': 'child'}");
    test_expect(&t, 200, its, "GET", path_of(&p, ""), NULL);
    test_expect(&t, 403, its, "DELETE",
                path_of(&p, test_str(&t, &full, "application_credential.id")), NULL);
    r = by_credential(id_and_secret(&full), "");
    its = reply_header(&r, "x-subject-token");
    make(&p, its, 201, "{'name': 'child'}");
    test_expect(&t, 204, its, "DELETE",
                path_of(&p, test_str(&t, &plain, "application_credential.id")), NULL);
}

static void they_expire(void **state UNUSED)
{
    struct person p = person("ac-expires", "member");
    const char *token = person_token(&p),
               *at = time_iso(&t.cx, now_us(&t.cx) + 60000000, TIME_MICROS);
    struct test_reply a = make(&p, token, 201, fmt("{'name': 'a', 'expires_at': '%s'}", at));
    assert_string_equal(test_str(&t, &a, "application_credential.expires_at"), at);
    struct test_reply r = by_credential(id_and_secret(&a), "");
    assert_int_equal(r.status, 201);
    assert_string_equal(test_str(&t, &r, "token.expires_at"),
                        fmt("%sZ", at)); /* no token outlives it */
    test_api_later(&t, 60);
    assert_int_equal(by_credential(id_and_secret(&a), "").status, 401);
    assert_int_equal(use(reply_header(&r, "x-subject-token")), 401);
}

/* Each time a fresh person with a credential and a token from it. */
static void what_ends_them(void **state UNUSED)
{
    static const char *const ends[] = {"credential", "grant",   "role",
                                       "user",       "project", "disabled"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct person p = person(fmt("ac-ends-%s", ends[i]), "member");
        const char *extra = made("roles", "role", fmt("{'name': 'ac-%s'}", ends[i]));
        test_expect(&t, 204, admin, "PUT", grant_path(p.project, p.user, extra), NULL);
        struct test_reply a =
            make(&p, person_token(&p), 201, fmt("{'name': 'a', 'roles': [{'id': '%s'}]}", extra));
        struct test_reply r = by_credential(id_and_secret(&a), "");
        assert_int_equal(r.status, 201);
        const char *its = reply_header(&r, "x-subject-token");
        assert_int_equal(use(its), 200);
        if (i == 0)
            test_expect(&t, 204, admin, "DELETE",
                        path_of(&p, test_str(&t, &a, "application_credential.id")), NULL);
        else if (i == 1)
            test_expect(&t, 204, admin, "DELETE", grant_path(p.project, p.user, extra), NULL);
        else if (i == 2)
            test_expect(&t, 204, admin, "DELETE", fmt(V3 "/roles/%s", extra), NULL);
        else if (i == 3)
            test_expect(&t, 204, admin, "DELETE", fmt(V3 "/users/%s", p.user), NULL);
        else if (i == 4)
            test_expect(&t, 204, admin, "DELETE", fmt(V3 "/projects/%s", p.project), NULL);
        else
            test_expect(&t, 200, admin, "PATCH", fmt(V3 "/users/%s", p.user),
                        "{'user': {'enabled': false}}");
        if (by_credential(id_and_secret(&a), "").status != 401 || use(its) != 401)
            fail_msg("still works after the end of its %s", ends[i]);
    }
}

#define RULE(service, method, path)                                                                \
    "{'service': '" service "', 'method': '" method "', 'path': '" path "'}"

/* Its tokens make the calls that its rules name, and find out what they are. */
static void access_rules(void **state UNUSED)
{
    struct person p = person("ac-rules", "member"), q = person("ac-rules-2", "member");
    const char *token = person_token(&p), *other = person_token(&q);
    struct test_reply a = make(
        &p, token, 201,
        "{'name': 'a', 'access_rules': [" RULE("identity", "GET", "/v3/users/*/projects") ", " RULE(
            "identity", "GET", "/identity/v3/regions/**") ", " RULE("compute", "GET",
                                                                    "/v3/auth/projects") "]}");
    assert_int_equal(json_array_size(test_at(&a, "application_credential.access_rules")), 3);
    assert_non_null(test_str(&t, &a, "application_credential.access_rules[0].id"));
    struct test_reply r = by_credential(id_and_secret(&a), "");
    assert_int_equal(r.status, 201);
    assert_int_equal(json_array_size(test_at(&r, "token.application_credential.access_rules")), 3);
    const char *its = reply_header(&r, "x-subject-token");
    struct test_reply shown = subject_call(its, "GET", its);
    assert_true(json_equal(shown.json, r.json));
    test_expect(&t, 200, its, "GET", fmt(V3 "/users/%s/projects", p.user), NULL);
    test_expect(&t, 200, its, "GET", V3 "/regions/RegionOne", NULL);
    test_expect(&t, 401, its, "HEAD", V3 "/regions/RegionOne", NULL);
    test_expect(&t, 401, its, "GET", V3 "/auth/projects", NULL); /* of another service */
    test_expect(&t, 401, its, "GET", fmt(V3 "/users/%s", p.user), NULL);
    test_expect(&t, 401, its, "POST", path_of(&p, ""), "{'application_credential': {'name': 'b'}}");
    assert_int_equal(subject_call(its, "DELETE", its).status, 401);
    test_expect(&t, 200, its, "GET", V3, NULL); /* what everybody may */

    /* Rules are the user's: made once, found again, kept while they are used. */
    const char *rules = fmt(V3 "/users/%s/access_rules", p.user);
    r = test_expect(&t, 200, token, "GET", rules, NULL);
    assert_int_equal(json_array_size(test_at(&r, "access_rules")), 3);
    const char *id = test_str(&t, &a, "application_credential.access_rules[0].id"),
               *one = fmt("%s/%s", rules, id);
    r = test_expect(&t, 200, token, "GET", one, NULL);
    assert_string_equal(test_str(&t, &r, "access_rule.links.self"), fmt("%s%s", t.url, one));
    r = make(
        &p, token, 201,
        "{'name': 'again', 'access_rules': [" RULE("identity", "GET", "/v3/users/*/projects") "]}");
    make(&p, token, 201, fmt("{'name': 'by id', 'access_rules': [{'id': '%s'}]}", id));
    r = test_expect(&t, 200, token, "GET", fmt("%s?service=compute", rules), NULL);
    assert_int_equal(json_array_size(test_at(&r, "access_rules")), 1);
    test_expect(&t, 403, other, "GET", rules, NULL);
    test_expect(&t, 403, other, "GET", one, NULL);
    test_expect(&t, 404, other, "GET", fmt(V3 "/users/%s/access_rules/%s", q.user, id), NULL);
    make(&q, other, 404, fmt("{'name': 'x', 'access_rules': [{'id': '%s'}]}", id));
    test_expect(&t, 403, token, "DELETE", one, NULL);
    r = test_expect(&t, 200, token, "GET", path_of(&p, ""), NULL);
    for (size_t i = 0; i < 3; i++)
        test_expect(&t, 204, token, "DELETE",
                    path_of(&p, test_str(&t, &r, fmt("application_credentials[%zu].id", i))), NULL);
    assert_int_equal(use(its), 401);
    test_expect(&t, 204, token, "DELETE", one, NULL);
    test_expect(&t, 404, token, "GET", one, NULL);
    static const char *const bad[] = {"7",
                                      "[7]",
                                      "[{}]",
                                      "[" RULE("identity", "FETCH", "/x") "]",
                                      "[" RULE("identity", "GET", "x") "]",
                                      "[" RULE("", "GET", "/x") "]",
                                      "[{'service': 'x', 'method': 'GET', 'path': '/x', 'y': 1}]"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        make(&p, token, 400, fmt("{'name': 'bad', 'access_rules': %s}", bad[i]));
    make(&p, token, 201, "{'name': 'c', 'access_rules': [" RULE("image", "GET", "/v2/images") "]}");
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/users/%s", p.user), NULL);
}

/* Roles that the user has in the project, whether or not the token does. */
static void roles_of_the_user(void **state UNUSED)
{
    struct person p = person("ac-later", "member");
    const char *token = person_token(&p), *late = made("roles", "role", "{'name': 'late'}");
    make(&p, token, 400, fmt("{'name': 'a', 'roles': [{'id': '%s'}]}", late));
    test_expect(&t, 204, admin, "PUT", grant_path(p.project, p.user, late), NULL);
    struct test_reply a = make(&p, token, 201, "{'name': 'a', 'roles': [{'name': 'late'}]}");
    struct test_reply r = by_credential(id_and_secret(&a), "");
    assert_int_equal(json_array_size(test_at(&r, "token.roles")), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_shown_listed_deleted),
        cmocka_unit_test(bad_bodies),
        cmocka_unit_test(logging_in),
        cmocka_unit_test(what_they_may),
        cmocka_unit_test(they_expire),
        cmocka_unit_test(what_ends_them),
        cmocka_unit_test(access_rules),
        cmocka_unit_test(roles_of_the_user),
    };
    return cmocka_run_group_tests(tests, identity_setup, identity_teardown);
}
