/* SPDX-License-Identifier: EUPL-1.2 */
/* See enrolment.h; the other side is fleet/enrol.c. */
#include "node/enrolment.h"
#include "http/pki.h"
#include <stdatomic.h>

enum { CALL_TIMEOUT_MS = 15000, REPLY_MAX_BYTES = 64 << 10, FILE_MAX_BYTES = 64 << 10 };
#define SKEW_MAX_US (300 * INT64_C(1000000))
#define CONTROL_PEER "control.colvert"

struct enrolment {
    struct ctx cx; /* owns the texts; the renewing thread's */
    const char *path;
    const char *api_url, *host_id, *name, *token_sha256;
    int64_t renew_at_us;
    const char *authorities;
    _Atomic(const struct http_identity *) identity;
};

static const char *keep_secret(struct ctx *cx, const char *text)
{
    char *copy = arena_strdup(cx->arena, text);
    arena_wipe_later(cx->arena, copy, strlen(copy));
    return copy;
}

const char *enrolment_api_url(const struct enrolment *e)
{
    return e->api_url;
}

const char *enrolment_host_id(const struct enrolment *e)
{
    return e->host_id;
}

const struct http_identity *enrolment_identity(void *enrolment)
{
    struct enrolment *e = enrolment;
    return atomic_load(&e->identity);
}

int64_t enrolment_renew_at_us(const struct enrolment *e)
{
    return e->renew_at_us;
}

bool enrolment_trusts(const struct enrolment *e, const char *authorities_sha256)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    return str_eq(sha256_hex(&cx, e->authorities, strlen(e->authorities)), authorities_sha256);
}

void enrolment_free(struct enrolment *e)
{
    if (!e)
        return;
    ctx_release(&e->cx);
    free(e);
}

/* ---- the file ---- */

static struct enrolment *enrolment_new(const char *dir)
{
    struct enrolment *e = calloc(1, sizeof(*e));
    must(e);
    ctx_init(&e->cx);
    e->path = arena_printf(e->cx.arena, "%s/enrolment.json", dir);
    return e;
}

/* What is in use from now on. */
static void take(struct enrolment *e, const char *authorities, const char *cert, const char *key)
{
    struct http_identity *i = arena_new_of(e->cx.arena, struct http_identity);
    e->authorities = arena_strdup(e->cx.arena, authorities);
    *i = (struct http_identity){.authorities = e->authorities,
                                .also = HOST_PEERS,
                                .cert = arena_strdup(e->cx.arena, cert),
                                .key = keep_secret(&e->cx, key),
                                .peer = CONTROL_PEER};
    atomic_store(&e->identity, i);
}

static struct err *open_new(struct ctx *cx, const struct enrolment *e, int *ret_fd)
{
    const char *path = arena_printf(cx->arena, "%s.new", e->path);
    if (unlink(path) < 0 && errno != ENOENT)
        return fail(cx, ERR_UNAVAILABLE, "cannot remove %s: %m", path);
    *ret_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return *ret_fd >= 0 ? NULL : fail(cx, ERR_UNAVAILABLE, "cannot make %s: %m", path);
}

static struct err *put_new(struct ctx *cx, const struct enrolment *e, int fd)
{
    const struct http_identity *i = atomic_load(&e->identity);
    struct buf b;
    struct jw w;
    buf_init(&b, cx->arena);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kstr(&w, "api", e->api_url);
    jw_kstr(&w, "host_id", e->host_id);
    jw_kstr(&w, "name", e->name);
    jw_kstr(&w, "token_sha256", e->token_sha256);
    jw_kint(&w, "renew_at_us", e->renew_at_us);
    jw_kstr(&w, "authorities", i->authorities);
    jw_kstr(&w, "certificate", i->cert);
    jw_kstr(&w, "key", i->key);
    jw_obj_end(&w);
    ssize_t n = write(fd, b.data, b.len);
    secret_wipe(b.data, b.len);
    const char *path = arena_printf(cx->arena, "%s.new", e->path);
    if (n != (ssize_t)b.len || fsync(fd) < 0 || rename(path, e->path) < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot write %s: %m", e->path);
    return NULL;
}

/* *ret_there false: this host has not joined. */
static struct err *load(struct ctx *cx, struct enrolment *e, bool *ret_there)
{
    char *text;
    json_t *j = NULL;
    TRY(secret_file_read(cx, e->path, FILE_MAX_BYTES, &text));
    *ret_there = text != NULL;
    if (!text)
        return NULL;
    struct err *bad = json_read(cx, text, strlen(text), &j);
    const char *authorities = json_get_str(j, "authorities"), *key = json_get_str(j, "key"),
               *cert = json_get_str(j, "certificate");
    e->api_url = arena_strdup(e->cx.arena, json_get_str(j, "api"));
    e->host_id = arena_strdup(e->cx.arena, json_get_str(j, "host_id"));
    e->name = arena_strdup(e->cx.arena, json_get_str(j, "name"));
    e->token_sha256 = arena_strdup(e->cx.arena, json_get_str(j, "token_sha256"));
    e->renew_at_us = json_get_int(j, "renew_at_us", 0);
    if (bad || !authorities || !key || !cert || !e->api_url || !e->host_id)
        return fail(cx, ERR_INVALID,
                    "%s is damaged: remove it, and join with a token of `colvert admin host add "
                    "NAME --again`",
                    e->path);
    take(e, authorities, cert, key);
    return NULL;
}

/* ---- the exchange ---- */

static const char *reason_of(const struct http_answer *a, json_t *body)
{
    const char *message = json_get_str(json_get(body, "error"), "message");
    return message ? message : a->status == 404 ? "nothing there for hosts" : "no reason given";
}

static struct err *call(struct ctx *cx, struct http_client *c, struct http_call *what, json_t **ret)
{
    struct http_answer a;
    what->timeout_ms = CALL_TIMEOUT_MS;
    what->reply_max_bytes = REPLY_MAX_BYTES;
    TRY(http_client_call(cx, c, what, &a));
    *ret = NULL;
    struct err *e = json_read(cx, buf_cstr(&a.body), a.body.len, ret);
    if (a.status != 200)
        return fail(cx, a.status == 401 ? ERR_UNAUTHENTICATED : ERR_UNAVAILABLE,
                    "%s answers %d: %.500s", what->url, a.status, reason_of(&a, *ret));
    return e ? wrap(cx, e, ERR_BAD_GATEWAY, "%s answers no JSON", what->url) : NULL;
}

/* "cvj1.<secret>.<fingerprint of the authority>", as `colvert admin host add` prints it. */
static struct err *split_token(struct ctx *cx, const char *token, const char **ret_secret,
                               const char **ret_fingerprint)
{
    char **parts;
    uint8_t digest[32];
    if (strlen(token) > 256 || str_split(cx, token, '.', &parts) != 3 ||
        !str_eq(parts[0], "cvj1") || !*parts[1] || strlen(parts[2]) != 2 * sizeof(digest) ||
        !hex_decode(parts[2], digest, sizeof(digest)))
        return fail(cx, ERR_INVALID,
                    "this is no join token: give it whole, as `colvert admin host add` printed it");
    *ret_secret = parts[1];
    *ret_fingerprint = parts[2];
    arena_wipe_later(cx->arena, parts[1], strlen(parts[1]));
    return NULL;
}

/* Whatever answers there may say it: only the fingerprint in the token makes it trusted. */
static struct err *first_contact(struct ctx *cx, struct http_client *c, const char *api_url,
                                 const char *fingerprint, struct pki_cert *ret)
{
    static const struct http_identity anybody = {0};
    struct http_call ask = {.method = "GET",
                            .url = arena_printf(cx->arena, "%s/node/v1/authorities", api_url),
                            .identity = &anybody};
    json_t *j = NULL;
    TRY(call(cx, c, &ask, &j));
    const char *authorities = json_get_str(j, "authorities");
    int64_t off_us = json_get_int(j, "now_us", 0) - now_us(cx);
    struct err *e = authorities ? pki_find(cx, authorities, fingerprint, ret)
                                : fail(cx, ERR_NOT_FOUND, "it names none");
    if (e)
        return wrap(cx, e, ERR_INVALID,
                    "%s has another certificate authority than the token says: the token is "
                    "another region's, or somebody stands in between",
                    api_url);
    if (off_us > SKEW_MAX_US || off_us < -SKEW_MAX_US)
        return fail(cx, ERR_INVALID,
                    "this host's clock is %" PRId64 " s %s the control plane's: set it first",
                    (off_us < 0 ? -off_us : off_us) / 1000000, off_us < 0 ? "ahead of" : "behind");
    return NULL;
}

static struct err *take_answer(struct ctx *cx, struct enrolment *e, const json_t *j,
                               const char *key)
{
    const char *cert = json_get_str(j, "certificate"),
               *authorities = json_get_str(j, "authorities"), *id = json_get_str(j, "host_id");
    struct pki_cert read;
    if (!cert || !authorities || !id || !uuid_valid(id))
        return fail(cx, ERR_BAD_GATEWAY, "%s gives no certificate", e->api_url);
    TRY(pki_read(cx, cert, &read));
    int64_t now = now_us(cx), left = read.not_after_us - now;
    if (left <= 0 || read.not_before_us > now)
        return fail(cx, ERR_INVALID,
                    "the certificate is not valid now: compare this host's clock with the control "
                    "plane's");
    e->host_id = arena_strdup(e->cx.arena, id);
    e->renew_at_us = now + left * 2 / 3;
    take(e, authorities, cert, key);
    return NULL;
}

/* A key, and the body that asks for its certificate; secret NULL: a renewal. */
static struct err *make_body(struct ctx *cx, const char *secret, const char **ret_key,
                             struct buf *ret)
{
    const char *request;
    struct jw w;
    TRY(pki_key_new(cx, ret_key));
    TRY(pki_request_new(cx, *ret_key, &request));
    jw_init(&w, ret);
    jw_obj(&w);
    if (secret)
        jw_kstr(&w, "token", secret);
    jw_kstr(&w, "request", request);
    jw_obj_end(&w);
    return NULL;
}

static struct err *join(struct ctx *cx, struct enrolment *e, struct http_client *c,
                        const char *token)
{
    const char *secret = NULL, *fingerprint = NULL, *key;
    struct pki_cert authority;
    struct buf body;
    json_t *answer = NULL;
    AUTO_FD int fd = -1;
    TRY(split_token(cx, token, &secret, &fingerprint));
    TRY(open_new(cx, e, &fd)); /* what can't be kept is not asked for: the token is good once */
    TRY(first_contact(cx, c, e->api_url, fingerprint, &authority));
    buf_init(&body, cx->arena);
    TRY(make_body(cx, secret, &key, &body));
    const struct http_identity known = {.authorities = authority.pem, .peer = CONTROL_PEER};
    struct http_call ask = {.method = "POST",
                            .url = arena_printf(cx->arena, "%s/node/v1/join", e->api_url),
                            .body = buf_cstr(&body),
                            .body_size = body.len,
                            .identity = &known};
    struct err *refused = call(cx, c, &ask, &answer);
    secret_wipe(body.data, body.len);
    TRY(refused);
    TRY(take_answer(cx, e, answer, key));
    e->name = arena_strdup(e->cx.arena, json_get_str(answer, "name"));
    e->token_sha256 = arena_strdup(e->cx.arena, sha256_hex(cx, token, strlen(token)));
    return put_new(cx, e, fd);
}

struct err *enrolment_renew(struct ctx *cx, struct enrolment *e, struct http_client *c)
{
    const char *key;
    struct buf body;
    json_t *answer = NULL;
    AUTO_FD int fd = -1;
    TRY(open_new(cx, e, &fd));
    buf_init(&body, cx->arena);
    TRY(make_body(cx, NULL, &key, &body));
    struct http_call ask = {
        .method = "POST",
        .url = arena_printf(cx->arena, "%s/node/v1/hosts/%s/certificate", e->api_url, e->host_id),
        .body = buf_cstr(&body),
        .body_size = body.len,
        .identity = enrolment_identity(e)};
    TRY(call(cx, c, &ask, &answer));
    TRY(take_answer(cx, e, answer, key));
    return put_new(cx, e, fd);
}

static struct err *open_in(struct ctx *cx, struct enrolment *e, const char *api_url,
                           const char *token, bool *ret_there)
{
    bool with_token = token && *token, with_url = api_url && *api_url;
    TRY(load(cx, e, ret_there));
    if (with_url && !str_starts(api_url, "https://"))
        return fail(cx, ERR_INVALID,
                    "'%s': hosts speak to a control plane on another machine over TLS only; give "
                    "--api https://ADDRESS:PORT, the address of its hosts_listen",
                    api_url);
    if (with_url)
        e->api_url = arena_strdup(e->cx.arena, api_url);
    if (!with_token && with_url && !*ret_there)
        return fail(cx, ERR_INVALID,
                    "this host has not joined a region: give --join TOKEN, of `colvert admin host "
                    "add`");
    if (!with_token ||
        (*ret_there && str_eq(e->token_sha256, sha256_hex(cx, token, strlen(token)))))
        return NULL; /* a token that it has joined with already may stay in the configuration */
    if (!with_url)
        return fail(cx, ERR_INVALID,
                    "where is the region to join? Give --api https://ADDRESS:PORT");
    struct http_client *c = http_client_new();
    struct err *failed = join(cx, e, c, token);
    http_client_free(c);
    *ret_there = true;
    return failed ? wrap(cx, failed, failed->kind, "this host can't join the region at %s", api_url)
                  : NULL;
}

struct err *enrolment_open(struct ctx *cx, const char *dir, const char *api_url, const char *token,
                           struct enrolment **ret)
{
    struct enrolment *e = enrolment_new(dir);
    bool there = false;
    struct err *failed = open_in(cx, e, api_url, token, &there);
    *ret = NULL;
    if (failed || !there)
        enrolment_free(e);
    else
        *ret = e;
    return failed;
}
