/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The whole agent, threads and all, against the real feed over HTTP: fake drivers, real images'
 * bytes, the control plane going away and coming back, the agent ending and starting again.
 */
#include "node/agent_main.h"
#include "node/drivers/fake/fake.h"
#include "resource/test_api.h"
#include "sim/cloud.h"
#include <ftw.h>
#include <sys/mman.h>

static struct test_api t;
static struct backends backends;
static struct loop *loop;
static const char *host, *network, *api_urls;
static char dir[] = "/tmp/colvert-loop-XXXXXX";

static struct err *image_file(struct ctx *cx, struct tx *tx UNUSED, const char *host_id UNUSED,
                              const char *image_id UNUSED, int *ret_fd, int64_t *ret_size)
{
    int fd = memfd_create("image", MFD_CLOEXEC);
    if (fd < 0 || write(fd, "x", 1) != 1)
        return fail(cx, ERR_UNAVAILABLE, "no image: %m");
    *ret_fd = fd;
    *ret_size = 1;
    return NULL;
}

static void start_loop(void)
{
    const struct loop_config cfg = {
        .api_urls = api_urls, .host = host, .secret = "secret", .data_dir = dir, .resync_s = 1};
    assert_ok(&t.cx, loop_start(&t.cx, &cfg, &backends, &loop));
}

static void end_loop(void)
{
    loop_stop(loop);
    loop_free(loop);
    loop = NULL;
}

static struct err *add_host(void)
{
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(&t.cx, t.store, &tx));
    TRY(fleet_host_add(&t.cx, tx, "one", "0123456789abcdef", &host));
    return tx_commit(&t.cx, &tx);
}

#define NW "/network/v2.0/"
#define SERVERS "/compute/v2.1/servers"

/* A network behind a router: both are the host's as soon as it asks. */
static void make_network(void)
{
    struct test_reply r =
        test_expect(&t, 201, "p1", "POST", NW "networks", "{'network':{'name':'n'}}");
    network = test_str(&t, &r, "network.id");
    r = test_expect(&t, 201, "p1", "POST", NW "subnets",
                    "{'subnet':{'network_id':'%s','ip_version':4,'cidr':'10.0.0.0/24'}}", network);
    const char *subnet = test_str(&t, &r, "subnet.id");
    r = test_expect(&t, 201, "p1", "POST", NW "routers", "{'router':{'name':'r'}}");
    const char *router = test_str(&t, &r, "router.id");
    test_expect(&t, 200, "p1", "PUT",
                arena_printf(t.cx.arena, NW "routers/%s/add_router_interface", router),
                "{'subnet_id':'%s'}", subnet);
}

static bool host_alive(void)
{
    struct fleet_host h = {0};
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, fleet_host_get(&t.cx, tx, host, &h));
    return h.alive;
}

/* Polls for up to a minute of real time. */
#define eventually(cond)                                                                           \
    do {                                                                                           \
        int64_t until_ = mono_us(&t.cx) + 60000000;                                                \
        while (!(cond) && mono_us(&t.cx) < until_)                                                 \
            usleep(5000);                                                                          \
        assert_true(cond);                                                                         \
    } while (0)

static int setup(void **state UNUSED)
{
    static const struct service *const services[] = {&engine_service, &fleet_service,
                                                     &image_service,  &network_service,
                                                     &volume_service, &compute_service};
    static const struct compute_config compute = {.default_zone = "nova"};
    network_configure(&(struct network_config){.default_mtu = 1450});
    volume_configure(&(struct volume_config){.used_elsewhere = compute_disk_by_host});
    compute_configure(&compute);
    test_api_start(&t, services, ARRAY_LEN(services));
    assert_ok(&t.cx, compute_bootstrap(&t.cx, t.store));
    assert_ok(&t.cx, volume_bootstrap(&t.cx, t.store));
    test_expect(&t, 201, "admin", "POST", "/image/v2/images", CLOUD_IMAGE_BODY);
    assert_ok(&t.cx, cloud_upload(&t.cx, t.store));
    fleet_on_change(fleet_wake_api, t.api);
    fleet_set_images(image_file);
    memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
    assert_non_null(mkdtemp(dir));
    static struct image_config images = {.size_max_bytes = 1 << 20};
    images.dir = arena_printf(t.cx.arena, "%s/images-of-the-region", dir);
    assert_ok(&t.cx, image_configure(&t.cx, &images));
    assert_ok(&t.cx, add_host());
    make_network();
    fake_guests_new(&backends.guests);
    fake_net_new(&backends.net);
    fake_volumes_new(&backends.volumes);
    fake_guests_set_volumes(&backends.guests, &backends.volumes);
    api_urls = t.url;
    start_loop();
    eventually(host_alive());
    return 0;
}

static int remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED,
                      struct FTW *ftw UNUSED)
{
    return remove(path);
}

static int teardown(void **state UNUSED)
{
    if (loop)
        end_loop();
    backends.guests.ops->free(backends.guests.drv);
    backends.net.ops->free(backends.net.drv);
    backends.volumes.ops->free(backends.volumes.drv);
    assert_int_equal(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    fleet_on_change(NULL, NULL);
    fleet_set_images(NULL);
    test_api_stop(&t);
    return 0;
}

static const char *create(void)
{
    struct test_reply r = test_expect(
        &t, 202, "p1", "POST", SERVERS,
        "{'server':{'name':'s','flavorRef':'1','imageRef':'%s','networks':[{'uuid':'%s'}]}}",
        CLOUD_IMAGE, network);
    return test_str(&t, &r, "server.id");
}

static const json_t *all(void)
{
    struct test_reply r = test_expect(&t, 200, "p1", "GET", SERVERS "/detail", NULL);
    return test_at(&r, "servers");
}

static size_t with_status(const char *status)
{
    const json_t *list = all();
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        count += !status || str_eq(json_get_str(json_array_get(list, i), "status"), status);
    return count;
}

static void delete_all(void)
{
    const json_t *list = all();
    for (size_t i = 0; i < json_array_size(list); i++)
        test_expect(
            &t, 204, "p1", "DELETE",
            arena_printf(t.cx.arena, SERVERS "/%s", json_get_str(json_array_get(list, i), "id")),
            NULL);
}

static void test_life(void **state UNUSED)
{
    for (int i = 0; i < 10; i++)
        create();
    eventually(with_status("ACTIVE") == 10);
    assert_int_equal(fake_guests_count(&backends.guests, GUEST_ON), 10);
    delete_all();
    eventually(with_status(NULL) == 0);
    assert_int_equal(fake_guests_count(&backends.guests, GUEST_ON) +
                         fake_guests_count(&backends.guests, GUEST_OFF),
                     0);
    assert_int_equal(fake_net_taps(&backends.net), 0);
    assert_int_equal(fake_net_networks(&backends.net) + fake_net_routers(&backends.net), 2);
}

/* One process of the control plane is not there: another does as well, for all that an agent asks.
 */
static void test_next_api(void **state UNUSED)
{
    end_loop();
    api_urls = arena_printf(t.cx.arena, "http://127.0.0.1:1,%s", t.url);
    start_loop();
    create();
    eventually(with_status("ACTIVE") == 1);
    delete_all();
    eventually(with_status(NULL) == 0);
}

static void test_restart(void **state UNUSED)
{
    const char *id = create();
    eventually(with_status("ACTIVE") == 1);
    end_loop();
    assert_int_equal(fake_guests_count(&backends.guests, GUEST_ON), 1); /* runs on */
    create();
    start_loop();
    eventually(with_status("ACTIVE") == 2);
    assert_int_equal(fake_guest_starts(&backends.guests, id), 1);
    end_loop();
    start_loop();
    delete_all(); /* what was not there when its agent ended goes all the same */
    eventually(with_status(NULL) == 0);
}

static void test_plane_away(void **state UNUSED)
{
    create();
    eventually(with_status("ACTIVE") == 1);
    uint16_t port = http_server_port(t.server);
    http_server_stop(t.server, 100);
    api_set_server(t.api, NULL);
    usleep(300000);
    assert_int_equal(fake_guests_count(&backends.guests, GUEST_ON), 1);
    struct cloud here = {.app = api_app(t.api)}; /* another control plane on the same database */
    int status = cloud_call(&t.cx, &here, "p1", "POST", SERVERS, NULL,
                            "{'server':{'name':'s','flavorRef':'1','imageRef':'%s',"
                            "'networks':[{'uuid':'%s'}]}}",
                            CLOUD_IMAGE, network);
    assert_int_equal(status, 202);
    const struct http_config http = {.host = "127.0.0.1",
                                     .port = port,
                                     .io_threads = 1,
                                     .workers = 2,
                                     .slow_workers = 1,
                                     .queue_max = 64,
                                     .connections_max = 64,
                                     .body_max_bytes = 1 << 20,
                                     .idle_timeout_s = 30};
    struct http_app app = api_app(t.api);
    assert_ok(&t.cx, http_server_start(&t.cx, &http, &app, &t.server));
    api_set_server(t.api, t.server);
    eventually(with_status("ACTIVE") == 2);
}

static struct http_answer get(const char *path, const char *secret)
{
    struct http_answer answer;
    const char *kept = sha256_hex(&t.cx, secret, strlen(secret));
    const char *base = arena_printf(t.cx.arena, "agent-call:%s", kept);
    struct http_pair auth = {"Authorization", arena_printf(t.cx.arena, "Bearer %s",
                                                           sha256_hex(&t.cx, base, strlen(base)))};
    struct http_call call = {
        .method = "GET",
        .url = arena_printf(t.cx.arena, "http://127.0.0.1:%u%s", loop_console_port(loop), path),
        .headers = &auth,
        .n_headers = 1};
    assert_ok(&t.cx, http_client_call(&t.cx, t.client, &call, &answer));
    return answer;
}

static void test_console(void **state UNUSED)
{
    const char *id = create(), *path = arena_printf(t.cx.arena, "/servers/%s/console", id);
    eventually(with_status("ACTIVE") == 1);
    struct http_answer a = get(path, "secret");
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(buf_cstr(&a.body), "started 1 times\nlogin: \n"));
    a = get(arena_printf(t.cx.arena, "%s?length=1", path), "secret");
    assert_string_equal(buf_cstr(&a.body), "login: \n");
    assert_int_equal(get(arena_printf(t.cx.arena, "%s?length=0", path), "secret").status, 400);
    assert_int_equal(get(path, "Secret").status, 401);
    assert_int_equal(get("/servers/..%2f/console", "secret").status, 404);
    assert_int_equal(get("/servers/99999999-2222-4333-8444-555555555555/console", "secret").status,
                     404);
}

static void test_diagnostics(void **state UNUSED)
{
    const char *id = create();
    eventually(with_status("ACTIVE") == 1);
    struct http_answer a = get(arena_printf(t.cx.arena, "/servers/%s/diagnostics", id), "secret");
    json_t *j = NULL;
    assert_int_equal(a.status, 200);
    assert_ok(&t.cx, json_read(&t.cx, buf_cstr(&a.body), a.body.len, &j));
    assert_string_equal(json_get_str(j, "state"), "running");
    assert_int_equal(json_get_int(j, "num_nics", 0), 1);
}

/* ---- volumes ---- */

#define VOLUMES "/volume/v3/volumes"
enum { N_VOLUMES = 12 };

static size_t volumes_with(const char *status, int64_t size_gib)
{
    struct test_reply r = test_expect(&t, 200, "p1", "GET", VOLUMES "/detail", NULL);
    const json_t *list = test_at(&r, "volumes");
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        count += (!status || str_eq(json_get_str(v, "status"), status)) &&
                 (!size_gib || json_get_int(v, "size", 0) == size_gib);
    }
    return count;
}

static const char *new_volume(const char *source)
{
    struct test_reply r = test_expect(&t, 202, "p1", "POST", VOLUMES, "{'volume':{'size':%d%s}}",
                                      strstr(source, "volid") ? 2 : 1, source);
    return test_str(&t, &r, "volume.id");
}

static void extend(const char *id, int size_gib)
{
    t.headers[0] = "OpenStack-API-Version: volume 3.59"; /* in use, too */
    test_expect(&t, 202, "p1", "POST", arena_printf(t.cx.arena, VOLUMES "/%s/action", id),
                "{'os-extend':{'new_size':%d}}", size_gib);
    t.headers[0] = NULL;
}

/* With all of the agent's threads at once; the fake drivers assert who may touch what. */
static void test_volumes(void **state UNUSED)
{
    const char *ids[N_VOLUMES], *servers[N_VOLUMES / 2];
    test_expect(&t, 200, "admin", "PUT", "/volume/v3/os-quota-sets/p1",
                "{'quota_set':{'volumes':-1}}");
    for (size_t i = 0; i < ARRAY_LEN(servers); i++)
        servers[i] = create();
    for (size_t i = 0; i < N_VOLUMES; i++)
        ids[i] = new_volume(i % 3 ? "" : ",'imageRef':'" CLOUD_IMAGE "'");
    eventually(volumes_with("available", 0) == N_VOLUMES);
    eventually(with_status("ACTIVE") == ARRAY_LEN(servers));
    for (size_t i = 0; i < N_VOLUMES; i++)
        test_expect(&t, 200, "p1", "POST",
                    arena_printf(t.cx.arena, SERVERS "/%s/os-volume_attachments", servers[i / 2]),
                    "{'volumeAttachment':{'volumeId':'%s'}}", ids[i]);
    eventually(volumes_with("in-use", 0) == N_VOLUMES);
    for (size_t i = 0; i < N_VOLUMES; i++) {
        extend(ids[i], 2);
        if (i % 2)
            test_expect(&t, 202, "p1", "POST",
                        arena_printf(t.cx.arena, SERVERS "/%s/action", servers[i / 2]),
                        "{'reboot':{'type':'HARD'}}");
    }
    eventually(volumes_with("in-use", 2) == N_VOLUMES);
    for (size_t i = 0; i < N_VOLUMES; i++)
        new_volume(arena_printf(t.cx.arena, ",'source_volid':'%s'", ids[i]));
    eventually(with_status("ACTIVE") == ARRAY_LEN(servers));
    delete_all();
    eventually(with_status(NULL) == 0);
    eventually(volumes_with("available", 0) == 2 * N_VOLUMES);
    assert_int_equal(fake_volumes_count(&backends.volumes), 2 * N_VOLUMES);
    struct test_reply r = test_expect(&t, 200, "p1", "GET", VOLUMES, NULL);
    const json_t *list = test_at(&r, "volumes");
    for (size_t i = 0; i < json_array_size(list); i++)
        test_expect(
            &t, 202, "p1", "DELETE",
            arena_printf(t.cx.arena, VOLUMES "/%s", json_get_str(json_array_get(list, i), "id")),
            NULL);
    eventually(volumes_with(NULL, 0) == 0);
    assert_int_equal(fake_volumes_count(&backends.volumes), 0);
}

static const char *header(const struct test_reply *r, const char *name)
{
    for (size_t i = 0; i < r->answer.n_headers; i++)
        if (str_eq(r->answer.headers[i].name, name))
            return r->answer.headers[i].value;
    return NULL;
}

/* A guest's disk goes over the wire, and is the image's data. */
static void test_export(void **state UNUSED)
{
    const char *id = create();
    eventually(with_status("ACTIVE") == 1);
    struct test_reply r =
        test_expect(&t, 202, "p1", "POST", arena_printf(t.cx.arena, SERVERS "/%s/action", id),
                    "{'createImage':{'name':'copy'}}");
    const char *location = header(&r, "location");
    assert_non_null(location);
    const char *image = arena_printf(t.cx.arena, "/image/v2/images/%s", strrchr(location, '/') + 1);
    const char *file = arena_printf(t.cx.arena, "%s/file", image);
    eventually((r = test_call(&t, "p1", "GET", image, NULL),
                str_eq(test_str(&t, &r, "status"), "active")));
    r = test_call(&t, "p1", "GET", file, NULL);
    const char *origin = arena_printf(t.cx.arena, " root %s 1\n", id);
    assert_non_null(memmem(r.answer.body.data, r.answer.body.len, origin, strlen(origin)));
    const char *sent =
        arena_printf(t.cx.arena, "%s/exports/%s.sent", dir, strrchr(location, '/') + 1);
    eventually(access(sent, F_OK) != 0); /* the control plane has heard of it, so nothing is kept */
}

/* The fleet knows the host by now: it beat, and can be called. */
static void test_fleet_call(void **state UNUSED)
{
    const char *id = create();
    eventually(with_status("ACTIVE") == 1);
    struct fleet_host h = {0};
    AUTO_TXN struct tx *tx = NULL;
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, fleet_host_get(&t.cx, tx, host, &h));
    assert_true(h.alive);
    assert_int_equal(h.vcpus, 64);
    assert_string_equal(h.agent_url,
                        arena_printf(t.cx.arena, "http://127.0.0.1:%u", loop_console_port(loop)));
    struct buf body;
    int status = 0;
    buf_init(&body, t.cx.arena);
    /* This host's secret in the database is another than the test agent's: its token is refused. */
    assert_ok(&t.cx, fleet_call(&t.cx, &h, arena_printf(t.cx.arena, "/servers/%s/console", id),
                                &body, &status));
    assert_int_equal(status, 401);
    h.secret_sha256 = sha256_hex(&t.cx, "secret", 6);
    assert_ok(&t.cx, fleet_call(&t.cx, &h, arena_printf(t.cx.arena, "/servers/%s/console", id),
                                &body, &status));
    assert_int_equal(status, 200);
}

static void test_purge(void **state UNUSED)
{
    end_loop();
    struct agent_config cfg = {
        .guest_driver = "fake", .net_driver = "fake", .loop = {.data_dir = dir}};
    const char *file = arena_printf(t.cx.arena, "%s/fake-guests", dir);
    FILE *f = fopen(file, "we");
    assert_non_null(f);
    const char *left = arena_printf(t.cx.arena, "%s/exports/x", dir);
    /* The agent makes it, unless it was ended before it came to that. */
    assert_true(!mkdir(arena_printf(t.cx.arena, "%s/exports", dir), 0700) || errno == EEXIST);
    assert_ok(&t.cx, fake_disk_write(&t.cx, left, "blank", 1));
    fprintf(f, "99999999-2222-4333-8444-555555555555 2 1 0 1 0 7 1 0 0 0 0 0 0 0 0 0\n");
    fclose(f);
    assert_ok(&t.cx, agent_purge(&t.cx, &cfg));
    assert_int_equal(access(left, F_OK), -1);
    char text[8];
    f = fopen(file, "re");
    assert_non_null(f);
    assert_int_equal(fread(text, 1, sizeof(text), f), 0);
    fclose(f);
    unlink(file);
    cfg.guest_driver = "none";
    assert_err(&t.cx, ERR_INVALID, agent_purge(&t.cx, &cfg));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_life),       TEST(test_next_api),    TEST(test_restart), TEST(test_plane_away),
        TEST(test_console),    TEST(test_diagnostics), TEST(test_volumes), TEST(test_export),
        TEST(test_fleet_call), TEST(test_purge)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
