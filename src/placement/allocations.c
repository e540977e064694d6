/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Allocations and usages: what servers, volumes and snapshots hold of hosts, read from their own
 * rows. Nothing is allocated here: who needs room takes it when it is created or moved.
 */
#include "placement/impl.h"

/* A consumer: it holds of one host. */
struct holder {
    const char *id, *host_id, *project_id, *user_id, *type;
    int64_t amounts[ROOMS];
};

static struct err *holders_like(struct call *c, const struct compute_use *like, struct holder **ret,
                                size_t *ret_n)
{
    struct compute_use *servers;
    struct db_rows disks;
    size_t n;
    TRY(compute_uses(c->cx, c->tx, like, &servers, &n));
    TRY(volume_holds(c->cx, c->tx, like->host_id, like->id, like->project_id, like->user_id,
                     &disks));
    *ret = arena_new_array(c->cx->arena, struct holder, n + disks.n_rows + 1);
    *ret_n = n + disks.n_rows;
    for (size_t i = 0; i < n; i++) {
        const struct compute_use *s = &servers[i];
        (*ret)[i] = (struct holder){s->id,      s->host_id, s->project_id,
                                    s->user_id, "INSTANCE", {s->vcpus, s->memory_mib, s->disk_gib}};
    }
    for (size_t i = 0; i < disks.n_rows; i++)
        (*ret)[n + i] = (struct holder){.id = db_text(&disks, i, 0),
                                        .host_id = db_text(&disks, i, 1),
                                        .project_id = db_text(&disks, i, 2),
                                        .user_id = db_text(&disks, i, 3),
                                        .type = "VOLUME",
                                        .amounts = {0, 0, db_int(&disks, i, 4)}};
    return NULL;
}

static void write_amounts(struct jw *w, const int64_t *amounts)
{
    for (size_t i = 0; i < ROOMS; i++)
        if (amounts[i])
            jw_kint(w, room_kinds[i].name, amounts[i]);
}

static void write_resources(struct jw *w, const struct holder *h)
{
    jw_kobj(w, "resources");
    write_amounts(w, h->amounts);
    jw_obj_end(w);
}

/* ---------------------------------------------------------------- of a host */

struct err *provider_allocations(struct call *c)
{
    struct provider p;
    struct holder *holders;
    size_t n;
    TRY(provider_find(c, &p));
    TRY(holders_like(c, &(struct compute_use){.host_id = p.h.id}, &holders, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "allocations");
    for (size_t i = 0; i < n; i++) {
        jw_kobj(&w, holders[i].id);
        write_resources(&w, &holders[i]);
        if (c->microversion >= 28)
            jw_kint(&w, "consumer_generation", 1);
        jw_obj_end(&w);
    }
    jw_obj_end(&w);
    jw_kint(&w, "resource_provider_generation", p.h.generation);
    jw_obj_end(&w);
    return NULL;
}

struct err *provider_usages(struct call *c)
{
    struct provider p;
    TRY(provider_find(c, &p));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kint(&w, "resource_provider_generation", p.h.generation);
    jw_kobj(&w, "usages");
    for (size_t i = 0; i < ROOMS; i++)
        if (room_of(&p.h, room_kinds[i].total))
            jw_kint(&w, room_kinds[i].name, room_of(&p.h, room_kinds[i].used));
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- of a consumer */

/* *ret_n 0: it holds nothing. */
static struct err *find_holder(struct call *c, struct holder **ret, size_t *ret_n)
{
    const char *id = call_param(c, "consumer_uuid");
    if (!uuid_valid(id))
        return fail(c->cx, ERR_INVALID, "Consumer %s is not a uuid", id);
    return holders_like(c, &(struct compute_use){.id = id}, ret, ret_n);
}

static struct err *generation_of(struct call *c, const char *host_id, int64_t *ret)
{
    struct provider *all;
    size_t n;
    *ret = 0;
    TRY(providers_load(c, &all, &n));
    for (size_t i = 0; i < n; i++)
        if (str_eq(all[i].h.id, host_id))
            *ret = all[i].h.generation;
    return NULL;
}

struct err *allocation_show(struct call *c)
{
    struct holder *h;
    size_t n;
    int64_t generation = 0;
    TRY(find_holder(c, &h, &n));
    if (n)
        TRY(generation_of(c, h->host_id, &generation));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "allocations");
    if (n) {
        jw_kobj(&w, h->host_id);
        jw_kint(&w, "generation", generation);
        write_resources(&w, h);
        jw_obj_end(&w);
    }
    jw_obj_end(&w);
    if (n && c->microversion >= 12) {
        jw_kstr(&w, "project_id", h->project_id);
        jw_kstr(&w, "user_id", h->user_id);
    }
    if (n && c->microversion >= 28)
        jw_kint(&w, "consumer_generation", 1);
    if (n && c->microversion >= 38)
        jw_kstr(&w, "consumer_type", h->type);
    jw_obj_end(&w);
    return NULL;
}

struct err *allocation_create(struct call *c)
{
    return refuse(c, "Servers and volumes take what they hold of hosts when they are created or "
                     "moved: nothing is allocated here.");
}

struct err *allocation_update(struct call *c)
{
    return allocation_create(c);
}

struct err *allocation_delete(struct call *c)
{
    struct holder *h;
    size_t n;
    TRY(find_holder(c, &h, &n));
    if (!n)
        return fail(c->cx, ERR_NOT_FOUND, "No allocations for consumer '%s'",
                    call_param(c, "consumer_uuid"));
    return refuse(c, "Servers and volumes give back what they hold when they are deleted, and not "
                     "before.");
}

/* ---------------------------------------------------------------- of a project */

struct sum {
    int64_t count, amounts[ROOMS];
};

static struct sum sum_of(const struct holder *h, size_t n, const char *type)
{
    struct sum s = {0};
    for (size_t i = 0; i < n; i++) {
        if (type && !str_eq(h[i].type, type))
            continue;
        s.count++;
        for (size_t k = 0; k < ROOMS; k++)
            s.amounts[k] += h[i].amounts[k];
    }
    return s;
}

static void write_type(struct jw *w, const char *name, const struct sum *s)
{
    if (!s->count)
        return;
    jw_kobj(w, name);
    jw_kint(w, "consumer_count", s->count);
    write_amounts(w, s->amounts);
    jw_obj_end(w);
}

/* Since 1.38 by the consumers' type. */
static void write_by_type(struct jw *w, const struct holder *h, size_t n, const char *type)
{
    static const char *const types[] = {"INSTANCE", "VOLUME"};
    struct sum all = sum_of(h, n, NULL);
    if (str_eq(type, "all"))
        write_type(w, "all", &all);
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct sum s = sum_of(h, n, types[i]);
        if (!type || str_eq(type, types[i]))
            write_type(w, types[i], &s);
    }
}

struct err *project_usages(struct call *c)
{
    const char *project = http_arg(c->rq, "project_id"), *user = http_arg(c->rq, "user_id");
    const char *type = http_arg(c->rq, "consumer_type");
    struct holder *h;
    size_t n;
    if (!project || !*project)
        return fail_type(c->cx, ERR_INVALID, "placement.query.missing_value",
                         "Invalid query string parameters: 'project_id' is a required property");
    if (type && c->microversion < 38)
        return fail_type(c->cx, ERR_INVALID, "placement.query.bad_value",
                         "Invalid query string parameters: 'consumer_type' is known since 1.38");
    if (!c->actor->admin && !str_eq(project, c->actor->project_id))
        return fail(c->cx, ERR_FORBIDDEN, "placement:usages: of the token's own project only");
    TRY(holders_like(c, &(struct compute_use){.project_id = project, .user_id = user}, &h, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "usages");
    if (c->microversion >= 38)
        write_by_type(&w, h, n, type);
    else
        write_amounts(&w, sum_of(h, n, NULL).amounts);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}
