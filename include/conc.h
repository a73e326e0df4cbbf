/* SPDX-License-Identifier: MIT
 *
 * conc.h: all of libconc. Each header also stands alone.
 */
#ifndef CONC_H
#define CONC_H

#include <conc/barrier.h>
#include <conc/base.h>
#include <conc/bucket.h>
#include <conc/cond.h>
#include <conc/context.h>
#include <conc/event.h>
#include <conc/executor.h>
#include <conc/future.h>
#include <conc/group.h>
#include <conc/lock.h>
#include <conc/queue.h>
#include <conc/rlock.h>
#include <conc/sem.h>
#include <conc/thread.h>

#endif
