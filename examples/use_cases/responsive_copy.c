/* SPDX-License-Identifier: MIT
 *
 * responsive_copy.c, the chapter's 'Building responsive interfaces': copy a folder in the
 * background, while the foreground shows how far it has come, and can cancel it.
 *
 * Watch for the bar: the main thread does nothing but draw it, a few times a second, however long a
 * read or write takes. And press Ctrl-C: it is felt at once, the copiers give up in the middle of
 * their files and take away what is half written; what is there is whole. On a pipe there are plain
 * lines instead of a bar.
 */
#include <conc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "support/listing.h"
#include "support/timer.h"
#include "use_cases/background.h"
#include "use_cases/copy_tree.h"
#include "use_cases/status_line.h"

enum { EXIT_SIGNAL = 128 }; /* and the signal's number: as shells have it */

static struct progress progress;
static double megabytes = 0;

static struct copy_request request = {
    .workers = 4,
    .timeout = INT64_MAX,
    .progress = &progress,
};

static int copy(void *arg, void *result) { return copy_tree(*(struct copy_request **)arg); }

/* "1 file", "2 files" */
#define COUNTED(n, what) (unsigned long long)(n), (n) == 1 ? what : what "s"

static void print_summary(const char *word, double seconds)
{
    const struct tally tally = progress_now(&progress);
    char bytes[AMOUNT_MAX];
    printf("%s: %llu %s, %llu %s, %llu %s, %s in %.1f s (%.1f MB/s)\n", word,
           COUNTED(tally.files_done, "file"), COUNTED(tally.folders, "folder"),
           COUNTED(tally.links, "link"), format_bytes(tally.bytes_done, bytes), seconds,
           seconds > 0 ? (double)tally.bytes_done / seconds / 1e6 : 0);
}

/* What has become of it. Returns the program's exit status. */
static int report(int err, int signo, double seconds)
{
    const struct tally tally = progress_now(&progress);
    const uint64_t missing = tally.files_found - tally.files_done;
    if (tally.folders > 0) /* something has been made */
        print_summary(err ? "copied until then" : "copied", seconds);
    if (err == -ECANCELED && signo != 0) {
        complain("cancelled: %llu %s found so far not copied", COUNTED(missing, "file"));
        return EXIT_SIGNAL + signo;
    }
    if (err == -ETIMEDOUT)
        complain("gave up after %g s: %llu %s found so far not copied",
                 (double)request.timeout / (double)CONC_S(1), COUNTED(missing, "file"));
    int status = exit_status(0); /* was all of that printed? */
    return err || tally.problems > 0 ? EXIT_FAILURE : status;
}

static int copy_with_bar(int64_t interval)
{
    struct background background;
    struct bar bar;
    int signo, err = background_start(&background, copy, &request);
    if (err)
        return exit_status(err);
    bar_start(&bar);
    while (!background_is_over(&background, conc_in(interval))) {
        const struct tally tally = progress_now(&progress);
        bar_draw(&bar, &tally);
    }
    err = background_end(&background, &signo);
    status_clear();
    return report(err, signo, seconds_since(bar.started));
}

int main(int argc, char **argv)
{
    int64_t interval = CONC_MS(200), workers = 4;
    const struct option_spec options[] = {
        {"workers", OPTION_INTEGER, &workers, "N", 1, 64,
         "copy so many files at once (default: 4)"},
        {"limit", OPTION_NUMBER, &megabytes, "MB", 0.001, 1e6, "at most so many MB a second"},
        {"interval", OPTION_SECONDS, &interval, "S", 0.01, 60,
         "show the progress every S seconds (default: 0.2)"},
        {"timeout", OPTION_SECONDS, &request.timeout, "S", 0.001, 1e6, "give up after S seconds"},
        {.name = NULL},
    };
    const struct program program = {
        .about = "Copy the folder FROM, with all that is in it, to TO, which must not exist yet.",
        .operands = "FROM TO",
        .options = options,
    };
    int first = options_parse(argc, argv, &program);
    if (argc - first != 2) {
        complain("FROM and TO are needed, and nothing else (try --help)");
        return EXIT_USAGE;
    }
    request.from = argv[first];
    request.to = argv[first + 1];
    request.workers = (size_t)workers;
    request.rate = megabytes * 1e6;
    /* They are errors of a write instead, and what is half written is taken away. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    return copy_with_bar(interval);
}
