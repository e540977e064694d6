/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to http/: PEM texts as OpenSSL's objects, which are the caller's. */
#pragma once

#include "http/pki.h"
#include <openssl/x509.h>

MUST_USE struct err *pki_read_key(struct ctx *cx, const char *pem, EVP_PKEY **ret);
MUST_USE struct err *pki_read_cert(struct ctx *cx, const char *pem, X509 **ret);
/* fn sees each certificate until it returns true, which is then the result. */
bool pki_each_cert(const char *pems, bool (*fn)(X509 *cert, void *arg), void *arg);
