/* Finding and replaying the log.
 *
 *   load      list the folder, seed from the newest complete checkpoint, replay what follows it
 *   refresh   get version + 1 until there is none
 *
 *  1. Versions are contiguous from the checkpoint on; a gap is an error, never passed over.
 *  2. The folder is listed rather than the hint of _last_checkpoint believed: a hint may be absent,
 *     damaged or behind, and upkeep bounds the folder.
 *  3. Upkeep elsewhere may remove old versions while we read: a load that meets a hole starts again.
 *  4. A checkpoint is derived: one that cannot be read is passed by, if the log reaches back far enough.
 *  5. A handle whose own version was removed has been passed by a checkpoint: it loads anew. */
#include "lake/delta_int.h"

#include "base/home.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOAD_TRIES = 4, VERSION_DIGITS = 20 };

void delta_commit_name(int64_t version, char name[64])
{
    snprintf(name, 64, DELTA_LOG_FOLDER "/%020lld.json", (long long)version);
}

void delta_checkpoint_name(int64_t version, char name[64])
{
    snprintf(name, 64, DELTA_LOG_FOLDER "/%020lld.checkpoint.parquet", (long long)version);
}

/* The digits that a name in the log's folder begins with, -1 when it does not. */
static int64_t leading_version(const char *name, const char **rest)
{
    static const char folder[] = DELTA_LOG_FOLDER "/";
    if (strncmp(name, folder, sizeof folder - 1) == 0) name += sizeof folder - 1;
    if (strspn(name, "0123456789") != VERSION_DIGITS) return -1;
    *rest = name + VERSION_DIGITS;
    long long v = strtoll(name, NULL, 10);
    return v == INT64_MAX ? -1 : v;
}

int64_t delta_commit_version(const char *name)
{
    const char *rest;
    int64_t version = leading_version(name, &rest);
    return version >= 0 && strcmp(rest, ".json") == 0 ? version : -1;
}

bool delta_checkpoint_parse(const char *name, struct delta_checkpoint_part *out)
{
    const char *rest;
    int64_t version = leading_version(name, &rest);
    int part, parts, end = 0;
    if (version < 0) return false;
    *out = (struct delta_checkpoint_part){version, 1, 1};
    if (strcmp(rest, ".checkpoint.parquet") == 0) return true;
    if (sscanf(rest, ".checkpoint.%10d.%10d.parquet%n", &part, &parts, &end) != 2 || !end || rest[end])
        return false;
    *out = (struct delta_checkpoint_part){version, part, parts};
    return parts > 0 && part > 0 && part <= parts;
}

bool delta_read_commit(struct delta_table *t, int64_t version, struct delta_actions *out, bool *found,
                       struct error *err)
{
    char name[64];
    struct buf text = {0};
    delta_commit_name(version, name);
    *out = (struct delta_actions){0};
    bool ok = store_get(t->store, name, &text, found, err);
    if (ok && *found && !delta_actions_parse(buf_slice(&text), out, err))
        ok = error_wrap(err, "%s/%s is damaged", t->folder, name);
    if (!ok && err->kind != ERROR_RETRY) error_advise(err, home_repair(t->name));
    buf_free(&text);
    return ok;
}

bool delta_take_in(struct delta_table *t, struct delta_actions *actions, struct error *err)
{
    t->stale = true;
    if (!delta_snapshot_apply(&t->now, actions, t->now.version + 1, err))
        return error_wrap(err, "%s: version %lld", t->name, (long long)t->now.version + 1);
    t->stale = false;
    return true;
}

/* Replays onto s what follows its version, up to `last`. */
static bool replay(struct delta_table *t, struct delta_snapshot *s, int64_t last, struct error *err)
{
    while (s->version < last) {
        struct delta_actions actions;
        bool found;
        int64_t next = s->version + 1;
        if (!delta_read_commit(t, next, &actions, &found, err)) return false;
        if (!found) return true;
        if (!delta_snapshot_apply(s, &actions, next, err))
            return error_wrap(err, "%s: version %lld", t->name, (long long)next);
    }
    return true;
}

struct checkpoint_found {
    int64_t version; /* -1: none */
    int parts;
};

/* The newest checkpoint up to `last` whose parts are all there. Names are sorted, so parts stand together.
 */
static struct checkpoint_found newest_checkpoint(const struct store_listing *names, int64_t last)
{
    struct checkpoint_found best = {-1, 0};
    for (size_t i = 0; i < names->count; i++) {
        struct delta_checkpoint_part first, next;
        if (!delta_checkpoint_parse(names->items[i].name, &first) || first.part != 1) continue;
        int have = 1;
        while (have < first.parts && i + (size_t)have < names->count &&
               delta_checkpoint_parse(names->items[i + (size_t)have].name, &next) &&
               next.version == first.version && next.part == have + 1 && next.parts == first.parts)
            have++;
        if (have == first.parts && first.version <= last)
            best = (struct checkpoint_found){first.version, first.parts};
    }
    return best;
}

static int64_t newest_commit(const struct store_listing *names)
{
    int64_t newest = -1;
    for (size_t i = 0; i < names->count; i++) {
        int64_t v = delta_commit_version(names->items[i].name);
        if (v > newest) newest = v;
    }
    return newest;
}

static void part_name(struct checkpoint_found from, int part, char name[96])
{
    if (from.parts == 1)
        delta_checkpoint_name(from.version, name);
    else
        snprintf(name, 96, DELTA_LOG_FOLDER "/%020lld.checkpoint.%010d.%010d.parquet",
                 (long long)from.version, part, from.parts);
}

static bool seed(struct delta_table *t, struct checkpoint_found from, struct delta_snapshot *s,
                 struct error *err)
{
    for (int part = 1; part <= from.parts; part++) {
        char name[96];
        part_name(from, part, name);
        if (!delta_checkpoint_read(t, name, from.version, s, err))
            return error_wrap(err, "%s: %s", t->name, name);
    }
    s->checkpoint_version = from.version;
    return true;
}

/* From the newest checkpoint that can be read. *damaged: the oldest that cannot (err says why), -1: none. */
static bool seed_from_newest(struct delta_table *t, const struct store_listing *names, int64_t last,
                             struct delta_snapshot *s, struct checkpoint_found *damaged, struct error *err)
{
    struct error why;
    *damaged = (struct checkpoint_found){-1, 0};
    for (;;) {
        struct checkpoint_found from = newest_checkpoint(names, last);
        if (seed(t, from, s, &why)) return true;
        *err = why;
        if (why.kind != ERROR_DATA) return false;
        *damaged = from;
        delta_snapshot_free(s);
        last = from.version - 1;
    }
}

/* The log replaced a checkpoint that cannot be read: others, who would stumble over it, do not see it any
 * more, and the next upkeep writes a new one. */
static void set_aside(struct delta_table *t, struct checkpoint_found damaged, const struct error *why)
{
    struct error ignored;
    for (int part = 1; part <= damaged.parts; part++) {
        char name[96];
        part_name(damaged, part, name);
        char *aside = mem_format(DELTA_LOG_FOLDER "/.%s.damaged", strrchr(name, '/') + 1);
        if (!store_rename(t->store, name, aside, &ignored)) (void)ignored; /* the next load tries again */
        mem_free(aside);
    }
    if (!store_remove(t->store, DELTA_LAST_CHECKPOINT, &ignored)) (void)ignored;
    log_warn("lake", "damaged checkpoint set aside", "table=%s version=%lld: %s", t->name,
             (long long)damaged.version, why->text);
}

static bool replay_to_end(struct delta_table *t, struct delta_snapshot *s, int64_t last, int64_t newest,
                          struct error *err)
{
    if (!replay(t, s, last, err)) return false;
    if (s->version < newest) {
        error_set(err, ERROR_DATA, "%s: version %lld is missing from the log", t->folder,
                  (long long)s->version + 1);
        return error_advise(err, home_repair(t->name));
    }
    if (!s->protocol.reader || !s->metadata.id)
        return error_set(err, ERROR_DATA, "%s: the log has no protocol or no metaData", t->name);
    return true;
}

static bool load_once(struct delta_table *t, struct delta_snapshot *s, int64_t last, struct error *err)
{
    struct store_listing names;
    struct checkpoint_found damaged = {-1, 0};
    struct error why = {0};
    if (!store_list(t->store, DELTA_LOG_FOLDER, false, &names, err)) return false;
    int64_t newest = newest_commit(&names);
    if (newest > last) newest = last;
    bool there = newest_checkpoint(&names, last).version >= 0 || newest >= 0;
    bool ok = there || error_set(err, ERROR_CONFIG, "there is no Delta table in %s", t->folder);
    ok = ok && seed_from_newest(t, &names, last, s, &damaged, &why);
    store_listing_free(&names);
    if (!there) return false;
    if (ok) ok = replay_to_end(t, s, last, newest, err);
    if (ok && damaged.version >= 0) set_aside(t, damaged, &why);
    if (!ok && why.kind) *err = why; /* without the checkpoint the log does not reach back far enough */
    return ok;
}

/* Whether the log changed under a load that failed: then another try is worth it. */
static bool head_of_log(struct delta_table *t, int64_t *checkpoint, int64_t *newest, struct error *err)
{
    struct store_listing names;
    if (!store_list(t->store, DELTA_LOG_FOLDER, false, &names, err)) return false;
    *checkpoint = newest_checkpoint(&names, INT64_MAX).version;
    *newest = newest_commit(&names);
    store_listing_free(&names);
    return true;
}

bool delta_load(struct delta_table *t, struct error *err)
{
    int64_t checkpoint = -1, newest = -1;
    for (int tries = 1;; tries++) {
        struct delta_snapshot fresh;
        delta_snapshot_init(&fresh);
        if (load_once(t, &fresh, INT64_MAX, err)) {
            delta_snapshot_free(&t->now);
            t->now = fresh;
            t->stale = false;
            return true;
        }
        delta_snapshot_free(&fresh);
        int64_t c, n;
        struct error ignored;
        if (!head_of_log(t, &c, &n, &ignored)) return false;
        if (tries > 1 && c == checkpoint && n == newest) return false;
        if (tries == LOAD_TRIES) {
            err->kind = ERROR_RETRY; /* it is being rewritten: nothing is known to be damaged */
            return false;
        }
        checkpoint = c;
        newest = n;
    }
}

bool delta_load_at(struct delta_table *t, int64_t version, struct error *err)
{
    struct delta_snapshot past;
    delta_snapshot_init(&past);
    bool ok = load_once(t, &past, version, err);
    if (ok && past.version != version)
        ok = error_set(err, ERROR_DATA, "%s: there is no version %lld", t->name, (long long)version);
    if (!ok) {
        delta_snapshot_free(&past);
        if (err->kind == ERROR_RETRY)
            err->kind = ERROR_DATA; /* what is gone from the past does not return */
        return false;
    }
    delta_snapshot_free(&t->now);
    t->now = past;
    t->pinned = true;
    return true;
}

/* There is no next version: it is not written yet, or it was removed and we were passed by. */
static bool passed_by(struct delta_table *t, bool *passed, struct error *err)
{
    char name[64];
    bool found;
    int64_t checkpoint, newest;
    delta_commit_name(t->now.version, name);
    *passed = false;
    if (!store_exists(t->store, name, &found, err)) return false;
    if (found) return true;
    if (!head_of_log(t, &checkpoint, &newest, err)) return false;
    *passed = checkpoint > t->now.version || newest > t->now.version;
    return true;
}

bool delta_refresh(struct delta_table *t, struct error *err)
{
    if (t->pinned) return true;
    if (t->stale) return delta_load(t, err);
    t->stale = true;
    if (!replay(t, &t->now, INT64_MAX, err)) return false;
    t->stale = false;
    bool passed;
    if (!passed_by(t, &passed, err)) return false;
    return !passed || delta_load(t, err);
}

/* ---- history ---- */

void delta_history_free(struct delta_history_entry *e)
{
    mem_free(e->operation);
    mem_free(e->user_metadata);
    mem_free(e->commit_id);
    for (size_t i = 0; i < e->txn_count; i++)
        mem_free(e->txns[i].app_id);
    mem_free(e->txns);
    for (size_t i = 0; i < e->added_count; i++)
        delta_file_free(&e->added[i]);
    mem_free(e->added);
    *e = (struct delta_history_entry){0};
}

static void take_text(char **to, char **from)
{
    mem_free(*to);
    *to = *from;
    *from = NULL;
}

static void fill_history(struct delta_actions *actions, struct delta_history_entry *out)
{
    out->txns = mem_alloc((actions->count + 1) * sizeof *out->txns);
    out->added = mem_alloc((actions->count + 1) * sizeof *out->added);
    for (size_t i = 0; i < actions->count; i++) {
        struct delta_action *a = &actions->items[i];
        if (a->kind == DELTA_COMMIT_INFO) {
            out->timestamp_ms = a->timestamp_ms;
            take_text(&out->operation, &a->operation);
            take_text(&out->user_metadata, &a->user_metadata);
            take_text(&out->commit_id, &a->commit_id);
        } else if (a->kind == DELTA_TXN) {
            out->txns[out->txn_count++] = (struct delta_txn){a->app_id, a->txn_version};
            a->app_id = NULL;
        } else if (a->kind == DELTA_ADD && a->data_change) {
            out->added[out->added_count] = a->file;
            out->added[out->added_count++].added_version = out->version;
            a->file = (struct delta_file){0};
        }
    }
}

/* Whether any later version stands in the log, so that this one was there once. */
static bool was_cleaned(const struct delta_table *t, int64_t version, bool *cleaned, struct error *err)
{
    int64_t checkpoint, newest;
    *cleaned = version <= t->now.version;
    if (*cleaned) return true;
    if (!head_of_log((struct delta_table *)t, &checkpoint, &newest, err)) return false;
    *cleaned = version <= checkpoint || version < newest;
    return true;
}

bool delta_history(const struct delta_table *t, int64_t version, struct delta_history_entry *out,
                   struct error *err)
{
    struct delta_actions actions;
    bool found, cleaned;
    *out = (struct delta_history_entry){.version = version};
    if (!delta_read_commit((struct delta_table *)t, version, &actions, &found, err)) return false;
    if (!found) {
        if (!was_cleaned(t, version, &cleaned, err)) return false;
        if (cleaned)
            return error_set(err, ERROR_DATA, "%s: version %lld is no longer in the log", t->name,
                             (long long)version);
        return error_set(err, ERROR_RETRY, "%s: there is no version %lld yet", t->name, (long long)version);
    }
    fill_history(&actions, out);
    delta_actions_free(&actions);
    return true;
}
