/* A preloaded library that lets the n-th write below a folder fail, in the process and in every library in it.
 *
 *   SHIM_FOLDER   absolute path that ends in a slash; only files below it count
 *   SHIM_STATE    file of struct shared, mapped: the test reads the counts and changes its mind while the program runs
 *   SHIM_TRACE    1: every counted call is told on stderr as "shim: <n> <call> <path>"
 *
 * struct shared, little-endian u64 each:
 *
 *   calls   counted so far                 kinds   mask of enum kind: which calls count
 *   from    the first call that fails      until   the first that does not any more
 *   code    errno of the failure           failed  how many failed
 *
 *  1. A call counts once, before it is made, whoever makes it; a failing call has no effect, except a sync, which
 *     is made nonetheless (its data may or may not be there: the program must not rely on either).
 *  2. Nothing is counted in a child that executes another program: the variables are looked at once, at the start.
 *  3. from = until means: count only.
 *  4. ENOSPC without end is a full disk, and statvfs says so too. ENOSPC for some calls only is EIO for those who
 *     ask statvfs what a full disk is (`asks`): they would be told that there is room.
 *
 * Calls by FILE (fopen, fwrite) do not pass here: glibc writes their bytes by calls of its own. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { KIND_WRITE = 1, KIND_SYNC = 2, KIND_RENAME = 4, KIND_LINK = 8, KIND_TRUNCATE = 16, KIND_CREATE = 32 };

struct shared {
    _Atomic uint64_t calls, from, until, code, failed, kinds;
};

static char folder[4096];
static size_t folder_len;
static struct shared *shared;
static bool trace;

#define WITHOUT_END (UINT64_C(1) << 62)

/* The next library's function of this name. */
#define REAL(name) (__extension__(__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("SHIM_FOLDER"), *state = getenv("SHIM_STATE");
    if (!path || !state || strlen(path) >= sizeof folder) return;
    int fd = REAL(open)(state, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *at = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED) return;
    strcpy(folder, path);
    folder_len = strlen(folder);
    trace = getenv("SHIM_TRACE") != NULL;
    shared = at;
}

static bool is_full(void)
{
    return shared && atomic_load(&shared->code) == ENOSPC && atomic_load(&shared->until) >= WITHOUT_END &&
           atomic_load(&shared->calls) + 1 >= atomic_load(&shared->from);
}

static bool is_below(const char *path)
{
    size_t len = strlen(path);
    return path[0] != '/' || strncmp(path, folder, folder_len) == 0 ||
           (len + 1 == folder_len && strncmp(path, folder, len) == 0);
}

/* RocksDB goes on by itself after a full disk, once statvfs says that there is room. */
static bool asks(const char *path)
{
    return strstr(path, "/state/") != NULL;
}

/* Whether this call is to fail; sets errno. A relative path is taken as one below the folder: the program
 * works in it. */
static bool fails(enum kind kind, const char *path, const char *call)
{
    if (!shared || !(atomic_load(&shared->kinds) & kind)) return false;
    if (!is_below(path)) return false;
    uint64_t n = atomic_fetch_add(&shared->calls, 1) + 1;
    bool now = n >= atomic_load(&shared->from) && n < atomic_load(&shared->until);
    if (now) atomic_fetch_add(&shared->failed, 1);
    if (trace || now) {
        char line[600];
        int len = snprintf(line, sizeof line, "shim: %llu %s %s%s\n", (unsigned long long)n, call, path,
                           now ? " fails" : "");
        if (len > 0) (void)!REAL(write)(STDERR_FILENO, line, (size_t)len < sizeof line ? (size_t)len : sizeof line);
    }
    int code = (int)atomic_load(&shared->code);
    if (now) errno = code == ENOSPC && !is_full() && asks(path) ? EIO : code;
    return now;
}

static bool fd_fails(enum kind kind, int fd, const char *call)
{
    char link[64], path[4096];
    if (!shared) return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0 || path[0] != '/') return false; /* a socket or a pipe */
    path[n] = '\0';
    return fails(kind, path, call);
}

static bool open_fails(int flags, const char *path, const char *call)
{
    return flags & O_CREAT && access(path, F_OK) != 0 && fails(KIND_CREATE, path, call);
}

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

#define AT_TAKEN int at,
#define AT_GIVEN at,
#define OPEN(name, AT, at)                                          \
    int name(AT const char *path, int flags, ...)                   \
    {                                                               \
        va_list args;                                               \
        va_start(args, flags);                                      \
        mode_t mode = mode_of(flags, args);                         \
        va_end(args);                                               \
        if (open_fails(flags, path, #name)) return -1;              \
        return REAL(name)(at path, flags, mode);                    \
    }
OPEN(open, , )
OPEN(open64, , )
OPEN(openat, AT_TAKEN, AT_GIVEN)
OPEN(openat64, AT_TAKEN, AT_GIVEN)

ssize_t write(int fd, const void *data, size_t size)
{
    return fd_fails(KIND_WRITE, fd, "write") ? -1 : REAL(write)(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    return fd_fails(KIND_WRITE, fd, "writev") ? -1 : REAL(writev)(fd, pieces, count);
}

#define PWRITE(name, offset_type)                                                              \
    ssize_t name(int fd, const void *data, size_t size, offset_type offset)                    \
    {                                                                                          \
        return fd_fails(KIND_WRITE, fd, #name) ? -1 : REAL(name)(fd, data, size, offset);      \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define SYNC(name)                              \
    int name(int fd)                            \
    {                                           \
        if (!fd_fails(KIND_SYNC, fd, #name)) return REAL(name)(fd); \
        int code = errno;                       \
        REAL(name)(fd);                         \
        errno = code;                           \
        return -1;                              \
    }
SYNC(fsync)
SYNC(fdatasync)

#define TRUNCATE(name, offset_type)                                              \
    int name(int fd, offset_type size)                                           \
    {                                                                            \
        return fd_fails(KIND_TRUNCATE, fd, #name) ? -1 : REAL(name)(fd, size);   \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return fd_fails(KIND_TRUNCATE, fd, "fallocate") ? -1 : REAL(fallocate)(fd, mode, offset, size);
}

int rename(const char *from, const char *to)
{
    return fails(KIND_RENAME, to, "rename") ? -1 : REAL(rename)(from, to);
}

int link(const char *from, const char *to)
{
    return fails(KIND_LINK, to, "link") ? -1 : REAL(link)(from, to);
}

int linkat(int from_at, const char *from, int to_at, const char *to, int flags)
{
    return fails(KIND_LINK, to, "linkat") ? -1 : REAL(linkat)(from_at, from, to_at, to, flags);
}

int mkdir(const char *path, mode_t mode)
{
    return access(path, F_OK) != 0 && fails(KIND_CREATE, path, "mkdir") ? -1 : REAL(mkdir)(path, mode);
}

#define STATVFS(name)                                                          \
    int name(const char *path, struct name *out)                               \
    {                                                                          \
        int result = REAL(name)(path, out);                                    \
        if (result == 0 && is_full() && is_below(path)) out->f_bfree = out->f_bavail = 0; \
        return result;                                                         \
    }
STATVFS(statvfs)
STATVFS(statvfs64)
