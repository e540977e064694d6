/* SPDX-License-Identifier: EUPL-1.2 */
/* What a rule's protocol is called, as numbers. */
#pragma once

#include "node/spec.h"

/* -1: any. */
MUST_USE struct err *rule_protocol(struct ctx *cx, const struct spec_rule *rule, int *ret);
