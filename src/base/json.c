/* SPDX-License-Identifier: EUPL-1.2 */
/* See json.h. */
#include "base/base.h"
#include <math.h>

static void release(void *j)
{
    json_decref(j);
}

/* Reading recurses, on threads with small stacks: the depth is bounded before. */
static bool too_deep(const char *text, size_t len)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '[') && ++depth > JSON_READ_DEPTH)
            return true;
        else if (!quoted && (c == '}' || c == ']'))
            depth--;
    }
    return false;
}

struct err *json_read(struct ctx *cx, const char *text, size_t len, json_t **ret)
{
    json_error_t e;
    if (too_deep(text, len))
        return fail(cx, ERR_INVALID, "The request body is nested more than %d levels deep",
                    JSON_READ_DEPTH);
    json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!j)
        return fail(cx, ERR_INVALID, "The request body is not valid JSON: line %d, column %d: %s",
                    e.line, e.column, e.text);
    *ret = json_own(cx, j);
    return NULL;
}

json_t *json_own(struct ctx *cx, json_t *j)
{
    must(j);
    arena_defer(cx->arena, release, j);
    return j;
}

json_t *json_get(const json_t *obj, const char *key)
{
    return json_object_get(obj, key);
}

const char *json_get_str(const json_t *obj, const char *key)
{
    return json_string_value(json_object_get(obj, key));
}

int64_t json_get_int(const json_t *obj, const char *key, int64_t otherwise)
{
    const json_t *j = json_object_get(obj, key);
    return json_is_integer(j) ? json_integer_value(j) : otherwise;
}

bool json_get_bool(const json_t *obj, const char *key, bool otherwise)
{
    const json_t *j = json_object_get(obj, key);
    return json_is_boolean(j) ? json_is_true(j) : otherwise;
}

static int add_to_buf(const char *data, size_t size, void *arg)
{
    buf_add(arg, data, size);
    return 0;
}

const char *json_text(struct ctx *cx, const json_t *j)
{
    struct buf b;
    buf_init(&b, cx->arena);
    must(json_dump_callback(j, add_to_buf, &b, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) ==
         0);
    return buf_cstr(&b);
}

void jw_init(struct jw *w, struct buf *out)
{
    *w = (struct jw){.out = out};
}

static void separate(struct jw *w)
{
    if (w->comma[w->depth])
        buf_char(w->out, ',');
    w->comma[w->depth] = true;
}

static void open_level(struct jw *w, char c)
{
    separate(w);
    buf_char(w->out, c);
    must(w->depth + 1 < JSON_WRITE_DEPTH);
    w->comma[++w->depth] = false;
}

static void close_level(struct jw *w, char c)
{
    must(w->depth > 0);
    w->depth--;
    buf_char(w->out, c);
}

void jw_obj(struct jw *w)
{
    open_level(w, '{');
}

void jw_obj_end(struct jw *w)
{
    close_level(w, '}');
}

void jw_arr(struct jw *w)
{
    open_level(w, '[');
}

void jw_arr_end(struct jw *w)
{
    close_level(w, ']');
}

/* Control characters, quotation mark, backslash: RFC 8259, 7. */
static bool plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

typedef unsigned char bytes16 __attribute__((vector_size(16)));

/* The same for sixteen bytes at once. */
static bool plain16(const char *s)
{
    bytes16 v;
    uint64_t half[2];
    memcpy(&v, s, sizeof(v));
    v = (bytes16)((v < 0x20) | (v == '"') | (v == '\\'));
    memcpy(half, &v, sizeof(half));
    return !(half[0] | half[1]);
}

/* How many of the bytes in front need no escape. The last step may see some again. */
static size_t plain_size(const char *s, size_t size)
{
    size_t at = 0;
    while (size - at >= 16 && plain16(s + at))
        at += 16;
    if (at < size && size - at < 16 && size >= 16 && plain16(s + size - 16))
        return size;
    while (at < size && plain((unsigned char)s[at]))
        at++;
    return at;
}

static void escaped(struct buf *b, unsigned char c)
{
    if (c == '"' || c == '\\') {
        buf_char(b, '\\');
        buf_char(b, (char)c);
    } else if (c == '\n') {
        buf_str(b, "\\n");
    } else {
        buf_printf(b, "\\u%04x", c);
    }
}

/* What stands between the quotes. */
static void escape(struct buf *b, const char *s, size_t size)
{
    for (const char *end = s + size;; s++) {
        size_t n = plain_size(s, (size_t)(end - s));
        buf_add(b, s, n);
        s += n;
        if (s == end)
            break;
        escaped(b, (unsigned char)*s);
    }
}

/* The string, a comma before it where one is due, and after it this character unless it is 0. */
static void quoted(struct jw *w, const char *s, char after)
{
    struct buf *b = w->out;
    size_t size = strlen(s), n = plain_size(s, size);
    char *from = buf_reserve(b, size + 5), *p = from;
    if (w->comma[w->depth])
        *p++ = ',';
    w->comma[w->depth] = !after;
    *p++ = '"';
    p = (char *)memcpy(p, s, n) + n;
    if (n < size) {
        b->len += (size_t)(p - from);
        escape(b, s + n, size - n);
        from = p = buf_reserve(b, 3);
    }
    *p++ = '"';
    if (after)
        *p++ = after;
    *p = 0;
    b->len += (size_t)(p - from);
}

void jw_key(struct jw *w, const char *key)
{
    quoted(w, key, ':');
}

void jw_key_ready(struct jw *w, const char *text, size_t size)
{
    char *from = buf_reserve(w->out, size + 2), *p = from;
    if (w->comma[w->depth])
        *p++ = ',';
    w->comma[w->depth] = false;
    p = (char *)memcpy(p, text, size) + size;
    *p = 0;
    w->out->len += (size_t)(p - from);
}

void jw_str(struct jw *w, const char *s)
{
    if (s)
        quoted(w, s, 0);
    else
        jw_null(w);
}

static char *put(char *p, const char *s, size_t size)
{
    return (char *)memcpy(p, s, size) + size;
}

void jw_url(struct jw *w, const char *base, size_t base_size, const char *collection,
            const char *id)
{
    struct buf *b = w->out;
    size_t c_size = strlen(collection), id_size = strlen(id), n = plain_size(id, id_size);
    separate(w);
    char *from = buf_reserve(b, base_size + c_size + id_size + 4), *p = from;
    *p++ = '"';
    p = put(p, base, base_size);
    *p++ = '/';
    p = put(p, collection, c_size);
    *p++ = '/';
    p = put(p, id, n);
    b->len += (size_t)(p - from);
    if (n < id_size)
        escape(b, id + n, id_size - n);
    buf_char(b, '"');
}

void jw_int(struct jw *w, int64_t v)
{
    char text[24], *end = text + sizeof(text), *p = end;
    uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        *--p = (char)('0' + rest % 10);
    while (rest /= 10);
    if (v < 0)
        *--p = '-';
    separate(w);
    buf_add(w->out, p, (size_t)(end - p));
}

void jw_num(struct jw *w, double v)
{
    separate(w);
    must(isfinite(v));
    char text[40];
    size_t n = (size_t)snprintf(text, sizeof(text), "%.15g", v);
    buf_add(w->out, text, n);
    if (!strpbrk(text, ".e"))
        buf_str(w->out, ".0");
}

void jw_bool(struct jw *w, bool v)
{
    separate(w);
    buf_str(w->out, v ? "true" : "false");
}

void jw_null(struct jw *w)
{
    jw_raw(w, NULL);
}

void jw_raw(struct jw *w, const char *json)
{
    separate(w);
    buf_str(w->out, json ? json : "null");
}

void jw_json(struct jw *w, const json_t *j)
{
    separate(w);
    if (!j)
        buf_str(w->out, "null");
    else
        must(json_dump_callback(j, add_to_buf, w->out, JSON_COMPACT | JSON_ENCODE_ANY) == 0);
}

void jw_kstr(struct jw *w, const char *key, const char *s)
{
    jw_key(w, key);
    jw_str(w, s);
}

void jw_kint(struct jw *w, const char *key, int64_t v)
{
    jw_key(w, key);
    jw_int(w, v);
}

void jw_kbool(struct jw *w, const char *key, bool v)
{
    jw_key(w, key);
    jw_bool(w, v);
}

void jw_knull(struct jw *w, const char *key)
{
    jw_key(w, key);
    jw_null(w);
}

void jw_kraw(struct jw *w, const char *key, const char *json)
{
    jw_key(w, key);
    jw_raw(w, json);
}

void jw_kjson(struct jw *w, const char *key, const json_t *j)
{
    jw_key(w, key);
    jw_json(w, j);
}

void jw_kobj(struct jw *w, const char *key)
{
    jw_key(w, key);
    jw_obj(w);
}

void jw_karr(struct jw *w, const char *key)
{
    jw_key(w, key);
    jw_arr(w);
}
