/* SPDX-License-Identifier: MIT
 *
 * picture.c: the table as bars, drawn by gnuplot.
 *
 * The chapter's machine and this one differ, so that seconds side by side would say little. So a
 * bar is a share: of the time that the sequential way took on the same machine. The seconds stand
 * above.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/models.h"
#include "support/gnuplot.h"

/* Two bars and the gap beside them are as wide as one of gnuplot's tics. */
static const double HALF_A_BAR = 1.0 / 6;

static const char *const TITLES[KINDS] = {"CPU-bound", "I/O-bound"};

/* A row for each model: its name; here and in the chapter: the share, the seconds. */
static void write_data(FILE *script, const struct times *times, enum kind kind)
{
    fprintf(script, "$data%d << END\n", (int)kind);
    for (int i = 0; i < MODELS; i++) {
        double here = times->of[i][kind], chapter = models[i].chapter[kind];
        fprintf(script, "\"%s\" %.4f %.4g %.4f %.4g\n", models[i].name,
                100 * here / times->of[SEQUENTIAL][kind], here,
                100 * chapter / models[SEQUENTIAL].chapter[kind], chapter);
    }
    fprintf(script, "END\n");
}

static void write_plot(FILE *script, enum kind kind)
{
    fprintf(script, "set title '%s'\n", TITLES[kind]);
    fprintf(script,
            "plot $data%d using 2:xtic(1) title 'libconc, here' linecolor rgb '#2b6ca3',"
            " '' using 4 title 'Python, the chapter' linecolor rgb '#e0a83c',"
            " '' using ($0-%g):2:(sprintf(' %%.3g s',$3)) with labels rotate left notitle,"
            " '' using ($0+%g):4:(sprintf(' %%.3g s',$5)) with labels rotate left notitle\n",
            (int)kind, HALF_A_BAR, HALF_A_BAR);
}

/* gives the script, for free(). */
static int make_script(const struct times *times, const char *terminal, char **ret, size_t *size)
{
    FILE *script = open_memstream(ret, size);
    if (script == NULL)
        return conc_raise(-ENOMEM, "out of memory");
    fprintf(script, "set terminal %s size 1080,420 background rgb 'white' font ',11'\n", terminal);
    for (enum kind kind = CPU; kind < KINDS; kind++)
        write_data(script, times, kind);
    fprintf(script,
            "set multiplot layout 1,%d\n"
            "set style data histogram\n"
            "set style histogram clustered gap 1\n"
            "set style fill solid 0.9\n"
            "set xrange [-0.6:%d.6]\nset yrange [0:*]\nset offsets 0,0,25,0\n"
            "set xtics scale 0\nset grid ytics\n"
            "set key outside bottom center horizontal\n"
            "set ylabel 'time, sequential = 100'\n",
            KINDS, MODELS - 1);
    for (enum kind kind = CPU; kind < KINDS; kind++)
        write_plot(script, kind);
    fprintf(script, "unset multiplot\n");
    bool bad = ferror(script) != 0;
    if (fclose(script) != 0 || bad) {
        free(*ret);
        return conc_raise(-ENOMEM, "out of memory");
    }
    return 0;
}

int draw_picture(const struct times *times, const char *base)
{
    static const struct {
        const char *suffix, *terminal;
    } FORMS[] = {{"svg", "svg"}, {"png", "pngcairo"}};
    int err = 0;

    for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS && !err; i++) {
        char path[4096], *script;
        size_t size;
        if (snprintf(path, sizeof path, "%s.%s", base, FORMS[i].suffix) >= (int)sizeof path)
            return conc_raise(-ENAMETOOLONG, "%.64s...: %s", base, conc_strerror(-ENAMETOOLONG));
        err = make_script(times, FORMS[i].terminal, &script, &size);
        if (err)
            return err;
        err = gnuplot_draw(script, size, path);
        free(script);
        if (!err)
            printf("%s%s", i == 0 ? "\nDrawn: " : ", ", path);
    }
    if (!err)
        printf("\n");
    return err;
}
