/* RocksDB as the state store: one database, one column family.
 *
 * 1. Memory is bounded: blocks, indexes and filters live in one cache of cache_bytes; write buffers
 *    take at most WRITE_BUFFERS_BYTES beside it; open files are few.
 * 2. A batch applies whole or not at all, also over kill -9: the log is written, but never synced.
 * 3. A damaged store is not repaired: it is derived from the lake and can be deleted.
 * 4. A full disk is met before RocksDB meets it: with less than RESERVE_BYTES left nothing is written, and the
 *    caller tries again. RocksDB's own way back from a write that failed for want of room is not taken: builds
 *    with assertions (Debian's) abort on it.
 * 5. Once RocksDB has refused a write (of its background work too, which shows with the next one), it refuses all
 *    that follow, whatever the disk does: the process ends, and opening the store again mends it. It is not
 *    closed then: that would touch the file that failed once more, and builds with assertions abort.
 *
 * Values are copied out; no pinned block outlives a call. */
#include "state/state.h"

#include "base/file.h"

#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    WRITE_BUFFERS_BYTES = 24 << 20,
    WRITE_BUFFER_BYTES = 8 << 20,
    WAL_BYTES_MAX = 64 << 20,
    OPEN_FILES_MAX = 256,
    BLOOM_BITS = 10,
    BLOCK_BYTES = 4 << 10,
    LOG_LEVEL_WARN = 2,
    BLOB_BYTES_LEAST = 32 << 10,
    GET_MANY_KEYS = 512, /* keys in one call of RocksDB */
    RESERVE_BYTES = 64 << 20, /* for the log and for what waits in memory */
};

struct state {
    rocksdb_t *db;
    rocksdb_column_family_handle_t *family;
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *writing;
    rocksdb_readoptions_t *reading;
    char *path;
    _Atomic bool refused; /* a write has failed for good */
};

struct state_snapshot {
    const rocksdb_snapshot_t *handle;
    rocksdb_readoptions_t *reading;
};

struct state_iter {
    rocksdb_iterator_t *handle;
    rocksdb_readoptions_t *reading;
    char *prefix, *end; /* bounds of the iteration; the options point at them */
    struct buf within;  /* state_iter_seek's prefix; empty: all of it */
    bool started;
};

/* Takes RocksDB's message (and frees it). The same call may succeed later when the disk is at fault;
 * anything else means that the store has to be rebuilt. */
static bool failed(const struct state *s, char *message, struct error *err)
{
    bool busy = strstr(message, "lock") && strstr(message, "Resource temporarily unavailable");
    if (busy || strstr(message, "lock hold by current process"))
        error_set(err, ERROR_CONFIG, "the state folder %s is in use by another process", s->path);
    else if (strncmp(message, "Corruption", 10) == 0 || strstr(message, "No such file or directory"))
        error_set(err, ERROR_DATA,
                  "the state folder %s is damaged: %.500s; stop, `millrace rebuild state`, and run again: the "
                  "lake has it all",
                  s->path, message);
    else if (strncmp(message, "Invalid argument", 16) == 0 || strncmp(message, "Not implemented", 15) == 0)
        error_set(err, ERROR_FATAL, "state: %s", message);
    else
        error_set(err, ERROR_RETRY, "state: %s", message);
    rocksdb_free(message);
    return false;
}

static rocksdb_block_based_table_options_t *table_options(rocksdb_cache_t *cache)
{
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(t, cache);
    rocksdb_block_based_options_set_block_size(t, BLOCK_BYTES);
    rocksdb_block_based_options_set_format_version(t, 5);
    rocksdb_block_based_options_set_filter_policy(t, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(t, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(t, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(t, 1);
    rocksdb_block_based_options_set_index_type(
        t, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(t, 1);
    return t;
}

static rocksdb_options_t *options(rocksdb_cache_t *cache)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_block_based_table_options_t *t = table_options(cache);
    rocksdb_options_set_block_based_table_factory(o, t);
    rocksdb_block_based_options_destroy(t);
    rocksdb_options_set_write_buffer_size(o, WRITE_BUFFER_BYTES);
    rocksdb_options_set_max_write_buffer_number(o, 3);
    rocksdb_options_set_db_write_buffer_size(o, WRITE_BUFFERS_BYTES);
    rocksdb_options_set_max_total_wal_size(o, WAL_BYTES_MAX);
    rocksdb_options_set_max_open_files(o, OPEN_FILES_MAX);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
    rocksdb_options_set_target_file_size_base(o, 32 << 20);
    rocksdb_options_set_compression(o, rocksdb_lz4_compression);
    rocksdb_options_set_bottommost_compression(o, rocksdb_lz4_compression);
    /* Intents and outbox blocks have megabytes. In a block of a table they would be read by every seek
     * that ends beside them: measured 4 to 10 ms for each look-up after a first copy. */
    rocksdb_options_set_enable_blob_files(o, 1);
    rocksdb_options_set_min_blob_size(o, BLOB_BYTES_LEAST);
    rocksdb_options_set_blob_compression_type(o, rocksdb_lz4_compression);
    rocksdb_options_set_enable_blob_gc(o, 1);
    rocksdb_options_set_info_log_level(o, LOG_LEVEL_WARN);
    rocksdb_options_set_keep_log_file_num(o, 2);
    rocksdb_options_set_max_log_file_size(o, 1 << 20);
    rocksdb_options_set_max_manifest_file_size(o, 8 << 20);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_stats_persist_period_sec(o, 0);
    rocksdb_options_set_skip_stats_update_on_db_open(o, 1);
    return o;
}

static rocksdb_readoptions_t *reading_at(const rocksdb_snapshot_t *snapshot)
{
    rocksdb_readoptions_t *r = rocksdb_readoptions_create();
    if (snapshot) rocksdb_readoptions_set_snapshot(r, snapshot);
    return r;
}

static rocksdb_readoptions_t *reading(const struct state *s, const struct state_snapshot *at)
{
    return at ? at->reading : s->reading;
}

bool state_open(struct state **out, const char *path, int64_t cache_bytes, struct error *err)
{
    if (!file_make_dirs(path, err)) return false;
    struct state *s = mem_alloc(sizeof *s);
    s->path = mem_text(path);
    s->cache = rocksdb_cache_create_lru((size_t)(cache_bytes > 0 ? cache_bytes : 0));
    rocksdb_options_t *o = options(s->cache);
    char *message = NULL;
    const char *names[] = {"default"};
    const rocksdb_options_t *family_options[] = {o};
    s->db = rocksdb_open_column_families(o, path, 1, names, family_options, &s->family, &message);
    rocksdb_options_destroy(o);
    if (message) {
        failed(s, message, err);
        state_close(s);
        return false;
    }
    s->writing = rocksdb_writeoptions_create();
    s->reading = reading_at(NULL);
    *out = s;
    return true;
}

void state_close(struct state *s)
{
    if (!s || atomic_load(&s->refused)) return;
    if (s->writing) rocksdb_writeoptions_destroy(s->writing);
    if (s->reading) rocksdb_readoptions_destroy(s->reading);
    if (s->family) rocksdb_column_family_handle_destroy(s->family);
    if (s->db) rocksdb_close(s->db);
    rocksdb_cache_destroy(s->cache);
    mem_free(s->path);
    mem_free(s);
}

bool state_get(struct state *s, const struct state_snapshot *at, struct slice key, struct buf *out,
               bool *found, struct error *err)
{
    char *message = NULL;
    rocksdb_pinnableslice_t *value = rocksdb_get_pinned(s->db, reading(s, at), key.data, key.len, &message);
    if (message) return failed(s, message, err);
    *found = value != NULL;
    if (!value) return true;
    size_t len;
    const char *data = rocksdb_pinnableslice_value(value, &len);
    buf_put(out, data, len);
    rocksdb_pinnableslice_destroy(value);
    return buf_ok(out) || error_set(err, ERROR_FATAL, "state: a value of %zu bytes is too large", len);
}

/* One call's worth: at most GET_MANY_KEYS keys, of which the first has index `base`. */
static bool get_some(struct state *s, rocksdb_readoptions_t *how, const struct slice *keys, size_t base,
                     size_t count, void (*each)(void *, size_t, struct slice), void *arg, struct error *err)
{
    const char *data[GET_MANY_KEYS] = {NULL};
    size_t lens[GET_MANY_KEYS] = {0};
    rocksdb_pinnableslice_t *values[GET_MANY_KEYS] = {NULL};
    char *messages[GET_MANY_KEYS] = {NULL};
    for (size_t i = 0; i < count; i++) {
        data[i] = keys[base + i].len ? keys[base + i].data : "";
        lens[i] = keys[base + i].len;
    }
    rocksdb_batched_multi_get_cf(s->db, how, s->family, count, data, lens, values, messages, false);
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        if (messages[i] && ok) ok = failed(s, messages[i], err);
        else if (messages[i]) rocksdb_free(messages[i]);
        struct slice value = {NULL, 0};
        if (values[i]) {
            value.data = rocksdb_pinnableslice_value(values[i], &value.len);
            if (!value.data) value.data = "";
        }
        if (ok) each(arg, base + i, value);
        if (values[i]) rocksdb_pinnableslice_destroy(values[i]);
    }
    return ok;
}

bool state_get_many(struct state *s, const struct state_snapshot *at, const struct slice *keys,
                    size_t count, void (*each)(void *arg, size_t i, struct slice value), void *arg,
                    struct error *err)
{
    for (size_t base = 0; base < count; base += GET_MANY_KEYS) {
        size_t n = count - base < GET_MANY_KEYS ? count - base : GET_MANY_KEYS;
        if (!get_some(s, reading(s, at), keys, base, n, each, arg, err)) return false;
    }
    return true;
}

/* struct state_batch is never defined: a batch is RocksDB's own object under our name. */
static rocksdb_writebatch_t *inner(const struct state_batch *b)
{
    return (rocksdb_writebatch_t *)(uintptr_t)b;
}

struct state_batch *state_batch_new(void)
{
    return (struct state_batch *)rocksdb_writebatch_create();
}

void state_batch_free(struct state_batch *b)
{
    if (b) rocksdb_writebatch_destroy(inner(b));
}

void state_batch_put(struct state_batch *b, struct slice key, struct slice value)
{
    rocksdb_writebatch_put(inner(b), key.data, key.len, value.len ? value.data : "", value.len);
}

void state_batch_delete(struct state_batch *b, struct slice key)
{
    rocksdb_writebatch_delete(inner(b), key.data, key.len);
}

void state_batch_delete_range(struct state_batch *b, struct slice from, struct slice to)
{
    rocksdb_writebatch_delete_range(inner(b), from.data, from.len, to.data, to.len);
}

struct slice state_batch_bytes(const struct state_batch *b)
{
    struct slice bytes;
    bytes.data = rocksdb_writebatch_data(inner(b), &bytes.len);
    return bytes;
}

size_t state_batch_size(const struct state_batch *b)
{
    return state_batch_bytes(b).len;
}

struct state_batch *state_batch_from_bytes(struct slice bytes)
{
    return (struct state_batch *)rocksdb_writebatch_create_from(bytes.data, bytes.len);
}

static bool has_room(const struct state *s, size_t size_bytes, struct error *err)
{
    struct statvfs fs;
    if (statvfs(s->path, &fs)) return error_errno(err, "cannot look at %s", s->path);
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
    return left >= RESERVE_BYTES + 2 * size_bytes ||
           error_set(err, ERROR_RETRY, "No space left on device: %s has %llu MB, and %d MB are kept free", s->path,
                     (unsigned long long)(left >> 20), RESERVE_BYTES >> 20);
}

bool state_write(struct state *s, struct state_batch *b, struct error *err)
{
    char *message = NULL;
    if (!has_room(s, state_batch_size(b), err)) return false;
    rocksdb_write(s->db, s->writing, inner(b), &message);
    if (!message) return true;
    failed(s, message, err);
    if (err->kind != ERROR_RETRY) return false;
    err->kind = ERROR_FATAL;
    atomic_store(&s->refused, true);
    return error_wrap(err, "the state store takes no more writes; start again when the disk is well");
}

struct state_snapshot *state_snapshot_take(struct state *s)
{
    struct state_snapshot *snap = mem_alloc(sizeof *snap);
    snap->handle = rocksdb_create_snapshot(s->db);
    snap->reading = reading_at(snap->handle);
    return snap;
}

void state_snapshot_free(struct state *s, struct state_snapshot *snap)
{
    if (!snap) return;
    rocksdb_readoptions_destroy(snap->reading);
    rocksdb_release_snapshot(s->db, snap->handle);
    mem_free(snap);
}

/* The first key after all that start with the prefix; len 0 when there is none (all bytes 0xff). */
static size_t after_prefix(struct slice prefix, char *out)
{
    size_t len = prefix.len;
    if (len) memcpy(out, prefix.data, len);
    while (len && (unsigned char)out[len - 1] == 0xff) len--;
    if (len) out[len - 1] = (char)((unsigned char)out[len - 1] + 1);
    return len;
}

struct state_iter *state_iter_open(struct state *s, const struct state_snapshot *at, struct slice prefix)
{
    struct state_iter *it = mem_alloc(sizeof *it);
    it->prefix = mem_textn(prefix.data, prefix.len);
    it->end = mem_textn(prefix.data, prefix.len);
    it->reading = reading_at(at ? at->handle : NULL);
    size_t len = after_prefix(prefix, it->end);
    if (len) rocksdb_readoptions_set_iterate_upper_bound(it->reading, it->end, len);
    it->handle = rocksdb_create_iterator(s->db, it->reading);
    rocksdb_iter_seek(it->handle, it->prefix, prefix.len);
    return it;
}

void state_iter_seek(struct state_iter *it, struct slice prefix)
{
    buf_clear(&it->within);
    buf_put_slice(&it->within, prefix);
    rocksdb_iter_seek(it->handle, prefix.data, prefix.len);
    it->started = false;
}

bool state_iter_next(struct state_iter *it, struct slice *key, struct slice *value)
{
    if (it->started && rocksdb_iter_valid(it->handle)) rocksdb_iter_next(it->handle);
    it->started = true;
    if (!rocksdb_iter_valid(it->handle)) return false;
    key->data = rocksdb_iter_key(it->handle, &key->len);
    struct slice within = buf_slice(&it->within);
    if (within.len && (key->len < within.len || memcmp(key->data, within.data, within.len) != 0)) return false;
    value->data = rocksdb_iter_value(it->handle, &value->len);
    return true;
}

bool state_iter_close(struct state_iter *it, struct error *err)
{
    char *message = NULL;
    rocksdb_iter_get_error(it->handle, &message);
    rocksdb_iter_destroy(it->handle);
    rocksdb_readoptions_destroy(it->reading);
    buf_free(&it->within);
    mem_free(it->prefix);
    mem_free(it->end);
    mem_free(it);
    return message ? failed(&(struct state){.path = (char[]){"state"}}, message, err) : true;
}

static uint64_t property(struct state *s, const char *name)
{
    uint64_t value = 0;
    return rocksdb_property_int(s->db, name, &value) == 0 ? value : 0;
}

void state_usage(struct state *s, uint64_t *disk_bytes, uint64_t *memory_bytes)
{
    *disk_bytes = property(s, "rocksdb.total-sst-files-size");
    *memory_bytes = rocksdb_cache_get_usage(s->cache) + property(s, "rocksdb.cur-size-all-mem-tables") +
                    property(s, "rocksdb.estimate-table-readers-mem");
}
