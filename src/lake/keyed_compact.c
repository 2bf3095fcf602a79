/* Compaction: rows of small and of much deleted files move into one new file, by the same plan and
 * protocol as a merge, with dataChange=false.
 *
 *   crowded   more than live_files_max files: the smallest go together, until half of live_files_max
 *             is left. A file joins only a group that is worth it (at most GROWTH times its size), so
 *             that a row is moved about log(table) times in its life.
 *   dirty     a file of some size with more than 30 % of its rows deleted: its live rows move, over
 *             several calls if there are many. A file without live rows leaves the table.
 *
 *  1. One call moves at most compact_rows_max rows and COMPACT_BYTES, so that its intent is whole and
 *     its pause bounded. Moving a part of a file is as valid as all of it.
 *  2. Files so large that two of them pass compact_rows_max stay apart, even beyond live_files_max. */
#include "lake/keyed_int.h"

#include <stdlib.h>

#define COMPACT_BYTES ((size_t)24 << 20)
enum { GROWTH = 4, GROUP_LEAST = 8, SMALL_SHARE = 16, DIRTY_SHARE = 8 };

struct candidate {
    struct keyed_file *file;
    int64_t live;
    bool dirty;
};

struct collected {
    struct keyed *k;
    struct buf bytes;            /* keys and rows, one after the other */
    struct keyed_item *items;    /* data pointers only once all is collected */
    size_t count, cap;
    const struct keyed_file *file; /* that is read alone */
};

static int compare_live(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->live != y->live) return x->live < y->live ? -1 : 1;
    return x->file->number < y->file->number ? -1 : 1;
}

/* All live files, the smallest first. */
static struct candidate *list_candidates(struct keyed *k)
{
    struct candidate *list = mem_resize(NULL, k->file_count + 1, sizeof *list);
    int64_t dirty_least = k->compact_rows_max / DIRTY_SHARE;
    for (size_t i = 0; i < k->file_count; i++) {
        struct keyed_file *f = &k->files[i];
        const struct delta_file *in_log = delta_file_find(k->table, f->path);
        int64_t deleted = in_log && in_log->dv.type ? in_log->dv.cardinality : 0;
        list[i] = (struct candidate){f, f->rows - deleted, f->rows >= dirty_least && deleted * 10 > f->rows * 3};
    }
    qsort(list, k->file_count, sizeof *list, compare_live);
    return list;
}

/* How many of the smallest files go together; 0: none. */
static size_t choose_group(const struct keyed *k, const struct candidate *list, int64_t *rows)
{
    size_t half = (size_t)k->live_files_max / 2, most = k->file_count - (half ? half : 1) + 1;
    size_t least = GROUP_LEAST < half + 1 ? GROUP_LEAST : half + 1, n = 0;
    *rows = 0;
    if (k->file_count <= (size_t)k->live_files_max) return 0;
    while (n < most && n < k->file_count) {
        int64_t with = *rows + list[n].live;
        bool small = with <= k->compact_rows_max / SMALL_SHARE;
        if (with > k->compact_rows_max || (n > 0 && !small && list[n].live > GROWTH * *rows)) break;
        *rows = with;
        n++;
    }
    if (n >= least && n >= 2) return n;
    *rows = 0;
    return 0;
}

static struct slice stored(const struct collected *c, size_t at, size_t len)
{
    return (struct slice){c->bytes.data + at, len};
}

static bool collect_row(void *arg, const struct keyed_file *f, uint32_t number, struct slice row, struct error *err)
{
    struct collected *c = arg;
    (void)err;
    if ((int64_t)c->count >= c->k->compact_rows_max || c->bytes.len > COMPACT_BYTES) return true;
    size_t at = c->bytes.len;
    keyed_row_key(c->k, row, &c->bytes);
    MEM_GROW(c->items, c->count, c->cap);
    c->items[c->count++] = (struct keyed_item){
        .key.len = c->bytes.len - at, .after.len = row.len, .old_file = f->number, .old_row = number,
    };
    buf_put_slice(&c->bytes, row);
    return true;
}

static bool collect_row_of(void *arg, uint32_t number, struct slice row, struct error *err)
{
    struct collected *c = arg;
    return collect_row(c, c->file, number, row, err);
}

/* A file with many deleted rows, from its first live row on. */
static bool collect_dirty(struct collected *c, struct engine_conn *conn, struct keyed_file *f, struct error *err)
{
    if (!keyed_file_vector(c->k, f, err)) return false;
    uint32_t from = 0, to = UINT32_MAX;
    while (from < f->deleted_count && f->deleted[from] == from) from++;
    if (c->k->compact_rows_max < f->rows - (int64_t)from) to = from + (uint32_t)c->k->compact_rows_max;
    c->file = f;
    return keyed_file_read(c->k, conn, f, from, to, collect_row_of, c, err);
}

static bool collect_group(struct collected *c, struct engine_conn *conn, const struct candidate *list, size_t count,
                          struct error *err)
{
    struct keyed_file **files = mem_resize(NULL, count + 1, sizeof *files);
    for (size_t i = 0; i < count; i++)
        files[i] = list[i].file;
    bool ok = true;
    for (size_t i = 0, taken = 0; ok && i < count; i += taken)
        ok = keyed_files_read(c->k, conn, files + i, count - i, &taken, collect_row, c, err);
    mem_free(files);
    return ok;
}

static bool collect(struct collected *c, struct engine_conn *conn, struct error *err)
{
    struct candidate *list = list_candidates(c->k);
    int64_t rows;
    size_t group = choose_group(c->k, list, &rows);
    bool ok = collect_group(c, conn, list, group, err);
    for (size_t i = group; ok && i < c->k->file_count && rows < c->k->compact_rows_max; i++) {
        if (!list[i].dirty) continue;
        ok = collect_dirty(c, conn, list[i].file, err);
        rows += list[i].live;
    }
    mem_free(list);
    if (ok && !buf_ok(&c->bytes)) ok = error_set(err, ERROR_FATAL, "rows too large");
    return ok;
}

static int compare_items(const void *a, const void *b)
{
    return slice_compare(((const struct keyed_item *)a)->key, ((const struct keyed_item *)b)->key);
}

static void point_items(struct collected *c)
{
    size_t at = 0;
    for (size_t i = 0; i < c->count; i++) {
        struct keyed_item *item = &c->items[i];
        item->key = stored(c, at, item->key.len);
        item->after = item->before = stored(c, at + item->key.len, item->after.len);
        at += item->key.len + item->after.len;
    }
    qsort(c->items, c->count, sizeof *c->items, compare_items);
}

static bool compact(struct keyed *k, struct engine_conn *conn, struct error *err)
{
    struct collected c = {.k = k};
    bool ok = collect(&c, conn, err);
    if (ok && c.count) {
        point_items(&c);
        struct keyed_plan plan = {
            .items = c.items, .count = c.count, .operation = "OPTIMIZE", .moves = true, .position = -1,
        };
        ok = keyed_commit_plan(k, conn, &plan, err);
    }
    buf_free(&c.bytes);
    mem_free(c.items);
    return ok || error_wrap(err, "%s: compaction", k->name);
}

bool keyed_upkeep(struct keyed *k, struct engine_conn *conn, int64_t keep_version, struct error *err)
{
    if (!k->columns_differ) {
        if (!k->in_step && !keyed_recover(k, conn, err)) return false;
        if (!compact(k, conn, err)) return false;
    }
    return delta_upkeep(k->table, conn, keep_version, err);
}
