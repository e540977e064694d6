/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The stage of the driver "ovn": a writer and two hosts, whose daemons tests/ovn-cloud starts. What
 * is applied goes to all three, as the control plane tells it, and is waited for until the hosts'
 * switches have it. Guests are spread over both hosts.
 */
#include "node/drivers/ovn/e2e_ovn.h"
#include "node/drivers/net/names.h"
#include "node/drivers/ovn/ovs.h"

#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

const bool stage_mixed_modes = false;
const bool stage_forwards_inside = false;
const bool stage_link_local = false;

char ovn_dir[64];
static const char *cloud_script; /* tests/ovn-cloud */

void stage_arguments(int *argc, char **argv)
{
    must(*argc > 1);
    cloud_script = argv[1];
    (*argc)--;
    memmove(argv + 1, argv + 2, sizeof(*argv) * (size_t)*argc);
}

int stage_group_setup(void **state UNUSED)
{
    snprintf(ovn_dir, sizeof(ovn_dir), "/tmp/colvert-ovn-XXXXXX");
    if (!mkdtemp(ovn_dir) || sh(NULL,
                                "%s up %s/cloud " HOST_NS " " OVN_HOST "1 " OVN_HOST "2 2>&1 && "
                                "ip -n " HOST_NS " addr add 203.0.113.1/24 dev br-ext",
                                cloud_script, ovn_dir) != 0) {
        print_error("no OVN: %s\n", sh_out);
        return -1;
    }
    return 0;
}

int stage_group_teardown(void **state UNUSED)
{
    return sh(NULL, "%s down %s/cloud; rm -rf %s", cloud_script, ovn_dir, ovn_dir);
}

/* ---------------------------------------------------------------- one driver of three */

/* From several threads at once: not by sh(). */
static struct err *sync_hosts(struct ctx *cx)
{
    const char *db = arena_printf(cx->arena, "--db=unix:%s/cloud/nb.sock", ovn_dir);
    const char *const args[] = {"ovn-nbctl", db, "--timeout=120", "--wait=hv", "sync", NULL};
    pid_t pid;
    int status = 0;
    if (posix_spawnp(&pid, args[0], NULL, NULL, (char **)(void *)args, environ) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot run ovn-nbctl");
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status ? fail(cx, ERR_TIMEOUT, "OVN does not follow its database") : NULL;
}

static struct err *all_network_apply(struct ctx *cx, void *drv, const struct spec_network *spec)
{
    struct ovn_stage *o = drv;
    TRY(o->writer.ops->network_apply(cx, o->writer.drv, spec));
    for (size_t i = 0; i < OVN_HOSTS; i++)
        TRY(o->hosts[i].ops->network_apply(cx, o->hosts[i].drv, spec));
    return sync_hosts(cx);
}

static struct err *all_network_remove(struct ctx *cx, void *drv, const char *id)
{
    struct ovn_stage *o = drv;
    for (size_t i = 0; i < OVN_HOSTS; i++)
        TRY(o->hosts[i].ops->network_remove(cx, o->hosts[i].drv, id));
    TRY(o->writer.ops->network_remove(cx, o->writer.drv, id));
    return sync_hosts(cx);
}

static struct err *all_router_apply(struct ctx *cx, void *drv, const struct spec_router *spec)
{
    struct ovn_stage *o = drv;
    TRY(o->writer.ops->router_apply(cx, o->writer.drv, spec));
    return sync_hosts(cx);
}

static struct err *all_router_remove(struct ctx *cx, void *drv, const char *id)
{
    struct ovn_stage *o = drv;
    TRY(o->writer.ops->router_remove(cx, o->writer.drv, id));
    return sync_hosts(cx);
}

static struct err *all_list(struct ctx *cx, void *drv, const char ***ret_networks,
                            size_t *ret_n_networks, const char ***ret_routers,
                            size_t *ret_n_routers)
{
    struct ovn_stage *o = drv;
    return o->writer.ops->list(cx, o->writer.drv, ret_networks, ret_n_networks, ret_routers,
                               ret_n_routers);
}

static void all_free(void *drv)
{
    struct ovn_stage *o = drv;
    for (size_t i = 0; i < OVN_HOSTS; i++)
        if (o->hosts[i].ops)
            o->hosts[i].ops->free(o->hosts[i].drv);
    if (o->writer.ops)
        o->writer.ops->free(o->writer.drv);
    free(o);
}

static const struct net_driver all_driver = {
    .name = "ovn",
    .network_apply = all_network_apply,
    .network_remove = all_network_remove,
    .router_apply = all_router_apply,
    .router_remove = all_router_remove,
    .list = all_list,
    .free = all_free,
};

const char *ovn_host_db(struct ctx *cx, size_t host)
{
    return arena_printf(cx->arena, "unix:%s/cloud/" OVN_HOST "%zu/db.sock", ovn_dir, host + 1);
}

struct err *ovn_stage_writer(struct ctx *cx, struct net_backend *ret)
{
    const char *nb = arena_printf(cx->arena, "unix:%s/cloud/nb.sock", ovn_dir);
    const char *sb = arena_printf(cx->arena, "unix:%s/cloud/sb.sock", ovn_dir);
    const struct ovn_writer_config cfg = {.nb = nb, .sb = sb};
    return ovn_writer_new(cx, &cfg, ret);
}

/* Hosts of one machine are told apart by their data folders. */
static struct err *stage_host(struct stage *s, size_t i, struct net_backend *ret)
{
    const char *dir = arena_printf(s->cx.arena, "%s/" OVN_HOST "%zu", s->dir, i + 1);
    must(mkdir(dir, 0755) == 0 || errno == EEXIST);
    struct ovn_host_config cfg = {
        .host = {.netns = arena_printf(s->cx.arena, OVN_HOST "%zu", i + 1),
                 .data_dir = dir,
                 .metadata = stage_answer,
                 .metadata_arg = s},
        .ovs_db = ovn_host_db(&s->cx, i),
    };
    return ovn_host_new(&s->cx, &cfg, ret);
}

struct err *stage_driver(struct stage *s, struct net_backend *ret)
{
    struct ovn_stage *o = calloc(1, sizeof(*o));
    bool holds = false;
    must(o);
    struct err *e = ovn_stage_writer(&s->cx, &o->writer);
    for (int tries = 0; !e && !holds && tries < 50; tries++)
        e = ovn_writer_look(&s->cx, &o->writer, tries ? 100 : 0, &holds);
    for (size_t i = 0; !e && i < OVN_HOSTS; i++)
        e = stage_host(s, i, &o->hosts[i]);
    if (e) {
        all_free(o);
        return e;
    }
    *ret = (struct net_backend){.ops = &all_driver, .drv = o};
    return NULL;
}

/* ---------------------------------------------------------------- the stage */

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

/* Fails when anything is left. */
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
    s->net.ops->free(s->net.drv);
    sh(NULL,
       "for n in $(ip netns list | cut -d' ' -f1 | grep ^cvt-); do ip netns del $n; done; rm -rf "
       "%s; cd %s/cloud; for h in $PWD/" OVN_HOST "?; do for p in $(ovs-vsctl --db=unix:$h/db.sock "
       "list-ports br-int | grep ^tap); do ovs-vsctl --db=unix:$h/db.sock del-port $p; ip -n "
       "${h##*/} link del $p 2>/dev/null; done; "
       "done",
       s->dir, ovn_dir);
    assert_int_equal(sh(NULL,
                        "cd %s/cloud; D=unix:$PWD; { ovn-nbctl --db=$D/nb.sock show; for t in "
                        "DHCP_Options ACL Port_Group NAT DNS Load_Balancer HA_Chassis; do "
                        "ovn-nbctl --db=$D/nb.sock --bare --columns=_uuid list $t; done; "
                        "ip netns list | grep -E '^cv-m-.*(aaaaaaaa-11|bbbbbbbb-22|eeeeeeee-99|"
                        "cccc-00)'; for h in " OVN_HOST "?; do "
                        "ovs-vsctl --db=$D/$h/db.sock list-ports br-int | grep cvm-; done; } 2>&1; "
                        "true",
                        ovn_dir),
                     0);
    assert_string_equal(sh_out, "");
    ctx_release(&s->cx);
    free(s);
    return 0;
}

static size_t host_of(const char *guest)
{
    return (size_t)(guest[4] - 'a' + guest[5] - '1') % OVN_HOSTS;
}

void guest_plug(const char *guest, const char *network UNUSED, const char *port, const char *mac)
{
    AUTO_CTX struct ctx cx;
    size_t host = host_of(guest);
    ctx_init(&cx);
    assert_int_equal(sh(NULL, "ip netns add %s && ip -n %s link set lo up", guest, guest), 0);
    assert_int_equal(
        sh(guest, "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"),
        0);
    if (sh(NULL,
           "ip -n " OVN_HOST "%zu link add tap%s type veth peer name eth0 address %s netns %s && "
           "ip -n " OVN_HOST "%zu link set tap%s up && ip -n %s link set eth0 up mtu 1400 && "
           "ip netns exec %s ethtool -K eth0 tx off",
           host + 1, port, mac, guest, host + 1, port, guest, guest) != 0)
        fail_msg("guest %s: %s", guest, sh_out);
    const char *tap = arena_printf(cx.arena, "tap%s", port);
    const char *id = arena_printf(cx.arena, "%s11-4000-8000-000000000000", port);
    assert_ok(&cx, ovs_plug(&cx, ovn_host_db(&cx, host), tap, id, "test"));
    assert_ok(&cx, sync_hosts(&cx));
    WITHIN(sh(guest, "ip -6 addr show dev eth0 scope link -tentative | grep -q inet6") == 0);
}

bool router_has_route(const char *router, const char *destination, const char *via)
{
    return sh(NULL,
              "ovn-nbctl --db=unix:%s/cloud/nb.sock lr-route-list %s11-4000-8000-000000000000 "
              "| grep -q '%s *%s'",
              ovn_dir, router, destination, via) == 0;
}
