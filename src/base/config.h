/* Settings. One table (config_options in config.c) gives name, type, default, help; it makes the
 * parser of file, MILLRACE_* environment and flags, `--help`, `millrace config` and docs/config.md.
 * Order of precedence: flag, environment, file (<home>/millrace.conf, "name = value"), default.
 * The struct is filled once at start and constant afterwards. */
#ifndef MILLRACE_BASE_CONFIG_H
#define MILLRACE_BASE_CONFIG_H

#include "base/buf.h"
#include "base/error.h"

struct config {
    /* where */
    char *home;          /* absolute path of the data folder */
    char *source;        /* postgres:// address or libpq key=value text */
    char *library;       /* path of libchdb.so; empty: searched for */
    /* capture */
    char *slot, *publication;
    char *tables;        /* comma list of schema.table, empty: all of the publication */
    char *exclude_columns, *hash_columns; /* comma lists of schema.table.column */
    char *hash_salt;
    int64_t copy_workers;
    int64_t status_ms;         /* feedback to PostgreSQL at least this often */
    int64_t queue_bytes;       /* changes waiting between capture and bronze */
    /* flush */
    int64_t flush_ms, flush_bytes, idle_commit_ms;
    int64_t refine_bytes;      /* bronze bytes taken in one refine range or slice */
    /* lake */
    int64_t checkpoint_commits, live_files_max, log_retention_s, tombstone_retention_s;
    int64_t compact_rows_max;
    /* models */
    char *timezone;            /* the shop's */
    int64_t whole_model_cpu_percent;
    /* state and engine */
    int64_t state_cache_bytes, engine_memory_bytes;
    /* serve */
    char *listen, *password;
    int64_t http_port, clickhouse_port;
    int64_t query_seconds_max, query_memory_bytes, query_threads_max;
    /* log */
    char *log_level;
    bool log_json;
    /* stream between capture and bronze; below bootstrap_servers under Debezium's and Connect's names */
    char *stream;              /* memory or kafka */
    char *bootstrap_servers;
    bool stream_transactions;  /* one source transaction, or several, is one of Kafka */
    char *topic_prefix;
    char *topics;              /* that bronze reads; empty: all data topics of topic_prefix */
    char *group_id;            /* empty: no group */
    int64_t topic_creation_default_partitions, topic_creation_default_replication_factor;
    char *topic_creation_default_cleanup_policy;
    int64_t topic_creation_default_retention_ms;
    bool key_converter_schemas_enable, value_converter_schemas_enable;
    bool value_converter_replace_null_with_default;
    char *value_converter_decimal_format;
    char *decimal_handling_mode, *time_precision_mode, *hstore_handling_mode, *interval_handling_mode;
    char *binary_handling_mode, *unavailable_value_placeholder;
    int64_t money_fraction_digits;
    bool include_unknown_datatypes, tombstones_on_delete, extended_headers_enabled;
    char *skipped_operations;
    bool provide_transaction_metadata;
    int64_t heartbeat_interval_ms;
    char *topic_heartbeat_prefix;
    char *message_prefix_include_list, *message_prefix_exclude_list;
    char *signal_data_collection;
    int64_t incremental_snapshot_chunk_size;
    struct config_property *kafka; /* kafka.*: librdkafka's own properties, names without the prefix */
    size_t kafka_count, kafka_cap;
};

struct config_property {
    char *name, *value;
};

enum option_type { OPTION_TEXT, OPTION_INT, OPTION_SIZE, OPTION_BOOL };

struct option {
    const char *name; /* as in the file; the flag is --name with '-' for '_' */
    enum option_type type;
    size_t offset;
    const char *fallback;
    bool secret;
    int64_t least, most; /* numbers only */
    const char *help;
};

extern const struct option config_options[];
extern const size_t config_option_count;

void config_init(struct config *c); /* the defaults */
void config_free(struct config *c);
/* Sets one option by name from text, '.' for '_' allowed as in Debezium's names, or a property "kafka.<name>";
 * unknown names suggest the nearest; CONFIG on bad values. */
bool config_set(struct config *c, const char *name, const char *value, struct error *err) MUST_CHECK;
/* Reads a "name = value" file; '#' comments; a missing file is fine. */
bool config_read_file(struct config *c, const char *path, struct error *err) MUST_CHECK;
bool config_read_environment(struct config *c, struct error *err) MUST_CHECK;
/* Takes --name value, --name=value (and --flag for booleans) out of argv; what is left stays in
 * order, *argc is lowered. Options of a command are in `extra` (NULL-terminated names, each taking a
 * value unless it ends in '!'); those are left in argv for the command. */
bool config_read_flags(struct config *c, int *argc, char **argv, const char *const *extra,
                       struct error *err) MUST_CHECK;
/* "name = value" lines of the effective settings, secrets as ***. */
void config_print(const struct config *c, struct buf *out);
/* All of it, in the order of precedence: defaults, <home>/millrace.conf, environment, flags. On error
 * c is freed. The result has passed config_validate. */
bool config_load(struct config *c, int *argc, char **argv, const char *const *extra,
                 struct error *err) MUST_CHECK;
/* What one option alone cannot know, such as an open address without a password. */
bool config_validate(const struct config *c, struct error *err) MUST_CHECK;
/* The value of a kafka.* property, NULL when it is not set. */
const char *config_kafka(const struct config *c, const char *name);
/* An option by its name, NULL when there is none. */
const struct option *config_option(const char *name);
/* The source for people: its password as ***. */
void config_put_source(const char *source, struct buf *out);
/* The nearest of n names within a small edit distance, or NULL. */
const char *config_nearest(const char *wrong, const char *const *names, size_t n);

#endif
