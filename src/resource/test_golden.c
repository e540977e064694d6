/* SPDX-License-Identifier: EUPL-1.2 */
/* See test_golden.h. */
#include "resource/test_golden.h"

static const json_t *recorded(struct test_api *t, const char *service, const char *call)
{
    json_error_t e;
    const char *path = arena_printf(t->cx.arena, "%s/%s.json", GOLDEN_DIR, service);
    json_t *all = json_load_file(path, 0, &e);
    if (!all)
        fail_msg("%s: %s", path, e.text);
    const json_t *one = json_get(json_own(&t->cx, all), call);
    if (!one)
        fail_msg("%s: no call '%s'", path, call);
    return one;
}

const json_t *golden_request(struct test_api *t, const char *service, const char *call)
{
    return json_get(recorded(t, service, call), "request");
}

static bool excepted(const char *const *but, const char *path)
{
    for (; but && *but; but++)
        if (str_eq(*but, path))
            return true;
    return false;
}

static const char *type_of(const json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "boolean";
    case JSON_NULL:
        return "null";
    }
    return "?";
}

struct comparison {
    struct test_api *t;
    const char *const *but;
    int differences;
};

static void differ(struct comparison *c, const char *what, const char *path)
{
    print_error("%s: %s\n", path, what);
    c->differences++;
}

static void compare(struct comparison *c, const json_t *theirs, const json_t *ours,
                    const char *path)
{
    const char *key;
    json_t *value;
    if (json_is_null(theirs) || json_is_null(ours)) /* a value that happens to be absent */
        return;
    if (!str_eq(type_of(theirs), type_of(ours))) {
        differ(c,
               arena_printf(c->t->cx.arena, "is a %s, recorded was a %s", type_of(ours),
                            type_of(theirs)),
               path);
        return;
    }
    if (json_is_array(theirs) && json_array_size(theirs) && json_array_size(ours))
        compare(c, json_array_get(theirs, 0), json_array_get(ours, 0), path);
    if (!json_is_object(theirs))
        return;
    json_object_foreach((json_t *)(uintptr_t)theirs, key, value)
    {
        const char *below = arena_printf(c->t->cx.arena, "%s%s%s", path, *path ? "." : "", key);
        if (excepted(c->but, below))
            continue;
        if (!json_get(ours, key))
            differ(c, "is missing", below);
        else
            compare(c, value, json_get(ours, key), below);
    }
    json_object_foreach((json_t *)(uintptr_t)ours, key, value)
    {
        const char *below = arena_printf(c->t->cx.arena, "%s%s%s", path, *path ? "." : "", key);
        if (!json_get(theirs, key) && !excepted(c->but, below))
            differ(c, "was not recorded", below);
    }
}

void golden_compare(struct test_api *t, const char *service, const char *call,
                    const struct test_reply *r, const char *const *but)
{
    struct comparison c = {.t = t, .but = but};
    const char *status = strrchr(call, ' ') + 1;
    if (!str_eq(status, arena_printf(t->cx.arena, "%d", r->status)))
        fail_msg("%s: answered %d: %s", call, r->status, r->text);
    compare(&c, json_get(recorded(t, service, call), "reply"), r->json, "");
    if (c.differences)
        fail_msg("%s: %d differences from the recorded reply: %s", call, c.differences, r->text);
}
