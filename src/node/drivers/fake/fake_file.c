/* SPDX-License-Identifier: EUPL-1.2 */
/* Fake guests in a file: a line each, written whole, beside and renamed, and only where a test asks
 * for it. */
#include "node/drivers/fake/fake_impl.h"

static void write_ids(FILE *out, const struct ids *l)
{
    fprintf(out, " %zu", l->n);
    for (size_t i = 0; i < l->n; i++)
        fprintf(out, " %s", l->of[i]);
}

void fake_guest_write(FILE *out, const struct guest *g)
{
    fprintf(out, "%s %d %" PRId64 " %" PRId64 " %" PRId64 " %d %" PRId64 " %" PRIu64, g->id,
            (int)g->is.power, g->is.boot_seq, g->is.reset_seq, g->is.build_seq,
            g->is.guest_shutdown, g->is.started_at_us, g->starts);
    fprintf(out, " %d %d %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, g->is.paused,
            g->is.suspended, g->is.rescue_seq, g->rescue_disk, g->is.checkpoint, g->is.restore_seq,
            g->is.sent_seq);
    write_ids(out, &g->volumes);
    write_ids(out, &g->ports);
    fputc('\n', out);
}

struct err *fake_guests_save(struct ctx *cx, struct fake_guests *f)
{
    if (!f->path)
        return NULL;
    const char *beside = arena_printf(cx->arena, "%s.new", f->path);
    FILE *out = fopen(beside, "we");
    if (!out)
        return fail(cx, ERR_UNAVAILABLE, "cannot write '%s': %m", beside);
    for (const struct guest *g = f->guests; g; g = g->next)
        fake_guest_write(out, g);
    bool bad = ferror(out) != 0;
    bad = fclose(out) != 0 || bad;
    if (bad || rename(beside, f->path) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot write '%s': %m", f->path);
    return NULL;
}

static bool read_ids(FILE *in, struct ids *ret)
{
    size_t n;
    if (fscanf(in, "%zu", &n) != 1 || n > DEVICES_MAX)
        return false;
    for (ret->n = 0; ret->n < n; ret->n++)
        if (fscanf(in, "%39s", ret->of[ret->n]) != 1)
            return false;
    return true;
}

bool fake_guest_read(FILE *in, struct guest *ret)
{
    int power, shutdown, paused, suspended;
    *ret = (struct guest){0};
    if (fscanf(in, "%39s %d %" SCNd64 " %" SCNd64 " %" SCNd64 " %d %" SCNd64 " %" SCNu64, ret->id,
               &power, &ret->is.boot_seq, &ret->is.reset_seq, &ret->is.build_seq, &shutdown,
               &ret->is.started_at_us, &ret->starts) != 8 ||
        fscanf(in, "%d %d %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64, &paused,
               &suspended, &ret->is.rescue_seq, &ret->rescue_disk, &ret->is.checkpoint,
               &ret->is.restore_seq, &ret->is.sent_seq) != 7)
        return false;
    ret->is.power = (enum guest_power)power;
    ret->is.guest_shutdown = shutdown != 0;
    ret->is.paused = paused != 0;
    ret->is.suspended = suspended != 0;
    return read_ids(in, &ret->volumes) && read_ids(in, &ret->ports);
}

struct err *fake_guests_load(struct ctx *cx, struct fake_guests *f)
{
    FILE *in = fopen(f->path, "re");
    if (!in)
        return errno == ENOENT ? NULL : fail(cx, ERR_UNAVAILABLE, "cannot read '%s': %m", f->path);
    struct guest g;
    while (fake_guest_read(in, &g)) {
        struct guest *into = fake_guest_find_or_add(f, g.id);
        g.next = into->next;
        *into = g;
    }
    bool whole = feof(in) != 0;
    fclose(in);
    return whole ? NULL : fail(cx, ERR_INVALID, "'%s' is not what a fake driver wrote", f->path);
}
