/* Preloaded into a process, makes the n-th operation on files below some folders fail, once or from
   then on: what SQLite's own tests do to SQLite. An operation counts whoever asks for it, Python or
   a library's compiled code. Standard output and error never fail. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char watched[PATH_MAX];
static atomic_long counted, chosen;
static int number, lasting, only_changes;
static char fired[PATH_MAX + 64];

/* Below `folder`, or nowhere where it is empty. `at` 0 counts only; `error` is what errno becomes; `last` makes all later operations fail too;
   `changes` leaves out what only reads. */
void fail_from_now(const char *folder, long at, int error, int last, int changes) {
    snprintf(watched, sizeof watched, folder[0] ? "%s/" : "%s", folder);
    number = error, lasting = last, only_changes = changes;
    fired[0] = 0;
    atomic_store(&counted, 0);
    atomic_store(&chosen, at);
}

long operations_counted(void) { return atomic_load(&counted); }

/* Name and path of the first operation that failed, or nothing. */
const char *operation_failed(void) { return fired; }

static int below(const char *path) {
    return watched[0] && !strncmp(path, watched, strlen(watched));
}

/* Whether this operation is to fail. */
static int fails(const char *name, const char *path, int changes) {
    if (!below(path) || (only_changes && !changes)) return 0;
    long now = atomic_fetch_add(&counted, 1) + 1, at = atomic_load(&chosen);
    if (!at || (lasting ? now < at : now != at)) return 0;
    if (!fired[0]) snprintf(fired, sizeof fired, "%s %s", name, path);
    errno = number;
    return 1;
}

static int path_fails(const char *name, int folder, const char *path, int changes) {
    char whole[2 * PATH_MAX], here[PATH_MAX];
    if (!watched[0] || !path) return 0;
    if (path[0] == '/') return fails(name, path, changes);
    if (folder == AT_FDCWD) {
        if (!getcwd(here, sizeof here)) return 0;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, here, sizeof here - 1);
        if (length < 0) return 0;
        here[length] = 0;
    }
    snprintf(whole, sizeof whole, "%s/%s", here, path);
    return fails(name, whole, changes);
}

static int file_fails(const char *name, int file, int changes) {
    char link[64], path[PATH_MAX];
    int before = errno;
    if (!watched[0] || file < 3) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return fails(name, path, changes);
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define WRITES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND)
#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        MODE(flags) \
        return path_fails("open", AT_FDCWD, path, flags & WRITES) ? -1 : real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(name); \
        MODE(flags) \
        return path_fails("open", folder, path, flags & WRITES) ? -1 \
                                                                : real(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

#define WITH_FILE(result, name, changes, declared, given) \
    result name declared { \
        REAL(name); \
        return file_fails(#name, file, changes) ? -1 : real given; \
    }
#define WITH_PATH(name, changes, declared, given) \
    int name declared { \
        REAL(name); \
        return path_fails(#name, AT_FDCWD, path, changes) ? -1 : real given; \
    }

WITH_FILE(ssize_t, read, 0, (int file, void *to, size_t size), (file, to, size))
WITH_FILE(ssize_t, pread, 0, (int file, void *to, size_t size, off_t at), (file, to, size, at))
WITH_FILE(ssize_t, pread64, 0, (int file, void *to, size_t size, off64_t at), (file, to, size, at))
WITH_FILE(int, fsync, 1, (int file), (file))
WITH_FILE(int, fdatasync, 1, (int file), (file))
WITH_FILE(int, ftruncate, 1, (int file, off_t size), (file, size))
WITH_FILE(int, ftruncate64, 1, (int file, off64_t size), (file, size))
WITH_FILE(ssize_t, copy_file_range, 1,
          (int from, off64_t *at, int file, off64_t *there, size_t size, unsigned flags),
          (from, at, file, there, size, flags))
ssize_t sendfile(int file, int from, off_t *at, size_t size) {
    REAL(sendfile);
    return file_fails("sendfile", file, 1) ? -1 : real(file, from, at, size);
}

/* As a network's file system tells of writes that failed later; the file is closed all the same. */
int close(int file) {
    REAL(close);
    int changed = watched[0] && (fcntl(file, F_GETFL) & O_ACCMODE) != O_RDONLY;
    if (!changed || !file_fails("close", file, 1)) return real(file);
    int error = errno;
    real(file);
    errno = error;
    return -1;
}

/* Half of it is written before the disk is full. */
ssize_t write(int file, const void *from, size_t size) {
    REAL(write);
    if (!file_fails("write", file, 1)) return real(file, from, size);
    int error = errno;
    if (size > 1 && error == ENOSPC) return real(file, from, size / 2) < 0 ? -1 : (errno = error, -1);
    return -1;
}

WITH_PATH(mkdir, 1, (const char *path, mode_t mode), (path, mode))
WITH_PATH(rmdir, 1, (const char *path), (path))
WITH_PATH(unlink, 1, (const char *path), (path))
WITH_PATH(rename, 1, (const char *path, const char *to), (path, to))
WITH_PATH(stat, 0, (const char *path, struct stat *found), (path, found))
WITH_PATH(stat64, 0, (const char *path, struct stat64 *found), (path, found))
WITH_PATH(lstat, 0, (const char *path, struct stat *found), (path, found))
WITH_PATH(lstat64, 0, (const char *path, struct stat64 *found), (path, found))

int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat);
    return path_fails("unlink", folder, path, 1) ? -1 : real(folder, path, flags);
}

int mkdirat(int folder, const char *path, mode_t mode) {
    REAL(mkdirat);
    return path_fails("mkdir", folder, path, 1) ? -1 : real(folder, path, mode);
}

int renameat(int folder, const char *path, int other, const char *to) {
    REAL(renameat);
    return path_fails("rename", folder, path, 1) ? -1 : real(folder, path, other, to);
}

FILE *fopen(const char *path, const char *how) {
    REAL(fopen);
    return path_fails("open", AT_FDCWD, path, how[0] != 'r') ? NULL : real(path, how);
}

FILE *fopen64(const char *path, const char *how) {
    REAL(fopen64);
    return path_fails("open", AT_FDCWD, path, how[0] != 'r') ? NULL : real(path, how);
}

DIR *opendir(const char *path) {
    REAL(opendir);
    return path_fails("opendir", AT_FDCWD, path, 0) ? NULL : real(path);
}
