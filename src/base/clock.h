/* SPDX-License-Identifier: EUPL-1.2 */
/* Time: microseconds everywhere; a virtual clock replaces the system's in simulation. */
#pragma once

struct clock {
    int64_t (*wall_us)(struct clock *c); /* since 1970, UTC */
    int64_t (*mono_us)(struct clock *c);
    int64_t (*boot_us)(struct clock *c); /* as mono_us, but goes on while the machine is suspended;
                                          * NULL: it never is */
};

struct clock *clock_system(void);
int64_t now_us(struct ctx *cx);
int64_t mono_us(struct ctx *cx);
int64_t boot_us(struct ctx *cx);
/* The deadline of the context has passed. */
bool deadline_passed(struct ctx *cx);

enum time_style {
    TIME_Z,        /* 2026-11-23T07:08:42Z          compute, image, network */
    TIME_MICROS_Z, /* 2026-11-23T07:08:42.000000Z   identity tokens */
    TIME_MICROS,   /* 2026-11-23T07:08:42.000000    volume, launched_at */
};
/* In the arena. */
const char *time_iso(struct ctx *cx, int64_t us, enum time_style style);
/* ISO 8601 date-time with optional fraction and zone (Z or +hh:mm; none: UTC). False if it isn't
 * one. */
bool time_parse(const char *s, int64_t *ret_us);
