/* SPDX-License-Identifier: EUPL-1.2 */
/* A guest's files: overlays on cached images that never change (the root disk, the rescue disk),
 * and the config drive. */
#pragma once

#include "node/spec.h"

#define CONFIG_DRIVE_NAME "config.iso"

/* "root-<build_seq>.qcow2" */
const char *root_disk_name(struct ctx *cx, int64_t build_seq);
/* "rescue-<seq>.qcow2" */
const char *rescue_disk_name(struct ctx *cx, int64_t seq);

struct overlay_wish {
    const char *name;
    const struct spec_image *image;
    const char *image_path;
    int64_t size_gib; /* at least; the image's own size where that is more */
};
/* Makes the overlay in the guest's folder, written beside and renamed. The image is not opened: its
 * header may be hostile. */
MUST_USE struct err *overlay_make(struct ctx *cx, int guest_fd, const struct overlay_wish *w);
/* Overlays but these two (NULL: none), and what an interrupted call left, are removed. */
MUST_USE struct err *overlays_tidy(struct ctx *cx, int guest_fd, const char *root,
                                   const char *rescue);

/* The ISO (label "config-2") that cloud-init reads: openstack/latest/ and ec2/latest/. */
MUST_USE struct err *config_drive_make(struct ctx *cx, int guest_fd, const char *guest_path,
                                       const struct spec_server *spec);
MUST_USE struct err *config_drive_remove(struct ctx *cx, int guest_fd);

/* O_DIRECT works for the file (not on tmpfs). */
bool file_allows_direct(int dir_fd, const char *name);
