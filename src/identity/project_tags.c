/* SPDX-License-Identifier: EUPL-1.2 */
/* Tags of projects. */
#include "identity/resources.h"

#define TAGS_MAX 80

static const char *bad_tag(struct ctx *cx, const json_t *v)
{
    const char *s = json_string_value(v);
    int64_t len = s ? str_utf8_len(s) : 0;
    if (!s)
        return arena_printf(cx->arena, "%s is not of type 'string'", json_python(cx, v));
    if (len < 1 || len > 255)
        return "a tag has 1 to 255 characters";
    if (strpbrk(s, ",/"))
        return arena_printf(cx->arena, "'%s' does not match '^[^,/]*$'", s);
    return NULL;
}

const char *check_project_tags(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    if (!json_is_array(v))
        return arena_printf(cx->arena, "%s is not of type 'array'", json_python(cx, v));
    if (json_array_size(v) > TAGS_MAX)
        return arena_printf(cx->arena, "a project has at most %d tags", TAGS_MAX);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *reason = bad_tag(cx, json_array_get(v, i));
        if (reason)
            return reason;
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_array_get(v, i), json_array_get(v, k)))
                return arena_printf(cx->arena, "%s has non-unique elements", json_python(cx, v));
    }
    return NULL;
}

static json_t *tags_of(struct ctx *cx, const char *text)
{
    json_t *tags = NULL;
    struct err *e = json_read(cx, text, strlen(text), &tags);
    must(!e); /* we wrote it */
    return tags;
}

int tag_index(struct ctx *cx, const char *tags, const char *tag)
{
    const json_t *list = tags_of(cx, tags);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_eq(json_string_value(json_array_get(list, i)), tag))
            return (int)i;
    return -1;
}

static struct err *reply_tags(struct call *c, const struct project *p)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kraw(&w, "tags", p->tags);
    jw_kobj(&w, "links");
    jw_kstr(&w, "self", arena_printf(c->cx->arena, "%s%s", c->rq->base_url, c->rq->raw_path));
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* To be changed: immutable ones keep their tags too. */
static struct err *to_change(struct call *c, struct project **ret)
{
    TRY(res_find(c->cx, c->tx, &project_resource, call_param(c, "project_id"), (void **)ret));
    return check_mutable(c, (*ret)->options, "project", (*ret)->id);
}

/* The project with these tags instead. */
static struct err *store_tags(struct call *c, struct project *p, const json_t *tags)
{
    const char *reason = check_project_tags(c->cx, tags, NULL);
    if (reason)
        return fail(c->cx, ERR_INVALID, "Invalid input for field 'tags': %s", reason);
    p->tags = json_text(c->cx, tags);
    return res_update(c->cx, c->tx, &project_resource, p);
}

struct err *project_tags(struct call *c)
{
    struct project *p;
    TRY(project_visible(c, &p));
    return reply_tags(c, p);
}

struct err *project_tags_replace(struct call *c)
{
    struct project *p;
    const json_t *tags = json_get(c->json, "tags");
    TRY(to_change(c, &p));
    if (!tags)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field 'tags': 'tags' is a required property");
    TRY(store_tags(c, p, tags));
    return reply_tags(c, p);
}

struct err *project_tags_delete(struct call *c)
{
    struct project *p;
    TRY(to_change(c, &p));
    TRY(store_tags(c, p, json_own(c->cx, json_array())));
    call_reply_empty(c, 204);
    return NULL;
}

static struct err *no_such_tag(struct call *c)
{
    return fail(c->cx, ERR_NOT_FOUND, "Could not find project tag: %s.", call_param(c, "tag"));
}

struct err *project_tag_check(struct call *c)
{
    struct project *p;
    TRY(project_visible(c, &p));
    if (tag_index(c->cx, p->tags, call_param(c, "tag")) < 0)
        return no_such_tag(c);
    call_reply_empty(c, 204);
    return NULL;
}

struct err *project_tag_add(struct call *c)
{
    struct project *p;
    const char *tag = call_param(c, "tag");
    TRY(to_change(c, &p));
    if (tag_index(c->cx, p->tags, tag) < 0) {
        json_t *tags = tags_of(c->cx, p->tags);
        json_array_append_new(tags, json_string(tag));
        TRY(store_tags(c, p, tags));
    }
    call_reply_empty(c, 201);
    return NULL;
}

struct err *project_tag_delete(struct call *c)
{
    struct project *p;
    TRY(to_change(c, &p));
    int i = tag_index(c->cx, p->tags, call_param(c, "tag"));
    if (i < 0)
        return no_such_tag(c);
    json_t *tags = tags_of(c->cx, p->tags);
    json_array_remove(tags, (size_t)i);
    TRY(store_tags(c, p, tags));
    call_reply_empty(c, 204);
    return NULL;
}
