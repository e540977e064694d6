/* SPDX-License-Identifier: EUPL-1.2 */
/* Users, projects, roles, domains and the catalogue: what administrators do, and what others may
 * not. */
#include "identity/test_identity.h"

static int64_t count(const char *table)
{
    const struct stmt st = {"count", fmt("SELECT count(*) FROM %s", table)};
    struct tx *tx = NULL;
    struct db_rows rows;
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, db_query(&t.cx, tx, &st, NULL, 0, &rows));
    tx_rollback(&tx);
    return db_int(&rows, 0, 0);
}

static void bootstrap_again_changes_nothing(void **state UNUSED)
{
    static const char *const tables[] = {"users",     "projects",   "domains",
                                         "roles",     "regions",    "services",
                                         "endpoints", "token_keys", "role_assignments"};
    int64_t before[ARRAY_LEN(tables)];
    const char *password = "something";
    struct identity_bootstrap b = {.region = "RegionOne", .service_types = bootstrap_services};
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        before[i] = count(tables[i]);
    for (int i = 0; i < 2; i++) {
        assert_ok(&t.cx, identity_bootstrap(&t.cx, t.store, &b, &password));
        assert_null(password); /* kept */
    }
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        assert_int_equal(count(tables[i]), before[i]);
    assert_int_equal(use(admin), 200);
    assert_int_equal(login(user_named("admin", "admin-pw"), NULL).status, 201);
    b.admin_password = "another"; /* the settings' first password, at a restart: nothing changes */
    b.keep_passwords = true;
    assert_ok(&t.cx, identity_bootstrap(&t.cx, t.store, &b, &password));
    assert_int_equal(use(admin), 200);
    assert_int_equal(login(user_named("admin", "admin-pw"), NULL).status, 201);
    b.keep_passwords = false;
    b.admin_password = "another"; /* given: it is set, and ends the old tokens */
    b.demo_password = "demo-pw";
    assert_ok(&t.cx, identity_bootstrap(&t.cx, t.store, &b, &password));
    assert_int_equal(login(user_named("admin", "admin-pw"), NULL).status, 401);
    assert_int_equal(use(admin), 401);
    b.admin_password = "admin-pw";
    assert_ok(&t.cx, identity_bootstrap(&t.cx, t.store, &b, &password));
    admin = token_of(user_named("admin", "admin-pw"), project_named("admin"));
    struct test_reply r = login(user_named("demo", "demo-pw"), project_named("demo"));
    assert_int_equal(r.status, 201);
    assert_int_equal(json_array_size(test_at(&r, "token.roles")), 2);
}

/* ---------------------------------------------------------------- who may */

static void members_are_kept_out(void **state UNUSED)
{
    static const char *const calls[][3] = {
        {"GET", "/users", NULL},
        {"POST", "/users", "{'user': {'name': 'x'}}"},
        {"PATCH", "/users/@", "{'user': {'name': 'x'}}"},
        {"DELETE", "/users/@", NULL},
        {"GET", "/projects", NULL},
        {"POST", "/projects", "{'project': {'name': 'x'}}"},
        {"PATCH", "/projects/@", "{'project': {'name': 'x'}}"},
        {"DELETE", "/projects/@", NULL},
        {"GET", "/domains", NULL},
        {"POST", "/domains", "{'domain': {'name': 'x'}}"},
        {"PATCH", "/domains/default", "{'domain': {'name': 'x'}}"},
        {"DELETE", "/domains/default", NULL},
        {"GET", "/roles", NULL},
        {"POST", "/roles", "{'role': {'name': 'x'}}"},
        {"GET", "/role_assignments", NULL},
        {"GET", "/role_inferences", NULL},
        {"PUT", "/projects/@/users/@/roles/@", NULL},
        {"PUT", "/system/users/@/roles/@", NULL},
        {"POST", "/regions", "{'region': {'id': 'x'}}"},
        {"GET", "/services", NULL},
        {"POST", "/services", "{'service': {'type': 'x'}}"},
        {"GET", "/endpoints", NULL},
        {"DELETE", "/endpoints/@", NULL},
    };
    struct person p = person("outsider", "member");
    const char *member = person_token(&p),
               *unscoped = token_of(user_named("outsider", "pw"), "'unscoped'");
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        const char *tokens[] = {member, unscoped, NULL};
        for (int k = 0; k < 3; k++) {
            const char *path = fmt(V3 "%s", calls[i][1]);
            struct test_reply r =
                calls[i][2] ? test_call(&t, tokens[k], calls[i][0], path, "%s", calls[i][2])
                            : test_call(&t, tokens[k], calls[i][0], path, NULL);
            if (r.status != (tokens[k] ? 403 : 401))
                fail_msg("%s %s: %d %s", calls[i][0], path, r.status, r.text);
        }
    }
}

static void what_members_see(void **state UNUSED)
{
    struct person p = person("looker", "reader"), q = person("stranger", "member");
    const char *token = person_token(&p);
    struct test_reply r = test_expect(&t, 200, token, "GET", fmt(V3 "/users/%s", p.user), NULL);
    assert_string_equal(test_str(&t, &r, "user.name"), "looker");
    r = test_expect(&t, 200, token, "GET", fmt(V3 "/users/%s/projects", p.user), NULL);
    assert_int_equal(json_array_size(test_at(&r, "projects")), 1);
    r = test_expect(&t, 200, token, "GET", V3 "/auth/projects", NULL);
    assert_string_equal(test_str(&t, &r, "projects[0].id"), p.project);
    test_expect(&t, 200, token, "GET", fmt(V3 "/projects/%s", p.project), NULL);
    test_expect(&t, 200, token, "GET", V3 "/domains/default", NULL);
    r = test_expect(&t, 200, token, "GET", V3 "/auth/domains", NULL);
    assert_int_equal(json_array_size(test_at(&r, "domains")), 0);
    r = test_expect(&t, 200, token, "GET", V3 "/auth/system", NULL);
    assert_int_equal(json_array_size(test_at(&r, "system")), 0);
    /* A stranger's looks like one that is not there. */
    const char *domain = made("domains", "domain", "{'name': 'far'}");
    const char *pairs[][2] = {{fmt("/users/%s", q.user), "/users/nobody"},
                              {fmt("/users/%s/projects", q.user), "/users/nobody/projects"},
                              {fmt("/projects/%s", q.project), "/projects/nothing"},
                              {fmt("/domains/%s", domain), "/domains/nothing"}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        r = test_call(&t, token, "GET", fmt(V3 "%s", pairs[i][0]), NULL);
        struct test_reply none = test_call(&t, token, "GET", fmt(V3 "%s", pairs[i][1]), NULL);
        assert_int_equal(r.status, 403);
        assert_int_equal(none.status, 403);
        assert_string_equal(r.text, none.text);
    }
    test_expect(&t, 404, admin, "GET", V3 "/users/nobody", NULL);
    test_expect(&t, 404, admin, "GET", V3 "/projects/nothing", NULL);
}

/* ---------------------------------------------------------------- resources */

static void users(void **state UNUSED)
{
    struct test_reply r = test_expect(
        &t, 201, admin, "POST", V3 "/users",
        "{'user': {'name': 'full', 'email': 'a@b', 'description': 'd', 'password': 'pw'}}");
    const char *user = fmt(V3 "/users/%s", test_str(&t, &r, "user.id"));
    assert_string_equal(test_str(&t, &r, "user.email"), "a@b");
    assert_string_equal(test_str(&t, &r, "user.links.self"), fmt("%s%s", t.url, user));
    r = test_expect(&t, 200, admin, "PATCH", user, "{'user': {'phone': '1', 'enabled': false}}");
    assert_string_equal(test_str(&t, &r, "user.email"), "a@b"); /* what was not named stays */
    assert_string_equal(test_str(&t, &r, "user.phone"), "1");
    assert_true(json_is_false(test_at(&r, "user.enabled")));
    r = test_expect(&t, 200, admin, "GET", user, NULL);
    assert_string_equal(test_str(&t, &r, "user.description"), "d");
    const char *id = test_str(&t, &r, "user.id");
    /* What can't be changed may be repeated; members of one's own hold anything. */
    r = test_expect(&t, 200, admin, "PATCH", user,
                    "{'user': {'id': '%s', 'domain_id': 'default', 'links': {}, 'pets': [1, {}]}}",
                    id);
    assert_int_equal(json_array_size(test_at(&r, "user.pets")), 2);
    test_expect(&t, 400, admin, "PATCH", user, "{'user': {'id': 'other'}}");
    test_expect(&t, 400, admin, "PATCH", user, "{'user': {'domain_id': 'other'}}");
    static const char *const bad[] = {"{}",
                                      "{'user': {}}",
                                      "{'user': {'name': ''}}",
                                      "{'user': {'name': 7}}",
                                      "{'user': {'name': null}}",
                                      "{'user': {'name': 'x', 'enabled': 'yes'}}",
                                      "{'user': {'name': 'x', 'id': 'mine'}}",
                                      "{'user': {'name': 'x', 'links': {}}}",
                                      "{'user': {'name': 'x', 'password_hash': 'x'}}",
                                      "{'user': {'name': 'x', 'failed_logins': 0}}",
                                      "{'user': {'name': 'x', 'password': 7}}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(&t, 400, admin, "POST", V3 "/users", "%s", bad[i]);
    test_expect(&t, 404, admin, "POST", V3 "/users",
                "{'user': {'name': 'x', 'domain_id': 'nowhere'}}");
    test_expect(&t, 409, admin, "POST", V3 "/users", "{'user': {'name': 'full'}}");
    test_expect(&t, 409, admin, "PATCH", user, "{'user': {'name': 'admin'}}");
    test_expect(&t, 200, admin, "PATCH", user, "{'user': {'name': 'full'}}");
    test_expect(&t, 200, admin, "PATCH", user, "{'user': {'name': 'fuller'}}");
    r = test_expect(&t, 200, admin, "GET", V3 "/users?name=fuller&enabled=False", NULL);
    assert_int_equal(json_array_size(test_at(&r, "users")), 1);
    assert_int_equal(login(user_named("fuller", "pw"), NULL).status, 401); /* disabled */
    test_expect(&t, 204, admin, "DELETE", user, NULL);
    test_expect(&t, 404, admin, "DELETE", user, NULL);
    test_expect(&t, 404, admin, "PATCH", user, "{'user': {}}");
    r = test_expect(&t, 201, admin, "POST", V3 "/users", "{'user': {'name': 'no password'}}");
    assert_int_equal(login(user_named("no password", ""), NULL).status, 401);
}

static void inexact_filters(void **state UNUSED)
{
    static const struct {
        const char *query;
        size_t n;
    } cases[] = {{"name__contains=ool%25_", 1},   {"name__contains=OOL", 0},
                 {"name__icontains=OOL%25", 1},   {"name__startswith=Co", 1},
                 {"name__startswith=co", 1},      {"name__istartswith=cO", 2},
                 {"name__endswith=fish", 2},      {"name__iendswith=FISH", 2},
                 {"name__contains=", 2},          {"name__like=x", 2},
                 {"password_hash__contains=$", 2}};
    const char *d = made("domains", "domain", "{'name': 'sea'}");
    made("users", "user", fmt("{'name': 'Cool%%_fish', 'domain_id': '%s'}", d));
    made("users", "user", fmt("{'name': 'codfish', 'domain_id': '%s'}", d));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct test_reply r = test_expect(
            &t, 200, admin, "GET", fmt(V3 "/users?domain_id=%s&%s", d, cases[i].query), NULL);
        if (json_array_size(test_at(&r, "users")) != cases[i].n)
            fail_msg("%s: %s", cases[i].query, r.text);
    }
}

static void projects_and_domains(void **state UNUSED)
{
    const char *p = made("projects", "project", "{'name': 'upper', 'tags': ['a']}");
    const char *below = made("projects", "project", fmt("{'name': 'lower', 'parent_id': '%s'}", p));
    struct test_reply r = test_expect(&t, 200, admin, "GET", fmt(V3 "/projects/%s", below), NULL);
    assert_string_equal(test_str(&t, &r, "project.parent_id"), p);
    r = test_expect(&t, 200, admin, "GET", fmt(V3 "/projects?parent_id=%s", p), NULL);
    assert_int_equal(json_array_size(test_at(&r, "projects")), 1);
    test_expect(&t, 403, admin, "DELETE", fmt(V3 "/projects/%s", p), NULL);
    test_expect(&t, 409, admin, "POST", V3 "/projects", "{'project': {'name': 'upper'}}");
    test_expect(&t, 409, admin, "PATCH", fmt(V3 "/projects/%s", below),
                "{'project': {'name': 'upper'}}");
    test_expect(&t, 404, admin, "POST", V3 "/projects",
                "{'project': {'name': 'x', 'parent_id': 'nothing'}}");
    test_expect(&t, 404, admin, "POST", V3 "/projects",
                "{'project': {'name': 'x', 'domain_id': 'nowhere'}}");
    test_expect(&t, 400, admin, "POST", V3 "/projects", "{'project': {'name': 'x', 'tags': [7]}}");
    const char *d = made("domains", "domain", "{'name': 'realm'}");
    test_expect(&t, 400, admin, "POST", V3 "/projects",
                "{'project': {'name': 'x', 'domain_id': '%s', 'parent_id': '%s'}}", d, p);
    made("projects", "project",
         fmt("{'name': 'upper', 'domain_id': '%s'}", d)); /* the name is free in another domain */
    test_expect(&t, 409, admin, "POST", V3 "/domains", "{'domain': {'name': 'realm'}}");
    test_expect(&t, 403, admin, "DELETE", fmt(V3 "/domains/%s", d), NULL);
    test_expect(&t, 403, admin, "PATCH", V3 "/domains/default", "{'domain': {'enabled': false}}");
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/projects/%s", below), NULL);
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/projects/%s", p), NULL);
}

static void roles_and_assignments(void **state UNUSED)
{
    struct person p = person("granted", "member");
    const char *role = made("roles", "role", "{'name': 'auditor'}");
    const char *grant = grant_path(p.project, p.user, role);
    test_expect(&t, 409, admin, "POST", V3 "/roles", "{'role': {'name': 'auditor'}}");
    test_expect(&t, 404, admin, "HEAD", grant, NULL);
    test_expect(&t, 404, admin, "DELETE", grant, NULL);
    test_expect(&t, 204, admin, "PUT", grant, NULL);
    test_expect(&t, 204, admin, "PUT", grant, NULL); /* again: the same */
    test_expect(&t, 204, admin, "HEAD", grant, NULL);
    test_expect(&t, 204, admin, "GET", grant, NULL);
    struct test_reply r = test_expect(
        &t, 200, admin, "GET", fmt(V3 "/projects/%s/users/%s/roles", p.project, p.user), NULL);
    assert_int_equal(json_array_size(test_at(&r, "roles")), 2);
    r = test_expect(&t, 200, admin, "GET",
                    fmt(V3 "/role_assignments?user.id=%s&role.id=%s&include_names", p.user, role),
                    NULL);
    assert_int_equal(json_array_size(test_at(&r, "role_assignments")), 1);
    assert_string_equal(test_str(&t, &r, "role_assignments[0].role.name"), "auditor");
    assert_string_equal(test_str(&t, &r, "role_assignments[0].user.name"), "granted");
    assert_string_equal(test_str(&t, &r, "role_assignments[0].user.domain.name"), "Default");
    assert_string_equal(test_str(&t, &r, "role_assignments[0].scope.project.name"), "granted");
    r = test_expect(&t, 200, admin, "GET",
                    fmt(V3 "/role_assignments?scope.project.id=%s", p.project), NULL);
    assert_int_equal(json_array_size(test_at(&r, "role_assignments")), 2);
    assert_null(test_at(&r, "role_assignments[0].role.name"));
    r = test_expect(&t, 200, admin, "GET",
                    V3 "/role_assignments?scope.system=all&include_names=true", NULL);
    assert_true(json_is_true(test_at(&r, "role_assignments[0].scope.system.all")));
    const char *const missing[] = {grant_path("x", p.user, role), grant_path(p.project, "x", role),
                                   grant_path(p.project, p.user, "x"),
                                   fmt(V3 "/domains/x/users/%s/roles/%s", p.user, role)};
    for (size_t i = 0; i < ARRAY_LEN(missing); i++)
        test_expect(&t, 404, admin, "PUT", missing[i], NULL);
    test_expect(&t, 403, admin, "DELETE", fmt(V3 "/roles/%s", role_id("admin")), NULL);
    test_expect(&t, 403, admin, "PATCH", fmt(V3 "/roles/%s", role_id("member")),
                "{'role': {'name': 'x'}}");
    test_expect(&t, 200, admin, "PATCH", fmt(V3 "/roles/%s", role),
                "{'role': {'name': 'inspector'}}");
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/roles/%s", role), NULL);
    r = test_expect(&t, 200, admin, "GET", fmt(V3 "/role_assignments?user.id=%s", p.user), NULL);
    assert_int_equal(json_array_size(test_at(&r, "role_assignments")), 1);
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/users/%s", p.user), NULL);
    r = test_expect(&t, 200, admin, "GET",
                    fmt(V3 "/role_assignments?scope.project.id=%s", p.project), NULL);
    assert_int_equal(json_array_size(test_at(&r, "role_assignments")), 0);
    r = test_expect(&t, 200, admin, "GET", V3 "/role_inferences", NULL);
    assert_int_equal(json_array_size(test_at(&r, "role_inferences")), 2);
}

static void the_catalogue(void **state UNUSED)
{
    struct test_reply r = login(user_named("admin", "admin-pw"), project_named("admin"));
    const char *project = test_str(&t, &r, "token.project.id");
    assert_string_equal(test_str(&t, &r, "token.catalog[0].type"), "identity");
    assert_string_equal(test_str(&t, &r, "token.catalog[0].endpoints[0].url"),
                        fmt("%s/identity/v3", t.url));
    assert_string_equal(test_str(&t, &r, "token.catalog[1].endpoints[0].url"),
                        fmt("%s/volume/v3/%s", t.url, project));
    assert_int_equal(json_array_size(test_at(&r, "token.catalog[0].endpoints")), 3);

    test_expect(&t, 201, admin, "POST", V3 "/regions",
                "{'region': {'id': 'Two', 'parent_region_id': 'RegionOne'}}");
    test_expect(&t, 409, admin, "POST", V3 "/regions", "{'region': {'id': 'Two'}}");
    test_expect(&t, 404, admin, "POST", V3 "/regions",
                "{'region': {'id': 'Three', 'parent_region_id': 'nowhere'}}");
    test_expect(&t, 400, admin, "PATCH", V3 "/regions/Two",
                "{'region': {'parent_region_id': 'Two'}}");
    r = test_expect(&t, 201, admin, "POST", V3 "/regions", "{'region': {}}");
    assert_non_null(test_str(&t, &r, "region.id"));
    test_expect(&t, 403, admin, "DELETE", V3 "/regions/RegionOne", NULL);
    const char *service = made("services", "service", "{'type': 'dns', 'name': 'designate'}");
    const char *endpoint = made("endpoints", "endpoint",
                                fmt("{'service_id': '%s', 'interface': 'public', 'url': "
                                    "'http://x/%%(project_id)s', 'region_id': 'Two'}",
                                    service));
    r = test_expect(&t, 200, admin, "GET", fmt(V3 "/endpoints/%s", endpoint), NULL);
    assert_string_equal(test_str(&t, &r, "endpoint.region"), "Two");
    assert_string_equal(test_str(&t, &r, "endpoint.url"), "http://x/%(project_id)s");
    r = test_expect(&t, 200, admin, "GET",
                    fmt(V3 "/endpoints?service_id=%s&interface=public", service), NULL);
    assert_int_equal(json_array_size(test_at(&r, "endpoints")), 1);
    static const char *const bad[] = {"'interface': 'sideways', 'url': 'http://x'",
                                      "'url': 'http://x'", "'interface': 'public'"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(&t, 400, admin, "POST", V3 "/endpoints",
                    "{'endpoint': {'service_id': '%s', %s}}", service, bad[i]);
    test_expect(&t, 400, admin, "POST", V3 "/endpoints",
                "{'endpoint': {'service_id': 'x', 'interface': 'public', 'url': 'http://x'}}");
    test_expect(&t, 400, admin, "POST", V3 "/endpoints",
                "{'endpoint': {'service_id': '%s', 'interface': 'public', 'url': 'http://x', "
                "'region_id': 'nowhere'}}",
                service);
    /* Named as older clients do, a region that is missing is made. */
    test_expect(&t, 201, admin, "POST", V3 "/endpoints",
                "{'endpoint': {'service_id': '%s', 'interface': 'public', 'url': 'http://x', "
                "'region': 'Made'}}",
                service);
    test_expect(&t, 200, admin, "GET", V3 "/regions/Made", NULL);
    r = login(user_named("admin", "admin-pw"), project_named("admin"));
    assert_string_equal(test_str(&t, &r, "token.catalog[0].type"), "dns");
    test_expect(&t, 200, admin, "PATCH", fmt(V3 "/services/%s", service),
                "{'service': {'enabled': false}}");
    r = login(user_named("admin", "admin-pw"), project_named("admin"));
    assert_string_equal(test_str(&t, &r, "token.catalog[0].type"), "identity");
    /* A region goes with those below it, but not while an endpoint is in one of them. */
    test_expect(&t, 201, admin, "PUT", V3 "/regions/Over", "{'region': {}}");
    test_expect(&t, 409, admin, "PUT", V3 "/regions/Over", "{'region': {}}");
    test_expect(&t, 400, admin, "PUT", V3 "/regions/Over", "{'region': {'id': 'Under'}}");
    test_expect(&t, 200, admin, "PATCH", V3 "/regions/Two",
                "{'region': {'parent_region_id': 'Over'}}");
    test_expect(&t, 400, admin, "PATCH", V3 "/regions/Over",
                "{'region': {'parent_region_id': 'Two'}}");
    test_expect(&t, 403, admin, "DELETE", V3 "/regions/Over", NULL);
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/services/%s", service), NULL);
    test_expect(&t, 404, admin, "GET", fmt(V3 "/endpoints/%s", endpoint), NULL);
    test_expect(&t, 204, admin, "DELETE", V3 "/regions/Over", NULL);
    test_expect(&t, 404, admin, "GET", V3 "/regions/Two", NULL);
}

/* ---------------------------------------------------------------- recorded replies */

static void as_recorded(void **state UNUSED)
{
    static const char *const page[] = {"links.next", NULL};
    struct test_reply r = test_call(&t, admin, "GET", V3 "/domains", NULL);
    golden_compare(&t, "identity", "GET /v3/domains 200", &r, page);
    r = test_call(&t, admin, "GET", V3 "/domains/default", NULL);
    golden_compare(&t, "identity", "GET /v3/domains/default 200", &r, NULL);
    r = test_call(&t, admin, "GET", V3 "/roles", NULL);
    golden_compare(&t, "identity", "GET /v3/roles 200", &r, page);
    static const char *const calls[][3] = {{"POST /v3/projects 201", "/projects"},
                                           {"POST /v3/users 201", "/users"}};
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        const json_t *body = golden_request(&t, "identity", calls[i][0]);
        r = test_call(&t, admin, "POST", fmt(V3 "%s", calls[i][1]), "%s", json_text(&t.cx, body));
        golden_compare(&t, "identity", calls[i][0], &r, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bootstrap_again_changes_nothing),
        cmocka_unit_test(members_are_kept_out),
        cmocka_unit_test(what_members_see),
        cmocka_unit_test(users),
        cmocka_unit_test(inexact_filters),
        cmocka_unit_test(projects_and_domains),
        cmocka_unit_test(roles_and_assignments),
        cmocka_unit_test(the_catalogue),
        cmocka_unit_test(as_recorded),
    };
    return cmocka_run_group_tests(tests, identity_setup, identity_teardown);
}
