/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Hosts on other machines: join tokens, the certificates that they are given for them, and which of
 * those are still good. A certificate is looked up by its fingerprint at each request; that it is
 * not in the table is all that it takes to refuse it (docs/adr/0012-enrolment.md).
 */
#include "fleet/fleet_impl.h"
#include "http/pki.h"

enum { SECRET_BYTES = 32, CERTS_OF_HOST_MAX = 4 };
#define SECOND_US INT64_C(1000000)

static const struct fleet_authority *authority; /* set once, before the first request */

void fleet_set_authority(const struct fleet_authority *a)
{
    authority = a;
}

const struct fleet_authority *fleet_authority_get(void)
{
    return authority;
}

const char *fleet_host_peer(struct ctx *cx, const char *host_id)
{
    return arena_printf(cx->arena, "%s.host.colvert", host_id);
}

/* ---- the operator's side ---- */

static struct err *one_text(struct ctx *cx, struct tx *tx, const struct stmt *st, const char *param,
                            struct db_rows *ret)
{
    struct db_value v = V_TEXT(param);
    return db_query(cx, tx, st, &v, 1, ret);
}

static struct err *find_or_add(struct ctx *cx, struct tx *tx, const char *name, bool again,
                               const char **ret_id)
{
    struct db_rows rows, certs;
    TRY(one_text(cx, tx, &fleet_stmt_host_secret, name, &rows));
    if (!rows.n_rows) {
        *ret_id = uuid_new(cx);
        return db_run(cx, tx, &fleet_stmt_host_add, V_TEXT(*ret_id), V_TEXT(name), V_TEXT(""),
                      V_INT(now_us(cx)));
    }
    *ret_id = db_text(&rows, 0, 0);
    if (*db_text(&rows, 0, 1))
        return fail(cx, ERR_EXISTS,
                    "Host %s is a control plane's own machine: it needs no token. Choose another "
                    "name",
                    name);
    TRY(one_text(cx, tx, &fleet_stmt_certs_of, *ret_id, &certs));
    if (certs.n_rows && !again)
        return fail(cx, ERR_EXISTS,
                    "Host %s has joined already. Choose another name, or, if its machine was "
                    "installed anew, give --again: what it joined with ends when it joins again",
                    name);
    return NULL;
}

struct err *fleet_host_invite(struct ctx *cx, struct tx *tx, const char *name, bool again,
                              int64_t ttl_s, const char **ret_id, char **ret_secret)
{
    uint8_t raw[SECRET_BYTES];
    if (!*name || strlen(name) > 255 || uuid_valid(name))
        return fail(cx, ERR_INVALID, "A host's name has 1 to 255 characters, and is no id");
    TRY(find_or_add(cx, tx, name, again, ret_id));
    rng_bytes(rng_system(), raw, sizeof(raw));
    *ret_secret = base64url_encode(cx, raw, sizeof(raw));
    secret_wipe(raw, sizeof(raw));
    return db_run(cx, tx, &fleet_stmt_join_put, V_TEXT(*ret_id),
                  V_TEXT(sha256_hex(cx, *ret_secret, strlen(*ret_secret))),
                  V_INT(now_us(cx) + ttl_s * SECOND_US));
}

struct err *fleet_host_revoke(struct ctx *cx, struct tx *tx, const char *host_id)
{
    TRY(db_run(cx, tx, &fleet_stmt_join_drop, V_TEXT(host_id)));
    return db_run(cx, tx, &fleet_stmt_certs_end, V_TEXT(host_id));
}

struct err *fleet_members(struct ctx *cx, struct tx *tx, struct fleet_member **ret, size_t *ret_n)
{
    struct db_rows rows;
    TRY(db_query(cx, tx, &fleet_stmt_members, NULL, 0, &rows));
    struct fleet_member *out = arena_new_array(cx->arena, struct fleet_member, rows.n_rows + 1);
    for (size_t i = 0; i < rows.n_rows; i++)
        out[i] = (struct fleet_member){
            .id = db_text(&rows, i, 0),
            .name = db_text(&rows, i, 1),
            .local = *db_text(&rows, i, 2) != 0,
            .last_seen_us = db_int(&rows, i, 3),
            .cert_until_us = db_int(&rows, i, 4),
            .token_until_us = db_int(&rows, i, 5),
            .agent_url = db_text(&rows, i, 6),
            .version = db_text(&rows, i, 7),
            .forced_down = db_int(&rows, i, 8) != 0,
            .lease_until_us = db_int(&rows, i, 9),
        };
    *ret = out;
    *ret_n = rows.n_rows;
    return NULL;
}

/* ---- certificates ---- */

static struct err *give_cert(struct ctx *cx, struct tx *tx, const char *host_id,
                             const char *request, struct pki_cert *ret)
{
    TRY(pki_issue(cx, authority->issuer, authority->issuer_key, request,
                  fleet_host_peer(cx, host_id), authority->cert_ttl_s, ret));
    return db_run(cx, tx, &fleet_stmt_cert_add, V_TEXT(ret->sha256), V_TEXT(host_id),
                  V_INT(ret->not_after_us), V_INT(now_us(cx)));
}

static struct err *check_token(struct ctx *cx, const struct db_rows *rows)
{
    static const char more[] = "ask for another one with `colvert admin host add`";
    if (!rows->n_rows)
        return fail(cx, ERR_UNAUTHENTICATED,
                    "This join token is unknown: a newer one has replaced it, or its host was "
                    "removed; %s",
                    more);
    if (db_int(rows, 0, 3))
        return fail(cx, ERR_CONFLICT, "This join token has been used already; %s", more);
    if (db_int(rows, 0, 2) < now_us(cx))
        return fail(cx, ERR_GONE, "This join token has expired; %s", more);
    return NULL;
}

struct err *fleet_join(struct ctx *cx, struct tx *tx, const char *secret, const char *request,
                       struct fleet_joined *ret)
{
    struct db_rows rows;
    int64_t changes = 0;
    /* What is compared is a digest of 256 random bits: how long that takes tells nothing. */
    TRY(one_text(cx, tx, &fleet_stmt_join_find, sha256_hex(cx, secret, strlen(secret)), &rows));
    TRY(check_token(cx, &rows));
    *ret = (struct fleet_joined){.host_id = db_text(&rows, 0, 0), .name = db_text(&rows, 0, 1)};
    const struct db_value used[] = {V_TEXT(ret->host_id), V_INT(now_us(cx))};
    TRY(db_exec(cx, tx, &fleet_stmt_join_use, used, 2, &changes));
    if (!changes)
        return fail(cx, ERR_STALE, "The join token was used meanwhile");
    TRY(db_run(cx, tx, &fleet_stmt_certs_end, V_TEXT(ret->host_id)));
    return give_cert(cx, tx, ret->host_id, request, &ret->cert);
}

struct err *fleet_renew(struct ctx *cx, struct tx *tx, const char *host_id, const char *request,
                        struct fleet_joined *ret)
{
    struct db_rows certs;
    TRY(db_run(cx, tx, &fleet_stmt_certs_expire, V_TEXT(host_id), V_INT(now_us(cx))));
    TRY(one_text(cx, tx, &fleet_stmt_certs_of, host_id, &certs)); /* the newest first */
    for (size_t i = CERTS_OF_HOST_MAX - 1; i < certs.n_rows; i++)
        TRY(db_run(cx, tx, &fleet_stmt_cert_drop, V_TEXT(db_text(&certs, i, 0))));
    *ret = (struct fleet_joined){.host_id = host_id};
    return give_cert(cx, tx, host_id, request, &ret->cert);
}

struct err *fleet_authenticate_cert(struct ctx *cx, struct tx *tx, const char *sha256,
                                    const char *host, struct actor *ret)
{
    struct db_rows rows;
    if (!*sha256)
        return fail(cx, ERR_UNAUTHENTICATED,
                    "This call is an agent's: it needs the certificate of its host");
    TRY(one_text(cx, tx, &fleet_stmt_cert_find, sha256, &rows));
    if (!rows.n_rows)
        return fail(cx, ERR_UNAUTHENTICATED,
                    "This certificate is not good here: its host was removed or has joined again, "
                    "or it is of another region; see `colvert admin host add`");
    if (db_int(&rows, 0, 2) < now_us(cx))
        return fail(cx, ERR_UNAUTHENTICATED,
                    "This certificate has expired: `colvert admin host add %s --again` gives a "
                    "token to join anew with",
                    db_text(&rows, 0, 1));
    if (!str_eq(host, db_text(&rows, 0, 0)) && !str_eq(host, db_text(&rows, 0, 1)))
        return fail(cx, ERR_FORBIDDEN, "This certificate is host %s's, not %s's",
                    db_text(&rows, 0, 1), host);
    ret->host_id = db_text(&rows, 0, 0);
    return NULL;
}

/* ---- what is open still ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct known {
    const char **texts; /* sorted */
    size_t n;
};

static struct known known_of(struct ctx *cx, const struct db_rows *rows)
{
    struct known k = {arena_new_array(cx->arena, const char *, rows->n_rows + 1), rows->n_rows};
    for (size_t i = 0; i < k.n; i++)
        k.texts[i] = db_text(rows, i, 0);
    qsort(k.texts, k.n, sizeof(*k.texts), by_text);
    return k;
}

static bool is_gone(void *arg, const char *text)
{
    const struct known *k = arg;
    return !k->n || !bsearch(&text, k->texts, k->n, sizeof(*k->texts), by_text);
}

struct err *fleet_cut_gone(struct ctx *cx, struct store *store, struct http_server *s)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_rows certs, hosts;
    struct db_value now = V_INT(now_us(cx));
    TRY(tx_read(cx, store, &tx));
    TRY(db_query(cx, tx, &fleet_stmt_certs_good, &now, 1, &certs));
    TRY(db_query(cx, tx, &fleet_stmt_hosts_good, &now, 1, &hosts));
    struct known good = known_of(cx, &certs), there = known_of(cx, &hosts);
    http_cut(s, is_gone, &good);
    fleet_streams_cut(is_gone, &there);
    return NULL;
}

/* ---- routes ---- */

static struct err *for_hosts(struct call *c)
{
    if (authority && c->rq->peer_sha256)
        return NULL;
    return fail(c->cx, ERR_NOT_FOUND, "Hosts join at the address of hosts_listen");
}

struct err *fleet_get_authority(struct call *c)
{
    TRY(for_hosts(c));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kstr(&w, "authorities", authority->authorities);
    jw_kint(&w, "now_us", now_us(c->cx));
    jw_obj_end(&w);
    return NULL;
}

static void write_joined(struct call *c, const struct fleet_joined *j)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kstr(&w, "host_id", j->host_id);
    if (j->name)
        jw_kstr(&w, "name", j->name);
    jw_kstr(&w, "certificate", j->cert.pem);
    jw_kstr(&w, "authorities", authority->authorities);
    jw_obj_end(&w);
}

struct err *fleet_post_join(struct call *c)
{
    const char *token = json_get_str(c->json, "token"), *request = json_get_str(c->json, "request");
    struct fleet_joined joined;
    TRY(for_hosts(c));
    if (!token || strlen(token) > 128 || !request)
        return fail(c->cx, ERR_INVALID, "To join takes a token and a request for a certificate");
    TRY(fleet_join(c->cx, c->tx, token, request, &joined));
    c->audit_target = joined.host_id;
    write_joined(c, &joined);
    return NULL;
}

struct err *fleet_post_certificate(struct call *c)
{
    const char *request = json_get_str(c->json, "request");
    struct fleet_joined joined;
    TRY(for_hosts(c));
    if (!request)
        return fail(c->cx, ERR_INVALID, "A certificate takes a request for it");
    TRY(fleet_renew(c->cx, c->tx, c->actor->host_id, request, &joined));
    write_joined(c, &joined);
    return NULL;
}
