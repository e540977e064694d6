/* SPDX-License-Identifier: EUPL-1.2 */
/* SSH keys in OpenSSH's formats. */
#pragma once

#include "base/base.h"

/* Checks a line "type base64 [comment]" and makes its fingerprint, MD5 as colon-separated hex.
 * ERR_INVALID otherwise. */
MUST_USE struct err *ssh_fingerprint(struct ctx *cx, const char *public_key, const char **ret);
/* A new Ed25519 pair: "ssh-ed25519 AAAA… comment" and a PEM block "OPENSSH PRIVATE KEY" (wiped with
 * the arena's end). */
MUST_USE struct err *ssh_generate(struct ctx *cx, const char *comment, const char **ret_public,
                                  const char **ret_private);
