/* SPDX-License-Identifier: MIT
 *
 * gnuplot.h: gnuplot as a child program: a script goes in, a picture comes out.
 *
 * The picture comes by gnuplot's output and is written here: so no file's name has to be put into a
 * script, and a file that cannot be written is named.
 */
#ifndef EXAMPLES_GNUPLOT_H
#define EXAMPLES_GNUPLOT_H

#include <stddef.h>

#include <conc/base.h>

/**
 * Write a file: all of it, or none.
 *
 * @return 0; what open(2) and write(2) tell, with a message that names the file
 *
 * Blocks: yes. Cancellation point: yes.
 */
int picture_write(const char *path, const void *data, size_t size);

/**
 * Let gnuplot draw.
 *
 * @param script  what gnuplot is told, its terminal included, but no name of an output
 * @return 0; -ENOPKG: gnuplot is not installed; -EIO: it failed; -ETIMEDOUT; as picture_write();
 *         all with a message
 *
 * Blocks: yes. Cancellation point: yes.
 */
int gnuplot_draw(const char *script, size_t size, const char *path);

#endif
