/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Keys and certificates (X.509, all of it OpenSSL's): a region's certificate authority, what it
 * issues, what it vouches for. Everything is PEM text; private keys are wiped with the context's
 * arena. Certificates name who somebody is ("control.colvert", "<id>.host.colvert"), not where.
 */
#pragma once

#include "base/base.h"

#define PKI_TEXT_MAX_BYTES 16384 /* of any text that is read here */

struct pki_cert {
    const char *pem;
    const char *sha256; /* of its DER form, in hexadecimal */
    int64_t not_before_us, not_after_us;
};

/* A new key on P-256. */
MUST_USE struct err *pki_key_new(struct ctx *cx, const char **ret_key);
/* A self-signed authority, for ttl_s. */
MUST_USE struct err *pki_ca_new(struct ctx *cx, const char *key, const char *name, int64_t ttl_s,
                                struct pki_cert *ret);
/* What asks an authority for a certificate of this key; the authority chooses the name. */
MUST_USE struct err *pki_request_new(struct ctx *cx, const char *key, const char **ret_request);
/*
 * A certificate of the request's key for this DNS name, good as a client's and as a server's. From
 * the request only the key is taken: ERR_INVALID unless it is on P-256 and has signed the request.
 */
MUST_USE struct err *pki_issue(struct ctx *cx, const char *ca, const char *ca_key,
                               const char *request, const char *name, int64_t ttl_s,
                               struct pki_cert *ret);
/* Reads the first certificate of the text. */
MUST_USE struct err *pki_read(struct ctx *cx, const char *pem, struct pki_cert *ret);
/* The one with this fingerprint among several; ERR_NOT_FOUND. */
MUST_USE struct err *pki_find(struct ctx *cx, const char *pems, const char *sha256,
                              struct pki_cert *ret);
