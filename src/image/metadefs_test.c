/* SPDX-License-Identifier: EUPL-1.2 */
/* Metadata definitions: namespaces and what is in them; who sees and changes them. */
#include "image/test_images.h"

#define NAMESPACES "/image/v2/metadefs/namespaces"

static void namespaces(void **state UNUSED)
{
    const char *body = "{'namespace': '%s', 'display_name': 'x', 'visibility': '%s'}";
    test_expect(&t, 403, "p1", "POST", NAMESPACES, body, "OS::Test", "public");
    test_expect(&t, 400, "admin", "POST", NAMESPACES, "{'display_name': 'x'}");
    test_expect(&t, 400, "admin", "POST", NAMESPACES, body, "OS::Test", "everyone");
    test_expect(&t, 400, "admin", "POST", NAMESPACES, "{'namespace': 'a', 'colour': 'red'}");
    struct test_reply r =
        test_expect(&t, 201, "admin", "POST", NAMESPACES, body, "OS::Test", "public");
    assert_string_equal(test_str(&t, &r, "self"), "/v2/metadefs/namespaces/OS::Test");
    assert_string_equal(test_str(&t, &r, "owner"), "admin-project");
    test_expect(&t, 409, "admin", "POST", NAMESPACES, body, "OS::Test", "public");
    test_expect(&t, 201, "admin", "POST", NAMESPACES, body, "OS::Hidden", "private");
    test_expect(&t, 200, "p1", "GET", NAMESPACES "/OS%3A%3ATest", NULL);
    r = test_expect(&t, 404, "p1", "GET", NAMESPACES "/OS%3A%3AHidden", NULL);
    assert_string_equal(test_str(&t, &r, "message"),
                        "Metadata definition namespace=OS::Hidden was not found.");
    r = test_expect(&t, 200, "p1", "GET", NAMESPACES, NULL);
    assert_int_equal(json_array_size(test_at(&r, "namespaces")), 1);
    assert_string_equal(test_str(&t, &r, "schema"), "/v2/schemas/metadefs/namespaces");
    r = test_expect(&t, 200, "admin", "GET", NAMESPACES "?limit=1", NULL);
    r = test_expect(&t, 200, "admin", "GET", fmt("/image%s", test_str(&t, &r, "next")), NULL);
    assert_int_equal(json_array_size(test_at(&r, "namespaces")), 1);
    /* Changed as a whole; the name too. */
    test_expect(&t, 400, "admin", "PUT", NAMESPACES "/OS::Test", "{'display_name': 'y'}");
    test_expect(&t, 409, "admin", "PUT", NAMESPACES "/OS::Test", "{'namespace': 'OS::Hidden'}");
    test_expect(&t, 201, "admin", "POST", NAMESPACES "/OS::Test/tags/a", NULL);
    r = test_expect(&t, 200, "admin", "PUT", NAMESPACES "/OS::Test",
                    "{'namespace': 'OS::Renamed', 'protected': true}");
    assert_string_equal(test_str(&t, &r, "display_name"), "x");
    test_expect(&t, 404, "admin", "GET", NAMESPACES "/OS::Test", NULL);
    r = test_expect(&t, 200, "admin", "GET", NAMESPACES "/OS::Renamed", NULL);
    assert_string_equal(test_str(&t, &r, "tags[0].name"), "a");
    test_expect(&t, 403, "admin", "DELETE", NAMESPACES "/OS::Renamed", NULL);
    test_expect(&t, 403, "admin", "DELETE", NAMESPACES "/OS::Renamed/tags/a", NULL);
    test_expect(&t, 200, "admin", "PUT", NAMESPACES "/OS::Renamed",
                "{'namespace': 'OS::Renamed', 'protected': false}");
    test_expect(&t, 204, "admin", "DELETE", NAMESPACES "/OS::Renamed", NULL);
    test_expect(&t, 204, "admin", "DELETE", NAMESPACES "/OS::Hidden", NULL);
    test_expect(&t, 404, "admin", "DELETE", NAMESPACES "/OS::Hidden", NULL);
}

/* One request makes a whole catalogue, as the files that come with Glance have it. */
static void all_at_once(void **state UNUSED)
{
    struct test_reply r = test_expect(
        &t, 201, "admin", "POST", NAMESPACES,
        "{'namespace': 'all', 'visibility': 'public',"
        "'resource_type_associations': [{'name': 'OS::Glance::Image', 'prefix': 'hw_'}],"
        "'properties': {'cores': {'title': 'Cores', 'type': 'integer', 'minimum': 1}},"
        "'objects': [{'name': 'o', 'properties': {'p': {'title': 'P', 'type': 'string'}}}],"
        "'tags': [{'name': 'a'}, {'name': 'b'}]}");
    assert_string_equal(test_str(&t, &r, "resource_type_associations[0].prefix"), "hw_");
    assert_string_equal(test_str(&t, &r, "properties.cores.minimum"), "1");
    assert_string_equal(test_str(&t, &r, "objects[0].properties.p.title"), "P");
    assert_int_equal(json_array_size(test_at(&r, "tags")), 2);
    r = test_expect(&t, 200, "p1", "GET", NAMESPACES "/all?resource_type=OS::Glance::Image", NULL);
    assert_non_null(test_at(&r, "properties.hw_cores"));
    test_expect(&t, 404, "p1", "GET", NAMESPACES "/all?resource_type=OS::Nova::Flavor", NULL);
    r = test_expect(&t, 200, "p1", "GET",
                    NAMESPACES "/all/properties/hw_cores?resource_type=OS::Glance::Image", NULL);
    assert_string_equal(test_str(&t, &r, "name"), "cores");
    r = test_expect(&t, 200, "p1", "GET", NAMESPACES "?resource_types=OS::X,OS::Glance::Image",
                    NULL);
    assert_int_equal(json_array_size(test_at(&r, "namespaces")), 1);
    r = test_expect(&t, 200, "p1", "GET", NAMESPACES "?resource_types=OS::Glance", NULL);
    assert_int_equal(json_array_size(test_at(&r, "namespaces")), 0);
    static const char *const bad[] = {
        "'properties': {'p': {'title': 'P'}}",
        "'properties': {'p': {'title': 'P', 'type': 'colour'}}",
        "'properties': {'p': {'title': 'P', 'type': 'string', 'shape': 'round'}}",
        "'objects': [{'description': 'nameless'}]",
        "'objects': [{'name': 'o'}, {'name': 'o'}]",
        "'tags': [7]",
        "'tags': {'name': 'a'}",
        "'resource_type_associations': [{'prefix': 'x'}]",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(&t, 400, "admin", "POST", NAMESPACES, "{'namespace': 'bad', %s}", bad[i]);
    test_expect(&t, 204, "admin", "DELETE", NAMESPACES "/all", NULL);
}

static void parts(void **state UNUSED)
{
    test_expect(&t, 201, "admin", "POST", NAMESPACES, "{'namespace': 'n', 'visibility': 'public'}");
    test_expect(&t, 403, "p1", "POST", NAMESPACES "/n/objects", "{'name': 'o'}");
    test_expect(&t, 404, "admin", "POST", NAMESPACES "/m/objects", "{'name': 'o'}");
    struct test_reply r =
        test_expect(&t, 201, "admin", "POST", NAMESPACES "/n/objects", "{'name': 'o'}");
    assert_string_equal(test_str(&t, &r, "self"), "/v2/metadefs/namespaces/n/objects/o");
    test_expect(&t, 409, "admin", "POST", NAMESPACES "/n/objects", "{'name': 'o'}");
    test_expect(&t, 201, "admin", "POST", NAMESPACES "/n/objects", "{'name': 'p'}");
    test_expect(&t, 409, "admin", "PUT", NAMESPACES "/n/objects/o", "{'name': 'p'}");
    test_expect(&t, 200, "admin", "PUT", NAMESPACES "/n/objects/o", "{'name': 'q'}");
    test_expect(&t, 404, "p1", "GET", NAMESPACES "/n/objects/o", NULL);
    r = test_expect(&t, 200, "p1", "GET", NAMESPACES "/n/objects?limit=1", NULL);
    assert_string_equal(test_str(&t, &r, "objects[0].name"), "p");
    assert_int_equal(json_array_size(test_at(&r, "objects")), 1);
    r = test_expect(&t, 200, "p1", "GET", NAMESPACES "/n/objects?marker=p", NULL);
    assert_string_equal(test_str(&t, &r, "objects[0].name"), "q");
    test_expect(&t, 204, "admin", "DELETE", NAMESPACES "/n/objects", NULL);
    r = test_expect(&t, 201, "admin", "POST", NAMESPACES "/n/properties",
                    "{'name': 'x', 'title': 'X', 'type': 'string', 'enum': ['a', 'b']}");
    r = test_expect(&t, 200, "p1", "GET", NAMESPACES "/n/properties", NULL);
    assert_string_equal(test_str(&t, &r, "properties.x.enum"), "[\"a\",\"b\"]");
    test_expect(&t, 204, "admin", "DELETE", NAMESPACES "/n/properties/x", NULL);
    r = test_expect(&t, 201, "admin", "POST", NAMESPACES "/n/tags",
                    "{'tags': [{'name': 'a'}, {'name': 'b'}]}");
    r = test_expect(&t, 201, "admin", "POST", NAMESPACES "/n/tags", "{'tags': [{'name': 'c'}]}");
    assert_int_equal(json_array_size(test_at(&r, "tags")), 1); /* instead of the others */
    test_expect(&t, 201, "admin", "POST", NAMESPACES "/n/tags/d", NULL);
    test_expect(&t, 409, "admin", "POST", NAMESPACES "/n/tags/d", NULL);
    test_expect(&t, 200, "admin", "PUT", NAMESPACES "/n/tags/d", "{'name': 'e'}");
    test_expect(&t, 204, "admin", "DELETE", NAMESPACES "/n/tags/e", NULL);
    test_expect(&t, 204, "admin", "DELETE", NAMESPACES "/n", NULL);
}

static void types(void **state UNUSED)
{
    struct test_reply r =
        test_expect(&t, 200, "p1", "GET", "/image/v2/metadefs/resource_types", NULL);
    assert_string_equal(test_str(&t, &r, "resource_types[0].name"), "OS::Glance::Image");
    size_t n = json_array_size(test_at(&r, "resource_types"));
    test_expect(&t, 201, "admin", "POST", NAMESPACES, "{'namespace': 'n', 'visibility': 'public'}");
    test_expect(&t, 400, "admin", "POST", NAMESPACES "/n/resource_types", "{}");
    test_expect(&t, 201, "admin", "POST", NAMESPACES "/n/resource_types",
                "{'name': 'OS::Own::Type', 'properties_target': 'image'}");
    test_expect(&t, 409, "admin", "POST", NAMESPACES "/n/resource_types",
                "{'name': 'OS::Own::Type'}");
    r = test_expect(&t, 200, "p1", "GET", "/image/v2/metadefs/resource_types", NULL);
    assert_int_equal(json_array_size(test_at(&r, "resource_types")), n + 1);
    r = test_expect(&t, 200, "p1", "GET", NAMESPACES "/n/resource_types", NULL);
    assert_string_equal(test_str(&t, &r, "resource_type_associations[0].properties_target"),
                        "image");
    test_expect(&t, 204, "admin", "DELETE", NAMESPACES "/n/resource_types/OS::Own::Type", NULL);
    test_expect(&t, 404, "admin", "DELETE", NAMESPACES "/n/resource_types/OS::Own::Type", NULL);
    test_expect(&t, 204, "admin", "DELETE", NAMESPACES "/n", NULL);
    r = test_expect(&t, 200, "p1", "GET", "/image/v2/schemas/metadefs/resource_types", NULL);
    assert_string_equal(test_str(&t, &r, "name"), "resource_type_associations");
    r = test_expect(&t, 200, "p1", "GET", "/image/v2/schemas/metadefs/property", NULL);
    assert_string_equal(test_str(&t, &r, "properties.minLength.type"), "integer");
    test_expect(&t, 404, "p1", "GET", "/image/v2/schemas/metadefs/planet", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(namespaces),
        cmocka_unit_test(all_at_once),
        cmocka_unit_test(parts),
        cmocka_unit_test(types),
    };
    return cmocka_run_group_tests(tests, images_setup, images_teardown);
}
