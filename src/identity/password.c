/* SPDX-License-Identifier: EUPL-1.2 */
/* Passwords: Argon2id at OWASP's cost, history, and locking out after failures. Hashing never
 * happens inside a transaction. */
#include "identity/resources.h"
#include <sodium.h>

const struct stmt stmt_history_add = {
    "password_history_add", "INSERT INTO password_history (user_id, at, hash) VALUES ($1, $2, $3)"};
const struct stmt stmt_history = {
    "password_history",
    "SELECT hash FROM password_history WHERE user_id = $1 ORDER BY at DESC LIMIT $2"};

struct err *password_hash(struct ctx *cx, const char *password, const char **ret_hash)
{
    const struct identity_config *cfg = identity_settings();
    char *hash = arena_alloc(cx->arena, crypto_pwhash_STRBYTES);
    if (strlen(password) > 1024)
        return fail(cx, ERR_INVALID, "A password has at most 1024 bytes");
    if (crypto_pwhash_str_alg(hash, password, strlen(password), cfg->argon2_ops,
                              cfg->argon2_mem_kib * 1024, crypto_pwhash_ALG_ARGON2ID13) != 0)
        return fail(cx, ERR_UNAVAILABLE, "Not enough memory to hash a password: try again");
    *ret_hash = hash;
    return NULL;
}

bool password_matches(const char *hash, const char *password)
{
    return hash && crypto_pwhash_str_verify(hash, password, strlen(password)) == 0;
}

void password_waste_time(void)
{
    const struct identity_config *cfg = identity_settings();
    char hash[crypto_pwhash_STRBYTES];
    int ignored UNUSED =
        crypto_pwhash_str_alg(hash, "nobody", 6, cfg->argon2_ops, cfg->argon2_mem_kib * 1024,
                              crypto_pwhash_ALG_ARGON2ID13);
}

static struct err *refused(struct ctx *cx)
{
    return fail(cx, ERR_UNAUTHENTICATED, "The request you have made requires authentication.");
}

static struct err *domain_of(struct ctx *cx, struct tx *tx, const json_t *user, const char **ret_id)
{
    const json_t *d = json_get(user, "domain");
    const char *id = json_get_str(d, "id"), *name = json_get_str(d, "name");
    struct domain *found = NULL;
    if (id) {
        *ret_id = id;
        return NULL;
    }
    if (!name)
        return fail(
            cx, ERR_INVALID,
            "Expecting to find domain in user. The server could not comply with the request since "
            "it is either malformed or otherwise incorrect. The client is assumed to be in error.");
    TRY(res_first_by(cx, tx, &domains_by_name, (void **)&found, V_TEXT(name)));
    *ret_id = found ? found->id : "";
    return NULL;
}

struct err *password_find_user(struct ctx *cx, struct tx *tx, const json_t *user, struct user **ret)
{
    const char *id = json_get_str(user, "id"), *name = json_get_str(user, "name"), *domain_id = "";
    *ret = NULL;
    if (id)
        return res_get(cx, tx, &user_resource, id, (void **)ret);
    if (!name)
        return fail(
            cx, ERR_INVALID,
            "Expecting to find id or name in user. The server could not comply with the request "
            "since it is either malformed or otherwise incorrect. The client is assumed to be in "
            "error.");
    TRY(domain_of(cx, tx, user, &domain_id));
    return res_first_by(cx, tx, &users_by_name, (void **)ret, V_TEXT(domain_id), V_TEXT(name));
}

int64_t password_expiry(struct ctx *cx, const struct user *u)
{
    int64_t days = identity_settings()->password_expires_days;
    if (!days || user_option(cx, u, "ignore_password_expiry"))
        return 0;
    return now_us(cx) + days * 24 * 3600 * 1000000;
}

/* Counts the failure, or forgets earlier ones; a user gone meanwhile is fine. */
static struct err *record_once(struct ctx *cx, struct store *s, const char *user_id, bool good)
{
    const struct identity_config *cfg = identity_settings();
    AUTO_TXN struct tx *tx = NULL;
    struct user *u = NULL;
    TRY(tx_write(cx, s, &tx));
    TRY(res_get(cx, tx, &user_resource, user_id, (void **)&u));
    if (!u)
        return NULL;
    bool expired = u->locked_until && now_us(cx) >= u->locked_until; /* a new count begins */
    u->failed_logins = good ? 0 : expired ? 1 : u->failed_logins + 1;
    u->locked_until = !good && cfg->lockout_attempts && u->failed_logins >= cfg->lockout_attempts
                          ? now_us(cx) + cfg->lockout_s * 1000000
                          : 0;
    TRY(res_update(cx, tx, &user_resource, u));
    return tx_commit(cx, &tx);
}

/* Log-ins at the same time are all counted. */
static struct err *record_login(struct ctx *cx, struct store *s, const char *user_id, bool good)
{
    unsigned tries = 0;
    struct err *e;
    do
        e = record_once(cx, s, user_id, good);
    while (tx_again(cx, e, &tries));
    return e;
}

static bool is_lockable(struct ctx *cx, const struct user *u)
{
    return identity_settings()->lockout_attempts &&
           !user_option(cx, u, "ignore_lockout_failure_attempts");
}

bool login_locked(struct ctx *cx, const struct user *u)
{
    return is_lockable(cx, u) && u->locked_until && now_us(cx) < u->locked_until;
}

struct err *login_failed(struct ctx *cx, struct store *s, const struct user *u)
{
    if (!is_lockable(cx, u) || login_locked(cx, u))
        return NULL;
    return record_login(cx, s, u->id, false);
}

struct err *login_succeeded(struct ctx *cx, struct store *s, const struct user *u)
{
    return is_lockable(cx, u) && u->failed_logins ? record_login(cx, s, u->id, true) : NULL;
}

static bool has_expired(struct ctx *cx, const struct user *u)
{
    return u->password_expires_at && now_us(cx) >= u->password_expires_at &&
           !user_option(cx, u, "ignore_password_expiry");
}

struct err *password_login(struct ctx *cx, struct store *s, const json_t *user, bool expired_too,
                           struct user **ret)
{
    const char *password = json_get_str(user, "password");
    struct user *u = NULL;
    if (!password)
        return fail(
            cx, ERR_INVALID,
            "Expecting to find password in user. The server could not comply with the request "
            "since "
            "it is either malformed or otherwise incorrect. The client is assumed to be in error.");
    {
        AUTO_TXN struct tx *tx = NULL;
        TRY(tx_read(cx, s, &tx));
        TRY(password_find_user(cx, tx, user, &u));
    }
    if (!u || !u->password_hash) {
        password_waste_time();
        return refused(cx);
    }
    bool good = password_matches(u->password_hash, password);
    if (!good)
        TRY(login_failed(cx, s, u));
    if (!good || login_locked(cx, u) || !u->enabled)
        return refused(cx);
    if (!expired_too && has_expired(cx, u)) /* said to who knows the password only */
        return fail(cx, ERR_UNAUTHENTICATED,
                    "The password is expired and needs to be changed for user: %s.", u->id);
    *ret = u;
    return NULL;
}

struct err *hash_given_password(struct call *c)
{
    const char *password = json_get_str(json_get(c->json, "user"), "password"), *hash;
    if (!password)
        return NULL;
    TRY(password_hash(c->cx, password, &hash));
    c->state = (void *)(uintptr_t)hash;
    return NULL;
}

struct err *password_remember(struct ctx *cx, struct tx *tx, const char *user_id, const char *hash)
{
    return db_run(cx, tx, &stmt_history_add, V_TEXT(user_id), V_INT(now_us(cx)), V_TEXT(hash));
}

static struct err *check_history(struct call *c, const char *user_id, const char *password)
{
    int64_t unique = identity_settings()->unique_last_passwords;
    AUTO_TXN struct tx *tx = NULL;
    struct db_rows rows;
    struct db_value params[] = {V_TEXT(user_id), V_INT(unique)};
    if (!unique)
        return NULL;
    TRY(tx_read(c->cx, c->store, &tx));
    TRY(db_query(c->cx, tx, &stmt_history, params, 2, &rows));
    tx_rollback(&tx);
    for (size_t i = 0; i < rows.n_rows; i++)
        if (password_matches(db_text(&rows, i, 0), password))
            return fail(c->cx, ERR_INVALID,
                        "The new password cannot be identical to a previous password. The total "
                        "number which includes the "
                        "new password must be unique is %" PRId64 ".",
                        unique);
    return NULL;
}

/* Outside the transaction: the old password is compared, the new one hashed. */
struct err *change_own_password_before(struct call *c)
{
    const json_t *body = json_get(c->json, "user");
    const char *password = json_get_str(body, "password"),
               *original = json_get_str(body, "original_password"), *hash;
    struct user *u = NULL;
    if (!password || !original)
        return fail(
            c->cx, ERR_INVALID,
            "Invalid input for field 'user': 'original_password' and 'password' are required");
    json_t *who = json_own(
        c->cx, json_pack("{s:s, s:s}", "id", call_param(c, "user_id"), "password", original));
    TRY(password_login(c->cx, c->store, who, true, &u));
    if (user_option(c->cx, u, "lock_password"))
        return fail(c->cx, ERR_FORBIDDEN,
                    "You cannot change your password at this time due to password policy "
                    "disallowing password changes. Please contact your administrator to reset your "
                    "password.");
    c->actor->user_id = u->id; /* for the audit's event */
    TRY(login_succeeded(c->cx, c->store, u));
    TRY(check_history(c, u->id, password));
    TRY(password_hash(c->cx, password, &hash));
    c->state = (void *)(uintptr_t)hash;
    return NULL;
}

struct err *change_own_password(struct call *c)
{
    struct user *u = NULL;
    TRY(res_find(c->cx, c->tx, &user_resource, call_param(c, "user_id"), (void **)&u));
    u->password_hash = c->state;
    u->password_expires_at = password_expiry(c->cx, u);
    TRY(res_update(c->cx, c->tx, &user_resource, u));
    TRY(password_remember(c->cx, c->tx, u->id, u->password_hash));
    TRY(token_revoke(c->cx, c->tx, "user", u->id));
    call_reply_empty(c, 204);
    return NULL;
}
