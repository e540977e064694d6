/* SPDX-License-Identifier: EUPL-1.2 */
/* Rows in SQL and back, compare-and-swap, what each view shows, quotas. */
#include "resource/engine.h"
#include "resource/test_widgets.h"

static struct test_api t;

static int setup(void **state UNUSED)
{
    test_api_start(&t, widget_services, n_widget_services);
    return 0;
}

static int teardown(void **state UNUSED)
{
    test_api_stop(&t);
    return 0;
}

static struct widget *new_widget(const char *name)
{
    struct widget *w = res_new(&t.cx, &widget_resource);
    w->id = uuid_new(&t.cx);
    w->name = name;
    w->project_id = "p1";
    w->notes = w->metadata = "{}";
    w->tags = "[]";
    return w;
}

static void store(struct widget *w)
{
    struct tx *tx = NULL;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, res_insert(&t.cx, tx, &widget_resource, w));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
}

static struct widget *fetch(const char *id)
{
    struct tx *tx = NULL;
    void *w = NULL;
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, res_get(&t.cx, tx, &widget_resource, id, &w));
    tx_rollback(&tx);
    return w;
}

static void nulls_and_extremes_come_back(void **state UNUSED)
{
    struct widget *w = new_widget("a");
    store(w);
    struct widget *r = fetch(w->id);
    assert_true(r->size == INT_NULL && !r->color && !r->address && !r->host && !r->secret &&
                r->at == 0);
    assert_int_equal(r->row.generation, 1);
    assert_true(r->created_at > 0 && r->updated_at == r->created_at);
    assert_false(r->ready);
    w = new_widget("'\"\\ €\n%_; DROP");
    w->size = 0;
    w->weight = INT64_MAX;
    w->level = INT64_MIN + 1;
    w->ready = true;
    w->color = "red";
    w->address = "";
    w->at = -1;
    w->notes = "{\"deep\":[[[]]]}";
    store(w);
    r = fetch(w->id);
    assert_string_equal(r->name, w->name);
    assert_true(r->size == 0 && r->weight == INT64_MAX && r->level == INT64_MIN + 1 && r->ready &&
                r->at == -1);
    assert_string_equal(r->address, "");
    assert_string_equal(r->notes, w->notes);
    assert_null(fetch("nothing"));
}

static void checks_of_the_table_hold(void **state UNUSED)
{
    struct tx *tx = NULL;
    struct widget *w = new_widget("c");
    w->color = "black";
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_non_null(res_insert(&t.cx, tx, &widget_resource, w));
    tx_rollback(&tx);
    store(new_widget("d"));
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_err(&t.cx, ERR_EXISTS, res_insert(&t.cx, tx, &widget_resource, new_widget("d")));
    tx_rollback(&tx);
    store(new_widget("twin")); /* the partial unique index leaves them out */
    store(new_widget("twin"));
}

static const char *const id_and_size[] = {"size", "id", NULL};

static void a_selection_reads_what_it_names(void **state UNUSED)
{
    static const struct res_where some = {&widget_resource, "name = $1", NULL, .only = id_and_size};
    struct tx *tx = NULL;
    void *row = NULL;
    struct widget *w = new_widget("some");
    w->size = 9;
    store(w);
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, res_first_by(&t.cx, tx, &some, &row, V_TEXT("some")));
    tx_rollback(&tx);
    const struct widget *r = row;
    assert_string_equal(r->id, w->id);
    assert_true(r->size == 9 && r->row.generation == 1 && r->row.partial);
    assert_true(!r->name && !r->created_at && !r->metadata);
    assert_false(fetch(w->id)->row.partial);
}

/* Few rows or many, few ids or many. */
static void a_selection_by_many_ids(void **state UNUSED)
{
    static const struct res_where named = {&widget_resource, "name LIKE 'many-%'", "name",
                                           .only = id_and_size};
    static const struct res_where by_ids = {&widget_resource, "id IN " IN_BATCH, NULL};
    const char *ids[250];
    size_t n_ids = 0;
    for (int i = 0; i < 120; i++) {
        struct widget *w = new_widget(arena_printf(t.cx.arena, "many-%03d", i));
        w->size = i;
        store(w);
        ids[n_ids++] = w->id;
    }
    while (n_ids < ARRAY_LEN(ids))
        ids[n_ids++] = uuid_new(&t.cx);
    for (size_t n = 0; n <= n_ids; n = n < 40 ? n + 1 : n + 7) {
        AUTO_TXN struct tx *tx = NULL;
        size_t there = n < 120 ? n : 120, n_rows = 99;
        void **rows;
        assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
        assert_ok(&t.cx, res_select_of(&t.cx, tx, &named, widget_f_id, ids, n, &rows, &n_rows));
        assert_int_equal(n_rows, there);
        for (size_t i = 0; i < n_rows; i++)
            assert_string_equal(ROW(widget, rows, i)->id, ids[ROW(widget, rows, i)->size]);
        assert_ok(&t.cx, res_select_in(&t.cx, tx, &by_ids, ids, n, &rows, &n_rows));
        assert_int_equal(n_rows, there);
    }
}

static void the_second_writer_is_told(void **state UNUSED)
{
    struct tx *tx = NULL;
    struct widget *w = new_widget("e");
    store(w);
    struct widget *mine = fetch(w->id), *theirs = fetch(w->id);
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    mine->size = 5;
    assert_ok(&t.cx, res_update(&t.cx, tx, &widget_resource, mine));
    assert_int_equal(mine->row.generation, 2);
    mine->size = 6; /* once more with the same row */
    assert_ok(&t.cx, res_update(&t.cx, tx, &widget_resource, mine));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_err(&t.cx, ERR_STALE, res_update(&t.cx, tx, &widget_resource, theirs));
    assert_err(&t.cx, ERR_STALE, res_delete(&t.cx, tx, &widget_resource, theirs));
    void *now = NULL;
    assert_ok(&t.cx, res_get(&t.cx, tx, &widget_resource, w->id, &now));
    assert_int_equal(((struct widget *)now)->size, 6);
    assert_ok(&t.cx, res_delete(&t.cx, tx, &widget_resource, mine));
    assert_ok(&t.cx, tx_commit(&t.cx, &tx));
    assert_null(fetch(w->id));
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_err(&t.cx, ERR_STALE, res_delete(&t.cx, tx, &widget_resource, mine));
    tx_rollback(&tx);
}

static void strangers_find_nothing(void **state UNUSED)
{
    struct tx *tx = NULL;
    void *row = NULL;
    struct widget *w = new_widget("f");
    store(w);
    const struct actor owner = {.project_id = "p1"}, stranger = {.project_id = "p2"}, none = {0},
                       admin = {.admin = true};
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, res_find_visible(&t.cx, tx, &widget_resource, w->id, &owner, &row));
    assert_ok(&t.cx, res_find_visible(&t.cx, tx, &widget_resource, w->id, &admin, &row));
    struct err *foreign = res_find_visible(&t.cx, tx, &widget_resource, w->id, &stranger, &row);
    struct err *nobody = res_find_visible(&t.cx, tx, &widget_resource, w->id, &none, &row);
    struct err *missing = res_find_visible(&t.cx, tx, &widget_resource, "x", &stranger, &row);
    assert_true(foreign && nobody && missing);
    assert_true(foreign->kind == ERR_NOT_FOUND && missing->kind == ERR_NOT_FOUND &&
                nobody->kind == ERR_NOT_FOUND);
    assert_string_equal(foreign->type, missing->type);
    assert_string_equal(foreign->message,
                        arena_printf(t.cx.arena, "Widget %s could not be found.", w->id));
    tx_rollback(&tx);
}

static void selections(void **state UNUSED)
{
    static const struct res_where by_name = {&widget_resource, "name = $1", "created_at, id"};
    struct tx *tx = NULL;
    void **rows, *first = NULL;
    size_t n;
    for (int i = 0; i < 40; i++) {
        struct widget *w = new_widget("g");
        w->name = "twin";
        w->project_id = "p7";
        w->created_at = 1000 - i;
        store(w);
    }
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, res_select_by(&t.cx, tx, &by_name, &rows, &n, V_TEXT("twin")));
    assert_true(n >= 40);
    assert_int_equal(ROW(widget, rows, 0)->created_at, 961);
    assert_ok(&t.cx, res_first_by(&t.cx, tx, &by_name, &first, V_TEXT("twin")));
    assert_string_equal(((struct widget *)first)->id, ROW(widget, rows, 0)->id);
    assert_ok(&t.cx, res_first_by(&t.cx, tx, &by_name, &first, V_TEXT("nothing")));
    assert_null(first);
    tx_rollback(&tx);
}

/* ---------------------------------------------------------------- views */

static json_t *encoded(const struct widget *w, const struct view *v)
{
    struct buf b;
    struct jw jw;
    json_t *j = NULL;
    buf_init(&b, t.cx.arena);
    jw_init(&jw, &b);
    res_encode(&t.cx, &jw, &widget_resource, w, v);
    assert_ok(&t.cx, json_read(&t.cx, buf_cstr(&b), b.len, &j)); /* no member twice */
    return j;
}

static void views(void **state UNUSED)
{
    struct widget *w = new_widget("h\"\\\x01€");
    w->host = "host-9";
    w->secret = "never";
    w->input = "never";
    w->created_at = w->updated_at = 1795417722000000;
    json_t *j = encoded(w, &(struct view){.microversion = 5});
    assert_string_equal(json_get_str(j, "name"), w->name);
    assert_string_equal(json_get_str(j, "tenant_id"), "p1");
    assert_string_equal(json_get_str(j, "project_id"), "p1");
    assert_string_equal(json_get_str(j, "created_at"), "2026-11-23T07:08:42Z");
    assert_true(json_is_null(json_get(j, "size")) && json_is_null(json_get(j, "at")) &&
                json_is_null(json_get(j, "color")));
    assert_true(json_is_object(json_get(j, "metadata")) && json_is_array(json_get(j, "tags")));
    assert_true(json_is_integer(json_get(j, "weight")) && json_is_boolean(json_get(j, "ready")));
    assert_null(json_get(j, "host"));
    assert_null(json_get(j, "secret"));
    assert_null(json_get(j, "input"));
    assert_null(json_get(j, "older"));
    assert_non_null(json_get(j, "newer"));
    j = encoded(w, &(struct view){.microversion = 4, .admin = true});
    assert_string_equal(json_get_str(j, "host"), "host-9");
    assert_non_null(json_get(j, "older"));
    assert_null(json_get(j, "newer"));
    assert_null(json_get(j, "secret"));
    j = encoded(w, &(struct view){.brief = true, .admin = true});
    assert_int_equal(json_object_size(j), 2);
    const char *const fields[] = {"size", "tenant_id", "secret", "host", "nonsense"};
    j = encoded(w, &(struct view){.fields = fields, .n_fields = ARRAY_LEN(fields)});
    assert_int_equal(json_object_size(j), 2);
    assert_non_null(json_get(j, "tenant_id"));
}

/* ---------------------------------------------------------------- quotas */

static void quotas(void **state UNUSED)
{
    struct tx *tx = NULL;
    int64_t n = 0;
    const struct service *s = &widget_compute;
    assert_ok(&t.cx, tx_write(&t.cx, t.store, &tx));
    assert_ok(&t.cx, quota_limit(&t.cx, tx, s, "widgets", "p8", &n));
    assert_int_equal(n, 40);
    assert_ok(&t.cx, quota_set(&t.cx, tx, s, "widgets", "p8", 2));
    assert_ok(&t.cx, quota_set(&t.cx, tx, s, "widgets", "p8", 3));
    assert_ok(&t.cx, quota_limit(&t.cx, tx, s, "widgets", "p8", &n));
    assert_int_equal(n, 3);
    assert_ok(&t.cx, quota_limit(&t.cx, tx, s, "widgets", "p9", &n));
    assert_int_equal(n, 40);
    assert_ok(&t.cx, quota_check(&t.cx, tx, s, "widgets", "p8", 3));
    struct err *e = quota_check(&t.cx, tx, s, "widgets", "p8", 4);
    assert_true(e && e->kind == ERR_QUOTA);
    assert_string_equal(e->message,
                        "Quota exceeded for widgets: Requested 4, but already used 0 of 3 widgets");
    assert_err(&t.cx, ERR_QUOTA, quota_check(&t.cx, tx, s, "widgets", "p8", INT64_MAX));
    struct widget *w = new_widget("q");
    w->project_id = "p8";
    assert_ok(&t.cx, res_insert(&t.cx, tx, &widget_resource, w));
    assert_ok(&t.cx, quota_usage(&t.cx, tx, s, "widgets", "p8",
                                 &n)); /* counted from the rows themselves */
    assert_int_equal(n, 1);
    assert_err(&t.cx, ERR_QUOTA, quota_check(&t.cx, tx, s, "widgets", "p8", 3));
    assert_err(&t.cx, ERR_QUOTA, quota_check(&t.cx, tx, s, "widgets", "p8", INT64_MAX));
    assert_ok(&t.cx, quota_check(&t.cx, tx, s, "free", "p8", INT64_MAX));
    assert_ok(&t.cx,
              quota_set(&t.cx, tx, s, "widgets", "p8", 0)); /* below what is used: nothing more */
    assert_err(&t.cx, ERR_QUOTA, quota_check(&t.cx, tx, s, "widgets", "p8", 1));
    assert_ok(&t.cx, quota_set(&t.cx, tx, s, "widgets", "p8", -1));
    assert_ok(&t.cx, quota_check(&t.cx, tx, s, "widgets", "p8", 1000));
    assert_ok(&t.cx, quota_reset(&t.cx, tx, s, "p8"));
    assert_ok(&t.cx, quota_limit(&t.cx, tx, s, "widgets", "p8", &n));
    assert_int_equal(n, 40);
    assert_ok(&t.cx, quota_check(&t.cx, tx, s, "unused", "p8", 5));
    tx_rollback(&tx);
}

/* ---------------------------------------------------------------- the tables */

static void statements_prepare(void **state UNUSED)
{
    struct tx *tx = NULL;
    const struct stmt texts[] = {{"insert", widget_resource.state->insert},
                                 {"get", widget_resource.state->get},
                                 {"update", widget_resource.state->update},
                                 {"delete", widget_resource.state->del}};
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_ok(&t.cx, store_check(&t.cx, tx, &texts[i]));
    for (size_t i = 0; i < engine_service.n_stmts; i++)
        assert_ok(&t.cx, store_check(&t.cx, tx, engine_service.stmts[i]));
    tx_rollback(&tx);
    assert_non_null(strstr(resource_ddl(&t.cx, &widget_resource), "size BIGINT,"));
    assert_non_null(strstr(resource_ddl(&t.cx, &widget_resource), "weight BIGINT NOT NULL,"));
    assert_null(strstr(resource_ddl(&t.cx, &widget_resource), "input"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nulls_and_extremes_come_back),
        cmocka_unit_test(checks_of_the_table_hold),
        cmocka_unit_test(a_selection_by_many_ids),
        cmocka_unit_test(a_selection_reads_what_it_names),
        cmocka_unit_test(the_second_writer_is_told),
        cmocka_unit_test(strangers_find_nothing),
        cmocka_unit_test(selections),
        cmocka_unit_test(views),
        cmocka_unit_test(quotas),
        cmocka_unit_test(statements_prepare),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
