/* SPDX-License-Identifier: EUPL-1.2 */
/* The attachments API. Those made here are records for whoever brings the data to a machine of
 * their own: no server's host plugs anything because of them. */
#include "volume/impl.h"

static void encode_attached_at(struct ctx *cx, struct jw *w, const void *row,
                               const struct view *v UNUSED)
{
    const struct attachment *a = row;
    jw_str(w, a->attached_at ? time_iso(cx, a->attached_at, TIME_MICROS) : "");
}

static void encode_empty(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                         const struct view *v UNUSED)
{
    jw_str(w, "");
}

static void encode_connection_info(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                                   const struct view *v UNUSED)
{
    jw_raw(w, "{}");
}

#define RESOURCE attachment
#define RESOURCE_DEF "volume/attachment.def"
#include "resource/declare_fields.h"

static const struct res_index attachment_indexes[] = {
    {"attachments_volume", "volume_id", false, NULL},
    {"attachments_server", "server_id", false, "server_id IS NOT NULL"},
    {"attachments_deadline", "state_deadline", false, "state_deadline IS NOT NULL"}};
const struct resource attachment_resource = {
    .name = "attachment",
    .plural = "attachments",
    .table = "attachments",
    RESOURCE_FIELDS(attachment),
    .owner = attachment_f_project_id,
    .not_found = "Volume attachment could not be found with filter: attachment_id = %s.",
    .indexes = attachment_indexes,
    .n_indexes = ARRAY_LEN(attachment_indexes),
    .time_style = TIME_MICROS,
    .dflt_sort = "created_at:desc,id:desc",
    .doc = "Who uses a volume."};
