/* SPDX-License-Identifier: EUPL-1.2 */
/* What users do to a running server beside power, as clients and hosts see it: forward, refused in
 * the wrong state, failing on the host, told twice. */
#include "compute/test_fakes.h"

static struct compute_world w;
#define T (&w.t)
#define TASK "OS-EXT-STS:task_state"
#define POWER "OS-EXT-STS:power_state"

static int setup(void **state UNUSED)
{
    world_start(&w, 2, 4096);
    return 0;
}

static int teardown(void **state UNUSED)
{
    world_stop(&w);
    return 0;
}

static const json_t *spec_of(const char *id)
{
    return world_spec(&w, world_host_of(&w, id), id);
}

static void report(const char *id, const char *body)
{
    world_report(&w, world_host_of(&w, id), id, "%s", body);
}

static void expect(const char *id, const char *status, const char *task)
{
    assert_string_equal(world_status(&w, id), status);
    assert_string_equal(world_show(&w, id, TASK), task);
}

/* Refused in words that name the action, and nothing is recorded. */
static void refused(const char *id, const char *action, const char *body)
{
    size_t n = world_count(&w, "SELECT 1 FROM instance_actions");
    struct test_reply r = world_act(&w, 409, "p1", id, body);
    assert_non_null(strstr(
        r.text, arena_printf(T->cx.arena, "Cannot '%s' instance %s while it is in ", action, id)));
    assert_int_equal(world_count(&w, "SELECT 1 FROM instance_actions"), n);
}

static void expire(const char *id)
{
    AUTO_TXN struct tx *tx = NULL;
    size_t changed;
    static const struct stmt late = {"late", "UPDATE servers SET state_deadline = $1, generation = "
                                             "generation + 1 WHERE id = $2"};
    assert_ok(&T->cx, tx_write(&T->cx, T->store, &tx));
    assert_ok(&T->cx, db_run(&T->cx, tx, &late, V_INT(now_us(&T->cx) - 1000), V_TEXT(id)));
    assert_ok(&T->cx, tx_commit(&T->cx, &tx));
    assert_ok(&T->cx, compute_sweep(&T->cx, T->store, &changed));
    assert_int_equal(changed, 1);
}

/* ---------------------------------------------------------------- pause, suspend */

static void pause_and_unpause(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 404, "p2", id, "{'pause':null}");
    refused(id, "unpause", "{'unpause':null}");
    world_act(&w, 202, "p1", id, "{'pause':null}");
    expect(id, "ACTIVE", "pausing");
    refused(id, "pause", "{'pause':null}");
    assert_true(json_get_bool(spec_of(id), "paused", false));
    report(id, "{'power':'on','boot_seq':1,'build_seq':1}");
    expect(id, "ACTIVE", "pausing");
    for (int i = 0; i < 2; i++) {
        report(id, "{'power':'on','boot_seq':1,'build_seq':1,'paused':true}");
        expect(id, "PAUSED", "null");
    }
    assert_string_equal(world_show(&w, id, POWER), "3");
    refused(id, "suspend", "{'suspend':null}");
    refused(id, "stop", "{'os-stop':null}");
    world_act(&w, 202, "p1", id, "{'unpause':null}");
    expect(id, "PAUSED", "unpausing");
    report(id, "{'power':'on','boot_seq':1,'build_seq':1}");
    expect(id, "ACTIVE", "null");
    assert_string_equal(world_show(&w, id, POWER), "1");
}

static void a_paused_guest_may_die_or_be_rebooted(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'pause':null}");
    report(id, "{'power':'on','boot_seq':1,'build_seq':1,'paused':true}");
    report(id, "{'power':'crashed','boot_seq':1,'build_seq':1}");
    expect(id, "SHUTOFF", "null");
    assert_false(json_get_bool(spec_of(id), "paused", true));
    world_act(&w, 202, "p1", id, "{'os-start':null}");
    report(id, "{'power':'on','boot_seq':2,'build_seq':1}");
    world_act(&w, 202, "p1", id, "{'pause':null}");
    report(id, "{'power':'on','boot_seq':2,'build_seq':1,'paused':true}");
    world_act(&w, 202, "p1", id, "{'reboot':{'type':'HARD'}}");
    assert_false(json_get_bool(spec_of(id), "paused", true));
    report(id, "{'power':'on','boot_seq':3,'build_seq':1}");
    expect(id, "ACTIVE", "null");
}

static void suspend_and_resume(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    refused(id, "resume", "{'resume':null}");
    world_act(&w, 202, "p1", id, "{'suspend':null}");
    expect(id, "ACTIVE", "suspending");
    assert_string_equal(json_get_str(spec_of(id), "power"), "off");
    assert_true(json_get_bool(spec_of(id), "suspended", false));
    report(id, "{'power':'on','boot_seq':1,'build_seq':1}");
    expect(id, "ACTIVE", "suspending");
    report(id, "{'power':'off','boot_seq':1,'build_seq':1,'suspended':true}");
    expect(id, "SUSPENDED", "null");
    assert_string_equal(world_show(&w, id, POWER), "4");
    refused(id, "start", "{'os-start':null}");
    refused(id, "rebuild", "{'rebuild':{'imageRef':'" IMAGE_OK "'}}");
    world_act(&w, 202, "p1", id, "{'resume':null}");
    expect(id, "SUSPENDED", "resuming");
    assert_int_equal(json_get_int(spec_of(id), "boot_seq", 0), 1); /* the same boot goes on */
    report(id, "{'power':'off','boot_seq':1,'build_seq':1,'suspended':true}");
    expect(id, "SUSPENDED", "resuming");
    report(id, "{'power':'on','boot_seq':1,'build_seq':1}");
    expect(id, "ACTIVE", "null");
}

static void a_suspended_server_without_memory_is_off(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'suspend':null}");
    report(id, "{'power':'off','boot_seq':1,'build_seq':1}");
    expect(id, "SHUTOFF", "null");
    assert_false(json_get_bool(spec_of(id), "suspended", true));
    world_act(&w, 202, "p1", id, "{'os-start':null}");
    assert_int_equal(json_get_int(spec_of(id), "boot_seq", 0), 2);
}

static void what_a_host_can_not_do_is_an_error_that_heals(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'suspend':null}");
    report(id, "{'power':'on','boot_seq':1,'build_seq':1,'error':'no space for its memory'}");
    expect(id, "ERROR", "null");
    assert_string_equal(world_show(&w, id, "fault.message"),
                        "The server failed while suspending: no space for its memory");
    report(id, "{'power':'off','boot_seq':1,'build_seq':1,'suspended':true}");
    expect(id, "SUSPENDED", "null");
    world_act(&w, 202, "p1", id, "{'resume':null}");
    expire(id);
    expect(id, "ERROR", "null");
    world_act(&w, 202, "p1", id, "{'reboot':{'type':'HARD'}}");
    report(id, "{'power':'on','boot_seq':2,'build_seq':1}");
    expect(id, "ACTIVE", "null");
}

/* ---------------------------------------------------------------- rescue */

static void rescue_and_back(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    refused(id, "unrescue", "{'unrescue':null}");
    world_act(&w, 400, "p1", id, "{'rescue':{'rescue_image_ref':'" IMAGE_QUEUED "'}}");
    world_act(&w, 400, "p1", id, "{'rescue':{'rescue_image_ref':'nonsense'}}");
    world_act(&w, 400, "p1", id, "{'rescue':{'other':'x'}}");
    world_act(&w, 400, "p1", id, "{'rescue':{'adminPass':5}}");
    struct test_reply r = world_act(&w, 200, "p1", id, "{'rescue':{'adminPass':'pw'}}");
    assert_string_equal(test_str(T, &r, "adminPass"), "pw");
    expect(id, "ACTIVE", "rescuing");
    const json_t *rescue = json_get(spec_of(id), "rescue");
    assert_int_equal(json_get_int(rescue, "seq", 0), 1);
    assert_string_equal(json_get_str(json_get(rescue, "image"), "id"), IMAGE_OK);
    assert_int_equal(json_get_int(spec_of(id), "boot_seq", 0), 2);
    report(id, "{'power':'on','boot_seq':1,'build_seq':1}");
    expect(id, "ACTIVE", "rescuing");
    report(id, "{'power':'on','boot_seq':2,'build_seq':1,'rescue_seq':1}");
    expect(id, "RESCUE", "null");
    refused(id, "reboot", "{'reboot':{'type':'HARD'}}");
    refused(id, "rescue", "{'rescue':null}");
    refused(id, "rebuild", "{'rebuild':{'imageRef':'" IMAGE_OK "'}}");
    world_act(&w, 202, "p1", id, "{'unrescue':null}");
    expect(id, "RESCUE", "unrescuing");
    assert_true(json_is_null(json_get(spec_of(id), "rescue")));
    report(id, "{'power':'on','boot_seq':2,'build_seq':1,'rescue_seq':1}");
    expect(id, "RESCUE", "unrescuing");
    report(id, "{'power':'on','boot_seq':3,'build_seq':1}");
    expect(id, "ACTIVE", "null");
    r = world_act(&w, 200, "p1", id, "{'rescue':null}");
    assert_int_equal(strlen(test_str(T, &r, "adminPass")), 16);
    assert_int_equal(json_get_int(json_get(spec_of(id), "rescue"), "seq", 0), 2);
}

static void a_rescue_that_fails_can_be_ended_by_a_rebuild(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 200, "p1", id, "{'rescue':null}");
    expire(id);
    expect(id, "ERROR", "null");
    world_act(&w, 202, "p1", id, "{'rebuild':{'imageRef':'" IMAGE_OK "'}}");
    assert_true(json_is_null(json_get(spec_of(id), "rescue")));
    report(id, "{'power':'on','boot_seq':3,'build_seq':2}");
    expect(id, "ACTIVE", "null");
}

/* ---------------------------------------------------------------- resize */

static const char *sum(const char *column)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_rows rows;
    struct stmt st = {
        "sum", arena_printf(T->cx.arena, "SELECT CAST(SUM(%s) AS BIGINT) FROM servers", column)};
    assert_ok(&T->cx, tx_read(&T->cx, T->store, &tx));
    assert_ok(&T->cx, db_query(&T->cx, tx, &st, NULL, 0, &rows));
    return arena_printf(T->cx.arena, "%" PRId64, db_int(&rows, 0, 0));
}

static void expect_held(const char *memory_mib)
{
    struct test_reply r = test_expect(T, 200, "p1", "GET", "/compute/v2.1/limits", NULL);
    assert_string_equal(test_str(T, &r, "limits.absolute.totalRAMUsed"), memory_mib);
    assert_string_equal(sum("held_memory_mib"), memory_mib);
}

static const char *migration(void)
{
    struct test_reply r = test_expect(T, 200, "admin", "GET", "/compute/v2.1/os-migrations", NULL);
    return test_str(T, &r, "migrations[0].status");
}

static void resize_and_confirm(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    refused(id, "confirmResize", "{'confirmResize':null}");
    refused(id, "revertResize", "{'revertResize':null}");
    world_act(&w, 202, "p1", id, "{'resize':{'flavorRef':'2','OS-DCF:diskConfig':'AUTO'}}");
    expect(id, "RESIZE", "resize_finish");
    assert_string_equal(migration(), "migrating");
    const json_t *spec = spec_of(id);
    assert_int_equal(json_get_int(spec, "memory_mib", 0), 512);
    assert_int_equal(json_get_int(spec, "root_gib", 0), 5);
    assert_int_equal(json_get_int(spec, "checkpoint", 0), 1);
    assert_int_equal(json_get_int(spec, "boot_seq", 0), 2);
    expect_held("512");
    report(id, "{'power':'on','boot_seq':1,'build_seq':1}");
    expect(id, "RESIZE", "resize_finish");
    report(id, "{'power':'on','boot_seq':2,'build_seq':1,'checkpoint':1}");
    expect(id, "VERIFY_RESIZE", "null");
    assert_string_equal(world_show(&w, id, "flavor.id"), "2");
    assert_string_equal(migration(), "finished");
    refused(id, "stop", "{'os-stop':null}");
    refused(id, "resize", "{'resize':{'flavorRef':'1'}}");
    world_act(&w, 204, "p1", id, "{'confirmResize':null}");
    expect(id, "ACTIVE", "null");
    assert_string_equal(migration(), "confirmed");
    assert_int_equal(json_get_int(spec_of(id), "checkpoint", 9), 0);
    assert_int_equal(json_get_int(spec_of(id), "boot_seq", 0), 2);
    report(id, "{'power':'on','boot_seq':2,'build_seq':1}");
    expect(id, "ACTIVE", "null");
}

static void resize_and_revert(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'resize':{'flavorRef':'2'}}");
    report(id, "{'power':'on','boot_seq':2,'build_seq':1,'checkpoint':1}");
    world_act(&w, 202, "p1", id, "{'revertResize':null}");
    expect(id, "REVERT_RESIZE", "resize_reverting");
    const json_t *spec = spec_of(id);
    assert_int_equal(json_get_int(spec, "memory_mib", 0), 128);
    assert_int_equal(json_get_int(spec, "restore_seq", 0), 1);
    assert_int_equal(json_get_int(spec, "checkpoint", 0), 1); /* until it was taken */
    expect_held("512");
    report(id, "{'power':'off','boot_seq':2,'build_seq':1,'checkpoint':1,'restore_seq':1}");
    expect(id, "REVERT_RESIZE", "resize_reverting");
    for (int i = 0; i < 2; i++) {
        report(id, "{'power':'on','boot_seq':3,'build_seq':1,'checkpoint':1,'restore_seq':1}");
        expect(id, "ACTIVE", "null");
        assert_int_equal(json_get_int(spec_of(id), "checkpoint", 9), 0);
    }
    expect_held("128");
    assert_string_equal(migration(), "reverted");
    assert_string_equal(world_show(&w, id, "flavor.id"), "1");
    /* The next one has another number. */
    world_act(&w, 202, "p1", id, "{'resize':{'flavorRef':2}}");
    assert_int_equal(json_get_int(spec_of(id), "checkpoint", 0), 2);
}

static void what_was_off_stays_off(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'os-stop':null}");
    report(id, "{'power':'off','boot_seq':1,'build_seq':1}");
    world_act(&w, 202, "p1", id, "{'resize':{'flavorRef':'2'}}");
    assert_string_equal(json_get_str(spec_of(id), "power"), "off");
    report(id, "{'power':'off','boot_seq':1,'build_seq':1,'checkpoint':1}");
    expect(id, "VERIFY_RESIZE", "null");
    world_act(&w, 204, "p1", id, "{'confirmResize':null}");
    expect(id, "SHUTOFF", "null");
}

static void a_resize_that_fails_can_be_reverted(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'resize':{'flavorRef':'2'}}");
    report(id, "{'power':'off','boot_seq':1,'build_seq':1,'checkpoint':1,'error':'no memory'}");
    expect(id, "ERROR", "null");
    assert_string_equal(migration(), "error");
    world_act(&w, 202, "p1", id, "{'revertResize':null}");
    expire(id);
    expect(id, "ERROR", "null");
    report(id, "{'power':'on','boot_seq':3,'build_seq':1,'checkpoint':1,'restore_seq':1}");
    expect(id, "ACTIVE", "null");
    assert_int_equal(json_get_int(spec_of(id), "checkpoint", 9), 0);
    expect_held("128");
    world_act(&w, 202, "admin", id, "{'os-resetState':{'state':'error'}}");
    struct test_reply r = world_act(&w, 400, "p1", id, "{'revertResize':null}");
    assert_non_null(strstr(r.text, "has not been resized"));
}

static void bad_resizes_are_refused(void **state UNUSED)
{
    static const struct {
        int status;
        const char *body, *words;
    } bad[] = {
        {400, "{'resize':null}", "resize"},
        {400, "{'resize':{}}", "flavorRef"},
        {400, "{'resize':{'flavorRef':''}}", "flavorRef"},
        {400, "{'resize':{'flavorRef':'2','more':1}}", "unexpected"},
        {400, "{'resize':{'flavorRef':'2','OS-DCF:diskConfig':'x'}}", "AUTO"},
        {400, "{'resize':{'flavorRef':'none'}}", "could not be found"},
        {400, "{'resize':{'flavorRef':'2'}}", "must change flavor"},
        {400, "{'resize':{'flavorRef':'1'}}", "Unable to resize disk down"},
        {400, "{'resize':{'flavorRef':'5'}}", "No valid host was found"},
    };
    struct test_reply r = test_expect(
        T, 202, "p1", "POST", "/compute/v2.1/servers",
        "{'server':{'name':'vm','imageRef':'%s','flavorRef':'2','networks':[{'uuid':'%s'}]}}",
        IMAGE_OK, NET_A);
    const char *id = test_str(T, &r, "server.id");
    report(id, "{'power':'on','boot_seq':1,'build_seq':1}");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        r = world_act(&w, bad[i].status, "p1", id, bad[i].body);
        if (!strstr(r.text, bad[i].words))
            fail_msg("%s: %s", bad[i].body, r.text);
    }
    test_expect(T, 200, "admin", "PUT", "/compute/v2.1/os-quota-sets/p1",
                "{'quota_set':{'ram':1000}}");
    r = world_act(&w, 403, "p1", id, "{'resize':{'flavorRef':'3'}}");
    assert_non_null(strstr(r.text, "Quota exceeded for ram"));
    expect(id, "ACTIVE", "null");
    assert_int_equal(world_count(&w, "SELECT 1 FROM migrations"), 0);
}

/* ---------------------------------------------------------------- images */

static void an_image_is_made_of_it(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 400, "p1", id, "{'createImage':null}");
    world_act(&w, 400, "p1", id, "{'createImage':{}}");
    world_act(&w, 400, "p1", id, "{'createImage':{'name':''}}");
    world_act(&w, 400, "p1", id, "{'createImage':{'name':'x','metadata':{'':'y'}}}");
    world_act(&w, 400, "p1", id, "{'createImage':{'name':'x','more':1}}");
    world_act(&w, 404, "p2", id, "{'createImage':{'name':'x'}}");
    struct test_reply r = world_act(&w, 202, "p1", id,
                                    "{'createImage':{'name':'copy','metadata':{'image_type':'mine'"
                                    "}}}");
    const char *location = NULL;
    for (size_t i = 0; i < r.answer.n_headers; i++)
        if (str_eq(r.answer.headers[i].name, "location"))
            location = r.answer.headers[i].value;
    assert_non_null(location);
    assert_non_null(strstr(location, "/image/v2/images/"));
    expect(id, "ACTIVE", "image_uploading");
    r = test_expect(T, 200, "p1", "GET", "/compute/v2.1/servers?task_state=image_uploading", NULL);
    assert_int_equal(json_array_size(json_get(r.json, "servers")), 1);
    refused(id, "createImage", "{'createImage':{'name':'second'}}");
    refused(id, "stop", "{'os-stop':null}");
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_images WHERE name = 'copy' AND held = 0 "
                                     "AND properties LIKE '%\"image_type\":\"mine\"%'"),
                     1);
    /* It goes on meanwhile, and what it does is no end of the copy. */
    report(id, "{'power':'off','boot_seq':1,'build_seq':1,'guest_shutdown':true}");
    expect(id, "SHUTOFF", "image_uploading");
    assert_int_equal(world_count(&w, "SELECT 1 FROM instance_actions WHERE action = 'createImage' "
                                     "AND finish_time IS NULL"),
                     1);
    world_export_end(&w, id, NULL);
    expect(id, "SHUTOFF", "null");
    assert_int_equal(world_count(&w, "SELECT 1 FROM instance_actions WHERE action = 'createImage' "
                                     "AND result = 'Success'"),
                     1);
    T->headers[0] = "X-OpenStack-Nova-API-Version: 2.45";
    r = world_act(&w, 202, "p1", id, "{'createImage':{'name':'third'}}");
    T->headers[0] = NULL;
    assert_true(strstr(location, test_str(T, &r, "image_id")) == NULL);
    world_export_end(&w, id, "no space left");
    expect(id, "SHUTOFF", "null");
    assert_int_equal(world_count(&w, "SELECT 1 FROM instance_actions WHERE action = 'createImage' "
                                     "AND result = 'Error'"),
                     1);
}

static void backups_rotate(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 400, "p1", id, "{'createBackup':{'name':'x','backup_type':'daily'}}");
    world_act(&w, 400, "p1", id,
              "{'createBackup':{'name':'x','backup_type':'daily','rotation':-1}}");
    world_act(&w, 400, "p1", id, "{'createBackup':{'name':'x','rotation':1}}");
    for (int i = 0; i < 3; i++) {
        world_act(&w, 202, "p1", id,
                  arena_printf(T->cx.arena,
                               "{'createBackup':{'name':'b%d','backup_type':'daily',"
                               "'rotation':'2'}}",
                               i));
        expect(id, "ACTIVE", "image_uploading");
        world_export_end(&w, id, NULL);
    }
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_images"), 2);
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_images WHERE name = 'b0'"), 0);
    world_act(&w, 202, "p1", id,
              "{'createBackup':{'name':'w','backup_type':'weekly','rotation':1}}");
    world_export_end(&w, id, "no space left"); /* what failed removes nothing */
    world_act(&w, 202, "p1", id,
              "{'createBackup':{'name':'d','backup_type':'daily','rotation':1}}");
    world_export_end(&w, id, "no space left");
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_images"), 2);
    assert_int_equal(world_count(&w, "SELECT 1 FROM instance_actions WHERE action = "
                                     "'createBackup' AND finish_time IS NULL"),
                     0);
}

static void a_deletion_ends_the_copy(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'createImage':{'name':'copy'}}");
    test_expect(T, 204, "p1", "DELETE", world_at(&w, id, ""), NULL);
    assert_int_equal(world_count(&w, "SELECT 1 FROM fake_images"), 0);
    expect(id, "ACTIVE", "deleting");
}

/* ---------------------------------------------------------------- what isn't done */

static void each_refusal_has_its_reason(void **state UNUSED)
{
    static const struct {
        int status;
        const char *who, *body, *words;
        unsigned version;
    } bad[] = {
        {403, "p1", "{'migrate':null}", "Policy", 0},
        {400, "admin", "{'migrate':{'host':5}}", "string", 56},
        {400, "admin", "{'os-migrateLive':{}}", "required", 0},
        {400, "admin", "{'evacuate':{'onSharedStorage':true}}", "still in use", 0},
        {409, "p1", "{'changePassword':{'adminPass':'x'}}", "not supported", 0},
        {400, "p1", "{'changePassword':{}}", "adminPass", 0},
        {404, "p1", "{'trigger_crash_dump':null}", "not be found", 0},
        {400, "p1", "{'trigger_crash_dump':null}", "not supported", 17},
        {409, "p1", "{'restore':null}", "Cannot 'restore'", 0},
        {410, "admin", "{'resetNetwork':null}", "no longer available", 0},
        {410, "admin", "{'injectNetworkInfo':null}", "no longer available", 0},
    };
    const char *id = world_running(&w, "p1");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        T->headers[0] =
            bad[i].version
                ? arena_printf(T->cx.arena, "X-OpenStack-Nova-API-Version: 2.%u", bad[i].version)
                : NULL;
        struct test_reply r = world_act(&w, bad[i].status, bad[i].who, id, bad[i].body);
        if (!strstr(r.text, bad[i].words))
            fail_msg("%s: %s", bad[i].body, r.text);
    }
    T->headers[0] = NULL;
    world_act(&w, 202, "p1", id, "{'suspend':null}");
    report(id, "{'power':'off','boot_seq':1,'build_seq':1,'suspended':true}");
    world_act(&w, 409, "admin", id, "{'os-migrateLive':{'host':null,'block_migration':true,"
                             "'disk_over_commit':false}}");
    world_act(&w, 409, "p1", id, "{'changePassword':{'adminPass':'x'}}");
    expect(id, "SUSPENDED", "null");
}

/* ---------------------------------------------------------------- locks, records */

static void a_locked_server_stays_as_it_is(void **state UNUSED)
{
    static const char *const bodies[] = {"{'pause':null}", "{'suspend':null}", "{'rescue':null}"};
    const char *id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'lock':null}");
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct test_reply r = world_act(&w, 409, "p1", id, bodies[i]);
        assert_non_null(strstr(r.text, "is locked"));
    }
    world_act(&w, 202, "admin", id, "{'pause':null}");
}

static void actions_are_recorded(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    world_act(&w, 202, "p1", id, "{'suspend':null}");
    report(id, "{'power':'off','boot_seq':1,'build_seq':1,'suspended':true}");
    struct test_reply r =
        test_expect(T, 200, "admin", "GET", world_at(&w, id, "/os-instance-actions"), NULL);
    assert_string_equal(test_str(T, &r, "instanceActions[0].action"), "suspend");
    r = test_expect(T, 200, "admin", "GET",
                    world_at(&w, id,
                             arena_printf(T->cx.arena, "/os-instance-actions/%s",
                                          test_str(T, &r, "instanceActions[0].request_id"))),
                    NULL);
    assert_string_equal(test_str(T, &r, "instanceAction.events[0].event"),
                        "compute_suspend_instance");
    assert_string_equal(test_str(T, &r, "instanceAction.events[0].result"), "Success");
}

int main(void)
{
#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(pause_and_unpause),
        WORLD_TEST(a_paused_guest_may_die_or_be_rebooted),
        WORLD_TEST(suspend_and_resume),
        WORLD_TEST(a_suspended_server_without_memory_is_off),
        WORLD_TEST(what_a_host_can_not_do_is_an_error_that_heals),
        WORLD_TEST(rescue_and_back),
        WORLD_TEST(a_rescue_that_fails_can_be_ended_by_a_rebuild),
        WORLD_TEST(resize_and_confirm),
        WORLD_TEST(resize_and_revert),
        WORLD_TEST(what_was_off_stays_off),
        WORLD_TEST(a_resize_that_fails_can_be_reverted),
        WORLD_TEST(bad_resizes_are_refused),
        WORLD_TEST(an_image_is_made_of_it),
        WORLD_TEST(backups_rotate),
        WORLD_TEST(a_deletion_ends_the_copy),
        WORLD_TEST(each_refusal_has_its_reason),
        WORLD_TEST(a_locked_server_stays_as_it_is),
        WORLD_TEST(actions_are_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
