/* SPDX-License-Identifier: EUPL-1.2 */
/* Types, qos specs, quotas, hosts; lists; and that replies look like those of a real cloud. */
#include "resource/test_golden.h"
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

static void drop(const char *id)
{
    if (str_eq(vworld_status(&w, id), "creating"))
        vworld_obey(&w, id);
    test_expect(T, 202, "admin", "DELETE", vpath(&w, V3 "/volumes/%s?cascade=true", id), NULL);
    if (vworld_host_of(&w, id))
        vworld_obey(&w, id);
    assert_string_equal(vworld_status(&w, id), "404");
}

static const char *type(const char *name, const char *more)
{
    struct test_reply r = test_expect(T, 200, "admin", "POST", V3 "/types",
                                      "{'volume_type':{'name':'%s'%s}}", name, more);
    return test_str(T, &r, "volume_type.id");
}

static const char *of_type(int status, const char *who, const char *name)
{
    struct test_reply r = test_expect(T, status, who, "POST", V3 "/volumes",
                                      "{'volume':{'size':1,'volume_type':'%s'}}", name);
    return status == 202 ? test_str(T, &r, "volume.id") : r.text;
}

/* ---------------------------------------------------------------- types */

static void types_are_the_administrators(void **state UNUSED)
{
    test_expect(T, 403, "p1", "POST", V3 "/types", "{'volume_type':{'name':'x'}}");
    test_expect(T, 400, "admin", "POST", V3 "/types", "{'volume_type':{'name':''}}");
    const char *id = type("secret", ",'os-volume-type-access:is_public':false");
    const char *at = vpath(&w, V3 "/types/%s", id);
    test_expect(T, 409, "admin", "POST", V3 "/types", "{'volume_type':{'name':'secret'}}");
    test_expect(T, 404, "p1", "GET", at, NULL);
    of_type(404, "p1", "secret");
    test_expect(T, 202, "admin", "POST", vpath(&w, "%s/action", at),
                "{'addProjectAccess':{'project':'p1'}}");
    test_expect(T, 409, "admin", "POST", vpath(&w, "%s/action", at),
                "{'addProjectAccess':{'project':'p1'}}");
    struct test_reply r =
        test_expect(T, 200, "admin", "GET", vpath(&w, "%s/os-volume-type-access", at), NULL);
    assert_string_equal(test_str(T, &r, "volume_type_access[0].project_id"), "p1");
    test_expect(T, 200, "p1", "GET", at, NULL);
    test_expect(T, 404, "p2", "GET", at, NULL);
    const char *volume = of_type(202, "p1", "secret");
    test_expect(T, 400, "admin", "DELETE", at, NULL); /* in use */
    vworld_obey(&w, volume);
    drop(volume);
    test_expect(T, 200, "admin", "POST", vpath(&w, "%s/extra_specs", at),
                "{'extra_specs':{'volume_backend_name':'qcow2','multiattach':'<is> False'}}");
    r = test_expect(T, 200, "p1", "GET", vpath(&w, "%s/extra_specs", at), NULL);
    assert_null(test_at(&r, "extra_specs.volume_backend_name"));
    assert_string_equal(test_str(T, &r, "extra_specs.multiattach"), "<is> False");
    test_expect(T, 200, "admin", "PUT", vpath(&w, "%s/extra_specs/k", at), "{'k':'v'}");
    test_expect(T, 400, "admin", "PUT", vpath(&w, "%s/extra_specs/k", at), "{'k':'v','l':'m'}");
    test_expect(T, 202, "admin", "DELETE", vpath(&w, "%s/extra_specs/k", at), NULL);
    test_expect(T, 404, "admin", "DELETE", vpath(&w, "%s/extra_specs/k", at), NULL);
    volume = of_type(202, "p1", "secret");
    assert_string_equal(vworld_status(&w, volume), "creating");
    vworld_obey(&w, volume);
    drop(volume);
    test_expect(T, 202, "admin", "DELETE", at, NULL);
}

static void a_type_asks_for_what_hosts_have(void **state UNUSED)
{
    static const struct {
        const char *spec, *status;
    } rows[] = {{"'storage_protocol':'file'", "creating"},
                {"'storage_protocol':'iSCSI'", "error"},
                {"'capabilities:vendor_name':'Colvert'", "creating"},
                {"'thin_provisioning_support':'<is> True'", "creating"},
                {"'multiattach':'<is> True'", "error"},
                {"'free_capacity_gb':'>= 50'", "creating"},
                {"'free_capacity_gb':'>= 500'", "error"},
                {"'RESKEY:availability_zones':'mars, nova'", "creating"},
                {"'RESKEY:availability_zones':'mars'", "error"},
                {"'some:thing':'of a driver'", "creating"},
                {"'unheard_of':'x'", "error"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *name = vpath(&w, "t%zu", i);
        const char *id = type(name, vpath(&w, ",'extra_specs':{%s}", rows[i].spec));
        const char *volume = of_type(202, "p1", name);
        if (!str_eq(vworld_status(&w, volume), rows[i].status))
            fail_msg("%s: %s", rows[i].spec, vworld_status(&w, volume));
        drop(volume);
        test_expect(T, 202, "admin", "DELETE", vpath(&w, V3 "/types/%s", id), NULL);
    }
}

static void encryption_is_kept_and_refused(void **state UNUSED)
{
    const char *id = type("luks", ""), *at = vpath(&w, V3 "/types/%s/encryption", id);
    struct test_reply r = test_expect(T, 200, "admin", "GET", at, NULL);
    assert_string_equal(r.text, "{}");
    r = test_expect(T, 200, "admin", "POST", at,
                    "{'encryption':{'provider':'luks','key_size':256}}");
    assert_string_equal(test_str(T, &r, "encryption.control_location"), "front-end");
    test_expect(T, 409, "admin", "POST", at, "{'encryption':{'provider':'luks'}}");
    assert_non_null(strstr(of_type(400, "p1", "luks"), "encrypted"));
    test_expect(T, 200, "admin", "PUT", vpath(&w, "%s/provider", at),
                "{'encryption':{'key_size':128}}");
    r = test_expect(T, 200, "admin", "GET", vpath(&w, "%s/key_size", at), NULL);
    assert_string_equal(r.text, "{\"key_size\":128}");
    test_expect(T, 202, "admin", "DELETE", vpath(&w, "%s/provider", at), NULL);
    const char *volume = of_type(202, "p1", "luks");
    test_expect(T, 400, "admin", "POST", at, "{'encryption':{'provider':'luks'}}"); /* in use */
    drop(volume);
    test_expect(T, 202, "admin", "DELETE", vpath(&w, V3 "/types/%s", id), NULL);
}

static void a_volume_changes_its_type(void **state UNUSED)
{
    const char *fast = type("fast", ""), *odd = type("odd", ",'extra_specs':{'x':'y'}");
    const char *volume = vworld_ready(&w, "p1");
    const char *action = vpath(&w, V3 "/volumes/%s/action", volume);
    test_expect(T, 404, "p1", "POST", action, "{'os-retype':{'new_type':'none'}}");
    test_expect(T, 400, "p1", "POST", action, "{'os-retype':{'new_type':'odd'}}");
    test_expect(T, 400, "p1", "POST", action, "{'os-retype':{'new_type':'" DEFAULT_TYPE "'}}");
    test_expect(T, 200, "admin", "PUT", V3 "/os-quota-sets/p1",
                "{'quota_set':{'gigabytes_fast':0}}");
    test_expect(T, 413, "p1", "POST", action, "{'os-retype':{'new_type':'fast'}}");
    test_expect(T, 200, "admin", "DELETE", V3 "/os-quota-sets/p1", NULL);
    test_expect(T, 202, "p1", "POST", action, "{'os-retype':{'new_type':'%s'}}", fast);
    struct test_reply r =
        test_expect(T, 200, "p1", "GET", vpath(&w, V3 "/volumes/%s", volume), NULL);
    assert_string_equal(test_str(T, &r, "volume.volume_type"), "fast");
    drop(volume);

    version("62");
    test_expect(T, 200, "admin", "PUT", V3 "/default-types/p1",
                "{'default_type':{'volume_type':'fast'}}");
    version(NULL);
    volume = vworld_volume(&w, "p1");
    r = test_expect(T, 200, "p1", "GET", vpath(&w, V3 "/volumes/%s", volume), NULL);
    assert_string_equal(test_str(T, &r, "volume.volume_type"), "fast");
    drop(volume);
    version("62");
    test_expect(T, 204, "admin", "DELETE", V3 "/default-types/p1", NULL);
    version(NULL);
    test_expect(T, 202, "admin", "DELETE", vpath(&w, V3 "/types/%s", fast), NULL);
    test_expect(T, 202, "admin", "DELETE", vpath(&w, V3 "/types/%s", odd), NULL);
}

static void qos_specs_have_types(void **state UNUSED)
{
    const char *t = type("slow", "");
    struct test_reply r = test_expect(T, 200, "admin", "POST", V3 "/qos-specs",
                                      "{'qos_specs':{'name':'q','consumer':'both','iops':'5'}}");
    const char *at = vpath(&w, V3 "/qos-specs/%s", test_str(T, &r, "qos_specs.id"));
    assert_string_equal(test_str(T, &r, "qos_specs.specs.iops"), "5");
    assert_non_null(test_at(&r, "links[0].href"));
    test_expect(T, 409, "admin", "POST", V3 "/qos-specs", "{'qos_specs':{'name':'q'}}");
    test_expect(T, 400, "admin", "POST", V3 "/qos-specs",
                "{'qos_specs':{'name':'r','consumer':'nobody'}}");
    test_expect(T, 403, "p1", "GET", V3 "/qos-specs", NULL);
    test_expect(T, 202, "admin", "GET", vpath(&w, "%s/associate?vol_type_id=%s", at, t), NULL);
    assert_int_equal(vworld_count(&w, "SELECT 1 FROM audit_events WHERE action = "
                                      "'volume_extension:qos_specs_manage:associate'"),
                     1);
    r = test_expect(T, 200, "admin", "GET", vpath(&w, "%s/associations", at), NULL);
    assert_string_equal(test_str(T, &r, "qos_associations[0].name"), "slow");
    test_expect(T, 400, "admin", "DELETE", at, NULL);
    test_expect(T, 202, "admin", "GET", vpath(&w, "%s/disassociate?vol_type_id=%s", at, t), NULL);
    test_expect(T, 200, "admin", "PUT", at, "{'qos_specs':{'bytes':'9'}}");
    test_expect(T, 202, "admin", "PUT", vpath(&w, "%s/delete_keys", at), "{'keys':['iops']}");
    test_expect(T, 404, "admin", "PUT", vpath(&w, "%s/delete_keys", at), "{'keys':['iops']}");
    r = test_expect(T, 200, "admin", "GET", at, NULL);
    assert_string_equal(json_text(&w.t.cx, test_at(&r, "qos_specs.specs")), "{\"bytes\":\"9\"}");
    test_expect(T, 202, "admin", "GET", vpath(&w, "%s/associate?vol_type_id=%s", at, t), NULL);
    test_expect(T, 202, "admin", "DELETE", vpath(&w, "%s?force=True", at), NULL);
    test_expect(T, 404, "admin", "GET", at, NULL);
    test_expect(T, 202, "admin", "DELETE", vpath(&w, V3 "/types/%s", t), NULL);
}

/* ---------------------------------------------------------------- quotas */

static void quotas_hold(void **state UNUSED)
{
    const char *path = V3 "/os-quota-sets/p2";
    test_expect(T, 403, "p1", "GET", path, NULL);
    test_expect(T, 403, "p2", "PUT", path, "{'quota_set':{'volumes':99}}");
    test_expect(T, 400, "admin", "PUT", path, "{'quota_set':{'odd':1}}");
    test_expect(T, 400, "admin", "PUT", path, "{'quota_set':{'volumes':-2}}");
    test_expect(T, 200, "admin", "PUT", path,
                "{'quota_set':{'volumes':2,'gigabytes':5,'snapshots':1,'per_volume_gigabytes':4}}");
    const char *id = vworld_ready(&w, "p2");
    struct test_reply r = test_expect(T, 413, "p2", "POST", V3 "/volumes", "{'volume':{'size':5}}");
    assert_non_null(strstr(r.text, "gigabytes"));
    test_expect(T, 413, "p2", "POST", vpath(&w, V3 "/volumes/%s/action", id),
                "{'os-extend':{'new_size':5}}");
    test_expect(T, 202, "p2", "POST", V3 "/snapshots", "{'snapshot':{'volume_id':'%s'}}", id);
    vworld_obey(&w, id);
    r = test_expect(T, 413, "p2", "POST", V3 "/snapshots", "{'snapshot':{'volume_id':'%s'}}", id);
    assert_non_null(strstr(test_str(T, &r, "overLimit.message"), "exceeded"));
    r = test_expect(T, 200, "p2", "GET", vpath(&w, "%s?usage=true", path), NULL);
    assert_string_equal(test_str(T, &r, "quota_set.gigabytes.in_use"), "2");
    assert_string_equal(test_str(T, &r, "quota_set.volumes.limit"), "2");
    assert_string_equal(test_str(T, &r, "quota_set.volumes___DEFAULT__.in_use"), "1");
    r = test_expect(T, 200, "p2", "GET", V3 "/limits", NULL);
    assert_string_equal(test_str(T, &r, "limits.absolute.totalGigabytesUsed"), "2");
    assert_string_equal(test_str(T, &r, "limits.absolute.maxTotalVolumes"), "2");

    test_expect(T, 200, "admin", "PUT", V3 "/os-quota-class-sets/default",
                "{'quota_class_set':{'volumes':7}}");
    r = test_expect(T, 200, "p2", "GET", vpath(&w, "%s/defaults", path), NULL);
    assert_string_equal(test_str(T, &r, "quota_set.volumes"), "7");
    r = test_expect(T, 200, "admin", "GET", V3 "/os-quota-sets/p3", NULL);
    assert_string_equal(test_str(T, &r, "quota_set.volumes"), "7");
    test_expect(T, 200, "admin", "DELETE", path, NULL);
    r = test_expect(T, 200, "p2", "GET", path, NULL);
    assert_string_equal(test_str(T, &r, "quota_set.volumes"), "7");
    test_expect(T, 404, "admin", "GET", V3 "/os-quota-class-sets/gold", NULL);
    test_expect(T, 200, "admin", "PUT", V3 "/os-quota-class-sets/default",
                "{'quota_class_set':{'volumes':10}}");
    drop(id);
}

/* ---------------------------------------------------------------- hosts */

static void hosts_are_services_and_pools(void **state UNUSED)
{
    test_expect(T, 403, "p1", "GET", V3 "/os-services", NULL);
    struct test_reply r =
        test_expect(T, 200, "admin", "GET", V3 "/os-services?binary=cinder-volume", NULL);
    assert_int_equal(json_array_size(test_at(&r, "services")), 2);
    assert_string_equal(test_str(T, &r, "services[0].host"), "h0@qcow2");
    r = test_expect(T, 200, "admin", "GET", V3 "/scheduler-stats/get_pools?detail=True", NULL);
    assert_string_equal(test_str(T, &r, "pools[1].name"), "h1@qcow2#qcow2");
    assert_string_equal(test_str(T, &r, "pools[1].capabilities.total_capacity_gb"), "100");
    r = test_expect(T, 200, "admin", "GET", V3 "/capabilities/h0@qcow2", NULL);
    assert_string_equal(test_str(T, &r, "vendor_name"), "Colvert");
    test_expect(T, 404, "admin", "GET", V3 "/capabilities/h9", NULL);
    r = test_expect(T, 200, "p1", "GET", V3 "/os-availability-zone", NULL);
    assert_string_equal(test_str(T, &r, "availabilityZoneInfo[0].zoneName"), "nova");

    test_expect(T, 200, "admin", "PUT", V3 "/os-services/disable-log-reason",
                "{'host':'h0@qcow2','binary':'cinder-volume','disabled_reason':'new disks'}");
    test_expect(T, 200, "admin", "PUT", V3 "/os-services/freeze", "{'host':'h1@qcow2'}");
    const char *id = vworld_volume(&w, "p1");
    assert_string_equal(vworld_status(&w, id), "error");
    drop(id);
    test_expect(T, 200, "admin", "PUT", V3 "/os-services/thaw", "{'host':'h1@qcow2'}");
    id = vworld_ready(&w, "p1");
    assert_string_equal(vworld_host_of(&w, id), w.host_id[1]);
    r = test_expect(T, 200, "admin", "GET", V3 "/os-hosts/h1@qcow2", NULL);
    assert_string_equal(test_str(T, &r, "host[0].resource.volume_count"), "1");
    assert_string_equal(test_str(T, &r, "host[1].resource.project"), "p1");
    test_expect(T, 200, "admin", "PUT", V3 "/os-services/enable",
                "{'host':'h0@qcow2','binary':'cinder-volume'}");
    test_expect(T, 404, "admin", "PUT", V3 "/os-services/enable",
                "{'host':'h9','binary':'cinder-volume'}");
    drop(id);
}

/* ---------------------------------------------------------------- lists */

static void lists_page_and_filter(void **state UNUSED)
{
    const char *ids[3];
    for (size_t i = 0; i < 3; i++) {
        struct test_reply r = test_expect(T, 202, "p1", "POST", V3 "/volumes",
                                          "{'volume':{'size':1,'name':'v%zu'}}", i);
        ids[i] = test_str(T, &r, "volume.id");
    }
    struct test_reply r =
        test_expect(T, 200, "p1", "GET", V3 "/p1/volumes?limit=2&sort=name:asc", NULL);
    assert_string_equal(test_str(T, &r, "volumes[1].id"), ids[1]);
    const char *next = test_str(T, &r, "volumes_links[0].href");
    assert_true(str_starts(next, T->url));
    r = test_expect(T, 200, "p1", "GET", next + strlen(T->url), NULL);
    assert_int_equal(json_array_size(test_at(&r, "volumes")), 1);
    r = test_expect(T, 200, "p1", "GET", V3 "/volumes?limit=3&offset=2&sort_key=name", NULL);
    assert_int_equal(json_array_size(test_at(&r, "volumes")), 1);
    r = test_expect(T, 200, "p1", "GET", V3 "/volumes?limit=0", NULL);
    assert_int_equal(json_array_size(test_at(&r, "volumes")), 0);
    test_expect(T, 404, "p1", "GET", V3 "/volumes?marker=nothing", NULL);
    test_expect(T, 400, "p1", "GET", V3 "/volumes?limit=-1", NULL);
    test_expect(T, 400, "p1", "GET", V3 "/volumes?sort_key=key_hash", NULL);
    r = test_expect(T, 200, "p1", "GET", V3 "/volumes?status=available", NULL);
    assert_int_equal(json_array_size(test_at(&r, "volumes")), 0);
    r = test_expect(T, 200, "p1", "GET", V3 "/volumes?display_name=v1&status=creating", NULL);
    assert_string_equal(test_str(T, &r, "volumes[0].id"), ids[1]);
    r = test_expect(T, 200, "admin", "GET", V3 "/volumes", NULL);
    assert_int_equal(json_array_size(test_at(&r, "volumes")), 0);
    r = test_expect(T, 200, "admin", "GET", V3 "/volumes?all_tenants=1&project_id=p1", NULL);
    assert_int_equal(json_array_size(test_at(&r, "volumes")), 3);
    version("60");
    test_expect(T, 400, "p1", "GET", V3 "/volumes?odd=1", NULL);
    r = test_expect(T, 200, "p1", "GET", V3 "/volumes?name~=2", NULL);
    assert_string_equal(test_str(T, &r, "volumes[0].id"), ids[2]);
    r = test_expect(T, 200, "p1", "GET", V3 "/volumes?limit=1&with_count=true", NULL);
    assert_string_equal(test_str(T, &r, "count"), "3");
    r = test_expect(T, 200, "p1", "GET", V3 "/volumes?created_at=gt:2999-01-01T00:00:00", NULL);
    assert_int_equal(json_array_size(test_at(&r, "volumes")), 0);
    test_expect(T, 400, "p1", "GET", V3 "/volumes?created_at=gt:soon", NULL);
    r = test_expect(T, 200, "p1", "GET", V3 "/volumes/summary", NULL);
    assert_string_equal(test_str(T, &r, "volume-summary.total_count"), "3");
    r = test_expect(T, 200, "p1", "GET", V3 "/resource_filters?resource=volume", NULL);
    assert_string_equal(test_str(T, &r, "resource_filters[0].resource"), "volume");
    version(NULL);
    for (size_t i = 0; i < 3; i++)
        drop(ids[i]);
}

/* ---------------------------------------------------------------- golden */

static const char *const any_map[] = {"volume.metadata.Type",
                                      "volume.volume_image_metadata",
                                      "volumes_links",
                                      "volumes.metadata.Type",
                                      "snapshots_links",
                                      "os-volume_upload_image.is_public",
                                      NULL};

#define GOLDEN(call, r) golden_compare(T, "volume", call, r, any_map)

static void replies_look_like_recorded_ones(void **state UNUSED)
{
    struct test_reply r = test_call(T, NULL, "GET", "/volume/", NULL);
    GOLDEN("GET / 300", &r);
    r = test_call(T, "p1", "GET", V3 "/extensions", NULL);
    GOLDEN("GET /v3/extensions 200", &r);
    assert_non_null(strstr(r.text, "\"name\":\"Hosts\""));
    r = test_call(T, "p1", "GET", V3 "/os-availability-zone", NULL);
    GOLDEN("GET /v3/os-availability-zone 200", &r);
    r = test_call(T, "p1", "POST", V3 "/volumes", "{'volume':{'size':1,'metadata':{'Type':'x'}}}");
    GOLDEN("POST /v3/volumes 202", &r);
    const char *id = test_str(T, &r, "volume.id"), *at = vpath(&w, V3 "/volumes/%s", id);
    vworld_obey(&w, id);
    r = test_call(T, "p1", "GET", at, NULL);
    GOLDEN("GET /v3/volumes/{id} 200", &r);
    r = test_call(T, "p1", "PUT", at, "{'volume':{'name':'n'}}");
    GOLDEN("PUT /v3/volumes/{id} 200", &r);
    r = test_call(T, "p1", "GET", V3 "/volumes", NULL);
    GOLDEN("GET /v3/volumes 200", &r);
    r = test_call(T, "p1", "GET", V3 "/volumes/detail", NULL);
    GOLDEN("GET /v3/volumes/detail 200", &r);
    r = test_call(T, "p1", "POST", V3 "/snapshots",
                  "{'snapshot':{'volume_id':'%s','metadata':{'snap-meta1':'a','snap-meta2':'b',"
                  "'snap-meta3':'c'}}}",
                  id);
    GOLDEN("POST /v3/snapshots 202", &r);
    const char *snap = vpath(&w, V3 "/snapshots/%s", test_str(T, &r, "snapshot.id"));
    vworld_obey(&w, id);
    r = test_call(T, "p1", "GET", snap, NULL);
    GOLDEN("GET /v3/snapshots/{id} 200", &r);
    r = test_call(T, "p1", "PUT", snap, "{'snapshot':{'name':'n'}}");
    GOLDEN("PUT /v3/snapshots/{id} 200", &r);
    r = test_call(T, "p1", "POST", vpath(&w, "%s/action", at),
                  "{'os-volume_upload_image':{'image_name':'i'}}");
    GOLDEN("POST /v3/volumes/{id}/action os-volume_upload_image 202", &r);
    vworld_exported(&w, id, NULL);
    r = test_call(T, "p1", "GET", V3 "/volumes/none", NULL);
    GOLDEN("GET /v3/volumes/{id} 404", &r);
    r = test_call(T, "p1", "POST", V3 "/volumes", "{'volume':{'size':'#$%%'}}");
    GOLDEN("POST /v3/volumes 400", &r);
    assert_string_equal(test_str(T, &r, "badRequest.message"),
                        "Invalid input for field/attribute size. Value: #$%. '#$%' does not match "
                        "'^[0-9]+$'");
    drop(id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_are_the_administrators),
        cmocka_unit_test(a_type_asks_for_what_hosts_have),
        cmocka_unit_test(encryption_is_kept_and_refused),
        cmocka_unit_test(a_volume_changes_its_type),
        cmocka_unit_test(qos_specs_have_types),
        cmocka_unit_test(quotas_hold),
        cmocka_unit_test(hosts_are_services_and_pools),
        cmocka_unit_test(lists_page_and_filter),
        cmocka_unit_test(replies_look_like_recorded_ones),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
