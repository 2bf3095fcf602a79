/* What doctor says about PostgreSQL: from reaching it down to the slot. A check that needs the one
 * before is left out when that failed. */
#include "cli/doctor.h"
#include "net/pg.h"

#include <stdio.h>

enum { NAMES_MAX = 8 }; /* tables named in one line */

/* Runs a query and says so when it fails, which is then a finding of its own. */
static bool ask(struct report *r, struct pg *pg, struct pg_rows *rows, const char *what, const char *sql,
                const char *const *params, int count)
{
    struct error err;
    if (pg_query(pg, rows, sql, params, count, &err)) return true;
    report_add(r, VERDICT_BAD, what, "let the role read the system catalogs", "%s", err.text);
    return false;
}

/* The first column as "a, b, c and 12 more". */
static char *join_names(const struct pg_rows *rows)
{
    struct buf out = {0};
    for (int i = 0; i < rows->count && i < NAMES_MAX; i++)
        buf_printf(&out, "%s%s", i ? ", " : "", pg_text(rows, i, 0));
    if (rows->count > NAMES_MAX) buf_printf(&out, " and %d more", rows->count - NAMES_MAX);
    return buf_take(&out);
}

/* A query whose rows are names: none is ok, some are a finding. */
static void check_names(struct report *r, struct pg *pg, enum verdict verdict, const char *what,
                        const char *advice, const char *none, const char *sql, const char *const *params,
                        int count)
{
    struct pg_rows rows = {0};
    if (ask(r, pg, &rows, what, sql, params, count)) {
        char *names = join_names(&rows);
        if (rows.count)
            report_add(r, verdict, what, advice, "%s", names);
        else
            report_add(r, VERDICT_OK, what, NULL, "%s", none);
        mem_free(names);
    }
    pg_rows_free(&rows);
}

static void check_version(struct report *r, struct pg *pg)
{
    int version = pg_server_version(pg);
    bool known = version >= 130000 && version < 190000;
    report_add(r, known ? VERDICT_OK : version < 130000 ? VERDICT_BAD : VERDICT_WARN, "PostgreSQL",
               known ? NULL : "13 to 18 are tested; older ones are refused",
               "version %d.%d, database %s", version / 10000, version % 10000, pg_database(pg));
}

static void check_server(struct report *r, struct pg *pg)
{
    struct pg_rows rows = {0};
    if (ask(r, pg, &rows, "wal_level", "SELECT current_setting('wal_level'), pg_is_in_recovery()", NULL,
            0)) {
        const char *level = pg_text(&rows, 0, 0);
        bool logical = strcmp(level, "logical") == 0;
        report_add(r, logical ? VERDICT_OK : VERDICT_BAD, "wal_level",
                   logical ? NULL : "ALTER SYSTEM SET wal_level = logical; then restart PostgreSQL", "%s",
                   level);
        if (pg_bool(&rows, 0, 1))
            report_add(r, VERDICT_BAD, "standby", "name the primary in --source",
                       "this server is a standby");
    }
    pg_rows_free(&rows);
}

static void check_role(struct report *r, struct pg *pg)
{
    struct pg_rows rows = {0};
    if (ask(r, pg, &rows, "role",
            "SELECT rolname, rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = "
            "current_user",
            NULL, 0) &&
        rows.count) {
        bool may = pg_bool(&rows, 0, 1);
        struct buf advice = {0};
        buf_put_text(&advice, "ALTER ROLE ");
        pg_put_name(&advice, pg_slice(&rows, 0, 0));
        buf_put_text(&advice, " REPLICATION;");
        report_add(r, may ? VERDICT_OK : VERDICT_BAD, "role", may ? NULL : buf_text(&advice),
                   "%s %s replicate", pg_text(&rows, 0, 0), may ? "may" : "may not");
        buf_free(&advice);
    }
    pg_rows_free(&rows);
}

/* One place for our slot unless it is there, and one for the temporary slot of a copy or a check. */
static void check_places(struct report *r, struct pg *pg, const struct config *c)
{
    static const char sql[] =
        "SELECT current_setting('max_replication_slots')::int - (SELECT count(*) FROM "
        "pg_replication_slots),"
        " (SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1),"
        " current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication)";
    struct pg_rows rows = {0};
    const char *params[] = {c->slot};
    if (ask(r, pg, &rows, "slots", sql, params, 1)) {
        int64_t slots = pg_int(&rows, 0, 0), wanted = pg_int(&rows, 0, 1) ? 1 : 2,
                senders = pg_int(&rows, 0, 2);
        enum verdict verdict = slots >= wanted             ? VERDICT_OK
                               : slots == 0 && wanted == 2 ? VERDICT_BAD
                                                           : VERDICT_WARN;
        report_add(r, verdict, "max_replication_slots",
                   verdict ? "raise max_replication_slots and restart PostgreSQL, or drop slots nobody uses"
                           : NULL,
                   "%lld free, %lld wanted", (long long)slots, (long long)wanted);
        verdict = senders >= 2 ? VERDICT_OK : senders < 1 ? VERDICT_BAD : VERDICT_WARN;
        report_add(r, verdict, "max_wal_senders",
                   verdict ? "raise max_wal_senders and restart PostgreSQL" : NULL, "%lld free",
                   (long long)senders);
    }
    pg_rows_free(&rows);
}

static bool check_publication(struct report *r, struct pg *pg, const struct config *c)
{
    static const char sql[] = "SELECT puballtables, pubinsert AND pubupdate AND pubdelete AND pubtruncate,"
                              " (SELECT count(*) FROM pg_publication_tables t WHERE t.pubname = p.pubname)"
                              " FROM pg_publication p WHERE pubname = $1";
    const char *params[] = {c->publication};
    struct pg_rows rows = {0};
    bool found = ask(r, pg, &rows, "publication", sql, params, 1) && rows.count;
    if (found) {
        long long tables = (long long)pg_int(&rows, 0, 2);
        report_add(r, tables ? VERDICT_OK : VERDICT_BAD, "publication",
                   tables ? NULL : "ALTER PUBLICATION ... ADD TABLE ...;", "%s holds %lld tables%s",
                   c->publication, tables, pg_bool(&rows, 0, 0) ? " (all there are)" : "");
        if (!pg_bool(&rows, 0, 1))
            report_add(r, VERDICT_BAD, "publication",
                       "ALTER PUBLICATION ... SET (publish = 'insert, update, delete, truncate');",
                       "%s leaves out some kinds of change: the lake would differ from the shop",
                       c->publication);
    } else if (rows.handle) {
        report_add(r, VERDICT_BAD, "publication",
                   "millrace setup, or CREATE PUBLICATION ... FOR TABLE ...;", "%s does not exist",
                   c->publication);
    }
    pg_rows_free(&rows);
    return found;
}

#define PUBLISHED                                                                                          \
    " FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = t.schemaname"                        \
    " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename"                               \
    " WHERE t.pubname = $1"
#define NAME "format('%I.%I', t.schemaname, t.tablename)"
#define HAS_KEY "EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)"

/* Names of `tables` that the publication lacks. */
static void check_chosen(struct report *r, struct pg *pg, const struct config *c)
{
    const char *params[] = {c->publication, c->tables};
    if (*c->tables)
        check_names(
            r, pg, VERDICT_BAD, "setting tables", "ALTER PUBLICATION ... ADD TABLE ...;",
            "the publication holds each of them",
            "SELECT trim(w) FROM unnest(string_to_array($2, ',')) w WHERE trim(w) NOT IN"
            " (SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = $1)",
            params, 2);
}

static void check_tables(struct report *r, struct pg *pg, const struct config *c)
{
    const char *params[] = {c->publication};
    check_names(r, pg, VERDICT_BAD, "replica identity",
                "the shop's own UPDATE and DELETE on these fail: add a primary key, or"
                " ALTER TABLE ... REPLICA IDENTITY FULL;",
                "every published table can be updated",
                "SELECT " NAME PUBLISHED
                " AND (c.relreplident = 'n' OR (c.relreplident = 'd' AND NOT " HAS_KEY "))"
                " ORDER BY 1",
                params, 1);
    check_names(r, pg, VERDICT_WARN, "tables without key",
                "kept by the whole row's content; a primary key makes it cheaper and clearer", "none",
                "SELECT " NAME PUBLISHED " AND c.relreplident = 'f' AND NOT " HAS_KEY " ORDER BY 1", params,
                1);
    check_names(
        r, pg, VERDICT_BAD, "right to read", "GRANT SELECT ON ... TO the role;", "every published table",
        "SELECT " NAME PUBLISHED " AND NOT has_table_privilege(c.oid, 'SELECT') ORDER BY 1", params, 1);
    check_names(r, pg, VERDICT_BAD, "schemas", "GRANT USAGE ON SCHEMA ... TO the role;", "all can be used",
                "SELECT DISTINCT quote_ident(n.nspname)" PUBLISHED
                " AND NOT has_schema_privilege(n.oid, 'USAGE')"
                " ORDER BY 1",
                params, 1);
    check_names(
        r, pg, VERDICT_WARN, "not published", "ALTER PUBLICATION ... ADD TABLE ..., if they are wanted",
        "nothing is left out",
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.relpersistence = 'p'"
        " AND NOT c.relispartition AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
        " AND NOT EXISTS (SELECT FROM pg_publication_tables t WHERE t.pubname = $1"
        " AND t.schemaname = n.nspname AND t.tablename = c.relname) ORDER BY 1",
        params, 1);
    check_chosen(r, pg, c);
}

static void report_slot(struct report *r, const struct pg_rows *s, const struct config *c, long holder)
{
    if (!pg_bool(s, 0, 0)) {
        report_add(r, VERDICT_BAD, "slot", "choose another name with --slot",
                   "%s is of another plugin or database", c->slot);
        return;
    }
    const char *status = pg_text(s, 0, 3);
    if (status && strcmp(status, "lost") == 0) {
        report_add(r, VERDICT_BAD, "slot", "raise max_slot_wal_keep_size, then: millrace resync --slot",
                   "%s is lost: PostgreSQL has removed what it had not sent yet", c->slot);
        return;
    }
    if (status && strcmp(status, "unreserved") == 0)
        report_add(r, VERDICT_BAD, "slot", "run at once, and raise max_slot_wal_keep_size",
                   "%s will be lost at the next checkpoint", c->slot);
    bool active = pg_bool(s, 0, 1);
    if (active && !holder)
        report_add(r, VERDICT_WARN, "slot",
                   "another millrace reads it; stop that one, or choose another --slot",
                   "%s is in use by PostgreSQL's process %s", c->slot, pg_text(s, 0, 2));
    else
        report_add(r, VERDICT_OK, "slot", NULL, "%s, %s", c->slot, active ? "in use" : "waiting for a run");
    double retained_mb = (double)pg_int(s, 0, 4) / 1e6;
    bool much = retained_mb > 1000;
    report_add(r, much ? VERDICT_WARN : VERDICT_OK, "kept for the slot",
               much ? "run, so that PostgreSQL may remove it; watch the disk of the shop" : NULL,
               "%.1f MB of WAL", retained_mb);
}

static void check_slot(struct report *r, struct pg *pg, const struct config *c, long holder)
{
    static const char sql[] =
        "SELECT plugin = 'pgoutput' AND database = current_database(), active, active_pid, wal_status,"
        " CASE WHEN pg_is_in_recovery() THEN 0"
        "      ELSE coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint END"
        " FROM pg_replication_slots WHERE slot_name = $1";
    const char *params[] = {c->slot};
    struct pg_rows rows = {0};
    if (ask(r, pg, &rows, "slot", sql, params, 1)) {
        if (rows.count)
            report_slot(r, &rows, c, holder);
        else
            report_add(r, VERDICT_OK, "slot", NULL, "%s will be made", c->slot);
    }
    pg_rows_free(&rows);
}

void doctor_source(struct report *r, const struct config *c, long holder)
{
    if (!*c->source) {
        report_add(r, VERDICT_WARN, "PostgreSQL",
                   "--source postgres://user@host/database, or MILLRACE_SOURCE", "no source is named");
        return;
    }
    struct error err;
    struct pg *pg;
    struct buf address = {0};
    config_put_source(c->source, &address);
    if (!pg_connect(&pg, c->source, PG_PLAIN, NULL, &err)) {
        report_add(r, VERDICT_BAD, "PostgreSQL", "look at address, password, pg_hba.conf and firewall",
                   "%s: %s", buf_text(&address), err.text);
        buf_free(&address);
        return;
    }
    buf_free(&address);
    check_version(r, pg);
    check_server(r, pg);
    check_role(r, pg);
    check_places(r, pg, c);
    if (check_publication(r, pg, c)) check_tables(r, pg, c);
    check_slot(r, pg, c, holder);
    pg_close(pg);
}
