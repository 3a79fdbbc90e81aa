/* A file system that fails on demand: preloaded into a process, it counts every call that changes
 * files below one directory, and makes the n-th of them fail, stop halfway, or be the last thing
 * that the process does.
 *
 * All state lies in memory shared with forked children: a parent arms, a child suffers, and the
 * parent still knows afterwards which call it was.
 *
 * Power loss: the old bytes of everything written and not yet synced are kept, by file.
 * faultfs_power_loss() puts them back, as if the machine had stopped before its page cache was
 * written. What is modelled is the worst case for *content*: nothing unsynced survives (the best
 * case, everything survives, is a plain kill). What is not: a name (creation, rename, removal)
 * counts as durable at once, and unsynced writes are not mixed with each other. SQLite's "-shm"
 * file is left alone, because it is rebuilt after a restart. A failed sync leaves its file
 * unsynced until one succeeds; Linux is worse there, it may drop those pages and say nothing more.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum action { EIO_, ENOSPC_, SHORT, TEAR, KILL_BEFORE, KILL_AFTER, SYNC_EIO };
enum kind { WRITE, SYNC, ROOM, OTHER }; /* ROOM: needs a free block, as a write does */

#define PATH_BYTES 512
#define TRACE_CALLS 65536
#define TRACE_BYTES 96
#define UNDO_BYTES (256L << 20)

struct undo {
  char path[PATH_BYTES];
  long offset, length, old_size, next; /* next: where the record after this one begins */
  int live;
  char bytes[];
};

static struct shared {
  int lock;
  int armed, action, sticky, fired, full;
  long nth, count;
  char prefix[PATH_BYTES];
  char hit[PATH_BYTES];
  char trace[TRACE_CALLS][TRACE_BYTES];
  int undoing, live;
  long undo_end;
  char undo[UNDO_BYTES];
} *s;

__attribute__((constructor)) static void start(void) {
  if (s == NULL) {
    s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
             -1, 0);
    if (s == MAP_FAILED) abort();
  }
}

static void lock(void) {
  while (__sync_lock_test_and_set(&s->lock, 1)) sched_yield();
}
static void unlock(void) { __sync_lock_release(&s->lock); }

/* The call behind the one we replace. */
#define REAL(type, name, ...)                                          \
  static type (*real)(__VA_ARGS__);                                    \
  if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

/* Paths ------------------------------------------------------------------------------------- */

static int below(const char *path) {
  size_t length = strlen(s->prefix);
  return length && !strncmp(path, s->prefix, length) && (path[length] == '/' || !path[length]);
}

static int path_of(int fd, char *path) {
  char link[64];
  if (!s) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_BYTES - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return path[0] == '/' && below(path);
}

static int path_at(int directory, const char *name, char *path) {
  if (!s) return 0;
  if (name[0] == '/') {
    snprintf(path, PATH_BYTES, "%s", name);
    return below(path);
  }
  if (directory == AT_FDCWD) {
    if (!getcwd(path, PATH_BYTES)) return 0;
  } else if (!path_of(directory, path)) {
    return 0;
  }
  size_t length = strlen(path);
  snprintf(path + length, PATH_BYTES - length, "/%s", name);
  return below(path);
}

/* What happens to one call -------------------------------------------------------------------- */

enum verdict { GO, FAIL, HALF, HALF_THEN_DIE, GO_THEN_DIE };

__attribute__((noreturn)) static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* A full disk refuses what needs room, and lets syncs, renames and removals pass. */
static int concerns(enum kind kind) {
  switch (s->action) {
    case SYNC_EIO: return kind == SYNC;
    case ENOSPC_: return kind == WRITE || kind == ROOM;
    case SHORT: case TEAR: return kind == WRITE;
    default: return 1;
  }
}

/* Count one call and say what becomes of it; on FAIL errno is set. */
static enum verdict judge(const char *name, enum kind kind, const char *path) {
  enum verdict verdict = GO;
  lock();
  long n = ++s->count;
  if (n <= TRACE_CALLS) {
    const char *shown = path + strlen(s->prefix);
    snprintf(s->trace[n - 1], TRACE_BYTES, "%s %s", name, *shown ? shown + 1 : ".");
  }
  int now = s->armed && (s->sticky ? n >= s->nth : n == s->nth);
  if (s->armed && s->full && !s->sticky) { /* the rest of a short write finds the disk full */
    s->full = 0;
    errno = ENOSPC;
    verdict = FAIL;
  } else if (now && concerns(kind)) {
    if (!s->fired) snprintf(s->hit, PATH_BYTES, "call %ld, %s %s", n, name, path);
    s->fired = 1;
    switch (s->action) {
      case EIO_: case SYNC_EIO: errno = EIO; verdict = FAIL; break;
      case ENOSPC_: errno = ENOSPC; verdict = FAIL; break;
      case SHORT:
        s->full = 1;
        verdict = HALF;
        break;
      case TEAR:
        verdict = HALF_THEN_DIE;
        break;
      case KILL_BEFORE: unlock(); die(); break;
      case KILL_AFTER: verdict = GO_THEN_DIE; break;
    }
  }
  unlock();
  return verdict;
}

/* Power loss ---------------------------------------------------------------------------------- */

#define EACH_UNDO(u) \
  for (struct undo *u = (void *)s->undo; (char *)u < s->undo + s->undo_end; u = (void *)(s->undo + u->next))

/* Remember what [offset, offset + length) of a file holds and how long the file is. */
static void remember(int fd, const char *path, long offset, long length) {
  struct stat status;
  size_t end = strlen(path);
  if (!s->undoing || fstat(fd, &status) || !S_ISREG(status.st_mode) || !status.st_nlink) return;
  if (end > 4 && !strcmp(path + end - 4, "-shm")) return;
  long kept = offset >= status.st_size ? 0 : status.st_size - offset;
  if (length < kept) kept = length;
  lock();
  struct undo *u = (void *)(s->undo + s->undo_end);
  long next = s->undo_end + ((long)sizeof *u + kept + 15) / 16 * 16;
  if (next > UNDO_BYTES) {
    fprintf(stderr, "faultfs: more unsynced bytes than can be remembered\n");
    abort();
  }
  int again = -1;
  if (kept) { /* the descriptor may be write-only */
    REAL(int, open64, const char *, int, ...);
    again = real(path, O_RDONLY | O_CLOEXEC);
    if (again < 0 || pread64(again, u->bytes, kept, offset) != kept) abort();
    close(again);
  }
  snprintf(u->path, PATH_BYTES, "%s", path);
  u->offset = offset, u->length = kept, u->old_size = status.st_size, u->next = next, u->live = 1;
  s->live++;
  s->undo_end = next;
  unlock();
}

static void settle(void) {
  if (s->live == 0) s->undo_end = 0;
}

static void forget(const char *path) {
  lock();
  EACH_UNDO(u) if (u->live && !strcmp(u->path, path)) u->live = 0, s->live--;
  settle();
  unlock();
}

static void renamed(const char *from, const char *to) {
  size_t length = strlen(from);
  forget(to);
  lock();
  EACH_UNDO(u) {
    if (strncmp(u->path, from, length) || (u->path[length] && u->path[length] != '/')) continue;
    char rest[PATH_BYTES];
    snprintf(rest, sizeof rest, "%s", u->path + length);
    snprintf(u->path, PATH_BYTES, "%.250s%.250s", to, rest);
  }
  unlock();
}

/* For the driver ------------------------------------------------------------------------------ */

void faultfs_arm(const char *prefix, long nth, int action, int sticky) {
  snprintf(s->prefix, PATH_BYTES, "%s", prefix);
  s->nth = nth, s->action = action, s->sticky = sticky;
  s->count = 0, s->fired = 0, s->full = 0, s->hit[0] = 0;
  s->armed = nth > 0;
}
void faultfs_disarm(void) { s->armed = 0; }
/* Between two children: the last one may have died with the lock in its hand. */
void faultfs_unlock(void) { unlock(); }
long faultfs_count(void) { return s->count; }
const char *faultfs_hit(void) { return s->hit; }
const char *faultfs_call(long n) { return n < 1 || n > TRACE_CALLS ? "" : s->trace[n - 1]; }

/* Begin to remember (1) or stop and forget (0); what is on the disk now counts as durable. */
void faultfs_remember(int on) { s->undoing = on, s->live = 0, s->undo_end = 0; }

/* Put back everything unsynced, newest first; returns how many writes were lost. */
int faultfs_power_loss(void) {
  REAL(int, open64, const char *, int, ...);
  static ssize_t (*put)(int, const void *, size_t, off64_t);
  static int (*cut)(int, off64_t);
  if (!put) put = dlsym(RTLD_NEXT, "pwrite64"), cut = dlsym(RTLD_NEXT, "ftruncate64");
  int count = 0, at = 0;
  EACH_UNDO(u) count += u->live;
  struct undo **order = calloc(count + 1, sizeof *order);
  EACH_UNDO(u) if (u->live) order[at++] = u;
  while (at--) {
    struct undo *u = order[at];
    int fd = real(u->path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) continue; /* its name is gone */
    if (u->length && put(fd, u->bytes, u->length, u->offset) != u->length) abort();
    if (cut(fd, u->old_size)) abort();
    close(fd);
  }
  free(order);
  s->live = 0, s->undo_end = 0;
  return count;
}

/* The calls ----------------------------------------------------------------------------------- */

/* A call that either happens or fails, on a path that is already known. */
#define WHOLE(name, kind, path, call, after)           \
  switch (judge(name, kind, path)) {                   \
    case FAIL: case HALF: return -1;                   \
    case GO_THEN_DIE: { (void)!(call); die(); }        \
    case HALF_THEN_DIE: die();                         \
    case GO: break;                                    \
  }                                                    \
  int result = (call);                                 \
  if (result >= 0) { after; }                          \
  return result

#define WRITER(name, type, params, first, length, offset, whole, half)   \
  type name params {                                                              \
    char path[PATH_BYTES];                                                        \
    if (!path_of(first, path)) return whole;                                      \
    enum verdict verdict = judge(#name, WRITE, path);                             \
    if (verdict == FAIL) return -1;                                               \
    remember(first, path, offset, length);                                        \
    if (verdict == HALF || verdict == HALF_THEN_DIE) {                            \
      type done = half;                                                           \
      if (verdict == HALF_THEN_DIE) die();                                        \
      if (done == 0) { s->full = 0; errno = ENOSPC; return -1; }                  \
      return done;                                                                \
    }                                                                             \
    type done = whole;                                                            \
    if (verdict == GO_THEN_DIE) die();                                            \
    return done;                                                                  \
  }

static long position(int fd) {
  if (fcntl(fd, F_GETFL) & O_APPEND) return lseek64(fd, 0, SEEK_END);
  return lseek64(fd, 0, SEEK_CUR);
}
static size_t total(const struct iovec *parts, int count) {
  size_t sum = 0;
  for (int i = 0; i < count; i++) sum += parts[i].iov_len;
  return sum;
}

static ssize_t real_write(int fd, const void *from, size_t length) {
  REAL(ssize_t, write, int, const void *, size_t);
  return real(fd, from, length);
}
static ssize_t real_pwrite(int fd, const void *from, size_t length, off64_t offset) {
  REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
  return real(fd, from, length, offset);
}
static ssize_t real_writev(int fd, const struct iovec *parts, int count) {
  REAL(ssize_t, writev, int, const struct iovec *, int);
  return real(fd, parts, count);
}
static ssize_t real_pwritev(int fd, const struct iovec *parts, int count, off64_t offset) {
  REAL(ssize_t, pwritev64, int, const struct iovec *, int, off64_t);
  return real(fd, parts, count, offset);
}

WRITER(write, ssize_t, (int fd, const void *from, size_t length), fd, length, position(fd),
       real_write(fd, from, length), real_write(fd, from, length / 2))
WRITER(pwrite, ssize_t, (int fd, const void *from, size_t length, off_t at), fd, length, at,
       real_pwrite(fd, from, length, at), real_pwrite(fd, from, length / 2, at))
WRITER(pwrite64, ssize_t, (int fd, const void *from, size_t length, off64_t at), fd, length, at,
       real_pwrite(fd, from, length, at), real_pwrite(fd, from, length / 2, at))
/* Half of a vector: its first part, halved. */
WRITER(writev, ssize_t, (int fd, const struct iovec *parts, int count), fd, total(parts, count),
       position(fd), real_writev(fd, parts, count),
       real_write(fd, parts->iov_base, parts->iov_len / 2))
WRITER(pwritev, ssize_t, (int fd, const struct iovec *parts, int count, off_t at), fd,
       total(parts, count), at, real_pwritev(fd, parts, count, at),
       real_pwrite(fd, parts->iov_base, parts->iov_len / 2, at))
WRITER(pwritev64, ssize_t, (int fd, const struct iovec *parts, int count, off64_t at), fd,
       total(parts, count), at, real_pwritev(fd, parts, count, at),
       real_pwrite(fd, parts->iov_base, parts->iov_len / 2, at))

#define SYNCER(name)                                           \
  int name(int fd) {                                           \
    char path[PATH_BYTES];                                     \
    REAL(int, name, int);                                      \
    if (!path_of(fd, path)) return real(fd);                   \
    WHOLE(#name, SYNC, path, real(fd), forget(path));          \
  }
SYNCER(fsync)
SYNCER(fdatasync)

#define CUTTER(name, off_type)                                                 \
  int name(int fd, off_type length) {                                          \
    char path[PATH_BYTES];                                                     \
    struct stat status;                                                        \
    REAL(int, name, int, off_type);                                            \
    if (!path_of(fd, path) || fstat(fd, &status)) return real(fd, length);     \
    long lost = status.st_size > length ? status.st_size - length : 0;         \
    WHOLE(#name, OTHER, path, (remember(fd, path, length, lost), real(fd, length)), ); \
  }
CUTTER(ftruncate, off_t)
CUTTER(ftruncate64, off64_t)

#define ALLOCATOR(name, off_type)                                               \
  int name(int fd, int mode, off_type offset, off_type length) {                \
    char path[PATH_BYTES];                                                      \
    REAL(int, name, int, int, off_type, off_type);                              \
    if (!path_of(fd, path)) return real(fd, mode, offset, length);              \
    WHOLE(#name, ROOM, path,                                                    \
          (remember(fd, path, offset, length), real(fd, mode, offset, length)), ); \
  }
ALLOCATOR(fallocate, off_t)
ALLOCATOR(fallocate64, off64_t)

int posix_fallocate(int fd, off_t offset, off_t length) {
  return fallocate(fd, 0, offset, length) ? errno : 0;
}

int fchmod(int fd, mode_t mode) {
  char path[PATH_BYTES];
  REAL(int, fchmod, int, mode_t);
  if (!path_of(fd, path)) return real(fd, mode);
  WHOLE("fchmod", OTHER, path, real(fd, mode), );
}

/* A file that is emptied by being opened loses its content like any other. */
static void emptied(const char *path, int flags) {
  struct stat status;
  if (!(flags & O_TRUNC) || stat(path, &status)) return;
  REAL(int, open64, const char *, int, ...);
  int fd = real(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  remember(fd, path, 0, status.st_size);
  close(fd);
}

#define MODE                                    \
  va_list rest;                                 \
  va_start(rest, flags);                        \
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
  va_end(rest)

#define OPENER(name, params, directory, call, ...)                                   \
  int name params {                                                                 \
    MODE;                                                                           \
    char path[PATH_BYTES];                                                          \
    REAL(int, name, __VA_ARGS__);                                                   \
    if (!(flags & (O_CREAT | O_TRUNC)) || !path_at(directory, file, path)) return call; \
    if (!(flags & O_TRUNC) && access(path, F_OK) == 0) return call; /* changes nothing */ \
    WHOLE("open", ROOM, path, (emptied(path, flags), call), );                     \
  }
OPENER(open, (const char *file, int flags, ...), AT_FDCWD, real(file, flags, mode), const char *,
       int, ...)
OPENER(open64, (const char *file, int flags, ...), AT_FDCWD, real(file, flags, mode), const char *,
       int, ...)
OPENER(openat, (int at, const char *file, int flags, ...), at, real(at, file, flags, mode), int,
       const char *, int, ...)
OPENER(openat64, (int at, const char *file, int flags, ...), at, real(at, file, flags, mode), int,
       const char *, int, ...)

static int move(int from_at, const char *from, int to_at, const char *to) {
  char old[PATH_BYTES], new[PATH_BYTES];
  REAL(int, renameat, int, const char *, int, const char *);
  if (!path_at(to_at, to, new) || !path_at(from_at, from, old)) return real(from_at, from, to_at, to);
  WHOLE("rename", OTHER, new, real(from_at, from, to_at, to), renamed(old, new));
}
int rename(const char *from, const char *to) { return move(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int from_at, const char *from, int to_at, const char *to) {
  return move(from_at, from, to_at, to);
}

static int drop(int at, const char *file, int flags) {
  char path[PATH_BYTES];
  REAL(int, unlinkat, int, const char *, int);
  if (!path_at(at, file, path)) return real(at, file, flags);
  WHOLE(flags & AT_REMOVEDIR ? "rmdir" : "unlink", OTHER, path, real(at, file, flags), forget(path));
}
int unlink(const char *file) { return drop(AT_FDCWD, file, 0); }
int unlinkat(int at, const char *file, int flags) { return drop(at, file, flags); }
int rmdir(const char *file) { return drop(AT_FDCWD, file, AT_REMOVEDIR); }

static int make(int at, const char *file, mode_t mode) {
  char path[PATH_BYTES];
  REAL(int, mkdirat, int, const char *, mode_t);
  if (!path_at(at, file, path)) return real(at, file, mode);
  WHOLE("mkdir", ROOM, path, real(at, file, mode), );
}
int mkdir(const char *file, mode_t mode) { return make(AT_FDCWD, file, mode); }
int mkdirat(int at, const char *file, mode_t mode) { return make(at, file, mode); }
