/* SPDX-License-Identifier: EUPL-1.2 */
/* Networks and routers that exist in memory only. A tap is an open /dev/null, counted until it is
 * removed. */
#include "node/drivers/fake/fake.h"

enum thing_kind { THING_NETWORK, THING_ROUTER, THING_TAP };

struct thing {
    struct thing *next;
    enum thing_kind kind;
    char id[16];      /* the first eleven characters; a tap's name */
    char network[16]; /* of a tap */
};

struct fake_net {
    pthread_mutex_t lock;
    struct thing *things;
    fake_fault_fn *fault;
    void *fault_arg;
};

static struct err *fault(struct ctx *cx, struct fake_net *f, const char *call, const char *id,
                         bool after)
{
    return f->fault ? f->fault(cx, f->fault_arg, call, id, after) : NULL;
}

/* As on a real host: of an id, the names hold what fits. */
static bool same(const struct thing *t, enum thing_kind kind, const char *id)
{
    return t->kind == kind && strncmp(t->id, id, kind == THING_TAP ? sizeof(t->id) : 11) == 0;
}

static struct thing *find(struct fake_net *f, enum thing_kind kind, const char *id)
{
    struct thing *t = f->things;
    while (t && !same(t, kind, id))
        t = t->next;
    return t;
}

static struct thing *add(struct fake_net *f, enum thing_kind kind, const char *id)
{
    struct thing *t = find(f, kind, id);
    if (t)
        return t;
    t = calloc(1, sizeof(*t));
    must(t);
    t->kind = kind;
    snprintf(t->id, sizeof(t->id), "%.*s", kind == THING_TAP ? 15 : 11, id);
    t->next = f->things;
    f->things = t;
    return t;
}

static void drop(struct fake_net *f, enum thing_kind kind, const char *id)
{
    for (struct thing **p = &f->things; *p;) {
        struct thing *t = *p;
        bool goes = same(t, kind, id) || (kind == THING_NETWORK && t->kind == THING_TAP &&
                                          strncmp(t->network, id, 11) == 0);
        if (goes) {
            *p = t->next;
            free(t);
        } else {
            p = &t->next;
        }
    }
}

static bool network_names_tap(const struct spec_network *spec, const char *tap)
{
    for (size_t i = 0; i < spec->n_ports; i++)
        if (str_eq(spec->ports[i].tap, tap))
            return true;
    return false;
}

/* Taps of ports that are no longer in the network go with its next revision. */
static void drop_old_taps(struct fake_net *f, const struct spec_network *spec)
{
    for (struct thing **p = &f->things; *p;) {
        struct thing *t = *p;
        if (t->kind == THING_TAP && strncmp(t->network, spec->id, 11) == 0 &&
            !network_names_tap(spec, t->id)) {
            *p = t->next;
            free(t);
        } else {
            p = &t->next;
        }
    }
}

static struct err *fake_network_apply(struct ctx *cx, void *drv, const struct spec_network *spec)
{
    struct fake_net *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "network_apply", spec->id, false));
    add(f, THING_NETWORK, spec->id);
    drop_old_taps(f, spec);
    return fault(cx, f, "network_apply", spec->id, true);
}

/* Its faults may use other calls. */
static struct err *fake_network_serve(struct ctx *cx, void *drv, const struct spec_network *spec)
{
    struct fake_net *f = drv;
    pthread_mutex_lock(&f->lock);
    bool here = find(f, THING_NETWORK, spec->id) != NULL;
    pthread_mutex_unlock(&f->lock);
    if (!here)
        return fail(cx, ERR_CONFLICT, "network %s is not on this host", spec->id);
    TRY(fault(cx, f, "network_serve", spec->id, false));
    return fault(cx, f, "network_serve", spec->id, true);
}

static struct err *fake_network_remove(struct ctx *cx, void *drv, const char *network_id)
{
    struct fake_net *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "network_remove", network_id, false));
    drop(f, THING_NETWORK, network_id);
    return fault(cx, f, "network_remove", network_id, true);
}

static struct err *fake_router_apply(struct ctx *cx, void *drv, const struct spec_router *spec)
{
    struct fake_net *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "router_apply", spec->id, false));
    for (size_t i = 0; i < spec->n_interfaces; i++)
        if (!find(f, THING_NETWORK, spec->interfaces[i].network_id))
            return fail(cx, ERR_CONFLICT, "network %s is not on this host",
                        spec->interfaces[i].network_id);
    add(f, THING_ROUTER, spec->id);
    return fault(cx, f, "router_apply", spec->id, true);
}

static struct err *fake_router_remove(struct ctx *cx, void *drv, const char *router_id)
{
    struct fake_net *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "router_remove", router_id, false));
    drop(f, THING_ROUTER, router_id);
    return fault(cx, f, "router_remove", router_id, true);
}

static struct err *fake_tap_open(struct ctx *cx, void *drv, const struct spec_nic *nic, int *ret_fd)
{
    struct fake_net *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "tap_open", nic->tap, false));
    if (!find(f, THING_NETWORK, nic->network_id))
        return fail(cx, ERR_CONFLICT, "network %s is not on this host", nic->network_id);
    struct thing *t = add(f, THING_TAP, nic->tap);
    snprintf(t->network, sizeof(t->network), "%.11s", nic->network_id);
    AUTO_FD int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot open /dev/null: %m");
    TRY(fault(cx, f, "tap_open", nic->tap, true));
    *ret_fd = TAKE_FD(fd);
    return NULL;
}

static struct err *fake_tap_remove(struct ctx *cx, void *drv, const char *network_id,
                                   const char *tap)
{
    struct fake_net *f = drv;
    (void)network_id;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "tap_remove", tap, false));
    drop(f, THING_TAP, tap);
    return fault(cx, f, "tap_remove", tap, true);
}

static size_t count(struct fake_net *f, enum thing_kind kind)
{
    size_t n = 0;
    for (const struct thing *t = f->things; t; t = t->next)
        n += t->kind == kind;
    return n;
}

static const char **names(struct ctx *cx, struct fake_net *f, enum thing_kind kind, size_t *ret_n)
{
    const char **out = arena_new_array(cx->arena, const char *, count(f, kind) + 1);
    *ret_n = 0;
    for (const struct thing *t = f->things; t; t = t->next)
        if (t->kind == kind)
            out[(*ret_n)++] = arena_strdup(cx->arena, t->id);
    return out;
}

static struct err *fake_net_list(struct ctx *cx, void *drv, const char ***ret_networks,
                                 size_t *ret_n_networks, const char ***ret_routers,
                                 size_t *ret_n_routers)
{
    struct fake_net *f = drv;
    AUTO_LOCK(&f->lock);
    TRY(fault(cx, f, "net_list", NULL, false));
    *ret_networks = names(cx, f, THING_NETWORK, ret_n_networks);
    *ret_routers = names(cx, f, THING_ROUTER, ret_n_routers);
    return NULL;
}

static void fake_net_free(void *drv)
{
    struct fake_net *f = drv;
    while (f->things) {
        struct thing *t = f->things;
        f->things = t->next;
        free(t);
    }
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static const struct net_driver fake_net_driver = {
    .name = "fake",
    .network_apply = fake_network_apply,
    .network_serve = fake_network_serve,
    .network_remove = fake_network_remove,
    .router_apply = fake_router_apply,
    .router_remove = fake_router_remove,
    .tap_open = fake_tap_open,
    .tap_remove = fake_tap_remove,
    .list = fake_net_list,
    .free = fake_net_free,
};

void fake_net_new(struct net_backend *ret)
{
    struct fake_net *f = calloc(1, sizeof(*f));
    must(f);
    pthread_mutex_init(&f->lock, NULL);
    *ret = (struct net_backend){.ops = &fake_net_driver, .drv = f};
}

/* ---- for tests ---- */

static struct fake_net *fake_of(struct net_backend *b)
{
    must(b->ops == &fake_net_driver);
    return b->drv;
}

void fake_net_set_fault(struct net_backend *b, fake_fault_fn *fn, void *arg)
{
    struct fake_net *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    f->fault = fn;
    f->fault_arg = arg;
}

static size_t count_locked(struct net_backend *b, enum thing_kind kind)
{
    struct fake_net *f = fake_of(b);
    AUTO_LOCK(&f->lock);
    return count(f, kind);
}

size_t fake_net_networks(struct net_backend *b)
{
    return count_locked(b, THING_NETWORK);
}

size_t fake_net_routers(struct net_backend *b)
{
    return count_locked(b, THING_ROUTER);
}

size_t fake_net_taps(struct net_backend *b)
{
    return count_locked(b, THING_TAP);
}
