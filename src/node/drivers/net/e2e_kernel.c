/* SPDX-License-Identifier: EUPL-1.2 */
/* The stage of the driver "kernel": its guests' taps are veths in the networks' namespaces. */
#include "node/drivers/net/e2e.h"
#include "node/drivers/net/names.h"

const bool stage_mixed_modes = true;
const bool stage_forwards_inside = true;
const bool stage_link_local = true;

void stage_arguments(int *argc UNUSED, char **argv UNUSED)
{
}

int stage_group_setup(void **state UNUSED)
{
    return 0;
}

int stage_group_teardown(void **state UNUSED)
{
    return 0;
}

struct err *stage_driver(struct stage *s, struct net_backend *ret)
{
    struct kernel_net_config cfg = {
        .netns = HOST_NS,
        .data_dir = s->dir,
        .external_cidr = "203.0.113.1/24",
        .metadata = stage_answer,
        .metadata_arg = s,
    };
    return kernel_net_new(&s->cx, &cfg, ret);
}

int stage_setup(void **state)
{
    struct stage *s = calloc(1, sizeof(*s));
    ctx_init(&s->cx);
    pthread_mutex_init(&s->lock, NULL);
    snprintf(s->dir, sizeof(s->dir), "/tmp/colvert-net-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    assert_ok(&s->cx, stage_driver(s, &s->net));
    *state = s;
    return 0;
}

int stage_teardown(void **state)
{
    struct stage *s = *state;
    const char **networks, **routers;
    size_t n_networks, n_routers;
    assert_ok(&s->cx,
              s->net.ops->list(&s->cx, s->net.drv, &networks, &n_networks, &routers, &n_routers));
    for (size_t i = 0; i < n_routers; i++)
        assert_ok(&s->cx, s->net.ops->router_remove(&s->cx, s->net.drv, routers[i]));
    for (size_t i = 0; i < n_networks; i++)
        assert_ok(&s->cx, s->net.ops->network_remove(&s->cx, s->net.drv, networks[i]));
    sh(NULL,
       "for n in $(ip netns list | cut -d' ' -f1 | grep ^cvt-); do ip netns del $n; done; rm -rf "
       "%s",
       s->dir);
    s->net.ops->free(s->net.drv);
    ctx_release(&s->cx);
    free(s);
    return 0;
}

void guest_plug(const char *guest, const char *network, const char *port, const char *mac)
{
    assert_int_equal(sh(NULL, "ip netns add %s && ip -n %s link set lo up", guest, guest), 0);
    assert_int_equal(
        sh(guest, "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"),
        0);
    if (sh(NULL,
           "ip -n " NETWORK_PREFIX
           "%s link add tap%s type veth peer name eth0 address %s netns %s && "
           "ip -n " NETWORK_PREFIX "%s link set tap%s master br0 up && ip -n %s link set eth0 up",
           network, port, mac, guest, network, port, guest) != 0)
        fail_msg("guest %s: %s", guest, sh_out);
    /* The kernel brings a link to life in its own time; its link-local address comes last. */
    WITHIN(sh(guest, "ip -6 addr show dev eth0 scope link -tentative | grep -q inet6") == 0);
}

bool router_has_route(const char *router, const char *destination, const char *via)
{
    return sh(NULL, "ip netns exec " ROUTER_PREFIX "%s ip route | grep -q '%s via %s'", router,
              destination, via) == 0;
}

const char *snapshot(struct stage *s)
{
    /* Counters, timers, what is learnt and what the kernel does in its own time once a link is up
     * (carrier, link-local addresses) are not state of ours. */
    sh(NULL,
       "for n in " HOST_NS " $(ip netns list | cut -d' ' -f1 | grep -E '" WORLD
       "' | sort); do echo \"== $n\"; "
       "ip netns exec $n nft list ruleset; ip -n $n -d addr | sed 's/_timer *[0-9.]*//g; "
       "s/gc_timer.*//; s/ tentative//; s/ state [A-Za-z]*//; s/NO-CARRIER,//; s/,LOWER_UP//; "
       "/inet6 fe80::a9fe:a9fe/b; /inet6 fe80:/{N;d}'; ip -n $n route | sed 's/ linkdown//'; "
       "ip -n $n -6 route | sed '/^fe80::.64/d; s/ linkdown//; s/expires.*//'; "
       "ip netns exec $n sysctl -a 2>/dev/null | grep -E 'forwarding|rp_filter|disable_ipv6'; "
       "done; for d in $(ls /run/colvert 2>/dev/null | grep -E '" WORLD
       "'); do ls /run/colvert/$d; "
       "done; "
       "for p in $(pgrep -f '^dnsmasq --conf-file=/run/colvert/(" WORLD ")'); do tr '\\0' ' ' "
       "</proc/$p/cmdline; echo $p; done");
    return arena_strdup(s->cx.arena, sh_out);
}
