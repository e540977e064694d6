/* SPDX-License-Identifier: EUPL-1.2 */
/* Each filter refuses in words, the weigher spreads, nothing is promised twice. */
#include "base/test.h"
#include "schedule/schedule.h"

static struct place_host host(const char *name, int64_t memory_mib)
{
    return (struct place_host){.id = name,
                               .name = name,
                               .zone = "nova",
                               .enabled = true,
                               .alive = true,
                               .vcpus = 4,
                               .memory_mib = memory_mib,
                               .disk_gib = 100};
}

static const struct place_request small = {.vcpus = 1, .memory_mib = 512, .disk_gib = 5};

static const char *why(struct ctx *cx, const struct place_host *hosts, size_t n,
                       const struct place_request *rq)
{
    const char *reason = NULL;
    assert_int_equal(place(cx, &place_policy_default, hosts, n, rq, &reason), -1);
    return reason;
}

static void the_emptiest_host_wins(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    const char *reason = NULL;
    struct place_host hosts[] = {host("a", 2048), host("b", 4096), host("c", 4096)};
    hosts[1].used_vcpus = 2;
    assert_int_equal(place(&cx, &place_policy_default, hosts, 3, &small, &reason), 2);
    place_book(&hosts[2], &small);
    assert_int_equal(place(&cx, &place_policy_default, hosts, 3, &small, &reason), 1);
    assert_null(reason);
}

static void a_refusal_tells_filter_by_filter(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct place_host hosts[] = {host("h1", 2048), host("h2", 1024), host("h3", 8192)};
    hosts[2].enabled = false;
    hosts[2].disabled_reason = "maintenance";
    struct place_request rq = {.vcpus = 1, .memory_mib = 4096, .disk_gib = 1};
    assert_string_equal(why(&cx, hosts, 3, &rq),
                        "3 hosts: 1 disabled (maintenance), 2 lack memory (need 4096 MiB, most "
                        "free 2048 on h1)");
    assert_string_equal(why(&cx, hosts, 0, &rq), "0 hosts");
    hosts[0].alive = false;
    rq = small;
    rq.zone = "elsewhere";
    assert_string_equal(
        why(&cx, hosts, 2, &rq),
        "2 hosts: 1 not reporting, 1 in another availability zone (requested: elsewhere)");
    rq = small;
    rq.host = "h9";
    assert_string_equal(why(&cx, hosts, 1, &rq), "1 host: 1 not the requested host");
    rq = (struct place_request){.vcpus = 5, .memory_mib = 1, .disk_gib = 1};
    assert_string_equal(why(&cx, hosts + 1, 1, &rq),
                        "1 host: 1 lack vCPUs (need 5, most free 4 on h2)");
    rq = (struct place_request){.vcpus = 1, .memory_mib = 1, .disk_gib = 101};
    assert_string_equal(why(&cx, hosts + 1, 1, &rq),
                        "1 host: 1 lack disk (need 101 GiB, most free 100 on h2)");
}

static void nothing_is_promised_twice(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    const char *reason = NULL;
    struct place_host hosts[] = {host("a", 1300), host("b", 1024)};
    int placed = 0, i;
    while ((i = place(&cx, &place_policy_default, hosts, 2, &small, &reason)) >= 0) {
        place_book(&hosts[i], &small);
        assert_true(++placed <= 4);
        assert_true(hosts[i].used_memory_mib <= hosts[i].memory_mib);
    }
    assert_int_equal(placed, 4);
    assert_string_equal(reason, "2 hosts: 2 lack memory (need 512 MiB, most free 276 on a)");
}

static void ratios_stretch_what_there_is(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    const char *reason = NULL;
    struct place_host h = host("a", 100000);
    int placed = 0;
    struct place_request rq = {.vcpus = 2, .memory_mib = 1, .disk_gib = 0};
    while (place(&cx, &place_policy_default, &h, 1, &rq, &reason) == 0 && placed < 1000) {
        place_book(&h, &rq);
        placed++;
    }
    assert_int_equal(placed, 32); /* 4 vCPUs sixteen times over, two each */
    const struct place_policy strict = {100, 100, 100};
    struct place_host fresh = host("a", 100000);
    fresh.used_vcpus = 3;
    assert_int_equal(place(&cx, &strict, &fresh, 1, &rq, &reason), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_emptiest_host_wins),
        cmocka_unit_test(a_refusal_tells_filter_by_filter),
        cmocka_unit_test(nothing_is_promised_twice),
        cmocka_unit_test(ratios_stretch_what_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
