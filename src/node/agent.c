/* SPDX-License-Identifier: EUPL-1.2 */
/* See agent.h: the table of items, what the watch says of them, whose turn it is, and reports. */
#include "node/agent_impl.h"
#include <arpa/inet.h>

#define READER(kind)                                                                               \
    static struct err *read_##kind(struct ctx *cx, const json_t *j, struct desired *d)             \
    {                                                                                              \
        return spec_##kind##_read(cx, j, &d->kind);                                                \
    }
READER(network)
READER(router)
READER(volume)
READER(server)
READER(export)
READER(image)

#define KIND(kind)                                                                                 \
    {                                                                                              \
#kind, read_##kind, offsetof(struct desired, kind.id),                                     \
            offsetof(struct desired, kind.revision)                                                \
    }
static const struct kind {
    const char *name;
    struct err *(*read)(struct ctx *cx, const json_t *j, struct desired *d);
    size_t id, revision; /* where a spec has them */
} kinds[] = {
    [ITEM_NETWORK] = KIND(network), [ITEM_ROUTER] = KIND(router), [ITEM_VOLUME] = KIND(volume),
    [ITEM_SERVER] = KIND(server),   [ITEM_EXPORT] = KIND(export), [ITEM_IMAGE] = KIND(image)};

/* Full answers in a row that have to leave an item out before it goes. */
enum { MISSES_MAX = 2, ITEMS_MAX = 100000 };

const char *item_kind_name(enum item_kind kind)
{
    return kinds[kind].name;
}

static bool kind_of(const char *name, enum item_kind *ret)
{
    for (enum item_kind k = 0; k < ITEM_KINDS; k++) {
        if (str_eq(name, kinds[k].name)) {
            *ret = k;
            return true;
        }
    }
    return false;
}

struct agent *agent_new(const struct agent_setup *setup)
{
    struct agent *a = calloc(1, sizeof(*a));
    must(a);
    a->setup = *setup;
    if (!a->setup.shutdown_timeout_us)
        a->setup.shutdown_timeout_us = INT64_C(60) * 1000000;
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

bool ids_have(const struct id_list *l, const char *id)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->of[i], id))
            return true;
    return false;
}

void ids_add(struct id_list *l, const char *id)
{
    if (ids_have(l, id))
        return;
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 4;
        l->of = realloc(l->of, l->cap * sizeof(l->of[0]));
        must(l->of);
    }
    must(strlen(id) < sizeof(l->of[0]));
    memcpy(l->of[l->n++], id, strlen(id) + 1);
}

struct desired *desired_ref(struct desired *d)
{
    if (d)
        d->refs++;
    return d;
}

void desired_unref(struct desired *d)
{
    if (!d || --d->refs)
        return;
    ctx_release(&d->cx);
    free(d);
}

void item_set_text(char **to, const char *text)
{
    free(*to);
    *to = text ? strdup(text) : NULL;
    must(!text || *to);
}

static void item_free(struct item *it)
{
    must(!it->busy);
    desired_unref(it->desired);
    desired_unref(it->applied);
    free(it->holds.of);
    if (it->password)
        secret_wipe(it->password, strlen(it->password));
    free(it->password);
    free(it->spec_error);
    free(it->error);
    free(it->report);
    free(it);
}

void agent_free(struct agent *a)
{
    if (!a)
        return;
    while (a->items) {
        struct item *it = a->items;
        a->items = it->next;
        item_free(it);
    }
    pthread_mutex_destroy(&a->lock);
    free(a);
}

void agent_wake(struct agent *a)
{
    if (a->setup.wake)
        a->setup.wake(a->setup.wake_arg);
}

/* Of networks and routers the host knows only the start of the id. */
static bool same_id(enum item_kind kind, const char *a, const char *b)
{
    if (str_eq(a, b))
        return true;
    return (kind == ITEM_NETWORK || kind == ITEM_ROUTER) && (strlen(a) == 11 || strlen(b) == 11) &&
           strncmp(a, b, 11) == 0;
}

struct item *item_find(struct agent *a, enum item_kind kind, const char *id)
{
    struct item *it = a->items;
    while (it && !(it->kind == kind && same_id(kind, it->id, id)))
        it = it->next;
    return it;
}

static struct item *item_add(struct agent *a, enum item_kind kind, const char *id)
{
    struct item *it = calloc(1, sizeof(*it));
    must(it && strlen(id) < sizeof(it->id));
    it->kind = kind;
    memcpy(it->id, id, strlen(id) + 1);
    it->next = a->items;
    a->items = it;
    return it;
}

void item_due(struct agent *a, struct item *it, int64_t when_us)
{
    if (it->queued && it->due_us <= when_us)
        return;
    it->queued = true;
    it->due_us = when_us;
    agent_wake(a);
}

/* ---- what is desired ---- */

int64_t agent_revision(struct agent *a)
{
    AUTO_LOCK(&a->lock);
    return a->revision;
}

/* The spec of an item; an unreadable one leaves what was known, and is reported. */
static void take_spec(struct ctx *cx, struct item *it, const json_t *spec, int64_t revision)
{
    struct desired *d = calloc(1, sizeof(*d));
    must(d);
    d->refs = 1;
    ctx_init_with(&d->cx, cx->clock, cx->rng);
    const struct kind *kind = &kinds[it->kind];
    struct err *e = kind->read(&d->cx, spec, d);
    if (!e && !str_eq(*(const char **)((char *)d + kind->id), it->id))
        e = fail(&d->cx, ERR_INVALID, "%s spec: its id is another's", kind->name);
    item_set_text(&it->spec_error, e ? e->message : NULL);
    if (e) {
        desired_unref(d);
        return;
    }
    d->revision = *(int64_t *)((char *)d + kind->revision) = revision;
    desired_unref(it->desired);
    it->desired = d;
}

/* Nothing of an answer is taken unless all of it can be. */
static struct err *check_items(struct ctx *cx, const json_t *items)
{
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *j = json_array_get(items, i);
        const char *id = json_get_str(j, "id");
        if (!json_get_str(j, "kind") || !id || strlen(id) != 36 || !uuid_valid(id) ||
            json_get_int(j, "revision", -1) < 0)
            return fail(cx, ERR_INVALID,
                        "the watch's answer has an item without kind, id or revision");
    }
    return NULL;
}

/* anew: the control plane's revisions went back, so an equal one may mean another spec. */
static void take_item(struct ctx *cx, struct agent *a, const json_t *j, bool anew)
{
    enum item_kind kind;
    const char *id = json_get_str(j, "id");
    int64_t revision = json_get_int(j, "revision", -1);
    if (!kind_of(json_get_str(j, "kind"), &kind))
        return; /* a newer control plane's: not ours to judge */
    bool deleted = json_get_bool(j, "deleted", false);
    struct item *it = item_find(a, kind, id);
    if (!it)
        it = item_add(a, kind, id);
    memcpy(it->id, id, 37);
    it->misses = 0;
    if (!anew && it->revision == revision && revision && it->deleted == deleted)
        return;
    it->revision = revision;
    if (!deleted && it->deleted)
        it->destroyed = it->gone = false;
    it->deleted = deleted;
    atomic_store(&it->given_up, deleted);
    it->failures = 0;
    if (deleted)
        item_set_text(&it->spec_error, NULL);
    else
        take_spec(cx, it, json_get(j, "spec"), revision);
    if (it->sending)
        atomic_store(&it->given_up, move_is_given_up(it));
    item_due(a, it, 0);
}

/* What a full answer left out, twice in a row, goes. Called before its items are taken, which reset
 * the count. */
static void count_misses(struct agent *a)
{
    for (struct item *it = a->items; it; it = it->next)
        it->misses++;
}

static void drop_missed(struct ctx *cx, struct agent *a)
{
    for (struct item *it = a->items; it; it = it->next) {
        if (it->deleted || it->misses < MISSES_MAX)
            continue;
        log_event(cx, LOG_WARN, "the control plane does not know this: removing it", "kind",
                  kinds[it->kind].name, "id", it->id, NULL);
        it->deleted = true;
        atomic_store(&it->given_up, true);
        it->failures = 0;
        item_due(a, it, 0);
    }
}

struct err *agent_take(struct ctx *cx, struct agent *a, int64_t since, const json_t *answer)
{
    const json_t *items = json_get(answer, "items");
    int64_t revision = json_get_int(answer, "revision", -1);
    bool full = json_get_bool(answer, "full", false);
    size_t n = json_array_size(items);
    if (!json_is_array(items) || revision < 0 || n > ITEMS_MAX)
        return fail(cx, ERR_INVALID, "the watch's answer is not what the protocol says");
    TRY(check_items(cx, items));
    AUTO_LOCK(&a->lock);
    if (!a->swept)
        return NULL;
    if (since != a->revision && !(full && revision >= a->revision))
        return NULL; /* late: what it says is known already, or will be asked for again */
    if (full && n)
        count_misses(a);
    for (size_t i = 0; i < n; i++)
        take_item(cx, a, json_array_get(items, i), revision < a->revision);
    if (full && n)
        drop_missed(cx, a);
    a->revision = revision;
    return NULL;
}

/* ---- what the host has ---- */

/* NULL where there is an item already. */
static struct item *add_found(struct agent *a, enum item_kind kind, const char *id)
{
    if (strlen(id) >= sizeof(((struct item *)0)->id) || item_find(a, kind, id))
        return NULL;
    return item_add(a, kind, id);
}

static void add_all_found(struct agent *a, enum item_kind kind, const char *const *ids, size_t n)
{
    AUTO_LOCK(&a->lock);
    for (size_t i = 0; i < n; i++)
        add_found(a, kind, ids[i]);
}

/* With what it has open: nobody else may have that. */
static struct err *add_found_guest(struct ctx *cx, struct agent *a, const char *id)
{
    struct guest_state is;
    pthread_mutex_lock(&a->lock);
    bool known = item_find(a, ITEM_SERVER, id) != NULL;
    pthread_mutex_unlock(&a->lock);
    if (known)
        return NULL;
    TRY(a->setup.guests.ops->state(cx, a->setup.guests.drv, id, &is));
    AUTO_LOCK(&a->lock);
    struct item *it = add_found(a, ITEM_SERVER, id);
    for (size_t i = 0; it && i < is.n_volumes; i++)
        ids_add(&it->holds, is.volumes[i]);
    return NULL;
}

struct err *agent_sweep(struct ctx *cx, struct agent *a)
{
    const char **ids, **routers;
    size_t n, n_routers;
    TRY(a->setup.guests.ops->list(cx, a->setup.guests.drv, &ids, &n));
    for (size_t i = 0; i < n; i++)
        TRY(add_found_guest(cx, a, ids[i]));
    TRY(a->setup.net.ops->list(cx, a->setup.net.drv, &ids, &n, &routers, &n_routers));
    add_all_found(a, ITEM_NETWORK, ids, n);
    add_all_found(a, ITEM_ROUTER, routers, n_routers);
    if (a->setup.volumes.ops) {
        TRY(a->setup.volumes.ops->list(cx, a->setup.volumes.drv, &ids, &n));
        add_all_found(a, ITEM_VOLUME, ids, n);
    }
    TRY(exports_list(cx, a, &ids, &n));
    add_all_found(a, ITEM_EXPORT, ids, n);
    if (a->setup.images.kept) {
        TRY(a->setup.images.kept(cx, a->setup.images.arg, &ids, &n));
        add_all_found(a, ITEM_IMAGE, ids, n);
    }
    AUTO_LOCK(&a->lock);
    a->swept = true;
    return NULL;
}

/* ---- whose turn it is ---- */

static unsigned lane_of(const struct item *it)
{
    bool leaves = it->kind == ITEM_SERVER && it->desired && !it->deleted &&
                  it->desired->server.move.role == MOVE_OUT;
    return leaves ? LEAVING_SERVERS : 1u << it->kind;
}

struct item *agent_claim(struct agent *a, unsigned kinds_of, int64_t mono_us, int64_t *ret_next_us)
{
    AUTO_LOCK(&a->lock);
    struct item *best = NULL;
    *ret_next_us = INT64_MAX;
    for (struct item *it = a->items; it; it = it->next) {
        if (!it->queued || it->busy || !(kinds_of & lane_of(it)))
            continue;
        *ret_next_us = min_i64(*ret_next_us, it->due_us);
        /* Among equals in the order of their kinds: servers wait for those before. */
        if (it->due_us <= mono_us && (!best || it->due_us < best->due_us ||
                                      (it->due_us == best->due_us && it->kind < best->kind)))
            best = it;
    }
    if (best) {
        best->busy = true;
        best->queued = false;
    }
    return best;
}

static void poke_where(struct agent *a, bool all)
{
    a->changes++;
    for (struct item *it = a->items; it; it = it->next)
        if (all || it->waiting)
            item_due(a, it, 0);
}

void agent_poke_all(struct agent *a)
{
    AUTO_LOCK(&a->lock);
    poke_where(a, true);
}

void agent_poke_locked(struct agent *a)
{
    poke_where(a, false);
}

void agent_poke(struct agent *a)
{
    AUTO_LOCK(&a->lock);
    agent_poke_locked(a);
}

void agent_guest_changed(void *agent, const char *server_id)
{
    struct agent *a = agent;
    AUTO_LOCK(&a->lock);
    struct item *it = item_find(a, ITEM_SERVER, server_id);
    if (it && (!it->failures ||
               it->waiting)) /* a start that fails may say so this way too: it has its turn */
        item_due(a, it, 0);
}

/* ---- reports ---- */

struct report_batch {
    size_t n;
    struct {
        enum item_kind kind;
        char id[40];
        uint64_t seq;
    } of[];
};

struct report_batch *agent_reports(struct ctx *cx, struct agent *a, size_t max,
                                   struct buf *ret_body)
{
    AUTO_LOCK(&a->lock);
    struct report_batch *b = arena_alloc(cx->arena, sizeof(*b) + max * sizeof(b->of[0]));
    struct jw w;
    jw_init(&w, ret_body);
    jw_obj(&w);
    jw_karr(&w, "reports");
    for (struct item *it = a->items; it && b->n < max; it = it->next) {
        if (!it->report || it->acked_seq == it->report_seq)
            continue;
        b->of[b->n].kind = it->kind;
        b->of[b->n].seq = it->report_seq;
        memcpy(b->of[b->n++].id, it->id, sizeof(it->id));
        jw_obj(&w);
        jw_kstr(&w, "kind", kinds[it->kind].name);
        jw_kstr(&w, "id", it->id);
        jw_kint(&w, "at", it->reported_at_us);
        jw_kraw(&w, "observed", it->report);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return b->n ? b : NULL;
}

/* Gone, told, and nobody is working on it or brought it back. */
void forget_gone(struct agent *a)
{
    for (struct item **p = &a->items; *p;) {
        struct item *it = *p;
        if (it->gone && it->deleted && !it->busy && !it->queued &&
            it->acked_seq == it->report_seq) {
            *p = it->next;
            item_free(it);
        } else {
            p = &it->next;
        }
    }
}

void agent_reports_done(struct agent *a, const struct report_batch *batch)
{
    AUTO_LOCK(&a->lock);
    for (size_t i = 0; i < batch->n; i++) {
        struct item *it = item_find(a, batch->of[i].kind, batch->of[i].id);
        if (!it || it->report_seq != batch->of[i].seq)
            continue;
        it->acked_seq = it->report_seq;
        it->password_told = it->password_told || it->password_in_report;
    }
    forget_gone(a);
}

/* ---- for metadata, metrics and tests ---- */

static bool same_ip(const char *a, const char *b)
{
    uint8_t x[16], y[16];
    if (inet_pton(AF_INET, a, x) == 1)
        return inet_pton(AF_INET, b, y) == 1 && memcmp(x, y, 4) == 0;
    return inet_pton(AF_INET6, a, x) == 1 && inet_pton(AF_INET6, b, y) == 1 &&
           memcmp(x, y, 16) == 0;
}

static const char *device_by_ip(const struct spec_network *net, const char *ip)
{
    for (size_t i = 0; i < net->n_ports; i++)
        for (size_t k = 0; k < net->ports[i].n_fixed_ips; k++)
            if (same_ip(net->ports[i].fixed_ips[k].ip, ip))
                return net->ports[i].device_id;
    return NULL;
}

/* What metadata needs of a spec, in memory of the caller. */
static void copy_server(struct ctx *cx, const struct spec_server *from, struct spec_server *to)
{
    struct arena *m = cx->arena;
    *to = (struct spec_server){
        .id = arena_strdup(m, from->id),
        .name = arena_strdup(m, from->name),
        .hostname = arena_strdup(m, from->hostname),
        .project_id = arena_strdup(m, from->project_id),
        .image = {.id = arena_strdup(m, from->image.id)},
        .user_data_size = from->user_data_size,
        .password_data = arena_strdup(m, from->password_data),
        .vcpus = from->vcpus,
        .memory_mib = from->memory_mib,
        .n_nics = from->n_nics,
        .nics = arena_new_array(m, struct spec_nic, from->n_nics + 1),
        .meta_data = json_own(cx, json_deep_copy(from->meta_data)),
        .network_data = json_own(cx, json_deep_copy(from->network_data)),
    };
    if (from->vendor_data)
        to->vendor_data = json_own(cx, json_deep_copy(from->vendor_data));
    if (from->user_data)
        to->user_data = arena_memdup(m, from->user_data, from->user_data_size);
    for (size_t i = 0; i < from->n_nics; i++)
        to->nics[i].mac = arena_strdup(m, from->nics[i].mac);
}

static bool router_joins(const struct spec_router *r, const char *network_id)
{
    for (size_t i = 0; i < r->n_interfaces; i++)
        if (str_eq(r->interfaces[i].network_id, network_id))
            return true;
    return false;
}

/* The floating IP that a router of the network gives to this address; NULL: none. */
static const char *floating_of(const struct agent *a, const char *network_id, const char *ip)
{
    for (const struct item *it = a->items; it; it = it->next) {
        if (it->kind != ITEM_ROUTER || !it->desired || it->deleted ||
            !router_joins(&it->desired->router, network_id))
            continue;
        const struct spec_router *r = &it->desired->router;
        for (size_t i = 0; i < r->n_floating; i++)
            if (same_ip(r->floating[i].fixed_ip, ip))
                return r->floating[i].floating_ip;
    }
    return NULL;
}

bool agent_server_by_ip(struct ctx *cx, struct agent *a, const char *network_id, const char *ip,
                        struct spec_server *ret)
{
    AUTO_LOCK(&a->lock);
    const struct item *net = item_find(a, ITEM_NETWORK, network_id);
    if (!net || !net->desired || net->deleted)
        return false;
    const char *device = device_by_ip(&net->desired->network, ip);
    struct item *server = device ? item_find(a, ITEM_SERVER, device) : NULL;
    if (!server || !server->desired || server->deleted)
        return false;
    copy_server(cx, &server->desired->server, ret);
    ret->public_ip = arena_strdup(cx->arena, floating_of(a, net->id, ip));
    const char *pending = password_pending(cx, a, server);
    if (pending)
        ret->password_data = pending;
    return true;
}

bool agent_knows_server(struct agent *a, const char *id)
{
    AUTO_LOCK(&a->lock);
    const struct item *it = item_find(a, ITEM_SERVER, id);
    return it && it->desired && !it->deleted;
}

void agent_get_stats(struct agent *a, int64_t mono_us, struct agent_stats *ret)
{
    AUTO_LOCK(&a->lock);
    *ret = (struct agent_stats){.steps = a->steps, .actions = a->actions, .failures = a->failures};
    for (const struct item *it = a->items; it; it = it->next) {
        ret->items[it->kind]++;
        ret->busy += it->busy;
        ret->due += it->queued && it->due_us <= mono_us;
        ret->failing += it->error != NULL;
        ret->undelivered += it->report && it->acked_seq != it->report_seq;
    }
}
