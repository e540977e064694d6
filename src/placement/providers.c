/* SPDX-License-Identifier: EUPL-1.2 */
/* Resource providers: the hosts, each a root of its own; the aggregates they are in. */
#include "placement/impl.h"

static void take_aggregates(struct call *c, struct provider *p, const struct db_rows *rows)
{
    const char **ids = arena_new_array(c->cx->arena, const char *, rows->n_rows + 1);
    for (size_t i = 0; i < rows->n_rows; i++)
        if (str_eq(db_text(rows, i, 0), p->h.id))
            ids[p->n_aggregates++] = db_text(rows, i, 1);
    p->aggregates = ids;
}

struct err *providers_load(struct call *c, struct provider **ret, size_t *ret_n)
{
    struct place_host *hosts;
    struct db_rows rows;
    TRY(compute_hosts(c->cx, c->tx, &hosts, ret_n));
    TRY(compute_aggregates_by_host(c->cx, c->tx, &rows));
    *ret = arena_new_array(c->cx->arena, struct provider, *ret_n + 1);
    for (size_t i = 0; i < *ret_n; i++) {
        (*ret)[i].h = hosts[i];
        take_aggregates(c, &(*ret)[i], &rows);
    }
    return NULL;
}

struct err *provider_find(struct call *c, struct provider *ret)
{
    struct provider *all;
    size_t n;
    TRY(providers_load(c, &all, &n));
    for (size_t i = 0; i < n; i++)
        if (str_eq(all[i].h.id, call_param(c, "uuid"))) {
            *ret = all[i];
            c->audit_target = ret->h.id;
            return NULL;
        }
    return fail(c->cx, ERR_NOT_FOUND, "No resource provider with uuid %s found",
                call_param(c, "uuid"));
}

struct err *check_generation(struct call *c, const struct provider *p)
{
    const json_t *g = json_get(c->json, "resource_provider_generation");
    if (!json_is_integer(g))
        return fail(
            c->cx, ERR_INVALID,
            "JSON does not validate: 'resource_provider_generation' is a required property");
    if (json_integer_value(g) != p->h.generation)
        return fail_type(c->cx, ERR_CONFLICT, "placement.concurrent_update",
                         "resource provider generation conflict: it is %" PRId64
                         " by now, read the provider again",
                         p->h.generation);
    return NULL;
}

static void write_link(struct call *c, struct jw *w, const struct provider *p, const char *rel)
{
    bool self = str_eq(rel, "self");
    jw_obj(w);
    jw_kstr(w, "rel", rel);
    jw_kstr(w, "href",
            arena_printf(c->cx->arena, "/placement/resource_providers/%s%s%s", p->h.id,
                         self ? "" : "/", self ? "" : rel));
    jw_obj_end(w);
}

static void write_provider(struct call *c, struct jw *w, const struct provider *p)
{
    static const struct {
        const char *rel;
        unsigned since;
    } links[] = {{"self", 0},       {"inventories", 0}, {"usages", 0},
                 {"aggregates", 1}, {"traits", 6},      {"allocations", 11}};
    jw_obj(w);
    jw_kstr(w, "uuid", p->h.id);
    jw_kstr(w, "name", p->h.name);
    jw_kint(w, "generation", p->h.generation);
    if (c->microversion >= 14) {
        jw_knull(w, "parent_provider_uuid");
        jw_kstr(w, "root_provider_uuid", p->h.id);
    }
    jw_karr(w, "links");
    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        if (c->microversion >= links[i].since)
            write_link(c, w, p, links[i].rel);
    jw_arr_end(w);
    jw_obj_end(w);
}

struct err *provider_list(struct call *c)
{
    struct provider *all;
    struct wish wish;
    size_t n;
    TRY(wish_read(c, &wish));
    TRY(providers_load(c, &all, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "resource_providers");
    for (size_t i = 0; i < n; i++)
        if (wish_fits(&wish, &all[i]))
            write_provider(c, &w, &all[i]);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *provider_show(struct call *c)
{
    struct provider p;
    TRY(provider_find(c, &p));
    struct jw w = call_json(c, 200);
    write_provider(c, &w, &p);
    return NULL;
}

struct err *provider_create(struct call *c)
{
    return refuse(c, "Resource providers are this cloud's hosts: add one with 'colvert admin "
                     "host-add'.");
}

struct err *provider_update(struct call *c)
{
    struct provider p;
    TRY(provider_find(c, &p));
    return refuse(c, "A resource provider has its host's name, and no parent.");
}

struct err *provider_delete(struct call *c)
{
    struct provider p;
    TRY(provider_find(c, &p));
    return refuse(c, "A resource provider goes with its host: openstack compute service delete.");
}

/* ---------------------------------------------------------------- aggregates */

static void reply_aggregates(struct call *c, const struct provider *p)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "aggregates");
    for (size_t i = 0; i < p->n_aggregates; i++)
        jw_str(&w, p->aggregates[i]);
    jw_arr_end(&w);
    if (c->microversion >= 19)
        jw_kint(&w, "resource_provider_generation", p->h.generation);
    jw_obj_end(&w);
}

struct err *provider_aggregates(struct call *c)
{
    struct provider p;
    TRY(provider_find(c, &p));
    reply_aggregates(c, &p);
    return NULL;
}

struct err *provider_set_aggregates(struct call *c)
{
    struct provider p;
    TRY(provider_find(c, &p));
    const json_t *list = c->microversion >= 19 ? json_get(c->json, "aggregates") : c->json;
    if (!json_is_array(list))
        return fail(c->cx, ERR_INVALID, "JSON does not validate: a list of uuids is needed");
    if (c->microversion >= 19)
        TRY(check_generation(c, &p));
    size_t n = json_array_size(list);
    const char **ids = arena_new_array(c->cx->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        ids[i] = json_string_value(json_array_get(list, i));
        if (!ids[i] || !uuid_valid(ids[i]))
            return fail(c->cx, ERR_INVALID, "JSON does not validate: %s is not a 'uuid'",
                        json_python(c->cx, json_array_get(list, i)));
    }
    TRY(compute_host_set_aggregates(c, p.h.id, ids, n));
    TRY(provider_find(c, &p));
    reply_aggregates(c, &p);
    return NULL;
}
