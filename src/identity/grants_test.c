/* SPDX-License-Identifier: EUPL-1.2 */
/* Groups, grants, inheritance, implied roles: who may do what where, and that it ends at once. */
#include "identity/test_identity.h"

static size_t count_of(const struct test_reply *r, const char *path)
{
    return json_array_size(test_at(r, path));
}

static struct test_reply get(int status, const char *path)
{
    return test_expect(&t, status, admin, "GET", path, NULL);
}

static void put(const char *path)
{
    test_expect(&t, 204, admin, "PUT", path, NULL);
}

static void drop(const char *path)
{
    test_expect(&t, 204, admin, "DELETE", path, NULL);
}

static const char *scope_of(const char *project)
{
    return fmt("{'project': {'id': '%s'}}", project);
}

/* A user alone, with the password "pw". */
static const char *someone(const char *name)
{
    return made("users", "user", fmt("{'name': '%s', 'password': 'pw'}", name));
}

static int tries(const char *name, const char *project)
{
    return login(user_named(name, "pw"), scope_of(project)).status;
}

/* ---------------------------------------------------------------- groups */

static void groups(void **state UNUSED)
{
    const char *d = made("domains", "domain", "{'name': 'clubs'}");
    const char *g = made("groups", "group", "{'name': 'chess', 'description': 'd', 'room': 7}");
    const char *far = made("groups", "group", fmt("{'name': 'chess', 'domain_id': '%s'}", d));
    const char *path = fmt(V3 "/groups/%s", g), *user = someone("player");
    struct test_reply r = get(200, path);
    assert_string_equal(test_str(&t, &r, "group.domain_id"), "default");
    assert_string_equal(test_str(&t, &r, "group.links.self"), fmt("%s%s", t.url, path));
    assert_string_equal(test_str(&t, &r, "group.room"), "7");
    test_expect(&t, 409, admin, "POST", V3 "/groups", "{'group': {'name': 'chess'}}");
    test_expect(&t, 404, admin, "POST", V3 "/groups",
                "{'group': {'name': 'x', 'domain_id': 'nowhere'}}");
    static const char *const bad[] = {"{}", "{'group': {}}", "{'group': {'name': ''}}",
                                      "{'group': {'name': 7}}",
                                      "{'group': {'name': 'x', 'description': 7}}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(&t, 400, admin, "POST", V3 "/groups", "%s", bad[i]);
    r = test_expect(&t, 200, admin, "PATCH", path, "{'group': {'name': 'go'}}");
    assert_string_equal(test_str(&t, &r, "group.description"), "d");
    test_expect(&t, 400, admin, "PATCH", path, "{'group': {'domain_id': '%s'}}", d);
    r = get(200, fmt(V3 "/groups?domain_id=%s", d));
    assert_int_equal(count_of(&r, "groups"), 1);

    const char *member = fmt("%s/users/%s", path, user);
    test_expect(&t, 404, admin, "HEAD", member, NULL);
    test_expect(&t, 404, admin, "DELETE", member, NULL);
    put(member);
    put(member);
    test_expect(&t, 204, admin, "HEAD", member, NULL);
    get(204, member);
    put(fmt(V3 "/groups/%s/users/%s", far, user)); /* of another domain too */
    test_expect(&t, 404, admin, "PUT", fmt("%s/users/nobody", path), NULL);
    test_expect(&t, 404, admin, "PUT", fmt(V3 "/groups/none/users/%s", user), NULL);
    r = get(200, fmt("%s/users?name=player", path));
    assert_string_equal(test_str(&t, &r, "users[0].id"), user);
    const char *own = token_of(user_named("player", "pw"), NULL);
    r = test_expect(&t, 200, own, "GET", fmt(V3 "/users/%s/groups", user), NULL);
    assert_int_equal(count_of(&r, "groups"), 2);
    struct person other = person("spectator", "member");
    test_expect(&t, 403, person_token(&other), "GET", fmt(V3 "/users/%s/groups", user), NULL);
    test_expect(&t, 403, person_token(&other), "GET", V3 "/groups", NULL);
    test_expect(&t, 403, person_token(&other), "PUT", fmt("%s/users/%s", path, other.user), NULL);
    drop(member);
    r = get(200, fmt("%s/users", path));
    assert_int_equal(count_of(&r, "users"), 0);
    put(member);
    drop(fmt(V3 "/users/%s", user));
    r = get(200, fmt("%s/users", path));
    assert_int_equal(count_of(&r, "users"), 0);
    drop(path);
    get(404, path);
}

/* What a group is granted its members have, and lose at once by each way out. */
static void through_groups(void **state UNUSED)
{
    static const char *const ways[] = {"leave", "ungrant", "group", "role"};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        const char *name = fmt("gm-%s", ways[i]), *user = someone(name);
        const char *p = made("projects", "project", fmt("{'name': '%s'}", name));
        const char *g = made("groups", "group", fmt("{'name': '%s'}", name));
        const char *role = made("roles", "role", fmt("{'name': '%s'}", name));
        const char *grant = fmt(V3 "/projects/%s/groups/%s/roles/%s", p, g, role);
        const char *member = fmt(V3 "/groups/%s/users/%s", g, user);
        put(grant);
        assert_int_equal(tries(name, p), 401);
        put(member);
        const char *token = token_of(user_named(name, "pw"), scope_of(p));
        const char *unscoped = token_of(user_named(name, "pw"), "'unscoped'");
        struct test_reply r = subject_call(token, "GET", token);
        assert_string_equal(test_str(&t, &r, "token.roles[0].id"), role);
        r = test_expect(&t, 200, unscoped, "GET", V3 "/auth/projects", NULL);
        assert_int_equal(count_of(&r, "projects"), 1);
        r = get(200, fmt(V3 "/projects/%s/groups/%s/roles", p, g));
        assert_string_equal(test_str(&t, &r, "roles[0].id"), role);
        test_expect(&t, 204, admin, "HEAD", grant, NULL);
        drop(str_eq(ways[i], "leave")     ? member
             : str_eq(ways[i], "ungrant") ? grant
             : str_eq(ways[i], "group")   ? fmt(V3 "/groups/%s", g)
                                          : fmt(V3 "/roles/%s", role));
        assert_int_equal(use(token), 401);
        assert_int_equal(use(unscoped), 200);
        assert_int_equal(tries(name, p), 401);
    }
}

/* ---------------------------------------------------------------- inheritance */

static void inherited(void **state UNUSED)
{
    const char *d = made("domains", "domain", "{'name': 'estate'}"), *user = someone("heir");
    const char *top = made("projects", "project", fmt("{'name': 'top', 'domain_id': '%s'}", d));
    const char *mid = made("projects", "project", fmt("{'name': 'mid', 'parent_id': '%s'}", top));
    const char *leaf = made("projects", "project", fmt("{'name': 'leaf', 'parent_id': '%s'}", mid));
    const char *role = role_id("member");
    const char *on_domain = fmt(V3 "/OS-INHERIT/domains/%s/users/%s/roles/%s/inherited_to_projects",
                                d, user, role),
               *on_top = fmt(V3 "/OS-INHERIT/projects/%s/users/%s/roles/%s/inherited_to_projects",
                             top, user, role);
    test_expect(&t, 404, admin, "HEAD", on_domain, NULL);
    put(on_domain);
    test_expect(&t, 204, admin, "HEAD", on_domain, NULL);
    struct test_reply r =
        get(200, fmt(V3 "/OS-INHERIT/domains/%s/users/%s/roles/inherited_to_projects", d, user));
    assert_int_equal(count_of(&r, "roles"), 1);
    /* It holds below, and not there. */
    r = get(200, fmt(V3 "/domains/%s/users/%s/roles", d, user));
    assert_int_equal(count_of(&r, "roles"), 0);
    assert_int_equal(login(user_named("heir", "pw"), fmt("{'domain': {'id': '%s'}}", d)).status,
                     401);
    const char *at_top = token_of(user_named("heir", "pw"), scope_of(top));
    const char *at_leaf = token_of(user_named("heir", "pw"), scope_of(leaf));
    r = test_expect(&t, 200, at_leaf, "GET", V3 "/auth/projects", NULL);
    assert_int_equal(count_of(&r, "projects"), 3);
    drop(on_domain);
    assert_int_equal(use(at_top), 401);
    assert_int_equal(use(at_leaf), 401);
    assert_int_equal(tries("heir", leaf), 401);

    put(on_top);
    assert_int_equal(tries("heir", top), 401);
    const char *at_mid = token_of(user_named("heir", "pw"), scope_of(mid));
    at_leaf = token_of(user_named("heir", "pw"), scope_of(leaf));
    put(grant_path(top, user, role)); /* there too, apart */
    at_top = token_of(user_named("heir", "pw"), scope_of(top));
    drop(on_top);
    assert_int_equal(use(at_mid), 401);
    assert_int_equal(use(at_leaf), 401);
    assert_int_equal(use(at_top), 200);
    drop(grant_path(top, user, role));
    assert_int_equal(use(at_top), 401);
}

static void inherited_by_groups(void **state UNUSED)
{
    const char *d = made("domains", "domain", "{'name': 'firm'}"), *user = someone("clerk");
    const char *p = made("projects", "project", fmt("{'name': 'case', 'domain_id': '%s'}", d));
    const char *g = made("groups", "group", "{'name': 'clerks'}");
    const char *member = fmt(V3 "/groups/%s/users/%s", g, user);
    const char *grant = fmt(V3 "/OS-INHERIT/domains/%s/groups/%s/roles/%s/inherited_to_projects", d,
                            g, role_id("reader"));
    put(grant);
    put(member);
    const char *token = token_of(user_named("clerk", "pw"), scope_of(p));
    struct test_reply r = get(200, fmt(V3 "/role_assignments?effective&user.id=%s", user));
    assert_int_equal(count_of(&r, "role_assignments"), 1);
    assert_string_equal(test_str(&t, &r, "role_assignments[0].links.assignment"),
                        fmt("%s%s", t.url, grant));
    assert_string_equal(test_str(&t, &r, "role_assignments[0].links.membership"),
                        fmt("%s%s", t.url, member));
    assert_string_equal(test_str(&t, &r, "role_assignments[0].scope.OS-INHERIT:inherited_to"),
                        "projects");
    drop(member);
    assert_int_equal(use(token), 401);
    put(member);
    token = token_of(user_named("clerk", "pw"), scope_of(p));
    drop(grant);
    assert_int_equal(use(token), 401);
}

/* ---------------------------------------------------------------- implied roles */

static const char *rule(const char *prior, const char *implied)
{
    return fmt(V3 "/roles/%s/implies/%s", prior, implied);
}

static void implied(void **state UNUSED)
{
    struct person p = person("chained", "reader");
    const char *a = made("roles", "role", "{'name': 'ra'}");
    const char *b = made("roles", "role", "{'name': 'rb'}");
    const char *c = made("roles", "role", "{'name': 'rc'}");
    put(grant_path(p.project, p.user, a));
    struct test_reply r = test_expect(&t, 201, admin, "PUT", rule(a, b), NULL);
    assert_string_equal(test_str(&t, &r, "role_inference.prior_role.name"), "ra");
    assert_string_equal(test_str(&t, &r, "role_inference.implies.id"), b);
    test_expect(&t, 201, admin, "PUT", rule(b, c), NULL);
    test_expect(&t, 201, admin, "PUT", rule(c, a), NULL); /* in a circle */
    test_expect(&t, 204, admin, "HEAD", rule(a, b), NULL);
    test_expect(&t, 404, admin, "HEAD", rule(a, c), NULL);
    get(404, rule(a, c));
    test_expect(&t, 404, admin, "PUT", rule(a, "x"), NULL);
    test_expect(&t, 404, admin, "PUT", rule("x", a), NULL);
    test_expect(&t, 403, admin, "PUT", rule(a, role_id("admin")), NULL);
    r = get(200, fmt(V3 "/roles/%s/implies", a));
    assert_int_equal(count_of(&r, "role_inference.implies"), 1);
    r = get(200, V3 "/role_inferences");
    assert_int_equal(count_of(&r, "role_inferences"), 5);
    const char *token = person_token(&p);
    r = subject_call(token, "GET", token);
    assert_int_equal(count_of(&r, "token.roles"), 4);
    r = get(200, fmt(V3 "/role_assignments?effective=true&user.id=%s", p.user));
    assert_true(count_of(&r, "role_assignments") >= 4);
    drop(rule(b, c)); /* from which it has rc */
    assert_int_equal(use(token), 401);
    token = person_token(&p);
    r = subject_call(token, "GET", token);
    assert_int_equal(count_of(&r, "token.roles"), 3);
    test_expect(&t, 404, admin, "DELETE", rule(b, c), NULL);
    drop(fmt(V3 "/roles/%s", b));
    assert_int_equal(use(token), 401);
    token = person_token(&p);
    r = subject_call(token, "GET", token);
    assert_int_equal(count_of(&r, "token.roles"), 2);
}

static void domain_roles(void **state UNUSED)
{
    const char *d = made("domains", "domain", "{'name': 'guild'}"), *user = someone("smith");
    const char *p = made("projects", "project", fmt("{'name': 'forge', 'domain_id': '%s'}", d));
    const char *elsewhere = made("projects", "project", "{'name': 'elsewhere'}");
    const char *own = made("roles", "role", fmt("{'name': 'master', 'domain_id': '%s'}", d));
    const char *global = made("roles", "role", "{'name': 'master'}");
    test_expect(&t, 409, admin, "POST", V3 "/roles",
                "{'role': {'name': 'master', 'domain_id': '%s'}}", d);
    test_expect(&t, 404, admin, "POST", V3 "/roles",
                "{'role': {'name': 'x', 'domain_id': 'nowhere'}}");
    struct test_reply r = get(200, V3 "/roles?name=master");
    assert_int_equal(count_of(&r, "roles"), 1);
    assert_string_equal(test_str(&t, &r, "roles[0].id"), global);
    r = get(200, fmt(V3 "/roles?domain_id=%s", d));
    assert_int_equal(count_of(&r, "roles"), 1);
    put(grant_path(p, user, own));
    test_expect(&t, 403, admin, "PUT", grant_path(elsewhere, user, own), NULL);
    test_expect(&t, 400, admin, "PUT", fmt(V3 "/system/users/%s/roles/%s", user, own), NULL);
    test_expect(&t, 403, admin, "PUT", rule(global, own), NULL);
    assert_int_equal(tries("smith", p), 401); /* it is in no token */
    r = get(200, fmt(V3 "/role_assignments?user.id=%s", user));
    assert_int_equal(count_of(&r, "role_assignments"), 1);
    r = get(200, fmt(V3 "/role_assignments?user.id=%s&effective", user));
    assert_int_equal(count_of(&r, "role_assignments"), 0);
    test_expect(&t, 201, admin, "PUT", rule(own, global), NULL);
    const char *token = token_of(user_named("smith", "pw"), scope_of(p));
    r = subject_call(token, "GET", token);
    assert_int_equal(count_of(&r, "token.roles"), 1);
    assert_string_equal(test_str(&t, &r, "token.roles[0].id"), global);
    r = get(200, fmt(V3 "/role_assignments?user.id=%s&effective&include_names", user));
    assert_int_equal(count_of(&r, "role_assignments"), 1);
    assert_string_equal(test_str(&t, &r, "role_assignments[0].role.name"), "master");
    assert_string_equal(test_str(&t, &r, "role_assignments[0].scope.project.domain.name"), "guild");
    assert_non_null(test_str(&t, &r, "role_assignments[0].links.prior_role"));
}

/* ---------------------------------------------------------------- the list */

static void filters(void **state UNUSED)
{
    const char *g = made("groups", "group", "{'name': 'crew'}"), *user = someone("sailor");
    const char *top = made("projects", "project", "{'name': 'ship'}");
    const char *below =
        made("projects", "project", fmt("{'name': 'boat', 'parent_id': '%s'}", top));
    const char *role = made("roles", "role", "{'name': 'deckhand'}");
    put(fmt(V3 "/groups/%s/users/%s", g, user));
    put(fmt(V3 "/projects/%s/groups/%s/roles/%s", top, g, role));
    put(fmt(V3 "/domains/default/users/%s/roles/%s", user, role));
    put(fmt(V3 "/system/groups/%s/roles/%s", g, role));
    put(grant_path(below, user, role));
    put(fmt(V3 "/OS-INHERIT/projects/%s/users/%s/roles/%s/inherited_to_projects", top, user, role));
    const struct {
        const char *query;
        size_t n;
    } cases[] = {{"", 5},
                 {fmt("&user.id=%s", user), 3},
                 {fmt("&group.id=%s", g), 2},
                 {fmt("&scope.project.id=%s", top), 2},
                 {fmt("&scope.project.id=%s&include_subtree=true", top), 3},
                 {"&scope.domain.id=default", 1},
                 {"&scope.system=all", 1},
                 {"&scope.OS-INHERIT:inherited_to=projects", 1},
                 {fmt("&effective&user.id=%s", user), 5},
                 {fmt("&effective&scope.project.id=%s", below), 2},
                 {"&effective&scope.system=all", 1}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct test_reply r =
            get(200, fmt(V3 "/role_assignments?role.id=%s%s", role, cases[i].query));
        if (count_of(&r, "role_assignments") != cases[i].n)
            fail_msg("%s: %s", cases[i].query, r.text);
    }
    const char *const bad[] = {
        "?scope.domain.id=d&scope.project.id=p",
        "?scope.domain.id=d&scope.system=all",
        "?scope.project.id=p&scope.system=all",
        "?user.id=u&group.id=g",
        "?effective&group.id=g",
        "?effective&scope.domain.id=d&scope.OS-INHERIT:inherited_to=projects",
        "?include_subtree"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        get(400, fmt(V3 "/role_assignments%s", bad[i]));
    struct test_reply r = get(200, fmt(V3 "/role_assignments?group.id=%s&include_names", g));
    assert_string_equal(test_str(&t, &r, "role_assignments[0].group.name"), "crew");
    assert_string_equal(test_str(&t, &r, "role_assignments[0].group.domain.name"), "Default");
    /* Grants to what is gone are gone. */
    drop(fmt(V3 "/users/%s", user));
    drop(fmt(V3 "/projects/%s", below));
    drop(fmt(V3 "/groups/%s", g));
    r = get(200, fmt(V3 "/role_assignments?role.id=%s", role));
    assert_int_equal(count_of(&r, "role_assignments"), 0);
}

static void scopes_of_domains_and_system(void **state UNUSED)
{
    const char *d = made("domains", "domain", "{'name': 'county'}"), *user = someone("sheriff");
    const char *g = made("groups", "group", "{'name': 'posse'}");
    put(fmt(V3 "/groups/%s/users/%s", g, user));
    put(fmt(V3 "/domains/%s/groups/%s/roles/%s", d, g, role_id("reader")));
    put(fmt(V3 "/system/groups/%s/roles/%s", g, role_id("reader")));
    const char *token = token_of(user_named("sheriff", "pw"), fmt("{'domain': {'id': '%s'}}", d));
    const char *everywhere = token_of(user_named("sheriff", "pw"), "{'system': {'all': true}}");
    struct test_reply r = test_expect(&t, 200, token, "GET", V3 "/auth/domains", NULL);
    assert_int_equal(count_of(&r, "domains"), 1);
    r = test_expect(&t, 200, token, "GET", V3 "/auth/system", NULL);
    assert_int_equal(count_of(&r, "system"), 1);
    drop(fmt(V3 "/groups/%s/users/%s", g, user));
    assert_int_equal(use(token), 401);
    assert_int_equal(use(everywhere), 401);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups),    cmocka_unit_test(through_groups),
        cmocka_unit_test(inherited), cmocka_unit_test(inherited_by_groups),
        cmocka_unit_test(implied),   cmocka_unit_test(domain_roles),
        cmocka_unit_test(filters),   cmocka_unit_test(scopes_of_domains_and_system),
    };
    return cmocka_run_group_tests(tests, identity_setup, identity_teardown);
}
