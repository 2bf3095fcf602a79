/* The position row: how far the warehouse shows the lake. Written after the rows it speaks of, so that
 * loading again from it repeats rows (harmless: same key, same version) and never leaves any out.
 * sequence only grows, also when a reload goes back to an earlier position. */
#include "stages/warehouse/warehouse_int.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

void position_free(struct warehouse_position *p)
{
    mem_free(p->versions);
    *p = (struct warehouse_position){.position = -1};
}

static char *next_field(char **rest)
{
    char *field = strsep(rest, "\t\n");
    return field ? field : (char *)"";
}

static void take_row(char *text, struct warehouse_position *out, bool *found)
{
    char definition[17], *rest = text;
    tables_definition(definition);
    uint64_t sequence = strtoull(next_field(&rest), NULL, 10);
    out->sequence = sequence;
    if (strcmp(next_field(&rest), definition) != 0) return;
    out->position = strtoll(next_field(&rest), NULL, 10);
    out->end_lsn = strtoull(next_field(&rest), NULL, 10);
    out->commit_us = strtoll(next_field(&rest), NULL, 10);
    out->versions = mem_text(next_field(&rest));
    *found = true;
}

bool position_read(struct target *t, struct warehouse_position *out, bool *found, struct error *err)
{
    static const char there[] = "SELECT count() FROM system.tables WHERE database = currentDatabase()"
                                " AND name = 'millrace_position' ";
    static const char row[] = "SELECT sequence, definition, position, end_lsn,"
                              " toUnixTimestamp64Micro(commit_at), versions FROM millrace_position";
    struct buf text = {0};
    *out = (struct warehouse_position){.position = -1};
    *found = false;
    bool ok = t->ops->ask(t->self, there, &text, err);
    bool exists = ok && text.len && text.data[0] != '0';
    buf_clear(&text);
    /* a row of another shape was written by another definition */
    if (exists && t->ops->ask(t->self, row, &text, err) && text.len) {
        char *copy = buf_take(&text);
        take_row(copy, out, found);
        mem_free(copy);
    }
    buf_free(&text);
    return ok || error_wrap(err, "warehouse");
}

bool position_write(struct target *t, struct warehouse_position *p, struct error *err)
{
    char definition[17];
    struct buf row = {0};
    tables_definition(definition);
    p->sequence++;
    buf_put_u8(&row, 0);
    buf_put_u64(&row, p->sequence);
    buf_put_u64(&row, (uint64_t)p->position);
    buf_put_u64(&row, p->end_lsn);
    buf_put_u64(&row, (uint64_t)p->commit_us);
    buf_put_u64(&row, (uint64_t)clock_wall_us());
    buf_put_string(&row, slice_of(p->versions ? p->versions : "{}"));
    buf_put_string(&row, slice_of(definition));
    bool ok = t->ops->insert(t->self, "INSERT INTO millrace_position_store", buf_slice(&row), err);
    buf_free(&row);
    return ok || error_wrap(err, "warehouse: position");
}
