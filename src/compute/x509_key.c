/* SPDX-License-Identifier: EUPL-1.2 */
/* See x509_key.h. */
#include "compute/x509_key.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#define TEN_YEARS_S (3650L * 86400)

static void free_cert(X509 **p)
{
    X509_free(*p);
}
static void free_key(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}
static void free_p12(PKCS12 **p)
{
    PKCS12_free(*p);
}
static void free_bio(BIO **p)
{
    BIO_free(*p);
}
#define AUTO(fn) __attribute__((cleanup(fn)))

static struct err *unavailable(struct ctx *cx)
{
    return fail(cx, ERR_INTERNAL, "A certificate could not be made");
}

static const char *fingerprint_of(struct ctx *cx, const X509 *cert)
{
    uint8_t md[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    struct buf b;
    if (X509_digest(cert, EVP_sha1(), md, &size) != 1)
        return NULL;
    buf_init(&b, cx->arena);
    for (unsigned i = 0; i < size; i++)
        buf_printf(&b, "%s%02x", i ? ":" : "", md[i]);
    return buf_cstr(&b);
}

struct err *x509_fingerprint(struct ctx *cx, const char *certificate, const char **ret)
{
    AUTO(free_bio) BIO *in = BIO_new_mem_buf(certificate, (int)strlen(certificate));
    AUTO(free_cert) X509 *cert = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    *ret = cert ? fingerprint_of(cx, cert) : NULL;
    return *ret ? NULL
                : fail(cx, ERR_INVALID,
                       "Keypair data is invalid: failed to generate X509 fingerprint");
}

static bool extend(X509 *cert, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

/* User principal names are how Windows tells which account a certificate opens. */
static bool fill(struct ctx *cx, X509 *cert, EVP_PKEY *key, const char *user_id)
{
    uint8_t serial[16];
    rng_bytes(cx->rng, serial, sizeof(serial));
    serial[0] &= 0x7f;
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    X509_NAME *name = X509_get_subject_name(cert);
    return ok && X509_set_version(cert, 2) == 1 && X509_gmtime_adj(X509_getm_notBefore(cert), 0) &&
           X509_gmtime_adj(X509_getm_notAfter(cert), TEN_YEARS_S) &&
           X509_set_pubkey(cert, key) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)user_id, -1,
                                      -1, 0) == 1 &&
           X509_set_issuer_name(cert, name) == 1 && extend(cert, NID_ext_key_usage, "clientAuth") &&
           extend(cert, NID_subject_alt_name,
                  arena_printf(cx->arena, "otherName:1.3.6.1.4.1.311.20.2.3;UTF8:%s@localhost",
                               user_id)) &&
           extend(cert, NID_subject_key_identifier, "hash") &&
           X509_sign(cert, key, EVP_sha256()) > 0;
}

static struct err *private_form(struct ctx *cx, EVP_PKEY *key, X509 *cert, const char **ret)
{
    AUTO(free_p12) PKCS12 *p12 = PKCS12_create("", "", key, cert, NULL, 0, 0, 0, 0, 0);
    uint8_t *der = NULL;
    int size = p12 ? i2d_PKCS12(p12, &der) : -1;
    if (size <= 0)
        return unavailable(cx);
    *ret = base64_encode(cx, der, (size_t)size);
    arena_wipe_later(cx->arena, (void *)(uintptr_t)*ret, strlen(*ret));
    OPENSSL_clear_free(der, (size_t)size);
    return NULL;
}

struct err *x509_generate(struct ctx *cx, const char *user_id, const char **ret_certificate,
                          const char **ret_private)
{
    AUTO(free_key) EVP_PKEY *key = EVP_RSA_gen(2048);
    AUTO(free_cert) X509 *cert = X509_new();
    AUTO(free_bio) BIO *out = BIO_new(BIO_s_mem());
    char *pem = NULL;
    /* The id stands in an extension's text form, where a comma would begin another name. */
    if (strpbrk(user_id, ",;:\n\\"))
        return fail(cx, ERR_INVALID, "Keypair data is invalid: no certificate can name the user %s",
                    user_id);
    if (!key || !cert || !out || !fill(cx, cert, key, user_id) ||
        PEM_write_bio_X509(out, cert) != 1)
        return unavailable(cx);
    long size = BIO_get_mem_data(out, &pem);
    *ret_certificate = arena_strndup(cx->arena, pem, (size_t)size);
    return private_form(cx, key, cert, ret_private);
}
