/* SPDX-License-Identifier: EUPL-1.2 */
/* A server's tags, since 2.26: all of them, or one. */
#include "compute/impl.h"

#define TAGS_MAX 50

static json_t *tags_of(struct ctx *cx, const struct server *s)
{
    json_t *j = NULL;
    struct err *e = json_read(cx, s->tags, strlen(s->tags), &j);
    must(!e);
    return j;
}

static size_t index_of(const json_t *tags, const char *tag)
{
    for (size_t i = 0; i < json_array_size(tags); i++)
        if (str_eq(json_string_value(json_array_get(tags, i)), tag))
            return i;
    return SIZE_MAX;
}

bool server_has_tag(struct ctx *cx, const struct server *s, const char *tag)
{
    return index_of(tags_of(cx, s), tag) != SIZE_MAX;
}

static struct err *check_tag(struct call *c, const json_t *tag)
{
    const char *text = json_string_value(tag);
    if (!text)
        return bad_member(c, "tags", tag, "it is not of type 'string'");
    if (!*text || str_utf8_len(text) > 60)
        return bad_member(c, "tags", tag, "it has more than 60 characters, or none");
    if (strpbrk(text, "/,"))
        return bad_member(c, "tags", tag, "it does not match '^[^,/]*$'");
    return NULL;
}

static struct err *save(struct call *c, const json_t *tags)
{
    struct server *s = c->target;
    TRY(server_check_lock(c, s));
    if (json_array_size(tags) > TAGS_MAX)
        return fail(c->cx, ERR_INVALID, "The number of tags exceeded the per-server limit %d",
                    TAGS_MAX);
    s->tags = json_text(c->cx, tags);
    return server_save(c->cx, c->tx, s);
}

static struct err *reply(struct call *c, const json_t *tags)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kjson(&w, "tags", tags);
    jw_obj_end(&w);
    return NULL;
}

struct err *tag_list(struct call *c)
{
    return reply(c, tags_of(c->cx, c->target));
}

struct err *tags_replace(struct call *c)
{
    json_t *tags = json_own(c->cx, json_array());
    const json_t *given = json_get(c->json, "tags");
    if (!json_is_array(given) || json_object_size(c->json) != 1)
        return bad_member(c, "tags", given, "it is not the only member, of type 'array'");
    for (size_t i = 0; i < json_array_size(given); i++) {
        json_t *tag = json_array_get(given, i);
        TRY(check_tag(c, tag));
        if (index_of(tags, json_string_value(tag)) == SIZE_MAX)
            json_array_append(tags, tag);
    }
    TRY(save(c, tags));
    return reply(c, tags);
}

struct err *tags_delete(struct call *c)
{
    TRY(save(c, json_own(c->cx, json_array())));
    call_reply_empty(c, 204);
    return NULL;
}

/* The tag that the path names, among the target's. */
static struct err *find(struct call *c, json_t **ret_tags, size_t *ret_index)
{
    const char *tag = call_param(c, "tag");
    *ret_tags = tags_of(c->cx, c->target);
    *ret_index = index_of(*ret_tags, tag);
    if (*ret_index == SIZE_MAX)
        return fail(c->cx, ERR_NOT_FOUND, "Server %s has no tag '%s'",
                    ((const struct server *)c->target)->id, tag);
    return NULL;
}

struct err *tag_check(struct call *c)
{
    json_t *tags;
    size_t i;
    TRY(find(c, &tags, &i));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *tag_add(struct call *c)
{
    const struct server *s = c->target;
    const char *tag = call_param(c, "tag");
    json_t *tags = tags_of(c->cx, s), *text = json_own(c->cx, json_string(tag));
    TRY(check_tag(c, text));
    bool there = index_of(tags, tag) != SIZE_MAX;
    if (!there) {
        json_array_append(tags, text);
        TRY(save(c, tags));
    }
    http_reply_header(c->rp, c->cx, "Location",
                      arena_printf(c->cx->arena, "%s/servers/%s/tags/%s", call_base_url(c), s->id,
                                   str_url(c->cx, tag)));
    call_reply_empty(c, there ? 204 : 201);
    return NULL;
}

struct err *tag_delete(struct call *c)
{
    json_t *tags;
    size_t i;
    TRY(find(c, &tags, &i));
    json_array_remove(tags, i);
    TRY(save(c, tags));
    call_reply_empty(c, 204);
    return NULL;
}
