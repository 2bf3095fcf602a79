#include "format/debezium/debezium.h"

/* A mode by its name among n; CONFIG with those that there are. */
static bool mode(const char *option, const char *text, const char *const *names, size_t n, int *out, struct error *err)
{
    struct buf all = {0};
    for (size_t i = 0; i < n; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (int)i;
            buf_free(&all);
            return true;
        }
        buf_printf(&all, "%s%s", i ? ", " : "", names[i]);
    }
    error_set(err, ERROR_CONFIG, "%s: \"%s\" is none of %s", option, text, buf_text(&all));
    buf_free(&all);
    return false;
}

#define COUNT(list) (sizeof(list) / sizeof *(list))

bool debezium_options_read(const struct config *c, struct debezium_options *out, struct error *err)
{
    static const char *const decimals[] = {"precise", "string", "double"};
    static const char *const times[] = {"adaptive", "adaptive_time_microseconds", "microseconds",
                                        "nanoseconds", "connect", "isostring"};
    static const char *const hstores[] = {"json", "map"}, *const intervals[] = {"numeric", "string"};
    static const char *const binaries[] = {"bytes", "base64", "base64-url-safe", "hex"};
    static const char *const formats[] = {"BASE64", "NUMERIC"};
    int decimal, time, hstore, interval, binary, format;
    if (!mode("decimal_handling_mode", c->decimal_handling_mode, decimals, COUNT(decimals), &decimal, err) ||
        !mode("time_precision_mode", c->time_precision_mode, times, COUNT(times), &time, err) ||
        !mode("hstore_handling_mode", c->hstore_handling_mode, hstores, COUNT(hstores), &hstore, err) ||
        !mode("interval_handling_mode", c->interval_handling_mode, intervals, COUNT(intervals), &interval, err) ||
        !mode("binary_handling_mode", c->binary_handling_mode, binaries, COUNT(binaries), &binary, err) ||
        !mode("value_converter_decimal_format", c->value_converter_decimal_format, formats, COUNT(formats), &format, err))
        return false;
    *out = (struct debezium_options){
        .prefix = c->topic_prefix,
        .decimal = (enum debezium_decimal)decimal,
        .time = (enum debezium_time)time,
        .hstore = (enum debezium_hstore)hstore,
        .interval = (enum debezium_interval)interval,
        .binary = (enum debezium_binary)binary,
        .placeholder = c->unavailable_value_placeholder,
        .money_digits = (int)c->money_fraction_digits,
        .unknown_types = c->include_unknown_datatypes,
        .key_schemas = c->key_converter_schemas_enable,
        .value_schemas = c->value_converter_schemas_enable,
        .null_to_default = c->value_converter_replace_null_with_default,
        .decimal_numeric = format == 1,
    };
    return true;
}

static bool legal(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

void debezium_put_topic(const char *prefix, struct slice table, struct buf *out)
{
    buf_put_text(out, prefix);
    buf_put_char(out, '.');
    for (size_t i = 0; i < table.len; i++) buf_put_char(out, legal(table.data[i]) ? table.data[i] : '_');
}
