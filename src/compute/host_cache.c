/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What placement needs to know of all hosts, kept in this process's memory: reading it anew for
 * each decision costs more than the decision. It is only what to choose by: what is chosen is read
 * again in the transaction that promises it (placing.c), so that it may be late here, and is.
 *
 * Kept current by what the fleet says of commits (fleet_on_difference), of this process and of
 * others; by a look at all revisions every few seconds, which also tells who is alive; and by
 * reading a few hosts anew at each such look, whatever is said of them.
 */
#include "compute/placing.h"

#define LOOK_US INT64_C(5000000)
/* A creation waits for a look only where nobody else sees to it. */
#define LATE_US INT64_C(10000000)
enum {
    READ_MAX = 64, /* hosts that one refresh reads one by one */
    SHARE = 64,    /* of all hosts are read anew at each look */
    ROUNDS_MAX = 8 /* of one tick: others go on marking hosts */
};

struct host_cache {
    pthread_mutex_t lock;     /* nothing below it waits for the store */
    struct place_host *hosts; /* by name; what they point to is in blocks */
    void **blocks;
    struct place_host **by_id;
    bool *stale;
    size_t n, n_stale, next_anew;
    bool loaded;
    bool all_stale, refreshing;
    int64_t looked_us;
};

static void *cache_make(void)
{
    struct host_cache *hc = calloc(1, sizeof(*hc));
    must(hc && pthread_mutex_init(&hc->lock, NULL) == 0);
    return hc;
}

static void cache_clear(struct host_cache *hc)
{
    for (size_t i = 0; i < hc->n; i++)
        free(hc->blocks[i]);
    free(TAKE_PTR(hc->hosts));
    free(TAKE_PTR(hc->blocks));
    free(TAKE_PTR(hc->by_id));
    free(TAKE_PTR(hc->stale));
    hc->n = hc->n_stale = hc->next_anew = 0;
}

static void cache_drop(void *kept)
{
    struct host_cache *hc = kept;
    cache_clear(hc);
    pthread_mutex_destroy(&hc->lock);
    free(hc);
}

static struct host_cache *cache_of(struct store *s)
{
    static const struct store_memory key = {cache_make, cache_drop};
    return store_memory(s, &key);
}

/* ---------------------------------------------------------------- with the lock held */

static bool find(const struct host_cache *hc, const char *id, size_t *ret)
{
    const struct place_host *h = hc->n ? host_with_id(hc->by_id, hc->n, id) : NULL;
    if (h)
        *ret = (size_t)(h - hc->hosts);
    return h != NULL;
}

static void set_stale(struct host_cache *hc, size_t i, bool stale)
{
    hc->n_stale += (size_t)stale - (size_t)hc->stale[i];
    hc->stale[i] = stale;
}

static const char *pack(char **at, const char *text)
{
    if (!text)
        return NULL;
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*at, text, size);
    *at += size;
    return copy;
}

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static size_t block_size(const struct place_host *h)
{
    size_t size = text_size(h->id) + text_size(h->name) + text_size(h->zone) +
                  text_size(h->disabled_reason) + text_size(h->address) + text_size(h->pool_id) +
                  h->n_metadata * sizeof(*h->metadata) + h->n_traits * sizeof(*h->traits);
    for (size_t i = 0; i < h->n_metadata; i++)
        size += text_size(h->metadata[i].key) + text_size(h->metadata[i].value);
    for (size_t i = 0; i < h->n_traits; i++)
        size += text_size(h->traits[i]);
    return size;
}

/* A copy whose texts and lists are in one block. */
static struct place_host copy_of(const struct place_host *h, void **ret_block)
{
    struct place_host copy = *h;
    struct place_pair *metadata = *ret_block = malloc(block_size(h) + 1);
    must(metadata);
    const char **traits = (const char **)(metadata + h->n_metadata);
    char *at = (char *)(traits + h->n_traits);
    copy.id = pack(&at, h->id);
    copy.name = pack(&at, h->name);
    copy.zone = pack(&at, h->zone);
    copy.disabled_reason = pack(&at, h->disabled_reason);
    copy.address = pack(&at, h->address);
    copy.pool_id = pack(&at, h->pool_id);
    for (size_t i = 0; i < h->n_metadata; i++)
        metadata[i] =
            (struct place_pair){pack(&at, h->metadata[i].key), pack(&at, h->metadata[i].value)};
    for (size_t i = 0; i < h->n_traits; i++)
        traits[i] = pack(&at, h->traits[i]);
    copy.metadata = metadata;
    copy.traits = traits;
    copy.group_members = 0;
    return copy;
}

/* Unless what is there was read later. */
static void take_one(struct host_cache *hc, const struct place_host *h)
{
    size_t i;
    if (!find(hc, h->id, &i) || h->generation < hc->hosts[i].generation)
        return;
    void *old = hc->blocks[i];
    hc->hosts[i] = copy_of(h, &hc->blocks[i]);
    free(old);
}

static void take_all(struct ctx *cx, struct host_cache *hc, const struct place_host *hosts,
                     size_t n)
{
    cache_clear(hc);
    hc->hosts = calloc(n + 1, sizeof(*hc->hosts));
    hc->blocks = calloc(n + 1, sizeof(*hc->blocks));
    hc->by_id = calloc(n + 1, sizeof(struct place_host *));
    hc->stale = calloc(n + 1, sizeof(*hc->stale));
    must(hc->hosts && hc->blocks && hc->by_id && hc->stale);
    for (size_t i = 0; i < n; i++)
        hc->hosts[i] = copy_of(&hosts[i], &hc->blocks[i]);
    memcpy(hc->by_id, hosts_by_id(cx, hc->hosts, n), n * sizeof(struct place_host *));
    hc->n = n;
    hc->loaded = true;
    hc->looked_us = mono_us(cx);
}

/* ---------------------------------------------------------------- what is said of hosts */

static void differs(struct store *s, const char *host_id)
{
    struct host_cache *hc = cache_of(s);
    size_t i;
    AUTO_LOCK(&hc->lock);
    if (host_id && find(hc, host_id, &i))
        set_stale(hc, i, true);
    else
        hc->all_stale = true; /* any host, or a new one */
}

void host_cache_init(void)
{
    fleet_on_difference(differs);
}

void host_cache_forget(struct store *s)
{
    differs(s, NULL);
}

/* ---------------------------------------------------------------- refreshing */

struct refresh {
    struct host_cache *hc;
    int64_t look_us; /* how old the last look may be */
    bool all, look;
    const char **ids; /* to be read one by one */
    size_t n_ids;
};

static void add_stale(struct ctx *cx, struct refresh *r)
{
    struct host_cache *hc = r->hc;
    r->ids = arena_new_array(cx->arena, const char *, hc->n_stale + 1);
    r->n_ids = 0;
    for (bool *p = hc->stale; hc->n_stale && r->n_ids < READ_MAX;) {
        p = memchr(p, true, hc->n - (size_t)(p - hc->stale));
        size_t i = (size_t)(p++ - hc->stale);
        r->ids[r->n_ids++] = arena_strdup(cx->arena, hc->hosts[i].id);
        set_stale(hc, i, false);
    }
}

/* False: there is nothing to do, or another thread is doing it. */
static bool begin(struct ctx *cx, struct refresh *r)
{
    struct host_cache *hc = r->hc;
    AUTO_LOCK(&hc->lock);
    r->all = !hc->loaded || hc->all_stale;
    r->look = mono_us(cx) - hc->looked_us >= r->look_us;
    if (hc->refreshing || (!r->all && !r->look && !hc->n_stale))
        return false;
    hc->refreshing = true;
    hc->all_stale = false; /* what is said from now on counts again */
    if (!r->all)
        add_stale(cx, r);
    return true;
}

static void take_pulse(struct refresh *r, const struct fleet_pulse *p)
{
    struct host_cache *hc = r->hc;
    size_t i;
    if (!find(hc, p->id, &i)) {
        r->all = true;
        return;
    }
    struct place_host *h = &hc->hosts[i];
    h->alive = p->alive;
    if (h->generation != p->revision || h->enabled != p->enabled || h->vcpus != p->vcpus ||
        h->memory_mib != p->memory_mib || h->disk_gib != p->disk_gib)
        set_stale(hc, i, true);
}

static struct err *look(struct ctx *cx, struct tx *tx, struct refresh *r)
{
    struct host_cache *hc = r->hc;
    struct fleet_pulse *pulses;
    size_t n;
    TRY(fleet_pulses(cx, tx, &pulses, &n));
    AUTO_LOCK(&hc->lock);
    hc->looked_us = mono_us(cx);
    for (size_t i = 0; i < n; i++)
        take_pulse(r, &pulses[i]);
    for (size_t i = 0; i < hc->n / SHARE + 1 && hc->n; i++)
        set_stale(hc, hc->next_anew++ % hc->n, true);
    r->all = r->all || n != hc->n || hc->n_stale > hc->n / 2 + READ_MAX;
    return NULL;
}

static struct err *read_all(struct ctx *cx, struct tx *tx, struct host_cache *hc)
{
    struct place_host *hosts;
    size_t n;
    TRY(hosts_with_details(cx, tx, &hosts, &n));
    AUTO_LOCK(&hc->lock);
    take_all(cx, hc, hosts, n);
    return NULL;
}

static struct err *read_one(struct ctx *cx, struct tx *tx, struct host_cache *hc, const char *id)
{
    struct place_host h;
    struct err *e = host_read(cx, tx, id, &h);
    AUTO_LOCK(&hc->lock);
    if (!e)
        take_one(hc, &h);
    else if (e->kind == ERR_NOT_FOUND)
        hc->all_stale = true;
    return e && e->kind == ERR_NOT_FOUND ? NULL : e;
}

static struct err *run(struct ctx *cx, struct store *s, struct refresh *r)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_read(cx, s, &tx));
    if (r->look && !r->all)
        TRY(look(cx, tx, r));
    if (r->all)
        return read_all(cx, tx, r->hc);
    for (size_t i = 0; i < r->n_ids; i++)
        TRY(read_one(cx, tx, r->hc, r->ids[i]));
    return NULL;
}

/* *ret_any: something was read. */
static struct err *refresh(struct ctx *cx, struct store *s, int64_t look_us, bool *ret_any)
{
    struct refresh r = {.hc = cache_of(s), .look_us = look_us};
    *ret_any = begin(cx, &r);
    if (!*ret_any)
        return NULL;
    struct err *e = run(cx, s, &r);
    AUTO_LOCK(&r.hc->lock);
    r.hc->refreshing = false;
    if (e)
        r.hc->all_stale = true;
    return e;
}

struct err *host_cache_refresh(struct ctx *cx, struct store *s)
{
    bool any;
    return refresh(cx, s, LATE_US, &any);
}

static bool in_use(struct host_cache *hc)
{
    AUTO_LOCK(&hc->lock);
    return hc->loaded;
}

struct err *compute_tick(struct ctx *cx, struct store *s)
{
    bool any = in_use(cache_of(s));
    for (int i = 0; any && i < ROUNDS_MAX; i++)
        TRY(refresh(cx, s, LOOK_US, &any));
    return NULL;
}

/* ---------------------------------------------------------------- choosing */

/* Hosts that this request has read itself stand in for those kept here. */
static void swap_seen(struct host_cache *hc, const struct placing *p, struct place_host *kept,
                      bool in)
{
    size_t i;
    for (size_t k = 0; k < p->n_seen; k++) {
        if (!find(hc, p->seen[k]->id, &i))
            continue;
        if (in)
            kept[k] = hc->hosts[i];
        hc->hosts[i] = in ? *p->seen[k] : kept[k];
        hc->hosts[i].id = kept[k].id; /* by which they are sorted */
    }
}

static void set_members(struct host_cache *hc, const struct placing *p, bool in)
{
    size_t i;
    for (size_t k = 0; k < p->members.n_rows; k++)
        if (find(hc, db_text(&p->members, k, 0), &i))
            hc->hosts[i].group_members = in ? db_int(&p->members, k, 1) : 0;
}

bool host_cache_place(struct ctx *cx, struct store *s, const struct placing *p, const char **ret_id)
{
    struct host_cache *hc = cache_of(s);
    struct place_host *kept = arena_new_array(cx->arena, struct place_host, p->n_seen + 1);
    AUTO_LOCK(&hc->lock);
    if (!hc->loaded)
        return false;
    set_members(hc, p, true);
    swap_seen(hc, p, kept, true);
    int i = place(cx, &compute_cfg.placement, hc->hosts, hc->n, &p->rq, NULL);
    *ret_id = i < 0 ? NULL : arena_strdup(cx->arena, hc->hosts[i].id);
    swap_seen(hc, p, kept, false);
    set_members(hc, p, false);
    return true;
}

void host_cache_take(struct store *s, const struct place_host *h)
{
    struct host_cache *hc = cache_of(s);
    AUTO_LOCK(&hc->lock);
    take_one(hc, h);
}

bool host_cache_has_zone(struct store *s, const char *zone)
{
    struct host_cache *hc = cache_of(s);
    bool found = false;
    AUTO_LOCK(&hc->lock);
    for (size_t i = 0; i < hc->n && !found && hc->loaded; i++)
        found = str_eq(hc->hosts[i].zone, zone);
    return found;
}
