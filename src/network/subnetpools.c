/* SPDX-License-Identifier: EUPL-1.2 */
/* Subnet pools: /v2.0/subnetpools, and taking a subnet's addresses from one. */
#include "network/nw.h"
#include <math.h>

static const char *check_prefixes(struct ctx *cx, const json_t *v, json_t **ret)
{
    int version = 0;
    if (!json_is_array(v) || !json_array_size(v) || json_array_size(v) > 100)
        return "prefixes must be a list of 1 to 100 prefixes";
    json_t *out = json_own(cx, json_array());
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *s = json_string_value(json_array_get(v, i));
        struct cidr c, other;
        if (!s || !strchr(s, '/') || !cidr_parse(s, &c))
            return arena_printf(cx->arena, "%s is not a valid IP subnet",
                                json_python(cx, json_array_get(v, i)));
        if (version && version != c.net.version)
            return "prefixes of IPv4 and IPv6 do not mix";
        version = c.net.version;
        for (size_t k = 0; k < i; k++)
            if (cidr_parse(json_string_value(json_array_get(out, k)), &other) &&
                cidr_overlap(&c, &other))
                return arena_printf(cx->arena, "%s overlaps with another prefix", s);
        json_array_append_new(out, json_string(cidr_text(cx, &c)));
    }
    *ret = out;
    return NULL;
}

/* These three are texts in neutron's replies. */
static void encode_text(struct ctx *cx, struct jw *w, int64_t n)
{
    jw_str(w, arena_printf(cx->arena, "%" PRId64, n));
}

static void pool_encode_default(struct ctx *cx, struct jw *w, const void *row,
                                const struct view *v UNUSED)
{
    encode_text(cx, w, ((const struct subnetpool *)row)->default_prefixlen);
}

static void pool_encode_min(struct ctx *cx, struct jw *w, const void *row,
                            const struct view *v UNUSED)
{
    encode_text(cx, w, ((const struct subnetpool *)row)->min_prefixlen);
}

static void pool_encode_max(struct ctx *cx, struct jw *w, const void *row,
                            const struct view *v UNUSED)
{
    encode_text(cx, w, ((const struct subnetpool *)row)->max_prefixlen);
}

static void pool_encode_shared(struct ctx *cx UNUSED, struct jw *w, const void *row,
                               const struct view *v UNUSED)
{
    jw_bool(w, nw_shared_to_actor(row));
}

#define RESOURCE subnetpool
#define RESOURCE_DEF "network/subnetpool.def"
#include "resource/declare_fields.h"

static bool visible(struct ctx *cx, struct tx *tx, const void *row, const struct actor *actor)
{
    return nw_rbac_sees(cx, tx, ((const struct subnetpool *)row)->id, actor);
}

static struct err *prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v)
{
    return nw_rbac_prepare(cx, tx, &subnetpool_resource, rows, n, v->actor);
}

static const struct res_index subnetpool_indexes[] = {
    {"subnetpools_project", "project_id, created_at, id", false, NULL}};

const struct resource subnetpool_resource = {
    .name = "subnetpool",
    .plural = "subnetpools",
    .table = "subnetpools",
    RESOURCE_FIELDS(subnetpool),
    .owner = subnetpool_f_project_id,
    .not_found = "Subnet pool %s could not be found.",
    .not_found_type = "SubnetPoolNotFound",
    .indexes = subnetpool_indexes,
    .n_indexes = ARRAY_LEN(subnetpool_indexes),
    .visible = visible,
    .prepare = prepare,
    .dflt_sort = "created_at:asc,id:asc",
    .doc = "Prefixes that subnets take their addresses from."};

const struct res_where nw_w_default_pool = {&subnetpool_resource,
                                            "is_default = 1 AND ip_version = $1", "id"};
const struct res_where nw_w_pool_subnets = {&subnet_resource, "subnetpool_id = $1", "cidr"};

/* ---------------------------------------------------------------- rules */

static struct err *check(struct ctx *cx, struct subnetpool *p)
{
    struct cidr first;
    must(cidr_parse(json_string_value(json_array_get(nw_json(cx, p->prefixes), 0)), &first));
    p->ip_version = first.net.version;
    int64_t bits = addr_bits(&first.net);
    if (p->min_prefixlen == INT_NULL)
        p->min_prefixlen = p->ip_version == 4 ? 8 : 64;
    if (p->max_prefixlen == INT_NULL)
        p->max_prefixlen = bits;
    if (p->default_prefixlen == INT_NULL)
        p->default_prefixlen = p->min_prefixlen;
    if (p->min_prefixlen > p->max_prefixlen || p->max_prefixlen > bits)
        return bad(cx, "IllegalSubnetPoolPrefixBounds",
                   "Illegal prefix bounds: min_prefixlen=%" PRId64 ", max_prefixlen=%" PRId64 ".",
                   p->min_prefixlen, p->max_prefixlen);
    if (p->default_prefixlen < p->min_prefixlen || p->default_prefixlen > p->max_prefixlen)
        return bad(cx, "IllegalSubnetPoolPrefixBounds",
                   "Illegal prefix bounds: default_prefixlen=%" PRId64 " is not from %" PRId64
                   " to %" PRId64 ".",
                   p->default_prefixlen, p->min_prefixlen, p->max_prefixlen);
    return NULL;
}

static struct err *only_default(struct call *c, const struct subnetpool *p)
{
    void *row = NULL;
    if (!p->is_default)
        return NULL;
    TRY(res_first_by(c->cx, c->tx, &nw_w_default_pool, &row, V_INT(p->ip_version)));
    if (row && !str_eq(((struct subnetpool *)row)->id, p->id))
        return bad_input(c->cx,
                         "A default subnetpool for IPv%" PRId64
                         " has already been set. Only one default may exist "
                         "per IP family",
                         p->ip_version);
    return NULL;
}

/* ---------------------------------------------------------------- taking a subnet */

static bool is_free(const struct cidr *c, const struct subnets *taken,
                    const struct cidr **ret_in_the_way, struct cidr *buf)
{
    for (size_t i = 0; i < taken->n; i++) {
        *buf = nw_cidr_of(taken->v[i]);
        if (cidr_overlap(c, buf)) {
            *ret_in_the_way = buf;
            return false;
        }
    }
    return true;
}

/* The next prefix of this size that starts after the end of what is in the way. False at the end of
 * the space. */
static bool step_over(struct cidr *c, const struct cidr *in_the_way)
{
    struct addr a = cidr_last(in_the_way), own = cidr_last(c);
    if (addr_cmp(&own, &a) > 0)
        a = own;
    struct addr next = addr_add(&a, 1);
    if (addr_cmp(&next, &a) <= 0)
        return false;
    c->net = next;
    return true;
}

static bool find_free(struct ctx *cx, const struct subnetpool *p, int prefix,
                      const struct subnets *taken, struct cidr *ret)
{
    const json_t *prefixes = nw_json(cx, p->prefixes);
    for (size_t i = 0; i < json_array_size(prefixes); i++) {
        struct cidr of, buf;
        const struct cidr *obstacle = NULL;
        must(cidr_parse(json_string_value(json_array_get(prefixes, i)), &of));
        if (of.prefix > prefix)
            continue;
        *ret = (struct cidr){of.net, prefix};
        while (cidr_has(&of, &ret->net)) {
            if (is_free(ret, taken, &obstacle, &buf))
                return true;
            if (!step_over(ret, obstacle))
                break;
        }
    }
    return false;
}

static struct err *find_pool(struct call *c, const struct subnet *s, struct subnetpool **ret)
{
    void *row = NULL;
    if (s->subnetpool_id) {
        TRY(res_find_visible(c->cx, c->tx, &subnetpool_resource, s->subnetpool_id, c->actor, &row));
    } else {
        TRY(res_first_by(c->cx, c->tx, &nw_w_default_pool, &row, V_INT(s->ip_version)));
        if (!row)
            return fail_type(c->cx, ERR_NOT_FOUND, "NoDefaultSubnetPoolDefined",
                             "No default subnet pool is defined for IP version %" PRId64,
                             s->ip_version);
    }
    *ret = row;
    return NULL;
}

static struct err *check_quota(struct call *c, const struct subnetpool *p, const struct subnet *s,
                               const struct subnets *taken, int prefix)
{
    int unit = p->ip_version == 4 ? 32 : 64;
    double used = 0;
    if (p->default_quota == INT_NULL)
        return NULL;
    for (size_t i = 0; i < taken->n; i++) {
        int bits = unit - nw_cidr_of(taken->v[i]).prefix;
        if (str_eq(taken->v[i]->project_id, s->project_id) && bits >= 0)
            used += ldexp(1, bits); /* up to 2^64 */
    }
    if (prefix <= unit)
        used += ldexp(1, unit - prefix);
    if (used > (double)p->default_quota)
        return fail_type(c->cx, ERR_QUOTA, "SubnetPoolQuotaExceeded",
                         "Per-tenant subnet pool prefix quota exceeded.");
    return NULL;
}

/* One network's subnets of one IP version are of one pool, or of pools of one address scope. */
static struct err *check_affinity(struct call *c, const struct subnet *s,
                                  const struct subnetpool *p)
{
    struct subnets others;
    TRY(nw_subnets_of(c->cx, c->tx, s->network_id, &others));
    for (size_t i = 0; i < others.n; i++) {
        void *row = NULL;
        const struct subnet *o = others.v[i];
        if (!o->subnetpool_id || o->ip_version != p->ip_version || str_eq(o->subnetpool_id, p->id))
            continue;
        TRY(res_find(c->cx, c->tx, &subnetpool_resource, o->subnetpool_id, &row));
        if (!p->address_scope_id ||
            !str_eq(((struct subnetpool *)row)->address_scope_id, p->address_scope_id))
            return bad(c->cx, "NetworkSubnetPoolAffinityError",
                       "Subnets hosted on the same network must be allocated from the same subnet "
                       "pool.");
    }
    return NULL;
}

struct err *nw_pool_take(struct call *c, struct subnet *s)
{
    struct subnetpool *p = NULL;
    struct subnets taken;
    struct cidr cidr;
    void **rows;
    TRY(find_pool(c, s, &p));
    TRY(check_affinity(c, s, p));
    TRY(res_select_by(c->cx, c->tx, &nw_w_pool_subnets, &rows, &taken.n, V_TEXT(p->id)));
    taken.v = (struct subnet **)rows;
    int64_t prefix = s->prefixlen == INT_NULL ? p->default_prefixlen : s->prefixlen;
    if (s->cidr) {
        must(cidr_parse(s->cidr, &cidr));
        prefix = cidr.prefix;
    }
    if (prefix < p->min_prefixlen || prefix > p->max_prefixlen)
        return bad(c->cx,
                   prefix < p->min_prefixlen ? "MinPrefixSubnetAllocationError"
                                             : "MaxPrefixSubnetAllocationError",
                   "Unable to allocate subnet with prefix length %" PRId64
                   ", the pool takes %" PRId64 " to %" PRId64 ".",
                   prefix, p->min_prefixlen, p->max_prefixlen);
    TRY(check_quota(c, p, s, &taken, (int)prefix));
    struct cidr buf;
    const struct cidr *obstacle;
    bool ok = s->cidr ? false : find_free(c->cx, p, (int)prefix, &taken, &cidr);
    const json_t *prefixes = nw_json(c->cx, p->prefixes);
    for (size_t i = 0; s->cidr && !ok && i < json_array_size(prefixes); i++) {
        struct cidr of;
        must(cidr_parse(json_string_value(json_array_get(prefixes, i)), &of));
        ok = cidr_has(&of, &cidr.net) && of.prefix <= cidr.prefix &&
             is_free(&cidr, &taken, &obstacle, &buf);
    }
    if (!ok)
        return fail_type(c->cx, ERR_CONFLICT, "SubnetAllocationError",
                         "Failed to allocate subnet: Insufficient prefix space to allocate subnet "
                         "size /%" PRId64,
                         prefix);
    s->subnetpool_id = p->id;
    s->cidr = cidr_text(c->cx, &cidr);
    s->ip_version = p->ip_version;
    return NULL;
}

/* ---------------------------------------------------------------- handlers */

static struct err *make(struct call *c, void *row)
{
    struct subnetpool *p = row;
    TRY(quota_check(c->cx, c->tx, &network_service, "subnetpool", p->project_id, 1));
    TRY(check(c->cx, p));
    TRY(only_default(c, p));
    TRY(nw_scope_check_pool(c, p));
    TRY(res_insert(c->cx, c->tx, &subnetpool_resource, p));
    return nw_rbac_everyone(c->cx, c->tx, &subnetpool_resource, p->id, p->project_id, RBAC_SHARED,
                            p->shared);
}

struct err *nw_subnetpools_create(struct call *c)
{
    return nw_create(c, &subnetpool_resource, make);
}

struct err *nw_subnetpools_list(struct call *c)
{
    return nw_list(c, NULL);
}

/* A pool's prefixes may only grow: what was taken stays inside. */
static struct err *check_covers(struct call *c, const struct subnetpool *p,
                                const struct subnetpool *old)
{
    const json_t *now = nw_json(c->cx, p->prefixes), *before = nw_json(c->cx, old->prefixes);
    for (size_t i = 0; i < json_array_size(before); i++) {
        struct cidr b, n;
        bool covered = false;
        must(cidr_parse(json_string_value(json_array_get(before, i)), &b));
        for (size_t k = 0; k < json_array_size(now); k++) {
            must(cidr_parse(json_string_value(json_array_get(now, k)), &n));
            covered |= n.prefix <= b.prefix && cidr_has(&n, &b.net);
        }
        if (!covered)
            return bad(c->cx, "IllegalSubnetPoolPrefixUpdate",
                       "Illegal update to prefixes: Existing prefixes must be a subset of the new "
                       "prefixes.");
    }
    return NULL;
}

struct err *nw_subnetpool_update(struct call *c)
{
    const struct subnetpool *old = c->target;
    struct subnetpool *p = c->body;
    TRY(check_covers(c, p, old));
    TRY(check(c->cx, p));
    TRY(only_default(c, p));
    TRY(nw_scope_check_pool(c, p));
    TRY(res_update(c->cx, c->tx, &subnetpool_resource, p));
    if (!str_eq(old->address_scope_id, p->address_scope_id))
        TRY(nw_touch_routers_by(c->cx, c->tx, &nw_st_touch_pool, p->id));
    return call_reply_row(c, 200, &subnetpool_resource, p);
}

struct err *nw_subnetpool_delete(struct call *c)
{
    struct subnetpool *p = c->target;
    void *used = NULL;
    TRY(res_first_by(c->cx, c->tx, &nw_w_pool_subnets, &used, V_TEXT(p->id)));
    if (used)
        return fail_type(c->cx, ERR_CONFLICT, "SubnetPoolDeleteError",
                         "Unable to delete subnet pool: Subnet pool has existing allocations.");
    TRY(nw_rbac_forget(c->cx, c->tx, p->id));
    TRY(res_delete(c->cx, c->tx, &subnetpool_resource, p));
    call_reply_empty(c, 204);
    return NULL;
}
