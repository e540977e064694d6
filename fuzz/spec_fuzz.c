/* SPDX-License-Identifier: EUPL-1.2 */
/* Specs and watch answers of a hostile control plane: refused, or within their bounds. */
#include "node/agent.h"
#include "node/drivers/fake/fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What drivers put into rules, files and command lines. */
static void check_word(const char *s)
{
    for (; s && *s; s++)
        must((unsigned char)*s > ' ' && !strchr("\"'\\;{}$`,", *s));
}

static void check_network(const struct spec_network *n)
{
    check_word(n->id);
    for (size_t i = 0; i < n->n_subnets; i++) {
        const struct spec_subnet *s = &n->subnets[i];
        check_word(s->cidr);
        check_word(s->gateway_ip);
        check_word(s->dhcp_ip);
        for (size_t k = 0; k < s->n_dns; k++)
            check_word(s->dns_nameservers[k]);
        for (size_t k = 0; k < s->n_host_routes; k++)
            check_word(s->host_routes[k].nexthop);
    }
    for (size_t i = 0; i < n->n_ports; i++) {
        const struct spec_port *p = &n->ports[i];
        must(strlen(p->tap) == 14 && strlen(p->mac) == 17);
        check_word(p->tap);
        check_word(p->hostname);
        for (size_t k = 0; k < p->n_rules; k++) {
            check_word(p->rules[k].protocol);
            must(p->rules[k].port_min >= -1 && p->rules[k].port_max <= 65535);
        }
    }
}

static void check_image(const struct spec_image *image)
{
    check_word(image->sha512);
    must(!image->id || (strlen(image->id) == 36 && strlen(image->sha512) == 128));
}

static void check_volume(const struct spec_volume *v)
{
    must(strlen(v->id) == 36 && v->size_gib >= 1);
    check_image(&v->source.image);
    for (size_t i = 0; i < v->n_snapshots; i++)
        must(strlen(v->snapshots[i]) == 36);
    must(!v->source.snapshot_id || v->source.volume_id);
}

static void check_server(const struct spec_server *s)
{
    check_word(s->id);
    check_word(s->hostname);
    check_image(&s->image);
    must(s->vcpus >= 1 && s->memory_mib >= 1 && s->root_gib >= 0 && s->rescue.seq >= 0);
    if (s->rescue.seq)
        check_image(&s->rescue.image);
    for (size_t i = 0; i < s->n_volumes; i++)
        must(strlen(s->volumes[i].volume_id) == 36 && s->volumes[i].boot_index >= -1);
    for (size_t i = 0; i < s->n_nics; i++)
        must(strlen(s->nics[i].tap) == 14 && strlen(s->nics[i].network_id) == 36);
}

static void feed_agent(struct ctx *cx, const json_t *j)
{
    static const struct image_source no_images;
    struct agent_setup setup = {.images = no_images};
    fake_guests_new(&setup.guests);
    fake_net_new(&setup.net);
    struct agent *a = agent_new(&setup);
    must(!agent_sweep(cx, a));
    struct err *e = agent_take(cx, a, 0, j);
    must(!e || e->kind == ERR_INVALID);
    agent_free(a);
    setup.guests.ops->free(setup.guests.drv);
    setup.net.ops->free(setup.net.drv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    json_t *j = NULL;
    struct spec_server server;
    struct spec_network network;
    struct spec_router router;
    struct spec_volume volume;
    struct spec_export export;
    if (json_read(&cx, (const char *)data, size, &j))
        return 0;
    if (!spec_server_read(&cx, j, &server))
        check_server(&server);
    if (!spec_network_read(&cx, j, &network))
        check_network(&network);
    if (!spec_router_read(&cx, j, &router))
        for (size_t i = 0; i < router.n_floating; i++)
            check_word(router.floating[i].floating_ip);
    if (!spec_volume_read(&cx, j, &volume))
        check_volume(&volume);
    if (!spec_export_read(&cx, j, &export))
        must(!export.server_id != !export.volume_id);
    feed_agent(&cx, j);
    return 0;
}
