/* SPDX-License-Identifier: MIT
 *
 * index_folder.h: bring an index up to date with a folder, by a thread for each kind of files.
 */
#ifndef EXAMPLES_INDEX_FOLDER_H
#define EXAMPLES_INDEX_FOLDER_H

#include "use_cases/converters.h"
#include "use_cases/index_db.h"

struct index_request {
    const char *folder;  /* its real path (no symbolic links), without a '/' at the end */
    const char *db_path; /* the database's, which may lie in the folder and is left out */
    struct index_db *db;
    int64_t timeout; /* nanoseconds that a converter may take for a file */
    size_t max_text; /* bytes that are kept of a file's text */
};

/** What has been done. All-zero: nothing yet. */
struct index_tally {
    conc_lock lock; /* of the rest, while it is being done */
    size_t indexed, unchanged, removed, failed;
    struct {
        size_t files;
        int64_t busy; /* nanoseconds */
    } kinds[KINDS];
};

/**
 * Index the files in a folder, at any depth; take those out of the index that are gone. Files of
 * which the index knows the same size and time of change are left as they are.
 *
 * What cannot be read or converted is told on stderr and counted; then the file is found by its
 * name only, and tried again the next time.
 *
 * @param tally  all-zero; what has been done, also after an error
 * @return 0: done, but for what has failed; -ECANCELED; else an error with a message. What is in
 *         the index by then stays there; it is sound.
 */
int index_folder(const struct index_request *request, struct index_tally *tally);

#endif
