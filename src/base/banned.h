/* SPDX-License-Identifier: EUPL-1.2 */
/* Functions that invite mistakes; base/base.h includes this last. */
#pragma once

/* Macros in fortified headers. */
#undef strcpy
#undef strcat
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol atoll gets gmtime localtime     \
    system
