/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Calls of every service while the Nth call of the database fails, N = 1, 2, … until none does: the
 * answer is an honest error in the service's shape, nothing is left half done, and the same call
 * succeeds afterwards.
 */
#include "cmd/wiring.h"
#include "identity/resources.h"
#include "image/image.h"
#include "resource/test_api.h"
#include "volume/volume.h"

static struct test_api t;
static const char *token;
static char dir[] = "/tmp/colvert-faults-XXXXXX";

static const char *fmt(const char *f, ...)
{
    va_list ap;
    va_start(ap, f);
    const char *s = arena_vprintf(t.cx.arena, f, ap);
    va_end(ap);
    return s;
}

static const char *header(const struct test_reply *r, const char *name)
{
    for (size_t i = 0; i < r->answer.n_headers; i++)
        if (str_eq(r->answer.headers[i].name, name))
            return r->answer.headers[i].value;
    return NULL;
}

#define LOGIN                                                                                      \
    "{'auth': {'identity': {'methods': ['password'], 'password': {'user': {'name': 'admin', "      \
    "'domain': {'id': 'default'}, "                                                                \
    "'password': 'admin-pw'}}}, 'scope': {'project': {'name': 'admin', 'domain': {'id': "          \
    "'default'}}}}}"

static int setup(void **state UNUSED)
{
    static const char *const paths[] = {"identity", "/identity/v3", NULL, NULL};
    static const struct api_hooks hooks = {.authenticate = identity_authenticate};
    const struct identity_config cfg = {
        .region = "RegionOne", .token_ttl_s = 3600, .argon2_mem_kib = 64, .argon2_ops = 1};
    const struct identity_bootstrap b = {
        .admin_password = "admin-pw", .region = "RegionOne", .service_types = paths};
    const char *password = NULL;
    assert_non_null(mkdtemp(dir));
    test_api_start_with(&t, all_services, n_all_services, &hooks);
    identity_configure(&cfg);
    const struct image_config image = {.dir = dir, .size_max_bytes = 1 << 20};
    assert_ok(&t.cx, image_configure(&t.cx, &image));
    assert_ok(&t.cx, identity_bootstrap(&t.cx, t.store, &b, &password));
    volume_configure(&(struct volume_config){.default_zone = "nova"});
    assert_ok(&t.cx, volume_bootstrap(&t.cx, t.store));
    struct test_reply r = test_expect(&t, 201, NULL, "POST", "/identity/v3/auth/tokens", LOGIN);
    token = header(&r, "x-subject-token");
    log_set_level((enum log_level)(LOG_ERROR + 1));
    return 0;
}

static int teardown(void **state UNUSED)
{
    test_api_stop(&t);
    return rmdir(dir);
}

/* How many rows each table has, but the audit's. */
static const char *census(void)
{
    struct buf b;
    struct tx *tx = NULL;
    buf_init(&b, t.cx.arena);
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    for (size_t i = 0; i < n_all_services; i++) {
        for (size_t k = 0; k < all_services[i]->n_resources; k++) {
            const struct resource *res = all_services[i]->resources[k];
            if (!res->table)
                continue;
            const struct stmt st = {"census", fmt("SELECT count(*) FROM %s", res->table)};
            struct db_rows rows;
            struct err *e = db_query(&t.cx, tx, &st, NULL, 0, &rows);
            assert_ok(&t.cx, e);
            buf_printf(&b, "%s %" PRId64 ";", res->table, db_int(&rows, 0, 0));
        }
    }
    static const struct stmt others[] = {{"grants", "SELECT count(*) FROM role_assignments"},
                                         {"history", "SELECT count(*) FROM password_history"},
                                         {"revoked", "SELECT count(*) FROM revocations"},
                                         {"quotas", "SELECT count(*) FROM quota_limits"}};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct db_rows rows;
        assert_ok(&t.cx, db_query(&t.cx, tx, &others[i], NULL, 0, &rows));
        buf_printf(&b, "%s %" PRId64 ";", others[i].name, db_int(&rows, 0, 0));
    }
    tx_rollback(&tx);
    return buf_cstr(&b);
}

static void has_shape(const char *path, const struct test_reply *r)
{
    const char *message = NULL;
    if (str_starts(path, "/identity"))
        message = test_str(&t, r, "error.message");
    else if (str_starts(path, "/image"))
        message = test_str(&t, r, "message");
    else if (str_starts(path, "/network"))
        message = test_str(&t, r, "NeutronError.message");
    else if (json_is_object(r->json))
        message = json_get_str(json_object_iter_value(json_object_iter(r->json)), "message");
    if (!message)
        fail_msg("%s: %d %s", path, r->status, r->text);
    assert_null(strstr(message, "SELECT"));
    assert_null(strstr(message, "INSERT"));
}

/* Runs the call with ever later faults; the last run, without one, must give this status. */
static struct test_reply endure(int status, const char *method, const char *path, const char *body)
{
    const char *before = census();
    const char *as = str_ends(path, "/auth/tokens") ? NULL : token;
    for (long n = 1; n < 400; n++) {
        store_fail_nth(t.store, n);
        struct test_reply r = body ? test_call(&t, as, method, path, "%s", body)
                                   : test_call(&t, as, method, path, NULL);
        bool fired = store_fail_nth(t.store, 0) >= n;
        if (r.status == status) {
            if (!fired)
                return r;
            fail_msg("%s %s succeeded although database call %ld failed", method, path, n);
        }
        if (!fired)
            fail_msg("%s %s without a fault: %d %s", method, path, r.status, r.text);
        if (r.status != 500 && r.status != 503)
            fail_msg("%s %s, fault %ld: %d %s", method, path, n, r.status, r.text);
        has_shape(path, &r);
        const char *after = census();
        if (!str_eq(before, after))
            fail_msg("%s %s, fault %ld, left something:\n%s\n%s", method, path, n, before, after);
    }
    fail_msg("%s %s: the faults never stop", method, path);
    return (struct test_reply){0};
}

static const char *id_of(const struct test_reply *r, const char *at)
{
    const char *id = test_str(&t, r, at);
    if (!id)
        fail_msg("no %s in %s", at, r->text);
    return id;
}

static void identity(void **state UNUSED)
{
    struct test_reply r = endure(201, "POST", "/identity/v3/auth/tokens", LOGIN);
    r = endure(201, "POST", "/identity/v3/users", "{'user': {'name': 'u', 'password': 'pw'}}");
    const char *user = id_of(&r, "user.id");
    r = endure(201, "POST", "/identity/v3/projects", "{'project': {'name': 'p'}}");
    const char *project = id_of(&r, "project.id");
    r = endure(201, "POST", "/identity/v3/roles", "{'role': {'name': 'r'}}");
    const char *role = id_of(&r, "role.id");
    const char *grant = fmt("/identity/v3/projects/%s/users/%s/roles/%s", project, user, role);
    endure(204, "PUT", grant, NULL);
    endure(200, "GET", "/identity/v3/role_assignments?include_names", NULL);
    endure(200, "GET", "/identity/v3/users", NULL);
    endure(200, "PATCH", fmt("/identity/v3/users/%s", user), "{'user': {'password': 'new'}}");
    endure(204, "POST", fmt("/identity/v3/users/%s/password", user),
           "{'user': {'original_password': 'new', 'password': 'newer'}}");
    endure(204, "DELETE", grant, NULL);
    endure(204, "DELETE", fmt("/identity/v3/roles/%s", role), NULL);
    endure(204, "DELETE", fmt("/identity/v3/users/%s", user), NULL);
    endure(204, "DELETE", fmt("/identity/v3/projects/%s", project), NULL);
    endure(200, "GET", "/identity/v3/auth/catalog", NULL);
}

static void images(void **state UNUSED)
{
    struct test_reply r = endure(201, "POST", "/image/v2/images",
                                 "{'name': 'i', 'disk_format': 'raw', 'container_format': 'bare'}");
    const char *path = fmt("/image/v2/images/%s", id_of(&r, "id"));
    endure(204, "PUT", fmt("%s/tags/x", path), NULL);
    endure(200, "POST", fmt("%s/members", path), "{'member': 'p2'}");
    endure(200, "GET", path, NULL);
    endure(200, "GET", "/image/v2/images?tag=x", NULL);
    endure(204, "DELETE", path, NULL);
}

static void networks(void **state UNUSED)
{
    struct test_reply r =
        endure(201, "POST", "/network/v2.0/networks", "{'network': {'name': 'n'}}");
    const char *network = id_of(&r, "network.id");
    r = endure(
        201, "POST", "/network/v2.0/subnets",
        fmt("{'subnet': {'network_id': '%s', 'cidr': '10.0.0.0/24', 'ip_version': 4}}", network));
    const char *subnet = id_of(&r, "subnet.id");
    r = endure(201, "POST", "/network/v2.0/ports", fmt("{'port': {'network_id': '%s'}}", network));
    const char *port = id_of(&r, "port.id");
    r = endure(201, "POST", "/network/v2.0/routers", "{'router': {'name': 'r'}}");
    const char *router = fmt("/network/v2.0/routers/%s", id_of(&r, "router.id"));
    endure(200, "PUT", fmt("%s/add_router_interface", router), fmt("{'subnet_id': '%s'}", subnet));
    endure(200, "PUT", fmt("%s/remove_router_interface", router),
           fmt("{'subnet_id': '%s'}", subnet));
    endure(204, "DELETE", router, NULL);
    r = endure(201, "POST", "/network/v2.0/security-groups", "{'security_group': {'name': 's'}}");
    endure(204, "DELETE", fmt("/network/v2.0/security-groups/%s", id_of(&r, "security_group.id")),
           NULL);
    endure(204, "DELETE", fmt("/network/v2.0/ports/%s", port), NULL);
    endure(204, "DELETE", fmt("/network/v2.0/networks/%s", network), NULL);
}

static void compute(void **state UNUSED)
{
    struct test_reply r =
        endure(200, "POST", "/compute/v2.1/flavors",
               "{'flavor': {'name': 'f', 'ram': 64, 'vcpus': 1, 'disk': 1, 'id': 'f1'}}");
    endure(200, "POST", "/compute/v2.1/flavors/f1/os-extra_specs", "{'extra_specs': {'a': 'b'}}");
    r = endure(200, "POST", "/compute/v2.1/os-keypairs",
               "{'keypair': {'name': 'k', 'public_key': 'ssh-ed25519 "
               "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f x'}}");
    endure(200, "GET", "/compute/v2.1/servers/detail", NULL);
    endure(200, "GET", "/compute/v2.1/limits", NULL);
    endure(202, "DELETE", "/compute/v2.1/os-keypairs/k", NULL);
    endure(202, "DELETE", "/compute/v2.1/flavors/f1", NULL);
    assert_non_null(r.text);
}

/* There is no host: a volume is made, and has an error and a message. */
static void volumes(void **state UNUSED)
{
    struct test_reply r = endure(200, "POST", "/volume/v3/types", "{'volume_type': {'name': 't'}}");
    const char *type = id_of(&r, "volume_type.id");
    endure(200, "POST", fmt("/volume/v3/types/%s/extra_specs", type),
           "{'extra_specs': {'a': 'b'}}");
    r = endure(200, "POST", "/volume/v3/qos-specs", "{'qos_specs': {'name': 'q', 'iops': '1'}}");
    const char *qos = fmt("/volume/v3/qos-specs/%s", id_of(&r, "qos_specs.id"));
    endure(202, "GET", fmt("%s/associate?vol_type_id=%s", qos, type), NULL);
    r = endure(202, "POST", "/volume/v3/volumes", "{'volume': {'size': 1, 'volume_type': 't'}}");
    const char *volume = fmt("/volume/v3/volumes/%s", id_of(&r, "volume.id"));
    endure(200, "GET", "/volume/v3/volumes/detail?all_tenants=1", NULL);
    endure(200, "POST", fmt("%s/metadata", volume), "{'metadata': {'a': 'b'}}");
    endure(202, "POST", fmt("%s/action", volume), "{'os-reset_status': {'status': 'maintenance'}}");
    endure(202, "POST", fmt("%s/action", volume), "{'os-reset_status': {'status': 'error'}}");
    endure(202, "DELETE", volume, NULL);
    endure(202, "DELETE", fmt("%s?force=true", qos), NULL);
    endure(202, "DELETE", fmt("/volume/v3/types/%s", type), NULL);
    endure(200, "PUT", "/volume/v3/os-quota-sets/p", "{'quota_set': {'volumes': 1}}");
    endure(200, "DELETE", "/volume/v3/os-quota-sets/p", NULL);
    endure(200, "GET", "/volume/v3/limits", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity), cmocka_unit_test(images),  cmocka_unit_test(networks),
        cmocka_unit_test(compute),  cmocka_unit_test(volumes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
