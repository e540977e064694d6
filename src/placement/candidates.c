/* SPDX-License-Identifier: EUPL-1.2 */
/* Allocation candidates: hosts with room for what is asked for. What servers get is decided when
 * they are created, by the filters of schedule/ too. */
#include "placement/impl.h"

static void write_amounts(struct jw *w, const struct wish *wish)
{
    jw_kobj(w, "resources");
    for (size_t i = 0; i < ROOMS; i++)
        if (wish->amounts[i])
            jw_kint(w, room_kinds[i].name, wish->amounts[i]);
    jw_obj_end(w);
}

/* Before 1.12 a list, then an object by provider. */
static void write_request(struct call *c, struct jw *w, const struct provider *p,
                          const struct wish *wish)
{
    jw_obj(w);
    if (c->microversion < 12) {
        jw_karr(w, "allocations");
        jw_obj(w);
        jw_kobj(w, "resource_provider");
        jw_kstr(w, "uuid", p->h.id);
        jw_obj_end(w);
        write_amounts(w, wish);
        jw_obj_end(w);
        jw_arr_end(w);
    } else {
        jw_kobj(w, "allocations");
        jw_kobj(w, p->h.id);
        write_amounts(w, wish);
        jw_obj_end(w);
        jw_obj_end(w);
    }
    if (c->microversion >= 34) {
        jw_kobj(w, "mappings");
        jw_karr(w, "");
        jw_str(w, p->h.id);
        jw_arr_end(w);
        jw_obj_end(w);
    }
    jw_obj_end(w);
}

/* Before 1.27 only what was asked for is summed up. */
static void write_summary(struct call *c, struct jw *w, const struct provider *p,
                          const struct wish *wish)
{
    jw_kobj(w, p->h.id);
    jw_kobj(w, "resources");
    for (size_t i = 0; i < ROOMS; i++) {
        const struct room_kind *r = &room_kinds[i];
        if (!room_of(&p->h, r->total) || (c->microversion < 27 && !wish->amounts[i]))
            continue;
        jw_kobj(w, r->name);
        jw_kint(w, "capacity", room_of(&p->h, r->can));
        jw_kint(w, "used", room_of(&p->h, r->used));
        jw_obj_end(w);
    }
    jw_obj_end(w);
    if (c->microversion >= 17) {
        jw_karr(w, "traits");
        for (size_t i = 0; i < p->h.n_traits; i++)
            jw_str(w, p->h.traits[i]);
        jw_arr_end(w);
    }
    if (c->microversion >= 29) {
        jw_knull(w, "parent_provider_uuid");
        jw_kstr(w, "root_provider_uuid", p->h.id);
    }
    jw_obj_end(w);
}

struct err *candidate_list(struct call *c)
{
    struct provider *all;
    struct wish wish;
    size_t n, fit = 0;
    TRY(wish_read(c, &wish));
    if (!wish.has_amounts)
        return fail_type(c->cx, ERR_INVALID, "placement.query.missing_value",
                         "Invalid query string parameters: 'resources' is a required property");
    TRY(providers_load(c, &all, &n));
    for (size_t i = 0; i < n; i++)
        if (wish_fits(&wish, &all[i]) && (!wish.limit || (int64_t)fit < wish.limit))
            all[fit++] = all[i];
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "allocation_requests");
    for (size_t i = 0; i < fit; i++)
        write_request(c, &w, &all[i], &wish);
    jw_arr_end(&w);
    jw_kobj(&w, "provider_summaries");
    for (size_t i = 0; i < fit; i++)
        write_summary(c, &w, &all[i], &wish);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}
