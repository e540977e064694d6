/* SPDX-License-Identifier: EUPL-1.2 */
/* The metadata tree, as guests' cloud-init walks it. */
#include "base/test.h"
#include "node/metadata.h"

static struct ctx cx;
static struct spec_server server;
static struct spec_nic nic = {.mac = "fa:16:3e:00:00:01"};

static const char *get(const char *path, const char **ret_type)
{
    struct buf b;
    const char *type;
    buf_init(&b, cx.arena);
    if (!metadata_render(&cx, &server, "10.0.0.5", path, &b, ret_type ? ret_type : &type))
        return NULL;
    return buf_cstr(&b);
}

static int setup(void **state UNUSED)
{
    static const char meta[] =
        "{\"uuid\":\"id1\",\"hostname\":\"web.novalocal\",\"availability_zone\":\"nova\","
        "\"keys\":[{\"name\":\"k\",\"type\":\"ssh\",\"data\":\"ssh-ed25519 AAAA me\"}]}";
    ctx_init(&cx);
    json_t *j = NULL;
    assert_ok(&cx, json_read(&cx, meta, strlen(meta), &j));
    server = (struct spec_server){.id = "99999999-2222-4333-8444-555555555555",
                                  .hostname = "web",
                                  .meta_data = j,
                                  .nics = &nic,
                                  .n_nics = 1,
                                  .user_data = "#!/bin/sh\0x",
                                  .user_data_size = 11,
                                  .image = {.id = "img"}};
    return 0;
}

static int teardown(void **state UNUSED)
{
    ctx_release(&cx);
    return 0;
}

static void test_openstack(void **state UNUSED)
{
    const char *type = NULL;
    assert_non_null(strstr(get("/openstack", NULL), "2012-08-10\n"));
    assert_non_null(strstr(get("/openstack/", NULL), "latest"));
    assert_string_equal(get("/openstack/latest", NULL),
                        "meta_data.json\nnetwork_data.json\npassword\nuser_data\nvendor_data."
                        "json\nvendor_data2.json");
    assert_non_null(strstr(get("/openstack/latest/meta_data.json", &type), "\"web.novalocal\""));
    assert_string_equal(type, "application/json");
    assert_string_equal(get("/openstack/2018-08-27/vendor_data2.json", NULL), "{}");
    assert_string_equal(get("/openstack/latest/network_data.json", NULL), "{}");
    struct buf b;
    buf_init(&b, cx.arena);
    assert_true(
        metadata_render(&cx, &server, "10.0.0.5", "/openstack/latest/user_data", &b, &type));
    assert_int_equal(b.len, 11);
    assert_string_equal(get("/openstack/latest/password", NULL), "");
    server.password_data = "c2VjcmV0";
    assert_string_equal(get("/openstack/2013-04-04/password", NULL), "c2VjcmV0");
    assert_null(get("/openstack/1999-01-01/meta_data.json", NULL));
    assert_null(get("/openstack/latest/nothing", NULL));
    assert_null(get("/openstackx", NULL));
}

static void test_ec2(void **state UNUSED)
{
    assert_non_null(strstr(get("/", NULL), "2009-04-04\nlatest"));
    assert_string_equal(get("/latest/", NULL), "meta-data/\nuser-data");
    const char *list = get("/2009-04-04/meta-data/", NULL);
    assert_non_null(strstr(list, "ami-id\n"));
    assert_non_null(strstr(list, "\npublic-keys/\n"));
    assert_non_null(strstr(list, "block-device-mapping/\nhostname\n"));
    assert_string_equal(get("/latest/meta-data/instance-id", NULL), server.id);
    assert_string_equal(get("/latest/meta-data/local-ipv4", NULL), "10.0.0.5");
    assert_string_equal(get("/latest/meta-data/public-ipv4", NULL), "");
    server.public_ip = "203.0.113.7";
    assert_string_equal(get("/latest/meta-data/public-ipv4", NULL), "203.0.113.7");
    assert_string_equal(get("/latest/meta-data/hostname", NULL), "web.novalocal");
    assert_string_equal(get("/latest/meta-data/public-keys/", NULL), "0=k");
    assert_string_equal(get("/latest/meta-data/public-keys/0", NULL), "openssh-key");
    assert_string_equal(get("/latest/meta-data/public-keys/0/openssh-key", NULL),
                        "ssh-ed25519 AAAA me\n");
    assert_string_equal(get("/latest/meta-data/placement/availability-zone?x=1", NULL), "nova");
    assert_null(get("/latest/meta-data/none", NULL));
    assert_null(get("/lates/meta-data/", NULL));
}

static void test_without(void **state UNUSED)
{
    server.user_data = NULL;
    server.meta_data = NULL;
    assert_null(get("/latest/user-data", NULL));
    assert_null(get("/openstack/latest/user_data", NULL));
    assert_string_equal(get("/latest/", NULL), "meta-data/");
    assert_null(get("/latest/meta-data/public-keys/", NULL));
    assert_null(strstr(get("/latest/meta-data/", NULL), "public-keys"));
    assert_string_equal(get("/latest/meta-data/hostname", NULL), "web");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_openstack), TEST(test_ec2), TEST(test_without)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
