/* SPDX-License-Identifier: EUPL-1.2 */
/* What a host is told of a server: its spec, read from the tables when the agent asks.
 * node/README.md has the form. */
#include "compute/impl.h"

const struct stmt stmt_servers_on_host = {
    "servers_on_host",
    "SELECT id FROM servers WHERE host_id = $1 AND state NOT IN ('DELETING', 'OFFLOADING') UNION "
    "SELECT id FROM servers WHERE other_host_id = $1 ORDER BY id"};

const struct stmt stmt_image_on_host = {
    "image_on_host",
    "SELECT id FROM servers WHERE (host_id = $1 OR other_host_id = $1) AND (image_id = $2 OR "
    "rescue_image_id = $2 OR shelved_image = $2) UNION SELECT image_id FROM cached_images WHERE host_id = $1 AND image_id "
    "= $2 LIMIT 1"};

#define HA_METADATA "HA_Enabled" /* as Masakari has it */
#define HA_EXTRA_SPEC "colvert:ha"

static bool says_yes(struct ctx *cx, const char *map, const char *key)
{
    json_t *j = NULL;
    bool yes = false;
    struct err *e = map ? json_read(cx, map, strlen(map), &j) : NULL;
    return !e && str_to_bool(json_get_str(j, key), &yes) && yes;
}

bool server_is_ha(struct ctx *cx, const struct server *s)
{
    return says_yes(cx, s->metadata, HA_METADATA) || says_yes(cx, s->extra_specs, HA_EXTRA_SPEC);
}

static void write_key(struct jw *w, const struct server *s)
{
    if (!s->key_name || !s->key_data)
        return;
    jw_kobj(w, "public_keys");
    jw_kstr(w, s->key_name, s->key_data);
    jw_obj_end(w);
    jw_karr(w, "keys");
    jw_obj(w);
    jw_kstr(w, "name", s->key_name);
    jw_kstr(w, "type", s->key_type);
    jw_kstr(w, "data", s->key_data);
    jw_obj_end(w);
    jw_arr_end(w);
}

/* What is inside the server, beside the columns of its row. */
struct devices {
    struct server_port *ports;
    struct volume_use *uses;
    size_t n_ports, n_uses;
};

static void write_tag(struct jw *w, const char *tag)
{
    jw_karr(w, "tags");
    jw_str(w, tag);
    jw_arr_end(w);
    jw_obj_end(w);
}

/* Those that their user tagged: so that the guest knows which is which. */
static void write_tagged(struct ctx *cx, struct jw *w, const struct devices *d)
{
    jw_karr(w, "devices");
    for (size_t i = 0; i < d->n_ports; i++) {
        if (!d->ports[i].tag || d->ports[i].leaving)
            continue;
        jw_obj(w);
        jw_kstr(w, "type", "nic");
        jw_kstr(w, "bus", "pci");
        jw_kstr(w, "mac", d->ports[i].mac);
        write_tag(w, d->ports[i].tag);
    }
    for (size_t i = 0; i < d->n_uses; i++) {
        if (!d->uses[i].tag || d->uses[i].state == USE_DETACHING)
            continue;
        jw_obj(w);
        jw_kstr(w, "type", "disk");
        jw_kstr(w, "bus", "virtio");
        jw_kstr(w, "path", d->uses[i].device);
        jw_kstr(w, "serial", arena_strndup(cx->arena, d->uses[i].volume_id, 20));
        write_tag(w, d->uses[i].tag);
    }
    jw_arr_end(w);
}

/* meta_data.json, whole: https://docs.openstack.org/nova/latest/user/metadata.html */
static void write_meta_data(struct ctx *cx, struct jw *w, const struct server *s,
                            const struct devices *d)
{
    jw_kobj(w, "meta_data");
    jw_kstr(w, "uuid", s->id);
    jw_kstr(w, "name", s->display_name);
    jw_kstr(w, "hostname", s->hostname);
    jw_kint(w, "launch_index", s->launch_index);
    jw_kstr(w, "availability_zone", s->zone);
    jw_kstr(w, "project_id", s->project_id);
    jw_kraw(w, "meta", s->metadata);
    jw_kstr(w, "random_seed", s->random_seed);
    write_tagged(cx, w, d);
    if (s->admin_pass)
        jw_kstr(w, "admin_pass", s->admin_pass);
    write_key(w, s);
    jw_obj_end(w);
}

/* Beside on and off. */
static void write_condition(struct jw *w, const struct server *s)
{
    jw_kbool(w, "paused", s->paused);
    jw_kbool(w, "suspended", s->suspended);
    jw_kint(w, "checkpoint", s->checkpoint);
    jw_kint(w, "restore_seq", s->restore_seq);
    jw_kstr(w, "password_data", s->password_data);
    if (!s->rescue_spec) {
        jw_knull(w, "rescue");
        return;
    }
    jw_kobj(w, "rescue");
    jw_kint(w, "seq", s->rescue_seq);
    jw_kraw(w, "image", s->rescue_spec);
    jw_obj_end(w);
}

static void write_machine(struct ctx *cx, struct jw *w, const struct server *s)
{
    jw_kstr(w, "id", s->id);
    jw_kstr(w, "name", s->display_name);
    jw_kstr(w, "hostname", s->hostname);
    jw_kstr(w, "project_id", s->project_id);
    jw_kstr(w, "user_id", s->user_id);
    jw_kstr(w, "power", s->want_power ? "on" : "off");
    jw_kint(w, "boot_seq", s->boot_seq);
    jw_kint(w, "reset_seq", s->reset_seq);
    jw_kint(w, "build_seq", s->build_seq);
    jw_kint(w, "vcpus", s->vcpus);
    jw_kint(w, "memory_mib", s->memory_mib);
    jw_kint(w, "root_gib", s->root_gib);
    jw_kraw(w, "image", s->image_spec);
    jw_kbool(w, "config_drive", s->config_drive);
    jw_kint(w, "serial_ports", 1);
    jw_kbool(w, "ha", server_is_ha(cx, s));
}

struct err *server_view(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                        struct jw *w, bool *ret_present)
{
    void *row = NULL;
    struct devices d;
    *ret_present = false;
    TRY(res_get(cx, tx, &server_resource, item_id, &row));
    const struct server *s = row;
    if (!s || !move_wants(s, host_id))
        return NULL;
    TRY(server_ports(cx, tx, s->id, &d.ports, &d.n_ports));
    TRY(server_uses(cx, tx, s->id, &d.uses, &d.n_uses));
    *ret_present = true;
    jw_obj(w);
    write_machine(cx, w, s);
    write_condition(w, s);
    TRY(move_write(cx, tx, w, s, host_id));
    write_nics(w, d.ports, d.n_ports);
    write_volumes(w, d.uses, d.n_uses);
    write_meta_data(cx, w, s, &d);
    jw_key(w, "network_data");
    TRY(network_data_write(cx, tx, s->id, w));
    jw_kraw(w, "vendor_data", "{}");
    jw_kstr(w, "user_data", s->user_data);
    jw_obj_end(w);
    return NULL;
}

struct err *server_ids_on(struct ctx *cx, struct tx *tx, const char *host_id,
                          struct db_rows *ret_ids)
{
    struct db_value param = V_TEXT(host_id);
    return db_query(cx, tx, &stmt_servers_on_host, &param, 1, ret_ids);
}

struct err *compute_uses_image(struct ctx *cx, struct tx *tx, const char *host_id,
                               const char *image_id, bool *ret)
{
    const struct db_value params[] = {V_TEXT(host_id), V_TEXT(image_id)};
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_image_on_host, params, 2, &rows));
    *ret = rows.n_rows > 0;
    return NULL;
}
