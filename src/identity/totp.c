/* SPDX-License-Identifier: EUPL-1.2 */
/* Passcodes by time (RFC 6238): six digits from a secret that the user keeps in a credential of
 * type totp (base32), good for half a minute and the half before. */
#include "identity/resources.h"
#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define STEP_S 30
#define WINDOWS 2
#define SECRET_MAX 128 /* bytes */

const struct res_where totp_of_user = {&credential_resource, "user_id = $1 AND type = 'totp'",
                                       "id"};

/* RFC 4648, with or without padding. */
static bool base32_decode(const char *text, uint8_t out[SECRET_MAX], size_t *ret_size)
{
    uint32_t bits = 0;
    int n_bits = 0;
    size_t size = 0;
    for (; *text && *text != '='; text++) {
        int c = toupper((unsigned char)*text);
        int v = c >= 'A' && c <= 'Z' ? c - 'A' : c >= '2' && c <= '7' ? c - '2' + 26 : -1;
        if (v < 0)
            return false;
        bits = (bits << 5 | (uint32_t)v) & 0xfff;
        n_bits += 5;
        if (n_bits < 8)
            continue;
        n_bits -= 8;
        if (size == SECRET_MAX)
            return false;
        out[size++] = (uint8_t)(bits >> n_bits);
    }
    *ret_size = size;
    return size > 0;
}

static bool passcode_at(const uint8_t *secret, size_t size, int64_t step, char out[7])
{
    uint8_t counter[8], mac[EVP_MAX_MD_SIZE];
    unsigned mac_size = 0;
    for (int i = 0; i < 8; i++)
        counter[i] = (uint8_t)((uint64_t)step >> (56 - 8 * i));
    if (!HMAC(EVP_sha1(), secret, (int)size, counter, sizeof(counter), mac, &mac_size) ||
        mac_size != 20)
        return false;
    const uint8_t *p = mac + (mac[19] & 15);
    uint32_t n = (uint32_t)(p[0] & 127) << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    snprintf(out, 7, "%06u", n % 1000000);
    return true;
}

static bool matches(struct ctx *cx, const char *blob, const char *passcode)
{
    uint8_t secret[SECRET_MAX];
    size_t size = 0;
    char expected[7];
    bool good = false;
    int64_t step = now_us(cx) / 1000000 / STEP_S;
    if (!base32_decode(blob, secret, &size))
        return false;
    for (int i = 0; i < WINDOWS; i++)
        good |= passcode_at(secret, size, step - i, expected) &&
                secret_eq(expected, 6, passcode, strlen(passcode));
    secret_wipe(secret, sizeof(secret));
    return good;
}

struct err *totp_check(struct ctx *cx, struct store *s, const json_t *user, struct user **ret)
{
    const char *passcode = json_get_str(user, "passcode");
    struct user *u = NULL;
    void **rows = NULL;
    size_t n = 0;
    bool good = false;
    if (!passcode)
        return auth_malformed(cx, "passcode", "user");
    {
        AUTO_TXN struct tx *tx = NULL;
        TRY(tx_read(cx, s, &tx));
        TRY(password_find_user(cx, tx, user, &u));
        if (u)
            TRY(res_select_by(cx, tx, &totp_of_user, &rows, &n, V_TEXT(u->id)));
    }
    if (!u || !u->enabled)
        return auth_refused(cx);
    for (size_t i = 0; i < n; i++)
        good |= matches(cx, ROW(credential, rows, i)->blob, passcode);
    if (!good)
        TRY(login_failed(cx, s, u));
    if (!good || login_locked(cx, u))
        return auth_refused(cx);
    *ret = u;
    return NULL;
}
