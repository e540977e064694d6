/* SPDX-License-Identifier: EUPL-1.2 */
/* Join tokens and certificates: how long they are good, for whom, and what ends them. */
#include "fleet/fleet_impl.h"
#include "resource/test_api.h"

#define DAY_S 86400
#define CERT_TTL_S ((int64_t)30 * DAY_S)

static struct test_api t;
static struct fleet_authority authority;
static const char *request;

static int setup(void **state UNUSED)
{
    static const struct service *const services[] = {&engine_service, &fleet_service};
    const char *key, *own;
    struct pki_cert ca;
    test_api_start(&t, services, ARRAY_LEN(services));
    assert_ok(&t.cx, pki_key_new(&t.cx, &key));
    assert_ok(&t.cx, pki_ca_new(&t.cx, key, "Colvert", 3650 * (int64_t)DAY_S, &ca));
    authority = (struct fleet_authority){
        .authorities = ca.pem, .issuer = ca.pem, .issuer_key = key, .cert_ttl_s = CERT_TTL_S};
    fleet_set_authority(&authority);
    assert_ok(&t.cx, pki_key_new(&t.cx, &own));
    assert_ok(&t.cx, pki_request_new(&t.cx, own, &request));
    return 0;
}

static int teardown(void **state UNUSED)
{
    fleet_set_authority(NULL);
    test_api_stop(&t);
    return 0;
}

/* Each in a transaction of its own. */
static struct err *invite(const char *name, bool again, int64_t ttl_s, const char **ret_id,
                          char **ret_secret)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(&t.cx, t.store, &tx));
    TRY(fleet_host_invite(&t.cx, tx, name, again, ttl_s, ret_id, ret_secret));
    return tx_commit(&t.cx, &tx);
}

static struct err *join(const char *secret, struct fleet_joined *ret)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(&t.cx, t.store, &tx));
    TRY(fleet_join(&t.cx, tx, secret, request, ret));
    return tx_commit(&t.cx, &tx);
}

static struct err *renew(const char *host_id, struct fleet_joined *ret)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(&t.cx, t.store, &tx));
    TRY(fleet_renew(&t.cx, tx, host_id, request, ret));
    return tx_commit(&t.cx, &tx);
}

static struct err *enter(const struct pki_cert *cert, const char *host)
{
    AUTO_TXN struct tx *tx = NULL;
    struct actor actor = {0};
    TRY(tx_read(&t.cx, t.store, &tx));
    TRY(fleet_authenticate_cert(&t.cx, tx, cert->sha256, host, &actor));
    assert_non_null(actor.host_id);
    return NULL;
}

static void remove_host(const char *id)
{
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, fleet_host_remove(&t.cx, tx, id));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
}

static void revoke_host(const char *id)
{
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, fleet_host_revoke(&t.cx, tx, id));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
}

static void test_token(void **state UNUSED)
{
    const char *id, *same;
    char *first, *second;
    struct fleet_joined j;
    assert_ok(&t.cx, invite("one", false, 3600, &id, &first));
    assert_int_equal(strlen(first), 43); /* 256 bits */
    assert_ok(&t.cx, invite("one", false, 3600, &same, &second));
    assert_string_equal(id, same);
    assert_string_not_equal(first, second);
    assert_err(&t.cx, ERR_UNAUTHENTICATED, join(first, &j)); /* replaced */
    assert_err(&t.cx, ERR_UNAUTHENTICATED, join("", &j));
    assert_ok(&t.cx, join(second, &j));
    assert_string_equal(j.host_id, id);
    assert_string_equal(j.name, "one");
    assert_err(&t.cx, ERR_CONFLICT, join(second, &j));
    assert_err(&t.cx, ERR_EXISTS, invite("one", false, 3600, &same, &first));
    assert_err(&t.cx, ERR_INVALID, invite("", false, 3600, &same, &first));
    assert_err(&t.cx, ERR_INVALID, invite(id, false, 3600, &same, &first)); /* a name like an id */
}

static void test_token_expires(void **state UNUSED)
{
    const char *id;
    char *secret;
    struct fleet_joined j;
    assert_ok(&t.cx, invite("late", false, 60, &id, &secret));
    test_api_later(&t, 61);
    assert_err(&t.cx, ERR_GONE, join(secret, &j));
    assert_ok(&t.cx, invite("late", false, 60, &id, &secret));
    assert_ok(&t.cx, join(secret, &j));
}

/* A request that is refused leaves the token good. */
static void test_bad_request(void **state UNUSED)
{
    const char *id, *good = request;
    char *secret;
    struct fleet_joined j;
    assert_ok(&t.cx, invite("clumsy", false, 60, &id, &secret));
    request = "nothing";
    assert_err(&t.cx, ERR_INVALID, join(secret, &j));
    request = good;
    assert_ok(&t.cx, join(secret, &j));
}

static void test_certificates(void **state UNUSED)
{
    const char *id, *other_id;
    char *secret, *other;
    struct fleet_joined first, second, far;
    assert_ok(&t.cx, invite("a", false, 60, &id, &secret));
    assert_ok(&t.cx, join(secret, &first));
    assert_ok(&t.cx, invite("b", false, 60, &other_id, &other));
    assert_ok(&t.cx, join(other, &far));
    assert_ok(&t.cx, enter(&first.cert, id));
    assert_ok(&t.cx, enter(&first.cert, "a"));
    assert_err(&t.cx, ERR_FORBIDDEN, enter(&first.cert, "b"));
    assert_err(&t.cx, ERR_FORBIDDEN, enter(&first.cert, other_id));
    assert_err(&t.cx, ERR_UNAUTHENTICATED, enter(&(struct pki_cert){.sha256 = ""}, id));
    assert_err(&t.cx, ERR_UNAUTHENTICATED, enter(&(struct pki_cert){.sha256 = "00"}, id));
    /* The older one is good beside the newer one, until its own end. */
    test_api_later(&t, CERT_TTL_S * 2 / 3);
    assert_ok(&t.cx, renew(id, &second));
    assert_ok(&t.cx, enter(&first.cert, id));
    assert_ok(&t.cx, enter(&second.cert, id));
    test_api_later(&t, CERT_TTL_S / 3 + 1);
    assert_err(&t.cx, ERR_UNAUTHENTICATED, enter(&first.cert, id));
    assert_ok(&t.cx, enter(&second.cert, id));
    /* Joining again ends what was before. */
    assert_ok(&t.cx, invite("a", true, 60, &id, &secret));
    assert_ok(&t.cx, enter(&second.cert, id));
    assert_ok(&t.cx, join(secret, &first));
    assert_err(&t.cx, ERR_UNAUTHENTICATED, enter(&second.cert, id));
    assert_ok(&t.cx, enter(&first.cert, id));
    revoke_host(id);
    assert_err(&t.cx, ERR_UNAUTHENTICATED, enter(&first.cert, id));
    assert_ok(&t.cx, invite("a", false, 60, &id, &secret));
    revoke_host(id);
    assert_err(&t.cx, ERR_UNAUTHENTICATED, join(secret, &first));
    assert_ok(&t.cx, invite("a", false, 60, &id, &secret));
    assert_ok(&t.cx, join(secret, &first));
    assert_ok(&t.cx, enter(&first.cert, id));
    remove_host(id);
    assert_err(&t.cx, ERR_UNAUTHENTICATED, enter(&first.cert, id));
}

/* A host that renews without end has a few. */
static void test_bounded(void **state UNUSED)
{
    const char *id;
    char *secret;
    struct fleet_joined first, last = {0};
    assert_ok(&t.cx, invite("eager", false, 60, &id, &secret));
    assert_ok(&t.cx, join(secret, &first));
    for (int i = 0; i < 6; i++) {
        test_api_later(&t, 1);
        assert_ok(&t.cx, renew(id, &last));
    }
    assert_err(&t.cx, ERR_UNAUTHENTICATED, enter(&first.cert, id));
    assert_ok(&t.cx, enter(&last.cert, id));
}

/* The control plane's own machine has a secret; an enrolled host has none that could be guessed. */
static void test_secrets(void **state UNUSED)
{
    const char *id, *local;
    char *secret;
    struct actor actor;
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t.cx, invite("far", false, 60, &id, &secret));
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, fleet_host_add(&t.cx, tx, "local", "0123456789abcdef", &local));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
    assert_err(&t.cx, ERR_EXISTS, invite("local", true, 60, &local, &secret));
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_err(&t.cx, ERR_UNAUTHENTICATED, fleet_authenticate(&t.cx, tx, "", "far", &actor));
    assert_ok(&t.cx, fleet_authenticate(&t.cx, tx, "0123456789abcdef", "local", &actor));
}

int main(void)
{
#define EACH(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {EACH(test_token),       EACH(test_token_expires),
                                       EACH(test_bad_request), EACH(test_certificates),
                                       EACH(test_bounded),     EACH(test_secrets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
