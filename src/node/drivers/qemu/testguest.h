/* SPDX-License-Identifier: EUPL-1.2 */
/* A whole guest in one boot sector: testguest.S says what it can do. */
#pragma once

#include <stdint.h>

#define TEST_GUEST_BYTES 512
extern const uint8_t test_guest[TEST_GUEST_BYTES];
