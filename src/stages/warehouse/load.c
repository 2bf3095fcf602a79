/* Rows on their way: blocks of several batches are gathered per table, then inserted in order.
 *
 *   gather:  rows of facts and living dimension rows -> rows; deleted dimension rows -> deletes
 *            more than one block holds -> x_copy is begun (x_store's parts by hard link), rows go there
 *            an empty block            -> x_copy is filled from gold, earlier rows are forgotten
 *   flush:   dimensions' rows, all other rows (each one insert, or an exchange), dimensions' deletes
 *
 * Rows of one key from several batches meet in one insert: the highest version wins there as it would
 * later. Every row is split once, so that a block of another shape is refused before a reader sees it. */
#include "stages/warehouse/warehouse_int.h"

void load_init(struct load *l, struct target *target, const struct warehouse_tables *tables,
               size_t block_bytes_max)
{
    *l = (struct load){.target = target, .tables = tables, .block_bytes_max = block_bytes_max};
    l->items = mem_alloc((tables->count + 1) * sizeof *l->items);
}

static void forget(struct load *l)
{
    for (size_t i = 0; i < l->tables->count; i++) {
        buf_free(&l->items[i].rows);
        buf_free(&l->items[i].deletes);
        l->items[i] = (struct load_rows){0};
    }
    l->bytes = l->rows = 0;
}

void load_free(struct load *l)
{
    if (l->items) forget(l);
    mem_free(l->items);
    *l = (struct load){0};
}

bool load_cancel(struct load *l, struct error *err)
{
    bool ok = true;
    for (size_t i = 0; i < l->tables->count; i++) {
        if (!l->items[i].copying) continue;
        char *sql = mem_format("DROP TABLE IF EXISTS `%s_copy` SYNC", l->tables->items[i].name);
        ok = l->target->ops->run(l->target->self, sql, err) && ok;
        mem_free(sql);
    }
    forget(l);
    return ok;
}

static bool insert(struct load *l, const char *table, const char *suffix, struct buf *rows,
                   struct error *err)
{
    if (rows->len == 0) return true;
    char *sql = mem_format("INSERT INTO `%s%s`", table, suffix);
    bool ok = l->target->ops->insert(l->target->self, sql, buf_slice(rows), err);
    mem_free(sql);
    buf_clear(rows);
    return ok || error_wrap(err, "warehouse: %s", table);
}

/* What no single block can hold goes into a copy, piece by piece: nobody reads it before the exchange. */
static bool spill(struct load *l, size_t i, struct error *err)
{
    const char *name = l->tables->items[i].name;
    if (!l->items[i].copying && !copy_begin(l->target, name, true, err)) return false;
    l->items[i].copying = true;
    return insert(l, name, "_copy", &l->items[i].rows, err);
}

static bool take_rows(struct load *l, size_t i, struct slice block, struct error *err)
{
    const struct warehouse_table *t = &l->tables->items[i];
    struct load_rows *to = &l->items[i];
    struct slice *fields = mem_resize(NULL, t->stored.count, sizeof *fields), row;
    bool ok = true;
    while (ok && block.len) {
        if (!row_next(&t->stored, &block, fields, &row)) {
            ok = error_set(err, ERROR_DATA, "warehouse: a block of %s has another shape", t->name);
            break;
        }
        bool deleted = fields[t->stored.count - 1].data[0] != 0;
        buf_put_slice(deleted && t->is_dimension ? &to->deletes : &to->rows, row);
        l->rows++;
        if (to->rows.len > l->block_bytes_max) ok = spill(l, i, err);
    }
    mem_free(fields);
    return ok;
}

/* Rows of later blocks have higher versions: they follow into the same copy. */
static bool take_anew(struct load *l, size_t i, int64_t version, struct error *err)
{
    struct load_rows *to = &l->items[i];
    buf_clear(&to->rows);
    buf_clear(&to->deletes);
    to->copying = true;
    return copy_from_gold(l->target, &l->tables->items[i], version, err);
}

bool load_add(struct load *l, const char *table, int64_t version, struct slice block, struct error *err)
{
    int i = tables_find(l->tables, table);
    if (i < 0) return true;
    if (block.len == 0) return take_anew(l, (size_t)i, version, err);
    l->bytes += block.len;
    return take_rows(l, (size_t)i, block, err);
}

static bool flush_rows(struct load *l, size_t i, struct error *err)
{
    const char *name = l->tables->items[i].name;
    struct load_rows *r = &l->items[i];
    if (!r->copying) return insert(l, name, "_store", &r->rows, err);
    return insert(l, name, "_copy", &r->rows, err) && copy_exchange(l->target, name, err);
}

bool load_flush(struct load *l, struct error *err)
{
    bool ok = true;
    for (int dimensions = 1; dimensions >= 0; dimensions--)
        for (size_t i = 0; ok && i < l->tables->count; i++)
            if (l->tables->items[i].is_dimension == (dimensions == 1)) ok = flush_rows(l, i, err);
    for (size_t i = 0; ok && i < l->tables->count; i++)
        ok = insert(l, l->tables->items[i].name, "_store", &l->items[i].deletes, err);
    if (ok) forget(l);
    return ok;
}
