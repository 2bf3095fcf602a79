#include "cli/probe.h"

#include "base/file.h"
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child sends: an error's kind, then its text or the version. */
static bool ask_engine(const char *library, const char *folder, struct buf *answer, struct error *err)
{
    char *storage = mem_format("%s/warehouse", folder);
    struct engine_conn *conn = NULL;
    struct engine_result result = {0};
    bool ok = engine_open(library, folder, storage, INT64_C(1) << 30, err) &&
              engine_connect(&conn, NULL, err) &&
              engine_query(conn, "SELECT version()", "TSVRaw", NULL, 0, &result, err);
    buf_put_char(answer, (char)(ok ? ERROR_NONE : err->kind));
    if (ok)
        buf_put(answer, result.data.data, strcspn(result.data.data, "\n"));
    else
        buf_put_text(answer, err->text);
    mem_free(storage);
    return ok;
}

static _Noreturn void probe_in_child(const char *library, const char *folder, int out)
{
    struct error err = {0};
    struct buf answer = {0};
    bool ok = ask_engine(library, folder, &answer, &err);
    ssize_t n = write(out, answer.data, answer.len);
    _exit(ok && n >= 0 ? 0 : 1);
}

static bool read_answer(int fd, char *text, struct error *err)
{
    char answer[sizeof err->text];
    size_t len = 0;
    ssize_t n;
    while (len < sizeof answer - 1 &&
           ((n = read(fd, answer + len, sizeof answer - 1 - len)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0) len += (size_t)n;
    answer[len] = '\0';
    if (len == 0) return error_set(err, ERROR_CONFIG, "the SQL engine ends the process that loads it");
    if (answer[0] != ERROR_NONE) return error_set(err, (enum error_kind)answer[0], "%s", answer + 1);
    snprintf(text, PROBE_TEXT, "%.*s", PROBE_TEXT - 1, answer + 1);
    return true;
}

bool engine_probe(const char *library, char *text, struct error *err)
{
    char folder[] = "/tmp/millrace-probe-XXXXXX";
    int ends[2];
    if (!mkdtemp(folder)) return error_errno(err, "cannot make %s", folder);
    bool ok = pipe2(ends, O_CLOEXEC) == 0 || error_errno(err, "cannot make a pipe");
    if (ok) {
        fflush(NULL); /* or the child would hold a copy of what is not yet written */
        pid_t child = fork();
        if (child == 0) probe_in_child(library, folder, ends[1]);
        close(ends[1]);
        ok = child > 0 ? read_answer(ends[0], text, err) : error_errno(err, "cannot fork");
        close(ends[0]);
        if (child > 0) waitpid(child, NULL, 0);
    }
    struct error ignored;
    bool removed = file_remove_tree(folder, &ignored);
    (void)removed; /* what is left in /tmp does no harm */
    return ok;
}
