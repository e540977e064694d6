/* SPDX-License-Identifier: EUPL-1.2 */
/* Exports: what a host's agent is told, sends and says, through the real routes; and each way one
 * ends. */
#include "fleet/fleet.h"
#include "image/test_images.h"

#define SOURCE "dddddddd-0000-4000-8000-000000000001"

static const char *host, *other;
/* What the source's owner heard last. */
static const char *told_image, *told_error;
static int n_told;

static struct err *on_done(struct ctx *cx UNUSED, struct tx *tx UNUSED, const char *source_id,
                           const char *image_id, const char *error)
{
    assert_string_equal(source_id, SOURCE);
    told_image = arena_strdup(t.cx.arena, image_id);
    told_error = arena_strdup(t.cx.arena, error);
    n_told++;
    return NULL;
}

static const char *add_host(const char *name)
{
    AUTO_TXN struct tx *tx = NULL;
    const char *id = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, fleet_host_add(&t.cx, tx, name, "0123456789abcdef", &id));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
    return id;
}

static int setup(void **state UNUSED)
{
    static const struct service *const services[] = {&engine_service, &fleet_service,
                                                     &image_service};
    memcpy(image_dir + strlen(image_dir) - 6, "XXXXXX", 6);
    assert_non_null(mkdtemp(image_dir));
    test_api_start(&t, services, ARRAY_LEN(services));
    const struct image_config cfg = {.dir = image_dir, .size_max_bytes = SIZE_MAX_BYTES};
    assert_ok(&t.cx, image_configure(&t.cx, &cfg));
    image_on_export(EXPORT_SERVER, on_done);
    host = add_host("one");
    other = add_host("two");
    n_told = 0;
    told_image = told_error = NULL;
    return 0;
}

/* ---------------------------------------------------------------- the owner of the source */

static const char *begin_as(bool held, bool describe)
{
    AUTO_TXN struct tx *tx = NULL;
    struct actor actor = {.user_id = "u", .project_id = "p1", .member = true};
    const struct image_export x = {.source = EXPORT_SERVER,
                                   .source_id = SOURCE,
                                   .host_id = host,
                                   .name = "copy",
                                   .disk_format = "raw",
                                   .visibility = "private",
                                   .min_disk_gib = 3,
                                   .properties = "{\"image_type\":\"snapshot\"}",
                                   .held = held};
    const char *id = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    struct call c = {.cx = &t.cx, .tx = tx, .actor = &actor, .service = &image_service};
    assert_ok(&t.cx, describe ? image_describe(&c, &x, &id) : image_export_begin(&c, &x, &id));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
    return id;
}

static const char *begin(void)
{
    return begin_as(false, false);
}

static void cancel(void)
{
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, image_export_cancel(&t.cx, tx, EXPORT_SERVER, SOURCE));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
}

static const char *status(const char *id)
{
    struct test_reply r = test_call(&t, "p1", "GET", image_path(id), NULL);
    return r.status == 200 ? test_str(&t, &r, "status") : fmt("%d", r.status);
}

/* ---------------------------------------------------------------- the agent */

/* Its item in the host's feed; NULL: not named. */
static const json_t *item(const char *id)
{
    struct test_reply r =
        test_expect(&t, 200, "node", "GET", fmt("/node/v1/hosts/%s/items?since=0", host), NULL);
    const json_t *items = json_get(r.json, "items");
    for (size_t i = 0; i < json_array_size(items); i++)
        if (str_eq(json_get_str(json_array_get(items, i), "id"), id))
            return json_array_get(items, i);
    return NULL;
}

static int send_bytes(const char *host_id, const char *id, const char *data)
{
    const struct http_pair headers[] = {{"Authorization", "Bearer secret"},
                                        {"Content-Type", "application/octet-stream"}};
    const struct http_call call = {
        .method = "PUT",
        .url = fmt("%s/node/v1/hosts/%s/images/%s/file", t.url, host_id, id),
        .headers = headers,
        .n_headers = 2,
        .body = data,
        .body_size = strlen(data)};
    struct http_answer answer;
    assert_ok(&t.cx, http_client_call(&t.cx, t.client, &call, &answer));
    return answer.status;
}

static void report(const char *host_id, const char *id, const char *observed)
{
    test_expect(&t, 200, "node", "POST", fmt("/node/v1/hosts/%s/reports", host_id),
                "{'reports':[{'kind':'export','id':'%s','observed':%s}]}", id, observed);
}

/* error NULL: none. */
static void assert_told(const char *id, const char *error)
{
    assert_int_equal(n_told, 1);
    assert_string_equal(told_image, id);
    assert_true(str_eq(told_error, error));
    assert_true(json_get_bool(item(id), "deleted", false));
    report(host, id, "{'absent':true}");
    assert_null(item(id));
    report(host, id, "{'sent':true}"); /* late */
    assert_int_equal(n_told, 1);
}

/* ---------------------------------------------------------------- */

static void a_disk_becomes_an_image(void **state UNUSED)
{
    const char *id = begin();
    assert_string_equal(status(id), "queued");
    const json_t *spec = json_get(item(id), "spec");
    assert_string_equal(json_get_str(spec, "id"), id);
    assert_string_equal(json_get_str(spec, "server_id"), SOURCE);
    assert_string_equal(json_get_str(spec, "disk_format"), "raw");
    assert_null(json_get(spec, "volume_id"));
    report(host, id, "{'sent':false}"); /* under way */
    assert_int_equal(send_bytes(other, id, "theirs"), 404);
    assert_int_equal(send_bytes(host, SOURCE, "no export"), 404);
    assert_int_equal(send_bytes(host, id, "its bytes"), 204);
    assert_string_equal(status(id), "active");
    assert_int_equal(send_bytes(host, id, "its bytes"), 204); /* the answer was lost */
    assert_int_equal(n_told, 0);
    report(other, id, "{'sent':true}");
    assert_int_equal(n_told, 0);
    report(host, id, "{'sent':true}");
    assert_told(id, NULL);
    struct test_reply r = test_expect(&t, 200, "p1", "GET", image_path(id), NULL);
    assert_string_equal(test_str(&t, &r, "name"), "copy");
    assert_string_equal(test_str(&t, &r, "size"), "9");
    assert_string_equal(test_str(&t, &r, "min_disk"), "3");
    assert_string_equal(test_str(&t, &r, "visibility"), "private");
    assert_string_equal(test_str(&t, &r, "image_type"), "snapshot");
    assert_int_equal(send_bytes(host, id, "again"), 404);
    test_expect(&t, 404, "p2", "GET", image_path(id), NULL);
}

static void an_error_ends_it_without_an_image(void **state UNUSED)
{
    const char *id = begin();
    report(host, id, "{'sent':false,'error':'no space left'}");
    assert_told(id, "no space left");
    assert_string_equal(status(id), "404");
    assert_int_equal(send_bytes(host, id, "too late"), 404);
    assert_int_equal(files(), 0);
}

static void sent_must_have_arrived(void **state UNUSED)
{
    const char *id = begin();
    report(host, id, "{'sent':true}");
    assert_told(id, "what the host sent has not arrived");
    assert_string_equal(status(id), "404");
}

static size_t sweep_at_the_end(const char *id)
{
    static const struct stmt late = {"late", "UPDATE image_exports SET deadline_at = $1, "
                                             "generation = generation + 1 WHERE id = $2"};
    AUTO_TXN struct tx *tx = NULL;
    size_t n;
    assert_ok(&t.cx, image_sweep(&t.cx, t.store, &n));
    assert_int_equal(n, 0);
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, db_run(&t.cx, tx, &late, V_INT(now_us(&t.cx) - 1), V_TEXT(id)));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
    assert_ok(&t.cx, image_sweep(&t.cx, t.store, &n));
    return n;
}

static void a_deadline_ends_it(void **state UNUSED)
{
    const char *id = begin();
    assert_int_equal(sweep_at_the_end(id), 1);
    assert_told(id, "the host took too long to send the disk");
    assert_string_equal(status(id), "404");
}

/* The host's word was lost for ever, but not the data. */
static void a_deadline_keeps_what_came(void **state UNUSED)
{
    const char *id = begin();
    assert_int_equal(send_bytes(host, id, "bytes"), 204);
    assert_int_equal(sweep_at_the_end(id), 1);
    assert_told(id, NULL);
    assert_string_equal(status(id), "active");
}

static void a_held_one_waits(void **state UNUSED)
{
    const char *id = begin_as(true, false);
    assert_string_equal(status(id), "queued");
    assert_null(item(id));
    assert_int_equal(send_bytes(host, id, "early"), 404);
    for (int i = 0; i < 2; i++) {
        AUTO_TXN struct tx *tx = NULL;
        assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
        assert_ok(&t.cx, image_export_release(&t.cx, tx, id));
        assert_ok(&t.cx, tx_commit(&t.cx, &tx));
    }
    assert_non_null(json_get(item(id), "spec"));
    assert_int_equal(send_bytes(host, id, "now"), 204);
}

static void a_source_that_goes_takes_it_along(void **state UNUSED)
{
    const char *half = begin(), *whole = begin();
    assert_int_equal(send_bytes(host, whole, "bytes"), 204);
    cancel();
    assert_int_equal(n_told, 0);
    assert_string_equal(status(half), "404");
    assert_string_equal(status(whole), "active");
    assert_true(json_get_bool(item(half), "deleted", false));
    assert_true(json_get_bool(item(whole), "deleted", false));
    cancel();
}

static void deleting_the_image_ends_it(void **state UNUSED)
{
    const char *id = begin();
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
    assert_told(id, "the image was deleted");
}

static void one_without_data_is_active(void **state UNUSED)
{
    const char *id = begin_as(false, true);
    assert_string_equal(status(id), "active");
    assert_null(item(id));
    test_expect(&t, 204, "p1", "GET", fmt("%s/file", image_path(id)), NULL);
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
    assert_int_equal(n_told, 0);
}

static struct err *keep_step(struct ctx *cx, struct tx *tx, int64_t keep)
{
    return image_keep_newest(cx, tx, "p1", "{\"image_type\":\"snapshot\"}", keep);
}

static void the_newest_are_kept(void **state UNUSED)
{
    const char *ids[4];
    for (int i = 0; i < 4; i++)
        ids[i] = begin_as(false, true);
    patch("p1", ids[0], "[{'op':'replace','path':'/protected','value':true}]");
    const char *mine = new_image("p1", "");
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, keep_step(&t.cx, tx, 2));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
    assert_string_equal(status(ids[3]), "active");
    assert_string_equal(status(ids[2]), "active");
    assert_string_equal(status(ids[1]), "404");
    assert_string_equal(status(ids[0]), "active"); /* protected */
    assert_string_equal(status(mine), "queued");
}

int main(void)
{
#define EXPORT_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, images_teardown)
    const struct CMUnitTest tests[] = {
        EXPORT_TEST(a_disk_becomes_an_image),
        EXPORT_TEST(an_error_ends_it_without_an_image),
        EXPORT_TEST(sent_must_have_arrived),
        EXPORT_TEST(a_deadline_ends_it),
        EXPORT_TEST(a_deadline_keeps_what_came),
        EXPORT_TEST(a_held_one_waits),
        EXPORT_TEST(a_source_that_goes_takes_it_along),
        EXPORT_TEST(deleting_the_image_ends_it),
        EXPORT_TEST(one_without_data_is_active),
        EXPORT_TEST(the_newest_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
