/* SPDX-License-Identifier: EUPL-1.2 */
/* What flavors ask of hosts in words: operators on values, addresses in subnets. */
#include "schedule/schedule.h"
#include <arpa/inet.h>

/* One blank-separated word of a text. */
struct word {
    const char *at;
    size_t len;
};

static struct word next_word(const char **rest)
{
    const char *p = *rest + strspn(*rest, " \t");
    struct word w = {p, strcspn(p, " \t")};
    *rest = p + w.len;
    return w;
}

static bool word_is(struct word w, const char *text)
{
    return strlen(text) == w.len && memcmp(w.at, text, w.len) == 0;
}

static bool contains(const char *value, struct word w)
{
    return w.len && memmem(value, strlen(value), w.at, w.len);
}

static int compare_text(const char *value, struct word w)
{
    size_t n = strlen(value);
    int c = memcmp(value, w.at, n < w.len ? n : w.len);
    return c ? c : n < w.len ? -1 : n > w.len;
}

static bool number_of(const char *text, size_t len, double *ret)
{
    char copy[64], *end;
    if (!len || len >= sizeof(copy))
        return false;
    memcpy(copy, text, len);
    copy[len] = 0;
    *ret = strtod(copy, &end);
    return !*end;
}

/* -1, 0, 1; 2 when one of them is no number. */
static int compare_number(const char *value, struct word w)
{
    double a, b;
    if (!number_of(value, strlen(value), &a) || !number_of(w.at, w.len, &b))
        return 2;
    return a < b ? -1 : a > b;
}

enum { LESS = 1, EQUAL = 2, GREATER = 4 };

static const struct operator
{
    const char *name;
    bool text;
    int accepts;
}
operators[] = {
    {"=", false, EQUAL | GREATER}, /* nova's: at least */
    {"==", false, EQUAL},
    {"!=", false, LESS | GREATER},
    {">=", false, EQUAL | GREATER},
    {"<=", false, EQUAL | LESS},
    {"s==", true, EQUAL},
    {"s!=", true, LESS | GREATER},
    {"s<", true, LESS},
    {"s<=", true, LESS | EQUAL},
    {"s>", true, GREATER},
    {"s>=", true, GREATER | EQUAL},
};

static bool matches_one_of(const char *value, const char *rest)
{
    for (struct word w = next_word(&rest); w.len; w = next_word(&rest)) {
        if (word_is(w, value))
            return true;
        next_word(&rest); /* the "<or>" in between */
    }
    return false;
}

static bool contains_all(const char *value, const char *rest)
{
    struct word w = next_word(&rest);
    bool all = w.len > 0;
    for (; w.len && all; w = next_word(&rest))
        all = contains(value, w);
    return all;
}

bool place_spec_match(const char *value, const char *wanted)
{
    const char *rest = wanted;
    struct word name = next_word(&rest);
    if (word_is(name, "<or>"))
        return matches_one_of(value, rest);
    if (word_is(name, "<all-in>"))
        return contains_all(value, rest);
    if (word_is(name, "<in>"))
        return contains(value, next_word(&rest));
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        if (!word_is(name, operators[i].name))
            continue;
        struct word w = next_word(&rest);
        int c = !w.len ? 2 : operators[i].text ? compare_text(value, w) : compare_number(value, w);
        return c != 2 && (operators[i].accepts & (c < 0 ? LESS : c > 0 ? GREATER : EQUAL));
    }
    return str_eq(value, wanted);
}

bool place_in_subnet(const char *address, const char *cidr)
{
    uint8_t a[16], b[16];
    char net[INET6_ADDRSTRLEN];
    const char *slash = strchr(cidr, '/');
    int family = strchr(cidr, ':') ? AF_INET6 : AF_INET;
    int64_t prefix;
    if (!address || !slash || (size_t)(slash - cidr) >= sizeof(net) ||
        !str_to_i64(slash + 1, 0, family == AF_INET ? 32 : 128, &prefix))
        return false;
    memcpy(net, cidr, (size_t)(slash - cidr));
    net[slash - cidr] = 0;
    if (inet_pton(family, address, a) != 1 || inet_pton(family, net, b) != 1)
        return false;
    for (int64_t i = 0; i < prefix; i++)
        if ((a[i / 8] ^ b[i / 8]) & (0x80 >> (i % 8)))
            return false;
    return true;
}
