/* SPDX-License-Identifier: EUPL-1.2 */
/* What only OVN's driver does: floating IPs on the guest's own host, one writer of several, what is
 * left of one that was killed, and taps. Root only. */
#include "node/drivers/net/e2e_specs.h"
#include "node/drivers/ovn/e2e_ovn.h"
#include "node/drivers/ovn/ovs.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define OPEN ANY_OUT "," ANY_IN
#define ROUTER "5a5a5a5a-00"

/* The whole database, uuids and all, but for the counters of synchronisation. */
static const char *northbound(struct stage *s)
{
    assert_int_equal(sh(NULL,
                        "ovsdb-client --format=csv dump unix:%s/cloud/nb.sock OVN_Northbound | "
                        "sed '/^NB_Global table/,/^$/d'",
                        ovn_dir),
                     0);
    return arena_strdup(s->cx.arena, sh_out);
}

static void route_with(struct stage *s, const char *floating)
{
    apply_router(s, router_json(s, ROUTER, NET_A, "203.0.113.10", floating));
}

/* A floating IP of a known port is answered for by its guest's host, with a MAC of its own, and
 * goes with it. */
static void test_distributed(void **state)
{
    struct stage *s = *state;
    external_network(s);
    two_guests(s, OPEN, OPEN);
    plug_two(s);
    const char *floating = "{'id':'f0f0f0f%d-00" TAIL "','floating_ip':'203.0.113.10%d',"
                           "'fixed_ip':'10.0.0.1%d','port_id':'%s" TAIL "'}";
    route_with(s, printed(s, "%s,%s", printed(s, floating, 1, 1, 1, PORT_A1),
                          printed(s, floating, 2, 2, 2, PORT_A2)));
    for (int i = 1; i <= 2; i++) {
        AUTO_FD int listener = tcp_listen(i == 1 ? "cvt-a1" : "cvt-a2", 22);
        const char *to = printed(s, "203.0.113.10%d", i);
        char peer[INET_ADDRSTRLEN];
        assert_true(can_ping(HOST_NS, to));
        AUTO_FD int fd = tcp_connect(HOST_NS, to, 22);
        assert_true(fd >= 0);
        AUTO_FD int accepted = tcp_accept(listener, peer);
        assert_true(accepted >= 0);
        /* The gateway's MAC is the other one's. */
        assert_int_equal(sh(HOST_NS, "ip neigh show %s | grep -q fa:16:3e:00:ee", to), 1);
    }
    assert_true(can_ping("cvt-a1", "203.0.113.102"));
    /* They change hands, and hosts: the outside's switch learns it, though it forgets nothing and
     * neighbours have no doubts. */
    sh(HOST_NS,
       "sysctl -qw net.ipv4.neigh.br-ext.base_reachable_time_ms=3600000; ip neigh flush all");
    assert_true(can_ping(HOST_NS, "203.0.113.101"));
    assert_true(can_ping(HOST_NS, "203.0.113.102"));
    route_with(s, printed(s, "%s,%s", printed(s, floating, 1, 1, 2, PORT_A2),
                          printed(s, floating, 2, 2, 1, PORT_A1)));
    for (int i = 1; i <= 2; i++) {
        AUTO_FD int listener = tcp_listen(i == 1 ? "cvt-a2" : "cvt-a1", 22);
        char peer[INET_ADDRSTRLEN];
        AUTO_FD int fd = tcp_connect(HOST_NS, printed(s, "203.0.113.10%d", i), 22);
        assert_true(fd >= 0);
        AUTO_FD int accepted = tcp_accept(listener, peer);
        assert_true(accepted >= 0);
    }
    sh(HOST_NS, "sysctl -qw net.ipv4.neigh.br-ext.base_reachable_time_ms=30000");
    route_with(s, printed(s, "%s,%s", printed(s, floating, 1, 1, 1, PORT_A1),
                          printed(s, floating, 2, 2, 2, PORT_A2)));
    assert_true(can_ping(HOST_NS, "203.0.113.102"));
    AUTO_FD int host = tcp_listen(HOST_NS, 8000);
    AUTO_FD int out = tcp_connect("cvt-a2", "203.0.113.1", 8000);
    assert_true(out >= 0);
    char peer[INET_ADDRSTRLEN];
    AUTO_FD int in = tcp_accept(host, peer);
    assert_true(in >= 0);
    assert_string_equal(peer, "203.0.113.102");
    route_with(s, "");
    assert_true(cannot_ping(HOST_NS, "203.0.113.101"));
}

static void apply_all(struct stage *s)
{
    external_network(s);
    two_guests(s, OPEN, ANY_OUT);
    route_with(s, floating_json(s, "203.0.113.101", "10.0.0.11"));
}

static void test_idempotent(void **state)
{
    struct stage *s = *state;
    apply_all(s);
    const char *first = northbound(s);
    apply_all(s);
    assert_string_equal(northbound(s), first);
}

/* The lock is had by one; when that one dies, by the next, and by nobody between. */
static void test_one_writer(void **state)
{
    struct stage *s = *state;
    struct ovn_stage *o = s->net.drv;
    struct net_backend second;
    bool holds = true;
    assert_ok(&s->cx, ovn_stage_writer(&s->cx, &second));
    assert_ok(&s->cx, ovn_writer_look(&s->cx, &second, 300, &holds));
    assert_false(holds);
    struct spec_network *spec = network_of(s, network_json(s, NET_B, ""));
    assert_err(&s->cx, ERR_STALE, second.ops->network_apply(&s->cx, second.drv, spec));
    o->writer.ops->free(o->writer.drv);
    o->writer = second;
    for (int i = 0; i < 100 && !holds; i++)
        assert_ok(&s->cx, ovn_writer_look(&s->cx, &second, 100, &holds));
    assert_true(holds);
    apply_network(s, network_json(s, NET_B, ""));
}

/* Killed anywhere on its way, the next pass ends where an undisturbed one does. */
static void test_killed(void **state)
{
    struct stage *s = *state;
    struct ovn_stage *o = s->net.drv;
    struct rng_seeded seeded;
    struct rng *rng = rng_seed(&seeded, 20);
    apply_all(s);
    o->writer.ops->free(o->writer.drv);
    o->writer.ops = NULL;
    for (int i = 0; i < 8; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct ctx cx;
            struct net_backend all;
            ctx_init(&cx);
            struct err *e = stage_driver(s, &all);
            if (!e && i % 2) {
                e = all.ops->router_remove(&cx, all.drv, ROUTER TAIL);
                if (!e)
                    e = all.ops->network_remove(&cx, all.drv, NET_A TAIL);
            }
            s->net = all;
            if (!e)
                apply_all(s);
            _exit(e != NULL);
        }
        struct timespec ts = {.tv_nsec = (long)rng_below(rng, 900000000)};
        nanosleep(&ts, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    assert_ok(&s->cx, ovn_stage_writer(&s->cx, &o->writer));
    bool holds = false;
    for (int i = 0; i < 100 && !holds; i++)
        assert_ok(&s->cx, ovn_writer_look(&s->cx, &o->writer, 100, &holds));
    apply_all(s);
    const char *whole = northbound(s);
    apply_all(s);
    assert_string_equal(northbound(s), whole);
    plug_two(s);
    assert_true(can_ping("cvt-a2", "10.0.0.11"));
    assert_true(can_ping(HOST_NS, "203.0.113.101"));
}

static void test_tap(void **state)
{
    struct stage *s = *state;
    struct ovn_stage *o = s->net.drv;
    const struct net_driver *ops = o->hosts[0].ops;
    void *drv = o->hosts[0].drv;
    struct spec_nic nic = {.port_id = PORT_A1 TAIL,
                           .network_id = NET_A TAIL,
                           .mac = MAC_A1,
                           .tap = "tap" PORT_A1,
                           .mtu = 1400};
    int fd = -1, again = -1;
    assert_err(&s->cx, ERR_UNAVAILABLE, ops->tap_open(&s->cx, drv, &nic, &fd));
    two_guests(s, OPEN, OPEN);
    for (int i = 0; i < 6; i++) { /* and again, when its guest has gone and comes again */
        assert_ok(&s->cx, ops->tap_open(&s->cx, drv, &nic, &fd));
        assert_int_equal(sh(OVN_HOST "1", "ip -d link show tap" PORT_A1 " | tr -d '\\n'"), 0);
        expect_out("mtu 1400");
        expect_out(",UP");          /* though the switch has just let one of this name go */
        expect_out("vnet_hdr off"); /* the userspace datapath knows no headers */
        WITHIN(sh(NULL, "ovn-nbctl --db=unix:%s/cloud/nb.sock lsp-get-up " PORT_A1 TAIL, ovn_dir) ==
                   0 &&
               str_starts(sh_out, "up"));
        assert_err(&s->cx, ERR_IN_USE, ops->tap_open(&s->cx, drv, &nic, &again));
        close(fd);
        assert_int_equal(sh(OVN_HOST "1", "ip link show tap" PORT_A1), 1);
    }
    assert_ok(&s->cx, ops->tap_remove(&s->cx, drv, NET_A TAIL, nic.tap));
    assert_ok(&s->cx, ops->tap_remove(&s->cx, drv, NET_A TAIL, nic.tap));
    WITHIN(sh(NULL, "ovn-nbctl --db=unix:%s/cloud/nb.sock lsp-get-up " PORT_A1 TAIL, ovn_dir) ==
               0 &&
           str_starts(sh_out, "down"));
}

/* The first guest's port, with OVN's names of the hosts that may have it. */
static void place(struct stage *s, const char *first, const char *second)
{
    const char *names[] = {first, second};
    const char *json =
        printed(s, "%s,%s", port_json(s, PORT_A1, MAC_A1, ip4_json(s, "10.0.0.11"), OPEN, NULL),
                port_json(s, PORT_A2, MAC_A2, ip4_json(s, "10.0.0.12"), OPEN, NULL));
    struct spec_network *spec = network_of(s, network_json(s, NET_A, json));
    spec->ports[0].chassis = names;
    spec->ports[0].n_chassis = second ? 2 : 1;
    assert_ok(&s->cx, s->net.ops->network_apply(&s->cx, s->net.drv, spec));
}

/* Who takes a connection from the second guest to the first one's address: 0: cvt-a1, on the first
 * host, 1: cvt-b1, on the second one. */
static int reached(const int *listeners)
{
    struct pollfd p[] = {{.fd = listeners[0], .events = POLLIN},
                         {.fd = listeners[1], .events = POLLIN}};
    char peer[INET_ADDRSTRLEN];
    AUTO_FD int fd = tcp_connect("cvt-a2", "10.0.0.11", 7000);
    assert_true(fd >= 0);
    assert_int_equal(poll(p, 2, E2E_WAIT_S * 1000), 1);
    int i = p[0].revents ? 0 : 1;
    AUTO_FD int accepted = tcp_accept(listeners[i], peer);
    assert_true(accepted >= 0);
    return i;
}

static void plug_at(struct stage *s, size_t host, bool plug)
{
    const char *db = ovn_host_db(&s->cx, host);
    assert_ok(&s->cx, plug ? ovs_plug(&s->cx, db, "tap" PORT_A1, PORT_A1 TAIL, "test")
                           : ovs_unplug(&s->cx, db, "tap" PORT_A1));
    assert_int_equal(sh(NULL, "ovn-nbctl --db=unix:%s/cloud/nb.sock --wait=hv sync", ovn_dir), 0);
}

/* The same port is plugged on two hosts: as on one that returns after its guests were evacuated,
 * and as a guest that moves leaves it behind. */
static void test_bound(void **state)
{
    struct stage *s = *state;
    place(s, OVN_HOST "1", NULL);
    plug_two(s);
    guest_plug("cvt-b1", NET_A, PORT_A1, MAC_A1);
    sh("cvt-b1", "ip addr add 10.0.0.11/24 dev eth0");
    const int listeners[] = {tcp_listen("cvt-a1", 7000), tcp_listen("cvt-b1", 7000)};
    for (int i = 0; i < 5; i++)
        assert_int_equal(reached(listeners), 0); /* though the other one is on the asker's host */
    place(s, OVN_HOST "2", NULL);
    WITHIN(reached(listeners) == 1);
    plug_at(s, 0, false); /* the first host comes back */
    plug_at(s, 0, true);
    for (int i = 0; i < 5; i++)
        assert_int_equal(reached(listeners), 1);
    /* On its way back: once the guest stands on one host and is plugged on the other, that one has
     * the traffic, whether or not the writer comes to say so. */
    plug_at(s, 0, false);
    place(s, OVN_HOST "2", OVN_HOST "1");
    assert_int_equal(reached(listeners), 1);
    sh("cvt-b1", "ip link set eth0 down");
    plug_at(s, 0, true);
    assert_int_equal(reached(listeners), 0);
    plug_at(s, 1, false);
    assert_int_equal(reached(listeners), 0);
    place(s, OVN_HOST "1", NULL);
    assert_int_equal(reached(listeners), 0);
    close(listeners[0]);
    close(listeners[1]);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
    const struct CMUnitTest tests[] = {TEST(test_distributed), TEST(test_idempotent),
                                       TEST(test_one_writer),  TEST(test_killed),
                                       TEST(test_tap),         TEST(test_bound)};
    if (geteuid() != 0) {
        fprintf(stderr, "needs root: it makes network namespaces\n");
        return 77;
    }
    stage_arguments(&argc, argv);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, stage_group_setup, stage_group_teardown);
}
