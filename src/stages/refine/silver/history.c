/* The history table beside a table whose columns change.
 *
 *   new column       appended, nullable; older rows have NULL
 *   dropped column   stays and gets NULL from now on
 *   other type       goes on under "<name>_<type>"; a Delta column cannot change its type */
#include "stages/refine/silver/silver_int.h"

/* The history's columns with what silver/<table> has now; true when that differs from what it has. */
static bool history_plan(const struct table *t, struct columns *out)
{
    const struct columns *have = delta_columns(t->history);
    bool differs = false;
    columns_copy(out, have);
    for (size_t i = 0; i < out->count; i++) {
        struct column *c = &out->items[i];
        int at = history_source(&t->stored, c);
        bool own = strcmp(c->name, "_op") == 0 || strcmp(c->name, "_valid_from") == 0;
        if (own || c->nullable || (at >= 0 && !t->stored.items[at].nullable)) continue;
        c->nullable = true;
        differs = true;
    }
    for (size_t i = 0; i < t->stored.count; i++) {
        const struct column *c = &t->stored.items[i];
        bool found = false;
        for (size_t k = 0; k < have->count && !found; k++)
            found = history_source(&t->stored, &have->items[k]) == (int)i;
        if (found) continue;
        char *name = columns_find(have, c->name) >= 0 ? history_name(c) : mem_text(c->name);
        columns_add(out, name, c->type, c->precision, c->scale, true);
        mem_free(name);
        differs = true;
    }
    return differs;
}

bool history_evolve(struct table *t, struct error *err)
{
    struct columns wanted = {0};
    bool ok = true;
    if (history_plan(t, &wanted)) {
        struct delta_commit *c = delta_commit_begin(t->history, "ADD COLUMNS");
        int64_t version;
        delta_commit_columns(c, &wanted);
        ok = delta_commit_finish(c, &version, err) || error_wrap(err, "%s", delta_name(t->history));
    }
    columns_free(&wanted);
    if (ok) history_map(t);
    return ok;
}
