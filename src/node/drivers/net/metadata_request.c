/* SPDX-License-Identifier: EUPL-1.2 */
#include "node/drivers/net/metadata_request.h"

int metadata_request_parse(const char *request, size_t len, char path[METADATA_PATH_BYTES])
{
    must(!request[len]);
    if (memchr(request, 0, len))
        return 400;
    if (!strstr(request, "\r\n\r\n") && !strstr(request, "\n\n"))
        return len >= METADATA_REQUEST_BYTES ? 431 : -1;
    const char *line_end = strpbrk(request, "\r\n"), *method_end = strchr(request, ' ');
    if (!method_end || method_end > line_end)
        return 400;
    if (strncmp(request, "GET ", 4) != 0)
        return 405;
    const char *start = request + 4, *end = start;
    while (*end > ' ' && *end < 0x7f)
        end++;
    if (*start != '/' || strncmp(end, " HTTP/1.", 8) != 0)
        return 400;
    size_t size = strcspn(start, "? ");
    if (size >= METADATA_PATH_BYTES)
        return 414;
    memcpy(path, start, size);
    path[size] = 0;
    return 0;
}
