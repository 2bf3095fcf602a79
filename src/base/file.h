/* Small file helpers. Paths are UTF-8; every function names the path in its error. */
#ifndef MILLRACE_BASE_FILE_H
#define MILLRACE_BASE_FILE_H

#include "base/buf.h"
#include "base/error.h"

bool file_exists(const char *path);
/* Like mkdir -p, mode 0755. */
bool file_make_dirs(const char *path, struct error *err) MUST_CHECK;
/* Appends the whole file to out. A missing file is CONFIG, a short read RETRY. */
bool file_read(const char *path, struct buf *out, struct error *err) MUST_CHECK;
/* Writes a temporary file beside path, syncs it, renames it over path, syncs the folder. */
bool file_write_atomic(const char *path, struct slice data, struct error *err) MUST_CHECK;
/* Creates path with data and syncs it; fails when it exists. */
bool file_write_new(const char *path, struct slice data, struct error *err) MUST_CHECK;
bool file_sync(const char *path, struct error *err) MUST_CHECK; /* a file or a folder */
/* Removes a file or a whole tree; a missing one is fine. */
bool file_remove_tree(const char *path, struct error *err) MUST_CHECK;

#endif
