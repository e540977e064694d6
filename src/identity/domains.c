/* SPDX-License-Identifier: EUPL-1.2 */
/* Domains: realms of users, groups and projects. What they hold goes with them. */
#include "identity/resources.h"
#include <ctype.h>

static void domain_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    identity_self_link(w, cx, v, "domains", ((const struct domain *)row)->id);
}

static const char *check_domain_id(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    const char *s = json_string_value(v);
    bool hex = s && strlen(s) == 32;
    for (size_t i = 0; hex && i < 32; i++)
        hex = isxdigit((unsigned char)s[i]) && !isupper((unsigned char)s[i]);
    return hex ? NULL
               : arena_printf(cx->arena, "%s does not match '^[a-f0-9]{32}$'", json_python(cx, v));
}

#define RESOURCE domain
#define RESOURCE_DEF "identity/domain.def"
#include "resource/declare_fields.h"

static const struct res_index indexes[] = {{"domains_name", "name", .unique = true}};
const struct resource domain_resource = {.name = "domain",
                                         .plural = "domains",
                                         .table = "domains",
                                         RESOURCE_FIELDS(domain),
                                         .owner = -1,
                                         .extra = EXTRA_KEEP,
                                         .extra_member = domain_f_extra,
                                         .dflt_sort = "name",
                                         .not_found = "Could not find domain: %s.",
                                         .indexes = indexes,
                                         .n_indexes = ARRAY_LEN(indexes),
                                         .doc = "A realm of users and projects."};
const struct res_where domains_by_name = {&domain_resource, "name = $1", NULL};
const struct res_where domains_listed = {
    &domain_resource, "($1 = '' OR name = $1) AND ($2 < 0 OR enabled = $2)", "name"};
const struct res_where users_of_domain = {&user_resource, "domain_id = $1", "id"};
const struct res_where projects_of_domain = {&project_resource, "domain_id = $1", "id"};

struct err *domain_list(struct call *c)
{
    return call_reply_list(c, &domain_resource, NULL);
}

static struct err *name_is_free(struct call *c, const struct domain *d)
{
    struct domain *other = NULL;
    TRY(res_first_by(c->cx, c->tx, &domains_by_name, (void **)&other, V_TEXT(d->name)));
    if (other && !str_eq(other->id, d->id))
        return fail(
            c->cx, ERR_EXISTS,
            "Conflict occurred attempting to store domain - Duplicate entry found with name %s.",
            d->name);
    return NULL;
}

/* Ids of domains and projects are one space: a domain is shown as a project too. */
static struct err *id_is_free(struct call *c, const char *id)
{
    void *domain = NULL, *project = NULL;
    TRY(res_get(c->cx, c->tx, &domain_resource, id, &domain));
    TRY(res_get(c->cx, c->tx, &project_resource, id, &project));
    if (domain || project)
        return fail(c->cx, ERR_EXISTS,
                    "Conflict occurred attempting to store domain - Duplicate ID, %s.", id);
    return NULL;
}

struct err *domain_add(struct call *c, struct domain *d)
{
    TRY(name_is_free(c, d));
    d->id = d->explicit_id ? d->explicit_id : uuid_new_hex(c->cx);
    if (d->explicit_id)
        TRY(id_is_free(c, d->id));
    c->audit_target = d->id;
    return res_insert(c->cx, c->tx, &domain_resource, d);
}

struct err *domain_create(struct call *c)
{
    TRY(domain_add(c, c->body));
    return call_reply_row(c, 201, &domain_resource, c->body);
}

/* Users see the domains that they and their project are in; others look like none. */
struct err *domain_show(struct call *c)
{
    const char *id = call_param(c, "domain_id");
    const struct actor *a = c->actor;
    void *d = NULL;
    if (!a->admin && !str_eq(id, a->user_domain_id) && !str_eq(id, a->project_domain_id) &&
        !str_eq(id, a->domain_id))
        return identity_forbidden(c);
    TRY(res_find(c->cx, c->tx, &domain_resource, id, &d));
    return call_reply_row(c, 200, &domain_resource, d);
}

struct err *domain_change(struct call *c, const struct domain *before, struct domain *d)
{
    TRY(name_is_free(c, d));
    if (before->enabled && !d->enabled) {
        if (str_eq(d->id, "default"))
            return fail(
                c->cx, ERR_FORBIDDEN,
                "The default domain can't be disabled: the administrator would be locked out");
        TRY(token_revoke(c->cx, c->tx, "domain", d->id));
    }
    d->options = merge_options(c->cx, before->options, d->options);
    return res_update(c->cx, c->tx, &domain_resource, d);
}

struct err *domain_update(struct call *c)
{
    const struct domain *before = c->target;
    TRY(check_mutable(c, before->options, "domain", before->id));
    TRY(domain_change(c, before, c->body));
    return call_reply_row(c, 200, &domain_resource, c->body);
}

/* Nobody could log in to it any more, but its rows are still referred to by others'. */
static struct err *remove_contents(struct ctx *cx, struct tx *tx, const char *id)
{
    void **rows;
    size_t n;
    TRY(res_select_by(cx, tx, &users_of_domain, &rows, &n, V_TEXT(id)));
    for (size_t i = 0; i < n; i++)
        TRY(user_remove(cx, tx, rows[i]));
    TRY(res_select_by(cx, tx, &groups_of_domain, &rows, &n, V_TEXT(id)));
    for (size_t i = 0; i < n; i++)
        TRY(user_group_remove(cx, tx, rows[i]));
    TRY(res_select_by(cx, tx, &projects_of_domain, &rows, &n, V_TEXT(id)));
    for (size_t i = 0; i < n; i++)
        TRY(project_remove(cx, tx, rows[i]));
    TRY(res_select_by(cx, tx, &roles_of_domain, &rows, &n, V_TEXT(id)));
    for (size_t i = 0; i < n; i++)
        TRY(role_remove(cx, tx, rows[i]));
    return NULL;
}

struct err *domain_take_away(struct call *c, struct domain *d)
{
    if (str_eq(d->id, "default"))
        return fail(c->cx, ERR_FORBIDDEN, "The default domain can't be deleted");
    if (d->enabled)
        return fail(c->cx, ERR_FORBIDDEN,
                    "Cannot delete a domain that is enabled, please disable it first.");
    TRY(check_mutable(c, d->options, "domain", d->id));
    TRY(remove_contents(c->cx, c->tx, d->id));
    TRY(grants_forget_target(c->cx, c->tx, d->id));
    return res_delete(c->cx, c->tx, &domain_resource, d);
}

struct err *domain_delete(struct call *c)
{
    TRY(domain_take_away(c, c->target));
    call_reply_empty(c, 204);
    return NULL;
}
