/* SPDX-License-Identifier: EUPL-1.2 */
/* Texts from outside: times, ids, addresses, numbers, base64. What is taken has one form, which is
 * taken again as itself. */
#include "resource/resource.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_stable(struct ctx *cx, const char *text)
{
    static const char *(*const checks[])(struct ctx *, const json_t *, json_t **) = {
        check_uuid, check_ip, check_ipv4, check_ipv6, check_cidr, check_mac, check_object};
    json_t *j = json_string(text);
    if (!j) /* no UTF-8 */
        return;
    json_own(cx, j);
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        json_t *once = NULL, *twice = NULL;
        const char *why = checks[i](cx, j, &once);
        must(!why || *why);
        if (why || !once)
            continue;
        must(!checks[i](cx, once, &twice));
        must(json_equal(once, twice));
    }
}

static void check_time(struct ctx *cx, const char *text)
{
    int64_t us = 0, again = 0;
    if (!time_parse(text, &us))
        return;
    if (us >= 0) { /* earlier years are printed as they come */
        must(time_parse(time_iso(cx, us, TIME_MICROS_Z), &again));
        must(again == us);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    char *text = arena_strndup(cx.arena, (const char *)data, size);
    uint8_t *raw;
    size_t raw_size;
    int64_t n;
    bool b;
    char **parts;
    check_stable(&cx, text);
    check_time(&cx, text);
    if (str_to_i64(text, -1000, 1000, &n))
        must(n >= -1000 && n <= 1000);
    (void)str_to_bool(text, &b);
    (void)uuid_valid(text);
    if (base64_decode(&cx, text, &raw, &raw_size))
        must(raw_size <= strlen(text));
    if (base64url_decode(&cx, text, &raw, &raw_size))
        must(strlen(base64url_encode(&cx, raw, raw_size)) <= strlen(text));
    must(str_split(&cx, text, ',', &parts) >= 1);
    if (str_utf8_len(text) >= 0)
        must(str_utf8_len(str_cut(&cx, text, 7)) >= 0 && strlen(str_cut(&cx, text, 7)) <= 10);
    return 0;
}
