/* SPDX-License-Identifier: EUPL-1.2 */
/* What can be asked of a volume, in which state, by whom; and that nothing breaks when it is asked
 * in any other. */
#include "volume/test_fakes.h"

static struct volume_world w;
#define T (&w.t)

static int setup(void **state UNUSED)
{
    vworld_start(&w, 2, 100);
    vworld_run(&w, "INSERT INTO quota_limits (service, project_id, name, hard_limit) VALUES "
                   "('volume', 'p1', 'volumes', -1), ('volume', 'p1', 'snapshots', -1)");
    return 0;
}

static int teardown(void **state UNUSED)
{
    vworld_stop(&w);
    return 0;
}

static struct test_reply act(int status, const char *who, const char *id, const char *body)
{
    return test_expect(T, status, who, "POST", vpath(&w, V3 "/volumes/%s/action", id), "%s", body);
}

static const char *show(const char *id, const char *at)
{
    struct test_reply r = test_expect(T, 200, "p1", "GET", vpath(&w, V3 "/volumes/%s", id), NULL);
    return test_str(T, &r, vpath(&w, "volume.%s", at));
}

static void version(const char *minor)
{
    T->headers[0] = minor ? vpath(&w, "OpenStack-API-Version: volume 3.%s", minor) : NULL;
}

/* ---------------------------------------------------------------- size */

static void it_grows(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    act(202, "p1", id, "{'os-extend':{'new_size':3}}");
    assert_string_equal(show(id, "status"), "extending");
    assert_string_equal(show(id, "size"), "1"); /* what it is still */
    assert_int_equal(json_get_int(vworld_spec(&w, id), "size_gib", 0), 3);
    vworld_report(&w, id, "{'revision':1,'ready':true,'size_gib':1,'error':'older'}");
    assert_string_equal(show(id, "status"), "extending");
    vworld_report(&w, id, "{'revision':{R},'ready':true,'size_gib':1,'error':'no space'}");
    assert_string_equal(show(id, "status"), "error_extending");
    vworld_obey(&w, id);
    assert_string_equal(show(id, "status"), "available");
    assert_string_equal(show(id, "size"), "3");

    act(400, "p1", id, "{'os-extend':{'new_size':3}}");
    act(400, "p1", id, "{'os-extend':{'new_size':'x'}}");
    act(400, "p1", id, "{'os-extend':{}}");
    struct test_reply r = act(400, "p1", id, "{'os-extend':{'new_size':102}}");
    assert_non_null(strstr(r.text, "GiB left"));
    act(202, "p1", id, "{'os-extend':{'new_size':'4'}}");
    assert_int_equal(vworld_expire(&w), 1);
    assert_string_equal(show(id, "status"), "error_extending");
    vworld_obey(&w, id);
    vworld_run(&w, vpath(&w, "UPDATE volumes SET state = 'in-use' WHERE id = '%s'", id));
    act(400, "p1", id, "{'os-extend':{'new_size':5}}");
    version("42");
    act(202, "p1", id, "{'os-extend':{'new_size':5}}");
    version(NULL);
    vworld_obey(&w, id);
}

/* A copy that is yet to be made is no smaller than what it is made from. */
static void it_does_not_grow_while_it_is_copied(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    struct test_reply r =
        test_expect(T, 202, "p1", "POST", V3 "/volumes", "{'volume':{'source_volid':'%s'}}", id);
    const char *copy = test_str(T, &r, "volume.id");
    act(400, "p1", id, "{'os-extend':{'new_size':3}}");
    assert_string_equal(show(id, "status"), "available");
    vworld_obey(&w, copy);
    act(202, "p1", id, "{'os-extend':{'new_size':3}}");
    vworld_obey(&w, id);
}

/* ---------------------------------------------------------------- flags */

static void flags_are_kept(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    act(200, "p1", id, "{'os-set_bootable':{'bootable':true}}");
    assert_string_equal(show(id, "bootable"), "true");
    act(200, "p1", id, "{'os-set_bootable':{'bootable':'false'}}");
    assert_string_equal(show(id, "bootable"), "false");
    act(400, "p1", id, "{'os-set_bootable':{}}");
    act(202, "p1", id, "{'os-update_readonly_flag':{'readonly':true}}");
    assert_string_equal(show(id, "metadata.readonly"), "True");
    act(400, "p1", id,
        "{'os-attach':{'instance_uuid':'" SERVER_A "','mountpoint':'/dev/vdc','mode':'rw'}}");
    act(202, "p1", id, "{'os-update_readonly_flag':{'readonly':false}}");
    assert_string_equal(show(id, "metadata.readonly"), "False");

    act(200, "p1", id, "{'os-set_image_metadata':{'metadata':{'a':'b','c':'d'}}}");
    assert_string_equal(show(id, "volume_image_metadata.a"), "b");
    act(200, "p1", id, "{'os-unset_image_metadata':{'key':'a'}}");
    act(404, "p1", id, "{'os-unset_image_metadata':{'key':'a'}}");
    struct test_reply r = act(200, "p1", id, "{'os-show_image_metadata':{}}");
    assert_null(test_at(&r, "metadata.a"));
    assert_string_equal(test_str(T, &r, "metadata.c"), "d");
}

/* ---------------------------------------------------------------- records of who uses it */

static void records_plug_nothing(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    act(202, "p1", id, "{'os-reserve':{}}");
    assert_string_equal(show(id, "status"), "attaching");
    act(400, "p1", id, "{'os-reserve':{}}");
    act(202, "p1", id, "{'os-unreserve':{}}");
    assert_string_equal(show(id, "status"), "available");
    act(202, "p1", id, "{'os-reserve':{}}");
    act(202, "p1", id, "{'os-attach':{'instance_uuid':'" SERVER_A "','mountpoint':'/dev/vdc'}}");
    assert_string_equal(show(id, "status"), "in-use");
    assert_string_equal(show(id, "attachments[0].server_id"), SERVER_A);
    assert_string_equal(show(id, "attachments[0].device"), "/dev/vdc");
    assert_true(json_is_null(json_get(vworld_spec(&w, id), "server_id")));
    assert_int_equal(vworld_count(&w, "SELECT 1 FROM attachments WHERE plugged = 1"), 0);

    act(202, "p1", id, "{'os-begin_detaching':{}}");
    assert_string_equal(show(id, "status"), "detaching");
    act(202, "p1", id, "{'os-roll_detaching':{}}");
    assert_string_equal(show(id, "status"), "in-use");
    test_expect(T, 400, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", id), NULL);
    act(202, "p1", id, "{'os-detach':{}}");
    assert_string_equal(show(id, "status"), "available");
    act(202, "p1", id, "{'os-detach':{}}"); /* again: nothing */
    assert_string_equal(show(id, "status"), "available");

    struct test_reply r = act(200, "p1", id, "{'os-initialize_connection':{'connector':{}}}");
    assert_string_equal(test_str(T, &r, "connection_info.driver_volume_type"), "file");
    act(400, "p1", id, "{'os-initialize_connection':{}}");
    act(202, "p1", id, "{'os-terminate_connection':{'connector':{}}}");
}

static void reservations_end(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    act(202, "p1", id, "{'os-reserve':{}}");
    assert_int_equal(vworld_expire(&w), 1);
    assert_string_equal(show(id, "status"), "available");
}

/* ---------------------------------------------------------------- images */

static void its_data_becomes_an_image(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    act(400, "p1", id, "{'os-volume_upload_image':{}}");
    act(403, "p1", id, "{'os-volume_upload_image':{'image_name':'i','visibility':'public'}}");
    struct test_reply r =
        act(202, "p1", id, "{'os-volume_upload_image':{'image_name':'i','disk_format':'raw'}}");
    assert_string_equal(test_str(T, &r, "os-volume_upload_image.status"), "uploading");
    assert_non_null(test_str(T, &r, "os-volume_upload_image.image_id"));
    assert_string_equal(test_str(T, &r, "os-volume_upload_image.volume_type.name"), DEFAULT_TYPE);
    assert_string_equal(show(id, "status"), "uploading");
    act(400, "p1", id, "{'os-volume_upload_image':{'image_name':'i'}}");
    vworld_exported(&w, id, NULL);
    assert_string_equal(show(id, "status"), "available");
    vworld_exported(&w, id, NULL);

    act(202, "p1", id, "{'os-volume_upload_image':{'image_name':'i'}}");
    vworld_exported(&w, id, "the disk is broken");
    assert_string_equal(show(id, "status"), "available");
    assert_int_equal(
        vworld_count(&w, "SELECT 1 FROM volume_messages WHERE text LIKE '%disk is broken%'"), 1);
    size_t cancelled = vworld_cancelled();
    act(202, "p1", id, "{'os-volume_upload_image':{'image_name':'i'}}");
    act(202, "admin", id, "{'os-force_delete':{}}");
    assert_int_equal(vworld_cancelled(), cancelled + 1);
    vworld_exported(&w, id, "cancelled"); /* nothing */
    assert_string_equal(vworld_status(&w, id), "deleting");
}

/* ---------------------------------------------------------------- the administrator's */

static void administrators_say_what_it_is(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    act(403, "p1", id, "{'os-reset_status':{'status':'error'}}");
    act(403, "p1", id, "{'os-force_delete':{}}");
    act(400, "admin", id, "{'os-reset_status':{'status':'odd'}}");
    act(202, "admin", id, "{'os-reset_status':{'status':'error'}}");
    vworld_obey(&w, id); /* it stays what was said */
    assert_string_equal(show(id, "status"), "error");
    /* A word is not a deed: the host keeps it. */
    act(202, "admin", id, "{'os-reset_status':{'status':'deleting'}}");
    assert_non_null(vworld_spec(&w, id));
    assert_true(vworld_expire(&w) >= 1);
    assert_string_equal(show(id, "status"), "available");
    test_expect(T, 202, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", id), NULL);
    assert_null(vworld_spec(&w, id));
    act(400, "admin", id, "{'os-reset_status':{'status':'available'}}"); /* it is a deed now */
    vworld_obey(&w, id);
    assert_string_equal(vworld_status(&w, id), "404");

    id = vworld_ready(&w, "p1");
    struct test_reply r = act(400, "admin", id, "{'os-migrate_volume':{'host':'mars'}}");
    assert_non_null(strstr(r.text, "mars"));
    r = act(400, "admin", id, "{'os-migrate_volume':{'host':'h0@qcow2#qcow2'}}");
    r = act(400, "admin", id, "{'os-unmanage':{}}");
    assert_non_null(strstr(r.text, "unmanaged"));
    version("40");
    act(404, "p1", id, "{'revert':{'snapshot_id':'" SERVER_A "'}}");
    version(NULL);
    act(202, "p1", id, "{'os-attach':{'instance_uuid':'" SERVER_A "','mountpoint':'/dev/vdc'}}");
    act(202, "admin", id, "{'os-reset_status':{'status':'error'}}");
    act(202, "admin", id,
        vpath(&w, "{'os-force_detach':{'attachment_id':'%s'}}",
              show(id, "attachments[0].attachment_id")));
    assert_string_equal(show(id, "status"), "available");
}

/* Every action in every state: an answer, never a crash, and a way out at the end. */
static void every_action_in_every_state(void **state UNUSED)
{
    static const char *const statuses[] = {
        "creating",  "available",       "reserved",  "attaching",         "in-use",
        "detaching", "extending",       "uploading", "awaiting-transfer", "maintenance",
        "error",     "error_extending", "deleting",  "error_deleting"};
    static const char *const bodies[] = {"{'os-reserve':{}}",
                                         "{'os-unreserve':{}}",
                                         "{'os-begin_detaching':{}}",
                                         "{'os-roll_detaching':{}}",
                                         "{'os-attach':{'instance_uuid':'" SERVER_A
                                         "','mountpoint':'/dev/vdc'}}",
                                         "{'os-detach':{}}",
                                         "{'os-force_detach':{}}",
                                         "{'os-extend':{'new_size':2}}",
                                         "{'os-volume_upload_image':{'image_name':'i'}}",
                                         "{'os-update_readonly_flag':{'readonly':1}}",
                                         "{'os-retype':{'new_type':'__DEFAULT__'}}",
                                         "{'os-initialize_connection':{'connector':{}}}",
                                         "{'os-terminate_connection':{'connector':{}}}",
                                         "{'os-set_bootable':{'bootable':true}}"};
    for (size_t s = 0; s < ARRAY_LEN(statuses); s++) {
        const char *id = vworld_ready(&w, "p1");
        for (size_t b = 0; b < ARRAY_LEN(bodies); b++) {
            act(202, "admin", id, vpath(&w, "{'os-reset_status':{'status':'%s'}}", statuses[s]));
            assert_string_equal(show(id, "status"), statuses[s]);
            struct test_reply r = test_call(
                T, "admin", "POST", vpath(&w, V3 "/volumes/%s/action", id), "%s", bodies[b]);
            if (r.status >= 500)
                fail_msg("%s %s: %d %s", statuses[s], bodies[b], r.status, r.text);
            vworld_exported(&w, id, NULL);
            vworld_obey(&w, id);
            vworld_expire(&w);
        }
        act(202, "admin", id, "{'os-reset_status':{'status':'error','attach_status':'detached'}}");
        act(202, "admin", id, "{'os-force_delete':{}}");
        vworld_obey(&w, id);
        assert_string_equal(vworld_status(&w, id), "404");
    }
}

/* ---------------------------------------------------------------- snapshots, metadata */

static void snapshots_have_actions_too(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    struct test_reply r =
        test_expect(T, 202, "p1", "POST", V3 "/snapshots", "{'snapshot':{'volume_id':'%s'}}", id);
    const char *snap = vpath(&w, V3 "/snapshots/%s", test_str(T, &r, "snapshot.id"));
    const char *action = vpath(&w, "%s/action", snap);
    vworld_obey(&w, id);
    test_expect(T, 403, "p1", "POST", action, "{'os-reset_status':{'status':'error'}}");
    test_expect(T, 202, "admin", "POST", action, "{'os-reset_status':{'status':'creating'}}");
    test_expect(T, 202, "p1", "POST", action,
                "{'os-update_snapshot_status':{'status':'error','progress':'80%%'}}");
    r = test_expect(T, 200, "p1", "GET", snap, NULL);
    assert_string_equal(test_str(T, &r, "snapshot.status"), "error");
    assert_string_equal(test_str(T, &r, "snapshot.os-extended-snapshot-attributes:progress"),
                        "80%");
    test_expect(T, 400, "p1", "POST", action,
                "{'os-update_snapshot_status':{'status':'error','progress':'half'}}");
    test_expect(T, 202, "admin", "POST", action, "{'os-reset_status':{'status':'deleting'}}");
    assert_int_equal(json_array_size(json_get(vworld_spec(&w, id), "snapshots")), 1);
    test_expect(T, 202, "admin", "POST", action, "{'os-force_delete':{}}");
    assert_int_equal(json_array_size(json_get(vworld_spec(&w, id), "snapshots")), 0);
    vworld_obey(&w, id);
    test_expect(T, 404, "p1", "GET", snap, NULL);
}

static void metadata_is_one_map(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1"), *at = vpath(&w, V3 "/volumes/%s/metadata", id);
    test_expect(T, 200, "p1", "POST", at, "{'metadata':{'a':'1','b':'2'}}");
    struct test_reply r = test_expect(T, 200, "p1", "POST", at, "{'metadata':{'a':'3'}}");
    assert_string_equal(r.text, "{\"metadata\":{\"a\":\"3\",\"b\":\"2\"}}");
    test_expect(T, 200, "p1", "PUT", vpath(&w, "%s/b", at), "{'meta':{'b':'<&>'}}");
    r = test_expect(T, 200, "p1", "GET", vpath(&w, "%s/b", at), NULL);
    assert_string_equal(test_str(T, &r, "meta.b"), "<&>");
    test_expect(T, 400, "p1", "PUT", vpath(&w, "%s/b", at), "{'meta':{'c':'x'}}");
    test_expect(T, 200, "p1", "DELETE", vpath(&w, "%s/a", at), NULL);
    test_expect(T, 404, "p1", "DELETE", vpath(&w, "%s/a", at), NULL);
    r = test_expect(T, 200, "p1", "PUT", at, "{'metadata':{'k':'v'}}");
    assert_string_equal(r.text, "{\"metadata\":{\"k\":\"v\"}}");
    test_expect(T, 400, "p1", "PUT", at, "{'metadata':{'k':1}}");
    test_expect(T, 404, "p2", "GET", at, NULL);

    r = test_expect(T, 200, "p1", "GET", V3 "/volumes?metadata=%7B%27k%27%3A%20%27v%27%7D", NULL);
    assert_int_equal(json_array_size(test_at(&r, "volumes")), 1);
    r = test_expect(T, 200, "p1", "GET", V3 "/volumes?metadata=%7B%27k%27%3A%20%27w%27%7D", NULL);
    assert_int_equal(json_array_size(test_at(&r, "volumes")), 0);
    test_expect(T, 400, "p1", "GET", V3 "/volumes?metadata=k", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows),
        cmocka_unit_test(it_does_not_grow_while_it_is_copied),
        cmocka_unit_test(flags_are_kept),
        cmocka_unit_test(records_plug_nothing),
        cmocka_unit_test(reservations_end),
        cmocka_unit_test(its_data_becomes_an_image),
        cmocka_unit_test(administrators_say_what_it_is),
        cmocka_unit_test(every_action_in_every_state),
        cmocka_unit_test(snapshots_have_actions_too),
        cmocka_unit_test(metadata_is_one_map),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
