#include "stages/refine/upkeep.h"

#include "base/clock.h"

enum { EVERY_US = 2000000, MOST_US = 10000 };

bool upkeep_is_due(const struct upkeep *u)
{
    return clock_mono_us() - u->ended_us > EVERY_US;
}

bool upkeep_begins(const struct upkeep *u)
{
    return u->layer == UPKEEP_SILVER && u->part == 0;
}

bool upkeep_step(struct upkeep *u, struct silver *silver, struct gold *gold, struct delta_table *batches,
                 struct engine_conn *conn, struct error *err)
{
    int64_t until_us = clock_mono_us() + MOST_US;
    do {
        size_t part = u->part++;
        bool ok, done = true;
        if (u->layer == UPKEEP_SILVER) ok = silver_upkeep(silver, part, &done, err);
        else if (u->layer == UPKEEP_GOLD) ok = gold_upkeep(gold, part, &done, err);
        else ok = delta_upkeep(batches, conn, delta_version(batches), err);
        if (done) {
            u->part = 0;
            u->layer = u->layer == UPKEEP_BATCHES ? UPKEEP_SILVER : u->layer + 1;
        }
        if (upkeep_begins(u)) u->ended_us = clock_mono_us();
        if (!ok) return false;
    } while (!upkeep_begins(u) && clock_mono_us() < until_us);
    return true;
}
