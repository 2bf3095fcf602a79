/* Creating and dropping slots. Creation waits for every transaction that already has an id: the wait is
 * shown, with the pids it waits for, and bounded. */
#include "base/clock.h"
#include "base/log.h"
#include "stages/capture/capture_int.h"

#include <stdio.h>
#include <unistd.h>

enum { SHOW_AFTER_US = 2000000 };

/* Pids of the transactions that hold an id, as "123, 456". */
static void put_blockers(const struct config *config, struct buf *out)
{
    struct pg *pg;
    struct error ignored;
    struct pg_rows rows = {0};
    if (!pg_connect(&pg, config->source, PG_PLAIN, NULL, &ignored)) return;
    if (pg_query(pg, &rows,
                 "SELECT string_agg(pid::text, ', ' ORDER BY xact_start) FROM (SELECT pid, xact_start FROM"
                 " pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY xact_start LIMIT 5) a",
                 NULL, 0, &ignored) &&
        rows.count && pg_text(&rows, 0, 0))
        buf_put_text(out, pg_text(&rows, 0, 0));
    if (rows.handle) pg_rows_free(&rows);
    pg_close(pg);
}

static bool wait_created(struct pg *pg, const struct config *config, const char *slot, int64_t timeout_us,
                         struct stage_status *shown, struct pg_rows *rows, struct error *err)
{
    int64_t start_us = clock_mono_us(), show_us = start_us + SHOW_AFTER_US;
    for (bool done = false; !done;) {
        if (!pg_poll(pg, 100000, &done, rows, err)) return false;
        int64_t now_us = clock_mono_us();
        if (done || now_us < show_us) continue;
        show_us = now_us + SHOW_AFTER_US;
        struct buf pids = {0};
        put_blockers(config, &pids);
        if (shown) stage_state(shown, "waiting for old transactions of pid %.24s", buf_text(&pids));
        bool late = now_us - start_us > timeout_us;
        if (late)
            error_set(err, ERROR_RETRY,
                      "PostgreSQL cannot make slot %s while transactions are open that began before; end "
                      "them (pid %s)",
                      slot, buf_text(&pids));
        buf_free(&pids);
        if (late) return false;
    }
    return true;
}

bool slot_create(struct pg *replication, const struct config *config, const char *slot, bool temporary,
                 int64_t timeout_us, struct stage_status *shown, struct capture_snapshot *out,
                 struct error *err)
{
    struct buf sql = {0};
    buf_put_text(&sql, "CREATE_REPLICATION_SLOT ");
    pg_put_name(&sql, slice_of(slot));
    buf_put_text(&sql, temporary ? " TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT"
                                 : " LOGICAL pgoutput EXPORT_SNAPSHOT");
    struct pg_rows rows = {0};
    bool ok = pg_send(replication, buf_text(&sql), err) &&
              wait_created(replication, config, slot, timeout_us, shown, &rows, err);
    buf_free(&sql);
    if (ok) {
        ok = rows.count == 1 && lsn_parse(pg_text(&rows, 0, 1), &out->lsn) && pg_text(&rows, 0, 2);
        if (ok)
            snprintf(out->name, sizeof out->name, "%s", pg_text(&rows, 0, 2));
        else
            error_set(err, ERROR_RETRY, "PostgreSQL gave no snapshot with slot %s", slot);
        pg_rows_free(&rows);
    }
    return ok || error_wrap(err, "creating slot %s", slot);
}

bool slot_drop(struct pg *replication, const char *slot, struct error *err)
{
    struct buf sql = {0};
    buf_put_text(&sql, "DROP_REPLICATION_SLOT ");
    pg_put_name(&sql, slice_of(slot));
    bool ok = pg_run(replication, buf_text(&sql), err);
    buf_free(&sql);
    return ok || error_wrap(err, "dropping slot %s", slot);
}

bool capture_snapshot_open(struct capture_snapshot *s, const struct config *config, int64_t timeout_us,
                           const _Atomic bool *stop, struct error *err)
{
    static _Atomic unsigned made;
    *s = (struct capture_snapshot){0};
    char slot[64];
    snprintf(slot, sizeof slot, "%.30s_check_%d_%u", config->slot, (int)getpid(), ++made);
    if (!pg_connect(&s->pg, config->source, PG_REPLICATION, stop, err)) return false;
    if (slot_create(s->pg, config, slot, true, timeout_us, NULL, s, err)) return true;
    capture_snapshot_close(s);
    return false;
}

void capture_snapshot_close(struct capture_snapshot *s)
{
    pg_close(s->pg);
    *s = (struct capture_snapshot){0};
}
