/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What a server asks of hosts: its size, the zone it is pinned to, its flavor's extra specs, its
 * group and its scheduler hints, made a request to schedule/. The hints are kept with the server,
 * so that it is placed by the same rules when it moves.
 */
#include "compute/placing.h"

#define HINT_SERVERS_MAX 100
#define AGGREGATE_SCOPE "aggregate_instance_extra_specs:"
#define CAPABILITY_SCOPE "capabilities:"
#define TRAIT_SCOPE "trait:"

static json_t *parsed(struct ctx *cx, const char *text)
{
    json_t *j = NULL;
    struct err *e = text ? json_read(cx, text, strlen(text), &j) : NULL;
    must(!e); /* json_text wrote it */
    return j;
}

/* ---------------------------------------------------------------- reading hints */

static const char *check_group(struct ctx *cx, const json_t *v)
{
    return json_is_string(v) && uuid_valid(json_string_value(v))
               ? NULL
               : arena_printf(cx->arena, "%s is not a 'uuid'", json_python(cx, v));
}

static const char *check_servers(struct ctx *cx, const json_t *v)
{
    if (json_is_string(v))
        return check_group(cx, v);
    if (!json_is_array(v))
        return arena_printf(cx->arena, "%s is not of type 'string', 'array'", json_python(cx, v));
    if (json_array_size(v) > HINT_SERVERS_MAX)
        return arena_printf(cx->arena, "more than %d servers are named", HINT_SERVERS_MAX);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *reason = check_group(cx, json_array_get(v, i));
        if (reason)
            return reason;
    }
    return NULL;
}

static const char *check_address(struct ctx *cx, const json_t *v)
{
    json_t *canonical = NULL;
    return check_ip(cx, v, &canonical);
}

static const char *check_prefix(struct ctx *cx, const json_t *v)
{
    const char *text = json_string_value(v);
    int64_t bits;
    return text && text[0] == '/' && str_to_i64(text + 1, 0, 128, &bits)
               ? NULL
               : arena_printf(cx->arena, "%s is no prefix length such as '/24'",
                              json_python(cx, v));
}

static const char *refuse_query(struct ctx *cx UNUSED, const json_t *v UNUSED)
{
    return "this cloud has no JSON filter: choose hosts by an availability zone, a server group, "
           "or a flavor whose extra specs name an aggregate's metadata";
}

static const char *refuse_cell(struct ctx *cx UNUSED, const json_t *v UNUSED)
{
    return "this cloud has no cells";
}

/* To accept and ignore a hint would be a lie: what is not here is refused too. */
static const struct hint {
    const char *name;
    const char *(*check)(struct ctx *cx, const json_t *v); /* the reason why not */
} hints[] = {
    {"group", check_group},
    {"same_host", check_servers},
    {"different_host", check_servers},
    {"build_near_host_ip", check_address},
    {"cidr", check_prefix},
    {"query", refuse_query},
    {"target_cell", refuse_cell},
    {"different_cell", refuse_cell},
};

static struct err *check_hint(struct call *c, const char *name, const json_t *value)
{
    for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
        if (!str_eq(hints[i].name, name))
            continue;
        const char *reason = hints[i].check(c->cx, value);
        return reason ? bad_member(c, name, value, reason) : NULL;
    }
    return bad_member(c, name, value, "this cloud knows no such scheduler hint");
}

struct err *hints_read(struct call *c, const json_t *given, struct server *s)
{
    const char *name;
    json_t *value;
    if (!json_is_object(given))
        return bad_member(c, "os:scheduler_hints", given, "it is not of type 'object'");
    json_object_foreach((json_t *)(uintptr_t)given, name, value) TRY(check_hint(c, name, value));
    s->hints = json_object_size(given) ? json_text(c->cx, given) : NULL;
    return NULL;
}

const char *hints_group(struct ctx *cx, const struct server *s)
{
    return json_get_str(parsed(cx, s->hints), "group");
}

/* ---------------------------------------------------------------- the group */

const struct stmt stmt_group_hosts = {
    "group_hosts", "SELECT s.host_id, COUNT(*) FROM server_group_members m JOIN servers s ON s.id "
                   "= m.server_id WHERE m.group_id = $1 AND m.server_id <> $2 AND s.host_id IS NOT "
                   "NULL GROUP BY s.host_id"};

static struct err *ask_group(struct ctx *cx, struct tx *tx, struct placing *p, const char *group_id)
{
    struct place_request *rq = &p->rq;
    void *row = NULL;
    TRY(res_get(cx, tx, &server_group_resource, group_id, &row));
    const struct server_group *g = row;
    if (!g) /* deleted since: nothing binds the server */
        return NULL;
    rq->soft = str_starts(g->policy, "soft-");
    rq->group = str_ends(g->policy, "anti-affinity") ? PLACE_ANTI_AFFINITY : PLACE_AFFINITY;
    rq->group_per_host = g->max_per_host == INT_NULL ? 1 : g->max_per_host;
    const struct db_value params[] = {V_TEXT(group_id), V_TEXT(p->server->id ? p->server->id : "")};
    TRY(db_query(cx, tx, &stmt_group_hosts, params, 2, &p->members));
    for (size_t i = 0; i < p->members.n_rows; i++)
        rq->group_size += db_int(&p->members, i, 1);
    return NULL;
}

/* ---------------------------------------------------------------- other hints */

/* Of the same project: where others' servers are is nobody's to find out. */
const struct stmt stmt_host_of_server = {
    "host_of_server",
    "SELECT host_id FROM servers WHERE id = $1 AND project_id = $2 AND host_id IS NOT NULL"};

static struct err *hosts_of(struct ctx *cx, struct tx *tx, const struct server *s,
                            const json_t *servers, const char *const **ret, size_t *ret_n)
{
    size_t n = json_is_array(servers) ? json_array_size(servers) : 1;
    const char **ids = arena_new_array(cx->arena, const char *, n + 1);
    *ret_n = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(servers) ? json_array_get(servers, i) : servers;
        const struct db_value params[] = {V_TEXT(json_string_value(id)), V_TEXT(s->project_id)};
        struct db_rows rows;
        TRY(db_query(cx, tx, &stmt_host_of_server, params, 2, &rows));
        if (rows.n_rows)
            ids[(*ret_n)++] = db_text(&rows, 0, 0);
    }
    *ret = ids;
    return NULL;
}

static struct err *ask_hints(struct ctx *cx, struct tx *tx, struct placing *p)
{
    const struct server *s = p->server;
    struct place_request *rq = &p->rq;
    const json_t *j = parsed(cx, s->hints), *same = json_get(j, "same_host"),
                 *different = json_get(j, "different_host");
    const char *group = json_get_str(j, "group"), *ip = json_get_str(j, "build_near_host_ip"),
               *prefix = json_get_str(j, "cidr");
    if (same)
        TRY(hosts_of(cx, tx, s, same, &rq->same_hosts, &rq->n_same_hosts));
    if (different)
        TRY(hosts_of(cx, tx, s, different, &rq->different_hosts, &rq->n_different_hosts));
    if (ip)
        rq->near = arena_printf(cx->arena, "%s%s", ip, prefix ? prefix : "/24");
    return group ? ask_group(cx, tx, p, group) : NULL;
}

/* ---------------------------------------------------------------- extra specs */

/* Those that hosts' aggregates, capabilities or traits answer; other scopes speak of the guest. */
static void ask_specs(struct ctx *cx, const struct server *s, struct place_request *rq)
{
    json_t *all = parsed(cx, s->extra_specs), *value;
    const char *key;
    size_t n = json_object_size(all) + 1;
    struct place_pair *specs = arena_new_array(cx->arena, struct place_pair, n);
    struct place_pair *traits = arena_new_array(cx->arena, struct place_pair, n);
    json_object_foreach(all, key, value)
    {
        if (str_starts(key, TRAIT_SCOPE))
            traits[rq->n_traits++] =
                (struct place_pair){key + strlen(TRAIT_SCOPE), json_string_value(value)};
        bool scoped = str_starts(key, AGGREGATE_SCOPE);
        if (strchr(key, ':') && !scoped && !str_starts(key, CAPABILITY_SCOPE))
            continue;
        specs[rq->n_specs++] = (struct place_pair){key + (scoped ? strlen(AGGREGATE_SCOPE) : 0),
                                                   json_string_value(value)};
    }
    rq->specs = specs;
    rq->traits = traits;
}

/* ---------------------------------------------------------------- the image */

static struct err *ask_image(struct ctx *cx, struct tx *tx, const struct server *s,
                             struct place_request *rq)
{
    struct image_info image;
    bool found = false;
    const char *key;
    json_t *all, *value;
    if (s->image_id)
        TRY(image_get_any(cx, tx, s->image_id, &image, &found));
    if (!found || !image.properties)
        return NULL;
    all = parsed(cx, image.properties);
    struct place_pair *pairs =
        arena_new_array(cx->arena, struct place_pair, json_object_size(all) + 1);
    json_object_foreach(all, key, value) if (json_is_string(value)) pairs[rq->n_image++] =
        (struct place_pair){key, json_string_value(value)};
    rq->image = pairs;
    return NULL;
}

/* The storage that its volumes lie on; NULL: it has none on any that hosts share. */
static struct err *ask_volumes(struct ctx *cx, struct tx *tx, const struct server *s,
                               struct place_request *rq)
{
    struct volume_use *uses;
    size_t n;
    TRY(server_uses(cx, tx, s->id, &uses, &n));
    for (size_t i = 0; i < n && !rq->pool_id; i++)
        rq->pool_id = uses[i].pool_id;
    return NULL;
}

/* ---------------------------------------------------------------- the request */

struct err *placing_begin(struct ctx *cx, struct tx *tx, const struct server *s,
                          struct placing *ret)
{
    *ret = (struct placing){.server = s,
                            .rq = {.vcpus = s->vcpus,
                                   .memory_mib = s->memory_mib,
                                   .disk_gib = server_disk_gib(s),
                                   .zone = s->pinned_zone,
                                   .project_id = s->project_id,
                                   .flavor_name = s->flavor_name}};
    if (s->id)
        TRY(ask_volumes(cx, tx, s, &ret->rq));
    ask_specs(cx, s, &ret->rq);
    TRY(ask_image(cx, tx, s, &ret->rq));
    return s->hints ? ask_hints(cx, tx, ret) : NULL;
}

struct err *placement_for(struct ctx *cx, struct tx *tx, const struct server *s,
                          struct place_host **ret_hosts, size_t *ret_n, struct place_request *ret)
{
    struct placing p;
    struct place_host *h;
    TRY(placing_begin(cx, tx, s, &p));
    TRY((place_asks_capabilities(&p.rq) ? hosts_with_details : hosts_snapshot)(cx, tx, ret_hosts,
                                                                               ret_n));
    struct place_host **sorted = p.members.n_rows ? hosts_by_id(cx, *ret_hosts, *ret_n) : NULL;
    for (size_t i = 0; i < p.members.n_rows; i++)
        if ((h = host_with_id(sorted, *ret_n, db_text(&p.members, i, 0))))
            h->group_members = db_int(&p.members, i, 1);
    *ret = p.rq;
    return NULL;
}
