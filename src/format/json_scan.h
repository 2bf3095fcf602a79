/* A scanner over JSON objects and arrays as Millrace writes them: gives the members as raw slices without
 * building anything, so that an image can be taken apart and put together with its bytes unchanged.
 *
 *   struct json_scan scan = json_scan_object(image);
 *   while (json_scan_next(&scan, &name, &value)) ...   name: between its quotes, still escaped
 *   if (!json_scan_ok(&scan)) ...                      cut short or not JSON
 *
 * Blanks between tokens are passed over. Values are checked for balance (strings, brackets), not for
 * every rule of RFC 8259: who needs the value parses it. Never reads outside the slice. */
#ifndef MILLRACE_FORMAT_JSON_SCAN_H
#define MILLRACE_FORMAT_JSON_SCAN_H

#include "base/buf.h"

struct json_scan {
    struct slice rest;
    bool array, started, failed, done;
};

struct json_scan json_scan_object(struct slice text);
struct json_scan json_scan_array(struct slice text);
/* The next member; for arrays name may be NULL. False at the end and on damage. */
bool json_scan_next(struct json_scan *s, struct slice *name, struct slice *value);
/* True when the text ended where its bracket closed. */
bool json_scan_ok(const struct json_scan *s);

/* The raw value of the member `name` (plain text); false when it is not there. */
bool json_get(struct slice object, struct slice name, struct slice *value);
/* Appends the text of a JSON string, given with or without its quotes. False on a bad escape. */
bool json_unescape(struct slice string, struct buf *out);
/* Whether a name as json_scan_next gives it is this plain text. */
bool json_name_is(struct slice raw, struct slice plain);

#endif
