/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Structured log: one line an event on standard error, "time level message key=value …" (logfmt).
 * Library modules log nothing above debug; the process's own loops do.
 */
#pragma once

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level);
bool log_level_parse(const char *s, enum log_level *ret);
bool log_enabled(enum log_level level);
/* "role" of the process, printed on each line: "api", "node", "up". Static string. */
void log_set_role(const char *role);
/* Pairs of (const char *key, const char *value), ended by NULL; a NULL value is left out. cx may be
 * NULL. */
void log_event(struct ctx *cx, enum log_level level, const char *message, ...)
    __attribute__((sentinel));
/* The error's chain, with the same pairs. */
void log_err(struct ctx *cx, enum log_level level, const struct err *e, const char *message, ...)
    __attribute__((sentinel));
/* A number as text for a log pair; in the arena. */
const char *log_i64(struct ctx *cx, int64_t v);
