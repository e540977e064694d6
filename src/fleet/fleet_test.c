/* SPDX-License-Identifier: EUPL-1.2 */
/* Hosts, the feed and reports, over HTTP on a database in memory, with a kind of item of the test's
 * own. */
#include "fleet/fleet_impl.h"
#include "resource/test_api.h"

static const struct stmt thing_get = {"thing_get",
                                      "SELECT host_id, body FROM things WHERE id = $1"};
static const struct stmt thing_put = {"thing_put",
                                      "INSERT INTO things (id, host_id, body) VALUES ($1, $2, $3)"
                                      " ON CONFLICT (id) DO UPDATE SET body = excluded.body"};
static const struct stmt thing_drop = {"thing_drop", "DELETE FROM things WHERE id = $1"};
static const struct stmt thing_ids = {"thing_ids",
                                      "SELECT id FROM things WHERE host_id = $1 ORDER BY id"};
static const struct stmt thing_seen = {"thing_seen", "UPDATE things SET seen = $2 WHERE id = $1"};
static const struct stmt thing_seen_get = {"thing_seen_get",
                                           "SELECT seen FROM things WHERE id = $1"};

static struct err *view(struct ctx *cx, struct tx *tx, const char *host_id, const char *id,
                        struct jw *w, bool *ret_present)
{
    struct db_value param = V_TEXT(id);
    struct db_rows rows;
    TRY(db_query(cx, tx, &thing_get, &param, 1, &rows));
    if (!rows.n_rows || !str_eq(db_text(&rows, 0, 0), host_id))
        return NULL;
    *ret_present = true;
    jw_raw(w, db_text(&rows, 0, 1));
    return NULL;
}

static struct err *list(struct ctx *cx, struct tx *tx, const char *host_id, struct db_rows *ret_ids)
{
    struct db_value param = V_TEXT(host_id);
    return db_query(cx, tx, &thing_ids, &param, 1, ret_ids);
}

static struct err *report(struct ctx *cx, struct tx *tx, const char *host_id UNUSED, const char *id,
                          const json_t *observed)
{
    if (json_get(observed, "poison"))
        return fail(cx, ERR_INVALID, "poison");
    return db_run(cx, tx, &thing_seen, V_TEXT(id), V_TEXT(json_text(cx, observed)));
}

static const struct fleet_kind thing_kind = {"thing", view, list, report};
static const struct service thing_service = {
    .name = "things",
    .family = &family_node,
    .ddl = "CREATE TABLE things (id TEXT PRIMARY KEY, host_id TEXT, body TEXT, seen TEXT);\n"};

static struct test_api t;
static const char *host, *other;

/* One write: what is put (body NULL: dropped) and touched for the host. */
static void put(const char *host_id, const char *id, const char *body)
{
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    if (body)
        assert_ok(&t.cx, db_run(&t.cx, tx, &thing_put, V_TEXT(id), V_TEXT(host_id), V_TEXT(body)));
    else
        assert_ok(&t.cx, db_run(&t.cx, tx, &thing_drop, V_TEXT(id)));
    assert_ok(&t.cx, fleet_touch(&t.cx, tx, host_id, "thing", id));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
}

static const char *add_host(const char *name, const char *secret)
{
    AUTO_TXN struct tx *tx = NULL;
    const char *id = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, fleet_host_add(&t.cx, tx, name, secret, &id));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
    return id;
}

static int setup(void **state UNUSED)
{
    static const struct service *const services[] = {&engine_service, &fleet_service,
                                                     &thing_service};
    fleet_add_kind(&thing_kind);
    test_api_start(&t, services, ARRAY_LEN(services));
    fleet_on_change(fleet_wake_api, t.api);
    host = add_host("one", "0123456789abcdef");
    other = add_host("two", "fedcba9876543210");
    return 0;
}

static int teardown(void **state UNUSED)
{
    fleet_on_change(NULL, NULL);
    test_api_stop(&t);
    return 0;
}

static const char *at(const char *fmt, ...) PRINTF_LIKE(1, 2);
static const char *at(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *rest = arena_vprintf(t.cx.arena, fmt, ap);
    va_end(ap);
    return arena_printf(t.cx.arena, "/node/v1/hosts/%s%s", host, rest);
}

static struct test_reply items(int64_t since, int wait)
{
    struct test_reply r =
        test_call(&t, "node", "GET", at("/items?since=%" PRId64 "&wait=%d", since, wait), NULL);
    assert_int_equal(r.status, 200);
    return r;
}

static void test_statements(void **state UNUSED)
{
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    for (size_t i = 0; i < fleet_service.n_stmts; i++)
        assert_ok(&t.cx, store_check(&t.cx, tx, fleet_service.stmts[i]));
}

/* An agent that has seen that there is nothing must wait, not ask again and again. */
static void test_empty_feed(void **state UNUSED)
{
    struct test_reply r = items(0, 20); /* at once */
    int64_t revision = json_get_int(r.json, "revision", 0), from = mono_us(&t.cx);
    assert_string_equal(test_str(&t, &r, "full"), "true");
    r = items(revision, 1);
    assert_string_equal(test_str(&t, &r, "full"), "false");
    assert_in_range(mono_us(&t.cx) - from, 900000, 15000000);
}

static void test_feed(void **state UNUSED)
{
    put(host, "a", "{\"v\":1}");
    put(host, "b", "{\"v\":1}");
    put(other, "c", "{\"v\":1}");
    struct test_reply r = items(0, 0);
    assert_string_equal(test_str(&t, &r, "full"), "true");
    assert_int_equal(json_array_size(json_get(r.json, "items")), 2);
    assert_string_equal(test_str(&t, &r, "items[0].id"), "a");
    assert_string_equal(test_str(&t, &r, "items[0].spec"), "{\"v\":1}");
    int64_t revision = json_get_int(r.json, "revision", 0);
    put(host, "a", "{\"v\":2}");
    r = items(revision, 20); /* at once */
    assert_string_equal(test_str(&t, &r, "full"), "false");
    assert_int_equal(json_array_size(json_get(r.json, "items")), 1);
    assert_string_equal(test_str(&t, &r, "items[0].spec"), "{\"v\":2}");
    revision = json_get_int(r.json, "revision", 0);
    put(host, "b", NULL);
    r = items(revision, 0);
    assert_string_equal(test_str(&t, &r, "items[0].deleted"), "true");
    r = items(revision + 1000, 0); /* a restored database */
    assert_string_equal(test_str(&t, &r, "full"), "true");
    assert_int_equal(json_array_size(json_get(r.json, "items")), 2);
}

struct late {
    pthread_t thread;
    const char *id;
};

static void *put_late(void *arg)
{
    struct late *l = arg;
    struct timespec ts = {.tv_nsec = 200000000};
    nanosleep(&ts, NULL);
    struct ctx cx;
    ctx_init(&cx);
    struct tx *tx = NULL;
    must(!tx_write(&cx, t.store, &tx) && !fleet_touch(&cx, tx, host, "thing", l->id) &&
         !tx_commit(&cx, &tx));
    ctx_release(&cx);
    return NULL;
}

static void test_long_poll(void **state UNUSED)
{
    struct test_reply r = items(0, 0);
    int64_t revision = json_get_int(r.json, "revision", 0), from = mono_us(&t.cx);
    r = items(revision, 1);
    assert_int_equal(json_array_size(json_get(r.json, "items")), 0);
    assert_in_range(mono_us(&t.cx) - from, 900000, 15000000);
    struct late l = {.id = "late"};
    from = mono_us(&t.cx);
    pthread_create(&l.thread, NULL, put_late, &l);
    r = items(revision, 20);
    pthread_join(l.thread, NULL);
    assert_int_equal(json_array_size(json_get(r.json, "items")), 1);
    assert_in_range(mono_us(&t.cx) - from, 100000, 15000000);
    r = test_call(&t, "node", "GET", at("/items?since=x"), NULL);
    assert_int_equal(r.status, 400);
}

static const char *seen(const char *id)
{
    AUTO_TXN struct tx *tx = NULL;
    struct db_value param = V_TEXT(id);
    struct db_rows rows;
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, db_query(&t.cx, tx, &thing_seen_get, &param, 1, &rows));
    return rows.n_rows ? db_text(&rows, 0, 0) : NULL;
}

static void test_reports(void **state UNUSED)
{
    put(host, "r", "{}");
    struct test_reply r =
        test_call(&t, "node", "POST", at("/reports"),
                  "{'reports':[{'kind':'thing','id':'r','observed':{'power':'on'}},"
                  "{'kind':'thing','id':'c','observed':{'power':'on'}}]}");
    assert_int_equal(r.status, 200);
    assert_string_equal(test_str(&t, &r, "stale"),
                        "[{\"id\":\"c\",\"kind\":\"thing\"}]"); /* the other host's */
    assert_string_equal(seen("r"), "{\"power\":\"on\"}");
    assert_null(seen("c"));
    const struct {
        int64_t at;
        const char *power, *kept;
    } late[] = {{5000000, "a", "a"}, {4000000, "b", "a"}, {5000000, "c", "a"}, {6000000, "d", "d"}};
    for (size_t i = 0; i < ARRAY_LEN(late); i++) {
        test_call(&t, "node", "POST", at("/reports"),
                  "{'reports':[{'kind':'thing','id':'r','at':%" PRId64
                  ",'observed':{'power':'%s'}}]}",
                  late[i].at, late[i].power);
        assert_string_equal(seen("r"),
                            arena_printf(t.cx.arena, "{\"power\":\"%s\"}", late[i].kept));
    }
    const char *bad[] = {"{}", "[]", "{'reports':[{'kind':'nothing','id':'r','observed':{}}]}",
                         "{'reports':[{'kind':'thing','id':'r'}]}",
                         ("{'reports':[{'kind':'thing','id':'r','observed':{'power':'off'}},"
                          "{'kind':'thing','id':'r','observed':{'poison':1}}]}")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        r = test_call(&t, "node", "POST", at("/reports"), "%s", bad[i]);
        assert_int_equal(r.status, 400);
    }
    assert_string_equal(seen("r"), "{\"power\":\"d\"}"); /* all of a batch or nothing */
}

/* A deleted item stays in the feed until its agent says that it is gone. */
static void test_absent(void **state UNUSED)
{
    put(host, "d", "{}");
    const char *absent = "{'reports':[{'kind':'thing','id':'d','observed':{'power':'absent'}}]}";
    struct test_reply r = test_call(&t, "node", "POST", at("/reports"), "%s", absent);
    r = items(0, 0);
    assert_non_null(strstr(r.text, "\"id\":\"d\"")); /* wanted: absent is only where it is now */
    put(host, "d", NULL);
    r = items(0, 0);
    assert_non_null(strstr(r.text, "\"id\":\"d\""));
    for (int twice = 0; twice < 2; twice++) {
        r = test_call(&t, "node", "POST", at("/reports"), "%s", absent);
        assert_int_equal(r.status, 200);
        r = items(0, 0);
        assert_null(strstr(r.text, "\"id\":\"d\""));
    }
}

static void test_hosts(void **state UNUSED)
{
    AUTO_TXN struct tx *tx = NULL;
    struct fleet_host *hosts, one;
    size_t n;
    struct test_reply r = test_call(
        &t, "node", "PUT", at("%s", ""),
        "{'hostname':'one','vcpus':4,'memory_mib':1024,'disk_gib':10,'hypervisor_type':'QEMU',"
        "'hypervisor_version':7002000,'cpu_info':'{}','agent_url':'http://"
        "127.0.0.1:1','version':'1'}");
    assert_int_equal(r.status, 200);
    assert_string_equal(test_str(&t, &r, "heartbeat_s"), "10");
    r = test_call(&t, "node", "PUT", at("%s", ""), "{'vcpus':-1}");
    assert_int_equal(r.status, 400);
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, fleet_host_set_enabled(&t.cx, tx, other, false, "broken"));
    assert_ok(&t.cx, fleet_hosts(&t.cx, tx, &hosts, &n));
    assert_int_equal(n, 2);
    assert_string_equal(hosts[0].name, "one");
    assert_true(hosts[0].alive && hosts[0].enabled);
    assert_int_equal(hosts[0].vcpus, 4);
    assert_false(hosts[1].alive || hosts[1].enabled);
    assert_string_equal(hosts[1].disabled_reason, "broken");
    assert_ok(&t.cx, fleet_host_get(&t.cx, tx, host, &one));
    assert_string_equal(one.agent_url, "http://127.0.0.1:1");
    assert_err(&t.cx, ERR_NOT_FOUND, fleet_host_get(&t.cx, tx, "nobody", &one));
    assert_err(&t.cx, ERR_NOT_FOUND, fleet_touch(&t.cx, tx, "nobody", "thing", "x"));
    struct buf body;
    int status;
    buf_init(&body, t.cx.arena);
    assert_ok(&t.cx, fleet_touch_all(&t.cx, tx, "thing", "everywhere"));
    tx_rollback(&tx);
    assert_err(&t.cx, ERR_UNAVAILABLE,
               fleet_call(&t.cx, &one, "/x", &body, &status)); /* nobody listens */
    assert_err(&t.cx, ERR_UNAVAILABLE, fleet_call(&t.cx, &hosts[1], "/x", &body, &status));
}

static void beat(struct fleet_host *ret)
{
    AUTO_TXN struct tx *tx = NULL;
    struct test_reply r =
        test_call(&t, "node", "PUT", at("%s", ""), "{'vcpus':4,'memory_mib':1024,'disk_gib':10}");
    assert_int_equal(r.status, 200);
    assert_string_equal(test_str(&t, &r, "lease_s"), "25");
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, fleet_host_get(&t.cx, tx, host, ret));
}

static void force_down(bool down)
{
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, fleet_host_force_down(&t.cx, tx, host, down));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
}

static void test_lease(void **state UNUSED)
{
    struct fleet_host a, b;
    int64_t from = now_us(&t.cx);
    beat(&a);
    assert_in_range(a.lease_until_us - from, INT64_C(35000000), INT64_C(60000000));
    assert_false(fleet_host_silent(&t.cx, &a));
    beat(&b);
    assert_true(b.lease_until_us > a.lease_until_us && b.leased_since_us == a.leased_since_us);
    force_down(true);
    struct test_reply r =
        test_call(&t, "node", "PUT", at("%s", ""), "{'vcpus':4,'memory_mib':1024,'disk_gib':10}");
    assert_string_equal(test_str(&t, &r, "lease_s"), "0");
    force_down(false);
    beat(&a);
}

static void test_secrets(void **state UNUSED)
{
    AUTO_TXN struct tx *tx = NULL;
    struct actor actor = {0};
    const char *id = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, fleet_authenticate(&t.cx, tx, "0123456789abcdef", host, &actor));
    assert_string_equal(actor.host_id, host);
    assert_ok(&t.cx, fleet_authenticate(&t.cx, tx, "0123456789abcdef", "one", &actor));
    assert_err(&t.cx, ERR_UNAUTHENTICATED,
               fleet_authenticate(&t.cx, tx, "0123456789abcdeF", host, &actor));
    assert_err(&t.cx, ERR_UNAUTHENTICATED,
               fleet_authenticate(&t.cx, tx, "0123456789abcdef", other, &actor));
    assert_err(&t.cx, ERR_UNAUTHENTICATED,
               fleet_authenticate(&t.cx, tx, "0123456789abcdef", "three", &actor));
    assert_err(&t.cx, ERR_INVALID, fleet_host_add(&t.cx, tx, "three", "short", &id));
    assert_ok(&t.cx, fleet_host_add(&t.cx, tx, "one", "another secret!!",
                                    &id)); /* found, with a new secret */
    assert_string_equal(id, host);
    assert_err(&t.cx, ERR_UNAUTHENTICATED,
               fleet_authenticate(&t.cx, tx, "0123456789abcdef", host, &actor));
    assert_ok(&t.cx, fleet_authenticate(&t.cx, tx, "another secret!!", host, &actor));
}

static void test_strangers(void **state UNUSED)
{
    struct test_reply r = test_call(&t, NULL, "GET", at("/items"), NULL);
    assert_int_equal(r.status, 401);
    r = test_call(&t, "admin", "GET", at("/items"), NULL);
    assert_int_equal(r.status, 401);
    r = test_call(&t, "node", "GET", at("/images/11111111-2222-4333-8444-555555555555/file"), NULL);
    assert_int_equal(r.status, 404);
}

#define S INT64_C(1000000)

static void who_counts_as_alive(void **state UNUSED)
{
    const struct store_absence never = {0}, now = {100 * S, 0}, over = {100 * S, 200 * S};
    assert_true(fleet_heard(70 * S + 1, 100 * S, never));
    assert_false(fleet_heard(70 * S, 100 * S, never));
    /* As long as nobody can be heard, and for a moment after that, as it was before. */
    assert_true(fleet_heard(90 * S, 1000 * S, now));
    assert_true(fleet_heard(90 * S, 239 * S, over));
    assert_false(fleet_heard(90 * S, 240 * S, over));
    assert_false(fleet_heard(40 * S, 200 * S, over)); /* was away before */
    assert_true(fleet_heard(201 * S, 230 * S, over));
    assert_false(fleet_heard(201 * S, 231 * S, over));
}

static bool lost_since(int64_t told_us)
{
    AUTO_TXN struct tx *tx = NULL;
    bool lost;
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, fleet_host_lost(&t.cx, tx, host, told_us, &lost));
    return lost;
}

static void listen_for(int64_t seconds)
{
    for (; seconds > 0; seconds -= 20) {
        test_api_later(&t, 20);
        fleet_listens(&t.cx, t.store);
    }
}

/* Silence counts for as long as somebody listens. */
static void who_counts_as_lost(void **state UNUSED)
{
    struct fleet_host h;
    beat(&h);
    int64_t told_us = now_us(&t.cx);
    listen_for(280);
    assert_false(lost_since(told_us));
    listen_for(40);
    assert_true(lost_since(told_us));
    assert_false(lost_since(told_us + 60 * S)); /* told later */
    test_api_later(&t, 40);                     /* nobody listened */
    assert_false(lost_since(told_us));
    fleet_listens(&t.cx, t.store);
    assert_false(lost_since(told_us));
    listen_for(40);
    assert_false(lost_since(told_us));
    listen_for(20);
    assert_true(lost_since(told_us));
    beat(&h);
    assert_false(lost_since(told_us));

    AUTO_TXN struct tx *tx = NULL;
    bool lost;
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, fleet_host_lost(&t.cx, tx, "nobody", told_us, &lost));
    assert_true(lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements),     cmocka_unit_test(test_empty_feed),
        cmocka_unit_test(test_feed),           cmocka_unit_test(test_long_poll),
        cmocka_unit_test(test_reports),        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_hosts),          cmocka_unit_test(test_lease),
        cmocka_unit_test(test_secrets),        cmocka_unit_test(test_strangers),
        cmocka_unit_test(who_counts_as_alive), cmocka_unit_test(who_counts_as_lost),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
