/* SPDX-License-Identifier: EUPL-1.2 */
/* Volumes in servers: attached and detached, booted from, made with a server; against the real
 * volume service, with played hosts. */
#include "compute/test_fakes.h"

static struct compute_world w;
#define T (&w.t)
#define SERVERS "/compute/v2.1/servers"
#define GONE "dddddddd-0000-4000-8000-00000000000d"

static int setup(void **state UNUSED)
{
    world_start(&w, 1, 4096);
    return 0;
}

static int teardown(void **state UNUSED)
{
    T->headers[0] = NULL;
    world_stop(&w);
    return 0;
}

static const char *text(const char *fmt, ...) PRINTF_LIKE(1, 2);
static const char *text(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *s = arena_vprintf(T->cx.arena, fmt, ap);
    va_end(ap);
    return s;
}

static void version(unsigned minor)
{
    T->headers[0] = minor ? text("X-OpenStack-Nova-API-Version: 2.%u", minor) : NULL;
}

static const json_t *spec_of(const char *id)
{
    return world_spec(&w, w.host_id[0], id);
}

/* Members beside the sequences, as an answer to the host's latest word; late: to an older one. */
static void report(const char *id, const char *more, bool late)
{
    world_report(&w, w.host_id[0], id, "{'boot_seq':1,'build_seq':1,'revision':%" PRId64 ",%s}",
                 world_revision(&w, id) - late, more);
}

static const char *all_of(const char *id)
{
    return text(SERVERS "/%s/os-volume_attachments", id);
}

static const char *one_of(const char *id, const char *volume_id)
{
    return text(SERVERS "/%s/os-volume_attachments/%s", id, volume_id);
}

static struct test_reply attach(int status, const char *who, const char *id, const char *volume_id)
{
    return test_expect(T, status, who, "POST", all_of(id), "{'volumeAttachment':{'volumeId':'%s'}}",
                       volume_id);
}

static void expect_volume(const char *volume_id, const char *status)
{
    assert_string_equal(world_volume_status(&w, volume_id), status);
}

/* ---------------------------------------------------------------- attach, detach */

static void in_and_out(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *v = world_volume(&w);
    struct test_reply r = attach(200, "p1", id, v);
    assert_string_equal(test_str(T, &r, "volumeAttachment.device"), "/dev/vdb");
    assert_string_equal(test_str(T, &r, "volumeAttachment.id"), v);
    expect_volume(v, "attaching");
    const json_t *use = json_array_get(json_get(spec_of(id), "volumes"), 0);
    assert_string_equal(json_get_str(use, "volume_id"), v);
    assert_int_equal(json_get_int(use, "boot_index", 0), -1);
    report(id, "'power':'on','volumes':[]", false);
    expect_volume(v, "attaching");
    report(id, text("'power':'on','volumes':[{'volume_id':'%s','plugged':true}]", v), false);
    expect_volume(v, "in-use");
    assert_string_equal(world_show(&w, id, "os-extended-volumes:volumes_attached[0].id"), v);
    r = test_expect(T, 200, "p1", "GET", all_of(id), NULL);
    assert_string_equal(test_str(T, &r, "volumeAttachments[0].volumeId"), v);
    test_expect(T, 200, "p1", "GET", one_of(id, v), NULL);
    test_expect(T, 404, "p1", "GET", one_of(id, GONE), NULL);
    test_expect(T, 404, "p1", "DELETE", one_of(id, GONE), NULL);
    attach(400, "p1", id, v);

    test_expect(T, 202, "p1", "DELETE", one_of(id, v), NULL);
    expect_volume(v, "detaching");
    assert_int_equal(json_array_size(json_get(spec_of(id), "volumes")), 0);
    report(id, "'power':'on','volumes':[]", true); /* from before it was asked */
    expect_volume(v, "detaching");
    report(id, text("'power':'on','volumes':[{'volume_id':'%s','plugged':true}]", v), false);
    expect_volume(v, "detaching");
    for (int i = 0; i < 2; i++) {
        report(id, "'power':'on','volumes':[]", false);
        expect_volume(v, "available");
    }
    r = test_expect(T, 200, "p1", "GET", all_of(id), NULL);
    assert_int_equal(json_array_size(json_get(r.json, "volumeAttachments")), 0);
    assert_int_equal(world_count(&w, "SELECT 1 FROM instance_actions WHERE action IN "
                                     "('attach_volume', 'detach_volume') AND result = 'Success'"),
                     2);
}

/* It will have it at its next start. */
static void a_server_that_is_off_takes_it_too(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *v = world_volume(&w);
    world_act(&w, 202, "p1", id, "{'os-stop':null}");
    report(id, "'power':'off'", false);
    attach(200, "p1", id, v);
    report(id, "'power':'off'", true);
    expect_volume(v, "attaching");
    report(id, text("'power':'off','volumes':[{'volume_id':'%s','plugged':false}]", v), false);
    expect_volume(v, "in-use");
    test_expect(T, 202, "p1", "DELETE", one_of(id, v), NULL);
    report(id, "'power':'off','volumes':[]", false);
    expect_volume(v, "available");
}

static void refusals(void **state UNUSED)
{
    static const struct {
        int status;
        const char *body;
    } bad[] = {{400, "{'volumeAttachment':{}}"},
               {400, "{'volumeAttachment':{'volumeId':'x'}}"},
               {400, "{'volumeAttachment':{'volumeId':'" GONE "','more':1}}"},
               {400, "{'volumeAttachment':{'volumeId':'" GONE "','tag':'new'}}"},
               {400, "{'volumeAttachment':{'volumeId':'" GONE "','device':'sda;'}}"},
               {409, "{'volumeAttachment':{'volumeId':'" GONE "','device':'/dev/vda'}}"},
               {404, "{'volumeAttachment':{'volumeId':'" GONE "'}}"},
               {400, "{'other':{}}"}};
    const char *id = world_running(&w, "p1"), *v = world_volume(&w);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(T, bad[i].status, "p1", "POST", all_of(id), "%s", bad[i].body);
    attach(404, "p2", id, v);
    const char *other = world_running(&w, "p2");
    attach(404, "p2", other, v); /* a stranger's volume */
    world_act(&w, 202, "p1", id, "{'lock':null}");
    attach(409, "p1", id, v);
    world_act(&w, 202, "p1", id, "{'unlock':null}");
    world_act(&w, 202, "p1", id, "{'suspend':null}");
    struct test_reply r = attach(409, "p1", id, v);
    assert_non_null(strstr(r.text, "Cannot 'attach_volume' instance"));
    expect_volume(v, "available");
}

static void members_by_version(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *v = world_volume(&w);
    version(79);
    struct test_reply r = test_expect(T, 200, "p1", "POST", all_of(id),
                                      "{'volumeAttachment':{'volumeId':'%s','tag':'data',"
                                      "'delete_on_termination':true}}",
                                      v);
    assert_string_equal(test_str(T, &r, "volumeAttachment.tag"), "data");
    const json_t *devices = json_get(json_get(spec_of(id), "meta_data"), "devices");
    assert_int_equal(json_array_size(devices), 1); /* the guest reads which one it is */
    assert_string_equal(json_get_str(json_array_get(devices, 0), "serial"), text("%.20s", v));
    assert_string_equal(test_str(T, &r, "volumeAttachment.delete_on_termination"), "true");
    report(id, text("'power':'on','volumes':[{'volume_id':'%s','plugged':true}]", v), false);
    version(85);
    test_expect(T, 202, "p1", "PUT", one_of(id, v),
                "{'volumeAttachment':{'volumeId':'%s','delete_on_termination':false}}", v);
    test_expect(T, 400, "p1", "PUT", one_of(id, v),
                "{'volumeAttachment':{'volumeId':'%s','tag':'other'}}", v);
    test_expect(T, 403, "p1", "PUT", one_of(id, v), "{'volumeAttachment':{'volumeId':'" GONE "'}}");
    test_expect(T, 400, "admin", "PUT", one_of(id, v),
                "{'volumeAttachment':{'volumeId':'" GONE "'}}");
    version(89);
    r = test_expect(T, 200, "p1", "GET", one_of(id, v), NULL);
    assert_string_equal(test_str(T, &r, "volumeAttachment.delete_on_termination"), "false");
    assert_non_null(test_str(T, &r, "volumeAttachment.attachment_id"));
    assert_null(test_at(&r, "volumeAttachment.id"));
    version(0);
    test_expect(T, 403, "p1", "PUT", one_of(id, v), "{'volumeAttachment':{'volumeId':'%s'}}", v);
}

static void deletion_frees_or_takes_along(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *stays = world_volume(&w), *goes = world_volume(&w);
    attach(200, "p1", id, stays);
    version(79);
    test_expect(T, 200, "p1", "POST", all_of(id),
                "{'volumeAttachment':{'volumeId':'%s','delete_on_termination':true}}", goes);
    version(0);
    test_expect(T, 204, "p1", "DELETE", world_at(&w, id, ""), NULL);
    expect_volume(stays, "attaching");
    world_report(&w, w.host_id[0], id, "{'power':'absent'}");
    expect_volume(stays, "available");
    expect_volume(goes, "deleting");
}

/* ---------------------------------------------------------------- boot from a volume */

static struct test_reply create(int status, const char *members)
{
    return test_expect(
        T, status, "p1", "POST", SERVERS,
        "{'server':{'name':'vm','flavorRef':'1','networks':[{'uuid':'" NET_A "'}],%s}}", members);
}

#define V2(device) "'block_device_mapping_v2':[{" device "}]"
#define FROM_IMAGE_OK                                                                              \
    "'source_type':'image','destination_type':'volume','uuid':'" IMAGE_OK "','boot_index':0,"      \
    "'volume_size':1,'delete_on_termination':true"

static void born_on_a_new_volume(void **state UNUSED)
{
    struct test_reply r = create(202, V2(FROM_IMAGE_OK));
    const char *id = test_str(T, &r, "server.id");
    r = test_expect(T, 200, "p1", "GET", world_at(&w, id, ""), NULL);
    assert_string_equal(test_str(T, &r, "server.image"), "");
    const char *v = test_str(T, &r, "server.os-extended-volumes:volumes_attached[0].id");
    expect_volume(v, "creating");
    const json_t *spec = spec_of(id);
    assert_true(json_is_null(json_get(spec, "image")));
    const json_t *use = json_array_get(json_get(spec, "volumes"), 0);
    assert_string_equal(json_get_str(use, "volume_id"), v);
    assert_int_equal(json_get_int(use, "boot_index", -1), 0);
    assert_int_equal(world_count(&w, "SELECT 1 FROM servers WHERE held_disk_gib = 0"), 1);
    world_report_volume(&w, v, "'ready':true,'size_gib':1,'snapshots':[]");
    report(id, text("'power':'on','volumes':[{'volume_id':'%s','plugged':true}]", v), false);
    assert_string_equal(world_status(&w, id), "ACTIVE");
    expect_volume(v, "in-use");
    r = test_expect(T, 403, "p1", "DELETE", one_of(id, v), NULL);
    assert_non_null(strstr(r.text, "Cannot detach a root device volume"));
    r = world_act(&w, 400, "p1", id, "{'rescue':null}");
    assert_non_null(strstr(r.text, "volume-backed"));
    world_act(&w, 400, "p1", id, "{'rebuild':{'imageRef':'" IMAGE_OK "'}}");
    test_expect(T, 204, "p1", "DELETE", world_at(&w, id, ""), NULL);
    world_report(&w, w.host_id[0], id, "{'power':'absent'}");
    expect_volume(v, "deleting");
}

/* Its volumes keep everything: no image is made, and it comes back to where they lie. */
static void on_a_volume_it_is_shelved_without_an_image(void **state UNUSED)
{
    struct test_reply r = create(202, V2(FROM_IMAGE_OK));
    const char *id = test_str(T, &r, "server.id"),
               *v = world_show(&w, id, "os-extended-volumes:volumes_attached[0].id");
    world_report_volume(&w, v, "'ready':true,'size_gib':1,'snapshots':[]");
    report(id, text("'power':'on','volumes':[{'volume_id':'%s','plugged':true}]", v), false);
    world_act(&w, 202, "p1", id, "{'shelve':null}");
    report(id, text("'power':'off','volumes':[{'volume_id':'%s','plugged':false}]", v), false);
    assert_string_equal(world_show(&w, id, "OS-EXT-STS:task_state"), "shelving_offloading");
    assert_null(spec_of(id));
    world_report(&w, w.host_id[0], id, "{'power':'absent'}");
    assert_string_equal(world_status(&w, id), "SHELVED_OFFLOADED");
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_images"), 0);
    expect_volume(v, "in-use");
    test_expect(T, 403, "p1", "DELETE", one_of(id, v), NULL);
    world_act(&w, 202, "p1", id, "{'unshelve':null}");
    const json_t *spec = spec_of(id);
    assert_true(json_is_null(json_get(spec, "image")));
    assert_int_equal(json_array_size(json_get(spec, "volumes")), 1);
    world_report(&w, w.host_id[0], id, "{'power':'on','boot_seq':2,'build_seq':2}");
    assert_string_equal(world_status(&w, id), "ACTIVE");
}

static void born_on_what_is_there(void **state UNUSED)
{
    const char *v = world_volume(&w);
    struct test_reply r =
        create(400, text(V2("'source_type':'volume','uuid':'%s','boot_index':0"), v));
    assert_non_null(strstr(r.text, "is not bootable"));
    r = test_expect(T, 202, "p1", "POST", "/volume/v3/volumes",
                    "{'volume':{'size':1,'imageRef':'" IMAGE_OK "'}}");
    v = test_str(T, &r, "volume.id");
    world_report_volume(&w, v, "'ready':true,'size_gib':1,'snapshots':[]");
    r = test_expect(T, 202, "p1", "POST", "/volume/v3/snapshots", "{'snapshot':{'volume_id':'%s'}}",
                    v);
    const char *snapshot = test_str(T, &r, "snapshot.id");
    world_report_volume(&w, v, text("'ready':true,'size_gib':1,'snapshots':['%s']", snapshot));
    create(202, text("'block_device_mapping':[{'volume_id':'%s','device_name':'vda'}]", v));
    expect_volume(v, "attaching");
    r = create(202, text(V2("'source_type':'snapshot','uuid':'%s','boot_index':'0',"
                            "'volume_size':'2'"),
                         snapshot));
    const char *made =
        world_show(&w, test_str(T, &r, "server.id"), "os-extended-volumes:volumes_attached[0].id");
    assert_string_not_equal(made, v);
    expect_volume(made, "creating");
}

/* As in nova: it boots from the volume, and the image is shown. */
static void an_image_beside_a_volume_to_boot_from(void **state UNUSED)
{
    struct test_reply r = test_expect(T, 202, "p1", "POST", "/volume/v3/volumes",
                                      "{'volume':{'size':1,'imageRef':'" IMAGE_OK "'}}");
    const char *v = test_str(T, &r, "volume.id");
    world_report_volume(&w, v, "'ready':true,'size_gib':1,'snapshots':[]");
    r = create(202, text("'imageRef':'" IMAGE_OK
                         "'," V2("'source_type':'volume','uuid':'%s','boot_index':0"),
                         v));
    const char *id = test_str(T, &r, "server.id");
    const json_t *spec = spec_of(id);
    assert_true(json_is_null(json_get(spec, "image")));
    assert_int_equal(json_array_size(json_get(spec, "volumes")), 1);
    assert_string_equal(world_show(&w, id, "image.id"), IMAGE_OK);
}

static void an_image_of_a_server_on_volumes(void **state UNUSED)
{
    struct test_reply r = create(202, V2(FROM_IMAGE_OK));
    const char *id = test_str(T, &r, "server.id"),
               *v = world_show(&w, id, "os-extended-volumes:volumes_attached[0].id");
    world_report_volume(&w, v, "'ready':true,'size_gib':1,'snapshots':[]");
    report(id, text("'power':'on','volumes':[{'volume_id':'%s','plugged':true}]", v), false);
    version(45);
    r = world_act(&w, 202, "p1", id, "{'createImage':{'name':'copy'}}");
    version(0);
    const char *image = test_str(T, &r, "image_id");
    assert_string_equal(world_show(&w, id, "OS-EXT-STS:task_state"), "null");
    r = test_expect(T, 200, "p1", "GET", "/volume/v3/snapshots", NULL);
    const char *snapshot = test_str(T, &r, "snapshots[0].id");
    world_report_volume(&w, v, text("'ready':true,'size_gib':1,'snapshots':['%s']", snapshot));
    r = create(202, text("'imageRef':'%s'", image));
    id = test_str(T, &r, "server.id");
    assert_true(json_is_null(json_get(spec_of(id), "image")));
    const char *made = world_show(&w, id, "os-extended-volumes:volumes_attached[0].id");
    assert_string_not_equal(made, v);
    assert_int_equal(
        world_count(&w, text("SELECT 1 FROM volumes WHERE id = '%s' AND snapshot_id = '%s'", made,
                             snapshot)),
        1);
}

static void more_disks_beside_the_image(void **state UNUSED)
{
    const char *v = world_volume(&w);
    struct test_reply r =
        create(202, text("'imageRef':'" IMAGE_OK "','block_device_mapping_v2':["
                         "{'source_type':'image','uuid':'" IMAGE_OK "','boot_index':0,"
                         "'destination_type':'local'},"
                         "{'source_type':'blank','destination_type':'volume','volume_size':1},"
                         "{'source_type':'volume','uuid':'%s','boot_index':1}]",
                         v));
    const json_t *spec = spec_of(test_str(T, &r, "server.id"));
    assert_string_equal(json_get_str(json_get(spec, "image"), "id"), IMAGE_OK);
    assert_int_equal(json_array_size(json_get(spec, "volumes")), 2);
    assert_int_equal(json_get_int(json_array_get(json_get(spec, "volumes"), 1), "boot_index", 0),
                     1);
}

static void bad_devices_are_refused(void **state UNUSED)
{
    static const struct {
        const char *members, *words;
    } bad[] = {
        {"'imageRef':''", "imageRef"},
        {V2(""), "source_type"},
        {V2("'source_type':'disk'"), "source_type"},
        {V2("'source_type':'volume'"), "Missing device UUID."},
        {V2("'source_type':'blank','destination_type':'volume','uuid':'" GONE "'"),
         "Invalid device UUID."},
        {V2("'source_type':'volume','uuid':'" GONE "','boot_index':0"), "failed to get volume"},
        {V2("'source_type':'snapshot','uuid':'" GONE "','boot_index':0"), "failed to get snapshot"},
        {V2("'source_type':'image','destination_type':'volume','uuid':'" GONE "','boot_index':0,"
            "'volume_size':1"),
         "failed to get image"},
        {V2("'source_type':'image','destination_type':'volume','uuid':'" IMAGE_OK
            "','boot_index':0"),
         "need to have a non-zero size specified"},
        {V2("'source_type':'image','destination_type':'volume','uuid':'" IMAGE_BIG
            "','boot_index':0,'volume_size':1"),
         "too small for requested image"},
        {V2("'source_type':'image','destination_type':'local','uuid':'" IMAGE_OK
            "','boot_index':0"),
         "Mapping image to local is not supported."},
        {V2("'source_type':'volume','uuid':'" GONE "','boot_index':1"), "Boot sequence"},
        {V2("'source_type':'volume','uuid':'" GONE "'"), "Boot sequence"},
        {"'imageRef':'" IMAGE_OK "'," V2("'source_type':'volume','uuid':'" GONE "','boot_index':0"),
         "failed to get volume"},
        {"'imageRef':'" IMAGE_OK "'," V2("'source_type':'blank','destination_type':'local',"
                                         "'volume_size':1"),
         "larger than the instance type allows"},
        {"'imageRef':'" IMAGE_OK "'," V2("'source_type':'blank','destination_type':'volume'"),
         "non-zero size"},
        {V2(FROM_IMAGE_OK ",'tag':'x'"), "unexpected"},
        {V2(FROM_IMAGE_OK ",'volume_type':'x'"), "unexpected"},
        {V2(FROM_IMAGE_OK ",'disk_bus':'scsi'"), "virtio"},
        {V2(FROM_IMAGE_OK ",'device_type':'cdrom'"), "cdrom"},
        {V2(FROM_IMAGE_OK ",'volume_size':'many'"), "volume_size"},
        {V2(FROM_IMAGE_OK) ",'block_device_mapping':[{'volume_id':'" GONE "'}]",
         "different block_device_mapping syntaxes"},
        {"'block_device_mapping':[{'volume_id':'" GONE "','snapshot_id':'" GONE "'}]",
         "one of volume_id and snapshot_id"},
        {"'block_device_mapping':[{'volume_id':'" GONE "'}],'max_count':2", "multiple instances"},
        {"'block_device_mapping_v2':'x'", "array"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct test_reply r = create(400, bad[i].members);
        if (!strstr(r.text, bad[i].words))
            fail_msg("%s: %s", bad[i].members, r.text);
    }
    assert_int_equal(world_count(&w, "SELECT 1 FROM servers"), 0);
    assert_int_equal(world_count(&w, "SELECT 1 FROM volumes"), 0);
}

static void a_volume_that_fails_fails_its_server(void **state UNUSED)
{
    size_t changed;
    struct test_reply r = create(202, V2(FROM_IMAGE_OK));
    const char *id = test_str(T, &r, "server.id");
    const char *v = world_show(&w, id, "os-extended-volumes:volumes_attached[0].id");
    assert_ok(&T->cx, compute_sweep(&T->cx, T->store, &changed));
    assert_int_equal(changed, 0);
    world_report_volume(&w, v, "'ready':false,'size_gib':0,'snapshots':[],'error':'disk full'");
    expect_volume(v, "error");
    assert_ok(&T->cx, compute_sweep(&T->cx, T->store, &changed));
    assert_int_equal(changed, 1);
    assert_string_equal(world_status(&w, id), "ERROR");
    assert_non_null(strstr(world_show(&w, id, "fault.message"), v));
    /* It heals with its volume. */
    world_report_volume(&w, v, "'ready':true,'size_gib':1,'snapshots':[]");
    report(id, text("'power':'on','volumes':[{'volume_id':'%s','plugged':true}]", v), false);
    assert_string_equal(world_status(&w, id), "ACTIVE");
}

/* ---------------------------------------------------------------- the older API */

static void by_the_older_api(void **state UNUSED)
{
    struct test_reply r =
        test_expect(T, 200, "p1", "POST", "/compute/v2.1/os-volumes",
                    "{'volume':{'size':'1','display_name':'old','metadata':{'a':'b'}}}");
    const char *v = test_str(T, &r, "volume.id"), *path = text("/compute/v2.1/os-volumes/%s", v);
    assert_string_equal(test_str(T, &r, "volume.displayName"), "old");
    assert_string_equal(test_str(T, &r, "volume.size"), "1");
    assert_string_equal(test_str(T, &r, "volume.metadata.a"), "b");
    world_report_volume(&w, v, "'ready':true,'size_gib':1,'snapshots':[]");
    r = test_expect(T, 200, "p1", "GET", path, NULL);
    assert_string_equal(test_str(T, &r, "volume.status"), "available");
    assert_int_equal(json_object_size(test_at(&r, "volume.attachments[0]")), 0);
    test_expect(T, 404, "p2", "GET", path, NULL);
    r = test_expect(T, 200, "p1", "GET", "/compute/v2.1/os-volumes/detail?limit=1", NULL);
    assert_int_equal(json_array_size(json_get(r.json, "volumes")), 1);
    r = test_expect(T, 200, "p2", "GET", "/compute/v2.1/os-volumes", NULL);
    assert_int_equal(json_array_size(json_get(r.json, "volumes")), 0);
    r = test_expect(T, 200, "p1", "POST", "/compute/v2.1/os-snapshots",
                    "{'snapshot':{'volume_id':'%s','display_name':'then'}}", v);
    const char *s = test_str(T, &r, "snapshot.id");
    assert_string_equal(test_str(T, &r, "snapshot.displayName"), "then");
    world_report_volume(&w, v, text("'ready':true,'size_gib':1,'snapshots':['%s']", s));
    r = test_expect(T, 200, "p1", "GET", text("/compute/v2.1/os-snapshots/%s", s), NULL);
    assert_string_equal(test_str(T, &r, "snapshot.volumeId"), v);
    test_expect(T, 202, "p1", "DELETE", text("/compute/v2.1/os-snapshots/%s", s), NULL);
    world_report_volume(&w, v, "'ready':true,'size_gib':1,'snapshots':[]");
    r = test_expect(T, 200, "p1", "GET", "/compute/v2.1/os-snapshots", NULL);
    assert_int_equal(json_array_size(json_get(r.json, "snapshots")), 0);
    test_expect(T, 202, "p1", "DELETE", path, NULL);
    static const char *const bad[] = {"{'volume':{}}", "{'volume':{'size':''}}",
                                      "{'volume':{'size':'0'}}", "{'volume':{'size':'#$%'}}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        test_expect(T, 400, "p1", "POST", "/compute/v2.1/os-volumes", "%s", bad[i]);
    version(36);
    test_expect(T, 404, "p1", "GET", "/compute/v2.1/os-volumes", NULL);
}

int main(void)
{
#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(in_and_out),
        WORLD_TEST(a_server_that_is_off_takes_it_too),
        WORLD_TEST(refusals),
        WORLD_TEST(members_by_version),
        WORLD_TEST(deletion_frees_or_takes_along),
        WORLD_TEST(born_on_a_new_volume),
        WORLD_TEST(on_a_volume_it_is_shelved_without_an_image),
        WORLD_TEST(born_on_what_is_there),
        WORLD_TEST(an_image_beside_a_volume_to_boot_from),
        WORLD_TEST(an_image_of_a_server_on_volumes),
        WORLD_TEST(more_disks_beside_the_image),
        WORLD_TEST(bad_devices_are_refused),
        WORLD_TEST(by_the_older_api),
        WORLD_TEST(a_volume_that_fails_fails_its_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
