/* SPDX-License-Identifier: EUPL-1.2 */
/* See router.h. Nodes are few and made once at start: plain lists; a look-up allocates only the
 * decoded parameters. */
#include "http/conn.h"
#include "http/router.h"

#define SEGMENT_MAX 64

struct method {
    const char *name;
    void *route;
    struct method *next;
};

struct node {
    const char *literal; /* NULL: the parameter child */
    size_t len;
    const char *param;
    struct node *kids; /* literals */
    struct node *any;  /* "{param}" */
    struct node *next;
    struct method *methods;
    const char *allow; /* "GET, PUT", in the order they were added */
};

struct router {
    struct arena *arena;
    struct node root;
};

struct segment {
    const char *text;
    size_t len;
};

struct router *router_new(void)
{
    struct arena *a = arena_new();
    struct router *r = arena_new_of(a, struct router);
    r->arena = a;
    return r;
}

void router_free(struct router *r)
{
    if (r)
        arena_free(r->arena);
}

/* "/a//b/" is "a", "", "b", "". False: not a path, or deeper than any route. */
static bool split(const char *path, struct segment out[SEGMENT_MAX], size_t *ret_n)
{
    size_t n = 0;
    if (*path++ != '/')
        return false;
    for (;; path++) {
        const char *end = strchrnul(path, '/');
        if (n == SEGMENT_MAX)
            return false;
        out[n++] = (struct segment){path, (size_t)(end - path)};
        path = end;
        if (!*path)
            break;
    }
    *ret_n = n;
    return true;
}

static struct node *find_literal(const struct node *at, const char *text, size_t len)
{
    for (struct node *k = at->kids; k; k = k->next)
        if (k->len == len && memcmp(k->literal, text, len) == 0)
            return k;
    return NULL;
}

static struct node *descend_adding(struct router *r, struct node *at, const struct segment *seg)
{
    bool param = seg->len > 2 && seg->text[0] == '{' && seg->text[seg->len - 1] == '}';
    must(param || !memchr(seg->text, '{', seg->len));
    if (param) {
        const char *name = arena_strndup(r->arena, seg->text + 1, seg->len - 2);
        if (!at->any) {
            at->any = arena_new_of(r->arena, struct node);
            at->any->param = name;
        }
        must(strcmp(at->any->param, name) == 0);
        return at->any;
    }
    struct node *k = find_literal(at, seg->text, seg->len);
    if (!k) {
        k = arena_new_of(r->arena, struct node);
        k->literal = arena_strndup(r->arena, seg->text, seg->len);
        k->len = seg->len;
        k->next = at->kids;
        at->kids = k;
    }
    return k;
}

static void *find_method(const struct node *at, const char *name)
{
    for (struct method *m = at->methods; m; m = m->next)
        if (strcmp(m->name, name) == 0)
            return m->route;
    return NULL;
}

void router_add(struct router *r, const char *method, const char *pattern, void *route)
{
    struct segment segs[SEGMENT_MAX];
    size_t n = 0, n_params = 0;
    must(route != NULL && split(pattern, segs, &n));
    struct node *at = &r->root;
    for (size_t i = 0; i < n; i++) {
        at = descend_adding(r, at, &segs[i]);
        n_params += at->param != NULL;
    }
    must(n_params <= HTTP_MAX_PARAMS);
    must(!find_method(at, method));
    struct method **end = &at->methods;
    while (*end)
        end = &(*end)->next;
    *end = arena_new_of(r->arena, struct method);
    **end = (struct method){.name = arena_strdup(r->arena, method), .route = route};
    at->allow = at->allow ? arena_printf(r->arena, "%s, %s", at->allow, method) : (*end)->name;
}

struct search {
    struct ctx *cx;
    const char *method;
    const struct segment *segs;
    size_t n;
    struct route_match *ret;
};

static void *route_at(const struct search *s, const struct node *at)
{
    void *route = find_method(at, s->method);
    if (!route && strcmp(s->method, "HEAD") == 0)
        route = find_method(at, "GET");
    if (!route && !s->ret->allow)
        s->ret->allow = at->allow;
    return route;
}

/*
 * The literal first, then the parameter: a path that fits only further down the parameter's branch
 * is found too. The tree is as deep as the longest pattern, and each node has one parameter child
 * at most, so the search stays small.
 */
static bool walk(struct search *s, const struct node *at, size_t i)
{
    if (i == s->n) {
        s->ret->route = route_at(s, at);
        return s->ret->route != NULL;
    }
    const struct segment *seg = &s->segs[i];
    char *text;
    if (!percent_decode(s->cx, seg->text, seg->len, false, &text))
        return false;
    const struct node *k = find_literal(at, text, strlen(text));
    if (k && walk(s, k, i + 1))
        return true;
    if (!at->any || !seg->len)
        return false;
    size_t mark = s->ret->n_params;
    s->ret->params[s->ret->n_params++] = (struct http_pair){at->any->param, text};
    if (walk(s, at->any, i + 1))
        return true;
    s->ret->n_params = mark;
    return false;
}

bool router_match(const struct router *r, struct ctx *cx, const char *method, const char *raw_path,
                  struct route_match *ret)
{
    struct segment segs[SEGMENT_MAX];
    struct search s = {.cx = cx, .method = method, .segs = segs, .ret = ret};
    ret->route = NULL;
    ret->n_params = 0;
    ret->allow = NULL;
    if (!split(raw_path, segs, &s.n) || !walk(&s, &r->root, 0)) {
        ret->n_params = 0;
        return false;
    }
    ret->allow = NULL;
    return true;
}
