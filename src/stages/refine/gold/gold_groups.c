/* From changed rows backwards to the groups they affect (invariant 1 of gold.h rests on this).
 *
 * Each line of the model has a set of values: those of its own column in rows that a change may have
 * entered or left. Lines are worked from the last to the first:
 *
 *   changed rows, before and after ---> the sets of all lines of their table
 *   line  t(c) = p.d:    each value --> rows of p whose d has it, as they are now --> the sets of the
 *                        EARLIER lines of p
 *   line  t(c) = group:  the values are groups
 *
 * Why rows of p as they are now are enough: take the way from a group to a changed row, in the state
 * before or after, and on it the changed row nearest to the group. All rows between are unchanged, so
 * today's indexes lead from it to the group, and both of its images are followed. Earlier lines only,
 * because forwards a line sees only rows that earlier lines brought in.
 *
 * A `since` line gives its values a time before which nothing changes; it is carried along, the earliest
 * wins, and a group with such a time is dropped when none of its rows in the `since` table reaches it. */
#include "stages/refine/gold/gold_int.h"

/* Values are kept with their time; ANY_TIME: unconditional. */
#define ANY_TIME INT64_MIN
#define NEVER INT64_MAX

enum { PIECE_VALUES = 1000 }; /* looked up together */

struct collect {
    struct gold *g;
    struct gold_model *m;
    struct map *sets; /* one for each line: value -> time */
    struct map groups;
    size_t line;                 /* whose value is being followed */
    const struct gold_input *in; /* table of the rows being taken */
    size_t table;
    size_t bound; /* only lines below */
    int64_t time;
    size_t values, values_max, groups_max;
    bool overflow, reached;
    struct buf text;
    struct slice *before; /* fields of the image before */
};

static void set_add(struct collect *c, struct map *set, struct slice value, int64_t time)
{
    size_t count = set->count;
    void **at = map_put(set, value);
    bool fresh = set->count > count;
    if (fresh || time < (int64_t)(intptr_t)*at) *at = (void *)(intptr_t)time;
    if (fresh && ++c->values > c->values_max) c->overflow = true;
}

/* ---- the time from which on a changed row of a `since` line matters ---- */

static int64_t instant(const struct column *column, struct slice field, int64_t null)
{
    uint64_t v = 0;
    if (!field.data) return null;
    for (size_t i = field.len; i-- > 0;)
        v = v << 8 | (unsigned char)field.data[i];
    if (column->type == COLUMN_TIMESTAMP) return (int64_t)v;
    return (int64_t)(int32_t)(uint32_t)v * INT64_C(86400000000);
}

/* Nothing but valid_to and is_current differs. */
static bool only_closed(const struct columns *columns, int to, const struct slice *a, const struct slice *b)
{
    for (size_t i = 0; i < columns->count; i++) {
        if ((int)i == to || strcmp(columns->items[i].name, "is_current") == 0) continue;
        if (!a[i].data != !b[i].data || !slice_equal(a[i], b[i])) return false;
    }
    return true;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* a and b are the images before and after; NULL when there is none. */
static int64_t since_time(const struct gold_line *line, const struct columns *columns,
                          const struct slice *a, const struct slice *b)
{
    if (line->since_table < 0) return ANY_TIME;
    int from = columns_find(columns, line->since_from);
    int to = line->since_to ? columns_find(columns, line->since_to) : -1;
    int64_t time = NEVER;
    int column = a && b && to >= 0 && only_closed(columns, to, a, b) ? to : from;
    int64_t null = column == to ? NEVER : ANY_TIME;
    if (a) time = smaller(time, instant(&columns->items[column], a[column], null));
    if (b) time = smaller(time, instant(&columns->items[column], b[column], null));
    return time;
}

/* ---- following ---- */

static void add_field(struct collect *c, size_t line_at, const struct slice *fields, int64_t time)
{
    const struct gold_line *line = &c->m->lines[line_at];
    buf_clear(&c->text);
    if (!field_text(&c->in->columns->items[line->column_at], fields[line->column_at], &c->text)) return;
    set_add(c, &c->sets[line_at], buf_slice(&c->text), time);
    if (line->parent == LINE_GROUP && c->sets[line_at].count > c->groups_max) c->overflow = true;
}

static bool take_mark(void *arg, struct slice before, struct slice after, struct error *err)
{
    struct collect *c = arg;
    const struct columns *columns = c->in->columns;
    struct slice *a = NULL, *b = NULL;
    if (before.data) {
        if (!row_next(columns, &before, c->before, NULL) || before.len)
            return error_set(err, ERROR_FATAL, "a mark of %s does not fit its columns", c->in->name);
        a = c->before;
    }
    if (after.data) {
        if (!gold_split(c->g, columns, after, err)) return false;
        b = c->g->fields;
    }
    for (size_t l = 0; l < c->m->line_count; l++) {
        const struct gold_line *line = &c->m->lines[l];
        if (line->table != c->table) continue;
        int64_t time = since_time(line, columns, a, b);
        if (a) add_field(c, l, a, time);
        if (b) add_field(c, l, b, time);
    }
    return true;
}

/* Sets of all lines of one table from its marks. */
static bool take_marks(struct collect *c, size_t table, struct error *err)
{
    bool any = false;
    c->table = table;
    c->in = &c->g->models.inputs[c->m->tables[table]];
    if (!gold_marks_any(c->g, c->in, &any, err)) return false;
    if (!any) return true;
    for (size_t l = 0; l < c->m->line_count; l++)
        if (c->m->lines[l].table == table && c->m->lines[l].parent == LINE_ALL) c->overflow = true;
    if (c->overflow) return true;
    c->before = mem_resize(c->before, c->in->columns->count + 1, sizeof *c->before);
    return gold_marks_each(c->g, c->in, &c->overflow, take_mark, c, err);
}

/* Values of a line on their way to its parent's rows. */
struct piece {
    struct collect *c;
    struct slice values[PIECE_VALUES];
    int64_t times[PIECE_VALUES];
    size_t count;
};

static bool take_parent_row(void *arg, size_t value, struct slice key, struct slice row, struct error *err)
{
    struct piece *p = arg;
    struct collect *c = p->c;
    (void)key;
    if (!gold_split(c->g, c->in->columns, row, err)) return false;
    for (size_t l = 0; l < c->bound; l++)
        if (c->m->lines[l].table == c->table) add_field(c, l, c->g->fields, p->times[value]);
    return true;
}

static bool follow_piece(struct piece *p, const struct gold_line *line, struct error *err)
{
    struct collect *c = p->c;
    c->table = (size_t)line->parent;
    c->in = &c->g->models.inputs[c->m->tables[c->table]];
    bool ok = gold_input_find(c->g, c->in, line->parent_at, p->values, p->count, take_parent_row, p, err);
    p->count = 0;
    return ok;
}

/* The values of one line lead to groups or to the lines of its parent. */
static bool follow_line(struct collect *c, size_t at, struct error *err)
{
    const struct gold_line *line = &c->m->lines[at];
    struct piece *p = mem_alloc(sizeof *p);
    struct slice value;
    void *time_at;
    bool ok = true;
    p->c = c;
    c->bound = at;
    for (size_t i = 0; ok && !c->overflow && map_next(&c->sets[at], &i, &value, &time_at);) {
        int64_t time = (int64_t)(intptr_t)time_at;
        if (time == NEVER) continue;
        if (line->parent == LINE_GROUP) {
            set_add(c, &c->groups, value, time);
            continue;
        }
        p->values[p->count] = value;
        p->times[p->count++] = time;
        if (p->count == PIECE_VALUES) ok = follow_piece(p, line, err);
    }
    if (ok && !c->overflow && p->count) ok = follow_piece(p, line, err);
    mem_free(p);
    return ok;
}

/* ---- the filter by time ---- */

static const struct gold_line *since_line(const struct gold_model *m)
{
    for (size_t l = 0; l < m->line_count; l++)
        if (m->lines[l].since_table >= 0) return &m->lines[l];
    return NULL;
}

static bool take_fact(void *arg, size_t value, struct slice key, struct slice row, struct error *err)
{
    struct collect *c = arg;
    (void)value;
    (void)key;
    if (!gold_split(c->g, c->in->columns, row, err)) return false;
    int at = columns_find(c->in->columns, since_line(c->m)->since_column);
    if (instant(&c->in->columns->items[at], c->g->fields[at], ANY_TIME) >= c->time) c->reached = true;
    return true;
}

/* Whether the group has a row at or after the time in the `since` table. */
static bool reaches(struct collect *c, struct slice group, struct error *err)
{
    size_t table = (size_t)since_line(c->m)->since_table;
    c->in = &c->g->models.inputs[c->m->tables[table]];
    c->reached = false;
    for (size_t l = 0; l < c->m->line_count && !c->reached; l++) {
        const struct gold_line *line = &c->m->lines[l];
        if (line->table != table || line->parent != LINE_GROUP) continue;
        if (!gold_input_find(c->g, c->in, line->column_at, &group, 1, take_fact, c, err)) return false;
    }
    return true;
}

static bool filter_groups(struct collect *c, struct map *groups, struct error *err)
{
    struct slice group;
    void *time;
    for (size_t i = 0; map_next(&c->groups, &i, &group, &time);) {
        c->time = (int64_t)(intptr_t)time;
        if (c->time != ANY_TIME) {
            if (!reaches(c, group, err)) return false;
            if (!c->reached) continue;
        }
        *map_put(groups, group) = groups;
    }
    return true;
}

static bool collect(struct collect *c, struct map *groups, struct error *err)
{
    for (size_t t = 0; t < c->m->table_count && !c->overflow; t++)
        if (!take_marks(c, t, err)) return false;
    for (size_t l = c->m->line_count; l-- > 0 && !c->overflow;) {
        if (!follow_line(c, l, err)) return false;
        map_free(&c->sets[l], NULL);
    }
    if (!c->overflow && !filter_groups(c, groups, err)) return false;
    c->overflow = c->overflow || groups->count > c->groups_max;
    return true;
}

bool gold_groups_collect(struct gold *g, struct gold_model *m, size_t groups_max, struct map *groups,
                         bool *overflow, struct error *err)
{
    struct collect c = {.g = g, .m = m, .values_max = GOLD_VALUES_MAX, .groups_max = groups_max};
    c.sets = mem_alloc((m->line_count + 1) * sizeof *c.sets);
    bool ok = collect(&c, groups, err);
    *overflow = c.overflow;
    for (size_t l = 0; l < m->line_count; l++)
        map_free(&c.sets[l], NULL);
    mem_free(c.sets);
    mem_free(c.before);
    map_free(&c.groups, NULL);
    buf_free(&c.text);
    return ok;
}
