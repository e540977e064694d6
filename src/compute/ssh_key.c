/* SPDX-License-Identifier: EUPL-1.2 */
/* See ssh_key.h. The private form is PROTOCOL.key of OpenSSH, unencrypted. */
#include "compute/ssh_key.h"
#include <openssl/evp.h>
#include <sodium.h>

static const char *const key_types[] = {"ssh-rsa",
                                        "ssh-ed25519",
                                        "ssh-dss",
                                        "ecdsa-sha2-nistp256",
                                        "ecdsa-sha2-nistp384",
                                        "ecdsa-sha2-nistp521",
                                        "sk-ssh-ed25519@openssh.com",
                                        "sk-ecdsa-sha2-nistp256@openssh.com"};

static bool known_type(const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(key_types); i++)
        if (str_eq(key_types[i], type))
            return true;
    return false;
}

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The blob begins with its own type, and has at least one more part. */
static bool blob_ok(const uint8_t *blob, size_t size, const char *type)
{
    size_t n = strlen(type);
    return size > 4 + n + 4 && read_u32(blob) == n && memcmp(blob + 4, type, n) == 0 &&
           read_u32(blob + 4 + n) <= size - 8 - n;
}

static const char *colon_hex(struct ctx *cx, const uint8_t *data, size_t size)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < size; i++)
        buf_printf(&b, "%s%02x", i ? ":" : "", data[i]);
    return buf_cstr(&b);
}

struct err *ssh_fingerprint(struct ctx *cx, const char *public_key, const char **ret)
{
    static const char wrong[] = "Keypair data is invalid: failed to generate fingerprint";
    char **parts;
    uint8_t *blob, md[EVP_MAX_MD_SIZE];
    unsigned md_size = 0;
    size_t size;
    if (strpbrk(public_key, "\r\n") &&
        strcspn(public_key, "\r\n") + strspn(strpbrk(public_key, "\r\n"), "\r\n \t") !=
            strlen(public_key))
        return fail(cx, ERR_INVALID, "%s (more than one line)", wrong);
    const char *line = arena_strndup(cx->arena, public_key, strcspn(public_key, "\r\n"));
    if (str_split(cx, line, ' ', &parts) < 2 || !known_type(parts[0]) ||
        !base64_decode(cx, parts[1], &blob, &size) || !blob_ok(blob, size, parts[0]))
        return fail(cx, ERR_INVALID, "%s", wrong);
    if (EVP_Digest(blob, size, md, &md_size, EVP_md5(), NULL) != 1)
        return fail(cx, ERR_INTERNAL, "MD5 is not available");
    *ret = colon_hex(cx, md, md_size);
    return NULL;
}

static void add_u32(struct buf *b, size_t v)
{
    const uint8_t raw[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    buf_add(b, raw, 4);
}

static void add_string(struct buf *b, const void *data, size_t size)
{
    add_u32(b, size);
    buf_add(b, data, size);
}

static const char *pem(struct ctx *cx, const struct buf *der)
{
    const char *text = base64_encode(cx, der->data, der->len);
    struct buf b;
    buf_init(&b, cx->arena);
    buf_reserve(&b, der->len * 2 + 128);
    buf_str(&b, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    for (size_t n = strlen(text), i = 0; i < n; i += 70)
        buf_printf(&b, "%.70s\n", text + i);
    buf_str(&b, "-----END OPENSSH PRIVATE KEY-----\n");
    arena_wipe_later(cx->arena, (void *)(uintptr_t)text, strlen(text));
    arena_wipe_later(cx->arena, b.data, b.len);
    return b.data;
}

struct err *ssh_generate(struct ctx *cx, const char *comment, const char **ret_public,
                         const char **ret_private)
{
    static const char type[] = "ssh-ed25519";
    uint8_t pub[crypto_sign_PUBLICKEYBYTES], sec[crypto_sign_SECRETKEYBYTES];
    uint32_t check;
    struct buf blob, inner, all;
    if (sodium_init() < 0 || crypto_sign_keypair(pub, sec) != 0)
        return fail(cx, ERR_INTERNAL, "cannot generate a key");
    rng_bytes(cx->rng, &check, sizeof(check));
    buf_init(&blob, cx->arena);
    add_string(&blob, type, strlen(type));
    add_string(&blob, pub, sizeof(pub));
    buf_init(&inner, cx->arena);
    buf_reserve(&inner,
                512 + strlen(comment)); /* grows no more: no copies of the secret are left behind */
    add_u32(&inner, check);
    add_u32(&inner, check);
    buf_add(&inner, blob.data, blob.len);
    add_string(&inner, sec, sizeof(sec));
    secret_wipe(sec, sizeof(sec));
    add_string(&inner, comment, strlen(comment));
    for (char pad = 1; inner.len % 8; pad++)
        buf_char(&inner, pad);
    buf_init(&all, cx->arena);
    buf_reserve(&all, inner.len + blob.len + 128);
    buf_add(&all, "openssh-key-v1", 15); /* with its NUL */
    add_string(&all, "none", 4);
    add_string(&all, "none", 4);
    add_u32(&all, 0);
    add_u32(&all, 1);
    add_string(&all, blob.data, blob.len);
    add_string(&all, inner.data, inner.len);
    arena_wipe_later(cx->arena, inner.data, inner.len);
    arena_wipe_later(cx->arena, all.data, all.len);
    *ret_private = pem(cx, &all);
    *ret_public = arena_printf(cx->arena, "%s %s%s%s", type, base64_encode(cx, blob.data, blob.len),
                               *comment ? " " : "", comment);
    return NULL;
}
