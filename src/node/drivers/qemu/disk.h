/* SPDX-License-Identifier: EUPL-1.2 */
/* A guest's files: the root disk (a qcow2 overlay on a cached image that never changes) and the
 * config drive. */
#pragma once

#include "node/spec.h"

#define CONFIG_DRIVE_NAME "config.iso"

/* "root-<build_seq>.qcow2" */
const char *root_disk_name(struct ctx *cx, int64_t build_seq);
/*
 * Makes the overlay for build_seq in the guest's folder (open, and its path), written beside and
 * renamed. size_bytes is the larger of what is wanted and the image's. qemu-img never opens the
 * image: its header may be hostile.
 */
MUST_USE struct err *root_disk_make(struct ctx *cx, const char *qemu_img, int guest_fd,
                                    const char *guest_path, const struct spec_server *spec,
                                    const char *image_path);
/* Root disks of other builds, and what an interrupted call left, are removed. */
MUST_USE struct err *root_disk_tidy(struct ctx *cx, int guest_fd, int64_t build_seq);

/* The ISO (label "config-2") that cloud-init reads: openstack/latest/ and ec2/latest/. */
MUST_USE struct err *config_drive_make(struct ctx *cx, int guest_fd, const char *guest_path,
                                       const struct spec_server *spec);
MUST_USE struct err *config_drive_remove(struct ctx *cx, int guest_fd);

/* O_DIRECT works for the file (not on tmpfs). */
bool file_allows_direct(int dir_fd, const char *name);
