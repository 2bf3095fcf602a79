#include "stages/copies.h"

#include <stdlib.h>

void copies_free(struct copies *c)
{
    for (size_t i = 0; i < c->count; i++) mem_free(c->tables[i]);
    mem_free(c->tables);
    mem_free(c->identity);
    *c = (struct copies){0};
}

static void forget(struct copies *c)
{
    int64_t next = c->next_copy_id;
    copies_free(c);
    c->next_copy_id = next;
}

static void drop(struct copies *c, struct slice table)
{
    for (size_t i = 0; i < c->count; i++) {
        if (!slice_equal(slice_of(c->tables[i]), table)) continue;
        mem_free(c->tables[i]);
        c->tables[i] = c->tables[--c->count];
        return;
    }
}

void copies_add(struct copies *c, struct slice table)
{
    drop(c, table);
    MEM_GROW(c->tables, c->count, c->cap);
    c->tables[c->count++] = mem_textn(table.data, table.len);
}

static int64_t number(struct slice key)
{
    char *text = mem_textn(key.data, key.len);
    int64_t n = strtoll(text, NULL, 10);
    mem_free(text);
    return n;
}

void copies_take(struct copies *c, char op, struct slice table, int32_t epoch, struct slice key, struct slice after)
{
    if (epoch > c->epoch) {
        forget(c);
        c->epoch = epoch;
    }
    int64_t n = number(key);
    if (n >= c->next_copy_id) c->next_copy_id = n + 1;
    drop(c, table);
    if (op == 'B') {
        if (!c->identity) c->identity = mem_textn(after.data, after.len);
        return;
    }
    c->complete = true; /* others of the epoch follow only a whole first copy */
    copies_add(c, table);
}
