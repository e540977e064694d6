/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Bytes of unknown length on a socket that others may cut: each piece has its length in front, an
 * empty one is the end, and the receiver answers it once all is on its disk. Non-blocking sockets.
 */
#pragma once

#include "base/base.h"
#include <stdatomic.h>

/* From a file, a pipe or a socket to its end. ERR_TIMEOUT once *given_up is true, or when the other
 * side stands still for long. */
MUST_USE struct err *pieces_send(struct ctx *cx, int to, int from, const atomic_bool *given_up);
/* Into a file, until the end. */
MUST_USE struct err *pieces_receive(struct ctx *cx, int from, int to);
/* What was received is kept. */
MUST_USE struct err *pieces_answer(struct ctx *cx, int to);

/* Moves bytes both ways until one side ends, or *given_up (may be NULL) is true; then both are shut
 * down. */
void sockets_relay(int a, int b, const atomic_bool *given_up);
