/* SPDX-License-Identifier: EUPL-1.2 */
/* The kernel driver against the real kernel: what it makes on the host, also when it is killed on
 * its way or others are there. Root only. */
#include "node/drivers/net/e2e_specs.h"

#include <signal.h>
#include <sys/wait.h>

static void test_tap(void **state)
{
    struct stage *s = *state;
    struct spec_nic nic = {.port_id = PORT_A1 TAIL,
                           .network_id = NET_A TAIL,
                           .mac = MAC_A1,
                           .tap = "tap" PORT_A1,
                           .mtu = 1450};
    int fd = -1, again = -1;
    assert_err(&s->cx, ERR_UNAVAILABLE, s->net.ops->tap_open(&s->cx, s->net.drv, &nic, &fd));
    two_guests(s, ANY_OUT, ANY_OUT);
    assert_ok(&s->cx, s->net.ops->tap_open(&s->cx, s->net.drv, &nic, &fd));
    WITHIN(sh("cv-n-" NET_A, "ip -d link show tap" PORT_A1 " | tr -d '\\n'") == 0 &&
           strstr(sh_out, "state U")); /* UP or UNKNOWN */
    expect_out("mtu 1450");
    expect_out("master br0");
    expect_out("vnet_hdr on");
    assert_err(&s->cx, ERR_IN_USE, s->net.ops->tap_open(&s->cx, s->net.drv, &nic, &again));
    close(fd);
    assert_int_equal(sh("cv-n-" NET_A, "ip link show tap" PORT_A1), 1); /* gone with its holder */
    assert_ok(&s->cx, s->net.ops->tap_open(&s->cx, s->net.drv, &nic, &fd));
    assert_ok(&s->cx, s->net.ops->tap_remove(&s->cx, s->net.drv, NET_A TAIL, nic.tap));
    assert_ok(&s->cx, s->net.ops->tap_remove(&s->cx, s->net.drv, NET_A TAIL, nic.tap));
    assert_int_equal(sh("cv-n-" NET_A, "ip link show tap" PORT_A1), 1);
    close(fd);
}

/* Two tenants, all there is. */
static struct err *apply_world(struct stage *s)
{
    const char *open = ANY_OUT "," ANY_IN;
    struct ctx *cx = &s->cx;
    const struct net_driver *ops = s->net.ops;
    struct err *e =
        network_up(cx, &s->net,
                   network_of(s, "{'id':'" NET_X TAIL
                                 "','mtu':1500,'external':true,'subnets':[],'ports':[]}"));
    if (!e)
        e = network_up(
            cx, &s->net,
            network_of(s, network_json(s, NET_A,
                                       port_json(s, PORT_A1, MAC_A1, ip4_json(s, "10.0.0.11"), open,
                                                 NULL))));
    if (!e)
        e = network_up(cx, &s->net,
                       network_of(s, network_json(s, NET_B,
                                                  port_json(s, PORT_B1, MAC_B1,
                                                            ip4_json(s, "10.0.0.11"), "", NULL))));
    if (!e)
        e = ops->router_apply(
            cx, s->net.drv,
            router_of(s, router_json(s, "5a5a5a5a-00", NET_A, "203.0.113.10",
                                     floating_json(s, "203.0.113.101", "10.0.0.11"))));
    return e ? e
             : ops->router_apply(
                   cx, s->net.drv,
                   router_of(s, router_json(s, "5b5b5b5b-00", NET_B, "203.0.113.20", "")));
}

static struct err *remove_world(struct stage *s)
{
    static const char *const networks[] = {NET_A TAIL, NET_B, NET_X TAIL};
    struct err *e = s->net.ops->router_remove(&s->cx, s->net.drv, "5a5a5a5a-00" TAIL);
    if (!e)
        e = s->net.ops->router_remove(&s->cx, s->net.drv, "5b5b5b5b-00");
    for (size_t i = 0; !e && i < ARRAY_LEN(networks); i++)
        e = s->net.ops->network_remove(&s->cx, s->net.drv, networks[i]);
    return e;
}

/* Fails with the first line that differs. */
static void assert_same(const char *is, const char *was)
{
    const char *line = was;
    while (*is && *is == *was) {
        line = *was == '\n' ? was + 1 : line;
        is++;
        was++;
    }
    if (*is != *was)
        fail_msg("was: %.300s\nis: %.*s%.300s", line, (int)(was - line), line, is);
}

/* Process ids and link numbers differ from one making to the next. */
static const char *without_numbers(struct stage *s, const char *text)
{
    struct buf b;
    buf_init(&b, s->cx.arena);
    int rc;
    char path[128];
    snprintf(path, sizeof(path), "%s/snap", s->dir);
    FILE *f = fopen(path, "we");
    fputs(text, f);
    fclose(f);
    rc = sh(NULL,
            "sed -E 's/^[0-9]+: //; s/@if[0-9]+//; s/link-netns(id)? [^ ]+//; s/ [0-9]+$//; "
            "s/[0-9a-f]{32}//g; /v_/d; s/^[0-9]+$//; "
            "s/(link-netnsid|peer_ifindex|bridge_id|designated|root_id|timer).*//; "
            "s/fa:16:3e:..:..:..//; s/brd .*//; s/ tentative//; s/link.ether [^ ]*//; "
            "s/fe80::[0-9a-f:]+//g' <%s | sort",
            path);
    assert_int_equal(rc, 0);
    buf_str(&b, sh_out);
    return buf_cstr(&b);
}

static void assert_nothing_left(void)
{
    sh(NULL, "{ ip netns list; ls /run/colvert; ip -n " HOST_NS " -br link; } 2>/dev/null | "
             "grep -E '" WORLD "|^rx-|^br-ext'; pgrep -f 'conf-file=/run/colvert/(" WORLD ")' | "
             "grep -v $$");
    assert_string_equal(sh_out, "");
}

static void test_idempotent(void **state)
{
    struct stage *s = *state;
    const char **networks, **routers;
    size_t n_networks, n_routers;
    const char *nothing = snapshot(s);
    assert_ok(&s->cx, apply_world(s));
    const char *first = snapshot(s);
    assert_ok(&s->cx, apply_world(s));
    assert_same(snapshot(s), first);
    assert_ok(&s->cx,
              s->net.ops->list(&s->cx, s->net.drv, &networks, &n_networks, &routers, &n_routers));
    assert_int_equal(n_networks, 3);
    assert_int_equal(n_routers, 2);
    /* What an admin breaks comes back. */
    sh("cv-n-" NET_A, "nft flush ruleset; ip addr flush dev br0; ip link set br0 down; ip link set "
                      "br0 type bridge "
                      "nf_call_iptables 0; ip link set br0 mtu 1400");
    sh("cv-r-5a5a5a5a-00",
       "nft flush ruleset; ip route flush proto static; ip addr flush scope global");
    sh(NULL, "cat /run/colvert/cv-n-" NET_A "/pid");
    const char *pid = arena_strndup(s->cx.arena, sh_out, strcspn(sh_out, "\n"));
    assert_int_equal(sh(NULL, "kill -9 %s", pid), 0);
    WITHIN(sh(NULL, "grep -q . /proc/%s/cmdline", pid) != 0);
    assert_ok(&s->cx, apply_world(s));
    assert_same(without_numbers(s, snapshot(s)), without_numbers(s, first));
    assert_ok(&s->cx, remove_world(s));
    assert_ok(&s->cx, remove_world(s));
    assert_same(snapshot(s), nothing);
    assert_nothing_left();
}

/* Another agent's namespaces are neither listed nor touched. */
static void test_foreign_owner(void **state)
{
    struct stage *s = *state;
    char dir[] = "/tmp/colvert-other-XXXXXX";
    struct net_backend other;
    const char **networks, **routers;
    size_t n_networks, n_routers;
    assert_non_null(mkdtemp(dir));
    two_guests(s, ANY_OUT, ANY_OUT);
    struct kernel_net_config cfg = {
        .netns = HOST_NS, .data_dir = dir, .metadata = stage_answer, .metadata_arg = s};
    assert_ok(&s->cx, kernel_net_new(&s->cx, &cfg, &other));
    assert_ok(&s->cx,
              other.ops->list(&s->cx, other.drv, &networks, &n_networks, &routers, &n_routers));
    assert_int_equal(n_networks, 0);
    assert_ok(&s->cx, other.ops->network_remove(&s->cx, other.drv, NET_A TAIL));
    assert_int_equal(sh("cv-n-" NET_A, "ip link show br0"), 0);
    struct spec_network *spec = network_of(s, network_json(s, NET_A, ""));
    assert_err(&s->cx, ERR_CONFLICT, other.ops->network_apply(&s->cx, other.drv, spec));
    other.ops->free(other.drv);
    rmdir(dir);
}

/* Killed anywhere on its way, the next pass ends where an undisturbed one does. */
static void test_killed(void **state)
{
    struct stage *s = *state;
    assert_ok(&s->cx, apply_world(s));
    const char *whole = without_numbers(s, snapshot(s));
    struct rng_seeded seeded;
    struct rng *rng = rng_seed(&seeded, 20);
    for (int i = 0; i < 12; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            /* An agent of its own: it shares the folder, not the threads. */
            if (stage_driver(s, &s->net) || (i % 2 && remove_world(s)))
                _exit(1);
            _exit(apply_world(s) ? 1 : 0);
        }
        struct timespec ts = {.tv_nsec = (long)rng_below(rng, 400000000)};
        nanosleep(&ts, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        if (i % 3 == 0)
            assert_ok(&s->cx, remove_world(s));
        assert_ok(&s->cx, apply_world(s));
        assert_same(without_numbers(s, snapshot(s)), whole);
    }
    assert_ok(&s->cx, remove_world(s));
    assert_nothing_left();
}

/* A killed agent had just told it to end: the next one does not take it for running. */
static void test_told_to_end(void **state)
{
    struct stage *s = *state;
    const char *one = network_json(
        s, NET_A, port_json(s, PORT_A1, MAC_A1, ip4_json(s, "10.0.0.11"), ANY_OUT, NULL));
    apply_network(s, one);
    assert_int_equal(sh(NULL, "pid=$(cat /run/colvert/cv-n-" NET_A "/pid) && "
                              "kill -STOP $pid && echo $pid"),
                     0);
    const char *pid = arena_strndup(s->cx.arena, sh_out, strcspn(sh_out, "\n"));
    pid_t agent = fork();
    assert_true(agent >= 0);
    if (agent == 0)
        _exit(s->net.ops->network_remove(&s->cx, s->net.drv, NET_A TAIL) != NULL);
    /* SIGTERM is bit 14; a stopped process obeys it later. */
    WITHIN(sh(NULL, "grep -q '^ShdPnd:.*[4-7c-f]...$' /proc/%s/status || ! kill -0 %s", pid, pid) ==
           0);
    kill(agent, SIGKILL);
    assert_int_equal(waitpid(agent, NULL, 0), agent);
    assert_int_equal(sh(NULL, "kill -0 %s", pid), 0);
    apply_network(s, one);
    sh(NULL, "kill -CONT %s", pid);
    WITHIN(sh(NULL, "kill -0 %s && grep -qz dnsmasq /proc/%s/cmdline", pid, pid) != 0);
    guest_plug("cvt-a1", NET_A, PORT_A1, MAC_A1);
    assert_true(guest_dhcp(s, "cvt-a1", MAC_A1));
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_tap),    TEST(test_idempotent),  TEST(test_foreign_owner),
        TEST(test_killed), TEST(test_told_to_end),
    };
    if (geteuid() != 0) {
        fprintf(stderr, "needs root: it makes network namespaces\n");
        return 77;
    }
    stage_arguments(&argc, argv);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, stage_group_setup, stage_group_teardown);
}
