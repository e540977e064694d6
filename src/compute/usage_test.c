/* SPDX-License-Identifier: EUPL-1.2 */
/* What servers used is recorded exactly once, outlives them, and is summed as asked; so are their
 * moves, and the passwords that guests hand over. */
#include "compute/test_fakes.h"

#define V "/compute/v2.1"
static struct compute_world w;
#define T (&w.t)
#define path(...) world_path(&w, __VA_ARGS__)
#define version(minor) world_version(&w, minor)

static int setup(void **state UNUSED)
{
    world_start(&w, 2, 4096);
    return 0;
}

static int teardown(void **state UNUSED)
{
    world_stop(&w);
    return 0;
}

static void delete_server(const char *id)
{
    const char *host = world_host_of(&w, id);
    test_expect(T, 204, "p1", "DELETE", path(V "/servers/%s", id), NULL);
    world_report(&w, host, id, "{'power':'absent'}");
}

/* A row's column as text. */
static struct server *stored(struct tx *tx, const char *id)
{
    void *row = NULL;
    assert_ok(&T->cx, res_find(&T->cx, tx, &server_resource, id, &row));
    return row;
}

/* As if it had been running for these hours. */
static void begin_earlier(const char *id, int hours)
{
    static const struct stmt earlier = {
        "earlier", "UPDATE server_usages SET started_at = started_at - $1 WHERE server_id = $2"};
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&T->cx, tx_write(&T->cx, T->store, &tx));
    assert_ok(&T->cx, db_run(&T->cx, tx, &earlier, V_INT(hours * 3600000000LL), V_TEXT(id)));
    assert_ok(&T->cx, tx_commit(&T->cx, &tx));
}

static double number(const struct test_reply *r, const char *where)
{
    return json_number_value(test_at(r, where));
}

#define USAGE V "/os-simple-tenant-usage"
#define LONG_AGO "start=2020-01-01T00:00:00&end=2099-01-01T00:00:00"

static void use_begins_with_the_first_run_and_outlives_the_server(void **state UNUSED)
{
    const char *id = world_server(&w, "p1");
    assert_int_equal(world_count(&w, "SELECT 1 FROM server_usages"), 0);
    const char *run = "{'power':'on','boot_seq':1,'reset_seq':0,'build_seq':1}";
    world_report(&w, world_host_of(&w, id), id, "%s", run);
    world_report(&w, world_host_of(&w, id), id, "%s", run);
    begin_earlier(id, 10);
    struct test_reply r = test_expect(T, 200, "p1", "GET", USAGE "/p1?" LONG_AGO, NULL);
    assert_string_equal(test_str(T, &r, "tenant_usage.server_usages[0].state"), "active");
    assert_string_equal(test_str(T, &r, "tenant_usage.server_usages[0].ended_at"), "null");
    assert_float_equal((float)number(&r, "tenant_usage.total_hours"), 10, 0.01);
    assert_float_equal((float)number(&r, "tenant_usage.total_memory_mb_usage"), 1280, 1);
    delete_server(id);
    r = test_expect(T, 200, "p1", "GET", USAGE "/p1?" LONG_AGO, NULL);
    assert_string_equal(test_str(T, &r, "tenant_usage.server_usages[0].state"), "terminated");
    assert_string_equal(test_str(T, &r, "tenant_usage.server_usages[0].instance_id"), id);
    assert_int_equal(world_count(&w, "SELECT 1 FROM server_usages WHERE ended_at IS NULL"), 0);
    assert_int_equal(json_array_size(test_at(&r, "tenant_usage.server_usages")), 1);
    r = test_expect(T, 200, "p1", "GET",
                    USAGE "/p1?start=2020-01-01T00:00:00&end=2020-02-01T00:00:00.5", NULL);
    assert_int_equal(json_object_size(test_at(&r, "tenant_usage")), 0);
}

static void another_size_is_another_entry(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    begin_earlier(id, 4);
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&T->cx, tx_write(&T->cx, T->store, &tx));
    struct server *s = stored(tx, id);
    s->memory_mib = 512;
    s->flavor_name = "m1.small";
    assert_ok(&T->cx, usage_change(&T->cx, tx, s));
    assert_ok(&T->cx, tx_commit(&T->cx, &tx));
    begin_earlier(id, 1);
    struct test_reply r = test_expect(T, 200, "p1", "GET", USAGE "/p1?" LONG_AGO, NULL);
    assert_string_equal(test_str(T, &r, "tenant_usage.server_usages[0].state"), "resized");
    assert_string_equal(test_str(T, &r, "tenant_usage.server_usages[1].flavor"), "m1.small");
    assert_string_equal(test_str(T, &r, "tenant_usage.server_usages[1].state"), "active");
    assert_float_equal((float)number(&r, "tenant_usage.total_memory_mb_usage"), 5 * 128 + 512, 2);
}

static void everybodys_use_is_the_administrators_to_see(void **state UNUSED)
{
    world_running(&w, "p1");
    world_running(&w, "p2");
    test_expect(T, 403, "p1", "GET", USAGE "?" LONG_AGO, NULL);
    test_expect(T, 403, "p1", "GET", USAGE "/p2?" LONG_AGO, NULL);
    struct test_reply r = test_expect(T, 200, "admin", "GET", USAGE "?detailed=1&" LONG_AGO, NULL);
    assert_int_equal(json_array_size(test_at(&r, "tenant_usages")), 2);
    assert_int_equal(json_object_size(test_at(&r, "tenant_usages[0]")), 8);
    r = test_expect(T, 200, "admin", "GET", USAGE "?" LONG_AGO, NULL);
    assert_null(test_at(&r, "tenant_usages[1].server_usages"));
    test_expect(T, 400, "admin", "GET", USAGE "?start=2026-02-01T00:00:00&end=2026-01-01T00:00:00",
                NULL);
    test_expect(T, 400, "admin", "GET", USAGE "?start=yesterday", NULL);
}

static void use_is_paged_by_servers(void **state UNUSED)
{
    const char *seen[3];
    for (int i = 0; i < 3; i++)
        world_running(&w, i < 2 ? "p1" : "p2");
    version("40");
    struct test_reply r =
        test_expect(T, 200, "admin", "GET", USAGE "?detailed=1&limit=1&" LONG_AGO, NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(json_array_size(test_at(&r, "tenant_usages")), 1);
        assert_int_equal(json_array_size(test_at(&r, "tenant_usages[0].server_usages")), 1);
        seen[i] = test_str(T, &r, "tenant_usages[0].server_usages[0].instance_id");
        for (int k = 0; k < i; k++)
            assert_string_not_equal(seen[i], seen[k]);
        const char *next = test_str(T, &r, "tenant_usages_links[0].href");
        assert_int_equal(next != NULL, i < 2);
        if (next)
            r = test_expect(T, 200, "admin", "GET", strstr(next, V), NULL);
    }
    test_expect(T, 400, "admin", "GET", USAGE "?marker=nobody&" LONG_AGO, NULL);
    version(NULL);
}

static void the_audit_log_counts_servers_by_host(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    begin_earlier(id, 24 * 70);
    test_expect(T, 403, "p1", "GET", V "/os-instance_usage_audit_log", NULL);
    struct test_reply r =
        test_expect(T, 200, "admin", "GET", V "/os-instance_usage_audit_log", NULL);
    assert_string_equal(test_str(T, &r, "instance_usage_audit_logs.num_hosts"), "2");
    assert_string_equal(test_str(T, &r, "instance_usage_audit_logs.total_instances"), "1");
    r = test_expect(T, 200, "admin", "GET", V "/os-instance_usage_audit_log/2020-01-31%2010:00:00",
                    NULL);
    assert_string_equal(test_str(T, &r, "instance_usage_audit_log.period_beginning"),
                        "2019-12-01 00:00:00");
    assert_string_equal(test_str(T, &r, "instance_usage_audit_log.period_ending"),
                        "2020-01-01 00:00:00");
    assert_string_equal(test_str(T, &r, "instance_usage_audit_log.total_instances"), "0");
    test_expect(T, 400, "admin", "GET", V "/os-instance_usage_audit_log/invalid_time", NULL);
}

/* ---------------------------------------------------------------- moves */

static struct err *resize_recorded(struct call *c)
{
    struct migration_plan plan = {.type =
                                      str_eq(c->rq->method, "PUT") ? "live-migration" : "resize",
                                  .status = "running",
                                  .dest_host_id = w.host_id[1],
                                  .new_flavor_id = "2"};
    call_reply_empty(c, 202);
    return migration_record(c, c->target, &plan);
}

/* What moves servers is tested where it is; here a route of its own records moves. */
static const struct route moves[] = {ROUTE(POST, "/compute/v2.1/moved/{server_id}", resize_recorded,
                                           "test", .rule = RULE_ADMIN, .target = &server_resource),
                                     ROUTE(PUT, "/compute/v2.1/moved/{server_id}", resize_recorded,
                                           "test", .rule = RULE_ADMIN, .target = &server_resource)};
const struct service moves_service = {
    .name = "moves", .family = &family_compute, SERVICE_LIST(routes, moves)};

static int setup_moves(void **state UNUSED)
{
    world_start_with(&w, 2, 4096, &moves_service);
    return 0;
}

static void moves_are_listed(void **state UNUSED)
{
    const char *a = world_running(&w, "p1"), *b = world_running(&w, "p1");
    test_expect(T, 202, "admin", "POST", path(V "/moved/%s", a), NULL);
    test_expect(T, 202, "admin", "PUT", path(V "/moved/%s", b), NULL);
    test_expect(T, 403, "p1", "GET", V "/os-migrations", NULL);
    struct test_reply r = test_expect(T, 200, "admin", "GET", V "/os-migrations", NULL);
    assert_int_equal(json_array_size(test_at(&r, "migrations")), 2);
    assert_int_equal(json_object_size(test_at(&r, "migrations[0]")), 12);
    assert_string_equal(test_str(T, &r, "migrations[0].instance_uuid"), b);
    assert_string_equal(test_str(T, &r, "migrations[0].dest_compute"), "h1");
    assert_string_equal(test_str(T, &r, "migrations[0].new_instance_type_id"), "2");
    version("80");
    r = test_expect(T, 200, "admin", "GET", V "/os-migrations?limit=1", NULL);
    assert_non_null(test_str(T, &r, "migrations_links[0].href"));
    assert_non_null(test_str(T, &r, "migrations[0].links[0].href"));
    assert_string_equal(test_str(T, &r, "migrations[0].project_id"), "admin-project");
    r = test_expect(T, 200, "admin", "GET",
                    path(V "/os-migrations?marker=%s", test_str(T, &r, "migrations[0].uuid")),
                    NULL);
    assert_string_equal(test_str(T, &r, "migrations[0].instance_uuid"), a);
    assert_null(test_at(&r, "migrations[0].links"));
    r = test_expect(T, 200, "admin", "GET",
                    path(V "/os-migrations?migration_type=resize&host=h1&instance_uuid=%s", a),
                    NULL);
    assert_int_equal(json_array_size(test_at(&r, "migrations")), 1);
    r = test_expect(T, 200, "admin", "GET", V "/os-migrations?changes-before=2020-01-01", NULL);
    assert_int_equal(json_array_size(test_at(&r, "migrations")), 0);
    test_expect(T, 400, "admin", "GET",
                V "/os-migrations?changes-since=2026-01-01&changes-before=2025-01-01", NULL);
    r = test_expect(T, 200, "admin", "GET", path(V "/servers/%s/migrations", b), NULL);
    assert_string_equal(test_str(T, &r, "migrations[0].status"), "running");
    const char *id = test_str(T, &r, "migrations[0].id");
    test_expect(T, 200, "admin", "GET", path(V "/servers/%s/migrations/%s", b, id), NULL);
    test_expect(T, 404, "admin", "GET", path(V "/servers/%s/migrations/1", a), NULL);
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&T->cx, tx_write(&T->cx, T->store, &tx));
    assert_ok(&T->cx, migration_status(&T->cx, tx, b, "completed"));
    assert_ok(&T->cx, tx_commit(&T->cx, &tx));
    test_expect(T, 404, "admin", "GET", path(V "/servers/%s/migrations/%s", b, id), NULL);
    r = test_expect(T, 200, "admin", "GET", path(V "/servers/%s/migrations", b), NULL);
    assert_int_equal(json_array_size(test_at(&r, "migrations")), 0);
    version(NULL);
}

/* No server here moves while it runs. */
static void no_move_is_ended_half_way(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *one = path(V "/servers/%s/migrations/1", id);
    const char *act = path("%s/action", one);
    test_expect(T, 404, "admin", "DELETE", one, NULL); /* not known before 2.24 */
    version("24");
    test_expect(T, 403, "p1", "DELETE", one, NULL);
    struct test_reply r = test_expect(T, 409, "admin", "DELETE", one, NULL);
    assert_non_null(strstr(r.text, "Cannot 'abort live migration' instance"));
    test_expect(T, 403, "p1", "POST", act, "{'force_complete':null}");
    r = test_expect(T, 409, "admin", "POST", act, "{'force_complete':null}");
    assert_non_null(strstr(r.text, "Cannot 'force_complete' instance"));
    test_expect(T, 400, "admin", "POST", act, "{'force_complete':1}");
    test_expect(T, 400, "admin", "POST", act, "{'pause':null}");
    test_expect(T, 400, "admin", "POST", act, "{}");
    test_expect(T, 404, "admin", "DELETE",
                V "/servers/dddddddd-0000-4000-8000-00000000000d/migrations/1", NULL);
    version(NULL);
}

/* ---------------------------------------------------------------- passwords */

static struct err *report_password(const char *id, const char *password)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(&T->cx, T->store, &tx));
    TRY(server_password_report(&T->cx, tx, stored(tx, id), password));
    return tx_commit(&T->cx, &tx);
}

static void a_guests_password_is_kept_until_cleared(void **state UNUSED)
{
    const char *id = world_running(&w, "p1");
    const char *url = path(V "/servers/%s/os-server-password", id);
    struct test_reply r = test_expect(T, 200, "p1", "GET", url, NULL);
    assert_string_equal(test_str(T, &r, "password"), "");
    assert_ok(&T->cx, report_password(id, "q2lwaGVy"));
    assert_ok(&T->cx, report_password(id, "q2lwaGVy"));
    r = test_expect(T, 200, "p1", "GET", url, NULL);
    assert_string_equal(test_str(T, &r, "password"), "q2lwaGVy");
    char *long_one = arena_alloc(T->cx.arena, 1023);
    memset(long_one, 'x', 1022);
    assert_err(&T->cx, ERR_INVALID, report_password(id, long_one));
    test_expect(T, 404, "p2", "GET", url, NULL);
    test_expect(T, 204, "p1", "DELETE", url, NULL);
    r = test_expect(T, 200, "p1", "GET", url, NULL);
    assert_string_equal(test_str(T, &r, "password"), "");
}

int main(void)
{
#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(use_begins_with_the_first_run_and_outlives_the_server),
        WORLD_TEST(another_size_is_another_entry),
        WORLD_TEST(everybodys_use_is_the_administrators_to_see),
        WORLD_TEST(use_is_paged_by_servers),
        WORLD_TEST(the_audit_log_counts_servers_by_host),
        cmocka_unit_test_setup_teardown(moves_are_listed, setup_moves, teardown),
        WORLD_TEST(no_move_is_ended_half_way),
        WORLD_TEST(a_guests_password_is_kept_until_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
