/* SPDX-License-Identifier: EUPL-1.2 */
/* Volumes on storage that several hosts reach: who manages them, and when another host does. */
#include "base/test.h"
#include "volume/test_fakes.h"

#define READY "{'revision':{R},'ready':true,'size_gib':1,'snapshots':[],'absent':false}"
#define ABSENT "{'revision':{R},'ready':false,'size_gib':0,'snapshots':[],'absent':true}"
#define NOT_MADE                                                                                   \
    "{'revision':{R},'ready':false,'size_gib':0,'snapshots':[],'absent':false,'error':'no'}"
#define OLD_ABSENT "{'revision':1,'ready':false,'size_gib':0,'snapshots':[],'absent':true}"
#define H0 w.host_id[0]
#define H1 w.host_id[1]
#define H2 w.host_id[2]

static struct volume_world w;

static int start(void **state UNUSED)
{
    vworld_start(&w, 3, 100);
    vworld_share(&w, 2, 40);
    return 0;
}

static int stop(void **state UNUSED)
{
    vworld_stop(&w);
    return 0;
}

struct attach {
    const char *volume_id, *server_id, *host_id;
    struct volume_use use;
};

static struct err *attach_fn(struct call *c, void *arg)
{
    struct attach *a = arg;
    const struct use_request rq = {.volume_id = a->volume_id,
                                   .server_id = a->server_id,
                                   .host_id = a->host_id,
                                   .boot_index = -1};
    return volume_attach(c, &rq, &a->use);
}

static struct err *detached_fn(struct call *c, void *arg)
{
    return volume_detached(c->cx, c->tx, &((struct attach *)arg)->use);
}

static struct err *attached_fn(struct call *c, void *arg)
{
    return volume_attached(c->cx, c->tx, &((struct attach *)arg)->use);
}

struct rehost_args {
    const char *host_id;
    enum rehost how;
};

static struct err *rehost_fn(struct call *c, void *arg)
{
    const struct rehost_args *r = arg;
    return volume_uses_rehost(c->cx, c->tx, SERVER_A, r->host_id, r->how);
}

static void rehost(const char *host_id, enum rehost how)
{
    struct rehost_args r = {host_id, how};
    assert_ok(&w.t.cx, vworld_as(&w, "p1", rehost_fn, &r));
}

static struct attach attach_server(const char *id, const char *server_id, const char *host_id)
{
    struct attach a = {id, server_id, host_id, {0}};
    assert_ok(&w.t.cx, vworld_as(&w, "p1", attach_fn, &a));
    return a;
}

static struct attach attach_to(const char *id, const char *host_id)
{
    return attach_server(id, SERVER_A, host_id);
}

/* On h0: the volume's host is the one with the most room, by name among equals. */
static const char *volume_on_h0(void)
{
    test_expect(&w.t, 200, "admin", "PUT", V3 "/os-services/disable",
                "{'host':'h2@qcow2','binary':'cinder-volume'}");
    const char *id = vworld_ready(&w, "p1");
    assert_string_equal(vworld_host_of(&w, id), H0);
    assert_string_equal(json_get_str(vworld_spec(&w, id), "pool_id"), VWORLD_POOL);
    return id;
}

static void down(const char *host_id, bool is)
{
    vworld_run(&w, vpath(&w,
                         "UPDATE fleet_hosts SET forced_down = %d, lease_until = %" PRId64
                         " WHERE id = '%s'",
                         is, now_us(&w.t.cx) + (is ? -1 : 60000000), host_id));
}

static const char *server_of(const json_t *spec)
{
    return json_get_str(spec, "server_id");
}

/* ---------------------------------------------------------------- handing over */

static void the_next_host_waits_for_the_one_before(void **state UNUSED)
{
    const char *id = volume_on_h0();
    struct attach a = attach_to(id, H1);
    assert_null(a.use.host_id);
    assert_string_equal(a.use.pool_id, VWORLD_POOL);
    assert_string_equal(vworld_host_of(&w, id), H1);
    assert_null(vworld_spec_of(&w, H0, id)); /* to be let go */
    assert_null(vworld_spec_of(&w, H1, id));
    vworld_report_by(&w, H0, id, OLD_ABSENT);
    assert_null(vworld_spec_of(&w, H1, id)); /* that was of another time */
    vworld_report_by(&w, H0, id, READY);
    vworld_report_by(&w, H1, id, ABSENT); /* it was never told of it */
    assert_null(vworld_spec_of(&w, H1, id));
    assert_string_equal(vworld_status(&w, id), "attaching");
    vworld_report_by(&w, H0, id, ABSENT);
    assert_string_equal(server_of(vworld_spec_of(&w, H1, id)), SERVER_A);
    assert_null(vworld_spec_of(&w, H0, id));
    vworld_report_by(&w, H0, id, ABSENT); /* once more */
    vworld_report_by(&w, H1, id, READY);
    assert_ok(&w.t.cx, vworld_as(&w, "p1", attached_fn, &a));
    assert_string_equal(vworld_status(&w, id), "in-use");
    assert_ok(&w.t.cx, vworld_as(&w, "p1", detached_fn, &a));
    assert_string_equal(vworld_host_of(&w, id), H1); /* it stays where it was used last */
}

static void back_before_it_was_let_go(void **state UNUSED)
{
    const char *id = volume_on_h0();
    struct attach a = attach_to(id, H1);
    rehost(H0, REHOST_WAIT);
    assert_string_equal(server_of(vworld_spec_of(&w, H0, id)), SERVER_A);
    vworld_report_by(&w, H0, id, OLD_ABSENT); /* of the word between: not of this one */
    assert_string_equal(vworld_status(&w, id), "attaching");
    assert_int_equal(vworld_count(&w, "SELECT 1 FROM volumes WHERE seen_ready = 1"), 1);
    assert_ok(&w.t.cx, vworld_as(&w, "p1", detached_fn, &a));
    assert_string_equal(vworld_status(&w, id), "available");
}

static void snapshots_go_along(void **state UNUSED)
{
    const char *id = volume_on_h0();
    struct test_reply r = test_expect(&w.t, 202, "p1", "POST", V3 "/snapshots",
                                      "{'snapshot':{'volume_id':'%s'}}", id);
    const char *snapshot = test_str(&w.t, &r, "snapshot.id");
    vworld_obey(&w, id);
    attach_to(id, H1);
    vworld_report_by(&w, H0, id, ABSENT); /* it has no snapshot now, nor anything: none is lost */
    r = test_expect(&w.t, 200, "p1", "GET", vpath(&w, V3 "/snapshots/%s", snapshot), NULL);
    assert_string_equal(test_str(&w.t, &r, "snapshot.status"), "available");
    assert_int_equal(json_array_size(json_get(vworld_spec_of(&w, H1, id), "snapshots")), 1);
    assert_int_equal(
        vworld_count(&w, vpath(&w, "SELECT 1 FROM snapshots WHERE host_id = '%s'", H1)), 1);
}

static void one_that_is_made_still_follows_later(void **state UNUSED)
{
    volume_on_h0();
    const char *id = vworld_volume(&w, "p1");
    struct attach a = attach_to(id, H1);
    assert_string_equal(vworld_host_of(&w, id), H0);
    vworld_report_by(&w, H0, id, READY);
    assert_string_equal(vworld_host_of(&w, id), H1);
    assert_null(vworld_spec_of(&w, H1, id));
    vworld_report_by(&w, H0, id, ABSENT);
    assert_string_equal(server_of(vworld_spec_of(&w, H1, id)), SERVER_A);
    assert_ok(&w.t.cx, vworld_as(&w, "p1", attached_fn, &a));
}

static const char *copy_of(const char *id)
{
    struct test_reply r =
        test_expect(&w.t, 202, "p1", "POST", V3 "/volumes", "{'volume':{'source_volid':'%s'}}", id);
    return test_str(&w.t, &r, "volume.id");
}

/* The source is told of first: a copy can't be made of what the host does not have. */
static void copies_stay_with_their_source(void **state UNUSED)
{
    const char *id = volume_on_h0(), *copy = copy_of(id);
    assert_string_equal(vworld_host_of(&w, copy), H0);
    attach_to(id, H1);
    assert_string_equal(vworld_host_of(&w, copy), H1);
    vworld_report_by(&w, H0, copy, ABSENT);
    assert_null(vworld_spec_of(&w, H1, copy));
    vworld_report_by(&w, H0, id, ABSENT);
    assert_non_null(vworld_spec_of(&w, H1, id));
    assert_non_null(vworld_spec_of(&w, H1, copy));
    vworld_report_by(&w, H1, copy, READY);
    assert_string_equal(vworld_status(&w, copy), "available");
}

/* Trouble passes, and then it is made: also where its source has gone meanwhile. */
static void a_copy_that_failed_stays_with_its_source(void **state UNUSED)
{
    const char *id = volume_on_h0(), *copy = copy_of(id);
    vworld_report_by(&w, H0, copy, NOT_MADE);
    assert_string_equal(vworld_status(&w, copy), "error");
    attach_to(id, H1);
    assert_string_equal(vworld_host_of(&w, copy), H1);
    vworld_report_by(&w, H0, id, ABSENT);
    vworld_report_by(&w, H0, copy, ABSENT);
    assert_non_null(vworld_spec_of(&w, H1, copy));
    vworld_report_by(&w, H1, copy, READY);
    assert_string_equal(vworld_status(&w, copy), "available");
}

/* What has no source here any more, and what is to be deleted, waits for nothing. */
static void an_unwanted_copy_needs_no_source(void **state UNUSED)
{
    const char *id = volume_on_h0(), *copy = copy_of(id);
    vworld_report_by(&w, H0, copy, NOT_MADE);
    test_expect(&w.t, 202, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", copy), NULL);
    attach_to(id, H1);
    assert_string_equal(vworld_host_of(&w, copy), H0);
    assert_true(json_get_bool(vworld_spec_of(&w, H0, copy), "remove", false));
    vworld_report_by(&w, H0, copy, ABSENT);
    assert_string_equal(vworld_status(&w, copy), "404");
}

static void a_copy_goes_to_its_server_once_it_is_made(void **state UNUSED)
{
    vworld_share(&w, 3, 40);
    const char *id = volume_on_h0(), *copy = copy_of(id), *other = copy_of(id);
    attach_server(copy, SERVER_B, H1);
    attach_server(other, "c0000000-0000-4000-8000-000000000001", H0);
    attach_to(id, H2); /* the source: all of them are made there */
    assert_string_equal(vworld_host_of(&w, copy), H2);
    assert_string_equal(vworld_host_of(&w, other), H2);
    vworld_report_by(&w, H0, id, ABSENT);
    vworld_report_by(&w, H0, copy, ABSENT);
    vworld_report_by(&w, H0, other, ABSENT);
    vworld_report_by(&w, H2, copy, READY);
    vworld_report_by(&w, H2, other, READY);
    assert_string_equal(vworld_host_of(&w, copy), H1);
    assert_string_equal(vworld_host_of(&w, other), H0);
    assert_string_equal(vworld_host_of(&w, id), H2);
}

/* The server came to where the volume is made: there it stays. */
static void a_server_comes_to_what_is_made(void **state UNUSED)
{
    volume_on_h0();
    const char *id = vworld_volume(&w, "p1");
    attach_to(id, H1);
    rehost(H0, REHOST_NOW);
    vworld_report_by(&w, H0, id, READY);
    assert_string_equal(vworld_host_of(&w, id), H0);
    assert_string_equal(server_of(vworld_spec_of(&w, H0, id)), SERVER_A);
}

/* The host that failed was the server's, not the one that makes the volume. */
static void who_makes_it_goes_on_with_it(void **state UNUSED)
{
    vworld_share(&w, 3, 40);
    volume_on_h0();
    const char *id = vworld_volume(&w, "p1");
    attach_to(id, H1);
    down(H1, true);
    rehost(H2, REHOST_NOW);
    assert_string_equal(vworld_host_of(&w, id), H0);
    assert_null(vworld_spec_of(&w, H2, id));
    vworld_report_by(&w, H0, id, READY);
    assert_string_equal(vworld_host_of(&w, id), H2);
}

static void nobody_waits_for_it_any_more(void **state UNUSED)
{
    volume_on_h0();
    const char *id = vworld_volume(&w, "p1");
    struct attach a = attach_to(id, H1);
    assert_ok(&w.t.cx, vworld_as(&w, "p1", detached_fn, &a));
    vworld_report_by(&w, H0, id, READY);
    assert_string_equal(vworld_host_of(&w, id), H0);
}

/* It has it open there already: nothing is waited for. */
static void a_running_guest_takes_it_along(void **state UNUSED)
{
    const char *id = volume_on_h0();
    struct attach a = attach_to(id, H0);
    assert_ok(&w.t.cx, vworld_as(&w, "p1", attached_fn, &a));
    assert_null(vworld_spec_of(&w, H1, id));
    rehost(H1, REHOST_NOW);
    assert_string_equal(server_of(vworld_spec_of(&w, H1, id)), SERVER_A);
    assert_null(vworld_spec_of(&w, H0, id));
}

/* ---------------------------------------------------------------- hosts that are gone */

static void a_gone_host_is_not_waited_for(void **state UNUSED)
{
    const char *id = volume_on_h0(), *used = vworld_ready(&w, "p1");
    attach_to(used, H0);
    down(H0, true);
    int64_t told = vworld_revision(&w, H0, id);
    vworld_expire(&w);
    assert_string_equal(vworld_host_of(&w, id), H1);
    assert_true(vworld_revision(&w, H0, id) > told); /* it hears that when it comes back */
    assert_non_null(vworld_spec_of(&w, H1, id));
    assert_string_equal(vworld_host_of(&w, used), H0); /* its server has the word */
    rehost(H1, REHOST_NOW);
    assert_string_equal(server_of(vworld_spec_of(&w, H1, used)), SERVER_A);
    down(H0, false);
    assert_null(vworld_spec_of(&w, H0, id));
    vworld_report_by(&w, H0, id, READY); /* it comes back: not its to tell of */
    vworld_report_by(&w, H0, used, ABSENT);
    assert_string_equal(vworld_status(&w, id), "available");
    assert_int_equal(vworld_count(&w, "SELECT 1 FROM volumes WHERE seen_ready = 1"), 2);
}

static void a_host_that_dies_while_it_is_waited_for(void **state UNUSED)
{
    const char *id = volume_on_h0();
    attach_to(id, H1);
    vworld_expire(&w);
    assert_null(vworld_spec_of(&w, H1, id)); /* it may only be slow */
    down(H0, true);
    vworld_expire(&w);
    assert_non_null(vworld_spec_of(&w, H1, id));
}

static void what_was_being_made_is_made_elsewhere(void **state UNUSED)
{
    volume_on_h0();
    const char *id = vworld_volume(&w, "p1");
    assert_string_equal(vworld_host_of(&w, id), H0);
    down(H0, true);
    vworld_expire(&w);
    assert_string_equal(vworld_host_of(&w, id), H1);
    vworld_report_by(&w, H1, id, READY);
    vworld_expire(&w);
    assert_string_equal(vworld_status(&w, id), "available");
}

/* A volume of a server that is there stays until the server goes, and so does what is made from it.
 */
static void a_copy_is_not_inherited_without_its_source(void **state UNUSED)
{
    const char *id = volume_on_h0(), *copy = copy_of(id);
    attach_to(id, H0);
    down(H0, true);
    vworld_expire(&w);
    assert_string_equal(vworld_host_of(&w, id), H0);
    assert_string_equal(vworld_host_of(&w, copy), H0);
    rehost(H1, REHOST_NOW);
    assert_string_equal(vworld_host_of(&w, copy), H1);
    assert_non_null(vworld_spec_of(&w, H1, copy));
}

/* ---------------------------------------------------------------- deletion */

static void deletion_is_told_and_done_once(void **state UNUSED)
{
    const char *id = volume_on_h0();
    struct attach a = attach_to(id, H1);
    assert_ok(&w.t.cx, vworld_as(&w, "p1", detached_fn, &a));
    test_expect(&w.t, 202, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", id), NULL);
    vworld_report_by(&w, H1, id, ABSENT); /* it was not told to yet */
    assert_string_equal(vworld_status(&w, id), "deleting");
    vworld_report_by(&w, H0, id, ABSENT); /* let go, which deletes nothing */
    assert_string_equal(vworld_status(&w, id), "deleting");
    assert_true(json_get_bool(vworld_spec_of(&w, H1, id), "remove", false));
    vworld_report_by(&w, H1, id, OLD_ABSENT);
    assert_string_equal(vworld_status(&w, id), "deleting");
    vworld_report_by(&w, H1, id, ABSENT);
    assert_string_equal(vworld_status(&w, id), "404");
}

static void another_host_deletes_what_a_gone_one_had(void **state UNUSED)
{
    const char *id = volume_on_h0();
    test_expect(&w.t, 202, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", id), NULL);
    down(H0, true);
    vworld_run(&w, "UPDATE volumes SET state_since = 1");
    vworld_run(&w,
               "UPDATE fleet_hosts SET last_seen_at = 1 WHERE forced_down = 1");
    vworld_expire(&w);
    assert_string_equal(vworld_status(&w, id), "deleting"); /* its data is there still */
    assert_true(json_get_bool(vworld_spec_of(&w, H1, id), "remove", false));
    vworld_report_by(&w, H1, id, ABSENT);
    assert_string_equal(vworld_status(&w, id), "404");
}

/* ---------------------------------------------------------------- where */

static void hosts_outside_are_refused(void **state UNUSED)
{
    const char *id = volume_on_h0();
    const char *const ids[] = {id, vworld_volume(&w, "p1")}; /* one is not made yet */
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct attach a = {ids[i], SERVER_A, H2, {0}};
        struct err *e = vworld_as(&w, "p1", attach_fn, &a);
        assert_err(&w.t.cx, ERR_INVALID, e);
        assert_non_null(strstr(e->message, "storage that host h2 does not reach"));
        assert_string_equal(vworld_host_of(&w, ids[i]), H0);
    }
}

static void room_is_the_pools(void **state UNUSED)
{
    volume_on_h0(); /* 1 of 40 GiB */
    test_expect(&w.t, 202, "p1", "POST", V3 "/volumes", "{'volume':{'size':30}}");
    struct test_reply r =
        test_expect(&w.t, 202, "p1", "POST", V3 "/volumes", "{'volume':{'size':20}}");
    assert_string_equal(vworld_status(&w, test_str(&w.t, &r, "volume.id")), "error");
    r = test_expect(&w.t, 200, "admin", "GET", V3 "/scheduler-stats/get_pools?detail=true", NULL);
    assert_int_equal(json_integer_value(test_at(&r, "pools[0].capabilities.free_capacity_gb")), 9);
    assert_int_equal(json_integer_value(test_at(&r, "pools[1].capabilities.free_capacity_gb")), 9);
    assert_int_equal(json_integer_value(test_at(&r, "pools[2].capabilities.free_capacity_gb")),
                     100);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_next_host_waits_for_the_one_before),
        TEST(back_before_it_was_let_go),
        TEST(snapshots_go_along),
        TEST(one_that_is_made_still_follows_later),
        TEST(copies_stay_with_their_source),
        TEST(a_copy_that_failed_stays_with_its_source),
        TEST(an_unwanted_copy_needs_no_source),
        TEST(a_copy_goes_to_its_server_once_it_is_made),
        TEST(a_server_comes_to_what_is_made),
        TEST(who_makes_it_goes_on_with_it),
        TEST(nobody_waits_for_it_any_more),
        TEST(a_running_guest_takes_it_along),
        TEST(a_gone_host_is_not_waited_for),
        TEST(a_host_that_dies_while_it_is_waited_for),
        TEST(what_was_being_made_is_made_elsewhere),
        TEST(a_copy_is_not_inherited_without_its_source),
        TEST(deletion_is_told_and_done_once),
        TEST(another_host_deletes_what_a_gone_one_had),
        TEST(hosts_outside_are_refused),
        TEST(room_is_the_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
