/* SPDX-License-Identifier: EUPL-1.2 */
/* The agent's process. */
#include "cmd/wiring.h"

int node_main(const struct settings *s)
{
    (void)s;
    pause();
    return 0;
}

int node_purge(const struct settings *s)
{
    (void)s;
    return 0;
}
