/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Specs to rows, against tests/golden/ovn (specs are those of tests/golden/net), and what follows
 * from the rows that are there, with a database in memory. COLVERT_REGEN=1 writes the files anew.
 */
#include "base/test.h"
#include "node/drivers/ovn/dns.h"
#include "node/drivers/ovn/nb_map.h"

static const char *golden, *specs; /* folders */

/* ---------------------------------------------------------------- golden */

static const char *slurp(struct ctx *cx, const char *path)
{
    struct buf b;
    char part[4096];
    FILE *f = fopen(path, "re");
    buf_init(&b, cx->arena);
    buf_str(&b, "");
    for (size_t got; f && (got = fread(part, 1, sizeof(part), f)) > 0;)
        buf_add(&b, part, got);
    if (f)
        fclose(f);
    return f ? buf_cstr(&b) : NULL;
}

static json_t *input(struct ctx *cx, const char *name)
{
    json_t *j;
    const char *text = slurp(cx, arena_printf(cx->arena, "%s/%s.json", specs, name));
    assert_non_null(text);
    assert_ok(cx, json_read(cx, text, strlen(text), &j));
    return j;
}

static void check(struct ctx *cx, const char *name, const struct nb_want *w)
{
    const char *path = arena_printf(cx->arena, "%s/%s.rows", golden, name);
    struct buf b;
    buf_init(&b, cx->arena);
    nb_print(w, &b);
    if (getenv("COLVERT_REGEN")) {
        FILE *f = fopen(path, "we");
        assert_non_null(f);
        fputs(buf_cstr(&b), f);
        fclose(f);
    }
    const char *want = slurp(cx, path);
    if (!want)
        fail_msg("%s is missing: write it with COLVERT_REGEN=1", path);
    assert_string_equal(buf_cstr(&b), want);
}

static void network_of(struct ctx *cx, const char *name, struct nb_want *w)
{
    struct spec_network *spec = arena_new_of(cx->arena, struct spec_network);
    assert_ok(cx, spec_network_read(cx, input(cx, name), spec));
    assert_ok(cx, nb_network(cx, spec, w));
}

static void router_of(struct ctx *cx, const char *name, struct nb_want *w)
{
    static const char *chassis[] = {"host-2", "host-1"};
    static struct nb_router_net nets[] = {{"11111111-1111-4111-8111-111111111111",
                                           "fd00:1::/64 slaac [2620:fe::fe],[2620:fe::9]\n", 1442},
                                          {"eeeeeeee-1111-4111-8111-111111111111", "", 1500}};
    const struct nb_router_facts facts = {nets, ARRAY_LEN(nets), chassis, ARRAY_LEN(chassis)};
    struct spec_router *spec = arena_new_of(cx->arena, struct spec_router);
    assert_ok(cx, spec_router_read(cx, input(cx, name), spec));
    if (spec->n_floating)
        spec->floating[0].port_id = "a1a1a1a1-0000-4111-8111-111111111111";
    assert_ok(cx, nb_router(cx, spec, &facts, w));
}

static void test_golden(void **state)
{
    static const char *const networks[] = {"network", "network-bare"};
    static const char *const routers[] = {"router", "router-inside", "router-routed",
                                          "router-shared"};
    struct ctx cx AUTO_CTX;
    struct nb_want w;
    (void)state;
    ctx_init(&cx);
    for (size_t i = 0; i < ARRAY_LEN(networks); i++) {
        network_of(&cx, networks[i], &w);
        check(&cx, networks[i], &w);
    }
    for (size_t i = 0; i < ARRAY_LEN(routers); i++) {
        router_of(&cx, routers[i], &w);
        check(&cx, routers[i], &w);
    }
}

/* ---------------------------------------------------------------- a database in memory */

struct db {
    struct ctx *cx;
    json_t *tables; /* table → uuid → row */
    json_t *names;  /* of this transaction's new rows: uuid-name → uuid */
    int n_rows;
};

static json_t *table_of(struct db *db, const json_t *op)
{
    const char *name = json_get_str(op, "table");
    if (!json_object_get(db->tables, name))
        json_object_set_new(db->tables, name, json_object());
    return json_object_get(db->tables, name);
}

/* The same value with rows of this transaction called by their uuids. */
static json_t *settled(struct db *db, const json_t *v)
{
    if (str_eq(json_string_value(json_array_get(v, 0)), "named-uuid")) {
        const char *name = json_string_value(json_array_get(v, 1));
        if (!json_object_get(db->names, name))
            json_object_set_new(db->names, name,
                                json_string(arena_printf(db->cx->arena, "u%d", db->n_rows++)));
        return json_pack("[s,O]", "uuid", json_object_get(db->names, name));
    }
    if (!json_is_array(v))
        return json_incref((json_t *)(uintptr_t)v);
    json_t *copy = json_array();
    for (size_t i = 0; i < json_array_size(v); i++)
        json_array_append_new(copy, settled(db, json_array_get(v, i)));
    return copy;
}

static bool holds(const json_t *row, const json_t *condition)
{
    const json_t *column = json_object_get(row, json_string_value(json_array_get(condition, 0)));
    const json_t *want = json_array_get(condition, 2), *item;
    size_t i;
    if (str_eq(json_string_value(json_array_get(condition, 1)), "=="))
        return json_equal(column, want);
    if (str_eq(json_string_value(json_array_get(want, 0)), "map"))
        want = json_array_get(json_array_get(want, 1), 0);
    json_array_foreach((json_t *)(uintptr_t)json_array_get(column, 1), i, item)
    {
        if (json_equal(item, want))
            return true;
    }
    return false;
}

static void mutate(json_t *row, const json_t *mutation, json_t *v)
{
    const char *column = json_string_value(json_array_get(mutation, 0));
    bool insert = str_eq(json_string_value(json_array_get(mutation, 1)), "insert"), set;
    json_t *is, *items = json_array(), *item;
    size_t i;
    if (!json_object_get(row, column))
        json_object_set_new(row, column, json_pack("[s,[]]", "set"));
    is = json_array_get(json_object_get(row, column), 1);
    set = str_eq(json_string_value(json_array_get(v, 0)), "set");
    if (set)
        json_array_extend(items, json_array_get(v, 1));
    else
        json_array_append(items, v);
    json_array_foreach(items, i, item)
    {
        for (size_t k = json_array_size(is); k-- > 0;)
            if (json_equal(json_array_get(is, k), item))
                json_array_remove(is, k);
        if (insert)
            json_array_append(is, item);
    }
    json_decref(items);
}

static void put_row(struct db *db, json_t *row, const json_t *columns)
{
    const char *column;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)columns, column, v)
    {
        json_object_set_new(row, column, settled(db, v));
    }
}

static void insert(struct db *db, const json_t *op)
{
    json_t *named =
        json_own(db->cx, json_pack("[s,s]", "named-uuid", json_get_str(op, "uuid-name")));
    json_t *uuid = json_own(db->cx, settled(db, named)), *row = json_object();
    json_object_set(row, "_uuid", uuid);
    put_row(db, row, json_get(op, "row"));
    json_object_set_new(table_of(db, op), json_string_value(json_array_get(uuid, 1)), row);
}

/* One operation on each row that its conditions hold of; of a select, the rows. */
static json_t *run(struct db *db, const json_t *op)
{
    json_t *rows = json_array(), *row;
    const char *uuid, *what = json_get_str(op, "op");
    void *next;
    if (str_eq(what, "insert"))
        insert(db, op);
    else
        json_object_foreach_safe(table_of(db, op), next, uuid, row)
        {
            bool all = true;
            for (size_t i = 0; i < json_array_size(json_get(op, "where")); i++)
                all &= holds(row, json_array_get(json_get(op, "where"), i));
            const json_t *m = json_array_get(json_get(op, "mutations"), 0);
            if (!all)
                continue;
            json_array_append(rows, row);
            if (str_eq(what, "update"))
                put_row(db, row, json_get(op, "row"));
            if (str_eq(what, "mutate"))
                mutate(row, m, json_own(db->cx, settled(db, json_array_get(m, 2))));
            if (str_eq(what, "delete"))
                json_object_del(table_of(db, op), uuid);
        }
    return json_pack("{s:o}", "rows", rows);
}

static json_t *transact(struct db *db, json_t *ops)
{
    json_t *results = json_own(db->cx, json_array());
    db->names = json_own(db->cx, json_object());
    for (size_t i = 0; i < json_array_size(ops); i++)
        json_array_append_new(results, run(db, json_array_get(ops, i)));
    return json_own(db->cx, json_deep_copy(results));
}

/* How many operations it took. */
static size_t sync_rows(struct db *db, const struct nb_want *w)
{
    json_t *ops;
    json_t *results = transact(db, json_own(db->cx, nb_questions(w)));
    assert_ok(db->cx, nb_changes(w, results, &ops));
    if (ops)
        transact(db, ops);
    return json_array_size(ops);
}

static size_t count(struct db *db, const char *table)
{
    return json_object_size(json_object_get(db->tables, table));
}

static size_t count_all(struct db *db)
{
    const char *name;
    json_t *rows;
    size_t n = 0;
    json_object_foreach(db->tables, name, rows)
    {
        n += json_object_size(rows);
    }
    return n;
}

static const json_t *only_row(struct db *db, const char *table)
{
    return json_object_iter_value(json_object_iter(json_object_get(db->tables, table)));
}

/* What a pass over a port does first, whose hosts were and are to be these. */
static const char *letting_go(struct ctx *cx, const char *was, const char *want)
{
    json_t *release, *wait;
    json_t *results =
        json_own(cx, json_pack("[{s:[]},{s:[{s:[s,s],s:[s,[[s,s]]]}]}]", "rows", "rows", "_uuid",
                               "uuid", "u1", "options", "map", "requested-chassis", was));
    json_t *ops =
        json_own(cx, json_pack("[{s:s,s:s,s:[[s,s,[s,s]]],s:{s:[s,[[s,s]]]}}]", "op", "update",
                               "table", "Logical_Switch_Port", "where", "_uuid", "==", "uuid", "u1",
                               "row", "options", "map", "requested-chassis", want));
    nb_letting_go(cx, ops, results, &release, &wait);
    if (!release)
        return "";
    char *text = json_dumps(release, JSON_COMPACT | JSON_SORT_KEYS);
    char *waits = json_dumps(wait, JSON_COMPACT | JSON_SORT_KEYS);
    const char *both = arena_printf(cx->arena, "%s %s", text, waits);
    free(text);
    free(waits);
    return both;
}

static void test_moved_ports_are_let_go(void **state UNUSED)
{
    struct ctx cx AUTO_CTX;
    ctx_init(&cx);
    const char *whole =
        "[{\"mutations\":[[\"options\",\"delete\",[\"set\",[\"requested-chassis\"]]],"
        "[\"options\",\"insert\",[\"map\",[[\"requested-chassis\",\"(moving)\"]]]]],"
        "\"op\":\"mutate\",\"table\":\"Logical_Switch_Port\","
        "\"where\":[[\"_uuid\",\"==\",[\"uuid\",\"u1\"]]]}] "
        "[{\"columns\":[\"up\"],\"op\":\"wait\",\"rows\":[{\"up\":true}],"
        "\"table\":\"Logical_Switch_Port\",\"timeout\":500,\"until\":\"!=\","
        "\"where\":[[\"_uuid\",\"==\",[\"uuid\",\"u1\"]]]}]";
    assert_string_equal(letting_go(&cx, "h1", "h2"), whole);
    assert_string_equal(letting_go(&cx, "h1,h2", "h2"), whole);
    assert_string_equal(letting_go(&cx, "h1", "h11"), whole);
    /* After a death in between. */
    assert_string_equal(letting_go(&cx, "(moving)", "h2"), whole);
    /* Another one may have it, too; does not after all. */
    assert_string_equal(letting_go(&cx, "h1", "h1,h2"), "");
    assert_string_equal(letting_go(&cx, "h1,h2", "h1"), "");
}

static void test_changes(void **state)
{
    struct ctx cx AUTO_CTX;
    (void)state;
    ctx_init(&cx);
    struct db db = {.cx = &cx, .tables = json_own(&cx, json_object())};
    struct nb_want network, router, nothing;
    json_t *ops;
    network_of(&cx, "network", &network);
    router_of(&cx, "router-inside", &router);
    /* A router waits for its networks. */
    assert_err(&cx, ERR_NOT_FOUND,
               nb_changes(&router, transact(&db, json_own(&cx, nb_questions(&router))), &ops));
    assert_true(sync_rows(&db, &network) > 0);
    assert_int_equal(count_all(&db), network.n);
    assert_int_equal(sync_rows(&db, &network), 0);
    size_t ports = count(&db, "Logical_Switch_Port");
    assert_true(sync_rows(&db, &router) > 0);
    assert_int_equal(sync_rows(&db, &router), 0);
    /* Its port is in the network's switch, which its owner leaves there. */
    assert_int_equal(count(&db, "Logical_Switch_Port"), ports + 1);
    const json_t *in = json_array_get(json_get(only_row(&db, "Logical_Switch"), "ports"), 1);
    assert_int_equal(json_array_size(in), ports + 1);
    assert_int_equal(sync_rows(&db, &network), 0);
    /* What an admin changed comes back, what one took away, too. */
    json_t *first =
        json_object_iter_value(json_object_iter(json_object_get(db.tables, "Logical_Switch_Port")));
    json_object_set_new(first, "addresses", json_string("unknown"));
    json_object_clear(json_object_get(db.tables, "ACL"));
    assert_true(sync_rows(&db, &network) + sync_rows(&db, &router) > 0);
    assert_int_equal(sync_rows(&db, &network) + sync_rows(&db, &router), 0);
    assert_int_equal(count_all(&db), network.n + router.n);
    /* Gone, with all that hung in others. */
    nb_want_init(&nothing, &cx, router.owner);
    assert_true(sync_rows(&db, &nothing) > 0);
    assert_int_equal(count_all(&db), network.n);
    in = json_array_get(json_get(only_row(&db, "Logical_Switch"), "ports"), 1);
    assert_int_equal(json_array_size(in), ports);
    nb_want_init(&nothing, &cx, network.owner);
    sync_rows(&db, &nothing);
    assert_int_equal(count_all(&db), 0);
}

/* What is no address, name or number gets into no row. */
static void test_refused(void **state)
{
    struct ctx cx AUTO_CTX;
    struct spec_network spec;
    struct nb_want w;
    (void)state;
    ctx_init(&cx);
    assert_ok(&cx, spec_network_read(&cx, input(&cx, "network"), &spec));
    struct spec_port *port = &spec.ports[0], saved = *port;
    struct spec_rule *rule = &port->rules[2], saved_rule = *rule;
#define REFUSED(member, value)                                                                     \
    do {                                                                                           \
        member = value;                                                                            \
        assert_err(&cx, ERR_INVALID, nb_network(&cx, &spec, &w));                                  \
        *port = saved;                                                                             \
        *rule = saved_rule;                                                                        \
    } while (0)
    REFUSED(port->mac, "fa:16:3e:00:0a:01 unknown");
    REFUSED(port->mac, "01:00:5e:00:00:01");
    REFUSED(port->id, "A1a1a1a1-0000");
    REFUSED(rule->protocol, "tcp || 1");
    REFUSED(rule->port_max, 70000);
    REFUSED(rule->ip_version, 5);
#undef REFUSED
    /* A text that could end a flow is left out. */
    struct spec_dhcp_option option = {"bootfile-name", "x\", router = 10.0.0.9, a=\"", 4};
    struct buf b;
    port->options = &option;
    port->n_options = 1;
    assert_ok(&cx, nb_network(&cx, &spec, &w));
    buf_init(&b, cx.arena);
    nb_print(&w, &b);
    assert_null(strstr(buf_cstr(&b), "bootfile"));
    option.value = "pxe/linux.0";
    assert_ok(&cx, nb_network(&cx, &spec, &w));
    nb_print(&w, &b);
    assert_non_null(strstr(buf_cstr(&b), "\\\"pxe/linux.0\\\""));
}

static void test_frames(void **state)
{
    static const char text[] = " {\"a\":[\"}\\\"\"]}{\"b\":{}} {";
    struct ctx cx AUTO_CTX;
    struct ovsdb_frame f = {0};
    size_t end = 0;
    (void)state;
    ctx_init(&cx);
    for (size_t i = 0; i < 14; i++) { /* byte by byte */
        assert_ok(&cx, ovsdb_frame_end(&cx, &f, text, i, &end));
        assert_int_equal(end, 0);
    }
    assert_ok(&cx, ovsdb_frame_end(&cx, &f, text, sizeof(text) - 1, &end));
    assert_int_equal(end, strcspn(text, "b") - 2);
    assert_ok(&cx, ovsdb_frame_end(&cx, &f, text + end, sizeof(text) - 1 - end, &end));
    assert_int_equal(end, 8);
    f = (struct ovsdb_frame){0};
    assert_err(&cx, ERR_INVALID, ovsdb_frame_end(&cx, &f, "HTTP/1.1", 8, &end));
    json_t *results;
    static const char refused[] = "[{},{\"error\":\"not owner\"},null]";
    assert_ok(&cx, json_read(&cx, refused, strlen(refused), &results));
    assert_err(&cx, ERR_STALE, ovsdb_results_check(&cx, results, 3));
    assert_err(&cx, ERR_BAD_GATEWAY, ovsdb_results_check(&cx, results, 4));
}

/* Of a question of one name, the answer's code; the question comes back, and nothing else. */
static int asked(const char *name, uint8_t flags, const char *domain)
{
    uint8_t query[DNS_MESSAGE_MAX] = {7, 9, flags, 0, 0, 1}, answer[DNS_MESSAGE_MAX];
    size_t n = 12;
    for (const char *p = name; *p; p += p[strcspn(p, ".")] ? strcspn(p, ".") + 1 : strlen(p)) {
        size_t label = strcspn(p, ".");
        query[n++] = (uint8_t)label;
        memcpy(query + n, p, label);
        n += label;
    }
    memcpy(query + n, "\0\0\x1c\0\1", 5);
    n += 5;
    for (size_t cut = 0; cut < n; cut++) {
        size_t size = dns_answer(query, cut, domain, answer);
        if (cut < 12 ? size != 0 : size != 12 || (answer[3] != 1 && answer[3] != 4))
            fail_msg("%zu of %zu bytes are answered by %zu", cut, n, size);
    }
    size_t size = dns_answer(query, n, domain, answer);
    if (!size)
        return -1;
    assert_memory_equal(answer, query, 2);
    assert_int_equal(answer[2] & 0xf9, 0x80 | flags);
    assert_int_equal(answer[5], size > 12);
    assert_int_equal(answer[7] + answer[9] + answer[11], 0);
    assert_memory_equal(answer + 12, query + 12, size - 12);
    return answer[3];
}

static void test_dns(void **state)
{
    enum { NOTHING = 0, FORMERR = 1, NOTIMP = 4, REFUSED = 5 };
    char long_name[600], label[70];
    (void)state;
    assert_int_equal(asked("web", 1, ""), NOTHING);
    assert_int_equal(asked("web.Example.org", 1, "example.org."), NOTHING);
    assert_int_equal(asked("example.org", 0, "example.ORG"), NOTHING);
    assert_int_equal(asked("web.example.org", 1, ""), REFUSED);
    assert_int_equal(asked("web.badexample.org", 1, "example.org."), REFUSED);
    assert_int_equal(asked("org", 1, "example.org."), NOTHING);
    assert_int_equal(asked("", 1, "example.org."), REFUSED);
    assert_int_equal(asked("web", 0x28, ""), NOTIMP); /* an update */
    snprintf(label, sizeof(label), "%064d", 0);
    assert_int_equal(asked(label, 1, ""), FORMERR);
    for (size_t i = 0; i < sizeof(long_name); i++)
        long_name[i] = i % 30 ? 'a' : '.';
    long_name[sizeof(long_name) - 1] = 0;
    assert_int_equal(asked(long_name + 1, 1, ""), FORMERR);
    long_name[250] = 0;
    assert_int_equal(asked(long_name + 1, 1, ""), REFUSED);
    uint8_t answer[12] = {7, 9, 0x80}, out[12]; /* is none to an answer */
    assert_int_equal(dns_answer(answer, sizeof(answer), "", out), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden),
                                       cmocka_unit_test(test_changes),
                                       cmocka_unit_test(test_moved_ports_are_let_go),
                                       cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_frames),
                                       cmocka_unit_test(test_dns)};
    must(argc == 3);
    golden = argv[1];
    specs = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
