/* SPDX-License-Identifier: EUPL-1.2 */
/* See pki.h. */
#include "http/pki_read.h"
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define SKEW_S 300 /* clocks of a region's machines may differ by so much */
#define CERTS_MAX 16

static void free_cert(X509 **p)
{
    X509_free(*p);
}
static void free_request(X509_REQ **p)
{
    X509_REQ_free(*p);
}
static void free_key(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}
static void free_bio(BIO **p)
{
    BIO_free(*p);
}
#define AUTO(fn) __attribute__((cleanup(fn)))

/* OpenSSL keeps reasons for the thread: the next call must not find them. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return text ? text : "unknown reason";
}

static struct err *not_made(struct ctx *cx, const char *what)
{
    return fail(cx, ERR_INTERNAL, "%s could not be made: %s", what, reason());
}

/* A text may say that it is encrypted: OpenSSL would ask at the terminal. */
static int no_password(char *to UNUSED, int size UNUSED, int writing UNUSED, void *arg UNUSED)
{
    return -1;
}

static BIO *reader(const char *text)
{
    size_t size = strnlen(text, PKI_TEXT_MAX_BYTES + 1);
    return size > PKI_TEXT_MAX_BYTES ? NULL : BIO_new_mem_buf(text, (int)size);
}

static char *text_of(struct ctx *cx, BIO *b)
{
    char *data = NULL;
    long size = BIO_get_mem_data(b, &data);
    return arena_strndup(cx->arena, data, (size_t)size);
}

struct err *pki_read_key(struct ctx *cx, const char *pem, EVP_PKEY **ret)
{
    AUTO(free_bio) BIO *in = reader(pem);
    *ret = in ? PEM_read_bio_PrivateKey(in, NULL, no_password, NULL) : NULL;
    return *ret ? NULL : fail(cx, ERR_INVALID, "this is no private key: %s", reason());
}

struct err *pki_key_new(struct ctx *cx, const char **ret_key)
{
    AUTO(free_key) EVP_PKEY *key = EVP_EC_gen("P-256");
    AUTO(free_bio) BIO *out = BIO_new(BIO_s_secmem());
    if (!key || !out || PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1)
        return not_made(cx, "A private key");
    char *text = text_of(cx, out);
    arena_wipe_later(cx->arena, text, strlen(text));
    *ret_key = text;
    return NULL;
}

static int64_t time_us(const ASN1_TIME *t)
{
    struct tm tm;
    return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) * 1000000 : 0;
}

static struct err *describe(struct ctx *cx, X509 *cert, struct pki_cert *ret)
{
    AUTO(free_bio) BIO *out = BIO_new(BIO_s_mem());
    unsigned char *der = NULL;
    int size = i2d_X509(cert, &der);
    if (size <= 0 || !out || PEM_write_bio_X509(out, cert) != 1)
        return not_made(cx, "A certificate");
    *ret = (struct pki_cert){.pem = text_of(cx, out),
                             .sha256 = sha256_hex(cx, der, (size_t)size),
                             .not_before_us = time_us(X509_get0_notBefore(cert)),
                             .not_after_us = time_us(X509_get0_notAfter(cert))};
    OPENSSL_free(der);
    return NULL;
}

static bool extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

/* Serial number, times, key, and the name as subject. */
static bool fill(struct ctx *cx, X509 *cert, EVP_PKEY *key, const char *name, int64_t ttl_s)
{
    uint8_t serial[16];
    time_t now = (time_t)(now_us(cx) / 1000000);
    rng_bytes(rng_system(), serial, sizeof(serial));
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 1);
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return ok && X509_set_version(cert, 2) == 1 &&
           ASN1_TIME_set(X509_getm_notBefore(cert), now - SKEW_S) &&
           ASN1_TIME_set(X509_getm_notAfter(cert), now + (time_t)ttl_s) &&
           X509_set_pubkey(cert, key) == 1 &&
           X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                                      (const unsigned char *)name, -1, -1, 0) == 1;
}

struct err *pki_ca_new(struct ctx *cx, const char *key, const char *name, int64_t ttl_s,
                       struct pki_cert *ret)
{
    AUTO(free_key) EVP_PKEY *own = NULL;
    AUTO(free_cert) X509 *cert = X509_new();
    TRY(pki_read_key(cx, key, &own));
    if (!cert || !fill(cx, cert, own, name, ttl_s) ||
        X509_set_issuer_name(cert, X509_get_subject_name(cert)) != 1 ||
        !extend(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !extend(cert, cert, NID_key_usage, "critical,keyCertSign") ||
        !extend(cert, cert, NID_subject_key_identifier, "hash") ||
        X509_sign(cert, own, EVP_sha256()) <= 0)
        return not_made(cx, "The region's certificate authority");
    return describe(cx, cert, ret);
}

struct err *pki_request_new(struct ctx *cx, const char *key, const char **ret_request)
{
    AUTO(free_key) EVP_PKEY *own = NULL;
    AUTO(free_request) X509_REQ *request = X509_REQ_new();
    AUTO(free_bio) BIO *out = BIO_new(BIO_s_mem());
    TRY(pki_read_key(cx, key, &own));
    if (!request || !out || X509_REQ_set_version(request, 0) != 1 ||
        X509_REQ_set_pubkey(request, own) != 1 || X509_REQ_sign(request, own, EVP_sha256()) <= 0 ||
        PEM_write_bio_X509_REQ(out, request) != 1)
        return not_made(cx, "A request for a certificate");
    *ret_request = text_of(cx, out);
    return NULL;
}

static bool on_p256(EVP_PKEY *key)
{
    char group[64] = "";
    return EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
           str_eq(group, "prime256v1");
}

static struct err *request_read(struct ctx *cx, const char *pem, X509_REQ **ret)
{
    AUTO(free_bio) BIO *in = reader(pem);
    AUTO(free_request)
    X509_REQ *request = in ? PEM_read_bio_X509_REQ(in, NULL, no_password, NULL) : NULL;
    if (!request)
        return fail(cx, ERR_INVALID, "this is no request for a certificate (PKCS#10, PEM): %s",
                    reason());
    EVP_PKEY *key = X509_REQ_get0_pubkey(request);
    if (!key || !on_p256(key))
        return fail(cx, ERR_INVALID, "the request's key must be an EC key on P-256");
    if (X509_REQ_verify(request, key) != 1)
        return fail(cx, ERR_INVALID, "the request is not signed by its own key: %s", reason());
    *ret = TAKE_PTR(request);
    return NULL;
}

struct err *pki_read_cert(struct ctx *cx, const char *pem, X509 **ret)
{
    AUTO(free_bio) BIO *in = reader(pem);
    *ret = in ? PEM_read_bio_X509(in, NULL, no_password, NULL) : NULL;
    return *ret ? NULL : fail(cx, ERR_INVALID, "this is no certificate (PEM): %s", reason());
}

struct err *pki_issue(struct ctx *cx, const char *ca, const char *ca_key, const char *request,
                      const char *name, int64_t ttl_s, struct pki_cert *ret)
{
    AUTO(free_request) X509_REQ *asked = NULL;
    AUTO(free_cert) X509 *issuer = NULL;
    AUTO(free_key) EVP_PKEY *issuer_key = NULL;
    AUTO(free_cert) X509 *cert = X509_new();
    must(!strpbrk(name, ",;:\n\\")); /* it stands in an extension's text form */
    TRY(request_read(cx, request, &asked));
    TRY(pki_read_cert(cx, ca, &issuer));
    TRY(pki_read_key(cx, ca_key, &issuer_key));
    if (!cert || !fill(cx, cert, X509_REQ_get0_pubkey(asked), name, ttl_s) ||
        X509_set_issuer_name(cert, X509_get_subject_name(issuer)) != 1 ||
        !extend(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
        !extend(cert, issuer, NID_key_usage, "critical,digitalSignature") ||
        !extend(cert, issuer, NID_ext_key_usage, "clientAuth,serverAuth") ||
        !extend(cert, issuer, NID_subject_alt_name, arena_printf(cx->arena, "DNS:%s", name)) ||
        !extend(cert, issuer, NID_subject_key_identifier, "hash") ||
        !extend(cert, issuer, NID_authority_key_identifier, "keyid") ||
        X509_sign(cert, issuer_key, EVP_sha256()) <= 0)
        return not_made(cx, "A certificate");
    return describe(cx, cert, ret);
}

struct err *pki_read(struct ctx *cx, const char *pem, struct pki_cert *ret)
{
    AUTO(free_cert) X509 *cert = NULL;
    TRY(pki_read_cert(cx, pem, &cert));
    return describe(cx, cert, ret);
}

bool pki_each_cert(const char *pems, bool (*fn)(X509 *cert, void *arg), void *arg)
{
    AUTO(free_bio) BIO *in = reader(pems);
    bool done = false;
    for (int i = 0; in && !done && i < CERTS_MAX; i++) {
        AUTO(free_cert) X509 *cert = PEM_read_bio_X509(in, NULL, no_password, NULL);
        if (!cert)
            break;
        done = fn(cert, arg);
    }
    ERR_clear_error(); /* that there are no more */
    return done;
}

struct search {
    struct ctx *cx;
    const char *sha256;
    struct pki_cert *ret;
};

static bool is_it(X509 *cert, void *arg)
{
    struct search *s = arg;
    struct pki_cert found;
    if (describe(s->cx, cert, &found) || !str_eq(found.sha256, s->sha256))
        return false;
    *s->ret = found;
    return true;
}

struct err *pki_find(struct ctx *cx, const char *pems, const char *sha256, struct pki_cert *ret)
{
    struct search s = {cx, sha256, ret};
    return pki_each_cert(pems, is_it, &s)
               ? NULL
               : fail(cx, ERR_NOT_FOUND, "no certificate has the fingerprint %s", sha256);
}
