/* SPDX-License-Identifier: EUPL-1.2 */
/* See clock.h. */
#include "base/base.h"

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t system_wall(struct clock *c UNUSED)
{
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_mono(struct clock *c UNUSED)
{
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t system_boot(struct clock *c UNUSED)
{
    return read_clock(CLOCK_BOOTTIME);
}

struct clock *clock_system(void)
{
    static struct clock c = {
        .wall_us = system_wall, .mono_us = system_mono, .boot_us = system_boot};
    return &c;
}

int64_t now_us(struct ctx *cx)
{
    return cx->clock->wall_us(cx->clock);
}

int64_t mono_us(struct ctx *cx)
{
    return cx->clock->mono_us(cx->clock);
}

int64_t boot_us(struct ctx *cx)
{
    return cx->clock->boot_us ? cx->clock->boot_us(cx->clock) : mono_us(cx);
}

bool deadline_passed(struct ctx *cx)
{
    return cx->deadline_us && mono_us(cx) >= cx->deadline_us;
}

#define YEAR_0 INT64_C(-62167219200)
#define YEAR_9999 INT64_C(253402300799)

/* 0 to 99 as two digits; returns the end. */
static char *pair(char *p, int64_t v)
{
    p[0] = (char)('0' + v / 10);
    p[1] = (char)('0' + v % 10);
    return p + 2;
}

#define DAY_S 86400

struct date {
    int64_t year, month, day;
};

/* Days since 1970 → Gregorian, from the year 0 on; gmtime_r takes the time zone's lock. Counted in
 * years that begin in March, 400 of which have 146097 days. */
static struct date date_of(int64_t days)
{
    days += 719468;
    int64_t era = days / 146097 - (days % 146097 < 0), in_era = days - era * 146097;
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year + year / 4 - year / 100),
            month = (5 * in_year + 2) / 153;
    struct date d = {.month = month < 10 ? month + 3 : month - 9,
                     .day = in_year - (153 * month + 2) / 5 + 1};
    d.year = year + era * 400 + (d.month <= 2);
    return d;
}

const char *time_iso(struct ctx *cx, int64_t us, enum time_style style)
{
    time_t secs = (time_t)(us / 1000000);
    int64_t micros = us % 1000000;
    if (micros < 0) {
        micros += 1000000;
        secs--;
    }
    secs = min_i64(max_i64(secs, YEAR_0), YEAR_9999); /* what an agent says may be anything */
    int64_t day = secs / DAY_S - (secs % DAY_S < 0), second = secs - day * DAY_S;
    struct date date = date_of(day);
    char text[] = "0000-00-00T00:00:00.000000Z", *p = text;
    p = pair(p, date.year / 100);
    p = pair(p, date.year % 100) + 1;
    p = pair(p, date.month) + 1;
    p = pair(p, date.day) + 1;
    p = pair(p, second / 3600) + 1;
    p = pair(p, second / 60 % 60) + 1;
    p = pair(p, second % 60);
    if (style != TIME_Z) {
        p = pair(p + 1, micros / 10000);
        p = pair(p, micros / 100 % 100);
        p = pair(p, micros % 100);
    }
    if (style != TIME_MICROS)
        *p++ = 'Z';
    return arena_strndup(cx->arena, text, (size_t)(p - text));
}

static bool two_digits(const char **s, int max, int *ret)
{
    const char *p = *s;
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return false;
    *ret = (p[0] - '0') * 10 + (p[1] - '0');
    *s = p + 2;
    return *ret <= max;
}

static bool parse_zone(const char *s, int64_t *ret_offset_us)
{
    *ret_offset_us = 0;
    if (!*s || str_eq(s, "Z") || str_eq(s, "z"))
        return true;
    if (*s != '+' && *s != '-')
        return false;
    int sign = *s++ == '-' ? -1 : 1, hours, minutes = 0;
    if (!two_digits(&s, 23, &hours))
        return false;
    if (*s == ':')
        s++;
    if (*s && !two_digits(&s, 59, &minutes))
        return false;
    *ret_offset_us = sign * (hours * 3600LL + minutes * 60LL) * 1000000;
    return !*s;
}

bool time_parse(const char *s, int64_t *ret_us)
{
    struct tm tm = {0};
    int century, year;
    if (!s || !two_digits(&s, 99, &century) || !two_digits(&s, 99, &year) || *s++ != '-' ||
        !two_digits(&s, 12, &tm.tm_mon) || tm.tm_mon < 1 || *s++ != '-' ||
        !two_digits(&s, 31, &tm.tm_mday) || tm.tm_mday < 1)
        return false;
    int64_t micros = 0, offset = 0;
    if (*s == 'T' || *s == ' ') {
        s++;
        if (!two_digits(&s, 23, &tm.tm_hour) || *s++ != ':' || !two_digits(&s, 59, &tm.tm_min))
            return false;
        if (*s == ':') {
            s++;
            if (!two_digits(&s, 60, &tm.tm_sec))
                return false;
        }
        if (*s == '.') {
            int64_t unit = 100000;
            for (s++; *s >= '0' && *s <= '9'; s++, unit /= 10)
                micros += unit * (*s - '0');
        }
    }
    if (!parse_zone(s, &offset))
        return false;
    tm.tm_year = century * 100 + year - 1900;
    tm.tm_mon--;
    int day = tm.tm_mday;
    time_t t = timegm(&tm);
    if (tm.tm_mday != day) /* 31 February */
        return false;
    *ret_us = (int64_t)t * 1000000 + micros - offset;
    return true;
}
