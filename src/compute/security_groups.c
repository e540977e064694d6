/* SPDX-License-Identifier: EUPL-1.2 */
/* os-security-groups: the network service's groups, as this API had them before there was one. */
#include "compute/impl.h"

static struct err *reply_groups(struct call *c, const char *server_id)
{
    bool all = !c->target && c->actor->admin && http_arg(c->rq, "all_tenants");
    const char *project = all         ? NULL
                          : c->target ? ((const struct server *)c->target)->project_id
                                      : c->actor->project_id;
    size_t n;
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "security_groups");
    TRY(network_groups_write(c, project, NULL, server_id, &w, &n));
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *server_security_groups(struct call *c)
{
    return reply_groups(c, ((const struct server *)c->target)->id);
}

/* Looking at one's groups makes the default one. */
struct err *group_list(struct call *c)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(network_default_group_ensure(c));
    TRY(tx_read(c->cx, c->store, &tx));
    c->tx = tx;
    struct err *e = reply_groups(c, NULL);
    c->tx = NULL;
    return e;
}

static struct err *reply_group(struct call *c, const char *id)
{
    size_t n;
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "security_group");
    TRY(network_groups_write(c, c->actor->project_id, id, NULL, &w, &n));
    jw_obj_end(&w);
    return NULL;
}

struct err *group_show(struct call *c)
{
    return reply_group(c, call_param(c, "group_id"));
}

static struct err *text_of(struct call *c, const json_t *group, const char *member, bool empty_too,
                           const char **ret)
{
    const json_t *v = json_get(group, member);
    *ret = json_string_value(v);
    if (!*ret)
        return bad_member(c, member, v, "it is not of type 'string'");
    if (str_utf8_len(*ret) > 255 || (!empty_too && !**ret))
        return bad_member(c, member, v, "it has more than 255 characters, or none");
    return NULL;
}

static struct err *read_group(struct call *c, const char **ret_name, const char **ret_description)
{
    const json_t *group;
    const char *key;
    json_t *v;
    TRY(body_object(c, "security_group", &group));
    json_object_foreach((json_t *)(uintptr_t)group, key, v)
    {
        if (!str_eq(key, "name") && !str_eq(key, "description"))
            return bad_member(c, "security_group", group,
                              "it has other members than 'name' and 'description'");
    }
    TRY(text_of(c, group, "name", false, ret_name));
    return text_of(c, group, "description", true, ret_description);
}

struct err *group_create(struct call *c)
{
    const char *name, *description, *id;
    TRY(read_group(c, &name, &description));
    TRY(network_group_create(c, name, description, &id));
    c->audit_target = id;
    return reply_group(c, id);
}

struct err *group_update(struct call *c)
{
    const char *name, *description, *id = call_param(c, "group_id");
    TRY(read_group(c, &name, &description));
    TRY(network_group_update(c, id, name, description));
    return reply_group(c, id);
}

struct err *group_delete(struct call *c)
{
    TRY(network_group_delete(c, call_param(c, "group_id")));
    call_reply_empty(c, 202);
    return NULL;
}
