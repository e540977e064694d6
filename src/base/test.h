/* SPDX-License-Identifier: EUPL-1.2 */
/* What each cmocka test includes: base, cmocka, and assertions on errors. */
#pragma once

#include "base/base.h"
#include <setjmp.h>
#include <cmocka.h>

/* cmocka has a macro of that name; fail_msg() does its work here. */
#undef fail
#define fail(cx, kind, ...) err_new(cx, kind, WHERE, NULL, __VA_ARGS__)

/* The call succeeds; prints the error's chain if not. */
#define assert_ok(cx, call)                                                                        \
    do {                                                                                           \
        struct err *e_ = (call);                                                                   \
        if (e_)                                                                                    \
            fail_msg("%s: %s: %s", #call, err_kind_name(e_->kind), err_chain(cx, e_));             \
    } while (0)
/* The call fails with this kind. */
#define assert_err(cx, want, call)                                                                 \
    do {                                                                                           \
        struct err *e_ = (call);                                                                   \
        if (!e_)                                                                                   \
            fail_msg("%s: succeeded, expected %s", #call, err_kind_name(want));                    \
        else if (e_->kind != (want))                                                               \
            fail_msg("%s: %s, expected %s", #call, err_chain(cx, e_), err_kind_name(want));        \
    } while (0)
