/* SPDX-License-Identifier: EUPL-1.2 */
/* What volumes.h promises compute: volumes for servers and their attachments. */
#include "volume/test_fakes.h"

static struct volume_world w;

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

struct attach {
    struct use_request rq;
    struct volume_use use;
};

static struct err *attach_fn(struct call *c, void *arg)
{
    struct attach *a = arg;
    return volume_attach(c, &a->rq, &a->use);
}

static struct err *detach_fn(struct call *c, void *arg)
{
    return volume_detach(c, arg);
}

static struct err *attached_fn(struct call *c, void *arg)
{
    return volume_attached(c->cx, c->tx, arg);
}

static struct err *detached_fn(struct call *c, void *arg)
{
    return volume_detached(c->cx, c->tx, arg);
}

static struct err *release_fn(struct call *c, void *arg)
{
    return volume_uses_release(c->cx, c->tx, arg);
}

struct uses {
    const char *const *ids;
    size_t n_ids;
    struct volume_use *all;
    size_t n;
};

static struct err *uses_fn(struct call *c, void *arg)
{
    struct uses *u = arg;
    return volume_uses_of(c->cx, c->tx, u->ids, u->n_ids, &u->all, &u->n);
}

#define AS(fn, arg) assert_ok(&w.t.cx, vworld_as(&w, "p1", fn, arg))

static struct volume_use attach(const char *volume_id, const char *server_id, bool with_server)
{
    struct attach a = {.rq = {.volume_id = volume_id,
                              .server_id = server_id,
                              .boot_index = -1,
                              .delete_on_termination = with_server}};
    AS(attach_fn, &a);
    return a.use;
}

static struct uses uses_of(const char *server_id)
{
    const char **ids = arena_new_of(w.t.cx.arena, const char *);
    *ids = server_id;
    struct uses u = {.ids = ids, .n_ids = 1};
    AS(uses_fn, &u);
    return u;
}

static void a_server_takes_and_gives_back(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    struct volume_use use = attach(id, SERVER_A, false);
    assert_string_equal(use.device, "/dev/vdb");
    assert_int_equal(use.state, USE_ATTACHING);
    assert_true(use.ready);
    assert_string_equal(vworld_status(&w, id), "attaching");
    assert_string_equal(json_get_str(vworld_spec(&w, id), "server_id"), SERVER_A);

    struct attach again = {.rq = {.volume_id = id, .server_id = SERVER_B, .boot_index = -1}};
    struct err *e = vworld_as(&w, "p1", attach_fn, &again);
    assert_err(&w.t.cx, ERR_INVALID, e);
    again.rq.server_id = SERVER_A;
    assert_err(&w.t.cx, ERR_INVALID, vworld_as(&w, "p1", attach_fn, &again));
    assert_err(&w.t.cx, ERR_NOT_FOUND, vworld_as(&w, "p2", attach_fn, &again));

    AS(attached_fn, &use);
    AS(attached_fn, &use);
    assert_string_equal(vworld_status(&w, id), "in-use");
    test_expect(&w.t, 400, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", id), NULL);
    AS(detach_fn, &use);
    assert_string_equal(vworld_status(&w, id), "detaching");
    assert_err(&w.t.cx, ERR_INVALID, vworld_as(&w, "p1", detach_fn, &use));
    AS(attached_fn, &use); /* a late word of the host */
    assert_string_equal(vworld_status(&w, id), "detaching");
    AS(detached_fn, &use);
    AS(detached_fn, &use);
    assert_string_equal(vworld_status(&w, id), "available");
    assert_true(json_is_null(json_get(vworld_spec(&w, id), "server_id")));
    assert_int_equal(vworld_count(&w, "SELECT 1 FROM attachments"), 0);
}

static void devices_are_the_next_free(void **state UNUSED)
{
    const char *a = vworld_ready(&w, "p1"), *b = vworld_ready(&w, "p1"),
               *c = vworld_ready(&w, "p1");
    struct volume_use first = attach(a, SERVER_A, false), second = attach(b, SERVER_A, false);
    assert_string_equal(second.device, "/dev/vdc");
    struct attach root = {.rq = {.volume_id = c, .server_id = SERVER_A, .boot_index = 0}};
    AS(attach_fn, &root);
    assert_string_equal(root.use.device, "/dev/vda");
    struct uses u = uses_of(SERVER_A);
    assert_int_equal(u.n, 3);
    assert_string_equal(u.all[0].volume_id, c); /* the root disk first */
    assert_string_equal(u.all[1].id, first.id);
    assert_int_equal(uses_of(SERVER_B).n, 0);
    AS(release_fn, (void *)(uintptr_t)SERVER_A);
    assert_int_equal(uses_of(SERVER_A).n, 0);
    assert_string_equal(vworld_status(&w, a), "available");
}

static void volumes_go_with_their_server(void **state UNUSED)
{
    const char *a = vworld_ready(&w, "p1"), *b = vworld_ready(&w, "p1");
    struct volume_use use = attach(a, SERVER_A, true);
    attach(b, SERVER_A, false);
    AS(attached_fn, &use);
    AS(release_fn, (void *)(uintptr_t)SERVER_A);
    assert_string_equal(vworld_status(&w, a), "deleting");
    assert_string_equal(vworld_status(&w, b), "available");
    vworld_obey(&w, a);
    assert_string_equal(vworld_status(&w, a), "404");
}

/* Nothing that somebody made on purpose goes unasked, and no copy loses its source. */
static void what_others_need_outlives_a_server(void **state UNUSED)
{
    const char *a = vworld_ready(&w, "p1"), *b = vworld_ready(&w, "p1");
    attach(a, SERVER_A, true);
    attach(b, SERVER_A, true);
    vworld_run(&w, "UPDATE volumes SET state = 'in-use' WHERE state = 'attaching'");
    test_expect(&w.t, 202, "p1", "POST", V3 "/snapshots",
                "{'snapshot':{'volume_id':'%s','force':true}}", a);
    vworld_obey(&w, a);
    struct test_reply r =
        test_expect(&w.t, 202, "p1", "POST", V3 "/volumes", "{'volume':{'source_volid':'%s'}}", b);
    const char *copy = test_str(&w.t, &r, "volume.id");
    AS(release_fn, (void *)(uintptr_t)SERVER_A);
    assert_string_equal(vworld_status(&w, a), "available");
    assert_int_equal(
        vworld_count(&w, "SELECT 1 FROM volume_messages WHERE text LIKE '%has snapshots%'"), 1);
    assert_string_equal(vworld_status(&w, b), "deleting");
    assert_non_null(vworld_spec(&w, b)); /* its host keeps it for now */
    test_expect(&w.t, 202, "p1", "DELETE", vpath(&w, V3 "/volumes/%s", b), NULL); /* it will be */
    assert_non_null(vworld_spec(&w, b));
    vworld_run(&w, vpath(&w, "UPDATE volumes SET state_deadline = NULL WHERE id = '%s'", copy));
    assert_true(vworld_expire(&w) >= 1);
    assert_non_null(vworld_spec(&w, b));
    vworld_obey(&w, copy);
    assert_true(vworld_expire(&w) >= 1);
    assert_null(vworld_spec(&w, b));
    vworld_obey(&w, b);
    assert_string_equal(vworld_status(&w, b), "404");
}

/* ---------------------------------------------------------------- made for a server */

struct make {
    struct volume_request rq;
    struct volume_info info;
    struct attach attach;
};

static struct err *make_fn(struct call *c, void *arg)
{
    struct make *m = arg;
    TRY(volume_create_for(c, &m->rq, &m->info));
    m->attach.rq.volume_id = m->info.id;
    m->attach.rq.server_id = SERVER_B;
    return volume_attach(c, &m->attach.rq, &m->attach.use);
}

static void a_volume_is_made_for_a_server(void **state UNUSED)
{
    struct make m = {.rq = {.image_id = IMAGE_OK, .size_gib = 2, .host_id = w.host_id[1]}};
    AS(make_fn, &m);
    assert_string_equal(m.info.host_id, w.host_id[1]);
    assert_string_equal(m.info.status, "creating");
    assert_true(m.info.bootable);
    assert_false(m.attach.use.ready);
    assert_string_equal(m.attach.use.device, "/dev/vda");
    assert_string_equal(vworld_status(&w, m.info.id), "creating");
    assert_int_equal(vworld_expire(&w), 2); /* the volume; the attachment waits on for it */
    assert_string_equal(vworld_status(&w, m.info.id), "error");
    assert_int_equal(uses_of(SERVER_B).all[0].state, USE_ATTACHING);
    vworld_obey(&w, m.info.id);
    assert_string_equal(vworld_status(&w, m.info.id), "attaching");
    assert_true(uses_of(SERVER_B).all[0].ready);
    /* Its host may have told of the server first: it is asked again. */
    assert_int_equal(vworld_count(&w, "SELECT 1 FROM fleet_changes WHERE kind = 'server' AND "
                                      "item_id = '" SERVER_B "'"),
                     1);
    AS(attached_fn, &m.attach.use);
    assert_string_equal(vworld_status(&w, m.info.id), "in-use");
    AS(release_fn, (void *)(uintptr_t)SERVER_B);
}

/* ---------------------------------------------------------------- deadlines */

static void what_no_host_confirms_is_undone(void **state UNUSED)
{
    const char *id = vworld_ready(&w, "p1");
    struct volume_use use = attach(id, SERVER_A, false);
    assert_true(vworld_expire(&w) >= 1);
    assert_int_equal(uses_of(SERVER_A).all[0].state, USE_DETACHING);
    assert_string_equal(vworld_status(&w, id), "detaching");
    assert_int_equal(vworld_count(&w, "SELECT 1 FROM fleet_changes WHERE kind = 'server' AND "
                                      "item_id = '" SERVER_A "'"),
                     1);
    assert_true(vworld_expire(&w) >= 1); /* nor does it say that the guest let go: it has it */
    assert_int_equal(uses_of(SERVER_A).all[0].state, USE_ATTACHED);
    assert_string_equal(vworld_status(&w, id), "in-use");
    AS(detach_fn, &use);
    AS(detached_fn, &use);
    assert_string_equal(vworld_status(&w, id), "available");
}

/* A server's image may take longer to come than any of its volumes: they wait with it. */
static void what_a_server_was_born_with_is_not_undone(void **state UNUSED)
{
    struct attach data = {.rq = {.volume_id = vworld_ready(&w, "p1"),
                                 .server_id = SERVER_A,
                                 .boot_index = -1,
                                 .born = true}};
    AS(attach_fn, &data);
    vworld_expire(&w);
    assert_int_equal(uses_of(SERVER_A).all[0].state, USE_ATTACHING);
    assert_string_equal(vworld_status(&w, data.rq.volume_id), "attaching");
    AS(attached_fn, &data.use);
    assert_int_equal(uses_of(SERVER_A).all[0].state, USE_ATTACHED);
    AS(release_fn, (void *)(uintptr_t)SERVER_A);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_takes_and_gives_back),
        cmocka_unit_test(devices_are_the_next_free),
        cmocka_unit_test(volumes_go_with_their_server),
        cmocka_unit_test(what_others_need_outlives_a_server),
        cmocka_unit_test(a_volume_is_made_for_a_server),
        cmocka_unit_test(what_no_host_confirms_is_undone),
        cmocka_unit_test(what_a_server_was_born_with_is_not_undone),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
