/* SPDX-License-Identifier: MIT
 *
 * submit.h: the second half of conc_submit(), for callers that need the future before its job may
 * run.
 */
#ifndef CONC_LIB_SUBMIT_H
#define CONC_LIB_SUBMIT_H

#include <conc/executor.h>

/* Give a pending job, whose `executor` is set, to that executor (NULL: it is refused, -EINVAL). The
 * caller keeps its reference. 0, or why it was refused: then the future is done, with that error.
 */
int conc__executor_submit(conc_executor *executor, conc_future *job);

#endif
