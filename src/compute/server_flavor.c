/* SPDX-License-Identifier: EUPL-1.2 */
/* A server's size: the flavor as it was when the server took it, kept with the server; and the one
 * before, while a resize waits for its confirmation. */
#include "compute/impl.h"

struct err *server_find_flavor(struct call *c, const char *id, struct flavor **ret)
{
    struct err *e = flavor_find(c, id, ret);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_INVALID, "Flavor %s could not be found.", id);
    TRY(e);
    if ((*ret)->ephemeral || (*ret)->swap)
        return fail(c->cx, ERR_INVALID,
                    "Flavor %s has ephemeral or swap disks, which this cloud does not offer yet",
                    (*ret)->name);
    return NULL;
}

void server_take_flavor(struct server *s, const struct flavor *f)
{
    s->flavor_id = f->id;
    s->flavor_name = f->name;
    s->vcpus = f->vcpus;
    s->memory_mib = f->ram;
    s->root_gib = f->disk;
    s->ephemeral_gib = f->ephemeral;
    s->swap_mib = f->swap;
    s->extra_specs = f->extra_specs;
}

/* One that boots from a volume has none of its own. */
int64_t server_disk_gib(const struct server *s)
{
    return (s->image_spec ? s->root_gib : 0) + s->ephemeral_gib;
}

void server_hold(struct server *s)
{
    s->held_vcpus = s->vcpus;
    s->held_memory_mib = s->memory_mib;
    s->held_disk_gib = server_disk_gib(s);
}

/* ---------------------------------------------------------------- the one before */

static const struct {
    const char *name;
    size_t offset;
} numbers[] = {{"vcpus", offsetof(struct server, vcpus)},
               {"ram", offsetof(struct server, memory_mib)},
               {"disk", offsetof(struct server, root_gib)},
               {"ephemeral", offsetof(struct server, ephemeral_gib)},
               {"swap", offsetof(struct server, swap_mib)}};

static int64_t *number(struct server *s, size_t i)
{
    return (int64_t *)(void *)((char *)s + numbers[i].offset);
}

void server_keep_flavor(struct ctx *cx, struct server *s)
{
    json_t *j = json_own(cx, json_object());
    json_object_set_new(j, "id", json_string(s->flavor_id));
    json_object_set_new(j, "name", json_string(s->flavor_name));
    json_object_set_new(j, "extra_specs", json_string(s->extra_specs));
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        json_object_set_new(j, numbers[i].name, json_integer(*number(s, i)));
    s->old_flavor = json_text(cx, j);
}

void server_restore_flavor(struct ctx *cx, struct server *s)
{
    json_t *j = NULL;
    struct err *e = json_read(cx, s->old_flavor, strlen(s->old_flavor), &j);
    must(!e); /* json_text wrote it */
    s->flavor_id = json_get_str(j, "id");
    s->flavor_name = json_get_str(j, "name");
    s->extra_specs = json_get_str(j, "extra_specs");
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        *number(s, i) = json_get_int(j, numbers[i].name, 0);
    s->old_flavor = NULL;
}
