/* SPDX-License-Identifier: EUPL-1.2 */
/* What users do, through the API, and what they were promised: only an acknowledged request counts,
 * and each of those does. user_servers.c and user_volumes.c have the requests. */
#include "sim/world_impl.h"

void check_answer(struct world *w, const char *what, const char *id, int status, int right)
{
    if (status != right && (status != 503 || w->healed))
        broken(w, "%s of %s is answered with %d, not %d", what, id, status, right);
}

/* Now and then the control plane ends between its commit and the answer: nobody is woken. */
void user_acts(struct world *w)
{
    bool crash = chance(w, 3), twice = chance(w, 5);
    struct request rq =
        rng_below(&w->rng.rng, 100) < 60 ? draw_server_request(w) : draw_volume_request(w);
    w->deaf_to_wakes = crash;
    for (int i = 0; i <= twice && !w->failed; i++) { /* a client that heard nothing asks again */
        begin_db_trouble(w);
        rq.send(w, &rq);
        end_db_trouble(w);
    }
    w->deaf_to_wakes = false;
    if (crash)
        plane_goes_down(w);
}

void delete_all(struct world *w)
{
    for (size_t i = 0; i < w->n_servers && !w->failed; i++)
        if (w->servers[i].row == THERE)
            delete_server(w, &w->servers[i]);
}

/* Snapshots before their volumes: to be called once more after the former are gone. */
void delete_all_volumes(struct world *w)
{
    size_t left = 0;
    for (size_t i = 0; i < w->n_snapshots && !w->failed; i++) {
        left += w->snapshots[i].row == THERE;
        if (w->snapshots[i].row == THERE)
            delete_snapshot(w, &w->snapshots[i]);
    }
    for (size_t i = 0; i < w->n_volumes && !w->failed && !left; i++)
        if (w->volumes[i].row == THERE)
            delete_volume(w, &w->volumes[i]);
}
