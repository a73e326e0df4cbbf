/* SPDX-License-Identifier: MIT
 *
 * index_folder.c: threads, and the queues between them:
 *
 *     scan -> identify -> convert (a thread for each kind, with a queue of its own) -> write
 *
 * How: each takes from the queue before it and puts into the one behind it. When the first has
 *      nothing more to give, it shuts its queue down; the thread behind it finds that out and does
 *      the same with the next queue, the converters when the last of them ends. So the end travels
 *      along behind the last file, and the writer knows that it has got everything. An error, or a
 *      cancellation, ends all at once: they are a group.
 * Bounds: the results' queue holds few, since a text may be large. The converters' queues hold any
 *      number of names: if one that is full could stop identify(), it would stop the converters of
 *      all other kinds too.
 * Batches: the writer takes what has gathered while it wrote the last batch, and writes it in one
 *      transaction: the slower the disk, the larger the batches. A batch that was taken is written,
 *      whatever happens.
 */
#include "use_cases/index_folder.h"

#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "use_cases/status_line.h"

enum {
    FOUND_MAX = 1024, /* files that wait to be identified */
    RESULTS_MAX = 32, /* files that wait to be written: times the largest text */
    BATCH_MAX = RESULTS_MAX,
};

/* A file on its way. The queue or the thread that has it owns the path and the text. */
struct file {
    char *path;
    int64_t size, mtime;
    char type[TYPE_MAX];
    struct text text;
    bool converted;
};

struct indexing {
    const struct index_request *request;
    conc_queue found, kinds[KINDS], results; /* of struct file */
    struct known *known; /* what the index knew at the beginning, by path; the scanner marks them */
    size_t known_count;
    struct index_tally *tally;
    size_t converters; /* that have not ended; under tally->lock */
};

/* ---- What all do ---- */

static void file_free(struct file *file)
{
    free(file->path);
    text_free(&file->text);
}

static void drop_file(void *item, void *arg) { file_free(item); }

/* Hand a file on; if that cannot be, it ends here. */
static int pass_on(conc_queue *queue, struct file *file)
{
    int err = conc_queue_put(queue, file, CONC_FOREVER);
    if (err)
        file_free(file);
    return err;
}

static void count_failure(struct indexing *indexing)
{
    conc_with_lock (&indexing->tally->lock) {
        indexing->tally->failed++;
    }
}

/* ---- Scan: which files are there, and which of them are new? ---- */

static int compare_known(const void *path, const void *known)
{
    return strcmp(path, ((const struct known *)known)->path);
}

/* Folders that cannot be looked into: nothing is known of what is in them, so nothing is
 * removed. */
static void keep_all_in(struct indexing *indexing, const char *path)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < indexing->known_count; i++) {
        struct known *known = &indexing->known[i];
        if (strncmp(known->path, path, length) == 0 &&
            (known->path[length] == '/' || known->path[length] == '\0'))
            known->seen = true;
    }
}

static int cannot_read(struct indexing *indexing, const char *path, int error)
{
    keep_all_in(indexing, path);
    count_failure(indexing);
    complain_above("cannot read %s: %s", path, conc_strerror(error));
    return 0;
}

/* Is it the database, or one of the files that SQLite puts beside it? */
static bool is_database(const struct indexing *indexing, const char *path)
{
    static const char *const ENDS[] = {"", "-journal", "-wal", "-shm"};
    const char *db = indexing->request->db_path;
    size_t length = strlen(db);
    if (strncmp(path, db, length) != 0)
        return false;
    for (size_t i = 0; i < sizeof ENDS / sizeof *ENDS; i++)
        if (strcmp(path + length, ENDS[i]) == 0)
            return true;
    return false;
}

static int found_file(struct indexing *indexing, const FTSENT *entry)
{
    const struct stat *st = entry->fts_statp;
    struct file file = {
        .size = st->st_size,
        .mtime = CONC_S(st->st_mtim.tv_sec) + st->st_mtim.tv_nsec,
    };
    if (is_database(indexing, entry->fts_path))
        return 0;
    struct known *known = NULL;
    if (indexing->known_count > 0) /* else there is no array either */
        known = bsearch(entry->fts_path, indexing->known, indexing->known_count,
                        sizeof *indexing->known, compare_known);
    if (known != NULL)
        known->seen = true;
    if (known != NULL && known->size == file.size && known->mtime == file.mtime &&
        known->converted) {
        conc_with_lock (&indexing->tally->lock) {
            indexing->tally->unchanged++;
        }
        return 0;
    }
    if (faccessat(AT_FDCWD, entry->fts_path, R_OK, AT_EACCESS) != 0)
        return cannot_read(indexing, entry->fts_path, errno);
    file.path = strdup(entry->fts_path);
    return file.path == NULL ? -ENOMEM : pass_on(&indexing->found, &file);
}

static int visit(struct indexing *indexing, const FTSENT *entry)
{
    switch (entry->fts_info) {
    case FTS_F:
        return found_file(indexing, entry);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        return cannot_read(indexing, entry->fts_path, entry->fts_errno);
    default: /* folders, links, and what has no contents */
        return 0;
    }
}

static int scan(void *arg, void *result)
{
    struct indexing *indexing = *(struct indexing **)arg;
    const char *folder = indexing->request->folder;
    char *const roots[] = {(char *)(*folder != '\0' ? folder : "/"), NULL};
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (fts == NULL)
        return conc_raise(-errno, "cannot read %s: %s", roots[0], conc_strerror(errno));
    int err = 0;
    while (!err) {
        errno = 0;
        FTSENT *entry = fts_read(fts);
        if (entry == NULL) {
            err = errno == 0
                      ? 0
                      : conc_raise(-errno, "cannot read %s: %s", folder, conc_strerror(errno));
            break;
        }
        err = conc_check_cancel();
        if (!err)
            err = visit(indexing, entry);
    }
    fts_close(fts);
    conc_queue_shutdown(&indexing->found, err != 0);
    return err;
}

/* ---- Identify: which converter is a file for? ---- */

/* The types of n files: by the program, or, if it does not help, by guessing. *program is cleared
 * when it isn't there. */
static int find_types(struct indexing *indexing, struct file *files, size_t n, bool *program)
{
    const char *paths[FILES_MAX];
    char types[FILES_MAX][TYPE_MAX];
    int err = -ENOENT;
    for (size_t i = 0; i < n; i++)
        paths[i] = files[i].path;
    if (*program)
        err = identify(paths, n, types, conc_in(indexing->request->timeout));
    if (err == -ECANCELED)
        return err;
    if (*program && err) {
        complain_above("%s: types are guessed by the files' names", conc_describe(err));
        *program = err != -ENOENT && err != -EACCES;
    }
    for (size_t i = 0; i < n; i++)
        if (err)
            guess_type(paths[i], files[i].type, conc_in(indexing->request->timeout));
        else
            memcpy(files[i].type, types[i], TYPE_MAX);
    return 0;
}

static int identify_files(void *arg, void *result)
{
    struct indexing *indexing = *(struct indexing **)arg;
    struct file files[FILES_MAX];
    bool program = true;
    ptrdiff_t n;
    while ((n = conc_queue_get_many(&indexing->found, files, FILES_MAX, CONC_FOREVER)) > 0) {
        int err = find_types(indexing, files, (size_t)n, &program);
        for (ptrdiff_t i = 0; i < n; i++)
            if (err)
                file_free(&files[i]);
            else
                err = pass_on(&indexing->kinds[kind_of(files[i].type)], &files[i]);
        if (err)
            return err;
    }
    if (n != -ESHUTDOWN)
        return (int)n;
    for (size_t i = 0; i < KINDS; i++)
        conc_queue_shutdown(&indexing->kinds[i], false);
    return 0;
}

/* ---- Convert: a thread for each kind ---- */

struct converter {
    struct indexing *indexing;
    size_t kind;
    bool missing; /* its program is not there */
};

/* Tell why a file has no text. */
static void tell_failure(struct converter *converter, const struct file *file, int err)
{
    const struct kind *kind = &KIND[converter->kind];
    converter->missing = kind->program[0] != NULL && (err == -ENOENT || err == -EACCES);
    if (converter->missing) {
        complain_above("%s: %s files are found by their names only", conc_describe(err),
                       kind->name);
        return;
    }
    complain_above("%s: %s", file->path, conc_describe(err));
    count_failure(converter->indexing);
}

/* @return 0, with or without a text; -ECANCELED */
static int convert_file(struct converter *converter, struct file *file)
{
    const struct index_request *request = converter->indexing->request;
    int64_t started = conc_now();
    int err = -ENOENT;
    if (!converter->missing) {
        err = convert(&KIND[converter->kind], file->path, request->max_text, &file->text,
                      conc_in(request->timeout));
        if (err == -ECANCELED)
            return err;
        if (err)
            tell_failure(converter, file, err);
    }
    file->converted = !err;
    conc_with_lock (&converter->indexing->tally->lock) {
        converter->indexing->tally->kinds[converter->kind].files++;
        converter->indexing->tally->kinds[converter->kind].busy += conc_now() - started;
    }
    return 0;
}

static int convert_files(void *arg, void *result)
{
    struct converter *converter = arg;
    struct indexing *indexing = converter->indexing;
    struct file file;
    int err;
    while ((err = conc_queue_get(&indexing->kinds[converter->kind], &file, CONC_FOREVER)) == 0) {
        err = convert_file(converter, &file);
        if (err) {
            file_free(&file);
            return err;
        }
        err = pass_on(&indexing->results, &file);
        if (err)
            return err;
    }
    if (err != -ESHUTDOWN)
        return err;
    bool last = false;
    conc_with_lock (&indexing->tally->lock) {
        last = --indexing->converters == 0;
    }
    if (last)
        conc_queue_shutdown(&indexing->results, false);
    return 0;
}

/* ---- Write: one thread, the only one that uses the database ---- */

static int write_batch(struct indexing *indexing, const struct file *files, size_t n)
{
    struct entry entries[BATCH_MAX];
    for (size_t i = 0; i < n; i++)
        entries[i] = (struct entry){
            .path = files[i].path,
            .size = files[i].size,
            .mtime = files[i].mtime,
            .type = files[i].type,
            .text = files[i].text,
            .converted = files[i].converted,
        };
    int err = index_db_put(indexing->request->db, entries, n);
    conc_with_lock (&indexing->tally->lock) {
        indexing->tally->indexed += err ? 0 : n;
    }
    return err;
}

static int write_results(void *arg, void *result)
{
    struct indexing *indexing = *(struct indexing **)arg;
    struct file files[BATCH_MAX];
    ptrdiff_t n;
    while ((n = conc_queue_get_many(&indexing->results, files, BATCH_MAX, CONC_FOREVER)) > 0) {
        int err = write_batch(indexing, files, (size_t)n);
        for (ptrdiff_t i = 0; i < n; i++)
            file_free(&files[i]);
        if (err)
            return err;
    }
    if (n != -ESHUTDOWN)
        return (int)n;
    /* All have come, so the scan has seen everything: what it has not seen is gone. */
    size_t removed = 0;
    int err = index_db_remove_unseen(indexing->request->db, indexing->known, indexing->known_count,
                                     &removed);
    conc_with_lock (&indexing->tally->lock) {
        indexing->tally->removed = removed;
    }
    return err;
}

/* ---- All of it ---- */

/* Each has a thread of its own, rather than a place in a pool: they wait for each other, and one
 * that got no thread would be waited for in vain. */
static int run_group(struct indexing *indexing)
{
    conc_executor *threads;
    int err = conc_thread_per_job_new(&threads);
    if (err)
        return err;
    conc_with_group (group, &err, CONC_FOREVER) {
        conc_group_submit(group, threads, write_results, &indexing, sizeof indexing, NULL, 0);
        for (size_t i = 0; i < KINDS; i++) {
            const struct converter converter = {.indexing = indexing, .kind = i};
            conc_group_submit(group, threads, convert_files, &converter, sizeof converter, NULL, 0);
        }
        conc_group_submit(group, threads, identify_files, &indexing, sizeof indexing, NULL, 0);
        conc_group_submit(group, threads, scan, &indexing, sizeof indexing, NULL, 0);
    }
    conc_executor_free(threads);
    return err;
}

/* Every queue, in the order in which they are made. */
static conc_queue *queue_at(struct indexing *indexing, size_t i)
{
    return i < KINDS ? &indexing->kinds[i] : i == KINDS ? &indexing->found : &indexing->results;
}

static int init_queues(struct indexing *indexing, size_t *made)
{
    for (*made = 0; *made < KINDS + 2; ++*made) {
        conc_queue *queue = queue_at(indexing, *made);
        size_t capacity = *made < KINDS ? 0 : *made == KINDS ? FOUND_MAX : RESULTS_MAX;
        int err = conc_queue_init(queue, sizeof(struct file), capacity, CONC_FIFO);
        if (err)
            return err;
        conc_queue_on_drop(queue, drop_file, NULL);
    }
    return 0;
}

int index_folder(const struct index_request *request, struct index_tally *tally)
{
    struct indexing indexing = {.request = request, .tally = tally, .converters = KINDS};
    char *prefix;
    size_t made = 0;
    if (asprintf(&prefix, "%s/", request->folder) < 0)
        return -ENOMEM;
    int err = index_db_known(request->db, prefix, &indexing.known, &indexing.known_count);
    free(prefix);
    if (!err)
        err = init_queues(&indexing, &made);
    if (!err)
        err = run_group(&indexing);
    while (made > 0)
        conc_queue_destroy(queue_at(&indexing, --made));
    known_free(indexing.known, indexing.known_count);
    return err;
}
