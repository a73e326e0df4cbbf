/* SPDX-License-Identifier: MIT
 *
 * gnuplot.c: gnuplot's three pipes, read and written together by conc_subprocess_communicate(), so
 * that none of them fills up while another is waited for.
 */
#include "support/gnuplot.h"

#include <conc.h>
#include <errno.h>
#include <string.h>

static const int64_t PATIENCE = CONC_S(120); /* for one picture */

int picture_write(const char *path, const void *data, size_t size)
{
    int fd = conc_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666, CONC_FOREVER);
    int err = fd < 0 ? fd : conc_write_all(fd, data, size, CONC_FOREVER);

    if (fd >= 0) {
        int closed = conc_close(fd);
        err = err ? err : closed;
        if (err)
            conc_unlink(path, CONC_NOW); /* half a picture is none */
    }
    return err ? conc_raise(err, "%.160s: %s", path, conc_strerror(err)) : 0;
}

/* The first line of what gnuplot says that has words: before it stand the script's line and a caret
 * under what is wrong there. */
static int gnuplot_error(int status, const char *said)
{
    for (const char *line = said; *line != '\0'; line += strspn(line, "\n")) {
        const size_t length = strcspn(line, "\n");
        const char *words = strstr(line, ": ");
        if (strncmp(line, "gnuplot>", 8) != 0 && words != NULL && words < line + length)
            return conc_raise(-EIO, "gnuplot: %.*s", (int)length, line);
        line += length;
    }
    return conc_raise(-EIO, "gnuplot has drawn nothing (exit status %d)", status);
}

int gnuplot_draw(const char *script, size_t size, const char *path)
{
    const char *const argv[] = {"gnuplot", "-", NULL};
    const conc_subprocess_options options = {
        .in = CONC_SUBPROCESS_PIPE, .out = CONC_SUBPROCESS_PIPE, .err = CONC_SUBPROCESS_PIPE};
    const conc_deadline deadline = conc_in(PATIENCE);
    const char *picture, *said;
    conc_subprocess *gnuplot;
    size_t picture_size;
    int status, err = conc_subprocess_start(&gnuplot, argv, &options);

    if (err == -ENOENT)
        return conc_raise(-ENOPKG, "%.160s: no picture: gnuplot is not installed", path);
    if (err)
        return conc_raise(err, "gnuplot: %s", conc_strerror(err));
    err = conc_subprocess_communicate(gnuplot, script, size, &picture, &picture_size, &said, NULL,
                                      deadline);
    if (!err)
        err = conc_subprocess_exitcode(gnuplot, &status);
    if (err)
        err = conc_raise(err, "gnuplot: %s", conc_strerror(err));
    else if (status != 0 || picture_size == 0)
        err = gnuplot_error(status, said);
    else
        err = picture_write(path, picture, picture_size);
    conc_subprocess_free(gnuplot);
    return err;
}
