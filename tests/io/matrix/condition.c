/* SPDX-License-Identifier: MIT
 *
 * condition.c: under which conditions each operation is tried.
 */
#include "matrix.h"

const struct condition_of conditions[N_CONDITIONS] = {
    [WHEN_READY] = {"ready", IS_READY, 1, NOTHING, WHEN_READY},
    [WHEN_LATER] = {"ready later", IS_WAITING, 1, UNBLOCK, WHEN_LATER},
    [WHEN_ENDED] = {"at the end", IS_ENDED, 1, NOTHING, WHEN_ENDED},
    [WHEN_BROKEN] = {"broken", IS_BROKEN, 1, NOTHING, WHEN_BROKEN},
    [WHEN_WRONG_WAY] = {"wrong way", IS_WRONG_WAY, 1, NOTHING, WHEN_WRONG_WAY},
    [WHEN_CLOSED] = {"no descriptor", IS_CLOSED, 1, NOTHING, WHEN_CLOSED},
    [WHEN_TWO_READY] = {"two at once, ready", IS_READY, 2, NOTHING, WHEN_TWO_READY},
    [WHEN_TWO] = {"two at once, ready later", IS_WAITING, 2, UNBLOCK, WHEN_TWO},
    [WHEN_NOW_READY] = {"CONC_NOW, ready", IS_READY, 1, NOTHING, WHEN_READY},
    [WHEN_NOW] = {"CONC_NOW", IS_WAITING, 1, NOTHING, WHEN_LATER},
    [WHEN_DEADLINE] = {"deadline", IS_WAITING, 1, NOTHING, WHEN_LATER},
    [WHEN_CANCELLED] = {"cancelled", IS_WAITING, 1, CANCEL, WHEN_LATER},
    [WHEN_CLOSED_MEANWHILE] = {"closed meanwhile", IS_WAITING, 1, CLOSE_IN_LOOP, WHEN_LATER},
    [WHEN_CLOSED_BY_THREAD] = {"closed by another thread", IS_WAITING, 1, CLOSE_IN_THREAD,
                               WHEN_LATER},
};

const char *const way_names[N_WAYS] = {"system call", "io_uring", "epoll", "thread"};
