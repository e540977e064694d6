/* SPDX-License-Identifier: EUPL-1.2 */
/* The tree of projects, domains as projects, tags, and what must not be changed. */
#include "identity/test_identity.h"

static size_t count_of(const struct test_reply *r, const char *path)
{
    return json_array_size(test_at(r, path));
}

static struct test_reply get(int status, const char *path)
{
    return test_expect(&t, status, admin, "GET", path, NULL);
}

static const char *below(const char *name, const char *parent)
{
    return made("projects", "project", fmt("{'name': '%s', 'parent_id': '%s'}", name, parent));
}

static void switched(int status, const char *id, bool on)
{
    test_expect(&t, status, admin, "PATCH", fmt(V3 "/projects/%s", id),
                "{'project': {'enabled': %s}}", on ? "true" : "false");
}

static void tree(void **state UNUSED)
{
    const char *d = made("domains", "domain", "{'name': 'wood'}");
    const char *root = below("root", d), *trunk = below("trunk", root);
    const char *branch = below("branch", trunk), *twig = below("twig", trunk);
    struct test_reply r = get(200, fmt(V3 "/projects/%s", trunk));
    assert_string_equal(test_str(&t, &r, "project.domain_id"), d); /* its parent's */
    assert_null(test_at(&r, "project.parents"));
    r = get(200, fmt(V3 "/projects/%s?parents_as_ids&subtree_as_ids", trunk));
    assert_string_equal(test_str(&t, &r, "project.parents"),
                        fmt("{\"%s\":{\"%s\":null}}", root, d));
    assert_int_equal(json_object_size(test_at(&r, "project.subtree")), 2);
    assert_true(json_is_null(test_at(&r, fmt("project.subtree.%s", twig))));
    r = get(200, fmt(V3 "/projects/%s?subtree_as_ids", twig));
    assert_true(json_is_null(test_at(&r, "project.subtree")));
    /* As lists: what the one who asks has to do with. */
    r = get(200, fmt(V3 "/projects/%s?parents_as_list&subtree_as_list", trunk));
    assert_int_equal(count_of(&r, "project.parents"), 0);
    r = login(user_named("admin", "admin-pw"), NULL);
    const char *me = test_str(&t, &r, "token.user.id");
    test_expect(&t, 204, admin, "PUT", grant_path(root, me, role_id("reader")), NULL);
    test_expect(&t, 204, admin, "PUT", grant_path(branch, me, role_id("reader")), NULL);
    r = get(200, fmt(V3 "/projects/%s?parents_as_list&subtree_as_list", trunk));
    assert_string_equal(test_str(&t, &r, "project.parents[0].project.id"), root);
    assert_int_equal(count_of(&r, "project.subtree"), 1);
    assert_string_equal(test_str(&t, &r, "project.subtree[0].project.id"), branch);
    get(400, fmt(V3 "/projects/%s?parents_as_list&parents_as_ids", trunk));
    get(400, fmt(V3 "/projects/%s?subtree_as_list&subtree_as_ids", trunk));
    /* Not deeper than a token can name. */
    const char *leaf = below("leaf", below("shoot", branch));
    test_expect(&t, 403, admin, "POST", V3 "/projects",
                "{'project': {'name': 'deep', 'parent_id': '%s'}}", leaf);
    test_expect(&t, 400, admin, "PATCH", fmt(V3 "/projects/%s", twig),
                "{'project': {'parent_id': '%s'}}", root);
    /* Disabled from the leaves, enabled from the root. */
    switched(403, branch, false);
    switched(200, twig, false);
    switched(200, twig, true);
    test_expect(&t, 403, admin, "DELETE", fmt(V3 "/projects/%s", branch), NULL);
    switched(200, leaf, false);
    switched(200, twig, false);
    test_expect(&t, 400, admin, "POST", V3 "/projects",
                "{'project': {'name': 'late', 'parent_id': '%s'}}", twig);
    switched(403, branch, false); /* "shoot" is on */
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/projects/%s", leaf), NULL);
}

static void domains_are_projects(void **state UNUSED)
{
    struct test_reply r =
        test_expect(&t, 201, admin, "POST", V3 "/projects",
                    "{'project': {'name': 'realm-1', 'domain_id': null, 'is_domain': true}}");
    const char *id = test_str(&t, &r, "project.id"), *path = fmt(V3 "/projects/%s", id);
    assert_true(json_is_null(test_at(&r, "project.domain_id")));
    assert_true(json_is_null(test_at(&r, "project.parent_id")));
    r = get(200, fmt(V3 "/domains/%s", id));
    assert_string_equal(test_str(&t, &r, "domain.name"), "realm-1");
    r = get(200, V3 "/projects?is_domain=true&name=realm-1");
    assert_string_equal(test_str(&t, &r, "projects[0].id"), id);
    r = get(200, V3 "/projects?name=realm-1");
    assert_int_equal(count_of(&r, "projects"), 0);
    r = get(200, path);
    assert_true(json_is_true(test_at(&r, "project.is_domain")));
    test_expect(&t, 400, admin, "POST", V3 "/projects",
                "{'project': {'name': 'x', 'domain_id': 'default', 'is_domain': true}}");
    test_expect(&t, 409, admin, "POST", V3 "/projects",
                "{'project': {'name': 'realm-1', 'is_domain': true}}");
    const char *inner = below("inner", id);
    test_expect(&t, 403, admin, "DELETE", path, NULL);
    r = test_expect(&t, 200, admin, "PATCH", path,
                    "{'project': {'enabled': false, 'is_domain': true, 'color': 'red'}}");
    assert_string_equal(test_str(&t, &r, "project.color"), "red");
    test_expect(&t, 400, admin, "PATCH", path, "{'project': {'is_domain': false}}");
    test_expect(&t, 204, admin, "DELETE", path, NULL);
    get(404, fmt(V3 "/domains/%s", id));
    get(404, fmt(V3 "/projects/%s", inner));
    test_expect(&t, 403, admin, "DELETE", V3 "/projects/default", NULL);

    static const char own_id[] = "0123456789abcdef0123456789abcdef";
    r = test_expect(&t, 201, admin, "POST", V3 "/domains",
                    "{'domain': {'name': 'known', 'explicit_domain_id': '%s'}}", own_id);
    assert_string_equal(test_str(&t, &r, "domain.id"), own_id);
    assert_null(test_at(&r, "domain.explicit_domain_id"));
    test_expect(&t, 409, admin, "POST", V3 "/domains",
                "{'domain': {'name': 'known-2', 'explicit_domain_id': '%s'}}", own_id);
    test_expect(&t, 400, admin, "POST", V3 "/domains",
                "{'domain': {'name': 'known-3', 'explicit_domain_id': 'default'}}");
}

static void tags(void **state UNUSED)
{
    struct person p = person("tagged", "reader");
    const char *path = fmt(V3 "/projects/%s/tags", p.project), *token = person_token(&p);
    test_expect(&t, 201, admin, "PUT", fmt("%s/blue", path), NULL);
    test_expect(&t, 201, admin, "PUT", fmt("%s/blue", path), NULL);
    test_expect(&t, 204, token, "HEAD", fmt("%s/blue", path), NULL);
    test_expect(&t, 404, token, "GET", fmt("%s/red", path), NULL);
    test_expect(&t, 403, token, "PUT", fmt("%s/red", path), NULL);
    test_expect(&t, 400, admin, "PUT", fmt("%s/a%%2Cb", path), NULL);
    struct test_reply r = test_expect(&t, 200, admin, "PUT", path, "{'tags': ['a', 'b', 'c']}");
    assert_string_equal(test_str(&t, &r, "tags"), "[\"a\",\"b\",\"c\"]");
    static const char *const bad[] = {"{}",
                                      "{'tags': 'a'}",
                                      "{'tags': [7]}",
                                      "{'tags': ['a,b']}",
                                      "{'tags': ['a/b']}",
                                      "{'tags': ['a', 'a']}",
                                      "{'tags': ['']}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(&t, 400, admin, "PUT", path, "%s", bad[i]);
    made("projects", "project", "{'name': 'other', 'tags': ['a', 'z']}");
    static const struct {
        const char *query;
        size_t n;
    } cases[] = {{"tags=a", 2},
                 {"tags=a,z", 1},
                 {"tags-any=b,z", 2},
                 {"tags=a&tags-any=b", 1},
                 {"not-tags=a&tags-any=a", 0},
                 {"not-tags-any=z&tags=a", 1}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        r = get(200, fmt(V3 "/projects?%s", cases[i].query));
        if (count_of(&r, "projects") != cases[i].n)
            fail_msg("%s: %s", cases[i].query, r.text);
    }
    test_expect(&t, 204, admin, "DELETE", fmt("%s/b", path), NULL);
    test_expect(&t, 404, admin, "DELETE", fmt("%s/b", path), NULL);
    test_expect(&t, 204, admin, "DELETE", path, NULL);
    r = test_expect(&t, 200, token, "GET", path, NULL);
    assert_int_equal(count_of(&r, "tags"), 0);
    struct person q = person("untagged", "reader");
    test_expect(&t, 403, person_token(&q), "GET", path, NULL);
}

/* Options are merged; what is immutable is changed in nothing but that. */
static void immutable(void **state UNUSED)
{
    static const char *const kinds[][2] = {
        {"projects", "project"}, {"domains", "domain"}, {"roles", "role"}};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const char *one = kinds[i][1];
        const char *id = made(kinds[i][0], one, "{'name': 'rock', 'options': {'immutable': true}}");
        const char *path = fmt(V3 "/%s/%s", kinds[i][0], id);
        test_expect(&t, 403, admin, "PATCH", path, "{'%s': {'description': 'x'}}", one);
        test_expect(&t, 403, admin, "PATCH", path,
                    "{'%s': {'description': 'x', 'options': {'immutable': false}}}", one);
        test_expect(&t, 403, admin, "DELETE", path, NULL);
        test_expect(&t, 400, admin, "PATCH", path, "{'%s': {'options': {'soft': true}}}", one);
        test_expect(&t, 400, admin, "PATCH", path, "{'%s': {'options': {'immutable': 1}}}", one);
        struct test_reply r = test_expect(&t, 200, admin, "PATCH", path,
                                          "{'%s': {'options': {'immutable': null}}}", one);
        assert_int_equal(json_object_size(test_at(&r, fmt("%s.options", one))), 0);
        test_expect(&t, 200, admin, "PATCH", path, "{'%s': {'enabled': false}}", one);
        test_expect(&t, 204, admin, "DELETE", path, NULL);
    }
}

static int64_t limits_of(const char *project)
{
    static const struct stmt st = {"limits",
                                   "SELECT count(*) FROM quota_limits WHERE project_id = $1"};
    const struct db_value id = V_TEXT(project);
    struct db_rows rows;
    struct tx *tx = NULL;
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, db_query(&t.cx, tx, &st, &id, 1, &rows));
    tx_rollback(&tx);
    return db_int(&rows, 0, 0);
}

/* Its limits with every service go with a project. */
static void quotas(void **state UNUSED)
{
    static const struct stmt st = {"limit", "INSERT INTO quota_limits (service, project_id, name, "
                                            "hard_limit) VALUES ('compute', $1, 'cores', 1)"};
    const char *p = made("projects", "project", "{'name': 'bounded'}");
    struct tx *tx = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, db_run(&t.cx, tx, &st, V_TEXT(p)));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
    assert_int_equal(limits_of(p), 1);
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/projects/%s", p), NULL);
    assert_int_equal(limits_of(p), 0);
}

/* A user's default project goes with the project; a domain can't be one. */
static void default_projects(void **state UNUSED)
{
    const char *p = made("projects", "project", "{'name': 'home'}");
    const char *u =
        made("users", "user", fmt("{'name': 'dweller', 'default_project_id': '%s'}", p));
    test_expect(&t, 400, admin, "PATCH", fmt(V3 "/users/%s", u),
                "{'user': {'default_project_id': 'default'}}");
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/projects/%s", p), NULL);
    struct test_reply r = get(200, fmt(V3 "/users/%s", u));
    assert_null(test_at(&r, "user.default_project_id"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree),
        cmocka_unit_test(domains_are_projects),
        cmocka_unit_test(tags),
        cmocka_unit_test(immutable),
        cmocka_unit_test(default_projects),
        cmocka_unit_test(quotas),
    };
    return cmocka_run_group_tests(tests, identity_setup, identity_teardown);
}
