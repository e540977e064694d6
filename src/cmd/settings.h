/* SPDX-License-Identifier: EUPL-1.2 */
/* Settings: one table for the file, the command line and the documentation. */
#pragma once

#include "base/base.h"

typedef const char *setting_TEXT;
typedef int64_t setting_NUMBER;
typedef bool setting_FLAG;

struct settings {
#define SETTING(member, kind, dflt, min, max, doc) setting_##kind member;
#include "cmd/settings.def"
#undef SETTING
};

void settings_defaults(struct settings *s);
/* "key = value" lines, # comments. path NULL: /etc/colvert/colvert.conf if it is there. */
MUST_USE struct err *settings_read(struct ctx *cx, struct settings *s, const char *path);
/* COLVERT_KEY_NAME=value: for secrets, as everybody on the machine may read command lines. */
MUST_USE struct err *settings_environment(struct ctx *cx, struct settings *s);
void settings_forget_environment(void); /* children are told otherwise */
/* --key-name value, --key-name=value, --config FILE (read first, then the environment). *ret_rest:
 * the first argument that is no option. */
MUST_USE struct err *settings_args(struct ctx *cx, struct settings *s, int argc, char **argv,
                                   int *ret_rest);
/* The documented file with its defaults. */
void settings_print(FILE *out);
/* The same as options, for --help. */
void settings_help(FILE *out);
/* Arguments that make another process see the same settings (those that differ from the defaults);
 * secrets left out. */
const char **settings_to_args(struct ctx *cx, const struct settings *s, size_t *ret_n);
