/* SPDX-License-Identifier: EUPL-1.2 */
/* Flavors, keypairs, and what administrators see of hosts. */
#include "compute/ssh_key.h"
#include "compute/test_fakes.h"

#define V "/compute/v2.1"
static struct compute_world w;
#define T (&w.t)

static int setup(void **state UNUSED)
{
    world_start(&w, 2, 4096);
    return 0;
}

static int teardown(void **state UNUSED)
{
    world_stop(&w);
    return 0;
}

static void version(const char *header)
{
    T->headers[0] = header;
}

static size_t count(const struct test_reply *r, const char *name)
{
    return json_array_size(json_get(r->json, name));
}

/* ---------------------------------------------------------------- flavors */

static void flavors_are_made_shown_and_deleted(void **state UNUSED)
{
    struct test_reply r = test_expect(T, 200, "p1", "GET", V "/flavors", NULL);
    assert_int_equal(count(&r, "flavors"), 5);
    r = test_expect(T, 200, "p1", "GET", V "/flavors/1", NULL);
    assert_string_equal(test_str(T, &r, "flavor.ram"), "128");
    assert_string_equal(test_str(T, &r, "flavor.swap"), "");
    assert_string_equal(test_str(T, &r, "flavor.rxtx_factor"), "1.0");
    test_expect(T, 403, "p1", "POST", V "/flavors",
                "{'flavor':{'name':'f','ram':1,'vcpus':1,'disk':1}}");
    r = test_expect(T, 200, "admin", "POST", V "/flavors",
                    "{'flavor':{'name':'f','ram':'64','vcpus':1,'disk':1,'id':null}}");
    const char *id = test_str(T, &r, "flavor.id");
    test_expect(T, 409, "admin", "POST", V "/flavors",
                "{'flavor':{'name':'f','ram':1,'vcpus':1,'disk':1,'id':'9'}}");
    test_expect(T, 409, "admin", "POST", V "/flavors",
                "{'flavor':{'name':'g','ram':1,'vcpus':1,'disk':1,'id':'1'}}");
    static const char *const bad[] = {"'name':'g','ram':0,'vcpus':1,'disk':1",
                                      "'name':'g','ram':1,'vcpus':0,'disk':1",
                                      "'name':'','ram':1,'vcpus':1,'disk':1",
                                      "'name':'g','ram':1,'vcpus':1",
                                      "'name':'g','ram':1,'vcpus':1,'disk':-1",
                                      "'name':'g','ram':1,'vcpus':1,'disk':1,'id':'a/b'",
                                      "'name':'g','ram':1,'vcpus':1,'disk':1,'x':1",
                                      "'name':'g','ram':1,'vcpus':1,'disk':1,'rxtx_factor':'fast'",
                                      "'name':'g','ram':1,'vcpus':1,'disk':1,'description':'new'"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(T, 400, "admin", "POST", V "/flavors", "{'flavor':{%s}}", bad[i]);
    test_expect(T, 202, "admin", "DELETE", arena_printf(T->cx.arena, V "/flavors/%s", id), NULL);
    r = test_expect(T, 404, "admin", "GET", arena_printf(T->cx.arena, V "/flavors/%s", id), NULL);
    assert_string_equal(test_str(T, &r, "itemNotFound.message"),
                        arena_printf(T->cx.arena, "Flavor %s could not be found.", id));
    r = test_expect(T, 200, "p1", "GET", V "/flavors?minRam=1000&sort_key=memory_mb&sort_dir=desc",
                    NULL);
    assert_int_equal(count(&r, "flavors"), 3);
    assert_string_equal(test_str(T, &r, "flavors[0].name"), "m1.xlarge");
    test_expect(T, 400, "p1", "GET", V "/flavors?minRam=much", NULL);
    r = test_expect(T, 200, "p1", "GET", V "/flavors?limit=2&marker=2", NULL);
    assert_int_equal(count(&r, "flavors"), 2);
    assert_string_equal(test_str(T, &r, "flavors[0].id"), "3");
    assert_non_null(test_str(T, &r, "flavors_links[0].href"));
    test_expect(T, 404, "admin", "PUT", V "/flavors/1", "{'flavor':{'description':'x'}}");
    version("X-OpenStack-Nova-API-Version: 2.61");
    r = test_expect(T, 200, "admin", "PUT", V "/flavors/1", "{'flavor':{'description':'x'}}");
    assert_string_equal(test_str(T, &r, "flavor.description"), "x");
    test_expect(T, 400, "admin", "PUT", V "/flavors/1", "{'flavor':{'ram':5}}");
}

static void private_flavors_open_to_projects(void **state UNUSED)
{
    test_expect(T, 200, "admin", "POST", V "/flavors",
                "{'flavor':{'name':'secret','ram':1,'vcpus':1,'disk':1,'id':'s','os-flavor-access:"
                "is_public':false}}");
    test_expect(T, 404, "p1", "GET", V "/flavors/s", NULL);
    test_expect(T, 200, "admin", "GET", V "/flavors/s", NULL);
    test_expect(T, 400, "p1", "POST", V "/servers",
                "{'server':{'name':'x','imageRef':'" IMAGE_OK "','flavorRef':'s'}}");
    test_expect(T, 403, "p1", "POST", V "/flavors/s/action", "{'addTenantAccess':{'tenant':'p1'}}");
    test_expect(T, 200, "admin", "POST", V "/flavors/s/action",
                "{'addTenantAccess':{'tenant':'p1'}}");
    test_expect(T, 409, "admin", "POST", V "/flavors/s/action",
                "{'addTenantAccess':{'tenant':'p1'}}");
    test_expect(T, 409, "admin", "POST", V "/flavors/1/action",
                "{'addTenantAccess':{'tenant':'p1'}}");
    test_expect(T, 200, "p1", "GET", V "/flavors/s", NULL);
    test_expect(T, 404, "p2", "GET", V "/flavors/s", NULL);
    struct test_reply r = test_expect(T, 200, "p1", "GET", V "/flavors", NULL);
    assert_int_equal(count(&r, "flavors"), 6);
    r = test_expect(T, 200, "p2", "GET", V "/flavors?is_public=None", NULL);
    assert_int_equal(count(&r, "flavors"), 5);
    r = test_expect(T, 200, "admin", "GET", V "/flavors?is_public=False", NULL);
    assert_int_equal(count(&r, "flavors"), 1);
    r = test_expect(T, 200, "admin", "GET", V "/flavors/s/os-flavor-access", NULL);
    assert_string_equal(test_str(T, &r, "flavor_access[0].tenant_id"), "p1");
    test_expect(T, 404, "admin", "GET", V "/flavors/1/os-flavor-access", NULL);
    test_expect(T, 200, "admin", "POST", V "/flavors/s/action",
                "{'removeTenantAccess':{'tenant':'p1'}}");
    test_expect(T, 404, "admin", "POST", V "/flavors/s/action",
                "{'removeTenantAccess':{'tenant':'p1'}}");
}

static void extra_specs_are_kept(void **state UNUSED)
{
    test_expect(T, 200, "admin", "POST", V "/flavors/1/os-extra_specs",
                "{'extra_specs':{'hw:numa_nodes':'1','n':2}}");
    struct test_reply r = test_expect(T, 200, "p1", "GET", V "/flavors/1/os-extra_specs", NULL);
    assert_string_equal(test_str(T, &r, "extra_specs.n"), "2");
    test_expect(T, 200, "admin", "PUT", V "/flavors/1/os-extra_specs/n", "{'n':'3'}");
    r = test_expect(T, 200, "p1", "GET", V "/flavors/1/os-extra_specs/n", NULL);
    assert_string_equal(test_str(T, &r, "n"), "3");
    test_expect(T, 400, "admin", "PUT", V "/flavors/1/os-extra_specs/n", "{'m':'3'}");
    test_expect(T, 400, "admin", "POST", V "/flavors/1/os-extra_specs",
                "{'extra_specs':{'a/b':'1'}}");
    test_expect(T, 400, "admin", "POST", V "/flavors/1/os-extra_specs", "{'extra_specs':{'a':{}}}");
    test_expect(T, 403, "p1", "DELETE", V "/flavors/1/os-extra_specs/n", NULL);
    test_expect(T, 200, "admin", "DELETE", V "/flavors/1/os-extra_specs/n", NULL);
    test_expect(T, 404, "admin", "DELETE", V "/flavors/1/os-extra_specs/n", NULL);
}

static void extra_specs_are_checked_since_2_86(void **state UNUSED)
{
    static const char *const good[] = {"hw:numa_nodes':'2",
                                       "hw:cpu_policy':'dedicated",
                                       "hw:numa_cpus.12':'0-3,^2",
                                       "hw:mem_page_size':'2MB",
                                       "hw_rng:allowed':'True",
                                       "trait:CUSTOM_GOLD':'required",
                                       "resources:CUSTOM_FPGA':'1",
                                       "capabilities:cpu_info:arch':'x86_64",
                                       "aggregate_instance_extra_specs:ssd':'true",
                                       "ours':'anything",
                                       "ours:too':'anything",
                                       "quota:disk_read_iops_sec':'100"};
    static const char *const bad[] = {"hw:numa_nodes':'0",        "hw:numa_nodes':'two",
                                      "hw:cpu_policy':'shiny",    "hw:numa_cpus.x':'0",
                                      "hw:numa_cpus.1':'a",       "hw:made_up':'1",
                                      "hw_rng:allowed':'perhaps", "trait:X':'maybe",
                                      "quota:cpu_shares':'-1",    "hide_hypervisor_id':'x"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(T, 200, "admin", "POST", V "/flavors/1/os-extra_specs",
                    "{'extra_specs':{'%s'}}", bad[i]);
    version("X-OpenStack-Nova-API-Version: 2.86");
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        test_expect(T, 200, "admin", "POST", V "/flavors/1/os-extra_specs",
                    "{'extra_specs':{'%s'}}", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(T, 400, "admin", "POST", V "/flavors/1/os-extra_specs",
                    "{'extra_specs':{'%s'}}", bad[i]);
    version(NULL);
}

static void unknown_arguments_are_refused_since_2_75(void **state UNUSED)
{
    static const char *const lists[] = {"/servers",       "/flavors",          "/os-keypairs",
                                        "/limits",        "/os-server-groups", "/os-services",
                                        "/os-hypervisors"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const char *url = arena_printf(T->cx.arena, V "%s?xxx=1", lists[i]);
        version("X-OpenStack-Nova-API-Version: 2.74");
        test_expect(T, 200, "admin", "GET", url, NULL);
        version("X-OpenStack-Nova-API-Version: 2.75");
        struct test_reply r = test_expect(T, 400, "admin", "GET", url, NULL);
        assert_non_null(strstr(r.text, "('xxx' was unexpected)"));
        test_expect(T, 200, "admin", "GET", arena_printf(T->cx.arena, V "%s", lists[i]), NULL);
    }
    test_expect(T, 200, "admin", "GET", V "/servers?limit=1&all_tenants=1&sort_key=uuid", NULL);
    version(NULL);
}

/* ---------------------------------------------------------------- keypairs */

#define ECDSA                                                                                      \
    "ecdsa-sha2-nistp384 "                                                                         \
    "AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBJuIv4aYFzwOL+6OfvtI9Tg5f8UA+3EVC"        \
    "kTcEYjZ2jeu7XsIBxHS4fXZbE9HG0U4hZxBFH7UrNhNTlD+"                                              \
    "CHIhBa1DPEddF6V4zxDeLsvTyDdrHFVBKDEJL1OSJkiXyy/UfA=="

static void certificates_are_made_and_imported(void **state UNUSED)
{
    uint8_t *data;
    size_t size;
    test_expect(T, 400, "p1", "POST", V "/os-keypairs", "{'keypair':{'name':'x','type':'x509'}}");
    version("X-OpenStack-Nova-API-Version: 2.2");
    struct test_reply r = test_expect(T, 201, "p1", "POST", V "/os-keypairs",
                                      "{'keypair':{'name':'x','type':'x509'}}");
    const char *certificate = test_str(T, &r, "keypair.public_key");
    const char *fingerprint = test_str(T, &r, "keypair.fingerprint");
    assert_true(str_starts(certificate, "-----BEGIN CERTIFICATE-----"));
    assert_int_equal(strlen(fingerprint), 20 * 3 - 1);
    assert_true(base64_decode(&T->cx, test_str(T, &r, "keypair.private_key"), &data, &size));
    assert_int_equal(data[0], 0x30); /* DER: a sequence, PKCS #12 */
    assert_int_equal(world_count(&w, "SELECT 1 FROM keypairs WHERE public_key LIKE '%PRIVATE%'"),
                     0);
    r = test_expect(T, 200, "p1", "GET", V "/os-keypairs/x", NULL);
    assert_string_equal(test_str(T, &r, "keypair.type"), "x509");
    /* The same certificate, brought by another user. */
    r = test_expect(T, 201, "p2", "POST", V "/os-keypairs",
                    "{'keypair':{'name':'y','type':'x509','public_key':%s}}",
                    json_text(&T->cx, test_at(&r, "keypair.public_key")));
    assert_string_equal(test_str(T, &r, "keypair.fingerprint"), fingerprint);
    assert_null(test_str(T, &r, "keypair.private_key"));
    test_expect(T, 400, "p1", "POST", V "/os-keypairs",
                "{'keypair':{'name':'z','type':'x509','public_key':'" ECDSA "'}}");
    test_expect(T, 204, "p1", "DELETE", V "/os-keypairs/x", NULL);
    version(NULL);
}

static void keypairs_are_imported_and_made(void **state UNUSED)
{
    struct test_reply r = test_expect(T, 200, "p1", "POST", V "/os-keypairs",
                                      "{'keypair':{'name':'k','public_key':'" ECDSA "'}}");
    assert_string_equal(test_str(T, &r, "keypair.fingerprint"),
                        "25:4b:36:45:b9:a6:9d:22:e7:b9:ad:8f:99:49:6c:52");
    assert_null(test_str(T, &r, "keypair.private_key"));
    test_expect(T, 409, "p1", "POST", V "/os-keypairs", "{'keypair':{'name':'k'}}");
    r = test_expect(T, 200, "p2", "POST", V "/os-keypairs",
                    "{'keypair':{'name':'k'}}"); /* another user's name */
    assert_non_null(strstr(test_str(T, &r, "keypair.private_key"), "BEGIN OPENSSH PRIVATE KEY"));
    assert_int_equal(world_count(&w, "SELECT 1 FROM keypairs WHERE public_key LIKE '%PRIVATE%'"),
                     0);
    r = test_expect(T, 200, "p1", "GET", V "/os-keypairs/k", NULL);
    assert_string_equal(test_str(T, &r, "keypair.deleted"), "false");
    assert_null(test_str(T, &r, "keypair.type"));
    r = test_expect(T, 200, "p1", "GET", V "/os-keypairs", NULL);
    assert_int_equal(count(&r, "keypairs"), 1);
    static const char *const bad[] = {
        "'name':'x','public_key':'ssh-rsa'",
        "'name':'x','public_key':'ssh-rsa AAAA'",
        "'name':'x','public_key':'ssh-ed25519 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQ='",
        "'name':''",
        "'name':'a/b'",
        "'name':'a@b'",
        "'name':'x','type':'ssh'",
        "'name':'x','user_id':'other'",
        "'public_key':'x'"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(T, 400, "p1", "POST", V "/os-keypairs", "{'keypair':{%s}}", bad[i]);
    test_expect(T, 202, "p1", "DELETE", V "/os-keypairs/k", NULL);
    test_expect(T, 404, "p1", "DELETE", V "/os-keypairs/k", NULL);
    version("X-OpenStack-Nova-API-Version: 2.10");
    r = test_expect(T, 201, "p1", "POST", V "/os-keypairs",
                    "{'keypair':{'name':'t','type':'ssh'}}");
    assert_string_equal(test_str(T, &r, "keypair.type"), "ssh");
    test_expect(T, 403, "p1", "GET", V "/os-keypairs?user_id=user-p2", NULL);
    r = test_expect(T, 200, "admin", "GET", V "/os-keypairs?user_id=user-p2", NULL);
    assert_int_equal(count(&r, "keypairs"), 1);
    test_expect(T, 403, "p1", "POST", V "/os-keypairs",
                "{'keypair':{'name':'u','user_id':'user-p2'}}");
    test_expect(T, 204, "p1", "DELETE", V "/os-keypairs/t", NULL);
    version("X-OpenStack-Nova-API-Version: 2.92");
    test_expect(T, 400, "p1", "POST", V "/os-keypairs", "{'keypair':{'name':'v'}}");
    test_expect(T, 201, "p1", "POST", V "/os-keypairs",
                "{'keypair':{'name':'a@b.c','public_key':'" ECDSA "'}}");
}

static void keypairs_are_counted_for_each_user(void **state UNUSED)
{
    test_expect(T, 200, "admin", "PUT", V "/os-quota-sets/p1", "{'quota_set':{'key_pairs':1}}");
    test_expect(T, 200, "p1", "POST", V "/os-keypairs", "{'keypair':{'name':'a'}}");
    struct test_reply r =
        test_expect(T, 403, "p1", "POST", V "/os-keypairs", "{'keypair':{'name':'b'}}");
    assert_string_equal(test_str(T, &r, "forbidden.message"),
                        "Quota exceeded, too many key pairs.");
}

static void generated_keys_are_what_openssh_reads(void **state UNUSED)
{
    const char *pub, *priv, *fp;
    uint8_t *blob;
    size_t size;
    char **lines;
    assert_ok(&T->cx, ssh_generate(&T->cx, "someone", &pub, &priv));
    assert_ok(&T->cx, ssh_fingerprint(&T->cx, pub, &fp));
    assert_int_equal(strlen(fp), 47);
    assert_true(str_starts(pub, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"));
    assert_true(str_ends(pub, " someone"));
    size_t n = str_split(&T->cx, priv, '\n', &lines);
    assert_string_equal(lines[0], "-----BEGIN OPENSSH PRIVATE KEY-----");
    assert_string_equal(lines[n - 2], "-----END OPENSSH PRIVATE KEY-----");
    const char *text = strchr(priv, '\n') + 1;
    assert_true(base64_decode(
        &T->cx, arena_strndup(T->cx.arena, text, (size_t)(strstr(text, "-----END") - text)), &blob,
        &size));
    assert_memory_equal(blob, "openssh-key-v1", 15);
}

/* ---------------------------------------------------------------- hosts */

static void hypervisors_show_what_is_promised(void **state UNUSED)
{
    test_expect(T, 403, "p1", "GET", V "/os-hypervisors", NULL);
    world_running(&w, "p1");
    struct test_reply r = test_expect(T, 200, "admin", "GET", V "/os-hypervisors/statistics", NULL);
    assert_string_equal(test_str(T, &r, "hypervisor_statistics.memory_mb_used"), "128");
    assert_string_equal(test_str(T, &r, "hypervisor_statistics.running_vms"), "1");
    r = test_expect(T, 200, "admin", "GET", V "/os-hypervisors/1", NULL);
    assert_string_equal(test_str(T, &r, "hypervisor.memory_mb"), "4096");
    test_expect(T, 404, "admin", "GET", V "/os-hypervisors/9", NULL);
    version("X-OpenStack-Nova-API-Version: 2.88");
    r = test_expect(T, 200, "admin", "GET",
                    arena_printf(T->cx.arena, V "/os-hypervisors/%s", w.host_id[0]), NULL);
    assert_null(test_str(T, &r, "hypervisor.memory_mb"));
    assert_string_equal(test_str(T, &r, "hypervisor.hypervisor_hostname"), "h0");
    test_expect(T, 404, "admin", "GET", V "/os-hypervisors/statistics", NULL);
    r = test_expect(T, 200, "admin", "GET", V "/os-hypervisors?hypervisor_hostname_pattern=h1",
                    NULL);
    assert_int_equal(count(&r, "hypervisors"), 1);
}

static void a_disabled_host_gets_no_servers(void **state UNUSED)
{
    version("X-OpenStack-Nova-API-Version: 2.53");
    for (size_t i = 0; i < w.n_hosts; i++)
        test_expect(T, 200, "admin", "PUT",
                    arena_printf(T->cx.arena, V "/os-services/%s", w.host_id[i]),
                    "{'status':'disabled','disabled_reason':'maintenance'}");
    test_expect(T, 400, "admin", "PUT", V "/os-services/7", "{'status':'disabled'}");
    test_expect(T, 400, "admin", "PUT",
                arena_printf(T->cx.arena, V "/os-services/%s", w.host_id[0]), "{'status':'tired'}");
    struct test_reply r = test_expect(T, 200, "admin", "GET", V "/os-services", NULL);
    assert_string_equal(test_str(T, &r, "services[0].disabled_reason"), "maintenance");
    version(NULL);
    const char *id = world_server(&w, "p1");
    r = test_expect(T, 200, "p1", "GET", arena_printf(T->cx.arena, V "/servers/%s", id), NULL);
    assert_string_equal(test_str(T, &r, "server.fault.message"),
                        "No valid host was found. 2 hosts: 2 disabled (maintenance).");
    test_expect(T, 200, "admin", "PUT", V "/os-services/enable",
                "{'host':'h0','binary':'nova-compute'}");
    test_expect(T, 404, "admin", "PUT", V "/os-services/enable",
                "{'host':'h9','binary':'nova-compute'}");
    world_running(&w, "p1");
    r = test_expect(T, 200, "p1", "GET", V "/os-availability-zone", NULL);
    assert_string_equal(test_str(T, &r, "availabilityZoneInfo[0].zoneName"), "nova");
    assert_string_equal(test_str(T, &r, "availabilityZoneInfo[0].zoneState.available"), "true");
    assert_string_equal(test_str(T, &r, "availabilityZoneInfo[0].hosts"), "null");
    test_expect(T, 403, "p1", "GET", V "/os-availability-zone/detail", NULL);
}

static void versions_are_open_and_true(void **state UNUSED)
{
    struct test_reply r = test_expect(T, 200, NULL, "GET", "/compute", NULL);
    assert_string_equal(test_str(T, &r, "versions[0].id"), "v2.0");
    assert_string_equal(test_str(T, &r, "versions[1].version"), "2.96");
    r = test_expect(T, 200, NULL, "GET", "/compute/v2/", NULL);
    assert_string_equal(test_str(T, &r, "version.id"), "v2.0");
    r = test_expect(T, 200, NULL, "GET", V "/", NULL);
    assert_string_equal(test_str(T, &r, "version.min_version"), "2.1");
    version("X-OpenStack-Nova-API-Version: 2.97");
    test_expect(T, 406, "p1", "GET", V "/flavors", NULL);
    version("X-OpenStack-Nova-API-Version: two");
    test_expect(T, 400, "p1", "GET", V "/flavors", NULL);
    version(NULL);
    r = test_expect(T, 200, "p1", "GET", V "/extensions", NULL);
    assert_true(count(&r, "extensions") > 5);
    test_expect(T, 404, "p1", "GET", V "/extensions/none", NULL);
}

static void every_statement_fits_the_schema(void **state UNUSED)
{
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&T->cx, tx_read(&T->cx, T->store, &tx));
    for (size_t i = 0; i < compute_service.n_stmts; i++)
        assert_ok(&T->cx, store_check(&T->cx, tx, compute_service.stmts[i]));
    for (size_t i = 0; i < compute_service.n_wheres; i++) {
        struct stmt st = {"where", res_where_sql(&T->cx, compute_service.wheres[i])};
        assert_ok(&T->cx, store_check(&T->cx, tx, &st));
    }
}

int main(void)
{
#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(flavors_are_made_shown_and_deleted),
        WORLD_TEST(private_flavors_open_to_projects),
        WORLD_TEST(extra_specs_are_kept),
        WORLD_TEST(extra_specs_are_checked_since_2_86),
        WORLD_TEST(unknown_arguments_are_refused_since_2_75),
        WORLD_TEST(certificates_are_made_and_imported),
        WORLD_TEST(keypairs_are_imported_and_made),
        WORLD_TEST(keypairs_are_counted_for_each_user),
        WORLD_TEST(generated_keys_are_what_openssh_reads),
        WORLD_TEST(hypervisors_show_what_is_promised),
        WORLD_TEST(a_disabled_host_gets_no_servers),
        WORLD_TEST(versions_are_open_and_true),
        WORLD_TEST(every_statement_fits_the_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
