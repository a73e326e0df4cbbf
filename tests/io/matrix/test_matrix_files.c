/* SPDX-License-Identifier: MIT
 *
 * The matrix (matrix.h): regular files on each file system, and what else looks like a file.
 */
#include "kinds.h"

int main(void)
{
    static const struct kind *const others[] = {
        &kind_directory, &kind_memfd,    &kind_procfs,    &kind_sysctl,
        &kind_sysfs,     &kind_pressure, &kind_slow_fuse,
    };
    enum { N_OTHERS = sizeof others / sizeof *others };
    const struct kind *kinds[N_FILE_KINDS + N_OTHERS];
    for (int i = 0; i < N_FILE_KINDS; i++)
        kinds[i] = &file_kinds[i];
    for (int i = 0; i < N_OTHERS; i++)
        kinds[N_FILE_KINDS + i] = others[i];
    return matrix_main(kinds, N_FILE_KINDS + N_OTHERS);
}
