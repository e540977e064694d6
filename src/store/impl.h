/* SPDX-License-Identifier: EUPL-1.2 */
/* The bodies of struct store and struct tx, for the generic part only. */
#pragma once

#include <stdatomic.h>
#include "store/cache.h"
#include "store/engine.h"
#include "store/gate.h"

struct hook {
    void (*fn)(void *arg);
    void *arg;
};

/* A connection with its statements; handed out as the transaction that runs on it. */
struct tx {
    struct store *store;
    struct conn *conn;
    struct stmt_cache cache;
    struct tx *next; /* idle ones */
    int64_t idle_since_us;
    enum tx_mode mode;
    bool turn;             /* among writers: it is over once the next may commit */
    bool walking;          /* inside db_each: the connection is busy */
    bool failed;           /* only a rollback is left */
    enum err_kind failure; /* of the first error */
    struct hook *hooks;
    size_t n_hooks, cap_hooks;
    char *topics; /* for other processes, a line each; NULL: none */
};

struct kept {
    const struct store_memory *key;
    void *value;
    struct kept *next;
};

/*
 * Commits that others may see, but a loss of power might still take: one thread puts all on disk
 * that there are, the others wait for it.
 */
struct settling {
    pthread_mutex_t lock;
    pthread_cond_t settled_more;
    uint64_t committed, settled; /* numbers of commits */
    bool under_way;
};

struct store {
    const struct engine *engine;
    struct settling settling;
    char *where; /* the URL, or what follows its prefix */
    bool keep;   /* the data, or the claim, live in the connection: never close it */
    enum claim claim;
    struct gate writers, conns;
    pthread_mutex_t lock; /* of idle, absence, kept */
    struct kept *kept;
    struct tx *idle; /* last used first: few connections do most of the work, the others get old */
    atomic_long calls, fail_at;
    _Atomic int64_t away_until_us; /* of a server that didn't answer; 0: it does */
    struct store_absence absence;  /* under the lock */
    char own[24];                  /* names this store among those that listen */
    struct listener *listener;
};

struct err *tx_start(struct ctx *cx, struct store *s, enum tx_mode mode, struct tx **ret);
/* Tells other processes the transaction's topics, when it commits. */
struct err *tx_send_topics(struct ctx *cx, struct tx *tx);
/* Counts an engine call; an error when it is the one to fail. */
struct err *fault(struct ctx *cx, struct store *s, const char *what);
#define MIGRATION_TABLE "schema_migration"
/* ERR_PRECONDITION unless exactly these were applied. */
struct err *migrations_complete(struct ctx *cx, struct tx *tx, const struct migration *list,
                                size_t n);
/* A script inside the transaction; an error ends its use. */
struct err *tx_script(struct ctx *cx, struct tx *tx, const char *sql);
/* Remembers that the transaction failed; the error with the user's words in front. */
struct err *tx_failed(struct ctx *cx, struct tx *tx, struct err *e, const char *what);
/* The error of every call after the first that failed. */
struct err *tx_usable(struct ctx *cx, struct tx *tx);
