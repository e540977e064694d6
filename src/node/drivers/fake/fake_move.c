/* SPDX-License-Identifier: EUPL-1.2 */
/* Fake guests on their way to another host: all of one is the line that stands for it in a file. */
#include "node/drivers/fake/fake_impl.h"

static const char *text_of(struct ctx *cx, const struct guest *g)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    must(out);
    fake_guest_write(out, g);
    must(fclose(out) == 0);
    const char *copy = arena_strdup(cx->arena, text);
    free(text);
    return copy;
}

/* It stands still from here on, if it runs; ret: what there is of it. */
static struct err *stand_still(struct ctx *cx, struct fake_guests *f, const char *id, bool live,
                               bool *ret_was_paused, const char **ret_text)
{
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "send", id, false));
    struct guest *g = fake_guest_find(f, id);
    if (!g || (g->is.power == GUEST_ON) != live)
        return fail(cx, ERR_CONFLICT, "guest %s is %s", id, live ? "off" : "on");
    *ret_was_paused = g->is.paused;
    g->is.paused = live;
    struct guest sent = *g;
    sent.is.paused = false;
    sent.is.suspended = live;
    sent.is.guest_shutdown = false;
    sent.is.sent_seq = 0;
    sent.is.power = GUEST_OFF;
    *ret_text = text_of(cx, &sent);
    return fake_guests_save(cx, f);
}

struct err *fake_send(struct ctx *cx, void *drv, const char *id, int64_t seq, bool live,
                      const struct move_link *link, const atomic_bool *given_up)
{
    struct fake_guests *f = drv;
    const char *text = NULL;
    bool paused = false;
    TRY(stand_still(cx, f, id, live, &paused, &text));
    TRY(fake_guest_fault(cx, f, "send_standing", id, false)); /* killed here, it stands */
    struct err *e = atomic_load(given_up) ? fail(cx, ERR_TIMEOUT, "not wanted there any more")
                                          : link->end(cx, link->arg, text);
    AUTO_LOCK(&f->lock);
    struct guest *g = fake_guest_find(f, id);
    must(g); /* its item is this step's */
    if (e) {
        g->is.paused = paused;
        TRY(fake_guests_save(cx, f));
        return e;
    }
    g->is.sent_seq = seq;
    if (live)
        fake_guest_close_volumes(f, g);
    g->sent = live;
    return fake_guest_done(cx, f, "send", id);
}

struct err *fake_receive(struct ctx *cx, void *drv UNUSED, const char *id UNUSED, const char *part,
                         int fd UNUSED)
{
    return fail(cx, ERR_INVALID, "a fake guest has no part '%s'", part);
}

struct err *fake_receive_end(struct ctx *cx, void *drv, const char *id, const char *text)
{
    struct fake_guests *f = drv;
    struct guest got;
    FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    must(in);
    bool whole = fake_guest_read(in, &got);
    fclose(in);
    if (!whole || !str_eq(got.id, id))
        return fail(cx, ERR_INVALID, "that is not the fake guest %s", id);
    AUTO_LOCK(&f->lock);
    TRY(fake_guest_fault(cx, f, "receive_end", id, false));
    struct guest *g = fake_guest_find(f, id);
    if (!g || g->is.power == GUEST_ON)
        return fail(cx, ERR_CONFLICT, "guest %s is not to be received", id);
    got.next = g->next;
    *g = got;
    return fake_guest_done(cx, f, "receive_end", id);
}
