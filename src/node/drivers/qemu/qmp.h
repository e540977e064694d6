/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * QEMU's monitor protocol (docs/interop/qmp-spec): one connection, many callers, one reader. The
 * reader thread calls qmp_pump() when the socket is readable; it negotiates by itself, hands
 * replies to the waiting callers and events to the owner. Counted references, for the reader may
 * find the end while callers wait.
 */
#pragma once

#include "base/base.h"

struct qmp;

/* From the reader's thread, nothing locked. */
typedef void qmp_event_fn(void *arg, const char *name, const json_t *data);

/* Takes the connected socket over and makes it non-blocking. One reference. */
struct qmp *qmp_new(int fd, qmp_event_fn *on_event, void *arg);
struct qmp *qmp_ref(struct qmp *q);
void qmp_unref(struct qmp *q); /* NULL is fine */
int qmp_fd(const struct qmp *q);
/* Reads what there is. False once the connection is of no more use: at its end, or when the peer
 * talks nonsense. */
bool qmp_pump(struct qmp *q);
/* Wakes all callers with an error; further calls fail at once. */
void qmp_close(struct qmp *q);
bool qmp_closed(struct qmp *q);

/*
 * One command. args: object or NULL (borrowed); pass_fd: sent along (getfd, add-fd), -1: none.
 * Waits for the negotiation too. ERR_CONFLICT with QEMU's words when it refuses (ERR_NOT_FOUND:
 * no such device), ERR_TIMEOUT, ERR_UNAVAILABLE when the connection ends. ret (may be NULL): the
 * reply's "return", in cx's arena.
 */
MUST_USE struct err *qmp_call(struct ctx *cx, struct qmp *q, const char *command,
                              const json_t *args, int pass_fd, int64_t timeout_ms, json_t **ret);
/* One command without arguments whose reply nobody waits for; lost where there is no connection.
 * For the reader's own thread. */
void qmp_tell(struct qmp *q, const char *command);
