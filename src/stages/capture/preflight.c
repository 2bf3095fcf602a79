/* Everything that can be known to be wrong before the first byte flows, each with what to do about it. */
#include "stages/capture/capture_int.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

static const char new_epoch_advice[] = "to take the server as it is now, run `millrace resync --slot`: it "
                                       "starts a new epoch and copies all tables again";

static bool setting_is(struct pg *pg, const char *sql, const char *wanted, bool *is, struct error *err)
{
    struct pg_rows rows;
    if (!pg_query(pg, &rows, sql, NULL, 0, err)) return false;
    const char *text = rows.count ? pg_text(&rows, 0, 0) : NULL;
    *is = text && strcmp(text, wanted) == 0;
    pg_rows_free(&rows);
    return true;
}

bool preflight_settings(struct pg *pg, struct error *err)
{
    int version = pg_server_version(pg);
    if (version < 130000)
        return error_set(err, ERROR_CONFIG, "the source is PostgreSQL %d; 13 or newer is needed",
                         version / 10000);
    bool logical, standby;
    if (!setting_is(pg, "SHOW wal_level", "logical", &logical, err) ||
        !setting_is(pg, "SELECT pg_is_in_recovery()", "t", &standby, err))
        return false;
    if (!logical)
        return error_set(
            err, ERROR_CONFIG,
            "the source has wal_level below logical; run: ALTER SYSTEM SET wal_level = logical, and "
            "restart PostgreSQL");
    if (standby && version < 160000)
        return error_set(
            err, ERROR_CONFIG,
            "the source is a standby; logical decoding there needs PostgreSQL 16, connect to the primary");
    return true;
}

bool preflight_identify(struct pg *replication, struct server *out, struct error *err)
{
    struct pg_rows rows;
    if (!pg_query(replication, &rows, "IDENTIFY_SYSTEM", NULL, 0, err)) return false;
    bool ok = rows.count == 1 && pg_text(&rows, 0, 0) && lsn_parse(pg_text(&rows, 0, 2), &out->lsn);
    if (ok) {
        snprintf(out->system_id, sizeof out->system_id, "%s", pg_text(&rows, 0, 0));
        out->timeline = (int)pg_int(&rows, 0, 1);
    }
    pg_rows_free(&rows);
    return ok || error_set(err, ERROR_RETRY, "IDENTIFY_SYSTEM gave no answer");
}

static bool member_is(const json_t *identity, const char *name, const char *now, const char *what,
                      struct error *err)
{
    const char *then = json_string_value(json_object_get(identity, name));
    if (!then || strcmp(then, now) == 0) return true;
    return error_set(err, ERROR_CONFIG, "the lake was filled from %s %s, but this is %s; %s", what, then,
                     now, new_epoch_advice);
}

bool preflight_identity(const char *identity, const struct server *now, const struct config *config,
                        const char *database, struct error *err)
{
    if (!identity) return true;
    json_error_t where;
    json_t *root = json_loads(identity, 0, &where);
    if (!root) return error_set(err, ERROR_FATAL, "the lake's identity record is not JSON: %s", where.text);
    char timeline[16];
    snprintf(timeline, sizeof timeline, "%d", now->timeline);
    char then[24];
    snprintf(then, sizeof then, "%lld", (long long)json_integer_value(json_object_get(root, "timeline")));
    bool ok = member_is(root, "system_id", now->system_id, "the server with system id", err) &&
              member_is(root, "database", database, "the database", err) &&
              member_is(root, "slot", config->slot, "the slot", err) &&
              member_is(root, "publication", config->publication, "the publication", err);
    if (ok && strcmp(then, timeline) != 0)
        ok = error_set(err, ERROR_CONFIG,
                       "the source is on timeline %s, the lake was filled from timeline %s: the server was "
                       "promoted or "
                       "restored; %s",
                       timeline, then, new_epoch_advice);
    json_decref(root);
    return ok;
}

void identity_put(struct buf *json, const struct server *server, const struct config *config,
                  const char *database, int64_t copy_id, const struct published_list *tables)
{
    buf_put_text(json, "{\"system_id\":");
    buf_put_json(json, slice_of(server->system_id));
    buf_printf(json, ",\"timeline\":%d,\"slot\":", server->timeline);
    buf_put_json(json, slice_of(config->slot));
    buf_put_text(json, ",\"publication\":");
    buf_put_json(json, slice_of(config->publication));
    buf_put_text(json, ",\"database\":");
    buf_put_json(json, slice_of(database));
    buf_printf(json, ",\"copy_id\":%" PRId64 ",\"tables\":[", copy_id);
    for (size_t i = 0; i < tables->count; i++) {
        if (i) buf_put_char(json, ',');
        buf_put_json(json, slice_of(tables->items[i].table));
    }
    buf_put_text(json, "]}");
}

static const char slot_sql[] = "SELECT coalesce(plugin, ''), coalesce(database, ''), coalesce(active_pid, "
                               "0), coalesce(wal_status, ''),"
                               " coalesce(confirmed_flush_lsn, '0/0'), current_database() FROM "
                               "pg_replication_slots WHERE slot_name = $1";

bool preflight_slot_facts(struct pg *pg, const char *slot, struct slot_facts *out, struct error *err)
{
    const char *const params[] = {slot};
    struct pg_rows rows;
    *out = (struct slot_facts){0};
    if (!pg_query(pg, &rows, slot_sql, params, 1, err)) return false;
    out->exists = rows.count > 0;
    if (out->exists) {
        out->foreign = strcmp(pg_text(&rows, 0, 0), "pgoutput") != 0 ||
                       strcmp(pg_text(&rows, 0, 1), pg_text(&rows, 0, 5)) != 0;
        out->active_pid = pg_int(&rows, 0, 2);
        if (!lsn_parse(pg_text(&rows, 0, 4), &out->confirmed_lsn)) out->confirmed_lsn = 0;
    }
    pg_rows_free(&rows);
    return true;
}

static bool check_slot_row(const struct pg_rows *r, const char *slot, uint64_t durable_lsn,
                           struct error *err)
{
    uint64_t confirmed = 0;
    if (strcmp(pg_text(r, 0, 0), "pgoutput") != 0)
        return error_set(err, ERROR_CONFIG,
                         "slot %s is not a logical slot of pgoutput; choose another `slot`", slot);
    if (strcmp(pg_text(r, 0, 1), pg_text(r, 0, 5)) != 0)
        return error_set(err, ERROR_CONFIG,
                         "slot %s belongs to database %s; choose another `slot` or `source`", slot,
                         pg_text(r, 0, 1));
    if (pg_int(r, 0, 2))
        return error_set(err, ERROR_RETRY,
                         "slot %s is in use by the connection with pid %lld; stop that client (or SELECT "
                         "pg_terminate_backend(%lld))",
                         slot, (long long)pg_int(r, 0, 2), (long long)pg_int(r, 0, 2));
    if (strcmp(pg_text(r, 0, 3), "lost") == 0)
        return error_set(
            err, ERROR_CONFIG,
            "slot %s is lost: PostgreSQL removed WAL that it needed (max_slot_wal_keep_size); %s", slot,
            new_epoch_advice);
    if (!lsn_parse(pg_text(r, 0, 4), &confirmed)) confirmed = 0;
    if (confirmed > durable_lsn)
        return error_set(err, ERROR_CONFIG,
                         "slot %s stands at " LSN_FORMAT ", past the lake's " LSN_FORMAT
                         ": what lies between is gone; %s",
                         slot, LSN_ARGS(confirmed), LSN_ARGS(durable_lsn), new_epoch_advice);
    return true;
}

bool preflight_slot(struct pg *pg, const char *slot, uint64_t durable_lsn, struct error *err)
{
    const char *const params[] = {slot};
    struct pg_rows rows;
    if (!pg_query(pg, &rows, slot_sql, params, 1, err)) return false;
    bool ok = rows.count ? check_slot_row(&rows, slot, durable_lsn, err)
                         : error_set(err, ERROR_CONFIG, "the source has no slot %s any more; %s", slot,
                                     new_epoch_advice);
    pg_rows_free(&rows);
    return ok;
}
