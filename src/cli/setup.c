/* `setup`: what PostgreSQL must have before a first run: a publication, a role that may stream and read,
 * and on tables without a key a replica identity (or their updates would fail once they are published).
 *
 *   look at the source --> only the statements that are missing --> [--sql] printed, [else] run as one
 *                                                     [--capture debezium] --> the connector
 * (setup_debezium.c)
 *
 * 1. Running it again changes nothing. What was set up by hand stays: a publication that exists only gets
 *    tables that --tables names.
 * 2. The server's own settings are never changed from here: wal_level needs a restart that is not ours. */
#include "base/assets.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/setup_int.h"
#include "net/pg.h"

#include <stdio.h>
#include <sys/stat.h>

struct setup {
    const struct config *config;
    const char *role;
    bool only_sql;
    bool debezium, with_password;
    const char *output; /* the connector's file; NULL: stdout, and what else is said goes to stderr */
    struct pg *pg;
    struct buf sql; /* the statements that are missing */
    bool publication_there, role_there, logical;
    bool may_create_role;
};

static bool ask(struct setup *s, struct pg_rows *rows, const char *sql, const char *const *params,
                int count, struct error *err)
{
    return pg_query(s->pg, rows, sql, params, count, err) || error_wrap(err, "looking at the source");
}

/* --- what is there --- */

static bool look(struct setup *s, struct error *err)
{
    static const char sql[] = "SELECT current_setting('wal_level') = 'logical', EXISTS (SELECT FROM "
                              "pg_publication WHERE pubname = $1),"
                              " EXISTS (SELECT FROM pg_roles WHERE rolname = $2),"
                              " (SELECT rolsuper OR (rolcreaterole AND rolreplication AND "
                              "current_setting('server_version_num')::int >="
                              " 160000) FROM pg_roles WHERE rolname = current_user)";
    const char *params[] = {s->config->publication, s->role};
    struct pg_rows rows = {0};
    bool ok = ask(s, &rows, sql, params, 2, err);
    if (ok) {
        s->logical = pg_bool(&rows, 0, 0);
        s->publication_there = pg_bool(&rows, 0, 1);
        s->role_there = pg_bool(&rows, 0, 2);
        s->may_create_role = pg_bool(&rows, 0, 3);
    }
    pg_rows_free(&rows);
    return ok;
}

/* schema, table, key lacks, is published, is ours, role may read, role may use the schema */
enum { SCHEMA, TABLE, NO_KEY, PUBLISHED, OURS, READABLE, USABLE };
static const char tables_sql[] =
    "SELECT n.nspname, c.relname, c.relreplident = 'n' OR (c.relreplident = 'd' AND NOT EXISTS"
    " (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)),"
    " EXISTS (SELECT FROM pg_publication_tables t WHERE t.pubname = $1 AND t.schemaname = n.nspname"
    " AND t.tablename = c.relname), pg_has_role(c.relowner, 'USAGE'),"
    " coalesce((SELECT has_table_privilege(r.oid, c.oid, 'SELECT') FROM pg_roles r WHERE r.rolname = $2), "
    "false),"
    " coalesce((SELECT has_schema_privilege(r.oid, n.oid, 'USAGE') FROM pg_roles r WHERE r.rolname = $2), "
    "false)"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND NOT c.relispartition"
    " AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
    " AND CASE WHEN $3 <> '' THEN n.nspname || '.' || c.relname IN"
    "   (SELECT trim(w) FROM unnest(string_to_array($3, ',')) w)"
    /* without a choice: what is published, or else everything */
    " ELSE NOT EXISTS (SELECT FROM pg_publication WHERE pubname = $1) OR EXISTS (SELECT FROM"
    "   pg_publication_tables t WHERE t.pubname = $1 AND t.schemaname = n.nspname AND t.tablename = "
    "c.relname) END"
    " ORDER BY 1, 2";

static bool check_chosen(struct setup *s, const struct pg_rows *tables, struct error *err)
{
    const char *params[] = {s->config->tables};
    struct pg_rows rows = {0};
    bool ok =
        ask(s, &rows,
            "SELECT trim(w) FROM unnest(string_to_array($1, ',')) w WHERE to_regclass(trim(w)) IS NULL",
            params, 1, err);
    if (ok && rows.count) ok = error_set(err, ERROR_CONFIG, "there is no table %s", pg_text(&rows, 0, 0));
    pg_rows_free(&rows);
    if (ok && !tables->count)
        ok = error_set(err, ERROR_CONFIG,
                       "%s has no table to capture; make the tables first (for the sample shop: "
                       "millrace load --create)",
                       pg_database(s->pg));
    return ok;
}

/* A publication wants the owner of each table. */
static bool check_rights(const struct setup *s, const struct pg_rows *tables, struct error *err)
{
    if (!s->role_there && !s->may_create_role)
        return error_set(err, ERROR_CONFIG,
                         "this user may not create the role %s; run this as a superuser, or let one "
                         "run what millrace setup --sql prints",
                         s->role);
    for (int i = 0; i < tables->count; i++)
        if (!pg_bool(tables, i, OURS) && (pg_bool(tables, i, NO_KEY) || !pg_bool(tables, i, PUBLISHED)))
            return error_set(err, ERROR_CONFIG,
                             "this user does not own %s.%s; run this as the owner, or let the owner "
                             "run what millrace setup --sql prints",
                             pg_text(tables, i, SCHEMA), pg_text(tables, i, TABLE));
    return true;
}

/* --- what is missing --- */

static void put_table(struct buf *sql, const struct pg_rows *tables, int i)
{
    pg_put_name(sql, pg_slice(tables, i, SCHEMA));
    buf_put_char(sql, '.');
    pg_put_name(sql, pg_slice(tables, i, TABLE));
}

/* Lists the tables of which the column is not true; head before the first, nothing at all without any. */
static bool put_missing(struct buf *sql, const struct pg_rows *tables, int column, const char *head)
{
    bool any = false;
    for (int i = 0; i < tables->count; i++) {
        if (pg_bool(tables, i, column)) continue;
        buf_put_text(sql, any ? ",\n    " : head);
        put_table(sql, tables, i);
        any = true;
    }
    return any;
}

static void put_publication(struct setup *s, const struct pg_rows *tables)
{
    struct buf head = {0};
    buf_put_text(&head, s->publication_there ? "ALTER PUBLICATION " : "CREATE PUBLICATION ");
    pg_put_name(&head, slice_of(s->config->publication));
    buf_put_text(&head, s->publication_there ? " ADD TABLE\n    " : " FOR TABLE\n    ");
    if (put_missing(&s->sql, tables, PUBLISHED, buf_text(&head)))
        buf_put_text(&s->sql, s->publication_there
                                  ? ";\n"
                                  : "\n    WITH (publish = 'insert, update, delete, truncate');\n");
    buf_free(&head);
}

static void put_role(struct setup *s)
{
    if (s->role_there) return;
    buf_put_text(&s->sql, "CREATE ROLE ");
    pg_put_name(&s->sql, slice_of(s->role));
    buf_put_text(&s->sql,
                 " LOGIN REPLICATION\n    NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS "
                 "CONNECTION LIMIT 16;\n");
}

static void put_to_role(struct setup *s)
{
    buf_put_text(&s->sql, " TO ");
    pg_put_name(&s->sql, slice_of(s->role));
    buf_put_text(&s->sql, ";\n");
}

static void put_grants(struct setup *s, const struct pg_rows *tables)
{
    for (int i = 0; i < tables->count; i++) {
        bool seen = i > 0 && slice_equal(pg_slice(tables, i, SCHEMA), pg_slice(tables, i - 1, SCHEMA));
        if (seen || pg_bool(tables, i, USABLE)) continue;
        buf_put_text(&s->sql, "GRANT USAGE ON SCHEMA ");
        pg_put_name(&s->sql, pg_slice(tables, i, SCHEMA));
        put_to_role(s);
    }
    if (put_missing(&s->sql, tables, READABLE, "GRANT SELECT ON\n    ")) put_to_role(s);
}

static void put_statements(struct setup *s, const struct pg_rows *tables)
{
    for (int i = 0; i < tables->count; i++) {
        if (!pg_bool(tables, i, NO_KEY)) continue;
        buf_put_text(&s->sql, "ALTER TABLE ");
        put_table(&s->sql, tables, i);
        buf_put_text(&s->sql,
                     " REPLICA IDENTITY FULL; -- without a primary key, updates of it would fail\n");
    }
    put_publication(s, tables);
    put_role(s);
    put_grants(s, tables);
}

/* --- doing it --- */

static bool print_sql(struct setup *s, struct error *err)
{
    struct buf out = {0};
    if (!s->logical)
        buf_put_text(
            &out, "ALTER SYSTEM SET wal_level = 'logical'; -- by a superuser; then restart PostgreSQL\n");
    if (s->sql.len) {
        buf_put_text(&out, "BEGIN;\n");
        buf_put_slice(&out, buf_slice(&s->sql));
        buf_put_text(&out, "COMMIT;\n");
    }
    if (!out.len) buf_put_text(&out, "-- nothing is missing\n");
    bool ok = cli_print(buf_slice(&out), err);
    buf_free(&out);
    return ok;
}

static bool run_sql(struct setup *s, struct error *err)
{
    FILE *said = s->debezium && !s->output ? stderr : stdout;
    if (s->sql.len) {
        fputs(buf_text(&s->sql), said);
        if (!pg_run(s->pg, buf_text(&s->sql), err)) return error_wrap(err, "nothing was changed");
    } else {
        fputs("Nothing is missing.\n", said);
    }
    if (!s->role_there)
        fprintf(said,
                "\nGive the role a password, and let it in for replication in pg_hba.conf:\n"
                "  ALTER ROLE \"%s\" PASSWORD '...';\n",
                s->role);
    fflush(said);
    if (s->logical) return true;
    return error_set(err, ERROR_CONFIG,
                     "one thing is left: wal_level is below logical; run "
                     "ALTER SYSTEM SET wal_level = 'logical'; and restart PostgreSQL");
}

/* It may hold a password: only this user reads it. */
static bool write_private(const char *path, struct slice text, struct error *err)
{
    mode_t before = umask(077);
    bool ok = file_write_atomic(path, text, err);
    umask(before);
    return ok;
}

static bool write_connector(struct setup *s, const char *tables, struct error *err)
{
    struct connector_form form = {.config = s->config,
                                  .role = s->role,
                                  .tables = tables,
                                  .publication = s->config->source[0] != '\0',
                                  .with_password = s->with_password};
    struct buf out = {0};
    bool ok =
        setup_put_connector(&form, &out, err) &&
        (s->output ? write_private(s->output, buf_slice(&out), err) : cli_print(buf_slice(&out), err));
    buf_free(&out);
    return ok;
}

static bool put_connector(struct setup *s, const struct pg_rows *tables, struct error *err)
{
    struct buf list = {0};
    for (int i = 0; i < tables->count; i++)
        buf_printf(&list, "%s%s.%s", i ? "," : "", pg_text(tables, i, SCHEMA), pg_text(tables, i, TABLE));
    bool ok = write_connector(s, buf_text(&list), err);
    buf_free(&list);
    return ok;
}

static bool set_up(struct setup *s, struct error *err)
{
    const char *params[] = {s->config->publication, s->role, s->config->tables};
    struct pg_rows tables = {0};
    bool ok = pg_connect(&s->pg, s->config->source, PG_PLAIN, NULL, err) && look(s, err) &&
              ask(s, &tables, tables_sql, params, 3, err) && check_chosen(s, &tables, err) &&
              (s->only_sql || check_rights(s, &tables, err));
    if (ok) {
        put_statements(s, &tables);
        ok = s->only_sql ? print_sql(s, err) : run_sql(s, err);
        if (ok && s->debezium) ok = put_connector(s, &tables, err);
    }
    pg_rows_free(&tables);
    pg_close(s->pg);
    buf_free(&s->sql);
    return ok;
}

/* Nobody to ask: the statements for the sample shop. */
static bool print_shipped(struct error *err)
{
    return cli_print(slice_of(asset_find("sql/source/02_publication.sql")->data), err) &&
           cli_print(slice_of(asset_find("sql/source/03_role.sql")->data), err);
}

/* Takes the options; false after saying what is wrong with the call. */
static bool take_options(struct cli *cli, struct setup *s)
{
    s->only_sql = cli_flag(cli, "sql");
    s->with_password = cli_flag(cli, "with-password");
    s->output = cli_option(cli, "output");
    const char *role = cli_option(cli, "role"), *capture = cli_option(cli, "capture");
    s->role = role ? role : "millrace";
    s->debezium = capture && strcmp(capture, "debezium") == 0;
    if (!cli_arguments(cli, 0, 0)) return false;
    const char *wrong = NULL;
    if (capture && !s->debezium && strcmp(capture, "millrace") != 0)
        wrong = "--capture is millrace or debezium";
    else if (!s->debezium && (s->output || s->with_password))
        wrong = "--output and --with-password are for the connector of --capture debezium";
    else if (s->debezium && s->only_sql && !s->output)
        wrong = "--sql and the connector cannot both go to stdout; give --output FILE";
    else if (!s->config->source[0] && !s->only_sql)
        wrong = "no source is named; give --source postgres://owner@host/database";
    if (wrong) cli_wrong(cli, "%s", wrong);
    return !wrong;
}

static int run_setup(struct cli *cli)
{
    struct setup s = {.config = &cli->config};
    if (!take_options(cli, &s)) return CLI_USAGE;
    struct error err = {0};
    bool ok = cli->config.source[0]
                  ? set_up(&s, &err)
                  : print_shipped(&err) && (!s.debezium || write_connector(&s, s.config->tables, &err));
    return ok ? CLI_OK : cli_fail(&err);
}

const struct command command_setup = {
    .name = "setup",
    .summary = "Prepare PostgreSQL for capture: publication, role and rights\n"
               "As the tables' owner (and a superuser for the role). Only what is missing is done; --sql "
               "prints it.",
    .usage = "setup [--sql] [--role NAME] [--capture debezium [--output FILE] [--with-password]]",
    .example = "millrace setup --sql --source postgres://postgres@db.example/shop\n"
               "millrace setup --tables public.orders,public.customers --source "
               "postgres://postgres@db.example/shop\n"
               "millrace setup --capture debezium --output connector.json --source "
               "postgres://postgres@db.example/shop",
    .options = {{"sql", NULL,
                 "print the statements instead of running them (without --source: the sample shop's)"},
                {"role", "NAME", "the role that capture will connect as (default millrace)"},
                {"capture", "WHO",
                 "millrace (default), or debezium: write its connector for Kafka Connect too"},
                {"output", "FILE", "where to write the connector (default: stdout, the rest to stderr)"},
                {"with-password", NULL,
                 "put the password of --source into the connector (default: ${MILLRACE_SOURCE_PASSWORD})"}},
    .run = run_setup,
};
