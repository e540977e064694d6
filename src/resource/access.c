/* SPDX-License-Identifier: EUPL-1.2 */
/* Actors that may make some calls only (Keystone's access rules for application credentials). */
#include "resource/engine.h"

#define PATTERN_MAX 1024

/* A part of a pattern: a character, any text without "/", or any text. */
enum piece { ONE, PART, ANY };

static enum piece next_piece(const char **p, char *ret)
{
    const char *close = **p == '{' ? strchr(*p, '}') : NULL;
    *ret = **p;
    if (close) {
        *p = close + 1;
        return PART;
    }
    if (**p != '*') {
        ++*p;
        return ONE;
    }
    bool two = (*p)[1] == '*';
    *p += two ? 2 : 1;
    return two ? ANY : PART;
}

/* All ends that the pattern so far can have in the path, moved on by one piece: no pattern takes
 * longer than its length times the path's. */
bool access_path_matches(struct ctx *cx, const char *pattern, const char *path)
{
    size_t n = strlen(path);
    bool *ends = arena_new_array(cx->arena, bool, n + 1);
    ends[0] = true;
    for (const char *p = pattern; *p;) {
        char c;
        enum piece piece = next_piece(&p, &c);
        bool before = ends[0];
        ends[0] = piece == ANY && ends[0];
        for (size_t i = 0; i < n; i++) {
            bool here = before;
            before = ends[i + 1];
            ends[i + 1] = piece == ONE    ? here && path[i] == c
                          : piece == PART ? (here || ends[i]) && path[i] != '/'
                                          : before || ends[i];
        }
    }
    return ends[n];
}

/* The types that a service is found by in the catalogue. */
static bool is_service(const struct call *c, const char *type)
{
    static const char *const volume[] = {"volumev3", "volumev2", "block-storage", "block-store"};
    const char *name = c->service->family->name;
    for (size_t i = 0; str_eq(name, "volume") && i < ARRAY_LEN(volume); i++)
        if (str_eq(type, volume[i]))
            return true;
    return str_eq(type, name);
}

/* As the API reference has the path, or with the place where the service is mounted here. */
static bool allows(const struct call *c, const struct allowed_call *a)
{
    const char *path = c->rq->raw_path, *prefix = c->service->family->prefix;
    if (!is_service(c, a->service) || !str_eq(a->method, c->rq->method) ||
        strlen(a->path) > PATTERN_MAX)
        return false;
    return access_path_matches(c->cx, a->path, path) ||
           (str_starts(path, prefix) && access_path_matches(c->cx, a->path, path + strlen(prefix)));
}

struct err *access_check(struct call *c)
{
    bool get = str_eq(c->rq->method, "GET") || str_eq(c->rq->method, "HEAD");
    if (get && str_eq(c->rq->raw_path, "/identity/v3/auth/tokens")) /* what am I? */
        return NULL;
    for (size_t i = 0; i < c->actor->n_allowed; i++)
        if (allows(c, &c->actor->allowed[i]))
            return NULL;
    return fail(c->cx, ERR_UNAUTHENTICATED,
                "The application credential's access rules do not allow %s %s", c->rq->method,
                c->rq->path);
}
