/* SPDX-License-Identifier: EUPL-1.2 */
/* What identity keeps for others: credentials, policies, consumers, limits, domains' settings; and
 * the endpoints chosen for a project. */
#include "identity/test_identity.h"

static size_t count_of(const struct test_reply *r, const char *path)
{
    return json_array_size(test_at(r, path));
}

static struct test_reply get(int status, const char *path)
{
    return test_expect(&t, status, admin, "GET", path, NULL);
}

/* ---------------------------------------------------------------- credentials */

static void credentials(void **state UNUSED)
{
    struct person p = person("keeper", "member"), q = person("thief", "member");
    const char *token = person_token(&p), *other = person_token(&q);
    static const char body[] =
        "{'credential': {'user_id': '%s', 'project_id': '%s', 'type': 'ec2', 'blob': "
        "'{\\u0022access\\u0022: \\u0022%s\\u0022, \\u0022secret\\u0022: \\u0022s\\u0022}'}}";
    struct test_reply r =
        test_expect(&t, 201, token, "POST", V3 "/credentials", body, p.user, p.project, "AKEY");
    const char *id = test_str(&t, &r, "credential.id"), *path = fmt(V3 "/credentials/%s", id);
    assert_int_equal(strlen(id), 64);
    test_expect(&t, 409, admin, "POST", V3 "/credentials", body, q.user, q.project, "AKEY");
    test_expect(&t, 403, other, "POST", V3 "/credentials", body, p.user, p.project, "BKEY");
    test_expect(&t, 404, admin, "POST", V3 "/credentials", body, "nobody", p.project, "CKEY");
    test_expect(&t, 404, admin, "POST", V3 "/credentials", body, p.user, "nothing", "CKEY");
    static const char *const bad[] = {"",
                                      ", 'type': 'ec2'",
                                      ", 'blob': 'x'",
                                      ", 'type': 'ec2', 'blob': '{}'",
                                      ", 'type': 'cert', 'blob': {}",
                                      ", 'type': 7, 'blob': 'x'"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(&t, 400, token, "POST", V3 "/credentials",
                    "{'credential': {'user_id': '%s'%s}}", p.user, bad[i]);
    test_expect(&t, 201, token, "POST", V3 "/credentials",
                "{'credential': {'user_id': '%s', 'type': 'cert', 'blob': 'pem'}}", p.user);
    r = test_expect(&t, 200, token, "GET", V3 "/credentials?type=ec2", NULL);
    assert_int_equal(count_of(&r, "credentials"), 1);
    r = test_expect(&t, 200, other, "GET", fmt(V3 "/credentials?user_id=%s", p.user), NULL);
    assert_int_equal(count_of(&r, "credentials"), 0);
    r = get(200, fmt(V3 "/credentials?user_id=%s", p.user));
    assert_int_equal(count_of(&r, "credentials"), 2);
    test_expect(&t, 403, other, "GET", path, NULL);
    test_expect(&t, 403, other, "GET", V3 "/credentials/nothing", NULL);
    get(404, V3 "/credentials/nothing");
    test_expect(&t, 403, other, "PATCH", path, "{'credential': {'type': 'cert'}}");
    test_expect(&t, 403, other, "DELETE", path, NULL);
    test_expect(&t, 403, token, "PATCH", path, "{'credential': {'user_id': '%s'}}", q.user);
    test_expect(&t, 400, token, "PATCH", path, "{'credential': {'blob': 'x'}}");
    r = test_expect(&t, 200, token, "PATCH", path, "{'credential': {'type': 'x', 'blob': 'y'}}");
    assert_string_equal(test_str(&t, &r, "credential.blob"), "y");
    test_expect(&t, 204, token, "DELETE", path, NULL);
    /* They go with the user, and with the project. */
    test_expect(&t, 201, token, "POST", V3 "/credentials", body, p.user, p.project, "DKEY");
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/projects/%s", p.project), NULL);
    r = get(200, fmt(V3 "/credentials?user_id=%s", p.user));
    assert_int_equal(count_of(&r, "credentials"), 1);
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/users/%s", p.user), NULL);
    r = get(200, fmt(V3 "/credentials?user_id=%s", p.user));
    assert_int_equal(count_of(&r, "credentials"), 0);
}

static void ec2(void **state UNUSED)
{
    struct person p = person("ec2er", "member"), q = person("ec2-thief", "member");
    const char *token = person_token(&p), *path = fmt(V3 "/users/%s/credentials/OS-EC2", p.user);
    test_expect(&t, 400, token, "POST", path, "{}");
    test_expect(&t, 404, token, "POST", path, "{'tenant_id': 'nothing'}");
    test_expect(&t, 403, person_token(&q), "POST", path, "{'tenant_id': '%s'}", q.project);
    struct test_reply r =
        test_expect(&t, 201, token, "POST", path, "{'tenant_id': '%s'}", p.project);
    const char *one = fmt("%s/%s", path, test_str(&t, &r, "credential.access"));
    const char *secret = test_str(&t, &r, "credential.secret");
    assert_string_equal(test_str(&t, &r, "credential.links.self"), fmt("%s%s", t.url, one));
    r = test_expect(&t, 200, token, "GET", one, NULL);
    assert_string_equal(test_str(&t, &r, "credential.secret"), secret);
    r = test_expect(&t, 200, admin, "GET", path, NULL);
    assert_int_equal(count_of(&r, "credentials"), 1);
    test_expect(&t, 403, person_token(&q), "GET", one, NULL);
    test_expect(&t, 404, admin, "GET",
                fmt(V3 "/users/%s/credentials/OS-EC2/%s", q.user, strrchr(one, '/') + 1), NULL);
    test_expect(&t, 204, token, "DELETE", one, NULL);
    test_expect(&t, 404, token, "GET", one, NULL);
}

/* ---------------------------------------------------------------- policies, consumers */

static void policies(void **state UNUSED)
{
    struct person p = person("ruler", "member");
    const char *id = made("policies", "policy", "{'blob': 'x', 'type': 'text/plain', 'note': 1}");
    const char *path = fmt(V3 "/policies/%s", id);
    struct test_reply r =
        test_expect(&t, 200, admin, "PATCH", path, "{'policy': {'type': 'other'}}");
    assert_string_equal(test_str(&t, &r, "policy.blob"), "x");
    assert_string_equal(test_str(&t, &r, "policy.note"), "1");
    r = get(200, V3 "/policies?type=other");
    assert_int_equal(count_of(&r, "policies"), 1);
    test_expect(&t, 400, admin, "POST", V3 "/policies", "{'policy': {'blob': 'x'}}");
    test_expect(&t, 403, person_token(&p), "GET", path, NULL);
    test_expect(&t, 204, admin, "DELETE", path, NULL);
    get(404, path);
}

static void consumers(void **state UNUSED)
{
    struct test_reply r = test_expect(&t, 201, admin, "POST", V3 "/OS-OAUTH1/consumers",
                                      "{'consumer': {'description': 'd'}}");
    const char *path = fmt(V3 "/OS-OAUTH1/consumers/%s", test_str(&t, &r, "consumer.id"));
    assert_int_equal(strlen(test_str(&t, &r, "consumer.secret")), 32);
    r = get(200, path);
    assert_null(test_at(&r, "consumer.secret"));
    test_expect(&t, 400, admin, "PATCH", path, "{'consumer': {'secret': 'mine'}}");
    r = test_expect(&t, 200, admin, "PATCH", path, "{'consumer': {'description': 'e'}}");
    assert_null(test_at(&r, "consumer.secret"));
    assert_string_equal(test_str(&t, &r, "consumer.description"), "e");
    test_expect(&t, 204, admin, "DELETE", path, NULL);
    get(404, path);
}

/* ---------------------------------------------------------------- limits */

static void limits(void **state UNUSED)
{
    const char *s = made("services", "service", "{'type': 'things'}");
    struct person p = person("limited", "member");
    static const char body[] = "{'registered_limits': [{'service_id': '%s', 'resource_name': '%s', "
                               "'default_limit': 5%s}]}";
    struct test_reply r =
        test_expect(&t, 201, admin, "POST", V3 "/registered_limits", body, s, "things", "");
    const char *id = test_str(&t, &r, "registered_limits[0].id");
    const char *path = fmt(V3 "/registered_limits/%s", id);
    test_expect(&t, 409, admin, "POST", V3 "/registered_limits", body, s, "things", "");
    test_expect(&t, 201, admin, "POST", V3 "/registered_limits", body, s, "things",
                ", 'region_id': 'RegionOne'");
    test_expect(&t, 400, admin, "POST", V3 "/registered_limits", body, "nothing", "x", "");
    test_expect(&t, 400, admin, "POST", V3 "/registered_limits", body, s, "x",
                ", 'region_id': 'nowhere'");
    test_expect(&t, 400, admin, "POST", V3 "/registered_limits", body, s, "x", ", 'color': 'red'");
    static const char *const bad[] = {"{}", "{'registered_limits': []}",
                                      "{'registered_limits': [7]}", "{'registered_limits': {}}",
                                      "{'registered_limits': [{}]}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(&t, 400, admin, "POST", V3 "/registered_limits", "%s", bad[i]);
    r = test_expect(&t, 200, person_token(&p), "GET", fmt(V3 "/registered_limits?service_id=%s", s),
                    NULL);
    assert_int_equal(count_of(&r, "registered_limits"), 2);

    static const char limit[] = "{'limits': [{'%s': '%s', 'service_id': '%s', 'resource_name': "
                                "'%s', 'resource_limit': 7}]}";
    r = test_expect(&t, 201, admin, "POST", V3 "/limits", limit, "project_id", p.project, s,
                    "things");
    const char *one = fmt(V3 "/limits/%s", test_str(&t, &r, "limits[0].id"));
    assert_true(json_is_null(test_at(&r, "limits[0].domain_id")));
    test_expect(&t, 201, admin, "POST", V3 "/limits", limit, "domain_id", "default", s, "things");
    test_expect(&t, 409, admin, "POST", V3 "/limits", limit, "project_id", p.project, s, "things");
    test_expect(&t, 403, admin, "POST", V3 "/limits", limit, "project_id", p.project, s, "others");
    test_expect(&t, 400, admin, "POST", V3 "/limits", limit, "project_id", "nothing", s, "things");
    test_expect(
        &t, 400, admin, "POST", V3 "/limits",
        "{'limits': [{'service_id': '%s', 'resource_name': 'things', 'resource_limit': 7}]}", s);
    r = test_expect(&t, 200, person_token(&p), "GET", V3 "/limits", NULL);
    assert_int_equal(count_of(&r, "limits"), 1); /* the own ones */
    struct person q = person("limited-2", "member");
    test_expect(&t, 200, person_token(&p), "GET", one, NULL);
    test_expect(&t, 403, person_token(&q), "GET", one, NULL);
    test_expect(&t, 403, person_token(&q), "GET", V3 "/limits/nothing", NULL);
    r = test_expect(&t, 200, person_token(&q), "GET", V3 "/limits/model", NULL);
    assert_string_equal(test_str(&t, &r, "model.name"), "flat");
    r = test_expect(&t, 200, admin, "PATCH", one, "{'limit': {'resource_limit': -1}}");
    assert_int_equal(json_integer_value(test_at(&r, "limit.resource_limit")), -1);
    test_expect(&t, 400, admin, "PATCH", one, "{'limit': {'project_id': 'other'}}");
    /* What limits refer to stays, but for the number. */
    test_expect(&t, 403, admin, "DELETE", path, NULL);
    test_expect(&t, 403, admin, "PATCH", path, "{'registered_limit': {'resource_name': 'other'}}");
    test_expect(&t, 200, admin, "PATCH", path, "{'registered_limit': {'default_limit': 9}}");
    test_expect(&t, 409, admin, "DELETE", fmt(V3 "/services/%s", s), NULL);
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/projects/%s", p.project), NULL);
    get(404, one);
}

/* ---------------------------------------------------------------- domains' settings */

static void domain_config(void **state UNUSED)
{
    const char *d = made("domains", "domain", "{'name': 'ldap-domain'}");
    const char *path = fmt(V3 "/domains/%s/config", d);
    get(404, path);
    test_expect(&t, 404, admin, "DELETE", path, NULL);
    static const char body[] = "{'config': {'identity': {'driver': 'ldap'}, 'ldap': {'url': "
                               "'ldap://x', 'password': 'p'}}}";
    struct test_reply r = test_expect(&t, 201, admin, "PUT", path, "%s", body);
    assert_string_equal(test_str(&t, &r, "config.ldap.url"), "ldap://x");
    assert_null(strstr(r.text, "password")); /* kept, never shown */
    test_expect(&t, 200, admin, "PUT", path, "%s", body);
    r = get(200, fmt("%s/ldap", path));
    assert_string_equal(test_str(&t, &r, "config.ldap.url"), "ldap://x");
    assert_null(test_at(&r, "config.identity"));
    r = get(200, fmt("%s/ldap/url", path));
    assert_string_equal(test_str(&t, &r, "config.url"), "ldap://x");
    get(404, fmt("%s/ldap/password", path));
    get(404, fmt("%s/ldap/suffix", path));
    r = test_expect(&t, 200, admin, "PATCH", fmt("%s/identity/driver", path),
                    "{'config': {'driver': 'sql'}}");
    assert_string_equal(test_str(&t, &r, "config.identity.driver"), "sql");
    assert_string_equal(test_str(&t, &r, "config.ldap.url"), "ldap://x");
    test_expect(&t, 200, admin, "PATCH", fmt("%s/identity", path),
                "{'config': {'identity': {'list_limit': 7}}}");
    test_expect(&t, 404, admin, "PATCH", fmt("%s/ldap/suffix", path),
                "{'config': {'suffix': 'x'}}");
    static const struct {
        int status;
        const char *body;
    } bad[] = {{400, "{}"},
               {400, "{'config': 7}"},
               {403, "{'config': {}}"},
               {403, "{'config': {'token': {}}}"},
               {403, "{'config': {'ldap': {'color': 'red'}}}"},
               {403, "{'config': {'ldap': 'x'}}"}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(&t, bad[i].status, admin, "PATCH", path, "%s", bad[i].body);
    test_expect(&t, 403, admin, "PATCH", fmt("%s/identity", path),
                "{'config': {'ldap': {'url': 'x'}}}");
    get(403, fmt("%s/token", path));
    get(404, V3 "/domains/nothing/config");
    r = get(200, V3 "/domains/config/default");
    assert_non_null(test_at(&r, "config.ldap.user_tree_dn"));
    assert_null(strstr(r.text, "password\""));
    r = get(200, V3 "/domains/config/identity/driver/default");
    assert_string_equal(test_str(&t, &r, "config.driver"), "sql");
    get(403, V3 "/domains/config/token/default");
    struct person p = person("reader-of-rules", "reader");
    r = test_expect(&t, 200, person_token(&p), "GET",
                    V3 "/domains/default/config/security_compliance", NULL);
    assert_true(json_is_null(test_at(&r, "config.security_compliance.password_regex")));
    test_expect(&t, 403, person_token(&p), "GET", path, NULL);
    test_expect(&t, 204, admin, "DELETE", fmt("%s/identity/driver", path), NULL);
    test_expect(&t, 204, admin, "DELETE", fmt("%s/identity", path), NULL);
    test_expect(&t, 204, admin, "DELETE", path, NULL);
    get(404, path);
}

/* ---------------------------------------------------------------- endpoints of a project */

static void endpoints_of_projects(void **state UNUSED)
{
    struct person p = person("chooser", "member");
    const char *s = made("services", "service", "{'type': 'dns'}");
    const char *e = made("endpoints", "endpoint",
                         fmt("{'service_id': '%s', 'interface': 'public', 'url': 'http://x'}", s));
    const char *chosen = fmt(V3 "/OS-EP-FILTER/projects/%s/endpoints/%s", p.project, e);
    struct test_reply r = login(user_named("chooser", "pw"), project_named("chooser"));
    size_t all = count_of(&r, "token.catalog");
    assert_true(all >= 3);
    test_expect(&t, 404, admin, "HEAD", chosen, NULL);
    test_expect(&t, 204, admin, "PUT", chosen, NULL);
    test_expect(&t, 204, admin, "HEAD", chosen, NULL);
    test_expect(&t, 404, admin, "PUT", fmt(V3 "/OS-EP-FILTER/projects/x/endpoints/%s", e), NULL);
    r = login(user_named("chooser", "pw"), project_named("chooser"));
    assert_int_equal(count_of(&r, "token.catalog"), 1);
    assert_string_equal(test_str(&t, &r, "token.catalog[0].type"), "dns");
    r = get(200, fmt(V3 "/OS-EP-FILTER/projects/%s/endpoints", p.project));
    assert_string_equal(test_str(&t, &r, "endpoints[0].id"), e);
    r = get(200, fmt(V3 "/OS-EP-FILTER/endpoints/%s/projects", e));
    assert_string_equal(test_str(&t, &r, "projects[0].id"), p.project);
    r = login(user_named("admin", "admin-pw"), NULL);
    assert_true(count_of(&r, "token.catalog") > 1); /* others have all still */

    const char *g = V3 "/OS-EP-FILTER/endpoint_groups";
    static const char *const bad[] = {"{'endpoint_group': {'name': 'g'}}",
                                      "{'endpoint_group': {'name': 'g', 'filters': {}}}",
                                      "{'endpoint_group': {'name': 'g', 'filters': {'url': 'x'}}}",
                                      "{'endpoint_group': {'name': 'g', 'filters': 'x'}}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(&t, 400, admin, "POST", g, "%s", bad[i]);
    r = test_expect(&t, 201, admin, "POST", g,
                    "{'endpoint_group': {'name': 'g', 'filters': {'interface': 'admin'}}}");
    g = fmt("%s/%s", g, test_str(&t, &r, "endpoint_group.id"));
    const char *has = fmt("%s/projects/%s", g, p.project);
    get(404, has);
    test_expect(&t, 204, admin, "PUT", has, NULL);
    r = get(200, has);
    assert_string_equal(test_str(&t, &r, "project_endpoint_group.project_id"), p.project);
    r = get(200, fmt("%s/endpoints", g));
    assert_int_equal(count_of(&r, "endpoints"), 2); /* of the two services of this region */
    r = get(200, fmt("%s/projects", g));
    assert_int_equal(count_of(&r, "projects"), 1);
    r = get(200, fmt(V3 "/OS-EP-FILTER/projects/%s/endpoint_groups", p.project));
    assert_int_equal(count_of(&r, "endpoint_groups"), 1);
    r = get(200, fmt(V3 "/OS-EP-FILTER/projects/%s/endpoints", p.project));
    assert_int_equal(count_of(&r, "endpoints"), 3);
    r = login(user_named("chooser", "pw"), project_named("chooser"));
    assert_int_equal(count_of(&r, "token.catalog"), 3);
    test_expect(&t, 200, admin, "PATCH", g,
                "{'endpoint_group': {'filters': {'interface': 'admin', 'service_id': '%s'}}}", s);
    r = get(200, fmt("%s/endpoints", g));
    assert_int_equal(count_of(&r, "endpoints"), 0);
    test_expect(&t, 204, admin, "DELETE", has, NULL);
    test_expect(&t, 204, admin, "PUT", has, NULL);
    test_expect(&t, 204, admin, "DELETE", g, NULL);
    test_expect(&t, 204, admin, "DELETE", chosen, NULL);
    test_expect(&t, 404, admin, "DELETE", chosen, NULL);
    r = login(user_named("chooser", "pw"), project_named("chooser"));
    assert_int_equal(count_of(&r, "token.catalog"), all);
    /* What was chosen goes with the endpoint. */
    test_expect(&t, 204, admin, "PUT", chosen, NULL);
    test_expect(&t, 204, admin, "DELETE", fmt(V3 "/services/%s", s), NULL);
    r = get(200, fmt(V3 "/OS-EP-FILTER/projects/%s/endpoints", p.project));
    assert_int_equal(count_of(&r, "endpoints"), 0);
    test_expect(&t, 403, person_token(&p), "GET", V3 "/OS-EP-FILTER/endpoint_groups", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credentials),
        cmocka_unit_test(ec2),
        cmocka_unit_test(policies),
        cmocka_unit_test(consumers),
        cmocka_unit_test(limits),
        cmocka_unit_test(domain_config),
        cmocka_unit_test(endpoints_of_projects),
    };
    return cmocka_run_group_tests(tests, identity_setup, identity_teardown);
}
