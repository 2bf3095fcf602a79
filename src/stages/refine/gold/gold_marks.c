/* Marks: which keys of an input changed, and how their rows were before (gold.h: d/, dm/, dc/).
 *
 *   merge of version v --> d/<input>\0<v><key> for each changed key, dm/ = v      (one atomic write)
 *   gold has followed  --> dc/ = dm/, the marks up to it are deleted
 *
 * Readers start behind dc/, so they never walk over marks that were deleted. Marks may be followed twice
 * (a crash before they were cleared), then together with those of later versions: a model may stand at any
 * version between, so a key's image at each of them counts, not its first one alone. A version between dc/ and
 * the table's that added data but left no marks is a gap: the store is older than the lake. */
#include "stages/refine/gold/gold_int.h"

#include "base/log.h"
#include "stages/outbox.h"

enum { CHUNK_KEYS = 1000, POINT_DELETES_MAX = 5000 };

static void put_mark_prefix(struct buf *out, const char *input, int64_t version)
{
    gold_put_key(out, "d", input, true);
    gold_put_be64(out, (uint64_t)version);
}

void gold_mark_put(struct state_batch *also, const char *input, struct slice key, int64_t version,
                   struct slice before)
{
    struct buf name = {0};
    put_mark_prefix(&name, input, version);
    buf_put_slice(&name, key);
    state_batch_put(also, buf_slice(&name), before);
    buf_free(&name);
}

void gold_mark_hook(void *arg, const struct keyed_applied *applied, size_t count, int64_t version,
                    struct state_batch *also)
{
    const struct gold_mark *mark = arg;
    for (size_t i = 0; i < count; i++)
        gold_mark_put(also, mark->table, applied[i].key, version,
                      applied[i].before.data ? applied[i].before : SLICE(""));
    gold_batch_number(also, "dm", mark->table, version);
}

/* Versions whose marks are still to be followed: (*from, *to]. */
static bool mark_range(struct gold *g, const struct gold_input *in, int64_t *from, int64_t *to,
                       struct error *err)
{
    return gold_get_number(g, "dc", in->name, from, err) && gold_get_number(g, "dm", in->name, to, err);
}

/* ---- gaps ---- */

/* Whether a commit in (from, to] added data. One whose log entry is gone may have. */
static bool data_between(const struct delta_table *t, int64_t from, int64_t to, bool *data,
                         struct error *err)
{
    *data = false;
    for (int64_t v = from + 1; v <= to && !*data; v++) {
        struct delta_history_entry entry = {0};
        if (!delta_history(t, v, &entry, err)) {
            if (err->kind != ERROR_DATA) return false;
            *err = (struct error){0};
            *data = true;
            return true;
        }
        *data = entry.added_count > 0;
        delta_history_free(&entry);
    }
    return true;
}

/* Whether the table has changes of which the store has no marks; *known is the last version it knew. */
static bool find_gap(struct gold *g, struct keyed *k, const char *name, int64_t *checked, int64_t *known,
                     bool *gap, struct error *err)
{
    int64_t cleared, marked, version = keyed_version(k);
    *gap = false;
    if (*checked == version) return true;
    if (!gold_get_number(g, "dc", name, &cleared, err) || !gold_get_number(g, "dm", name, &marked, err))
        return false;
    *known = marked > cleared ? marked : cleared;
    if (*checked > *known) *known = *checked;
    if (*known > version) *known = -1; /* not the table that the store knew */
    if (!data_between(keyed_table(k), *known, version, gap, err)) return false;
    *checked = version;
    return true;
}

static bool write_and_free(struct gold *g, struct state_batch *b, struct error *err)
{
    bool ok = state_write(g->flow->state, b, err);
    state_batch_free(b);
    return ok;
}

/* A gap in gold's own table: the outbox lacks the same changes. */
static bool check_model(struct gold *g, struct gold_model *m, int64_t position, struct error *err)
{
    int64_t known;
    if (!find_gap(g, m->keyed, m->name, &m->checked_version, &known, &m->gap, err)) return false;
    if (!m->gap) return true;
    struct state_batch *b = state_batch_new();
    outbox_append_reload(m->name, position, keyed_version(m->keyed), b);
    gold_batch_number(b, "dm", m->name, keyed_version(m->keyed));
    for (size_t i = 0; i < g->models.input_count; i++)
        if (g->models.inputs[i].kind == GOLD_MODEL && &g->models.items[g->models.inputs[i].model] == m)
            gold_forget_readers(g, i, b);
    return write_and_free(g, b, err);
}

static bool check_silver(struct gold *g, size_t at, struct error *err)
{
    struct gold_input *in = &g->models.inputs[at];
    int64_t known;
    bool gap;
    if (!find_gap(g, in->keyed, in->name, &in->checked_version, &known, &gap, err)) return false;
    if (!gap) return true;
    if (known >= 0)
        log_info("gold", "recomputing", "input=%s reason=\"changes after version %lld left no marks\"",
                 in->name, (long long)known);
    struct state_batch *b = state_batch_new();
    gold_forget_readers(g, at, b);
    gold_batch_number(b, "dm", in->name, keyed_version(in->keyed));
    return write_and_free(g, b, err);
}

bool gold_marks_check(struct gold *g, int64_t position, struct error *err)
{
    for (size_t i = 0; i < g->models.count; i++)
        if (!check_model(g, &g->models.items[i], position, err))
            return error_wrap(err, "gold: %s", g->models.items[i].name);
    for (size_t i = 0; i < g->models.input_count; i++) {
        const struct gold_input *in = &g->models.inputs[i];
        if (!in->keyed || in->kind != GOLD_SILVER) continue;
        if (!check_silver(g, i, err)) return error_wrap(err, "gold: input %s", in->name);
    }
    return true;
}

/* ---- reading ---- */

struct mark {
    size_t key_at, key_len, before_at, before_len, after_at, after_len;
    size_t same_key; /* an earlier mark of the chunk, + 1 */
    bool has_before, has_after;
};

struct reader {
    struct gold *g;
    const struct gold_input *in;
    const bool *enough;
    gold_mark_each *each;
    void *arg;
    struct buf bytes;
    struct mark marks[CHUNK_KEYS];
    size_t count;
};

static size_t put_bytes(struct reader *r, struct slice s)
{
    size_t at = r->bytes.len;
    buf_put_slice(&r->bytes, s);
    return at;
}

struct current {
    struct reader *r;
    struct map marks; /* key -> its last mark in the chunk, + 1 */
};

/* A key may have marks of several versions: each is given the row as it is now. */
static bool take_current(void *arg, struct slice key, struct slice row, struct error *err)
{
    struct current *c = arg;
    (void)err;
    size_t row_at = put_bytes(c->r, row);
    for (size_t at = (size_t)(uintptr_t)map_get(&c->marks, key); at;) {
        struct mark *m = &c->r->marks[at - 1];
        m->after_at = row_at;
        m->after_len = row.len;
        m->has_after = true;
        at = m->same_key;
    }
    return true;
}

static bool read_current(struct reader *r, struct error *err)
{
    struct slice keys[CHUNK_KEYS];
    struct current current = {.r = r};
    struct buf copy = {0}; /* bytes grow while rows come in, the keys must stay */
    size_t at = 0, count = 0;
    for (size_t i = 0; i < r->count; i++)
        buf_put(&copy, r->bytes.data + r->marks[i].key_at, r->marks[i].key_len);
    for (size_t i = 0; i < r->count; i++) {
        struct slice key = {copy.data + at, r->marks[i].key_len};
        at += key.len;
        void **last = map_put(&current.marks, key);
        r->marks[i].same_key = (size_t)(uintptr_t)*last;
        if (!*last) keys[count++] = key;
        *last = (void *)(uintptr_t)(i + 1);
    }
    bool ok = keyed_get_many(r->in->keyed, keys, count, take_current, &current, err);
    map_free(&current.marks, NULL);
    buf_free(&copy);
    return ok;
}

static bool emit_chunk(struct reader *r, struct error *err)
{
    bool ok = r->in->kind == GOLD_HISTORY || r->count == 0 || read_current(r, err);
    for (size_t i = 0; i < r->count && ok; i++) {
        const struct mark *m = &r->marks[i];
        struct slice before = {NULL, 0}, after = {NULL, 0};
        if (m->has_before) before = (struct slice){r->bytes.data + m->before_at, m->before_len};
        if (m->has_after) after = (struct slice){r->bytes.data + m->after_at, m->after_len};
        if (before.data && after.data && slice_equal(before, after)) continue;
        if (before.data || after.data) ok = r->each(r->arg, before, after, err);
    }
    r->count = 0;
    buf_clear(&r->bytes);
    return ok;
}

static bool take_mark(struct reader *r, struct slice key, struct slice before, struct error *err)
{
    struct mark *m = &r->marks[r->count++];
    *m = (struct mark){.key_len = key.len, .before_len = before.len, .has_before = before.len > 0};
    m->key_at = put_bytes(r, key);
    m->before_at = put_bytes(r, before);
    return r->count < CHUNK_KEYS || emit_chunk(r, err);
}

static bool read_version(struct reader *r, int64_t version, struct error *err)
{
    struct buf prefix = {0};
    struct slice key, before;
    bool ok = true;
    put_mark_prefix(&prefix, r->in->name, version);
    struct state_iter *it = state_iter_open(r->g->flow->state, NULL, buf_slice(&prefix));
    while (ok && !*r->enough && state_iter_next(it, &key, &before))
        ok = take_mark(r, (struct slice){key.data + prefix.len, key.len - prefix.len}, before, err);
    buf_free(&prefix);
    struct error closing = {0};
    bool closed = state_iter_close(it, &closing);
    if (ok && !closed) *err = closing;
    return ok && closed;
}

bool gold_marks_each(struct gold *g, const struct gold_input *in, const bool *enough, gold_mark_each *each,
                     void *arg, struct error *err)
{
    int64_t from, to;
    if (!mark_range(g, in, &from, &to, err)) return false;
    struct reader *r = mem_alloc(sizeof *r);
    *r = (struct reader){.g = g, .in = in, .enough = enough, .each = each, .arg = arg};
    bool ok = true;
    for (int64_t v = from + 1; v <= to && ok && !*enough; v++)
        ok = read_version(r, v, err);
    ok = ok && (*enough || emit_chunk(r, err));
    buf_free(&r->bytes);
    mem_free(r);
    return ok;
}

bool gold_marks_any(struct gold *g, const struct gold_input *in, bool *any, struct error *err)
{
    int64_t from, to;
    if (!mark_range(g, in, &from, &to, err)) return false;
    *any = to > from;
    return true;
}

/* ---- clearing ---- */

/* Point deletes of one version's marks, as long as they are few. */
static bool delete_version(struct gold *g, const char *input, int64_t version, size_t *deletes,
                           struct state_batch *b, struct error *err)
{
    struct buf prefix = {0};
    struct slice key, value;
    put_mark_prefix(&prefix, input, version);
    struct state_iter *it = state_iter_open(g->flow->state, NULL, buf_slice(&prefix));
    while (*deletes < POINT_DELETES_MAX && state_iter_next(it, &key, &value)) {
        state_batch_delete(b, key);
        ++*deletes;
    }
    buf_free(&prefix);
    return state_iter_close(it, err);
}

/* Range deletes cost every later read in the store a little, so they are for many marks only. */
static bool clear_input(struct gold *g, const char *input, int64_t from, int64_t to, struct error *err)
{
    struct state_batch *b = state_batch_new();
    size_t deletes = to - from > POINT_DELETES_MAX ? POINT_DELETES_MAX : 0;
    bool ok = true;
    for (int64_t v = from + 1; v <= to && deletes < POINT_DELETES_MAX && ok; v++)
        ok = delete_version(g, input, v, &deletes, b, err);
    if (deletes >= POINT_DELETES_MAX) {
        struct buf first = {0}, end = {0};
        put_mark_prefix(&first, input, from + 1);
        put_mark_prefix(&end, input, to + 1);
        state_batch_delete_range(b, buf_slice(&first), buf_slice(&end));
        buf_free(&first);
        buf_free(&end);
    }
    gold_batch_number(b, "dc", input, to);
    ok = ok && state_write(g->flow->state, b, err);
    state_batch_free(b);
    return ok;
}

/* Names of all inputs that ever left marks: silver leaves them for tables that no model reads, too. */
static bool marked_inputs(struct gold *g, struct map *names, struct error *err)
{
    struct slice key, value;
    struct state_iter *it = state_iter_open(g->flow->state, NULL, SLICE("dm/"));
    while (state_iter_next(it, &key, &value))
        map_put(names, (struct slice){key.data + 3, key.len - 3});
    return state_iter_close(it, err);
}

static bool is_model(const struct gold *g, struct slice name)
{
    for (size_t i = 0; i < g->models.count; i++)
        if (slice_equal(slice_of(g->models.items[i].name), name)) return true;
    return false;
}

bool gold_marks_left(struct gold *g, bool *left, struct error *err)
{
    struct map names = {0};
    struct slice name;
    *left = false;
    bool ok = marked_inputs(g, &names, err);
    for (size_t at = 0; ok && !*left && map_next(&names, &at, &name, NULL);) {
        int64_t from = -1, to = -1;
        if (is_model(g, name)) continue;
        char *text = mem_textn(name.data, name.len);
        ok = gold_get_number(g, "dc", text, &from, err) && gold_get_number(g, "dm", text, &to, err);
        *left = to > from;
        mem_free(text);
    }
    map_free(&names, NULL);
    return ok;
}

bool gold_marks_clear(struct gold *g, struct error *err)
{
    struct map names = {0};
    struct slice name;
    bool ok = marked_inputs(g, &names, err);
    for (size_t at = 0; ok && map_next(&names, &at, &name, NULL);) {
        int64_t from = -1, to = -1;
        char *text = mem_textn(name.data, name.len);
        ok = gold_get_number(g, "dc", text, &from, err) && gold_get_number(g, "dm", text, &to, err);
        if (ok && to > from) ok = clear_input(g, text, from, to, err);
        mem_free(text);
    }
    map_free(&names, NULL);
    return ok;
}
