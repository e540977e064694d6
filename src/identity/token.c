/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Tokens: "cv1.<key>.<claims>.<signature>", claims in JSON, signed with Ed25519. Everything an
 * actor is stands in the token, so that only revocations are read from the store. Keys are rows: a
 * new one signs, older ones verify until they are removed.
 */
#include "identity/resources.h"
#include <sodium.h>

#define PREFIX "cv1"
#define TOKEN_MAX 8192

const struct stmt stmt_key_add = {
    "token_key_add",
    "INSERT INTO token_keys (id, public_key, seed, created_at) VALUES ($1, $2, $3, $4)"};
const struct stmt stmt_keys = {
    "token_keys", "SELECT id, public_key, seed FROM token_keys ORDER BY created_at DESC, id"};
const struct stmt stmt_revoke = {
    "revoke", "INSERT INTO revocations (subject, before, expires_at) VALUES ($1, $2, $3) "
              "ON CONFLICT (subject) DO UPDATE SET before = excluded.before, expires_at = "
              "excluded.expires_at"};
/* Most tokens are younger than any revocation, and most of the others rest on few subjects. */
const struct stmt stmt_revoked_since = {"revoked_since",
                                        "SELECT 1 FROM revocations WHERE before >= $1 LIMIT 1"};
#define SUBJECTS_FEW 8
const struct stmt stmt_revoked_few = {
    "revoked_few", "SELECT 1 FROM revocations WHERE before >= $1 AND subject IN ($2, $3, $4, $5, "
                   "$6, $7, $8, $9)"};
#define SUBJECTS 17 /* at most; the rest are NULL */
const struct stmt stmt_revoked = {
    "revoked", "SELECT 1 FROM revocations WHERE before >= $1 AND subject IN ($2, $3, $4, $5, $6, "
               "$7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"};
const struct stmt stmt_revocations_prune = {"revocations_prune",
                                            "DELETE FROM revocations WHERE expires_at < $1"};

const struct stmt stmt_keys_newest = {"token_keys_newest",
                                      "SELECT MAX(created_at) FROM token_keys"};
/* Those that had a successor by then: what they signed has expired. */
const struct stmt stmt_keys_prune = {
    "token_keys_prune", "DELETE FROM token_keys WHERE created_at < (SELECT MAX(created_at) FROM "
                        "token_keys WHERE created_at < $1)"};

/* Keys as last read; unknown ids make it read again. */
#define MAX_KEYS 16
struct key {
    char id[17];
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES];
};
static struct {
    pthread_mutex_t lock;
    struct store *store;
    struct key keys[MAX_KEYS]; /* the first one signs */
    size_t n;
} cache = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct err *identity_new_token_key(struct ctx *cx, struct tx *tx)
{
    uint8_t seed[crypto_sign_SEEDBYTES], pub[crypto_sign_PUBLICKEYBYTES],
        sec[crypto_sign_SECRETKEYBYTES];
    rng_bytes(cx->rng, seed, sizeof(seed));
    crypto_sign_seed_keypair(pub, sec, seed);
    struct err *e =
        db_run(cx, tx, &stmt_key_add, V_TEXT(arena_strndup(cx->arena, uuid_new_hex(cx), 16)),
               V_BYTES(pub, sizeof(pub)), V_BYTES(seed, sizeof(seed)), V_INT(now_us(cx)));
    secret_wipe(seed, sizeof(seed));
    secret_wipe(sec, sizeof(sec));
    return e;
}

static struct err *newest_key_us(struct ctx *cx, struct tx *tx, int64_t *ret)
{
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_keys_newest, NULL, 0, &rows));
    *ret = db_int(&rows, 0, 0);
    return NULL;
}

static struct err *key_due(struct ctx *cx, struct store *s, int64_t age_us, bool *ret)
{
    AUTO_TXN struct tx *tx = NULL;
    int64_t newest_us;
    TRY(tx_read(cx, s, &tx));
    TRY(newest_key_us(cx, tx, &newest_us));
    *ret = newest_us && newest_us < now_us(cx) - age_us;
    return NULL;
}

struct err *identity_rotate_keys(struct ctx *cx, struct store *s, const struct lease *lease,
                                 size_t *ret_changed)
{
    AUTO_TXN struct tx *tx = NULL;
    const struct identity_config *cfg = identity_settings();
    int64_t age_us = cfg->token_key_days * INT64_C(86400000000);
    bool due = false;
    if (age_us)
        TRY(key_due(cx, s, age_us, &due));
    if (!due)
        return NULL;
    TRY(tx_write(cx, s, &tx));
    TRY(lease_check(cx, tx, lease));
    TRY(identity_new_token_key(cx, tx));
    TRY(db_run(cx, tx, &stmt_keys_prune,
               V_INT(now_us(cx) - max_i64(age_us, cfg->token_ttl_s * 1000000))));
    TRY(tx_commit(cx, &tx));
    *ret_changed = 1;
    return NULL;
}

static struct err *read_keys(struct ctx *cx, struct tx *tx)
{
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_keys, NULL, 0, &rows));
    AUTO_LOCK(&cache.lock);
    cache.store = tx_store(tx);
    cache.n = 0;
    for (size_t i = 0; i < rows.n_rows && i < MAX_KEYS; i++) {
        struct key *k = &cache.keys[cache.n++];
        const struct db_value *seed = db_cell(&rows, i, 2);
        must(seed->size == crypto_sign_SEEDBYTES);
        snprintf(k->id, sizeof(k->id), "%s", db_text(&rows, i, 0));
        crypto_sign_seed_keypair(k->public_key, k->secret, (const uint8_t *)seed->s);
        secret_wipe((void *)(uintptr_t)seed->s, seed->size);
    }
    return NULL;
}

/* id NULL: the signing key. */
static bool cached_key(struct tx *tx, const char *id, struct key *ret)
{
    AUTO_LOCK(&cache.lock);
    for (size_t i = 0; cache.store == tx_store(tx) && i < cache.n; i++) {
        if (!id || str_eq(cache.keys[i].id, id)) {
            *ret = cache.keys[i];
            return true;
        }
    }
    return false;
}

/* The signing key is read each time: another process may have made a newer one. */
static struct err *find_key(struct ctx *cx, struct tx *tx, const char *id, struct key *ret)
{
    if (id && cached_key(tx, id, ret))
        return NULL;
    TRY(read_keys(cx, tx));
    if (cached_key(tx, id, ret))
        return NULL;
    return id ? fail(cx, ERR_UNAUTHENTICATED, "The token's key is unknown")
              : fail(cx, ERR_UNAVAILABLE, "There is no token key: run 'colvert admin bootstrap'");
}

static json_t *strings(const char *const *list)
{
    json_t *a = json_array();
    for (; list && *list; list++)
        json_array_append_new(a, json_string(*list));
    return a;
}

static void put(json_t *o, const char *key, const char *value)
{
    if (value)
        json_object_set_new(o, key, json_string(value));
}

/* One letter a claim: tokens travel with every request. */
#define TEXT_CLAIMS(X)                                                                             \
    X("u", user_id)                                                                                \
    X("n", user_name)                                                                              \
    X("v", user_domain_id)                                                                         \
    X("w", user_domain_name)                                                                       \
    X("p", project_id)                                                                             \
    X("q", project_name)                                                                           \
    X("e", project_domain_id)                                                                      \
    X("f", project_domain_name)                                                                    \
    X("d", domain_id)                                                                              \
    X("g", domain_name)                                                                            \
    X("a", audit_id)                                                                               \
    X("b", parent_audit_id)                                                                        \
    X("c", credential_id)                                                                          \
    X("t", trust_id)                                                                               \
    X("y", trustor_id)                                                                             \
    X("z", trustee_id)                                                                             \
    X("j", holder_id)                                                                              \
    X("l", holder_domain_id)

struct err *token_sign(struct ctx *cx, struct tx *tx, const struct token *t, const char **ret_text)
{
    struct key key;
    uint8_t sig[crypto_sign_BYTES];
    TRY(find_key(cx, tx, NULL, &key));
    json_t *claims = json_own(cx, json_object());
#define X(letter, member) put(claims, letter, t->member);
    TEXT_CLAIMS(X)
#undef X
    json_object_set_new(claims, "s", json_boolean(t->system_scope));
    if (t->credential_unrestricted)
        json_object_set_new(claims, "o", json_true());
    if (t->credential_limited)
        json_object_set_new(claims, "L", json_true());
    if (t->parents && *t->parents)
        json_object_set_new(claims, "h", strings(t->parents));
    json_object_set_new(claims, "m", strings(t->methods));
    json_object_set_new(claims, "r", strings(t->roles));
    json_object_set_new(claims, "k", strings(t->role_ids));
    json_object_set_new(claims, "i", json_integer(t->issued_us));
    json_object_set_new(claims, "x", json_integer(t->expires_us));
    const char *json = json_text(cx, claims);
    const char *body =
        arena_printf(cx->arena, PREFIX ".%s.%s", key.id, base64url_encode(cx, json, strlen(json)));
    crypto_sign_detached(sig, NULL, (const uint8_t *)body, strlen(body), key.secret);
    secret_wipe(&key, sizeof(key));
    *ret_text = arena_printf(cx->arena, "%s.%s", body, base64url_encode(cx, sig, sizeof(sig)));
    return NULL;
}

static const char *const *list_of(struct ctx *cx, const json_t *a)
{
    size_t n = json_array_size(a);
    const char **list = arena_new_array(cx->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        list[i] = json_string_value(json_array_get(a, i));
    return list;
}

/*
 * Signatures that were found good, by a keyed hash of public key and token: that fact never
 * changes, so nothing has to be forgotten when keys rotate. Expiry and revocation are no part of it
 * and are looked up each time.
 */
#define SEEN_MAX 1024
static struct {
    pthread_mutex_t lock;
    uint8_t hash[SEEN_MAX][32];
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};
static uint8_t seen_secret[crypto_generichash_KEYBYTES];

static void make_seen_secret(void)
{
    rng_bytes(rng_system(), seen_secret, sizeof(seen_secret));
}

static uint8_t *seen_slot(const uint8_t hash[32])
{
    return seen.hash[(hash[0] | hash[1] << 8) % SEEN_MAX];
}

static bool signature_good(const char *text, size_t signed_size, const uint8_t *sig,
                           const struct key *key)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    crypto_generichash_state h;
    uint8_t hash[32];
    pthread_once(&once, make_seen_secret);
    crypto_generichash_init(&h, seen_secret, sizeof(seen_secret), sizeof(hash));
    crypto_generichash_update(&h, key->public_key, sizeof(key->public_key));
    crypto_generichash_update(&h, sig, crypto_sign_BYTES);
    crypto_generichash_update(&h, (const uint8_t *)text, signed_size);
    crypto_generichash_final(&h, hash, sizeof(hash));
    {
        AUTO_LOCK(&seen.lock);
        if (secret_eq(seen_slot(hash), sizeof(hash), hash, sizeof(hash)))
            return true;
    }
    if (crypto_sign_verify_detached(sig, (const uint8_t *)text, signed_size, key->public_key) != 0)
        return false;
    AUTO_LOCK(&seen.lock);
    memcpy(seen_slot(hash), hash, sizeof(hash));
    return true;
}

static struct err *check_signature(struct ctx *cx, struct tx *tx, const char *text,
                                   json_t **ret_claims)
{
    char **part;
    struct key key;
    uint8_t *sig, *body;
    size_t sig_size, body_size;
    struct err *bad =
        fail(cx, ERR_UNAUTHENTICATED, "The request you have made requires authentication.");
    if (strlen(text) > TOKEN_MAX || str_split(cx, text, '.', &part) != 4 ||
        !str_eq(part[0], PREFIX) || !base64url_decode(cx, part[2], &body, &body_size) ||
        !base64url_decode(cx, part[3], &sig, &sig_size) || sig_size != crypto_sign_BYTES)
        return bad;
    TRY(find_key(cx, tx, part[1], &key));
    size_t signed_size = strlen(part[0]) + strlen(part[1]) + strlen(part[2]) + 2;
    bool good = signature_good(text, signed_size, sig, &key);
    secret_wipe(&key, sizeof(key));
    if (!good || json_read(cx, (const char *)body, body_size, ret_claims))
        return bad;
    return NULL;
}

struct subjects {
    struct ctx *cx;
    struct db_value *values;
    size_t n;
};

static void subject(struct subjects *s, const char *kind, const char *id)
{
    if (!id)
        return;
    const char *text = arena_printf(s->cx->arena, "%s:%s", kind, id);
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->values[i].s, text))
            return;
    must(s->n < SUBJECTS);
    s->values[s->n++] = V_TEXT(text);
}

/* A grant's: who by whom it was granted to, and where. */
static void grant_subject(struct subjects *s, const char *kind, const char *user, const char *where)
{
    if (where)
        subject(s, kind, arena_printf(s->cx->arena, "%s:%s", user, where));
}

/* Whatever the token rests on: when it goes, the token does. See token_revoke. Returns how many. */
static size_t subjects_of(struct ctx *cx, const struct token *t, struct db_value values[SUBJECTS])
{
    struct subjects s = {cx, values, 0};
    const char *holder = t->holder_id ? t->holder_id : t->user_id;
    subject(&s, "token", t->audit_id);
    subject(&s, "user", t->user_id);
    subject(&s, "domain", t->user_domain_id);
    subject(&s, "user", t->trustor_id);
    subject(&s, "user", t->trustee_id);
    subject(&s, "user", t->holder_id);
    subject(&s, "domain", t->holder_domain_id);
    subject(&s, "trust", t->trust_id);
    subject(&s, "credential", t->credential_id);
    subject(&s, "project", t->project_id);
    subject(&s, "domain", t->project_domain_id);
    subject(&s, "domain", t->domain_id);
    grant_subject(&s, "grant", holder,
                  t->project_id  ? t->project_id
                  : t->domain_id ? t->domain_id
                                 : "system");
    grant_subject(&s, "below", holder, t->project_domain_id);
    for (size_t i = 0; t->parents && t->parents[i]; i++)
        grant_subject(&s, "below", holder, t->parents[i]);
    for (size_t i = s.n; i < SUBJECTS; i++)
        values[i] = V_NULL();
    return s.n;
}

static struct err *check_revoked(struct ctx *cx, struct tx *tx, const struct token *t)
{
    struct db_value params[1 + SUBJECTS] = {V_INT(t->issued_us)};
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_revoked_since, params, 1, &rows));
    if (!rows.n_rows)
        return NULL;
    bool few = subjects_of(cx, t, params + 1) <= SUBJECTS_FEW;
    TRY(db_query(cx, tx, few ? &stmt_revoked_few : &stmt_revoked, params,
                 1 + (few ? SUBJECTS_FEW : SUBJECTS), &rows));
    return rows.n_rows ? fail(cx, ERR_UNAUTHENTICATED, "The token was revoked: log in again")
                       : NULL;
}

struct err *token_verify(struct ctx *cx, struct tx *tx, const char *text, struct token *ret)
{
    json_t *claims = NULL;
    TRY(check_signature(cx, tx, text, &claims));
    struct token t = {.system_scope = json_get_bool(claims, "s", false),
                      .credential_unrestricted = json_get_bool(claims, "o", false),
                      .credential_limited = json_get_bool(claims, "L", false),
                      .parents = list_of(cx, json_get(claims, "h")),
                      .methods = list_of(cx, json_get(claims, "m")),
                      .roles = list_of(cx, json_get(claims, "r")),
                      .role_ids = list_of(cx, json_get(claims, "k")),
                      .issued_us = json_get_int(claims, "i", 0),
                      .expires_us = json_get_int(claims, "x", 0)};
#define X(letter, member) t.member = json_get_str(claims, letter);
    TEXT_CLAIMS(X)
#undef X
    if (now_us(cx) >= t.expires_us)
        return fail(cx, ERR_UNAUTHENTICATED, "The token has expired: log in again");
    TRY(check_revoked(cx, tx, &t));
    *ret = t;
    return NULL;
}

struct err *token_revoke(struct ctx *cx, struct tx *tx, const char *kind, const char *subject)
{
    int64_t now = now_us(cx);
    TRY(db_run(cx, tx, &stmt_revocations_prune, V_INT(now)));
    return db_run(cx, tx, &stmt_revoke, V_TEXT(arena_printf(cx->arena, "%s:%s", kind, subject)),
                  V_INT(now), V_INT(now + identity_settings()->token_ttl_s * 1000000));
}

static bool has_role(const struct token *t, const char *role)
{
    for (const char *const *r = t->roles; *r; r++)
        if (str_eq(*r, role))
            return true;
    return false;
}

struct err *identity_authenticate(struct ctx *cx, struct tx *tx, const char *text,
                                  struct actor *ret)
{
    struct token *t = arena_new_of(cx->arena, struct token);
    TRY(token_verify(cx, tx, text, t));
    *ret = (struct actor){.user_id = t->user_id,
                          .user_name = t->user_name,
                          .user_domain_id = t->user_domain_id,
                          .user_domain_name = t->user_domain_name,
                          .project_id = t->project_id,
                          .project_name = t->project_name,
                          .project_domain_id = t->project_domain_id,
                          .project_domain_name = t->project_domain_name,
                          .domain_id = t->domain_id,
                          .domain_name = t->domain_name,
                          .roles = t->roles,
                          .token = text,
                          .admin = has_role(t, "admin"),
                          .member = has_role(t, "member"),
                          .more = t};
    return t->credential_limited ? access_rules_allow(cx, tx, t->credential_id, ret) : NULL;
}

struct err *identity_token_keys(struct ctx *cx, struct tx *tx, struct jw *w)
{
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_keys, NULL, 0, &rows));
    jw_arr(w);
    for (size_t i = 0; i < rows.n_rows; i++) {
        jw_obj(w);
        jw_kstr(w, "id", db_text(&rows, i, 0));
        jw_kstr(w, "public_key",
                base64_encode(cx, db_cell(&rows, i, 1)->s, db_cell(&rows, i, 1)->size));
        jw_obj_end(w);
    }
    jw_arr_end(w);
    return NULL;
}
