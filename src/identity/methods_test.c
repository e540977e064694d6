/* SPDX-License-Identifier: EUPL-1.2 */
/* Ways to log in together, a second factor, and what users' options make of passwords. */
#include "identity/test_identity.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>

/* "12345678901234567890" of RFC 6238, in base32. */
#define SECRET32 "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

static const char *passcode(int64_t step_later)
{
    uint8_t counter[8], mac[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    uint64_t step = (uint64_t)(now_us(&t.cx) / 30000000 + step_later);
    for (int i = 0; i < 8; i++)
        counter[i] = (uint8_t)(step >> (56 - 8 * i));
    HMAC(EVP_sha1(), "12345678901234567890", 20, counter, 8, mac, &size);
    const uint8_t *p = mac + (mac[19] & 15);
    uint32_t n = (uint32_t)(p[0] & 127) << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    return fmt("%06u", n % 1000000);
}

/* parts: "'password': …, 'totp': …" */
static struct test_reply by(const char *methods, const char *parts)
{
    return test_call(&t, NULL, "POST", V3 "/auth/tokens",
                     "{'auth': {'identity': {'methods': [%s], %s}}}", methods, parts);
}

static const char *password_part(const char *id, const char *password)
{
    return fmt("'password': {'user': {'id': '%s', 'password': '%s'}}", id, password);
}

static const char *totp_part(const char *id, const char *code)
{
    return fmt("'totp': {'user': {'id': '%s', 'passcode': '%s'}}", id, code);
}

static void second_factor(void **state UNUSED)
{
    struct person p = person("two-factors", "member"), q = person("one-factor", "member");
    test_expect(&t, 201, person_token(&p), "POST", V3 "/credentials",
                "{'credential': {'user_id': '%s', 'type': 'totp', 'blob': '" SECRET32 "'}}",
                p.user);
    const char *pw = password_part(p.user, "pw"), *good = totp_part(p.user, passcode(0));
    struct test_reply r = by("'password', 'totp'", fmt("%s, %s", pw, good));
    assert_int_equal(r.status, 201);
    assert_string_equal(test_str(&t, &r, "token.methods"), "[\"password\",\"totp\"]");
    const char *earlier = totp_part(p.user, passcode(-1)), *old = totp_part(p.user, passcode(-3)),
               *early = totp_part(p.user, passcode(2));
    assert_int_equal(by("'password', 'totp'", fmt("%s, %s", pw, earlier)).status, 201);
    assert_int_equal(by("'password', 'totp'", fmt("%s, %s", pw, old)).status, 401);
    assert_int_equal(by("'password', 'totp'", fmt("%s, %s", pw, early)).status, 401);
    assert_int_equal(by("'totp'", good).status, 401); /* never alone */
    assert_int_equal(by("'totp', 'totp'", good).status, 401);
    assert_int_equal(by("'password', 'totp'", pw).status, 400);
    /* Both are the same user's. */
    assert_int_equal(
        by("'password', 'totp'", fmt("%s, %s", password_part(q.user, "pw"), good)).status, 401);
    assert_int_equal(
        by("'password', 'totp'", fmt("%s, %s", pw, totp_part(q.user, passcode(0)))).status, 401);

    const char *path = fmt(V3 "/users/%s", p.user);
    test_expect(&t, 200, admin, "PATCH", path,
                "{'user': {'options': {'multi_factor_auth_enabled': true, "
                "'multi_factor_auth_rules': [['password', 'totp'], ['magic']]}}}");
    assert_int_equal(by("'password'", pw).status, 401);
    r = by("'password', 'totp'", fmt("%s, %s", pw, totp_part(p.user, passcode(0))));
    assert_int_equal(r.status, 201);
    /* Its token brings both along. */
    r = by("'token'", fmt("'token': {'id': '%s'}", reply_header(&r, "x-subject-token")));
    assert_int_equal(r.status, 201);
    assert_int_equal(json_array_size(test_at(&r, "token.methods")), 3);
    test_expect(&t, 200, admin, "PATCH", path,
                "{'user': {'options': {'multi_factor_auth_enabled': false}}}");
    assert_int_equal(by("'password'", pw).status, 201);
    test_expect(&t, 200, admin, "PATCH", path,
                "{'user': {'options': {'multi_factor_auth_enabled': null, "
                "'multi_factor_auth_rules': [['magic']]}}}");
    assert_int_equal(by("'password'", pw).status, 201); /* no rule that counts */
}

/* Passcodes are not to be guessed at by who has the password. */
static void guesses_lock(void **state UNUSED)
{
    struct identity_config cfg = quick_config();
    struct person p = person("guessed", "member");
    cfg.lockout_attempts = 3;
    cfg.lockout_s = 60;
    identity_configure(&cfg);
    test_expect(&t, 201, person_token(&p), "POST", V3 "/credentials",
                "{'credential': {'user_id': '%s', 'type': 'totp', 'blob': '" SECRET32 "'}}",
                p.user);
    const char *pw = password_part(p.user, "pw");
    for (int i = 0; i < 3; i++)
        assert_int_equal(by("'password', 'totp'", fmt("%s, %s", pw, totp_part(p.user, "x"))).status,
                         401);
    assert_int_equal(
        by("'password', 'totp'", fmt("%s, %s", pw, totp_part(p.user, passcode(0)))).status, 401);
    assert_int_equal(by("'password'", pw).status, 401);
    cfg = quick_config();
    identity_configure(&cfg);
}

static void options(void **state UNUSED)
{
    static const char *const bad[] = {"7",
                                      "{'color': true}",
                                      "{'lock_password': 'yes'}",
                                      "{'multi_factor_auth_rules': 'x'}",
                                      "{'multi_factor_auth_rules': [[]]}",
                                      "{'multi_factor_auth_rules': [[7]]}"};
    struct identity_config cfg = quick_config();
    struct person p = person("optional", "member");
    const char *path = fmt(V3 "/users/%s", p.user), *pw = password_part(p.user, "pw");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(&t, 400, admin, "PATCH", path, "{'user': {'options': %s}}", bad[i]);
    test_expect(&t, 200, admin, "PATCH", path, "{'user': {'options': {'lock_password': true}}}");
    struct test_reply r =
        test_expect(&t, 200, admin, "PATCH", path,
                    "{'user': {'options': {'ignore_lockout_failure_attempts': true}}}");
    assert_int_equal(json_object_size(test_at(&r, "user.options")), 2);
    test_expect(&t, 403, NULL, "POST", fmt("%s/password", path),
                "{'user': {'original_password': 'pw', 'password': 'new'}}");
    cfg.lockout_attempts = 1;
    cfg.lockout_s = 60;
    identity_configure(&cfg);
    assert_int_equal(by("'password'", password_part(p.user, "wrong")).status, 401);
    assert_int_equal(by("'password'", pw).status, 201);
    cfg = quick_config();
    identity_configure(&cfg);
}

static void passwords_expire(void **state UNUSED)
{
    struct identity_config cfg = quick_config();
    cfg.password_expires_days = 2;
    cfg.change_password_upon_first_use = true;
    identity_configure(&cfg);
    const char *id = made("users", "user", "{'name': 'aging', 'password': 'given'}");
    const char *path = fmt(V3 "/users/%s", id);
    struct test_reply r = by("'password'", password_part(id, "given"));
    assert_int_equal(r.status, 401);
    assert_non_null(strstr(r.text, "expired"));
    r = by("'password'", password_part(id, "wrong"));
    assert_null(strstr(r.text, "expired")); /* only who knows it is told */
    test_expect(&t, 204, NULL, "POST", fmt("%s/password", path),
                "{'user': {'original_password': 'given', 'password': 'own'}}");
    r = by("'password'", password_part(id, "own"));
    assert_int_equal(r.status, 201);
    const char *at = test_str(&t, &r, "token.user.password_expires_at");
    r = test_expect(&t, 200, admin, "GET", path, NULL);
    assert_string_equal(test_str(&t, &r, "user.password_expires_at"), at);
    r = test_expect(&t, 200, admin, "GET", fmt(V3 "/users?password_expires_at=lte:%sZ", at), NULL);
    assert_true(json_array_size(test_at(&r, "users")) >= 1);
    r = test_expect(&t, 200, admin, "GET",
                    fmt(V3 "/users?password_expires_at=lt:%sZ&name=aging", at), NULL);
    assert_int_equal(json_array_size(test_at(&r, "users")), 0);
    test_expect(&t, 400, admin, "GET", V3 "/users?password_expires_at=lt:soon", NULL);
    test_api_later(&t, 2 * 24 * 3600 + 1);
    admin = token_of(user_named("admin", "admin-pw"), project_named("admin"));
    assert_int_equal(by("'password'", password_part(id, "own")).status, 401);
    test_expect(&t, 200, admin, "PATCH", path,
                "{'user': {'options': {'ignore_password_expiry': true}}}");
    assert_int_equal(by("'password'", password_part(id, "own")).status, 201);
    cfg = quick_config();
    identity_configure(&cfg);
}

static void audit_ids(void **state UNUSED)
{
    struct person p = person("audited", "member");
    struct test_reply first = login(user_named("audited", "pw"), "'unscoped'");
    const char *root = test_str(&t, &first, "token.audit_ids[0]");
    assert_int_equal(json_array_size(test_at(&first, "token.audit_ids")), 1);
    const char *token = reply_header(&first, "x-subject-token");
    for (int i = 0; i < 2; i++) {
        struct test_reply r = test_expect(
            &t, 201, NULL, "POST", V3 "/auth/tokens",
            "{'auth': {'identity': {'methods': ['token'], 'token': {'id': '%s'}}, 'scope': %s}}",
            token, project_named("audited"));
        assert_string_equal(test_str(&t, &r, "token.audit_ids[1]"), root);
        assert_string_not_equal(test_str(&t, &r, "token.audit_ids[0]"), root);
        token = reply_header(&r, "x-subject-token");
    }
    struct identity_config cfg = quick_config();
    cfg.forbid_rescope = true;
    identity_configure(&cfg);
    static const char body[] =
        "{'auth': {'identity': {'methods': ['token'], 'token': {'id': '%s'}}}}";
    test_expect(&t, 403, NULL, "POST", V3 "/auth/tokens", body, token);
    test_expect(&t, 201, NULL, "POST", V3 "/auth/tokens", body,
                reply_header(&first, "x-subject-token"));
    cfg = quick_config();
    identity_configure(&cfg);
    assert_int_equal(login(user_named("audited", "pw"), "{'unscoped': {}}").status, 201);
    assert_non_null(p.user);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_factor),    cmocka_unit_test(guesses_lock),
        cmocka_unit_test(options),          cmocka_unit_test(audit_ids),
        cmocka_unit_test(passwords_expire),
    };
    return cmocka_run_group_tests(tests, identity_setup, identity_teardown);
}
