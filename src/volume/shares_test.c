/* SPDX-License-Identifier: EUPL-1.2 */
/* What goes between projects and belongs together: transfers, attachments, groups. */
#include "volume/test_fakes.h"

static struct volume_world w;
#define T (&w.t)

static int setup(void **state UNUSED)
{
    vworld_start(&w, 2, 100);
    return 0;
}

static int teardown(void **state UNUSED)
{
    vworld_stop(&w);
    return 0;
}

static void version(const char *minor)
{
    T->headers[0] = minor ? vpath(&w, "OpenStack-API-Version: volume 3.%s", minor) : NULL;
}

static const char *get(const char *who, const char *at, const char *member)
{
    struct test_reply r = test_call(T, who, "GET", at, NULL);
    return r.status == 404 ? "404" : test_str(T, &r, member);
}

static void wipe(const char *project)
{
    struct test_reply r = test_expect(T, 200, project, "GET", V3 "/volumes", NULL);
    const json_t *list = test_at(&r, "volumes");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *id = json_get_str(json_array_get(list, i), "id");
        test_expect(T, 202, project, "DELETE", vpath(&w, V3 "/volumes/%s?cascade=1", id), NULL);
        vworld_obey(&w, id);
        assert_string_equal(vworld_status(&w, id), "404");
    }
}

/* ---------------------------------------------------------------- transfers */

static void a_volume_is_given_with_its_snapshots(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    struct test_reply r =
        test_expect(T, 202, "p1", "POST", V3 "/snapshots", "{'snapshot':{'volume_id':'%s'}}", id);
    const char *snap = test_str(T, &r, "snapshot.id");
    test_expect(T, 400, "p1", "POST", V3 "/os-volume-transfer", "{'transfer':{'volume_id':'%s'}}",
                id); /* its snapshot is still being made */
    vworld_obey(&w, id);
    test_expect(T, 404, "p2", "POST", V3 "/os-volume-transfer", "{'transfer':{'volume_id':'%s'}}",
                id);
    r = test_expect(T, 202, "p1", "POST", V3 "/os-volume-transfer",
                    "{'transfer':{'volume_id':'%s','name':'gift'}}", id);
    const char *transfer = vpath(&w, V3 "/os-volume-transfer/%s", test_str(T, &r, "transfer.id"));
    const char *accept = vpath(&w, "%s/accept", transfer);
    const char *key = test_str(T, &r, "transfer.auth_key");
    assert_int_equal(strlen(key), 32);
    assert_string_equal(vworld_status(&w, id), "awaiting-transfer");
    assert_int_equal(vworld_count(&w, vpath(&w,
                                            "SELECT 1 FROM volume_transfers WHERE key_hash "
                                            "LIKE '%%%s%%' OR salt LIKE '%%%s%%'",
                                            key, key)),
                     0);
    r = test_expect(T, 200, "p1", "GET", transfer, NULL);
    assert_null(test_at(&r, "transfer.auth_key"));
    test_expect(T, 404, "p2", "GET", transfer, NULL);
    test_expect(T, 400, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", id), NULL);

    test_expect(T, 400, "p2", "POST", accept, "{'accept':{'auth_key':'wrong'}}");
    test_expect(T, 400, "p2", "POST", accept, "{'accept':{}}");
    test_expect(T, 200, "admin", "PUT", V3 "/os-quota-sets/p2", "{'quota_set':{'volumes':0}}");
    test_expect(T, 413, "p2", "POST", accept, "{'accept':{'auth_key':'%s'}}", key);
    test_expect(T, 200, "admin", "DELETE", V3 "/os-quota-sets/p2", NULL);
    assert_string_equal(vworld_status(&w, id), "awaiting-transfer");
    test_expect(T, 202, "p2", "POST", accept, "{'accept':{'auth_key':'%s'}}", key);
    test_expect(T, 404, "p2", "POST", accept, "{'accept':{'auth_key':'%s'}}", key);
    assert_string_equal(get("p2", vpath(&w, V3 "/volumes/%s", id), "volume.status"), "available");
    assert_string_equal(get("p2", vpath(&w, V3 "/snapshots/%s", snap), "snapshot.status"),
                        "available");
    assert_string_equal(get("p1", vpath(&w, V3 "/volumes/%s", id), "volume.status"), "404");
    assert_string_equal(get("p1", vpath(&w, V3 "/snapshots/%s", snap), "snapshot.status"), "404");
    wipe("p2");
}

static void a_gift_is_taken_back(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    test_expect(T, 404, "p1", "GET", V3 "/volume-transfers", NULL);
    version("57");
    struct test_reply r = test_expect(T, 202, "p1", "POST", V3 "/volume-transfers",
                                      "{'transfer':{'volume_id':'%s','no_snapshots':true}}", id);
    assert_string_equal(test_str(T, &r, "transfer.source_project_id"), "p1");
    assert_string_equal(test_str(T, &r, "transfer.no_snapshots"), "true");
    assert_string_equal(test_str(T, &r, "transfer.accepted"), "false");
    const char *at = vpath(&w, V3 "/volume-transfers/%s", test_str(T, &r, "transfer.id"));
    test_expect(T, 404, "p2", "DELETE", at, NULL);
    test_expect(T, 202, "p1", "DELETE", at, NULL);
    assert_string_equal(vworld_status(&w, id), "available");
    r = test_expect(T, 202, "p1", "POST", V3 "/volume-transfers", "{'transfer':{'volume_id':'%s'}}",
                    id);
    version(NULL);
    test_expect(T, 202, "admin", "POST", vpath(&w, V3 "/volumes/%s/action", id),
                "{'os-force_delete':{}}");
    assert_int_equal(vworld_count(&w, "SELECT 1 FROM volume_transfers"), 0);
    vworld_obey(&w, id);
}

/* ---------------------------------------------------------------- attachments */

static void attachments_are_reserved_connected_completed(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    test_expect(T, 404, "p1", "GET", V3 "/attachments", NULL);
    version("54");
    test_expect(T, 404, "p2", "POST", V3 "/attachments", "{'attachment':{'volume_uuid':'%s'}}", id);
    test_expect(T, 400, "p1", "POST", V3 "/attachments", "{'attachment':{}}");
    struct test_reply r =
        test_expect(T, 200, "p1", "POST", V3 "/attachments",
                    "{'attachment':{'volume_uuid':'%s','instance_uuid':'" SERVER_A "'}}", id);
    const char *at = vpath(&w, V3 "/attachments/%s", test_str(T, &r, "attachment.id"));
    assert_string_equal(test_str(T, &r, "attachment.status"), "reserved");
    assert_string_equal(vworld_status(&w, id), "reserved");
    test_expect(T, 400, "p1", "POST", V3 "/attachments", "{'attachment':{'volume_uuid':'%s'}}", id);
    test_expect(T, 400, "p1", "PUT", at, "{'attachment':{}}");
    r = test_expect(T, 200, "p1", "PUT", at, "{'attachment':{'connector':{'host':'here'}}}");
    assert_string_equal(test_str(T, &r, "attachment.connection_info.driver_volume_type"), "file");
    assert_string_equal(vworld_status(&w, id), "attaching");
    test_expect(T, 204, "p1", "POST", vpath(&w, "%s/action", at), "{'os-complete':{}}");
    assert_string_equal(vworld_status(&w, id), "in-use");
    r = test_expect(T, 200, "p1", "GET", V3 "/attachments?status=attached", NULL);
    assert_int_equal(json_array_size(test_at(&r, "attachments")), 1);
    r = test_expect(T, 200, "p2", "GET", V3 "/attachments/detail", NULL);
    assert_int_equal(json_array_size(test_at(&r, "attachments")), 0);
    test_expect(T, 404, "p2", "DELETE", at, NULL);
    assert_true(json_is_null(json_get(vworld_spec(&w, id), "server_id")));
    r = test_expect(T, 200, "p1", "DELETE", at, NULL);
    assert_int_equal(json_array_size(test_at(&r, "attachments")), 0);
    assert_string_equal(vworld_status(&w, id), "available");
    version(NULL);
    wipe("p1");
}

static struct err *attach_fn(struct call *c, void *arg)
{
    const struct use_request rq = {.volume_id = arg, .server_id = SERVER_B, .boot_index = -1};
    struct volume_use use;
    return volume_attach(c, &rq, &use);
}

static struct err *release_fn(struct call *c, void *arg UNUSED)
{
    return volume_uses_release(c->cx, c->tx, SERVER_B);
}

/* A server's disk is compute's to take away. */
static void a_servers_disk_is_left_alone(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    assert_ok(&w.t.cx, vworld_as(&w, "p1", attach_fn, (void *)(uintptr_t)id));
    version("54");
    struct test_reply r = test_expect(T, 200, "p1", "GET", V3 "/attachments", NULL);
    const char *at = vpath(&w, V3 "/attachments/%s", test_str(T, &r, "attachments[0].id"));
    const char *action = vpath(&w, V3 "/volumes/%s/action", id);
    test_expect(T, 409, "p1", "DELETE", at, NULL);
    test_expect(T, 409, "p1", "PUT", at, "{'attachment':{'connector':{'host':'x'}}}");
    test_expect(T, 409, "p1", "POST", vpath(&w, "%s/action", at), "{'os-complete':{}}");
    test_expect(T, 409, "p1", "POST", action, "{'os-detach':{}}");
    test_expect(T, 409, "p1", "POST", action, "{'os-unreserve':{}}");
    version(NULL);
    assert_string_equal(vworld_status(&w, id), "attaching");
    /* An administrator may: then the host is asked to take it from the guest. */
    test_expect(T, 202, "admin", "POST", action, "{'os-force_detach':{}}");
    assert_string_equal(vworld_status(&w, id), "detaching");
    assert_int_equal(vworld_count(&w, "SELECT 1 FROM fleet_changes WHERE kind = 'server' AND "
                                      "item_id = '" SERVER_B "'"),
                     1);
    assert_ok(&w.t.cx, vworld_as(&w, "p1", release_fn, NULL));
    assert_string_equal(vworld_status(&w, id), "available");
    wipe("p1");
}

/* ---------------------------------------------------------------- groups */

static const char *group_type(void)
{
    version("14");
    struct test_reply r = test_expect(T, 202, "admin", "POST", V3 "/group_types",
                                      "{'group_type':{'name':'%s'}}", uuid_new(&w.t.cx));
    return test_str(T, &r, "group_type.id");
}

static const char *group(const char *type)
{
    struct test_reply r = test_expect(
        T, 202, "p1", "POST", V3 "/groups",
        "{'group':{'name':'g','group_type':'%s','volume_types':['" DEFAULT_TYPE "']}}", type);
    return test_str(T, &r, "group.id");
}

static const char *member_of(const char *group_id)
{
    struct test_reply r = test_expect(T, 202, "p1", "POST", V3 "/volumes",
                                      "{'volume':{'size':1,'group_id':'%s'}}", group_id);
    const char *id = test_str(T, &r, "volume.id");
    vworld_obey(&w, id);
    return id;
}

static const char *group_status(const char *id)
{
    return get("p1", vpath(&w, V3 "/groups/%s", id), "group.status");
}

static void a_group_is_snapshotted_copied_deleted(void **state UNUSED)
{
    const char *type = group_type(), *g = group(type), *a = member_of(g), *b = member_of(g);
    assert_string_equal(group_status(g), "available");
    test_expect(T, 400, "admin", "DELETE", vpath(&w, V3 "/group_types/%s", type), NULL);
    test_expect(T, 404, "p2", "GET", vpath(&w, V3 "/groups/%s", g), NULL);
    test_expect(T, 404, "p2", "POST", V3 "/volumes", "{'volume':{'size':1,'group_id':'%s'}}", g);
    test_expect(T, 400, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", a), NULL);

    struct test_reply r = test_expect(T, 202, "p1", "POST", V3 "/group_snapshots",
                                      "{'group_snapshot':{'group_id':'%s','name':'s'}}", g);
    const char *snap = test_str(T, &r, "group_snapshot.id");
    const char *snap_at = vpath(&w, V3 "/group_snapshots/%s", snap);
    assert_string_equal(get("p1", snap_at, "group_snapshot.status"), "creating");
    vworld_obey(&w, a);
    assert_string_equal(get("p1", snap_at, "group_snapshot.status"), "creating");
    vworld_obey(&w, b);
    assert_string_equal(get("p1", snap_at, "group_snapshot.status"), "available");

    r = test_expect(T, 202, "p1", "POST", V3 "/groups/action",
                    "{'create-from-src':{'name':'copy','group_snapshot_id':'%s'}}", snap);
    const char *copy = test_str(T, &r, "group.id");
    assert_string_equal(group_status(copy), "creating");
    test_expect(T, 400, "p1", "DELETE", snap_at, NULL); /* it is being copied */
    r = test_expect(T, 200, "p1", "GET", vpath(&w, V3 "/volumes?group_id=%s", copy), NULL);
    assert_int_equal(json_array_size(test_at(&r, "volumes")), 2);
    vworld_obey(&w, test_str(T, &r, "volumes[0].id"));
    assert_string_equal(group_status(copy), "creating");
    vworld_obey(&w, test_str(T, &r, "volumes[1].id"));
    assert_string_equal(group_status(copy), "available");

    const char *action = vpath(&w, V3 "/groups/%s/action", copy);
    test_expect(T, 400, "p1", "POST", action, "{'delete':{'delete-volumes':false}}");
    test_expect(T, 202, "p1", "POST", action, "{'delete':{'delete-volumes':true}}");
    assert_string_equal(group_status(copy), "deleting");
    vworld_obey(&w, test_str(T, &r, "volumes[0].id"));
    assert_string_equal(group_status(copy), "deleting");
    vworld_obey(&w, test_str(T, &r, "volumes[1].id"));
    assert_string_equal(group_status(copy), "404");

    action = vpath(&w, V3 "/groups/%s/action", g);
    test_expect(T, 400, "p1", "POST", action, "{'delete':{'delete-volumes':true}}");
    test_expect(T, 202, "p1", "DELETE", snap_at, NULL);
    vworld_obey(&w, a);
    vworld_obey(&w, b);
    assert_string_equal(get("p1", snap_at, "group_snapshot.status"), "404");
    test_expect(T, 202, "p1", "PUT", vpath(&w, V3 "/groups/%s", g),
                "{'group':{'remove_volumes':'%s'}}", a);
    test_expect(T, 400, "p1", "PUT", vpath(&w, V3 "/groups/%s", g),
                "{'group':{'remove_volumes':'%s'}}", a);
    test_expect(T, 202, "p1", "PUT", vpath(&w, V3 "/groups/%s", g),
                "{'group':{'add_volumes':'%s','name':'other'}}", a);
    test_expect(T, 202, "p1", "POST", action, "{'delete':{'delete-volumes':true}}");
    vworld_obey(&w, a);
    vworld_obey(&w, b);
    assert_string_equal(group_status(g), "404");
    version(NULL);
}

static void an_empty_group_needs_no_host(void **state UNUSED)
{
    const char *type = group_type(), *g = group(type);
    test_expect(T, 400, "p1", "POST", V3 "/group_snapshots", "{'group_snapshot':{'group_id':'%s'}}",
                g);
    struct test_reply r = test_expect(T, 202, "p1", "POST", V3 "/groups/action",
                                      "{'create-from-src':{'source_group_id':'%s'}}", g);
    const char *copy = test_str(T, &r, "group.id");
    assert_string_equal(group_status(copy), "available");
    test_expect(T, 202, "p1", "POST", vpath(&w, V3 "/groups/%s/action", copy), "{'delete':{}}");
    assert_string_equal(group_status(copy), "404");
    test_expect(T, 202, "p1", "POST", vpath(&w, V3 "/groups/%s/action", g), "{'delete':{}}");
    test_expect(T, 202, "admin", "DELETE", vpath(&w, V3 "/group_types/%s", type), NULL);
    version(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_volume_is_given_with_its_snapshots),
        cmocka_unit_test(a_gift_is_taken_back),
        cmocka_unit_test(attachments_are_reserved_connected_completed),
        cmocka_unit_test(a_servers_disk_is_left_alone),
        cmocka_unit_test(a_group_is_snapshotted_copied_deleted),
        cmocka_unit_test(an_empty_group_needs_no_host),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
