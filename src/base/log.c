/* SPDX-License-Identifier: EUPL-1.2 */
/* See log.h. */
#include "base/base.h"
#include <stdatomic.h>

static _Atomic int threshold = LOG_INFO;
static const char *_Atomic role_name = "colvert";

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

void log_set_level(enum log_level level)
{
    threshold = (int)level;
}

void log_set_role(const char *role)
{
    role_name = role;
}

bool log_level_parse(const char *s, enum log_level *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (str_eq(s, level_names[i])) {
            *ret = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level)
{
    return (int)level >= threshold;
}

static void add_value(struct buf *b, const char *v)
{
    bool plain = *v;
    for (const char *p = v; *p && plain; p++)
        plain = (unsigned char)*p > ' ' && *p != '"' && *p != '=' && *p != '\\';
    if (plain) {
        buf_str(b, v);
        return;
    }
    buf_char(b, '"');
    for (; *v; v++) {
        if (*v == '"' || *v == '\\')
            buf_char(b, '\\');
        buf_char(b, (unsigned char)*v < ' ' ? ' ' : *v); /* a line stays a line */
    }
    buf_char(b, '"');
}

static void write_line(struct ctx *cx, enum log_level level, const struct err *e,
                       const char *message, va_list ap)
{
    if (!log_enabled(level))
        return;
    struct ctx own;
    ctx_init(&own);
    struct buf b;
    buf_init(&b, own.arena);
    buf_printf(&b, "%s %s %s ", time_iso(&own, now_us(&own), TIME_MICROS_Z), level_names[level],
               role_name);
    add_value(&b, message);
    if (cx && cx->request_id)
        buf_printf(&b, " request_id=%s", cx->request_id);
    for (const char *key; (key = va_arg(ap, const char *));) {
        const char *value = va_arg(ap, const char *);
        if (!value)
            continue;
        buf_printf(&b, " %s=", key);
        add_value(&b, value);
    }
    if (e) {
        buf_str(&b, " error=");
        add_value(&b, err_chain(&own, e));
    }
    buf_char(&b, '\n');
    /* One write a line, so that lines of several threads and processes don't mix. */
    ssize_t ignored UNUSED = write(STDERR_FILENO, b.data, b.len);
    ctx_release(&own);
}

void log_event(struct ctx *cx, enum log_level level, const char *message, ...)
{
    va_list ap;
    va_start(ap, message);
    write_line(cx, level, NULL, message, ap);
    va_end(ap);
}

void log_err(struct ctx *cx, enum log_level level, const struct err *e, const char *message, ...)
{
    va_list ap;
    va_start(ap, message);
    write_line(cx, level, e, message, ap);
    va_end(ap);
}

const char *log_i64(struct ctx *cx, int64_t v)
{
    return arena_printf(cx->arena, "%" PRId64, v);
}
