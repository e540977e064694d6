/* SPDX-License-Identifier: EUPL-1.2 */
/* Staged data and its import, formats that are only kept, what a project may have of images. */
#include "image/test_images.h"

static struct test_reply stage(const char *token, const char *id, const void *data, size_t size)
{
    return raw_call(token, "PUT", fmt("%s/stage", image_path(id)), "application/octet-stream", data,
                    size, NULL);
}

static const char direct[] = "{'method': {'name': 'glance-direct'}, 'all_stores': true}";

static void import_staged(void **state UNUSED)
{
    const char *id = new_image("p1", "");
    const char *path = fmt("%s/import", image_path(id));
    test_expect(&t, 409, "p1", "POST", path, direct); /* nothing is staged */
    assert_int_equal(stage("p2", id, "data", 4).status, 404);
    assert_int_equal(stage("p1", id, "data", 4).status, 204);
    struct test_reply r = test_expect(&t, 200, "p1", "GET", image_path(id), NULL);
    assert_string_equal(test_str(&t, &r, "status"), "uploading");
    assert_true(json_is_null(test_at(&r, "size")));
    assert_null(test_at(&r, "stores"));
    assert_null(test_at(&r, "staged_location"));
    assert_int_equal(files(), 1);
    assert_int_equal(stage("p1", id, "more", 4).status, 409);
    assert_int_equal(upload("p1", id, "more", 4).status, 409);
    assert_int_equal(files(), 1);
    test_expect(&t, 400, "p1", "POST", path, "{}");
    test_expect(&t, 400, "p1", "POST", path, "{'method': {'name': 'by-pigeon'}}");
    r = test_expect(&t, 400, "p1", "POST", path,
                    "{'method': {'name': 'web-download', 'uri': 'http://169.254.169.254/'}}");
    assert_non_null(strstr(test_str(&t, &r, "message"), "not offered"));
    test_expect(&t, 409, "p1", "POST", path,
                "{'method': {'name': 'glance-direct'}, 'stores': ['elsewhere']}");
    test_expect(&t, 404, "p2", "POST", path, direct);
    r = test_expect(&t, 202, "p1", "POST", path, direct);
    const char *request = reply_header(&r, "x-openstack-request-id");
    r = test_expect(&t, 200, "p1", "GET", image_path(id), NULL);
    assert_string_equal(test_str(&t, &r, "status"), "active");
    assert_string_equal(test_str(&t, &r, "size"), "4");
    assert_string_equal(test_str(&t, &r, "checksum"), "8d777f385d3dfec8815d20f7496026dc");
    assert_string_equal(test_str(&t, &r, "stores"), "local");
    r = raw_call("p1", "GET", fmt("%s/file", image_path(id)), "", NULL, 0, NULL);
    assert_string_equal(r.text, "data");
    r = test_expect(&t, 200, "p1", "GET", fmt("%s/tasks", image_path(id)), NULL);
    assert_int_equal(json_array_size(test_at(&r, "tasks")), 1);
    assert_string_equal(test_str(&t, &r, "tasks[0].status"), "success");
    assert_string_equal(test_str(&t, &r, "tasks[0].request_id"), request);
    assert_string_equal(test_str(&t, &r, "tasks[0].input.import_req.method.name"), "glance-direct");
    const char *task = fmt("/image/v2/tasks/%s", test_str(&t, &r, "tasks[0].id"));
    test_expect(&t, 403, "p1", "GET", task, NULL);
    test_expect(&t, 200, "admin", "GET", task, NULL);
    test_expect(&t, 200, "admin", "GET", "/image/v2/tasks?status=success", NULL);
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
    assert_int_equal(files(), 0);
}

/* A clock that runs ahead. */
static int64_t ahead_us;
static int64_t wall(struct clock *c UNUSED)
{
    return clock_system()->wall_us(clock_system()) + ahead_us;
}
static int64_t mono(struct clock *c UNUSED)
{
    return clock_system()->mono_us(clock_system());
}

static void staged_and_forgotten(void **state UNUSED)
{
    struct clock later = {.wall_us = wall, .mono_us = mono}, *was = t.cx.clock;
    size_t changed;
    const char *gone = new_image("p1", ""), *left = new_image("p1", "");
    assert_int_equal(stage("p1", gone, "data", 4).status, 204);
    assert_int_equal(stage("p1", left, "data", 4).status, 204);
    test_expect(&t, 204, "p1", "DELETE", image_path(gone), NULL);
    assert_int_equal(files(), 1);
    assert_ok(&t.cx, image_clean(&t.cx, t.store)); /* it is named by its row */
    assert_int_equal(files(), 1);
    assert_ok(&t.cx, image_import_sweep(&t.cx, t.store, &changed));
    assert_int_equal(changed, 0);
    ahead_us = INT64_C(25) * 3600 * 1000000;
    t.cx.clock = &later;
    assert_ok(&t.cx, image_import_sweep(&t.cx, t.store, &changed));
    t.cx.clock = was;
    assert_int_equal(changed, 1);
    assert_int_equal(files(), 0);
    struct test_reply r = test_expect(&t, 200, "p1", "GET", image_path(left), NULL);
    assert_string_equal(test_str(&t, &r, "status"), "queued");
    assert_int_equal(upload("p1", left, "data", 4).status, 204);
    test_expect(&t, 204, "p1", "DELETE", image_path(left), NULL);
}

/* What compute would be told of the image. */
static struct image_info info_of(const char *id)
{
    AUTO_TXN struct tx *tx = NULL;
    struct image_info info;
    bool found;
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, image_get_any(&t.cx, tx, id, &info, &found));
    assert_true(found);
    return info;
}

static void kept_formats(void **state UNUSED)
{
    static const char *const formats[] = {"vmdk", "vdi", "vhd", "vhdx", "iso", "ploop"};
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        struct test_reply r =
            test_expect(&t, 201, "p1", "POST", IMAGES,
                        "{'disk_format': '%s', 'container_format': 'bare'}", formats[i]);
        const char *id = test_str(&t, &r, "id");
        assert_int_equal(upload("p1", id, "KDMV of some kind", 17).status, 204);
        assert_non_null(strstr(info_of(id).unbootable, "qemu-img convert"));
        test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
    }
    const char *id = new_image("p1", "");
    assert_int_equal(upload("p1", id, "raw", 3).status, 204);
    assert_null(info_of(id).unbootable);
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
}

static void set_limit(const char *project, const char *name, int64_t limit)
{
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, quota_set(&t.cx, tx, &image_service, name, project, limit));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
}

static void limits(void **state UNUSED)
{
    set_limit("p9", "image_count_total", 2);
    const char *a = new_image("p9", ""), *b = new_image("p9", "");
    struct test_reply r = test_expect(&t, 413, "p9", "POST", IMAGES, "{'name': 'one too many'}");
    assert_non_null(strstr(test_str(&t, &r, "message"), "Project p9 is over a limit for"));
    assert_non_null(strstr(test_str(&t, &r, "message"), "image_count_total"));
    /* Another project's may be made for it only within its own limit. */
    test_expect(&t, 413, "admin", "POST", IMAGES, "{'owner': 'p9'}");
    r = test_expect(&t, 200, "p9", "GET", "/image/v2/info/usage", NULL);
    assert_string_equal(test_str(&t, &r, "usage.image_count_total.limit"), "2");
    assert_string_equal(test_str(&t, &r, "usage.image_count_total.usage"), "2");
    assert_string_equal(test_str(&t, &r, "usage.image_size_total.limit"), "-1");
    set_limit("p9", "image_size_total", 1);
    static char data[(1 << 20) + 1];
    assert_int_equal(upload("p9", a, data, sizeof(data)).status, 413);
    assert_int_equal(files(), 0);
    assert_int_equal(upload("p9", a, data, 1 << 20).status, 204);
    assert_int_equal(upload("p9", b, data, 1).status, 413);
    set_limit("p9", "image_count_uploading", 0);
    assert_int_equal(stage("p9", b, data, 1).status, 413);
    set_limit("p9", "image_count_uploading", 1);
    assert_int_equal(stage("p9", b, data, 1).status, 204);
    test_expect(&t, 413, "p9", "POST", fmt("%s/import", image_path(b)), direct);
    test_expect(&t, 204, "p9", "DELETE", image_path(a), NULL);
    test_expect(&t, 202, "p9", "POST", fmt("%s/import", image_path(b)), direct);
    test_expect(&t, 204, "p9", "DELETE", image_path(b), NULL);
}

static void activation(void **state UNUSED)
{
    const char *id = new_image("p1", ", 'visibility': 'community'");
    assert_int_equal(upload("p1", id, "data", 4).status, 204);
    test_expect(&t, 403, "p2", "POST", fmt("%s/actions/deactivate", image_path(id)), NULL);
    test_expect(&t, 204, "p1", "POST", fmt("%s/actions/deactivate", image_path(id)), NULL);
    test_expect(&t, 403, "p1", "GET", fmt("%s/file", image_path(id)), NULL);
    test_expect(&t, 204, "p1", "POST", fmt("%s/actions/reactivate", image_path(id)), NULL);
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
}

static void what_there_is(void **state UNUSED)
{
    struct test_reply r = test_expect(&t, 200, "p1", "GET", "/image/v2/info/import", NULL);
    assert_string_equal(test_str(&t, &r, "import-methods.value"), "[\"glance-direct\"]");
    r = test_expect(&t, 200, "p1", "GET", "/image/v2/info/stores", NULL);
    assert_string_equal(test_str(&t, &r, "stores[0].id"), "local");
    assert_null(test_at(&r, "stores[0].properties"));
    test_expect(&t, 403, "p1", "GET", "/image/v2/info/stores/detail", NULL);
    r = test_expect(&t, 200, "admin", "GET", "/image/v2/info/stores/detail", NULL);
    assert_string_equal(test_str(&t, &r, "stores[0].type"), "file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_staged), cmocka_unit_test(staged_and_forgotten),
        cmocka_unit_test(kept_formats),  cmocka_unit_test(limits),
        cmocka_unit_test(activation),    cmocka_unit_test(what_there_is),
    };
    return cmocka_run_group_tests(tests, images_setup, images_teardown);
}
