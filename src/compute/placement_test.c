/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Where servers go: what aggregates and images say of hosts, disks that volumes share, and that
 * processes which place at the same time never promise more than there is. For the last the test
 * runs itself as other processes: "placement_test create URL".
 */
#include "compute/test_fakes.h"
#include <spawn.h>
#include <sys/wait.h>

#define V "/compute/v2.1"
static struct compute_world w;
#define T (&w.t)
#define path(...) world_path(&w, __VA_ARGS__)

static int setup(void **state UNUSED)
{
    world_start(&w, 2, 4096);
    test_expect(T, 200, "admin", "PUT", V "/os-quota-sets/p1",
                "{'quota_set':{'instances':-1,'cores':-1,'ram':-1}}");
    return 0;
}

static int teardown(void **state UNUSED)
{
    world_stop(&w);
    return 0;
}

static const char *create(const char *who, const char *flavor)
{
    struct test_reply r =
        test_expect(T, 202, who, "POST", V "/servers",
                    "{'server':{'name':'s','flavorRef':'%s','imageRef':'" IMAGE_OK "'}}", flavor);
    return test_str(T, &r, "server.id");
}

static const char *host_of(const char *id)
{
    struct test_reply r = test_expect(T, 200, "admin", "GET", path(V "/servers/%s", id), NULL);
    return test_str(T, &r, "server.OS-EXT-SRV-ATTR:host");
}

static const char *fault_of(const char *id)
{
    struct test_reply r = test_expect(T, 200, "admin", "GET", path(V "/servers/%s", id), NULL);
    return test_str(T, &r, "server.fault.message");
}

/* With h0 (and h1) in it. */
static const char *aggregate(const char *name, bool both)
{
    struct test_reply r = test_expect(T, 200, "admin", "POST", V "/os-aggregates",
                                      "{'aggregate':{'name':'%s'}}", name);
    const char *url = path(V "/os-aggregates/%s/action", test_str(T, &r, "aggregate.id"));
    test_expect(T, 200, "admin", "POST", url, "{'add_host':{'host':'h0'}}");
    if (both)
        test_expect(T, 200, "admin", "POST", url, "{'add_host':{'host':'h1'}}");
    return url;
}

static void say(int status, const char *aggregate_url, const char *metadata)
{
    test_expect(T, status, "admin", "POST", aggregate_url, "{'set_metadata':{'metadata':{%s}}}",
                metadata);
}

/* ---------------------------------------------------------------- what is said of hosts */

static void the_lowest_ratio_of_a_hosts_aggregates_counts(void **state UNUSED)
{
    const char *wide = aggregate("wide", true), *tight = aggregate("tight", false);
    say(400, wide, "'cpu_allocation_ratio':'many'");
    say(400, wide, "'max_instances_per_host':'0'");
    say(200, wide, "'ram_allocation_ratio':'2.0','cpu_allocation_ratio':'1.0'");
    say(200, tight, "'ram_allocation_ratio':'0.5'");
    /* h0 holds one of 2048 MiB and h1 four: its vCPUs, two each, hold two alone. */
    size_t on_h0 = 0, on_h1 = 0;
    for (int i = 0; i < 3; i++) {
        const char *host = host_of(create("p1", "3"));
        on_h0 += str_eq(host, "h0");
        on_h1 += str_eq(host, "h1");
    }
    assert_int_equal(on_h0, 1);
    assert_int_equal(on_h1, 2);
    assert_string_equal(fault_of(create("p1", "3")),
                        "No valid host was found. 2 hosts: 1 lack vCPUs (need 2, most free 0 on "
                        "h1), 1 lack memory (need 2048 MiB, most free 0 on h0).");
    say(200, wide, "'cpu_allocation_ratio':null");
    assert_string_equal(host_of(create("p1", "3")), "h1");
    say(200, wide, "'max_instances_per_host':'3'");
    assert_string_equal(fault_of(create("p1", "1")),
                        "No valid host was found. 2 hosts: 1 have all the servers they may (at "
                        "most 3 on h1), 1 lack memory (need 128 MiB, most free 0 on h0).");
}

static void aggregates_keep_projects_and_flavors_apart(void **state UNUSED)
{
    const char *a = aggregate("some", true);
    say(200, a, "'filter_tenant_id':'p2, p3'");
    assert_string_equal(fault_of(create("p1", "1")),
                        "No valid host was found. 2 hosts: 2 in an aggregate for other projects.");
    assert_non_null(host_of(create("p2", "1")));
    say(200, a, "'filter_tenant_id':null,'instance_type':'m1.small'");
    assert_string_equal(fault_of(create("p1", "1")),
                        "No valid host was found. 2 hosts: 2 in an aggregate for other flavors.");
    assert_non_null(host_of(create("p1", "2")));
}

/* Maintenance: a disabled host takes no more servers, by whatever way they come; those that it has
 * go on. */
static void a_disabled_host_is_left_alone(void **state UNUSED)
{
    const char *id = world_running(&w, "p1"), *host = host_of(id);
    bool on_h1 = str_eq(host, "h1");
    const char *url = path(V "/os-services/%s", w.host_id[on_h1]);
    world_version(&w, "53");
    test_expect(T, 200, "admin", "PUT", url,
                "{'status':'disabled','disabled_reason':'new memory'}");
    world_version(&w, NULL);
    for (int i = 0; i < 3; i++)
        assert_string_equal(host_of(create("p1", "1")), on_h1 ? "h0" : "h1");
    struct test_reply r =
        test_expect(T, 202, "admin", "POST", V "/servers",
                    "{'server':{'name':'s','flavorRef':'1','imageRef':'" IMAGE_OK
                    "','networks':[{'uuid':'" NET_A "'}],'availability_zone':'nova:%s'}}",
                    host);
    assert_string_equal(fault_of(test_str(T, &r, "server.id")),
                        "No valid host was found. 2 hosts: 1 not the requested host, 1 disabled "
                        "(new memory).");
    world_act(&w, 202, "p1", id, "{'os-stop':null}");
    world_report(&w, w.host_id[on_h1], id,
                 "{'power':'off','boot_seq':1,'reset_seq':0,'build_seq':1,'error':null}");
    assert_string_equal(world_status(&w, id), "SHUTOFF");
    world_act(&w, 202, "p1", id, "{'os-start':null}");
    assert_string_equal(host_of(id), host);
    world_version(&w, "53");
    test_expect(T, 200, "admin", "PUT", url, "{'status':'enabled'}");
    world_version(&w, NULL);
    const char *other = path(V "/os-services/%s", w.host_id[!on_h1]);
    world_version(&w, "53");
    test_expect(T, 200, "admin", "PUT", other, "{'status':'disabled'}");
    world_version(&w, NULL);
    assert_string_equal(host_of(create("p1", "1")), host);
}

/* Volumes and servers' disks share the host's 100 GiB. */
static void volumes_take_room_from_servers(void **state UNUSED)
{
    for (int i = 0; i < 2; i++)
        test_expect(T, 202, "p1", "POST", "/volume/v3/volumes", "{'volume':{'size':90}}");
    assert_string_equal(fault_of(create("p1", "3")),
                        "No valid host was found. 2 hosts: 2 lack disk (need 20 GiB, most free 10 "
                        "on h0).");
    assert_non_null(host_of(create("p1", "2")));
}

/* ---------------------------------------------------------------- many at once */

enum { HOSTS = 3, PROCESSES = 2, THREADS = 3, TRIES = 9 };

/* One of the processes: its threads create servers. */
static void *create_many(void *arg UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct http_client *client = http_client_new();
    const struct http_pair headers[] = {{"X-Auth-Token", "p1"},
                                        {"Content-Type", "application/json"}};
    const char *body = "{\"server\":{\"name\":\"s\",\"flavorRef\":\"3\",\"imageRef\":\"" IMAGE_OK
                       "\",\"networks\":[{\"uuid\":\"" NET_A "\"}]}}";
    const struct http_call call = {.method = "POST",
                                   .url = arena_printf(cx.arena, "%s" V "/servers", T->url),
                                   .headers = headers,
                                   .n_headers = ARRAY_LEN(headers),
                                   .body = body,
                                   .body_size = strlen(body)};
    for (int i = 0; i < TRIES; i++) {
        struct http_answer answer;
        struct err *e = http_client_call(&cx, client, &call, &answer);
        if (e || answer.status != 202) {
            fprintf(stderr, "%s\n", e ? e->message : buf_cstr(&answer.body));
            _exit(1);
        }
    }
    http_client_free(client);
    return NULL;
}

static int other_process(const char *url)
{
    pthread_t threads[THREADS];
    world_start_on(&w, 0, 0, url, true);
    for (int i = 0; i < THREADS; i++)
        must(pthread_create(&threads[i], NULL, create_many, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    world_stop(&w);
    return 0;
}

static pid_t start_process(const char *url)
{
    extern char **environ;
    pid_t pid;
    char *argv[] = {"placement_test", "create", (char *)(uintptr_t)url, NULL};
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
    return pid;
}

static void processes_never_promise_a_host_twice(void **state UNUSED)
{
    pid_t pids[PROCESSES];
    char dir[] = "/tmp/colvert-placement-XXXXXX", url[128];
    const char *postgres = getenv("COLVERT_TEST_POSTGRES");
    assert_non_null(mkdtemp(dir));
    snprintf(url, sizeof(url), "sqlite:%s/db", dir);
    world_start_on(&w, HOSTS, 8192, postgres ? postgres : url, false);
    test_expect(T, 200, "admin", "PUT", V "/os-quota-sets/p1",
                "{'quota_set':{'instances':-1,'cores':-1,'ram':-1}}");
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = start_process(postgres ? postgres : url);
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    /* 8192 MiB hold four of 2048: no host has more, and none has less, as there were enough. */
    assert_int_equal(world_count(&w, "SELECT 1 FROM servers"), PROCESSES * THREADS * TRIES);
    assert_int_equal(world_count(&w, "SELECT host_id FROM servers WHERE host_id IS NOT NULL GROUP "
                                     "BY host_id HAVING SUM(held_memory_mib) = 8192 AND "
                                     "SUM(held_vcpus) <= 64 AND SUM(held_disk_gib) <= 100"),
                     HOSTS);
    assert_int_equal(world_count(&w, "SELECT 1 FROM servers WHERE host_id IS NOT NULL"), HOSTS * 4);
    assert_int_equal(
        world_count(&w, "SELECT 1 FROM servers WHERE host_id IS NULL AND fault_message LIKE "
                        "'%3 hosts: 3 lack memory%'"),
        PROCESSES * THREADS * TRIES - HOSTS * 4);
    world_stop(&w);
    static const char *const files[] = {"db", "db-wal", "db-shm", "db-lock"};
    char file[160];
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(file, sizeof(file), "%s/%s", dir, files[i]);
        unlink(file);
    }
    assert_int_equal(rmdir(dir), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_lowest_ratio_of_a_hosts_aggregates_counts, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(aggregates_keep_projects_and_flavors_apart, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_disabled_host_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(volumes_take_room_from_servers, setup, teardown),
        cmocka_unit_test(processes_never_promise_a_host_twice),
    };
    if (argc == 3 && str_eq(argv[1], "create"))
        return other_process(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
