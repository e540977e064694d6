/* SPDX-License-Identifier: EUPL-1.2 */
/* See e2e_volumes.h. */
#include "node/drivers/qemu/e2e_volumes.h"

struct volume_backend vol;

static void close_volumes(void)
{
    if (vol.ops)
        vol.ops->free(vol.drv);
    vol.ops = NULL;
}

static void open_volumes(void)
{
    const struct qcow2_volumes_config cfg = {.data_dir = data_dir, .uid = UID_FIRST + 100};
    close_volumes();
    assert_ok(&cx, qcow2_volumes_new(&cx, &cfg, &vol));
}

struct guest_backend open_all(void)
{
    open_volumes();
    return open_driver();
}

void close_all(void)
{
    const char **ids;
    size_t n;
    close_driver();
    assert_ok(&cx, vol.ops->list(&cx, vol.drv, &ids, &n));
    for (size_t i = 0; i < n; i++)
        assert_ok(&cx, vol.ops->remove(&cx, vol.drv, ids[i]));
    close_volumes();
}

int volumes_scene_end(void **state)
{
    close_volumes();
    return scene_end(state);
}

const char *in_data(const char *name)
{
    return arena_printf(cx.arena, "%s/%s", data_dir, name);
}

void make_volume(const char *id)
{
    const struct spec_volume spec = {.id = id, .size_gib = 1};
    assert_ok(&cx, vol.ops->make(&cx, vol.drv, &spec, NULL, NULL));
}

struct err *start_with(const struct guest_backend *b, const struct spec_server *spec)
{
    int taps[16];
    struct volume_access volumes[16];
    must(spec->n_nics <= ARRAY_LEN(taps) && spec->n_volumes <= ARRAY_LEN(volumes));
    for (size_t i = 0; i < spec->n_volumes; i++)
        TRY(vol.ops->access(&cx, vol.drv, spec->volumes[i].volume_id, &volumes[i]));
    /* Of a guest that is on they are taken. */
    bool on =
        state_of(b, spec->id).power == GUEST_ON && state_of(b, spec->id).boot_seq == spec->boot_seq;
    for (size_t i = 0; i < spec->n_nics; i++)
        taps[i] = on ? -1 : open_tap(spec->nics[i].tap);
    struct err *e = b->ops->start(&cx, b->drv, spec, taps, volumes);
    for (size_t i = 0; i < spec->n_nics; i++)
        close_fd_p(&taps[i]);
    return e;
}

struct err *plug_volume(const struct guest_backend *b, const char *id, const char *volume)
{
    const struct spec_use use = {.volume_id = volume, .boot_index = -1};
    struct volume_access a;
    TRY(vol.ops->access(&cx, vol.drv, volume, &a));
    return b->ops->plug_volume(&cx, b->drv, id, &use, &a);
}

/* A busy guest is asked more than once. */
void unplug_volume(const struct guest_backend *b, const char *id, const char *volume)
{
    struct err *e;
    for (int i = 0; (e = b->ops->unplug_volume(&cx, b->drv, id, volume)) &&
                    e->kind == ERR_TIMEOUT && i < E2E_WAIT_S / 10;
         i++)
        ;
    assert_ok(&cx, e);
}

void unplug_nic(const struct guest_backend *b, const char *id, const char *port)
{
    struct err *e;
    for (int i = 0; (e = b->ops->unplug_nic(&cx, b->drv, id, port)) && e->kind == ERR_TIMEOUT &&
                    i < E2E_WAIT_S / 10;
         i++)
        ;
    assert_ok(&cx, e);
}

long count_of(const struct guest_backend *b, const char *id)
{
    static const char mark[] = "count ";
    size_t from = strlen(console_of(b, id));
    type(b, id, "c");
    for (int i = 0; i < E2E_WAIT_S * 20; i++) {
        const char *text = console_of(b, id);
        const char *at = strlen(text) > from ? strstr(text + from, mark) : NULL;
        if (at && strchr(at, '\n'))
            return strtol(at + sizeof(mark) - 1, NULL, 16);
        usleep(50000);
    }
    fail_msg("the guest does not count: %s", console_of(b, id));
    return -1;
}
