/* SPDX-License-Identifier: MIT
 *
 * converters.h: what a file is, and the programs that make text of it.
 */
#ifndef EXAMPLES_CONVERTERS_H
#define EXAMPLES_CONVERTERS_H

#include <conc.h>

#include "use_cases/text.h"

enum {
    TYPE_MAX = 80,  /* bytes of a MIME type, the final zero included; a longer one is cut */
    FILES_MAX = 32, /* files of one call of identify() */
    ARGUMENTS = 6,  /* of a converter */
};

/** A kind of files, which are converted the same way. */
struct kind {
    const char *name;
    const char *const *types; /* MIME types, or their beginnings, then NULL; none: all others */
    /* The program and its arguments, then NULL; FILE_NAME stands for the file. None: see `read`. */
    const char *program[ARGUMENTS + 1];
    bool read; /* without a program: the file is text; else it has none, and only its name counts */
};

enum { KINDS = 6 };
extern const struct kind KIND[KINDS];
extern const char FILE_NAME[];

/** Which of the kinds files of a type are. @return its index */
size_t kind_of(const char *type);

/**
 * Find out the types of n files, by the program `file`.
 *
 * @param paths  n of them, at most FILES_MAX
 * @param types  gives them; untouched on failure
 * @return 0; -ENOENT, -EACCES: there is no such program; -ETIMEDOUT, -ECANCELED; -EIO: it has not
 *         answered as it should; -ENOMEM ...; all but -ECANCELED with a message
 */
int identify(const char *const *paths, size_t n, char types[][TYPE_MAX], conc_deadline deadline);

/** The same of one file, by its name and its first bytes: less exact, but without another
 * program. */
void guess_type(const char *path, char type[TYPE_MAX], conc_deadline deadline);

/**
 * Make text of a file.
 *
 * @param max   bytes: the rest of a longer text is left out
 * @param text  gives it, to be freed; untouched on failure
 * @return as identify(): there is no such program, ...; with the errors of the file itself
 */
int convert(const struct kind *kind, const char *path, size_t max, struct text *text,
            conc_deadline deadline);

#endif
