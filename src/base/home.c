#include "base/home.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char *inside(const char *home, const char *name)
{
    return mem_format("%s/%s", home, name);
}

static struct flock whole_file(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

/* The number after "name=" at the start of a line, 0 when there is none. */
static long number_of(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, name, len) == 0 && line[len] == '=') return strtol(line + len + 1, NULL, 10);
    return 0;
}

static bool read_info(int fd, const char *path, struct home_info *out, struct error *err)
{
    char text[200];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n < 0) return error_errno(err, "cannot read %s", path);
    text[n] = '\0';
    out->pid = number_of(text, "pid");
    out->http_port = (int)number_of(text, "http_port");
    out->clickhouse_port = (int)number_of(text, "clickhouse_port");
    return true;
}

static bool write_info(int fd, int http_port, int clickhouse_port, struct error *err)
{
    char text[200];
    int n = snprintf(text, sizeof text, "pid=%ld\nhttp_port=%d\nclickhouse_port=%d\n", (long)getpid(),
                     http_port, clickhouse_port);
    if (pwrite(fd, text, (size_t)n, 0) != n || ftruncate(fd, n))
        return error_errno(err, "cannot write the lock file");
    return true;
}

static bool check_format(const char *home, bool *fresh, struct error *err)
{
    char *path = inside(home, "run/format");
    struct buf text = {.max = 1 << 17};
    *fresh = !file_exists(path);
    bool ok = *fresh || file_read(path, &text, err);
    long format = ok && !*fresh ? strtol(buf_text(&text), NULL, 10) : HOME_FORMAT;
    if (ok && format != HOME_FORMAT)
        ok = error_set(err, ERROR_CONFIG,
                       "%s has layout %ld, this program knows %d: use a program of that version", home,
                       format, HOME_FORMAT);
    buf_free(&text);
    mem_free(path);
    return ok;
}

static bool make_layout(const char *home, bool fresh, struct error *err)
{
    static const char *const folders[] = {"lake", "state", "warehouse"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char *folder = inside(home, folders[i]);
        bool ok = file_make_dirs(folder, err);
        mem_free(folder);
        if (!ok) return false;
    }
    if (!fresh) return true;
    char text[16], *path = inside(home, "run/format");
    int n = snprintf(text, sizeof text, "%d\n", HOME_FORMAT);
    bool ok = file_write_atomic(path, (struct slice){text, (size_t)n}, err);
    mem_free(path);
    return ok;
}

static bool refuse(int fd, const char *home, const char *path, struct error *err)
{
    struct home_info info = {0};
    if (!read_info(fd, path, &info, err)) return false;
    return error_set(err, ERROR_RETRY,
                     "%s is in use by process %ld; stop that one, or choose another --home", home,
                     info.pid);
}

static bool take_lock(struct home *h, struct error *err)
{
    char *path = inside(h->path, "run/lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    bool ok = fd >= 0 || error_errno(err, "cannot open %s", path);
    struct flock lock = whole_file();
    if (ok && fcntl(fd, F_OFD_SETLK, &lock)) {
        bool held = errno == EAGAIN || errno == EACCES;
        ok = held ? refuse(fd, h->path, path, err) : error_errno(err, "cannot lock %s", path);
    }
    ok = ok && write_info(fd, 0, 0, err);
    if (ok)
        h->lock = fd + 1;
    else if (fd >= 0)
        close(fd);
    mem_free(path);
    return ok;
}

static bool open_exclusive(struct home *h, struct error *err)
{
    char *run = inside(h->path, "run");
    bool fresh = false;
    bool ok = file_make_dirs(run, err) && take_lock(h, err) && check_format(h->path, &fresh, err) &&
              make_layout(h->path, fresh, err);
    mem_free(run);
    return ok;
}

static bool open_beside(struct home *h, struct error *err)
{
    bool fresh = false;
    if (!check_format(h->path, &fresh, err)) return false;
    return !fresh || error_set(err, ERROR_CONFIG, "%s is not a data folder of Millrace", h->path);
}

bool home_open(struct home *h, const char *path, bool exclusive, struct error *err)
{
    *h = (struct home){.path = mem_text(path)};
    bool ok = exclusive ? open_exclusive(h, err) : open_beside(h, err);
    if (!ok) home_close(h);
    return ok;
}

bool home_announce(struct home *h, int http_port, int clickhouse_port, struct error *err)
{
    return write_info(h->lock - 1, http_port, clickhouse_port, err);
}

void home_close(struct home *h)
{
    if (h->lock) close(h->lock - 1);
    mem_free(h->path);
    *h = (struct home){0};
}

static bool lies_in(const char *path, const char *layer)
{
    const char *lake = strstr(path, "/lake/");
    return strncmp(lake ? lake + strlen("/lake/") : path, layer, strlen(layer)) == 0;
}

const char *home_repair(const char *path)
{
    if (lies_in(path, "bronze/"))
        return "restore it from a backup; docs/operations.md says what to do without one";
    if (lies_in(path, "silver/")) return "stop, `millrace rebuild silver`, and run again: bronze has it all";
    if (lies_in(path, "gold/")) return "stop, `millrace rebuild gold`, and run again: silver has it all";
    return "";
}

bool home_peek(const char *path, struct home_info *out, struct error *err)
{
    *out = (struct home_info){0};
    char *file = inside(path, "run/lock");
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 || errno == ENOENT || errno == ENOTDIR || error_errno(err, "cannot open %s", file);
    if (fd >= 0) {
        struct flock lock = whole_file();
        ok = fcntl(fd, F_OFD_GETLK, &lock) == 0 || error_errno(err, "cannot ask for the lock of %s", file);
        out->alive = ok && lock.l_type != F_UNLCK;
        if (out->alive) ok = read_info(fd, file, out, err);
        close(fd);
    }
    mem_free(file);
    return ok;
}
