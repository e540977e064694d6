/* SPDX-License-Identifier: EUPL-1.2 */
/* The network writer's process: settings become its configuration. */
#include "cmd/wiring.h"
#include "fleet/fleet.h"
#include "node/writer_main.h"

static struct err *configure(struct ctx *cx, const struct settings *s, struct writer_config *ret)
{
    if (!str_eq(s->network_driver, "ovn"))
        return fail(cx, ERR_INVALID,
                    "'colvert network' is for regions whose network_driver is ovn, not '%s'",
                    s->network_driver);
    *ret = (struct writer_config){
        .ovn = {.nb = s->ovn_nb, .sb = s->ovn_sb},
        .loop = {.host = FLEET_WRITER, .data_dir = writer_dir(cx, s)},
    };
    TRY(agent_api_urls(cx, s, &ret->loop.api_urls));
    return agent_secret(cx, writer_dir(cx, s), &ret->loop.secret);
}

int network_main(const struct settings *s)
{
    AUTO_CTX struct ctx cx;
    struct writer_config cfg;
    ctx_init(&cx);
    log_set_role("network");
    struct err *e = configure(&cx, s, &cfg);
    if (!e)
        e = writer_main(&cx, &cfg);
    return e ? complain(&cx, e) : 0;
}
