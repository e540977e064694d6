/* SPDX-License-Identifier: EUPL-1.2 */
/* Image data: in and out byte for byte, cut off, too large, no room on the disk, at the same time,
 * refused, left over. */
#include "image/intake.h"
#include "image/test_images.h"
#include <arpa/inet.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static uint8_t *noise(size_t size)
{
    uint8_t *data = arena_alloc(t.cx.arena, size + 1);
    rng_bytes(rng_system(), data, size);
    if (size)
        data[0] = 0; /* no magic number by chance */
    return data;
}

static struct test_reply download(const char *token, const char *id, const char *range)
{
    return raw_call(token, "GET", fmt("%s/file", image_path(id)), "", NULL, 0, range);
}

static void there_and_back(void **state UNUSED)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 65536, 1000001, SIZE_MAX_BYTES};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        uint8_t *data = noise(sizes[i]);
        const char *id = new_image("p1", "");
        assert_int_equal(download("p1", id, NULL).status, 204); /* none yet */
        assert_int_equal(upload("p1", id, data, sizes[i]).status, 204);
        struct test_reply r = download("p1", id, NULL);
        assert_int_equal(r.status, 200);
        assert_int_equal(r.answer.body.len, sizes[i]);
        assert_memory_equal(sizes[i] ? r.answer.body.data : "", data, sizes[i]);
        assert_string_equal(reply_header(&r, "content-type"), "application/octet-stream");
        const char *md5 = reply_header(&r, "content-md5");
        r = test_expect(&t, 200, "p1", "GET", image_path(id), NULL);
        assert_string_equal(test_str(&t, &r, "status"), "active");
        assert_string_equal(test_str(&t, &r, "size"), fmt("%zu", sizes[i]));
        assert_string_equal(test_str(&t, &r, "virtual_size"), fmt("%zu", sizes[i]));
        assert_string_equal(test_str(&t, &r, "checksum"), md5);
        assert_int_equal(strlen(test_str(&t, &r, "os_hash_value")), 128);
        assert_string_equal(test_str(&t, &r, "os_hash_algo"), "sha512");
        assert_int_equal(upload("p1", id, data, sizes[i]).status, 409); /* once */
        test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
    }
    assert_int_equal(files(), 0);
}

static void known_digests(void **state UNUSED)
{
    const char *id = new_image("p1", "");
    assert_int_equal(upload("p1", id, "abc", 3).status, 204);
    struct test_reply r = test_expect(&t, 200, "p1", "GET", image_path(id), NULL);
    assert_string_equal(test_str(&t, &r, "checksum"), "900150983cd24fb0d6963f7d28e17f72");
    assert_string_equal(test_str(&t, &r, "os_hash_value"),
                        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
}

static void ranges(void **state UNUSED)
{
    static const struct {
        const char *range, *body, *content_range;
        int status;
    } tests[] = {
        {"bytes=0-0", "0", "bytes 0-0/10", 206},
        {"bytes=2-4", "234", "bytes 2-4/10", 206},
        {"bytes=7-", "789", "bytes 7-9/10", 206},
        {"bytes=-3", "789", "bytes 7-9/10", 206},
        {"bytes=-99", "0123456789", "bytes 0-9/10", 206},
        {"bytes=8-99", "89", "bytes 8-9/10", 206},
        {"bytes=10-", NULL, NULL, 416},
        {"bytes=4-2", NULL, NULL, 416},
        {"bytes=-0", NULL, NULL, 416},
        {"bytes=x-y", NULL, NULL, 416},
        {"bytes=99999999999999999999-", NULL, NULL, 416},
        {"bytes=-", NULL, NULL, 416},
        {"lines=1-2", "0123456789", NULL, 200},
        {"bytes=0-1,3-4", "0123456789", NULL, 200},
    };
    const char *id = new_image("p1", "");
    assert_int_equal(upload("p1", id, "0123456789", 10).status, 204);
    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        struct test_reply r = download("p1", id, tests[i].range);
        if (r.status != tests[i].status)
            fail_msg("%s: %d %s", tests[i].range, r.status, r.text);
        if (tests[i].body)
            assert_string_equal(r.text, tests[i].body);
        assert_true(str_eq(reply_header(&r, "content-range"), tests[i].content_range));
    }
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
}

/* ---------------------------------------------------------------- on the wire */

static int dial(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(http_server_port(t.server)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

static void send_all(int fd, const void *data, size_t size)
{
    const char *p = data;
    while (size) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);
        assert_true(n > 0);
        p += n;
        size -= (size_t)n;
    }
}

static int begin_upload(const char *id, const char *framing)
{
    int fd = dial();
    const char *head = fmt("PUT %s/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: p1\r\nContent-Type: "
                           "application/octet-stream\r\n"
                           "%s\r\n\r\n",
                           image_path(id), framing);
    send_all(fd, head, strlen(head));
    return fd;
}

static int status_of(int fd)
{
    char line[64] = "";
    size_t n = 0;
    while (n + 1 < sizeof(line)) {
        ssize_t got = recv(fd, line + n, sizeof(line) - 1 - n, 0);
        if (got <= 0)
            break;
        n += (size_t)got;
        if (n >= 12)
            break;
    }
    close(fd);
    return n >= 12 ? (int)strtol(line + 9, NULL, 10) : 0;
}

static void wait_for_files(size_t n)
{
    for (int i = 0; i < 6000 && files() != n; i++)
        usleep(10000);
    assert_int_equal(files(), n);
}

static void in_chunks(void **state UNUSED)
{
    const char *id = new_image("p1", "");
    int fd = begin_upload(id, "Transfer-Encoding: chunked");
    uint8_t *data = noise(300000);
    for (size_t at = 0, n = 1; at < 300000; at += n, n = n * 2 + 1) {
        n = 300000 - at < n ? 300000 - at : n;
        const char *head = fmt("%zx\r\n", n);
        send_all(fd, head, strlen(head));
        send_all(fd, data + at, n);
        send_all(fd, "\r\n", 2);
    }
    send_all(fd, "0\r\n\r\n", 5);
    assert_int_equal(status_of(fd), 204);
    struct test_reply r = download("p1", id, NULL);
    assert_int_equal(r.answer.body.len, 300000);
    assert_memory_equal(r.answer.body.data, data, 300000);
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
}

static void cut_off(void **state UNUSED)
{
    const char *const framings[] = {"Content-Length: 100000", "Transfer-Encoding: chunked"};
    uint8_t *data = noise(50000);
    for (size_t i = 0; i < 2; i++) {
        const char *id = new_image("p1", "");
        int fd = begin_upload(id, framings[i]);
        if (i)
            send_all(fd, "186a0\r\n", 7);
        send_all(fd, data, 50000);
        wait_for_files(1);
        close(fd);
        wait_for_files(0); /* and nothing is left of it */
        struct test_reply r = test_expect(&t, 200, "p1", "GET", image_path(id), NULL);
        assert_string_equal(test_str(&t, &r, "status"), "queued");
        assert_int_equal(upload("p1", id, data, 50000).status, 204); /* it can be tried again */
        test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
    }
}

static void wait_for_helpers(int n)
{
    for (int i = 0; i < 6000 && intake_helpers() != n; i++)
        usleep(10000);
    assert_int_equal(intake_helpers(), n);
}

/* Large ones, whose digests are taken by threads of their own; more than have one. */
static void clients_go_away(void **state UNUSED)
{
    int fds[INTAKE_HELPERS_MAX + 2];
    const char *ids[ARRAY_LEN(fds)];
    uint8_t *data = noise(2 << 20);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        ids[i] = new_image("p1", "");
        fds[i] = begin_upload(ids[i], "Content-Length: 4000000");
        send_all(fds[i], data, 2 << 20);
    }
    wait_for_helpers(INTAKE_HELPERS_MAX);
    wait_for_files(ARRAY_LEN(fds));
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    wait_for_files(0);
    wait_for_helpers(0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        struct test_reply r = test_expect(&t, 200, "p1", "GET", image_path(ids[i]), NULL);
        assert_string_equal(test_str(&t, &r, "status"), "queued");
        test_expect(&t, 204, "p1", "DELETE", image_path(ids[i]), NULL);
    }
}

static void too_large(void **state UNUSED)
{
    uint8_t *data = noise(SIZE_MAX_BYTES + 1);
    const char *id = new_image("p1", "");
    struct test_reply r = upload("p1", id, data, SIZE_MAX_BYTES + 1);
    assert_int_equal(r.status, 413);
    wait_for_files(0);
    r = test_expect(&t, 200, "p1", "GET", image_path(id), NULL);
    assert_string_equal(test_str(&t, &r, "status"), "queued");
    assert_true(json_is_null(test_at(&r, "size")));
}

static _Atomic int64_t disk_room = INT64_MAX; /* bytes that images' files may still take */

ssize_t write(int fd, const void *data, size_t size)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = atomic_load(&disk_room) < INT64_MAX ? readlink(link, path, sizeof(path) - 1) : 0;
    path[n > 0 ? n : 0] = 0;
    if (str_starts(path, image_dir)) {
        int64_t room = atomic_load(&disk_room);
        size = (size_t)min_i64(room, (int64_t)size);
        atomic_fetch_sub(&disk_room, (int64_t)size);
        if (room <= 0) {
            errno = ENOSPC;
            return -1;
        }
    }
    return syscall(SYS_write, fd, data, size);
}

static void full_disk(void **state UNUSED)
{
    static const size_t size = 3 << 20;
    uint8_t *data = noise(size);
    const int64_t rooms[] = {0, 500000, (1 << 20) + 100000, (int64_t)size - 1};
    for (size_t i = 0; i < ARRAY_LEN(rooms); i++) {
        const char *id = new_image("p1", "");
        atomic_store(&disk_room, rooms[i]);
        struct test_reply r = upload("p1", id, data, size);
        atomic_store(&disk_room, INT64_MAX);
        assert_int_equal(r.status, 413);
        assert_non_null(strstr(r.text, "No space left"));
        wait_for_files(0);
        wait_for_helpers(0);
        r = test_expect(&t, 200, "p1", "GET", image_path(id), NULL);
        assert_string_equal(test_str(&t, &r, "status"), "queued");
        assert_int_equal(upload("p1", id, data, size).status, 204); /* once there is room again */
        test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
    }
}

static void two_at_once(void **state UNUSED)
{
    const char *id = new_image("p1", "");
    int a = begin_upload(id, "Content-Length: 6"), b = begin_upload(id, "Content-Length: 6");
    send_all(a, "aaa", 3);
    send_all(b, "bbb", 3);
    wait_for_files(2);
    send_all(b, "bbb", 3);
    int second = status_of(b);
    send_all(a, "aaa", 3);
    int first = status_of(a);
    assert_int_equal(second, 204);
    assert_int_equal(first, 409);
    wait_for_files(1);
    assert_string_equal(download("p1", id, NULL).text, "bbbbbb");
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
    wait_for_files(0);
}

static void changed_while_it_came(void **state UNUSED)
{
    const char *id = new_image("p1", "");
    int fd = begin_upload(id, "Content-Length: 6");
    send_all(fd, "aaa", 3);
    wait_for_files(1);
    assert_int_equal(
        patch("p1", id, "[{'op': 'replace', 'path': '/disk_format', 'value': 'qcow2'}]").status,
        200);
    send_all(fd, "aaa", 3);
    assert_int_equal(status_of(fd), 409);
    wait_for_files(0);
    fd = begin_upload(id, "Content-Length: 6");
    send_all(fd, "aaa", 3);
    wait_for_files(1);
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
    send_all(fd, "aaa", 3);
    assert_int_equal(status_of(fd), 404);
    wait_for_files(0);
}

/* ---------------------------------------------------------------- refusals */

static const uint8_t *qcow2(uint64_t backing)
{
    static const uint8_t head[] = {0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 2};
    uint8_t *d = arena_alloc(t.cx.arena, 4 * 65536);
    memcpy(d, head, sizeof(head));
    d[15] = (uint8_t)backing;
    d[23] = 16;   /* cluster bits */
    d[29] = 0x10; /* 1 MiB */
    d[39] = 1;    /* L1 entries */
    d[45] = 3;    /* L1 at 3 * 65536 */
    d[53] = 1;    /* refcount table at 65536 */
    d[59] = 1;
    return d;
}

static void disks_and_what_they_are_called(void **state UNUSED)
{
    const char *id = new_image("p1", "");
    struct test_reply r = upload("p1", id, qcow2(0), 4 * 65536);
    assert_int_equal(r.status,
                     400); /* raw that is qcow2: the guest could name a file of the host */
    assert_non_null(strstr(test_str(&t, &r, "message"), "qcow2"));
    assert_int_equal(
        patch("p1", id, "[{'op': 'replace', 'path': '/disk_format', 'value': 'qcow2'}]").status,
        200);
    r = upload("p1", id, qcow2(100), 4 * 65536);
    assert_int_equal(r.status, 400);
    assert_non_null(strstr(test_str(&t, &r, "message"), "backing file"));
    wait_for_files(0);
    assert_int_equal(upload("p1", id, qcow2(0), 4 * 65536).status, 204);
    r = test_expect(&t, 200, "p1", "GET", image_path(id), NULL);
    assert_string_equal(test_str(&t, &r, "virtual_size"), "1048576");
    assert_string_equal(test_str(&t, &r, "size"), "262144");
    r = patch("p1", id, "[{'op': 'replace', 'path': '/disk_format', 'value': 'raw'}]");
    assert_int_equal(r.status, 403); /* its data is known as what it is */
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);

    id = new_image("p1", ", 'name': 'odd'");
    patch("p1", id, "[{'op': 'replace', 'path': '/disk_format', 'value': 'qcow2'}]");
    assert_int_equal(upload("p1", id, "no disk", 7).status, 204);
    struct tx *tx = NULL;
    struct image_info info;
    const struct actor a = {.project_id = "p1"};
    assert_ok(&t.cx, tx_read(&t.cx, t.store, &tx));
    assert_ok(&t.cx, image_get(&t.cx, tx, id, &a, &info));
    tx_rollback(&tx);
    assert_non_null(info.unbootable);
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
}

static void who_may(void **state UNUSED)
{
    const char *id = new_image("p1", ", 'visibility': 'private'");
    const char *path = fmt("%s/file", image_path(id));
    assert_int_equal(upload("p2", id, "x", 1).status, 404);
    assert_int_equal(upload("p1:reader", id, "x", 1).status, 403);
    assert_int_equal(raw_call("bad", "PUT", path, "application/octet-stream", "x", 1, NULL).status,
                     401);
    assert_int_equal(raw_call("p1", "PUT", path, "application/json", "x", 1, NULL).status, 415);
    assert_int_equal(upload("p1", "7e1f0a4c-0000-4000-8000-0123456789ab", "x", 1).status, 404);
    assert_int_equal(upload("p1", id, "x", 1).status, 204);
    assert_int_equal(download("p2", id, NULL).status, 404);
    assert_int_equal(download("p1:reader", id, NULL).status, 200);
    struct test_reply r = test_expect(&t, 201, "p1", "POST", IMAGES, "{'name': 'without formats'}");
    assert_int_equal(upload("p1", test_str(&t, &r, "id"), "x", 1).status, 400);
    test_expect(&t, 204, "admin", "POST", fmt("%s/actions/deactivate", image_path(id)), NULL);
    assert_int_equal(download("p1", id, NULL).status, 403);
    assert_int_equal(download("admin", id, NULL).status, 200);
    test_expect(&t, 404, "p2", "POST", fmt("%s/actions/reactivate", image_path(id)), NULL);
    test_expect(&t, 204, "p1", "POST", fmt("%s/actions/reactivate", image_path(id)), NULL);
    assert_int_equal(download("p1", id, NULL).status, 200);
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
}

/* ---------------------------------------------------------------- after a crash */

static void make_file(const char *name)
{
    AUTO_FD int fd = open(fmt("%s/%s", image_dir, name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
}

static void what_a_crash_left(void **state UNUSED)
{
    const char *id = new_image("p1", "");
    assert_int_equal(upload("p1", id, "kept", 4).status, 204);
    wait_for_files(1);
    make_file("left-1");
    make_file("left-2");
    make_file("busy");
    int busy = open(fmt("%s/busy", image_dir), O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(busy, LOCK_EX), 0);
    int fd = begin_upload(new_image("p1", ""), "Content-Length: 6"); /* one under way */
    send_all(fd, "aaa", 3);
    wait_for_files(5);
    assert_ok(&t.cx, image_clean(&t.cx, t.store));
    wait_for_files(3);
    close(busy);
    assert_ok(&t.cx, image_clean(&t.cx, t.store));
    wait_for_files(2);
    send_all(fd, "aaa", 3);
    assert_int_equal(status_of(fd), 204);
    assert_ok(&t.cx, image_clean(&t.cx, t.store));
    assert_int_equal(files(), 2);
    assert_string_equal(download("p1", id, NULL).text, "kept");
}

static _Atomic int swept; /* so many files are removed before they are locked */

int flock(int fd, int what)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    if (atomic_load(&swept) > 0) {
        ssize_t n = readlink(link, path, sizeof(path) - 1);
        must(n > 0);
        path[n] = 0;
        unlink(path);
        atomic_fetch_sub(&swept, 1);
    }
    return (int)syscall(SYS_flock, fd, what);
}

static void swept_before_it_is_locked(void **state UNUSED)
{
    const char *id = new_image("p1", "");
    atomic_store(&swept, 2);
    assert_int_equal(upload("p1", id, "kept", 4).status, 204);
    assert_string_equal(download("p1", id, NULL).text, "kept");
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
    wait_for_files(0);
    id = new_image("p1", "");
    atomic_store(&swept, 1000);
    assert_int_equal(upload("p1", id, "kept", 4).status, 503);
    atomic_store(&swept, 0);
    assert_int_equal(upload("p1", id, "kept", 4).status, 204);
    test_expect(&t, 204, "p1", "DELETE", image_path(id), NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(known_digests),
        cmocka_unit_test(ranges),
        cmocka_unit_test(in_chunks),
        cmocka_unit_test(cut_off),
        cmocka_unit_test(clients_go_away),
        cmocka_unit_test(too_large),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(two_at_once),
        cmocka_unit_test(changed_while_it_came),
        cmocka_unit_test(disks_and_what_they_are_called),
        cmocka_unit_test(who_may),
        cmocka_unit_test(swept_before_it_is_locked),
        cmocka_unit_test(what_a_crash_left),
    };
    return cmocka_run_group_tests(tests, images_setup, images_teardown);
}
