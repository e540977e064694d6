/* SPDX-License-Identifier: EUPL-1.2 */
/* See err.h. */
#include "base/base.h"

static const struct {
    int http;
    const char *name;
} kinds[] = {
#define X(kind, http_, name_) [kind] = {http_, name_},
    ERR_KINDS(X)
#undef X
};

void bug_at(const char *where, const char *what)
{
    dprintf(STDERR_FILENO, "colvert: bug at %s: %s\n", where, what);
    abort();
}

static struct err *build(struct ctx *cx, enum err_kind kind, const char *where, const char *type,
                         struct err *cause, const char *fmt, va_list ap)
{
    must(kind < ERR_KIND_COUNT);
    struct err *e = arena_new_of(cx->arena, struct err);
    *e = (struct err){.kind = kind,
                      .type = type,
                      .where = where,
                      .message = arena_vprintf(cx->arena, fmt, ap),
                      .cause = cause};
    return e;
}

struct err *err_new(struct ctx *cx, enum err_kind kind, const char *where, const char *type,
                    const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct err *e = build(cx, kind, where, type, NULL, fmt, ap);
    va_end(ap);
    return e;
}

struct err *err_wrap(struct ctx *cx, struct err *cause, enum err_kind kind, const char *where,
                     const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct err *e = build(cx, kind, where, NULL, cause, fmt, ap);
    va_end(ap);
    return e;
}

int err_http_status(enum err_kind kind)
{
    must(kind < ERR_KIND_COUNT);
    return kinds[kind].http;
}

const char *err_kind_name(enum err_kind kind)
{
    must(kind < ERR_KIND_COUNT);
    return kinds[kind].name;
}

const char *err_chain(struct ctx *cx, const struct err *e)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (; e; e = e->cause)
        buf_printf(&b, "%s (%s)%s", e->message, e->where, e->cause ? " <- " : "");
    return buf_cstr(&b);
}
