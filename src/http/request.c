/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Request targets: splitting and percent-decoding. Bytes from strangers enter here; everything that
 * is handed on is valid UTF-8 without NULs.
 */
#include "http/conn.h"
#include <ctype.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool percent_decode(struct ctx *cx, const char *s, size_t len, bool plus, char **ret)
{
    char *out = arena_alloc(cx->arena, len + 1), *p = out;
    bool ascii = true;
    for (size_t i = 0; i < len; i++) {
        char ch = s[i];
        if (ch == '%') {
            int hi = len - i > 2 ? hex_value(s[i + 1]) : -1;
            int lo = hi >= 0 ? hex_value(s[i + 2]) : -1;
            if (lo < 0)
                return false;
            ch = (char)(hi * 16 + lo);
            i += 2;
        } else if (ch == '+' && plus) {
            ch = ' ';
        }
        if (!ch)
            return false;
        ascii = ascii && !(ch & 0x80);
        *p++ = ch;
    }
    if (!ascii && str_utf8_len(out) < 0)
        return false;
    *ret = out;
    return true;
}

static size_t count_args(const char *query)
{
    size_t n = 0;
    for (const char *p = query; *p; p = *strchrnul(p, '&') ? strchrnul(p, '&') + 1 : "")
        n += *p != '&';
    return n;
}

static struct err *decode_args(struct http_request *rq)
{
    struct ctx *cx = rq->cx;
    rq->args = arena_new_array(cx->arena, struct http_pair, count_args(rq->query));
    for (const char *p = rq->query; *p;) {
        const char *end = strchrnul(p, '&');
        if (end > p) {
            const char *eq = memchr(p, '=', (size_t)(end - p));
            const char *name_end = eq ? eq : end, *value = eq ? eq + 1 : end;
            char *n, *v;
            if (!percent_decode(cx, p, (size_t)(name_end - p), true, &n) ||
                !percent_decode(cx, value, (size_t)(end - value), true, &v))
                return fail(cx, ERR_INVALID,
                            "The query string holds a malformed percent-escape or is not UTF-8.");
            rq->args[rq->n_args++] = (struct http_pair){n, v};
        }
        p = *end ? end + 1 : end;
    }
    return NULL;
}

/* For refusals: the path as sent, with anything unprintable made harmless. */
static const char *harmless(struct ctx *cx, const char *s)
{
    char *out = arena_strdup(cx->arena, s);
    for (char *p = out; *p; p++)
        if (*p <= ' ' || *p > '~')
            *p = '?';
    return out;
}

/* "http://host:port/path" (absolute-form, RFC 9112 3.2.2) is taken for its path. */
static const char *skip_authority(const char *target)
{
    size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                    : strncasecmp(target, "https://", 8) == 0 ? 8
                                                              : 0;
    if (!scheme)
        return target;
    return target + scheme + strcspn(target + scheme, "/?");
}

struct err *request_target(struct http_request *rq, const char *target)
{
    struct ctx *cx = rq->cx;
    rq->raw_path = rq->path = rq->query = "";
    rq->args = NULL;
    rq->n_args = 0;
    target = skip_authority(target);
    size_t path_len = strcspn(target, "?");
    rq->raw_path = arena_strndup(cx->arena, target, path_len);
    rq->query = target[path_len] ? arena_strdup(cx->arena, target + path_len + 1) : "";
    rq->path = harmless(cx, rq->raw_path);
    if (*rq->raw_path != '/')
        return fail(cx, ERR_INVALID, "The request target does not start with '/'.");
    char *path;
    if (!percent_decode(cx, rq->raw_path, path_len, false, &path))
        return fail(cx, ERR_INVALID, "The path holds a malformed percent-escape or is not UTF-8.");
    rq->path = path;
    return decode_args(rq);
}

/* host, host:port or [v6]:port; it ends up in links, so nothing else. */
bool authority_valid(const char *s)
{
    size_t len = s ? strlen(s) : 0;
    if (!len || len > 262)
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr(".-_:[]", *s))
            return false;
    return true;
}

bool request_id_valid(const char *s)
{
    return str_starts(s, "req-") && strlen(s) == 40 && uuid_valid(s + 4);
}

const char *http_arg(const struct http_request *rq, const char *name)
{
    for (size_t i = 0; i < rq->n_args; i++)
        if (strcmp(rq->args[i].name, name) == 0)
            return rq->args[i].value;
    return NULL;
}
