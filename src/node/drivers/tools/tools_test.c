/* SPDX-License-Identifier: EUPL-1.2 */
/* Files that survive, and helper programs that fail. */
#include "base/test.h"
#include "node/drivers/tools/files.h"
#include "node/drivers/tools/tool.h"
#include <sys/stat.h>

static char base_dir[] = "/tmp/colvert-tools-XXXXXX";
static int dir = -1;

static int begin(void **state UNUSED)
{
    must(mkdtemp(base_dir));
    dir = open(base_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0;
}

static int end(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close_fd_p(&dir);
    return dir_remove(&cx, tmp, base_dir + strlen("/tmp/")) ? -1 : 0;
}

static bool exists(const char *name)
{
    return faccessat(dir, name, F_OK, 0) == 0;
}

static void test_files(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct buf b;
    buf_init(&b, cx.arena);
    assert_ok(&cx, file_write(&cx, dir, "f", "one", 3, 0600));
    assert_ok(&cx, file_write(&cx, dir, "f", "second", 6, 0600));
    assert_ok(&cx, file_read(&cx, dir, "f", 6, &b));
    assert_string_equal(buf_cstr(&b), "second");
    buf_clear(&b);
    assert_err(&cx, ERR_TOO_LARGE, file_read(&cx, dir, "f", 5, &b));
    assert_int_equal(symlinkat("/etc/passwd", dir, "link"), 0);
    buf_clear(&b);
    assert_err(&cx, ERR_UNAVAILABLE, file_read(&cx, dir, "link", 1 << 20, &b));
    int fd;
    assert_err(&cx, ERR_UNAVAILABLE, dir_open(&cx, dir, "link", &fd));
    /* What is removed is what is here, never what a link names. */
    assert_ok(&cx, dir_make(&cx, dir, "tree", 0700, 0, 0, &fd));
    assert_int_equal(symlinkat(base_dir, fd, "up"), 0);
    assert_ok(&cx, file_write(&cx, fd, "leaf", "", 0, 0600));
    close(fd);
    assert_ok(&cx, dir_remove(&cx, dir, "tree"));
    assert_ok(&cx, dir_remove(&cx, dir, "tree"));
    assert_false(exists("tree"));
    assert_true(exists("f"));
    const char **names;
    size_t n;
    assert_ok(&cx, dir_names(&cx, dir, &names, &n));
    assert_int_equal(n, 2); /* no temporary file */
    unlinkat(dir, "f", 0);
    unlinkat(dir, "link", 0);
}

static void test_tools(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct buf out;
    buf_init(&out, cx.arena);
    assert_ok(&cx, tool_run(&cx, (const char *[]){"sh", "-c", "echo hello; echo noise >&2", NULL},
                            5000, &out));
    assert_string_equal(buf_cstr(&out), "hello\n");
    struct err *e =
        tool_run(&cx, (const char *[]){"sh", "-c", "printf 'a\\nb' >&2; exit 3", NULL}, 5000, NULL);
    assert_non_null(e);
    assert_string_equal(e->message, "sh failed: a b");
    e = tool_run(&cx, (const char *[]){"sh", "-c", "kill -9 $$", NULL}, 5000, NULL);
    assert_non_null(e);
    assert_non_null(strstr(e->message, "signal 9"));
    assert_err(&cx, ERR_TIMEOUT, tool_run(&cx, (const char *[]){"sleep", "60", NULL}, 100, NULL));
    e = tool_run(&cx, (const char *[]){"no-such-program-here", NULL}, 5000, NULL);
    assert_non_null(e);
    assert_non_null(strstr(e->message, "no such program"));
    buf_clear(&out);
    assert_ok(&cx, tool_run(&cx, (const char *[]){"head", "-c", "1000000", "/dev/zero", NULL}, 5000,
                            &out));
    assert_int_equal(out.len, 65536);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_tools),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
