/* The part of libchdb's C interface (26.7) that the engine uses, and how it is found. Private to
 * engine/: nothing else includes this file. The package holds no header; these are the shapes of its
 * exported functions, each kept under its name without the prefix chdb_. */
#ifndef MILLRACE_ENGINE_CHDB_H
#define MILLRACE_ENGINE_CHDB_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct chdb_conn;   /* what a connection handle points to */
struct chdb_result;
struct chdb_insert;

enum { CHDB_OK = 0 };

enum chdb_class { CHDB_READ_ONLY, CHDB_MUTATING, CHDB_MUTATING_GLOBAL, CHDB_CONTROL, CHDB_UNKNOWN };
enum { CHDB_FLAG_SECRETS = 1 };

struct chdb_analysis {
    uint32_t struct_size; /* set by the caller: the library fills what fits */
    uint32_t statement_count, flags, query_class;
};

struct chdb {
    void (*set_signal_handlers_enabled)(int on);
    int (*shutdown)(void);
    struct chdb_conn **(*connect)(int argc, char **argv); /* a place that holds the handle */
    void (*close_conn)(struct chdb_conn **conn);

    struct chdb_result *(*query_n)(struct chdb_conn *, const char *sql, size_t sql_len,
                                   const char *format, size_t format_len);
    struct chdb_result *(*query_with_params_n)(struct chdb_conn *, const char *sql, size_t sql_len,
                                               const char *format, size_t format_len,
                                               const char *const *names, const size_t *name_lens,
                                               const char *const *values, const size_t *value_lens,
                                               size_t count);
    struct chdb_result *(*stream_query_with_params_n)(struct chdb_conn *, const char *sql, size_t sql_len,
                                                      const char *format, size_t format_len,
                                                      const char *const *names, const size_t *name_lens,
                                                      const char *const *values,
                                                      const size_t *value_lens, size_t count);
    struct chdb_result *(*stream_query_n)(struct chdb_conn *, const char *sql, size_t sql_len,
                                          const char *format, size_t format_len);
    struct chdb_result *(*stream_fetch_result)(struct chdb_conn *, struct chdb_result *stream);
    void (*stream_cancel_query)(struct chdb_conn *, struct chdb_result *stream);

    char *(*result_buffer)(struct chdb_result *);
    size_t (*result_length)(struct chdb_result *);
    const char *(*result_error)(struct chdb_result *); /* NULL: none */
    uint64_t (*result_rows_read)(struct chdb_result *);
    uint64_t (*result_storage_rows_read)(struct chdb_result *);
    uint64_t (*result_storage_bytes_read)(struct chdb_result *);
    uint64_t (*result_rows_written)(struct chdb_result *);
    void (*destroy_query_result)(struct chdb_result *);

    struct chdb_insert *(*stream_insert_n)(struct chdb_conn *, const char *sql, size_t sql_len,
                                           const char *format, size_t format_len); /* never NULL */
    int (*stream_append)(struct chdb_insert *, const void *data, size_t len);
    struct chdb_result *(*stream_done)(struct chdb_insert *);
    void (*stream_cancel_insert)(struct chdb_insert *);
    const char *(*stream_insert_error)(struct chdb_insert *);
    void (*destroy_insert_stream)(struct chdb_insert *);

    int (*classify_query_n)(struct chdb_conn *, const char *sql, size_t sql_len, const char *database,
                            size_t database_len, struct chdb_analysis *out);
};

extern struct chdb chdb; /* filled by chdb_load */

/* Finds and opens the library; CONFIG when there is none or it lacks a function. `library` may be
 * empty. It stays loaded until the process ends. */
bool chdb_load(const char *library, struct error *err) MUST_CHECK;

#endif
