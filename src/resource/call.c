/* SPDX-License-Identifier: EUPL-1.2 */
/* What handlers use to read their call and write their reply. */
#include "resource/engine.h"

const char *call_param(const struct call *c, const char *name)
{
    for (size_t i = 0; i < c->n_params; i++)
        if (str_eq(c->params[i].name, name))
            return c->params[i].value;
    bug_at(WHERE, name);
}

const char *call_base_url(const struct call *c)
{
    const char *p = strchr(c->route->pattern + 1, '/');
    p = p ? strchrnul(p + 1, '/') : c->route->pattern + strlen(c->route->pattern);
    return arena_printf(c->cx->arena, "%s%.*s", c->rq->base_url, (int)(p - c->route->pattern),
                        c->route->pattern);
}

/* Neutron's fields=, repeated: only these members. */
static void read_fields(struct call *c, struct view *v)
{
    const char **fields = arena_new_array(c->cx->arena, const char *, c->rq->n_args + 1);
    for (size_t i = 0; i < c->rq->n_args; i++)
        if (str_eq(c->rq->args[i].name, "fields"))
            fields[v->n_fields++] = c->rq->args[i].value;
    v->fields = v->n_fields ? fields : NULL;
}

struct view call_view(struct call *c)
{
    struct view v = {.admin = c->actor->admin,
                     .microversion = c->microversion,
                     .base_url = call_base_url(c),
                     .actor = c->actor,
                     .call = c};
    if (c->service->family->paging == PAGING_NETWORK && str_eq(c->rq->method, "GET"))
        read_fields(c, &v);
    return v;
}

struct jw call_json(struct call *c, int status)
{
    struct jw w;
    c->rp->status = status;
    buf_clear(&c->rp->body);
    jw_init(&w, &c->rp->body);
    return w;
}

void call_reply_empty(struct call *c, int status)
{
    c->rp->status = status;
    buf_clear(&c->rp->body);
}

struct err *call_reply_row(struct call *c, int status, const struct resource *res, void *row)
{
    struct view v = call_view(c);
    TRY(res_prepare(c->cx, c->tx, res, &row, 1, &v));
    struct jw w = call_json(c, status ? status : c->route->status ? c->route->status : 200);
    if (!res->bare) {
        jw_obj(&w);
        jw_key(&w, res->name);
    }
    res_encode(c->cx, &w, res, row, &v);
    if (!res->bare)
        jw_obj_end(&w);
    return NULL;
}
