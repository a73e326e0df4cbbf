/* SPDX-License-Identifier: MIT
 *
 * copy_tree.c: one thread walks through the folder, the others copy the files that it finds.
 *
 * How: the walker makes the folders and symbolic links, and puts the files into a queue, which has
 *      no bound: so the walk is soon over, and it is known how much there is. Each copier writes
 *      into a file of its own in a scratch folder within the target, which gets its name by
 *      rename() when it is whole. The folders get their modes and times in the end, the innermost
 *      first: until then they must let files be made in them, and that changes their times.
 *
 * All are a group: an error that ends the copy, a deadline or a cancellation ends all of them, and
 * none outlives copy_tree().
 */
#include "use_cases/copy_tree.h"

#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "use_cases/copy_paths.h"
#include "use_cases/status_line.h"

enum {
    PIECE = 256 * 1024,     /* bytes that are copied between two looks at a cancellation */
    PIECE_LEAST = 4 * 1024, /* where the rate is limited */
    PIECES_PER_SECOND = 20, /* then */
    FOLDERS_FIRST = 64,     /* room to begin with */
};

/* What is kept of a mode: not the bits that give rights of the owner, who may be another now. */
static const mode_t MODE_KEPT = 0777 | S_ISVTX;

/* A file to be copied; the queue, or the thread that has taken it, owns the names. */
struct file {
    char *from, *to;
    uint64_t size; /* when it was found */
};

/* A folder that was made, and what it should be like in the end. */
struct folder {
    char *to;
    mode_t mode;
    struct timespec times[2];
};

struct copy {
    const struct copy_request *request;
    struct progress *progress;
    char *scratch;          /* the folder for files that are not whole yet */
    conc_queue files;       /* of struct file */
    struct folder *folders; /* in the order in which they were found; the walker's */
    size_t count, room;     /* of folders */
    struct stat target;     /* the copy's own folder */
    conc_bucket bytes;      /* if the rate is limited */
    size_t piece;           /* bytes */
    bool told;              /* under progress->lock: why it ends has been told */
};

/* A copier's own. */
struct copier {
    struct copy *copy;
    char *scratch; /* the name of the file that it is writing */
    char *buffer;  /* of PIECE bytes */
};

/* ---- Problems ---- */

/* Errors after which nothing could be written any more. */
static bool ends_all(int err)
{
    return err == -ENOSPC || err == -EDQUOT || err == -EROFS || err == -ENOMEM;
}

/* Tell what could not be done, once if it ends everything. @return 0: go on with the next; else
 * err: end */
static int problem(struct copy *copy, const char *what, const char *path, int err)
{
    bool tell = true;
    if (err == -ECANCELED)
        return err;
    conc_with_lock (&copy->progress->lock) {
        copy->progress->tally.problems++;
        tell = !copy->told;
        copy->told = copy->told || ends_all(err);
    }
    if (tell)
        complain_above("%s %s: %s", what, path, conc_strerror(err));
    return ends_all(err) ? err : 0;
}

/* ---- A file ---- */

/* Where the next bytes are: at `at`, or behind the hole that is there, or, if that is the file's
 * last, at its end. */
static off_t skip_hole(int fd, off_t at)
{
    off_t data = lseek(fd, at, SEEK_DATA);
    if (data >= 0)
        return data;
    if (errno != ENXIO)
        return at; /* a file system that knows no holes */
    off_t end = lseek(fd, 0, SEEK_END);
    return end > at ? end : at;
}

static void count_bytes(struct copy *copy, uint64_t n)
{
    conc_with_lock (&copy->progress->lock) {
        copy->progress->tally.bytes_done += n;
    }
}

/* Copy what one file holds to the other, leaving out the holes. *wrote tells which of them an error
 * is of, and *copied how far it came. */
static int copy_bytes(struct copier *copier, int in, int out, uint64_t *copied, bool *wrote)
{
    struct copy *copy = copier->copy;
    for (off_t at = 0;;) {
        off_t begin = skip_hole(in, at);
        count_bytes(copy, (uint64_t)(begin - at));
        *copied = (uint64_t)begin;
        ssize_t n = conc_pread(in, copier->buffer, copy->piece, begin, CONC_FOREVER);
        if (n > 0 && copy->request->rate > 0) {
            int err = conc_bucket_take(&copy->bytes, (uint32_t)n, CONC_FOREVER);
            if (err)
                return err;
        }
        if (n < 0)
            return (int)n;
        *wrote = true;
        if (n == 0)
            return begin > 0 ? conc_ftruncate(out, begin, CONC_FOREVER) : 0; /* a hole at the end */
        for (ssize_t done = 0, m; done < n; done += m) {
            m = conc_pwrite(out, copier->buffer + done, (size_t)(n - done), begin + done,
                            CONC_FOREVER);
            if (m < 0)
                return (int)m;
        }
        *wrote = false;
        at = begin + n;
        count_bytes(copy, (uint64_t)n);
        *copied = (uint64_t)at;
    }
}

/* The mode and times, last of all: writing changes the times. */
static int set_attributes(int fd, const struct stat *st)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    return fchmod(fd, st->st_mode & MODE_KEPT) == 0 && futimens(fd, times) == 0 ? 0 : -errno;
}

/* Open a file to read it; what has become something else meanwhile is refused, and cannot hang
 * us. */
static int open_source(const char *path, struct stat *st)
{
    int fd = conc_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, CONC_FOREVER);
    if (fd < 0)
        return fd;
    int err = fstat(fd, st) == 0 ? 0 : -errno;
    if (!err && S_ISREG(st->st_mode))
        return fd;
    conc_close(fd);
    return err ? err : -ESTALE;
}

/* Write the copy under its scratch name, and close it. */
static int write_scratch(struct copier *copier, int in, const struct stat *st, uint64_t *copied,
                         bool *wrote)
{
    *wrote = true;
    int out = conc_open(copier->scratch, O_WRONLY | O_CREAT | O_EXCL, 0600, CONC_FOREVER);
    if (out < 0)
        return out;
    *wrote = false;
    int err = copy_bytes(copier, in, out, copied, wrote);
    if (!err)
        err = set_attributes(out, st);
    int late = conc_close(out); /* some file systems tell only now that the disk is full */
    if (err || !late)
        return err;
    *wrote = true;
    return late;
}

/* Count a file's end. If it failed, it counts as if it had never been found; if it has grown or
 * shrunk since it was found, that is put right. */
static void count_file(struct copy *copy, const struct file *file, uint64_t copied, bool whole)
{
    conc_with_lock (&copy->progress->lock) {
        struct tally *tally = &copy->progress->tally;
        tally->bytes_found -= file->size;
        if (whole) {
            tally->bytes_found += copied;
            tally->files_done++;
        } else {
            tally->bytes_done -= copied;
            tally->files_found--;
        }
    }
}

/* @return 0: copied, or told why not; else the error that ends everything */
static int copy_file(struct copier *copier, const struct file *file)
{
    struct stat st;
    uint64_t copied = 0;
    bool wrote = false;
    int in = open_source(file->from, &st);
    int err = in < 0 ? in : write_scratch(copier, in, &st, &copied, &wrote);
    conc_close(in);
    if (!err) {
        wrote = true;
        err = conc_rename(copier->scratch, file->to, CONC_FOREVER);
    }
    if (err == -ECANCELED)
        count_bytes(copier->copy, -copied); /* it stays found, and not done */
    else
        count_file(copier->copy, file, copied, !err);
    if (!err)
        return 0;

    conc_scope shield;
    conc_shield_enter(&shield); /* also when cancelled: above all then */
    conc_unlink(copier->scratch, CONC_FOREVER);
    conc_shield_exit(&shield);
    return problem(copier->copy, wrote ? "cannot write" : "cannot read",
                   wrote ? file->to : file->from, err);
}

/* ---- The copiers ---- */

static void file_free(struct file *file)
{
    free(file->from);
    free(file->to);
}

static void drop_file(void *item, void *arg) { file_free(item); }

static int copy_files(void *arg, void *result)
{
    struct copy *copy = *(struct copy **)arg;
    struct copier copier = {.copy = copy, .buffer = malloc(PIECE)};
    struct file file;
    if (asprintf(&copier.scratch, "%s/%u", copy->scratch, conc_context_id(NULL)) < 0)
        copier.scratch = NULL;
    int err = copier.buffer == NULL || copier.scratch == NULL ? -ENOMEM : 0;
    if (err)
        problem(copy, "cannot copy", copy->request->from, err);
    while (!err) {
        err = conc_queue_get(&copy->files, &file, CONC_FOREVER);
        if (!err) {
            err = copy_file(&copier, &file);
            file_free(&file);
        }
    }
    free(copier.scratch);
    free(copier.buffer);
    return err == -ESHUTDOWN ? 0 : err; /* all have been copied */
}

/* ---- The walker ---- */

/* Remember a folder that has been made. Takes `to`. */
static int add_folder(struct copy *copy, char *to, const struct stat *st)
{
    if (copy->count == copy->room) {
        size_t room = copy->room == 0 ? FOLDERS_FIRST : 2 * copy->room;
        struct folder *folders = reallocarray(copy->folders, room, sizeof *folders);
        if (folders == NULL) {
            free(to);
            return -ENOMEM;
        }
        copy->folders = folders;
        copy->room = room;
    }
    copy->folders[copy->count++] = (struct folder){
        .to = to, .mode = st->st_mode & MODE_KEPT, .times = {st->st_atim, st->st_mtim}};
    return 0;
}

/* Takes `to`. */
static int make_folder(struct copy *copy, FTS *fts, FTSENT *entry, char *to)
{
    int err = entry->fts_level == 0 ? 0 : conc_mkdir(to, 0700, CONC_FOREVER);
    if (err) {
        fts_set(fts, entry, FTS_SKIP);
        err = problem(copy, "cannot make", to, err);
        free(to);
        return err;
    }
    conc_with_lock (&copy->progress->lock) {
        copy->progress->tally.folders++;
    }
    err = add_folder(copy, to, entry->fts_statp);
    return err ? problem(copy, "cannot make", entry->fts_path, err) : 0;
}

static int copy_link(struct copy *copy, const FTSENT *entry, const char *to)
{
    const struct timespec times[2] = {entry->fts_statp->st_atim, entry->fts_statp->st_mtim};
    char target[PATH_MAX];
    ssize_t n = readlink(entry->fts_accpath, target, sizeof target);
    if (n < 0 || n == sizeof target)
        return problem(copy, "cannot read", entry->fts_path, n < 0 ? -errno : -ENAMETOOLONG);
    target[n] = '\0';
    if (symlink(target, to) != 0 || utimensat(AT_FDCWD, to, times, AT_SYMLINK_NOFOLLOW) != 0)
        return problem(copy, "cannot write", to, -errno);
    conc_with_lock (&copy->progress->lock) {
        copy->progress->tally.links++;
    }
    return 0;
}

/* Takes `to`. */
static int put_file(struct copy *copy, const FTSENT *entry, char *to)
{
    struct file file = {
        .from = strdup(entry->fts_path), .to = to, .size = (uint64_t)entry->fts_statp->st_size};
    int err = file.from == NULL ? -ENOMEM : 0;
    conc_with_lock (&copy->progress->lock) { /* before a copier can be done with it */
        copy->progress->tally.files_found++;
        copy->progress->tally.bytes_found += file.size;
    }
    if (!err)
        err = conc_queue_put(&copy->files, &file, CONC_FOREVER);
    if (!err)
        return 0;
    file_free(&file);
    return problem(copy, "cannot copy", entry->fts_path, err);
}

/* Only by a folder that is mounted in two places: check_paths() has seen to all else. */
static bool is_copy_itself(const struct copy *copy, const FTSENT *entry)
{
    const struct stat *st = entry->fts_statp;
    return st->st_dev == copy->target.st_dev && st->st_ino == copy->target.st_ino;
}

static int visit(struct copy *copy, FTS *fts, FTSENT *entry)
{
    char *to = target_path(copy->request->from, copy->request->to, entry->fts_path);
    int err = 0;
    if (to == NULL)
        return problem(copy, "cannot copy", entry->fts_path, -ENOMEM);
    switch (entry->fts_info) {
    case FTS_D:
        if (!is_copy_itself(copy, entry))
            return make_folder(copy, fts, entry, to);
        fts_set(fts, entry, FTS_SKIP);
        complain_above("skipped %s: the copy itself", entry->fts_path);
        break;
    case FTS_F:
        return put_file(copy, entry, to);
    case FTS_SL:
    case FTS_SLNONE:
        err = copy_link(copy, entry, to);
        break;
    case FTS_DEFAULT:
        complain_above("skipped %s: a fifo, socket or device", entry->fts_path);
        break;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        err = problem(copy, "cannot read", entry->fts_path, -entry->fts_errno);
        break;
    case FTS_DC: /* only by a folder mounted within itself */
        err = problem(copy, "cannot copy", entry->fts_path, -ELOOP);
        break;
    }
    free(to);
    return err;
}

static int walk(void *arg, void *result)
{
    struct copy *copy = *(struct copy **)arg;
    char *const roots[] = {(char *)copy->request->from, NULL};
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
    int err = 0;
    if (fts == NULL)
        err = problem(copy, "cannot read", copy->request->from, -errno);
    while (fts != NULL && !err) {
        errno = 0;
        FTSENT *entry = fts_read(fts);
        if (entry == NULL) {
            err = errno != 0 ? problem(copy, "cannot read", copy->request->from, -errno) : 0;
            break;
        }
        err = conc_check_cancel();
        if (!err)
            err = visit(copy, fts, entry);
    }
    if (fts != NULL)
        fts_close(fts);
    conc_with_lock (&copy->progress->lock) {
        copy->progress->tally.all_found = !err;
    }
    conc_queue_shutdown(&copy->files, false); /* no more to come */
    return err;
}

/* ---- All of it ---- */

/* What the walker and the copiers do, until the last of them has ended. Each has a thread of its
 * own, rather than a place in a pool, where one that has got none would wait for the others. */
static int run_group(struct copy *copy)
{
    conc_executor *threads;
    int err = conc_thread_per_job_new(&threads);
    if (err)
        return problem(copy, "cannot copy", copy->request->from, err);
    conc_with_group (group, &err, conc_in(copy->request->timeout)) {
        conc_group_submit(group, threads, walk, &copy, sizeof copy, NULL, 0);
        for (size_t i = 0; i < copy->request->workers; i++)
            conc_group_submit(group, threads, copy_files, &copy, sizeof copy, NULL, 0);
    }
    conc_executor_free(threads);
    if (err && err != -ETIMEDOUT && !copy->told) /* no thread */
        problem(copy, "cannot copy", copy->request->from, err);
    return err;
}

/* Modes and times of the folders, whatever has become of the copy. */
static void finish_folders(struct copy *copy)
{
    while (copy->count > 0) {
        struct folder *folder = &copy->folders[--copy->count];
        if (chmod(folder->to, folder->mode) != 0 ||
            utimensat(AT_FDCWD, folder->to, folder->times, 0) != 0)
            problem(copy, "cannot set the mode and times of", folder->to, -errno);
        free(folder->to);
    }
    free(copy->folders);
}

static int copy_within(struct copy *copy)
{
    int err = conc_queue_init(&copy->files, sizeof(struct file), 0, CONC_FIFO);
    if (err)
        return problem(copy, "cannot copy", copy->request->from, err);
    conc_queue_on_drop(&copy->files, drop_file, NULL);
    if (stat(copy->request->to, &copy->target) == 0 && mkdtemp(copy->scratch) != NULL) {
        err = run_group(copy);
        rmdir(copy->scratch);
    } else {
        err = -errno;
        problem(copy, "cannot write to", copy->request->to, err);
    }
    if (copy->count == 0) /* the walker has not begun */
        rmdir(copy->request->to);
    finish_folders(copy);
    conc_queue_destroy(&copy->files);
    return err;
}

int copy_tree(const struct copy_request *request)
{
    struct copy copy = {.request = request, .progress = request->progress, .piece = PIECE};
    int err = check_paths(request->from, request->to);
    if (err) {
        complain_above("%s", conc_describe(err));
        return err;
    }
    if (request->rate > 0) {
        double piece = request->rate / PIECES_PER_SECOND;
        copy.piece = piece < PIECE_LEAST ? PIECE_LEAST : piece > PIECE ? PIECE : (size_t)piece;
        err = conc_bucket_init(&copy.bytes, request->rate, 2 * (double)copy.piece);
        if (err)
            return problem(&copy, "cannot limit the rate of", request->from, err);
    }
    if (asprintf(&copy.scratch, "%s/.responsive_copy-XXXXXX", request->to) < 0)
        return problem(&copy, "cannot copy", request->from, -ENOMEM);
    err = conc_mkdir(request->to, 0700, CONC_FOREVER);
    if (err)
        problem(&copy, "cannot make", request->to, err);
    else
        err = copy_within(&copy);
    free(copy.scratch);
    return err;
}
