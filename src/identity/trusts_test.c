/* SPDX-License-Identifier: EUPL-1.2 */
/* Trusts: what they hand on, to whom, for how long and how often; and that they end at once. */
#include "identity/test_identity.h"

static const char *trustee, *other_role;
static struct person trustor;

/* The trustor with two roles, and a trustee without any. */
static int setup(void **state)
{
    identity_setup(state);
    trustor = person("giver", "member");
    trustee = made("users", "user", "{'name': 'taker', 'password': 'pw'}");
    other_role = made("roles", "role", "{'name': 'secret-role'}");
    test_expect(&t, 204, admin, "PUT", grant_path(trustor.project, trustor.user, other_role), NULL);
    return 0;
}

static struct test_reply create(int status, const char *token, const char *more)
{
    return test_expect(&t, status, token, "POST", V3 "/OS-TRUST/trusts",
                       "{'trust': {'trustor_user_id': '%s', 'trustee_user_id': '%s', 'project_id': "
                       "'%s'%s}}",
                       trustor.user, trustee, trustor.project, more);
}

static const char *trust_with(const char *more)
{
    struct test_reply r = create(201, person_token(&trustor), more);
    return test_str(&t, &r, "trust.id");
}

#define MEMBER ", 'impersonation': false, 'roles': [{'name': 'member'}]"
#define AS_GIVER ", 'impersonation': true, 'roles': [{'name': 'member'}]"

static const char *scope_of(const char *trust)
{
    return fmt("{'OS-TRUST:trust': {'id': '%s'}}", trust);
}

static int tries(const char *trust)
{
    return login(user_named("taker", "pw"), scope_of(trust)).status;
}

static const char *token_for(const char *trust)
{
    return token_of(user_named("taker", "pw"), scope_of(trust));
}

static void creation(void **state UNUSED)
{
    const char *token = person_token(&trustor);
    struct test_reply r = create(201, token, MEMBER);
    const char *id = test_str(&t, &r, "trust.id"), *path = fmt(V3 "/OS-TRUST/trusts/%s", id);
    assert_string_equal(test_str(&t, &r, "trust.links.self"), fmt("%s%s", t.url, path));
    assert_string_equal(test_str(&t, &r, "trust.roles[0].name"), "member");
    assert_true(json_is_null(test_at(&r, "trust.expires_at")));
    assert_int_equal(json_integer_value(test_at(&r, "trust.redelegation_count")), 0);
    static const struct {
        int status;
        const char *more;
    } bad[] = {{400, ""},
               {400, ", 'impersonation': 'yes', 'roles': [{'name': 'member'}]"},
               {400, ", 'impersonation': true, 'roles': 'member'"},
               {400, ", 'impersonation': true, 'roles': [{}]"},
               {400, MEMBER ", 'expires_at': 'bad.123Z'"},
               {400, MEMBER ", 'expires_at': '2001-01-01T00:00:00Z'"},
               {400, MEMBER ", 'remaining_uses': 0"},
               {400, MEMBER ", 'allow_redelegation': true, 'remaining_uses': 2"},
               {403, MEMBER ", 'allow_redelegation': true, 'redelegation_count': 4"},
               {403, ", 'impersonation': true"},
               {403, ", 'impersonation': true, 'roles': []"},
               {404, ", 'impersonation': true, 'roles': [{'name': 'admin'}]"},
               {404, ", 'impersonation': true, 'roles': [{'id': 'nothing'}]"}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        create(bad[i].status, token, bad[i].more);
    create(403, admin, MEMBER); /* not even an administrator, for somebody else */
    test_expect(&t, 404, token, "POST", V3 "/OS-TRUST/trusts",
                "{'trust': {'trustor_user_id': '%s', 'trustee_user_id': 'nobody', 'impersonation': "
                "true}}",
                trustor.user);
    /* Seen by both, ended by the trustor. */
    struct person stranger = person("onlooker", "member");
    const char *other = person_token(&stranger);
    const char *taker = token_of(user_named("taker", "pw"), NULL);
    test_expect(&t, 200, taker, "GET", path, NULL);
    test_expect(&t, 404, other, "GET", path, NULL);
    test_expect(&t, 404, other, "DELETE", path, NULL);
    test_expect(&t, 403, taker, "DELETE", path, NULL);
    r = test_expect(&t, 200, taker, "GET", fmt("%s/roles", path), NULL);
    assert_int_equal(json_array_size(test_at(&r, "roles")), 1);
    test_expect(&t, 200, taker, "HEAD", fmt("%s/roles/%s", path, role_id("member")), NULL);
    test_expect(&t, 404, taker, "GET", fmt("%s/roles/%s", path, other_role), NULL);
    test_expect(&t, 404, other, "GET", fmt("%s/roles", path), NULL);
    r = test_expect(&t, 200, taker, "GET", fmt(V3 "/OS-TRUST/trusts?trustee_user_id=%s", trustee),
                    NULL);
    assert_true(json_array_size(test_at(&r, "trusts")) >= 1);
    assert_null(test_at(&r, "trusts[0].roles"));
    r = test_expect(&t, 200, other, "GET", V3 "/OS-TRUST/trusts", NULL);
    assert_int_equal(json_array_size(test_at(&r, "trusts")), 0);
    test_expect(&t, 200, admin, "GET", V3 "/OS-TRUST/trusts/", NULL);
    test_expect(&t, 204, token, "DELETE", path, NULL);
    test_expect(&t, 404, token, "GET", path, NULL);
}

static void tokens(void **state UNUSED)
{
    const char *plain = trust_with(MEMBER), *as_giver = trust_with(AS_GIVER);
    struct test_reply r = login(user_named("taker", "pw"), scope_of(plain));
    assert_int_equal(r.status, 201);
    assert_string_equal(test_str(&t, &r, "token.user.id"), trustee);
    assert_string_equal(test_str(&t, &r, "token.project.id"), trustor.project);
    assert_string_equal(test_str(&t, &r, "token.OS-TRUST:trust.id"), plain);
    assert_string_equal(test_str(&t, &r, "token.OS-TRUST:trust.trustor_user.id"), trustor.user);
    assert_true(json_is_false(test_at(&r, "token.OS-TRUST:trust.impersonation")));
    assert_int_equal(json_array_size(test_at(&r, "token.roles")), 2); /* member implies reader */
    const char *token = reply_header(&r, "x-subject-token");
    struct test_reply again = subject_call(token, "GET", token);
    assert_true(json_equal(again.json, r.json));
    r = login(user_named("taker", "pw"), scope_of(as_giver));
    assert_string_equal(test_str(&t, &r, "token.user.id"), trustor.user);
    assert_true(json_is_true(test_at(&r, "token.OS-TRUST:trust.impersonation")));
    /* For the trustee alone, and with one scope only. */
    assert_int_equal(login(user_named("giver", "pw"), scope_of(plain)).status, 403);
    assert_int_equal(login(user_named("taker", "pw"), scope_of("nothing")).status, 404);
    assert_int_equal(login(user_named("taker", "pw"),
                           fmt("{'OS-TRUST:trust': {'id': '%s'}, 'project': {'id': '%s'}}", plain,
                               trustor.project))
                         .status,
                     400);
    assert_int_equal(login(user_named("taker", "pw"), "{'OS-TRUST:trust': {}}").status, 400);
    /* No way from it to more. */
    const char *giver = token_for(as_giver);
    test_expect(&t, 403, NULL, "POST", V3 "/auth/tokens",
                "{'auth': {'identity': {'methods': ['token'], 'token': {'id': '%s'}}}}", giver);
    test_expect(&t, 403, giver, "POST", fmt(V3 "/users/%s/application_credentials", trustor.user),
                "{'application_credential': {'name': 'x'}}");
    test_expect(&t, 403, giver, "POST", fmt(V3 "/users/%s/credentials/OS-EC2", trustor.user),
                "{'tenant_id': '%s'}", trustor.project);
    create(403, giver, MEMBER);
    test_expect(&t, 403, giver, "GET", V3 "/credentials", NULL);
    test_expect(&t, 403, giver, "GET", fmt(V3 "/users/%s/credentials/OS-EC2", trustor.user), NULL);
    test_expect(&t, 403, giver, "DELETE", fmt(V3 "/OS-TRUST/trusts/%s", plain), NULL);
    test_expect(&t, 403, giver, "DELETE", fmt(V3 "/OS-TRUST/trusts/%s", as_giver), NULL);
}

static void expiry_and_uses(void **state UNUSED)
{
    const char *soon = time_iso(&t.cx, now_us(&t.cx) + 60 * 1000000, TIME_MICROS_Z);
    const char *id = trust_with(fmt(MEMBER ", 'expires_at': '%s'", soon));
    struct test_reply r = login(user_named("taker", "pw"), scope_of(id));
    assert_string_equal(test_str(&t, &r, "token.expires_at"), soon);
    id = trust_with(MEMBER ", 'remaining_uses': 2");
    assert_int_equal(tries(id), 201);
    r = test_expect(&t, 200, admin, "GET", fmt(V3 "/OS-TRUST/trusts/%s", id), NULL);
    assert_int_equal(json_integer_value(test_at(&r, "trust.remaining_uses")), 1);
    assert_int_equal(tries(id), 201);
    assert_int_equal(tries(id), 404);
    test_expect(&t, 404, admin, "GET", fmt(V3 "/OS-TRUST/trusts/%s", id), NULL);
}

static void handing_on(void **state UNUSED)
{
    const char *first = trust_with(AS_GIVER ", 'allow_redelegation': true");
    const char *third = made("users", "user", "{'name': 'third', 'password': 'pw'}");
    static const char body[] =
        "{'trust': {'trustor_user_id': '%s', 'trustee_user_id': '%s', 'project_id': '%s'%s}}";
    const char *token = token_for(first);
    test_expect(&t, 404, token, "POST", V3 "/OS-TRUST/trusts", body, trustor.user, third,
                trustor.project, ", 'impersonation': true, 'roles': [{'name': 'nothing'}]");
    test_expect(&t, 403, token, "POST", V3 "/OS-TRUST/trusts", body, trustor.user, third,
                trustor.project, ", 'impersonation': true, 'roles': [{'name': 'secret-role'}]");
    test_expect(&t, 403, token, "POST", V3 "/OS-TRUST/trusts", body, trustor.user, third,
                trustor.project, AS_GIVER ", 'remaining_uses': 1");
    struct test_reply r =
        test_expect(&t, 201, token, "POST", V3 "/OS-TRUST/trusts", body, trustor.user, third,
                    trustor.project, AS_GIVER ", 'allow_redelegation': true");
    const char *second = test_str(&t, &r, "trust.id");
    assert_string_equal(test_str(&t, &r, "trust.redelegated_trust_id"), first);
    assert_int_equal(json_integer_value(test_at(&r, "trust.redelegation_count")), 2);
    const char *end = token_of(user_named("third", "pw"), scope_of(second));
    assert_int_equal(use(end), 200);
    /* What was made with the token ends by it too. */
    r = test_expect(&t, 201, token, "POST", V3 "/OS-TRUST/trusts", body, trustor.user, third,
                    trustor.project, AS_GIVER);
    test_expect(&t, 204, token, "DELETE",
                fmt(V3 "/OS-TRUST/trusts/%s", test_str(&t, &r, "trust.id")), NULL);
    /* All that was made of it ends with it. */
    test_expect(&t, 204, person_token(&trustor), "DELETE", fmt(V3 "/OS-TRUST/trusts/%s", first),
                NULL);
    assert_int_equal(use(token), 401);
    assert_int_equal(use(end), 401);
    test_expect(&t, 404, admin, "GET", fmt(V3 "/OS-TRUST/trusts/%s", second), NULL);
    /* Without impersonation the trustee hands on what is the trustor's. */
    first = trust_with(MEMBER ", 'allow_redelegation': true");
    token = token_for(first);
    test_expect(&t, 403, token, "POST", V3 "/OS-TRUST/trusts", body, trustee, third,
                trustor.project, AS_GIVER);
    r = test_expect(&t, 201, token, "POST", V3 "/OS-TRUST/trusts", body, trustee, third,
                    trustor.project, MEMBER);
    end = token_of(user_named("third", "pw"), scope_of(test_str(&t, &r, "trust.id")));
    const char *grant = grant_path(trustor.project, trustor.user, role_id("member"));
    test_expect(&t, 204, admin, "DELETE", grant, NULL);
    assert_int_equal(use(end), 401);
    assert_int_equal(use(token), 401);
    assert_int_equal(tries(first), 403);
    test_expect(&t, 204, admin, "PUT", grant, NULL);
}

/* What it rests on: the trust, the roles, the people, the place. */
static void it_ends_at_once(void **state UNUSED)
{
    const char *grant = grant_path(trustor.project, trustor.user, role_id("member"));
    const char *const off = "{'user': {'enabled': false}}", *const on =
                                                                "{'user': {'enabled': true}}";
    const char *giver = fmt(V3 "/users/%s", trustor.user), *taker = fmt(V3 "/users/%s", trustee);
    const char *const kinds[] = {MEMBER, AS_GIVER};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const char *id = trust_with(kinds[i]), *token = token_for(id);
        test_expect(&t, 204, admin, "DELETE", grant, NULL);
        assert_int_equal(use(token), 401);
        assert_int_equal(tries(id), 403);
        test_expect(&t, 204, admin, "PUT", grant, NULL);
        token = token_for(id);
        test_expect(&t, 200, admin, "PATCH", giver, "%s", off);
        assert_int_equal(use(token), 401);
        assert_int_equal(tries(id), 403);
        test_expect(&t, 200, admin, "PATCH", giver, "%s", on);
        token = token_for(id);
        test_expect(&t, 200, admin, "PATCH", taker, "%s", off);
        assert_int_equal(use(token), 401);
        test_expect(&t, 200, admin, "PATCH", taker, "%s", on);
        token = token_for(id);
        test_expect(&t, 204, admin, "DELETE", fmt(V3 "/OS-TRUST/trusts/%s", id), NULL);
        assert_int_equal(use(token), 401);
    }
    struct person gone = person("leaver", "member");
    struct test_reply r = test_expect(
        &t, 201, person_token(&gone), "POST", V3 "/OS-TRUST/trusts",
        "{'trust': {'trustor_user_id': '%s', 'trustee_user_id': '%s', 'project_id': '%s'%s}}",
        gone.user, trustee, gone.project, MEMBER);
    const char *id = test_str(&t, &r, "trust.id"), *token = token_for(id);
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/users/%s", gone.user), NULL);
    assert_int_equal(use(token), 401);
    test_expect(&t, 404, admin, "GET", fmt(V3 "/OS-TRUST/trusts/%s", id), NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creation),        cmocka_unit_test(tokens),
        cmocka_unit_test(expiry_and_uses), cmocka_unit_test(handing_on),
        cmocka_unit_test(it_ends_at_once),
    };
    return cmocka_run_group_tests(tests, setup, identity_teardown);
}
