/* SPDX-License-Identifier: EUPL-1.2 */
/* What a definition may say: the JSON schemas of the API, as tables. */
#include "image/metadefs.h"

#define NAME_MAX_LEN 80
#define PARTS_MAX 500

enum form { TEXT, BOOLEAN, COUNT, NUMBER, TEXTS, ANYTHING, ANYTHINGS, OBJECT };

static const struct allowed {
    const char *name;
    enum form form;
} property_members[] =
    {
        {"name", TEXT},
        {"title", TEXT},
        {"description", TEXT},
        {"operators", TEXTS},
        {"type", TEXT},
        {"required", TEXTS},
        {"minimum", NUMBER},
        {"maximum", NUMBER},
        {"maxLength", COUNT},
        {"minLength", COUNT},
        {"pattern", TEXT},
        {"enum", ANYTHINGS},
        {"readonly", BOOLEAN},
        {"default", ANYTHING},
        {"items", OBJECT},
        {"uniqueItems", BOOLEAN},
        {"minItems", COUNT},
        {"maxItems", COUNT},
        {"additionalItems", BOOLEAN},
        {NULL, TEXT},
},
  object_members[] =
      {
          {"name", TEXT},         {"description", TEXT}, {"required", TEXTS},
          {"properties", OBJECT}, {"created_at", TEXT},  {"updated_at", TEXT},
          {"self", TEXT},         {"schema", TEXT},      {NULL, TEXT},
},
  tag_members[] =
      {
          {"name", TEXT},
          {"created_at", TEXT},
          {"updated_at", TEXT},
          {NULL, TEXT},
},
  type_members[] = {
      {"name", TEXT},       {"prefix", TEXT},     {"properties_target", TEXT},
      {"created_at", TEXT}, {"updated_at", TEXT}, {NULL, TEXT},
};

static bool all_texts(const json_t *v)
{
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!json_is_string(json_array_get(v, i)))
            return false;
    return json_is_array(v);
}

static bool has_form(const json_t *v, enum form form)
{
    switch (form) {
    case TEXT:
        return json_is_string(v);
    case BOOLEAN:
        return json_is_boolean(v);
    case COUNT:
        return json_is_integer(v) && json_integer_value(v) >= 0;
    case NUMBER:
        return json_is_number(v);
    case TEXTS:
        return all_texts(v);
    case ANYTHINGS:
        return json_is_array(v);
    case OBJECT:
        return json_is_object(v);
    case ANYTHING:
        return true;
    }
    return false;
}

static const char *check_members(struct ctx *cx, const json_t *v, const struct allowed *members)
{
    const char *key;
    json_t *value;
    if (!json_is_object(v))
        return arena_printf(cx->arena, "%s is not of type 'object'", json_python(cx, v));
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        const struct allowed *m = members;
        while (m->name && !str_eq(m->name, key))
            m++;
        if (!m->name)
            return arena_printf(cx->arena,
                                "Additional properties are not allowed ('%s' was unexpected)", key);
        if (!has_form(value, m->form))
            return arena_printf(cx->arena, "%s is not right for '%s'", json_python(cx, value), key);
    }
    return NULL;
}

static const char *check_name(struct ctx *cx, const json_t *v)
{
    const char *name = json_get_str(v, "name");
    if (!name)
        return "'name' is a required property";
    if (!*name || str_utf8_len(name) > NAME_MAX_LEN)
        return arena_printf(cx->arena, "'%s' is not a name of 1 to %d characters",
                            str_cut(cx, name, 100), NAME_MAX_LEN);
    return NULL;
}

const char *check_metadef_property(struct ctx *cx, const json_t *v)
{
    static const char *const types[] = {"array",  "boolean", "integer", "number",
                                        "object", "string",  "null"};
    const char *reason = check_members(cx, v, property_members), *type = json_get_str(v, "type");
    if (reason)
        return reason;
    if (!json_get(v, "title") || !type)
        return arena_printf(cx->arena, "'%s' is a required property", type ? "title" : "type");
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_eq(type, types[i]))
            return NULL;
    return arena_printf(cx->arena,
                        "'%s' is not one of the types array, boolean, integer, number, "
                        "object, string, null",
                        type);
}

const char *check_metadef_properties(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    const char *key, *reason = NULL;
    json_t *value;
    if (!json_is_object(v) || json_object_size(v) > PARTS_MAX)
        return arena_printf(cx->arena, "an object of at most %d properties is expected", PARTS_MAX);
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        if (!reason && (!*key || str_utf8_len(key) > NAME_MAX_LEN))
            reason = "the name of a property has 1 to 80 characters";
        if (!reason)
            reason = check_metadef_property(cx, value);
    }
    return reason;
}

const char *check_metadef_object(struct ctx *cx, const json_t *v)
{
    const char *reason = check_members(cx, v, object_members);
    if (!reason)
        reason = check_name(cx, v);
    if (!reason && json_get(v, "properties"))
        reason = check_metadef_properties(cx, json_get(v, "properties"), NULL);
    return reason;
}

const char *check_metadef_tag(struct ctx *cx, const json_t *v)
{
    const char *reason = check_members(cx, v, tag_members);
    return reason ? reason : check_name(cx, v);
}

static const char *check_type(struct ctx *cx, const json_t *v)
{
    const char *reason = check_members(cx, v, type_members);
    return reason ? reason : check_name(cx, v);
}

/* Each of a list, and no name twice. */
static const char *check_list(struct ctx *cx, const json_t *v,
                              const char *(*check)(struct ctx *cx, const json_t *v))
{
    json_t *seen = json_own(cx, json_object());
    if (!json_is_array(v) || json_array_size(v) > PARTS_MAX)
        return arena_printf(cx->arena, "a list of at most %d is expected", PARTS_MAX);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *item = json_array_get(v, i);
        const char *reason = check(cx, item), *name = json_get_str(item, "name");
        if (reason)
            return reason;
        if (json_get(seen, name))
            return arena_printf(cx->arena, "'%s' is there twice", name);
        json_object_set_new(seen, name, json_true());
    }
    return NULL;
}

const char *check_metadef_objects(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    return check_list(cx, v, check_metadef_object);
}

const char *check_metadef_tags(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    return check_list(cx, v, check_metadef_tag);
}

const char *check_metadef_types(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    return check_list(cx, v, check_type);
}

/* ---------------------------------------------------------------- the same as JSON schemas */

static const char *type_of(enum form form)
{
    static const char *const types[] = {
        [TEXT] = "string", [BOOLEAN] = "boolean", [COUNT] = "integer", [NUMBER] = "number",
        [TEXTS] = "array", [ANYTHINGS] = "array", [OBJECT] = "object"};
    return types[form];
}

void metadef_write_members(struct jw *w, const char *kind)
{
    bool property = str_eq(kind, "property");
    const struct allowed *m = property                 ? property_members
                              : str_eq(kind, "object") ? object_members
                                                       : tag_members;
    jw_kobj(w, "properties");
    for (; m->name; m++) {
        jw_kobj(w, m->name);
        if (m->form != ANYTHING)
            jw_kstr(w, "type", type_of(m->form));
        if (m->form == TEXTS)
            jw_kraw(w, "items", "{\"type\":\"string\"}");
        jw_obj_end(w);
    }
    jw_obj_end(w);
    jw_kraw(w, "required", property ? "[\"name\",\"type\",\"title\"]" : "[\"name\"]");
}
