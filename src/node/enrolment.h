/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A host's membership of a region: the key that never leaves it, the certificate that it was given
 * for its join token, whom it trusts. All in DIR/enrolment.json (0600), replaced as a whole.
 */
#pragma once

#include "http/client.h"

struct enrolment;

#define HOST_PEERS ".host.colvert" /* names of hosts, after their ids */

/*
 * What DIR holds; with a token that it was not made by, joins the region at api_url first. *ret
 * NULL: neither; this host is the control plane's own machine. api_url NULL or "": as it was when
 * it joined. ERR_INVALID and others say what the operator may do.
 */
MUST_USE struct err *enrolment_open(struct ctx *cx, const char *dir, const char *api_url,
                                    const char *token, struct enrolment **ret);
void enrolment_free(struct enrolment *e); /* NULL is fine */
const char *enrolment_api_url(const struct enrolment *e);
const char *enrolment_host_id(const struct enrolment *e);
/* What this host shows, and that it speaks to the control plane only (and lets other hosts in, who
 * may only send what is to come from them); it stays valid until the
 * enrolment is freed. Any thread. For http_config, hence the void. */
const struct http_identity *enrolment_identity(void *enrolment);
/* When two thirds of the certificate's time are over; wall clock. The renewing thread's. */
int64_t enrolment_renew_at_us(const struct enrolment *e);
/* Whether these are the authorities that it trusts, by their text's SHA-256. The same thread's. */
bool enrolment_trusts(const struct enrolment *e, const char *authorities_sha256);
/* Another key and its certificate. One thread. */
MUST_USE struct err *enrolment_renew(struct ctx *cx, struct enrolment *e, struct http_client *c);
