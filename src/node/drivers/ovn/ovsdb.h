/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A client of OVSDB servers (RFC 7047): one connection, one call at a time; calls of several
 * threads wait for one another. Notifications are read on the way. What a server sends is bounded
 * in size and depth.
 */
#pragma once

#include "base/base.h"

#define OVSDB_MESSAGE_MAX ((size_t)64 << 20)

struct ovsdb;

/*
 * remotes: "unix:PATH" or "tcp:HOST:PORT", several with commas between, of which the first that
 * serves the database is taken; of a cluster, its leader. ERR_UNAVAILABLE.
 */
MUST_USE struct err *ovsdb_open(struct ctx *cx, const char *remotes, const char *database,
                                struct ovsdb **ret);
void ovsdb_close(struct ovsdb *o); /* NULL is fine */

/*
 * One transaction; ops: an array of operations, taken over. *ret: an array with a result for each.
 * An operation that fails, fails all. The lock, once asked for, is asserted in each transaction:
 * ERR_STALE when another one holds it.
 */
MUST_USE struct err *ovsdb_transact(struct ctx *cx, struct ovsdb *o, json_t *ops, json_t **ret);

/* Asks for the lock; it is had at once, or some time later. */
MUST_USE struct err *ovsdb_lock(struct ctx *cx, struct ovsdb *o, const char *name);
/* Reads what has come, at most wait_ms long; echo requests are answered. *ret_locked: it holds the
 * lock. ERR_UNAVAILABLE: the connection is gone, and the lock with it. */
MUST_USE struct err *ovsdb_look(struct ctx *cx, struct ovsdb *o, int wait_ms, bool *ret_locked);

/* ---- the wire (ovsdb_wire.c, pure) ---- */

/* Where the first whole JSON object in what has come ends; 0: not yet. ERR_INVALID when none can
 * begin here. */
struct ovsdb_frame {
    size_t at; /* looked at so far */
    unsigned depth;
    bool in_string, escaped;
};
MUST_USE struct err *ovsdb_frame_end(struct ctx *cx, struct ovsdb_frame *f, const char *data,
                                     size_t len, size_t *ret_end);

enum ovsdb_kind { OVSDB_REPLY, OVSDB_ECHO, OVSDB_LOCKED, OVSDB_STOLEN, OVSDB_OTHER };
struct ovsdb_message {
    enum ovsdb_kind kind;
    int64_t id;           /* of a reply to one of our calls; else -1 */
    const json_t *result; /* of a reply */
    const json_t *error;  /* NULL: none */
    const json_t *echo_id, *params;
    const char *lock; /* of which lock it speaks */
};
MUST_USE struct err *ovsdb_message_read(struct ctx *cx, const char *text, size_t len,
                                        struct ovsdb_message *ret);
/* The results of a transaction, each an object: a refusal in them becomes an error. */
MUST_USE struct err *ovsdb_results_check(struct ctx *cx, const json_t *results, size_t n_ops);
/* Of a column ["map", [[key, value], …]]: the value, which stays the map's; NULL: there is none. */
const char *ovsdb_map_get(const json_t *map, const char *key);
