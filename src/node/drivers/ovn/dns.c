/* SPDX-License-Identifier: EUPL-1.2 */
/* See dns.h; RFC 1035, section 4. */
#include "node/drivers/ovn/dns.h"

enum { HEADER = 12, LABEL_MAX = 63, NAME_MAX_BYTES = 255, TYPE_AND_CLASS = 4 };
enum { IS_ANSWER = 0x80, OPCODE = 0x78, AUTHORITATIVE = 0x04, RECURSION_DESIRED = 0x01 };
enum { FORMERR = 1, NOTIMP = 4, REFUSED = 5 };

/* The name as text, without a dot at its end, lower case; the size it has here, 0: it is none. */
static size_t read_name(const uint8_t *at, size_t size, char *ret, size_t *ret_labels)
{
    size_t n = 0, len = 0;
    *ret_labels = 0;
    while (n < size && at[n] && at[n] <= LABEL_MAX && n + at[n] + 1 < NAME_MAX_BYTES) {
        size_t label = at[n++];
        if (label > size - n)
            return 0;
        if (len)
            ret[len++] = '.';
        for (size_t i = 0; i < label; i++, n++)
            ret[len++] = (char)(at[n] >= 'A' && at[n] <= 'Z' ? at[n] + ('a' - 'A') : at[n]);
        ++*ret_labels;
    }
    ret[len] = 0;
    return n < size && !at[n] ? n + 1 : 0;
}

static bool is_own(const char *name, size_t labels, const char *domain)
{
    size_t len = strlen(name), domain_len = domain ? strlen(domain) : 0;
    while (domain_len && domain[domain_len - 1] == '.')
        domain_len--;
    if (labels == 1)
        return true;
    return domain_len && len >= domain_len &&
           strncasecmp(name + len - domain_len, domain, domain_len) == 0 &&
           (len == domain_len || name[len - domain_len - 1] == '.');
}

size_t dns_answer(const uint8_t *query, size_t size, const char *domain, uint8_t *ret)
{
    char name[NAME_MAX_BYTES + 1];
    size_t labels, question = 0;
    uint8_t code = NOTIMP, flags = IS_ANSWER;
    if (size < HEADER || size > DNS_MESSAGE_MAX || query[2] & IS_ANSWER)
        return 0;
    memset(ret, 0, HEADER);
    memcpy(ret, query, 2); /* its number */
    flags |= query[2] & (OPCODE | RECURSION_DESIRED);
    if (!(query[2] & OPCODE)) {
        bool one = !query[4] && query[5] == 1;
        question = one ? read_name(query + HEADER, size - HEADER, name, &labels) : 0;
        if (question && size - HEADER - question < TYPE_AND_CLASS)
            question = 0;
        code = !question ? FORMERR : is_own(name, labels, domain) ? 0 : REFUSED;
    }
    if (question) {
        question += TYPE_AND_CLASS;
        memcpy(ret + HEADER, query + HEADER, question);
        ret[5] = 1;
        flags |= code ? 0 : AUTHORITATIVE;
    }
    ret[2] = flags;
    ret[3] = code;
    return HEADER + question;
}
