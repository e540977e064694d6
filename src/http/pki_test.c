/* SPDX-License-Identifier: EUPL-1.2 */
/* What an authority issues, what it is asked with, whom it vouches for. */
#include "base/test.h"
#include "http/pki_read.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define HOUR_S 3600
#define NAME "a.host.colvert"

static struct ctx cx;
static const char *ca_key, *key, *request;
static struct pki_cert ca;

static int setup(void **state UNUSED)
{
    ctx_init(&cx);
    assert_ok(&cx, pki_key_new(&cx, &ca_key));
    assert_ok(&cx, pki_ca_new(&cx, ca_key, "Colvert RegionOne", HOUR_S, &ca));
    assert_ok(&cx, pki_key_new(&cx, &key));
    assert_ok(&cx, pki_request_new(&cx, key, &request));
    return 0;
}

static int teardown(void **state UNUSED)
{
    ctx_release(&cx);
    return 0;
}

static struct pki_cert issue(int64_t ttl_s)
{
    struct pki_cert c = {0};
    assert_ok(&cx, pki_issue(&cx, ca.pem, ca_key, request, NAME, ttl_s, &c));
    return c;
}

static bool trust(X509 *cert, void *store)
{
    X509_STORE_add_cert(store, cert);
    return false;
}

/* As TLS does, of a client. */
static bool vouched(const char *authorities, const char *pem, const char *name)
{
    X509 *cert = NULL;
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *work = X509_STORE_CTX_new();
    assert_ok(&cx, pki_read_cert(&cx, pem, &cert));
    pki_each_cert(authorities, trust, store);
    assert_int_equal(X509_STORE_CTX_init(work, store, cert, NULL), 1);
    X509_VERIFY_PARAM *how = X509_STORE_CTX_get0_param(work);
    assert_int_equal(X509_VERIFY_PARAM_set1_host(how, name, 0), 1);
    assert_int_equal(X509_VERIFY_PARAM_set_purpose(how, X509_PURPOSE_SSL_CLIENT), 1);
    bool ok = X509_verify_cert(work) == 1;
    X509_STORE_CTX_free(work);
    X509_STORE_free(store);
    X509_free(cert);
    return ok;
}

static void test_issue(void **state UNUSED)
{
    struct pki_cert c = issue(HOUR_S), again;
    int64_t left_us = c.not_after_us - now_us(&cx);
    assert_true(left_us > 3500 * INT64_C(1000000) && left_us <= HOUR_S * INT64_C(1000000));
    assert_true(c.not_before_us < now_us(&cx));
    assert_ok(&cx, pki_read(&cx, c.pem, &again));
    assert_string_equal(again.sha256, c.sha256);
    assert_int_equal(again.not_after_us, c.not_after_us);
    assert_true(vouched(ca.pem, c.pem, NAME));
    assert_false(vouched(ca.pem, c.pem, "control.colvert"));
    assert_false(vouched(ca.pem, ca.pem, NAME));
    assert_false(vouched("", c.pem, NAME));
}

static void test_expired(void **state UNUSED)
{
    assert_false(vouched(ca.pem, issue(-60).pem, NAME));
}

static void test_two_authorities(void **state UNUSED)
{
    struct pki_cert other, found, c = issue(HOUR_S);
    const char *other_key;
    assert_ok(&cx, pki_key_new(&cx, &other_key));
    assert_ok(&cx, pki_ca_new(&cx, other_key, "Colvert RegionOne", HOUR_S, &other));
    assert_false(vouched(other.pem, c.pem, NAME));
    const char *both = arena_printf(cx.arena, "%s%s", other.pem, ca.pem);
    assert_true(vouched(both, c.pem, NAME));
    assert_ok(&cx, pki_find(&cx, both, ca.sha256, &found));
    assert_string_equal(found.pem, ca.pem);
    assert_err(&cx, ERR_NOT_FOUND, pki_find(&cx, both, c.sha256, &found));
    assert_err(&cx, ERR_NOT_FOUND, pki_find(&cx, "", ca.sha256, &found));
}

/* A host's certificate makes no others. */
static void test_no_authority(void **state UNUSED)
{
    struct pki_cert c = issue(HOUR_S), forged;
    assert_ok(&cx, pki_issue(&cx, c.pem, key, request, "control.colvert", HOUR_S, &forged));
    assert_false(vouched(c.pem, forged.pem, "control.colvert"));
    assert_false(
        vouched(arena_printf(cx.arena, "%s%s", ca.pem, c.pem), forged.pem, "control.colvert"));
}

static const char *request_of(EVP_PKEY *own, EVP_PKEY *signer)
{
    X509_REQ *r = X509_REQ_new();
    BIO *out = BIO_new(BIO_s_mem());
    char *data;
    assert_true(X509_REQ_set_pubkey(r, own) == 1 && X509_REQ_sign(r, signer, EVP_sha256()) > 0 &&
                PEM_write_bio_X509_REQ(out, r) == 1);
    long size = BIO_get_mem_data(out, &data);
    const char *pem = arena_strndup(cx.arena, data, (size_t)size);
    BIO_free(out);
    X509_REQ_free(r);
    return pem;
}

static void refused(const char *text)
{
    struct pki_cert c;
    assert_err(&cx, ERR_INVALID, pki_issue(&cx, ca.pem, ca_key, text, NAME, HOUR_S, &c));
}

static void test_hostile_requests(void **state UNUSED)
{
    EVP_PKEY *rsa = EVP_RSA_gen(1024), *a = EVP_EC_gen("P-256"), *b = EVP_EC_gen("P-256"),
             *other = EVP_EC_gen("P-384");
    refused("");
    refused("-----BEGIN CERTIFICATE REQUEST-----\n");
    refused(ca.pem);
    refused(key);
    refused("-----BEGIN CERTIFICATE REQUEST-----\nProc-Type: 4,ENCRYPTED\n"
            "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n"
            "-----END CERTIFICATE REQUEST-----\n");
    refused(request_of(rsa, rsa));
    refused(request_of(other, other));
    refused(request_of(a, b)); /* somebody else's key */
    char *flipped = arena_strdup(cx.arena, request);
    size_t end = (size_t)(strstr(flipped, "\n-----END") - flipped) - 8; /* bits that say nothing */
    for (size_t i = 40; i < end; i++) {
        char was = flipped[i];
        if (was == '\n')
            continue;
        flipped[i] = was == 'A' ? 'B' : 'A';
        refused(flipped);
        flipped[i] = was;
    }
    for (size_t n = 0; n < strlen(request) - 2; n += 7)
        refused(arena_strndup(cx.arena, request, n));
    char *long_one = arena_alloc(cx.arena, 2 * PKI_TEXT_MAX_BYTES);
    memset(long_one, '\n', 2 * PKI_TEXT_MAX_BYTES - 1);
    memcpy(long_one + PKI_TEXT_MAX_BYTES - strlen(request) + 1, request, strlen(request));
    refused(long_one);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
    EVP_PKEY_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_issue),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_two_authorities),
        cmocka_unit_test(test_no_authority),
        cmocka_unit_test(test_hostile_requests),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
