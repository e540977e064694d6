/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Errors: a kind (what the client may do about it), a message for the user, a place for the log, a
 * cause. NULL is success. The context's arena owns errors, so they can't leak. Bugs are must()
 * assertions, not errors.
 */
#pragma once

struct ctx;

/*      kind               HTTP   name */
#define ERR_KINDS(X)                                                                               \
    X(ERR_INVALID, 400, "invalid")                                                                 \
    X(ERR_UNAUTHENTICATED, 401, "unauthenticated")                                                 \
    X(ERR_FORBIDDEN, 403, "forbidden")                                                             \
    X(ERR_NOT_FOUND, 404, "not found")                                                             \
    X(ERR_METHOD, 405, "method not allowed")                                                       \
    X(ERR_NOT_ACCEPTABLE, 406, "not acceptable")                                                   \
    X(ERR_CONFLICT, 409, "conflict")                                                               \
    X(ERR_IN_USE, 409, "in use")                                                                   \
    X(ERR_EXISTS, 409, "exists already")                                                           \
    X(ERR_STALE, 409, "changed meanwhile") /* compare-and-swap lost: retry */                      \
    X(ERR_GONE, 410, "gone")                                                                       \
    X(ERR_PRECONDITION, 412, "precondition failed")                                                \
    X(ERR_TOO_LARGE, 413, "too large")                                                             \
    X(ERR_MEDIA_TYPE, 415, "unsupported media type")                                               \
    X(ERR_RANGE, 416, "range not satisfiable")                                                     \
    X(ERR_QUOTA, 403, "over quota") /* each API family has its own status */                       \
    X(ERR_RATE, 429, "too many requests")                                                          \
    X(ERR_INTERNAL, 500, "internal error")                                                         \
    X(ERR_NOT_IMPLEMENTED, 501, "not implemented")                                                 \
    X(ERR_BAD_GATEWAY, 502, "bad gateway")                                                         \
    X(ERR_UNAVAILABLE, 503, "unavailable")                                                         \
    X(ERR_TIMEOUT, 504, "timed out")

enum err_kind {
#define X(kind, http, name) kind,
    ERR_KINDS(X)
#undef X
        ERR_KIND_COUNT
};

struct err {
    enum err_kind kind;
    const char *type;    /* the service's own name, e.g. "IpAddressAlreadyAllocated"; may be NULL */
    const char *message; /* for the user */
    const char *where;   /* file:line, for the log */
    struct err *cause;
};

MUST_USE struct err *err_new(struct ctx *cx, enum err_kind kind, const char *where,
                             const char *type, const char *fmt, ...) PRINTF_LIKE(5, 6);
/* A new error in front of its cause. */
MUST_USE struct err *err_wrap(struct ctx *cx, struct err *cause, enum err_kind kind,
                              const char *where, const char *fmt, ...) PRINTF_LIKE(5, 6);
int err_http_status(enum err_kind kind);
const char *err_kind_name(enum err_kind kind);
/* "message (where) <- cause (where) ..." for the log; lives in the arena. */
const char *err_chain(struct ctx *cx, const struct err *e);

#define fail(cx, kind, ...) err_new(cx, kind, WHERE, NULL, __VA_ARGS__)
#define fail_type(cx, kind, type, ...) err_new(cx, kind, WHERE, type, __VA_ARGS__)
#define wrap(cx, cause, kind, ...) err_wrap(cx, cause, kind, WHERE, __VA_ARGS__)
#define TRY(call)                                                                                  \
    do {                                                                                           \
        struct err *try_ = (call);                                                                 \
        if (try_)                                                                                  \
            return try_;                                                                           \
    } while (0)
