/* SPDX-License-Identifier: EUPL-1.2 */
/* For tests of guests with volumes: both drivers on one data folder, volumes that each test finds
 * gone, starting with whatever the spec names. */
#pragma once

#include "node/drivers/qemu/e2e.h"
#include "node/drivers/tools/qcow2.h"

#define VOLUME_1 "33333333-aaaa-4aaa-8aaa-000000000001"
#define VOLUME_2 "33333333-aaaa-4aaa-8aaa-000000000002"
#define SNAPSHOT "44444444-aaaa-4aaa-8aaa-000000000001"

extern struct volume_backend vol;

/* Anew, as after our death. */
struct guest_backend open_all(void);
/* With all volumes removed. */
void close_all(void);
int volumes_scene_end(void **state);
const char *in_data(const char *name);
void make_volume(const char *id); /* 1 GiB, blank */
/* With open taps and the volumes of the spec. */
struct err *start_with(const struct guest_backend *b, const struct spec_server *spec);
struct err *plug_volume(const struct guest_backend *b, const char *id, const char *volume);
/* Until the guest has let it go. */
void unplug_volume(const struct guest_backend *b, const char *id, const char *volume);
void unplug_nic(const struct guest_backend *b, const char *id, const char *port);
/* The test guest's counter. */
long count_of(const struct guest_backend *b, const char *id);
