/* SPDX-License-Identifier: EUPL-1.2 */
/* Tags: /v2.0/{resource}/{id}/tags of every resource, by the route's target. */
#include "network/nw.h"

#define TAGS_MAX 50

static const char **tags_of(struct call *c)
{
    const struct resource *res = c->route->target;
    for (size_t i = 0; i < res->n_fields; i++)
        if (str_eq(res->fields[i].member, "tags"))
            return (const char **)(void *)((char *)c->target + res->fields[i].offset);
    bug_at(WHERE, res->name);
}

static struct err *save(struct call *c, const json_t *tags)
{
    if (json_array_size(tags) > TAGS_MAX)
        return bad(c->cx, "HTTPBadRequest", "Too many tags: at most %d", TAGS_MAX);
    *tags_of(c) = json_text(c->cx, tags);
    return res_update(c->cx, c->tx, c->route->target, c->target);
}

static struct err *reply(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kraw(&w, "tags", *tags_of(c));
    jw_obj_end(&w);
    return NULL;
}

static bool is_tag(const char *s)
{
    int64_t len = s ? str_utf8_len(s) : -1;
    return len >= 1 && len <= 255;
}

struct err *nw_tags_list(struct call *c)
{
    return reply(c);
}

struct err *nw_tags_replace(struct call *c)
{
    const json_t *asked = json_get(c->json, "tags");
    json_t *tags = json_own(c->cx, json_array());
    if (!json_is_array(asked))
        return bad(c->cx, "HTTPBadRequest", "Invalid tags body");
    if (json_array_size(asked) > TAGS_MAX) /* before each is compared with all others */
        return bad(c->cx, "HTTPBadRequest", "Too many tags: at most %d", TAGS_MAX);
    for (size_t i = 0; i < json_array_size(asked); i++) {
        json_t *tag = json_array_get(asked, i);
        bool there = false;
        if (!is_tag(json_string_value(tag)))
            return bad(c->cx, "HTTPBadRequest",
                       "Invalid input for tags. Reason: %s is not a text of 1 to 255 characters.",
                       json_python(c->cx, tag));
        for (size_t k = 0; k < json_array_size(tags); k++)
            there |= json_equal(json_array_get(tags, k), tag);
        if (!there)
            json_array_append(tags, tag);
    }
    TRY(save(c, tags));
    return reply(c);
}

struct err *nw_tags_clear(struct call *c)
{
    TRY(save(c, json_own(c->cx, json_array())));
    call_reply_empty(c, 204);
    return NULL;
}

static struct err *no_tag(struct call *c)
{
    return fail_type(c->cx, ERR_NOT_FOUND, "TagNotFound", "Tag %s could not be found.",
                     call_param(c, "tag"));
}

struct err *nw_tag_check(struct call *c)
{
    if (!nw_list_has(c->cx, *tags_of(c), call_param(c, "tag")))
        return no_tag(c);
    call_reply_empty(c, 204);
    return NULL;
}

struct err *nw_tag_add(struct call *c)
{
    const char *tag = call_param(c, "tag");
    if (!is_tag(tag))
        return bad(c->cx, "HTTPBadRequest",
                   "Invalid input for tags. Reason: '%s' is not a text of 1 to 255 characters.",
                   tag);
    if (!nw_list_has(c->cx, *tags_of(c), tag)) {
        json_t *tags = json_own(c->cx, json_deep_copy(nw_json(c->cx, *tags_of(c))));
        json_array_append_new(tags, json_string(tag));
        TRY(save(c, tags));
    }
    call_reply_empty(c, 201);
    return NULL;
}

struct err *nw_tag_remove(struct call *c)
{
    const char *tag = call_param(c, "tag");
    json_t *tags = json_own(c->cx, json_deep_copy(nw_json(c->cx, *tags_of(c))));
    for (size_t i = 0; i < json_array_size(tags); i++)
        if (str_eq(json_string_value(json_array_get(tags, i)), tag)) {
            json_array_remove(tags, i);
            TRY(save(c, tags));
            call_reply_empty(c, 204);
            return NULL;
        }
    return no_tag(c);
}
