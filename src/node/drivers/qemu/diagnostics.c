/* SPDX-License-Identifier: EUPL-1.2 */
#include "node/drivers/qemu/ops.h"

struct err *op_diagnostics(struct ctx *cx, void *drv UNUSED, const char *id, struct jw *w UNUSED)
{
    return fail(cx, ERR_NOT_IMPLEMENTED, "no diagnostics of server %s", id);
}
