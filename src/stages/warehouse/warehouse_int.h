/* Parts of the warehouse stage: the target (how ClickHouse is reached), the tables (what it holds), the
 * load (rows on their way), the reload (tables anew from gold), the position row. */
#ifndef MILLRACE_STAGES_WAREHOUSE_INT_H
#define MILLRACE_STAGES_WAREHOUSE_INT_H

#include "format/row.h"

/* ---- target.c: ClickHouse, in process; a server over HTTP fulfils the same four calls ---- */

struct target_ops {
    bool (*run)(void *self, const char *sql, struct error *err);
    /* The answer as TSV is appended. */
    bool (*ask)(void *self, const char *sql, struct buf *tsv, struct error *err);
    /* "INSERT INTO x" with RowBinary rows, as one block: a reader sees all of them or none. */
    bool (*insert)(void *self, const char *sql, struct slice rows, struct error *err);
    /* Appends an expression that ClickHouse reads a Delta table of the lake with ("gold/fact_orders"). */
    void (*put_delta)(void *self, const char *name, struct buf *sql);
    void (*close)(void *self);
};

struct target {
    const struct target_ops *ops;
    void *self;
};

/* lake: absolute path. The engine must be open. */
bool target_open_engine(struct target *t, const char *lake, struct error *err) MUST_CHECK;
void target_close(struct target *t);

/* ---- tables.c: the gold models as the warehouse holds them ---- */

struct warehouse_table {
    char *name;              /* "fact_orders"; stored as fact_orders_store, read as the view fact_orders */
    struct columns columns;  /* the model's, in order */
    struct columns stored;   /* and _version, _deleted: the shape of an outbox block's rows */
    char *sort;              /* the model's "sort:" line: "order_date, order_id" */
    bool is_dimension;
};

struct warehouse_tables {
    struct warehouse_table *items;
    size_t count, cap;
};

/* From the headers of the models in the program; the order is that of names, dimensions first. */
bool tables_load(struct warehouse_tables *t, struct error *err) MUST_CHECK;
void tables_free(struct warehouse_tables *t);
int tables_find(const struct warehouse_tables *t, const char *name); /* -1: not in the warehouse */
/* 16 hex digits over clickhouse_init/: tables made by another definition are made again. */
void tables_definition(char out[17]);
bool tables_create(struct target *t, struct error *err) MUST_CHECK;
/* Drops all stored tables; the views stay and are replaced by tables_create. */
bool tables_drop(struct target *t, struct error *err) MUST_CHECK;

/* ---- position.c ---- */

struct warehouse_position {
    uint64_t sequence;
    int64_t position; /* -1: nothing loaded */
    uint64_t end_lsn;
    int64_t commit_us;
    char *versions;   /* {"fact_orders":12,...} */
};

void position_free(struct warehouse_position *p);
/* *found is false without a row, or when the tables were made by another definition. */
bool position_read(struct target *t, struct warehouse_position *out, bool *found,
                   struct error *err) MUST_CHECK;
/* Writes the row with the next sequence. */
bool position_write(struct target *t, struct warehouse_position *p, struct error *err) MUST_CHECK;

/* ---- load.c: rows of several batches, merged into one insert for each table ---- */

struct load_rows {
    struct buf rows;      /* to insert with the table's turn */
    struct buf deletes;   /* dimensions only: after the facts */
    bool copying;         /* more than one block, or anew: goes into <name>_copy, exchanged at its turn */
};

struct load {
    struct target *target;
    const struct warehouse_tables *tables;
    struct load_rows *items; /* parallel to tables->items */
    size_t block_bytes_max;  /* of one insert */
    size_t bytes, rows;
};

void load_init(struct load *l, struct target *target, const struct warehouse_tables *tables,
               size_t block_bytes_max);
void load_free(struct load *l);
/* Takes one block of the outbox; an empty one means: anew from gold at that version. Blocks of tables that
 * the warehouse does not hold are passed over. */
bool load_add(struct load *l, const char *table, int64_t version, struct slice block,
              struct error *err) MUST_CHECK;
/* Inserts everything in order; the load is empty afterwards. */
bool load_flush(struct load *l, struct error *err) MUST_CHECK;
/* Drops what was gathered, copies included. */
bool load_cancel(struct load *l, struct error *err) MUST_CHECK;

/* ---- reload.c: tables anew from gold ---- */

bool copy_begin(struct target *t, const char *table, bool with_rows, struct error *err) MUST_CHECK;
bool copy_exchange(struct target *t, const char *table, struct error *err) MUST_CHECK;
/* Makes <table>_copy from gold/<table> as of version (of the newest one when that is gone). */
bool copy_from_gold(struct target *t, const struct warehouse_table *table, int64_t version,
                    struct error *err) MUST_CHECK;
/* All tables as of the versions ({"fact_orders":12}): copies first, then all exchanges. */
bool reload_all(struct target *t, const struct warehouse_tables *tables, const char *versions,
                struct error *err) MUST_CHECK;

#endif
