/* SPDX-License-Identifier: EUPL-1.2 */
/* What this host can do: accelerator, QEMU's version, and its inventory for the
 * registration. */
#pragma once

#include "base/base.h"

struct host {
    bool kvm;
    gid_t kvm_gid;        /* group that opens /dev/kvm; 0: everybody may, or no KVM */
    int64_t qemu_version; /* 7.2.0 is 7002000 */
};

/* accel: "auto", "kvm" or "tcg". */
MUST_USE struct err *host_probe(struct ctx *cx, const char *accel, const char *qemu_path,
                                struct host *ret);
/* "QEMU emulator version 7.2.22 (…)" → 7002022; -1: no version in it. */
int64_t host_parse_version(const char *text);
/* KVM runs ordinary guests only with a hardware module; sys_module is "/sys/module" but in tests.
 */
bool host_has_kvm(const char *sys_module);
/* Members of the agent's registration. */
MUST_USE struct err *host_inventory(struct ctx *cx, const struct host *h, const char *data_dir,
                                    struct jw *w);
