/* SPDX-License-Identifier: EUPL-1.2 */
/* A list under way: list_args.c reads what the query asks for, list.c selects and replies. */
#pragma once

#include "resource/engine.h"

#define MAX_SORT 6

struct sort_key {
    const struct field *field;
    bool desc;
};

struct list {
    struct call *c;
    const struct resource *res;
    const struct list_more *more;
    struct view view;
    struct encoder encoder;
    struct projection read;
    struct buf where;
    struct db_value params[MAX_PARAMS];
    size_t n_params;
    bool too_many; /* parameters: the statement is not run */
    struct sort_key sort[MAX_SORT];
    size_t n_sort;
    int64_t limit; /* -1: none */
    int64_t offset;
    const char *marker;
    bool reverse, all, limit_given;
    int64_t total; /* of all pages, if asked for */
    const char **fields;
    size_t n_fields;
    void **rows;
    size_t n_rows, cap;
};

/* Binds a value; its place in the statement ("$3"). */
const char *list_param(struct list *l, struct db_value v);
void list_and(struct list *l, const char *sql);
/* A service's own condition, with {value} and {project} bound. */
const char *list_bound(struct list *l, const char *sql, const char *value);
const struct field *list_key(const struct resource *res);
/* Filters, limit, marker, …; then the order. */
MUST_USE struct err *list_read_args(struct list *l);
MUST_USE struct err *list_read_sort(struct list *l);
