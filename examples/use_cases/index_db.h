/* SPDX-License-Identifier: MIT
 *
 * index_db.h: the index: an SQLite database of files and the words in them (FTS5).
 *
 * Errors have a message that names the database. A database is for one thread at a time.
 */
#ifndef EXAMPLES_INDEX_DB_H
#define EXAMPLES_INDEX_DB_H

#include <conc.h>

#include "use_cases/text.h"

struct index_db;

/** What is in the index of a file, and what was there before. */
struct entry {
    char *path;          /* absolute; owned by the entry */
    int64_t size, mtime; /* bytes; nanoseconds since 1970 */
    const char *type;    /* its MIME type */
    struct text text;    /* owned too */
    bool converted;      /* false: it has not come to a text; to be tried again */
};

/** A file that the index knows. */
struct known {
    int64_t id;
    char *path;
    int64_t size, mtime;
    bool converted;
    bool seen; /* the caller's */
};

/**
 * Open an index, or make it.
 *
 * @param path    of the database
 * @param create  make it if it isn't there
 * @return 0; -EIO: SQLite cannot; -EINVAL: a database of something else; -ENOMEM
 */
int index_db_open(struct index_db **ret, const char *path, bool create);

/** NULL is ignored. */
void index_db_close(struct index_db *db);

/**
 * All files in a folder, at any depth, by the order of their paths' bytes.
 *
 * @param folder  its path, with a '/' at the end
 * @param ret     gives an array of *n, for known_free()
 */
int index_db_known(struct index_db *db, const char *folder, struct known **ret, size_t *n);
void known_free(struct known *known, size_t n);

/** Put n files into the index, or replace what it knows of them: all, or on failure none. */
int index_db_put(struct index_db *db, const struct entry *entries, size_t n);

/** Remove those of n files that were not seen: all, or on failure none. @return 0, error; *removed
 * is how many */
int index_db_remove_unseen(struct index_db *db, const struct known *known, size_t n,
                           size_t *removed);

/**
 * Find the files that have all of the words, in their names or texts, the best ones first.
 *
 * @param words  parted by spaces; "word*": any that begins so
 * @param found  called for each, with its path, of `n` bytes, and some text around the first of the
 *               words, which are in brackets there
 * @return how many; or an error
 */
ptrdiff_t index_db_search(struct index_db *db, const char *words,
                          void (*found)(const char *path, size_t n, const char *excerpt));

#endif
