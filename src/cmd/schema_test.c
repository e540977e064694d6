/* SPDX-License-Identifier: EUPL-1.2 */
/* The tables of all services together: they fit each other, the database, and what they say of
 * themselves. */
#include "cmd/wiring.h"
#include "resource/test_api.h"

static struct ctx cx;
static struct store *store;

static const char *url(void)
{
    const char *postgres = getenv("COLVERT_TEST_POSTGRES");
    return postgres ? postgres : "sqlite::memory:";
}

static void run(struct store *s, const char *sql)
{
    const struct stmt st = {"run", sql};
    struct tx *tx = NULL;
    assert_ok(&cx, tx_write(&cx, s, &tx));
    assert_ok(&cx, db_exec(&cx, tx, &st, NULL, 0, NULL));
    assert_ok(&cx, tx_commit(&cx, &tx));
}

/* An empty database with these migrations. */
static struct store *fresh(const struct migration *list, size_t n)
{
    struct store *s = NULL;
    assert_ok(&cx, store_open(&cx, url(), 2, &s));
    if (getenv("COLVERT_TEST_POSTGRES")) {
        run(s, "DROP SCHEMA IF EXISTS public CASCADE");
        run(s, "CREATE SCHEMA public");
        store_close(s);
        assert_ok(&cx, store_open(&cx, url(), 2, &s));
    }
    assert_ok(&cx, store_migrate(&cx, s, list, n));
    return s;
}

static int setup(void **state UNUSED)
{
    ctx_init(&cx);
    for (size_t i = 0; i < n_all_services; i++)
        for (size_t k = 0; k < all_services[i]->n_resources; k++)
            resource_init(all_services[i]->resources[k]);
    store = fresh(all_migrations, n_all_migrations);
    return 0;
}

static int teardown(void **state UNUSED)
{
    store_close(store);
    ctx_release(&cx);
    return 0;
}

/* ---------------------------------------------------------------- statements */

static void prepares(struct tx *tx, const char *whose, const struct stmt *st)
{
    struct err *e = store_check(&cx, tx, st);
    if (e)
        fail_msg("%s: %s: %s\n%s", whose, st->name, err_chain(&cx, e), st->sql);
}

static size_t resource_statements(const struct resource *res)
{
    struct tx *tx = NULL;
    const struct stmt st[] = {{"insert", res->state->insert},
                              {"get", res->state->get},
                              {"update", res->state->update},
                              {"delete", res->state->del}};
    if (!res->table)
        return 0;
    assert_ok(&cx, tx_read(&cx, store, &tx));
    for (size_t i = 0; i < ARRAY_LEN(st); i++)
        prepares(tx, res->name, &st[i]);
    tx_rollback(&tx);
    return ARRAY_LEN(st);
}

static void every_statement_prepares(void **state UNUSED)
{
    size_t n = 0;
    for (size_t i = 0; i < n_all_services; i++) {
        const struct service *svc = all_services[i];
        for (size_t k = 0; k < svc->n_resources; k++)
            n += resource_statements(svc->resources[k]);
        struct tx *tx = NULL;
        assert_ok(&cx, tx_read(&cx, store, &tx));
        for (size_t k = 0; k < svc->n_stmts; k++, n++)
            prepares(tx, svc->name, svc->stmts[k]);
        for (size_t k = 0; k < svc->n_wheres; k++, n++) {
            const struct stmt st = {"where", res_where_sql(&cx, svc->wheres[k])};
            prepares(tx, svc->name, &st);
        }
        for (size_t k = 0; k < svc->n_quotas; k++, n++)
            if (svc->quotas[k].usage)
                prepares(tx, svc->name, svc->quotas[k].usage);
        tx_rollback(&tx);
    }
    assert_true(n > 100);
}

/* ---------------------------------------------------------------- migrations */

static const char *shape_of(struct store *s)
{
    static const struct stmt sqlite[] = {{"tables",
                                          "SELECT type || ' ' || name || ' ' || coalesce(sql, '') "
                                          "FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' "
                                          "AND name <> 'schema_migration' ORDER BY 1"}};
    static const struct stmt postgres[] = {
        {"columns",
         "SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable FROM "
         "information_schema.columns WHERE table_schema = 'public' AND table_name <> "
         "'schema_migration' ORDER BY 1"},
        {"indexes", "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> "
                    "'schema_migration' ORDER BY 1"},
        {"constraints",
         "SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE "
         "connamespace = "
         "'public'::regnamespace AND conrelid::regclass::text <> 'schema_migration' ORDER BY 1"}};
    bool is_sqlite = str_eq(store_engine(s), "sqlite");
    const struct stmt *st = is_sqlite ? sqlite : postgres;
    struct buf b;
    struct tx *tx = NULL;
    buf_init(&b, cx.arena);
    assert_ok(&cx, tx_read(&cx, s, &tx));
    for (size_t i = 0; i < (is_sqlite ? ARRAY_LEN(sqlite) : ARRAY_LEN(postgres)); i++) {
        struct db_rows rows;
        assert_ok(&cx, db_query(&cx, tx, &st[i], NULL, 0, &rows));
        assert_true(rows.n_rows > 20);
        for (size_t r = 0; r < rows.n_rows; r++)
            buf_printf(&b, "%s\n", db_text(&rows, r, 0));
    }
    tx_rollback(&tx);
    return buf_cstr(&b);
}

/* A database that was migrated from nothing has the tables that the descriptors say. */
static void migrations_give_what_is_declared(void **state UNUSED)
{
    const char *migrated = shape_of(store);
    const struct migration declared = {1, "declared", api_ddl(&cx, all_services, n_all_services)};
    store_close(store);
    store = fresh(&declared, 1);
    const char *emitted = shape_of(store);
    store_close(store);
    store = fresh(all_migrations, n_all_migrations);
    char **a, **b;
    size_t n = str_split(&cx, migrated, '\n', &a), m = str_split(&cx, emitted, '\n', &b);
    for (size_t i = 0; i < n && i < m; i++)
        if (!str_eq(a[i], b[i]))
            fail_msg("migrated: %s\ndeclared: %s\n(tools/update-schema)", a[i], b[i]);
    assert_int_equal(n, m);
}

static void migrating_again_changes_nothing(void **state UNUSED)
{
    assert_ok(&cx, store_migrate(&cx, store, all_migrations, n_all_migrations));
    for (size_t i = 0; i < n_all_migrations; i++)
        assert_int_equal(all_migrations[i].number, (int)i + 1);
}

/* ---------------------------------------------------------------- the registry */

static bool is_plural(const char *name)
{
    for (size_t i = 0; i < n_all_services; i++)
        for (size_t k = 0; k < all_services[i]->n_resources; k++)
            if (str_eq(all_services[i]->resources[k]->plural, name))
                return true;
    return false;
}

static void check_default(const struct resource *res, const struct field *f)
{
    json_t *j = NULL;
    int64_t n;
    bool b;
    if (!f->dflt)
        return;
    /* A number below the range can stand for "none was given". */
    bool ok = f->kind == KIND_INT ? str_to_i64(f->dflt, INT64_MIN, f->max ? f->max : INT64_MAX, &n)
              : f->kind == KIND_BOOL ? str_to_bool(f->dflt, &b)
              : f->kind == KIND_JSON || f->kind == KIND_MAP || f->kind == KIND_LIST
                  ? !json_read(&cx, f->dflt, strlen(f->dflt), &j)
                  : true;
    for (const char *const *v = f->values; v && ok; v++) {
        if (!*v)
            ok = false;
        else if (str_eq(*v, f->dflt))
            break;
    }
    if (!ok)
        fail_msg("%s.%s: its default '%s' is none it may have", res->name, f->member, f->dflt);
}

static void check_field(const struct resource *res, const struct field *f)
{
    bool own_words =
        str_eq(res->table, "servers") || str_eq(res->table, "flavors") ||
        str_eq(res->table, "keypairs") ||
        str_eq(res->table, "instance_actions"); /* their .def files say it in comments */
    if (!own_words && !(f->doc && *f->doc))
        fail_msg("%s.%s has no documentation", res->name, f->member);
    if (f->ref && !is_plural(f->ref))
        fail_msg("%s.%s names '%s', which is no resource", res->name, f->member, f->ref);
    if (f->since && f->until && f->since > f->until)
        fail_msg("%s.%s: never", res->name, f->member);
    if ((f->flags & F_REQ) && !(f->flags & F_CREATE))
        fail_msg("%s.%s is required and may not be given", res->name, f->member);
    if ((f->flags & (F_FILTER | F_SORT)) && (f->flags & (F_VIRTUAL | F_HIDDEN)))
        fail_msg("%s.%s: a filter or sort key without a column", res->name, f->member);
    for (size_t k = 0; k < res->n_fields; k++)
        if (&res->fields[k] != f && f->also &&
            (str_eq(res->fields[k].wire, f->also) || str_eq(res->fields[k].also, f->also)))
            fail_msg("%s: two fields are called '%s'", res->name, f->also);
    check_default(res, f);
}

static void resources_are_sound(void **state UNUSED)
{
    for (size_t i = 0; i < n_all_services; i++) {
        for (size_t k = 0; k < all_services[i]->n_resources; k++) {
            const struct resource *res = all_services[i]->resources[k];
            assert_true(res->owner >= -1 && res->owner < (int)res->n_fields);
            assert_true(res->extra != EXTRA_KEEP ||
                        res->fields[res->extra_member].kind == KIND_MAP ||
                        res->fields[res->extra_member].kind == KIND_JSON);
            if (!res->doc)
                fail_msg("%s has no documentation", res->name);
            for (size_t f = 0; f < res->n_fields; f++)
                check_field(res, &res->fields[f]);
        }
    }
}

static bool well_named(const char *policy)
{
    for (const char *p = policy; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:-", *p))
            return false;
    return *policy != 0;
}

/* A policy's name stands for one rule: an operator who reads it in the documentation can rely on
 * it. */
static void routes_have_policies(void **state UNUSED)
{
    const struct route *all[2000];
    size_t n = 0, unlike = 0;
    for (size_t i = 0; i < n_all_services; i++) {
        for (size_t k = 0; k < all_services[i]->n_routes; k++) {
            const struct route *r = &all_services[i]->routes[k];
            const char *prefix = all_services[i]->family->prefix;
            if (!r->policy || !well_named(r->policy) || r->rule == RULE_NOBODY)
                fail_msg("%s %s: no policy", r->method, r->pattern);
            if (r->rule != RULE_PUBLIC && !str_starts(r->pattern, prefix))
                fail_msg("%s %s is not below %s", r->method, r->pattern, prefix);
            for (size_t o = 0; o < n; o++) {
                if (str_eq(all[o]->method, r->method) && str_eq(all[o]->pattern, r->pattern))
                    fail_msg("%s %s: declared twice", r->method, r->pattern);
                if (!str_eq(all[o]->policy, r->policy) || all[o]->rule == r->rule)
                    continue;
                print_error("%s: %s %s has another rule than %s %s\n", r->policy, r->method,
                            r->pattern, all[o]->method, all[o]->pattern);
                unlike++;
            }
            assert_true(n < ARRAY_LEN(all));
            all[n++] = r;
        }
    }
    assert_int_equal(unlike, 0);
    assert_true(n > 100);
}

static void the_api_takes_them(void **state UNUSED)
{
    static const struct api_hooks hooks = {0};
    static const struct api_config cfg = {.region = "RegionOne"};
    api_free(api_new(store, all_services, n_all_services, &hooks, &cfg));
}

/* ---------------------------------------------------------------- OpenAPI */

static json_t *document(void)
{
    struct buf b;
    json_t *doc = NULL;
    buf_init(&b, cx.arena);
    openapi_write(&cx, all_services, n_all_services, &b);
    assert_ok(&cx, json_read(&cx, buf_cstr(&b), b.len, &doc)); /* no member twice */
    return doc;
}

static void references_lead_somewhere(const json_t *doc, const json_t *j)
{
    static const char prefix[] = "#/components/schemas/";
    const char *key, *ref = json_get_str(j, "$ref");
    json_t *value;
    size_t i;
    if (ref && (!str_starts(ref, prefix) ||
                !json_get(json_get(json_get(doc, "components"), "schemas"), ref + strlen(prefix))))
        fail_msg("%s leads nowhere", ref);
    json_object_foreach((json_t *)(uintptr_t)j, key, value) references_lead_somewhere(doc, value);
    json_array_foreach((json_t *)(uintptr_t)j, i, value) references_lead_somewhere(doc, value);
}

static void check_operation(const json_t *doc, const struct route *r)
{
    const json_t *op =
        json_get(json_get(json_get(doc, "paths"), r->pattern), str_lower(&cx, r->method));
    if (!op)
        fail_msg("%s %s is not described", r->method, r->pattern);
    assert_string_equal(json_get_str(op, "x-policy"), r->policy);
    assert_int_equal(json_array_size(json_get(op, "tags")), 1);
    assert_true(json_object_size(json_get(op, "responses")) == 2);
    assert_int_equal(json_get(op, "requestBody") != NULL, r->body || (r->flags & RT_STREAM));
    size_t wanted = 0, given = 0;
    for (const char *p = strchr(r->pattern, '{'); p; p = strchr(p + 1, '{'))
        wanted++;
    const json_t *params = json_get(op, "parameters");
    for (size_t i = 0; i < json_array_size(params); i++)
        given += str_eq(json_get_str(json_array_get(params, i), "in"), "path");
    assert_int_equal(given, wanted);
}

static void openapi_describes_every_route(void **state UNUSED)
{
    const json_t *doc = document();
    assert_true(str_starts(json_get_str(doc, "openapi"), "3.0."));
    for (size_t i = 0; i < n_all_services; i++)
        for (size_t k = 0; k < all_services[i]->n_routes; k++)
            check_operation(doc, &all_services[i]->routes[k]);
    references_lead_somewhere(doc, doc);
}

static void openapi_of_one_resource(void **state UNUSED)
{
    const json_t *schema =
        json_get(json_get(json_get(document(), "components"), "schemas"), "identity.region-create");
    assert_string_equal(json_text(&cx, schema),
                        "{\"additionalProperties\":{},\"description\":\"A region of the "
                        "catalogue.\",\"properties\":{\"description\":"
                        "{\"description\":\"Free "
                        "text.\",\"maxLength\":255,\"type\":\"string\"},\"id\":{\"description\":"
                        "\"The region's "
                        "name.\",\"maxLength\":255,\"type\":\"string\"},\"parent_region_id\":{"
                        "\"description\":\"The region "
                        "above.\",\"maxLength\":255,\"nullable\":true,\"type\":\"string\"}},"
                        "\"type\":\"object\"}");
}

/* ---------------------------------------------------------------- settings */

static void settings_are_documented(void **state UNUSED)
{
    char *text = NULL, *help = NULL;
    size_t size = 0;
    struct settings s;
    settings_defaults(&s);
    FILE *f = open_memstream(&text, &size);
    settings_print(f);
    fclose(f);
    f = open_memstream(&help, &size);
    settings_help(f);
    fclose(f);
#define SETTING(member, kind, dflt, min, max, doc)                                                 \
    assert_true(strlen(doc) > 10);                                                                 \
    assert_non_null(strstr(text, "\n#" #member " = " dflt "\n"));                                  \
    assert_non_null(strstr(help, doc));
#include "cmd/settings.def"
#undef SETTING
    /* The printed file, uncommented, is a configuration that changes nothing. */
    char path[] = "/tmp/colvert-settings-XXXXXX";
    AUTO_FD int fd = mkstemp(path);
    char **lines;
    size_t n_lines = str_split(&cx, text, '\n', &lines);
    for (size_t i = 0; i < n_lines; i++)
        if (lines[i][0] == '#' && lines[i][1] != ' ')
            dprintf(fd, "%s\n", lines[i] + 1);
    assert_ok(&cx, settings_read(&cx, &s, path));
    unlink(path);
    size_t n = 0;
    settings_to_args(&cx, &s, &n);
    assert_int_equal(n, 0);
    free(text);
    free(help);
}

static void secrets_stay_off_command_lines(void **state UNUSED)
{
    struct settings s;
    size_t n = 0;
    int rest;
    settings_defaults(&s);
    setenv("COLVERT_STATE", "postgresql://u:word@db/c", 1);
    setenv("COLVERT_BOOTSTRAP_PASSWORD", "word", 1);
    setenv("COLVERT_REGION", "Elsewhere", 1);
    setenv("COLVERT_WORKERS", "9", 1);
    char *argv[] = {(char[]){"--config=/dev/null"}, (char[]){"--region=Here"}};
    assert_ok(&cx, settings_args(&cx, &s, 2, argv, &rest));
    assert_string_equal(s.state, "postgresql://u:word@db/c");
    assert_string_equal(s.bootstrap_password, "word");
    assert_string_equal(s.region, "Here");
    const char **args = settings_to_args(&cx, &s, &n);
    assert_int_equal(n, 2);
    assert_string_equal(args[0], "--region=Here");
    assert_string_equal(args[1], "--workers=9");
    setenv("COLVERT_WORKERS", "none", 1);
    assert_err(&cx, ERR_INVALID, settings_environment(&cx, &s));
    settings_forget_environment();
    assert_null(getenv("COLVERT_STATE"));
    assert_null(getenv("COLVERT_WORKERS"));
}

/* ---------------------------------------------------------------- lists */

static const struct field *named(const struct resource *res, const char *name)
{
    for (size_t i = 0; i < res->n_fields; i++)
        if (str_eq(res->fields[i].member, name))
            return &res->fields[i];
    return resource_field(res, name);
}

/* "created_at:desc,id:desc" → "created_at desc, id desc", with the key at the end. */
static const char *order_of(const struct resource *res)
{
    const char *key = res->key ? res->key : "id", *dir = "asc";
    struct buf b;
    char **parts, **pair;
    bool has_key = false;
    buf_init(&b, cx.arena);
    size_t n = res->dflt_sort ? str_split(&cx, res->dflt_sort, ',', &parts) : 0;
    for (size_t i = 0; i < n; i++) {
        dir = str_split(&cx, parts[i], ':', &pair) > 1 ? pair[1] : "asc";
        const char *column = named(res, pair[0])->member;
        has_key = has_key || str_eq(column, key);
        buf_printf(&b, "%s%s %s", i ? ", " : "", column, dir);
    }
    if (!has_key)
        buf_printf(&b, "%s%s %s", n ? ", " : "", key, dir);
    return buf_cstr(&b);
}

/* SQLite's plan of a statement with a project for its only parameter. */
static struct db_rows plan_of(const char *sql)
{
    const struct stmt st = {"plan", arena_printf(cx.arena, "EXPLAIN QUERY PLAN %s", sql)};
    const struct db_value project = V_TEXT("p");
    struct tx *tx = NULL;
    struct db_rows rows;
    assert_ok(&cx, tx_read(&cx, store, &tx));
    assert_ok(&cx, db_query(&cx, tx, &st, &project, 1, &rows));
    tx_rollback(&tx);
    return rows;
}

static bool sorts(const char *sql)
{
    const struct db_rows rows = plan_of(sql);
    for (size_t i = 0; i < rows.n_rows; i++)
        if (strstr(db_text(&rows, i, 3), "TEMP B-TREE"))
            return true;
    return false;
}

/* An index gives a project's rows in their default order: a list's first page costs that page. */
static void a_projects_list_is_not_sorted(void **state UNUSED)
{
    if (!str_eq(store_engine(store), "sqlite"))
        return; /* the indexes are the same, PostgreSQL's plan depends on the rows */
    for (size_t i = 0; i < n_all_services; i++)
        for (size_t k = 0; k < all_services[i]->n_resources; k++) {
            const struct resource *res = all_services[i]->resources[k];
            if (!res->table || res->owner < 0 || !res->dflt_sort)
                continue;
            const char *sql = arena_printf(cx.arena, "SELECT %s FROM %s WHERE %s = $1 ORDER BY %s",
                                           res->state->whole.columns, res->table,
                                           res->fields[res->owner].member, order_of(res));
            if (sorts(sql))
                fail_msg("%s: no index gives %s = $1 ORDER BY %s", res->name,
                         res->fields[res->owner].member, order_of(res));
        }
}

/* What a quota limits is counted in each creation: from an index, without the rows. */
static void quotas_are_counted_from_indexes(void **state UNUSED)
{
    if (!str_eq(store_engine(store), "sqlite"))
        return;
    for (size_t i = 0; i < n_all_services; i++)
        for (size_t k = 0; k < all_services[i]->n_quotas; k++) {
            const struct quota *q = &all_services[i]->quotas[k];
            const struct db_rows rows = q->usage ? plan_of(q->usage->sql) : (struct db_rows){0};
            for (size_t r = 0; r < rows.n_rows; r++) {
                const char *step = db_text(&rows, r, 3);
                bool of_table = str_starts(step, "SEARCH") || str_starts(step, "SCAN");
                if (of_table && !str_starts(step, "SCAN sizes") && !strstr(step, "COVERING INDEX"))
                    fail_msg("%s, %s: %s", all_services[i]->name, q->name, step);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotas_are_counted_from_indexes),
        cmocka_unit_test(a_projects_list_is_not_sorted),
        cmocka_unit_test(every_statement_prepares),
        cmocka_unit_test(migrations_give_what_is_declared),
        cmocka_unit_test(migrating_again_changes_nothing),
        cmocka_unit_test(resources_are_sound),
        cmocka_unit_test(routes_have_policies),
        cmocka_unit_test(the_api_takes_them),
        cmocka_unit_test(settings_are_documented),
        cmocka_unit_test(openapi_describes_every_route),
        cmocka_unit_test(openapi_of_one_resource),
        cmocka_unit_test(secrets_stay_off_command_lines),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
