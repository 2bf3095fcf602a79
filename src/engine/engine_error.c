/* The one table from ClickHouse's error codes to verdicts. */
#include "engine/engine_int.h"

#include "base/home.h"

#include <stdio.h>
#include <stdlib.h>

static const int retry_codes[] = {
    159, /* TIMEOUT_EXCEEDED */
    160, /* TOO_SLOW */
    173, /* CANNOT_ALLOCATE_MEMORY */
    198, /* DNS_ERROR */
    202, /* TOO_MANY_SIMULTANEOUS_QUERIES */
    209, /* SOCKET_TIMEOUT */
    210, /* NETWORK_ERROR */
    236, /* ABORTED */
    241, /* MEMORY_LIMIT_EXCEEDED */
    243, /* NOT_ENOUGH_SPACE */
    252, /* TOO_MANY_PARTS */
    394, /* QUERY_WAS_CANCELLED */
    439, /* CANNOT_SCHEDULE_TASK */
    473, /* DEADLOCK_AVOIDED */
    499, /* S3_ERROR */
    75,  /* CANNOT_WRITE_TO_FILE_DESCRIPTOR */
    86,  /* RECEIVED_ERROR_FROM_REMOTE_IO_SERVER */
};

static const int data_codes[] = {
    6,   /* CANNOT_PARSE_TEXT */
    25,  /* CANNOT_PARSE_ESCAPE_SEQUENCE */
    26,  /* CANNOT_PARSE_QUOTED_STRING */
    27,  /* CANNOT_PARSE_INPUT_ASSERTION_FAILED */
    32,  /* ATTEMPT_TO_READ_AFTER_EOF */
    33,  /* CANNOT_READ_ALL_DATA */
    38,  /* CANNOT_PARSE_DATE */
    41,  /* CANNOT_PARSE_DATETIME */
    53,  /* TYPE_MISMATCH */
    69,  /* ARGUMENT_OUT_OF_BOUND */
    70,  /* CANNOT_CONVERT_TYPE */
    72,  /* CANNOT_PARSE_NUMBER */
    117, /* INCORRECT_DATA */
    128, /* TOO_LARGE_ARRAY_SIZE */
    131, /* TOO_LARGE_STRING_SIZE */
    246, /* CORRUPTED_DATA */
    321, /* VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE */
    349, /* CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN */
    376, /* CANNOT_PARSE_UUID */
    407, /* DECIMAL_OVERFLOW */
    467, /* CANNOT_PARSE_BOOL */
};

static bool among(int code, const int *codes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (codes[i] == code) return true;
    return false;
}

/* What the disk or the system's limits refuse stands in many codes (CANNOT_OPEN_FILE, STD_EXCEPTION, ...). */
static bool is_system(const char *message)
{
    static const char *const causes[] = {"No space left on device", "Input/output error", "Disk quota exceeded",
                                         "Too many open files"};
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (strstr(message, causes[i])) return true;
    return false;
}

#define AMONG(code, codes) among((code), (codes), sizeof(codes) / sizeof *(codes))

int engine_error_code(const struct error *err)
{
    static const char mark[] = "Code: ";
    const char *at = strstr(err->text, mark);
    return at ? (int)strtol(at + sizeof mark - 1, NULL, 10) : 0;
}

/* The name of the error stands at the end, so of a long message the middle is left out. */
static void put_message(struct error *err, const char *message)
{
    size_t len = strlen(message), room = sizeof err->text - 1, tail = 200;
    if (len <= room) {
        memcpy(err->text, message, len + 1);
        return;
    }
    static const char gap[] = " ... ";
    size_t head = room - tail - (sizeof gap - 1);
    memcpy(err->text, message, head);
    memcpy(err->text + head, gap, sizeof gap - 1);
    memcpy(err->text + head + sizeof gap - 1, message + len - tail, tail + 1);
}

/* The file of the lake that could not be read: "...: (in file/uri /path): While executing ...", or
 * "filesystem error: in ...: No such file or directory [\"/path\"]...". */
static bool find_file(const char *message, struct slice *what, struct slice *path)
{
    static const struct {
        const char *before, *after;
    } forms[] = {{"(in file/uri ", ")"}, {"[\"", "\"]"}};
    const char *text = strstr(message, "Exception: ");
    text = text ? text + strlen("Exception: ") : message;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const char *at = strstr(text, forms[i].before);
        if (!at) continue;
        const char *name = at + strlen(forms[i].before), *end = strstr(name, forms[i].after);
        if (!end) continue;
        while (at > text && strchr(": ", at[-1])) at--;
        *what = (struct slice){text, (size_t)(at - text)};
        *path = (struct slice){name, (size_t)(end - name)};
        return true;
    }
    return false;
}

/* A file of the lake that cannot be read is neither the statement's fault nor a setting's. */
static bool damaged_file(struct error *err, const char *message, int code)
{
    struct slice what, path;
    if (AMONG(code, retry_codes) || !find_file(message, &what, &path)) return false;
    char *name = mem_textn(path.data, path.len);
    const char *advice = home_repair(name);
    if (*advice) {
        error_set(err, ERROR_DATA, "%s cannot be read: %.*s (Code: %d)", name,
                  (int)(what.len < 300 ? what.len : 300), what.data, code);
        error_advise(err, advice);
    }
    mem_free(name);
    return *advice;
}

bool engine_failed(struct error *err, const char *message, bool inserting)
{
    put_message(err, message);
    int code = engine_error_code(err);
    bool retry = AMONG(code, retry_codes) || is_system(message);
    if (!retry && !inserting && damaged_file(err, message, code)) return false;
    err->kind = retry                                  ? ERROR_RETRY
                : inserting && AMONG(code, data_codes) ? ERROR_DATA
                                                       : ERROR_CONFIG;
    return false;
}
