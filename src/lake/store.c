/* The local folder as a store.
 *
 *   put_new   write .<name>.<uuid>.tmp, fsync, link(2) to the name, unlink, fsync of the folder
 *
 *  1. link fails with EEXIST when the name is taken and is atomic otherwise: two writers never both
 *     succeed, and what is visible is complete. rename(2) would overwrite, O_EXCL would show a part.
 *  2. A file is durable before its name is: data first, then the folder.
 *
 * Does not remove the temporary files of writers that died: upkeep does, by age. */
#include "lake/store.h"

#include "base/failpoint.h"
#include "base/file.h"
#include "format/dv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SYNC_THREADS = 6 };

struct store {
    char *root;
};

void store_open(struct store **out, const char *root)
{
    *out = mem_alloc(sizeof **out);
    (*out)->root = mem_text(root);
}

void store_close(struct store *s)
{
    if (!s) return;
    mem_free(s->root);
    mem_free(s);
}

char *store_path(const struct store *s, const char *name)
{
    return *name ? mem_format("%s/%s", s->root, name) : mem_text(s->root);
}

/* The part of a path before its last slash. */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? mem_textn(path, (size_t)(slash - path)) : mem_text("");
}

static bool make_parent(const char *path, struct error *err)
{
    char *parent = parent_of(path);
    bool ok = file_exists(parent) || file_make_dirs(parent, err);
    mem_free(parent);
    return ok;
}

static int64_t modified_ms(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000 + info->st_mtim.tv_nsec / 1000000;
}

static bool sync_parent(const char *path, struct error *err)
{
    char *parent = parent_of(path);
    bool ok = file_sync(parent, err);
    mem_free(parent);
    return ok;
}

bool store_exists(struct store *s, const char *name, bool *found, struct error *err)
{
    char *path = store_path(s, name);
    *found = access(path, F_OK) == 0;
    bool ok = *found || errno == ENOENT || errno == ENOTDIR || error_errno(err, "cannot look for %s", path);
    mem_free(path);
    return ok;
}

bool store_get(struct store *s, const char *name, struct buf *out, bool *found, struct error *err)
{
    if (!store_exists(s, name, found, err)) return false;
    if (!*found) return true;
    char *path = store_path(s, name);
    bool ok = file_read(path, out, err);
    if (!ok && !file_exists(path)) { /* removed in between */
        *found = false;
        buf_clear(out);
        ok = true;
    }
    mem_free(path);
    return ok;
}

bool store_stat(struct store *s, const char *name, struct store_entry *out, struct error *err)
{
    struct stat info;
    char *path = store_path(s, name);
    bool ok = stat(path, &info) == 0;
    if (ok)
        *out = (struct store_entry){.size_bytes = info.st_size, .modified_ms = modified_ms(&info)};
    else if (errno == ENOENT)
        error_set(err, ERROR_DATA, "there is no %s", path);
    else
        error_errno(err, "cannot look at %s", path);
    mem_free(path);
    return ok;
}

bool store_read(struct store *s, const char *name, int64_t offset, void *at, size_t size, struct error *err)
{
    char *path = store_path(s, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 || error_errno(err, "cannot open %s", path);
    if (ok) {
        ssize_t n = pread(fd, at, size, offset);
        ok = n == (ssize_t)size || (n < 0 ? error_errno(err, "cannot read %s", path)
                                          : error_set(err, ERROR_DATA, "%s is cut short", path));
        close(fd);
    }
    mem_free(path);
    return ok;
}

bool store_make_folder(struct store *s, const char *name, struct error *err)
{
    char *path = store_path(s, name);
    bool ok = make_parent(path, err);
    mem_free(path);
    return ok;
}

/* Folder of `path`, then ".<last part>.<uuid>.tmp". */
static char *temporary_name(const char *path)
{
    unsigned char uuid[UUID_BYTES];
    char text[UUID_TEXT + 1];
    uuid_make(uuid);
    uuid_format(uuid, text);
    char *parent = parent_of(path);
    char *name = mem_format("%s/.%s.%s.tmp", parent, strrchr(path, '/') + 1, text);
    mem_free(parent);
    return name;
}

/* Over NFS the answer to a link that was made can be lost and the repeated request fail: the count of
 * links tells. */
static bool link_new(const char *temp, const char *path, bool *exists, struct error *err)
{
    *exists = false;
    if (link(temp, path) == 0) return true;
    int why = errno;
    struct stat info;
    if (stat(temp, &info) == 0 && info.st_nlink == 2) return true;
    errno = why;
    *exists = why == EEXIST;
    return *exists || error_errno(err, "cannot publish %s", path);
}

bool store_put_new(struct store *s, const char *name, struct slice data, bool *exists, struct error *err)
{
    char *path = store_path(s, name);
    char *temp = temporary_name(path);
    *exists = false;
    bool ok = make_parent(path, err) && file_write_new(temp, data, err);
    if (ok) {
        failpoint("delta.before_link");
        ok = link_new(temp, path, exists, err);
        if (ok && !*exists) failpoint("delta.after_link");
        unlink(temp);
    }
    if (ok && !*exists) ok = sync_parent(path, err);
    mem_free(temp);
    mem_free(path);
    return ok;
}

bool store_put(struct store *s, const char *name, struct slice data, struct error *err)
{
    char *path = store_path(s, name);
    char *temp = temporary_name(path);
    bool ok = make_parent(path, err) && file_write_new(temp, data, err);
    if (ok && rename(temp, path)) {
        ok = error_errno(err, "cannot replace %s", path);
        unlink(temp);
    }
    ok = ok && sync_parent(path, err);
    mem_free(temp);
    mem_free(path);
    return ok;
}

bool store_rename(struct store *s, const char *from, const char *to, struct error *err)
{
    char *old = store_path(s, from);
    char *new = store_path(s, to);
    bool ok = file_sync(old, err) &&
              (rename(old, new) == 0 || error_errno(err, "cannot rename %s to %s", old, new)) &&
              sync_parent(new, err);
    mem_free(old);
    mem_free(new);
    return ok;
}

bool store_write(struct store *s, const char *name, struct slice data, struct error *err)
{
    char *path = store_path(s, name);
    bool ok = make_parent(path, err);
    int fd = ok ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;
    if (ok && fd < 0) ok = error_errno(err, "cannot create %s", path);
    while (ok && data.len) {
        ssize_t n = write(fd, data.data, data.len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            ok = error_errno(err, "cannot write %s", path);
        } else {
            data.data += n;
            data.len -= (size_t)n;
        }
    }
    if (fd >= 0 && close(fd) && ok) ok = error_errno(err, "cannot close %s", path);
    if (!ok && fd >= 0) unlink(path);
    mem_free(path);
    return ok;
}

bool store_remove(struct store *s, const char *name, struct error *err)
{
    char *path = store_path(s, name);
    bool ok = unlink(path) == 0 || errno == ENOENT || error_errno(err, "cannot remove %s", path);
    mem_free(path);
    return ok;
}

/* ---- sync ---- */

struct sync_work {
    char **paths;
    size_t count, cap;
    _Atomic size_t next;
    pthread_mutex_t lock; /* protects failed and err */
    bool failed;
    struct error err;
};

static void sync_work_add(struct sync_work *w, char *path)
{
    for (size_t i = w->count; i-- > 0;) {
        if (strcmp(w->paths[i], path)) continue;
        mem_free(path);
        return;
    }
    MEM_GROW(w->paths, w->count, w->cap);
    w->paths[w->count++] = path;
}

static void *sync_worker(void *arg)
{
    struct sync_work *w = arg;
    for (;;) {
        size_t i = atomic_fetch_add(&w->next, 1);
        struct error err;
        if (i >= w->count) return NULL;
        if (file_sync(w->paths[i], &err)) continue;
        pthread_mutex_lock(&w->lock);
        w->failed = true;
        w->err = err;
        pthread_mutex_unlock(&w->lock);
    }
}

bool store_sync(struct store *s, const char *const *names, size_t count, struct error *err)
{
    struct sync_work w = {.lock = PTHREAD_MUTEX_INITIALIZER};
    if (count) sync_work_add(&w, mem_text(s->root));
    for (size_t i = 0; i < count; i++) { /* folders first: few, and each is looked for once per file */
        char *folder = parent_of(names[i]);
        while (*folder) {
            sync_work_add(&w, store_path(s, folder));
            char *above = parent_of(folder);
            mem_free(folder);
            folder = above;
        }
        mem_free(folder);
    }
    for (size_t i = 0; i < count; i++) {
        MEM_GROW(w.paths, w.count, w.cap);
        w.paths[w.count++] = store_path(s, names[i]);
    }
    pthread_t threads[SYNC_THREADS];
    size_t started = 0;
    while (started + 1 < w.count && started < SYNC_THREADS - 1 &&
           pthread_create(&threads[started], NULL, sync_worker, &w) == 0)
        started++;
    sync_worker(&w);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < w.count; i++)
        mem_free(w.paths[i]);
    mem_free(w.paths);
    pthread_mutex_destroy(&w.lock);
    if (w.failed) *err = w.err;
    return !w.failed;
}

/* ---- listing ---- */

void store_listing_free(struct store_listing *l)
{
    for (size_t i = 0; i < l->count; i++)
        mem_free(l->items[i].name);
    mem_free(l->items);
    *l = (struct store_listing){0};
}

static bool list_folder(struct store *s, const char *folder, bool deep, struct store_listing *out,
                        struct error *err)
{
    char *path = store_path(s, folder);
    DIR *dir = opendir(path);
    bool ok = dir || errno == ENOENT || errno == ENOTDIR || error_errno(err, "cannot list %s", path);
    mem_free(path);
    for (struct dirent *e; ok && dir && (e = readdir(dir));) {
        struct stat info;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (fstatat(dirfd(dir), e->d_name, &info, AT_SYMLINK_NOFOLLOW)) continue; /* gone meanwhile */
        char *name = *folder ? mem_format("%s/%s", folder, e->d_name) : mem_text(e->d_name);
        if (S_ISREG(info.st_mode)) {
            MEM_GROW(out->items, out->count, out->cap);
            out->items[out->count++] = (struct store_entry){
                .name = name,
                .size_bytes = info.st_size,
                .modified_ms = modified_ms(&info),
            };
            continue;
        }
        if (S_ISDIR(info.st_mode) && deep && e->d_name[0] != '_' && e->d_name[0] != '.')
            ok = list_folder(s, name, deep, out, err);
        mem_free(name);
    }
    if (dir) closedir(dir);
    return ok;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct store_entry *)a)->name, ((const struct store_entry *)b)->name);
}

bool store_list(struct store *s, const char *folder, bool deep, struct store_listing *out,
                struct error *err)
{
    *out = (struct store_listing){0};
    if (!list_folder(s, folder, deep, out, err)) {
        store_listing_free(out);
        return false;
    }
    if (out->count) qsort(out->items, out->count, sizeof *out->items, by_name);
    return true;
}
