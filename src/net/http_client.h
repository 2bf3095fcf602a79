/* One HTTP call through libcurl, for commands that ask a running process. Blocks; bounded by the
 * connect timeout (5 s) and, when seconds_max is not 0, as a whole. */
#ifndef MILLRACE_NET_HTTP_CLIENT_H
#define MILLRACE_NET_HTTP_CLIENT_H

#include "base/buf.h"
#include "base/error.h"

/* Takes a piece of the answer's body; false stops the call, with err set. */
typedef bool http_sink(void *context, struct slice piece, struct error *err);

struct http_call {
    const char *url;
    const char *user, *password; /* basic authentication; NULL or empty: none */
    struct slice body;           /* sent as POST; NULL data: GET */
    long seconds_max;
    http_sink *sink; /* pieces of an answer with status 200; NULL: not wanted */
    void *context;
    struct buf *refusal; /* the body of any other answer; may be NULL */
};

/* *status is the answer's. RETRY when there was none. */
bool http_call(const struct http_call *call, long *status, struct error *err) MUST_CHECK;
/* Appends text as one URL component. */
void http_put_escaped(struct buf *out, const char *text);

#endif
