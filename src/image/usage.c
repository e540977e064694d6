/* SPDX-License-Identifier: EUPL-1.2 */
/* What a project has of images and may have: /v2/info/usage. */
#include "image/resources.h"

#define MIB_OF(column) "(CAST(COALESCE(SUM(" column "), 0) AS BIGINT) + 1048575) / 1048576"

const struct stmt stmt_image_count = {"image_count",
                                      "SELECT COUNT(*) FROM images WHERE owner = $1"};
const struct stmt stmt_image_size = {"image_size",
                                     "SELECT " MIB_OF("size") " FROM images WHERE owner = $1"};
const struct stmt stmt_image_staged = {
    "image_staged", "SELECT " MIB_OF("staged_size") " FROM images WHERE owner = $1"};
const struct stmt stmt_image_uploading = {
    "image_uploading", "SELECT COUNT(*) FROM images WHERE owner = $1 AND status = 'uploading'"};

struct err *image_usage(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "usage");
    for (size_t i = 0; i < image_service.n_quotas; i++) {
        const char *name = image_service.quotas[i].name, *project = c->actor->project_id;
        int64_t limit, used;
        TRY(quota_limit(c->cx, c->tx, &image_service, name, project ? project : "", &limit));
        TRY(quota_usage(c->cx, c->tx, &image_service, name, project ? project : "", &used));
        jw_kobj(&w, name);
        jw_kint(&w, "limit", limit);
        jw_kint(&w, "usage", used);
        jw_obj_end(&w);
    }
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}
