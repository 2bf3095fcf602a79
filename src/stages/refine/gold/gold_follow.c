/* The row models of a batch, level by level: models of one level do not read each other, so their SELECTs
 * run side by side.
 *
 *   for each model of the level:   full?  ---------------------> noted
 *                                  marks --> groups  --many----> full
 *                                              --few--> inputs loaded, SELECT given to the crew
 *   then for each, in order:       full: SELECT over everything, merged by difference
 *                                  else: result against the rows there are --> one merge
 *
 * What a level has merged is what the next one reads. */
#include "stages/refine/gold/gold_int.h"

#include "base/clock.h"
#include "base/log.h"

/* A group that is followed costs about as much as so many rows of a pass over everything; few groups never
 * need one. */
enum { GROUP_ROWS = 4, GROUPS_FEW = 1000 };

/* One model of the level. */
struct follow {
    struct gold_model *m;
    bool begun, full;
    struct map groups;
    struct gold_changes changes;
    struct gold_groups *run; /* NULL: nothing to do, or full */
    struct gold_full *pass;  /* over everything, when it is on its way */
    struct crew_job reading; /* of its next piece */
    bool given, passed;
    int64_t us;              /* spent on it by this thread */
};

static size_t groups_max(const struct gold_model *m)
{
    size_t most = (size_t)keyed_row_count(m->keyed) / GROUP_ROWS;
    return most > GROUPS_FEW ? most : GROUPS_FEW;
}

/* A model whose input was replaced, or came, only in this apply. */
static bool prepare_again(struct gold *g, struct gold_model *m, struct error *err)
{
    gold_inputs_bind_models(g);
    if (!gold_model_ready(g, m)) return true;
    m->full = true;
    return gold_model_bind(g, m, err);
}

static bool begin(struct gold *g, struct follow *f, struct error *err)
{
    struct gold_model *m = f->m;
    if (m->rest_us > clock_mono_us()) return true;
    if (!gold_model_ready(g, m) && !prepare_again(g, m, err)) return false;
    if (!gold_model_ready(g, m)) return true;
    if (!gold_model_bind(g, m, err)) return false;
    f->begun = true;
    f->full = m->full;
    if (f->full) return true;
    if (!gold_groups_collect(g, m, groups_max(m), &f->groups, &f->full, err)) return false;
    if (f->full || f->groups.count == 0) return true;
    return gold_groups_begin(g, m, &f->groups, &f->changes, &f->run, err);
}

/* ---- passes over everything: while one is merged, the crew reads the beginning of the next */

static void read_piece(void *arg, int lane)
{
    struct follow *f = arg;
    (void)lane;
    gold_full_read(f->pass);
}

static void give_piece(struct gold *g, struct follow *f)
{
    f->reading = (struct crew_job){.run = read_piece, .arg = f};
    f->given = true;
    crew_give(g->crew, &f->reading);
}

static void wait_piece(struct gold *g, struct follow *f)
{
    if (f->given) crew_finish(g->crew, &f->reading);
    f->given = false;
}

static void close_pass(struct gold *g, struct follow *f)
{
    wait_piece(g, f);
    gold_full_close(f->pass);
    f->pass = NULL;
}

/* Begins the passes of the first models that need one, as many as there are connections. */
static void begin_passes(struct gold *g, struct follow *all, size_t count, int64_t position)
{
    static const char *const databases[CREW_LANES] = {"full_gold", "full_gold_2"};
    size_t under_way = 0, number = 0;
    for (size_t i = 0; i < count; i++)
        under_way += all[i].pass != NULL;
    for (size_t i = 0; i < count && under_way < CREW_LANES; i++) {
        struct follow *f = &all[i];
        if (!f->full) continue;
        size_t slot = number++ % CREW_LANES; /* the one before it in this slot has ended */
        if (f->pass || f->passed) continue;
        f->pass = gold_full_open(g, f->m, g->full[slot], databases[slot], false, position);
        give_piece(g, f);
        under_way++;
    }
}

static bool end_pass(struct gold *g, struct follow *f, int64_t position, struct error *err)
{
    bool done = false, ok = true;
    while (ok && !done) {
        if (!f->given) give_piece(g, f);
        wait_piece(g, f);
        ok = gold_full_take(f->pass, position, &done, err);
    }
    close_pass(g, f);
    if (!ok) return false;
    f->m->full = false;
    return gold_set_built(g, f->m, gold_model_hash(g, f->m), err);
}

static bool end(struct gold *g, struct follow *f, int64_t position, struct error *err)
{
    struct gold_groups *run = f->run;
    f->run = NULL;
    f->passed = f->full;
    if (f->full && !end_pass(g, f, position, err)) return false;
    if (run && (!gold_groups_end(run, err) || !gold_changes_end(&f->changes, err))) return false;
    if (f->begun) gold_set_well(g, f->m);
    return true;
}

static void timed(struct follow *f, int64_t start_us)
{
    f->us += clock_mono_us() - start_us;
}

static void follow_free(struct gold *g, struct follow *f)
{
    close_pass(g, f);
    gold_groups_cancel(f->run);
    gold_changes_free(&f->changes);
    map_free(&f->groups, NULL);
}

/* Begins and ends of one level; a model that fails by itself is left out of what follows. In the last one
 * bronze is told when most is done: its commit then comes in time for the next batch. */
static bool follow_level(struct gold *g, struct follow *all, size_t count, int64_t position, bool last,
                         struct error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        struct follow *f = &all[i];
        int64_t start_us = clock_mono_us();
        f->changes = (struct gold_changes){
            .g = g, .m = f->m, .position = position, .outbox_position = position};
        if (!begin(g, f, err)) {
            f->begun = f->full = false;
            ok = gold_set_aside(g, f->m, err) || error_wrap(err, "gold: %s", f->m->name);
        }
        timed(f, start_us);
    }
    for (size_t i = 0; ok && i < count; i++) {
        struct follow *f = &all[i];
        int64_t start_us = clock_mono_us();
        bool any = f->run != NULL;
        if (last && i == count / 2) atomic_store(&g->flow->refine_state, REFINE_HUNGRY);
        begin_passes(g, all, count, position);
        ok = end(g, f, position, err) || gold_set_aside(g, f->m, err) ||
             error_wrap(err, "gold: %s", f->m->name);
        timed(f, start_us);
        if (ok && any)
            log_debug("gold", "followed", "model=%s groups=%zu written=%zu deleted=%zu us=%lld", f->m->name,
                      f->groups.count, f->changes.written, f->changes.deleted, (long long)f->us);
    }
    return ok;
}

bool gold_follow(struct gold *g, int64_t position, struct error *err)
{
    bool ok = true;
    size_t left = 0;
    for (size_t i = 0; i < g->models.count; i++)
        left += !g->models.items[i].whole;
    struct follow *all = mem_alloc((left + 1) * sizeof *all);
    for (size_t level = 0; ok && left > 0; level++) {
        size_t count = 0;
        for (size_t i = 0; i < g->models.count; i++) {
            struct gold_model *m = &g->models.items[i];
            if (!m->whole && m->level == level) all[count++] = (struct follow){.m = m};
        }
        left -= count;
        ok = follow_level(g, all, count, position, left == 0, err);
        for (size_t i = 0; i < count; i++)
            follow_free(g, &all[i]);
    }
    mem_free(all);
    return ok;
}
