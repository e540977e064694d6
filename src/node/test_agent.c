/* SPDX-License-Identifier: EUPL-1.2 */
/* See test_agent.h. */
#include "node/test_agent.h"
#include <ftw.h>

struct fixture *fx;

static int64_t virtual_us(struct clock *c UNUSED)
{
    return fx->now;
}

/* ---- images, and where exports go ---- */

static struct err *image_want(struct ctx *cx, void *arg UNUSED,
                              const struct spec_image *image UNUSED, bool *ret_here)
{
    if (fx->image_fails)
        return fail(cx, ERR_UNAVAILABLE, "no image today");
    *ret_here = fx->image_here;
    return NULL;
}

static void image_unuse(void *arg UNUSED, const char *user)
{
    for (size_t i = 0; i < fx->n_users; i++)
        if (str_eq(fx->users[i], user))
            memcpy(fx->users[i], fx->users[--fx->n_users], sizeof(fx->users[i]));
}

static struct err *image_use(struct ctx *cx UNUSED, void *arg, const char *user,
                             const struct spec_image *image UNUSED, const char **ret_path)
{
    image_unuse(arg, user);
    assert_true(fx->n_users < ARRAY_LEN(fx->users));
    snprintf(fx->users[fx->n_users++], sizeof(fx->users[0]), "%s", user);
    *ret_path = "/image";
    return NULL;
}

static struct err *images_kept(struct ctx *cx, void *arg UNUSED, const char ***ret_ids,
                               size_t *ret_n)
{
    *ret_ids = arena_new_array(cx->arena, const char *, fx->n_users + 1);
    *ret_n = 0;
    for (size_t i = 0; i < fx->n_users; i++)
        if (str_starts(fx->users[i], CACHED_IMAGE))
            (*ret_ids)[(*ret_n)++] = fx->users[i] + strlen(CACHED_IMAGE);
    return NULL;
}

static struct err *image_send(struct ctx *cx, void *arg UNUSED, const char *image_id UNUSED,
                              const char *path)
{
    const char *origin;
    int64_t size_gib;
    if (fx->send_fails)
        return fail(cx, ERR_UNAVAILABLE, "nobody takes it");
    TRY(fake_disk_read(cx, path, &origin, &size_gib));
    snprintf(fx->sent, sizeof(fx->sent), "%s", origin);
    fx->sends++;
    return NULL;
}

/* ---- the engine ---- */

static struct err *send_end(struct ctx *cx UNUSED, void *arg UNUSED,
                            const struct spec_move *to UNUSED, const char *server_id UNUSED,
                            const char *text UNUSED)
{
    return NULL;
}

static void start_agent(void)
{
    struct agent_setup s = {.guests = fx->guests,
                            .net = fx->net,
                            .volumes = fx->volumes,
                            .shared = fx->shared,
                            .pool_id = POOL,
                            .images = {image_want, image_use, image_unuse, NULL, images_kept},
                            .exports = {.send = image_send},
                            .moves = {.end = send_end},
                            .dir = fx->dir};
    fx->a = agent_new(&s);
    fx->guests.ops->on_change(fx->guests.drv, agent_guest_changed, fx->a);
}

static void sweep(void)
{
    assert_ok(&fx->cx, agent_sweep(&fx->cx, fx->a));
}

int fixture_setup(void **state)
{
    fx = calloc(1, sizeof(*fx));
    fx->clock = (struct clock){virtual_us, virtual_us, NULL};
    fx->now = 1000000;
    fx->image_here = true;
    snprintf(fx->dir, sizeof(fx->dir), "/tmp/colvert-agent-XXXXXX");
    assert_non_null(mkdtemp(fx->dir));
    ctx_init_with(&fx->cx, &fx->clock, rng_seed(&fx->rng, 1));
    fake_guests_new(&fx->guests);
    fake_net_new(&fx->net);
    fake_volumes_new(&fx->volumes);
    fake_volumes_new(&fx->shared);
    fake_guests_set_shared(&fx->guests, &fx->shared);
    fake_guests_set_volumes(&fx->guests, &fx->volumes);
    start_agent();
    sweep();
    log_set_level(LOG_ERROR);
    *state = fx;
    return 0;
}

static int remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED,
                      struct FTW *ftw UNUSED)
{
    return remove(path);
}

int fixture_teardown(void **state UNUSED)
{
    agent_free(fx->a);
    fx->guests.ops->free(fx->guests.drv);
    fx->net.ops->free(fx->net.drv);
    fx->volumes.ops->free(fx->volumes.drv);
    fx->shared.ops->free(fx->shared.drv);
    ctx_release(&fx->cx);
    nftw(fx->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(fx);
    return 0;
}

void restart_blind_agent(void)
{
    agent_free(fx->a);
    start_agent();
}

void restart_agent(void)
{
    restart_blind_agent();
    sweep();
}

/* ---- what it hears and says ---- */

json_t *parse(const char *text)
{
    char *s = arena_strdup(fx->cx.arena, text);
    for (char *p = s; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_t *j = NULL;
    assert_ok(&fx->cx, json_read(&fx->cx, s, strlen(s), &j));
    return j;
}

const char *server_with(const char *id, bool on, int boot, int build, const char *more)
{
    return arena_printf(
        fx->cx.arena,
        "{'kind':'server','id':'%s','revision':%d,'spec':{'id':'%s','name':'n','hostname':'n','"
        "project_id':'p',"
        "'user_id':'u','power':'%s','boot_seq':%d,'reset_seq':0,'build_seq':%d,'vcpus':1,'memory_"
        "mib':64,'root_gib':1,%s%s"
        "'config_drive':false,'meta_data':{},'network_data':{},'vendor_data':null,"
        "'user_data':null%s%s}}",
        id, (int)fx->revision, id, on ? "on" : "off", boot, build,
        strstr(more, "'image':null") ? "" : "'image':",
        strstr(more, "'image':null") ? "" : IMAGE_SPEC ",", *more ? "," : "", more);
}

const char *server_item(const char *id, bool on, int boot, int build, bool nic)
{
    return server_with(id, on, boot, build,
                       nic ? "'nics':[{'port_id':'" P1 "','network_id':'" NET
                             "','mac':'fa:16:3e:00:00:01','mtu':1500,'tap':'tap11111111-00'}]"
                           : "");
}

const char *volume_item(const char *id, int size_gib, const char *more)
{
    return arena_printf(fx->cx.arena,
                        "{'kind':'volume','id':'%s','revision':%d,'spec':{'id':'%s',"
                        "'size_gib':%d%s%s}}",
                        id, (int)fx->revision, id, size_gib, *more ? "," : "", more);
}

const char *export_item(const char *id, const char *source, const char *disk_format)
{
    return arena_printf(fx->cx.arena,
                        "{'kind':'export','id':'%s','revision':%d,'spec':{'id':'%s',%s,"
                        "'disk_format':'%s'}}",
                        id, (int)fx->revision, id, source, disk_format);
}

const char *image_item(void)
{
    return arena_printf(fx->cx.arena,
                        "{'kind':'image','id':'" IMAGE "','revision':%d,'spec':{'id':'" IMAGE
                        "','image':" IMAGE_SPEC "}}",
                        (int)fx->revision);
}

const char *network_item(bool port)
{
    return arena_printf(fx->cx.arena,
                        "{'kind':'network','id':'" NET "','revision':%d,'spec':{'id':'" NET
                        "','mtu':1500,'external':false,'subnets':[],"
                        "'ports':[%s]}}",
                        (int)fx->revision,
                        port ? "{'id':'" P1
                               "','mac':'fa:16:3e:00:00:01','tap':'tap11111111-00','device_id':'" S1
                               "','admin_state_up':true,'port_security':true,'fixed_ips':[{'ip_"
                               "address':'10.0.0.5','subnet_id':'" NET "'}]}"
                             : "");
}

const char *deleted_item(const char *kind, const char *id)
{
    return arena_printf(fx->cx.arena, "{'kind':'%s','id':'%s','revision':%d,'deleted':true}", kind,
                        id, (int)fx->revision);
}

void take(bool full, const char *one, const char *two)
{
    json_t *j = parse(arena_printf(fx->cx.arena, "{'revision':%d,'full':%s,'items':[%s%s%s]}",
                                   (int)fx->revision, full ? "true" : "false", one ? one : "",
                                   two ? "," : "", two ? two : ""));
    assert_ok(&fx->cx, agent_take(&fx->cx, fx->a, full ? 0 : agent_revision(fx->a), j));
}

int run_for(int64_t seconds)
{
    int64_t end = fx->now + seconds * 1000000, next;
    int steps = 0;
    for (;;) {
        struct item *it = agent_claim(fx->a, ALL_KINDS, fx->now, &next);
        if (it) {
            agent_step(&fx->cx, fx->a, it);
            assert_true(++steps < 1000);
        } else if (next > end) {
            fx->now = end;
            return steps;
        } else {
            fx->now = max_i64(next, fx->now);
        }
    }
}

const json_t *report_of(const char *id)
{
    struct buf b;
    buf_init(&b, fx->cx.arena);
    struct report_batch *batch = agent_reports(&fx->cx, fx->a, 100, &b);
    if (!batch)
        return NULL;
    json_t *j = NULL;
    assert_ok(&fx->cx, json_read(&fx->cx, b.data, b.len, &j));
    agent_reports_done(fx->a, batch);
    const json_t *list = json_get(j, "reports");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_eq(json_get_str(json_array_get(list, i), "id"), id))
            return json_get(json_array_get(list, i), "observed");
    return NULL;
}

enum guest_power power_of(const char *id)
{
    struct guest_state is;
    fake_guest_state(&fx->guests, id, &is);
    return is.power;
}

struct guest_state state_of(const char *id)
{
    struct guest_state is;
    fake_guest_state(&fx->guests, id, &is);
    return is;
}
