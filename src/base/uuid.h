/* SPDX-License-Identifier: EUPL-1.2 */
/* Identifiers: random UUIDs, dashed (compute, network, image) or 32 hex digits (identity). */
#pragma once

const char *uuid_new(struct ctx *cx);     /* xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx, in the arena */
const char *uuid_new_hex(struct ctx *cx); /* the same without dashes */
/* Dashed or plain hexadecimal form. */
bool uuid_valid(const char *s);
