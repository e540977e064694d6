/* SPDX-License-Identifier: EUPL-1.2 */
/* QMP's commands as the driver needs them: what is there, and making it go whether it is there or
 * not. */
#pragma once

#include "node/drivers/qemu/qmp.h"

#define AUTO_QMP __attribute__((cleanup(qmp_unref_p)))
static inline void qmp_unref_p(struct qmp **q)
{
    qmp_unref(*q);
}

/* args: object or NULL, released with cx. ret may be NULL. */
MUST_USE struct err *mon(struct ctx *cx, struct qmp *q, const char *command, json_t *args,
                         json_t **ret);
/* The same with arguments as text that is JSON. */
MUST_USE struct err *mon_text(struct ctx *cx, struct qmp *q, const char *command, const char *args);
/* "running", "paused", "io-error", … (RunState in qapi/run-state.json) */
MUST_USE struct err *mon_status(struct ctx *cx, struct qmp *q, const char **ret);
MUST_USE struct err *mon_running(struct ctx *cx, struct qmp *q, bool *ret);
MUST_USE struct err *mon_has_device(struct ctx *cx, struct qmp *q, const char *id, bool *ret);
/* The node's image as QEMU describes it (virtual-size, snapshots); NULL: there is no such node. */
MUST_USE struct err *mon_image(struct ctx *cx, struct qmp *q, const char *node, json_t **ret);
/* A file as descriptor set number set; what an earlier try left of it goes. */
MUST_USE struct err *mon_pass_file(struct ctx *cx, struct qmp *q, int fd, int set);
/* Absent is success. */
MUST_USE struct err *mon_drop_file(struct ctx *cx, struct qmp *q, int set);
MUST_USE struct err *mon_drop_node(struct ctx *cx, struct qmp *q, const char *node);
/* NULL: there is none. */
MUST_USE struct err *mon_job(struct ctx *cx, struct qmp *q, const char *id, json_t **ret);
/* Waits until it is gone, whoever began it; it may end by itself meanwhile. Absent is success. */
MUST_USE struct err *mon_drop_job(struct ctx *cx, struct qmp *q, const char *id);
