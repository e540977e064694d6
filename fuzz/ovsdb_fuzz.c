/* SPDX-License-Identifier: EUPL-1.2 */
/* What an OVSDB server may send: framed within bounds, read, and taken for the rows of a network
 * and a router, whatever is in them. */
#include "node/drivers/ovn/nb_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void rows(struct ctx *cx, const json_t *results)
{
    static struct nb_router_net net = {"eeeeeeee-1111-4111-8111-111111111111", "", 1500};
    struct spec_interface i = {.port_id = "1f1f1f1f-1111-4111-8111-111111111111",
                               .network_id = net.id,
                               .mac = "fa:16:3e:00:ff:01",
                               .ips = &(struct spec_ip){.ip = "10.0.0.1", .prefix = 24},
                               .n_ips = 1};
    const struct spec_router spec = {
        .id = "55555555-1111-4111-8111-111111111111", .interfaces = &i, .n_interfaces = 1};
    const struct nb_router_facts facts = {.nets = &net, .n_nets = 1};
    struct nb_want w;
    json_t *ops = NULL;
    must(!nb_router(cx, &spec, &facts, &w));
    struct err *e = nb_changes(&w, results, &ops);
    must(!e || e->kind == ERR_BAD_GATEWAY || e->kind == ERR_NOT_FOUND);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_CTX struct ctx cx;
    struct ovsdb_frame f = {0};
    struct ovsdb_message m;
    size_t end = 0;
    ctx_init(&cx);
    char *text = arena_strndup(cx.arena, (const char *)data, size);
    size_t len = strlen(text);
    if (ovsdb_frame_end(&cx, &f, text, len, &end) || !end)
        return 0;
    must(end <= len && text[end - 1] != ' ');
    if (ovsdb_message_read(&cx, text, end, &m))
        return 0;
    struct err *e = ovsdb_results_check(&cx, m.result, 2);
    if (!e)
        rows(&cx, m.result);
    return 0;
}
