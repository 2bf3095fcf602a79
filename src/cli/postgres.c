#include "cli/postgres.h"

#include "base/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The user that the server runs as: NULL means ourselves. */
static const struct passwd *server_user(void)
{
    if (geteuid() != 0) return NULL;
    const struct passwd *user = getpwnam("postgres");
    return user ? user : getpwnam("nobody");
}

/* The newest installed major; Debian keeps one folder for each. */
static char *find_bin(void)
{
    static const char *const patterns[] = {"/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb",
                                           "/usr/local/pgsql/bin/initdb", "/usr/local/bin/initdb", "/usr/bin/initdb"};
    char *best = NULL;
    long best_major = -1;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns && !best; i++) {
        glob_t found;
        if (glob(patterns[i], 0, NULL, &found)) continue;
        for (size_t k = 0; k < found.gl_pathc; k++) {
            const char *path = found.gl_pathv[k];
            const char *digits = strpbrk(path, "0123456789");
            long major = digits ? strtol(digits, NULL, 10) : 0;
            if (major <= best_major) continue;
            best_major = major;
            mem_free(best);
            best = mem_textn(path, strlen(path) - strlen("/initdb"));
        }
        globfree(&found);
    }
    return best;
}

/* Runs a program as the server's user, its output in `log`; true when it exits 0. */
static bool run(const struct private_postgres *pg, const char *log, const char *const *args, struct error *err)
{
    char *program = mem_format("%s/%s", pg->bin, args[0]);
    pid_t pid = fork();
    if (pid == 0) {
        const struct passwd *user = server_user();
        int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        int in = open("/dev/null", O_RDONLY);
        setsid(); /* Ctrl-C is for us: we stop the server ourselves, in order */
        if (out < 0 || in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || chdir("/")) _exit(126);
        if (user && (initgroups(user->pw_name, user->pw_gid) || setgid(user->pw_gid) || setuid(user->pw_uid)))
            _exit(126);
        execv(program, (char *const *)args);
        _exit(127);
    }
    mem_free(program);
    if (pid < 0) return error_errno(err, "cannot start %s", args[0]);
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    struct buf text = {0};
    struct error ignored;
    const char *tail = file_read(log, &text, &ignored) ? buf_text(&text) : "";
    size_t n = strlen(tail);
    error_set(err, ERROR_CONFIG, "%s/%s failed (see %s): %s", pg->bin, args[0], log, n > 500 ? tail + n - 500 : tail);
    buf_free(&text);
    return false;
}

static bool reachable(const char *folder, const struct passwd *user)
{
    if (!user) return true;
    char *part = mem_text(folder);
    bool ok = true;
    for (char *p = part + 1; ok; p++) {
        if (*p != '/' && *p != '\0') continue;
        char end = *p;
        *p = '\0';
        struct stat info;
        ok = stat(part, &info) == 0 && (info.st_mode & S_IXOTH || info.st_uid == user->pw_uid);
        *p = end;
        if (!end) break;
    }
    mem_free(part);
    return ok;
}

/* <home>/postgres, or where postgres.path says, or a new folder below /var/tmp. */
static bool choose_folder(struct private_postgres *pg, const char *home, struct error *err)
{
    const struct passwd *user = server_user();
    char *note = mem_format("%s/postgres.path", home);
    bool ok = file_make_dirs(home, err);
    if (ok && file_exists(note)) {
        struct buf text = {0};
        ok = file_read(note, &text, err);
        pg->folder = buf_take(&text);
        pg->folder[strcspn(pg->folder, "\n")] = '\0';
    } else if (ok && reachable(home, user)) {
        pg->folder = mem_format("%s/postgres", home);
    } else if (ok) {
        char path[] = "/var/tmp/millrace-postgres-XXXXXX";
        ok = mkdtemp(path) || error_errno(err, "cannot make a folder below /var/tmp");
        if (ok) {
            pg->folder = mem_text(path);
            ok = file_write_atomic(note, slice_of(path), err);
        }
    }
    mem_free(note);
    if (!ok) return false;
    if (mkdir(pg->folder, 0700) && errno != EEXIST) return error_errno(err, "cannot make %s", pg->folder);
    if (user && chown(pg->folder, user->pw_uid, user->pw_gid))
        return error_errno(err, "cannot give %s to %s", pg->folder, user->pw_name);
    return true;
}

static bool free_port(int *port, struct error *err)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 &&
              getsockname(fd, (struct sockaddr *)&address, &len) == 0;
    if (!ok) error_errno(err, "cannot find a free port");
    *port = ntohs(address.sin_port);
    if (fd >= 0) close(fd);
    return ok;
}

static bool make_cluster(const struct private_postgres *pg, const char *log, struct error *err)
{
    char *version = mem_format("%s/PG_VERSION", pg->folder);
    bool there = file_exists(version);
    mem_free(version);
    if (there) return true;
    const char *args[] = {"initdb", "-D", pg->folder, "-U", "millrace", "-A", "trust", "-E", "UTF8",
                          "--locale=C.UTF-8", "--no-instructions", NULL};
    return run(pg, log, args, err);
}

/* A server that an earlier, killed run left behind still holds the folder. */
static bool stop_leftover(const struct private_postgres *pg, const char *log, struct error *err)
{
    char *pid_file = mem_format("%s/postmaster.pid", pg->folder);
    bool there = file_exists(pid_file);
    mem_free(pid_file);
    if (!there) return true;
    struct error none;
    const char *status[] = {"pg_ctl", "status", "-s", "-D", pg->folder, NULL};
    if (!run(pg, log, status, &none)) return true; /* not running: a start cleans the file up */
    const char *stop[] = {"pg_ctl", "stop", "-w", "-t", "60", "-s", "-m", "fast", "-D", pg->folder, NULL};
    return run(pg, log, stop, err);
}

bool private_postgres_start(struct private_postgres *pg, const char *home, struct error *err)
{
    *pg = (struct private_postgres){.bin = find_bin()};
    if (!pg->bin)
        return error_set(err, ERROR_CONFIG,
                         "PostgreSQL's server is not installed; on Debian: apt-get install postgresql");
    if (!choose_folder(pg, home, err) || !free_port(&pg->port, err)) return false;
    char *log = mem_format("%s.log", pg->folder);
    char *options = mem_format("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories='' "
                               "-c wal_level=logical -c max_wal_senders=10 -c max_replication_slots=10 "
                               "-c max_connections=50 -c shared_buffers=64MB -c timezone=America/Sao_Paulo",
                               pg->port);
    const char *args[] = {"pg_ctl", "start", "-w", "-t", "60", "-s", "-D", pg->folder, "-o", options, "-l", NULL, NULL};
    char *server_log = mem_format("%s/server.log", pg->folder);
    args[11] = server_log;
    bool ok = make_cluster(pg, log, err) && stop_leftover(pg, log, err) && run(pg, log, args, err);
    pg->running = ok;
    mem_free(server_log);
    mem_free(options);
    mem_free(log);
    return ok;
}

char *private_postgres_address(const struct private_postgres *pg, const char *database)
{
    return mem_format("postgresql://millrace@127.0.0.1:%d/%s", pg->port, database);
}

void private_postgres_stop(struct private_postgres *pg)
{
    if (pg->running) {
        struct error err = {0};
        char *log = mem_format("%s.log", pg->folder);
        const char *args[] = {"pg_ctl", "stop", "-w", "-t", "60", "-s", "-m", "fast", "-D", pg->folder, NULL};
        if (!run(pg, log, args, &err)) fprintf(stderr, "millrace: %s\n", err.text);
        mem_free(log);
    }
    mem_free(pg->bin);
    mem_free(pg->folder);
    *pg = (struct private_postgres){0};
}
