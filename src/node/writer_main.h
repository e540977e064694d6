/* SPDX-License-Identifier: EUPL-1.2 */
/* `colvert network`: an agent without guests, whose networks are the whole region's. */
#pragma once

#include "node/loop.h"

struct writer_config {
    struct loop_config loop;
    struct ovn_writer_config ovn;
};

/* Runs until SIGTERM or SIGINT: waits until it is the one writer, works while it is, waits again.
 */
MUST_USE struct err *writer_main(struct ctx *cx, const struct writer_config *cfg);
