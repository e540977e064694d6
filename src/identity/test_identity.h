/* SPDX-License-Identifier: EUPL-1.2 */
/* For the identity service's tests: a bootstrapped region with real tokens, and log-ins. */
#pragma once

#include "identity/resources.h"
#include "resource/test_golden.h"

#define V3 "/identity/v3"

static struct test_api t;
static const char *admin; /* the administrator's token */

static inline const char *reply_header(const struct test_reply *r, const char *name)
{
    for (size_t i = 0; i < r->answer.n_headers; i++)
        if (str_eq(r->answer.headers[i].name, name))
            return r->answer.headers[i].value;
    return NULL;
}

static inline const char *fmt(const char *f, ...)
{
    va_list ap;
    va_start(ap, f);
    const char *s = arena_vprintf(t.cx.arena, f, ap);
    va_end(ap);
    return s;
}

/* user and scope (may be NULL) as JSON with single quotes. */
static inline struct test_reply login(const char *user, const char *scope)
{
    return test_call(
        &t, NULL, "POST", V3 "/auth/tokens",
        "{'auth': {'identity': {'methods': ['password'], 'password': {'user': %s}}%s%s}}", user,
        scope ? ", 'scope': " : "", scope ? scope : "");
}

static inline const char *token_of(const char *user, const char *scope)
{
    struct test_reply r = login(user, scope);
    if (r.status != 201)
        fail_msg("log-in of %s to %s: %d %s", user, scope ? scope : "anything", r.status, r.text);
    return reply_header(&r, "x-subject-token");
}

/* By name in the default domain. */
static inline const char *user_named(const char *name, const char *password)
{
    return fmt("{'name': '%s', 'domain': {'id': 'default'}, 'password': '%s'}", name, password);
}

static inline const char *project_named(const char *name)
{
    return fmt("{'project': {'name': '%s', 'domain': {'name': 'Default'}}}", name);
}

static inline int use(const char *token)
{
    return test_call(&t, token, "GET", V3 "/auth/catalog", NULL).status;
}

static inline struct test_reply subject_call(const char *token, const char *method,
                                             const char *subject)
{
    t.headers[0] = fmt("X-Subject-Token: %s", subject);
    struct test_reply r = test_call(&t, token, method, V3 "/auth/tokens", NULL);
    t.headers[0] = NULL;
    return r;
}

static inline const char *made(const char *plural, const char *name, const char *body)
{
    struct test_reply r =
        test_expect(&t, 201, admin, "POST", fmt(V3 "/%s", plural), "{'%s': %s}", name, body);
    return test_str(&t, &r, fmt("%s.id", name));
}

static inline const char *role_id(const char *name)
{
    struct test_reply r = test_expect(&t, 200, admin, "GET", fmt(V3 "/roles?name=%s", name), NULL);
    return test_str(&t, &r, "roles[0].id");
}

static inline const char *grant_path(const char *project, const char *user, const char *role)
{
    return fmt(V3 "/projects/%s/users/%s/roles/%s", project, user, role);
}

/* A user of that name and password "pw" with the role in a project of the same name. */
struct person {
    const char *user, *project, *name;
};
static inline struct person person(const char *name, const char *role)
{
    struct person p = {.name = name};
    p.user = made("users", "user", fmt("{'name': '%s', 'password': 'pw'}", name));
    p.project = made("projects", "project", fmt("{'name': '%s'}", name));
    test_expect(&t, 204, admin, "PUT", grant_path(p.project, p.user, role_id(role)), NULL);
    return p;
}
static inline const char *person_token(const struct person *p)
{
    return token_of(user_named(p->name, "pw"), project_named(p->name));
}

static const char *const bootstrap_services[] = {
    "identity", "/identity/v3", "volumev3", "/volume/v3/%(project_id)s", NULL, NULL};

static inline struct identity_config quick_config(void)
{
    return (struct identity_config){
        .region = "RegionOne", .token_ttl_s = 3600, .argon2_mem_kib = 64, .argon2_ops = 1};
}

static inline int identity_setup(void **state UNUSED)
{
    static const struct service *const services[] = {&engine_service, &identity_service};
    static const struct api_hooks hooks = {.authenticate = identity_authenticate};
    const struct identity_config cfg = quick_config();
    const struct identity_bootstrap b = {
        .admin_password = "admin-pw", .region = "RegionOne", .service_types = bootstrap_services};
    const char *password = NULL;
    test_api_start_with(&t, services, ARRAY_LEN(services), &hooks);
    identity_configure(&cfg);
    assert_ok(&t.cx, identity_bootstrap(&t.cx, t.store, &b, &password));
    admin = token_of(user_named("admin", "admin-pw"), project_named("admin"));
    return 0;
}

static inline int identity_teardown(void **state UNUSED)
{
    test_api_stop(&t);
    return 0;
}
