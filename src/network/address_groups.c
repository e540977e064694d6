/* SPDX-License-Identifier: EUPL-1.2 */
/* Address groups: /v2.0/address-groups, lists of addresses that rules of security groups name. */
#include "network/nw.h"

#define ADDRESSES_MAX 1000

/* Prefixes, each once; a range of MACs or the like is no address. */
static const char *check_addresses(struct ctx *cx, const json_t *v, json_t **ret)
{
    if (!json_is_array(v))
        return arena_printf(cx->arena, "%s is not a list of addresses", json_python(cx, v));
    if (json_array_size(v) > ADDRESSES_MAX)
        return arena_printf(cx->arena, "there are more than %d addresses", ADDRESSES_MAX);
    json_t *out = json_own(cx, json_array()), *seen = json_own(cx, json_object());
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *text = json_string_value(json_array_get(v, i));
        struct cidr cidr;
        if (!cidr_parse(text, &cidr))
            return arena_printf(cx->arena, "%s is not a valid IP subnet",
                                json_python(cx, json_array_get(v, i)));
        text = cidr_text(cx, &cidr);
        if (json_get(seen, text))
            continue;
        json_object_set_new(seen, text, json_true());
        json_array_append_new(out, json_string(text));
    }
    *ret = out;
    return NULL;
}

static void address_group_encode_shared(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                        const struct view *v UNUSED)
{
    jw_bool(w, nw_shared_to_actor(row));
}

#define RESOURCE address_group
#define RESOURCE_DEF "network/address_group.def"
#include "resource/declare_fields.h"

static bool visible(struct ctx *cx, struct tx *tx, const void *row, const struct actor *actor)
{
    return nw_rbac_sees(cx, tx, ((const struct address_group *)row)->id, actor);
}

static struct err *prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v)
{
    return nw_rbac_prepare(cx, tx, &address_group_resource, rows, n, v->actor);
}

static const struct res_index address_group_indexes[] = {
    {"address_groups_project", "project_id, created_at, id", false, NULL}};

const struct resource address_group_resource = {.name = "address_group",
                                                .plural = "address_groups",
                                                .table = "address_groups",
                                                RESOURCE_FIELDS(address_group),
                                                .owner = address_group_f_project_id,
                                                .not_found = "Address group %s could not be found.",
                                                .not_found_type = "AddressGroupNotFound",
                                                .indexes = address_group_indexes,
                                                .n_indexes = ARRAY_LEN(address_group_indexes),
                                                .visible = visible,
                                                .prepare = prepare,
                                                .dflt_sort = "created_at:asc,id:asc",
                                                .doc = "Addresses that rules name at once."};

const struct stmt nw_st_address_group_used = {
    "address_group_used",
    "SELECT id FROM security_rules WHERE remote_address_group_id = $1 LIMIT 1"};
const struct stmt nw_st_touch_addresses = {
    "touch_addresses",
    "SELECT DISTINCT p.network_id FROM security_rules r JOIN port_groups g ON g.group_id = "
    "r.security_group_id JOIN ports p ON p.id = g.port_id "
    "WHERE r.remote_address_group_id = $1 AND p.host_id IS NOT NULL"};

/* ---------------------------------------------------------------- handlers */

static struct err *make(struct call *c, void *row)
{
    return res_insert(c->cx, c->tx, &address_group_resource, row);
}

struct err *nw_address_groups_create(struct call *c)
{
    return nw_create(c, &address_group_resource, make);
}

struct err *nw_address_groups_list(struct call *c)
{
    return nw_list(c, NULL);
}

struct err *nw_address_group_update(struct call *c)
{
    TRY(res_update(c->cx, c->tx, &address_group_resource, c->body));
    return call_reply_row(c, 200, &address_group_resource, c->body);
}

struct err *nw_address_group_delete(struct call *c)
{
    struct address_group *g = c->target;
    struct db_value param = V_TEXT(g->id);
    struct db_rows used;
    TRY(db_query(c->cx, c->tx, &nw_st_address_group_used, &param, 1, &used));
    if (used.n_rows)
        return fail_type(c->cx, ERR_IN_USE, "AddressGroupInUse",
                         "Address group %s is in use on one or more security group rules", g->id);
    TRY(nw_rbac_forget(c->cx, c->tx, g->id));
    TRY(res_delete(c->cx, c->tx, &address_group_resource, g));
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- some addresses more or less */

static struct err *addresses_asked(struct call *c, json_t **ret)
{
    /* The API reference wraps them, clients don't. */
    const json_t *body = json_get(c->json, "address_group");
    const json_t *asked = json_get(body ? body : c->json, "addresses");
    const char *reason = asked ? check_addresses(c->cx, asked, ret) : "'addresses' is missing";
    if (!reason && !json_array_size(*ret))
        reason = "it names no address";
    return reason ? bad(c->cx, "HTTPBadRequest", "Invalid input for addresses. Reason: %s.", reason)
                  : NULL;
}

static size_t index_of(const json_t *list, const json_t *item)
{
    size_t i = 0;
    while (i < json_array_size(list) && !json_equal(json_array_get(list, i), item))
        i++;
    return i;
}

static struct err *save(struct call *c, struct address_group *g, const json_t *addresses)
{
    if (json_array_size(addresses) > ADDRESSES_MAX)
        return bad(c->cx, "HTTPBadRequest",
                   "Invalid input for addresses. Reason: there are more than %d addresses.",
                   ADDRESSES_MAX);
    g->addresses = json_text(c->cx, addresses);
    TRY(res_update(c->cx, c->tx, &address_group_resource, g));
    TRY(nw_touch_networks_by(c->cx, c->tx, &nw_st_touch_addresses, g->id));
    return call_reply_row(c, 200, &address_group_resource, g);
}

struct err *nw_address_group_add(struct call *c)
{
    struct address_group *g = c->target;
    json_t *asked, *all = json_own(c->cx, json_deep_copy(nw_json(c->cx, g->addresses)));
    TRY(addresses_asked(c, &asked));
    for (size_t i = 0; i < json_array_size(asked); i++) {
        if (index_of(all, json_array_get(asked, i)) < json_array_size(all))
            return bad(c->cx, "AddressesAlreadyExist",
                       "Addresses %s already exist in the address group %s.",
                       json_python(c->cx, json_array_get(asked, i)), g->id);
        json_array_append(all, json_array_get(asked, i));
    }
    return save(c, g, all);
}

struct err *nw_address_group_remove(struct call *c)
{
    struct address_group *g = c->target;
    json_t *asked, *all = json_own(c->cx, json_deep_copy(nw_json(c->cx, g->addresses)));
    TRY(addresses_asked(c, &asked));
    for (size_t i = 0; i < json_array_size(asked); i++) {
        size_t at = index_of(all, json_array_get(asked, i));
        if (at == json_array_size(all))
            return fail_type(c->cx, ERR_NOT_FOUND, "AddressesNotFound",
                             "Addresses %s not found in the address group %s.",
                             json_python(c->cx, json_array_get(asked, i)), g->id);
        json_array_remove(all, at);
    }
    return save(c, g, all);
}
