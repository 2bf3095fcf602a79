/* The state store: one RocksDB under <home>/state. Everything in it is derived from the lake
 * (invariant 5): delete it and it is rebuilt. Writes are grouped in batches that apply whole or not
 * at all. Nothing is synced: after a power cut the store may be older than the lake, which its users
 * notice by the versions they keep in it. Thread-safe; a batch and an iterator belong to one thread. */
#ifndef MILLRACE_STATE_STATE_H
#define MILLRACE_STATE_STATE_H

#include "base/buf.h"
#include "base/error.h"

struct state;
struct state_batch;
struct state_iter;
struct state_snapshot; /* a frozen view; NULL means "now" */

/* DATA: the store is damaged; removing its folder is all that helps. */
bool state_open(struct state **out, const char *path, int64_t cache_bytes, struct error *err) MUST_CHECK;
void state_close(struct state *s);

/* Appends the value to out; *found tells whether there was one. */
bool state_get(struct state *s, const struct state_snapshot *at, struct slice key, struct buf *out,
               bool *found, struct error *err) MUST_CHECK;
/* Many keys at once (MultiGet): for value i calls each(arg, i, value) with data NULL when absent. */
bool state_get_many(struct state *s, const struct state_snapshot *at, const struct slice *keys,
                    size_t count, void (*each)(void *arg, size_t i, struct slice value), void *arg,
                    struct error *err) MUST_CHECK;

struct state_batch *state_batch_new(void);
void state_batch_free(struct state_batch *b);
void state_batch_put(struct state_batch *b, struct slice key, struct slice value);
void state_batch_delete(struct state_batch *b, struct slice key);
/* Deletes all keys in [from, to). */
void state_batch_delete_range(struct state_batch *b, struct slice from, struct slice to);
size_t state_batch_size(const struct state_batch *b);
/* The batch as bytes and back, to keep it as an intent inside the store itself. */
struct slice state_batch_bytes(const struct state_batch *b);
struct state_batch *state_batch_from_bytes(struct slice bytes);
bool state_write(struct state *s, struct state_batch *b, struct error *err) MUST_CHECK;

struct state_snapshot *state_snapshot_take(struct state *s);
void state_snapshot_free(struct state *s, struct state_snapshot *snap);

/* All pairs whose key starts with prefix, in byte order. */
struct state_iter *state_iter_open(struct state *s, const struct state_snapshot *at, struct slice prefix);
bool state_iter_next(struct state_iter *it, struct slice *key, struct slice *value);
/* The same iterator at another prefix, which lies within the one it was opened with: cheaper than a new
 * one, most of all when prefixes come in byte order. */
void state_iter_seek(struct state_iter *it, struct slice prefix);
bool state_iter_close(struct state_iter *it, struct error *err) MUST_CHECK;

/* For the pipeline page: bytes on disk and in memory. */
void state_usage(struct state *s, uint64_t *disk_bytes, uint64_t *memory_bytes);

#endif
