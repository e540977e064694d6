/* SPDX-License-Identifier: EUPL-1.2 */
#include "node/drivers/net/metadata_request.h"

/* Of the head with its empty line; 0: it has not ended yet. */
static size_t head_size(const char *request)
{
    const char *crlf = strstr(request, "\r\n\r\n"), *lf = strstr(request, "\n\n");
    if (lf && (!crlf || lf < crlf))
        return (size_t)(lf - request) + 2;
    return crlf ? (size_t)(crlf - request) + 4 : 0;
}

static int read_target(const char *start, struct metadata_request *ret)
{
    const char *end = start;
    while (*end > ' ' && *end < 0x7f)
        end++;
    if (*start != '/' || strncmp(end, " HTTP/1.", 8) != 0)
        return 400;
    size_t size = strcspn(start, "? ");
    if (size >= METADATA_PATH_BYTES)
        return 414;
    memcpy(ret->path, start, size);
    ret->path[size] = 0;
    return 0;
}

/* The header's value, from its first character; NULL: there is none. */
static const char *header(const char *head, size_t size, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = head; (line = strchr(line, '\n')) && ++line < head + size;)
        if (strncasecmp(line, name, len) == 0 && line[len] == ':')
            return line + len + 1 + strspn(line + len + 1, " \t");
    return NULL;
}

/* A body has its length, once, in front of it. */
static int read_length(const char *head, size_t size, size_t *ret)
{
    const char *value = header(head, size, "Content-Length");
    if (!value || header(head, size, "Transfer-Encoding"))
        return 411;
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || !strchr(" \t\r\n", value[digits]) ||
        header(value, size - (size_t)(value - head), "Content-Length"))
        return 400;
    if (digits > 6)
        return 413;
    *ret = strtoul(value, NULL, 10);
    return *ret > METADATA_BODY_BYTES ? 413 : 0;
}

int metadata_request_parse(const char *request, size_t len, struct metadata_request *ret)
{
    must(!request[len] && len <= METADATA_REQUEST_BYTES);
    size_t size = head_size(request);
    if (memchr(request, 0, size ? size : len))
        return 400;
    if (!size)
        return len >= METADATA_HEAD_BYTES ? 431 : -1;
    if (size > METADATA_HEAD_BYTES)
        return 431;
    const char *line_end = strpbrk(request, "\r\n"), *method_end = strchr(request, ' ');
    if (!method_end || method_end > line_end)
        return 400;
    *ret = (struct metadata_request){.post = strncmp(request, "POST ", 5) == 0, .body_at = size};
    if (!ret->post && strncmp(request, "GET ", 4) != 0)
        return 405;
    int status = read_target(method_end + 1, ret);
    if (status == 0 && ret->post)
        status = read_length(request, size, &ret->body_size);
    if (status)
        return status;
    return len - size < ret->body_size ? -1 : 0;
}
