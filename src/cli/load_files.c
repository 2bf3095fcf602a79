#include "cli/load_files.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define T(name_) {.name = (name_), .type = LOAD_TEXT}
#define TN(name_) {.name = (name_), .type = LOAD_TEXT, .nullable = true}
#define I(name_) {.name = (name_), .type = LOAD_INTEGER}
#define IN(name_) {.name = (name_), .type = LOAD_INTEGER, .nullable = true}
#define D(name_) {.name = (name_), .type = LOAD_DECIMAL}
#define F(name_) {.name = (name_), .type = LOAD_DOUBLE}
#define TIME(name_) {.name = (name_), .type = LOAD_TIME}
#define TIMEN(name_) {.name = (name_), .type = LOAD_TIME, .nullable = true}

const struct load_file load_files[] = {
    {"customers",
     "olist_customers_dataset.csv",
     {T("customer_id"), T("customer_unique_id"), T("customer_zip_code_prefix"), T("customer_city"),
      T("customer_state")},
     false},
    {"sellers",
     "olist_sellers_dataset.csv",
     {T("seller_id"), T("seller_zip_code_prefix"), T("seller_city"), T("seller_state")},
     false},
    {"product_category_name_translation",
     "product_category_name_translation.csv",
     {T("product_category_name"), T("product_category_name_english")},
     false},
    {"products",
     "olist_products_dataset.csv",
     {T("product_id"), TN("product_category_name"), IN("product_name_lenght"),
      IN("product_description_lenght"), IN("product_photos_qty"), IN("product_weight_g"),
      IN("product_length_cm"), IN("product_height_cm"), IN("product_width_cm")},
     false},
    {"orders",
     "olist_orders_dataset.csv",
     {T("order_id"), T("customer_id"), T("order_status"), TIME("order_purchase_timestamp"),
      TIMEN("order_approved_at"), TIMEN("order_delivered_carrier_date"),
      TIMEN("order_delivered_customer_date"), TIME("order_estimated_delivery_date")},
     false},
    {"order_items",
     "olist_order_items_dataset.csv",
     {T("order_id"), I("order_item_id"), T("product_id"), T("seller_id"), TIME("shipping_limit_date"),
      D("price"), D("freight_value")},
     false},
    {"order_payments",
     "olist_order_payments_dataset.csv",
     {T("order_id"), I("payment_sequential"), T("payment_type"), I("payment_installments"),
      D("payment_value")},
     false},
    {"order_reviews",
     "olist_order_reviews_dataset.csv",
     {T("review_id"), T("order_id"), I("review_score"), TN("review_comment_title"),
      TN("review_comment_message"), TIME("review_creation_date"), TIME("review_answer_timestamp")},
     false},
    {"geolocation",
     "olist_geolocation_dataset.csv",
     {T("geolocation_zip_code_prefix"), F("geolocation_lat"), F("geolocation_lng"), T("geolocation_city"),
      T("geolocation_state")},
     true},
    {NULL, NULL, {{NULL, LOAD_TEXT, false}}, false},
};

size_t load_file_columns(const struct load_file *file)
{
    size_t n = 0;
    while (n < LOAD_COLUMNS_MAX && file->columns[n].name)
        n++;
    return n;
}

bool load_check_header(const struct load_file *file, const struct csv_record *record, struct error *err)
{
    size_t n = load_file_columns(file);
    for (size_t i = 0; i < n && i < record->count; i++) {
        struct slice name = csv_text(record, i);
        if (!slice_equal(name, slice_of(file->columns[i].name)))
            return error_set(err, ERROR_DATA, "line 1: column %zu is '%.*s', expected '%s'", i + 1,
                             (int)name.len, name.data, file->columns[i].name);
    }
    return record->count == n ||
           error_set(err, ERROR_DATA, "line 1: %zu columns, expected %zu", record->count, n);
}

static bool is_digits(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < '0' || p[i] > '9') return false;
    return n > 0;
}

/* Digits before and after an optional point; whole: what follows the point may only be zeros. */
static bool is_number(struct slice s, bool whole, size_t *before)
{
    if (s.len && (s.data[0] == '-' || s.data[0] == '+')) {
        s.data++;
        s.len--;
    }
    const char *point = s.len ? memchr(s.data, '.', s.len) : NULL;
    *before = point ? (size_t)(point - s.data) : s.len;
    if (!is_digits(s.data, *before)) return false;
    if (!point) return true;
    size_t after = s.len - *before - 1;
    if (!is_digits(point + 1, after)) return false;
    for (size_t i = 0; whole && i < after; i++)
        if (point[1 + i] != '0') return false;
    return true;
}

static bool is_double(struct slice s)
{
    char text[64], *end;
    if (s.len == 0 || s.len >= sizeof text) return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    strtod(text, &end);
    return *end == '\0' && strspn(text, "+-.0123456789eE") == s.len;
}

bool load_parse_time(struct slice s, int64_t *days, const char **rest)
{
    char text[40];
    if (s.len < 19 || s.len >= sizeof text) return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    int y, mo, d, h, mi, sec, used = 0;
    if (sscanf(text, "%4d-%2d-%2d %2d:%2d:%2d%n", &y, &mo, &d, &h, &mi, &sec, &used) != 6 || used != 19)
        return false;
    if (text[used] && (text[used] != '.' || !is_digits(text + used + 1, strlen(text) - (size_t)used - 1)))
        return false;
    if (mo < 1 || mo > 12 || d < 1 || h > 23 || mi > 59 || sec > 59) return false;
    *days = clock_days(y, mo, d);
    int64_t back_y;
    int back_m, back_d;
    clock_civil(*days, &back_y, &back_m, &back_d);
    *rest = s.data + 10;
    return back_y == y && back_m == mo && back_d == d; /* 30 February comes back as 2 March */
}

static void put_time(struct buf *copy, int64_t days, struct slice rest)
{
    int64_t year;
    int month, day;
    clock_civil(days, &year, &month, &day);
    buf_printf(copy, "%04lld-%02d-%02d", (long long)year, month, day);
    buf_put_slice(copy, rest);
}

/* COPY's text format: backslash, newline, carriage return and tab are escaped, NULL is \N. */
static void put_text(struct buf *copy, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        switch (s.data[i]) {
        case '\\': buf_put_text(copy, "\\\\"); break;
        case '\n': buf_put_text(copy, "\\n"); break;
        case '\r': buf_put_text(copy, "\\r"); break;
        case '\t': buf_put_text(copy, "\\t"); break;
        default: buf_put_char(copy, s.data[i]);
        }
    }
}

static bool wrong(const struct load_column *c, struct slice s, const char *what, struct error *err)
{
    int shown = s.len > 60 ? 60 : (int)s.len;
    return error_set(err, ERROR_DATA, "%s: '%.*s' is not %s", c->name, shown, s.data ? s.data : "", what);
}

static bool put_field(const struct load_column *c, struct slice s, int64_t shift_days, struct buf *copy,
                      struct error *err)
{
    size_t before;
    int64_t days;
    const char *rest;
    switch (c->type) {
    case LOAD_TEXT:
        if (memchr(s.data ? s.data : "", '\0', s.len))
            return wrong(c, s, "text: it holds a zero byte", err);
        put_text(copy, s);
        return true;
    case LOAD_INTEGER: /* some copies of the files print 225.0 */
        if (!is_number(s, true, &before)) return wrong(c, s, "a whole number", err);
        buf_put(copy, s.data, before + (s.data[0] == '-' || s.data[0] == '+'));
        return true;
    case LOAD_DECIMAL:
        if (!is_number(s, false, &before)) return wrong(c, s, "a decimal number", err);
        buf_put_slice(copy, s);
        return true;
    case LOAD_DOUBLE:
        if (!is_double(s)) return wrong(c, s, "a number", err);
        buf_put_slice(copy, s);
        return true;
    case LOAD_TIME:
        if (!load_parse_time(s, &days, &rest)) return wrong(c, s, "a time (YYYY-MM-DD hh:mm:ss)", err);
        put_time(copy, days + shift_days, (struct slice){rest, s.len - 10});
        return true;
    }
    return false;
}

bool load_put_record(const struct load_file *file, const struct csv_record *record, int64_t shift_days,
                     struct buf *copy, struct error *err)
{
    size_t n = load_file_columns(file);
    if (record->count != n) return error_set(err, ERROR_DATA, "%zu fields, expected %zu", record->count, n);
    size_t start = copy->len;
    for (size_t i = 0; i < n; i++) {
        const struct load_column *c = &file->columns[i];
        struct slice s = csv_text(record, i);
        if (i) buf_put_char(copy, '\t');
        bool ok = true;
        if (s.len == 0 && !record->fields[i].quoted && c->nullable)
            buf_put_text(copy, "\\N");
        else if (s.len == 0 && c->type != LOAD_TEXT && c->nullable)
            buf_put_text(copy, "\\N");
        else if (s.len == 0 && !c->nullable)
            ok = error_set(err, ERROR_DATA, "%s: is empty", c->name);
        else
            ok = put_field(c, s, shift_days, copy, err);
        if (!ok) {
            copy->len = start; /* nothing of a bad record stays */
            return false;
        }
    }
    buf_put_char(copy, '\n');
    return true;
}
