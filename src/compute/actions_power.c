/* SPDX-License-Identifier: EUPL-1.2 */
/* Actions on a server's power: on, off, paused, suspended. */
#include "compute/impl.h"

/* A start is a new boot: a late report of the last shutdown must not be taken for a new one. */
struct err *act_start(struct call *c, struct server *s, const json_t *args UNUSED)
{
    TRY(server_begin(c, s, SA_START));
    server_power(s, true);
    s->boot_seq++;
    return server_accepted(c, s);
}

struct err *act_stop(struct call *c, struct server *s, const json_t *args UNUSED)
{
    TRY(server_begin(c, s, SA_STOP));
    server_power(s, false);
    return server_accepted(c, s);
}

struct err *act_reboot(struct call *c, struct server *s, const json_t *args)
{
    const char *type = json_get_str(args, "type");
    bool hard = type && strcasecmp(type, "HARD") == 0;
    if (!hard && !(type && strcasecmp(type, "SOFT") == 0))
        return bad_member(c, "type", json_get(args, "type"),
                          "it is not one of ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', "
                          "'soft']");
    TRY(server_begin(c, s, hard ? SA_HARD_REBOOT : SA_REBOOT));
    server_power(s, true);
    if (hard)
        s->boot_seq++;
    else
        s->reset_seq++;
    return server_accepted(c, s);
}

struct err *act_pause(struct call *c, struct server *s, const json_t *args UNUSED)
{
    TRY(server_begin(c, s, SA_PAUSE));
    s->paused = true;
    return server_accepted(c, s);
}

struct err *act_unpause(struct call *c, struct server *s, const json_t *args UNUSED)
{
    TRY(server_begin(c, s, SA_UNPAUSE));
    s->paused = false;
    return server_accepted(c, s);
}

struct err *act_suspend(struct call *c, struct server *s, const json_t *args UNUSED)
{
    TRY(server_begin(c, s, SA_SUSPEND));
    server_power(s, false);
    s->suspended = true;
    return server_accepted(c, s);
}

/* The same boot goes on. */
struct err *act_resume(struct call *c, struct server *s, const json_t *args UNUSED)
{
    TRY(server_begin(c, s, SA_RESUME));
    server_power(s, true);
    return server_accepted(c, s);
}
