#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_make_dirs(const char *path, struct error *err)
{
    char *part = mem_text(path);
    bool ok = true;
    for (char *p = part + 1; ok; p++) {
        if (*p != '/' && *p != '\0') continue;
        char end = *p;
        *p = '\0';
        if (mkdir(part, 0755) && errno != EEXIST) ok = error_errno(err, "cannot make the folder %s", part);
        *p = end;
        if (!end) break;
    }
    mem_free(part);
    return ok;
}

bool file_read(const char *path, struct buf *out, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_errno(err, "cannot open %s", path);
    bool ok = true;
    for (;;) {
        char *at = buf_reserve(out, 65536);
        if (!at) {
            ok = error_set(err, ERROR_DATA, "%s is too large", path);
            break;
        }
        ssize_t n = read(fd, at, 65536);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) ok = error_errno(err, "cannot read %s", path);
        if (n <= 0) break;
        out->len += (size_t)n;
    }
    close(fd);
    return ok;
}

static bool write_whole(int fd, struct slice data)
{
    while (data.len) {
        ssize_t n = write(fd, data.data, data.len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        data.data += n;
        data.len -= (size_t)n;
    }
    return true;
}

bool file_write_new(const char *path, struct slice data, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) return error_errno(err, "cannot create %s", path);
    bool ok = write_whole(fd, data) && fsync(fd) == 0;
    if (!ok) error_errno(err, "cannot write %s", path);
    if (close(fd) && ok) ok = error_errno(err, "cannot close %s", path);
    if (!ok) unlink(path);
    return ok;
}

bool file_sync(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_errno(err, "cannot open %s", path);
    bool ok = fsync(fd) == 0 || error_errno(err, "cannot sync %s", path);
    close(fd);
    return ok;
}

static bool sync_parent(const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? mem_textn(path, slash == path ? 1 : (size_t)(slash - path)) : mem_text(".");
    bool ok = file_sync(folder, err);
    mem_free(folder);
    return ok;
}

bool file_write_atomic(const char *path, struct slice data, struct error *err)
{
    char *temp = mem_format("%s.%ld.tmp", path, (long)getpid());
    unlink(temp);
    bool ok = file_write_new(temp, data, err);
    if (ok && rename(temp, path)) {
        ok = error_errno(err, "cannot replace %s", path);
        unlink(temp);
    }
    mem_free(temp);
    return ok && sync_parent(path, err);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

bool file_remove_tree(const char *path, struct error *err)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
        return error_errno(err, "cannot remove %s", path);
    return true;
}
