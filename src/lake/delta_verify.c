/* Are a table's files there, as long as its log says? One stat for each: what a lost disk, a torn copy or a
 * stranger's hand leaves is found when a table is opened, before anything is built on it.
 *
 * Reads no file: what is changed in place without a change of length is found by reading. */
#include "lake/delta_int.h"

#include "base/home.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static bool damaged(const char *path, const char *what, struct error *err)
{
    error_set(err, ERROR_DATA, "%s %s", path, what);
    return error_advise(err, home_repair(path));
}

/* exact: of the length; otherwise at least. */
static bool verify_length(const char *path, int64_t size_bytes, bool exact, struct error *err)
{
    struct stat info;
    char what[100];
    if (stat(path, &info)) {
        if (errno == ENOENT || errno == ENOTDIR) return damaged(path, "is missing", err);
        return error_errno(err, "cannot look at %s", path);
    }
    if (exact ? info.st_size == size_bytes : info.st_size >= size_bytes) return true;
    snprintf(what, sizeof what, "has %lld bytes, the log says %lld", (long long)info.st_size,
             (long long)size_bytes);
    return damaged(path, what, err);
}

enum { VECTOR_FRAME_BYTES = 8 }; /* length before a bitmap, checksum after it */

static bool verify_vector(const struct delta_table *t, const struct delta_dv *dv, struct error *err)
{
    char *name = delta_vector_name(dv);
    if (!name) return true; /* inline, or another table's */
    char *path = store_path(t->store, name);
    int64_t start = dv->offset < 0 ? 1 : dv->offset;
    bool ok = verify_length(path, start + dv->size_bytes + VECTOR_FRAME_BYTES, false, err);
    mem_free(path);
    mem_free(name);
    return ok;
}

bool delta_verify(const struct delta_table *t, struct error *err)
{
    struct buf path = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < t->now.files.count; i++) {
        const struct delta_file *f = t->now.files.items[i];
        buf_clear(&path);
        delta_put_file_path(t, f, &path);
        ok = verify_length(buf_text(&path), f->size_bytes, true, err) && verify_vector(t, &f->dv, err);
    }
    buf_free(&path);
    return ok;
}
