/* SPDX-License-Identifier: EUPL-1.2 */
/* The Placement API as its clients read it, over servers and volumes that compute placed; and that
 * what an operator sets here is what servers are placed by. */
#include "compute/test_fakes.h"
#include "placement/placement.h"

#define P "/placement"
#define V "/compute/v2.1"
static struct compute_world w;
#define T (&w.t)
#define path(...) world_path(&w, __VA_ARGS__)

static void version(const char *minor)
{
    T->headers[1] = NULL;
    T->headers[0] = path("OpenStack-API-Version: placement 1.%s", minor);
}

static int setup(void **state UNUSED)
{
    world_start_with(&w, 2, 4096, &placement_service);
    test_expect(T, 200, "admin", "PUT", V "/os-quota-sets/p1",
                "{'quota_set':{'instances':-1,'cores':-1,'ram':-1}}");
    version("39");
    return 0;
}

static int teardown(void **state UNUSED)
{
    world_stop(&w);
    return 0;
}

static struct test_reply get(const char *what)
{
    return test_expect(T, 200, "admin", "GET", path(P "%s", what), NULL);
}

static const char *of_host(size_t i, const char *part)
{
    return path(P "/resource_providers/%s%s", w.host_id[i], part);
}

static struct test_reply get_of_host(size_t i, const char *part)
{
    return test_expect(T, 200, "admin", "GET", of_host(i, part), NULL);
}

static int64_t generation(size_t i)
{
    struct test_reply r = get_of_host(i, "");
    return json_get_int(r.json, "generation", -1);
}

static size_t count(const struct test_reply *r, const char *where)
{
    const json_t *j = test_at(r, where);
    return json_is_array(j) ? json_array_size(j) : json_object_size(j);
}

/* A refusal in placement's shape, with these words in its detail. */
static void refused(int status, const char *method, const char *url, const char *body,
                    const char *words)
{
    struct test_reply r = body ? test_expect(T, status, "admin", method, url, "%s", body)
                               : test_expect(T, status, "admin", method, url, NULL);
    assert_int_equal(json_get_int(test_at(&r, "errors[0]"), "status", 0), status);
    assert_non_null(test_str(T, &r, "errors[0].request_id"));
    assert_non_null(test_str(T, &r, "errors[0].code"));
    const char *detail = test_str(T, &r, "errors[0].detail");
    if (!strstr(detail, words))
        fail_msg("'%s' lacks '%s'", detail, words);
}

static const char *create(const char *flavor)
{
    struct test_reply r =
        test_expect(T, 202, "p1", "POST", V "/servers",
                    "{'server':{'name':'s','flavorRef':'%s','imageRef':'" IMAGE_OK "'}}", flavor);
    return test_str(T, &r, "server.id");
}

static const char *fault_of(const char *id)
{
    struct test_reply r = test_expect(T, 200, "admin", "GET", path(V "/servers/%s", id), NULL);
    return test_str(T, &r, "server.fault.message");
}

/* ---------------------------------------------------------------- reading */

static void versions_are_negotiated(void **state UNUSED)
{
    T->headers[0] = NULL;
    struct test_reply r = test_expect(T, 200, NULL, "GET", P "/", NULL);
    assert_string_equal(test_str(T, &r, "versions[0].max_version"), "1.39");
    version("99");
    r = test_expect(T, 406, NULL, "GET", P "/", NULL);
    assert_string_equal(test_str(T, &r, "errors[0].max_version"), "1.39");
    version("39");
    test_expect(T, 401, NULL, "GET", P "/resource_providers", NULL);
    version("0");
    test_expect(T, 403, "p1", "GET", P "/resource_providers", NULL);
    test_expect(T, 404, "admin", "GET", of_host(0, "/traits"), NULL);
    r = get("/resource_providers");
    assert_int_equal(count(&r, "resource_providers[0].links"), 3);
    assert_null(test_at(&r, "resource_providers[0].root_provider_uuid"));
    version("39");
    r = get("/resource_providers");
    assert_int_equal(count(&r, "resource_providers[0].links"), 6);
    assert_string_equal(test_str(T, &r, "resource_providers[0].root_provider_uuid"), w.host_id[0]);
}

static void hosts_are_providers(void **state UNUSED)
{
    struct test_reply r = get("/resource_providers");
    assert_int_equal(count(&r, "resource_providers"), 2);
    r = get("/resource_providers?name=h1");
    assert_int_equal(count(&r, "resource_providers"), 1);
    assert_string_equal(test_str(T, &r, "resource_providers[0].uuid"), w.host_id[1]);
    r = get_of_host(0, "/inventories");
    assert_int_equal(count(&r, "inventories"), 3);
    assert_string_equal(test_str(T, &r, "inventories.MEMORY_MB.total"), "4096");
    assert_true(json_number_value(test_at(&r, "inventories.VCPU.allocation_ratio")) > 15.9);
    r = get_of_host(0, "/inventories/DISK_GB");
    assert_string_equal(test_str(T, &r, "total"), "100");
    refused(404, "GET", of_host(0, "/inventories/VGPU"), NULL, "No inventory of class VGPU");
    refused(404, "GET", P "/resource_providers/" NET_A, NULL, "No resource provider with uuid");
    static const struct {
        const char *query;
        size_t n;
    } lists[] = {{"resources=VCPU:4,MEMORY_MB:4096", 2},
                 {"resources=VCPU:5", 0},
                 {"resources=VGPU:1", 0},
                 {"required=COMPUTE_NODE", 2},
                 {"required=!COMPUTE_NODE", 0},
                 {"required=in:HW_CPU_X86_AVX512F,COMPUTE_NODE", 2},
                 {"required=HW_CPU_X86_AVX512F", 0},
                 {"member_of=" NET_A, 0},
                 {"member_of=!" NET_A, 2},
                 {"in_tree=" NET_A, 0}};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        r = get(path("/resource_providers?%s", lists[i].query));
        assert_int_equal(count(&r, "resource_providers"), lists[i].n);
    }
    static const char *const bad[] = {"resources=VCPU",
                                      "resources=NONSENSE:1",
                                      "resources=VCPU:0",
                                      "required=nonsense",
                                      "member_of=nonsense",
                                      "uuid=1",
                                      "bogus=1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        refused(400, "GET", path(P "/resource_providers?%s", bad[i]), NULL, "");
    version("3");
    refused(400, "GET", P "/resource_providers?resources=VCPU:1", NULL, "since 1.4");
}

/* Sums of what consumers hold agree with usages. */
static void servers_and_volumes_are_consumers(void **state UNUSED)
{
    const char *id = create("3"), *host = world_host_of(&w, id);
    size_t i = str_eq(host, w.host_id[1]);
    struct test_reply r = test_expect(T, 202, "p1", "POST", "/volume/v3/volumes",
                                      "{'volume':{'size':7,'availability_zone':'nova'}}");
    const char *volume = test_str(T, &r, "volume.id");
    r = get(path("/allocations/%s", id));
    assert_string_equal(test_str(T, &r, path("allocations.%s.resources.MEMORY_MB", host)), "2048");
    assert_string_equal(test_str(T, &r, "project_id"), "p1");
    assert_string_equal(test_str(T, &r, "user_id"), "user-p1");
    assert_string_equal(test_str(T, &r, "consumer_type"), "INSTANCE");
    r = get(path("/allocations/%s", volume));
    assert_string_equal(test_str(T, &r, "consumer_type"), "VOLUME");
    assert_int_equal(count(&r, "allocations"), 1);
    r = get("/allocations/" NET_A);
    assert_int_equal(count(&r, "allocations"), 0);
    int64_t disk = 0, used = 0;
    for (size_t k = 0; k < 2; k++) {
        const char *key;
        json_t *v;
        r = get_of_host(k, "/allocations");
        json_object_foreach((json_t *)(uintptr_t)test_at(&r, "allocations"), key, v) disk +=
            json_get_int(json_get(v, "resources"), "DISK_GB", 0);
        r = get_of_host(k, "/usages");
        used += json_get_int(test_at(&r, "usages"), "DISK_GB", -1);
    }
    assert_int_equal(disk, 27);
    assert_int_equal(used, 27);
    r = get_of_host(i, "/usages");
    assert_string_equal(test_str(T, &r, "usages.VCPU"), "2");
    r = get("/usages?project_id=p1");
    assert_string_equal(test_str(T, &r, "usages.INSTANCE.consumer_count"), "1");
    assert_string_equal(test_str(T, &r, "usages.VOLUME.DISK_GB"), "7");
    version("9");
    r = test_expect(T, 200, "p1", "GET", P "/usages?project_id=p1&user_id=user-p1", NULL);
    assert_string_equal(test_str(T, &r, "usages.DISK_GB"), "27");
    test_expect(T, 403, "p1", "GET", P "/usages?project_id=p2", NULL);
    refused(400, "GET", P "/usages", NULL, "project_id");
    version("39");
    refused(409, "DELETE", path(P "/allocations/%s", id), NULL, "when they are deleted");
    refused(409, "PUT", path(P "/allocations/%s", id), "{}", "nothing is allocated here");
    refused(409, "POST", P "/allocations", "{}", "nothing is allocated here");
    refused(404, "DELETE", P "/allocations/" NET_A, NULL, "No allocations");
}

static void candidates_have_room(void **state UNUSED)
{
    const char *id = create("4"), *host = world_host_of(&w, id);
    const char *other = w.host_id[str_eq(host, w.host_id[0])];
    struct test_reply r = get("/allocation_candidates?resources=VCPU:1,MEMORY_MB:128");
    assert_int_equal(count(&r, "allocation_requests"), 1);
    assert_string_equal(
        test_str(T, &r, path("allocation_requests[0].allocations.%s.resources.VCPU", other)), "1");
    assert_int_equal(count(&r, "allocation_requests[0].mappings"), 1);
    assert_string_equal(
        test_str(T, &r, path("provider_summaries.%s.resources.VCPU.capacity", other)), "64");
    r = get("/allocation_candidates?resources=VCPU:1&limit=1");
    assert_int_equal(count(&r, "allocation_requests"), 1);
    version("10");
    r = get("/allocation_candidates?resources=VCPU:1");
    assert_int_equal(count(&r, "allocation_requests[0].allocations"), 1);
    refused(400, "GET", P "/allocation_candidates", NULL, "resources");
    refused(400, "GET", P "/allocation_candidates?resources1=VCPU:1", NULL, "resources1");
}

/* ---------------------------------------------------------------- what an operator sets */

static void ratios_and_reserves_bind_placement(void **state UNUSED)
{
    const char *ratio =
        "{'resource_provider_generation':%" PRId64 ",'total':4,'allocation_ratio':0.5}";
    const char *reserved =
        "{'resource_provider_generation':%" PRId64
        ",'inventories':{'VCPU':{'total':4},'DISK_GB':{'total':100,'max_unit':2147483647},"
        "'MEMORY_MB':{'total':4096,'reserved':4000,'allocation_ratio':1.0}}}";
    struct test_reply r =
        test_expect(T, 200, "admin", "PUT", of_host(0, "/inventories/VCPU"), ratio, generation(0));
    assert_true(json_number_value(test_at(&r, "allocation_ratio")) < 0.6);
    r = test_expect(T, 409, "admin", "PUT", of_host(0, "/inventories/VCPU"), ratio,
                    generation(0) - 1);
    assert_string_equal(test_str(T, &r, "errors[0].code"), "placement.concurrent_update");
    r = test_expect(T, 200, "admin", "PUT", of_host(1, "/inventories"), reserved, generation(1));
    assert_string_equal(test_str(T, &r, "inventories.MEMORY_MB.reserved"), "4000");
    assert_non_null(world_host_of(&w, create("3"))); /* two vCPUs: all that h0 has */
    assert_string_equal(fault_of(create("1")),
                        "No valid host was found. 2 hosts: 1 lack vCPUs (need 1, most free 0 on "
                        "h0), 1 lack memory (need 128 MiB, most free 96 on h1).");
    static const char *const bad[] = {"'total':5",
                                      "'total':4,'step_size':2",
                                      "'total':4,'max_unit':3",
                                      "'total':4,'allocation_ratio':0",
                                      "'total':4,'reserved':5",
                                      "'reserved':1",
                                      "'total':4,'allocation_ratio':'x'"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        refused(400, "PUT", of_host(0, "/inventories/VCPU"),
                path("{'resource_provider_generation':%" PRId64 ",%s}", generation(0), bad[i]),
                "JSON does not validate");
    refused(409, "PUT", of_host(0, "/inventories"),
            path("{'resource_provider_generation':%" PRId64 ",'inventories':{}}", generation(0)),
            "can't be removed");
}

static void traits_bind_placement(void **state UNUSED)
{
    refused(400, "PUT", P "/traits/HW_CPU_X86_AVX", NULL, "CUSTOM_");
    test_expect(T, 201, "admin", "PUT", P "/traits/CUSTOM_GOLD", NULL);
    test_expect(T, 204, "admin", "PUT", P "/traits/CUSTOM_GOLD", NULL);
    test_expect(T, 204, "admin", "GET", P "/traits/CUSTOM_GOLD", NULL);
    test_expect(T, 404, "admin", "GET", P "/traits/CUSTOM_SILVER", NULL);
    const char *body = "{'traits':['%s'],'resource_provider_generation':%" PRId64 "}";
    test_expect(T, 400, "admin", "PUT", of_host(1, "/traits"), body, "CUSTOM_SILVER",
                generation(1));
    struct test_reply r = test_expect(T, 200, "admin", "PUT", of_host(1, "/traits"), body,
                                      "CUSTOM_GOLD", generation(1));
    r = get("/traits?name=startswith:CUSTOM_&associated=true");
    assert_int_equal(count(&r, "traits"), 1);
    r = get("/resource_providers?required=CUSTOM_GOLD");
    assert_int_equal(count(&r, "resource_providers"), 1);
    test_expect(T, 200, "admin", "POST", V "/flavors/1/os-extra_specs",
                "{'extra_specs':{'trait:CUSTOM_GOLD':'required'}}");
    for (int i = 0; i < 3; i++)
        assert_string_equal(world_host_of(&w, create("1")), w.host_id[1]);
    refused(409, "DELETE", P "/traits/CUSTOM_GOLD", NULL, "in use");
    test_expect(T, 204, "admin", "DELETE", of_host(1, "/traits"), NULL);
    test_expect(T, 204, "admin", "DELETE", P "/traits/CUSTOM_GOLD", NULL);
    test_expect(T, 404, "admin", "DELETE", P "/traits/CUSTOM_GOLD", NULL);
    assert_string_equal(fault_of(create("1")),
                        "No valid host was found. 2 hosts: 2 without the traits that the flavor "
                        "wants (CUSTOM_GOLD is required).");
    version("2");
    r = get("/resource_classes");
    assert_true(count(&r, "resource_classes") > 10);
    test_expect(T, 200, "admin", "GET", P "/resource_classes/VCPU", NULL);
    refused(409, "POST", P "/resource_classes", "{'name':'CUSTOM_X'}", "trait");
    refused(404, "DELETE", P "/resource_classes/CUSTOM_X", NULL, "No such resource class");
}

static void aggregates_are_those_of_compute(void **state UNUSED)
{
    struct test_reply r = test_expect(T, 200, "admin", "POST", V "/os-aggregates",
                                      "{'aggregate':{'name':'a','availability_zone':'z1'}}");
    const char *number = test_str(T, &r, "aggregate.id");
    T->headers[1] = "X-OpenStack-Nova-API-Version: 2.41";
    r = test_expect(T, 200, "admin", "GET", path(V "/os-aggregates/%s", number), NULL);
    const char *id = test_str(T, &r, "aggregate.uuid");
    version("39");
    const char *body = "{'aggregates':['%s'],'resource_provider_generation':%" PRId64 "}";
    test_expect(T, 400, "admin", "PUT", of_host(0, "/aggregates"), body, NET_A, generation(0));
    r = test_expect(T, 200, "admin", "PUT", of_host(0, "/aggregates"), body, id, generation(0));
    assert_string_equal(test_str(T, &r, "aggregates[0]"), id);
    r = test_expect(T, 200, "admin", "GET", path(V "/os-aggregates/%s", number), NULL);
    assert_string_equal(test_str(T, &r, "aggregate.hosts[0]"), "h0");
    r = get(path("/resource_providers?member_of=in:%s,%s", id, NET_A));
    assert_int_equal(count(&r, "resource_providers"), 1);
    version("1");
    r = test_expect(T, 200, "admin", "PUT", of_host(0, "/aggregates"), "[]");
    assert_int_equal(count(&r, "aggregates"), 0);
    assert_null(test_at(&r, "resource_provider_generation"));
}

static void what_hosts_decide_is_refused(void **state UNUSED)
{
    refused(409, "POST", P "/resource_providers", "{'name':'x'}", "host-add");
    refused(409, "PUT", of_host(0, ""), "{'name':'x'}", "its host's name");
    refused(409, "DELETE", of_host(0, ""), NULL, "compute service delete");
    refused(409, "POST", of_host(0, "/inventories"), "{}", "tells itself");
    refused(409, "DELETE", of_host(0, "/inventories"), NULL, "tells itself");
    refused(409, "DELETE", of_host(0, "/inventories/VCPU"), NULL, "tells itself");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(versions_are_negotiated, setup, teardown),
        cmocka_unit_test_setup_teardown(hosts_are_providers, setup, teardown),
        cmocka_unit_test_setup_teardown(servers_and_volumes_are_consumers, setup, teardown),
        cmocka_unit_test_setup_teardown(candidates_have_room, setup, teardown),
        cmocka_unit_test_setup_teardown(ratios_and_reserves_bind_placement, setup, teardown),
        cmocka_unit_test_setup_teardown(traits_bind_placement, setup, teardown),
        cmocka_unit_test_setup_teardown(aggregates_are_those_of_compute, setup, teardown),
        cmocka_unit_test_setup_teardown(what_hosts_decide_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
