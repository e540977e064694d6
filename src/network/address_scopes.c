/* SPDX-License-Identifier: EUPL-1.2 */
/* Address scopes: /v2.0/address-scopes. Subnet pools of one scope have no address in common. */
#include "network/nw.h"

static const char *check_ip_version(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    int64_t n = json_is_integer(v) ? json_integer_value(v) : 0;
    if (json_is_string(v))
        (void)str_to_i64(json_string_value(v), 0, 9, &n);
    if (n == 4 || n == 6)
        return NULL;
    return arena_printf(cx->arena, "%s is not in [4, 6]", json_python(cx, v));
}

static void address_scope_encode_shared(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                        const struct view *v UNUSED)
{
    jw_bool(w, nw_shared_to_actor(row));
}

#define RESOURCE address_scope
#define RESOURCE_DEF "network/address_scope.def"
#include "resource/declare_fields.h"

static bool visible(struct ctx *cx, struct tx *tx, const void *row, const struct actor *actor)
{
    return nw_rbac_sees(cx, tx, ((const struct address_scope *)row)->id, actor);
}

static struct err *prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v)
{
    return nw_rbac_prepare(cx, tx, &address_scope_resource, rows, n, v->actor);
}

static const struct res_index address_scope_indexes[] = {
    {"address_scopes_project", "project_id, id", false, NULL}};

const struct resource address_scope_resource = {.name = "address_scope",
                                                .plural = "address_scopes",
                                                .table = "address_scopes",
                                                RESOURCE_FIELDS(address_scope),
                                                .owner = address_scope_f_project_id,
                                                .not_found = "Address scope %s could not be found",
                                                .not_found_type = "AddressScopeNotFound",
                                                .indexes = address_scope_indexes,
                                                .n_indexes = ARRAY_LEN(address_scope_indexes),
                                                .visible = visible,
                                                .prepare = prepare,
                                                .dflt_sort = "id:asc",
                                                .doc = "Addresses that mean one thing each."};

const struct res_where nw_w_pools_of_scope = {&subnetpool_resource, "address_scope_id = $1", "id"};

/* ---------------------------------------------------------------- pools in it */

static bool prefixes_overlap(struct ctx *cx, const struct subnetpool *a, const struct subnetpool *b)
{
    const json_t *ja = nw_json(cx, a->prefixes), *jb = nw_json(cx, b->prefixes);
    for (size_t i = 0; i < json_array_size(ja); i++)
        for (size_t k = 0; k < json_array_size(jb); k++) {
            struct cidr ca, cb;
            must(cidr_parse(json_string_value(json_array_get(ja, i)), &ca) &&
                 cidr_parse(json_string_value(json_array_get(jb, k)), &cb));
            if (cidr_overlap(&ca, &cb))
                return true;
        }
    return false;
}

struct err *nw_scope_check_pool(struct call *c, const struct subnetpool *p)
{
    void *row = NULL, **pools;
    size_t n;
    bool shared = false;
    if (!p->address_scope_id)
        return NULL;
    TRY(res_find_visible(c->cx, c->tx, &address_scope_resource, p->address_scope_id, c->actor,
                         &row));
    const struct address_scope *s = row;
    TRY(nw_rbac_has(c->cx, c->tx, s->id, RBAC_SHARED, p->project_id, &shared));
    if (!shared && !str_eq(s->project_id, p->project_id))
        return bad(
            c->cx, "IllegalSubnetPoolAssociationToAddressScope",
            "Illegal subnetpool association: subnetpool %s cannot be associated with address "
            "scope %s.",
            p->id, s->id);
    if (s->ip_version != p->ip_version)
        return bad(c->cx, "IllegalSubnetPoolIpVersionAssociationToAddressScope",
                   "Illegal subnetpool association: subnetpool %s cannot associate with address "
                   "scope %s because subnetpool ip_version is not %" PRId64 ".",
                   p->id, s->id, s->ip_version);
    TRY(res_select_by(c->cx, c->tx, &nw_w_pools_of_scope, &pools, &n, V_TEXT(s->id)));
    for (size_t i = 0; i < n; i++)
        if (!str_eq(ROW(subnetpool, pools, i)->id, p->id) && prefixes_overlap(c->cx, p, pools[i]))
            return fail_type(c->cx, ERR_CONFLICT, "AddressScopePrefixConflict",
                             "Failed to associate address scope: subnetpools within an address "
                             "scope must have unique prefixes.");
    return NULL;
}

/* ---------------------------------------------------------------- handlers */

static struct err *make(struct call *c, void *row)
{
    struct address_scope *s = row;
    TRY(res_insert(c->cx, c->tx, &address_scope_resource, s));
    return nw_rbac_everyone(c->cx, c->tx, &address_scope_resource, s->id, s->project_id,
                            RBAC_SHARED, s->shared);
}

struct err *nw_address_scopes_create(struct call *c)
{
    return nw_create(c, &address_scope_resource, make);
}

struct err *nw_address_scopes_list(struct call *c)
{
    return nw_list(c, NULL);
}

struct err *nw_address_scope_update(struct call *c)
{
    const struct address_scope *old = c->target;
    struct address_scope *s = c->body;
    if (old->shared && !s->shared)
        return bad(c->cx, "AddressScopeUpdateError",
                   "Unable to update address scope %s : Shared address scope can't be unshared.",
                   s->id);
    TRY(res_update(c->cx, c->tx, &address_scope_resource, s));
    TRY(nw_rbac_everyone(c->cx, c->tx, &address_scope_resource, s->id, s->project_id, RBAC_SHARED,
                         s->shared));
    return call_reply_row(c, 200, &address_scope_resource, s);
}

struct err *nw_address_scope_delete(struct call *c)
{
    struct address_scope *s = c->target;
    void *used = NULL;
    TRY(res_first_by(c->cx, c->tx, &nw_w_pools_of_scope, &used, V_TEXT(s->id)));
    if (used)
        return fail_type(c->cx, ERR_IN_USE, "AddressScopeInUse",
                         "Unable to complete operation on address scope %s. There are one or more "
                         "subnet pools in use on the address scope",
                         s->id);
    TRY(nw_rbac_forget(c->cx, c->tx, s->id));
    TRY(res_delete(c->cx, c->tx, &address_scope_resource, s));
    call_reply_empty(c, 204);
    return NULL;
}
