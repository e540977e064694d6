/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What hardware a guest has, and where: kept in its record, so that a device plugged in later is
 * found again after our death, and a suspended guest gets the very same machine. Pure data.
 *
 * NICs and volumes sit on hot-pluggable root ports, one a port; some ports are spare. The own root
 * disk and what stands in for it do not move:
 *
 *                        pcie.0 0x3    0x4       0x5      a port
 *   from its own disk    root          config
 *   from a volume                                         config (so that the volume comes first)
 *   rescue               rescue disk   root      config
 */
#pragma once

#include "node/spec.h"

#define MACHINE_MAX_NICS 32
#define MACHINE_MAX_VOLUMES 26
#define MACHINE_SPARE_PORTS 8
#define MACHINE_MAX_PORTS (MACHINE_MAX_NICS + MACHINE_MAX_VOLUMES + 1 + MACHINE_SPARE_PORTS)

enum slot_kind { SLOT_EMPTY, SLOT_NIC, SLOT_VOLUME, SLOT_CONFIG };
/* The steps are on record before QEMU is asked, so that none is forgotten. */
enum slot_step { SLOT_IN, SLOT_PLUGGING, SLOT_UNPLUGGING };

/* Slot i is what sits on port i. */
struct slot {
    enum slot_kind kind;
    enum slot_step step;
    char id[37]; /* the port's (network), or the volume's */
    /* A NIC. */
    char mac[18], tap[16];
    int64_t mtu; /* 0: not told */
    /* A volume. */
    char format[8];
    int64_t boot_order; /* 0 first; -1: not booted from */
    bool read_only;
};

struct layout {
    int64_t vcpus, memory_mib;
    bool root, rescue, config_drive;
    size_t n_ports;
    struct slot slots[MACHINE_MAX_PORTS];
};

/* The machine that a spec asks for, with spare ports; formats[i]: of spec->volumes[i]. ERR_INVALID
 * when it can't be. */
MUST_USE struct err *layout_make(struct ctx *cx, const struct spec_server *spec, bool root,
                                 bool config_drive, const char *const *formats, struct layout *ret);
void slot_set_nic(struct slot *s, const struct spec_nic *nic);
void slot_set_volume(struct slot *s, const char *volume_id, const char *format, bool read_only);
/* NULL: there is none. */
struct slot *layout_find(struct layout *l, enum slot_kind kind, const char *id);
struct slot *layout_free_slot(struct layout *l);
size_t layout_index(const struct layout *l, const struct slot *s);
/* How many there are, whatever their step. */
size_t layout_count(const struct layout *l, enum slot_kind kind);
/* All slots are settled. */
bool layout_is_settled(const struct layout *l);

/* Where port i sits: "0x10.0"; in cx's arena. */
const char *port_addr(struct ctx *cx, size_t i);
/* The names that QEMU knows a slot's device and its other end by. */
const char *slot_device(struct ctx *cx, size_t i, enum slot_kind kind);
const char *slot_backend(struct ctx *cx, size_t i, enum slot_kind kind);

void layout_write(struct ctx *cx, struct jw *w, const struct layout *l); /* an object */
/* False: that's none of ours. */
bool layout_read(const json_t *j, struct layout *ret);
