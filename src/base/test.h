/* SPDX-License-Identifier: EUPL-1.2 */
/* What each cmocka test includes: base, cmocka, and assertions on errors. */
#pragma once

#include "base/base.h"
#include <setjmp.h>
#include <cmocka.h>

/* cmocka has a macro of that name; fail_msg() does its work here. */
#undef fail
#define fail(cx, kind, ...) err_new(cx, kind, WHERE, NULL, __VA_ARGS__)
#undef fail_msg
#define fail_msg(...)                                                                              \
    do {                                                                                           \
        print_error("ERROR: " __VA_ARGS__);                                                        \
        print_error("\n");                                                                         \
        _fail(__FILE__, __LINE__);                                                                 \
    } while (0)

/* The call succeeds; prints the error's chain if not. */
#define assert_ok(cx, call)                                                                        \
    do {                                                                                           \
        struct err *e_ = (call);                                                                   \
        if (e_) {                                                                                  \
            print_error("%s: %s: %s\n", #call, err_kind_name(e_->kind), err_chain(cx, e_));        \
            _fail(__FILE__, __LINE__);                                                             \
        }                                                                                          \
    } while (0)
/* The call fails with this kind. */
#define assert_err(cx, want, call)                                                                 \
    do {                                                                                           \
        struct err *e_ = (call);                                                                   \
        if (!e_ || e_->kind != (want)) {                                                           \
            print_error("%s: %s, expected %s\n", #call, e_ ? err_chain(cx, e_) : "succeeded",      \
                        err_kind_name(want));                                                      \
            _fail(__FILE__, __LINE__);                                                             \
        }                                                                                          \
    } while (0)
