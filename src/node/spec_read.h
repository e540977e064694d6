/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Reads the specs of the protocol into plain data. Whatever a driver later puts on a command line,
 * into a rule or into a file's name is checked here, once: the agent runs as root, and the control
 * plane's word is not enough. The reader keeps the first error and goes on, so that a spec reads as
 * a list of its members.
 */
#pragma once

#include "node/spec.h"

struct reader {
    struct ctx *cx;
    struct err *err;  /* the first one */
    const char *what; /* "server spec" */
};

typedef bool check_fn(const char *s);

void read_refuse(struct reader *r, const char *key, const char *why);
/* A string that passes the check; NULL (and an error unless optional) where it is absent or null.
 */
const char *read_text(struct reader *r, const json_t *j, const char *key, check_fn *check,
                      bool optional);
int64_t read_number(struct reader *r, const json_t *j, const char *key, int64_t min, int64_t max);
int64_t read_number_or(struct reader *r, const json_t *j, const char *key, int64_t min, int64_t max,
                       int64_t otherwise);
bool read_boolean(struct reader *r, const json_t *j, const char *key);
bool read_boolean_or(struct reader *r, const json_t *j, const char *key, bool otherwise);
const json_t *read_object(struct reader *r, const json_t *j, const char *key, bool optional);
/* The array and its size; NULL and 0 where it isn't one. Absent is empty. */
const json_t *read_array(struct reader *r, const json_t *j, const char *key, size_t max,
                         size_t *ret_n);
const char **read_text_list(struct reader *r, const json_t *j, const char *key, check_fn *check,
                            size_t max, size_t *ret_n);
/* Each once. */
const char **read_ids(struct reader *r, const json_t *j, const char *key, size_t max,
                      size_t *ret_n);
/* The member "image"; without an id where it is null, if it may be. */
void read_image(struct reader *r, const json_t *j, bool optional, struct spec_image *out);

/* ---- what strings may be */
bool spec_only(const char *s, const char *extra, size_t max); /* letters, digits and these */
bool spec_is_id(const char *s);
bool spec_is_hostname(const char *s);
bool spec_is_sha512(const char *s);
bool spec_is_disk_format(const char *s);
bool spec_is_mac(const char *s);
bool spec_is_tap(const char *s);
