/* A private PostgreSQL for tests: its own folder, a socket in it, no TCP port. As root it runs under the
 * user postgres. MILLRACE_PG_BIN names the folder of its programs. */
#ifndef MILLRACE_TESTS_PG_LAB_H
#define MILLRACE_TESTS_PG_LAB_H

#include "unit.h"

#include "base/clock.h"
#include "net/pg.h"

#include <sys/stat.h>
#include <unistd.h>

static char *lab_folder;

static inline const char *lab_bin(void)
{
    const char *bin = getenv("MILLRACE_PG_BIN");
    return bin ? bin : "/usr/lib/postgresql/15/bin";
}

/* Runs one of PostgreSQL's programs; its output goes to <folder>/log. */
static inline int lab_run(const char *program, const char *arguments)
{
    char *command = mem_format("cd %s && %s %s/%s %s >> %s/log 2>&1", lab_folder,
                               geteuid() == 0 ? "runuser -u postgres --" : "", lab_bin(), program,
                               arguments, lab_folder);
    int status = system(command);
    mem_free(command);
    return status;
}

static inline void lab_server_up(void)
{
    if (lab_run("pg_ctl", "-D data -w -t 30 -l log start") != 0)
        fail_msg("PostgreSQL does not start; see %s/log", lab_folder);
}

static inline void lab_server_down(const char *mode)
{
    char *arguments = mem_format("-D data -m %s -w -t 30 stop", mode);
    int status = lab_run("pg_ctl", arguments);
    mem_free(arguments);
    if (status != 0) fail_msg("PostgreSQL does not stop (%s); see %s/log", mode, lab_folder);
}

static inline int lab_start(void **state)
{
    (void)state;
    lab_folder = unit_folder();
    char *prepare = mem_format("touch %s/log; %s chown -R postgres %s", lab_folder,
                               geteuid() == 0 ? "" : "true", lab_folder);
    if (system(prepare) != 0) return -1;
    mem_free(prepare);
    if (lab_run("initdb", "-D data -U postgres -A trust -N --locale=C.UTF-8") != 0) return -1;
    char *conf = mem_format(
        "cat >> %s/data/postgresql.conf << end\n"
        "listen_addresses = ''\nunix_socket_directories = '%s'\nwal_level = logical\nfsync = off\n"
        "max_replication_slots = 30\nmax_wal_senders = 30\nlogical_decoding_work_mem = '64kB'\n"
        "autovacuum = off\nTimeZone = 'Asia/Tokyo'\nDateStyle = 'German'\nend\n",
        lab_folder, lab_folder);
    int status = system(conf);
    mem_free(conf);
    if (status != 0) return -1;
    lab_server_up();
    return 0;
}

static inline int lab_stop(void **state)
{
    (void)state;
    lab_run("pg_ctl", "-D data -m immediate -w stop");
    unit_folder_remove(lab_folder);
    return 0;
}

static inline char *lab_source(const char *database)
{
    return mem_format("host=%s user=postgres dbname=%s", lab_folder, database);
}

static inline struct pg *lab_connect(const char *database)
{
    struct error err = {0};
    struct pg *pg = NULL;
    char *source = lab_source(database);
    unit_ok(pg_connect(&pg, source, PG_PLAIN, NULL, &err));
    mem_free(source);
    return pg;
}

static inline void lab_sql(struct pg *pg, const char *sql)
{
    struct error err = {0};
    if (!pg_run(pg, sql, &err)) fail_msg("%s: %s", sql, err.text);
}

/* The first value of the first row, mem_*. */
static inline char *lab_value(struct pg *pg, const char *sql)
{
    struct error err = {0};
    struct pg_rows rows;
    if (!pg_query(pg, &rows, sql, NULL, 0, &err)) fail_msg("%s: %s", sql, err.text);
    char *value = rows.count ? mem_text(pg_text(&rows, 0, 0)) : NULL;
    pg_rows_free(&rows);
    return value;
}

/* Waits for a condition, looked at every millisecond. */
#define lab_wait(condition)                                                                                \
    do {                                                                                                   \
        int64_t until_us_ = clock_mono_us() + 30000000;                                                    \
        while (!(condition)) {                                                                             \
            if (clock_mono_us() > until_us_) fail_msg("waited in vain for: %s", #condition);               \
            clock_sleep_us(1000);                                                                          \
        }                                                                                                  \
    } while (0)

#endif
