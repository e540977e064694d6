/* SPDX-License-Identifier: EUPL-1.2 */
/* What an actor may see: the one place where projects are kept apart. */
#include "resource/api.h"

static const char *owner_of(const struct resource *res, const void *row)
{
    if (res->owner < 0)
        return NULL;
    return *(const char *const *)(const void *)((const char *)row + res->fields[res->owner].offset);
}

struct err *res_find_visible(struct ctx *cx, struct tx *tx, const struct resource *res,
                             const char *id, const struct actor *actor, void **ret)
{
    void *row = NULL;
    TRY(res_find(cx, tx, res, id, &row));
    bool own = res->owner < 0 || actor->admin || str_eq(owner_of(res, row), actor->project_id);
    if (!own && !(res->visible && res->visible(cx, tx, row, actor)))
        return res_not_found(cx, res, id);
    *ret = row;
    return NULL;
}

struct err *call_require_owner(struct call *c, const char *project_id, const struct resource *res,
                               const char *id)
{
    if (c->actor->admin || str_eq(project_id, c->actor->project_id))
        return NULL;
    return fail(c->cx, ERR_FORBIDDEN,
                "%s %s belongs to another project: policy %s does not allow this", res->name, id,
                c->route->policy);
}
