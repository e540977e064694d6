/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Inventories: what a host tells of itself. An operator sets the allocation ratio and what is
 * reserved; what is left out of a body is as the host's aggregates and the settings say.
 */
#include "placement/impl.h"

#define ANY_UNIT 2147483647 /* placement's default of max_unit */

static void write_inventory(struct jw *w, const struct place_host *h, const struct room_kind *r)
{
    jw_kint(w, "total", room_of(h, r->total));
    jw_kint(w, "reserved", room_of(h, r->reserved));
    jw_kint(w, "min_unit", 1);
    jw_kint(w, "max_unit", room_of(h, r->total));
    jw_kint(w, "step_size", 1);
    jw_key(w, "allocation_ratio");
    jw_num(w, (double)room_of(h, r->ratio) / 1000);
}

static void reply_all(struct call *c, const struct provider *p)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kint(&w, "resource_provider_generation", p->h.generation);
    jw_kobj(&w, "inventories");
    for (size_t i = 0; i < ROOMS; i++) {
        if (!room_of(&p->h, room_kinds[i].total))
            continue;
        jw_kobj(&w, room_kinds[i].name);
        write_inventory(&w, &p->h, &room_kinds[i]);
        jw_obj_end(&w);
    }
    jw_obj_end(&w);
    jw_obj_end(&w);
}

struct err *inventory_list(struct call *c)
{
    struct provider p;
    TRY(provider_find(c, &p));
    reply_all(c, &p);
    return NULL;
}

/* By the parameter {resource_class}. */
static struct err *find_room(struct call *c, const struct provider *p, const struct room_kind **ret)
{
    int room = room_find(call_param(c, "resource_class"));
    if (room < 0 || !room_of(&p->h, room_kinds[room].total))
        return fail(c->cx, ERR_NOT_FOUND, "No inventory of class %s for %s",
                    call_param(c, "resource_class"), p->h.id);
    *ret = &room_kinds[room];
    return NULL;
}

static void reply_one(struct call *c, const struct provider *p, const struct room_kind *r)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kint(&w, "resource_provider_generation", p->h.generation);
    write_inventory(&w, &p->h, r);
    jw_obj_end(&w);
}

struct err *inventory_show(struct call *c)
{
    struct provider p;
    const struct room_kind *r;
    TRY(provider_find(c, &p));
    TRY(find_room(c, &p, &r));
    reply_one(c, &p, r);
    return NULL;
}

/* ---------------------------------------------------------------- changing */

static struct err *bad(struct call *c, const struct room_kind *r, const char *member,
                       const char *reason)
{
    return fail(c->cx, ERR_INVALID, "JSON does not validate: inventory of %s: %s: %s", r->name,
                member, reason);
}

/* What a host has is its own to tell: the same figures are taken, others refused. */
static struct err *check_fixed(struct call *c, const struct provider *p, const struct room_kind *r,
                               const json_t *j)
{
    int64_t total = room_of(&p->h, r->total), max_unit = json_get_int(j, "max_unit", total);
    if (!json_is_integer(json_get(j, "total")))
        return bad(c, r, "total", "it is a required property");
    if (json_get_int(j, "total", 0) != total)
        return bad(c, r, "total",
                   arena_printf(c->cx->arena,
                                "the host itself tells that it has %" PRId64
                                "; 'reserved' takes some of it away",
                                total));
    if (json_get_int(j, "min_unit", 1) != 1 || json_get_int(j, "step_size", 1) != 1)
        return bad(c, r, "min_unit, step_size", "they are 1 for hosts");
    if (max_unit != total && max_unit != ANY_UNIT)
        return bad(c, r, "max_unit", "it is the host's total");
    return NULL;
}

static struct err *set_room(struct call *c, const struct provider *p, const struct room_kind *r,
                            const json_t *j)
{
    const json_t *ratio = json_get(j, "allocation_ratio"), *reserved = json_get(j, "reserved");
    int64_t thousandths = 0, kept = -1;
    if (!json_is_object(j))
        return bad(c, r, "all", "it is not of type 'object'");
    TRY(check_fixed(c, p, r, j));
    if (ratio && (!json_is_number(ratio) ||
                  !place_ratio_read(arena_printf(c->cx->arena, "%.6f", json_number_value(ratio)),
                                    &thousandths)))
        return bad(c, r, "allocation_ratio", "a number above 0 is needed");
    if (reserved) {
        kept = json_is_integer(reserved) ? json_integer_value(reserved) : -1;
        if (kept < 0 || kept > room_of(&p->h, r->total))
            return bad(c, r, "reserved", "a number from 0 to the total is needed");
    }
    return compute_host_set_room(c->cx, c->tx, p->h.id, r->kind, thousandths, kept);
}

struct err *inventory_update(struct call *c)
{
    struct provider p;
    const struct room_kind *r;
    TRY(provider_find(c, &p));
    TRY(find_room(c, &p, &r));
    TRY(check_generation(c, &p));
    TRY(set_room(c, &p, r, c->json));
    TRY(provider_find(c, &p));
    reply_one(c, &p, r);
    return NULL;
}

struct err *inventory_replace(struct call *c)
{
    struct provider p;
    const json_t *all = json_get(c->json, "inventories");
    const char *name;
    json_t *j;
    TRY(provider_find(c, &p));
    if (!json_is_object(all))
        return fail(c->cx, ERR_INVALID,
                    "JSON does not validate: 'inventories' is a required property");
    TRY(check_generation(c, &p));
    json_object_foreach((json_t *)(uintptr_t)all, name, j)
    {
        int room = room_find(name);
        if (room < 0 || !room_of(&p.h, room_kinds[room].total))
            return fail(c->cx, ERR_INVALID,
                        "Unknown resource class in inventory for resource provider %s: the host "
                        "has no %s",
                        p.h.id, name);
        TRY(set_room(c, &p, &room_kinds[room], j));
    }
    for (size_t i = 0; i < ROOMS; i++)
        if (room_of(&p.h, room_kinds[i].total) && !json_get(all, room_kinds[i].name))
            return fail_type(c->cx, ERR_CONFLICT, "placement.inventory.inuse",
                             "The host has %s: its inventory can't be removed", room_kinds[i].name);
    TRY(provider_find(c, &p));
    reply_all(c, &p);
    return NULL;
}

struct err *inventory_create(struct call *c)
{
    struct provider p;
    TRY(provider_find(c, &p));
    return refuse(c, "A host tells itself what it has: change the ratio or what is reserved of an "
                     "inventory that is there.");
}

struct err *inventory_delete(struct call *c)
{
    struct provider p;
    TRY(provider_find(c, &p));
    return refuse(c, "A host tells itself what it has: to keep servers away, disable its compute "
                     "service.");
}
