/* SPDX-License-Identifier: MIT
 *
 * indexer.c, the chapter's 'Delegating work': index the files of a folder. A program outside makes
 * text of each file: one for PDFs, another for OpenDocument files, and so on. A thread for each
 * kind of files waits for its program, with a queue of files to do; what comes out goes through one
 * more queue to one thread, which alone writes the database.
 *
 * Watch the times: they are waited for at once, so that all of it takes little longer than the
 * slowest of the kinds. A program that hangs is killed when its time is up, and only its file is
 * left without a text.
 */
#include <conc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support/listing.h"
#include "support/timer.h"
#include "use_cases/background.h"
#include "use_cases/index_folder.h"
#include "use_cases/status_line.h"

enum { EXIT_SIGNAL = 128 }; /* and the signal's number: as shells have it */

struct work {
    struct index_request request;
    struct index_tally tally;
};

static int do_work(void *arg, void *result)
{
    struct work *work = *(struct work **)arg;
    return index_folder(&work->request, &work->tally);
}

/* ---- Indexing ---- */

static double in_seconds(int64_t ns) { return (double)ns / (double)CONC_S(1); }

static void print_times(const struct index_tally *tally, double seconds)
{
    int64_t sum = 0;
    for (size_t i = 0; i < KINDS; i++) {
        if (tally->kinds[i].files > 0)
            printf("%-14s %6zu %-5s %8.2f s\n", KIND[i].name, tally->kinds[i].files,
                   tally->kinds[i].files == 1 ? "file" : "files", in_seconds(tally->kinds[i].busy));
        sum += tally->kinds[i].busy;
    }
    printf("one after another they would have taken %.2f s; together: %.2f s\n", in_seconds(sum),
           seconds);
}

/* Returns the program's exit status. */
static int report(const struct index_tally *tally, int err, int signo, double seconds)
{
    if (tally->indexed > 0)
        print_times(tally, seconds);
    printf("%zu indexed, %zu unchanged, %zu removed, %zu failed\n", tally->indexed,
           tally->unchanged, tally->removed, tally->failed);
    if (err == -ECANCELED && signo != 0) {
        complain("cancelled: what is indexed by now stays in the index");
        return EXIT_SIGNAL + signo;
    }
    int status = exit_status(err);
    return tally->failed > 0 ? EXIT_FAILURE : status;
}

static void show_progress(struct index_tally *tally)
{
    char text[80] = "";
    conc_with_lock (&tally->lock) {
        snprintf(text, sizeof text, "%zu indexed, %zu unchanged, %zu failed", tally->indexed,
                 tally->unchanged, tally->failed);
    }
    if (status_is_possible())
        status_show(text);
}

static int index_and_report(struct work *work)
{
    struct background background;
    int64_t started = conc_now();
    int signo, err = background_start(&background, do_work, work);
    if (err)
        return exit_status(err);
    while (!background_is_over(&background, conc_in(CONC_MS(200))))
        show_progress(&work->tally);
    status_clear();
    err = background_end(&background, &signo);
    return report(&work->tally, err, signo, seconds_since(started));
}

/* The folder's real name, so that a file in it has the same one every time. @return gives a string;
 * NULL: there is no such folder, which has been told */
static char *real_folder(const char *folder)
{
    struct stat st;
    char *path = realpath(folder, NULL);
    int err = path == NULL || stat(path, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    if (err) {
        complain("cannot read %s: %s", folder, conc_strerror(err));
        free(path);
        return NULL;
    }
    if (strcmp(path, "/") == 0)
        *path = '\0'; /* a '/' will follow */
    return path;
}

/* ---- Searching ---- */

/* A path on one line, and some of the text below it on another, its spaces and newlines closed
 * up. */
static void print_found(const char *path, size_t n, const char *excerpt)
{
    print_escaped(stdout, path, n);
    fputs("\n   ", stdout);
    for (const char *p = excerpt; *(p += strspn(p, " \n")) != '\0';) {
        size_t length = strcspn(p, " \n");
        putchar(' ');
        print_escaped(stdout, p, length);
        p += length;
    }
    putchar('\n');
}

static int search(struct index_db *db, const char *words)
{
    ptrdiff_t n = index_db_search(db, words, print_found);
    if (n != 0)
        return exit_status(n < 0 ? (int)n : 0);
    complain("nothing found: %s", words);
    return EXIT_FAILURE;
}

/* ---- Main ---- */

/* With the database. Returns the program's exit status. */
static int run_with(struct work *work, const char *db_path, const char *words)
{
    int status = EXIT_SUCCESS,
        err = index_db_open(&work->request.db, db_path, work->request.folder != NULL);
    if (err)
        return exit_status(err);
    if (work->request.folder != NULL) {
        char *real = realpath(db_path, NULL); /* none: ":memory:" */
        work->request.db_path = real != NULL ? real : db_path;
        status = index_and_report(work);
        free(real);
    }
    if (words != NULL && status < EXIT_SIGNAL) {
        int found = search(work->request.db, words);
        status = status == EXIT_SUCCESS ? found : status;
    }
    index_db_close(work->request.db);
    return status;
}

static int run(struct work *work, const char *folder, const char *db_path, const char *words)
{
    char *path = folder != NULL ? real_folder(folder) : NULL;
    if (folder != NULL && path == NULL)
        return EXIT_FAILURE;
    work->request.folder = path;
    int status = run_with(work, db_path, words);
    free(path);
    return status;
}

int main(int argc, char **argv)
{
    const char *db_path = NULL, *words = NULL;
    int64_t kilobytes = 1024;
    struct work work = {.request = {.timeout = CONC_S(10)}};
    const struct option_spec options[] = {
        {"db", OPTION_TEXT, &db_path, "FILE", 0, 0, "the index, an SQLite database"},
        {"search", OPTION_TEXT, &words, "WORDS", 0, 0,
         "print the files that have all of them ('word*': any that begins so)"},
        {"timeout", OPTION_SECONDS, &work.request.timeout, "S", 0.01, 3600,
         "give a converter up after S seconds (default: 10)"},
        {"max-text", OPTION_INTEGER, &kilobytes, "KB", 1, 65536,
         "keep so much of a file's text (default: 1024)"},
        {.name = NULL},
    };
    const struct program program = {
        .about = "Index the files in a folder, and search the index.",
        .operands = "[FOLDER]",
        .options = options,
    };
    int first = options_parse(argc, argv, &program);
    if (db_path == NULL || argc - first > 1 || (argc == first && words == NULL)) {
        complain("--db FILE is needed, and a FOLDER or --search or both (try --help)");
        return EXIT_USAGE;
    }
    if (words != NULL && words[strspn(words, " \t\n")] == '\0') {
        complain("--search: no words (try --help)");
        return EXIT_USAGE;
    }
    work.request.max_text = (size_t)kilobytes * 1024;
    signal(SIGPIPE, SIG_IGN); /* an error of the output, told as such */
    signal(SIGXFSZ, SIG_IGN); /* an error of the database */
    return run(&work, argv[first], db_path, words);
}
