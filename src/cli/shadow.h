/* Private to shadow: an event of a connector without what must differ between two of them. */
#ifndef MILLRACE_CLI_SHADOW_H
#define MILLRACE_CLI_SHADOW_H

#include "net/kafka.h"

#include <jansson.h>

/* A record, normalised: prefix, connector version, clocks and what belongs to one snapshot are masked; a row of a
 * snapshot says "copied" whatever its place there. */
struct shadow_event {
    bool copied; /* op r, not incremental: its order among others means nothing */
    char *key, *value, *headers; /* JSON texts; value "null" for a tombstone */
};

/* bare: compare payloads only, because one side has no schemas. A text that is not JSON stays as it is. */
void shadow_normalise(const struct kafka_message *m, const char *prefix, bool bare, struct shadow_event *out);
void shadow_event_free(struct shadow_event *e);
bool shadow_has_schema(const struct kafka_message *m);
/* "after.price: \"1.10\" <> 1.1"; appends the first difference of two texts. */
void shadow_put_difference(const char *a, const char *b, struct buf *out);

#endif
