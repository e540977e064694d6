/* SPDX-License-Identifier: EUPL-1.2 */
/* Strings: comparison, strict numbers, secrets. */
#pragma once

static inline bool str_eq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}
/* list: NULL at its end. */
bool str_in(const char *s, const char *const *list);
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
/* Whole string, decimal, no blanks, in [min, max]; false otherwise. */
bool str_to_i64(const char *s, int64_t min, int64_t max, int64_t *ret);
/* "true"/"True"/"1"/"yes"/"on" and their opposites, as OpenStack reads them. */
bool str_to_bool(const char *s, bool *ret);
/* Unicode code points, or -1 where it is not valid UTF-8. */
int64_t str_utf8_len(const char *s);
/* Splits at sep; empty parts kept; returns the number of parts. */
size_t str_split(struct ctx *cx, const char *s, char sep, char ***ret_parts);
const char *str_cut(struct ctx *cx, const char *s,
                    size_t max_bytes); /* as it is, or its beginning and an ellipsis */
const char *str_lower(struct ctx *cx, const char *s);
/* As part of a URL: all but letters, digits and "-._~" in the form %XX. */
const char *str_url(struct ctx *cx, const char *s);
/* Hexadecimal, lower case; out holds 2 * size + 1. */
void hex_encode(const uint8_t *data, size_t size, char *out);
bool hex_decode(const char *hex, uint8_t *out, size_t size);
/* SHA-256 in hexadecimal, in the arena. */
const char *sha256_hex(struct ctx *cx, const void *data, size_t size);
/* URL-safe base64 without padding, in the arena; decode is strict. */
char *base64url_encode(struct ctx *cx, const void *data, size_t size);
bool base64url_decode(struct ctx *cx, const char *text, uint8_t **ret_data, size_t *ret_size);
/* Standard base64 (with padding; white space ignored). */
char *base64_encode(struct ctx *cx, const void *data, size_t size);
bool base64_decode(struct ctx *cx, const char *text, uint8_t **ret_data, size_t *ret_size);
/* Constant-time in the content (not in the length). */
bool secret_eq(const void *a, size_t a_size, const void *b, size_t b_size);
void secret_wipe(void *data, size_t size);
