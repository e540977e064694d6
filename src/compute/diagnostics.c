/* SPDX-License-Identifier: EUPL-1.2 */
/* Diagnostics: asked of the server's host, which answers in the form that clients get since 2.48;
 * the older one has a key for each figure. */
#include "compute/impl.h"

#define WHEN (TO(ST_ACTIVE) | TO(ST_PAUSED) | TO(ST_RESCUED) | TO(ST_VERIFY_RESIZE))

static struct err *ask(struct call *c, json_t **ret)
{
    struct server *s;
    struct fleet_host host;
    struct buf body;
    int status = 0;
    TRY(server_load_host(c, &s, &host));
    if (!(TO(state_of(s)) & WHEN))
        return server_refuse(c, s, "get_diagnostics");
    buf_init(&body, c->cx->arena);
    const char *path = arena_printf(c->cx->arena, "/servers/%s/diagnostics", s->id);
    TRY(fleet_call(c->cx, &host, path, &body, &status));
    if (status != 200 || json_read(c->cx, buf_cstr(&body), body.len, ret) || !json_is_object(*ret))
        return fail(c->cx, ERR_UNAVAILABLE,
                    "The host of instance %s could not tell of it (status %d)", s->id, status);
    return NULL;
}

/* ---------------------------------------------------------------- the older form */

struct figure {
    const char *name, *key; /* in the new form, and what follows the device's name in the old one */
};

static void write_figures(struct ctx *cx, struct jw *w, const json_t *device, const char *name,
                          const struct figure *figures, size_t n)
{
    for (size_t i = 0; i < n; i++)
        jw_kint(w, arena_printf(cx->arena, "%s%s", name, figures[i].key),
                json_get_int(device, figures[i].name, 0));
}

static void write_devices(struct ctx *cx, struct jw *w, const json_t *all)
{
    static const struct figure disk[] = {{"read_bytes", "_read"},
                                         {"read_requests", "_read_req"},
                                         {"write_bytes", "_write"},
                                         {"write_requests", "_write_req"},
                                         {"errors_count", "_errors"}};
    static const struct figure nic[] = {{"rx_octets", "_rx"},    {"rx_packets", "_rx_packets"},
                                        {"rx_drop", "_rx_drop"}, {"rx_errors", "_rx_errors"},
                                        {"tx_octets", "_tx"},    {"tx_packets", "_tx_packets"},
                                        {"tx_drop", "_tx_drop"}, {"tx_errors", "_tx_errors"}};
    const json_t *disks = json_get(all, "disk_details"), *nics = json_get(all, "nic_details");
    for (size_t i = 0; i < json_array_size(disks); i++)
        write_figures(cx, w, json_array_get(disks, i),
                      arena_printf(cx->arena, "vd%c", (char)('a' + i % 26)), disk, ARRAY_LEN(disk));
    for (size_t i = 0; i < json_array_size(nics); i++)
        write_figures(cx, w, json_array_get(nics, i), arena_printf(cx->arena, "tap%zu", i), nic,
                      ARRAY_LEN(nic));
}

static void write_old(struct ctx *cx, struct jw *w, const json_t *all)
{
    const json_t *cpus = json_get(all, "cpu_details"), *memory = json_get(all, "memory_details");
    jw_obj(w);
    for (size_t i = 0; i < json_array_size(cpus); i++)
        jw_kint(w, arena_printf(cx->arena, "cpu%zu_time", i),
                json_get_int(json_array_get(cpus, i), "time", 0));
    write_devices(cx, w, all);
    jw_kint(w, "memory", json_get_int(memory, "maximum", 0) * 1024); /* KiB */
    jw_kint(w, "memory-actual", json_get_int(memory, "used", 0) * 1024);
    jw_obj_end(w);
}

struct err *server_diagnostics(struct call *c)
{
    json_t *all = NULL;
    TRY(ask(c, &all));
    struct jw w = call_json(c, 200);
    if (c->microversion < 48)
        write_old(c->cx, &w, all);
    else
        jw_json(&w, all);
    return NULL;
}
