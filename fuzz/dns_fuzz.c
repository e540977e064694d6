/* SPDX-License-Identifier: EUPL-1.2 */
/* Questions about names, from guests: whatever they are, the answer is bounded, and never a
 * question. */
#include "node/drivers/ovn/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t answer[DNS_MESSAGE_MAX];
    size_t n = dns_answer(data, size, "example.org.", answer);
    must(n <= size && n <= sizeof(answer));
    must(!n || (answer[2] & 0x80 && memcmp(answer, data, 2) == 0));
    return 0;
}
