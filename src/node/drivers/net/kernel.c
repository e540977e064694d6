/* SPDX-License-Identifier: EUPL-1.2 */
/* The driver "kernel": networks and routers as Linux namespaces, bridges and rules. Its parts are
 * beside this file. */
#include "node/drivers/net/kernel.h"
#include "node/drivers/net/dhcp.h"
#include "node/drivers/net/netns.h"

#include <limits.h>
#include <spawn.h>
#include <sys/wait.h>

#define OWNER_LENGTH 200 /* an alias holds 255 */

bool host_has_ipv6(void)
{
    return access("/proc/sys/net/ipv6", F_OK) == 0;
}

struct err *namespace_ours(struct ctx *cx, struct kernel_net *net, const char *name, bool *ret)
{
    const char *owner;
    TRY(netns_exists(cx, name, ret));
    if (!*ret)
        return NULL;
    struct err *e = netns_owner(cx, name, &owner);
    *ret = !e && str_eq(owner, net->owner);
    return e && e->kind != ERR_NOT_FOUND ? e : NULL;
}

/* Links are deleted by hand: a namespace that loses its name dies some time later, and their other
 * ends with it. */
struct err *namespace_remove(struct ctx *cx, const char *name)
{
    struct links *l;
    struct link *links;
    size_t n;
    TRY(dnsmasq_remove(cx, name));
    struct err *e = links_open(cx, name, &l);
    if (e)
        return e->kind == ERR_NOT_FOUND ? netns_delete(cx, name) : e;
    TRY(link_list(cx, l, &links, &n));
    for (size_t i = 0; i < n; i++)
        if (links[i].kind[0]) /* lo and what the kernel brings have none */
            TRY(link_delete(cx, l, links[i].index));
    return netns_delete(cx, name);
}

struct err *external_ensure(struct ctx *cx, struct kernel_net *net, struct links **ret_links,
                            struct link *ret)
{
    bool found;
    if (net->netns)
        TRY(netns_ensure(cx, net->netns, NULL));
    TRY(links_open(cx, net->netns, ret_links));
    if (!net->external.version) {
        TRY(link_find(cx, *ret_links, EXTERNAL_BRIDGE, ret, &found));
        if (!found)
            return fail(
                cx, ERR_UNAVAILABLE,
                "there is no bridge " EXTERNAL_BRIDGE " for external networks: make it (ip link "
                "add " EXTERNAL_BRIDGE " type bridge; ip link set " EXTERNAL_BRIDGE " up), or "
                "configure the address it is to have");
        return NULL;
    }
    struct mac mac = mac_derive(EXTERNAL_BRIDGE, net->owner);
    TRY(bridge_ensure(cx, *ret_links, EXTERNAL_BRIDGE, &mac, 0, false, ret));
    return addrs_sync(cx, *ret_links, ret, &net->external, 1, false);
}

struct err *namespaces_list(struct ctx *cx, struct kernel_net *net, const char *prefix,
                            const char ***ret, size_t *ret_n)
{
    const char **names;
    size_t n, kept = 0;
    TRY(netns_list(cx, prefix, &names, &n));
    for (size_t i = 0; i < n; i++) {
        bool ours;
        TRY(namespace_ours(cx, net, names[i], &ours));
        if (ours)
            names[kept++] = names[i] + strlen(prefix);
    }
    *ret = names;
    *ret_n = kept;
    return NULL;
}

MUST_USE static struct err *kernel_list(struct ctx *cx, void *drv, const char ***ret_networks,
                                        size_t *ret_n_networks, const char ***ret_routers,
                                        size_t *ret_n_routers)
{
    TRY(namespaces_list(cx, drv, NETWORK_PREFIX, ret_networks, ret_n_networks));
    return namespaces_list(cx, drv, ROUTER_PREFIX, ret_routers, ret_n_routers);
}

void kernel_net_fini(struct kernel_net *net)
{
    metadata_free(net->metadata);
    free(net->netns);
    free(net->owner);
}

static void kernel_free(void *drv)
{
    kernel_net_fini(drv);
    free(drv);
}

static const struct net_driver kernel_driver = {
    .name = "kernel",
    .network_apply = kernel_network_apply,
    .network_serve = kernel_network_serve,
    .network_remove = kernel_network_remove,
    .router_apply = kernel_router_apply,
    .router_remove = kernel_router_remove,
    .tap_open = kernel_tap_open,
    .tap_remove = kernel_tap_remove,
    .list = kernel_list,
    .free = kernel_free,
};

/*
 * Without this module bridged packets pass the security groups by. Nothing loads it by itself, and
 * it cannot be missed from a namespace: its settings are in each of them.
 */
MUST_USE static struct err *filter_module(struct ctx *cx)
{
    static const char *const args[] = {"modprobe", "br_netfilter", NULL};
    const char *setting = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    pid_t pid;
    if (access(setting, F_OK) == 0)
        return NULL;
    if (posix_spawn(&pid, "/sbin/modprobe", NULL, NULL, (char **)(void *)args, environ) == 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    if (access(setting, F_OK) == 0)
        return NULL;
    return fail(cx, ERR_UNAVAILABLE,
                "the kernel module br_netfilter is missing, without which security groups have no "
                "effect: load it (modprobe br_netfilter)");
}

struct err *kernel_net_init(struct ctx *cx, const struct kernel_net_config *cfg,
                            struct kernel_net *net)
{
    char path[PATH_MAX];
    if (cfg->netns && (!cfg->netns[0] || cfg->netns[0] == '.' || strchr(cfg->netns, '/')))
        return fail(cx, ERR_INVALID, "'%s' is not the name of a network namespace", cfg->netns);
    if (!realpath(cfg->data_dir, path))
        return fail(cx, ERR_UNAVAILABLE, "cannot use the data folder %s: %m", cfg->data_dir);
    size_t len = strlen(path), skip = len > OWNER_LENGTH ? len - OWNER_LENGTH : 0;
    net->owner = strdup(arena_printf(cx->arena, "colvert %s", path + skip));
    net->netns = cfg->netns ? strdup(cfg->netns) : NULL;
    must(net->owner && (net->netns || !cfg->netns));
    if (cfg->external_cidr)
        TRY(ip_parse(cx, cfg->external_cidr, &net->external));
    if (cfg->netns)
        TRY(netns_ensure(cx, cfg->netns, NULL));
    return metadata_new(cx, cfg, &net->metadata);
}

struct err *kernel_net_new(struct ctx *cx, const struct kernel_net_config *cfg,
                           struct net_backend *ret)
{
    struct kernel_net *net = calloc(1, sizeof(*net));
    must(net);
    struct err *e = filter_module(cx);
    if (!e)
        e = kernel_net_init(cx, cfg, net);
    if (e) {
        kernel_free(net);
        return e;
    }
    *ret = (struct net_backend){.ops = &kernel_driver, .drv = net};
    return NULL;
}
