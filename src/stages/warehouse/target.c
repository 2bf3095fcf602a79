/* ClickHouse in this process as the warehouse's target.
 *
 * An insert is one block and therefore one part: the limits at which the engine would cut it are set far
 * above what load.c hands over. Statements that move much (copies from gold) set their own. */
#include "stages/warehouse/warehouse_int.h"

#include "engine/engine.h"

static const char *const settings[] = {
    "max_insert_block_size=1000000000",
    "min_insert_block_size_rows=1000000000",
    "min_insert_block_size_bytes=0",
    "max_insert_threads=1",
    "async_insert=0",
    NULL,
};

struct engine_target {
    struct engine_conn *conn;
    char *lake;
};

static bool run(void *self, const char *sql, struct error *err)
{
    struct engine_target *t = self;
    return engine_run(t->conn, sql, err);
}

static bool ask(void *self, const char *sql, struct buf *tsv, struct error *err)
{
    struct engine_target *t = self;
    struct engine_result r = {0};
    if (!engine_query(t->conn, sql, "TSV", NULL, 0, &r, err)) return false;
    buf_put_slice(tsv, r.data);
    engine_result_free(&r);
    return true;
}

static bool insert(void *self, const char *sql, struct slice rows, struct error *err)
{
    struct engine_target *t = self;
    return engine_insert(t->conn, sql, "RowBinary", rows, NULL, err);
}

static void put_delta(void *self, const char *name, struct buf *sql)
{
    struct engine_target *t = self;
    char *path = mem_format("%s/%s", t->lake, name);
    buf_put_text(sql, "deltaLakeLocal(");
    buf_put_sql_text(sql, slice_of(path));
    buf_put_char(sql, ')');
    mem_free(path);
}

static void close_target(void *self)
{
    struct engine_target *t = self;
    if (t->conn) engine_disconnect(t->conn);
    mem_free(t->lake);
    mem_free(t);
}

static const struct target_ops engine_ops = {run, ask, insert, put_delta, close_target};

bool target_open_engine(struct target *t, const char *lake, struct error *err)
{
    struct engine_target *self = mem_alloc(sizeof *self);
    if (!engine_connect(&self->conn, settings, err)) {
        mem_free(self);
        return false;
    }
    self->lake = mem_text(lake);
    *t = (struct target){&engine_ops, self};
    return true;
}

void target_close(struct target *t)
{
    if (t->self) t->ops->close(t->self);
    *t = (struct target){0};
}
