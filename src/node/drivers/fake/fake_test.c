/* SPDX-License-Identifier: EUPL-1.2 */
/* The fake drivers keep the interface's promises, as the real ones must. */
#include "base/test.h"
#include "node/drivers/fake/fake.h"

#define PORT "11111111-2222-4333-8444-555555555555"
#define NET "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

static struct spec_nic nic = {.port_id = PORT, .network_id = NET, .tap = "tap11111111-22"};
static struct spec_server server = {.id = "99999999-2222-4333-8444-555555555555",
                                    .hostname = "web",
                                    .boot_seq = 3,
                                    .reset_seq = 1,
                                    .build_seq = 2,
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
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_fault_after),
        cmocka_unit_test(test_net),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
