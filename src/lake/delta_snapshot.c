/* The state of a table at one version: what its actions add up to.
 *
 *  1. The order of actions within one version does not matter: removes are taken before adds.
 *  2. A logical file is (path, vector). At most one of a path is live: an add that would make a second
 *     one is refused, the rows would count twice.
 *  3. A table with a reader feature that is not known here is not read; one with a writer feature that
 *     is not known is not written. */
#include "lake/delta_int.h"

#include <stdio.h>
#include <stdlib.h>

void delta_snapshot_init(struct delta_snapshot *s)
{
    *s = (struct delta_snapshot){.version = -1, .checkpoint_version = -1};
}

/* ---- sets ---- */

static void set_place(struct delta_set *s, struct slice key, size_t place)
{
    *map_put(&s->index, key) = (void *)(uintptr_t)(place + 1);
}

static void *set_get(const struct delta_set *s, struct slice key, size_t *place)
{
    size_t at = (size_t)(uintptr_t)map_get(&s->index, key);
    if (!at) return NULL;
    if (place) *place = at - 1;
    return s->items[at - 1];
}

static void set_put(struct delta_set *s, struct slice key, void *item)
{
    MEM_GROW(s->items, s->count, s->cap);
    set_place(s, key, s->count);
    s->items[s->count++] = item;
}

typedef void set_key(const void *item, struct buf *out);

static void file_key(const void *item, struct buf *out)
{
    buf_put_text(out, ((const struct delta_file *)item)->path);
}

static void tombstone_key(const void *item, struct buf *out)
{
    const struct delta_tombstone *t = item;
    buf_put_text(out, t->file.path);
    buf_put_char(out, '\0');
    delta_put_dv_id(out, &t->file.dv);
}

/* A map does not forget keys: it is made anew when most of them are of dropped items. */
static void set_tidy(struct delta_set *s, set_key *key)
{
    if (s->index.count < 1024 || s->index.count < s->count * 2) return;
    map_free(&s->index, NULL);
    struct buf text = {0};
    for (size_t i = 0; i < s->count; i++) {
        buf_clear(&text);
        key(s->items[i], &text);
        set_place(s, buf_slice(&text), i);
    }
    buf_free(&text);
}

static void set_drop(struct delta_set *s, size_t place, set_key *key)
{
    struct buf text = {0};
    key(s->items[place], &text);
    *map_put(&s->index, buf_slice(&text)) = NULL;
    if (place != --s->count) {
        s->items[place] = s->items[s->count];
        buf_clear(&text);
        key(s->items[place], &text);
        set_place(s, buf_slice(&text), place);
    }
    buf_free(&text);
    set_tidy(s, key);
}

static void free_file(void *item)
{
    delta_file_free(item);
    mem_free(item);
}

static void free_tombstone(void *item)
{
    delta_file_free(&((struct delta_tombstone *)item)->file);
    mem_free(item);
}

static void set_free(struct delta_set *s, void (*free_item)(void *))
{
    for (size_t i = 0; i < s->count; i++)
        free_item(s->items[i]);
    mem_free(s->items);
    map_free(&s->index, NULL);
    *s = (struct delta_set){0};
}

void delta_snapshot_free(struct delta_snapshot *s)
{
    delta_protocol_free(&s->protocol);
    delta_metadata_free(&s->metadata);
    columns_free(&s->columns);
    columns_free(&s->file_columns);
    mem_free(s->unwritable);
    set_free(&s->files, free_file);
    set_free(&s->tombstones, free_tombstone);
    map_free(&s->txns, mem_free);
    delta_snapshot_init(s);
}

struct delta_file *delta_snapshot_find(const struct delta_snapshot *s, struct slice path)
{
    return set_get(&s->files, path, NULL);
}

void delta_snapshot_expire(struct delta_snapshot *s, int64_t cutoff_ms, int64_t version_max)
{
    for (size_t i = s->tombstones.count; i-- > 0;) {
        struct delta_tombstone *t = s->tombstones.items[i];
        if (t->deleted_ms >= cutoff_ms || t->removed_version > version_max) continue;
        set_drop(&s->tombstones, i, tombstone_key);
        free_tombstone(t);
    }
}

/* ---- applying ---- */

static void drop_tombstone(struct delta_snapshot *s, struct slice key)
{
    size_t place;
    struct delta_tombstone *t = set_get(&s->tombstones, key, &place);
    if (!t) return;
    set_drop(&s->tombstones, place, tombstone_key);
    free_tombstone(t);
}

static void apply_remove(struct delta_snapshot *s, struct delta_action *a, int64_t version)
{
    size_t place;
    struct delta_file *live = set_get(&s->files, slice_of(a->file.path), &place);
    if (live && delta_same_dv(&live->dv, &a->file.dv)) {
        set_drop(&s->files, place, file_key);
        free_file(live);
    }
    struct delta_tombstone *t = mem_alloc(sizeof *t);
    *t = (struct delta_tombstone){.file = a->file,
                                  .deleted_ms = a->deleted_ms,
                                  .removed_version = version,
                                  .data_change = a->data_change};
    a->file = (struct delta_file){0};
    struct buf key = {0};
    tombstone_key(t, &key);
    drop_tombstone(s, buf_slice(&key));
    set_put(&s->tombstones, buf_slice(&key), t);
    buf_free(&key);
}

static bool apply_add(struct delta_snapshot *s, struct delta_action *a, int64_t version, struct error *err)
{
    size_t place;
    struct delta_file *live = set_get(&s->files, slice_of(a->file.path), &place);
    if (live && !delta_same_dv(&live->dv, &a->file.dv))
        return error_set(err, ERROR_DATA, "the log adds %.300s twice, with different deletion vectors",
                         a->file.path);
    if (live) {
        set_drop(&s->files, place, file_key);
        free_file(live);
    }
    struct delta_file *f = mem_alloc(sizeof *f);
    *f = a->file;
    f->added_version = version;
    a->file = (struct delta_file){0};
    set_put(&s->files, slice_of(f->path), f);
    struct buf key = {0};
    struct delta_tombstone as_tombstone = {.file = *f};
    tombstone_key(&as_tombstone, &key);
    drop_tombstone(s, buf_slice(&key));
    buf_free(&key);
    return true;
}

static void apply_txn(struct delta_snapshot *s, const struct delta_action *a)
{
    void **at = map_put(&s->txns, slice_of(a->app_id));
    struct delta_txn_state *state = *at ? *at : mem_alloc(sizeof *state);
    *state = (struct delta_txn_state){a->txn_version, a->txn_updated_ms};
    *at = state;
}

static void apply_other(struct delta_snapshot *s, struct delta_action *a, int64_t version, bool *changed)
{
    if (a->kind == DELTA_PROTOCOL) {
        delta_protocol_free(&s->protocol);
        s->protocol = a->protocol;
        a->protocol = (struct delta_protocol){0};
        *changed = true;
    } else if (a->kind == DELTA_METADATA) {
        delta_metadata_free(&s->metadata);
        s->metadata = a->metadata;
        a->metadata = (struct delta_metadata){0};
        *changed = true;
    } else if (a->kind == DELTA_TXN) {
        apply_txn(s, a);
    } else if (a->kind == DELTA_REMOVE) {
        apply_remove(s, a, version);
    }
}

bool delta_snapshot_apply(struct delta_snapshot *s, struct delta_actions *actions, int64_t version,
                          struct error *err)
{
    bool changed = false, ok = true;
    for (size_t i = 0; i < actions->count; i++)
        apply_other(s, &actions->items[i], version, &changed);
    for (size_t i = 0; ok && i < actions->count; i++)
        if (actions->items[i].kind == DELTA_ADD) ok = apply_add(s, &actions->items[i], version, err);
    delta_actions_free(actions);
    if (!ok) return false;
    s->version = version;
    bool whole = s->protocol.reader && s->metadata.id;
    return !changed || !whole || delta_snapshot_check(s, err);
}

/* ---- gates and properties ---- */

static const char *const known_reader_features[] = {"deletionVectors", "vacuumProtocolCheck", NULL};
static const char *const known_writer_features[] = {"deletionVectors", "vacuumProtocolCheck", "appendOnly",
                                                    "invariants", NULL};

static const char *unknown_feature(const struct delta_texts *listed, const char *const *known)
{
    for (size_t i = 0; i < listed->count; i++) {
        const char *const *k = known;
        while (*k && strcmp(*k, listed->items[i]))
            k++;
        if (!*k) return listed->items[i];
    }
    return NULL;
}

static bool check_readable(const struct delta_snapshot *s, const json_t *config, struct error *err)
{
    const struct delta_protocol *p = &s->protocol;
    const char *mapping = json_string_value(json_object_get(config, "delta.columnMapping.mode"));
    const char *unknown =
        p->reader >= 3 ? unknown_feature(&p->reader_features, known_reader_features) : NULL;
    if (p->reader < 1 || p->reader > 3)
        return error_set(err, ERROR_CONFIG, "the table needs Delta reader version %d", p->reader);
    if (unknown)
        return error_set(err, ERROR_CONFIG, "the table needs the Delta reader feature %.100s", unknown);
    if (mapping && strcmp(mapping, "none"))
        return error_set(err, ERROR_CONFIG, "the table uses column mapping, which is not supported");
    return true;
}

/* Versions 3 to 6 stand for checks, generated and identity columns, change feed and mapping. */
static char *why_unwritable(const struct delta_snapshot *s)
{
    const struct delta_protocol *p = &s->protocol;
    const char *unknown =
        p->writer == 7 ? unknown_feature(&p->writer_features, known_writer_features) : NULL;
    if (p->writer > 2 && p->writer != 7)
        return mem_format("the table needs Delta writer version %d", p->writer);
    if (unknown) return mem_format("the table needs the Delta writer feature %.100s", unknown);
    if (strstr(s->metadata.schema, "delta.invariants"))
        return mem_text("the table's columns have invariants, which are not enforced here");
    return NULL;
}

/* "interval 1 week 2 days", in milliseconds; the leading word may be missing. */
static int64_t interval_ms(const char *text, int64_t absent)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {
        {"millisecond", 1}, {"second", 1000},  {"minute", 60000},
        {"hour", 3600000},  {"day", 86400000}, {"week", 604800000},
    };
    if (!text) return absent;
    if (strncmp(text, "interval", 8) == 0) text += 8;
    int64_t sum = 0;
    while (*text) {
        char unit[16];
        long long n;
        int used = 0;
        if (sscanf(text, " %lld %15[a-z]%n", &n, unit, &used) != 2) return absent;
        size_t len = strlen(unit), i = 0, count = sizeof units / sizeof *units;
        if (len > 1 && unit[len - 1] == 's') unit[len - 1] = '\0';
        while (i < count && strcmp(units[i].name, unit))
            i++;
        if (i == count || n < 0 || n > INT64_MAX / 604800000 / 4) return absent;
        sum += n * units[i].ms;
        text += used;
        text += strspn(text, " ");
    }
    return sum;
}

static const char *property(const json_t *config, const char *name)
{
    return json_string_value(json_object_get(config, name));
}

static void read_properties(struct delta_snapshot *s, const json_t *config)
{
    const char *append_only = property(config, "delta.appendOnly");
    const char *vectors = property(config, "delta.enableDeletionVectors");
    const char *interval = property(config, "delta.checkpointInterval");
    long long commits = interval ? strtoll(interval, NULL, 10) : 0;
    s->append_only = append_only && strcmp(append_only, "true") == 0;
    s->deletion_vectors = s->protocol.reader >= 3 && vectors && strcmp(vectors, "true") == 0 &&
                          delta_texts_have(&s->protocol.writer_features, "deletionVectors");
    s->checkpoint_commits = commits > 0 ? commits : 10;
    s->log_retention_ms = interval_ms(property(config, "delta.logRetentionDuration"), INT64_C(2592000000));
    s->tombstone_retention_ms =
        interval_ms(property(config, "delta.deletedFileRetentionDuration"), INT64_C(604800000));
}

static bool read_columns(struct delta_snapshot *s, struct error *err)
{
    struct columns columns;
    const char *partition = s->metadata.partition_column;
    if (!columns_from_delta_schema(s->metadata.schema, &columns, err)) return false;
    columns_free(&s->columns);
    columns_free(&s->file_columns);
    s->columns = columns;
    for (size_t i = 0; i < columns.count; i++) {
        const struct column *c = &columns.items[i];
        if (!partition || strcmp(c->name, partition)) {
            columns_add(&s->file_columns, c->name, c->type, c->precision, c->scale, c->nullable);
            continue;
        }
        if (c->type != COLUMN_STRING)
            return error_set(err, ERROR_CONFIG, "the partition column %.100s is not a string", partition);
    }
    if (partition && s->file_columns.count == columns.count)
        return error_set(err, ERROR_DATA, "the partition column %.100s is not in the schema", partition);
    return true;
}

bool delta_snapshot_check(struct delta_snapshot *s, struct error *err)
{
    json_t *config = json_loads(s->metadata.configuration, JSON_ALLOW_NUL, NULL);
    bool ok = check_readable(s, config, err) && read_columns(s, err);
    if (ok) {
        mem_free(s->unwritable);
        s->unwritable = why_unwritable(s);
        read_properties(s, config);
    }
    json_decref(config);
    return ok;
}
