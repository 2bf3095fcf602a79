#include "serve/access.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool access_same_secret(const char *given, const char *wanted)
{
    size_t la = strlen(given), lb = strlen(wanted);
    unsigned differ = la != lb;
    for (size_t i = 0; i < la; i++)
        differ |= (unsigned char)given[i] ^ (unsigned char)wanted[lb ? i % lb : 0];
    return differ == 0;
}

bool access_own_name(const char *host)
{
    if (!host) return true;
    struct in_addr v4;
    struct in6_addr v6;
    char text[64];
    size_t skip = host[0] == '[', len = strcspn(host, skip ? "]" : ":");
    if (len - skip >= sizeof text) return false;
    snprintf(text, sizeof text, "%.*s", (int)(len - skip), host + skip);
    return strcasecmp(text, "localhost") == 0 || inet_pton(AF_INET, text, &v4) == 1 ||
           inet_pton(AF_INET6, text, &v6) == 1;
}
