#include "cli/load.h"

#include "base/assets.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/load_files.h"
#include "net/pg.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 16, PUT_BYTES = 1 << 18 };

/* --- reading --- */

/* Feeds a whole file to the parser; done (may be NULL) is told how many bytes are read. */
static bool read_csv(const char *path, csv_each *each, void *arg, void (*done)(void *, int64_t),
                     struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_errno(err, "cannot open %s", path);
    struct csv *csv = mem_alloc(sizeof *csv);
    csv_init(csv);
    char *piece = mem_alloc(PIECE_BYTES);
    bool ok = true;
    int64_t total = 0;
    for (;;) {
        ssize_t n = read(fd, piece, PIECE_BYTES);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) ok = error_errno(err, "cannot read");
        if (n <= 0 || !(ok = csv_feed(csv, (struct slice){piece, (size_t)n}, each, arg, err))) break;
        total += n;
        if (done) done(arg, total);
    }
    ok = ok && csv_end(csv, each, arg, err);
    csv_free(csv);
    mem_free(csv);
    mem_free(piece);
    close(fd);
    const char *name = strrchr(path, '/');
    return ok || error_wrap(err, "%s", name ? name + 1 : path);
}

/* --- one file --- */

struct loading {
    struct pg *pg;
    const struct load_file *file;
    const struct load_options *options;
    int64_t shift_days, rows, skipped;
    int64_t size_bytes, shown_us;
    bool seen_header, terminal;
    struct buf copy;
    FILE *bad;
};

static void show_progress(void *arg, int64_t bytes)
{
    struct loading *l = arg;
    int64_t now_us = clock_mono_us();
    if (!l->terminal || now_us - l->shown_us < 100000) return;
    l->shown_us = now_us;
    int percent = l->size_bytes ? (int)(bytes * 100 / l->size_bytes) : 100, marks = percent / 4;
    printf("\r  %-34s [%-25.*s] %3d %%", l->file->table, marks, "#########################", percent);
    fflush(stdout);
}

static bool put_aside(struct loading *l, const struct csv_record *r, const struct error *why)
{
    struct buf line = {0};
    buf_printf(&line, "%s:%lld: %s: ", l->file->name, (long long)r->line, why->text);
    for (size_t i = 0; i < r->count; i++) {
        if (i) buf_put_char(&line, ',');
        buf_put_json(&line, csv_text(r, i));
    }
    buf_put_char(&line, '\n');
    l->skipped++;
    bool ok = fwrite(line.data, 1, line.len, l->bad) == line.len;
    buf_free(&line);
    return ok;
}

static bool take_record(void *arg, const struct csv_record *record, struct error *err)
{
    struct loading *l = arg;
    if (!l->seen_header) {
        l->seen_header = true;
        return load_check_header(l->file, record, err);
    }
    if (!load_put_record(l->file, record, l->shift_days, &l->copy, err)) {
        if (l->bad && err->kind == ERROR_DATA)
            return put_aside(l, record, err) || error_errno(err, "cannot write %s", l->options->skip_bad);
        return error_wrap(err, "line %lld", (long long)record->line);
    }
    l->rows++;
    if (l->copy.len < PUT_BYTES) return true;
    bool ok = pg_copy_in_put(l->pg, buf_slice(&l->copy), err);
    buf_clear(&l->copy);
    return ok;
}

static void put_columns(const struct load_file *file, struct buf *sql)
{
    for (size_t i = 0; i < load_file_columns(file); i++)
        buf_printf(sql, "%s%s", i ? ", " : "", file->columns[i].name);
}

static bool copy_file(struct loading *l, const char *path, struct error *err)
{
    struct buf sql = {0};
    buf_printf(&sql, "CREATE TEMPORARY TABLE loading ON COMMIT DROP AS SELECT ");
    put_columns(l->file, &sql);
    buf_printf(&sql, " FROM %s WITH NO DATA", l->file->table);
    bool ok =
        pg_run(l->pg, buf_text(&sql), err) && pg_copy_in_begin(l->pg, "COPY loading FROM STDIN", err) &&
        read_csv(path, take_record, l, show_progress, err) &&
        (l->copy.len == 0 || pg_copy_in_put(l->pg, buf_slice(&l->copy), err)) && pg_copy_in_end(l->pg, err);
    buf_free(&sql);
    return ok;
}

/* Rows that are there already stay as they are; *added tells how many are new. */
static bool move_rows(struct loading *l, int64_t *added, struct error *err)
{
    struct buf sql = {0};
    buf_printf(&sql, "WITH moved AS (INSERT INTO %s (", l->file->table);
    put_columns(l->file, &sql);
    buf_put_text(&sql, ") SELECT ");
    put_columns(l->file, &sql);
    buf_put_text(&sql, " FROM loading ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM moved");
    struct pg_rows rows;
    bool ok = pg_query(l->pg, &rows, buf_text(&sql), NULL, 0, err);
    if (ok) *added = pg_int(&rows, 0, 0);
    pg_rows_free(&rows);
    buf_free(&sql);
    return ok;
}

static bool is_empty(struct pg *pg, const char *table, bool *empty, struct error *err)
{
    char sql[120];
    snprintf(sql, sizeof sql, "SELECT NOT EXISTS (SELECT FROM %s)", table);
    struct pg_rows rows;
    bool ok = pg_query(pg, &rows, sql, NULL, 0, err);
    if (ok) *empty = pg_bool(&rows, 0, 0);
    pg_rows_free(&rows);
    return ok;
}

static bool load_in_transaction(struct loading *l, const char *path, int64_t *added, struct error *err)
{
    return pg_run(l->pg, "BEGIN", err) && copy_file(l, path, err) && move_rows(l, added, err) &&
           pg_run(l->pg, "COMMIT", err);
}

static bool load_file(struct loading *l, const char *folder, struct error *err)
{
    char *path = mem_format("%s/%s", folder, l->file->name);
    struct stat info;
    l->size_bytes = stat(path, &info) == 0 ? info.st_size : 0;
    bool empty = true;
    int64_t added = 0;
    bool ok = !l->file->no_key || is_empty(l->pg, l->file->table, &empty, err);
    if (ok && empty) ok = load_in_transaction(l, path, &added, err);
    mem_free(path);
    buf_free(&l->copy);
    if (!ok) return false;
    if (l->terminal) printf("\r");
    if (!empty)
        printf("  %-34s has rows already and no key of its own: left as it is%12s\n", l->file->table, "");
    else if (added == l->rows)
        printf("  %-34s %9lld rows%30s\n", l->file->table, (long long)added, "");
    else
        printf("  %-34s %9lld rows, %lld were there already%6s\n", l->file->table, (long long)added,
               (long long)(l->rows - added), "");
    if (l->skipped)
        printf("  %-34s %9lld bad records put aside in %s\n", "", (long long)l->skipped,
               l->options->skip_bad);
    fflush(stdout);
    return true;
}

/* --- the whole folder --- */

struct newest {
    bool seen_header;
    size_t column;
    int64_t days;
};

static bool find_newest(void *arg, const struct csv_record *record, struct error *err)
{
    (void)err; /* a wrong record is reported when the file is loaded */
    struct newest *n = arg;
    int64_t days;
    const char *rest;
    if (!n->seen_header) {
        n->seen_header = true;
        for (size_t i = 0; i < record->count; i++)
            if (slice_equal(csv_text(record, i), SLICE("order_purchase_timestamp"))) n->column = i;
    } else if (n->column < record->count && load_parse_time(csv_text(record, n->column), &days, &rest) &&
               days > n->days) {
        n->days = days;
    }
    return true;
}

/* Today's date where the shop is. */
static int64_t today(struct pg *pg, const char *zone, struct error *err)
{
    const char *params[] = {zone && zone[0] ? zone : "America/Sao_Paulo"};
    struct pg_rows rows;
    int64_t days = -1;
    if (pg_query(pg, &rows, "SELECT (now() AT TIME ZONE $1)::date - '1970-01-01'::date", params, 1, err))
        days = pg_int(&rows, 0, 0);
    pg_rows_free(&rows);
    return days;
}

static bool find_shift(struct pg *pg, const char *folder, const struct load_options *options,
                       int64_t *shift, struct error *err)
{
    *shift = options->shift_days;
    if (!options->end_yesterday) return true;
    struct newest newest = {.days = INT64_MIN};
    char *path = mem_format("%s/olist_orders_dataset.csv", folder);
    bool ok = read_csv(path, find_newest, &newest, NULL, err);
    mem_free(path);
    int64_t now = ok ? today(pg, options->timezone, err) : -1;
    if (now < 0) return false;
    if (newest.days != INT64_MIN) *shift = now - 1 - newest.days;
    return true;
}

static bool create_tables(struct pg *pg, struct error *err)
{
    const struct asset *sql = asset_find("sql/source/01_tables.sql");
    return pg_run(pg, sql->data, err) || error_wrap(err, "creating the shop's tables");
}

/* ./data/olist, ../../data/olist of the program (build/release), ../share/millrace/olist of it. */
static char *find_sample(void)
{
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(program, '/');
    if (slash) *slash = '\0';
    char *places[] = {mem_text("data/olist"), mem_format("%s/../../data/olist", program),
                      mem_format("%s/../share/millrace/olist", program)};
    char *found = NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (!found && file_exists(places[i]))
            found = places[i];
        else
            mem_free(places[i]);
    }
    return found;
}

static bool load_all(struct pg *pg, const char *folder, const struct load_options *options, FILE *bad,
                     struct error *err)
{
    int64_t shift = 0;
    if (options->create && !create_tables(pg, err)) return false;
    if (!find_shift(pg, folder, options, &shift, err)) return false;
    for (const struct load_file *f = load_files; f->table; f++) {
        struct loading l = {.pg = pg,
                            .file = f,
                            .options = options,
                            .shift_days = shift,
                            .bad = bad,
                            .terminal = isatty(STDOUT_FILENO) == 1};
        if (!load_file(&l, folder, err)) return false;
    }
    /* so that what is joined next is planned from what is there */
    return pg_run(pg, "ANALYZE", err);
}

bool load_directory(const char *source, const char *folder, const struct load_options *options,
                    struct error *err)
{
    char *found = folder ? mem_text(folder) : find_sample();
    if (!found)
        return error_set(err, ERROR_CONFIG,
                         "the sample was not found (./data/olist, or beside the program); name its folder");
    struct pg *pg = NULL;
    FILE *bad = options->skip_bad ? fopen(options->skip_bad, "we") : NULL;
    bool ok = !options->skip_bad || bad || error_errno(err, "cannot write %s", options->skip_bad);
    ok = ok && pg_connect(&pg, source, PG_PLAIN, NULL, err) && load_all(pg, found, options, bad, err);
    if (bad && fclose(bad) && ok) ok = error_errno(err, "cannot write %s", options->skip_bad);
    pg_close(pg);
    mem_free(found);
    return ok;
}

/* --- the command --- */

static int run_load(struct cli *cli)
{
    struct load_options options = {.timezone = cli->config.timezone};
    options.skip_bad = cli_option(cli, "skip-bad");
    options.create = cli_flag(cli, "create");
    options.end_yesterday = cli_flag(cli, "end-yesterday");
    const char *shift = cli_option(cli, "shift-days");
    if (!cli_arguments(cli, 0, 1)) return CLI_USAGE;
    if (shift) {
        char *end;
        options.shift_days = strtoll(shift, &end, 10);
        if (*end || end == shift || options.shift_days > 1000000 || options.shift_days < -1000000)
            return cli_wrong(cli, "--shift-days takes a number of days, not '%s'", shift);
    }
    if (!cli->config.source[0])
        return cli_wrong(cli, "no source is named; give --source postgres://user@host/database");
    struct error err = {0};
    return load_directory(cli->config.source, cli->argv[1], &options, &err) ? CLI_OK : cli_fail(&err);
}

const struct command command_load = {
    .name = "load",
    .summary = "Load the Olist CSV files into the shop's tables\n"
               "One transaction for each file; rows that are there already stay, so it can be run again.",
    .usage = "load [DIR] [--create] [--end-yesterday | --shift-days N] [--skip-bad FILE]",
    .example = "millrace load data/olist --create --source postgres://shop@localhost/shop",
    .options = {{"create", NULL, "make the tables first when they are missing"},
                {"end-yesterday", NULL, "move all times so that the newest order was placed yesterday"},
                {"shift-days", "N", "move all times by N days"},
                {"skip-bad", "FILE", "write bad records with their reason to FILE and go on"}},
    .run = run_load,
};
