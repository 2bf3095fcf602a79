/* Signals: rows that somebody inserts into signal_data_collection (id, type, data), as Debezium takes them.
 *
 *   execute-snapshot  {"data-collections":["public.t",..],"type":"incremental",
 *                      "additional-conditions":[{"data-collection":"public.t","filter":"a > 1"}]}
 *   stop-snapshot     ends the copy that runs
 *
 * The names are patterns that match a whole name, as in Debezium. A filter is SQL: who may insert into the signal
 * table may choose what is read by it, inside a read-only transaction of the capture's role. */
#include "base/log.h"
#include "stages/capture/capture_int.h"

#include <jansson.h>
#include <regex.h>
#include <string.h>

static bool matches(const char *pattern, const char *table)
{
    regex_t regex;
    char *anchored = mem_format("^(%s)$", pattern);
    bool ok = regcomp(&regex, anchored, REG_EXTENDED | REG_NOSUB | REG_ICASE) == 0;
    if (ok) {
        ok = regexec(&regex, table, 0, NULL, 0) == 0;
        regfree(&regex);
    }
    mem_free(anchored);
    return ok;
}

static const char *condition_of(const json_t *data, const char *table)
{
    size_t i;
    const json_t *each;
    json_array_foreach(json_object_get(data, "additional-conditions"), i, each)
    {
        const char *pattern = json_string_value(json_object_get(each, "data-collection"));
        if (pattern && matches(pattern, table)) return json_string_value(json_object_get(each, "filter"));
    }
    return NULL;
}

static void ask(struct capture *c, const json_t *data, const char *table)
{
    const char *condition = condition_of(data, table);
    void **place = map_put(&capture_memory.conditions, slice_of(table));
    mem_free(*place);
    *place = condition ? mem_text(condition) : NULL;
    char *request = mem_text(table);
    if (!queue_push(&c->flow->resync_requests, request, strlen(request) + 1, 0)) {
        log_warn("capture", "too many copies wait", "table=%s is not copied", table);
        mem_free(request);
    }
}

static void execute(struct capture *c, const json_t *data)
{
    size_t i;
    const json_t *each;
    json_array_foreach(json_object_get(data, "data-collections"), i, each)
    {
        const char *pattern = json_string_value(each);
        struct slice name;
        void *copied;
        bool any = false;
        for (size_t at = 0; pattern && map_next(&capture_memory.copied, &at, &name, &copied);) {
            char *table = mem_textn(name.data, name.len);
            if (matches(pattern, table)) {
                any = true;
                ask(c, data, table);
            }
            mem_free(table);
        }
        if (!any) log_warn("capture", "signal names no table that is captured", "%s", pattern ? pattern : "(not a text)");
    }
}

void signal_take(struct capture *c, struct slice after)
{
    json_t *row = json_loadb(after.data ? after.data : "", after.len, 0, NULL);
    const char *type = json_string_value(json_object_get(row, "type"));
    const char *text = json_string_value(json_object_get(row, "data"));
    json_t *data = text ? json_loads(text, 0, NULL) : NULL;
    log_info("capture", "signal", "type=%s", type ? type : "");
    if (type && strcmp(type, "execute-snapshot") == 0 && data)
        execute(c, data);
    else if (type && strcmp(type, "stop-snapshot") == 0)
        c->stopping_copy = c->copy != NULL;
    else if (type && !strstr(type, "snapshot-window"))
        log_warn("capture", "signal not understood", "type=%s: execute-snapshot and stop-snapshot are", type);
    json_decref(data);
    json_decref(row);
}
