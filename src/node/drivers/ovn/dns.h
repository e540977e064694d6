/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What a network's name server says when OVN has not answered: OVN catches questions for names and
 * types that it knows, and lets the others go on to the address that DHCP told the guest of. Nobody
 * else is asked, as by the driver "kernel".
 */
#pragma once

#include "base/base.h"

#define DNS_MESSAGE_MAX ((size_t)1232) /* of a question; one with more is none of ours */

/*
 * domain: of the network's guests, NULL: none. ret has room for DNS_MESSAGE_MAX bytes; the answer's
 * size, 0: no answer.
 *
 * A name of the network's own, one without dots or in its domain, has nothing of this type: it may
 * have an address of the other version, so it does exist as far as this host knows, and resolvers
 * which ask for both would take NXDOMAIN for the answer to both. Others are refused: a resolver
 * that has another server goes on to it.
 */
size_t dns_answer(const uint8_t *query, size_t size, const char *domain, uint8_t *ret);
