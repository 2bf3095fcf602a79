/* Whole models: computed anew when an input has changed, beside the batches, within their share of time.
 *
 *   due --start--> inputs' versions pinned --> [background reads about a megabyte --> merged between two
 *                                              batches]* --> gm/ = signature --> rest
 *
 * 1. Row models never wait for a whole one: only merging its rows takes gold's thread.
 * 2. A run reads one set of versions, those of the position that its merges bear. What changed meanwhile
 *    makes the model due again.
 * 3. A run that is cut short is made again from the start: gm/ is written last. */
#include "stages/refine/gold/gold_int.h"

#include "base/clock.h"
#include "stages/outbox.h"

#include <xxhash.h>

/* What the model was computed from: changes when it is due. */
static uint64_t whole_signature(const struct gold *g, const struct gold_model *m)
{
    struct buf text = {0};
    buf_put_u64(&text, gold_model_hash(g, m));
    for (size_t i = 0; i < m->table_count; i++) {
        const struct gold_input *in = &g->models.inputs[m->tables[i]];
        buf_put_u64(&text, (uint64_t)(in->kind == GOLD_HISTORY ? delta_version(in->history)
                                                               : keyed_version(in->keyed)));
    }
    uint64_t hash = XXH3_64bits(text.data, text.len);
    buf_free(&text);
    return hash ? hash : 1;
}

static bool whole_due(const struct gold *g, const struct gold_model *m)
{
    if (!m->whole || !gold_model_ready(g, m) || m->rest_us > clock_mono_us()) return false;
    for (size_t i = 0; i < m->table_count; i++) {
        const struct gold_input *in = &g->models.inputs[m->tables[i]];
        if (in->kind == GOLD_MODEL && !g->models.items[in->model].built_hash) return false;
    }
    return m->columns_differ || m->built_hash != whole_signature(g, m);
}

/* The next one in turn, so that none starves. */
static struct gold_model *next_whole(struct gold *g)
{
    for (size_t i = 0; i < g->models.count; i++) {
        size_t at = (g->whole_turn + i) % g->models.count;
        if (!whole_due(g, &g->models.items[at])) continue;
        g->whole_turn = at + 1;
        return &g->models.items[at];
    }
    return NULL;
}

/* After a run of d, rest so long that runs take no more than the allowed share. */
static void rest(struct gold *g, int64_t took_us)
{
    int64_t percent = g->flow->config->whole_model_cpu_percent;
    int64_t share = percent < 1 ? 1 : percent > 100 ? 100 : percent;
    g->whole_next_us = clock_mono_us() + took_us * (100 - share) / share;
}

/* One that was never computed does not wait for the budget: empty aggregates help nobody. */
static bool whole_missing(const struct gold *g)
{
    for (size_t i = 0; i < g->models.count; i++)
        if (g->models.items[i].whole && !g->models.items[i].built_hash) return true;
    return false;
}

/* A run on its way. */
struct whole_run {
    struct gold *g;
    struct gold_model *m;
    struct gold_full *full;
    struct crew_job job;
    uint64_t signature;
    int64_t position; /* of the inputs */
    int64_t busy_us;
};

static void read_more(void *arg, int lane)
{
    struct whole_run *r = arg;
    (void)lane;
    int64_t start_us = clock_mono_us();
    gold_full_read(r->full);
    r->busy_us += clock_mono_us() - start_us;
    wake_signal(&r->g->flow->refine_wake);
}

static void give(struct whole_run *r)
{
    r->job = (struct crew_job){.run = read_more, .arg = r};
    crew_give(r->g->background, &r->job);
}

static void start(struct gold *g, struct gold_model *m, int64_t position)
{
    struct whole_run *r = mem_alloc(sizeof *r);
    *r = (struct whole_run){.g = g, .m = m, .signature = whole_signature(g, m), .position = position};
    r->full = gold_full_open(g, m, g->whole, "whole_gold", true, OUTBOX_PENDING);
    g->running = r;
    give(r);
}

static void drop(struct gold *g)
{
    gold_full_close(g->running->full);
    mem_free(g->running);
    g->running = NULL;
}

void gold_whole_cancel(struct gold *g)
{
    if (!g->running) return;
    crew_finish(g->background, &g->running->job);
    drop(g);
}

/* Merges what was read; at the end the model is as new as when it was begun. */
static bool take(struct gold *g, struct error *err)
{
    struct whole_run *r = g->running;
    struct gold_model *m = r->m;
    int64_t start_us = clock_mono_us();
    bool done;
    if (!gold_full_take(r->full, r->position, &done, err)) {
        drop(g);
        return gold_set_aside(g, m, err) || error_wrap(err, "gold: %s", m->name);
    }
    r->busy_us += clock_mono_us() - start_us;
    if (!done) {
        give(r);
        return true;
    }
    if (!gold_set_built(g, m, r->signature, err)) return error_wrap(err, "gold: %s", m->name);
    gold_set_well(g, m);
    rest(g, r->busy_us);
    drop(g);
    return true;
}

bool gold_whole_step(struct gold *g, int64_t position, bool wait, bool *did, struct error *err)
{
    *did = false;
    if (g->running) {
        if (wait) crew_finish(g->background, &g->running->job);
        *did = crew_done(g->background, &g->running->job);
        return !*did || take(g, err);
    }
    bool resting = clock_mono_us() < g->whole_next_us;
    if (resting && !whole_missing(g)) return true;
    if (!gold_inputs_bind(g, err)) return error_wrap(err, "gold");
    struct gold_model *m = next_whole(g);
    if (!m || (resting && m->built_hash)) return true;
    start(g, m, position);
    *did = true;
    return true;
}

bool gold_whole_running(const struct gold *g)
{
    return g->running != NULL;
}
