#include "format/csv.h"

enum { AT_START, IN_PLAIN, IN_QUOTED, AFTER_QUOTE, AFTER_CR };

void csv_init(struct csv *csv)
{
    *csv = (struct csv){.line = 1, .record_line = 1, .text = {.max = CSV_FIELD_BYTES_MAX}};
}

void csv_free(struct csv *csv)
{
    buf_free(&csv->text);
}

static bool begin_field(struct csv *csv, struct error *err)
{
    if (csv->count == CSV_FIELDS_MAX)
        return error_set(err, ERROR_DATA, "line %lld: more than %d fields", (long long)csv->record_line,
                         CSV_FIELDS_MAX);
    csv->fields[csv->count++] = (struct csv_field){.start = csv->text.len};
    return true;
}

static void end_field(struct csv *csv)
{
    struct csv_field *f = &csv->fields[csv->count - 1];
    f->len = csv->text.len - f->start;
}

static bool end_record(struct csv *csv, csv_each *each, void *arg, struct error *err)
{
    end_field(csv);
    if (!buf_ok(&csv->text))
        return error_set(err, ERROR_DATA, "line %lld: record longer than %d bytes", (long long)csv->record_line,
                         CSV_FIELD_BYTES_MAX);
    bool blank = csv->count == 1 && csv->fields[0].len == 0 && !csv->fields[0].quoted;
    struct csv_record record = {csv->fields, csv->text.data, csv->count, csv->record_line};
    bool ok = blank || each(arg, &record, err);
    buf_clear(&csv->text);
    csv->count = 0;
    csv->state = AT_START;
    csv->record_line = csv->line;
    return ok;
}

static bool bad(struct csv *csv, const char *what, struct error *err)
{
    return error_set(err, ERROR_DATA, "line %lld, field %zu: %s", (long long)csv->line, csv->count, what);
}

/* One byte outside quotes (or right after a closing quote). */
static bool take_outside(struct csv *csv, char c, csv_each *each, void *arg, struct error *err)
{
    if (csv->count == 0 && !begin_field(csv, err)) return false;
    switch (c) {
    case ',':
        end_field(csv);
        csv->state = AT_START;
        return begin_field(csv, err);
    case '\n':
        csv->line++;
        return end_record(csv, each, arg, err);
    case '\r':
        csv->state = AFTER_CR;
        return true;
    case '"':
        if (csv->state != AT_START) return bad(csv, "a quote inside an unquoted field", err);
        csv->fields[csv->count - 1].quoted = true;
        csv->state = IN_QUOTED;
        return true;
    default:
        if (csv->state == AFTER_QUOTE) return bad(csv, "text after a closing quote", err);
        csv->state = IN_PLAIN;
        buf_put_char(&csv->text, c);
        return true;
    }
}

static bool take(struct csv *csv, char c, csv_each *each, void *arg, struct error *err)
{
    switch (csv->state) {
    case IN_QUOTED:
        if (c == '"') csv->state = AFTER_QUOTE;
        else buf_put_char(&csv->text, c);
        csv->line += c == '\n';
        return true;
    case AFTER_QUOTE:
        if (c != '"') return take_outside(csv, c, each, arg, err);
        buf_put_char(&csv->text, c);
        csv->state = IN_QUOTED;
        return true;
    case AFTER_CR:
        if (c != '\n') return bad(csv, "a carriage return without a line feed", err);
        csv->line++;
        return end_record(csv, each, arg, err);
    default:
        return take_outside(csv, c, each, arg, err);
    }
}

/* True while c may still belong to a byte-order mark at the very start. */
static bool skip_mark(struct csv *csv, char c)
{
    static const char mark[] = "\xEF\xBB\xBF";
    if (csv->started) return false;
    if (c == mark[csv->bom]) {
        csv->started = ++csv->bom == 3;
        return true;
    }
    csv->started = true;
    return false;
}

bool csv_feed(struct csv *csv, struct slice piece, csv_each *each, void *arg, struct error *err)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (skip_mark(csv, piece.data[i])) continue;
        if (!take(csv, piece.data[i], each, arg, err)) return false;
    }
    return true;
}

bool csv_end(struct csv *csv, csv_each *each, void *arg, struct error *err)
{
    if (csv->state == IN_QUOTED)
        return error_set(err, ERROR_DATA, "line %lld: the record's quotes are never closed",
                         (long long)csv->record_line);
    return csv->count == 0 || end_record(csv, each, arg, err);
}
