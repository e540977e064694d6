/* SPDX-License-Identifier: EUPL-1.2 */
/* Each filter refuses in words, the weigher spreads, nothing is promised twice. */
#include "base/test.h"
#include "schedule/schedule.h"

static struct place_host host(const char *name, int64_t memory_mib)
{
    struct place_host h = {.id = name,
                           .name = name,
                           .zone = "nova",
                           .enabled = true,
                           .alive = true,
                           .vcpus = 4,
                           .memory_mib = memory_mib,
                           .disk_gib = 100,
                           .ratios = place_ratios_default};
    place_size(&h);
    return h;
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
    struct place_request rq = small;
    place_book(&hosts[2], &rq);
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
        struct place_request rq = small;
        place_book(&hosts[i], &rq);
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
    struct place_host fresh = host("a", 100000);
    fresh.used_vcpus = 3;
    fresh.ratios.vcpus = 1000;
    place_size(&fresh);
    assert_int_equal(place(&cx, &place_policy_default, &fresh, 1, &rq, &reason), -1);
    fresh.ratios.vcpus = 1500;
    fresh.reserved_vcpus = 1;
    place_size(&fresh);
    assert_int_equal(fresh.can_vcpus, 4);
    fresh.reserved_vcpus = 5;
    place_size(&fresh);
    assert_int_equal(fresh.can_vcpus, 0);
}

static void settings_are_read_or_refused(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    static const char *const bad[] = {"", "x", "1x", "0", "-1", "inf", "nan", "1e9"};
    struct place_policy policy = place_policy_default;
    const char *reason = NULL;
    int64_t ratio;
    double weight;
    assert_true(place_ratio_read("1.125", &ratio));
    assert_int_equal(ratio, 1125);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(place_ratio_read(bad[i], &ratio));
    assert_true(place_weight_read("-1.5", &weight) && weight < -1.4);
    assert_err(&cx, ERR_INVALID,
               place_filters_read(&cx, "ComputeFilter,Nonsense", &policy.filters));
    /* Without the zones' filter the zone asked for does not matter; room does, always. */
    assert_ok(&cx, place_filters_read(&cx, "ComputeFilter, NumInstancesFilter", &policy.filters));
    struct place_host h = host("a", 2048);
    struct place_request rq = small;
    rq.zone = "elsewhere";
    assert_int_equal(place(&cx, &policy, &h, 1, &rq, &reason), 0);
    rq.memory_mib = 4096;
    assert_int_equal(place(&cx, &policy, &h, 1, &rq, &reason), -1);
    assert_string_equal(reason, "1 host: 1 lack memory (need 4096 MiB, most free 2048 on a)");
    assert_ok(&cx, place_filters_read(&cx, "", &policy.filters));
    rq = small;
    h.servers = h.servers_max = 3;
    assert_int_equal(place(&cx, &policy, &h, 1, &rq, &reason), -1);
    assert_string_equal(reason, "1 host: 1 have all the servers they may (at most 3 on a)");
}

static void weights_pack_or_spread(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct place_policy policy = place_policy_default;
    const char *reason = NULL;
    struct place_host hosts[] = {host("a", 4096), host("b", 4096), host("c", 4096)};
    hosts[1].used_memory_mib = 2048;
    assert_int_equal(place(&cx, &policy, hosts, 3, &small, &reason), 0);
    policy.weights[PLACE_WEIGH_ram] = policy.weights[PLACE_WEIGH_cpu] = -1;
    assert_int_equal(place(&cx, &policy, hosts, 3, &small, &reason), 1);
    bool chosen[3] = {false};
    policy = place_policy_default;
    policy.subset = 2;
    for (int i = 0; i < 200; i++)
        chosen[place(&cx, &policy, hosts, 3, &small, &reason)] = true;
    assert_true(chosen[0] && chosen[2]);
    assert_false(chosen[1]);
}

/* The best hosts are asked one by one, and past some refusals all the others at once: whichever
 * way, the best that passes is found. */
static void the_best_that_passes_wins_among_many(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    enum { MANY = 100 };
    struct place_host hosts[MANY];
    const char *reason = NULL;
    for (int i = 0; i < MANY; i++)
        hosts[i] = host("h", 1000 + (i * 37) % MANY);
    for (int dead = 0; dead < MANY; dead++) {
        int best = -1;
        for (int i = 0; i < MANY; i++)
            if (hosts[i].alive && (best < 0 || hosts[i].memory_mib > hosts[best].memory_mib))
                best = i;
        assert_int_equal(place(&cx, &place_policy_default, hosts, MANY, &small, &reason), best);
        hosts[best].alive = false;
    }
    assert_string_equal(why(&cx, hosts, MANY, &small), "100 hosts: 100 not reporting");
    hosts[5].alive = true;
    hosts[5].used_disk_gib = 200; /* more than it has: nothing to those who need none */
    struct place_request rq = small;
    rq.disk_gib = 0;
    assert_int_equal(place(&cx, &place_policy_default, hosts, MANY, &rq, &reason), 5);
}

static void aggregates_are_for_some(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    static const struct place_pair says[] = {{"filter_tenant_id", "p1"},
                                             {"filter_tenant_id_2", "p2"},
                                             {"instance_type", "small"},
                                             {"os_distro", "debian"},
                                             {"capabilities:cpu_arch", "x86_64"}};
    static const struct place_pair arm = {"hw_architecture", "aarch64"};
    static const struct place_pair other = {"os_distro", "windows"};
    static const struct place_pair debian = {"os_distro", "Debian"};
    struct place_host h = host("a", 4096);
    struct place_request rq = small;
    const char *reason = NULL;
    h.metadata = says;
    h.n_metadata = ARRAY_LEN(says);
    rq.project_id = "p2";
    rq.flavor_name = "small";
    rq.image = &debian;
    rq.n_image = 1;
    assert_int_equal(place(&cx, &place_policy_default, &h, 1, &rq, &reason), 0);
    rq.image = &other;
    assert_string_equal(why(&cx, &h, 1, &rq), "1 host: 1 in an aggregate for other images");
    rq.image = &arm;
    assert_string_equal(
        why(&cx, &h, 1, &rq),
        "1 host: 1 unable to run the image (the image has hw_architecture: aarch64)");
    rq.flavor_name = "large";
    assert_string_equal(why(&cx, &h, 1, &rq), "1 host: 1 in an aggregate for other flavors");
    rq.flavor_name = "small";
    rq.project_id = "p3";
    assert_string_equal(why(&cx, &h, 1, &rq), "1 host: 1 in an aggregate for other projects");
}

static void servers_of_a_group_stay_together_or_apart(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    const char *reason = NULL;
    struct place_host hosts[] = {host("a", 2048), host("b", 4096)};
    struct place_request rq = small;
    rq.group = PLACE_AFFINITY;
    hosts[0].group_members = rq.group_size = 1;
    assert_int_equal(place(&cx, &place_policy_default, hosts, 2, &rq, &reason), 0);
    assert_string_equal(why(&cx, hosts + 1, 1, &rq), "1 host: 1 away from the server group");
    rq.group = PLACE_ANTI_AFFINITY;
    assert_int_equal(place(&cx, &place_policy_default, hosts, 2, &rq, &reason), 1);
    place_book(&hosts[1], &rq);
    assert_string_equal(why(&cx, hosts, 2, &rq), "2 hosts: 2 full for the server group");
    rq.group_per_host = 2;
    assert_int_equal(place(&cx, &place_policy_default, hosts, 2, &rq, &reason), 1);
    /* As a wish it orders hosts, and refuses none. */
    rq.soft = true;
    hosts[1].group_members = 3;
    assert_int_equal(place(&cx, &place_policy_default, hosts, 2, &rq, &reason), 0);
    rq.group = PLACE_AFFINITY;
    assert_int_equal(place(&cx, &place_policy_default, hosts, 2, &rq, &reason), 1);
    hosts[1].enabled = false;
    assert_int_equal(place(&cx, &place_policy_default, hosts, 2, &rq, &reason), 0);
}

/* The first of a group binds the others, in the same snapshot too. */
static void the_first_of_a_group_goes_anywhere(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    const char *reason = NULL;
    struct place_host hosts[] = {host("a", 1200), host("b", 1100)};
    struct place_request rq = small;
    rq.group = PLACE_AFFINITY;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(place(&cx, &place_policy_default, hosts, 2, &rq, &reason), 0);
        place_book(&hosts[0], &rq);
    }
    assert_string_equal(why(&cx, hosts, 2, &rq),
                        "2 hosts: 1 away from the server group, 1 lack memory (need 512 MiB, most "
                        "free 176 on a)");
}

static void other_servers_hosts_are_wanted_or_not(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    const char *reason = NULL;
    static const char *const a_only[] = {"a"};
    struct place_host hosts[] = {host("a", 2048), host("b", 4096)};
    struct place_request rq = small;
    rq.same_hosts = a_only;
    rq.n_same_hosts = 1;
    assert_int_equal(place(&cx, &place_policy_default, hosts, 2, &rq, &reason), 0);
    rq.n_same_hosts = 0; /* named servers that are nowhere */
    assert_string_equal(why(&cx, hosts, 1, &rq),
                        "1 host: 1 without the servers that same_host names");
    rq = small;
    rq.different_hosts = a_only;
    rq.n_different_hosts = 1;
    assert_string_equal(why(&cx, hosts, 1, &rq),
                        "1 host: 1 with a server that different_host names");
    rq = small;
    hosts[0].address = "192.0.2.7";
    hosts[1].address = "192.0.3.7";
    rq.near = "192.0.2.0/24";
    assert_int_equal(place(&cx, &place_policy_default, hosts, 2, &rq, &reason), 0);
    rq.near = "192.0.2.0/25";
    hosts[0].address = "192.0.2.200";
    assert_string_equal(why(&cx, hosts, 1, &rq),
                        "1 host: 1 outside of the requested subnet (192.0.2.0/25)");
}

static void aggregates_answer_a_flavors_specs(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    const char *reason = NULL;
    static const struct place_pair fast[] = {{"disk", "hdd"}, {"disk", "ssd"}, {"cores", "32"}};
    static const struct place_pair specs[] = {{"disk", "<or> nvme <or> ssd"}, {"cores", ">= 16"}};
    struct place_host hosts[] = {host("a", 2048), host("b", 4096)};
    struct place_request rq = small;
    rq.specs = specs;
    rq.n_specs = 2;
    hosts[0].metadata = fast;
    hosts[0].n_metadata = 3;
    assert_int_equal(place(&cx, &place_policy_default, hosts, 2, &rq, &reason), 0);
    hosts[0].n_metadata = 2;
    assert_string_equal(why(&cx, hosts, 1, &rq),
                        "1 host: 1 in no aggregate that suits the flavor (wants cores: >= 16)");
}

static void traits_are_required_or_forbidden(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    static const char *const has[] = {"HW_CPU_X86_AVX", "CUSTOM_GOLD"};
    const char *reason = NULL;
    struct place_host hosts[] = {host("a", 2048), host("b", 1024)};
    struct place_pair trait = {"CUSTOM_GOLD", "required"};
    struct place_request rq = small;
    hosts[1].traits = has;
    hosts[1].n_traits = ARRAY_LEN(has);
    rq.traits = &trait;
    rq.n_traits = 1;
    assert_int_equal(place(&cx, &place_policy_default, hosts, 2, &rq, &reason), 1);
    assert_string_equal(why(&cx, hosts, 1, &rq),
                        "1 host: 1 without the traits that the flavor wants (CUSTOM_GOLD is "
                        "required)");
    trait.value = "forbidden";
    assert_int_equal(place(&cx, &place_policy_default, hosts, 2, &rq, &reason), 0);
}

static void operators_are_read_as_nova_does(void **state UNUSED)
{
    static const struct {
        const char *value, *wanted;
        bool match;
    } rows[] = {
        {"ssd", "ssd", true},
        {"ssd", "SSD", false},
        {"123", "= 123", true},
        {"124", "= 123", true},
        {"122", "= 123", false},
        {"123", "== 123.0", true},
        {"123", "!= 123", false},
        {"x", "!= 123", false},
        {"9", ">= 10", false},
        {"9", "<= 10", true},
        {"abc", "s== abc", true},
        {"abc", "s!= abc", false},
        {"abc", "s< abd", true},
        {"b", "s> abc", true},
        {"ab", "s>= abc", false},
        {"12311321", "<in> 11", true},
        {"12311321", "<in> 44", false},
        {"aes mmx aux", "<all-in> aes mmx", true},
        {"aes mmx aux", "<all-in> aes avx", false},
        {"12", "<or> 11 <or> 12", true},
        {"13", "<or> 11 <or> 12", false},
        {"", "<or>", false},
        {"5", ">=", false},
        {"", "", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (place_spec_match(rows[i].value, rows[i].wanted) != rows[i].match)
            fail_msg("'%s' with '%s'", rows[i].value, rows[i].wanted);
    assert_true(place_in_subnet("2001:db8::7", "2001:db8::/64"));
    assert_false(place_in_subnet("2001:db9::7", "2001:db8::/32"));
    assert_false(place_in_subnet("10.0.0.1", "2001:db8::/0"));
    assert_false(place_in_subnet("nowhere", "10.0.0.0/8"));
    assert_false(place_in_subnet(NULL, "10.0.0.0/8"));
    assert_false(place_in_subnet("10.0.0.1", "10.0.0.0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_emptiest_host_wins),
        cmocka_unit_test(a_refusal_tells_filter_by_filter),
        cmocka_unit_test(nothing_is_promised_twice),
        cmocka_unit_test(ratios_stretch_what_there_is),
        cmocka_unit_test(settings_are_read_or_refused),
        cmocka_unit_test(weights_pack_or_spread),
        cmocka_unit_test(the_best_that_passes_wins_among_many),
        cmocka_unit_test(aggregates_are_for_some),
        cmocka_unit_test(servers_of_a_group_stay_together_or_apart),
        cmocka_unit_test(the_first_of_a_group_goes_anywhere),
        cmocka_unit_test(other_servers_hosts_are_wanted_or_not),
        cmocka_unit_test(aggregates_answer_a_flavors_specs),
        cmocka_unit_test(traits_are_required_or_forbidden),
        cmocka_unit_test(operators_are_read_as_nova_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
