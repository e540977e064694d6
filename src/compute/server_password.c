/* SPDX-License-Identifier: EUPL-1.2 */
/* os-server-password: what the guest encrypted with its keypair's public half and handed to its
 * metadata service. Only the holder of the private half can read it. The host hears what is kept of
 * it: a cleared one may be followed by another. */
#include "compute/impl.h"

#define PASSWORD_MAX 1020 /* as nova's metadata service takes */

struct err *server_password_report(struct ctx *cx, struct tx *tx, struct server *s,
                                   const char *password)
{
    if (!password || !*password || str_eq(password, s->password_data))
        return NULL;
    if (strlen(password) > PASSWORD_MAX || str_utf8_len(password) < 0)
        return fail(cx, ERR_INVALID,
                    "server %s: an encrypted password is a text of at most %d bytes", s->id,
                    PASSWORD_MAX);
    s->password_data = password;
    return server_save(cx, tx, s);
}

struct err *server_password_show(struct call *c)
{
    const struct server *s = c->target;
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kstr(&w, "password", s->password_data ? s->password_data : "");
    jw_obj_end(&w);
    return NULL;
}

struct err *server_password_clear(struct call *c)
{
    struct server *s = c->target;
    call_reply_empty(c, 204);
    if (!s->password_data)
        return NULL;
    s->password_data = NULL;
    return server_save(c->cx, c->tx, s);
}
