/* SPDX-License-Identifier: EUPL-1.2 */
/* See ctx.h. */
#include "base/base.h"

void ctx_init(struct ctx *cx)
{
    ctx_init_with(cx, clock_system(), rng_system());
}

void ctx_init_with(struct ctx *cx, struct clock *clock, struct rng *rng)
{
    *cx = (struct ctx){.arena = arena_new(), .clock = clock, .rng = rng};
}

void ctx_release(struct ctx *cx)
{
    arena_free(cx->arena);
    cx->arena = NULL;
}
