/* The cost of a merge into tables of different size: 1,000 random keys (900 updates, 50 deletes, 50 new)
 * per merge, with upkeep between merges as the refine stage does it.
 *
 *   keyed_merge <home> [rows[xmerges] ...]      default 500000x100 5000000x100
 *
 * A table that is there already from an earlier run is used as it is.
 * Prints one line for each size: how long the load took, p50 and p95 of merges and of upkeep, files and
 * bytes. Targets: p95 of a merge at 5 M rows at most 150 ms, and at most 1.3 times that of 0.5 M. */
#include "base/clock.h"
#include "base/file.h"
#include "lake/keyed.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MERGES = 100, CHANGES = 1000, LOAD_ROWS = 500000 };

struct bench {
    struct state *state;
    struct engine_conn *conn;
    struct keyed *k;
    struct columns columns;
    char *lake, *store;
    uint64_t random;
};

static uint64_t next_random(struct bench *b)
{
    b->random ^= b->random << 13;
    b->random ^= b->random >> 7;
    b->random ^= b->random << 17;
    return b->random;
}

static void must(bool ok, const struct error *err)
{
    if (ok) return;
    fprintf(stderr, "%s: %s\n", error_kind_name(err->kind), err->text);
    exit(1);
}

/* About 166 bytes, like an order line. */
static void put_row(struct bench *b, uint64_t id, struct buf *out)
{
    buf_put_u64(out, id);
    char text[64];
    for (int i = 0; i < 3; i++) {
        int n = snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)next_random(b),
                         (unsigned long long)(id * 2654435761u));
        buf_put_string(out, (struct slice){text, (size_t)n});
    }
    for (int i = 0; i < 5; i++) buf_put_u64(out, next_random(b) % 1000000);
    buf_put_nullable(out, SLICE("delivered"));
}

static void make_columns(struct columns *c)
{
    columns_add(c, "id", COLUMN_LONG, 0, 0, false);
    columns_add(c, "customer", COLUMN_STRING, 0, 0, false);
    columns_add(c, "product", COLUMN_STRING, 0, 0, false);
    columns_add(c, "seller", COLUMN_STRING, 0, 0, false);
    columns_add(c, "price", COLUMN_DECIMAL, 12, 2, false);
    columns_add(c, "freight", COLUMN_DECIMAL, 12, 2, false);
    columns_add(c, "bought_at", COLUMN_TIMESTAMP, 0, 0, false);
    columns_add(c, "sent_at", COLUMN_TIMESTAMP, 0, 0, false);
    columns_add(c, "quantity", COLUMN_LONG, 0, 0, false);
    columns_add(c, "status", COLUMN_STRING, 0, 0, true);
}

static void open_table(struct bench *b)
{
    static const int key[] = {0};
    struct error err = {0};
    bool differ;
    struct keyed_spec spec = {
        .name = "silver/lines", .columns = &b->columns, .key_columns = key, .key_column_count = 1,
        .app_id = "bench", .live_files_max = 64, .compact_rows_max = 200000,
        .options = {.deletion_vectors = true, .checkpoint_commits = 100, .log_retention_s = 3600,
                    .tombstone_retention_s = 3600},
    };
    must(state_open(&b->state, b->store, 64 << 20, &err), &err);
    must(keyed_open(&b->k, b->lake, b->state, b->conn, &spec, &differ, &err), &err);
}

/* Keys are unique in a batch: ids step through the table from a random place. */
static int64_t merge(struct bench *b, uint64_t first, uint64_t step, uint64_t rows, size_t count, int64_t position,
                     bool mixed)
{
    struct error err = {0};
    struct buf bytes = {.max = (size_t)8 << 30};
    struct keyed_change *changes = mem_alloc(count * sizeof *changes);
    size_t *at = mem_alloc((2 * count + 1) * sizeof *at);
    for (size_t i = 0; i < count; i++) {
        uint64_t id = mixed && i % 20 == 0 ? rows * 2 + (uint64_t)position * count + i : (first + i * step) % rows;
        buf_printf(&bytes, "%llu", (unsigned long long)id);
        at[2 * i + 1] = bytes.len;
        if (!mixed || i % 20 != 1) put_row(b, id, &bytes);
        at[2 * i + 2] = bytes.len;
    }
    for (size_t i = 0; i < count; i++) {
        changes[i].key = (struct slice){bytes.data + at[2 * i], at[2 * i + 1] - at[2 * i]};
        if (at[2 * i + 2] > at[2 * i + 1])
            changes[i].row = (struct slice){bytes.data + at[2 * i + 1], at[2 * i + 2] - at[2 * i + 1]};
    }
    int64_t began = clock_mono_us();
    must(keyed_merge(b->k, b->conn, changes, count, position, NULL, NULL, NULL, NULL, &err), &err);
    int64_t took = clock_mono_us() - began;
    buf_free(&bytes);
    mem_free(changes);
    mem_free(at);
    return took;
}

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double quantile_ms(int64_t *us, size_t count, double q)
{
    qsort(us, count, sizeof *us, compare_i64);
    return (double)us[(size_t)((double)(count - 1) * q)] / 1000;
}

static void run(const char *home, struct engine_conn *conn, uint64_t rows, size_t count)
{
    struct error err = {0};
    struct bench b = {.conn = conn, .random = 88172645463325252u};
    int64_t *merges = mem_alloc(count * sizeof *merges), *upkeeps = mem_alloc(count * sizeof *upkeeps);
    b.lake = mem_format("%s/lake_%llu", home, (unsigned long long)rows);
    b.store = mem_format("%s/state_%llu", home, (unsigned long long)rows);
    make_columns(&b.columns);
    open_table(&b);
    int64_t began = clock_mono_us(), position = keyed_position(b.k) + 1;
    b.random += (uint64_t)position;
    for (uint64_t from = position ? rows : 0; from < rows; from += LOAD_ROWS)
        merge(&b, from, 1, rows, (size_t)(rows - from < LOAD_ROWS ? rows - from : LOAD_ROWS), position++, false);
    double load_s = (double)(clock_mono_us() - began) / 1e6;
    malloc_trim(0);
    for (size_t i = 0; i < count; i++) {
        merges[i] = merge(&b, next_random(&b) % rows, rows / CHANGES, rows, CHANGES, position++, true);
        began = clock_mono_us();
        must(keyed_upkeep(b.k, conn, 0, &err), &err);
        upkeeps[i] = clock_mono_us() - began;
    }
    uint64_t disk, memory;
    state_usage(b.state, &disk, &memory);
    printf("rows=%llu load_s=%.1f merge_p50_ms=%.1f merge_p95_ms=%.1f upkeep_p50_ms=%.1f upkeep_max_ms=%.1f "
           "files=%zu state_mb=%.0f\n",
           (unsigned long long)rows, load_s, quantile_ms(merges, count, 0.5), quantile_ms(merges, count, 0.95),
           quantile_ms(upkeeps, count, 0.5), quantile_ms(upkeeps, count, 1), delta_file_count(keyed_table(b.k)),
           (double)disk / 1e6);
    fflush(stdout);
    keyed_close(b.k);
    state_close(b.state);
    columns_free(&b.columns);
    mem_free(b.lake);
    mem_free(b.store);
    mem_free(merges);
    mem_free(upkeeps);
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct engine_conn *conn;
    if (argc < 2) {
        fprintf(stderr, "usage: keyed_merge <home> [rows ...]\n");
        return 2;
    }
    must(file_make_dirs(argv[1], &err), &err);
    char *home = realpath(argv[1], NULL);
    char *storage = mem_format("%s/warehouse", home);
    must(engine_open("", home, storage, 0, &err), &err);
    must(engine_connect(&conn, NULL, &err), &err);
    if (argc == 2) {
        run(home, conn, 500000, MERGES);
        run(home, conn, 5000000, MERGES);
    }
    for (int i = 2; i < argc; i++) {
        char *rest;
        uint64_t rows = strtoull(argv[i], &rest, 10);
        size_t count = *rest == 'x' ? (size_t)strtoull(rest + 1, NULL, 10) : 0;
        run(home, conn, rows, count ? count : MERGES);
    }
    engine_disconnect(conn);
    engine_close();
    mem_free(storage);
    free(home);
    return 0;
}
