/* Where a table's files lie: names below one root, whole objects, and one promise on which every
 * commit stands: put_new makes an object visible complete and durable, or not at all, and for one of
 * several writers of the same name only.
 *
 * The functions are those an object store has too (conditional PUT, PUT, GET, LIST, DELETE); the one
 * implementation so far is a local folder. Big files are written into it by the engine, under their
 * final and unique names, and made durable by store_sync before a commit names them.
 *
 * A handle belongs to one thread. Names are relative to the root, '/' between parts. */
#ifndef MILLRACE_LAKE_STORE_H
#define MILLRACE_LAKE_STORE_H

#include "base/buf.h"
#include "base/error.h"

struct store;

struct store_entry {
    char *name;
    int64_t size_bytes, modified_ms;
};

struct store_listing {
    struct store_entry *items; /* sorted by name */
    size_t count, cap;
};

/* Does not touch the disk: a missing root lists as empty, gets as not found, and is made by a put. */
void store_open(struct store **out, const char *root);
void store_close(struct store *s);
/* The object's path for the engine; the caller's (mem_free). */
char *store_path(const struct store *s, const char *name);

bool store_get(struct store *s, const char *name, struct buf *out, bool *found,
               struct error *err) MUST_CHECK;
bool store_exists(struct store *s, const char *name, bool *found, struct error *err) MUST_CHECK;
/* Bytes [offset, offset + size) of an object into at; fails when it is shorter. */
bool store_read(struct store *s, const char *name, int64_t offset, void *at, size_t size, struct error *err) MUST_CHECK;
/* name is not set: the caller knows it. A missing object is DATA. */
bool store_stat(struct store *s, const char *name, struct store_entry *out, struct error *err) MUST_CHECK;
/* Makes the folder that a name lies in, for the engine to write there. */
bool store_make_folder(struct store *s, const char *name, struct error *err) MUST_CHECK;
/* *exists: somebody else has the name, nothing was written. On an error nothing is known: get the
 * object and compare. */
bool store_put_new(struct store *s, const char *name, struct slice data, bool *exists,
                   struct error *err) MUST_CHECK;
/* Replaces as a whole, durably; the last writer wins. */
bool store_put(struct store *s, const char *name, struct slice data, struct error *err) MUST_CHECK;
/* Writes without syncing, under a name that nobody else uses; store_sync follows. */
bool store_write(struct store *s, const char *name, struct slice data, struct error *err) MUST_CHECK;
/* Makes files durable, their folders up to the root too, several at a time. */
bool store_sync(struct store *s, const char *const *names, size_t count, struct error *err) MUST_CHECK;
/* Gives a file that the engine has written its final name, durably; the last writer wins. */
bool store_rename(struct store *s, const char *from, const char *to, struct error *err) MUST_CHECK;
/* A missing one is fine. */
bool store_remove(struct store *s, const char *name, struct error *err) MUST_CHECK;

/* The objects in a folder ("" is the root). deep: in its folders too, but for those whose names begin
 * with '_' or '.'. */
bool store_list(struct store *s, const char *folder, bool deep, struct store_listing *out,
                struct error *err) MUST_CHECK;
void store_listing_free(struct store_listing *l);

#endif
