/* SPDX-License-Identifier: EUPL-1.2 */
/* Images as records: creation, patches, properties, tags, visibility, members, lists, recorded
 * replies. */
#include "image/images.h"
#include "image/test_images.h"

static void creation(void **state UNUSED)
{
    struct test_reply r = test_expect(
        &t, 201, "p1", "POST", IMAGES,
        "{'name': 'full', 'disk_format': 'raw', 'container_format': 'bare', 'min_ram': 5, "
        "'min_disk': 6, 'protected': true, 'tags': ['b', 'a', 'b'], 'os_distro': 'debian'}");
    const char *id = test_str(&t, &r, "id");
    assert_string_equal(test_str(&t, &r, "status"), "queued");
    assert_string_equal(test_str(&t, &r, "visibility"), "shared");
    assert_string_equal(test_str(&t, &r, "owner"), "p1");
    assert_string_equal(test_str(&t, &r, "os_distro"), "debian");
    assert_int_equal(json_array_size(test_at(&r, "tags")), 2);
    assert_string_equal(test_str(&t, &r, "self"), fmt("/v2/images/%s", id));
    assert_string_equal(test_str(&t, &r, "file"), fmt("/v2/images/%s/file", id));
    assert_string_equal(test_str(&t, &r, "schema"), "/v2/schemas/image");
    assert_string_equal(reply_header(&r, "location"), fmt("%s%s", t.url, image_path(id)));
    test_expect(&t, 403, "p1", "DELETE", image_path(id), NULL); /* protected */
    assert_int_equal(
        patch("p1", id, "[{'op': 'replace', 'path': '/protected', 'value': false}]").status, 200);
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
    test_expect(&t, 404, "p1", "DELETE", image_path(id), NULL);

    static const char own[] = "7e1f0a4c-0000-4000-8000-0123456789ab";
    r = test_expect(&t, 201, "p1", "POST", IMAGES, "{'id': '%s'}", own);
    assert_string_equal(test_str(&t, &r, "id"), own);
    test_expect(&t, 409, "p1", "POST", IMAGES, "{'id': '%s'}", own);
    test_expect(&t, 409, "p2", "POST", IMAGES, "{'id': '%s'}", own);
    test_expect(&t, 204, "p1", "DELETE", image_path(own), NULL);
}

static void refusals(void **state UNUSED)
{
    static const struct {
        int status;
        const char *body;
    } tests[] = {
        {400, "[]"},
        {400, "{'name': 7}"},
        {400, "{'id': 'x'}"},
        {400, "{'disk_format': 'floppy'}"},
        {400, "{'disk_format': 7}"},
        {400, "{'container_format': 'box'}"},
        {400, "{'visibility': 'everyone'}"},
        {400, "{'min_ram': -1}"},
        {400, "{'min_disk': 2147483648}"},
        {400, "{'min_ram': '1'}"},
        {400, "{'protected': 'yes'}"},
        {400, "{'tags': 'x'}"},
        {400, "{'tags': [7]}"},
        {400, "{'os_distro': 7}"},
        {400, "{'os_distro': null}"},
        {400, "{'': 'x'}"},
        {403, "{'status': 'active'}"},
        {403, "{'size': 5}"},
        {403, "{'checksum': 'x'}"},
        {403, "{'created_at': 'x'}"},
        {403, "{'self': '/x'}"},
        {403, "{'file': '/x'}"},
        {403, "{'schema': '/x'}"},
        {403, "{'location': 'other-image'}"},
        {403, "{'locations': 'x'}"},
        {403, "{'direct_url': 'x'}"},
        {403, "{'properties': '{}'}"},
        {403, "{'unbootable': 'no'}"},
        {403, "{'staged_location': 'x'}"},
        {403, "{'os_glance_foo': 'x'}"},
        {403, "{'deleted': 'x'}"},
        {403, "{'owner': 'p2'}"},
        {403, "{'visibility': 'public'}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        struct test_reply r = test_call(&t, "p1", "POST", IMAGES, "%s", tests[i].body);
        if (r.status != tests[i].status)
            fail_msg("%s: %d %s", tests[i].body, r.status, r.text);
        assert_non_null(test_at(&r, "message"));
    }
    struct buf b;
    buf_init(&b, t.cx.arena);
    for (int i = 0; i < 129; i++)
        buf_printf(&b, "%s'p%d': 'x'", i ? ", " : "", i);
    test_expect(&t, 413, "p1", "POST", IMAGES, "{%s}", buf_cstr(&b));
    test_expect(&t, 400, "p1", "POST", IMAGES, "{'%0256d': 'x'}", 0);
    test_expect(&t, 400, "p1", "POST", IMAGES, "{'x': '%065536d'}", 0);
    test_expect(&t, 403, "p1:reader", "POST", IMAGES, "{}");
    test_expect(&t, 401, NULL, "POST", IMAGES, "{}");
    assert_int_equal(count("p1", ""), 0);
}

/* ---------------------------------------------------------------- patches */

static void patches(void **state UNUSED)
{
    static const struct {
        int status;
        const char *body;
    } tests[] = {
        {200, "[]"},
        {200, "[{'op': 'replace', 'path': '/name', 'value': 'new'}]"},
        {200, "[{'replace': '/name', 'value': 'old form'}]"},
        {200, "[{'op': 'replace', 'path': '/name', 'value': null}]"},
        {200, "[{'op': 'add', 'path': '/a~1b~0c~01', 'value': 'escaped'}]"},
        {200, "[{'op': 'add', 'path': '/x', 'value': '1'}, {'op': 'replace', 'path': '/x', "
              "'value': '2'}, {'op': 'remove', 'path': '/x'}]"},
        {200, "[{'op': 'add', 'path': '/y', 'value': '1'}]"},
        {200, "[{'op': 'replace', 'path': '/tags', 'value': ['t']}]"},
        {400, "{}"},
        {400, "7"},
        {400, "[7]"},
        {400, "[[]]"},
        {400, "[{}]"},
        {400, "[{'op': 'replace'}]"},
        {400, "[{'op': 'replace', 'path': '/name'}]"},
        {400, "[{'op': 'replace', 'path': 'name', 'value': 'x'}]"},
        {400, "[{'op': 'replace', 'path': '/', 'value': 'x'}]"},
        {400, "[{'op': 'replace', 'path': '', 'value': 'x'}]"},
        {400, "[{'op': 'replace', 'path': '/a/b', 'value': 'x'}]"},
        {400, "[{'op': 'replace', 'path': '/a~2', 'value': 'x'}]"},
        {400, "[{'op': 'replace', 'path': '/a~', 'value': 'x'}]"},
        {400, "[{'op': 'move', 'path': '/name', 'from': '/x'}]"},
        {400, "[{'op': 'test', 'path': '/name', 'value': 'x'}]"},
        {400, "[{'op': 7, 'path': '/name', 'value': 'x'}]"},
        {400, "[{'op': 'replace', 'path': '/name', 'value': 7}]"},
        {400, "[{'op': 'replace', 'path': '/min_ram', 'value': -1}]"},
        {400, "[{'op': 'add', 'path': '/z', 'value': 7}]"},
        {400, "[{'op': 'replace', 'path': '/visibility', 'value': 'secret'}]"},
        {403, "[{'op': 'remove', 'path': '/name'}]"},
        {403,
         "[{'op': 'replace', 'path': '/id', 'value': '7e1f0a4c-0000-4000-8000-0123456789ab'}]"},
        {403, "[{'op': 'replace', 'path': '/status', 'value': 'active'}]"},
        {403, "[{'op': 'replace', 'path': '/owner', 'value': 'p2'}]"},
        {403, "[{'op': 'add', 'path': '/self', 'value': 'x'}]"},
        {403, "[{'op': 'add', 'path': '/file', 'value': 'x'}]"},
        {403, "[{'op': 'add', 'path': '/schema', 'value': 'x'}]"},
        {403, "[{'op': 'add', 'path': '/location', 'value': 'x'}]"},
        {403, "[{'op': 'add', 'path': '/locations', 'value': 'x'}]"},
        {403, "[{'op': 'add', 'path': '/properties', 'value': '{}'}]"},
        {403, "[{'op': 'remove', 'path': '/unbootable'}]"},
        {403, "[{'op': 'replace', 'path': '/visibility', 'value': 'public'}]"},
        {409, "[{'op': 'replace', 'path': '/nothing', 'value': 'x'}]"},
        {409, "[{'op': 'remove', 'path': '/nothing'}]"},
        {409, "[{'op': 'replace', 'path': '/name', 'value': 'half'}, {'op': 'remove', 'path': "
              "'/nothing'}]"},
    };
    const char *id = new_image("p1", ", 'name': 'first'");
    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        struct test_reply r = patch("p1", id, tests[i].body);
        if (r.status != tests[i].status)
            fail_msg("%s: %d %s", tests[i].body, r.status, r.text);
    }
    struct test_reply r = test_expect(&t, 200, "p1", "GET", image_path(id), NULL);
    assert_true(json_is_null(test_at(&r, "name")));
    assert_string_equal(json_get_str(r.json, "a/b~c~1"), "escaped");
    assert_string_equal(test_str(&t, &r, "y"), "1");
    assert_null(json_get(r.json, "x"));
    assert_string_equal(test_str(&t, &r, "owner"), "p1");
    assert_string_equal(test_str(&t, &r, "self"), fmt("/v2/images/%s", id));
    r = raw_call("p1", "PATCH", image_path(id), "application/json", "[]", 2, NULL);
    assert_int_equal(r.status, 415);
    r = raw_call("p1", "PATCH", image_path(id), "application/openstack-images-v2.0-json-patch",
                 "[]", 2, NULL);
    assert_int_equal(r.status, 200);
    assert_int_equal(patch("p2", id, "[]").status, 404);
    assert_int_equal(patch("p1:reader", id, "[]").status, 403);
    assert_int_equal(
        patch("admin", id, "[{'op': 'replace', 'path': '/owner', 'value': 'p9'}]").status, 200);
    test_expect(&t, 404, "p1", "GET", image_path(id), NULL);
    test_expect(&t, 204, "p9", "DELETE", image_path(id), NULL);
}

/* Many small patches can't make a row grow without end. */
static void properties_are_bounded(void **state UNUSED)
{
    const char *id = new_image("p1", "");
    int last = 200;
    for (int i = 0; i < 40 && last == 200; i++) {
        struct buf b;
        buf_init(&b, t.cx.arena);
        for (int k = 0; k < 10; k++)
            buf_printf(&b, "%s{'op': 'add', 'path': '/p%d', 'value': 'x'}", k ? ", " : "",
                       i * 10 + k);
        last = patch("p1", id, fmt("[%s]", buf_cstr(&b))).status;
    }
    assert_int_equal(last, 413);
    last = 200;
    for (int i = 0; i < 40 && last == 200; i++)
        last = patch("p1", id, fmt("[{'op': 'add', 'path': '/p%d', 'value': '%060000d'}]", i, 0))
                   .status;
    assert_int_equal(last, 413);
    struct buf b;
    buf_init(&b, t.cx.arena);
    for (int i = 0; i < 257; i++)
        buf_printf(&b, "%s{'op': 'add', 'path': '/q', 'value': 'x'}", i ? ", " : "");
    assert_int_equal(patch("p1", id, fmt("[%s]", buf_cstr(&b))).status, 400);
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
}

static void tags(void **state UNUSED)
{
    const char *id = new_image("p1", "");
    const char *tag = fmt("%s/tags/a%%20b", image_path(id));
    test_expect(&t, 204, "p1", "PUT", tag, NULL);
    test_expect(&t, 204, "p1", "PUT", tag, NULL);
    test_expect(&t, 204, "p1", "PUT", fmt("%s/tags/c", image_path(id)), NULL);
    struct test_reply r = test_expect(&t, 200, "p1", "GET", image_path(id), NULL);
    assert_int_equal(json_array_size(test_at(&r, "tags")), 2);
    assert_int_equal(count("p1", "tag=c"), 1);
    assert_int_equal(count("p1", "tag=c&tag=a%20b"), 1);
    assert_int_equal(count("p1", "tag=c&tag=d"), 0);
    test_expect(&t, 404, "p2", "PUT", tag, NULL);
    test_expect(&t, 404, "p1", "DELETE", fmt("%s/tags/d", image_path(id)), NULL);
    test_expect(&t, 204, "p1", "DELETE", tag, NULL);
    test_expect(&t, 404, "p1", "DELETE", tag, NULL);
    test_expect(&t, 413, "p1", "PUT", fmt("%s/tags/%0256d", image_path(id), 0), NULL);
    for (int i = 1; i < 128; i++)
        test_expect(&t, 204, "p1", "PUT", fmt("%s/tags/t%d", image_path(id), i), NULL);
    test_expect(&t, 413, "p1", "PUT", fmt("%s/tags/one-more", image_path(id)), NULL);
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
}

/* ---------------------------------------------------------------- who sees what */

static void visibility(void **state UNUSED)
{
    static const char *const kinds[] = {"private", "shared", "community", "public"};
    const char *ids[4];
    for (size_t i = 0; i < 4; i++)
        ids[i] = new_image("admin", fmt(", 'visibility': '%s', 'name': '%s'", kinds[i], kinds[i]));
    const char *hidden = new_image("admin", ", 'visibility': 'public', 'os_hidden': true");
    for (size_t i = 0; i < 4; i++) {
        test_expect(&t, i < 2 ? 404 : 200, "p2", "GET", image_path(ids[i]), NULL);
        test_expect(&t, i < 2 ? 404 : 403, "p2", "DELETE", image_path(ids[i]), NULL);
        assert_int_equal(patch("p2", ids[i], "[]").status, i < 2 ? 404 : 403);
        test_expect(&t, i < 2 ? 404 : 403, "p2", "PUT", fmt("%s/tags/x", image_path(ids[i])), NULL);
    }
    assert_int_equal(count("p2", ""), 1);
    assert_int_equal(count("p2", "visibility=public"), 1);
    assert_int_equal(count("p2", "visibility=community"), 1);
    assert_int_equal(count("p2", "visibility=all"), 2);
    assert_int_equal(count("p2", "visibility=private"), 0);
    assert_int_equal(count("p2", "os_hidden=true"), 1);
    assert_int_equal(count("admin", ""), 4);
    test_expect(&t, 400, "p2", "GET", IMAGES "?visibility=everyone", NULL);
    test_expect(&t, 200, "p2", "GET", image_path(hidden), NULL);
    struct tx *tx = NULL;
    struct image_info info;
    const struct actor p2 = {.project_id = "p2"};
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_err(&t.cx, ERR_NOT_FOUND, image_get(&t.cx, tx, ids[0], &p2, &info));
    assert_ok(&t.cx, image_get(&t.cx, tx, ids[3], &p2, &info));
    bool found = true;
    assert_ok(&t.cx, image_get_any(&t.cx, tx, "nothing", &info, &found));
    assert_false(found);
    struct image_info *list;
    size_t n;
    assert_ok(&t.cx, image_list_for(&t.cx, tx, &p2, &list, &n)); /* not the hidden one */
    for (size_t i = 0; i < n; i++)
        assert_ok(&t.cx, image_get(&t.cx, tx, list[i].id, &p2, &info));
    tx_rollback(&tx);
    assert_int_equal(n, count("p2", ""));
    for (size_t i = 0; i < 4; i++)
        test_expect(&t, 204, "admin", "DELETE", image_path(ids[i]), NULL);
    test_expect(&t, 204, "admin", "DELETE", image_path(hidden), NULL);
}

static void members(void **state UNUSED)
{
    const char *id = new_image("p1", ""), *path = fmt("%s/members", image_path(id)),
               *p2 = fmt("%s/p2", path);
    struct test_reply r = test_expect(&t, 200, "p1", "POST", path, "{'member': 'p2'}");
    assert_string_equal(test_str(&t, &r, "status"), "pending");
    assert_string_equal(test_str(&t, &r, "schema"), "/v2/schemas/member");
    assert_int_equal(json_object_size(r.json), 6);
    test_expect(&t, 409, "p1", "POST", path, "{'member': 'p2'}");
    test_expect(&t, 200, "p1", "POST", path, "{'member': 'p3'}");
    static const char *const bad[] = {"{}", "[]", "{'member': 7}", "{'member': ''}", "7"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(&t, 400, "p1", "POST", path, "%s", bad[i]);
    test_expect(&t, 404, "p4", "POST", path, "{'member': 'p4'}");
    test_expect(&t, 403, "p2", "POST", path, "{'member': 'p4'}");
    /* Offered: found by its id, in no list. */
    test_expect(&t, 200, "p2", "GET", image_path(id), NULL);
    test_expect(&t, 404, "p4", "GET", image_path(id), NULL);
    assert_int_equal(count("p2", ""), 0);
    assert_int_equal(count("p2", "member_status=pending"), 1);
    assert_int_equal(count("p2", "member_status=all"), 1);
    assert_int_equal(count("p2", "member_status=rejected"), 0);
    test_expect(&t, 400, "p2", "GET", IMAGES "?member_status=x", NULL);
    test_expect(&t, 403, "p1", "PUT", p2, "{'status': 'accepted'}"); /* not the owner's to say */
    test_expect(&t, 404, "p3", "PUT", p2, "{'status': 'accepted'}");
    test_expect(&t, 400, "p2", "PUT", p2, "{'status': 'maybe'}");
    test_expect(&t, 400, "p2", "PUT", p2, "{}");
    test_expect(&t, 400, "p2", "PUT", p2, "[]");
    test_expect(&t, 400, "p2", "PUT", p2, NULL);
    test_expect(&t, 403, "p2", "PUT", p2, "{'status': 'accepted', 'member_id': 'p4'}");
    test_expect(&t, 400, "p2", "PUT", p2, "{'status': 'accepted', 'member': 'p4'}");
    r = test_expect(&t, 200, "p2", "PUT", p2, "{'status': 'accepted', 'member': 'p2'}");
    assert_string_equal(test_str(&t, &r, "status"), "accepted");
    assert_int_equal(count("p2", ""), 1);
    assert_int_equal(count("p3", ""), 0);
    r = test_expect(&t, 200, "p1", "GET", path, NULL);
    assert_int_equal(json_array_size(test_at(&r, "members")), 2);
    r = test_expect(&t, 200, "p2", "GET", path, NULL);
    assert_int_equal(json_array_size(test_at(&r, "members")), 1); /* itself only */
    test_expect(&t, 200, "p2", "GET", p2, NULL);
    test_expect(&t, 404, "p3", "GET", p2, NULL);
    test_expect(&t, 404, "p4", "GET", path, NULL);
    test_expect(&t, 403, "p2", "DELETE", p2, NULL);
    test_expect(&t, 403, "p2", "DELETE", image_path(id), NULL);
    test_expect(&t, 204, "p1", "DELETE", p2, NULL);
    test_expect(&t, 404, "p1", "DELETE", p2, NULL);
    test_expect(&t, 404, "p2", "GET", image_path(id), NULL);
    assert_int_equal(
        patch("p1", id, "[{'op': 'replace', 'path': '/visibility', 'value': 'private'}]").status,
        200);
    test_expect(&t, 403, "p1", "POST", path, "{'member': 'p2'}");
    test_expect(&t, 404, "p3", "GET", image_path(id),
                NULL); /* a member, but it is shared no more */
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL); /* with its members */
}

/* ---------------------------------------------------------------- lists */

static void lists(void **state UNUSED)
{
    const char *ids[6];
    for (int i = 0; i < 6; i++)
        ids[i] = new_image("p1", fmt(", 'name': 'n%d', 'min_ram': %d, 'kind': '%s'", i % 4, i,
                                     i % 2 ? "odd" : "even"));
    assert_int_equal(count("p1", ""), 6);
    assert_int_equal(count("p2", ""), 0);
    assert_int_equal(count("p1", "name=n1"), 2);
    assert_int_equal(count("p1", "name=in:n1,n2"), 3);
    assert_int_equal(count("p1", "name=in:%25"), 0);
    assert_int_equal(count("p1", "name=in:%22n1%22,%22n2,n3%22"), 2);
    test_expect(&t, 400, "p1", "GET", IMAGES "?name=in:%22n1", NULL);
    assert_int_equal(count("p1", fmt("id=in:%s,%s", ids[0], ids[5])), 2);
    assert_int_equal(count("p1", "created_at=gt:2000-01-01T00:00:00Z"), 6);
    assert_int_equal(count("p1", "created_at=lte:2000-01-01T00:00:00Z"), 0);
    struct test_reply one = test_expect(&t, 200, "p1", "GET", image_path(ids[0]), NULL);
    const char *made = test_str(&t, &one, "created_at");
    assert_true(count("p1", fmt("created_at=%s", made)) >= 1);
    assert_true(count("p1", fmt("updated_at=gte:%s", made)) == 6);
    test_expect(&t, 400, "p1", "GET", IMAGES "?created_at=near:2000-01-01T00:00:00Z", NULL);
    assert_int_equal(count("p1", "disk_format=in:qcow2,raw&name=n0"), 2);
    assert_int_equal(count("p1", "status=queued"), 6);
    assert_int_equal(count("p1", "status=active"), 0);
    assert_int_equal(count("p1", "kind=odd"), 3);
    assert_int_equal(count("p1", "kind=odd&name=n1"), 2);
    assert_int_equal(count("p1", "location=x"), 0);
    assert_int_equal(count("p1", "size_min=0"), 0); /* none has a size yet */
    assert_int_equal(count("p1", "owner=p2"), 0);
    assert_int_equal(count("p1", "protected=false"), 6);
    test_expect(&t, 400, "p1", "GET", IMAGES "?size_min=x", NULL);
    test_expect(&t, 400, "p1", "GET", IMAGES "?size_max=-1", NULL);
    test_expect(&t, 400, "p1", "GET", IMAGES "?protected=x", NULL);
    test_expect(&t, 400, "p1", "GET", IMAGES "?sort_key=os_hash_value", NULL);
    struct test_reply r =
        test_expect(&t, 200, "p1", "GET", IMAGES "?sort=name:asc,min_ram:desc&limit=3", NULL);
    assert_string_equal(test_str(&t, &r, "images[0].id"), ids[4]);
    assert_string_equal(test_str(&t, &r, "images[1].id"), ids[0]);
    r = test_expect(&t, 200, "p1", "GET", fmt("/image%s", test_str(&t, &r, "next")), NULL);
    assert_int_equal(json_array_size(test_at(&r, "images")), 3);
    assert_null(test_at(&r, "next"));
    /* Filters that look into the rows page as well. */
    r = test_expect(&t, 200, "p1", "GET", IMAGES "?kind=odd&limit=2", NULL);
    assert_int_equal(json_array_size(test_at(&r, "images")), 2);
    r = test_expect(&t, 200, "p1", "GET", fmt("/image%s", test_str(&t, &r, "next")), NULL);
    assert_int_equal(json_array_size(test_at(&r, "images")), 1);
    r = test_expect(&t, 200, "p1", "GET", IMAGES, NULL);
    assert_string_equal(test_str(&t, &r, "images[0].id"), ids[5]); /* the newest first */
    test_expect(&t, 400, "p2", "GET", fmt(IMAGES "?marker=%s", ids[0]), NULL);
    /* A key without a direction is descending; one direction is for all keys. */
    r = test_expect(&t, 200, "p1", "GET", IMAGES "?sort_key=min_ram", NULL);
    assert_string_equal(test_str(&t, &r, "images[0].id"), ids[5]);
    r = test_expect(&t, 200, "p1", "GET", IMAGES "?sort_key=name&sort_key=min_ram&sort_dir=asc",
                    NULL);
    assert_string_equal(test_str(&t, &r, "images[1].id"), ids[4]);
    for (int i = 0; i < 6; i++)
        test_expect(&t, 204, "p1", "DELETE", image_path(ids[i]), NULL);
}

/* ---------------------------------------------------------------- recorded replies */

static void as_recorded(void **state UNUSED)
{
    /* Properties that only some of the recorded images have. */
    static const char *const list_but[] = {"images.owner_specified.openstack.md5",
                                           "images.owner_specified.openstack.sha256",
                                           "images.owner_specified.openstack.object", "next", NULL};
    static const char *const show_but[] = {"ramdisk_id", "kernel_id", NULL};
    const char *body = json_text(&t.cx, golden_request(&t, "image", "POST /v2/images 201"));
    struct test_reply r = test_call(&t, "p1", "POST", IMAGES, "%s", body);
    golden_compare(&t, "image", "POST /v2/images 201", &r, show_but);
    const char *id = test_str(&t, &r, "id");
    r = patch("p1", id, json_text(&t.cx, golden_request(&t, "image", "PATCH /v2/images/{id} 200")));
    golden_compare(&t, "image", "PATCH /v2/images/{id} 200", &r, show_but);
    assert_int_equal(upload("p1", id, "data", 4).status, 204);
    r = test_call(&t, "p1", "GET", image_path(id), NULL);
    golden_compare(&t, "image", "GET /v2/images/{id} 200", &r, show_but);
    r = test_call(&t, "p1", "GET", IMAGES, NULL);
    golden_compare(&t, "image", "GET /v2/images 200", &r, list_but);
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
    r = test_call(&t, "p1", "GET", image_path(id), NULL);
    golden_compare(&t, "image", "GET /v2/images/{id} 404", &r, NULL);
    r = test_call(&t, "p1", "DELETE", image_path(id), NULL);
    golden_compare(&t, "image", "DELETE /v2/images/{id} 404", &r, NULL);
    r = test_call(&t, "p1", "POST", IMAGES, "%s",
                  json_text(&t.cx, golden_request(&t, "image", "POST /v2/images 400")));
    golden_compare(&t, "image", "POST /v2/images 400", &r, NULL);
    /* What a client may name in an image is known from the schema. */
    r = test_expect(&t, 200, "p1", "GET", "/image/v2/schemas/image", NULL);
    assert_true(json_is_object(test_at(&r, "properties.disk_format")));
    assert_null(test_at(&r, "properties.location"));
    assert_string_equal(test_str(&t, &r, "additionalProperties.type"), "string");
    r = test_expect(&t, 200, "p1", "GET", "/image/v2/schemas/images", NULL);
    assert_true(json_is_object(test_at(&r, "properties.images.items.properties.name")));
    test_expect(&t, 200, "p1", "GET", "/image/v2/schemas/members", NULL);
    test_expect(&t, 404, "p1", "GET", "/image/v2/schemas/nothing", NULL);
    r = test_expect(&t, 300, NULL, "GET", "/image", NULL);
    assert_string_equal(test_str(&t, &r, "versions[0].status"), "CURRENT");
    test_expect(&t, 404, "p1", "GET", IMAGES "/", NULL);
    test_expect(&t, 404, "p1", "DELETE", IMAGES "/", NULL);
}

static struct err *in_use(struct ctx *cx UNUSED, struct tx *tx UNUSED, const char *id UNUSED,
                          bool *ret)
{
    *ret = true;
    return NULL;
}

static void who_copies_from_it_keeps_it(void **state UNUSED)
{
    const char *id = new_image("p1", "");
    image_on_delete(in_use);
    test_expect(&t, 409, "p1", "DELETE", image_path(id), NULL);
    image_on_delete(NULL);
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_copies_from_it_keeps_it),
        cmocka_unit_test(creation),
        cmocka_unit_test(refusals),
        cmocka_unit_test(patches),
        cmocka_unit_test(properties_are_bounded),
        cmocka_unit_test(tags),
        cmocka_unit_test(visibility),
        cmocka_unit_test(members),
        cmocka_unit_test(lists),
        cmocka_unit_test(as_recorded),
    };
    return cmocka_run_group_tests(tests, images_setup, images_teardown);
}
