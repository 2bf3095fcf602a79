/* Cleaning: raw images go into a scratch table, the model's statement answers with typed rows or reasons.
 *
 *   (seq, after) RowBinary --> scratch_silver.input_<n> --> SELECT --> (seq, _error, columns) RowBinary
 *
 *  1. Rows come back in the order in which they went in; each seq is checked.
 *  2. Pieces are bounded (PIECE_ROWS, PIECE_BYTES), so memory does not grow with the range.
 *  3. A column that is not null in the table comes back nullable, for bad rows have no value there; good
 *     rows are written anew without the flag. */
#include "stages/refine/silver/silver_int.h"

enum { PIECE_ROWS = 20000, PIECE_BYTES = 8 << 20 };

/* One thread keeps the order; what the planner may try would cost a small range more than it gains. */
static const char settings[] = " SETTINGS max_threads=1, query_plan_enable_optimizations=0,"
                               " optimize_functions_to_subcolumns=0, compile_expressions=0";

static _Atomic unsigned next_input;

bool cleaner_open(struct cleaner *c, struct error *err)
{
    c->borrowed = c->conn != NULL;
    c->input = mem_format("scratch_silver.input_%u", next_input++);
    char *sql =
        mem_format("CREATE TABLE IF NOT EXISTS %s (seq Int64, after String) ENGINE = Memory", c->input);
    bool ok = (c->borrowed || engine_connect(&c->conn, NULL, err)) &&
              engine_run(c->conn, "CREATE DATABASE IF NOT EXISTS scratch_silver ENGINE = Memory", err) &&
              engine_run(c->conn, sql, err);
    mem_free(sql);
    if (!ok) cleaner_close(c);
    return ok;
}

void cleaner_close(struct cleaner *c)
{
    if (c->conn && c->input) {
        char *sql = mem_format("DROP TABLE IF EXISTS %s", c->input);
        struct error ignored = {0}; /* the next engine begins without scratch tables either way */
        if (!engine_run(c->conn, sql, &ignored)) ignored.kind = ERROR_NONE;
        mem_free(sql);
    }
    if (c->conn && !c->borrowed) engine_disconnect(c->conn);
    mem_free(c->input);
    *c = (struct cleaner){0};
}

void clean_results_free(struct clean_results *r)
{
    for (size_t i = 0; i < r->count; i++)
        engine_result_free(&r->items[i]);
    mem_free(r->items);
    *r = (struct clean_results){0};
}

/* Takes the first items, of one schema, up to the bounds; returns how many. */
static size_t take_piece(const struct clean_item *items, size_t count, struct buf *rows)
{
    const struct schema *schema = items[0].schema;
    size_t taken = 0;
    while (taken < count && taken < PIECE_ROWS && rows->len < PIECE_BYTES &&
           items[taken].schema == schema) {
        buf_put_u64(rows, taken);
        buf_put_string(rows, items[taken].after);
        taken++;
    }
    return taken;
}

static bool fill(struct cleaner *c, const struct buf *rows, size_t count, struct error *err)
{
    char *truncate = mem_format("TRUNCATE TABLE %s", c->input);
    char *insert = mem_format(
        "INSERT INTO %s SETTINGS max_insert_threads=1, input_format_parallel_parsing=0", c->input);
    uint64_t written = 0;
    bool ok = engine_run(c->conn, truncate, err) &&
              engine_insert(c->conn, insert, "RowBinary", buf_slice(rows), &written, err);
    mem_free(truncate);
    mem_free(insert);
    if (ok && written != count)
        ok = error_set(err, ERROR_RETRY, "%zu images went in, %llu arrived", count,
                       (unsigned long long)written);
    return ok;
}

/* The answer's shape: seq, reason, then every column nullable. */
static void answer_columns(const struct columns *columns, struct columns *out)
{
    columns_add(out, "seq", COLUMN_LONG, 0, 0, false);
    columns_add(out, "_error", COLUMN_STRING, 0, 0, true);
    for (size_t i = 0; i < columns->count; i++) {
        const struct column *c = &columns->items[i];
        columns_add(out, c->name, c->type, c->precision, c->scale, true);
    }
}

static int64_t read_seq(struct slice field)
{
    int64_t v;
    memcpy(&v, field.data, sizeof v);
    return v;
}

/* Good rows are compacted in place: dropping flags only shortens them, so the answer's own bytes hold
 * what the items point to. */
static struct slice write_row(const struct columns *columns, const struct slice *fields, char *at)
{
    char *start = at;
    for (size_t i = 0; i < columns->count; i++) {
        const struct column *c = &columns->items[i];
        struct slice f = fields[i];
        if (c->nullable) *at++ = f.data ? 0 : 1;
        if (!f.data) continue;
        if (c->type == COLUMN_STRING)
            for (size_t n = f.len;; n >>= 7) {
                *at++ = (char)(n >= 0x80 ? (n & 0x7F) | 0x80 : n);
                if (n < 0x80) break;
            }
        memmove(at, f.data, f.len);
        at += f.len;
    }
    return (struct slice){start, (size_t)(at - start)};
}

static bool take_answer(struct slice rest, const struct columns *columns, struct clean_item *items,
                        size_t count, struct error *err)
{
    struct columns answer = {0};
    answer_columns(columns, &answer);
    struct slice *fields = mem_resize(NULL, answer.count, sizeof *fields);
    size_t n = 0;
    bool ok = true;
    while (ok && n < count) {
        struct slice row;
        ok = row_next(&answer, &rest, fields, &row) && read_seq(fields[0]) == (int64_t)n;
        if (!ok) break;
        items[n].reason = fields[1];
        items[n].row = (struct slice){0};
        /* the engine's bytes are ours to change until the result is freed */
        if (!fields[1].data) items[n].row = write_row(columns, fields + 2, (char *)(uintptr_t)row.data);
        n++;
    }
    mem_free(fields);
    columns_free(&answer);
    if (ok && rest.len == 0) return true;
    return error_set(err, ERROR_FATAL, "the model's answer is not one row for each of %zu images (row %zu)",
                     count, n);
}

static bool clean_piece(struct cleaner *cleaner, const struct model *model, const struct schema *to,
                        const struct columns *columns, struct clean_item *items, size_t count,
                        struct clean_results *results, struct error *err)
{
    struct buf sql = {0};
    model_put_sql(model, items[0].schema, to, cleaner->input, &sql);
    buf_put_text(&sql, settings);
    MEM_GROW(results->items, results->count, results->cap);
    struct engine_result *result = &results->items[results->count];
    bool ok = engine_query(cleaner->conn, buf_text(&sql), "RowBinary", NULL, 0, result, err);
    buf_free(&sql);
    if (!ok) return false;
    results->count++;
    return take_answer(result->data, columns, items, count, err);
}

bool clean_items(struct cleaner *cleaner, const struct model *model, const struct schema *to,
                 const struct columns *columns, struct clean_item *items, size_t count,
                 struct clean_results *results, struct error *err)
{
    struct buf rows = {0};
    bool ok = true;
    for (size_t at = 0, n; ok && at < count; at += n) {
        buf_clear(&rows);
        n = take_piece(items + at, count - at, &rows);
        ok = fill(cleaner, &rows, n, err) &&
             clean_piece(cleaner, model, to, columns, items + at, n, results, err);
    }
    buf_free(&rows);
    return ok || error_wrap(err, "cleaning");
}
