/* SPDX-License-Identifier: EUPL-1.2 */
/* Everything of base/ in one include: what each other folder starts from. Knows nothing of clouds.
 */
#pragma once

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>
#include <sys/types.h>
#include <jansson.h>

#include "base/macros.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/ctx.h"
#include "base/str.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/uuid.h"
#include "base/json.h"
#include "base/file.h"
#include "base/log.h"
#include "base/banned.h"
