/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Rows of OVN's northbound database: what is desired of one owner (a network, a router), compared
 * with what is there, and changed in one transaction. Each row carries its owner and its key in
 * external_ids; a row of the owner's that is not desired goes.
 */
#pragma once

#include "node/drivers/ovn/ovsdb.h"

#define NB_DATABASE "OVN_Northbound"
#define NB_OWNER "colvert:owner"
#define NB_KEY "colvert:key"

enum nb_kind { NB_STR, NB_INT, NB_OPT, NB_SET, NB_MAP, NB_REF, NB_REFS };

struct nb_row {
    const struct nb_table *table;
    const char *key;    /* of the owner's rows, no other in any table has it */
    const char *parent; /* key of the row it hangs in, or "@name" of one that isn't the owner's */
    json_t *columns;
};

struct nb_want {
    struct ctx *cx;
    const char *owner;
    struct nb_row **rows;
    size_t n, cap;
};

void nb_want_init(struct nb_want *w, struct ctx *cx, const char *owner);
struct nb_row *nb_add(struct nb_want *w, const char *table, const char *key, const char *parent);
void nb_str(struct nb_row *r, const char *column, const char *text); /* STR, OPT */
void nb_int(struct nb_row *r, const char *column, int64_t v);
void nb_bool(struct nb_row *r, const char *column, bool v);          /* OPT */
void nb_put(struct nb_row *r, const char *column, const char *text); /* SET, REFS */
void nb_map(struct nb_row *r, const char *column, const char *key, const char *value); /* MAP */
void nb_ref(struct nb_row *r, const char *column, const char *key);                    /* REF */
/* Into a sorted array of texts, once. */
void nb_put_sorted(json_t *set, const char *text);
/* A line a row: for golden tests. */
void nb_print(const struct nb_want *w, struct buf *out);

/* Of those who wait for hosts to let ports go: lost once one took too long, for some seconds. */
struct nb_patience {
    _Atomic int64_t lost_until_us; /* monotonic */
};

/* The owner's rows are those; ports that change hosts are let go first (nb_moves.c). ERR_NOT_FOUND:
 * a row "@name" is not there. */
MUST_USE struct err *nb_sync(struct ctx *cx, struct ovsdb *o, const struct nb_want *w,
                             struct nb_patience *p);
/* The two halves of it, pure: what is asked, and what follows from the answer. ret_ops: NULL when
 * all is as desired. */
json_t *nb_questions(const struct nb_want *w);
MUST_USE struct err *nb_changes(const struct nb_want *w, const json_t *results, json_t **ret_ops);

/* Of these changes, those that take ports from their hosts: operations that make the hosts let go,
 * and those that wait until they have. NULL: there are none. Pure. */
void nb_letting_go(struct ctx *cx, const json_t *ops, const json_t *results, json_t **ret_release,
                   json_t **ret_wait);
/* Does it, and waits a moment at most. */
MUST_USE struct err *nb_let_go(struct ctx *cx, struct ovsdb *o, const json_t *ops,
                               const json_t *results, struct nb_patience *p);

/* Owners of rows that start with the prefix, what follows it, each once. */
MUST_USE struct err *nb_owners(struct ctx *cx, struct ovsdb *o, const char *prefix,
                               const char ***ret, size_t *ret_n);
