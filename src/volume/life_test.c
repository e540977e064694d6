/* SPDX-License-Identifier: EUPL-1.2 */
/* Volumes and snapshots over their whole life, as clients and hosts see it. */
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

static const char *text_of(const char *id, const char *at)
{
    struct test_reply r =
        test_expect(T, 200, "admin", "GET", vpath(&w, V3 "/volumes/%s", id), NULL);
    return test_str(T, &r, vpath(&w, "volume.%s", at));
}

static const char *post(int status, const char *body)
{
    struct test_reply r = test_expect(T, status, "p1", "POST", V3 "/volumes", "%s", body);
    return status == 202 ? test_str(T, &r, "volume.id") : r.text;
}

static const char *snapshot(const char *volume_id)
{
    struct test_reply r = test_expect(T, 202, "p1", "POST", V3 "/snapshots",
                                      "{'snapshot':{'volume_id':'%s','force':true}}", volume_id);
    return test_str(T, &r, "snapshot.id");
}

static const char *snapshot_status(const char *id)
{
    struct test_reply r = test_call(T, "p1", "GET", vpath(&w, V3 "/snapshots/%s", id), NULL);
    return r.status == 404 ? "404" : test_str(T, &r, "snapshot.status");
}

/* ---------------------------------------------------------------- volumes */

static void a_volume_is_made_and_goes(void **state UNUSED)
{
    const char *id = vworld_volume(&w, "p1");
    assert_string_equal(vworld_status(&w, id), "creating");
    const json_t *spec = vworld_spec(&w, id);
    assert_int_equal(json_get_int(spec, "size_gib", 0), 1);
    assert_true(json_is_null(json_get(json_get(spec, "source"), "image")));
    assert_true(json_is_null(json_get(spec, "server_id")));
    vworld_report(&w, id, "{'revision':{R},'ready':false,'size_gib':0,'snapshots':[]}");
    assert_string_equal(vworld_status(&w, id), "creating");
    vworld_obey(&w, id);
    assert_string_equal(vworld_status(&w, id), "available");
    vworld_obey(&w, id); /* again: nothing */

    test_expect(T, 202, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", id), NULL);
    assert_string_equal(vworld_status(&w, id), "deleting");
    assert_null(vworld_spec(&w, id));
    /* A report of before the deletion: it is still there. */
    vworld_report(&w, id, "{'revision':1,'ready':true,'size_gib':1,'snapshots':[]}");
    assert_string_equal(vworld_status(&w, id), "deleting");
    test_expect(T, 202, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", id), NULL);
    vworld_obey(&w, id);
    assert_string_equal(vworld_status(&w, id), "404");
    vworld_report(&w, id, "{'revision':9,'absent':true}"); /* late and repeated: nothing */
}

static void sources_are_named_and_guarded(void **state UNUSED)
{
    const char *id = post(202, "{'volume':{'size':2,'imageRef':'" IMAGE_OK "'}}");
    const json_t *source = json_get(vworld_spec(&w, id), "source");
    assert_string_equal(json_get_str(json_get(source, "image"), "sha512"), "ab");
    assert_true(vworld_image_used(&w, IMAGE_OK));
    vworld_obey(&w, id);
    assert_false(vworld_image_used(&w, IMAGE_OK));
    assert_string_equal(text_of(id, "bootable"), "true");
    assert_string_equal(text_of(id, "volume_image_metadata.os_distro"), "test");
    assert_string_equal(text_of(id, "volume_image_metadata.image_id"), IMAGE_OK);

    const char *snap = snapshot(id);
    vworld_obey(&w, id);
    const char *copy = post(202, vpath(&w, "{'volume':{'snapshot_id':'%s','size':3}}", snap));
    const char *clone = post(202, vpath(&w, "{'volume':{'source_volid':'%s'}}", id));
    source = json_get(vworld_spec(&w, copy), "source");
    assert_string_equal(json_get_str(source, "snapshot_id"), snap);
    assert_string_equal(json_get_str(source, "volume_id"), id);
    source = json_get(vworld_spec(&w, clone), "source");
    assert_string_equal(json_get_str(source, "volume_id"), id);
    assert_true(json_is_null(json_get(source, "snapshot_id")));
    assert_string_equal(vworld_host_of(&w, copy), vworld_host_of(&w, id));
    assert_string_equal(vworld_host_of(&w, clone), vworld_host_of(&w, id));

    test_expect(T, 400, "p1", "DELETE", vpath(&w, V3 "/snapshots/%s", snap), NULL);
    test_expect(T, 400, "p1", "DELETE", vpath(&w, V3 "/volumes/%s?cascade=true", id), NULL);
    vworld_obey(&w, copy);
    vworld_obey(&w, clone);
    assert_string_equal(text_of(copy, "size"), "3");
    assert_string_equal(text_of(clone, "size"), "2");
    assert_string_equal(text_of(clone, "bootable"), "true");
    test_expect(T, 400, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", id), NULL);
    test_expect(T, 202, "p1", "DELETE", vpath(&w, V3 "/volumes/%s?cascade=true", id), NULL);
    assert_string_equal(snapshot_status(snap), "deleting");
    vworld_obey(&w, id);
    assert_string_equal(snapshot_status(snap), "404");
}

static void bad_requests_are_refused(void **state UNUSED)
{
    static const struct {
        int status;
        const char *body, *words;
    } rows[] = {
        {400, "{'volume':{'size':0}}", "0 is less than the minimum of 1"},
        {400, "{'volume':{'size':-1}}", "minimum"},
        {400, "{'volume':{'size':''}}", "'' does not match '^[0-9]+$'"},
        {400, "{'volume':{'size':'#$%'}}",
         "Invalid input for field/attribute size. Value: #$%. '#$%' does not match '^[0-9]+$'"},
        {400, "{'volume':{}}", "size must be given"},
        {400, "{'volume':{'size':1,'multiattach':true}}", "multiattach"},
        {400, "{'volume':{'size':1,'availability_zone':'mars'}}",
         "Availability zone 'mars' is invalid."},
        {404, "{'volume':{'size':1,'volume_type':'5ec922ea-7494-48b6-9fe8-dc613487476e'}}",
         "Volume type 5ec922ea-7494-48b6-9fe8-dc613487476e could not be found."},
        {404, "{'volume':{'size':1,'volume_type':'gold'}}",
         "Volume type with name gold could not be found."},
        {404, "{'volume':{'size':1,'snapshot_id':'a9330c6c-df9d-4056-a169-87c09d17cbc4'}}",
         "Snapshot a9330c6c-df9d-4056-a169-87c09d17cbc4 could not be found."},
        {404, "{'volume':{'size':1,'source_volid':'80064bf6-aac4-42c6-8f99-e54841627c82'}}",
         "Volume 80064bf6-aac4-42c6-8f99-e54841627c82 could not be found."},
        {400, "{'volume':{'size':1,'imageRef':'" IMAGE_P2 "'}}", "Invalid image identifier"},
        {400, "{'volume':{'size':1,'imageRef':'" IMAGE_QUEUED "'}}", "is not active"},
        {400, "{'volume':{'size':1,'imageRef':'" IMAGE_BIG "'}}",
         "Size of specified image 3GB is larger than volume size 1GB."},
        {400, "{'volume':{'size':1,'imageRef':'" IMAGE_OK "','source_volid':'x'}}", "only one of"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *text = post(rows[i].status, rows[i].body);
        if (!strstr(text, rows[i].words))
            fail_msg("%s: %s", rows[i].body, text);
    }
    assert_int_equal(vworld_count(&w, "SELECT 1 FROM volumes WHERE state = 'creating'"), 0);
}

static void no_room_is_told(void **state UNUSED)
{
    const char *id = post(202, "{'volume':{'size':101}}");
    assert_string_equal(vworld_status(&w, id), "error");
    T->headers[0] = "OpenStack-API-Version: volume 3.5";
    struct test_reply r =
        test_expect(T, 200, "p1", "GET", vpath(&w, V3 "/messages?resource_uuid=%s", id), NULL);
    assert_non_null(strstr(r.text, "GiB left of 100, and 101 are wanted"));
    r = test_expect(T, 200, "p2", "GET", V3 "/messages", NULL);
    assert_null(strstr(r.text, id));
    T->headers[0] = NULL;
    test_expect(T, 202, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", id), NULL);
    assert_string_equal(vworld_status(&w, id), "404");
}

/* The host with the most room, counting what was promised and not what is there. */
static void volumes_spread(void **state UNUSED)
{
    const char *a = post(202, "{'volume':{'size':60}}"), *b = post(202, "{'volume':{'size':60}}");
    assert_string_not_equal(vworld_host_of(&w, a), vworld_host_of(&w, b));
    const char *c = post(202, "{'volume':{'size':60}}");
    assert_string_equal(vworld_status(&w, c), "error");
    test_expect(T, 202, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", c), NULL);
    vworld_obey(&w, a);
    vworld_obey(&w, b);
    test_expect(T, 202, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", a), NULL);
    test_expect(T, 202, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", b), NULL);
    vworld_obey(&w, a);
    vworld_obey(&w, b);
}

static const char *hinted(const char *hint, const char *volume_id)
{
    const char *id = post(202, vpath(&w,
                                     "{'volume':{'size':5},'OS-SCH-HNT:scheduler_hints':"
                                     "{'%s':['%s']}}",
                                     hint, volume_id));
    vworld_obey(&w, id);
    return vworld_host_of(&w, id);
}

static void hints_choose_the_host(void **state UNUSED)
{
    const char *a = vworld_ready(&w, "p1"), *host = vworld_host_of(&w, a);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(hinted("same_host", a), host);
    for (size_t i = 0; i < 5; i++)
        assert_string_not_equal(hinted("different_host", a), host);
    post(400, "{'volume':{'size':1},'OS-SCH-HNT:scheduler_hints':{'same_host':'none'}}");
    post(400, "{'volume':{'size':1},'OS-SCH-HNT:scheduler_hints':'x'}");
}

static void failures_heal_and_end(void **state UNUSED)
{
    const char *id = vworld_volume(&w, "p1");
    vworld_report(&w, id, "{'revision':0,'ready':false,'error':'of an older wish'}");
    assert_string_equal(vworld_status(&w, id), "creating");
    vworld_report(&w, id, "{'revision':{R},'ready':false,'error':'disk broken'}");
    assert_string_equal(vworld_status(&w, id), "error");
    assert_int_equal(vworld_count(&w, "SELECT 1 FROM volume_messages WHERE text LIKE "
                                      "'%disk broken%'"),
                     1);
    vworld_obey(&w, id); /* it worked after all */
    assert_string_equal(vworld_status(&w, id), "available");

    const char *slow = vworld_volume(&w, "p1");
    assert_int_equal(vworld_expire(&w), 1);
    assert_string_equal(vworld_status(&w, slow), "error");
    test_expect(T, 202, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", slow), NULL);
    vworld_report(&w, slow, "{'revision':{R},'error':'busy'}");
    assert_string_equal(vworld_status(&w, slow), "error_deleting");
    assert_int_equal(vworld_expire(&w), 1); /* told again */
    vworld_obey(&w, slow);
    assert_string_equal(vworld_status(&w, slow), "404");
}

/* ---------------------------------------------------------------- snapshots */

static void a_snapshot_is_made_and_goes(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1"), *snap = snapshot(id);
    assert_string_equal(snapshot_status(snap), "creating");
    assert_string_equal(
        json_string_value(json_array_get(json_get(vworld_spec(&w, id), "snapshots"), 0)), snap);
    vworld_obey(&w, id);
    assert_string_equal(snapshot_status(snap), "available");
    test_expect(T, 202, "p1", "DELETE", vpath(&w, V3 "/snapshots/%s", snap), NULL);
    assert_string_equal(snapshot_status(snap), "deleting");
    assert_int_equal(json_array_size(json_get(vworld_spec(&w, id), "snapshots")), 0);
    /* What an older report does not name may be under way. */
    vworld_report(&w, id, "{'revision':1,'ready':true,'size_gib':1,'snapshots':[]}");
    assert_string_equal(snapshot_status(snap), "deleting");
    vworld_obey(&w, id);
    assert_string_equal(snapshot_status(snap), "404");

    snap = snapshot(id);
    assert_int_equal(vworld_expire(&w), 1);
    assert_string_equal(snapshot_status(snap), "error");
    vworld_obey(&w, id);
    assert_string_equal(snapshot_status(snap), "available");
    test_expect(T, 400, "p1", "POST", V3 "/snapshots", "{'snapshot':{'volume_id':'%s'}}",
                vworld_volume(&w, "p1"));
    test_expect(T, 404, "p1", "POST", V3 "/snapshots", "{'snapshot':{'volume_id':null}}");
}

/* ---------------------------------------------------------------- strangers */

static void strangers_see_nothing(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1"), *snap = snapshot(id);
    const char *const paths[] = {vpath(&w, V3 "/volumes/%s", id),
                                 vpath(&w, V3 "/snapshots/%s", snap)};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct test_reply r = test_expect(T, 404, "p2", "GET", paths[i], NULL);
        assert_non_null(test_str(T, &r, "itemNotFound.message"));
        test_expect(T, 404, "p2", "DELETE", paths[i], NULL);
        test_expect(T, 404, "p2", "PUT", paths[i], "{'%s':{'name':'x'}}",
                    i ? "snapshot" : "volume");
        test_expect(T, 403, "p1:reader", "DELETE", paths[i], NULL);
    }
    test_expect(T, 404, "p2", "POST", V3 "/snapshots", "{'snapshot':{'volume_id':'%s'}}", id);
    test_expect(T, 404, "p2", "POST", V3 "/volumes", "{'volume':{'source_volid':'%s'}}", id);
    struct test_reply r =
        test_expect(T, 200, "p2", "GET", V3 "/volumes/detail?all_tenants=1", NULL);
    assert_int_equal(json_array_size(test_at(&r, "volumes")), 0);
    vworld_obey(&w, id);
}

/* By a time that is not shown, and not for others to sort by. */
static void types_are_listed(void **state UNUSED)
{
    struct test_reply r = test_expect(T, 200, "p1", "GET", V3 "/types", NULL);
    assert_true(json_array_size(test_at(&r, "volume_types")) > 0);
    test_expect(T, 200, "p1", "GET",
                vpath(&w, V3 "/types?marker=%s", test_str(T, &r, "volume_types[0].id")), NULL);
    test_expect(T, 400, "p1", "GET", V3 "/types?sort_key=created_at", NULL);
}

static void the_project_may_stand_in_the_path(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    struct test_reply r =
        test_expect(T, 200, "p1", "GET", vpath(&w, V3 "/p1/volumes/%s", id), NULL);
    assert_true(str_ends(test_str(T, &r, "volume.links[0].href"),
                         vpath(&w, "/volume/v3/p1/volumes/%s", id)));
    r = test_expect(T, 400, "p1", "GET", vpath(&w, V3 "/p2/volumes/%s", id), NULL);
    assert_string_equal(test_str(T, &r, "badRequest.message"), "Malformed request url");
    test_expect(T, 404, "p1", "GET", V3 "/p1/volumes/", NULL);
    test_expect(T, 404, "p1", "DELETE", V3 "/p1/volumes/", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(volumes_spread),
        cmocka_unit_test(a_volume_is_made_and_goes),
        cmocka_unit_test(sources_are_named_and_guarded),
        cmocka_unit_test(no_room_is_told),
        cmocka_unit_test(hints_choose_the_host),
        cmocka_unit_test(failures_heal_and_end),
        cmocka_unit_test(a_snapshot_is_made_and_goes),
        cmocka_unit_test(strangers_see_nothing),
        cmocka_unit_test(types_are_listed),
        cmocka_unit_test(the_project_may_stand_in_the_path),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
