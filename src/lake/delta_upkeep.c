/* Upkeep of a table: checkpoint, log cleanup, vacuum.
 *
 *  1. A checkpoint is due each delta.checkpointInterval commits. Nothing else here runs without one.
 *  2. The log is cut below a checkpoint C that is older than the log's retention and not above
 *     keep_version. C's own commit stays, so no gap arises, and a handle that stands at or after C
 *     finds every commit that follows it.
 *  3. Vacuum removes what is not live, not a kept tombstone, nor a vector of either, and older than the
 *     retention by its own time on disk: files of other writers' commits in flight are young, those of
 *     this handle are known. A tombstone is kept while it is young or was made after keep_version.
 *  4. Each call removes a bounded number of files; what is left follows at the next. */
#include "lake/delta_int.h"

#include "base/clock.h"

#include <stdlib.h>

enum { REMOVED_MAX = 2000 };

static int64_t age_limit(int64_t retention_ms)
{
    return delta_now_ms() - retention_ms;
}

/* ---- log ---- */

/* The newest checkpoint that is old enough and that every reader has passed; -1: none. */
static int64_t cleanup_version(const struct delta_table *t, const struct store_listing *names,
                               int64_t keep_version)
{
    int64_t best = -1, cutoff = age_limit(t->now.log_retention_ms);
    for (size_t i = 0; i < names->count; i++) {
        struct delta_checkpoint_part part;
        const struct store_entry *e = &names->items[i];
        if (!delta_checkpoint_parse(e->name, &part) || part.parts != 1) continue;
        if (e->modified_ms > cutoff || part.version > keep_version) continue;
        if (part.version > best && part.version <= t->now.checkpoint_version) best = part.version;
    }
    return best;
}

static bool is_temporary(const char *name)
{
    static const char folder[] = DELTA_LOG_FOLDER "/.", suffix[] = ".tmp";
    size_t len = strlen(name);
    return strncmp(name, folder, sizeof folder - 1) == 0 && len > sizeof suffix &&
           strcmp(name + len - (sizeof suffix - 1), suffix) == 0;
}

static bool log_entry_is_old(const struct store_entry *e, int64_t below, int64_t cutoff_ms)
{
    struct delta_checkpoint_part part;
    if (is_temporary(e->name)) return e->modified_ms < cutoff_ms;
    int64_t version = delta_commit_version(e->name);
    if (version < 0 && delta_checkpoint_parse(e->name, &part)) version = part.version;
    return version >= 0 && version < below;
}

static bool clean_log(struct delta_table *t, int64_t keep_version, struct error *err)
{
    struct store_listing names;
    if (!store_list(t->store, DELTA_LOG_FOLDER, false, &names, err)) return false;
    int64_t below = cleanup_version(t, &names, keep_version);
    int64_t cutoff = age_limit(t->now.tombstone_retention_ms);
    bool ok = true;
    size_t removed = 0;
    /* From the oldest on: whatever is left when this stops half-way has no gap. */
    for (size_t i = 0; ok && i < names.count && removed < REMOVED_MAX; i++) {
        if (!log_entry_is_old(&names.items[i], below, cutoff)) continue;
        ok = store_remove(t->store, names.items[i].name, err);
        removed++;
    }
    store_listing_free(&names);
    return ok;
}

/* ---- vacuum ---- */

static void keep_name(struct map *kept, const char *name)
{
    *map_put(kept, slice_of(name)) = kept;
}

static void keep_file(struct map *kept, const struct delta_file *f)
{
    struct buf decoded = {0};
    char *vector = delta_vector_name(&f->dv);
    delta_put_decoded(&decoded, f->path);
    keep_name(kept, buf_text(&decoded));
    if (vector) keep_name(kept, vector);
    mem_free(vector);
    buf_free(&decoded);
}

/* Absolute paths may name files of the table too: then nothing can be said about what is unused. */
static bool has_foreign_paths(const struct delta_snapshot *s)
{
    for (size_t i = 0; i < s->files.count; i++) {
        const struct delta_file *f = s->files.items[i];
        if (f->dv.type == 'p' || f->path[0] == '/' || strstr(f->path, "://") ||
            strncmp(f->path, "file:", 5) == 0)
            return true;
    }
    return false;
}

static bool hidden(const char *name)
{
    return name[0] == '_' || name[0] == '.';
}

static bool vacuum(struct delta_table *t, struct error *err)
{
    struct map kept = {0};
    struct store_listing names;
    int64_t cutoff = age_limit(t->now.tombstone_retention_ms);
    if (has_foreign_paths(&t->now)) return true;
    if (!store_list(t->store, "", true, &names, err)) return false;
    for (size_t i = 0; i < t->now.files.count; i++)
        keep_file(&kept, t->now.files.items[i]);
    for (size_t i = 0; i < t->now.tombstones.count; i++)
        keep_file(&kept, &((struct delta_tombstone *)t->now.tombstones.items[i])->file);
    for (size_t i = 0; i < t->in_flight.count; i++)
        keep_name(&kept, t->in_flight.items[i]);
    bool ok = true;
    size_t removed = 0;
    for (size_t i = 0; ok && i < names.count && removed < REMOVED_MAX; i++) {
        const struct store_entry *e = &names.items[i];
        if (hidden(e->name) || e->modified_ms >= cutoff || map_find(&kept, slice_of(e->name))) continue;
        ok = store_remove(t->store, e->name, err);
        removed++;
    }
    t->vacuum_unfinished = removed == REMOVED_MAX;
    t->vacuumed_ms = clock_mono_us() / 1000;
    store_listing_free(&names);
    map_free(&kept, NULL);
    return ok;
}

static bool vacuum_is_due(const struct delta_table *t)
{
    int64_t since = clock_mono_us() / 1000 - t->vacuumed_ms;
    return !t->vacuumed_ms || t->vacuum_unfinished || since > t->now.tombstone_retention_ms;
}

bool delta_upkeep(struct delta_table *t, struct engine_conn *conn, int64_t keep_version, struct error *err)
{
    struct delta_snapshot *s = &t->now;
    if (!delta_refresh(t, err)) return false;
    if (s->unwritable || t->pinned) return true;
    bool checkpoint =
        s->version > 0 &&
        s->version - (s->checkpoint_version < 0 ? 0 : s->checkpoint_version) >= s->checkpoint_commits;
    if (!checkpoint && !vacuum_is_due(t)) return true;
    delta_snapshot_expire(s, age_limit(s->tombstone_retention_ms), keep_version);
    if (checkpoint && !delta_checkpoint_write(t, conn, err)) return false;
    return clean_log(t, keep_version, err) && vacuum(t, err);
}
