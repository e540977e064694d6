/* SPDX-License-Identifier: EUPL-1.2 */
/* Keypairs of the type x509: certificates for guests that let clients in by them (Windows). */
#pragma once

#include "base/base.h"

/* Checks a PEM certificate and makes its fingerprint, SHA-1 as colon-separated hex. ERR_INVALID
 * otherwise. */
MUST_USE struct err *x509_fingerprint(struct ctx *cx, const char *certificate, const char **ret);
/* A new RSA key and a certificate of ten years for the user, for clients' authentication. The
 * private form is base64 of a PKCS #12 file with the empty password (wiped with the arena's end).
 * Takes some 100 ms: not inside a transaction. */
MUST_USE struct err *x509_generate(struct ctx *cx, const char *user_id,
                                   const char **ret_certificate, const char **ret_private);
