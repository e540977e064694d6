/* SPDX-License-Identifier: EUPL-1.2 */
/* Logging in and out: passwords, tokens, scopes, forgery, expiry, revocation, keys, lock-out. */
#include "identity/test_identity.h"
#include <sodium.h>

/* ---------------------------------------------------------------- ways in */

static void by_name_and_by_id(void **state UNUSED)
{
    struct person p = person("ways", "member");
    const char *const users[] = {
        user_named("ways", "pw"),
        "{'name': 'ways', 'domain': {'name': 'Default'}, 'password': 'pw'}",
        fmt("{'id': '%s', 'password': 'pw'}", p.user)};
    const char *const scopes[] = {NULL, "'unscoped'", project_named("ways"),
                                  fmt("{'project': {'id': '%s'}}", p.project)};
    for (size_t u = 0; u < ARRAY_LEN(users); u++) {
        for (size_t s = 0; s < ARRAY_LEN(scopes); s++) {
            struct test_reply r = login(users[u], scopes[s]);
            assert_int_equal(r.status, 201);
            assert_string_equal(test_str(&t, &r, "token.user.id"), p.user);
            assert_int_equal(test_at(&r, "token.project") != NULL, s >= 2);
            assert_int_equal(test_at(&r, "token.roles") != NULL, s >= 2);
            assert_int_equal(test_at(&r, "token.catalog") != NULL, s >= 2);
            assert_null(strstr(r.text, "\"pw\"")); /* the password */
            assert_int_equal(use(reply_header(&r, "x-subject-token")), 200);
        }
    }
    struct test_reply r = test_call(
        &t, NULL, "POST", V3 "/auth/tokens?nocatalog",
        "{'auth': {'identity': {'methods': ['password'], 'password': {'user': %s}}, 'scope': %s}}",
        users[0], scopes[2]);
    assert_null(test_at(&r, "token.catalog"));
}

static void scopes(void **state UNUSED)
{
    struct test_reply r = login(user_named("admin", "admin-pw"), "{'domain': {'name': 'Default'}}");
    assert_int_equal(r.status, 201);
    assert_string_equal(test_str(&t, &r, "token.domain.id"), "default");
    r = login(user_named("admin", "admin-pw"), "{'system': {'all': true}}");
    assert_int_equal(r.status, 201);
    assert_true(json_is_true(test_at(&r, "token.system.all")));
    assert_int_equal(
        test_call(&t, reply_header(&r, "x-subject-token"), "GET", V3 "/users", NULL).status, 200);
    /* No scope named: the default project. */
    r = login(user_named("admin", "admin-pw"), NULL);
    assert_string_equal(test_str(&t, &r, "token.project.name"), "admin");
    /* Implied roles are there. */
    assert_int_equal(json_array_size(test_at(&r, "token.roles")), 3);
    struct person p = person("scoped", "reader");
    assert_int_equal(login(user_named("scoped", "pw"), project_named("admin")).status, 401);
    assert_int_equal(login(user_named("scoped", "pw"), project_named("nothing")).status, 401);
    assert_int_equal(login(user_named("scoped", "pw"), "{'project': {'id': 'nothing'}}").status,
                     401);
    assert_int_equal(login(user_named("scoped", "pw"), "{'domain': {'id': 'default'}}").status,
                     401);
    assert_int_equal(login(user_named("scoped", "pw"), "{'system': {'all': true}}").status, 401);
    r = login(user_named("scoped", "pw"), fmt("{'project': {'id': '%s'}}", p.project));
    assert_int_equal(json_array_size(test_at(&r, "token.roles")), 1);
}

/* Nobody learns whether the user, the password, the project or the domain was wrong. */
static void every_refusal_is_the_same(void **state UNUSED)
{
    struct person p = person("refused", "member");
    const char *const users[] = {
        user_named("refused", "wrong"),
        user_named("refused", ""),
        user_named("nobody", "pw"),
        "{'name': 'refused', 'domain': {'name': 'Nowhere'}, 'password': 'pw'}",
        "{'name': 'refused', 'domain': {'id': 'nowhere'}, 'password': 'pw'}",
        "{'id': 'nobody', 'password': 'pw'}",
        user_named("refused%", "pw"),
    };
    const char *first = NULL;
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        struct test_reply r = login(users[i], project_named("refused"));
        assert_int_equal(r.status, 401);
        first = first ? first : r.text;
        assert_string_equal(r.text, first);
        assert_null(reply_header(&r, "x-subject-token"));
    }
    struct test_reply r = login(user_named("refused", "pw"), project_named("admin"));
    assert_string_equal(r.text, first);
    test_expect(&t, 200, admin, "PATCH", fmt(V3 "/users/%s", p.user),
                "{'user': {'enabled': false}}");
    r = login(user_named("refused", "pw"), NULL);
    assert_string_equal(r.text, first);
    golden_compare(&t, "identity", "POST /v3/auth/tokens 401", &r, NULL);
}

static void malformed_bodies(void **state UNUSED)
{
    static const char *const bodies[] = {
        "{}",
        "[]",
        "7",
        "{'auth': null}",
        "{'auth': []}",
        "{'auth': {}}",
        "{'auth': {'identity': []}}",
        "{'auth': {'identity': {}}}",
        "{'auth': {'identity': {'methods': 'password'}}}",
        "{'auth': {'identity': {'methods': []}}}",
        "{'auth': {'identity': {'methods': ['password']}}}",
        "{'auth': {'identity': {'methods': ['password'], 'password': {}}}}",
        "{'auth': {'identity': {'methods': ['password'], 'password': {'user': {}}}}}",
        "{'auth': {'identity': {'methods': ['password'], 'password': {'user': {'password': "
        "'x'}}}}}",
        "{'auth': {'identity': {'methods': ['password'], 'password': {'user': {'name': 'x', "
        "'password': 'x'}}}}}",
        "{'auth': {'identity': {'methods': ['password'], 'password': {'user': {'id': 'x', "
        "'password': 7}}}}}",
        "{'auth': {'identity': {'methods': ['token'], 'token': {}}}}",
        "{'auth': {'identity': {'methods': ['token'], 'token': {'id': 7}}}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        test_expect(&t, 400, NULL, "POST", V3 "/auth/tokens", "%s", bodies[i]);
    test_expect(&t, 400, NULL, "POST", V3 "/auth/tokens", NULL);
    test_expect(&t, 401, NULL, "POST", V3 "/auth/tokens",
                "{'auth': {'identity': {'methods': ['magic', 7]}}}");
    static const char *const bad_scopes[] = {"{}",
                                             "[]",
                                             "7",
                                             "null",
                                             "'everything'",
                                             "{'project': {}}",
                                             "{'project': 'admin'}",
                                             "{'project': {'name': 'admin'}}",
                                             "{'domain': {}}"};
    for (size_t i = 0; i < ARRAY_LEN(bad_scopes); i++)
        assert_int_equal(login(user_named("admin", "admin-pw"), bad_scopes[i]).status, 400);
}

static void by_token(void **state UNUSED)
{
    struct person p = person("rescope", "member");
    const char *unscoped = token_of(user_named("rescope", "pw"), "'unscoped'");
    static const char body[] =
        "{'auth': {'identity': {'methods': ['token'], 'token': {'id': '%s'}}, 'scope': %s}}";
    struct test_reply r = test_expect(&t, 201, NULL, "POST", V3 "/auth/tokens", body, unscoped,
                                      project_named("rescope"));
    assert_string_equal(test_str(&t, &r, "token.project.id"), p.project);
    struct test_reply first = subject_call(unscoped, "GET", unscoped);
    /* It never lives longer than what it comes from. */
    assert_string_equal(test_str(&t, &r, "token.expires_at"),
                        test_str(&t, &first, "token.expires_at"));
    test_expect(&t, 401, NULL, "POST", V3 "/auth/tokens", body, unscoped, project_named("admin"));
    test_expect(&t, 404, NULL, "POST", V3 "/auth/tokens", body, "nonsense",
                project_named("rescope"));
    assert_int_equal(subject_call(unscoped, "DELETE", unscoped).status, 204);
    test_expect(&t, 404, NULL, "POST", V3 "/auth/tokens", body, unscoped, project_named("rescope"));
}

/* ---------------------------------------------------------------- tokens */

static void validation_repeats_the_creation(void **state UNUSED)
{
    struct person p = person("valid", "member");
    struct test_reply made_by = login(user_named("valid", "pw"), project_named("valid"));
    const char *token = reply_header(&made_by, "x-subject-token");
    struct test_reply r = subject_call(token, "GET", token);
    assert_int_equal(r.status, 200);
    assert_true(json_equal(r.json, made_by.json));
    assert_string_equal(reply_header(&r, "x-subject-token"), token);
    r = subject_call(admin, "GET", token);
    assert_true(json_equal(r.json, made_by.json));
    r = subject_call(token, "HEAD", token);
    assert_int_equal(r.status, 200);
    assert_string_equal(r.text, "");
    assert_int_equal(subject_call(token, "GET", admin).status, 403);
    assert_int_equal(subject_call(token, "DELETE", admin).status, 403);
    assert_int_equal(subject_call(token, "GET", "nonsense").status, 404);
    assert_int_equal(subject_call(token, "HEAD", "nonsense").status, 404);
    assert_int_equal(subject_call("nonsense", "GET", token).status, 401);
    assert_int_equal(test_call(&t, token, "GET", V3 "/auth/tokens", NULL).status, 400);
    assert_non_null(p.user);
}

static char *changed(const char *token, size_t at)
{
    char *s = arena_strdup(t.cx.arena, token);
    s[at] = s[at] == 'A' ? 'B' : 'A';
    return s;
}

static void forged_ones_are_refused(void **state UNUSED)
{
    person("forged", "member");
    const char *token = token_of(user_named("forged", "pw"), project_named("forged"));
    size_t n = strlen(token);
    for (size_t i = 0; i + 1 < n; i += 1 + i % 3) /* the last letter of base64 holds unused bits */
        assert_int_equal(use(changed(token, i)), 401);
    for (size_t cut = 1; cut < n; cut += 7)
        assert_int_equal(use(fmt("%.*s", (int)(n - cut), token)), 401);
    assert_int_equal(use(fmt("%sA", token)), 401);
    assert_int_equal(use(fmt("%s.x", token)), 401);
    assert_int_equal(use("...."), 401);
    assert_int_equal(use("cv1..."), 401);
    assert_int_equal(use("cv1.a.b.c"), 401);
    char *longer = arena_alloc(t.cx.arena, 9001);
    memset(longer, 'a', 9000);
    assert_int_equal(use(longer), 401);

    /* The claims of one under the signature of another, and a key of one's own. */
    char **mine, **theirs;
    str_split(&t.cx, token, '.', &mine);
    str_split(&t.cx, admin, '.', &theirs);
    assert_int_equal(use(fmt("%s.%s.%s.%s", theirs[0], theirs[1], theirs[2], mine[3])), 401);
    uint8_t pub[crypto_sign_PUBLICKEYBYTES], sec[crypto_sign_SECRETKEYBYTES],
        sig[crypto_sign_BYTES];
    crypto_sign_keypair(pub, sec);
    const char *claims = fmt("%s.%s.%s", theirs[0], theirs[1], theirs[2]);
    crypto_sign_detached(sig, NULL, (const uint8_t *)claims, strlen(claims), sec);
    assert_int_equal(use(fmt("%s.%s", claims, base64url_encode(&t.cx, sig, sizeof(sig)))), 401);
    assert_int_equal(use(token), 200);
}

/* Signed by the service itself, with times of the test's choice. */
static const char *signed_token(int64_t issued_us, int64_t expires_us)
{
    static const char *const roles[] = {"admin", NULL}, *const methods[] = {"password", NULL};
    struct token k = {.user_id = "u",
                      .user_name = "u",
                      .user_domain_id = "default",
                      .user_domain_name = "Default",
                      .project_id = "p",
                      .project_name = "p",
                      .project_domain_id = "default",
                      .project_domain_name = "Default",
                      .roles = roles,
                      .role_ids = roles,
                      .methods = methods,
                      .audit_id = uuid_new(&t.cx),
                      .issued_us = issued_us,
                      .expires_us = expires_us};
    struct tx *tx = NULL;
    const char *text = NULL;
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, token_sign(&t.cx, tx, &k, &text));
    tx_rollback(&tx);
    return text;
}

static void they_expire(void **state UNUSED)
{
    int64_t now = now_us(&t.cx);
    assert_int_equal(use(signed_token(now, now + 60000000)), 200);
    assert_int_equal(use(signed_token(now - 60000000, now - 1)), 401);
    const char *brief = signed_token(now, now + 60000000);
    assert_int_equal(subject_call(admin, "GET", brief).status, 200);
    test_api_later(&t, 60);
    assert_int_equal(use(brief), 401);
    assert_int_equal(subject_call(admin, "GET", brief).status, 404);
    assert_int_equal(subject_call(admin, "HEAD", brief).status, 404);
}

static void new_key(void)
{
    struct tx *tx = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, identity_new_token_key(&t.cx, tx));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
}

static const char *key_of(const char *token)
{
    char **part;
    str_split(&t.cx, token, '.', &part);
    return part[1];
}

static void keys_rotate(void **state UNUSED)
{
    static const struct stmt forget = {"forget", "DELETE FROM token_keys WHERE id = $1"};
    struct person p = person("rotate", "member");
    const char *before = person_token(&p);
    new_key(); /* by another process: nobody tells the server */
    const char *after = person_token(&p);
    assert_string_not_equal(key_of(before), key_of(after));
    assert_int_equal(use(before), 200);
    assert_int_equal(use(after), 200);
    assert_int_equal(use(admin), 200);
    new_key();
    struct tx *tx = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, db_run(&t.cx, tx, &forget, V_TEXT(key_of(after))));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
    person_token(&p);
    assert_int_equal(use(after), 401); /* its key is gone */
    assert_int_equal(use(before), 200);
}

static size_t rotate(const struct lease *l)
{
    size_t changed = 0;
    assert_ok(&t.cx, identity_rotate_keys(&t.cx, t.store, l, &changed));
    return changed;
}

/* By age, and by the holder of the lease only; what an old key signed is good to its end. */
static void keys_age(void **state UNUSED)
{
    struct identity_config cfg = quick_config();
    struct lease ours = lease_of(&t.cx, "keys"), theirs = lease_of(&t.cx, "keys");
    struct person p = person("keys-age", "member");
    size_t changed = 0;
    bool held = false;
    cfg.token_key_days = 1;
    cfg.token_ttl_s = 90000; /* longer than a key signs */
    identity_configure(&cfg);
    assert_ok(&t.cx, lease_hold(&t.cx, t.store, &ours, &held));
    assert_true(held);
    assert_int_equal(rotate(&ours), 0);
    const char *before = person_token(&p);
    test_api_later(&t, 86401);
    assert_err(&t.cx, ERR_STALE, identity_rotate_keys(&t.cx, t.store, &theirs, &changed));
    assert_string_equal(key_of(person_token(&p)), key_of(before));
    assert_int_equal(rotate(&ours), 1);
    assert_int_equal(rotate(&ours), 0);
    assert_string_not_equal(key_of(person_token(&p)), key_of(before));
    assert_int_equal(use(before), 200);
    /* The second key is kept while what it signed may live, the first one goes. */
    const char *second = person_token(&p);
    test_api_later(&t, 86401);
    assert_int_equal(rotate(&ours), 1);
    assert_int_equal(use(second), 200);
    test_api_later(&t, 86401);
    assert_int_equal(rotate(&ours), 1);
    struct db_rows rows;
    struct tx *tx = NULL;
    struct db_value id = V_TEXT(key_of(before));
    const struct stmt find = {"find", "SELECT 1 FROM token_keys WHERE id = $1"};
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, db_query(&t.cx, tx, &find, &id, 1, &rows));
    tx_rollback(&tx);
    assert_int_equal(rows.n_rows, 0);
    cfg = quick_config();
    identity_configure(&cfg);
    admin = token_of(user_named("admin", "admin-pw"), project_named("admin"));
}

/* ---------------------------------------------------------------- revocation */

static void logging_out(void **state UNUSED)
{
    struct person p = person("logout", "member");
    const char *a = person_token(&p), *b = person_token(&p);
    assert_int_equal(subject_call(a, "DELETE", a).status, 204);
    assert_int_equal(use(a), 401);
    assert_int_equal(use(b), 200);
    assert_int_equal(subject_call(admin, "GET", a).status, 404);
    assert_int_equal(subject_call(admin, "DELETE", a).status, 404);
    assert_int_equal(subject_call(admin, "DELETE", b).status, 204);
    assert_int_equal(use(b), 401);
    assert_int_equal(use(person_token(&p)), 200);
}

static void what_ends_tokens(void **state UNUSED)
{
    static const char *const kinds[] = {"password",         "own password", "disabled user",
                                        "disabled project", "role removed", "deleted project",
                                        "deleted user",     "deleted role"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const char *name = fmt("ended-%zu", i),
                   *role = made("roles", "role", fmt("{'name': 'role-%zu'}", i));
        struct person p = person(name, "member"), other = person(fmt("other-%zu", i), "member");
        test_expect(&t, 204, admin, "PUT", grant_path(p.project, p.user, role), NULL);
        const char *token = person_token(&p), *others = person_token(&other);
        const char *user = fmt(V3 "/users/%s", p.user),
                   *project = fmt(V3 "/projects/%s", p.project);
        switch (i) {
        case 0:
            test_expect(&t, 200, admin, "PATCH", user, "{'user': {'password': 'new'}}");
            break;
        case 1:
            test_expect(&t, 204, token, "POST", fmt("%s/password", user),
                        "{'user': {'password': 'new', 'original_password': 'pw'}}");
            break;
        case 2:
            test_expect(&t, 200, admin, "PATCH", user, "{'user': {'enabled': false}}");
            break;
        case 3:
            test_expect(&t, 200, admin, "PATCH", project, "{'project': {'enabled': false}}");
            break;
        case 4:
            test_expect(&t, 204, admin, "DELETE", grant_path(p.project, p.user, role_id("member")),
                        NULL);
            break;
        case 5:
            test_expect(&t, 204, admin, "DELETE", project, NULL);
            break;
        case 6:
            test_expect(&t, 204, admin, "DELETE", user, NULL);
            break;
        case 7:
            test_expect(&t, 204, admin, "DELETE", fmt(V3 "/roles/%s", role), NULL);
            break;
        }
        if (use(token) != 401)
            fail_msg("%s: the token still works", kinds[i]);
        if (use(others) != 200)
            fail_msg("%s: a stranger's token ended too", kinds[i]);
        int again = login(user_named(name, i < 2 ? "new" : "pw"), project_named(name)).status;
        assert_int_equal(again,
                         i < 2 || i == 7 || i == 4 ? 201 : 401); /* 4: the other role is left */
    }
}

static void a_disabled_domain_ends_tokens(void **state UNUSED)
{
    const char *domain = made("domains", "domain", "{'name': 'elsewhere'}");
    const char *user =
        made("users", "user", fmt("{'name': 'x', 'password': 'pw', 'domain_id': '%s'}", domain));
    const char *project =
        made("projects", "project", fmt("{'name': 'x', 'domain_id': '%s'}", domain));
    struct person p = person("guest", "member");
    test_expect(&t, 204, admin, "PUT", grant_path(p.project, user, role_id("member")), NULL);
    test_expect(&t, 204, admin, "PUT", grant_path(project, p.user, role_id("member")), NULL);
    test_expect(&t, 204, admin, "PUT",
                fmt(V3 "/domains/%s/users/%s/roles/%s", domain, p.user, role_id("reader")), NULL);
    const char *tokens[] = {
        token_of(fmt("{'id': '%s', 'password': 'pw'}", user),
                 fmt("{'project': {'id': '%s'}}", p.project)),
        token_of(user_named("guest", "pw"), fmt("{'project': {'id': '%s'}}", project)),
        token_of(user_named("guest", "pw"), fmt("{'domain': {'id': '%s'}}", domain))};
    for (int i = 0; i < 3; i++)
        assert_int_equal(use(tokens[i]), 200);
    test_expect(&t, 403, admin, "DELETE", fmt(V3 "/domains/%s", domain), NULL);
    test_expect(&t, 200, admin, "PATCH", fmt(V3 "/domains/%s", domain),
                "{'domain': {'enabled': false}}");
    for (int i = 0; i < 3; i++)
        assert_int_equal(use(tokens[i]), 401);
    assert_int_equal(login(fmt("{'id': '%s', 'password': 'pw'}", user), "'unscoped'").status, 401);
    assert_int_equal(
        login(user_named("guest", "pw"), fmt("{'project': {'id': '%s'}}", project)).status, 401);
    assert_int_equal(use(person_token(&p)), 200);
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/domains/%s", domain), NULL);
    /* What it held went with it. */
    test_expect(&t, 404, admin, "GET", fmt(V3 "/users/%s", user), NULL);
    test_expect(&t, 404, admin, "GET", fmt(V3 "/projects/%s", project), NULL);
    struct test_reply r =
        test_expect(&t, 200, admin, "GET", fmt(V3 "/role_assignments?user.id=%s", p.user), NULL);
    assert_int_equal(json_array_size(test_at(&r, "role_assignments")), 1);
}

/* ---------------------------------------------------------------- passwords */

static void too_many_failures_lock(void **state UNUSED)
{
    struct identity_config cfg = quick_config();
    cfg.lockout_attempts = 3;
    cfg.lockout_s = 60;
    identity_configure(&cfg);
    person("locked", "member");
    const char *good = user_named("locked", "pw"), *bad = user_named("locked", "bad");
    for (int i = 0; i < 2; i++)
        assert_int_equal(login(bad, NULL).status, 401);
    assert_int_equal(login(good, NULL).status, 201); /* forgets the failures */
    for (int i = 0; i < 3; i++)
        assert_int_equal(login(bad, NULL).status, 401);
    assert_int_equal(login(good, NULL).status, 401);
    test_api_later(&t, 60);
    /* a new count: one failure does not lock again */
    assert_int_equal(login(bad, NULL).status, 401);
    assert_int_equal(login(good, NULL).status, 201);
    assert_int_equal(login(user_named("admin", "admin-pw"), NULL).status, 201);
    cfg = quick_config();
    identity_configure(&cfg);
}

static void former_passwords(void **state UNUSED)
{
    struct identity_config cfg = quick_config();
    cfg.unique_last_passwords = 2;
    identity_configure(&cfg);
    struct person p = person("history", "member");
    const char *path = fmt(V3 "/users/%s/password", p.user);
    static const char body[] = "{'user': {'original_password': '%s', 'password': '%s'}}";
    struct test_reply r = test_expect(&t, 400, NULL, "POST", path, body, "pw", "pw");
    golden_compare(&t, "identity", "POST /v3/users/{id}/password 400", &r, NULL);
    test_expect(&t, 204, NULL, "POST", path, body, "pw", "two");
    test_expect(&t, 400, NULL, "POST", path, body, "two", "pw");
    test_expect(&t, 401, NULL, "POST", path, body, "wrong", "three");
    test_expect(&t, 204, NULL, "POST", path, body, "two", "three");
    test_expect(&t, 204, NULL, "POST", path, body, "three", "pw");
    test_expect(&t, 401, NULL, "POST", V3 "/users/nobody/password", body, "a", "b");
    test_expect(&t, 400, NULL, "POST", path, "{'user': {'password': 'x'}}");
    test_expect(&t, 400, NULL, "POST", path, "{'user': []}");
    test_expect(&t, 400, NULL, "POST", path, "[]");
    test_expect(&t, 400, NULL, "POST", path, NULL);
    assert_int_equal(login(user_named("history", "pw"), NULL).status, 201);
    cfg = quick_config();
    identity_configure(&cfg);
}

static void hashes_stay_inside(void **state UNUSED)
{
    static const struct stmt hashes = {"hashes",
                                       "SELECT password_hash FROM users WHERE name = 'admin'"};
    struct tx *tx = NULL;
    struct db_rows rows;
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, db_query(&t.cx, tx, &hashes, NULL, 0, &rows));
    tx_rollback(&tx);
    assert_true(str_starts(db_text(&rows, 0, 0), "$argon2id$"));
    struct test_reply r = test_expect(&t, 200, admin, "GET", V3 "/users", NULL);
    assert_null(strstr(r.text, "argon2"));
    assert_null(strstr(r.text, "\"password\""));
    const char *long_one = fmt("%01025d", 0);
    test_expect(&t, 400, admin, "POST", V3 "/users", "{'user': {'name': 'long', 'password': '%s'}}",
                long_one);
}

/* ---------------------------------------------------------------- recorded replies */

static void as_recorded(void **state UNUSED)
{
    struct test_reply r = login(user_named("admin", "admin-pw"), project_named("admin"));
    golden_compare(&t, "identity", "POST /v3/auth/tokens 201", &r, NULL);
    const char *token = reply_header(&r, "x-subject-token");
    const char *unscoped = token_of(user_named("admin", "admin-pw"), "'unscoped'");
    r = subject_call(token, "GET", unscoped);
    golden_compare(&t, "identity", "GET /v3/auth/tokens 200", &r, NULL);
    r = subject_call(token, "GET", "nonsense");
    golden_compare(&t, "identity", "GET /v3/auth/tokens 404", &r, NULL);
    r = test_call(&t, token, "GET", V3 "/auth/catalog", NULL);
    golden_compare(&t, "identity", "GET /v3/auth/catalog 200", &r, NULL);
    r = test_call(&t, NULL, "GET", "/identity", NULL);
    golden_compare(&t, "identity", "GET / 300", &r, NULL);
    r = test_call(&t, NULL, "GET", V3 "/", NULL);
    golden_compare(&t, "identity", "GET /v3/ 200", &r, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_name_and_by_id),
        cmocka_unit_test(scopes),
        cmocka_unit_test(every_refusal_is_the_same),
        cmocka_unit_test(malformed_bodies),
        cmocka_unit_test(by_token),
        cmocka_unit_test(validation_repeats_the_creation),
        cmocka_unit_test(forged_ones_are_refused),
        cmocka_unit_test(they_expire),
        cmocka_unit_test(keys_rotate),
        cmocka_unit_test(keys_age),
        cmocka_unit_test(logging_out),
        cmocka_unit_test(what_ends_tokens),
        cmocka_unit_test(a_disabled_domain_ends_tokens),
        cmocka_unit_test(too_many_failures_lock),
        cmocka_unit_test(former_passwords),
        cmocka_unit_test(hashes_stay_inside),
        cmocka_unit_test(as_recorded),
    };
    return cmocka_run_group_tests(tests, identity_setup, identity_teardown);
}
