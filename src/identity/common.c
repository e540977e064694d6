/* SPDX-License-Identifier: EUPL-1.2 */
/* What the topics share: links, refusals, resource options. */
#include "identity/resources.h"

void identity_self_link(struct jw *w, struct ctx *cx, const struct view *v, const char *plural,
                        const char *id)
{
    jw_obj(w);
    jw_kstr(w, "self", arena_printf(cx->arena, "%s/%s/%s", v->base_url, plural, id));
    jw_obj_end(w);
}

void identity_links(struct jw *w, struct ctx *cx, const struct view *v, const char *plural,
                    const char *id)
{
    jw_key(w, "links");
    identity_self_link(w, cx, v, plural, id);
}

void identity_page_links(struct call *c, struct jw *w)
{
    jw_kobj(w, "links");
    jw_kstr(w, "self", arena_printf(c->cx->arena, "%s%s", c->rq->base_url, c->rq->raw_path));
    jw_knull(w, "previous");
    jw_knull(w, "next");
    jw_obj_end(w);
}

/* ---------------------------------------------------------------- who may */

struct err *identity_forbidden(struct call *c)
{
    return fail(c->cx, ERR_FORBIDDEN, "You are not authorized to perform the requested action: %s.",
                c->route->policy);
}

struct err *identity_self_or_admin(struct call *c)
{
    if (c->actor->admin || str_eq(c->actor->user_id, call_param(c, "user_id")))
        return NULL;
    return identity_forbidden(c);
}

struct err *identity_not_delegated(struct call *c)
{
    const struct token *t = c->actor->more;
    if (t && (t->trust_id || (t->credential_id && !t->credential_unrestricted)))
        return identity_forbidden(c);
    return NULL;
}

struct err *identity_take_domain(struct call *c, const char **domain_id)
{
    const struct actor *a = c->actor;
    void *domain;
    if (!*domain_id)
        *domain_id = a->domain_id           ? a->domain_id
                     : a->project_domain_id ? a->project_domain_id
                                            : "default";
    return res_find(c->cx, c->tx, &domain_resource, *domain_id, &domain);
}

/* ---------------------------------------------------------------- resources without rules of
 * their own */

struct err *plain_list(struct call *c)
{
    return call_reply_list(c, c->route->list, NULL);
}

struct err *plain_show(struct call *c)
{
    return call_reply_row(c, 200, c->route->target, c->target);
}

struct err *plain_update(struct call *c)
{
    TRY(res_update(c->cx, c->tx, c->route->body, c->body));
    return call_reply_row(c, 200, c->route->body, c->body);
}

struct err *plain_delete(struct call *c)
{
    TRY(res_delete(c->cx, c->tx, c->route->target, c->target));
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- options */

const char *check_resource_options(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    const char *key;
    json_t *value;
    if (!json_is_object(v))
        return arena_printf(cx->arena, "%s is not of type 'object'", json_python(cx, v));
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        if (!str_eq(key, "immutable"))
            return arena_printf(cx->arena, "'%s' is not an option", key);
        if (!json_is_boolean(value) && !json_is_null(value))
            return arena_printf(cx->arena, "%s is not of type 'boolean', 'null'",
                                json_python(cx, value));
    }
    return NULL;
}

const char *merge_options(struct ctx *cx, const char *before, const char *given)
{
    json_t *all = NULL, *more = NULL, *value;
    const char *key;
    if (json_read(cx, before, strlen(before), &all) || json_read(cx, given, strlen(given), &more))
        return before; /* both were checked when they came */
    json_object_foreach(more, key, value)
    {
        if (json_is_null(value))
            json_object_del(all, key);
        else
            json_object_set(all, key, value);
    }
    return json_text(cx, all);
}

struct err *check_mutable(struct call *c, const char *options, const char *type, const char *id)
{
    json_t *now = NULL;
    const json_t *given = json_get(c->json, type);
    TRY(json_read(c->cx, options, strlen(options), &now));
    if (!json_get_bool(now, "immutable", false))
        return NULL;
    if (json_object_size(given) == 1 && json_get(json_get(given, "options"), "immutable"))
        return NULL;
    return fail(c->cx, ERR_FORBIDDEN,
                "Unable to %s immutable %s resource: `%s`. Set resource option \"immutable\" to "
                "false first.",
                given ? "update" : "delete", type, id);
}
