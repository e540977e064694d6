/* SPDX-License-Identifier: EUPL-1.2 */
/* See json_walk in json.h: from one part of a text to the next, in one pass. */
#include "base/base.h"

static void skip_space(const char **at)
{
    while (**at == ' ' || **at == '\n' || **at == '\t' || **at == '\r')
        ++*at;
}

/* Between the quotes; with escapes in it the whole reader takes it. */
static const char *take_text(struct ctx *cx, const char **at)
{
    const char *from = ++*at, *end = from + strcspn(from, "\"\\");
    if (*end == '"') {
        *at = end + 1;
        return arena_strndup(cx->arena, from, (size_t)(end - from));
    }
    while (*end && *end != '"')
        end += *end == '\\' && end[1] ? 2 : 1;
    must(*end);
    json_t *j = json_loadb(from - 1, (size_t)(end + 2 - from), JSON_DECODE_ANY, NULL);
    *at = end + 1;
    return json_string_value(json_own(cx, j));
}

bool json_walk(struct ctx *cx, struct json_walk *w)
{
    w->key = w->text = NULL;
    for (;;) {
        while (*w->at == ',' || *w->at == ' ' || *w->at == '\n' || *w->at == '\t' || *w->at == '\r')
            w->at++;
        if (!*w->at)
            return false;
        if (*w->at != '"')
            break;
        w->kind = '"';
        w->text = take_text(cx, &w->at);
        skip_space(&w->at);
        if (*w->at != ':')
            return true;
        w->at++;
        w->key = w->text;
        w->text = NULL;
    }
    w->kind = *w->at;
    w->at += strchr("{}[]", *w->at) ? 1 : strcspn(w->at, ",}] \n\t\r");
    return true;
}
