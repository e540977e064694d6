/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * JSON: reading is jansson's (a tree bound to the context's arena, duplicates and NULs refused);
 * writing is a streaming writer straight into a buffer, without a tree in between.
 */
#pragma once

#define JSON_READ_DEPTH 64
/* ERR_INVALID with the line and column where the text is broken. The tree lives as long as the
 * arena. */
MUST_USE struct err *json_read(struct ctx *cx, const char *text, size_t len, json_t **ret);
/* A tree made elsewhere: released with the arena. Returns it. */
json_t *json_own(struct ctx *cx, json_t *j);
/* Member of an object, NULL when absent or when obj isn't an object. JSON null is returned as such.
 */
json_t *json_get(const json_t *obj, const char *key);
/* The member's string or NULL; never fails. */
const char *json_get_str(const json_t *obj, const char *key);
int64_t json_get_int(const json_t *obj, const char *key, int64_t otherwise);
bool json_get_bool(const json_t *obj, const char *key, bool otherwise);
/* Compact, keys sorted: one text for one meaning. In the arena. */
const char *json_text(struct ctx *cx, const json_t *j);

/*
 * One part after the other, without a tree: for texts that this program wrote, where little is
 * wanted of many. kind is the part's first character: { } [ ] " or a number's or a word's; a value
 * in an object has its key. False at the end.
 *   struct json_walk w = {.at = text};
 *   while (json_walk(cx, &w)) …
 */
struct json_walk {
    const char *at;
    char kind;
    const char *key, *text; /* text: of a string, in the arena */
};
bool json_walk(struct ctx *cx, struct json_walk *w);

#define JSON_WRITE_DEPTH 32

struct jw {
    struct buf *out;
    unsigned depth;
    bool comma[JSON_WRITE_DEPTH];
};

void jw_init(struct jw *w, struct buf *out);
void jw_obj(struct jw *w);     /* { */
void jw_obj_end(struct jw *w); /* } */
void jw_arr(struct jw *w);     /* [ */
void jw_arr_end(struct jw *w); /* ] */
void jw_key(struct jw *w, const char *key);
void jw_key_ready(struct jw *w, const char *text, size_t size); /* "key": as it is written */
void jw_str(struct jw *w, const char *s);                       /* NULL writes null */
void jw_int(struct jw *w, int64_t v);
void jw_num(struct jw *w, double v);
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
void jw_raw(struct jw *w, const char *json); /* text that is JSON already; NULL writes null */
void jw_json(struct jw *w, const json_t *j); /* NULL writes null */

/* base/collection/id: base and collection need no escape, id may hold anything. */
void jw_url(struct jw *w, const char *base, size_t base_size, const char *collection,
            const char *id);

/* Key and value at once. */
void jw_kstr(struct jw *w, const char *key, const char *s);
void jw_kint(struct jw *w, const char *key, int64_t v);
void jw_kbool(struct jw *w, const char *key, bool v);
void jw_knull(struct jw *w, const char *key);
void jw_kraw(struct jw *w, const char *key, const char *json);
void jw_kjson(struct jw *w, const char *key, const json_t *j);
void jw_kobj(struct jw *w, const char *key);
void jw_karr(struct jw *w, const char *key);
