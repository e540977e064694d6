/* SPDX-License-Identifier: EUPL-1.2 */
/* The fake drivers keep the interface's promises, as the real ones must. */
#include "base/test.h"
#include "node/drivers/fake/fake.h"

#define PORT "11111111-2222-4333-8444-555555555555"
#define NET "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

static struct spec_nic nic = {.port_id = PORT, .network_id = NET, .tap = "tap11111111-22"};
#define V1 "10000000-aaaa-4bbb-8ccc-000000000001"
#define V2 "20000000-aaaa-4bbb-8ccc-000000000002"
#define SNAP "30000000-aaaa-4bbb-8ccc-000000000003"

static struct spec_server server = {.id = "99999999-2222-4333-8444-555555555555",
                                    .hostname = "web",
                                    .boot_seq = 3,
                                    .reset_seq = 1,
                                    .build_seq = 2,
                                    .image = {.id = NET},
                                    .nics = &nic,
                                    .n_nics = 1};

static void expect(struct guest_backend *b, enum guest_power power, int64_t boot, bool shutdown)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct guest_state is;
    assert_ok(&cx, b->ops->state(&cx, b->drv, server.id, &is));
    assert_int_equal(is.power, power);
    assert_int_equal(is.boot_seq, boot);
    assert_int_equal(is.guest_shutdown, shutdown);
}

static void test_life(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct guest_backend b;
    fake_guests_new(&b);
    int tap = 0;
    expect(&b, GUEST_ABSENT, 0, false);
    assert_err(&cx, ERR_CONFLICT, b.ops->start(&cx, b.drv, &server, &tap, NULL));
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &server, "/image"));
    expect(&b, GUEST_OFF, 0, false);
    for (int twice = 0; twice < 2; twice++)
        assert_ok(&cx, b.ops->start(&cx, b.drv, &server, &tap, NULL));
    assert_int_equal(fake_guest_starts(&b, server.id), 1);
    expect(&b, GUEST_ON, 3, false);
    assert_err(&cx, ERR_CONFLICT, b.ops->prepare(&cx, b.drv, &server, "/image"));
    assert_ok(&cx, b.ops->shutdown(&cx, b.drv, server.id));
    expect(&b, GUEST_OFF, 3, true);
    assert_err(&cx, ERR_CONFLICT, b.ops->reset(&cx, b.drv, server.id, 2));
    assert_ok(&cx, b.ops->start(&cx, b.drv, &server, &tap, NULL));
    assert_true(fake_guest_crash(&b, server.id));
    expect(&b, GUEST_CRASHED, 3, false);
    for (int twice = 0; twice < 2; twice++)
        assert_ok(&cx, b.ops->destroy(&cx, b.drv, server.id));
    expect(&b, GUEST_ABSENT, 0, false);
    b.ops->free(b.drv);
}

static void test_file(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    char path[] = "/tmp/colvert-fake-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    int tap = 0;
    struct guest_backend b, again;
    fake_guests_new(&b);
    assert_ok(&cx, fake_guests_set_file(&cx, &b, path));
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &server, "/image"));
    assert_ok(&cx, b.ops->start(&cx, b.drv, &server, &tap, NULL));
    fake_guests_new(&again);
    assert_ok(&cx, fake_guests_set_file(&cx, &again, path));
    expect(&again, GUEST_ON, 3, false);
    assert_int_equal(fake_guest_starts(&again, server.id), 1);
    again.ops->free(again.drv);
    b.ops->free(b.drv);
    unlink(path);
}

static struct guest_state state_of(struct guest_backend *b)
{
    struct guest_state is;
    fake_guest_state(b, server.id, &is);
    return is;
}

static void test_rest_of_life(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct guest_backend b;
    fake_guests_new(&b);
    int tap = 0;
    struct spec_server s = server;
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &s, "/image"));
    assert_ok(&cx, b.ops->checkpoint(&cx, b.drv, s.id, 7));
    assert_ok(&cx, b.ops->start(&cx, b.drv, &s, &tap, NULL));
    assert_ok(&cx, b.ops->pause(&cx, b.drv, s.id, true));
    assert_true(state_of(&b).paused);
    assert_ok(&cx, b.ops->shutdown(&cx, b.drv, s.id)); /* not heard */
    assert_err(&cx, ERR_TIMEOUT, b.ops->unplug_nic(&cx, b.drv, s.id, PORT));
    assert_ok(&cx, b.ops->suspend(&cx, b.drv, s.id));
    expect(&b, GUEST_OFF, 3, false);
    assert_true(state_of(&b).suspended && fake_guest_has(&b, s.id, PORT));
    assert_ok(&cx, b.ops->start(&cx, b.drv, &s, &tap, NULL)); /* goes on */
    assert_int_equal(fake_guest_starts(&b, s.id), 1);
    assert_false(state_of(&b).suspended);
    assert_ok(&cx, b.ops->suspend(&cx, b.drv, s.id));
    s.boot_seq = 4;
    s.n_nics = 0; /* its memory is thrown away, so it may have other devices */
    s.rescue.seq = 2;
    assert_ok(&cx, b.ops->prepare_rescue(&cx, b.drv, &s, "/image"));
    assert_ok(&cx, b.ops->start(&cx, b.drv, &s, NULL, NULL));
    assert_int_equal(fake_guest_starts(&b, s.id), 2);
    assert_int_equal(state_of(&b).rescue_seq, 2);
    assert_ok(&cx, b.ops->plug_nic(&cx, b.drv, s.id, &nic, 0));
    assert_true(fake_guest_has(&b, s.id, PORT));
    assert_ok(&cx, b.ops->unplug_nic(&cx, b.drv, s.id, PORT));
    assert_false(fake_guest_has(&b, s.id, PORT));
    assert_ok(&cx, b.ops->stop(&cx, b.drv, s.id));
    assert_ok(&cx, b.ops->restore(&cx, b.drv, s.id, 1));
    assert_int_equal(state_of(&b).checkpoint, 7);
    assert_ok(&cx, b.ops->checkpoint(&cx, b.drv, s.id, 0));
    assert_int_equal(state_of(&b).checkpoint, 0);
    assert_int_equal(state_of(&b).restore_seq, 1);
    b.ops->free(b.drv);
}

static void test_file_of_all(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    char dir[] = "/tmp/colvert-fake-XXXXXX";
    assert_non_null(mkdtemp(dir));
    const char *guests = arena_printf(cx.arena, "%s/guests", dir);
    const char *volumes = arena_printf(cx.arena, "%s/volumes", dir);
    int tap = 0;
    struct guest_backend b;
    struct volume_backend v;
    struct spec_use use = {.volume_id = V1, .boot_index = -1};
    struct spec_server s = server;
    struct volume_access access = {"/v", "qcow2"};
    s.volumes = &use;
    s.n_volumes = 1;
    for (int again = 0; again < 2; again++) {
        fake_guests_new(&b);
        fake_volumes_new(&v);
        assert_ok(&cx, fake_guests_set_file(&cx, &b, guests));
        assert_ok(&cx, fake_volumes_set_file(&cx, &v, volumes));
        fake_guests_set_volumes(&b, &v);
        struct fake_volume is;
        if (!again) {
            struct spec_volume spec = {.id = V1, .size_gib = 2};
            assert_ok(&cx, v.ops->make(&cx, v.drv, &spec, NULL, NULL));
            assert_ok(&cx, v.ops->snapshot(&cx, v.drv, V1, SNAP, true));
            assert_ok(&cx, b.ops->prepare(&cx, b.drv, &s, "/image"));
            assert_ok(&cx, b.ops->start(&cx, b.drv, &s, &tap, &access));
            assert_ok(&cx, b.ops->suspend(&cx, b.drv, s.id));
        }
        assert_true(fake_volume_get(&v, V1, &is));
        assert_string_equal(is.holder, s.id);
        assert_string_equal(is.origin, "blank");
        assert_int_equal(is.size_gib, 2);
        assert_true(fake_volume_has_snapshot(&v, V1, SNAP));
        assert_true(state_of(&b).suspended && fake_guest_has(&b, s.id, V1));
        b.ops->free(b.drv);
        v.ops->free(v.drv);
    }
    unlink(guests);
    unlink(volumes);
    rmdir(dir);
}

static void test_volumes(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct volume_backend v;
    struct fake_volume is;
    struct volume_seen st;
    struct volume_access found;
    char path[] = "/tmp/colvert-fake-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    fake_volumes_new(&v);
    struct spec_volume spec = {.id = V1, .size_gib = 2, .source = {.image = {.id = NET}}};
    for (int twice = 0; twice < 2; twice++)
        assert_ok(&cx, v.ops->make(&cx, v.drv, &spec, "/image", NULL));
    assert_err(&cx, ERR_NOT_FOUND, v.ops->access(&cx, v.drv, V2, &found));
    assert_ok(&cx, v.ops->access(&cx, v.drv, V1, &found));
    assert_string_equal(found.format, "qcow2");
    assert_ok(&cx, v.ops->snapshot(&cx, v.drv, V1, SNAP, true));
    assert_ok(&cx, v.ops->grow(&cx, v.drv, V1, 3));
    assert_ok(&cx, v.ops->state(&cx, v.drv, V1, &st));
    assert_true(st.present);
    assert_int_equal(st.size_gib, 3);
    assert_string_equal(st.snapshots[0], SNAP);
    struct spec_volume copy = {
        .id = V2, .size_gib = 2, .source = {.volume_id = V1, .snapshot_id = V2}};
    assert_err(&cx, ERR_NOT_FOUND, v.ops->make(&cx, v.drv, &copy, NULL, NULL));
    copy.source.snapshot_id = NULL;
    assert_err(&cx, ERR_INVALID, v.ops->make(&cx, v.drv, &copy, NULL, NULL));
    copy.size_gib = 4;
    assert_ok(&cx, v.ops->copy(&cx, v.drv, V1, path));
    assert_ok(&cx, v.ops->make(&cx, v.drv, &copy, NULL, path));
    assert_int_equal(access(path, F_OK), -1); /* taken over */
    assert_true(fake_volume_get(&v, V2, &is));
    assert_string_equal(is.origin, "image " NET);
    const char **ids;
    size_t n;
    assert_ok(&cx, v.ops->list(&cx, v.drv, &ids, &n));
    assert_int_equal(n, 2);
    for (int twice = 0; twice < 2; twice++)
        assert_ok(&cx, v.ops->remove(&cx, v.drv, V1));
    assert_ok(&cx, v.ops->state(&cx, v.drv, V1, &st));
    assert_false(st.present);
    assert_int_equal(fake_volumes_count(&v), 1);
    v.ops->free(v.drv);
}

/* What a guest has open is changed through the guest. */
static void test_open_volume(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct guest_backend b;
    struct volume_backend v;
    struct fake_volume is;
    int tap = 0;
    fake_guests_new(&b);
    fake_volumes_new(&v);
    fake_guests_set_volumes(&b, &v);
    struct spec_volume spec = {.id = V1, .size_gib = 2};
    struct spec_use use = {.volume_id = V1, .boot_index = -1};
    struct volume_access access = {"/v", "qcow2"};
    assert_ok(&cx, v.ops->make(&cx, v.drv, &spec, NULL, NULL));
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &server, "/image"));
    assert_ok(&cx, b.ops->start(&cx, b.drv, &server, &tap, NULL));
    assert_ok(&cx, b.ops->plug_volume(&cx, b.drv, server.id, &use, &access));
    assert_ok(&cx, b.ops->volume_grow(&cx, b.drv, server.id, V1, 5));
    assert_ok(&cx, b.ops->volume_snapshot(&cx, b.drv, server.id, V1, SNAP, true));
    assert_true(fake_volume_get(&v, V1, &is));
    assert_int_equal(is.size_gib, 5);
    assert_int_equal(is.n_snapshots, 1);
    assert_string_equal(is.holder, server.id);
    fake_guests_set_deaf(&b, true);
    assert_err(&cx, ERR_TIMEOUT, b.ops->unplug_volume(&cx, b.drv, server.id, V1));
    fake_guests_set_deaf(&b, false);
    for (int twice = 0; twice < 2; twice++)
        assert_ok(&cx, b.ops->unplug_volume(&cx, b.drv, server.id, V1));
    assert_ok(&cx, v.ops->grow(&cx, v.drv, V1, 6));
    assert_ok(&cx, b.ops->plug_volume(&cx, b.drv, server.id, &use, &access));
    assert_true(fake_guest_crash(&b, server.id)); /* nothing is open any more */
    assert_ok(&cx, v.ops->remove(&cx, v.drv, V1));
    b.ops->free(b.drv);
    v.ops->free(v.drv);
}

/* Two hosts with one storage, and a server with a volume on it. */
struct two {
    struct ctx cx;
    struct guest_backend guests[2];
    struct volume_backend own[2], shared;
    struct spec_use use;
    struct spec_server server;
};
static const struct volume_access access_of_it = {"/v", "qcow2"};

static void two_open(struct two *t)
{
    struct spec_volume spec = {.id = V1, .size_gib = 2};
    *t = (struct two){.use = {.volume_id = V1, .boot_index = -1}, .server = server};
    ctx_init(&t->cx);
    t->server.volumes = &t->use;
    t->server.n_volumes = 1;
    fake_volumes_new(&t->shared);
    assert_ok(&t->cx, t->shared.ops->make(&t->cx, t->shared.drv, &spec, NULL, NULL));
    for (int i = 0; i < 2; i++) {
        struct guest_backend *b = &t->guests[i];
        fake_guests_new(b);
        fake_volumes_new(&t->own[i]);
        fake_guests_set_shared(b, &t->shared);
        fake_guests_set_volumes(b, &t->own[i]);
        assert_ok(&t->cx, b->ops->prepare(&t->cx, b->drv, &t->server, "/image"));
    }
}

static void two_close(struct two *t)
{
    for (int i = 0; i < 2; i++) {
        t->guests[i].ops->free(t->guests[i].drv);
        t->own[i].ops->free(t->own[i].drv);
    }
    t->shared.ops->free(t->shared.drv);
    ctx_release(&t->cx);
}

static void two_start(struct two *t, int i)
{
    const struct guest_backend *b = &t->guests[i];
    int tap = 0;
    assert_ok(&t->cx, b->ops->start(&t->cx, b->drv, &t->server, &tap, &access_of_it));
}

static void two_destroy(struct two *t, int i)
{
    const struct guest_backend *b = &t->guests[i];
    assert_ok(&t->cx, b->ops->destroy(&t->cx, b->drv, t->server.id));
}

static void two_expect_holder(struct two *t, const char *id)
{
    struct fake_volume is;
    assert_true(fake_volume_get(&t->shared, V1, &is));
    assert_string_equal(is.holder, id);
}

/* What is left of a server on the first is nothing to the second. */
static void test_forsaken(void **state UNUSED)
{
    struct two t;
    two_open(&t);
    const struct guest_backend *b = &t.guests[0];
    two_start(&t, 0);
    assert_ok(&t.cx, b->ops->suspend(&t.cx, b->drv, t.server.id));
    fake_guest_forsake(&t.guests[0], t.server.id);
    two_expect_holder(&t, "");
    two_start(&t, 1);
    two_destroy(&t, 0); /* it is back */
    two_expect_holder(&t, t.server.id);
    two_destroy(&t, 1);
    assert_ok(&t.cx, t.shared.ops->remove(&t.cx, t.shared.drv, V1));
    two_close(&t);
}

static struct err *lock_stays(struct ctx *cx, void *arg UNUSED, const char *call,
                              const char *id UNUSED, bool after UNUSED)
{
    return str_eq(call, "lock") ? fail(cx, ERR_CONFLICT, "locked") : NULL;
}

/* Its server was deleted, and it still runs where nobody is heard of. */
static void test_given_up(void **state UNUSED)
{
    struct two t;
    int tap = 0;
    two_open(&t);
    const struct guest_backend *b = &t.guests[1];
    struct spec_server next = t.server;
    next.id = "22222222-0000-4000-8000-000000000002";
    fake_volumes_set_fault(&t.shared, lock_stays, NULL);
    two_start(&t, 0);
    assert_ok(&t.cx, b->ops->prepare(&t.cx, b->drv, &next, "/image"));
    assert_err(&t.cx, ERR_CONFLICT, b->ops->start(&t.cx, b->drv, &next, &tap, &access_of_it));
    assert_err(&t.cx, ERR_CONFLICT, t.shared.ops->grow(&t.cx, t.shared.drv, V1, 3));
    two_expect_holder(&t, t.server.id);
    two_destroy(&t, 0); /* it is heard of again */
    assert_ok(&t.cx, b->ops->start(&t.cx, b->drv, &next, &tap, &access_of_it));
    two_expect_holder(&t, next.id);
    assert_ok(&t.cx, b->ops->destroy(&t.cx, b->drv, next.id));
    two_close(&t);
}

static struct err *received(struct ctx *cx, void *arg, const char *text)
{
    struct two *t = arg;
    const struct guest_backend *b = &t->guests[1];
    return b->ops->receive_end(cx, b->drv, t->server.id, text);
}

/* One that came live has the volume in its memory only until it runs here: the one before is its
 * holder, and who goes first does not matter. */
static void test_came_live(void **state UNUSED)
{
    const atomic_bool given_up = false;
    for (int first = 0; first < 2; first++) {
        struct two t;
        two_open(&t);
        const struct guest_backend *b = &t.guests[0];
        const struct move_link link = {NULL, received, &t};
        two_start(&t, 0);
        assert_ok(&t.cx, b->ops->send(&t.cx, b->drv, t.server.id, 1, true, &link, &given_up));
        two_expect_holder(&t, t.server.id);
        two_destroy(&t, first);
        two_expect_holder(&t, first ? t.server.id : "");
        if (!first)
            assert_ok(&t.cx, t.shared.ops->remove(&t.cx, t.shared.drv, V1));
        two_destroy(&t, !first);
        two_close(&t);
    }
}

static struct err *at_the_end(struct ctx *cx UNUSED, void *arg UNUSED, const char *text UNUSED)
{
    return NULL;
}

/* From then on the other host may change its volumes, until the guest goes on here after all. */
static void test_sent(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct guest_backend b;
    struct volume_backend v;
    int tap = 0;
    struct spec_volume spec = {.id = V1, .size_gib = 2};
    struct spec_use use = {.volume_id = V1, .boot_index = -1};
    struct volume_access access = {"/v", "qcow2"};
    const struct move_link link = {.end = at_the_end};
    atomic_bool given_up = false;
    fake_guests_new(&b);
    fake_volumes_new(&v);
    fake_guests_set_volumes(&b, &v);
    assert_ok(&cx, v.ops->make(&cx, v.drv, &spec, NULL, NULL));
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &server, "/image"));
    assert_ok(&cx, b.ops->start(&cx, b.drv, &server, &tap, NULL));
    assert_ok(&cx, b.ops->plug_volume(&cx, b.drv, server.id, &use, &access));
    assert_ok(&cx, b.ops->send(&cx, b.drv, server.id, 1, true, &link, &given_up));
    assert_err(&cx, ERR_CONFLICT, b.ops->volume_grow(&cx, b.drv, server.id, V1, 3));
    assert_ok(&cx, v.ops->grow(&cx, v.drv, V1, 3));
    assert_ok(&cx, b.ops->pause(&cx, b.drv, server.id, false));
    assert_ok(&cx, b.ops->volume_grow(&cx, b.drv, server.id, V1, 4));
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, server.id));
    assert_ok(&cx, v.ops->remove(&cx, v.drv, V1));
    b.ops->free(b.drv);
    v.ops->free(v.drv);
}

static struct err *third_call_fails(struct ctx *cx, void *arg, const char *call UNUSED,
                                    const char *id UNUSED, bool after)
{
    int *n = arg;
    return after && ++*n == 3 ? fail(cx, ERR_UNAVAILABLE, "told to fail") : NULL;
}

static void test_fault_after(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct guest_backend b;
    fake_guests_new(&b);
    int n = 0, tap = 0;
    fake_guests_set_fault(&b, third_call_fails, &n);
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &server, "/image"));
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &server, "/image"));
    assert_err(&cx, ERR_UNAVAILABLE, b.ops->start(&cx, b.drv, &server, &tap, NULL));
    expect(&b, GUEST_ON, 3, false); /* the work was done all the same */
    b.ops->free(b.drv);
}

static void test_net(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct net_backend b;
    fake_net_new(&b);
    struct spec_port port = {.id = PORT, .tap = nic.tap};
    struct spec_network net = {.id = NET, .ports = &port, .n_ports = 1};
    struct spec_interface iface = {.network_id = NET};
    struct spec_router router = {.id = PORT, .interfaces = &iface, .n_interfaces = 1};
    int fd = -1;
    assert_err(&cx, ERR_CONFLICT, b.ops->tap_open(&cx, b.drv, &nic, &fd));
    assert_err(&cx, ERR_CONFLICT, b.ops->router_apply(&cx, b.drv, &router));
    assert_ok(&cx, b.ops->network_apply(&cx, b.drv, &net));
    assert_ok(&cx, b.ops->router_apply(&cx, b.drv, &router));
    assert_ok(&cx, b.ops->tap_open(&cx, b.drv, &nic, &fd));
    close(fd);
    assert_ok(&cx, b.ops->network_apply(&cx, b.drv, &net));
    assert_int_equal(fake_net_taps(&b), 1);
    net.n_ports = 0;
    assert_ok(&cx, b.ops->network_apply(&cx, b.drv, &net));
    assert_int_equal(fake_net_taps(&b), 0);
    const char **networks, **routers;
    size_t n_networks, n_routers;
    assert_ok(&cx, b.ops->list(&cx, b.drv, &networks, &n_networks, &routers, &n_routers));
    assert_int_equal(n_networks, 1);
    assert_string_equal(networks[0], "aaaaaaaa-bb");
    assert_string_equal(routers[0], "11111111-22");
    assert_ok(&cx, b.ops->router_remove(&cx, b.drv, routers[0]));
    assert_ok(&cx, b.ops->network_remove(&cx, b.drv, networks[0]));
    assert_ok(&cx, b.ops->network_remove(&cx, b.drv, NET));
    assert_int_equal(fake_net_networks(&b) + fake_net_routers(&b), 0);
    b.ops->free(b.drv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),         cmocka_unit_test(test_file),
        cmocka_unit_test(test_rest_of_life), cmocka_unit_test(test_file_of_all),
        cmocka_unit_test(test_volumes),      cmocka_unit_test(test_open_volume),
        cmocka_unit_test(test_forsaken),     cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_came_live),    cmocka_unit_test(test_sent),
        cmocka_unit_test(test_fault_after),  cmocka_unit_test(test_net),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
