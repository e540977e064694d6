/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to resource/: how selections become rows (sql.c), for those by lists of ids (by_ids.c).
 */
#pragma once

#include "resource/resource.h"

/* Takes each row that db_each finds; all zero but the first two at first. */
struct collected {
    const struct resource *res;
    const struct projection *read;
    void **rows;
    size_t n, cap;
};
struct err *res_collect(struct ctx *cx, const struct db_value *cells, size_t n_cells, void *arg);
struct projection res_read_by(struct ctx *cx, const struct res_where *q);
const char *res_select_sql(struct ctx *cx, const struct res_where *q, const char *columns);
