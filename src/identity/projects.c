/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Projects, in a tree below their domain. A domain is shown here as a project with is_domain, as
 * Keystone does: it is stored among the domains alone.
 */
#include "identity/resources.h"

#define DEPTH_MAX 5 /* levels of projects below a domain; a token names all of them */

const struct stmt stmt_project_forget_default = {
    "project_forget_default", "UPDATE users SET default_project_id = NULL, generation = generation "
                              "+ 1 WHERE default_project_id = $1"};

static void project_links(struct ctx *cx, struct jw *w, const void *row, const struct view *v)
{
    identity_self_link(w, cx, v, "projects", ((const struct project *)row)->id);
}

/* What project_show put beside the fields: its place in the tree. */
static void project_more(struct ctx *cx, struct jw *w, const void *row, const struct view *v UNUSED)
{
    const char *text = ((const struct project *)row)->row.extra, *key;
    json_t *tree = NULL, *value;
    if (text && !json_read(cx, text, strlen(text), &tree))
        json_object_foreach(tree, key, value) jw_kjson(w, key, value);
}

#define RESOURCE project
#define RESOURCE_DEF "identity/project.def"
#include "resource/declare_fields.h"

static const struct res_index indexes[] = {{"projects_name", "domain_id, name", .unique = true},
                                           {"projects_parent", "parent_id"}};
const struct resource project_resource = {.name = "project",
                                          .plural = "projects",
                                          .table = "projects",
                                          RESOURCE_FIELDS(project),
                                          .owner = -1,
                                          .extra = EXTRA_KEEP,
                                          .extra_member = project_f_extra,
                                          .dflt_sort = "name",
                                          .not_found = "Could not find project: %s.",
                                          .indexes = indexes,
                                          .n_indexes = ARRAY_LEN(indexes),
                                          .encode_more = project_more,
                                          .doc = "What owns resources: a tenant."};
const struct res_where projects_by_name = {&project_resource, "domain_id = $1 AND name = $2", NULL};

/* ---------------------------------------------------------------- domains as projects */

static struct project *as_project(struct ctx *cx, const struct domain *d)
{
    struct project *p = res_new(cx, &project_resource);
    p->id = d->id;
    p->name = d->name;
    p->description = d->description;
    p->enabled = d->enabled;
    p->is_domain = true;
    p->tags = d->tags;
    p->options = d->options;
    p->extra = d->extra;
    return p;
}

static void as_domain(const struct project *p, struct domain *d)
{
    d->name = p->name;
    d->description = p->description;
    d->enabled = p->enabled;
    d->tags = p->tags;
    d->options = p->options;
    d->extra = p->extra;
}

static struct err *list_domains(struct call *c)
{
    const char *name = http_arg(c->rq, "name"), *enabled = http_arg(c->rq, "enabled");
    bool on = true;
    void **rows;
    size_t n;
    struct view v = call_view(c);
    if (enabled && !str_to_bool(enabled, &on))
        return fail(c->cx, ERR_INVALID, "Invalid value for enabled: '%s' is not a boolean",
                    enabled);
    TRY(res_select_by(c->cx, c->tx, &domains_listed, &rows, &n, V_TEXT(name ? name : ""),
                      V_INT(enabled ? on : -1)));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "projects");
    for (size_t i = 0; i < n; i++)
        res_encode(c->cx, &w, &project_resource, as_project(c->cx, rows[i]), &v);
    jw_arr_end(&w);
    identity_page_links(c, &w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *create_domain(struct call *c, const struct project *p)
{
    struct domain *d = res_new(c->cx, &domain_resource);
    if (p->domain_id || p->parent_id)
        return fail(c->cx, ERR_INVALID,
                    "A domain has no domain_id and no parent_id: leave them out");
    as_domain(p, d);
    TRY(domain_add(c, d));
    return call_reply_row(c, 201, &project_resource, as_project(c->cx, d));
}

struct err *project_find(struct call *c, const char *id, struct project **ret)
{
    struct domain *d = NULL;
    TRY(res_get(c->cx, c->tx, &project_resource, id, (void **)ret));
    if (*ret)
        return NULL;
    TRY(res_get(c->cx, c->tx, &domain_resource, id, (void **)&d));
    if (!d)
        return res_not_found(c->cx, &project_resource, id);
    *ret = as_project(c->cx, d);
    return NULL;
}

/* ---------------------------------------------------------------- lists */

static bool is_tag_filter(const char *name)
{
    return str_eq(name, "tags") || str_eq(name, "tags-any") || str_eq(name, "not-tags") ||
           str_eq(name, "not-tags-any");
}

static struct err *take_tag_filter(struct call *c UNUSED, const char *name,
                                   const char *value UNUSED, bool *ret_taken,
                                   const char **ret_sql UNUSED)
{
    *ret_taken = is_tag_filter(name);
    return NULL;
}

/* "a,b": "tags" wants all of them, "tags-any" one; "not-" the contrary. */
static bool tags_match(struct call *c, const char *tags, const char *filter, const char *wanted)
{
    char **words;
    size_t n = str_split(c->cx, wanted, ',', &words), found = 0;
    for (size_t i = 0; i < n; i++)
        found += tag_index(c->cx, tags, words[i]) >= 0;
    bool hit = str_ends(filter, "-any") ? found > 0 : found == n;
    return str_starts(filter, "not-") ? !hit : hit;
}

static bool has_tags_asked_for(struct call *c, const void *row)
{
    const char *tags = ((const struct project *)row)->tags;
    for (size_t i = 0; i < c->rq->n_args; i++)
        if (is_tag_filter(c->rq->args[i].name) &&
            !tags_match(c, tags, c->rq->args[i].name, c->rq->args[i].value))
            return false;
    return true;
}

struct err *project_list(struct call *c)
{
    struct list_more more = {0};
    bool domains = false;
    const char *flag = http_arg(c->rq, "is_domain");
    if (flag && str_to_bool(flag, &domains) && domains)
        return list_domains(c);
    for (size_t i = 0; i < c->rq->n_args; i++) {
        if (is_tag_filter(c->rq->args[i].name)) {
            more.filter = take_tag_filter;
            more.keep = has_tags_asked_for;
        }
    }
    return call_reply_list(c, &project_resource, &more);
}

/* ---------------------------------------------------------------- changes */

static struct err *name_is_free(struct call *c, const struct project *p)
{
    struct project *other = NULL;
    TRY(res_first_by(c->cx, c->tx, &projects_by_name, (void **)&other, V_TEXT(p->domain_id),
                     V_TEXT(p->name)));
    if (other && !str_eq(other->id, p->id))
        return fail(
            c->cx, ERR_EXISTS,
            "Conflict occurred attempting to store project - it is not permitted to have two "
            "projects with the same name in the same domain: %s.",
            p->name);
    return NULL;
}

/* The parent, with its own domain taken over; at the top the domain is the parent. */
static struct err *take_place(struct call *c, struct project *p)
{
    struct project *parent = NULL;
    const char *const *above;
    size_t depth = 1;
    if (p->parent_id) {
        TRY(project_find(c, p->parent_id, &parent));
        const char *domain = parent->is_domain ? parent->id : parent->domain_id;
        if (p->domain_id && !str_eq(p->domain_id, domain))
            return fail(c->cx, ERR_INVALID, "The parent project belongs to another domain");
        if (!parent->enabled)
            return fail(c->cx, ERR_INVALID,
                        "cannot create a project in a branch containing a disabled project: %s",
                        parent->id);
        p->domain_id = domain;
    }
    TRY(identity_take_domain(c, &p->domain_id));
    p->parent_id = p->parent_id ? p->parent_id : p->domain_id;
    TRY(project_parents(c->cx, c->tx, p->parent_id, p->domain_id, &above));
    while (above[depth - 1])
        depth++;
    if (depth > DEPTH_MAX)
        return fail(c->cx, ERR_FORBIDDEN, "Max hierarchy depth reached for %s branch.",
                    p->parent_id);
    return NULL;
}

struct err *project_create(struct call *c)
{
    struct project *p = c->body;
    if (p->is_domain)
        return create_domain(c, p);
    TRY(take_place(c, p));
    TRY(name_is_free(c, p));
    p->id = uuid_new_hex(c->cx);
    c->audit_target = p->id;
    TRY(res_insert(c->cx, c->tx, &project_resource, p));
    return call_reply_row(c, 201, &project_resource, p);
}

/* Disabled ones are leaves of the enabled part of the tree. */
static struct err *may_switch(struct call *c, const struct project *p)
{
    struct project *other = NULL;
    void **below;
    size_t n;
    if (p->enabled) {
        TRY(project_find(c, p->parent_id, &other));
        if (!other->enabled)
            return fail(c->cx, ERR_FORBIDDEN,
                        "cannot enable project %s since it has disabled parents", p->id);
        return NULL;
    }
    TRY(res_select_by(c->cx, c->tx, &project_subtree, &below, &n, V_TEXT(p->id)));
    for (size_t i = 0; i < n; i++)
        if (ROW(project, below, i)->enabled)
            return fail(c->cx, ERR_FORBIDDEN,
                        "cannot disable project %s since its subtree contains enabled projects",
                        p->id);
    return NULL;
}

static struct err *update_domain(struct call *c, const struct project *p)
{
    struct domain *d = NULL;
    TRY(res_find(c->cx, c->tx, &domain_resource, p->id, (void **)&d));
    struct domain before = *d;
    as_domain(p, d);
    TRY(domain_change(c, &before, d));
    return call_reply_row(c, 200, &project_resource, as_project(c->cx, d));
}

struct err *project_update(struct call *c)
{
    struct project *before, *p;
    TRY(project_find(c, call_param(c, "project_id"), &before));
    p = arena_memdup(c->cx->arena, before, sizeof(*p));
    TRY(res_decode_body(c->cx, c->service->family, &project_resource, c->json, DECODE_UPDATE, 0,
                        c->actor->admin, p));
    TRY(check_mutable(c, before->options, "project", p->id));
    if (p->is_domain)
        return update_domain(c, p);
    TRY(name_is_free(c, p));
    if (before->enabled != p->enabled)
        TRY(may_switch(c, p));
    if (before->enabled && !p->enabled)
        TRY(token_revoke(c->cx, c->tx, "project", p->id));
    p->options = merge_options(c->cx, before->options, p->options);
    TRY(res_update(c->cx, c->tx, &project_resource, p));
    return call_reply_row(c, 200, &project_resource, p);
}

struct err *project_remove(struct ctx *cx, struct tx *tx, struct project *p)
{
    TRY(grants_forget_target(cx, tx, p->id));
    TRY(db_run(cx, tx, &stmt_project_forget_default, V_TEXT(p->id)));
    TRY(quota_reset(cx, tx, NULL, p->id));
    TRY(token_revoke(cx, tx, "project", p->id));
    return res_delete(cx, tx, &project_resource, p);
}

struct err *project_delete(struct call *c)
{
    struct project *p, *below = NULL;
    TRY(project_find(c, call_param(c, "project_id"), &p));
    TRY(check_mutable(c, p->options, "project", p->id));
    if (p->is_domain) {
        struct domain *d = NULL;
        TRY(res_find(c->cx, c->tx, &domain_resource, p->id, (void **)&d));
        TRY(domain_take_away(c, d));
        call_reply_empty(c, 204);
        return NULL;
    }
    TRY(res_first_by(c->cx, c->tx, &project_children, (void **)&below, V_TEXT(p->id)));
    if (below)
        return fail(c->cx, ERR_FORBIDDEN,
                    "cannot delete the project %s since it is not a leaf in the hierarchy: delete "
                    "the projects below it first.",
                    p->id);
    TRY(project_remove(c->cx, c->tx, p));
    call_reply_empty(c, 204);
    return NULL;
}
