/* SPDX-License-Identifier: EUPL-1.2 */
/* Attributes, cleanup helpers, and assertions that stay on in production. */
#pragma once

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

NORETURN void bug_at(const char *where, const char *what);
#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)
#define WHERE __FILE__ ":" STRINGIFY(__LINE__)
/* A broken invariant is a bug: stop at once, the supervisor starts us again. */
#define must(cond) ((cond) ? (void)0 : bug_at(WHERE, #cond))

/* Hands over ownership: yields the value and leaves the empty one behind. */
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) take_ = (p);                                                                 \
        (p) = NULL;                                                                                \
        take_;                                                                                     \
    })
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int take_ = (fd);                                                                          \
        (fd) = -1;                                                                                 \
        take_;                                                                                     \
    })

static inline void close_fd_p(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
static inline void free_p(void *p)
{
    free(*(void **)p);
}
static inline void unlock_p(pthread_mutex_t **lock)
{
    if (*lock)
        pthread_mutex_unlock(*lock);
}
static inline pthread_mutex_t *lock_and_return(pthread_mutex_t *lock)
{
    pthread_mutex_lock(lock);
    return lock;
}

#define AUTO_FD __attribute__((cleanup(close_fd_p)))
#define AUTO_FREE __attribute__((cleanup(free_p)))
#define AUTO_CTX __attribute__((cleanup(ctx_release)))
/* Holds the mutex until the end of the enclosing block. */
#define AUTO_LOCK_NAME__(line) auto_lock_##line
#define AUTO_LOCK_NAME_(line) AUTO_LOCK_NAME__(line)
#define AUTO_LOCK(mutex)                                                                           \
    __attribute__((cleanup(unlock_p))) UNUSED pthread_mutex_t *AUTO_LOCK_NAME_(__LINE__) =         \
        lock_and_return(mutex)

static inline int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static inline int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}
