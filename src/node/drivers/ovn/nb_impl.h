/* SPDX-License-Identifier: EUPL-1.2 */
/* What nb_rows.c, nb_sync.c and nb_moves.c share: the tables as data. */
#pragma once

#include "node/drivers/ovn/nb.h"

struct nb_table {
    const char *name, *parent, *column; /* "": it stands by itself */
};
struct nb_column {
    const char *table, *name;
    enum nb_kind kind;
};
extern const struct nb_table nb_tables[];
extern const size_t nb_n_tables;
extern const struct nb_column nb_columns[];
extern const size_t nb_n_columns;

/* Of a value ["uuid", …]; NULL: it is none. */
const char *nb_uuid_of(const json_t *v);
