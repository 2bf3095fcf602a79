/* Copies beside the running stream: tables that the publication gained, and those that somebody asked
 * to have copied again.
 *
 *   wanted --begin records--> copying --complete records, in the queue--> copied
 *      ^                         |
 *      `----- failed, or the connection was cut: begun anew
 *
 * 1. The begin records enter the queue before the snapshot is made, so they precede every change that the
 *    snapshot does not hold. Their LSN is above every earlier copy's rows and below this one's: a reader
 *    that sorts by LSN does not take the rows of a copy that was cut short for those of this one.
 * 2. Batches of the copy go between whole transactions; they bring no position of their own and end where
 *    the last transaction before them ended.
 * 3. A table is wanted until its complete record is in the queue, and from its begin record until then it
 *    is not copied: both are in capture_memory, because a cut connection takes the copy with it. */
#include "base/clock.h"
#include "base/log.h"
#include "stages/capture/capture_int.h"

#include <inttypes.h>
#include <stdio.h>

enum { LOOK_US = 10000000, RETRY_US = 15000000 };

static const char running[] = "wanted, and its copy runs";

/* A copy that begins after this; the one that runs may have its snapshot already. */
static void want(const char *table)
{
    *map_put(&capture_memory.wanted, slice_of(table)) = &capture_memory.wanted;
}

void resync_need(const char *table)
{
    if (map_get(&capture_memory.copied, slice_of(table))) return;
    if (!map_get(&capture_memory.wanted, slice_of(table))) want(table);
}

static bool any_wanted(void)
{
    void *wanted = NULL;
    for (size_t at = 0; !wanted && map_next(&capture_memory.wanted, &at, NULL, &wanted);) {}
    return wanted;
}

static void take_requests(struct capture *c)
{
    char *table;
    while ((table = queue_pop(&c->flow->resync_requests, 0))) {
        log_info("capture", "resync asked for", "table=%s", table);
        want(table);
        mem_free(table);
        c->next_copy_us = 0;
    }
}

/* A table that was rewritten when its columns changed (a new type, a volatile default) has other values
 * in rows that the stream never sends. A new place alone is TRUNCATE or VACUUM FULL. */
static bool rewritten(const struct published *p)
{
    char *now = mem_format("%s %s", p->filenode, p->shape ? p->shape : "");
    void **place = map_put(&capture_memory.shapes, slice_of(p->table));
    const char *then = *place;
    size_t node = strlen(p->filenode) + 1;
    bool both = then && strncmp(then, now, node) != 0 && strcmp(strchr(then, ' '), now + node - 1) != 0;
    mem_free(*place);
    *place = now;
    return both;
}

static void look_at(const struct published *p)
{
    bool anew = rewritten(p);
    if (anew) log_info("capture", "table was rewritten", "table=%s", p->table);
    if (anew) want(p->table);
    resync_need(p->table);
}

/* From time to time: is the publication still there, has it new tables, was one rewritten? */
static bool look(struct capture *c, struct error *err)
{
    int64_t now_us = clock_mono_us();
    if (now_us < c->next_look_us) return true;
    c->next_look_us = now_us + LOOK_US;
    bool exists;
    struct published_list list;
    if (!catalog_publication_exists(c->pg, c->config, &exists, err)) return false;
    if (!exists)
        return error_set(
            err, ERROR_CONFIG,
            "publication %s was dropped: what is written meanwhile is lost to the stream; run `millrace "
            "resync --slot`, which makes it anew and copies all tables again",
            c->config->publication);
    if (!catalog_published(c->pg, c->config, &list, err)) return false;
    for (size_t i = 0; i < list.count; i++)
        look_at(&list.items[i]);
    published_free(&list);
    return true;
}

/* Without a key the rows of such a copy cannot be told from those that the stream brings: through Kafka, where they
 * come without brackets, they would stand twice. */
static bool needs_brackets(const struct published *p)
{
    return events_options() && !p->has_key;
}

static void refuse_copy(const struct published *p)
{
    log_warn("capture", "table cannot be copied beside the stream",
             "table=%s has no key: what it holds goes to Kafka by a new copy of everything, `millrace resync --slot`",
             p->table);
    *map_put(&capture_memory.wanted, slice_of(p->table)) = NULL;
    *map_put(&capture_memory.copied, slice_of(p->table)) = &capture_memory.copied; /* said once */
}

static void keep_wanted(struct published_list *list)
{
    const struct map *wanted = &capture_memory.wanted;
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct published *p = &list->items[i];
        if (map_get(wanted, slice_of(p->table)) && needs_brackets(p)) {
            refuse_copy(p);
        } else if (map_get(wanted, slice_of(p->table)) && p->readable) {
            struct published keep = *p;
            list->items[i] = list->items[kept];
            list->items[kept++] = keep;
        } else if (map_get(wanted, slice_of(p->table))) {
            log_warn("capture", "table cannot be read",
                     "table=%s: GRANT SELECT on it to the role of `source`", p->table);
        }
    }
    for (size_t i = kept; i < list->count; i++)
        published_item_free(&list->items[i]);
    list->count = kept;
}

static void warn_unpublished(const struct capture *c, const struct published_list *list)
{
    struct slice name;
    void *wanted;
    for (size_t at = 0; map_next(&capture_memory.wanted, &at, &name, &wanted);) {
        char *table = mem_textn(name.data, name.len);
        if (wanted && !published_find(list, table))
            log_warn("capture", "table is not published",
                     "table=%s: add it to publication %s to have it copied", table, c->config->publication);
        mem_free(table);
    }
}

/* What can be copied of what is wanted; the rest is not wanted any more. */
static bool choose(struct capture *c, struct error *err)
{
    struct published_list list;
    if (!catalog_position(c->pg, &c->begin_lsn, err) || !catalog_published(c->pg, c->config, &list, err))
        return false;
    warn_unpublished(c, &list);
    keep_wanted(&list);
    map_clear(&capture_memory.wanted, NULL);
    for (size_t i = 0; i < list.count; i++)
        want(list.items[i].table);
    published_free(&c->copying);
    c->copying = list;
    return true;
}

/* The copy's own, while its threads read them: a signal may bring others meanwhile. */
static void take_conditions(struct capture *c)
{
    for (size_t i = 0; i < c->copying.count; i++) {
        struct slice table = slice_of(c->copying.items[i].table);
        void **from = map_find(&capture_memory.conditions, table);
        if (!from || !*from) continue;
        *map_put(&c->conditions, table) = *from;
        *from = NULL;
    }
}

void resync_return_conditions(struct capture *c)
{
    struct slice table;
    void *condition;
    for (size_t at = 0; map_next(&c->conditions, &at, &table, &condition);) {
        void **to = map_put(&capture_memory.conditions, table);
        if (*to) mem_free(condition); /* a newer one has come */
        else *to = condition;
    }
    map_free(&c->conditions, NULL);
}

static void begin(struct capture *c)
{
    c->copy_id = capture_memory.next_copy_id++;
    for (size_t i = 0; i < c->copying.count; i++) {
        struct slice table = slice_of(c->copying.items[i].table);
        *map_put(&capture_memory.copied, table) = NULL;
        *map_put(&capture_memory.wanted, table) = (void *)running;
    }
    outbox_put(&c->outbox, snapshot_brackets(c, CHANGE_SNAPSHOT_BEGIN, c->begin_lsn + 1,
                                             capture_memory.handed_lsn));
    window_open(c);
}

static bool start(struct capture *c, struct error *err)
{
    if (!choose(c, err)) return false;
    const struct published_list list = c->copying;
    if (list.count == 0) return true;
    begin(c);
    take_conditions(c);
    c->stopping_copy = false;
    struct copy_plan plan = {
        .config = c->config,
        .status = c->status,
        .epoch = capture_memory.epoch,
        .temporary = true,
        .table_count = list.count,
        .conditions = &c->conditions,
        .tables = mem_alloc((list.count + 1) * sizeof *plan.tables),
    };
    snprintf(plan.slot, sizeof plan.slot, "%.40s_copy_%" PRId64, c->config->slot, c->copy_id);
    for (size_t i = 0; i < list.count; i++)
        plan.tables[i] = mem_text(list.items[i].table);
    log_info("capture", "copy beside the stream begins", "copy=%" PRId64 " tables=%zu", c->copy_id,
             list.count);
    return copy_start(&c->copy, &plan, err);
}

static void finish(struct capture *c)
{
    uint64_t lsn = copy_lsn(c->copy);
    outbox_put(&c->outbox, snapshot_brackets(c, CHANGE_SNAPSHOT_COMPLETE, lsn, capture_memory.handed_lsn));
    c->ending = true;
}

/* The complete records are in the queue. */
static void finished(struct capture *c)
{
    uint64_t lsn = copy_lsn(c->copy);
    for (size_t i = 0; i < c->copying.count; i++) {
        struct slice table = slice_of(c->copying.items[i].table);
        void **wanted = map_put(&capture_memory.wanted, table);
        *map_put(&capture_memory.copied, table) = &capture_memory.copied;
        if (*wanted == running) *wanted = NULL;
    }
    c->ending = false;
    log_info("capture", "copy beside the stream complete", "copy=%" PRId64 " lsn=" LSN_FORMAT, c->copy_id,
             LSN_ARGS(lsn));
    published_free(&c->copying);
    copy_close(c->copy);
    c->copy = NULL;
    map_free(&c->conditions, mem_free);
    window_close(c);
    stage_recovered(c->status);
    stage_state(c->status, "streaming");
}

/* A copy that failed does not stop the stream: its tables are still wanted, later, with a new id. */
static void give_up(struct capture *c, struct error *err)
{
    error_wrap(err, "copy beside the stream");
    log_error("capture", "copy failed", err);
    stage_failed(c->status, err);
    published_free(&c->copying);
    copy_close(c->copy);
    c->copy = NULL;
    resync_return_conditions(c);
    window_close(c);
    c->next_copy_us = clock_mono_us() + RETRY_US;
    stage_state(c->status, "streaming");
}

/* As a signal asked: what was copied stays, the rest is not wanted any more. */
static void stop_copy(struct capture *c)
{
    c->stopping_copy = false;
    map_clear(&capture_memory.wanted, NULL);
    map_clear(&capture_memory.conditions, mem_free);
    for (size_t i = 0; i < c->copying.count; i++)
        *map_put(&capture_memory.copied, slice_of(c->copying.items[i].table)) = &capture_memory.copied;
    outbox_put(&c->outbox, snapshot_brackets(c, CHANGE_SNAPSHOT_COMPLETE, copy_lsn(c->copy), capture_memory.handed_lsn));
    published_free(&c->copying);
    copy_close(c->copy);
    c->copy = NULL;
    map_free(&c->conditions, mem_free);
    window_close(c);
    log_info("capture", "copy stopped", "by a signal");
    stage_state(c->status, "streaming");
}

static void move(struct capture *c)
{
    if (c->stopping_copy && !c->ending) {
        stop_copy(c);
        return;
    }
    if (c->ending) {
        finished(c);
        return;
    }
    struct change_batch *batch = copy_take(c->copy, 0);
    struct error err;
    if (batch) {
        window_filter(c, batch, copy_lsn(c->copy));
        batch->end_lsn = batch->first_lsn = batch->last_lsn = capture_memory.handed_lsn;
        outbox_put(&c->outbox, batch);
        copy_show(c->copy);
        return;
    }
    switch (copy_look(c->copy, &err)) {
    case COPY_RUNNING: return;
    case COPY_DONE: finish(c); return;
    case COPY_FAILED: give_up(c, &err); return;
    }
}

bool resync_step(struct capture *c, struct error *err)
{
    take_requests(c);
    if (!look(c, err)) return false;
    if (!capture_between(c)) return true;
    if (c->copy)
        move(c);
    else if (any_wanted() && clock_mono_us() >= c->next_copy_us)
        return start(c, err);
    return true;
}
