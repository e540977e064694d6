/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What tests with real QEMU processes share: a data folder and a control group of their own,
 * waiting, looking at processes from outside. One test program at a time uses it; all of it is gone
 * at the end, also after a failure.
 */
#pragma once

#include "base/test.h"
#include "node/drivers/driver.h"

#define ID_A "11111111-aaaa-4aaa-8aaa-000000000001"
#define ID_B "11111111-aaaa-4aaa-8aaa-000000000002"
#define UID_FIRST 610000

#define E2E_WAIT_S 120 /* at most: machines are busy */

extern char data_dir[128], instance[64], image[160];
extern struct ctx cx;

/* Group set-up and tear-down: the folders, in a network namespace of the test's own. */
int scene_begin(void **state);
int scene_end(void **state);

struct qemu_config config(void);
/* One at a time; guests run on when it is closed. */
struct guest_backend open_driver(void);
void close_driver(void);
struct guest_state state_of(const struct guest_backend *b, const char *id);
const char *console_of(const struct guest_backend *b, const char *id);
/* Until the text is there that many times. */
void await_console(const struct guest_backend *b, const char *id, const char *what, int times);
void await_power(const struct guest_backend *b, const char *id, enum guest_power want);
/* Types on the guest's serial line. */
void type(const struct guest_backend *b, const char *id, const char *text);
/* An image of the test guest (testguest.S), with mark in sector 1. */
void write_image(const char *path, char mark);
/* A guest of the image at "image". */
struct spec_server spec_of(const char *id, int64_t boot_seq);
/* An open tap, up, in the test's own network namespace; waits for who else has it. */
int open_tap(const char *name);
void await_gone(pid_t pid);
/* This program run again, with these words (the first is for main to know it by; NULL ends them);
 * ret_ready: what it writes to descriptor 3. */
pid_t spawn_self(const char *const *words, int *ret_ready);
void kill_child(pid_t pid);
/* Processes of a guest, found by its control group, not by what the driver says. */
size_t pids_of(const char *id, pid_t *ret, size_t max);
pid_t only_pid(const char *id);
/* No process, control group or file. */
void assert_nothing_left(const char *id);
